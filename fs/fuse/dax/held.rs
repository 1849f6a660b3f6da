// SPDX-License-Identifier: GPL-2.0

//! A range in use.

use super::{
    conn::Conn,
    file::FileRef,
    vfs::Inode,
    window::{
        acquire::{
            self,
            Failure,
            Want, //
        },
        units::{
            FilePage,
            RangeId,
            WindowByte, //
        },
        File,
        Place, //
    },
};
use core::mem;
use kernel::sync::ArcBorrow;

/// A range that a task uses: it stays mapped, and where it is, until this is dropped.
///
/// A task has one at a time, see `acquire.rs`.
///
/// # Invariants
///
/// The window of the file counts one use of the range for this. The range has `place.page` of the
/// file.
pub(crate) struct Held<'a> {
    file: &'a FileRef,
    place: Place,
}

impl<'a> Held<'a> {
    /// Uses the range with a page of `file` if that can be used at once.
    #[inline]
    pub(crate) fn now(file: &'a FileRef, page: FilePage, write: bool) -> Option<Self> {
        let place = (file.conn()).update(|window| window.try_hold(file, page, write))?;
        // INVARIANT: The window has counted it.
        Some(Self { file, place })
    }

    /// Uses the range once more, for a fault that uses it already.
    pub(crate) fn again(file: &'a FileRef, page: FilePage, write: bool) -> Option<Self> {
        let place = (file.conn()).update(|window| window.hold_again(file, page, write))?;
        // INVARIANT: As above.
        Some(Self { file, place })
    }

    /// Uses the range with a page of `file`, and has it mapped before if need be; sleeps.
    pub(crate) fn wait(file: &'a FileRef, want: Want) -> Result<Self, Failure> {
        let conn = file.conn();
        let id = acquire::acquire(&conn, file, want)?;
        let place = conn.update(|window| window.place(id));
        // INVARIANT: As above.
        Ok(Self { file, place })
    }

    /// The order of the range.
    #[inline]
    pub(crate) fn order(&self) -> u8 {
        self.place.order
    }

    /// Where in the window byte `pos` of the file of `inode` is, and the number of bytes from there
    /// to the end of the range; [`None`] if that byte is not in the range.
    #[inline]
    pub(crate) fn at_byte(&self, inode: Inode<'_>, pos: u64) -> Option<(WindowByte, u64)> {
        let same = inode.file().is_some_and(|file| file.is(self.file));
        self.place.at_byte(pos).filter(|_| same)
    }

    /// The connection with the window.
    #[inline]
    pub(crate) fn conn(&self) -> ArcBorrow<'a, Conn> {
        self.file.conn()
    }

    /// Leaves the end of the use to [`Held::end`].
    pub(crate) fn into_id(self) -> RangeId {
        let id = self.place.id;
        mem::forget(self);
        id
    }

    /// Ends a use.
    ///
    /// # Safety
    ///
    /// `id` must come from [`Held::into_id`] of a range of `file`, and from there only once.
    pub(crate) unsafe fn end(file: &FileRef, id: RangeId) {
        // SAFETY: The function's contract.
        (file.conn()).update(|window| unsafe { window.release(id) });
    }
}

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: The type invariant.
        (self.file.conn()).update(|window| unsafe { window.release(self.place.id) });
    }
}
