// SPDX-License-Identifier: GPL-2.0

//! Where the data of a namespace is, according to the bus and an information block on the medium.
//!
//! This file is plain `no_std` Rust without calls to C: KUnit runs it in the kernel and
//! `tools/testing/host` runs it under a fuzzer.

use kernel::{
    block::sector::{
        Sector,
        SectorRange,
        SECTOR_SHIFT, //
    },
    dax::units::ByteRange,
    page::PAGE_SHIFT, //
};

/// Where the data of a namespace is. All values are in bytes.
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
    /// The geometry of a namespace of which `mapped` is mapped, with data from `data_offset` of the
    /// mapping. Both ranges are given by their first and last physical address.
    ///
    /// An information block may cut off the start, as in legacy namespaces, and the end. [`None`]
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

    /// Where byte `offset` of the data is: its offset in the mapping, and its physical address. The
    /// byte must be on the device.
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
