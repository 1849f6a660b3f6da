// SPDX-License-Identifier: GPL-2.0

//! Granting ranges: the steps to get the range with a page, the server's answer, and the end of the
//! use.

use super::{
    free::Found,
    grain::eighth,
    limit,
    table::{
        State,
        AGAIN, //
    },
    units::{
        order_holding,
        FilePage,
        FilePages,
        RangeId,
        TOP_ORDER, //
    },
    File,
    Place,
    Poll,
    Setup,
    Step,
    Window, //
};
use kernel::prelude::*;

impl<F: File> Window<F> {
    /// The range that has `page` of `file`, if it can be used at once.
    ///
    /// Unlike [`Window::request`] this changes nothing if it cannot.
    #[inline]
    pub(crate) fn try_hold(&mut self, file: &F, page: FilePage, write: bool) -> Option<Place> {
        let id = self.index.lookup(&self.table, file, page)?;
        if self.is_draining(id) {
            return None;
        }
        self.hold_known(id, page, write)
    }

    /// The same, for a task that holds the range already. A drain waits for the end of that use,
    /// and must not block the task.
    pub(crate) fn hold_again(&mut self, file: &F, page: FilePage, write: bool) -> Option<Place> {
        let id = self.index.lookup(&self.table, file, page)?;
        self.hold_known(id, page, write)
    }

    #[inline]
    fn hold_known(&mut self, id: RangeId, page: FilePage, write: bool) -> Option<Place> {
        let record = self.table.get_mut(id);
        if record.state() != State::Mapped
            || record.poisoned
            || record.mark
            || (write && !record.writable)
            || self.closed.is_some()
        {
            return None;
        }
        record.users += 1;
        record.used |= eighth(page);
        self.policy.used(record);
        Some(Place {
            id,
            page: record.page,
            order: record.order,
        })
    }

    /// The next step for a task that wants `page` of `file`, whose size is `file_pages`.
    pub(crate) fn request(
        &mut self,
        file: &F,
        page: FilePage,
        file_pages: FilePages,
        write: bool,
    ) -> Step {
        if let Some(error) = self.closed {
            return Step::Fail(error);
        }
        if !file.is_of(self) {
            return Step::Fail(EIO.to_errno());
        }
        match self.index.lookup(&self.table, file, page) {
            Some(id) => {
                self.table.get_mut(id).used |= eighth(page);
                self.request_known(id, write)
            }
            None => match self.allocate(file, page, file_pages) {
                Ok((id, start)) => {
                    self.weigh_miss(file, page);
                    let setup = self.begin_setup(file, id, start, write, 1);
                    self.table.get_mut(id).used = eighth(page);
                    Step::Start(setup)
                }
                Err(step) => step,
            },
        }
    }

    fn request_known(&mut self, id: RangeId, write: bool) -> Step {
        let changes = self.changes;
        let draining = self.is_draining(id);
        let record = self.table.get_mut(id);
        match record.state() {
            State::Mapped if draining && !record.poisoned => Step::Wait(changes),
            State::Setup => {
                record.users += 1;
                Step::Join(id)
            }
            State::Mapped if record.poisoned => {
                if self.table.may_reclaim(id) {
                    return Step::Reclaim(self.reclaim_one(id));
                }
                Step::Wait(changes)
            }
            State::Mapped if write && !record.writable => self.upgrade(id),
            State::Mapped => {
                record.users += 1;
                let ahead = core::mem::replace(&mut record.mark, false);
                self.policy.used(record);
                Step::Held { id, ahead }
            }
            _ => Step::Wait(changes),
        }
    }

    /// The next step for a task that wants to write to `id`, which is mapped for reading.
    ///
    /// The server may need one more mapping for that, because it has to split one of its own. So it
    /// may refuse for lack of a resource; then it is asked again after other mappings were given up.
    fn upgrade(&mut self, id: RangeId) -> Step {
        let record = self.table.get_mut(id);
        if record.upgrading {
            record.users += 1;
            return Step::Join(id);
        }
        if record.wanting && self.limit.over() {
            // So others are evicted, and drained, before it.
            self.policy.spare(&mut self.table, id);
            return self.make_room(0);
        }
        record.users += 1;
        record.upgrading = true;
        record.error = 0;
        record.wanting = false;
        record.epoch = self.limit.epoch();
        let setup = Setup {
            id,
            page: record.page,
            order: record.order,
            writable: true,
            upgrade: true,
        };
        self.counters.setups += 1;
        self.counters.upgrades += 1;
        Step::Start(setup)
    }

    /// `page` of `file` is about to be mapped because a task needs it.
    pub(super) fn weigh_miss(&self, file: &F, page: FilePage) {
        let mapped = |page| self.index.lookup(&self.table, file, page).is_some();
        self.with_run(file, |run| self.policy.missed(run, page, mapped));
    }

