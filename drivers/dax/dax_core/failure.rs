// SPDX-License-Identifier: GPL-2.0

//! Failures, and the trait of what is notified of them.
//!
//! Plain `no_std` Rust: see `holders.rs`.

use core::ops::Deref;
use kernel::{
    dax::units::ByteRange,
    prelude::*, //
};

/// The extent of a failure on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All of it, however large it is: offset 0 and length `U64_MAX` in C.
    Whole,
    /// Some bytes, counted from the device's start.
    Bytes(ByteRange),
}

impl Extent {
    /// The offset and the length, as C passes them.
    pub(super) fn to_raw(self) -> (u64, u64) {
        match self {
            Extent::Whole => (0, u64::MAX),
            Extent::Bytes(bytes) => (bytes.start(), bytes.len()),
        }
    }

    /// The part inside `range`. The whole device stays the whole device, which is how holders know
    /// it.
    pub(super) fn within(&self, range: &ByteRange) -> Option<Self> {
        match self {
            Extent::Whole => Some(Extent::Whole),
            Extent::Bytes(bytes) => bytes.intersection(range).map(Extent::Bytes),
        }
    }
}

/// What a holder is notified of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Which bytes.
    pub(crate) extent: Extent,
    /// `MF_*` flags.
    pub(crate) flags: i32,
}

/// A holder that stays for `'a`.
///
/// # Invariants
///
/// For `'a`, `holder` is in the table of a device, or is noted there as being called.
pub(crate) struct Held<'a, H> {
    holder: &'a H,
}

impl<'a, H> Held<'a, H> {
    /// # Safety
    ///
    /// The type's invariant has to hold.
    pub(super) unsafe fn new(holder: &'a H) -> Self {
        // INVARIANT: By the function's contract.
        Self { holder }
    }
}

impl<H> Deref for Held<'_, H> {
    type Target = H;

    fn deref(&self) -> &H {
        self.holder
    }
}

/// An owner of bytes of a device, for example a file system. It is notified of failures.
///
/// A value by itself, such as a clone, only identifies the owner, which may be gone. What uses the
/// owner takes a [`Held`], which lives no longer than the owner stays.
pub(crate) trait Holder: Clone {
    /// Identifies the holder: no two holders of a device have the same number.
    fn identity(&self) -> usize;

    /// The bytes that it holds now, if any; it registered for `registered`.
    ///
    /// A partition or a volume may be grown or shrunk under a mounted file system. Its start does
    /// not change, and no two holders of a device overlap: the block layer does not grow one
    /// partition into another, and registrations of overlapping partitions are refused. Holders are
    /// searched by start. Must not sleep.
    fn range(_this: &Held<'_, Self>, registered: ByteRange) -> Option<ByteRange> {
        Some(registered)
    }

    /// What [`Holder::unpin`] needs to release a pin.
    type Pin;

    /// Keeps the holder in place until [`Holder::unpin`]. Must not wait for the holder to go away.
    ///
    /// [`None`] when it is going away already, so that it need not be notified. A holder without
    /// pin operations returns a pin all the same; see
    /// [`Holders::unregister`](super::holders::Holders::unregister) for what protects it.
    fn pin(this: &Held<'_, Self>) -> Option<Self::Pin>;

    /// Releases a pin, which may free the holder.
    ///
    /// A holder without pin operations may be gone when this is called.
    fn unpin(&self, pin: Self::Pin);

    /// Notifies the holder. May sleep, and may wait for anything but the end of its own
    /// registration.
    fn notify(this: &Held<'_, Self>, failure: &Failure) -> Result;
}

/// A call of a holder that may be made.
///
/// # Invariants
///
/// `holder` is noted in a table as being called, at `slot`, until this is given up.
pub(super) struct Ticket<H> {
    slot: usize,
    holder: H,
    pub(super) extent: Extent,
}

impl<H> Ticket<H> {
    /// # Safety
    ///
    /// The type's invariant has to hold.
    pub(super) unsafe fn new(slot: usize, holder: H, extent: Extent) -> Self {
        // INVARIANT: By the function's contract.
        Self {
            slot,
            holder,
            extent,
        }
    }

    /// The holder to be called.
    pub(super) fn holder(&self) -> Held<'_, H> {
        // SAFETY: By the type invariant it is noted as long as this is there.
        unsafe { Held::new(&self.holder) }
    }

    /// The place of the note, which is to be removed, and the holder, which only its pin keeps then.
    pub(super) fn give_up(self) -> (usize, H) {
        (self.slot, self.holder)
    }
}
