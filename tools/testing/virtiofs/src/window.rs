// SPDX-License-Identifier: GPL-2.0

//! The DAX window: which file range is mapped where, and what to ask of the VMM to change that.

use std::collections::BTreeMap;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::RawFd;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::Instant;

use fuse_backend_rs::abi::virtio_fs::RemovemappingOne;
use fuse_backend_rs::transport::FsCacheReqHandler;

use crate::grow;
use crate::stats::add;
use crate::stats::Stats;

/// The end that maps file ranges into the guest's window.
pub trait Vmm: Send {
    /// Maps `len` bytes of `file` from `foffset` at `moffset`, where nothing is mapped.
    fn map(&mut self, moffset: u64, len: u64, foffset: u64, backing: &Backing) -> io::Result<()>;
    /// Removes what one `map` put there.
    fn unmap(&mut self, moffset: u64, len: u64) -> io::Result<()>;
}

/// A file, as it is mapped.
#[derive(Debug)]
pub struct Backing {
    pub file: File,
    dev: u64,
    ino: u64,
    pub writable: bool,
}

impl Backing {
    /// Opens a descriptor's file anew.  Read-write where the file allows it, so that the guest's
    /// later change from reading to writing needs no unmap: that would leave a hole for a moment.
    fn of_fd(fd: RawFd, must_write: bool) -> io::Result<Self> {
        let path = format!("/proc/self/fd/{fd}");
        let (file, writable) = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => (file, true),
            Err(error) if must_write => return Err(error),
            Err(_) => (File::open(&path)?, false),
        };
        let meta = file.metadata()?;
        Ok(Backing {
            file,
            dev: meta.dev(),
            ino: meta.ino(),
            writable,
        })
    }

    fn same_as(&self, other: &Backing) -> bool {
        (self.dev, self.ino, self.writable) == (other.dev, other.ino, other.writable)
    }
}

/// A piece of the window that is mapped, by one `Vmm::map`.
#[derive(Clone, Debug)]
struct Mapping {
    foffset: u64,
    len: u64,
    backing: Arc<Backing>,
}

impl Mapping {
    /// The part of a mapping at `at` that begins at `from` and ends before `end`.
    fn part(&self, at: u64, from: u64, end: u64) -> Mapping {
        Mapping {
            foffset: self.foffset + (from - at),
            len: end - from,
            backing: self.backing.clone(),
        }
    }
}

/// How the window is made.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Bytes of window.
    pub size: u64,
    /// A mapping may reach beyond the end of its file.
    pub grow: bool,
    /// No more mappings at once than that.
    pub max_maps: usize,
}

/// What is mapped in the window now, and the way to the VMM.
pub struct Window {
    vmm: Option<Box<dyn Vmm>>,
    maps: BTreeMap<u64, Mapping>,
    rules: Rules,
    stats: Arc<Stats>,
}

