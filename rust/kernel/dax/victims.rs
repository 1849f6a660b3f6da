// SPDX-License-Identifier: GPL-2.0

//! Processes that map files whose memory failed or goes away.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h)

use crate::{
    bindings,
    error::to_result,
    mm::pfn::Pfn,
    prelude::*, //
};

/// Processes that lost memory of files. Those with early kill are signalled when this is dropped.
///
/// A signal costs a pass over all processes. A file system that has a failure in many files
/// therefore collects the processes of all these files in one value.
///
/// # Examples
///
/// ```
/// use kernel::dax::victims::Victims;
///
/// let mut victims = Victims::new(0);
/// // Here `victims.add()` would take pages from the processes that map them.
/// victims.tell();
/// ```
#[must_use]
pub struct Victims(bindings::mf_dax_victims);

// Not inlined into a file system that is a module: C does not export the functions.
impl Victims {
    /// No process yet. `mf_flags` are those of the failure (`enum mf_flags`).
    pub fn new(mf_flags: i32) -> Self {
        Self(bindings::mf_dax_victims {
            mf_flags,
            ..Default::default()
        })
    }

    /// Unmaps `count` pages of a file, from page `page` on, from all processes that map them.
    ///
    /// Pages that failed are marked. `EBUSY` for a file without DAX. Sleeps. See
    /// `mf_dax_kill_procs()`.
    ///
    /// # Safety
    ///
    /// `mapping` is that of an inode that the caller keeps.
    #[inline(never)]
    pub unsafe fn add(
        &mut self,
        mapping: *mut bindings::address_space,
        page: usize,
        count: usize,
    ) -> Result {
        // SAFETY: By the function's contract the inode stays, and with it its mapping; `self.0` is
        // borrowed for the call.
        to_result(unsafe { bindings::mf_dax_collect_procs(mapping, page, count, &mut self.0) })
    }

    /// Unmaps `count` pages, from `first` on, from all processes that can be found by the pages
    /// alone.
    ///
    /// Pages that failed are marked. Returns what
    /// [`MappedPages::end_use`](crate::memremap::MappedPages::end_use) does. Sleeps.
    ///
    /// # Safety
    ///
    /// The pages are those of a pagemap for fs-dax, which stays until this returns.
    #[inline(never)]
    pub(crate) unsafe fn add_pages(&mut self, first: Pfn, count: usize) -> Result {
        // SAFETY: By the function's contract these are fs-dax pages that stay; `self.0` is borrowed
        // for the call.
        to_result(unsafe { bindings::mf_dax_collect_pfns(first.0, count, &mut self.0) })
    }

    /// As [`Victims::add`], of a file that may have other memory by now than frame `frame` for page
    /// `page`, and so on: that memory is left alone. Processes that have not touched a page are
    /// only signalled if it is `certain` that the file had these frames after they failed.
    ///
    /// # Safety
    ///
    /// As of [`Victims::add`].
    #[inline(never)]
    pub unsafe fn add_frames(
        &mut self,
        mapping: *mut bindings::address_space,
        page: usize,
        count: usize,
        frame: Pfn,
        certain: bool,
    ) -> Result {
        // SAFETY: As in `add()`.
        to_result(unsafe {
            bindings::mf_dax_collect_frames(mapping, page, count, frame.0, certain, &mut self.0)
        })
    }

    /// Signals the processes that were added so far. Sleeps.
    #[inline(never)]
    pub fn tell(&mut self) {
        // No process was added, or all were signalled.
        if self.0.room == 0 {
            return;
        }
        // SAFETY: `self.0` was initialized by `new()` and is borrowed for the call.
        unsafe { bindings::mf_dax_tell_procs(&mut self.0) };
    }
}

impl Drop for Victims {
    fn drop(&mut self) {
        self.tell();
    }
}
