// SPDX-License-Identifier: GPL-2.0

//! What the window decides by: which range is evicted, how large the ranges of a file are, what is
//! mapped ahead, and which reads are not worth a mapping.
//!
//! [`Policy`] owns what is remembered for that, except for what is about one file ([`Run`]) or one
//! range (its record). It gives answers and changes no range's state: the protocol with the server
//! and with other tasks is in `grant.rs` and `evict.rs`.
//!
//! All numbers that could be others are here. The measurements are those of
//! `Documentation/virtiofs-results.md` and of `tools/testing/host`. Where a number has none, its
//! comment says so.

use super::{
    ahead::Run,
    evict::Outlook,
    ghosts::Ghosts,
    lru::Lru,
    table::{
        Record,
        Table, //
    },
    units::{
        FilePage,
        RangeId,
        Span,
        BLOCK_PAGES,
        TOP_ORDER, //
    },
    File, //
};
use kernel::prelude::*;

/// How many of the least recently used ranges are checked for one that can be evicted. Ranges in
/// use are the most recently used.
///
/// Not measured: it limits the time under the window's lock.
pub(super) const CANDIDATES: u32 = 64;

/// How many neighbours are visited to find the place of a range. That gives exact order in a window
/// of as many ranges, and approximate order in a larger one.
///
/// Not measured: it limits the time under the window's lock.
pub(super) const NEIGHBOURS: u32 = 64;

/// Places for ghosts for each block of the window.
///
/// Not measured: twice as many as a block has pieces ([`PIECE_ORDER`]).
pub(super) const GHOSTS_PER_BLOCK: usize = 16;

/// A range that is needed again was evicted too early if at most so many times as many ranges as
/// are mapped were evicted meanwhile.
///
/// Not measured.
const SOON: u32 = 2;

/// How many times a range is spared at most. Each return doubles that: 1, 3, 7.
///
/// That ranges are spared was measured: in the host test `what_is_mapped_and_hot_stays`, first in,
/// first out takes 8000 mappings and this fewer than 6500. The maximum itself was not.
pub(super) const MOST_LIVES: u8 = 7;

/// How many times a place is read past the window before it is mapped.
///
/// Where pages are used by a Zipf distribution a second read in a short time is often chance, and
/// pushes out what is hotter: two passes are about as many requests as one, and less than half as
/// many mappings (host test `reads_here_and_there_need_few_mappings`).
pub(super) const PASSES: u8 = 2;

/// The most pieces that a window is split into.
///
/// Each is a mapping, and QEMU's time for one grows with their number: it is nearly the same up to
/// 64, nearly twice as long at 128, and twelve times at 256 ("QEMU's time for a mapping").
const PIECES: u32 = 128;

/// A window of fewer blocks than this is not split: a block needs an area in which no piece is in
/// use, and there has to be one soon.
///
/// Not measured.
const FEWEST_BLOCKS: u32 = 4;

/// The order of the smallest piece: an eighth of a block.
///
/// In a window of 16 MiB, pieces of 256 KiB have fewer misses than those of 512 KiB and 1 MiB, and
/// are as fast or faster. Those of 128 KiB are slower: QEMU takes longer with twice as many
/// mappings ("Four windows, zipf", which was measured with another eviction).
pub(super) const PIECE_ORDER: u8 = TOP_ORDER - 3;

/// A block that was used in no more eighths than these might better have been a piece.
///
/// Measured together with [`PATIENCE`].
pub(super) const FEW: u32 = 2;

/// The minimum score before pieces are tried for the first time. In a window with more blocks it is
/// their number, because the first evictions are of leftovers of other uses.
///
/// This number, the two below and [`FEW`] were measured together, and not against others: zipf
/// takes 75 to 82 requests a MiB instead of 105 to 131, and rows in order take no more than without
/// pieces ("What pieces save").
pub(super) const PATIENCE: u16 = 8;

/// How many times the minimum is multiplied by four at most.
pub(super) const MOST_VAIN: u8 = 4;

