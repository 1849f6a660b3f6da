// SPDX-License-Identifier: GPL-2.0

//! The libnvdimm bus: abstractions for a driver of namespaces.
//!
//! They are part of the driver and not of the kernel crate, because that is built in and libnvdimm
//! is a module.
//!
//! C headers: [`include/linux/nd.h`](srctree/include/linux/nd.h),
//! [`drivers/nvdimm/nd.h`](srctree/drivers/nvdimm/nd.h)

pub(crate) mod namespace;
pub(crate) mod region;

use core::ops::Deref;
use kernel::{
    bindings,
    device::{
        self,
        Core,
        CoreInternal, //
    },
    driver,
    error::{
        from_result,
        to_result, //
    },
    prelude::*,
    str::CStrExt,
    types::Opaque,
    ThisModule, //
};

/// What happened to a namespace while its driver was bound.
pub(crate) enum Event {
    /// Poison was added to the bus's list: read it again.
    RevalidatePoison,
    /// The region changed, for example to read-only.
    RevalidateRegion,
}

/// A device that the bus calls the driver for.
///
/// # Invariants
///
/// The device is on the libnvdimm bus, its parent is a region, and it is bound or being bound, with
/// its lock held. Only [`Adapter`] makes such a value, for the time of a call.
#[derive(Clone, Copy)]
pub(crate) struct Device<'a>(&'a device::Device<Core<'a>>);

impl<'a> Deref for Device<'a> {
    type Target = device::Device<Core<'a>>;

    fn deref(&self) -> &Self::Target {
        self.0
    }
}

/// A driver of namespaces.
///
/// Every method is called with the device's lock held, and may sleep.
pub(crate) trait Driver {
    /// The driver's data for each device that it is bound to.
    ///
    /// Dropped when the device is unbound, after [`Driver::unbind`] and before anything that was
    /// handed to the device is released.
    type Data: Send + 'static;

    /// Binds to `dev`.
    fn probe(dev: Device<'_>) -> impl PinInit<Self::Data, Error>;

    /// The device is about to be unbound.
    fn unbind(dev: Device<'_>, data: Pin<&Self::Data>);

    /// Something happened to the device.
    fn notify(dev: Device<'_>, data: Pin<&Self::Data>, event: Event);

    /// The machine is about to halt.
    fn shutdown(dev: Device<'_>);
}

/// Registers a [`Driver`] with the bus.
pub(crate) struct Adapter<T: Driver>(T);

// SAFETY:
// - `bindings::nd_device_driver` is a C type declared as `repr(C)`.
// - `T::Data` is the type of the driver's device private data.
// - `struct nd_device_driver` embeds a `struct device_driver` at `DEVICE_DRIVER_OFFSET`.
unsafe impl<T: Driver + 'static> driver::DriverLayout for Adapter<T> {
    type DriverType = bindings::nd_device_driver;
    type DriverData<'bound> = T::Data;
    const DEVICE_DRIVER_OFFSET: usize = core::mem::offset_of!(Self::DriverType, drv);
}

// SAFETY: `unregister` undoes what a successful `register` did.
unsafe impl<T: Driver + 'static> driver::RegistrationOps for Adapter<T> {
    unsafe fn register(
        drv: &Opaque<Self::DriverType>,
        name: &'static CStr,
        module: &'static ThisModule,
    ) -> Result {
        // SAFETY: The fields of a driver may be set before it is registered.
        unsafe {
            let drv = drv.get();
            (*drv).drv.name = name.as_char_ptr();
            // CAST: The types are bits of one word.
            (*drv).type_ = (bindings::nd_driver_flags_ND_DRIVER_NAMESPACE_IO
                | bindings::nd_driver_flags_ND_DRIVER_NAMESPACE_PMEM)
                as usize;
            (*drv).probe = Some(Self::probe);
            (*drv).remove = Some(Self::remove);
            (*drv).shutdown = Some(Self::shutdown);
            (*drv).notify = Some(Self::notify);
        }
        // SAFETY: `drv` is set up, and stays pinned until it is unregistered.
        to_result(unsafe {
            bindings::__nd_driver_register(drv.get(), module.as_ptr(), name.as_char_ptr())
        })
    }

    unsafe fn unregister(drv: &Opaque<Self::DriverType>) {
        // SAFETY: The driver was registered, by the function's contract.
        unsafe { bindings::driver_unregister(&raw mut (*drv.get()).drv) };
    }
}

impl<T: Driver + 'static> Adapter<T> {
    /// # Safety
    ///
    /// `dev` must be a device that the bus calls the driver for, with its lock held.
    unsafe fn device<'a>(
        dev: *mut bindings::device,
    ) -> (&'a device::Device<CoreInternal<'a>>, Device<'a>) {
        // SAFETY: The function's contract; `device::Device` is a transparent wrapper.
        let dev: &'a device::Device<CoreInternal<'a>> = unsafe { &*dev.cast() };
        // INVARIANT: The function's contract.
        (dev, Device(dev))
    }

    /// # Safety
    ///
    /// Called by the bus, once for each binding.
    unsafe extern "C" fn probe(dev: *mut bindings::device) -> c_int {
        // SAFETY: The function's contract.
        let (internal, dev) = unsafe { Self::device(dev) };
        from_result(|| {
            internal.set_drvdata(T::probe(dev))?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the bus after `probe` succeeded. The data is dropped later, by the driver core.
    unsafe extern "C" fn remove(dev: *mut bindings::device) {
        // SAFETY: The function's contract.
        let (internal, dev) = unsafe { Self::device(dev) };
        // SAFETY: `probe` succeeded, so there is a `Pin<KBox<T::Data>>`.
        T::unbind(dev, unsafe { internal.drvdata_borrow::<T::Data>() });
    }

    /// # Safety
    ///
    /// Called by the bus for a device that has a driver.
    unsafe extern "C" fn shutdown(dev: *mut bindings::device) {
        // SAFETY: The function's contract.
        let (_, dev) = unsafe { Self::device(dev) };
        T::shutdown(dev);
    }

    /// # Safety
    ///
    /// Called by the bus after `probe` succeeded, with the device's lock held.
    unsafe extern "C" fn notify(dev: *mut bindings::device, event: bindings::nvdimm_event) {
        // SAFETY: The function's contract.
        let (internal, dev) = unsafe { Self::device(dev) };
        let event = match event {
            bindings::nvdimm_event::NVDIMM_REVALIDATE_POISON => Event::RevalidatePoison,
            bindings::nvdimm_event::NVDIMM_REVALIDATE_REGION => Event::RevalidateRegion,
            unknown => {
                dev_warn!(dev, "notify: unknown event: {}\n", unknown.0);
                return;
            }
        };
        // SAFETY: `probe` succeeded, so there is a `Pin<KBox<T::Data>>`.
        T::notify(dev, unsafe { internal.drvdata_borrow::<T::Data>() }, event);
    }
}

/// The C device behind a [`device::Device`].
fn raw<Ctx: device::DeviceContext>(dev: &device::Device<Ctx>) -> *mut bindings::device {
    // CAST: `device::Device` is a transparent wrapper of an `Opaque<bindings::device>`.
    core::ptr::from_ref(dev).cast_mut().cast()
}
