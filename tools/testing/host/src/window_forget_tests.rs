// SPDX-License-Identifier: GPL-2.0

//! `forget()` of `fs/fuse/dax/window/evict.rs`: an inode is evicted, bit by bit.

use crate::{
    window::{
        acquire::{
            reclaim,
            Platform, //
        },
        evict::Forgot,
        units::{
            WindowPage,
            BLOCK_PAGES, //
        },
    },
    window_instant::Instant,
    window_world::{
        forget_all,
        TestFile, //
    },
};

const BLOCK: u64 = BLOCK_PAGES as u64;

/// A file with all of a large window does not keep the lock until it has lost all of that.
#[test]
fn a_file_goes_bit_by_bit() {
    const BLOCKS: u32 = 300;
    let world = Instant::new(BLOCKS.into());
    let file = TestFile::new(1);
    let pages = u64::from(BLOCKS) * BLOCK;
    for block in 0..BLOCKS.into() {
        world.touch(&file, block * BLOCK, pages, false);
    }
    let mapped = || world.update(|window| window.mapped());
    assert_eq!(mapped(), BLOCKS);
    let mut before = BLOCKS;
    while world.update(|window| window.evict(&file)) == Forgot::Some {
        let left = mapped();
        assert!((1..=100).contains(&(before - left)), "{before} {left}");
        before = left;
    }
    assert!((1..=100).contains(&before), "{before}");
    assert_eq!(mapped(), 0);
    assert!(world.update(|window| window.check()));
}

/// `forget()` changes nothing when it answers `Busy`: its caller then sleeps, and wakes no task.
#[test]
fn a_file_that_is_looked_at_stays_as_it_is() {
    let world = Instant::new(8);
    let file = TestFile::new(1);
    for block in 0..8 {
        world.touch(&file, block * BLOCK, 8 * BLOCK, false);
    }
    // Some range, which is neither the file's first nor its last.
    let victim = world.update(|window| window.fail(WindowPage(4 * BLOCK_PAGES)));
    let mut some = 0;
    let (changes, mapped) = loop {
        let before = world.update(|window| (window.changes(), window.mapped()));
        match world.update(|window| window.evict(&file)) {
            Forgot::Busy => break before,
            Forgot::Some => some += 1,
            Forgot::All => panic!("a task looks at it"),
        }
    };
    assert!(some > 0 && mapped < 8, "{some} {mapped}");
    assert_eq!(world.update(|window| window.changes()), changes);
    assert_eq!(world.update(|window| window.mapped()), mapped);
    let area = world.update(|window| window.unpin(victim.unwrap().id));
    assert!(reclaim(&world, area.unwrap()));
    assert!(forget_all(&mut world.window.borrow_mut(), &file));
    assert!(world.update(|window| window.check()));
}
