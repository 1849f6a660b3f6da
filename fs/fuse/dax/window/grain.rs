// SPDX-License-Identifier: GPL-2.0

//! How large the ranges of a file are while the window is smaller than what is used of it.
//!
//! A range of 2 MiB is one request for all that is near. But where a file is used here and there,
//! what is hot takes 2 MiB of the window for each page of it: the same window has room for
//! several times as much in pieces. So blocks that are taken having been used in one or two places
//! are a reason to map that file in pieces, and pieces that are wanted from their first page on while
//! the piece before them is there are a reason to map blocks again. Pieces that are in the way of a
//! block go then. Each time that is so, it takes four times as much to try
//! pieces anew, because a block that page tables map as one does not tell where it is used.
//!
//! The window is never more than [`PIECES`] pieces, because somebody pays for their number: a VMM
//! may have few slots for memory, and QEMU lays out the guest's memory anew for each. A large
//! window stays one of blocks. So does one of very few: a block can only be had when no piece in
//! it is in use, and there has to be one like that soon.

use super::{
    units::{
        FilePage,
        BLOCK_PAGES,
        TOP_ORDER, //
    },
    File,
    Window, //
};

/// The most pieces that a window is cut into for this.
const PIECES: u32 = 128;

/// The fewest blocks of a window of which some may be cut for this.
const FEWEST_BLOCKS: u32 = 4;

/// The order of the smallest piece: an eighth of a block.
const PIECE_ORDER: u8 = TOP_ORDER - 3;

/// Used in no more eighths than these a block might better have been a piece.
const FEW: u32 = 2;

/// What speaks for pieces at least before they are tried for the first time. In a window of more
/// blocks it is as much as these, since at first those are taken that are left of something else.
const PATIENCE: u16 = 8;

/// How often that is multiplied by four at most.
const MOST_VAIN: u8 = 4;

/// So much speaks for blocks before they are tried again. It is little, since one in 64 first uses of
/// a piece is by chance one of its first page.
const DENSE: u16 = 4;

/// What is known of how a file is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Grain {
    /// In pieces.
    fine: bool,
    /// How much speaks for changing that.
    doubt: u16,
    /// How often it was changed back to blocks.
    vain: u8,
}

impl Grain {
    fn weigh(&mut self, speaks: bool, enough: u16) {
        // What speaks against counts twice, so that an even mixture changes nothing.
        self.doubt = match speaks {
            true => self.doubt.saturating_add(1),
            false => self.doubt.saturating_sub(2),
        };
        if self.doubt >= enough {
            self.doubt = 0;
            self.fine = !self.fine;
            if !self.fine {
                self.vain = self.vain.saturating_add(1).min(MOST_VAIN);
            }
        }
    }

    /// That it is so, or not; for tests.
    #[cfg(test)]
    pub(super) fn set_fine(&mut self, fine: bool) {
        self.fine = fine;
    }

    /// Whether the file is mapped in pieces.
    pub(super) fn is_fine(self) -> bool {
        self.fine
    }

    /// Whether it was mapped in pieces before, and is not now.
    pub(super) fn was_fine(self) -> bool {
        self.vain > 0
    }

    /// A block was taken that had been used in these eighths.
    pub(super) fn took_block(&mut self, used: u8, blocks: u32) {
        // One that was mapped ahead in vain says nothing.
        if !self.fine && used != 0 {
            let least = u16::try_from(blocks).unwrap_or(u16::MAX).max(PATIENCE);
            let enough = least.saturating_mul(1 << (2 * self.vain));
            self.weigh(used.count_ones() <= FEW, enough);
        }
    }

    /// A piece is wanted; `after` says whether from its first page on, after the one before it.
    pub(super) fn missed_piece(&mut self, after: bool) {
        if self.fine {
            self.weigh(after, DENSE);
        }
    }
}

/// The bit of the eighth of its block that `page` is in.
#[inline]
pub(super) fn eighth(page: FilePage) -> u8 {
    1 << (page.0 >> PIECE_ORDER & 7)
}

impl<F: File> Window<F> {
    /// The order of pieces: [`TOP_ORDER`] if there are to be none.
    pub(super) fn piece_order(&self) -> u8 {
        if self.blocks() < FEWEST_BLOCKS {
            return TOP_ORDER;
        }
        let mut order = PIECE_ORDER.max(self.smallest);
        while order < TOP_ORDER && self.blocks().saturating_mul(BLOCK_PAGES >> order) > PIECES {
            order += 1;
        }
        order
    }

    /// The order that ranges of `file` should have, if it is large enough.
    pub(super) fn grain_order(&self, file: &F) -> u8 {
        match self.run_of(file).grain.is_fine() {
            true => self.piece_order(),
            false => TOP_ORDER,
        }
    }

    /// `page` of `file` is to be mapped because it is wanted.
    pub(super) fn weigh_miss(&self, file: &F, page: FilePage) {
        let mut run = self.run_of(file);
        if run.grain.is_fine() {
            let first = page.align_down(self.piece_order()) == page;
            let before = page.0.checked_sub(1).map(FilePage).filter(|_| first);
            let found = before.and_then(|page| self.index.lookup(&self.table, file, page));
            run.grain.missed_piece(found.is_some());
            self.set_run_of(file, run);
        }
    }

    /// A range of `order` was taken from `file`, having been used in the eighths `used`.
    pub(super) fn weigh_taken(&self, file: &F, order: u8, used: u8) {
        let mut run = self.run_of(file);
        if order == TOP_ORDER && !run.in_a_row() && self.piece_order() < TOP_ORDER {
            run.grain.took_block(used, self.blocks());
            self.set_run_of(file, run);
        }
    }
}
