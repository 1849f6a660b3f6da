// SPDX-License-Identifier: GPL-2.0

//! The C interface: what `include/linux/dax.h` and `drivers/dax/dax-private.h` declare.
//!
//! These functions only convert arguments and results. Each behaves as the method that it calls is
//! documented to; the headers say what C callers have to observe.

// C's callers have no use for Rust's safety sections: each function demands what its header does,
// and above all that `dev` is null or a device to which the caller has a reference.
#![allow(clippy::missing_safety_doc)]

use super::{
    device::{
        DaxDevice,
        Flag, //
    },
    failure::Extent,
    holders::Outcome,
    inode,
    read_section::ReadSections, //
};
use core::ptr::{
    self,
    NonNull, //
};
use kernel::{
    bindings,
    dax::units::ByteRange,
    prelude::*, //
};

/// Converts a result to C's `int`.
fn to_int(result: Result) -> c_int {
    match result {
        Ok(()) => 0,
        Err(e) => e.to_errno(),
    }
}

/// Converts an error to C's `long`, for functions that return a count.
fn to_long(e: Error) -> c_long {
    // CAST: `c_long` is at least as wide as `c_int`.
    e.to_errno() as c_long
}

/// Enters a section that keeps the memory of every device.
///
/// For callers that cannot name the device: the removal of every device waits for this section.
/// [`dax_dev_read_lock`] makes fewer removals wait.
#[export]
pub(crate) unsafe extern "C" fn dax_read_lock() -> c_int {
    ReadSections::global().enter()
}

#[export]
pub(crate) unsafe extern "C" fn dax_read_unlock(id: c_int) {
    // SAFETY: By the C contract, `id` comes from `dax_read_lock()`.
    unsafe { ReadSections::global().leave(id) };
}

/// The sections that protect `dev`: its own, or the global ones if it has none or is null.
///
/// # Safety
///
/// `dev` has to be null or a device that the caller keeps.
#[inline]
unsafe fn sections<'a>(dev: *mut bindings::dax_device) -> &'a ReadSections {
    // SAFETY: By the function's contract `dev` is null or a device that the caller keeps.
    match unsafe { DaxDevice::from_raw::<'a>(dev) } {
        Some(dev) => dev.sections(),
        None => ReadSections::global(),
    }
}

#[export]
pub(crate) unsafe extern "C" fn dax_dev_read_lock(dev: *mut bindings::dax_device) -> c_int {
    // SAFETY: By the C contract `dev` is null or a device that the caller keeps.
    unsafe { sections(dev) }.enter()
}

#[export]
pub(crate) unsafe extern "C" fn dax_dev_read_unlock(dev: *mut bindings::dax_device, id: c_int) {
    // SAFETY: By the C contract `dev` is null or a device that the caller keeps.
    let sections = unsafe { sections(dev) };
    // SAFETY: By the C contract `id` comes from `dax_dev_read_lock(dev)`.
    unsafe { sections.leave(id) };
}

#[export]
pub(crate) unsafe extern "C" fn dax_direct_access(
    dev: *mut bindings::dax_device,
    pgoff: usize,
    nr_pages: c_long,
    mode: bindings::dax_access_mode,
    kaddr: *mut *mut c_void,
    pfn: *mut usize,
) -> c_long {
    // SAFETY: By the C contract `dev` is null or a device that the caller keeps.
    let Some(dev) = (unsafe { DaxDevice::from_raw(dev) }) else {
        return to_long(EOPNOTSUPP);
    };
    // SAFETY: By the C contract the caller is in a read section, and `kaddr` and `pfn` are null or
    // valid for writes.
    match unsafe { dev.direct_access(pgoff, nr_pages, mode, kaddr, pfn) } {
        Ok(pages) => pages,
        Err(e) => to_long(e),
    }
}

#[export]
pub(crate) unsafe extern "C" fn dax_copy_from_iter(
    dev: *mut bindings::dax_device,
    _pgoff: usize,
    addr: *mut c_void,
    bytes: usize,
    iter: *mut bindings::iov_iter,
) -> usize {
    // SAFETY: By the C contract `dev` is null or a device that the caller keeps.
    let Some(dev) = (unsafe { DaxDevice::from_raw(dev) }) else {
        return 0;
    };
    // SAFETY: By the C contract the caller is in the read section in which `dax_direct_access()`
    // gave it `addr`, with so many bytes, and `iter` is a source.
    unsafe { dev.copy_from_iter(addr, bytes, iter) }
}

