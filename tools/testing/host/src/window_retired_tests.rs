// SPDX-License-Identifier: GPL-2.0

//! `fs/fuse/dax/window/evict.rs` where memory of the window failed.

use crate::{
    window::{
        table::Room,
        units::{
            FilePage,
            FilePages,
            WindowBlock,
            WindowPage,
            BLOCK_PAGES,
            TOP_ORDER, //
        },
        Area,
        Step,
        Window, //
    },
    window_world::TestFile,
};

const BLOCK: u64 = BLOCK_PAGES as u64;

fn take(window: &mut Window<TestFile>, area: Area) {
    while let Some(victim) = window.reclaim_next(area) {
        window.took(area, victim.id, true);
    }
}

/// One task, whose server answers at once, uses the first page of a file.
fn touch(window: &mut Window<TestFile>, file: &TestFile, file_pages: u64) {
    for _ in 0..4 * BLOCK {
        match window.request(file, FilePage(0), FilePages(file_pages), false) {
            Step::Start(setup) => {
                window.answer(setup.id, setup.upgrade, Ok(()));
                return window.let_go(setup.id);
            }
            Step::Held { id, .. } => return window.let_go(id),
            Step::Reclaim(area) => take(window, area),
            Step::Remove => {
                while let Some((id, _)) = window.take_stale() {
                    window.removed(id);
                }
            }
            Step::NeedsRoom(id) => {
                window.give_room(id, Room::new().unwrap());
            }
            step => panic!("{step:?}, and there is nobody to wait for"),
        }
    }
    panic!("a task that need not wait gets on");
}

fn fail(window: &mut Window<TestFile>, page: u32) {
    let victim = window.fail(WindowPage(page)).unwrap();
    let area = window.unpin(victim.id).unwrap();
    take(window, area);
}

/// A whole block is wanted. What was used longest ago, as far as one looks, is where there will
/// never be one again.
#[test]
fn a_block_with_a_failed_page_does_not_hide_the_others() {
    let mut window = Window::new(3 * BLOCK).unwrap();
    let small: Vec<_> = (0..3 * BLOCK as usize).map(TestFile::new).collect();
    for file in &small {
        touch(&mut window, file, 1);
    }
    assert_eq!(window.counters.reclaims, 0);
    for page in [17, BLOCK_PAGES + 300] {
        fail(&mut window, page);
    }
    touch(&mut window, &TestFile::new(5000), BLOCK);
    assert!(window.check());
    assert_eq!(window.counters.retired, 2);
}

/// If there is a whole block at hand, nothing else goes for it.
#[test]
fn a_failed_page_costs_nothing_while_there_is_a_block() {
    let mut window = Window::new(2 * BLOCK).unwrap();
    let small: Vec<_> = (0..20).map(TestFile::new).collect();
    for file in &small {
        touch(&mut window, file, 1);
    }
    fail(&mut window, 3);
    let large = TestFile::new(100);
    touch(&mut window, &large, BLOCK);
    touch(&mut window, &TestFile::new(101), BLOCK);
    assert!(!window.has(&large, FilePage(0)));
    assert_eq!(window.mapped(), 20);
    // The one that failed, and the large one.
    assert_eq!(window.counters.reclaims, 2);
}

/// A window whose memory failed when another connection had it.
#[test]
fn blocks_that_failed_before_are_never_used() {
    let mut window = Window::new(3 * BLOCK).unwrap();
    for block in [2, 0, 2] {
        window.retire(WindowBlock(block));
        assert!(window.check());
    }
    assert_eq!(window.counters.retired, 2);
    for number in 0..3 * BLOCK as usize {
        let file_pages = 1 + number as u64 % (BLOCK + 1);
        touch(&mut window, &TestFile::new(number), file_pages);
        assert!(window.check());
        for bad in [0, 2] {
            assert_eq!(
                window.place(WindowBlock(bad).first_range()).order,
                TOP_ORDER
            );
            assert!(window.fail(WindowPage(bad * BLOCK_PAGES + 7)).is_none());
        }
    }
    assert_eq!(window.counters.retired, 2);
}
