// SPDX-License-Identifier: GPL-2.0

//! KUnit suite of disks without requests, and the disk that other suites need.

use super::*;
use crate::{
    block::bio::tests::TestBio,
    device::{
        Bound,
        Device, //
    },
    faux,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

/// What a [`TestDriver`] does with a bio.
pub(crate) const SERVE: i32 = 0;
/// Drops it without an answer. A negative number is the answer.
pub(crate) const FORGET: i32 = 1;

/// A driver whose disks keep nothing: what is read is zeroes.
pub(crate) struct TestDriver;

/// The data of a disk of it.
#[pin_data]
pub(crate) struct TestData {
    #[pin]
    pub(crate) list: Badblocks,
    /// What becomes of bios.
    pub(crate) mode: Atomic<i32>,
    /// How many bytes were asked for.
    pub(crate) bytes: Atomic<u64>,
    /// For an attribute.
    pub(crate) switch: Atomic<bool>,
    /// Shared with the test, which sees by it whether the data is gone.
    _life: Arc<()>,
}

impl TestData {
    pub(crate) fn new(life: Arc<()>) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            list <- Badblocks::new(),
            mode: Atomic::new(SERVE),
            bytes: Atomic::new(0),
            switch: Atomic::new(false),
            _life: life,
        })
    }
}

#[vtable]
impl Operations for TestDriver {
    type Data = TestData;

    fn submit(data: &TestData, bio: Bio) {
        let clock = bio.account();
        for segment in bio.segments() {
            data.bytes.add(u64::from(segment.len()), Relaxed);
            if !bio.is_write() {
                // SAFETY: A segment of a read is valid for writes of its length.
                unsafe { segment.as_ptr().write_bytes(0, segment.len() as usize) };
            }
        }
        drop(clock);
        match data.mode.load(Relaxed) {
            FORGET => drop(bio),
            errno => bio.end(to_result(errno)),
        }
    }

    fn badblocks(data: &TestData) -> Option<&Badblocks> {
        Some(&data.list)
    }
}

/// A disk that is not visible yet; `life` is shared with its data.
pub(crate) fn test_new_disk(limits: Limits, life: &Arc<()>) -> Result<NewDisk<TestDriver>> {
    let data = TestData::new(life.clone());
    NewDisk::new(limits, None, c"rdax_kunit", data)
}

/// The same, for a disk that is never added.
pub(crate) fn test_disk(limits: Limits, life: &Arc<()>) -> Result<Arc<Disk<TestDriver>>> {
    Ok(test_new_disk(limits, life)?.disk().clone())
}

/// A device to put disks below.
pub(crate) struct Parent(faux::Registration);

impl Parent {
    pub(crate) fn new(name: &CStr) -> Result<Self> {
        Ok(Self(faux::Registration::new(name, None)?))
    }

    pub(crate) fn device(&self) -> &Device<Bound> {
        let faux: &faux::Device<Bound> = self.0.as_ref();
        faux.as_ref()
    }
}

#[kunit_tests(rust_bio_disk)]
mod suite {
    use super::*;

    static NO_GROUPS: AttributeGroups<TestDriver> = AttributeGroups::NONE;

    /// The features that [`Limits`] speaks of.
    const FEATURES: u32 = bindings::BLK_FEAT_WRITE_CACHE
        | bindings::BLK_FEAT_FUA
        | bindings::BLK_FEAT_SYNCHRONOUS
        | bindings::BLK_FEAT_NOWAIT
        | bindings::BLK_FEAT_DAX;

    fn features(disk: &Disk<TestDriver>) -> u32 {
        // SAFETY: A disk has a queue.
        unsafe { (*(*disk.as_raw()).queue).limits.features & FEATURES }
    }

    #[test]
    fn data_goes_with_a_disk_that_was_never_added() -> Result {
        let life = Arc::new((), GFP_KERNEL)?;
        let disk = test_disk(Limits::default(), &life)?;
        drop(disk);
        assert!(Arc::into_unique_or_drop(life).is_some());
        Ok(())
    }

    #[test]
    fn data_goes_when_there_is_no_disk() -> Result {
        let life = Arc::new((), GFP_KERNEL)?;
        // No block size.
        let limits = Limits {
            logical_block_size: 1000,
            ..Limits::default()
        };
        assert!(test_disk(limits, &life).is_err_and(|error| error == EINVAL));
        // `DISK_NAME_LEN` is 32, with the zero at the end.
        let long = c"a_name_of_thirty_two_characters_";
        let data = TestData::new(life.clone());
        let disk = Disk::<TestDriver>::new(Limits::default(), None, long, data);
        assert!(disk.is_err_and(|error| error == ENAMETOOLONG));
        assert!(Arc::into_unique_or_drop(life).is_some());
        Ok(())
    }

