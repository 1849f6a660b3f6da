// SPDX-License-Identifier: GPL-2.0

//! The fs-dax part of `memory_failure()`: finds the users of failed memory, unmaps it and signals
//! them.
//!
//! C version: `mf_generic_kill_procs()` and `mf_dax_kill_procs()` in
//! [`mm/memory-failure.c`](srctree/mm/memory-failure.c)
//!
//! - `ranges.rs` is the arithmetic of frames, file pages and addresses.
//! - `mapping.rs` is a file and its VMAs, `tasks.rs` the signals, `folio.rs` memory found by its
//!   pages, `search.rs` the search for files that share memory.
//! - `removal.rs` waits until the memory of a removed device is not in use.
//! - `users.rs` is the procedure and its order; `victims.rs` collects the tasks to be signalled.

mod folio;
mod mapping;
mod ranges;
mod removal;
mod search;
mod sort;
mod tasks;
mod tests;
mod trace;
mod users;
mod victims;

use folio::Pages;
use kernel::{
    bindings,
    mm::pfn::Pfn,
    prelude::*,
    str::CStr, //
};
use mapping::Mapping;
use ranges::{
    FileRange,
    Stretch, //
};
use victims::Victims;

/// The prefix of messages, as that of the C code.
const __LOG_PREFIX: &[u8] = b"Memory failure\0";

/// The flags of `enum mf_flags` that matter here.
///
/// C adds `MF_ACTION_REQUIRED` to them, and so treats the task that reports a failure as the one
/// that consumed the poison. `MF_MUST_KILL` is implied, because no other memory can replace this.
#[derive(Clone, Copy)]
struct Flags(u32);

impl Flags {
    fn new(flags: c_int) -> Self {
        // CAST: Bits.
        Self(flags as u32)
    }

    /// For C.
    fn bits(self) -> c_int {
        // CAST: Bits.
        self.0 as c_int
    }

    /// The flags of a removal.
    fn removal() -> Self {
        Self(bindings::mf_flags_MF_MEM_PRE_REMOVE)
    }

    /// The memory is good and is being removed.
    fn is_removal(self) -> bool {
        self.0 & bindings::mf_flags_MF_MEM_PRE_REMOVE != 0
    }

    /// The current task cannot continue without the failed memory.
    fn is_action_required(self) -> bool {
        self.0 & bindings::mf_flags_MF_ACTION_REQUIRED != 0
    }

    /// Marks failed pages. Removed pages are good, and may be used again.
    ///
    /// # Safety
    ///
    /// The frames have pages, which stay until this returns: they are those of an entry that stays.
    unsafe fn mark(self, stretch: &Stretch) {
        if self.is_removal() {
            return;
        }
        for frame in stretch.frames() {
            // SAFETY: The function's contract.
            unsafe { bindings::SetPageHWPoison(bindings::pfn_to_page(frame.0)) };
        }
    }
}

/// Handles the users of a range of a file whose memory failed or is removed.
///
/// `count` pages from page `index` on, clipped to the largest index. The cost depends on how many
/// of them have memory, and on the number of VMAs. Marks each failed page, unmaps the range from
/// every process, and signals early-kill tasks. `-EBUSY` for a file without DAX. Sleeps; the caller
/// keeps the inode.
///
/// # Safety
///
/// For C: `mapping` has to be valid.
#[export]
unsafe extern "C" fn mf_dax_kill_procs(
    mapping: *mut bindings::address_space,
    index: usize,
    count: usize,
    mf_flags: c_int,
) -> c_int {
    let mut victims = Victims::new(Flags::new(mf_flags));
    // SAFETY: The function's contract.
    let result = unsafe { end_use_of_range(mapping, index, count, &mut victims) };
    victims.tell();
    match result {
        Ok(()) => 0,
        Err(e) => e.to_errno(),
    }
}

/// # Safety
///
/// `mapping` has to be valid.
unsafe fn end_use_of_range(
    mapping: *mut bindings::address_space,
    index: usize,
    count: usize,
    victims: &mut Victims,
) -> Result {
    // SAFETY: The function's contract.
    let mapping = unsafe { Mapping::from_raw(mapping) }.ok_or(EBUSY)?;
    if let Some(pages) = FileRange::new(index, count) {
        users::end_use_of_file(&mapping, pages, victims);
    }
    Ok(())
}

