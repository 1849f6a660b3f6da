// SPDX-License-Identifier: GPL-2.0

//! When the guest's memory is as the VMM was asked to lay it out.
//!
//! QEMU answers SHMEM_MAP before it does that (its commit would wait for the daemon, which waits for
//! the answer), so that a guest that is told at once may look too soon, and find zeroes.  Each
//! change ends in the VMM telling the daemon of the memory that there is now: by then it is so.

use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

/// How long the VMM may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Counts how often the VMM told of the memory.
#[derive(Debug, Default)]
pub struct Settled {
    told: Mutex<u64>,
    changed: Condvar,
}

impl Settled {
    /// The VMM told of the memory.
    pub fn told(&self) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.changed.notify_all();
    }

    /// Runs `change`, which has the VMM change the memory, and returns once it told of it.
    ///
    /// One change at a time, so that what the VMM tells of is this one.
    pub fn after<E>(&self, change: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        self.after_within(PATIENCE, change)
    }

    fn after_within<E>(
        &self,
        patience: Duration,
        change: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let before = *self.told.lock().unwrap_or_else(PoisonError::into_inner);
        change()?;
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let (_told, waited) = self
            .changed
            .wait_timeout_while(told, patience, |told| *told == before)
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            log::warn!("the VMM changed the window and did not tell of the memory");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;
    use std::sync::atomic::Ordering::SeqCst;
    use std::sync::Arc;

    #[test]
    fn it_is_waited_for() {
        let settled = Arc::new(Settled::default());
        let is_so = Arc::new(AtomicBool::new(false));
        settled.told();
        for _ in 0..20 {
            is_so.store(false, SeqCst);
            let (vmm, committed) = (settled.clone(), is_so.clone());
            settled
                .after_within(Duration::from_secs(60), || {
                    std::thread::spawn(move || {
                        std::thread::yield_now();
                        committed.store(true, SeqCst);
                        vmm.told();
                    });
                    Ok::<_, ()>(())
                })
                .unwrap();
            assert!(is_so.load(SeqCst));
        }
    }

    #[test]
    fn what_was_told_at_once_counts() {
        let settled = Settled::default();
        let change = || {
            settled.told();
            Ok::<_, ()>(())
        };
        settled
            .after_within(Duration::from_secs(60), change)
            .unwrap();
    }

    #[test]
    fn what_failed_is_not_waited_for_and_nothing_for_ever() {
        let settled = Settled::default();
        assert_eq!(settled.after_within(Duration::MAX, || Err(5)), Err(5));
        let nothing = settled.after_within(Duration::from_millis(1), || Ok::<_, ()>(()));
        assert_eq!(nothing, Ok(()));
    }
}
