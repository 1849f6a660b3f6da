// SPDX-License-Identifier: GPL-2.0

//! The units of the window.
//!
//! A page is 4 KiB here whatever the machine's page size: it is the smallest alignment of the
//! protocol. The file system only builds where both are the same.

use core::ops::Range;

/// The binary logarithm of a page's bytes.
pub(crate) const PAGE_SHIFT: u32 = 12;

/// The order of the largest range: 2 MiB, which one entry of the page table can map.
pub(crate) const TOP_ORDER: u8 = 9;

/// Pages in the largest range.
pub(crate) const BLOCK_PAGES: u32 = 1 << TOP_ORDER;

/// How many orders there are.
pub(crate) const ORDERS: usize = TOP_ORDER as usize + 1;

/// A page of a file, counted from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FilePage(pub(crate) u64);

impl FilePage {
    /// The page that byte `offset` of a file is in.
    #[inline]
    pub(crate) fn of_byte(offset: u64) -> Self {
        Self(offset >> PAGE_SHIFT)
    }

    /// Its first byte; saturates, which is beyond the end of any file.
    #[inline]
    pub(crate) fn byte(self) -> u64 {
        self.0.saturating_mul(1 << PAGE_SHIFT)
    }

    /// The largest multiple of `order`'s size that is not after this page.
    #[inline]
    pub(crate) fn align_down(self, order: u8) -> Self {
        Self(self.0 >> order << order)
    }

    /// Which 2 MiB of the file the page is in.
    #[inline]
    pub(crate) fn block(self) -> u64 {
        self.0 >> TOP_ORDER
    }
}

/// A range of the window, by its first page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RangeId(pub(crate) u32);

impl RangeId {
    /// Not a range: no window is that large.
    pub(crate) const NONE: Self = Self(u32::MAX);

    /// Itself, if it is a range.
    #[inline]
    pub(crate) fn some(self) -> Option<Self> {
        (self != Self::NONE).then_some(self)
    }

    /// The range that begins at byte `offset` of the window.
    #[inline]
    pub(crate) fn at(offset: u64) -> Self {
        u32::try_from(offset >> PAGE_SHIFT).map_or(Self::NONE, Self)
    }

    /// The offset of its first byte in the window.
    #[inline]
    pub(crate) fn offset(self) -> u64 {
        u64::from(self.0) << PAGE_SHIFT
    }

    /// The number of the 2 MiB of the window that it is in.
    #[inline]
    pub(crate) fn block(self) -> u32 {
        self.0 >> TOP_ORDER
    }

    /// The other half of the range that is one order larger.
    #[inline]
    pub(crate) fn buddy(self, order: u8) -> Self {
        Self(self.0 ^ (1 << order))
    }

    /// The start of the aligned area of `order` that it is in.
    #[inline]
    pub(crate) fn align_down(self, order: u8) -> Self {
        Self(self.0 >> order << order)
    }

    /// The pages of a range of `order` that starts here.
    #[inline]
    pub(crate) fn pages(self, order: u8) -> Range<u32> {
        self.0..self.0.saturating_add(1 << order)
    }
}

/// An aligned area of the window, of one range or several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: RangeId,
    pub(crate) order: u8,
}

impl Span {
    /// The area of `order` that `id` is in.
    #[inline]
    pub(crate) fn new(id: RangeId, order: u8) -> Self {
        Self {
            start: id.align_down(order),
            order,
        }
    }

    /// Whether `id` is in it.
    #[inline]
    pub(crate) fn has(self, id: RangeId) -> bool {
        id.align_down(self.order) == self.start
    }
}

/// Bytes of a range of `order`.
#[inline]
pub(crate) fn order_bytes(order: u8) -> u64 {
    1 << (u32::from(order) + PAGE_SHIFT)
}

/// The smallest order of a range that holds `pages` pages, at most [`TOP_ORDER`].
#[inline]
pub(crate) fn order_holding(pages: u64) -> u8 {
    let mut order = 0;
    while order < TOP_ORDER && (1 << order) < pages {
        order += 1;
    }
    order
}
