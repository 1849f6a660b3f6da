// SPDX-License-Identifier: GPL-2.0

//! KUnit suite of device memory with `struct page`s.
//!
//! Unused physical addresses get pages for the time of a test. The addresses are never accessed,
//! only their `struct page`s are.

use super::*;
use crate::{
    faux,
    page::{
        Page,
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
};

/// Remembers the last failure.
struct TestOwner(Arc<LastFailure>);

struct LastFailure {
    pfn: Atomic<usize>,
    pages: Atomic<usize>,
    flags: Atomic<i32>,
}

impl LastFailure {
    fn new() -> Result<Arc<Self>> {
        let this = Self {
            pfn: Atomic::new(0),
            pages: Atomic::new(0),
            flags: Atomic::new(0),
        };
        Ok(Arc::new(this, GFP_KERNEL)?)
    }
}

#[vtable]
impl Operations for TestOwner {
    fn memory_failure(&self, pfn: Pfn, pages: usize, mf_flags: i32) -> Result {
        self.0.pfn.store(pfn.0, Relaxed);
        self.0.pages.store(pages, Relaxed);
        self.0.flags.store(mf_flags, Relaxed);
        Err(EOPNOTSUPP)
    }
}

/// Unused physical addresses, reserved until the value is dropped.
struct Hole {
    start: u64,
}

impl Hole {
    /// The least that can be mapped: a subsection of the memory model.
    const LEN: u64 = 2 << 20;
    const ALIGN: u64 = 1 << 30;
    const ATTEMPTS: u64 = 512;

    /// The lowest ones above 4 GiB, because the kernel remembers the highest address that ever had
    /// pages. [`None`] if all are in use, or the unused ones cannot be mapped.
    fn new() -> Option<Self> {
        let root = &raw mut bindings::iomem_resource;
        // SAFETY: May always be called; the end of the root resource is set once at boot.
        let last = unsafe { bindings::mhp_get_pluggable_range(true).end.min((*root).end) };
        (4..Self::ATTEMPTS)
            .map(|n| n * Self::ALIGN)
            .take_while(|start| *start < last - Self::LEN)
            .find(|start| {
                // SAFETY: May be called with any range. Flags of 0 match all resources.
                let used = unsafe {
                    bindings::region_intersects(
                        *start,
                        Self::LEN as usize,
                        0,
                        bindings::IORES_DESC_NONE as usize,
                    )
                };
                // CAST: A small constant.
                if used != bindings::REGION_DISJOINT as c_int {
                    return false;
                }
                let name = c"rdax_kunit".as_char_ptr();
                // SAFETY: The name is static; what is reserved is given back on drop.
                !unsafe { bindings::__request_region(root, *start, Self::LEN, name, 0) }.is_null()
            })
            .map(|start| Self { start })
    }

    /// The page `n` of the hole.
    fn pfn(&self, n: usize) -> Pfn {
        // CAST: Physical page numbers fit.
        Pfn((self.start >> PAGE_SHIFT) as usize + n)
    }

    /// How many pages it has.
    const PAGES: usize = Self::LEN as usize / PAGE_SIZE;
}

impl Drop for Hole {
    fn drop(&mut self) {
        // SAFETY: Reserved by `new()`.
        unsafe {
            bindings::__release_region(&raw mut bindings::iomem_resource, self.start, Self::LEN)
        };
    }
}

/// Runs `f`, and counts warnings instead of printing them. Returns how many there were.
fn warnings(f: impl FnOnce()) -> c_int {
    // SAFETY: We are in a test, so there is one.
    unsafe {
        let test = bindings::kunit_get_current_test();
        let handle = bindings::kunit_start_suppress_warning(test);
        f();
        let count = bindings::kunit_suppressed_warning_count(handle);
        bindings::kunit_end_suppress_warning(test, handle);
        count
    }
}

#[kunit_tests(rust_memremap)]
mod suite {
    use super::*;

    /// The device that a mapping belongs to.
    fn bound(faux: &faux::Registration) -> &Device<Bound> {
        let faux: &faux::Device<Bound> = faux.as_ref();
        faux.as_ref()
    }

    #[test]
    fn the_range_is_kept() -> Result {
        let mut pgmap = PageMap::new(TestOwner(LastFailure::new()?))?;
        assert_eq!(pgmap.range(), (0, 0));
        pgmap.as_mut().set_range(0x1000, 0x2fff);
        assert_eq!(pgmap.range(), (0x1000, 0x2fff));
        Ok(())
    }

    #[test]
    fn memory_of_the_system_is_refused() -> Result {
        let faux = faux::Registration::new(c"rdax_kunit_ram", None)?;
        let last = LastFailure::new()?;
        let page = Page::alloc_page(GFP_KERNEL)?;
        // SAFETY: The page is ours.
        let pfn = unsafe { bindings::page_to_pfn(page.as_ptr()) };
        let start = (pfn as u64) << PAGE_SHIFT;
        let mut pgmap = PageMap::new(TestOwner(last.clone()))?;
        pgmap
            .as_mut()
            .set_range(start, start + PAGE_SIZE as u64 - 1);

        let mut refused = None;
        // C warns, because this is a bug of the bus.
        let count = warnings(|| refused = pgmap.map(bound(&faux)).err());
        assert_eq!(refused, Some(ENXIO));
        assert_eq!(count, 1);
        // The device kept the pagemap until it was unbound.
        drop(faux);
        assert!(Arc::into_unique_or_drop(last).is_some());
        Ok(())
    }

    /// A reservation that fails gives back nothing, which would be that of another.
    #[test]
    fn addresses_are_reserved_once() -> Result {
        // Not every machine has some.
        let Some(hole) = Hole::new() else {
            return Ok(());
        };
        let faux = faux::Registration::new(c"rdax_kunit_reserve", None)?;
        let reserve = || Reservation::new(bound(&faux), hole.start, Hole::LEN);
        assert!(reserve().is_none());
        assert!(reserve().is_none());

        // What has reserved them gives them back.
        let start = hole.start;
        drop(hole);
        let reserve = || Reservation::new(bound(&faux), start, Hole::LEN);
        let held = reserve();
        assert!(held.is_some());
        assert!(reserve().is_none());
        assert!(reserve().is_none());
        drop(held);
        assert!(reserve().is_some());
        Ok(())
    }

    #[test]
    fn pages_as_long_as_the_device_is_bound() -> Result {
        // Not every machine has one.
        let Some(hole) = Hole::new() else {
            return Ok(());
        };
        let faux = faux::Registration::new(c"rdax_kunit_pages", None)?;
        let last = LastFailure::new()?;
        let mut pgmap = PageMap::new(TestOwner(last.clone()))?;
        pgmap
            .as_mut()
            .set_range(hole.start, hole.start + Hole::LEN - 1);
        let pages = pgmap.map(bound(&faux))?;

        let (first, second) = (hole.pfn(0), hole.pfn(1));
        let end = hole.pfn(Hole::PAGES);
        assert_eq!(pages.folio_start(first), Some(first));
        assert_eq!(pages.folio_start(second), Some(second));
        assert!(pages.folio_start(end).is_none());

        assert!(!pages.test_and_clear_hwpoison(first));
        pages.set_hwpoison(first);
        assert!(!pages.test_and_clear_hwpoison(second));
        // Without memory failures there is no such flag.
        let marked = cfg!(CONFIG_MEMORY_FAILURE);
        assert_eq!(pages.test_and_clear_hwpoison(first), marked);
        assert!(!pages.test_and_clear_hwpoison(first));

        // Pages that there are not, and pages that are not ours.
        let page = Page::alloc_page(GFP_KERNEL)?;
        // SAFETY: The page is ours.
        let other = Pfn(unsafe { bindings::page_to_pfn(page.as_ptr()) });
        for pfn in [end, other, Pfn(usize::MAX)] {
            pages.set_hwpoison(pfn);
            assert!(!pages.test_and_clear_hwpoison(pfn));
            assert_eq!(pages.make_present(pfn), Err(ENXIO));
        }
        // SAFETY: The page is ours.
        assert!(!unsafe { bindings::TestClearPageHWPoison(page.as_ptr()) });

        drop(faux);
        assert!(pages.folio_start(first).is_none());
        pages.set_hwpoison(first);
        assert!(!pages.test_and_clear_hwpoison(first));
        assert!(Arc::into_unique_or_drop(last).is_some());
        Ok(())
    }

    #[test]
    fn the_owner_hears_of_failures() -> Result {
        let Some(hole) = Hole::new() else {
            return Ok(());
        };
        let faux = faux::Registration::new(c"rdax_kunit_failure", None)?;
        let last = LastFailure::new()?;
        let mut pgmap = PageMap::new(TestOwner(last.clone()))?;
        pgmap
            .as_mut()
            .set_range(hole.start, hole.start + Hole::LEN - 1);
        let _pages = pgmap.map(bound(&faux))?;

        let pfn = hole.pfn(3);
        // SAFETY: The pagemap is mapped: as `memory_failure()` does it.
        let answer = unsafe {
            let pgmap = NonNull::new(bindings::get_dev_pagemap(pfn.0)).ok_or(ENXIO)?;
            let fail = (*(*pgmap.as_ptr()).ops).memory_failure;
            let answer = fail.map(|fail| fail(pgmap.as_ptr(), pfn.0, 2, 5));
            bindings::put_dev_pagemap(pgmap.as_ptr());
            answer
        };
        assert_eq!(answer, Some(EOPNOTSUPP.to_errno()));
        assert_eq!(last.pfn.load(Relaxed), pfn.0);
        assert_eq!(last.pages.load(Relaxed), 2);
        assert_eq!(last.flags.load(Relaxed), 5);
        Ok(())
    }

    #[test]
    fn a_range_twice() -> Result {
        let Some(hole) = Hole::new() else {
            return Ok(());
        };
        let faux = faux::Registration::new(c"rdax_kunit_twice", None)?;
        let map = || -> Result<MappedPages> {
            let mut pgmap = PageMap::new(TestOwner(LastFailure::new()?))?;
            pgmap
                .as_mut()
                .set_range(hole.start, hole.start + Hole::LEN - 1);
            pgmap.map(bound(&faux))
        };
        let pages = map()?;
        let mut refused = None;
        let count = warnings(|| refused = map().err());
        assert_eq!(refused, Some(ENOMEM));
        assert_eq!(count, 1);
        // The first one is as it was.
        assert_eq!(pages.folio_start(hole.pfn(1)), Some(hole.pfn(1)));
        Ok(())
    }
}
