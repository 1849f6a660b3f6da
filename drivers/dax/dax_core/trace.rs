// SPDX-License-Identifier: GPL-2.0

//! Tracepoints; `include/trace/events/dax.h` documents them.

use super::{
    failure::Extent,
    holder_table::Refusal, //
};
use kernel::{
    dax::units::ByteRange,
    prelude::*, //
};

mod raw {
    use kernel::{
        prelude::*,
        tracepoint::declare_trace, //
    };

    declare_trace! {
        /// # Safety
        ///
        /// Always safe to call: pointers are only shown.
        pub(super) unsafe fn dax_alloc(minor: u32);
        /// # Safety
        ///
        /// Always safe to call.
        pub(super) unsafe fn dax_register(minor: u32, start: u64, end: u64, holder: *mut c_void, result: c_int);
        /// # Safety
        ///
        /// Always safe to call.
        pub(super) unsafe fn dax_notify(minor: u32, start: u64, len: u64, flags: c_int, holder: *mut c_void, result: c_int, nanos: i64);
        /// # Safety
        ///
        /// Always safe to call.
        pub(super) unsafe fn dax_unheld(minor: u32, start: u64, len: u64, flags: c_int);
        /// # Safety
        ///
        /// Always safe to call.
        pub(super) unsafe fn dax_unregister(minor: u32, holder: *mut c_void);
        /// # Safety
        ///
        /// Always safe to call.
        pub(super) unsafe fn dax_kill(minor: u32);
    }
}

pub(crate) fn alloc(minor: u32) {
    // SAFETY: Always safe to call.
    unsafe { raw::dax_alloc(minor) };
}

pub(crate) fn register(
    minor: u32,
    range: &ByteRange,
    holder: *mut c_void,
    result: &Result<(), Refusal>,
) {
    let result = match result {
        Ok(()) => 0,
        Err(refusal) => Error::from(refusal).to_errno(),
    };
    // SAFETY: Always safe to call.
    unsafe { raw::dax_register(minor, range.start(), range.end(), holder, result) };
}

/// Whether the tracepoint of [`notify`] is enabled.
pub(crate) fn shows_notify() -> bool {
    #[cfg(CONFIG_TRACEPOINTS)]
    // SAFETY: The key of a tracepoint may be read at any time.
    let shows = unsafe {
        kernel::jump_label::static_branch_unlikely!(
            kernel::bindings::__tracepoint_dax_notify,
            kernel::bindings::tracepoint,
            key
        )
    };
    #[cfg(not(CONFIG_TRACEPOINTS))]
    let shows = false;
    shows
}

/// Some bytes of `extent` have no holder that deals with them.
pub(crate) fn unheld(minor: u32, extent: &Extent, flags: i32) {
    let (start, len) = extent.to_raw();
    // SAFETY: Always safe to call.
    unsafe { raw::dax_unheld(minor, start, len, flags) };
}

pub(crate) fn notify(
    minor: u32,
    start: u64,
    len: u64,
    flags: i32,
    holder: *mut c_void,
    result: i32,
    nanos: i64,
) {
    // SAFETY: Always safe to call.
    unsafe { raw::dax_notify(minor, start, len, flags, holder, result, nanos) };
}

pub(crate) fn unregister(minor: u32, holder: *mut c_void) {
    // SAFETY: Always safe to call.
    unsafe { raw::dax_unregister(minor, holder) };
}

pub(crate) fn kill(minor: u32) {
    // SAFETY: Always safe to call.
    unsafe { raw::dax_kill(minor) };
}
