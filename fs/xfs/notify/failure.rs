// SPDX-License-Identifier: GPL-2.0

//! Failures of a file system's memory: which owners are notified, and whether it shuts down.

use super::{
    mount::{
        Device,
        Inode,
        Part,
        Role, //
    },
    ranges::{
        page_runs,
        Area,
        Extent,
        InGroup,
        Key,
        Mapping,
        Owner, //
    },
};
use kernel::{
    alloc,
    dax::{
        patience::Patience,
        units::ByteRange,
        victims::Victims, //
    },
    mm::{
        pfn::Pfn,
        without_io, //
    },
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*,
    task::cond_resched,
    time::Delta,
};

/// Room for this many extents is made at first, if there is more than one: most pages have one
/// owner.
const FEW: usize = 16;
/// At most this many are listed at a time: each further query goes through the earlier ones again.
const MANY: usize = 1 << 15;
/// Pages of a file that one call goes through.
pub(crate) const PAGES_AT_ONCE: u64 = 1 << 14;
/// How long, for all files of a failure in one area of a device together, extents that are locked
/// are waited for. `memory_failure()` calls with a lock that every failure of the machine takes,
/// and the lock of extents is held for as long as a user likes.
const LOOKUP_TIME: Delta = Delta::from_secs(1);

/// Notifies the owners of failed bytes of `device`; `failed` are bytes of the `dax_device`.
///
/// `ENXIO` if none of them are the file system's, `EFSCORRUPTED` if what was lost shuts it down,
/// `EOPNOTSUPP` if their owners or their pages cannot be found. Sleeps.
pub(crate) fn notify(device: &Device<'_>, failed: ByteRange, mf_flags: i32) -> Result {
    let mut answer = Err(ENXIO);
    let (origin, parts) = device.layout();
    for part in parts {
        let Some(hit) = part.area.hit(Some(failed), origin) else {
            continue;
        };
        if let Some(bytes) = part.area.on_device(hit) {
            device.report_media(part.role, bytes.sectors_touched());
        }
        let told = match part.role {
            Role::Log => {
                device.say(c"ondisk log corrupt, shutting down fs!");
                device.shut_down_corrupt();
                Err(EFSCORRUPTED)
            }
            Role::Data | Role::Realtime if !part.mapped => {
                device.say(c"notify_failure() needs rmapbt enabled!");
                Err(EOPNOTSUPP)
            }
            Role::Data | Role::Realtime => tell(device, &part, origin, hit, mf_flags),
        };
        answer = match (answer, told) {
            (Err(e), told) if e == ENXIO => told,
            // The driver has to look for the users of these, whatever else was lost.
            (_, Err(e)) if e == EOPNOTSUPP => Err(e),
            (answer, told) => answer.and(told),
        };
    }
    answer
}

/// Notifies the owners of failed bytes of an area; shuts the file system down if it lost metadata.
fn tell(device: &Device<'_>, part: &Part, origin: u64, hit: ByteRange, mf_flags: i32) -> Result {
    let mut teller = Teller {
        device,
        role: part.role,
        area: &part.area,
        frames: Frames::new(device, part, origin, hit),
        victims: Victims::new(mf_flags),
        patience: Patience::new(LOOKUP_TIME),
        reports_only: false,
        unsure: None,
        by_pages: false,
        metadata: false,
        error: Ok(()),
    };
    let mut batch = Batch::new();
    for here in part.area.groups(hit) {
        // An error in one group does not keep the owners in the next one from being notified.
        let told = teller.group(&here, &mut batch);
        teller.note(told);
        teller.report_later(&here);
        cond_resched();
    }
    teller.victims.tell();
    let lost = teller.metadata || teller.error.is_err();
    if lost {
        device.shut_down_corrupt();
    }
    if teller.by_pages {
        // The caller looks for the users by the pages.
        return Err(EOPNOTSUPP);
    }
    if lost {
        return teller.error.and(Err(EFSCORRUPTED));
    }
    Ok(())
}

/// Reports the files that have `bytes` of a group, which failed; nothing else is done.
///
/// Some of them may have been reported before. Sleeps.
pub(crate) fn report_again(device: &Device<'_>, role: Role, group: u32, bytes: ByteRange) {
    let (_, mut parts) = device.layout();
    let Some(part) = parts.find(|part| part.role == role) else {
        return;
    };
    let Some(here) = InGroup::new(group, bytes, part.area.block) else {
        return;
    };
    let mut teller = Teller {
        device,
        role,
        area: &part.area,
        frames: None,
        victims: Victims::new(0),
        patience: Patience::new(LOOKUP_TIME),
        reports_only: true,
        unsure: None,
        by_pages: false,
        metadata: false,
        error: Ok(()),
    };
    // The failure itself has been dealt with. After a shutdown there is nothing to report.
    let _ = teller.group(&here, &mut Batch::new());
    teller.report_later(&here);
}

/// A list of extents of files.
struct Batch {
    first: Option<Extent>,
    others: KVVec<Extent>,
}

