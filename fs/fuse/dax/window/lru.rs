// SPDX-License-Identifier: GPL-2.0

//! The order of the ranges by their last use.
//!
//! A range is used for every page that is read or written, and evicted rarely. So a use only
//! records its time. The list is sorted at an eviction, as far as that has to look at it. Ranges
//! that were not used since they were sorted in are in order; those that were are before their
//! place.

use super::{
    policy::NEIGHBOURS,
    table::{
        List,
        Queued,
        Record,
        Table, //
    },
    units::RangeId, //
};

/// The mapped ranges.
pub(super) struct Lru {
    list: List,
    len: u32,
    /// Counts uses of ranges.
    uses: u64,
}

impl Lru {
    pub(super) const fn new() -> Self {
        Self {
            list: List::EMPTY,
            len: 0,
            uses: 0,
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// The first one.
    pub(super) fn oldest(&self) -> Option<RangeId> {
        self.list.first.some()
    }

    /// The one after `id`.
    pub(super) fn newer<F>(table: &Table<F>, id: RangeId) -> Option<RangeId> {
        List::next::<Queued, F>(table, id)
    }

    /// Records a use of the range.
    #[inline]
    pub(super) fn touch<F>(&mut self, record: &mut Record<F>) {
        self.uses = self.uses.wrapping_add(1);
        record.used_at = self.uses;
        record.again = true;
    }

    /// Appends `id`, which is in no list, as if it were just used.
    pub(super) fn push<F>(&mut self, table: &mut Table<F>, id: RangeId) {
        let record = table.get_mut(id);
        self.touch(record);
        record.again = false;
        self.list.push_back::<Queued, F>(table, id);
        self.len += 1;
    }

    /// Removes `id`, which is in the list.
    pub(super) fn remove<F>(&mut self, table: &mut Table<F>, id: RangeId) {
        self.list.remove::<Queued, F>(table, id);
        self.len = self.len.saturating_sub(1);
    }

    /// Moves `id` to the end.
    pub(super) fn spare<F>(&mut self, table: &mut Table<F>, id: RangeId) {
        self.remove(table, id);
        self.push(table, id);
    }

    /// Moves `id` to its place if it was used since it was sorted in; false if it was not, because
    /// then it is in its place.
    pub(super) fn settle<F>(&mut self, table: &mut Table<F>, id: RangeId) -> bool {
        let record = table.get_mut(id);
        if !core::mem::replace(&mut record.again, false) {
            return false;
        }
        let used_at = record.used_at;
        self.list.remove::<Queued, F>(table, id);
        let mut after = self.list.last;
        for _ in 0..NEIGHBOURS {
            match after.some() {
                Some(other) if table.get(other).used_at > used_at => {
                    after = List::prev::<Queued, F>(table, other);
                }
                _ => break,
            }
        }
        self.list.insert_after::<Queued, F>(table, after, id);
        true
    }
}
