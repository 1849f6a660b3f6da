// SPDX-License-Identifier: GPL-2.0

//! KUnit suite of the access to mapped memory, on two pages of ordinary memory: it has no poison,
//! so every copy must be whole, except where a test takes a page out of the direct map.

use super::*;
use crate::{
    block::bio::tests::TestBio,
    mm::{
        pfn::Pfn,
        without_io, //
    },
    page::Page, //
};

/// How long the window is, in bytes.
const LEN: usize = 2 * PAGE_SIZE;

/// A window, and what it shows.
struct Fixture {
    window: Window,
    base: *mut u8,
    /// The only references to it are through `window` and `base`.
    _owner: KVec<u8>,
}

impl Fixture {
    /// A window of bytes that all are `byte`.
    fn new(byte: u8) -> Result<Self> {
        let mut owner = KVec::from_elem(byte, LEN, GFP_KERNEL)?;
        let base = owner.as_mut_ptr();
        let start = NonNull::new(base).ok_or(ENOMEM)?;
        // SAFETY: The memory lives as long as the window, and there are no other references to it.
        let window = unsafe { Window::new(start, LEN as u64) };
        Ok(Self {
            window,
            base,
            _owner: owner,
        })
    }

    /// What is at `offset`; 0 past the end.
    fn byte(&self, offset: usize) -> u8 {
        if offset >= LEN {
            return 0;
        }
        // SAFETY: Within the memory, which is initialised.
        unsafe { self.base.add(offset).read() }
    }
}

/// Bytes that all differ from their neighbours.
fn pattern(len: usize) -> Result<KVec<u8>> {
    let mut data = KVec::with_capacity(len, GFP_KERNEL)?;
    for n in 0..len {
        data.push((n % 251) as u8, GFP_KERNEL)?;
    }
    Ok(data)
}

fn range(start: u64, len: u64) -> Result<ByteRange> {
    ByteRange::new(start, len).ok_or(EINVAL)
}

#[kunit_tests(rust_pmem)]
mod suite {
    use super::*;

    const READ: u32 = bindings::req_op_REQ_OP_READ;
    const WRITE: u32 = bindings::req_op_REQ_OP_WRITE;

    #[test]
    fn what_is_written_is_read() -> Result {
        // Starts and lengths on and off the borders of words, cache lines and pages.
        for offset in [0, 1, 7, 8, 63, 64, 4088, 4095] {
            for len in [1, 3, 4, 8, 15, 64, 65, 512, 4096] {
                let test = Fixture::new(0xaa)?;
                let data = pattern(len)?;
                test.window.write_bytes(offset as u64, &data)?;
                for (n, byte) in data.iter().enumerate() {
                    assert_eq!(test.byte(offset + n), *byte);
                }
                // And not a byte more.
                assert!(offset == 0 || test.byte(offset - 1) == 0xaa);
                assert!(offset + len == LEN || test.byte(offset + len) == 0xaa);

                let mut out = KVec::from_elem(0u8, len, GFP_KERNEL)?;
                let read = test.window.read_bytes(offset as u64, &mut out)?;
                assert_eq!(read, Ok(()));
                assert!(out.as_slice() == data.as_slice());
            }
        }
        Ok(())
    }

    #[test]
    fn the_copies_leave_nothing() -> Result {
        let data = pattern(PAGE_SIZE)?;
        let mut out = KVec::from_elem(0u8, PAGE_SIZE, GFP_KERNEL)?;
        // SAFETY: Both are that long. The target is not in use elsewhere.
        let left = unsafe {
            let (to, from) = (out.as_mut_ptr().cast(), data.as_ptr().cast());
            bindings::copy_mc_to_kernel(to, from, PAGE_SIZE as u32)
        };
        assert_eq!(left, 0);
        assert!(out.as_slice() == data.as_slice());
        Ok(())
    }

    #[test]
    fn nothing_past_the_end() -> Result {
        let test = Fixture::new(0)?;
        let end = LEN as u64;
        assert!(test.window.addr(end - 1).is_some());
        assert!(test.window.addr(end).is_none());
        assert!(test.window.addr(u64::MAX).is_none());
        assert_eq!(test.window.write_bytes(end - 1, &[1, 2]), Err(ERANGE));
        assert_eq!(test.window.write_bytes(u64::MAX, &[1, 2]), Err(ERANGE));
        assert_eq!(test.byte(LEN - 1), 0);
        let mut out = [0; 2];
        assert_eq!(test.window.read_bytes(end - 1, &mut out), Err(ERANGE));
        assert_eq!(test.window.read_bytes(u64::MAX, &mut out), Err(ERANGE));
        assert!(test.window.cursor(range(end - 1, 2)?).is_err());
        assert!(test.window.invalidate(range(1, end)?).is_err());
        // Nothing can be had of anywhere.
        assert_eq!(test.window.write_bytes(u64::MAX, &[]), Ok(()));
        assert_eq!(test.window.read_bytes(u64::MAX, &mut []), Ok(Ok(())));
        Ok(())
    }

    #[test]
    fn segments_to_memory() -> Result {
        let test = Fixture::new(0)?;
        let source = TestBio::new(WRITE, 0, &[(0, 512), (3, 1024), (0, 4096)])?;
        let bio = source.submit();
        let mut cursor = test.window.cursor(range(512, 5632)?)?;
        for segment in bio.segments() {
            cursor.write(&segment)?;
        }
        for (offset, byte) in [
            (511, 0),
            (512, 1),
            (1023, 1),
            (1024, 2),
            (2047, 2),
            (2048, 3),
            (6143, 3),
            (6144, 0),
        ] {
            assert_eq!(test.byte(offset), byte);
        }
        // The cursor has come to its end.
        if let Some(segment) = bio.segments().next() {
            assert_eq!(cursor.write(&segment), Err(ERANGE));
        }
        assert_eq!(test.byte(6144), 0);
        Ok(())
    }

