// SPDX-License-Identifier: GPL-2.0

//! A lock and the wait for what it guards.

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

/// A [`Monitor`] that sleeps: it may be used in process context only.
#[pin_data]
pub(crate) struct Sleeping<S> {
    #[pin]
    state: Mutex<S>,
    #[pin]
    changed: CondVar,
}

impl<S> Sleeping<S> {
    pub(crate) fn new(state: S) -> impl PinInit<Self> {
        pin_init!(Self {
            state <- new_mutex!(state, "dax_device::state"),
            changed <- new_condvar!("dax_device::changed"),
        })
    }
}

impl<S: Unpin> Monitor<S> for Sleeping<S> {
    fn update<R>(&self, f: impl FnOnce(&mut S) -> R) -> R {
        let result = f(&mut self.state.lock());
        self.changed.notify_all();
        result
    }

    /// Not even a fatal signal ends the wait: a device or a holder that goes away before its time
    /// leaves others with freed memory. What is waited for are callbacks, which end.
    fn wait<R>(&self, mut f: impl FnMut(&mut S) -> Option<R>) -> R {
        let mut state = self.state.lock();
        loop {
            if let Some(result) = f(&mut state) {
                return result;
            }
            self.changed.wait(&mut state);
        }
    }
}
