// SPDX-License-Identifier: GPL-2.0

//! Device memory with `struct page`s.
//!
//! C header: [`include/linux/memremap.h`](srctree/include/linux/memremap.h)

use crate::{
    bindings,
    dax::{
        removal::wait_for_puts,
        victims::Victims, //
    },
    device::{
        Bound,
        Device, //
    },
    error::{
        from_err_ptr,
        to_result, //
    },
    mm::pfn::Pfn,
    module::this_module,
    prelude::*,
    str::CStr,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
    types::Opaque,
    ThisModule, //
};
use core::{
    marker::PhantomPinned,
    ptr::NonNull, //
};

#[path = "memremap/reservation.rs"]
mod reservation;
pub use reservation::{
    request_region,
    Reservation, //
};

#[cfg(CONFIG_RUST_DAX_KUNIT_TEST)]
#[path = "memremap/tests.rs"]
mod tests;

/// The functions of an owner of fs-dax memory, which are part of `OwnerModule`.
#[vtable]
pub trait Operations: Send + Sync + 'static {
    /// `pages` pages from `pfn` on have failed; `mf_flags` are those of `memory_failure()`.
    ///
    /// May be called at any time from before the mapping is complete until it is gone, and may
    /// sleep. `EOPNOTSUPP` makes the caller deal with the processes that use the pages.
    fn memory_failure(&self, pfn: Pfn, pages: usize, mf_flags: i32) -> Result;
}

/// What a mapping and its [`MappedPages`] have in common.
///
/// # Invariants
///
/// If `stays` is true, there is a reference to `module`, for good.
struct Common {
    /// The one of the functions.
    module: &'static ThisModule,
    /// Whether the pages stay forever, with their pagemap and the owner.
    stays: Atomic<bool>,
}

/// A pagemap that is not mapped yet, with its owner and the settings of the owner's bus.
///
/// Mapping it ([`PageMap::map`]) hands it to the device, which unmaps and frees it when it is
/// unbound, after everything that was handed to it later. The owner may wait for users of the pages
/// before. If that wait ends early, all of it stays forever ([`MappedPages::wait_until_idle`]).
///
/// # Examples
///
/// ```
/// use kernel::{
///     memremap::{Operations, PageMap},
///     mm::pfn::Pfn,
/// };
///
/// struct Owner;
///
/// #[vtable]
/// impl Operations for Owner {
///     fn memory_failure(&self, pfn: Pfn, pages: usize, _mf_flags: i32) -> Result {
///         pr_err!("{} pages from {:#x} on have failed\n", pages, pfn.0);
///         Err(EOPNOTSUPP)
///     }
/// }
///
/// let mut pgmap = PageMap::new(Owner)?;
/// pgmap.as_mut().set_range(0x10_0000_0000, 0x10_0fff_ffff);
/// assert_eq!(pgmap.range(), (0x10_0000_0000, 0x10_0fff_ffff));
/// // Here `pgmap.map(dev)` would hand it to a device.
/// # Ok::<(), Error>(())
/// ```
///
/// # Invariants
///
/// `pgmap` is initialised (zeroed at first), and not in use by the kernel.
#[pin_data]
pub struct PageMap<T: Operations> {
    #[pin]
    pgmap: Opaque<bindings::dev_pagemap>,
    /// Whether the kernel has mapped it.
    mapped: bool,
    ops: T,
    common: Arc<Common>,
    /// The addresses, which are reserved for as long as there are pages.
    reservation: Option<Reservation>,
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: A `dev_pagemap` has no thread affinity, and `T` is `Send`.
unsafe impl<T: Operations> Send for PageMap<T> {}

impl<T: Operations> PageMap<T> {
    /// An empty pagemap, boxed: the kernel keeps its address.
    pub fn new(ops: T) -> Result<Pin<KBox<Self>>> {
        // INVARIANT: It does not stay yet.
        let common = Common {
            module: this_module::<T::OwnerModule>(),
            stays: Atomic::new(false),
        };
        let common = Arc::new(common, GFP_KERNEL)?;
        KBox::pin_init(
            pin_init!(Self {
                // INVARIANT: Zeroed, and not in use yet.
                pgmap <- Opaque::ffi_init(|slot: *mut bindings::dev_pagemap| {
                    // SAFETY: `slot` is valid for writes; all zeroes is a valid `dev_pagemap`.
                    unsafe { slot.write_bytes(0, 1) }
                }),
                mapped: false,
                ops,
                common,
                reservation: None,
                _pin: PhantomPinned,
            }),
            GFP_KERNEL,
        )
    }

