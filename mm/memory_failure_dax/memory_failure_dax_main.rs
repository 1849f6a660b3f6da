// SPDX-License-Identifier: GPL-2.0

//! The fs-dax part of `memory_failure()`: who uses memory that failed, and what becomes of them.
//!
//! C version: `mf_generic_kill_procs()` and `mf_dax_kill_procs()` in
//! [`mm/memory-failure.c`](srctree/mm/memory-failure.c)
//!
//! - `ranges.rs` is the arithmetic of frames, file pages and addresses.
//! - `mapping.rs` is a file and who maps it, `tasks.rs` the signals, `folio.rs` memory of which no
//!   file is known, `search.rs` the search for those that share it.
//! - `removal.rs` waits until nothing uses memory whose device goes away.
//! - `users.rs` is what is done, and in which order; `victims.rs` those who are told in the end.

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

/// `enum mf_flags`, as far as it matters here.
///
/// C adds `MF_ACTION_REQUIRED` to them, and so takes whoever reports a failure for the one who
/// stumbled upon it. `MF_MUST_KILL` goes without saying: no other memory can take the place of this.
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

    /// Those of memory that goes away.
    fn removal() -> Self {
        Self(bindings::mf_flags_MF_MEM_PRE_REMOVE)
    }

    /// The memory is good but goes away.
    fn is_removal(self) -> bool {
        self.0 & bindings::mf_flags_MF_MEM_PRE_REMOVE != 0
    }

    /// The current task needs what failed to go on.
    fn is_action_required(self) -> bool {
        self.0 & bindings::mf_flags_MF_ACTION_REQUIRED != 0
    }

    /// Marks what failed; what goes away is good, and may be put to use again.
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

/// Deals with the processes that use a range of a file of which the memory failed or goes away.
///
/// `count` pages from page `index` on: as many as there are, if need be; costs by how many of them
/// the file has memory for, and by who maps them. Each page that failed is marked, the range is
/// unmapped from every process, and those who want to know at once are signalled. `-EBUSY` for a file
/// without DAX. Sleeps; the caller keeps the inode.
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
/// For C: `mapping` and `victims` have to be valid, and the latter begun by the caller and his alone.
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
/// For C: the pages have to be ones of a pagemap for fs-dax that stays, and of a device that is dead.
#[export]
unsafe extern "C" fn mf_dax_revoke_pfns(pfn: usize, count: usize) -> bool {
    // SAFETY: The function's contract.
    removal::revoke_pages(unsafe { Pages::new(Pfn(pfn), count) })
}

/// See `memory_failure_dax.h`.
///
/// # Safety
///
/// For C: as of [`mf_dax_revoke_pfns`], and `name` is a string that ends.
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
