// SPDX-License-Identifier: GPL-2.0

//! Memory of a file system failed: who has to be told, and whether the file system can go on.

use super::{
    mount::{
        Device,
        Part,
        Role,
        Stopped, //
    },
    ranges::{
        page_runs,
        Area,
        Extent,
        InGroup,
        Key,
        Owner, //
    },
};
use kernel::{
    alloc,
    dax::{
        units::ByteRange,
        victims::Victims, //
    },
    mm::without_io,
    prelude::*,
    task::cond_resched, //
};

/// Room for this many extents is made at first, if there is more than one: most pages have one owner.
const FEW: usize = 16;
/// No more than this are put down at a time. Those of before are gone through again each time.
const MANY: usize = 1 << 15;
/// Pages of a file that one call goes through.
pub(crate) const PAGES_AT_ONCE: u64 = 1 << 14;

/// Tells of bytes of `device` that failed; `failed` are those of the `dax_device`.
///
/// `ENXIO` if none of them are the file system's, `EFSCORRUPTED` if what was lost shuts it down,
/// `EOPNOTSUPP` if it cannot know whose they are. Sleeps.
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
            Role::Data | Role::Realtime => tell(device, &part, hit, mf_flags),
        };
        answer = match answer {
            Err(e) if e == ENXIO => told,
            answer => answer.and(told),
        };
    }
    answer
}

/// Tells every owner of failed bytes of an area, and shuts down the file system if one is itself.
fn tell(device: &Device<'_>, part: &Part, hit: ByteRange, mf_flags: i32) -> Result {
    let mut teller = Teller {
        device,
        role: part.role,
        area: &part.area,
        victims: Victims::new(mf_flags),
        metadata: false,
        error: Ok(()),
    };
    let mut batch = Batch::new();
    for here in part.area.groups(hit) {
        // What is wrong with one group is no reason not to tell those in the next.
        let told = teller.group(&here, &mut batch);
        teller.note(told);
        cond_resched();
    }
    teller.victims.tell();
    if teller.metadata || teller.error.is_err() {
        device.shut_down_corrupt();
        return teller.error.and(Err(EFSCORRUPTED));
    }
    Ok(())
}

/// Extents of files that are put down.
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

    /// There were more: makes room for more, if there is memory. Sleeps.
    fn grow_more(&mut self) {
        self.clear();
        // What is written out to make room may wait for whoever reported the failure.
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

    /// In the order in which they came.
    fn iter(&self) -> impl Iterator<Item = &Extent> {
        // `pin_init` has a `chain()`, too.
        Iterator::chain(self.first.iter(), &self.others)
    }
}

/// How far telling about an area has come.
struct Teller<'a> {
    device: &'a Device<'a>,
    role: Role,
    area: &'a Area,
    victims: Victims,
    /// Whether any of it was the file system's own.
    metadata: bool,
    /// The first error.
    error: Result,
}

impl Teller<'_> {
    fn note(&mut self, result: Result) {
        self.error = self.error.and(result);
    }

    /// Tells the owners of failed bytes of a group.
    ///
    /// While the reverse map is locked, extents are only put down. With it locked an inode that is
    /// being freed cannot be waited for, nor an entry of a mapping that a page fault has locked which
    /// allocates. So they may have changed when their owners are told, and each is looked at again.
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
                // It is broken, or the file system was shut down before. C tells nobody then.
                Err(e) => return self.in_core(here).and(Err(e)),
            }
        }
    }

    /// Tells everyone who maps failed bytes of a group, without its reverse map.
    ///
    /// Goes through every file in core, of which those that are mapped know where they are.
    fn in_core(&mut self, here: &InGroup) -> Result {
        let mut result = Ok(());
        let mut files = self.device.files();
        while let Some(file) = files.next() {
            if !file.is_mapped() || file.is_realtime() != (self.role == Role::Realtime) {
                continue;
            }
            let stopped = file.stop();
            let mut from = 0;
            while let Some(mapping) = stopped.extent(from) {
                from = mapping.end();
                let lost = mapping
                    .in_group(self.area)
                    .filter(|(group, _)| *group == here.group)
                    .and_then(|(_, extent)| extent.lost(&here.bytes, self.area.block));
                if let Some(lost) = lost {
                    file.report_lost(lost);
                    result = result.and(self.take(&stopped, lost));
                }
                cond_resched();
            }
        }
        result
    }

    /// Takes these bytes of a file away from everyone who maps them.
    fn take(&mut self, file: &Stopped<'_>, lost: ByteRange) -> Result {
        let mut result = Ok(());
        for (page, count) in page_runs(lost, PAGES_AT_ONCE) {
            result = result.and(file.take(page, count, &mut self.victims));
            cond_resched();
        }
        result
    }

    /// Takes lost bytes of a file away from everyone who maps them.
    fn owner(&mut self, extent: &Extent, here: &InGroup) -> Result {
        let lost = extent.lost(&here.bytes, self.area.block);
        let (Some(lost), Some(was)) = (lost, extent.mapping(here.group, self.area)) else {
            return Ok(());
        };
        let Some(inode) = self.device.inode(extent.owner)? else {
            return Ok(());
        };
        if inode.is_realtime() != (self.role == Role::Realtime) {
            // Another file by now, with the number of the one that was.
            return Ok(());
        }
        inode.report_lost(lost);
        // A page fault that had begun before this has the file mapped.
        if !inode.is_mapped() {
            return Ok(());
        }

        let stopped = inode.stop();
        let mut result = Ok(());
        let mut from = was.offset;
        while from < was.end() {
            let Some(is) = stopped.extent(from) else {
                break;
            };
            let common = is
                .agreed(&was, self.area.block)
                .and_then(|same| same.intersection(&lost));
            if let Some(lost) = common {
                result = result.and(self.take(&stopped, lost));
            }
            from = is.end();
        }
        result
    }
}
