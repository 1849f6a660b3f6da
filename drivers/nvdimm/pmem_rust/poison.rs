// SPDX-License-Identifier: GPL-2.0

//! The record of a device's poison.
//!
//! [`Poison`] holds any number of ranges. The `badblocks` file in sysfs is a view of it: it shows
//! as much as fits, 512 entries, and what an administrator writes to it is taken over. `ledger.rs`
//! keeps the other lists, which outlive the device, consistent with the record.
//!
//! Lock order: the state's spinlock, then the lock inside [`Badblocks`]. Memory is allocated and
//! freed outside both. Without memory, [`PoisonMap`] uses what it has, and the next call that needs
//! more tries again.

use super::poison_map::{
    Full,
    PoisonMap,
    Room,
    Wanted, //
};
use kernel::{
    badblocks::{
        Badblocks,
        Entries, //
    },
    block::{
        bio_disk::AttributeNode,
        sector::SectorRange, //
    },
    fmt,
    mm::without_io,
    new_spinlock,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        SetOnce,
        SpinLock, //
    },
};

/// How many ranges of the record a call may merge or remove before it releases the lock, so that
/// others do not spin for long. Each takes two or three searches of the tree and a removal.
const MOST_RANGES: usize = 128;

/// How many of the last additions are remembered.
const RECENT: usize = 16;

/// How many times to make room in a full view that an administrator fills at the same time.
const EVICTIONS: usize = 4;

/// The bit of [`Poison::count`] that says that there are suspects.
const SUSPECTS: usize = 1 << (usize::BITS - 1);

struct State {
    map: PoisonMap,
    /// The number of additions. It shows a repair whether poison was added meanwhile.
    additions: u64,
    /// The last additions, by their number modulo the length.
    recent: [Option<SectorRange>; RECENT],
    /// Pages that the kernel may unmap at any time, on record or not: see [`Poison::suspect`].
    suspects: PoisonMap,
    /// The view does not show everything.
    truncated: bool,
    /// The task that holds the lock found no memory for more ranges, and continues without.
    without_memory: bool,
    /// How often there was no memory for more ranges.
    no_memory: u64,
    /// How many good sectors were recorded as bad because of that.
    widened: u64,
}

impl State {
    /// The map that has only its reserve left.
    fn fullest(&mut self) -> &mut PoisonMap {
        if self.map.wants_room() {
            &mut self.map
        } else {
            &mut self.suspects
        }
    }

    /// Counts the addition of `range`, even if it contains nothing new: a repair of the sectors has
    /// to check again.
    fn count_addition(&mut self, range: SectorRange) {
        // CAST: Less than the length.
        if let Some(slot) = self
            .recent
            .get_mut((self.additions % RECENT as u64) as usize)
        {
            *slot = Some(range);
        }
        self.additions += 1;
    }

    /// Whether some of `range` may have been added after `mark`.
    fn was_added_since(&self, range: SectorRange, mark: Mark) -> bool {
        let count = self.additions.saturating_sub(mark.0);
        count > RECENT as u64
            || (mark.0..self.additions).any(|number| {
                // CAST: Less than the length.
                self.recent
                    .get((number % RECENT as u64) as usize)
                    .is_none_or(|slot| slot.is_none_or(|added| added.overlaps(&range)))
            })
    }
}

/// The record of a device's poison. Sectors count from the start of the device's data.
#[pin_data]
pub(crate) struct Poison {
    #[pin]
    state: SpinLock<State>,
    #[pin]
    view: Badblocks,
    /// The number of ranges, and [`SUSPECTS`]; read without the lock.
    count: Atomic<usize>,
    /// The generation of the view after the driver's last change.
    seen: Atomic<u32>,
    /// The node to notify when the view changes.
    watchers: SetOnce<AttributeNode>,
    /// All sectors of the device.
    device: SectorRange,
    /// For a test: allocations fail.
    #[cfg(CONFIG_PMEM_RUST_KUNIT_TEST)]
    pub(crate) allocations_fail: Atomic<bool>,
}

/// A state of the record, from [`Poison::mark`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark(u64);

