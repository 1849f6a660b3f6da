// SPDX-License-Identifier: GPL-2.0

//! The manager of the window: which part of which file each of its ranges maps.
//!
//! All of it is one state, [`Window`]. One task at a time calls a method, under a lock of the
//! caller's. No method sleeps. None visits more than the ranges of one 2 MiB block or, to find a
//! range to evict, 64 ranges and for each as many neighbours or the ranges of its block. A method
//! returns the work to be done outside of the lock ([`Step`]); the protocol of that is in
//! `acquire.rs`.
//!
//! This is plain `no_std` Rust without calls to C, here and in `window/`: KUnit runs it in the
//! kernel and `tools/testing/host` runs it under proptest and loom.

#[path = "window/acquire.rs"]
pub(crate) mod acquire;
#[path = "window/ahead.rs"]
mod ahead;
#[path = "window/answer.rs"]
pub(crate) mod answer;
#[cfg(any(test, CONFIG_FUSE_DAX_RUST_KUNIT_TEST))]
#[path = "window/check.rs"]
mod check;
#[path = "window/evict.rs"]
pub(crate) mod evict;
#[path = "window/free.rs"]
pub(crate) mod free;
#[path = "window/ghosts.rs"]
mod ghosts;
#[path = "window/grain.rs"]
mod grain;
#[path = "window/grant.rs"]
mod grant;
#[path = "window/index.rs"]
pub(crate) mod index;
#[path = "window/limit.rs"]
pub(crate) mod limit;
#[path = "window/lru.rs"]
mod lru;
#[path = "window/pass.rs"]
mod pass;
#[path = "window/policy.rs"]
mod policy;
#[path = "window/region.rs"]
pub(crate) mod region;
#[path = "window/table.rs"]
pub(crate) mod table;
#[path = "window/units.rs"]
pub(crate) mod units;

use ahead::Run;
use free::Free;
use index::Index;
use kernel::prelude::*;
use limit::Limit;
use policy::Policy;
use table::{
    List,
    Room,
    Siblings,
    State,
    Table, //
};
use units::{
    order_bytes,
    FilePage,
    RangeId,
    Span,
    WindowByte,
    BLOCK_PAGES,
    ORDERS,
    PAGE_SHIFT,
    TOP_ORDER, //
};

/// A file that may have parts in the window.
///
/// Values are handles. A file belongs to a single window, for any other one it is a file without
/// ranges that gets none. Its inode stays while a range has the
/// file: [`Window::forget`] returns [`Forgot::All`](evict::Forgot::All) before the inode is freed.
pub(crate) trait File: Sized {
    /// A number that no other file has or ever had.
    fn id(&self) -> u64;
    /// Whether both are the same file.
    fn is(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
    /// Whether it is a file of `window`.
    fn is_of(&self, window: &Window<Self>) -> bool;
    /// Another handle of the same file, which does not keep the inode.
    ///
    /// # Safety
    ///
    /// Of what comes back only [`File::id`] may be used when no range has the file any more.
    unsafe fn handle(&self) -> Self;
    /// What the window keeps with the file.
    ///
    /// # Safety
    ///
    /// The caller has the lock of the file's window.
    unsafe fn kept(&self) -> Kept;
    /// Sets [`File::kept`].
    ///
    /// # Safety
    ///
    /// As of [`File::kept`]. The ranges are those whose records have the file.
    unsafe fn set_kept(&self, kept: Kept);
}

/// What a window keeps with a file.
#[derive(Clone, Copy, Default)]
pub(crate) struct Kept {
    /// The ranges of the file.
    ranges: List,
    /// How it is being read.
    run: Run,
}

/// A request to the server to map a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Setup {
    /// The range of the window.
    pub(crate) id: RangeId,
    /// The first page of the file.
    pub(crate) page: FilePage,
    /// The order of the range.
    pub(crate) order: u8,
    /// Whether to map for writing too.
    pub(crate) writable: bool,
    /// Whether the range is mapped and in use for reading.
    pub(crate) upgrade: bool,
}

/// Ranges to be evicted: those in an aligned area that are `Reclaiming` with this ticket. A range
/// that was evicted may have another file by now, and be evicted again by another task, before the
/// rest of the area is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Area {
    pub(crate) start: RangeId,
    pub(crate) order: u8,
    ticket: u64,
}

/// A range that is mapped, and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) id: RangeId,
    /// The first page of the file in the range.
    pub(crate) page: FilePage,
    pub(crate) order: u8,
}

impl Place {
    /// Where in the window byte `pos` of the file is, and the number of bytes from there to the end
    /// of the range; [`None`] if the range does not have that byte.
    #[inline]
    pub(crate) fn at_byte(&self, pos: u64) -> Option<(WindowByte, u64)> {
        let inside = pos.checked_sub(self.page.byte())?;
        let left = order_bytes(self.order).checked_sub(inside)?;
        // Does not wrap: the byte is in the range, and the range in the window.
        let at = WindowByte(self.id.byte().0.saturating_add(inside));
        (left > 0).then_some((at, left))
    }
}

