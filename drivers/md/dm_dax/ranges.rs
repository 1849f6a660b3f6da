// SPDX-License-Identifier: GPL-2.0

//! Which bytes of a mapped device are failed bytes of a device below it.
//!
//! This file is plain `no_std` Rust without calls to C: KUnit runs it in the kernel and
//! `tools/testing/host` runs it under proptest against the mapping in the other direction.

use kernel::dax::units::ByteRange;

/// A part of a device that has data of a target: each `every`-th of the target's chunks.
///
/// # Invariants
///
/// `chunk` is not 0, and `first < every`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    /// Where the target begins in the mapped device.
    begin: u64,
    /// The bytes of the device.
    bytes: ByteRange,
    chunk: u64,
    every: u64,
    first: u64,
}

impl Part {
    /// `bytes` of the device have chunk `first` of a target that begins at `begin`, the chunk that is
    /// `every` chunks further, and so on. [`None`] if there are no such.
    pub(crate) fn new(
        begin: u64,
        bytes: ByteRange,
        chunk: u64,
        every: u64,
        first: u64,
    ) -> Option<Self> {
        // INVARIANT: Just checked.
        (chunk != 0 && first < every).then_some(Self {
            begin,
            bytes,
            chunk,
            every,
            first,
        })
    }

    /// The byte of the device after the last one.
    pub(crate) fn end(&self) -> u64 {
        self.bytes.end()
    }

    /// The part's bytes of the device that are among `failed`.
    fn hit(&self, failed: &ByteRange) -> Option<ByteRange> {
        self.bytes.intersection(failed)
    }

    /// The bytes of the mapped device that are the bytes `failed` of the device, in their order.
    pub(crate) fn pieces(&self, failed: &ByteRange) -> Pieces {
        Pieces {
            part: *self,
            rest: self
                .hit(failed)
                .and_then(|hit| hit.relative_to(self.bytes.start())),
        }
    }
}

/// Bytes of a mapped device that follow each other in the device below, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The bytes of the mapped device.
    pub(crate) bytes: ByteRange,
    /// The byte of the device below that the first one is.
    below: u64,
}

/// See [`Part::pieces`].
pub(crate) struct Pieces {
    part: Part,
    /// From the start of the part.
    rest: Option<ByteRange>,
}

impl Iterator for Pieces {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let rest = self.rest.take()?;
        let part = &self.part;
        let (chunk, offset) = (rest.start() / part.chunk, rest.start() % part.chunk);
        let len = if part.every == 1 {
            rest.len()
        } else {
            rest.len().min(part.chunk - offset)
        };
        // A table that 64 bits cannot count has no such bytes: the iterator ends.
        let at = chunk
            .checked_mul(part.every)?
            .checked_add(part.first)?
            .checked_mul(part.chunk)?
            .checked_add(offset)?
            .checked_add(part.begin)?;
        self.rest = ByteRange::from_bounds(rest.start() + len, rest.end());
        Some(Piece {
            bytes: ByteRange::new(at, len)?,
            below: part.bytes.start().checked_add(rest.start())?,
        })
    }
}

/// How many ranges are collected in one look at a table. They are on the stack, so that nothing is
/// allocated for a failure.
pub(crate) const ROOM: usize = 16;

/// How many stretches of a device below are noted that do not touch each other. They are on the
/// stack, and most failures are one stretch.
pub(crate) const STRETCHES: usize = 8;

/// The bytes of a device below that tables have.
///
/// A byte counts once, however many tables have it: else one that two tables have would hide one that
/// no table has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Covered {
    /// No two of them overlap or touch. What there is no room for is not noted, and counts as bytes
    /// that no table has.
    ranges: [Option<ByteRange>; STRETCHES],
}

impl Covered {
    pub(crate) fn new() -> Self {
        Self {
            ranges: [None; STRETCHES],
        }
    }

    /// Adds `range`.
    pub(crate) fn add(&mut self, range: ByteRange) {
        let mut range = range;
        loop {
            let near = self.ranges.iter_mut().find_map(|slot| {
                slot.take_if(|other| other.start() <= range.end() && range.start() <= other.end())
            });
            let Some(near) = near else { break };
            let start = near.start().min(range.start());
            let both = ByteRange::from_bounds(start, near.end().max(range.end()));
            range = both.unwrap_or(range);
        }
        if let Some(slot) = self.ranges.iter_mut().find(|slot| slot.is_none()) {
            *slot = Some(range);
        }
    }

    /// Adds all of `other`.
    pub(crate) fn add_all(&mut self, other: &Covered) {
        for range in other.ranges.iter().flatten() {
            self.add(*range);
        }
    }

    /// Whether all of `range` is there.
    pub(crate) fn has(&self, range: &ByteRange) -> bool {
        let mut ranges = self.ranges.iter().flatten();
        ranges.any(|one| one.intersection(range) == Some(*range))
    }
}

