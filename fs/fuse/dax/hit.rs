// SPDX-License-Identifier: GPL-2.0

//! Read and write of what the window has.
//!
//! That is nearly all that is read and written while files fit the window, and nothing but a copy:
//! there are no holes here, no blocks that are shared, and no poison that could be repaired, which
//! `fs/dax.c` has to be ready for at each extent. Whatever is not a copy goes there (`copy.rs`).

use super::{
    held::Held,
    kiocb::LockedIo,
    window::units::FilePage, //
};

/// Copies between the caller's memory and the range that has the first byte, if that can be used at
/// once, no further than that and the file go; how many bytes.
///
/// Waits for nothing: not for the server, and not for page faults of the caller's memory.
#[inline]
pub(super) fn copy<const WRITE: bool>(io: &mut LockedIo<'_, '_, WRITE>) -> usize {
    let inode = io.inode();
    let (size, count) = (inode.size(), io.left());
    let (Some(file), Some(pos)) = (inode.file(), io.pos()) else {
        return 0;
    };
    // Where there is nothing to copy no range is used.
    if pos >= size || count == 0 {
        return 0;
    }
    let Some(held) = Held::now(file, FilePage::of_byte(pos), WRITE) else {
        return 0;
    };
    let conn = file.conn();
    let (offset, left) = held.place().at_byte(pos);
    // CAST: A range is 2 MiB at most.
    let bytes = left.min(size - pos).min(count as u64) as usize;
    let copied = io.copy_device(conn.device(), offset, bytes);
    drop(held);
    // What goes on from here finds out about an error.
    let copied = copied.unwrap_or(0);
    io.skip(copied);
    copied
}
