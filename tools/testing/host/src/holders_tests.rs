// SPDX-License-Identifier: GPL-2.0

//! `drivers/dax/dax_core/holders.rs` against a slow, obvious model, one task at a time.
//!
//! The model keeps sets of cells, and a holder's range and a failure consist of cells. Callbacks do
//! what real ones do: they fail, unregister, unregister others, and remove what is being removed.
//! `holders_threads_tests.rs` and `holders_loom.rs` test several tasks.

use crate::{
    config::properties,
    failure::{
        Extent,
        Failure, //
    },
    holder_table::{
        Counters,
        Phase,
        Refusal,
        Stage, //
    },
    holders::{
        Holders,
        Outcome, //
    },
    holders_world::{
        me,
        Manner,
        Told,
        World,
        MEDIA,
        REMOVAL,
        TESTERS, //
    },
};
use kernel::{
    dax::units::ByteRange,
    error::Result,
    prelude::{
        EINVAL,
        EIO,
        EOPNOTSUPP, //
    },
};
use proptest::{
    collection::vec,
    prelude::{
        any,
        prop_assert_eq,
        prop_oneof,
        Just,
        Strategy, //
    },
    test_runner::TestCaseError,
};
use std::{
    collections::BTreeSet,
    ops::Range,
    sync::Arc, //
};

/// The most calls in one case.
const STEPS: usize = if cfg!(miri) { 24 } else { 80 };

/// How many cells there are.
const CELLS: usize = 24;

/// Where the cells are.
#[derive(Clone, Copy, Debug)]
struct Scale {
    base: u64,
    width: u64,
}

impl Scale {
    fn at(&self, cell: usize) -> u64 {
        self.base + cell as u64 * self.width
    }

    /// [`None`] without cells.
    fn held(&self, cells: &Range<usize>) -> Option<ByteRange> {
        ByteRange::from_bounds(self.at(cells.start), self.at(cells.end))
    }

    fn bytes(&self, cells: &Range<usize>) -> ByteRange {
        self.held(cells).expect("there is a cell")
    }

    fn extent(&self, cells: &Option<Range<usize>>) -> Extent {
        match cells {
            Some(cells) => Extent::Bytes(self.bytes(cells)),
            None => Extent::Whole,
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Register(usize, Range<usize>),
    Unregister(usize),
    /// The partition of this one gets so many cells, as far as they are free.
    Resize(usize, usize),
    /// These cells fail, or the whole device.
    Notify(Option<Range<usize>>),
    Behave(usize, Manner),
    Kill,
    Revive,
}

fn scale() -> impl Strategy<Value = Scale> {
    let cells = CELLS as u64;
    prop_oneof![
        Just((0, 1)),
        Just((0, 4096)),
        Just((0, u64::MAX / cells)),
        Just((u64::MAX - cells, 1)),
        Just((u64::MAX - cells * (1 << 40), 1 << 40)),
    ]
    .prop_map(|(base, width)| Scale { base, width })
}

fn cells() -> impl Strategy<Value = Range<usize>> {
    let more = prop_oneof![4 => 0_usize..6, 1 => 0..CELLS];
    (0..CELLS, more).prop_map(|(start, more)| start..(start + 1 + more).min(CELLS))
}

fn manner() -> impl Strategy<Value = Manner> {
    prop_oneof![
        2 => Just(Manner::Answers(Ok(()))),
        1 => Just(Manner::Answers(Err(EIO))),
        1 => Just(Manner::Answers(Err(EINVAL))),
        1 => Just(Manner::Answers(Err(EOPNOTSUPP))),
        1 => Just(Manner::Gone),
        1 => Just(Manner::Leaves),
        1 => Just(Manner::EndsWithPin),
        1 => (0..TESTERS).prop_map(Manner::TakesAlong),
        1 => Just(Manner::RemovesAgain),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..TESTERS, cells()).prop_map(|(tester, cells)| Step::Register(tester, cells)),
        4 => (0..TESTERS).prop_map(Step::Unregister),
        4 => (0..TESTERS, 0_usize..8).prop_map(|(tester, count)| Step::Resize(tester, count)),
        8 => cells().prop_map(|cells| Step::Notify(Some(cells))),
        1 => Just(Step::Notify(Some(0..CELLS))),
        1 => Just(Step::Notify(None)),
        3 => (0..TESTERS, manner()).prop_map(|(tester, manner)| Step::Behave(tester, manner)),
        1 => Just(Step::Kill),
        2 => Just(Step::Revive),
    ]
}

/// A registration.
#[derive(Clone)]
struct Held {
    tester: usize,
    /// Maybe none any more.
    cells: Range<usize>,
    stage: Stage,
    told: u64,
}

fn common(a: &Range<usize>, b: &Range<usize>) -> Option<Range<usize>> {
    let both: BTreeSet<usize> = a.clone().filter(|cell| b.contains(cell)).collect();
    Some(*both.first()?..*both.last()? + 1)
}

struct Model {
    scale: Scale,
    phase: Phase,
    /// In the order in which they came.
    held: Vec<Held>,
    manners: Vec<Manner>,
    counters: Counters,
    log: Vec<Told>,
    closed: usize,
}

impl Model {
    fn register(&mut self, tester: usize, cells: &Range<usize>) -> Result<(), Refusal> {
        let result = self.admit(tester, cells);
        match result {
            Ok(()) => self.held.push(Held {
                tester,
                cells: cells.clone(),
                stage: Stage::In,
                told: 0,
            }),
            Err(_) => self.counters.refused += 1,
        }
        result
    }

