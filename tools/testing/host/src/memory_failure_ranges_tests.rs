// SPDX-License-Identifier: GPL-2.0

//! `mm/memory_failure_dax/ranges.rs` against page by page, in 128 bits, and `sort.rs`.

use crate::{
    config::properties,
    memory_failure_ranges::{
        Addresses,
        FileRange,
        Runs,
        Stretch,
        Stretches,
        Window, //
    },
    memory_failure_sort::sort_by_key,
};
use kernel::{
    mm::pfn::Pfn,
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
};
use proptest::prelude::*;

/// Page numbers near where 32 and 64 bits end, as pages and as bytes.
fn edge() -> impl Strategy<Value = usize> {
    let pivot = prop_oneof![
        Just(0),
        proptest::sample::select(vec![9_u32, 20, 32, 44, 52, 63]).prop_map(|bit| 1_usize << bit),
        any::<usize>(),
    ];
    (pivot, -600_isize..600).prop_map(|(pivot, off)| pivot.wrapping_add_signed(off))
}

/// A few pages, or as many as there are.
fn count() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0_usize..1100, 1 => edge()]
}

/// The pages of a range, none of which is the last that a number can name.
fn pages(start: usize, count: usize) -> std::ops::Range<u128> {
    let end = (start as u128 + count as u128).min(usize::MAX as u128);
    start as u128..end
}

fn range_of(range: &FileRange) -> std::ops::Range<u128> {
    range.start() as u128..range.end() as u128
}

