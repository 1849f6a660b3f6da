// SPDX-License-Identifier: GPL-2.0

//! `fs/fuse/dax/window.rs` and `acquire.rs`, with any answer of a server at any time.
//!
//! The bytes choose what tasks want and what the server does: its answers (any number), their
//! order, and which it sends twice. Each call must end, either with a range that the server
//! reported as mapped for this, or with an error. In the end all of the window must be there,
//! except for the part that failed.

use super::input::Input;
use crate::{
    window::{
        acquire::{
            acquire,
            reclaim,
            Killed,
            Platform,
            Want, //
        },
        answer::result_of,
        units::{
            order_bytes,
            FilePage,
            FilePages,
            RangeId,
            WindowPage,
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
use std::cell::{
    Cell,
    RefCell, //
};

const BLOCK: usize = BLOCK_PAGES as usize;

/// A file has at most that many pages: three blocks, and a bit.
const MOST_PAGES: usize = 3 * BLOCK + 7;

/// How many files there are.
const FILES: usize = 8;

/// More ranges are not in use at the same time.
const MOST_USES: usize = 6;

/// More tasks do not wait at the same time.
const MOST_TASKS: u32 = 3;

/// A task that takes more steps than these for one range makes no progress.
const MOST_STEPS: u32 = 100_000;

/// A request that was not answered.
#[derive(Clone, Copy, Debug)]
enum Sent {
    Setup(usize, Setup),
    Remove(RangeId, u8),
}

impl Sent {
    fn id(self) -> RangeId {
        match self {
            Sent::Setup(_, setup) => setup.id,
            Sent::Remove(id, _) => id,
        }
    }
}

/// A use of a range.
struct Use {
    id: RangeId,
    file: usize,
    page: FilePage,
    write: bool,
}

struct World<'a> {
    files: [TestFile; FILES],
    /// How many pages each has.
    sizes: RefCell<[usize; FILES]>,
    input: RefCell<Input<'a>>,
    window: RefCell<Window<TestFile>>,
    /// What the server said to have mapped.
    server: RefCell<Server>,
    sent: RefCell<Vec<Sent>>,
    uses: RefCell<Vec<Use>>,
    /// How many tasks want something: each that waits lets the next one run.
    tasks: Cell<u32>,
    alignment: u64,
    /// What the server answered last.
    answered: Cell<RangeId>,
    /// How often tasks looked at the window since one of them last got a range.
    steps: Cell<u32>,
}

impl World<'_> {
    fn byte(&self) -> u8 {
        self.input.borrow_mut().byte()
    }

    fn below(&self, end: usize) -> usize {
        self.input.borrow_mut().below(end)
    }

    fn one_in(&self, often: u8) -> bool {
        self.input.borrow_mut().one_in(often)
    }

    /// What the server says of a request: most often that all is well.
    fn error(&self) -> i32 {
        let mut input = self.input.borrow_mut();
        match input.byte() % 8 {
            6 => -i32::from(input.byte()),
            // The header's number may be anything.
            7 => input.number32() as i32,
            _ => 0,
        }
    }

    fn step(&self) {
        self.steps.set(self.steps.get() + 1);
        assert!(self.steps.get() < MOST_STEPS, "a task does not get on");
    }

    /// The server answers one of the requests.
    fn answer(&self, window: &mut Window<TestFile>) -> bool {
        let mut sent = self.sent.borrow_mut();
        if sent.is_empty() {
            return false;
        }
        let number = self.below(sent.len());
        let sent = sent.remove(number);
        self.answered.set(sent.id());
        let error = self.error();
        let result = result_of(error);
        match (error, result) {
            (0, Ok(())) | (_, Err(-4095..=-1)) => {}
            _ => panic!("an answer of {error} is {result:?}"),
        }
        match sent {
            Sent::Setup(file, setup) => {
                if result.is_ok() {
                    self.server.borrow_mut().setup(file, &setup);
                }
                window.answer(setup.id, setup.upgrade, result);
            }
            // Whatever it says, nothing is there that may be relied on.
            Sent::Remove(id, order) => {
                self.server.borrow_mut().remove(id, order);
                window.removed(id);
            }
        }
        true
    }

    /// The server answers what it was not asked, or was asked long ago.
    fn answer_again(&self) {
        let mut window = self.window.borrow_mut();
        let id = match self.one_in(2) {
            true => {
                let page = self.below(self.server.borrow().pages.len() + 1);
                RangeId::at_page(WindowPage(page as u32))
            }
            false => self.answered.get(),
        };
        if self.sent.borrow().iter().any(|sent| sent.id() == id) {
            return;
        }
        let before = window.changes();
        let result = result_of(self.error());
        window.answer(id, self.one_in(2), result);
        window.removed(id);
        assert_eq!(window.changes(), before, "it was not asked about {id:?}");
    }

    fn release(&self, window: &mut Window<TestFile>) -> bool {
        let mut uses = self.uses.borrow_mut();
        if uses.is_empty() {
            return false;
        }
        let number = self.below(uses.len());
        window.let_go(uses.remove(number).id);
        true
    }

    /// A task wants a page of a file.
    fn want(&self) {
        let number = self.below(FILES);
        let size = self.sizes.borrow()[number];
        let file = &self.files[number];
        let page = FilePage(self.below(size) as u64);
        let write = self.one_in(2);
        let want = Want {
            page,
            file_pages: FilePages(size as u64),
            write,
        };
        self.steps.set(0);
        self.tasks.set(self.tasks.get() + 1);
        // As a read does, which then might ask the server for data.
        let passed = (self.window.borrow_mut()).pass(file, page, FilePages(size as u64));
        assert!(passed.is_none_or(|end| page < end && end.0 <= page.0 + u64::from(BLOCK_PAGES)));
        // As a fault does.
        let held = self.window.borrow_mut().try_hold(file, page, write);
        let result = held.map_or_else(|| acquire(self, file, want), |held| Ok(held.id));
        self.tasks.set(self.tasks.get() - 1);
        match result {
            Ok(id) => {
                let it = Use {
                    id,
                    file: number,
                    page,
                    write,
                };
                self.check_use(&it);
                self.uses.borrow_mut().push(it);
            }
            Err(failure) => assert!((-4095..0).contains(&failure.errno()), "{failure:?}"),
        }
        if self.uses.borrow().len() > MOST_USES {
            self.release(&mut self.window.borrow_mut());
        }
    }

    /// A range that is in use maps the pages that its user asked for.
    fn check_use(&self, it: &Use) {
        let place = self.window.borrow().place(it.id);
        let (first, order) = (place.page, place.order);
        assert_eq!(it.page.align_down(order), first);
        self.server
            .borrow()
            .check(it.id, order, it.file, first, it.write);
    }

    fn check(&self) {
        assert!(self.window.borrow().check());
        for it in self.uses.borrow().iter() {
            self.check_use(it);
        }
    }

    /// An inode without users is evicted.
    fn forget(&self, file: &TestFile) {
        if !self.uses.borrow().iter().any(|it| it.file == file.number()) {
            assert!(forget_all(&mut self.window.borrow_mut(), file));
        }
    }

    /// Memory fails.
    fn fail(&self) {
        let page = self.below(self.server.borrow().pages.len()) as u32;
        let victim = self.window.borrow_mut().fail(WindowPage(page));
        if let Some(victim) = victim {
            assert_eq!(WindowPage(page).align_down(victim.order), victim.id);
            let area = self.window.borrow_mut().unpin(victim.id);
            if let Some(area) = area {
                reclaim(self, area);
            }
        }
    }

    /// Ends all uses and requests. After that a task must get a range.
    fn settle(&self) {
        self.input.replace(Input::new(&[]));
        loop {
            let mut window = self.window.borrow_mut();
            let more = self.answer(&mut window) || self.release(&mut window);
            drop(window);
            if !more && self.sent.borrow().is_empty() {
                break;
            }
        }
        for file in &self.files {
            self.forget(file);
        }
        while self.window.borrow().stale() > 0 {
            assert_eq!(self.send_removes(), Ok(()));
            while self.answer(&mut self.window.borrow_mut()) {}
        }
        let window = self.window.borrow();
        assert!(window.check());
        assert_eq!(window.mapped(), 0);
        let left = window.counters.retired < u64::from(window.blocks());
        drop(window);
        // Unless all of it may have failed.
        if left {
            self.steps.set(0);
            let want = Want {
                page: FilePage(1),
                file_pages: FilePages(2),
                write: true,
            };
            let id = acquire(self, &self.files[0], want).expect("there is room");
            self.window.borrow_mut().let_go(id);
        }
    }
}

// SAFETY: No memory belongs to a test's window.
unsafe impl Platform<TestFile> for World<'_> {
    fn update<R>(&self, f: impl FnOnce(&mut Window<TestFile>) -> R) -> R {
        self.step();
        f(&mut self.window.borrow_mut())
    }

    fn wait<R>(&self, mut f: impl FnMut(&mut Window<TestFile>) -> Option<R>) -> Result<R, Killed> {
        let mut seen = None;
        loop {
            self.step();
            let mut window = self.window.borrow_mut();
            let changes = window.changes();
            if let Some(result) = f(&mut window) {
                // The kernel wakes no task without a change.
                assert_ne!(seen, Some(changes), "what a task waits for came unheard of");
                return Ok(result);
            }
            assert_eq!(
                window.changes(),
                changes,
                "a task that waits changed something"
            );
            seen = Some(changes);
            match self.byte() {
                0xff => return Err(Killed),
                0xc0.. if self.tasks.get() < MOST_TASKS => {
                    drop(window);
                    self.want();
                }
                0x80..0xa0 => {
                    drop(window);
                    self.answer_again();
                }
                _ if self.answer(&mut window) || self.release(&mut window) => {}
                // The others have to go on first.
                _ if self.tasks.get() > 1 => return Err(Killed),
                _ => panic!("a task waits for what nobody will do"),
            }
        }
    }

    fn pause(&self) -> Result<(), Killed> {
        if self.one_in(2) {
            return Err(Killed);
        }
        Ok(())
    }

    fn send_setup(&self, file: &TestFile, setup: Setup) -> Result<(), i32> {
        assert_eq!(setup.id.byte().0 % self.alignment, 0);
        assert_eq!(setup.page.byte() % self.alignment, 0);
        assert_eq!(order_bytes(setup.order) % self.alignment, 0);
        if self.one_in(32) {
            return Err(-i32::from(self.byte()) - 1);
        }
        self.sent
            .borrow_mut()
            .push(Sent::Setup(file.number(), setup));
        // Some answers come before a task waits for them.
        if self.one_in(4) {
            self.answer(&mut self.window.borrow_mut());
        }
        Ok(())
    }

    fn send_removes(&self) -> Result<(), i32> {
        if self.one_in(32) {
            return Err(-i32::from(self.byte()) - 1);
        }
        let most = 1 + usize::from(self.byte() ^ 0xff);
        for _ in 0..most {
            let Some((id, order)) = self.window.borrow_mut().take_stale() else {
                break;
            };
            self.sent.borrow_mut().push(Sent::Remove(id, order));
        }
        Ok(())
    }

    fn drop_pages(&self, _file: &TestFile, _page: FilePage, _order: u8) -> bool {
        !self.one_in(16)
    }
}

