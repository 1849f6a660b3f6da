// SPDX-License-Identifier: GPL-2.0

//! `rust/kernel/dax/units.rs` against the same arithmetic in 128 bits, which cannot overflow.

use crate::config::properties;
use kernel::{
    block::sector::{
        Sector,
        SectorRange,
        SECTOR_SHIFT,
        SECTOR_SIZE, //
    },
    dax::units::{
        ByteRange,
        Pgoff, //
    },
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
};
use proptest::prelude::*;

/// One more than the largest byte or sector number.
const LIMIT: u128 = 1 << 64;

/// Numbers near those where something overflows, is cut off or changes its rounding.
fn edge() -> impl Strategy<Value = u64> {
    // 2^51 and 2^54 pages, 2^54 and 2^55 sectors are where 63 and 64 bits of bytes end; 2^41 is
    // where sector numbers outgrow 32 bits.
    let pivot = prop_oneof![
        Just(0),
        proptest::sample::select(vec![9_u32, 12, 31, 32, 41, 44, 51, 52, 53, 54, 55, 56, 63])
            .prop_map(|bit| 1_u64 << bit),
        any::<u64>(),
    ];
    let step = prop_oneof![Just(1), Just(SECTOR_SIZE), Just(PAGE_SIZE as u64)];
    // Wraps on purpose: below 0 lies the upper end.
    (pivot, -3_i64..=3, step, -2_i64..=2).prop_map(|(pivot, steps, step, off)| {
        pivot
            .wrapping_add_signed(steps * step as i64)
            .wrapping_add_signed(off)
    })
}

/// Lengths: short ones, and those that reach from one edge to another.
fn length() -> impl Strategy<Value = u64> {
    prop_oneof![0_u64..=2, 0..=3 * PAGE_SIZE as u64, edge()]
}

/// A start and a length that make a range; what would wrap ends at the last number instead.
fn start_and_length() -> impl Strategy<Value = (u64, u64)> {
    (edge(), length()).prop_map(|(start, length)| {
        let start = start.min(u64::MAX - 1);
        (start, length.clamp(1, u64::MAX - start))
    })
}

fn bytes() -> impl Strategy<Value = ByteRange> {
    start_and_length().prop_map(|(start, length)| ByteRange::new(start, length).unwrap())
}

fn sectors() -> impl Strategy<Value = SectorRange> {
    start_and_length().prop_map(|(start, count)| SectorRange::new(Sector(start), count).unwrap())
}

fn wide(n: u64) -> u128 {
    n.into()
}

fn bounds(r: &ByteRange) -> (u64, u64) {
    (r.start(), r.end())
}

fn sector_bounds(r: &SectorRange) -> (u64, u64) {
    (r.start().0, r.end().0)
}

/// What two ranges, given by their bounds, have in common.
fn common(a: (u64, u64), b: (u64, u64)) -> Option<(u64, u64)> {
    let (start, end) = (a.0.max(b.0), a.1.min(b.1));
    (start < end).then_some((start, end))
}

/// Whether `first..after` are exactly the units of `size` that `start..end` touches.
fn is_outward(first: u64, after: u64, size: u64, start: u64, end: u64) -> bool {
    let (first, after, size) = (wide(first), wide(after), wide(size));
    let (start, end) = (wide(start), wide(end));
    first * size <= start
        && start < (first + 1) * size
        && (after - 1) * size < end
        && end <= after * size
}

