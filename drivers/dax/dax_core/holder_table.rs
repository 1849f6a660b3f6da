// SPDX-License-Identifier: GPL-2.0

//! The state that the protocol of `holders.rs` is about: the registrations, and the calls that are running.
//!
//! Plain `no_std` Rust as that file, and without a lock of its own.

use super::failure::{
    Extent,
    Holder, //
};
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
pub(super) struct HolderId(pub(super) u64);

/// Where a device is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// In use; holders may register.
    Alive,
    /// This task is removing it: holders are being told, nobody may register.
    Dying(TaskId),
    /// Removed. [`Holders::revive`](super::holders::Holders::revive) may bring it back.
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
pub(super) struct Ticket<H> {
    pub(super) slot: usize,
    pub(super) id: HolderId,
    pub(super) holder: H,
    pub(super) extent: Extent,
}

/// What [`Table::begin`] found.
pub(super) enum Begun<H> {
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

    /// Adds a holder, or counts that it was refused.
    pub(super) fn add(&mut self, range: ByteRange, holder: &H) -> Result<(), Refusal> {
        let added = self.try_add(range, holder);
        if added.is_err() {
            self.counters.refused += 1;
        }
        added
    }

    fn try_add(&mut self, range: ByteRange, holder: &H) -> Result<(), Refusal> {
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

    /// The numbers of all who have registered so far.
    pub(super) fn everybody(&self) -> Range<HolderId> {
        HolderId(0)..HolderId(self.next_id)
    }

    /// Chooses the next holder to be told, one of those whose number is in `left`, and notes the
    /// call.
    ///
    /// [`None`] when too many calls are running.
    pub(super) fn begin(
        &mut self,
        task: TaskId,
        what: &Extent,
        left: &Range<HolderId>,
    ) -> Option<Begun<H>> {
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
    pub(super) fn end(&mut self, slot: usize, told: Option<&Result>) {
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
    pub(super) fn take_out(&mut self, me: TaskId, holder: &H) -> Option<bool> {
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

    /// Has the device be dying, by `me`: true if it was alive, false if there is nothing to remove,
    /// or it is `me` that removes it. [`None`] while another task does.
    pub(super) fn begin_removal(&mut self, me: TaskId) -> Option<bool> {
        match self.phase {
            Phase::Alive => {
                self.phase = Phase::Dying(me);
                Some(true)
            }
            // From within a callback of this very removal.
            Phase::Dying(killer) if killer == me => Some(false),
            Phase::Dying(_) => None,
            Phase::Dead => Some(false),
        }
    }

    /// Has the device be dead, and its holders be none of a device that comes back.
    pub(super) fn end_removal(&mut self, given_up: bool) {
        self.phase = Phase::Dead;
        self.given_up = given_up || self.entries.is_empty();
        for entry in self.entries.iter_mut() {
            // One that is leaving keeps its bytes until it left.
            if entry.stage == Stage::In {
                entry.stage = Stage::Stale;
            }
        }
    }

    /// Has a device that is dead be alive; false if it is being removed.
    pub(super) fn revive(&mut self) -> bool {
        match self.phase {
            Phase::Dying(_) => false,
            Phase::Alive | Phase::Dead => {
                self.phase = Phase::Alive;
                true
            }
        }
    }

    /// See [`Holders::current`](super::holders::Holders::current).
    pub(super) fn current(&self, task: TaskId) -> Option<&H> {
        let called = self.calls_by(task).max_by_key(|call| call.depth);
        let entry = match called {
            Some(call) => self.entries.iter().find(|entry| entry.id == call.holder),
            None => self.entries.iter().find(|entry| entry.stage == Stage::In),
        };
        entry.map(|entry| &entry.holder)
    }
}
