// SPDX-License-Identifier: GPL-2.0

//! The state of the protocol of `holders.rs`: the registrations, and the calls that are running.
//!
//! Plain `no_std` Rust as that file. The caller holds the lock. Every operation except listing
//! takes O(log n), and none allocates or frees memory: [`Rooms`] are allocated, and [`Removed`] is
//! freed, outside of the lock.

use super::failure::{
    Extent,
    Held,
    Holder,
    Ticket, //
};
use kernel::{
    dax::{
        holder::MAX_CALLS_AND_REMOVAL,
        units::ByteRange, //
    },
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNode,
        RBTreeNodeReservation, //
    }, //
};

pub(crate) use kernel::dax::holder::MAX_CALLS;

/// A task, by a number that no other task has while this one runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TaskId(pub(crate) usize);

/// The number of a registration. Later ones have larger numbers, and none is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HolderId(u64);

impl HolderId {
    /// The next one.
    ///
    /// Cannot wrap: registering takes longer than a nanosecond, and 2^64 of those are centuries.
    fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// The phase of a device's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// In use; holders may register.
    Alive,
    /// This task is removing it: holders are notified, and none may register.
    Dying(TaskId),
    /// Removed. [`Holders::revive`](super::holders::Holders::revive) may bring it back.
    Dead,
}

/// Why a registration is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The device is being removed, or was.
    Dying,
    /// This holder has registered with this device before.
    Twice,
    /// Another holder holds these bytes of the range.
    Overlap(ByteRange),
    /// No memory.
    NoMemory,
}

/// Counts of the events of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Callbacks that ran.
    pub(crate) notified: u64,
    /// Callbacks that returned an error.
    pub(crate) failed: u64,
    /// Registrations that were refused.
    pub(crate) refused: u64,
}

/// The stage of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The holder is notified of failures.
    In,
    /// The holder is unregistering and waits for callbacks; its bytes are not free before that.
    Leaving,
    /// The device died, and the holder has not unregistered yet. If the device is revived, this
    /// registration is ignored.
    Stale,
}

/// A registered holder.
struct Entry<H> {
    /// The bytes that it registered for. [`Entry::range`] is those that it holds now.
    registered: ByteRange,
    holder: H,
    /// It is [`Stage::Leaving`].
    leaving: bool,
    /// How many callbacks have run.
    told: u64,
}

impl<H: Holder> Entry<H> {
    fn held(&self) -> Held<'_, H> {
        // SAFETY: It is in the table, which is borrowed as long.
        unsafe { Held::new(&self.holder) }
    }

    fn range(&self) -> Option<ByteRange> {
        H::range(&self.held(), self.registered)
    }
}

/// A registration by the start of its bytes, and by its number: a registration that has no bytes
/// left may start where another one does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    start: u64,
    id: HolderId,
}

impl Place {
    /// Not after any place that starts at `start`.
    fn at(start: u64) -> Self {
        Self {
            start,
            id: HolderId(0),
        }
    }

    /// The smallest place after this.
    fn next(self) -> Self {
        Self {
            id: self.id.next(),
            ..self
        }
    }

    /// Not before any place that has the same start.
    fn last(self) -> Self {
        Self {
            id: HolderId(u64::MAX),
            ..self
        }
    }
}

/// Registrations, ordered by the start of their bytes.
pub(super) type Places = RBTree<Place, ()>;

/// A holder's identity, and the number of a registration of it.
type Name = (usize, HolderId);

/// The first key that is `from` or later.
fn first_from<K: Ord + Copy, V>(tree: &RBTree<K, V>, from: &K) -> Option<K> {
    tree.cursor_lower_bound(from).map(|at| *at.current().0)
}

/// The last key before `end`.
fn last_before<K: Ord + Copy, V>(tree: &RBTree<K, V>, end: &K) -> Option<K> {
    match tree.cursor_lower_bound(end) {
        Some(at) => at.peek_prev().map(|(key, _)| *key),
        None => tree.cursor_back().map(|at| *at.current().0),
    }
}

/// Preallocated nodes for a registration.
pub(super) struct Rooms<H> {
    entry: RBTreeNodeReservation<HolderId, Entry<H>>,
    place: RBTreeNodeReservation<Place, ()>,
    name: RBTreeNodeReservation<Name, ()>,
}

impl<H> Rooms<H> {
    /// Allocates the nodes. May sleep.
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            entry: RBTreeNodeReservation::new(GFP_KERNEL)?,
            place: RBTreeNodeReservation::new(GFP_KERNEL)?,
            name: RBTreeNodeReservation::new(GFP_KERNEL)?,
        })
    }
}

