// SPDX-License-Identifier: GPL-2.0

//! `fs/fuse/dax/window/index.rs`: how long its chains are, which are walked under the window's lock.

use crate::window::index::Index;
use crate::window::units::FileBlock;

const BLOCKS: u32 = 8;

/// The number of keys in a test: one for each two chains.
const KEYS: usize = 256;

/// The length that no chain has. With random places, fewer than one table in 10^9 has such a chain.
const LONG: usize = 12;

/// The length of the longest chain of `keys`: files, and blocks of them.
fn longest(index: &Index, keys: impl Iterator<Item = (u64, u64)>) -> usize {
    let mut lengths = std::collections::BTreeMap::<usize, usize>::new();
    for (file, block) in keys {
        *lengths
            .entry(index.place(file, FileBlock(block)))
            .or_default() += 1;
    }
    lengths.into_values().max().unwrap_or(0)
}

fn index(number: u64) -> Index {
    let mut index = Index::new(BLOCKS).unwrap();
    index.set_secret([1, 2, 3, 4].map(|word: u64| {
        // Any bits that are not in a row.
        (word + 4 * number)
            .wrapping_mul(0xd134_2543_de82_ef95)
            .rotate_left(29)
            ^ number
    }));
    index
}

/// The blocks of file 7 that have one place in `index`.
fn colliding(index: &Index) -> Vec<u64> {
    let wanted = index.place(7, FileBlock(0));
    let same = (0..).filter(|block| index.place(7, FileBlock(*block)) == wanted);
    same.take(KEYS).collect()
}

/// Blocks that were chosen for one window are as good as random ones for another.
#[test]
fn chosen_blocks_do_not_collide() {
    for number in 0..50 {
        let blocks = colliding(&index(number));
        let keys = || blocks.iter().map(|block| (7, *block));
        assert_eq!(longest(&index(number), keys()), KEYS);
        assert!(longest(&index(number + 1), keys()) < LONG);
    }
}

/// Nor do rows of blocks, with any distance. The last block of a file is 2^42 - 1.
#[test]
fn rows_of_blocks_do_not_collide() {
    for number in 0..20 {
        let index = index(number);
        for shift in 0..34 {
            for factor in [1, 3, 5, 641, 6_700_417] {
                let step = factor << shift;
                if step >= (1 << 42) / KEYS as u64 {
                    continue;
                }
                let row = (0..KEYS as u64).map(|at| (7, at * step));
                assert!(
                    longest(&index, row) < LONG,
                    "distance {step}, secret {number}"
                );
            }
        }
    }
}

/// Nor do files, at the same block.
#[test]
fn rows_of_files_do_not_collide() {
    for number in 0..20 {
        let index = index(number);
        for step in [1, 2, 512, 4096, 1 << 20] {
            for block in [0, 1, 4095, 1 << 41] {
                let row = (1..=KEYS as u64).map(|at| (at * step, block));
                assert!(
                    longest(&index, row) < LONG,
                    "distance {step}, secret {number}"
                );
            }
        }
    }
}

/// A file and its block are different parts of the key.
#[test]
fn files_and_blocks_in_step_do_not_collide() {
    for number in 0..20 {
        let index = index(number);
        let up = (1..=KEYS as u64).map(|at| (at, at));
        assert!(longest(&index, up) < LONG);
        let down = (1..=KEYS as u64).map(|at| (at, KEYS as u64 - at));
        assert!(longest(&index, down) < LONG);
    }
}
