// SPDX-License-Identifier: GPL-2.0

//! The block device: bios in, copies out.

use super::{
    device::Pmem,
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
    pmem::Cursor,
    prelude::*,
    sync::Arc, //
};

/// What a disk needs to serve bios.
pub(crate) struct DiskData {
    pub(crate) pmem: Arc<Pmem>,
    pub(crate) dax: Option<Arc<dax::Device>>,
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
    // The block layer keeps bios within the disk; what it lets through is checked as a whole here
    // and then copied piece by piece.
    let all = bio.bytes().ok_or(EIO)?;
    let mut cursor = pmem.window.cursor(pmem.window_of(all).ok_or(EIO)?)?;
    if bio.is_write() {
        for segment in bio.segments() {
            // Asked anew for each: poison may be reported at any time.
            if pmem.poison.exists() {
                write_checked(pmem, &mut cursor, &segment, bio.is_nowait())?;
            } else {
                cursor.write(&segment)?;
            }
        }
    } else {
        for segment in bio.segments() {
            if pmem.poison.exists() {
                check_readable(pmem, &segment)?;
            }
            if let Err(met) = cursor.read(&segment)? {
                return Err(record(pmem, &segment, met.copied));
            }
        }
    }
    Ok(())
}

#[cold]
fn check_readable(pmem: &Pmem, segment: &Segment<'_>) -> Result {
    let range = segment.bytes().ok_or(EIO)?;
    match pmem.poison.first_within(range.sectors_touched()) {
        Some(_) => Err(EIO),
        None => Ok(()),
    }
}

/// Remembers poison that nobody knew of, so that the next reader need not run into it.
#[cold]
fn record(pmem: &Pmem, segment: &Segment<'_>, copied: u64) -> Error {
    let met = segment.bytes().and_then(|range| {
        let at = range.start().saturating_add(copied).min(range.end() - 1);
        ByteRange::new(at, 1)
    });
    if let Some(line) = met {
        pmem.poison.add(line.sectors_touched());
    }
    EIO
}

/// Writes a segment when there is poison somewhere on the device.
#[cold]
fn write_checked(
    pmem: &Pmem,
    cursor: &mut Cursor<'_>,
    segment: &Segment<'_>,
    nowait: bool,
) -> Result {
    let range = segment.bytes().ok_or(EIO)?;
    if pmem.poison.first_within(range.sectors_touched()).is_none() {
        return cursor.write(segment);
    }
    if nowait {
        // Firmware may take its time.
        return Err(EAGAIN);
    }
    cursor.skip(segment)?;
    pmem.repair(range, &mut |part| {
        // Firmware may have cleared the start only; then the rest stays as it is.
        let target = pmem.window_of(part).ok_or(ERANGE)?;
        pmem.window.cursor(target)?.write_start(segment, part.len())
    })
}

/// Fills `range` of the data, whole sectors, with zeroes, repairing poison.
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
    if pmem.poison.first_within(range.sectors_touched()).is_some() {
        pmem.repair(range, &mut zero)
    } else {
        zero(range)
    }
}
