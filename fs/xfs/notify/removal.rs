// SPDX-License-Identifier: GPL-2.0

//! A device of a file system goes away: nobody may have its memory mapped when this is through.
//!
//! C goes through every extent of the device by the reverse map, and shuts the file system down
//! when it is done; until then a read fault maps again what was just unmapped, since freezing keeps
//! only writers out. Here the file system is shut down first, so that no fault succeeds any more,
//! and then every file in core is gone through, which needs no reverse map. A page fault that had
//! begun before is waited for in each file.

use super::{
    failure::PAGES_AT_ONCE,
    mount::{
        Device,
        Inode,
        Role,
        Stopped, //
    },
    ranges::{
        page_runs,
        BlockSize,
        Joined, //
    },
};
use kernel::{
    dax::{
        units::ByteRange,
        victims::Victims, //
    },
    prelude::*,
    task::cond_resched,
    time::{
        delay::fsleep,
        Delta, //
    },
};

/// How long a file system may take to be frozen, in seconds: the device still works, so this is
/// for writing what is dirty. Who writes may wait for user space, but not its removal.
const FREEZE_SECONDS: u32 = 30;

/// How long, in milliseconds and for all files together, those are waited for who have pages in
/// another way than mapped: direct I/O, or a process that just ends. Pages in a pipe may stay.
const IDLE_MILLIS: u32 = 10_000;

/// Shuts down the file system and takes the memory of `device` from everyone. Sleeps.
///
/// Ok if no file has any of it in the end.
pub(crate) fn remove(device: &Device<'_>, mf_flags: i32) -> Result {
    device.say(c"Device is about to be removed!");
    let (origin, parts) = device.layout();
    let mut answer = Ok(());
    // Of the parts that have files.
    let mut block = None;
    for part in parts {
        let hit = part.area.hit(None, origin);
        if let Some(bytes) = hit.and_then(|hit| part.area.on_device(hit)) {
            device.report_media(part.role, bytes.sectors_touched());
        }
        if part.role != Role::Log {
            block = Some(part.area.block);
        }
    }

    // Of a file system that was shut down there is nothing to be saved.
    let frozen = (!device.is_shutdown()).then(|| device.freeze(FREEZE_SECONDS));
    device.shut_down_forced();
    if let Some(block) = block {
        let mut patience = IDLE_MILLIS;
        let mut victims = Victims::new(mf_flags);
        let mut files = device.files();
        while let Some(file) = files.next() {
            answer = answer.and(revoke(file, block, &mut victims, &mut patience));
        }
        victims.tell();
        if patience == 0 {
            device.say(c"memory that goes away is still in use");
        }
        // The driver then looks for pages that files have.
        if patience == 0 || files.missed() {
            answer = answer.and(Err(EBUSY));
        }
    }
    drop(frozen);
    answer
}

/// Takes the file from everyone who maps it; `victims` gets who that is.
fn revoke(file: &Inode<'_>, block: BlockSize, victims: &mut Victims, patience: &mut u32) -> Result {
    if let Some(bytes) = file.bytes() {
        file.report_lost(bytes);
    }
    if !file.is_mapped() {
        return Ok(());
    }
    let stopped = file.stop();
    let mut result = Ok(());
    if file.has_users() {
        if file.has_dax() {
            each_run(&stopped, block, |run| {
                for (page, count) in page_runs(run, PAGES_AT_ONCE) {
                    result = result.and(stopped.take(page, count, victims));
                    cond_resched();
                }
            });
        }
        stopped.unmap();
    }
    // Else the memory would go away under them.
    while stopped.is_busy() && *patience > 0 {
        // Who keeps it may do so until he hears of it.
        victims.tell();
        fsleep(Delta::from_millis(1));
        *patience -= 1;
    }
    stopped.forget();
    result
}

/// Calls `f` with each range of the file that has blocks, however many extents these are.
fn each_run(file: &Stopped<'_>, block: BlockSize, mut f: impl FnMut(ByteRange)) {
    let mut joined = Joined::default();
    let mut from = 0;
    while let Some(extent) = file.extent(from) {
        let bytes = block.bytes(extent.offset, extent.count);
        if let Some(run) = bytes.and_then(|bytes| joined.push(bytes)) {
            f(run);
        }
        from = extent.end();
        cond_resched();
    }
    if let Some(run) = joined.finish() {
        f(run);
    }
}
