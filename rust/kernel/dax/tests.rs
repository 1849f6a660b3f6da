// SPDX-License-Identifier: GPL-2.0

//! KUnit suite of the dax abstraction: a device of four pages, through the C interface.
//!
//! The expected results are those that `include/linux/dax.h` and the comments at its functions
//! promise.

use super::*;
use crate::{
    page::PAGE_SIZE,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

/// How many pages the device has.
const PAGES: usize = 4;
/// The page with poison in it.
const POISONED: usize = 2;
/// The page of which the driver reports that none of it can be accessed.
const EMPTY: usize = 3;
/// The frame of the first page.
const FIRST_PFN: usize = 0x1234;

/// The driver.
struct TestMemory {
    memory: NonNull<u8>,
    /// The mode of the last access, and how many pages it asked for.
    last: Atomic<usize>,
    /// The byte at which the last recovery began.
    recovered: Atomic<usize>,
    /// The only references to it are through `memory`.
    _owner: VVec<u8>,
}

// SAFETY: The memory may be accessed from any thread, and the tests do so from one.
unsafe impl Send for TestMemory {}
// SAFETY: As above.
unsafe impl Sync for TestMemory {}

impl TestMemory {
    fn new() -> Result<Arc<Self>> {
        let mut owner = VVec::from_elem(0xff, PAGES * PAGE_SIZE, GFP_KERNEL)?;
        let this = Self {
            memory: NonNull::new(owner.as_mut_ptr()).ok_or(ENOMEM)?,
            last: Atomic::new(0),
            recovered: Atomic::new(0),
            _owner: owner,
        };
        Ok(Arc::new(this, GFP_KERNEL)?)
    }

    /// Where page `pgoff` is, which must be one of the device.
    fn addr(&self, pgoff: usize) -> NonNull<u8> {
        // SAFETY: The memory has that many pages.
        unsafe { self.memory.add(pgoff.min(PAGES - 1) * PAGE_SIZE) }
    }

    /// The first and the last byte of page `pgoff`.
    fn ends(&self, pgoff: usize) -> (u8, u8) {
        let addr = self.addr(pgoff);
        // SAFETY: The page is ours, and initialised.
        unsafe { (addr.read(), addr.add(PAGE_SIZE - 1).read()) }
    }
}

// SAFETY: What is given out is the memory of the value, which its devices keep.
unsafe impl Operations for TestMemory {
    const RECOVERY_UNIT: usize = 512;

    fn direct_access(&self, pgoff: Pgoff, pages: usize, mode: Mode) -> Result<Access> {
        let recovery = usize::from(mode == Mode::RECOVERY_WRITE);
        self.last.store(pages * 2 + recovery, Relaxed);
        let pages = match (pgoff.0, mode) {
            (POISONED, Mode::ACCESS) => return Err(EHWPOISON),
            (POISONED, Mode::RECOVERY_WRITE | Mode::RECOVERY_READ) => 1,
            (EMPTY, _) => 0,
            (good, _) if good < POISONED => POISONED - good,
            _ => return Err(ERANGE),
        };
        // SAFETY: The memory has that many pages from there on, and the data of the device keeps
        // it. The frame is made up, and not used.
        Ok(unsafe { Access::new(pages, self.addr(pgoff.0), Pfn(FIRST_PFN + pgoff.0)) })
    }

    fn zero_page_range(&self, pgoff: Pgoff, pages: usize) -> Result {
        match pgoff.0 {
            POISONED => return Err(EHWPOISON),
            good if pages == 1 && good < PAGES => {}
            _ => return Err(ERANGE),
        }
        // SAFETY: The page is ours, and there are no readers at the same time.
        unsafe { self.addr(pgoff.0).write_bytes(0, PAGE_SIZE) };
        Ok(())
    }

    fn recovery_write(
        &self,
        pgoff: Pgoff,
        offset: usize,
        bytes: usize,
        iter: &mut IovIterSource<'_>,
    ) -> usize {
        self.recovered.store(pgoff.0 * PAGE_SIZE + offset, Relaxed);
        let Ok(mut data) = KVVec::from_elem(0, bytes.min(PAGE_SIZE), GFP_KERNEL) else {
            return 0;
        };
        match iter.copy_from_iter(&mut data) {
            // A faulty driver, whose result C must not rely on.
            copied if copied == bytes => usize::MAX,
            copied => copied,
        }
    }

    fn good_bytes(&self, pgoff: Pgoff, offset: usize, bytes: usize) -> usize {
        if pgoff.0 == POISONED {
            // The second half of the page is bad.
            (PAGE_SIZE / 2).saturating_sub(offset).min(bytes)
        } else {
            bytes
        }
    }
}

/// The dax read section.
struct ReadLock(c_int);

impl ReadLock {
    fn new() -> Self {
        // SAFETY: May always be called.
        Self(unsafe { bindings::dax_read_lock() })
    }
}

impl Drop for ReadLock {
    fn drop(&mut self) {
        // SAFETY: Pairs with the lock above.
        unsafe { bindings::dax_read_unlock(self.0) };
    }
}

/// The result of an access in C: how many pages, or an error, and where they are.
fn access(
    dev: &Device,
    pgoff: usize,
    pages: isize,
    mode: bindings::dax_access_mode,
) -> (isize, *mut u8, usize) {
    let _lock = ReadLock::new();
    let mut kaddr = core::ptr::null_mut();
    let mut pfn = 0;
    // SAFETY: The device is valid, and we are in the read section.
    let found = unsafe {
        bindings::dax_direct_access(dev.as_raw(), pgoff, pages, mode, &mut kaddr, &mut pfn)
    };
    (found, kaddr.cast(), pfn)
}

fn zero(dev: &Device, pgoff: usize) -> c_int {
    let _lock = ReadLock::new();
    // SAFETY: As in `access()`.
    unsafe { bindings::dax_zero_page_range(dev.as_raw(), pgoff, 1) }
}

fn errno(error: Error) -> isize {
    error.to_errno() as isize
}

#[kunit_tests(rust_dax)]
mod suite {
    use super::*;

    const ACCESS: bindings::dax_access_mode = bindings::dax_access_mode::DAX_ACCESS;
    const RECOVERY: bindings::dax_access_mode = bindings::dax_access_mode::DAX_RECOVERY_WRITE;

    fn device() -> Result<(Arc<TestMemory>, Registration<TestMemory>)> {
        let memory = TestMemory::new()?;
        let registration = Registration::new(memory.clone(), Capabilities::default())?;
        Ok((memory, registration))
    }

    #[test]
    fn access_as_long_as_there_is_memory() -> Result {
        let (memory, registration) = device()?;
        let dev = registration.device();
        let start = memory.addr(0).as_ptr();
        // The driver has two good pages, and returns that whatever is asked: C returns no more than
        // was asked.
        for (asked, found) in [(1, 1), (2, 2), (3, 2), (isize::MAX, 2)] {
            assert_eq!(access(dev, 0, asked, ACCESS), (found, start, FIRST_PFN));
        }
        let second = memory.addr(1).as_ptr();
        assert_eq!(access(dev, 1, 4, ACCESS), (1, second, FIRST_PFN + 1));
        // The driver got the requested number.
        assert_eq!(memory.last.load(Relaxed), 8);
        Ok(())
    }

    #[test]
    fn no_pages() -> Result {
        let (_, registration) = device()?;
        let dev = registration.device();
        assert_eq!(access(dev, 0, 0, ACCESS).0, 0);
        assert_eq!(access(dev, 0, -1, ACCESS).0, errno(EINVAL));
        assert_eq!(access(dev, EMPTY, 1, ACCESS).0, errno(ERANGE));
        Ok(())
    }

    #[test]
    fn access_that_fails() -> Result {
        let (memory, registration) = device()?;
        let dev = registration.device();
        assert_eq!(access(dev, PAGES, 1, ACCESS).0, errno(ERANGE));
        assert_eq!(access(dev, usize::MAX, 1, ACCESS).0, errno(ERANGE));
        assert_eq!(access(dev, POISONED, 1, ACCESS).0, errno(EHWPOISON));
        assert_eq!(memory.last.load(Relaxed), 2);
        // A recovery access gets the poison.
        assert_eq!(
            access(dev, POISONED, 2, RECOVERY),
            (1, memory.addr(POISONED).as_ptr(), FIRST_PFN + POISONED)
        );
        assert_eq!(memory.last.load(Relaxed), 5);
        Ok(())
    }

    #[test]
    fn access_without_an_address() -> Result {
        let (_, registration) = device()?;
        let dev = registration.device().as_raw();
        let _lock = ReadLock::new();
        let null = core::ptr::null_mut();
        // SAFETY: The device is valid, we are in the read section, and both may be null.
        let found = unsafe { bindings::dax_direct_access(dev, 0, 2, ACCESS, null, null.cast()) };
        assert_eq!(found, 2);
        Ok(())
    }

    #[test]
    fn zeroes() -> Result {
        let (memory, registration) = device()?;
        let dev = registration.device();
        assert_eq!(memory.ends(1), (0xff, 0xff));
        assert_eq!(zero(dev, 1), 0);
        assert_eq!(memory.ends(1), (0, 0));
        assert_eq!(memory.ends(0), (0xff, 0xff));
        assert_eq!(zero(dev, PAGES), ERANGE.to_errno());
        // A write that meets poison gets an I/O error.
        assert_eq!(zero(dev, POISONED), EIO.to_errno());
        Ok(())
    }

    #[test]
    fn recovery() -> Result {
        let (memory, registration) = device()?;
        let dev = registration.device().as_raw();
        let data = KVVec::from_elem(7u8, PAGE_SIZE, GFP_KERNEL)?;
        let mut iter = core::mem::MaybeUninit::<bindings::iov_iter>::zeroed();
        let addr = memory.addr(POISONED).as_ptr();
        // A source that ends early makes the write short.
        for len in [PAGE_SIZE, PAGE_SIZE - 1] {
            let kvec = bindings::kvec {
                iov_base: data.as_ptr().cast_mut().cast(),
                iov_len: len,
            };
            let _lock = ReadLock::new();
            // SAFETY: The vector and the data live as long as the iterator, which is only read
            // from; the device is valid, and we are in the read section.
            let done = unsafe {
                let iter = iter.as_mut_ptr();
                bindings::iov_iter_kvec(iter, bindings::ITER_SOURCE, &kvec, 1, len);
                bindings::dax_recovery_write(dev, POISONED, addr.cast(), PAGE_SIZE, iter)
            };
            assert_eq!(done, len);
            // The driver got the right offset.
            assert_eq!(memory.recovered.load(Relaxed), POISONED * PAGE_SIZE);
        }
        Ok(())
    }

    #[test]
    fn write_cache() -> Result {
        let (_, registration) = device()?;
        let dev = registration.device();
        for on in [true, false, true] {
            dev.set_write_cache(on);
            assert_eq!(dev.write_cache(), on);
        }
        Ok(())
    }

    #[test]
    fn capabilities() -> Result {
        for synchronous in [false, true] {
            let capabilities = Capabilities {
                synchronous,
                nocache: true,
                nomc: true,
            };
            let registration = Registration::new(TestMemory::new()?, capabilities)?;
            // SAFETY: The device is valid.
            let told = unsafe { bindings::dax_synchronous(registration.device().as_raw()) };
            assert_eq!(told, synchronous);
        }
        Ok(())
    }

    #[test]
    fn failure_that_nobody_wants_to_know() -> Result {
        let (_, registration) = device()?;
        let dev = registration.device();
        let range = ByteRange::new(0, 4096).ok_or(EINVAL)?;
        assert_eq!(dev.notify_failure(range, 0), Err(EOPNOTSUPP));
        Ok(())
    }

    #[test]
    fn dead_device() -> Result {
        let (memory, registration) = device()?;
        let dev = registration.device().clone();
        drop(registration);
        // The device dropped the data, and there is no way to get it.
        assert!(Arc::into_unique_or_drop(memory).is_some());
        assert_eq!(access(&dev, 0, 1, ACCESS).0, errno(ENXIO));
        assert_eq!(zero(&dev, 0), ENXIO.to_errno());
        let range = ByteRange::new(0, 4096).ok_or(EINVAL)?;
        assert_eq!(dev.notify_failure(range, 0), Err(ENXIO));
        // SAFETY: The device is valid.
        assert!(unsafe { bindings::dax_get_private(dev.as_raw()) }.is_null());
        Ok(())
    }
}

/// Copies between the device and `data`, from byte `offset` of the device on.
fn copy(dev: &Device, offset: u64, data: &mut [u8], write: bool) -> Result<usize> {
    let mut iter = core::mem::MaybeUninit::<bindings::iov_iter>::zeroed();
    let vec = bindings::kvec {
        iov_base: data.as_mut_ptr().cast(),
        iov_len: data.len(),
    };
    // SAFETY: The vector and the data outlive the iterator, which goes in the direction that it
    // was made for.
    unsafe {
        bindings::iov_iter_kvec(iter.as_mut_ptr(), write.into(), &vec, 1, data.len());
        if write {
            let from = crate::iov::IovIterSource::from_raw(iter.as_mut_ptr());
            dev.copy_from_iter(offset, data.len(), from)
        } else {
            let to = crate::iov::IovIterDest::from_raw(iter.as_mut_ptr());
            dev.copy_to_iter(offset, data.len(), to)
        }
    }
}

#[kunit_tests(rust_dax_copy)]
mod copies {
    use super::*;

    #[test]
    fn what_there_is() -> Result {
        let memory = TestMemory::new()?;
        let registration = Registration::new(memory.clone(), Capabilities::default())?;
        let dev = registration.device();
        let end = (POISONED * PAGE_SIZE) as u64;
        // Across a page boundary, and then up to the end of the good memory.
        let mut data = [7; 100];
        assert_eq!(copy(dev, PAGE_SIZE as u64 - 1, &mut data, true), Ok(100));
        assert_eq!((memory.ends(0), memory.ends(1)), ((0xff, 7), (7, 0xff)));
        data = [8; 100];
        assert_eq!(copy(dev, end - 1, &mut data, true), Ok(1));
        assert_eq!(memory.ends(1), (7, 8));
        assert_eq!(copy(dev, end - 2, &mut data, false), Ok(2));
        assert_eq!(data[..3], [0xff, 8, 8]);
        assert_eq!(copy(dev, PAGE_SIZE as u64 - 1, &mut data, false), Ok(100));
        assert_eq!(data, [7; 100]);
        assert_eq!(copy(dev, 0, &mut [], false), Ok(0));
        Ok(())
    }

    #[test]
    fn what_there_is_not() -> Result {
        let (memory, mut data) = (TestMemory::new()?, [7; 100]);
        let registration = Registration::new(memory, Capabilities::default())?;
        let dev = registration.device().clone();
        for write in [false, true] {
            for (page, error) in [(POISONED, EHWPOISON), (EMPTY, ERANGE), (PAGES, ERANGE)] {
                let offset = (page * PAGE_SIZE) as u64;
                assert_eq!(copy(&dev, offset, &mut data, write), Err(error));
            }
            assert_eq!(copy(&dev, u64::MAX, &mut data, write), Err(ERANGE));
        }
        drop(registration);
        for write in [false, true] {
            assert_eq!(copy(&dev, 0, &mut data, write), Err(ENXIO));
        }
        assert_eq!(data, [7; 100]);
        Ok(())
    }
}

/// Holders find the device by the disk.
#[cfg(CONFIG_FS_DAX)]
mod holder {
    use super::*;
    use crate::block::bio_disk::{
        tests::{
            test_disk,
            TestDriver, //
        },
        Limits, //
    };

    /// A holder for the device of a disk, and the failure that it was last notified of.
    struct Holder {
        disk: Arc<Disk<TestDriver>>,
        calls: Atomic<u32>,
        start: Atomic<u64>,
        len: Atomic<u64>,
        flags: Atomic<i32>,
        /// What it answers.
        errno: Atomic<i32>,
    }

    impl Holder {
        const OPS: bindings::dax_holder_operations = bindings::dax_holder_operations {
            notify_failure: Some(Self::notify_failure),
            owner: core::ptr::null_mut(),
            pin: None,
            unpin: None,
        };

        fn new(disk: &Arc<Disk<TestDriver>>) -> Self {
            Self {
                disk: disk.clone(),
                calls: Atomic::new(0),
                start: Atomic::new(0),
                len: Atomic::new(0),
                flags: Atomic::new(0),
                errno: Atomic::new(0),
            }
        }

        fn as_raw(&self) -> *mut c_void {
            core::ptr::from_ref(self).cast_mut().cast()
        }

        /// # Safety
        ///
        /// The dax core calls this for a device that a [`Holder`] holds.
        unsafe extern "C" fn notify_failure(
            dev: *mut bindings::dax_device,
            start: u64,
            len: u64,
            flags: c_int,
        ) -> c_int {
            // SAFETY: The function's contract.
            let this = unsafe { &*bindings::dax_holder(dev).cast::<Self>() };
            this.calls.add(1, Relaxed);
            this.start.store(start, Relaxed);
            this.len.store(len, Relaxed);
            this.flags.store(flags, Relaxed);
            this.errno.load(Relaxed)
        }

        /// Holds the disk's device, if it has one without a holder.
        fn hold(&self) -> Option<Held<'_>> {
            let mut start = u64::MAX;
            // SAFETY: The disk has a block device. The holder is notified of failures until
            // it gives the dax device up, which `Held` does before the holder goes.
            let dev = unsafe {
                let bdev = (*self.disk.as_raw()).part0;
                bindings::fs_dax_get_by_bdev(bdev, &mut start, self.as_raw(), &Self::OPS)
            };
            let held = Held {
                dev: NonNull::new(dev)?,
                holder: self,
            };
            // The whole disk begins where the device does.
            (start == 0).then_some(held)
        }

        /// The number of notifications, and the last one: the first byte, the length, and the
        /// flags.
        fn heard(&self) -> (u32, u64, u64, i32) {
            (
                self.calls.load(Relaxed),
                self.start.load(Relaxed),
                self.len.load(Relaxed),
                self.flags.load(Relaxed),
            )
        }
    }

    /// A device that is held, until this is dropped.
    struct Held<'a> {
        dev: NonNull<bindings::dax_device>,
        holder: &'a Holder,
    }

    impl Drop for Held<'_> {
        fn drop(&mut self) {
            // SAFETY: The device came with a reference, and the holder is the one that it has.
            unsafe { bindings::fs_put_dax(self.dev.as_ptr(), self.holder.as_raw()) };
        }
    }

    #[kunit_tests(rust_dax_holder)]
    mod suite {
        use super::*;

        /// A disk of eight pages that may have a dax device, or may not.
        fn disk(dax: bool) -> Result<Arc<Disk<TestDriver>>> {
            let limits = Limits {
                dax,
                ..Limits::default()
            };
            let disk = test_disk(limits, &Arc::new((), GFP_KERNEL)?)?;
            disk.set_capacity(8 * PAGE_SIZE as u64 / crate::block::sector::SECTOR_SIZE);
            Ok(disk)
        }

        #[test]
        fn one_holder_which_is_told() -> Result {
            let disk = disk(true)?;
            let registration = Registration::new(TestMemory::new()?, Capabilities::default())?;
            let dev = registration.device();
            let _host = Host::new(dev, disk.clone())?;
            let (holder, other) = (Holder::new(&disk), Holder::new(&disk));

            let held = holder.hold().ok_or(ENODEV)?;
            assert_eq!(held.dev.as_ptr(), dev.as_raw());
            assert!(other.hold().is_none());
            let range = ByteRange::new(4096, 8192).ok_or(EINVAL)?;
            assert_eq!(dev.notify_failure(range, 5), Ok(()));
            assert_eq!(holder.heard(), (1, 4096, 8192, 5));
            // What it answers is what the caller gets.
            holder.errno.store(EIO.to_errno(), Relaxed);
            assert_eq!(dev.notify_failure(range, 5), Err(EIO));

            drop(held);
            assert_eq!(dev.notify_failure(range, 5), Err(EOPNOTSUPP));
            assert_eq!(holder.heard().0, 2);
            let held = other.hold().ok_or(ENODEV)?;
            assert_eq!(held.dev.as_ptr(), dev.as_raw());
            drop(held);
            assert_eq!(other.heard().0, 0);
            Ok(())
        }

        #[test]
        fn found_while_there_is_a_host() -> Result {
            let disk = disk(true)?;
            let registration = Registration::new(TestMemory::new()?, Capabilities::default())?;
            let dev = registration.device();
            let holder = Holder::new(&disk);
            assert!(holder.hold().is_none());
            let host = Host::new(dev, disk.clone())?;
            // A disk has one device.
            assert!(Host::new(dev, disk.clone()).is_err_and(|error| error == EBUSY));
            assert!(holder.hold().is_some());
            drop(host);
            assert!(holder.hold().is_none());
            let host = Host::new(dev, disk.clone())?;
            // Dead, but there: KASAN would see if it were not.
            drop(registration);
            assert!(holder.hold().is_none());
            drop(host);
            Ok(())
        }

        #[test]
        fn told_that_the_device_goes() -> Result {
            let disk = disk(true)?;
            let registration = Registration::new(TestMemory::new()?, Capabilities::default())?;
            let host = Host::new(registration.device(), disk.clone())?;
            let holder = Holder::new(&disk);
            let held = holder.hold().ok_or(ENODEV)?;

            drop(host);
            assert_eq!(holder.heard().0, 0);
            drop(registration);
            let flags = bindings::mf_flags_MF_MEM_PRE_REMOVE as i32;
            assert_eq!(holder.heard(), (1, 0, u64::MAX, flags));
            // The reference keeps the device, dead as it is.
            drop(held);
            assert_eq!(holder.heard().0, 1);
            Ok(())
        }

        #[test]
        fn not_found_by_a_disk_without_dax() -> Result {
            let disk = disk(false)?;
            let registration = Registration::new(TestMemory::new()?, Capabilities::default())?;
            let _host = Host::new(registration.device(), disk.clone())?;
            assert!(Holder::new(&disk).hold().is_none());
            Ok(())
        }
    }
}
