// SPDX-License-Identifier: GPL-2.0

//! Sections of code that use the memory of a device.

use kernel::{
    bindings,
    error::to_result,
    optional_name,
    prelude::*,
    static_lock_class,
    types::Opaque, //
};

/// Sections of code that keep the memory of a device, or of all devices, from going away.
///
/// This is a bare SRCU, because the guard of [`kernel::sync::Srcu`] cannot be taken apart: C enters
/// a section in one function and leaves it in another.
///
/// # Invariants
///
/// `srcu` is initialized.
#[repr(transparent)]
#[pin_data(PinnedDrop)]
pub(crate) struct ReadSections {
    #[pin]
    srcu: Opaque<bindings::srcu_struct>,
}

// SAFETY: SRCU is for use from any task.
unsafe impl Send for ReadSections {}
// SAFETY: SRCU is for use from any task.
unsafe impl Sync for ReadSections {}

impl ReadSections {
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        let name = optional_name!("dax_device::readers");
        let key = static_lock_class!();
        try_pin_init!(Self {
            // INVARIANT: By C's function, if it succeeds.
            srcu <- Opaque::try_ffi_init(|srcu| {
                // SAFETY: `srcu` points to room for one, name and key are static.
                to_result(unsafe {
                    bindings::init_srcu_struct_with_key(srcu, name.as_char_ptr(), key.as_ptr())
                })
            }),
        })
    }

    /// The sections that belong to no single device: those of `dax_read_lock()`.
    #[inline]
    pub(crate) fn global() -> &'static Self {
        // SAFETY: The static is initialized and lives for ever; the type is transparent.
        unsafe { &*(&raw const bindings::dax_srcu).cast::<Self>() }
    }

    /// Enters a section. The result has to be passed to [`ReadSections::leave`].
    #[inline]
    pub(crate) fn enter(&self) -> i32 {
        // SAFETY: By the type invariant it is initialized.
        unsafe { bindings::srcu_read_lock(self.srcu.get()) }
    }

    /// Leaves a section.
    ///
    /// # Safety
    ///
    /// `id` must come from [`ReadSections::enter`] of the same sections, and not have been used.
    #[inline]
    pub(crate) unsafe fn leave(&self, id: i32) {
        // SAFETY: By the type invariant it is initialized; by the function's contract `id` comes
        // from it.
        unsafe { bindings::srcu_read_unlock(self.srcu.get(), id) };
    }

    /// Waits for all sections that have been entered by now. Sleeps.
    pub(crate) fn wait(&self) {
        // SAFETY: By the type invariant it is initialized.
        unsafe { bindings::synchronize_srcu(self.srcu.get()) };
    }

    /// Warns, if lockdep is enabled, unless this task is in a section of either.
    #[inline]
    pub(crate) fn assert_in(&self, other: &Self) {
        // SAFETY: By the type invariant both are initialized.
        unsafe { bindings::dax_assert_reading(self.srcu.get(), other.srcu.get()) };
    }
}

#[pinned_drop]
impl PinnedDrop for ReadSections {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant it is initialized; there are no references to it any more.
        unsafe { bindings::cleanup_srcu_struct(self.srcu.get()) };
    }
}
