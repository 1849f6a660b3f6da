// SPDX-License-Identifier: GPL-2.0

//! Attributes that a driver adds to its disks in sysfs.
//!
//! A driver implements [`Switch`] or [`Command`] and chains four statics:
//!
//! ```
//! use kernel::{
//!     block::{
//!         attr::{Attribute, AttributeGroup, AttributeGroups, AttributeList, Switch},
//!         bio::Bio,
//!         bio_disk::Operations,
//!     },
//!     sync::atomic::{Atomic, Relaxed},
//! };
//!
//! struct MyDriver;
//!
//! #[vtable]
//! impl Operations for MyDriver {
//!     type Data = Atomic<bool>;
//!
//!     fn submit(_data: &Self::Data, bio: Bio) {
//!         bio.end(Err(EIO));
//!     }
//! }
//!
//! struct MySwitch;
//!
//! impl Switch for MySwitch {
//!     type Driver = MyDriver;
//!
//!     fn show(data: &Atomic<bool>) -> bool {
//!         data.load(Relaxed)
//!     }
//!
//!     fn store(data: &Atomic<bool>, value: bool) {
//!         data.store(value, Relaxed);
//!     }
//! }
//!
//! static SWITCH: Attribute<MyDriver> = Attribute::switch::<MySwitch>(c"my_switch");
//! static LIST: AttributeList<MyDriver> = AttributeList::new(&SWITCH, None);
//! static GROUP: AttributeGroup<MyDriver> = AttributeGroup::new(c"my_dir", &LIST);
//! static GROUPS: AttributeGroups<MyDriver> = AttributeGroups::new(&GROUP);
//! ```
//!
//! Each of them names the driver, because its functions take the data of a disk for that driver's:
//! [`Added::new`](super::bio_disk::Added::new) takes the groups of the disk's own driver only.
//!
//! C header: [`include/linux/sysfs.h`](srctree/include/linux/sysfs.h)

use super::bio_disk::{
    Disk,
    Operations, //
};
use crate::{
    bindings,
    error::from_result,
    prelude::*, //
};
use core::marker::PhantomData;

#[cfg(CONFIG_RUST_DAX_KUNIT_TEST)]
#[path = "attr/tests.rs"]
mod tests;

/// A boolean attribute of a driver's disks.
pub trait Switch: 'static {
    /// The driver.
    type Driver: Operations;

    /// Returns what to show, as `0` or `1`.
    fn show(data: &<Self::Driver as Operations>::Data) -> bool;

    /// Called when user space writes anything that `kstrtobool()` understands.
    fn store(data: &<Self::Driver as Operations>::Data, value: bool);
}

/// A write-only attribute, by which user space gives a command to a driver's disks.
///
/// # Examples
///
/// ```
/// use kernel::{
///     block::{
///         attr::{Attribute, Command},
///         bio::Bio,
///         bio_disk::Operations,
///     },
///     sync::atomic::{Atomic, Relaxed},
/// };
///
/// struct MyDriver;
///
/// #[vtable]
/// impl Operations for MyDriver {
///     type Data = Atomic<u64>;
///
///     fn submit(_data: &Self::Data, bio: Bio) {
///         bio.end(Err(EIO));
///     }
/// }
///
/// struct Reset;
///
/// impl Command for Reset {
///     type Driver = MyDriver;
///
///     fn run(data: &Atomic<u64>, text: &[u8]) -> Result {
///         if text.trim_ascii() != b"reset" {
///             return Err(EINVAL);
///         }
///         data.store(0, Relaxed);
///         Ok(())
///     }
/// }
///
/// static RESET: Attribute<MyDriver> = Attribute::command::<Reset>(c"reset");
///
/// let count = Atomic::new(1);
/// assert_eq!(Reset::run(&count, b"restart"), Err(EINVAL));
/// assert_eq!(count.load(Relaxed), 1);
/// Reset::run(&count, b"reset\n")?;
/// assert_eq!(count.load(Relaxed), 0);
/// # Ok::<(), Error>(())
/// ```
pub trait Command: 'static {
    /// The driver.
    type Driver: Operations;

    /// Called when a task with `CAP_SYS_ADMIN` writes `text`. May sleep.
    fn run(data: &<Self::Driver as Operations>::Data, text: &[u8]) -> Result;
}

/// The C structure of a [`Switch`] or a [`Command`] of driver `D`.
///
/// # Invariants
///
/// The functions take the device of a disk of `D`.
#[repr(transparent)]
pub struct Attribute<D: Operations>(bindings::device_attribute, PhantomData<fn(D)>);

// SAFETY: Nothing changes it.
unsafe impl<D: Operations> Sync for Attribute<D> {}

impl<D: Operations> Attribute<D> {
    /// An attribute that all users may read and root may write.
    pub const fn switch<S: Switch<Driver = D>>(name: &'static CStr) -> Self {
        let mut this = Self::new(name, 0o644);
        this.0.__bindgen_anon_1.show = Some(Self::show::<S>);
        this.0.__bindgen_anon_2.store = Some(Self::store::<S>);
        this
    }

    /// An attribute that only root may write, and that cannot be read.
    pub const fn command<C: Command<Driver = D>>(name: &'static CStr) -> Self {
        let mut this = Self::new(name, 0o200);
        this.0.__bindgen_anon_2.store = Some(Self::run::<C>);
        this
    }

    const fn new(name: &'static CStr, mode: u16) -> Self {
        let mut attr: bindings::device_attribute = pin_init::zeroed();
        attr.attr.name = crate::str::as_char_ptr_in_const_context(name);
        attr.attr.mode = mode;
        // INVARIANT: There are no functions yet. What is set later has `D` as its driver.
        Self(attr, PhantomData)
    }

