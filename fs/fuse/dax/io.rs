// SPDX-License-Identifier: GPL-2.0

//! Read and write.
//!
//! C functions: `fuse_dax_read_iter()`, `fuse_dax_write_iter()`

use super::{
    hit,
    iomap,
    read, //
};
use kernel::{
    bindings,
    page::PAGE_SIZE,
    prelude::*,
    types::Opaque, //
};

/// How much of the caller's memory is brought in at a time.
const FAULT_IN: usize = 1 << 20;

/// After so many attempts without progress data goes by way of a page of the kernel's.
const TRIES: u32 = 3;

/// What C calls an error where it expects a size.
fn to_size(error: Error) -> isize {
    error.to_errno() as isize
}

/// What C calls the size of what was copied.
fn to_copied(bytes: usize) -> isize {
    // CAST: No more than was asked for, which is less than 2 GiB.
    bytes as isize
}

/// Copies up to a page by way of memory that is always there.
///
/// The caller's memory may be a file of the same window. If that has room for one of the two only,
/// this is how both come to be used in turn. No range is used while the caller's memory is.
///
/// # Safety
///
/// As for [`copy`].
unsafe fn copy_by_page(
    iocb: *mut bindings::kiocb,
    iter: *mut bindings::iov_iter,
    write: bool,
) -> Result<isize> {
    let mut page = KVec::<u8>::zeroed(PAGE_SIZE, GFP_KERNEL)?;
    let base: *mut c_void = page.as_mut_ptr().cast();
    // SAFETY: The function's contract; the page and what describes it stay until the end.
    unsafe {
        let mut bytes = bindings::iov_iter_count(iter).min(PAGE_SIZE);
        if write {
            bytes = bindings::_copy_from_iter(base, bytes, iter);
            if bytes == 0 {
                return Err(EFAULT);
            }
        }
        let vec = bindings::kvec {
            iov_base: base,
            iov_len: bytes,
        };
        // The iterator is all initialised by the function.
        let inner = Opaque::<bindings::iov_iter>::uninit();
        bindings::iov_iter_kvec(inner.get(), write.into(), &raw const vec, 1, bytes);
        let ops = &raw const bindings::rdax_fuse_iomap_ops;
        let copied = bindings::dax_iomap_rw(iocb, inner.get(), ops);
        let done = usize::try_from(copied).unwrap_or(0);
        if write {
            bindings::iov_iter_revert(iter, bytes - done.min(bytes));
            return Ok(copied);
        }
        let arrived = bindings::_copy_to_iter(base, done, iter);
        // CAST: Less than a page.
        (*iocb).ki_pos -= (done - arrived.min(done)) as i64;
        if done > 0 && arrived == 0 {
            return Err(EFAULT);
        }
        Ok(if done > 0 { arrived as isize } else { copied })
    }
}

