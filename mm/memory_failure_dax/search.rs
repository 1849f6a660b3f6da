// SPDX-License-Identifier: GPL-2.0

//! Memory that several files share, where nobody can say which: looked for in all files that are
//! mapped.
//!
//! That is slow, and it is what is left: a folio that is shared knows that, but not by whom, and a
//! file system without a reverse map (or below device mapper, which passes nothing on) is not asked.
//! Who has the memory mapped has it by a file with an entry for it.

use super::{
    mapping::Mapping,
    ranges::FileRange,
    tasks::live_spaces,
    users::end_use_of_file,
    victims::Victims,
    Flags, //
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    mm::{
        pfn::Pfn,
        without_io, //
    },
    prelude::*,
    task::cond_resched, //
};

/// Room for this many files is made at first.
const FIRST_ROOM: usize = 256;

/// An address space with users.
///
/// # Invariants
///
/// The value owns a reference (`mm_users`).
pub(crate) struct LiveSpace(NonNull<bindings::mm_struct>);

impl LiveSpace {
    /// That of `task`, if it has one.
    ///
    /// # Safety
    ///
    /// `task` must be valid.
    pub(crate) unsafe fn of(task: *mut bindings::task_struct) -> Option<Self> {
        // SAFETY: The function's contract.
        let mm = unsafe { bindings::get_task_mm(task) };
        // INVARIANT: The function gave us the reference.
        NonNull::new(mm).map(Self)
    }

    /// Calls `f` for each file with DAX that is mapped here.
    fn each_file(&self, mut f: impl FnMut(File)) {
        let mm = self.0.as_ptr();
        // SAFETY: The type invariant.
        unsafe { bindings::mmap_read_lock(mm) };
        let mut at = 0;
        // SAFETY: The lock is held, so what is found stays.
        while let Some(vma) = NonNull::new(unsafe { bindings::find_vma(mm, at) }) {
            // SAFETY: As above.
            let (end, inode) = unsafe {
                let bounds = &(*vma.as_ptr()).__bindgen_anon_1.__bindgen_anon_1;
                (bounds.vm_end, bindings::mf_dax_inode(vma.as_ptr()))
            };
            if let Some(inode) = NonNull::new(inode) {
                // INVARIANT: The function gave us the reference.
                f(File(inode));
            }
            at = end;
        }
        // SAFETY: Locked above.
        unsafe { bindings::mmap_read_unlock(mm) };
    }
}

impl Drop for LiveSpace {
    fn drop(&mut self) {
        // Not here: whoever reports a failure is not to take apart the memory of others.
        //
        // SAFETY: The type invariant.
        unsafe { bindings::mmput_async(self.0.as_ptr()) };
    }
}

/// A file with DAX.
///
/// # Invariants
///
/// The value owns a reference to the inode.
struct File(NonNull<bindings::inode>);

impl File {
    fn mapping(&self) -> Option<Mapping<'_>> {
        // SAFETY: The type invariant: the inode stays, and its mapping with it.
        unsafe { Mapping::from_raw((*self.0.as_ptr()).i_mapping) }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: The type invariant.
        unsafe { bindings::iput(self.0.as_ptr()) };
    }
}

/// Deals with all who have `frame` mapped by whatever file.
///
/// `EBUSY` when no file is found, `ENOMEM` when there is no memory to look for one. Sleeps.
pub(crate) fn end_use_everywhere(frame: Pfn, flags: Flags) -> Result {
    let mut result = Err(EBUSY);
    let mut victims = Victims::new(flags);
    for file in mapped_files()?.iter() {
        if let Some(mapping) = file.mapping() {
            if end_use_by_file(&mapping, frame, &mut victims) {
                result = Ok(());
            }
        }
        cond_resched();
    }
    victims.tell();
    result
}

/// Each file with DAX that a process has mapped, once.
fn mapped_files() -> Result<KVVec<File>> {
    let mut room = FIRST_ROOM;
    loop {
        let mut files = without_io(|| KVVec::<File>::with_capacity(room, GFP_KERNEL))?;
        let all = live_spaces().all(|space| {
            let mut all = true;
            space.each_file(|file| {
                let known = files.iter().any(|other| other.0 == file.0);
                all &= known || files.push_within_capacity(file).is_ok();
            });
            all
        });
        if all {
            return Ok(files);
        }
        room = room.checked_mul(2).ok_or(ENOMEM)?;
    }
}

/// Deals with all who have `frame` mapped by this file; whether it is one of the file's.
fn end_use_by_file(mapping: &Mapping<'_>, frame: Pfn, victims: &mut Victims) -> bool {
    let mut found = false;
    let mut rest = FileRange::new(0, usize::MAX);
    while let Some(asked) = rest {
        // A file may share memory with itself.
        let mut hit = None;
        mapping.walk(asked, |entry| {
            hit = entry.stretch.page_of(frame).map(|page| (page, entry.pages));
            hit.is_none()
        });
        let Some((page, entry)) = hit else { break };
        found = true;
        if let Some(page) = FileRange::new(page, 1) {
            end_use_of_file(mapping, page, victims);
        }
        rest = FileRange::from_bounds(entry.end(), asked.end());
    }
    found
}
