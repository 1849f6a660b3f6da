// SPDX-License-Identifier: GPL-2.0

//! The `dax_device`.

use super::{
    block_device::BlockDevice,
    failure::{
        Extent,
        Failure, //
    },
    fs_holder::FsHolder,
    holder_table::{
        Counters,
        Phase,
        Refusal,
        Table,
        TaskId, //
    },
    holders::{
        Holders,
        Outcome, //
    },
    monitor::Sleeping,
    read_section::ReadSections,
    trace, //
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    dax::units::ByteRange,
    prelude::*,
    sync::{
        aref::{
            ARef,
            AlwaysRefCounted, //
        },
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed,
            Release, //
        },
        SetOnce, //
    },
    task::Task,
    types::Opaque, //
};

/// A property of a device that is on or off.
#[derive(Clone, Copy)]
pub(crate) enum Flag {
    /// May be used. Cleared before the removal waits for the users that are left.
    Alive = 1 << 0,
    /// `dax_flush()` has to write back caches.
    WriteCache = 1 << 1,
    /// Data is durable once the caches are flushed.
    Synchronous = 1 << 2,
    /// Copies to the device leave nothing in the caches.
    NoCache = 1 << 3,
    /// Copies from the device survive machine checks.
    NoMc = 1 << 4,
    /// Its memory is its own, and not that of another device below it.
    OwnMemory = 1 << 5,
    /// A user that is no holder got the device at some time; it is not notified of a removal.
    Unheld = 1 << 6,
}

impl Flag {
    /// All of them, by the names that user space sees.
    pub(crate) const NAMED: [(Flag, &'static str); 5] = [
        (Flag::WriteCache, "write_cache"),
        (Flag::Synchronous, "synchronous"),
        (Flag::NoCache, "nocache"),
        (Flag::NoMc, "nomc"),
        (Flag::OwnMemory, "own_memory"),
    ];
}

/// A `struct dax_device`.
///
/// Part of an inode, which carries the reference count and the mapping that device-dax puts pages
/// on. C code knows neither the size nor the fields.
#[repr(C)]
#[pin_data]
pub(crate) struct DaxDevice {
    /// First: `inode.rs` converts between both.
    inode: Opaque<bindings::inode>,
    cdev: Opaque<bindings::cdev>,
    #[pin]
    core: Core,
}

/// The part that this file owns, and not the pseudo file system.
#[pin_data]
struct Core {
    /// [`Flag`]s.
    flags: Atomic<u32>,
    ops: Atomic<*const bindings::dax_operations>,
    private: Atomic<*mut c_void>,
    /// The sections of users of the device's own memory; unset if it has none of its own.
    readers: SetOnce<Pin<KBox<ReadSections>>>,
    #[pin]
    holders: Sleeping<Table<FsHolder>>,
}

impl Core {
    fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            flags: Atomic::new(0),
            ops: Atomic::new(core::ptr::null()),
            private: Atomic::new(core::ptr::null_mut()),
            readers: SetOnce::new(),
            holders <- Sleeping::new(Table::new()),
        })
    }
}

/// The current task. The number is valid until the task returns.
fn this_task() -> TaskId {
    TaskId(Task::current_raw().addr())
}

// SAFETY: The inode and the character device are C's, which any task may use; the rest is `Send`.
unsafe impl Send for DaxDevice {}
// SAFETY: The inode and the character device are C's; what changes in the rest is atomic or under a
// lock.
unsafe impl Sync for DaxDevice {}

// SAFETY: A device is part of an inode, and lives as long as there is a reference to that.
unsafe impl AlwaysRefCounted for DaxDevice {
    fn inc_ref(&self) {
        // SAFETY: The inode is that of a device that the caller keeps by a reference.
        unsafe { bindings::ihold(self.inode()) };
    }

    unsafe fn dec_ref(this: NonNull<Self>) {
        // SAFETY: The inode is at the start of the device; the reference is the caller's to give
        // up.
        unsafe { bindings::iput(this.as_ptr().cast()) };
    }
}

