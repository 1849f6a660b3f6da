// SPDX-License-Identifier: GPL-2.0

//! Inodes, open files and their locks; what `fs/dax.c` asks about files.
//!
//! What C hands to one call is a type with the lifetime of that call here, in `kiocb.rs` and in
//! `vmf.rs`, so that safe code cannot use it later.

use super::{
    file::FileRef,
    held::Held,
    window::units::{
        FilePage,
        FilePages,
        RangeId,
        WindowPage,
        PAGE_SHIFT, //
    },
};
use core::marker::PhantomData;
use kernel::{
    bindings,
    dax,
    fs::File,
    page::PAGE_SIZE,
    prelude::*,
    sync::aref::ARef,
    types::NotThreadSafe, //
};

const _: () = assert!(PAGE_SIZE == 1 << PAGE_SHIFT);

/// An inode of FUSE.
///
/// # Invariants
///
/// `raw` is an inode of FUSE that is not freed during `'a`.
#[derive(Clone, Copy)]
pub(crate) struct Inode<'a> {
    raw: *mut bindings::inode,
    _stays: PhantomData<&'a bindings::inode>,
}

impl<'a> Inode<'a> {
    /// # Safety
    ///
    /// `raw` must be an inode of FUSE that is not freed during `'a`.
    #[inline]
    pub(crate) unsafe fn from_raw(raw: *mut bindings::inode) -> Self {
        // INVARIANT: The function's contract.
        Self {
            raw,
            _stays: PhantomData,
        }
    }

    #[inline]
    pub(crate) fn as_raw(self) -> *mut bindings::inode {
        self.raw
    }

    /// Its data, if its connection has a window.
    #[inline]
    pub(crate) fn file(self) -> Option<&'a FileRef> {
        FileRef::of(self)
    }

    /// The size of the file in bytes, as it is now.
    #[inline]
    pub(crate) fn size(self) -> u64 {
        // SAFETY: The type invariant.
        let size = unsafe { bindings::i_size_read(self.raw) };
        u64::try_from(size).unwrap_or(0)
    }

    /// The size of the file in pages, as it is now.
    #[inline]
    pub(crate) fn pages(self) -> FilePages {
        FilePages::of_bytes(self.size())
    }

    fn mapping(self) -> *mut bindings::address_space {
        // SAFETY: The type invariant. An inode keeps its mapping.
        unsafe { (*self.raw).i_mapping }
    }

    fn super_block(self) -> *mut bindings::super_block {
        // SAFETY: The type invariant. An inode keeps its superblock.
        unsafe { (*self.raw).i_sb }
    }

    /// Invalidates the access time, which is the server's and has just changed there.
    pub(crate) fn invalidate_atime(self) {
        // SAFETY: The type invariant.
        unsafe { bindings::fuse_invalidate_atime(self.raw) };
    }

    /// Whether it has DAX.
    pub(crate) fn has_dax(self) -> bool {
        // SAFETY: The type invariant. One bit, which is set while the inode is new.
        unsafe { (*self.raw).i_flags & bindings::S_DAX != 0 }
    }

    /// Gives it DAX, and its mapping these functions.
    ///
    /// # Safety
    ///
    /// The inode must be new (`I_NEW`): tasks that find it wait until it is not.
    pub(crate) unsafe fn set_dax(self, ops: &'static bindings::address_space_operations) {
        // SAFETY: The type invariant. By the function's contract no task reads the flags yet.
        unsafe { (*self.raw).i_flags |= bindings::S_DAX };
        // SAFETY: As above.
        unsafe { (*self.raw).i_data.a_ops = ops };
    }

    /// Evicts it as soon as it is not in use.
    pub(crate) fn do_not_cache(self) {
        // SAFETY: The type invariant.
        unsafe { bindings::d_mark_dontcache(self.raw) };
    }

    /// Takes the bytes of `start` up to and including `last` from page tables and caches; false if
    /// some pages have references. Does not wait for these.
    pub(crate) fn drop_pages(self, start: u64, last: u64) -> bool {
        // SAFETY: The type invariant. Without a callback the function does not wait for references,
        // and needs no lock.
        // CAST: Offsets in files are not negative.
        let error =
            unsafe { bindings::dax_break_layout(self.raw, start as i64, last as i64, None) };
        error == 0
    }

    /// Kills the tasks that have `page` mapped, as `memory_failure()` with `flags`.
    pub(crate) fn kill_users(self, page: FilePage, flags: c_int) -> Result {
        // CAST: Offsets in pages fit on 64-bit machines.
        let index = page.0 as usize;
        // SAFETY: The type invariant.
        let killed = unsafe { bindings::rdax_kill_procs(self.mapping(), index, 1, flags) };
        kernel::error::to_result(killed)
    }

    /// Takes the pages of `start` up to and including `end` from page tables and caches, and waits
    /// until none has a reference; an error number.
    ///
    /// # Safety
    ///
    /// The caller holds the inode's lock and `invalidate_lock`, the latter exclusively.
    pub(crate) unsafe fn break_layouts(self, start: u64, end: u64) -> c_int {
        // SAFETY: The type invariant and the function's contract.
        // CAST: C's callers say -1 for the end of the file.
        unsafe {
            bindings::dax_break_layout(self.raw, start as i64, end as i64, Some(wait_unlocked))
        }
    }
}

