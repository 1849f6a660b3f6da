// SPDX-License-Identifier: GPL-2.0

//! KUnit suite of the protocol in `holders.rs` on the kernel's own lock; it runs at boot.
//!
//! `tools/testing/host` tests more cases, and every order of tasks. These tests check that
//! `monitor.rs` is the lock that they assume, with tasks that sleep.

#![cfg(CONFIG_DAX_RUST_KUNIT_TEST)]

use super::{
    failure::{
        Extent,
        Failure,
        Held,
        Holder, //
    },
    holder_table::{
        Phase,
        Refusal,
        Stage,
        Table,
        TaskId,
        MAX_CALLS, //
    },
    holders::{
        Holders,
        Monitor,
        Outcome, //
    },
    monitor::Sleeping, //
};
use kernel::{
    alloc::AllocError,
    dax::units::ByteRange,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
    workqueue, //
};

/// The task that runs a test; a task is no more than a number here.
const ME: TaskId = TaskId(1);
/// The task of a work item.
const OTHER: TaskId = TaskId(2);

const MEDIA: i32 = 1;
const REMOVAL: i32 = 1 << 5;

/// How many bytes each holder has.
const SIZE: u64 = 4096;

/// What a holder does when it is notified.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Answers(Result),
    /// Cannot be pinned.
    Gone,
    /// Unregisters in its callback.
    Leaves,
    /// Stays in its callback until the gate is open.
    Lingers,
}

/// The state that the tasks of a test wait for, and their progress.
#[derive(Clone, Copy, Default)]
struct Gate {
    open: bool,
    /// Callbacks that wait.
    inside: usize,
    /// The most that waited at the same time.
    most: usize,
    /// Callbacks that have continued.
    through: usize,
    /// Work items that are done.
    done: usize,
    /// How many callbacks had continued when the first work item was done.
    through_before: usize,
}

struct State {
    manner: Manner,
    device: Arc<Sleeping<Table<Probe>>>,
    gate: Arc<Sleeping<Gate>>,
    /// The number of notifications, and the last one: the first byte, the length, the flags.
    told: Atomic<u64>,
    start: Atomic<u64>,
    len: Atomic<u64>,
    flags: Atomic<i32>,
    /// Whether the device gave another holder, or none, as the one whose callback the task runs.
    lost: Atomic<bool>,
    /// How many bytes its partition has grown by; all ones when it has none left.
    grown: Atomic<u64>,
}

/// A holder.
#[derive(Clone)]
struct Probe(Arc<State>);

// The state is in an `Arc`, and no pin is projected through this.
impl Unpin for Probe {}

impl Probe {
    /// The number of notifications, and the last one.
    fn told(&self) -> (u64, Extent, i32) {
        let extent = ByteRange::new(self.0.start.load(Relaxed), self.0.len.load(Relaxed))
            .map_or(Extent::Whole, Extent::Bytes);
        let flags = self.0.flags.load(Relaxed);
        (self.0.told.load(Relaxed), extent, flags)
    }

    fn linger(&self) {
        self.0.gate.update(|gate| {
            gate.inside += 1;
            gate.most = gate.most.max(gate.inside);
        });
        self.0.gate.wait(|gate| gate.open.then_some(()));
        self.0.gate.update(|gate| {
            gate.inside -= 1;
            gate.through += 1;
        });
    }
}

