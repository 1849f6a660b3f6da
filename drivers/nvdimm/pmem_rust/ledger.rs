// SPDX-License-Identifier: GPL-2.0

//! Keeps the lists of poison consistent.
//!
//! The record ([`Poison`](super::poison::Poison)) keeps readers off, and is lost with the device.
//! The bus's list outlives the device: the next record is made from it. The region's list is for
//! display. The `HWPoison` flags show poison page by page.
//!
//! `Pmem::ledger`, a mutex, is held over each of these, so that each is atomic for the others:
//!
//! 1. A report adds its sectors to the record and to both lists (`failure.rs` says which reports
//!    do).
//! 2. A repair adds to the record what the bus's list has of its range, takes a mark of the record,
//!    and takes what it added off the bus's list. Only then does it overwrite the range and read it
//!    back.
//! 3. It takes good sectors off the record and off the region's list, unless some of them were
//!    added to the record since 2, or some of the range to the bus's list: then the repair restarts
//!    at 2. Sectors that are still on record are put back on the bus's list.
//! 4. When the bus reports news, they are read from its list and added to the record and to the
//!    region's list.
//!
//! A report during a repair comes before its 2, between 2 and 3, or after 3. A report before 2 is
//! overwritten and read back after it was made, and is removed from all lists. 3 detects a report
//! in between. A report after 3 stays on all lists. So no report is forgotten whose sectors were
//! not read since, and after 3 the record and the bus's list agree about the range.
//!
//! nfit adds to the bus's list without the mutex, before it sends the news: that is the report. If
//! it comes before 2, the news find it on record, or find nothing after 3; if in between, 3 detects
//! it; if after 3, the news are 4. This is why the range is taken off the bus's list in 2 and not in
//! 3. And 2 takes off only what it has read and put on record: what nfit adds meanwhile stays, and
//! if the repair fails, 3 puts all of it back. `nvdimm_clear_poison()` also works without the mutex:
//! it takes what firmware cleared off the bus's list, which may include a new report. That report is
//! on record, and 3 puts it back. The region's list is filled by the region's own driver before the
//! news are sent. It copies the bus's list without a lock; if a repair begins and ends meanwhile,
//! the list shows sectors that are good again.
//!
//! A failure for which the bus's list has no memory is on record only. It is put on the list when
//! the binding ends, if it is still on record then and there is memory.
//!
//! What an administrator writes to `badblocks` is on record only, and is lost with the device, as
//! in C, unless a repair was tried and failed, or it is between failures without memory.
//!
//! # Contexts
//!
//! All of this may sleep: failures are reported in process context, news with the device locked,
//! and the rest is I/O. A bio that should not wait gets here only if it finds new poison. Nothing
//! in here waits for I/O, and only spinlocks are taken inside of the mutex.

