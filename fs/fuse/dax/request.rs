// SPDX-License-Identifier: GPL-2.0

//! Requests to the server.
//!
//! No task waits inside of a request: it waits for the window to change, or for its data, which a
//! fatal signal ends and the request survives. C sends synchronous requests, which nothing but the
//! answer ends.
//!
//! [`Request`] is what all of them are, with the only code that hands memory to FUSE and gets it
//! back. What is asked for, and what follows from the answer, is an [`Ask`].

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
use pin_init::init_zeroed;

/// The most ranges that one request removes: what fits a page, as in C.
const BATCH: usize = 256;

/// What a request asks for, and what becomes of the answer.
pub(super) trait Ask: Sized {
    /// The operation.
    const OPCODE: c_uint;

    /// Describes what is sent, and where the answer goes.
    ///
    /// What `args` points to has to stay valid until `self` is dropped, which does not move.
    fn describe(&mut self, args: &mut bindings::fuse_args_pages);

    /// The server answered, or never will; the error is a negative error number.
    ///
    /// The last argument of the answer, if it may be short, has `len` bytes.
    fn done(&mut self, result: Result<(), i32>, len: usize);
}

/// The form in which an argument of a request is described.
pub(super) fn input<T>(value: &T) -> bindings::fuse_in_arg {
    bindings::fuse_in_arg {
        // CAST: None of them is larger than a page.
        size: size_of::<T>() as c_uint,
        value: core::ptr::from_ref(value).cast(),
    }
}

/// By way of what a request goes to the server.
#[derive(Clone, Copy)]
pub(super) enum Via {
    /// The mount of an inode, which it is about, with the task's credentials. Waits until the server
    /// can be asked at all, which a fatal signal ends (`EINTR`).
    Inode(*mut bindings::inode),
    /// The connection, in the name of no task. Does not wait.
    Conn(*mut bindings::fuse_conn),
}

/// A request, in one piece of memory that FUSE has from [`Request::send`] to [`Ask::done`].
pub(super) struct Request<A: Ask> {
    args: bindings::fuse_args_pages,
    ask: A,
}

impl<A: Ask> Request<A> {
    /// Allocates a request, and makes what it asks for in place: it may not fit a stack.
    pub(super) fn new(ask: impl Init<A, Error>) -> Result<KBox<Self>> {
        KBox::init(
            try_init!(Self {
                args <- init_zeroed(),
                ask <- ask,
            }),
            GFP_KERNEL,
        )
    }

    /// What it asks for.
    pub(super) fn ask_mut(&mut self) -> &mut A {
        &mut self.ask
    }

    /// Sends it; [`Ask::done`] follows, or has come already. Comes back with the reason if it was not
    /// sent.
    ///
    /// # Safety
    ///
    /// The caller uses what `via` names. (A request keeps its connection until it was answered.)
    pub(super) unsafe fn send(
        mut request: KBox<Self>,
        via: Via,
    ) -> Result<(), (Error, KBox<Self>)> {
        let this = &mut *request;
        let args = &mut this.args;
        args.args.opcode = A::OPCODE;
        args.args.end = Some(Self::end);
        args.args.nodeid = match via {
            // SAFETY: The function's contract.
            Via::Inode(inode) => unsafe { bindings::rdax_fuse_node_id(inode) },
            Via::Conn(_) => bindings::FUSE_ROOT_ID.into(),
        };
        this.ask.describe(args);
        let request = KBox::into_raw(request);
        // SAFETY: The function's contract. The request stays until `end()`, or here if that will not
        // be called.
        unsafe {
            let args = &raw mut (*request).args.args;
            to_result(match via {
                Via::Inode(inode) => bindings::rdax_fuse_send(inode, args),
                Via::Conn(fc) => bindings::rdax_fuse_send_unbound(fc, args),
            })
            .map_err(|error| (error, KBox::from_raw(request)))
        }
    }

