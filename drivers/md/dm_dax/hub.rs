// SPDX-License-Identifier: GPL-2.0

//! The holder of a device that is in the tables of mapped devices.
//!
//! Several mapped devices may use one device, as logical volumes use a physical one, and no two
//! holders may have a byte of a device in common. So they share a holder, the hub of the device. It is
//! there as long as one of them has the device open or the hub is pinned.
//!
//! Lock order: `HUBS` is taken with `table_devices_lock` of a mapped device held. The locks of the
//! DAX core and `_minor_lock` of device mapper are taken with it held. No holder is notified, and no
//! table is looked at, with it held.

use super::mapped::Mapped;
use core::ptr::{
    self,
    NonNull, //
};
use kernel::{
    bindings,
    block::sector::Sector,
    dax::holder::MAX_CALLS_AND_REMOVAL,
    mm::without_io,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc, //
    },
    task::Task, //
};

/// In how many mapped devices one above the other memory is looked for. Each takes about 1.4 KiB
/// of the stack, which XFS needs as well.
const MAX_DEPTH: usize = 4;

/// A device of a table of a mapped device.
///
/// # Invariants
///
/// As long as this is in `HUBS`, `md` is valid and `dev` open: [`leave`] comes before.
#[derive(Clone, Copy)]
pub(crate) struct Use {
    md: NonNull<bindings::mapped_device>,
    dev: NonNull<bindings::dm_dev>,
}

// SAFETY: Any task may use both.
unsafe impl Send for Use {}

impl Use {
    /// [`None`] if there is none of either.
    ///
    /// # Safety
    ///
    /// From [`enter`] until [`leave`], `md` must be valid and `dev` open.
    pub(crate) unsafe fn new(
        md: *mut bindings::mapped_device,
        dev: *mut bindings::dm_dev,
    ) -> Option<Self> {
        // INVARIANT: The function's contract.
        Some(Self {
            md: NonNull::new(md)?,
            dev: NonNull::new(dev)?,
        })
    }

    /// # Safety
    ///
    /// The device must be open.
    unsafe fn block_device(&self) -> Option<NonNull<bindings::block_device>> {
        // SAFETY: The function's contract.
        NonNull::new(unsafe { (*self.dev.as_ptr()).bdev })
    }
}

/// What the DAX core knows of a hub, and what does not change.
pub(crate) struct Hub {
    bdev: NonNull<bindings::block_device>,
    /// Where it begins in the `dax_device`, in bytes.
    origin: u64,
    /// Mapped devices that use the device, and pins. Goes to 0 once, with `HUBS` locked.
    users: Atomic<u32>,
}

// SAFETY: `bdev` is only compared.
unsafe impl Send for Hub {}
// SAFETY: As above.
unsafe impl Sync for Hub {}

impl Hub {
    /// # Safety
    ///
    /// `bdev` must be open.
    unsafe fn new(bdev: NonNull<bindings::block_device>) -> Result<Arc<Self>> {
        // SAFETY: By the function's contract it is open, and so its start does not change.
        let start = Sector(unsafe { (*bdev.as_ptr()).bd_start_sect });
        let hub = Self {
            bdev,
            origin: start.to_bytes().ok_or(EINVAL)?,
            users: Atomic::new(1),
        };
        Ok(without_io(|| Arc::new(hub, GFP_KERNEL))?)
    }

    /// What the DAX core calls the holder.
    fn as_holder(&self) -> *mut c_void {
        ptr::from_ref(self).cast_mut().cast()
    }

    /// Where it begins in the `dax_device`, in bytes.
    pub(crate) fn origin(&self) -> u64 {
        self.origin
    }

    /// To be compared with the devices of a table.
    pub(crate) fn block_device(&self) -> NonNull<bindings::block_device> {
        self.bdev
    }

    /// Adds a user, if there is one yet.
    pub(crate) fn pin(&self) -> bool {
        let mut users = self.users.load(Relaxed);
        while users != 0 {
            match self.users.cmpxchg(users, users + 1, Full) {
                Ok(_) => return true,
                Err(seen) => users = seen,
            }
        }
        false
    }

