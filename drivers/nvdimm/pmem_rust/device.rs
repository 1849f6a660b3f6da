// SPDX-License-Identifier: GPL-2.0

//! A namespace's memory: where it is, and what is known of it.

use super::{
    nd::region::Region,
    poison::Poison, //
};
use kernel::{
    dax::units::{
        ByteRange,
        Pfn,
        Sector,
        SectorRange,
        SECTOR_SHIFT, //
    },
    memremap::MappedPages,
    new_mutex,
    page::PAGE_SHIFT,
    pmem::{
        self,
        Window, //
    },
    prelude::*,
    sync::Mutex, //
};

/// Where a namespace's data is. Everything in bytes.
///
/// # Invariants
///
/// `data_offset + data_len` is at most what is mapped, neither that nor `phys` plus that wraps,
/// and `data_len` is at least a sector.
#[derive(Clone, Copy)]
pub(crate) struct Geometry {
    /// The physical address at which the mapping begins.
    phys: u64,
    /// Where the data begins in the mapping: after an information block, if there is one.
    data_offset: u64,
    /// How much data there is.
    data_len: u64,
}

impl Geometry {
    /// The geometry of a namespace of which `mapped` is mapped, with data from `data_offset` of
    /// that on. Both are given as their first and their last physical address.
    ///
    /// An information block may cut off a start, which legacy namespaces have, and an end. [`None`]
    /// when it claims more than there is, or leaves no whole sector.
    pub(crate) fn new(namespace: (u64, u64), mapped: (u64, u64), data_offset: u64) -> Option<Self> {
        let (first, last) = mapped;
        if first < namespace.0 || last > namespace.1 {
            return None;
        }
        let size = last.checked_sub(first)?.checked_add(1)?;
        first.checked_add(size)?;
        let data_len = size.checked_sub(data_offset)?;
        if data_len >> SECTOR_SHIFT == 0 {
            return None;
        }
        // INVARIANT: Just checked.
        Some(Self {
            phys: first,
            data_offset,
            data_len,
        })
    }

    /// How many whole sectors of data there are; at least one.
    pub(crate) fn sectors(&self) -> u64 {
        self.data_len >> SECTOR_SHIFT
    }

    /// All sectors.
    pub(crate) fn all_sectors(&self) -> Option<SectorRange> {
        SectorRange::new(Sector(0), self.sectors())
    }

    /// How many whole pages of data there are.
    #[inline]
    pub(crate) fn pages(&self) -> usize {
        // CAST: What is mapped has fewer pages than `usize` can count.
        (self.data_len >> PAGE_SHIFT) as usize
    }

    /// How many bytes are mapped.
    pub(crate) fn mapped_len(&self) -> u64 {
        self.data_offset + self.data_len
    }

    /// The physical addresses of the data.
    pub(crate) fn data_phys(&self) -> Option<ByteRange> {
        ByteRange::new(self.phys + self.data_offset, self.data_len)
    }

    /// The offset in the mapping of byte `offset` of the data; meaningful for `offset` up to the
    /// length of the data.
    #[inline]
    pub(crate) fn in_window(&self, offset: u64) -> u64 {
        offset.saturating_add(self.data_offset)
    }

    /// Where byte `offset` of the data is, which must be on the device: in the mapping, and its
    /// physical address.
    #[inline]
    pub(crate) fn locate(&self, offset: u64) -> (u64, u64) {
        // By the type invariant neither wraps for what is on the device.
        let in_window = self.data_offset.wrapping_add(offset);
        (in_window, self.phys.wrapping_add(in_window))
    }

    /// The physical address of byte `offset` of the data, as for [`Geometry::in_window`].
    #[inline]
    pub(crate) fn phys(&self, offset: u64) -> u64 {
        self.phys.saturating_add(self.in_window(offset))
    }
}

/// A namespace whose memory is mapped.
#[pin_data]
pub(crate) struct Pmem {
    pub(crate) geometry: Geometry,
    pub(crate) window: Window,
    /// The pages, where the memory has some.
    pub(crate) pages: Option<MappedPages>,
    pub(crate) region: Region,
    #[pin]
    pub(crate) poison: Poison,
    /// Held while more than one of the lists of poison change: see `ledger.rs`.
    #[pin]
    pub(crate) ledger: Mutex<()>,
    /// A flush asks a hypervisor, and waits for it.
    pub(crate) flush_waits: bool,
    /// The memory is not in the direct map: no page of it was unmapped.
    pub(crate) vmalloc: bool,
}

impl Pmem {
    /// Describes a namespace that was just mapped.
    pub(crate) fn new(
        geometry: Geometry,
        window: Window,
        pages: Option<MappedPages>,
        region: Region,
    ) -> impl PinInit<Self, Error> {
        let vmalloc = window.is_vmalloc();
        let flush_waits = !region.is_sync();
        try_pin_init!(Self {
            poison <- Poison::new(geometry.all_sectors().ok_or(EINVAL)?),
            ledger <- new_mutex!((), "nd_pmem::ledger"),
            geometry,
            window,
            pages,
            region,
            flush_waits,
            vmalloc,
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

    /// Whether the kernel can access all of `range` of the data. One page may be unmapped right
    /// after that: see [`Window`].
    pub(crate) fn is_present(&self, range: ByteRange) -> bool {
        let Some(pages) = &self.pages else {
            return true;
        };
        self.pfns(range).all(|pfn| pages.is_present(pfn))
    }

    /// Has the kernel map again what it unmapped of `range` of the data. Sleeps.
    pub(crate) fn make_present(&self, range: ByteRange) -> Result {
        let Some(pages) = &self.pages else {
            return Ok(());
        };
        self.pfns(range)
            .filter(|pfn| !pages.is_present(*pfn))
            .try_for_each(pmem::make_present)
    }
}
