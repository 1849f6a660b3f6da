// SPDX-License-Identifier: GPL-2.0

//! Readahead of mappings for a task that reads a file sequentially.
//!
//! Two misses in adjacent blocks start it: the following blocks are requested while the task still
//! uses this one. The first of them gets a mark, like the page of the readahead mark, and its use
//! requests twice as many as before. A file that is read once from start to end takes as many
//! requests as without readahead; one that is left half-way costs at most the depth.

use super::{
    grain::Grain,
    policy::{
        MAX_DEPTH,
        STREAK, //
    },
    units::{
        FileBlock,
        FilePage,
        FilePages,
        TOP_ORDER, //
    },
    File,
    Setup,
    Step,
    Window, //
};

/// How a file is being read, block by block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Run {
    /// The block after the last one that was requested.
    next: FileBlock,
    /// How many misses were sequential.
    streak: u8,
    /// How many blocks were last mapped ahead.
    depth: u8,
    /// The page after the last one that was read past the window, or considered for it.
    after_pass: u64,
    /// The size of its ranges.
    pub(super) grain: Grain,
}

impl Run {
    /// `page` was read past the window, or is the first page of a range that was considered for it.
    pub(super) fn passed(&mut self, page: FilePage) {
        self.after_pass = page.0.saturating_add(1);
    }

    /// Whether `page` is the page after that.
    pub(super) fn is_after_pass(&self, page: FilePage) -> bool {
        page.0 == self.after_pass && page.0 != 0
    }

    /// `block` was not mapped.
    pub(super) fn missed(&mut self, block: FileBlock) {
        if block == self.next {
            self.streak = self.streak.saturating_add(1);
        } else {
            self.streak = 1;
            self.depth = 0;
        }
        self.next = block.next();
    }

    /// Whether the file is being read sequentially.
    pub(super) fn in_a_row(&self) -> bool {
        self.streak >= STREAK
    }

    /// How many blocks to map ahead now, at most `most`.
    pub(super) fn deepen(&mut self, most: u32) -> u32 {
        if !self.in_a_row() || self.grain.is_fine() {
            return 0;
        }
        let depth = u32::from(self.depth).saturating_mul(2).clamp(1, MAX_DEPTH);
        let depth = depth.min(most);
        // CAST: At most `MAX_DEPTH`.
        self.depth = depth as u8;
        depth
    }
}

impl<F: File> Window<F> {
    /// `page` of `file` was not mapped, or had a mark. Returns how many blocks to map ahead.
    pub(crate) fn depth_ahead(&mut self, file: &F, page: FilePage, missed: bool) -> u32 {
        if !file.is_of(self) {
            return 0;
        }
        self.with_run(file, |run| self.policy.depth_ahead(run, page, missed))
    }

    /// The step to map the next block ahead: [`Step::Start`], which the task need not wait for;
    /// [`Step::Reclaim`], after which this is called again; or anything else, which ends the
    /// readahead.
    ///
    /// `first` is for the block that gets the mark.
    pub(crate) fn request_ahead(
        &mut self,
        file: &F,
        file_pages: FilePages,
        write: bool,
        first: bool,
    ) -> Step {
        if !file.is_of(self) {
            return Step::Wait(self.changes);
        }
        let mut run = self.run_of(file);
        let page = run.next.first_page();
        if !file_pages.has_block(run.next) || self.closed.is_some() {
            return Step::Wait(self.changes);
        }
        let found = self.index.find(&self.table, file, page.block(), Some);
        if found.is_some() && self.piece_in_the_way(file, page).is_none() {
            // Another task was faster; leave the rest to it.
            return Step::Wait(self.changes);
        }
        match self.allocate(file, page, file_pages) {
            Ok((id, page)) => {
                run.next = run.next.next();
                self.with_run(file, |stored| *stored = run);
                let setup: Setup = self.begin_setup(file, id, page, write, 0);
                let record = self.table.get_mut(id);
                record.mark = first && record.order == TOP_ORDER;
                self.counters.ahead += 1;
                Step::Start(setup)
            }
            Err(step) => step,
        }
    }
}
