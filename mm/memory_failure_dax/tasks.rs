// SPDX-License-Identifier: GPL-2.0

//! Signals to those who use memory that failed.

use super::{
    mapping::Space,
    ranges::Addresses,
    search::LiveSpace,
    sort::sort_by_key,
    Flags, //
};
use core::{
    marker::PhantomData,
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::{
    bindings,
    dax::units::Pfn,
    prelude::*,
    str::CStr,
    sync::rcu,
    task::Task, //
};

/// Addresses of a process that have lost their memory.
pub(crate) struct Hit {
    /// Whose addresses.
    pub(crate) space: Space,
    /// Which ones.
    pub(crate) addresses: Addresses,
    /// A frame that failed, if one is known; for people.
    pub(crate) frame: Option<Pfn>,
}

/// A task while nothing of it is freed.
///
/// # Invariants
///
/// The `task_struct` is valid as long as the RCU section that `'a` is a part of.
#[derive(Clone, Copy)]
struct Process<'a>(NonNull<bindings::task_struct>, PhantomData<&'a ()>);

/// Every process.
fn processes(_guard: &rcu::Guard) -> impl Iterator<Item = Process<'_>> {
    let mut at = ptr::null_mut();
    core::iter::from_fn(move || {
        // SAFETY: In an RCU section, with null or a task that it returned.
        at = unsafe { bindings::mf_next_process(at) };
        // INVARIANT: The section goes on.
        NonNull::new(at).map(|task| Process(task, PhantomData))
    })
}

impl<'a> Process<'a> {
    /// The number of the address space; 0 for none.
    fn space(&self) -> usize {
        // SAFETY: The type invariant. Only the number is of interest.
        unsafe { bindings::mf_task_mm(self.0.as_ptr()) }.addr()
    }

    /// The task of this process that is told at once; [`None`] if none is.
    ///
    /// Memory that goes away is everybody's loss, and no process will get a second chance to hear of
    /// it. Memory that failed is told those who asked for it, and the task that stumbled upon it. All
    /// others hear of it when they touch it: the fault asks the device.
    fn recipient(&self, flags: Flags) -> Option<Process<'a>> {
        if self.space() == 0 {
            return None;
        }
        if flags.is_removal() {
            return Some(*self);
        }
        // SAFETY: The type invariant; in an RCU section.
        let task = unsafe {
            bindings::task_early_kill(self.0.as_ptr(), c_int::from(flags.is_action_required()))
        };
        // INVARIANT: One of the threads of this process, or the current task.
        NonNull::new(task).map(|task| Process(task, PhantomData))
    }

    /// Sends what `hit` says.
    fn signal(&self, hit: &Hit, flags: Flags) {
        let task = self.0.as_ptr();
        let mut comm = [0u8; 16];
        // SAFETY: The type invariant. The name may change meanwhile, but it always ends.
        unsafe {
            for (to, from) in comm.iter_mut().zip((*task).comm.iter()) {
                *to = *from;
            }
        }
        let name = CStr::from_bytes_until_nul(&comm).unwrap_or(c"?");
        // SAFETY: The type invariant.
        let pid = unsafe { (*task).pid };
        let why = if flags.is_removal() {
            "because its device is removed"
        } else {
            "due to hardware memory corruption"
        };
        pr_err!(
            "{:#x}: Sending SIGBUS to {}:{} {}\n",
            hit.frame.map_or(0, |frame| frame.0),
            name,
            pid,
            why
        );
        // One signal names a part of what was lost, and a task that has not taken the last yet
        // gets no other. What is gone for good need not be named to the byte.
        let names = if flags.is_removal() { 1 } else { usize::MAX };
        for block in hit.addresses.blocks().take(names) {
            let address = ptr::without_provenance_mut(block.address);
            // CAST: Less than 64.
            let lsb = block.lsb as c_short;
            let must_act = flags.is_action_required() && ptr::eq(task, Task::current_raw());
            // SAFETY: The type invariant. The address is the process's, and not used here.
            let result = unsafe {
                if must_act {
                    bindings::force_sig_mceerr(bindings::BUS_MCEERR_AR as c_int, address, lsb)
                } else {
                    bindings::send_sig_mceerr(bindings::BUS_MCEERR_AO as c_int, address, lsb, task)
                }
            };
            if result < 0 {
                pr_info!("Error sending signal to {}:{}: {}\n", name, pid, result);
                break;
            }
        }
    }
}

/// Calls `f` for the address space of each process, until it returns false; whether it never did.
///
/// `f` must not sleep.
pub(crate) fn each_address_space(mut f: impl FnMut(LiveSpace) -> bool) -> bool {
    let guard = rcu::read_lock();
    for process in processes(&guard) {
        // SAFETY: The type invariant of `Process`.
        if let Some(space) = unsafe { LiveSpace::of(process.0.as_ptr()) } {
            if !f(space) {
                return false;
            }
        }
    }
    true
}

/// Signals those who lost something and are to be told at once.
///
/// Goes through all processes once, whatever the number of hits. `hits` comes back in another order.
pub(crate) fn tell(hits: &mut [Hit], flags: Flags) {
    if hits.is_empty() {
        return;
    }
    sort_by_key(hits, |hit| (hit.space.id(), hit.addresses.start()));
    let guard = rcu::read_lock();
    for process in processes(&guard) {
        let space = process.space();
        let first = hits.partition_point(|hit| hit.space.id() < space);
        let mut of_process = hits
            .get(first..)
            .unwrap_or(&[])
            .iter()
            .take_while(|hit| hit.space.id() == space)
            .peekable();
        if of_process.peek().is_none() {
            continue;
        }
        if let Some(task) = process.recipient(flags) {
            for hit in of_process {
                task.signal(hit, flags);
            }
        }
    }
}
