// SPDX-License-Identifier: GPL-2.0

//! The place of a part of a file in the window, for `fs/dax.c`, and how long it is valid.
//!
//! C functions: `fuse_iomap_begin()`, `fuse_iomap_end()`

use super::{
    held::Held,
    vfs::Extent,
    window::{
        acquire::Want,
        units::{
            FilePage,
            FilePages, //
        }, //
    },
};
use kernel::prelude::*;

/// Answers where `extent` begins in the window, and holds the range until the end.
///
/// The answer may be shorter than the query; the part beyond the end of the file is a hole, or
/// `EIO` for a write.
pub(super) fn begin(mut extent: Extent<'_>) -> Result {
    let inode = extent.inode;
    let file = inode.file().ok_or(EIO)?;
    extent.set_device(file.conn().device());

    let size = inode.size();
    if extent.pos >= size {
        // An answer of the server may have made the file shorter since the caller looked. A hole is
        // no answer for a write or a store: `fs/dax.c` would warn.
        if extent.for_write() {
            return Err(EIO);
        }
        extent.set_hole();
        return Ok(());
    }

    let write = extent.for_write();
    let page = FilePage::of_byte(extent.pos);
    let fault = extent.in_fault();
    let held = match fault {
        // The fault holds the range already.
        true => Held::again(file, page, write),
        false => Held::now(file, page, write),
    };
    let held = match held {
        Some(held) => held,
        // A fault acquires its range before this, because other tasks may need the locks that it
        // holds now to make room. If that range is not usable any more, the fault is retried.
        None if fault || extent.nowait() => return Err(EAGAIN),
        None => {
            let want = Want {
                page,
                file_pages: FilePages::of_bytes(size),
                write,
            };
            let held = Held::wait(file, want);
            held.map_err(|failure| Error::from_errno(failure.errno()))?
        }
    };

    let left = size - extent.pos;
    extent.set_mapped(held, left)
}
