// SPDX-License-Identifier: GPL-2.0

//! What the server is asked for: to map, to remove mappings, and for data.

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
            RangeId, //
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

    fn describe<'r>(&'r mut self, args: &mut Args<'r>) {
        args.input(from_ref(&self.body));
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
    Request::send(request, Via::Inode(file.inode())).map_err(|(error, _)| error)
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
                window.removed(RangeId::at(one.moffset));
            }
        });
        self.conn.free_unneeded();
    }
}

/// Takes stale ranges, as many as fit a request, and asks for them to be removed.
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
    if let Err((error, mut request)) = Request::send(request, Via::Connection(fc)) {
        // What the server has there is replaced by what is mapped there next.
        request.ask_mut().done(Err(error.to_errno()), 0);
    }
    Ok(())
}

/// The most pages that a read past the window gets.
const PAGES: usize = 4;

/// The most bytes that may be left of a read, or of the file, for some to go past the window.
pub(super) const MOST: usize = PAGES * PAGE_SIZE;

/// What the server sent.
#[derive(Default)]
pub(super) struct Data {
    pages: [Option<Page>; PAGES],
    /// How many bytes of them.
    len: usize,
}

impl Data {
    /// Room for `len` bytes, at most [`MOST`].
    ///
    /// The pages are zeroed: how much of them was written is the server's and the device's word, and
    /// goes to a process.
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

    /// How many bytes there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Copies to the caller's memory, as far as that takes it; how many bytes.
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

/// What a task waits for that has asked for data.
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

    /// Waits, for the server or a fatal signal.
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
    /// The server's handle is good as long as the file is open, which a task that was killed does
    /// not keep it.
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
        // Before the reader gets on: it may close the file and unmount at once, and the last reference
        // must not be this one, which would go some time later.
        drop(self.file.take());
        self.answer
            .give(result.map(|()| data).map_err(Error::from_errno));
    }
}

/// Asks for `bytes`, at most [`MOST`], from `pos` on; what has the answer, unless this fails.
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
