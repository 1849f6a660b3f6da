// SPDX-License-Identifier: GPL-2.0

//! A mapped device.

use super::ranges::{
    Found,
    Part, //
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    dax::units::ByteRange,
    error::to_result,
    prelude::*, //
};

/// A mapped device that does not go away.
///
/// # Invariants
///
/// The value owns a reference to the mapped device (`dm_hold()`), which its removal waits for.
pub(crate) struct Mapped(NonNull<bindings::mapped_device>);

impl Mapped {
    /// [`None`] when the device is going away: then it is not in use.
    ///
    /// # Safety
    ///
    /// `md` must be valid.
    pub(crate) unsafe fn hold(md: NonNull<bindings::mapped_device>) -> Option<Self> {
        // SAFETY: The function's contract.
        let held = unsafe { bindings::dm_hold(md.as_ptr()) };
        if held != 0 {
            // No value is made, not even for a moment: its drop would put what is not ours.
            return None;
        }
        // INVARIANT: The function gave us the reference.
        Some(Self(md))
    }

    /// Finds out where the live table has the bytes `failed` of `bdev`; how large the table is.
    ///
    /// What cannot be found out is noted in `found`. The table may be another one when this returns.
    pub(crate) fn find(&self, bdev: NonNull<bindings::block_device>, found: &mut Found) -> u64 {
        /// # Safety
        ///
        /// `part` is valid, and `found` a [`Found`] that has no other user.
        unsafe extern "C" fn each(part: *const bindings::dm_dax_part, found: *mut c_void) {
            // SAFETY: The function's contract.
            let (raw, found) = unsafe { (&*part, &mut *found.cast::<Found>()) };
            let part = ByteRange::new(raw.start, raw.len)
                .and_then(|bytes| Part::new(raw.begin, bytes, raw.chunk, raw.every, raw.first));
            match part {
                Some(part) => found.add(&part),
                None => found.add_unknown(),
            }
        }

        let mut size = 0;
        // SAFETY: By the type invariant the mapped device is valid; `bdev` is only compared; `each` is
        // for a `Found`.
        let all = to_result(unsafe {
            bindings::dm_dax_each_part(
                self.0.as_ptr(),
                bdev.as_ptr(),
                &mut size,
                Some(each),
                core::ptr::from_mut(found).cast(),
            )
        });
        if all.is_err() {
            found.add_unknown();
        }
        size
    }

    /// Notifies the holder of the mapped device; [`None`] is all of it. `EOPNOTSUPP` if there is none.
    ///
    /// No lock may be held that a holder takes.
    pub(crate) fn notify(&self, failed: Option<ByteRange>, mf_flags: c_int) -> Result {
        let (offset, len) = failed.map_or((0, u64::MAX), |failed| (failed.start(), failed.len()));
        // SAFETY: By the type invariant the mapped device is valid, and with it its dax device, if it
        // has one.
        let result = to_result(unsafe {
            bindings::dax_holder_notify_failure(
                bindings::dm_dax_device(self.0.as_ptr()),
                offset,
                len,
                mf_flags,
            )
        });
        match result {
            // One that was retired may have users that are no holders.
            Err(e) if e == ENXIO => Err(EOPNOTSUPP),
            result => result,
        }
    }

    /// Has the holder give up all memory. From now on the mapped device has no new users of DAX.
    ///
    /// No lock may be held that a holder takes.
    pub(crate) fn retire(&self) {
        // SAFETY: By the type invariant the mapped device is valid, and with it its dax device, if it
        // has one.
        unsafe { bindings::dax_retire(bindings::dm_dax_device(self.0.as_ptr())) };
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the reference is ours to give up.
        unsafe { bindings::dm_put(self.0.as_ptr()) };
    }
}