properties! {
    #[test]
    fn a_range_is_its_pages(start in edge(), count in count(), other in edge(), len in count()) {
        let model = pages(start, count);
        let range = FileRange::new(start, count);
        prop_assert_eq!(range.is_none(), model.is_empty());
        if let (Some(a), Some(b)) = (range, FileRange::new(other, len)) {
            prop_assert_eq!(range_of(&a), model.clone());
            prop_assert_eq!(a.count() as u128, model.end - model.start);
            prop_assert_eq!(a.last() as u128, model.end - 1);
            let with = pages(other, len);
            let common = model.start.max(with.start)..model.end.min(with.end);
            let found = a.intersection(&b);
            prop_assert_eq!(found.is_none(), common.is_empty());
            if let Some(found) = found {
                prop_assert_eq!(range_of(&found), common);
            }
            prop_assert_eq!(range_of(&a.hull(&b)), model.start.min(with.start)..model.end.max(with.end));
        }
    }

    #[test]
    fn an_entry_holds_its_index(index in edge(), order in 0_u32..20) {
        prop_assume!(index < usize::MAX);
        let entry = FileRange::of_entry(index, order).unwrap();
        prop_assert!(range_of(&entry).contains(&(index as u128)));
        prop_assert_eq!(entry.start() % (1 << order), 0);
        prop_assert!(entry.count() == 1 << order || entry.end() == usize::MAX);
    }

    #[test]
    fn a_part_keeps_its_frames(start in edge(), len in 1_usize..1100, first in edge(), from in edge(),
            count in count()) {
        let Some(whole) = FileRange::new(start, len).and_then(|pages| Stretch::new(pages, Pfn(first)))
        else { return Ok(()) };
        let Some(asked) = FileRange::new(from, count) else { return Ok(()) };
        let frames: Vec<_> = whole.frames().collect();
        let model: Vec<_> = range_of(&whole.pages())
            .zip(&frames)
            .filter(|(page, _)| range_of(&asked).contains(page))
            .map(|(_, frame)| *frame)
            .collect();
        let part: Vec<_> = whole.within(&asked).iter().flat_map(|part| part.frames()).collect();
        prop_assert_eq!(part, model);
    }

    #[test]
    fn a_part_keeps_its_pages(start in edge(), len in 1_usize..1100, first in edge(), from in edge(),
            count in count()) {
        let Some(whole) = FileRange::new(start, len).and_then(|pages| Stretch::new(pages, Pfn(first)))
        else { return Ok(()) };
        // The last number is no frame.
        prop_assume!(first.checked_add(len).is_some());
        let asked = from as u128..from as u128 + count as u128;
        let model: Vec<_> = range_of(&whole.pages())
            .zip(whole.frames())
            .filter(|(_, frame)| asked.contains(&(frame.0 as u128)))
            .collect();
        let part: Vec<_> = whole
            .within_frames(Pfn(from), count)
            .iter()
            .flat_map(|part| range_of(&part.pages()).zip(part.frames()))
            .collect();
        prop_assert_eq!(part, model);
    }

    #[test]
    fn stretches_are_their_pages(start in 0_usize..3, steps in proptest::collection::vec(
            (0_usize..3, 1_usize..4, 0_usize..3), 1..12), base in edge()) {
        prop_assume!(base < usize::MAX - 100_000);
        // Entries in ascending order, some of which go on where the last ended, frames included.
        let mut model = std::collections::BTreeMap::new();
        let mut list = Stretches::<4>::new();
        let (mut at, mut delta) = (base + start, 7);
        let mut kept = true;
        for (gap, len, elsewhere) in steps {
            at += gap;
            delta += elsewhere * 1000;
            let first = at - base + delta;
            let stretch = Stretch::new(FileRange::new(at, len).unwrap(), Pfn(first)).unwrap();
            kept = list.push(stretch);
            if !kept {
                break;
            }
            for n in 0..len {
                model.insert(at + n, first + n);
            }
            at += len;
        }
        // Each page has its frame; what else there is are holes, of which nothing is said.
        let mut found = std::collections::BTreeMap::new();
        for stretch in list.iter() {
            for (page, frame) in range_of(&stretch.pages()).zip(stretch.frames()) {
                prop_assert!(found.insert(page as usize, frame.0).is_none());
            }
        }
        for (page, frame) in &model {
            prop_assert_eq!(found.get(page), Some(frame));
        }
        prop_assert!(kept || list.iter().count() == 4);
    }

    #[test]
    fn what_is_mapped_is_found(start in 1_usize..1 << 30, pages in 1_usize..2000, first in edge(),
            from in edge(), count in count()) {
        let bounds = (start << PAGE_SHIFT, (start + pages) << PAGE_SHIFT);
        let window = Window::new(Addresses::from_bounds(bounds.0, bounds.1).unwrap(), first);
        let Some(asked) = FileRange::new(from, count) else { return Ok(()) };
        let model: Vec<_> = (0..pages)
            .filter(|n| first.checked_add(*n).is_some_and(|page| page != usize::MAX
                && range_of(&asked).contains(&(page as u128))))
            .map(|n| bounds.0 + (n << PAGE_SHIFT))
            .collect();
        let found = window.find(&asked);
        let blocks: Vec<_> = found.iter().flat_map(|found| found.blocks()).collect();
        let covered: Vec<_> = blocks
            .iter()
            .flat_map(|block| (block.address..block.address + (1 << block.lsb)).step_by(PAGE_SIZE))
            .collect();
        prop_assert_eq!(covered, model);
        for block in &blocks {
            prop_assert_eq!(block.address % (1 << block.lsb), 0);
        }
        // Two for each power of two.
        prop_assert!(blocks.len() <= 2 * (usize::BITS as usize - PAGE_SHIFT));
    }

    #[test]
    fn sorted(mut list in proptest::collection::vec(0_u32..50, 0..200)) {
        let mut model = list.clone();
        model.sort_unstable();
        sort_by_key(&mut list, |n| *n);
        prop_assert_eq!(list, model);
    }

    #[test]
    fn runs_are_their_pages(start in 0_usize..1 << 40, steps in proptest::collection::vec(
            (0_usize..3, 1_usize..4), 1..12)) {
        let mut runs = Runs::<4>::new();
        let (mut model, mut ends, mut at) = (Vec::new(), Vec::new(), start);
        for (gap, len) in steps {
            at += gap;
            let (from, to) = (at * PAGE_SIZE, (at + len) * PAGE_SIZE);
            let kept = runs.push(Addresses::from_bounds(from, to).unwrap());
            // There is room unless this would be the fifth run.
            prop_assert_eq!(kept, ends.len() < 4 || ends.last() == Some(&from));
            if !kept {
                break;
            }
            if ends.last() == Some(&from) {
                ends.pop();
            }
            ends.push(to);
            model.extend((from..to).step_by(PAGE_SIZE));
            at += len;
        }
        let found: Vec<_> = runs
            .iter()
            .flat_map(|run| (run.start()..run.end()).step_by(PAGE_SIZE))
            .collect();
        prop_assert_eq!(found, model);
        prop_assert_eq!(runs.iter().count(), ends.len());
    }
}

#[test]
fn users_cannot_make_sorting_slow() {
    // What halving gaps compare with each other last: the small ones and the large ones in turn.
    let half = 1 << 13;
    let mut list: Vec<_> = (0..half).flat_map(|n| [half + n, n]).collect();
    let steps = std::cell::Cell::new(0);
    sort_by_key(&mut list, |n| {
        steps.set(steps.get() + 1);
        *n
    });
    assert!(list.is_sorted());
    assert!(steps.get() < 100 * list.len(), "{}", steps.get());
}

#[test]
fn the_last_addresses() {
    let top = usize::MAX & !(PAGE_SIZE - 1);
    let blocks: Vec<_> = Addresses::from_bounds(top - 3 * PAGE_SIZE, top)
        .unwrap()
        .blocks()
        .map(|block| block.lsb)
        .collect();
    assert_eq!(blocks, [12, 13].iter().rev().copied().collect::<Vec<_>>());
}
