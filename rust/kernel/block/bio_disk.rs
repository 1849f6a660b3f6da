// SPDX-License-Identifier: GPL-2.0

//! Disks with drivers that take bios directly, without request queues.
//!
//! To offer such a disk, a driver must do the following:
//!
//! - Implement [`Operations`] for a type of its choice.
//! - Allocate a [`NewDisk`], with its [`Limits`] and data. It is not visible yet.
//! - Make it appear with [`Added::new`]; it disappears when the result is dropped.
//!
//! ```
//! use kernel::{
//!     block::{
//!         bio::Bio,
//!         bio_disk::{Limits, NewDisk, Operations},
//!     },
//!     sync::atomic::{Atomic, Relaxed},
//! };
//!
//! /// Disks that have nothing, and count how often they are asked for it.
//! struct Nothing;
//!
//! #[vtable]
//! impl Operations for Nothing {
//!     type Data = Atomic<u64>;
//!
//!     fn submit(asked: &Self::Data, bio: Bio) {
//!         asked.add(1, Relaxed);
//!         bio.end(Err(EIO));
//!     }
//! }
//!
//! let new = NewDisk::<Nothing>::new(Limits::default(), None, c"nothing", Ok(Atomic::new(0)))?;
//! new.disk().set_capacity(8);
//! assert_eq!(new.disk().data().load(Relaxed), 0);
//! # Ok::<(), Error>(())
//! ```
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use super::{
    attr::AttributeGroups,
    bio::Bio, //
};
use crate::{
    badblocks::Badblocks,
    bindings,
    device::{
        Bound,
        Device, //
    },
    error::{
        from_err_ptr,
        to_result, //
    },
    module::this_module,
    prelude::*,
    static_lock_class,
    sync::{
        rcu,
        Arc, //
    },
    types::ForeignOwnable, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};

#[cfg(CONFIG_RUST_DAX_KUNIT_TEST)]
#[path = "bio_disk/tests.rs"]
pub(crate) mod tests;

/// What a driver does for its disks.
#[vtable]
pub trait Operations: Sized + 'static {
    /// The driver's data for each disk.
    type Data: Send + Sync + 'static;

    /// Takes a bio, and makes sure that it is ended.
    ///
    /// Called in the submitter's context; may sleep unless the bio says
    /// [`nowait`](Bio::is_nowait).
    fn submit(data: &Self::Data, bio: Bio);

    /// The list that sysfs shows as the disk's `badblocks`, if there is one.
    fn badblocks(_data: &Self::Data) -> Option<&Badblocks> {
        None
    }
}

/// The properties that the block layer must know before it allocates a disk.
#[derive(Clone, Copy, Default)]
pub struct Limits {
    /// The smallest unit of I/O in bytes: a power of two from 512 to the page size.
    pub logical_block_size: u32,
    /// The smallest unit that is written atomically, in bytes.
    pub physical_block_size: u32,
    /// There is a cache that `REQ_PREFLUSH` flushes.
    pub write_cache: bool,
    /// `REQ_FUA` is honoured.
    pub fua: bool,
    /// Bios end before `submit` returns, as a rule.
    pub synchronous: bool,
    /// `REQ_NOWAIT` is honoured, so io_uring need not go through a worker thread.
    pub nowait: bool,
    /// The disk has a `dax_device`.
    pub dax: bool,
}

impl Limits {
    fn to_raw(self) -> bindings::queue_limits {
        let mut lim: bindings::queue_limits = pin_init::zeroed();
        lim.logical_block_size = self.logical_block_size;
        lim.physical_block_size = self.physical_block_size;
        lim.max_hw_sectors = u32::MAX;
        lim.features = [
            (self.write_cache, bindings::BLK_FEAT_WRITE_CACHE),
            (self.fua, bindings::BLK_FEAT_FUA),
            (self.synchronous, bindings::BLK_FEAT_SYNCHRONOUS),
            (self.nowait, bindings::BLK_FEAT_NOWAIT),
            (self.dax, bindings::BLK_FEAT_DAX),
        ]
        .into_iter()
        .fold(
            0,
            |features, (on, bit)| if on { features | bit } else { features },
        );
        lim
    }
}

