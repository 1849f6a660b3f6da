// SPDX-License-Identifier: GPL-2.0

//! `rust/kernel/mm.rs`.

#[path = "../../../../../rust/kernel/mm/pfn.rs"]
pub mod pfn;