/// The minimum score before blocks are tried again. It is low, because only one in 64 first uses of
/// a piece is of its first page by chance.
pub(super) const DENSE: u16 = 4;

/// How many misses in a row start readahead: the fewest that can be in a row.
pub(super) const STREAK: u8 = 2;

/// The most blocks that are mapped ahead.
///
/// Not measured: a file that is left half-way costs as many requests for nothing.
pub(super) const MAX_DEPTH: u32 = 8;

/// Readahead takes at most one in so many blocks of the window, because it must not evict what is
/// about to be used.
///
/// Not measured.
const AHEAD_SHARE: u32 = 4;

/// What is remembered of ranges that were evicted.
pub(super) struct Taken {
    /// The first page of the file in the range.
    pub(super) page: FilePage,
    pub(super) order: u8,
    /// The eighths of its block in which uses were seen.
    pub(super) used: u8,
    /// How many times its eviction was skipped.
    pub(super) lives: u8,
}

/// The memory of the window's decisions.
pub(super) struct Policy {
    lru: Lru,
    ghosts: Ghosts,
    /// Blocks of the window.
    blocks: u32,
    /// The smallest range that the server can map.
    smallest: u8,
}

impl Policy {
    /// For a window of `blocks` blocks; sleeps.
    pub(super) fn new(blocks: u32) -> Result<Self> {
        Ok(Self {
            lru: Lru::new(),
            ghosts: Ghosts::new(blocks)?,
            blocks,
            smallest: 0,
        })
    }

    /// Sets the order of the smallest range that the server can map.
    pub(super) fn set_smallest(&mut self, order: u8) {
        self.smallest = order;
    }

    /// The order of the smallest range that the server can map.
    #[inline]
    pub(super) fn smallest(&self) -> u8 {
        self.smallest
    }

    /// Mapped ranges, by their use.
    pub(super) fn lru(&self) -> &Lru {
        &self.lru
    }

    /// A range is used.
    #[inline]
    pub(super) fn used<F>(&mut self, record: &mut Record<F>) {
        self.lru.touch(record);
    }

    /// `id`, which is mapped, is to be evicted after all others.
    pub(super) fn spare<F>(&mut self, table: &mut Table<F>, id: RangeId) {
        self.lru.spare(table, id);
    }

    /// `id` is mapped now.
    pub(super) fn mapped<F>(&mut self, table: &mut Table<F>, id: RangeId) {
        self.lru.push(table, id);
    }

    /// `id` is not mapped any more, or is being evicted.
    pub(super) fn unmapped<F>(&mut self, table: &mut Table<F>, id: RangeId) {
        self.lru.remove(table, id);
    }

    /// A range of `file` was evicted.
    pub(super) fn took<F: File>(&mut self, file: &F, run: &mut Run, taken: &Taken) {
        self.ghosts.took(file, taken.page, taken.lives);
        let whole = taken.order == TOP_ORDER;
        if whole && !run.in_a_row() && self.piece_order() < TOP_ORDER {
            run.grain.took_block(taken.used, self.blocks);
        }
    }

    /// How many times the eviction of the range of `file` from `page` on, which is about to be
    /// mapped, is skipped.
    pub(super) fn lives<F: File>(&mut self, file: &F, page: FilePage) -> u8 {
        let soon = self.lru.len().saturating_mul(SOON);
        self.ghosts.back(file, page, soon)
    }

    /// What to evict for a range of `order`.
    ///
    /// That is the least recently used range, if it is large enough; otherwise the area around it.
    /// A larger area is evicted as a whole or not at all.
    pub(super) fn victim<F>(&mut self, table: &mut Table<F>, order: u8) -> Option<Span> {
        self.victim_of(table, order, true)
            .or_else(|| self.victim_of(table, order, false))
    }

