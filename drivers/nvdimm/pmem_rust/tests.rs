// SPDX-License-Identifier: GPL-2.0

//! KUnit suites of the driver; they run when the module is loaded and `kunit.enable` is set.

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
