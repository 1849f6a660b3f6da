// SPDX-License-Identifier: GPL-2.0

//! As much of the `kernel` crate as the sources under test use, and no more: a source that starts
//! to call something else fails to compile here, which says that it needs a look.
//!
//! Names, signatures and semantics are those of `rust/kernel/` in the kernel tree.

#![no_std]

extern crate alloc as rust_alloc;

pub mod alloc;
pub mod block;
pub mod dax;
pub mod error;
pub mod mm;
pub mod rbtree;

/// `rust/kernel/page.rs`, for pages of 4 KiB.
pub mod page {
    /// A bitwise shift for the page size.
    pub const PAGE_SHIFT: usize = 12;

    /// The number of bytes in a page.
    pub const PAGE_SIZE: usize = 1 << PAGE_SHIFT;
}

/// `rust/kernel/prelude.rs`.
pub mod prelude {
    pub use crate::{
        alloc::{
            flags::*,
            KVVec, //
        },
        error::{
            code::*,
            Error,
            Result, //
        },
    };
}
