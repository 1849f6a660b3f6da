// SPDX-License-Identifier: GPL-2.0

//! `fs/fuse/dax/window.rs` against a model: a server that knows what it maps where.

use crate::{
    config::properties,
    window::{
        answer::result_of,
        evict::{
            Forgot,
            Victim, //
        },
        region::{
            usable,
            Region,
            Wrong, //
        },
        units::{
            order_holding,
            FilePage,
            FilePages,
            RangeId,
            WindowPage,
            BLOCK_PAGES,
            TOP_ORDER, //
        },
        Area,
        File,
        Poll,
        Setup,
        Step,
        Window, //
    },
    window_world::{
        forget_all,
        Server,
        TestFile, //
    },
};
use proptest::prelude::*;

const BLOCK: u64 = BLOCK_PAGES as u64;

/// The server's refusal for want of room.
const NO_ROOM: i32 = -28;

/// The file of a range that is to be taken.
fn file_of(victim: &Victim<TestFile>) -> &TestFile {
    // SAFETY: The files of a test stay until its end.
    unsafe { victim.file() }
}

/// A request that was not answered.
enum Sent {
    Setup(usize, Setup),
    Remove(RangeId, u8),
}

/// A use of a range.
struct Use {
    id: RangeId,
    file: usize,
    page: FilePage,
    write: bool,
    /// Whether the range was there.
    held: bool,
    /// [`Window::answers`] when it last was not.
    seen: Option<u64>,
}

/// A task that sleeps until [`Window::changes`] is not `seen` any more.
struct Sleeper {
    file: usize,
    /// The page that it wants, and how many the file has; [`None`] if it evicts the inode.
    page: Option<(FilePage, u64)>,
    write: bool,
    seen: u64,
}

struct World {
    window: Window<TestFile>,
    files: Vec<TestFile>,
    /// How many pages each has.
    sizes: Vec<u64>,
    server: Server,
    sent: Vec<Sent>,
    uses: Vec<Use>,
    /// Pages that failed.
    failed: Vec<u32>,
    /// What tasks are taking from files, and the range that each is at.
    taking: Vec<(Area, Option<Victim<TestFile>>)>,
    sleepers: Vec<Sleeper>,
    /// How many requests were refused for want of room since one was granted.
    refusals: u32,
    /// Nothing else was mapped when the last of them was refused.
    lonely: bool,
}

/// What happens.
#[derive(Clone, Debug)]
enum Event {
    /// A task wants a page: file, place in the file in thousandths, write.
    Want(usize, u64, bool),
    /// The server answers one of the requests, with this.
    Answer(usize, i32),
    /// A task ends a use.
    Release(usize),
    /// An inode is evicted.
    Forget(usize),
    /// A page of the window fails, in thousandths.
    Fail(u64),
    /// Something is to be removed.
    Remove(usize),
    /// A file gets another size.
    Resize(usize, u64),
    /// A file is to be mapped in pieces, or not.
    Grain(usize, bool),
    /// A task that takes ranges goes on; false if the pages have references.
    Take(usize, bool),
}

fn event(files: usize) -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => (0..files, 0..1000u64, any::<bool>()).prop_map(|(f, p, w)| Event::Want(f, p, w)),
        // Refused for want of room, too.
        8 => (any::<usize>(), prop_oneof![9 => Just(0), 1 => any::<i32>(), 2 => Just(NO_ROOM)])
            .prop_map(|(n, e)| Event::Answer(n, e)),
        8 => any::<usize>().prop_map(Event::Release),
        1 => (0..files).prop_map(Event::Forget),
        1 => (0..1000u64).prop_map(Event::Fail),
        1 => (0..4usize).prop_map(Event::Remove),
        1 => (0..files, 1..4 * BLOCK).prop_map(|(f, s)| Event::Resize(f, s)),
        1 => (0..files, any::<bool>()).prop_map(|(f, fine)| Event::Grain(f, fine)),
        12 => (any::<usize>(), prop::bool::weighted(0.9)).prop_map(|(n, t)| Event::Take(n, t)),
    ]
}

impl World {
    fn new(blocks: u64, sizes: Vec<u64>, alignment: u32) -> Self {
        let mut window = Window::new(blocks * BLOCK).unwrap();
        assert!(window.set_alignment(alignment));
        Self {
            window,
            files: (0..sizes.len()).map(TestFile::new).collect(),
            sizes,
            server: Server::new((blocks * BLOCK) as usize),
            sent: Vec::new(),
            uses: Vec::new(),
            failed: Vec::new(),
            taking: Vec::new(),
            sleepers: Vec::new(),
            refusals: 0,
            lonely: false,
        }
    }