/// Releases `invalidate_lock` during a wait for pages with references.
///
/// # Safety
///
/// `dax_break_layout()` calls this for [`Inode::break_layouts`].
unsafe extern "C" fn wait_unlocked(inode: *mut bindings::inode) {
    // SAFETY: The function's contract.
    let inode = unsafe { Inode::from_raw(inode) };
    // SAFETY: The caller of `break_layouts()` holds the lock exclusively.
    unsafe { bindings::filemap_invalidate_unlock(inode.mapping()) };
    // SAFETY: What is locked still may be held by a task that sleeps.
    unsafe { bindings::schedule() };
    // SAFETY: It was unlocked above.
    unsafe { bindings::filemap_invalidate_lock(inode.mapping()) };
}

/// The lock of an inode: exclusive if `W`, else shared.
///
/// # Invariants
///
/// The task has locked the inode for this.
pub(crate) struct InodeLock<'a, const W: bool> {
    inode: Inode<'a>,
    _task: NotThreadSafe,
}

impl<'a, const W: bool> InodeLock<'a, W> {
    /// Locks `inode`; [`None`] if it is locked otherwise and the caller must not wait (`nowait`).
    #[inline]
    pub(crate) fn take(inode: Inode<'a>, nowait: bool) -> Option<Self> {
        let raw = inode.as_raw();
        // SAFETY: `Inode` keeps it, in each of these.
        let locked = unsafe {
            match (W, nowait) {
                (true, true) => bindings::inode_trylock(raw) != 0,
                (false, true) => bindings::inode_trylock_shared(raw) != 0,
                (true, false) => {
                    bindings::inode_lock(raw);
                    true
                }
                (false, false) => {
                    bindings::inode_lock_shared(raw);
                    true
                }
            }
        };
        // INVARIANT: It was locked above. Made only then, because its `drop()` unlocks.
        locked.then(|| Self {
            inode,
            _task: NotThreadSafe,
        })
    }
}

impl<const W: bool> Drop for InodeLock<'_, W> {
    #[inline]
    fn drop(&mut self) {
        let raw = self.inode.as_raw();
        // SAFETY: By the type invariant it is locked so, and `Inode` keeps it.
        unsafe {
            if W {
                bindings::inode_unlock(raw);
            } else {
                bindings::inode_unlock_shared(raw);
            }
        }
    }
}

/// The mapping of a file cannot be truncated: its `invalidate_lock`, shared.
///
/// # Invariants
///
/// The task holds the lock for this.
pub(crate) struct InvalidateShared<'a> {
    inode: Inode<'a>,
    _task: NotThreadSafe,
}

impl<'a> InvalidateShared<'a> {
    fn raw(inode: Inode<'a>) -> *mut bindings::rw_semaphore {
        // SAFETY: `Inode` keeps the mapping.
        unsafe { &raw mut (*inode.mapping()).invalidate_lock }
    }

    /// Takes the lock if that takes no wait. The only way while a range is in use: a task that
    /// truncates the file holds the lock over a request to the server.
    pub(crate) fn try_lock(inode: Inode<'a>) -> Option<Self> {
        // SAFETY: It is initialised.
        let locked = unsafe { bindings::down_read_trylock(Self::raw(inode)) } != 0;
        // INVARIANT: It was locked above.
        locked.then(|| Self {
            inode,
            _task: NotThreadSafe,
        })
    }

