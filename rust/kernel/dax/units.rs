// SPDX-License-Identifier: GPL-2.0

//! The units of the DAX stack, each a type of its own.
//!
//! `memory_failure()` speaks page frame numbers, iomap speaks page offsets, the block layer
//! speaks sectors and DAX holders speak bytes. C mixes three of them in one function
//! (`__pmem_direct_access()` in `drivers/nvdimm/pmem.c`), which is how `first_bad - sector` came
//! to wrap there. Here a function takes one unit, and every conversion says how it rounds.
//!
//! This file is plain `no_std` Rust without calls to C: KUnit runs it in the kernel and
//! `tools/testing/host` runs it under Miri and proptest.

use crate::page::{
    PAGE_SHIFT,
    PAGE_SIZE, //
};

/// The binary logarithm of [`SECTOR_SIZE`].
pub const SECTOR_SHIFT: u32 = 9;

/// Bytes in a sector, whatever the logical block size of the disk.
pub const SECTOR_SIZE: u64 = 1 << SECTOR_SHIFT;

/// A page frame number: a physical address in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pfn(pub usize);

/// A page offset from the start of a `dax_device`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pgoff(pub usize);

impl Pgoff {
    /// The byte at which this page begins, or [`None`] if no 64-bit offset can name it.
    #[inline]
    pub fn to_bytes(self) -> Option<u64> {
        (self.0 as u64).checked_mul(PAGE_SIZE as u64)
    }
}

/// A disk address in units of 512 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sector(pub u64);

impl Sector {
    /// The byte at which this sector begins, or [`None`] if no 64-bit offset can name it.
    #[inline]
    pub fn to_bytes(self) -> Option<u64> {
        self.0.checked_mul(SECTOR_SIZE)
    }
}

/// A range of bytes that is not empty and does not wrap.
///
/// # Invariants
///
/// `start < end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    start: u64,
    end: u64,
}

impl ByteRange {
    /// The range of `len` bytes from `start` on.
    ///
    /// [`None`] when it would be empty or would end past what 64 bits can name.
    #[inline]
    pub fn new(start: u64, len: u64) -> Option<Self> {
        Self::from_bounds(start, start.checked_add(len)?)
    }

    /// The range from `start` up to, but without, `end`; [`None`] when that is empty.
    #[inline]
    pub fn from_bounds(start: u64, end: u64) -> Option<Self> {
        // INVARIANT: Just checked.
        (start < end).then_some(Self { start, end })
    }

    /// The first byte.
    #[inline]
    pub fn start(&self) -> u64 {
        self.start
    }

    /// The byte after the last one.
    #[inline]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// How many bytes; never 0.
    #[inline]
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> u64 {
        self.end - self.start
    }

    /// What both ranges have in common.
    #[inline]
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        Self::from_bounds(self.start.max(other.start), self.end.min(other.end))
    }

    /// The same bytes counted from `origin`; [`None`] when the range begins before it.
    #[inline]
    pub fn relative_to(&self, origin: u64) -> Option<Self> {
        Self::from_bounds(
            self.start.checked_sub(origin)?,
            self.end.checked_sub(origin)?,
        )
    }

    /// Every sector that the range touches.
    #[inline]
    pub fn sectors_touched(&self) -> SectorRange {
        SectorRange {
            // INVARIANT: `start < end`, so rounding down and up leaves at least one sector.
            start: Sector(self.start >> SECTOR_SHIFT),
            end: Sector(self.end.div_ceil(SECTOR_SIZE)),
        }
    }

    /// Page offsets of the first page that the range touches and of the one after the last.
    #[inline]
    pub fn pages_touched(&self) -> (u64, u64) {
        (
            self.start >> PAGE_SHIFT,
            self.end.div_ceil(PAGE_SIZE as u64),
        )
    }

    /// Whether both ends lie on page boundaries.
    #[inline]
    pub fn is_page_aligned(&self) -> bool {
        (self.start | self.end) % PAGE_SIZE as u64 == 0
    }
}

/// A range of sectors that is not empty.
///
/// # Invariants
///
/// `start < end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectorRange {
    start: Sector,
    end: Sector,
}

impl SectorRange {
    /// The range from `start` up to, but without, `end`; [`None`] when that is empty.
    #[inline]
    pub fn from_bounds(start: Sector, end: Sector) -> Option<Self> {
        // INVARIANT: Just checked.
        (start < end).then_some(Self { start, end })
    }

    /// The range of `count` sectors from `start` on; [`None`] when empty or wrapping.
    #[inline]
    pub fn new(start: Sector, count: u64) -> Option<Self> {
        Self::from_bounds(start, Sector(start.0.checked_add(count)?))
    }

    /// The first sector.
    #[inline]
    pub fn start(&self) -> Sector {
        self.start
    }

    /// The sector after the last one.
    #[inline]
    pub fn end(&self) -> Sector {
        self.end
    }

    /// How many sectors; never 0.
    #[inline]
    pub fn count(&self) -> u64 {
        self.end.0 - self.start.0
    }

    /// Whether the ranges have a sector in common.
    #[inline]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// What both ranges have in common.
    #[inline]
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        Self::from_bounds(self.start.max(other.start), self.end.min(other.end))
    }

    /// The smallest range that holds both.
    #[inline]
    pub fn hull(&self, other: &Self) -> Self {
        // INVARIANT: Each bound only moves outwards.
        Self {
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }

    /// The bytes of these sectors; [`None`] when 64 bits cannot name them.
    #[inline]
    pub fn to_bytes(&self) -> Option<ByteRange> {
        ByteRange::from_bounds(self.start.to_bytes()?, self.end.to_bytes()?)
    }
}
