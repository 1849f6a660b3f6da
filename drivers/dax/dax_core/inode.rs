// SPDX-License-Identifier: GPL-2.0

//! The pseudo file system whose inodes the devices are part of.
//!
//! An inode is what has a reference count, a number by which it is found, and a mapping for
//! device-dax to put its pages on.

use super::{
    device::{
        DaxDevice,
        Flag, //
    },
    trace,
    view::View, //
};
use core::ptr::{
    self,
    NonNull, //
};
use kernel::{
    bindings,
    error::{
        from_err_ptr,
        to_result, //
    },
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        SetOnce, //
    },
    types::Opaque, //
};

/// What [`init`] made.
struct FileSystem {
    sb: NonNull<bindings::super_block>,
    /// The first of the device numbers.
    first: bindings::dev_t,
}

// SAFETY: Both objects live for ever, and C's functions for them may be called by any task.
unsafe impl Send for FileSystem {}
// SAFETY: As above.
unsafe impl Sync for FileSystem {}

static FILE_SYSTEM: SetOnce<FileSystem> = SetOnce::new();

/// The cache, which is needed before the rest is there: mounting makes an inode.
static CACHE: Atomic<*mut bindings::kmem_cache> = Atomic::new(ptr::null_mut());

/// A structure of C's that is static, and that C alone looks at.
#[repr(transparent)]
struct Shared<T>(T);

// SAFETY: It is constant, or C does its own locking.
unsafe impl<T> Sync for Shared<T> {}

static OPERATIONS: Shared<bindings::super_operations> = Shared(bindings::super_operations {
    statfs: Some(bindings::simple_statfs),
    alloc_inode: Some(alloc_inode),
    destroy_inode: Some(destroy_inode),
    free_inode: Some(free_inode),
    drop_inode: Some(bindings::inode_just_drop),
    ..pin_init::zeroed()
});

static TYPE: Shared<Opaque<bindings::file_system_type>> =
    Shared(Opaque::new(bindings::file_system_type {
        name: kernel::str::as_char_ptr_in_const_context(c"dax"),
        init_fs_context: Some(init_fs_context),
        kill_sb: Some(bindings::kill_anon_super),
        ..pin_init::zeroed()
    }));

/// # Safety
///
/// The VFS calls this for a context of [`TYPE`].
unsafe extern "C" fn init_fs_context(fc: *mut bindings::fs_context) -> c_int {
    // SAFETY: The function's contract.
    let context = unsafe { bindings::init_pseudo(fc, bindings::DAXFS_MAGIC as usize) };
    // SAFETY: C gives null or a context that is ours to fill.
    match unsafe { context.as_mut() } {
        Some(context) => {
            context.ops = &raw const OPERATIONS.0;
            0
        }
        None => ENOMEM.to_errno(),
    }
}

/// Makes a part of an object that outlives its use: slab memory that comes and goes is not cleared.
///
/// # Safety
///
/// The slab allocator calls this for a new object of the cache.
unsafe extern "C" fn init_once(object: *mut c_void) {
    let device: *mut DaxDevice = object.cast();
    // SAFETY: The object is new and large enough; the inode is at its start.
    unsafe {
        ptr::write_bytes(device.cast::<u8>(), 0, size_of::<DaxDevice>());
        bindings::inode_init_once(device.cast());
    }
}

/// # Safety
///
/// The VFS calls this for our super block.
unsafe extern "C" fn alloc_inode(sb: *mut bindings::super_block) -> *mut bindings::inode {
    // SAFETY: Mounted after the cache was made.
    let object = unsafe { bindings::dax_alloc_inode_sb(sb, CACHE.load(Relaxed)) };
    let device: *mut DaxDevice = object.cast();
    if device.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: Just allocated, at a place that it keeps.
    if unsafe { DaxDevice::fill(device) }.is_err() {
        // SAFETY: It comes from this cache, and nobody has seen it.
        unsafe { bindings::kmem_cache_free(CACHE.load(Relaxed), device.cast()) };
        return ptr::null_mut();
    }
    let inode: *mut bindings::inode = device.cast();
    // SAFETY: The inode is at the start. An inode without a number has no minor to give back.
    unsafe { (*inode).i_rdev = 0 };
    inode
}

/// # Safety
///
/// The VFS calls this for an inode that nobody refers to any more, in process context.
unsafe extern "C" fn destroy_inode(inode: *mut bindings::inode) {
    // SAFETY: Our inodes are at the start of devices, which were filled.
    unsafe {
        if (*inode.cast::<DaxDevice>()).has(Flag::Alive) {
            kernel::pr_warn_once!("kill_dax() must be called before final iput()\n");
        }
        DaxDevice::clear(inode.cast());
    }
}

/// # Safety
///
/// The VFS calls this after [`destroy_inode`] and a grace period, perhaps in an interrupt.
unsafe extern "C" fn free_inode(inode: *mut bindings::inode) {
    // SAFETY: The inode is ours and its device was cleared; what is left is memory and a number.
    unsafe {
        if (*inode).i_rdev != 0 {
            let minor = (*inode).i_rdev & bindings::MINORMASK;
            bindings::ida_free(&raw mut bindings::dax_minor_ida, minor);
        }
        bindings::kmem_cache_free(CACHE.load(Relaxed), inode.cast());
    }
}

