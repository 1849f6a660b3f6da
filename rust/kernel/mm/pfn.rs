// SPDX-License-Identifier: GPL-2.0

//! Page frame numbers.
//!
//! C header: [`include/linux/pfn.h`](srctree/include/linux/pfn.h)
//!
//! This file is plain `no_std` Rust without calls to C: `tools/testing/host` compiles it, too.

use crate::page::PAGE_SHIFT;

/// A page frame number: a physical address in pages.
///
/// # Examples
///
/// ```
/// use kernel::{
///     mm::pfn::Pfn,
///     page::PAGE_SIZE, //
/// };
///
/// assert_eq!(Pfn::from_phys(PAGE_SIZE as u64 - 1), Pfn(0));
/// assert_eq!(Pfn::from_phys(PAGE_SIZE as u64), Pfn(1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pfn(pub usize);

impl Pfn {
    /// The frame that holds physical address `addr`.
    #[inline]
    pub fn from_phys(addr: u64) -> Self {
        // CAST: Physical addresses have at most 52 bits on 64-bit machines.
        Self((addr >> PAGE_SHIFT) as usize)
    }
}
