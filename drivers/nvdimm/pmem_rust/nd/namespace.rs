// SPDX-License-Identifier: GPL-2.0

//! Namespaces: parts of a region, and the claims on them.

use super::{
    raw,
    region::Region,
    Device as NdDevice, //
};
use core::{
    mem,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    block::bio_disk::{
        self,
        Added, //
    },
    device::{
        Bound,
        Device, //
    },
    error::{
        from_err_ptr,
        to_result, //
    },
    memremap::{
        self,
        PageMap,
        Reservation, //
    },
    page::PAGE_SIZE,
    prelude::*, //
};

/// How much of a namespace's start is for information blocks, in bytes: `nd_info_block_reserve()`.
const INFO_BLOCK_RESERVE: u64 = 0x2000usize.next_multiple_of(PAGE_SIZE) as u64;

/// A name for a disk, as C writes it.
pub(crate) type DiskName = [u8; bindings::DISK_NAME_LEN as usize];

/// What a device on the bus uses its namespace as.
pub(crate) enum Personality {
    /// The namespace itself, or an unknown claim on it.
    Plain,
    /// A block translation table.
    Btt,
    /// Memory with `struct page`s.
    Pfn,
}

/// Whether another personality takes the namespace.
pub(crate) enum Claim {
    /// Its information block was found, and the bus made a device for it.
    Taken,
    /// None was found.
    Free,
}

/// The information block of a `pfn` device.
pub(crate) struct PfnInfo {
    /// Where the data begins, in bytes from the start of the namespace.
    pub(crate) data_offset: u64,
}

/// The namespace that a bound device drives, itself or as a claim.
///
/// # Invariants
///
/// `ndns` is a namespace that stays valid while `dev` is bound: `dev` itself, or what it claims; the
/// claim of `ndns` is `dev` then. `dev` is on the libnvdimm bus, and its parent a region.
pub(crate) struct Namespace<'a> {
    dev: &'a Device<Bound>,
    ndns: NonNull<bindings::nd_namespace_common>,
}

impl<'a> Namespace<'a> {
    /// Finds the namespace of `dev`, a device that the bus asks the driver to bind to.
    pub(crate) fn probe(dev: NdDevice<'a>) -> Result<Self> {
        let NdDevice(dev) = dev;
        // SAFETY: `dev` is on the bus and its lock is held, by the invariant of its type.
        let ndns = from_err_ptr(unsafe { bindings::nvdimm_namespace_common_probe(raw(dev)) })?;
        // INVARIANT: The bus keeps the namespace as long as `dev` is bound, and the function has
        // compared the claim. The rest is the invariant of the type of `dev`.
        Ok(Self {
            dev,
            ndns: NonNull::new(ndns).ok_or(ENODEV)?,
        })
    }

