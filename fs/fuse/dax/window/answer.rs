// SPDX-License-Identifier: GPL-2.0

//! What an answer of the server says.

use kernel::prelude::*;

/// The last of the error numbers that a server may give; anything else is made up.
const MIN_ERROR: i32 = -4095;

/// Whether the server did what it was asked for; the error is a negative error number.
///
/// The transport refuses numbers that are none; whoever forgets to must not have memory used that
/// nothing is mapped to.
pub(crate) fn result_of(error: i32) -> Result<(), i32> {
    match error {
        0 => Ok(()),
        MIN_ERROR..0 => Err(error),
        _ => Err(EIO.to_errno()),
    }
}