    /// # Safety
    ///
    /// sysfs calls this for an attribute of a disk of `D`, with a page to write to.
    unsafe extern "C" fn show<S: Switch<Driver = D>>(
        dev: *mut bindings::device,
        _attr: *mut bindings::device_attribute,
        buf: *mut c_char,
    ) -> isize {
        // SAFETY: `dev` is the device of a disk of `D`, by the function's contract.
        let on = S::show(unsafe { data_of::<D>(dev) });
        let text = [if on { b'1' } else { b'0' }, b'\n'];
        // SAFETY: `buf` is a page, which is longer.
        unsafe { buf.cast::<[u8; 2]>().write(text) };
        2
    }

    /// # Safety
    ///
    /// sysfs calls this for an attribute of a disk of `D`, with a terminated string.
    unsafe extern "C" fn store<S: Switch<Driver = D>>(
        dev: *mut bindings::device,
        _attr: *mut bindings::device_attribute,
        buf: *const c_char,
        len: usize,
    ) -> isize {
        from_result(|| {
            let mut value = false;
            // SAFETY: `buf` is a terminated string.
            crate::error::to_result(unsafe { bindings::kstrtobool(buf, &mut value) })?;
            // SAFETY: `dev` is the device of a disk of `D`, by the function's contract.
            S::store(unsafe { data_of::<D>(dev) }, value);
            isize::try_from(len).map_err(|_| EINVAL)
        })
    }

    /// # Safety
    ///
    /// sysfs calls this for an attribute of a disk of `D`, with `len` bytes of text.
    unsafe extern "C" fn run<C: Command<Driver = D>>(
        dev: *mut bindings::device,
        _attr: *mut bindings::device_attribute,
        buf: *const c_char,
        len: usize,
    ) -> isize {
        from_result(|| {
            // A privileged task may have opened the file and passed it to this one.
            //
            // SAFETY: Asks about the current task.
            if !unsafe { bindings::capable(bindings::CAP_SYS_ADMIN as c_int) } {
                return Err(EPERM);
            }
            // SAFETY: `dev` is the device of a disk of `D`, by the function's contract.
            let data = unsafe { data_of::<D>(dev) };
            // SAFETY: `buf` is `len` bytes, and sysfs changes none of them until this returns.
            C::run(data, unsafe {
                core::slice::from_raw_parts(buf.cast(), len)
            })?;
            isize::try_from(len).map_err(|_| EINVAL)
        })
    }
}

/// The data of the disk that `dev` is the device of.
///
/// # Safety
///
/// `dev` must be the device of a disk of driver `D` that was added.
unsafe fn data_of<'a, D: Operations>(dev: *mut bindings::device) -> &'a D::Data {
    // SAFETY: A disk's device is part of its first block device.
    let part0 = unsafe { crate::container_of!(dev, bindings::block_device, bd_device) };
    // SAFETY: The block device is valid, and names its disk as long as it is.
    let disk = unsafe { (*part0).bd_disk };
    // SAFETY: The disk is one of `D`, and the attributes go away before its data does.
    unsafe { Disk::<D>::data_of(disk) }
}

/// A null-terminated list of one or two attributes of driver `D`.
#[repr(transparent)]
pub struct AttributeList<D: Operations>([*const bindings::attribute; 3], PhantomData<fn(D)>);

// SAFETY: It points to statics, and nothing changes any of them.
unsafe impl<D: Operations> Sync for AttributeList<D> {}

impl<D: Operations> AttributeList<D> {
    /// The list of `first` and, maybe, of `second`.
    pub const fn new(first: &'static Attribute<D>, second: Option<&'static Attribute<D>>) -> Self {
        let end = core::ptr::null();
        let second = match second {
            Some(second) => &raw const second.0.attr,
            None => end,
        };
        Self([&raw const first.0.attr, second, end], PhantomData)
    }
}

/// A directory of attributes of driver `D`.
#[repr(transparent)]
pub struct AttributeGroup<D: Operations>(bindings::attribute_group, PhantomData<fn(D)>);

// SAFETY: It points to statics, and nothing changes them.
unsafe impl<D: Operations> Sync for AttributeGroup<D> {}

impl<D: Operations> AttributeGroup<D> {
    /// The attributes of `list` in directory `name`.
    pub const fn new(name: &'static CStr, list: &'static AttributeList<D>) -> Self {
        let mut group: bindings::attribute_group = pin_init::zeroed();
        group.name = crate::str::as_char_ptr_in_const_context(name);
        group.__bindgen_anon_2.attrs = (&raw const list.0).cast_mut().cast();
        Self(group, PhantomData)
    }
}

/// A null-terminated list of one directory, or of none, for the disks of driver `D`.
#[repr(transparent)]
pub struct AttributeGroups<D: Operations>(
    [*const bindings::attribute_group; 2],
    PhantomData<fn(D)>,
);

// SAFETY: It points to statics, and nothing changes them.
unsafe impl<D: Operations> Sync for AttributeGroups<D> {}

impl<D: Operations> AttributeGroups<D> {
    /// No attributes but those that each disk has.
    pub const NONE: Self = Self([core::ptr::null(); 2], PhantomData);

    /// The directory `group`.
    pub const fn new(group: &'static AttributeGroup<D>) -> Self {
        Self([&raw const group.0, core::ptr::null()], PhantomData)
    }

    /// The C list.
    pub(crate) fn as_raw(&'static self) -> *mut *const bindings::attribute_group {
        self.0.as_ptr().cast_mut()
    }
}
