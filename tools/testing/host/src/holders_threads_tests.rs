// SPDX-License-Identifier: GPL-2.0

//! `drivers/dax/dax_core/holders.rs` with several tasks, and cases of one task written out.
//!
//! These need more tasks than loom can explore, or are easier to read one by one.

use crate::{
    failure::{
        Extent,
        Failure, //
    },
    holder_table::{
        Phase,
        Refusal,
        Stage,
        MAX_CALLS, //
    },
    holders::{
        Holders,
        Outcome, //
    },
    holders_world::{
        me,
        Manner,
        Tester,
        World,
        MEDIA,
        REMOVAL, //
    },
};
use kernel::{
    dax::units::ByteRange,
    error::Result,
    prelude::EIO, //
};
use std::{
    sync::{
        atomic::{
            AtomicBool,
            AtomicUsize,
            Ordering::SeqCst, //
        },
        Arc, //
    },
    thread,
    time::{
        Duration,
        Instant, //
    }, //
};

fn bytes(start: u64, end: u64) -> ByteRange {
    ByteRange::from_bounds(start, end).unwrap()
}

fn failure(start: u64, end: u64) -> Failure {
    Failure {
        extent: Extent::Bytes(bytes(start, end)),
        flags: MEDIA,
    }
}

/// A world whose first holders have ten bytes each.
fn world(manners: &[Manner]) -> Arc<World> {
    let world = World::new();
    for (number, manner) in manners.iter().enumerate() {
        let start = number as u64 * 10;
        let result = world
            .device
            .register(bytes(start, start + 10), &world.tester(number));
        assert_eq!(result, Ok(()));
        world.behaves(number, *manner);
    }
    world
}

/// Which holder was notified of which failure, in order.
fn told(world: &World) -> Vec<(usize, Extent, i32)> {
    let log = world.log().into_iter();
    log.map(|told| (told.tester, told.failure.extent, told.failure.flags))
        .collect()
}

const FINE: Manner = Manner::Answers(Ok(()));

#[test]
fn the_first_error_is_the_answer_and_all_are_told() {
    let world = world(&[FINE, Manner::Answers(Err(EIO)), FINE]);
    let outcome = world.device.notify(me(), &failure(5, 25));
    assert_eq!(outcome, Outcome::Told(Err(EIO)));
    let extent = |start, end| Extent::Bytes(bytes(start, end));
    let expected = [
        (0, extent(5, 10), MEDIA),
        (1, extent(10, 20), MEDIA),
        (2, extent(20, 25), MEDIA),
    ];
    assert_eq!(told(&world), expected);
    // One byte has no holder.
    assert_eq!(world.device.notify(me(), &failure(29, 31)), Outcome::Unheld);
}

#[test]
fn reasons_to_refuse() {
    let world = world(&[FINE]);
    let device = &world.device;
    assert_eq!(
        device.register(bytes(20, 30), &world.tester(0)),
        Err(Refusal::Twice)
    );
    assert_eq!(
        device.register(bytes(5, 15), &world.tester(1)),
        Err(Refusal::Overlap(bytes(5, 10)))
    );
    device.kill(me(), REMOVAL, || ());
    assert_eq!(
        device.register(bytes(20, 30), &world.tester(1)),
        Err(Refusal::Dying)
    );
    assert_eq!(device.look(|table| table.counters()).refused, 3);
    // The range of the holder that outlived the device is free again.
    assert!(device.revive());
    assert_eq!(device.register(bytes(5, 15), &world.tester(1)), Ok(()));
    assert!(device.unregister(me(), &world.tester(0)));
    assert!(!device.unregister(me(), &world.tester(0)));
}

