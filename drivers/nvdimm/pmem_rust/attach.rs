// SPDX-License-Identifier: GPL-2.0

//! Attaches a disk to a namespace, and detaches it.

use super::{
    device::Pmem,
    failure::{
        FailureHandler,
        Listener,
        ReportFailure, //
    },
    geometry::Geometry,
    io::DiskData,
    nd::{
        namespace::{
            check_and_set_ro,
            Namespace,
            Personality, //
        },
        region::Region, //
    },
    PmemDriver,
};
use core::ptr::NonNull;
use kernel::{
    block::{
        attr::{
            Attribute,
            AttributeGroup,
            AttributeGroups,
            AttributeList,
            Switch, //
        },
        bio_disk::{
            Added,
            Limits,
            NewDisk, //
        },
    },
    dax,
    debugfs::Scope,
    device::{
        Bound,
        Device, //
    },
    fmt,
    memremap::{
        self,
        MappedPages,
        PageMap,
        Reservation, //
    },
    page::PAGE_SIZE,
    pmem::Window,
    prelude::*,
    str::CString,
    sync::{
        atomic::Relaxed,
        Arc,
        SetOnce, //
    },
};

/// A namespace with a disk.
///
/// Dropped when the device is unbound, in this order: file systems write back while the device
/// still works (`drop`); lookups do not find the `dax_device` any more (`host`); its holder is
/// notified and its users are waited for (`dax`); the disk is removed (`disk`); the bus gets poison
/// that it had no memory for, and the written data is made durable (`_last`). The mapping belongs
/// to the device, and is removed last, if no page is in use any more (`Pmem::revoke`).
pub(crate) struct Attachment {
    host: Option<dax::Host<PmemDriver>>,
    dax: Option<dax::Registration<Pmem>>,
    disk: Added<PmemDriver>,
    /// `/sys/kernel/debug/nd_pmem-DISK`. A failure to create it is ignored.
    _shown: Option<Pin<KBox<Scope<Arc<Pmem>>>>>,
    _last: LastOnDrop,
}

impl Drop for Attachment {
    fn drop(&mut self) {
        // The disk is not removed before the report that an agent is writing has ended.
        self.disk.disk().data().pmem.going.store(true, Relaxed);
        // C notifies the holder first, which shuts XFS down before it could write anything back.
        self.disk.sync_filesystems();
        // The fields follow in the order of their declaration.
        drop(self.host.take());
        drop(self.dax.take());
        // New users cannot get memory any more. Memory that is still mapped, or in a file's
        // entries, belongs to file systems that are not notified of removals. Unless every holder
        // has given its memory up, the pages of the device are searched for it, which takes time
        // proportional to their number.
        let data = self.disk.disk().data();
        let given_up = data.dax.as_ref().is_some_and(|dax| dax.is_given_up());
        if !given_up || MappedPages::any_left_in_use() {
            // Wait for pages that are in use otherwise before the disk is removed: the removal
            // makes a file system evict its inodes, which waits for the same pages and cannot be
            // killed.
            data.pmem.revoke();
        }
    }
}

/// What is done when the disk is gone and the device still bound.
struct LastOnDrop(Arc<Pmem>);

impl Drop for LastOnDrop {
    fn drop(&mut self) {
        self.0.remember_the_rest();
        if let Err(error) = self.0.region.flush() {
            pr_warn!("{}: the last flush failed: {:?}\n", &*self.0.name, error);
        }
    }
}

/// Shows the state of the record of poison in debugfs.
fn show(pmem: &Arc<Pmem>, disk: &CStr) -> Result<Pin<KBox<Scope<Arc<Pmem>>>>> {
    let name = CString::try_from_fmt(fmt!("nd_pmem-{disk}"))?;
    let dir = Scope::dir(pmem.clone(), &name, |pmem, dir| {
        dir.read_callback_file(c"poison", pmem, &show_poison);
    });
    KBox::pin_init(dir, GFP_KERNEL)
}

fn show_poison(pmem: &Arc<Pmem>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    pmem.poison.show(f)
}

/// The attribute `dax/write_cache`.
struct WriteCache;

impl Switch for WriteCache {
    type Driver = PmemDriver;

