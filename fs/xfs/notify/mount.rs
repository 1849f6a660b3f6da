// SPDX-License-Identifier: GPL-2.0

//! The parts of XFS that failures concern: a device of a mount, its groups, and files in core.
//!
//! Lock order, outermost first: freezing (`s_umount`), a file's [`Stopped`], the entries of its
//! mapping, `i_mmap_rwsem`. The reverse map of a group (the buffer of the AGF, or the lock of a
//! realtime group's map) comes after all of them, because a page fault that allocates takes it with
//! an entry locked. So no owner is notified inside [`Device::query`], which is where C does it.

use super::ranges::{
    Area,
    BlockSize,
    Extent,
    Mapping, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    block::sector::SectorRange,
    dax::{
        units::ByteRange,
        victims::Victims, //
    },
    error::to_result,
    mm::pfn::Pfn,
    prelude::*,
    task::cond_resched,
    types::NotThreadSafe, //
};

/// The purpose of a part of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Data,
    Realtime,
    Log,
}

impl Role {
    pub(crate) fn from_raw(raw: bindings::xfs_dax_role) -> Self {
        match raw {
            bindings::xfs_dax_role_XFS_DAX_DATA => Role::Data,
            bindings::xfs_dax_role_XFS_DAX_RT => Role::Realtime,
            _ => Role::Log,
        }
    }

    fn to_raw(self) -> bindings::xfs_dax_role {
        match self {
            Role::Data => bindings::xfs_dax_role_XFS_DAX_DATA,
            Role::Realtime => bindings::xfs_dax_role_XFS_DAX_RT,
            Role::Log => bindings::xfs_dax_role_XFS_DAX_LOG,
        }
    }
}

/// A part of a device with one purpose.
#[derive(Clone, Copy)]
pub(crate) struct Part {
    pub(crate) role: Role,
    /// Whether it has a reverse map to find files by.
    pub(crate) mapped: bool,
    pub(crate) area: Area,
}

/// One of the devices of a file system that the caller keeps mounted.
///
/// # Invariants
///
/// `btp` and `mount` are valid for `'a`: the mount, whose device `btp` is, is pinned.
#[derive(Clone, Copy)]
pub(crate) struct Device<'a> {
    btp: NonNull<bindings::xfs_buftarg>,
    mount: NonNull<bindings::xfs_mount>,
    _pin: PhantomData<&'a ()>,
}

impl<'a> Device<'a> {
    /// # Safety
    ///
    /// `btp` is null or a device of a mount that is born and stays pinned for `'a`.
    pub(crate) unsafe fn from_raw(btp: *mut bindings::xfs_buftarg) -> Option<Self> {
        let btp = NonNull::new(btp)?;
        // SAFETY: By the function's contract.
        let mount = NonNull::new(unsafe { bindings::xfs_dax_mount(btp.as_ptr()) })?;
        // INVARIANT: By the function's contract.
        Some(Self {
            btp,
            mount,
            _pin: PhantomData,
        })
    }

    /// The start of this device in the `dax_device`, in bytes, and its parts, of which there are at
    /// most two.
    pub(crate) fn layout(&self) -> (u64, impl Iterator<Item = Part>) {
        let mut layout = bindings::xfs_dax_layout::default();
        // SAFETY: The type invariant.
        unsafe { bindings::xfs_dax_layout(self.btp.as_ptr(), &mut layout) };
        let block = BlockSize::new(layout.block_shift);
        let parts = layout
            .area
            .into_iter()
            .take(layout.areas as usize)
            .filter_map(move |raw| {
                Some(Part {
                    role: Role::from_raw(raw.role),
                    mapped: raw.rmap,
                    area: Area {
                        block: block?,
                        first: raw.first,
                        blocks: raw.blocks,
                        stride: raw.stride,
                        number_shift: raw.number_shift,
                    },
                })
            });
        (layout.origin, parts)
    }

    /// Calls `f` for the extents of a group that have a block from `first` to `last`, in the order
    /// of their keys, until `f` returns true: then returns true, or false if these were all.
    ///
    /// `f` runs with the reverse map of the group locked, and must not take a lock that comes
    /// before it.
    pub(crate) fn query<F: FnMut(Extent) -> bool>(
        &self,
        role: Role,
        group: u32,
        first: u32,
        last: u32,
        mut f: F,
    ) -> Result<bool> {
        /// # Safety
        ///
        /// `extent` is valid, and `f` is an `F` that is not in use elsewhere.
        unsafe extern "C" fn each<F: FnMut(Extent) -> bool>(
            extent: *const bindings::xfs_dax_rmap,
            f: *mut c_void,
        ) -> c_int {
            // SAFETY: The function's contract.
            let (raw, f) = unsafe { (&*extent, &mut *f.cast::<F>()) };
            let extent = Extent {
                start: raw.start,
                count: raw.count,
                owner: raw.owner,
                offset: raw.offset,
                attr: raw.attr,
                tree: raw.tree,
            };
            if f(extent) {
                0
            } else {
                ECANCELED.to_errno()
            }
        }

        // SAFETY: The type invariant; `each` is for an `F`, which is what it is given.
        let result = to_result(unsafe {
            bindings::xfs_dax_query(
                self.mount.as_ptr(),
                role.to_raw(),
                group,
                first,
                last,
                Some(each::<F>),
                (&raw mut f).cast(),
            )
        });
        match result {
            Ok(()) => Ok(false),
            Err(e) if e == ECANCELED => Ok(true),
            Err(e) => Err(e),
        }
    }

