// SPDX-License-Identifier: GPL-2.0

//! The holders of a `dax_device`, and how they are notified.
//!
//! This file, `failure.rs` and `holder_table.rs` are plain `no_std` Rust without calls to C:
//! `tools/testing/host` runs them under loom and proptest, the kernel with a mutex and a condition
//! variable as its [`Monitor`].

use super::failure::{
    Extent,
    Failure,
    Holder,
    Ticket, //
};
use super::holder_table::{
    Begun,
    Refusal,
    Rooms,
    Table,
    TaskId, //
};
use kernel::{
    dax::units::ByteRange,
    prelude::*, //
};

/// A state that one task at a time accesses, and on which other tasks can wait.
pub(crate) trait Monitor<S> {
    /// Runs `f` with exclusive access to the state, then wakes all tasks in [`Monitor::wait`].
    fn update<R>(&self, f: impl FnOnce(&mut S) -> R) -> R;

    /// Runs `f`, with exclusive access to the state, until it gives a result; sleeps in between.
    ///
    /// `f` must not change what others wait for.
    fn wait<R>(&self, f: impl FnMut(&mut S) -> Option<R>) -> R;
}

/// The result of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The device is dead.
    Dead,
    /// Some of the bytes have no holder that deals with them; the caller has to.
    Unheld,
    /// Every holder was notified. The error is that of the first one that failed.
    Told(Result),
}

impl Outcome {
    /// Combines two outcomes.
    ///
    /// [`Outcome::Unheld`] is stronger than a holder's error: it makes the caller kill the users of
    /// the bytes, while the error is only logged.
    fn and(self, other: Outcome) -> Outcome {
        match (self, other) {
            (Outcome::Dead, _) | (_, Outcome::Dead) => Outcome::Dead,
            (Outcome::Unheld, _) | (_, Outcome::Unheld) => Outcome::Unheld,
            (Outcome::Told(Err(e)), _) | (_, Outcome::Told(Err(e))) => Outcome::Told(Err(e)),
            _ => Outcome::Told(Ok(())),
        }
    }
}

/// The holders of a device, and the protocol by which they register, are notified and unregister.
///
/// A device and a registration are state machines:
///
/// 1. A device is *alive*, *dying* or *dead*. [`Holders::kill`] takes it from alive to dying; the
///    same call takes it to dead when every holder was notified and the device is not in use any
///    more. [`Holders::revive`] takes it from dead to alive. Nothing else changes it.
/// 2. A holder registers while the device is alive. A registered holder is always notified of the
///    removal, because registering and the step to dying exclude each other.
/// 3. A registration is *in* until its holder begins to unregister, when it is *leaving*, or its
///    device is dead, when it is *stale*; then no callback starts any more. Only its holder removes
///    it. The bytes of one that is leaving are not free yet: its callbacks may still use them.
/// 4. A callback is noted before it starts, together with its task, and the note is removed when it
///    has returned. Neither happens under a lock of the holder's; the callback itself runs under no
///    lock at all, and in no read section.
/// 5. Unregistering returns when the registration is not in and no note of it is left except those
///    of the task that unregisters: a holder may unregister in its own callback. (In one callback
///    only: two callbacks that both unregister would wait for each other forever.)
/// 6. Between note and callback the holder is *pinned*. A holder that cannot be pinned is going
///    away and is skipped. The note is removed before the pin is released, so that a holder that is
///    freed with its last pin does not wait for itself.
/// 7. A notification is for the holders that are registered when it begins: their ranges do not
///    overlap, and it ends however many others register. It visits only the registrations that may
///    overlap what failed, in the order of their starts. A holder's range is looked up under the
///    lock when it is visited: what was added to its partition by then is its own.
/// 8. A removal notifies each holder exactly once: no holder can register while the device is
///    dying, and the removal visits all of them, in the same order. A holder that unregisters
///    before it is visited is not notified.
/// 9. A removal waits for users of the memory, not for callbacks of other notifications: these have
///    noted their holder, not the device, and may be waiting for this removal. There is a note for
///    the removal however many of them there are.
pub(crate) trait Holders<H: Holder>: Monitor<Table<H>> + Sized {
    /// Reads the state. Wakes no task, because nothing changes.
    fn look<R>(&self, f: impl FnOnce(&Table<H>) -> R) -> R {
        let mut f = Some(f);
        self.wait(|table| f.take().map(|f| f(table)))
    }