    fn show(data: &DiskData) -> bool {
        data.dax.as_ref().is_some_and(|dax| dax.write_cache())
    }

    fn store(data: &DiskData, on: bool) {
        if let Some(dax) = &data.dax {
            dax.set_write_cache(on);
        }
    }
}

static WRITE_CACHE: Attribute<PmemDriver> = Attribute::switch::<WriteCache>(c"write_cache");
static REPORT_FAILURE: Attribute<PmemDriver> =
    Attribute::command::<ReportFailure>(c"report_failure");
static DAX_ATTRIBUTES: AttributeList<PmemDriver> = if cfg!(CONFIG_ARCH_HAS_PMEM_API) {
    AttributeList::new(&WRITE_CACHE, Some(&REPORT_FAILURE))
} else {
    AttributeList::new(&REPORT_FAILURE, None)
};
static DAX_GROUP: AttributeGroup<PmemDriver> = AttributeGroup::new(c"dax", &DAX_ATTRIBUTES);
static DAX_GROUPS: AttributeGroups<PmemDriver> = AttributeGroups::new(&DAX_GROUP);

/// The mapped memory of a namespace.
struct Mapped {
    addr: NonNull<u8>,
    pages: Option<MappedPages>,
    geometry: Geometry,
}

/// Maps the namespace's memory. An information block, if there is one, has been read already.
///
/// Inlined for the reason given at [`PageMap::map`].
#[inline(always)]
fn map(
    ns: &Namespace<'_>,
    pfn: Option<(Pin<KBox<PageMap<FailureHandler>>>, u64)>,
    with_pages: Option<FailureHandler>,
    reservation: Option<Reservation>,
) -> Result<Mapped> {
    let dev = ns.device();
    let (first, last) = ns.resource();
    let invalid = || {
        dev_err!(
            dev,
            "the information block claims more than the {:#x}-{:#x} that there is\n",
            first,
            last
        );
        EINVAL
    };

    if let Some((pgmap, data_offset)) = pfn {
        let geometry =
            Geometry::new((first, last), pgmap.range(), data_offset).ok_or_else(invalid)?;
        let pages = pgmap.map_reserved(dev, reservation)?;
        return Ok(Mapped {
            addr: pages.addr(),
            pages: Some(pages),
            geometry,
        });
    }

    let geometry = Geometry::new((first, last), (first, last), 0).ok_or_else(invalid)?;
    let (addr, pages) = match with_pages {
        Some(handler) => {
            let mut pgmap = PageMap::new(handler)?;
            pgmap.as_mut().set_range(first, last);
            let pages = pgmap.map_reserved(dev, reservation)?;
            (pages.addr(), Some(pages))
        }
        None => {
            let len = geometry.mapped_len();
            (memremap::map_without_pages(dev, first, len)?, None)
        }
    };
    Ok(Mapped {
        addr,
        pages,
        geometry,
    })
}

