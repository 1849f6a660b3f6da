// SPDX-License-Identifier: GPL-2.0

//! The number of cases, and their choice.

use proptest::test_runner::{
    Config,
    RngSeed, //
};
use std::{
    env::{
        var,
        var_os, //
    },
    hash::{
        BuildHasher,
        RandomState, //
    },
    sync::OnceLock, //
};

/// Cases of each property; Miri takes a thousand times as long for one.
const CASES: u32 = if cfg!(miri) { 12 } else { 2000 };

/// Any fixed number does.
const FIXED: u64 = 0x7264_6178;

/// The seed of this run: `RDAX_SEED`, or another one each time.
pub(crate) fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| match var("RDAX_SEED") {
        Ok(seed) => seed.parse().expect("RDAX_SEED is a decimal number"),
        // As many digits as `run` takes.
        Err(_) => RandomState::new().hash_one(0) >> 5,
    })
}

fn config(seed: u64) -> Config {
    // Already has what the environment says.
    let mut config = Config::default();
    if var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    config.rng_seed = RngSeed::Fixed(seed);
    config.failure_persistence = None;
    config
}

/// The same cases in each run.
pub(crate) fn fixed() -> Config {
    config(FIXED)
}

/// Other cases in each run.
pub(crate) fn fresh() -> Config {
    let seed = seed();
    // Shown when the test fails.
    println!("RDAX_SEED={seed} repeats this");
    config(seed)
}

/// As `proptest!`, for properties that are tried with the same cases in each run, as regressions,
/// and with others.
macro_rules! properties {
    ($($properties:tt)*) => {
        mod fixed {
            use super::*;
            proptest::proptest! {
                #![proptest_config($crate::config::fixed())]
                $($properties)*
            }
        }

        mod fresh {
            use super::*;
            proptest::proptest! {
                #![proptest_config($crate::config::fresh())]
                $($properties)*
            }
        }
    };
}

pub(crate) use properties;
