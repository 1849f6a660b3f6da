// SPDX-License-Identifier: GPL-2.0

//! Overwriting poisoned memory so that it is good again.
//!
//! The order matters. Readers are held off by the record of poison, and by nothing else, so it is
//! cleared only when
//!
//! 1. the media is good, because firmware says so, or
//! 2. where firmware has no such command, because whole cache lines were overwritten and read
//!    back without a machine check;
//! 3. the pages are in the direct map again, for the writer and then for readers;
//! 4. the caches hold nothing of what was there before; and
//! 5. the new data is written.
//!
//! What only shows the record follows it: the bus's list, and the `HWPoison` flags, which are
//! cleared where no sector of the page is on record any more.
//!
//! C does not ask whether firmware has the command: without it, a repairing write fails for ever.
//! It maps pages only if they are marked, though the mark may be on another page of the folio, and
//! only whole ones, though a write may be a sector long: then it touches unmapped memory.

use super::device::Pmem;
use kernel::{
    dax::units::{
        ByteRange,
        SECTOR_SIZE, //
    },
    pmem,
    prelude::*, //
};

/// How often to look again when new poison is reported while a repair is at work.
const VERIFY_ATTEMPTS: usize = 3;

impl Pmem {
    /// Overwrites `range` of the data, whole sectors, some of which are poisoned.
    ///
    /// `write` is called once with the part of `range`, from its start on, that can be written.
    /// Sleeps. `EIO` when not all of `range` is good in the end; the sectors that are not stay on
    /// record, and no others.
    pub(crate) fn repair(
        &self,
        range: ByteRange,
        write: &mut dyn FnMut(ByteRange) -> Result,
    ) -> Result {
        if (range.start() | range.end()) % SECTOR_SIZE != 0 {
            return Err(EIO);
        }
        let by_firmware = self.region.can_clear_poison();
        let mut mark = self.poison.mark();

        let usable = if by_firmware {
            let phys = self.phys_of(range).ok_or(ERANGE)?;
            let cleared = self.region.clear_poison(phys).map_err(|_| EIO)?;
            // What firmware cleared of a sector is of no use if it did not clear the rest.
            ByteRange::new(range.start(), cleared - cleared % SECTOR_SIZE).ok_or(EIO)?
        } else {
            range
        };

        if !self.vmalloc {
            for pfn in self.pfns(usable) {
                pmem::make_present(pfn).map_err(|_| EIO)?;
            }
        }
        let in_window = self.window_of(usable).ok_or(ERANGE)?;
        self.window.invalidate(in_window)?;
        write(usable)?;
        if !by_firmware {
            self.region.flush()?;
        }

        let mut good = if by_firmware {
            Some(usable)
        } else {
            self.verify(usable)
        };
        let mut cleared = None;
        for _ in 0..VERIFY_ATTEMPTS {
            let Some(part) = good else { break };
            if self.poison.clear_since(part.sectors_touched(), mark) {
                cleared = Some(part);
                break;
            }
            // Poison was reported in the meantime: here or elsewhere, only a look can tell.
            mark = self.poison.mark();
            good = self.verify(usable);
        }
        // What stays on our record stays on the bus's too.
        if let Some(part) = cleared {
            if !by_firmware {
                if let Some(phys) = self.phys_of(part) {
                    self.region.forget_poison(phys);
                }
            }
            self.clear_page_flags(part);
        }

        let bad = self.poison.first_within(range.sectors_touched());
        if cleared == Some(range) && bad.is_none() {
            Ok(())
        } else {
            Err(EIO)
        }
    }

    /// Reads `range` of the data, and returns the sectors from its start on that can be read.
    fn verify(&self, range: ByteRange) -> Option<ByteRange> {
        let mut sector = [0; SECTOR_SIZE as usize];
        let mut at = range.start();
        while at < range.end() {
            match self
                .window
                .read_bytes(self.geometry.in_window(at), &mut sector)
            {
                Ok(Ok(())) => at += SECTOR_SIZE,
                _ => break,
            }
        }
        ByteRange::from_bounds(range.start(), at)
    }
}