    /// The inode with this number, if it is in core and complete.
    ///
    /// [`None`] for an inode that is being read in, freed or reclaimed: no process maps it, and a
    /// later page fault finds the failure.
    pub(crate) fn inode(&self, number: u64) -> Result<Option<Inode<'a>>> {
        let mut ip = core::ptr::null_mut();
        // SAFETY: The type invariant.
        let errno = unsafe { bindings::xfs_dax_iget(self.mount.as_ptr(), number, &mut ip) };
        match to_result(errno) {
            // INVARIANT: The reference is ours.
            Ok(()) => Ok(NonNull::new(ip).map(|ip| Inode {
                ip,
                _mount: PhantomData,
            })),
            Err(e) if e == ENODATA || e == EAGAIN || e == ENOENT => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Has [`failure::report_again`](super::failure::report_again) called by a worker, when the
    /// extents of `inode` are not locked any more. The mount stays until then.
    pub(crate) fn report_later(&self, inode: Inode<'_>, role: Role, group: u32, bytes: ByteRange) {
        let failed = bindings::xfs_dax_failed {
            role: role.to_raw(),
            group,
            start: bytes.start(),
            len: bytes.len(),
        };
        // The function takes the reference over.
        let ip = core::mem::ManuallyDrop::new(inode).ip;
        // SAFETY: The type invariants. The function copies what `failed` says.
        unsafe { bindings::xfs_dax_report_later(self.btp.as_ptr(), ip.as_ptr(), &failed) };
    }

    /// Every file in core with data on this device.
    pub(crate) fn files(&self) -> Files<'a> {
        Files {
            device: *self,
            last: None,
        }
    }

    /// Whether a file with data on this device is being evicted, and still has pages. Sleeps.
    ///
    /// [`Device::files`] leaves such a file out. Asked after that iteration, this finds each one that
    /// was left out and has not lost its pages since.
    pub(crate) fn is_evicting(&self) -> bool {
        // SAFETY: The type invariant.
        unsafe { bindings::xfs_dax_is_evicting(self.btp.as_ptr()) }
    }

    /// Reports the failure of media to the monitors of the file system's health.
    pub(crate) fn report_media(&self, role: Role, sectors: SectorRange) {
        // SAFETY: The type invariant.
        unsafe {
            bindings::xfs_dax_report_media(
                self.mount.as_ptr(),
                role.to_raw(),
                sectors.start().0,
                sectors.count(),
            )
        };
    }

    /// The frame of byte `byte` of the `dax_device`, whether it is good or bad; [`None`] if it is
    /// unknown. Sleeps.
    pub(crate) fn frame(&self, byte: u64) -> Option<Pfn> {
        let mut pfn = 0;
        // SAFETY: The type invariant.
        unsafe { bindings::xfs_dax_frame(self.btp.as_ptr(), byte, &mut pfn) }.then_some(Pfn(pfn))
    }

    /// Logs that the removal waits for `page` of `file`.
    pub(crate) fn say_in_use(&self, file: &Inode<'_>, page: Pfn) {
        // SAFETY: The type invariants.
        unsafe { bindings::xfs_dax_say_in_use(self.btp.as_ptr(), file.ip.as_ptr(), page.0) };
    }

    /// Logs `words` after the file system's name.
    pub(crate) fn say(&self, words: &CStr) {
        // SAFETY: The type invariant, and a string that ends.
        unsafe { bindings::xfs_dax_say(self.mount.as_ptr(), words.as_char_ptr()) };
    }

    /// Whether the file system was shut down.
    pub(crate) fn is_shutdown(&self) -> bool {
        // SAFETY: The type invariant.
        unsafe { bindings::xfs_dax_is_shutdown(self.mount.as_ptr()) }
    }

    /// Shuts the file system down as corrupt. Sleeps.
    pub(crate) fn shut_down_corrupt(&self) {
        // SAFETY: The type invariant.
        unsafe { bindings::xfs_dax_shutdown(self.mount.as_ptr(), true) };
    }