/// Copies between the caller's memory and the file.
///
/// The copy does not wait for the caller's memory while it uses a range of the window: that memory
/// may be a file of this window itself, and if all tasks had one range and waited for another,
/// none would go on. So page faults are off meanwhile; a copy that stops at one goes on when the
/// memory is there.
///
/// # Safety
///
/// The VFS gave both arguments to read or write; the inode's lock is held as `dax_iomap_rw()` asks.
unsafe fn copy(iocb: *mut bindings::kiocb, iter: *mut bindings::iov_iter, write: bool) -> isize {
    // SAFETY: The function's contract.
    let inode = unsafe { (*(*iocb).ki_filp).f_inode };
    let mut done: isize = 0;
    let mut tries = 0;
    loop {
        // SAFETY: The function's contract; the table is static.
        let (copied, left) = unsafe {
            bindings::pagefault_disable();
            let copied =
                bindings::dax_iomap_rw(iocb, iter, &raw const bindings::rdax_fuse_iomap_ops);
            bindings::pagefault_enable();
            (copied, bindings::iov_iter_count(iter))
        };
        // Or an error that is not for want of memory, or the end of the file.
        let stopped = copied > 0 || copied == to_size(EFAULT);
        done = done.saturating_add(copied.max(0));
        let result = if done > 0 { done } else { copied };
        // SAFETY: The function's contract.
        if left == 0 || !stopped || unsafe { !bindings::user_backed_iter(iter) } {
            return result;
        }
        // SAFETY: The function's contract.
        let at_end =
            unsafe { u64::try_from((*iocb).ki_pos).is_ok_and(|pos| pos >= iomap::size(inode)) };
        if at_end {
            return result;
        }
        tries = if copied > 0 { 0 } else { tries + 1 };
        if tries > TRIES {
            // SAFETY: The function's contract.
            match unsafe { copy_by_page(iocb, iter, write) } {
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
        // SAFETY: The function's contract; nothing that faults wait for is held.
        let missing = unsafe {
            if write {
                bindings::fault_in_iov_iter_readable(iter, bytes)
            } else {
                bindings::fault_in_iov_iter_writeable(iter, bytes)
            }
        };
        if missing >= bytes {
            return result;
        }
    }
}

/// Copies what could not be copied at once, after `done` bytes; how many it is with these.
///
/// # Safety
///
/// As for [`copy`].
#[cold]
unsafe fn copy_rest(
    iocb: *mut bindings::kiocb,
    iter: *mut bindings::iov_iter,
    write: bool,
    done: usize,
) -> isize {
    // SAFETY: The function's contract.
    let copied = unsafe { copy(iocb, iter, write) };
    if done > 0 {
        copied.max(0).saturating_add(to_copied(done))
    } else {
        copied
    }
}

/// Reads what could not be read at once, past the window perhaps, after `done` bytes; how many it is
/// with these.
///
/// # Safety
///
/// As for [`copy`].
#[cold]
unsafe fn read_rest(
    iocb: *mut bindings::kiocb,
    to: *mut bindings::iov_iter,
    mut done: usize,
) -> isize {
    // SAFETY: The function's contract.
    unsafe {
        while let Some(passed) = read::past_window(iocb, to) {
            match passed {
                // The end of the file.
                Ok(0) => return to_copied(done),
                Ok(bytes) => done = done.saturating_add(bytes),
                Err(error) if done == 0 => return to_size(error),
                Err(_) => return to_copied(done),
            }
            done = done.saturating_add(hit::copy(iocb, to, false));
        }
        copy_rest(iocb, to, false, done)
    }
}

/// # Safety
///
/// FUSE calls this for a file with DAX.
#[export]
pub(crate) unsafe extern "C" fn fuse_dax_read_iter(
    iocb: *mut bindings::kiocb,
    to: *mut bindings::iov_iter,
) -> isize {
    // SAFETY: The function's contract.
    unsafe {
        let inode = (*(*iocb).ki_filp).f_inode;
        if (*iocb).ki_flags & bindings::IOCB_NOWAIT == 0 {
            bindings::inode_lock_shared(inode);
        } else if bindings::inode_trylock_shared(inode) == 0 {
            return to_size(EAGAIN);
        }
        let done = hit::copy(iocb, to, false);
        let copied = if bindings::iov_iter_count(to) == 0 {
            to_copied(done)
        } else {
            read_rest(iocb, to, done)
        };
        bindings::inode_unlock_shared(inode);
        copied
    }
}

/// Whether a write would make the file longer.
///
/// # Safety
///
/// As for [`copy`], with the inode's lock held exclusively.
unsafe fn extends(iocb: *mut bindings::kiocb, from: *mut bindings::iov_iter) -> bool {
    // SAFETY: The function's contract.
    let (pos, count, size) = unsafe {
        (
            (*iocb).ki_pos,
            bindings::iov_iter_count(from),
            iomap::size((*(*iocb).ki_filp).f_inode),
        )
    };
    u64::try_from(pos).is_ok_and(|pos| pos >= size || pos.saturating_add(count as u64) > size)
}

/// # Safety
///
/// As for [`copy`], with the inode's lock held exclusively.
unsafe fn write_locked(iocb: *mut bindings::kiocb, from: *mut bindings::iov_iter) -> isize {
    // SAFETY: The function's contract.
    unsafe {
        let checked = bindings::generic_write_checks(iocb, from);
        if checked <= 0 {
            return checked;
        }
        let error = bindings::file_remove_privs((*iocb).ki_filp);
        if error != 0 {
            return error as isize;
        }
        // The server has to make the file longer and put data there in one step, which a copy into
        // the window is not.
        if extends(iocb, from) {
            return bindings::rdax_fuse_direct_write(iocb, from);
        }
        let done = hit::copy(iocb, from, true);
        if bindings::iov_iter_count(from) == 0 {
            to_copied(done)
        } else {
            copy_rest(iocb, from, true, done)
        }
    }
}

/// # Safety
///
/// FUSE calls this for a file with DAX.
#[export]
pub(crate) unsafe extern "C" fn fuse_dax_write_iter(
    iocb: *mut bindings::kiocb,
    from: *mut bindings::iov_iter,
) -> isize {
    // SAFETY: The function's contract.
    unsafe {
        let inode = (*(*iocb).ki_filp).f_inode;
        if (*iocb).ki_flags & bindings::IOCB_NOWAIT == 0 {
            bindings::inode_lock(inode);
        } else if bindings::inode_trylock(inode) == 0 {
            return to_size(EAGAIN);
        }
        let written = write_locked(iocb, from);
        bindings::inode_unlock(inode);
        if written > 0 {
            bindings::generic_write_sync(iocb, written)
        } else {
            written
        }
    }
}
