// SPDX-License-Identifier: GPL-2.0

//! `fs/dax/fs_dax/compare.rs` against byte by byte.

use crate::{
    compare::{
        compare,
        Media,
        Poisoned, //
    },
    config::config,
};
use proptest::prelude::{
    prop_assert_eq,
    proptest, //
};

/// Bytes, and where the first bad one is.
struct Memory(Vec<u8>, usize);

impl Media for Memory {
    fn read(&self, at: usize, to: &mut [u8]) -> bool {
        to.copy_from_slice(&self.0[at..at + to.len()]);
        at + to.len() <= self.1
    }
}

/// The end of the part that is looked at together with byte `at`.
fn chunk_end(at: usize) -> usize {
    (at / 256 + 1) * 256
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_first_difference_or_poison(len in 0_usize..3000, bad in 0_usize..6000, difference in 0_usize..6000,
            swap in proptest::bool::ANY) {
        let a = Memory((0..len).map(|n| n as u8).collect(), bad);
        let mut b = Memory(a.0.clone(), usize::MAX);
        if let Some(byte) = b.0.get_mut(difference) {
            *byte ^= 1;
        }
        // What is bad in the same part as the difference, or before, is met.
        let wanted = if bad < len && bad < chunk_end(difference) {
            Err(Poisoned)
        } else {
            Ok(difference >= len)
        };
        let found = if swap { compare(&b, &a, len, || {}) } else { compare(&a, &b, len, || {}) };
        prop_assert_eq!(found, wanted);
    }
}