impl Holder for Probe {
    fn identity(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    fn range(this: &Held<'_, Self>, registered: ByteRange) -> Option<ByteRange> {
        let end = registered.end().checked_add(this.0.grown.load(Relaxed))?;
        ByteRange::from_bounds(registered.start(), end)
    }

    type Pin = ();

    fn pin(this: &Held<'_, Self>) -> Option<()> {
        (this.0.manner != Manner::Gone).then_some(())
    }

    fn unpin(&self, (): ()) {}

    fn notify(this: &Held<'_, Self>, failure: &Failure) -> Result {
        let (start, len) = match failure.extent {
            // The whole device, which is no range of bytes.
            Extent::Whole => (0, 0),
            Extent::Bytes(bytes) => (bytes.start(), bytes.len()),
        };
        this.0.start.store(start, Relaxed);
        this.0.len.store(len, Relaxed);
        this.0.flags.store(failure.flags, Relaxed);
        this.0.told.add(1, Relaxed);
        match this.0.manner {
            Manner::Answers(result) => {
                let current = this.0.device.current(ME);
                if current.is_none_or(|probe| probe.identity() != this.identity()) {
                    this.0.lost.store(true, Relaxed);
                }
                return result;
            }
            Manner::Leaves => {
                this.0.device.unregister(ME, &**this);
            }
            Manner::Lingers => this.linger(),
            Manner::Gone => {}
        }
        Ok(())
    }
}

/// A device, and holders of its first three pages, in their order.
struct World {
    device: Arc<Sleeping<Table<Probe>>>,
    gate: Arc<Sleeping<Gate>>,
    probes: [Probe; 3],
}

impl World {
    fn new(manners: [Manner; 3]) -> Result<Self> {
        let device = Arc::pin_init(Sleeping::new(Table::new()), GFP_KERNEL)?;
        let gate = Arc::pin_init(Sleeping::new(Gate::default()), GFP_KERNEL)?;
        let probe = |manner| -> Result<Probe> {
            let state = State {
                manner,
                device: device.clone(),
                gate: gate.clone(),
                told: Atomic::new(0),
                start: Atomic::new(0),
                len: Atomic::new(0),
                flags: Atomic::new(0),
                lost: Atomic::new(false),
                grown: Atomic::new(0),
            };
            Ok(Probe(Arc::new(state, GFP_KERNEL)?))
        };
        let [first, second, third] = manners;
        let probes = [probe(first)?, probe(second)?, probe(third)?];
        let world = Self {
            device,
            gate,
            probes,
        };
        for (probe, page) in world.probes.iter().zip(0..) {
            world
                .device
                .register(bytes(page * SIZE, (page + 1) * SIZE)?, probe)
                .map_err(|_| EINVAL)?;
        }
        Ok(world)
    }

    /// See [`Probe::told`].
    fn told(&self) -> [(u64, Extent, i32); 3] {
        let [first, second, third] = &self.probes;
        [first.told(), second.told(), third.told()]
    }

    /// How many times each holder was notified.
    fn times(&self) -> [u64; 3] {
        self.told().map(|(times, ..)| times)
    }

    /// Runs `f` in a work item, and counts the item when it is done.
    fn spawn(
        &self,
        f: impl FnOnce(&Sleeping<Table<Probe>>, &Probe) + Send + 'static,
    ) -> Result<(), AllocError> {
        let device = self.device.clone();
        let gate = self.gate.clone();
        let probe = self.probes[0].clone();
        workqueue::system().try_spawn(GFP_KERNEL, move || {
            f(&device, &probe);
            // Dropped before the count of finished items lets the test end.
            drop((device, probe));
            gate.update(|gate| {
                if gate.done == 0 {
                    gate.through_before = gate.through;
                }
                gate.done += 1;
            });
        })
    }

    fn gate(&self) -> Gate {
        self.gate.update(|gate| *gate)
    }

    /// Waits until this many callbacks linger, or more.
    fn wait_for_inside(&self, inside: usize) {
        self.gate.wait(|gate| (gate.inside >= inside).then_some(()));
    }

    /// Lets callbacks return, and waits until this many work items are done.
    fn open(&self, done: usize) {
        self.gate.update(|gate| gate.open = true);
        self.gate.wait(|gate| (gate.done == done).then_some(()));
    }

    /// The stage of the first holder's registration, if there is one.
    fn stage(&self) -> Option<Stage> {
        self.device.look(|table| {
            table
                .registrations()
                .find(|seen| seen.holder.identity() == self.probes[0].identity())
                .map(|seen| seen.stage)
        })
    }
}

impl Drop for World {
    /// The table has references to the holders, which have one to the table.
    fn drop(&mut self) {
        // A test that failed early may have left callbacks there.
        self.gate.update(|gate| gate.open = true);
        for probe in &self.probes {
            self.device.unregister(ME, probe);
        }
    }
}

fn bytes(start: u64, end: u64) -> Result<ByteRange> {
    ByteRange::from_bounds(start, end).ok_or(EINVAL)
}

fn failure(start: u64, end: u64) -> Result<Failure> {
    Ok(Failure {
        extent: Extent::Bytes(bytes(start, end)?),
        flags: MEDIA,
    })
}

const FINE: Manner = Manner::Answers(Ok(()));

#[kunit_tests(dax_core_holders)]
mod suite {
    use super::*;

