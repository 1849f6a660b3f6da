// SPDX-License-Identifier: GPL-2.0

//! Read and write through `fs/dax.c`.

use super::{
    kiocb::LockedIo,
    vfs::PagefaultsOff, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};

/// How much of the caller's memory is faulted in at a time.
const FAULT_IN: usize = 1 << 20;

/// After this many attempts without progress, data is copied through a kernel page.
const TRIES: u32 = 3;

/// Converts an error to C's `ssize_t`.
pub(super) fn to_size(error: Error) -> isize {
    error.to_errno() as isize
}

/// Converts a number of copied bytes to C's `ssize_t`.
pub(super) fn to_copied(bytes: usize) -> isize {
    // CAST: No more than was asked for, which is less than 2 GiB.
    bytes as isize
}

/// Copies up to a page through a kernel page, which is always present.
///
/// The caller's memory may be a file in the same window. If the window has room for only one of the
/// two ranges, this uses them one after the other: no range is held while the caller's memory is
/// accessed.
fn copy_by_page<const WRITE: bool>(io: &mut LockedIo<'_, '_, WRITE>) -> Result<isize> {
    let mut page = KVec::<u8>::zeroed(PAGE_SIZE, GFP_KERNEL)?;
    io.copy_by(&mut page)
}

/// Copies between the caller's memory and the file.
///
/// The copy must not wait for the caller's memory while it holds a range: that memory may be a file
/// in the same window, and if all tasks held one range and waited for another, there would be a
/// deadlock. So page faults are disabled; a copy that stops at one continues when the memory was
/// faulted in.
fn copy<const WRITE: bool>(io: &mut LockedIo<'_, '_, WRITE>) -> isize {
    let inode = io.inode();
    let mut done: isize = 0;
    let mut tries = 0;
    loop {
        let off = PagefaultsOff::new();
        let copied = io.copy_window();
        drop(off);
        let left = io.left();
        // Or an error other than missing memory, or the end of the file.
        let stopped = copied > 0 || copied == to_size(EFAULT);
        done = done.saturating_add(copied.max(0));
        let result = if done > 0 { done } else { copied };
        if left == 0 || !stopped || !io.user_backed() {
            return result;
        }
        if io.pos().is_some_and(|pos| pos >= inode.size()) {
            return result;
        }
        tries = if copied > 0 { 0 } else { tries + 1 };
        if tries > TRIES {
            match copy_by_page(io) {
                Ok(copied) if copied > 0 => {
                    done = done.saturating_add(copied);
                    // Try once more without, and then use a page again.
                    tries = TRIES;
                    continue;
                }
                Ok(copied) => return if done > 0 { done } else { copied },
                Err(_) if done > 0 => return done,
                Err(error) => return to_size(error),
            }
        }
        let bytes = left.min(FAULT_IN);
        if kernel::current!().fatal_signal_pending() {
            return if done > 0 { done } else { to_size(EINTR) };
        }
        let missing = io.fault_in(bytes);
        if missing >= bytes {
            return result;
        }
    }
}

/// Copies the rest after `done` bytes. Returns the total.
#[cold]
pub(super) fn copy_rest<const WRITE: bool>(io: &mut LockedIo<'_, '_, WRITE>, done: usize) -> isize {
    let copied = copy(io);
    if done > 0 {
        copied.max(0).saturating_add(to_copied(done))
    } else {
        copied
    }
}
