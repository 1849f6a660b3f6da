// SPDX-License-Identifier: GPL-2.0

//! The requests of workloads when the window is smaller than the file.

use crate::{
    window::{
        acquire::Platform,
        units::{
            FilePage,
            BLOCK_PAGES, //
        },
        Window, //
    },
    window_instant::Instant,
    window_world::TestFile,
};

const BLOCK: u64 = BLOCK_PAGES as u64;
/// Blocks of the window.
const WINDOW: u64 = 8;

/// How many accesses are counted.
const COUNT: u64 = 3000;
/// Servers' alignments: with the first there are only whole blocks.
const BLOCKS_ONLY: u32 = 21;
const PIECES: u32 = 18;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    Seq,
    Rand,
    /// Pages by rank, theta 1.2, which are strewn over the file.
    Zipf,
    /// 1 MiB in a row at a place that is random.
    Runs,
}

fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn zipf_table(pages: u64) -> Vec<f64> {
    let mut sum = 0.0;
    let mut table: Vec<f64> = (0..pages)
        .map(|rank| {
            sum += 1.0 / ((rank + 1) as f64).powf(1.2);
            sum
        })
        .collect();
    for share in &mut table {
        *share /= sum;
    }
    table
}

/// Requests to the server.
struct Asked {
    /// All.
    asked: u64,
    /// Of these, all but those for data past the window.
    mapped: u64,
    /// The most ranges that were there.
    most: u32,
}

/// A way to use a file of `times` windows.
#[derive(Clone, Copy, Debug)]
struct Load {
    order: Order,
    times: u64,
    jobs: u64,
    /// By loads from a mapping, of which the window sees only page faults; by reads otherwise.
    mapped: bool,
}

impl Load {
    fn each(order: Order, times: u64) -> impl Iterator<Item = Self> {
        let kinds = [(1, false), (4, false), (1, true), (4, true)];
        kinds.into_iter().map(move |(jobs, mapped)| Self {
            order,
            times,
            jobs,
            mapped,
        })
    }

    /// What a server of that alignment is asked for, after one access to each block.
    fn run(self, alignment: u32) -> Asked {
        let world = Instant::new(WINDOW);
        assert!(world.update(|window| window.set_alignment(alignment)));
        let file = TestFile::new(1);
        let pages = self.times * WINDOW * BLOCK;
        let table = zipf_table(pages);
        let mut states: Vec<u64> = (1..=self.jobs)
            .map(|job| job.wrapping_mul(0x2545_f491_4f6c_dd1d))
            .collect();
        let mut at: Vec<u64> = (0..self.jobs).map(|job| pages / self.jobs * job).collect();
        let touch = |page| match self.mapped {
            true => world.load(&file, page, pages, false),
            false => world.read(&file, page, pages),
        };
        for block in 0..pages / BLOCK {
            touch(block * BLOCK);
        }
        let before = world.requests();
        let passed = world.passes();
        let mut most = 0;
        for number in 0..COUNT {
            let job = (number % self.jobs) as usize;
            let state = &mut states[job];
            at[job] = match self.order {
                Order::Seq => (at[job] + 1) % pages,
                Order::Rand => random(state) % pages,
                Order::Runs if number / self.jobs % 256 != 0 => (at[job] + 1) % pages,
                Order::Runs => random(state) % pages / 256 * 256,
                Order::Zipf => {
                    let share = (random(state) >> 11) as f64 * 2f64.powi(-53);
                    let rank = table.partition_point(|to| *to < share) as u64;
                    rank.min(pages - 1) * 0x9e37_79b1 % pages
                }
            };
            touch(at[job]);
            most = most.max(world.update(|window| window.mapped()));
        }
        assert!(world.update(|window| window.check()));
        let (asked, passed) = (world.requests() - before, world.passes() - passed);
        Asked {
            asked,
            mapped: asked - passed,
            most,
        }
    }
}

/// What is hot is a page here and there: eight times as many places for it than blocks.
#[test]
fn pages_here_and_there_are_mapped_in_pieces() {
    for load in Load::each(Order::Zipf, 4).filter(|load| load.mapped) {
        let (blocks, pieces) = (load.run(BLOCKS_ONLY).asked, load.run(PIECES));
        assert!(
            pieces.asked * 10 < blocks * 7,
            "{load:?}: {} and {blocks}",
            pieces.asked
        );
        assert!(pieces.most > 32, "{load:?}: {}", pieces.most);
    }
}

/// Reads of a page here and there go past the window, and what is hot is mapped.
#[test]
fn reads_here_and_there_need_few_mappings() {
    for alignment in [BLOCKS_ONLY, PIECES] {
        for load in Load::each(Order::Zipf, 4).chain(Load::each(Order::Rand, 4)) {
            if load.mapped {
                continue;
            }
            let read = load.run(alignment);
            let load = Load {
                mapped: true,
                ..load
            };
            let mapped = load.run(alignment);
            assert_eq!(mapped.asked, mapped.mapped);
            assert!(
                read.mapped * 5 < mapped.mapped,
                "{load:?}: {} and {}",
                read.mapped,
                mapped.mapped
            );
            assert!(
                read.asked * 20 <= mapped.asked * 21,
                "{load:?}: {} and {}",
                read.asked,
                mapped.asked
            );
        }
    }
}

