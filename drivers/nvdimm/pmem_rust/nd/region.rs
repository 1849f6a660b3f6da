// SPDX-License-Identifier: GPL-2.0

//! Regions: stretches of persistent memory, and firmware's services for them.

use super::raw;
use core::ptr::NonNull;
use kernel::{
    badblocks::Badblocks,
    bindings,
    block::{
        bio::Bio,
        sector::{
            Sector,
            SectorRange,
            SECTOR_SHIFT, //
        },
    },
    dax::units::ByteRange,
    device::{
        Bound,
        Device, //
    },
    error::to_result,
    prelude::*,
    sync::aref::ARef, //
};

/// How many times the bus's list is read if it grows meanwhile.
const READ_ATTEMPTS: usize = 8;

/// How many bytes are taken off the bus's list at a time: C counts them in 32 bits.
const FORGET_STEP: u64 = 1 << 31;

/// An entry for the bus's list that is on no list yet.
pub(crate) struct NewEntry(KBox<bindings::badrange_entry>);

/// A region of persistent memory.
///
/// Every method may be called from any thread, and may sleep.
///
/// # Invariants
///
/// `region` is the `nd_region` of the device `_dev`, which keeps its memory. Its lists, and its
/// parent, which is the bus, stay as long as the device is bound that [`Region::of`] was called for.
/// The value is not used after that.
pub(crate) struct Region {
    region: NonNull<bindings::nd_region>,
    _dev: ARef<Device>,
}

// SAFETY: The functions of libnvdimm that take a region may be called from any thread.
unsafe impl Send for Region {}
// SAFETY: As above.
unsafe impl Sync for Region {}

impl Region {
    /// The region of a namespace or a claim.
    ///
    /// # Safety
    ///
    /// `dev` must be on the libnvdimm bus, and its parent a region. No method may be called after
    /// `dev` was unbound.
    pub(crate) unsafe fn of(dev: &Device<Bound>) -> Result<Self> {
        // SAFETY: The function's contract.
        unsafe {
            let parent = (*raw(dev)).parent;
            let region = NonNull::new(bindings::to_nd_region(parent)).ok_or(ENXIO)?;
            // INVARIANT: The reference keeps the region. It is bound as long as its children are, and
            // its driver and its device keep the rest. The function's contract is about the use.
            Ok(Self {
                region,
                _dev: Device::get_device(parent),
            })
        }
    }

    fn bus(&self) -> *mut bindings::nvdimm_bus {
        // SAFETY: The type invariant.
        unsafe { bindings::to_nvdimm_bus((*self.region.as_ptr()).dev.parent) }
    }

    /// The bus's list of bad ranges, which has a lock of its own.
    fn badrange(&self) -> *mut bindings::badrange {
        // SAFETY: The bus is valid by the type invariant.
        unsafe { &raw mut (*self.bus()).badrange }
    }

    /// Makes all data durable that was written before.
    #[inline]
    pub(crate) fn flush(&self) -> Result {
        // SAFETY: The type invariant; without a bio the function is synchronous.
        to_result(unsafe { bindings::nvdimm_flush(self.region.as_ptr(), core::ptr::null_mut()) })
    }

    /// Makes all data durable that was written before, and then ends `bio`, maybe later.
    #[inline]
    pub(crate) fn flush_and_end(&self, bio: Bio) {
        // SAFETY: The type invariant. The bio was not ended.
        let done = unsafe { bindings::nvdimm_flush(self.region.as_ptr(), bio.as_raw()) };
        if done == bindings::NVDIMM_FLUSH_ASYNC as c_int {
            // The flush ends the bio.
            bio.into_raw();
            return;
        }
        bio.end(to_result(done));
    }

    /// Whether a flush is possible and needed; `ENXIO` when that is not known.
    pub(crate) fn has_flush(&self) -> Result<bool> {
        // SAFETY: The type invariant.
        let has = unsafe { bindings::nvdimm_has_flush(self.region.as_ptr()) };
        to_result(has.min(0))?;
        Ok(has > 0)
    }

    /// Whether the CPU's caches have to be written back for data to be durable.
    pub(crate) fn has_cache(&self) -> bool {
        // SAFETY: The type invariant.
        unsafe { bindings::nvdimm_has_cache(self.region.as_ptr()) != 0 }
    }

