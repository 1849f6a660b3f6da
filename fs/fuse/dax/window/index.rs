// SPDX-License-Identifier: GPL-2.0

//! Finds the range that has a page of a file.
//!
//! A hash table with chains. The key is the file and the 2 MiB block of the file, so that one
//! lookup finds ranges of every size.

use super::{
    table::Table,
    units::{
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
        Ok(Self { chains })
    }

    #[inline]
    fn place(&self, file: u64, block: u64) -> usize {
        // Files are numbered from 1 on. The blocks of one file must not collide with those of the
        // next.
        let mixed = file
            .wrapping_mul(0xff51_afd7_ed55_8ccd)
            .wrapping_add(block)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // CAST: Only some of the bits count.
        (mixed >> 32) as usize & self.chains.len().wrapping_sub(1)
    }

    /// Calls `f` for every range of `file` in its 2 MiB `block`, until it gives a result.
    #[inline]
    pub(crate) fn find<F: File, R>(
        &self,
        table: &Table<F>,
        file: &F,
        block: u64,
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
