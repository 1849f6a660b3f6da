// SPDX-License-Identifier: GPL-2.0

//! The manager of the window: what part of which file is where in it.
//!
//! All of it is one state, [`Window`], of which one task at a time calls a method, under a lock of
//! the caller's. No method sleeps, and none goes through more than the ranges of one 2 MiB block or,
//! to find one to take, 64 ranges and, for each, as many neighbours or those of its block. What has
//! to be done outside of the lock a method returns ([`Step`]), and how that goes on in `acquire.rs`
//! is the protocol.
//!
//! This is plain `no_std` Rust without calls to C, here and in `window/`: KUnit runs it in the
//! kernel and `tools/testing/host` runs it under proptest and loom.

#[path = "window/acquire.rs"]
pub(crate) mod acquire;
#[path = "window/ahead.rs"]
pub(crate) mod ahead;
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
pub(crate) mod ghosts;
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
#[path = "window/region.rs"]
pub(crate) mod region;
#[path = "window/table.rs"]
pub(crate) mod table;
#[path = "window/units.rs"]
pub(crate) mod units;

use ahead::Run;
use evict::Drain;
use free::Free;
use ghosts::Ghosts;
use index::Index;
use kernel::prelude::*;
use limit::Limit;
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
    BLOCK_PAGES,
    ORDERS,
    PAGE_SHIFT,
    TOP_ORDER, //
};

/// A file of which parts may be in the window.
///
/// Values are handles. A file is one of a single window, and its inode stays as long as a range has
/// the file: before the inode goes, [`Window::forget`] returns [`Forgot::All`](evict::Forgot::All).
pub(crate) trait File: Sized {
    /// A number that no other file has or ever had.
    fn id(&self) -> u64;
    /// Whether both are the same file.
    fn is(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
    /// Another handle of the same file, which does not keep the inode.
    ///
    /// # Safety
    ///
    /// Of what comes back only [`File::id`] may be used when no range has the file any more.
    unsafe fn handle(&self) -> Self;
    /// The ranges of the file.
    ///
    /// # Safety
    ///
    /// The caller has the lock of the file's window.
    unsafe fn ranges(&self) -> List;
    /// Sets [`File::ranges`].
    ///
    /// # Safety
    ///
    /// As of [`File::ranges`]. They are those whose records have the file.
    unsafe fn set_ranges(&self, ranges: List);
    /// How the file is being read.
    ///
    /// # Safety
    ///
    /// As of [`File::ranges`].
    unsafe fn run(&self) -> Run;
    /// Sets [`File::run`].
    ///
    /// # Safety
    ///
    /// As of [`File::ranges`].
    unsafe fn set_run(&self, run: Run);
}

/// What the server is to be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Setup {
    /// Where in the window.
    pub(crate) id: RangeId,
    /// From which page of the file on.
    pub(crate) page: FilePage,
    /// How much.
    pub(crate) order: u8,
    /// For writing too.
    pub(crate) writable: bool,
    /// It is mapped already, and in use, for reading.
    pub(crate) upgrade: bool,
}

/// Ranges that are to be taken from their files: those in an aligned area that are `Reclaiming`
/// with this ticket. A range of the area that was taken may long be somebody else's, and be taken
/// from him by a third, while the rest is still to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Area {
    pub(crate) start: RangeId,
    pub(crate) order: u8,
    ticket: u64,
}

/// A range that is mapped, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) id: RangeId,
    /// The first page of the file that is there.
    pub(crate) page: FilePage,
    pub(crate) order: u8,
}

impl Place {
    /// Where in the window byte `pos` of the file is, which the range has, and how many bytes from
    /// there on the range has.
    #[inline]
    pub(crate) fn at_byte(&self, pos: u64) -> (u64, u64) {
        // Nothing of this wraps: the byte is in the range, and that in the window.
        let inside = pos.saturating_sub(self.page.byte());
        let left = order_bytes(self.order).saturating_sub(inside);
        (self.id.offset().saturating_add(inside), left)
    }
}