    fn admit(&self, tester: usize, cells: &Range<usize>) -> Result<(), Refusal> {
        if self.phase != Phase::Alive {
            return Err(Refusal::Dying);
        }
        if self.is_in(tester) {
            return Err(Refusal::Twice);
        }
        let others = self.held.iter().filter(|held| held.stage == Stage::In);
        let met = others.filter_map(|held| common(&held.cells, cells));
        match met.min_by_key(|both| both.start) {
            Some(both) => Err(Refusal::Overlap(self.scale.bytes(&both))),
            None => Ok(()),
        }
    }

    /// Where the partition ends after that, if it can be: no two have a cell in common, as the
    /// block layer has it.
    fn resize(&mut self, tester: usize, count: usize) -> Option<u64> {
        let (mine, others): (Vec<_>, Vec<_>) = self
            .held
            .iter_mut()
            .filter(|held| held.stage == Stage::In)
            .partition(|held| held.tester == tester);
        let mine = mine.into_iter().next()?;
        let cells = mine.cells.start..(mine.cells.start + count).min(CELLS);
        if others
            .iter()
            .any(|held| common(&held.cells, &cells).is_some())
        {
            return None;
        }
        mine.cells = cells;
        Some(self.scale.at(mine.cells.end))
    }

    fn unregister(&mut self, tester: usize) -> bool {
        let before = self.held.len();
        self.held.retain(|held| held.tester != tester);
        self.held.len() < before
    }

    fn is_in(&self, tester: usize) -> bool {
        self.held
            .iter()
            .any(|held| held.tester == tester && held.stage == Stage::In)
    }

    /// No holder registers meanwhile, so that a tester stands for its registration.
    fn notify(&mut self, cells: &Option<Range<usize>>, flags: i32) -> Outcome {
        if self.phase == Phase::Dead {
            return Outcome::Dead;
        }
        let mut missing: BTreeSet<usize> = cells.iter().cloned().flatten().collect();
        let (mut nobody, mut refused, mut first) = (true, false, Ok(()));
        // Those that begin at the same cell, all but one of them without any, as they came.
        let mut held = self.held.clone();
        held.sort_by_key(|held| held.cells.start);
        for held in held {
            let hit = cells.as_ref().map(|cells| common(cells, &held.cells));
            if hit == Some(None) || !self.is_in(held.tester) {
                continue;
            }
            nobody = false;
            missing.retain(|cell| !held.cells.contains(cell));
            match self.call(held.tester, &hit.flatten(), flags) {
                None | Some(Err(EOPNOTSUPP)) => refused = true,
                Some(result) => first = first.and(result),
            }
        }
        if nobody || refused || !missing.is_empty() {
            Outcome::Unheld
        } else {
            Outcome::Told(first)
        }
    }

    /// [`None`] when the tester cannot be pinned.
    fn call(&mut self, tester: usize, cells: &Option<Range<usize>>, flags: i32) -> Option<Result> {
        let manner = self.manners[tester];
        let mut result = Ok(());
        match manner {
            Manner::Gone => return None,
            Manner::Answers(answer) => result = answer,
            Manner::Leaves => drop(self.unregister(tester)),
            Manner::TakesAlong(other) => drop(self.unregister(other)),
            Manner::RemovesAgain if flags == REMOVAL => self.counters.refused += 1,
            Manner::RemovesAgain | Manner::EndsWithPin | Manner::Scripted(_) => {}
        }
        self.log.push(Told {
            tester,
            failure: Failure {
                extent: self.scale.extent(cells),
                flags,
            },
            current: [Some(tester), self.is_in(tester).then_some(tester)],
        });
        for held in self.held.iter_mut().filter(|held| held.tester == tester) {
            held.told += 1;
        }
        self.counters.notified += 1;
        self.counters.failed += u64::from(result.is_err());
        if let Manner::EndsWithPin = manner {
            self.unregister(tester);
        }
        Some(result)
    }

