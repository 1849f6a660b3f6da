// SPDX-License-Identifier: GPL-2.0

//! Signals to those who use memory that failed.

use super::{
    mapping::Space,
    ranges::Addresses,
    search::LiveSpace,
    sort::sort_by_key,
    trace,
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
    mm::pfn::Pfn,
    prelude::*,
    str::CStr,
    sync::{
        aref::ARef,
        rcu, //
    },
    task::{
        cond_resched,
        Task, //
    },
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

/// A process with memory, by a thread that has not ended, while nothing of it is freed.
///
/// # Invariants
///
/// The `task_struct` is valid as long as the RCU section that `'a` is a part of.
#[derive(Clone, Copy)]
struct Process<'a>(NonNull<bindings::task_struct>, PhantomData<&'a ()>);

/// What `look` says of each process with memory of which it says something. Sleeps, but not in
/// `look`.
///
/// Goes by the numbers of processes, each in an RCU section of its own: how many there are, and what
/// is done about them, is up to users. A process that is there all the time is not missed.
fn processes<T>(mut look: impl FnMut(Process<'_>) -> Option<T>) -> impl Iterator<Item = T> {
    let mut number = 0;
    core::iter::from_fn(move || loop {
        cond_resched();
        if number < 0 {
            return None;
        }
        let _guard = rcu::read_lock();
        // SAFETY: In an RCU section.
        let task = NonNull::new(unsafe { bindings::mf_next_process(&mut number) });
        // INVARIANT: The section goes on until `look` is done.
        if let Some(said) = task.and_then(|task| look(Process(task, PhantomData))) {
            return Some(said);
        }
    })
}

impl Process<'_> {
    /// The number of the address space; 0 for one that has just ended.
    fn space(&self) -> usize {
        // SAFETY: The type invariant. Only the number is of interest.
        unsafe { bindings::mf_task_mm(self.0.as_ptr()) }.addr()
    }

    /// The task of this process that is told at once; [`None`] if none is.
    ///
    /// Memory that goes away is everybody's loss, and no process will get a second chance to hear of
    /// it. Memory that failed is told those who asked for it, and the task that stumbled upon it. All
    /// others hear of it when they touch it: the fault asks the device.
    fn recipient(&self, flags: Flags) -> Option<ARef<Task>> {
        if self.space() == 0 {
            return None;
        }
        let task = if flags.is_removal() {
            self.0.as_ptr()
        } else {
            // SAFETY: The type invariant; in an RCU section.
            unsafe {
                bindings::task_early_kill(self.0.as_ptr(), c_int::from(flags.is_action_required()))
            }
        };
        // SAFETY: Null, one of the threads of this process, or the current task; and `Task` is
        // transparent.
        unsafe { task.cast::<Task>().as_ref() }.map(ARef::from)
    }
}

/// Sends `task` what `hit` says.
fn signal(task: &Task, hit: &Hit, flags: Flags) {
    let mut comm = [0u8; 16];
    // SAFETY: The task is valid. The name may change meanwhile, but it always ends.
    unsafe {
        for (to, from) in comm.iter_mut().zip((*task.as_ptr()).comm.iter()) {
            *to = *from;
        }
    }
    let name = CStr::from_bytes_until_nul(&comm).unwrap_or(c"?");
    let pid = task.pid();
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
    let must_act = flags.is_action_required() && ptr::eq(task.as_ptr(), Task::current_raw());
    // One signal names a part of what was lost, and a task that has not taken the last yet
    // gets no other. What is gone for good need not be named to the byte.
    let names = if flags.is_removal() { 1 } else { usize::MAX };
    for block in hit.addresses.blocks().take(names) {
        let address = ptr::without_provenance_mut(block.address);
        // CAST: Less than 64.
        let lsb = block.lsb as c_short;
        let code = if must_act {
            bindings::BUS_MCEERR_AR as c_int
        } else {
            bindings::BUS_MCEERR_AO as c_int
        };
        // SAFETY: The task is valid. The address is the process's, and not used here.
        let result = unsafe {
            if must_act {
                bindings::force_sig_mceerr(code, address, lsb)
            } else {
                bindings::send_sig_mceerr(code, address, lsb, task.as_ptr())
            }
        };
        trace::signal(task, &block, code, result);
        if result < 0 {
            pr_info!("Error sending signal to {}:{}: {}\n", name, pid, result);
            break;
        }
    }
}

/// The address space of each process that has one. Sleeps.
pub(crate) fn live_spaces() -> impl Iterator<Item = LiveSpace> {
    // SAFETY: The type invariant of `Process`.
    processes(|process| unsafe { LiveSpace::of(process.0.as_ptr()) })
}

/// Whether there is any process that would be told at once if it lost something. Sleeps.
///
/// Rare. A task that asks for it from now on gets SIGBUS when it touches what it lost.
pub(crate) fn is_anyone_told(flags: Flags) -> bool {
    if flags.is_removal() {
        return true;
    }
    // SAFETY: Always safe to call.
    match unsafe { bindings::mf_anyone_early(c_int::from(flags.is_action_required())) } {
        0 => false,
        1.. => true,
        // There are too many for one RCU section.
        _ => processes(|process| process.recipient(flags))
            .next()
            .is_some(),
    }
}

/// Signals those who lost something and are to be told at once. Sleeps.
///
/// Goes through all processes once, whatever the number of hits. `hits` comes back in another order.
pub(crate) fn tell(hits: &mut [Hit], flags: Flags) {
    if hits.is_empty() {
        return;
    }
    sort_by_key(hits, |hit| (hit.space.id(), hit.addresses.start()));
    let of = |space| {
        let first = hits.partition_point(|hit| hit.space.id() < space);
        let after = hits.partition_point(|hit| hit.space.id() <= space);
        hits.get(first..after).filter(|hits| !hits.is_empty())
    };
    let told = processes(|process| {
        let hits = of(process.space())?;
        Some((process.recipient(flags)?, hits))
    });
    for (task, hits) in told {
        for hit in hits {
            signal(&task, hit, flags);
            cond_resched();
        }
    }
}
