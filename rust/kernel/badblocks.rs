// SPDX-License-Identifier: GPL-2.0

//! Bad block lists.
//!
//! C header: [`include/linux/badblocks.h`](srctree/include/linux/badblocks.h)

use crate::{
    bindings,
    block::sector::{
        Sector,
        SectorRange, //
    },
    error::to_result,
    prelude::*,
    types::Opaque, //
};

/// A list of at most [`Badblocks::CAPACITY`] bad ranges, as block devices show it in sysfs.
///
/// The list has a seqlock of its own: every method may be called from any number of threads,
/// with interrupts enabled. Only the constructor sleeps.
///
/// # Invariants
///
/// `inner` is a `struct badblocks` that `badblocks_init()` initialised, and stays pinned until
/// `badblocks_exit()` ran.
#[pin_data(PinnedDrop)]
#[repr(transparent)]
pub struct Badblocks {
    #[pin]
    inner: Opaque<bindings::badblocks>,
}

// SAFETY: The C functions take the list's own lock.
unsafe impl Send for Badblocks {}
// SAFETY: The C functions take the list's own lock.
unsafe impl Sync for Badblocks {}

impl Badblocks {
    /// How many entries fit; an entry holds at most 512 sectors.
    pub const CAPACITY: usize = bindings::PAGE_SIZE / size_of::<u64>();

    /// The C functions count sectors in an `int` at places: `badblocks_check()` and
    /// `badblocks_clear()` never return for 2^31 of them, so no more than this many are passed at
    /// a time.
    const STEP: u64 = 1 << 30;

