// SPDX-License-Identifier: GPL-2.0

//! Page faults of the memory manager.

use super::{
    vfs::{
        iomap_ops,
        Inode,
        InvalidateShared,
        KeptFile,
        OpenFile, //
    },
    window::units::FilePage, //
};
use core::marker::PhantomData;
use kernel::{
    bindings,
    page::PAGE_SIZE,
    prelude::*, //
};

/// The result of a fault: `vm_fault_t`.
pub(crate) type Outcome = bindings::vm_fault_t;

pub(crate) const SIGBUS: Outcome = bindings::vm_fault_reason_VM_FAULT_SIGBUS;
pub(crate) const OOM: Outcome = bindings::vm_fault_reason_VM_FAULT_OOM;
pub(crate) const RETRY: Outcome = bindings::vm_fault_reason_VM_FAULT_RETRY;
pub(crate) const FALLBACK: Outcome = bindings::vm_fault_reason_VM_FAULT_FALLBACK;
const NOPAGE: Outcome = bindings::vm_fault_reason_VM_FAULT_NOPAGE;

/// A page fault in a mapping of a DAX file of FUSE.
///
/// # Invariants
///
/// `vmf` is such a fault, whose mapping is locked. It is not handled before `'a` is over, but by
/// this.
pub(crate) struct Fault<'a> {
    vmf: *mut bindings::vm_fault,
    _call: PhantomData<&'a mut bindings::vm_fault>,
}

impl Fault<'_> {
    /// # Safety
    ///
    /// `vmf` must be a fault in a mapping of a file of FUSE with DAX that the memory manager has
    /// just called for, and is not used otherwise before `'a` is over.
    pub(crate) unsafe fn from_raw(vmf: *mut bindings::vm_fault) -> Self {
        // INVARIANT: The function's contract.
        Self {
            vmf,
            _call: PhantomData,
        }
    }

    fn vmf(&self) -> &bindings::vm_fault {
        // SAFETY: The type invariant.
        unsafe { &*self.vmf }
    }

    /// The file that is mapped, which its mapping keeps open.
    fn file(&self) -> OpenFile<'_> {
        // SAFETY: By the type invariant the mapping stays, and is one of a file of FUSE.
        unsafe { OpenFile::from_raw((*self.vmf().__bindgen_anon_1.vma).vm_file) }
    }

    /// The inode of that file.
    pub(crate) fn inode(&self) -> Inode<'_> {
        self.file().inode()
    }

    /// The page of the file.
    pub(crate) fn page(&self) -> FilePage {
        FilePage(self.vmf().__bindgen_anon_1.pgoff as u64)
    }

    /// The number of the virtual page.
    pub(crate) fn memory_page(&self) -> u64 {
        (self.vmf().__bindgen_anon_1.address / PAGE_SIZE) as u64
    }

    /// Whether the fault is for a store.
    pub(crate) fn for_write(&self) -> bool {
        self.vmf().flags & bindings::fault_flag_FAULT_FLAG_WRITE != 0
    }

    /// Whether the page is copied, for a private mapping.
    pub(crate) fn copies(&self) -> bool {
        !self.vmf().cow_page.is_null()
    }

    /// Whether the mapping is a shared one.
    pub(crate) fn is_shared(&self) -> bool {
        // SAFETY: By the type invariant the mapping stays.
        let flags = unsafe { (*self.vmf().__bindgen_anon_1.vma).__bindgen_anon_2.vm_flags };
        flags & bindings::VM_SHARED != 0
    }

    /// Whether the fault may not wait.
    pub(crate) fn nowait(&self) -> bool {
        self.vmf().flags & bindings::fault_flag_FAULT_FLAG_RETRY_NOWAIT != 0
    }

    /// The outcome of a fault that would have to wait, and may not.
    pub(crate) fn not_now(&self) -> Outcome {
        if self.vmf().flags & bindings::fault_flag_FAULT_FLAG_MKWRITE == 0 {
            return RETRY;
        }
        // `wp_pfn_shared()` of `mm/memory.c` makes the entry writable after any outcome but an
        // error and `NOPAGE`. With `NOPAGE` alone, GUP would repeat the fault without an end.
        RETRY | NOPAGE
    }

    /// Whether [`Fault::unlock`] is allowed.
    pub(crate) fn may_unlock(&self) -> bool {
        // SAFETY: The type invariant.
        unsafe { bindings::rdax_may_drop_fault_lock(self.vmf) }
    }

    /// Unlocks the mapping, which may be freed then; the result keeps the file open. The fault has
    /// to return [`RETRY`]. [`None`] if unlocking is not allowed.
    pub(crate) fn unlock(self) -> Option<KeptFile> {
        if !self.may_unlock() {
            return None;
        }
        let open = self.file().keep();
        // SAFETY: By the type invariant it is locked. This is the end of the `Fault`.
        unsafe { bindings::release_fault_lock(self.vmf) };
        Some(open)
    }

    /// Frees an empty page table, so that a huge page can be mapped. Returns whether there was one.
    /// To be called before anything is mapped.
    pub(crate) fn free_empty_table(&self) -> bool {
        // SAFETY: The type invariant.
        unsafe { bindings::vmf_free_empty_page_table(self.vmf) }
    }

    /// Maps `1 << order` pages of the window. Returns the outcome, and an error number if there was
    /// an error of the window.
    ///
    /// `_stays` is of the fault's inode. A fault for writing also needs a [`WriteFault`].
    ///
    /// [`WriteFault`]: super::vfs::WriteFault
    pub(crate) fn map(&self, order: c_uint, _stays: &InvalidateShared<'_>) -> (Outcome, c_int) {
        let mut pfn = 0;
        let mut error = 0;
        // SAFETY: The type invariant; the locks that it asks for are held, and the table is static.
        let outcome = unsafe {
            bindings::dax_iomap_fault(self.vmf, order, &raw mut pfn, &raw mut error, iomap_ops())
        };
        if outcome & bindings::vm_fault_reason_VM_FAULT_NEEDDSYNC == 0 {
            return (outcome, error);
        }
        // SAFETY: As above; the frame is what the function found.
        let outcome = unsafe { bindings::dax_finish_sync_fault(self.vmf, order, pfn) };
        (outcome, error)
    }
}
