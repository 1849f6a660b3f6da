// SPDX-License-Identifier: GPL-2.0

//! Access to mapped persistent memory.
//!
//! Reads use copies that survive a machine check, writes use copies that leave nothing in the CPU's
//! caches. Nothing here returns a slice, because user space maps the same memory and changes it at
//! any time.
//!
//! A page may be removed from the direct map at any time: on x86 the kernel does that to memory
//! that failed, after its holders were notified, and they may have repaired it by then. So neither
//! reads nor writes rely on the mapping, and no earlier check could make it reliable. A read stops
//! as at a machine check, a write fails with `EHWPOISON`;
//! [`MappedPages::make_present`](crate::memremap::MappedPages::make_present) maps the page again.
//!
//! C headers: [`include/linux/libnvdimm.h`](srctree/include/linux/libnvdimm.h),
//! [`include/linux/uaccess.h`](srctree/include/linux/uaccess.h)

use crate::{
    bindings,
    block::bio::Segment,
    dax::units::ByteRange,
    page::PAGE_SIZE,
    prelude::*, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};

#[cfg(CONFIG_RUST_DAX_KUNIT_TEST)]
#[path = "pmem/tests.rs"]
mod tests;

/// The bytes that a copy moved before it met poison.
#[derive(Debug, PartialEq, Eq)]
pub struct MachineCheck {
    /// Bytes that arrived.
    pub copied: u64,
}

/// Persistent memory that is mapped in the kernel.
///
/// Offsets are bytes from the start of the mapping. No method sleeps unless it says so; none
/// takes a lock.
///
/// # Examples
///
/// ```
/// use core::ptr::NonNull;
/// use kernel::pmem::Window;
///
/// let mut memory = KVec::from_elem(0u8, 4096, GFP_KERNEL)?;
/// let base = NonNull::new(memory.as_mut_ptr()).ok_or(ENOMEM)?;
/// // SAFETY: The memory lives as long as the window, and nothing refers to it meanwhile.
/// let window = unsafe { Window::new(base, 4096) };
///
/// window.write_bytes(8, &[1, 2, 3])?;
/// let mut read = [0; 3];
/// assert_eq!(window.read_bytes(8, &mut read)?, Ok(()));
/// assert_eq!(read, [1, 2, 3]);
/// assert_eq!(window.write_bytes(4095, &[1, 2]), Err(ERANGE));
/// # Ok::<(), Error>(())
/// ```
///
/// # Invariants
///
/// `base` is the start of `len` bytes that stay mapped while the value lives, except for pages
/// that a memory failure took out of the direct map.
pub struct Window {
    base: NonNull<u8>,
    len: u64,
}

// SAFETY: The memory may be accessed from any thread; nothing here relies on exclusive access.
unsafe impl Send for Window {}
// SAFETY: The memory may be accessed from any thread; nothing here relies on exclusive access.
unsafe impl Sync for Window {}

impl Window {
    /// Describes the mapping of `len` bytes from `base` on.
    ///
    /// # Safety
    ///
    /// The memory must stay mapped until the value is dropped, and must be memory that no Rust
    /// reference points to.
    pub unsafe fn new(base: NonNull<u8>, len: u64) -> Self {
        // INVARIANT: The caller's promise.
        Self { base, len }
    }

    /// The kernel's address of byte `offset`, or [`None`] past the end.
    #[inline]
    pub fn addr(&self, offset: u64) -> Option<NonNull<u8>> {
        if offset >= self.len {
            return None;
        }
        // CAST: `offset < len`, and `len` bytes are mapped, so it fits an address.
        NonNull::new(self.base.as_ptr().wrapping_add(offset as usize))
    }

    /// The address of all of `range`, or `ERANGE`.
    #[inline]
    fn checked(&self, range: ByteRange) -> Result<(*mut u8, usize)> {
        if range.end() > self.len {
            return Err(ERANGE);
        }
        // CAST: `range` lies within mapped memory, so both numbers fit an address.
        Ok((
            self.base.as_ptr().wrapping_add(range.start() as usize),
            range.len() as usize,
        ))
    }

    /// Whether the mapping is not the direct map, so that its pages cannot be marked as poison or
    /// unmapped by the kernel.
    #[inline]
    pub fn is_vmalloc(&self) -> bool {
        // SAFETY: Only compares the address.
        unsafe { bindings::is_vmalloc_addr(self.base.as_ptr().cast()) }
    }

