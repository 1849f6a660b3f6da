// SPDX-License-Identifier: GPL-2.0

//! `fs/fuse/dax/window/limit.rs`: servers that allow fewer mappings than the window has ranges.

use crate::{
    window::{
        acquire::{
            acquire,
            reclaim,
            Failure,
            Killed,
            Platform,
            Want, //
        },
        units::{
            FilePage,
            FilePages,
            BLOCK_PAGES, //
        },
        File,
        Poll,
        Setup,
        Step,
        Window, //
    },
    window_world::TestFile,
};
use std::{
    cell::{
        Cell,
        RefCell, //
    },
    collections::{
        BTreeMap,
        BTreeSet, //
    }, //
};

const BLOCK: u64 = BLOCK_PAGES as u64;

/// A server that answers at once, and has room for `most` mappings.
struct Limited {
    window: RefCell<Window<TestFile>>,
    /// Where mappings begin, and how many pages they have.
    maps: RefCell<BTreeMap<u32, u32>>,
    /// Those of them that cost one mapping more, because they became writable and were split.
    split: RefCell<BTreeSet<u32>>,
    /// Nothing becomes writable.
    read_only: Cell<bool>,
    most: Cell<usize>,
    refused: Cell<u64>,
    setups: Cell<u64>,
    peak: Cell<usize>,
    /// This machine has no memory, for so many requests.
    without_memory: Cell<u32>,
    /// A file that is refused always; meanwhile another task has one of these mapped.
    never: RefCell<Option<(TestFile, Vec<TestFile>)>>,
}

impl Limited {
    fn new(blocks: u64, most: usize) -> Self {
        Self {
            window: RefCell::new(Window::new(blocks * BLOCK).unwrap()),
            maps: RefCell::default(),
            split: RefCell::default(),
            read_only: Cell::new(false),
            most: Cell::new(most),
            refused: Cell::new(0),
            setups: Cell::new(0),
            peak: Cell::new(0),
            without_memory: Cell::new(0),
            never: RefCell::default(),
        }
    }

    fn touch(&self, file: &TestFile, page: u64, file_pages: u64) -> Result<(), Failure> {
        self.access(file, page, file_pages, false)
    }

    /// Writes to a file of one page.
    fn write(&self, file: &TestFile) -> Result<(), Failure> {
        self.access(file, 0, 1, true)
    }

    fn access(
        &self,
        file: &TestFile,
        page: u64,
        file_pages: u64,
        write: bool,
    ) -> Result<(), Failure> {
        let want = Want {
            page: FilePage(page),
            file_pages: FilePages(file_pages),
            write,
        };
        let id = acquire(self, file, want)?;
        self.update(|window| window.let_go(id));
        assert!(self.window.borrow().check());
        Ok(())
    }

    fn mapped(&self) -> usize {
        self.maps.borrow().len()
    }
}

// SAFETY: No memory belongs to a test's window.
unsafe impl Platform<TestFile> for Limited {
    fn update<R>(&self, f: impl FnOnce(&mut Window<TestFile>) -> R) -> R {
        f(&mut self.window.borrow_mut())
    }

    fn wait<R>(&self, mut f: impl FnMut(&mut Window<TestFile>) -> Option<R>) -> Result<R, Killed> {
        Ok(f(&mut self.window.borrow_mut()).expect("there is nobody to wait for"))
    }

    fn pause(&self) -> Result<(), Killed> {
        panic!("nothing is busy");
    }

