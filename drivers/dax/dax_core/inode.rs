// SPDX-License-Identifier: GPL-2.0

//! The pseudo file system that the inodes of devices belong to.
//!
//! An inode provides the reference count, the lookup by number, and a mapping for device-dax.

use super::{
    device::{
        DaxDevice,
        Flag, //
    },
    read_section::ReadSections,
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
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        },
        SetOnce, //
    },
    types::Opaque, //
};

/// An object of the cache.
///
/// C's inode and `dax_device` are at its start.
#[repr(C)]
struct Object {
    device: DaxDevice,
    /// The device's file in debugfs, if it has one.
    view: SetOnce<View>,
}

/// The state that [`init()`] sets up.
struct FileSystem {
    sb: NonNull<bindings::super_block>,
    /// The first of the device numbers.
    first: bindings::dev_t,
}

// SAFETY: Both objects live for ever, and C's functions for them may be called by any task.
unsafe impl Send for FileSystem {}
// SAFETY: Both objects live for ever, and C's functions for them may be called by any task.
unsafe impl Sync for FileSystem {}

static FILE_SYSTEM: SetOnce<FileSystem> = SetOnce::new();

/// The cache. It is needed before the rest exists, because mounting allocates an inode.
static CACHE: Atomic<*mut bindings::kmem_cache> = Atomic::new(ptr::null_mut());

/// A static structure of C's, which only C accesses.
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
    // SAFETY: By the function's contract `fc` is the context of a mount that begins.
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

/// Initializes the part of an object that survives its reuse: the slab does not clear freed
/// objects.
///
/// # Safety
///
/// The slab allocator calls this for a new object of the cache.
unsafe extern "C" fn init_once(object: *mut c_void) {
    // SAFETY: The object is new, and as large as the cache makes them.
    unsafe { ptr::write_bytes(object.cast::<u8>(), 0, size_of::<Object>()) };
    // SAFETY: The inode is at the start of the object.
    unsafe { bindings::inode_init_once(object.cast()) };
}

/// # Safety
///
/// The VFS calls this for our super block.
unsafe extern "C" fn alloc_inode(sb: *mut bindings::super_block) -> *mut bindings::inode {
    // SAFETY: Mounted after the cache was made.
    let object = unsafe { bindings::dax_alloc_inode_sb(sb, CACHE.load(Relaxed)) };
    let object: *mut Object = object.cast();
    if object.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: Just allocated, at a place that it keeps.
    if unsafe { DaxDevice::fill(&raw mut (*object).device) }.is_err() {
        // SAFETY: It comes from this cache, and is not published yet.
        unsafe { bindings::kmem_cache_free(CACHE.load(Relaxed), object.cast()) };
        return ptr::null_mut();
    }
    // SAFETY: Just allocated, with room for it.
    unsafe { (&raw mut (*object).view).write(SetOnce::new()) };
    let inode: *mut bindings::inode = object.cast();
    // SAFETY: The inode is at the start. An inode without a number has no minor to give back.
    unsafe { (*inode).i_rdev = 0 };
    inode
}

/// # Safety
///
/// The VFS calls this for an inode without references, in process context.
unsafe extern "C" fn destroy_inode(inode: *mut bindings::inode) {
    let object: *mut Object = inode.cast();
    // SAFETY: Our inodes are at the start of objects, and the devices in these were filled.
    if unsafe { (*object).device.has(Flag::Alive) } {
        kernel::pr_warn_once!("kill_dax() must be called before final iput()\n");
    }
    // SAFETY: There are no references to the object. The view is dropped before what it shows.
    unsafe { ptr::drop_in_place(&raw mut (*object).view) };
    // SAFETY: There are no references to the object, and its device was filled.
    unsafe { DaxDevice::clear(&raw mut (*object).device) };
}

/// # Safety
///
/// The VFS calls this after [`destroy_inode`] and a grace period, perhaps in an interrupt.
unsafe extern "C" fn free_inode(inode: *mut bindings::inode) {
    // SAFETY: The inode is ours, and there are no references to it.
    let devt = unsafe { (*inode).i_rdev };
    if devt != 0 {
        let minor = devt & bindings::MINORMASK;
        // SAFETY: The allocator is static, and the number was the inode's.
        unsafe { bindings::ida_free(&raw mut bindings::dax_minor_ida, minor) };
    }
    // SAFETY: The object comes from this cache. What was in it was dropped before.
    unsafe { bindings::kmem_cache_free(CACHE.load(Relaxed), inode.cast()) };
}