    /// A place to copy the segments of a bio to or from, one after the other.
    #[inline]
    pub fn cursor(&self, range: ByteRange) -> Result<Cursor<'_>> {
        let (at, left) = self.checked(range)?;
        // INVARIANT: Just checked.
        Ok(Cursor {
            at,
            left,
            _window: PhantomData,
        })
    }

    /// Copies `data` to `offset`, bypassing the caches; `EHWPOISON` when a page is not mapped,
    /// `EINVAL` for 4 GiB or more.
    pub fn write_bytes(&self, offset: u64, data: &[u8]) -> Result {
        let Some(range) = ByteRange::new(offset, data.len() as u64) else {
            return if data.is_empty() { Ok(()) } else { Err(ERANGE) };
        };
        let (dst, len) = self.checked(range)?;
        // The copy counts in 32 bits on x86.
        u32::try_from(len).map_err(|_| EINVAL)?;
        // SAFETY: `dst` is `len` bytes of the mapping, and `data` is as long.
        unsafe { copy_past_caches(dst, data.as_ptr(), len) }
    }

    /// Reads from `offset` into `out`; stops at a machine check. `EINVAL` for 4 GiB or more.
    pub fn read_bytes(&self, offset: u64, out: &mut [u8]) -> Result<Result<(), MachineCheck>> {
        let Some(range) = ByteRange::new(offset, out.len() as u64) else {
            return if out.is_empty() {
                Ok(Ok(()))
            } else {
                Err(ERANGE)
            };
        };
        let (src, len) = self.checked(range)?;
        let asked = u32::try_from(len).map_err(|_| EINVAL)?;
        // SAFETY: `src` is `len` bytes of the mapping, possibly poisoned; `out` is as long.
        let left =
            unsafe { bindings::copy_mc_to_kernel(out.as_mut_ptr().cast(), src.cast(), asked) };
        if left == 0 {
            return Ok(Ok(()));
        }
        Ok(Err(MachineCheck {
            copied: (len as u64).saturating_sub(left as u64),
        }))
    }

    /// Drops the cache lines of `range`; on x86, dirty lines are written back first.
    ///
    /// The lines may still hold poison that the media no longer has. `EHWPOISON` when a page is not
    /// mapped.
    pub fn invalidate(&self, range: ByteRange) -> Result {
        let (addr, len) = self.checked(range)?;
        // SAFETY: `addr` is `len` bytes of the mapping.
        unsafe { drop_lines(addr, len) }
    }
}

/// Copies to the mapping, bypassing the caches; `EHWPOISON` when a page of it is not mapped, or,
/// for whole words on x86, when a store is a machine check.
///
/// # Safety
///
/// `dst` must be `len` bytes of a [`Window`], and `src` be valid for reads of as many.
#[inline]
unsafe fn copy_past_caches(dst: *mut u8, src: *const u8, len: usize) -> Result {
    #[cfg(CONFIG_X86_64)]
    {
        const WORD: usize = size_of::<u64>();

        if (dst.addr() | len) % WORD == 0 {
            // SAFETY: `src` is valid for reads by the function's contract; words of it need not be
            // aligned on x86. A page of `dst`, which is memory of a window, that is not mapped or
            // has failed ends the stores.
            return if unsafe { bindings::pmem_store_words(dst.cast(), src.cast(), len / WORD) } {
                Ok(())
            } else {
                Err(EHWPOISON)
            };
        }
        // SAFETY: `src` is valid for reads by the function's contract. A page of `dst`, which is
        // memory of a window, that is not mapped makes the copy short.
        if unsafe { bindings::copy_to_nontemporal(dst.cast(), src.cast(), len) } != 0 {
            return Err(EHWPOISON);
        }
        // What is not whole words is still in the caches: clflush writes back.
        //
        // SAFETY: `dst` is `len` bytes of a window, by the function's contract.
        unsafe { drop_lines(dst, len) }
    }
    #[cfg(not(CONFIG_X86_64))]
    {
        // No other architecture unmaps memory that failed.
        //
        // SAFETY: By the function's contract `dst` is memory of a window, and `src` is valid for
        // reads.
        unsafe { bindings::memcpy_flushcache(dst.cast(), src.cast(), len) };
        Ok(())
    }
}

