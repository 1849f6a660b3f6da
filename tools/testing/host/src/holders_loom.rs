// SPDX-License-Identifier: GPL-2.0

//! `drivers/dax/dax_core/holders.rs` under loom: every order in which two or three tasks can take
//! the lock, wait for each other, and use a holder.
//!
//! A file system is modelled as its count of active references and a piece of memory that loom
//! watches: a callback reads it, the end of the file system writes it. Loom fails a model in which
//! both are not ordered by the lock, even where they happen to come one after the other, and one in
//! which tasks wait for each other for good.
//!
//! `LOOM_MAX_PREEMPTIONS` overrides the bounds given here, `LOOM_LOG=1` shows a failing order.

use crate::failure::{
    Extent,
    Failure,
    Held,
    Holder, //
};
use crate::holder_table::{
    Phase,
    Refusal,
    Table,
    TaskId,
    MAX_CALLS, //
};
use crate::holders::{
    Holders,
    Monitor,
    Outcome, //
};
use kernel::{
    dax::units::ByteRange,
    error::Result, //
};
use loom::{
    cell::UnsafeCell,
    model::Builder,
    sync::{
        atomic::AtomicUsize,
        Condvar,
        Mutex, //
    },
    thread, //
};
use std::{
    hash::{
        DefaultHasher,
        Hash,
        Hasher, //
    },
    sync::{
        atomic::{
            AtomicUsize as Tally,
            Ordering, //
        },
        Arc,
        Weak, //
    },
};

mod ends;
mod removals;

const MEDIA: i32 = 1;
const REMOVAL: i32 = 1 << 5;

/// Every order.
const ALL: Option<usize> = None;

/// Every order in which tasks are stopped so often where they could go on; waiting does not count.
///
/// Three tasks have millions of orders, and two that wait for each other have nearly as many. What
/// can go wrong takes two stops: one task between its note and its pin or callback, another between
/// its look at the table and what it does next. The third stop is to be sure; a fourth takes ten
/// times as long.
const FEW: Option<usize> = Some(3);

/// Goes through `model` in the orders that are asked for.
fn check(preemptions: Option<usize>, model: fn()) {
    let mut builder = Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(preemptions);
    builder.check(model);
}

/// The [`Monitor`] of loom: as the kernel's `Sleeping`, which wakes tasks after each update and at
/// no other time.
struct Switched<S> {
    state: Mutex<S>,
    changed: Condvar,
}

impl<S> Switched<S> {
    fn new(state: S) -> Self {
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }
}

impl<S> Monitor<S> for Switched<S> {
    fn update<R>(&self, f: impl FnOnce(&mut S) -> R) -> R {
        let result = f(&mut self.state.lock().unwrap());
        self.changed.notify_all();
        result
    }

    fn wait<R>(&self, mut f: impl FnMut(&mut S) -> Option<R>) -> R {
        let mut state = self.state.lock().unwrap();
        loop {
            if let Some(result) = f(&mut state) {
                return result;
            }
            state = self.changed.wait(state).unwrap();
        }
    }
}

/// The loom thread that runs this.
fn me() -> TaskId {
    let mut hasher = DefaultHasher::new();
    thread::current().id().hash(&mut hasher);
    TaskId(hasher.finish() as usize)
}

/// Memory that is used until it is written once.
struct Memory(UnsafeCell<bool>);

// SAFETY: That no use overlaps the write is what loom checks.
unsafe impl Sync for Memory {}
// SAFETY: It is a `bool`.
unsafe impl Send for Memory {}

impl Memory {
    fn new() -> Self {
        Self(UnsafeCell::new(false))
    }

    fn read(&self) -> bool {
        // SAFETY: Loom stops the model before a read that a write is not ordered with.
        self.0.with(|written| unsafe { *written })
    }

    fn write(&self) {
        // SAFETY: Loom stops the model before a write that anything is not ordered with.
        self.0.with_mut(|written| unsafe {
            assert!(!*written, "written twice");
            *written = true;
        });
    }
}

struct Device {
    table: Switched<Table<Fs>>,
    /// For models in which tasks wait for something besides the protocol.
    gate: Switched<Gate>,
    /// What the first ten bytes are about: their holder works on it in its callback.
    media: Memory,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Gate {
    Closed,
    Open,
    Passed,
}

impl Device {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            table: Switched::new(Table::new()),
            gate: Switched::new(Gate::Closed),
            media: Memory::new(),
        })
    }

    fn set(&self, gate: Gate) {
        self.gate.update(|state| *state = gate);
    }

    fn wait_for(&self, gate: Gate) {
        self.gate.wait(|state| (*state == gate).then_some(()));
    }

    fn fail(&self, start: u64, end: u64) -> Outcome {
        let extent = Extent::Bytes(bytes(start, end));
        let failure = Failure {
            extent,
            flags: MEDIA,
        };
        self.table.notify(me(), &failure)
    }

    fn kill(&self) {
        self.table.kill(me(), REMOVAL, || ());
    }

    fn phase(&self) -> Phase {
        self.table.look(|table| table.phase())
    }

    fn is_empty(&self) -> bool {
        self.table.look(|table| table.registrations().count() == 0)
    }
}

