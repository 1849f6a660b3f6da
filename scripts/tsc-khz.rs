// SPDX-License-Identifier: GPL-2.0

//! Prints how many thousand ticks a second this machine's time stamp counter makes, or nothing if
//! it has none.  QEMU without KVM gives that counter to its guests.

use std::time::{Duration, Instant};

/// Both clocks at one moment: of many readings the one that was interrupted least.
#[cfg(target_arch = "x86_64")]
fn both() -> (Instant, u64) {
    let readings = (0..50).map(|_| {
        let before = Instant::now();
        // SAFETY: Every x86-64 processor has it.
        let ticks = unsafe { core::arch::x86_64::_rdtsc() };
        (before.elapsed(), before, ticks)
    });
    let (_, at, ticks) = readings.min().expect("there are some");
    (at, ticks)
}

fn main() {
    #[cfg(target_arch = "x86_64")]
    {
        let (start, first) = both();
        std::thread::sleep(Duration::from_millis(50));
        let (end, last) = both();
        let microseconds = (end - start).as_nanos() / 1000;
        let ticks = u128::from(last.saturating_sub(first));
        println!("{}", ticks * 1000 / microseconds);
    }
}