/// Drops the cache lines of the mapping; `EHWPOISON` when a page of it is not mapped, or, on x86,
/// when the flush is a machine check.
///
/// Never inlined into the driver: C does not export the functions for modules.
///
/// # Safety
///
/// `addr` must be `len` bytes of a [`Window`].
#[inline(never)]
unsafe fn drop_lines(addr: *mut u8, len: usize) -> Result {
    #[cfg(CONFIG_X86_64)]
    {
        // SAFETY: Memory of a window, by the function's contract. That a page may not be mapped is
        // what the C function is for.
        if !unsafe { bindings::pmem_clflush_range(addr.cast(), len) } {
            return Err(EHWPOISON);
        }
    }
    #[cfg(not(CONFIG_X86_64))]
    {
        // SAFETY: Memory of a window, by the function's contract.
        unsafe { bindings::arch_invalidate_pmem(addr.cast(), len) };
    }
    Ok(())
}

/// A part of a [`Window`] that segments are copied to or from in order.
///
/// # Examples
///
/// ```
/// use kernel::{block::bio::Bio, pmem::Window};
///
/// /// Writes the data of a bio to where it belongs.
/// fn write(window: &Window, bio: &Bio) -> Result {
///     let mut cursor = window.cursor(bio.bytes().ok_or(EINVAL)?)?;
///     for segment in bio.segments() {
///         cursor.write(&segment)?;
///     }
///     Ok(())
/// }
/// ```
///
/// # Invariants
///
/// `at` is the start of `left` bytes of a window that lives for `'a`.
pub struct Cursor<'a> {
    at: *mut u8,
    left: usize,
    _window: PhantomData<&'a Window>,
}

impl Cursor<'_> {
    /// Advances by `len` bytes, and returns their address; `ERANGE` past the end.
    #[inline]
    fn take(&mut self, len: usize) -> Result<*mut u8> {
        self.left = self.left.checked_sub(len).ok_or(ERANGE)?;
        let at = self.at;
        // INVARIANT: `len` bytes fewer are left.
        self.at = at.wrapping_add(len);
        Ok(at)
    }

    /// Skips as many bytes as `segment` has.
    #[inline]
    pub fn skip(&mut self, segment: &Segment<'_>) -> Result {
        self.take(segment.len() as usize).map(|_| ())
    }

    /// Copies `segment` to the window, bypassing the caches; `EHWPOISON` when a page is not mapped,
    /// with the cursor advanced all the same.
    #[inline]
    pub fn write(&mut self, segment: &Segment<'_>) -> Result {
        let len = segment.len() as usize;
        let at = self.take(len)?;
        segment.flush_dcache();
        // SAFETY: `at` is `len` bytes of the window, and the segment is as long.
        unsafe { copy_past_caches(at, segment.as_ptr(), len) }
    }

    /// Copies the first `len` bytes of `segment`, no more than it has, as [`Cursor::write`] does.
    pub fn write_start(&mut self, segment: &Segment<'_>, len: u64) -> Result {
        // CAST: No more than the segment's length, which is 32 bits.
        let len = len.min(u64::from(segment.len())) as usize;
        let at = self.take(len)?;
        segment.flush_dcache();
        // SAFETY: `at` is `len` bytes of the window, and the segment no shorter.
        unsafe { copy_past_caches(at, segment.as_ptr(), len) }
    }

    /// Copies from the window to `segment`; stops at a machine check, with the cursor advanced all
    /// the same. `EINVAL` for a segment of a write, because its memory is only a source.
    #[inline]
    pub fn read(&mut self, segment: &Segment<'_>) -> Result<Result<(), MachineCheck>> {
        if segment.is_write() {
            return Err(EINVAL);
        }
        let len = segment.len() as usize;
        let at = self.take(len)?;
        // SAFETY: `at` is `len` bytes of the window; that some may be unmapped or poisoned is what
        // this function is for. The segment is no write's, so it is valid for writes of its length.
        let left = unsafe {
            bindings::copy_mc_to_kernel(segment.as_ptr().cast(), at.cast(), segment.len())
        };
        segment.flush_dcache();
        if left == 0 {
            return Ok(Ok(()));
        }
        Ok(Err(MachineCheck {
            copied: (len as u64).saturating_sub(left as u64),
        }))
    }
}

/// A page of zeroes to copy from.
///
/// # Examples
///
/// ```
/// use kernel::pmem::zero_page;
///
/// assert!(zero_page().iter().all(|byte| *byte == 0));
/// ```
pub fn zero_page() -> &'static [u8; PAGE_SIZE] {
    static ZEROES: [u8; PAGE_SIZE] = [0; PAGE_SIZE];
    &ZEROES
}
