// SPDX-License-Identifier: GPL-2.0

//! The window of one connection: its lock, its wait queues, and the operations outside of the lock.

use super::{
    device::Slot,
    file::FileRef,
    fuse::Connection,
    request,
    window::{
        acquire::{
            self,
            Killed,
            Platform, //
        },
        evict::Forgot,
        units::{
            order_bytes,
            FilePage,
            WindowBlock,
            WindowPage,
            PAGE_SHIFT,
            TOP_ORDER, //
        },
        Setup,
        Window, //
    },
};
use kernel::{
    bindings, dax, impl_has_delayed_work, new_delayed_work, new_spinlock,
    prelude::*,
    sync::{
        aref::ARef,
        Arc,
        ArcBorrow,
        SpinLock, //
    },
    task::cond_resched,
    types::Opaque,
    workqueue::{
        self,
        DelayedWork,
        WorkItem, //
    },
};

/// The window of FUSE's inodes.
pub(crate) type Manager = Window<FileRef>;

/// How long ranges of evicted inodes may stay mapped at the server, so that one request removes
/// many.
const REMOVE_DELAY_JIFFIES: usize = bindings::CONFIG_HZ as usize / 50 + 1;

/// The alignment of 2 MiB, in the server's encoding.
const BLOCK_SHIFT: u32 = PAGE_SHIFT + TOP_ORDER as u32;

/// How long a task sleeps when all ranges that it could evict have references.
const PAUSE_JIFFIES: c_long = bindings::CONFIG_HZ as c_long / 50 + 1;

struct Shared {
    window: Manager,
    /// How many tasks are in `room`, or about to be.
    for_room: u32,
    /// How many tasks are in `answers`, or about to be.
    for_answers: u32,
    /// Whether [`Conn::shut_down`] was called: `work` is not queued any more.
    over: bool,
}

impl Shared {
    /// The counters that tasks in `room` and in `answers` wait for.
    #[inline]
    fn counts(&self) -> (u64, u64) {
        (self.window.changes(), self.window.answers())
    }

    /// The number of tasks that wait for `reason`.
    fn waiters(&mut self, reason: Reason) -> &mut u32 {
        match reason {
            Reason::Room => &mut self.for_room,
            Reason::Answer => &mut self.for_answers,
        }
    }

    /// Which tasks have to be woken, if the counters were `before`.
    #[inline]
    fn to_wake(&self, before: (u64, u64)) -> Wake {
        let (changes, answers) = before;
        Wake {
            room: self.for_room > 0 && self.window.changes() != changes,
            answers: self.for_answers > 0 && self.window.answers() != answers,
        }
    }
}

/// Which tasks have to be woken.
#[derive(Clone, Copy)]
struct Wake {
    room: bool,
    answers: bool,
}

/// The reason of a wait.
#[derive(Clone, Copy)]
enum Reason {
    /// Any change of the window.
    Room,
    /// An answer of the server. The end of a use of a range does not wake such a task.
    Answer,
}

/// A connection with a window.
#[pin_data]
pub(crate) struct Conn {
    #[pin]
    state: SpinLock<Shared>,
    #[pin]
    room: Opaque<bindings::wait_queue_head>,
    #[pin]
    answers: Opaque<bindings::wait_queue_head>,
    #[pin]
    work: DelayedWork<Conn>,
    /// The connection. It may be used by tasks with an inode of it or with a pending request, and
    /// by `work` until [`Conn::shut_down`].
    fc: *mut bindings::fuse_conn,
    device: ARef<dax::Device>,
    link: Arc<Slot>,
}

// SAFETY: The pointer is only passed on to C, which any task may do; all else is `Send`.
unsafe impl Send for Conn {}
// SAFETY: As above; what changes is under the spinlock, or C's.
unsafe impl Sync for Conn {}

impl_has_delayed_work! {
    impl HasDelayedWork<Self> for Conn { self.work }
}

impl WorkItem for Conn {
    type Pointer = Arc<Conn>;