use super::{
    device::Pmem,
    failure::{
        Source,
        Steps, //
    },
    nd::region::{
        NewEntry,
        Region, //
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
    sync::atomic::Relaxed,
    task::cond_resched, //
};

/// How many sectors' pages are looked at while the mutex is held: those of a huge page.
const SECTORS_IN_A_STEP: u64 = 512 << (PAGE_SHIFT as u32 - SECTOR_SHIFT);

/// What is known of the bus's list. A search of it takes time proportional to its length, with its
/// spinlock held.
#[derive(Clone, Copy)]
enum Bus {
    /// The sectors may be on it: look.
    MayKnow,
    /// They are not, or only some of them.
    DoesNotKnow,
}

/// What the mutex protects besides the lists.
pub(crate) struct Ledger {
    /// All sectors that the bus's list had no memory for are in here, and maybe others.
    not_remembered: Option<SectorRange>,
}

impl Ledger {
    pub(crate) const fn new() -> Self {
        Self {
            not_remembered: None,
        }
    }
}

/// A repair that began, from [`Pmem::begin_repair`].
pub(crate) struct Repair {
    mark: Mark,
    /// For the bus's list in the end, if there is no memory for more entries then.
    spare: NewEntry,
}

impl Pmem {
    /// Runs `f` with the mutex held.
    pub(crate) fn in_one_step<R>(&self, f: impl FnOnce(&mut Ledger) -> R) -> R {
        // I/O that waits for a repair waits for the mutex, so the mutex's holder must not wait for
        // I/O.
        without_io(|| {
            let mut ledger = self.ledger.lock();
            f(&mut ledger)
        })
    }

    /// Adds a failure of `range` of the data to the record and the lists. False if the pages outlive
    /// the binding: then the region and its lists may be gone.
    pub(crate) fn record_failure(&self, range: ByteRange, steps: &Steps) -> bool {
        self.in_one_step(|ledger| {
            let is_bound = !self.left.load(Relaxed);
            if is_bound && self.put_on_lists(range, steps).is_err() {
                let failed = range.sectors_touched();
                pr_warn!(
                    "{}: no memory to remember that {} sectors from {} on are bad, until the device is unbound\n",
                    &*self.name,
                    failed.count(),
                    failed.start().0
                );
                let others = ledger.not_remembered;
                ledger.not_remembered = Some(others.map_or(failed, |others| others.hull(&failed)));
            }
            is_bound
        })
    }

    /// The same, with the mutex held. Without memory for the bus's list, the rest is done all the
    /// same.
    fn put_on_lists(&self, range: ByteRange, steps: &Steps) -> Result {
        let sectors = range.sectors_touched();
        // Sectors that are not on record are not on the bus's list either, or its news will report
        // them.
        let bus = if self.poison.covers(sectors) {
            Bus::MayKnow
        } else {
            Bus::DoesNotKnow
        };
        self.poison.add(sectors);
        self.show_as_bad(sectors);
        let remembered = if steps.remember {
            self.remember(sectors, bus)
        } else {
            Ok(())
        };
        if steps.suspect {
            let (first, after) = range.pages_touched();
            let pages = ByteRange::from_bounds(first << PAGE_SHIFT, after << PAGE_SHIFT);
            if let Some(pages) = pages {
                self.poison.suspect(pages.sectors_touched());
            }
        }
        remembered
    }

    /// Adds to the bus's list what it had no memory for, as far as it is still on record. For the
    /// end of the binding, when no more I/O meets failures.
    pub(crate) fn remember_the_rest(&self) {
        let mut rest = self.in_one_step(|ledger| ledger.not_remembered.take());
        while let Some(asked) = rest {
            rest = self.in_one_step(|_| self.remember_first(asked));
            cond_resched();
        }
    }

    /// The same for the first range on record within `asked`, with the mutex held. Returns what of
    /// `asked` comes after it.
    fn remember_first(&self, asked: SectorRange) -> Option<SectorRange> {
        let bad = self.poison.first_within(asked)?;
        if self.remember(bad, Bus::MayKnow).is_err() {
            pr_warn!(
                "{}: no memory to remember that {} sectors from {} on are bad: the next driver has to find it out\n",
                &*self.name,
                bad.count(),
                bad.start().0
            );
        }
        SectorRange::from_bounds(bad.end(), asked.end())
    }

    /// `sectors` as physical addresses, as far as they are data.
    fn phys_of_sectors(&self, sectors: SectorRange) -> Option<ByteRange> {
        let sectors = self.geometry.all_sectors()?.intersection(&sectors)?;
        self.phys_of(sectors.to_bytes()?)
    }

    /// Adds `sectors` to the region's list.
    fn show_as_bad(&self, sectors: SectorRange) {
        if let Some(phys) = self.phys_of_sectors(sectors) {
            self.region.show_as_bad(phys);
        }
    }

    /// Adds `sectors` to the bus's list.
    fn remember(&self, sectors: SectorRange, bus: Bus) -> Result {
        match self.phys_of_sectors(sectors) {
            Some(phys) if matches!(bus, Bus::DoesNotKnow) || !self.region.knows_all_of(phys) => {
                self.region.remember_poison(phys)
            }
            _ => Ok(()),
        }
    }

    /// Records the poison of this namespace that is on the bus's list.
    pub(crate) fn learn_from_bus(&self) -> Result {
        let data = self.geometry.data_phys().ok_or(EINVAL)?;
        self.in_one_step(|_| self.learn_within(data).map(|_| ()))
    }

    /// The same for `phys`, physical addresses, with the mutex held. Returns what of it was on the
    /// bus's list.
    fn learn_within(&self, phys: ByteRange) -> Result<KVVec<ByteRange>> {
        let known = self.region.known_poison(phys)?;
        for range in known.iter().filter_map(|phys| self.data_within(*phys)) {
            let sectors = range.sectors_touched();
            if self.poison.covers(sectors) {
                // Sectors on record are not added again: a repair of them checks the bus's list by
                // itself. They are shown again, because a repair that began before they were known
                // may have taken them off the region's list.
                self.show_as_bad(sectors);
            } else {
                self.put_on_lists(range, &Source::Bus.steps())?;
            }
        }
        Ok(known)
    }

    /// Makes the flags of the pages of `range` of the data, which was put on record, agree with the
    /// record.
    ///
    /// The notified holders and the search for users set flags, some of them maybe after a repair
    /// has cleared the page: now exactly the bad pages are marked. (A kernel whose mm does not know
    /// [`MappedPages::end_use`](kernel::memremap::MappedPages::end_use) sets a flag even later, if
    /// there was no holder. Nothing reads that flag, and the next repair clears it.)
    ///
    /// Pages that are still on record are not checked one by one: an agent may report all of the
    /// device, and repairs wait for the mutex.
    pub(crate) fn mark_as_recorded(&self, range: ByteRange) {
        let Some(pages) = &self.pages else { return };
        // No other folio begins outside of the range.
        if let Some(pfn) = self.pfns(range).next() {
            self.in_one_step(|_| self.mark_instead_of_folio(pages, pfn));
        }
        let mut rest = Some(range.sectors_touched());
        while let Some(asked) = rest {
            let end = self.in_one_step(|_| self.unmark_repaired(asked));
            rest = SectorRange::from_bounds(end, asked.end());
            cond_resched();
        }
    }

    /// Marks `pfn`, which failed, in place of the first page of its folio, if that one is good: in
    /// a huge mapping, C marks the first page.
    fn mark_instead_of_folio(&self, pages: &MappedPages, pfn: Pfn) {
        let start = pages.folio_start(pfn).unwrap_or(pfn);
        if start != pfn && self.page_is_good(start) && pages.test_and_clear_hwpoison(start) {
            pages.set_hwpoison(pfn);
        }
    }

    /// Unmarks the good pages at the start of `asked`. Returns where the rest begins.
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

    /// Begins to overwrite `range` of the data, whole sectors.
    ///
    /// [`Pmem::end_repair`] has to be called afterwards, and before the device is unbound: the I/O
    /// keeps the device.
    pub(crate) fn begin_repair(&self, range: ByteRange) -> Result<Repair> {
        let phys = self.phys_of(range).ok_or(ERANGE)?;
        self.in_one_step(|_| {
            let spare = Region::new_entry()?;
            let known = self.learn_within(phys)?;
            let mark = self.poison.mark();
            for phys in known {
                self.region.forget_poison(phys);
            }
            Ok(Repair { mark, spare })
        })
    }

    /// Ends a repair: `range` of the data was overwritten after it began, and read back; `good` is
    /// good, and `bad` is not. Returns `false`, and has cleared nothing, if there is a new report.
    pub(crate) fn end_repair(
        &self,
        range: ByteRange,
        repair: Repair,
        good: Option<ByteRange>,
        bad: Option<ByteRange>,
    ) -> bool {
        self.in_one_step(|_| {
            let news = self
                .phys_of(range)
                .is_none_or(|phys| self.region.knows_poison(phys));
            let mut done = !news;
            if let (Some(good), true) = (good, done) {
                done = self.poison.clear_since(good.sectors_touched(), repair.mark);
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

            // `begin_repair()` took what is on record off the bus's list.
            let bus = if news { Bus::MayKnow } else { Bus::DoesNotKnow };
            let mut rest = Some(range.sectors_touched());
            let mut without_entry: Option<SectorRange> = None;
            while let Some(asked) = rest {
                let Some(bad) = self.poison.first_within(asked) else {
                    break;
                };
                self.show_as_bad(bad);
                if self.remember(bad, bus).is_err() {
                    without_entry = Some(without_entry.map_or(bad, |first| first.hull(&bad)));
                }
                rest = SectorRange::from_bounds(bad.end(), asked.end());
            }
            // Without memory, good sectors between them are remembered as bad.
            let phys = without_entry.and_then(|sectors| self.phys_of_sectors(sectors));
            if let Some(phys) = phys {
                self.region.remember_poison_in(repair.spare, phys);
            }
            done
        })
    }

    /// Clears the `HWPoison` flag of each good page that `range` of the data touches.
    ///
    /// A failure in a huge mapping may have been marked on the first page of the folio, so that
    /// flag is checked as well.
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

    /// Whether no sector of the page `pfn` is poison; a page that is not data counts as good.
    fn page_is_good(&self, pfn: Pfn) -> bool {
        ByteRange::new((pfn.0 as u64) << PAGE_SHIFT, 1 << PAGE_SHIFT)
            .and_then(|page| self.data_within(page))
            .and_then(|range| self.poison.first_within(range.sectors_touched()))
            .is_none()
    }
}
