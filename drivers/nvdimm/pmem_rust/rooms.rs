// SPDX-License-Identifier: GPL-2.0

//! Unused nodes for a tree of ranges.
//!
//! A [`Room`] is allocated without a lock and handed over with one held. Its nodes stay until
//! [`Rooms`] is dropped: a node that leaves the tree is unused again. More room does not copy or
//! free nodes.
//!
//! This file is plain `no_std` Rust: see `poison_map.rs`.

use kernel::{
    alloc::Flags,
    block::sector::{
        Sector,
        SectorRange, //
    },
    prelude::*,
    rbtree::RBTreeNodeReservation, //
};

/// There is no room for one more range; nothing was changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// How many rooms there can be. Each is twice as large as the one before, so these are 67 million
/// nodes, which take 4 GiB.
const ROOMS: usize = 21;

/// A node that is not in the tree.
pub(crate) type Unused = RBTreeNodeReservation<Sector, SectorRange>;

/// Nodes for more ranges.
pub(crate) struct Room {
    nodes: KVVec<Unused>,
    number: usize,
}

/// The next room to allocate.
#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    nodes: usize,
    number: usize,
}

impl Room {
    /// Allocates what is `wanted`. May sleep if `flags` allow it.
    pub(crate) fn new(wanted: Wanted, flags: Flags) -> Result<Self> {
        let mut nodes = KVVec::with_capacity(wanted.nodes, flags)?;
        for _ in 0..wanted.nodes {
            nodes.push_within_capacity(Unused::new(flags)?)?;
        }
        Ok(Self {
            nodes,
            number: wanted.number,
        })
    }
}

/// All rooms of one tree.
///
/// # Invariants
///
/// Room number `n` has a place for `1 << (first_shift + n)` nodes if `n < present`, and holds no
/// memory otherwise. In all places but `in_use` there is a node.
pub(crate) struct Rooms {
    rooms: [KVVec<Unused>; ROOMS],
    present: usize,
    in_use: usize,
    first_shift: u32,
}

impl Rooms {
    /// No rooms yet; the first will have `1 << first_shift` nodes.
    pub(crate) fn new(first_shift: u32) -> Self {
        // INVARIANT: There are no nodes.
        Self {
            rooms: [const { KVVec::new() }; ROOMS],
            present: 0,
            in_use: 0,
            first_shift,
        }
    }

    /// The number of nodes.
    pub(crate) fn capacity(&self) -> usize {
        ((1 << self.present) - 1) << self.first_shift
    }

    /// The number of nodes in the tree.
    pub(crate) fn in_use(&self) -> usize {
        self.in_use
    }

    /// The number of unused nodes.
    pub(crate) fn spare(&self) -> usize {
        self.capacity().saturating_sub(self.in_use)
    }

    /// How many nodes the first room has.
    pub(crate) fn first(&self) -> usize {
        1 << self.first_shift
    }

    /// The next room; [`None`] if there can be no more.
    pub(crate) fn wanted(&self) -> Option<Wanted> {
        (self.present < ROOMS).then_some(Wanted {
            nodes: self.first() << self.present,
            number: self.present,
        })
    }

    /// Takes over the next room. Returns it if it is not the next one.
    pub(crate) fn add(&mut self, room: Room) -> Result<(), Room> {
        if room.number != self.present {
            return Err(room);
        }
        let Some(slot) = self.rooms.get_mut(self.present) else {
            return Err(room);
        };
        // INVARIANT: `wanted` gave the number and the size, and `Room::new` filled all places. The
        // slot held no memory.
        *slot = room.nodes;
        self.present += 1;
        Ok(())
    }

    /// Takes a node for the tree.
    pub(crate) fn take(&mut self) -> Result<Unused, Full> {
        let node = self.rooms.iter_mut().find_map(KVVec::pop).ok_or(Full)?;
        // INVARIANT: Its place is free.
        self.in_use += 1;
        Ok(node)
    }

    /// Takes back a node from the tree.
    pub(crate) fn put(&mut self, mut node: Unused) {
        for room in &mut self.rooms {
            match room.push_within_capacity(node) {
                Ok(()) => {
                    // INVARIANT: It has filled a free place.
                    self.in_use -= 1;
                    return;
                }
                // Another room has a free place, because each node was taken from one.
                Err(full) => node = full.0,
            }
        }
    }
}