    /// Shuts the file system down as a forced unmount does, writing its log first. Sleeps.
    pub(crate) fn shut_down_forced(&self) {
        // SAFETY: The type invariant.
        unsafe { bindings::xfs_dax_shutdown(self.mount.as_ptr(), false) };
    }

    /// Writes everything and freezes the file system, if that succeeds within the time.
    pub(crate) fn freeze(&self, seconds: u32) -> Frozen<'_> {
        // SAFETY: The type invariant.
        let frozen = unsafe { bindings::xfs_dax_freeze(self.mount.as_ptr(), seconds) };
        // SAFETY: Changes nothing but a flag of this task, which `Drop` changes back.
        let flags = unsafe { bindings::xfs_dax_nofs_save() };
        Frozen {
            device: self,
            frozen,
            flags,
            _not_send: NotThreadSafe,
        }
    }
}

/// A file system that is frozen, if that succeeded. Dropping this thaws it, including a freeze by
/// user space.
///
/// Meanwhile this task's allocations do not enter file systems, because this one might block
/// forever.
#[must_use]
pub(crate) struct Frozen<'a> {
    device: &'a Device<'a>,
    frozen: bool,
    flags: u32,
    _not_send: NotThreadSafe,
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        // SAFETY: The flags are from this task, which has not changed them since.
        unsafe { bindings::xfs_dax_nofs_restore(self.flags) };
        // SAFETY: The device's type invariant; it was frozen by us, if at all.
        unsafe { bindings::xfs_dax_thaw(self.device.mount.as_ptr(), self.frozen) };
    }
}

/// The files in core of a device.
///
/// A file that is added during the iteration may be left out, and one that is being evicted is:
/// [`Device::is_evicting`] finds it.
pub(crate) struct Files<'a> {
    device: Device<'a>,
    last: Option<Inode<'a>>,
}

impl<'a> Files<'a> {
    /// The next one. Sleeps.
    pub(crate) fn next(&mut self) -> Option<&Inode<'a>> {
        loop {
            let last = match self.last.take() {
                // The function below puts the reference.
                Some(last) => core::mem::ManuallyDrop::new(last).ip.as_ptr(),
                None => core::ptr::null_mut(),
            };
            // SAFETY: The type invariants; `last` is null or an inode with our reference.
            let next = NonNull::new(unsafe {
                bindings::xfs_dax_next_inode(self.device.btp.as_ptr(), last)
            })?;
            // INVARIANT: The function gave us a reference.
            let next = self.last.insert(Inode {
                ip: next,
                _mount: PhantomData,
            });
            cond_resched();
            // SAFETY: The type invariants.
            if unsafe { bindings::xfs_dax_is_on(next.ip.as_ptr(), self.device.btp.as_ptr()) } {
                break;
            }
        }
        self.last.as_ref()
    }
}

/// An inode in core.
///
/// # Invariants
///
/// `ip` is an inode with a reference that this value owns, and its mount is pinned for `'a`.
pub(crate) struct Inode<'a> {
    ip: NonNull<bindings::xfs_inode>,
    _mount: PhantomData<&'a ()>,
}

