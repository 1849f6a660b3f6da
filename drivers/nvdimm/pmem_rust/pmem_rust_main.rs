// SPDX-License-Identifier: GPL-2.0

//! Persistent memory as a block device with direct access.
//!
//! C version of this driver: [`drivers/nvdimm/pmem.c`](srctree/drivers/nvdimm/pmem.c)
//!
//! - `nd.rs` and the files below it are the bus: all that knows C's structures.
//! - `poison.rs`, `poison_map.rs` and `rooms.rs` own what is known of poison.
//! - `failure.rs` is who hears of new poison, `agent.rs` how user space tells of it.
//! - `ledger.rs` keeps that in step with what the bus and the pages show of it.
//! - `device.rs` is a mapped namespace, `geometry.rs` where in it the data is.
//! - `repair.rs` makes poisoned memory good again.
//! - `io.rs` serves bios, `dax_ops.rs` direct access, `attach.rs` builds and takes apart.

mod agent;
mod attach;
mod dax_ops;
mod device;
mod failure;
mod geometry;
mod io;
mod ledger;
mod nd;
mod poison;
mod poison_map;
mod repair;
mod rooms;
mod tests;

use attach::{
    attach,
    Attachment, //
};
use kernel::{
    device::{
        Core,
        Device, //
    },
    prelude::*, //
};
use nd::{
    namespace::{
        self,
        Claim,
        Namespace,
        Personality, //
    },
    Event, //
};

struct PmemDriver;

/// What the driver keeps for a device.
enum Data {
    /// A block translation table, which is a driver of its own.
    Btt,
    /// A disk.
    Disk(Attachment),
}

impl nd::Driver for PmemDriver {
    type Data = Data;

    fn probe(dev: &Device<Core<'_>>) -> impl PinInit<Data, Error> {
        pin_init::pin_init_scope(move || Ok::<_, Error>(Ok(probe(dev)?)))
    }

    fn unbind(dev: &Device<Core<'_>>, data: Pin<&Data>) {
        if let Data::Btt = *data {
            namespace::detach_btt(dev);
            namespace::flush(dev);
        }
        // A disk goes when the data is dropped, and flushes after that.
    }

    fn notify(dev: &Device<Core<'_>>, data: Pin<&Data>, event: Event) {
        match (data.get_ref(), event) {
            (Data::Btt, Event::RevalidatePoison) => namespace::revalidate_btt(dev, true),
            (Data::Btt, Event::RevalidateRegion) => namespace::revalidate_btt(dev, false),
            (Data::Disk(disk), Event::RevalidatePoison) => disk.revalidate_poison(dev),
            (Data::Disk(disk), Event::RevalidateRegion) => disk.revalidate_region(),
        }
    }

    fn shutdown(dev: &Device<Core<'_>>) {
        namespace::flush(dev);
    }
}

fn probe(dev: &Device<Core<'_>>) -> Result<Data> {
    let ns = Namespace::probe(dev)?;
    match ns.personality() {
        Personality::Btt => {
            ns.attach_btt()?;
            return Ok(Data::Btt);
        }
        Personality::Pfn => return Ok(Data::Disk(attach(&ns)?)),
        Personality::Plain => {}
    }

    // A plain namespace may have been another personality's before: each leaves an information
    // block, and the bus makes a device for it that is probed next. That is no failure of this
    // one, but it does not get the namespace: ENXIO. If there is a block that cannot be used,
    // EOPNOTSUPP keeps the namespace from being taken for a raw one, and overwritten.
    ns.enable()?;
    if let Claim::Taken = ns.probe_btt() {
        return Err(ENXIO);
    }
    if let Claim::Taken = ns.probe_pfn()? {
        return Err(ENXIO);
    }
    if let Claim::Taken = ns.probe_dax()? {
        return Err(ENXIO);
    }
    ns.disable();

    Ok(Data::Disk(attach(&ns)?))
}

kernel::module_driver!(<T>, nd::Adapter<T>, {
    type: PmemDriver,
    name: "nd_pmem",
    authors: ["The rdax developers"],
    description: "NVDIMM Persistent Memory Driver",
    license: "GPL v2",
    alias: ["pmem", "nd:t4*", "nd:t5*"],
});
