// SPDX-License-Identifier: GPL-2.0

//! Those who lost memory and are yet to be told: of one file, or of all that share it.
//!
//! To tell means to go through every process, which costs the same for one victim as for a thousand.
//! So they are gathered over as many files as a failure has, and told together.

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

/// Room for this many hits is made at first.
const FIRST_ROOM: usize = 32;

/// No more than this are gathered: then those who are there are told.
const MOST_ROOM: usize = 1 << 16;

/// Whom to tell, with what was lost.
#[must_use]
pub(crate) struct Victims {
    hits: KVVec<Hit>,
    flags: Flags,
    /// Whether any process wants to be told; [`None`] until somebody asks.
    takers: Option<bool>,
}

impl Victims {
    /// Nobody yet.
    pub(crate) fn new(flags: Flags) -> Self {
        Self {
            hits: KVVec::new(),
            flags,
            takers: None,
        }
    }

    /// What the failure is like.
    pub(crate) fn flags(&self) -> Flags {
        self.flags
    }

    /// Whether anybody wants to be told, and so has to be looked for: asked once for all files.
    fn has_takers(&mut self) -> bool {
        let flags = self.flags;
        *self.takers.get_or_insert_with(|| is_anyone_told(flags))
    }

    /// Puts down those whom `each` calls its argument for, which is until that returns false.
    ///
    /// `each` returns false then. It may be called more than once, begins anew every time, and must
    /// not sleep with what it holds. Without memory for all of them the rest is told at once. Sleeps.
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

    /// Makes room for so many more; false if there cannot be.
    ///
    /// Those who are there are told rather than that.
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
        // What is written out to make room may wait for whoever reported the failure.
        let more = room.max(FIRST_ROOM);
        if without_io(|| self.hits.reserve(more, GFP_KERNEL)).is_err() {
            self.tell();
        }
        is_free(&self.hits)
    }

    /// Tells them, and forgets them. Sleeps.
    pub(crate) fn tell(&mut self) {
        tell(&mut self.hits, self.flags);
        self.hits.clear();
    }

    /// # Safety
    ///
    /// `raw` is all zeroes but for its flags, or of [`Victims::into_raw`] and nobody else's.
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

    /// Lends what `raw` stands for to `f`.
    ///
    /// # Safety
    ///
    /// As of [`Victims::from_raw`], and `raw` is valid.
    pub(crate) unsafe fn with_raw<R>(
        raw: *mut bindings::mf_dax_victims,
        f: impl FnOnce(&mut Self) -> R,
    ) -> R {
        // SAFETY: The function's contract. What is written back below takes the place of what is read.
        let mut this = unsafe { Self::from_raw(raw.read()) };
        let result = f(&mut this);
        // SAFETY: The function's contract.
        unsafe { raw.write(this.into_raw()) };
        result
    }

    /// Tells those whom `raw` stands for; it is as new afterwards.
    ///
    /// # Safety
    ///
    /// As of [`Victims::with_raw`].
    pub(crate) unsafe fn tell_raw(raw: *mut bindings::mf_dax_victims) {
        // SAFETY: The function's contract.
        let mut this = unsafe { Self::from_raw(raw.read()) };
        this.tell();
        let flags = this.flags;
        // The memory of the list goes, too.
        drop(this);
        // SAFETY: The function's contract.
        unsafe { raw.write(Self::new(flags).into_raw()) };
    }
}
