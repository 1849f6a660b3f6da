// SPDX-License-Identifier: GPL-2.0

//! A range in use.

use super::{
    conn::Conn,
    file::FileRef,
    window::{
        acquire::{
            self,
            Failure,
            Want, //
        },
        units::{
            FilePage,
            RangeId, //
        },
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
/// The window counts one use of the range for this.
pub(crate) struct Held<'a> {
    conn: ArcBorrow<'a, Conn>,
    place: Place,
}

impl<'a> Held<'a> {
    /// Uses the range with a page of `file` if that can be used at once.
    #[inline]
    pub(crate) fn now(file: &'a FileRef, page: FilePage, write: bool) -> Option<Self> {
        let conn = file.conn();
        let place = conn.update(|window| window.try_hold(file, page, write))?;
        // INVARIANT: The window has counted it.
        Some(Self { conn, place })
    }

    /// Uses the range once more, for a fault that uses it already.
    pub(crate) fn again(file: &'a FileRef, page: FilePage, write: bool) -> Option<Self> {
        let conn = file.conn();
        let place = conn.update(|window| window.hold_again(file, page, write))?;
        // INVARIANT: As above.
        Some(Self { conn, place })
    }

    /// Uses the range with a page of `file`, and has it mapped before if need be; sleeps.
    pub(crate) fn wait(file: &'a FileRef, want: Want) -> Result<Self, Failure> {
        let conn = file.conn();
        let id = acquire::acquire(&conn, file, want)?;
        let place = conn.update(|window| window.place(id));
        // INVARIANT: As above.
        Ok(Self { conn, place })
    }

    /// Where it is.
    #[inline]
    pub(crate) fn place(&self) -> &Place {
        &self.place
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
        file.conn().update(|window| window.release(id));
    }
}

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        self.conn.update(|window| window.release(self.place.id));
    }
}
