// SPDX-License-Identifier: GPL-2.0

//! How XFS deals with memory of its devices that fails or goes away.
//!
//! C version: [`fs/xfs/xfs_notify_failure.c`](srctree/fs/xfs/xfs_notify_failure.c)
//!
//! - `ranges.rs` says which bytes of a device are which bytes of a file.
//! - `failure.rs` finds those who have lost something, `removal.rs` takes everything from everyone.
//! - `mount.rs` is XFS, by the functions of `xfs_notify_glue.c`.

mod failure;
mod mount;
mod ranges;
mod removal;
mod tests;

use kernel::{
    bindings,
    dax::units::ByteRange,
    prelude::*, //
};
use mount::{
    Device,
    Role, //
};

/// What XFS registers with the DAX core, together with one of its devices as the holder.
///
/// The device, and not the mount: of one `dax_device` a mount may hold two partitions.
#[no_mangle]
pub static xfs_dax_holder_operations: bindings::dax_holder_operations =
    bindings::dax_holder_operations {
        notify_failure: Some(xfs_dax_notify_failure),
        pin: Some(bindings::xfs_dax_pin),
        unpin: Some(bindings::xfs_dax_unpin),
    };

/// Deals with `len` bytes from `offset` on of `dax_dev`; 0 and `U64_MAX` are all of it.
///
/// `-ENXIO` if none of them are the file system's, `-EFSCORRUPTED` if it was shut down because it
/// lost what it cannot do without, `-EOPNOTSUPP` if it cannot know whose they are: then whoever
/// calls has to deal with those who map them. Sleeps.
///
/// # Safety
///
/// For the DAX core alone, which has pinned the holder that it calls.
#[export]
unsafe extern "C" fn xfs_dax_notify_failure(
    dax_dev: *mut bindings::dax_device,
    offset: u64,
    len: u64,
    mf_flags: c_int,
) -> c_int {
    // SAFETY: By the function's contract; the core names the holder that this task is called for.
    let Some(device) = (unsafe { Device::from_raw(bindings::dax_holder(dax_dev).cast()) }) else {
        return ENXIO.to_errno();
    };
    let result = if mf_flags & MF_MEM_PRE_REMOVE != 0 {
        // Always the whole device.
        removal::remove(&device, mf_flags)
    } else {
        let failed = match (offset, len) {
            (0, u64::MAX) => ByteRange::from_bounds(0, u64::MAX),
            _ => ByteRange::new(offset, len),
        };
        failed
            .ok_or(EINVAL)
            .and_then(|failed| failure::notify(&device, failed, mf_flags))
    };
    match result {
        Ok(()) => 0,
        Err(e) => e.to_errno(),
    }
}

/// Reports files that have bytes of a group that failed, see [`failure::report_again`]. Sleeps.
///
/// # Safety
///
/// For `xfs_dax_report_later()` alone: `btp` is a device of a mount that is born and stays pinned,
/// and `failed` is valid.
#[export]
unsafe extern "C" fn xfs_dax_report_again(
    btp: *mut bindings::xfs_buftarg,
    failed: *const bindings::xfs_dax_failed,
) {
    // SAFETY: The function's contract.
    let (device, failed) = unsafe { (Device::from_raw(btp), &*failed) };
    let bytes = ByteRange::new(failed.start, failed.len);
    if let (Some(device), Some(bytes)) = (device, bytes) {
        failure::report_again(&device, Role::from_raw(failed.role), failed.group, bytes);
    }
}

/// C's flag as a number of the type that it comes in.
const MF_MEM_PRE_REMOVE: c_int = bindings::mf_flags_MF_MEM_PRE_REMOVE as c_int;