    fn run(this: Arc<Conn>) {
        let conn = this.as_arc_borrow();
        while conn.update(|window| window.stale()) > 0 {
            if conn.send_removes().is_err() {
                break;
            }
        }
    }
}

/// A queue for waiting tasks.
fn new_queue() -> impl PinInit<Opaque<bindings::wait_queue_head>> {
    Opaque::ffi_init(|queue| {
        // SAFETY: `queue` is valid for writes, the name and the key are static.
        unsafe {
            bindings::__init_waitqueue_head(
                queue,
                c"fuse_conn_dax::queue".as_char_ptr(),
                kernel::static_lock_class!().as_ptr(),
            )
        }
    })
}

impl Conn {
    /// The window of `pages` pages of the device of `link`.
    // Not inlined, as `with()`: a window is about 500 bytes, and a frame has one at most.
    #[inline(never)]
    pub(crate) fn new(
        fc: *mut bindings::fuse_conn,
        device: ARef<dax::Device>,
        link: Arc<Slot>,
        pages: u64,
    ) -> Result<Arc<Self>> {
        let conn = Self::with(fc, device, link, Window::new(pages))?;
        let mut state = conn.state.lock();
        // The default until the server sets it: C has no smaller ranges.
        state.window.set_alignment(BLOCK_SHIFT);
        // SAFETY: Any task may call it.
        let secret = [(); 4].map(|()| unsafe { bindings::get_random_u64() });
        state.window.set_secret(secret);
        drop(state);
        Ok(conn)
    }

    #[inline(never)]
    fn with(
        fc: *mut bindings::fuse_conn,
        device: ARef<dax::Device>,
        link: Arc<Slot>,
        window: Result<Manager>,
    ) -> Result<Arc<Self>> {
        let window = window?;
        Arc::pin_init(
            pin_init!(Self {
                state <- new_spinlock!(
                    Shared { window, for_room: 0, for_answers: 0, over: false },
                    "fuse_conn_dax::state"
                ),
                room <- new_queue(),
                answers <- new_queue(),
                work <- new_delayed_work!("fuse_conn_dax::work"),
                fc,
                device,
                link,
            }),
            GFP_KERNEL,
        )
    }

    /// The `dax_device` of the window.
    #[inline]
    pub(crate) fn device(&self) -> &dax::Device {
        &self.device
    }

    /// Whether `window` is that of this connection.
    pub(crate) fn has(&self, window: &Manager) -> bool {
        let inside = core::ptr::from_ref(window).addr();
        inside.wrapping_sub(core::ptr::from_ref(self).addr()) < size_of::<Self>()
    }

    /// The device's reference to this.
    pub(crate) fn link(&self) -> &Slot {
        &self.link
    }

    /// Runs `f` with exclusive access to the window, and wakes the tasks that wait for its changes.
    #[inline]
    pub(crate) fn update<R>(&self, f: impl FnOnce(&mut Manager) -> R) -> R {
        let mut shared = self.state.lock();
        let before = shared.counts();
        let result = f(&mut shared.window);
        let wake = shared.to_wake(before);
        let unneeded = shared.window.unneeded();
        drop(shared);
        drop(unneeded);
        if wake.room || wake.answers {
            self.wake(wake);
        }
        result
    }

    /// Frees all at once what [`Conn::update`] would free one by one.
    pub(crate) fn free_unneeded(&self) {
        loop {
            let unneeded = self.state.lock().window.unneeded();
            if unneeded.is_none() {
                return;
            }
        }
    }

    #[cold]
    fn wake(&self, wake: Wake) {
        let queues = [(wake.room, &self.room), (wake.answers, &self.answers)];
        for (_, queue) in queues.iter().filter(|(wanted, _)| *wanted) {
            // SAFETY: The queue is initialised.
            unsafe {
                bindings::__wake_up(queue.get(), bindings::TASK_NORMAL, 0, core::ptr::null_mut())
            };
        }
    }

