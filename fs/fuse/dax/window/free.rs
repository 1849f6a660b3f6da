// SPDX-License-Identifier: GPL-2.0

//! The free parts of the window.
//!
//! Clean ranges follow the buddy rule: two halves that are both clean become one. Stale ranges keep
//! their size until the server has removed the mapping, or a larger mapping replaces it.

use super::{
    table::{
        List,
        Queued,
        State,
        Table, //
    },
    units::{
        RangeId,
        WindowBlock,
        BLOCK_PAGES,
        ORDERS,
        TOP_ORDER, //
    },
};

/// How many stale ranges are checked for being part of a larger free area.
const MERGE_TRIES: usize = 8;

/// The result of a search for a free range.
pub(crate) enum Found {
    /// This range, which is in no list any more.
    Range(RangeId),
    /// The block of this range has to be split, for which its pages need records.
    NeedsRoom(RangeId),
    /// Nothing.
    Nothing,
}

pub(crate) struct Free {
    clean: [List; ORDERS],
    stale: [List; ORDERS],
    /// Poisoned ranges that the server still has to remove.
    bad: List,
    /// How many ranges are stale or bad.
    stale_count: u32,
    /// Pages that are not retired.
    in_service: u32,
    /// Blocks without a retired page.
    whole_blocks: u32,
}

impl Free {
    /// All of `table` is clean.
    pub(crate) fn new<F>(table: &mut Table<F>) -> Self {
        let mut free = Self {
            clean: [List::EMPTY; ORDERS],
            stale: [List::EMPTY; ORDERS],
            bad: List::EMPTY,
            stale_count: 0,
            in_service: 0,
            whole_blocks: 0,
        };
        for block in 0..table.blocks() {
            free.put_clean(table, WindowBlock(block).first_range(), TOP_ORDER);
            free.in_service = free.in_service.saturating_add(BLOCK_PAGES);
            free.whole_blocks += 1;
        }
        free
    }

    /// How many ranges the server may be asked to remove.
    pub(crate) fn stale_count(&self) -> u32 {
        self.stale_count
    }

    /// The largest order that can still exist, if there is any.
    pub(crate) fn largest_order(&self, smallest: u8) -> Option<u8> {
        match (self.whole_blocks, self.in_service) {
            (_, 0) => None,
            // The rest of the blocks may be in pieces.
            (0, _) => Some(smallest),
            _ => Some(TOP_ORDER),
        }
    }

    /// Whether there is a range of `order`, or will be when the server has removed the stale ones.
    pub(crate) fn has(&self, order: u8) -> bool {
        let clean = self.clean.get(usize::from(order)..).unwrap_or(&[]);
        self.stale_count > 0 || clean.iter().any(|list| list.first.some().is_some())
    }

    /// Takes a range of `order`: one of that size if there is one, or else a part of a larger one.
    pub(crate) fn take<F>(&mut self, table: &mut Table<F>, order: u8) -> Found {
        let at = usize::from(order);
        if let Some(id) = self.clean.get(at).and_then(|list| list.first.some()) {
            self.unlink(table, id);
            return Found::Range(id);
        }
        if let Some(id) = self.take_stale_of(table, order) {
            return Found::Range(id);
        }
        for larger in order.saturating_add(1)..=TOP_ORDER {
            let list = self.clean.get(usize::from(larger));
            let Some(id) = list.and_then(|list| list.first.some()) else {
                continue;
            };
            if !table.has_room(id) {
                return Found::NeedsRoom(id);
            }
            self.unlink(table, id);
            for half in (order..larger).rev() {
                self.put_list(table, id.buddy(half), half, State::Clean);
            }
            table.get_mut(id).order = order;
            return Found::Range(id);
        }
        Found::Nothing
    }

    /// Takes a stale range of `order`, which a new mapping replaces.
    pub(crate) fn take_stale_of<F>(&mut self, table: &mut Table<F>, order: u8) -> Option<RangeId> {
        let list = self.stale.get(usize::from(order))?;
        let id = list.first.some()?;
        self.unlink(table, id);
        Some(id)
    }

