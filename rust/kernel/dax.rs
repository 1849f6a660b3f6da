// SPDX-License-Identifier: GPL-2.0

//! Direct access to memory behind a file system, for drivers that provide it.
//!
//! To provide it, a driver must do the following:
//!
//! - Implement [`Operations`] for the type that describes its device.
//! - Allocate a [`Registration`] of that type. The `dax_device` is alive from then on.
//! - Connect it with a disk by [`Host::new`], so that file systems find it.
//!
//! Dropping the [`Host`] hides the device, dropping the [`Registration`] notifies its holder of the
//! removal and waits for all users; an `ARef<Device>` keeps no more than the object.
//!
//! ```
//! use kernel::{
//!     dax::{
//!         units::{ByteRange, Pgoff},
//!         Access, Capabilities, Mode, Operations, Registration,
//!     },
//!     iov::IovIterSource,
//!     page::PAGE_SIZE,
//!     sync::Arc,
//! };
//!
//! /// A device that has no memory.
//! struct Empty;
//!
//! // SAFETY: Nothing is given out.
//! unsafe impl Operations for Empty {
//!     const RECOVERY_UNIT: usize = PAGE_SIZE;
//!
//!     fn direct_access(&self, _pgoff: Pgoff, _pages: usize, _mode: Mode) -> Result<Access> {
//!         Err(ERANGE)
//!     }
//!
//!     fn zero_page_range(&self, _pgoff: Pgoff, _pages: usize) -> Result {
//!         Err(ERANGE)
//!     }
//!
//!     fn recovery_write(
//!         &self,
//!         _pgoff: Pgoff,
//!         _offset: usize,
//!         _bytes: usize,
//!         _iter: &mut IovIterSource<'_>,
//!     ) -> usize {
//!         0
//!     }
//!
//!     fn good_bytes(&self, _pgoff: Pgoff, _offset: usize, _bytes: usize) -> usize {
//!         0
//!     }
//! }
//!
//! let registration = Registration::new(Arc::new(Empty, GFP_KERNEL)?, Capabilities::default())?;
//! let device = registration.device().clone();
//! device.set_write_cache(true);
//! assert!(device.write_cache());
//!
//! let range = ByteRange::new(0, 1).ok_or(EINVAL)?;
//! // The device has no holder.
//! assert_eq!(device.notify_failure(range, 0), Err(EOPNOTSUPP));
//! drop(registration);
//! // The device is dead.
//! assert_eq!(device.notify_failure(range, 0), Err(ENXIO));
//! # Ok::<(), Error>(())
//! ```
//!
//! C header: [`include/linux/dax.h`](srctree/include/linux/dax.h)

#[path = "dax/copy.rs"]
mod copy;

#[path = "dax/holder.rs"]
pub mod holder;

#[path = "dax/module.rs"]
mod module;

#[path = "dax/patience.rs"]
pub mod patience;

#[path = "dax/removal.rs"]
pub mod removal;

#[path = "dax/units.rs"]
pub mod units;

#[path = "dax/victims.rs"]
pub mod victims;

#[cfg(CONFIG_RUST_DAX_KUNIT_TEST)]
#[path = "dax/tests.rs"]
mod tests;

