// SPDX-License-Identifier: GPL-2.0

//! The protocol of the window's waiting under loom: every order in which few tasks can take the
//! lock and wait for each other, for the server, and for an eviction.
//!
//! Loom fails a model in which tasks wait for each other for good, or in which one task reads what
//! another writes without an order between them. The memory of a range is such data: a task that
//! holds a range reads it, and a task that reclaims it from its file writes it.

use crate::{
    window::{
        acquire::{
            acquire,
            evacuate,
            reclaim,
            Failure,
            Killed,
            Platform,
            Want, //
        },
        evict::Forgot,
        units::{
            FilePage,
            FilePages,
            BLOCK_PAGES, //
        },
        Setup,
        Window, //
    },
    window_world::TestFile,
};
use loom::{
    cell::UnsafeCell,
    model::Builder,
    sync::{
        Condvar,
        Mutex, //
    },
    thread::{
        self,
        JoinHandle, //
    },
};
use std::sync::Arc;

const BLOCK: u64 = BLOCK_PAGES as u64;

/// Goes through `model` in every order in which tasks are stopped twice where they could go on.
fn check(model: fn()) {
    let mut builder = Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(2));
    builder.check(model);
}

/// What the lock guards, as in `conn.rs`.
struct Shared {
    window: Window<TestFile>,
    /// How many tasks sleep, or are about to.
    waiters: u32,
}

/// The platform of the kernel, which wakes tasks where `Conn` does and nowhere else: one that woke
/// them more often would hide that they have to be woken.
struct Loom {
    shared: Mutex<Shared>,
    queue: Condvar,
    /// Requests that the server has not seen.
    jobs: Mutex<Vec<Setup>>,
    /// The memory of the only range, or of the range of each file.
    memory: Vec<UnsafeCell<u64>>,
    killed: bool,
    /// If there is no server, requests are answered when they are sent; and so many are refused
    /// first that would make a range writable.
    refuses: Option<Mutex<u32>>,
}

// SAFETY: Loom watches over `memory`, which is what the models are about.
unsafe impl Sync for Loom {}
// SAFETY: As above.
unsafe impl Send for Loom {}

impl Loom {
    fn new(killed: bool) -> Arc<Self> {
        Self::with(1, 1, killed, None)
    }

    fn with(blocks: u64, cells: usize, killed: bool, refuses: Option<u32>) -> Arc<Self> {
        Arc::new(Self {
            shared: Mutex::new(Shared {
                window: Window::new(blocks * BLOCK).unwrap(),
                waiters: 0,
            }),
            queue: Condvar::new(),
            jobs: Mutex::new(Vec::new()),
            memory: (0..cells).map(|_| UnsafeCell::new(0)).collect(),
            killed,
            refuses: refuses.map(Mutex::new),
        })
    }

    /// The memory of the range of a file.
    fn memory(&self, file: &TestFile) -> &UnsafeCell<u64> {
        &self.memory[file.number() % self.memory.len()]
    }

    /// Uses a page of a file once.
    fn touch(&self, file: &TestFile, block: u64) -> Result<(), i32> {
        self.access(file, block, false)
    }

    /// The same, for writing if `write`.
    fn access(&self, file: &TestFile, block: u64, write: bool) -> Result<(), i32> {
        let want = Want {
            page: FilePage(block * BLOCK),
            file_pages: FilePages(2 * BLOCK),
            write,
        };
        let id = acquire(self, file, want).map_err(Failure::errno)?;
        self.memory(file).with(|memory| {
            // SAFETY: Loom says if this is not so.
            let _ = unsafe { *memory };
        });
        self.update(|window| window.let_go(id));
        Ok(())
    }

    /// As above, by another task.
    fn touch_beside(self: &Arc<Self>, file: &TestFile, block: u64) -> JoinHandle<Result<(), i32>> {
        let (loom, file) = (self.clone(), file.clone());
        thread::spawn(move || loom.touch(&file, block))
    }