impl Poison {
    /// An empty record for a device of these sectors.
    pub(crate) fn new(device: SectorRange) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            state <- new_spinlock!(
                State {
                    map: PoisonMap::new(),
                    additions: 0,
                    recent: [None; RECENT],
                    suspects: PoisonMap::new(),
                    truncated: false,
                    without_memory: false,
                    no_memory: 0,
                    widened: 0,
                },
                "nd_pmem::poison"
            ),
            view <- Badblocks::new(),
            count: Atomic::new(0),
            seen: Atomic::new(0),
            watchers: SetOnce::new(),
            device,
            #[cfg(CONFIG_PMEM_RUST_KUNIT_TEST)]
            allocations_fail: Atomic::new(false),
            _: {
                // Both maps get room and a reserve before they are used: `fullest()` returns the
                // first one until it has some.
                for _ in 0..2 {
                    let wanted = state.lock().fullest().wanted().ok_or(ENOMEM)?;
                    let room = Room::new(wanted, GFP_KERNEL)?;
                    let unused = state.lock().fullest().add_room(room);
                    drop(unused);
                }
            },
        })
    }

    /// The list that sysfs shows.
    pub(crate) fn view(&self) -> &Badblocks {
        &self.view
    }

    /// Sets the node to notify when the view changes.
    pub(crate) fn set_watchers(&self, node: AttributeNode) {
        self.watchers.populate(node);
    }

    /// Whether there may be poison somewhere. This is the whole cost for I/O to a good device.
    #[inline]
    pub(crate) fn exists(&self) -> bool {
        self.count.load(Relaxed) & !SUSPECTS != 0 || self.was_edited()
    }

    /// Whether there may be poison or suspects somewhere.
    #[inline]
    pub(crate) fn is_suspicious(&self) -> bool {
        self.count.load(Relaxed) != 0 || self.was_edited()
    }

    /// Whether an administrator wrote to the view.
    #[inline]
    fn was_edited(&self) -> bool {
        self.view.generation() != self.seen.load(Relaxed)
    }

    /// The first poisoned sectors within `asked`.
    #[inline]
    pub(crate) fn first_within(&self, asked: SectorRange) -> Option<SectorRange> {
        if !self.exists() {
            return None;
        }
        self.with_room(|_, state| Ok(state.map.first_within(asked)))
    }

    /// Whether all of `asked` is poisoned.
    pub(crate) fn covers(&self, asked: SectorRange) -> bool {
        self.with_room(|_, state| Ok(state.map.covers(asked)))
    }

    /// Records that the kernel was notified of the failure of `range`, whole pages, and may unmap
    /// them: when `memory_failure()` returns or, in a virtual machine that is stopped in between,
    /// any time later. A repair does not change that, so they remain suspects while the device is
    /// bound.
    pub(crate) fn suspect(&self, range: SectorRange) {
        let mut rest = Some(range);
        while let Some(asked) = rest {
            let done = self.with_room(|this, state| {
                let part = state.suspects.part(asked, MOST_RANGES);
                if state.without_memory {
                    state.suspects.add_without_memory(part).map(|_| ())?;
                } else {
                    state.suspects.add(part).map(|_| ())?;
                }
                this.publish_count(state);
                Ok(part)
            });
            rest = SectorRange::from_bounds(done.end(), range.end());
        }
    }

    /// The first suspects within `asked`.
    pub(crate) fn first_suspect_within(&self, asked: SectorRange) -> Option<SectorRange> {
        if self.count.load(Relaxed) & SUSPECTS == 0 {
            return None;
        }
        self.with_room(|_, state| Ok(state.suspects.first_within(asked)))
    }

    /// The present state of the record, for [`Poison::clear_since`].
    pub(crate) fn mark(&self) -> Mark {
        Mark(self.with_room(|_, state| Ok(state.additions)))
    }

    /// Records that the part of `range` that is on the device is poison.
    pub(crate) fn add(&self, range: SectorRange) {
        let Some(range) = range.intersection(&self.device) else {
            return;
        };
        let mut rest = Some(range);
        while let Some(asked) = rest {
            let done = self.with_room(|this, state| {
                let part = state.map.part(asked, MOST_RANGES);
                this.add_locked(state, part)?;
                state.count_addition(part);
                this.show_bad(state, part);
                Ok(part)
            });
            rest = SectorRange::from_bounds(done.end(), range.end());
        }
        self.wake();
    }

    /// Records that `range` is good, unless some of it was added after `mark` was made, or there is
    /// no memory to separate it from the poison around it.
    ///
    /// Returns whether it did. If not, a start of it may have been cleared.
    pub(crate) fn clear_since(&self, range: SectorRange, mark: Mark) -> bool {
        let mut rest = Some(range);
        while let Some(asked) = rest {
            let done = self.with_room(|this, state| {
                if state.was_added_since(range, mark) {
                    return Ok(None);
                }
                let part = state.map.part(asked, MOST_RANGES);
                let removed = if state.without_memory {
                    state.map.remove_without_memory(part)
                } else {
                    state.map.remove(part)
                };
                match removed {
                    Ok(_) => {}
                    // It stays bad for now; the next repair may find memory.
                    Err(Full) if state.without_memory => return Ok(None),
                    Err(Full) => return Err(Full),
                }
                this.publish_count(state);
                this.show_good(state, part);
                if state.truncated {
                    this.refill_view(state);
                }
                Ok(Some(part))
            });
            let Some(done) = done else { break };
            rest = SectorRange::from_bounds(done.end(), range.end());
        }
        self.wake();
        rest.is_none()
    }

    /// Shows the state of the record in a few lines.
    pub(crate) fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ([ranges, room, suspects], no_memory, widened) = self.with_room(|_, state| {
            let numbers = [state.map.len(), state.map.capacity(), state.suspects.len()];
            Ok((numbers, state.no_memory, state.widened))
        });
        writeln!(f, "ranges: {ranges}")?;
        writeln!(f, "room: {room}")?;
        writeln!(f, "ranges that may be unmapped: {suspects}")?;
        writeln!(f, "allocations failed: {no_memory}")?;
        writeln!(f, "good sectors called bad: {widened}")
    }

    fn wake(&self) {
        if let Some(node) = self.watchers.as_ref() {
            node.notify();
        }
    }

    fn add_locked(&self, state: &mut State, range: SectorRange) -> Result<(), Full> {
        if state.without_memory {
            let widened = state.map.add_without_memory(range)?;
            state.widened = state.widened.saturating_add(widened);
        } else {
            state.map.add(range)?;
        }
        self.publish_count(state);
        Ok(())
    }

    /// Publishes the number of ranges to readers without the lock.
    fn publish_count(&self, state: &State) {
        let suspects = if state.suspects.len() == 0 {
            0
        } else {
            SUSPECTS
        };
        self.count.store(state.map.len() | suspects, Relaxed);
    }

    /// Adds `range` to the view, as far as it fits.
    fn show_bad(&self, state: &mut State, range: SectorRange) {
        let mut edit = Edit::new(self);
        if !edit.add(range) {
            state.truncated = true;
        }
    }

    /// Removes `range`, which is not on record any more, from the view.
    ///
    /// The view must show nothing that is not on record, because it is taken over later as if an
    /// administrator had written it. Removing the middle of an entry needs one more entry: if the
    /// view is full, another entry is removed, and added again when there is room.
    fn show_good(&self, state: &mut State, range: SectorRange) {
        let mut edit = Edit::new(self);
        for _ in 0..EVICTIONS {
            if edit.remove(range) {
                return;
            }
            let Some(other) = self.dispensable(state, range) else {
                break;
            };
            edit.remove(other);
            state.truncated = true;
        }
        // An administrator has filled each gap at once: then this is taken over like all such
        // writes.
        edit.remove(range);
    }

    /// An entry of the view, the last one if possible, that is also on record and does not touch
    /// `range`.
    fn dispensable(&self, state: &State, range: SectorRange) -> Option<SectorRange> {
        (0..Badblocks::CAPACITY)
            .step_by(Entries::MOST)
            .rev()
            .find_map(|first| {
                self.view
                    .entries(first)
                    .iter()
                    .filter(|entry| !entry.overlaps(&range) && state.map.covers(*entry))
                    .last()
            })
    }

    /// Fills the view from the map, after it was too small for all of it.
    fn refill_view(&self, state: &mut State) {
        if self.view.is_full() {
            return;
        }
        let mut edit = Edit::new(self);
        // No more than fit.
        state.truncated = state.map.iter().any(|range| !edit.add(range));
    }

    /// Takes over what an administrator wrote to the view. Returns whether that is all, or more
    /// ranges of the record would be merged than is good for the lock.
    fn take_over_view(&self, state: &mut State) -> Result<bool, Full> {
        let generation = self.view.generation();
        if generation == self.seen.load(Relaxed) {
            return Ok(true);
        }
        let mut room = MOST_RANGES;
        for first in (0..Badblocks::CAPACITY).step_by(Entries::MOST) {
            let entries = self.view.entries(first);
            for entry in entries.iter() {
                let Some(range) = entry.intersection(&self.device) else {
                    continue;
                };
                if state.map.covers(range) {
                    continue;
                }
                if room == 0 {
                    return Ok(false);
                }
                let part = state.map.part(range, room);
                let before = state.map.len();
                self.add_locked(state, part)?;
                state.count_addition(part);
                room = room.saturating_sub(1 + before.saturating_sub(state.map.len()));
                if part != range {
                    return Ok(false);
                }
            }
            if entries.generation() != generation {
                // It is being changed: the next call reads all of it.
                return Ok(true);
            }
        }
        self.seen.store(generation, Relaxed);
        Ok(true)
    }

    /// Runs `f` with the state locked and the view taken over; on [`Full`], makes room and runs it
    /// again.
    ///
    /// Ends: each time there is more room, or more of the view was taken over, or `without_memory` is
    /// set, and then `f` does not return [`Full`].
    fn with_room<R>(&self, mut f: impl FnMut(&Self, &mut State) -> Result<R, Full>) -> R {
        let mut without_memory = false;
        loop {
            let wanted = {
                let mut guard = self.state.lock();
                let state = &mut *guard;
                state.without_memory = without_memory;
                let result = match self.take_over_view(state) {
                    Ok(true) => f(self, state),
                    // Others get the lock before the rest.
                    Ok(false) => continue,
                    Err(Full) => Err(Full),
                };
                match result {
                    Ok(result) => return result,
                    Err(Full) => state.fullest().wanted(),
                }
            };
            without_memory = !self.make_room(wanted);
        }
    }

    /// Allocates the wanted room. Returns whether there is memory for it.
    #[cold]
    fn make_room(&self, wanted: Option<Wanted>) -> bool {
        let room = wanted.and_then(|wanted| self.allocate(wanted).ok());
        let Some(room) = room else {
            let no_memory = {
                let mut state = self.state.lock();
                state.no_memory += 1;
                state.no_memory
            };
            // Not for each failure of a thousand.
            if no_memory.is_power_of_two() {
                pr_warn!(
                    "no memory to record poison exactly, {} times so far: good sectors may be called bad\n",
                    no_memory
                );
            }
            return false;
        };
        // A statement of its own: its guard lives to the end of it, and vfree() sleeps. The next
        // call frees what is not wanted any more.
        let unused = self.state.lock().fullest().add_room(room);
        drop(unused);
        true
    }

    fn allocate(&self, wanted: Wanted) -> Result<Room> {
        #[cfg(CONFIG_PMEM_RUST_KUNIT_TEST)]
        if self.allocations_fail.load(Relaxed) {
            return Err(ENOMEM);
        }
        // Poison may be met during reclaim. The message above reports the failed allocation,
        // without a stack trace.
        without_io(|| Room::new(wanted, GFP_KERNEL | __GFP_NOWARN))
    }
}

/// Changes the view without counting as an administrator's change.
struct Edit<'a> {
    poison: &'a Poison,
    before: u32,
    grown: u32,
}

impl<'a> Edit<'a> {
    fn new(poison: &'a Poison) -> Self {
        Self {
            poison,
            before: poison.view.generation(),
            grown: 0,
        }
    }

    fn add(&mut self, range: SectorRange) -> bool {
        self.count(range);
        self.poison.view.add(range)
    }

    fn remove(&mut self, range: SectorRange) -> bool {
        self.count(range);
        self.poison.view.remove(range)
    }

    fn count(&mut self, range: SectorRange) {
        self.grown = self.grown.wrapping_add(Badblocks::generations(range));
    }
}

impl Drop for Edit<'_> {
    fn drop(&mut self) {
        // If the generation grew by more than that, an administrator changed the view at the same
        // time, and the next call takes that over.
        let after = self.before.wrapping_add(self.grown);
        let poison = self.poison;
        if poison.seen.load(Relaxed) == self.before && poison.view.generation() == after {
            poison.seen.store(after, Relaxed);
        }
    }
}
