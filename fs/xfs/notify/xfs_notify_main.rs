// SPDX-License-Identifier: GPL-2.0

//! How XFS handles failures and the removal of the memory of its devices.
//!
//! C version: [`fs/xfs/xfs_notify_failure.c`](srctree/fs/xfs/xfs_notify_failure.c)
//!
//! - `ranges.rs` converts bytes of a device to bytes of a file.
//! - `failure.rs` notifies the owners of failed bytes, `removal.rs` revokes everything from all
//!   files.
//! - `mount.rs` is the interface to XFS, by the functions of `xfs_notify_glue.c`.

mod failure;
mod mount;
mod ranges;
mod removal;
mod tests;

use kernel::{
    bindings,
    dax::units::ByteRange,
    module::this_module,
    prelude::*, //
};
use mount::{
    Device,
    Role, //
};

/// The operations that XFS registers with the DAX core, with one of its devices as the holder.
///
/// The holder is the device and not the mount, because a mount may hold two partitions of one
/// `dax_device`.
#[no_mangle]
pub static xfs_dax_holder_operations: HolderOperations =
    HolderOperations(bindings::dax_holder_operations {
        notify_failure: Some(xfs_dax_notify_failure),
        owner: this_module::<Xfs>().as_ptr(),
        pin: Some(bindings::xfs_dax_pin),
        unpin: Some(bindings::xfs_dax_unpin),
    });

/// C's table of operations.
#[repr(transparent)]
pub struct HolderOperations(bindings::dax_holder_operations);

// SAFETY: The table does not change, and any task may call the functions and use the module.
unsafe impl Sync for HolderOperations {}

kernel::module_in_c!(Xfs, c"xfs");

/// Handles the failure of `len` bytes at `offset` of `dax_dev`; 0 and `U64_MAX` mean all of it.
///
/// `-ENXIO` if none of them are the file system's, `-EFSCORRUPTED` if it lost metadata and was shut
/// down, `-EOPNOTSUPP` if it cannot find their owners: then the caller has to find the processes
/// that map them. Sleeps.
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
        // A removal is always of the whole device.
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

/// C's flag in the type of the callback's argument.
const MF_MEM_PRE_REMOVE: c_int = bindings::mf_flags_MF_MEM_PRE_REMOVE as c_int;
