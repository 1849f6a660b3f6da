// SPDX-License-Identifier: GPL-2.0

//! Who holds a `dax_device`, and what each holder is told.
//!
//! This file is plain `no_std` Rust without calls to C: `tools/testing/host` runs it under loom and
//! proptest, the kernel with a mutex and a condition variable as its [`Monitor`].

use core::ops::Range;
use kernel::{
    alloc::KVVec,
    dax::units::ByteRange,
    prelude::*, //
};

/// How many callbacks may run on one device at the same time; one more waits for its turn.
///
/// `memory_failure()` is one at a time in the whole system, a removal and agents of user space come
/// on top: this is never reached unless callbacks hang. It is what lets a notification work without
/// allocating memory.
pub(crate) const MAX_CALLS: usize = 8;

/// A task, by any number that only this task has while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TaskId(pub(crate) usize);

/// A registration. Later ones have larger numbers; none is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct HolderId(u64);

/// The part of a device that a failure is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All of it, however large it is: offset 0 and length `U64_MAX` in C.
    Whole,
    /// Some bytes, counted from the device's start.
    Bytes(ByteRange),
}

impl Extent {
    /// What of it is inside `range`; the whole stays the whole, which holders know as such.
    fn within(&self, range: &ByteRange) -> Option<Self> {
        match self {
            Extent::Whole => Some(Extent::Whole),
            Extent::Bytes(bytes) => bytes.intersection(range).map(Extent::Bytes),
        }
    }
}

/// What a holder is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Which bytes.
    pub(crate) extent: Extent,
    /// `MF_*` flags.
    pub(crate) flags: i32,
}

/// Whoever has to be told of failures: a file system, say.
pub(crate) trait Holder: Clone {
    /// Whether both are the same holder, whatever else they say.
    fn is_same(&self, other: &Self) -> bool;

    /// The bytes that it holds now, if any, having registered for those of `registered`.
    ///
    /// A partition or a volume may be grown or shrunk under a mounted file system. Must not sleep.
    fn range(&self, registered: ByteRange) -> Option<ByteRange> {
        Some(registered)
    }

    /// What releases a pin.
    type Pin;

    /// Keeps the holder from going away until [`Holder::unpin`]; must not wait for it to go.
    ///
    /// [`None`] when it is going already: then it needs to be told nothing any more. A holder that
    /// has no way to be pinned answers all the same; see [`Holders::unregister`] for what it gets.
    fn pin(&self) -> Option<Self::Pin>;

    /// Takes back a pin. This may be what ends the holder.
    ///
    /// A holder that has no way to be pinned may be gone when this is called.
    fn unpin(&self, pin: Self::Pin);

    /// Tells the holder. May sleep, and wait for anything but the end of its own registration.
    fn notify(&self, failure: &Failure) -> Result;
}

/// A state that one task at a time looks at or changes, and that others can wait for.
pub(crate) trait Monitor<S> {
    /// Runs `f` with nobody else at the state, then wakes everyone in [`Monitor::wait`].
    fn update<R>(&self, f: impl FnOnce(&mut S) -> R) -> R;

    /// Runs `f`, with nobody else at the state, until it gives a result; sleeps in between.
    ///
    /// `f` must not change what others wait for.
    fn wait<R>(&self, f: impl FnMut(&mut S) -> Option<R>) -> R;
}

/// Where a device is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// In use; holders may register.
    Alive,
    /// This task is removing it: holders are being told, nobody may register.
    Dying(TaskId),
    /// Removed. [`Holders::revive`] may bring it back.
    Dead,
}

/// Why a registration is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The device is being removed, or was.
    Dying,
    /// This holder has registered with this device before.
    Twice,
    /// These bytes of what was asked for are held by another holder.
    Overlap(ByteRange),
    /// No memory.
    NoMemory,
}

/// What became of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The device is dead.
    Dead,
    /// Some of the bytes have no holder that would deal with them; the caller has to.
    Unheld,
    /// Every holder was told, and the first one that failed failed with this.
    Told(Result),
}

impl Outcome {
    /// What both mean together.
    ///
    /// Bytes that nobody dealt with are the stronger news: the caller kills their users by itself,
    /// while the error of a holder only goes into a log.
    fn and(self, other: Outcome) -> Outcome {
        match (self, other) {
            (Outcome::Dead, _) | (_, Outcome::Dead) => Outcome::Dead,
            (Outcome::Unheld, _) | (_, Outcome::Unheld) => Outcome::Unheld,
            (Outcome::Told(Err(e)), _) | (_, Outcome::Told(Err(e))) => Outcome::Told(Err(e)),
            _ => Outcome::Told(Ok(())),
        }
    }
}

/// How often things happened to a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Callbacks that ran.
    pub(crate) notified: u64,
    /// Callbacks that returned an error.
    pub(crate) failed: u64,
    /// Registrations that were refused.
    pub(crate) refused: u64,
}