    /// The order of a new range for `page` of `file`.
    ///
    /// It covers what the file has from an aligned page on, so that small files take small ranges,
    /// and is not larger than the policy says. Between existing ranges of the file it is not larger
    /// than the gap.
    pub(super) fn order_for(
        &self,
        file: &F,
        page: FilePage,
        file_pages: FilePages,
        largest: u8,
    ) -> u8 {
        let block = page.align_down(TOP_ORDER);
        let mut order = order_holding(file_pages.count_from(block))
            .min(largest)
            .min(self.policy.grain_order(self.run_of(file)));
        while order > self.policy.smallest() {
            let start = page.align_down(order);
            let overlaps = self.index.find(&self.table, file, page.block(), |id| {
                let other = self.table.get(id);
                (other.page.align_down(order) == start
                    || start.align_down(other.order) == other.page)
                    .then_some(())
            });
            if overlaps.is_none() {
                break;
            }
            order -= 1;
        }
        order.max(self.policy.smallest())
    }

    /// A piece of the block of `page`, if the block should be mapped as a whole and all of its
    /// pieces can be evicted.
    ///
    /// Only if the file was mapped in pieces because of its accesses: the ranges of a file that
    /// grew have to stay.
    pub(super) fn piece_in_the_way(&self, file: &F, page: FilePage) -> Option<RangeId> {
        let grain = self.run_of(file).grain;
        let whole = self.free.largest_order(self.policy.smallest()) == Some(TOP_ORDER);
        if !whole || grain.is_fine() || !grain.was_fine() {
            return None;
        }
        let stays = |id| (self.table.get(id).stuck || !self.table.may_reclaim(id)).then_some(());
        let block = page.block();
        match self.index.find(&self.table, file, block, stays) {
            Some(()) => None,
            None => self.index.find(&self.table, file, block, Some),
        }
    }

    /// Takes a free range for `page` of `file`, or returns the step that is needed first.
    pub(super) fn allocate(
        &mut self,
        file: &F,
        page: FilePage,
        file_pages: FilePages,
    ) -> Result<(RangeId, FilePage), Step> {
        let Some(largest) = self.free.largest_order(self.policy.smallest()) else {
            return Err(Step::Fail(EIO.to_errno()));
        };
        let order = self.order_for(file, page, file_pages, largest);
        if order < TOP_ORDER && file_pages.has_block(page.block()) {
            if let Some(id) = self.piece_in_the_way(file, page) {
                return Err(Step::Reclaim(self.reclaim_one(id)));
            }
        }
        let full = self.limit.full();
        let found = match full {
            false => self.free.take(&mut self.table, order),
            true if self.limit.over() => Found::Nothing,
            true => match self.free.take_stale_of(&mut self.table, order) {
                Some(id) => Found::Range(id),
                None => Found::Nothing,
            },
        };
        match found {
            Found::Range(id) => return Ok((id, page.align_down(order))),
            Found::NeedsRoom(id) => return Err(Step::NeedsRoom(id)),
            Found::Nothing => {}
        }
        if !full {
            if let Some((id, stale)) = self.free.merge(&mut self.table, order) {
                // One of them stands for all.
                for _ in 1..stale {
                    self.limit.gone();
                }
                return Ok((id, page.align_down(order)));
            }
        }
        // What is stale is larger than `order`, or fills no area of it. The protocol lets a mapping
        // replace a part of a larger one, which the server has to split (in Linux, c4bb667eaf52).
        // That saves the request to remove it, and costs more: the server keeps what is left of a
        // file that may be gone, as one or two mappings more, which `limit` cannot count. A VMM
        // that only removes what it mapped, as QEMU, has to unmap all of it and map the rest again,
        // for each piece. That is two operations more for a piece, where one removal makes room for
        // all pieces.
        //
        // If the server has no room for more mappings, evicting any of them will do.
        Err(self.make_room(if full { 0 } else { order }))
    }

    /// The next step for a range of `order` to become free, and for the server to have fewer
    /// mappings.
    fn make_room(&mut self, order: u8) -> Step {
        if self.free.stale_count() > 0 {
            return Step::Remove;
        }
        if self.removing > 0 {
            // There will be room in the time of one request. To evict another range, which a
            // mapping could replace at once, would cost its next user a request.
            return Step::Wait(self.changes);
        }
        match self.plan_reclaim(order) {
            Some(area) => Step::Reclaim(area),
            None => Step::Drain(order, self.changes),
        }
    }

