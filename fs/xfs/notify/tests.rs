// SPDX-License-Identifier: GPL-2.0

//! KUnit suite of `ranges.rs`; it runs when XFS is loaded.
//!
//! `tools/testing/host` tests more values.

#![cfg(CONFIG_XFS_DAX_NOTIFY_KUNIT_TEST)]

use super::ranges::{
    page_runs,
    Area,
    BlockSize,
    Extent,
    InGroup,
    Joined,
    Mapping,
    Owner, //
};
use kernel::{
    dax::units::ByteRange,
    prelude::*, //
};

/// Four groups of 1000 blocks of 4 KiB, and one of 10.
fn area() -> Result<Area> {
    Ok(Area {
        block: BlockSize::new(12).ok_or(EINVAL)?,
        first: 0,
        blocks: 4010,
        stride: 1000,
        number_shift: 10,
    })
}

fn bytes(start: u64, len: u64) -> Result<ByteRange> {
    ByteRange::new(start, len).ok_or(EINVAL)
}

#[kunit_tests(xfs_dax_notify_ranges)]
mod cases {
    use super::*;

    #[test]
    fn partition_offset_counts_for_both_ends() -> Result {
        // C compared a rebased offset with an absolute end.
        let area = area()?;
        let origin = 1 << 30;
        let last = 4010 * 4096 - 1;
        assert_eq!(
            area.hit(Some(bytes(origin + last, 4096)?), origin),
            Some(bytes(last, 1)?)
        );
        assert_eq!(area.hit(Some(bytes(origin + last + 1, 1)?), origin), None);
        assert_eq!(area.hit(Some(bytes(origin - 1, 1)?), origin), None);
        assert_eq!(
            area.hit(Some(bytes(origin - 1, 2)?), origin),
            Some(bytes(0, 1)?)
        );
        assert_eq!(area.hit(None, origin), Some(bytes(0, last + 1)?));
        Ok(())
    }

    #[test]
    fn whole_device_is_whole_groups() -> Result {
        // C took 2^32 blocks less the start for every group but the last.
        let area = area()?;
        let hit = area.hit(None, 0).ok_or(EINVAL)?;
        let mut count = 0;
        for (number, here) in area.groups(hit).enumerate() {
            let blocks = if number == 4 { 10 } else { 1000 };
            assert_eq!(
                here,
                InGroup {
                    group: number as u32,
                    bytes: bytes(0, blocks * 4096)?,
                    first: 0,
                    last: blocks as u32 - 1,
                }
            );
            count += 1;
        }
        assert_eq!(count, 5);
        Ok(())
    }

    #[test]
    fn smaller_than_a_block() -> Result {
        let area = area()?;
        let mut groups = area.groups(bytes(1000 * 4096 - 1, 2)?);
        assert_eq!(
            groups.next(),
            Some(InGroup {
                group: 0,
                bytes: bytes(1000 * 4096 - 1, 1)?,
                first: 999,
                last: 999,
            })
        );
        assert_eq!(
            groups.next(),
            Some(InGroup {
                group: 1,
                bytes: bytes(0, 1)?,
                first: 0,
                last: 0,
            })
        );
        assert_eq!(groups.next(), None);
        Ok(())
    }

    #[test]
    fn clipping_at_the_edges_of_32_and_64_bits() -> Result {
        let block = BlockSize::new(12).ok_or(EINVAL)?;
        let extent = Extent {
            start: u32::MAX - 1,
            count: 2,
            offset: 1 << 32,
            ..Extent::default()
        };
        let all = bytes(0, 1 << 44)?;
        // An extent that ends with the last block that 32 bits can name.
        assert_eq!(extent.lost(&all, block), Some(bytes(1 << 44, 8192)?));
        assert_eq!(
            extent.lost(&bytes((1 << 44) - 1, 1)?, block),
            Some(bytes((1 << 44) + 8191, 1)?)
        );
        // Files that cannot be.
        let last = Extent {
            offset: (1 << 51) - 2,
            ..extent
        };
        assert_eq!(last.lost(&all, block), Some(bytes((1 << 63) - 8192, 8192)?));
        let past = Extent {
            offset: (1 << 51) - 1,
            ..extent
        };
        assert_eq!(past.lost(&all, block), None);
        let wraps = Extent {
            offset: u64::MAX,
            ..extent
        };
        assert_eq!(wraps.lost(&all, block), None);
        Ok(())
    }

    #[test]
    fn owners() -> Result {
        let data = Extent {
            owner: 131,
            ..Extent::default()
        };
        assert_eq!(data.owner(), Owner::Data(131));
        for extent in [
            Extent { attr: true, ..data },
            Extent { tree: true, ..data },
            Extent {
                owner: -3_i64 as u64,
                ..data
            },
        ] {
            assert_eq!(extent.owner(), Owner::Metadata);
        }
        let staging = Extent {
            owner: -9_i64 as u64,
            ..data
        };
        assert_eq!(staging.owner(), Owner::Staging);
        Ok(())
    }

    #[test]
    fn moved_extents_do_not_agree() -> Result {
        let block = BlockSize::new(12).ok_or(EINVAL)?;
        let was = Mapping {
            offset: 10,
            at: 500,
            count: 4,
        };
        let cut = Mapping {
            offset: 12,
            at: 502,
            count: 10,
        };
        assert_eq!(cut.agreed(&was, block), Some(bytes(12 * 4096, 2 * 4096)?));
        let copied = Mapping { at: 700, ..was };
        assert_eq!(copied.agreed(&was, block), None);
        Ok(())
    }

    #[test]
    fn block_numbers_have_gaps() -> Result {
        let area = area()?;
        let mapping = Mapping {
            offset: 7,
            at: (3 << 10) + 999,
            count: 1,
        };
        let (group, extent) = mapping.in_group(&area).ok_or(EINVAL)?;
        assert_eq!(group, 3);
        assert_eq!(extent.mapping(group, &area), Some(mapping));
        assert_eq!(
            extent.lost(&bytes(999 * 4096, 4096)?, area.block),
            Some(bytes(7 * 4096, 4096)?)
        );
        Ok(())
    }

    #[test]
    fn runs_of_pages() -> Result {
        let mut runs = page_runs(bytes(4095, 4098)?, 2);
        assert_eq!(runs.next(), Some((0, 2)));
        assert_eq!(runs.next(), Some((2, 1)));
        assert_eq!(runs.next(), None);
        let mut joined = Joined::default();
        assert_eq!(joined.push(bytes(0, 10)?), None);
        assert_eq!(joined.push(bytes(10, 10)?), None);
        assert_eq!(joined.push(bytes(30, 10)?), Some(bytes(0, 20)?));
        assert_eq!(joined.finish(), Some(bytes(30, 10)?));
        Ok(())
    }
}
