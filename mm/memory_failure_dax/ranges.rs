// SPDX-License-Identifier: GPL-2.0

//! The places of failed memory in files, and of files in processes.
//!
//! A failure is followed through three kinds of numbers: page frames, pages of a file, and
//! addresses of a process. Each step is exact to the page, and saturates where C wraps. Its cost
//! depends on what exists, not on the number of pages in the range.
//!
//! This file is plain `no_std` Rust without calls to C: KUnit runs it in the kernel and
//! `tools/testing/host` runs it under proptest against a slow, obvious model.

use kernel::{
    mm::pfn::Pfn,
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
};

/// Pages of a file; not empty, and without the largest page index.
///
/// # Invariants
///
/// `start < end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileRange {
    start: usize,
    end: usize,
}

impl FileRange {
    /// `count` pages from page `start` on, clipped to the largest index; [`None`] when there are
    /// none.
    ///
    /// C wraps if the sum is too large, and then does nothing.
    pub(crate) fn new(start: usize, count: usize) -> Option<Self> {
        Self::from_bounds(start, start.saturating_add(count))
    }

    /// From page `start` up to, but not including, page `end`; [`None`] when that is empty.
    pub(crate) fn from_bounds(start: usize, end: usize) -> Option<Self> {
        // INVARIANT: Just checked.
        (start < end).then_some(Self { start, end })
    }

    /// All pages of the entry of `order` that contains `index`.
    pub(crate) fn of_entry(index: usize, order: u32) -> Option<Self> {
        let size = 1usize.checked_shl(order)?;
        Self::new(index & !(size - 1), size)
    }

    /// The first page.
    pub(crate) fn start(&self) -> usize {
        self.start
    }

    /// The page after the last one.
    pub(crate) fn end(&self) -> usize {
        self.end
    }

    /// The last page.
    pub(crate) fn last(&self) -> usize {
        // By the invariant there is one.
        self.end - 1
    }

    /// How many pages; never 0.
    pub(crate) fn count(&self) -> usize {
        self.end - self.start
    }

    /// The pages that are in both.
    pub(crate) fn intersection(&self, other: &Self) -> Option<Self> {
        Self::from_bounds(self.start.max(other.start), self.end.min(other.end))
    }

    /// The smallest range that contains both.
    pub(crate) fn hull(&self, other: &Self) -> Self {
        // INVARIANT: Each bound only moves outwards.
        Self {
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }
}

/// Pages of a file with consecutive frames, with or without holes.
///
/// # Invariants
///
/// The frame of the last page does not overflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pages: FileRange,
    first: Pfn,
}

impl Stretch {
    /// Pages of a file, the first of which has frame `first`; [`None`] if the frames would
    /// overflow.
    pub(crate) fn new(pages: FileRange, first: Pfn) -> Option<Self> {
        first.0.checked_add(pages.count() - 1)?;
        // INVARIANT: Just checked.
        Some(Self { pages, first })
    }

    /// The pages of the file.
    pub(crate) fn pages(&self) -> FileRange {
        self.pages
    }

    /// The frame of the first page.
    pub(crate) fn first_frame(&self) -> Pfn {
        self.first
    }

    /// The part with frames among `count` from `first` on.
    pub(crate) fn within_frames(&self, first: Pfn, count: usize) -> Option<Self> {
        // Distances from the first frame. None wraps: the sums saturate, and the ends are not
        // beyond the last page.
        let skipped = first.0.saturating_sub(self.first.0);
        let end = first.0.saturating_add(count).saturating_sub(self.first.0);
        let pages = FileRange::from_bounds(
            self.pages.start.checked_add(skipped)?,
            self.pages.start + end.min(self.pages.count()),
        )?;
        self.within(&pages)
    }

    /// Each frame, in order.
    pub(crate) fn frames(&self) -> impl Iterator<Item = Pfn> {
        // By the invariant this does not wrap.
        (0..self.pages.count()).map({
            let first = self.first.0;
            move |n| Pfn(first.wrapping_add(n))
        })
    }

    /// The part that is in `pages`.
    pub(crate) fn within(&self, pages: &FileRange) -> Option<Self> {
        let pages = self.pages.intersection(pages)?;
        // INVARIANT: A part ends no later. It begins at least where the whole does.
        Some(Self {
            pages,
            first: Pfn(self.first.0 + (pages.start - self.pages.start)),
        })
    }

    /// One stretch of this one and a later one, including a hole between them; [`None`] when the
    /// frames of the later one do not fit.
    pub(crate) fn join(&self, later: &Self) -> Option<Self> {
        let distance = later.pages.start.checked_sub(self.pages.start)?;
        if later.pages.start < self.pages.end
            || self.first.0.checked_add(distance)? != later.first.0
        {
            return None;
        }
        // INVARIANT: The last frame is the later one's.
        Some(Self {
            pages: self.pages.hull(&later.pages),
            first: self.first,
        })
    }
}

