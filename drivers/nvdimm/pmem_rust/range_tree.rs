// SPDX-License-Identifier: GPL-2.0

//! Ranges of sectors in order, any number of them, as an AVL tree.
//!
//! The tree is used with a spinlock held. So it never allocates and never frees: the owner brings
//! memory from outside the lock ([`Room`]), each time as much as there is already, and what has
//! been brought stays where it is until the tree is dropped. Nothing is copied when the tree
//! grows. Every call but the iterator takes O(log n).
//!
//! The C tree (`include/linux/rbtree.h`) and `kernel::rbtree` have a node for each allocation, and
//! so a `kfree()` for each removal.
//!
//! This file is plain `no_std` Rust without calls to C: see `poison_map.rs`.

use kernel::{
    alloc::Flags,
    dax::units::{
        Sector,
        SectorRange, //
    },
    prelude::*, //
};

/// There is no room for one more range; nothing was changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// The binary logarithm of the number of nodes in the first [`Room`].
const FIRST_SHIFT: u32 = 5;

/// How many rooms there can be. Each is twice as large as the one before, and `kvmalloc()` gives no
/// more than 2 GiB: that is reached after 67 million ranges.
const ROOMS: usize = 21;

/// A tree of that many nodes is no deeper: 1.44 times the binary logarithm.
const MAX_DEPTH: usize = 40;

/// No node.
const NIL: u32 = u32::MAX;

struct Node {
    range: SectorRange,
    /// What lies below, and above. The first is the next node on the list of unused ones.
    child: [u32; 2],
    height: u8,
}

/// Memory for more ranges.
pub(crate) struct Room {
    nodes: KVVec<Node>,
    /// Which of the tree's rooms it is.
    number: usize,
}

/// How much room a tree needs next.
#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    nodes: usize,
    number: usize,
}

impl Room {
    /// Allocates what is `wanted`. May sleep if `flags` allow it.
    pub(crate) fn new(wanted: Wanted, flags: Flags) -> Result<Self> {
        Ok(Self {
            nodes: KVVec::with_capacity(wanted.nodes, flags)?,
            number: wanted.number,
        })
    }
}

/// The nodes above one, from the root on, and on which side of each it goes on.
struct Path {
    steps: [(u32, usize); MAX_DEPTH],
    len: usize,
}

impl Path {
    fn new() -> Self {
        Self {
            steps: [(NIL, 0); MAX_DEPTH],
            len: 0,
        }
    }

    fn push(&mut self, node: u32, side: usize) {
        if let Some(step) = self.steps.get_mut(self.len) {
            *step = (node, side);
            self.len += 1;
        }
    }
}

/// Ranges in ascending order, of which the owner sees to it that they do not overlap.
///
/// # Invariants
///
/// - Room number `n` has `1 << (first_shift + n)` nodes if `n < present`, and none otherwise; a
///   node's number counts through all of them. `taken` of them have been in use.
/// - Each of those is in the tree, `len` of them, or on the list that begins at `unused`.
/// - The tree is in order of the ranges' starts. A node's `height` is one more than that of its
///   higher child, and those of its children differ by one at most.
pub(crate) struct RangeTree {
    rooms: [KVVec<Node>; ROOMS],
    present: usize,
    taken: usize,
    unused: u32,
    root: u32,
    len: usize,
    first_shift: u32,
}

impl RangeTree {
    /// An empty tree without room.
    pub(crate) const fn new() -> Self {
        Self::with_first_room(FIRST_SHIFT)
    }

    /// The same, whose first room has `1 << first_shift` nodes. Tests have fewer of them.
    pub(crate) const fn with_first_room(first_shift: u32) -> Self {
        // INVARIANT: There are no nodes.
        Self {
            rooms: [const { KVVec::new() }; ROOMS],
            present: 0,
            taken: 0,
            unused: NIL,
            root: NIL,
            len: 0,
            first_shift,
        }
    }

    /// How many ranges there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How many ranges there is room for.
    pub(crate) fn capacity(&self) -> usize {
        ((1 << self.present) - 1) << self.first_shift
    }

