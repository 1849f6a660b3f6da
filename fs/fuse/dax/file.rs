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
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        ArcBorrow, //
    },
    types::ForeignOwnable, //
};

/// The number of the next inode.
static NEXT: Atomic<u64> = Atomic::new(1);

/// What FUSE keeps in an inode's `dax` field.
///
/// C ends it by `kfree()`, after a grace period: it has nothing to drop.
struct InodeData {
    /// Never another inode's: the memory of this is used again for others.
    number: u64,
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
/// - `data` is what [`FileRef::alloc`] allocated for an inode that is not freed as long as this
///   handle is used: because the caller keeps it, or because a range has it, which eviction waits
///   for.
/// - `number` is that of `data`. It is here, too, so that no comparison of files reads the data of
///   either.
#[derive(Clone, Copy)]
pub(crate) struct FileRef {
    data: NonNull<InodeData>,
    number: u64,
}

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
                number: NEXT.fetch_add(1_u64, Relaxed),
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
        let data = NonNull::<InodeData>::new(data.cast())?;
        // SAFETY: This is what `alloc()` set, and stays as long as the inode.
        let number = unsafe { data.as_ref() }.number;
        // INVARIANT: As above.
        Some(Self { data, number })
    }

    fn data(&self) -> &InodeData {
        // SAFETY: The type invariant.
        unsafe { self.data.as_ref() }
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
    #[inline]
    fn id(&self) -> u64 {
        self.number
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