    fn send_setup(&self, file: &TestFile, setup: Setup) -> Result<(), i32> {
        let never = self.never.borrow();
        if let Some((_, others)) = never.as_ref().filter(|(never, _)| never.id() == file.id()) {
            let refused = self.refused.get() + 1;
            assert!(refused < 1000, "it is asked for without an end");
            self.refused.set(refused);
            let other = &others[refused as usize % others.len()];
            assert_eq!(self.touch(other, 0, 1), Ok(()));
            self.update(|window| window.answer(setup.id, setup.upgrade, Err(-28)));
            return Ok(());
        }
        if self.without_memory.get() > 0 {
            self.without_memory.set(self.without_memory.get() - 1);
            return Err(-12);
        }
        self.setups.set(self.setups.get() + 1);
        let (mut maps, mut split) = (self.maps.borrow_mut(), self.split.borrow_mut());
        let used = maps.len() + split.len();
        let pages = 1 << setup.order;
        let end = setup.id.page().0 + pages;
        let covered: Vec<_> = maps
            .range(setup.id.page().0..end)
            .map(|(at, _)| *at)
            .collect();
        let replaces = !covered.is_empty();
        // One that allows none is out of order.
        let most = self.most.get();
        let granted = match setup.upgrade {
            true => used < most && !self.read_only.get(),
            false => most > 0 && (replaces || used < most),
        };
        let result = if granted {
            if setup.upgrade {
                assert_eq!(maps.get(&setup.id.page().0), Some(&pages));
                assert!(split.insert(setup.id.page().0));
            } else {
                split.retain(|at| !covered.contains(at));
                maps.retain(|at, _| !covered.contains(at));
                maps.insert(setup.id.page().0, pages);
            }
            self.peak.set(self.peak.get().max(maps.len() + split.len()));
            Ok(())
        } else {
            self.refused.set(self.refused.get() + 1);
            Err(-28)
        };
        drop((maps, split));
        self.update(|window| window.answer(setup.id, setup.upgrade, result));
        Ok(())
    }

    fn send_removes(&self) -> Result<(), i32> {
        while let Some((id, _)) = self.update(|window| window.take_stale()) {
            self.maps.borrow_mut().remove(&id.page().0);
            self.split.borrow_mut().remove(&id.page().0);
            self.update(|window| window.removed(id));
        }
        Ok(())
    }

    fn drop_pages(&self, _file: &TestFile, _page: FilePage, _order: u8) -> bool {
        true
    }
}

#[test]
fn more_files_than_the_server_has_mappings() {
    let world = Limited::new(64, 100);
    let files: Vec<_> = (0..2000).map(TestFile::new).collect();
    for _ in 0..3 {
        for file in &files {
            assert_eq!(world.touch(file, 0, 1), Ok(()));
        }
    }
    assert_eq!(world.peak.get(), 100);
    assert!(world.mapped() > 90, "{} are used", world.mapped());
    let (refused, setups) = (world.refused.get(), world.setups.get());
    assert!(refused * 50 < setups, "{refused} of {setups} are refused");
    // Files of all sizes, which take ranges of all sizes.
    for number in 0..2000 {
        let pages = 1 << (number % 11);
        let file = &files[number as usize];
        assert_eq!(world.touch(file, number % pages, pages), Ok(()));
    }
    assert_eq!(world.peak.get(), 100);
}

/// The server may have more room later.
#[test]
fn the_limit_grows_with_the_servers() {
    let world = Limited::new(8, 20);
    let files: Vec<_> = (0..400).map(TestFile::new).collect();
    let all = || {
        for file in &files {
            assert_eq!(world.touch(file, 0, 1), Ok(()));
        }
    };
    all();
    assert_eq!(world.mapped(), 20);
    world.most.set(500);
    for _ in 0..100 {
        all();
    }
    assert_eq!(world.mapped(), 400);
}

#[test]
fn what_is_always_refused_is_an_error() {
    let world = Limited::new(64, 500);
    let files: Vec<_> = (0..500).map(TestFile::new).collect();
    for file in &files {
        assert_eq!(world.touch(file, 0, 1), Ok(()));
    }
    world.most.set(0);
    let refusal = Err(Failure::Refused(-28));
    assert_eq!(world.touch(&TestFile::new(1000), 0, 1), refusal);
    let (asked, left) = (world.refused.get(), world.mapped());
    assert!(asked <= 9 && left >= 360, "{asked} times, {left} are left");
    // The next hears of it at once.
    for number in 1001..1100 {
        assert_eq!(world.touch(&TestFile::new(number), 0, 1), refusal);
    }
    assert_eq!(world.refused.get(), asked + 99);
    assert!(world.mapped() + 1 >= left);
    world.most.set(500);
    for file in &files {
        assert_eq!(world.touch(file, 0, 1), Ok(()));
    }
}

