// SPDX-License-Identifier: GPL-2.0

//! Unmaps failed memory from all of its users.
//!
//! The order makes this final. The holder of the memory has recorded the failure before: a page
//! fault that begins later does not get the memory. A fault that already got it holds the file's
//! entry until the memory is mapped, and [`Mapping::walk`] waits for that. So what is unmapped
//! after the walk stays unmapped.
//!
//! Lock order: the entry's lock or the inode that the caller keeps, then `i_mmap_rwsem`, then page
//! table locks. Signals are sent with none of them held, or, if there is no memory for a list of
//! their recipients, with `i_mmap_rwsem`.

use super::{
    mapping::{
        Entry,
        Mapping, //
    },
    ranges::{
        FileRange,
        Stretch,
        Stretches, //
    },
    tasks::Hit,
    trace,
    victims::Victims,
    Flags, //
};
use kernel::{
    mm::pfn::Pfn,
    task::cond_resched, //
};

/// How many stretches are handled at a time. A file system calls once for each extent, which is one
/// stretch.
const STRETCHES: usize = 8;

/// Memory found at some pages of a file.
pub(crate) struct Found {
    stretches: Stretches<STRETCHES>,
    /// The pages of the entries that contain it, which are mapped as a whole.
    entries: Option<FileRange>,
}

impl Found {
    /// No memory yet.
    fn new() -> Self {
        Self {
            stretches: Stretches::new(),
            entries: None,
        }
    }

    /// A single stretch in `entry`, which is mapped as a whole.
    pub(crate) fn single(stretch: Stretch, entry: FileRange) -> Self {
        let mut this = Self::new();
        // There is room.
        let _ = this.stretches.push(stretch);
        this.entries = Some(entry);
        this
    }

    /// Adds `part` of `entry`, if there is one; does nothing and returns false without room.
    fn add(&mut self, entry: &Entry, part: Option<Stretch>, mark: impl Fn(&Stretch)) -> bool {
        let Some(stretch) = part else {
            return true;
        };
        if !self.stretches.push(stretch) {
            return false;
        }
        let pages = self
            .entries
            .map_or(entry.pages, |all| all.hull(&entry.pages));
        self.entries = Some(pages);
        mark(&stretch);
        true
    }
}

/// Unmaps `pages` of a file that the caller keeps, and collects the tasks to be signalled. Sleeps.
pub(crate) fn end_use_of_file(mapping: &Mapping<'_>, pages: FileRange, victims: &mut Victims) {
    let flags = victims.flags();
    // Removed memory is not marked.
    if flags.is_removal() && !mapping.is_mapped() {
        return;
    }
    let mut rest = Some(pages);
    while let Some(asked) = rest {
        let mut found = Found::new();
        // Under a spinlock, and while the entry cannot be removed: so the marked page is the
        // file's.
        rest = mapping.walk(asked, |entry| {
            let part = entry.stretch.within(&asked);
            // SAFETY: It is of the entry.
            found.add(&entry, part, |stretch| unsafe { flags.mark(stretch) })
        });
        let end = rest.map_or(asked.end(), |rest| rest.start());
        // There is room for the first entry, so this is not empty.
        let Some(done) = FileRange::from_bounds(asked.start(), end) else {
            break;
        };
        end_use(mapping, Some(done), &found, victims);
        cond_resched();
    }
}

/// As [`end_use_of_file`], for a file that may have changed: page `pages.start()` had frame
/// `frame`, the next page the next frame, and so on. Pages that have other memory by now are left
/// alone. So are pages without memory, unless it is `certain` that the file had these frames after
/// they failed.
pub(crate) fn end_use_of_frames(
    mapping: &Mapping<'_>,
    pages: FileRange,
    frame: Pfn,
    certain: bool,
    victims: &mut Victims,
) {
    let flags = victims.flags();
    let has_moved = |part: &Stretch| {
        // The part is within `pages`.
        let into = part.pages().start().wrapping_sub(pages.start());
        part.first_frame().0 != frame.0.wrapping_add(into)
    };
    let mut rest = Some(pages);
    while let Some(asked) = rest {
        let mut found = Found::new();
        let mut moved = None;
        let left = mapping.walk(asked, |entry| {
            if entry
                .stretch
                .within(&asked)
                .is_some_and(|part| has_moved(&part))
            {
                moved = Some(entry.pages);
                return false;
            }
            // SAFETY: It is of the entry, which the walk keeps.
            found.add(&entry, entry.stretch.within(&asked), |stretch| unsafe {
                flags.mark(stretch)
            })
        });
        let (end, next) = match (moved, left) {
            (Some(other), _) => (other.start(), other.end()),
            (None, left) => {
                let end = left.map_or(asked.end(), |left| left.start());
                (end, end)
            }
        };
        // Empty if the first entry has moved.
        if let Some(done) = FileRange::from_bounds(asked.start(), end) {
            end_use(mapping, certain.then_some(done), &found, victims);
        }
        rest = FileRange::from_bounds(next, asked.end());
        cond_resched();
    }
}

