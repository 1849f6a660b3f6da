// SPDX-License-Identifier: GPL-2.0

//! The set of poisoned sectors of one device: any number of ranges, in order.
//!
//! C keeps poison in a `struct badblocks`: 512 entries of at most 512 sectors, whatever comes
//! after that is forgotten, and an entry that is split may lose its right half. [`PoisonMap`] has
//! neither limit. It never allocates by itself, so that its owner may hold a spinlock: a call
//! that would need room says [`Full`] and changes nothing, and the owner brings more from outside
//! the lock ([`PoisonMap::add_room`]) and tries again. If there is no memory, a reserve is used,
//! and near neighbours become one.
//!
//! A call takes O(log n), and as much again for each range that it makes part of another or takes
//! out: [`PoisonMap::part`] says how far a call may go that is to look at a few only.
//!
//! This file is plain `no_std` Rust without calls to C: KUnit runs it in the kernel and
//! `tools/testing/host` runs it under Miri and proptest against a slow, obvious model.

use super::range_tree::RangeTree;
pub(crate) use super::range_tree::{
    Full,
    Room,
    Wanted, //
};
use kernel::dax::units::{
    Sector,
    SectorRange, //
};

/// How many good sectors are called bad rather than touch the reserve: 2 MiB, which C names when a
/// page fails in a mapping of that size.
pub(crate) const MAX_GAP: u64 = 1 << 12;

/// Poisoned sectors, as ranges in ascending order.
///
/// # Invariants
///
/// Of any two neighbours in `tree`, the first ends before the second begins: they neither
/// overlap nor touch.
pub(crate) struct PoisonMap {
    tree: RangeTree,
}

impl PoisonMap {
    /// An empty map without room: the first [`PoisonMap::add`] says [`Full`].
    pub(crate) const fn new() -> Self {
        Self::of(RangeTree::new())
    }

    /// An empty map that keeps its ranges in `tree`, which is empty.
    pub(crate) const fn of(tree: RangeTree) -> Self {
        // INVARIANT: There are no neighbours.
        Self { tree }
    }

    /// How many ranges the map holds.
    pub(crate) fn len(&self) -> usize {
        self.tree.len()
    }

    /// How many ranges the map has room for, the reserve included.
    pub(crate) fn capacity(&self) -> usize {
        self.tree.capacity()
    }

    /// How many ranges are kept in reserve for when there is no memory.
    pub(crate) fn reserve(&self) -> usize {
        self.tree.first_room() / 2
    }

    /// Whether a call may say [`Full`].
    pub(crate) fn wants_room(&self) -> bool {
        self.tree.spare() <= self.reserve()
    }

    /// What has to be brought for there to be more room; [`None`] if there can be no more.
    pub(crate) fn wanted(&self) -> Option<Wanted> {
        self.tree.wanted()
    }

    /// Takes over more room. Gives it back if there is more by now.
    pub(crate) fn add_room(&mut self, room: Room) -> Result<(), Room> {
        self.tree.add_room(room)
    }