/// Addresses of a process, whole pages; not empty.
///
/// # Invariants
///
/// `start < end`, and both are multiples of [`PAGE_SIZE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Addresses {
    start: usize,
    end: usize,
}

/// A value that may be joined with one that comes after it.
pub(crate) trait Join: Copy {
    /// The joined value; [`None`] if they do not join.
    fn joined(&self, later: &Self) -> Option<Self>;
}

impl Join for Stretch {
    fn joined(&self, later: &Self) -> Option<Self> {
        self.join(later)
    }
}

impl Join for Addresses {
    fn joined(&self, later: &Self) -> Option<Self> {
        // INVARIANT: It grows by whole pages.
        (self.end == later.start).then_some(Self {
            start: self.start,
            end: later.end,
        })
    }
}

/// A list of at most `N` items, in which adjacent items are joined.
pub(crate) struct Joined<T, const N: usize> {
    list: [Option<T>; N],
    len: usize,
}

/// Stretches of a file.
pub(crate) type Stretches<const N: usize> = Joined<Stretch, N>;

/// Addresses as runs of pages.
pub(crate) type Runs<const N: usize> = Joined<Addresses, N>;

impl<T: Join, const N: usize> Joined<T, N> {
    /// An empty list.
    pub(crate) fn new() -> Self {
        Self {
            list: [None; N],
            len: 0,
        }
    }

    /// Adds `item`, which comes after all others; false if there is no room for it.
    pub(crate) fn push(&mut self, item: T) -> bool {
        let last = self.len.checked_sub(1).and_then(|n| self.list.get_mut(n));
        if let Some(Some(last)) = last {
            if let Some(joined) = last.joined(&item) {
                *last = joined;
                return true;
            }
        }
        let Some(slot) = self.list.get_mut(self.len) else {
            return false;
        };
        *slot = Some(item);
        self.len += 1;
        true
    }

    /// The items, in the order in which they were added.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.list.iter().take(self.len).flatten()
    }
}

/// The bytes that one signal can name: their number is a power of two, and the address a multiple
/// of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// The first address: `si_addr`.
    pub(crate) address: usize,
    /// The binary logarithm of its size: `si_addr_lsb`.
    pub(crate) lsb: u32,
}

impl Addresses {
    /// From `start` up to, but not including, `end`.
    ///
    /// [`None`] when that is empty or not whole pages.
    pub(crate) fn from_bounds(start: usize, end: usize) -> Option<Self> {
        // INVARIANT: Just checked.
        (start < end && (start | end) % PAGE_SIZE == 0).then_some(Self { start, end })
    }

    /// The first address.
    pub(crate) fn start(&self) -> usize {
        self.start
    }

    /// The address after the last one.
    pub(crate) fn end(&self) -> usize {
        self.end
    }

    /// The part from `address` on.
    pub(crate) fn beginning_at(&self, address: usize) -> Option<Self> {
        Self::from_bounds(self.start.max(address & !(PAGE_SIZE - 1)), self.end)
    }

    /// The smallest set of blocks that covers exactly these addresses, in ascending order: a page
    /// is one block, and there are at most two blocks of each size.
    pub(crate) fn blocks(self) -> impl Iterator<Item = Block> {
        let mut at = self.start;
        core::iter::from_fn(move || {
            let left = self.end.checked_sub(at).filter(|left| *left != 0)?;
            // The largest size that fits the rest and the alignment. Address 0 fits any size.
            let lsb = left.ilog2().min(at.trailing_zeros());
            let block = Block { address: at, lsb };
            // Cannot wrap: no more than what is left.
            at += 1 << lsb;
            Some(block)
        })
    }
}

/// The addresses at which a process maps pages of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    addresses: Addresses,
    first: usize,
}

impl Window {
    /// `addresses` map the file from page `first` on.
    pub(crate) fn new(addresses: Addresses, first: usize) -> Self {
        Self { addresses, first }
    }

    /// The pages of the file that are mapped.
    fn pages(&self) -> Option<FileRange> {
        let count = (self.addresses.end - self.addresses.start) >> PAGE_SHIFT;
        FileRange::new(self.first, count)
    }

    /// The addresses of `pages`; [`None`] when none of them is mapped here.
    pub(crate) fn find(&self, pages: &FileRange) -> Option<Addresses> {
        let here = self.pages()?.intersection(pages)?;
        // None of this wraps: `here` is a part of the window.
        let start = self.addresses.start + ((here.start - self.first) << PAGE_SHIFT);
        Addresses::from_bounds(start, start + (here.count() << PAGE_SHIFT))
    }
}