/// What one look at a table has found.
pub(crate) struct Found {
    failed: ByteRange,
    ranges: [Option<ByteRange>; ROOM],
    count: usize,
    /// The byte of the device below that comes after the last range.
    below: u64,
    is_full: bool,
    /// Some bytes may be elsewhere, too.
    is_incomplete: bool,
    /// The bytes that failed and that the table has.
    covered: Covered,
    /// After this byte of the device the table has none of it.
    end: u64,
}

impl Found {
    /// Nothing yet, of the bytes `failed` of a device.
    pub(crate) fn new(failed: ByteRange) -> Self {
        Self {
            failed,
            ranges: [None; ROOM],
            count: 0,
            below: 0,
            is_full: false,
            is_incomplete: false,
            covered: Covered::new(),
            end: 0,
        }
    }

    /// Adds what of `part` has failed.
    pub(crate) fn add(&mut self, part: &Part) {
        self.end = self.end.max(part.end());
        let hit = part.hit(&self.failed);
        let mut left = hit.map_or(0, |hit| hit.len());
        if let Some(hit) = hit {
            self.covered.add(hit);
        }
        for piece in part.pieces(&self.failed) {
            if self.is_full {
                return;
            }
            left = left.saturating_sub(piece.bytes.len());
            self.push(piece);
        }
        self.is_incomplete |= left != 0;
    }

    /// Notes that the table has bytes of which is not known where they are.
    pub(crate) fn add_unknown(&mut self) {
        self.is_incomplete = true;
    }

    /// Whether the bytes that failed are known, but for those that there was no room for.
    pub(crate) fn is_complete(&self) -> bool {
        !self.is_incomplete
    }

    /// Adds a piece, to the last range if it follows that in the device below as well: a holder takes
    /// the frames of a range to follow each other.
    fn push(&mut self, piece: Piece) {
        let Piece { bytes, below } = piece;
        if let Some(at) = self.count.checked_sub(1).filter(|_| self.below == below) {
            if let Some(Some(last)) = self.ranges.get_mut(at) {
                let both = ByteRange::from_bounds(last.start(), bytes.end());
                if let Some(both) = both.filter(|_| last.end() == bytes.start()) {
                    *last = both;
                    self.below = below.saturating_add(bytes.len());
                    return;
                }
            }
        }
        match self.ranges.get_mut(self.count) {
            Some(slot) => {
                *slot = Some(bytes);
                self.count += 1;
                self.below = below.saturating_add(bytes.len());
            }
            None => self.is_full = true,
        }
    }

    /// The bytes of the mapped device that failed, or as many as there is room for.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = ByteRange> + '_ {
        self.ranges.iter().flatten().copied()
    }

    /// The bytes that failed and that the table has.
    pub(crate) fn covered(&self) -> &Covered {
        &self.covered
    }

    /// Whether all `size` bytes of the mapped device failed, and follow each other in the device below.
    pub(crate) fn is_all_of(&self, size: u64) -> bool {
        let all = ByteRange::new(0, size);
        let one = self.count == 1 && !self.is_full && !self.is_incomplete;
        one && all.is_some() && self.ranges.first().copied().flatten() == all
    }

    /// Where the first half ends of what was looked for and may be there.
    fn middle(&self) -> u64 {
        let start = self.failed.start();
        let end = self.failed.end().min(self.end).max(start);
        start + (end - start) / 2
    }
}

/// What follows from [`Search::take`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The ranges are complete and to be notified.
    Notify,
    /// There were too many. Less is looked for next.
    Again,
    /// There are too many for a single byte.
    Never,
}

/// A search for all bytes of a range, with no more ranges at a time than there is room for.
pub(crate) struct Search {
    rest: Option<ByteRange>,
    /// How many bytes are looked for at a time.
    step: u64,
}

impl Search {
    /// For the bytes `failed` of a device.
    pub(crate) fn new(failed: ByteRange) -> Self {
        Self {
            rest: Some(failed),
            step: u64::MAX,
        }
    }

    /// What is to be looked for now; [`None`] when all was.
    pub(crate) fn part(&self) -> Option<ByteRange> {
        let rest = self.rest?;
        ByteRange::new(rest.start(), rest.len().min(self.step))
    }

    /// Goes on after `found`, which was for [`Search::part`].
    pub(crate) fn take(&mut self, found: &Found) -> Next {
        let part = &found.failed;
        if found.is_full {
            self.step = found.middle() - part.start();
            return if self.step == 0 {
                Next::Never
            } else {
                Next::Again
            };
        }
        self.step = self.step.saturating_mul(2);
        self.rest = self.rest.and_then(|rest| {
            // Behind its end the table has nothing of the device.
            ByteRange::from_bounds(part.end(), rest.end().min(found.end))
        });
        Next::Notify
    }
}