/// Creates the disk of a namespace.
///
/// An error undoes the steps before it in the opposite order: drop undoes those of this function,
/// and the device's list of resources those of the device.
pub(crate) fn attach(ns: &Namespace<'_>) -> Result<Attachment> {
    let dev = ns.device();
    // SAFETY: I/O and the disk end before the device is unbound, and so do failures of pages that do
    // not outlive it. For those that do, `Pmem::left` is set before.
    let region = unsafe { ns.region() }?;
    let listener = Arc::new(SetOnce::new(), GFP_KERNEL)?;

    // The information block can be read only while the namespace is enabled.
    let enabled = ns.enable()?;
    let pfn = match ns.personality() {
        Personality::Pfn => {
            let mut pgmap = PageMap::new(FailureHandler(listener.clone()))?;
            let info = enabled.setup_pfn(pgmap.as_mut())?;
            Some((pgmap, info.data_offset))
        }
        _ => {
            drop(enabled);
            None
        }
    };
    // It is disabled: from here on the memory is the disk's.

    let limits = limits(ns, &region, pfn.is_some());
    // Pages keep the addresses: they may stay longer than the device is bound.
    let has_pages = pfn.is_some() || ns.wants_pages();
    let reservation = has_pages.then(|| ns.reserve()).flatten();
    if reservation.is_none() && (has_pages || !ns.request_region()) {
        let (first, last) = ns.resource();
        dev_warn!(
            dev,
            "could not reserve region [mem {:#x}-{:#x}]\n",
            first,
            last
        );
        return Err(EBUSY);
    }

    let with_pages = ns.wants_pages().then(|| FailureHandler(listener.clone()));
    let Mapped {
        addr,
        pages,
        geometry,
    } = map(ns, pfn, with_pages, reservation)?;
    // SAFETY: The device keeps the mapping until the attachment and all users of the window are
    // gone. The exception is the one that `FailureHandler` documents.
    let window = unsafe { Window::new(addr, geometry.mapped_len()) };
    let is_sync = region.is_sync();
    let has_cache = region.has_cache();
    let name = ns.disk_name();
    let name = CStr::from_bytes_until_nul(&name).map_err(|_| EINVAL)?;
    let pmem: Arc<Pmem> = Arc::pin_init(
        Pmem::new(name.try_into()?, geometry, window, pages, region),
        GFP_KERNEL,
    )?;
    pmem.learn_from_bus()?;
    if !pmem.can_repair() {
        dev_info!(
            dev,
            "poison stays: firmware cannot clear it, and this machine may not survive a look at what was overwritten\n"
        );
    }

    let dax = dax::Registration::new(
        pmem.clone(),
        dax::Capabilities {
            synchronous: is_sync,
            nocache: true,
            nomc: true,
        },
    );
    let dax = match dax {
        Ok(dax) => Some(dax),
        // A machine with aliasing data caches still has a disk.
        Err(EOPNOTSUPP) => None,
        Err(error) => return Err(error),
    };
    let dax_device = dax.as_ref().map(|dax| dax.device().clone());

    let data = DiskData {
        pmem: pmem.clone(),
        dax: dax_device.clone(),
    };
    let disk = NewDisk::new(limits, Some(dev), name, Ok(data))?;
    disk.disk().set_capacity(geometry.sectors());

    let host = match &dax_device {
        Some(dax) => {
            let host = dax::Host::new(dax, disk.disk().clone())?;
            dax.set_write_cache(has_cache);
            Some(host)
        }
        None => None,
    };
    // From here on failures are recorded, because the disk is about to have users.
    listener.populate(Listener::new(pmem.clone(), dax_device));
    let disk = Added::new(disk, dev, &DAX_GROUPS)?;

    // SAFETY: Added below `dev`, which is the device of `ns`.
    unsafe { check_and_set_ro(&disk) };
    match disk.attribute(c"badblocks") {
        Some(node) => pmem.poison.set_watchers(node),
        None => dev_warn!(dev, "'badblocks' notification disabled\n"),
    }
    Ok(Attachment {
        host,
        dax,
        disk,
        _shown: show(&pmem, name).ok(),
        _last: LastOnDrop(pmem),
    })
}

impl Attachment {
    /// The bus learned of poison.
    pub(crate) fn revalidate_poison(&self, dev: &Device<Bound>) {
        if let Err(error) = self.disk.disk().data().pmem.learn_from_bus() {
            dev_warn!(dev, "could not read the list of poison: {:?}\n", error);
        }
    }

    /// The region changed.
    pub(crate) fn revalidate_region(&self) {
        // SAFETY: `attach()` has added it below the device of a namespace.
        unsafe { check_and_set_ro(&self.disk) };
    }
}

fn limits(ns: &Namespace<'_>, region: &Region, is_pfn: bool) -> Limits {
    let persistent = match region.has_flush() {
        Ok(flush) if cfg!(CONFIG_ARCH_HAS_UACCESS_FLUSHCACHE) => Some(flush),
        _ => None,
    };
    if persistent.is_none() {
        dev_warn!(ns.device(), "unable to guarantee persistence of writes\n");
    }
    Limits {
        logical_block_size: ns.sector_size(),
        // CAST: Pages are not that large.
        physical_block_size: PAGE_SIZE as u32,
        write_cache: true,
        fua: persistent.unwrap_or(false),
        synchronous: true,
        nowait: true,
        dax: is_pfn || ns.wants_pages(),
    }
}
