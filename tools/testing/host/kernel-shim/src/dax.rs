// SPDX-License-Identifier: GPL-2.0

//! `rust/kernel/dax.rs`.

#[path = "../../../../../rust/kernel/dax/holder.rs"]
pub mod holder;
#[path = "../../../../../rust/kernel/dax/units.rs"]
pub mod units;