impl Batch {
    fn new() -> Self {
        Self {
            first: None,
            others: KVVec::new(),
        }
    }

    fn clear(&mut self) {
        self.first = None;
        self.others.clear();
    }

    /// Makes as much room again, with `flags`; false if there is enough, or no memory.
    fn grow(&mut self, flags: alloc::Flags) -> bool {
        let (count, room) = (self.others.len(), self.others.capacity());
        // From `count` on, of which there is no more than room.
        let more = room.saturating_mul(2).max(FEW) - count;
        room < MANY && self.others.reserve(more, flags | __GFP_NOWARN).is_ok()
    }

    /// There were more extents: makes room for more, if there is memory. Sleeps.
    fn grow_more(&mut self) {
        self.clear();
        // Writeback to free memory may wait for the task that reported the failure.
        without_io(|| self.grow(GFP_KERNEL));
    }

    /// False if there is no room. Does not sleep.
    fn push(&mut self, extent: Extent) -> bool {
        if self.first.is_none() {
            self.first = Some(extent);
            return true;
        }
        let is_full = self.others.len() == self.others.capacity();
        (!is_full || self.grow(GFP_NOWAIT)) && self.others.push_within_capacity(extent).is_ok()
    }

    /// In the order in which they were added.
    fn iter(&self) -> impl Iterator<Item = &Extent> {
        // `pin_init` has a `chain()`, too.
        Iterator::chain(self.first.iter(), &self.others)
    }
}

/// Which frames an area has: those of a `dax_device` that has a holder follow each other.
struct Frames {
    origin: u64,
    /// A byte of the device, and its frame.
    byte: u64,
    frame: Pfn,
}

impl Frames {
    /// By the first byte of `hit`; [`None`] if its frame is not known.
    fn new(device: &Device<'_>, part: &Part, origin: u64, hit: ByteRange) -> Option<Self> {
        let byte = origin.checked_add(part.area.on_device(hit)?.start())?;
        Some(Self {
            origin,
            byte,
            frame: device.frame(byte)?,
        })
    }

    /// The frame of page `page` of a file, which is in `extent` of a group.
    ///
    /// [`None`] if pages of the file are no pages of the device: then it has no DAX.
    fn of(&self, page: u64, extent: &Extent, group: u32, area: &Area) -> Option<Pfn> {
        let byte = extent.in_group(page.checked_mul(PAGE_SIZE as u64)?, area.block)?;
        let byte = area.in_device(group, byte, self.origin)?;
        let pages = (byte >> PAGE_SHIFT).wrapping_sub(self.byte >> PAGE_SHIFT);
        // CAST: Page numbers fit on 64-bit machines, and so do their differences.
        (byte % PAGE_SIZE as u64 == 0).then_some(Pfn(self.frame.0.wrapping_add(pages as usize)))
    }
}

/// The bytes of both, and those between.
fn hull(a: ByteRange, b: ByteRange) -> ByteRange {
    let all = ByteRange::from_bounds(a.start().min(b.start()), a.end().max(b.end()));
    // Neither is empty.
    all.unwrap_or(a)
}

/// The progress of notifying the owners of an area.
struct Teller<'a> {
    device: &'a Device<'a>,
    role: Role,
    area: &'a Area,
    frames: Option<Frames>,
    victims: Victims,
    /// For locked extents.
    patience: Patience,
    /// Whether processes have been signalled before.
    reports_only: bool,
    /// A file whose extents were locked, and the bytes of the group that such files may have.
    unsure: Option<(Inode<'a>, ByteRange)>,
    /// Whether a file is mapped, and it is not known which of its pages failed.
    by_pages: bool,
    /// Whether metadata was among the failed bytes.
    metadata: bool,
    /// The first error.
    error: Result,
}