    /// How many more ranges there is room for.
    pub(crate) fn spare(&self) -> usize {
        self.capacity().saturating_sub(self.len)
    }

    /// How many nodes the first room has.
    pub(crate) fn first_room(&self) -> usize {
        1 << self.first_shift
    }

    /// What has to be brought for there to be more room; [`None`] if there can be no more.
    pub(crate) fn wanted(&self) -> Option<Wanted> {
        (self.present < ROOMS).then_some(Wanted {
            nodes: self.first_room() << self.present,
            number: self.present,
        })
    }

    /// Takes over more room. Gives it back if it is not the one that is wanted by now.
    pub(crate) fn add_room(&mut self, room: Room) -> Result<(), Room> {
        if room.number != self.present {
            return Err(room);
        }
        let Some(slot) = self.rooms.get_mut(self.present) else {
            return Err(room);
        };
        // INVARIANT: `wanted` gave the number and the size. The slot held no memory.
        *slot = room.nodes;
        self.present += 1;
        Ok(())
    }

    /// In which room the node is, and where in it.
    fn place(&self, node: u32) -> (usize, usize) {
        // CAST: From 32 bits.
        let node = node as usize;
        let room = ((node >> self.first_shift) + 1).ilog2();
        // CAST: At most 31.
        (
            room as usize,
            node - (((1 << room) - 1) << self.first_shift),
        )
    }

    fn node(&self, node: u32) -> Option<&Node> {
        let (room, at) = self.place(node);
        self.rooms.get(room)?.get(at)
    }

    fn node_mut(&mut self, node: u32) -> Option<&mut Node> {
        let (room, at) = self.place(node);
        self.rooms.get_mut(room)?.as_mut_slice().get_mut(at)
    }

    fn child(&self, node: u32, side: usize) -> u32 {
        self.node(node)
            .and_then(|node| node.child.get(side))
            .map_or(NIL, |child| *child)
    }

    fn set_child(&mut self, node: u32, side: usize, child: u32) {
        if let Some(slot) = self
            .node_mut(node)
            .and_then(|node| node.child.get_mut(side))
        {
            *slot = child;
        }
    }

    fn height(&self, node: u32) -> u8 {
        self.node(node).map_or(0, |node| node.height)
    }

    fn update_height(&mut self, node: u32) {
        let below = self
            .height(self.child(node, 0))
            .max(self.height(self.child(node, 1)));
        if let Some(node) = self.node_mut(node) {
            node.height = below + 1;
        }
    }

    /// The first range that ends after `sector`.
    pub(crate) fn first_ending_after(&self, sector: Sector) -> Option<SectorRange> {
        let mut found = None;
        let mut at = self.root;
        while let Some(node) = self.node(at) {
            let [below, above] = node.child;
            at = if node.range.end() > sector {
                found = Some(node.range);
                below
            } else {
                above
            };
        }
        found
    }

    /// The last range that starts before `sector`.
    pub(crate) fn last_starting_before(&self, sector: Sector) -> Option<SectorRange> {
        let mut found = None;
        let mut at = self.root;
        while let Some(node) = self.node(at) {
            let [below, above] = node.child;
            at = if node.range.start() < sector {
                found = Some(node.range);
                above
            } else {
                below
            };
        }
        found
    }

