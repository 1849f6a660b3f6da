// SPDX-License-Identifier: GPL-2.0

//! The pages of a file and the processes that map them: an interface to `address_space`.

use super::ranges::{
    Addresses,
    FileRange,
    Runs,
    Stretch,
    Window, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    mm::{
        pfn::Pfn,
        virt, //
    },
    page::PAGE_SIZE,
    prelude::*,
    task::cond_resched, //
};

/// How many runs of addresses one call signals for a private mapping. For the rest, the process
/// gets SIGBUS on access, as it does for each signal that is sent while another is pending.
pub(crate) const RUNS: usize = 8;

/// Bytes that an entry of a page middle directory maps.
const HUGE_SIZE: usize = bindings::MF_PMD_SIZE;

/// The memory of some pages of a file.
pub(crate) struct Entry {
    /// All pages of the entry: one, or those of a huge page.
    pub(crate) pages: FileRange,
    /// The frames of the same pages.
    pub(crate) stretch: Stretch,
}

/// The `address_space` of a DAX file.
///
/// # Invariants
///
/// The `address_space` is valid for `'a`, and one of a DAX file.
#[derive(Clone, Copy)]
pub(crate) struct Mapping<'a>(NonNull<bindings::address_space>, PhantomData<&'a ()>);

impl<'a> Mapping<'a> {
    /// [`None`] if the file has no DAX.
    ///
    /// # Safety
    ///
    /// `mapping` must be valid for `'a`.
    pub(crate) unsafe fn from_raw(mapping: *mut bindings::address_space) -> Option<Self> {
        let this = NonNull::new(mapping)?;
        // SAFETY: The function's contract.
        let has_dax = unsafe { bindings::dax_mapping(mapping) };
        // INVARIANT: Just checked, and the function's contract.
        has_dax.then_some(Self(this, PhantomData))
    }

    pub(crate) fn as_raw(&self) -> *mut bindings::address_space {
        self.0.as_ptr()
    }

    /// Whether any process maps the file.
    pub(crate) fn is_mapped(&self) -> bool {
        // SAFETY: The type invariant.
        unsafe { bindings::mapping_mapped(self.0.as_ptr()) != 0 }
    }

    /// Calls `f` for the memory of `pages`, in order, until it returns false. Returns the pages
    /// that were left out because of that.
    ///
    /// A page fault that had found its memory before this began has mapped it when `f` gets the
    /// entry. `f` runs under a spinlock with interrupts off. Sleeps between calls.
    pub(crate) fn walk<F: FnMut(Entry) -> bool>(
        &self,
        pages: FileRange,
        mut f: F,
    ) -> Option<FileRange> {
        // SAFETY: The mapping is valid by the type invariant; `show` is given the `F` that it
        // expects, which outlives the call.
        let next = unsafe {
            bindings::dax_walk_memory(
                self.0.as_ptr(),
                pages.start(),
                pages.last(),
                Some(Self::show::<F>),
                (&raw mut f).cast(),
            )
        };
        FileRange::from_bounds(next, pages.end())
    }

    /// # Safety
    ///
    /// `f` must be a valid `F` that is not in use elsewhere.
    unsafe extern "C" fn show<F: FnMut(Entry) -> bool>(
        f: *mut c_void,
        index: usize,
        pfn: usize,
        order: c_uint,
    ) -> bool {
        // SAFETY: The function's contract.
        let f = unsafe { &mut *f.cast::<F>() };
        let entry = FileRange::of_entry(index, order).and_then(|pages| {
            Some(Entry {
                pages,
                stretch: Stretch::new(pages, Pfn(pfn))?,
            })
        });
        // Such an entry has no memory.
        entry.is_none_or(f)
    }

    /// Unmaps `pages` from every process, except private copies.
    ///
    /// Sleeps.
    pub(crate) fn unmap(&self, pages: FileRange) {
        // SAFETY: The type invariant.
        unsafe {
            bindings::unmap_mapping_pages(self.0.as_ptr(), pages.start(), pages.count(), false)
        };
    }

    /// Locks the list of VMAs of the file.
    pub(crate) fn lock(&self) -> Users<'a> {
        // SAFETY: The type invariant.
        unsafe { bindings::i_mmap_lock_read(self.0.as_ptr()) };
        // INVARIANT: Just locked.
        Users(self.0, PhantomData)
    }
}

/// The VMAs of a file; locked for reading.
///
/// # Invariants
///
/// The lock is held until the value is dropped, and the `address_space` is valid for `'a`.
pub(crate) struct Users<'a>(NonNull<bindings::address_space>, PhantomData<&'a ()>);

impl Drop for Users<'_> {
    fn drop(&mut self) {
        // SAFETY: The type invariant.
        unsafe { bindings::i_mmap_unlock_read(self.0.as_ptr()) };
    }
}

impl Users<'_> {
    /// Every VMA that may map some of `pages`.
    pub(crate) fn of(&self, pages: FileRange) -> impl Iterator<Item = User<'_>> {
        let (first, last) = (pages.start(), pages.last());
        // SAFETY: The tree does not change while it is locked.
        let mut next =
            unsafe { bindings::mapping_rmap_tree_iter_first(self.0.as_ptr(), first, last) };
        core::iter::from_fn(move || {
            let vma = NonNull::new(next)?;
            // SAFETY: As above: `vma` is part of the tree.
            next = unsafe { bindings::mapping_rmap_tree_iter_next(vma.as_ptr(), first, last) };
            cond_resched();
            // INVARIANT: The lock outlives the value.
            Some(User(vma, PhantomData))
        })
    }
}

