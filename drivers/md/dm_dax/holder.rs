// SPDX-License-Identifier: GPL-2.0

//! What the DAX core calls of a hub.

use super::{
    failure,
    hub::{
        self,
        Hub, //
    }, //
};
use kernel::{
    bindings,
    dax::units::ByteRange,
    module::this_module,
    prelude::*, //
};

/// C's flag as a number of the type that it comes in.
const MF_MEM_PRE_REMOVE: c_int = bindings::mf_flags_MF_MEM_PRE_REMOVE as c_int;

kernel::module_in_c!(DeviceMapper, c"dm_mod");

/// What a hub registers with the DAX core.
///
/// A hub that is pinned may be the last that needs the code: the core keeps the module until a call
/// of `unpin()` has returned.
pub(crate) const OPERATIONS: bindings::dax_holder_operations = bindings::dax_holder_operations {
    notify_failure: Some(notify_failure),
    owner: this_module::<DeviceMapper>().as_ptr(),
    pin: Some(pin),
    unpin: Some(unpin),
};

/// # Safety
///
/// For the DAX core alone, which has pinned the holder that it calls.
unsafe extern "C" fn notify_failure(
    dax_dev: *mut bindings::dax_device,
    offset: u64,
    len: u64,
    mf_flags: c_int,
) -> c_int {
    // SAFETY: By the function's contract; the core names the holder that this task is called for,
    // which is a hub.
    let Some(hub) = (unsafe { bindings::dax_holder(dax_dev).cast::<Hub>().as_ref() }) else {
        return ENXIO.to_errno();
    };
    let Some(_call) = hub.begin_call() else {
        pr_warn!("mapped devices are above each other in a circle, or too many: none is told\n");
        return EOPNOTSUPP.to_errno();
    };
    let result = if mf_flags & MF_MEM_PRE_REMOVE != 0 {
        failure::remove(hub)
    } else {
        failed_bytes(hub, offset, len)
            .ok_or(EINVAL)
            .and_then(|failed| failure::notify(hub, failed, mf_flags))
    };
    match result {
        Ok(()) => 0,
        Err(e) => e.to_errno(),
    }
}

/// The bytes of the block device of `hub` that failed.
fn failed_bytes(hub: &Hub, offset: u64, len: u64) -> Option<ByteRange> {
    match (offset, len) {
        (0, u64::MAX) => ByteRange::from_bounds(0, u64::MAX),
        _ => ByteRange::new(offset, len)?.relative_to(hub.origin()),
    }
}

/// # Safety
///
/// For the DAX core alone, which has not unregistered the holder.
unsafe extern "C" fn pin(holder: *mut c_void) -> bool {
    // SAFETY: By the function's contract it is a hub, which stays until it is unregistered.
    unsafe { &*holder.cast::<Hub>() }.pin()
}

/// # Safety
///
/// For the DAX core alone, for a pin of the holder.
unsafe extern "C" fn unpin(holder: *mut c_void) {
    // SAFETY: The function's contract.
    unsafe { hub::unpin(holder) };
}