    /// Whether a flush needs no help from a hypervisor.
    pub(crate) fn is_sync(&self) -> bool {
        // SAFETY: The type invariant.
        unsafe { bindings::is_nvdimm_sync(self.region.as_ptr()) }
    }

    /// Whether firmware has a command that clears poison.
    ///
    /// C does not check this: it takes a bus without commands for one that clears everything at
    /// once, and always fails on a bus that has commands but not this one (QEMU's).
    pub(crate) fn can_clear_poison(&self) -> bool {
        // SAFETY: The bus is valid by the type invariant.
        let desc = unsafe { bindings::to_nd_desc(self.bus()) };
        // SAFETY: A bus has a descriptor as long as it has regions. Its driver may set bits of it,
        // so there is no reference to it.
        let (has_commands, commands) = unsafe { ((*desc).ndctl.is_some(), (*desc).cmd_mask) };
        has_commands && commands & (1 << bindings::ND_CMD_CLEAR_ERROR) != 0
    }

    /// Whether poison can be overwritten if firmware has no command for it. What is still bad must
    /// be an error when it is read back; on machines without machine-check recovery the read would
    /// be fatal.
    pub(crate) fn can_overwrite_poison() -> bool {
        // SAFETY: Only looks at what the processor can do.
        unsafe { bindings::nvdimm_can_overwrite_poison() }
    }

    /// Makes firmware clear the poison in `phys`, physical addresses. Returns how many bytes it
    /// cleared, from the start on.
    ///
    /// libnvdimm also takes what was cleared off the bus's list.
    pub(crate) fn clear_poison(&self, phys: ByteRange) -> Result<u64> {
        let len = u32::try_from(phys.len()).map_err(|_| EINVAL)?;
        // SAFETY: The type invariant: the region's device is on the bus.
        let cleared = unsafe {
            bindings::nvdimm_clear_poison(&raw mut (*self.region.as_ptr()).dev, phys.start(), len)
        };
        match u64::try_from(cleared) {
            Ok(cleared) => Ok(cleared.min(phys.len())),
            // CAST: Error numbers fit.
            Err(_) => Err(Error::from_errno(cleared as c_int)),
        }
    }

    /// Adds `phys`, physical addresses, to the bus's list, which outlives this driver's binding.
    ///
    /// `badrange_add()` searches all of the list for an entry with the same start: n reports would
    /// take n^2 steps, with the list's spinlock held. Here entries may overlap, which the list's
    /// readers allow. If the range may be on the list already, check [`Region::knows_all_of`]
    /// first.
    pub(crate) fn remember_poison(&self, phys: ByteRange) -> Result {
        self.remember_poison_in(Self::new_entry()?, phys);
        Ok(())
    }

    /// Allocates an entry for [`Region::remember_poison_in`].
    pub(crate) fn new_entry() -> Result<NewEntry> {
        Ok(NewEntry(KBox::new(pin_init::zeroed(), GFP_KERNEL)?))
    }

    /// As [`Region::remember_poison`], with an entry that is there already.
    pub(crate) fn remember_poison_in(&self, entry: NewEntry, phys: ByteRange) {
        let NewEntry(mut entry) = entry;
        entry.start = phys.start();
        entry.length = phys.len();
        let badrange = self.badrange();
        // The list's users free its entries with kfree().
        let entry = KBox::into_raw(entry);
        // SAFETY: The lock is initialised with the bus.
        unsafe { bindings::spin_lock(&raw mut (*badrange).lock) };
        // SAFETY: The list is valid while its lock is held, and the entry is on no list yet.
        unsafe { bindings::list_add_tail(&raw mut (*entry).list, &raw mut (*badrange).list) };
        // SAFETY: Locked above.
        unsafe { bindings::spin_unlock(&raw mut (*badrange).lock) };
    }

    /// Whether an entry of the bus's list has all of `phys`, physical addresses.
    pub(crate) fn knows_all_of(&self, phys: ByteRange) -> bool {
        let mut known = false;
        self.each_known_poison(|entry| known |= entry.intersection(&phys) == Some(phys));
        known
    }

    /// The part of `phys`, physical addresses, that belongs to the region, from its start on.
    fn own_part(&self, phys: ByteRange) -> Option<ByteRange> {
        let region = self.region.as_ptr();
        // SAFETY: The type invariant. Both are set before the region has children. Others change
        // the rest of the structure, so there is no reference to it.
        let (start, size) = unsafe { ((*region).ndr_start, (*region).ndr_size) };
        ByteRange::new(start, size)?
            .intersection(&phys)?
            .relative_to(start)
    }

