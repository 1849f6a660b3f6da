// SPDX-License-Identifier: GPL-2.0

//! The monitor of `holders.rs`, made of a mutex and a condition variable.

use super::holders::Monitor;
use kernel::{
    prelude::*,
    sync::{
        new_condvar,
        new_mutex,
        CondVar,
        Mutex, //
    },
};

/// A [`Monitor`] that sleeps; for process context only.
#[pin_data]
pub(crate) struct Sleeping<S> {
    #[pin]
    state: Mutex<Guarded<S>>,
    #[pin]
    changed: CondVar,
}

/// What the lock guards.
struct Guarded<S> {
    state: S,
    /// The number of tasks that sleep: if it is 0, there is no need to wake any.
    sleepers: usize,
}

impl<S> Sleeping<S> {
    pub(crate) fn new(state: S) -> impl PinInit<Self> {
        pin_init!(Self {
            state <- new_mutex!(Guarded { state, sleepers: 0 }, "dax_device::state"),
            changed <- new_condvar!("dax_device::changed"),
        })
    }
}

impl<S: Unpin> Monitor<S> for Sleeping<S> {
    fn update<R>(&self, f: impl FnOnce(&mut S) -> R) -> R {
        let mut guarded = self.state.lock();
        let result = f(&mut guarded.state);
        let anyone_sleeps = guarded.sleepers != 0;
        drop(guarded);
        if anyone_sleeps {
            self.changed.notify_all();
        }
        result
    }

    /// Not even a fatal signal ends the wait: a device or a holder that goes away too early leaves
    /// freed memory to others. The wait is for callbacks, which end.
    fn wait<R>(&self, mut f: impl FnMut(&mut S) -> Option<R>) -> R {
        let mut guarded = self.state.lock();
        loop {
            if let Some(result) = f(&mut guarded.state) {
                return result;
            }
            // `CondVar::wait` queues this task before it releases the lock: a task that sees the
            // count wakes it.
            guarded.sleepers += 1;
            self.changed.wait(&mut guarded);
            guarded.sleepers -= 1;
        }
    }
}
