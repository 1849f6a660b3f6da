// SPDX-License-Identifier: GPL-2.0

//! `fs/xfs/notify/ranges.rs` against a slow, obvious model: every byte by itself in small worlds,
//! and the same arithmetic in 128 bits, which cannot overflow, at the edges of 32 and 64.

use crate::{
    config::properties,
    xfs_ranges::{
        page_runs,
        Area,
        BlockSize,
        Extent,
        Joined,
        Mapping,
        Owner, //
    },
};
use kernel::{
    dax::units::ByteRange,
    page::PAGE_SIZE, //
};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// One more than the largest byte number.
const LIMIT: u128 = 1 << 64;

fn wide(n: u64) -> u128 {
    n.into()
}

fn block(shift: u32) -> BlockSize {
    BlockSize::new(shift).expect("there are such blocks")
}

fn range(start: u64, len: u64) -> ByteRange {
    ByteRange::new(start, len).expect("short and not empty")
}

/// Numbers near those where something is cut off or overflows.
fn edge() -> impl Strategy<Value = u64> {
    let pivot = prop_oneof![
        Just(0),
        proptest::sample::select(vec![12_u32, 31, 32, 43, 44, 51, 52, 53, 63])
            .prop_map(|bit| 1_u64 << bit),
        any::<u64>(),
    ];
    // Wraps on purpose: below 0 lies the upper end.
    (pivot, -3_i64..=3).prop_map(|(pivot, off)| pivot.wrapping_add_signed(off))
}

/// Failed bytes, or the whole device.
fn failed(
    start: impl Strategy<Value = u64>,
    len: impl Strategy<Value = u64>,
) -> impl Strategy<Value = Option<ByteRange>> {
    (start, len, 0_u8..8).prop_map(|(start, len, whole)| {
        let start = start.min(u64::MAX - 1);
        let len = len.clamp(1, u64::MAX - start);
        (whole != 0).then(|| range(start, len))
    })
}

fn bytes_of(range: Option<ByteRange>) -> BTreeSet<u64> {
    range.map_or(BTreeSet::new(), |range| {
        (range.start()..range.end()).collect()
    })
}