/// A removal waits for no other task's callback, so a notification may find the device dead.
#[test]
fn a_removal_overtakes_a_notification() {
    fn remove(tester: &Tester, failure: &Failure) -> Result {
        let world = tester.world();
        if failure.flags == MEDIA {
            let remover = thread::spawn(move || world.device.kill(me(), REMOVAL, || ()));
            remover.join().unwrap();
        }
        Ok(())
    }
    let world = world(&[Manner::Scripted(remove), FINE]);
    assert_eq!(world.device.notify(me(), &failure(0, 20)), Outcome::Unheld);
    let expected = [
        (0, Extent::Whole, REMOVAL),
        (1, Extent::Whole, REMOVAL),
        (0, Extent::Bytes(bytes(0, 10)), MEDIA),
    ];
    assert_eq!(told(&world), expected);
    assert_eq!(world.device.look(|table| table.phase()), Phase::Dead);
    assert_eq!(world.device.notify(me(), &failure(0, 20)), Outcome::Dead);
}

/// The same by the task that notifies.
#[test]
fn a_callback_may_remove_the_device() {
    fn remove(tester: &Tester, failure: &Failure) -> Result {
        if failure.flags == MEDIA {
            tester.world().device.kill(me(), REMOVAL, || ());
        }
        Ok(())
    }
    let world = world(&[Manner::Scripted(remove), FINE]);
    assert_eq!(world.device.notify(me(), &failure(0, 20)), Outcome::Unheld);
    let expected = [
        (0, Extent::Whole, REMOVAL),
        (1, Extent::Whole, REMOVAL),
        (0, Extent::Bytes(bytes(0, 10)), MEDIA),
    ];
    assert_eq!(told(&world), expected);
}

#[test]
fn more_calls_than_can_be_noted() {
    const TASKS: usize = MAX_CALLS + 4;
    static OPEN: AtomicBool = AtomicBool::new(false);
    static RUNNING: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);
    fn linger(_: &Tester, _: &Failure) -> Result {
        MOST.fetch_max(RUNNING.fetch_add(1, SeqCst) + 1, SeqCst);
        while !OPEN.load(SeqCst) {
            thread::yield_now();
        }
        RUNNING.fetch_sub(1, SeqCst);
        Ok(())
    }

    let world = world(&[Manner::Scripted(linger), FINE]);
    let started = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..TASKS {
            scope.spawn(|| {
                started.fetch_add(1, SeqCst);
                let outcome = world.device.notify(me(), &failure(0, 20));
                assert_eq!(outcome, Outcome::Told(Ok(())));
            });
        }
        while RUNNING.load(SeqCst) < MAX_CALLS || started.load(SeqCst) < TASKS {
            thread::yield_now();
        }
        // No other task gets in while all of them are inside; a holder that is not called may go.
        let calls = world.device.look(|table| {
            table
                .registrations()
                .map(|seen| seen.running)
                .sum::<usize>()
        });
        assert_eq!(calls, MAX_CALLS);
        OPEN.store(true, SeqCst);
    });
    assert_eq!(MOST.load(SeqCst), MAX_CALLS);
    let counters = world.device.look(|table| table.counters());
    assert_eq!((counters.notified, counters.failed), (2 * TASKS as u64, 0));
    assert_eq!(told(&world).len(), 2 * TASKS);
}

/// Bytes that change hands during a notification are counted once.
#[test]
fn a_notification_is_for_those_who_were_there() {
    fn hand_over(tester: &Tester, _: &Failure) -> Result {
        let world = tester.world();
        assert!(world.device.unregister(me(), tester));
        let next = (tester.number + 1) % 2;
        let result = world.device.register(bytes(0, 10), &world.tester(next));
        assert_eq!(result, Ok(()));
        // A report that also notified holders that are registered meanwhile would never end.
        if next == 0 {
            world.behaves(0, FINE);
        }
        Ok(())
    }
    let world = world(&[Manner::Scripted(hand_over)]);
    world.behaves(1, Manner::Scripted(hand_over));
    // The second half never had a holder.
    let outcome = world.device.notify(me(), &failure(0, 20));
    assert_eq!(told(&world), [(0, Extent::Bytes(bytes(0, 10)), MEDIA)]);
    assert_eq!(outcome, Outcome::Unheld);
}

