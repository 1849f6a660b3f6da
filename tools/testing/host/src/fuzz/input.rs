// SPDX-License-Identifier: GPL-2.0

//! Bytes, read as choices.

/// What is left of the bytes. After the last one there are zeros, which stand for what is usual.
pub(super) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether all bytes were taken.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All the rest.
    pub(super) fn rest(self) -> &'a [u8] {
        self.0
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (now, later) = self.0.split_at(N.min(self.0.len()));
        self.0 = later;
        let mut bytes = [0; N];
        bytes[..now.len()].copy_from_slice(now);
        bytes
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.take::<1>()[0]
    }

    pub(super) fn number16(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    pub(super) fn number32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    /// Any number of 64 bits, but those near to multiples of powers of two more often than others.
    pub(super) fn number64(&mut self) -> u64 {
        let kind = self.byte();
        if kind >= 0xc0 {
            return u64::from_le_bytes(self.take());
        }
        let factor = u64::from(self.number16());
        let off = i64::from(self.byte() as i8);
        (factor << (kind % 64)).wrapping_add_signed(off)
    }

    /// A number below `end`, which is not 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::from(self.number16()) % end
    }

    /// One time in `often`, but never after the last byte.
    pub(super) fn one_in(&mut self, often: u8) -> bool {
        self.byte() % often == often - 1
    }
}
