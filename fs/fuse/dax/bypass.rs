// SPDX-License-Identifier: GPL-2.0

//! Reads past the window: the server is asked for data and not for a mapping.
//!
//! When that is, `window/pass.rs` says.

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
    window::units::FilePage, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};

/// A read that may go past the window.
struct Small {
    /// From where on, in bytes.
    pos: u64,
    /// How many bytes, of which the file has all.
    left: u64,
    /// The size of the file in bytes.
    size: u64,
}

impl Small {
    /// What is left of a read, if it is short and waits.
    fn of(io: &Io<'_, READ>) -> Option<Self> {
        let (pos, size) = (io.pos()?, io.inode().size());
        let left = size.checked_sub(pos)?.min(io.left() as u64);
        // A server that has opened the file with O_DIRECT, too, refuses a read that is not aligned.
        let fits = !io.nowait() && !io.direct();
        let may = left > 0 && left <= MOST as u64 && fits;
        may.then_some(Self { pos, left, size })
    }

    /// How many bytes should be read past the window; [`None`] if the window should be used.
    fn bytes_past(&self, file: &FileRef) -> Option<usize> {
        let page = FilePage::of_byte(self.pos);
        let file_pages = self.size.div_ceil(PAGE_SIZE as u64);
        let end = file
            .conn()
            .update(|window| window.pass(file, page, file_pages))?;
        // CAST: At most `MOST`.
        Some(self.left.min(end.byte().saturating_sub(self.pos)) as usize)
    }
}

/// Reads what should be read past the window; [`None`] if the window should be used, also because
/// the server or this machine's memory does not allow for it.
///
/// Less than was asked for, or nothing, is the end of the file, or that of a range. Sleeps; a fatal
/// signal ends it (`EINTR`).
pub(super) fn read(io: &mut LockedIo<'_, '_, READ>) -> Option<Result<usize>> {
    let small = Small::of(io)?;
    let inode = io.inode();
    let bytes = small.bytes_past(inode.file()?)?;
    let data = match request::read(io.file(), small.pos, bytes).and_then(|answer| answer.wait()) {
        Ok(data) => data,
        // A mapping needs no memory, and no alignment: the file may have been opened with O_DIRECT
        // although it has the flag no more.
        Err(ENOMEM | EINVAL) => return None,
        Err(error) => return Some(Err(error)),
    };
    inode.invalidate_atime();
    // No range is used: the caller's memory may be of the window.
    let copied = data.copy_to(io);
    if copied == 0 && data.len() > 0 {
        return Some(Err(EFAULT));
    }
    io.skip(copied);
    Some(Ok(copied))
}
