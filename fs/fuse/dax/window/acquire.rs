// SPDX-License-Identifier: GPL-2.0

//! How a task comes by the range that has a page of a file.
//!
//! The task asks the window what to do, does it without the lock, and asks again. Each answer but
//! [`Step::Wait`], [`Step::Drain`] and [`Step::Join`] has the task do something that others may be
//! waiting for, so that there is always one that goes on:
//!
//! - A range that is mapped serves the task that had it mapped at least once, because it is in that
//!   task's use before the server is asked. So with a single range, however many tasks there are,
//!   each answer of the server is one page fault or copy done.
//! - A task that uses a range waits for no other range: it gives back the first before it asks for
//!   the second. So no two tasks wait for each other's.
//! - Where all that a task could take is in use, the ranges that were used longest ago get no new
//!   users until they were taken, so that uses which overlap do not keep it out.
//! - A task that waits for an answer of the server is woken by every answer, one that waits for
//!   anything else by every change. A fatal signal ends each wait of a task.
//! - A range whose pages cannot be taken, because of references to them (direct I/O, RDMA) that may
//!   last, goes to the end of the queue; when that was so a number of times in a row, the task
//!   sleeps a little, since nobody tells when references go.

use super::{
    table::Room,
    units::{
        FilePage,
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

/// After so many ranges in a row that could not be taken, a task sleeps.
const BUSY_TRIES: u32 = 16;

/// How often a task asks for what the server refuses for want of something. A limit that is lower than
/// it was costs one or a few; a server that refuses one file and maps others would be asked for ever.
const WANTS: u32 = 32;

/// How many steps a block that is mapped ahead may take: another may have to be taken first, or the
/// pieces that there are of it.
const STEPS_AHEAD: u32 = 10;

/// How often [`settle`] sleeps, which takes some seconds.
const ANSWER_TRIES: u32 = 250;

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

/// The lock around a [`Window`], and what has to be done without it.
pub(crate) trait Platform<F: File> {
    /// Runs `f` with nobody else at the window; then wakes those in [`Platform::wait`] if
    /// [`Window::changes`] has changed.
    fn update<R>(&self, f: impl FnOnce(&mut Window<F>) -> R) -> R;

    /// Runs `f`, with nobody else at the window, until it gives a result or a fatal signal comes.
    /// Sleeps in between; `f` must change nothing that others wait for unless it gives a result.
    fn wait<R>(&self, f: impl FnMut(&mut Window<F>) -> Option<R>) -> Result<R, Killed>;

    /// As above, for what only changes with [`Window::answers`].
    fn wait_for_answer<R>(&self, f: impl FnMut(&mut Window<F>) -> Option<R>) -> Result<R, Killed> {
        self.wait(f)
    }

    /// As [`Platform::wait`], whatever signals come.
    ///
    /// Where signals stay until they are taken this has to sleep in spite of them.
    fn wait_always<R>(&self, mut f: impl FnMut(&mut Window<F>) -> Option<R>) -> R {
        loop {
            if let Ok(result) = self.wait(&mut f) {
                return result;
            }
        }
    }

    /// Sleeps for a moment.
    fn pause(&self) -> Result<(), Killed>;

    /// Sends a request; [`Window::setup_done`] follows at any time, or has come already. On an
    /// error, a negative error number, it will not follow.
    fn send_setup(&self, file: &F, setup: Setup) -> Result<(), i32>;

    /// Has the server remove some stale ranges: takes them by [`Window::take_stale`] and sends
    /// requests; [`Window::removed`] follows for each. On an error, a negative error number, none
    /// was taken.
    fn send_removes(&self) -> Result<(), i32>;

    /// Takes the pages of a range from page tables and caches of its file, whose inode stays until
    /// [`Window::reclaimed`]. False if somebody has references to some. Does not wait for the
    /// server, nor for memory.
    fn drop_pages(&self, file: &F, page: FilePage, order: u8) -> bool;

    /// Allocates room; sleeps.
    fn room(&self) -> Result<Room<F>> {
        Room::new()
    }
}

/// What a task wants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Want {
    /// Which page of the file.
    pub(crate) page: FilePage,
    /// How many pages the file has.
    pub(crate) file_pages: u64,
    /// For writing.
    pub(crate) write: bool,
}

/// Gets the range that has a page of `file`, for use until [`Window::release`].
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

/// As above; `drains` says whether the task has called [`Window::drain`].
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
                // What it waits for now is the server: no other task is kept out for that.
                end_drain(platform, drains);
                join(platform, id, want.write)
            }
            Step::Start(setup) => {
                // As above.
                end_drain(platform, drains);
                if let Err(error) = start(platform, file, setup) {
                    platform.update(|window| window.release(setup.id));
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
                // What is not needed is freed here, without the lock.
                let _unneeded = platform.update(|window| window.give_room(id, room));
                continue;
            }
            Step::Wait(seen) => {
                // The page may have come into what is drained, maybe by this task alone: then the end
                // of that is what it waits for.
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
            // Mappings of other files succeed meanwhile, so only the task knows how often.
            (_, Poll::Wanting(error)) if wants == WANTS => return Err(Failure::Refused(error)),
            (_, Poll::Wanting(_)) => wants += 1,
            (_, Poll::Again | Poll::Pending) => {}
        }
    }
}