/// A disk, visible or not.
///
/// # Invariants
///
/// `disk` is a `struct gendisk` of which this value owns the reference that its allocation gave,
/// and whose private data is a `Pin<KBox<T::Data>>` made into a foreign pointer.
pub struct Disk<T: Operations> {
    disk: NonNull<bindings::gendisk>,
    _data: PhantomData<T>,
}

// SAFETY: A `gendisk` has no thread affinity; its data is `Send` and `Sync`.
unsafe impl<T: Operations> Send for Disk<T> {}
// SAFETY: A `gendisk` may be shared; what changes it through a shared reference takes its locks.
unsafe impl<T: Operations> Sync for Disk<T> {}

/// A disk that is not visible yet.
///
/// C adds a disk once: not twice, and not again after it was deleted. There is one of these for
/// each disk, and [`Added::new`] takes it.
///
/// # Invariants
///
/// The disk was not added.
pub struct NewDisk<T: Operations>(Arc<Disk<T>>);

impl<T: Operations> NewDisk<T> {
    /// Allocates a disk with its limits and its data, in memory near `near`. May sleep.
    pub fn new(
        limits: Limits,
        near: Option<&Device>,
        name: &CStr,
        data: impl PinInit<T::Data, Error>,
    ) -> Result<Self> {
        let disk = Disk::new(limits, near, name, data)?;
        // INVARIANT: The disk is new, and not in use elsewhere.
        Ok(Self(Arc::new(disk, GFP_KERNEL)?))
    }

    /// The disk.
    pub fn disk(&self) -> &Arc<Disk<T>> {
        &self.0
    }
}

impl<T: Operations> Disk<T> {
    fn new(
        limits: Limits,
        near: Option<&Device>,
        name: &CStr,
        data: impl PinInit<T::Data, Error>,
    ) -> Result<Self> {
        let node = near.map_or(bindings::NUMA_NO_NODE, |near| {
            // SAFETY: The device is valid.
            unsafe { bindings::dev_to_node(near.as_raw()) }
        });
        let data = KBox::pin_init(data, GFP_KERNEL)?;
        let mut raw = limits.to_raw();
        // SAFETY: `raw` is valid, and the lock class is static.
        let disk = from_err_ptr(unsafe {
            bindings::__blk_alloc_disk(&mut raw, node, static_lock_class!().as_ptr())
        })?;
        let disk = NonNull::new(disk).ok_or(ENOMEM)?;

        // SAFETY: The disk is ours alone until it is added.
        unsafe { (*disk.as_ptr()).fops = &Self::FOPS };
        // SAFETY: The disk is ours alone until it is added.
        unsafe { (*disk.as_ptr()).private_data = data.into_foreign() };
        // INVARIANT: Just set up.
        let this = Self {
            disk,
            _data: PhantomData,
        };
        // SAFETY: The disk is ours alone until it is added.
        let slot = unsafe { &mut (*disk.as_ptr()).disk_name };
        let name = name.to_bytes_with_nul();
        if name.len() > slot.len() {
            return Err(ENAMETOOLONG);
        }
        for (to, from) in slot.iter_mut().zip(name) {
            // CAST: `c_char` is `u8` in the kernel.
            *to = *from as c_char;
        }
        if let Some(list) = T::badblocks(this.data()) {
            // SAFETY: The disk is ours alone until it is added. The list is part of the data, which
            // outlives the disk in sysfs.
            unsafe { (*this.as_raw()).bb = list.as_raw() };
        }
        Ok(this)
    }

    /// The C disk.
    #[inline]
    pub fn as_raw(&self) -> *mut bindings::gendisk {
        self.disk.as_ptr()
    }

    /// The driver's data.
    #[inline]
    pub fn data(&self) -> &T::Data {
        // SAFETY: By the type invariant the disk is that of a `Disk`, which is borrowed for the
        // result.
        unsafe { Self::data_of(self.disk.as_ptr()) }
    }

    /// # Safety
    ///
    /// `disk` must be the disk of a live [`Disk`], for as long as the result is used.
    #[inline]
    pub(crate) unsafe fn data_of<'a>(disk: *mut bindings::gendisk) -> &'a T::Data {
        // SAFETY: `private_data` is a foreign `Pin<KBox<_>>` by the type invariant.
        unsafe { <Pin<KBox<T::Data>> as ForeignOwnable>::borrow((*disk).private_data) }.get_ref()
    }