    #[test]
    fn names_that_just_fit() -> Result {
        let life = Arc::new((), GFP_KERNEL)?;
        let name = c"a_name_of_thirty_one_characters";
        let data = TestData::new(life.clone());
        let disk = Disk::<TestDriver>::new(Limits::default(), None, name, data)?;
        // SAFETY: The disk is ours, and the name ends within the array.
        let shown = unsafe { CStr::from_char_ptr((&raw const (*disk.as_raw()).disk_name).cast()) };
        assert_eq!(shown, name);
        Ok(())
    }

    #[test]
    fn limits_reach_the_queue() -> Result {
        let life = Arc::new((), GFP_KERNEL)?;
        let disk = test_disk(
            Limits {
                logical_block_size: 512,
                physical_block_size: 4096,
                write_cache: true,
                fua: true,
                synchronous: true,
                nowait: true,
                dax: true,
            },
            &life,
        )?;
        assert_eq!(features(&disk), FEATURES);
        // SAFETY: A disk has a queue.
        let limits = unsafe { &(*(*disk.as_raw()).queue).limits };
        assert_eq!(limits.logical_block_size, 512);
        assert_eq!(limits.physical_block_size, 4096);

        let disk = test_disk(Limits::default(), &life)?;
        assert_eq!(features(&disk), 0);
        let nowait = Limits {
            nowait: true,
            ..Limits::default()
        };
        let disk = test_disk(nowait, &life)?;
        assert_eq!(features(&disk), bindings::BLK_FEAT_NOWAIT);
        Ok(())
    }

    #[test]
    fn capacity_and_badblocks() -> Result {
        let life = Arc::new((), GFP_KERNEL)?;
        let disk = test_disk(Limits::default(), &life)?;
        for sectors in [0, 8, 1 << 40] {
            disk.set_capacity(sectors);
            // SAFETY: A disk has a device.
            let shown = unsafe { (*(*disk.as_raw()).part0).bd_nr_sectors };
            assert_eq!(shown, sectors);
        }
        // SAFETY: The disk is ours.
        let list = unsafe { (*disk.as_raw()).bb };
        assert_eq!(list, disk.data().list.as_raw());
        Ok(())
    }

    #[test]
    fn added_and_gone() -> Result {
        let life = Arc::new((), GFP_KERNEL)?;
        let parent = Parent::new(c"rdax_kunit_disk")?;
        let new = test_new_disk(Limits::default(), &life)?;
        let disk = new.disk().clone();
        let added = Added::new(new, parent.device(), &NO_GROUPS)?;
        assert!(Arc::ptr_eq(added.disk(), &disk));
        let node = added.attribute(c"badblocks");
        assert!(node.is_some());
        assert!(added.attribute(c"no_such_thing").is_none());
        added.sync_filesystems();
        drop(added);
        // Keeps the node alone.
        drop(disk);
        if let Some(node) = node {
            node.notify();
        }
        assert!(Arc::into_unique_or_drop(life).is_some());
        Ok(())
    }

    #[test]
    fn bios_reach_the_driver() -> Result {
        let life = Arc::new((), GFP_KERNEL)?;
        let parent = Parent::new(c"rdax_kunit_bios")?;
        let new = test_new_disk(Limits::default(), &life)?;
        let disk = new.disk().clone();
        let added = Added::new(new, parent.device(), &NO_GROUPS)?;
        // Only now, so that there is nothing to look for partitions in.
        disk.set_capacity(64);

        for (mode, answer) in [
            (SERVE, 0),
            (EIO.to_errno(), EIO.to_errno()),
            (EAGAIN.to_errno(), EAGAIN.to_errno()),
            (FORGET, EIO.to_errno()),
        ] {
            let test = TestBio::new(bindings::req_op_REQ_OP_READ, 8, &[(512, 512), (0, 4096)])?;
            disk.data().mode.store(mode, Relaxed);
            disk.data().bytes.store(0, Relaxed);
            // SAFETY: The bio is not in use elsewhere, and the disk was added. It is ended when the
            // call
            // returns.
            let answered = unsafe {
                (*test.as_raw()).bi_bdev = (*disk.as_raw()).part0;
                bindings::submit_bio_wait(test.as_raw())
            };
            assert_eq!(answered, answer);
            assert_eq!(disk.data().bytes.load(Relaxed), 4608);
            assert_eq!(test.byte(0, 511)?, 1);
            assert_eq!(test.byte(0, 512)?, 0);
            assert_eq!(test.byte(0, 1024)?, 1);
            assert_eq!(test.byte(1, 4095)?, 0);
        }
        drop(added);
        drop(disk);
        assert!(Arc::into_unique_or_drop(life).is_some());
        Ok(())
    }
}
