// SPDX-License-Identifier: GPL-2.0

//! Finds the range that has a page of a file.
//!
//! A hash table with chains. The key is the file and the 2 MiB block of the file, so that one
//! lookup finds ranges of every size.

use super::{
    table::Table,
    units::{
        FileBlock,
        FilePage,
        RangeId, //
    },
    File, //
};
use kernel::prelude::*;

/// How many chains there are for each block of the window, which may be split into 512 ranges.
const CHAINS_PER_BLOCK: usize = 64;

pub(crate) struct Index {
    /// Their number is a power of two.
    chains: KVVec<RangeId>,
    /// What [`Index::place`] depends on besides the key.
    secret: [u64; 4],
}

impl Index {
    /// An empty index for a window of `blocks` blocks; sleeps.
    pub(crate) fn new(blocks: u32) -> Result<Self> {
        let count = (blocks as usize)
            .saturating_mul(CHAINS_PER_BLOCK)
            .checked_next_power_of_two()
            .ok_or(ENOMEM)?;
        let mut chains = KVVec::with_capacity(count, GFP_KERNEL)?;
        for _ in 0..count {
            chains.push(RangeId::NONE, GFP_KERNEL)?;
        }
        Ok(Self {
            chains,
            secret: [1; 4],
        })
    }

    /// Sets the secret of the places, which should be random. The index must be empty.
    pub(crate) fn set_secret(&mut self, secret: [u64; 4]) {
        self.secret = secret;
    }

    /// The chain of a key.
    ///
    /// Tasks choose which blocks of a file they use, and chains are walked under the window's lock.
    /// So the place depends on a secret. The shifts are between multiplications because a linear
    /// function has sets of blocks, such as rows with an unlucky distance, that all collide.
    #[inline]
    pub(crate) fn place(&self, file: u64, block: FileBlock) -> usize {
        /// The golden ratio, so that a secret of few bits has an effect on all.
        const RATIO: u64 = 0x9e37_79b9_7f4a_7c15;

        let mix = |value: u64, secret: u64| {
            let product = value.wrapping_mul((secret ^ RATIO) | 1);
            product ^ (product >> 32)
        };
        let [key, of_file, of_block, of_both] = self.secret;
        let mixed =
            mix(mix(file ^ key, of_file) ^ block.0, of_block).wrapping_mul((of_both ^ RATIO) | 1);
        // CAST: Only some of the bits count.
        (mixed >> 32) as usize & self.chains.len().wrapping_sub(1)
    }

    /// Calls `f` for every range of `file` in its 2 MiB `block`, until it gives a result.
    #[inline]
    pub(crate) fn find<F: File, R>(
        &self,
        table: &Table<F>,
        file: &F,
        block: FileBlock,
        mut f: impl FnMut(RangeId) -> Option<R>,
    ) -> Option<R> {
        let mut at = *self.chains.get(self.place(file.id(), block))?;
        while let Some(id) = at.some() {
            let record = table.get(id);
            if record.page.block() == block && record.file.as_ref().is_some_and(|it| it.is(file)) {
                if let Some(found) = f(id) {
                    return Some(found);
                }
            }
            at = record.chain;
        }
        None
    }

    /// The range of `file` that has `page`.
    #[inline]
    pub(crate) fn lookup<F: File>(
        &self,
        table: &Table<F>,
        file: &F,
        page: FilePage,
    ) -> Option<RangeId> {
        self.find(table, file, page.block(), |id| {
            let record = table.get(id);
            (page.align_down(record.order) == record.page).then_some(id)
        })
    }

    /// Inserts `id` by the file and the page in its record.
    pub(crate) fn insert<F: File>(&mut self, table: &mut Table<F>, id: RangeId) {
        let record = table.get(id);
        let Some(file) = &record.file else { return };
        let place = self.place(file.id(), record.page.block());
        if let Some(chain) = self.chains.get_mut(place) {
            table.get_mut(id).chain = core::mem::replace(chain, id);
        }
    }

    /// Removes `id`, which still has its file and page in its record.
    pub(crate) fn remove<F: File>(&mut self, table: &mut Table<F>, id: RangeId) {
        let record = table.get(id);
        let next = record.chain;
        let Some(file) = &record.file else { return };
        let place = self.place(file.id(), record.page.block());
        let Some(chain) = self.chains.get_mut(place) else {
            return;
        };
        if *chain == id {
            *chain = next;
        } else {
            let mut at = *chain;
            while let Some(here) = at.some() {
                let record = table.get_mut(here);
                if record.chain == id {
                    record.chain = next;
                    break;
                }
                at = record.chain;
            }
        }
        table.get_mut(id).chain = RangeId::NONE;
    }
}