    /// A server that answers `count` requests.
    fn server(self: &Arc<Self>, count: usize) -> JoinHandle<()> {
        let loom = self.clone();
        thread::spawn(move || loom.serve(count))
    }

    /// The server answers `count` requests.
    fn serve(&self, count: usize) {
        for _ in 0..count {
            loop {
                let job = self.jobs.lock().unwrap().pop();
                if let Some(setup) = job {
                    self.update(|window| window.answer(setup.id, setup.upgrade, Ok(())));
                    break;
                }
                thread::yield_now();
            }
        }
    }
}

impl Loom {
    /// Unless the task was killed, sleeps until `f` gives something.
    fn sleep<R>(
        &self,
        killed: bool,
        mut f: impl FnMut(&mut Window<TestFile>) -> Option<R>,
    ) -> Result<R, Killed> {
        let mut shared = self.shared.lock().unwrap();
        loop {
            let before = shared.window.changes();
            if let Some(result) = f(&mut shared.window) {
                let wake = shared.waiters > 0 && shared.window.changes() != before;
                drop(shared);
                if wake {
                    self.queue.notify_all();
                }
                return Ok(result);
            }
            if killed {
                return Err(Killed);
            }
            shared.waiters += 1;
            shared = self.queue.wait(shared).unwrap();
            shared.waiters -= 1;
        }
    }
}

// SAFETY: No memory belongs to a test's window.
unsafe impl Platform<TestFile> for Loom {
    fn update<R>(&self, f: impl FnOnce(&mut Window<TestFile>) -> R) -> R {
        let mut shared = self.shared.lock().unwrap();
        let before = shared.window.changes();
        let result = f(&mut shared.window);
        let wake = shared.waiters > 0 && shared.window.changes() != before;
        drop(shared);
        if wake {
            self.queue.notify_all();
        }
        result
    }

    fn wait<R>(&self, f: impl FnMut(&mut Window<TestFile>) -> Option<R>) -> Result<R, Killed> {
        self.sleep(self.killed, f)
    }

    fn wait_always<R>(&self, f: impl FnMut(&mut Window<TestFile>) -> Option<R>) -> R {
        match self.sleep(false, f) {
            Ok(result) => result,
            Err(Killed) => unreachable!("no signal ends this"),
        }
    }

    fn pause(&self) -> Result<(), Killed> {
        panic!("nothing is busy");
    }

    fn send_setup(&self, _file: &TestFile, setup: Setup) -> Result<(), i32> {
        let Some(refuses) = &self.refuses else {
            self.jobs.lock().unwrap().push(setup);
            return Ok(());
        };
        let mut left = refuses.lock().unwrap();
        let refused = setup.upgrade && *left > 0;
        *left -= u32::from(refused);
        drop(left);
        let result = if refused { Err(-28) } else { Ok(()) };
        self.update(|window| window.answer(setup.id, setup.upgrade, result));
        Ok(())
    }

    fn send_removes(&self) -> Result<(), i32> {
        while let Some((id, _)) = self.update(|window| window.take_stale()) {
            self.update(|window| window.removed(id));
        }
        Ok(())
    }

    fn drop_pages(&self, file: &TestFile, _page: FilePage, _order: u8) -> bool {
        self.memory(file).with_mut(|memory| {
            // SAFETY: Loom says if this is not so.
            unsafe { *memory += 1 };
        });
        true
    }
}

/// Two tasks want two parts of a file, and there is room for one: each is served.
#[test]
fn two_tasks_one_range() {
    check(|| {
        let loom = Loom::new(false);
        let file = TestFile::new(1);
        let server = loom.server(2);
        let other = loom.touch_beside(&file, 1);
        loom.touch(&file, 0).unwrap();
        other.join().unwrap().unwrap();
        server.join().unwrap();
    });
}

