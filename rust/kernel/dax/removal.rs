// SPDX-License-Identifier: GPL-2.0

//! How long a removal waits for pages that are in use.

use crate::{
    bindings,
    time::{
        delay::fsleep,
        Delta,
        Instant,
        Monotonic, //
    },
};

/// Waits until tasks that dropped the last references to pages do not access the page structs any
/// more. Sleeps.
pub fn wait_for_puts() {
    // SAFETY: Has no preconditions but that the task may sleep.
    unsafe { bindings::mf_wait_for_puts() };
}

/// The interval of checks of a page that is in use.
const POLL: Delta = Delta::from_millis(20);
/// The time after which the log says for the first time what a removal waits for.
const FIRST_WORDS: Delta = Delta::from_secs(1);
/// The interval of later messages.
const MORE_WORDS: Delta = Delta::from_secs(10);
/// How long a kernel thread waits. Such a thread removes a device that is unplugged, and no signal
/// ends its wait.
const THREAD_PATIENCE: Delta = Delta::from_secs(20);

/// Whether the machine is being halted or restarted, and not suspended.
fn is_going_down() -> bool {
    // SAFETY: An aligned number, which is written as a whole.
    let state = unsafe { (&raw const bindings::system_state).read_volatile() };
    matches!(
        state,
        bindings::system_states_SYSTEM_HALT
            | bindings::system_states_SYSTEM_POWER_OFF
            | bindings::system_states_SYSTEM_RESTART
    )
}

/// The wait of a removal for pages that user space holds, which has no fixed limit.
///
/// # Examples
///
/// ```
/// use core::cell::Cell;
/// use kernel::dax::removal::{wait_for_puts, RemovalWait};
///
/// fn wait_until(idle: impl Fn() -> bool) -> Result {
///     let mut wait = RemovalWait::new();
///     while !idle() {
///         if wait.is_over() {
///             return Err(EINTR);
///         }
///         if wait.has_words() {
///             pr_info!("waiting for pages that are in use\n");
///         }
///         wait.pause();
///     }
///     wait_for_puts();
///     Ok(())
/// }
///
/// let users = Cell::new(2_u32);
/// wait_until(|| users.replace(users.get().saturating_sub(1)) == 0)?;
/// assert_eq!(users.get(), 0);
/// # Ok::<(), Error>(())
/// ```
pub struct RemovalWait {
    since: Instant<Monotonic>,
    words_at: Delta,
}

impl RemovalWait {
    /// Begins the wait.
    #[expect(clippy::new_without_default)]
    pub fn new() -> Self {
        Self {
            since: Instant::now(),
            words_at: FIRST_WORDS,
        }
    }

    /// Whether the wait has to end although pages are in use: the task is killed, the machine shuts
    /// down, which needs the lock of the device, or a kernel thread has waited for 20 s. The pages
    /// have to stay then.
    pub fn is_over(&self) -> bool {
        let task = crate::current!();
        // SAFETY: The task is the current one, and no other changes its flags.
        let flags = unsafe { (*task.as_ptr()).flags };
        let is_thread = flags & bindings::PF_KTHREAD != 0;
        task.fatal_signal_pending()
            || is_going_down()
            || (is_thread && self.since.elapsed() >= THREAD_PATIENCE)
    }

    /// Whether it is time for a message about the wait.
    pub fn has_words(&mut self) -> bool {
        let waited = self.since.elapsed();
        if waited < self.words_at {
            return false;
        }
        self.words_at = waited + MORE_WORDS;
        true
    }

    /// Sleeps for the interval of checks.
    pub fn pause(&self) {
        fsleep(POLL);
    }
}
