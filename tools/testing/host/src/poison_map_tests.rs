// SPDX-License-Identifier: GPL-2.0

//! `drivers/nvdimm/pmem_rust/poison_map.rs` against a slow, obvious model: the set of poisoned
//! cells.
//!
//! The points of a [`Scale`] cut the sector numbers into cells, and every range of a case begins
//! and ends at a point. On a dense scale a cell is one sector, so that short ranges meet often; on
//! a sparse one cells are as large as 2^63 sectors and lie at the edges of the number space. The
//! model is the same for both.

use crate::{
    config::properties,
    poison_map::{
        Full,
        PoisonMap,
        Room,
        MAX_GAP, //
    },
};
use kernel::{
    block::sector::{
        Sector,
        SectorRange, //
    },
    prelude::GFP_KERNEL, //
};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::TestCaseError, //
};
use std::{
    collections::BTreeSet,
    ops::Range, //
};

/// The most calls in one case.
const STEPS: usize = if cfg!(miri) { 24 } else { 80 };

/// Points in ascending order; cell `i` is from point `i` to point `i + 1`.
#[derive(Clone, Debug)]
struct Scale(Vec<u64>);

impl Scale {
    fn cells(&self) -> usize {
        self.0.len() - 1
    }

    fn sectors(&self, cells: Range<usize>) -> SectorRange {
        SectorRange::from_bounds(Sector(self.0[cells.start]), Sector(self.0[cells.end]))
            .expect("points ascend and the cells are not none")
    }

    /// Some cells, at least one, whatever the two numbers are.
    fn pick(&self, at: Pick) -> Range<usize> {
        let start = at.start % self.cells();
        start..start + 1 + at.more % (self.cells() - start)
    }
}

/// Cells of a scale that is not known yet: where they start and how many more than one.
#[derive(Clone, Copy, Debug)]
struct Pick {
    start: usize,
    more: usize,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Add(Pick),
    AddWithoutMemory(Pick),
    Remove(Pick),
    FirstWithin(Pick),
    RemoveWithoutMemory(Pick),
    Covers(Pick),
    Part(Pick, usize),
    /// Brings more room, and once more what was wanted before that.
    AddRoom,
}

fn dense() -> impl Strategy<Value = Scale> {
    let cells = 40_u64;
    let base = prop_oneof![
        Just(0),
        Just(1),
        Just((1 << 32) - cells / 2),
        Just((1 << 55) - cells / 2),
        Just((1 << 63) - cells / 2),
        Just(u64::MAX - cells),
    ];
    base.prop_map(move |base| Scale((base..=base + cells).collect()))
}

fn sparse() -> impl Strategy<Value = Scale> {
    let mut points: Vec<u64> = (0..4).chain(u64::MAX - 3..=u64::MAX).collect();
    for bit in [9_u32, 31, 32, 41, 54, 55, 62, 63] {
        let pivot = 1_u64 << bit;
        points.extend([pivot - 1, pivot, pivot + 1]);
    }
    points.sort_unstable();
    let n = points.len();
    proptest::sample::subsequence(points, 2..=n).prop_map(Scale)
}

fn scale() -> impl Strategy<Value = Scale> {
    prop_oneof![dense(), sparse()]
}

fn pick() -> impl Strategy<Value = Pick> {
    let more = prop_oneof![6 => 0_usize..4, 1 => 0_usize..40];
    (0_usize..40, more).prop_map(|(start, more)| Pick { start, more })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => pick().prop_map(Step::Add),
        2 => pick().prop_map(Step::AddWithoutMemory),
        4 => pick().prop_map(Step::Remove),
        2 => pick().prop_map(Step::FirstWithin),
        2 => pick().prop_map(Step::Covers),
        1 => pick().prop_map(Step::RemoveWithoutMemory),
        1 => (pick(), 0_usize..4).prop_map(|(at, most)| Step::Part(at, most)),
        1 => Just(Step::AddRoom),
    ]
}

/// The next room that `map` wants.
fn room(map: &PoisonMap) -> Room {
    let wanted = map.wanted().expect("there can be more");
    Room::new(wanted, GFP_KERNEL).expect("the host has memory")
}

/// An empty map that was given so many rooms: 2, 4, 8 ranges. One is kept in reserve.
fn map(rooms: usize) -> PoisonMap {
    let mut map = PoisonMap::with_first_room(1);
    for _ in 0..rooms {
        assert!(map.add_room(room(&map)).is_ok());
    }
    map
}