/// What has to be done next for a task that wants a page of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing: the range is mapped and will stay until [`Window::release`]. `ahead` says that its
    /// use is a reason to map more ahead.
    Held { id: RangeId, ahead: bool },
    /// Wait for [`Window::poll`] to say something of this range.
    Join(RangeId),
    /// Ask the server, then as for [`Step::Join`].
    Start(Setup),
    /// Take these ranges from their files, see [`Window::reclaim_next`]; then ask again.
    Reclaim(Area),
    /// Have the server remove stale ranges, see [`Window::take_stale`]; then ask again.
    Remove,
    /// Allocate [`Room`] and give it to [`Window::give_room`]; then ask again.
    NeedsRoom(RangeId),
    /// Wait until [`Window::changes`] is not this any more; then ask again.
    Wait(u64),
    /// Nothing can be taken for a range of this order: call [`Window::drain`]; then as for
    /// [`Step::Wait`].
    Drain(u8, u64),
    /// Fail with this, a negative error number.
    Fail(i32),
}

/// What became of a range that a task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Poll {
    /// Nothing yet.
    Pending,
    /// It is mapped, and stays until [`Window::release`].
    Held,
    /// The server refused, with this negative error number. The range is not the task's any more.
    Failed(i32),
    /// As above, but for want of something: with fewer mappings it may agree.
    Wanting(i32),
    /// It is not what the task needs. The range is not the task's any more.
    Again,
}

/// How often things happened.
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
    /// A range could not be taken, because its pages were in use by more than page tables.
    pub(crate) busy: u64,
    /// The server was asked to remove a range.
    pub(crate) removes: u64,
    /// Ranges that are out of service.
    pub(crate) retired: u64,
    /// A read went past the window.
    pub(crate) passes: u64,
}

/// The window.
///
/// # Invariants
///
/// - Every page of the window is part of exactly one range.
/// - A range is in `index` and in its file's list if and only if its record has a file.
/// - A range is in `lru` if and only if it is `Mapped`.
/// - `limit` has counted those for which the server has something.
pub(crate) struct Window<F: File> {
    table: Table<F>,
    index: Index,
    free: Free,
    ghosts: Ghosts,
    /// Mapped ranges, see `lru.rs` for their order.
    lru: List,
    mapped: u32,
    /// Counts uses of ranges.
    uses: u64,
    /// How many ranges the server was asked to remove and has not answered.
    removing: u32,
    limit: Limit,
    /// The smallest range that the server can map.
    smallest: u8,
    /// What tasks are kept out of, because it is to be taken.
    drain: Option<Drain>,
    /// How many tasks wait for something to be taken.
    drainers: u32,
    /// What new requests fail with.
    closed: Option<i32>,
    /// Counts what tasks might wait for.
    changes: u64,
    /// Counts what tasks might wait for that use a range already.
    answers: u64,
    /// Counts areas.
    tickets: u64,
    pub(crate) counters: Counters,
}

impl<F: File> Window<F> {
    /// A window of `pages` pages; what is beyond the last whole block is not used. Sleeps.
    pub(crate) fn new(pages: u64) -> Result<Self> {
        let blocks = u32::try_from(pages / u64::from(BLOCK_PAGES)).map_err(|_| EINVAL)?;
        // `RangeId` has to be able to name every page.
        if blocks == 0 || blocks > u32::MAX / BLOCK_PAGES - 1 {
            return Err(EINVAL);
        }
        let mut table = Table::new(blocks)?;
        Ok(Self {
            index: Index::new(blocks)?,
            ghosts: Ghosts::new(blocks)?,
            free: Free::new(&mut table),
            table,
            lru: List::EMPTY,
            mapped: 0,
            uses: 0,
            removing: 0,
            limit: Limit::new(),
            smallest: 0,
            drain: None,
            drainers: 0,
            closed: None,
            changes: 0,
            answers: 0,
            tickets: 0,
            counters: Counters::default(),
        })
    }

