// SPDX-License-Identifier: GPL-2.0

//! Read and write of mapped ranges.
//!
//! While the files in use fit the window, nearly every access is of this kind, and it is only a
//! copy: here are no holes, no shared blocks and no repairable poison, which `fs/dax.c` has to
//! check for at each extent. Anything else goes there (`copy.rs`).

use super::{
    held::Held,
    kiocb::LockedIo,
    window::units::FilePage, //
};

/// Copies between the caller's memory and the range with the first byte, if that can be used at
/// once, up to the end of the range or of the file. Returns the number of bytes.
///
/// Does not wait: neither for the server, nor for page faults of the caller's memory.
#[inline]
pub(super) fn copy<const WRITE: bool>(io: &mut LockedIo<'_, '_, WRITE>) -> usize {
    let inode = io.inode();
    let (size, count) = (inode.size(), io.left());
    let (Some(file), Some(pos)) = (inode.file(), io.pos()) else {
        return 0;
    };
    // Without bytes to copy, no range is used.
    if pos >= size || count == 0 {
        return 0;
    }
    let Some(held) = Held::now(file, FilePage::of_byte(pos), WRITE) else {
        return 0;
    };
    let copied = io.copy_held(&held, (size - pos).min(count as u64));
    drop(held);
    // The caller continues from here, and gets the error itself.
    let copied = copied.unwrap_or(0);
    io.skip(copied);
    copied
}
