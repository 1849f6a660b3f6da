// SPDX-License-Identifier: GPL-2.0

//! Searches all mapped files for memory that several files share.
//!
//! This is slow, and the last resort: a shared folio does not name its files, and a file system
//! without a reverse map (or below device mapper, which does not pass notifications on) cannot find
//! them. A process that maps the memory does so through a file with an entry for it.

use super::{
    folio::Pages,
    mapping::Mapping,
    ranges::{
        FileRange,
        Stretch, //
    },
    sort::sort_by_key,
    tasks::live_spaces,
    users::end_use_of_memory,
    victims::Victims, //
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    dax::patience::Patience,
    mm::without_io,
    prelude::*,
    task::cond_resched,
    time::Delta, //
};

/// The list has room for this many files at first.
const FIRST_ROOM: usize = 256;

/// How long a search waits, in all, for processes that change their mappings. They may take any
/// time, and other failures wait for this one.
const LOCK_TIME: Delta = Delta::from_secs(1);

/// An address space that has users.
///
/// # Invariants
///
/// The value owns a reference (`mm_users`).
pub(crate) struct LiveSpace(NonNull<bindings::mm_struct>);

impl LiveSpace {
    /// The address space of `task`, if it has one.
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

    /// Locks the mappings, if that succeeds within `patience`. Sleeps.
    fn lock(&self, patience: &mut Patience) -> bool {
        let mm = self.0.as_ptr();
        // SAFETY: The type invariant.
        let locked = patience.wait(|| unsafe { bindings::mmap_read_trylock(mm) }.then_some(()));
        locked.is_some()
    }

    /// Calls `f` for the DAX file of each VMA that has one, until it returns false; false if the
    /// mappings cannot be locked. Sleeps.
    fn each_file(&self, patience: &mut Patience, mut f: impl FnMut(File) -> bool) -> bool {
        if !self.lock(patience) {
            return false;
        }
        let mm = self.0.as_ptr();
        let mut at = 0;
        // SAFETY: The lock is held, so what is found stays.
        while let Some(vma) = NonNull::new(unsafe { bindings::find_vma(mm, at) }) {
            // SAFETY: As above. The function gives us a reference, or null.
            let (end, file) = unsafe {
                let bounds = &(*vma.as_ptr()).__bindgen_anon_1.__bindgen_anon_1;
                let inode = bindings::mf_dax_get_inode_of(vma.as_ptr());
                (bounds.vm_end, File::from_raw(inode))
            };
            if file.is_some_and(|file| !f(file)) {
                break;
            }
            at = end;
            // A process may have any number of mappings.
            cond_resched();
        }
        // SAFETY: Locked above.
        unsafe { bindings::mmap_read_unlock(mm) };
        true
    }
}

impl Drop for LiveSpace {
    fn drop(&mut self) {
        // Not here: the task that reports a failure must not tear down the address space of another
        // one.
        //
        // SAFETY: The type invariant.
        unsafe { bindings::mmput_async(self.0.as_ptr()) };
    }
}

/// A file with DAX. Its file system is not unmounted while the value lives.
///
/// # Invariants
///
/// The value owns a reference of `mf_dax_get_inode()`.
pub(crate) struct File(NonNull<bindings::inode>);

impl File {
    /// [`None`] for null.
    ///
    /// # Safety
    ///
    /// `inode` has to be null, or come with a reference of `mf_dax_get_inode()`, which the value
    /// takes over.
    pub(crate) unsafe fn from_raw(inode: *mut bindings::inode) -> Option<Self> {
        // INVARIANT: The function's contract.
        NonNull::new(inode).map(Self)
    }

    pub(crate) fn mapping(&self) -> Option<Mapping<'_>> {
        // SAFETY: The type invariant: the inode stays, and its mapping with it, which only an unmount
        // takes away from an inode with references.
        unsafe { Mapping::from_raw((*self.0.as_ptr()).i_mapping) }
    }

    /// A number that identifies the file.
    fn id(&self) -> usize {
        self.0.as_ptr().addr()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: The type invariant.
        unsafe { bindings::mf_dax_put_inode(self.0.as_ptr()) };
    }
}

/// Ends each use of parts of `pages` by mapped files. Adds the tasks to be signalled to `victims`.
///
/// `EBUSY` when no file is found, `ENOMEM` when there is no memory for the search. Sleeps.
pub(crate) fn end_use_everywhere(pages: Pages<'_>, victims: &mut Victims) -> Result {
    let mut result = Err(EBUSY);
    let Some(all) = FileRange::new(0, usize::MAX) else {
        return result;
    };
    for file in mapped_files()?.iter() {
        if let Some(mapping) = file.mapping() {
            // A file may share memory with itself.
            let failed = |is: &Stretch| is.within_frames(pages.first(), pages.count());
            if end_use_of_memory(&mapping, all, failed, victims) {
                result = Ok(());
            }
        }
        cond_resched();
    }
    result
}

/// Each DAX file that a process maps, once.
fn mapped_files() -> Result<KVVec<File>> {
    let mut patience = Patience::new(LOCK_TIME);
    let mut room = FIRST_ROOM;
    loop {
        let mut files = Files {
            list: without_io(|| KVVec::with_capacity(room, GFP_KERNEL))?,
            sorted: 0,
        };
        let mut left_out = 0;
        let all = live_spaces().all(|space| {
            let mut all = true;
            let looked = space.each_file(&mut patience, |file| {
                all = files.add(file);
                all
            });
            left_out += usize::from(!looked);
            // Not for each new one, which would cost as many sorts as there are processes.
            if files.unsorted() > files.sorted / 2 + FIRST_ROOM / 4 {
                files.sort();
            }
            all
        });
        if all {
            files.sort();
            if left_out != 0 {
                pr_err!(
                    "the mappings of {} processes are not looked at: they are changing\n",
                    left_out
                );
            }
            return Ok(files.list);
        }
        room = room.checked_mul(2).ok_or(ENOMEM)?;
    }
}

/// Files found by the mappings of processes, of which each may have any number.
struct Files {
    list: KVVec<File>,
    /// This many are sorted and unique.
    sorted: usize,
}

impl Files {
    /// Adds `file`, unless it is known; false without room.
    fn add(&mut self, file: File) -> bool {
        let (sorted, new) = self.list.split_at(self.sorted.min(self.list.len()));
        let known = sorted
            .binary_search_by_key(&file.id(), |other| other.id())
            .is_ok();
        // Most mappings are next to others of the same file.
        let again = new.last().is_some_and(|last| last.id() == file.id());
        known || again || self.list.push_within_capacity(file).is_ok()
    }

    /// How many are new.
    fn unsorted(&self) -> usize {
        self.list.len().saturating_sub(self.sorted)
    }

    /// Sorts the new ones in. Sleeps.
    fn sort(&mut self) {
        if self.unsorted() == 0 {
            return;
        }
        sort_by_key(&mut self.list, |file| file.id());
        let mut last = None;
        self.list
            .retain(|file| last.replace(file.id()) != Some(file.id()));
        self.sorted = self.list.len();
        cond_resched();
    }
}
