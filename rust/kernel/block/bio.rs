// SPDX-License-Identifier: GPL-2.0

//! Block I/O for drivers without request queues.
//!
//! C header: [`include/linux/bio.h`](srctree/include/linux/bio.h)

use crate::{
    bindings,
    block::sector::Sector,
    dax::units::ByteRange,
    page::PAGE_SIZE,
    prelude::*, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};

#[cfg(CONFIG_RUST_DAX_KUNIT_TEST)]
#[path = "bio/tests.rs"]
pub(crate) mod tests;

/// A bio that the driver has to end.
///
/// [`Bio::end`] answers it with a result. A bio that is dropped without an answer is answered
/// with an I/O error, so that the submitter never waits for ever.
///
/// # Examples
///
/// ```
/// use kernel::block::bio::Bio;
///
/// /// Takes what goes to the disk, and says how many bytes that was.
/// fn swallow(bio: Bio) -> u64 {
///     let mut written = 0;
///     if bio.is_write() {
///         for segment in bio.segments() {
///             written += u64::from(segment.len());
///         }
///     }
///     bio.end(Ok(()));
///     written
/// }
/// ```
///
/// # Invariants
///
/// `bio` is a valid bio that was submitted to this driver and not ended.
pub struct Bio {
    bio: NonNull<bindings::bio>,
}

// SAFETY: A bio may be ended on any thread.
unsafe impl Send for Bio {}

impl Bio {
    /// Takes over a bio from the block layer.
    ///
    /// # Safety
    ///
    /// `bio` must be a valid bio that was submitted to the caller. The caller gives up the right
    /// and the duty to end it.
    #[inline]
    pub unsafe fn from_raw(bio: NonNull<bindings::bio>) -> Self {
        // INVARIANT: The caller's promise.
        Self { bio }
    }

    /// Gives up the bio without ending it. The code that takes the pointer has to end it.
    #[inline]
    pub fn into_raw(self) -> *mut bindings::bio {
        let bio = self.bio.as_ptr();
        core::mem::forget(self);
        bio
    }

    /// The bio itself.
    #[inline]
    pub fn as_raw(&self) -> *mut bindings::bio {
        self.bio.as_ptr()
    }

    #[inline]
    fn opf(&self) -> u32 {
        // SAFETY: By the type invariant the bio is valid.
        unsafe { (*self.bio.as_ptr()).bi_opf }
    }

    /// Whether data goes to the device. REQ_OP codes of writes are odd.
    #[inline]
    pub fn is_write(&self) -> bool {
        self.opf() & 1 != 0
    }

    /// Whether the bio carries data, which discards and the like do not.
    #[inline]
    pub fn has_data(&self) -> bool {
        // The low byte is the operation, the rest are flags.
        let op = self.opf() & 0xff;
        // SAFETY: By the type invariant the bio is valid.
        let size = unsafe { (*self.bio.as_ptr()).bi_iter.bi_size };
        size != 0
            && op != bindings::req_op_REQ_OP_DISCARD
            && op != bindings::req_op_REQ_OP_SECURE_ERASE
            && op != bindings::req_op_REQ_OP_WRITE_ZEROES
    }

    /// Whether all that was completed before must be made durable first (`REQ_PREFLUSH`).
    #[inline]
    pub fn wants_preflush(&self) -> bool {
        self.opf() & (1 << bindings::req_flag_bits___REQ_PREFLUSH) != 0
    }

    /// Whether the data must be durable before the bio ends (`REQ_FUA`).
    #[inline]
    pub fn wants_fua(&self) -> bool {
        self.opf() & (1 << bindings::req_flag_bits___REQ_FUA) != 0
    }

    /// Whether the submitter would rather get `BLK_STS_AGAIN` than wait (`REQ_NOWAIT`).
    #[inline]
    pub fn is_nowait(&self) -> bool {
        self.opf() & (1 << bindings::req_flag_bits___REQ_NOWAIT) != 0
    }

    /// The bytes of the disk that the bio is about, or [`None`] if there are none or 64 bits cannot
    /// name them.
    #[inline]
    pub fn bytes(&self) -> Option<ByteRange> {
        // SAFETY: By the type invariant the bio is valid.
        let iter = unsafe { (*self.bio.as_ptr()).bi_iter };
        ByteRange::new(Sector(iter.bi_sector).to_bytes()?, u64::from(iter.bi_size))
    }

