// SPDX-License-Identifier: GPL-2.0

//! The core of DAX: devices, their holders, and the use of their memory.
//!
//! C version: [`drivers/dax/super.c`](srctree/drivers/dax/super.c)
//!
//! - `holders.rs` is the protocol between a device and those that are told of its failures,
//!   `failure.rs` what they are told, `holder_table.rs` the state; `fs_holder.rs` are C's holders,
//!   `monitor.rs` is the lock.
//! - `device.rs` is a device, `inode.rs` the pseudo file system that it lives in.
//! - `access.rs` is the use of the memory, `read_section.rs` what keeps it meanwhile.
//! - `hosts.rs` and `fs_get.rs` are how file systems come to a device, `abi.rs` is the rest of the
//!   C interface.
//! - `view.rs` and `trace.rs` are for people.

mod abi;
mod access;
mod block_device;
mod device;
mod failure;
mod fs_get;
mod fs_holder;
mod holder_table;
mod holders;
mod hosts;
mod inode;
mod monitor;
mod read_section;
mod tests;
mod trace;
mod view;

use kernel::prelude::*;

/// The prefix of messages.
const __LOG_PREFIX: &[u8] = b"dax\0";

/// Sets up all of the above.
///
/// # Safety
///
/// For `dax_glue.c` alone, which calls it once, before there are drivers.
#[export]
pub(crate) unsafe extern "C" fn dax_core_start() -> c_int {
    // SAFETY: Nothing was called before.
    unsafe { hosts::init() };
    view::init();
    match inode::init() {
        Ok(()) => 0,
        Err(e) => e.to_errno(),
    }
}
