// SPDX-License-Identifier: GPL-2.0

//! Overwriting poisoned memory so that it is good again.
//!
//! The order matters. Readers are held off by the record of poison, and by nothing else, so it is
//! cleared only when
//!
//! 1. where firmware has a command for it, firmware says that the media is good;
//! 2. the pages are in the direct map again, for the writer and then for readers;
//! 3. the caches hold nothing of what was there before;
//! 4. the new data is written, whole cache lines of it; and
//! 5. it was read back without a machine check.
//!
//! If poison is reported while a repair is at work, it begins again; `ledger.rs` has the proof that
//! none is forgotten. It also begins again if a page is unmapped under it: that is done by the
//! kernel, some time after everybody was told of a failure. If the repair is over by then, the
//! page is good, and not mapped. No copy of ours relies on the mapping: one that meets such a page
//! maps it again (`io.rs`). `dax_ops.rs` gives out addresses to others, whose copies do: before it
//! does, it looks at the pages that the kernel was ever told of (`Poison::suspect()`).
//!
//! Where firmware has no command, the machine has to survive what is read back, or poison stays
//! ([`Pmem::can_repair`]). The stores and the flushes before that may meet poison, too: their
//! entries in the exception table say that the kernel can go on after a machine check
//! (drivers/dax/pmem_clflush.c).
//!
//! C does not ask whether firmware has the command: without it, a repairing write fails for ever.
//! It maps pages only if they are marked, though the mark may be on another page of the folio, and
//! only whole ones, though a write may be a sector long: then it touches unmapped memory.

use super::{
    device::Pmem,
    failure::Source,
    nd::region::Region, //
};
use kernel::{
    block::sector::SECTOR_SIZE,
    dax::units::ByteRange,
    page::PAGE_SIZE,
    prelude::*, //
};

/// How often to begin: one machine check alone may be reported twice and then unmap the page.
const ATTEMPTS: usize = 8;

/// What an attempt came to: sectors from its start on that are good, and one that is not.
struct Attempt {
    good: Option<ByteRange>,
    bad: Option<ByteRange>,
}

impl Pmem {
    /// Whether there is a way to make poison good.
    pub(crate) fn can_repair(&self) -> bool {
        self.region.can_clear_poison() || Region::can_overwrite_poison()
    }

    /// Overwrites `range` of the data, whole sectors, some of which are poisoned or not mapped.
    ///
    /// `write` is called with the part of `range`, from its start on, that can be written, and
    /// maybe again. Sleeps. `EIO` when not all of `range` is good in the end; the sectors that are
    /// not stay on record, and no others.
    pub(crate) fn repair(
        &self,
        range: ByteRange,
        write: &mut dyn FnMut(ByteRange) -> Result,
    ) -> Result {
        if (range.start() | range.end()) % SECTOR_SIZE != 0 {
            return Err(EIO);
        }
        // Good pages that are only unmapped need no more than to be mapped.
        if !self.can_repair() && self.poison.first_within(range.sectors_touched()).is_some() {
            return Err(EIO);
        }
        for _ in 0..ATTEMPTS {
            let mark = self.begin_repair(range)?;
            let attempt = self.attempt(range, write);
            let (good, bad) = match &attempt {
                Ok(attempt) => (attempt.good, attempt.bad),
                Err(_) => (None, None),
            };
            let done = self.end_repair(range, mark, good, bad);
            match attempt {
                Ok(_) if !done => {}
                Ok(_) if good == Some(range) => return Ok(()),
                Ok(_) => return Err(EIO),
                // A page was unmapped, or a store met poison.
                Err(EHWPOISON) => {}
                Err(error) => return Err(error),
            }
        }
        // The stores met poison in pages that are mapped, maybe where none is on record.
        if self.can_repair() && self.is_present(range) {
            if let Ok(Attempt { bad: Some(bad), .. }) = self.verify(range) {
                // No holder is told, so none answers.
                let _ = self.failed(bad, Source::Io);
            }
        }
        Err(EIO)
    }

    /// Overwrites and reads back; `EHWPOISON` if a page was unmapped meanwhile,
    /// or a store met poison.
    fn attempt(
        &self,
        range: ByteRange,
        write: &mut dyn FnMut(ByteRange) -> Result,
    ) -> Result<Attempt> {
        let by_firmware = self.region.can_clear_poison();
        let usable = if by_firmware {
            self.clear_by_firmware(range)?
        } else {
            range
        };

        self.make_present(usable).map_err(|_| EIO)?;
        self.window
            .invalidate(self.window_of(usable).ok_or(ERANGE)?)?;
        write(usable)?;
        if !by_firmware {
            self.region.flush()?;
        }
        self.verify(usable)
    }

    /// Has firmware clear `range` of the data; returns the sectors from its start on that it did.
    ///
    /// Page by page, as C's callers do: firmware has been seen to clear long ranges unreliably.
    fn clear_by_firmware(&self, range: ByteRange) -> Result<ByteRange> {
        let mut end = range.start();
        while end < range.end() {
            let border = (end / PAGE_SIZE as u64 + 1) * PAGE_SIZE as u64;
            let page = ByteRange::from_bounds(end, border.min(range.end())).ok_or(EIO)?;
            let phys = self.phys_of(page).ok_or(ERANGE)?;
            // What was cleared before that is worth writing.
            let Ok(cleared) = self.region.clear_poison(phys) else {
                break;
            };
            // What firmware cleared of a sector is of no use if it did not clear the rest.
            end += cleared - cleared % SECTOR_SIZE;
            if cleared < page.len() {
                break;
            }
        }
        ByteRange::from_bounds(range.start(), end).ok_or(EIO)
    }

    /// Reads `range` of the data up to the first sector that cannot be read.
    fn verify(&self, range: ByteRange) -> Result<Attempt> {
        let mut sector = [0; SECTOR_SIZE as usize];
        let mut at = range.start();
        let mut bad = None;
        while at < range.end() {
            let offset = self.geometry.in_window(at);
            if self.window.read_bytes(offset, &mut sector)?.is_err() {
                bad = ByteRange::new(at, SECTOR_SIZE);
                break;
            }
            at += SECTOR_SIZE;
        }
        if bad.is_some_and(|bad| !self.is_present(bad)) {
            return Err(EHWPOISON);
        }
        Ok(Attempt {
            good: ByteRange::from_bounds(range.start(), at),
            bad,
        })
    }
}
