// SPDX-License-Identifier: GPL-2.0

//! The table of disks and their devices, by which file systems find a device.

use super::{
    block_device::BlockDevice,
    device::{
        DaxDevice,
        Flag, //
    }, //
};
use core::ptr::{
    self,
    NonNull, //
};
use kernel::{
    alloc::KVVec,
    bindings,
    dax::units::ByteRange,
    fmt,
    mm::without_io,
    page::PAGE_SIZE,
    prelude::*,
    str::CStrExt, //
};

/// A disk and its device.
///
/// # Invariants
///
/// Both are valid as long as this is in `HOSTS`: the driver takes it out before either goes.
struct Host {
    disk: NonNull<bindings::gendisk>,
    device: NonNull<DaxDevice>,
}

// SAFETY: Under the lock any task may use both.
unsafe impl Send for Host {}

kernel::sync::global_lock! {
    // SAFETY: `init()` is called before there are drivers.
    unsafe(uninit) static HOSTS: Mutex<KVVec<Host>> = KVVec::new();
}

/// Initializes the table. Called once, early.
///
/// # Safety
///
/// Nothing else of this file may be called before.
pub(crate) unsafe fn init() {
    // SAFETY: By the function's contract nothing has used it, and this is called once.
    unsafe { HOSTS.init() };
}

/// Makes `dev` the device of `disk`; `-EBUSY` if the disk has one, `-ENOMEM`. Sleeps.
///
/// # Safety
///
/// Both must be valid until [`dax_remove_host`] has returned for `disk`.
#[export]
pub(crate) unsafe extern "C" fn dax_add_host(
    dev: *mut bindings::dax_device,
    disk: *mut bindings::gendisk,
) -> c_int {
    let (Some(device), Some(disk)) = (NonNull::new(dev.cast()), NonNull::new(disk)) else {
        return EINVAL.to_errno();
    };
    let mut hosts = HOSTS.lock();
    if hosts.iter().any(|host| host.disk == disk) {
        return EBUSY.to_errno();
    }
    // INVARIANT: By the function's contract both are valid until `dax_remove_host()` takes this
    // out.
    //
    // Without I/O: device mapper waits for the lock while volumes are suspended.
    if without_io(|| hosts.push(Host { disk, device }, GFP_KERNEL)).is_err() {
        return ENOMEM.to_errno();
    }
    0
}

/// Takes back [`dax_add_host`]: no lookup finds the device of `disk` any more. Sleeps.
///
/// # Safety
///
/// None: an unknown disk is not looked at.
#[export]
pub(crate) unsafe extern "C" fn dax_remove_host(disk: *mut bindings::gendisk) {
    HOSTS.lock().retain(|host| host.disk.as_ptr() != disk);
}

/// Shows the name of the disk that has this device, for debugfs.
pub(crate) fn name_of(device: &DaxDevice, show: impl FnOnce(&CStr) -> fmt::Result) -> fmt::Result {
    let hosts = HOSTS.lock();
    let host = hosts
        .iter()
        .find(|host| ptr::eq(host.device.as_ptr(), device));
    match host {
        Some(host) => {
            // SAFETY: By the type invariant the disk is valid; it keeps its name, which is
            // terminated.
            let name = unsafe { CStr::from_char_ptr((*host.disk.as_ptr()).disk_name.as_ptr()) };
            show(name)
        }
        None => Ok(()),
    }
}

/// Finds the device of `bdev`, and takes a reference for `holder`.
///
/// `start_off` gets the byte of the device at which `bdev` begins. If `holder` is not null, it
/// holds the bytes of `bdev` from now on: `ops` is called when any of them fail, with offsets from
/// the start of the device, and when the device is removed. Null when `bdev` has no device, when
/// the device is going away, or when another holder has some of the bytes; the log says which.
///
/// A registration of a whole disk also covers what the disk may grow to. One of a partition covers
/// what the partition has at the time of a failure. Sleeps.
///
/// # Safety
///
/// `bdev` must be open, and stay so until [`fs_put_dax`](super::fs_get::fs_put_dax) has returned
/// for `holder` if that is not null; `start_off` valid for a write, `ops` null or functions that
/// may be called for `holder` until [`fs_put_dax`](super::fs_get::fs_put_dax) has returned.
#[export]
pub(crate) unsafe extern "C" fn fs_dax_get_by_bdev(
    bdev: *mut bindings::block_device,
    start_off: *mut u64,
    holder: *mut c_void,
    ops: *const bindings::dax_holder_operations,
) -> *mut bindings::dax_device {
    let Some(bdev) = NonNull::new(bdev).map(BlockDevice) else {
        return ptr::null_mut();
    };
    // SAFETY: By the C contract `bdev` is open.
    let disk = unsafe { bdev.disk() };
    // SAFETY: By the C contract `bdev` is open until this returns.
    let name = unsafe { bdev.name() };
    // SAFETY: By the C contract `bdev` is open.
    let part = unsafe { bdev.range() };
    // SAFETY: The disk of a block device that is open has a queue.
    let features = unsafe { (*(*disk).queue).limits.features };
    if features & bindings::BLK_FEAT_DAX == 0 {
        return ptr::null_mut();
    }
    let aligned = |part: &ByteRange| (part.start() | part.len()) % PAGE_SIZE as u64 == 0;
    let Some(part) = part.filter(aligned) else {
        pr_info!("{}: error: unaligned partition for dax\n", name);
        return ptr::null_mut();
    };
    // SAFETY: By the C contract it is valid for a write.
    unsafe { *start_off = part.start() };

    let device = {
        let hosts = HOSTS.lock();
        let host = hosts.iter().find(|host| host.disk.as_ptr() == disk);
        let Some(host) = host else {
            return ptr::null_mut();
        };
        // SAFETY: By the type invariant of `Host` the device is valid: it is in the list.
        let device: &DaxDevice = unsafe { host.device.as_ref() };
        // The reference makes the device outlive the lock.
        let Some(device) = device.get_alive() else {
            pr_info!("{}: the dax device is going away\n", name);
            return ptr::null_mut();
        };
        if holder.is_null() {
            device.set(Flag::Unheld, true);
        }
        device
    };
    if holder.is_null() {
        return DaxDevice::into_raw(device);
    }

    // SAFETY: By the C contract `bdev` is open.
    let is_disk = unsafe { bdev.is_disk() };
    let (range, partition) = if is_disk {
        (ByteRange::from_bounds(0, u64::MAX).unwrap_or(part), None)
    } else {
        (part, Some(bdev))
    };
    // SAFETY: The reference is the holder's until `fs_put_dax()`; by the C contract `bdev` stays
    // open and `ops` callable until then.
    match unsafe { device.register(range, partition, holder, ops) } {
        Ok(()) => DaxDevice::into_raw(device),
        Err(refusal) => {
            pr_info!("{}: no dax: {}\n", name, refusal);
            ptr::null_mut()
        }
    }
}
