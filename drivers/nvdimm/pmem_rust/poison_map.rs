// SPDX-License-Identifier: GPL-2.0

//! The set of poisoned sectors of one device: any number of ranges, in order.
//!
//! C keeps poison in a `struct badblocks`: 512 entries of at most 512 sectors. It forgets what does
//! not fit, and splitting an entry may lose the right half. [`PoisonMap`] has neither limit. It
//! never allocates or frees memory, so that its owner may hold a spinlock: a call that needs room
//! returns [`Full`] and changes nothing; the owner allocates more outside the lock
//! ([`PoisonMap::add_room`]) and tries again. If there is no memory, a reserve is used, and near
//! neighbours are merged.
//!
//! A call takes O(log n), and again as much for each range that it merges or removes.
//! [`PoisonMap::part`] limits a call to a few of them.
//!
//! This file is plain `no_std` Rust, and uses nothing of C except the tree: KUnit runs it in the
//! kernel, and `tools/testing/host` runs it, with another tree, under Miri and proptest against a
//! slow, obvious model.

use super::rooms::Rooms;
pub(crate) use super::rooms::{
    Full,
    Room,
    Wanted, //
};
use kernel::{
    block::sector::{
        Sector,
        SectorRange, //
    },
    rbtree::{
        Cursor,
        RBTree, //
    },
};

/// The binary logarithm of the number of ranges that the first room is for.
const FIRST_SHIFT: u32 = 5;

/// How many good sectors are recorded as bad rather than use the reserve: 2 MiB, which is what C
/// reports when a page fails in a mapping of that size.
pub(crate) const MAX_GAP: u64 = 1 << 12;

/// Poisoned sectors, as ranges in ascending order.
///
/// # Invariants
///
/// - Each range in `ranges` is under its end, and is in a node that is from `rooms`.
/// - Of any two neighbours, the first ends before the second begins: they neither overlap nor
///   touch. So they have the same order by their ends as by their starts.
pub(crate) struct PoisonMap {
    /// By their ends, so that one search finds the range that reaches past a sector.
    ranges: RBTree<Sector, SectorRange>,
    rooms: Rooms,
}

impl PoisonMap {
    /// An empty map without room: the first [`PoisonMap::add`] returns [`Full`].
    pub(crate) fn new() -> Self {
        Self::with_first_room(FIRST_SHIFT)
    }

    /// The same, with a first room for `1 << first_shift` ranges. Tests use smaller rooms.
    pub(crate) fn with_first_room(first_shift: u32) -> Self {
        // INVARIANT: There are no ranges.
        Self {
            ranges: RBTree::new(),
            rooms: Rooms::new(first_shift),
        }
    }

    /// How many ranges the map holds.
    pub(crate) fn len(&self) -> usize {
        self.rooms.in_use()
    }

    /// How many ranges the map has room for, the reserve included.
    pub(crate) fn capacity(&self) -> usize {
        self.rooms.capacity()
    }

    /// How many ranges are kept in reserve for when there is no memory.
    pub(crate) fn reserve(&self) -> usize {
        self.rooms.first() / 2
    }

    /// Whether a call may return [`Full`].
    pub(crate) fn wants_room(&self) -> bool {
        self.rooms.spare() <= self.reserve()
    }

    /// The room to allocate next; [`None`] if there can be no more.
    pub(crate) fn wanted(&self) -> Option<Wanted> {
        self.rooms.wanted()
    }

    /// Takes over more room. Returns it if it is not the wanted one any more.
    pub(crate) fn add_room(&mut self, room: Room) -> Result<(), Room> {
        self.rooms.add(room)
    }

