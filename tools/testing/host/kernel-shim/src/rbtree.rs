// SPDX-License-Identifier: GPL-2.0

//! `rust/kernel/rbtree.rs`, with `BTreeMap` for a tree.
//!
//! The kernel's nodes are allocations. Here they hold no memory before they are in the tree, but
//! as in the kernel nothing gets into the tree without one.

use crate::{
    alloc::Flags,
    error::Result, //
};
use core::marker::PhantomData;
use rust_alloc::collections::{
    btree_map,
    BTreeMap, //
};

/// A red-black tree with owned nodes.
pub struct RBTree<K, V>(BTreeMap<K, V>);

// Nothing under test asks for a `Default`.
#[allow(clippy::new_without_default)]
impl<K, V> RBTree<K, V> {
    /// Creates a new and empty tree.
    pub fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Returns true if this tree is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns an iterator over the tree nodes, sorted by key.
    pub fn iter(&self) -> Iter<'_, K, V> {
        self.0.iter()
    }
}

// The kernel's cursors move without an order, `BTreeMap`'s lookups need one.
impl<K: Ord, V> RBTree<K, V> {
    /// Returns an immutable cursor over the tree nodes, starting with the largest key.
    pub fn cursor_back(&self) -> Option<Cursor<'_, K, V>> {
        let current = self.0.last_key_value()?;
        Some(Cursor {
            tree: self,
            current,
        })
    }

    /// Inserts a new node into the tree; returns the one with the same key that it overwrites.
    pub fn insert(&mut self, node: RBTreeNode<K, V>) -> Option<RBTreeNode<K, V>> {
        let old = self.0.remove_entry(&node.key);
        self.0.insert(node.key, node.value);
        old.map(|(key, value)| RBTreeNode { key, value })
    }

    /// Returns a reference to the value corresponding to the key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.0.get(key)
    }

    /// Returns a mutable reference to the value corresponding to the key.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.0.get_mut(key)
    }

    /// Removes the node with the given key from the tree.
    pub fn remove_node(&mut self, key: &K) -> Option<RBTreeNode<K, V>> {
        let (key, value) = self.0.remove_entry(key)?;
        Some(RBTreeNode { key, value })
    }

    /// Returns a cursor that starts at the given key, or else at the first larger one.
    pub fn cursor_lower_bound(&self, key: &K) -> Option<Cursor<'_, K, V>> {
        let current = self.0.range(key..).next()?;
        Some(Cursor {
            tree: self,
            current,
        })
    }
}

/// An iterator over the nodes of a [`RBTree`].
pub type Iter<'a, K, V> = btree_map::Iter<'a, K, V>;

/// A bidirectional immutable cursor over the tree nodes, sorted by key.
pub struct Cursor<'a, K, V> {
    tree: &'a RBTree<K, V>,
    current: (&'a K, &'a V),
}

impl<K: Ord, V> Cursor<'_, K, V> {
    /// The current node.
    pub fn current(&self) -> (&K, &V) {
        self.current
    }

    /// Access the previous node without moving the cursor.
    pub fn peek_prev(&self) -> Option<(&K, &V)> {
        self.tree.0.range(..self.current.0).next_back()
    }
}

/// A memory reservation for a red-black tree node.
pub struct RBTreeNodeReservation<K, V>(PhantomData<(K, V)>);

impl<K, V> RBTreeNodeReservation<K, V> {
    /// Allocates memory for a node to be eventually initialised and inserted into the tree.
    pub fn new(_flags: Flags) -> Result<Self> {
        Ok(Self(PhantomData))
    }

    /// Initialises a node reservation.
    pub fn into_node(self, key: K, value: V) -> RBTreeNode<K, V> {
        RBTreeNode { key, value }
    }
}

/// A red-black tree node.
pub struct RBTreeNode<K, V> {
    key: K,
    value: V,
}

impl<K, V> RBTreeNode<K, V> {
    /// Drop the key and value, but keep the allocation.
    pub fn into_reservation(self) -> RBTreeNodeReservation<K, V> {
        RBTreeNodeReservation(PhantomData)
    }
}
