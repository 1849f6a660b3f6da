// SPDX-License-Identifier: GPL-2.0

//! How a holder without a block device gets a device, and how every holder gives it back.

use super::device::DaxDevice;
use core::ptr::NonNull;
use kernel::{
    bindings,
    dax::units::ByteRange,
    prelude::*,
    sync::aref::ARef, //
};

/// Whether the driver that serves file systems is bound to the device of `dev_dax`.
///
/// # Safety
///
/// `dev_dax` must be valid.
unsafe fn serves_file_systems(dev_dax: *mut bindings::dev_dax) -> Result {
    // SAFETY: The function's contract; with the lock of the device its driver stays.
    unsafe {
        let dev = &raw mut (*dev_dax).dev;
        bindings::device_lock(dev);
        let driver = (*dev).driver;
        let result = if driver.is_null() {
            Err(ENODEV)
        } else {
            // Every driver on this bus is part of a `dax_device_driver`.
            let driver = kernel::container_of!(driver, bindings::dax_device_driver, drv);
            if (*driver).type_ == bindings::dax_driver_type_DAXDRV_FSDEV_TYPE {
                Ok(())
            } else {
                Err(EOPNOTSUPP)
            }
        };
        bindings::device_unlock(dev);
        result
    }
}

/// Makes `holder` the holder of a device-dax, with a reference; there is no block device.
///
/// `-ENODEV` when the device is going away or has no driver, `-EOPNOTSUPP` when its driver does not
/// serve file systems, `-EBUSY` when it is held, `-ENOMEM`. Sleeps.
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
    // SAFETY: The C contract.
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
/// As for [`fs_dax_get`], with a reference to `device` that the holder will own.
unsafe fn check_and_register(
    device: &DaxDevice,
    holder: *mut c_void,
    ops: *const bindings::dax_holder_operations,
) -> Result {
    let dev_dax: *mut bindings::dev_dax = device.private().cast();
    if dev_dax.is_null() {
        return Err(ENODEV);
    }
    // SAFETY: The function's contract.
    unsafe { serves_file_systems(dev_dax)? };
    let range = ByteRange::from_bounds(0, u64::MAX).ok_or(EINVAL)?;
    // SAFETY: The function's contract.
    unsafe { device.register(range, None, holder, ops) }.map_err(|refusal| {
        pr_info!("{}: no dax: {}\n", device.minor(), refusal);
        Error::from(&refusal)
    })
}

/// Gives back a device: `holder` holds nothing of it any more, and a reference goes.
///
/// When this returns, no callback of `holder` runs any more or will, other than one that this task
/// is in. A holder with `pin` and `unpin` calls this only when nothing can pin it any more; one
/// without must not hold a lock that its callback takes. Sleeps.
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
        // That somebody gives back what it does not hold is an error of the caller's, not of input.
        kernel::warn_on!(!device.unregister(holder));
    }
}