    /// An empty list.
    ///
    /// # Examples
    ///
    /// ```
    /// use kernel::{
    ///     badblocks::Badblocks,
    ///     block::sector::{Sector, SectorRange},
    /// };
    ///
    /// let list = KBox::pin_init(Badblocks::new(), GFP_KERNEL)?;
    /// let eight = SectorRange::new(Sector(16), 8).ok_or(EINVAL)?;
    /// assert!(list.add(eight));
    /// let all = SectorRange::new(Sector(0), 1 << 40).ok_or(EINVAL)?;
    /// assert_eq!(list.first_within(all), Some(eight));
    /// list.remove(SectorRange::new(Sector(16), 4).ok_or(EINVAL)?);
    /// assert_eq!(list.first_within(all), SectorRange::new(Sector(20), 4));
    /// list.remove(eight);
    /// assert_eq!(list.first_within(all), None);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            // INVARIANT: `badblocks_init()` succeeded, and `PinnedDrop` calls `badblocks_exit()`.
            inner <- Opaque::try_ffi_init(|ptr: *mut bindings::badblocks| {
                // SAFETY: `ptr` is valid for writes. `badblocks_init()` expects zeroed memory.
                unsafe { ptr.write(pin_init::zeroed()) };
                // SAFETY: `ptr` points to a zeroed `struct badblocks`.
                to_result(unsafe { bindings::badblocks_init(ptr, 1) })
            }),
        })
    }

    /// A list that C initialised, and keeps.
    ///
    /// # Safety
    ///
    /// `list` must be initialised, must stay so and where it is for `'a`, and must be changed by
    /// nothing but the C functions meanwhile.
    pub unsafe fn from_raw<'a>(list: *mut bindings::badblocks) -> &'a Self {
        // SAFETY: The type is a transparent wrapper, and the caller's promise is its invariant.
        unsafe { &*list.cast() }
    }

    /// The C list, to be shown by a `struct gendisk`.
    pub fn as_raw(&self) -> *mut bindings::badblocks {
        self.inner.get()
    }

    /// Splits `range` into parts that the C functions can count.
    fn steps(range: SectorRange) -> impl Iterator<Item = SectorRange> {
        let mut from = range.start();
        core::iter::from_fn(move || {
            let end = Sector(from.0.saturating_add(Self::STEP).min(range.end().0));
            let step = SectorRange::from_bounds(from, end)?;
            from = end;
            Some(step)
        })
    }

    /// Adds `range`; returns `false` when the list is full and some of it did not fit.
    pub fn add(&self, range: SectorRange) -> bool {
        Self::steps(range).fold(true, |fitted, step| {
            // SAFETY: By the type invariant the list is initialised.
            let set = unsafe {
                bindings::badblocks_set(self.inner.get(), step.start().0, step.count(), 1)
            };
            fitted && set
        })
    }

    /// Removes `range`; returns `false` when an entry had to be split and the list is full.
    pub fn remove(&self, range: SectorRange) -> bool {
        Self::steps(range).fold(true, |fitted, step| {
            // SAFETY: By the type invariant the list is initialised.
            let cleared = unsafe {
                bindings::badblocks_clear(self.inner.get(), step.start().0, step.count())
            };
            fitted && cleared
        })
    }

    /// By how much [`Badblocks::generation`] grows when `range` is added or removed, wrapping.
    pub fn generations(range: SectorRange) -> u32 {
        // CAST: Wraps, as the generation does.
        (range.count().div_ceil(Self::STEP) as u32).wrapping_mul(2)
    }

    /// The first bad sectors within `asked`, clipped to it.
    ///
    /// `badblocks_check()` reports where the first entry begins even if that lies before the range
    /// in question; callers in C have subtracted that and wrapped.
    pub fn first_within(&self, asked: SectorRange) -> Option<SectorRange> {
        Self::steps(asked).find_map(|step| {
            let mut first_bad = 0;
            let mut count = 0;
            // SAFETY: By the type invariant the list is initialised; both results are valid for
            // writes.
            let found = unsafe {
                bindings::badblocks_check(
                    self.inner.get(),
                    step.start().0,
                    step.count(),
                    &mut first_bad,
                    &mut count,
                )
            };
            if found == 0 {
                return None;
            }
            SectorRange::new(Sector(first_bad), count)?.intersection(&asked)
        })
    }

    /// A consistent snapshot of up to 16 entries from number `first` on, in ascending order.
    ///
    /// # Examples
    ///
    /// ```
    /// use kernel::{
    ///     badblocks::Badblocks,
    ///     block::sector::{Sector, SectorRange},
    /// };
    ///
    /// let list = KBox::pin_init(Badblocks::new(), GFP_KERNEL)?;
    /// let eight = SectorRange::new(Sector(16), 8).ok_or(EINVAL)?;
    /// assert!(list.add(eight));
    /// let entries = list.entries(0);
    /// assert!(entries.iter().eq([eight]));
    /// assert_eq!(entries.generation(), list.generation());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn entries(&self, first: usize) -> Entries {
        let list = self.inner.get();
        loop {
            // SAFETY: By the type invariant the list is initialised.
            let generation = unsafe { bindings::badblocks_read_begin(list) };
            // SAFETY: The list is initialised. The sequence counter tells whether the number has
            // changed.
            let count = unsafe { (&raw const (*list).count).read_volatile() };
            // SAFETY: The list is initialised, and has its page until `badblocks_exit()`.
            let page = unsafe { (*list).page };
            let count = usize::try_from(count).map_or(0, |count| count.min(Self::CAPACITY));
            let mut ranges = [None; Entries::MOST];
            for (slot, index) in ranges.iter_mut().zip(first..count) {
                // SAFETY: `index` is less than what fits the page. That the entry may change at the
                // same time is seen below.
                let entry = unsafe { page.add(index).read_volatile() };
                *slot = SectorRange::new(
                    Sector((entry & bindings::BB_OFFSET_MASK) >> 9),
                    (entry & u64::from(bindings::BB_LEN_MASK)) + 1,
                );
            }
            // SAFETY: By the type invariant the list is initialised.
            if !unsafe { bindings::badblocks_read_retry(list, generation) } {
                return Entries { ranges, generation };
            }
        }
    }

    /// Whether there may be no room for one more entry.
    pub fn is_full(&self) -> bool {
        // SAFETY: By the type invariant the list is initialised. The number may be an old one.
        let count = unsafe { (&raw const (*self.inner.get()).count).read_volatile() };
        usize::try_from(count).is_ok_and(|count| count >= Self::CAPACITY)
    }

    /// A number that changes with every change of the list.
    #[inline]
    pub fn generation(&self) -> u32 {
        // SAFETY: By the type invariant the list is initialised.
        unsafe { bindings::badblocks_generation(self.inner.get()) }
    }
}

/// Some entries of a [`Badblocks`] list.
pub struct Entries {
    ranges: [Option<SectorRange>; Self::MOST],
    generation: u32,
}

impl Entries {
    /// How many there are at most.
    pub const MOST: usize = 16;

    /// The entries, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = SectorRange> + '_ {
        self.ranges.iter().flatten().copied()
    }

    /// The list's [`Badblocks::generation`] at that moment.
    pub fn generation(&self) -> u32 {
        self.generation
    }
}

#[pinned_drop]
impl PinnedDrop for Badblocks {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant the list is initialised; nothing can use it any more.
        unsafe { bindings::badblocks_exit(self.inner.get()) };
    }
}
