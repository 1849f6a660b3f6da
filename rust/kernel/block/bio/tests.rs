// SPDX-License-Identifier: GPL-2.0

//! KUnit suite of the bio abstraction, and the bios that other suites need.

use super::*;
use crate::{
    page::{
        Page,
        PAGE_SIZE, //
    },
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    types::Opaque, //
};

/// How many segments a [`TestBio`] has at most.
const MAX_SEGMENTS: usize = 4;

/// What C keeps pointers to.
struct Fixture {
    bio: Opaque<bindings::bio>,
    table: Opaque<[bindings::bio_vec; MAX_SEGMENTS]>,
    /// How often the bio was ended.
    ends: Atomic<u32>,
    /// The error number that it was ended with.
    errno: Atomic<i32>,
}

/// A bio as a submitter makes it, whose segments are each part of a page of its own.
///
/// Every byte of the page of segment `n` is `n + 1`.
pub(crate) struct TestBio {
    fixture: Pin<KBox<Fixture>>,
    pages: KVec<Page>,
}

impl TestBio {
    /// A bio of operation and flags `opf` at `sector`, with segments of `parts`: offset in the
    /// page and length, in bytes.
    pub(crate) fn new(opf: u32, sector: u64, parts: &[(u32, u32)]) -> Result<Self> {
        let fixture = KBox::pin(
            Fixture {
                bio: Opaque::zeroed(),
                table: Opaque::zeroed(),
                ends: Atomic::new(0),
                errno: Atomic::new(0),
            },
            GFP_KERNEL,
        )?;
        let mut pages = KVec::with_capacity(parts.len(), GFP_KERNEL)?;
        let bio = fixture.bio.get();
        // SAFETY: Both are valid for writes, and stay where they are until the fixture is freed.
        unsafe {
            bindings::bio_init(
                bio,
                core::ptr::null_mut(),
                fixture.table.get().cast(),
                MAX_SEGMENTS as u16,
                opf,
            );
            (*bio).bi_iter.bi_sector = sector;
            (*bio).bi_end_io = Some(Self::end_io);
            (*bio).bi_private = core::ptr::from_ref(&*fixture).cast_mut().cast();
        }
        for (&(offset, len), byte) in parts.iter().take(MAX_SEGMENTS).zip(1u8..) {
            let page = Page::alloc_page(GFP_KERNEL)?;
            // SAFETY: The page is ours. The table has room: see `take`.
            unsafe {
                bindings::page_address(page.as_ptr())
                    .cast::<u8>()
                    .write_bytes(byte, PAGE_SIZE);
                bindings::__bio_add_page(bio, page.as_ptr(), len, offset);
            }
            pages.push(page, GFP_KERNEL)?;
        }
        Ok(Self { fixture, pages })
    }

    /// # Safety
    ///
    /// `bio` must be the bio of a fixture.
    unsafe extern "C" fn end_io(bio: *mut bindings::bio) {
        // SAFETY: The function's contract; a bio that is being ended is not in use elsewhere.
        unsafe {
            let fixture = &*(*bio).bi_private.cast::<Fixture>();
            let errno = bindings::blk_status_to_errno((*bio).bi_status);
            fixture.errno.store(errno, Relaxed);
            fixture.ends.add(1, Relaxed);
        }
    }

    /// The C bio.
    pub(crate) fn as_raw(&self) -> *mut bindings::bio {
        self.fixture.bio.get()
    }

    /// The bio as the driver gets it, to be ended once and while `self` exists.
    pub(crate) fn submit(&self) -> Bio {
        // SAFETY: The fields are ours to read and write between submissions.
        let bio = unsafe {
            (*self.as_raw()).bi_status = 0;
            NonNull::new_unchecked(self.as_raw())
        };
        // SAFETY: The bio is valid, and each test ends what it got before it submits again and
        // before the fixture goes.
        unsafe { Bio::from_raw(bio) }
    }