/// Where a registration is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its holder is told of failures.
    In,
    /// Its holder is unregistering and waits for callbacks; its bytes are not free before that.
    Leaving,
    /// Its device died, and its holder has not unregistered yet. Should the device come back, it
    /// is as if this were not there.
    Stale,
}

/// A holder that registered.
struct Entry<H> {
    id: HolderId,
    /// The bytes that it registered for. Those that it holds are [`Entry::range`].
    registered: ByteRange,
    holder: H,
    stage: Stage,
    /// How many callbacks have run.
    told: u64,
}

impl<H: Holder> Entry<H> {
    fn range(&self) -> Option<ByteRange> {
        self.holder.range(self.registered)
    }
}

/// What there is to see of a registration.
pub(crate) struct Registration<'a, H> {
    /// The bytes that are held; [`None`] when there are none left.
    pub(crate) range: Option<ByteRange>,
    /// Who holds them.
    pub(crate) holder: &'a H,
    /// Whether the holder is told of failures.
    pub(crate) stage: Stage,
    /// How many callbacks have run.
    pub(crate) told: u64,
    /// How many are running.
    pub(crate) running: usize,
}

/// A callback that is running.
#[derive(Clone, Copy)]
struct Call {
    task: TaskId,
    holder: HolderId,
    /// In how many other callbacks the task was.
    depth: usize,
}

/// A call that may be made.
struct Ticket<H> {
    slot: usize,
    id: HolderId,
    holder: H,
    extent: Extent,
}

/// What [`Table::begin`] found.
enum Begun<H> {
    Call(Ticket<H>),
    NoneLeft,
    Dead,
}

/// All that is known of a device's holders. [`Holders`] says how it changes.
pub(crate) struct Table<H> {
    phase: Phase,
    next_id: u64,
    /// In the order of their numbers.
    entries: KVVec<Entry<H>>,
    calls: [Option<Call>; MAX_CALLS],
    counters: Counters,
    /// Set with [`Phase::Dead`].
    given_up: bool,
}

impl<H: Holder> Table<H> {
    /// The table of a device that is alive and that nobody holds.
    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::Alive,
            next_id: 0,
            entries: KVVec::new(),
            calls: [None; MAX_CALLS],
            counters: Counters::default(),
            given_up: false,
        }
    }

    /// Whether the device is dead, and every holder gave up what it had: it said so when it was told
    /// of the removal, or has unregistered since.
    pub(crate) fn is_given_up(&self) -> bool {
        self.phase == Phase::Dead && self.given_up
    }

    /// Where the device is in its life.
    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// How often things happened.
    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }

    /// Every registration, in the order in which they came.
    pub(crate) fn registrations(&self) -> impl Iterator<Item = Registration<'_, H>> {
        self.entries.iter().map(|entry| Registration {
            range: entry.range(),
            holder: &entry.holder,
            stage: entry.stage,
            told: entry.told,
            running: self
                .calls
                .iter()
                .flatten()
                .filter(|call| call.holder == entry.id)
                .count(),
        })
    }

    fn add(&mut self, range: ByteRange, holder: &H) -> Result<(), Refusal> {
        if self.phase != Phase::Alive {
            return Err(Refusal::Dying);
        }
        for entry in self
            .entries
            .iter()
            .filter(|entry| entry.stage != Stage::Stale)
        {
            if entry.holder.is_same(holder) {
                return Err(Refusal::Twice);
            }
            let held = entry.range();
            if let Some(common) = held.and_then(|held| held.intersection(&range)) {
                return Err(Refusal::Overlap(common));
            }
        }
        let entry = Entry {
            id: HolderId(self.next_id),
            registered: range,
            holder: holder.clone(),
            stage: Stage::In,
            told: 0,
        };
        self.entries
            .push(entry, GFP_KERNEL)
            .map_err(|_| Refusal::NoMemory)?;
        // Cannot wrap: registering takes longer than a nanosecond, and 2^64 of those are centuries.
        self.next_id = self.next_id.saturating_add(1);
        Ok(())
    }

    /// Chooses the next holder to be told, one of those whose number is in `left`, and notes the
    /// call.
    ///
    /// [`None`] when too many calls are running.
    fn begin(&mut self, task: TaskId, what: &Extent, left: &Range<HolderId>) -> Option<Begun<H>> {
        if self.phase == Phase::Dead {
            return Some(Begun::Dead);
        }
        let found = self.entries.iter().find_map(|entry| {
            let here = left.contains(&entry.id) && entry.stage == Stage::In;
            // A whole failure is also for one that has no bytes left.
            let extent = match (what, entry.range()) {
                (Extent::Whole, _) => Some(Extent::Whole),
                (what, range) => range.and_then(|range| what.within(&range)),
            };
            let extent = extent.filter(|_| here)?;
            Some((entry.id, entry.holder.clone(), extent))
        });
        let Some((id, holder, extent)) = found else {
            return Some(Begun::NoneLeft);
        };
        let slot = self.calls.iter().position(Option::is_none)?;
        *self.calls.get_mut(slot)? = Some(Call {
            task,
            holder: id,
            depth: self.calls_by(task).count(),
        });
        Some(Begun::Call(Ticket {
            slot,
            id,
            holder,
            extent,
        }))
    }

    fn calls_by(&self, task: TaskId) -> impl Iterator<Item = &Call> {
        self.calls
            .iter()
            .flatten()
            .filter(move |call| call.task == task)
    }

    /// Removes the note of a call, which counts as `told` if the holder was told.
    fn end(&mut self, slot: usize, told: Option<&Result>) {
        let call = self.calls.get_mut(slot).and_then(Option::take);
        let Some(result) = told else { return };
        self.counters.notified += 1;
        self.counters.failed += u64::from(result.is_err());
        let holder = call.map(|call| call.holder);
        if let Some(entry) = self
            .entries
            .iter_mut()
            .find(|entry| Some(entry.id) == holder)
        {
            entry.told += 1;
        }
    }

    /// Takes out a holder once no other task is calling it; [`None`] as long as one is.
    fn take_out(&mut self, me: TaskId, holder: &H) -> Option<bool> {
        // The last one, if it registered again after a revival: the others are told nothing.
        let Some(at) = self
            .entries
            .iter()
            .rposition(|entry| entry.holder.is_same(holder))
        else {
            return Some(false);
        };
        let entry = self.entries.get_mut(at)?;
        if entry.stage == Stage::In {
            entry.stage = Stage::Leaving;
        }
        let id = entry.id;
        if self
            .calls
            .iter()
            .flatten()
            .any(|call| call.holder == id && call.task != me)
        {
            return None;
        }
        self.entries.remove(at).ok()?;
        Some(true)
    }

    fn current(&self, task: TaskId) -> Option<&H> {
        let called = self.calls_by(task).max_by_key(|call| call.depth);
        let entry = match called {
            Some(call) => self.entries.iter().find(|entry| entry.id == call.holder),
            None => self.entries.iter().find(|entry| entry.stage == Stage::In),
        };
        entry.map(|entry| &entry.holder)
    }
}

