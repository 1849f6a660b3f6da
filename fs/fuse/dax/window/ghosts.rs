// SPDX-License-Identifier: GPL-2.0

//! A ghost list: which ranges were evicted lately, to see which should not have been, and which
//! places were read past the window, to see which should be in it.
//!
//! Nothing counts the uses of a range through page tables: it looks as if last used when it last
//! faulted, and is evicted however hot it is. But then it is soon needed again. A range that is
//! needed again soon is spared at its next eviction, and twice at the one after that.

use super::{
    policy::{
        GHOSTS_PER_BLOCK,
        MOST_LIVES,
        PASSES, //
    },
    units::FilePage,
    File, //
};
use kernel::prelude::*;

/// A range that was evicted, or a place that was not mapped.
#[derive(Clone, Copy, Default)]
struct Ghost {
    /// A hash that distinguishes most of them.
    tag: u32,
    /// The time of the event.
    when: u32,
    /// It was mapped.
    taken: bool,
    /// How many times it was spared.
    lives: u8,
    /// How many times it was read past the window in a short time.
    passes: u8,
}

/// The last entry of each place of the hash table.
pub(crate) struct Ghosts {
    /// Their number is a power of two.
    places: KVVec<Ghost>,
    /// How many ranges have been taken, or were read past the window.
    clock: u32,
}

impl Ghosts {
    /// For a window of `blocks` blocks; sleeps.
    pub(crate) fn new(blocks: u32) -> Result<Self> {
        let count = (blocks as usize)
            .saturating_mul(GHOSTS_PER_BLOCK)
            .checked_next_power_of_two()
            .ok_or(ENOMEM)?;
        let mut places = KVVec::with_capacity(count, GFP_KERNEL)?;
        for _ in 0..count {
            places.push(Ghost::default(), GFP_KERNEL)?;
        }
        Ok(Self { places, clock: 0 })
    }

    fn place<F: File>(&mut self, file: &F, page: FilePage) -> (Option<&mut Ghost>, u32) {
        let mixed = file
            .id()
            .wrapping_mul(0xff51_afd7_ed55_8ccd)
            .wrapping_add(page.0)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mask = self.places.len().wrapping_sub(1);
        // CAST: Only some of the bits count; a tag is never zero, which is no ghost.
        let (place, tag) = ((mixed >> 40) as usize & mask, mixed as u32 | 1);
        (self.places.get_mut(place), tag)
    }

    fn tick(&mut self) -> u32 {
        self.clock = self.clock.wrapping_add(1);
        self.clock
    }

    /// The range of `file` that begins at `page` was evicted, with `lives`.
    pub(crate) fn took<F: File>(&mut self, file: &F, page: FilePage, lives: u8) {
        let when = self.tick();
        if let (Some(ghost), tag) = self.place(file, page) {
            *ghost = Ghost {
                tag,
                when,
                taken: true,
                lives,
                // A range that was mapped until lately has earned it.
                passes: PASSES,
            };
        }
    }

    /// The lives of that range, which is needed: 0 unless it was evicted at most `soon` events ago.
    pub(crate) fn back<F: File>(&mut self, file: &F, page: FilePage, soon: u32) -> u8 {
        let now = self.clock;
        match self.place(file, page) {
            (Some(ghost), tag)
                if ghost.tag == tag && ghost.taken && now.wrapping_sub(ghost.when) <= soon =>
            {
                (ghost.lives.saturating_mul(2))
                    .saturating_add(1)
                    .min(MOST_LIVES)
            }
            _ => 0,
        }
    }

    /// That range is to be read: whether past the window, because it was read too rarely, with at
    /// most `soon` other events between reads.
    pub(crate) fn pass<F: File>(&mut self, file: &F, page: FilePage, soon: u32) -> bool {
        let when = self.tick();
        let (Some(ghost), tag) = self.place(file, page) else {
            return false;
        };
        if ghost.tag != tag || when.wrapping_sub(ghost.when) > soon {
            *ghost = Ghost {
                tag,
                ..Ghost::default()
            };
        } else if ghost.passes >= PASSES {
            return false;
        }
        ghost.when = when;
        ghost.passes += 1;
        true
    }
}
