// SPDX-License-Identifier: GPL-2.0

//! The data of an inode.

use super::{
    conn::{
        Conn,
        Manager, //
    },
    fuse::Connection,
    vfs::Inode,
    window::{
        File,
        Kept, //
    },
};
use core::{
    cell::Cell,
    ptr::{
        self,
        NonNull, //
    }, //
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
/// C frees it by `kfree()`, after a grace period, so it must not need drop.
struct InodeData {
    handle: FileRef,
    inode: *mut bindings::inode,
    /// The connection, which outlives its inodes.
    conn: *mut c_void,
    /// Under the lock of the window.
    kept: Cell<Kept>,
}

const _: () = assert!(!core::mem::needs_drop::<InodeData>());

/// An inode of a connection that has a window.
///
/// It is borrowed from an [`Inode`]. No safe function makes another one: those of [`File::handle`]
/// are for the window, whose ranges have them.
///
/// # Invariants
///
/// - `data` is what [`FileRef::alloc`] allocated for an inode that is not freed as long as this
///   handle is used: because of the [`Inode`], or because a range has it, which eviction waits for.
/// - `number` is that of no other inode, the memory of which may be used again for others. It is in
///   the handle so that no comparison of files reads the data of either.
pub(crate) struct FileRef {
    data: NonNull<InodeData>,
    number: u64,
}

// SAFETY: The data is used by one task at a time, under the lock of the window, or constant.
unsafe impl Send for FileRef {}

impl FileRef {
    /// Allocates the data of a new inode, if its connection has a window.
    ///
    /// # Safety
    ///
    /// `fi` must be an inode of `fc`, which outlives it, that nothing else sees yet.
    pub(crate) unsafe fn alloc(fi: *mut bindings::fuse_inode, fc: Connection<'_>) -> Result {
        // SAFETY: The function's contract.
        unsafe { bindings::rdax_fuse_set_inode_data(fi, ptr::null_mut()) };
        let conn = fc.raw_window();
        if conn.is_null() {
            return Ok(());
        }
        let mut data = KBox::<InodeData>::new_uninit(GFP_KERNEL_ACCOUNT)?;
        let handle = Self {
            data: NonNull::from(&mut *data).cast(),
            number: NEXT.fetch_add(1_u64, Relaxed),
        };
        let data = KBox::write(
            data,
            InodeData {
                handle,
                // SAFETY: The function's contract.
                inode: unsafe { bindings::rdax_fuse_vfs_inode(fi) },
                conn,
                kept: Cell::new(Kept::default()),
            },
        );
        // SAFETY: The function's contract. A `KBox` is memory of `kmalloc()`.
        unsafe { bindings::rdax_fuse_set_inode_data(fi, KBox::into_raw(data).cast()) };
        Ok(())
    }

    /// The data of an inode, if its connection has a window.
    #[inline]
    pub(crate) fn of(inode: Inode<'_>) -> Option<&Self> {
        // SAFETY: `Inode` keeps it.
        let data = unsafe { bindings::rdax_fuse_inode_data(inode.as_raw()) };
        let data = NonNull::<InodeData>::new(data.cast())?;
        // SAFETY: This is what `alloc()` set, and stays as long as the inode.
        Some(unsafe { &data.as_ref().handle })
    }

    fn data(&self) -> &InodeData {
        // SAFETY: The type invariant.
        unsafe { self.data.as_ref() }
    }

    /// The inode.
    pub(crate) fn inode(&self) -> Inode<'_> {
        // SAFETY: The data is gone before the inode is.
        unsafe { Inode::from_raw(self.data().inode) }
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

    fn is_of(&self, window: &Manager) -> bool {
        self.conn().has(window)
    }

    unsafe fn handle(&self) -> Self {
        // INVARIANT: The function's contract.
        Self {
            data: self.data,
            number: self.number,
        }
    }

    unsafe fn kept(&self) -> Kept {
        self.data().kept.get()
    }

    unsafe fn set_kept(&self, kept: Kept) {
        self.data().kept.set(kept);
    }
}
