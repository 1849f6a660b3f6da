// SPDX-License-Identifier: GPL-2.0

//! Revokes the memory of a removed device from processes and files, and waits until it is not in
//! use.
//!
//! The page structs are freed in the end, so no page table, file or other object may refer to one
//! of them any more. A reference that user space holds, for example by a pipe, is waited for
//! without a limit. Only [`RemovalWait::is_over`] ends the wait early; then the pages stay.

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
    dax::removal::RemovalWait,
    prelude::*,
    str::CStr,
    task::cond_resched, //
};

/// Revokes `pages`, which are being removed, from the processes and files that use them. The device
/// must be dead, so that no task gets one of them from now on. Sleeps.
///
/// Without this, the entries of files and page tables of file systems that are not notified of the
/// removal would lead to freed pages. Processes that map a page are notified. Pages with other
/// references are left to [`wait_until_idle`]. Returns whether there are none of these.
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
    /// How many pages this describes, from the first one on.
    count: usize,
    /// The pages are not in use any more.
    idle: bool,
}

/// With `force`, the entry of a page that is in use is removed from its file as well.
fn revoke_page(page: Page<'_>, force: bool) -> Looked {
    // Most pages belong to no file. A folio of several files does not name them: it is idle when
    // each of them has removed its entry.
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

/// Revokes `pages` of the device `name`, as [`revoke_pages`] does, until none is in use.
///
/// `EINTR` if the pages may stay and the wait is ended early ([`RemovalWait::is_over`]) while some
/// are in use. The entries of these are removed from their files then, because evicting such an
/// inode would wait for them, and cannot be killed. Sleeps for as long as it takes.
pub(crate) fn wait_until_idle(pages: Pages<'_>, name: &CStr, may_stay: bool) -> Result {
    let mut wait = RemovalWait::new();
    let mut next = 0;
    while let Some(page) = pages.get(next) {
        let looked = revoke_page(page, false);
        cond_resched();
        if looked.idle {
            // It stays idle: there is no mapping and no file left to take a reference from.
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
    Ok(())
}

/// Logs the state of a page, and its file.
fn say(page: &Page<'_>, name: &CStr, what: &str) {
    // The entry stays locked meanwhile, which keeps the inode.
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