    /// The ranges, in ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = SectorRange> + '_ {
        let mut from = Sector(0);
        core::iter::from_fn(move || {
            let range = self.first_ending_after(from)?;
            from = range.end();
            Some(range)
        })
    }

    /// Finds the node whose range starts at `start`, and the way to it.
    fn find(&self, start: Sector) -> (u32, Path) {
        let mut path = Path::new();
        let mut at = self.root;
        while let Some(node) = self.node(at) {
            if node.range.start() == start {
                break;
            }
            let side = usize::from(node.range.start() < start);
            path.push(at, side);
            at = self.child(at, side);
        }
        (at, path)
    }

    /// Has the range that starts at `start` become `range`, which has the same neighbours.
    pub(crate) fn replace(&mut self, start: Sector, range: SectorRange) {
        let (at, _) = self.find(start);
        if let Some(node) = self.node_mut(at) {
            // INVARIANT: The order stays as it is.
            node.range = range;
        }
    }

    /// Adds `range`, which overlaps none that is there.
    pub(crate) fn insert(&mut self, range: SectorRange) -> Result<(), Full> {
        let (_, path) = self.find(range.start());
        let node = self.take(range)?;
        // INVARIANT: The way led to where the range belongs, and `rebalance` does the rest.
        self.link(&path, path.len, node);
        self.len += 1;
        self.rebalance(&path);
        Ok(())
    }

    /// Takes out the range that starts at `start`.
    pub(crate) fn remove(&mut self, start: Sector) {
        let (mut at, mut path) = self.find(start);
        if self.node(at).is_none() {
            return;
        }
        if self.child(at, 0) != NIL && self.child(at, 1) != NIL {
            // The next range takes its place, and the node of that one goes. It has nothing below.
            let place = at;
            path.push(at, 1);
            at = self.child(at, 1);
            while self.child(at, 0) != NIL {
                path.push(at, 0);
                at = self.child(at, 0);
            }
            let next = self.node(at).map(|node| node.range);
            if let (Some(next), Some(node)) = (next, self.node_mut(place)) {
                node.range = next;
            }
        }
        let rest = match self.child(at, 0) {
            NIL => self.child(at, 1),
            below => below,
        };
        // INVARIANT: The order stays as it is, the node is unused, and `rebalance` does the rest.
        self.link(&path, path.len, rest);
        self.set_child(at, 0, self.unused);
        self.unused = at;
        self.len -= 1;
        self.rebalance(&path);
    }

    /// A node that is not in use, for `range`.
    fn take(&mut self, range: SectorRange) -> Result<u32, Full> {
        let new = Node {
            range,
            child: [NIL; 2],
            height: 1,
        };
        let node = self.unused;
        if let Some(slot) = self.node_mut(node) {
            let next = slot.child[0];
            *slot = new;
            self.unused = next;
            return Ok(node);
        }
        // CAST: There are fewer than 2^32.
        let node = self.taken as u32;
        let (room, _) = self.place(node);
        self.rooms
            .get_mut(room)
            .ok_or(Full)?
            .push_within_capacity(new)
            .map_err(|_| Full)?;
        self.taken += 1;
        Ok(node)
    }

    /// Puts `node` where the first `depth` steps of `path` lead.
    fn link(&mut self, path: &Path, depth: usize, node: u32) {
        match depth.checked_sub(1).and_then(|last| path.steps.get(last)) {
            Some((parent, side)) => self.set_child(*parent, *side, node),
            None => self.root = node,
        }
    }

    /// Puts in order what is on `path`, below which a height changed by one.
    fn rebalance(&mut self, path: &Path) {
        for depth in (0..path.len).rev() {
            if let Some((node, _)) = path.steps.get(depth) {
                let top = self.balance(*node);
                self.link(path, depth, top);
            }
        }
    }

    /// Has the heights of the children of `node` differ by one at most; returns what is at the top
    /// then.
    fn balance(&mut self, node: u32) -> u32 {
        for (side, other) in [(0, 1), (1, 0)] {
            let child = self.child(node, side);
            if self.height(child) <= self.height(self.child(node, other)) + 1 {
                continue;
            }
            if self.height(self.child(child, other)) > self.height(self.child(child, side)) {
                let top = self.rotate(child, other, side);
                self.set_child(node, side, top);
            }
            return self.rotate(node, side, other);
        }
        self.update_height(node);
        node
    }

    /// Has the child of `node` on `side` become its parent; returns that.
    fn rotate(&mut self, node: u32, side: usize, other: usize) -> u32 {
        let top = self.child(node, side);
        self.set_child(node, side, self.child(top, other));
        self.set_child(top, other, node);
        self.update_height(node);
        self.update_height(top);
        top
    }
}