/// Ends each use of the failed memory among `pages` of a file that the caller keeps. Returns
/// whether there is any. `failed` returns the part of a stretch that failed. Sleeps.
pub(crate) fn end_use_of_memory(
    mapping: &Mapping<'_>,
    pages: FileRange,
    failed: impl Fn(&Stretch) -> Option<Stretch>,
    victims: &mut Victims,
) -> bool {
    let flags = victims.flags();
    let mut any = false;
    let mut rest = Some(pages);
    while let Some(asked) = rest {
        let mut found = Found::new();
        rest = mapping.walk(asked, |entry| {
            let of_entry = |part: &Stretch| entry.stretch.within(&part.pages()) == Some(*part);
            let part = failed(&entry.stretch).filter(of_entry);
            // SAFETY: It is of the entry, which the walk keeps.
            found.add(&entry, part, |stretch| unsafe { flags.mark(stretch) })
        });
        if found.entries.is_none() {
            break;
        }
        any = true;
        end_use(mapping, None, &found, victims);
        cond_resched();
    }
    any
}

/// Ends each use of the memory of `found`. With `asked`, that is the memory of these pages, which
/// the file system reports as lost, whether they have memory or not.
///
/// All of it is unmapped, whether a task is to be signalled or not. Adds those that are to
/// `victims`.
pub(crate) fn end_use(
    mapping: &Mapping<'_>,
    asked: Option<FileRange>,
    found: &Found,
    victims: &mut Victims,
) {
    // A VMA is linked into i_mmap before it can fault an entry in, and the walk has since seen the
    // entry unlocked, so mapping_mapped() cannot miss it.
    if !mapping.is_mapped() {
        return;
    }
    let flags = victims.flags();
    let all = match (asked, found.entries) {
        (Some(asked), Some(entries)) => asked.hull(&entries),
        (Some(some), None) | (None, Some(some)) => some,
        (None, None) => return,
    };
    trace::lost(mapping, &all, flags);
    victims.gather(|f| each_loss(mapping, asked, &all, found, flags, f));
    mapping.unmap(all);
}

/// Calls `f` for each loss, until it returns false. Returns whether it never did.
fn each_loss(
    mapping: &Mapping<'_>,
    asked: Option<FileRange>,
    all: &FileRange,
    found: &Found,
    flags: Flags,
    f: &mut dyn FnMut(Hit) -> bool,
) -> bool {
    let users = mapping.lock();
    let first = found.stretches.iter().next();
    for user in users.of(*all) {
        let hit = |addresses, frame| Hit {
            space: user.space(),
            addresses,
            frame,
        };
        if !flags.is_removal() && user.is_shared() {
            let mut lost = |pages: &FileRange, stretch: Option<&Stretch>| {
                let frame = stretch.map(|stretch| stretch.first_frame());
                user.window(pages)
                    .is_none_or(|addresses| f(hit(addresses, frame)))
            };
            let go_on = match &asked {
                // The file may have no entry for the failed memory, because no task has accessed it
                // yet.
                Some(pages) => lost(pages, first),
                None => found
                    .stretches
                    .iter()
                    .all(|stretch| lost(&stretch.pages(), Some(stretch))),
            };
            if !go_on {
                return false;
            }
            continue;
        }
        for stretch in found.stretches.iter() {
            let frame = Some(stretch.first_frame());
            if flags.is_removal() {
                // A signal for removed memory need not be exact to the byte.
                let gone = user.mapped(stretch);
                if gone.is_some_and(|addresses| !f(hit(addresses, frame))) {
                    return false;
                }
                continue;
            }
            let runs = user.mapped_runs(stretch);
            if !runs.iter().all(|addresses| f(hit(*addresses, frame))) {
                return false;
            }
        }
    }
    true
}
