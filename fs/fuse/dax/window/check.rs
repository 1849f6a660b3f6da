// SPDX-License-Identifier: GPL-2.0

//! Checks of the window's invariants; for tests.

use super::{
    lru::Lru,
    table::State,
    units::{
        WindowBlock,
        TOP_ORDER, //
    },
    File,
    Window, //
};

impl<F: File> Window<F> {
    /// Whether `page` of `file` is in a range.
    #[cfg(test)]
    pub(crate) fn has(&self, file: &F, page: super::units::FilePage) -> bool {
        self.index.lookup(&self.table, file, page).is_some()
    }

    /// Blocks of the window.
    #[allow(dead_code)]
    pub(crate) fn blocks(&self) -> u32 {
        self.table.blocks()
    }

    /// Has `file` mapped in pieces or not.
    #[cfg(test)]
    pub(crate) fn set_fine(&mut self, file: &F, fine: bool) {
        self.with_run(file, |run| run.grain.set_fine(fine));
    }

    /// Whether the invariants hold.
    #[allow(dead_code)]
    pub(crate) fn check(&self) -> bool {
        let (mut mapped, mut held, mut asked) = (0, 0, 0);
        for block in 0..self.table.blocks() {
            let block = WindowBlock(block);
            let mut at = block.first_range();
            while at.block() == block {
                let record = self.table.get(at);
                let aligned = at.align_down(record.order) == at && record.order <= TOP_ORDER;
                let found = record.file.as_ref().is_none_or(|file| {
                    self.index.lookup(&self.table, file, record.page) == Some(at)
                });
                let owned = match record.state() {
                    State::Mapped | State::Reclaiming => record.file.is_some(),
                    State::Setup => true,
                    State::Inside => return false,
                    _ => record.file.is_none() && record.users == 0,
                };
                if !aligned || !found || !owned {
                    return false;
                }
                mapped += u32::from(record.state() == State::Mapped);
                held += u32::from(!matches!(record.state(), State::Clean | State::Retired));
                asked += u32::from(record.state() == State::Setup && record.error == 0);
                at = at.after(record.order);
            }
        }
        let mut listed = 0;
        let mut at = self.policy.lru().oldest();
        while let Some(id) = at {
            if self.table.get(id).state() != State::Mapped || listed > mapped {
                return false;
            }
            listed += 1;
            at = Lru::newer(&self.table, id);
        }
        let drained_for_some = self.drain.is_none() || self.drainers > 0;
        mapped == self.mapped()
            && listed == mapped
            && drained_for_some
            && self.limit.counted() == (held, asked)
    }
}