/// That others get their mappings is no reason to ask for one without an end.
#[test]
fn one_file_is_always_refused() {
    let world = Limited::new(64, 500);
    let files: Vec<_> = (0..1000).map(TestFile::new).collect();
    for file in &files[600..] {
        assert_eq!(world.touch(file, 0, 1), Ok(()));
    }
    let refused = TestFile::new(1000);
    world.never.replace(Some((refused.clone(), files)));
    assert_eq!(world.touch(&refused, 0, 1), Err(Failure::Refused(-28)));
    assert!(
        world.refused.get() <= 33,
        "asked {} times",
        world.refused.get()
    );
}

#[test]
fn the_first_mapping_is_refused() {
    let world = Limited::new(2, 0);
    let file = TestFile::new(1);
    assert_eq!(world.touch(&file, 0, 1), Err(Failure::Refused(-28)));
    assert_eq!(world.refused.get(), 1);
    world.most.set(1);
    for number in 1..50 {
        assert_eq!(
            world.touch(&TestFile::new(number), 0, number as u64),
            Ok(())
        );
    }
}

/// To make a range writable costs this server a mapping, and it has none left.
#[test]
fn what_cannot_become_writable_takes_the_place_of_others() {
    let world = Limited::new(64, 100);
    let files: Vec<_> = (0..100).map(TestFile::new).collect();
    for file in &files {
        assert_eq!(world.touch(file, 0, 1), Ok(()));
    }
    assert_eq!((world.mapped(), world.refused.get()), (100, 0));
    assert_eq!(world.write(&files[50]), Ok(()));
    // One was given up for it.
    assert_eq!((world.mapped(), world.refused.get()), (99, 1));
    assert_eq!(world.split.borrow().len(), 1);
    for _ in 0..10 {
        for file in &files {
            assert_eq!(world.touch(file, 0, 1), Ok(()));
            assert_eq!(world.write(file), Ok(()));
        }
    }
    assert_eq!(world.peak.get(), 100);
    assert!(world.mapped() >= 45, "{} are used", world.mapped());
    let (refused, setups) = (world.refused.get(), world.setups.get());
    assert!(refused * 10 < setups, "{refused} of {setups} are refused");
}

/// What is refused whatever is given up is an error in the end, and can be read all the same.
#[test]
fn what_never_becomes_writable_is_an_error() {
    let world = Limited::new(64, 500);
    let files: Vec<_> = (0..500).map(TestFile::new).collect();
    for file in &files {
        assert_eq!(world.touch(file, 0, 1), Ok(()));
    }
    world.read_only.set(true);
    let refusal = Err(Failure::Refused(-28));
    assert_eq!(world.write(&files[0]), refusal);
    let (asked, left) = (world.refused.get(), world.mapped());
    assert!((2..=9).contains(&asked), "asked {asked} times");
    assert!((360..500).contains(&left), "{left} are left");
    let setups = world.setups.get();
    assert_eq!(world.touch(&files[0], 0, 1), Ok(()));
    assert_eq!(world.setups.get(), setups, "it was given up itself");
    world.read_only.set(false);
    assert_eq!(world.write(&files[0]), Ok(()));
}

/// There is no other mapping that could go.
#[test]
fn the_only_mapping_cannot_become_writable() {
    let world = Limited::new(1, 1);
    let file = TestFile::new(1);
    assert_eq!(world.touch(&file, 0, 1), Ok(()));
    assert_eq!(world.write(&file), Err(Failure::Refused(-28)));
    assert_eq!(world.refused.get(), 1);
    assert_eq!(world.touch(&file, 0, 1), Ok(()));
    world.most.set(2);
    assert_eq!(world.write(&file), Ok(()));
}

