// SPDX-License-Identifier: GPL-2.0

//! Page faults.
//!
//! C functions: `__fuse_dax_fault()` and its callers
//!
//! A fault gets the range that it needs before it takes the locks that keep the file as it is, so
//! that nothing inside of them waits for a range. C finds no range when it holds them all, gives
//! up, waits and starts anew; for a 2 MiB fault it does not even see that, and maps small pages
//! that never become large again. Here they do, as soon as the file has the whole block in one range
//! and nothing of it is mapped: a file that was used here and there is mapped in pieces before.

use super::{
    file::FileRef,
    held::Held,
    iomap,
    window::{
        acquire::{
            Failure,
            Want, //
        },
        units::{
            FilePage,
            BLOCK_PAGES,
            TOP_ORDER, //
        },
    },
};
use kernel::{
    bindings,
    page::PAGE_SIZE,
    prelude::*, //
};

type Fault = bindings::vm_fault_t;

const SIGBUS: Fault = bindings::vm_fault_reason_VM_FAULT_SIGBUS;
const OOM: Fault = bindings::vm_fault_reason_VM_FAULT_OOM;
const RETRY: Fault = bindings::vm_fault_reason_VM_FAULT_RETRY;
const FALLBACK: Fault = bindings::vm_fault_reason_VM_FAULT_FALLBACK;

/// Gets the range that a fault needs; or what the fault comes to without.
///
/// Where it may, this waits without the lock of the address space, so that others can map and unmap
/// memory meanwhile; but only at the first try, because a range that is not held may be gone
/// again at the next.
///
/// # Safety
///
/// `vmf` must be the fault that is being handled, of `file`.
unsafe fn acquire(
    vmf: *mut bindings::vm_fault,
    file: &FileRef,
    want: Want,
) -> Result<Held<'_>, Fault> {
    if let Some(held) = Held::now(file, want.page, want.write) {
        return Ok(held);
    }
    // SAFETY: The function's contract. The reference keeps the inode while nothing else does.
    unsafe {
        if bindings::rdax_may_drop_fault_lock(vmf) {
            let open = bindings::get_file((*(*vmf).__bindgen_anon_1.vma).vm_file);
            bindings::release_fault_lock(vmf);
            // Should there be an error, it comes again, unless a signal ends the task.
            drop(Held::wait(file, want));
            bindings::fput(open);
            return Err(RETRY);
        }
        let nowait = bindings::fault_flag_FAULT_FLAG_RETRY_NOWAIT;
        if (*vmf).flags & nowait != 0 {
            return Err(RETRY);
        }
    }
    Held::wait(file, want).map_err(|failure| match failure {
        // The memory manager makes some, and has the fault come again.
        Failure::Unasked(error) if error == ENOMEM.to_errno() => OOM,
        // The server's ENOMEM, too: it would be the same the next time.
        _ => SIGBUS,
    })
}

/// Maps what was faulted for, with the range held; [`None`] when the range is not good any more.
///
/// # Safety
///
/// `vmf` must be the fault that is being handled, of `inode`.
unsafe fn map(
    vmf: *mut bindings::vm_fault,
    inode: *mut bindings::inode,
    order: c_uint,
    write: bool,
) -> Option<Fault> {
    // SAFETY: The function's contract; C's locks are taken and given back in order.
    unsafe {
        let mapping = (*inode).i_mapping;
        if write {
            bindings::sb_start_pagefault((*inode).i_sb);
        }
        // What is truncated must not be mapped at the same time.
        bindings::filemap_invalidate_lock_shared(mapping);
        let mut pfn = 0;
        let mut error = 0;
        let ops = &raw const bindings::rdax_fuse_iomap_ops;
        let mut fault = bindings::dax_iomap_fault(vmf, order, &raw mut pfn, &raw mut error, ops);
        if fault & bindings::vm_fault_reason_VM_FAULT_NEEDDSYNC != 0 {
            fault = bindings::dax_finish_sync_fault(vmf, order, pfn);
        }
        bindings::filemap_invalidate_unlock_shared(mapping);
        if write {
            bindings::sb_end_pagefault((*inode).i_sb);
        }
        let failed = fault & SIGBUS != 0;
        (!failed || error != EAGAIN.to_errno()).then_some(fault)
    }
}

