// SPDX-License-Identifier: GPL-2.0

//! Many tasks and few ranges, with a server that answers when it likes.

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
            BLOCK_PAGES, //
        },
        File,
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
        Condvar,
        Mutex, //
    },
    thread,
    time::Duration, //
};

const BLOCK: u64 = BLOCK_PAGES as u64;

/// Tasks, and what each does.
const TASKS: usize = if cfg!(miri) { 4 } else { 40 };
const TURNS: u64 = if cfg!(miri) { 3 } else { 60 };

thread_local! {
    /// Whether a fatal signal came for this task.
    static KILLED: Cell<Option<&'static AtomicBool>> = const { Cell::new(None) };
}

enum Job {
    Setup(Setup),
    Remove(Vec<crate::window::units::RangeId>),
}

/// The platform of the kernel, with Rust's own lock.
struct Threads {
    window: Mutex<Window<TestFile>>,
    changed: Condvar,
    server: Mutex<Server>,
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    /// Every so many ranges has pages that somebody refers to.
    busy: AtomicU64,
}

impl Threads {
    fn new(blocks: u64) -> (Arc<Self>, mpsc::Receiver<Job>) {
        let (sender, receiver) = mpsc::channel();
        let threads = Self {
            window: Mutex::new(Window::new(blocks * BLOCK).unwrap()),
            changed: Condvar::new(),
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
                    let result = if number % 50 == 49 { Err(-5) } else { Ok(()) };
                    self.update(|window| window.setup_done(setup.id, setup.upgrade, result));
                }
                Job::Remove(ids) => self.update(|window| {
                    for id in ids {
                        window.removed(id);
                    }
                }),
            }
        }
    }

    fn killed() -> bool {
        KILLED.with(|killed| killed.get().is_some_and(|killed| killed.load(SeqCst)))
    }
}

impl Platform<TestFile> for Threads {
    fn update<R>(&self, f: impl FnOnce(&mut Window<TestFile>) -> R) -> R {
        let result = f(&mut self.window.lock().unwrap());
        self.changed.notify_all();
        result
    }

    fn wait<R>(&self, mut f: impl FnMut(&mut Window<TestFile>) -> Option<R>) -> Result<R, Killed> {
        let mut window = self.window.lock().unwrap();
        loop {
            let before = window.changes();
            if let Some(result) = f(&mut window) {
                if window.changes() != before {
                    self.changed.notify_all();
                }
                return Ok(result);
            }
            if Self::killed() {
                return Err(Killed);
            }
            window = self.changed.wait(window).unwrap();
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
        server.setup(file.id(), &setup);
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

/// Each task uses pages of files in some order, and finds there what it should.
fn run(blocks: u64, pages: u64, killed: &'static [AtomicBool]) {
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
                let mut random = number as u64 + 1;
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
                        file_pages,
                        write: random % 3 == 0,
                    };
                    match acquire(&*threads, file, want) {
                        Ok(id) => {
                            let place = threads.update(|window| window.place(id));
                            let (page, order) = (place.page, place.order);
                            let server = threads.server.lock().unwrap();
                            server.check(id, order, file.id(), page, want.write);
                            drop(server);
                            threads.update(|window| window.release(id));
                        }
                        Err(-4) => return,
                        Err(error) => assert_eq!(error, -5),
                    }
                }
            })
        })
        .collect();
    for flag in killed.iter().take(killed.len() / 2) {
        flag.store(true, SeqCst);
        threads.changed.notify_all();
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
    let window = threads.window.lock().unwrap();
    assert!(window.check());
    assert_eq!(window.mapped(), 0);
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
