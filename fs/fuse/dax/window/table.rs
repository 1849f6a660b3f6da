// SPDX-License-Identifier: GPL-2.0

//! The records of all ranges, and lists of them.
//!
//! A range is a naturally aligned power of two of pages. Its record is that of its first page; the
//! other pages' records are [`State::Inside`]. For a 2 MiB block that was never split, only the
//! first record is allocated, so that a window of large ranges costs little memory.

use super::units::{
    RangeId,
    WindowPage,
    BLOCK_PAGES, //
};
use kernel::prelude::*;

/// The state of a range.
///
/// ```text
///         +------------------------------ removed ------------------------------+
///         v                                                                     |
///       Clean --> Setup --> Mapped --> Reclaiming --> Stale --> Removing -------+
///                  ^  |        |                      ^ |                       |
///                  |  +--------|------ failed --------+ |                  (poisoned)
///                  |           +------ file gone -------+                       v
///                  +------------------ used again ------+                    Retired
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Not the first page of a range.
    Inside,
    /// Free; the server maps nothing there.
    Clean,
    /// Free, but the server may still map something there. Mapping a range that covers all of it
    /// replaces that; otherwise it has to be removed first.
    Stale,
    /// The server was asked to map it; or it refused, and some waiting tasks have not seen that
    /// yet.
    Setup,
    /// It maps a part of a file.
    Mapped,
    /// Mapped, but its pages are being removed from the file. It gets no new users.
    Reclaiming,
    /// The server was asked to remove the mapping.
    Removing,
    /// Out of service.
    Retired,
}

impl State {
    /// Whether a range in this state may go to `next`.
    fn may_become(self, next: Self) -> bool {
        use State::{
            Clean,
            Inside,
            Mapped,
            Reclaiming,
            Removing,
            Retired,
            Setup,
            Stale, //
        };
        match self {
            // It was cut off from a larger range, or is the first page of one that was merged.
            Inside => matches!(next, Clean | Stale),
            Clean => matches!(next, Inside | Setup | Retired),
            Stale => matches!(next, Inside | Setup | Removing | Retired),
            Setup => matches!(next, Inside | Clean | Mapped | Stale),
            // `Setup` is for a file that is gone while the range was being made writable.
            Mapped => matches!(next, Reclaiming | Stale | Setup),
            Reclaiming => matches!(next, Mapped | Stale),
            Removing => matches!(next, Inside | Clean | Retired),
            Retired => false,
        }
    }
}

/// In place of an error: tasks that wait for the range start again. No error number is positive.
pub(crate) const AGAIN: i32 = 1;

/// The neighbours in a list.
#[derive(Clone, Copy)]
pub(crate) struct Link {
    prev: RangeId,
    next: RangeId,
}

impl Link {
    const NONE: Self = Self {
        prev: RangeId::NONE,
        next: RangeId::NONE,
    };
}

/// What is known of a range. Only [`Table`] changes its state.
pub(crate) struct Record<F> {
    state: State,
    pub(crate) order: u8,
    /// The server maps it for writing.
    pub(crate) writable: bool,
    /// The server was asked to map it for writing, while it is in use for reading.
    pub(crate) upgrading: bool,
    /// Some of its memory failed: it must not be used again.
    pub(crate) poisoned: bool,
    /// It was mapped ahead, and its first use continues the readahead.
    pub(crate) mark: bool,
    /// It was used since it was sorted into the list of mapped ranges.
    pub(crate) again: bool,
    /// An eviction failed, because its pages had references beyond page tables.
    pub(crate) stuck: bool,
    /// How many more times its eviction is skipped, and the initial value of that.
    pub(crate) lives: (u8, u8),
    /// The eighths of its block in which uses were seen.
    pub(crate) used: u8,
    /// Why the server refused, a negative error number; 0 when it did not; or [`AGAIN`].
    pub(crate) error: i32,
    /// It, or writing to it, was refused for lack of a resource, so the next request may succeed.
    pub(crate) wanting: bool,
    /// The server had nothing mapped there before this request. Stays set if it refuses for lack of
    /// room.
    pub(crate) vacant: bool,
    /// The epoch for `Limit::refused`.
    pub(crate) epoch: u32,
    /// When it was last used, as a number of uses of the window.
    pub(crate) used_at: u64,
    /// How many tasks use it, or wait for it to be mapped.
    pub(crate) users: u32,
    /// The ticket of the eviction that it is part of, if it is: see `Area`.
    pub(crate) ticket: u64,
    /// How many tasks use the inode of its file, which must not be freed meanwhile.
    pub(crate) pins: u32,
    /// The file that has it.
    pub(crate) file: Option<F>,
    /// The first page of the file in the range.
    pub(crate) page: super::units::FilePage,
    /// The list of its state.
    pub(crate) queue: Link,
    /// The list of its file.
    pub(crate) sibling: Link,
    /// The next in its chain of the index.
    pub(crate) chain: RangeId,
}

impl<F> Record<F> {
    #[inline]
    pub(crate) fn state(&self) -> State {
        self.state
    }