    /// Notes that this task is called for the hub. [`None`] if it is so already, because a table has
    /// itself below it, or if that is too many mapped devices above each other for the stack.
    pub(crate) fn begin_call(&self) -> Option<Call<'_>> {
        let me = Task::current_raw().addr();
        let mut hubs = HUBS.lock();
        let others = hubs.entries.iter();
        let depth = others.filter(|entry| entry.callers.contains(&me)).count();
        let entry = hubs.entry_of(self)?;
        if depth >= MAX_DEPTH || entry.callers.contains(&me) {
            return None;
        }
        *entry.callers.iter_mut().find(|caller| **caller == 0)? = me;
        Some(Call {
            hub: self,
            task: me,
        })
    }

    /// The mapped devices that use the device now, one after the other.
    pub(crate) fn members(&self) -> Members<'_> {
        Members {
            hub: self,
            next: 0,
            end: HUBS.lock().next_id,
        }
    }

    /// From now on no mapped device becomes a user of the device, which goes away.
    pub(crate) fn refuse_members(&self) {
        let mut hubs = HUBS.lock();
        if let Some(entry) = hubs.entry_of(self) {
            entry.is_closing = true;
        }
    }
}

/// See [`Hub::begin_call`].
pub(crate) struct Call<'a> {
    hub: &'a Hub,
    task: usize,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        // The hub is pinned as long as it is called.
        let mut hubs = HUBS.lock();
        if let Some(entry) = hubs.entry_of(self.hub) {
            let mut callers = entry.callers.iter_mut();
            if let Some(caller) = callers.find(|caller| **caller == self.task) {
                *caller = 0;
            }
        }
    }
}

/// See [`Hub::members`].
pub(crate) struct Members<'a> {
    hub: &'a Hub,
    next: u64,
    end: u64,
}

impl Members<'_> {
    /// The next one, kept. Those that are going away are left out.
    pub(crate) fn next(&mut self) -> Option<Mapped> {
        let mut hubs = HUBS.lock();
        let entry = hubs.entry_of(self.hub)?;
        // In the order of their numbers.
        for (at, member) in entry.members.iter().enumerate() {
            if member.id < self.next || member.id >= self.end {
                continue;
            }
            self.next = member.id + 1;
            // One that has the device open in two ways is told once.
            let mut before = entry.members.iter().take(at);
            if before.any(|other| other.used.md == member.used.md) {
                continue;
            }
            // SAFETY: By the type invariant of `Use` the mapped device is valid.
            if let Some(md) = unsafe { Mapped::hold(member.used.md) } {
                return Some(md);
            }
        }
        None
    }
}

struct Member {
    /// Later ones have larger numbers; none is used again.
    id: u64,
    used: Use,
}

/// A hub and its members.
struct Entry {
    hub: Arc<Hub>,
    /// There is one as soon as the hub is registered.
    dax: Option<NonNull<bindings::dax_device>>,
    members: KVec<Member>,
    /// The device goes away.
    is_closing: bool,
    /// The tasks that are called for the hub, as their addresses; 0 is none. There is room for all
    /// that the DAX core lets run at a time.
    callers: [usize; MAX_CALLS_AND_REMOVAL],
    /// What keeps the device open for a pin that the last member has left behind.
    file: Option<NonNull<bindings::file>>,
}

// SAFETY: Any task may use the device and the file.
unsafe impl Send for Entry {}

struct Hubs {
    entries: KVec<Entry>,
    next_id: u64,
}

kernel::sync::global_lock! {
    // SAFETY: `init()` is called before the functions that lock it.
    unsafe(uninit) static HUBS: Mutex<Hubs> = Hubs { entries: KVec::new(), next_id: 0 };
}

/// To be called once.
///
/// # Safety
///
/// Nothing else of this file may be called before.
pub(crate) unsafe fn init() {
    // SAFETY: The function's contract.
    unsafe { HUBS.init() };
}

impl Hubs {
    fn entry_of(&mut self, hub: &Hub) -> Option<&mut Entry> {
        self.entries
            .iter_mut()
            .find(|entry| ptr::eq(&*entry.hub, hub))
    }

