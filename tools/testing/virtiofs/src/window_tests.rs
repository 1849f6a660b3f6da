// SPDX-License-Identifier: GPL-2.0

//! The window against a model of one entry a page.

use super::*;
use crate::config::properties;
use proptest::prelude::*;
use std::sync::Mutex;

const PAGE: u64 = 4096;
const PAGES: usize = 16;

/// A VMM that keeps what QEMU keeps, and refuses what QEMU refuses.
#[derive(Default)]
struct Qemu {
    maps: BTreeMap<u64, (u64, u64, u64)>,
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Qemu>>);

impl Vmm for Shared {
    fn map(&mut self, moffset: u64, len: u64, foffset: u64, backing: &Backing) -> io::Result<()> {
        let maps = &mut self.0.lock().unwrap().maps;
        let overlap = maps
            .iter()
            .any(|(at, (old, ..))| *at < moffset + len && moffset < at + old);
        if overlap || backing.file.metadata()?.len() < foffset + len {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        maps.insert(moffset, (len, foffset, backing.ino));
        Ok(())
    }

    fn unmap(&mut self, moffset: u64, len: u64) -> io::Result<()> {
        match self.0.lock().unwrap().maps.remove(&moffset) {
            Some((old, ..)) if old == len => Ok(()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl Shared {
    /// The page of the file that each page of the window has: (inode, page).
    fn pages(&self) -> Vec<Option<(u64, u64)>> {
        let mut pages = vec![None; PAGES];
        for (at, (len, foffset, ino)) in &self.0.lock().unwrap().maps {
            for i in 0..len / PAGE {
                pages[(at / PAGE + i) as usize] = Some((*ino, foffset / PAGE + i));
            }
        }
        pages
    }
}

fn window(max_maps: usize) -> (Window, Shared, Arc<Stats>) {
    let stats = Arc::new(Stats::default());
    let rules = Rules {
        size: PAGES as u64 * PAGE,
        grow: true,
        max_maps,
    };
    let mut window = Window::new(rules, stats.clone());
    let vmm = Shared::default();
    window.connect(Box::new(vmm.clone()));
    (window, vmm, stats)
}

fn backing(file: &File) -> Arc<Backing> {
    use std::os::fd::AsRawFd;
    Arc::new(Backing::of_fd(file.as_raw_fd(), true).unwrap())
}

properties! {
    #[test]
    fn the_window_has_what_was_asked_last(
        steps in prop::collection::vec((any::<bool>(), 0..2usize, 0..PAGES as u64, 1..6u64, 0..9u64), 1..40)
    ) {
        let files = [tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap()];
        let backings = [backing(&files[0]), backing(&files[1])];
        let (mut window, vmm, stats) = window(usize::MAX);
        let mut model: Vec<Option<(u64, u64)>> = vec![None; PAGES];
        for (map, file, at, len, from) in steps {
            if map && at + len > PAGES as u64 {
                let map = Mapping { foffset: 0, len: len * PAGE, backing: backings[file].clone() };
                prop_assert!(window.set(at * PAGE, map).is_err());
            } else if map {
                let map = Mapping { foffset: from * PAGE, len: len * PAGE, backing: backings[file].clone() };
                let ino = map.backing.ino;
                window.set(at * PAGE, map).unwrap();
                for i in 0..len {
                    model[(at + i) as usize] = Some((ino, from + i));
                }
            } else {
                window.remove(at * PAGE, len * PAGE).unwrap();
                for i in at..(at + len).min(PAGES as u64) {
                    model[i as usize] = None;
                }
            }
            prop_assert_eq!(vmm.pages(), model.clone());
            let live = vmm.0.lock().unwrap().maps.len();
            let told = format!("\"mapped\":{live},");
            prop_assert!(stats.json().contains(&told));
        }
        window.remove_all().unwrap();
        prop_assert!(vmm.0.lock().unwrap().maps.is_empty());
        prop_assert_eq!(files[0].metadata().unwrap().len(), 0);
    }
}

#[test]
fn the_same_again_asks_nothing() {
    let file = tempfile::tempfile().unwrap();
    let (mut window, _vmm, stats) = window(8);
    let map = Mapping {
        foffset: 0,
        len: 4 * PAGE,
        backing: backing(&file),
    };
    window.set(0, map.clone()).unwrap();
    window.set(0, map.clone()).unwrap();
    window.set(PAGE, map.part(0, PAGE, 2 * PAGE)).unwrap();
    assert!(
        stats.json().contains("\"shmem_map\":1,\"shmem_unmap\":0,"),
        "{}",
        stats.json()
    );
}

#[test]
fn no_more_than_max_maps() {
    let file = tempfile::tempfile().unwrap();
    let (mut window, _vmm, stats) = window(2);
    let map = Mapping {
        foffset: 0,
        len: PAGE,
        backing: backing(&file),
    };
    window.set(0, map.clone()).unwrap();
    window.set(PAGE, map.clone()).unwrap();
    let full = window.set(2 * PAGE, map.clone()).unwrap_err();
    assert_eq!(full.raw_os_error(), Some(libc::ENOSPC));
    window.remove(0, PAGE).unwrap();
    window.set(2 * PAGE, map).unwrap();
    assert!(
        stats.json().contains("\"shmem_refused\":1,"),
        "{}",
        stats.json()
    );
}

#[test]
fn nonsense_is_refused() {
    let file = tempfile::tempfile().unwrap();
    let (mut window, _vmm, _stats) = window(2);
    let map = |foffset, len| Mapping {
        foffset,
        len,
        backing: backing(&file),
    };
    for (at, foffset, len) in [
        (0, 0, 0),
        (u64::MAX - PAGE + 1, 0, PAGE),
        (0, u64::MAX - PAGE + 1, PAGE),
        (0, 0, 17 * PAGE),
    ] {
        let error = window.set(at, map(foffset, len)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    }
}

#[test]
fn without_a_vmm_nothing_is_mapped() {
    let file = tempfile::tempfile().unwrap();
    let stats = Arc::new(Stats::default());
    let rules = Rules {
        size: PAGE,
        grow: true,
        max_maps: 1,
    };
    let mut window = Window::new(rules, stats);
    let error = window
        .set(
            0,
            Mapping {
                foffset: 0,
                len: PAGE,
                backing: backing(&file),
            },
        )
        .unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOTCONN));
}
