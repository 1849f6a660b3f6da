// SPDX-License-Identifier: GPL-2.0

//! The comparison of memory that may be poisoned.
//!
//! This file is plain `no_std` Rust without calls to C: `tools/testing/host` runs it under proptest.

/// How much is looked at at a time: two of these are on the stack.
const CHUNK: usize = 256;

/// Memory that may be poisoned.
pub(crate) trait Media {
    /// Copies as many bytes as `to` has, from `at` on; false if that meets poison.
    fn read(&self, at: usize, to: &mut [u8]) -> bool;
}

/// The memory cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Poisoned;

/// Whether the first `len` bytes of both are the same.
///
/// Each byte is looked at by a copy, which survives poison and in which nothing changes while it is
/// looked at. Ends with the first difference: what comes after that is of no interest, poisoned or
/// not. Calls `pause` now and then.
pub(crate) fn compare(
    a: &impl Media,
    b: &impl Media,
    len: usize,
    mut pause: impl FnMut(),
) -> Result<bool, Poisoned> {
    let (mut of_a, mut of_b) = ([0; CHUNK], [0; CHUNK]);
    let mut at = 0;
    while at < len {
        let size = CHUNK.min(len - at);
        let (Some(of_a), Some(of_b)) = (of_a.get_mut(..size), of_b.get_mut(..size)) else {
            break;
        };
        if !a.read(at, of_a) || !b.read(at, of_b) {
            return Err(Poisoned);
        }
        if of_a != of_b {
            return Ok(false);
        }
        at += size;
        if at % (1 << 16) == 0 {
            pause();
        }
    }
    Ok(true)
}