/// The nodes of a removed registration, to be freed outside of the lock.
pub(super) struct Removed<H> {
    _entry: Option<RBTreeNode<HolderId, Entry<H>>>,
    _place: Option<RBTreeNode<Place, ()>>,
    _name: Option<RBTreeNode<Name, ()>>,
}

/// The public part of a registration.
pub(crate) struct Registration<'a, H> {
    /// The bytes that are held; [`None`] when there are none left.
    pub(crate) range: Option<ByteRange>,
    /// The holder of them.
    pub(crate) holder: Held<'a, H>,
    /// Whether the holder is notified of failures.
    pub(crate) stage: Stage,
    /// How many callbacks have run.
    pub(crate) told: u64,
    /// How many are running.
    pub(crate) running: usize,
}

/// A callback that is running.
#[derive(Clone, Copy)]
struct Call {
    task: TaskId,
    holder: HolderId,
    /// The number of other callbacks that the task was in when this one began.
    depth: usize,
}

/// What [`Table::begin`] found.
pub(super) enum Begun<H> {
    Call(Ticket<H>),
    /// A registration that is not notified. Others may be left.
    Passed,
    NoneLeft,
    Dead,
}

/// The progress of a notification.
pub(super) struct Walk {
    what: Extent,
    /// The place to continue from.
    next: Place,
    /// Only registrations with smaller numbers are notified.
    end: HolderId,
}

impl Walk {
    /// Whether a registration that starts at `start` may overlap what failed.
    fn reaches(&self, start: u64) -> bool {
        match self.what {
            Extent::Whole => true,
            Extent::Bytes(bytes) => start < bytes.end(),
        }
    }
}

/// The state of a device's holders. [`Holders`](super::holders::Holders) documents the transitions.
///
/// # Invariants
///
/// - Each of `entries` is in `names`. It is in `leaving` if it is leaving; or else in `held` if its
///   number is `living` or larger; or else it is stale. The trees contain nothing else.
/// - The bytes of those in `held` and `leaving` begin where their [`Place`] says.
pub(crate) struct Table<H> {
    phase: Phase,
    /// The number of the next registration.
    next_id: HolderId,
    /// The first number that was given out since the device last died.
    living: HolderId,
    entries: RBTree<HolderId, Entry<H>>,
    names: RBTree<Name, ()>,
    held: Places,
    leaving: Places,
    /// The last one is for the task that removes the device: all others may be waiting for it.
    calls: [Option<Call>; MAX_CALLS_AND_REMOVAL],
    counters: Counters,
    /// Set with [`Phase::Dead`].
    given_up: bool,
}

impl<H: Holder> Table<H> {
    /// The table of a device that is alive and has no holders.
    pub(crate) fn new() -> Self {
        // INVARIANT: There are no entries.
        Self {
            phase: Phase::Alive,
            next_id: HolderId(0),
            living: HolderId(0),
            entries: RBTree::new(),
            names: RBTree::new(),
            held: RBTree::new(),
            leaving: RBTree::new(),
            calls: [None; MAX_CALLS_AND_REMOVAL],
            counters: Counters::default(),
            given_up: false,
        }
    }

    /// Whether the device is dead and every holder has given up its memory: its callback returned
    /// success for the removal, or it has unregistered since.
    pub(crate) fn is_given_up(&self) -> bool {
        self.phase == Phase::Dead && self.given_up
    }

