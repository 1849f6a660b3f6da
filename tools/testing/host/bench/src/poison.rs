// SPDX-License-Identifier: GPL-2.0

//! `drivers/nvdimm/pmem_rust/poison_map.rs`, used as `poison.rs` uses it.
//!
//! `poison.rs` holds a spinlock over each call, so what a call costs at most is also how long the
//! lock is held at least.

use crate::{
    agent,
    poison_map::{
        Full,
        PoisonMap,
        Room, //
    },
    repeat,
    Cost,
    Random, //
};
use kernel::{
    block::sector::{
        Sector,
        SectorRange, //
    },
    prelude::GFP_KERNEL, //
};
use std::cell::Cell;

/// How many ranges a stay under the lock is to take out, as in `poison.rs`.
const MOST_RANGES: usize = 128;

/// From one range to the next, in sectors.
const STEP: u64 = 32;

/// How long each range is.
const LEN: u64 = 8;

fn sectors(start: u64, count: u64) -> SectorRange {
    SectorRange::new(Sector(start), count).expect("small numbers")
}

/// The range with this number.
fn range(number: u64) -> SectorRange {
    sectors(number * STEP, LEN)
}

/// The hole behind the range with this number: filled, it makes one range of three.
fn hole(number: u64) -> SectorRange {
    sectors(number * STEP + LEN, STEP - LEN)
}

/// Sectors in that hole that touch nothing.
fn inside_hole(number: u64) -> SectorRange {
    sectors(number * STEP + 2 * LEN, 1)
}

/// A record, and what its owner does.
struct Record {
    map: PoisonMap,
    /// Room is handed over under the lock too.
    grow: Cost,
}

impl Record {
    fn new() -> Self {
        Self {
            map: PoisonMap::new(),
            grow: Cost::NONE,
        }
    }

    /// Runs `f` for `all` in parts, each of which is a stay under the lock.
    fn in_parts(
        &mut self,
        held: &mut Cost,
        all: SectorRange,
        f: impl Fn(&mut PoisonMap, SectorRange) -> Result<bool, Full>,
    ) {
        let end = Cell::new(all.start());
        while let Some(asked) = SectorRange::from_bounds(end.get(), all.end()) {
            self.with_room(held, |map| {
                let part = map.part(asked, MOST_RANGES);
                end.set(part.end());
                f(map, part)
            });
        }
    }

    /// Runs `f`, and again with more room when there is not enough.
    fn with_room(&mut self, cost: &mut Cost, f: impl Fn(&mut PoisonMap) -> Result<bool, Full>) {
        loop {
            let map = &mut self.map;
            match cost.of(|| f(map)) {
                Ok(changed) => return assert!(changed),
                Err(Full) => {
                    let wanted = map.wanted().expect("it is full");
                    let room = Room::new(wanted, GFP_KERNEL).expect("there is memory");
                    let unused = self.grow.of(|| map.add_room(room));
                    assert!(unused.is_ok(), "it has grown meanwhile");
                }
            }
        }
    }

    fn add(&mut self, cost: &mut Cost, range: SectorRange) {
        self.with_room(cost, |map| map.add(range));
    }

    fn remove(&mut self, cost: &mut Cost, range: SectorRange) {
        self.with_room(cost, |map| map.remove(range));
    }

    fn len(&self) -> u64 {
        self.map.len() as u64
    }
}

/// Measures a record of `size` ranges.
pub(crate) fn measure(size: u64) {
    let mut record = Record::new();
    let mut costs = [const { Cost::NONE }; 9];
    let [append, insert, take, merge, split, find, miss, cover, iterate] = &mut costs;
    for number in 0..size {
        record.add(append, range(number));
    }
    assert_eq!(record.len(), size);

    let mut random = Random::new();
    repeat(size, || {
        let number = random.below(size - 1);
        record.add(insert, inside_hole(number));
        record.remove(take, inside_hole(number));
        record.add(merge, hole(number));
        record.remove(split, hole(number));
        let map = &record.map;
        assert!(find
            .of(|| map.first_within(hole(number).hull(&range(number))))
            .is_some());
        assert!(miss.of(|| map.first_within(hole(number))).is_none());
        assert!(cover.of(|| map.covers(range(number))));
    });
    assert_eq!(record.len(), size);
    let map = &record.map;
    let count = iterate.of(|| map.iter().map(|range| range.count()).sum::<u64>());
    assert_eq!(count, size * LEN);

    append.print("record: add behind the last", size, 1);
    insert.print("record: add between two", size, 1);
    take.print("record: repair a whole range", size, 1);
    merge.print("record: add what joins two", size, 1);
    split.print("record: repair the middle of one", size, 1);
    find.print("record: find", size, 1);
    miss.print("record: find none", size, 1);
    cover.print("record: covers", size, 1);
    iterate.print("record: iterate, per range", size, size);
    record.grow.print("record: move to a larger store", size, 1);
    all_at_once(size);
}

/// An agent reports 1 TiB, in which `size` ranges are on record; and all of that is repaired.
fn all_at_once(size: u64) {
    const TEBIBYTE: u64 = 1 << 40;
    // So that the ranges fit.
    let step = (TEBIBYTE >> 9) / size;
    let mut record = Record::new();
    let mut costs = [const { Cost::NONE }; 6];
    let [fill, parse, report, report_held, repair, repair_held] = &mut costs;
    for number in 0..size {
        record.add(fill, sectors(number * step, 1));
    }
    let text = format!("0 {TEBIBYTE}");
    let reported = parse.of(|| agent::parse(text.as_bytes(), TEBIBYTE));
    let all = reported.expect("it is on the device").sectors_touched();
    report.of(|| record.in_parts(report_held, all, PoisonMap::add));
    assert_eq!(record.len(), 1);
    record.remove(fill, all);
    assert_eq!(record.len(), 0);
    for number in 0..size {
        record.add(fill, sectors(number * step, 1));
    }
    repair.of(|| record.in_parts(repair_held, all, PoisonMap::remove));
    assert_eq!(record.len(), 0);
    parse.print("record: read a report of 1 TiB", size, 1);
    report.print("record: add 1 TiB, per range that goes", size, size);
    report_held.print("record: add 1 TiB, one stay under the lock", size, 1);
    repair.print("record: repair 1 TiB, per range that goes", size, size);
    repair_held.print("record: repair 1 TiB, one stay under the lock", size, 1);
}