    /// Runs `f` until it gives a result, and sleeps in between; signals end the wait only if
    /// `killable`.
    fn sleep<R>(
        &self,
        killable: bool,
        reason: Reason,
        mut f: impl FnMut(&mut Manager) -> Option<R>,
    ) -> Result<R, Killed> {
        let queue = match reason {
            Reason::Room => &self.room,
            Reason::Answer => &self.answers,
        };
        let state = if killable {
            bindings::TASK_KILLABLE
        } else {
            bindings::TASK_UNINTERRUPTIBLE
        };
        loop {
            let mut shared = self.state.lock();
            let before = shared.counts();
            if let Some(result) = f(&mut shared.window) {
                let wake = shared.to_wake(before);
                drop(shared);
                self.wake(wake);
                return Ok(result);
            }
            if killable && kernel::current!().fatal_signal_pending() {
                return Err(Killed);
            }
            let entry = Opaque::<bindings::wait_queue_entry>::uninit();
            // SAFETY: The entry stays on this stack until `finish_wait()`.
            unsafe {
                bindings::init_wait(entry.get());
                // CAST: The states are small numbers.
                bindings::prepare_to_wait(queue.get(), entry.get(), state as c_int);
            }
            *shared.waiters(reason) += 1;
            drop(shared);
            // SAFETY: No lock of ours is held; the entry is as above.
            unsafe {
                bindings::schedule();
                bindings::finish_wait(queue.get(), entry.get());
            }
            let mut shared = self.state.lock();
            let waiters = shared.waiters(reason);
            *waiters = waiters.saturating_sub(1);
        }
    }

    /// Waits until `f` gives a result; signals do not end the wait.
    pub(crate) fn wait_always<R>(&self, mut f: impl FnMut(&mut Manager) -> Option<R>) -> R {
        loop {
            if let Ok(result) = self.sleep(false, Reason::Room, &mut f) {
                return result;
            }
        }
    }

    fn raw_work(&self) -> *mut bindings::delayed_work {
        // SAFETY: The pointer is that of a field.
        let work = unsafe { DelayedWork::raw_as_work(&raw const self.work) };
        // A `delayed_work` begins with its `work`.
        work.cast()
    }

    /// Blocks new requests and work, because the connection is shut down.
    pub(crate) fn shut_down(self: ArcBorrow<'_, Self>) {
        self.update(|window| window.close(ENOTCONN.to_errno()));
        self.state.lock().over = true;
        // SAFETY: The work was initialised by `new()`; it takes no lock that is held here.
        let pending = unsafe { bindings::cancel_delayed_work_sync(self.raw_work()) };
        if pending {
            // SAFETY: The queue owned a reference, which has no owner now.
            drop(unsafe { Arc::from_raw(core::ptr::from_ref(&*self)) });
        }
    }

    /// Schedules the removal of stale ranges, `delay` jiffies from now.
    fn remove_after(self: ArcBorrow<'_, Self>, delay: usize) {
        let this: Arc<Self> = self.into();
        let shared = self.state.lock();
        // Inside the lock, so that no work is queued after `over` was set.
        if shared.window.stale() > 0 && !shared.over {
            let _ = workqueue::system_long().enqueue_delayed(this, delay);
        }
    }

    /// Schedules the removal of stale ranges for soon.
    pub(crate) fn remove_soon(self: ArcBorrow<'_, Self>) {
        self.remove_after(REMOVE_DELAY_JIFFIES);
    }

    /// Removes all ranges of an inode that is evicted; sleeps.
    ///
    /// # Safety
    ///
    /// No task uses the inode or a page of it, and none will.
    pub(crate) unsafe fn forget(self: ArcBorrow<'_, Self>, file: &FileRef) {
        // SAFETY: The function's contract.
        let mut some = |window: &mut Manager| match unsafe { window.forget(file) } {
            Forgot::Busy => None,
            forgot => Some(forgot),
        };
        while self.wait_always(&mut some) == Forgot::Some {
            cond_resched();
        }
        self.remove_soon();
    }

