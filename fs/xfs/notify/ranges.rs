// SPDX-License-Identifier: GPL-2.0

//! Where failed bytes of a `dax_device` lie in a file system: areas, groups, extents, files.
//!
//! A device is the file system's data, its realtime data, its log, or two of these. Data and
//! realtime data are [`Area`]s of groups of blocks; each group knows by its reverse map which files
//! have extents in it, and an extent says which bytes of the file were lost.
//!
//! Everything is in bytes, relative to what contains it, until the last moment, so that a failure
//! may be smaller than a block or a page. C counts blocks in 32 bits here, and the number of blocks
//! of a whole group wrapped (`xfs_dax_notify_dev_failure()`).
//!
//! This file is plain `no_std` Rust without calls to C: KUnit runs it in the kernel and
//! `tools/testing/host` runs it under proptest against a slow, obvious model.

use kernel::dax::units::ByteRange;

/// The block size of a file system.
///
/// # Invariants
///
/// The binary logarithm is at most 16, as in the format of XFS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockSize(u32);

impl BlockSize {
    /// Blocks of `1 << shift` bytes; [`None`] if XFS has no such blocks.
    pub(crate) fn new(shift: u32) -> Option<Self> {
        // INVARIANT: Just checked.
        (shift <= 16).then_some(Self(shift))
    }

    /// The bytes of `count` blocks from `first` on; [`None`] if there are none, or 64 bits cannot
    /// count them.
    pub(crate) fn bytes(self, first: u64, count: u64) -> Option<ByteRange> {
        ByteRange::new(self.to_bytes(first)?, self.to_bytes(count)?)
    }

    fn to_bytes(self, blocks: u64) -> Option<u64> {
        blocks.checked_mul(1 << self.0)
    }

    /// The block in which `byte` is.
    pub(crate) fn of(self, byte: u64) -> u64 {
        byte >> self.0
    }
}

/// The part of a device with one purpose in the file system, and its division into groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Area {
    /// The size of its blocks.
    pub(crate) block: BlockSize,
    /// Its first block, from the start of the file system's part of the device.
    pub(crate) first: u64,
    /// How many blocks it has.
    pub(crate) blocks: u64,
    /// From the first block of a group to that of the next; 0 if it is not divided.
    pub(crate) stride: u64,
    /// The binary logarithm of the stride in block numbers, which have gaps.
    pub(crate) number_shift: u32,
}

/// Failed blocks of one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InGroup {
    /// The group's number.
    pub(crate) group: u32,
    /// The failed bytes, from the start of the group.
    pub(crate) bytes: ByteRange,
    /// The first block of the group that has a failed byte.
    pub(crate) first: u32,
    /// The last one.
    pub(crate) last: u32,
}

impl InGroup {
    /// `bytes` of a group; [`None`] if that cannot be a group.
    pub(crate) fn new(group: u32, bytes: ByteRange, block: BlockSize) -> Option<Self> {
        Some(Self {
            group,
            bytes,
            first: block.of(bytes.start()).try_into().ok()?,
            last: block.of(bytes.end() - 1).try_into().ok()?,
        })
    }
}

impl Area {
    /// The failed bytes of this area, from its start.
    ///
    /// `failed` are bytes of the `dax_device`, or [`None`] for all of it; `origin` is the byte at
    /// which the file system's part of the device begins. [`None`] if no byte of the area failed.
    pub(crate) fn hit(&self, failed: Option<ByteRange>, origin: u64) -> Option<ByteRange> {
        // An area that 64 bits cannot count does not exist.
        let start = origin.checked_add(self.block.to_bytes(self.first)?)?;
        let len = self
            .block
            .to_bytes(self.blocks)?
            .min(u64::MAX.checked_sub(start)?);
        let mine = ByteRange::new(start, len)?;
        failed
            .map_or(Some(mine), |failed| failed.intersection(&mine))?
            .relative_to(start)
    }