impl DaxDevice {
    /// Initializes all but the inode of a new object.
    ///
    /// # Safety
    ///
    /// `slot` must have room for a `DaxDevice` that is not in use, and must not move until
    /// [`DaxDevice::clear`].
    pub(crate) unsafe fn fill(slot: *mut Self) -> Result {
        // SAFETY: By the function's contract there is room.
        unsafe { (&raw mut (*slot).cdev).write(Opaque::zeroed()) };
        // SAFETY: By the function's contract there is room, and what is there is not moved.
        unsafe { pin_init::raw_try_init(&raw mut (*slot).core, Core::new()) }
    }

    /// Takes back [`DaxDevice::fill`]. Sleeps.
    ///
    /// # Safety
    ///
    /// The device must have been filled, and must not be in use any more.
    pub(crate) unsafe fn clear(this: *mut Self) {
        // SAFETY: By the function's contract it was filled, and nothing uses it any more.
        unsafe { core::ptr::drop_in_place(&raw mut (*this).core) };
    }

    /// The device that `raw` points to; [`None`] for null.
    ///
    /// # Safety
    ///
    /// `raw` must be null or a `dax_device` that the caller keeps for `'a`.
    #[inline]
    pub(crate) unsafe fn from_raw<'a>(raw: *mut bindings::dax_device) -> Option<&'a Self> {
        // SAFETY: By the function's contract it is null or a `dax_device`, each of which is one of
        // ours.
        unsafe { raw.cast::<Self>().as_ref() }
    }

    /// The device that `raw` points to, together with the caller's reference.
    ///
    /// # Safety
    ///
    /// `raw` must be a `dax_device` with a reference that the caller gives up.
    pub(crate) unsafe fn take_raw(raw: NonNull<bindings::dax_device>) -> ARef<Self> {
        // SAFETY: Every `dax_device` is one of ours; the reference is ours by the function's
        // contract.
        unsafe { ARef::from_raw(raw.cast()) }
    }

    /// Converts a reference to the pointer that C uses.
    pub(crate) fn into_raw(this: ARef<Self>) -> *mut bindings::dax_device {
        ARef::into_raw(this).as_ptr().cast()
    }

    /// A reference; [`None`] when the device is being removed, or was.
    pub(crate) fn get_alive(&self) -> Option<ARef<Self>> {
        if self.dying() {
            return None;
        }
        // SAFETY: The inode is valid.
        if unsafe { bindings::igrab(self.inode()) }.is_null() {
            return None;
        }
        // SAFETY: C gave us a reference to the inode, which is part of the device.
        Some(unsafe { ARef::from_raw(NonNull::from(self)) })
    }

    /// The pointer that C uses.
    #[inline]
    pub(crate) fn as_raw(&self) -> *mut bindings::dax_device {
        core::ptr::from_ref(self).cast_mut().cast()
    }

    /// The inode that the device is part of.
    #[inline]
    pub(crate) fn inode(&self) -> *mut bindings::inode {
        self.inode.get()
    }

    /// The character device, for device-dax.
    pub(crate) fn cdev(&self) -> *mut bindings::cdev {
        self.cdev.get()
    }

    /// The device whose [`DaxDevice::cdev`] this is.
    ///
    /// # Safety
    ///
    /// `cdev` must be that of a device.
    pub(crate) unsafe fn of_cdev(cdev: *mut bindings::cdev) -> *mut Self {
        // SAFETY: By the function's contract it is part of a device.
        unsafe { kernel::container_of!(cdev.cast::<Opaque<bindings::cdev>>(), Self, cdev) }
    }

    /// The number by which logs, traces and debugfs name the device.
    pub(crate) fn minor(&self) -> u32 {
        // SAFETY: The inode is valid, and its device number does not change.
        unsafe { (*self.inode()).i_rdev & bindings::MINORMASK }
    }

    /// Whether `flag` is set.
    #[inline]
    pub(crate) fn has(&self, flag: Flag) -> bool {
        self.core.flags.load(Relaxed) & flag as u32 != 0
    }

