// SPDX-License-Identifier: GPL-2.0

//! How long a failure waits for what user space may keep locked.

#[cfg(CONFIG_RUST_DAX_KUNIT_TEST)]
use crate::prelude::kunit_tests;
use crate::{
    io::poll::read_poll_timeout,
    time::{
        Delta,
        Instant,
        Monotonic, //
    }, //
};

/// The interval of tries.
const POLL: Delta = Delta::from_millis(1);

/// The time that is left to wait for things that may never come, for all of them together.
///
/// Only the time of waits counts, by the clock: neither the number of tries nor what is done between
/// the waits.
///
/// # Examples
///
/// ```
/// use kernel::{
///     dax::patience::Patience,
///     time::Delta,
/// };
///
/// let mut patience = Patience::new(Delta::from_millis(10));
/// assert_eq!(patience.wait(|| None::<()>), None);
/// // No time is left, and what is there is found.
/// assert_eq!(patience.wait(|| Some(1)), Some(1));
/// ```
pub struct Patience {
    left: Delta,
}

impl Patience {
    /// So much time for all waits together.
    pub const fn new(left: Delta) -> Self {
        Self { left }
    }

    /// Calls `f` until it returns [`Some`], or no time is left: then returns [`None`]. `f` is called
    /// at least once, and once more after each sleep. Sleeps. Based on [`read_poll_timeout`].
    pub fn wait<T>(&mut self, mut f: impl FnMut() -> Option<T>) -> Option<T> {
        // Most often nothing is locked, and no time needs to be looked up.
        if let Some(found) = f() {
            return Some(found);
        }
        self.wait_more(f)
    }

    #[cold]
    fn wait_more<T>(&mut self, mut f: impl FnMut() -> Option<T>) -> Option<T> {
        if self.left.is_zero() {
            return None;
        }
        let began = Instant::<Monotonic>::now();
        let found = read_poll_timeout(|| Ok(f()), Option::is_some, POLL, self.left);
        self.left = (self.left - began.elapsed()).max(Delta::ZERO);
        found.ok().flatten()
    }
}

#[cfg(CONFIG_RUST_DAX_KUNIT_TEST)]
#[kunit_tests(rust_dax_patience)]
mod tests {
    use super::*;
    use crate::time::delay::fsleep;

    #[test]
    fn slow_tries_take_no_longer() {
        let mut tries = 0;
        let slow = || {
            fsleep(Delta::from_millis(20));
            tries += 1;
            None::<()>
        };
        let mut patience = Patience::new(Delta::from_millis(100));
        assert_eq!(patience.wait(slow), None);
        // Five take all the time, and the first is before it. A slow machine does fewer.
        assert!((2..=6).contains(&tries));
    }

    #[test]
    fn one_time_for_all_waits() {
        let mut patience = Patience::new(Delta::from_millis(10));
        assert_eq!(patience.wait(|| None::<()>), None);
        let mut tries = 0;
        let never = || {
            tries += 1;
            None::<()>
        };
        assert_eq!(patience.wait(never), None);
        assert_eq!(tries, 1);
        assert_eq!(patience.wait(|| Some(1)), Some(1));
    }

    #[test]
    fn what_comes_in_time_is_found() {
        let mut patience = Patience::new(Delta::from_secs(3600));
        for wanted in 1..4 {
            let mut tries = 0;
            let late = || {
                tries += 1;
                (tries == wanted).then_some(wanted)
            };
            assert_eq!(patience.wait(late), Some(wanted));
        }
    }
}
