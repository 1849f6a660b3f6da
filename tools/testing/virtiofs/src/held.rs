// SPDX-License-Identifier: GPL-2.0

//! What a fault holds up: until its time is over, or until `reset`.

use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

/// How long something is held up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    pub time: Duration,
    /// How often all was let go before it.
    generation: u64,
}

impl Hold {
    /// The same, for that time.
    pub fn lasting(self, time: Duration) -> Self {
        Hold { time, ..self }
    }
}

/// Counts how often all that is held up was let go.
#[derive(Debug, Default)]
pub struct Held {
    generation: Mutex<u64>,
    changed: Condvar,
}

impl Held {
    /// A hold that the next [`Self::let_go`] ends, whether a thread waits by then or not.
    pub fn hold(&self, time: Duration) -> Hold {
        let generation = *self
            .generation
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Hold { time, generation }
    }

    /// Returns when the hold is over.
    pub fn wait(&self, hold: Hold) {
        let generation = self
            .generation
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (_generation, _) = self
            .changed
            .wait_timeout_while(generation, hold.time, |now| *now == hold.generation)
            .unwrap_or_else(PoisonError::into_inner);
    }

    /// All holds of before are over.
    pub fn let_go(&self) {
        *self
            .generation
            .lock()
            .unwrap_or_else(PoisonError::into_inner) += 1;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    /// Longer than any test runs.
    const LONG: Duration = Duration::from_secs(100_000);

    #[test]
    fn a_hold_has_its_time() {
        let held = Held::default();
        let began = Instant::now();
        held.wait(held.hold(Duration::from_millis(50)));
        assert!(began.elapsed() >= Duration::from_millis(50));
    }

    #[test]
    fn what_is_let_go_before_a_thread_waits_is_over() {
        let held = Held::default();
        let hold = held.hold(LONG);
        held.let_go();
        held.wait(hold);
        assert_ne!(held.hold(LONG), hold);
    }

    #[test]
    fn all_who_wait_are_let_go() {
        let held = Held::default();
        let hold = held.hold(LONG);
        std::thread::scope(|scope| {
            let waiters: Vec<_> = (0..3).map(|_| scope.spawn(|| held.wait(hold))).collect();
            std::thread::sleep(Duration::from_millis(50));
            assert!(waiters.iter().all(|waiter| !waiter.is_finished()));
            held.let_go();
        });
    }
}