    /// The ranges, in ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = SectorRange> + '_ {
        self.ranges.iter().map(|(_, range)| *range)
    }

    /// A cursor at the ranges that end after `sector`.
    fn ending_after(&self, sector: Sector) -> Option<Cursor<'_, Sector, SectorRange>> {
        let end = sector.0.checked_add(1)?;
        self.ranges.cursor_lower_bound(&Sector(end))
    }

    /// The first range that ends after `sector`.
    fn first_ending_after(&self, sector: Sector) -> Option<SectorRange> {
        self.ending_after(sector).map(|at| *at.current().1)
    }

    /// The last range that ends at `sector` or earlier.
    fn last_ending_by(&self, sector: Sector) -> Option<SectorRange> {
        match self.ending_after(sector) {
            Some(at) => at.peek_prev().map(|(_, range)| *range),
            None => self.ranges.cursor_back().map(|at| *at.current().1),
        }
    }

    /// Inserts `range`, which has an end of its own.
    fn insert(&mut self, range: SectorRange) -> Result<(), Full> {
        let node = self.rooms.take()?;
        self.ranges.insert(node.into_node(range.end(), range));
        Ok(())
    }

    /// Removes `range`.
    fn take_out(&mut self, range: SectorRange) {
        if let Some(node) = self.ranges.remove_node(&range.end()) {
            self.rooms.put(node.into_reservation());
        }
    }

    /// Replaces `old` by `new`, which has the same neighbours.
    fn replace(&mut self, old: SectorRange, new: SectorRange) {
        if old.end() == new.end() {
            if let Some(range) = self.ranges.get_mut(&old.end()) {
                *range = new;
            }
        } else if let Some(node) = self.ranges.remove_node(&old.end()) {
            let node = node.into_reservation().into_node(new.end(), new);
            self.ranges.insert(node);
        }
    }

    /// The first poisoned sectors within `asked`, clipped to it.
    pub(crate) fn first_within(&self, asked: SectorRange) -> Option<SectorRange> {
        self.first_ending_after(asked.start())?.intersection(&asked)
    }

    /// Whether every sector of `asked` is poisoned.
    pub(crate) fn covers(&self, asked: SectorRange) -> bool {
        self.first_within(asked) == Some(asked)
    }

    /// The first range that ends at `start` or later: it may touch what begins there.
    fn first_reaching(&self, start: Sector) -> Option<SectorRange> {
        self.first_ending_after(Sector(start.0.saturating_sub(1)))
    }

    /// The longest start of `range` that concerns no more than `most` ranges of the map, at least
    /// one.
    pub(crate) fn part(&self, range: SectorRange, most: usize) -> SectorRange {
        let mut next = self.first_reaching(range.start());
        for _ in 0..most.max(1) {
            next = match next {
                Some(met) if met.start() < range.end() => self.first_ending_after(met.end()),
                _ => return range,
            };
        }
        next.and_then(|next| SectorRange::from_bounds(range.start(), next.start().min(range.end())))
            .unwrap_or(range)
    }

    /// Adds `new`; sectors that are there already stay.
    ///
    /// Returns whether a sector was added.
    pub(crate) fn add(&mut self, new: SectorRange) -> Result<bool, Full> {
        let Some(first) = self
            .first_reaching(new.start())
            .filter(|range| range.start() <= new.end())
        else {
            if self.wants_room() {
                return Err(Full);
            }
            // INVARIANT: Nothing overlaps or touches `new`.
            self.insert(new)?;
            return Ok(true);
        };
        let mut merged = first.hull(&new);
        if merged == first {
            return Ok(false);
        }
        while let Some(next) = self
            .first_ending_after(first.end())
            .filter(|next| next.start() <= merged.end())
        {
            merged = merged.hull(&next);
            self.take_out(next);
        }
        // INVARIANT: Everything that overlapped or touched `new` is in `merged`.
        self.replace(first, merged);
        Ok(true)
    }

    /// Adds `new` when there is no memory for more room. Returns how many good sectors it recorded
    /// as bad because of that.
    ///
    /// A neighbour within [`MAX_GAP`] grows to hold it; otherwise the reserve is used. When that is
    /// empty, a neighbour grows at any distance: good sectors on record cost a write to clear,
    /// forgotten bad ones cost data. [`Full`] only for a map without ranges.
    pub(crate) fn add_without_memory(&mut self, new: SectorRange) -> Result<u64, Full> {
        if self.add(new).is_ok() {
            return Ok(0);
        }
        // `add` found no room, so nothing touches `new` and it lies between two neighbours.
        let before = self.last_ending_by(new.start());
        let behind = self.first_ending_after(new.end());
        let nearest = [
            before.map(|range| (range, new.start().0 - range.end().0)),
            behind.map(|range| (range, range.start().0 - new.end().0)),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|(_, gap)| *gap);
        // INVARIANT: Nothing overlaps or touches `new`. The gap beside `range` contains `new`,
        // which touches neither end of it.
        match nearest {
            Some((range, gap)) if gap <= MAX_GAP || self.rooms.spare() == 0 => {
                self.replace(range, range.hull(&new));
                Ok(gap)
            }
            _ => self.insert(new).map(|()| 0),
        }
    }

    /// Removes `gone`; sectors outside it stay.
    ///
    /// Returns whether a sector was removed.
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
            .first_ending_after(gone.start())
            .filter(|met| met.start() < gone.end())
        {
            let left = SectorRange::from_bounds(met.start(), gone.start());
            let right = SectorRange::from_bounds(gone.end(), met.end());
            // INVARIANT: What remains is part of what was there, with at least `gone` in between.
            match (left, right) {
                (Some(left), Some(right)) => {
                    // The range is the only one concerned, so nothing was changed so far.
                    if self.rooms.spare() <= reserve {
                        return Err(Full);
                    }
                    self.insert(left)?;
                    self.replace(met, right);
                }
                (Some(one), None) | (None, Some(one)) => self.replace(met, one),
                (None, None) => self.take_out(met),
            }
            removed = true;
        }
        Ok(removed)
    }
}