    /// Divides failed bytes of this area, as [`Area::hit`] gives them, into groups.
    pub(crate) fn groups(&self, hit: ByteRange) -> Groups<'_> {
        Groups {
            area: self,
            left: Some(hit),
        }
    }

    /// The byte of the `dax_device` that is byte `byte` of a group; `origin` as of [`Area::hit`].
    pub(crate) fn in_device(&self, group: u32, byte: u64, origin: u64) -> Option<u64> {
        let start = u64::from(group).checked_mul(self.stride)?;
        let first = self.first.checked_add(start)?;
        origin
            .checked_add(self.block.to_bytes(first)?)?
            .checked_add(byte)
    }

    /// Converts bytes of the area to bytes of the file system's part of the device.
    pub(crate) fn on_device(&self, hit: ByteRange) -> Option<ByteRange> {
        let first = self.block.to_bytes(self.first)?;
        ByteRange::new(first.checked_add(hit.start())?, hit.len())
    }
}

/// Failed bytes of an area, group by group.
pub(crate) struct Groups<'a> {
    area: &'a Area,
    left: Option<ByteRange>,
}

impl Groups<'_> {
    /// The part of `left` in the group where it begins; [`None`] if there is no such group.
    fn head(&self, left: ByteRange) -> Option<InGroup> {
        let block = self.area.block;
        let (group, start, end) = match self.area.stride {
            0 => (0, 0, left.end()),
            stride => {
                let group = block.of(left.start()).checked_div(stride)?;
                let start = block.to_bytes(group.checked_mul(stride)?)?;
                // The last group may end beyond what 64 bits can count.
                let end = block
                    .to_bytes(stride)
                    .and_then(|len| start.checked_add(len))
                    .unwrap_or(u64::MAX);
                (group, start, end)
            }
        };
        let bytes =
            ByteRange::from_bounds(left.start(), left.end().min(end))?.relative_to(start)?;
        InGroup::new(group.try_into().ok()?, bytes, block)
    }
}

impl Iterator for Groups<'_> {
    type Item = InGroup;

    fn next(&mut self) -> Option<InGroup> {
        let left = self.left.take()?;
        let head = self.head(left)?;
        let next = left.start().checked_add(head.bytes.len())?;
        self.left = ByteRange::from_bounds(next, left.end());
        Some(head)
    }
}

/// The owner of the blocks of an extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The file system itself, which cannot continue without them.
    Metadata,
    /// The next copy on write: no file's data yet.
    Staging,
    /// The contents of the inode of this number.
    Data(u64),
}

/// An extent of the reverse map of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Its first block, in the group.
    pub(crate) start: u32,
    /// How many blocks.
    pub(crate) count: u32,
    /// An inode number, or a number with its uppermost bit set.
    pub(crate) owner: u64,
    /// Its first block, in the file.
    pub(crate) offset: u64,
    /// It belongs to the file's extended attributes.
    pub(crate) attr: bool,
    /// It is a block of the file's extent tree.
    pub(crate) tree: bool,
}

impl Extent {
    /// The owner of blocks that are set aside for copies on write (`XFS_RMAP_OWN_COW`).
    pub(crate) const OWNER_STAGING: u64 = -9_i64 as u64;
    /// Owners with this bit are no inodes (`XFS_RMAP_NON_INODE_OWNER`).
    const NO_INODE: u64 = 1 << 63;

    /// The owner of the extent.
    pub(crate) fn owner(&self) -> Owner {
        if self.owner == Self::OWNER_STAGING {
            Owner::Staging
        } else if self.owner & Self::NO_INODE != 0 || self.attr || self.tree {
            Owner::Metadata
        } else {
            Owner::Data(self.owner)
        }
    }

    /// Its place in the order in which a query of the reverse map gives extents.
    pub(crate) fn key(&self) -> Key {
        Key {
            start: self.start,
            owner: self.owner,
            kind: (self.attr, self.tree),
            offset: self.offset,
        }
    }

    /// The extent in block numbers of the file system, if it is of this group of `area`.
    ///
    /// [`None`] if the numbers would overflow.
    pub(crate) fn mapping(&self, group: u32, area: &Area) -> Option<Mapping> {
        let first = u64::from(group).checked_shl(area.number_shift)?;
        // Shifting back shows whether bits were lost.
        if first.checked_shr(area.number_shift)? != u64::from(group) {
            return None;
        }
        Some(Mapping {
            offset: self.offset,
            at: first.checked_add(self.start.into())?,
            count: self.count.into(),
        })
    }