/// A VMA of the file.
///
/// # Invariants
///
/// The `vm_area_struct` is valid and part of the tree of a locked mapping for `'a`.
pub(crate) struct User<'a>(NonNull<bindings::vm_area_struct>, PhantomData<&'a ()>);

impl User<'_> {
    /// The pages of the file and their addresses.
    fn whole(&self) -> Option<Window> {
        let vma = self.0.as_ptr();
        // SAFETY: The type invariant. None of the fields changes without the lock.
        let (start, end, first) = unsafe {
            let bounds = &(*vma).__bindgen_anon_1.__bindgen_anon_1;
            (bounds.vm_start, bounds.vm_end, (*vma).vm_pgoff)
        };
        Some(Window::new(Addresses::from_bounds(start, end)?, first))
    }

    /// Whether the mapping is shared and so has no copies of pages: it loses what the file loses.
    ///
    /// Early-kill tasks are notified even if they have not faulted the page in. A fault of another
    /// process may have removed it from the page table just now: `dax_insert_entry()` does that for
    /// blocks that files share.
    pub(crate) fn is_shared(&self) -> bool {
        // SAFETY: The type invariant.
        let flags = unsafe { (*self.0.as_ptr()).__bindgen_anon_2.vm_flags };
        flags & virt::flags::SHARED != 0
    }

    /// The addresses of `pages`, if some of them are here.
    pub(crate) fn window(&self, pages: &FileRange) -> Option<Addresses> {
        self.whole()?.find(pages)
    }

    /// The addresses from the first one that maps memory of `stretch` on.
    ///
    /// [`None`] when there is none: the pages were not faulted in, or were replaced by private
    /// copies. Takes page table locks.
    pub(crate) fn mapped(&self, stretch: &Stretch) -> Option<Addresses> {
        let addresses = self.window(&stretch.pages())?;
        let mut first = None;
        self.each_mapped(stretch, addresses, |here| {
            first = Some(here.start());
            false
        });
        addresses.beginning_at(first?)
    }

    /// Exactly the addresses that map memory of `stretch`, without private copies, which have lost
    /// nothing; at most [`RUNS`] runs. Takes page table locks.
    pub(crate) fn mapped_runs(&self, stretch: &Stretch) -> Runs<RUNS> {
        let mut runs = Runs::new();
        if let Some(addresses) = self.window(&stretch.pages()) {
            self.each_mapped(stretch, addresses, |here| runs.push(here));
        }
        runs
    }

    /// Calls `f` for the parts of `addresses`, those of `stretch`, that map memory of it, page by
    /// page or huge page by huge page, until it returns false.
    ///
    /// `f` runs with a page table lock held.
    fn each_mapped(
        &self,
        stretch: &Stretch,
        addresses: Addresses,
        mut f: impl FnMut(Addresses) -> bool,
    ) {
        let mut rest = Some(addresses);
        // A walk ends after the first huge page.
        while let Some(asked) = rest {
            let mut walk: bindings::page_vma_mapped_walk = pin_init::zeroed();
            walk.pfn = stretch.first_frame().0;
            walk.nr_pages = stretch.pages().count();
            walk.pgoff = stretch.pages().start();
            walk.vma = self.0.as_ptr();
            walk.address = asked.start();
            walk.flags = bindings::PVMW_SYNC;
            rest = None;
            // SAFETY: The range is locked, and so its page tables stay. `walk` is set up with an
            // address that is in it, and has not been ended.
            while unsafe { bindings::page_vma_mapped_walk(&mut walk) } {
                let is_huge = walk.pte.is_null();
                let size = if is_huge { HUGE_SIZE } else { PAGE_SIZE };
                // Cannot overflow: these are addresses of a process.
                let end = ((walk.address & !(size - 1)) + size).min(asked.end());
                let here = Addresses::from_bounds(walk.address & !(PAGE_SIZE - 1), end);
                let go_on = here.is_none_or(&mut f);
                if is_huge && go_on {
                    rest = Addresses::from_bounds(end, asked.end());
                }
                if is_huge || !go_on {
                    // SAFETY: The walk found something and has not been ended.
                    unsafe { bindings::page_vma_mapped_walk_done(&mut walk) };
                    break;
                }
            }
        }
    }

    /// The address space of the VMA.
    pub(crate) fn space(&self) -> Space {
        // SAFETY: A range that is part of the tree has an `mm_struct` that is alive.
        unsafe {
            let mm = (*self.0.as_ptr()).vm_mm;
            bindings::mmgrab(mm);
            // INVARIANT: That was the reference.
            Space(NonNull::new_unchecked(mm))
        }
    }
}

/// An address space, kept as an identity: it may be empty, but its address is not reused.
///
/// # Invariants
///
/// The value owns a reference (`mm_count`).
pub(crate) struct Space(NonNull<bindings::mm_struct>);

impl Space {
    /// A number that identifies the address space.
    pub(crate) fn id(&self) -> usize {
        self.0.as_ptr().addr()
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        // SAFETY: The type invariant.
        unsafe { bindings::mmdrop(self.0.as_ptr()) };
    }
}
