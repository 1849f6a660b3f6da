// SPDX-License-Identifier: GPL-2.0

//! `drivers/nvdimm/pmem_rust/agent.rs`: a report is parsed to what was written, and anything else
//! is refused.

use crate::{
    agent::parse,
    config::properties, //
};
use kernel::{
    dax::units::ByteRange,
    error::code::*, //
};
use proptest::prelude::*;

/// Numbers up to more than 64 bits hold.
fn numbers() -> impl Strategy<Value = u128> {
    prop_oneof![
        0_u128..5000,
        any::<u64>().prop_map(u128::from),
        (-2_i128..3).prop_map(|off| ((1_i128 << 64) + off) as u128),
        Just(u128::MAX),
    ]
}

properties! {
    #[test]
    fn numbers_in_any_form(offset in numbers(), length in numbers(), size in numbers(), hex in any::<[bool; 2]>(),
            space in "[ \t\n]{1,3}", around in "[ \n]{0,2}") {
        let size = size.min(u128::from(u64::MAX)) as u64;
        let word = |number: u128, hex| if hex { format!("{number:#x}") } else { number.to_string() };
        let text = format!("{around}{}{space}{}{around}", word(offset, hex[0]), word(length, hex[1]));
        let found = parse(text.as_bytes(), size);
        let end = offset.checked_add(length);
        if end.is_some_and(|end| length > 0 && end <= u128::from(size)) {
            prop_assert_eq!(found, Ok(ByteRange::new(offset as u64, length as u64).unwrap()));
        } else if length == 0 {
            prop_assert_eq!(found, Err(EINVAL));
        } else {
            prop_assert_eq!(found, Err(ERANGE));
        }
    }

    #[test]
    fn anything_else(text in any::<Vec<u8>>()) {
        let words: Vec<_> = text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect();
        if let Ok(range) = parse(&text, u64::MAX) {
            prop_assert_eq!(words.len(), 2);
            prop_assert!(range.len() > 0);
        }
    }
}

#[test]
fn what_is_no_range() {
    for text in [
        "",
        " ",
        "1",
        "1 2 3",
        "1,2",
        "-1 5",
        "+1 5",
        "0x 5",
        "5 0x",
        "1k 5",
        "0b1 5",
        "1 5\0",
        "x1 5",
        "１ ５",
        "99999999999999999999x 1",
        "99999999999999999999 x",
        "99999999999999999999 0",
    ] {
        assert_eq!(parse(text.as_bytes(), 1 << 30), Err(EINVAL), "{text:?}");
    }
    assert_eq!(parse(b"1 5\n", 6), Ok(ByteRange::new(1, 5).unwrap()));
    assert_eq!(parse(b"1 5\n", 5), Err(ERANGE));
}
