// SPDX-License-Identifier: GPL-2.0

//! Repairs poison by overwriting it.
//!
//! The order matters. Only the record of poison keeps readers off, so it is cleared only when
//!
//! 1. firmware reports that the media is good, if it has a command for it;
//! 2. the pages are in the direct map again, for the writer and then for readers;
//! 3. the caches hold nothing of the old contents;
//! 4. the new data is written, in whole cache lines; and
//! 5. it was read back without a machine check.
//!
//! If poison is reported during a repair, the repair restarts; `ledger.rs` explains why no report
//! is forgotten. It also restarts if the kernel unmaps a page during it, which happens some time
//! after the holders were notified of a failure. If the repair has ended by then, the page is good
//! and not mapped. The driver's own copies do not rely on the mapping: they map such a page again
//! (`io.rs`). The addresses that `dax_ops.rs` gives out are copied by others, which rely on it: so
//! it checks all pages that the kernel was ever notified of (`Poison::suspect()`) first.
//!
//! Without a firmware command, the machine has to survive the reads of the check, or else poison
//! stays ([`Pmem::can_repair`]). The stores and the flushes before may also meet poison: their
//! entries in the exception table let the kernel continue after a machine check
//! (drivers/dax/pmem_clflush.c).
//!
//! C does not check for the firmware command: without it, every repairing write fails. C maps pages
//! only if they are marked, although the mark may be on another page of the folio, and only whole
//! pages, although a write may be a sector long, and then accesses unmapped memory.

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

/// How many times to try: one machine check may be reported twice and then unmap the page.
const ATTEMPTS: usize = 8;

/// The result of an attempt: the good sectors from its start on, and one that is bad.
struct Attempt {
    good: Option<ByteRange>,
    bad: Option<ByteRange>,
}

impl Pmem {
    /// Whether poison can be repaired.
    pub(crate) fn can_repair(&self) -> bool {
        self.region.can_clear_poison() || Region::can_overwrite_poison()
    }

    /// Overwrites `range` of the data, whole sectors, some of which are poison or not mapped.
    ///
    /// Calls `write`, maybe more than once, with the part of `range`, from its start on, that can
    /// be written. Sleeps. `EIO` if not all of `range` is good in the end; exactly the bad sectors
    /// stay on record.
    pub(crate) fn repair(
        &self,
        range: ByteRange,
        write: &mut dyn FnMut(ByteRange) -> Result,
    ) -> Result {
        if (range.start() | range.end()) % SECTOR_SIZE != 0 {
            return Err(EIO);
        }
        // Good pages that are only unmapped just have to be mapped.
        if !self.can_repair() && self.poison.first_within(range.sectors_touched()).is_some() {
            return Err(EIO);
        }
        for _ in 0..ATTEMPTS {
            // Nothing was changed. `EAGAIN` would mean that the write may not wait.
            let repair = self.begin_repair(range).map_err(|_| EIO)?;
            let attempt = self.attempt(range, write);
            let (good, bad) = match &attempt {
                Ok(attempt) => (attempt.good, attempt.bad),
                Err(_) => (None, None),
            };
            let done = self.end_repair(range, repair, good, bad);
            match attempt {
                Ok(_) if !done => {}
                Ok(_) if good == Some(range) => return Ok(()),
                Ok(_) => return Err(EIO),
                // A page was unmapped, or a store met poison.
                Err(EHWPOISON) => {}
                Err(error) => return Err(error),
            }
        }
        // The stores met poison in mapped pages, maybe outside the recorded sectors.
        if self.can_repair() && self.is_present(range) {
            if let Ok(Attempt { bad: Some(bad), .. }) = self.verify(range) {
                // No holder is notified, so there is no answer.
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

    /// Makes firmware clear `range` of the data. Returns the sectors from its start on that it
    /// cleared.
    ///
    /// Page by page, as C's callers do: firmware has been seen to clear long ranges unreliably.
    fn clear_by_firmware(&self, range: ByteRange) -> Result<ByteRange> {
        let mut end = range.start();
        while end < range.end() {
            let border = (end / PAGE_SIZE as u64 + 1) * PAGE_SIZE as u64;
            let page = ByteRange::from_bounds(end, border.min(range.end())).ok_or(EIO)?;
            let phys = self.phys_of(page).ok_or(ERANGE)?;
            // The part that was cleared before is worth writing.
            let Ok(cleared) = self.region.clear_poison(phys) else {
                break;
            };
            // A sector of which firmware cleared only a part is of no use.
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
