// SPDX-License-Identifier: GPL-2.0

//! The window of a device: how it is found, accessed and removed.
//!
//! C functions: `virtio_fs_setup_dax()` and what comes before it in `fs/fuse/virtio_fs.c`

use super::{
    conn::Conn,
    window::{
        region::{
            self,
            Region, //
        },
        units::{
            WindowBlock,
            WindowPage,
            BLOCK_PAGES, //
        }, //
    },
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    bitmap::BitmapVec,
    dax::{
        self,
        units::Pgoff,
        Mode, //
    },
    device::{
        Bound,
        Device, //
    },
    devres,
    iov::IovIterSource,
    memremap::{
        self,
        MappedPages,
        PageMap,
        Reservation, //
    },
    mm::pfn::Pfn,
    new_mutex,
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::{
        aref::ARef,
        Arc,
        Mutex,
        SetOnce, //
    }, //
};

/// The connection that uses a window, and the part of the window that none may use.
struct Service {
    /// The connection that uses it: at most one, because all mounts of a device share it.
    conn: Option<Arc<Conn>>,
    /// The blocks with failed memory. The kernel may not map a failed page any more (x86:
    /// `set_mce_nospec()`), so no later connection may use it, until the device is bound again.
    failed: BitmapVec,
}

/// A window, shared by its device, its connection and its memory.
#[pin_data]
pub(crate) struct Slot {
    #[pin]
    service: Mutex<Service>,
    /// Keeps the memory accessible, until it is removed.
    #[pin]
    access: Mutex<Option<Access>>,
    /// The frame of the window's first page.
    first: Pfn,
}

impl Slot {
    /// `pages` pages from `first` on failed: no later connection uses them. Returns the connection
    /// that has to handle the failure, if there is one.
    fn failed(&self, first: usize, pages: usize) -> Option<Arc<Conn>> {
        let end = first.saturating_add(pages).div_ceil(BLOCK_PAGES as usize);
        let mut service = self.service.lock();
        // The window ends with a whole block.
        for block in first / BLOCK_PAGES as usize..end.min(service.failed.len()) {
            service.failed.set_bit(block);
        }
        service.conn.clone()
    }

    /// `conn` is the connection that uses the window from now on.
    fn connect(&self, conn: &Arc<Conn>) -> Result {
        let mut service = self.service.lock();
        if service.conn.is_some() {
            return Err(EBUSY);
        }
        // In the same section as below: a failure is in the record by now, or finds `conn`.
        let (mut at, mut count) = (0, 0_usize);
        while at < service.failed.len() {
            let Some(block) = service.failed.next_bit(at) else {
                break;
            };
            // CAST: A window has less than 2^32 pages.
            conn.retire(WindowBlock(block as u32));
            at = block.saturating_add(1);
            count = count.saturating_add(1);
        }
        service.conn = Some(conn.clone());
        drop(service);
        if count > 0 {
            pr_warn!(
                "memory of the DAX window has failed: {} MiB are out of service\n",
                count.saturating_mul(BLOCK_PAGES as usize) >> (20 - PAGE_SHIFT),
            );
        }
        Ok(())
    }

    /// The connection is shut down.
    pub(crate) fn disconnect(&self) {
        // Not dropped under the lock.
        let _conn = self.service.lock().conn.take();
    }

    /// Ends all use of the memory, for good. Sleeps.
    fn end(&self) {
        // First the connection, because killing the device waits for its users.
        let conn = self.service.lock().conn.take();
        if let Some(conn) = &conn {
            conn.as_arc_borrow().evacuate();
        }
        let access = self.access.lock().take();
        if let Some(access) = access {
            access.end(self.first);
        }
        if let Some(conn) = conn {
            conn.as_arc_borrow().give_back();
        }
    }
}

kernel::module_in_c!(Fuse, c"fuse");

/// The handler of failures of the window's memory.
struct FailureHandler(Arc<Slot>);

#[vtable]
impl memremap::Operations for FailureHandler {
    type OwnerModule = Fuse;

    fn memory_failure(&self, pfn: Pfn, pages: usize, mf_flags: i32) -> Result {
        let first = pfn.0.checked_sub(self.0.first.0).ok_or(EINVAL)?;
        let conn = self.0.failed(first, pages).ok_or(EOPNOTSUPP)?;
        conn.as_arc_borrow()
            .fail(WindowPage(first.try_into()?), pages.try_into()?, mf_flags)
    }
}

/// Access to the memory of a window.
struct WindowMemory {
    slot: Arc<Slot>,
    kaddr: NonNull<u8>,
    pages: usize,
    /// The `dax_device` itself, once it exists.
    device: SetOnce<ARef<dax::Device>>,
}

// SAFETY: The address stays valid as long as the device is bound, and is only handed on.
unsafe impl Send for WindowMemory {}
// SAFETY: As above.
unsafe impl Sync for WindowMemory {}

// SAFETY: What is given out is part of the window. The one registration that a `WindowMemory`
// serves is dropped before the window goes.
unsafe impl dax::Operations for WindowMemory {
    const RECOVERY_UNIT: usize = PAGE_SIZE;

