// SPDX-License-Identifier: GPL-2.0

//! Tracepoints; `include/trace/events/dax.h` documents them.

use super::{
    mapping::Mapping,
    ranges::{
        Block,
        FileRange, //
    },
    Flags, //
};
use kernel::{
    prelude::*,
    task::Task, //
};

mod raw {
    use kernel::{
        bindings,
        prelude::*,
        tracepoint::declare_trace, //
    };

    declare_trace! {
        /// # Safety
        ///
        /// `mapping` has to be that of an inode that the caller keeps.
        pub(super) unsafe fn dax_lost(mapping: *mut bindings::address_space, index: usize, count: usize, flags: c_int);
        /// # Safety
        ///
        /// `task` has to be valid.
        pub(super) unsafe fn dax_signal(task: *mut bindings::task_struct, address: usize, lsb: c_int, code: c_int, result: c_int);
    }
}

/// `pages` of a file are being unmapped from all processes.
pub(crate) fn lost(mapping: &Mapping<'_>, pages: &FileRange, flags: Flags) {
    // SAFETY: The mapping is valid, and its inode stays as long.
    unsafe { raw::dax_lost(mapping.as_raw(), pages.start(), pages.count(), flags.bits()) };
}

/// `task` was sent a signal.
pub(crate) fn signal(task: &Task, block: &Block, code: c_int, result: c_int) {
    // CAST: Less than 64.
    let lsb = block.lsb as c_int;
    // SAFETY: The task is valid.
    unsafe { raw::dax_signal(task.as_ptr(), block.address, lsb, code, result) };
}
