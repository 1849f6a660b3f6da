// SPDX-License-Identifier: GPL-2.0

//! The C interface, but for devices (`device.rs`): what `fs/fuse/fuse_i.h` and `dax_glue.h`
//! declare, and the tables of functions that C calls.

use super::{
    device, fault,
    file::FileRef,
    fuse::{
        says_dax,
        Connection, //
    },
    iomap,
    kiocb::{
        Io,
        READ,
        WRITE, //
    },
    read,
    vfs::{
        self,
        Extent,
        Inode, //
    },
    vmf::{
        Fault,
        Outcome, //
    },
    write,
};
use kernel::{
    bindings,
    prelude::*, //
};

/// Converts a result to C's `int`.
fn to_int(result: Result) -> c_int {
    match result {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

// -- Connections

/// Creates the window of a connection, if its device has one.
///
/// # Safety
///
/// FUSE calls this for a connection that nothing uses yet, with null or a device of
/// [`device::fuse_dax_setup_window`] that is not going away meanwhile.
#[export]
pub(crate) unsafe extern "C" fn rdax_fuse_conn_alloc(
    fc: *mut bindings::fuse_conn,
    dax_dev: *mut bindings::dax_device,
) -> c_int {
    if dax_dev.is_null() {
        return 0;
    }
    // SAFETY: The function's contract.
    let conn = match unsafe { device::connect(fc, dax_dev) } {
        Ok(conn) => conn,
        Err(error) => return error.to_errno(),
    };
    // SAFETY: The function's contract.
    let fc = unsafe { Connection::from_raw(fc) };
    // SAFETY: The function's contract.
    unsafe { fc.set_window(conn) };
    0
}

/// # Safety
///
/// FUSE calls this for a connection that nothing uses any more.
#[export]
pub(crate) unsafe extern "C" fn fuse_dax_conn_free(fc: *mut bindings::fuse_conn) {
    // SAFETY: The function's contract.
    let fc = unsafe { Connection::from_raw(fc) };
    // SAFETY: The function's contract; `fc` is not used any more.
    if let Some(conn) = unsafe { fc.take_window() } {
        conn.as_arc_borrow().shut_down();
        conn.link().disconnect();
    }
}

/// # Safety
///
/// FUSE calls this before it evicts the inodes of a connection.
#[export]
pub(crate) unsafe extern "C" fn fuse_dax_cancel_work(fc: *mut bindings::fuse_conn) {
    // SAFETY: The function's contract.
    let fc = unsafe { Connection::from_raw(fc) };
    if let Some(conn) = fc.window() {
        conn.shut_down();
    }
}

/// Sets the alignment of the server; false refuses the server.
///
/// # Safety
///
/// FUSE calls this for a connection that is being set up.
#[export]
pub(crate) unsafe extern "C" fn fuse_dax_check_alignment(
    fc: *mut bindings::fuse_conn,
    map_alignment: c_uint,
) -> bool {
    // SAFETY: The function's contract.
    let fc = unsafe { Connection::from_raw(fc) };
    let Some(conn) = fc.window() else {
        return true;
    };
    let fits = conn.update(|window| window.set_alignment(map_alignment));
    if !fits {
        pr_warn!(
            "the server maps multiples of 2^{} bytes, which is more than 2 MiB\n",
            map_alignment
        );
    }
    fits
}

// -- Inodes

/// # Safety
///
/// FUSE calls this for an inode that is being made.
#[export]
pub(crate) unsafe extern "C" fn fuse_dax_inode_alloc(
    sb: *mut bindings::super_block,
    fi: *mut bindings::fuse_inode,
) -> bool {
    // SAFETY: The function's contract: the superblock has its connection.
    let fc = unsafe { Connection::of_super(sb) };
    // SAFETY: The function's contract. The connection outlives its inodes.
    unsafe { FileRef::alloc(fi, fc) }.is_ok()
}

/// The functions of a mapping with DAX. Its pages are the host's page cache, which the host writes
/// back.
struct AddressSpace(bindings::address_space_operations);

// SAFETY: It is constant.
unsafe impl Sync for AddressSpace {}

static ADDRESS_SPACE: AddressSpace = AddressSpace(bindings::address_space_operations {
    direct_IO: Some(bindings::noop_direct_IO),
    dirty_folio: Some(bindings::noop_dirty_folio),
    ..pin_init::zeroed()
});

/// # Safety
///
/// FUSE calls this for the inode of a regular file that is new (`I_NEW`).
#[export]
pub(crate) unsafe extern "C" fn fuse_dax_inode_init(inode: *mut bindings::inode, flags: c_uint) {
    // SAFETY: The function's contract.
    let inode = unsafe { Inode::from_raw(inode) };
    if Connection::of(inode).wants_dax(flags) {
        // SAFETY: The function's contract.
        unsafe { inode.set_dax(&ADDRESS_SPACE.0) };
    }
}

/// Evicts an inode soon if its use of DAX is not what the server wants now; the next one will be.
///
/// # Safety
///
/// FUSE calls this for an inode that it keeps.
#[export]
pub(crate) unsafe extern "C" fn fuse_dax_dontcache(inode: *mut bindings::inode, flags: c_uint) {
    // SAFETY: The function's contract.
    let inode = unsafe { Inode::from_raw(inode) };
    if Connection::of(inode).leaves_to_inodes() && inode.has_dax() != says_dax(flags) {
        inode.do_not_cache();
    }
}

/// # Safety
///
/// FUSE calls this for an inode with DAX that is evicted, after its pages are gone.
#[export]
pub(crate) unsafe extern "C" fn fuse_dax_inode_cleanup(inode: *mut bindings::inode) {
    // SAFETY: The function's contract.
    let inode = unsafe { Inode::from_raw(inode) };
    if let Some(file) = inode.file() {
        // SAFETY: The function's contract.
        unsafe { file.conn().forget(file) };
    }
}

/// Takes the pages of `start` up to and including `end` from page tables and caches; waits until
/// none has a reference.
///
/// # Safety
///
/// FUSE calls this with the inode's lock and `invalidate_lock` held, the latter exclusively.
#[export]
pub(crate) unsafe extern "C" fn fuse_dax_break_layouts(
    inode: *mut bindings::inode,
    start: u64,
    end: u64,
) -> c_int {
    // SAFETY: The function's contract.
    let inode = unsafe { Inode::from_raw(inode) };
    // SAFETY: The function's contract.
    unsafe { inode.break_layouts(start, end) }
}

// -- Read and write

/// # Safety
///
/// FUSE calls this for a file with DAX.
#[export]
pub(crate) unsafe extern "C" fn fuse_dax_read_iter(
    iocb: *mut bindings::kiocb,
    to: *mut bindings::iov_iter,
) -> isize {
    // SAFETY: The function's contract.
    read::read(unsafe { Io::<READ>::from_raw(iocb, to) })
}

/// # Safety
///
/// FUSE calls this for a file with DAX.
#[export]
pub(crate) unsafe extern "C" fn fuse_dax_write_iter(
    iocb: *mut bindings::kiocb,
    from: *mut bindings::iov_iter,
) -> isize {
    // SAFETY: The function's contract.
    write::write(unsafe { Io::<WRITE>::from_raw(iocb, from) })
}

/// # Safety
///
/// `fs/dax.c` calls this, through `iomap_iter()`, for an inode with DAX that it keeps.
#[export]
pub(crate) unsafe extern "C" fn rdax_fuse_iomap_begin(
    inode: *mut bindings::inode,
    pos: bindings::loff_t,
    length: bindings::loff_t,
    flags: c_uint,
    iomap: *mut bindings::iomap,
    _srcmap: *mut bindings::iomap,
) -> c_int {
    // SAFETY: The function's contract.
    let inode = unsafe { Inode::from_raw(inode) };
    // SAFETY: The function's contract.
    let Some(extent) = (unsafe { Extent::from_raw(inode, iomap, pos, length, flags) }) else {
        return EIO.to_errno();
    };
    to_int(iomap::begin(extent))
}

/// # Safety
///
/// As for [`rdax_fuse_iomap_begin`], with what that filled in.
#[export]
pub(crate) unsafe extern "C" fn rdax_fuse_iomap_end(
    inode: *mut bindings::inode,
    _pos: bindings::loff_t,
    _length: bindings::loff_t,
    _written: isize,
    _flags: c_uint,
    iomap: *mut bindings::iomap,
) -> c_int {
    // SAFETY: The function's contract.
    let inode = unsafe { Inode::from_raw(inode) };
    // SAFETY: The function's contract.
    unsafe { vfs::end(inode, iomap) };
    // Writes past the end of the file do not get here, so the size of the file does not change.
    0
}

// -- Mappings

/// # Safety
///
/// The memory manager calls this for a mapping that [`fuse_dax_mmap`] made.
unsafe extern "C" fn small_fault(vmf: *mut bindings::vm_fault) -> Outcome {
    // SAFETY: The function's contract.
    let fault = unsafe { Fault::from_raw(vmf) };
    let write = fault.for_write();
    fault::handle(fault, 0, write)
}

/// # Safety
///
/// As for [`small_fault`].
unsafe extern "C" fn huge_fault(vmf: *mut bindings::vm_fault, order: c_uint) -> Outcome {
    // SAFETY: The function's contract.
    let fault = unsafe { Fault::from_raw(vmf) };
    let write = fault.for_write();
    fault::handle(fault, order, write)
}

/// # Safety
///
/// As for [`small_fault`].
unsafe extern "C" fn make_writable(vmf: *mut bindings::vm_fault) -> Outcome {
    // SAFETY: The function's contract.
    let fault = unsafe { Fault::from_raw(vmf) };
    fault::handle(fault, 0, true)
}

/// The functions of a mapping into memory.
struct VmOperations(bindings::vm_operations_struct);

// SAFETY: It is constant.
unsafe impl Sync for VmOperations {}

static VM_OPERATIONS: VmOperations = VmOperations(bindings::vm_operations_struct {
    fault: Some(small_fault),
    huge_fault: Some(huge_fault),
    page_mkwrite: Some(make_writable),
    pfn_mkwrite: Some(make_writable),
    ..pin_init::zeroed()
});

/// # Safety
///
/// FUSE calls this for a file with DAX and a mapping of it that is being made.
#[export]
pub(crate) unsafe extern "C" fn fuse_dax_mmap(
    file: *mut bindings::file,
    vma: *mut bindings::vm_area_struct,
) -> c_int {
    // SAFETY: The function's contract.
    unsafe { bindings::file_accessed(file) };
    // SAFETY: The function's contract; the table is static.
    unsafe { (*vma).vm_ops = &raw const VM_OPERATIONS.0 };
    // SAFETY: The function's contract.
    unsafe { bindings::rdax_vma_set_dax(vma) };
    0
}