/// Sets up the file system. To be called once, early.
pub(crate) fn init() -> Result {
    let args = bindings::kmem_cache_args {
        ctor: Some(init_once),
        ..pin_init::zeroed()
    };
    let flags = bindings::RDAX_SLAB_FLAGS;
    // CAST: An inode and little more.
    let size = size_of::<DaxDevice>() as u32;
    // SAFETY: All arguments are valid; C copies the name and what it needs of the others.
    let cache = unsafe {
        bindings::__kmem_cache_create_args(
            c"dax_cache".as_char_ptr(),
            size,
            (&raw const args).cast_mut(),
            flags,
        )
    };
    if cache.is_null() {
        return Err(ENOMEM);
    }
    CACHE.store(cache, Relaxed);

    // What follows fails only when the kernel cannot start; the little that was allocated stays.
    let mut first = 0;
    // SAFETY: `first` can be written to.
    to_result(unsafe {
        bindings::alloc_chrdev_region(&mut first, 0, bindings::MINORMASK + 1, c"dax".as_char_ptr())
    })?;
    // SAFETY: The type is static.
    let mount = from_err_ptr(unsafe { bindings::kern_mount(TYPE.0.get()) })?;
    // SAFETY: Just mounted, and never unmounted.
    let sb = NonNull::new(unsafe { (*mount).mnt_sb }).ok_or(ENOMEM)?;
    FILE_SYSTEM.populate(FileSystem { sb, first });
    Ok(())
}

/// # Safety
///
/// The VFS calls this for one of our inodes, with what [`get`] passed.
unsafe extern "C" fn test(inode: *mut bindings::inode, devt: *mut c_void) -> c_int {
    // SAFETY: The function's contract.
    unsafe { ((*inode).i_rdev == *devt.cast::<bindings::dev_t>()).into() }
}

/// # Safety
///
/// As for [`test`]; the inode is new.
unsafe extern "C" fn set(inode: *mut bindings::inode, devt: *mut c_void) -> c_int {
    // SAFETY: The function's contract.
    unsafe { (*inode).i_rdev = *devt.cast::<bindings::dev_t>() };
    0
}

/// The device with this number, which is made if it does not exist, with a reference.
///
/// May sleep. [`None`] when there is no memory.
pub(crate) fn get(mut devt: bindings::dev_t) -> Option<NonNull<DaxDevice>> {
    let fs = FILE_SYSTEM.as_ref()?;
    // SAFETY: The super block is ours, and so the callbacks know its inodes.
    let inode = unsafe {
        bindings::iget5_locked(
            fs.sb.as_ptr(),
            devt.into(),
            Some(test),
            Some(set),
            (&raw mut devt).cast(),
        )
    };
    let this = NonNull::new(inode.cast::<DaxDevice>())?;
    // SAFETY: One of our inodes, with a reference that nobody gives up before this returns.
    let device = unsafe { this.as_ref() };
    // SAFETY: A new inode is locked, and nobody else has it until it is unlocked.
    unsafe {
        if bindings::inode_state_read_once(inode) as u32 & bindings::inode_state_flags_enum_I_NEW
            != 0
        {
            device.set(Flag::Alive, true);
            (*inode).__bindgen_anon_5.i_cdev = device.cdev();
            (*inode).i_mode = bindings::S_IFCHR as u16;
            (*inode).i_flags = bindings::S_DAX;
            bindings::mapping_set_gfp_mask(&raw mut (*inode).i_data, bindings::GFP_USER);
            bindings::unlock_new_inode(inode);
        }
    }
    Some(this)
}

/// Makes a device that is alive and serves `ops` with the driver's data `private`, with a
/// reference.
///
/// May sleep. `EOPNOTSUPP` on machines whose caches cannot tell that one page is mapped at two
/// addresses: file systems map pages in user space that the kernel has mapped as well. A device
/// without operations, for device-dax alone, is fine there.
///
/// # Safety
///
/// `ops` must be null or valid for as long as the device is alive.
pub(crate) unsafe fn alloc(
    private: *mut c_void,
    ops: *const bindings::dax_operations,
) -> Result<NonNull<DaxDevice>> {
    let fs = FILE_SYSTEM.as_ref().ok_or(ENODEV)?;
    // SAFETY: The function's contract.
    if let Some(ops) = unsafe { ops.as_ref() } {
        // SAFETY: Always safe to ask.
        if unsafe { bindings::cpu_dcache_is_aliasing() } {
            return Err(EOPNOTSUPP);
        }
        if kernel::warn_on!(ops.zero_page_range.is_none()) {
            return Err(EINVAL);
        }
    }
    // SAFETY: The allocator is static.
    let minor = unsafe {
        bindings::ida_alloc_range(
            &raw mut bindings::dax_minor_ida,
            0,
            bindings::MINORMASK,
            bindings::GFP_KERNEL,
        )
    };
    let minor = u32::try_from(minor).map_err(|_| ENOMEM)?;
    let Some(this) = get(fs.first | minor) else {
        // SAFETY: Just allocated, and no inode has it.
        unsafe { bindings::ida_free(&raw mut bindings::dax_minor_ida, minor) };
        return Err(ENOMEM);
    };
    // SAFETY: The reference is still ours.
    let device = unsafe { this.as_ref() };
    // SAFETY: The function's contract; it was made just now.
    unsafe { device.set_driver(private, ops) };
    // SAFETY: The view is dropped before anything else of the device.
    let view = unsafe { View::new(device) };
    let old = core::mem::replace(&mut *device.core().view.lock(), view);
    drop(old);
    trace::alloc(device);
    Ok(this)
}