/// The ranges that could be given up are in use, and so is the range itself: what is drained is
/// another one.
#[test]
fn room_to_write_is_waited_for() {
    let world = Limited::new(2, 2);
    let (file, other) = (TestFile::new(1), TestFile::new(2));
    assert_eq!(world.touch(&file, 0, 1), Ok(()));
    assert_eq!(world.touch(&other, 0, 1), Ok(()));
    world.read_only.set(true);
    let hold = |file| world.update(|window| window.try_hold(file, FilePage(0), false));
    let write = || world.update(|window| window.request(&file, FilePage(0), FilePages(1), true));
    let held = [hold(&file).unwrap(), hold(&other).unwrap()];
    let Step::Start(setup) = write() else {
        panic!("it was not refused yet");
    };
    assert_eq!(world.send_setup(&file, setup), Ok(()));
    let poll = world.update(|window| window.look(setup.id, true));
    assert_eq!(poll, Poll::Wanting(-28));
    let Step::Drain(order, _) = write() else {
        panic!("all is in use");
    };
    world.update(|window| window.drain(order, true));
    assert_eq!(hold(&other), None);
    world.update(|window| window.let_go(held[1].id));
    let Step::Reclaim(area) = write() else {
        panic!("it is not in use any more");
    };
    assert!(reclaim(&world, area));
    world.update(|window| window.drained());
    assert!(!world.update(|window| window.has(&other, FilePage(0))));
    world.read_only.set(false);
    assert_eq!(world.write(&file), Ok(()));
    world.update(|window| window.let_go(held[0].id));
    assert!(world.window.borrow().check());
}

/// A range that is to become writable can be given up once that is answered, so it counts as another
/// mapping for the one that is refused.
#[test]
fn ranges_that_become_writable_at_the_same_time() {
    let world = Limited::new(8, 8);
    let files: Vec<_> = (0..8).map(TestFile::new).collect();
    for file in &files {
        assert_eq!(world.touch(file, 0, 1), Ok(()));
    }
    let ask = |file| world.update(|window| window.request(file, FilePage(0), FilePages(1), true));
    let mut asked = Vec::new();
    for file in &files {
        let Step::Start(setup) = ask(file) else {
            panic!("it is mapped for reading");
        };
        asked.push(setup);
    }
    for (file, setup) in files.iter().zip(&asked) {
        assert_eq!(world.send_setup(file, *setup), Ok(()));
        let poll = world.update(|window| window.look(setup.id, true));
        assert_eq!(poll, Poll::Wanting(-28));
    }
    for file in &files {
        assert_eq!(world.write(file), Ok(()));
    }
    assert!(world.window.borrow().check());
}

/// That is not the server's word, and says nothing of its limit.
#[test]
fn a_machine_without_memory_is_told_apart() {
    let world = Limited::new(2, 500);
    let file = TestFile::new(1);
    world.without_memory.set(1);
    assert_eq!(world.touch(&file, 0, 1), Err(Failure::Unasked(-12)));
    assert_eq!(world.touch(&file, 0, 1), Ok(()));
    // What would have had to be made writable stays as it is.
    world.without_memory.set(1);
    let want = Want {
        page: FilePage(0),
        file_pages: FilePages(1),
        write: true,
    };
    assert_eq!(acquire(&world, &file, want), Err(Failure::Unasked(-12)));
    assert_eq!(world.touch(&file, 0, 1), Ok(()));
    assert_eq!(world.setups.get(), 1);
}