impl Teller<'_> {
    fn note(&mut self, result: Result) {
        self.error = self.error.and(result);
    }

    /// Notifies the owners of failed bytes of a group.
    ///
    /// While the reverse map is locked, extents are only put down. With it locked an inode that is
    /// being freed cannot be waited for, nor an entry of a mapping that a page fault has locked
    /// which allocates. So they may have changed when their owners are told, and each is looked at
    /// again. They may change after that, too: nothing is locked that user space can keep locked.
    /// So an entry of the file is dealt with only if it stands for a frame that failed.
    fn group(&mut self, here: &InGroup, batch: &mut Batch) -> Result {
        let mut done: Option<Key> = None;
        loop {
            batch.clear();
            let mut metadata = false;
            let more = self
                .device
                .query(self.role, here.group, here.first, here.last, |extent| {
                    match extent.owner() {
                        Owner::Metadata => metadata = true,
                        Owner::Staging => (),
                        Owner::Data(_) if done.is_some_and(|done| extent.key() <= done) => (),
                        Owner::Data(_) => return batch.push(extent),
                    }
                    true
                });
            self.metadata |= metadata;
            for extent in batch.iter() {
                let told = self.owner(extent, here);
                self.note(told);
                cond_resched();
                done = Some(extent.key());
            }
            match more {
                Ok(true) => batch.grow_more(),
                Ok(false) => return Ok(()),
                Err(e) if self.reports_only => return Err(e),
                // The map is broken, or the file system was shut down before. C notifies no process
                // then.
                Err(e) => return self.in_core(here).and(Err(e)),
            }
        }
    }

    /// Notifies the processes that map failed bytes of a group, without its reverse map.
    ///
    /// Goes through every file in core, of which those that are mapped know where they are.
    fn in_core(&mut self, here: &InGroup) -> Result {
        let mut result = Ok(());
        let mut files = self.device.files();
        while let Some(file) = files.next() {
            if !file.is_mapped() || file.is_realtime() != (self.role == Role::Realtime) {
                continue;
            }
            let mut from = 0;
            loop {
                let mapping = match self.extent(file, from) {
                    Ok(Some(mapping)) => mapping,
                    Ok(None) => break,
                    // Not mapped, if they are not in memory.
                    Err(e) if e == ENODATA => break,
                    // Nothing here says where it is. Its pages do, and name the file.
                    Err(_) => {
                        self.by_pages |= file.has_dax();
                        result = result.and(Err(EBUSY));
                        break;
                    }
                };
                from = mapping.end();
                let lost = mapping
                    .in_group(self.area)
                    .filter(|(group, _)| *group == here.group)
                    .and_then(|(_, extent)| {
                        Some((extent.lost(&here.bytes, self.area.block)?, extent))
                    });
                if let Some((lost, extent)) = lost {
                    result = result.and(self.lose(file, lost, &extent, here, true));
                }
                cond_resched();
            }
        }
        result
    }

    /// As [`Inode::extent`], but waits for extents that are locked, up to a limit.
    fn extent(&mut self, file: &Inode<'_>, from: u64) -> Result<Option<Mapping>> {
        let found = self.patience.wait(|| match file.extent(from) {
            Err(e) if e == EAGAIN => None,
            found => Some(found),
        });
        found.unwrap_or(Err(EAGAIN))
    }

    /// Reports `lost` bytes of a file, which are in `extent` of a group, and unmaps them from all
    /// processes.
    ///
    /// Unless it is `certain` that the file had the extent after the failure, nothing is reported,
    /// and only what the file has of the frames that failed is unmapped.
    fn lose(
        &mut self,
        file: &Inode<'_>,
        lost: ByteRange,
        extent: &Extent,
        here: &InGroup,
        certain: bool,
    ) -> Result {
        if certain {
            file.report_lost(lost);
        }
        // A page fault that had begun before this has the file mapped.
        if self.reports_only || !file.is_mapped() {
            return Ok(());
        }
        let Some(frames) = &self.frames else {
            // The file may have other memory there by now, which must not be marked.
            self.by_pages |= file.has_dax();
            return Ok(());
        };
        let mut result = Ok(());
        for (page, count) in page_runs(lost, PAGES_AT_ONCE) {
            if let Some(frame) = frames.of(page, extent, here.group, self.area) {
                result = result.and(file.take(page, count, frame, certain, &mut self.victims));
            }
            cond_resched();
        }
        result
    }

    /// Schedules the report of files with locked extents in a group for when these are unlocked.
    ///
    /// Where the failed bytes belong at this time is unknown: the extents are moving to another
    /// file.
    fn report_later(&mut self, here: &InGroup) {
        if let Some((inode, bytes)) = self.unsure.take() {
            self.device
                .report_later(inode, self.role, here.group, bytes);
        }
    }

    /// Handles lost bytes of a file, as far as the file still has them.
    fn owner(&mut self, extent: &Extent, here: &InGroup) -> Result {
        let lost = extent.lost(&here.bytes, self.area.block);
        let (Some(lost), Some(was)) = (lost, extent.mapping(here.group, self.area)) else {
            return Ok(());
        };
        let Some(inode) = self.device.inode(extent.owner)? else {
            return Ok(());
        };
        if inode.is_realtime() != (self.role == Role::Realtime) {
            // The inode number belongs to another file by now.
            return Ok(());
        }
        let mut result = Ok(());
        let mut from = was.offset;
        let mut certain = true;
        while from < was.end() {
            let is = match self.extent(&inode, from) {
                Ok(Some(is)) => is,
                Ok(None) => break,
                Err(e) => {
                    // Those that are not in memory have not changed since they were written.
                    certain = e != EAGAIN;
                    was.from(from)
                }
            };
            let common = is
                .agreed(&was, self.area.block)
                .and_then(|same| same.intersection(&lost));
            if let Some(lost) = common {
                result = result.and(self.lose(&inode, lost, extent, here, certain));
            }
            from = is.end();
        }
        let failed = extent.failed(&here.bytes, self.area.block);
        if let (false, Some(failed)) = (certain, failed) {
            self.unsure = match self.unsure.take() {
                Some((first, bytes)) => Some((first, hull(bytes, failed))),
                None => Some((inode, failed)),
            };
        }
        result
    }
}