/// The next step of a task that wants a page of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing: the range is mapped and will stay until [`Window::release`]. `ahead` means that
    /// this use is a reason to map further ahead.
    Held { id: RangeId, ahead: bool },
    /// Wait until [`Window::poll`] has a result for this range.
    Join(RangeId),
    /// Send the request, then as for [`Step::Join`].
    Start(Setup),
    /// Evict these ranges, see [`Window::reclaim_next`]; then try again.
    Reclaim(Area),
    /// Make the server remove stale ranges, see [`Window::take_stale`]; then try again.
    Remove,
    /// Allocate [`Room`] and give it to [`Window::give_room`]; then try again.
    NeedsRoom(RangeId),
    /// Wait until [`Window::changes`] differs from this; then try again.
    Wait(u64),
    /// No range of this order can be evicted: call [`Window::drain`]; then as for [`Step::Wait`].
    Drain(u8, u64),
    /// Fail with this negative error number.
    Fail(i32),
}

/// The state of a range that a task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Poll {
    /// Not known yet.
    Pending,
    /// It is mapped, and stays until [`Window::release`].
    Held,
    /// The server refused, with this negative error number. The range is not the task's any more.
    Failed(i32),
    /// The same, but for lack of a resource: the server may agree with fewer mappings.
    Wanting(i32),
    /// It is not what the task needs. The task does not hold the range any more.
    Again,
}

/// Counts of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// The server was asked to map a range.
    pub(crate) setups: u64,
    /// Of these, ahead of use.
    pub(crate) ahead: u64,
    /// Of these, to make a range writable.
    pub(crate) upgrades: u64,
    /// A range was taken from its file.
    pub(crate) reclaims: u64,
    /// A range could not be evicted, because its pages had references beyond page tables.
    pub(crate) busy: u64,
    /// The server was asked to remove a range.
    pub(crate) removes: u64,
    /// Ranges that are out of service.
    pub(crate) retired: u64,
    /// A read bypassed the window.
    pub(crate) passes: u64,
}

/// The window.
///
/// # Invariants
///
/// - Every page of the window is part of exactly one range.
/// - A range is in `index` and in its file's list if and only if its record has a file.
/// - A range is in the list of `policy` if and only if it is `Mapped`.
/// - `limit` has counted the ranges that the server maps.
pub(crate) struct Window<F: File> {
    table: Table<F>,
    index: Index,
    free: Free,
    policy: Policy,
    /// How many ranges the server was asked to remove and has not answered for.
    removing: u32,
    limit: Limit,
    /// An area that gets no new users, because it is to be evicted. Its present uses end by
    /// themselves.
    drain: Option<Span>,
    /// How many tasks wait for an eviction.
    drainers: u32,
    /// The error of new requests, once the window is closed.
    closed: Option<i32>,
    /// Counts the changes that tasks may wait for.
    changes: u64,
    /// Counts the changes that tasks which hold a range may wait for.
    answers: u64,
    /// Counts areas.
    tickets: u64,
    pub(crate) counters: Counters,
}

impl<F: File> Window<F> {
    /// A window of `pages` pages; a rest smaller than a block is not used. Sleeps.
    // Inlined, its parts and the whole would be on one stack frame, of more than 1 KiB.
    #[inline(never)]
    pub(crate) fn new(pages: u64) -> Result<Self> {
        let blocks = u32::try_from(pages / u64::from(BLOCK_PAGES)).map_err(|_| EINVAL)?;
        // `RangeId` must be able to number every page.
        if blocks == 0 || blocks > u32::MAX / BLOCK_PAGES - 1 {
            return Err(EINVAL);
        }
        let mut table = Table::new(blocks)?;
        Ok(Self {
            index: Index::new(blocks)?,
            policy: Policy::new(blocks)?,
            free: Free::new(&mut table),
            table,
            removing: 0,
            limit: Limit::new(),
            drain: None,
            drainers: 0,
            closed: None,
            changes: 0,
            answers: 0,
            tickets: 0,
            counters: Counters::default(),
        })
    }

    /// Sets the server's alignment, as a power of two of bytes; false when it is too large.
    ///
    /// To be called before the first use.
    pub(crate) fn set_alignment(&mut self, shift: u32) -> bool {
        let order = shift.saturating_sub(PAGE_SHIFT);
        match u8::try_from(order) {
            Ok(order) if order <= TOP_ORDER => {
                self.policy.set_smallest(order);
                true
            }
            _ => false,
        }
    }

    /// Sets a random secret, by which the cost of a lookup does not depend on which blocks of files
    /// tasks use.
    ///
    /// To be called before the first use.
    pub(crate) fn set_secret(&mut self, secret: [u64; 4]) {
        self.index.set_secret(secret);
    }

