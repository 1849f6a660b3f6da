// SPDX-License-Identifier: GPL-2.0

//! The units of DAX, each a type of its own.
//!
//! iomap uses page offsets, and DAX holders use bytes. `memory_failure()` uses page frame numbers,
//! [`Pfn`](crate::mm::pfn::Pfn), and the block layer sectors,
//! [`Sector`](crate::block::sector::Sector). C mixes three of them in one function
//! (`__pmem_direct_access()` in `drivers/nvdimm/pmem.c`), where `first_bad - sector` wraps. Here a
//! function takes one unit, and every conversion documents its rounding.
//!
//! This file is plain `no_std` Rust without calls to C: KUnit runs it in the kernel and
//! `tools/testing/host` runs it under Miri and proptest.

use crate::page::{
    PAGE_SHIFT,
    PAGE_SIZE, //
};

/// A page offset from the start of a `dax_device`.
///
/// # Examples
///
/// ```
/// use kernel::{
///     dax::units::Pgoff,
///     page::PAGE_SIZE, //
/// };
///
/// assert_eq!(Pgoff(2).to_bytes(), Some(2 * PAGE_SIZE as u64));
/// assert_eq!(Pgoff(usize::MAX).to_bytes(), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pgoff(pub usize);

impl Pgoff {
    /// The byte at which this page begins, or [`None`] if no 64-bit offset can name it.
    #[inline]
    pub fn to_bytes(self) -> Option<u64> {
        (self.0 as u64).checked_mul(PAGE_SIZE as u64)
    }
}

/// A range of bytes that is not empty and does not wrap.
///
/// # Examples
///
/// ```
/// use kernel::dax::units::ByteRange;
///
/// let range = ByteRange::new(100, 50).ok_or(EINVAL)?;
/// assert_eq!(range.end(), 150);
/// assert_eq!(range.relative_to(100), ByteRange::new(0, 50));
/// let other = ByteRange::from_bounds(140, 1000).ok_or(EINVAL)?;
/// assert_eq!(range.intersection(&other), ByteRange::new(140, 10));
/// // Neither is one.
/// assert_eq!(ByteRange::new(100, 0), None);
/// assert_eq!(ByteRange::new(u64::MAX, 2), None);
/// # Ok::<(), Error>(())
/// ```
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