    /// The ranges, in ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = SectorRange> + '_ {
        self.tree.iter()
    }

    /// The first poisoned sectors within `asked`, clipped to it.
    pub(crate) fn first_within(&self, asked: SectorRange) -> Option<SectorRange> {
        self.tree
            .first_ending_after(asked.start())?
            .intersection(&asked)
    }

    /// Whether every sector of `asked` is poisoned.
    pub(crate) fn covers(&self, asked: SectorRange) -> bool {
        self.first_within(asked) == Some(asked)
    }

    /// The first range that ends at `start` or later: it may touch what begins there.
    fn first_reaching(&self, start: Sector) -> Option<SectorRange> {
        self.tree
            .first_ending_after(Sector(start.0.saturating_sub(1)))
    }

    /// The part of `range`, from its start on, that has to do with no more than `most` ranges of
    /// the map, at least one.
    pub(crate) fn part(&self, range: SectorRange, most: usize) -> SectorRange {
        let mut next = self.first_reaching(range.start());
        for _ in 0..most.max(1) {
            next = match next {
                Some(met) if met.start() < range.end() => self.tree.first_ending_after(met.end()),
                _ => return range,
            };
        }
        next.and_then(|next| SectorRange::from_bounds(range.start(), next.start().min(range.end())))
            .unwrap_or(range)
    }

    /// Adds `new`; what was there already stays.
    ///
    /// Returns whether a sector was added that was not there.
    pub(crate) fn add(&mut self, new: SectorRange) -> Result<bool, Full> {
        let Some(first) = self
            .first_reaching(new.start())
            .filter(|range| range.start() <= new.end())
        else {
            if self.wants_room() {
                return Err(Full);
            }
            // INVARIANT: Nothing overlaps or touches `new`.
            self.tree.insert(new)?;
            return Ok(true);
        };
        let mut merged = first.hull(&new);
        if merged == first {
            return Ok(false);
        }
        while let Some(next) = self
            .tree
            .first_ending_after(first.end())
            .filter(|next| next.start() <= merged.end())
        {
            merged = merged.hull(&next);
            self.tree.remove(next.start());
        }
        // INVARIANT: Everything that overlapped or touched `new` is in `merged`.
        self.tree.replace(first.start(), merged);
        Ok(true)
    }

    /// Adds `new` when there is no memory for more room; returns how many good sectors it called
    /// bad because of that.
    ///
    /// A neighbour that is no farther than [`MAX_GAP`] grows to hold it, or else the reserve is
    /// used. Only when that has come to its end a neighbour grows wherever it is: to call good
    /// sectors bad costs a write to put right, to forget bad ones costs data. [`Full`] only for a map
    /// without a single range.
    pub(crate) fn add_without_memory(&mut self, new: SectorRange) -> Result<u64, Full> {
        if self.add(new).is_ok() {
            return Ok(0);
        }
        // `add` found no room, so nothing touches `new` and it lies between two neighbours.
        let before = self.tree.last_starting_before(new.start());
        let behind = self.tree.first_ending_after(new.end());
        let nearest = [
            before.map(|range| (range, new.start().0 - range.end().0)),
            behind.map(|range| (range, range.start().0 - new.end().0)),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|(_, gap)| *gap);
        // INVARIANT: Nothing overlaps or touches `new`. Beside `range` there is a gap that `new`
        // lies in, and it touches neither end of that.
        match nearest {
            Some((range, gap)) if gap <= MAX_GAP || self.tree.spare() == 0 => {
                self.tree.replace(range.start(), range.hull(&new));
                Ok(gap)
            }
            _ => self.tree.insert(new).map(|()| 0),
        }
    }

    /// Takes `gone` out; what lies outside it stays.
    ///
    /// Returns whether a sector was taken out.
    pub(crate) fn remove(&mut self, gone: SectorRange) -> Result<bool, Full> {
        self.remove_keeping(gone, self.reserve())
    }

    /// The same when there is no memory for more room: uses the reserve.
    pub(crate) fn remove_without_memory(&mut self, gone: SectorRange) -> Result<bool, Full> {
        self.remove_keeping(gone, 0)
    }

    fn remove_keeping(&mut self, gone: SectorRange, reserve: usize) -> Result<bool, Full> {
        let mut removed = false;
        while let Some(met) = self
            .tree
            .first_ending_after(gone.start())
            .filter(|met| met.start() < gone.end())
        {
            let left = SectorRange::from_bounds(met.start(), gone.start());
            let right = SectorRange::from_bounds(gone.end(), met.end());
            // INVARIANT: What remains is part of what was there, with at least `gone` in between.
            match (left, right) {
                (Some(left), Some(right)) => {
                    // There is only this one, so nothing was changed so far.
                    if self.tree.spare() <= reserve {
                        return Err(Full);
                    }
                    self.tree.insert(right)?;
                    self.tree.replace(met.start(), left);
                }
                (Some(one), None) | (None, Some(one)) => self.tree.replace(met.start(), one),
                (None, None) => self.tree.remove(met.start()),
            }
            removed = true;
        }
        Ok(removed)
    }
}