    /// The device that is being bound.
    pub(crate) fn device(&self) -> &'a Device<Bound> {
        self.dev
    }

    /// The region that the namespace is part of.
    ///
    /// # Safety
    ///
    /// No method of the result may be called after the device was unbound.
    pub(crate) unsafe fn region(&self) -> Result<Region> {
        // SAFETY: `dev` is on the bus and its parent a region, by the type invariant. The rest is the
        // function's contract.
        unsafe { Region::of(self.dev) }
    }

    /// What the device uses the namespace as.
    pub(crate) fn personality(&self) -> Personality {
        // SAFETY: Takes any device.
        if unsafe { bindings::is_nd_btt(raw(self.dev)) } {
            return Personality::Btt;
        }
        // SAFETY: As above.
        if unsafe { bindings::is_nd_pfn(raw(self.dev)) } {
            return Personality::Pfn;
        }
        Personality::Plain
    }

    /// Makes the start of the namespace accessible, for the bus to read information blocks.
    ///
    /// `EBUSY` while that, or a block translation table, has it already.
    pub(crate) fn enable(&self) -> Result<Enabled<'_>> {
        // SAFETY: The type invariant.
        to_result(unsafe {
            bindings::devm_namespace_enable(raw(self.dev), self.ndns.as_ptr(), INFO_BLOCK_RESERVE)
        })?;
        // INVARIANT: Just enabled. Nothing else can enable it before this is dropped: its addresses
        // are reserved.
        Ok(Enabled { ns: self })
    }

    /// Attaches a block translation table, which has a driver of its own.
    ///
    /// `EINVAL` for a device that is none.
    pub(crate) fn attach_btt(&self) -> Result {
        let Personality::Btt = self.personality() else {
            return Err(EINVAL);
        };
        // SAFETY: By the type invariant the device has claimed the namespace, and it is an `nd_btt`.
        to_result(unsafe { bindings::nvdimm_namespace_attach_btt(self.ndns.as_ptr()) })
    }

    /// The physical addresses of the namespace: the first one and the last one.
    pub(crate) fn resource(&self) -> (u64, u64) {
        // SAFETY: Namespaces that the driver binds to are `nd_namespace_io`s: the bus calls it for
        // no others.
        unsafe {
            let common = self.ndns.as_ptr();
            let nsio = kernel::container_of!(common, bindings::nd_namespace_io, common);
            ((*nsio).res.start, (*nsio).res.end)
        }
    }

    /// Reserves the physical addresses of the namespace until the device is unbound.
    ///
    /// Inlined for the reason given at [`PageMap::map`].
    #[inline(always)]
    pub(crate) fn request_region(&self) -> bool {
        let (first, last) = self.resource();
        let len = last.wrapping_sub(first).wrapping_add(1);
        // SAFETY: The namespace is valid by the type invariant.
        let name = unsafe { bindings::dev_name(&raw mut (*self.ndns.as_ptr()).dev) };
        // SAFETY: The name is that of the namespace's device, which outlives the binding.
        unsafe { memremap::request_region(self.dev, first, len, name) }
    }

    /// Reserves the physical addresses of the namespace; [`None`] if they are not free.
    ///
    /// Inlined for the reason given at [`PageMap::map`].
    #[inline(always)]
    pub(crate) fn reserve(&self) -> Option<Reservation> {
        let (first, last) = self.resource();
        let len = last.wrapping_sub(first).wrapping_add(1);
        // SAFETY: The namespace is valid by the type invariant.
        let dev: &Device = unsafe { Device::from_raw(&raw mut (*self.ndns.as_ptr()).dev) };
        Reservation::new(dev, first, len)
    }

    /// Whether the namespace gets `struct page`s although no `pfn` device asks for them.
    pub(crate) fn wants_pages(&self) -> bool {
        // SAFETY: The device is a namespace's, or a claim's, on the bus.
        unsafe { bindings::pmem_should_map_pages(raw(self.dev)) }
    }

    /// The logical block size that the namespace asks for, in bytes.
    pub(crate) fn sector_size(&self) -> u32 {
        // SAFETY: The type invariant.
        unsafe { bindings::pmem_sector_size(self.ndns.as_ptr()) }
    }

    /// The name of the namespace's disk.
    pub(crate) fn disk_name(&self) -> DiskName {
        let mut name = [0; bindings::DISK_NAME_LEN as usize];
        // SAFETY: The type invariant; the buffer has the size that the function expects.
        unsafe { bindings::nvdimm_namespace_disk_name(self.ndns.as_ptr(), name.as_mut_ptr()) };
        name
    }
}

/// A namespace whose start the bus can read and write, until this is dropped.
///
/// # Invariants
///
/// `ns` is enabled: `devm_namespace_enable()` has succeeded for it, and `devm_namespace_disable()`
/// was not called since, but by functions that have enabled it again.
pub(crate) struct Enabled<'a> {
    ns: &'a Namespace<'a>,
}

impl Enabled<'_> {
    /// Looks for the information block of a block translation table.
    pub(crate) fn probe_btt(&self) -> Claim {
        // SAFETY: The type invariants: it can be read.
        match unsafe { bindings::nd_btt_probe(raw(self.ns.dev), self.ns.ndns.as_ptr()) } {
            0 => Claim::Taken,
            _ => Claim::Free,
        }
    }

    /// Looks for the information block of a `pfn` device.
    ///
    /// `EOPNOTSUPP` when there is one that cannot be used.
    pub(crate) fn probe_pfn(&self) -> Result<Claim> {
        // SAFETY: The type invariants: it can be read.
        Self::claim(unsafe { bindings::nd_pfn_probe(raw(self.ns.dev), self.ns.ndns.as_ptr()) })
    }

    /// Looks for the information block of a device-dax device.
    ///
    /// `EOPNOTSUPP` when there is one that cannot be used.
    pub(crate) fn probe_dax(&self) -> Result<Claim> {
        // SAFETY: The type invariants: it can be read.
        Self::claim(unsafe { bindings::nd_dax_probe(raw(self.ns.dev), self.ns.ndns.as_ptr()) })
    }

    fn claim(result: c_int) -> Result<Claim> {
        match to_result(result) {
            Ok(()) => Ok(Claim::Taken),
            Err(EOPNOTSUPP) => Err(EOPNOTSUPP),
            Err(_) => Ok(Claim::Free),
        }
    }

    /// Reads the information block of a `pfn` device, or writes one if there is none, and fills in
    /// `pgmap` by it. Then disables the namespace.
    ///
    /// `EINVAL` for a device that is none. After an error the probe must fail: the namespace may be
    /// half enabled, and what it has is freed with the resources of the device.
    pub(crate) fn setup_pfn<T: memremap::Operations>(
        self,
        pgmap: Pin<&mut PageMap<T>>,
    ) -> Result<PfnInfo> {
        let nd_pfn = match self.ns.personality() {
            // SAFETY: The device is an `nd_pfn`.
            Personality::Pfn => unsafe { bindings::to_nd_pfn(raw(self.ns.dev)) },
            _ => return Err(EINVAL),
        };
        // SAFETY: `nd_pfn` is valid, the namespace that it claims is enabled by the type invariant,
        // and `pgmap` is not in use yet.
        let result = to_result(unsafe { bindings::nvdimm_setup_pfn(nd_pfn, pgmap.as_raw()) });
        if let Err(error) = result {
            // The function enables the namespace with more memory. Where that failed, the namespace
            // cannot be disabled.
            mem::forget(self);
            return Err(error);
        }
        // SAFETY: After `nvdimm_setup_pfn()` there is a validated superblock.
        let sb = unsafe { (*nd_pfn).pfn_sb.as_ref() }.ok_or(ENXIO)?;
        Ok(PfnInfo {
            data_offset: u64::from_le(sb.dataoff),
        })
    }
}

