// SPDX-License-Identifier: GPL-2.0

//! How many mappings the server allows.
//!
//! Each takes something of the server's: a VMM has slots for memory, a process has
//! `vm.max_map_count` mappings (65,530). The protocol has no number for that, and says that a
//! SETUPMAPPING fails when there is no more, and may succeed after a REMOVEMAPPING. So the number is
//! learned from refusals (`ENOSPC`, `ENOMEM`), and the window then holds no more mappings than were
//! there at the time. Since what was refused may fit again later, it grows by and by.

use kernel::prelude::*;

/// After so many refusals, with no mapping in between and each time with fewer mappings, the
/// application gets the error. By then 135 mappings were given up: 127, and one for each new try.
const REFUSALS: u32 = 8;

/// The limit grows after as many mappings as it allows, but at least so many: one refusal of 64 is
/// what it costs a server with a lower one.
const GROWS_AFTER: u32 = 64;

/// It grows by one, and by this part of it.
const GROWS_BY: u32 = 16;

/// What is mapped, and how much may be.
pub(crate) struct Limit {
    /// Ranges for which the server has something, or may have.
    held: u32,
    /// Of these, those that it was asked for and has not answered.
    asked: u32,
    /// No more than so many, if it has refused any.
    most: Option<u32>,
    /// How often `most` was lowered: what was asked for before that teaches nothing.
    epoch: u32,
    /// Refusals since the last mapping, one of each epoch.
    refusals: u32,
    /// Mappings since `most` was changed.
    mapped: u32,
}

/// Whether the server refused for want of something that another mapping has.
pub(super) fn is_want(error: i32) -> bool {
    error == ENOSPC.to_errno() || error == ENOMEM.to_errno()
}

impl Limit {
    pub(super) fn new() -> Self {
        Self {
            held: 0,
            asked: 0,
            most: None,
            epoch: 0,
            refusals: 0,
            mapped: 0,
        }
    }

    /// Whether one more mapping is too many.
    #[inline]
    pub(super) fn full(&self) -> bool {
        self.most.is_some_and(|most| self.held >= most)
    }

    /// Whether there are too many, so that not even one in place of another is allowed.
    pub(super) fn over(&self) -> bool {
        self.most.is_some_and(|most| self.held > most)
    }

    /// The server is asked for a range, where it has nothing if `vacant`. Gives what
    /// [`Limit::refused`] wants.
    pub(super) fn ask(&mut self, vacant: bool) -> u32 {
        self.held = self.held.saturating_add(vacant.into());
        self.asked = self.asked.saturating_add(1);
        self.epoch
    }

    /// It answered, or will not, and taught nothing.
    pub(super) fn answered(&mut self) {
        self.asked = self.asked.saturating_sub(1);
    }

    /// It mapped the range.
    pub(super) fn mapped(&mut self) {
        self.answered();
        self.refusals = 0;
        self.mapped = self.mapped.saturating_add(1);
        let full = self.full();
        if let Some(most) = &mut self.most {
            if full && self.mapped >= (*most).max(GROWS_AFTER) {
                *most = most.saturating_add(1 + *most / GROWS_BY);
                self.mapped = 0;
            }
        }
    }

    /// It refused for want of something, what it was asked for in `epoch`: whether to try again with
    /// fewer mappings.
    pub(super) fn refused(&mut self, epoch: u32) -> bool {
        self.answered();
        // This one is not there.
        let others = self.held.saturating_sub(self.asked).saturating_sub(1);
        if epoch != self.epoch {
            return true;
        }
        if others == 0 || self.refusals >= REFUSALS {
            return false;
        }
        let fewer = (1 << self.refusals) / 2;
        self.refusals += 1;
        self.epoch = self.epoch.wrapping_add(1);
        self.mapped = 0;
        self.most = Some(others.saturating_sub(fewer).max(1));
        true
    }

    /// The server has nothing for a range any more.
    pub(super) fn gone(&mut self) {
        self.held = self.held.saturating_sub(1);
    }

    /// What was counted, for tests: held, asked.
    #[cfg(any(test, CONFIG_FUSE_DAX_RUST_KUNIT_TEST))]
    pub(super) fn counted(&self) -> (u32, u32) {
        (self.held, self.asked)
    }
}