use crate::{
    bindings,
    block::bio_disk::{
        self,
        Disk, //
    },
    error::{
        from_err_ptr,
        to_result, //
    },
    iov::IovIterSource,
    mm::pfn::Pfn,
    prelude::*,
    sync::{
        aref::{
            ARef,
            AlwaysRefCounted, //
        },
        Arc, //
    },
    types::{
        ForeignOwnable,
        Opaque,
        ScopeGuard, //
    },
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use units::{
    ByteRange,
    Pgoff, //
};

/// The purpose of a call of [`Operations::direct_access`].
///
/// This is C's number and not an enum, because a conversion would cost time on a path that rarely
/// needs to know.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode(u32);

impl Mode {
    /// Read or write: the memory must be good.
    pub const ACCESS: Self = Self(bindings::dax_access_mode::DAX_ACCESS.0);
    /// Repair by [`Operations::recovery_write`]: the memory may be poison.
    pub const RECOVERY_WRITE: Self = Self(bindings::dax_access_mode::DAX_RECOVERY_WRITE.0);
    /// A read of what [`Operations::good_bytes`] reports as good: some of the memory may be poison.
    pub const RECOVERY_READ: Self = Self(bindings::dax_access_mode::DAX_RECOVERY_READ.0);
}

/// Memory that may be accessed directly: the result of [`Operations::direct_access`].
///
/// The core and its users access it by address and map it in user space without checks. So it takes
/// unsafe code to make one.
///
/// # Examples
///
/// ```
/// use core::ptr::NonNull;
/// use kernel::{dax::Access, mm::pfn::Pfn};
///
/// /// # Safety
/// ///
/// /// The page is mapped and stays, as [`Access::new`] requires.
/// unsafe fn one_page(kaddr: NonNull<u8>, pfn: Pfn) -> Access {
///     // SAFETY: The function's contract.
///     unsafe { Access::new(1, kaddr, pfn) }
/// }
/// ```
///
/// # Invariants
///
/// From `kaddr` on `pages` pages are mapped, in frames from `pfn` on, except for pages that a
/// memory failure took out of the direct map. They stay until the device that gives them out was
/// killed.
pub struct Access {
    pages: usize,
    kaddr: NonNull<u8>,
    pfn: Pfn,
}

impl Access {
    /// `pages` pages from `kaddr` on, the first of which is frame `pfn`. Without a page, the access
    /// is `ERANGE` to the caller.
    ///
    /// # Safety
    ///
    /// - From `kaddr` on there must be `pages` pages, mapped in the kernel's address space except
    ///   for those that a memory failure took out of the direct map, in frames from `pfn` on.
    /// - They must stay until the [`Registration`] of the device that gives them out was dropped.
    /// - No Rust reference may point to them: others read and change them at any time.
    #[inline]
    pub unsafe fn new(pages: usize, kaddr: NonNull<u8>, pfn: Pfn) -> Self {
        // INVARIANT: By the function's contract there are such pages.
        Self { pages, kaddr, pfn }
    }

    /// How many pages from the asked one on.
    #[inline]
    pub fn pages(&self) -> usize {
        self.pages
    }

    /// The kernel's address of the first page.
    #[inline]
    pub fn kaddr(&self) -> NonNull<u8> {
        self.kaddr
    }

    /// The first page's frame.
    #[inline]
    pub fn pfn(&self) -> Pfn {
        self.pfn
    }
}

/// What a driver does for its `dax_device`.
///
/// All methods may be called at the same time on several CPUs, inside the dax read section (SRCU):
/// they may sleep, but a device cannot go away before they return.
///
/// # Safety
///
/// All that [`Operations::direct_access`] gives out must be memory of the device that the value
/// serves. It must not be memory that another device gave out, for example: only the removal of
/// this device waits for the users of that memory. If one value serves several devices, through
/// clones of its [`Arc`], its memory must stay until all of them were removed.
pub unsafe trait Operations: Sync {
    /// The unit of [`Operations::recovery_write`]: a power of two, in bytes.
    ///
    /// The core refuses to recover less than that, or what is not aligned to it.
    const RECOVERY_UNIT: usize;

    /// Finds the memory of `pages` pages from `pgoff` on.
    ///
    /// It has to be the device's own; see the safety section of the trait.
    ///
    /// The result may be shorter or longer than asked. `EHWPOISON` when the first page is poison
    /// and `mode` is [`Mode::ACCESS`]; `ERANGE` past the end.
    fn direct_access(&self, pgoff: Pgoff, pages: usize, mode: Mode) -> Result<Access>;

    /// Fills `pages` pages from `pgoff` on with zeroes, and repairs poison.
    fn zero_page_range(&self, pgoff: Pgoff, pages: usize) -> Result;

    /// Overwrites `bytes` bytes, from byte `offset` of page `pgoff` on, which may be poison.
    ///
    /// Returns how many bytes were written; 0 when the range cannot be repaired.
    fn recovery_write(
        &self,
        pgoff: Pgoff,
        offset: usize,
        bytes: usize,
        iter: &mut IovIterSource<'_>,
    ) -> usize;

    /// How many of `bytes` bytes, from byte `offset` of page `pgoff` on, come before the first one
    /// that is known to be poison.
    fn good_bytes(&self, pgoff: Pgoff, offset: usize, bytes: usize) -> usize;
}

/// The properties of a `dax_device`, set once when it is allocated.
#[derive(Clone, Copy, Default)]
pub struct Capabilities {
    /// Writes are durable without an asynchronous flush (`MAP_SYNC` may be allowed).
    pub synchronous: bool,
    /// Copies to the device leave nothing in the caches.
    pub nocache: bool,
    /// Copies from the device survive machine checks.
    pub nomc: bool,
}

/// A `dax_device`, alive or not.
///
/// An [`ARef<Device>`] keeps the object, not the device alive.
///
/// # Invariants
///
/// Every value is a `dax_device`, which is reference counted.
#[repr(transparent)]
pub struct Device(Opaque<bindings::dax_device>);

// SAFETY: The C functions that take a `dax_device` may be called from any thread.
unsafe impl Send for Device {}
// SAFETY: The C functions that take a `dax_device` may be called from any thread.
unsafe impl Sync for Device {}

// SAFETY: By the type invariant a device is reference counted: it is part of an inode, which has
// the count.
unsafe impl AlwaysRefCounted for Device {
    fn inc_ref(&self) {
        // SAFETY: By the type invariant this is a `dax_device`.
        let inode = unsafe { bindings::dax_inode(self.as_raw()) };
        // SAFETY: The caller has a reference to the device, and so to its inode.
        unsafe { bindings::ihold(inode) };
    }

    unsafe fn dec_ref(dev: NonNull<Self>) {
        // SAFETY: By the function's contract the reference is the caller's to give up.
        unsafe { bindings::put_dax(dev.as_ptr().cast()) };
    }
}

impl Device {
    /// The C object, valid as long as this value.
    #[inline]
    pub fn as_raw(&self) -> *mut bindings::dax_device {
        self.0.get()
    }

    /// Notifies the holders of the device (for example file systems) that `range` of it has failed.
    ///
    /// `mf_flags` are those of `memory_failure()`. May sleep. `ENXIO` when the device is dead,
    /// `EOPNOTSUPP` when it has no holder: the caller then has to find its users itself.
    pub fn notify_failure(&self, range: ByteRange, mf_flags: i32) -> Result {
        // SAFETY: By the type invariant this is a `dax_device`.
        to_result(unsafe {
            bindings::dax_holder_notify_failure(self.as_raw(), range.start(), range.len(), mf_flags)
        })
    }

    /// Whether no file has any of its memory any more.
    ///
    /// This is the case after a removal, if every holder that could have some was notified and has
    /// answered that it gave its memory up. False when that is not known. Never inlined into the
    /// driver: C does not export the function for modules.
    #[inline(never)]
    pub fn is_given_up(&self) -> bool {
        // SAFETY: By the type invariant this is a `dax_device`.
        unsafe { bindings::dax_is_given_up(self.as_raw()) }
    }

    /// Sets whether [`bindings::dax_flush`] has to write back caches.
    pub fn set_write_cache(&self, on: bool) {
        // SAFETY: By the type invariant this is a `dax_device`.
        unsafe { bindings::dax_write_cache(self.as_raw(), on) };
    }

    /// Whether caches have to be written back for data to be durable.
    pub fn write_cache(&self) -> bool {
        // SAFETY: By the type invariant this is a `dax_device`.
        unsafe { bindings::dax_write_cache_enabled(self.as_raw()) }
    }
}

/// A live `dax_device` with its driver's data.
///
/// Dropping it notifies the holder of the removal, keeps new users out and waits for those that are
/// in: it sleeps, for as long as they take.
///
/// # Invariants
///
/// `dev` is live, and its private pointer is `data`, which came from [`Arc::into_foreign`].
pub struct Registration<T: Operations + Send + 'static> {
    dev: ARef<Device>,
    data: *mut c_void,
    _data: PhantomData<Arc<T>>,
}