    /// Ends the use of the memory of a device that is removed. When this returns, only pages with
    /// references may still be in use.
    pub(crate) fn evacuate(self: ArcBorrow<'_, Self>) {
        acquire::evacuate(&self, ENOTCONN.to_errno());
    }

    /// Asks the server to remove all mappings, after [`Conn::evacuate`] and while the device still
    /// accepts requests; sleeps, some seconds if answers are outstanding.
    ///
    /// What is mapped when the device is reset stays mapped for good, because there is no record of
    /// it any more. QEMU does not survive binding the device again.
    pub(crate) fn give_back(self: ArcBorrow<'_, Self>) {
        acquire::settle(&self);
        // Ranges that were mapped since, and those that had references.
        self.evacuate();
        self.remove_after(0);
        // SAFETY: As in `shut_down()`.
        unsafe { bindings::flush_delayed_work(self.raw_work()) };
    }

    /// Takes a block whose memory failed before out of service. To be called before the first use.
    pub(crate) fn retire(&self, block: WindowBlock) {
        self.update(|window| window.retire(block));
    }

    /// Handles the failure of `pages` pages of the window, from `first` on: their users are killed.
    pub(crate) fn fail(
        self: ArcBorrow<'_, Self>,
        first: WindowPage,
        pages: u32,
        flags: c_int,
    ) -> Result {
        let mut result = Ok(());
        for page in (first.0..first.0.saturating_add(pages)).map(WindowPage) {
            let Some(victim) = self.update(|window| window.fail(page)) else {
                continue;
            };
            let within = u64::from(page.0.saturating_sub(victim.id.page().0));
            let failed = FilePage(victim.page.0.saturating_add(within));
            // SAFETY: `unpin()` comes below.
            let inode = unsafe { victim.file() }.inode();
            if let Err(error) = inode.kill_users(failed, flags) {
                result = Err(error);
            }
            if let Some(area) = self.update(|window| window.unpin(victim.id)) {
                acquire::reclaim(&self, area);
            }
            pr_warn!(
                "memory of the DAX window failed at {:#x}: {} KiB are out of service\n",
                page.byte().0,
                order_bytes(victim.order) >> 10,
            );
        }
        self.remove_soon();
        result
    }
}

// SAFETY: `drop_pages()` says what `dax_break_layout()` says.
unsafe impl Platform<FileRef> for ArcBorrow<'_, Conn> {
    fn update<R>(&self, f: impl FnOnce(&mut Manager) -> R) -> R {
        Conn::update(self, f)
    }

    fn wait<R>(&self, f: impl FnMut(&mut Manager) -> Option<R>) -> Result<R, Killed> {
        self.sleep(true, Reason::Room, f)
    }

    fn wait_for_answer<R>(&self, f: impl FnMut(&mut Manager) -> Option<R>) -> Result<R, Killed> {
        self.sleep(true, Reason::Answer, f)
    }

    fn wait_always<R>(&self, f: impl FnMut(&mut Manager) -> Option<R>) -> R {
        Conn::wait_always(self, f)
    }

    fn pause(&self) -> Result<(), Killed> {
        // SAFETY: May sleep here.
        unsafe { bindings::schedule_timeout_killable(PAUSE_JIFFIES) };
        if kernel::current!().fatal_signal_pending() {
            return Err(Killed);
        }
        Ok(())
    }

    fn send_setup(&self, file: &FileRef, setup: Setup) -> Result<(), i32> {
        request::setup((*self).into(), file, setup).map_err(|error| error.to_errno())
    }

    fn send_removes(&self) -> Result<(), i32> {
        // SAFETY: The callers use the connection, as `Conn` says.
        let fc = unsafe { Connection::from_raw(self.fc) };
        request::remove((*self).into(), fc).map_err(|error| error.to_errno())
    }

    fn drop_pages(&self, file: &FileRef, page: FilePage, order: u8) -> bool {
        let start = page.byte();
        let last = start.saturating_add(order_bytes(order) - 1);
        // The inode stays while its range is being reclaimed.
        file.inode().drop_pages(start, last)
    }
}
