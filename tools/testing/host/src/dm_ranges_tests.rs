// SPDX-License-Identifier: GPL-2.0

//! `drivers/md/dm_dax/ranges.rs` against the mapping in the other direction, byte by byte.

use crate::{
    config::properties,
    dm_ranges::{
        Covered,
        Found,
        Next,
        Part,
        Search,
        STRETCHES, //
    },
};
use kernel::dax::units::ByteRange;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// A target of stripes, or, with a single stripe, a linear one.
#[derive(Clone, Debug)]
struct Target {
    begin: u64,
    chunk: u64,
    chunks: u64,
    /// The device that each leg is on, and where it begins there.
    legs: Vec<(u8, u64)>,
}

impl Target {
    fn leg_len(&self) -> u64 {
        self.chunk * self.chunks
    }

    fn len(&self) -> u64 {
        self.leg_len() * self.legs.len() as u64
    }

    /// Where byte `at` of the target is, as device mapper maps it.
    fn map(&self, at: u64) -> (u8, u64) {
        let (chunk, offset) = (at / self.chunk, at % self.chunk);
        let count = self.legs.len() as u64;
        let (device, start) = self.legs[(chunk % count) as usize];
        (device, start + chunk / count * self.chunk + offset)
    }

    /// Those of device 0.
    fn parts(&self) -> impl Iterator<Item = Part> + '_ {
        let legs = self.legs.iter().enumerate();
        legs.filter(|(_, (device, _))| *device == 0)
            .map(|(leg, (_, start))| {
                let bytes = ByteRange::new(*start, self.leg_len()).unwrap();
                Part::new(
                    self.begin,
                    bytes,
                    self.chunk,
                    self.legs.len() as u64,
                    leg as u64,
                )
                .unwrap()
            })
    }
}

/// One target after the other. Some bytes of a device may be in several places.
fn table() -> impl Strategy<Value = Vec<Target>> {
    let legs = proptest::collection::vec((0_u8..2, 0_u64..600), 1..4);
    let target = (1_u64..20, 1_u64..30, legs);
    proptest::collection::vec(target, 1..5).prop_map(|targets| {
        let mut begin = 0;
        targets
            .into_iter()
            .map(|(chunk, chunks, legs)| {
                let target = Target {
                    begin,
                    chunk,
                    chunks,
                    legs,
                };
                begin += target.len();
                target
            })
            .collect()
    })
}

/// Where byte `at` of the mapped device is.
fn below(table: &[Target], at: u64) -> (u8, u64) {
    let mut targets = table.iter();
    let target = targets
        .find(|target| at < target.begin + target.len())
        .unwrap();
    target.map(at - target.begin)
}

properties! {
    #[test]
    fn each_failed_byte_is_found(table in table(), start in 0_u64..1200, len in 1_u64..1500, all in any::<bool>()) {
        let len = if all { u64::MAX - start } else { len };
        let failed = ByteRange::new(start, len).unwrap();
        let mut wanted = BTreeSet::new();
        for target in &table {
            for at in 0..target.len() {
                let (device, below) = target.map(at);
                if device == 0 && failed.start() <= below && below < failed.end() {
                    wanted.insert(target.begin + at);
                }
            }
        }

        let (mut told, mut looks) = (BTreeSet::new(), 0);
        let mut search = Search::new(failed);
        while let Some(part) = search.part() {
            let mut found = Found::new(part);
            table.iter().flat_map(Target::parts).for_each(|part| found.add(&part));
            looks += 1;
            prop_assert!(looks < 10_000);
            if search.take(&found) == Next::Notify {
                for range in found.ranges() {
                    for at in range.start()..range.end() {
                        prop_assert!(told.insert(at), "byte {} is told twice", at);
                    }
                    // A holder takes the frames of a range to follow each other.
                    let first = below(&table, range.start());
                    for at in range.start()..range.end() {
                        let (device, place) = below(&table, at);
                        prop_assert_eq!((device, place), (0, first.1 + (at - range.start())));
                    }
                }
            }
        }
        prop_assert_eq!(told, wanted);
    }

    #[test]
    fn a_byte_that_no_table_has_is_not_hidden(tables in proptest::collection::vec(table(), 1..3), start in 0_u64..600, len in 1_u64..200) {
        let failed = ByteRange::new(start, len).unwrap();
        let (mut covered, mut have, mut parts) = (Covered::new(), BTreeSet::new(), 0);
        for table in &tables {
            let mut found = Found::new(failed);
            for part in table.iter().flat_map(Target::parts) {
                found.add(&part);
                parts += 1;
            }
            covered.add_all(found.covered());
            for target in table {
                have.extend((0..target.len()).map(|at| target.map(at)));
            }
        }
        let all = (failed.start()..failed.end()).all(|at| have.contains(&(0, at)));
        if parts <= STRETCHES {
            prop_assert_eq!(covered.has(&failed), all);
        }
        prop_assert!(all || !covered.has(&failed));
    }

    #[test]
    fn all_of_a_table_is_known_as_such(table in table(), start in 0_u64..100, len in 1_u64..1500) {
        let size: u64 = table.iter().map(Target::len).sum();
        let failed = ByteRange::new(start, len).unwrap();
        let mut found = Found::new(failed);
        table.iter().flat_map(Target::parts).for_each(|part| found.add(&part));
        let first = below(&table, 0).1;
        let all = (0..size).all(|at| {
            let (device, place) = below(&table, at);
            device == 0 && place == first + at && failed.start() <= place && place < failed.end()
        });
        prop_assert_eq!(found.is_all_of(size), all);
    }
}