fn bytes(start: u64, end: u64) -> ByteRange {
    ByteRange::from_bounds(start, end).unwrap()
}

/// How a file system is kept while it is called, and which task ends it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// By a reference; the task that drops the last one ends it.
    Pinned,
    /// By a reference; the task that drops the last one has another task end it, and waits.
    EndedByOther,
    /// Not at all: [`Holders::unregister`] waits.
    Old,
}

struct State {
    kind: Kind,
    range: ByteRange,
    active: AtomicUsize,
    memory: Memory,
    device: Weak<Device>,
    /// What it does in its callback.
    script: fn(&Fs, &Failure),
    // No more than counted by the test: loom need not switch tasks here.
    failures: Tally,
    removals: Tally,
    ended: Tally,
}

/// A file system.
#[derive(Clone)]
struct Fs(Arc<State>);

impl Fs {
    fn new(device: &Arc<Device>, kind: Kind, start: u64, script: fn(&Fs, &Failure)) -> Self {
        Self(Arc::new(State {
            kind,
            range: bytes(start, start + 10),
            active: AtomicUsize::new(1),
            memory: Memory::new(),
            device: Arc::downgrade(device),
            script,
            failures: Tally::new(0),
            removals: Tally::new(0),
            ended: Tally::new(0),
        }))
    }

    /// One that is registered and whose callback only returns.
    fn mounted(device: &Arc<Device>, kind: Kind, start: u64) -> Self {
        Self::scripted(device, kind, start, |_, _| ())
    }

    fn scripted(device: &Arc<Device>, kind: Kind, start: u64, script: fn(&Fs, &Failure)) -> Self {
        let fs = Self::new(device, kind, start, script);
        assert_eq!(fs.register(), Ok(()));
        fs
    }

    fn device(&self) -> Arc<Device> {
        self.0.device.upgrade().unwrap()
    }

    fn register(&self) -> Result<(), Refusal> {
        self.device().table.register(self.0.range, self)
    }

    /// Drops a reference.
    fn put(&self) {
        if self.0.active.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        if self.0.kind == Kind::EndedByOther {
            self.device().set(Gate::Open);
            self.device().wait_for(Gate::Passed);
        } else {
            self.end();
        }
    }

    /// Unregisters, and goes.
    fn end(&self) {
        assert!(self.device().table.unregister(me(), self));
        self.0.memory.write();
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }

    fn failures(&self) -> usize {
        self.0.failures.load(Ordering::Relaxed)
    }

    fn removals(&self) -> usize {
        self.0.removals.load(Ordering::Relaxed)
    }

    fn ended(&self) -> usize {
        self.0.ended.load(Ordering::Relaxed)
    }
}

impl Holder for Fs {
    fn identity(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    type Pin = ();

    fn pin(this: &Held<'_, Self>) -> Option<()> {
        assert!(!this.0.memory.read(), "pinned after its end");
        if this.0.kind == Kind::Old {
            return Some(());
        }
        let more = |active: usize| (active > 0).then_some(active + 1);
        this.0
            .active
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more)
            .ok()
            .map(drop)
    }

    fn unpin(&self, (): ()) {
        // One of the old kind may be gone.
        if self.0.kind != Kind::Old {
            assert!(!self.0.memory.read(), "unpinned after its end");
            self.put();
        }
    }

    fn notify(this: &Held<'_, Self>, failure: &Failure) -> Result {
        assert!(!this.0.memory.read(), "called after its end");
        assert!(this
            .device()
            .table
            .current(me())
            .is_some_and(|fs| fs.identity() == this.identity()));
        let tally = match failure.flags {
            REMOVAL => &this.0.removals,
            _ => &this.0.failures,
        };
        tally.fetch_add(1, Ordering::Relaxed);
        (this.0.script)(this, failure);
        Ok(())
    }
}

/// What another task does.
fn task(device: &Arc<Device>, f: impl FnOnce(&Device) + 'static) -> thread::JoinHandle<()> {
    let device = device.clone();
    thread::spawn(move || f(&device))
}

/// The same with a file system.
fn task_of(fs: &Fs, f: impl FnOnce(&Fs) + 'static) -> thread::JoinHandle<()> {
    let fs = fs.clone();
    thread::spawn(move || f(&fs))
}