    /// Sets or clears `flag`.
    pub(crate) fn set(&self, flag: Flag, on: bool) {
        let mut old = self.core.flags.load(Relaxed);
        loop {
            let new = if on {
                old | flag as u32
            } else {
                old & !(flag as u32)
            };
            match self.core.flags.cmpxchg(old, new, Full) {
                Ok(_) => return,
                Err(seen) => old = seen,
            }
        }
    }

    /// The driver's operations.
    ///
    /// # Safety
    ///
    /// The caller must be in a read section, must have seen [`DaxDevice::alive`] in it, and must not
    /// use the result after it.
    #[inline]
    pub(crate) unsafe fn ops(&self) -> Option<&bindings::dax_operations> {
        // SAFETY: The driver keeps its table until the device is dead and its read sections have
        // ended.
        unsafe { self.core.ops.load(Acquire).as_ref() }
    }

    /// Sets the operations; `EBUSY` if the device has some.
    ///
    /// `EINVAL` for the operations of a stacked device if this device had memory of its own: its
    /// users are in sections of its own, and those do not change.
    ///
    /// # Safety
    ///
    /// `ops` must be valid until the device is removed or has no operations any more.
    pub(crate) unsafe fn set_ops(&self, ops: NonNull<bindings::dax_operations>) -> Result {
        // SAFETY: Valid by the function's contract.
        if self.has(Flag::OwnMemory) && !unsafe { ops.as_ref() }.own_memory {
            return Err(EINVAL);
        }
        let ops: *const _ = ops.as_ptr();
        match self.core.ops.cmpxchg(core::ptr::null(), ops, Full) {
            Ok(_) => Ok(()),
            Err(_) => Err(EBUSY),
        }
    }

    /// Clears the operations.
    pub(crate) fn clear_ops(&self) {
        self.core.ops.store(core::ptr::null(), Release);
    }

    /// The driver's data, as long as the device is alive.
    #[inline]
    pub(crate) fn private(&self) -> *mut c_void {
        if self.has(Flag::Alive) {
            self.core.private.load(Acquire)
        } else {
            core::ptr::null_mut()
        }
    }

    /// Connects a new device to its driver. `private` does not change afterwards. `readers` are for
    /// a device that has memory of its own.
    ///
    /// # Safety
    ///
    /// `ops` must be null or valid until the device is removed; the device must not be in use yet.
    pub(crate) unsafe fn set_driver(
        &self,
        private: *mut c_void,
        ops: *const bindings::dax_operations,
        readers: Option<Pin<KBox<ReadSections>>>,
    ) {
        if let Some(readers) = readers {
            self.set(Flag::OwnMemory, self.core.readers.populate(readers));
        }
        self.core.ops.store(ops, Release);
        self.core.private.store(private, Release);
    }

    /// The sections that users of the device are in. They do not change during its life.
    ///
    /// A user of a stacked device (dm) uses the memory of a device below it. Which one is known
    /// only inside the section, so the section has to be one that the removal of every device waits
    /// for.
    #[inline]
    pub(crate) fn sections(&self) -> &ReadSections {
        match self.core.readers.as_ref() {
            Some(readers) => readers,
            None => ReadSections::global(),
        }
    }

    /// Warns, if lockdep is enabled, unless this task is in a read section.
    #[inline]
    pub(crate) fn assert_reading(&self) {
        self.sections().assert_in(ReadSections::global());
    }

    /// Whether the device is being removed, or was: it accepts no holders any more.
    pub(crate) fn dying(&self) -> bool {
        self.look(|table| table.phase() != Phase::Alive)
    }

    /// Runs `f` on the state of the holders.
    pub(crate) fn look<R>(&self, f: impl FnOnce(&Table<FsHolder>) -> R) -> R {
        self.core.holders.look(f)
    }

    /// The counts of events of this device.
    pub(crate) fn counters(&self) -> Counters {
        self.look(Table::counters)
    }