    #[test]
    fn holders_are_told_of_what_they_hold() -> Result {
        let world = World::new([FINE; 3])?;
        let outcome = world.device.notify(ME, &failure(SIZE - 8, SIZE + 8)?);
        assert_eq!(outcome, Outcome::Told(Ok(())));
        let [first, second, third] = world.told();
        assert_eq!(first, (1, Extent::Bytes(bytes(SIZE - 8, SIZE)?), MEDIA));
        assert_eq!(second, (1, Extent::Bytes(bytes(SIZE, SIZE + 8)?), MEDIA));
        assert_eq!(third.0, 0);
        // The last byte has no holder.
        let outcome = world.device.notify(ME, &failure(2 * SIZE, 3 * SIZE + 1)?);
        assert_eq!(outcome, Outcome::Unheld);
        assert_eq!(world.times(), [1, 1, 1]);
        let lost = world.probes.iter().any(|probe| probe.0.lost.load(Relaxed));
        assert!(!lost);
        Ok(())
    }

    #[test]
    fn a_partition_that_grows_is_held_as_it_is() -> Result {
        let world = World::new([FINE; 3])?;
        let last = &world.probes[2];
        let added = failure(3 * SIZE, 4 * SIZE)?;
        assert_eq!(world.device.notify(ME, &added), Outcome::Unheld);
        last.0.grown.store(SIZE, Relaxed);
        assert_eq!(world.device.notify(ME, &added), Outcome::Told(Ok(())));
        assert_eq!(last.told(), (1, added.extent, MEDIA));
        // No other holder may get the added bytes.
        world.device.unregister(ME, &world.probes[0]);
        let range = bytes(4 * SIZE - 1, 5 * SIZE)?;
        assert_eq!(
            world.device.register(range, &world.probes[0]),
            Err(Refusal::Overlap(bytes(4 * SIZE - 1, 4 * SIZE)?))
        );
        // A holder without bytes is notified of no failure, but of the removal.
        last.0.grown.store(u64::MAX, Relaxed);
        assert_eq!(world.device.notify(ME, &added), Outcome::Unheld);
        world.device.kill(ME, REMOVAL, || {});
        assert_eq!(last.told(), (2, Extent::Whole, REMOVAL));
        Ok(())
    }

    #[test]
    fn answers() -> Result {
        let world = World::new([
            Manner::Answers(Err(EIO)),
            Manner::Answers(Err(EOPNOTSUPP)),
            Manner::Answers(Err(EINVAL)),
        ])?;
        let notify = |start, end| -> Result<Outcome> {
            Ok(world.device.notify(ME, &failure(start * SIZE, end * SIZE)?))
        };
        assert_eq!(notify(0, 1)?, Outcome::Told(Err(EIO)));
        assert_eq!(notify(1, 2)?, Outcome::Unheld);
        assert_eq!(notify(2, 3)?, Outcome::Told(Err(EINVAL)));
        assert_eq!(notify(0, 3)?, Outcome::Unheld);
        // Every holder is notified, although one of them does not deal with its part.
        assert_eq!(world.times(), [2, 2, 2]);
        let counters = world.device.look(|table| table.counters());
        assert_eq!(counters.notified, 6);
        assert_eq!(counters.failed, 6);
        Ok(())
    }

    #[test]
    fn refusals() -> Result {
        let world = World::new([FINE; 3])?;
        let other = World::new([FINE; 3])?;
        let [first, ..] = &world.probes;
        let [stranger, ..] = &other.probes;
        let device = &world.device;
        let free = bytes(4 * SIZE, 5 * SIZE)?;
        assert_eq!(device.register(free, first), Err(Refusal::Twice));
        assert_eq!(
            device.register(bytes(3 * SIZE - 8, 4 * SIZE)?, stranger),
            Err(Refusal::Overlap(bytes(3 * SIZE - 8, 3 * SIZE)?))
        );
        assert!(device.unregister(ME, first));
        assert!(!device.unregister(ME, first));
        assert_eq!(device.register(bytes(0, SIZE)?, stranger), Ok(()));
        assert!(device.unregister(ME, stranger));
        device.kill(ME, REMOVAL, || ());
        assert_eq!(device.register(free, stranger), Err(Refusal::Dying));
        assert_eq!(device.look(|table| table.counters()).refused, 3);
        Ok(())
    }

