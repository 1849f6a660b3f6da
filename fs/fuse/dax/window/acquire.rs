// SPDX-License-Identifier: GPL-2.0

//! How a task acquires the range that has a page of a file.
//!
//! The task asks the window for the next step, does it without the lock, and asks again. Every step
//! except [`Step::Wait`], [`Step::Drain`] and [`Step::Join`] makes progress that other tasks may
//! wait for, so there is always a task that can continue:
//!
//! - A mapped range serves the task that requested it at least once, because that task holds it
//!   before the request is sent. So with a single range and any number of tasks, each answer of the
//!   server completes one page fault or copy.
//! - A task that holds a range waits for no other range: it releases the first before it requests
//!   the second. So no two tasks wait for each other.
//! - If all ranges that a task could evict are in use, the least recently used ones get no new
//!   users until they are evicted, so that overlapping uses do not starve the task.
//! - A task that waits for an answer of the server is woken by every answer; one that waits for
//!   anything else, by every change. A fatal signal ends each wait of a task.
//! - A range that cannot be evicted, because its pages have references (direct I/O, RDMA) that may
//!   last, goes to the end of the queue. After a number of these in a row the task sleeps a little,
//!   because nothing reports when references are dropped.

use super::{
    table::Room,
    units::{
        FilePage,
        FilePages,
        RangeId, //
    },
    Area,
    File,
    Poll,
    Setup,
    Step,
    Window, //
};
use kernel::prelude::*;

/// A task sleeps after this many ranges in a row that could not be evicted.
const BUSY_TRIES: u32 = 16;

/// How many times a task tries what the server refuses for lack of a resource. A limit that has
/// been lowered costs one or a few tries; a server that refuses one file and maps others would be
/// asked forever.
const WANTS: u32 = 32;

/// How many steps mapping a block ahead may take: another block, or the pieces of this one, may
/// have to be evicted first.
const STEPS_AHEAD: u32 = 10;

/// How many times [`settle`] sleeps, which takes some seconds in all.
const ANSWER_TRIES: u32 = 250;

/// How many times [`evacuate`] sleeps, a second in all: a failure of memory is handled in less. What
/// waits for the server is left to [`settle`].
const EVACUATION_PAUSES: u32 = 50;

/// A fatal signal came while waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Killed;

/// Why a task gets no range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// A fatal signal came.
    Killed,
    /// The server was not asked, with this negative error number: there is no memory, or no
    /// connection.
    Unasked(i32),
    /// The server refused, or the window is closed, with this negative error number.
    Refused(i32),
}

impl Failure {
    /// The negative error number.
    pub(crate) fn errno(self) -> i32 {
        match self {
            Failure::Killed => EINTR.to_errno(),
            Failure::Unasked(error) | Failure::Refused(error) => error,
        }
    }
}

impl From<Killed> for Failure {
    fn from(_: Killed) -> Self {
        Failure::Killed
    }
}

/// The lock around a [`Window`], and the operations outside of it.
///
/// # Safety
///
/// [`Platform::drop_pages`] returns true only if no page table and no file has a page of the range
/// any more, and no page has references.
pub(crate) unsafe trait Platform<F: File> {
    /// Runs `f` with exclusive access to the window; then wakes the tasks in [`Platform::wait`] if
    /// [`Window::changes`] has changed.
    fn update<R>(&self, f: impl FnOnce(&mut Window<F>) -> R) -> R;

    /// Runs `f`, with exclusive access to the window, until it gives a result or a fatal signal
    /// comes. Sleeps in between. `f` must not change what others wait for unless it gives a result.
    fn wait<R>(&self, f: impl FnMut(&mut Window<F>) -> Option<R>) -> Result<R, Killed>;

    /// The same, for conditions that change only with [`Window::answers`].
    fn wait_for_answer<R>(&self, f: impl FnMut(&mut Window<F>) -> Option<R>) -> Result<R, Killed> {
        self.wait(f)
    }

    /// As [`Platform::wait`], but signals do not end it.
    ///
    /// Platforms on which pending signals would end each sleep must override it.
    fn wait_always<R>(&self, mut f: impl FnMut(&mut Window<F>) -> Option<R>) -> R {
        loop {
            if let Ok(result) = self.wait(&mut f) {
                return result;
            }
        }
    }

    /// Sleeps briefly.
    fn pause(&self) -> Result<(), Killed>;

