// SPDX-License-Identifier: GPL-2.0

//! Keeps the lists of poison in step with each other.
//!
//! The record ([`Poison`]) holds off readers, and goes with the device. The bus has a list that
//! outlives it: the next record is made from that. The region has one to show. The `HWPoison` flags
//! show it page by page.
//!
//! `Pmem::ledger`, a mutex, is held over each of these, so that each is one step to the others:
//!
//! 1. A report puts its sectors on the record and on both lists (`failure.rs` says which do).
//! 2. A repair notes how far the record is, and takes its range off the bus's list. Only then does
//!    it overwrite the range and read it back.
//! 3. It takes off the record and off the region's list what is good now, but only if none of it was
//!    added to the record since 2, and nothing in the range to the bus's list: otherwise it begins
//!    again at 2. What is still on record is put back on the bus's list.
//! 4. The bus's news are read from its list, and put on the record and on the region's list.
//!
//! Whatever is reported during a repair comes before its 2, between 2 and 3, or after 3. What comes
//! before is overwritten and read back later than it was reported, and goes from all lists. What
//! comes in between is seen by 3. What comes after stays on all lists. So nothing is forgotten that
//! was not looked at since, and after 3 the record and the bus's list agree about the range.
//!
//! nfit adds to the bus's list without the mutex, before it sends the news: that is the report. If
//! it comes before 2, the news are of nothing; in between, 3 finds it; after 3, the news are 4. This
//! is why 2 forgets and not 3. `nvdimm_clear_poison()` takes off the bus's list what firmware has
//! cleared, without the mutex too, and so maybe a report: that is on record, and 3 puts it back.
//! The region's list is filled by its own driver before the news are sent. It copies the bus's list
//! without a lock, and if a repair begins and ends while it does, shows what is good again.
//!
//! What an administrator writes to `badblocks` is on record only, and goes with the device, as in C;
//! unless a repair was tried and failed.
//!
//! # Contexts
//!
//! All of this may sleep: failures are reported in process context, news with the device locked, and
//! the rest is I/O. A bio that should not wait meets it only if it finds poison that nobody knew of.
//! Nothing in here waits for I/O, and no other lock but spinlocks is taken inside of the mutex.

use super::{
    device::Pmem,
    failure::{
        Source,
        Steps, //
    },
    poison::Mark, //
};
use kernel::{
    block::sector::{
        Sector,
        SectorRange,
        SECTOR_SHIFT, //
    },
    dax::units::ByteRange,
    memremap::MappedPages,
    mm::{
        pfn::Pfn,
        without_io, //
    },
    page::PAGE_SHIFT,
    prelude::*,
    task::cond_resched, //
};

/// How many sectors' pages are looked at while the mutex is held: those of a huge page.
const SECTORS_IN_A_STEP: u64 = 512 << (PAGE_SHIFT as u32 - SECTOR_SHIFT);

/// What is known of the bus's list. To look at it takes as long as it is, with its spinlock held.
#[derive(Clone, Copy)]
enum Bus {
    /// The sectors may be on it: look.
    MayKnow,
    /// They are not, or only some of them.
    DoesNotKnow,
}

impl Pmem {
    /// Runs `f` as one step.
    fn in_one_step<R>(&self, f: impl FnOnce() -> R) -> R {
        // The holder may not wait for I/O that waits for a repair, and so for the mutex.
        without_io(|| {
            let _ledger = self.ledger.lock();
            f()
        })
    }

    /// Puts a failure of `range` of the data on the record and the lists.
    pub(crate) fn record_failure(&self, range: ByteRange, steps: &Steps) {
        self.in_one_step(|| self.put_on_lists(range, steps));
    }

    /// The same as part of a step.
    fn put_on_lists(&self, range: ByteRange, steps: &Steps) {
        let sectors = range.sectors_touched();
        // What is not on record is not on the bus's list, or will be told of by its news.
        let bus = if self.poison.covers(sectors) {
            Bus::MayKnow
        } else {
            Bus::DoesNotKnow
        };
        self.poison.add(sectors);
        self.show_as_bad(sectors);
        if steps.remember {
            self.remember(sectors, bus);
        }
        if steps.suspect {
            let (first, after) = range.pages_touched();
            let pages = ByteRange::from_bounds(first << PAGE_SHIFT, after << PAGE_SHIFT);
            if let Some(pages) = pages {
                self.poison.suspect(pages.sectors_touched());
            }
        }
    }

    /// `sectors` as physical addresses, as far as they are data.
    fn phys_of_sectors(&self, sectors: SectorRange) -> Option<ByteRange> {
        let sectors = self.geometry.all_sectors()?.intersection(&sectors)?;
        self.phys_of(sectors.to_bytes()?)
    }

    /// Has the region show that `sectors` are poisoned.
    fn show_as_bad(&self, sectors: SectorRange) {
        if let Some(phys) = self.phys_of_sectors(sectors) {
            self.region.show_as_bad(phys);
        }
    }

    /// Puts `sectors` on the bus's list.
    fn remember(&self, sectors: SectorRange, bus: Bus) {
        if let Some(phys) = self.phys_of_sectors(sectors) {
            if matches!(bus, Bus::MayKnow) && self.region.knows_all_of(phys) {
                return;
            }
            // Without memory it is still on our own record.
            let _ = self.region.remember_poison(phys);
        }
    }