fn error(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

impl Window {
    pub fn new(rules: Rules, stats: Arc<Stats>) -> Self {
        Window {
            vmm: None,
            maps: BTreeMap::new(),
            rules,
            stats,
        }
    }

    /// A VMM came; nothing is mapped in its window.
    pub fn connect(&mut self, vmm: Box<dyn Vmm>) {
        self.vmm = Some(vmm);
        self.maps.clear();
        self.stats.mapped(0);
    }

    fn vmm(&mut self) -> io::Result<&mut (dyn Vmm + 'static)> {
        self.vmm.as_deref_mut().ok_or_else(|| error(libc::ENOTCONN))
    }

    /// The mappings that have a byte of `from..end`.
    fn touched(&self, from: u64, end: u64) -> Vec<(u64, Mapping)> {
        let mut list: Vec<_> = self
            .maps
            .range(..end)
            .rev()
            .take_while(|(at, map)| **at + map.len > from)
            .map(|(at, map)| (*at, map.clone()))
            .collect();
        list.reverse();
        list
    }

    /// Asks the VMM for something.
    fn ask(&mut self, what: impl FnOnce(&mut dyn Vmm) -> io::Result<()>) -> io::Result<()> {
        let start = Instant::now();
        let result = what(self.vmm()?);
        let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        add(&self.stats.n.vmm_us, micros);
        result
    }

    fn put(&mut self, at: u64, map: Mapping) -> io::Result<()> {
        if self.maps.len() >= self.rules.max_maps {
            add(&self.stats.n.shmem_refused, 1);
            log::warn!(
                "{} mappings are in the window, as many as --max-maps allows",
                self.maps.len()
            );
            return Err(error(libc::ENOSPC));
        }
        let grow = self.rules.grow;
        // Not the VMM's error.
        self.vmm()?;
        let result = grow::covering(&map.backing.file, map.foffset + map.len, grow, || {
            self.ask(|vmm| vmm.map(at, map.len, map.foffset, &map.backing))
        });
        log::debug!(
            "map file {:#x}+{:#x} at {at:#x}: {result:?}",
            map.foffset,
            map.len
        );
        if let Err(why) = result {
            add(&self.stats.n.shmem_refused, 1);
            log::warn!(
                "the VMM did not map file {:#x}+{:#x} at {at:#x}: {why}",
                map.foffset,
                map.len
            );
            return Err(error(libc::EIO));
        }
        add(&self.stats.n.shmem_map, 1);
        add(&self.stats.n.mapped_bytes, map.len);
        self.maps.insert(at, map);
        self.stats.mapped(self.maps.len());
        Ok(())
    }

    fn take(&mut self, at: u64, len: u64) -> io::Result<()> {
        let result = self.ask(|vmm| vmm.unmap(at, len));
        log::debug!("unmap {at:#x}+{len:#x}: {result:?}");
        result?;
        add(&self.stats.n.shmem_unmap, 1);
        self.maps.remove(&at);
        self.stats.mapped(self.maps.len());
        Ok(())
    }

    /// Unmaps `from..end`.  What a mapping has beside it is mapped again, since the VMM only
    /// unmaps what it mapped; the guest finds nothing there in between.
    fn clear(&mut self, from: u64, end: u64) -> io::Result<()> {
        for (at, old) in self.touched(from, end) {
            let old_end = at + old.len;
            self.take(at, old.len)?;
            if at < from {
                self.put(at, old.part(at, at, from))?;
            }
            if old_end > end {
                self.put(end, old.part(at, end, old_end))?;
            }
        }
        Ok(())
    }

    /// A SETUPMAPPING.
    fn set(&mut self, at: u64, map: Mapping) -> io::Result<()> {
        let end = at
            .checked_add(map.len)
            .filter(|end| map.len > 0 && *end <= self.rules.size)
            .ok_or_else(|| error(libc::EINVAL))?;
        if map.foffset.checked_add(map.len).is_none() {
            return Err(error(libc::EINVAL));
        }
        let old = self.touched(at, end);
        if let [(old_at, old)] = old.as_slice() {
            let covers = *old_at <= at && old_at + old.len >= end;
            if covers
                && old.foffset + (at - old_at) == map.foffset
                && old.backing.same_as(&map.backing)
            {
                log::debug!("{at:#x} is so mapped already");
                return Ok(());
            }
        }
        self.clear(at, end)?;
        self.put(at, map)
    }

    /// A REMOVEMAPPING, or a part of the window that the server takes back by itself.
    pub fn remove(&mut self, at: u64, len: u64) -> io::Result<()> {
        // The length may be "all that there is".
        self.clear(at, at.saturating_add(len).min(self.rules.size))
    }

    /// Takes everything back; says how many mappings that were.
    pub fn remove_all(&mut self) -> io::Result<usize> {
        let count = self.maps.len();
        self.remove(0, u64::MAX)?;
        Ok(count)
    }
}

/// The window as the FUSE server sees it.
pub struct Cache(pub Arc<std::sync::Mutex<Window>>);

impl Cache {
    fn lock(&self) -> std::sync::MutexGuard<'_, Window> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl FsCacheReqHandler for Cache {
    fn map(
        &mut self,
        foffset: u64,
        moffset: u64,
        len: u64,
        flags: u64,
        fd: RawFd,
    ) -> io::Result<()> {
        const WRITE: u64 = 1;
        let backing = Arc::new(Backing::of_fd(fd, flags & WRITE != 0)?);
        self.lock().set(
            moffset,
            Mapping {
                foffset,
                len,
                backing,
            },
        )
    }

    fn unmap(&mut self, requests: Vec<RemovemappingOne>) -> io::Result<()> {
        let mut window = self.lock();
        add(&window.stats.n.remove_entries, requests.len() as u64);
        for request in requests {
            window.remove(request.moffset, request.len)?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
