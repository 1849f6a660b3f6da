// SPDX-License-Identifier: GPL-2.0

//! Read and write of what the window has.
//!
//! That is nearly all that is read and written while files fit the window, and nothing but a copy:
//! there are no holes here, no blocks that are shared, and no poison that could be repaired, which
//! `fs/dax.c` has to be ready for at each extent. Whatever is not a copy goes there (`io.rs`).

use super::{
    file::FileRef,
    held::Held,
    iomap,
    window::units::FilePage, //
};
use kernel::{
    bindings,
    iov::{
        IovIterDest,
        IovIterSource, //
    }, //
};

/// Copies between the caller's memory and the range that has the first byte, if that can be used at
/// once, no further than that and the file go; how many bytes.
///
/// Waits for nothing: not for the server, and not for page faults of the caller's memory.
///
/// # Safety
///
/// The VFS gave both arguments to read or, if `write`, to write; the inode's lock is held as for
/// `dax_iomap_rw()`.
#[inline]
pub(super) unsafe fn copy(
    iocb: *mut bindings::kiocb,
    iter: *mut bindings::iov_iter,
    write: bool,
) -> usize {
    // SAFETY: The function's contract: the file is open as long as it is used.
    let (file, pos, size, count) = unsafe {
        let inode = (*(*iocb).ki_filp).f_inode;
        (
            FileRef::of(inode),
            u64::try_from((*iocb).ki_pos),
            iomap::size(inode),
            bindings::iov_iter_count(iter),
        )
    };
    let (Some(file), Ok(pos)) = (file, pos) else {
        return 0;
    };
    // Where there is nothing to copy no range is used.
    if pos >= size || count == 0 {
        return 0;
    }
    let Some(held) = Held::now(&file, FilePage::of_byte(pos), write) else {
        return 0;
    };
    let conn = file.conn();
    let (offset, left) = held.place().at_byte(pos);
    // CAST: A range is 2 MiB at most.
    let bytes = left.min(size - pos).min(count as u64) as usize;
    // SAFETY: By the function's contract nobody else uses the iterator, and `write` says which way
    // it goes.
    let copied = unsafe {
        if write {
            let from = IovIterSource::from_raw(iter);
            conn.device().copy_from_iter(offset, bytes, from)
        } else {
            let to = IovIterDest::from_raw(iter);
            conn.device().copy_to_iter(offset, bytes, to)
        }
    };
    drop(held);
    // Who goes on from here finds out about an error.
    let copied = copied.unwrap_or(0);
    // SAFETY: The function's contract. The sum is no more than the size of the file.
    // CAST: A range is 2 MiB at most.
    unsafe { (*iocb).ki_pos += copied as i64 };
    copied
}