    /// The C structure, to be filled in by the bus.
    pub fn as_raw(&self) -> *mut bindings::dev_pagemap {
        self.pgmap.get()
    }

    /// Sets the range of physical addresses, `start` up to and including `last`.
    pub fn set_range(self: Pin<&mut Self>, start: u64, last: u64) {
        let pgmap = self.pgmap.get();
        // SAFETY: By the type invariant it is initialised, and it is not in use elsewhere.
        let range = unsafe { (*pgmap).__bindgen_anon_1.range.as_mut() };
        range.start = start;
        range.end = last;
        // SAFETY: As for the range.
        unsafe { (*pgmap).nr_range = 1 };
    }

    /// The range of physical addresses: the first one and the last one.
    pub fn range(&self) -> (u64, u64) {
        // SAFETY: By the type invariant it is initialised.
        let range = unsafe { (*self.pgmap.get()).__bindgen_anon_1.range.as_ref() };
        (range.start, range.end)
    }

    /// Maps the memory as fs-dax memory until `dev` is unbound.
    ///
    /// May sleep. `ENXIO` when the range has memory of the system in it, `ENOMEM` when another
    /// pagemap has it. Inlined into the driver, because tools/testing/nvdimm wraps the C functions
    /// for the objects of the driver's module only.
    #[inline(always)]
    pub fn map(self: Pin<KBox<Self>>, dev: &Device<Bound>) -> Result<MappedPages> {
        self.map_reserved(dev, None)
    }

    /// As [`PageMap::map`], and keeps the reservation of the addresses as long as the pages.
    #[inline(always)]
    pub fn map_reserved(
        self: Pin<KBox<Self>>,
        dev: &Device<Bound>,
        reservation: Option<Reservation>,
    ) -> Result<MappedPages> {
        // SAFETY: The box is handed on as it is; nothing is moved out of it.
        let this = KBox::into_raw(unsafe { Pin::into_inner_unchecked(self) });
        // SAFETY: `this` was a valid box just now.
        let pgmap = unsafe { (*this).pgmap.get() };

        // SAFETY: As above, and the kernel does not have it yet.
        unsafe { (*this).reservation = reservation };
        // SAFETY: As above.
        let common = unsafe { (*this).common.clone() };

        // From here on the device owns the box.
        //
        // SAFETY: `dev` is bound, and `release` is given the box that it expects.
        to_result(unsafe {
            bindings::devm_add_action_or_reset(dev.as_raw(), Some(Self::release), this.cast())
        })?;

        // SAFETY: The device keeps the box, and the box is not in use by the kernel yet.
        unsafe {
            (*pgmap).type_ = bindings::memory_type_MEMORY_DEVICE_FS_DAX;
            (*pgmap).ops = &Self::OPS;
            (*pgmap).owner = this.cast();
        }
        // SAFETY: `pgmap` is set up, and stays valid until the mapping is undone.
        let addr = from_err_ptr(unsafe {
            bindings::memremap_pages(pgmap, bindings::dev_to_node(dev.as_raw()))
        })?;
        // SAFETY: The device keeps the box, and only `release()` looks at this.
        unsafe { (*this).mapped = true };
        Ok(MappedPages {
            addr: NonNull::new(addr.cast()).ok_or(ENOMEM)?,
            pgmap,
            common,
        })
    }

    /// # Safety
    ///
    /// `this` must be the box that [`PageMap::map`] gave away, and must not be used again.
    unsafe extern "C" fn release(this: *mut c_void) {
        let this = this.cast::<Self>();
        // SAFETY: The function's contract.
        if unsafe { (*this).mapped } {
            // SAFETY: As above.
            if unsafe { (*this).common.stays.load(Relaxed) } {
                return;
            }
            // The pages are idle, but a task that dropped the last reference to one may still be
            // accessing the page.
            wait_for_puts();
            // SAFETY: It was mapped, and nothing uses the pages.
            unsafe { bindings::memunmap_pages((*this).pgmap.get()) };
        }
        // SAFETY: The function's contract; the kernel does not have it any more.
        drop(unsafe { KBox::from_raw(this) });
    }

