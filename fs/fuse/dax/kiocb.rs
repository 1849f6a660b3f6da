// SPDX-License-Identifier: GPL-2.0

//! Reads and writes of the VFS.
//!
//! Operations that need the inode's lock are methods of [`LockedIo`], which holds it. It does not
//! lend `&mut` of what is locked, because that could be exchanged for another.

use super::{
    held::Held,
    vfs::{
        iomap_ops,
        Inode,
        InodeLock,
        OpenFile, //
    }, //
};
use core::{
    marker::PhantomData,
    ops::Deref, //
};
use kernel::{
    bindings,
    iov::{
        IovIterDest,
        IovIterSource, //
    },
    page::{
        Page,
        PAGE_SIZE, //
    },
    prelude::*,
    types::Opaque, //
};

/// The direction of an [`Io`] that reads from the file.
pub(crate) const READ: bool = false;
/// The direction of an [`Io`] that writes to the file.
pub(crate) const WRITE: bool = true;

/// A call of read or, if `W`, of write, and its memory.
///
/// # Invariants
///
/// Both pointers are what the VFS gave to that call, which lasts longer than `'a`. The iterator
/// goes in the direction that `W` says, and nothing else uses either. The file is one of FUSE.
pub(crate) struct Io<'a, const W: bool> {
    iocb: *mut bindings::kiocb,
    iter: *mut bindings::iov_iter,
    _call: PhantomData<&'a mut bindings::iov_iter>,
}

impl<'a, const W: bool> Io<'a, W> {
    /// # Safety
    ///
    /// The VFS gave both arguments to a call of FUSE's read or, if `W`, of write, that lasts longer
    /// than `'a`. Nothing else uses either during `'a`.
    #[inline]
    pub(crate) unsafe fn from_raw(
        iocb: *mut bindings::kiocb,
        iter: *mut bindings::iov_iter,
    ) -> Self {
        // INVARIANT: The function's contract.
        Self {
            iocb,
            iter,
            _call: PhantomData,
        }
    }

    #[inline]
    fn iocb(&self) -> &bindings::kiocb {
        // SAFETY: The type invariant.
        unsafe { &*self.iocb }
    }

    #[inline]
    fn iocb_mut(&mut self) -> &mut bindings::kiocb {
        // SAFETY: The type invariant.
        unsafe { &mut *self.iocb }
    }

    /// The file.
    #[inline]
    pub(crate) fn file(&self) -> OpenFile<'a> {
        // SAFETY: By the type invariant, and a call has its file open.
        unsafe { OpenFile::from_raw(self.iocb().ki_filp) }
    }

    /// The inode of the file.
    #[inline]
    pub(crate) fn inode(&self) -> Inode<'a> {
        self.file().inode()
    }

    /// The position in the file, in bytes.
    #[inline]
    pub(crate) fn pos(&self) -> Option<u64> {
        u64::try_from(self.iocb().ki_pos).ok()
    }

    /// The number of bytes left to copy.
    #[inline]
    pub(crate) fn left(&self) -> usize {
        // SAFETY: The type invariant.
        unsafe { bindings::iov_iter_count(self.iter) }
    }

    /// Whether the caller must not wait.
    #[inline]
    pub(crate) fn nowait(&self) -> bool {
        self.iocb().ki_flags & bindings::IOCB_NOWAIT != 0
    }

    /// Whether the file was opened with O_DIRECT, or is treated so.
    pub(crate) fn direct(&self) -> bool {
        // CAST: One bit of the flags.
        self.iocb().ki_flags & bindings::IOCB_DIRECT as c_int != 0
    }

    /// Whether the caller's memory may have to be faulted in.
    pub(crate) fn user_backed(&self) -> bool {
        // SAFETY: The type invariant.
        unsafe { bindings::user_backed_iter(self.iter) }
    }

    /// Locks the inode: for read shared, for write exclusively. `EAGAIN` if the lock is not free
    /// and the caller must not wait.
    #[inline]
    pub(crate) fn lock(&mut self) -> Result<LockedIo<'_, 'a, W>> {
        let lock = InodeLock::take(self.inode(), self.nowait()).ok_or(EAGAIN)?;
        Ok(LockedIo {
            io: self,
            _lock: lock,
        })
    }
}

impl Io<'_, WRITE> {
    /// Makes a synchronous write of `written` bytes durable. Returns the result of the call.
    pub(crate) fn sync(&mut self, written: isize) -> isize {
        // SAFETY: The type invariant.
        unsafe { bindings::generic_write_sync(self.iocb, written) }
    }
}

/// The caller's memory, by the direction of the call.
enum Memory<'m> {
    /// What is written to the file.
    From(&'m mut IovIterSource<'m>),
    /// Where the file is read to.
    To(&'m mut IovIterDest<'m>),
}

/// An [`Io`] with the lock of the inode, which `dax_iomap_rw()` asks for: for read shared, for
/// write exclusive.
///
/// The lock is that of the inode of the `Io`, which does not change.
pub(crate) struct LockedIo<'io, 'a, const W: bool> {
    io: &'io mut Io<'a, W>,
    _lock: InodeLock<'a, W>,
}

impl<'a, const W: bool> Deref for LockedIo<'_, 'a, W> {
    type Target = Io<'a, W>;

    #[inline]
    fn deref(&self) -> &Self::Target {
        self.io
    }
}

