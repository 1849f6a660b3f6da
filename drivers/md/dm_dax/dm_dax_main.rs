// SPDX-License-Identifier: GPL-2.0

//! Device mapper as the holder of the dax devices of its tables.
//!
//! Memory of a table's device that fails or goes away is memory of each mapped device whose live
//! table has it. Their holders, which are file systems or device mapper again, are notified with
//! their own offsets. `Documentation/layers.md` has the lock order.
//!
//! Each file uses files that are below it in this list, and none above it:
//!
//! | file | content |
//! |---|---|
//! | `holder.rs` | what the DAX core calls |
//! | `failure.rs` | what is done about a failure and a removal |
//! | `hub.rs` | the one holder of a device that mapped devices share |
//! | `mapped.rs` | a mapped device and its live table |
//! | `ranges.rs` | which bytes of a mapped device are which bytes of a device below it |

mod failure;
mod holder;
mod hub;
mod mapped;
mod ranges;
mod tests;

use core::ptr;
use kernel::{
    bindings,
    prelude::*, //
};

/// The prefix of messages.
const __LOG_PREFIX: &[u8] = b"device-mapper\0";

/// See `dm_dax.h`.
///
/// # Safety
///
/// For `dm.c` alone, which calls it once, before the other functions.
#[export]
pub(crate) unsafe extern "C" fn dm_dax_init() {
    // SAFETY: Nothing was called before.
    unsafe { hub::init() };
}

/// See `dm_dax.h`.
///
/// # Safety
///
/// `md` has to be valid, and `dev` open, until [`dm_dax_put`] was called for `dev`.
#[export]
pub(crate) unsafe extern "C" fn dm_dax_get(
    md: *mut bindings::mapped_device,
    dev: *mut bindings::dm_dev,
) -> *mut bindings::dax_device {
    // SAFETY: The function's contract.
    match unsafe { hub::Use::new(md, dev) } {
        // SAFETY: The function's contract.
        Some(used) => unsafe { hub::enter(used, &holder::OPERATIONS) },
        None => ptr::null_mut(),
    }
}

/// See `dm_dax.h`.
///
/// # Safety
///
/// `dev` has to be one of [`dm_dax_get`] whose `dax_dev` is what that returned.
#[export]
pub(crate) unsafe extern "C" fn dm_dax_put(dev: *mut bindings::dm_dev) {
    // SAFETY: The function's contract.
    unsafe { hub::leave(dev) };
}