    /// The pieces of memory that the data comes from or goes to, in order; none for a bio that
    /// carries no data.
    ///
    /// Each is as long as memory is contiguous, not cut at page borders.
    #[inline]
    pub fn segments(&self) -> Segments<'_> {
        let bio = self.bio.as_ptr();
        // SAFETY: By the type invariant the bio is valid.
        let mut iter = unsafe { (*bio).bi_iter };
        // SAFETY: By the type invariant the bio is valid.
        let vec = unsafe { (*bio).bi_io_vec };
        if !self.has_data() {
            // A discard has a size and no vector.
            iter.bi_size = 0;
        }
        // INVARIANT: By the block layer's rules `iter` describes what is left of `vec`, if there is
        // data.
        Segments {
            vec,
            iter,
            is_write: self.is_write(),
            _bio: PhantomData,
        }
    }

    /// Accounts the bio's time to its device until the result is dropped, if the queue is set up
    /// to be accounted.
    #[inline]
    pub fn account(&self) -> Accounting<'_> {
        // SAFETY: By the type invariant the bio is valid. One that was submitted has a device, a
        // disk and a queue.
        let features = unsafe {
            (*(*(*(*self.bio.as_ptr()).bi_bdev).bd_disk).queue)
                .limits
                .features
        };
        let start = (features & bindings::BLK_FEAT_IO_STAT != 0).then(|| {
            // SAFETY: By the type invariant the bio is valid.
            unsafe { bindings::bio_start_io_acct(self.bio.as_ptr()) }
        });
        Accounting { bio: self, start }
    }

    /// Answers the bio.
    #[inline]
    pub fn end(self, result: Result) {
        if let Err(error) = result {
            let status = error.to_blk_status();
            // SAFETY: By the type invariant the bio was not ended: the status is the driver's.
            unsafe { (*self.bio.as_ptr()).bi_status = status };
        }
        // SAFETY: By the type invariant it was not ended; `into_raw` gives up the bio, so it is
        // ended once.
        unsafe { bindings::bio_endio(self.into_raw()) };
    }
}

impl Drop for Bio {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the bio was not ended: the status is the driver's.
        unsafe { (*self.bio.as_ptr()).bi_status = EIO.to_blk_status() };
        // SAFETY: By the type invariant it was not ended: `end` and `into_raw` forget `self`.
        unsafe { bindings::bio_endio(self.bio.as_ptr()) };
    }
}

/// Runs the disk's clock for one bio; see [`Bio::account`].
///
/// # Examples
///
/// ```
/// use kernel::block::bio::Bio;
///
/// /// Times `work` as the time of the bio, which is not ended before the clock stops.
/// fn timed(bio: Bio, work: impl FnOnce(&Bio) -> Result) {
///     let clock = bio.account();
///     let result = work(&bio);
///     drop(clock);
///     bio.end(result);
/// }
/// ```
#[must_use = "the clock stops when this is dropped"]
pub struct Accounting<'a> {
    bio: &'a Bio,
    start: Option<usize>,
}

impl Drop for Accounting<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(start) = self.start {
            let bio = self.bio.as_raw();
            // SAFETY: The bio was not ended: it is still borrowed.
            unsafe { bindings::bio_end_io_acct_remapped(bio, start, (*bio).bi_bdev) };
        }
    }
}

/// Memory of a bio that is contiguous in the kernel's address space.
///
/// User space may change it at any time, which is why it is never a slice.
///
/// # Examples
///
/// ```
/// use kernel::block::bio::Segment;
///
/// /// The sector after the last one that the memory belongs to.
/// fn end_sector(segment: &Segment<'_>) -> Option<u64> {
///     let bytes = segment.bytes()?;
///     Some(bytes.sectors_touched().end().0)
/// }
/// ```
///
/// # Invariants
///
/// The memory is `len` bytes from byte `offset` on of the contiguous pages that begin with `page`,
/// all of which are those of a bio that lives for `'a`; `addr` is where it is mapped. `is_write`
/// says whether that bio is a write.
pub struct Segment<'a> {
    page: *mut bindings::page,
    offset: u32,
    addr: NonNull<u8>,
    len: u32,
    sector: Sector,
    is_write: bool,
    _bio: PhantomData<&'a Bio>,
}

