// SPDX-License-Identifier: GPL-2.0

//! Memory that failed and of which nobody says whose it is: its folios know one file.
//!
//! A folio that several files share knows none, only that. Then nobody can be found here, and it is
//! for the file system to say who they are.

use super::{
    mapping::Mapping,
    ranges::{
        FileRange,
        Stretch, //
    },
    users::{
        end_use,
        Found, //
    },
    Flags, //
};
use core::marker::PhantomData;
use kernel::{
    bindings,
    dax::units::Pfn,
    prelude::*, //
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
    /// They have to be pages of a pagemap for fs-dax, which stay for the lifetime.
    pub(crate) unsafe fn new(first: Pfn, count: usize) -> Self {
        // INVARIANT: The function's contract.
        Self {
            first,
            count: count.min(usize::MAX - first.0),
            _pages: PhantomData,
        }
    }

    /// Each page.
    fn iter(&self) -> impl Iterator<Item = Page<'_>> {
        let first = self.first.0;
        // INVARIANT: One of the pages.
        (0..self.count).map(move |n| Page(Pfn(first + n), PhantomData))
    }
}

/// One of [`Pages`].
#[derive(Clone, Copy)]
struct Page<'a>(Pfn, PhantomData<&'a ()>);

impl<'a> Page<'a> {
    fn as_raw(&self) -> *mut bindings::page {
        // SAFETY: There is a page by the type invariant.
        unsafe { bindings::pfn_to_page(self.0 .0) }
    }

    fn folio(&self) -> *mut bindings::folio {
        // SAFETY: The type invariant.
        unsafe { bindings::compound_head(self.as_raw()).cast() }
    }

    /// Locks the file's entry of the page, so that neither the file nor the page's place in it goes.
    ///
    /// [`None`] if the page is no file's, or several files'. Sleeps.
    fn lock(&self) -> Option<LockedPage<'a>> {
        loop {
            let folio = self.folio();
            // SAFETY: The folio has the page, which stays.
            let cookie = unsafe { bindings::dax_lock_folio(folio) };
            if cookie == 0 {
                return None;
            }
            // INVARIANT: Just locked.
            let locked = LockedPage {
                page: *self,
                folio,
                cookie,
            };
            // While nothing was locked the page may have become part of another folio.
            if self.folio() == folio {
                return Some(locked);
            }
        }
    }

    /// Whether tests want to hear of failures of this page.
    fn passes_filter(&self) -> bool {
        // SAFETY: The page stays by the type invariant.
        unsafe { bindings::hwpoison_filter(self.as_raw()) == 0 }
    }
}

/// A page of which the file's entry is locked.
///
/// # Invariants
///
/// `cookie` is of `dax_lock_folio(folio)`.
struct LockedPage<'a> {
    page: Page<'a>,
    folio: *mut bindings::folio,
    cookie: bindings::dax_entry_t,
}

impl Drop for LockedPage<'_> {
    fn drop(&mut self) {
        // SAFETY: The type invariant.
        unsafe { bindings::dax_unlock_folio(self.folio, self.cookie) };
    }
}

impl LockedPage<'_> {
    /// The file.
    fn mapping(&self) -> Option<Mapping<'_>> {
        // SAFETY: A file whose entry is locked stays.
        unsafe { Mapping::from_raw(bindings::mf_folio_mapping(self.folio)) }
    }

    /// The page and the entry that it is part of, as pages of the file.
    fn place(&self) -> Option<(Stretch, FileRange)> {
        // SAFETY: The folio does not change while its entry is locked.
        let (first, index, order) = unsafe {
            (
                bindings::page_to_pfn(self.folio.cast()),
                bindings::mf_folio_index(self.folio),
                bindings::folio_order(self.folio),
            )
        };
        let at = index.checked_add(self.page.0 .0.checked_sub(first)?)?;
        Some((
            Stretch::new(FileRange::new(at, 1)?, self.page.0)?,
            FileRange::of_entry(index, order)?,
        ))
    }
}

/// Deals with all who use `pages`, as far as they can be found.
///
/// `EBUSY` when no page is part of a file, `EOPNOTSUPP` when the failure is one that tests do not
/// want. Sleeps.
pub(crate) fn end_use_of_pages(pages: Pages<'_>, flags: Flags) -> Result {
    let mut result = Err(EBUSY);
    for page in pages.iter() {
        match end_use_of_page(page, flags) {
            Err(e) if e == EBUSY => {}
            Err(e) => return Err(e),
            Ok(()) => result = Ok(()),
        }
        // SAFETY: Nothing is locked.
        unsafe { bindings::cond_resched() };
    }
    result
}

fn end_use_of_page(page: Page<'_>, flags: Flags) -> Result {
    let locked = page.lock().ok_or(EBUSY)?;
    if !page.passes_filter() {
        return Err(EOPNOTSUPP);
    }
    let mapping = locked.mapping().ok_or(EBUSY)?;
    let (stretch, entry) = locked.place().ok_or(EBUSY)?;
    flags.mark(&stretch);
    end_use(
        &mapping,
        stretch.pages(),
        &Found::single(stretch, entry),
        flags,
    );
    Ok(())
}