/// Two tasks want the same: one request serves both.
#[test]
fn two_tasks_one_request() {
    check(|| {
        let loom = Loom::new(false);
        let file = TestFile::new(1);
        let server = loom.server(1);
        let other = loom.touch_beside(&file, 0);
        loom.touch(&file, 0).unwrap();
        other.join().unwrap().unwrap();
        server.join().unwrap();
        assert!(loom.jobs.lock().unwrap().is_empty());
    });
}

/// A file is evicted while a task takes its range: the eviction ends after that task is done.
#[test]
fn eviction_waits_for_reclaim() {
    check(|| {
        let loom = Loom::new(false);
        let (file, other) = (TestFile::new(1), TestFile::new(2));
        let server = loom.server(2);
        loom.touch(&file, 0).unwrap();
        let task = loom.touch_beside(&other, 0);
        let some = |window: &mut Window<TestFile>| match window.evict(&file) {
            Forgot::Busy => None,
            forgot => Some(forgot),
        };
        while loom.wait(some).unwrap() == Forgot::Some {}
        // From here on no task may access what was the file's.
        task.join().unwrap().unwrap();
        server.join().unwrap();
        assert!(loom.shared.lock().unwrap().window.check());
    });
}

/// A page fails while others use and take the range: no order leaves it in service.
#[test]
fn a_failure_takes_the_range_out() {
    check(|| {
        let loom = Loom::new(false);
        let file = TestFile::new(1);
        let server = loom.server(1);
        let task = loom.touch_beside(&file, 0);
        server.join().unwrap();
        let failed = loom.update(|window| window.fail(crate::window::units::WindowPage(3)));
        if let Some(victim) = failed {
            if let Some(area) = loom.update(|window| window.unpin(victim.id)) {
                assert!(reclaim(&*loom, area));
            }
        }
        // Served, or refused because there is no window any more.
        assert!(matches!(task.join().unwrap(), Ok(()) | Err(-5)));
        assert_eq!(loom.touch(&file, 0), Err(-5));
    });
}

/// The server has no room to make a range writable, and the only other range, which has to go for
/// that, is used by another task.
#[test]
fn room_to_write_is_made_beside_a_task() {
    check(|| {
        let loom = Loom::with(2, 2, false, Some(1));
        let (file, other) = (TestFile::new(1), TestFile::new(2));
        loom.touch(&file, 0).unwrap();
        loom.touch(&other, 0).unwrap();
        let task = loom.touch_beside(&other, 0);
        assert_eq!(loom.access(&file, 0, true), Ok(()));
        task.join().unwrap().unwrap();
        assert_eq!(*loom.refuses.as_ref().unwrap().lock().unwrap(), 0);
        assert!(loom.shared.lock().unwrap().window.check());
    });
}

/// The device is removed while a task uses or waits for a range: after that no task accesses its
/// memory, and no task waits for a server that may never answer.
#[test]
fn a_device_goes_when_nobody_is_at_it() {
    check(|| {
        let loom = Loom::new(false);
        let (file, other) = (TestFile::new(1), TestFile::new(2));
        let server = loom.server(1);
        loom.touch(&file, 0).unwrap();
        server.join().unwrap();
        // One finds its range there, the other's would have to be asked for.
        let tasks = [loom.touch_beside(&file, 0), loom.touch_beside(&other, 0)];
        evacuate(&*loom, -107);
        loom.memory[0].with_mut(|memory| {
            // SAFETY: Loom says if this is not so.
            unsafe { *memory += 1 };
        });
        for task in tasks {
            assert!(matches!(task.join().unwrap(), Ok(()) | Err(-107)));
        }
    });
}

/// The waits of a task that was killed end, and what it asked for is of use to others.
#[test]
fn a_killed_task_leaves_nothing_behind() {
    check(|| {
        let loom = Loom::new(true);
        let file = TestFile::new(1);
        let server = loom.server(1);
        let first = loom.touch(&file, 0);
        assert!(matches!(first, Ok(()) | Err(-4)));
        server.join().unwrap();
        loom.touch(&file, 0).unwrap();
    });
}
