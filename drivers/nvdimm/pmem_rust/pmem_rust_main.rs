// SPDX-License-Identifier: GPL-2.0

//! Persistent memory as a block device with direct access.
//!
//! C version of this driver: [`drivers/nvdimm/pmem.c`](srctree/drivers/nvdimm/pmem.c)
//!
//! - `nd.rs` and the files below it are the bus: only they know C's structures.
//! - `poison.rs`, `poison_map.rs` and `rooms.rs` are the record of poison.
//! - `failure.rs` handles reports of new poison, `agent.rs` parses those of user space.
//! - `ledger.rs` keeps the record, the bus's list and the flags of the pages consistent.
//! - `device.rs` is a mapped namespace, `geometry.rs` where in it the data is.
//! - `repair.rs` repairs poison.
//! - `io.rs` serves bios, `dax_ops.rs` direct access; `attach.rs` sets up and tears down.

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
use kernel::prelude::*;
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

/// The driver's data for a device.
enum Data {
    /// A block translation table, which has a driver of its own.
    Btt,
    /// A disk.
    Disk(Attachment),
}

impl nd::Driver for PmemDriver {
    type Data = Data;

    fn probe(dev: nd::Device<'_>) -> impl PinInit<Data, Error> {
        pin_init::pin_init_scope(move || Ok::<_, Error>(Ok(probe(dev)?)))
    }

    fn unbind(dev: nd::Device<'_>, data: Pin<&Data>) {
        if let Data::Btt = *data {
            // SAFETY: The data of `probe()` says so, and a device is unbound once.
            unsafe { namespace::detach_btt(dev) };
            namespace::flush(dev);
        }
        // A disk is removed, and then flushed, when the data is dropped.
    }

    fn notify(dev: nd::Device<'_>, data: Pin<&Data>, event: Event) {
        match (data.get_ref(), event) {
            (Data::Btt, event) => {
                let poison = matches!(event, Event::RevalidatePoison);
                // SAFETY: The data of `probe()` says so, and no device is notified after `unbind()`.
                unsafe { namespace::revalidate_btt(dev, poison) }
            }
            (Data::Disk(disk), Event::RevalidatePoison) => disk.revalidate_poison(&dev),
            (Data::Disk(disk), Event::RevalidateRegion) => disk.revalidate_region(),
        }
    }

    fn shutdown(dev: nd::Device<'_>) {
        namespace::flush(dev);
    }
}

fn probe(dev: nd::Device<'_>) -> Result<Data> {
    let ns = Namespace::probe(dev)?;
    match ns.personality() {
        Personality::Btt => {
            ns.attach_btt()?;
            return Ok(Data::Btt);
        }
        Personality::Pfn => return Ok(Data::Disk(attach(&ns)?)),
        Personality::Plain => {}
    }

    // A plain namespace may have had another personality before: each leaves an information block,
    // for which the bus makes another device that is probed next. Then this device must not get the
    // namespace, and ENXIO is not logged as a failure. If a block cannot be used, EOPNOTSUPP keeps
    // the namespace from being used as a raw one, and overwritten.
    let enabled = ns.enable()?;
    if let Claim::Taken = enabled.probe_btt() {
        return Err(ENXIO);
    }
    if let Claim::Taken = enabled.probe_pfn()? {
        return Err(ENXIO);
    }
    if let Claim::Taken = enabled.probe_dax()? {
        return Err(ENXIO);
    }
    drop(enabled);

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
