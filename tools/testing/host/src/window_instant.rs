// SPDX-License-Identifier: GPL-2.0

//! One task, and a server that answers at once, so that the requests of the window can be counted.

use crate::{
    window::{
        acquire::{
            acquire,
            Killed,
            Platform,
            Want, //
        },
        units::{
            FilePage,
            FilePages,
            BLOCK_PAGES,
            TOP_ORDER, //
        },
        Setup,
        Window, //
    },
    window_world::{
        Server,
        TestFile, //
    },
};
use std::{
    cell::{
        Cell,
        RefCell, //
    },
    collections::HashSet,
};

const BLOCK: u64 = BLOCK_PAGES as u64;

/// A platform whose server answers at once, for one task.
pub(crate) struct Instant {
    pub(crate) window: RefCell<Window<TestFile>>,
    pub(crate) server: RefCell<Server>,
    pub(crate) removes: Cell<u64>,
    pub(crate) dropped: RefCell<Vec<(usize, u64)>>,
    /// Pages of files that are in page tables.
    present: RefCell<HashSet<(usize, u64)>>,
    /// Page faults.
    pub(crate) faults: Cell<u64>,
    /// Pages of files that have references.
    pub(crate) referenced: RefCell<HashSet<(usize, u64)>>,
}

impl Instant {
    pub(crate) fn new(blocks: u64) -> Self {
        Self {
            window: RefCell::new(Window::new(blocks * BLOCK).unwrap()),
            server: RefCell::new(Server::new((blocks * BLOCK) as usize)),
            removes: Cell::new(0),
            dropped: RefCell::new(Vec::new()),
            present: RefCell::new(HashSet::new()),
            faults: Cell::new(0),
            referenced: RefCell::new(HashSet::new()),
        }
    }

    pub(crate) fn touch(&self, file: &TestFile, page: u64, file_pages: u64, write: bool) {
        let want = Want {
            page: FilePage(page),
            file_pages: FilePages(file_pages),
            write,
        };
        let id = acquire(self, file, want).unwrap();
        self.update(|window| window.let_go(id));
    }

    /// As `read()` of a page does.
    pub(crate) fn read(&self, file: &TestFile, page: u64, file_pages: u64) {
        let passed = self.update(|window| window.pass(file, FilePage(page), FilePages(file_pages)));
        match passed {
            Some(end) => assert!(end.0 > page),
            None => self.touch(file, page, file_pages, false),
        }
    }

    /// As a load or a store of a process does: only a page fault is visible to the window.
    pub(crate) fn load(&self, file: &TestFile, page: u64, file_pages: u64, write: bool) {
        if self.present.borrow().contains(&(file.number(), page)) {
            return;
        }
        self.faults.set(self.faults.get() + 1);
        let want = Want {
            page: FilePage(page),
            file_pages: FilePages(file_pages),
            write,
        };
        let id = acquire(self, file, want).unwrap();
        let place = self.update(|window| window.place(id));
        let (start, order) = (place.page, place.order);
        let pages = match order {
            TOP_ORDER => start.0..start.0 + BLOCK,
            _ => page..page + 1,
        };
        let pages = pages.map(|page| (file.number(), page));
        self.present.borrow_mut().extend(pages);
        self.update(|window| window.let_go(id));
    }

    /// Requests to the server.
    pub(crate) fn requests(&self) -> u64 {
        self.setups() + self.removes.get() + self.passes()
    }

    /// Of these, for data.
    pub(crate) fn passes(&self) -> u64 {
        self.update(|window| window.counters.passes)
    }

    pub(crate) fn setups(&self) -> u64 {
        self.server.borrow().setups
    }
}

// SAFETY: No memory belongs to a test's window.
unsafe impl Platform<TestFile> for Instant {
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
        self.server.borrow_mut().setup(file.number(), &setup);
        self.window
            .borrow_mut()
            .answer(setup.id, setup.upgrade, Ok(()));
        Ok(())
    }

    fn send_removes(&self) -> Result<(), i32> {
        self.removes.set(self.removes.get() + 1);
        for _ in 0..256 {
            let Some((id, order)) = self.window.borrow_mut().take_stale() else {
                break;
            };
            self.server.borrow_mut().remove(id, order);
            self.window.borrow_mut().removed(id);
        }
        Ok(())
    }

    fn drop_pages(&self, file: &TestFile, page: FilePage, order: u8) -> bool {
        let mut present = self.present.borrow_mut();
        let pages = page.0..page.0 + (1 << order);
        let referenced = self.referenced.borrow();
        if (pages.clone()).any(|number| referenced.contains(&(file.number(), number))) {
            return false;
        }
        for number in pages {
            present.remove(&(file.number(), number));
        }
        self.dropped.borrow_mut().push((file.number(), page.0));
        true
    }
}