    /// The server answers `setup` with `error`.
    fn answer(&mut self, file: usize, setup: &Setup, error: i32) {
        if error == NO_ROOM {
            let upgrades = |sent: &&Sent| matches!(sent, Sent::Setup(_, setup) if setup.upgrade);
            let upgrading = self.sent.iter().filter(upgrades).count() + usize::from(setup.upgrade);
            self.lonely = self.window.mapped() as usize <= upgrading;
            self.refusals += 1;
            if setup.upgrade {
                let writable = false;
                self.server.setup(file, &Setup { writable, ..*setup });
            } else {
                self.server.remove(setup.id, setup.order);
            }
        } else if error == 0 {
            self.refusals = 0;
        }
        self.window
            .answer(setup.id, setup.upgrade, result_of(error));
    }

    fn page(&self, file: usize, place: u64) -> FilePage {
        FilePage(self.sizes[file] * place / 1000)
    }

    /// The server does what it is asked for in the order in which it is asked.
    fn send_setup(&mut self, file: usize, setup: Setup) {
        self.server.setup(file, &setup);
        self.sent.push(Sent::Setup(file, setup));
    }

    fn send_removes(&mut self, most: usize) {
        for _ in 0..most {
            let Some((id, order)) = self.window.take_stale() else {
                break;
            };
            self.server.remove(id, order);
            self.sent.push(Sent::Remove(id, order));
        }
    }

    /// Goes as far as a task can go without waiting.
    fn want(&mut self, file: usize, page: FilePage, write: bool) {
        let pages = self.sizes[file];
        let it = self.files[file].clone();
        let changes = self.window.changes();
        if let Some(end) = self.window.pass(&it, page, FilePages(pages)) {
            assert!(page < end && end.0 <= page.0 + BLOCK);
            assert_eq!(self.window.try_hold(&it, page, false), None);
            assert_eq!(self.window.changes(), changes);
        }
        for _ in 0..64 {
            let step =
                self.window
                    .request(&self.files[file].clone(), page, FilePages(pages), write);
            match step {
                Step::Held { id, .. } => {
                    self.use_range(id, file, page, write, true);
                    return;
                }
                Step::Join(id) => {
                    self.use_range(id, file, page, write, false);
                    return;
                }
                Step::Start(setup) => {
                    self.use_range(setup.id, file, page, write, false);
                    self.send_setup(file, setup);
                    // Beside this range a smaller one does for tasks that knew the file as larger.
                    // The server's answer wakes them.
                    self.sleepers.retain(|sleeper| {
                        sleeper.file != file || sleeper.page.is_none_or(|(_, known)| known == pages)
                    });
                    let depth = self
                        .window
                        .depth_ahead(&self.files[file].clone(), page, true);
                    for number in 0..depth {
                        let file_ref = self.files[file].clone();
                        let step = self.window.request_ahead(
                            &file_ref,
                            FilePages(pages),
                            write,
                            number == 0,
                        );
                        match step {
                            Step::Start(setup) => self.send_setup(file, setup),
                            Step::Reclaim(area) => self.taking.push((area, None)),
                            _ => break,
                        }
                    }
                    return;
                }
                Step::Reclaim(area) => {
                    self.taking.push((area, None));
                    return;
                }
                Step::Remove => self.send_removes(256),
                Step::NeedsRoom(id) => {
                    let room = crate::window::table::Room::new().unwrap();
                    assert!(self.window.give_room(id, room).is_none());
                }
                Step::Wait(seen) | Step::Drain(_, seen) => {
                    assert_eq!(seen, self.window.changes());
                    self.sleepers.push(Sleeper {
                        file,
                        page: Some((page, pages)),
                        write,
                        seen,
                    });
                    return;
                }
                Step::Fail(_) => return,
            }
            assert!(self.window.check());
        }
        panic!("a task that need not wait gets on");
    }

    /// A task that takes ranges does its next step.
    fn take(&mut self, number: usize, taken: bool) {
        let (area, at) = &mut self.taking[number];
        let area = *area;
        match at.take() {
            Some(victim) => {
                // No other task has used it meanwhile.
                let place = self.window.place(victim.id);
                assert_eq!((place.page, place.order), (victim.page, victim.order));
                assert!(!self.uses.iter().any(|it| it.id == victim.id && it.held));
                self.window.took(area, victim.id, taken);
            }
            None => match self.window.reclaim_next(area) {
                Some(victim) => {
                    let twice = self
                        .taking
                        .iter()
                        .any(|(_, at)| at.as_ref().is_some_and(|other| other.id == victim.id));
                    assert!(!twice, "two tasks take {:?}", victim.id);
                    self.taking[number].1 = Some(victim);
                }
                None => {
                    self.taking.remove(number);
                }
            },
        }
    }

    fn use_range(&mut self, id: RangeId, file: usize, page: FilePage, write: bool, held: bool) {
        self.uses.push(Use {
            id,
            file,
            page,
            write,
            held,
            seen: None,
        });
    }

