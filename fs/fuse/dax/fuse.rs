// SPDX-License-Identifier: GPL-2.0

//! Connections of FUSE, and requests to the server.
//!
//! No task waits inside of a request: it waits for the window to change, or for its data, which a
//! fatal signal ends and the request survives. C sends synchronous requests, which nothing but the
//! answer ends.
//!
//! [`Request`] is what all of them are, with the only code that hands memory to FUSE and gets it
//! back. What is asked for, and what follows from the answer, is an [`Ask`].

use super::{
    conn::Conn,
    vfs::Inode,
    window::answer::result_of, //
};
use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::{
    bindings,
    container_of,
    error::to_result,
    page::{
        Page,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    },
    types::ForeignOwnable,
    warn_on, //
};
use pin_init::init_zeroed;

/// `enum fuse_dax_mode`.
const MODE_ALWAYS: c_uint = 1;
/// As above. What is left are the two ways of asking for each inode.
const MODE_NEVER: c_uint = 2;

/// A connection of FUSE.
///
/// # Invariants
///
/// `raw` is a connection that is not freed, and does not lose its window, during `'a`.
#[derive(Clone, Copy)]
pub(crate) struct Connection<'a> {
    raw: *mut bindings::fuse_conn,
    _stays: PhantomData<&'a bindings::fuse_conn>,
}

impl<'a> Connection<'a> {
    /// # Safety
    ///
    /// `raw` must be a connection that is not freed, and does not lose its window, during `'a`.
    pub(crate) unsafe fn from_raw(raw: *mut bindings::fuse_conn) -> Self {
        // INVARIANT: The function's contract.
        Self {
            raw,
            _stays: PhantomData,
        }
    }

    /// # Safety
    ///
    /// `sb` must be a superblock of FUSE that stays during `'a`.
    pub(crate) unsafe fn of_super(sb: *mut bindings::super_block) -> Self {
        // SAFETY: The function's contract: it keeps its connection.
        unsafe { Self::from_raw(bindings::rdax_fuse_sb_conn(sb)) }
    }

    /// The connection of an inode, which it outlives.
    pub(crate) fn of(inode: Inode<'a>) -> Self {
        // SAFETY: `Inode` keeps the inode, and that its connection.
        unsafe { Self::from_raw(bindings::rdax_fuse_inode_conn(inode.as_raw())) }
    }

    /// The window, as C keeps it; null if there is none.
    pub(crate) fn raw_window(self) -> *mut c_void {
        // SAFETY: The type invariant.
        unsafe { bindings::rdax_fuse_conn_window(self.raw) }
    }

    /// The window, if it has one.
    pub(crate) fn window(self) -> Option<ArcBorrow<'a, Conn>> {
        let window = self.raw_window();
        if window.is_null() {
            return None;
        }
        // SAFETY: This is what `set_window()` set, and stays by the type invariant.
        Some(unsafe { Arc::<Conn>::borrow(window) })
    }

    /// Gives it a window.
    ///
    /// # Safety
    ///
    /// It must have none, and not be in use yet.
    pub(crate) unsafe fn set_window(self, window: Arc<Conn>) {
        // SAFETY: The type invariant and the function's contract.
        unsafe { bindings::rdax_fuse_set_conn_window(self.raw, window.into_foreign()) };
    }

    /// Takes the window away, if it has one.
    ///
    /// # Safety
    ///
    /// Nothing must use the connection any more; this ends `'a`, also for copies.
    pub(crate) unsafe fn take_window(self) -> Option<Arc<Conn>> {
        let window = self.raw_window();
        if window.is_null() {
            return None;
        }
        // SAFETY: The type invariant and the function's contract.
        unsafe { bindings::rdax_fuse_set_conn_window(self.raw, ptr::null_mut()) };
        // SAFETY: This is what `set_window()` set, and is not in C's hands any more.
        Some(unsafe { Arc::<Conn>::from_foreign(window) })
    }

    /// The mount option: `enum fuse_dax_mode`.
    fn mode(self) -> c_uint {
        // SAFETY: The type invariant.
        unsafe { bindings::rdax_fuse_conn_mode(self.raw) }
    }

    /// Whether the server chooses DAX for each inode.
    fn per_inode(self) -> bool {
        // SAFETY: The type invariant.
        unsafe { bindings::rdax_fuse_conn_per_inode(self.raw) }
    }

    /// Whether the mount option leaves the choice to each inode.
    pub(crate) fn leaves_to_inodes(self) -> bool {
        !matches!(self.mode(), MODE_ALWAYS | MODE_NEVER)
    }

    /// Whether an inode with the server's `flags` gets DAX.
    pub(crate) fn wants_dax(self, flags: c_uint) -> bool {
        match self.mode() {
            MODE_NEVER => false,
            // A device without a window: a mount that does not require DAX works without it.
            _ if self.raw_window().is_null() => false,
            MODE_ALWAYS => true,
            _ => self.per_inode() && says_dax(flags),
        }
    }
}

/// Whether the server's `flags` of an inode ask for DAX.
pub(crate) fn says_dax(flags: c_uint) -> bool {
    flags & bindings::FUSE_ATTR_DAX != 0
}