    /// Sets how many sectors of 512 bytes the disk has.
    pub fn set_capacity(&self, sectors: u64) {
        // SAFETY: The disk is valid, and `set_capacity()` takes the lock that it needs.
        unsafe { bindings::set_capacity(self.as_raw(), sectors) };
    }

    /// # Safety
    ///
    /// The block layer calls this with a bio for a disk of this type that was added.
    unsafe extern "C" fn submit_bio(bio: *mut bindings::bio) {
        // SAFETY: A submitted bio has a device and that a disk, which the block layer keeps until
        // the call returns.
        let disk = unsafe { (*(*bio).bi_bdev).bd_disk };
        // SAFETY: `Added` waits for this call before the data goes.
        let data = unsafe { Self::data_of(disk) };
        // SAFETY: The block layer gives the bio to us.
        if let Some(bio) = NonNull::new(bio).map(|bio| unsafe { Bio::from_raw(bio) }) {
            T::submit(data, bio);
        }
    }

    const FOPS: bindings::block_device_operations = bindings::block_device_operations {
        submit_bio: Some(Self::submit_bio),
        owner: this_module::<T::OwnerModule>().as_ptr(),
        ..pin_init::zeroed()
    };
}

impl<T: Operations> Drop for Disk<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the disk is valid.
        let data = unsafe { (*self.as_raw()).private_data };
        // SAFETY: By the type invariant the reference is ours to give up. If the disk was added it
        // was deleted before, because `Added` holds a reference to `self`.
        unsafe { bindings::put_disk(self.as_raw()) };
        // SAFETY: Code that still has a reference to the disk can no longer submit to it, so
        // nothing uses the data, which comes from `into_foreign()`.
        drop(unsafe { Pin::<KBox<T::Data>>::from_foreign(data) });
    }
}

/// A disk that is visible to user space.
///
/// Dropping it removes the disk: its file systems are notified, I/O in flight is waited for, and no
/// new I/O is accepted.
///
/// # Examples
///
/// ```
/// use kernel::{
///     block::{
///         attr::AttributeGroups,
///         bio_disk::{Added, AttributeNode, NewDisk, Operations},
///     },
///     device::{Bound, Device},
/// };
///
/// /// Shows the disk, and finds its list of bad sectors in sysfs.
/// fn show<T: Operations>(
///     disk: NewDisk<T>,
///     parent: &Device<Bound>,
/// ) -> Result<(Added<T>, Option<AttributeNode>)> {
///     let added = Added::new(disk, parent, &AttributeGroups::NONE)?;
///     let node = added.attribute(c"badblocks");
///     Ok((added, node))
/// }
/// ```
///
/// # Invariants
///
/// The disk was added, and not deleted.
pub struct Added<T: Operations>(Arc<Disk<T>>);

impl<T: Operations> Added<T> {
    /// Makes the disk appear below `parent`, with the attributes of `groups`. May sleep.
    pub fn new(
        disk: NewDisk<T>,
        parent: &Device<Bound>,
        groups: &'static AttributeGroups<T>,
    ) -> Result<Self> {
        // SAFETY: The disk is set up, and was not added before, by the invariant of `NewDisk`, of
        // which there is no other. `groups` ends with null, and its functions are for disks of `T`.
        to_result(unsafe {
            bindings::device_add_disk(parent.as_raw(), disk.0.as_raw(), groups.as_raw())
        })?;
        // INVARIANT: Just added.
        Ok(Self(disk.0))
    }

    /// The disk.
    pub fn disk(&self) -> &Arc<Disk<T>> {
        &self.0
    }