#[export]
pub(crate) unsafe extern "C" fn dax_copy_to_iter(
    dev: *mut bindings::dax_device,
    _pgoff: usize,
    addr: *mut c_void,
    bytes: usize,
    iter: *mut bindings::iov_iter,
) -> usize {
    // SAFETY: By the C contract `dev` is null or a device that the caller keeps.
    let Some(dev) = (unsafe { DaxDevice::from_raw(dev) }) else {
        return 0;
    };
    // SAFETY: By the C contract the caller is in the read section in which `dax_direct_access()`
    // gave it `addr`, with so many bytes, and `iter` is a destination.
    unsafe { dev.copy_to_iter(addr, bytes, iter) }
}

#[export]
pub(crate) unsafe extern "C" fn dax_zero_page_range(
    dev: *mut bindings::dax_device,
    pgoff: usize,
    nr_pages: usize,
) -> c_int {
    // SAFETY: By the C contract `dev` is null or a device that the caller keeps.
    let dev = unsafe { DaxDevice::from_raw(dev) };
    // SAFETY: By the C contract the caller is in a read section.
    to_int(dev.map_or(Err(EOPNOTSUPP), |dev| unsafe {
        dev.zero_pages(pgoff, nr_pages)
    }))
}

#[export]
pub(crate) unsafe extern "C" fn dax_recovery_write(
    dev: *mut bindings::dax_device,
    pgoff: usize,
    addr: *mut c_void,
    bytes: usize,
    iter: *mut bindings::iov_iter,
) -> usize {
    // SAFETY: By the C contract `dev` is null or a device that the caller keeps.
    let Some(dev) = (unsafe { DaxDevice::from_raw(dev) }) else {
        return 0;
    };
    // SAFETY: By the C contract the caller is in the read section in which `dax_direct_access()`
    // gave it `addr` in page `pgoff`, with so many bytes, and `iter` is a source.
    unsafe { dev.recovery_write(pgoff, addr, bytes, iter) }
}

#[export]
pub(crate) unsafe extern "C" fn dax_recovery_read(
    dev: *mut bindings::dax_device,
    pgoff: usize,
    addr: *mut c_void,
    bytes: usize,
    iter: *mut bindings::iov_iter,
) -> usize {
    // SAFETY: By the C contract `dev` is null or a device that the caller keeps.
    let Some(dev) = (unsafe { DaxDevice::from_raw(dev) }) else {
        return 0;
    };
    // SAFETY: By the C contract the caller is in the read section in which `dax_direct_access()`
    // gave it `addr` in page `pgoff`, with so many bytes, and `iter` is a destination.
    unsafe { dev.recovery_read(pgoff, addr, bytes, iter) }
}

#[export]
pub(crate) unsafe extern "C" fn dax_good_bytes(
    dev: *mut bindings::dax_device,
    pgoff: usize,
    offset: usize,
    bytes: usize,
) -> usize {
    // SAFETY: The C contract.
    unsafe { DaxDevice::from_raw(dev).map_or(0, |dev| dev.good_bytes(pgoff, offset, bytes)) }
}

#[export]
pub(crate) unsafe extern "C" fn dax_flush(
    dev: *mut bindings::dax_device,
    addr: *mut c_void,
    size: usize,
) {
    // SAFETY: By the C contract `dev` is null or a device that the caller keeps.
    if let Some(dev) = unsafe { DaxDevice::from_raw(dev) } {
        // SAFETY: By the C contract `addr` is `size` bytes of memory of the device.
        unsafe { dev.flush(addr, size) };
    }
}

