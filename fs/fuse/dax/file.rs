// SPDX-License-Identifier: GPL-2.0

//! What is kept of an inode.

use super::{
    conn::Conn,
    window::{
        ahead::Run,
        table::List,
        File, //
    },
};
use core::{
    cell::Cell,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    },
    types::ForeignOwnable, //
};

/// What FUSE keeps in an inode's `dax` field.
///
/// C ends it by `kfree()`, after a grace period: it has nothing to drop.
struct InodeData {
    inode: NonNull<bindings::inode>,
    /// The connection, which outlives its inodes.
    conn: *mut c_void,
    /// Under the lock of the window.
    ranges: Cell<List>,
    /// Under the lock of the window.
    run: Cell<Run>,
}

const _: () = assert!(!core::mem::needs_drop::<InodeData>());

/// An inode of a connection that has a window.
///
/// # Invariants
///
/// `0` is what [`FileRef::alloc`] allocated for an inode that is not freed as long as this handle
/// is used: because the caller keeps it, or because a range has it, which eviction waits for.
#[derive(Clone, Copy)]
pub(crate) struct FileRef(NonNull<InodeData>);

// SAFETY: The data is used by one task at a time, under the lock of the window, or constant.
unsafe impl Send for FileRef {}

impl FileRef {
    /// Has an inode that is being made get its data.
    ///
    /// # Safety
    ///
    /// `fi` must be an inode of `conn`, which outlives it, that nobody else sees yet.
    pub(crate) unsafe fn alloc(fi: *mut bindings::fuse_inode, conn: *mut c_void) -> Result {
        // SAFETY: The function's contract.
        let inode = unsafe { bindings::rdax_fuse_vfs_inode(fi) };
        let data = KBox::new(
            InodeData {
                inode: NonNull::new(inode).ok_or(EINVAL)?,
                conn,
                ranges: Cell::new(List::EMPTY),
                run: Cell::new(Run::default()),
            },
            GFP_KERNEL_ACCOUNT,
        )?;
        // SAFETY: The function's contract. A `KBox` is memory of `kmalloc()`.
        unsafe { bindings::rdax_fuse_set_inode_data(fi, KBox::into_raw(data).cast()) };
        Ok(())
    }

    /// The data of an inode, if its connection has a window.
    ///
    /// # Safety
    ///
    /// `inode` must be an inode of FUSE that stays as long as the result is used.
    #[inline]
    pub(crate) unsafe fn of(inode: *mut bindings::inode) -> Option<Self> {
        // SAFETY: The function's contract.
        let data = unsafe { bindings::rdax_fuse_inode_data(inode) };
        // INVARIANT: This is what `alloc()` set.
        NonNull::new(data.cast()).map(Self)
    }

    fn data(&self) -> &InodeData {
        // SAFETY: The type invariant.
        unsafe { self.0.as_ref() }
    }

    /// The inode.
    pub(crate) fn inode(&self) -> *mut bindings::inode {
        self.data().inode.as_ptr()
    }

    /// The connection.
    #[inline]
    pub(crate) fn conn(&self) -> ArcBorrow<'_, Conn> {
        // SAFETY: `alloc()` was given what came from `into_foreign()`, which outlives the inode.
        unsafe { Arc::<Conn>::borrow(self.data().conn) }
    }
}

impl File for FileRef {
    fn id(&self) -> usize {
        self.0.as_ptr().addr()
    }

    fn ranges(&self) -> List {
        self.data().ranges.get()
    }

    fn set_ranges(&self, ranges: List) {
        self.data().ranges.set(ranges);
    }

    fn run(&self) -> Run {
        self.data().run.get()
    }

    fn set_run(&self, run: Run) {
        self.data().run.set(run);
    }
}
