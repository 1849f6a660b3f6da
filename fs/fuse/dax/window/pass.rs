// SPDX-License-Identifier: GPL-2.0

//! Which reads bypass the window.
//!
//! While the window is full, mapping a range evicts another one. Both change the memory map that a
//! VMM has for its guest, which takes it much longer than to read a page. For a page that is read
//! once this is wasted, and the evicted range costs the same again. So a small read of an unmapped
//! page is a request for the data itself (FUSE_READ), until the same place has been read often
//! enough to be worth a mapping. The server reads the page cache that it would map, so the data is
//! the same.
//!
//! The exceptions are a window with free ranges or a larger range to evict, sequential reads, and
//! files for which `grain.rs` has no evidence yet, because that comes from evicted blocks.

use super::{
    units::{
        FilePage,
        FilePages, //
    },
    File,
    Window, //
};

impl<F: File> Window<F> {
    /// Where a read from `page` on that bypasses the window should end; [`None`] if it should not
    /// bypass it.
    ///
    /// The size of `file` is `file_pages`.
    pub(crate) fn pass(
        &mut self,
        file: &F,
        page: FilePage,
        file_pages: FilePages,
    ) -> Option<FilePage> {
        if !file.is_of(self)
            || self.closed.is_some()
            || self.index.lookup(&self.table, file, page).is_some()
        {
            return None;
        }
        let largest = self.free.largest_order(self.policy.smallest())?;
        let order = self.order_for(file, page, file_pages, largest);
        let room = !self.limit.full() && self.free.has(order);
        let run = self.run_of(file);
        if room || self.policy.should_map(&self.table, run, order) {
            return None;
        }

        let start = page.align_down(order);
        let end = FilePage(start.0.saturating_add(1 << order));
        let before = page.0.checked_sub(1).map(FilePage);
        let in_a_row = run.in_a_row()
            || run.is_after_pass(page)
            || before.is_some_and(|page| {
                page < start && self.index.lookup(&self.table, file, page).is_some()
            });
        self.with_run(file, |run| run.passed(page));
        if in_a_row || !self.policy.pass(file, start) {
            return None;
        }
        self.weigh_miss(file, page);
        self.counters.passes += 1;
        Some(end)
    }
}