    fn poll(&mut self) {
        let mut at = 0;
        while at < self.uses.len() {
            let it = &mut self.uses[at];
            if it.held {
                at += 1;
                continue;
            }
            let (changes, answers) = (self.window.changes(), self.window.answers());
            let poll = self.window.look(it.id, it.write);
            if poll != Poll::Pending {
                assert_ne!(it.seen, Some(answers), "{:?} came unheard of", it.id);
            }
            match poll {
                Poll::Pending => {
                    assert_eq!(changes, self.window.changes());
                    it.seen = Some(answers);
                    at += 1;
                }
                Poll::Held => {
                    it.held = true;
                    at += 1;
                }
                Poll::Failed(error) => {
                    assert!((-4095..0).contains(&error));
                    // Not while another mapping might be given up for it.
                    assert!(error != NO_ROOM || self.refusals > 8 || self.lonely);
                    self.uses.remove(at);
                }
                Poll::Wanting(error) => {
                    assert_eq!(error, NO_ROOM);
                    self.uses.remove(at);
                }
                Poll::Again => {
                    self.uses.remove(at);
                }
            }
        }
    }

    /// A condition that tasks sleep for must not come true without a change, which would not wake
    /// them.
    fn check_sleepers(&mut self) {
        let changes = self.window.changes();
        for sleeper in std::mem::take(&mut self.sleepers) {
            if sleeper.seen != changes {
                continue;
            }
            let file = &self.files[sleeper.file];
            let Some((page, pages)) = sleeper.page else {
                let forgot = self.window.evict(file);
                assert!(forgot == Forgot::Busy, "an eviction could go on unheard of");
                self.sleepers.push(sleeper);
                continue;
            };
            match self
                .window
                .request(file, page, FilePages(pages), sleeper.write)
            {
                Step::Wait(seen) | Step::Drain(_, seen) if seen == changes => {
                    self.sleepers.push(sleeper)
                }
                // Another task has asked the server for it. Its answer is a change.
                Step::Join(id) => self.use_range(id, sleeper.file, page, sleeper.write, false),
                step => panic!("{page:?} came unheard of: {step:?}"),
            }
        }
    }

    fn run(&mut self, event: &Event) {
        match *event {
            Event::Want(file, place, write) => {
                let page = self.page(file, place);
                self.want(file, page, write);
            }
            Event::Take(number, taken) if !self.taking.is_empty() => {
                self.take(number % self.taking.len(), taken);
            }
            Event::Answer(number, error) if !self.sent.is_empty() => {
                match self.sent.remove(number % self.sent.len()) {
                    Sent::Setup(file, setup) => self.answer(file, &setup, error),
                    Sent::Remove(id, _) => self.window.removed(id),
                }
            }
            Event::Release(number) if !self.uses.is_empty() => {
                let it = self.uses.remove(number % self.uses.len());
                self.window.let_go(it.id);
            }
            Event::Forget(file) if !self.uses.iter().any(|it| it.file == file) => {
                let looked_at = self.taking.iter().any(|(_, at)| {
                    at.as_ref()
                        .is_some_and(|victim| file_of(&victim).id() == self.files[file].id())
                });
                let all = forget_all(&mut self.window, &self.files[file].clone());
                // An inode that a task looks at stays.
                assert!(!(all && looked_at));
                if !all {
                    self.sleepers.push(Sleeper {
                        file,
                        page: None,
                        write: false,
                        seen: self.window.changes(),
                    });
                }
            }
            Event::Fail(place) => {
                let page = (self.server.pages.len() as u64 * place / 1000) as u32;
                self.failed.push(page);
                if let Some(victim) = self.window.fail(WindowPage(page)) {
                    assert_eq!(WindowPage(page).align_down(victim.order), victim.id);
                    // Eviction has to wait.
                    let used = |it: &Use| self.files[it.file].id() == file_of(&victim).id();
                    if !self.uses.iter().any(used) {
                        assert!(!forget_all(&mut self.window, file_of(&victim)));
                    }
                    if let Some(area) = self.window.unpin(victim.id) {
                        self.taking.push((area, None));
                    }
                }
            }
            Event::Remove(most) => self.send_removes(most),
            Event::Resize(file, size) => self.sizes[file] = size,
            Event::Grain(file, fine) => {
                self.window.set_fine(&self.files[file], fine);
                // Tasks do that on their way, and not while others sleep.
                self.sleepers.retain(|sleeper| sleeper.file != file);
            }
            _ => {}
        }
        self.check_sleepers();
        self.poll();
        assert!(self.window.check(), "after {event:?}");
        for it in self.uses.iter().filter(|it| it.held) {
            let place = self.window.place(it.id);
            let (page, order) = (place.page, place.order);
            assert_eq!(it.page.align_down(order), page);
            self.server.check(it.id, order, it.file, page, it.write);
        }
    }

