// SPDX-License-Identifier: GPL-2.0

//! Failing memory: where the news come from, and what is done about them.

use super::{
    agent,
    device::Pmem,
    io::DiskData,
    LocalModule,
    PmemDriver, //
};
use kernel::{
    block::attr::Command,
    dax::{
        self,
        units::ByteRange,
        victims::Victims, //
    },
    memremap::{
        self,
        MappedPages, //
    },
    mm::pfn::Pfn,
    module::this_module,
    page::PAGE_SHIFT,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::Relaxed,
        Arc,
        SetOnce, //
    }, //
};

/// How many pages' users are looked for before there is another look at whether to go on: 128 MiB, as
/// much as the largest extent of ext4. A step unmaps and notifies once for each extent of a file.
const PAGES_IN_A_STEP: usize = 1 << 15;

/// What hears of failing memory.
///
/// The mapping exists before there is anybody to tell, and after: then the failure is the
/// caller's to deal with.
pub(crate) struct FailureHandler(pub(crate) Arc<SetOnce<Listener>>);

/// Whom a failure concerns.
pub(crate) struct Listener {
    pmem: Arc<Pmem>,
    dax: Option<ARef<dax::Device>>,
}

impl memremap::Operations for FailureHandler {
    fn memory_failure(&self, pfn: Pfn, pages: usize, mf_flags: i32) -> Result {
        SetOnce::as_ref(&self.0)
            .ok_or(EOPNOTSUPP)?
            .fail(pfn, pages, mf_flags)
    }

    fn stays(&self) -> bool {
        // Without a listener there was no disk. `Pmem::revoke()` has waited.
        SetOnce::as_ref(&self.0).is_some_and(|listener| listener.pmem.left.load(Relaxed))
    }
}

impl Listener {
    pub(crate) fn new(pmem: Arc<Pmem>, dax: Option<ARef<dax::Device>>) -> Self {
        Self { pmem, dax }
    }

    /// The kernel met the failure.
    fn fail(&self, pfn: Pfn, pages: usize, mf_flags: i32) -> Result {
        let pmem = &*self.pmem;
        if pmem.left.load(Relaxed) {
            // Its region may be gone.
            return Err(EOPNOTSUPP);
        }
        let phys = ByteRange::new((pfn.0 as u64) << PAGE_SHIFT, (pages as u64) << PAGE_SHIFT)
            .ok_or(EINVAL)?;
        // The information block, or the end that is cut off: no user has that.
        let range = pmem.data_within(phys).ok_or(EOPNOTSUPP)?;

        let dax = self.dax.as_deref();
        pmem.failed(range, Source::Mm { dax, mf_flags })
    }
}

/// Where the news of a failure come from; [`Source::steps`] says what each is good for.
pub(crate) enum Source<'a> {
    /// `memory_failure()`, with its flags.
    Mm {
        dax: Option<&'a dax::Device>,
        mf_flags: i32,
    },
    /// An agent in user space, which wrote to `dax/report_failure`.
    Agent { dax: Option<&'a dax::Device> },
    /// The bus's list of bad ranges, at bind and when firmware has found more.
    Bus,
    /// A read that met it.
    Io,
}

/// What is done about a failure, in this order.
pub(crate) struct Steps {
    /// Onto the bus's list, from which the next record is made. All failures are put on the record,
    /// which holds off readers, and on the region's list, which `ndctl list` shows.
    pub(crate) remember: bool,
    /// The kernel may unmap the pages, at any time after the last step. They are looked at before
    /// they are given out.
    pub(crate) suspect: bool,
    /// The holder of the device is told, or the processes that have the pages.
    pub(crate) tell: bool,
    /// The `HWPoison` flags of the pages are made to say what the record says.
    pub(crate) mark: bool,
}

