// SPDX-License-Identifier: GPL-2.0

//! Failing memory: who says so, and who has to hear of it.

use super::{
    agent,
    device::Pmem,
    io::DiskData,
    PmemDriver, //
};
use kernel::{
    block::attr::Command,
    dax::{
        self,
        units::{
            ByteRange,
            Pfn, //
        },
    },
    memremap,
    page::PAGE_SHIFT,
    prelude::*,
    sync::{
        Arc,
        SetOnce, //
    },
};

/// What hears of failing memory.
///
/// The mapping exists before there is anybody to tell, and after: then the failure is the
/// caller's to deal with.
pub(crate) struct FailureHandler(pub(crate) Arc<SetOnce<Listener>>);

/// Whom a failure concerns.
pub(crate) struct Listener {
    pmem: Arc<Pmem>,
    dax: Option<Arc<dax::Device>>,
}

impl memremap::Operations for FailureHandler {
    fn memory_failure(&self, pfn: Pfn, pages: usize, mf_flags: i32) -> Result {
        SetOnce::as_ref(&self.0)
            .ok_or(EOPNOTSUPP)?
            .fail(pfn, pages, mf_flags)
    }
}

impl Listener {
    pub(crate) fn new(pmem: Arc<Pmem>, dax: Option<Arc<dax::Device>>) -> Self {
        Self { pmem, dax }
    }

    /// The kernel met the failure.
    fn fail(&self, pfn: Pfn, pages: usize, mf_flags: i32) -> Result {
        let pmem = &*self.pmem;
        let phys = ByteRange::new((pfn.0 as u64) << PAGE_SHIFT, (pages as u64) << PAGE_SHIFT)
            .ok_or(EINVAL)?;
        // The information block, or the end that is cut off: no user has that.
        let range = pmem.data_within(phys).ok_or(EOPNOTSUPP)?;

        pmem.begin_failure(range);
        let told = pmem.tell(self.dax.as_deref(), range, mf_flags);
        pmem.end_failure(range);
        told
    }
}

impl Pmem {
    /// Tells those who have `range` of the data, which is on record, that it failed.
    ///
    /// When nobody claims to know them, they are looked for by the pages. That is done here and not by
    /// mm, because they are marked with it, and what is marked has to agree with the record in the
    /// end.
    fn tell(&self, dax: Option<&dax::Device>, range: ByteRange, mf_flags: i32) -> Result {
        let told = match dax {
            Some(dax) => dax.notify_failure(range, mf_flags),
            None => Err(EOPNOTSUPP),
        };
        match (told, &self.pages) {
            (Err(e), Some(pages)) if e == EOPNOTSUPP => {
                let (first, after) = self.phys_of(range).ok_or(ERANGE)?.pages_touched();
                // CAST: Physical page numbers fit.
                pages.end_use(Pfn(first as usize), (after - first) as usize, mf_flags)
            }
            (told, _) => told,
        }
    }

    /// Takes the memory of a device that is dead from all who still have it.
    pub(crate) fn revoke(&self) {
        let (Some(pages), Some(all)) = (&self.pages, self.geometry.data_phys()) else {
            return;
        };
        let (first, after) = all.pages_touched();
        // CAST: Physical page numbers fit.
        let in_use = pages.revoke(Pfn(first as usize), (after - first) as usize);
        if in_use != 0 {
            pr_err!("{} pages go away while they are kept for I/O\n", in_use);
        }
    }
}

/// The attribute `dax/report_failure`: an agent in user space knows of a failure.
///
/// It may know it to the byte, and the holder is told to the byte. The record has the sectors, as
/// it has those of any other failure, and is cleared in the same way.
pub(crate) struct ReportFailure;

impl Command for ReportFailure {
    type Driver = PmemDriver;

    fn run(data: &DiskData, text: &[u8]) -> Result {
        let pmem = &*data.pmem;
        let all = pmem.geometry.all_sectors().and_then(|all| all.to_bytes());
        let range = agent::parse(text, all.map_or(0, |all| all.end()))?;
        pr_info!(
            "{:#x} bytes at {:#x} are reported to have failed\n",
            range.len(),
            range.start()
        );
        pmem.report(range);
        let told = pmem.tell(data.dax.as_deref(), range, 0);
        pmem.mark_as_recorded(range);
        match told {
            // Nobody has it, or nobody can be found. It is on record.
            Err(e) if e == EBUSY || e == EOPNOTSUPP => Ok(()),
            told => told,
        }
    }
}
