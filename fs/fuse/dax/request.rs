// SPDX-License-Identifier: GPL-2.0

//! What the server is asked for.
//!
//! No task waits inside of a request: it waits for the window to change, which a fatal signal ends
//! and the request survives. C sends synchronous requests, which nothing but the answer ends.

use super::{
    conn::Conn,
    file::FileRef,
    window::{
        answer::result_of,
        units::{
            order_bytes,
            RangeId, //
        },
        Setup, //
    },
};
use kernel::{
    bindings,
    container_of,
    error::to_result,
    prelude::*,
    sync::Arc, //
};

/// The most ranges that one request removes: what fits a page, as in C.
const BATCH: usize = 256;

fn input<T>(value: &T) -> bindings::fuse_in_arg {
    bindings::fuse_in_arg {
        // CAST: None of them is larger than a page.
        size: size_of::<T>() as c_uint,
        value: core::ptr::from_ref(value).cast(),
    }
}

struct SetupRequest {
    args: bindings::fuse_args,
    body: bindings::fuse_setupmapping_in,
    conn: Arc<Conn>,
    id: RangeId,
    upgrade: bool,
}

/// Asks for a range to be mapped; [`Window::setup_done`] is called when that was answered.
///
/// May wait for earlier requests to be answered, which a fatal signal ends (`EINTR`).
///
/// [`Window::setup_done`]: super::window::Window::setup_done
pub(crate) fn setup(conn: Arc<Conn>, file: &FileRef, setup: Setup) -> Result {
    let mut flags = u64::from(bindings::FUSE_SETUPMAPPING_FLAG_READ);
    if setup.writable {
        flags |= u64::from(bindings::FUSE_SETUPMAPPING_FLAG_WRITE);
    }
    let mut request = KBox::new(
        SetupRequest {
            args: pin_init::zeroed(),
            body: bindings::fuse_setupmapping_in {
                // The server opens the file by its inode.
                fh: u64::MAX,
                foffset: setup.page.byte(),
                len: order_bytes(setup.order),
                flags,
                moffset: setup.id.offset(),
            },
            conn,
            id: setup.id,
            upgrade: setup.upgrade,
        },
        GFP_KERNEL,
    )?;
    let inode = file.inode();
    // SAFETY: The caller uses the file.
    request.args.nodeid = unsafe { bindings::rdax_fuse_node_id(inode) };
    request.args.opcode = bindings::fuse_opcode_FUSE_SETUPMAPPING;
    request.args.in_numargs = 1;
    request.args.in_args[0] = input(&request.body);
    request.args.end = Some(setup_end);

    let request = KBox::into_raw(request);
    // SAFETY: The request stays until `setup_end()`, or here if that will not be called.
    unsafe {
        to_result(bindings::rdax_fuse_send(inode, &raw mut (*request).args))
            .inspect_err(|_| drop(KBox::from_raw(request)))
    }
}

/// # Safety
///
/// For FUSE, which calls this once for a request of [`setup`].
unsafe extern "C" fn setup_end(args: *mut bindings::fuse_args, error: c_int) {
    // SAFETY: The request was leaked by `setup()`, and is not used by anybody any more.
    let request = unsafe { KBox::from_raw(container_of!(args, SetupRequest, args)) };
    let (id, upgrade) = (request.id, request.upgrade);
    request
        .conn
        .update(|window| window.setup_done(id, upgrade, result_of(error)));
}

struct RemoveRequest {
    args: bindings::fuse_args,
    head: bindings::fuse_removemapping_in,
    body: [bindings::fuse_removemapping_one; BATCH],
    conn: Arc<Conn>,
}

/// Takes stale ranges, as many as fit a request, and asks for them to be removed.
pub(crate) fn remove(conn: Arc<Conn>, fc: *mut bindings::fuse_conn) -> Result {
    let mut request = KBox::new(
        RemoveRequest {
            args: pin_init::zeroed(),
            head: pin_init::zeroed(),
            body: [bindings::fuse_removemapping_one { moffset: 0, len: 0 }; BATCH],
            conn: conn.clone(),
        },
        GFP_KERNEL,
    )?;
    let count = conn.update(|window| {
        let mut count = 0;
        for slot in &mut request.body {
            let Some((id, order)) = window.take_stale() else {
                break;
            };
            slot.moffset = id.offset();
            slot.len = order_bytes(order);
            count += 1;
        }
        count
    });
    if count == 0 {
        return Ok(());
    }
    request.head.count = count;
    // Ranges of many files: the server goes by the window alone.
    request.args.nodeid = u64::from(bindings::FUSE_ROOT_ID);
    request.args.opcode = bindings::fuse_opcode_FUSE_REMOVEMAPPING;
    request.args.in_numargs = 3;
    request.args.in_args[1] = input(&request.head);
    request.args.in_args[2] = bindings::fuse_in_arg {
        // CAST: At most a page.
        size: count * size_of::<bindings::fuse_removemapping_one>() as c_uint,
        value: request.body.as_ptr().cast(),
    };
    request.args.end = Some(remove_end);

    let request = KBox::into_raw(request);
    // SAFETY: The request stays until `remove_end()`, which is called here if nobody else will.
    unsafe {
        let args = &raw mut (*request).args;
        let error = bindings::rdax_fuse_send_unbound(fc, args);
        if error != 0 {
            remove_end(args, error);
        }
    }
    Ok(())
}

/// # Safety
///
/// For FUSE, which calls this once for a request of [`remove`].
unsafe extern "C" fn remove_end(args: *mut bindings::fuse_args, error: c_int) {
    // SAFETY: The request was leaked by `remove()`, and is not used by anybody any more.
    let request = unsafe { KBox::from_raw(container_of!(args, RemoveRequest, args)) };
    if error != 0 && !matches!(Error::from_errno(error), ENOTCONN | ECONNABORTED) {
        kernel::pr_warn_once!("the server did not remove mappings: error {}\n", error);
    }
    let count = request.head.count as usize;
    request.conn.update(|window| {
        for one in request.body.iter().take(count) {
            window.removed(RangeId::at(one.moffset));
        }
    });
}