/// Notifies the holders of `len` bytes at `off` that these failed; 0 and `U64_MAX` mean the device.
///
/// `-ENXIO` when the device is dead; `-EOPNOTSUPP` when some of the bytes have no holder that deals
/// with them, so that the caller has to find their users: page faults that began before the call
/// have finished by then; `-EINVAL` for no bytes at all; `-ERANGE` for bytes that 64 bits cannot
/// count. Sleeps. The caller must not hold a lock that a holder's callback takes.
#[export]
pub(crate) unsafe extern "C" fn dax_holder_notify_failure(
    dev: *mut bindings::dax_device,
    off: u64,
    len: u64,
    mf_flags: c_int,
) -> c_int {
    // SAFETY: By the C contract `dev` is null or a device that the caller keeps.
    let Some(dev) = (unsafe { DaxDevice::from_raw(dev) }) else {
        return ENXIO.to_errno();
    };
    let extent = match (off, len) {
        (0, u64::MAX) => Extent::Whole,
        (_, 0) => return EINVAL.to_errno(),
        _ => match ByteRange::new(off, len) {
            Some(bytes) => Extent::Bytes(bytes),
            None => return ERANGE.to_errno(),
        },
    };
    match dev.notify(extent, mf_flags) {
        Outcome::Dead => ENXIO.to_errno(),
        Outcome::Unheld => EOPNOTSUPP.to_errno(),
        Outcome::Told(result) => to_int(result),
    }
}

#[export]
pub(crate) unsafe extern "C" fn dax_holder(dev: *mut bindings::dax_device) -> *mut c_void {
    // SAFETY: By the C contract `dev` is null or a device that the caller keeps.
    unsafe { DaxDevice::from_raw(dev) }.map_or(ptr::null_mut(), DaxDevice::holder)
}

#[export]
pub(crate) unsafe extern "C" fn dax_alive(dev: *mut bindings::dax_device) -> bool {
    // SAFETY: By the C contract `dev` is null or a device that the caller keeps.
    unsafe { DaxDevice::from_raw(dev) }.is_some_and(DaxDevice::alive)
}

#[export]
pub(crate) unsafe extern "C" fn dax_get_private(dev: *mut bindings::dax_device) -> *mut c_void {
    // SAFETY: By the C contract `dev` is null or a device that the caller keeps.
    unsafe { DaxDevice::from_raw(dev) }.map_or(ptr::null_mut(), DaxDevice::private)
}

#[export]
pub(crate) unsafe extern "C" fn dax_set_ops(
    dev: *mut bindings::dax_device,
    ops: *const bindings::dax_operations,
) -> c_int {
    // SAFETY: By the C contract `dev` is null or a device that the caller keeps.
    let Some(dev) = (unsafe { DaxDevice::from_raw(dev) }) else {
        return ENXIO.to_errno();
    };
    match NonNull::new(ops.cast_mut()) {
        // SAFETY: By the C contract it stays until it is taken away or the device is removed.
        Some(ops) => to_int(unsafe { dev.set_ops(ops) }),
        None => {
            dev.clear_ops();
            0
        }
    }
}

/// Sets `flag` of `dev`, if there is one.
///
/// # Safety
///
/// `dev` has to be null or a device that the caller keeps.
unsafe fn set_flag(dev: *mut bindings::dax_device, flag: Flag, on: bool) {
    // SAFETY: By the function's contract `dev` is null or a device that the caller keeps.
    if let Some(dev) = unsafe { DaxDevice::from_raw(dev) } {
        dev.set(flag, on);
    }
}

#[export]
pub(crate) unsafe extern "C" fn dax_write_cache(dev: *mut bindings::dax_device, wc: bool) {
    // SAFETY: By the C contract `dev` is null or a device that the caller keeps.
    unsafe { set_flag(dev, Flag::WriteCache, wc) };
}

#[export]
pub(crate) unsafe extern "C" fn dax_write_cache_enabled(dev: *mut bindings::dax_device) -> bool {
    // SAFETY: By the C contract `dev` is null or a device that the caller keeps.
    unsafe { DaxDevice::from_raw(dev) }.is_some_and(|dev| dev.has(Flag::WriteCache))
}

#[export]
pub(crate) unsafe extern "C" fn dax_synchronous(dev: *mut bindings::dax_device) -> bool {
    // SAFETY: By the C contract `dev` is null or a device that the caller keeps.
    unsafe { DaxDevice::from_raw(dev) }.is_some_and(|dev| dev.has(Flag::Synchronous))
}

#[export]
pub(crate) unsafe extern "C" fn set_dax_synchronous(dev: *mut bindings::dax_device) {
    // SAFETY: By the C contract `dev` is null or a device that the caller keeps.
    unsafe { set_flag(dev, Flag::Synchronous, true) };
}

