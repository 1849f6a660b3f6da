// SPDX-License-Identifier: GPL-2.0

//! `fs/fuse/dax/window/region.rs`: the report of a device about its window.

use super::input::Input;
use crate::window::region::{
    usable,
    Region,
    Wrong, //
};

const BLOCK: u64 = 2 << 20;

fn end(region: Region) -> u128 {
    u128::from(region.start) + u128::from(region.len)
}

/// A window, the BARs of the device, and how wide addresses are.
pub fn region(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let window = Region {
        start: input.number64(),
        len: input.number64(),
    };
    // Any numbers, but those that nearly fit more often than others.
    let bars: [Region; 6] = std::array::from_fn(|_| Region {
        start: window.start.wrapping_sub(input.number64()),
        len: window.len.wrapping_add(input.number64()),
    });
    let bars = (!input.one_in(4)).then_some(bars.as_slice());
    let bits = u32::from(input.byte());

    let small = window.len < BLOCK;
    let unaligned = window.start % BLOCK != 0;
    let wraps = end(window) >> 64 != 0 || (bits < 64 && end(window) > 1 << bits);
    let outside = bars.is_some_and(|bars| {
        !bars.iter().any(|bar| {
            bar.start <= window.start && end(window) <= end(*bar) && end(*bar) >> 64 == 0
        })
    });
    match usable(window, bars, bits) {
        Ok(found) => {
            assert!(!small && !unaligned && !wraps && !outside);
            assert_eq!(found.start, window.start);
            assert_eq!(found.len, window.len / BLOCK * BLOCK);
        }
        Err(wrong) => {
            assert!(!wrong.why().is_empty());
            assert!(match wrong {
                Wrong::Small => small,
                Wrong::Wraps => wraps,
                Wrong::Unaligned => unaligned,
                Wrong::Outside => outside,
            });
        }
    }
}
