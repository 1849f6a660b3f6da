// SPDX-License-Identifier: GPL-2.0

//! Parses the reports of an agent in user space that knows of a failure.
//!
//! This file is plain `no_std` Rust without calls to C: `tools/testing/host` runs it under proptest
//! and a fuzzer.

use kernel::{
    dax::units::ByteRange,
    prelude::*, //
};

/// Reads `OFFSET LENGTH`: bytes of a device of `size` bytes, each number decimal or, after `0x`,
/// hexadecimal, with white space around them.
///
/// `EINVAL` for anything else, including a length of 0; `ERANGE` for bytes beyond the device, and
/// for numbers that 64 bits cannot hold.
pub(crate) fn parse(text: &[u8], size: u64) -> Result<ByteRange> {
    let mut words = text
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    let (Some(offset), Some(length), None) = (words.next(), words.next(), words.next()) else {
        return Err(EINVAL);
    };
    let (offset, length) = (number(offset)?, number(length)?);
    if length == Some(0) {
        return Err(EINVAL);
    }
    offset
        .zip(length)
        .and_then(|(offset, length)| ByteRange::new(offset, length))
        .filter(|range| range.end() <= size)
        .ok_or(ERANGE)
}

/// A number without a sign; [`None`] for one that 64 bits do not hold.
fn number(word: &[u8]) -> Result<Option<u64>> {
    let (digits, radix) = match word {
        [b'0', b'x' | b'X', digits @ ..] => (digits, 16),
        digits => (digits, 10),
    };
    if digits.is_empty() {
        return Err(EINVAL);
    }
    let mut number = Some(0u64);
    for digit in digits {
        let value = char::from(*digit).to_digit(radix).ok_or(EINVAL)?;
        number = number
            .and_then(|number| number.checked_mul(u64::from(radix)))
            .and_then(|number| number.checked_add(u64::from(value)));
    }
    Ok(number)
}
