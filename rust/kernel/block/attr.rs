// SPDX-License-Identifier: GPL-2.0

//! Attributes that a driver adds to its disks in sysfs.
//!
//! A driver implements [`Switch`] or [`Command`] and chains four statics:
//!
//! ```ignore
//! static SWITCH: Attribute = Attribute::switch::<MySwitch>(c"my_switch");
//! static LIST: AttributeList = AttributeList::new(&SWITCH, None);
//! static GROUP: AttributeGroup = AttributeGroup::new(c"my_dir", &LIST);
//! static GROUPS: AttributeGroups = AttributeGroups::new(&GROUP);
//! ```
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

#[cfg(CONFIG_RUST_DAX_KUNIT_TEST)]
#[path = "attr/tests.rs"]
mod tests;

/// A boolean attribute of a driver's disks.
pub trait Switch: 'static {
    /// The driver.
    type Driver: Operations;

    /// What is shown, as `0` or `1`.
    fn show(data: &<Self::Driver as Operations>::Data) -> bool;

    /// What happens when user space writes anything that `kstrtobool()` understands.
    fn store(data: &<Self::Driver as Operations>::Data, value: bool);
}

/// An attribute that a driver's disks are told something by.
pub trait Command: 'static {
    /// The driver.
    type Driver: Operations;

    /// What happens when a task with `CAP_SYS_ADMIN` writes `text`. May sleep.
    fn run(data: &<Self::Driver as Operations>::Data, text: &[u8]) -> Result;
}

/// The C structure of a [`Switch`] or a [`Command`].
#[repr(transparent)]
pub struct Attribute(bindings::device_attribute);

// SAFETY: Nothing changes it.
unsafe impl Sync for Attribute {}

impl Attribute {
    /// An attribute that everyone may read and root may write.
    pub const fn switch<S: Switch>(name: &'static CStr) -> Self {
        let mut this = Self::new(name, 0o644);
        this.0.__bindgen_anon_1.show = Some(Self::show::<S>);
        this.0.__bindgen_anon_2.store = Some(Self::store::<S>);
        this
    }

    /// An attribute that root alone may write, and nobody read.
    pub const fn command<C: Command>(name: &'static CStr) -> Self {
        let mut this = Self::new(name, 0o200);
        this.0.__bindgen_anon_2.store = Some(Self::run::<C>);
        this
    }

    const fn new(name: &'static CStr, mode: u16) -> Self {
        let mut attr: bindings::device_attribute = pin_init::zeroed();
        attr.attr.name = crate::str::as_char_ptr_in_const_context(name);
        attr.attr.mode = mode;
        Self(attr)
    }

    /// # Safety
    ///
    /// sysfs calls this for an attribute of a disk of this driver, with a page to write to.
    unsafe extern "C" fn show<S: Switch>(
        dev: *mut bindings::device,
        _attr: *mut bindings::device_attribute,
        buf: *mut c_char,
    ) -> isize {
        // SAFETY: The function's contract.
        let on = S::show(unsafe { data_of::<S::Driver>(dev) });
        // SAFETY: `buf` is a page.
        unsafe {
            buf.write(if on { b'1' } else { b'0' });
            buf.add(1).write(b'\n');
        }
        2
    }

    /// # Safety
    ///
    /// sysfs calls this for an attribute of a disk of this driver, with a terminated string.
    unsafe extern "C" fn store<S: Switch>(
        dev: *mut bindings::device,
        _attr: *mut bindings::device_attribute,
        buf: *const c_char,
        len: usize,
    ) -> isize {
        from_result(|| {
            let mut value = false;
            // SAFETY: `buf` is a terminated string.
            crate::error::to_result(unsafe { bindings::kstrtobool(buf, &mut value) })?;
            // SAFETY: The function's contract.
            S::store(unsafe { data_of::<S::Driver>(dev) }, value);
            isize::try_from(len).map_err(|_| EINVAL)
        })
    }

    /// # Safety
    ///
    /// sysfs calls this for an attribute of a disk of this driver, with `len` bytes of text.
    unsafe extern "C" fn run<C: Command>(
        dev: *mut bindings::device,
        _attr: *mut bindings::device_attribute,
        buf: *const c_char,
        len: usize,
    ) -> isize {
        from_result(|| {
            // Whoever opened the file may have been root and passed it on.
            //
            // SAFETY: Asks about the current task.
            if !unsafe { bindings::capable(bindings::CAP_SYS_ADMIN as c_int) } {
                return Err(EPERM);
            }
            // SAFETY: The function's contract.
            let (data, text) = unsafe {
                (
                    data_of::<C::Driver>(dev),
                    core::slice::from_raw_parts(buf.cast(), len),
                )
            };
            C::run(data, text)?;
            isize::try_from(len).map_err(|_| EINVAL)
        })
    }
}

/// The data of the disk that `dev` is the device of.
///
/// # Safety
///
/// `dev` must be the device of a disk of this driver that was added.
unsafe fn data_of<'a, D: Operations>(dev: *mut bindings::device) -> &'a D::Data {
    // SAFETY: A disk's device is part of its first block device, which names the disk.
    let disk = unsafe {
        let part0 = crate::container_of!(dev, bindings::block_device, bd_device);
        (*part0).bd_disk
    };
    // SAFETY: The attributes go away before the disk's data does.
    unsafe { Disk::<D>::data_of(disk) }
}

/// A null-terminated list of one or two attributes.
#[repr(transparent)]
pub struct AttributeList([*const bindings::attribute; 3]);

// SAFETY: It points to statics, and nothing changes any of them.
unsafe impl Sync for AttributeList {}

impl AttributeList {
    /// The list of `first` and, maybe, of `second`.
    pub const fn new(first: &'static Attribute, second: Option<&'static Attribute>) -> Self {
        let end = core::ptr::null();
        let second = match second {
            Some(second) => &raw const second.0.attr,
            None => end,
        };
        Self([&raw const first.0.attr, second, end])
    }
}

/// A directory of attributes.
#[repr(transparent)]
pub struct AttributeGroup(bindings::attribute_group);

// SAFETY: It points to statics, and nothing changes them.
unsafe impl Sync for AttributeGroup {}

impl AttributeGroup {
    /// The attributes of `list` in directory `name`.
    pub const fn new(name: &'static CStr, list: &'static AttributeList) -> Self {
        let mut group: bindings::attribute_group = pin_init::zeroed();
        group.name = crate::str::as_char_ptr_in_const_context(name);
        group.__bindgen_anon_2.attrs = (&raw const list.0).cast_mut().cast();
        Self(group)
    }
}

/// A null-terminated list of one directory, or of none.
#[repr(transparent)]
pub struct AttributeGroups([*const bindings::attribute_group; 2]);

// SAFETY: It points to statics, and nothing changes them.
unsafe impl Sync for AttributeGroups {}

impl AttributeGroups {
    /// No attributes but those that each disk has.
    pub const NONE: Self = Self([core::ptr::null(); 2]);

    /// The directory `group`.
    pub const fn new(group: &'static AttributeGroup) -> Self {
        Self([&raw const group.0, core::ptr::null()])
    }

    /// The C list.
    pub(crate) fn as_raw(&'static self) -> *mut *const bindings::attribute_group {
        self.0.as_ptr().cast_mut()
    }
}
