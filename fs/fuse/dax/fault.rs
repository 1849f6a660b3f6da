// SPDX-License-Identifier: GPL-2.0

//! Page faults.
//!
//! C functions: `__fuse_dax_fault()` and its callers
//!
//! A fault acquires its range before it takes the locks that protect the file, so that nothing
//! waits for a range with these locks held. It only tries the lock that a truncation holds while
//! the server answers: if that fails, it gives the range back and waits without. C finds that there
//! is no range when it holds them all, and drops them, waits and retries; for a 2 MiB fault it does
//! not even notice, and maps small pages that never become large again. Here they do, as soon as one
//! range has the whole block and nothing of the block is mapped: before that, a file with scattered
//! accesses is mapped in pieces.

use super::{
    held::Held,
    vfs::{
        InvalidateShared,
        WriteFault, //
    },
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

/// What a fault has to wait for.
enum Obstacle {
    /// Its range is not usable yet.
    Range,
    /// The file is being truncated, which takes until the server has answered.
    Truncation,
}

/// Waits without the lock of the fault's mapping, so that other tasks can map and unmap memory
/// meanwhile.
///
/// This is allowed only at the first try, because what was waited for is given up again and may be
/// gone before the next one.
fn wait_unlocked(fault: Fault<'_>, obstacle: Obstacle, want: Want) -> Outcome {
    // The reference keeps the inode, because nothing else does.
    if let Some(kept) = fault.unlock() {
        let inode = kept.open().inode();
        // The retry gets any error again, unless a signal ends the task.
        match (obstacle, inode.file()) {
            (Obstacle::Range, Some(file)) => drop(Held::wait(file, want)),
            (Obstacle::Range, None) => {}
            (Obstacle::Truncation, _) => drop(InvalidateShared::lock(inode)),
        }
    }
    RETRY
}

/// The outcome of a fault that gets no range.
fn outcome_of(failure: Failure) -> Outcome {
    match failure {
        // The memory manager frees some, and retries the fault.
        Failure::Unasked(error) if error == ENOMEM.to_errno() => OOM,
        // This includes the server's ENOMEM, which a retry would get again.
        _ => SIGBUS,
    }
}

/// Maps the pages of a fault, with the range held; [`None`] if the range is not usable any more.
fn map(fault: &Fault<'_>, order: c_uint, stays: &InvalidateShared<'_>) -> Option<Outcome> {
    let (outcome, error) = fault.map(order, stays);
    let failed = outcome & SIGBUS != 0;
    (!failed || error != EAGAIN.to_errno()).then_some(outcome)
}

/// Maps a whole block for a fault for a small page in it, with its range held, if nothing of the
/// block is mapped here; [`None`] if a small page should be mapped, or if the range is not usable
/// any more.
fn map_block(fault: &Fault<'_>, stays: &InvalidateShared<'_>) -> Option<Outcome> {
    // `fs/dax.c` would check this too, but after the table was freed.
    let aligned = (fault.memory_page() ^ fault.page().0) % u64::from(BLOCK_PAGES) == 0;
    if !aligned || !fault.free_empty_table() {
        return None;
    }
    // Another fault may have been faster: with small pages, or in another mapping of the file.
    map(fault, TOP_ORDER.into(), stays).filter(|outcome| outcome & !FALLBACK != 0)
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
    // `fs/dax.c` would check this too, but after a range was mapped for it.
    let may_be_huge = file_pages.has_block(page.block()) && (fault.is_shared() || !for_write);
    if order != 0 && !(huge && may_be_huge) {
        return FALLBACK;
    }
    if !file_pages.has(page) {
        return SIGBUS;
    }

    let want = Want {
        page,
        file_pages,
        write: for_write && !fault.copies(),
    };
    let obstacle = loop {
        // Before the range is held, because a freeze has no end that this task knows.
        let _writes = write.then(|| WriteFault::start(inode));
        let held = match Held::now(file, want.page, want.write) {
            Some(held) => Ok(held),
            None if fault.may_unlock() => break Obstacle::Range,
            None if fault.nowait() => return fault.not_now(),
            None => Held::wait(file, want),
        };
        let held = match held {
            Ok(held) => held,
            Err(failure) => return outcome_of(failure),
        };
        let (held, stays) = match InvalidateShared::try_lock(inode) {
            Some(stays) => (held, stays),
            None => {
                // Other files may need the range before the server has answered.
                drop(held);
                if fault.may_unlock() {
                    break Obstacle::Truncation;
                }
                if fault.nowait() {
                    return fault.not_now();
                }
                let Ok(stays) = InvalidateShared::lock(inode) else {
                    return SIGBUS;
                };
                // With the lock that was waited for: a task that truncates the file again and again
                // would be there first at each new try.
                match Held::now(file, want.page, want.write) {
                    Some(held) => (held, stays),
                    None => continue,
                }
            }
        };
        // A huge page has to be in one range.
        let whole = held.order() == TOP_ORDER;
        if huge && !whole {
            return FALLBACK;
        }
        let block = if whole && may_be_huge && !huge {
            map_block(&fault, &stays)
        } else {
            None
        };
        let outcome = block.or_else(|| map(&fault, order, &stays));
        drop(stays);
        drop(held);
        if let Some(outcome) = outcome {
            return outcome;
        }
    };
    wait_unlocked(fault, obstacle, want)
}