    /// How many times the bio was ended, and the error number of the last time.
    pub(crate) fn answer(&self) -> (u32, i32) {
        (
            self.fixture.ends.load(Relaxed),
            self.fixture.errno.load(Relaxed),
        )
    }

    /// Where the page of segment `n` is in memory.
    pub(crate) fn page_addr(&self, n: usize) -> Result<*mut u8> {
        let page = self.pages.get(n).ok_or(EINVAL)?;
        // SAFETY: The page is ours, and not in highmem.
        Ok(unsafe { bindings::page_address(page.as_ptr()) }.cast())
    }

    /// The byte at `offset` of the page of segment `n`.
    pub(crate) fn byte(&self, n: usize, offset: usize) -> Result<u8> {
        if offset >= PAGE_SIZE {
            return Err(EINVAL);
        }
        // SAFETY: Within the page, which is initialised.
        Ok(unsafe { self.page_addr(n)?.add(offset).read() })
    }
}

#[kunit_tests(rust_bio)]
mod suite {
    use super::*;

    const PREFLUSH: u32 = 1 << bindings::req_flag_bits___REQ_PREFLUSH;
    const FUA: u32 = 1 << bindings::req_flag_bits___REQ_FUA;
    const NOWAIT: u32 = 1 << bindings::req_flag_bits___REQ_NOWAIT;

    /// Where a segment is, how long it is and which sector it belongs to.
    fn describe(segment: &Segment<'_>) -> (*mut u8, u32, u64) {
        (segment.as_ptr(), segment.len(), segment.sector().0)
    }

    #[test]
    fn operations() -> Result {
        for (op, write, data) in [
            (bindings::req_op_REQ_OP_READ, false, true),
            (bindings::req_op_REQ_OP_WRITE, true, true),
            (bindings::req_op_REQ_OP_DISCARD, true, false),
            (bindings::req_op_REQ_OP_SECURE_ERASE, true, false),
            (bindings::req_op_REQ_OP_WRITE_ZEROES, true, false),
        ] {
            let test = TestBio::new(op, 0, &[(0, 512)])?;
            let bio = test.submit();
            assert_eq!(bio.is_write(), write);
            assert_eq!(bio.has_data(), data);
            assert_eq!(bio.segments().next().is_some(), data);
            assert!(bio.segments().all(|segment| segment.is_write() == write));
        }
        // A flush by itself.
        let test = TestBio::new(bindings::req_op_REQ_OP_WRITE | PREFLUSH, 0, &[])?;
        let bio = test.submit();
        assert!(!bio.has_data());
        assert!(bio.bytes().is_none());
        assert!(bio.segments().next().is_none());
        Ok(())
    }

    #[test]
    fn flags() -> Result {
        for (flag, preflush, fua, nowait) in [
            (0, false, false, false),
            (PREFLUSH, true, false, false),
            (FUA, false, true, false),
            (NOWAIT, false, false, true),
        ] {
            let test = TestBio::new(bindings::req_op_REQ_OP_WRITE | flag, 0, &[(0, 512)])?;
            let bio = test.submit();
            assert_eq!(bio.wants_preflush(), preflush);
            assert_eq!(bio.wants_fua(), fua);
            assert_eq!(bio.is_nowait(), nowait);
        }
        Ok(())
    }

    #[test]
    fn bytes_of_the_disk() -> Result {
        let test = TestBio::new(bindings::req_op_REQ_OP_READ, 16, &[(0, 1024), (0, 512)])?;
        assert_eq!(test.submit().bytes(), ByteRange::new(16 * 512, 1536));
        // More than 64 bits can name.
        for sector in [u64::MAX, u64::MAX / 512] {
            let test = TestBio::new(bindings::req_op_REQ_OP_READ, sector, &[(0, 1024)])?;
            let bio = test.submit();
            assert!(bio.bytes().is_none());
            assert!(bio.segments().all(|segment| segment.bytes().is_none()));
        }
        Ok(())
    }

