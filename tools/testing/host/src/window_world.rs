// SPDX-License-Identifier: GPL-2.0

//! Files and a server for the window's tests.

use crate::window::{
    evict::Forgot,
    units::{
        order_bytes,
        FilePage,
        RangeId,
        PAGE_SHIFT, //
    },
    Area,
    File,
    Kept,
    Poll,
    Setup,
    Window, //
};
use std::{
    ops::Range,
    sync::{
        Arc,
        Mutex, //
    },
};

/// The number of a file of another window.
pub(crate) const STRANGER: usize = usize::MAX;

/// A file of a test.
#[derive(Clone)]
pub(crate) struct TestFile(Arc<(usize, Mutex<Kept>)>);

impl TestFile {
    pub(crate) fn new(number: usize) -> Self {
        Self(Arc::new((number, Mutex::default())))
    }

    /// The number that it was made with.
    pub(crate) fn number(&self) -> usize {
        self.0 .0
    }
}

impl File for TestFile {
    fn id(&self) -> u64 {
        self.0 .0 as u64
    }

    fn is_of(&self, _window: &Window<Self>) -> bool {
        self.number() != STRANGER
    }

    unsafe fn handle(&self) -> Self {
        self.clone()
    }

    unsafe fn kept(&self) -> Kept {
        *self.0 .1.lock().unwrap()
    }

    unsafe fn set_kept(&self, kept: Kept) {
        *self.0 .1.lock().unwrap() = kept;
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

    /// [`Window::poll`].
    pub(crate) fn look(&mut self, id: RangeId, write: bool) -> Poll {
        // SAFETY: There is no memory.
        unsafe { self.poll(id, write) }
    }

    /// [`Window::reclaimed`].
    pub(crate) fn took(&mut self, area: Area, id: RangeId, taken: bool) {
        // SAFETY: There is no memory.
        unsafe { self.reclaimed(area, id, taken) };
    }
}

/// Takes all ranges of a file that no task uses; false when a task looks at the file.
pub(crate) fn forget_all(window: &mut Window<TestFile>, file: &TestFile) -> bool {
    loop {
        match window.evict(file) {
            Forgot::All => return true,
            Forgot::Some => {}
            Forgot::Busy => return false,
        }
    }
}

/// A page that the server has mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mapped {
    pub(crate) file: usize,
    pub(crate) page: FilePage,
    pub(crate) writable: bool,
}

/// What the server has mapped at each page of the window, and how often it was asked.
pub(crate) struct Server {
    pub(crate) pages: Vec<Option<Mapped>>,
    /// Where mappings begin, and how long they are: only whole ones are replaced and removed.
    starts: Vec<(u32, u32)>,
    pub(crate) setups: u64,
}

impl Server {
    pub(crate) fn new(pages: usize) -> Self {
        Self {
            pages: vec![None; pages],
            starts: Vec::new(),
            setups: 0,
        }
    }

    /// The pages of a range.
    fn pages_of(id: RangeId, order: u8) -> Range<u32> {
        id.page().0..id.after(order).page().0
    }

    /// Maps a range. It may replace mappings that it covers, but cut none.
    pub(crate) fn setup(&mut self, file: usize, setup: &Setup) {
        self.setups += 1;
        let pages = Self::pages_of(setup.id, setup.order);
        for (start, len) in &self.starts {
            let apart = *start >= pages.end || start + len <= pages.start;
            let covered = *start >= pages.start && start + len <= pages.end;
            assert!(
                apart || covered,
                "{setup:?} cuts a mapping at {start}+{len}"
            );
        }
        self.starts.retain(|(start, _)| !pages.contains(start));
        self.starts.push((pages.start, pages.end - pages.start));
        for (number, page) in pages.enumerate() {
            self.pages[page as usize] = Some(Mapped {
                file,
                page: FilePage(setup.page.0 + number as u64),
                writable: setup.writable,
            });
        }
    }

    /// Removes a range.
    pub(crate) fn remove(&mut self, id: RangeId, order: u8) {
        let pages = Self::pages_of(id, order);
        self.starts.retain(|(start, _)| !pages.contains(start));
        for page in pages {
            self.pages[page as usize] = None;
        }
    }

    /// Panics unless a range that is in use is mapped as it should be.
    pub(crate) fn check(&self, id: RangeId, order: u8, file: usize, page: FilePage, write: bool) {
        let len = order_bytes(order) >> PAGE_SHIFT;
        for number in 0..len as usize {
            let found =
                self.pages[id.page().0 as usize + number].expect("what is in use is mapped");
            assert_eq!(found.file, file);
            assert_eq!(found.page.0, page.0 + number as u64);
            assert!(found.writable || !write);
        }
    }
}