    fn direct_access(&self, pgoff: Pgoff, pages: usize, _mode: Mode) -> Result<dax::Access> {
        let left = self.pages.checked_sub(pgoff.0).filter(|left| *left > 0);
        let left = left.ok_or(ERANGE)?;
        // Cannot wrap, because the page is in the window.
        let offset = pgoff.0 << PAGE_SHIFT;
        // SAFETY: The page is part of the mapping that begins there.
        let kaddr = unsafe { self.kaddr.add(offset) };
        let pfn = Pfn(self.slot.first.0 + pgoff.0);
        // SAFETY: The mapping has `left` pages from there on, which are one range of frames. It
        // stays until the device is unbound, before which `Slot::end()` drops the registration.
        Ok(unsafe { dax::Access::new(pages.min(left), kaddr, pfn) })
    }

    fn zero_page_range(&self, pgoff: Pgoff, pages: usize) -> Result {
        let found = self.direct_access(pgoff, pages, Mode::ACCESS)?;
        if found.pages() < pages {
            return Err(ERANGE);
        }
        // SAFETY: The pages were found, and stay while the device's read section lasts. Others may
        // access them at the same time, as with all shared memory.
        unsafe { found.kaddr().as_ptr().write_bytes(0, pages << PAGE_SHIFT) };
        Ok(())
    }

    /// The memory is the host's: a range with poison is not used any more, and there is nothing to
    /// repair.
    fn recovery_write(
        &self,
        _pgoff: Pgoff,
        _offset: usize,
        _bytes: usize,
        _iter: &mut IovIterSource<'_>,
    ) -> usize {
        0
    }

    fn good_bytes(&self, _pgoff: Pgoff, _offset: usize, bytes: usize) -> usize {
        bytes
    }
}

/// The registrations that make a window's memory accessible.
struct Access {
    registration: dax::Registration<WindowMemory>,
    mapped: MappedPages,
    pages: usize,
}

impl Access {
    /// Revokes the memory, which begins at `first`, from all processes and files, and waits until
    /// it is not in use. If the wait ends early, the memory stays
    /// ([`MappedPages::wait_until_idle`]).
    fn end(self, first: Pfn) {
        drop(self.registration);
        // New users cannot get memory any more. The page structs must outlive references to pages,
        // by direct I/O or a pipe, and entries of files.
        if !self.mapped.revoke(first, self.pages) {
            // The log has the page that is in use.
            let _ = self
                .mapped
                .wait_until_idle(first, self.pages, c"DAX window");
        }
    }
}

/// Ends the use of a window when its device is unbound, or could not be bound.
struct EndOnDrop(Arc<Slot>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Creates the window of `fc`, the connection of the device of `dax_dev`.
///
/// # Safety
///
/// `dax_dev` must be a device of [`fuse_dax_setup_window`] that is not unbound meanwhile; `fc` must
/// be as [`Conn`] says.
pub(crate) unsafe fn connect(
    fc: *mut bindings::fuse_conn,
    dax_dev: *mut bindings::dax_device,
) -> Result<Arc<Conn>> {
    // SAFETY: The function's contract.
    let memory = unsafe { dax::Registration::<WindowMemory>::data_of(dax_dev) }.ok_or(ENXIO)?;
    let device = memory.device.as_ref().ok_or(ENXIO)?.clone();
    let conn = Conn::new(fc, device, memory.slot.clone(), memory.pages as u64)?;
    memory.slot.connect(&conn)?;
    Ok(conn)
}

const BARS: usize = bindings::PCI_STD_NUM_BARS as usize;

/// A virtio device.
///
/// # Invariants
///
/// `raw` is a device that is bound during `'a`.
#[derive(Clone, Copy)]
struct Virtio<'a> {
    raw: *mut bindings::virtio_device,
    _bound: PhantomData<&'a bindings::virtio_device>,
}

impl<'a> Virtio<'a> {
    /// # Safety
    ///
    /// `raw` must be a device that is bound during `'a`.
    unsafe fn from_raw(raw: *mut bindings::virtio_device) -> Self {
        // INVARIANT: The function's contract.
        Self {
            raw,
            _bound: PhantomData,
        }
    }

    /// The device of the driver core.
    fn device(self) -> &'a Device<Bound> {
        // SAFETY: The type invariant.
        unsafe { Device::from_raw(&raw mut (*self.raw).dev) }
    }

    /// What the device says of its window, if it has one.
    fn window(self) -> Option<Region> {
        let mut found = bindings::virtio_shm_region { addr: 0, len: 0 };
        // SAFETY: The type invariant.
        let exists = unsafe {
            bindings::virtio_get_shm_region(
                self.raw,
                &raw mut found,
                // CAST: A number of eight bits by the protocol.
                bindings::VIRTIO_FS_SHMCAP_ID_CACHE as u8,
            )
        };
        exists.then_some(Region {
            start: found.addr,
            len: found.len,
        })
    }

    /// The memory of the device on its bus, if that is a bus with BARs.
    fn bars(self) -> Option<[Region; BARS]> {
        let mut bars = [Region { start: 0, len: 0 }; BARS];
        for (number, bar) in bars.iter_mut().enumerate() {
            let (mut start, mut len) = (0, 0);
            // SAFETY: The type invariant.
            let kind = unsafe {
                // CAST: Less than six.
                bindings::rdax_virtio_bar(self.raw, number as c_int, &raw mut start, &raw mut len)
            };
            match kind {
                1 => *bar = Region { start, len },
                0 => {}
                _ => return None,
            }
        }
        Some(bars)
    }
}

