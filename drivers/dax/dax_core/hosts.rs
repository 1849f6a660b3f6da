// SPDX-License-Identifier: GPL-2.0

//! Which disk has which device: how file systems find theirs.

use super::device::{
    DaxDevice,
    Flag, //
};
use core::ptr::{
    self,
    NonNull, //
};
use kernel::{
    alloc::KVVec,
    bindings,
    dax::units::{
        ByteRange,
        Sector, //
    },
    fmt,
    page::PAGE_SIZE,
    prelude::*,
    str::CStrExt, //
};

/// A disk and its device.
///
/// # Invariants
///
/// Both are valid as long as this is in [`HOSTS`]: the driver takes it out before either goes.
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

/// To be called once, early.
///
/// # Safety
///
/// Nothing else of this file may be called before.
pub(crate) unsafe fn init() {
    // SAFETY: The function's contract.
    unsafe { HOSTS.init() };
}

/// Makes `dev` the device of `disk`: `-EBUSY` if that has one, `-ENOMEM`. Sleeps.
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
    // INVARIANT: The C contract of this function and of `dax_remove_host()`.
    if hosts.push(Host { disk, device }, GFP_KERNEL).is_err() {
        return ENOMEM.to_errno();
    }
    0
}

/// Takes back [`dax_add_host`]: nobody finds the device of `disk` any more. Sleeps.
///
/// # Safety
///
/// None: an unknown disk is not looked at.
#[export]
pub(crate) unsafe extern "C" fn dax_remove_host(disk: *mut bindings::gendisk) {
    HOSTS.lock().retain(|host| host.disk.as_ptr() != disk);
}

/// The name of the disk whose device this is, for people.
pub(crate) fn name_of(device: &DaxDevice, show: impl FnOnce(&CStr) -> fmt::Result) -> fmt::Result {
    let hosts = HOSTS.lock();
    let host = hosts
        .iter()
        .find(|host| ptr::eq(host.device.as_ptr(), device));
    match host {
        Some(host) => {
            // SAFETY: The type invariant; a disk keeps its name, which is terminated.
            let name = unsafe { CStr::from_char_ptr((*host.disk.as_ptr()).disk_name.as_ptr()) };
            show(name)
        }
        None => Ok(()),
    }
}

/// A block device, by the name that it has in `/dev`.
struct Name<'a>(&'a bindings::block_device);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: A block device has a disk, whose name does not change.
        let disk = unsafe { CStr::from_char_ptr((*self.0.bd_disk).disk_name.as_ptr()) };
        let name = disk.to_str().unwrap_or("?");
        f.write_str(name)?;
        // SAFETY: It is a block device.
        let number = unsafe { bindings::bdev_partno(ptr::from_ref(self.0).cast_mut()) };
        match number {
            0 => Ok(()),
            number if name.ends_with(|c: char| c.is_ascii_digit()) => write!(f, "p{number}"),
            number => write!(f, "{number}"),
        }
    }
}

/// The part of its disk's device that `bdev` is.
fn part_of(bdev: &bindings::block_device) -> Option<ByteRange> {
    let start = Sector(bdev.bd_start_sect).to_bytes()?;
    let len = Sector(bdev.bd_nr_sectors).to_bytes()?;
    if (start | len) % PAGE_SIZE as u64 != 0 {
        return None;
    }
    ByteRange::new(start, len)
}

/// Finds the device of `bdev`, with a reference, for somebody who calls itself `holder`.
///
/// `start_off` gets the byte of the device at which `bdev` begins. Where `holder` is not null, it
/// holds the bytes of `bdev` from now on: `ops` is told when any of them fail, with offsets from
/// the start of the device, and when the device goes away. Null when `bdev` has no device, or one
/// that is going away, or when the bytes or some of them are held already; the log says which.
///
/// A whole disk is held as far as it may grow. Sleeps.
///
/// # Safety
///
/// `bdev` must be open, `start_off` valid for a write, `ops` null or functions that may be called
/// for `holder` until [`fs_put_dax`](super::fs_get::fs_put_dax) has returned.
#[export]
pub(crate) unsafe extern "C" fn fs_dax_get_by_bdev(
    bdev: *mut bindings::block_device,
    start_off: *mut u64,
    holder: *mut c_void,
    ops: *const bindings::dax_holder_operations,
) -> *mut bindings::dax_device {
    // SAFETY: By the C contract `bdev` is open, and with it its disk.
    let bdev = unsafe { &*bdev };
    // SAFETY: As above.
    let features = unsafe { (*(*bdev.bd_disk).queue).limits.features };
    if features & bindings::BLK_FEAT_DAX == 0 {
        return ptr::null_mut();
    }
    let Some(part) = part_of(bdev) else {
        pr_info!("{}: error: unaligned partition for dax\n", Name(bdev));
        return ptr::null_mut();
    };
    // SAFETY: By the C contract.
    unsafe { *start_off = part.start() };

    let device = {
        let hosts = HOSTS.lock();
        let host = hosts.iter().find(|host| host.disk.as_ptr() == bdev.bd_disk);
        let Some(host) = host else {
            return ptr::null_mut();
        };
        // SAFETY: The type invariant of `Host`.
        let device: &DaxDevice = unsafe { host.device.as_ref() };
        // SAFETY: As above. The reference makes the device outlive the lock.
        if device.dying() || unsafe { bindings::igrab(device.inode()) }.is_null() {
            pr_info!("{}: the dax device is going away\n", Name(bdev));
            return ptr::null_mut();
        }
        if holder.is_null() {
            device.set(Flag::Unheld, true);
        }
        device.as_raw()
    };
    if holder.is_null() {
        return device;
    }

    // SAFETY: It is a block device.
    let number = unsafe { bindings::bdev_partno(ptr::from_ref(bdev).cast_mut()) };
    let range = match number {
        0 => ByteRange::from_bounds(0, u64::MAX).unwrap_or(part),
        _ => part,
    };
    // SAFETY: We have a reference.
    let registered = unsafe { DaxDevice::from_raw(device) }.map(|device| {
        // SAFETY: The reference is the holder's until `fs_put_dax()`; the rest is the function's
        // contract.
        unsafe { device.register(range, holder, ops) }
    });
    if let Some(Err(refusal)) = registered {
        pr_info!("{}: no dax: {}\n", Name(bdev), refusal);
        // SAFETY: The reference was ours.
        unsafe { super::abi::put_dax(device) };
        return ptr::null_mut();
    }
    device
}