// SAFETY: The data may be sent and shared, everything else is C's, which any thread may call.
unsafe impl<T: Operations + Send> Send for Registration<T> {}
// SAFETY: Nothing can be done with a shared reference but get the `Device`.
unsafe impl<T: Operations + Send> Sync for Registration<T> {}

impl<T: Operations + Send + 'static> Registration<T> {
    /// Allocates a `dax_device` for `data`.
    ///
    /// `EOPNOTSUPP` on machines with aliasing data caches.
    pub fn new(data: Arc<T>, capabilities: Capabilities) -> Result<Self> {
        let data = ScopeGuard::new_with_data(data.into_foreign(), |data| {
            // SAFETY: Comes from `into_foreign()`, and no device refers to it.
            drop(unsafe { Arc::<T>::from_foreign(data) });
        });

        // SAFETY: The table is static; `data` stays valid until `Drop` takes it back, after which
        // no operation runs.
        let dev = from_err_ptr(unsafe { bindings::alloc_dax(*data, Vtable::<T>::build()) })?;
        let dev = NonNull::new(dev).ok_or(ENOMEM)?;
        // SAFETY: `alloc_dax()` gave us the device with a reference; the type is transparent.
        let dev: ARef<Device> = unsafe { ARef::from_raw(dev.cast()) };
        // INVARIANT: The device is live, and `data` is the private pointer.
        let this = Self {
            dev,
            data: data.dismiss(),
            _data: PhantomData,
        };
        let dev = this.dev.as_raw();
        if capabilities.nocache {
            // SAFETY: The device is valid.
            unsafe { bindings::set_dax_nocache(dev) };
        }
        if capabilities.nomc {
            // SAFETY: The device is valid.
            unsafe { bindings::set_dax_nomc(dev) };
        }
        if capabilities.synchronous {
            // SAFETY: The device is valid.
            unsafe { bindings::set_dax_synchronous(dev) };
        }
        Ok(this)
    }

    /// The data of a live device.
    ///
    /// # Safety
    ///
    /// `dev` must be a `dax_device` that [`Registration::new`] made for `T`, and no task may be
    /// dropping the registration.
    pub unsafe fn data_of(dev: *mut bindings::dax_device) -> Option<Arc<T>> {
        // SAFETY: `dev` is valid by the function's contract.
        let data = unsafe { bindings::dax_get_private(dev) };
        if data.is_null() {
            return None;
        }
        // SAFETY: The registration, and with it the data, stays by the function's contract.
        let data = unsafe { Arc::<T>::borrow(data) };
        Some(data.into())
    }

    /// The device, which may be kept for longer than it is alive.
    pub fn device(&self) -> &ARef<Device> {
        &self.dev
    }
}

