// SPDX-License-Identifier: GPL-2.0

//! Failed memory without a holder that finds its users: the folio names one file.
//!
//! A folio that several files share names none of them; then they are searched for.

use super::{
    mapping::Mapping,
    ranges::{
        FileRange,
        Stretch, //
    },
    search::{
        end_use_everywhere,
        File, //
    },
    users::{
        end_use,
        end_use_of_memory,
        Found, //
    },
    victims::Victims, //
};
use core::{
    marker::PhantomData,
    mem::ManuallyDrop,
    ptr, //
};
use kernel::{
    bindings,
    mm::pfn::Pfn,
    prelude::*,
    task::cond_resched, //
};

/// Pages of fs-dax memory.
///
/// # Invariants
///
/// Each has a `struct page`, and keeps it for `'a`.
#[derive(Clone, Copy)]
pub(crate) struct Pages<'a> {
    first: Pfn,
    count: usize,
    _pages: PhantomData<&'a ()>,
}

impl Pages<'_> {
    /// `count` pages from `first` on.
    ///
    /// # Safety
    ///
    /// They must be pages of a pagemap for fs-dax, which stay for the lifetime.
    pub(crate) unsafe fn new(first: Pfn, count: usize) -> Self {
        // INVARIANT: The function's contract.
        Self {
            first,
            count: count.min(usize::MAX - first.0),
            _pages: PhantomData,
        }
    }
}

impl<'a> Pages<'a> {
    /// The frame of the first.
    pub(crate) fn first(&self) -> Pfn {
        self.first
    }

    /// How many.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Page number `n`.
    pub(crate) fn get(&self, n: usize) -> Option<Page<'a>> {
        // INVARIANT: One of the pages. Cannot wrap by the choice of `count`.
        (n < self.count).then(|| Page(Pfn(self.first.0 + n), PhantomData))
    }
}

/// One of [`Pages`].
#[derive(Clone, Copy)]
pub(crate) struct Page<'a>(Pfn, PhantomData<&'a ()>);

impl<'a> Page<'a> {
    /// Its frame.
    pub(crate) fn frame(&self) -> Pfn {
        self.0
    }

    fn as_raw(&self) -> *mut bindings::page {
        // SAFETY: There is a page by the type invariant.
        unsafe { bindings::pfn_to_page(self.0 .0) }
    }

    fn folio(&self) -> *mut bindings::folio {
        // SAFETY: The type invariant.
        unsafe { bindings::compound_head(self.as_raw()).cast() }
    }

    /// Whether the page belongs to one file at this moment.
    pub(crate) fn is_of_file(&self) -> bool {
        // SAFETY: A folio that has the page has it as long as it is locked; a word of one that does
        // not is no more than a wrong answer, and what is wrong about it is noticed with the lock.
        !unsafe { bindings::mf_folio_mapping(self.folio()) }.is_null()
    }

    /// Whether the page is page `index` of the file with `mapping` at this moment.
    fn is_at(&self, mapping: *mut bindings::address_space, index: usize) -> bool {
        // SAFETY: As in `is_of_file()`. The mapping is only compared.
        unsafe { bindings::mf_page_is_at(self.as_raw(), mapping, index) }
    }

    /// Whether several files share the page at this moment.
    pub(crate) fn is_shared(&self) -> bool {
        // SAFETY: As in `is_of_file()`.
        unsafe { bindings::mf_folio_is_shared(self.folio()) }
    }

    /// Whether the page has any user, including a file, at this moment.
    pub(crate) fn is_in_use(&self) -> bool {
        // SAFETY: As in `is_of_file()`.
        let refs = unsafe { bindings::mf_folio_ref_count(self.folio()) };
        refs != 0 || self.is_of_file() || self.is_shared()
    }

