// SPDX-License-Identifier: GPL-2.0

//! The size of a file's ranges while the window is smaller than the working set.
//!
//! A range of 2 MiB maps all that is near with one request. But where accesses are scattered, each
//! hot page takes 2 MiB of the window: in pieces, the same window holds several times as much. So
//! the eviction of a block that was used in only one or two places is a reason to map that file in
//! pieces. The reverse is a piece that is needed from its first page on while the piece before it
//! is mapped: a reason to map blocks again. The pieces in the way of a block are evicted then.
//! After each return to blocks it takes four times as much to try pieces again, because page tables
//! that map a block as one do not show where it is used.
//!
//! The window is never more than 128 pieces, because their number has a cost: a VMM may have
//! few memory slots, and QEMU rebuilds the guest's memory map for each. A large window uses only
//! blocks. So does one of very few blocks: a block needs an area in which no piece is in use, and
//! there has to be one soon.

use super::{
    policy::{
        DENSE,
        FEW,
        MOST_VAIN,
        PATIENCE,
        PIECE_ORDER, //
    },
    units::FilePage, //
};

/// How a file is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Grain {
    /// Whether it is mapped in pieces.
    fine: bool,
    /// The score for changing that.
    doubt: u16,
    /// How many times it was changed back to blocks.
    vain: u8,
}

impl Grain {
    fn weigh(&mut self, speaks: bool, enough: u16) {
        // Evidence against a change counts twice, so that an even mixture changes nothing.
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

    /// Sets whether the file is mapped in pieces; for tests.
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

    /// A block was evicted that had been used in these eighths.
    pub(super) fn took_block(&mut self, used: u8, blocks: u32) {
        // A block that was mapped ahead and not used is no evidence.
        if !self.fine && used != 0 {
            let least = u16::try_from(blocks).unwrap_or(u16::MAX).max(PATIENCE);
            let enough = least.saturating_mul(1 << (2 * self.vain));
            self.weigh(used.count_ones() <= FEW, enough);
        }
    }

    /// A piece is needed; `after` means from its first page on, while the piece before it is
    /// mapped.
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