/// The runs of neighbouring cells, in order.
fn runs(cells: &BTreeSet<usize>) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for &cell in cells {
        match runs.last_mut() {
            Some(run) if run.end == cell => run.end += 1,
            _ => runs.push(cell..cell + 1),
        }
    }
    runs
}

/// What is wrong with `map` by itself, without regard to what it should hold.
fn check_invariants(map: &PoisonMap) -> Result<(), TestCaseError> {
    let ranges: Vec<SectorRange> = map.iter().collect();
    prop_assert_eq!(ranges.len(), map.len());
    prop_assert!(map.len() <= map.capacity());
    for range in &ranges {
        prop_assert!(range.start() < range.end());
    }
    for pair in ranges.windows(2) {
        prop_assert!(
            pair[0].end() < pair[1].start(),
            "overlap or touch: {pair:?}"
        );
    }
    Ok(())
}

/// A map and the cells that it should hold.
struct Pair {
    scale: Scale,
    map: PoisonMap,
    model: BTreeSet<usize>,
    capacity: usize,
}

impl Pair {
    fn new(scale: Scale, rooms: usize) -> Self {
        let map = map(rooms);
        let capacity = map.capacity();
        Self {
            scale,
            map,
            model: BTreeSet::new(),
            capacity,
        }
    }

    fn check(&self) -> Result<(), TestCaseError> {
        check_invariants(&self.map)?;
        prop_assert_eq!(self.map.capacity(), self.capacity);
        let expected: Vec<SectorRange> = runs(&self.model)
            .into_iter()
            .map(|run| self.scale.sectors(run))
            .collect();
        prop_assert_eq!(self.map.iter().collect::<Vec<_>>(), expected);
        Ok(())
    }

    /// What a call has to answer by which the set becomes `after`, when it may use all room but
    /// `reserve`; takes it over if so.
    fn becomes(&mut self, after: BTreeSet<usize>, reserve: usize) -> Result<bool, Full> {
        let (before, then) = (runs(&self.model).len(), runs(&after).len());
        if then > before && before + reserve >= self.capacity {
            return Err(Full);
        }
        let changed = after != self.model;
        self.model = after;
        Ok(changed)
    }

    fn add(&mut self, cells: Range<usize>) -> Result<(), TestCaseError> {
        let answer = self.map.add(self.scale.sectors(cells.clone()));
        let after = self.model.iter().copied().chain(cells).collect();
        prop_assert_eq!(answer, self.becomes(after, self.map.reserve()));
        Ok(())
    }

    fn remove(&mut self, cells: Range<usize>, memory: bool) -> Result<(), TestCaseError> {
        let sectors = self.scale.sectors(cells.clone());
        let (answer, reserve) = if memory {
            (self.map.remove(sectors), self.map.reserve())
        } else {
            (self.map.remove_without_memory(sectors), 0)
        };
        let mut after = self.model.clone();
        after.retain(|cell| !cells.contains(cell));
        prop_assert_eq!(answer, self.becomes(after, reserve));
        Ok(())
    }

    fn add_without_memory(&mut self, cells: Range<usize>) -> Result<(), TestCaseError> {
        let answer = self
            .map
            .add_without_memory(self.scale.sectors(cells.clone()));
        let after: BTreeSet<usize> = self.model.iter().copied().chain(cells.clone()).collect();
        if self.becomes(after.clone(), self.map.reserve()).is_ok() {
            prop_assert_eq!(answer, Ok(0));
            return Ok(());
        }

        // No room. The gap to the nearest run is filled too, on either side if both are as near.
        let before = self.model.range(..cells.start).next_back();
        let behind = self.model.range(cells.end..).next();
        let gaps: Vec<Range<usize>> = before
            .map(|&cell| cell + 1..cells.start)
            .into_iter()
            .chain(behind.map(|&cell| cells.end..cell))
            .collect();
        let size = |gap: &Range<usize>| self.scale.sectors(gap.clone()).count();
        let smallest = gaps.iter().map(size).min();
        // Unless it is too large, and there is some of the reserve left.
        let spare = self.capacity > runs(&self.model).len();
        if spare && smallest.is_none_or(|smallest| smallest > MAX_GAP) {
            prop_assert_eq!(answer, Ok(0));
            self.model = after;
            return Ok(());
        }
        let Some(smallest) = smallest else {
            prop_assert_eq!(answer, Err(Full));
            return Ok(());
        };
        prop_assert_eq!(answer, Ok(smallest));
        let held: Vec<SectorRange> = self.map.iter().collect();
        for gap in gaps.iter().filter(|gap| size(gap) == smallest) {
            let mut widened = after.clone();
            widened.extend(gap.clone());
            let ranges: Vec<SectorRange> = runs(&widened)
                .into_iter()
                .map(|run| self.scale.sectors(run))
                .collect();
            if ranges == held {
                self.model = widened;
                return Ok(());
            }
        }
        prop_assert!(false, "not widened over the nearest gap: {held:?}");
        Ok(())
    }

