// SPDX-License-Identifier: GPL-2.0

//! Copies between a `dax_device` and other memory.

use super::{
    units::Pgoff,
    Device,
    Mode, //
};
use crate::{
    bindings,
    error::Error,
    iov::{
        IovIterDest,
        IovIterSource, //
    },
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*, //
};

/// A device's read section, in which its memory may be accessed.
///
/// # Invariants
///
/// `id` is the result of entering the section of `device`.
struct Section<'a> {
    device: &'a Device,
    id: c_int,
}

impl<'a> Section<'a> {
    #[inline]
    fn enter(device: &'a Device) -> Self {
        // INVARIANT: This is it.
        Self {
            device,
            // SAFETY: The device is valid.
            id: unsafe { bindings::dax_dev_read_lock(device.as_raw()) },
        }
    }

    /// Translates byte `offset` of the device. Returns its address, and how many of `bytes` bytes
    /// are there.
    #[inline]
    fn find(&self, offset: u64, bytes: usize) -> Result<(Pgoff, *mut c_void, usize)> {
        let pgoff = Pgoff(usize::try_from(offset >> PAGE_SHIFT)?);
        // CAST: Less than a page.
        let inside = offset as usize % PAGE_SIZE;
        let pages = inside.saturating_add(bytes).div_ceil(PAGE_SIZE).max(1);
        let mut kaddr = core::ptr::null_mut();
        // SAFETY: The device is valid, and this is its read section; the frame is not asked for.
        let found = unsafe {
            bindings::dax_direct_access(
                self.device.as_raw(),
                pgoff.0,
                c_long::try_from(pages)?,
                bindings::dax_access_mode(Mode::ACCESS.0),
                &raw mut kaddr,
                core::ptr::null_mut(),
            )
        };
        if found <= 0 {
            // CAST: An error number, which is small.
            return Err(Error::from_errno(found as c_int));
        }
        // CAST: Just checked.
        let there = (found as usize).saturating_mul(PAGE_SIZE) - inside;
        // The offset is less than the page that was found.
        Ok((pgoff, kaddr.wrapping_byte_add(inside), bytes.min(there)))
    }
}

impl Drop for Section<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant `id` comes from entering the section of this device.
        unsafe { bindings::dax_dev_read_unlock(self.device.as_raw(), self.id) };
    }
}

/// `dax_copy_to_iter()` or `dax_copy_from_iter()`.
type Copy = unsafe extern "C" fn(
    *mut bindings::dax_device,
    usize,
    *mut c_void,
    usize,
    *mut bindings::iov_iter,
) -> usize;

impl Device {
    /// Copies between `bytes` bytes, from byte `offset` of the device on, and `iter`. Returns how
    /// many were copied.
    ///
    /// # Safety
    ///
    /// `iter` must be valid, and go in the direction of `copy`.
    #[inline]
    unsafe fn copy(
        &self,
        offset: u64,
        bytes: usize,
        iter: *mut bindings::iov_iter,
        copy: Copy,
    ) -> Result<usize> {
        let section = Section::enter(self);
        let (pgoff, kaddr, bytes) = section.find(offset, bytes)?;
        // SAFETY: The device is valid; `find()` found so many bytes there in this read section,
        // which has not ended; the rest is the function's contract.
        Ok(unsafe { copy(self.as_raw(), pgoff.0, kaddr, bytes, iter) })
    }

    /// Copies `bytes` bytes, from byte `offset` of the device on, to `to`. Returns how many were
    /// copied.
    ///
    /// These may be fewer: if the device ends or has the rest elsewhere, at poison, and if the
    /// caller's memory has to be faulted in, which the core does not wait for. `ENXIO` when the
    /// device is dead, `ERANGE` past its end, `EHWPOISON` when the first page has poison. May sleep
    /// if the driver does.
    ///
    /// # Examples
    ///
    /// ```
    /// use kernel::{
    ///     dax::Device,
    ///     iov::IovIterDest,
    ///     page::PAGE_SIZE,
    /// };
    ///
    /// /// What a `read()` of the first page does.
    /// fn read_first(dev: &Device, to: &mut IovIterDest<'_>) -> Result<usize> {
    ///     dev.copy_to_iter(0, PAGE_SIZE, to)
    /// }
    /// ```
    ///
    /// C functions: `dax_direct_access()`, `dax_copy_to_iter()`
    #[inline]
    pub fn copy_to_iter(
        &self,
        offset: u64,
        bytes: usize,
        to: &mut IovIterDest<'_>,
    ) -> Result<usize> {
        // SAFETY: The type says that it is a destination.
        unsafe { self.copy(offset, bytes, to.as_raw(), bindings::dax_copy_to_iter) }
    }

    /// Copies `bytes` bytes from `from` to the device, from byte `offset` on. Returns how many were
    /// copied.
    ///
    /// As [`Device::copy_to_iter`]. A task that reads the same bytes meanwhile may see some of the
    /// new ones.
    ///
    /// # Examples
    ///
    /// ```
    /// use kernel::{
    ///     dax::Device,
    ///     iov::IovIterSource,
    ///     page::PAGE_SIZE,
    /// };
    ///
    /// /// What a `write()` to the second page does.
    /// fn write_second(dev: &Device, from: &mut IovIterSource<'_>) -> Result<usize> {
    ///     dev.copy_from_iter(PAGE_SIZE as u64, PAGE_SIZE, from)
    /// }
    /// ```
    ///
    /// C functions: `dax_direct_access()`, `dax_copy_from_iter()`
    #[inline]
    pub fn copy_from_iter(
        &self,
        offset: u64,
        bytes: usize,
        from: &mut IovIterSource<'_>,
    ) -> Result<usize> {
        // SAFETY: The type says that it is a source.
        unsafe { self.copy(offset, bytes, from.as_raw(), bindings::dax_copy_from_iter) }
    }
}