impl<T: Operations + Send + 'static> Drop for Registration<T> {
    fn drop(&mut self) {
        // SAFETY: The device is live, and this is the only place where it is killed.
        unsafe { bindings::kill_dax(self.dev.as_raw()) };
        // SAFETY: By the type invariant the data comes from `into_foreign()`. `kill_dax()` waited
        // for every operation that could see it, and none starts after it.
        drop(unsafe { Arc::<T>::from_foreign(self.data) });
    }
}

/// The connection of a disk to its `dax_device`, by which file systems find the device.
///
/// Keeps both. File systems find the device only while it is alive.
///
/// # Examples
///
/// ```
/// use kernel::{
///     block::bio_disk::{NewDisk, Operations},
///     dax::{Device, Host}, //
/// };
///
/// /// Lets file systems on the disk find `dev`, until the result is dropped.
/// fn connect<T: Operations>(dev: &Device, disk: &NewDisk<T>) -> Result<Host<T>> {
///     Host::new(dev, disk.disk().clone())
/// }
/// ```
pub struct Host<T: bio_disk::Operations> {
    disk: Arc<Disk<T>>,
    _dev: ARef<Device>,
}

impl<T: bio_disk::Operations> Host<T> {
    /// Makes `dev` the `dax_device` of `disk`; `EBUSY` if it has one.
    pub fn new(dev: &Device, disk: Arc<Disk<T>>) -> Result<Self> {
        // SAFETY: Both are valid. The result keeps both until it has taken the entry out.
        to_result(unsafe { bindings::dax_add_host(dev.as_raw(), disk.as_raw()) })?;
        Ok(Self {
            disk,
            _dev: dev.into(),
        })
    }
}

impl<T: bio_disk::Operations> Drop for Host<T> {
    fn drop(&mut self) {
        // SAFETY: The disk is valid: we hold a reference.
        unsafe { bindings::dax_remove_host(self.disk.as_raw()) };
    }
}

/// The C function table of [`Operations`].
struct Vtable<T>(PhantomData<T>);

