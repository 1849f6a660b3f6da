// SPDX-License-Identifier: GPL-2.0

//! KUnit suites of the driver; they run when the module is loaded and `kunit.enable` is set.

#![cfg(CONFIG_PMEM_RUST_KUNIT_TEST)]

use kernel::prelude::*;

#[kunit_tests(nd_pmem_geometry)]
mod geometry {
    use crate::geometry::Geometry;

    use kernel::dax::units::ByteRange;

    /// A namespace that is mapped as a whole.
    fn whole(first: u64, last: u64, data_offset: u64) -> Option<Geometry> {
        Geometry::new((first, last), (first, last), data_offset)
    }

    /// How many pages there are, how much is mapped, where byte 0x200 is in the mapping and in
    /// memory, twice, and the addresses of all.
    fn shape(g: Geometry) -> (usize, u64, [(u64, u64); 2], Option<ByteRange>) {
        let byte = [g.locate(0x200), (g.in_window(0x200), g.phys(0x200))];
        (g.pages(), g.mapped_len(), byte, g.data_phys())
    }

    #[test]
    fn plain() {
        let all = whole(0x1000, 0x2fff, 0);
        assert!(all.is_some_and(|g| g.sectors() == 16 && g.pages() == 2));
    }

    #[test]
    fn data_after_an_information_block() {
        let all = whole(0x1000, 0x8fff, 0x3000).map(shape);
        let data = ByteRange::new(0x4000, 0x5000);
        assert_eq!(all, Some((5, 0x8000, [(0x3200, 0x4200); 2], data)));
    }

    #[test]
    fn a_start_and_an_end_that_are_cut_off() {
        // The data begins later, but its place in the mapping does not change.
        let all = Geometry::new((0x1000, 0x8fff), (0x3000, 0x7fff), 0x3000).map(shape);
        let data = ByteRange::new(0x6000, 0x2000);
        assert_eq!(all, Some((2, 0x5000, [(0x3200, 0x6200); 2], data)));
    }

    #[test]
    fn superblock_that_claims_too_much() {
        let namespace = (0x1000, 0x2fff);
        assert!(whole(0x1000, 0x2fff, 0x2000).is_none());
        assert!(whole(0x1000, 0x2fff, u64::MAX).is_none());
        assert!(Geometry::new(namespace, (0x1000, 0x1fff), 0x1000).is_none());
        assert!(Geometry::new(namespace, (0x1000, 0x3fff), 0).is_none());
        assert!(Geometry::new(namespace, (0, 0x2fff), 0).is_none());
        assert!(Geometry::new(namespace, (0x3000, 0x2fff), 0).is_none());
        assert!(Geometry::new(namespace, (0x1000, u64::MAX), 0).is_none());
    }

    #[test]
    fn addresses_that_wrap() {
        assert!(whole(0x1000, 0xfff - 1, 0).is_none());
        assert!(whole(0, u64::MAX, 0).is_none());
        assert!(whole(u64::MAX - 0xfff, u64::MAX, 0).is_none());
    }
}

#[kunit_tests(nd_pmem_poison_map)]
mod poison_map {
    use crate::poison_map::{
        Full,
        PoisonMap,
        Room,
        MAX_GAP, //
    };
    use kernel::{
        block::sector::{
            Sector,
            SectorRange, //
        },
        prelude::*, //
    };

    fn range(start: u64, end: u64) -> Result<SectorRange> {
        SectorRange::from_bounds(Sector(start), Sector(end)).ok_or(EINVAL)
    }

    fn add_room(map: &mut PoisonMap) -> Result {
        let room = Room::new(map.wanted().ok_or(ENOMEM)?, GFP_KERNEL)?;
        map.add_room(room).map_err(|_| ENOMEM)
    }

    fn map(ranges: &[(u64, u64)]) -> Result<PoisonMap> {
        let mut map = PoisonMap::new();
        add_room(&mut map)?;
        for (start, end) in ranges {
            map.add(range(*start, *end)?).map_err(|Full| ENOSPC)?;
        }
        Ok(map)
    }

    #[test]
    fn neighbours_become_one() -> Result {
        let map = map(&[(0, 8), (16, 24), (8, 16)])?;
        assert_eq!(map.len(), 1);
        assert!(map.covers(range(0, 24)?));
        Ok(())
    }

    #[test]
    fn a_hole_splits_a_range() -> Result {
        let mut map = map(&[(0, 24)])?;
        assert_eq!(map.remove(range(8, 16)?), Ok(true));
        assert_eq!(map.len(), 2);
        assert_eq!(map.first_within(range(0, 24)?), Some(range(0, 8)?));
        assert_eq!(map.first_within(range(8, 24)?), Some(range(16, 24)?));
        assert_eq!(map.first_within(range(8, 16)?), None);
        Ok(())
    }

