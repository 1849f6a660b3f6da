// SPDX-License-Identifier: GPL-2.0

//! Direct access of virtio-fs to the host's page cache.
//!
//! A device may have a window of memory, and the server maps parts of files into it on request.
//!
//! C version: [`fs/fuse/dax.c`](srctree/fs/fuse/dax.c)
//!
//! - `window.rs` and `window/` manage the window: what is where, and what goes when room is needed.
//! - `conn.rs` is the window of one connection, `file.rs` what is kept of an inode, `held.rs` a
//!   range in use.
//! - `read.rs`, `write.rs`, `fault.rs` and `iomap.rs` are how files use it. `hit.rs` is copies that can
//!   be made at once, `copy.rs` all others, `bypass.rs` reads past the window.
//! - `request.rs` is what the server is asked for.
//! - `vfs.rs`, `kiocb.rs`, `vmf.rs` and `fuse.rs` are C's inodes, calls, faults and connections as
//!   types that safe code can use, and their locks.
//! - `device.rs` finds the window of a virtio device, and hears when its memory fails or goes.
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
//! The use of a range (`Window::acquire` to `Window::release`) is not a lock, but is waited for:
//!
//! - It is taken with the inode lock or a fault's lock held, and before `invalidate_lock`. Who has
//!   one takes no second, and waits for nothing that a waiter for ranges might hold: a truncation
//!   that has `invalidate_lock` uses no range, and copies do not fault while they use a range.
//! - Who takes a range from a file ("reclaims") locks nothing for longer than a moment. C takes the
//!   file's `invalidate_lock` for it, so that a fault cannot and one reader stops all others. It is
//!   not needed: pages come into page tables only by way of `iomap_begin`, and that refuses a
//!   range that is being taken.
//! - An inode that is evicted waits for those who are taking its ranges. These wait for neither
//!   memory nor the server, so that eviction may happen anywhere, in reclaim of memory too. It
//!   sends no request, so that it may happen in a worker that completes requests (C: 42fbb31310b2).

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
