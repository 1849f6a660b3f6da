// SPDX-License-Identifier: GPL-2.0

//! KUnit suite of the arithmetic in `ranges.rs`; it runs at boot.
//!
//! `tools/testing/host` tests more cases.

#![cfg(CONFIG_DAX_RUST_KUNIT_TEST)]

use kernel::prelude::*;

#[kunit_tests(memory_failure_dax_ranges)]
mod ranges {
    use crate::ranges::{
        Addresses,
        Block,
        FileRange,
        Runs,
        Stretch,
        Stretches,
        Window, //
    };
    use kernel::mm::pfn::Pfn;

    fn stretch(start: usize, count: usize, first: usize) -> Option<Stretch> {
        Stretch::new(FileRange::new(start, count)?, Pfn(first))
    }

    #[test]
    fn file_ranges_end_where_numbers_do() {
        assert!(FileRange::new(7, 0).is_none());
        let all = FileRange::new(7, usize::MAX);
        assert!(all.is_some_and(|all| all.end() == usize::MAX));
        assert!(FileRange::of_entry(1027, 9) == FileRange::new(1024, 512));
        assert!(FileRange::of_entry(5, 0) == FileRange::new(5, 1));
        assert!(FileRange::of_entry(5, 64).is_none());
    }

    #[test]
    fn a_part_has_its_own_frames() {
        let part = stretch(512, 512, 0x1000).and_then(|huge| huge.within(&FileRange::new(600, 1)?));
        assert!(part == stretch(600, 1, 0x1058));
        assert!(stretch(0, 2, usize::MAX).is_none());
        let part = |first, count| stretch(7, 4, 0x100)?.within_frames(Pfn(first), count);
        assert!(part(0x102, 100) == stretch(9, 2, 0x102));
        assert!(part(0, 0x101) == stretch(7, 1, 0x100));
        assert!(part(0x104, 1).is_none() && part(0, 0x100).is_none());
    }

    #[test]
    fn pages_join_to_runs() {
        let mut runs = Runs::<2>::new();
        let mut push = |start, end| {
            Addresses::from_bounds(start, end).is_some_and(|addresses| runs.push(addresses))
        };
        assert!(push(0x1000, 0x2000) && push(0x2000, 0x3000) && push(0x5000, 0x6000));
        // Two, of which none goes on.
        assert!(!push(0x8000, 0x9000));
        let mut list = runs.iter().copied();
        assert!(list.next() == Addresses::from_bounds(0x1000, 0x3000));
        assert!(list.next() == Addresses::from_bounds(0x5000, 0x6000));
        assert!(list.next().is_none());
    }

    #[test]
    fn neighbours_and_holes_join() {
        let mut list = Stretches::<2>::new();
        for (at, frame) in [(0, 100), (1, 101), (9, 109), (10, 200)] {
            assert!(stretch(at, 1, frame).is_some_and(|page| list.push(page)));
        }
        // Two, of which none goes on.
        assert!(stretch(11, 1, 7).is_some_and(|page| !list.push(page)));
        assert!(list.iter().copied().next() == stretch(0, 10, 100));
        assert!(list.iter().copied().last() == stretch(10, 1, 200));
    }

    #[test]
    fn a_page_is_found_where_it_is_mapped() {
        let window = Addresses::from_bounds(0x7000_0000, 0x7040_0000)
            .map(|addresses| Window::new(addresses, 512));
        let find = |page| window.and_then(|w| w.find(&FileRange::new(page, 1)?));
        assert!(find(511).is_none());
        assert!(find(513) == Addresses::from_bounds(0x7000_1000, 0x7000_2000));
        assert!(find(1535) == Addresses::from_bounds(0x703f_f000, 0x7040_0000));
        assert!(find(1536).is_none());
    }

    #[test]
    fn signals_name_no_good_byte() {
        let mut blocks = Addresses::from_bounds(0x3000, 0x9000)
            .into_iter()
            .flat_map(|addresses| addresses.blocks());
        for (address, lsb) in [(0x3000, 12), (0x4000, 14), (0x8000, 12)] {
            assert!(blocks.next() == Some(Block { address, lsb }));
        }
        assert!(blocks.next().is_none());
        let huge = Addresses::from_bounds(0x20_0000, 0x40_0000)
            .and_then(|addresses| addresses.blocks().next());
        assert!(huge.is_some_and(|block| block.lsb == 21));
    }
}
