// SPDX-License-Identifier: GPL-2.0

//! The requests to the server: to map, to remove mappings, and to read data.

use super::{
    conn::Conn,
    file::FileRef,
    fuse::{
        Args,
        Ask,
        Connection,
        PageList,
        Request,
        Via, //
    },
    kiocb::{
        LockedIo,
        READ, //
    },
    vfs::{
        KeptFile,
        OpenFile, //
    },
    window::{
        units::{
            order_bytes,
            RangeId,
            WindowByte, //
        },
        Setup, //
    },
};
use core::slice::from_ref;
use kernel::{
    alloc::flags::__GFP_ZERO,
    bindings,
    new_spinlock,
    page::{
        Page,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::{
        Arc,
        Completion,
        SpinLock, //
    }, //
};
use pin_init::init_zeroed;

/// The most ranges that one request removes: what fits a page, as in C.
const BATCH: usize = 256;

/// A request to map a range. Its answer calls [`Window::setup_done`].
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

    fn describe<'r>(&'r mut self, args: &mut Args<'r>) {
        args.input(from_ref(&self.body));
    }

    fn done(&mut self, result: Result<(), i32>, _len: usize) {
        let (id, upgrade) = (self.id, self.upgrade);
        // SAFETY: This is the server's answer to the request for `id`.
        (self.conn).update(|window| unsafe { window.setup_done(id, upgrade, result) });
    }
}

/// Requests the mapping of a range. On an error, no request was sent.
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
            moffset: setup.id.byte().0,
        },
        conn,
        id: setup.id,
        upgrade: setup.upgrade,
    }))?;
    Request::send(request, Via::Inode(file.inode())).map_err(|(error, _)| error)
}

/// A request to remove ranges. Its answer calls [`Window::removed`] for each range.
///
/// [`Window::removed`]: super::window::Window::removed
struct AskRemove {
    head: bindings::fuse_removemapping_in,
    body: [bindings::fuse_removemapping_one; BATCH],
    conn: Arc<Conn>,
}

impl Ask for AskRemove {
    const OPCODE: c_uint = bindings::fuse_opcode_FUSE_REMOVEMAPPING;

    fn describe<'r>(&'r mut self, args: &mut Args<'r>) {
        args.nothing();
        args.input(from_ref(&self.head));
        // CAST: At most `BATCH`.
        args.input(self.body.get(..self.head.count as usize).unwrap_or(&[]));
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
                window.removed(RangeId::at_byte(WindowByte(one.moffset)));
            }
        });
        self.conn.free_unneeded();
    }
}

/// Takes stale ranges, as many as fit a request, and requests their removal.
pub(crate) fn remove(conn: Arc<Conn>, fc: Connection<'_>) -> Result {
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
            slot.moffset = id.byte().0;
            slot.len = order_bytes(order);
            count += 1;
        }
        count
    });
    if ask.head.count == 0 {
        return Ok(());
    }
    // The ranges belong to many files, but the server goes by the window alone.
    if let Err((error, mut request)) = Request::send(request, Via::Connection(fc)) {
        // The next mapping replaces what the server has there.
        request.ask_mut().done(Err(error.to_errno()), 0);
    }
    Ok(())
}

/// The most pages that a read past the window gets.
const PAGES: usize = 4;

/// A read past the window needs this much or less to be left of the read, or of the file.
pub(super) const MOST: usize = PAGES * PAGE_SIZE;

/// The data of an answer.
#[derive(Default)]
pub(super) struct Data {
    pages: [Option<Page>; PAGES],
    /// The number of bytes.
    len: usize,
}

impl Data {
    /// Room for `len` bytes, at most [`MOST`].
    ///
    /// The pages are zeroed, because the server and the device decide how much of them is written,
    /// and they are copied to a process.
    fn alloc(len: usize) -> Result<Self> {
        let mut data = Self {
            len,
            ..Self::default()
        };
        for page in data.pages.iter_mut().take(len.div_ceil(PAGE_SIZE)) {
            *page = Some(Page::alloc_page(GFP_KERNEL | __GFP_ZERO)?);
        }
        Ok(data)
    }

    /// The number of bytes.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Copies to the caller's memory, as far as possible. Returns the number of bytes.
    pub(super) fn copy_to(&self, io: &mut LockedIo<'_, '_, READ>) -> usize {
        let mut done: usize = 0;
        for page in self.pages.iter().flatten() {
            let bytes = self.len.saturating_sub(done).min(PAGE_SIZE);
            let copied = io.copy_page(page, bytes);
            done = done.saturating_add(copied);
            if copied < bytes {
                break;
            }
        }
        done
    }
}

/// The answer that a task waits for.
#[pin_data]
pub(super) struct Answer {
    #[pin]
    data: SpinLock<Option<Result<Data>>>,
    #[pin]
    done: Completion,
}

impl Answer {
    fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                data <- new_spinlock!(None, "fuse_dax_read::data"),
                done <- Completion::new(),
            }),
            GFP_KERNEL,
        )
    }

    fn give(&self, data: Result<Data>) {
        let old = self.data.lock().replace(data);
        drop(old);
        self.done.complete_all();
    }

    /// Waits for the server or a fatal signal.
    pub(super) fn wait(&self) -> Result<Data> {
        self.done
            .wait_for_completion_killable()
            .map_err(|_| EINTR)?;
        self.data.lock().take().unwrap_or(Err(EIO))
    }
}

struct AskRead {
    body: bindings::fuse_read_in,
    data: Data,
    list: PageList<PAGES>,
    answer: Arc<Answer>,
    /// Keeps the file open, on which the server's handle depends. A task that was killed does not
    /// keep it.
    file: Option<KeptFile>,
}

impl Ask for AskRead {
    const OPCODE: c_uint = bindings::fuse_opcode_FUSE_READ;

    fn describe<'r>(&'r mut self, args: &mut Args<'r>) {
        args.input(from_ref(&self.body));
        args.output(&self.data.pages, self.data.len, &mut self.list);
    }

    fn done(&mut self, result: Result<(), i32>, len: usize) {
        let mut data = core::mem::take(&mut self.data);
        data.len = data.len.min(len);
        // Before the reader continues: it may close the file and unmount at once, and this must not
        // be the last reference then, because it is dropped some time later.
        drop(self.file.take());
        self.answer
            .give(result.map(|()| data).map_err(Error::from_errno));
    }
}

/// Requests `bytes`, at most [`MOST`], from `pos` on. Returns where the answer will be.
pub(super) fn read(file: OpenFile<'_>, pos: u64, bytes: usize) -> Result<Arc<Answer>> {
    let answer = Answer::new()?;
    let given = answer.clone();
    let request = Request::new(try_init!(AskRead {
        body: bindings::fuse_read_in {
            fh: file.handle(),
            offset: pos,
            // CAST: At most `MOST`.
            size: bytes as u32,
            read_flags: 0,
            lock_owner: 0,
            flags: file.flags(),
            padding: 0,
        },
        data: Data::alloc(bytes)?,
        list <- init_zeroed(),
        answer: given,
        file: Some(file.keep()),
    }))?;
    Request::send(request, Via::Inode(file.inode())).map_err(|(error, _)| error)?;
    Ok(answer)
}
