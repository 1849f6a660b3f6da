// SPDX-License-Identifier: GPL-2.0

//! The memory of a namespace and the driver's state of it.

use super::{
    geometry::Geometry,
    ledger::Ledger,
    nd::region::Region,
    poison::Poison, //
};
use kernel::{
    dax::units::ByteRange,
    memremap::MappedPages,
    mm::pfn::Pfn,
    new_mutex,
    pmem::Window,
    prelude::*,
    str::CString,
    sync::{
        atomic::Atomic,
        Mutex, //
    },
};

/// A namespace with mapped memory.
#[pin_data]
pub(crate) struct Pmem {
    /// The disk's name, for the log.
    pub(crate) name: CString,
    pub(crate) geometry: Geometry,
    pub(crate) window: Window,
    /// The pages, if the memory has `struct page`s.
    pub(crate) pages: Option<MappedPages>,
    pub(crate) region: Region,
    #[pin]
    pub(crate) poison: Poison,
    /// Held while more than one of the lists of poison change: see `ledger.rs`.
    #[pin]
    pub(crate) ledger: Mutex<Ledger>,
    /// A flush asks a hypervisor, and waits for the answer.
    pub(crate) flush_waits: bool,
    /// The memory is not in the direct map, so the kernel does not unmap pages of it.
    pub(crate) vmalloc: bool,
    /// The device is being unbound from the driver.
    pub(crate) going: Atomic<bool>,
    /// The driver is about to be unbound, and its pages stay because some are in use. A failure does
    /// not use `region` then, because it may be met after the unbinding. Changed with the mutex held.
    pub(crate) left: Atomic<bool>,
}

impl Pmem {
    /// Describes a namespace that was just mapped.
    pub(crate) fn new(
        name: CString,
        geometry: Geometry,
        window: Window,
        pages: Option<MappedPages>,
        region: Region,
    ) -> impl PinInit<Self, Error> {
        let vmalloc = window.is_vmalloc();
        let flush_waits = !region.is_sync();
        try_pin_init!(Self {
            poison <- Poison::new(geometry.all_sectors().ok_or(EINVAL)?),
            ledger <- new_mutex!(Ledger::new(), "nd_pmem::ledger"),
            name,
            geometry,
            window,
            pages,
            region,
            flush_waits,
            vmalloc,
            going: Atomic::new(false),
            left: Atomic::new(false),
        })
    }

    /// `range` of the data as physical addresses.
    pub(crate) fn phys_of(&self, range: ByteRange) -> Option<ByteRange> {
        ByteRange::new(self.geometry.phys(range.start()), range.len())
    }

    /// `range` of the data in the mapping.
    #[inline]
    pub(crate) fn window_of(&self, range: ByteRange) -> Option<ByteRange> {
        ByteRange::new(self.geometry.in_window(range.start()), range.len())
    }

    /// The part of `phys`, physical addresses, that is data of this namespace.
    pub(crate) fn data_within(&self, phys: ByteRange) -> Option<ByteRange> {
        let all = self.geometry.data_phys()?;
        all.intersection(&phys)?.relative_to(all.start())
    }

    /// The page frames that `range` of the data touches.
    pub(crate) fn pfns(&self, range: ByteRange) -> impl Iterator<Item = Pfn> + '_ {
        let (first, after) = self
            .phys_of(range)
            .map_or((0, 0), |phys| phys.pages_touched());
        // CAST: Physical page numbers fit.
        (first..after).map(|pfn| Pfn(pfn as usize))
    }

    /// Whether the kernel can access all of `range` of the data. A page may be unmapped right after
    /// the check: see [`Window`].
    pub(crate) fn is_present(&self, range: ByteRange) -> bool {
        let Some(pages) = &self.pages else {
            return true;
        };
        self.pfns(range).all(|pfn| pages.is_present(pfn))
    }

    /// Makes the kernel map the pages of `range` of the data that it unmapped. Sleeps.
    pub(crate) fn make_present(&self, range: ByteRange) -> Result {
        let Some(pages) = &self.pages else {
            return Ok(());
        };
        self.pfns(range)
            .filter(|pfn| !pages.is_present(*pfn))
            .try_for_each(|pfn| pages.make_present(pfn))
    }
}