impl Drop for Enabled<'_> {
    fn drop(&mut self) {
        // SAFETY: The type invariants.
        unsafe { bindings::devm_namespace_disable(raw(self.ns.dev), self.ns.ndns.as_ptr()) };
    }
}

/// Detaches what [`Namespace::attach_btt`] attached.
///
/// # Safety
///
/// [`Namespace::attach_btt`] must have succeeded for `dev`, and this is called once after that.
pub(crate) unsafe fn detach_btt(dev: NdDevice<'_>) {
    if let Some(nd_btt) = btt_of(dev) {
        // SAFETY: The function's contract.
        unsafe { bindings::nvdimm_namespace_detach_btt(nd_btt) };
    }
}

/// The block translation table of `dev`, if it is one.
fn btt_of(dev: NdDevice<'_>) -> Option<*mut bindings::nd_btt> {
    // SAFETY: Takes any device.
    let is_btt = unsafe { bindings::is_nd_btt(raw(&dev)) };
    // SAFETY: The device is that of an `nd_btt`.
    is_btt.then(|| unsafe { bindings::to_nd_btt(raw(&dev)) })
}

/// Passes news of the bus on to a device with a block translation table.
///
/// # Safety
///
/// [`Namespace::attach_btt`] must have succeeded for `dev`, and [`detach_btt`] not been called.
pub(crate) unsafe fn revalidate_btt(dev: NdDevice<'_>, poison: bool) {
    let Some(nd_btt) = btt_of(dev) else { return };
    if !poison {
        // SAFETY: By the function's contract it has a table, and that a disk.
        let disk = unsafe { (*(*nd_btt).btt).btt_disk };
        // SAFETY: The disk was added below a device of the bus.
        unsafe { bindings::nvdimm_check_and_set_ro(disk) };
        return;
    }
    // SAFETY: The device is bound, so it claims a namespace.
    let common = unsafe { (*nd_btt).ndns };
    // SAFETY: Namespaces that the driver binds to are `nd_namespace_io`s: the bus calls it for no
    // others.
    let nsio = unsafe { kernel::container_of!(common, bindings::nd_namespace_io, common) };
    // SAFETY: As above; the resource does not change while the namespace is claimed.
    let range = unsafe {
        bindings::range {
            start: (*nsio).res.start,
            end: (*nsio).res.end,
        }
    };
    // SAFETY: A namespace's parent is a region.
    let nd_region = unsafe { bindings::to_nd_region((*common).dev.parent) };
    // SAFETY: All of them stay as long as the device is bound.
    unsafe { bindings::nvdimm_badblocks_populate(nd_region, &raw mut (*nsio).bb, &range) };
}

/// Makes a disk read-only when its region is. Sleeps.
///
/// # Safety
///
/// The disk must have been added below a device of the bus whose parent is a region.
pub(crate) unsafe fn check_and_set_ro<T: bio_disk::Operations>(disk: &Added<T>) {
    // SAFETY: The function's contract.
    unsafe { bindings::nvdimm_check_and_set_ro(disk.disk().as_raw()) };
}

/// Makes all data durable that was written to the region of `dev`, a bound device.
pub(crate) fn flush(dev: NdDevice<'_>) {
    // SAFETY: By the invariant of its type `dev` is on the bus, below a region, and bound until this
    // returns.
    let flushed = unsafe { Region::of(&dev) }.and_then(|region| region.flush());
    if let Err(error) = flushed {
        dev_warn!(&*dev, "flush failed: {:?}\n", error);
    }
}