    /// # Safety
    ///
    /// `pgmap` must be mapped by [`PageMap::map`].
    unsafe extern "C" fn memory_failure(
        pgmap: *mut bindings::dev_pagemap,
        pfn: usize,
        pages: usize,
        mf_flags: c_int,
    ) -> c_int {
        // SAFETY: By the function's contract it is mapped by `map()`, so that `owner` is the box,
        // which outlives the mapping. `map()` may still write to other fields of it.
        let ops = unsafe { &(*(*pgmap).owner.cast::<Self>()).ops };
        match ops.memory_failure(Pfn(pfn), pages, mf_flags) {
            Ok(()) => 0,
            Err(error) => error.to_errno(),
        }
    }

    const OPS: bindings::dev_pagemap_ops = bindings::dev_pagemap_ops {
        folio_free: None,
        migrate_to_ram: None,
        memory_failure: Some(Self::memory_failure),
        folio_split: None,
    };
}

/// Memory that [`PageMap::map`] mapped, and its `struct page`s.
///
/// The value may outlive the mapping: each method checks whether the pages exist, and keeps them
/// until it returns. A page that is not, or not any more, of this mapping has no flags and belongs
/// to no folio. The pagemap is identified by its address: after the mapping is gone, another
/// pagemap of fs-dax memory may have that address. Methods sleep only if they say so.
///
/// Flags are changed one page at a time and atomically. Only the driver knows their right values:
/// it has to serialize changes of the same flags.
///
/// # Examples
///
/// ```
/// use kernel::{dax::victims::Victims, memremap::MappedPages, mm::pfn::Pfn};
///
/// /// Deals with the users of a page that failed, where no holder does.
/// fn failed(pages: &MappedPages, pfn: Pfn, mf_flags: i32) -> Result {
///     let mut victims = Victims::new(mf_flags);
///     pages.end_use(pfn, 1, &mut victims)
/// }
///
/// /// Makes a page usable again that was overwritten.
/// fn repaired(pages: &MappedPages, pfn: Pfn) -> Result {
///     pages.make_present(pfn)?;
///     pages.test_and_clear_hwpoison(pfn);
///     Ok(())
/// }
/// ```
pub struct MappedPages {
    addr: NonNull<u8>,
    /// Only ever compared: by itself it does not keep the pagemap.
    pgmap: *mut bindings::dev_pagemap,
    common: Arc<Common>,
}

// SAFETY: `common` is `Send`. The rest are two addresses, neither of which is accessed without a
// reference to what is there.
unsafe impl Send for MappedPages {}
// SAFETY: `common` is `Sync`. The rest are two addresses, as above; the flags of a page are changed
// atomically.
unsafe impl Sync for MappedPages {}

impl MappedPages {
    /// The kernel's address of the first page.
    pub fn addr(&self) -> NonNull<u8> {
        self.addr
    }

    /// Keeps the page `pfn`, if it is one of this mapping.
    fn pin(&self, pfn: Pfn) -> Option<PinnedPage> {
        // SAFETY: Takes any number, and returns null or a pagemap with a reference to it.
        let pgmap = NonNull::new(unsafe { bindings::get_dev_pagemap(pfn.0) })?;
        // INVARIANT: The function gave us the reference.
        let reference = PageMapRef(pgmap);
        // SAFETY: `pgmap` is valid while we have the reference, and its type does not change.
        let kind = unsafe { (*pgmap.as_ptr()).type_ };
        // After the mapping has gone, the address may be that of another pagemap, of any type.
        if pgmap.as_ptr() != self.pgmap || kind != bindings::memory_type_MEMORY_DEVICE_FS_DAX {
            return None;
        }
        // The pagemap's first pages may be the memory that its `struct page`s are kept in, and
        // have none themselves: this function knows.
        //
        // SAFETY: `pgmap` is valid while we have the reference.
        if !unsafe { bindings::pgmap_pfn_valid(pgmap.as_ptr(), pfn.0) } {
            return None;
        }
        // INVARIANT: Just checked.
        Some(PinnedPage {
            pfn,
            _pgmap: reference,
        })
    }

