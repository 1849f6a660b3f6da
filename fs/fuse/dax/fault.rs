// SPDX-License-Identifier: GPL-2.0

//! Page faults.
//!
//! C functions: `__fuse_dax_fault()` and its callers
//!
//! A fault gets the range that it needs before it takes the locks that keep the file as it is, so
//! that nothing inside of them waits for a range. C finds no range when it holds them all, gives
//! up, waits and starts anew; for a 2 MiB fault it does not even see that, and maps small pages
//! that never become large again. Here they do, as soon as the file has the whole block in one range
//! and nothing of it is mapped: a file that was used here and there is mapped in pieces before.

use super::{
    held::Held,
    vmf::{
        Fault,
        Outcome,
        FALLBACK,
        OOM,
        RETRY,
        SIGBUS, //
    },
    window::{
        acquire::{
            Failure,
            Want, //
        },
        units::{
            BLOCK_PAGES,
            TOP_ORDER, //
        },
    },
};
use kernel::prelude::*;

/// Waits for the range that a fault needs without the lock of its mapping, so that others can map and
/// unmap memory meanwhile.
///
/// That is allowed only at the first try, because a range that is not held may be gone again at
/// the next.
fn wait_unlocked(fault: Fault<'_>, want: Want) -> Outcome {
    // The reference keeps the inode while nothing else does.
    if let Some(kept) = fault.unlock() {
        if let Some(file) = kept.open().inode().file() {
            // Should there be an error, it comes again, unless a signal ends the task.
            drop(Held::wait(file, want));
        }
    }
    RETRY
}

/// What a fault comes to that gets no range.
fn outcome_of(failure: Failure) -> Outcome {
    match failure {
        // The memory manager makes some, and has the fault come again.
        Failure::Unasked(error) if error == ENOMEM.to_errno() => OOM,
        // The server's ENOMEM, too: it would be the same the next time.
        _ => SIGBUS,
    }
}

/// Maps what was faulted for, with the range held; [`None`] when the range is not good any more.
fn map(fault: &Fault<'_>, order: c_uint, write: bool) -> Option<Outcome> {
    let (outcome, error) = fault.map(order, write);
    let failed = outcome & SIGBUS != 0;
    (!failed || error != EAGAIN.to_errno()).then_some(outcome)
}

/// Maps all of a block for a fault for a small page in it, with its range held, if nothing of the block
/// is mapped there; [`None`] when it is to be a small page, or when the range is not good any more.
fn map_block(fault: &Fault<'_>, write: bool) -> Option<Outcome> {
    // What `fs/dax.c` would find out too, but after the table is gone.
    let aligned = (fault.memory_page() ^ fault.page().0) % u64::from(BLOCK_PAGES) == 0;
    if !aligned || !fault.free_empty_table() {
        return None;
    }
    // Another fault may have been first: by small pages, or in another mapping of the file.
    map(fault, TOP_ORDER.into(), write).filter(|outcome| outcome & !FALLBACK != 0)
}

/// Handles a fault for `1 << order` pages, if `write` for writing.
pub(super) fn handle(fault: Fault<'_>, order: c_uint, write: bool) -> Outcome {
    let inode = fault.inode();
    let Some(file) = inode.file() else {
        return SIGBUS;
    };
    let (page, file_pages) = (fault.page(), inode.pages());
    let for_write = fault.for_write();

    let huge = order == c_uint::from(TOP_ORDER);
    // What `fs/dax.c` would find out too, but after a range was mapped for it.
    let end = page
        .align_down(TOP_ORDER)
        .0
        .saturating_add(BLOCK_PAGES.into());
    let may_be_huge = end <= file_pages && (fault.is_shared() || !for_write);
    if order != 0 && !(huge && may_be_huge) {
        return FALLBACK;
    }
    if page.0 >= file_pages {
        return SIGBUS;
    }

    let want = Want {
        page,
        file_pages,
        write: for_write && !fault.copies(),
    };
    loop {
        let held = match Held::now(file, want.page, want.write) {
            Some(held) => Ok(held),
            None if fault.may_unlock() => break,
            None if fault.nowait() => return RETRY,
            None => Held::wait(file, want),
        };
        let held = match held {
            Ok(held) => held,
            Err(failure) => return outcome_of(failure),
        };
        // A huge page has to be in one range.
        let whole = held.place().order == TOP_ORDER;
        if huge && !whole {
            return FALLBACK;
        }
        let block = if whole && may_be_huge && !huge {
            map_block(&fault, write)
        } else {
            None
        };
        let outcome = block.or_else(|| map(&fault, order, write));
        drop(held);
        if let Some(outcome) = outcome {
            return outcome;
        }
    }
    wait_unlocked(fault, want)
}
