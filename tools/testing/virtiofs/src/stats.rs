// SPDX-License-Identifier: GPL-2.0

//! What was asked of the daemon, counted, and told as one line of JSON.

use std::fmt::Write as _;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::ops;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters by name; the names are those of the JSON.
        #[derive(Default)]
        pub struct Counters {
            $($(#[$doc])* pub $name: AtomicU64,)*
        }

        impl Counters {
            fn each(&self) -> impl Iterator<Item = (&'static str, &AtomicU64)> {
                [$((stringify!($name), &self.$name),)*].into_iter()
            }
        }
    };
}

counters! {
    /// Requests of any kind.
    requests,
    /// Bytes of requests and replies, headers included.
    request_bytes,
    reply_bytes,
    /// SHMEM_MAP and SHMEM_UNMAP that the VMM did, and maps that it (or --max-maps) refused.
    shmem_map,
    shmem_unmap,
    shmem_refused,
    /// Bytes of what was mapped, over all.
    mapped_bytes,
    /// Microseconds of the clock for which the VMM was waited for, over all maps and unmaps.
    vmm_us,
    /// Mappings in the window: now, and at most.
    mapped,
    mapped_peak,
    /// Entries of REMOVEMAPPING requests.
    remove_entries,
    /// Faults that were put in.
    faults,
    /// Replies that came late, and that were written to the guest's memory.
    late,
}

/// The most queues: one for what must not wait, the others for all else.
pub const QUEUES: usize = 9;

/// All that is counted.
pub struct Stats {
    pub n: Counters,
    /// Requests of each queue.
    queues: [AtomicU64; QUEUES],
    ops: [AtomicU64; ops::COUNT],
    errors: [AtomicU64; ops::COUNT],
}

impl Default for Stats {
    fn default() -> Self {
        Stats {
            n: Counters::default(),
            queues: [const { AtomicU64::new(0) }; QUEUES],
            ops: [const { AtomicU64::new(0) }; ops::COUNT],
            errors: [const { AtomicU64::new(0) }; ops::COUNT],
        }
    }
}

pub fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Relaxed);
}

impl Stats {
    pub fn request(&self, op: u32, bytes: usize) {
        add(&self.n.requests, 1);
        add(&self.n.request_bytes, bytes as u64);
        if let Some(count) = self.ops.get(op as usize) {
            add(count, 1);
        }
    }

    /// A request came by that queue.
    pub fn came_by(&self, queue: u16) {
        if let Some(count) = self.queues.get(usize::from(queue)) {
            add(count, 1);
        }
    }

    /// `error` is the header's: 0 or less.
    pub fn reply(&self, op: u32, bytes: usize, error: i32) {
        add(&self.n.reply_bytes, bytes as u64);
        if let Some(count) = self.errors.get(op as usize).filter(|_| error != 0) {
            add(count, 1);
        }
    }

    /// As many mappings are in the window now.
    pub fn mapped(&self, now: usize) {
        self.n.mapped.store(now as u64, Relaxed);
        self.n.mapped_peak.fetch_max(now as u64, Relaxed);
    }

    /// Start again, from what is mapped now.
    pub fn zero(&self) {
        let now = self.n.mapped.load(Relaxed);
        let all = self.n.each().map(|(_, counter)| counter);
        let lists = self.queues.iter().chain(&self.ops).chain(&self.errors);
        for counter in all.chain(lists) {
            counter.store(0, Relaxed);
        }
        self.mapped(now as usize);
    }

    /// One line: `{"requests":3,...,"queue1":3,"ops":{"INIT":1,...},"errors":{"LOOKUP":1}}`.
    pub fn json(&self) -> String {
        let mut text = String::from("{");
        for (name, counter) in self.n.each() {
            let _ = write!(text, "\"{name}\":{},", counter.load(Relaxed));
        }
        let queues = self.queues.iter().map(|count| count.load(Relaxed));
        for (number, count) in queues.enumerate().filter(|(_, count)| *count > 0) {
            let _ = write!(text, "\"queue{number}\":{count},");
        }
        for (name, counters, end) in [("ops", &self.ops, ","), ("errors", &self.errors, "")] {
            let list: Vec<String> = (0..)
                .zip(counters)
                .filter(|(_, count)| count.load(Relaxed) > 0)
                .map(|(op, count)| format!("\"{}\":{}", ops::name(op), count.load(Relaxed)))
                .collect();
            let _ = write!(text, "\"{name}\":{{{}}}{end}", list.join(","));
        }
        text.push('}');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_told_by_name() {
        let stats = Stats::default();
        stats.request(ops::READ, 80);
        stats.request(ops::READ, 80);
        stats.request(ops::SETUPMAPPING, 80);
        stats.request(4000, 1);
        stats.reply(ops::READ, 4112, 0);
        stats.reply(ops::SETUPMAPPING, 16, -5);
        stats.mapped(7);
        stats.mapped(3);
        stats.came_by(0);
        stats.came_by(2);
        stats.came_by(2);
        stats.came_by(4000);
        let json = stats.json();
        for part in [
            "{\"requests\":4,",
            "\"request_bytes\":241,",
            "\"reply_bytes\":4128,",
            "\"mapped\":3,",
            "\"mapped_peak\":7,",
            ",\"queue0\":1,\"queue2\":2,\"ops\"",
            "\"ops\":{\"READ\":2,\"SETUPMAPPING\":1},",
            "\"errors\":{\"SETUPMAPPING\":1}}",
        ] {
            assert!(json.contains(part), "{part} is not in {json}");
        }
    }

    #[test]
    fn zero_keeps_what_is_mapped() {
        let stats = Stats::default();
        stats.request(ops::INIT, 104);
        stats.came_by(1);
        stats.mapped(9);
        stats.mapped(2);
        stats.zero();
        let json = stats.json();
        assert!(json.contains("\"requests\":0,"), "{json}");
        assert!(json.contains("\"mapped\":2,\"mapped_peak\":2,"), "{json}");
        assert!(json.contains("\"ops\":{},"), "{json}");
        assert!(!json.contains("queue1"), "{json}");
    }
}
