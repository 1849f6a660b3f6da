// SPDX-License-Identifier: GPL-2.0

//! Reads that bypass the window: a request for data and not for a mapping.
//!
//! `window/pass.rs` decides which reads these are.

use super::{
    file::FileRef,
    kiocb::{
        Io,
        LockedIo,
        READ, //
    },
    request::{
        self,
        MOST, //
    },
    window::units::{
        FilePage,
        FilePages, //
    }, //
};
use kernel::prelude::*;

/// A read that may bypass the window.
struct Small {
    /// The first byte.
    pos: u64,
    /// The number of bytes, all of which the file has.
    left: u64,
    /// The size of the file in bytes.
    size: u64,
}

impl Small {
    /// The rest of a read, if it is short and may wait.
    fn of(io: &Io<'_, READ>) -> Option<Self> {
        let (pos, size) = (io.pos()?, io.inode().size());
        let left = size.checked_sub(pos)?.min(io.left() as u64);
        // A server that also opened the file with O_DIRECT refuses an unaligned read.
        let fits = !io.nowait() && !io.direct();
        let may = left > 0 && left <= MOST as u64 && fits;
        may.then_some(Self { pos, left, size })
    }

    /// How many bytes to read past the window; [`None`] if the window should be used.
    fn bytes_past(&self, file: &FileRef) -> Option<usize> {
        let page = FilePage::of_byte(self.pos);
        let file_pages = FilePages::of_bytes(self.size);
        let end = file
            .conn()
            .update(|window| window.pass(file, page, file_pages))?;
        // CAST: At most `MOST`.
        Some(self.left.min(end.byte().saturating_sub(self.pos)) as usize)
    }
}

/// Reads past the window; [`None`] if the window should be used, which is also the case if the
/// server or the lack of memory prevents the read.
///
/// A short read, or an empty one, ends at the end of the file or of a range. Sleeps; a fatal signal
/// ends it (`EINTR`).
pub(super) fn read(io: &mut LockedIo<'_, '_, READ>) -> Option<Result<usize>> {
    let small = Small::of(io)?;
    let inode = io.inode();
    let bytes = small.bytes_past(inode.file()?)?;
    let data = match request::read(io.file(), small.pos, bytes).and_then(|answer| answer.wait()) {
        Ok(data) => data,
        // A mapping needs no memory and no alignment: the server may have opened the file with
        // O_DIRECT although the flag is cleared by now.
        Err(ENOMEM | EINVAL) => return None,
        Err(error) => return Some(Err(error)),
    };
    inode.invalidate_atime();
    // No range is held, because the caller's memory may be in the window.
    let copied = data.copy_to(io);
    if copied == 0 && data.len() > 0 {
        return Some(Err(EFAULT));
    }
    io.skip(copied);
    Some(Ok(copied))
}