    fn member(&mut self, used: Use) -> Member {
        let id = self.next_id;
        // Cannot wrap: opening a device takes longer than a nanosecond, and 2^64 of those are centuries.
        self.next_id = id.saturating_add(1);
        Member { id, used }
    }

    /// Adds a user of a hub that is there; [`None`] if its device is going away.
    fn join(&mut self, at: usize, used: Use) -> Result<Option<NonNull<bindings::dax_device>>> {
        let member = self.member(used);
        let entry = self.entries.get_mut(at).ok_or(EINVAL)?;
        if entry.is_closing {
            return Ok(None);
        }
        without_io(|| entry.members.push(member, GFP_KERNEL))?;
        entry.hub.users.fetch_add(1, Full);
        Ok(entry.dax)
    }

    /// Makes a hub for `bdev`, with its first user.
    ///
    /// # Safety
    ///
    /// `bdev` has to be open until [`leave`], and `ops` be for hubs.
    unsafe fn make(
        &mut self,
        bdev: NonNull<bindings::block_device>,
        used: Use,
        ops: &'static bindings::dax_holder_operations,
    ) -> Result<Option<NonNull<bindings::dax_device>>> {
        let mut members = KVec::new();
        let member = self.member(used);
        // SAFETY: The function's contract.
        let hub = unsafe { Hub::new(bdev) }?;
        let holder = hub.as_holder();
        let entry = Entry {
            hub,
            dax: None,
            members: without_io(|| members.push(member, GFP_KERNEL)).map(|()| members)?,
            is_closing: false,
            callers: [0; MAX_CALLS_AND_REMOVAL],
            file: None,
        };
        without_io(|| self.entries.push(entry, GFP_KERNEL))?;

        let mut offset = 0;
        // Without I/O: others wait for the lock, and what is written may wait for them.
        let dax = without_io(|| {
            // SAFETY: By the function's contract `bdev` is open until the last user of the hub has
            // left; `Entry::file` is for a pin that comes after that. The hub is valid until
            // `give_up()`, which unregisters it.
            unsafe { bindings::fs_dax_get_by_bdev(bdev.as_ptr(), &mut offset, holder, ops) }
        });
        let dax = NonNull::new(dax);
        match self.entries.last_mut().filter(|_| dax.is_some()) {
            Some(entry) => {
                entry.dax = dax;
                // A page may stay mapped when a volume has moved away from the device and left the hub.
                //
                // SAFETY: `fs_dax_get_by_bdev()` gave us a reference.
                unsafe { bindings::dax_set_unheld(dax.map_or(ptr::null_mut(), NonNull::as_ptr)) };
                Ok(dax)
            }
            None => {
                drop(self.entries.pop());
                Err(EBUSY)
            }
        }
    }

    /// Gives up one user of the hub at `at`; true if there are others.
    ///
    /// # Safety
    ///
    /// The user has to be the caller's, and the block device open.
    unsafe fn give_up(&mut self, at: usize) -> bool {
        let Some(entry) = self.entries.get(at) else {
            return false;
        };
        if entry.hub.users.fetch_sub(1, Full) != 1 {
            return true;
        }
        if let Some(dax) = entry.dax {
            // What was not pinned yet cannot be pinned any more, so this waits for no callback.
            //
            // SAFETY: The hub is registered for this device, with a reference of its own.
            unsafe { bindings::fs_put_dax(dax.as_ptr(), entry.hub.as_holder()) };
        }
        false
    }

    /// Takes out the hub at `at`, which is registered no more.
    fn take(&mut self, at: usize) -> Option<Entry> {
        let entry = self.entries.remove(at).ok();
        if self.entries.is_empty() {
            // A module's variables are not dropped.
            self.entries = KVec::new();
        }
        entry
    }
}

/// Whether `bdev` is on a disk with DAX; most are not.
///
/// # Safety
///
/// `bdev` must be open.
unsafe fn may_have_dax(bdev: NonNull<bindings::block_device>) -> bool {
    // SAFETY: The disk of a block device that is open has a queue.
    let features = unsafe { (*(*(*bdev.as_ptr()).bd_disk).queue).limits.features };
    features & bindings::BLK_FEAT_DAX != 0
}

