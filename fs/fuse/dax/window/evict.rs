// SPDX-License-Identifier: GPL-2.0

//! How files lose ranges: to others who need the room, because the file goes, or because memory
//! failed.

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

/// How many of the ranges that were used longest ago are looked at for one that can be taken. Those
/// that are in use were used last.
const CANDIDATES: u32 = 64;

/// How many ranges are dealt with before others have their turn.
const AT_ONCE: u32 = 64;

/// How far [`Window::forget`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forgot {
    /// The file has no ranges any more.
    All,
    /// It has more, which are to be asked for at once.
    Some,
    /// Nothing was done, since somebody looks at the inode: it is to be asked for again after a change.
    Busy,
}

/// What may be done with an area.
enum Outlook {
    /// All of it is free or can be taken.
    Good,
    /// Some of it is in use, by tasks that wait for nothing, and the rest is good.
    Busy,
    /// The server owes an answer about some of it, or another task is at it.
    Pending,
    /// Some of it is out of service for good.
    Bad,
}

/// An area that gets no new users. Those that it has end by themselves.
#[derive(Clone, Copy)]
pub(crate) struct Drain {
    start: RangeId,
    order: u8,
}

/// A range that is to be taken from its file.
pub(crate) struct Victim<F> {
    pub(crate) id: RangeId,
    file: F,
    /// The first page of the file that is there.
    pub(crate) page: FilePage,
    pub(crate) order: u8,
}

impl<F: File> Victim<F> {
    /// The file, whose inode stays until the range is taken.
    ///
    /// # Safety
    ///
    /// The end of what the victim was given out for, [`Window::reclaimed`] or [`Window::unpin`], comes
    /// after the last use of the result.
    pub(crate) unsafe fn file(&self) -> &F {
        &self.file
    }
}

impl<F: File> Window<F> {
    /// Whether `id`, a mapped range, is used by nobody but through page tables.
    pub(super) fn may_reclaim(&self, id: RangeId) -> bool {
        let record = self.table.get(id);
        record.state == State::Mapped && record.users == 0 && record.pins == 0 && !record.upgrading
    }

    /// Whether `id` gets no new users.
    #[inline]
    pub(super) fn is_draining(&self, id: RangeId) -> bool {
        self.drain
            .is_some_and(|drain| id.align_down(drain.order) == drain.start)
    }

