// SPDX-License-Identifier: GPL-2.0

//! Replies that come late, in a ring of the test's own.

use super::*;
use crate::fault::Faults;
use crate::reply::Manners;
use crate::window::Rules;
use std::time::Duration;
use std::time::Instant;

/// Longer than any test runs.
const LONG: Duration = Duration::from_secs(100_000);
const USED: u64 = 0x2000;
const ROOM: u64 = 0x8000;

/// A device, its memory, and a queue of it.
fn device() -> (Device, Memory, VringRwLock) {
    let dir = tempfile::tempdir().unwrap();
    let stats = Arc::new(Stats::default());
    let rules = Rules {
        size: 1 << 21,
        grow: false,
        max_maps: 1,
    };
    let window = Arc::new(Mutex::new(Window::new(rules, stats.clone())));
    let server = FileServer::new(
        dir.path(),
        Duration::ZERO,
        Manners::default(),
        Faults::default(),
        window.clone(),
        stats.clone(),
    );
    let server = Arc::new(server.unwrap());
    let end = Box::new(|| panic!("it ends"));
    let device = Device::new(server, stats, window, 1 << 21, 1, "dax", end);
    let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 1 << 16)]).unwrap();
    let memory = Memory::new(memory);
    device.update_memory(memory.clone()).unwrap();
    let vring = VringRwLock::new(memory.clone(), 16).unwrap();
    vring.set_queue_size(16);
    vring.set_queue_info(0, 0x1000, USED).unwrap();
    vring.set_queue_ready(true);
    (device, memory, vring)
}

fn reply(addr: u64) -> Written {
    Written {
        head: 3,
        room: vec![(GuestAddress(addr), 5)],
        reply: b"reply".to_vec(),
        written: usize::MAX,
    }
}

/// The index in the used ring.
fn used(memory: &Memory) -> u16 {
    memory.memory().read_obj(GuestAddress(USED + 2)).unwrap()
}

fn wait_for(what: impl Fn() -> bool) {
    let began = Instant::now();
    while !what() {
        assert!(began.elapsed() < Duration::from_secs(60), "it never comes");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn late_replies_come_at_reset_and_are_counted() {
    let (device, memory, vring) = device();
    for _ in 0..2 {
        let hold = device.server.held.hold(LONG);
        device.later(vring.clone(), reply(ROOM), hold);
    }
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!((used(&memory), device.stats.n.late.load(Relaxed)), (0, 0));
    device.server.reset();
    wait_for(|| device.stats.n.late.load(Relaxed) == 2);
    assert_eq!(used(&memory), 2);
    let mut bytes = [0; 5];
    memory
        .memory()
        .read_slice(&mut bytes, GuestAddress(ROOM))
        .unwrap();
    assert_eq!(&bytes, b"reply");
}

#[test]
fn what_could_not_be_written_is_not_counted() {
    let (device, memory, vring) = device();
    let hold = device.server.held.hold(Duration::ZERO);
    // Beyond the memory.
    device.later(vring.clone(), reply(1 << 20), hold);
    wait_for(|| used(&memory) == 1);
    device.later(vring, reply(ROOM), hold);
    wait_for(|| device.stats.n.late.load(Relaxed) > 0);
    assert_eq!((used(&memory), device.stats.n.late.load(Relaxed)), (2, 1));
}
