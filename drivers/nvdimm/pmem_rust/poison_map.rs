// SPDX-License-Identifier: GPL-2.0

//! The set of poisoned sectors of one device: any number of ranges, in order.
//!
//! C keeps poison in a `struct badblocks`: 512 entries of at most 512 sectors, whatever comes
//! after that is forgotten, and an entry that is split may lose its right half. [`PoisonMap`] has
//! neither limit. It never allocates by itself, so that its owner may hold a spinlock: a call
//! that would need room says [`Full`] and changes nothing, and the owner brings a larger store
//! from outside the lock ([`PoisonMap::replace_store`]) and tries again.
//!
//! This file is plain `no_std` Rust without calls to C: KUnit runs it in the kernel and
//! `tools/testing/host` runs it under Miri and proptest against a slow, obvious model.

use kernel::{
    dax::units::{
        Sector,
        SectorRange, //
    },
    prelude::*, //
};

/// There is no room for one more range; nothing was changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// Poisoned sectors, as ranges in ascending order.
///
/// # Invariants
///
/// Of any two neighbours in `ranges`, the first ends before the second begins: they neither
/// overlap nor touch.
pub(crate) struct PoisonMap {
    ranges: KVVec<SectorRange>,
}

impl PoisonMap {
    /// An empty map without room: the first [`PoisonMap::add`] says [`Full`].
    pub(crate) const fn new() -> Self {
        // INVARIANT: There are no neighbours.
        Self {
            ranges: KVVec::new(),
        }
    }

    /// How many ranges the map holds.
    pub(crate) fn len(&self) -> usize {
        self.ranges.len()
    }

    /// How many ranges the map has room for.
    pub(crate) fn capacity(&self) -> usize {
        self.ranges.capacity()
    }

    /// The ranges, in ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = SectorRange> + '_ {
        self.ranges.iter().copied()
    }

    /// The index of the first range that ends after `sector`.
    fn first_ending_after(&self, sector: Sector) -> usize {
        self.ranges.partition_point(|r| r.end() <= sector)
    }

    /// The first poisoned sectors within `asked`, clipped to it.
    pub(crate) fn first_within(&self, asked: SectorRange) -> Option<SectorRange> {
        self.ranges
            .get(self.first_ending_after(asked.start()))?
            .intersection(&asked)
    }

    /// Whether every sector of `asked` is poisoned.
    pub(crate) fn covers(&self, asked: SectorRange) -> bool {
        self.first_within(asked) == Some(asked)
    }

    /// Adds `new`; what was there already stays.
    ///
    /// Returns whether a sector was added that was not there.
    pub(crate) fn add(&mut self, new: SectorRange) -> Result<bool, Full> {
        // Ranges that only touch `new` are merged with it too, hence the `<` here and the `<=`
        // below.
        let first = self.ranges.partition_point(|r| r.end() < new.start());
        let after = first
            + self
                .ranges
                .get(first..)
                .map_or(0, |rest| rest.partition_point(|r| r.start() <= new.end()));

        let Some(touched) = self.ranges.get(first..after) else {
            return Ok(false);
        };
        let merged = touched.iter().fold(new, |hull, r| hull.hull(r));
        match touched {
            [one] if *one == merged => return Ok(false),
            [] => self
                .ranges
                .insert_within_capacity(first, merged)
                .map_err(|_| Full)?,
            _ => self.replace_run(first, after, merged),
        }
        // INVARIANT: Everything that overlapped or touched `new` is in `merged`.
        Ok(true)
    }

    /// Adds `new` whatever it takes: without room, the nearest range grows to hold it.
    ///
    /// That calls good sectors bad, which costs a write to put right; forgetting the bad ones
    /// would cost data. Returns [`Full`] only for a map without a single range.
    pub(crate) fn add_widening(&mut self, new: SectorRange) -> Result<(), Full> {
        if self.add(new).is_ok() {
            return Ok(());
        }
        // `add` found no room, so nothing touches `new` and it lies between two neighbours.
        let next = self.first_ending_after(new.start());
        let gap_to = |r: &SectorRange| {
            if r.end() <= new.start() {
                new.start().0 - r.end().0
            } else {
                r.start().0 - new.end().0
            }
        };
        let before = next.checked_sub(1);
        let nearest = match (before, self.ranges.get(next)) {
            (Some(b), Some(n)) if self.ranges.get(b).map_or(u64::MAX, gap_to) <= gap_to(n) => b,
            (_, Some(_)) => next,
            (Some(b), None) => b,
            (None, None) => return Err(Full),
        };
        if let Some(range) = self.ranges.as_mut_slice().get_mut(nearest) {
            // INVARIANT: `new` lies within the gap beside `range`, which was open on both sides.
            *range = range.hull(&new);
        }
        Ok(())
    }

    /// Takes `gone` out; what lies outside it stays.
    ///
    /// Returns whether a sector was taken out.
    pub(crate) fn remove(&mut self, gone: SectorRange) -> Result<bool, Full> {
        let first = self.first_ending_after(gone.start());
        let after = self.ranges.partition_point(|r| r.start() < gone.end());
        let (Some(head), Some(tail)) = (
            self.ranges.get(first).copied(),
            after
                .checked_sub(1)
                .and_then(|last| self.ranges.get(last))
                .copied(),
        ) else {
            return Ok(false);
        };
        if first >= after {
            return Ok(false);
        }

        let left = SectorRange::from_bounds(head.start(), gone.start());
        let right = SectorRange::from_bounds(gone.end(), tail.end());
        // INVARIANT: What remains is part of what was there, with at least `gone` in between.
        match (left, right) {
            (Some(left), Some(right)) if after - first == 1 => {
                self.ranges
                    .insert_within_capacity(after, right)
                    .map_err(|_| Full)?;
                self.replace_run(first, after, left);
            }
            (Some(left), Some(right)) => {
                self.replace_run(after - 1, after, right);
                self.replace_run(first, after - 1, left);
            }
            (Some(one), None) | (None, Some(one)) => self.replace_run(first, after, one),
            (None, None) => self.remove_run(first, after),
        }
        Ok(true)
    }

    /// Replaces the ranges `first..after`, at least one, by `one`.
    fn replace_run(&mut self, first: usize, after: usize, one: SectorRange) {
        if let Some(slot) = self.ranges.as_mut_slice().get_mut(first) {
            *slot = one;
        }
        self.remove_run(first.saturating_add(1), after);
    }

    /// Takes out the ranges `first..after`.
    fn remove_run(&mut self, first: usize, after: usize) {
        let len = self.ranges.len();
        if first >= after || after > len {
            return;
        }
        self.ranges.as_mut_slice().copy_within(after..len, first);
        self.ranges.truncate(len - (after - first));
    }

    /// Moves the map into `larger`, an empty vector, and returns the old store.
    ///
    /// Gives `larger` back unused when the map would not fit: it grew in the meantime.
    pub(crate) fn replace_store(
        &mut self,
        mut larger: KVVec<SectorRange>,
    ) -> Result<KVVec<SectorRange>, KVVec<SectorRange>> {
        if larger.capacity() <= self.ranges.len() || !larger.is_empty() {
            return Err(larger);
        }
        for range in self.ranges.iter() {
            // Cannot fail: the capacity was just checked.
            if larger.push_within_capacity(*range).is_err() {
                larger.clear();
                return Err(larger);
            }
        }
        Ok(core::mem::replace(&mut self.ranges, larger))
    }
}
