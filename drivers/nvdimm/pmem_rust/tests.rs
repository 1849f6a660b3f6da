// SPDX-License-Identifier: GPL-2.0

//! KUnit suites of the driver; they run when the module is loaded and `kunit.enable` is set.

#![cfg(CONFIG_PMEM_RUST_KUNIT_TEST)]

use kernel::prelude::*;

#[kunit_tests(nd_pmem_geometry)]
mod geometry {
    use crate::device::Geometry;

    #[test]
    fn plain() {
        let all = Geometry::new(0x1000, 0x2fff, 0, 0);
        assert!(all.is_some_and(|g| g.sectors() == 16 && g.pages() == 2));
    }

    #[test]
    fn superblock_that_claims_too_much() {
        assert!(Geometry::new(0x1000, 0x2fff, 0x2000, 0).is_none());
        assert!(Geometry::new(0x1000, 0x2fff, 0x1000, 0x1001).is_none());
        assert!(Geometry::new(0x1000, 0x2fff, u64::MAX, 0).is_none());
        assert!(Geometry::new(0x1000, 0x2fff, 0, u64::MAX).is_none());
    }

    #[test]
    fn addresses_that_wrap() {
        assert!(Geometry::new(0x1000, 0xfff - 1, 0, 0).is_none());
        assert!(Geometry::new(0, u64::MAX, 0, 0).is_none());
        assert!(Geometry::new(u64::MAX - 0xfff, u64::MAX, 0, 0).is_none());
    }
}

#[kunit_tests(nd_pmem_poison_map)]
mod poison_map {
    use crate::poison_map::{
        Full,
        PoisonMap, //
    };
    use kernel::{
        dax::units::{
            Sector,
            SectorRange, //
        },
        prelude::*, //
    };

    fn range(start: u64, end: u64) -> Result<SectorRange> {
        SectorRange::from_bounds(Sector(start), Sector(end)).ok_or(EINVAL)
    }

    fn map(room: usize, ranges: &[(u64, u64)]) -> Result<PoisonMap> {
        let mut map = PoisonMap::new();
        let store = KVVec::with_capacity(room, GFP_KERNEL)?;
        map.replace_store(store).map_err(|_| ENOMEM)?;
        for (start, end) in ranges {
            map.add(range(*start, *end)?).map_err(|Full| ENOSPC)?;
        }
        Ok(map)
    }

    #[test]
    fn neighbours_become_one() -> Result {
        let map = map(4, &[(0, 8), (16, 24), (8, 16)])?;
        assert_eq!(map.len(), 1);
        assert!(map.covers(range(0, 24)?));
        Ok(())
    }

    #[test]
    fn a_hole_splits_a_range() -> Result {
        let mut map = map(4, &[(0, 24)])?;
        assert_eq!(map.remove(range(8, 16)?), Ok(true));
        assert_eq!(map.len(), 2);
        assert_eq!(map.first_within(range(0, 24)?), Some(range(0, 8)?));
        assert_eq!(map.first_within(range(8, 24)?), Some(range(16, 24)?));
        assert_eq!(map.first_within(range(8, 16)?), None);
        Ok(())
    }

    #[test]
    fn what_is_found_is_clipped_to_what_was_asked() -> Result {
        let map = map(4, &[(0, 100)])?;
        assert_eq!(map.first_within(range(50, 60)?), Some(range(50, 60)?));
        Ok(())
    }

    #[test]
    fn without_room_nothing_changes() -> Result {
        // The allocator may give more room than was asked for, so fill what there is.
        let mut map = map(1, &[])?;
        let room = map.capacity() as u64;
        for at in 0..room {
            map.add(range(at * 16, at * 16 + 8)?)
                .map_err(|Full| ENOSPC)?;
        }
        assert_eq!(map.add(range(room * 16, room * 16 + 8)?), Err(Full));
        assert_eq!(map.remove(range(2, 4)?), Err(Full));
        assert!(map.covers(range(0, 8)?));
        assert_eq!(map.add_widening(range(room * 16, room * 16 + 8)?), Ok(()));
        assert!(map.covers(range(room * 16, room * 16 + 8)?));
        Ok(())
    }

    #[test]
    fn the_last_sectors_there_can_be() -> Result {
        let mut map = map(4, &[(u64::MAX - 8, u64::MAX)])?;
        assert!(map.covers(range(u64::MAX - 8, u64::MAX)?));
        assert_eq!(map.remove(range(0, u64::MAX)?), Ok(true));
        assert_eq!(map.len(), 0);
        Ok(())
    }
}

#[kunit_tests(nd_pmem_badblocks)]
mod badblocks {
    use kernel::{
        badblocks::Badblocks,
        dax::units::{
            Sector,
            SectorRange, //
        },
        prelude::*, //
    };

    fn range(start: u64, count: u64) -> Result<SectorRange> {
        SectorRange::new(Sector(start), count).ok_or(EINVAL)
    }

    #[test]
    fn set_find_clear() -> Result {
        let list = KBox::pin_init(Badblocks::new(), GFP_KERNEL)?;
        assert!(list.add(range(16, 8)?));
        // More sectors than `badblocks_check()` can count.
        assert_eq!(list.first_within(range(0, 1 << 40)?), Some(range(16, 8)?));
        assert_eq!(list.first_within(range(20, 1)?), Some(range(20, 1)?));
        assert!(list.remove(range(16, 4)?));
        assert_eq!(list.first_within(range(0, 100)?), Some(range(20, 4)?));
        Ok(())
    }

    #[test]
    fn more_sectors_than_c_counts() -> Result {
        let list = KBox::pin_init(Badblocks::new(), GFP_KERNEL)?;
        // On an empty list C counts them all at once.
        list.remove(range(0, 1 << 33)?);
        assert!(list.add(range(16, 8)?));
        // SAFETY: The list is initialised, and stays until the end.
        let list = unsafe { Badblocks::from_raw(list.as_raw()) };
        assert!(list.remove(range(0, 1 << 33)?));
        assert_eq!(list.first_within(range(0, 1 << 33)?), None);
        // More bad sectors than fit, however they are counted.
        assert!(!list.add(range(0, 1 << 31)?));
        assert_eq!(list.first_within(range(0, 8)?), Some(range(0, 8)?));
        Ok(())
    }

    #[test]
    fn full() -> Result {
        let list = KBox::pin_init(Badblocks::new(), GFP_KERNEL)?;
        for at in 0..Badblocks::CAPACITY as u64 {
            assert!(list.add(range(at * 16, 8)?));
        }
        assert!(!list.add(range(Badblocks::CAPACITY as u64 * 16, 8)?));
        Ok(())
    }

    #[test]
    fn generations_are_counted() -> Result {
        let list = KBox::pin_init(Badblocks::new(), GFP_KERNEL)?;
        for change in [range(16, 8)?, range(0, (1 << 30) + 1)?] {
            let before = list.generation();
            list.add(change);
            let grown = list.generation().wrapping_sub(before);
            assert_eq!(grown, Badblocks::generations(change));
        }
        Ok(())
    }
}