    /// The sysfs node of one of the disk's attributes, for [`AttributeNode::notify`].
    pub fn attribute(&self, name: &CStr) -> Option<AttributeNode> {
        let disk = self.0.as_raw();
        // SAFETY: By the type invariant the disk was added, so it has a device.
        let dir = unsafe { (*(*disk).part0).bd_device.kobj.sd };
        // Null without sysfs.
        if dir.is_null() {
            return None;
        }
        // SAFETY: `dir` is not null, and stays until the disk is deleted; `name` is a string.
        let node = unsafe {
            bindings::kernfs_find_and_get_ns(dir, name.as_char_ptr(), pin_init::zeroed())
        };
        // INVARIANT: The function gave us a reference.
        NonNull::new(node).map(AttributeNode)
    }

    /// Writes back what file systems on the disk and its partitions hold, while that still works.
    ///
    /// The file systems report failures themselves; the disk is about to be removed either way.
    /// Sleeps.
    pub fn sync_filesystems(&self) {
        // SAFETY: By the type invariant the disk was added, and not deleted.
        unsafe { sync_filesystems(self.0.as_raw()) };
    }
}

impl<T: Operations> Drop for Added<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the disk was added, and not deleted.
        unsafe { bindings::del_gendisk(self.0.as_raw()) };
    }
}

/// Makes the holders of a disk and its partitions write back their dirty data.
///
/// # Safety
///
/// `disk` must be a disk that was added and not deleted.
unsafe fn sync_filesystems(disk: *mut bindings::gendisk) {
    let mut index = 0;
    loop {
        let part = {
            // A partition that is deleted meanwhile is freed after a grace period.
            let _rcu = rcu::read_lock();
            // SAFETY: The table of a valid disk may be searched at any time.
            let part = unsafe {
                bindings::xa_find(
                    &raw mut (*disk).part_tbl,
                    &mut index,
                    usize::MAX,
                    bindings::XA_PRESENT,
                )
            };
            if part.is_null() {
                return;
            }
            index += 1;
            let part = part.cast::<bindings::block_device>();
            // SAFETY: The table holds block devices, and the read lock keeps this one.
            let kept =
                unsafe { bindings::kobject_get_unless_zero(&raw mut (*part).bd_device.kobj) };
            if kept.is_null() {
                continue;
            }
            part
        };

        // SAFETY: We hold a reference, so the lock is there.
        unsafe { bindings::mutex_lock(&raw mut (*part).bd_holder_lock) };
        // SAFETY: The lock is held, so the holder and its operations stay.
        let sync = unsafe { (*part).bd_holder_ops.as_ref().and_then(|ops| ops.sync) };
        if let Some(sync) = sync {
            // SAFETY: The callback is called with the holder's lock held and gives it up, as
            // `bdev_mark_dead()` does it. Opening the device instead would keep it, and so the
            // driver's code, until the task returns to user space.
            unsafe { sync(part) };
        } else {
            // SAFETY: Locked above.
            unsafe { bindings::mutex_unlock(&raw mut (*part).bd_holder_lock) };
            // SAFETY: We hold a reference.
            unsafe { bindings::sync_blockdev(part) };
        }
        // SAFETY: The reference is ours to give up.
        unsafe { bindings::put_device(&raw mut (*part).bd_device) };
    }
}

/// A reference to the sysfs node of an attribute.
///
/// # Examples
///
/// ```
/// use kernel::{
///     badblocks::Badblocks,
///     block::{bio_disk::AttributeNode, sector::SectorRange},
/// };
///
/// /// Adds to the list, and wakes the tasks that poll its file.
/// fn add(list: &Badblocks, range: SectorRange, node: &AttributeNode) {
///     list.add(range);
///     node.notify();
/// }
/// ```
///
/// # Invariants
///
/// The node is valid, and the value owns a reference.
pub struct AttributeNode(NonNull<bindings::kernfs_node>);

// SAFETY: References to a kernfs node may be used and put on any thread.
unsafe impl Send for AttributeNode {}
// SAFETY: References to a kernfs node may be used on any thread.
unsafe impl Sync for AttributeNode {}

impl AttributeNode {
    /// Wakes the tasks that poll the attribute. Does not sleep.
    pub fn notify(&self) {
        // SAFETY: By the type invariant the node is valid.
        unsafe { bindings::kernfs_notify(self.0.as_ptr()) };
    }
}

impl Drop for AttributeNode {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the reference is ours to give up.
        unsafe { bindings::kernfs_put(self.0.as_ptr()) };
    }
}