    /// # Safety
    ///
    /// For FUSE, which calls this once for a request of [`Request::send`].
    unsafe extern "C" fn end(args: *mut bindings::fuse_args, error: c_int) {
        // SAFETY: The request was leaked by `send()`, and FUSE does not use it any more.
        let mut request = unsafe { KBox::from_raw(container_of!(args, Self, args.args)) };
        // CAST: A size in 32 bits.
        let len = request.args.args.out_args[0].size as usize;
        request.ask.done(result_of(error), len);
    }
}

/// [`Window::setup_done`] is called when that was answered.
///
/// [`Window::setup_done`]: super::window::Window::setup_done
struct AskSetup {
    body: bindings::fuse_setupmapping_in,
    conn: Arc<Conn>,
    id: RangeId,
    upgrade: bool,
}

impl Ask for AskSetup {
    const OPCODE: c_uint = bindings::fuse_opcode_FUSE_SETUPMAPPING;

    fn describe(&mut self, args: &mut bindings::fuse_args_pages) {
        args.args.in_numargs = 1;
        args.args.in_args[0] = input(&self.body);
    }

    fn done(&mut self, result: Result<(), i32>, _len: usize) {
        self.conn
            .update(|window| window.setup_done(self.id, self.upgrade, result));
    }
}

/// Asks for a range to be mapped. An error says that the server was not asked.
pub(crate) fn setup(conn: Arc<Conn>, file: &FileRef, setup: Setup) -> Result {
    let mut flags = u64::from(bindings::FUSE_SETUPMAPPING_FLAG_READ);
    if setup.writable {
        flags |= u64::from(bindings::FUSE_SETUPMAPPING_FLAG_WRITE);
    }
    let request = Request::new(try_init!(AskSetup {
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
    }))?;
    // SAFETY: The caller uses the file.
    unsafe { Request::send(request, Via::Inode(file.inode())) }.map_err(|(error, _)| error)
}

/// [`Window::removed`] is called for each range when that was answered.
///
/// [`Window::removed`]: super::window::Window::removed
struct AskRemove {
    head: bindings::fuse_removemapping_in,
    body: [bindings::fuse_removemapping_one; BATCH],
    conn: Arc<Conn>,
}

impl Ask for AskRemove {
    const OPCODE: c_uint = bindings::fuse_opcode_FUSE_REMOVEMAPPING;

    fn describe(&mut self, args: &mut bindings::fuse_args_pages) {
        args.args.in_numargs = 3;
        args.args.in_args[1] = input(&self.head);
        args.args.in_args[2] = bindings::fuse_in_arg {
            // CAST: At most a page.
            size: self.head.count * size_of::<bindings::fuse_removemapping_one>() as c_uint,
            value: self.body.as_ptr().cast(),
        };
    }

    fn done(&mut self, result: Result<(), i32>, _len: usize) {
        if let Err(error) = result {
            if !matches!(Error::from_errno(error), ENOTCONN | ECONNABORTED) {
                kernel::pr_warn_once!("the server did not remove mappings: error {}\n", error);
            }
        }
        let count = self.head.count as usize;
        self.conn.update(|window| {
            for one in self.body.iter().take(count) {
                window.removed(RangeId::at(one.moffset));
            }
        });
        self.conn.free_unneeded();
    }
}

/// Takes stale ranges, as many as fit a request, and asks for them to be removed.
pub(crate) fn remove(conn: Arc<Conn>, fc: *mut bindings::fuse_conn) -> Result {
    let mut request = Request::new(try_init!(AskRemove {
        head <- init_zeroed(),
        body <- init_zeroed(),
        conn,
    }))?;
    let ask = request.ask_mut();
    ask.head.count = ask.conn.update(|window| {
        let mut count = 0;
        for slot in &mut ask.body {
            let Some((id, order)) = window.take_stale() else {
                break;
            };
            slot.moffset = id.offset();
            slot.len = order_bytes(order);
            count += 1;
        }
        count
    });
    if ask.head.count == 0 {
        return Ok(());
    }
    // Ranges of many files: the server goes by the window alone.
    // SAFETY: The caller uses the connection, as `Conn` says.
    if let Err((error, mut request)) = unsafe { Request::send(request, Via::Conn(fc)) } {
        // What the server has there is replaced by what is mapped there next.
        request.ask_mut().done(Err(error.to_errno()), 0);
    }
    Ok(())
}