#[export]
pub(crate) unsafe extern "C" fn set_dax_nocache(dev: *mut bindings::dax_device) {
    // SAFETY: By the C contract `dev` is null or a device that the caller keeps.
    unsafe { set_flag(dev, Flag::NoCache, true) };
}

#[export]
pub(crate) unsafe extern "C" fn set_dax_nomc(dev: *mut bindings::dax_device) {
    // SAFETY: By the C contract `dev` is null or a device that the caller keeps.
    unsafe { set_flag(dev, Flag::NoMc, true) };
}

/// Allocates a device that is alive, with one reference. [`kill_dax`] has to come before the last
/// [`put_dax`].
#[export]
pub(crate) unsafe extern "C" fn alloc_dax(
    private: *mut c_void,
    ops: *const bindings::dax_operations,
) -> *mut bindings::dax_device {
    // SAFETY: By the C contract the table is null or valid for as long as the device is alive.
    match unsafe { inode::alloc(private, ops) } {
        Ok(dev) => DaxDevice::into_raw(dev),
        Err(e) => e.to_ptr(),
    }
}

#[export]
pub(crate) unsafe extern "C" fn dax_dev_get(devt: bindings::dev_t) -> *mut bindings::dax_device {
    inode::get(devt).map_or(ptr::null_mut(), DaxDevice::into_raw)
}

#[export]
pub(crate) unsafe extern "C" fn put_dax(dev: *mut bindings::dax_device) {
    if let Some(dev) = NonNull::new(dev) {
        // SAFETY: By the C contract the reference is the caller's to give up.
        drop(unsafe { DaxDevice::take_raw(dev) });
    }
}

#[export]
pub(crate) unsafe extern "C" fn kill_dax(dev: *mut bindings::dax_device) {
    // SAFETY: By the C contract `dev` is null or a device that the caller keeps.
    if let Some(dev) = unsafe { DaxDevice::from_raw(dev) } {
        dev.kill();
    }
}

/// See `dax_core.h`.
#[export]
pub(crate) unsafe extern "C" fn dax_is_given_up(dev: *mut bindings::dax_device) -> bool {
    // SAFETY: By the C contract `dev` is null or a device that the caller keeps.
    unsafe { DaxDevice::from_raw(dev) }.is_some_and(DaxDevice::is_given_up)
}

/// See `dax_core.h`.
#[export]
pub(crate) unsafe extern "C" fn dax_set_unheld(dev: *mut bindings::dax_device) {
    // SAFETY: By the C contract `dev` is null or a device that the caller keeps.
    if let Some(dev) = unsafe { DaxDevice::from_raw(dev) } {
        dev.set(Flag::Unheld, true);
    }
}

/// See `dax_core.h`.
#[export]
pub(crate) unsafe extern "C" fn dax_retire(dev: *mut bindings::dax_device) {
    // SAFETY: By the C contract `dev` is null or a device that the caller keeps.
    if let Some(dev) = unsafe { DaxDevice::from_raw(dev) } {
        dev.retire();
    }
}

#[export]
pub(crate) unsafe extern "C" fn run_dax(dev: *mut bindings::dax_device) {
    // SAFETY: By the C contract `dev` is null or a device that the caller keeps.
    if let Some(dev) = unsafe { DaxDevice::from_raw(dev) } {
        dev.run();
    }
}

/// The device that `inode`, which is open, is the character device of.
#[export]
pub(crate) unsafe extern "C" fn inode_dax(
    inode: *mut bindings::inode,
) -> *mut bindings::dax_device {
    // SAFETY: By the C contract `inode` is valid, and that of a character device.
    let cdev = unsafe { (*inode).__bindgen_anon_5.i_cdev };
    // SAFETY: By the C contract the character device is that of a device.
    unsafe { DaxDevice::of_cdev(cdev).cast() }
}

#[export]
pub(crate) unsafe extern "C" fn dax_inode(dev: *mut bindings::dax_device) -> *mut bindings::inode {
    // SAFETY: By the C contract `dev` is null or a device that the caller keeps.
    unsafe { DaxDevice::from_raw(dev) }.map_or(ptr::null_mut(), DaxDevice::inode)
}
