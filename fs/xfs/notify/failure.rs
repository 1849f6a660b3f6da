// SPDX-License-Identifier: GPL-2.0

//! Memory of a file system failed: who has to be told, and whether the file system can go on.

use super::{
    mount::{
        rest,
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
        Mapping,
        Owner, //
    },
};
use kernel::{
    dax::units::ByteRange,
    prelude::*, //
};

/// How many extents are put down at first: most pages have one owner.
const FEW: usize = 16;
/// And how many at a time when there are more, if there is memory.
const MANY: usize = 512;
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
        mf_flags,
        metadata: false,
        error: Ok(()),
    };
    let mut batch = Batch::new();
    for here in part.area.groups(hit) {
        // What is wrong with one group is no reason not to tell those in the next.
        let told = teller.group(&here, &mut batch);
        teller.note(told);
        rest();
    }
    if teller.metadata || teller.error.is_err() {
        device.shut_down_corrupt();
        return teller.error.and(Err(EFSCORRUPTED));
    }
    Ok(())
}

/// An extent of a file with failed bytes.
#[derive(Clone, Copy, Default)]
struct Found {
    extent: Extent,
    at: u64,
}

/// Room for extents that are put down.
struct Batch {
    few: [Found; FEW],
    many: KVec<Found>,
}

impl Batch {
    fn new() -> Self {
        Self {
            few: [Found::default(); FEW],
            many: KVec::new(),
        }
    }

    /// There are more: makes room for many, if there is memory.
    fn grow(&mut self) {
        if self.many.is_empty() {
            let many = KVec::from_elem(Found::default(), MANY, GFP_KERNEL | __GFP_NOWARN);
            self.many = many.unwrap_or_default();
        }
    }

    fn room(&mut self) -> &mut [Found] {
        if self.many.is_empty() {
            &mut self.few
        } else {
            &mut self.many
        }
    }
}

/// How far telling about an area has come.
struct Teller<'a> {
    device: &'a Device<'a>,
    role: Role,
    area: &'a Area,
    mf_flags: i32,
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
            let room = batch.room();
            let mut count = 0;
            let mut metadata = false;
            let more = self.device.query(
                self.role,
                here.group,
                here.first,
                here.last,
                |extent: Extent, at| {
                    match extent.owner() {
                        Owner::Metadata => metadata = true,
                        Owner::Staging => (),
                        Owner::Data(_) if done.is_some_and(|done| extent.key() <= done) => (),
                        Owner::Data(_) => match room.get_mut(count) {
                            Some(found) => {
                                *found = Found { extent, at };
                                count += 1;
                            }
                            None => return false,
                        },
                    }
                    true
                },
            );
            self.metadata |= metadata;
            let found = room.get(..count).unwrap_or_default();
            for found in found {
                let told = self.owner(found, here);
                self.note(told);
                rest();
            }
            done = found.last().map(|found| found.extent.key()).or(done);
            match more {
                Ok(true) => batch.grow(),
                Ok(false) => return Ok(()),
                // It is broken, or the file system was shut down before. C tells nobody then.
                Err(e) => return self.in_core(here).and(Err(e)),
            }
        }
    }

    /// Tells everyone who maps failed bytes of a group, without its reverse map.
    ///
    /// Goes through every file in core, of which those that are mapped know where they are.
    fn in_core(&self, here: &InGroup) -> Result {
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
                    result = result.and(self.kill(&stopped, lost));
                }
                rest();
            }
        }
        result
    }

    /// Tells everyone who maps these bytes of a file.
    fn kill(&self, file: &Stopped<'_>, lost: ByteRange) -> Result {
        let mut result = Ok(());
        if file.has_dax() {
            for (page, count) in page_runs(lost, PAGES_AT_ONCE) {
                result = result.and(file.kill(page, count, self.mf_flags));
                rest();
            }
        }
        result
    }

    /// Tells everyone who maps lost bytes of a file.
    fn owner(&self, found: &Found, here: &InGroup) -> Result {
        let extent = &found.extent;
        let Some(lost) = extent.lost(&here.bytes, self.area.block) else {
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

        let was = Mapping {
            offset: extent.offset,
            at: found.at,
            count: extent.count.into(),
        };
        let stopped = inode.stop();
        let mut result = Ok(());
        let mut from = was.offset;
        while let Some(is) = stopped.extent(from) {
            if is.offset >= was.end() {
                break;
            }
            let common = is
                .agreed(&was, self.area.block)
                .and_then(|same| same.intersection(&lost));
            if let Some(lost) = common {
                result = result.and(self.kill(&stopped, lost));
            }
            from = is.end();
        }
        result
    }
}
