// SPDX-License-Identifier: GPL-2.0

//! The removal of a device of a file system: afterwards no task has any of its memory.
//!
//! C walks every extent of the device by the reverse map, and shuts the file system down at the
//! end. Until then a read fault maps again what was just unmapped, because freezing blocks only
//! writers. Here the file system is shut down first, so that every later fault fails. Then every
//! file in core is visited, which needs no reverse map, and page faults that began earlier are
//! waited for in each file.
//!
//! Direct I/O and pipes may have pages that are not mapped any more. They are waited for
//! afterwards, without a limit and with no file locked: I/O that has some of its pages gets the
//! others by page faults, which take that lock, and fail. [`RemovalWait`] documents what ends the
//! wait.
//!
//! A file that is being evicted cannot be visited, and may have entries for as long as a pipe has
//! one of its pages. No file gets entries after the shutdown. So each file with entries is visited,
//! or is found to be evicted afterwards ([`Device::is_evicting`]), or had lost its entries by then.
//! In the second case the driver, which goes by the pages, removes the entries: the evicting task
//! touches a page struct only while the entry of it is there, and with that or all entries locked.

use super::{
    failure::PAGES_AT_ONCE,
    mount::{
        Device,
        Inode,
        Role, //
    },
    ranges::{
        page_runs,
        BlockSize,
        Joined, //
    },
};
use kernel::{
    dax::{
        removal::{
            wait_for_puts,
            RemovalWait, //
        },
        units::ByteRange,
        victims::Victims, //
    },
    mm::pfn::Pfn,
    prelude::*,
    task::cond_resched, //
};

/// How long freezing the file system may take, in seconds. The device still works, so this is the
/// time to write back dirty data. A task that writes may wait for user space; the removal may not.
const FREEZE_SECONDS: u32 = 30;

/// Shuts the file system down and revokes the memory of `device` from all processes and files.
/// Sleeps.
///
/// Ok if no file has any of it in the end. `EBUSY` if one may have: then the driver searches page
/// by page.
pub(crate) fn remove(device: &Device<'_>, mf_flags: i32) -> Result {
    device.say(c"Device is about to be removed!");
    let (origin, parts) = device.layout();
    // Only of the parts that have files.
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

    // A file system that was shut down has nothing left to save.
    let frozen = (!device.is_shutdown()).then(|| device.freeze(FREEZE_SECONDS));
    device.shut_down_forced();
    let Some(block) = block else {
        return Ok(());
    };

    let mut answer = Ok(());
    let mut all_idle = true;
    let mut victims = Victims::new(mf_flags);
    let mut wait = RemovalWait::new();
    let mut files = device.files();
    while let Some(file) = files.next() {
        match revoke(file, block, &mut victims, &wait) {
            Ok(idle) => all_idle &= idle,
            Err(e) => {
                answer = Err(e);
                all_idle = false;
            }
        }
    }
    if device.is_evicting() {
        answer = Err(EBUSY);
    }
    // A task may keep a page until it is notified.
    victims.tell();
    drop(frozen);
    if !all_idle {
        answer = answer.and(wait_until_idle(device, &mut wait));
    }
    answer
}

/// Unmaps the file from all processes, and removes its entries with memory. Adds the processes to
/// be notified to `victims`. Sleeps.
///
/// Returns whether the memory is not in use any more.
fn revoke(
    file: &Inode<'_>,
    block: BlockSize,
    victims: &mut Victims,
    wait: &RemovalWait,
) -> Result<bool> {
    if let Some(bytes) = file.bytes() {
        file.report_lost(bytes);
    }
    if !file.is_mapped() {
        return Ok(true);
    }
    let stopped = file.stop();
    let mut result = Ok(());
    if file.has_users() {
        if file.has_dax() {
            let all = each_run(file, block, wait, |run| {
                for (page, count) in page_runs(run, PAGES_AT_ONCE) {
                    result = result.and(file.take_all(page, count, victims));
                    cond_resched();
                }
            });
            result = result.and(all);
        }
        stopped.unmap();
    }
    let idle = stopped.forget().is_ok();
    result.map(|()| idle)
}

/// Removes the entries with idle memory from a file that no process maps. Sleeps.
///
/// An error names a page that is in use.
fn revoke_again(file: &Inode<'_>) -> Result<(), Pfn> {
    if !file.is_mapped() {
        return Ok(());
    }
    file.stop().forget()
}

/// Waits until no file has memory that is in use. Sleeps.
///
/// `EINTR` if the wait is ended early ([`RemovalWait::is_over`]), `EBUSY` if a file is being evicted
/// and has memory.
fn wait_until_idle(device: &Device<'_>, wait: &mut RemovalWait) -> Result {
    let mut files = device.files();
    while let Some(file) = files.next() {
        while let Err(page) = revoke_again(file) {
            if wait.is_over() {
                give_up(device);
                return Err(EINTR);
            }
            if wait.has_words() {
                device.say_in_use(file, page);
            }
            wait.pause();
        }
    }
    wait_for_puts();
    if device.is_evicting() {
        Err(EBUSY)
    } else {
        Ok(())
    }
}

/// Removes all entries with memory of all files, even if the memory is in use: evicting such an
/// inode would wait for the users, and cannot be killed. The driver makes sure that the page
/// structs stay. Sleeps.
fn give_up(device: &Device<'_>) {
    let mut files = device.files();
    while let Some(file) = files.next() {
        if file.is_mapped() {
            file.stop().forget_all();
        }
        cond_resched();
    }
}

/// Calls `f` with each range of the file that has blocks, however many extents these are.
fn each_run(
    file: &Inode<'_>,
    block: BlockSize,
    wait: &RemovalWait,
    mut f: impl FnMut(ByteRange),
) -> Result {
    let mut joined = Joined::default();
    let mut from = 0;
    loop {
        let extent = match file.extent(from) {
            Ok(Some(extent)) => extent,
            Ok(None) => break,
            // A mapped file has its extents in memory.
            Err(e) if e == ENODATA => break,
            // The holder of the lock fails soon, because the file system is shut down.
            Err(_) if !wait.is_over() => {
                wait.pause();
                continue;
            }
            Err(_) => return Err(EINTR),
        };
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
    Ok(())
}