/// Sets up the file system. Called once, early.
pub(crate) fn init() -> Result {
    let args = bindings::kmem_cache_args {
        ctor: Some(init_once),
        ..pin_init::zeroed()
    };
    let flags = bindings::RDAX_SLAB_FLAGS;
    // CAST: An inode and little more.
    let size = size_of::<Object>() as u32;
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

    // The rest fails only if the kernel cannot start; the little that was allocated stays.
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
    // SAFETY: By the function's contract `devt` is what `get()` passed.
    let devt = unsafe { *devt.cast::<bindings::dev_t>() };
    // SAFETY: By the function's contract the inode is valid.
    unsafe { (*inode).i_rdev == devt }.into()
}

/// # Safety
///
/// As for [`test()`]; the inode is new.
unsafe extern "C" fn set(inode: *mut bindings::inode, devt: *mut c_void) -> c_int {
    // SAFETY: By the function's contract `devt` is what `get()` passed.
    let devt = unsafe { *devt.cast::<bindings::dev_t>() };
    // SAFETY: By the function's contract the inode is new, and not published yet.
    unsafe { (*inode).i_rdev = devt };
    0
}

/// Looks up the device with this number, or allocates it, and takes a reference.
///
/// May sleep. [`None`] when there is no memory.
pub(crate) fn get(mut devt: bindings::dev_t) -> Option<ARef<DaxDevice>> {
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
    // SAFETY: One of our inodes, which are at the start of devices, with a reference that is ours.
    let device = unsafe { ARef::from_raw(NonNull::new(inode.cast::<DaxDevice>())?) };
    // SAFETY: The inode is valid.
    // CAST: A word of flags.
    let state = unsafe { bindings::inode_state_read_once(inode) } as u32;
    if state & bindings::inode_state_flags_enum_I_NEW != 0 {
        device.set(Flag::Alive, true);
        // SAFETY: A new inode is locked, and no other task accesses it until it is unlocked.
        unsafe {
            (*inode).__bindgen_anon_5.i_cdev = device.cdev();
            (*inode).i_mode = bindings::S_IFCHR as u16;
            (*inode).i_flags = bindings::S_DAX;
        }
        // SAFETY: The mapping is part of the inode, which no other task accesses until it is
        // unlocked.
        unsafe { bindings::mapping_set_gfp_mask(&raw mut (*inode).i_data, bindings::GFP_USER) };
        // SAFETY: The inode is new and set up.
        unsafe { bindings::unlock_new_inode(inode) };
    }
    Some(device)
}

/// Allocates a device that is alive, with a reference, for a driver with `ops` and `private`.
///
/// May sleep. `EOPNOTSUPP` on machines with aliasing data caches: file systems map pages to user
/// space that the kernel has mapped as well. A device without operations, for device-dax alone, is
/// fine there.
///
/// # Safety
///
/// `ops` must be null or valid for as long as the device is alive.
pub(crate) unsafe fn alloc(
    private: *mut c_void,
    ops: *const bindings::dax_operations,
) -> Result<ARef<DaxDevice>> {
    let fs = FILE_SYSTEM.as_ref().ok_or(ENODEV)?;
    let mut readers = None;
    // SAFETY: By the function's contract it is null or valid.
    if let Some(ops) = unsafe { ops.as_ref() } {
        // SAFETY: Always safe to ask.
        if unsafe { bindings::cpu_dcache_is_aliasing() } {
            return Err(EOPNOTSUPP);
        }
        if kernel::warn_on!(ops.zero_page_range.is_none()) {
            return Err(EINVAL);
        }
        if ops.own_memory {
            readers = Some(KBox::pin_init(ReadSections::new(), GFP_KERNEL)?);
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
    let Some(device) = get(fs.first | minor) else {
        // SAFETY: Just allocated, and no inode has it.
        unsafe { bindings::ida_free(&raw mut bindings::dax_minor_ida, minor) };
        return Err(ENOMEM);
    };
    // SAFETY: By the function's contract `ops` is null or valid; the device was made just now.
    unsafe { device.set_driver(private, ops, readers) };
    // SAFETY: `destroy_inode()` drops the view before the device.
    let view = unsafe { View::new(&device) };
    trace::alloc(device.minor());
    let device = ARef::into_raw(device);
    if let Some(view) = view {
        let object: *mut Object = device.as_ptr().cast();
        // SAFETY: Every device is at the start of an object of the cache, which the reference
        // keeps.
        unsafe { (*object).view.populate(view) };
    }
    // SAFETY: The reference was made raw above.
    Ok(unsafe { ARef::from_raw(device) })
}
