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
        PoisonMap, //
    },
};
use kernel::{
    dax::units::{
        Sector,
        SectorRange, //
    },
    prelude::{
        KVVec,
        GFP_KERNEL, //
    },
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
    AddWidening(Pick),
    Remove(Pick),
    FirstWithin(Pick),
    Covers(Pick),
    /// Offers a store of this capacity, which may wrongly hold something.
    ReplaceStore(usize, bool),
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
        2 => pick().prop_map(Step::AddWidening),
        4 => pick().prop_map(Step::Remove),
        2 => pick().prop_map(Step::FirstWithin),
        2 => pick().prop_map(Step::Covers),
        1 => (0_usize..14, proptest::bool::weighted(0.1))
            .prop_map(|(capacity, used)| Step::ReplaceStore(capacity, used)),
    ]
}

fn store(capacity: usize) -> KVVec<SectorRange> {
    KVVec::with_capacity(capacity, GFP_KERNEL).expect("the host has memory")
}

/// An empty map with room for `capacity` ranges.
fn map(capacity: usize) -> PoisonMap {
    let mut map = PoisonMap::new();
    if capacity > 0 {
        assert!(map.replace_store(store(capacity)).is_ok());
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
    fn new(scale: Scale, capacity: usize) -> Self {
        Self {
            scale,
            map: map(capacity),
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

    /// What `add` or `remove` has to answer when the set becomes `after`; takes it over if so.
    fn becomes(&mut self, after: BTreeSet<usize>) -> Result<bool, Full> {
        if runs(&after).len() > self.capacity {
            return Err(Full);
        }
        let changed = after != self.model;
        self.model = after;
        Ok(changed)
    }

    fn add(&mut self, cells: Range<usize>) -> Result<(), TestCaseError> {
        let answer = self.map.add(self.scale.sectors(cells.clone()));
        let after = self.model.iter().copied().chain(cells).collect();
        prop_assert_eq!(answer, self.becomes(after));
        Ok(())
    }

    fn remove(&mut self, cells: Range<usize>) -> Result<(), TestCaseError> {
        let answer = self.map.remove(self.scale.sectors(cells.clone()));
        let mut after = self.model.clone();
        after.retain(|cell| !cells.contains(cell));
        prop_assert_eq!(answer, self.becomes(after));
        Ok(())
    }

    fn add_widening(&mut self, cells: Range<usize>) -> Result<(), TestCaseError> {
        let answer = self.map.add_widening(self.scale.sectors(cells.clone()));
        let after: BTreeSet<usize> = self.model.iter().copied().chain(cells.clone()).collect();
        if self.becomes(after.clone()).is_ok() {
            prop_assert_eq!(answer, Ok(()));
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
        let Some(smallest) = gaps.iter().map(size).min() else {
            prop_assert_eq!(answer, Err(Full));
            return Ok(());
        };
        prop_assert_eq!(answer, Ok(()));
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

    fn replace_store(&mut self, capacity: usize, used: bool) -> Result<(), TestCaseError> {
        let mut offered = store(capacity);
        let used = used
            && offered
                .push_within_capacity(self.scale.sectors(0..1))
                .is_ok();
        // A store that has no room left would be no use to whoever was told `Full`.
        let fits = !used && capacity > self.map.len();
        match self.map.replace_store(offered) {
            Ok(old) => {
                prop_assert!(fits);
                prop_assert_eq!(old.capacity(), self.capacity);
                self.capacity = capacity;
            }
            Err(back) => {
                prop_assert!(!fits);
                prop_assert_eq!(back.capacity(), capacity);
                prop_assert_eq!(back.len(), usize::from(used));
            }
        }
        Ok(())
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Add(at) => self.add(self.scale.pick(at))?,
            Step::AddWidening(at) => self.add_widening(self.scale.pick(at))?,
            Step::Remove(at) => self.remove(self.scale.pick(at))?,
            Step::FirstWithin(at) => self.first_within(self.scale.pick(at))?,
            Step::Covers(at) => self.covers(self.scale.pick(at))?,
            Step::ReplaceStore(capacity, used) => self.replace_store(capacity, used)?,
        }
        self.check()
    }
}

properties! {
    #[test]
    fn behaves_like_a_set_of_sectors(
        scale in scale(),
        capacity in 0_usize..10,
        steps in vec(step(), 0..STEPS),
    ) {
        let mut pair = Pair::new(scale, capacity);
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
        let mut pair = Pair::new(scale, wanted.len());
        for run in wanted {
            pair.add(run)?;
        }
        pair.check()?;
        prop_assert_eq!(pair.map.len(), pair.map.capacity());
        for step in steps {
            pair.step(step)?;
        }
    }

    /// Any numbers at all, for what holds without a model.
    #[test]
    fn keeps_its_invariants_with_any_ranges(
        capacity in 0_usize..6,
        calls in vec((0_u8..3, any::<u64>(), any::<u64>()), 0..STEPS),
    ) {
        let mut map = map(capacity);
        for (call, a, b) in calls {
            let Some(range) = SectorRange::from_bounds(Sector(a.min(b)), Sector(a.max(b))) else {
                continue;
            };
            let before: Vec<SectorRange> = map.iter().collect();
            let full = match call {
                0 => map.add(range).is_err(),
                1 => map.add_widening(range).is_err(),
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
    assert_eq!(map.add_widening(all), Err(Full));
    assert_eq!(map.remove(all), Ok(false));
    assert_eq!(map.first_within(all), None);
    assert!(!map.covers(all));
    assert!(map.replace_store(store(0)).is_err());
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