impl Segment<'_> {
    /// Where the memory begins. It is valid for reads of [`Segment::len`] bytes, and for writes
    /// unless [`Segment::is_write`]; others may access it at the same time.
    #[inline]
    pub fn as_ptr(&self) -> *mut u8 {
        self.addr.as_ptr()
    }

    /// How many bytes.
    #[inline]
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether the memory is the source of a write. That may be memory that nothing may write to:
    /// the page of zeroes, for example.
    #[inline]
    pub fn is_write(&self) -> bool {
        self.is_write
    }

    /// The sector of the disk that the first byte belongs to.
    #[inline]
    pub fn sector(&self) -> Sector {
        self.sector
    }

    /// The bytes of the disk, or [`None`] if 64 bits cannot name them.
    #[inline]
    pub fn bytes(&self) -> Option<ByteRange> {
        ByteRange::new(self.sector.to_bytes()?, u64::from(self.len))
    }

    /// The pages that the memory is part of, in order.
    fn pages(&self) -> impl Iterator<Item = *mut bindings::page> {
        // SAFETY: By the type invariant the page is valid.
        let first = unsafe { bindings::page_to_pfn(self.page) };
        let (start, len) = (self.offset as usize, self.len as usize);
        let pages = start / PAGE_SIZE..(start + len).div_ceil(PAGE_SIZE);
        pages.map(move |page| {
            // SAFETY: One of the contiguous pages, by the type invariant.
            unsafe { bindings::pfn_to_page(first + page) }
        })
    }

    /// Makes what the CPU wrote or will read through the kernel's mapping agree with user space's
    /// mappings, on machines whose caches need that.
    #[inline]
    pub fn flush_dcache(&self) {
        if bindings::ARCH_IMPLEMENTS_FLUSH_DCACHE_PAGE == 0 {
            return;
        }
        for page in self.pages() {
            // SAFETY: The page is one of a bio that was not ended.
            unsafe { bindings::flush_dcache_page(page) };
        }
    }
}

/// Iterator over a bio's [`Segment`]s.
///
/// # Invariants
///
/// `vec` is the vector of a bio that lives for `'a`, and `iter` a valid position in it. `is_write`
/// says whether the bio is a write.
pub struct Segments<'a> {
    vec: *const bindings::bio_vec,
    iter: bindings::bvec_iter,
    is_write: bool,
    _bio: PhantomData<&'a Bio>,
}

impl<'a> Iterator for Segments<'a> {
    type Item = Segment<'a>;

    #[inline]
    fn next(&mut self) -> Option<Segment<'a>> {
        if self.iter.bi_size == 0 {
            return None;
        }
        // SAFETY: While bytes are left, `bi_idx` names a valid entry by the type invariant.
        let bvec = unsafe { &*self.vec.add(self.iter.bi_idx as usize) };
        let done = self.iter.bi_offset;
        let left = bvec.bv_len.wrapping_sub(done);
        let len = left.min(self.iter.bi_size);
        let sector = Sector(self.iter.bi_sector);

        // SAFETY: `bv_page` is a valid page in lowmem: Rust supports no architecture with highmem
        // that has persistent memory.
        let base = unsafe { bindings::page_address(bvec.bv_page) }.cast::<u8>();
        // The pages of an entry are contiguous, and so are their addresses.
        let offset = bvec.bv_offset.wrapping_add(done);
        let addr = NonNull::new(base.wrapping_add(offset as usize))?;

        // INVARIANT: This is how `bvec_iter_advance()` moves to the next entry.
        // Nothing here can wrap, by the type invariant.
        self.iter.bi_size = self.iter.bi_size.wrapping_sub(len);
        let sectors = u64::from(len >> bindings::SECTOR_SHIFT);
        self.iter.bi_sector = self.iter.bi_sector.wrapping_add(sectors);
        if len == left {
            self.iter.bi_idx = self.iter.bi_idx.wrapping_add(1);
            self.iter.bi_offset = 0;
        } else {
            self.iter.bi_offset = done.wrapping_add(len);
        }

        // INVARIANT: `bvec` says so.
        Some(Segment {
            page: bvec.bv_page,
            offset,
            addr,
            len,
            sector,
            is_write: self.is_write,
            _bio: PhantomData,
        })
    }
}