    /// Keeps `count` pages from `first` on, if all of them are of this mapping.
    fn pin_all(&self, first: Pfn, count: usize) -> Option<[PinnedPage; 2]> {
        let last = first.0.checked_add(count.checked_sub(1)?)?;
        // A pagemap is one range: what is between two of its pages is its own.
        Some([self.pin(first)?, self.pin(Pfn(last))?])
    }

    /// The first page of the folio that `pfn` is part of.
    ///
    /// A failure in a huge mapping may have been marked there: see `mf_dax_kill_procs()`.
    pub fn folio_start(&self, pfn: Pfn) -> Option<Pfn> {
        let page = self.pin(pfn)?;
        // SAFETY: The page is valid while it is pinned.
        let head = unsafe { bindings::compound_head(page.as_raw()) };
        // SAFETY: So is the first page of its folio: all of a folio is of one pagemap.
        Some(Pfn(unsafe { bindings::page_to_pfn(head) }))
    }

    /// Whether `pfn` is mapped in the direct map: the kernel removes failed memory from it.
    ///
    /// A page that is not of this mapping counts as present. Never inlined into the driver: C does
    /// not export the function for modules.
    #[inline(never)]
    pub fn is_present(&self, pfn: Pfn) -> bool {
        self.pin(pfn).is_none_or(|page| {
            // SAFETY: The page is valid while it is pinned, and its part of the kernel's page table
            // stays as long as the pagemap.
            unsafe { bindings::kernel_page_present(page.as_raw()) }
        })
    }

    /// Maps `pfn` in the direct map again, in case a machine check removed it.
    ///
    /// The page is mapped at its usual address, so a speculative read of it may hit poison that is
    /// left: call this only when it was overwritten or is about to be. Does nothing to a page that
    /// is mapped, or that is not of this mapping, because other owners may unmap theirs on purpose.
    /// May sleep. Never inlined into the driver, as [`MappedPages::is_present`].
    #[inline(never)]
    pub fn make_present(&self, pfn: Pfn) -> Result {
        let page = self.pin(pfn).ok_or(ENXIO)?;
        // SAFETY: The page is device memory in the direct map, and stays while it is pinned.
        to_result(unsafe { bindings::clear_mce_nospec(page.pfn.0) })
    }

    /// Clears the `HWPoison` flag of exactly `pfn`; returns whether it was set.
    pub fn test_and_clear_hwpoison(&self, pfn: Pfn) -> bool {
        self.pin(pfn).is_some_and(|page| {
            // SAFETY: The page is valid while it is pinned.
            unsafe { bindings::TestClearPageHWPoison(page.as_raw()) }
        })
    }

    /// Unmaps `count` failed pages from `first` on from all processes that can be found by the
    /// pages alone, and marks the pages. Adds the processes to be signalled to `victims`.
    ///
    /// `EBUSY` when no page is part of a file that can be found; `EOPNOTSUPP` when a test filters
    /// the failure, or the pages are not of this mapping. An error of one page is returned after
    /// the others were handled. Sleeps.
    pub fn end_use(&self, first: Pfn, count: usize, victims: &mut Victims) -> Result {
        let _pinned = self.pin_all(first, count).ok_or(EOPNOTSUPP)?;
        // SAFETY: `_pinned` keeps the pages, which are fs-dax pages of this mapping.
        unsafe { victims.add_pages(first, count) }
    }

    /// Revokes `count` pages from `first` on, whose device is removed, from the processes and the
    /// files that still have them. Pages with other users are left to
    /// [`MappedPages::wait_until_idle`]. Returns whether there are none of these.
    ///
    /// The device must be dead, so that no task can get one of the pages again. A task that has one
    /// mapped gets SIGBUS. Sleeps.
    pub fn revoke(&self, first: Pfn, count: usize) -> bool {
        let Some(_pinned) = self.pin_all(first, count) else {
            return true;
        };
        // SAFETY: `_pinned` keeps the pages, which are fs-dax pages of this mapping. That the
        // device is dead is needed for the result to last, not for the call.
        unsafe { bindings::mf_dax_revoke_pfns(first.0, count) }
    }