    /// A task waits because all that is large enough for a range of `order` is in use; `first` says
    /// that it has not called this before. [`Window::drained`] has to follow.
    ///
    /// Uses may overlap without an end, and each alone be short: so the ranges that were used longest
    /// ago get no new ones, until they were taken or nobody waits any more.
    pub(crate) fn drain(&mut self, order: u8, first: bool) {
        self.drainers = self.drainers.saturating_add(first.into());
        // Tasks that wait for less take a larger area, too. One that is too small for this task would
        // have to be taken by others, and they may have been killed.
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
            // The same block again, of which this is another piece.
            if core::mem::replace(&mut looked, start) == start {
                continue;
            }
            if matches!(self.outlook(start, order), Outlook::Busy) {
                if self.drain.replace(Drain { start, order }).is_some() {
                    // Some wait for the end of the old one.
                    self.changed();
                }
                return;
            }
        }
    }

    /// A task that called [`Window::drain`] waits no more.
    pub(crate) fn drained(&mut self) {
        self.drainers = self.drainers.saturating_sub(1);
        if self.drainers == 0 && self.drain.take().is_some() {
            self.changed();
        }
    }

    /// Takes what was drained for a range of `order`, if nobody uses it any more.
    fn reclaim_drained(&mut self, order: u8) -> Option<Area> {
        let drain = self.drain.filter(|drain| drain.order >= order)?;
        let outlook = self.outlook(drain.start, drain.order);
        if matches!(outlook, Outlook::Busy) {
            return None;
        }
        // If it is not good, because a failure or another task was first, it is good for nobody now.
        self.drain = None;
        self.changed();
        matches!(outlook, Outlook::Good).then(|| self.reclaim_area(drain.start, drain.order))
    }

    fn begin_reclaim(&mut self, id: RangeId, ticket: u64) {
        self.leave_lru(id);
        let record = self.table.get_mut(id);
        record.state = State::Reclaiming;
        record.ticket = ticket;
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

    /// Finds what to take so that there is a range of `order`, and marks it.
    ///
    /// The range that was used longest ago, if it is large enough; otherwise all that is around it.
    /// A larger area is taken as a whole or not at all.
    pub(super) fn plan_reclaim(&mut self, order: u8) -> Option<Area> {
        self.reclaim_drained(order)
            .or_else(|| self.plan_reclaim_of(order, true))
            .or_else(|| self.plan_reclaim_of(order, false))
    }

    /// As above; `spare` what came back soon after it was taken the last time, and what was used
    /// since it was put in order, of which there may be more than can be looked at.
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
                // Its place may be before the next.
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
        // There will never be such a range where this one is. If that is so of all that were looked
        // at, nobody would ever look at the others: it goes, so that they come closer.
        in_the_way.filter(|_| !spare).map(|id| self.reclaim_one(id))
    }

    fn outlook(&self, start: RangeId, order: u8) -> Outlook {
        let mut at = start;
        let mut outlook = Outlook::Good;
        while start.pages(order).contains(&at.0) {
            let record = self.table.get(at);
            match record.state {
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
            if self.table.get(at).state == State::Mapped {
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

    /// What of an area is still to be taken; [`Window::reclaimed`] has to follow for each.
    ///
    /// Only the task that was told to take the area asks.
    pub(crate) fn reclaim_next(&self, area: Area) -> Option<Victim<F>> {
        let mut at = area.start;
        while area.start.pages(area.order).contains(&at.0) {
            let record = self.table.get(at);
            if record.state == State::Reclaiming && record.ticket == area.ticket {
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

    /// A range's pages were taken from its file; or not, because somebody has references to them.
    /// Then the rest of the area would be taken in vain, and is left as it is.
    pub(crate) fn reclaimed(&mut self, area: Area, id: RangeId, taken: bool) {
        let record = self.table.get(id);
        if record.state != State::Reclaiming || record.ticket != area.ticket {
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

    /// The first range from `at` on that is `wanted`, or one before which there were too many to look at under
    /// the lock; [`RangeId::NONE`] after the last.
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

    /// Skips ranges that nobody uses or just takes from their file; see [`Window::find`].
    pub(crate) fn skip_unused(&self, at: RangeId) -> RangeId {
        self.find(at, |record| {
            record.users > 0 || record.state == State::Reclaiming
        })
    }

    /// Skips ranges of which the server owes no answer; see [`Window::find`].
    pub(crate) fn skip_answered(&self, at: RangeId) -> RangeId {
        self.find(at, |record| match record.state {
            State::Setup => record.error == 0,
            State::Mapped => record.upgrading,
            State::Removing => true,
            _ => false,
        })
    }

    /// Any range that can be taken.
    pub(crate) fn take_any(&mut self) -> Option<Area> {
        self.plan_reclaim(0)
    }

    /// Takes what `file` has, because its inode goes away: not all at once, since a file may have all
    /// of a large window and this is under its lock.
    ///
    /// The server is not asked for anything: whoever needs the room will.
    pub(crate) fn forget(&mut self, file: &F) -> Forgot {
        for taken in 0..AT_ONCE {
            let Some(id) = self.ranges_of(file).first.some() else {
                return Forgot::All;
            };
            let record = self.table.get(id);
            let (state, upgrading) = (record.state, record.upgrading);
            if state == State::Reclaiming || record.pins > 0 {
                // Who waits for what was taken before that one is told first.
                return match taken {
                    0 => Forgot::Busy,
                    _ => Forgot::Some,
                };
            }
            self.unlink_file(id);
            self.changed();
            if state != State::Mapped {
                // The server has not answered. When it does, nobody needs it any more.
                continue;
            }
            self.leave_lru(id);
            if upgrading {
                // As if it had been asked for only now.
                let epoch = self.limit.ask(false);
                let record = self.table.get_mut(id);
                record.state = State::Setup;
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

    /// A page of the window failed: no more use of the range that it is in.
    ///
    /// If a file has it mapped, that is returned, and the inode stays until [`Window::unpin`].
    pub(crate) fn fail(&mut self, page: RangeId) -> Option<Victim<F>> {
        let id = self.table.head_of(page).some()?;
        let record = self.table.get_mut(id);
        record.poisoned |= !matches!(record.state, State::Clean | State::Stale | State::Retired);
        match record.state {
            State::Clean | State::Stale => {
                if record.state == State::Stale {
                    // Nobody will ask for it to be removed.
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

    /// Ends what [`Window::fail`] began. The area, if any, is to be reclaimed by the caller.
    pub(crate) fn unpin(&mut self, id: RangeId) -> Option<Area> {
        let record = self.table.get_mut(id);
        record.pins = record.pins.saturating_sub(1);
        self.changed();
        self.may_reclaim(id).then(|| self.reclaim_one(id))
    }
}