    /// Takes the lock; sleeps. A fatal signal ends the wait (`EINTR`).
    pub(crate) fn lock(inode: Inode<'a>) -> Result<Self> {
        // SAFETY: It is initialised.
        kernel::error::to_result(unsafe { bindings::down_read_killable(Self::raw(inode)) })?;
        // INVARIANT: It was locked above.
        Ok(Self {
            inode,
            _task: NotThreadSafe,
        })
    }
}

impl Drop for InvalidateShared<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the task holds it, and `Inode` keeps the mapping.
        unsafe { bindings::filemap_invalidate_unlock_shared(self.inode.mapping()) };
    }
}

/// The file system cannot be frozen: a write fault is under way.
///
/// # Invariants
///
/// `sb_start_pagefault()` was called for this.
pub(crate) struct WriteFault<'a> {
    inode: Inode<'a>,
    _task: NotThreadSafe,
}

impl<'a> WriteFault<'a> {
    pub(crate) fn start(inode: Inode<'a>) -> Self {
        // SAFETY: `Inode` keeps the superblock.
        unsafe { bindings::sb_start_pagefault(inode.super_block()) };
        // INVARIANT: It was called above.
        Self {
            inode,
            _task: NotThreadSafe,
        }
    }
}

impl Drop for WriteFault<'_> {
    fn drop(&mut self) {
        // SAFETY: The type invariant, and `Inode` keeps the superblock.
        unsafe { bindings::sb_end_pagefault(self.inode.super_block()) };
    }
}

/// A copy does not wait for the caller's memory, but stops where that is missing.
///
/// # Invariants
///
/// `pagefault_disable()` was called for this, by the task.
pub(crate) struct PagefaultsOff(NotThreadSafe);

impl PagefaultsOff {
    #[inline]
    pub(crate) fn new() -> Self {
        // SAFETY: It counts, and `drop()` is the other half.
        unsafe { bindings::pagefault_disable() };
        // INVARIANT: It was called above.
        Self(NotThreadSafe)
    }
}

impl Drop for PagefaultsOff {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: The type invariant.
        unsafe { bindings::pagefault_enable() };
    }
}

/// An open file of FUSE.
///
/// # Invariants
///
/// It is a file of FUSE.
#[derive(Clone, Copy)]
pub(crate) struct OpenFile<'a>(&'a File);

impl<'a> OpenFile<'a> {
    /// # Safety
    ///
    /// `file` must be a file of FUSE that stays open during `'a`.
    #[inline]
    pub(crate) unsafe fn from_raw(file: *mut bindings::file) -> Self {
        // INVARIANT: The function's contract.
        // SAFETY: The function's contract. Nothing here uses the file's own position.
        Self(unsafe { File::from_raw_file(file) })
    }

    /// Its inode, which it keeps.
    #[inline]
    pub(crate) fn inode(self) -> Inode<'a> {
        // SAFETY: An open file has its inode, which is one of FUSE by the type invariant.
        unsafe { Inode::from_raw((*self.0.as_ptr()).f_inode) }
    }

    /// The server's handle of the file.
    pub(crate) fn handle(self) -> u64 {
        // SAFETY: The type invariant.
        unsafe { bindings::rdax_fuse_file_handle(self.0.as_ptr()) }
    }

    /// The flags of open(), as they are now.
    pub(crate) fn flags(self) -> u32 {
        self.0.flags()
    }

    /// A reference, which keeps it open.
    pub(crate) fn keep(self) -> KeptFile {
        // INVARIANT: The type invariant.
        KeptFile(self.0.into())
    }
}

/// A file of FUSE that is kept open.
///
/// # Invariants
///
/// It is a file of FUSE.
pub(crate) struct KeptFile(ARef<File>);

impl KeptFile {
    pub(crate) fn open(&self) -> OpenFile<'_> {
        // INVARIANT: The type invariant.
        OpenFile(&self.0)
    }
}