    #[test]
    fn parts_of_segments() -> Result {
        let test = Fixture::new(0)?;
        let source = TestBio::new(WRITE, 0, &[(0, 512), (0, 512), (0, 512)])?;
        let bio = source.submit();
        let mut cursor = test.window.cursor(range(0, 1536)?)?;
        let mut segments = bio.segments();
        let (Some(first), Some(second), Some(third)) =
            (segments.next(), segments.next(), segments.next())
        else {
            return Err(EINVAL);
        };
        cursor.skip(&first)?;
        cursor.write_start(&second, 100)?;
        // No more than the segment has.
        cursor.write_start(&third, u64::MAX)?;
        for (offset, byte) in [(511, 0), (512, 2), (611, 2), (612, 3), (1123, 3), (1124, 0)] {
            assert_eq!(test.byte(offset), byte);
        }
        Ok(())
    }

    #[test]
    fn memory_to_segments() -> Result {
        let test = Fixture::new(0xee)?;
        let target = TestBio::new(READ, 0, &[(512, 512), (0, 4096)])?;
        let bio = target.submit();
        let mut cursor = test.window.cursor(range(1, 4608)?)?;
        for segment in bio.segments() {
            assert_eq!(cursor.read(&segment)?, Ok(()));
        }
        for (n, offset, byte) in [
            (0, 511, 1),
            (0, 512, 0xee),
            (0, 1023, 0xee),
            (0, 1024, 1),
            (1, 0, 0xee),
            (1, 4095, 0xee),
        ] {
            assert_eq!(target.byte(n, offset)?, byte);
        }
        if let Some(segment) = bio.segments().next() {
            assert_eq!(cursor.read(&segment), Err(ERANGE));
        }
        Ok(())
    }

    #[test]
    fn the_source_of_a_write_stays() -> Result {
        let test = Fixture::new(0xee)?;
        let source = TestBio::new(WRITE, 0, &[(0, 512)])?;
        let bio = source.submit();
        let segment = bio.segments().next().ok_or(EINVAL)?;
        let mut cursor = test.window.cursor(range(0, 512)?)?;
        assert_eq!(cursor.read(&segment), Err(EINVAL));
        assert_eq!(source.byte(0, 0)?, 1);
        // Nor has the cursor moved.
        cursor.write(&segment)?;
        assert_eq!((test.byte(0), test.byte(511)), (1, 1));
        Ok(())
    }

    #[cfg(CONFIG_X86_64)]
    #[test]
    fn a_page_that_is_not_mapped() -> Result {
        let page = Page::alloc_page(GFP_KERNEL)?;
        // SAFETY: The page is valid, and in the direct map.
        let (pfn, start) = unsafe {
            let page = page.as_ptr();
            (bindings::page_to_pfn(page), bindings::page_address(page))
        };
        let start = NonNull::new(start.cast()).ok_or(ENOMEM)?;
        // SAFETY: The page lives as long as the window, and there are no references to its bytes.
        let window = unsafe { Window::new(start, PAGE_SIZE as u64) };
        let source = TestBio::new(WRITE, 0, &[(0, 512)])?;
        let bio = source.submit();
        let segment = bio.segments().next().ok_or(EINVAL)?;
        let data = pattern(512)?;
        let mut out = [0; 512];

        // SAFETY: The page is not in use elsewhere, and it is mapped again before it is freed.
        let unmapped = unsafe { bindings::set_mce_nospec(pfn) };
        let written = [
            window.write_bytes(512, &data),
            // Not by whole words.
            window.write_bytes(1, &data),
            window.cursor(range(512, 512)?)?.write(&segment),
            window.cursor(range(512, 512)?)?.write_start(&segment, 100),
        ];
        // No fault either, but an emulated CPU does not say that the page is not there.
        let _ = window.invalidate(range(0, 4096)?);
        let read = window.read_bytes(512, &mut out);
        // SAFETY: As above.
        let mapped = unsafe { bindings::clear_mce_nospec(pfn) };
        assert_eq!((unmapped, mapped), (0, 0));
        assert!(written.iter().all(|result| *result == Err(EHWPOISON)));
        assert_eq!(read, Ok(Err(MachineCheck { copied: 0 })));

        assert_eq!(window.write_bytes(512, &data), Ok(()));
        assert_eq!(window.invalidate(range(0, 4096)?), Ok(()));
        assert_eq!(window.read_bytes(512, &mut out), Ok(Ok(())));
        assert!(out.as_slice() == data.as_slice());
        Ok(())
    }

    #[test]
    fn where_the_mapping_is() -> Result {
        assert!(!Fixture::new(0)?.window.is_vmalloc());
        let mut owner = VVec::from_elem(0u8, PAGE_SIZE, GFP_KERNEL)?;
        let start = NonNull::new(owner.as_mut_ptr()).ok_or(ENOMEM)?;
        // SAFETY: The memory lives as long as the window.
        let window = unsafe { Window::new(start, PAGE_SIZE as u64) };
        assert!(window.is_vmalloc());
        Ok(())
    }

    #[test]
    fn frames() {
        assert_eq!(Pfn::from_phys(0), Pfn(0));
        assert_eq!(Pfn::from_phys(PAGE_SIZE as u64 - 1), Pfn(0));
        assert_eq!(Pfn::from_phys(PAGE_SIZE as u64), Pfn(1));
        assert!(zero_page().iter().all(|byte| *byte == 0));
        assert_eq!(without_io(|| 7), 7);
    }
}