    /// The phase of the device.
    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// The counts of events.
    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }

    /// Every registration, in order of registration.
    pub(crate) fn registrations(&self) -> impl Iterator<Item = Registration<'_, H>> {
        self.entries.iter().map(|(id, entry)| Registration {
            range: entry.range(),
            holder: entry.held(),
            stage: self.stage(*id, entry),
            told: entry.told,
            running: self
                .calls
                .iter()
                .flatten()
                .filter(|call| call.holder == *id)
                .count(),
        })
    }

    fn stage(&self, id: HolderId, entry: &Entry<H>) -> Stage {
        if entry.leaving {
            Stage::Leaving
        } else if id < self.living {
            Stage::Stale
        } else {
            Stage::In
        }
    }

    /// The bytes that the registration at `place` holds now.
    fn range_at(&self, place: &Place) -> Option<ByteRange> {
        self.entries.get(&place.id)?.range()
    }

    /// The newest registration of the holder with this identity.
    fn last_of(&self, identity: usize) -> Option<HolderId> {
        let last = last_before(&self.names, &(identity, HolderId(u64::MAX)));
        last.filter(|name| name.0 == identity).map(|(_, id)| id)
    }

    /// The first of `places` that holds part of `range`, and that part.
    ///
    /// Looks at two registrations, and at those in between that have no bytes.
    fn first_within(&self, places: &Places, range: &ByteRange) -> Option<(Place, ByteRange)> {
        let mut from = Place::at(range.start());
        // Of the registrations that start before the range, only the last one can reach into it.
        while let Some(place) = last_before(places, &from) {
            from = place;
            if self.range_at(&place).is_some() {
                break;
            }
        }
        while let Some(place) = first_from(places, &from).filter(|at| at.start < range.end()) {
            let held = self.range_at(&place);
            if let Some(common) = held.and_then(|held| held.intersection(range)) {
                return Some((place, common));
            }
            from = place.next();
        }
        None
    }

    /// Adds a holder, or counts a refusal. Takes `rooms` only if it adds one.
    pub(super) fn add(
        &mut self,
        range: ByteRange,
        holder: &H,
        rooms: &mut Option<Rooms<H>>,
    ) -> Result<(), Refusal> {
        let added = self
            .check(&range, holder)
            .and_then(|()| rooms.take().ok_or(Refusal::NoMemory));
        match added {
            Ok(rooms) => {
                self.insert(range, holder, rooms);
                Ok(())
            }
            Err(refusal) => {
                self.counters.refused += 1;
                Err(refusal)
            }
        }
    }

    /// Whether `holder` may have `range`.
    fn check(&self, range: &ByteRange, holder: &H) -> Result<(), Refusal> {
        if self.phase != Phase::Alive {
            return Err(Refusal::Dying);
        }
        let last = self.last_of(holder.identity());
        let last = last.and_then(|id| Some(self.stage(id, self.entries.get(&id)?)));
        if last.is_some_and(|stage| stage != Stage::Stale) {
            return Err(Refusal::Twice);
        }
        for places in [&self.held, &self.leaving] {
            if let Some((_, common)) = self.first_within(places, range) {
                return Err(Refusal::Overlap(common));
            }
        }
        Ok(())
    }

    fn insert(&mut self, range: ByteRange, holder: &H, rooms: Rooms<H>) {
        let id = self.next_id;
        self.next_id = id.next();
        let entry = Entry {
            registered: range,
            holder: holder.clone(),
            leaving: false,
            told: 0,
        };
        let place = Place {
            start: range.start(),
            id,
        };
        // INVARIANT: Its number is larger than those of the entries, so it is in none of the trees
        // yet, and no smaller than `living`.
        self.entries.insert(rooms.entry.into_node(id, entry));
        let name = (holder.identity(), id);
        self.names.insert(rooms.name.into_node(name, ()));
        self.held.insert(rooms.place.into_node(place, ()));
    }

    /// Begins a notification of `what` to all present registrations.
    pub(super) fn walk(&self, what: Extent) -> Walk {
        let next = match what {
            Extent::Whole => Place::at(0),
            Extent::Bytes(bytes) => {
                let first = self.first_within(&self.held, &bytes);
                first.map_or(Place::at(bytes.start()), |(place, _)| place)
            }
        };
        Walk {
            what,
            next,
            end: self.next_id,
        }
    }

    /// Chooses the next holder to notify and records the call.
    ///
    /// [`None`] when too many calls are running.
    pub(super) fn begin(&mut self, task: TaskId, walk: &mut Walk) -> Option<Begun<H>> {
        if self.phase == Phase::Dead {
            return Some(Begun::Dead);
        }
        let place = first_from(&self.held, &walk.next).filter(|place| walk.reaches(place.start));
        let Some(place) = place else {
            return Some(Begun::NoneLeft);
        };
        if place.id >= walk.end {
            // The others that start here are newer too. Skipping them keeps the walk finite even if
            // a holder registers again and again.
            walk.next = place.last();
            return Some(Begun::Passed);
        }
        let found = self.entries.get(&place.id).and_then(|entry| {
            // A failure of the whole device also concerns a registration that has no bytes left.
            let extent = match (&walk.what, entry.range()) {
                (Extent::Whole, _) => Extent::Whole,
                (what, range) => what.within(&range?)?,
            };
            Some((entry.holder.clone(), extent))
        });
        let Some((holder, extent)) = found else {
            walk.next = place.next();
            return Some(Begun::Passed);
        };
        let usable = MAX_CALLS + usize::from(self.phase == Phase::Dying(task));
        let slot = self.calls.iter().take(usable).position(Option::is_none)?;
        *self.calls.get_mut(slot)? = Some(Call {
            task,
            holder: place.id,
            depth: self.calls_by(task).count(),
        });
        walk.next = place.next();
        // SAFETY: Just noted. Only `end()`, which takes the ticket, removes the note.
        Some(Begun::Call(unsafe { Ticket::new(slot, holder, extent) }))
    }

    fn calls_by(&self, task: TaskId) -> impl Iterator<Item = &Call> {
        self.calls
            .iter()
            .flatten()
            .filter(move |call| call.task == task)
    }

    /// Removes the record of a call. It counts if the holder was notified: `told` is its result.
    ///
    /// Returns the holder, which only its pin keeps from now on.
    pub(super) fn end(&mut self, ticket: Ticket<H>, told: Option<&Result>) -> H {
        let (slot, holder) = ticket.give_up();
        let call = self.calls.get_mut(slot).and_then(Option::take);
        if let Some(result) = told {
            self.counters.notified += 1;
            self.counters.failed += u64::from(result.is_err());
            if let Some(entry) = call.and_then(|call| self.entries.get_mut(&call.holder)) {
                entry.told += 1;
            }
        }
        holder
    }

    /// Removes a registration if there is one; [`None`] while another task runs its callback.
    pub(super) fn take_out(&mut self, me: TaskId, holder: &H) -> Option<Option<Removed<H>>> {
        // The newest registration: older ones are from before a revival and are not notified.
        let last = self.last_of(holder.identity());
        let Some((id, entry)) = last.and_then(|id| Some((id, self.entries.get_mut(&id)?))) else {
            return Some(None);
        };
        let place = Place {
            start: entry.registered.start(),
            id,
        };
        // INVARIANT: Moved from one tree to the other. It stays in place if it is leaving or stale.
        if let Some(node) = self.held.remove_node(&place) {
            self.leaving.insert(node);
            entry.leaving = true;
        }
        if self
            .calls
            .iter()
            .flatten()
            .any(|call| call.holder == id && call.task != me)
        {
            return None;
        }
        // INVARIANT: Removed from all trees.
        Some(Some(Removed {
            _entry: self.entries.remove_node(&id),
            _place: self.leaving.remove_node(&place),
            _name: self.names.remove_node(&(holder.identity(), id)),
        }))
    }

    /// Begins the removal by `me`. True if the device was alive; false if there is nothing to
    /// remove, or `me` is removing it already. [`None`] while another task is removing it.
    pub(super) fn begin_removal(&mut self, me: TaskId) -> Option<bool> {
        match self.phase {
            Phase::Alive => {
                self.phase = Phase::Dying(me);
                Some(true)
            }
            // From within a callback of this very removal.
            Phase::Dying(killer) if killer == me => Some(false),
            Phase::Dying(_) => None,
            Phase::Dead => Some(false),
        }
    }

    /// Ends the removal: the device is dead, and its registrations are stale. The caller frees what
    /// is returned.
    pub(super) fn end_removal(&mut self, given_up: bool) -> Places {
        self.phase = Phase::Dead;
        self.given_up = given_up || self.entries.is_empty();
        // INVARIANT: All registrations become stale, except those that are leaving, which keep
        // their bytes until they have left.
        self.living = self.next_id;
        core::mem::replace(&mut self.held, RBTree::new())
    }

    /// Makes a dead device alive; false if it is being removed.
    pub(super) fn revive(&mut self) -> bool {
        match self.phase {
            Phase::Dying(_) => false,
            Phase::Alive | Phase::Dead => {
                self.phase = Phase::Alive;
                true
            }
        }
    }

    /// See [`Holders::current`](super::holders::Holders::current).
    pub(super) fn current(&self, task: TaskId) -> Option<&H> {
        let called = self.calls_by(task).max_by_key(|call| call.depth);
        let id = match called {
            Some(call) => call.holder,
            None => self.oldest()?,
        };
        self.entries.get(&id).map(|entry| &entry.holder)
    }

    /// The longest registered holder. Looks at those that are leaving, each of which has a call
    /// running, and at one more.
    fn oldest(&self) -> Option<HolderId> {
        let mut from = self.living;
        loop {
            let id = first_from(&self.entries, &from)?;
            if !self.entries.get(&id)?.leaving {
                return Some(id);
            }
            from = id.next();
        }
    }
}