    /// Merges adjacent free ranges into one of `order`. Returns it and how many of them were stale;
    /// or [`None`].
    ///
    /// A new mapping replaces all those that it covers, so nothing has to be removed first.
    pub(crate) fn merge<F>(&mut self, table: &mut Table<F>, order: u8) -> Option<(RangeId, u32)> {
        let seen: &Table<F> = table;
        // The last one that was freed is at the end; it may have been evicted for this.
        let lists = self.stale.iter().take(order.into()).rev();
        let ids = lists.flat_map(|list| {
            let before = move |id: &RangeId| List::prev::<Queued, F>(seen, *id).some();
            core::iter::successors(list.last.some(), before)
        });
        let (start, stale) = ids.take(MERGE_TRIES).find_map(|id| {
            let start = id.align_down(order);
            Some((start, Self::stale_in(seen, start, order)?))
        })?;
        let mut at = start;
        while at.align_down(order) == start {
            let next = at.after(table.get(at).order);
            self.unlink(table, at);
            table.set_inside(at);
            at = next;
        }
        table.set_stale(start, order);
        Some((start, stale))
    }

    /// How many ranges of an area are stale, if all of it is free.
    fn stale_in<F>(table: &Table<F>, start: RangeId, order: u8) -> Option<u32> {
        let (mut at, mut stale) = (start, 0);
        while at.align_down(order) == start {
            let record = table.get(at);
            match record.state() {
                State::Clean => {}
                State::Stale if !record.poisoned => stale += 1,
                _ => return None,
            }
            at = at.after(record.order);
        }
        Some(stale)
    }

    fn list(&mut self, state: State, poisoned: bool, order: u8) -> Option<&mut List> {
        match (state, poisoned) {
            (State::Clean, _) => self.clean.get_mut(usize::from(order)),
            (_, true) => Some(&mut self.bad),
            (_, false) => self.stale.get_mut(usize::from(order)),
        }
    }

    fn put_list<F>(&mut self, table: &mut Table<F>, id: RangeId, order: u8, state: State) {
        match state {
            State::Stale => table.set_stale(id, order),
            _ => table.set_clean(id, order),
        }
        let poisoned = table.get(id).poisoned;
        if let Some(list) = self.list(state, poisoned, order) {
            list.push_back::<Queued, F>(table, id);
        }
        if state == State::Stale {
            self.stale_count += 1;
        }
    }

    /// Removes `id`, which is clean or stale, from its list.
    fn unlink<F>(&mut self, table: &mut Table<F>, id: RangeId) {
        let record = table.get(id);
        let (state, poisoned, order) = (record.state(), record.poisoned, record.order);
        if let Some(list) = self.list(state, poisoned, order) {
            list.remove::<Queued, F>(table, id);
        }
        if state == State::Stale {
            self.stale_count = self.stale_count.saturating_sub(1);
        }
    }

    /// Makes `id` clean, and merges it with clean buddies.
    pub(crate) fn put_clean<F>(&mut self, table: &mut Table<F>, id: RangeId, order: u8) {
        let freed = id;
        let (mut id, mut order) = (id, order);
        while order < TOP_ORDER {
            let buddy = id.buddy(order);
            let other = table.get(buddy);
            if other.state() != State::Clean || other.order != order {
                break;
            }
            self.unlink(table, buddy);
            table.set_inside(buddy);
            id = id.min(buddy);
            order += 1;
        }
        if id != freed {
            table.set_inside(freed);
        }
        self.put_list(table, id, order, State::Clean);
        if order == TOP_ORDER {
            table.now_whole(id);
        }
    }

    /// Makes `id` stale.
    pub(crate) fn put_stale<F>(&mut self, table: &mut Table<F>, id: RangeId) {
        let order = table.get(id).order;
        self.put_list(table, id, order, State::Stale);
    }

    /// Takes a stale range for the server to remove; bad ones come first.
    pub(crate) fn take_stale<F>(&mut self, table: &mut Table<F>) -> Option<RangeId> {
        let lists = core::iter::once(&self.bad).chain(&self.stale);
        let id = lists.filter_map(|list| list.first.some()).next()?;
        self.unlink(table, id);
        Some(id)
    }

    /// Takes `id` out of service; it is in no list.
    pub(crate) fn retire<F>(&mut self, table: &mut Table<F>, id: RangeId) {
        let order = table.get(id).order;
        let block = id.block();
        if !self.block_has_retired(table, block) {
            self.whole_blocks = self.whole_blocks.saturating_sub(1);
        }
        table.set_retired(id);
        self.in_service = self.in_service.saturating_sub(1 << order);
    }

    /// Takes `id`, which is clean or stale, out of service.
    pub(crate) fn retire_free<F>(&mut self, table: &mut Table<F>, id: RangeId) {
        self.unlink(table, id);
        self.retire(table, id);
    }

    fn block_has_retired<F>(&self, table: &Table<F>, block: WindowBlock) -> bool {
        let mut at = block.first_range();
        while at.block() == block {
            let record = table.get(at);
            if record.state() == State::Retired {
                return true;
            }
            at = at.after(record.order);
        }
        false
    }
}
