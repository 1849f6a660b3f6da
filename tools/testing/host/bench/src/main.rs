// SPDX-License-Identifier: GPL-2.0

//! The cost of operations on the poison record and on the holder table, by their size.
//!
//! Prints a table: an operation, how many ranges or holders there are, and what one call costs on
//! average and at most. In a build with `--cfg counting` the cost is memory accesses, otherwise it
//! is nanoseconds. `run` builds both and says which operations grow faster than a logarithm.
//!
//! The modules below are the kernel's own files.

// Only some of what the files have is measured.
#[allow(dead_code)]
#[path = "../../../../../drivers/nvdimm/pmem_rust/agent.rs"]
mod agent;
mod count;
#[allow(dead_code)]
#[path = "../../../../../drivers/dax/dax_core/failure.rs"]
mod failure;
mod holder;
#[allow(dead_code)]
#[path = "../../../../../drivers/dax/dax_core/holder_table.rs"]
mod holder_table;
#[allow(dead_code)]
#[path = "../../../../../drivers/dax/dax_core/holders.rs"]
mod holders;
mod poison;
#[allow(dead_code)]
#[path = "../../../../../drivers/nvdimm/pmem_rust/poison_map.rs"]
mod poison_map;
#[allow(dead_code)]
#[path = "../../../../../drivers/nvdimm/pmem_rust/rooms.rs"]
mod rooms;

use std::time::{
    Duration,
    Instant, //
};

/// More calls of one kind are not measured.
const MOST_CALLS: u64 = 1000;

/// Calls of one kind take no longer than this in all, but for the last.
const MOST_TIME: Duration = Duration::from_millis(500);

/// What calls of one kind cost.
pub(crate) struct Cost {
    calls: u64,
    total: u64,
    most: u64,
}

impl Cost {
    pub(crate) const NONE: Self = Self {
        calls: 0,
        total: 0,
        most: 0,
    };

    /// Runs `f` and counts it as one call.
    pub(crate) fn of<R>(&mut self, f: impl FnOnce() -> R) -> R {
        let accesses = count::accesses();
        let start = Instant::now();
        let result = std::hint::black_box(f());
        let cost = match count::COUNTING {
            true => count::accesses() - accesses,
            // CAST: Half a millennium of nanoseconds fits.
            false => start.elapsed().as_nanos() as u64,
        };
        self.calls += 1;
        self.total += cost;
        self.most = self.most.max(cost);
        result
    }

    /// Prints the cost of a call, or of each of the `parts` of a call.
    pub(crate) fn print(&self, name: &str, size: u64, parts: u64) {
        let average = self.total as f64 / (self.calls * parts) as f64;
        println!("{name}\t{size}\t{average:.1}\t{}", self.most);
    }
}

/// Numbers below an end, in an order that is the same in each run.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new() -> Self {
        Self(0x7264_6178)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// Calls `f` until that is enough. The number of calls does not depend on the time when accesses
/// are counted.
pub(crate) fn repeat(size: u64, mut f: impl FnMut()) {
    let start = Instant::now();
    // A call that goes through everything takes long.
    let calls = match count::COUNTING {
        true => (100_000_000 / size).clamp(10, MOST_CALLS),
        false => MOST_CALLS,
    };
    for _ in 0..calls {
        f();
        if !count::COUNTING && start.elapsed() > MOST_TIME {
            break;
        }
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let most = arguments.next().map_or(Ok(10_000_000), |most| most.parse());
    let Ok(most) = most else {
        eprintln!("usage: rdax-host-bench [RANGES]");
        std::process::exit(1);
    };
    let sizes = |most: u64| {
        (2..)
            .map(|power| 10u64.pow(power))
            .take_while(move |n| *n <= most)
    };
    for size in sizes(most) {
        poison::measure(size);
    }
    for size in sizes(most.min(10_000)) {
        holder::measure(size);
    }
}
