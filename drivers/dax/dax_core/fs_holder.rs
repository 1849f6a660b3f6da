// SPDX-License-Identifier: GPL-2.0

//! A holder that registered through the C interface.

use super::{
    block_device::BlockDevice,
    failure::{
        Failure,
        Holder, //
    },
    trace, //
};
use kernel::{
    bindings,
    dax::units::ByteRange,
    error::to_result,
    prelude::*,
    time::{
        Instant,
        Monotonic, //
    },
};

/// A holder that registered from C, for example a file system.
///
/// # Invariants
///
/// As long as this is in the table of `dev`, or noted there as being called, `ops` is null or
/// points to a valid table, whose functions may be called for `data` and `dev`, and `partition` is
/// open.
#[derive(Clone, Copy)]
pub(crate) struct FsHolder {
    dev: *mut bindings::dax_device,
    /// The number of `dev`, for traces.
    minor: u32,
    data: *mut c_void,
    ops: *const bindings::dax_holder_operations,
    /// The partition that is held; [`None`] for all of the device, however large it becomes.
    partition: Option<BlockDevice>,
}

// SAFETY: The pointers are only passed on to the holder's functions, which any task may call.
unsafe impl Send for FsHolder {}

impl FsHolder {
    /// # Safety
    ///
    /// The type's invariant has to hold from when this is registered with `dev` until
    /// [`Holders::unregister`](super::holders::Holders::unregister) has returned for it.
    pub(crate) unsafe fn new(
        dev: *mut bindings::dax_device,
        minor: u32,
        data: *mut c_void,
        ops: *const bindings::dax_holder_operations,
        partition: Option<BlockDevice>,
    ) -> Self {
        // INVARIANT: By the function's contract.
        Self {
            dev,
            minor,
            data,
            ops,
            partition,
        }
    }

    /// The holder's own pointer, which identifies it.
    pub(crate) fn data(&self) -> *mut c_void {
        self.data
    }

    /// The address of the callback, to be shown as a symbol.
    pub(crate) fn callback_address(&self) -> *const c_void {
        self.ops()
            .and_then(|ops| ops.notify_failure)
            .map_or(core::ptr::null(), |callback| callback as *const c_void)
    }

    fn ops(&self) -> Option<&bindings::dax_holder_operations> {
        // SAFETY: By the type invariant it is null or valid: the protocol calls this only for
        // holders in the table or noted as being called.
        unsafe { self.ops.as_ref() }
    }
}

impl Holder for FsHolder {
    fn identity(&self) -> usize {
        self.data.addr()
    }

    fn range(&self, registered: ByteRange) -> Option<ByteRange> {
        match &self.partition {
            // SAFETY: By the type invariant it is open: this is in the table.
            Some(partition) => unsafe { partition.range() },
            None => Some(registered),
        }
    }

    /// The function that releases the pin; [`None`] for a holder without pin operations.
    type Pin = Option<unsafe extern "C" fn(*mut c_void)>;

    fn pin(&self) -> Option<Self::Pin> {
        let Some((pin, unpin)) = self.ops().and_then(|ops| ops.pin.zip(ops.unpin)) else {
            return Some(None);
        };
        // SAFETY: By the type invariant its functions may be called: this is noted as being called.
        unsafe { pin(self.data) }.then_some(Some(unpin))
    }

    fn unpin(&self, pin: Self::Pin) {
        if let Some(unpin) = pin {
            // SAFETY: `pin()` succeeded for this holder, which is what keeps it until now.
            unsafe { unpin(self.data) };
        }
    }

    fn notify(&self, failure: &Failure) -> Result {
        let notify = self
            .ops()
            .and_then(|ops| ops.notify_failure)
            .ok_or(EOPNOTSUPP)?;
        let (offset, len) = failure.extent.to_raw();
        let start = trace::shows_notify().then(Instant::<Monotonic>::now);
        // SAFETY: By the type invariant `notify` may be called for `dev`: this is noted as being
        // called.
        let result = unsafe { notify(self.dev, offset, len, failure.flags) };
        if let Some(start) = start {
            let nanos = start.elapsed().as_nanos();
            trace::notify(
                self.minor,
                offset,
                len,
                failure.flags,
                self.data,
                result,
                nanos,
            );
        }
        to_result(result)
    }
}
