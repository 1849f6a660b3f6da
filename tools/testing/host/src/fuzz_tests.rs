// SPDX-License-Identifier: GPL-2.0

//! The functions of the fuzzer with random bytes: where there is no libFuzzer, and under Miri.

use crate::{
    config::properties,
    fuzz, //
};
use proptest::prelude::*;

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..400)
}

properties! {
    #[test]
    fn agent(bytes in bytes()) {
        fuzz::agent(&bytes);
    }

    #[test]
    fn geometry(bytes in bytes()) {
        fuzz::geometry(&bytes);
    }

    #[test]
    fn region(bytes in bytes()) {
        fuzz::region(&bytes);
    }

    #[test]
    fn window(bytes in bytes()) {
        fuzz::window(&bytes);
    }
}
