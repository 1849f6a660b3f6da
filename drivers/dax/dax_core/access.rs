// SPDX-License-Identifier: GPL-2.0

//! Access to the memory of a device, and what becomes of an access to poison.
//!
//! The driver translates addresses, knows which memory is poison and can repair some of it; see
//! `struct dax_operations`. The rules that follow from this are the same for all drivers:
//!
//! - An ordinary access gets the memory up to the first known poison, and none of the poison.
//! - A recovery write gets poison, and may only replace whole units of what the driver can repair.
//!   Anything else is refused before the media is touched.
//! - A recovery read gets poison, and returns the good bytes before the first bad one.
//! - A copy never waits for the caller's memory: it stops short instead. The caller leaves its read
//!   section before it faults that memory in, because user space decides how long that takes.

use super::device::{
    DaxDevice,
    Flag, //
};
use kernel::{
    bindings,
    error::to_result,
    prelude::*,
    task::cond_resched, //
};

/// Runs `f` with page faults disabled: a copy in it ends at the first page that is not present.
#[inline]
fn without_page_faults<R>(f: impl FnOnce() -> R) -> R {
    // SAFETY: Only changes a counter of this task.
    unsafe { bindings::pagefault_disable() };
    let result = f();
    // SAFETY: Takes back the call above.
    unsafe { bindings::pagefault_enable() };
    result
}

impl DaxDevice {
    /// Whether the device may be used. The answer may be stale unless the caller is in a read
    /// section.
    #[inline]
    pub(crate) fn alive(&self) -> bool {
        self.assert_reading();
        self.has(Flag::Alive)
    }

    /// Translates `pgoff`. Returns how many pages the caller gets, from one to `pages`.
    ///
    /// # Safety
    ///
    /// The caller is in a read section; `kaddr` and `pfn` are null or valid for writes.
    #[inline]
    pub(crate) unsafe fn direct_access(
        &self,
        pgoff: usize,
        pages: c_long,
        mode: bindings::dax_access_mode,
        kaddr: *mut *mut c_void,
        pfn: *mut usize,
    ) -> Result<c_long> {
        if !self.alive() {
            return Err(ENXIO);
        }
        // SAFETY: The device is alive, and the section lasts until this returns.
        let access = unsafe { self.ops() }
            .and_then(|ops| ops.direct_access)
            .ok_or(EOPNOTSUPP)?;
        if pages < 0 {
            return Err(EINVAL);
        }
        // SAFETY: The device is alive, and stays so as long as the section lasts. By the function's
        // contract `kaddr` and `pfn` are null or valid for writes.
        let available = unsafe { access(self.as_raw(), pgoff, pages, mode, kaddr, pfn) };
        match available {
            0 => Err(ERANGE),
            // CAST: An error number, which is small.
            error if error < 0 => Err(Error::from_errno(error as i32)),
            available => Ok(available.min(pages)),
        }
    }

    /// Copies from `iter` to the device. Returns the number of bytes copied.
    ///
    /// # Safety
    ///
    /// The caller is in a read section, `addr` has room for `bytes` and comes from
    /// [`DaxDevice::direct_access`] of this section; `iter` is a valid source.
    #[inline]
    pub(crate) unsafe fn copy_from_iter(
        &self,
        addr: *mut c_void,
        bytes: usize,
        iter: *mut bindings::iov_iter,
    ) -> usize {
        if !self.alive() {
            return 0;
        }
        // access_ok() checked the user's address when the iterator was made. The functions that
        // check it again, and hardened usercopy's check of `addr`, would only cost time.
        without_page_faults(|| {
            if self.has(Flag::NoCache) {
                // SAFETY: By the function's contract `addr` has room, and `iter` is a source.
                unsafe { bindings::_copy_from_iter_flushcache(addr, bytes, iter) }
            } else {
                // SAFETY: As in the other case.
                unsafe { bindings::_copy_from_iter(addr, bytes, iter) }
            }
        })
    }

    /// Copies from the device to `iter`. Returns the number of bytes copied, which is short at
    /// poison.
    ///
    /// # Safety
    ///
    /// As for [`DaxDevice::copy_from_iter`], but `iter` is a valid destination.
    #[inline]
    pub(crate) unsafe fn copy_to_iter(
        &self,
        addr: *mut c_void,
        bytes: usize,
        iter: *mut bindings::iov_iter,
    ) -> usize {
        if !self.alive() {
            return 0;
        }
        // As in `copy_from_iter()`.
        without_page_faults(|| {
            if self.has(Flag::NoMc) {
                // SAFETY: By the function's contract `addr` has so many bytes, and `iter` is a
                // destination.
                unsafe { bindings::_copy_mc_to_iter(addr, bytes, iter) }
            } else {
                // SAFETY: As in the other case.
                unsafe { bindings::_copy_to_iter(addr, bytes, iter) }
            }
        })
    }