    /// Counts the changes that tasks may wait for.
    #[inline]
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// Counts the changes that may change the result of [`Window::poll`].
    #[inline]
    pub(crate) fn answers(&self) -> u64 {
        self.answers
    }

    /// Counts a change that [`Window::poll`] sees.
    fn answered(&mut self) {
        self.answers = self.answers.wrapping_add(1);
        self.changed();
    }

    #[inline]
    fn changed(&mut self) {
        self.changes = self.changes.wrapping_add(1);
    }

    /// How many ranges are mapped.
    pub(crate) fn mapped(&self) -> u32 {
        self.policy.lru().len()
    }

    /// The place of `id`, a range that has a file.
    pub(crate) fn place(&self, id: RangeId) -> Place {
        let record = self.table.get(id);
        Place {
            id,
            page: record.page,
            order: record.order,
        }
    }

    /// Closes the window: new requests fail with `error`, a negative error number.
    pub(crate) fn close(&mut self, error: i32) {
        self.closed = Some(error);
        self.answered();
    }

    /// [`File::kept`] of a file of this window, as that of all methods below: what is called from
    /// outside has asked [`File::is_of`].
    fn kept_of(&self, file: &F) -> Kept {
        // SAFETY: The methods of a window are called under its lock.
        unsafe { file.kept() }
    }

    /// How `file` is being read.
    fn run_of(&self, file: &F) -> Run {
        self.kept_of(file).run
    }

    /// Changes [`Window::run_of`].
    fn with_run<R>(&self, file: &F, change: impl FnOnce(&mut Run) -> R) -> R {
        let mut kept = self.kept_of(file);
        let result = change(&mut kept.run);
        // SAFETY: As for `kept_of()`. The ranges are the same.
        unsafe { file.set_kept(kept) };
        result
    }

    /// `id` is mapped.
    fn now_mapped(&mut self, id: RangeId) {
        self.table.set_mapped(id);
        self.policy.mapped(&mut self.table, id);
    }

    /// Adds `id`, which has no file, to the index and to the list of `file`.
    fn link_file(&mut self, id: RangeId, file: &F) {
        // SAFETY: `unlink_file()` takes the handle out of the record when the range has the file no
        // more.
        self.table.get_mut(id).file = Some(unsafe { file.handle() });
        self.index.insert(&mut self.table, id);
        let mut kept = self.kept_of(file);
        kept.ranges.push_back::<Siblings, F>(&mut self.table, id);
        // SAFETY: As for `kept_of()`. The record of `id` got the file above.
        unsafe { file.set_kept(kept) };
    }

    /// Removes `id` from the index and from its file's list. The inode stays while the lock is
    /// held.
    fn unlink_file(&mut self, id: RangeId) -> Option<F> {
        self.index.remove(&mut self.table, id);
        let file = self.table.get_mut(id).file.take()?;
        let mut kept = self.kept_of(&file);
        kept.ranges.remove::<Siblings, F>(&mut self.table, id);
        // SAFETY: As for `kept_of()`. The record of `id` lost the file above.
        unsafe { file.set_kept(kept) };
        Some(file)
    }

    /// Hands over records. Returns them if they are not needed.
    pub(crate) fn give_room(&mut self, id: RangeId, room: Room<F>) -> Option<Room<F>> {
        self.table.give_room(id, room)
    }

    /// Records of a block that does not need them any more, to be freed without the lock.
    #[inline]
    pub(crate) fn unneeded(&mut self) -> Option<Room<F>> {
        self.table.unneeded()
    }

    /// How many ranges the server may be asked to remove.
    pub(crate) fn stale(&self) -> u32 {
        self.free.stale_count()
    }

    /// Takes a range for the server to remove; [`Window::removed`] has to follow.
    pub(crate) fn take_stale(&mut self) -> Option<(RangeId, u8)> {
        let id = self.free.take_stale(&mut self.table)?;
        self.table.set_removing(id);
        let order = self.table.get(id).order;
        self.removing += 1;
        self.counters.removes += 1;
        Some((id, order))
    }

    /// The server answered, or never will.
    ///
    /// Whatever the answer, the range is free: a mapping that is still there is replaced by the
    /// next one.
    pub(crate) fn removed(&mut self, id: RangeId) {
        let record = self.table.get(id);
        if record.state() != State::Removing {
            return;
        }
        let (order, poisoned) = (record.order, record.poisoned);
        self.removing = self.removing.saturating_sub(1);
        self.limit.gone();
        if poisoned {
            self.free.retire(&mut self.table, id);
            self.counters.retired += 1;
        } else {
            self.free.put_clean(&mut self.table, id, order);
        }
        self.changed();
    }
}

const _: () = assert!(ORDERS == TOP_ORDER as usize + 1);
