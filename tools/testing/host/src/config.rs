// SPDX-License-Identifier: GPL-2.0

//! How many cases to try, and which.

use proptest::test_runner::{
    Config,
    RngSeed, //
};
use std::env::var_os;

/// Cases of each property; Miri takes a thousand times as long for one.
const CASES: u32 = if cfg!(miri) { 12 } else { 2000 };

/// Any fixed number does.
const SEED: u64 = 0x7264_6178;

/// The configuration of every property: the same cases in each run, unless the environment says
/// otherwise.
pub(crate) fn config() -> Config {
    // Already has what the environment says.
    let mut config = Config::default();
    if var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    if var_os("PROPTEST_RNG_SEED").is_none() {
        config.rng_seed = RngSeed::Fixed(SEED);
    }
    config.failure_persistence = None;
    config
}