    #[test]
    fn what_is_found_is_clipped_to_what_was_asked() -> Result {
        let map = map(&[(0, 100)])?;
        assert_eq!(map.first_within(range(50, 60)?), Some(range(50, 60)?));
        Ok(())
    }

    #[test]
    fn without_room_nothing_changes() -> Result {
        let mut map = map(&[])?;
        let mut count = 0;
        while !map.wants_room() {
            let at = count * 2 * MAX_GAP;
            map.add(range(at, at + 8)?).map_err(|Full| ENOSPC)?;
            count += 1;
        }
        let next = range(count * 2 * MAX_GAP, count * 2 * MAX_GAP + 8)?;
        assert_eq!(map.add(next), Err(Full));
        assert_eq!(map.remove(range(2, 4)?), Err(Full));
        assert!(map.covers(range(0, 8)?));
        assert_eq!(map.len() as u64, count);
        // A near range, a far one, and the same with memory.
        assert_eq!(map.add_without_memory(range(10, 12)?), Ok(2));
        assert!(map.covers(range(0, 12)?));
        assert_eq!(map.add_without_memory(next), Ok(0));
        assert_eq!(map.len() as u64, count + 1);
        add_room(&mut map)?;
        assert_eq!(map.remove(range(2, 4)?), Ok(true));
        assert_eq!(map.len() as u64, count + 2);
        Ok(())
    }

    #[test]
    fn the_last_sectors_there_can_be() -> Result {
        let mut map = map(&[(u64::MAX - 8, u64::MAX)])?;
        assert!(map.covers(range(u64::MAX - 8, u64::MAX)?));
        assert_eq!(map.remove(range(0, u64::MAX)?), Ok(true));
        assert_eq!(map.len(), 0);
        Ok(())
    }
}

#[kunit_tests(nd_pmem_poison)]
mod poison {
    use crate::poison::Poison;
    use kernel::{
        badblocks::Badblocks,
        block::sector::{
            Sector,
            SectorRange, //
        },
        prelude::*,
        sync::atomic::Relaxed, //
    };

    fn range(start: u64, count: u64) -> Result<SectorRange> {
        SectorRange::new(Sector(start), count).ok_or(EINVAL)
    }

    fn poison() -> Result<Pin<KBox<Poison>>> {
        KBox::pin_init(Poison::new(range(0, 1 << 20)?), GFP_KERNEL)
    }

    #[test]
    fn cleared_unless_there_is_more() -> Result {
        let poison = poison()?;
        assert!(!poison.exists());
        poison.add(range(8, 8)?);
        let mark = poison.mark();
        assert!(poison.exists() && poison.covers(range(8, 8)?));
        // The same again.
        poison.add(range(8, 1)?);
        assert!(!poison.clear_since(range(8, 8)?, mark));
        assert!(poison.covers(range(8, 8)?));
        let mark = poison.mark();
        assert!(poison.clear_since(range(8, 8)?, mark));
        assert!(!poison.exists());
        Ok(())
    }

    #[test]
    fn elsewhere_is_no_reason() -> Result {
        let poison = poison()?;
        poison.add(range(8, 8)?);
        let mark = poison.mark();
        poison.add(range(0, 8)?);
        poison.add(range(16, 8)?);
        assert!(poison.clear_since(range(8, 8)?, mark));
        assert_eq!(poison.first_within(range(0, 100)?), Some(range(0, 8)?));
        // Too many additions to know where they were.
        let mark = poison.mark();
        for n in 0..100 {
            poison.add(range(100 + n, 1)?);
        }
        assert!(!poison.clear_since(range(0, 8)?, mark));
        Ok(())
    }

    #[test]
    fn in_the_view_too() -> Result {
        let poison = poison()?;
        // Written through the view.
        assert!(poison.view().add(range(8, 8)?));
        assert!(poison.exists());
        let mark = poison.mark();
        assert!(poison.covers(range(8, 8)?));
        assert!(poison.clear_since(range(8, 8)?, mark));
        assert_eq!(poison.view().first_within(range(0, 100)?), None);
        Ok(())
    }

    #[test]
    fn one_failed_allocation_is_not_for_ever() -> Result {
        // Far from each other, and more than there is room for in the beginning.
        let poison = poison()?;
        let far = |n: u64| range(n << 13, 8);
        poison.allocations_fail.store(true, Relaxed);
        for n in 0..24 {
            poison.add(far(n)?);
        }
        // Good sectors in between are not recorded as bad.
        for n in 0..24 {
            let all = range(n << 13, 1 << 13)?;
            assert_eq!(poison.first_within(all), Some(far(n)?));
        }
        // It would take memory to split the range, and the reserve has some.
        let mark = poison.mark();
        assert!(poison.clear_since(range(2, 2)?, mark));

        // There is memory again.
        poison.allocations_fail.store(false, Relaxed);
        for n in 24..100 {
            poison.add(far(n)?);
        }
        let mark = poison.mark();
        for n in 1..100 {
            let all = range(n << 13, 1 << 13)?;
            assert_eq!(poison.first_within(all), Some(far(n)?));
            assert!(poison.clear_since(range((n << 13) + 2, 2)?, mark));
            assert_eq!(poison.first_within(all), Some(range(n << 13, 2)?));
        }
        Ok(())
    }

