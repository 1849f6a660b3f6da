// SPDX-License-Identifier: GPL-2.0

//! The block device: bios.

use super::{
    device::Pmem,
    failure::Source,
    PmemDriver, //
};
use kernel::{
    badblocks::Badblocks,
    block::{
        bio::{
            Bio,
            Segment, //
        },
        bio_disk, //
    },
    dax,
    dax::units::ByteRange,
    page::PAGE_SIZE,
    pmem::MachineCheck,
    prelude::*,
    sync::{
        aref::ARef,
        Arc, //
    },
};

/// What a disk needs to serve bios.
pub(crate) struct DiskData {
    pub(crate) pmem: Arc<Pmem>,
    pub(crate) dax: Option<ARef<dax::Device>>,
}

#[vtable]
impl bio_disk::Operations for PmemDriver {
    type Data = DiskData;

    #[inline]
    fn submit(data: &DiskData, bio: Bio) {
        let pmem = &*data.pmem;
        if bio.wants_preflush() {
            if pmem.flush_waits && bio.is_nowait() {
                return bio.end(Err(EAGAIN));
            }
            if let Err(error) = pmem.region.flush() {
                return bio.end(Err(error));
            }
        }
        let result = if bio.has_data() {
            let _clock = bio.account();
            transfer(pmem, &bio)
        } else {
            Ok(())
        };
        if result.is_ok() && bio.wants_fua() {
            return pmem.region.flush_and_end(bio);
        }
        bio.end(result)
    }

    fn badblocks(data: &DiskData) -> Option<&Badblocks> {
        Some(data.pmem.poison.view())
    }
}

#[inline]
fn transfer(pmem: &Pmem, bio: &Bio) -> Result {
    // The block layer keeps bios within the disk. This checks the bio as a whole, and the loop
    // copies it piece by piece.
    let all = bio.bytes().ok_or(EIO)?;
    let mut cursor = pmem.window.cursor(pmem.window_of(all).ok_or(EIO)?)?;
    if bio.is_write() {
        for segment in bio.segments() {
            // Checked anew for each segment, because poison may be reported at any time.
            if pmem.poison.exists() && check_good(pmem, &segment).is_err() {
                cursor.skip(&segment)?;
                overwrite(pmem, &segment, bio.is_nowait())?;
                continue;
            }
            match cursor.write(&segment) {
                // A page is unmapped, and what was written before it is of no use by itself.
                Err(EHWPOISON) => overwrite(pmem, &segment, bio.is_nowait())?,
                result => result?,
            }
        }
    } else {
        for segment in bio.segments() {
            if pmem.poison.exists() {
                check_good(pmem, &segment)?;
            }
            if let Err(met) = cursor.read(&segment)? {
                read_again(pmem, &segment, met, bio.is_nowait())?;
            }
        }
    }
    Ok(())
}

/// `EIO` when there is poison in the segment.
#[cold]
fn check_good(pmem: &Pmem, segment: &Segment<'_>) -> Result {
    let range = segment.bytes().ok_or(EIO)?;
    match pmem.poison.first_within(range.sectors_touched()) {
        Some(_) => Err(EIO),
        None => Ok(()),
    }
}

/// Reads a segment again after a first attempt ended with `met`.
///
/// A page that is neither mapped nor on record was repaired before the kernel unmapped it, so it is
/// good: it is mapped again and then read. Anything else is new poison. It is recorded, so that the
/// next reader does not run into it.
#[cold]
fn read_again(pmem: &Pmem, segment: &Segment<'_>, met: MachineCheck, nowait: bool) -> Result {
    let range = segment.bytes().ok_or(EIO)?;
    let mut met = met;
    if !pmem.is_present(range) {
        check_good(pmem, segment)?;
        if nowait {
            return Err(EAGAIN);
        }
        // If it cannot be mapped, the read fails on the same page again.
        let _ = pmem.make_present(range);
        let target = pmem.window_of(range).ok_or(ERANGE)?;
        match pmem.window.cursor(target)?.read(segment)? {
            Ok(()) => return Ok(()),
            Err(again) => met = again,
        }
    }
    let at = range
        .start()
        .saturating_add(met.copied)
        .min(range.end() - 1);
    let byte = ByteRange::new(at, 1).ok_or(EIO)?;
    // If a page is not mapped, none of its sectors can be read.
    let page = ByteRange::new(at & !(PAGE_SIZE as u64 - 1), PAGE_SIZE as u64);
    let met = page.filter(|page| !pmem.is_present(*page)).unwrap_or(byte);
    // No holder is notified, so there is no answer.
    let _ = pmem.failed(met, Source::Io);
    Err(EIO)
}

/// Writes a segment to memory that may be poison or unmapped.
#[cold]
fn overwrite(pmem: &Pmem, segment: &Segment<'_>, nowait: bool) -> Result {
    if nowait {
        // The firmware command may take long.
        return Err(EAGAIN);
    }
    pmem.repair(segment.bytes().ok_or(EIO)?, &mut |part| {
        // Firmware may have cleared the start only; the rest stays as it is.
        let target = pmem.window_of(part).ok_or(ERANGE)?;
        pmem.window.cursor(target)?.write_start(segment, part.len())
    })
}

/// Fills `range` of the data, whole sectors, with zeroes, and repairs poison.
pub(crate) fn write_zeroes(pmem: &Pmem, range: ByteRange) -> Result {
    let mut zero = |part: ByteRange| {
        let zeroes = kernel::pmem::zero_page();
        let mut at = part.start();
        while at < part.end() {
            let left = part.end() - at;
            // CAST: At most a page.
            let chunk = left.min(zeroes.len() as u64) as usize;
            let chunk = zeroes.get(..chunk).ok_or(EINVAL)?;
            pmem.window
                .write_bytes(pmem.geometry.in_window(at), chunk)?;
            at += chunk.len() as u64;
        }
        Ok(())
    };
    if pmem.poison.first_within(range.sectors_touched()).is_none() {
        match zero(range) {
            // A page is unmapped.
            Err(EHWPOISON) => {}
            result => return result,
        }
    }
    pmem.repair(range, &mut zero)
}
