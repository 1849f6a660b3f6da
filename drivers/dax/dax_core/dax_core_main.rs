// SPDX-License-Identifier: GPL-2.0

//! The core of DAX: devices, their holders, and the use of their memory.
//!
//! C version: [`drivers/dax/super.c`](srctree/drivers/dax/super.c)
//!
//! The files are layers. Each file except `tests.rs` uses only files below it in this list, so that
//! there are no cycles (`scripts/lint-layers`).
//!
//! | file | content |
//! |---|---|
//! | `dax_core_main.rs` | the initialization |
//! | `abi.rs` | the C interface, but for what file systems call |
//! | `inode.rs` | the pseudo file system that devices live in |
//! | `view.rs` | devices in debugfs |
//! | `hosts.rs`, `fs_get.rs` | how file systems get a device, with a disk and without |
//! | `access.rs` | the use of the memory of a device |
//! | `device.rs` | a device |
//! | `fs_holder.rs` | holders that registered from C |
//! | `monitor.rs`, `read_section.rs` | the lock of the holders, and what keeps memory that is used |
//! | `holders.rs` | the protocol between a device and its holders |
//! | `trace.rs` | tracepoints |
//! | `refusal.rs` | what the log and C say of a registration that is refused |
//! | `holder_table.rs` | the state of the holders |
//! | `failure.rs` | what holders are notified of |
//! | `block_device.rs` | a block device |

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
mod refusal;
mod tests;
mod trace;
mod view;

use kernel::prelude::*;

/// The prefix of messages.
const __LOG_PREFIX: &[u8] = b"dax\0";

/// Sets up the layers, from below.
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
