// SPDX-License-Identifier: GPL-2.0

//! The rest of the C interface: what `fs/fuse/fuse_i.h` declares.

use super::{
    conn::Conn,
    device,
    file::FileRef, //
};
use core::ptr;
use kernel::{
    bindings,
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    },
    types::ForeignOwnable, //
};

/// `enum fuse_dax_mode`.
const MODE_ALWAYS: c_uint = 1;
/// As above. What is left are the two ways of asking for each inode.
const MODE_NEVER: c_uint = 2;

/// The window of a connection, if it has one.
///
/// # Safety
///
/// `fc` must be a connection that has its window as long as the result is used.
unsafe fn conn<'a>(fc: *mut bindings::fuse_conn) -> Option<ArcBorrow<'a, Conn>> {
    // SAFETY: The function's contract.
    let window = unsafe { bindings::rdax_fuse_conn_window(fc) };
    if window.is_null() {
        return None;
    }
    // SAFETY: This is what `rdax_fuse_conn_alloc()` set.
    Some(unsafe { Arc::<Conn>::borrow(window) })
}

/// Gives a connection its window, if its device has one.
///
/// # Safety
///
/// FUSE calls this for a connection that nobody uses yet, with null or a device of
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
    match unsafe { device::connect(fc, dax_dev) } {
        Ok(conn) => {
            // SAFETY: The function's contract.
            unsafe { bindings::rdax_fuse_set_conn_window(fc, conn.into_foreign()) };
            0
        }
        Err(error) => error.to_errno(),
    }
}

/// # Safety
///
/// FUSE calls this for a connection that nobody uses any more.
#[export]
pub(crate) unsafe extern "C" fn fuse_dax_conn_free(fc: *mut bindings::fuse_conn) {
    // SAFETY: The function's contract.
    unsafe {
        let window = bindings::rdax_fuse_conn_window(fc);
        if window.is_null() {
            return;
        }
        bindings::rdax_fuse_set_conn_window(fc, ptr::null_mut());
        let conn = Arc::<Conn>::from_foreign(window);
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
    if let Some(conn) = unsafe { conn(fc) } {
        conn.shut_down();
    }
}

/// Takes over what the server can map; false refuses the server.
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
    let Some(conn) = (unsafe { conn(fc) }) else {
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

/// # Safety
///
/// FUSE calls this for an inode that is being made.
#[export]
pub(crate) unsafe extern "C" fn fuse_dax_inode_alloc(
    sb: *mut bindings::super_block,
    fi: *mut bindings::fuse_inode,
) -> bool {
    // SAFETY: The function's contract. The connection outlives its inodes.
    unsafe {
        bindings::rdax_fuse_set_inode_data(fi, ptr::null_mut());
        let window = bindings::rdax_fuse_conn_window(bindings::rdax_fuse_sb_conn(sb));
        window.is_null() || FileRef::alloc(fi, window).is_ok()
    }
}

/// Whether an inode for which the server says `flags` is to have DAX.
///
/// # Safety
///
/// `fc` must be a connection that the caller keeps.
unsafe fn wants_dax(fc: *mut bindings::fuse_conn, flags: c_uint) -> bool {
    // SAFETY: The function's contract.
    let (window, mode, per_inode) = unsafe {
        (
            bindings::rdax_fuse_conn_window(fc),
            bindings::rdax_fuse_conn_mode(fc),
            bindings::rdax_fuse_conn_per_inode(fc),
        )
    };
    match mode {
        MODE_NEVER => false,
        // A device without a window: who did not insist on DAX does without.
        _ if window.is_null() => false,
        MODE_ALWAYS => true,
        _ => per_inode && flags & bindings::FUSE_ATTR_DAX != 0,
    }
}

/// The functions of a mapping with DAX. Its pages are the host's, who writes them back.
struct Operations(bindings::address_space_operations);

// SAFETY: It is constant.
unsafe impl Sync for Operations {}

static OPERATIONS: Operations = Operations(bindings::address_space_operations {
    direct_IO: Some(bindings::noop_direct_IO),
    dirty_folio: Some(bindings::noop_dirty_folio),
    ..pin_init::zeroed()
});

/// # Safety
///
/// FUSE calls this for the inode of a regular file that is being made.
#[export]
pub(crate) unsafe extern "C" fn fuse_dax_inode_init(inode: *mut bindings::inode, flags: c_uint) {
    // SAFETY: The function's contract; the table is static.
    unsafe {
        if !wants_dax(bindings::rdax_fuse_inode_conn(inode), flags) {
            return;
        }
        (*inode).i_flags |= bindings::S_DAX;
        (*inode).i_data.a_ops = &raw const OPERATIONS.0;
    }
}

/// Has an inode go soon that is not as the server wants it now; the next one will be.
///
/// # Safety
///
/// FUSE calls this for an inode that it keeps.
#[export]
pub(crate) unsafe extern "C" fn fuse_dax_dontcache(inode: *mut bindings::inode, flags: c_uint) {
    // SAFETY: The function's contract.
    unsafe {
        let mode = bindings::rdax_fuse_conn_mode(bindings::rdax_fuse_inode_conn(inode));
        let has = (*inode).i_flags & bindings::S_DAX != 0;
        let wants = flags & bindings::FUSE_ATTR_DAX != 0;
        if !matches!(mode, MODE_ALWAYS | MODE_NEVER) && has != wants {
            bindings::d_mark_dontcache(inode);
        }
    }
}

/// # Safety
///
/// FUSE calls this for an inode with DAX that is evicted, after its pages are gone.
#[export]
pub(crate) unsafe extern "C" fn fuse_dax_inode_cleanup(inode: *mut bindings::inode) {
    // SAFETY: The function's contract.
    if let Some(file) = unsafe { FileRef::of(inode) } {
        file.conn().forget(&file);
    }
}

/// Lets go of the lock while somebody has references to pages.
///
/// # Safety
///
/// `dax_break_layout()` calls this for the inode that [`fuse_dax_break_layouts`] was called for.
unsafe extern "C" fn wait_unlocked(inode: *mut bindings::inode) {
    // SAFETY: The function's contract.
    unsafe {
        bindings::filemap_invalidate_unlock((*inode).i_mapping);
        bindings::schedule();
        bindings::filemap_invalidate_lock((*inode).i_mapping);
    }
}

/// Takes the pages of `start` up to and including `end` from all who have them; waits until those
/// who have references gave them up.
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
    unsafe {
        // CAST: C's callers say -1 for the end of the file.
        bindings::dax_break_layout(inode, start as i64, end as i64, Some(wait_unlocked))
    }
}
