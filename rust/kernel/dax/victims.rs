// SPDX-License-Identifier: GPL-2.0

//! Those who map files whose memory failed or goes away.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h)

use crate::{
    bindings,
    error::to_result,
    prelude::*, //
};

/// Those who lost memory of files; signalled, as far as they want to know, when this is dropped.
///
/// To signal somebody means to go through every process, so a file system that has a failure in many
/// files gathers them over all of these.
#[must_use]
pub struct Victims(Inner);

#[cfg(CONFIG_MEMORY_FAILURE_DAX_RUST)]
type Inner = bindings::mf_dax_victims;
/// C tells those of each file by themselves: this is the flags.
#[cfg(not(CONFIG_MEMORY_FAILURE_DAX_RUST))]
type Inner = c_int;

// Not inlined into a file system that is a module: C does not export the functions.
impl Victims {
    /// Nobody yet. `mf_flags` are those of the failure (`enum mf_flags`).
    pub fn new(mf_flags: i32) -> Self {
        #[cfg(CONFIG_MEMORY_FAILURE_DAX_RUST)]
        let inner = Inner {
            mf_flags,
            ..Inner::default()
        };
        #[cfg(not(CONFIG_MEMORY_FAILURE_DAX_RUST))]
        let inner = mf_flags;
        Self(inner)
    }

    /// Takes `count` pages of a file from page `page` on away from all who map them.
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
        #[cfg(CONFIG_MEMORY_FAILURE_DAX_RUST)]
        // SAFETY: The function's contract; the value is nobody else's.
        let errno = unsafe { bindings::mf_dax_collect_procs(mapping, page, count, &mut self.0) };
        #[cfg(not(CONFIG_MEMORY_FAILURE_DAX_RUST))]
        // SAFETY: The function's contract.
        let errno = unsafe { bindings::mf_dax_kill_procs(mapping, page, count, self.0) };
        to_result(errno)
    }

    /// Signals those who were added so far. Sleeps.
    #[inline(never)]
    pub fn tell(&mut self) {
        #[cfg(CONFIG_MEMORY_FAILURE_DAX_RUST)]
        // SAFETY: The value is nobody else's.
        unsafe {
            bindings::mf_dax_tell_procs(&mut self.0)
        };
    }
}

impl Drop for Victims {
    fn drop(&mut self) {
        self.tell();
    }
}
