// SPDX-License-Identifier: GPL-2.0

//! `rust/kernel/block.rs`.

#[path = "../../../../../rust/kernel/block/sector.rs"]
pub mod sector;

/// Sectors are size `1 << SECTOR_SHIFT`.
pub const SECTOR_SHIFT: u32 = 9;