    /// Takes over the server's alignment, as a power of two of bytes; false when it is too large.
    ///
    /// For before the first use.
    pub(crate) fn set_alignment(&mut self, shift: u32) -> bool {
        let order = shift.saturating_sub(PAGE_SHIFT);
        match u8::try_from(order) {
            Ok(order) if order <= TOP_ORDER => {
                self.smallest = order;
                true
            }
            _ => false,
        }
    }

    /// Counts what somebody might wait for.
    #[inline]
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// Counts what may have [`Window::poll`] say something else.
    #[inline]
    pub(crate) fn answers(&self) -> u64 {
        self.answers
    }

    /// Of the changes, one that [`Window::poll`] sees.
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
        self.mapped
    }

    /// Blocks of the window.
    pub(crate) fn blocks(&self) -> u32 {
        self.table.blocks()
    }

    /// Where `id` is, a range that has a file.
    pub(crate) fn place(&self, id: RangeId) -> Place {
        let record = self.table.get(id);
        Place {
            id,
            page: record.page,
            order: record.order,
        }
    }

    /// Lets nobody in any more: requests fail with `error`, a negative error number.
    pub(crate) fn close(&mut self, error: i32) {
        self.closed = Some(error);
        self.answered();
    }

    /// [`File::run`] of a file of this window.
    fn run_of(&self, file: &F) -> Run {
        // SAFETY: The methods of a window are called under its lock.
        unsafe { file.run() }
    }

    /// [`File::set_run`] of a file of this window.
    fn set_run_of(&self, file: &F, run: Run) {
        // SAFETY: As for `run_of()`.
        unsafe { file.set_run(run) };
    }

    /// [`File::ranges`] of a file of this window.
    fn ranges_of(&self, file: &F) -> List {
        // SAFETY: As for `run_of()`.
        unsafe { file.ranges() }
    }

    /// Gives `id`, which has none, to `file`, as far as finding it goes.
    fn link_file(&mut self, id: RangeId, file: &F) {
        // SAFETY: `unlink_file()` takes the handle out of the record when the range has the file no more.
        self.table.get_mut(id).file = Some(unsafe { file.handle() });
        self.index.insert(&mut self.table, id);
        let mut ranges = self.ranges_of(file);
        ranges.push_back::<Siblings, F>(&mut self.table, id);
        // SAFETY: As for `run_of()`. The record of `id` got the file above.
        unsafe { file.set_ranges(ranges) };
    }

    /// Takes `id` from its file, as far as finding it goes. The inode stays as long as the lock is held.
    fn unlink_file(&mut self, id: RangeId) -> Option<F> {
        self.index.remove(&mut self.table, id);
        let file = self.table.get_mut(id).file.take()?;
        let mut ranges = self.ranges_of(&file);
        ranges.remove::<Siblings, F>(&mut self.table, id);
        // SAFETY: As for `run_of()`. The record of `id` lost the file above.
        unsafe { file.set_ranges(ranges) };
        Some(file)
    }

    /// Hands over records; what comes back was not needed.
    pub(crate) fn give_room(&mut self, id: RangeId, room: Room<F>) -> Option<Room<F>> {
        self.table.give_room(id, room)
    }

    /// Records of a block that are not needed any more, to be dropped without the lock.
    #[inline]
    pub(crate) fn unneeded(&mut self) -> Option<Room<F>> {
        self.table.unneeded()
    }

    /// How many ranges the server should be asked to remove.
    pub(crate) fn stale(&self) -> u32 {
        self.free.stale_count()
    }

    /// Takes a range that the server is to be asked to remove; [`Window::removed`] has to follow.
    pub(crate) fn take_stale(&mut self) -> Option<(RangeId, u8)> {
        let id = self.free.take_stale(&mut self.table)?;
        let record = self.table.get_mut(id);
        record.state = State::Removing;
        let order = record.order;
        self.removing += 1;
        self.counters.removes += 1;
        Some((id, order))
    }

    /// The server answered, or never will.
    ///
    /// Whatever it said, the range is free: a mapping that is still there is replaced by the next.
    pub(crate) fn removed(&mut self, id: RangeId) {
        let record = self.table.get(id);
        if record.state != State::Removing {
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