    /// Records what the bus knows of poison in this namespace.
    pub(crate) fn learn_from_bus(&self) -> Result {
        let data = self.geometry.data_phys().ok_or(EINVAL)?;
        self.in_one_step(|| {
            for phys in self.region.known_poison(data)? {
                let Some(range) = self.data_within(phys) else {
                    continue;
                };
                let sectors = range.sectors_touched();
                if self.poison.covers(sectors) {
                    // What is known is not added: a repair of it looks at the bus's list by itself.
                    // It was shown, but maybe at the end of a repair, which began before it was
                    // known.
                    self.show_as_bad(sectors);
                } else {
                    self.put_on_lists(range, &Source::Bus.steps());
                }
            }
            Ok(())
        })
    }

    /// Has the flags of the pages of `range` of the data, which was put on record, say what the record
    /// says.
    ///
    /// Those who were told of a failure set the flags, of which some were maybe repaired and unmarked
    /// before that: now those are marked that are bad, and no others. (In a kernel whose mm does not
    /// know [`MappedPages::end_use`](kernel::memremap::MappedPages::end_use) it sets a flag later still,
    /// if nobody was there to be told. No one reads that, and the next repair clears it.)
    ///
    /// What is on record still is not looked at page by page: an agent may report all of the device,
    /// and repairs wait for the mutex.
    pub(crate) fn mark_as_recorded(&self, range: ByteRange) {
        let Some(pages) = &self.pages else { return };
        // No other folio begins outside of the range.
        if let Some(pfn) = self.pfns(range).next() {
            self.in_one_step(|| self.mark_instead_of_folio(pages, pfn));
        }
        let mut rest = Some(range.sectors_touched());
        while let Some(asked) = rest {
            let end = self.in_one_step(|| self.unmark_repaired(asked));
            rest = SectorRange::from_bounds(end, asked.end());
            cond_resched();
        }
    }

    /// Has `pfn` marked, which failed, where the first page of its folio is and is good: in a huge
    /// mapping C marks that.
    fn mark_instead_of_folio(&self, pages: &MappedPages, pfn: Pfn) {
        let start = pages.folio_start(pfn).unwrap_or(pfn);
        if start != pfn && self.page_is_good(start) && pages.test_and_clear_hwpoison(start) {
            pages.set_hwpoison(pfn);
        }
    }

    /// Unmarks what is good of the start of `asked`; returns where the rest begins.
    fn unmark_repaired(&self, asked: SectorRange) -> Sector {
        let bad = self.poison.first_within(asked);
        let good_end = match bad {
            Some(bad) if bad.start() == asked.start() => return bad.end(),
            Some(bad) => bad.start(),
            None => asked.end(),
        };
        let end = good_end.min(Sector(asked.start().0.saturating_add(SECTORS_IN_A_STEP)));
        let good = SectorRange::from_bounds(asked.start(), end).and_then(|good| good.to_bytes());
        if let Some(good) = good {
            self.clear_page_flags(good);
        }
        end
    }

    /// `range` of the data, whole sectors, is about to be overwritten.
    ///
    /// [`Pmem::end_repair`] has to be called in the end, and before the device is unbound: an I/O
    /// keeps it.
    pub(crate) fn begin_repair(&self, range: ByteRange) -> Result<Mark> {
        let phys = self.phys_of(range).ok_or(ERANGE)?;
        Ok(self.in_one_step(|| {
            let mark = self.poison.mark();
            self.region.forget_poison(phys);
            mark
        }))
    }

    /// `range` of the data was overwritten after `mark` was made, and read back: `good` is good, and
    /// `bad` is not. Returns `false`, and has cleared nothing, if there is something new.
    pub(crate) fn end_repair(
        &self,
        range: ByteRange,
        mark: Mark,
        good: Option<ByteRange>,
        bad: Option<ByteRange>,
    ) -> bool {
        self.in_one_step(|| {
            let news = self
                .phys_of(range)
                .is_none_or(|phys| self.region.knows_poison(phys));
            let mut done = !news;
            if let (Some(good), true) = (good, done) {
                done = self.poison.clear_since(good.sectors_touched(), mark);
                if done {
                    if let Some(phys) = self.phys_of(good) {
                        self.region.show_as_good(phys);
                    }
                    self.clear_page_flags(good);
                }
            }
            if let Some(bad) = bad {
                self.poison.add(bad.sectors_touched());
            }

            // The beginning took all of the range off the bus's list.
            let bus = if news { Bus::MayKnow } else { Bus::DoesNotKnow };
            let mut rest = Some(range.sectors_touched());
            while let Some(asked) = rest {
                let Some(bad) = self.poison.first_within(asked) else {
                    break;
                };
                self.show_as_bad(bad);
                self.remember(bad, bus);
                rest = SectorRange::from_bounds(bad.end(), asked.end());
            }
            done
        })
    }

    /// Clears the `HWPoison` flag of each page that `range` of the data touches and that is good.
    ///
    /// A failure in a huge mapping may have been marked at the start of the folio instead of
    /// where it is, so that flag is looked at too.
    fn clear_page_flags(&self, range: ByteRange) {
        let Some(pages) = &self.pages else { return };
        for pfn in self.pfns(range) {
            for page in [Some(pfn), pages.folio_start(pfn)].into_iter().flatten() {
                if self.page_is_good(page) {
                    pages.test_and_clear_hwpoison(page);
                }
            }
        }
    }

    /// Whether no sector of the page `pfn` is poisoned; a page that is not data counts as good.
    fn page_is_good(&self, pfn: Pfn) -> bool {
        ByteRange::new((pfn.0 as u64) << PAGE_SHIFT, 1 << PAGE_SHIFT)
            .and_then(|page| self.data_within(page))
            .and_then(|range| self.poison.first_within(range.sectors_touched()))
            .is_none()
    }
}
