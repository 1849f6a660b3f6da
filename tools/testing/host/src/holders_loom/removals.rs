// SPDX-License-Identifier: GPL-2.0

//! A device is removed while holders come, go and are told.

use super::*;

/// The holder that stays is told once, whatever becomes of its neighbour in the list.
#[test]
fn an_old_holder_unregisters_during_a_removal() {
    check(ALL, || {
        let device = Device::new();
        let goes = Fs::mounted(&device, Kind::Old, 0);
        let stays = Fs::mounted(&device, Kind::Old, 10);
        let umount = task_of(&goes, Fs::end);
        device.kill();
        assert!(goes.removals() <= 1);
        assert_eq!(stays.removals(), 1);
        umount.join().unwrap();
        stays.end();
        assert!(device.is_empty());
    });
}

#[test]
fn who_registers_before_a_removal_is_told_of_it() {
    check(ALL, || {
        let device = Device::new();
        let first = Fs::mounted(&device, Kind::Pinned, 0);
        let second = Fs::new(&device, Kind::Pinned, 10, |_, _| ());
        let mount = task_of(&second, |fs| match fs.register() {
            Ok(()) => {}
            refused => {
                assert_eq!(refused, Err(Refusal::Dying));
                assert_ne!(fs.device().phase(), Phase::Alive);
                fs.0.ended.fetch_add(1, Ordering::Relaxed);
            }
        });
        let told = first.clone();
        device.table.kill(me(), REMOVAL, || {
            // All holders are notified before the wait for users, which some holders end.
            assert_eq!(told.removals(), 1);
            let late = Fs::new(&told.device(), Kind::Pinned, 20, |_, _| ());
            assert_eq!(late.register(), Err(Refusal::Dying));
        });
        let late = Fs::new(&device, Kind::Pinned, 20, |_, _| ());
        assert_eq!(late.register(), Err(Refusal::Dying));
        assert_eq!(device.fail(0, 10), Outcome::Dead);
        mount.join().unwrap();
        assert_eq!(first.removals(), 1);
        assert_eq!(second.removals() + second.ended(), 1);
        assert_eq!(first.failures() + second.failures(), 0);
    });
}

#[test]
fn a_removal_a_notification_and_a_registration() {
    check(FEW, || {
        let device = Device::new();
        let first = Fs::mounted(&device, Kind::Pinned, 0);
        let second = Fs::new(&device, Kind::Old, 10, |_, _| ());
        let mount = task_of(&second, |fs| {
            if fs.register().is_err() {
                fs.0.ended.fetch_add(1, Ordering::Relaxed);
            }
        });
        let notifier = task(&device, |device| {
            device.fail(0, 20);
        });
        device.kill();
        assert_eq!(device.fail(0, 20), Outcome::Dead);
        notifier.join().unwrap();
        mount.join().unwrap();
        assert_eq!(first.removals(), 1);
        assert_eq!(second.removals() + second.ended(), 1);
        assert!(first.failures() <= 1 && second.failures() <= 1);
    });
}

#[test]
fn the_second_removal_waits_for_the_first() {
    check(FEW, || {
        let device = Device::new();
        // From within its callback it gets back at once.
        let fs = Fs::scripted(&device, Kind::Pinned, 0, |fs, _| {
            let device = fs.device();
            device.table.kill(me(), REMOVAL, || panic!("closed twice"));
            assert_eq!(device.phase(), Phase::Dying(me()));
            assert!(!device.table.revive());
        });
        let closed = Arc::new(Memory::new());
        let remove = |device: &Device, closed: &Memory| {
            device.table.kill(me(), REMOVAL, || closed.write());
            assert!(closed.read(), "back before the device was closed");
        };
        let other = {
            let closed = closed.clone();
            task(&device, move |device| remove(device, &closed))
        };
        remove(&device, &closed);
        other.join().unwrap();
        assert_eq!(device.phase(), Phase::Dead);
        assert_eq!(fs.removals(), 1);
    });
}

/// Callbacks that tell their own holder take up all notes but that of the removal, and the last one
/// waits for the removal.
#[test]
fn a_removal_waits_for_no_note_of_others() {
    check(FEW, || {
        let device = Device::new();
        let fs = Fs::scripted(&device, Kind::Pinned, 0, |fs, failure| {
            let Extent::Bytes(bytes) = failure.extent else {
                return;
            };
            if bytes.len() > 1 {
                fs.device().fail(0, bytes.len() - 1);
            } else {
                fs.device().wait_for(Gate::Open);
            }
        });
        let notifier = task(&device, |device| {
            device.fail(0, MAX_CALLS as u64);
        });
        device.kill();
        device.set(Gate::Open);
        notifier.join().unwrap();
        assert_eq!(fs.removals(), 1);
        assert!(fs.failures() <= MAX_CALLS);
    });
}

#[test]
fn a_removal_waits_for_no_callback_of_others() {
    check(FEW, || {
        let device = Device::new();
        let fs = Fs::scripted(&device, Kind::Pinned, 0, |fs, failure| {
            if failure.flags == MEDIA {
                fs.device().wait_for(Gate::Open);
            }
        });
        let notifier = task(&device, |device| {
            device.fail(0, 10);
        });
        device.kill();
        device.set(Gate::Open);
        notifier.join().unwrap();
        assert_eq!(fs.removals(), 1);
    });
}

#[test]
fn a_revival_and_a_removal() {
    check(ALL, || {
        let device = Device::new();
        let fs = Fs::new(&device, Kind::Pinned, 0, |_, _| ());
        let reuse = task_of(&fs, |fs| {
            if !fs.device().table.revive() || fs.register().is_err() {
                fs.0.ended.fetch_add(1, Ordering::Relaxed);
            }
        });
        device.kill();
        reuse.join().unwrap();
        let expected = match device.phase() {
            Phase::Dead => 1 - fs.ended(),
            _ => 0,
        };
        assert_eq!(fs.removals(), expected);
    });
}
