// SPDX-License-Identifier: GPL-2.0

//! A holder that registered through the C interface.

use super::{
    block_device::BlockDevice,
    failure::{
        Failure,
        Held,
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
/// What uses its pointers takes a [`Held`]: a clone by itself may outlive the holder.
///
/// # Invariants
///
/// As long as this is in the table of `dev`, or noted there as being called, `ops` is null or
/// points to a valid table, whose functions may be called for `data` and `dev`, and `partition` is
/// open.
#[derive(Clone)]
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
    pub(crate) fn callback_address(this: &Held<'_, Self>) -> *const c_void {
        Self::ops(this)
            .and_then(|ops| ops.notify_failure)
            .map_or(core::ptr::null(), |callback| callback as *const c_void)
    }

    fn ops<'a>(this: &Held<'a, Self>) -> Option<&'a bindings::dax_holder_operations> {
        // SAFETY: By the type invariant it is null or valid: for `'a` this is in the table or noted
        // as being called.
        unsafe { this.ops.as_ref() }
    }
}

/// A pin of a holder.
///
/// # Invariants
///
/// The holder's `pin` returned true for `data`. Only this value stands for that, and `unpin` may be
/// called once. It has a reference to `owner`, the module of the functions, or that is null.
pub(crate) struct FsPin {
    data: *mut c_void,
    unpin: unsafe extern "C" fn(*mut c_void),
    owner: *mut bindings::module,
}

impl Holder for FsHolder {
    fn identity(&self) -> usize {
        self.data.addr()
    }

    fn range(this: &Held<'_, Self>, registered: ByteRange) -> Option<ByteRange> {
        match &this.partition {
            // SAFETY: By the type invariant it is open: this is in the table, or noted there.
            Some(partition) => unsafe { partition.range() },
            None => Some(registered),
        }
    }

    /// [`None`] for a holder without pin operations.
    type Pin = Option<FsPin>;

    fn pin(this: &Held<'_, Self>) -> Option<Self::Pin> {
        let Some(ops) = Self::ops(this) else {
            return Some(None);
        };
        let Some((pin, unpin)) = ops.pin.zip(ops.unpin) else {
            return Some(None);
        };
        let (data, owner) = (this.data, ops.owner);
        // Nothing else may need the code of `unpin` when that is about to return.
        //
        // SAFETY: It is null, or the module whose functions may be called.
        if !unsafe { bindings::try_module_get(owner) } {
            return None;
        }
        // SAFETY: By the type invariant its functions may be called: this is in the table, or noted
        // there.
        if unsafe { pin(data) } {
            // INVARIANT: It returned true, and the reference to the module was taken.
            return Some(Some(FsPin { data, unpin, owner }));
        }
        // SAFETY: The reference was taken above.
        unsafe { bindings::module_put(owner) };
        None
    }

    fn unpin(&self, pin: Self::Pin) {
        let Some(FsPin { data, unpin, owner }) = pin else {
            return;
        };
        // SAFETY: By its type invariant, the pin keeps the holder until now.
        unsafe { unpin(data) };
        // SAFETY: By its type invariant, the pin had the reference.
        unsafe { bindings::module_put(owner) };
    }

    fn notify(this: &Held<'_, Self>, failure: &Failure) -> Result {
        let notify = Self::ops(this)
            .and_then(|ops| ops.notify_failure)
            .ok_or(EOPNOTSUPP)?;
        let (offset, len) = failure.extent.to_raw();
        let start = trace::shows_notify().then(Instant::<Monotonic>::now);
        // SAFETY: By the type invariant `notify` may be called for `dev`: this is in the table, or
        // noted there.
        let result = unsafe { notify(this.dev, offset, len, failure.flags) };
        if let Some(start) = start {
            let nanos = start.elapsed().as_nanos();
            trace::notify(
                this.minor,
                offset,
                len,
                failure.flags,
                this.data,
                result,
                nanos,
            );
        }
        to_result(result)
    }
}
