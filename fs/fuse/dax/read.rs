// SPDX-License-Identifier: GPL-2.0

//! Read.
//!
//! C function: `fuse_dax_read_iter()`

use super::{
    bypass,
    copy::{
        copy_rest,
        to_copied,
        to_size, //
    },
    hit,
    kiocb::{
        Io,
        LockedIo,
        READ, //
    }, //
};

/// Reads the rest after `done` bytes, perhaps past the window. Returns the total.
#[cold]
fn read_rest(io: &mut LockedIo<'_, '_, READ>, mut done: usize) -> isize {
    while let Some(passed) = bypass::read(io) {
        match passed {
            // The end of the file.
            Ok(0) => return to_copied(done),
            Ok(bytes) => done = done.saturating_add(bytes),
            Err(error) if done == 0 => return to_size(error),
            Err(_) => return to_copied(done),
        }
        done = done.saturating_add(hit::copy(io));
    }
    copy_rest(io, done)
}

/// Reads. Returns the number of bytes, or an error number.
#[inline]
pub(super) fn read(mut io: Io<'_, READ>) -> isize {
    let locked = io.lock();
    let mut io = match locked {
        Ok(io) => io,
        Err(error) => return to_size(error),
    };
    let done = hit::copy(&mut io);
    if io.left() == 0 {
        to_copied(done)
    } else {
        read_rest(&mut io, done)
    }
}