    /// Registers `data` as the holder of `range`. With `partition`, a failure is compared with the
    /// bytes that the partition has at the time of the failure; those are `range` now.
    ///
    /// # Safety
    ///
    /// `ops` has to be null or a table of functions that may be called for `data` until
    /// [`DaxDevice::unregister`] has returned, and until then the caller keeps a reference to the
    /// device and `partition` open.
    pub(crate) unsafe fn register(
        &self,
        range: ByteRange,
        partition: Option<BlockDevice>,
        data: *mut c_void,
        ops: *const bindings::dax_holder_operations,
    ) -> Result<(), Refusal> {
        // SAFETY: By the function's contract, the type invariant holds until the holder has
        // unregistered.
        let holder = unsafe { FsHolder::new(self.as_raw(), self.minor(), data, ops, partition) };
        let result = self.core.holders.register(range, &holder);
        trace::register(self.minor(), &range, data, &result);
        result
    }

    /// Takes back [`DaxDevice::register`]. When it returns, no callback can see the holder.
    ///
    /// False when `data` holds nothing.
    pub(crate) fn unregister(&self, data: *mut c_void) -> bool {
        trace::unregister(self.minor(), data);
        // SAFETY: Without functions there is nothing that could be called.
        let holder =
            unsafe { FsHolder::new(self.as_raw(), self.minor(), data, core::ptr::null(), None) };
        self.core.holders.unregister(this_task(), &holder)
    }

    /// Notifies the holders of `extent`.
    ///
    /// The caller has recorded the failure. If the result is [`Outcome::Unheld`], the caller has to
    /// find the users; accesses that began before the failure was recorded have ended by then.
    /// Sleeps.
    pub(crate) fn notify(&self, extent: Extent, flags: i32) -> Outcome {
        let outcome = self
            .core
            .holders
            .notify(this_task(), &Failure { extent, flags });
        if outcome == Outcome::Unheld {
            trace::unheld(self.minor(), &extent, flags);
            // A page fault that has the address may not yet have set the mapping of the folio, or
            // marked it as shared with another file.
            self.wait_for_readers();
        }
        outcome
    }

    /// Waits for all read sections that run now, in which tasks may use the memory. Sleeps.
    fn wait_for_readers(&self) {
        // A device without memory of its own waits for one grace period, as in C. With two, the
        // second begins after the first ends: synchronize_srcu() is expedited while the SRCU is
        // idle and call_srcu() is not, so running both at once takes longer.
        if let Some(readers) = self.core.readers.as_ref() {
            readers.wait();
        }
        // A user of this memory may be in a global section as well; see `sections()`.
        ReadSections::global().wait();
    }

    /// The holder whose callback this task runs, or else the longest registered holder.
    pub(crate) fn holder(&self) -> *mut c_void {
        self.core
            .holders
            .current(this_task())
            .map_or(core::ptr::null_mut(), |holder: FsHolder| holder.data())
    }

    /// Removes the device; see [`Holders::kill`]. Sleeps until the device is not in use any more.
    pub(crate) fn kill(&self) {
        self.end_holders(|| self.close());
        // One that was retired is still used.
        if self.has(Flag::Alive) && self.look(|table| table.phase() == Phase::Dead) {
            self.close();
        }
    }

    /// Notifies the holders of the removal of what is below the device, and has nobody get it any more.
    ///
    /// What has got it without being a holder goes on using it: a part of the device may stay. Sleeps.
    pub(crate) fn retire(&self) {
        self.end_holders(|| {});
    }

    fn end_holders(&self, close: impl FnOnce()) {
        trace::kill(self.minor());
        // CAST: The flag is a small bit.
        let flags = bindings::mf_flags_MF_MEM_PRE_REMOVE as i32;
        self.core.holders.kill(this_task(), flags, close);
    }

    fn close(&self) {
        self.set(Flag::Alive, false);
        self.wait_for_readers();
    }

    /// Whether the device is dead and no user can have any of its memory: each one was notified.
    pub(crate) fn is_given_up(&self) -> bool {
        !self.has(Flag::Unheld) && self.core.holders.look(|table| table.is_given_up())
    }

    /// Makes the device usable, for the first time or again after [`DaxDevice::kill`].
    pub(crate) fn run(&self) {
        if self.core.holders.revive() {
            self.set(Flag::Alive, true);
        }
    }
}
