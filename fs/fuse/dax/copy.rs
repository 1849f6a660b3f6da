// SPDX-License-Identifier: GPL-2.0

//! Read and write by way of `fs/dax.c`.

use super::{
    kiocb::LockedIo,
    vfs::PagefaultsOff, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};

/// How much of the caller's memory is brought in at a time.
const FAULT_IN: usize = 1 << 20;

/// After so many attempts without progress data goes by way of a page of the kernel's.
const TRIES: u32 = 3;

/// What C calls an error where it expects a size.
pub(super) fn to_size(error: Error) -> isize {
    error.to_errno() as isize
}

/// What C calls the size of what was copied.
pub(super) fn to_copied(bytes: usize) -> isize {
    // CAST: No more than was asked for, which is less than 2 GiB.
    bytes as isize
}

/// Copies up to a page by way of memory that is always there.
///
/// The caller's memory may be a file of the same window. If that has room for one of the two only,
/// this is how both come to be used in turn. No range is used while the caller's memory is.
fn copy_by_page<const WRITE: bool>(io: &mut LockedIo<'_, '_, WRITE>) -> Result<isize> {
    let mut page = KVec::<u8>::zeroed(PAGE_SIZE, GFP_KERNEL)?;
    io.copy_by(&mut page)
}

/// Copies between the caller's memory and the file.
///
/// The copy does not wait for the caller's memory while it uses a range of the window: that memory
/// may be a file of this window itself, and if all tasks had one range and waited for another,
/// none would go on. So page faults are off meanwhile; a copy that stops at one goes on when the
/// memory is there.
fn copy<const WRITE: bool>(io: &mut LockedIo<'_, '_, WRITE>) -> isize {
    let inode = io.inode();
    let mut done: isize = 0;
    let mut tries = 0;
    loop {
        let off = PagefaultsOff::new();
        let copied = io.copy_window();
        drop(off);
        let left = io.left();
        // Or an error that is not for want of memory, or the end of the file.
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
                    // One more try without, then another page.
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

/// Copies what could not be copied at once, after `done` bytes; how many it is with these.
#[cold]
pub(super) fn copy_rest<const WRITE: bool>(io: &mut LockedIo<'_, '_, WRITE>, done: usize) -> isize {
    let copied = copy(io);
    if done > 0 {
        copied.max(0).saturating_add(to_copied(done))
    } else {
        copied
    }
}
