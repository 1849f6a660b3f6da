// SPDX-License-Identifier: GPL-2.0

//! Addresses on a disk.
//!
//! This file is plain `no_std` Rust without calls to C: `tools/testing/host` runs it under Miri and
//! proptest.

use crate::dax::units::ByteRange;

/// The binary logarithm of [`SECTOR_SIZE`].
pub const SECTOR_SHIFT: u32 = super::SECTOR_SHIFT;

/// Bytes in a sector, whatever the logical block size of the disk: [`super::SECTOR_SIZE`] as a
/// number that offsets are counted in.
pub const SECTOR_SIZE: u64 = 1 << SECTOR_SHIFT;

/// A disk address in units of 512 bytes.
///
/// # Examples
///
/// ```
/// use kernel::block::sector::Sector;
///
/// assert_eq!(Sector(8).to_bytes(), Some(4096));
/// assert_eq!(Sector(1 << 55).to_bytes(), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sector(pub u64);

impl Sector {
    /// The byte at which this sector begins, or [`None`] if no 64-bit offset can name it.
    #[inline]
    pub fn to_bytes(self) -> Option<u64> {
        self.0.checked_mul(SECTOR_SIZE)
    }
}

/// A range of sectors that is not empty.
///
/// # Examples
///
/// ```
/// use kernel::{
///     block::sector::{Sector, SectorRange},
///     dax::units::ByteRange,
/// };
///
/// let range = SectorRange::new(Sector(1), 2).ok_or(EINVAL)?;
/// let bytes = range.to_bytes().ok_or(ERANGE)?;
/// assert_eq!((bytes.start(), bytes.len()), (512, 1024));
/// assert_eq!(bytes.sectors_touched(), range);
/// let byte = ByteRange::new(512, 1).ok_or(EINVAL)?;
/// assert_eq!(byte.sectors_touched().count(), 1);
/// # Ok::<(), Error>(())
/// ```
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

impl ByteRange {
    /// Every sector that the range touches.
    #[inline]
    pub fn sectors_touched(&self) -> SectorRange {
        SectorRange {
            // INVARIANT: `start < end`, so rounding down and up leaves at least one sector.
            start: Sector(self.start() >> SECTOR_SHIFT),
            end: Sector(self.end().div_ceil(SECTOR_SIZE)),
        }
    }
}
