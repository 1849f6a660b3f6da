// SPDX-License-Identifier: GPL-2.0

//! Memory that failed and of which nobody says whose it is: its folios know one file.
//!
//! A folio that several files share knows none, only that; then they are looked for.

use super::{
    mapping::Mapping,
    ranges::{
        FileRange,
        Stretch, //
    },
    search::end_use_everywhere,
    users::{
        end_use,
        Found, //
    },
    victims::Victims,
    Flags, //
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
    task::cond_resched,
    time::{
        delay::fsleep,
        Delta,
        Instant,
        Monotonic, //
    },
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
        (0..self.count).filter_map(|n| self.get(n))
    }
}

impl<'a> Pages<'a> {
    /// Page number `n`.
    fn get(&self, n: usize) -> Option<Page<'a>> {
        // INVARIANT: One of the pages. Cannot wrap by the choice of `count`.
        (n < self.count).then(|| Page(Pfn(self.first.0 + n), PhantomData))
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

    /// Whether the page is some file's, right now.
    fn is_of_file(&self) -> bool {
        // SAFETY: A folio that has the page has it as long as it is locked; a word of one that does
        // not is no more than a wrong answer, and what is wrong about it is noticed with the lock.
        !unsafe { bindings::mf_folio_mapping(self.folio()) }.is_null()
    }

    /// Whether the page is that of several files, right now.
    fn is_shared(&self) -> bool {
        // SAFETY: As in `is_of_file()`.
        unsafe { bindings::mf_folio_is_shared(self.folio()) }
    }

    /// Locks the file's entry of the page, so that neither the file nor the page's place in it goes.
    ///
    /// [`None`] if the page is no file's, or several files'. Sleeps.
    fn lock(&self) -> Option<LockedPage<'a>> {
        loop {
            let folio = self.folio();
            let (mut mapping, mut index) = (ptr::null_mut(), 0);
            // SAFETY: The folio has the page, which stays by the type invariant; both variables live
            // for the call.
            let cookie = unsafe { bindings::dax_lock_folio(folio, &mut mapping, &mut index) };
            if cookie == 0 {
                return None;
            }
            // INVARIANT: Just locked.
            let locked = LockedPage {
                page: *self,
                folio,
                mapping,
                index,
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
/// `mapping`, `index` and `cookie` are of `dax_lock_folio(folio)`: the entry of `mapping` at `index`
/// is locked. The folio itself may have become one of several files since.
struct LockedPage<'a> {
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
    fn mapping(&self) -> Option<Mapping<'_>> {
        // SAFETY: A file whose entry is locked stays, and its entry is by the type invariant.
        unsafe { Mapping::from_raw(self.mapping) }
    }

    /// Whether the folio, which is mapped nowhere, is kept by somebody.
    fn is_busy(&self) -> bool {
        // SAFETY: The folio does not change while its entry is locked.
        unsafe { bindings::mf_folio_ref_count(self.folio) != 0 }
    }

    /// Has the file forget its entry.
    fn forget(self) {
        let this = ManuallyDrop::new(self);
        // SAFETY: By the type invariant the entry is locked, with this cookie; the lock goes with it.
        unsafe { bindings::dax_unlock_folio_delete(this.mapping, this.index, this.cookie) };
    }

    /// The page and the entry that it is part of, as pages of the file.
    fn place(&self) -> Option<(Stretch, FileRange)> {
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

/// For how long a removal waits for those who keep a page for I/O, in all.
const PATIENCE: Delta = Delta::from_secs(20);

/// Takes `pages`, which go away, from all who use them, files included. The device has to be dead:
/// nobody gets one of them from now on. Sleeps.
///
/// Without this, what a file or a page table says of its pages would be read after they were freed,
/// where the file system is not one that is told of the removal. Whoever has a page mapped is
/// told. Pages that are kept for I/O are waited for, but not for ever: returns how many are still
/// in use.
pub(crate) fn revoke_pages(pages: Pages<'_>) -> usize {
    let since: Instant<Monotonic> = Instant::now();
    let mut in_use = 0;
    let mut looked_at = 0;
    while let Some(page) = pages.get(looked_at) {
        // Most pages are no file's.
        looked_at += if page.is_of_file() {
            match revoke_page(page, &since) {
                Ok(count) => count,
                Err(count) => {
                    in_use += count;
                    count
                }
            }
        } else {
            1
        };
        cond_resched();
    }
    in_use
}

/// How many pages from `page` on are dealt with; as an error, if they stay in use.
fn revoke_page(page: Page<'_>, since: &Instant<Monotonic>) -> Result<usize, usize> {
    loop {
        let Some(locked) = page.lock() else {
            return Ok(1);
        };
        let (Some(mapping), Some((stretch, entry))) = (locked.mapping(), locked.place()) else {
            return Ok(1);
        };
        let rest = FileRange::from_bounds(stretch.pages().start(), entry.end());
        let count = rest.map_or(1, |rest| rest.count());
        let whole = rest
            .and_then(|rest| Stretch::new(rest, page.0))
            .unwrap_or(stretch);
        let mut victims = Victims::new(Flags::removal());
        end_use(&mapping, entry, &Found::single(whole, entry), &mut victims);
        victims.tell();
        if !locked.is_busy() {
            locked.forget();
            return Ok(count);
        }
        drop(locked);
        if since.elapsed() > PATIENCE {
            return Err(count);
        }
        fsleep(Delta::from_millis(10));
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
        cond_resched();
    }
    result
}

fn end_use_of_page(page: Page<'_>, flags: Flags) -> Result {
    let Some(locked) = page.lock() else {
        if !page.is_shared() {
            return Err(EBUSY);
        }
        if !page.passes_filter() {
            return Err(EOPNOTSUPP);
        }
        return end_use_everywhere(page.0, flags);
    };
    if !page.passes_filter() {
        return Err(EOPNOTSUPP);
    }
    let mapping = locked.mapping().ok_or(EBUSY)?;
    let (stretch, entry) = locked.place().ok_or(EBUSY)?;
    flags.mark(&stretch);
    let mut victims = Victims::new(flags);
    end_use(
        &mapping,
        stretch.pages(),
        &Found::single(stretch, entry),
        &mut victims,
    );
    victims.tell();
    Ok(())
}
