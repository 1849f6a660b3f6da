// SPDX-License-Identifier: GPL-2.0

//! What a failure is, and what can be told of it.
//!
//! Plain `no_std` Rust: see `holders.rs`.

use kernel::{
    dax::units::ByteRange,
    prelude::*, //
};

/// The part of a device that a failure is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All of it, however large it is: offset 0 and length `U64_MAX` in C.
    Whole,
    /// Some bytes, counted from the device's start.
    Bytes(ByteRange),
}

impl Extent {
    /// Its offset and its length, as C has them.
    pub(super) fn to_raw(self) -> (u64, u64) {
        match self {
            Extent::Whole => (0, u64::MAX),
            Extent::Bytes(bytes) => (bytes.start(), bytes.len()),
        }
    }

    /// What of it is inside `range`; the whole stays the whole, which holders know as such.
    pub(super) fn within(&self, range: &ByteRange) -> Option<Self> {
        match self {
            Extent::Whole => Some(Extent::Whole),
            Extent::Bytes(bytes) => bytes.intersection(range).map(Extent::Bytes),
        }
    }
}

/// What a holder is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Which bytes.
    pub(crate) extent: Extent,
    /// `MF_*` flags.
    pub(crate) flags: i32,
}

/// What is told of failures: a file system, say.
pub(crate) trait Holder: Clone {
    /// What makes it this holder, whatever else it says.
    fn identity(&self) -> usize;

    /// The bytes that it holds now, if any, having registered for those of `registered`.
    ///
    /// A partition or a volume may be grown or shrunk under a mounted file system. It begins where it
    /// began all the same, and no two that hold a device have a byte in common: the block layer grows
    /// none into another, and those that a partition table has overlap are refused when they register.
    /// Holders are found by that. Must not sleep.
    fn range(&self, registered: ByteRange) -> Option<ByteRange> {
        Some(registered)
    }

    /// What releases a pin.
    type Pin;

    /// Keeps the holder from going away until [`Holder::unpin`]; must not wait for it to go.
    ///
    /// [`None`] when it is going already: then it needs to be told nothing any more. A holder that has
    /// no way to be pinned answers all the same; see
    /// [`Holders::unregister`](super::holders::Holders::unregister) for what it gets.
    fn pin(&self) -> Option<Self::Pin>;

    /// Takes back a pin. This may be what ends the holder.
    ///
    /// A holder that has no way to be pinned may be gone when this is called.
    fn unpin(&self, pin: Self::Pin);

    /// Tells the holder. May sleep, and wait for anything but the end of its own registration.
    fn notify(&self, failure: &Failure) -> Result;
}
