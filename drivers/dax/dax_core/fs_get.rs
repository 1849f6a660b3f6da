// SPDX-License-Identifier: GPL-2.0

//! How a holder without a block device gets a device, and how every holder puts it.

use super::device::DaxDevice;
use core::ptr::NonNull;
use kernel::{
    bindings,
    dax::units::ByteRange,
    prelude::*,
    sync::aref::ARef, //
};

/// Whether the driver bound to `dev_dax` is the one for file systems.
///
/// # Safety
///
/// `dev_dax` must be valid.
unsafe fn serves_file_systems(dev_dax: *mut bindings::dev_dax) -> Result {
    // SAFETY: By the function's contract `dev_dax` is valid.
    let dev = unsafe { &raw mut (*dev_dax).dev };
    // SAFETY: The device is valid.
    unsafe { bindings::device_lock(dev) };
    // SAFETY: The device is valid. As long as it is locked, its driver stays.
    let driver = unsafe { (*dev).driver };
    let result = if driver.is_null() {
        Err(ENODEV)
    } else {
        // SAFETY: Every driver on this bus is part of a `dax_device_driver`.
        let driver = unsafe { kernel::container_of!(driver, bindings::dax_device_driver, drv) };
        // SAFETY: The driver is valid, and its type does not change.
        match unsafe { (*driver).type_ } {
            bindings::dax_driver_type_DAXDRV_FSDEV_TYPE => Ok(()),
            _ => Err(EOPNOTSUPP),
        }
    };
    // SAFETY: Locked above.
    unsafe { bindings::device_unlock(dev) };
    result
}

/// Registers `holder` with a device-dax and takes a reference. For holders without a block device.
///
/// `-ENODEV` when the device is going away or has no driver, `-EOPNOTSUPP` when its driver is not
/// for file systems, `-EBUSY` when it is held, `-ENOMEM`. Sleeps.
///
/// # Safety
///
/// `dev` must be null or a device-dax that the caller keeps; `ops` null or functions that may be
/// called for `holder` until [`fs_put_dax`] has returned.
#[export]
pub(crate) unsafe extern "C" fn fs_dax_get(
    dev: *mut bindings::dax_device,
    holder: *mut c_void,
    ops: *const bindings::dax_holder_operations,
) -> c_int {
    // SAFETY: By the C contract `dev` is null or a device that the caller keeps.
    let Some(device) = (unsafe { DaxDevice::from_raw(dev) }) else {
        return ENODEV.to_errno();
    };
    let Some(device) = device.get_alive() else {
        return ENODEV.to_errno();
    };
    // SAFETY: By the C contract the device is a device-dax, and `ops` may be called.
    match unsafe { check_and_register(&device, holder, ops) } {
        Ok(()) => {
            // The reference is the holder's.
            ARef::into_raw(device);
            0
        }
        Err(e) => e.to_errno(),
    }
}

/// # Safety
///
/// `device` is a device-dax, and `ops` null or functions that may be called for `holder` until
/// [`fs_put_dax`] has returned; until then the holder has a reference to `device`.
unsafe fn check_and_register(
    device: &DaxDevice,
    holder: *mut c_void,
    ops: *const bindings::dax_holder_operations,
) -> Result {
    let dev_dax: *mut bindings::dev_dax = device.private().cast();
    if dev_dax.is_null() {
        return Err(ENODEV);
    }
    // SAFETY: By the function's contract this is a device-dax, whose private data is a valid
    // `dev_dax`.
    unsafe { serves_file_systems(dev_dax)? };
    let range = ByteRange::from_bounds(0, u64::MAX).ok_or(EINVAL)?;
    // SAFETY: By the function's contract `ops` may be called, and the holder has a reference.
    unsafe { device.register(range, None, holder, ops) }.map_err(|refusal| {
        pr_info!("{}: no dax: {}\n", device.minor(), refusal);
        Error::from(&refusal)
    })
}

/// Puts a device: unregisters `holder` and drops a reference.
///
/// When this returns, no callback of `holder` runs or will run, except one that this task is in. A
/// holder with `pin` and `unpin` calls this only when nothing can pin it any more. One without them
/// must not hold a lock that its callback takes. Sleeps.
///
/// # Safety
///
/// `dev` must be null or a device with a reference that the caller gives up; `holder` is null or
/// what it was taken with.
#[export]
pub(crate) unsafe extern "C" fn fs_put_dax(dev: *mut bindings::dax_device, holder: *mut c_void) {
    let Some(dev) = NonNull::new(dev) else {
        return;
    };
    // SAFETY: By the C contract the reference is the caller's to give up.
    let device = unsafe { DaxDevice::take_raw(dev) };
    if !holder.is_null() {
        // A holder that is not registered here is a bug of the caller, not bad input.
        kernel::warn_on!(!device.unregister(holder));
    }
}