    /// Sends a request; [`Window::setup_done`] follows at any time, or has come already. After an
    /// error, which is a negative error number, it does not follow.
    fn send_setup(&self, file: &F, setup: Setup) -> Result<(), i32>;

    /// Sends requests to remove stale ranges, which it takes by [`Window::take_stale`];
    /// [`Window::removed`] follows for each. After an error, which is a negative error number, no
    /// range was taken.
    fn send_removes(&self) -> Result<(), i32>;

    /// Removes the pages of a range from page tables and from its file, whose inode stays until
    /// [`Window::reclaimed`]. False if some of them have references. Does not wait for the server
    /// or for memory.
    fn drop_pages(&self, file: &F, page: FilePage, order: u8) -> bool;

    /// Allocates room; sleeps.
    fn room(&self) -> Result<Room<F>> {
        Room::new()
    }
}

/// The page that a task wants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Want {
    /// The number of the page.
    pub(crate) page: FilePage,
    /// The size of the file.
    pub(crate) file_pages: FilePages,
    /// Whether it is for writing.
    pub(crate) write: bool,
}

/// Acquires the range that has a page of `file`, until [`Window::release`].
///
/// Sleeps. The caller must not use another range of the window.
pub(crate) fn acquire<F: File>(
    platform: &impl Platform<F>,
    file: &F,
    want: Want,
) -> Result<RangeId, Failure> {
    let mut drains = false;
    let result = acquire_draining(platform, file, want, &mut drains);
    end_drain(platform, &mut drains);
    result
}

/// Calls [`Window::drained`] if it has to follow.
fn end_drain<F: File>(platform: &impl Platform<F>, drains: &mut bool) {
    if core::mem::take(drains) {
        platform.update(|window| window.drained());
    }
}

/// The same; `drains` says whether the task has called [`Window::drain`].
fn acquire_draining<F: File>(
    platform: &impl Platform<F>,
    file: &F,
    want: Want,
    drains: &mut bool,
) -> Result<RangeId, Failure> {
    let mut busy = 0;
    let mut wants = 0;
    loop {
        let step =
            platform.update(|window| window.request(file, want.page, want.file_pages, want.write));
        let polled = match step {
            Step::Held { id, ahead } => {
                if ahead {
                    map_ahead(platform, file, want, false);
                }
                return Ok(id);
            }
            Step::Join(id) => {
                // The task now waits for the server, and no other task is blocked for that.
                end_drain(platform, drains);
                join(platform, id, want.write)
            }
            Step::Start(setup) => {
                // As above.
                end_drain(platform, drains);
                if let Err(error) = start(platform, file, setup) {
                    // SAFETY: The task has it since the step, and uses nothing of it.
                    platform.update(|window| unsafe { window.release(setup.id) });
                    return Err(Failure::Unasked(error));
                }
                if !setup.upgrade {
                    map_ahead(platform, file, want, true);
                }
                join(platform, setup.id, want.write)
            }
            Step::Reclaim(area) => {
                busy = if reclaim(platform, area) { 0 } else { busy + 1 };
                if busy > BUSY_TRIES {
                    platform.pause()?;
                    busy = 0;
                }
                continue;
            }
            Step::Remove => {
                platform.send_removes().map_err(Failure::Unasked)?;
                continue;
            }
            Step::NeedsRoom(id) => {
                let room = platform.room();
                let room = room.map_err(|error| Failure::Unasked(error.to_errno()))?;
                // Records that are not needed are freed here, without the lock.
                let _unneeded = platform.update(|window| window.give_room(id, room));
                continue;
            }
            Step::Wait(seen) => {
                // The page may be in the drained area by now, maybe mapped by this task. Then the
                // task waits for the end of the drain itself.
                end_drain(platform, drains);
                platform.wait(|window| (window.changes() != seen).then_some(()))?;
                continue;
            }
            Step::Drain(order, seen) => {
                let first = !core::mem::replace(drains, true);
                platform.update(|window| window.drain(order, first));
                platform.wait(|window| (window.changes() != seen).then_some(()))?;
                continue;
            }
            Step::Fail(error) => return Err(Failure::Refused(error)),
        };
        match polled? {
            (id, Poll::Held) => return Ok(id),
            (_, Poll::Failed(error)) => return Err(Failure::Refused(error)),
            // Mappings of other files succeed meanwhile, so only the task can count its tries.
            (_, Poll::Wanting(error)) if wants == WANTS => return Err(Failure::Refused(error)),
            (_, Poll::Wanting(_)) => wants += 1,
            (_, Poll::Again | Poll::Pending) => {}
        }
    }
}