/// Finds the window of a device, and registers a `dax_device` for it; [`None`] if there is no
/// usable one.
fn setup(virtio: Virtio<'_>) -> Result<Option<ARef<dax::Device>>> {
    let dev = virtio.device();
    let Some(found) = virtio.window() else {
        dev_notice!(dev, "no DAX window\n");
        return Ok(None);
    };
    let bars = virtio.bars();
    let bars = bars.as_ref().map(|bars| bars.as_slice());
    // SAFETY: Any task may call it.
    let bits = unsafe { bindings::rdax_phys_bits() };
    let window = match region::usable(found, bars, bits) {
        Ok(window) => window,
        Err(wrong) => {
            // The files work without it.
            dev_err!(
                dev,
                "no DAX: the window, {:#x} bytes at {:#x}, {}\n",
                found.len,
                found.start,
                wrong.why()
            );
            return Ok(None);
        }
    };
    let last = window.start + (window.len - 1);

    let Some(reservation) = Reservation::new(dev, window.start, window.len) else {
        dev_warn!(
            dev,
            "could not reserve region [mem {:#x}-{:#x}]\n",
            window.start,
            last
        );
        return Err(EBUSY);
    };

    // CAST: Frame numbers fit on 64-bit machines.
    let pages = (window.len >> PAGE_SHIFT) as usize;
    let service = Service {
        conn: None,
        // Here, because a failure allocates nothing.
        failed: BitmapVec::new(pages / BLOCK_PAGES as usize, GFP_KERNEL)?,
    };
    let slot = Arc::pin_init(
        pin_init!(Slot {
            service <- new_mutex!(service, "virtio_fs_window::service"),
            access <- new_mutex!(None, "virtio_fs_window::access"),
            // CAST: As above.
            first: Pfn((window.start >> PAGE_SHIFT) as usize),
        }),
        GFP_KERNEL,
    )?;
    let mut pgmap = PageMap::new(FailureHandler(slot.clone()))?;
    pgmap.as_mut().set_range(window.start, last);
    let mapped = pgmap.map_reserved(dev, Some(reservation))?;
    let memory = Arc::new(
        WindowMemory {
            slot: slot.clone(),
            kaddr: mapped.addr(),
            pages,
            device: SetOnce::new(),
        },
        GFP_KERNEL,
    )?;
    let registration = match dax::Registration::new(memory.clone(), dax::Capabilities::default()) {
        Ok(registration) => registration,
        // On a machine with aliasing data caches, the files work without it.
        Err(EOPNOTSUPP) => return Ok(None),
        Err(error) => return Err(error),
    };
    let device = registration.device().clone();
    memory.device.populate(device.clone());
    let old = slot.access.lock().replace(Access {
        registration,
        mapped,
        pages,
    });
    drop(old);
    devres::register(dev, EndOnDrop(slot), GFP_KERNEL)?;
    dev_notice!(
        dev,
        "DAX window of {} MiB at {:#x}\n",
        window.len >> 20,
        window.start
    );
    Ok(Some(device))
}

/// Finds the window of a device that is being probed. Unbinding the device undoes this.
///
/// # Safety
///
/// virtio-fs calls this for a device that is being bound.
#[export]
pub(crate) unsafe extern "C" fn fuse_dax_setup_window(
    vdev: *mut bindings::virtio_device,
    dax_dev: *mut *mut bindings::dax_device,
) -> c_int {
    // SAFETY: The function's contract.
    let virtio = unsafe { Virtio::from_raw(vdev) };
    match setup(virtio) {
        Ok(device) => {
            if let Some(device) = device {
                // SAFETY: The function's contract. What is registered with the device keeps the
                // `dax_device`.
                unsafe { *dax_dev = device.as_raw() };
            }
            0
        }
        Err(error) => error.to_errno(),
    }
}

/// Revokes the memory of a window from all users, before the device is reset.
///
/// After that the server may unmap its mappings. Memory that reads as zeroes and loses stores must
/// not be mapped into any process. Sleeps; some seconds, if pages are pinned for I/O.
///
/// # Safety
///
/// virtio-fs calls this with a device of [`fuse_dax_setup_window`] while it is being unbound, once
/// no mount finds it any more.
#[export]
pub(crate) unsafe extern "C" fn fuse_dax_remove_window(dax_dev: *mut bindings::dax_device) {
    // SAFETY: The function's contract.
    let memory = unsafe { dax::Registration::<WindowMemory>::data_of(dax_dev) };
    if let Some(slot) = memory.map(|memory| memory.slot.clone()) {
        slot.end();
    }
}
