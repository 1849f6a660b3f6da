// SPDX-License-Identifier: GPL-2.0

//! KUnit tests of the window's manager, in the kernel's own terms: its allocator, its vectors, its
//! overflow checks. `tools/testing/host` has more, and runs what needs several tasks.

use super::window::{
    acquire::{
        self,
        Killed,
        Platform,
        Want, //
    },
    answer::result_of,
    evict::Forgot,
    region::{
        usable,
        Region,
        Wrong, //
    },
    units::{
        FilePage,
        FilePages,
        RangeId,
        WindowPage,
        BLOCK_PAGES, //
    },
    File,
    Kept,
    Setup,
    Window, //
};
use core::cell::{
    Cell,
    RefCell, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

const BLOCK: u64 = BLOCK_PAGES as u64;

/// A file of a test, which has one task.
#[derive(Clone)]
struct TestFile(Arc<(u64, Cell<Kept>)>);

impl TestFile {
    fn new(number: u64) -> Result<Self> {
        Ok(Self(Arc::new((number, Cell::default()), GFP_KERNEL)?))
    }
}

impl File for TestFile {
    fn id(&self) -> u64 {
        self.0 .0
    }

    fn is_of(&self, _window: &Window<Self>) -> bool {
        // A test has one window.
        true
    }

    unsafe fn handle(&self) -> Self {
        self.clone()
    }

    unsafe fn kept(&self) -> Kept {
        self.0 .1.get()
    }

    unsafe fn set_kept(&self, kept: Kept) {
        self.0 .1.set(kept);
    }
}

/// The manager's unsafe methods. No memory belongs to a test's window, so that wrong calls have no
/// consequences but for the test.
impl Window<TestFile> {
    /// [`Window::release`].
    pub(crate) fn let_go(&mut self, id: RangeId) {
        // SAFETY: There is no memory.
        unsafe { self.release(id) };
    }

    /// [`Window::setup_done`].
    pub(crate) fn answer(&mut self, id: RangeId, upgrade: bool, result: Result<(), i32>) {
        // SAFETY: There is no memory.
        unsafe { self.setup_done(id, upgrade, result) };
    }

    /// [`Window::forget`].
    pub(crate) fn evict(&mut self, file: &TestFile) -> Forgot {
        // SAFETY: There is no memory.
        unsafe { self.forget(file) }
    }
}

/// A server that answers at once, with `error`.
struct TestServer {
    /// After this many pauses it answers the requests since then, if not at once.
    late: Cell<u32>,
    owed: Cell<Option<Setup>>,
    window: RefCell<Window<TestFile>>,
    error: Cell<i32>,
    setups: Cell<u32>,
    removes: Cell<u32>,
    busy: Cell<u32>,
    pauses: Cell<u32>,
}

impl TestServer {
    fn new(blocks: u64) -> Result<Self> {
        Ok(Self {
            window: RefCell::new(Window::new(blocks * BLOCK)?),
            late: Cell::new(0),
            owed: Cell::new(None),
            error: Cell::new(0),
            setups: Cell::new(0),
            removes: Cell::new(0),
            busy: Cell::new(0),
            pauses: Cell::new(0),
        })
    }

    fn acquire(&self, file: &TestFile, page: u64, pages: u64, write: bool) -> Result<RangeId, i32> {
        let want = Want {
            page: FilePage(page),
            file_pages: FilePages(pages),
            write,
        };
        acquire::acquire(self, file, want).map_err(acquire::Failure::errno)
    }

    fn touch(&self, file: &TestFile, page: u64, pages: u64, write: bool) -> Result<(), i32> {
        let id = self.acquire(file, page, pages, write)?;
        self.update(|window| window.let_go(id));
        Ok(())
    }
}

// SAFETY: No memory belongs to a test's window.
unsafe impl Platform<TestFile> for TestServer {
    fn update<R>(&self, f: impl FnOnce(&mut Window<TestFile>) -> R) -> R {
        f(&mut self.window.borrow_mut())
    }

    fn wait<R>(&self, mut f: impl FnMut(&mut Window<TestFile>) -> Option<R>) -> Result<R, Killed> {
        // There is no other task to wait for, so end the wait as a signal would.
        f(&mut self.window.borrow_mut()).ok_or(Killed)
    }

    fn pause(&self) -> Result<(), Killed> {
        self.pauses.set(self.pauses.get() + 1);
        self.busy.set(0);
        self.late.set(self.late.get().saturating_sub(1));
        if self.late.get() == 0 {
            if let Some(setup) = self.owed.take() {
                self.update(|window| window.answer(setup.id, setup.upgrade, Ok(())));
            }
        }
        Ok(())
    }

    fn send_setup(&self, _file: &TestFile, setup: Setup) -> Result<(), i32> {
        self.setups.set(self.setups.get() + 1);
        if self.late.get() > 0 {
            self.owed.set(Some(setup));
            return Ok(());
        }
        let result = result_of(self.error.get());
        self.update(|window| window.answer(setup.id, setup.upgrade, result));
        Ok(())
    }

    fn send_removes(&self) -> Result<(), i32> {
        self.removes.set(self.removes.get() + 1);
        for _ in 0..256 {
            let Some((id, _)) = self.update(|window| window.take_stale()) else {
                break;
            };
            self.update(|window| window.removed(id));
        }
        Ok(())
    }

    fn drop_pages(&self, _file: &TestFile, _page: FilePage, _order: u8) -> bool {
        let busy = self.busy.get();
        self.busy.set(busy.saturating_sub(1));
        busy == 0
    }
}

#[kunit_tests(rust_fuse_dax_window)]
mod suite {
    use super::*;

    #[test]
    fn ten_thousand_small_files_fit_64_mib() -> Result {
        let server = TestServer::new(32)?;
        let mut files = KVVec::with_capacity(10_000, GFP_KERNEL)?;
        for number in 0..10_000 {
            files.push(TestFile::new(number)?, GFP_KERNEL)?;
        }
        for _ in 0..2 {
            for file in files.iter() {
                assert_eq!(server.touch(file, 0, 1, false), Ok(()));
            }
        }
        assert_eq!(server.setups.get(), 10_000);
        assert_eq!(server.removes.get(), 0);
        assert!(server.update(|window| window.check()));
        for file in files.iter() {
            assert_eq!(server.update(|window| window.evict(file)), Forgot::All);
        }
        assert_eq!(server.update(|window| window.mapped()), 0);
        Ok(())
    }

    #[test]
    fn one_range_serves_all() -> Result {
        let server = TestServer::new(1)?;
        let (one, other) = (TestFile::new(1)?, TestFile::new(2)?);
        for block in 0..20 {
            assert_eq!(server.touch(&one, block * BLOCK, 40 * BLOCK, false), Ok(()));
            assert_eq!(server.touch(&other, 0, 7, true), Ok(()));
        }
        assert!(server.update(|window| window.check()));
        Ok(())
    }

    #[test]
    fn the_longest_unused_goes_first() -> Result {
        let server = TestServer::new(2)?;
        let file = TestFile::new(1)?;
        for block in [0, 2, 0, 4, 0, 6, 0] {
            assert_eq!(server.touch(&file, block * BLOCK, 8 * BLOCK, false), Ok(()));
        }
        // A first in, first out would have asked seven times.
        assert_eq!(server.setups.get(), 4);
        assert_eq!(server.removes.get(), 0);
        Ok(())
    }

    #[test]
    fn reads_here_and_there_go_past_a_full_window() -> Result {
        let server = TestServer::new(2)?;
        let file = TestFile::new(1)?;
        let pass = |block: u64, page: u64| {
            let page = FilePage(block * BLOCK + page);
            let end = server.update(|window| window.pass(&file, page, FilePages(8 * BLOCK)));
            end.map(|end| end.0)
        };
        // There are free ranges.
        assert_eq!(pass(4, 7), None);
        assert_eq!(server.touch(&file, 0, 8 * BLOCK, false), Ok(()));
        assert_eq!(server.touch(&file, 2 * BLOCK, 8 * BLOCK, false), Ok(()));
        // The page is mapped.
        assert_eq!(pass(2, 7), None);
        assert_eq!(pass(4, 70), Some(5 * BLOCK));
        // Sequential.
        assert_eq!(pass(4, 71), None);
        assert_eq!(pass(6, 70), Some(7 * BLOCK));
        assert_eq!(pass(4, 100), Some(5 * BLOCK));
        assert_eq!(pass(6, 100), Some(7 * BLOCK));
        // Often enough.
        assert_eq!(pass(4, 200), None);
        assert_eq!(server.update(|window| window.counters.passes), 4);
        assert_eq!(server.setups.get(), 2);
        Ok(())
    }

    #[test]
    fn a_write_upgrades_once() -> Result {
        let server = TestServer::new(1)?;
        let file = TestFile::new(1)?;
        assert_eq!(server.touch(&file, 0, BLOCK, false), Ok(()));
        assert_eq!(server.touch(&file, 1, BLOCK, true), Ok(()));
        assert_eq!(server.touch(&file, 2, BLOCK, true), Ok(()));
        assert_eq!(server.setups.get(), 2);
        Ok(())
    }

    #[test]
    fn what_the_server_refuses_is_said_so() -> Result {
        let server = TestServer::new(2)?;
        let file = TestFile::new(1)?;
        for (said, meant) in [
            (-2, -2),
            (-38, -38),
            (7, -5),
            (i32::MIN, -5),
            (-4095, -4095),
        ] {
            server.error.set(said);
            assert_eq!(server.touch(&file, 0, BLOCK, false), Err(meant));
            assert!(server.update(|window| window.check()));
        }
        server.error.set(0);
        assert_eq!(server.touch(&file, 0, BLOCK, false), Ok(()));
        // An upgrade that fails leaves the mapping.
        server.error.set(-13);
        assert_eq!(server.touch(&file, 0, BLOCK, true), Err(-13));
        assert_eq!(server.touch(&file, 0, BLOCK, false), Ok(()));
        Ok(())
    }

    #[test]
    fn what_is_in_use_stays() -> Result {
        let server = TestServer::new(1)?;
        let (file, other) = (TestFile::new(1)?, TestFile::new(2)?);
        let id = server.acquire(&file, 0, BLOCK, false);
        assert!(id.is_ok());
        // A signal ends the wait.
        assert_eq!(server.touch(&other, 0, BLOCK, false), Err(-4));
        if let Ok(id) = id {
            server.update(|window| window.let_go(id));
        }
        assert_eq!(server.touch(&other, 0, BLOCK, false), Ok(()));
        Ok(())
    }

    #[test]
    fn referenced_pages_are_left_alone() -> Result {
        let server = TestServer::new(2)?;
        let file = TestFile::new(1)?;
        assert_eq!(server.touch(&file, 0, 8 * BLOCK, false), Ok(()));
        assert_eq!(server.touch(&file, 2 * BLOCK, 8 * BLOCK, false), Ok(()));
        // The first one to evict has references, so the other is evicted.
        server.busy.set(1);
        assert_eq!(server.touch(&file, 4 * BLOCK, 8 * BLOCK, false), Ok(()));
        assert_eq!(server.touch(&file, 0, 8 * BLOCK, false), Ok(()));
        assert_eq!(server.setups.get(), 3);
        // All have references for a while, so the task sleeps.
        server.busy.set(1000);
        assert_eq!(server.touch(&file, 6 * BLOCK, 8 * BLOCK, false), Ok(()));
        assert_eq!(server.pauses.get(), 1);
        Ok(())
    }

    #[test]
    fn failed_memory_is_not_used_again() -> Result {
        let server = TestServer::new(2)?;
        let file = TestFile::new(1)?;
        assert_eq!(server.touch(&file, 0, BLOCK, false), Ok(()));
        let bad = server
            .acquire(&file, 0, BLOCK, false)
            .map_err(Error::from_errno)?;
        server.update(|window| window.let_go(bad));
        let victim = server.update(|window| window.fail(WindowPage(bad.page().0 + 3)));
        assert!(victim.is_some());
        // Its inode is in use.
        assert_eq!(server.update(|window| window.evict(&file)), Forgot::Busy);
        let area = server.update(|window| window.unpin(bad));
        assert!(area.is_some_and(|area| acquire::reclaim(&server, area)));
        for block in 0..6 {
            let id = server.acquire(&file, block * BLOCK, 6 * BLOCK, false);
            assert!(id.is_ok_and(|id| id.block() != bad.block()));
            if let Ok(id) = id {
                server.update(|window| window.let_go(id));
            }
        }
        // When all of the window has failed, requests fail.
        let other = WindowPage(BLOCK_PAGES * u32::from(bad == RangeId::FIRST));
        if let Some(victim) = server.update(|window| window.fail(other)) {
            let area = server.update(|window| window.unpin(victim.id));
            assert!(area.is_some_and(|area| acquire::reclaim(&server, area)));
        }
        assert_eq!(server.touch(&file, 0, BLOCK, false), Err(-5));
        Ok(())
    }

    #[test]
    fn a_closed_window_lets_nobody_in() -> Result {
        let server = TestServer::new(1)?;
        let file = TestFile::new(1)?;
        assert_eq!(server.touch(&file, 0, BLOCK, false), Ok(()));
        server.update(|window| window.close(-107));
        assert_eq!(server.touch(&file, 0, BLOCK, false), Err(-107));
        // A mapped range is not held at once either, or it could not be reclaimed.
        let held = server.update(|window| window.try_hold(&file, FilePage(0), false));
        assert_eq!(held, None);
        Ok(())
    }

    #[test]
    fn a_device_that_goes_leaves_no_file_its_ranges() -> Result {
        let server = TestServer::new(3)?;
        for number in 0..200 {
            let file = TestFile::new(number)?;
            assert_eq!(server.touch(&file, 0, 1, true), Ok(()));
        }
        assert!(server.update(|window| window.mapped()) > 0);
        acquire::evacuate(&server, -107);
        assert_eq!(server.update(|window| window.mapped()), 0);
        let file = TestFile::new(200)?;
        assert_eq!(server.touch(&file, 0, 1, false), Err(-107));
        Ok(())
    }

    #[test]
    fn a_late_answer_to_a_device_that_goes_is_waited_for() -> Result {
        for (late, mapped) in [(5, 1), (u32::MAX, 0)] {
            let server = TestServer::new(1)?;
            let file = TestFile::new(1)?;
            server.late.set(late);
            assert_eq!(server.touch(&file, 0, BLOCK, false), Err(EINTR.to_errno()));
            acquire::evacuate(&server, -107);
            acquire::settle(&server);
            assert_eq!(server.update(|window| window.mapped()), mapped);
            acquire::evacuate(&server, -107);
            assert_eq!(server.update(|window| window.mapped()), 0);
            assert_eq!(server.update(|window| window.stale()), mapped);
        }
        Ok(())
    }

    #[test]
    fn alignment() -> Result {
        let server = TestServer::new(1)?;
        assert!(server.update(|window| window.set_alignment(21)));
        assert!(!server.update(|window| window.set_alignment(22)));
        assert!(!server.update(|window| window.set_alignment(u32::MAX)));
        assert!(server.update(|window| window.set_alignment(16)));
        let (one, other) = (TestFile::new(1)?, TestFile::new(2)?);
        let first = server
            .acquire(&one, 0, 1, false)
            .map_err(Error::from_errno)?;
        let second = server
            .acquire(&other, 0, 1, false)
            .map_err(Error::from_errno)?;
        assert_eq!(first.page().0 % 16, 0);
        assert_eq!(second.page().0 % 16, 0);
        Ok(())
    }

    #[test]
    fn windows_that_cannot_be_are_refused() {
        let block = BLOCK << 12;
        let bar = Region {
            start: 16 * block,
            len: 16 * block,
        };
        let check = |start, len| usable(Region { start, len }, Some(&[bar]), 46).err();
        assert_eq!(check(16 * block, 16 * block), None);
        assert_eq!(check(16 * block, 17 * block), Some(Wrong::Outside));
        assert_eq!(check(16 * block + 4096, block), Some(Wrong::Unaligned));
        assert_eq!(check(16 * block, 0), Some(Wrong::Small));
        assert_eq!(check(u64::MAX - block + 1, block), Some(Wrong::Wraps));
    }
}
