// SPDX-License-Identifier: GPL-2.0

//! Direct access: translation, zeroing and recovery.

use super::{
    device::Pmem,
    io, //
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    block::sector::SECTOR_SIZE,
    dax::{
        self,
        units::{
            ByteRange,
            Pgoff, //
        },
        Access,
        Mode, //
    },
    iov::IovIterSource,
    mm::pfn::Pfn,
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*, //
};

/// How many pages of an access are checked for being unmapped: as many as a huge page has, because
/// page faults ask for no more.
const MOST_SUSPECTS: u64 = 512;

/// The `bytes` bytes from byte `offset` of page `pgoff` on; [`None`] when there are none.
fn bytes_at(pgoff: Pgoff, offset: usize, bytes: usize) -> Option<ByteRange> {
    let start = pgoff.to_bytes()?.checked_add(offset as u64)?;
    ByteRange::new(start, bytes as u64)
}

// SAFETY: What is given out is memory of the namespace, or what tools/testing/nvdimm has in its
// place. The one registration that a `Pmem` serves is dropped before the memory goes.
unsafe impl dax::Operations for Pmem {
    /// Part of a page cannot be recovered, because the rest of it is lost.
    const RECOVERY_UNIT: usize = PAGE_SIZE;

    #[inline]
    fn direct_access(&self, pgoff: Pgoff, pages: usize, mode: Mode) -> Result<Access> {
        let all = self.geometry.pages();
        if pgoff.0 >= all {
            return Err(ERANGE);
        }
        // Cannot wrap, because the page is on the device.
        let left = all - pgoff.0;
        let start = (pgoff.0 as u64) << PAGE_SHIFT;
        let (offset, phys) = self.geometry.locate(start);
        let kaddr = self.window.addr(offset).ok_or(ERANGE)?;
        let mut pfn = Pfn::from_phys(phys);

        let mut available = left;
        if self.poison.is_suspicious() {
            available = self.good_pages(start, pages.clamp(1, left), mode)?;
        }
        if self.vmalloc {
            if let Some(made_up) = self.ask_test(start, kaddr) {
                (available, pfn) = (1, made_up);
            }
        }
        // SAFETY: The window and the frames have all pages of the geometry, of which so many are
        // left, or it is one page that tools/testing/nvdimm has at that address. The device that is
        // bound keeps them until after the registration was dropped.
        Ok(unsafe { Access::new(available, kaddr, pfn) })
    }

    fn zero_page_range(&self, pgoff: Pgoff, pages: usize) -> Result {
        let start = pgoff.to_bytes().ok_or(ERANGE)?;
        let len = Pgoff(pages).to_bytes().ok_or(ERANGE)?;
        let Some(range) = ByteRange::new(start, len) else {
            return if len == 0 { Ok(()) } else { Err(ERANGE) };
        };
        // Page by page: firmware has been seen to clear long ranges unreliably.
        let (first, after) = range.pages_touched();
        for page in first..after {
            let page = ByteRange::new(page << PAGE_SHIFT, PAGE_SIZE as u64).ok_or(ERANGE)?;
            io::write_zeroes(self, page)?;
        }
        Ok(())
    }

    /// Overwrites poison.
    ///
    /// The data is copied to a buffer first, page by page, so that the media is touched only when
    /// its data is there: a source that cannot be read leaves the poison in place, and not good
    /// memory with contents that were never written. C copies straight to the media, and clears the
    /// record however much arrived.
    fn recovery_write(
        &self,
        pgoff: Pgoff,
        offset: usize,
        bytes: usize,
        iter: &mut IovIterSource<'_>,
    ) -> usize {
        let Some(range) = bytes_at(pgoff, offset, bytes) else {
            return 0;
        };

        // The core never asks for this.
        if !range.is_page_aligned() {
            return 0;
        }
        let Ok(mut page) = KVVec::<u8>::from_elem(0, PAGE_SIZE, GFP_KERNEL) else {
            return 0;
        };
        let mut done = 0;
        while done < bytes {
            let Some(target) = ByteRange::new(range.start() + done as u64, PAGE_SIZE as u64) else {
                break;
            };
            let copied = iter.copy_from_iter(&mut page);
            let repaired = copied == PAGE_SIZE && self.overwrite(target, &page).is_ok();
            if !repaired {
                // SAFETY: The iterator was advanced by just that much.
                unsafe { iter.revert(copied) };
                break;
            }
            done += PAGE_SIZE;
        }
        done
    }