/// Makes `used` a user of the hub of its device, and the hub if there is none.
///
/// The `dax_device`; null if there is none, or one that goes away. Sleeps.
///
/// # Safety
///
/// The device has to be open, and `ops` be for hubs. [`leave`] has to be called for it.
pub(crate) unsafe fn enter(
    used: Use,
    ops: &'static bindings::dax_holder_operations,
) -> *mut bindings::dax_device {
    // SAFETY: The function's contract.
    let Some(bdev) = (unsafe { used.block_device() }) else {
        return ptr::null_mut();
    };
    // SAFETY: By the function's contract it is open.
    if !unsafe { may_have_dax(bdev) } {
        return ptr::null_mut();
    }
    let entered = {
        let mut hubs = HUBS.lock();
        let known = hubs.entries.iter().position(|entry| entry.hub.bdev == bdev);
        match known {
            Some(at) => hubs.join(at, used),
            // SAFETY: The function's contract.
            None => unsafe { hubs.make(bdev, used, ops) },
        }
    };
    let error = match entered {
        Ok(dax) => return dax.map_or(ptr::null_mut(), NonNull::as_ptr),
        Err(error) => error,
    };
    let mut offset = 0;
    // SAFETY: By the function's contract it is open; `offset` is valid for a write.
    let dax = unsafe {
        bindings::fs_dax_get_by_bdev(bdev.as_ptr(), &mut offset, ptr::null_mut(), ptr::null())
    };
    if !dax.is_null() {
        // SAFETY: By the function's contract it is open, and so its number does not change.
        let number = unsafe { (*bdev.as_ptr()).bd_dev };
        // The driver looks for the users by their pages.
        pr_warn!(
            "{}:{}: file systems are not told of memory that fails: {:?}\n",
            number >> 20,
            number & 0xfffff,
            error
        );
    }
    dax
}

/// Takes back [`enter`]. Does not wait for callbacks of the hub. Sleeps.
///
/// # Safety
///
/// `dev` has to be open, and its `dax_dev` what [`enter`] returned for it.
pub(crate) unsafe fn leave(dev: *mut bindings::dm_dev) {
    let mut hubs = HUBS.lock();
    let at = hubs.entries.iter().position(|entry| {
        let mut members = entry.members.iter();
        members.any(|member| member.used.dev.as_ptr() == dev)
    });
    let Some(at) = at else {
        drop(hubs);
        // SAFETY: By the function's contract it is null, or has a reference that was not a hub's.
        unsafe { bindings::put_dax((*dev).dax_dev) };
        return;
    };
    if let Some(entry) = hubs.entries.get_mut(at) {
        entry
            .members
            .retain(|member| member.used.dev.as_ptr() != dev);
    }
    // SAFETY: The user is the one that was removed, whose device is open by the function's contract.
    if !unsafe { hubs.give_up(at) } {
        let entry = hubs.take(at);
        drop(hubs);
        close(entry);
        return;
    }
    // A pin that is there now may be the last user later on.
    if let Some(entry) = hubs.entries.get_mut(at) {
        if entry.members.is_empty() && entry.file.is_none() {
            // SAFETY: By the function's contract the device, and so its file, is open.
            entry.file = NonNull::new(unsafe { bindings::get_file((*dev).bdev_file) });
        }
    }
}

/// Takes back a pin of `holder`. Sleeps.
///
/// # Safety
///
/// The pin has to be the caller's.
pub(crate) unsafe fn unpin(holder: *mut c_void) {
    let mut hubs = HUBS.lock();
    let mut entries = hubs.entries.iter();
    let at = entries.position(|entry| entry.hub.as_holder() == holder);
    let Some(at) = at else { return };
    // SAFETY: The pin is the caller's. A member has the device open, or the entry has its file.
    if unsafe { hubs.give_up(at) } {
        return;
    }
    let entry = hubs.take(at);
    drop(hubs);
    close(entry);
}

/// Closes what a hub without users has kept open. Not under the lock.
fn close(entry: Option<Entry>) {
    if let Some(file) = entry.and_then(|entry| entry.file) {
        // SAFETY: The reference was the entry's.
        unsafe { bindings::fput(file.as_ptr()) };
    }
}
