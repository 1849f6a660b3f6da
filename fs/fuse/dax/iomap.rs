// SPDX-License-Identifier: GPL-2.0

//! Where a part of a file is in the window: what `fs/dax.c` asks, and how long that stays so.
//!
//! C functions: `fuse_iomap_begin()`, `fuse_iomap_end()`

use super::{
    file::FileRef,
    held::Held,
    window::{
        acquire::Want,
        units::{
            FilePage,
            RangeId,
            PAGE_SHIFT, //
        },
    },
};
use kernel::{
    bindings,
    page::PAGE_SIZE,
    prelude::*, //
};

const _: () = assert!(PAGE_SIZE == 1 << PAGE_SHIFT);

/// The size of a file in bytes, as it is now.
///
/// # Safety
///
/// `inode` must be an inode that the caller keeps.
#[inline]
pub(crate) unsafe fn size(inode: *mut bindings::inode) -> u64 {
    // SAFETY: The function's contract.
    let size = unsafe { bindings::i_size_read(inode) };
    u64::try_from(size).unwrap_or(0)
}

/// `IOMAP_NULL_ADDR`: nowhere in the window.
const NULL_ADDR: u64 = u64::MAX;

/// What `iomap.private` says of a range.
fn to_private(id: RangeId) -> *mut c_void {
    core::ptr::without_provenance_mut(id.0 as usize + 1)
}

fn from_private(private: *mut c_void) -> Option<RangeId> {
    let id = private.addr().checked_sub(1)?;
    u32::try_from(id).ok().map(RangeId)
}

/// What `rdax_fuse_iomap_begin` is asked for.
struct Request {
    /// Of the file, in bytes.
    pos: u64,
    length: u64,
    flags: c_uint,
}

/// Says where `request` begins in the window, and has the range stay until the end.
///
/// The answer may be for less than was asked for; what is past the end of the file is a hole.
///
/// # Safety
///
/// `inode` must be an inode of FUSE with DAX that the caller keeps.
unsafe fn begin(
    inode: *mut bindings::inode,
    request: &Request,
    iomap: &mut bindings::iomap,
) -> Result {
    // SAFETY: The function's contract.
    let file = unsafe { FileRef::of(inode) }.ok_or(EIO)?;
    let conn = file.conn();
    iomap.dax_dev = conn.device().as_raw();

    // SAFETY: The function's contract.
    let size = unsafe { size(inode) };
    if request.pos >= size {
        iomap.addr = NULL_ADDR;
        iomap.length = request.length;
        // CAST: The types of mappings are small numbers.
        iomap.type_ = bindings::IOMAP_HOLE as u16;
        return Ok(());
    }

    let write = request.flags & bindings::IOMAP_WRITE != 0;
    let page = FilePage::of_byte(request.pos);
    let fault = request.flags & bindings::IOMAP_FAULT != 0;
    let held = match fault {
        // The fault uses the range already.
        true => Held::again(&file, page, write),
        false => Held::now(&file, page, write),
    };
    let held = match held {
        Some(held) => held,
        // A fault has a range before it comes here, because what it has locked by now others may
        // need to make room. If that range is not good any more, the fault starts anew.
        None if fault || request.flags & bindings::IOMAP_NOWAIT != 0 => {
            return Err(EAGAIN);
        }
        None => {
            let want = Want {
                page,
                file_pages: size.div_ceil(PAGE_SIZE as u64),
                write,
            };
            let held = Held::wait(&file, want);
            held.map_err(|failure| Error::from_errno(failure.errno()))?
        }
    };

    let (offset, left) = held.place().at_byte(request.pos);
    let mut length = request.length.min(left).min(size - request.pos);
    if fault {
        length = length.next_multiple_of(PAGE_SIZE as u64);
    }
    iomap.addr = offset;
    iomap.length = length;
    // CAST: As above.
    iomap.type_ = bindings::IOMAP_MAPPED as u16;
    iomap.private = to_private(held.into_id());
    Ok(())
}

/// # Safety
///
/// `fs/dax.c` calls this, through `iomap_iter()`, for an inode with DAX that it keeps.
#[export]
pub(crate) unsafe extern "C" fn rdax_fuse_iomap_begin(
    inode: *mut bindings::inode,
    pos: bindings::loff_t,
    length: bindings::loff_t,
    flags: c_uint,
    iomap: *mut bindings::iomap,
    _srcmap: *mut bindings::iomap,
) -> c_int {
    // There is no FIEMAP for what is in the window: it comes and goes.
    let report = flags & bindings::IOMAP_REPORT != 0;
    let (Ok(start), Ok(len), false) = (u64::try_from(pos), u64::try_from(length), report) else {
        return EIO.to_errno();
    };
    // SAFETY: The function's contract.
    let iomap = unsafe { &mut *iomap };
    iomap.offset = pos;
    iomap.flags = 0;
    iomap.bdev = core::ptr::null_mut();
    let request = Request {
        pos: start,
        length: len,
        flags,
    };
    // SAFETY: The function's contract.
    match unsafe { begin(inode, &request, iomap) } {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

/// # Safety
///
/// As for [`rdax_fuse_iomap_begin`], with what that filled in.
#[export]
pub(crate) unsafe extern "C" fn rdax_fuse_iomap_end(
    inode: *mut bindings::inode,
    _pos: bindings::loff_t,
    _length: bindings::loff_t,
    _written: isize,
    _flags: c_uint,
    iomap: *mut bindings::iomap,
) -> c_int {
    // SAFETY: The function's contract.
    let (private, file) = unsafe { ((*iomap).private, FileRef::of(inode)) };
    if let (Some(id), Some(file)) = (from_private(private), file) {
        // SAFETY: The function's contract: `begin()` left this one use.
        unsafe { Held::end(&file, id) };
    }
    // Writes past the end of the file do not come here, so that its size is what it was.
    0
}
