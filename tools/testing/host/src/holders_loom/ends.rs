// SPDX-License-Identifier: GPL-2.0

//! A holder ends while others tell it.

use super::*;

#[test]
fn a_pinned_holder_ends_while_it_is_told() {
    check(ALL, || {
        let device = Device::new();
        let fs = Fs::mounted(&device, Kind::Pinned, 0);
        let umount = task_of(&fs, Fs::put);
        let outcome = device.fail(0, 10);
        let expected = match fs.failures() {
            0 => Outcome::Unheld,
            _ => Outcome::Told(Ok(())),
        };
        assert_eq!(outcome, expected);
        umount.join().unwrap();
        assert_eq!(fs.ended(), 1);
        assert!(device.is_empty());
    });
}

#[test]
fn a_pinned_holder_ends_while_two_tell_it() {
    check(FEW, || {
        let device = Device::new();
        let fs = Fs::mounted(&device, Kind::Pinned, 0);
        let umount = task_of(&fs, Fs::put);
        let notifier = task(&device, |device| {
            device.fail(5, 10);
        });
        device.fail(0, 10);
        notifier.join().unwrap();
        umount.join().unwrap();
        assert_eq!(fs.ended(), 1);
        assert!(device.is_empty());
    });
}

#[test]
fn a_pinned_holder_ends_while_it_is_told_and_its_device_removed() {
    check(FEW, || {
        let device = Device::new();
        let fs = Fs::mounted(&device, Kind::Pinned, 0);
        let umount = task_of(&fs, Fs::put);
        let notifier = task(&device, |device| {
            device.fail(0, 10);
        });
        device.kill();
        assert!(fs.removals() <= 1);
        assert_eq!(device.phase(), Phase::Dead);
        notifier.join().unwrap();
        umount.join().unwrap();
        assert_eq!(fs.ended(), 1);
        assert!(device.is_empty());
    });
}

/// Where an unmount is another task's work, a note that outlasts the pin would be in its way.
#[test]
fn the_end_that_a_pin_waits_for_waits_for_no_note() {
    check(FEW, || {
        let device = Device::new();
        let fs = Fs::mounted(&device, Kind::EndedByOther, 0);
        let worker = task_of(&fs, |fs| {
            fs.device().wait_for(Gate::Open);
            fs.end();
            fs.device().set(Gate::Passed);
        });
        let umount = task_of(&fs, Fs::put);
        device.fail(0, 10);
        umount.join().unwrap();
        worker.join().unwrap();
        assert_eq!(fs.ended(), 1);
    });
}

#[test]
fn an_old_holder_unregisters_while_it_is_told() {
    check(ALL, || {
        let device = Device::new();
        let fs = Fs::mounted(&device, Kind::Old, 0);
        let umount = task_of(&fs, Fs::end);
        device.fail(0, 10);
        umount.join().unwrap();
        assert!(device.is_empty());
    });
}

/// When a new holder gets the bytes of one that goes, no callback of the old one works on them.
#[test]
fn a_holder_that_leaves_keeps_its_bytes() {
    check(FEW, || {
        let device = Device::new();
        let fs = Fs::scripted(&device, Kind::Old, 0, |fs, _| {
            fs.device().media.read();
        });
        let next = Fs::new(&device, Kind::Old, 5, |_, _| ());
        let umount = task_of(&fs, Fs::end);
        let mount = task_of(&next, |fs| match fs.register() {
            Ok(()) => fs.device().media.write(),
            refused => assert_eq!(refused, Err(Refusal::Overlap(bytes(5, 10)))),
        });
        device.fail(0, 10);
        umount.join().unwrap();
        mount.join().unwrap();
    });
}

#[test]
fn an_old_holder_unregisters_while_two_tell_it() {
    check(FEW, || {
        let device = Device::new();
        let fs = Fs::mounted(&device, Kind::Old, 0);
        let umount = task_of(&fs, Fs::end);
        let notifier = task(&device, |device| {
            device.fail(0, 10);
        });
        device.fail(0, 10);
        notifier.join().unwrap();
        umount.join().unwrap();
        assert!(device.is_empty());
    });
}

/// A holder that ends itself in its callback, while another task is in the same callback.
#[test]
fn an_old_holder_unregisters_in_its_callback() {
    check(ALL, || {
        let device = Device::new();
        let fs = Fs::scripted(&device, Kind::Old, 0, |fs, _| {
            if fs.0.active.swap(0, Ordering::AcqRel) == 1 {
                fs.end();
                assert!(fs.device().table.current(me()).is_none());
            }
        });
        let notifier = task(&device, |device| {
            device.fail(0, 10);
        });
        device.fail(0, 10);
        notifier.join().unwrap();
        assert_eq!(fs.ended(), 1);
        assert!(device.is_empty());
    });
}

/// Callbacks that tell their own holder take up all notes; loom has too few tasks for that.
#[test]
fn a_call_waits_for_a_note() {
    check(FEW, || {
        let device = Device::new();
        let fs = Fs::scripted(&device, Kind::Old, 0, |fs, failure| {
            let left = match failure.extent {
                Extent::Bytes(bytes) => bytes.len() - 1,
                Extent::Whole => 0,
            };
            if left > 0 {
                assert_eq!(fs.device().fail(0, left), Outcome::Told(Ok(())));
            }
        });
        let other = task(&device, |device| {
            assert_eq!(device.fail(0, 1), Outcome::Told(Ok(())));
        });
        let all = MAX_CALLS as u64;
        assert_eq!(device.fail(0, all), Outcome::Told(Ok(())));
        other.join().unwrap();
        assert_eq!(fs.failures(), MAX_CALLS + 1);
    });
}
