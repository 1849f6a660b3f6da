// SPDX-License-Identifier: GPL-2.0

//! The entries of libFuzzer's programs, one in each file of `bin/`. What they try is in
//! `../src/fuzz/`, which says what has to hold.

#[allow(dead_code)]
#[path = "../../../../../drivers/nvdimm/pmem_rust/agent.rs"]
mod agent;
#[path = "../../src/fuzz/mod.rs"]
pub mod fuzz;
#[allow(dead_code)]
#[path = "../../../../../drivers/nvdimm/pmem_rust/geometry.rs"]
mod geometry;
#[allow(dead_code)]
#[path = "../../../../../fs/fuse/dax/window.rs"]
mod window;
#[allow(dead_code)]
#[path = "../../src/window_world.rs"]
mod window_world;

/// Has libFuzzer call a function of [`fuzz`] with bytes.
#[macro_export]
macro_rules! target {
    ($name:ident) => {
        /// # Safety
        ///
        /// libFuzzer calls this with `size` bytes.
        #[no_mangle]
        unsafe extern "C" fn LLVMFuzzerTestOneInput(data: *const u8, size: usize) -> i32 {
            let bytes = match size {
                // The address may be null.
                0 => &[],
                // SAFETY: The function's contract.
                _ => unsafe { ::core::slice::from_raw_parts(data, size) },
            };
            $crate::fuzz::$name(bytes);
            0
        }
    };
}