    /// Registers `holder` for `range`: from now on it is notified of failures there, and of the
    /// device's removal.
    fn register(&self, range: ByteRange, holder: &H) -> Result<(), Refusal> {
        let mut rooms = Rooms::new().ok();
        self.update(|table| table.add(range, holder, &mut rooms))
    }

    /// Takes back the registration of `holder`; false if there is none.
    ///
    /// Waits for callbacks of `holder` that other tasks run. A holder with pin operations calls
    /// this only when it cannot be pinned any more, so it waits only for attempts to pin it. A
    /// holder without them waits for its callback, and must not call this with a lock that its
    /// callback takes.
    fn unregister(&self, me: TaskId, holder: &H) -> bool {
        self.wait(|table| table.take_out(me, holder)).is_some()
    }

    /// Notifies every holder of the part of the failure that it holds.
    ///
    /// `me` is the task that runs this. No lock may be held that a holder's callback takes.
    fn notify(&self, me: TaskId, failure: &Failure) -> Outcome {
        let mut outcome = Outcome::Told(Ok(()));
        let mut told = 0u64;
        let mut nobody = true;
        let mut walk = None;
        loop {
            let begun = self.wait(|table| {
                let walk = walk.get_or_insert_with(|| table.walk(failure.extent));
                table.begin(me, walk)
            });
            match begun {
                Begun::Dead if nobody => return Outcome::Dead,
                // The removal has notified the remaining holders.
                Begun::Dead => break,
                Begun::NoneLeft => break,
                Begun::Passed => {}
                Begun::Call(ticket) => {
                    nobody = false;
                    if let Extent::Bytes(bytes) = ticket.extent {
                        // Registrations do not overlap, so this is no more than the failure's.
                        told = told.saturating_add(bytes.len());
                    }
                    outcome = outcome.and(call(self, ticket, failure.flags));
                    // No other holder can have any of it.
                    if matches!(failure.extent, Extent::Bytes(bytes) if told >= bytes.len()) {
                        break;
                    }
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

    /// Removes the device: notifies every holder with `flags`, then runs `close`, which has to keep
    /// new users out and to wait for the present ones.
    ///
    /// If another task is removing the device, this returns when that removal has ended.
    fn kill(&self, me: TaskId, flags: i32, close: impl FnOnce()) {
        if !self.wait(|table| table.begin_removal(me)) {
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
        let told = outcome == Outcome::Told(Ok(()));
        let left = self.update(|table| table.end_removal(told));
        drop(left);
    }

    /// Makes a dead device alive; false if it is being removed.
    fn revive(&self) -> bool {
        self.update(Table::revive)
    }

    /// The holder whose callback the task `me` runs, or else the longest registered holder.
    ///
    /// A callback gets only the device. On a device with several holders, this is how it finds its
    /// own.
    fn current(&self, me: TaskId) -> Option<H> {
        self.look(|table: &Table<H>| table.current(me).cloned())
    }
}

impl<H: Holder, M: Monitor<Table<H>>> Holders<H> for M {}

/// Makes the call of `ticket`.
fn call<H: Holder>(table: &impl Monitor<Table<H>>, ticket: Ticket<H>, flags: i32) -> Outcome {
    let held = ticket.holder();
    let called = H::pin(&held).map(|pin| {
        let failure = Failure {
            extent: ticket.extent,
            flags,
        };
        (pin, H::notify(&held, &failure))
    });
    let told = called.as_ref().map(|(_, result)| result);
    let holder = table.update(|table| table.end(ticket, told));
    let Some((pin, result)) = called else {
        return Outcome::Unheld;
    };
    holder.unpin(pin);
    match result {
        // A holder returns this if it cannot find the users of the bytes.
        Err(e) if e == EOPNOTSUPP => Outcome::Unheld,
        result => Outcome::Told(result),
    }
}
