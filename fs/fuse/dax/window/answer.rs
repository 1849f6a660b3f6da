// SPDX-License-Identifier: GPL-2.0

//! Parses the server's answers.

use kernel::prelude::*;

/// The smallest error number that a server may return; anything lower is invalid.
const MIN_ERROR: i32 = -4095;

/// Converts the server's error to a result, with a negative error number.
///
/// The transport refuses invalid numbers. This does not rely on it, because an invalid number must
/// not lead to the use of memory with nothing mapped to it.
pub(crate) fn result_of(error: i32) -> Result<(), i32> {
    match error {
        0 => Ok(()),
        MIN_ERROR..0 => Err(error),
        _ => Err(EIO.to_errno()),
    }
}
