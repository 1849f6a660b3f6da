// SPDX-License-Identifier: GPL-2.0

//! Property tests and loom models, run on the host, of sources that the kernel compiles.
//!
//! The modules here are the kernel's own files; what they use of the `kernel` crate comes from
//! `kernel-shim`. Without `cfg(test)` this crate only shows that they compile as plain `no_std`.
//!
//! Properties and the choices of tasks are tried with a fixed seed, so that a failure is
//! reproduced, and with another one in each run. `RDAX_SEED` repeats a run, `PROPTEST_CASES` makes
//! it longer or shorter. A failure prints the seed and the smallest case that still fails, which
//! then becomes a test with its values written out; no file of seeds is kept.

#![cfg_attr(not(test), no_std)]

// Without the tests nothing calls them.
#[cfg_attr(not(test), allow(dead_code))]
#[path = "../../../../drivers/nvdimm/pmem_rust/agent.rs"]
mod agent;
#[cfg_attr(not(test), allow(dead_code))]
#[path = "../../../../drivers/md/dm_dax/ranges.rs"]
mod dm_ranges;
#[cfg_attr(not(test), allow(dead_code))]
#[path = "../../../../drivers/dax/dax_core/failure.rs"]
mod failure;
#[cfg_attr(not(test), allow(dead_code))]
#[path = "../../../../drivers/nvdimm/pmem_rust/geometry.rs"]
mod geometry;
#[cfg_attr(not(test), allow(dead_code))]
#[path = "../../../../drivers/dax/dax_core/holder_table.rs"]
mod holder_table;
#[cfg_attr(not(test), allow(dead_code))]
#[path = "../../../../drivers/dax/dax_core/holders.rs"]
mod holders;
#[cfg_attr(not(test), allow(dead_code))]
#[path = "../../../../mm/memory_failure_dax/ranges.rs"]
mod memory_failure_ranges;
#[cfg_attr(not(test), allow(dead_code))]
#[path = "../../../../mm/memory_failure_dax/sort.rs"]
mod memory_failure_sort;
#[cfg_attr(not(test), allow(dead_code))]
#[path = "../../../../drivers/nvdimm/pmem_rust/poison_map.rs"]
mod poison_map;
#[cfg_attr(not(test), allow(dead_code))]
#[path = "../../../../drivers/nvdimm/pmem_rust/rooms.rs"]
mod rooms;
#[cfg_attr(not(test), allow(dead_code))]
#[path = "../../../../fs/fuse/dax/window.rs"]
mod window;
#[cfg_attr(not(test), allow(dead_code))]
#[path = "../../../../fs/xfs/notify/ranges.rs"]
mod xfs_ranges;

#[cfg(test)]
mod agent_tests;
#[cfg(test)]
mod config;
#[cfg(test)]
mod dm_ranges_tests;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod fuzz_tests;
// Loom switches stacks by itself, which Miri cannot follow.
#[cfg(all(test, not(miri)))]
mod holders_loom;
#[cfg(test)]
mod holders_tests;
#[cfg(test)]
mod holders_threads_tests;
#[cfg(test)]
mod holders_world;
#[cfg(test)]
mod memory_failure_ranges_tests;
#[cfg(test)]
mod poison_map_tests;
#[cfg(test)]
mod units_tests;
#[cfg(test)]
mod window_evacuate_tests;
#[cfg(test)]
mod window_forget_tests;
#[cfg(test)]
mod window_index_tests;
#[cfg(test)]
mod window_instant;
#[cfg(test)]
mod window_limit_tests;
#[cfg(all(test, not(miri)))]
mod window_loom;
#[cfg(test)]
mod window_policy_tests;
#[cfg(test)]
mod window_retired_tests;
#[cfg(test)]
mod window_tests;
#[cfg(test)]
mod window_threads_tests;
#[cfg(test)]
mod window_workload_tests;
#[cfg(test)]
mod window_world;
#[cfg(test)]
mod xfs_ranges_tests;
