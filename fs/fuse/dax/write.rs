// SPDX-License-Identifier: GPL-2.0

//! Write.
//!
//! C function: `fuse_dax_write_iter()`

use super::{
    copy::{
        copy_rest,
        to_copied,
        to_size, //
    },
    hit,
    kiocb::{
        Io,
        LockedIo,
        WRITE, //
    }, //
};

/// Whether a write would make the file longer.
fn extends(io: &LockedIo<'_, '_, WRITE>) -> bool {
    let size = io.inode().size();
    io.pos()
        .is_some_and(|pos| pos >= size || pos.saturating_add(io.left() as u64) > size)
}

fn write_locked(io: &mut LockedIo<'_, '_, WRITE>) -> isize {
    let checked = io.check();
    if checked <= 0 {
        return checked;
    }
    if let Err(error) = io.remove_privs() {
        return to_size(error);
    }
    // The server has to extend the file and write the data in one step, which a copy into the
    // window cannot do.
    if extends(io) {
        return io.write_through();
    }
    let done = hit::copy(io);
    if io.left() == 0 {
        to_copied(done)
    } else {
        copy_rest(io, done)
    }
}

/// Writes. Returns the number of bytes, or an error number.
#[inline]
pub(super) fn write(mut io: Io<'_, WRITE>) -> isize {
    let written = {
        let locked = io.lock();
        match locked {
            Ok(mut locked) => write_locked(&mut locked),
            Err(error) => to_size(error),
        }
    };
    if written > 0 {
        io.sync(written)
    } else {
        written
    }
}
