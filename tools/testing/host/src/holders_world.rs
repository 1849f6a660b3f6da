// SPDX-License-Identifier: GPL-2.0

//! A device of the host, and holders that do what real ones do and record their notifications.

use crate::failure::{
    Failure,
    Held,
    Holder, //
};
use crate::holder_table::{
    Refusal,
    Table,
    TaskId, //
};
use crate::holders::{
    Holders,
    Monitor, //
};
use kernel::{
    dax::units::ByteRange,
    error::Result, //
};
use std::{
    hash::{
        DefaultHasher,
        Hash,
        Hasher, //
    },
    sync::{
        atomic::AtomicBool,
        Arc,
        Condvar,
        Mutex,
        Weak, //
    },
    thread,
    time::Duration, //
};

/// How many holders there are to choose from.
pub(crate) const TESTERS: usize = 8;

/// The flags of a removal; the protocol passes them on without a look.
pub(crate) const REMOVAL: i32 = 1 << 5;

/// The flags of any other failure.
pub(crate) const MEDIA: i32 = 1;

/// Longer than any task waits that is woken.
const PATIENCE: Duration = Duration::from_secs(if cfg!(miri) { 1200 } else { 60 });

/// The [`Monitor`] of the host: as the kernel's `Sleeping`, which wakes tasks after each update and
/// at no other time, but with Rust's own lock.
pub(crate) struct Blocking<S> {
    state: Mutex<S>,
    changed: Condvar,
}

impl<S> Blocking<S> {
    pub(crate) fn new(state: S) -> Self {
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }
}

impl<S> Monitor<S> for Blocking<S> {
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
            let (locked, result) = self.changed.wait_timeout(state, PATIENCE).unwrap();
            state = locked;
            assert!(!result.timed_out(), "nobody wakes a task");
        }
    }
}

/// The thread that runs this.
pub(crate) fn me() -> TaskId {
    let mut hasher = DefaultHasher::new();
    thread::current().id().hash(&mut hasher);
    TaskId(hasher.finish() as usize)
}

/// What a holder does when it is told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Manner {
    Answers(Result),
    /// Cannot be pinned.
    Gone,
    /// Unregisters in its callback.
    Leaves,
    /// Its last pin is what keeps it: it unregisters when that is released.
    EndsWithPin,
    /// Unregisters another holder in its callback.
    TakesAlong(usize),
    /// Removes the device that it hears is being removed.
    RemovesAgain,
    Scripted(fn(&Tester, &Failure) -> Result),
}

/// What happened to a holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) tester: usize,
    pub(crate) failure: Failure,
    /// The holder that the task was calling: at the callback's start and at its end.
    pub(crate) current: [Option<usize>; 2],
}

/// A device, and what its holders saw.
pub(crate) struct World {
    pub(crate) device: Blocking<Table<Tester>>,
    pub(crate) manners: Mutex<Vec<Manner>>,
    /// Where holders end whose partitions were grown or shrunk.
    ends: Mutex<Vec<Option<u64>>>,
    log: Mutex<Vec<Told>>,
    /// What callbacks may wait for.
    pub(crate) open: AtomicBool,
}

/// A holder.
#[derive(Clone)]
pub(crate) struct Tester {
    pub(crate) number: usize,
    world: Weak<World>,
}

impl World {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            device: Blocking::new(Table::new()),
            manners: Mutex::new(vec![Manner::Answers(Ok(())); TESTERS]),
            ends: Mutex::new(vec![None; TESTERS]),
            log: Mutex::default(),
            open: AtomicBool::new(false),
        })
    }

    pub(crate) fn tester(self: &Arc<Self>, number: usize) -> Tester {
        Tester {
            number,
            world: Arc::downgrade(self),
        }
    }

    pub(crate) fn behaves(&self, number: usize, manner: Manner) {
        self.manners.lock().unwrap()[number] = manner;
    }

    /// From now on the bytes of a holder end here; [`None`] for where it registered.
    pub(crate) fn resize(&self, number: usize, end: Option<u64>) {
        self.ends.lock().unwrap()[number] = end;
    }

    /// What happened since the last look.
    pub(crate) fn log(&self) -> Vec<Told> {
        std::mem::take(&mut self.log.lock().unwrap())
    }

    /// What [`Holders::current`] tells this task.
    pub(crate) fn current(&self) -> Option<usize> {
        self.device.current(me()).map(|tester| tester.number)
    }
}

impl Tester {
    pub(crate) fn world(&self) -> Arc<World> {
        self.world.upgrade().unwrap()
    }

    fn manner(&self) -> Manner {
        self.world().manners.lock().unwrap()[self.number]
    }
}

impl Holder for Tester {
    fn identity(&self) -> usize {
        self.number
    }

    fn range(this: &Held<'_, Self>, registered: ByteRange) -> Option<ByteRange> {
        let end = this.world().ends.lock().unwrap()[this.number];
        ByteRange::from_bounds(registered.start(), end.unwrap_or(registered.end()))
    }

    /// The number of the tester that is pinned.
    type Pin = usize;

    fn pin(this: &Held<'_, Self>) -> Option<usize> {
        (!matches!(this.manner(), Manner::Gone)).then_some(this.number)
    }

    fn unpin(&self, pin: usize) {
        assert_eq!(pin, self.number);
        if let Manner::EndsWithPin = self.manner() {
            self.world().device.unregister(me(), self);
        }
    }

    fn notify(this: &Held<'_, Self>, failure: &Failure) -> Result {
        let world = this.world();
        let device = &world.device;
        let before = world.current();
        let result = match this.manner() {
            Manner::Answers(result) => result,
            Manner::Gone => panic!("a holder is told that could not be pinned"),
            Manner::Leaves => {
                assert!(device.unregister(me(), &**this));
                Ok(())
            }
            Manner::EndsWithPin => Ok(()),
            Manner::TakesAlong(other) => {
                device.unregister(me(), &world.tester(other));
                Ok(())
            }
            Manner::RemovesAgain => {
                if failure.flags == REMOVAL {
                    device.kill(me(), REMOVAL, || panic!("closed twice"));
                    assert!(!device.revive());
                    let range = ByteRange::new(0, 1).unwrap();
                    let refused = device.register(range, &world.tester(TESTERS));
                    assert_eq!(refused, Err(Refusal::Dying));
                }
                Ok(())
            }
            Manner::Scripted(script) => script(this, failure),
        };
        world.log.lock().unwrap().push(Told {
            tester: this.number,
            failure: *failure,
            current: [before, world.current()],
        });
        result
    }
}
