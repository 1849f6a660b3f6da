// SPDX-License-Identifier: GPL-2.0

//! What a holder of a `dax_device` has to know of the DAX core, which notifies it.

/// How many callbacks may run on one device at the same time besides that of the task that removes
/// the device; the next one waits.
///
/// `memory_failure()` runs once at a time in the whole system; a removal and agents of user space
/// come on top. The limit is not reached unless callbacks hang. Because of it, a notification needs
/// no memory.
pub const MAX_CALLS: usize = 8;

/// How many callbacks may run on one device at the same time: [`MAX_CALLS`], and one of the task
/// that removes the device. A holder that notes the calling tasks needs room for so many.
pub const MAX_CALLS_AND_REMOVAL: usize = MAX_CALLS + 1;