    /// Runs `f` on the region's list of bad sectors, and notifies its pollers.
    ///
    /// The list is only a view for user space: that it is full, which `f` returns, is not an error.
    fn change_list(&self, f: impl FnOnce(&Badblocks) -> bool) {
        let region = self.region.as_ptr();
        // SAFETY: The type invariant; the list exists as long as the region has children.
        f(unsafe { Badblocks::from_raw(&raw mut (*region).bb) });
        // SAFETY: As above.
        let node = unsafe { (*region).bb_state };
        if !node.is_null() {
            // SAFETY: The region has a reference to the node as long as it is enabled.
            unsafe { bindings::kernfs_notify(node) };
        }
    }

    /// Takes `phys`, physical addresses, off the bus's list.
    pub(crate) fn forget_poison(&self, phys: ByteRange) {
        let mut at = phys.start();
        while at < phys.end() {
            // CAST: No more than `FORGET_STEP`.
            let len = (phys.end() - at).min(FORGET_STEP) as u32;
            // SAFETY: The type invariant.
            unsafe { bindings::badrange_forget(&raw mut (*self.bus()).badrange, at, len) };
            // Cannot wrap: this is no more than the range's end.
            at += u64::from(len);
        }
    }

    /// Adds `phys`, physical addresses, to the region's list, which `ndctl list` shows.
    pub(crate) fn show_as_bad(&self, phys: ByteRange) {
        if let Some(part) = self.own_part(phys) {
            self.change_list(|list| list.add(part.sectors_touched()));
        }
    }

    /// Takes `phys`, physical addresses, off the region's list.
    pub(crate) fn show_as_good(&self, phys: ByteRange) {
        // Only whole sectors are good again.
        let sectors = self.own_part(phys).and_then(|part| {
            SectorRange::from_bounds(
                Sector(part.start().div_ceil(1 << SECTOR_SHIFT)),
                Sector(part.end() >> SECTOR_SHIFT),
            )
        });
        if let Some(sectors) = sectors {
            self.change_list(|list| list.remove(sectors));
        }
    }

    /// Whether some of `phys`, physical addresses, is on the bus's list.
    pub(crate) fn knows_poison(&self, phys: ByteRange) -> bool {
        let mut known = false;
        self.each_known_poison(|entry| known |= entry.intersection(&phys).is_some());
        known
    }

    /// The ranges of physical addresses within `within` that are on the bus's list.
    pub(crate) fn known_poison(&self, within: ByteRange) -> Result<KVVec<ByteRange>> {
        let mut room = 16;
        for _ in 0..READ_ATTEMPTS {
            let mut found = KVVec::with_capacity(room, GFP_KERNEL)?;
            let mut seen: usize = 0;
            self.each_known_poison(|entry| {
                if let Some(part) = entry.intersection(&within) {
                    seen += 1;
                    // Without room it is only counted.
                    let _ = found.push_within_capacity(part);
                }
            });
            if seen <= room {
                return Ok(found);
            }
            room = seen.saturating_add(16);
        }
        Err(EAGAIN)
    }

    /// Runs `f` for each entry of the bus's list, with the list's spinlock held.
    ///
    /// C walks the list without its lock, while another thread may free an entry.
    fn each_known_poison(&self, mut f: impl FnMut(ByteRange)) {
        let badrange = self.badrange();
        // SAFETY: The lock is initialised with the bus.
        unsafe { bindings::spin_lock(&raw mut (*badrange).lock) };
        // SAFETY: As above; only the address is taken.
        let head = unsafe { &raw mut (*badrange).list };
        // SAFETY: The list is valid while its lock is held.
        let mut at = unsafe { (*head).next };
        while at != head {
            // SAFETY: What is on the list and not its head is part of a `badrange_entry`, which
            // stays as it is while the lock is held.
            let (entry, next) = unsafe {
                let entry = kernel::container_of!(at, bindings::badrange_entry, list);
                (ByteRange::new((*entry).start, (*entry).length), (*at).next)
            };
            at = next;
            if let Some(range) = entry {
                f(range);
            }
        }
        // SAFETY: Locked above.
        unsafe { bindings::spin_unlock(&raw mut (*badrange).lock) };
    }
}
