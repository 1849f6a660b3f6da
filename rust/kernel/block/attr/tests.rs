// SPDX-License-Identifier: GPL-2.0

//! KUnit suite of the attributes of disks.

use super::*;
use crate::{
    block::bio_disk::{
        tests::{
            test_disk,
            test_new_disk,
            Parent,
            TestData,
            TestDriver, //
        },
        Added,
        Limits, //
    },
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
};

struct TestSwitch;

impl Switch for TestSwitch {
    type Driver = TestDriver;

    fn show(data: &TestData) -> bool {
        data.switch.load(Relaxed)
    }

    fn store(data: &TestData, value: bool) {
        data.switch.store(value, Relaxed);
    }
}

static SWITCH: Attribute<TestDriver> = Attribute::switch::<TestSwitch>(c"kunit_switch");
static LIST: AttributeList<TestDriver> = AttributeList::new(&SWITCH, None);
static GROUP: AttributeGroup<TestDriver> = AttributeGroup::new(c"kunit_dir", &LIST);
static GROUPS: AttributeGroups<TestDriver> = AttributeGroups::new(&GROUP);

/// What `cat` of the switch would see.
fn show(disk: &Disk<TestDriver>) -> Result<(u8, u8)> {
    let mut page = KVec::<c_char>::from_elem(0, crate::page::PAGE_SIZE, GFP_KERNEL)?;
    // SAFETY: The disk is one of the driver's, and there is a page to write to.
    let len = unsafe {
        let dev = &raw mut (*(*disk.as_raw()).part0).bd_device;
        Attribute::show::<TestSwitch>(dev, core::ptr::null_mut(), page.as_mut_ptr())
    };
    match (len, page.as_slice()) {
        (2, [value, end, 0, ..]) => Ok((*value, *end)),
        _ => Err(EINVAL),
    }
}

/// What `write()` of `text` to the switch would return.
fn store(disk: &Disk<TestDriver>, text: &CStr) -> isize {
    // SAFETY: The disk is one of the driver's, and the text ends with a zero.
    unsafe {
        let dev = &raw mut (*(*disk.as_raw()).part0).bd_device;
        let len = text.to_bytes().len();
        Attribute::store::<TestSwitch>(dev, core::ptr::null_mut(), text.as_char_ptr(), len)
    }
}

#[kunit_tests(rust_disk_attr)]
mod suite {
    use super::*;

    #[test]
    fn shows_a_digit_and_a_newline() -> Result {
        let life = Arc::new((), GFP_KERNEL)?;
        let disk = test_disk(Limits::default(), &life)?;
        let switch: &Atomic<bool> = &disk.data().switch;
        assert_eq!(show(&disk)?, (b'0', b'\n'));
        switch.store(true, Relaxed);
        assert_eq!(show(&disk)?, (b'1', b'\n'));
        Ok(())
    }

    #[test]
    fn stores_what_kstrtobool_understands() -> Result {
        let life = Arc::new((), GFP_KERNEL)?;
        let disk = test_disk(Limits::default(), &life)?;
        for (text, value) in [
            (c"1\n", true),
            (c"0\n", false),
            (c"y", true),
            (c"off", false),
            (c"on\n", true),
        ] {
            assert_eq!(store(&disk, text), text.to_bytes().len() as isize);
            assert_eq!(disk.data().switch.load(Relaxed), value);
        }
        // Nothing that it does not understand changes anything.
        for text in [c"", c"\n", c"2", c"perhaps"] {
            assert_eq!(store(&disk, text), EINVAL.to_errno() as isize);
            assert!(disk.data().switch.load(Relaxed));
        }
        Ok(())
    }

    #[test]
    fn in_sysfs_while_the_disk_is() -> Result {
        let life = Arc::new((), GFP_KERNEL)?;
        let parent = Parent::new(c"rdax_kunit_attr")?;
        let new = test_new_disk(Limits::default(), &life)?;
        let added = Added::new(new, parent.device(), &GROUPS)?;
        assert!(added.attribute(c"kunit_dir").is_some());
        assert!(added.attribute(c"kunit_switch").is_none());
        drop(added);

        let new = test_new_disk(Limits::default(), &life)?;
        static NONE: AttributeGroups<TestDriver> = AttributeGroups::NONE;
        let added = Added::new(new, parent.device(), &NONE)?;
        assert!(added.attribute(c"kunit_dir").is_none());
        drop(added);
        Ok(())
    }
}