    fn kill(&mut self) {
        if self.phase == Phase::Alive {
            self.phase = Phase::Dying(me());
            self.notify(&None, REMOVAL);
            self.closed += 1;
            self.phase = Phase::Dead;
            for held in &mut self.held {
                held.stage = Stage::Stale;
            }
        }
    }
}

/// Does the same to both, and compares what they answer.
fn take(step: Step, world: &Arc<World>, model: &mut Model) -> Result<(), TestCaseError> {
    let device = &world.device;
    match step {
        Step::Register(tester, cells) => {
            // One that outlived its device unregisters before it registers again.
            if !model
                .held
                .iter()
                .any(|held| held.tester == tester && held.stage == Stage::Stale)
            {
                if !model.is_in(tester) {
                    world.resize(tester, None);
                }
                prop_assert_eq!(
                    device.register(model.scale.bytes(&cells), &world.tester(tester)),
                    model.register(tester, &cells)
                );
            }
        }
        Step::Unregister(tester) => prop_assert_eq!(
            device.unregister(me(), &world.tester(tester)),
            model.unregister(tester)
        ),
        Step::Resize(tester, count) => {
            if let Some(end) = model.resize(tester, count) {
                world.resize(tester, Some(end));
            }
        }
        Step::Notify(cells) => {
            let failure = Failure {
                extent: model.scale.extent(&cells),
                flags: MEDIA,
            };
            prop_assert_eq!(device.notify(me(), &failure), model.notify(&cells, MEDIA));
        }
        Step::Behave(tester, manner) => {
            world.behaves(tester, manner);
            model.manners[tester] = manner;
        }
        Step::Kill => {
            let (before, mut closed) = (model.closed, 0);
            device.kill(me(), REMOVAL, || closed += 1);
            model.kill();
            prop_assert_eq!(closed, model.closed - before);
        }
        Step::Revive => {
            model.phase = Phase::Alive;
            prop_assert_eq!(device.revive(), true);
        }
    }
    Ok(())
}

/// Compares all that can be seen.
fn compare(world: &Arc<World>, model: &mut Model) -> Result<(), TestCaseError> {
    prop_assert_eq!(world.log(), std::mem::take(&mut model.log));
    let (phase, counters, seen) = world.device.look(|table| {
        let seen: Vec<_> = table
            .registrations()
            .map(|seen| {
                assert_eq!(seen.running, 0);
                (seen.range, seen.holder.number, seen.stage, seen.told)
            })
            .collect();
        (table.phase(), table.counters(), seen)
    });
    prop_assert_eq!(phase, model.phase);
    prop_assert_eq!(counters, model.counters);
    let expected: Vec<_> = model
        .held
        .iter()
        .map(|held| {
            let range = model.scale.held(&held.cells);
            (range, held.tester, held.stage, held.told)
        })
        .collect();
    prop_assert_eq!(&seen, &expected);
    for (at, (range, ..)) in seen
        .iter()
        .enumerate()
        .filter(|(_, seen)| seen.2 == Stage::In)
    {
        for (other, ..) in seen[at + 1..].iter().filter(|seen| seen.2 == Stage::In) {
            let common = range.and_then(|range| range.intersection(&(*other)?));
            prop_assert_eq!(common, None);
        }
    }
    let oldest = model.held.iter().find(|held| held.stage == Stage::In);
    prop_assert_eq!(world.current(), oldest.map(|held| held.tester));
    Ok(())
}

properties! {
    #[test]
    fn as_the_model_says(scale in scale(), steps in vec(step(), 1..STEPS)) {
        let world = World::new();
        let mut model = Model {
            scale,
            phase: Phase::Alive,
            held: Vec::new(),
            manners: vec![Manner::Answers(Ok(())); TESTERS],
            counters: Counters::default(),
            log: Vec::new(),
            closed: 0,
        };
        for step in steps {
            take(step, &world, &mut model)?;
            compare(&world, &mut model)?;
        }
    }

    /// A device that no callback removes: each holder is notified of a removal once.
    #[test]
    fn a_removal_is_told_once(
        holders in vec((0..TESTERS, cells()), 1..20),
        failing in vec(any::<bool>(), TESTERS),
    ) {
        let world = World::new();
        let scale = Scale { base: 0, width: 512 };
        let mut here = Vec::new();
        for (tester, cells) in holders {
            if world.device.register(scale.bytes(&cells), &world.tester(tester)).is_ok() {
                here.push((cells.start, tester));
            }
        }
        // In this order.
        here.sort();
        let here: Vec<usize> = here.into_iter().map(|(_, tester)| tester).collect();
        for (tester, fails) in failing.iter().copied().enumerate() {
            if fails {
                world.behaves(tester, Manner::Answers(Err(EIO)));
            }
        }
        prop_assert_eq!(world.device.look(|table| table.is_given_up()), false);
        world.device.kill(me(), REMOVAL, || ());
        let given_up = here.iter().all(|&tester| !failing[tester]);
        prop_assert_eq!(world.device.look(|table| table.is_given_up()), given_up);
        world.device.kill(me(), REMOVAL, || panic!("it is dead"));
        let log = world.log();
        prop_assert_eq!(log.iter().map(|told| told.tester).collect::<Vec<_>>(), here);
        let removal = Failure { extent: Extent::Whole, flags: REMOVAL };
        prop_assert_eq!(log.iter().all(|told| told.failure == removal), true);
    }
}

#[test]
fn c_has_all_of_a_device_as_all_numbers() {
    assert_eq!(Extent::Whole.to_raw(), (0, u64::MAX));
    let bytes = ByteRange::new(512, 4096).map(Extent::Bytes);
    assert_eq!(bytes.map(Extent::to_raw), Some((512, 4096)));
}
