// SPDX-License-Identifier: GPL-2.0

//! Eviction: a file loses ranges because others need the room, because the file is evicted, or
//! because memory failed.

use super::{
    table::{
        List,
        Queued,
        Record,
        State, //
    },
    units::{
        FilePage,
        RangeId, //
    },
    Area,
    File,
    Window, //
};

/// How many of the least recently used ranges are checked for one that can be evicted. Ranges in
/// use are the most recently used.
const CANDIDATES: u32 = 64;

/// How many ranges are processed before the lock is released.
const AT_ONCE: u32 = 64;

/// The result of [`Window::forget`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forgot {
    /// The file has no ranges any more.
    All,
    /// It has more; call again at once.
    Some,
    /// Nothing was done, because a task uses the inode; call again after a change.
    Busy,
}

/// The state of an area that might be evicted.
enum Outlook {
    /// All of it is free or can be evicted.
    Good,
    /// Some of it is in use, by tasks that do not wait, and the rest is good.
    Busy,
    /// Some of it has an unanswered request, or is being evicted by another task.
    Pending,
    /// Some of it is retired.
    Bad,
}

/// An area that gets no new users. Its present uses end by themselves.
#[derive(Clone, Copy)]
pub(crate) struct Drain {
    start: RangeId,
    order: u8,
}

/// A range to be evicted.
pub(crate) struct Victim<F> {
    pub(crate) id: RangeId,
    file: F,
    /// The first page of the file in the range.
    pub(crate) page: FilePage,
    pub(crate) order: u8,
}

impl<F: File> Victim<F> {
    /// The file, whose inode stays until the range is taken.
    ///
    /// # Safety
    ///
    /// The end of what the victim was given out for, [`Window::reclaimed`] or [`Window::unpin`],
    /// comes after the last use of the result.
    pub(crate) unsafe fn file(&self) -> &F {
        &self.file
    }
}

impl<F: File> Window<F> {
    /// Whether `id`, a mapped range, has no users except page tables.
    pub(super) fn may_reclaim(&self, id: RangeId) -> bool {
        let record = self.table.get(id);
        record.state() == State::Mapped
            && record.users == 0
            && record.pins == 0
            && !record.upgrading
    }

    /// Whether `id` gets no new users.
    #[inline]
    pub(super) fn is_draining(&self, id: RangeId) -> bool {
        self.drain
            .is_some_and(|drain| id.align_down(drain.order) == drain.start)
    }

    /// A task waits because all areas that are large enough for a range of `order` are in use;
    /// `first` is for its first call. [`Window::drained`] has to follow.
    ///
    /// Uses may overlap without an end even if each is short. So the least recently used area gets
    /// no new users until it is evicted, or no task waits any more.
    pub(crate) fn drain(&mut self, order: u8, first: bool) {
        self.drainers = self.drainers.saturating_add(first.into());
        // Tasks that wait for a smaller range evict a larger area, too. An area that is too small
        // for this task would have to be evicted by other tasks, and they may have been killed.
        if self.drain.is_some_and(|drain| drain.order >= order) {
            return;
        }
        let mut at = self.lru.first.some();
        let mut looked = RangeId::NONE;
        for _ in 0..CANDIDATES {
            let Some(id) = at else {
                return;
            };
            at = List::next::<Queued, F>(&self.table, id);
            let order = order.max(self.table.get(id).order);
            let start = id.align_down(order);
            // The same block again, for another piece of it.
            if core::mem::replace(&mut looked, start) == start {
                continue;
            }
            if matches!(self.outlook(start, order), Outlook::Busy) {
                if self.drain.replace(Drain { start, order }).is_some() {
                    // Some tasks wait for the end of the old one.
                    self.changed();
                }
                return;
            }
        }
    }

    /// A task that called [`Window::drain`] does not wait any more.
    pub(crate) fn drained(&mut self) {
        self.drainers = self.drainers.saturating_sub(1);
        if self.drainers == 0 && self.drain.take().is_some() {
            self.changed();
        }
    }

    /// Takes the drained area for a range of `order`, if it has no users any more.
    fn reclaim_drained(&mut self, order: u8) -> Option<Area> {
        let drain = self.drain.filter(|drain| drain.order >= order)?;
        let outlook = self.outlook(drain.start, drain.order);
        if matches!(outlook, Outlook::Busy) {
            return None;
        }
        // If it is not good, because of a failure or another task, it is of no use to any task now.
        self.drain = None;
        self.changed();
        matches!(outlook, Outlook::Good).then(|| self.reclaim_area(drain.start, drain.order))
    }

    fn begin_reclaim(&mut self, id: RangeId, ticket: u64) {
        self.leave_lru(id);
        self.table.set_reclaiming(id, ticket);
    }

