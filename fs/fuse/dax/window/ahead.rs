// SPDX-License-Identifier: GPL-2.0

//! Mapping ahead of a task that goes through a file from front to back.
//!
//! A second miss right after the block of the first says that a task does so: blocks after it are
//! asked for while the task is still busy with this one. The first of them gets a mark, and the use
//! of it is the sign to ask for more, twice as many as before. Files are read once through with
//! exactly as many requests as without; one that is left half-way costs at most the depth.

use super::{
    grain::Grain,
    units::{
        FilePage,
        BLOCK_PAGES,
        TOP_ORDER, //
    },
    File,
    Setup,
    Step,
    Window, //
};

/// The most blocks that are mapped ahead.
const MAX_DEPTH: u32 = 8;

/// Misses in a row after which blocks are mapped ahead.
const STREAK: u8 = 2;

/// How a file is being read, block by block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Run {
    /// The block after the last one that was asked for.
    next: u64,
    /// How many misses came in a row.
    streak: u8,
    /// How many blocks were last mapped ahead.
    depth: u8,
    /// The page after the last one that was read past the window, or was about to be.
    after_pass: u64,
    /// How large its ranges should be.
    pub(super) grain: Grain,
}

impl Run {
    /// `page` is read past the window, or the first of a range for which that was thought of.
    pub(super) fn passed(&mut self, page: FilePage) {
        self.after_pass = page.0.saturating_add(1);
    }

    /// Whether `page` comes after that one.
    pub(super) fn is_after_pass(&self, page: FilePage) -> bool {
        page.0 == self.after_pass && page.0 != 0
    }

    /// `block` was not there.
    fn missed(&mut self, block: u64) {
        if block == self.next {
            self.streak = self.streak.saturating_add(1);
        } else {
            self.streak = 1;
            self.depth = 0;
        }
        self.next = block.saturating_add(1);
    }

    /// Has the file be mapped in pieces, or not; for tests.
    #[cfg(test)]
    pub(crate) fn set_fine(&mut self, fine: bool) {
        self.grain.set_fine(fine);
    }

    /// Whether a task goes through it.
    pub(super) fn in_a_row(&self) -> bool {
        self.streak >= STREAK
    }

    /// How many blocks to map ahead now.
    fn deepen(&mut self, most: u32) -> u32 {
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
    /// `page` of `file` was not mapped, or had a mark: how many blocks should be mapped ahead.
    pub(crate) fn depth_ahead(&mut self, file: &F, page: FilePage, missed: bool) -> u32 {
        let mut run = self.run_of(file);
        if missed {
            run.missed(page.block());
        }
        // What is mapped ahead must not push out what is about to be used.
        let depth = run.deepen(self.blocks() / 4);
        self.set_run_of(file, run);
        depth
    }

    /// What to do to map the next block ahead: [`Step::Start`], which nobody has to wait for,
    /// [`Step::Reclaim`], after which this is asked again, or anything else, which ends it.
    ///
    /// `first` is for the block that is to get the mark.
    pub(crate) fn request_ahead(
        &mut self,
        file: &F,
        file_pages: u64,
        write: bool,
        first: bool,
    ) -> Step {
        let mut run = self.run_of(file);
        let page = FilePage(run.next.saturating_mul(u64::from(BLOCK_PAGES)));
        let whole = page.0.saturating_add(u64::from(BLOCK_PAGES)) <= file_pages;
        if !whole || self.closed.is_some() {
            return Step::Wait(self.changes);
        }
        let found = self.index.find(&self.table, file, page.block(), Some);
        if found.is_some() && self.piece_in_the_way(file, page).is_none() {
            // Somebody was faster; leave the rest to him.
            return Step::Wait(self.changes);
        }
        match self.allocate(file, page, file_pages) {
            Ok((id, page)) => {
                run.next = run.next.saturating_add(1);
                self.set_run_of(file, run);
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
