// SPDX-License-Identifier: GPL-2.0

//! `evacuate()` of `fs/fuse/dax/window/acquire.rs`, where ranges cannot be evicted yet.

use crate::{
    window::{
        acquire::{
            acquire,
            evacuate,
            reclaim,
            Killed,
            Platform,
            Want, //
        },
        units::{
            FilePage,
            FilePages,
            RangeId,
            BLOCK_PAGES, //
        },
        Setup,
        Window, //
    },
    window_world::TestFile,
};
use std::cell::{
    Cell,
    RefCell, //
};

/// A window whose server answers at once, and whose memory fails.
struct Failing {
    window: RefCell<Window<TestFile>>,
    /// Ranges whose failure is being handled.
    handled: RefCell<Vec<RangeId>>,
    pauses: Cell<u32>,
    /// The pause in which the handling ends.
    until: u32,
}

impl Failing {
    /// A window of `blocks` in which `files` of one page each are mapped, and each has failed.
    fn new(blocks: u32, files: usize, until: u32) -> Self {
        let this = Self {
            window: RefCell::new(Window::new((blocks * BLOCK_PAGES).into()).unwrap()),
            handled: RefCell::new(Vec::new()),
            pauses: Cell::new(0),
            until,
        };
        let want = Want {
            page: FilePage(0),
            file_pages: FilePages(1),
            write: false,
        };
        for number in 0..files {
            let id = acquire(&this, &TestFile::new(number), want).unwrap();
            this.update(|window| window.let_go(id));
            let victim = this.update(|window| window.fail(id.page())).unwrap();
            this.handled.borrow_mut().push(victim.id);
        }
        this
    }

    fn mapped(&self) -> u32 {
        self.update(|window| window.mapped())
    }
}

// SAFETY: No memory belongs to a test's window.
unsafe impl Platform<TestFile> for Failing {
    fn update<R>(&self, f: impl FnOnce(&mut Window<TestFile>) -> R) -> R {
        f(&mut self.window.borrow_mut())
    }

    fn wait<R>(&self, mut f: impl FnMut(&mut Window<TestFile>) -> Option<R>) -> Result<R, Killed> {
        Ok(self
            .update(|window| f(window))
            .expect("there is nothing to wait for"))
    }

    fn pause(&self) -> Result<(), Killed> {
        self.pauses.set(self.pauses.get() + 1);
        if self.pauses.get() == self.until {
            for id in self.handled.take() {
                if let Some(area) = self.update(|window| window.unpin(id)) {
                    reclaim(self, area);
                }
            }
        }
        Ok(())
    }

    fn send_setup(&self, _file: &TestFile, setup: Setup) -> Result<(), i32> {
        self.update(|window| window.answer(setup.id, setup.upgrade, Ok(())));
        Ok(())
    }

    fn send_removes(&self) -> Result<(), i32> {
        while let Some((id, _)) = self.update(|window| window.take_stale()) {
            self.update(|window| window.removed(id));
        }
        Ok(())
    }

    fn drop_pages(&self, _file: &TestFile, _page: FilePage, _order: u8) -> bool {
        true
    }
}

/// Many ranges that stay as they are cost no more pauses than one.
#[test]
fn pauses_do_not_grow_with_the_number_of_ranges() {
    for files in [1, 30, 1000] {
        let failing = Failing::new(2, files, u32::MAX);
        evacuate(&failing, -107);
        assert_eq!(failing.mapped() as usize, files);
        assert_eq!(failing.pauses.get(), 50);
    }
}

/// Nor is one range given up at once.
#[test]
fn a_failure_that_is_being_handled_is_waited_for() {
    for files in [1, 30, 1000] {
        let failing = Failing::new(2, files, 40);
        evacuate(&failing, -107);
        assert_eq!(failing.mapped(), 0);
        assert_eq!(failing.pauses.get(), 40);
    }
}
