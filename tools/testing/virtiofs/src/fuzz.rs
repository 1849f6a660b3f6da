// SPDX-License-Identifier: GPL-2.0

//! Faults by chance, the same for the same seed.
//!
//! A fault makes a reply late, or wrong in a way that its reader takes for an error: a server may
//! refuse any request. It never claims a mapping that is not there, because the guest's kernel
//! cannot find that out.

use std::time::Duration;

use crate::fault::Kind;
use crate::ops;

/// Numbers by chance (splitmix64).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut it = self.0;
        it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        it ^ (it >> 31)
    }

    /// A number from 0 up to, but without, `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    fn millis(&mut self, end: u64) -> Duration {
        Duration::from_millis(self.below(end))
    }

    /// An error of the system.
    fn errno(&mut self) -> i32 {
        -1 - self.below(133) as i32
    }

    /// Any number but that of success.
    fn nonsense(&mut self) -> i32 {
        match self.number() as i32 {
            0 => 1,
            number => number,
        }
    }

    /// What goes wrong with a request of `op`, if anything does.
    pub fn fault(&mut self, op: u32) -> Option<Kind> {
        if op == ops::INIT {
            return match self.below(2) {
                0 => None,
                _ => Some(Kind::Alignment(self.below(30) as u16)),
            };
        }
        Some(match self.below(20) {
            // Nobody can see that other data is not the data.
            5 | 7 if op == ops::READ => return None,
            0 | 1 => Kind::Fail(self.errno()),
            2 => Kind::Fail(self.nonsense()),
            3 | 4 => Kind::Deny(self.errno()),
            5 => Kind::Flip(self.below(64) as usize, 1 + self.below(255) as u8),
            6 => Kind::Cut(self.below(16) as usize),
            7 => Kind::Garbage,
            8 => Kind::Delay(self.millis(60)),
            9 | 10 => Kind::Late(self.millis(400)),
            _ => return None,
        })
    }
}
