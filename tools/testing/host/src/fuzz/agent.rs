// SPDX-License-Identifier: GPL-2.0

//! `drivers/nvdimm/pmem_rust/agent.rs`: a text that is written to `report_failure`.

use super::input::Input;
use crate::agent::parse;
use kernel::error::code::*;

/// What does not fit 64 bits, by far.
const LARGE: u128 = u128::MAX / 4;

/// The number that a word is, by Rust's own rules.
fn number(word: &str) -> Option<u128> {
    let hex = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X"));
    let (digits, radix) = hex.map_or((word, 10), |digits| (digits, 16));
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    let digits = digits.trim_start_matches('0');
    match digits.len() {
        0 => Some(0),
        1..=30 => u128::from_str_radix(digits, radix).ok(),
        _ => Some(LARGE),
    }
}

/// A report, to a device whose size the first bytes say.
pub fn agent(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    // Most often large, so that most numbers are on the device.
    let size = !input.number64();
    let text = input.rest();
    let found = parse(text, size);
    let words: Option<Vec<_>> = std::str::from_utf8(text)
        .ok()
        .map(|text| text.split_ascii_whitespace().collect());
    let numbers = match words.as_deref() {
        Some([offset, length]) => number(offset).zip(number(length)),
        _ => None,
    };
    let Some((offset, length)) = numbers else {
        return assert_eq!(found, Err(EINVAL));
    };
    match found {
        Ok(range) => {
            assert_eq!(u128::from(range.start()), offset);
            assert_eq!(u128::from(range.len()), length);
            assert!(range.end() <= size);
        }
        Err(error) if error == EINVAL => assert_eq!(length, 0),
        Err(error) => {
            assert_eq!(error, ERANGE);
            assert!(offset + length > u128::from(size) || offset >> 64 != 0);
        }
    }
}