    fn first_within(&self, cells: Range<usize>) -> Result<(), TestCaseError> {
        let mut within = self.model.clone();
        within.retain(|cell| cells.contains(cell));
        let expected = runs(&within).into_iter().next();
        prop_assert_eq!(
            self.map.first_within(self.scale.sectors(cells)),
            expected.map(|run| self.scale.sectors(run))
        );
        Ok(())
    }

    fn covers(&self, mut cells: Range<usize>) -> Result<(), TestCaseError> {
        prop_assert_eq!(
            self.map.covers(self.scale.sectors(cells.clone())),
            cells.all(|cell| self.model.contains(&cell))
        );
        Ok(())
    }

    fn part(&self, cells: Range<usize>, most: usize) -> Result<(), TestCaseError> {
        let asked = self.scale.sectors(cells);
        let part = self.map.part(asked, most);
        prop_assert_eq!(part.start(), asked.start());
        prop_assert!(part.end() <= asked.end());
        // What overlaps it or touches its start; the end of a part touches nothing of it.
        let met = |of: SectorRange| {
            self.map
                .iter()
                .filter(|range| range.start() < of.end() && range.end() >= of.start())
                .count()
        };
        prop_assert!(met(part) <= most.max(1));
        if part != asked {
            // It could not be longer.
            prop_assert_eq!(met(part), most.max(1));
            let next = self.map.iter().find(|range| range.start() >= part.end());
            prop_assert_eq!(next.map(|range| range.start()), Some(part.end()));
        }
        Ok(())
    }

    fn add_room(&mut self) -> Result<(), TestCaseError> {
        let (first, late) = (room(&self.map), room(&self.map));
        prop_assert!(self.map.add_room(first).is_ok());
        prop_assert!(self.map.add_room(late).is_err());
        prop_assert_eq!(self.map.capacity(), self.capacity * 2 + 2);
        self.capacity = self.map.capacity();
        Ok(())
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Add(at) => self.add(self.scale.pick(at))?,
            Step::AddWithoutMemory(at) => self.add_without_memory(self.scale.pick(at))?,
            Step::Remove(at) => self.remove(self.scale.pick(at), true)?,
            Step::RemoveWithoutMemory(at) => self.remove(self.scale.pick(at), false)?,
            Step::FirstWithin(at) => self.first_within(self.scale.pick(at))?,
            Step::Covers(at) => self.covers(self.scale.pick(at))?,
            Step::Part(at, most) => self.part(self.scale.pick(at), most)?,
            Step::AddRoom if self.capacity < 100 => self.add_room()?,
            Step::AddRoom => {}
        }
        self.check()
    }
}

properties! {
    #[test]
    fn behaves_like_a_set_of_sectors(
        scale in scale(),
        rooms in 0_usize..4,
        steps in vec(step(), 0..STEPS),
    ) {
        let mut pair = Pair::new(scale, rooms);
        for step in steps {
            pair.step(step)?;
        }
    }

    /// From a map that holds random ranges and has no room left: what `Full` guards is common
    /// here and rare above.
    #[test]
    fn behaves_like_a_set_of_sectors_when_full(
        scale in scale(),
        cells in vec(any::<bool>(), 40),
        steps in vec(step(), 1..STEPS / 4),
    ) {
        let cells: BTreeSet<usize> = (0..scale.cells())
            .filter(|&cell| cells.get(cell) == Some(&true))
            .collect();
        let wanted = runs(&cells);
        // The most rooms that these fill.
        let rooms = (0..4).rfind(|rooms| map(*rooms).capacity() <= wanted.len());
        let mut pair = Pair::new(scale, rooms.unwrap_or(0));
        for run in wanted.into_iter().take(pair.capacity) {
            if pair.map.wants_room() {
                prop_assert_eq!(pair.map.add(pair.scale.sectors(run.clone())), Err(Full));
                // Only the reserve is left, which is for what is far away.
                pair.add_without_memory(run)?;
            } else {
                pair.add(run)?;
            }
            pair.check()?;
        }
        for step in steps {
            pair.step(step)?;
        }
    }

    /// Any numbers at all, for what holds without a model.
    #[test]
    fn keeps_its_invariants_with_any_ranges(
        rooms in 0_usize..3,
        calls in vec((0_u8..3, any::<u64>(), any::<u64>()), 0..STEPS),
    ) {
        let mut map = map(rooms);
        for (call, a, b) in calls {
            let Some(range) = SectorRange::from_bounds(Sector(a.min(b)), Sector(a.max(b))) else {
                continue;
            };
            let before: Vec<SectorRange> = map.iter().collect();
            let full = match call {
                0 => map.add(range).is_err(),
                1 => map.add_without_memory(range).is_err(),
                _ => map.remove(range).is_err(),
            };
            check_invariants(&map)?;
            if full {
                prop_assert_eq!(map.iter().collect::<Vec<_>>(), before);
                continue;
            }
            prop_assert_eq!(map.covers(range), call != 2);
            if call == 2 {
                prop_assert_eq!(map.first_within(range), None);
            } else {
                prop_assert!(before.into_iter().all(|old| map.covers(old)));
            }
        }
    }
}

