// SPDX-License-Identifier: GPL-2.0

//! Memory whose device goes away: it is taken from processes and files, and then waited for.
//!
//! The page structs are freed in the end. So no page table, no file and nothing else may refer to
//! one of them any more, and a reference that user space keeps, by a pipe for one, is waited for
//! without a limit. The wait ends before only as [`RemovalWait::is_over`] says; then the pages stay.

use super::{
    folio::{
        Page,
        Pages, //
    },
    ranges::{
        FileRange,
        Stretch, //
    },
    users::{
        end_use,
        Found, //
    },
    victims::Victims,
    Flags, //
};
use kernel::{
    dax::removal::{
        wait_for_puts,
        RemovalWait, //
    },
    prelude::*,
    str::CStr,
    task::cond_resched, //
};

/// Takes `pages`, which go away, from the processes and files that use them. The device has to be
/// dead: no task gets one of them from now on. Sleeps.
///
/// Without this, what a file or a page table says of its pages would be read after they were freed,
/// where the file system is not one that is notified of the removal. Processes that have a page
/// mapped are notified. Pages that have other references are left to [`wait_until_idle`]; returns
/// whether there are none such.
pub(crate) fn revoke_pages(pages: Pages<'_>) -> bool {
    let mut all_idle = true;
    let mut next = 0;
    while let Some(page) = pages.get(next) {
        let looked = revoke_page(page, false);
        all_idle &= looked.idle;
        next += looked.count;
        cond_resched();
    }
    all_idle
}

/// What [`revoke_page`] found.
struct Looked {
    /// How many pages, from the first one on, this is true of.
    count: usize,
    /// Nothing has the pages any more.
    idle: bool,
}

/// With `force`, a file forgets also a page that is in use.
fn revoke_page(page: Page<'_>, force: bool) -> Looked {
    // Most pages are no file's. A folio of several files does not name them: it is idle when each
    // has given it up.
    let unknown = || Looked {
        count: 1,
        idle: !page.is_in_use(),
    };
    if !page.is_of_file() {
        return unknown();
    }
    let Some(locked) = page.lock() else {
        return unknown();
    };
    let (Some(mapping), Some((stretch, entry))) = (locked.mapping(), locked.place()) else {
        return unknown();
    };
    let rest = FileRange::from_bounds(stretch.pages().start(), entry.end());
    let count = rest.map_or(1, |rest| rest.count());
    let whole = rest
        .and_then(|rest| Stretch::new(rest, page.frame()))
        .unwrap_or(stretch);
    let mut victims = Victims::new(Flags::removal());
    end_use(&mapping, None, &Found::single(whole, entry), &mut victims);
    victims.tell();
    let idle = !locked.is_busy();
    if idle || force {
        locked.forget();
    }
    Looked { count, idle }
}

/// Revokes `pages` of the device `name`, as [`revoke_pages`] does, until none is in use: no
/// reference to a `struct page` is left then.
///
/// `EINTR` if the pages may stay and the wait is over ([`RemovalWait::is_over`]) while some are in use.
/// The files forget these then: whatever gives up an inode would wait for them, and cannot be killed.
/// Sleeps for as long as it takes.
pub(crate) fn wait_until_idle(pages: Pages<'_>, name: &CStr, may_stay: bool) -> Result {
    let mut wait = RemovalWait::new();
    let mut next = 0;
    while let Some(page) = pages.get(next) {
        let looked = revoke_page(page, false);
        cond_resched();
        if looked.idle {
            // It stays so: no mapping is left to take a reference from, and no file.
            next += looked.count;
            continue;
        }
        if may_stay && wait.is_over() {
            say(
                &page,
                name,
                "is in use: the memory stays reserved until the next reboot",
            );
            while let Some(page) = pages.get(next) {
                next += revoke_page(page, true).count;
                cond_resched();
            }
            return Err(EINTR);
        }
        if wait.has_words() {
            say(&page, name, "is in use: the removal waits for it");
        }
        wait.pause();
    }
    // The task that gave up the last reference, maybe before the first look here, may not be done with
    // the page yet.
    wait_for_puts();
    Ok(())
}

/// Says in the log what is true of a page, and of which file it is.
fn say(page: &Page<'_>, name: &CStr, what: &str) {
    // The entry stays locked meanwhile, and with it the inode.
    let locked = page.lock();
    match locked {
        Some(locked) => {
            let (number, fs) = locked.inode();
            pr_warn!(
                "{}: page {:#x} of inode {} of {} {}\n",
                name,
                page.frame().0,
                number,
                fs,
                what
            );
        }
        None if page.is_shared() => {
            pr_warn!(
                "{}: page {:#x} of several files {}\n",
                name,
                page.frame().0,
                what
            )
        }
        None => pr_warn!("{}: page {:#x} of no file {}\n", name, page.frame().0, what),
    }
}