    fn next_ticket(&mut self) -> u64 {
        self.tickets = self.tickets.wrapping_add(1);
        self.tickets
    }

    /// Marks `id`, which may be reclaimed.
    pub(super) fn reclaim_one(&mut self, id: RangeId) -> Area {
        let ticket = self.next_ticket();
        self.begin_reclaim(id, ticket);
        Area {
            start: id,
            order: self.table.get(id).order,
            ticket,
        }
    }

    /// Chooses and marks what to evict for a range of `order`.
    ///
    /// That is the least recently used range, if it is large enough; otherwise the area around it.
    /// A larger area is evicted as a whole or not at all.
    pub(super) fn plan_reclaim(&mut self, order: u8) -> Option<Area> {
        self.reclaim_drained(order)
            .or_else(|| self.plan_reclaim_of(order, true))
            .or_else(|| self.plan_reclaim_of(order, false))
    }

    /// The same. With `spare`, skips ranges that were needed again soon after their last eviction,
    /// and those used since they were sorted, of which there may be more than can be checked.
    fn plan_reclaim_of(&mut self, order: u8, spare: bool) -> Option<Area> {
        let mut at = self.lru.first.some();
        let mut looked = RangeId::NONE;
        let mut in_the_way = None;
        for _ in 0..CANDIDATES {
            let Some(id) = at else {
                break;
            };
            at = List::next::<Queued, F>(&self.table, id);
            if !self.may_reclaim(id) {
                continue;
            }
            if spare && self.settle(id) {
                // Its sorted place may be before the next one.
                at = self.lru.first.some();
                continue;
            }
            let record = self.table.get_mut(id);
            let own = record.order;
            if spare && record.lives.0 > 0 {
                record.lives.0 -= 1;
                self.spare(id);
                continue;
            }
            if own >= order {
                return Some(self.reclaim_one(id));
            }
            let start = id.align_down(order);
            if start == looked {
                continue;
            }
            looked = start;
            match self.outlook(start, order) {
                Outlook::Good => return Some(self.reclaim_area(start, order)),
                Outlook::Busy | Outlook::Pending => {}
                Outlook::Bad => in_the_way = in_the_way.or(Some(id)),
            }
        }
        // There will never be such a range around this one. If that is so for all that were
        // checked, the others would never be checked: evict this one, so that they move up.
        in_the_way.filter(|_| !spare).map(|id| self.reclaim_one(id))
    }

    fn outlook(&self, start: RangeId, order: u8) -> Outlook {
        let mut at = start;
        let mut outlook = Outlook::Good;
        while start.pages(order).contains(&at.0) {
            let record = self.table.get(at);
            match record.state() {
                State::Mapped if self.may_reclaim(at) => {}
                State::Mapped if record.pins == 0 && !record.upgrading => outlook = Outlook::Busy,
                State::Clean | State::Stale => {}
                State::Retired => return Outlook::Bad,
                _ => return Outlook::Pending,
            }
            at = RangeId(at.0.saturating_add(1 << record.order));
        }
        outlook
    }

    fn reclaim_area(&mut self, start: RangeId, order: u8) -> Area {
        let ticket = self.next_ticket();
        let mut at = start;
        while start.pages(order).contains(&at.0) {
            let next = RangeId(at.0.saturating_add(1 << self.table.get(at).order));
            if self.table.get(at).state() == State::Mapped {
                self.begin_reclaim(at, ticket);
            }
            at = next;
        }
        Area {
            start,
            order,
            ticket,
        }
    }

    /// The rest of an area to be evicted; [`Window::reclaimed`] has to follow for each range.
    ///
    /// Only the task that got the area calls this.
    pub(crate) fn reclaim_next(&self, area: Area) -> Option<Victim<F>> {
        let mut at = area.start;
        while area.start.pages(area.order).contains(&at.0) {
            let record = self.table.get(at);
            if record.state() == State::Reclaiming && record.ticket == area.ticket {
                return Some(Victim {
                    id: at,
                    // SAFETY: The range has the file until `reclaimed()`; see `Victim::file()`.
                    file: unsafe { record.file.as_ref()?.handle() },
                    page: record.page,
                    order: record.order,
                });
            }
            at = RangeId(at.0.saturating_add(1 << record.order));
        }
        None
    }

