// SPDX-License-Identifier: GPL-2.0

//! The state of a device in debugfs.

use super::{
    device::{
        DaxDevice,
        Flag, //
    },
    fs_holder::FsHolder,
    holder_table::{
        Phase,
        Stage, //
    },
    hosts, //
};
use kernel::{
    bindings,
    debugfs::{
        Dir,
        File, //
    },
    fmt,
    prelude::*,
    str::CString,
    sync::SetOnce, //
};

static DIR: SetOnce<Dir> = SetOnce::new();

/// Creates the directory. Called once, early.
pub(crate) fn init() {
    DIR.populate(Dir::new(c"dax"));
}

/// A device, to be shown.
///
/// # Invariants
///
/// The device is valid: the [`View`] that owns this is dropped before it.
struct Shown(*const DaxDevice);

// SAFETY: The device may be used by any task.
unsafe impl Send for Shown {}
// SAFETY: The device may be used by any task.
unsafe impl Sync for Shown {}

/// The file `/sys/kernel/debug/dax/MINOR`.
pub(crate) struct View {
    _file: Pin<KBox<File<Shown>>>,
}

impl View {
    /// Creates the file of `device`. A failure is ignored, because the device works without it.
    ///
    /// # Safety
    ///
    /// What this returns must be dropped before `device` is.
    pub(crate) unsafe fn new(device: &DaxDevice) -> Option<Self> {
        let name = CString::try_from_fmt(fmt!("{}", device.minor())).ok()?;
        // INVARIANT: By the function's contract the view goes before the device.
        let file = DIR
            .as_ref()?
            .read_callback_file(&name, Shown(device), &show);
        Some(Self {
            _file: KBox::pin_init(file, GFP_KERNEL).ok()?,
        })
    }
}

fn show(shown: &Shown, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    // SAFETY: By the type invariant the device is valid.
    let device = unsafe { &*shown.0 };
    let state = match device.look(|table| table.phase()) {
        Phase::Alive => "alive",
        Phase::Dying(_) => "dying",
        Phase::Dead => "dead",
    };
    writeln!(f, "state: {state}")?;
    hosts::name_of(device, |name| {
        writeln!(f, "disk: {}", name.to_str().unwrap_or("?"))
    })?;
    f.write_str("flags:")?;
    for (flag, name) in Flag::NAMED {
        if device.has(flag) {
            write!(f, " {name}")?;
        }
    }
    let counters = device.counters();
    writeln!(f)?;
    writeln!(f, "notified: {}", counters.notified)?;
    writeln!(f, "failed: {}", counters.failed)?;
    writeln!(f, "refused: {}", counters.refused)?;
    device.look(|table| {
        for seen in table.registrations() {
            let (start, end) = seen.range.map_or((0, 0), |r| (r.start(), r.end()));
            write!(f, "holder: {start:#x}-{end:#x} ")?;
            show_symbol(f, FsHolder::callback_address(&seen.holder))?;
            let stage = match seen.stage {
                Stage::In => "",
                Stage::Leaving => " leaving",
                Stage::Stale => " stale",
            };
            writeln!(f, " calls {} running {}{stage}", seen.told, seen.running)?;
        }
        Ok(())
    })
}

/// Writes the symbol at `address`.
fn show_symbol(f: &mut fmt::Formatter<'_>, address: *const c_void) -> fmt::Result {
    if address.is_null() {
        return f.write_str("none");
    }
    let mut buffer = [0u8; bindings::KSYM_SYMBOL_LEN];
    // SAFETY: The buffer is as large as C's function demands.
    let len =
        unsafe { bindings::sprint_symbol_no_offset(buffer.as_mut_ptr().cast(), address.addr()) };
    let name = usize::try_from(len).ok().and_then(|len| buffer.get(..len));
    f.write_str(
        name.and_then(|name| core::str::from_utf8(name).ok())
            .unwrap_or("?"),
    )
}
