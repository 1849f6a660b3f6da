// SPDX-License-Identifier: GPL-2.0

//! The reservation of physical addresses.

use crate::{
    bindings,
    device::{
        Bound,
        Device, //
    },
    prelude::*,
    sync::aref::ARef, //
};

/// Physical addresses that are reserved until this is dropped.
///
/// # Examples
///
/// ```
/// use kernel::{device::Device, memremap::Reservation};
///
/// fn reserve(dev: &Device, start: u64, len: u64) -> Result<Reservation> {
///     Reservation::new(dev, start, len).ok_or(EBUSY)
/// }
/// ```
///
/// # Invariants
///
/// The range is reserved, under the name of `_dev`.
pub struct Reservation {
    start: u64,
    len: u64,
    _dev: ARef<Device>,
}

impl Reservation {
    /// Reserves `len` bytes from `start` on under the name of `dev`; [`None`] if they are not free.
    ///
    /// May sleep. Inlined for the reason given at [`PageMap::map`](super::PageMap::map).
    #[inline(always)]
    pub fn new(dev: &Device, start: u64, len: u64) -> Option<Self> {
        let dev: ARef<Device> = dev.into();
        // SAFETY: The device has its name as long as there is a reference to it, which the value
        // has.
        let reserved = unsafe {
            bindings::__request_region(
                &raw mut bindings::iomem_resource,
                start,
                len,
                bindings::dev_name(dev.as_raw()),
                0,
            )
        };
        if reserved.is_null() {
            return None;
        }
        // INVARIANT: Just reserved.
        Some(Self {
            start,
            len,
            _dev: dev,
        })
    }
}

impl Drop for Reservation {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: The type invariant.
        unsafe {
            bindings::__release_region(&raw mut bindings::iomem_resource, self.start, self.len)
        };
    }
}

/// Reserves physical addresses until `dev` is unbound; returns whether they were free.
///
/// `start` and `len` in bytes; `name` must live as long as the device. May sleep. Inlined for the
/// reason given at [`PageMap::map`](super::PageMap::map).
///
/// # Safety
///
/// `name` must be valid until `dev` is unbound.
#[inline(always)]
pub unsafe fn request_region(
    dev: &Device<Bound>,
    start: u64,
    len: u64,
    name: *const c_char,
) -> bool {
    // SAFETY: `dev` is bound, and `name` is valid by the function's contract.
    !unsafe {
        bindings::__devm_request_region(
            dev.as_raw(),
            &raw mut bindings::iomem_resource,
            start,
            len,
            name,
        )
    }
    .is_null()
}
