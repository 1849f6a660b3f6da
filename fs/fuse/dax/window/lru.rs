// SPDX-License-Identifier: GPL-2.0

//! Which range was used longest ago.
//!
//! Ranges are used for every page that is read or written, and taken once in a while: so a use only
//! writes down when it was, and the list of the ranges is put in order when one is to be taken, as
//! far as that has to look at it. In the list, those that were not used since they were put there
//! are in order of use, and those that were are somewhere before their place.

use super::{
    table::{
        List,
        Queued,
        Record,
        State, //
    },
    units::RangeId,
    File,
    Window, //
};

/// How many ranges are looked at for the place of one. That is enough for order in a window of as
/// many, and in a larger one it is about right.
const NEIGHBOURS: u32 = 64;

impl<F> Record<F> {
    /// The range is used; `uses` counts that.
    #[inline]
    pub(super) fn touch(&mut self, uses: &mut u64) {
        *uses = uses.wrapping_add(1);
        self.used_at = *uses;
        self.again = true;
    }
}

impl<F: File> Window<F> {
    /// Puts `id`, which is in no list, behind all others, as if it was used.
    fn push_lru(&mut self, id: RangeId) {
        let record = self.table.get_mut(id);
        record.touch(&mut self.uses);
        record.again = false;
        self.lru.push_back::<Queued, F>(&mut self.table, id);
    }

    pub(super) fn enter_lru(&mut self, id: RangeId) {
        self.table.get_mut(id).state = State::Mapped;
        self.push_lru(id);
        self.mapped += 1;
    }

    pub(super) fn leave_lru(&mut self, id: RangeId) {
        self.lru.remove::<Queued, F>(&mut self.table, id);
        self.mapped = self.mapped.saturating_sub(1);
    }

    /// Puts `id`, a mapped range, behind all others.
    pub(super) fn spare(&mut self, id: RangeId) {
        self.lru.remove::<Queued, F>(&mut self.table, id);
        self.push_lru(id);
    }

    /// Puts `id`, a mapped range that was used since it was put where it is, in its place; false if
    /// it was not, which is its place then.
    pub(super) fn settle(&mut self, id: RangeId) -> bool {
        let record = self.table.get_mut(id);
        if !core::mem::replace(&mut record.again, false) {
            return false;
        }
        let used_at = record.used_at;
        self.lru.remove::<Queued, F>(&mut self.table, id);
        let mut after = self.lru.last;
        for _ in 0..NEIGHBOURS {
            match after.some() {
                Some(other) if self.table.get(other).used_at > used_at => {
                    after = List::prev::<Queued, F>(&self.table, other);
                }
                _ => break,
            }
        }
        self.lru
            .insert_after::<Queued, F>(&mut self.table, after, id);
        true
    }
}