impl Source<'_> {
    /// What is done about a failure of each source:
    ///
    /// | source | record | remember | suspect | tell | mark | because |
    /// |--------|--------|----------|---------|------|------|---------|
    /// | `Mm`    | yes   | yes      | yes     | yes  | yes  | Mm leaves all but the unmapping to us. |
    /// | `Agent` | yes   | yes      | no      | yes  | yes  | Nobody unmaps what only an agent knows of. |
    /// | `Bus`   | yes   | is there | yes     | no   | no   | Firmware found it before it was used. It may have failed under the last driver, which mm told. |
    /// | `Io`    | yes   | yes      | no      | no   | no   | The reader gets an error, and may have locks that a holder takes. It was not consumed by a load, so nobody unmaps it. |
    /// | sysfs   | yes   | no       | no      | no   | no   | As in C: what is written to `badblocks` goes with the device. The record finds it by itself (`Poison::take_over_view()`). |
    pub(crate) const fn steps(&self) -> Steps {
        match self {
            Self::Mm { .. } => Steps {
                remember: true,
                suspect: true,
                tell: true,
                mark: true,
            },
            Self::Agent { .. } => Steps {
                remember: true,
                suspect: false,
                tell: true,
                mark: true,
            },
            Self::Bus => Steps {
                remember: false,
                suspect: true,
                tell: false,
                mark: false,
            },
            Self::Io => Steps {
                remember: true,
                suspect: false,
                tell: false,
                mark: false,
            },
        }
    }

    /// Whether the users of more pages are to be looked for: an agent's report is as long as it likes,
    /// and is waited for when the device goes.
    fn goes_on(&self, pmem: &Pmem) -> Result {
        match self {
            Self::Agent { .. } if pmem.going.load(Relaxed) => Err(ENODEV),
            Self::Agent { .. } if kernel::current!().fatal_signal_pending() => Err(EINTR),
            _ => Ok(()),
        }
    }

    /// The device whose holder is to be told, and with which flags.
    fn audience(&self) -> (Option<&dax::Device>, i32) {
        match self {
            Self::Mm { dax, mf_flags } => (*dax, *mf_flags),
            Self::Agent { dax } => (*dax, 0),
            Self::Bus | Self::Io => (None, 0),
        }
    }
}

impl Pmem {
    /// `range` of the data has failed, says `source`: does all that there is to do about it.
    ///
    /// Returns the answer of the holder that was told, or [`Source::goes_on`]'s. Sleeps.
    pub(crate) fn failed(&self, range: ByteRange, source: Source<'_>) -> Result {
        let steps = source.steps();
        self.record_failure(range, &steps);
        let told = if steps.tell {
            self.tell(&source, range)
        } else {
            Ok(())
        };
        if steps.mark {
            self.mark_as_recorded(range);
        }
        told
    }

    /// Tells those who have `range` of the data, which is on record, that it failed.
    ///
    /// When nobody claims to know them, they are looked for by the pages. That is done here and not by
    /// mm, because they are marked with it, and what is marked has to agree with the record in the
    /// end.
    fn tell(&self, source: &Source<'_>, range: ByteRange) -> Result {
        let (dax, mf_flags) = source.audience();
        let told = match dax {
            Some(dax) => dax.notify_failure(range, mf_flags),
            None => Err(EOPNOTSUPP),
        };
        match (told, &self.pages) {
            (Err(e), Some(pages)) if e == EOPNOTSUPP => {
                self.end_use(pages, source, range, mf_flags)
            }
            (told, _) => told,
        }
    }

    /// Looks for the users of `range` of the data by its pages; `EBUSY` if there are none.
    fn end_use(
        &self,
        pages: &MappedPages,
        source: &Source<'_>,
        range: ByteRange,
        mf_flags: i32,
    ) -> Result {
        let (first, after) = self.phys_of(range).ok_or(ERANGE)?.pages_touched();
        let mut victims = Victims::new(mf_flags);
        let mut result = Err(EBUSY);
        // CAST: Physical page numbers fit.
        for step in (first as usize..after as usize).step_by(PAGES_IN_A_STEP) {
            source.goes_on(self).inspect_err(|_| {
                pr_info!(
                    "{}: the report ends early: all of it is on record, but users of its last {} pages were not looked for\n",
                    &*self.name,
                    after as usize - step
                );
            })?;
            let count = PAGES_IN_A_STEP.min(after as usize - step);
            let ended = pages.end_use(Pfn(step), count, &mut victims);
            // An error in one place is no reason to leave out the others.
            result = match (result, ended) {
                (Err(e), ended) if e == EBUSY => ended,
                (result, Err(e)) if e == EBUSY => result,
                (result, ended) => result.and(ended),
            };
        }
        result
    }

    /// The pages of the data: the first one, and how many.
    fn data_pages(&self) -> Option<(Pfn, usize)> {
        let (first, after) = self.geometry.data_phys()?.pages_touched();
        // CAST: Physical page numbers fit.
        Some((Pfn(first as usize), (after - first) as usize))
    }

    /// Takes the memory of a device that is dead from the tasks and files that still have it, and
    /// waits until nothing uses it. If the wait ends before, the pages have to stay.
    pub(crate) fn revoke(&self) {
        let idle = match (&self.pages, self.data_pages()) {
            (Some(pages), Some((first, count))) => {
                pages.revoke(first, count)
                    || pages
                        .wait_until_idle(first, count, &self.name, this_module::<LocalModule>())
                        .is_ok()
            }
            _ => true,
        };
        self.left.store(!idle, Relaxed);
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
            "{}: {:#x} bytes at {:#x} are reported to have failed\n",
            &*pmem.name,
            range.len(),
            range.start()
        );
        let dax = data.dax.as_deref();
        match pmem.failed(range, Source::Agent { dax }) {
            // Nobody has it, or nobody can be found. It is on record.
            Err(e) if e == EBUSY || e == EOPNOTSUPP => Ok(()),
            told => told,
        }
    }
}