    /// The pages of a range were removed from its file, or not, because some have references. In
    /// that case evicting the rest of the area would be useless, and it is left as it is.
    pub(crate) fn reclaimed(&mut self, area: Area, id: RangeId, taken: bool) {
        let record = self.table.get(id);
        if record.state() != State::Reclaiming || record.ticket != area.ticket {
            return;
        }
        if taken {
            let (page, lives) = (record.page, record.lives.1);
            let (order, used) = (record.order, record.used);
            if let Some(file) = self.unlink_file(id) {
                self.ghosts.took(&file, page, lives);
                self.weigh_taken(&file, order, used);
            }
            self.free.put_stale(&mut self.table, id);
            self.counters.reclaims += 1;
        } else {
            self.counters.busy += 1;
            self.table.get_mut(id).stuck = true;
            while let Some(victim) = self.reclaim_next(area) {
                self.enter_lru(victim.id);
            }
        }
        self.changed();
    }

    /// The first range from `at` on that is `wanted`, or a range where the search reached its limit
    /// under the lock; [`RangeId::NONE`] after the last.
    fn find(&self, mut at: RangeId, wanted: impl Fn(&Record<F>) -> bool) -> RangeId {
        for _ in 0..AT_ONCE {
            let Some(id) = self.table.head_of(at).some() else {
                return RangeId::NONE;
            };
            let record = self.table.get(id);
            if wanted(record) {
                return at;
            }
            at = RangeId(id.0.saturating_add(1 << record.order));
        }
        at
    }

    /// Skips ranges without users that are not just being evicted; see [`Window::find`].
    pub(crate) fn skip_unused(&self, at: RangeId) -> RangeId {
        self.find(at, |record| {
            record.users > 0 || record.state() == State::Reclaiming
        })
    }

    /// Skips ranges without unanswered requests; see [`Window::find`].
    pub(crate) fn skip_answered(&self, at: RangeId) -> RangeId {
        self.find(at, |record| match record.state() {
            State::Setup => record.error == 0,
            State::Mapped => record.upgrading,
            State::Removing => true,
            _ => false,
        })
    }

    /// Any range that can be evicted.
    pub(crate) fn take_any(&mut self) -> Option<Area> {
        self.plan_reclaim(0)
    }

    /// Evicts the ranges of `file`, because its inode is evicted. Not all at once, because a file
    /// may have all of a large window and this runs under the window's lock.
    ///
    /// No request is sent: a later mapping replaces the ranges, or removes them.
    pub(crate) fn forget(&mut self, file: &F) -> Forgot {
        for taken in 0..AT_ONCE {
            let Some(id) = self.ranges_of(file).first.some() else {
                return Forgot::All;
            };
            let record = self.table.get(id);
            let (state, upgrading) = (record.state(), record.upgrading);
            if state == State::Reclaiming || record.pins > 0 {
                // Tasks that wait for ranges which were freed before that one are woken first.
                return match taken {
                    0 => Forgot::Busy,
                    _ => Forgot::Some,
                };
            }
            self.unlink_file(id);
            self.changed();
            if state != State::Mapped {
                // The server has not answered. When it does, the range is not needed any more.
                continue;
            }
            self.leave_lru(id);
            if upgrading {
                // As if it had been requested only now.
                let epoch = self.limit.ask(false);
                let record = self.table.set_setup(id);
                record.error = 0;
                record.vacant = false;
                record.epoch = epoch;
            } else {
                self.table.get_mut(id).users = 0;
                self.free.put_stale(&mut self.table, id);
            }
        }
        Forgot::Some
    }

    /// A page of the window failed: its range must not be used any more.
    ///
    /// Returns the range if a file has it mapped; then the inode stays until [`Window::unpin`].
    pub(crate) fn fail(&mut self, page: RangeId) -> Option<Victim<F>> {
        let id = self.table.head_of(page).some()?;
        let record = self.table.get_mut(id);
        record.poisoned |= !matches!(record.state(), State::Clean | State::Stale | State::Retired);
        match record.state() {
            State::Clean | State::Stale => {
                if record.state() == State::Stale {
                    // There will be no request to remove it.
                    self.limit.gone();
                }
                self.free.retire_free(&mut self.table, id);
                self.counters.retired += 1;
                self.changed();
                None
            }
            State::Mapped => {
                let (page, order) = (record.page, record.order);
                // SAFETY: The range has the file until `unpin()`; see `Victim::file()`.
                let file = unsafe { record.file.as_ref()?.handle() };
                record.pins += 1;
                self.changed();
                Some(Victim {
                    id,
                    file,
                    page,
                    order,
                })
            }
            _ => None,
        }
    }

    /// Ends what [`Window::fail`] began. The caller reclaims the returned area, if any.
    pub(crate) fn unpin(&mut self, id: RangeId) -> Option<Area> {
        let record = self.table.get_mut(id);
        record.pins = record.pins.saturating_sub(1);
        self.changed();
        self.may_reclaim(id).then(|| self.reclaim_one(id))
    }
}
