// SPDX-License-Identifier: GPL-2.0

//! The units of the window.
//!
//! A page is 4 KiB here whatever the machine's page size: it is the smallest alignment of the
//! protocol. The file system only builds where both are the same.

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
    pub(crate) fn block(self) -> FileBlock {
        FileBlock(self.0 >> TOP_ORDER)
    }
}

/// The size of a file in pages, the last one perhaps in part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FilePages(pub(crate) u64);

impl FilePages {
    /// The size of a file of so many bytes.
    #[inline]
    pub(crate) fn of_bytes(size: u64) -> Self {
        Self(size.div_ceil(1 << PAGE_SHIFT))
    }

    /// Whether the file has `page`.
    #[inline]
    pub(crate) fn has(self, page: FilePage) -> bool {
        page.0 < self.0
    }

    /// Whether the file has all of `block`.
    #[inline]
    pub(crate) fn has_block(self, block: FileBlock) -> bool {
        (block.first_page().0).saturating_add(BLOCK_PAGES.into()) <= self.0
    }

    /// How many pages the file has from `page` on.
    #[inline]
    pub(crate) fn count_from(self, page: FilePage) -> u64 {
        self.0.saturating_sub(page.0)
    }
}

/// 2 MiB of a file, counted from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileBlock(pub(crate) u64);

impl FileBlock {
    /// Its first page; saturates, which is beyond the end of any file.
    #[inline]
    pub(crate) fn first_page(self) -> FilePage {
        FilePage(self.0.saturating_mul(u64::from(BLOCK_PAGES)))
    }

    /// The one after it.
    #[inline]
    pub(crate) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// A byte of the window, counted from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WindowByte(pub(crate) u64);

/// A page of the window, counted from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WindowPage(pub(crate) u32);

impl WindowPage {
    /// Its first byte.
    #[inline]
    pub(crate) fn byte(self) -> WindowByte {
        WindowByte(u64::from(self.0) << PAGE_SHIFT)
    }

    /// The start of the aligned area of `order` that it is in.
    #[inline]
    pub(crate) fn align_down(self, order: u8) -> RangeId {
        RangeId(self.0).align_down(order)
    }
}

/// 2 MiB of the window, counted from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WindowBlock(pub(crate) u32);

impl WindowBlock {
    /// The range that is all of it, or the first one of those in it; [`RangeId::NONE`] if no window
    /// has that block.
    #[inline]
    pub(crate) fn first_range(self) -> RangeId {
        self.0
            .checked_mul(BLOCK_PAGES)
            .map_or(RangeId::NONE, RangeId)
    }
}

/// A range of the window, by its first page.
///
/// It is made from a page, a block or a byte of the window, or from another range: no other number
/// is one by mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RangeId(u32);

impl RangeId {
    /// Not a range: no window is that large.
    pub(crate) const NONE: Self = Self(u32::MAX);

    /// The first one of the window.
    pub(crate) const FIRST: Self = Self(0);

    /// Itself, if it is a range.
    #[inline]
    pub(crate) fn some(self) -> Option<Self> {
        (self != Self::NONE).then_some(self)
    }

    /// The range that begins with `page`.
    #[inline]
    pub(crate) fn at_page(page: WindowPage) -> Self {
        Self(page.0)
    }

    /// The range that begins with `byte`.
    #[inline]
    pub(crate) fn at_byte(byte: WindowByte) -> Self {
        u32::try_from(byte.0 >> PAGE_SHIFT).map_or(Self::NONE, Self)
    }

    /// Its first page.
    #[inline]
    pub(crate) fn page(self) -> WindowPage {
        WindowPage(self.0)
    }

    /// Its first byte.
    #[inline]
    pub(crate) fn byte(self) -> WindowByte {
        self.page().byte()
    }

    /// The 2 MiB of the window that it is in.
    #[inline]
    pub(crate) fn block(self) -> WindowBlock {
        WindowBlock(self.0 >> TOP_ORDER)
    }

    /// The number of its first page in its block.
    #[inline]
    pub(crate) fn page_in_block(self) -> usize {
        (self.0 % BLOCK_PAGES) as usize
    }

    /// The range after it, if it is of `order`.
    #[inline]
    pub(crate) fn after(self, order: u8) -> Self {
        Self(self.0.saturating_add(1 << order))
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