/// A server, and what tasks want meanwhile.
pub fn window(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let blocks = 1 + input.below(4);
    let shift = u32::from(input.byte());
    let mut window = Window::new((blocks * BLOCK) as u64).unwrap();
    if !window.set_alignment(shift) {
        // Larger than the largest range.
        return assert!(shift > 21);
    }
    let sizes = [1; FILES].map(|least| least + input.below(MOST_PAGES));
    let world = World {
        files: std::array::from_fn(TestFile::new),
        sizes: RefCell::new(sizes),
        input: RefCell::new(input),
        window: RefCell::new(window),
        server: RefCell::new(Server::new(blocks * BLOCK)),
        sent: RefCell::default(),
        uses: RefCell::default(),
        tasks: Cell::new(0),
        alignment: 1 << shift.max(12),
        answered: Cell::new(RangeId::FIRST),
        steps: Cell::new(0),
    };
    while !world.input.borrow().is_empty() {
        match world.byte() % 16 {
            0..8 => world.want(),
            8 => drop(world.release(&mut world.window.borrow_mut())),
            9 => drop(world.answer(&mut world.window.borrow_mut())),
            10 => world.answer_again(),
            11 => world.forget(&world.files[world.below(FILES)]),
            12 => world.fail(),
            13 => drop(world.send_removes()),
            14 => {
                let number = world.below(FILES);
                world.sizes.borrow_mut()[number] = 1 + world.below(MOST_PAGES);
            }
            _ => {
                world.steps.set(0);
                let area = world.window.borrow_mut().take_any();
                if let Some(area) = area {
                    reclaim(&world, area);
                }
            }
        }
        world.check();
    }
    world.settle();
}