    #[test]
    fn segments_in_order() -> Result {
        let parts = [(512, 1024), (0, 4096), (1, 512)];
        let test = TestBio::new(bindings::req_op_REQ_OP_READ, 8, &parts)?;
        let bio = test.submit();
        let mut segments = bio.segments().map(|segment| describe(&segment));
        let (first, second, third) = (test.page_addr(0)?, test.page_addr(1)?, test.page_addr(2)?);
        assert_eq!(segments.next(), Some((first.wrapping_add(512), 1024, 8)));
        assert_eq!(segments.next(), Some((second, 4096, 10)));
        assert_eq!(segments.next(), Some((third.wrapping_add(1), 512, 18)));
        assert_eq!(segments.next(), None);
        assert_eq!(segments.next(), None);
        Ok(())
    }

    #[test]
    fn segments_from_the_middle() -> Result {
        // What is left of a bio of which 512 bytes were done, without its last 1024.
        let test = TestBio::new(bindings::req_op_REQ_OP_READ, 8, &[(0, 2048), (0, 2048)])?;
        // SAFETY: The bio is not in use elsewhere.
        unsafe {
            (*test.as_raw()).bi_iter.bi_sector = 9;
            (*test.as_raw()).bi_iter.bi_offset = 512;
            (*test.as_raw()).bi_iter.bi_size = 2560;
        }
        let bio = test.submit();
        let mut segments = bio.segments().map(|segment| describe(&segment));
        let (first, second) = (test.page_addr(0)?, test.page_addr(1)?);
        assert_eq!(segments.next(), Some((first.wrapping_add(512), 1536, 9)));
        assert_eq!(segments.next(), Some((second, 1024, 12)));
        assert_eq!(segments.next(), None);
        Ok(())
    }

    #[test]
    fn every_page_of_a_segment() -> Result {
        for (offset, len, pages) in [
            (0, 512, 1),
            (3584, 512, 1),
            (3584, 513, 2),
            (100, 8192, 3),
            (0, 8192, 2),
            // Segments may begin behind the first page.
            (5000, 512, 1),
            (8191, 2, 2),
        ] {
            let test = TestBio::new(bindings::req_op_REQ_OP_READ, 0, &[(offset, len)])?;
            let bio = test.submit();
            let segment = bio.segments().next().ok_or(EINVAL)?;
            assert_eq!(segment.pages().count(), pages);
            let first = test.pages.first().ok_or(EINVAL)?.as_ptr();
            let expected = (offset as usize / PAGE_SIZE..).map(|n| first.wrapping_add(n));
            assert!(segment.pages().zip(expected).all(|(page, at)| page == at));
        }
        Ok(())
    }

    #[test]
    fn answers() -> Result {
        let test = TestBio::new(bindings::req_op_REQ_OP_READ, 0, &[(0, 512)])?;
        assert_eq!(test.answer(), (0, 0));
        test.submit().end(Ok(()));
        assert_eq!(test.answer(), (1, 0));

        for error in [EIO, EAGAIN, ENOSPC, EOPNOTSUPP] {
            let test = TestBio::new(bindings::req_op_REQ_OP_READ, 0, &[(0, 512)])?;
            test.submit().end(Err(error));
            assert_eq!(test.answer(), (1, error.to_errno()));
        }
        Ok(())
    }

    #[test]
    fn no_answer_is_an_error() -> Result {
        let test = TestBio::new(bindings::req_op_REQ_OP_READ, 0, &[(0, 512)])?;
        drop(test.submit());
        assert_eq!(test.answer(), (1, EIO.to_errno()));
        Ok(())
    }

    #[test]
    fn who_takes_the_pointer_answers() -> Result {
        let test = TestBio::new(bindings::req_op_REQ_OP_READ, 0, &[(0, 512)])?;
        let raw = test.submit().into_raw();
        assert_eq!(test.answer(), (0, 0));
        assert_eq!(raw, test.as_raw());
        // SAFETY: The bio is ours again.
        unsafe { bindings::bio_endio(raw) };
        assert_eq!(test.answer(), (1, 0));
        Ok(())
    }
}