    /// Gives `id`, which is in no list, to `file`.
    pub(super) fn begin_setup(
        &mut self,
        file: &F,
        id: RangeId,
        page: FilePage,
        writable: bool,
        users: u32,
    ) -> Setup {
        let lives = self.policy.lives(file, page);
        let vacant = self.table.get(id).state() == State::Clean;
        let record = self.table.set_setup(id);
        record.vacant = vacant;
        record.epoch = self.limit.ask(vacant);
        record.lives = (lives, lives);
        record.writable = writable;
        record.upgrading = false;
        record.mark = false;
        record.stuck = false;
        record.used = 0;
        record.error = 0;
        record.wanting = false;
        record.users = users;
        record.page = page;
        let order = record.order;
        self.link_file(id, file);
        self.counters.setups += 1;
        Setup {
            id,
            page,
            order,
            writable,
            upgrade: false,
        }
    }

    /// The server answered: `Err` is a negative error number.
    ///
    /// An answer without a request changes nothing.
    ///
    /// # Safety
    ///
    /// If it is `Ok`, the server has mapped what the last [`Setup`] of `id` says.
    pub(crate) unsafe fn setup_done(
        &mut self,
        id: RangeId,
        upgrade: bool,
        result: Result<(), i32>,
    ) {
        let record = self.table.get_mut(id);
        let error = match result {
            Ok(()) => 0,
            // Zero would mean success.
            Err(error) => error.min(-1),
        };
        match record.state() {
            State::Mapped if upgrade && record.upgrading => {
                record.upgrading = false;
                record.writable |= error == 0;
                record.error = error;
                if error == 0 {
                    self.limit.mapped();
                } else if limit::is_want(error) {
                    record.wanting = self.limit.refused(record.epoch);
                }
            }
            State::Setup if record.error == 0 => {
                self.limit.answered();
                if error == 0 {
                    self.limit.mapped();
                    record.vacant = false;
                    if record.file.is_some() {
                        self.now_mapped(id);
                    } else {
                        // The file is gone.
                        self.fail_setup(id, EIO.to_errno());
                    }
                } else if limit::is_want(error) {
                    record.wanting = self.limit.refused(record.epoch);
                    self.fail_setup(id, error);
                } else {
                    // What the server maps there is unknown.
                    record.vacant = false;
                    self.fail_setup(id, error);
                }
            }
            _ => return,
        }
        self.answered();
    }

    /// The request was not sent: tasks that wait for the answer start again.
    pub(crate) fn unasked(&mut self, id: RangeId, upgrade: bool) {
        let record = self.table.get_mut(id);
        match record.state() {
            State::Mapped if upgrade && record.upgrading => record.upgrading = false,
            State::Setup if record.error == 0 => {
                self.limit.answered();
                self.fail_setup(id, AGAIN);
            }
            _ => return,
        }
        self.answered();
    }

    /// `id` is not mapped; tasks that wait for it get `error`.
    fn fail_setup(&mut self, id: RangeId, error: i32) {
        let record = self.table.get_mut(id);
        record.error = error;
        let users = record.users;
        self.unlink_file(id);
        if users == 0 {
            self.put_back(id);
        }
    }

    /// Frees `id`, which was not mapped and has no waiters any more.
    fn put_back(&mut self, id: RangeId) {
        let record = self.table.get(id);
        if record.vacant && !record.poisoned {
            let order = record.order;
            self.limit.gone();
            self.free.put_clean(&mut self.table, id, order);
        } else {
            self.free.put_stale(&mut self.table, id);
        }
    }

    /// The state of a range that the caller holds since [`Step::Join`] or [`Step::Start`].
    ///
    /// # Safety
    ///
    /// That is so, and ends with any result but [`Poll::Pending`] and [`Poll::Held`].
    pub(crate) unsafe fn poll(&mut self, id: RangeId, write: bool) -> Poll {
        let record = self.table.get(id);
        let pending = match record.state() {
            State::Setup => record.error == 0,
            State::Mapped => write && !record.writable && record.upgrading,
            _ => false,
        };
        let poll = match record.state() {
            _ if pending => match self.closed {
                // An answer that may still come has no waiters.
                Some(error) => Poll::Failed(error),
                None => return Poll::Pending,
            },
            State::Setup if record.error == AGAIN => Poll::Again,
            State::Setup if record.wanting => Poll::Wanting(record.error),
            State::Setup => Poll::Failed(record.error),
            State::Mapped if record.poisoned => Poll::Again,
            State::Mapped if !write || record.writable => return Poll::Held,
            State::Mapped if record.wanting => Poll::Wanting(record.error),
            State::Mapped if record.error != 0 => Poll::Failed(record.error),
            _ => Poll::Again,
        };
        // SAFETY: By the function's contract the caller held it.
        unsafe { self.release(id) };
        poll
    }

    /// Ends a use.
    ///
    /// # Safety
    ///
    /// The caller has a use of `id`, and has accessed its memory for the last time.
    #[inline]
    pub(crate) unsafe fn release(&mut self, id: RangeId) {
        let record = self.table.get_mut(id);
        record.users = record.users.saturating_sub(1);
        if record.users == 0 {
            if record.state() == State::Setup && record.error != 0 {
                self.put_back(id);
            }
            self.changed();
        }
    }
}