    #[test]
    fn a_removal_is_told_once() -> Result {
        let world = World::new([FINE, Manner::Gone, FINE])?;
        let other = World::new([FINE; 3])?;
        let [stranger, ..] = &other.probes;
        let device = &world.device;
        let free = bytes(4 * SIZE, 5 * SIZE)?;
        let (mut told, mut refused) = ([0; 3], Ok(()));
        device.kill(ME, REMOVAL, || {
            told = world.times();
            refused = device.register(free, stranger);
        });
        assert_eq!(told, [1, 0, 1]);
        assert_eq!(refused, Err(Refusal::Dying));
        let [first, ..] = world.told();
        assert_eq!(first, (1, Extent::Whole, REMOVAL));
        assert_eq!(device.look(|table| table.phase()), Phase::Dead);
        // One of them was not notified, and may still have some of the memory.
        assert!(!device.look(|table| table.is_given_up()));
        let mut again = false;
        device.kill(ME, REMOVAL, || again = true);
        assert!(!again);
        assert_eq!(device.notify(ME, &failure(0, SIZE)?), Outcome::Dead);
        assert_eq!(world.times(), [1, 0, 1]);
        // The holders from before are not notified after the revival.
        assert!(device.revive());
        assert_eq!(device.notify(ME, &failure(0, SIZE)?), Outcome::Unheld);
        assert_eq!(world.stage(), Some(Stage::Stale));
        assert_eq!(world.times(), [1, 0, 1]);
        Ok(())
    }

    #[test]
    fn who_says_so_gave_it_up() -> Result {
        let world = World::new([FINE; 3])?;
        let device = &world.device;
        assert!(!device.look(|table| table.is_given_up()));
        device.kill(ME, REMOVAL, || ());
        assert!(device.look(|table| table.is_given_up()));
        assert!(device.revive());
        assert!(!device.look(|table| table.is_given_up()));
        Ok(())
    }

    #[test]
    fn a_holder_may_leave_in_its_callback() -> Result {
        let world = World::new([Manner::Leaves, FINE, FINE])?;
        let device = &world.device;
        let outcome = device.notify(ME, &failure(0, 2 * SIZE)?);
        assert_eq!(outcome, Outcome::Told(Ok(())));
        assert_eq!(world.stage(), None);
        assert_eq!(device.notify(ME, &failure(0, SIZE)?), Outcome::Unheld);
        assert_eq!(world.times(), [1, 1, 0]);
        Ok(())
    }

    #[test]
    fn unregistering_waits_for_callbacks() -> Result {
        let world = World::new([Manner::Lingers, FINE, FINE])?;
        let failure = failure(0, SIZE)?;
        world.spawn(move |device, _| {
            device.notify(OTHER, &failure);
        })?;
        world.wait_for_inside(1);
        world.spawn(|device, probe| {
            device.unregister(ME, probe);
        })?;
        // One that does not wait is soon gone; one that does says that it is leaving.
        while world.stage() == Some(Stage::In) {
            fsleep(Delta::from_millis(1));
        }
        let leaving = world.stage();
        let refused = world.device.register(bytes(0, 8)?, &world.probes[0]);
        world.open(2);
        assert_eq!(leaving, Some(Stage::Leaving));
        assert_eq!(refused, Err(Refusal::Twice));
        assert_eq!(world.gate().through_before, 1);
        assert_eq!(world.stage(), None);
        Ok(())
    }

    #[test]
    fn a_removal_waits_for_another() -> Result {
        let world = World::new([Manner::Lingers, FINE, FINE])?;
        world.spawn(|device, _| device.kill(OTHER, REMOVAL, || ()))?;
        world.wait_for_inside(1);
        world.spawn(|device, _| device.kill(ME, REMOVAL, || ()))?;
        // Long enough for one that does not wait to be done; one that does is not either way.
        fsleep(Delta::from_millis(20));
        let before = world.gate().done;
        let phase = world.device.look(|table| table.phase());
        world.open(2);
        assert_eq!(before, 0);
        assert_eq!(phase, Phase::Dying(OTHER));
        assert_eq!(world.times(), [1, 1, 1]);
        assert_eq!(world.device.look(|table| table.phase()), Phase::Dead);
        Ok(())
    }

    #[test]
    fn more_calls_than_can_be_noted() -> Result {
        const TASKS: usize = MAX_CALLS + 2;
        let world = World::new([Manner::Lingers, FINE, FINE])?;
        let failure = failure(0, SIZE)?;
        let mut spawned = 0;
        for task in 0..TASKS {
            let spawn = world.spawn(move |device, _| {
                device.notify(TaskId(10 + task), &failure);
            });
            spawned += usize::from(spawn.is_ok());
        }
        world.wait_for_inside(MAX_CALLS.min(spawned));
        world.open(spawned);
        assert_eq!(spawned, TASKS);
        assert_eq!(world.gate().most, MAX_CALLS);
        assert_eq!(world.gate().through, TASKS);
        let counters = world.device.look(|table| table.counters());
        assert_eq!(counters.notified, TASKS as u64);
        Ok(())
    }
}
