// SPDX-License-Identifier: GPL-2.0

//! Signals to tasks that use failed memory.

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
    /// The address space.
    pub(crate) space: Space,
    /// The addresses.
    pub(crate) addresses: Addresses,
    /// A frame that failed, if one is known; for the log.
    pub(crate) frame: Option<Pfn>,
}

/// A process with memory, by a thread that has not exited and is not freed yet.
///
/// # Invariants
///
/// The `task_struct` is valid during the RCU section that `'a` is a part of.
#[derive(Clone, Copy)]
struct Process<'a>(NonNull<bindings::task_struct>, PhantomData<&'a ()>);

/// Calls `look` for each process with memory, and iterates over what it returns. Sleeps, but not in
/// `look`.
///
/// Walks process IDs, each in an RCU section of its own, because users control the number of
/// processes and the work for each. A process that exists all the time is not missed.
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
    /// The identity of the address space; 0 if it has just gone.
    fn space(&self) -> usize {
        // SAFETY: The type invariant. Only the number is of interest.
        unsafe { bindings::mf_task_mm(self.0.as_ptr()) }.addr()
    }

    /// The task of this process that is signalled immediately; [`None`] if none is.
    ///
    /// A removal is signalled to every process, which gets no second chance to learn of it. A
    /// failure is signalled to early-kill tasks, and to the task that consumed the poison. Every
    /// other process gets SIGBUS on access, because the fault asks the device.
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

/// Sends `task` the signals of `hit`.
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
    // One signal names a part of what was lost, and a task with a pending signal gets no other. For
    // removed memory, one signal is enough.
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

/// Whether any process would be signalled immediately if it lost something. Sleeps.
///
/// Rare. A task that opts in after this point gets SIGBUS on access.
pub(crate) fn is_anyone_told(flags: Flags) -> bool {
    if flags.is_removal() {
        return true;
    }
    // SAFETY: Always safe to call.
    match unsafe { bindings::mf_anyone_early(c_int::from(flags.is_action_required())) } {
        0 => false,
        1.. => true,
        // There are too many processes for one RCU section.
        _ => processes(|process| process.recipient(flags))
            .next()
            .is_some(),
    }
}

/// Signals the early-kill tasks that lost something. Sleeps.
///
/// Walks all processes once, whatever the number of hits. Reorders `hits`.
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