/// A task that calls a holder in another's callback is calling the latter no less, but later.
#[test]
fn the_current_holder_is_that_of_the_innermost_call() {
    fn remove(tester: &Tester, failure: &Failure) -> Result {
        if failure.flags == MEDIA {
            tester.world().device.kill(me(), REMOVAL, || ());
        }
        Ok(())
    }
    let world = world(&[FINE, Manner::Scripted(remove), FINE]);
    world.device.notify(me(), &failure(10, 20));
    let seen: Vec<_> = world.log().iter().map(|t| (t.tester, t.current)).collect();
    let itself = |tester| (tester, [Some(tester); 2]);
    assert_eq!(seen, [itself(0), itself(1), itself(2), itself(1)]);
}

/// One that registers anew after a revival does not have to unregister twice to be safe.
#[test]
fn unregistering_is_about_the_registration_that_counts() {
    let world = world(&[FINE]);
    let device = &world.device;
    device.kill(me(), REMOVAL, || ());
    assert!(device.revive());
    assert_eq!(device.register(bytes(0, 10), &world.tester(0)), Ok(()));
    world.log();
    assert!(device.unregister(me(), &world.tester(0)));
    assert_eq!(device.notify(me(), &failure(0, 10)), Outcome::Unheld);
    assert_eq!(told(&world), []);
}

/// Has the first holder's callback run, and that holder wait for it in order to leave, while `f`.
fn while_leaving<R>(f: impl FnOnce(&Arc<World>) -> R) -> R {
    fn linger(tester: &Tester, failure: &Failure) -> Result {
        let start = Instant::now();
        let world = tester.world();
        while failure.flags == MEDIA && !world.open.load(SeqCst) {
            if start.elapsed() > Duration::from_secs(20) {
                // A task waits for this callback that must not: end the test, which fails.
                world.open.store(true, SeqCst);
            }
            thread::yield_now();
        }
        Ok(())
    }
    let world = world(&[Manner::Scripted(linger), FINE]);
    let device = &world.device;
    let seen = || {
        device.look(|table| {
            let first = table.registrations().next();
            first.map(|first| (first.stage, first.running))
        })
    };
    let wait_while = |expected| {
        while seen() == Some(expected) {
            thread::yield_now();
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| device.notify(me(), &failure(0, 10)));
        wait_while((Stage::In, 0));
        scope.spawn(|| device.unregister(me(), &world.tester(0)));
        // If it does not wait, it is gone.
        wait_while((Stage::In, 1));
        let stage = seen().map(|(stage, _)| stage);
        let result = f(&world);
        assert!(
            !world.open.swap(true, SeqCst),
            "it waited for the callback's end"
        );
        assert_eq!(stage, Some(Stage::Leaving));
        result
    })
}

#[test]
fn who_leaves_is_told_nothing_and_keeps_its_bytes() {
    while_leaving(|world| {
        let device = &world.device;
        assert_eq!(device.notify(me(), &failure(0, 10)), Outcome::Unheld);
        let common = bytes(5, 10);
        assert_eq!(
            device.register(bytes(5, 10), &world.tester(2)),
            Err(Refusal::Overlap(common))
        );
        assert_eq!(
            device.register(bytes(20, 30), &world.tester(0)),
            Err(Refusal::Twice)
        );
        device.kill(me(), REMOVAL, || ());
        assert_eq!(told(world), [(1, Extent::Whole, REMOVAL)]);
    });
}

/// Whatever becomes of the device.
#[test]
fn who_leaves_a_dying_device_keeps_its_bytes() {
    let result = while_leaving(|world| {
        world.device.kill(me(), REMOVAL, || ());
        assert!(world.device.revive());
        world.device.register(bytes(5, 15), &world.tester(2))
    });
    assert_eq!(result, Err(Refusal::Overlap(bytes(5, 10))));
}

/// A callback may wait for another holder to go.
#[test]
fn leaving_waits_for_no_callback_to_others() {
    while_leaving(|world| assert!(world.device.unregister(me(), &world.tester(1))));
}