/// See `memory_failure_dax.h`.
///
/// # Safety
///
/// For C: `mapping` and `victims` have to be valid, and `victims` initialized and used by the
/// caller alone.
#[export]
unsafe extern "C" fn mf_dax_collect_procs(
    mapping: *mut bindings::address_space,
    index: usize,
    count: usize,
    victims: *mut bindings::mf_dax_victims,
) -> c_int {
    // SAFETY: The function's contract.
    let result = unsafe {
        Victims::with_raw(victims, |victims| {
            end_use_of_range(mapping, index, count, victims)
        })
    };
    match result {
        Ok(()) => 0,
        Err(e) => e.to_errno(),
    }
}

/// See `memory_failure_dax.h`.
///
/// # Safety
///
/// For C: as of [`mf_dax_collect_procs`].
#[export]
unsafe extern "C" fn mf_dax_collect_frames(
    mapping: *mut bindings::address_space,
    index: usize,
    count: usize,
    pfn: usize,
    certain: bool,
    victims: *mut bindings::mf_dax_victims,
) -> c_int {
    // SAFETY: The function's contract.
    let Some(mapping) = (unsafe { Mapping::from_raw(mapping) }) else {
        return EBUSY.to_errno();
    };
    if let Some(pages) = FileRange::new(index, count) {
        // SAFETY: The function's contract.
        unsafe {
            Victims::with_raw(victims, |victims| {
                users::end_use_of_frames(&mapping, pages, Pfn(pfn), certain, victims)
            })
        };
    }
    0
}

/// See `memory_failure_dax.h`.
///
/// # Safety
///
/// For C: as of [`mf_dax_collect_procs`].
#[export]
unsafe extern "C" fn mf_dax_tell_procs(victims: *mut bindings::mf_dax_victims) {
    // SAFETY: The function's contract.
    unsafe { Victims::tell_raw(victims) };
}

/// See `memory_failure_dax.h`.
///
/// # Safety
///
/// For C: the pages have to be ones of a pagemap for fs-dax that stays.
#[export]
unsafe extern "C" fn mf_dax_kill_pfns(pfn: usize, count: usize, mf_flags: c_int) -> c_int {
    // SAFETY: The function's contract.
    let pages = unsafe { Pages::new(Pfn(pfn), count) };
    let mut victims = Victims::new(Flags::new(mf_flags));
    let result = folio::end_use_of_pages(pages, &mut victims);
    victims.tell();
    match result {
        Ok(()) => 0,
        Err(e) => e.to_errno(),
    }
}

/// See `memory_failure_dax.h`.
///
/// # Safety
///
/// For C: as of [`mf_dax_kill_pfns`] and of [`mf_dax_collect_procs`].
#[export]
unsafe extern "C" fn mf_dax_collect_pfns(
    pfn: usize,
    count: usize,
    victims: *mut bindings::mf_dax_victims,
) -> c_int {
    // SAFETY: The function's contract.
    let result = unsafe {
        let pages = Pages::new(Pfn(pfn), count);
        Victims::with_raw(victims, |victims| folio::end_use_of_pages(pages, victims))
    };
    match result {
        Ok(()) => 0,
        Err(e) => e.to_errno(),
    }
}

/// See `memory_failure_dax.h`.
///
/// # Safety
///
/// For C: the pages have to be ones of a pagemap for fs-dax that stays, and of a device that is
/// dead.
#[export]
unsafe extern "C" fn mf_dax_revoke_pfns(pfn: usize, count: usize) -> bool {
    // SAFETY: The function's contract.
    removal::revoke_pages(unsafe { Pages::new(Pfn(pfn), count) })
}

/// See `memory_failure_dax.h`.
///
/// # Safety
///
/// For C: as for [`mf_dax_revoke_pfns`], and `name` is a terminated string.
#[export]
unsafe extern "C" fn mf_dax_revoke_pfns_wait(
    pfn: usize,
    count: usize,
    name: *const c_char,
    may_stay: bool,
) -> c_int {
    // SAFETY: The function's contract.
    let pages = unsafe { Pages::new(Pfn(pfn), count) };
    // SAFETY: As above.
    let name = unsafe { CStr::from_char_ptr(name) };
    match removal::wait_until_idle(pages, name, may_stay) {
        Ok(()) => 0,
        Err(e) => e.to_errno(),
    }
}