/// The holders of a device and the protocol by which they come, are told, and go.
///
/// A device and a registration are state machines:
///
/// 1. A device is *alive*, *dying* or *dead*. [`Holders::kill`] takes it from alive to dying; the
///    same call takes it to dead when every holder was told and nobody uses the device any more.
///    [`Holders::revive`] takes it from dead to alive. Nothing else changes it.
/// 2. A holder registers while the device is alive. There is no moment at which it has registered
///    and would not be told of the removal: registering and the step to dying exclude each other.
/// 3. A registration is *in* until its holder begins to unregister, when it is *leaving*, or its
///    device is dead, when it is *stale*; then no callback starts any more. Only its holder removes
///    it. The bytes of one that is leaving are not free yet: its callbacks may still be at work on
///    them.
/// 4. A callback is noted before it starts, together with its task, and the note is removed when it
///    has returned. Neither happens under a lock of the holder's; the callback itself runs under no
///    lock at all, and in no read section.
/// 5. Unregistering returns when the registration is not in and no note of it is left but those of the
///    task that unregisters: a holder may end itself in its own callback. (In one of them: two
///    that both wait for the other would wait for ever.)
/// 6. Between note and callback the holder is *pinned*. One that cannot be pinned is going away and
///    is passed over as if it had gone. The note is removed before the pin is released, so that a
///    holder that ends with its last pin does not wait for itself.
/// 7. A notification is for those who are registered when it begins: their ranges do not overlap,
///    and it ends however many others come. A holder's range is looked up, under the lock, when its
///    turn has come: what was added to its partition by then is its own.
/// 8. A removal tells each holder exactly once: the registrations cannot grow while the device is
///    dying, and it goes through them in the order of their numbers. A holder that unregisters
///    before its turn is not told.
/// 9. A removal waits for users of the memory, not for callbacks that others have started: these
///    have noted their holder, not the device, and may well be waiting for this removal.
pub(crate) trait Holders<H: Holder>: Monitor<Table<H>> + Sized {
    /// Looks at the state. Nothing changes, and so nobody is woken.
    fn look<R>(&self, f: impl FnOnce(&Table<H>) -> R) -> R {
        let mut f = Some(f);
        self.wait(|table| f.take().map(|f| f(table)))
    }

