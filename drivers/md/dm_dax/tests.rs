// SPDX-License-Identifier: GPL-2.0

//! KUnit suite of `ranges.rs`; it runs when device mapper is loaded, or at boot.
//!
//! `tools/testing/host` goes through more values.

#![cfg(CONFIG_DAX_RUST_KUNIT_TEST)]

use super::ranges::{
    Covered,
    Found,
    Next,
    Part,
    Search,
    ROOM, //
};
use kernel::{
    dax::units::ByteRange,
    prelude::*, //
};

fn bytes(start: u64, len: u64) -> Result<ByteRange> {
    ByteRange::new(start, len).ok_or(EINVAL)
}

/// Bytes 1000 to 1999 of a device, for a target that begins at byte 5000.
fn linear() -> Result<Part> {
    Part::new(5000, bytes(1000, 1000)?, 1000, 1, 0).ok_or(EINVAL)
}

/// Leg `leg` of two, with chunks of 100 bytes from byte 1000 of its device on.
fn leg(leg: u64) -> Result<Part> {
    Part::new(5000, bytes(1000, 1000)?, 100, 2, leg).ok_or(EINVAL)
}

fn pieces(part: &Part, start: u64, len: u64) -> Result<KVec<ByteRange>> {
    let mut all = KVec::new();
    for piece in part.pieces(&bytes(start, len)?) {
        all.push(piece.bytes, GFP_KERNEL)?;
    }
    Ok(all)
}

#[kunit_tests(dm_dax_ranges)]
mod cases {
    use super::*;

    #[test]
    fn linear_subtracts_and_cuts() -> Result {
        let part = linear()?;
        assert_eq!(&*pieces(&part, 1001, 2)?, &[bytes(5001, 2)?]);
        assert_eq!(&*pieces(&part, 0, 1001)?, &[bytes(5000, 1)?]);
        assert_eq!(&*pieces(&part, 1999, 5000)?, &[bytes(5999, 1)?]);
        assert!(pieces(&part, 0, 1000)?.is_empty());
        assert!(pieces(&part, 2000, 1000)?.is_empty());
        Ok(())
    }

    #[test]
    fn stripes_go_chunk_by_chunk() -> Result {
        let (first, second) = (leg(0)?, leg(1)?);
        assert_eq!(&*pieces(&first, 1000, 100)?, &[bytes(5000, 100)?]);
        assert_eq!(&*pieces(&second, 1000, 100)?, &[bytes(5100, 100)?]);
        assert_eq!(
            &*pieces(&second, 1099, 102)?,
            &[bytes(5199, 1)?, bytes(5300, 100)?, bytes(5500, 1)?]
        );
        Ok(())
    }

    #[test]
    fn neighbours_are_one_range() -> Result {
        let mut found = Found::new(bytes(0, 10_000)?);
        found.add(&Part::new(0, bytes(0, 500)?, 500, 1, 0).ok_or(EINVAL)?);
        found.add(&Part::new(500, bytes(500, 500)?, 500, 1, 0).ok_or(EINVAL)?);
        let mut ranges = found.ranges();
        assert_eq!(ranges.next(), Some(bytes(0, 1000)?));
        assert_eq!(ranges.next(), None);
        assert!(found.is_all_of(1000));
        assert!(!found.is_all_of(1500));
        Ok(())
    }

    #[test]
    fn neighbours_that_are_apart_below_are_two_ranges() -> Result {
        let mut found = Found::new(bytes(0, 10_000)?);
        found.add(&Part::new(0, bytes(0, 500)?, 500, 1, 0).ok_or(EINVAL)?);
        found.add(&Part::new(500, bytes(7000, 500)?, 500, 1, 0).ok_or(EINVAL)?);
        let mut ranges = found.ranges();
        assert_eq!(ranges.next(), Some(bytes(0, 500)?));
        assert_eq!(ranges.next(), Some(bytes(500, 500)?));
        assert_eq!(ranges.next(), None);
        assert!(found.covered().has(&bytes(0, 500)?));
        assert!(found.covered().has(&bytes(7000, 500)?));
        assert!(!found.covered().has(&bytes(499, 2)?));
        assert!(!found.is_all_of(1000));
        Ok(())
    }

    #[test]
    fn a_byte_in_two_places_hides_none() -> Result {
        let mut all = Covered::new();
        for begin in [0, 5000] {
            let mut found = Found::new(bytes(0, 200)?);
            found.add(&Part::new(begin, bytes(0, 100)?, 100, 1, 0).ok_or(EINVAL)?);
            all.add_all(found.covered());
        }
        assert!(all.has(&bytes(0, 100)?));
        assert!(!all.has(&bytes(0, 200)?));
        all.add(bytes(100, 100)?);
        assert!(all.has(&bytes(0, 200)?));
        Ok(())
    }

    #[test]
    fn too_many_ranges_are_looked_for_by_halves() -> Result {
        let chunks = 3 * ROOM as u64;
        let part = Part::new(0, bytes(0, 100 * chunks)?, 100, 2, 0).ok_or(EINVAL)?;
        let mut search = Search::new(bytes(50, u64::MAX - 50)?);
        let (mut next, mut looks) = (50, 0);
        while let Some(asked) = search.part() {
            let mut found = Found::new(asked);
            found.add(&part);
            looks += 1;
            if search.take(&found) == Next::Notify {
                for range in found.ranges() {
                    assert_eq!(range.start(), next);
                    // A chunk may come in two pieces.
                    next = range.end();
                    if next % 100 == 0 {
                        next += 100;
                    }
                }
            }
        }
        assert_eq!(next, 200 * chunks);
        assert!(looks < 16);
        Ok(())
    }

    #[test]
    fn a_byte_with_too_many_places_is_given_up() -> Result {
        let mut search = Search::new(bytes(7, 1)?);
        let mut found = Found::new(search.part().ok_or(EINVAL)?);
        for place in 0..=ROOM as u64 {
            found.add(&Part::new(place * 10, bytes(7, 1)?, 1, 1, 0).ok_or(EINVAL)?);
        }
        assert_eq!(search.take(&found), Next::Never);
        Ok(())
    }

    #[test]
    fn what_cannot_be_counted_is_said() -> Result {
        let part = Part::new(u64::MAX - 10, bytes(0, 100)?, 100, 1, 0).ok_or(EINVAL)?;
        assert!(pieces(&part, 50, 10)?.is_empty());
        let mut found = Found::new(bytes(0, 11)?);
        found.add(&part);
        assert!(!found.is_complete());
        let mut found = Found::new(bytes(0, 10)?);
        found.add(&part);
        assert!(found.is_complete());
        found.add_unknown();
        assert!(!found.is_complete());
        assert!(Part::new(0, bytes(0, 100)?, 0, 1, 0).is_none());
        assert!(Part::new(0, bytes(0, 100)?, 10, 2, 2).is_none());
        Ok(())
    }
}
