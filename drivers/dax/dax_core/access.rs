// SPDX-License-Identifier: GPL-2.0

//! The use of a device's memory, and what happens when it meets poison.
//!
//! A driver translates addresses, knows which memory is bad and can make some of it good; see
//! `struct dax_operations`. What follows from that is decided here, for all drivers alike:
//!
//! - Memory that is known to be bad is not given out for ordinary access; what comes before it is.
//! - It is given out for a recovery write, which may only replace whole units of what the driver
//!   said it can make good. Anything else is refused before the media is touched.
//! - It is given out for a recovery read, which gets the good bytes before the first bad one.
//! - The caller's memory is never waited for: a copy that would have to stops short. The caller
//!   has to leave its read section before it lets user space decide how long things take.

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

/// Runs `f` so that page faults fail and do not wait: those of a copy end it.
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
    /// Whether the device may be used. The caller is in a read section, or else the answer is old.
    #[inline]
    pub(crate) fn alive(&self) -> bool {
        self.assert_reading();
        self.has(Flag::Alive)
    }

    /// Translates `pgoff`; how many pages the caller gets, at least one and at most `pages`.
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
        let access = self
            .ops()
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

    /// Copies from `iter` to the device; how much.
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
        // The user's address was checked with access_ok() when the iterator was made, so the
        // copies that check it once more, and the object that `addr` would have to be (hardened
        // usercopy), cost time for nothing.
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

    /// Copies from the device to `iter`; how much, which is less than asked where there is poison.
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
    /// The caller is in a read section.
    pub(crate) fn zero_pages(&self, pgoff: usize, pages: usize) -> Result {
        if !self.alive() {
            return Err(ENXIO);
        }
        let zero = self
            .ops()
            .and_then(|ops| ops.zero_page_range)
            .ok_or(EOPNOTSUPP)?;
        let end = pgoff.checked_add(pages).ok_or(ERANGE)?;
        // One page at a time: neither device mapper's targets nor firmware that clears poison can
        // be trusted with more.
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

    /// Overwrites poison; how much was written, which is 0 when it cannot be made good.
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
        let Some(ops) = self.ops() else { return 0 };
        let Some(write) = ops.recovery_write else {
            return 0;
        };
        // What is not a multiple of the unit would leave part of one unwritten, of which the old
        // content is lost: after that it could not even be told that something is missing.
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

    /// Reads up to the first poison; how much, which is 0 when there is poison right at `addr`.
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
        let Some(good_bytes) = self.ops().and_then(|ops| ops.good_bytes) else {
            return 0;
        };
        // SAFETY: The device is alive, and stays so for as long as the section lasts.
        unsafe { good_bytes(self.as_raw(), pgoff, offset, bytes) }
    }

    /// Writes back the caches of `addr`, if they hold what has to be on the media.
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
