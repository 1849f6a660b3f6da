// SPDX-License-Identifier: GPL-2.0

//! `rust/kernel/error.rs`.

/// Generic integer kernel error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error(i32);

/// The error codes that the shim itself returns.
pub mod code {
    use super::Error;

    /// Out of memory.
    pub const ENOMEM: Error = Error(-12);

    /// Invalid argument.
    pub const EINVAL: Error = Error(-22);
}

/// A [`Result`] with an [`Error`] error type.
pub type Result<T = (), E = Error> = core::result::Result<T, E>;
