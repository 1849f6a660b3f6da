// SPDX-License-Identifier: GPL-2.0

//! Validates what a device reports about its window.

use super::units::{
    order_bytes,
    TOP_ORDER, //
};

/// What is wrong with a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// It is smaller than one range.
    Small,
    /// Its end is beyond what 64 bits can count.
    Wraps,
    /// It does not start at a possible page.
    Unaligned,
    /// It is not inside any memory that the device has on its bus.
    Outside,
}

impl Wrong {
    /// The message for the log.
    pub(crate) fn why(self) -> &'static str {
        match self {
            Wrong::Small => "is smaller than 2 MiB",
            Wrong::Wraps => "ends past the end of the address space",
            Wrong::Unaligned => "does not start at a multiple of 2 MiB",
            Wrong::Outside => "is not inside of a memory BAR of the device",
        }
    }
}

/// A range of physical addresses, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) start: u64,
    pub(crate) len: u64,
}

impl Region {
    fn end(self) -> Option<u64> {
        self.start.checked_add(self.len)
    }

    fn contains(self, other: Region) -> bool {
        match (self.end(), other.end()) {
            (Some(end), Some(other_end)) => self.start <= other.start && other_end <= end,
            _ => false,
        }
    }
}

/// The usable part of `window`: whole blocks, inside one of `bars`.
///
/// Without `bars`, the device is on a bus without BARs and its report is the only source.
/// `address_bits` is the width of physical addresses.
pub(crate) fn usable(
    window: Region,
    bars: Option<&[Region]>,
    address_bits: u32,
) -> Result<Region, Wrong> {
    let block = order_bytes(TOP_ORDER);
    let end = window.end().ok_or(Wrong::Wraps)?;
    if address_bits < u64::BITS && end > 1 << address_bits {
        return Err(Wrong::Wraps);
    }
    // Sections of the memory map, and large pages, begin there. QEMU's and crosvm's windows do.
    if window.start % block != 0 {
        return Err(Wrong::Unaligned);
    }
    if window.len < block {
        return Err(Wrong::Small);
    }
    if bars.is_some_and(|bars| !bars.iter().any(|bar| bar.contains(window))) {
        return Err(Wrong::Outside);
    }
    Ok(Region {
        start: window.start,
        len: window.len - window.len % block,
    })
}