    /// The byte of the group that is byte `byte` of the file.
    pub(crate) fn in_group(&self, byte: u64, block: BlockSize) -> Option<u64> {
        let into = byte.checked_sub(block.to_bytes(self.offset)?)?;
        let start = block.to_bytes(self.start.into())?;
        (into < block.to_bytes(self.count.into())?).then_some(())?;
        start.checked_add(into)
    }

    /// Which of `failed`, bytes of the group, it has.
    pub(crate) fn failed(&self, failed: &ByteRange, block: BlockSize) -> Option<ByteRange> {
        block
            .bytes(self.start.into(), self.count.into())?
            .intersection(failed)
    }

    /// The bytes of the file that are among `failed`, bytes of the group.
    ///
    /// [`None`] if there are none, or if no file can have them.
    pub(crate) fn lost(&self, failed: &ByteRange, block: BlockSize) -> Option<ByteRange> {
        let common = self.failed(failed, block)?;
        let into = common
            .start()
            .checked_sub(block.to_bytes(self.start.into())?)?;
        let start = block.to_bytes(self.offset)?.checked_add(into)?;
        // A file has at most 2^63 - 1 bytes.
        ByteRange::new(start, common.len()).filter(|lost| lost.end() <= 1 << 63)
    }
}

/// The order of extents in a reverse map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    start: u32,
    owner: u64,
    kind: (bool, bool),
    offset: u64,
}

/// The place of a part of a file, in blocks of the file and of the file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mapping {
    /// The first block, in the file.
    pub(crate) offset: u64,
    /// The first block, as the file system numbers them.
    pub(crate) at: u64,
    /// How many blocks.
    pub(crate) count: u64,
}

impl Mapping {
    /// The bytes of the file that have the same place in both mappings.
    ///
    /// An extent that the reverse map had a moment ago may have moved since.
    pub(crate) fn agreed(&self, other: &Mapping, block: BlockSize) -> Option<ByteRange> {
        if self.at.wrapping_sub(self.offset) != other.at.wrapping_sub(other.offset) {
            return None;
        }
        block
            .bytes(self.offset, self.count)?
            .intersection(&block.bytes(other.offset, other.count)?)
    }

    /// What of it is from block `from` of the file on, which is one of its blocks.
    pub(crate) fn from(&self, from: u64) -> Mapping {
        let into = from.saturating_sub(self.offset).min(self.count);
        Mapping {
            offset: self.offset.saturating_add(into),
            at: self.at.saturating_add(into),
            count: self.count - into,
        }
    }

    /// Converts to the group and the extent, without its owner, that the reverse map of `area`
    /// would have.
    pub(crate) fn in_group(&self, area: &Area) -> Option<(u32, Extent)> {
        let group = self.at.checked_shr(area.number_shift)?;
        let start = self.at.checked_sub(group.checked_shl(area.number_shift)?)?;
        let extent = Extent {
            start: start.try_into().ok()?,
            count: self.count.try_into().ok()?,
            offset: self.offset,
            ..Extent::default()
        };
        Some((group.try_into().ok()?, extent))
    }

    /// The block of the file after it, or the last one there can be.
    pub(crate) fn end(&self) -> u64 {
        self.offset.saturating_add(self.count)
    }
}

/// Splits bytes of a file into runs of at most `limit` pages; each is an offset and a count.
///
/// `limit` is not 0.
pub(crate) fn page_runs(bytes: ByteRange, limit: u64) -> impl Iterator<Item = (u64, u64)> {
    let (mut next, end) = bytes.pages_touched();
    core::iter::from_fn(move || {
        let count = end.checked_sub(next)?.min(limit);
        let run = (next, count);
        next = next.checked_add(count)?;
        (count != 0).then_some(run)
    })
}

/// Joins adjacent ranges, so that a fragmented file is processed once.
#[derive(Default)]
pub(crate) struct Joined(Option<ByteRange>);

impl Joined {
    /// Adds `next`. Returns the previous range if the two do not touch.
    pub(crate) fn push(&mut self, next: ByteRange) -> Option<ByteRange> {
        if let Some(last) = self.0 {
            if last.end() == next.start() {
                self.0 = ByteRange::from_bounds(last.start(), next.end());
                return None;
            }
        }
        self.0.replace(next)
    }

    /// The last one.
    pub(crate) fn finish(self) -> Option<ByteRange> {
        self.0
    }
}