    /// Locks the file's entry of the page, which keeps the file and the page's place in it.
    ///
    /// [`None`] if the page belongs to no file, or to several. Sleeps.
    pub(crate) fn lock(&self) -> Option<LockedPage<'a>> {
        let (mut folio, mut mapping, mut index) = (ptr::null_mut(), ptr::null_mut(), 0);
        // SAFETY: The page stays by the type invariant; the variables live for the call.
        let cookie = unsafe {
            bindings::dax_lock_folio(self.as_raw(), &mut folio, &mut mapping, &mut index)
        };
        // INVARIANT: Just locked.
        (cookie != 0).then(|| LockedPage {
            page: *self,
            folio,
            mapping,
            index,
            cookie,
        })
    }

    /// Whether hwpoison's filter for tests lets failures of this page through.
    fn passes_filter(&self) -> bool {
        // SAFETY: The page stays by the type invariant.
        unsafe { bindings::hwpoison_filter(self.as_raw()) == 0 }
    }
}

/// A page with its file's entry locked.
///
/// # Invariants
///
/// `folio`, `mapping`, `index` and `cookie` are of `dax_lock_folio(page)`: the folio has the page
/// as long as the entry of `mapping` at `index` is locked. The folio itself may have become shared
/// by several files since.
pub(crate) struct LockedPage<'a> {
    page: Page<'a>,
    folio: *mut bindings::folio,
    mapping: *mut bindings::address_space,
    index: usize,
    cookie: bindings::dax_entry_t,
}

impl Drop for LockedPage<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the entry is locked, with this cookie.
        unsafe { bindings::dax_unlock_folio(self.mapping, self.index, self.cookie) };
    }
}

impl LockedPage<'_> {
    /// The file.
    pub(crate) fn mapping(&self) -> Option<Mapping<'_>> {
        // SAFETY: A file whose entry is locked stays, and its entry is by the type invariant.
        unsafe { Mapping::from_raw(self.mapping) }
    }

    /// A reference to the file; [`None`] if it is being freed or unmounted, and so is mapped by no
    /// process.
    fn file(&self) -> Option<File> {
        // SAFETY: A file whose entry is locked stays, and its `address_space` has an inode.
        let inode = unsafe { (*self.mapping).host };
        // SAFETY: As above. The function gives us a reference, or null.
        unsafe { File::from_raw(bindings::mf_dax_get_inode(inode)) }
    }

    /// Whether the folio, which is not mapped, has references.
    pub(crate) fn is_busy(&self) -> bool {
        // SAFETY: The folio does not change while its entry is locked.
        unsafe { bindings::mf_folio_ref_count(self.folio) != 0 }
    }

    /// Removes the entry from the file.
    pub(crate) fn forget(self) {
        let this = ManuallyDrop::new(self);
        // SAFETY: By the type invariant the entry is locked, with this cookie; the lock goes with
        // it.
        unsafe { bindings::dax_unlock_folio_delete(this.mapping, this.index, this.cookie) };
    }

    /// The number of the file's inode, and the name of its file system.
    pub(crate) fn inode(&self) -> (u64, &CStr) {
        // SAFETY: A file whose entry is locked stays, and with it its inode.
        let inode = unsafe { (*self.mapping).host };
        // SAFETY: As above.
        let number = unsafe { (*inode).i_ino };
        // SAFETY: As above, and an inode keeps its super block.
        let id = unsafe { &raw const (*(*inode).i_sb).s_id };
        // SAFETY: The name of a super block ends, and does not change once it has inodes.
        (number, unsafe { CStr::from_char_ptr(id.cast()) })
    }

    /// The page, and the entry that it is part of, as pages of the file.
    pub(crate) fn place(&self) -> Option<(Stretch, FileRange)> {
        // SAFETY: The folio has a struct page, whose place does not change.
        let first = unsafe { bindings::page_to_pfn(self.folio.cast()) };
        // SAFETY: The order of a folio does not change while an entry of it is locked.
        let order = unsafe { bindings::folio_order(self.folio) };
        let index = self.index;
        let at = index.checked_add(self.page.0 .0.checked_sub(first)?)?;
        Some((
            Stretch::new(FileRange::new(at, 1)?, self.page.0)?,
            FileRange::of_entry(index, order)?,
        ))
    }
}