    /// As [`MappedPages::revoke`], and waits until none of the pages is in use, without a limit;
    /// `name` is the device's, for the log.
    ///
    /// `EINTR` if the wait ends early, as [`RemovalWait::is_over`] documents. Then all pages of the
    /// mapping stay forever, with their pagemap and the owner, and the owner's module cannot be
    /// unloaded any more: its code is needed when the pages fail. If it is being unloaded already,
    /// nothing ends the wait early. Sleeps.
    ///
    /// [`RemovalWait::is_over`]: crate::dax::removal::RemovalWait::is_over
    pub fn wait_until_idle(&self, first: Pfn, count: usize, name: &CStr) -> Result {
        let Some(_pinned) = self.pin_all(first, count) else {
            return Ok(());
        };
        let module = self.common.module.as_ptr();
        // SAFETY: The module's code made this value, and runs; or it is null.
        let kept = unsafe { bindings::try_module_get(module) };
        // SAFETY: As in `revoke()`; the name ends.
        let result = to_result(unsafe {
            bindings::mf_dax_revoke_pfns_wait(first.0, count, name.as_char_ptr(), kept)
        });
        if result.is_err() {
            // INVARIANT: The wait ends early only where the module is kept, and it is so from now on.
            self.common.stays.store(true, Relaxed);
        } else if kept {
            // SAFETY: The reference was taken above. It is not that of a wait that ended early.
            unsafe { bindings::module_put(module) };
        }
        result
    }

    /// Whether memory of any device may be in use without belonging to a file, so that files do not
    /// show all memory in use.
    pub fn any_left_in_use() -> bool {
        // SAFETY: May always be called.
        unsafe { bindings::dax_left_in_use() }
    }

    /// Sets the `HWPoison` flag of exactly `pfn`.
    pub fn set_hwpoison(&self, pfn: Pfn) {
        if let Some(page) = self.pin(pfn) {
            // SAFETY: The page is valid while it is pinned.
            unsafe { bindings::SetPageHWPoison(page.as_raw()) };
        }
    }
}

/// A reference to a mapped pagemap: it and its pages stay as long.
///
/// # Invariants
///
/// The value owns the reference.
struct PageMapRef(NonNull<bindings::dev_pagemap>);

impl Drop for PageMapRef {
    fn drop(&mut self) {
        // SAFETY: The type invariant: the reference is ours to give up.
        unsafe { bindings::put_dev_pagemap(self.0.as_ptr()) };
    }
}

/// A page of device memory that cannot go away.
///
/// # Invariants
///
/// `pfn` is a page of `_pgmap`, which is of fs-dax memory, and has a `struct page`.
struct PinnedPage {
    pfn: Pfn,
    _pgmap: PageMapRef,
}

impl PinnedPage {
    fn as_raw(&self) -> *mut bindings::page {
        // SAFETY: There is a page by the type invariant.
        unsafe { bindings::pfn_to_page(self.pfn.0) }
    }
}

/// Maps persistent memory without `struct page`s until `dev` is unbound.
///
/// `phys` and `len` in bytes. May sleep. Inlined for the reason given at [`PageMap::map`].
///
/// # Examples
///
/// ```
/// use core::ptr::NonNull;
/// use kernel::{
///     device::{Bound, Device},
///     memremap::{map_without_pages, request_region},
/// };
///
/// /// Reserves and maps memory of a bus, under the name of `dev`.
/// fn attach(dev: &Device<Bound>, start: u64, len: u64) -> Result<NonNull<u8>> {
///     // SAFETY: A string literal stays for ever.
///     if !unsafe { request_region(dev, start, len, c"my_driver".as_char_ptr()) } {
///         return Err(EBUSY);
///     }
///     map_without_pages(dev, start, len)
/// }
/// ```
#[inline(always)]
pub fn map_without_pages(dev: &Device<Bound>, phys: u64, len: u64) -> Result<NonNull<u8>> {
    // CAST: Sizes of memory fit `usize` on 64-bit machines.
    let len = usize::try_from(len).map_err(|_| EINVAL)?;
    // SAFETY: `dev` is bound.
    let addr = from_err_ptr(unsafe {
        bindings::devm_memremap(dev.as_raw(), phys, len, bindings::RDAX_MEMREMAP_PMEM)
    })?;
    NonNull::new(addr.cast()).ok_or(ENOMEM)
}
