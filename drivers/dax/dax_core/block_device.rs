// SPDX-License-Identifier: GPL-2.0

//! The parts of a block device that the core uses.
//!
//! C header: [`include/linux/blk_types.h`](srctree/include/linux/blk_types.h)

use core::ptr::{
    self,
    NonNull, //
};
use kernel::{
    bindings,
    block::sector::Sector,
    dax::units::ByteRange,
    fmt,
    prelude::*,
    str::CStrExt, //
};

/// A block device that may have been closed. Every use of it says why it is open then.
#[derive(Clone, Copy)]
pub(crate) struct BlockDevice(pub(crate) NonNull<bindings::block_device>);

// SAFETY: Any task may use a block device that is open.
unsafe impl Send for BlockDevice {}

impl BlockDevice {
    /// Its disk, which is valid for as long as this is open.
    ///
    /// # Safety
    ///
    /// The block device must be open.
    pub(crate) unsafe fn disk(&self) -> *mut bindings::gendisk {
        // SAFETY: By the function's contract it is open; its disk does not change.
        unsafe { (*self.0.as_ptr()).bd_disk }
    }

    /// Whether it is a whole disk and no partition.
    ///
    /// # Safety
    ///
    /// The block device must be open.
    pub(crate) unsafe fn is_disk(&self) -> bool {
        // SAFETY: By the function's contract it is open.
        unsafe { bindings::bdev_partno(self.0.as_ptr()) == 0 }
    }

    /// The bytes of its disk that it has now; [`None`] when there are none, or more than 64 bits
    /// can count.
    ///
    /// The size of a partition may change at any time (`BLKPG_RESIZE_PARTITION`). Its start does
    /// not change while it is open.
    ///
    /// # Safety
    ///
    /// The block device must be open.
    pub(crate) unsafe fn range(&self) -> Option<ByteRange> {
        let bdev = self.0.as_ptr();
        // SAFETY: By the function's contract it is open.
        let start = unsafe { ptr::read(&raw const (*bdev).bd_start_sect) };
        // SAFETY: By the function's contract it is open. Volatile, since it may be written at the
        // same time; a 64-bit word is written at once, and the abstractions are for 64-bit
        // machines.
        let len = unsafe { ptr::read_volatile(&raw const (*bdev).bd_nr_sectors) };
        ByteRange::new(Sector(start).to_bytes()?, Sector(len).to_bytes()?)
    }

    /// The name that it has in `/dev`.
    ///
    /// # Safety
    ///
    /// The block device must stay open for as long as the result is used.
    pub(crate) unsafe fn name(&self) -> Name {
        Name(*self)
    }
}

/// The name of a block device that stays open.
///
/// # Invariants
///
/// The block device is open.
#[derive(Clone, Copy)]
pub(crate) struct Name(BlockDevice);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: By the type invariant it is open.
        let disk = unsafe { self.0.disk() };
        // SAFETY: The disk of a block device that is open is valid.
        let name = unsafe { &raw const (*disk).disk_name };
        // SAFETY: The name of a disk ends with a zero and does not change.
        let name = unsafe { CStr::from_char_ptr(name.cast()) };
        let name = name.to_str().unwrap_or("?");
        f.write_str(name)?;
        // SAFETY: By the type invariant it is open.
        let number = unsafe { bindings::bdev_partno(self.0 .0.as_ptr()) };
        match number {
            0 => Ok(()),
            number if name.ends_with(|c: char| c.is_ascii_digit()) => write!(f, "p{number}"),
            number => write!(f, "{number}"),
        }
    }
}