    /// Registers `holder` for the bytes of `range`: from now on it is told of their failures, and of
    /// the device's removal.
    fn register(&self, range: ByteRange, holder: &H) -> Result<(), Refusal> {
        self.update(|table| {
            let added = table.add(range, holder);
            if added.is_err() {
                table.counters.refused += 1;
            }
            added
        })
    }

    /// Takes back the registration of `holder`; false if there is none.
    ///
    /// Waits for callbacks to `holder` that other tasks run. A holder that can be pinned only gets
    /// here when nothing pins it, and so waits for no longer than it takes to fail to pin it. One
    /// that cannot be pinned may wait for as long as its callback takes, and must not come here
    /// with a lock that its callback takes.
    fn unregister(&self, me: TaskId, holder: &H) -> bool {
        self.wait(|table| table.take_out(me, holder))
    }

    /// Tells every holder of bytes of the failure of those of them that it holds.
    ///
    /// `me` is the task that runs this. No lock may be held that a holder's callback takes.
    fn notify(&self, me: TaskId, failure: &Failure) -> Outcome {
        let mut outcome = Outcome::Told(Ok(()));
        let mut told = 0u64;
        let mut nobody = true;
        let mut left = None;
        loop {
            let begun = self.wait(|table| {
                let left = left.get_or_insert(HolderId(0)..HolderId(table.next_id));
                table.begin(me, &failure.extent, left)
            });
            match begun {
                Begun::Dead if nobody => return Outcome::Dead,
                // The rest was told of the removal.
                Begun::Dead => break,
                Begun::NoneLeft => break,
                Begun::Call(ticket) => {
                    nobody = false;
                    // Cannot wrap, as there are no registrations but those below the end.
                    let next = HolderId(ticket.id.0.saturating_add(1));
                    left = left.map(|left| next..left.end);
                    if let Extent::Bytes(bytes) = ticket.extent {
                        // Registrations do not overlap, so this is no more than the failure's.
                        told = told.saturating_add(bytes.len());
                    }
                    outcome = outcome.and(call(self, ticket, failure.flags));
                }
            }
        }
        let all = match failure.extent {
            Extent::Whole => !nobody,
            Extent::Bytes(bytes) => told >= bytes.len(),
        };
        if all {
            outcome
        } else {
            outcome.and(Outcome::Unheld)
        }
    }

    /// Removes the device: tells every holder with `flags`, and then runs `close`, which has to
    /// keep new users out and to wait for those that are in.
    ///
    /// A second removal at the same time returns when the first one is through.
    fn kill(&self, me: TaskId, flags: i32, close: impl FnOnce()) {
        let first = self.wait(|table| match table.phase {
            Phase::Alive => {
                table.phase = Phase::Dying(me);
                Some(true)
            }
            // From within a callback of this very removal.
            Phase::Dying(killer) if killer == me => Some(false),
            Phase::Dying(_) => None,
            Phase::Dead => Some(false),
        });
        if !first {
            return;
        }
        let outcome = self.notify(
            me,
            &Failure {
                extent: Extent::Whole,
                flags,
            },
        );
        close();
        self.update(|table| {
            table.phase = Phase::Dead;
            table.given_up = outcome == Outcome::Told(Ok(())) || table.entries.is_empty();
            for entry in table.entries.iter_mut() {
                // One that is leaving keeps its bytes until it left.
                if entry.stage == Stage::In {
                    entry.stage = Stage::Stale;
                }
            }
        });
    }

    /// Brings a dead device back to life; false if it is being removed.
    fn revive(&self) -> bool {
        self.update(|table| match table.phase {
            Phase::Dying(_) => false,
            Phase::Alive | Phase::Dead => {
                table.phase = Phase::Alive;
                true
            }
        })
    }

    /// Whom the task `me` is calling, or, if it calls nobody, who holds the device.
    ///
    /// This is how a callback, which is given the device only, finds its holder where a device has
    /// several. Outside of a callback the answer is the longest registered holder.
    fn current(&self, me: TaskId) -> Option<H> {
        self.look(|table: &Table<H>| table.current(me).cloned())
    }
}

impl<H: Holder, M: Monitor<Table<H>>> Holders<H> for M {}

/// Makes the call that `ticket` stands for.
fn call<H: Holder>(table: &impl Monitor<Table<H>>, ticket: Ticket<H>, flags: i32) -> Outcome {
    let holder = ticket.holder;
    let called = holder.pin().map(|pin| {
        let result = holder.notify(&Failure {
            extent: ticket.extent,
            flags,
        });
        (pin, result)
    });
    table.update(|table| table.end(ticket.slot, called.as_ref().map(|(_, result)| result)));
    let Some((pin, result)) = called else {
        return Outcome::Unheld;
    };
    holder.unpin(pin);
    match result {
        // What a holder says that cannot find out whose the bytes are.
        Err(e) if e == EOPNOTSUPP => Outcome::Unheld,
        result => Outcome::Told(result),
    }
}
