// SPDX-License-Identifier: GPL-2.0

//! How the sources handle arbitrary bytes from outside: each function here takes some, and panics
//! if the result is wrong.
//!
//! `tools/testing/host/fuzz` has libFuzzer look for such bytes; `fuzz_tests.rs` tries random ones
//! with the other tests. Bytes that were found become a test with their values written out.

mod agent;
mod geometry;
mod input;
mod region;
mod window;

pub use agent::agent;
pub use geometry::geometry;
pub use region::region;
pub use window::window;