/// Waits for the answer about a range that the task uses.
fn join<F: File>(
    platform: &impl Platform<F>,
    id: RangeId,
    write: bool,
) -> Result<(RangeId, Poll), Killed> {
    let polled = platform.wait_for_answer(|window| match window.poll(id, write) {
        Poll::Pending => None,
        poll => Some(poll),
    });
    match polled {
        Ok(poll) => Ok((id, poll)),
        Err(Killed) => {
            // The request goes on. What comes of it is for others.
            platform.update(|window| window.release(id));
            Err(Killed)
        }
    }
}

/// Sends a request. If that fails, tasks that wait for the answer start anew.
fn start<F: File>(platform: &impl Platform<F>, file: &F, setup: Setup) -> Result<(), i32> {
    platform
        .send_setup(file, setup)
        .inspect_err(|_| platform.update(|window| window.unasked(setup.id, setup.upgrade)))
}

/// Takes the ranges of an area from their files; false if some could not be taken.
pub(crate) fn reclaim<F: File>(platform: &impl Platform<F>, area: Area) -> bool {
    while let Some(victim) = platform.update(|window| window.reclaim_next(area)) {
        // SAFETY: `reclaimed()` comes below.
        let file = unsafe { victim.file() };
        let taken = platform.drop_pages(file, victim.page, victim.order);
        platform.update(|window| window.reclaimed(area, victim.id, taken));
        if !taken {
            return false;
        }
    }
    true
}

/// Closes the window with `error`, a negative error number, and takes all that files have of it; sleeps.
///
/// When this returns nobody uses a range any more, or will. What is left are ranges that somebody has
/// references to, and those of which the server was asked something that it has not answered.
pub(crate) fn evacuate<F: File>(platform: &impl Platform<F>, error: i32) {
    platform.update(|window| window.close(error));
    // Copies, faults, and tasks that take a range for themselves, all of which began before. None of them
    // waits for the server.
    let mut at = RangeId(0);
    while at != RangeId::NONE {
        at = platform.wait_always(|window| {
            let next = window.skip_unused(at);
            (next != at).then_some(next)
        });
    }
    // A range whose pages are referenced is tried no more than once more.
    let mut tries = platform.update(|window| window.mapped()).saturating_mul(2);
    while tries > 0 && platform.update(|window| window.mapped()) > 0 {
        tries -= 1;
        match platform.update(|window| window.take_any()) {
            Some(area) => {
                reclaim(platform, area);
            }
            // Its memory has just failed, or the server was asked to make it writable.
            None => {
                let _ = platform.pause();
            }
        }
    }
}

/// Waits until the server owes no answer about a range of a closed window, but not for ever.
pub(crate) fn settle<F: File>(platform: &impl Platform<F>) {
    let mut at = RangeId(0);
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

/// Asks for what will probably be wanted next; waits for nothing.
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