impl<T: Operations + Send + 'static> Vtable<T> {
    /// Runs `f` on the driver's data of a device that an operation was called for.
    ///
    /// # Safety
    ///
    /// `dev` must be a `dax_device` that [`Registration::new`] made for `T`, and the caller inside
    /// its read section.
    unsafe fn with<R>(dev: *mut bindings::dax_device, f: impl FnOnce(&T) -> R) -> Option<R> {
        // SAFETY: `dev` is valid by the function's contract.
        let data = unsafe { bindings::dax_get_private(dev) };
        if data.is_null() {
            return None;
        }
        // SAFETY: The device is alive and the caller in its read section, so that `kill_dax()`,
        // and with it the end of the data, waits.
        let data = unsafe { Arc::<T>::borrow(data) };
        Some(f(&data))
    }

    /// # Safety
    ///
    /// The dax core calls this for a live device, inside the read section; `kaddr` and `pfn` are
    /// null or valid for writes.
    unsafe extern "C" fn direct_access(
        dev: *mut bindings::dax_device,
        pgoff: usize,
        pages: c_long,
        mode: bindings::dax_access_mode,
        kaddr: *mut *mut c_void,
        pfn: *mut usize,
    ) -> c_long {
        let mode = Mode(mode.0);
        let asked = usize::try_from(pages).unwrap_or(0);
        // SAFETY: The core calls for a device of `T`, inside its read section.
        let found = unsafe {
            Self::with(dev, |data| data.direct_access(Pgoff(pgoff), asked, mode))
                .unwrap_or(Err(ENXIO))
        };
        match found {
            Ok(access) => {
                if !kaddr.is_null() {
                    // SAFETY: Valid for writes if not null, by the function's contract.
                    unsafe { *kaddr = access.kaddr.as_ptr().cast() };
                }
                if !pfn.is_null() {
                    // SAFETY: Valid for writes if not null, by the function's contract.
                    unsafe { *pfn = access.pfn.0 };
                }
                // CAST: There is no memory of so many pages. Should a driver say so all the same,
                // the caller sees an error.
                access.pages as c_long
            }
            // CAST: `c_long` is at least as wide as `c_int`.
            Err(error) => error.to_errno() as c_long,
        }
    }

    /// # Safety
    ///
    /// The dax core calls this for a live device, inside the read section.
    unsafe extern "C" fn zero_page_range(
        dev: *mut bindings::dax_device,
        pgoff: usize,
        pages: usize,
    ) -> c_int {
        // SAFETY: The core calls for a device of `T`, inside its read section.
        let done = unsafe { Self::with(dev, |data| data.zero_page_range(Pgoff(pgoff), pages)) };
        match done.unwrap_or(Err(ENXIO)) {
            Ok(()) => 0,
            Err(error) => error.to_errno(),
        }
    }

    /// # Safety
    ///
    /// The dax core calls this for a live device, inside the read section, with an address that
    /// `direct_access` gave for `pgoff` plus an offset within that page, and a source iterator.
    unsafe extern "C" fn recovery_write(
        dev: *mut bindings::dax_device,
        pgoff: usize,
        addr: *mut c_void,
        bytes: usize,
        iter: *mut bindings::iov_iter,
    ) -> usize {
        let offset = addr.addr() & (crate::page::PAGE_SIZE - 1);
        // SAFETY: `iter` is a valid source by the function's contract, and is not in use elsewhere.
        let iter = unsafe { IovIterSource::from_raw(iter) };
        // SAFETY: The core calls for a device of `T`, inside its read section.
        let written = unsafe {
            Self::with(dev, |data| {
                data.recovery_write(Pgoff(pgoff), offset, bytes, iter)
            })
        };
        // Callers advance by that much without checking the length of the range.
        written.map_or(0, |written| written.min(bytes))
    }

    /// # Safety
    ///
    /// The dax core calls this for a live device, inside the read section.
    unsafe extern "C" fn good_bytes(
        dev: *mut bindings::dax_device,
        pgoff: usize,
        offset: usize,
        bytes: usize,
    ) -> usize {
        // SAFETY: The core calls for a device of `T`, inside its read section.
        unsafe { Self::with(dev, |data| data.good_bytes(Pgoff(pgoff), offset, bytes)) }.unwrap_or(0)
    }

    const VTABLE: bindings::dax_operations = bindings::dax_operations {
        direct_access: Some(Self::direct_access),
        zero_page_range: Some(Self::zero_page_range),
        recovery_write: Some(Self::recovery_write),
        recovery_unit: T::RECOVERY_UNIT,
        good_bytes: Some(Self::good_bytes),
        // By the safety contract of `Operations`.
        own_memory: true,
    };

    const fn build() -> &'static bindings::dax_operations {
        &Self::VTABLE
    }
}
