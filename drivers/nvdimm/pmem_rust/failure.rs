// SPDX-License-Identifier: GPL-2.0

//! Failures: where they are reported, and how each report is handled.

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
        units::ByteRange,
        victims::Victims, //
    },
    memremap::{
        self,
        MappedPages, //
    },
    mm::pfn::Pfn,
    page::PAGE_SHIFT,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::Relaxed,
        Arc,
        SetOnce, //
    }, //
};

/// How many pages are searched for users between two checks for a reason to stop: 128 MiB, the size
/// of the largest extent of ext4. A step unmaps and notifies once for each extent of a file.
const PAGES_IN_A_STEP: usize = 1 << 15;

/// The handler that mm calls for failures of the mapping.
///
/// The mapping exists before the first listener and after the last. Without a listener, mm has to
/// deal with the failure.
pub(crate) struct FailureHandler(pub(crate) Arc<SetOnce<Listener>>);

/// The driver's part in a failure: the record, and the device with its holders.
pub(crate) struct Listener {
    pmem: Arc<Pmem>,
    dax: Option<ARef<dax::Device>>,
}

#[vtable]
impl memremap::Operations for FailureHandler {
    fn memory_failure(&self, pfn: Pfn, pages: usize, mf_flags: i32) -> Result {
        SetOnce::as_ref(&self.0)
            .ok_or(EOPNOTSUPP)?
            .fail(pfn, pages, mf_flags)
    }
}

impl Listener {
    pub(crate) fn new(pmem: Arc<Pmem>, dax: Option<ARef<dax::Device>>) -> Self {
        Self { pmem, dax }
    }

    /// Handles a failure that the kernel met.
    fn fail(&self, pfn: Pfn, pages: usize, mf_flags: i32) -> Result {
        let pmem = &*self.pmem;
        let phys = ByteRange::new((pfn.0 as u64) << PAGE_SHIFT, (pages as u64) << PAGE_SHIFT)
            .ok_or(EINVAL)?;
        // The information block, or the end that is cut off: these have no users.
        let range = pmem.data_within(phys).ok_or(EOPNOTSUPP)?;

        let dax = self.dax.as_deref();
        pmem.failed(range, Source::Mm { dax, mf_flags })
    }
}

/// Where a failure is reported. [`Source::steps`] says what follows from each.
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
    /// A read that met the poison.
    Io,
}

/// What is done about a failure, in this order.
pub(crate) struct Steps {
    /// Add it to the bus's list, from which the next record is made. Every failure is added to the
    /// record, which keeps readers off, and to the region's list, which `ndctl list` shows.
    pub(crate) remember: bool,
    /// The kernel may unmap the pages, at any time after the last step. They are checked before
    /// they are given out.
    pub(crate) suspect: bool,
    /// Notify the holder of the device, or the processes that map the pages.
    pub(crate) tell: bool,
    /// Make the `HWPoison` flags of the pages agree with the record.
    pub(crate) mark: bool,
}

impl Source<'_> {
    /// What is done about a failure of each source:
    ///
    /// | source | record | remember | suspect | tell | mark | because |
    /// |--------|--------|----------|---------|------|------|---------|
    /// | `Mm`    | yes   | yes      | yes     | yes  | yes  | Mm leaves everything except the unmapping to the driver. |
    /// | `Agent` | yes   | yes      | no      | yes  | yes  | The kernel does not unmap pages that only an agent reports. |
    /// | `Bus`   | yes   | is there | yes     | no   | no   | Firmware found it before it was used. It may have failed under the last driver, which mm notified. |
    /// | `Io`    | yes   | yes      | no      | no   | no   | The reader gets an error, and may have locks that a holder takes. No load consumed it, so the kernel does not unmap it. |
    /// | sysfs   | yes   | no       | no      | no   | no   | As in C: what is written to `badblocks` is gone with the device. The record takes it over by itself (`Poison::take_over_view()`). |
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

    /// Whether to continue the search for users: an agent may report any number of pages, and the
    /// removal of the device waits for the report.
    fn goes_on(&self, pmem: &Pmem) -> Result {
        match self {
            Self::Agent { .. } if pmem.going.load(Relaxed) => Err(ENODEV),
            Self::Agent { .. } if kernel::current!().fatal_signal_pending() => Err(EINTR),
            _ => Ok(()),
        }
    }

    /// The device whose holder is to be notified, and the flags to notify it with.
    fn audience(&self) -> (Option<&dax::Device>, i32) {
        match self {
            Self::Mm { dax, mf_flags } => (*dax, *mf_flags),
            Self::Agent { dax } => (*dax, 0),
            Self::Bus | Self::Io => (None, 0),
        }
    }
}

impl Pmem {
    /// Handles the failure of `range` of the data, as reported by `source`.
    ///
    /// Returns the answer of the notified holder, or the error of [`Source::goes_on`]. If the pages
    /// outlive the binding, a failure is not recorded, and mm deals with it alone. Sleeps.
    pub(crate) fn failed(&self, range: ByteRange, source: Source<'_>) -> Result {
        let steps = source.steps();
        if !self.record_failure(range, &steps) {
            return Err(match source {
                Source::Mm { .. } => EOPNOTSUPP,
                _ => ENODEV,
            });
        }
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

    /// Notifies the users of the failure of `range` of the data, which is on record.
    ///
    /// If no holder deals with it, the users are found through the pages. The driver does this and
    /// not mm, because the search marks the pages, and the marks have to agree with the record in
    /// the end.
    fn tell(&self, source: &Source<'_>, range: ByteRange) -> Result {
        let (dax, mf_flags) = source.audience();
        let told = match dax {
            Some(dax) => dax.notify_failure(range, mf_flags),
            None => Err(EOPNOTSUPP),
        };
        let is_unheld = match told {
            Err(e) if e == EOPNOTSUPP => true,
            // The dax device may be dead and its pages still mapped: the removal revokes them after
            // that. No task gets more of them.
            Err(e) if e == ENXIO => self.going.load(Relaxed),
            _ => false,
        };
        match &self.pages {
            Some(pages) if is_unheld => self.end_use(pages, source, range, mf_flags),
            _ => told,
        }
    }

    /// Searches for the users of `range` of the data by its pages; `EBUSY` if there are none.
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
            // An error in one place does not stop the search in the others.
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

    /// Revokes the memory of a dead device from the tasks and files that still have it, and waits
    /// until it is not in use. If the wait is interrupted, the pages have to stay.
    pub(crate) fn revoke(&self) {
        let idle = match (&self.pages, self.data_pages()) {
            (Some(pages), Some((first, count))) => {
                pages.revoke(first, count)
                    || pages.wait_until_idle(first, count, &self.name).is_ok()
            }
            _ => true,
        };
        // A failure that was reported before has been put on the lists then.
        self.in_one_step(|_| self.left.store(!idle, Relaxed));
    }
}

/// The attribute `dax/report_failure`: an agent in user space reports a failure.
///
/// The report may be exact to the byte, and so is the notification of the holder. The record has
/// whole sectors, as for every failure, and is cleared in the same way.
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
            // There are no users, or they cannot be found. The failure is on record.
            Err(e) if e == EBUSY || e == EOPNOTSUPP => Ok(()),
            told => told,
        }
    }
}