    /// The same. With `spare`, skips ranges that were needed again soon after their last eviction,
    /// and those used since they were sorted, of which there may be more than can be checked.
    fn victim_of<F>(&mut self, table: &mut Table<F>, order: u8, spare: bool) -> Option<Span> {
        let mut at = self.lru.oldest();
        let mut looked = RangeId::NONE;
        let mut in_the_way = None;
        for _ in 0..CANDIDATES {
            let Some(id) = at else {
                break;
            };
            at = Lru::newer(table, id);
            if !table.may_reclaim(id) {
                continue;
            }
            if spare && self.lru.settle(table, id) {
                // Its sorted place may be before the next one.
                at = self.lru.oldest();
                continue;
            }
            let record = table.get_mut(id);
            let own = record.order;
            if spare && record.lives.0 > 0 {
                record.lives.0 -= 1;
                self.lru.spare(table, id);
                continue;
            }
            if own >= order {
                return Some(Span::new(id, own));
            }
            let area = Span::new(id, order);
            if area.start == looked {
                continue;
            }
            looked = area.start;
            match table.outlook(area) {
                Outlook::Good => return Some(area),
                Outlook::Busy | Outlook::Pending => {}
                Outlook::Bad => in_the_way = in_the_way.or(Some(Span::new(id, own))),
            }
        }
        // There will never be such a range around this one. If that is so for all that were
        // checked, the others would never be checked: evict this one, so that they move up.
        in_the_way.filter(|_| !spare)
    }

    /// The least recently used area for a range of `order` that could be evicted if it had no
    /// users.
    pub(super) fn to_drain<F>(&self, table: &Table<F>, order: u8) -> Option<Span> {
        let mut at = self.lru.oldest();
        let mut looked = RangeId::NONE;
        for _ in 0..CANDIDATES {
            let id = at?;
            at = Lru::newer(table, id);
            let area = Span::new(id, order.max(table.get(id).order));
            // The same block again, for another piece of it.
            if core::mem::replace(&mut looked, area.start) == area.start {
                continue;
            }
            if matches!(table.outlook(area), Outlook::Busy) {
                return Some(area);
            }
        }
        None
    }

    /// The order of pieces; [`TOP_ORDER`] if blocks are not split.
    pub(super) fn piece_order(&self) -> u8 {
        if self.blocks < FEWEST_BLOCKS {
            return TOP_ORDER;
        }
        let mut order = PIECE_ORDER.max(self.smallest);
        while order < TOP_ORDER && self.blocks.saturating_mul(BLOCK_PAGES >> order) > PIECES {
            order += 1;
        }
        order
    }

    /// The order that ranges of a file should have, if it is large enough.
    pub(super) fn grain_order(&self, run: Run) -> u8 {
        match run.grain.is_fine() {
            true => self.piece_order(),
            false => TOP_ORDER,
        }
    }

    /// A task needs `page`, which is not mapped; `mapped` says whether another page is.
    pub(super) fn missed(&self, run: &mut Run, page: FilePage, mapped: impl Fn(FilePage) -> bool) {
        if run.grain.is_fine() {
            let first = page.align_down(self.piece_order()) == page;
            let before = page.0.checked_sub(1).map(FilePage).filter(|_| first);
            run.grain.missed_piece(before.is_some_and(mapped));
        }
    }

    /// `page` was not mapped, or had a mark. Returns how many blocks to map ahead.
    pub(super) fn depth_ahead(&self, run: &mut Run, page: FilePage, missed: bool) -> u32 {
        if missed {
            run.missed(page.block());
        }
        run.deepen(self.blocks / AHEAD_SHARE)
    }

    /// Whether a range of `order` should be mapped because it is cheap, or because only mapping
    /// shows how the file is used.
    pub(super) fn should_map<F>(&self, table: &Table<F>, run: Run, order: u8) -> bool {
        let undecided =
            order == TOP_ORDER && self.piece_order() < TOP_ORDER && !run.grain.was_fine();
        // The eviction of a larger range makes room for several.
        let oldest = self.lru.oldest();
        undecided || oldest.is_some_and(|id| table.get(id).order > order)
    }

    /// The range of `file` from `page` on is to be read: whether past the window, because it was
    /// read too rarely.
    pub(super) fn pass<F: File>(&mut self, file: &F, page: FilePage) -> bool {
        self.ghosts.pass(file, page, self.lru.len())
    }
}