    /// Writes zeroes to any number of pages.
    ///
    /// # Safety
    ///
    /// The caller is in a read section.
    pub(crate) unsafe fn zero_pages(&self, pgoff: usize, pages: usize) -> Result {
        if !self.alive() {
            return Err(ENXIO);
        }
        // SAFETY: The device is alive, and the section lasts until this returns.
        let zero = unsafe { self.ops() }
            .and_then(|ops| ops.zero_page_range)
            .ok_or(EOPNOTSUPP)?;
        let end = pgoff.checked_add(pages).ok_or(ERANGE)?;
        // One page at a time: neither device mapper's targets nor firmware that clears poison
        // handles larger ranges reliably.
        for page in pgoff..end {
            // SAFETY: The device is alive, and stays so for as long as the section lasts.
            let result = to_result(unsafe { zero(self.as_raw(), page, 1) });
            // This is I/O, for which poison is EIO; EHWPOISON is for page faults.
            result.map_err(|e| if e == EHWPOISON { EIO } else { e })?;
            // The section may sleep.
            cond_resched();
        }
        Ok(())
    }

    /// Overwrites poison. Returns the number of bytes written: 0 when the poison cannot be
    /// repaired.
    ///
    /// # Safety
    ///
    /// As for [`DaxDevice::copy_from_iter`]; `addr` is in page `pgoff`.
    pub(crate) unsafe fn recovery_write(
        &self,
        pgoff: usize,
        addr: *mut c_void,
        bytes: usize,
        iter: *mut bindings::iov_iter,
    ) -> usize {
        if !self.alive() {
            return 0;
        }
        // SAFETY: The device is alive, and the section lasts until this returns.
        let Some(ops) = (unsafe { self.ops() }) else {
            return 0;
        };
        let Some(write) = ops.recovery_write else {
            return 0;
        };
        // A write that is not a multiple of the unit would leave part of a unit unwritten, whose
        // old contents are lost. Once the poison is cleared nothing shows that they are missing.
        if ops.recovery_unit.is_power_of_two()
            && (addr.addr() | bytes) & (ops.recovery_unit - 1) != 0
        {
            pr_debug!(
                "{}: {:#x} bytes at page {:#x} do not fill units of {:#x}\n",
                self.minor(),
                bytes,
                pgoff,
                ops.recovery_unit
            );
            return 0;
        }
        // SAFETY: The device is alive, and stays so as long as the section lasts. By the function's
        // contract `addr` has room, and `iter` is a source.
        without_page_faults(|| unsafe { write(self.as_raw(), pgoff, addr, bytes, iter) })
    }

    /// Reads up to the first poison. Returns the number of bytes read: 0 when `addr` is poison.
    ///
    /// # Safety
    ///
    /// As for [`DaxDevice::copy_to_iter`]; `addr` is in page `pgoff`.
    pub(crate) unsafe fn recovery_read(
        &self,
        pgoff: usize,
        addr: *mut c_void,
        bytes: usize,
        iter: *mut bindings::iov_iter,
    ) -> usize {
        let offset = addr.addr() & (kernel::page::PAGE_SIZE - 1);
        // SAFETY: The function's contract.
        let good = unsafe { self.good_bytes(pgoff, offset, bytes) };
        // Whatever the device's flag says: there is poison nearby.
        //
        // SAFETY: By the function's contract `addr` has so many bytes, and `iter` is a destination.
        without_page_faults(|| unsafe { bindings::_copy_mc_to_iter(addr, good.min(bytes), iter) })
    }

    /// How many of `bytes` bytes from `offset` of page `pgoff` on come before the first that is known
    /// to be bad; 0 where the driver cannot tell.
    ///
    /// # Safety
    ///
    /// The caller is in a read section.
    pub(crate) unsafe fn good_bytes(&self, pgoff: usize, offset: usize, bytes: usize) -> usize {
        if !self.alive() {
            return 0;
        }
        // SAFETY: The device is alive, and the section lasts until this returns.
        let Some(good_bytes) = unsafe { self.ops() }.and_then(|ops| ops.good_bytes) else {
            return 0;
        };
        // SAFETY: The device is alive, and stays so for as long as the section lasts.
        unsafe { good_bytes(self.as_raw(), pgoff, offset, bytes) }
    }

    /// Writes the caches of `addr` back, if the device needs that.
    ///
    /// # Safety
    ///
    /// `addr` is memory of this device, `size` bytes long.
    #[inline]
    pub(crate) unsafe fn flush(&self, addr: *mut c_void, size: usize) {
        if self.has(Flag::WriteCache) {
            // SAFETY: By the function's contract `addr` is `size` bytes of memory.
            unsafe { bindings::dax_wb_cache(addr, size) };
        }
    }
}
