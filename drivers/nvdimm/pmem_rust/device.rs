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
    page::PAGE_SHIFT,
    pmem::Window,
    prelude::*, //
};

/// Where a namespace's data is. Everything in bytes.
///
/// # Invariants
///
/// `data_offset + data_len` is at most what is mapped, neither that nor `phys` plus that wraps,
/// and `data_len` is at least a sector.
#[derive(Clone, Copy)]
pub(crate) struct Geometry {
    /// The physical address at which the namespace begins.
    phys: u64,
    /// Where the data begins in the namespace: after an information block, if there is one.
    data_offset: u64,
    /// How much data there is.
    data_len: u64,
}

impl Geometry {
    /// The geometry of the namespace at the physical addresses `first` to `last`, with data from
    /// `data_offset` on, and `unused` bytes at its end that are not mapped.
    ///
    /// [`None`] when no whole sector is left: a superblock claims more than there is.
    pub(crate) fn new(first: u64, last: u64, data_offset: u64, unused: u64) -> Option<Self> {
        let size = last.checked_sub(first)?.checked_add(1)?;
        first.checked_add(size)?;
        let data_len = size.checked_sub(unused)?.checked_sub(data_offset)?;
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

    /// How many bytes are mapped, from the start of the namespace on.
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

    /// Whether no sector of the page `pfn` is poisoned; a page that is not data counts as good.
    pub(crate) fn page_is_good(&self, pfn: Pfn) -> bool {
        ByteRange::new((pfn.0 as u64) << PAGE_SHIFT, 1 << PAGE_SHIFT)
            .and_then(|page| self.data_within(page))
            .and_then(|range| self.poison.first_within(range.sectors_touched()))
            .is_none()
    }

    /// Records what the bus knows of poison in this namespace.
    pub(crate) fn learn_from_bus(&self) -> Result {
        let data = self.geometry.data_phys().ok_or(EINVAL)?;
        for phys in self.region.known_poison(data)? {
            if let Some(range) = self.data_within(phys) {
                self.poison.add(range.sectors_touched());
            }
        }
        Ok(())
    }

    /// Clears the `HWPoison` flag of each page that `range` of the data touches and that is good.
    ///
    /// A failure in a huge mapping may have been marked at the start of the folio instead of
    /// where it is, so that flag is looked at too. Whoever calls this keeps the device: an I/O
    /// does.
    pub(crate) fn clear_page_flags(&self, range: ByteRange) {
        let Some(pages) = &self.pages else { return };
        for pfn in self.pfns(range) {
            for page in [Some(pfn), pages.folio_start(pfn)].into_iter().flatten() {
                if self.page_is_good(page) {
                    pages.test_and_clear_hwpoison(page);
                }
            }
        }
    }
}