    fn inside() -> Self {
        Self {
            state: State::Inside,
            order: 0,
            writable: false,
            upgrading: false,
            poisoned: false,
            mark: false,
            again: false,
            stuck: false,
            lives: (0, 0),
            used: 0,
            error: 0,
            wanting: false,
            vacant: false,
            epoch: 0,
            used_at: 0,
            users: 0,
            ticket: 0,
            pins: 0,
            file: None,
            page: super::units::FilePage(0),
            queue: Link::NONE,
            sibling: Link::NONE,
            chain: RangeId::NONE,
        }
    }
}

/// Records for the pages of a block that was not split before.
pub(crate) struct Room<F>(KVVec<Record<F>>);

impl<F> Room<F> {
    /// Allocates the records, charged to the task whose small file needs them; sleeps.
    pub(crate) fn new() -> Result<Self> {
        let pages = BLOCK_PAGES as usize - 1;
        let mut records = KVVec::with_capacity(pages, GFP_KERNEL_ACCOUNT)?;
        for _ in 0..pages {
            records.push(Record::inside(), GFP_KERNEL_ACCOUNT)?;
        }
        Ok(Self(records))
    }
}

struct Block<F> {
    first: Record<F>,
    rest: Option<Room<F>>,
}

/// All records of a window.
pub(crate) struct Table<F> {
    blocks: KVVec<Block<F>>,
    /// Stands for records that do not exist, so that no range number can cause a panic.
    nobody: Record<F>,
    /// Records of blocks that are whole again. Has room for all blocks.
    unneeded: KVVec<Room<F>>,
}

impl<F> Table<F> {
    /// Records for `blocks` blocks, each an `Inside` of nothing yet; sleeps.
    pub(crate) fn new(blocks: u32) -> Result<Self> {
        let mut table = KVVec::with_capacity(blocks as usize, GFP_KERNEL)?;
        for _ in 0..blocks {
            let block = Block {
                first: Record::inside(),
                rest: None,
            };
            table.push(block, GFP_KERNEL)?;
        }
        Ok(Self {
            blocks: table,
            nobody: Record::inside(),
            unneeded: KVVec::with_capacity(blocks as usize, GFP_KERNEL)?,
        })
    }

    /// How many blocks.
    pub(crate) fn blocks(&self) -> u32 {
        // CAST: Made from such a number.
        self.blocks.len() as u32
    }

    /// The record of the page `id`.
    #[inline]
    pub(crate) fn get(&self, id: RangeId) -> &Record<F> {
        let inside = id.page_in_block();
        let found =
            self.blocks
                .get(id.block().0 as usize)
                .and_then(|block| match (inside, &block.rest) {
                    (0, _) => Some(&block.first),
                    (_, Some(room)) => room.0.get(inside - 1),
                    (_, None) => None,
                });
        found.unwrap_or(&self.nobody)
    }

    /// The record of the page `id`, to be changed.
    #[inline]
    pub(crate) fn get_mut(&mut self, id: RangeId) -> &mut Record<F> {
        let inside = id.page_in_block();
        let found = self
            .blocks
            .get_mut(id.block().0 as usize)
            .and_then(|block| match (inside, &mut block.rest) {
                (0, _) => Some(&mut block.first),
                (_, Some(room)) => room.0.get_mut(inside - 1),
                (_, None) => None,
            });
        found.unwrap_or(&mut self.nobody)
    }

    #[inline]
    fn set_state(&mut self, id: RangeId, state: State) -> &mut Record<F> {
        let record = self.get_mut(id);
        debug_assert!(record.state.may_become(state));
        record.state = state;
        record
    }

    /// `id` became part of a larger range, or is about to become the first page of one.
    pub(super) fn set_inside(&mut self, id: RangeId) {
        self.set_state(id, State::Inside);
    }

    /// `id` is a free range of `order`, and the server maps nothing there.
    pub(super) fn set_clean(&mut self, id: RangeId, order: u8) {
        self.set_state(id, State::Clean).order = order;
    }

    /// `id` is a free range of `order`, where the server may have a mapping.
    pub(super) fn set_stale(&mut self, id: RangeId, order: u8) {
        self.set_state(id, State::Stale).order = order;
    }

    /// The server is asked to map `id`.
    pub(super) fn set_setup(&mut self, id: RangeId) -> &mut Record<F> {
        self.set_state(id, State::Setup)
    }

    /// `id` maps a part of a file.
    pub(super) fn set_mapped(&mut self, id: RangeId) {
        self.set_state(id, State::Mapped);
    }

    /// `id` is being evicted, as a part of the area with `ticket`.
    pub(super) fn set_reclaiming(&mut self, id: RangeId, ticket: u64) {
        self.set_state(id, State::Reclaiming).ticket = ticket;
    }

    /// The server is asked to remove `id`.
    pub(super) fn set_removing(&mut self, id: RangeId) {
        self.set_state(id, State::Removing);
    }

    /// `id` is out of service.
    pub(super) fn set_retired(&mut self, id: RangeId) {
        self.set_state(id, State::Retired);
    }

