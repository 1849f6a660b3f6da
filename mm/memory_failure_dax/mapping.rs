// SPDX-License-Identifier: GPL-2.0

//! A file's pages and the processes that map them: what is needed of `address_space`.

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

/// How many runs of addresses one call signals for a private mapping. For the rest, the process gets
/// SIGBUS when it touches it, as it does for each signal that comes while another is pending.
pub(crate) const RUNS: usize = 8;

/// Bytes that an entry of a page middle directory maps.
const HUGE_SIZE: usize = bindings::MF_PMD_SIZE;

/// The memory that a file has for some of its pages.
pub(crate) struct Entry {
    /// All pages of the entry: one, or those of a huge page.
    pub(crate) pages: FileRange,
    /// The frames of the same pages.
    pub(crate) stretch: Stretch,
}

/// The mappings of a file with DAX.
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

    /// Whether anybody maps any of the file.
    pub(crate) fn is_mapped(&self) -> bool {
        // SAFETY: The type invariant.
        unsafe { bindings::mapping_mapped(self.0.as_ptr()) != 0 }
    }

    /// Shows `f` what memory there is for `pages`, in order, until it returns false; returns the
    /// pages that were not looked at because of that.
    ///
    /// A page fault that had found memory before this began has mapped it when `f` sees it. `f` runs
    /// under a spinlock with interrupts off. Sleeps between calls.
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
    /// `f` must be a valid `F` that nobody else has.
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
        // There is no memory of such an entry.
        entry.is_none_or(f)
    }

    /// Unmaps `pages` from every process, but not what a process has copied for itself.
    ///
    /// Sleeps.
    pub(crate) fn unmap(&self, pages: FileRange) {
        // SAFETY: The type invariant.
        unsafe {
            bindings::unmap_mapping_pages(self.0.as_ptr(), pages.start(), pages.count(), false)
        };
    }

    /// Keeps the list of who maps the file as it is.
    pub(crate) fn lock(&self) -> Users<'a> {
        // SAFETY: The type invariant.
        unsafe { bindings::i_mmap_lock_read(self.0.as_ptr()) };
        // INVARIANT: Just locked.
        Users(self.0, PhantomData)
    }
}

/// Who maps a file; locked for reading.
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
    /// Everybody who may have mapped some of `pages`.
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

/// One range of addresses of one process that has a part of the file.
///
/// # Invariants
///
/// The `vm_area_struct` is valid and part of the tree of a locked mapping for `'a`.
pub(crate) struct User<'a>(NonNull<bindings::vm_area_struct>, PhantomData<&'a ()>);

impl User<'_> {
    /// Which pages are where.
    fn whole(&self) -> Option<Window> {
        let vma = self.0.as_ptr();
        // SAFETY: The type invariant. None of the fields changes without the lock.
        let (start, end, first) = unsafe {
            let bounds = &(*vma).__bindgen_anon_1.__bindgen_anon_1;
            (bounds.vm_start, bounds.vm_end, (*vma).vm_pgoff)
        };
        Some(Window::new(Addresses::from_bounds(start, end)?, first))
    }

    /// Whether it shares the file, and so has no copy of a page: it loses what the file loses.
    ///
    /// That it has not touched the page yet does not matter to who asks to know at once; and a fault of
    /// another process may have taken it out of the page table just now (that is what
    /// `dax_insert_entry()` does for blocks that files share).
    pub(crate) fn is_shared(&self) -> bool {
        // SAFETY: The type invariant.
        let flags = unsafe { (*self.0.as_ptr()).__bindgen_anon_2.vm_flags };
        flags & virt::flags::SHARED != 0
    }

    /// The addresses of `pages`, if some of them are here.
    pub(crate) fn window(&self, pages: &FileRange) -> Option<Addresses> {
        self.whole()?.find(pages)
    }

    /// The addresses of `stretch` from the first on that really has memory of it.
    ///
    /// [`None`] when there is none: never touched, or replaced by a private copy. Takes the locks of
    /// page tables.
    pub(crate) fn mapped(&self, stretch: &Stretch) -> Option<Addresses> {
        let addresses = self.window(&stretch.pages())?;
        let mut first = None;
        self.each_mapped(stretch, addresses, |here| {
            first = Some(here.start());
            false
        });
        addresses.beginning_at(first?)
    }

    /// Exactly the addresses that have memory of `stretch`, without those of private copies, which
    /// have lost nothing. As far as they are [`RUNS`] runs. Takes the locks of page tables.
    pub(crate) fn mapped_runs(&self, stretch: &Stretch) -> Runs<RUNS> {
        let mut runs = Runs::new();
        if let Some(addresses) = self.window(&stretch.pages()) {
            self.each_mapped(stretch, addresses, |here| runs.push(here));
        }
        runs
    }

    /// Shows `f` the addresses of `addresses`, which are those of `stretch`, that have memory of it,
    /// page by page or huge page by huge page, until it returns false.
    ///
    /// `f` runs with the lock of a page table.
    fn each_mapped(
        &self,
        stretch: &Stretch,
        addresses: Addresses,
        mut f: impl FnMut(Addresses) -> bool,
    ) {
        let mut rest = Some(addresses);
        // A walk ends with the first huge page.
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
                // None is the last that a number can name: these are addresses of a process.
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

    /// Whose addresses they are.
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

/// An address space, kept as an identity: it may be empty, but no other has its place.
///
/// # Invariants
///
/// The value owns a reference (`mm_count`).
pub(crate) struct Space(NonNull<bindings::mm_struct>);

impl Space {
    /// A number that tells address spaces apart.
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