/// Ends each use of `pages` that can be found. Adds the tasks to be signalled to `victims`.
///
/// Pages that are adjacent in a file are handled in one step, and pages that several files share
/// are searched for together. `EBUSY` when no page is part of a file, `EOPNOTSUPP` when the filter
/// for tests drops the failures. An error in one place does not stop the rest, and is returned in
/// the end. Sleeps.
pub(crate) fn end_use_of_pages(pages: Pages<'_>, victims: &mut Victims) -> Result {
    let mut result = Err(EBUSY);
    let mut shared = false;
    let mut at = 0;
    while let Some(page) = pages.get(at) {
        let (count, users) = end_use_of_run(pages, at, page, victims);
        match users {
            Users::None => {}
            Users::Unwanted => result = worse(result, Err(EOPNOTSUPP)),
            Users::Unknown => shared = true,
            Users::Gone => result = worse(result, Ok(())),
        }
        at += count;
        cond_resched();
    }
    if shared {
        result = worse(result, end_use_everywhere(pages, victims));
    }
    result
}

/// Combines two results: an error, or `Ok` if there were users, or `EBUSY` if there were none.
fn worse(one: Result, other: Result) -> Result {
    match (one, other) {
        (Err(e), other) if e == EBUSY => other,
        (one, Err(e)) if e == EBUSY => one,
        (one, other) => one.and(other),
    }
}

/// What was found of the users of some pages.
enum Users {
    /// There are none.
    None,
    /// The filter for tests drops the failure.
    Unwanted,
    /// Several files share the pages.
    Unknown,
    /// They have been unmapped.
    Gone,
}

/// Ends each use of the pages that are adjacent in a file from `page` on, which is page number `at`
/// of `pages`. Returns how many pages these are.
fn end_use_of_run(
    pages: Pages<'_>,
    at: usize,
    page: Page<'_>,
    victims: &mut Victims,
) -> (usize, Users) {
    // Most pages belong to no file.
    if !page.is_of_file() && !page.is_shared() {
        return (1, Users::None);
    }
    let Some(locked) = page.lock() else {
        let users = match (page.is_shared(), page.passes_filter()) {
            (false, _) => Users::None,
            (true, false) => Users::Unwanted,
            (true, true) => Users::Unknown,
        };
        return (1, users);
    };
    if !page.passes_filter() {
        return (1, Users::Unwanted);
    }
    let (Some(mapping), Some((one, entry))) = (locked.mapping(), locked.place()) else {
        return (1, Users::None);
    };
    let start = one.pages().start();
    let follows = |n: usize| {
        let next = at.checked_add(n).and_then(|at| pages.get(at));
        next.zip(start.checked_add(n))
            .is_some_and(|(next, index)| next.is_at(locked.mapping, index) && next.passes_filter())
    };
    let mut count = 1;
    while follows(count) {
        count += 1;
    }
    let in_entry = (entry.end() - start).min(count);
    let run = |count| {
        let pages = FileRange::new(start, count);
        pages.and_then(|pages| Stretch::new(pages, page.0))
    };
    if in_entry < count {
        if let (Some(file), Some(run)) = (locked.file(), run(count)) {
            // The walk needs the entry unlocked; the reference keeps the file.
            drop(locked);
            if let Some(mapping) = file.mapping() {
                let failed = |is: &Stretch| {
                    // The file may have other memory there by now.
                    let part = is.within(&run.pages())?;
                    (run.within(&part.pages()) == Some(part)).then_some(part)
                };
                end_use_of_memory(&mapping, run.pages(), failed, victims);
            }
            return (count, Users::Gone);
        }
    }
    let part = run(in_entry).unwrap_or(one);
    // SAFETY: These are some of `pages`.
    unsafe { victims.flags().mark(&part) };
    end_use(&mapping, None, &Found::single(part, entry), victims);
    (part.pages().count(), Users::Gone)
}
