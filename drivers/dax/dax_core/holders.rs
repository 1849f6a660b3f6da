// SPDX-License-Identifier: GPL-2.0

//! Who holds a `dax_device`, and what each holder is told.
//!
//! This file, `failure.rs` and `holder_table.rs` are plain `no_std` Rust without calls to C:
//! `tools/testing/host` runs them under loom and proptest, the kernel with a mutex and a condition
//! variable as its [`Monitor`].

use super::failure::{
    Extent,
    Failure,
    Holder, //
};
use super::holder_table::{
    Begun,
    Refusal,
    Rooms,
    Table,
    TaskId,
    Ticket, //
};
use kernel::{
    dax::units::ByteRange,
    prelude::*, //
};

/// A state that one task at a time looks at or changes, and that others can wait for.
pub(crate) trait Monitor<S> {
    /// Runs `f` with nobody else at the state, then wakes everyone in [`Monitor::wait`].
    fn update<R>(&self, f: impl FnOnce(&mut S) -> R) -> R;

    /// Runs `f`, with nobody else at the state, until it gives a result; sleeps in between.
    ///
    /// `f` must not change what others wait for.
    fn wait<R>(&self, f: impl FnMut(&mut S) -> Option<R>) -> R;
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
///    and it ends however many others come. It goes through those that may have some of what failed,
///    in the order of where they begin, and looks at no others. A holder's range is looked up, under
///    the lock, when its turn has come: what was added to its partition by then is its own.
/// 8. A removal tells each holder exactly once: the registrations cannot grow while the device is
///    dying, and it goes through all of them, in the same order. A holder that unregisters
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
        let mut rooms = Rooms::new().ok();
        self.update(|table| table.add(range, holder, &mut rooms))
    }

    /// Takes back the registration of `holder`; false if there is none.
    ///
    /// Waits for callbacks to `holder` that other tasks run. A holder that can be pinned only gets
    /// here when nothing pins it, and so waits for no longer than it takes to fail to pin it. One
    /// that cannot be pinned may wait for as long as its callback takes, and must not come here
    /// with a lock that its callback takes.
    fn unregister(&self, me: TaskId, holder: &H) -> bool {
        self.wait(|table| table.take_out(me, holder)).is_some()
    }

    /// Tells every holder of bytes of the failure of those of them that it holds.
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
                // The rest was told of the removal.
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
                    // So no other holder has any of it.
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

    /// Removes the device: tells every holder with `flags`, and then runs `close`, which has to
    /// keep new users out and to wait for those that are in.
    ///
    /// A second removal at the same time returns when the first one is through.
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

    /// Brings a dead device back to life; false if it is being removed.
    fn revive(&self) -> bool {
        self.update(Table::revive)
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
