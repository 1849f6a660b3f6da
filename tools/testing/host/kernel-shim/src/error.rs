// SPDX-License-Identifier: GPL-2.0

//! `rust/kernel/error.rs`.

/// Generic integer kernel error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error(i32);

impl Error {
    /// Returns the kernel error code.
    pub fn to_errno(self) -> i32 {
        self.0
    }
}

/// The error codes that the shim returns, and those that the sources under test or the tests use.
pub mod code {
    use super::Error;

    /// Interrupted system call.
    pub const EINTR: Error = Error(-4);

    /// I/O error.
    pub const EIO: Error = Error(-5);

    /// Out of memory.
    pub const ENOMEM: Error = Error(-12);

    /// No space left on device.
    pub const ENOSPC: Error = Error(-28);

    /// Invalid argument.
    pub const EINVAL: Error = Error(-22);

    /// Math result not representable.
    pub const ERANGE: Error = Error(-34);

    /// Operation not supported on transport endpoint.
    pub const EOPNOTSUPP: Error = Error(-95);
}

/// A [`Result`] with an [`Error`] error type.
pub type Result<T = (), E = Error> = core::result::Result<T, E>;