/// Descriptions of the pages of an answer.
#[derive(Zeroable)]
pub(super) struct PageList<const N: usize> {
    folios: [*mut bindings::folio; N],
    parts: [bindings::fuse_folio_desc; N],
}

// SAFETY: The pointers are C's alone, which may use them in any task.
unsafe impl<const N: usize> Send for PageList<N> {}

/// The description of a request, all of which lives as long as the [`Ask`] that gives it.
pub(super) struct Args<'r> {
    args: &'r mut bindings::fuse_args_pages,
}

impl<'r> Args<'r> {
    /// Sends an argument without bytes next.
    pub(super) fn nothing(&mut self) {
        self.input::<u8>(&[]);
    }

    /// Sends `value` next.
    pub(super) fn input<T: Copy>(&mut self, value: &'r [T]) {
        let args = &mut self.args.args;
        let Some(arg) = args.in_args.get_mut(usize::from(args.in_numargs)) else {
            warn_on!(true);
            return;
        };
        *arg = bindings::fuse_in_arg {
            // CAST: None of them is larger than a page.
            size: size_of_val(value) as c_uint,
            value: value.as_ptr().cast(),
        };
        args.in_numargs += 1;
    }

    /// Receives up to `len` bytes of data in `pages`.
    pub(super) fn output<const N: usize>(
        &mut self,
        pages: &'r [Option<Page>],
        len: usize,
        list: &'r mut PageList<N>,
    ) {
        let mut left = len;
        let mut folios = 0;
        let slots = list.folios.iter_mut().zip(&mut list.parts);
        for (page, (folio, part)) in pages.iter().flatten().zip(slots) {
            // A page of its own is a folio.
            *folio = page.as_ptr().cast();
            // CAST: At most a page.
            part.length = left.min(PAGE_SIZE) as c_uint;
            left = left.saturating_sub(PAGE_SIZE);
            folios += 1;
        }
        self.args.num_folios = folios;
        self.args.folios = list.folios.as_mut_ptr();
        self.args.descs = list.parts.as_mut_ptr();
        let args = &mut self.args.args;
        args.out_numargs = 1;
        // CAST: What is left has no page.
        args.out_args[0].size = len.saturating_sub(left) as c_uint;
        args.set_out_pages(true);
        // The end of the file may be nearer than it was.
        args.set_out_argvar(true);
    }
}

/// The contents of a request, and the handling of its answer, which any task may run.
pub(super) trait Ask: Sized + Send + 'static {
    /// The operation.
    const OPCODE: c_uint;

    /// Describes what is sent, and where the answer goes: parts of `self`, which does not move
    /// until the answer came.
    fn describe<'r>(&'r mut self, args: &mut Args<'r>);

    /// The server answered, or never will; the error is a negative error number.
    ///
    /// The last argument of the answer, if it may be short, has `len` bytes.
    fn done(&mut self, result: Result<(), i32>, len: usize);
}

/// How a request is sent to the server.
#[derive(Clone, Copy)]
pub(super) enum Via<'a> {
    /// The mount of an inode, which it is about, with the task's credentials. Waits until the
    /// server can be asked at all, which a fatal signal ends (`EINTR`).
    Inode(Inode<'a>),
    /// The connection, in the name of no task. Does not wait.
    Connection(Connection<'a>),
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

    /// Its contents.
    pub(super) fn ask_mut(&mut self) -> &mut A {
        &mut self.ask
    }

    /// Sends it; [`Ask::done`] follows, or has come already. Comes back with the reason if it was
    /// not sent. (A request keeps its connection until it was answered.)
    pub(super) fn send(mut request: KBox<Self>, via: Via<'_>) -> Result<(), (Error, KBox<Self>)> {
        let this = &mut *request;
        let args = &mut this.args;
        // It may have been described before.
        *args = Zeroable::zeroed();
        args.args.opcode = A::OPCODE;
        args.args.end = Some(Self::end);
        args.args.nodeid = match via {
            // SAFETY: `Inode` keeps it.
            Via::Inode(inode) => unsafe { bindings::rdax_fuse_node_id(inode.as_raw()) },
            Via::Connection(_) => bindings::FUSE_ROOT_ID.into(),
        };
        this.ask.describe(&mut Args { args });
        let request = KBox::into_raw(request);
        // SAFETY: It was a box, which is not in use any more.
        let args = unsafe { &raw mut (*request).args.args };
        let error = match via {
            // SAFETY: `Inode` keeps it. The request stays until `end()`, and so does what `args`
            // points to: by the lifetime that `Args` asks for it is part of what the request owns.
            Via::Inode(inode) => unsafe { bindings::rdax_fuse_send(inode.as_raw(), args) },
            // SAFETY: As above.
            Via::Connection(fc) => unsafe { bindings::rdax_fuse_send_unbound(fc.raw, args) },
        };
        // SAFETY: On an error `end()` is not called, and the request is this task's again.
        to_result(error).map_err(|error| (error, unsafe { KBox::from_raw(request) }))
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