/// Uses of a range that overlap without an end do not keep it from a task that needs room.
#[test]
fn overlapping_uses_end() {
    let world = Limited::new(1, 500);
    let (hot, other) = (TestFile::new(1), TestFile::new(2));
    assert_eq!(world.touch(&hot, 0, BLOCK), Ok(()));
    let hold = || world.update(|window| window.try_hold(&hot, FilePage(0), false));
    let miss =
        || world.update(|window| window.request(&other, FilePage(0), FilePages(BLOCK), false));
    let mut held = hold();
    for _ in 0..100 {
        let next = hold();
        if let Some(place) = held.take() {
            world.update(|window| window.let_go(place.id));
        }
        held = next;
        let step = miss();
        if let Step::Drain(order, _) = step {
            world.update(|window| window.drain(order, true));
        }
        if let Step::Reclaim(area) = step {
            assert!(reclaim(&world, area));
            world.update(|window| window.drained());
            assert_eq!(world.touch(&other, 0, BLOCK), Ok(()));
            // And it comes back.
            assert_eq!(world.touch(&hot, 0, BLOCK), Ok(()));
            return;
        }
    }
    panic!("the miss waits for ever");
}

/// A task that does not wait any more keeps no other task from a range.
#[test]
fn a_drain_ends_with_those_who_wait() {
    let world = Limited::new(1, 500);
    let hot = TestFile::new(1);
    assert_eq!(world.touch(&hot, 0, BLOCK), Ok(()));
    let hold = || world.update(|window| window.try_hold(&hot, FilePage(0), false));
    let held = hold().unwrap();
    for first in [true, true, false] {
        world.update(|window| window.drain(0, first));
    }
    assert_eq!(hold(), None);
    world.update(|window| window.drained());
    assert_eq!(hold(), None);
    let changes = world.update(|window| window.changes());
    world.update(|window| window.drained());
    assert_ne!(world.update(|window| window.changes()), changes);
    let again = hold().unwrap();
    for place in [held, again] {
        world.update(|window| window.let_go(place.id));
    }
}

/// A block is mapped where smaller ranges of a file that is gone were, with no request to remove
/// them.
#[test]
fn a_block_replaces_smaller_ranges() {
    let world = Limited::new(1, 5000);
    let (small, large) = (TestFile::new(1), TestFile::new(2));
    for number in 10..74 {
        let file = TestFile::new(number);
        assert_eq!(world.touch(&file, 0, 8), Ok(()));
        assert!(world.update(|window| crate::window_world::forget_all(window, &file)));
    }
    assert_eq!(world.touch(&small, 0, 1), Ok(()));
    assert!(world.update(|window| crate::window_world::forget_all(window, &small)));
    assert!(world.update(|window| window.stale()) > 1);
    assert_eq!(world.touch(&large, 0, BLOCK), Ok(()));
    assert_eq!(world.setups.get(), 66);
    assert_eq!(world.update(|window| window.counters.removes), 0);
    assert_eq!(world.maps.borrow().len(), 1);
}

/// A task that uses a range gets on with it, though others wait for the end of that use.
#[test]
fn a_drain_does_not_stop_a_use() {
    let world = Limited::new(1, 500);
    let file = TestFile::new(1);
    assert_eq!(world.touch(&file, 0, BLOCK), Ok(()));
    world.update(|window| {
        let held = window.try_hold(&file, FilePage(0), false).unwrap();
        window.drain(0, true);
        assert_eq!(window.try_hold(&file, FilePage(0), false), None);
        assert_eq!(window.hold_again(&file, FilePage(0), false), Some(held));
        window.let_go(held.id);
        window.let_go(held.id);
        window.drained();
    });
}

/// A block that is whole again gives back the records of its pages.
#[test]
fn records_of_whole_blocks_go() {
    let world = Limited::new(4, 5000);
    let files: Vec<_> = (0..4 * BLOCK as usize).map(TestFile::new).collect();
    for file in &files {
        assert_eq!(world.touch(file, 0, 1), Ok(()));
    }
    let unneeded = || world.update(|window| window.unneeded()).is_some();
    assert!(!unneeded());
    for file in &files {
        assert!(world.update(|window| crate::window_world::forget_all(window, file)));
    }
    assert!(world.send_removes().is_ok());
    for _ in 0..4 {
        assert!(unneeded());
    }
    assert!(!unneeded());
    assert!(world.window.borrow().check());
    // And gets them when it is cut again.
    for file in &files {
        assert_eq!(world.touch(file, 0, 1), Ok(()));
    }
}