#[test]
fn what_is_used_in_a_row_is_mapped_in_blocks() {
    for load in Load::each(Order::Seq, 4).chain(Load::each(Order::Runs, 4)) {
        let (blocks, pieces) = (load.run(BLOCKS_ONLY).asked, load.run(PIECES).asked);
        assert!(pieces <= blocks + 8, "{load:?}: {pieces} and {blocks}");
    }
}

#[test]
fn pieces_cost_little_where_they_do_not_help() {
    for load in Load::each(Order::Rand, 4).chain(Load::each(Order::Rand, 2)) {
        let (blocks, pieces) = (load.run(BLOCKS_ONLY).asked, load.run(PIECES).asked);
        assert!(
            pieces * 20 <= blocks * 21,
            "{load:?}: {pieces} and {blocks}"
        );
    }
}

#[test]
fn what_fits_is_asked_for_once() {
    for order in [Order::Seq, Order::Rand, Order::Zipf, Order::Runs] {
        for load in Load::each(order, 1) {
            assert_eq!(load.run(PIECES).asked, 0, "{load:?}");
        }
    }
}

/// However small the server would map, and however much there is to gain.
#[test]
fn a_window_is_not_cut_into_more_pieces_than_a_vmm_has_slots() {
    for order in [Order::Rand, Order::Zipf] {
        for load in Load::each(order, 4) {
            assert!(load.run(12).most <= 128, "{load:?}");
        }
    }
}

/// A file of `times` windows that is used here and there, and then from front to back.
struct Turn {
    world: Instant,
    file: TestFile,
    pages: u64,
    state: u64,
}

impl Turn {
    fn new(times: u64) -> Self {
        let world = Instant::new(WINDOW);
        assert!(world.update(|window| window.set_alignment(PIECES)));
        Self {
            world,
            file: TestFile::new(1),
            pages: times * WINDOW * BLOCK,
            state: 88172645463325252,
        }
    }

    fn has(&self, page: u64) -> bool {
        let has = |window: &mut Window<_>| window.has(&self.file, FilePage(page));
        self.world.update(has)
    }

    fn here_and_there(&mut self) {
        for _ in 0..1500 {
            let page = random(&mut self.state) % self.pages;
            self.world.load(&self.file, page, self.pages, false);
        }
        let fine = self.world.update(|window| window.mapped());
        assert!(u64::from(fine) > WINDOW, "{fine}");
    }

    /// How many requests to the server that takes, and how many page faults.
    fn from_front_to_back(&self) -> (u64, u64) {
        let before = (self.world.requests(), self.world.faults.get());
        for page in 0..self.pages {
            self.world.load(&self.file, page, self.pages, false);
        }
        assert!(self.world.update(|window| window.check()));
        (
            self.world.requests() - before.0,
            self.world.faults.get() - before.1,
        )
    }
}

/// A file that was used here and there, and is then read through, is mapped in blocks again: the
/// pieces that there are of a block do not make it one of pieces.
#[test]
fn pieces_become_blocks_again() {
    for times in [2, 4] {
        let mut turn = Turn::new(times);
        let blocks = times * WINDOW;
        for _ in 0..4 {
            turn.here_and_there();
            // C has two for a block: it maps that, and removes another.
            let (asked, faults) = turn.from_front_to_back();
            assert!(asked <= blocks * 5 / 2, "{times}: {asked}");
            assert!(faults < 2 * BLOCK, "{times}: {faults}");
            turn.from_front_to_back();
            let (asked, faults) = turn.from_front_to_back();
            assert!(asked <= blocks + 2, "{times}: {asked}");
            assert!(faults <= blocks, "{times}: {faults}");
        }
        assert!(turn.world.update(|window| window.mapped()) <= 2 * WINDOW as u32);
    }
}

/// A piece with references stays, and costs a task no more than one try: its block is mapped in
/// pieces.
#[test]
fn a_piece_with_references_stays() {
    let mut turn = Turn::new(2);
    turn.here_and_there();
    turn.from_front_to_back();
    turn.here_and_there();
    let all = (0..turn.pages / 64).map(|piece| piece * 64);
    let pieces: Vec<u64> = all.filter(|page| turn.has(*page)).collect();
    let kept = pieces[pieces.len() / 2];
    turn.world.referenced.borrow_mut().insert((1, kept));
    for _ in 0..3 {
        turn.from_front_to_back();
        assert!(turn.has(kept));
    }
    assert!(turn.world.update(|window| window.counters.busy) > 0);
    turn.world.referenced.borrow_mut().clear();
    turn.from_front_to_back();
    turn.from_front_to_back();
    let (asked, faults) = turn.from_front_to_back();
    assert!(asked <= 18 && faults <= 16, "{asked} {faults}");
}

/// What a file was used for before does not matter: reads here and there go past the window also
/// when it was mapped in pieces for a while, and is not now.
#[test]
fn reads_go_past_the_window_whatever_was_before() {
    let world = Instant::new(WINDOW);
    let file = TestFile::new(1);
    let pages = 4 * WINDOW * BLOCK;
    let mut state = 88172645463325252;
    for turn in 0..6 {
        for _ in 0..600 {
            world.load(&file, random(&mut state) % pages, pages, false);
        }
        for page in 0..pages {
            world.load(&file, page, pages, false);
        }
        let (before, passed) = (world.setups(), world.passes());
        for _ in 0..600 {
            world.read(&file, random(&mut state) % pages, pages);
        }
        let (mapped, passed) = (world.setups() - before, world.passes() - passed);
        assert!(
            mapped * 3 < passed,
            "turn {turn}: {mapped} mapped and {passed} read"
        );
    }
}