impl<const W: bool> LockedIo<'_, '_, W> {
    /// The caller's memory.
    #[inline]
    fn memory(&mut self) -> Memory<'_> {
        if W {
            // SAFETY: The type invariant of `Io`: it is a source, and nothing else uses it.
            Memory::From(unsafe { IovIterSource::from_raw(self.io.iter) })
        } else {
            // SAFETY: As above: it is a destination.
            Memory::To(unsafe { IovIterDest::from_raw(self.io.iter) })
        }
    }

    /// Advances [`Io::pos`].
    #[inline]
    pub(crate) fn skip(&mut self, bytes: usize) {
        let pos = &mut self.io.iocb_mut().ki_pos;
        // CAST: A call is about less than 2 GiB.
        *pos = pos.saturating_add(bytes as i64);
    }

    /// Faults in the next `bytes` of the caller's memory. Returns how many are still missing.
    ///
    /// No range may be held meanwhile, because the memory may be in the same window.
    pub(crate) fn fault_in(&mut self, bytes: usize) -> usize {
        let fault_in = match W {
            true => bindings::fault_in_iov_iter_readable,
            false => bindings::fault_in_iov_iter_writeable,
        };
        // SAFETY: The type invariant of `Io`.
        unsafe { fault_in(self.io.iter, bytes) }
    }

    /// Copies up to `bytes` bytes between the caller's memory and the range `held`, from the
    /// position on. `EIO` if the range does not have that.
    #[inline]
    pub(crate) fn copy_held(&mut self, held: &Held<'_>, bytes: u64) -> Result<usize> {
        let pos = self.pos().ok_or(EIO)?;
        let (at, left) = held.at_byte(self.inode(), pos).ok_or(EIO)?;
        // CAST: A range is 2 MiB at most.
        let bytes = left.min(bytes) as usize;
        let conn = held.conn();
        let device = conn.device();
        match self.memory() {
            Memory::From(from) => device.copy_from_iter(at.0, bytes, from),
            Memory::To(to) => device.copy_to_iter(at.0, bytes, to),
        }
    }

    /// Copies between the caller's memory and the window. Returns the number of bytes, or an error
    /// number.
    pub(crate) fn copy_window(&mut self) -> isize {
        // SAFETY: The type invariants; the table is static.
        unsafe { bindings::dax_iomap_rw(self.io.iocb, self.io.iter, iomap_ops()) }
    }

    /// Does the same through `buffer`, which is always present. Returns the number of bytes, or an
    /// error number. No range is held while the caller's memory is accessed.
    pub(crate) fn copy_by(&mut self, buffer: &mut [u8]) -> Result<isize> {
        let mut bytes = self.left().min(buffer.len());
        if let Memory::From(from) = self.memory() {
            bytes = from.copy_from_iter(buffer);
            if bytes == 0 {
                return Err(EFAULT);
            }
        }
        let vec = bindings::kvec {
            iov_base: buffer.as_mut_ptr().cast(),
            iov_len: bytes,
        };
        let inner = Opaque::<bindings::iov_iter>::uninit();
        // SAFETY: The function initialises all of the iterator; what it describes outlives it.
        unsafe {
            bindings::iov_iter_kvec(inner.get(), W.into(), &raw const vec, 1, bytes);
        }
        // SAFETY: As for `copy_window()`; the iterator was made above, in the same direction.
        let copied = unsafe { bindings::dax_iomap_rw(self.io.iocb, inner.get(), iomap_ops()) };
        let done = usize::try_from(copied).unwrap_or(0).min(bytes);
        let arrived = match self.memory() {
            Memory::From(from) => {
                // SAFETY: No more than was taken above.
                unsafe { from.revert(bytes - done) };
                return Ok(copied);
            }
            Memory::To(to) => to.copy_to_iter(buffer.get(..done).unwrap_or(&[])),
        };
        let pos = &mut self.io.iocb_mut().ki_pos;
        // CAST: No more than a buffer has.
        *pos = pos.saturating_sub((done - arrived.min(done)) as i64);
        if done > 0 && arrived == 0 {
            return Err(EFAULT);
        }
        // CAST: As above.
        Ok(if done > 0 { arrived as isize } else { copied })
    }
}

impl LockedIo<'_, '_, READ> {
    /// Copies the first `bytes` bytes of `page` to the caller's memory. Returns how many were
    /// copied.
    pub(crate) fn copy_page(&mut self, page: &Page, bytes: usize) -> usize {
        let bytes = bytes.min(PAGE_SIZE);
        // SAFETY: The page has as many bytes; by the type invariant the iterator is a destination.
        unsafe { bindings::copy_page_to_iter(page.as_ptr(), 0, bytes, self.io.iter) }
    }
}

impl LockedIo<'_, '_, WRITE> {
    /// Checks a write, and shortens it to what is allowed. Returns its bytes, or an error number.
    pub(crate) fn check(&mut self) -> isize {
        // SAFETY: The type invariants.
        unsafe { bindings::generic_write_checks(self.io.iocb, self.io.iter) }
    }

    /// Removes privileges from the file that a write must clear.
    pub(crate) fn remove_privs(&mut self) -> Result {
        // SAFETY: The type invariants.
        let error = unsafe { bindings::file_remove_privs(self.io.iocb().ki_filp) };
        kernel::error::to_result(error)
    }

    /// Makes the server write. Returns the number of bytes, or an error number.
    pub(crate) fn write_through(&mut self) -> isize {
        // SAFETY: The type invariants.
        unsafe { bindings::rdax_fuse_direct_write(self.io.iocb, self.io.iter) }
    }
}
