// SPDX-License-Identifier: GPL-2.0

//! Counts the memory accesses of a call.
//!
//! In a build with `--cfg counting`, LLVM's coverage pass calls the functions below before each
//! load and each store of the crates that are built here, and the linker sends copies through
//! wrappers. The counts depend on the compiler and on nothing else: two runs of one program have
//! the same.

use std::sync::atomic::{
    AtomicU64,
    Ordering::Relaxed, //
};

/// Accesses so far. A copy counts as one access for each eight bytes.
static ACCESSES: AtomicU64 = AtomicU64::new(0);

/// Whether this program counts.
pub(crate) const COUNTING: bool = cfg!(counting);

/// How many accesses were counted so far.
pub(crate) fn accesses() -> u64 {
    ACCESSES.load(Relaxed)
}

#[cfg(counting)]
mod hooks {
    use super::*;

    /// Defines functions that count one access.
    macro_rules! hook {
        ($($name:ident)*) => {$(
            #[no_mangle]
            extern "C" fn $name(_: *const u8) {
                ACCESSES.fetch_add(1, Relaxed);
            }
        )*};
    }

    hook! {
        __sanitizer_cov_load1 __sanitizer_cov_load2 __sanitizer_cov_load4 __sanitizer_cov_load8
        __sanitizer_cov_load16 __sanitizer_cov_store1 __sanitizer_cov_store2
        __sanitizer_cov_store4 __sanitizer_cov_store8 __sanitizer_cov_store16
    }

    extern "C" {
        fn __real_memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8;
        fn __real_memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8;
    }

    #[no_mangle]
    unsafe extern "C" fn __wrap_memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
        ACCESSES.fetch_add(len.div_ceil(8) as u64, Relaxed);
        // SAFETY: The caller's contract is that of the function that is called.
        unsafe { __real_memmove(to, from, len) }
    }

    #[no_mangle]
    unsafe extern "C" fn __wrap_memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
        ACCESSES.fetch_add(len.div_ceil(8) as u64, Relaxed);
        // SAFETY: The caller's contract is that of the function that is called.
        unsafe { __real_memcpy(to, from, len) }
    }
}