/// The operations by which `fs/dax.c` finds the place of a file in the window.
#[inline]
pub(crate) fn iomap_ops() -> *const bindings::iomap_ops {
    &raw const bindings::rdax_fuse_iomap_ops
}

/// `IOMAP_NULL_ADDR`: nowhere in the window.
const NULL_ADDR: u64 = u64::MAX;

/// A query of `fs/dax.c` about a part of a file, and the answer.
pub(crate) struct Extent<'a> {
    /// The inode of the query.
    pub(crate) inode: Inode<'a>,
    iomap: &'a mut bindings::iomap,
    /// Of the file, in bytes.
    pub(crate) pos: u64,
    pub(crate) length: u64,
    flags: c_uint,
}

impl<'a> Extent<'a> {
    /// A query about `length` bytes of `inode` from `pos` on; [`None`] if it has no answer.
    ///
    /// # Safety
    ///
    /// `iomap` must be for the caller alone during `'a`.
    pub(crate) unsafe fn from_raw(
        inode: Inode<'a>,
        iomap: *mut bindings::iomap,
        pos: bindings::loff_t,
        length: bindings::loff_t,
        flags: c_uint,
    ) -> Option<Self> {
        // There is no FIEMAP for what is in the window: it comes and goes.
        if flags & bindings::IOMAP_REPORT != 0 {
            return None;
        }
        let (start, len) = (u64::try_from(pos).ok()?, u64::try_from(length).ok()?);
        // SAFETY: The function's contract.
        let iomap = unsafe { &mut *iomap };
        iomap.offset = pos;
        iomap.flags = 0;
        iomap.bdev = core::ptr::null_mut();
        Some(Self {
            inode,
            iomap,
            pos: start,
            length: len,
            flags,
        })
    }

    pub(crate) fn for_write(&self) -> bool {
        self.flags & bindings::IOMAP_WRITE != 0
    }

    /// Whether the query is from a page fault.
    pub(crate) fn in_fault(&self) -> bool {
        self.flags & bindings::IOMAP_FAULT != 0
    }

    pub(crate) fn nowait(&self) -> bool {
        self.flags & bindings::IOMAP_NOWAIT != 0
    }

    /// Sets the device of the answer.
    pub(crate) fn set_device(&mut self, device: &dax::Device) {
        self.iomap.dax_dev = device.as_raw();
    }

    /// Answers that there is a hole.
    pub(crate) fn set_hole(self) {
        self.iomap.addr = NULL_ADDR;
        self.iomap.length = self.length;
        // CAST: The types of mappings are small numbers.
        self.iomap.type_ = bindings::IOMAP_HOLE as u16;
    }

    /// Answers where up to `most` bytes are in the range `held`, whose use lasts until [`end`].
    /// `EIO` if the range does not have what was asked about.
    pub(crate) fn set_mapped(self, held: Held<'_>, most: u64) -> Result {
        let (at, left) = held.at_byte(self.inode, self.pos).ok_or(EIO)?;
        let mut length = self.length.min(left).min(most);
        if self.in_fault() {
            length = length.next_multiple_of(PAGE_SIZE as u64);
        }
        self.iomap.addr = at.0;
        self.iomap.length = length;
        // CAST: As above.
        self.iomap.type_ = bindings::IOMAP_MAPPED as u16;
        self.iomap.private = to_private(held.into_id());
        Ok(())
    }
}

/// Ends the use of the range that [`Extent::set_mapped`] recorded.
///
/// # Safety
///
/// `iomap` must be what an [`Extent`] of `inode` filled in, and is not used any more.
pub(crate) unsafe fn end(inode: Inode<'_>, iomap: *mut bindings::iomap) {
    // SAFETY: The function's contract.
    let private = unsafe { (*iomap).private };
    if let (Some(id), Some(file)) = (from_private(private), inode.file()) {
        // SAFETY: By the function's contract this is the end of what was begun there.
        unsafe { Held::end(file, id) };
    }
}

/// Encodes a range for `iomap.private`.
fn to_private(id: RangeId) -> *mut c_void {
    core::ptr::without_provenance_mut(id.page().0 as usize + 1)
}

fn from_private(private: *mut c_void) -> Option<RangeId> {
    let page = u32::try_from(private.addr().checked_sub(1)?).ok()?;
    Some(RangeId::at_page(WindowPage(page)))
}
