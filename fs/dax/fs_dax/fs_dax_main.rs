// SPDX-License-Identifier: GPL-2.0

//! What fs/dax.c does with the memory of files by itself, where that memory may be poisoned.
//!
//! C: `copy_cow_page_dax()` and `dax_range_compare_iter()` in [`fs/dax.c`](srctree/fs/dax.c), which
//! read it as if it could not be.

mod compare;

use compare::{
    compare,
    Media, //
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    page::PAGE_SIZE,
    pmem::{
        cond_resched,
        Window, //
    },
    prelude::*, //
};

impl Media for Window {
    fn read(&self, at: usize, to: &mut [u8]) -> bool {
        matches!(self.read_bytes(at as u64, to), Ok(Ok(())))
    }
}

/// `len` bytes of a file's memory from `from` on.
///
/// # Safety
///
/// They have to be mapped as long as the value lives, but for pages that a failure took out.
unsafe fn media(from: *const c_void, len: usize) -> Result<Window> {
    let base = NonNull::new(from.cast_mut().cast()).ok_or(EIO)?;
    // SAFETY: The function's contract.
    Ok(unsafe { Window::new(base, len as u64) })
}

/// Copies a page of a file's memory to a page of the system's.
///
/// `-EHWPOISON` when it cannot be read: the copy is not to be used. Does not sleep.
///
/// # Safety
///
/// For C: `from` has to be a page that `dax_direct_access()` gave out, in the same read section, and
/// `to` be valid for writes.
#[export]
unsafe extern "C" fn dax_copy_page(to: *mut c_void, from: *const c_void) -> c_int {
    // CAST: A page is not that large.
    // SAFETY: The function's contract. That `from` may be poisoned or not there is what the function
    // is for.
    match unsafe { bindings::copy_mc_to_kernel(to, from, PAGE_SIZE as u32) } {
        0 => 0,
        _ => EHWPOISON.to_errno(),
    }
}

/// Compares `len` bytes of two files' memory: 1 for the same, 0, or `-EIO` for what cannot be read.
/// Sleeps.
///
/// # Safety
///
/// For C: both have to be memory that `dax_direct_access()` gave out, in the same read section.
#[export]
unsafe extern "C" fn dax_compare(a: *const c_void, b: *const c_void, len: usize) -> c_int {
    // SAFETY: The function's contract.
    let (Ok(a), Ok(b)) = (unsafe { (media(a, len), media(b, len)) }) else {
        return EIO.to_errno();
    };
    match compare(&a, &b, len, cond_resched) {
        Ok(same) => c_int::from(same),
        Err(_) => EIO.to_errno(),
    }
}
