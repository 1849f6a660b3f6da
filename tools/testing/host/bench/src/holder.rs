// SPDX-License-Identifier: GPL-2.0

//! `drivers/dax/dax_core/holders.rs`, with one task.

use crate::{
    failure::{
        Extent,
        Failure,
        Held,
        Holder, //
    },
    holder_table::{
        Table,
        TaskId, //
    },
    holders::{
        Holders,
        Monitor,
        Outcome, //
    },
    repeat,
    Cost,
    Random, //
};
use kernel::{
    dax::units::ByteRange,
    error::Result, //
};
use std::{
    cell::RefCell,
    rc::Rc, //
};

/// How many bytes each holder has.
const LEN: u64 = 1 << 20;

const ME: TaskId = TaskId(1);

thread_local! {
    /// The device whose holders ask for themselves in their callbacks, as file systems have to, and
    /// what that costs.
    static ASKED: RefCell<Option<(Rc<Alone>, Cost)>> = const { RefCell::new(None) };
}

/// A holder that does nothing but ask for itself.
#[derive(Clone)]
struct Quiet(u64);

impl Holder for Quiet {
    fn identity(&self) -> usize {
        self.0 as usize
    }

    type Pin = ();

    fn pin(_: &Held<'_, Self>) -> Option<()> {
        Some(())
    }

    fn unpin(&self, (): ()) {}

    fn notify(this: &Held<'_, Self>, _: &Failure) -> Result {
        ASKED.with_borrow_mut(|asked| {
            if let Some((device, cost)) = asked {
                let current = cost.of(|| device.current(ME));
                assert!(current.is_some_and(|current| current.identity() == this.identity()));
            }
        });
        Ok(())
    }
}

/// A monitor for one task; counts what one stay under the lock costs at most.
struct Alone {
    table: RefCell<Table<Quiet>>,
    held: RefCell<Cost>,
}

impl Monitor<Table<Quiet>> for Alone {
    fn update<R>(&self, f: impl FnOnce(&mut Table<Quiet>) -> R) -> R {
        let table = &mut self.table.borrow_mut();
        self.held.borrow_mut().of(|| f(table))
    }

    fn wait<R>(&self, mut f: impl FnMut(&mut Table<Quiet>) -> Option<R>) -> R {
        let table = &mut self.table.borrow_mut();
        self.held
            .borrow_mut()
            .of(|| f(table))
            .expect("nobody else is there")
    }
}

fn bytes(number: u64) -> ByteRange {
    ByteRange::new(number * LEN, LEN).expect("small numbers")
}

fn failure(extent: Extent) -> Failure {
    Failure { extent, flags: 1 }
}

/// Measures a device with `size` holders.
pub(crate) fn measure(size: u64) {
    let device = Rc::new(Alone {
        table: RefCell::new(Table::new()),
        held: RefCell::new(Cost::NONE),
    });
    let mut costs = [const { Cost::NONE }; 8];
    let [fill, register, unregister, one, current, list, all, kill] = &mut costs;
    let told = Outcome::Told(Ok(()));
    for number in 0..size {
        let added = fill.of(|| device.register(bytes(number), &Quiet(number)));
        assert_eq!(added, Ok(()));
    }
    let mut random = Random::new();
    repeat(size, || {
        let number = random.below(size);
        let holder = Quiet(number);
        let failed = failure(Extent::Bytes(bytes(number)));
        assert_eq!(one.of(|| device.notify(ME, &failed)), told);
        assert!(unregister.of(|| device.unregister(ME, &holder)));
        let added = register.of(|| device.register(bytes(number), &holder));
        assert_eq!(added, Ok(()));
        assert!(current.of(|| device.current(ME)).is_some());
    });
    let running =
        list.of(|| device.look(|table| table.registrations().map(|it| it.running).sum::<usize>()));
    assert_eq!(running, 0);
    let everything = ByteRange::new(0, size * LEN).expect("small numbers");
    let failed = failure(Extent::Bytes(everything));
    device.held.replace(Cost::NONE);
    assert_eq!(all.of(|| device.notify(ME, &failed)), told);
    let held = device.held.replace(Cost::NONE);
    ASKED.set(Some((device.clone(), Cost::NONE)));
    assert_eq!(device.notify(ME, &failed), told);
    let asked = ASKED.take().map_or(Cost::NONE, |(_, cost)| cost);
    device.held.replace(Cost::NONE);
    kill.of(|| device.kill(ME, 1, || ()));
    let held_by_kill = device.held.replace(Cost::NONE);

    register.print("holders: register", size, 1);
    unregister.print("holders: unregister", size, 1);
    one.print("holders: notify one of a failure", size, 1);
    all.print("holders: notify all, per holder", size, size);
    held.print("holders: notify all, one stay under the lock", size, 1);
    kill.print("holders: remove the device, per holder", size, size);
    held_by_kill.print(
        "holders: remove the device, one stay under the lock",
        size,
        1,
    );
    current.print("holders: current, outside of a callback", size, 1);
    asked.print("holders: current, in a callback", size, 1);
    list.print("holders: list, per holder", size, size);
}