    /// A repair in the middle of an entry while the view is full.
    #[test]
    fn good_sectors_do_not_come_back_from_a_full_view() -> Result {
        let poison = poison()?;
        let count = Badblocks::CAPACITY as u64;
        // One more than fits.
        for n in 0..=count {
            poison.add(range(n * 16, 8)?);
        }
        assert!(poison.view().is_full());
        let mark = poison.mark();
        assert!(poison.clear_since(range(2, 2)?, mark));
        assert_eq!(poison.view().first_within(range(2, 2)?), None);
        // Written through the view, so that all of the view is read.
        let last = range(count * 16 + 32, 8)?;
        poison.view().remove(range(16, 8)?);
        assert!(poison.view().add(last));
        assert!(poison.covers(last));
        assert_eq!(poison.first_within(range(2, 2)?), None);
        // The entry that was removed from the view for that is still on record.
        for n in 1..=count {
            assert!(poison.covers(range(n * 16, 8)?));
        }
        Ok(())
    }

    /// In several steps, each with the lock held for a while.
    #[test]
    fn thousands_become_one_and_go() -> Result {
        let poison = poison()?;
        for n in 0..5000 {
            poison.add(range(n * 2, 1)?);
        }
        let all = range(0, 10000)?;
        let mark = poison.mark();
        assert!(poison.clear_since(range(0, 5000)?, mark));
        assert_eq!(poison.first_within(all), Some(range(5000, 1)?));
        poison.add(all);
        assert!(poison.covers(all));
        let mark = poison.mark();
        assert!(poison.clear_since(all, mark));
        assert!(!poison.exists());
        Ok(())
    }

    /// In several steps as well: by what an administrator wrote, and among the suspects.
    #[test]
    fn thousands_become_one_in_other_ways() -> Result {
        let poison = poison()?;
        let all = range(0, 10000)?;
        for n in 0..5000 {
            poison.add(range(n * 2, 1)?);
            poison.suspect(range(n * 2, 1)?);
        }
        assert!(poison.view().remove(all));
        assert!(poison.view().add(all));
        assert!(poison.covers(all));
        assert_eq!(poison.first_suspect_within(all), Some(range(0, 1)?));
        poison.suspect(all);
        assert_eq!(poison.first_suspect_within(all), Some(all));
        Ok(())
    }

    /// However long ago it was, and whether it is on record or not.
    #[test]
    fn a_suspect_stays_one() -> Result {
        let poison = poison()?;
        assert_eq!(poison.first_suspect_within(range(0, 100)?), None);
        poison.suspect(range(8, 8)?);
        poison.suspect(range(24, 8)?);
        assert!(poison.is_suspicious() && !poison.exists());
        assert_eq!(poison.first_within(range(0, 100)?), None);
        poison.add(range(8, 8)?);
        let mark = poison.mark();
        assert!(poison.clear_since(range(8, 8)?, mark));
        assert!(poison.is_suspicious() && !poison.exists());
        let first = poison.first_suspect_within(range(0, 100)?);
        assert_eq!(first, Some(range(8, 8)?));
        let second = poison.first_suspect_within(range(16, 100)?);
        assert_eq!(second, Some(range(24, 8)?));
        assert_eq!(poison.first_suspect_within(range(32, 100)?), None);
        // More than there is room for in the beginning, with memory and without.
        for n in 0..100 {
            poison.allocations_fail.store(n % 4 == 0, Relaxed);
            poison.suspect(range(n << 13, 8)?);
            assert_eq!(
                poison.first_suspect_within(range(n << 13, 8)?),
                Some(range(n << 13, 8)?)
            );
        }
        Ok(())
    }
}

#[kunit_tests(nd_pmem_badblocks)]
mod badblocks {
    use kernel::{
        badblocks::Badblocks,
        block::sector::{
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
    fn entries_in_order() -> Result {
        let list = KBox::pin_init(Badblocks::new(), GFP_KERNEL)?;
        assert!(list.entries(0).iter().next().is_none());
        for at in (0..20).rev() {
            assert!(list.add(range(at * 16, 8)?));
        }
        let mut entries = list.entries(0).iter().count();
        assert_eq!(entries, 16);
        entries += list.entries(16).iter().count();
        assert_eq!(entries, 20);
        assert_eq!(list.entries(19).iter().next(), Some(range(19 * 16, 8)?));
        assert!(list.entries(20).iter().next().is_none());
        assert!(list.entries(usize::MAX).iter().next().is_none());
        // An entry has 512 sectors at most.
        assert!(list.add(range(1 << 20, 1000)?));
        assert_eq!(list.entries(20).iter().next(), Some(range(1 << 20, 512)?));
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
