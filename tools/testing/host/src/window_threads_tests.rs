// SPDX-License-Identifier: GPL-2.0

//! Many tasks and few ranges, with a server that answers at any time.

use crate::{
    config,
    window::{
        acquire::{
            acquire,
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
        Setup,
        Window, //
    },
    window_world::{
        forget_all,
        Server,
        TestFile, //
    },
};
use std::{
    cell::Cell,
    sync::{
        atomic::{
            AtomicBool,
            AtomicU64,
            Ordering::SeqCst, //
        },
        mpsc,
        Arc,
        Mutex, //
    },
    thread::{
        self,
        Thread, //
    },
    time::{
        Duration,
        Instant, //
    }, //
};

const BLOCK: u64 = BLOCK_PAGES as u64;

/// Tasks, and what each does.
const TASKS: usize = if cfg!(miri) { 4 } else { 40 };
const TURNS: u64 = if cfg!(miri) { 3 } else { 60 };

/// Longer than any task sleeps that is woken.
const PATIENCE: Duration = Duration::from_secs(if cfg!(miri) { 1200 } else { 60 });

thread_local! {
    /// Whether a fatal signal came for this task.
    static KILLED: Cell<Option<&'static AtomicBool>> = const { Cell::new(None) };
}

enum Job {
    Setup(Setup),
    Remove(Vec<crate::window::units::RangeId>),
}

/// What the lock guards, as in `conn.rs`.
struct Shared {
    window: Window<TestFile>,
    /// How many tasks sleep, or are about to.
    waiters: u32,
}

/// A task in the queue.
struct Sleeper {
    thread: Thread,
    woken: AtomicBool,
}

/// The platform of the kernel, with Rust's own lock. It wakes tasks where `Conn` does and nowhere
/// else: one that woke them more often would hide that they have to be woken.
struct Threads {
    shared: Mutex<Shared>,
    queue: Mutex<Vec<Arc<Sleeper>>>,
    server: Mutex<Server>,
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    /// One range in so many has pages with references.
    busy: AtomicU64,
}

impl Threads {
    fn new(blocks: u64) -> (Arc<Self>, mpsc::Receiver<Job>) {
        let (sender, receiver) = mpsc::channel();
        let threads = Self {
            shared: Mutex::new(Shared {
                window: Window::new(blocks * BLOCK).unwrap(),
                waiters: 0,
            }),
            queue: Mutex::default(),
            server: Mutex::new(Server::new((blocks * BLOCK) as usize)),
            jobs: Mutex::new(Some(sender)),
            busy: AtomicU64::new(1),
        };
        (Arc::new(threads), receiver)
    }

    fn send(&self, job: Job) {
        let jobs = self.jobs.lock().unwrap();
        jobs.as_ref().unwrap().send(job).unwrap();
    }

    /// Answers all that is asked for.
    fn serve(&self, jobs: mpsc::Receiver<Job>) {
        for (number, job) in jobs.into_iter().enumerate() {
            if number % 7 == 0 {
                thread::yield_now();
            }
            match job {
                Job::Setup(setup) => {
                    let result = match number % 50 {
                        49 => Err(-5),
                        // Only what is mapped already stays as the model has it.
                        20..25 if setup.upgrade => Err(-28),
                        _ => Ok(()),
                    };
                    self.update(|window| window.answer(setup.id, setup.upgrade, result));
                }
                Job::Remove(ids) => self.update(|window| {
                    for id in ids {
                        window.removed(id);
                    }
                }),
            }
        }
    }

    /// Wakes all tasks that sleep now.
    fn wake(&self) {
        for sleeper in self.queue.lock().unwrap().drain(..) {
            sleeper.woken.store(true, SeqCst);
            sleeper.thread.unpark();
        }
    }

    fn killed() -> bool {
        KILLED.with(|killed| killed.get().is_some_and(|killed| killed.load(SeqCst)))
    }
}

/// Sleeps until the queue wakes the task or a signal comes for it.
fn sleep(sleeper: &Sleeper) {
    let start = Instant::now();
    while !sleeper.woken.load(SeqCst) && !Threads::killed() {
        assert!(start.elapsed() < PATIENCE, "nobody wakes a task");
        thread::park_timeout(PATIENCE);
    }
}

// SAFETY: No memory belongs to a test's window.
unsafe impl Platform<TestFile> for Threads {
    fn update<R>(&self, f: impl FnOnce(&mut Window<TestFile>) -> R) -> R {
        let mut shared = self.shared.lock().unwrap();
        let before = shared.window.changes();
        let result = f(&mut shared.window);
        let wake = shared.waiters > 0 && shared.window.changes() != before;
        drop(shared);
        if wake {
            self.wake();
        }
        result
    }

    fn wait<R>(&self, mut f: impl FnMut(&mut Window<TestFile>) -> Option<R>) -> Result<R, Killed> {
        loop {
            let mut shared = self.shared.lock().unwrap();
            let before = shared.window.changes();
            if let Some(result) = f(&mut shared.window) {
                let wake = shared.waiters > 0 && shared.window.changes() != before;
                drop(shared);
                if wake {
                    self.wake();
                }
                return Ok(result);
            }
            if Self::killed() {
                return Err(Killed);
            }
            let sleeper = Arc::new(Sleeper {
                thread: thread::current(),
                woken: AtomicBool::new(false),
            });
            self.queue.lock().unwrap().push(sleeper.clone());
            shared.waiters += 1;
            drop(shared);
            sleep(&sleeper);
            let mut queue = self.queue.lock().unwrap();
            queue.retain(|other| !Arc::ptr_eq(other, &sleeper));
            drop(queue);
            self.shared.lock().unwrap().waiters -= 1;
        }
    }

    fn pause(&self) -> Result<(), Killed> {
        thread::sleep(Duration::from_millis(1));
        if Self::killed() {
            return Err(Killed);
        }
        Ok(())
    }

    fn send_setup(&self, file: &TestFile, setup: Setup) -> Result<(), i32> {
        let mut server = self.server.lock().unwrap();
        server.setup(file.number(), &setup);
        self.send(Job::Setup(setup));
        Ok(())
    }

    fn send_removes(&self) -> Result<(), i32> {
        let mut server = self.server.lock().unwrap();
        let mut ids = Vec::new();
        while let Some((id, order)) = self.update(|window| window.take_stale()) {
            server.remove(id, order);
            ids.push(id);
        }
        self.send(Job::Remove(ids));
        Ok(())
    }

    fn drop_pages(&self, _file: &TestFile, _page: FilePage, _order: u8) -> bool {
        self.busy.fetch_add(1, SeqCst) % 11 != 0
    }
}

/// Runs with the same choices in each run, and with others.
fn run(blocks: u64, pages: u64, killed: &'static [AtomicBool]) {
    let fresh = config::seed();
    println!("RDAX_SEED={fresh} makes the same choices, though not in the same order");
    for seed in [0, fresh] {
        for killed in killed {
            killed.store(false, SeqCst);
        }
        run_with(seed, blocks, pages, killed);
    }
}

/// Each task uses pages of files in some order, and finds there what it should.
fn run_with(seed: u64, blocks: u64, pages: u64, killed: &'static [AtomicBool]) {
    let (threads, jobs) = Threads::new(blocks);
    let server = {
        let threads = threads.clone();
        thread::spawn(move || threads.serve(jobs))
    };
    let files: Vec<_> = (0..7).map(TestFile::new).collect();
    let tasks: Vec<_> = (0..TASKS)
        .map(|number| {
            let (threads, files) = (threads.clone(), files.clone());
            thread::spawn(move || {
                KILLED.with(|it| it.set(killed.get(number)));
                // Any numbers but zero that are not the same.
                let mut random = seed
                    .wrapping_mul(TASKS as u64)
                    .wrapping_add(number as u64 + 1)
                    | 1 << 63;
                for _ in 0..TURNS {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    let file = &files[(random % 7) as usize];
                    let file_pages = if random % 7 < 3 {
                        1 + random % 7
                    } else {
                        pages
                    };
                    let want = Want {
                        page: FilePage((random >> 8) % file_pages),
                        file_pages: FilePages(file_pages),
                        write: random % 3 == 0,
                    };
                    match acquire(&*threads, file, want) {
                        Ok(id) => {
                            let place = threads.update(|window| window.place(id));
                            let (page, order) = (place.page, place.order);
                            let server = threads.server.lock().unwrap();
                            server.check(id, order, file.number(), page, want.write);
                            drop(server);
                            threads.update(|window| window.let_go(id));
                        }
                        Err(Failure::Killed) => return,
                        // The latter where no other mapping can go.
                        Err(error) => assert!(matches!(error, Failure::Refused(-5 | -28))),
                    }
                }
            })
        })
        .collect();
    for (flag, task) in killed.iter().zip(&tasks).take(killed.len() / 2) {
        // A signal wakes the task that it is for, and no other.
        flag.store(true, SeqCst);
        task.thread().unpark();
        thread::yield_now();
    }
    for task in tasks {
        task.join().unwrap();
    }
    threads.jobs.lock().unwrap().take();
    server.join().unwrap();
    for file in &files {
        assert!(threads.update(|window| forget_all(window, file)));
    }
    threads.update(|window| {
        assert!(window.check());
        assert_eq!(window.mapped(), 0);
    });
}

#[test]
fn all_get_on_with_a_single_range() {
    run(1, 4 * BLOCK, &[]);
}

#[test]
fn all_get_on_with_two_ranges() {
    run(2, 8 * BLOCK, &[]);
}

#[test]
fn all_get_on_with_many_ranges() {
    run(8, 20 * BLOCK, &[]);
}

#[test]
fn a_signal_ends_the_wait() {
    static KILLS: [AtomicBool; TASKS] = [const { AtomicBool::new(false) }; TASKS];
    run(1, 4 * BLOCK, &KILLS);
}