#[test]
fn an_empty_map_has_no_room() {
    let mut map = PoisonMap::new();
    let all = SectorRange::new(Sector(0), u64::MAX).unwrap();
    assert_eq!((map.len(), map.capacity()), (0, 0));
    assert_eq!(map.add(all), Err(Full));
    assert_eq!(map.add_without_memory(all), Err(Full));
    assert_eq!(map.remove(all), Ok(false));
    assert_eq!(map.first_within(all), None);
    assert!(!map.covers(all));
    assert!(map.wants_room());
}

#[test]
fn holds_all_sectors_there_are() {
    let all = SectorRange::new(Sector(0), u64::MAX).unwrap();
    let first = SectorRange::new(Sector(0), 1).unwrap();
    let last = SectorRange::new(Sector(u64::MAX - 1), 1).unwrap();
    let mut map = map(2);
    assert_eq!(map.add(first), Ok(true));
    assert_eq!(map.add(last), Ok(true));
    assert_eq!(map.add(all), Ok(true));
    assert_eq!(map.len(), 1);
    assert_eq!(map.first_within(last), Some(last));
    assert_eq!(map.remove(first), Ok(true));
    assert_eq!(map.remove(last), Ok(true));
    assert_eq!(map.iter().map(|r| r.count()).sum::<u64>(), u64::MAX - 2);
    assert_eq!(map.remove(all), Ok(true));
    assert_eq!(map.len(), 0);
}

/// The depth of the tree shows in the time that a call takes, and only there.
#[test]
fn many_ranges_in_any_order() {
    let count = if cfg!(miri) { 300 } else { 50_000_u64 };
    let range = |n: u64| SectorRange::new(Sector(n * 2), 1).unwrap();
    // Ascending, descending, and by a step that meets all of them.
    for order in [1, count - 1, 7919] {
        let mut map = PoisonMap::new();
        for n in 0..count {
            if map.wants_room() {
                assert!(map.add_room(room(&map)).is_ok());
            }
            assert_eq!(map.add(range(n * order % count)), Ok(true));
        }
        assert_eq!(map.len() as u64, count);
        assert!(map.iter().map(|range| range.start().0 / 2).eq(0..count));
        for n in 0..count {
            assert_eq!(map.remove(range(n * order % count)), Ok(true));
        }
        assert_eq!(map.len(), 0);
        assert!(map.iter().next().is_none());
    }
}

/// A failure to allocate is not for ever, and what is far away stays exact.
#[test]
fn the_reserve_is_for_what_is_far_away() {
    let far = |n: u64| SectorRange::new(Sector(n * (MAX_GAP + 9)), 8).unwrap();
    let mut map = map(2);
    for n in 0..5 {
        assert_eq!(map.add(far(n)), Ok(true));
    }
    assert_eq!(map.add(far(5)), Err(Full));
    assert_eq!(
        map.remove(SectorRange::new(Sector(2), 1).unwrap()),
        Err(Full)
    );
    assert_eq!(map.add_without_memory(far(5)), Ok(0));
    assert_eq!((map.len(), map.capacity()), (6, 6));
    // Near: the neighbour grows. Far, and nothing is left: it grows all the same.
    let near = SectorRange::new(Sector(10), 1).unwrap();
    assert_eq!(map.add_without_memory(near), Ok(2));
    assert_eq!(map.add_without_memory(far(6)), Ok(MAX_GAP + 1));
    // There is memory again.
    assert!(map.add_room(room(&map)).is_ok());
    assert_eq!(map.add(far(8)), Ok(true));
    assert_eq!(
        map.remove(SectorRange::new(Sector(2), 1).unwrap()),
        Ok(true)
    );
    assert_eq!(map.len(), 8);
}