    /// Whether the pages of the block of `id` have records.
    pub(crate) fn has_room(&self, id: RangeId) -> bool {
        self.blocks
            .get(id.block().0 as usize)
            .is_some_and(|block| block.rest.is_some())
    }

    /// Gives the pages of the block of `id` their records. Returns them if they are not needed.
    pub(crate) fn give_room(&mut self, id: RangeId, room: Room<F>) -> Option<Room<F>> {
        match self.blocks.get_mut(id.block().0 as usize) {
            Some(block) if block.rest.is_none() => {
                block.rest = Some(room);
                None
            }
            _ => Some(room),
        }
    }

    /// The block of `id` is one free range, so its pages need no records.
    ///
    /// They are kept until [`Table::unneeded`].
    pub(crate) fn now_whole(&mut self, id: RangeId) {
        if let Some(block) = self.blocks.get_mut(id.block().0 as usize) {
            // It is full only if the unneeded records are not taken out; then the block keeps its
            // own.
            if let Some(room) = block
                .rest
                .take_if(|_| self.unneeded.len() < self.unneeded.capacity())
            {
                let _ = self.unneeded.push_within_capacity(room);
            }
        }
    }

    /// The records of one block that does not need them, to be freed without the lock.
    #[inline]
    pub(crate) fn unneeded(&mut self) -> Option<Room<F>> {
        self.unneeded.pop()
    }

    /// The range that contains `page`: a block has at most one of each order that could.
    pub(crate) fn head_of(&self, page: WindowPage) -> RangeId {
        for order in 0..super::units::ORDERS as u8 {
            let start = page.align_down(order);
            let record = self.get(start);
            if record.state != State::Inside && page.align_down(record.order) == start {
                return start;
            }
        }
        RangeId::NONE
    }
}

/// Selects which of a record's links a list uses.
pub(crate) trait Along {
    /// The link of `record`.
    fn link<F>(record: &Record<F>) -> &Link;
    /// The link of `record`, to be changed.
    fn link_mut<F>(record: &mut Record<F>) -> &mut Link;
}

/// The lists by state.
pub(crate) struct Queued;

impl Along for Queued {
    #[inline]
    fn link<F>(record: &Record<F>) -> &Link {
        &record.queue
    }
    #[inline]
    fn link_mut<F>(record: &mut Record<F>) -> &mut Link {
        &mut record.queue
    }
}

/// The list of a file's ranges.
pub(crate) struct Siblings;

impl Along for Siblings {
    #[inline]
    fn link<F>(record: &Record<F>) -> &Link {
        &record.sibling
    }
    #[inline]
    fn link_mut<F>(record: &mut Record<F>) -> &mut Link {
        &mut record.sibling
    }
}

/// The ends of a list.
#[derive(Clone, Copy)]
pub(crate) struct List {
    pub(crate) first: RangeId,
    pub(crate) last: RangeId,
}

impl Default for List {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl List {
    /// A list of nothing.
    pub(crate) const EMPTY: Self = Self {
        first: RangeId::NONE,
        last: RangeId::NONE,
    };

    /// Appends `id`, which is in no such list.
    #[inline]
    pub(crate) fn push_back<L: Along, F>(&mut self, table: &mut Table<F>, id: RangeId) {
        let last = self.last;
        *L::link_mut(table.get_mut(id)) = Link {
            prev: last,
            next: RangeId::NONE,
        };
        match last.some() {
            Some(last) => L::link_mut(table.get_mut(last)).next = id,
            None => self.first = id,
        }
        self.last = id;
    }

    /// Inserts `id`, which is in no such list, after `at`, or at the front if that is none.
    pub(crate) fn insert_after<L: Along, F>(
        &mut self,
        table: &mut Table<F>,
        at: RangeId,
        id: RangeId,
    ) {
        let next = match at.some() {
            Some(at) => core::mem::replace(&mut L::link_mut(table.get_mut(at)).next, id),
            None => core::mem::replace(&mut self.first, id),
        };
        match next.some() {
            Some(next) => L::link_mut(table.get_mut(next)).prev = id,
            None => self.last = id,
        }
        *L::link_mut(table.get_mut(id)) = Link { prev: at, next };
    }

    /// Removes `id`, which is in this list.
    #[inline]
    pub(crate) fn remove<L: Along, F>(&mut self, table: &mut Table<F>, id: RangeId) {
        let link = core::mem::replace(L::link_mut(table.get_mut(id)), Link::NONE);
        match link.prev.some() {
            Some(prev) => L::link_mut(table.get_mut(prev)).next = link.next,
            None => self.first = link.next,
        }
        match link.next.some() {
            Some(next) => L::link_mut(table.get_mut(next)).prev = link.prev,
            None => self.last = link.prev,
        }
    }

    /// The range before `id`, or none.
    pub(crate) fn prev<L: Along, F>(table: &Table<F>, id: RangeId) -> RangeId {
        L::link(table.get(id)).prev
    }

    /// The range after `id`.
    #[inline]
    pub(crate) fn next<L: Along, F>(table: &Table<F>, id: RangeId) -> Option<RangeId> {
        L::link(table.get(id)).next.some()
    }
}
