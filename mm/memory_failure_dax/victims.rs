// SPDX-License-Identifier: GPL-2.0

//! Tasks that lost memory and are to be signalled: those of one file, or of all files that share
//! it.
//!
//! Signalling walks every process, which costs the same for one victim as for a thousand. So they
//! are collected over all files of a failure, and signalled together.

use super::{
    tasks::{
        is_anyone_told,
        tell,
        Hit, //
    },
    Flags, //
};
use kernel::{
    bindings,
    mm::without_io,
    prelude::*, //
};

/// The list has room for this many hits at first.
const FIRST_ROOM: usize = 32;

/// At most this many are collected; then they are signalled.
const MOST_ROOM: usize = 1 << 16;

/// The tasks to signal, and what they lost.
#[must_use]
pub(crate) struct Victims {
    hits: KVVec<Hit>,
    flags: Flags,
    /// Whether any process wants to be signalled early; [`None`] until the first check.
    takers: Option<bool>,
}

impl Victims {
    /// An empty list.
    pub(crate) fn new(flags: Flags) -> Self {
        Self {
            hits: KVVec::new(),
            flags,
            takers: None,
        }
    }

    /// The flags of the failure.
    pub(crate) fn flags(&self) -> Flags {
        self.flags
    }

    /// Whether any process wants to be signalled early; checked once for all files.
    fn has_takers(&mut self) -> bool {
        let flags = self.flags;
        *self.takers.get_or_insert_with(|| is_anyone_told(flags))
    }

    /// Collects the hits that `each` passes to its argument, until that returns false.
    ///
    /// `each` returns false then. It may be called more than once, starts from the beginning every
    /// time, and must not sleep while it holds locks. Without memory for all hits, the rest are
    /// signalled immediately. Sleeps.
    pub(crate) fn gather(&mut self, each: impl Fn(&mut dyn FnMut(Hit) -> bool) -> bool) {
        if !self.has_takers() {
            return;
        }
        let mut room = 1;
        loop {
            let no_more = !self.make_room(room);
            let before = self.hits.len();
            let all = each(&mut |hit| match self.hits.push_within_capacity(hit) {
                Ok(()) => true,
                Err(refused) if no_more => {
                    tell(&mut [refused.0], self.flags);
                    true
                }
                Err(_) => false,
            });
            if all {
                break;
            }
            self.hits.truncate(before);
            room = room.saturating_mul(4).max(FIRST_ROOM);
        }
    }

    /// Makes room for `room` more hits; false if that is not possible.
    ///
    /// Signals the collected ones if the list is full.
    fn make_room(&mut self, room: usize) -> bool {
        let is_free = |hits: &KVVec<Hit>| hits.capacity() - hits.len() >= room;
        if is_free(&self.hits) {
            return true;
        }
        if self.hits.len().saturating_add(room) > MOST_ROOM {
            self.tell();
        }
        if room > MOST_ROOM {
            return is_free(&self.hits);
        }
        // Writeback to free memory may wait for the task that reported the failure.
        let more = room.max(FIRST_ROOM);
        if without_io(|| self.hits.reserve(more, GFP_KERNEL)).is_err() {
            self.tell();
        }
        is_free(&self.hits)
    }

    /// Signals the collected ones, and empties the list. Sleeps.
    pub(crate) fn tell(&mut self) {
        tell(&mut self.hits, self.flags);
        self.hits.clear();
    }

    /// # Safety
    ///
    /// `raw` is all zeroes except its flags, or from [`Victims::into_raw`] and not in use
    /// elsewhere.
    unsafe fn from_raw(raw: bindings::mf_dax_victims) -> Self {
        let hits = if raw.room == 0 {
            KVVec::new()
        } else {
            // SAFETY: The function's contract: from `into_raw()`.
            unsafe { KVVec::from_raw_parts(raw.hits.cast(), raw.count, raw.room) }
        };
        Self {
            hits,
            flags: Flags::new(raw.mf_flags),
            takers: (raw.takers != 0).then_some(raw.takers > 0),
        }
    }

    fn into_raw(self) -> bindings::mf_dax_victims {
        let (hits, count, room) = self.hits.into_raw_parts();
        bindings::mf_dax_victims {
            hits: hits.cast(),
            count,
            room,
            mf_flags: self.flags.bits(),
            takers: self.takers.map_or(0, |takers| if takers { 1 } else { -1 }),
        }
    }

    /// Calls `f` with the list that `raw` represents.
    ///
    /// # Safety
    ///
    /// As of [`Victims::from_raw`], and `raw` is valid.
    pub(crate) unsafe fn with_raw<R>(
        raw: *mut bindings::mf_dax_victims,
        f: impl FnOnce(&mut Self) -> R,
    ) -> R {
        // SAFETY: The function's contract. What is written back below takes the place of what is
        // read.
        let mut this = unsafe { Self::from_raw(raw.read()) };
        let result = f(&mut this);
        // SAFETY: The function's contract.
        unsafe { raw.write(this.into_raw()) };
        result
    }

    /// Signals the tasks of `raw`, which is empty afterwards.
    ///
    /// # Safety
    ///
    /// As of [`Victims::with_raw`].
    pub(crate) unsafe fn tell_raw(raw: *mut bindings::mf_dax_victims) {
        // SAFETY: The function's contract.
        let mut this = unsafe { Self::from_raw(raw.read()) };
        this.tell();
        let flags = this.flags;
        // The memory of the list is freed as well.
        drop(this);
        // SAFETY: The function's contract.
        unsafe { raw.write(Self::new(flags).into_raw()) };
    }
}
