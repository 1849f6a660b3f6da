// SPDX-License-Identifier: GPL-2.0

//! `rust/kernel/alloc.rs` and `rust/kernel/alloc/kvec.rs`.

use crate::error::{
    code::*,
    Error, //
};
use core::{
    fmt,
    ops::{
        Deref,
        DerefMut, //
    }, //
};

/// Indicates an allocation error.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct AllocError;

impl From<AllocError> for Error {
    fn from(_: AllocError) -> Self {
        ENOMEM
    }
}

/// Flags to be used when allocating memory.
#[derive(Clone, Copy, PartialEq)]
pub struct Flags(());

/// Allocation flags; the host has only one way to allocate.
pub mod flags {
    use super::Flags;

    /// Typical for kernel-internal allocations.
    pub const GFP_KERNEL: Flags = Flags(());
    /// As the kernel's.
    pub const GFP_KERNEL_ACCOUNT: Flags = Flags(());
}

/// Error type for [`KVVec::push_within_capacity`].
pub struct PushError<T>(pub T);

impl<T> fmt::Debug for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Not enough capacity")
    }
}

impl<T> From<PushError<T>> for Error {
    fn from(_: PushError<T>) -> Error {
        EINVAL
    }
}

/// Error type for [`KVVec::insert_within_capacity`].
pub enum InsertError<T> {
    /// The value could not be inserted because the index is out of bounds.
    IndexOutOfBounds(T),
    /// The value could not be inserted because the vector is out of capacity.
    OutOfCapacity(T),
}

impl<T> fmt::Debug for InsertError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InsertError::IndexOutOfBounds(_) => write!(f, "Index out of bounds"),
            InsertError::OutOfCapacity(_) => write!(f, "Not enough capacity"),
        }
    }
}

impl<T> From<InsertError<T>> for Error {
    fn from(_: InsertError<T>) -> Error {
        EINVAL
    }
}

/// Error type for [`KVVec::remove`].
#[derive(Debug)]
pub struct RemoveError;

impl From<RemoveError> for Error {
    fn from(_: RemoveError) -> Error {
        EINVAL
    }
}

/// The kernel's `Vec<T, KVmalloc>`.
///
/// # Invariants
///
/// `elements` has room for `capacity` elements and holds no more than that. The kernel's vector
/// has exactly the capacity that it was asked for, Rust's may have more: hence the field.
pub struct KVVec<T> {
    elements: rust_alloc::vec::Vec<T>,
    capacity: usize,
}

// Nothing under test asks for a `Default`.
#[allow(clippy::new_without_default)]
impl<T> KVVec<T> {
    /// Creates a new, empty vector without capacity.
    pub const fn new() -> Self {
        // INVARIANT: No room is needed for no elements.
        Self {
            elements: rust_alloc::vec::Vec::new(),
            capacity: 0,
        }
    }

    /// Creates a new vector with the given capacity.
    pub fn with_capacity(capacity: usize, _flags: Flags) -> Result<Self, AllocError> {
        let mut elements = rust_alloc::vec::Vec::new();
        elements
            .try_reserve_exact(capacity)
            .map_err(|_| AllocError)?;
        // INVARIANT: Just reserved.
        Ok(Self { elements, capacity })
    }

    /// Returns the number of elements that can be stored without allocating additional memory.
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Returns the number of elements stored within the vector.
    pub fn len(&self) -> usize {
        self.elements.len()
    }

    /// Returns `true` if the vector contains no elements, `false` otherwise.
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// Returns a mutable slice of the entire vector.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        self.elements.as_mut_slice()
    }

    /// Appends an element to the back of the vector, which grows when it is full.
    pub fn push(&mut self, v: T, _flags: Flags) -> Result<(), AllocError> {
        self.elements.try_reserve(1).map_err(|_| AllocError)?;
        self.elements.push(v);
        // INVARIANT: There was room for one more.
        self.capacity = self.capacity.max(self.elements.len());
        Ok(())
    }

    /// Appends an element to the back of the vector without reallocating.
    ///
    /// Fails if the vector does not have capacity for the new element.
    pub fn push_within_capacity(&mut self, v: T) -> Result<(), PushError<T>> {
        if self.len() >= self.capacity {
            return Err(PushError(v));
        }
        self.elements.push(v);
        Ok(())
    }

    /// Removes the last element from the vector and returns it, or [`None`] if it is empty.
    pub fn pop(&mut self) -> Option<T> {
        self.elements.pop()
    }

    /// Inserts an element at the given index without reallocating.
    ///
    /// Fails if the index is out of bounds or if there is no capacity for the new element.
    pub fn insert_within_capacity(
        &mut self,
        index: usize,
        element: T,
    ) -> Result<(), InsertError<T>> {
        if index > self.len() {
            return Err(InsertError::IndexOutOfBounds(element));
        }
        if self.len() >= self.capacity {
            return Err(InsertError::OutOfCapacity(element));
        }
        self.elements.insert(index, element);
        Ok(())
    }

    /// Removes the element at the given index; fails if there is none.
    pub fn remove(&mut self, i: usize) -> Result<T, RemoveError> {
        if i >= self.len() {
            return Err(RemoveError);
        }
        Ok(self.elements.remove(i))
    }

    /// Shortens the vector, setting the length to `len`; does nothing when it is shorter.
    pub fn truncate(&mut self, len: usize) {
        self.elements.truncate(len);
    }

    /// Clears the vector, removing all values; the capacity stays.
    pub fn clear(&mut self) {
        self.elements.clear();
    }
}

impl<T> Deref for KVVec<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.elements
    }
}

impl<T> DerefMut for KVVec<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.elements
    }
}