    /// Ends all uses, requests and evictions. After that every task must get a range.
    fn settle(&mut self) {
        while !self.uses.is_empty() || !self.sent.is_empty() || !self.taking.is_empty() {
            while !self.taking.is_empty() {
                self.take(0, true);
            }
            while let Some(it) = self.uses.pop() {
                self.window.let_go(it.id);
            }
            while !self.sent.is_empty() {
                self.run(&Event::Answer(0, 0));
            }
        }
    }
}

properties! {
    /// What is in use is what the server has there, whatever happens.
    #[test]
    fn what_is_held_is_mapped(
        blocks in 1..6u64,
        sizes in prop::collection::vec(prop_oneof![1..64u64, 1..6 * BLOCK], 1..6),
        alignment in prop_oneof![4 => Just(12u32), 1 => Just(16), 1 => Just(21), 1 => Just(0)],
        events in prop::collection::vec(event(5), 1..80),
    ) {
        let files = sizes.len();
        let mut world = World::new(blocks, sizes, alignment);
        for event in &events {
            let event = match event.clone() {
                Event::Want(file, place, write) => Event::Want(file % files, place, write),
                Event::Forget(file) => Event::Forget(file % files),
                Event::Resize(file, size) => Event::Resize(file % files, size),
                Event::Grain(file, fine) => Event::Grain(file % files, fine),
                event => event,
            };
            world.run(&event);
        }
        // In the end every task gets its range, unless all of the window has failed.
        world.settle();
        for file in 0..files {
            world.want(file, FilePage(0), true);
            while world.uses.is_empty() && !(world.sent.is_empty() && world.taking.is_empty()) {
                world.run(&Event::Answer(0, 0));
                world.run(&Event::Take(0, true));
                world.want(file, FilePage(0), true);
            }
            let whole = (world.server.pages.len() / BLOCK_PAGES as usize) as u64;
            if world.failed.is_empty() {
                prop_assert!(!world.uses.is_empty(), "file {file} in a window of {whole} blocks");
            }
            world.settle();
        }
        for file in 0..files {
            prop_assert!(forget_all(&mut world.window, &world.files[file].clone()));
        }
        prop_assert_eq!(world.window.mapped(), 0);
    }

    /// No number of a server's is taken for what it is not.
    #[test]
    fn errors_are_negative(error in any::<i32>()) {
        match result_of(error) {
            Ok(()) => prop_assert_eq!(error, 0),
            Err(number) => prop_assert!((-4095..0).contains(&number)),
        }
    }

    /// A window is used only if it is all in one piece of the device's memory.
    #[test]
    fn windows_are_inside_of_bars(start: u64, len: u64, bar_start: u64, bar_len: u64, bits in 36..65u32) {
        let bar = Region { start: bar_start, len: bar_len };
        if let Ok(window) = usable(Region { start, len }, Some(&[bar]), bits) {
            prop_assert_eq!(window.start, start);
            prop_assert!(window.len <= len && window.len > 0);
            prop_assert!(window.start >= bar_start);
            prop_assert!(window.start + window.len <= bar_start + bar_len);
            prop_assert_eq!((window.start | window.len) % (2 << 20), 0);
        }
    }
}

#[test]
fn windows_that_cannot_be_are_refused() {
    let block = 2 << 20;
    let bar = Region {
        start: 16 * block,
        len: 16 * block,
    };
    let check = |start, len, expected| {
        let found = usable(Region { start, len }, Some(&[bar]), 46);
        assert_eq!(
            found.map(|window| window.len),
            expected,
            "{start:#x} {len:#x}"
        );
    };
    check(16 * block, 16 * block, Ok(16 * block));
    check(17 * block, block + 4096, Ok(block));
    check(16 * block, 16 * block + 1, Err(Wrong::Outside));
    check(15 * block, 2 * block, Err(Wrong::Outside));
    check(16 * block + 4096, block, Err(Wrong::Unaligned));
    check(16 * block, block - 1, Err(Wrong::Small));
    check(16 * block, 0, Err(Wrong::Small));
    check(u64::MAX - block + 1, block, Err(Wrong::Wraps));
    check(1 << 46, block, Err(Wrong::Wraps));
    // Without BARs, anything that can be addressed.
    let window = Region {
        start: 1 << 40,
        len: block,
    };
    assert_eq!(usable(window, None, 46), Ok(window));
    assert_eq!(usable(window, None, 64), Ok(window));
}

#[test]
fn orders() {
    assert_eq!(order_holding(0), 0);
    assert_eq!(order_holding(1), 0);
    assert_eq!(order_holding(2), 1);
    assert_eq!(order_holding(3), 2);
    assert_eq!(order_holding(BLOCK), TOP_ORDER);
    assert_eq!(order_holding(u64::MAX), TOP_ORDER);
}