properties! {
    #[test]
    fn each_failed_byte_is_in_its_group(
        shift in 0_u32..4,
        origin in 0_u64..20,
        first in 0_u64..5,
        blocks in 0_u64..40,
        stride in 0_u64..10,
        failed in failed(0_u64..250, 1_u64..250),
    ) {
        let size = 1 << shift;
        let area = Area { block: block(shift), first, blocks, stride, number_shift: 0 };
        let start = origin + first * size;

        // The model: where each byte is, as group and byte in it.
        let model: BTreeSet<(u64, u64)> = (start..start + blocks * size)
            .filter(|byte| failed.is_none_or(|f| (f.start()..f.end()).contains(byte)))
            .map(|byte| byte - start)
            .map(|byte| byte.checked_div(stride * size).map_or((0, byte), |group| {
                (group, byte % (stride * size))
            }))
            .collect();

        let hit = area.hit(failed, origin);
        prop_assert_eq!(hit.is_some(), !model.is_empty());
        let mut found = BTreeSet::new();
        let mut last_group = None;
        for here in hit.into_iter().flat_map(|hit| area.groups(hit)) {
            prop_assert!(last_group < Some(here.group), "each group once, in order");
            last_group = Some(here.group);
            prop_assert_eq!(wide(here.first.into()), wide(here.bytes.start() / size));
            prop_assert_eq!(wide(here.last.into()), wide((here.bytes.end() - 1) / size));
            found.extend(bytes_of(Some(here.bytes)).into_iter().map(|b| (here.group.into(), b)));
        }
        prop_assert_eq!(found, model);

        if let Some(hit) = hit {
            let there = area.on_device(hit).expect("it is there");
            prop_assert_eq!(there.start() + origin, hit.start() + start);
            prop_assert_eq!(there.len(), hit.len());
        }
    }

    #[test]
    fn areas_at_the_edges_are_exact(
        shift in 9_u32..=16,
        origin in edge(),
        first in edge(),
        blocks in edge(),
        failed in failed(edge(), edge()),
    ) {
        let area = Area { block: block(shift), first, blocks, stride: 0, number_shift: 0 };
        let start = wide(origin) + (wide(first) << shift);
        let len = wide(blocks) << shift;
        let (from, to) = failed.map_or((0, LIMIT), |f| (wide(f.start()), wide(f.end())));
        let (from, to) = (from.max(start), to.min(start + len).min(LIMIT - 1));
        // An area that 64 bits cannot count is none.
        let counts = (wide(first) << shift) < LIMIT && len < LIMIT;
        let model = (from < to && counts).then(|| ((from - start) as u64, (to - start) as u64));
        prop_assert_eq!(area.hit(failed, origin).map(|h| (h.start(), h.end())), model);
    }

    #[test]
    fn groups_at_the_edges_are_exact(
        shift in 9_u32..=16,
        stride in prop_oneof![1_u64..4, (1_u64 << 31) - 2..=1 << 31, (1_u64 << 32) - 1..=1 << 32],
        start in edge(),
        len in edge(),
    ) {
        let start = start.min(u64::MAX - 1);
        let hit = range(start, len.clamp(1, u64::MAX - start));
        let area = Area { block: block(shift), first: 0, blocks: u64::MAX >> shift, stride, number_shift: 0 };
        let group_len = wide(stride) << shift;
        let mut at = wide(hit.start());
        for here in area.groups(hit).take(6) {
            let group = at / group_len;
            prop_assert_eq!(wide(here.group.into()), group);
            prop_assert_eq!(wide(here.bytes.start()), at - group * group_len);
            let end = wide(hit.end()).min((group + 1) * group_len);
            prop_assert_eq!(wide(here.bytes.end()), end - group * group_len);
            prop_assert_eq!(wide(here.first.into()), wide(here.bytes.start()) >> shift);
            prop_assert_eq!(wide(here.last.into()), (wide(here.bytes.end()) - 1) >> shift);
            at = end;
        }
        // It stops early only where there is no number for the group.
        let stopped = area.groups(hit).count_at_most(6) < 6 && at < wide(hit.end());
        prop_assert_eq!(stopped, stopped && at / group_len >= 1 << 32);
    }

    #[test]
    fn each_lost_byte_is_in_the_file(
        shift in 0_u32..4,
        start in 0_u32..30,
        count in 0_u32..20,
        offset in 0_u64..30,
        from in 0_u64..300,
        len in 1_u64..200,
    ) {
        let size = 1_u64 << shift;
        let extent = Extent { start, count, offset, ..Extent::default() };
        let failed = range(from, len);
        let model: BTreeSet<u64> = (0..u64::from(count) * size)
            .filter(|into| (from..from + len).contains(&(u64::from(start) * size + into)))
            .map(|into| offset * size + into)
            .collect();
        prop_assert_eq!(bytes_of(extent.lost(&failed, block(shift))), model);
    }

    #[test]
    fn extents_at_the_edges_are_exact(
        shift in 9_u32..=16,
        start in prop_oneof![0_u32..3, u32::MAX - 3..=u32::MAX, any::<u32>()],
        count in prop_oneof![0_u32..3, u32::MAX - 3..=u32::MAX, any::<u32>()],
        offset in edge(),
        failed in failed(edge(), edge()),
    ) {
        let failed = failed.unwrap_or(range(0, u64::MAX));
        let extent = Extent { start, count, offset, ..Extent::default() };
        let mine = wide(start.into()) << shift;
        let end = mine + (wide(count.into()) << shift);
        let (from, to) = (mine.max(wide(failed.start())), end.min(wide(failed.end())));
        let file = (wide(offset) << shift) + from.saturating_sub(mine);
        let model = (from < to && file + (to - from) <= 1 << 63)
            .then(|| (file as u64, (file + (to - from)) as u64));
        let lost = extent.lost(&failed, block(shift));
        prop_assert_eq!(lost.map(|l| (l.start(), l.end())), model);
    }

    #[test]
    fn owners_are_told_apart(owner in edge(), attr: bool, tree: bool) {
        let extent = Extent { owner, attr, tree, ..Extent::default() };
        let no_inode = owner >= 1 << 63;
        let model = match extent.owner() {
            Owner::Staging => owner == u64::MAX - 8,
            Owner::Metadata => no_inode && owner != u64::MAX - 8 || !no_inode && (attr || tree),
            Owner::Data(inode) => inode == owner && !no_inode && !attr && !tree,
        };
        prop_assert!(model);
    }

    #[test]
    fn what_agrees_is_block_by_block_the_same(
        shift in 0_u32..3,
        a in (0_u64..20, 0_u64..20, 0_u64..12),
        b in (0_u64..20, 0_u64..20, 0_u64..12),
    ) {
        let mapping = |(offset, at, count)| Mapping { offset, at, count };
        let blocks = |m: &Mapping| -> BTreeSet<(u64, u64)> {
            (0..m.count).map(|i| (m.offset + i, m.at + i)).collect()
        };
        let (a, b) = (mapping(a), mapping(b));
        let model: BTreeSet<u64> = blocks(&a)
            .intersection(&blocks(&b))
            .flat_map(|(offset, _)| offset << shift..(offset + 1) << shift)
            .collect();
        prop_assert_eq!(bytes_of(a.agreed(&b, block(shift))), model);
    }

    #[test]
    fn numbers_of_blocks_are_taken_apart(
        number_shift in 1_u32..=40,
        group: u32,
        start in edge(),
        count in edge(),
    ) {
        let area = Area { block: block(12), first: 0, blocks: 1, stride: 1, number_shift };
        let (start, at) = (start % (1 << number_shift), u64::from(group) << number_shift);
        let at_all = wide(group.into()) << number_shift;
        let mapping = Mapping { offset: 5, at: at | start, count };
        let found = mapping.in_group(&area);
        if at_all < LIMIT && start <= u32::MAX.into() && count <= u32::MAX.into() {
            let (in_group, extent) = found.expect("it fits");
            prop_assert_eq!(in_group, group);
            prop_assert_eq!((u64::from(extent.start), u64::from(extent.count)), (start, count));
            prop_assert_eq!(extent.offset, 5);
            // And put together again.
            prop_assert_eq!(extent.mapping(in_group, &area), Some(mapping));
        } else if at_all < LIMIT {
            prop_assert!(found.is_none());
        } else {
            // A group that no number can name.
            prop_assert_eq!(Extent::default().mapping(group, &area), None);
        }
    }

    #[test]
    fn a_byte_of_a_file_is_in_one_place(
        shift in 0_u32..=16,
        origin in edge(),
        first in edge(),
        stride in edge(),
        group: u32,
        start in edge(),
        count in edge(),
        offset in edge(),
        into in edge(),
    ) {
        // CAST: On purpose: what is left are numbers of 32 bits near edges.
        let (start, count) = (start as u32, count as u32);
        let area = Area { block: block(shift), first, blocks: 0, stride, number_shift: 0 };
        let extent = Extent { start, count, offset, ..Extent::default() };
        let (from, len) = (wide(offset) << shift, wide(count.into()) << shift);
        let byte = from + wide(into) % len.max(1);
        let is_there = byte < from + len && byte < LIMIT && from < LIMIT;
        // CAST: Below the limit, or not used.
        let found = extent.in_group(byte.min(LIMIT - 1) as u64, block(shift));
        let place = (wide(start.into()) << shift) + (byte - from);
        if is_there {
            // CAST: 32 bits and the shift.
            prop_assert_eq!(found, Some(place as u64));
        } else if byte < LIMIT {
            prop_assert_eq!(found, None);
        }

        // Each step of the sum has to fit, as the products have to.
        let blocks = wide(first) + wide(group.into()) * wide(stride);
        let there = wide(origin) + (blocks << shift) + place;
        let fits = blocks < LIMIT && (blocks << shift) < LIMIT && there < LIMIT;
        // CAST: As above.
        let place = place as u64;
        prop_assert_eq!(area.in_device(group, place, origin), fits.then_some(there as u64));
    }

    #[test]
    fn page_runs_are_the_pages(start in edge(), len in 1_u64..1 << 20, limit in 1_u64..20) {
        let start = start.min(u64::MAX - 1);
        let bytes = range(start, len.min(u64::MAX - start));
        let mut next = start / PAGE_SIZE as u64;
        for (page, count) in page_runs(bytes, limit) {
            prop_assert_eq!(page, next);
            prop_assert!((1..=limit).contains(&count));
            next += count;
        }
        prop_assert_eq!(wide(next), wide(bytes.end()).div_ceil(PAGE_SIZE as u128));
    }

    #[test]
    fn joining_loses_nothing(gaps in proptest::collection::vec((0_u64..2, 1_u64..5), 0..20)) {
        let (mut joined, mut out) = (Joined::default(), Vec::new());
        let (mut at, mut model) = (0, BTreeSet::new());
        for (gap, len) in gaps {
            let next = range(at + gap, len);
            at = next.end();
            model.extend(bytes_of(Some(next)));
            out.extend(joined.push(next));
        }
        out.extend(joined.finish());
        prop_assert!(out.windows(2).all(|pair| pair[0].end() < pair[1].start()));
        let found: BTreeSet<u64> = out.into_iter().flat_map(|r| bytes_of(Some(r))).collect();
        prop_assert_eq!(found, model);
    }
}

/// Counting what may be without end.
trait CountAtMost: Iterator + Sized {
    fn count_at_most(self, most: usize) -> usize {
        self.take(most).count()
    }
}

impl<I: Iterator> CountAtMost for I {}
