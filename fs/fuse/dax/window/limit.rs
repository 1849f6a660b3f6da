// SPDX-License-Identifier: GPL-2.0

//! The number of mappings that the server allows.
//!
//! Each mapping takes a resource of the server: a VMM has memory slots, a process has
//! `vm.max_map_count` mappings (65,530). The protocol does not give a number. It says that
//! SETUPMAPPING fails when the resource is exhausted, and may succeed after a REMOVEMAPPING. So the
//! limit is learned from refusals (`ENOSPC`, `ENOMEM`): the window then holds no more mappings than
//! it had at that time. Because the resource may become free later, the limit grows slowly.

use kernel::prelude::*;

/// After this many refusals, with no mapping in between and each time with fewer mappings, the
/// application gets the error. By then 135 mappings were given up: 127, and one for each new try.
const REFUSALS: u32 = 8;

/// The limit grows after as many mappings as it allows, but at least after this many: so a server
/// with a fixed limit refuses one in 64 at most.
const GROWS_AFTER: u32 = 64;

/// It grows by one, and by the fraction of one in this many.
const GROWS_BY: u32 = 16;

/// The number of mappings, and the limit.
pub(crate) struct Limit {
    /// Ranges that the server maps, or may map.
    held: u32,
    /// Those of them that are not mapped yet: their request is not answered.
    asked: u32,
    /// The limit, if the server has refused any.
    most: Option<u32>,
    /// How many times `most` was lowered: refusals of earlier requests do not count.
    epoch: u32,
    /// Refusals since the last mapping, one of each epoch.
    refusals: u32,
    /// Mappings since `most` was changed.
    mapped: u32,
}

/// Whether the server refused for lack of a resource that another mapping has.
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

    /// Whether one more mapping would exceed the limit.
    #[inline]
    pub(super) fn full(&self) -> bool {
        self.most.is_some_and(|most| self.held >= most)
    }

    /// Whether the limit is exceeded, so that even replacing a mapping is not allowed.
    pub(super) fn over(&self) -> bool {
        self.most.is_some_and(|most| self.held > most)
    }

    /// The epoch, for [`Limit::refused`].
    pub(super) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// A request to map a range is sent; the server maps nothing there if `vacant`. Not for a mapping
    /// that is to become writable: that can be given up as soon as it is answered. Returns the epoch
    /// for [`Limit::refused`].
    pub(super) fn ask(&mut self, vacant: bool) -> u32 {
        self.held = self.held.saturating_add(vacant.into());
        self.asked = self.asked.saturating_add(1);
        self.epoch
    }

    /// A request to map a range was answered, or will not be.
    pub(super) fn answered(&mut self) {
        self.asked = self.asked.saturating_sub(1);
    }

    /// A request was granted: a range is mapped, or is writable.
    pub(super) fn mapped(&mut self) {
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

    /// A request from `epoch`, which is not counted as unanswered any more, was refused for lack of a
    /// resource. Returns whether to try again with fewer mappings.
    pub(super) fn refused(&mut self, epoch: u32) -> bool {
        // Without the refused one.
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

    /// The server does not map a range any more.
    pub(super) fn gone(&mut self) {
        self.held = self.held.saturating_sub(1);
    }

    /// The counts, for tests: held, asked.
    #[cfg(any(test, CONFIG_FUSE_DAX_RUST_KUNIT_TEST))]
    pub(super) fn counted(&self) -> (u32, u32) {
        (self.held, self.asked)
    }
}