properties! {
    #[test]
    fn byte_range_new_is_exact(start in edge(), len in length()) {
        let end = wide(start) + wide(len);
        let range = ByteRange::new(start, len);
        prop_assert_eq!(range.is_some(), len > 0 && end < LIMIT);
        if let Some(range) = range {
            prop_assert_eq!(range.start(), start);
            prop_assert_eq!(wide(range.end()), end);
            prop_assert_eq!(range.len(), len);
            prop_assert_eq!(ByteRange::from_bounds(range.start(), range.end()), Some(range));
        }
    }

    #[test]
    fn sector_range_new_is_exact(start in edge(), count in length()) {
        let end = wide(start) + wide(count);
        let range = SectorRange::new(Sector(start), count);
        prop_assert_eq!(range.is_some(), count > 0 && end < LIMIT);
        if let Some(range) = range {
            prop_assert_eq!(range.start(), Sector(start));
            prop_assert_eq!(wide(range.end().0), end);
            prop_assert_eq!(range.count(), count);
            prop_assert_eq!(SectorRange::from_bounds(range.start(), range.end()), Some(range));
        }
    }

    #[test]
    fn from_bounds_refuses_only_empty_ranges(a in edge(), b in edge()) {
        let range = ByteRange::from_bounds(a, b);
        prop_assert_eq!(range.map(|r| bounds(&r)), (a < b).then_some((a, b)));
        let range = SectorRange::from_bounds(Sector(a), Sector(b));
        prop_assert_eq!(range.map(|r| sector_bounds(&r)), (a < b).then_some((a, b)));
    }

    #[test]
    fn sector_to_bytes_is_exact(sector in edge()) {
        let byte = wide(sector) << SECTOR_SHIFT;
        prop_assert_eq!(Sector(sector).to_bytes().map(wide), (byte < LIMIT).then_some(byte));
    }

    #[test]
    fn pgoff_to_bytes_is_exact(page in edge()) {
        let page = page as usize;
        let byte = (page as u128) << PAGE_SHIFT;
        prop_assert_eq!(Pgoff(page).to_bytes().map(wide), (byte < LIMIT).then_some(byte));
    }

    #[test]
    fn sectors_touched_rounds_outwards(range in bytes()) {
        let sectors = range.sectors_touched();
        prop_assert!(sectors.start() < sectors.end());
        let (first, after) = sector_bounds(&sectors);
        prop_assert!(is_outward(first, after, SECTOR_SIZE, range.start(), range.end()));
    }

    #[test]
    fn pages_touched_rounds_outwards(range in bytes()) {
        let (first, after) = range.pages_touched();
        prop_assert!(first < after);
        prop_assert!(is_outward(first, after, PAGE_SIZE as u64, range.start(), range.end()));
        let exact = wide(first) << PAGE_SHIFT == wide(range.start())
            && wide(after) << PAGE_SHIFT == wide(range.end());
        prop_assert_eq!(range.is_page_aligned(), exact);
    }

    #[test]
    fn bytes_to_sectors_and_back_holds_the_range(range in bytes()) {
        let sectors = range.sectors_touched();
        match sectors.to_bytes() {
            Some(back) => {
                prop_assert_eq!(back.intersection(&range), Some(range));
                prop_assert!(back.len() - range.len() < 2 * SECTOR_SIZE);
            }
            // Only the last sector of all ends where no 64-bit number can say it.
            None => prop_assert_eq!(wide(sectors.end().0) << SECTOR_SHIFT, LIMIT),
        }
    }

    #[test]
    fn sectors_to_bytes_and_back_is_exact(range in sectors()) {
        let end = wide(range.end().0) << SECTOR_SHIFT;
        let bytes = range.to_bytes();
        prop_assert_eq!(bytes.is_some(), end < LIMIT);
        if let Some(bytes) = bytes {
            prop_assert_eq!(wide(bytes.start()), wide(range.start().0) << SECTOR_SHIFT);
            prop_assert_eq!(wide(bytes.end()), end);
            prop_assert_eq!(bytes.sectors_touched(), range);
        }
    }

    #[test]
    fn byte_intersection_is_what_both_hold(a in bytes(), b in bytes()) {
        let both = a.intersection(&b);
        prop_assert_eq!(both.map(|r| bounds(&r)), common(bounds(&a), bounds(&b)));
        prop_assert_eq!(both, b.intersection(&a));
    }

    #[test]
    fn sector_set_operations_agree(a in sectors(), b in sectors()) {
        let both = a.intersection(&b);
        prop_assert_eq!(
            both.map(|r| sector_bounds(&r)),
            common(sector_bounds(&a), sector_bounds(&b))
        );
        prop_assert_eq!(both, b.intersection(&a));
        prop_assert_eq!(a.overlaps(&b), both.is_some());
        prop_assert_eq!(b.overlaps(&a), both.is_some());

        let hull = a.hull(&b);
        prop_assert_eq!(hull, b.hull(&a));
        prop_assert_eq!(hull.intersection(&a), Some(a));
        prop_assert_eq!(hull.intersection(&b), Some(b));
        // No smaller one: each bound is the bound of one of them.
        prop_assert!([a.start(), b.start()].contains(&hull.start()));
        prop_assert!([a.end(), b.end()].contains(&hull.end()));
    }

    #[test]
    fn relative_to_shifts_or_refuses(range in bytes(), origin in edge()) {
        match range.relative_to(origin) {
            Some(shifted) => {
                prop_assert_eq!(shifted.len(), range.len());
                prop_assert_eq!(shifted.start().checked_add(origin), Some(range.start()));
            }
            None => prop_assert!(range.start() < origin),
        }
    }
}