/// Maps all of a block for a fault for a small page in it, with its range held, if nothing of the block
/// is mapped there; [`None`] when it is to be a small page, or when the range is not good any more.
///
/// # Safety
///
/// As for [`map`].
unsafe fn map_block(
    vmf: *mut bindings::vm_fault,
    inode: *mut bindings::inode,
    write: bool,
) -> Option<Fault> {
    // SAFETY: The function's contract; this is before anything is mapped.
    unsafe {
        let at = (*vmf).__bindgen_anon_1.address / PAGE_SIZE;
        // What `fs/dax.c` would find out too, but after the table is gone.
        // CAST: Half a thousand.
        let aligned = (at ^ (*vmf).__bindgen_anon_1.pgoff) % BLOCK_PAGES as usize == 0;
        if !aligned || !bindings::vmf_free_empty_page_table(vmf) {
            return None;
        }
        // Another fault may have been first: by small pages, or in another mapping of the file.
        map(vmf, inode, TOP_ORDER.into(), write).filter(|fault| fault & !FALLBACK != 0)
    }
}

/// # Safety
///
/// The memory manager calls this for a mapping that [`fuse_dax_mmap`] made.
unsafe fn handle(vmf: *mut bindings::vm_fault, order: c_uint, write: bool) -> Fault {
    // SAFETY: The function's contract.
    let (inode, page, flags, copies, shared) = unsafe {
        let vma = (*vmf).__bindgen_anon_1.vma;
        (
            (*(*vma).vm_file).f_inode,
            FilePage((*vmf).__bindgen_anon_1.pgoff as u64),
            (*vmf).flags,
            !(*vmf).cow_page.is_null(),
            (*vma).__bindgen_anon_2.vm_flags & bindings::VM_SHARED != 0,
        )
    };
    // SAFETY: The inode is open.
    let (file, size) = unsafe { (FileRef::of(inode), iomap::size(inode)) };
    let Some(file) = file else { return SIGBUS };
    let file_pages = size.div_ceil(PAGE_SIZE as u64);
    let for_write = flags & bindings::fault_flag_FAULT_FLAG_WRITE != 0;

    let huge = order == c_uint::from(TOP_ORDER);
    // What `fs/dax.c` would find out too, but after a range was mapped for it.
    let end = page
        .align_down(TOP_ORDER)
        .0
        .saturating_add(BLOCK_PAGES.into());
    let may_be_huge = end <= file_pages && (shared || !for_write);
    if order != 0 && !(huge && may_be_huge) {
        return FALLBACK;
    }
    if page.0 >= file_pages {
        return SIGBUS;
    }

    let want = Want {
        page,
        file_pages,
        write: for_write && !copies,
    };
    loop {
        // SAFETY: The function's contract.
        let held = match unsafe { acquire(vmf, &file, want) } {
            Ok(held) => held,
            Err(fault) => return fault,
        };
        // A huge page has to be in one range.
        let whole = held.place().order == TOP_ORDER;
        if huge && !whole {
            return FALLBACK;
        }
        // SAFETY: The function's contract.
        let fault = unsafe {
            let block = if whole && may_be_huge && !huge {
                map_block(vmf, inode, write)
            } else {
                None
            };
            block.or_else(|| map(vmf, inode, order, write))
        };
        drop(held);
        if let Some(fault) = fault {
            return fault;
        }
    }
}

/// # Safety
///
/// As for [`handle`].
unsafe extern "C" fn fault(vmf: *mut bindings::vm_fault) -> Fault {
    // SAFETY: The function's contract.
    unsafe {
        handle(
            vmf,
            0,
            (*vmf).flags & bindings::fault_flag_FAULT_FLAG_WRITE != 0,
        )
    }
}

/// # Safety
///
/// As for [`handle`].
unsafe extern "C" fn huge_fault(vmf: *mut bindings::vm_fault, order: c_uint) -> Fault {
    // SAFETY: The function's contract.
    unsafe {
        handle(
            vmf,
            order,
            (*vmf).flags & bindings::fault_flag_FAULT_FLAG_WRITE != 0,
        )
    }
}

/// # Safety
///
/// As for [`handle`].
unsafe extern "C" fn make_writable(vmf: *mut bindings::vm_fault) -> Fault {
    // SAFETY: The function's contract.
    unsafe { handle(vmf, 0, true) }
}

/// A table of C's that is static, and that C alone looks at.
struct Operations(bindings::vm_operations_struct);

// SAFETY: It is constant.
unsafe impl Sync for Operations {}

static OPERATIONS: Operations = Operations(bindings::vm_operations_struct {
    fault: Some(fault),
    huge_fault: Some(huge_fault),
    page_mkwrite: Some(make_writable),
    pfn_mkwrite: Some(make_writable),
    ..pin_init::zeroed()
});

/// # Safety
///
/// FUSE calls this for a file with DAX and a mapping of it that is being made.
#[export]
pub(crate) unsafe extern "C" fn fuse_dax_mmap(
    file: *mut bindings::file,
    vma: *mut bindings::vm_area_struct,
) -> c_int {
    // SAFETY: The function's contract; the table is static.
    unsafe {
        bindings::file_accessed(file);
        (*vma).vm_ops = &raw const OPERATIONS.0;
        bindings::rdax_vma_set_dax(vma);
    }
    0
}
