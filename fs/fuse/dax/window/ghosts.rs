// SPDX-License-Identifier: GPL-2.0

//! What was taken lately, to see what should not have been; and what was read past the window, to
//! see what should be in it.
//!
//! How often a range is used through page tables nobody tells: it looks as if it was used when it
//! was last faulted, and is taken however hot it is. But then it is wanted again at once. A range
//! that comes back soon is spared when its turn comes the next time, and twice the time after that.

use super::{
    units::FilePage,
    File, //
};
use kernel::prelude::*;

/// Places for each block of the window.
const PER_BLOCK: usize = 16;

/// How often a range is spared at most.
pub(crate) const MOST_LIVES: u8 = 7;

/// So often a place is read past the window before it is mapped.
///
/// Where pages are used by a Zipf distribution a second read in a short time is often chance, and
/// pushes out what is hotter: two passes are about as many requests as one, and less than half as
/// many mappings.
const PASSES: u8 = 2;

/// A range that was taken, or one that was not mapped.
#[derive(Clone, Copy, Default)]
struct Ghost {
    /// Tells most others apart.
    tag: u32,
    /// The time of that.
    when: u32,
    /// It was mapped.
    taken: bool,
    /// How often it was spared when its turn came.
    lives: u8,
    /// How often it was read past the window, no long time apart.
    passes: u8,
}

/// The last of those that share a place.
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
            .saturating_mul(PER_BLOCK)
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

    /// The range of `file` that begins at `page` was taken, having had so many lives.
    pub(crate) fn took<F: File>(&mut self, file: &F, page: FilePage, lives: u8) {
        let when = self.tick();
        if let (Some(ghost), tag) = self.place(file, page) {
            *ghost = Ghost {
                tag,
                when,
                taken: true,
                lives,
                // What was mapped until lately was worth it.
                passes: PASSES,
            };
        }
    }

    /// That range is wanted: how many lives it has, after no more than `soon` others.
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

    /// That range is to be read: whether past the window, because it was not read often enough,
    /// each time after no more than `soon` others.
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
