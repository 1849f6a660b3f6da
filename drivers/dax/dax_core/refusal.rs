// SPDX-License-Identifier: GPL-2.0

//! Messages and error numbers of refused registrations.

use super::holder_table::Refusal;
use kernel::{
    fmt,
    prelude::*, //
};

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Dying => f.write_str("the device is going away"),
            Refusal::Twice => f.write_str("this holder holds part of the device already"),
            Refusal::Overlap(range) => write!(
                f,
                "bytes {:#x} to {:#x} are held by another holder",
                range.start(),
                range.end() - 1
            ),
            Refusal::NoMemory => f.write_str("out of memory"),
        }
    }
}

impl From<&Refusal> for Error {
    fn from(refusal: &Refusal) -> Error {
        match refusal {
            Refusal::Dying => ENODEV,
            Refusal::Twice | Refusal::Overlap(_) => EBUSY,
            Refusal::NoMemory => ENOMEM,
        }
    }
}