    fn good_bytes(&self, pgoff: Pgoff, offset: usize, bytes: usize) -> usize {
        let Some(range) = bytes_at(pgoff, offset, bytes) else {
            return 0;
        };
        let Some(bad) = self.poison.first_within(range.sectors_touched()) else {
            return bytes;
        };
        let first = bad.start().to_bytes().unwrap_or(0);
        usize::try_from(first.saturating_sub(range.start())).map_or(bytes, |good| good.min(bytes))
    }
}

impl Pmem {
    /// Overwrites `target`, a page of the data that may be poison.
    fn overwrite(&self, target: ByteRange, data: &[u8]) -> Result {
        self.repair(target, &mut |part| {
            // CAST: `part` is no longer than a page.
            let data = data.get(..part.len() as usize).ok_or(EINVAL)?;
            self.window
                .write_bytes(self.geometry.in_window(part.start()), data)
        })
    }

    /// How many pages from byte `start` of the data may be accessed, at most `pages`.
    #[cold]
    fn good_pages(&self, start: u64, pages: usize, mode: Mode) -> Result<usize> {
        let asked = ByteRange::new(start, (pages as u64) << PAGE_SHIFT).ok_or(ERANGE)?;
        let good = match self.poison.first_within(asked.sectors_touched()) {
            None => asked.len(),
            // The bytes before the poison can be read, so the access is shortened rather than
            // failed.
            Some(bad) => bad
                .start()
                .0
                .saturating_mul(SECTOR_SIZE)
                .saturating_sub(start),
        };
        let good = good >> PAGE_SHIFT;
        if let Some(range) = ByteRange::new(start, good << PAGE_SHIFT) {
            // CAST: No more than was asked for.
            return Ok((self.present_part(range)? >> PAGE_SHIFT) as usize);
        }
        match mode {
            // A stride of one page: firmware has been seen to clear more than that unreliably.
            Mode::RECOVERY_WRITE | Mode::RECOVERY_READ => Ok(1),
            _ => Err(EHWPOISON),
        }
    }

    /// Makes the kernel map the pages of `range` of the data that it unmapped and that were
    /// repaired since. Returns the length of the start of `range`, in bytes of whole pages, that
    /// can be given out.
    ///
    /// Checks only pages that the kernel was ever notified of. A page may still be unmapped after
    /// this check and before its use: most copies survive that, but one from kernel memory does
    /// not.
    fn present_part(&self, range: ByteRange) -> Result<u64> {
        let mut looked_at = 0;
        let mut rest = Some(range);
        while let Some(asked) = rest {
            let suspects = self
                .poison
                .first_suspect_within(asked.sectors_touched())
                .and_then(|suspects| suspects.to_bytes()?.intersection(&asked));
            let Some(suspects) = suspects else { break };
            let left = (MOST_SUSPECTS - looked_at) << PAGE_SHIFT;
            let Some(look) = ByteRange::new(suspects.start(), suspects.len().min(left)) else {
                // Enough for one access. At least the first pages were checked.
                return Ok(suspects.start() - range.start());
            };
            self.make_present(look)?;
            looked_at += look.len() >> PAGE_SHIFT;
            rest = ByteRange::from_bounds(look.end(), range.end());
        }
        Ok(range.len())
    }

    /// Asks tools/testing/nvdimm for the page of its made-up memory.
    #[cold]
    fn ask_test(&self, start: u64, kaddr: NonNull<u8>) -> Option<Pfn> {
        let mut pfn = 0;
        // SAFETY: The weak function does nothing; the test's only looks up the address.
        let made_up = unsafe {
            bindings::pmem_rust_vmalloc_pfn(
                self.geometry.phys(start),
                kaddr.as_ptr().cast(),
                &mut pfn,
            )
        };
        made_up.then_some(Pfn(pfn))
    }
}
