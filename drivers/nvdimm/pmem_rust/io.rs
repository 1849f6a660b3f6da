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
    if bio.is_write() {
        let nowait = bio.is_nowait();
        bio.segments().try_for_each(|segment| write(pmem, &segment, nowait))
    } else {
        bio.segments().try_for_each(|segment| read(pmem, &segment))
    }
}

#[inline]
fn read(pmem: &Pmem, segment: &Segment<'_>) -> Result {
    let range = segment.bytes().ok_or(EIO)?;
    if pmem.poison.first_within(range.sectors_touched()).is_some() {
        return Err(EIO);
    }
    let offset = pmem.geometry.in_window(range.start());
    match pmem.window.read_segment(offset, segment)? {
        Ok(()) => Ok(()),
        Err(met) => {
            // Nobody knew, so remember it: the next reader need not run into it.
            if let Some(line) = ByteRange::new(range.start().saturating_add(met.copied), 1) {
                pmem.poison.add(line.sectors_touched());
            }
            Err(EIO)
        }
    }
}

#[inline]
fn write(pmem: &Pmem, segment: &Segment<'_>, nowait: bool) -> Result {
    let range = segment.bytes().ok_or(EIO)?;
    if pmem.poison.first_within(range.sectors_touched()).is_some() {
        return write_poisoned(pmem, segment, range, nowait);
    }
    pmem.window.write_segment(pmem.geometry.in_window(range.start()), segment)
}

#[cold]
fn write_poisoned(pmem: &Pmem, segment: &Segment<'_>, range: ByteRange, nowait: bool) -> Result {
    if nowait {
        // Firmware may take its time.
        return Err(EAGAIN);
    }
    pmem.repair(range, |part| {
        let offset = pmem.geometry.in_window(part.start());
        if part == range {
            return pmem.window.write_segment(offset, segment);
        }
        // Firmware cleared the start only; the rest stays as it is.
        pmem.window.write_segment_start(offset, segment, part.len())
    })
}

/// Fills `range` of the data, whole sectors, with zeroes, repairing poison.
pub(crate) fn write_zeroes(pmem: &Pmem, range: ByteRange) -> Result {
    let zero = |part: ByteRange| {
        let zeroes = kernel::pmem::zero_page();
        let mut at = part.start();
        while at < part.end() {
            let left = part.end() - at;
            // CAST: At most a page.
            let chunk = left.min(zeroes.len() as u64) as usize;
            let chunk = zeroes.get(..chunk).ok_or(EINVAL)?;
            pmem.window.write_bytes(pmem.geometry.in_window(at), chunk)?;
            at += chunk.len() as u64;
        }
        Ok(())
    };
    if pmem.poison.first_within(range.sectors_touched()).is_some() {
        pmem.repair(range, zero)
    } else {
        zero(range)
    }
}
