// SPDX-License-Identifier: GPL-2.0

//! Eviction: a file loses ranges because others need the room, because the file is evicted, or
//! because memory failed.

use super::{
    policy::Taken,
    table::{
        Record,
        State,
        Table, //
    },
    units::{
        FilePage,
        RangeId,
        Span,
        WindowBlock,
        WindowPage, //
    },
    Area,
    File,
    Window, //
};

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
pub(super) enum Outlook {
    /// All of it is free or can be evicted.
    Good,
    /// Some of it is in use, by tasks that do not wait, and the rest is good.
    Busy,
    /// Some of it has an unanswered request, or is being evicted by another task.
    Pending,
    /// Some of it is retired.
    Bad,
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

impl<F> Table<F> {
    /// Whether `id` is a mapped range without users except page tables.
    pub(super) fn may_reclaim(&self, id: RangeId) -> bool {
        let record = self.get(id);
        record.state() == State::Mapped
            && record.users == 0
            && record.pins == 0
            && !record.upgrading
    }

    pub(super) fn outlook(&self, area: Span) -> Outlook {
        let mut at = area.start;
        let mut outlook = Outlook::Good;
        while area.has(at) {
            let record = self.get(at);
            match record.state() {
                State::Mapped if self.may_reclaim(at) => {}
                State::Mapped if record.pins == 0 && !record.upgrading => outlook = Outlook::Busy,
                State::Clean | State::Stale => {}
                State::Retired => return Outlook::Bad,
                _ => return Outlook::Pending,
            }
            at = at.after(record.order);
        }
        outlook
    }
}

impl<F: File> Window<F> {
    /// Whether `id` gets no new users.
    #[inline]
    pub(super) fn is_draining(&self, id: RangeId) -> bool {
        self.drain.is_some_and(|drain| drain.has(id))
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
        let Some(drain) = self.policy.to_drain(&self.table, order) else {
            return;
        };
        if self.drain.replace(drain).is_some() {
            // Some tasks wait for the end of the old one.
            self.changed();
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
        let outlook = self.table.outlook(drain);
        if matches!(outlook, Outlook::Busy) {
            return None;
        }
        // If it is not good, because of a failure or another task, it is of no use to any task now.
        self.drain = None;
        self.changed();
        matches!(outlook, Outlook::Good).then(|| self.reclaim_area(drain))
    }

    fn begin_reclaim(&mut self, id: RangeId, ticket: u64) {
        self.policy.unmapped(&mut self.table, id);
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
    pub(super) fn plan_reclaim(&mut self, order: u8) -> Option<Area> {
        self.reclaim_drained(order).or_else(|| {
            let area = self.policy.victim(&mut self.table, order)?;
            Some(self.reclaim_area(area))
        })
    }

    /// Marks what is mapped in an area, all of which may be reclaimed.
    fn reclaim_area(&mut self, area: Span) -> Area {
        let ticket = self.next_ticket();
        let mut at = area.start;
        while area.has(at) {
            let next = at.after(self.table.get(at).order);
            if self.table.get(at).state() == State::Mapped {
                self.begin_reclaim(at, ticket);
            }
            at = next;
        }
        Area {
            start: area.start,
            order: area.order,
            ticket,
        }
    }

    /// The range `id`, if a file has it.
    fn victim(&self, id: RangeId) -> Option<Victim<F>> {
        let record = self.table.get(id);
        Some(Victim {
            id,
            // SAFETY: The range has the file as long as `Victim::file()` gives it to callers.
            file: unsafe { record.file.as_ref()?.handle() },
            page: record.page,
            order: record.order,
        })
    }

    /// The rest of an area to be evicted; [`Window::reclaimed`] has to follow for each range.
    ///
    /// Only the task that got the area calls this.
    pub(crate) fn reclaim_next(&self, area: Area) -> Option<Victim<F>> {
        self.reclaim_from(area, area.start)
    }

    /// The same, from the range `at` of the area on.
    fn reclaim_from(&self, area: Area, mut at: RangeId) -> Option<Victim<F>> {
        while at.align_down(area.order) == area.start {
            let record = self.table.get(at);
            if record.state() == State::Reclaiming && record.ticket == area.ticket {
                return self.victim(at);
            }
            at = at.after(record.order);
        }
        None
    }

    /// The pages of a range were removed from its file, or not, because some have references. In
    /// that case evicting the rest of the area would be useless, and it is left as it is.
    ///
    /// # Safety
    ///
    /// If `taken`, no page table and no file has a page of the range, and no page has references.
    pub(crate) unsafe fn reclaimed(&mut self, area: Area, id: RangeId, taken: bool) {
        let record = self.table.get(id);
        if record.state() != State::Reclaiming || record.ticket != area.ticket {
            return;
        }
        if taken {
            let taken = Taken {
                page: record.page,
                order: record.order,
                used: record.used,
                lives: record.lives.1,
            };
            if let Some(file) = self.unlink_file(id) {
                let mut run = self.run_of(&file);
                self.policy.took(&file, &mut run, &taken);
                self.with_run(&file, |stored| *stored = run);
            }
            self.free.put_stale(&mut self.table, id);
            self.counters.reclaims += 1;
        } else {
            self.counters.busy += 1;
            self.table.get_mut(id).stuck = true;
            // Those before `id` were taken. Each search goes on where the last one ended, because
            // an area may have 512 ranges and all of this is under the lock.
            let mut at = id;
            while let Some(victim) = self.reclaim_from(area, at) {
                at = victim.id;
                self.now_mapped(at);
            }
        }
        self.changed();
    }

    /// The first range from `at` on that is `wanted`, or a range where the search reached its limit
    /// under the lock; [`RangeId::NONE`] after the last.
    fn find(&self, mut at: RangeId, wanted: impl Fn(&Record<F>) -> bool) -> RangeId {
        for _ in 0..AT_ONCE {
            let Some(id) = self.table.head_of(at.page()).some() else {
                return RangeId::NONE;
            };
            let record = self.table.get(id);
            if wanted(record) {
                return at;
            }
            at = id.after(record.order);
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
    ///
    /// # Safety
    ///
    /// No task uses the file or a page of it, and none will.
    pub(crate) unsafe fn forget(&mut self, file: &F) -> Forgot {
        if !file.is_of(self) {
            return Forgot::All;
        }
        for taken in 0..AT_ONCE {
            let Some(id) = self.kept_of(file).ranges.first.some() else {
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
            self.policy.unmapped(&mut self.table, id);
            if upgrading {
                // As if the request to make it writable were for all of it.
                self.limit.ask(false);
                let record = self.table.set_setup(id);
                record.error = 0;
                record.vacant = false;
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
    pub(crate) fn fail(&mut self, page: WindowPage) -> Option<Victim<F>> {
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
                let victim = self.victim(id)?;
                self.table.get_mut(id).pins += 1;
                self.changed();
                Some(victim)
            }
            _ => None,
        }
    }

    /// Takes a block whose memory failed before the window was made out of service.
    ///
    /// To be called before the first use.
    pub(crate) fn retire(&mut self, block: WindowBlock) {
        // Nothing uses it, so there is no file.
        let victim = self.fail(block.first_range().page());
        debug_assert!(victim.is_none());
    }

    /// Ends what [`Window::fail`] began. The caller reclaims the returned area, if any.
    pub(crate) fn unpin(&mut self, id: RangeId) -> Option<Area> {
        let record = self.table.get_mut(id);
        record.pins = record.pins.saturating_sub(1);
        self.changed();
        self.table.may_reclaim(id).then(|| self.reclaim_one(id))
    }
}
