// SPDX-License-Identifier: GPL-2.0

//! The order of the ranges by their last use.
//!
//! A range is used for every page that is read or written, and evicted rarely. So a use only
//! records its time. The list is sorted at an eviction, as far as that has to look at it. Ranges
//! that were not used since they were sorted in are in order; those that were are before their
//! place.

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

/// How many neighbours are visited to find the place of a range. That gives exact order in a window
/// of as many ranges, and approximate order in a larger one.
const NEIGHBOURS: u32 = 64;

impl<F> Record<F> {
    /// Records a use of the range; `uses` counts them.
    #[inline]
    pub(super) fn touch(&mut self, uses: &mut u64) {
        *uses = uses.wrapping_add(1);
        self.used_at = *uses;
        self.again = true;
    }
}

impl<F: File> Window<F> {
    /// Appends `id`, which is in no list, as if it were just used.
    fn push_lru(&mut self, id: RangeId) {
        let record = self.table.get_mut(id);
        record.touch(&mut self.uses);
        record.again = false;
        self.lru.push_back::<Queued, F>(&mut self.table, id);
    }

    pub(super) fn enter_lru(&mut self, id: RangeId) {
        self.table.set_mapped(id);
        self.push_lru(id);
        self.mapped += 1;
    }

    pub(super) fn leave_lru(&mut self, id: RangeId) {
        self.lru.remove::<Queued, F>(&mut self.table, id);
        self.mapped = self.mapped.saturating_sub(1);
    }

    /// Moves `id`, a mapped range, to the end.
    pub(super) fn spare(&mut self, id: RangeId) {
        self.lru.remove::<Queued, F>(&mut self.table, id);
        self.push_lru(id);
    }

    /// Moves `id`, a mapped range, to its place if it was used since it was sorted in; false if it
    /// was not, because then it is in its place.
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
