// SPDX-License-Identifier: GPL-2.0

//! DAX of virtio-fs: direct access to the host's page cache.
//!
//! A device may have a window of memory, into which the server maps parts of files on request.
//!
//! C version: [`fs/fuse/dax.c`](srctree/fs/fuse/dax.c)
//!
//! - `window.rs` and `window/` manage the window: what is mapped where, and what is evicted for
//!   room.
//! - `conn.rs` is the window of one connection, `file.rs` the data of an inode, `held.rs` a range
//!   in use.
//! - `read.rs`, `write.rs`, `fault.rs` and `iomap.rs` are the accesses of files. `hit.rs` makes
//!   copies that need not wait, `copy.rs` all others, `bypass.rs` reads past the window.
//! - `request.rs` is the requests to the server.
//! - `vfs.rs`, `kiocb.rs`, `vmf.rs` and `fuse.rs` wrap C's inodes, calls, faults and connections,
//!   and their locks, in types for safe code.
//! - `device.rs` finds the window of a virtio device, and handles its failures and its removal.
//! - `abi.rs` is the C interface.
//!
//! # Lock order
//!
//! ```text
//! inode lock (i_rwsem)                            read, write, truncate
//!   mmap_lock or the lock of a VMA                faults; copies fault outside of what follows
//!     s_writers (sb_start_pagefault)
//!       mapping.invalidate_lock                   shared: fault; exclusive: truncate, punch hole
//!         locked entries of mapping.i_pages       fs/dax.c
//!           Conn.state                            spinlock, innermost: nothing is taken inside
//! ```
//!
//! `Slot.service` is a mutex that a failure of memory takes alone, and the start of a connection
//! around `Conn.state`.
//!
//! The use of a range (`Window::acquire` to `Window::release`) is not a lock, but tasks wait for
//! it:
//!
//! - A task acquires it with the inode lock, a fault's lock or `s_writers` held, and before
//!   `invalidate_lock`, or under that without waiting. A task that holds one takes no second, and
//!   waits neither for the server nor for what a waiter for ranges might hold: copies do not fault
//!   meanwhile, and a fault only tries `invalidate_lock`, which is held exclusively over requests
//!   (SETATTR, OPEN with O_TRUNC, FALLOCATE).
//! - A task that reclaims a range from a file takes only short locks. C takes the file's
//!   `invalidate_lock` for this, so that a fault cannot reclaim and one reader stops all others. It
//!   is not needed: pages get into page tables only through `iomap_begin`, which refuses a range
//!   that is being reclaimed.
//! - The eviction of an inode waits for tasks that reclaim its ranges. These wait for neither
//!   memory nor the server, so that eviction may happen anywhere, including in reclaim of memory.
//!   It sends no request, so that it may happen in a worker that completes requests (C:
//!   42fbb31310b2).

mod abi;
mod bypass;
mod conn;
mod copy;
mod device;
mod fault;
mod file;
mod fuse;
mod held;
mod hit;
mod iomap;
mod kiocb;
mod read;
mod request;
#[cfg(CONFIG_FUSE_DAX_RUST_KUNIT_TEST)]
mod tests;
mod vfs;
mod vmf;
mod window;
mod write;

/// The prefix of messages.
const __LOG_PREFIX: &[u8] = b"fuse\0";