/// Waits for the answer about a range that the task holds.
fn join<F: File>(
    platform: &impl Platform<F>,
    id: RangeId,
    write: bool,
) -> Result<(RangeId, Poll), Killed> {
    // SAFETY: The callers hold it, and the wait ends with the first result that is not pending.
    let polled = platform.wait_for_answer(|window| match unsafe { window.poll(id, write) } {
        Poll::Pending => None,
        poll => Some(poll),
    });
    match polled {
        Ok(poll) => Ok((id, poll)),
        Err(Killed) => {
            // The request continues. Its result is for other tasks.
            // SAFETY: As above.
            platform.update(|window| unsafe { window.release(id) });
            Err(Killed)
        }
    }
}

/// Sends a request. If that fails, tasks that wait for the answer start again.
fn start<F: File>(platform: &impl Platform<F>, file: &F, setup: Setup) -> Result<(), i32> {
    platform
        .send_setup(file, setup)
        .inspect_err(|_| platform.update(|window| window.unasked(setup.id, setup.upgrade)))
}

/// Evicts the ranges of an area; false if some could not be evicted.
pub(crate) fn reclaim<F: File>(platform: &impl Platform<F>, area: Area) -> bool {
    while let Some(victim) = platform.update(|window| window.reclaim_next(area)) {
        // SAFETY: `reclaimed()` comes below.
        let file = unsafe { victim.file() };
        let taken = platform.drop_pages(file, victim.page, victim.order);
        // SAFETY: The platform says whether the pages are taken.
        platform.update(|window| unsafe { window.reclaimed(area, victim.id, taken) });
        if !taken {
            return false;
        }
    }
    true
}

/// Closes the window with `error`, a negative error number, and evicts the ranges of all files.
/// Sleeps.
///
/// When this returns, no task uses a range or will use one. The exceptions are ranges with pages
/// that have references, and those with a request that the server has not answered.
pub(crate) fn evacuate<F: File>(platform: &impl Platform<F>, error: i32) {
    platform.update(|window| window.close(error));
    // Copies, faults and evictions that began before. None of them waits for the server: a fault
    // that finds `invalidate_lock` taken gives its range back before it waits.
    let mut at = RangeId::FIRST;
    while at != RangeId::NONE {
        at = platform.wait_always(|window| {
            let next = window.skip_unused(at);
            (next != at).then_some(next)
        });
    }
    // A range with references to its pages is tried once more at most.
    let mut tries = platform.update(|window| window.mapped()).saturating_mul(2);
    let mut pauses = EVACUATION_PAUSES;
    while tries > 0 && pauses > 0 && platform.update(|window| window.mapped()) > 0 {
        match platform.update(|window| window.take_any()) {
            Some(area) => {
                tries -= 1;
                reclaim(platform, area);
            }
            // Its memory has just failed, or a request to make it writable is pending.
            None => {
                pauses -= 1;
                let _ = platform.pause();
            }
        }
    }
}

/// Waits, for a limited time, until all requests about ranges of a closed window are answered.
pub(crate) fn settle<F: File>(platform: &impl Platform<F>) {
    let mut at = RangeId::FIRST;
    let mut tries = ANSWER_TRIES;
    while at != RangeId::NONE && tries > 0 {
        let next = platform.update(|window| window.skip_answered(at));
        if next == at {
            tries -= 1;
            let _ = platform.pause();
        }
        at = next;
    }
}

/// Requests what will probably be needed next, and does not wait.
fn map_ahead<F: File>(platform: &impl Platform<F>, file: &F, want: Want, missed: bool) {
    let depth = platform.update(|window| window.depth_ahead(file, want.page, missed));
    let mut first = true;
    let mut left = depth.saturating_mul(STEPS_AHEAD);
    let mut started = 0;
    while started < depth && left > 0 {
        left -= 1;
        let step = platform
            .update(|window| window.request_ahead(file, want.file_pages, want.write, first));
        match step {
            Step::Start(setup) => {
                if start(platform, file, setup).is_err() {
                    break;
                }
                started += 1;
                first = false;
            }
            Step::Reclaim(area) if reclaim(platform, area) => {}
            _ => break,
        }
    }
}