impl Inode<'_> {
    /// Whether its data is on the realtime device.
    pub(crate) fn is_realtime(&self) -> bool {
        // SAFETY: The type invariant.
        unsafe { bindings::xfs_dax_is_rt(self.ip.as_ptr()) }
    }

    /// Whether it is mapped, or still has pages from a mapping.
    pub(crate) fn is_mapped(&self) -> bool {
        // SAFETY: The type invariant.
        unsafe { bindings::xfs_dax_is_mapped(self.ip.as_ptr()) }
    }

    /// Whether the file bypasses the page cache (DAX).
    pub(crate) fn has_dax(&self) -> bool {
        // SAFETY: The type invariant.
        !unsafe { bindings::xfs_dax_mapping(self.ip.as_ptr()) }.is_null()
    }

    /// Whether a process maps it. While it is [`Stopped`] and not mapped, no page table has a page
    /// of it.
    pub(crate) fn has_users(&self) -> bool {
        // SAFETY: The type invariant.
        unsafe { bindings::xfs_dax_has_users(self.ip.as_ptr()) }
    }

    /// All bytes of the file; [`None`] if it has none.
    pub(crate) fn bytes(&self) -> Option<ByteRange> {
        // SAFETY: The type invariant.
        ByteRange::new(0, unsafe { bindings::xfs_dax_size(self.ip.as_ptr()) })
    }

    /// Reports that bytes of this file are lost to the monitors of the file system's health.
    pub(crate) fn report_lost(&self, lost: ByteRange) {
        // SAFETY: The type invariant.
        unsafe { bindings::xfs_dax_report_lost(self.ip.as_ptr(), lost.start(), lost.len()) };
    }

    /// The first of the extents in memory that ends after block `from` of the file.
    ///
    /// A file that was ever mapped has all of them in memory; `ENODATA` if they are not. `EAGAIN`
    /// if they are locked, which user space can prolong without limit. This works after a shutdown,
    /// too.
    pub(crate) fn extent(&self, from: u64) -> Result<Option<Mapping>> {
        let mut raw = bindings::xfs_dax_extent::default();
        // SAFETY: The type invariant.
        let found = unsafe { bindings::xfs_dax_next_extent(self.ip.as_ptr(), from, &mut raw) };
        to_result(found.min(0))?;
        Ok((found > 0).then_some(Mapping {
            offset: raw.offset,
            at: raw.at,
            count: raw.count,
        }))
    }

    /// Unmaps these pages of the file from every process, whatever memory it has there; Ok if the
    /// file has no DAX.
    ///
    /// For a removal: in a failure, this would mark good memory. Sleeps.
    pub(crate) fn take_all(&self, page: u64, count: u64, victims: &mut Victims) -> Result {
        // SAFETY: The type invariant.
        let mapping = unsafe { bindings::xfs_dax_mapping(self.ip.as_ptr()) };
        if mapping.is_null() {
            return Ok(());
        }
        let (page, count) = (usize::try_from(page)?, usize::try_from(count)?);
        // SAFETY: The mapping is the inode's, of which we have a reference.
        unsafe { victims.add(mapping, page, count) }
    }

    /// Unmaps these pages of the file from every process, and marks failed ones; Ok if the file has
    /// no DAX.
    ///
    /// Page `page` had frame `frame`, the next one the next: where the file has other memory by
    /// now, that is left alone. It is `certain` if the file had them after they failed. The users
    /// that are to be signalled are put into `victims`. Sleeps.
    pub(crate) fn take(
        &self,
        page: u64,
        count: u64,
        frame: Pfn,
        certain: bool,
        victims: &mut Victims,
    ) -> Result {
        // SAFETY: The type invariant.
        let mapping = unsafe { bindings::xfs_dax_mapping(self.ip.as_ptr()) };
        if mapping.is_null() {
            return Ok(());
        }
        let (page, count) = (usize::try_from(page)?, usize::try_from(count)?);
        // SAFETY: The mapping is the inode's, of which we have a reference.
        unsafe { victims.add_frames(mapping, page, count, frame, certain) }
    }

    /// Waits for page faults in the file, and blocks new ones and truncation.
    ///
    /// User space can make the lock's holder keep it without limit, so this is not for a task that
    /// holds a lock of `mm`.
    pub(crate) fn stop(&self) -> Stopped<'_> {
        // SAFETY: The type invariant.
        unsafe { bindings::xfs_dax_lock(self.ip.as_ptr()) };
        Stopped {
            inode: self,
            _not_send: NotThreadSafe,
        }
    }
}

impl Drop for Inode<'_> {
    fn drop(&mut self) {
        // SAFETY: The type invariant: the reference is ours.
        unsafe { bindings::xfs_dax_irele(self.ip.as_ptr()) };
    }
}

/// A file with page faults blocked, until this is dropped.
#[must_use]
pub(crate) struct Stopped<'a> {
    inode: &'a Inode<'a>,
    _not_send: NotThreadSafe,
}

impl Stopped<'_> {
    /// Unmaps all pages of the file. Sleeps.
    pub(crate) fn unmap(&self) {
        // SAFETY: The type invariant of the inode.
        unsafe { bindings::xfs_dax_unmap(self.inode.ip.as_ptr()) };
    }

    /// Removes all entries with memory that is not in use; no page may be mapped. Sleeps.
    ///
    /// An error names a page that is in use, by direct I/O or in a pipe.
    pub(crate) fn forget(&self) -> Result<(), Pfn> {
        self.forget_entries(false)
    }

    /// Removes all entries with memory. Some of that memory may be in use, so its page structs have
    /// to stay. Sleeps.
    pub(crate) fn forget_all(&self) {
        // All are removed, whether there were any or not.
        let _ = self.forget_entries(true);
    }

    fn forget_entries(&self, force: bool) -> Result<(), Pfn> {
        let mut pfn = 0;
        // SAFETY: The type invariant of the inode; it is locked.
        if unsafe { bindings::xfs_dax_forget(self.inode.ip.as_ptr(), &mut pfn, force) } {
            Ok(())
        } else {
            Err(Pfn(pfn))
        }
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        // SAFETY: Locked by `Inode::stop`.
        unsafe { bindings::xfs_dax_unlock(self.inode.ip.as_ptr()) };
    }
}
