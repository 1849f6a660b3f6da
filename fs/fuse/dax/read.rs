// SPDX-License-Identifier: GPL-2.0

//! Reads past the window: the server is asked for data and not for a mapping.
//!
//! When that is, `window/pass.rs` says.

use super::{
    file::FileRef,
    iomap,
    request::{
        input,
        Ask,
        Request,
        Via, //
    },
    window::units::FilePage, //
};
use kernel::{
    alloc::flags::__GFP_ZERO,
    bindings,
    fs::File,
    new_spinlock,
    page::{
        Page,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::{
        aref::ARef,
        Arc,
        Completion,
        SpinLock, //
    }, //
};
use pin_init::init_zeroed;

/// The most pages that a read past the window gets.
const PAGES: usize = 4;

/// The most bytes that may be left of a read, or of the file, for some to go past the window.
const MOST: usize = PAGES * PAGE_SIZE;

/// What the server sent.
#[derive(Default)]
struct Data {
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

    /// Copies to `to`, as far as that takes it; how many bytes.
    ///
    /// # Safety
    ///
    /// Nobody else uses `to`, which may be the caller's memory.
    unsafe fn copy_to(&self, to: *mut bindings::iov_iter) -> usize {
        let mut done: usize = 0;
        for page in self.pages.iter().flatten() {
            let bytes = self.len.saturating_sub(done).min(PAGE_SIZE);
            // SAFETY: The page has as many bytes, and by the function's contract.
            let copied = unsafe { bindings::copy_page_to_iter(page.as_ptr(), 0, bytes, to) };
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
struct Answer {
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
    fn wait(&self) -> Result<Data> {
        self.done
            .wait_for_completion_killable()
            .map_err(|_| EINTR)?;
        self.data.lock().take().unwrap_or(Err(EIO))
    }
}

struct AskRead {
    body: bindings::fuse_read_in,
    data: Data,
    folios: [*mut bindings::folio; PAGES],
    parts: [bindings::fuse_folio_desc; PAGES],
    answer: Arc<Answer>,
    /// The server's handle is good as long as the file is open, which a task that was killed does
    /// not keep it.
    file: Option<ARef<File>>,
}

impl Ask for AskRead {
    const OPCODE: c_uint = bindings::fuse_opcode_FUSE_READ;

    fn describe(&mut self, args: &mut bindings::fuse_args_pages) {
        let mut left = self.data.len;
        let slots = self.folios.iter_mut().zip(&mut self.parts);
        for (page, (folio, part)) in self.data.pages.iter().flatten().zip(slots) {
            // A page of its own is a folio.
            *folio = page.as_ptr().cast();
            // CAST: At most a page.
            part.length = left.min(PAGE_SIZE) as c_uint;
            left = left.saturating_sub(PAGE_SIZE);
            args.num_folios += 1;
        }
        args.folios = self.folios.as_mut_ptr();
        args.descs = self.parts.as_mut_ptr();
        args.args.in_numargs = 1;
        args.args.in_args[0] = input(&self.body);
        args.args.out_numargs = 1;
        args.args.out_args[0].size = self.body.size;
        args.args.set_out_pages(true);
        // The end of the file may be nearer than it was.
        args.args.set_out_argvar(true);
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

/// Asks for `bytes`, at most [`MOST`], from `pos` on; [`Answer::give`] follows unless this fails.
///
/// # Safety
///
/// `file` must be an open file of FUSE.
unsafe fn send(file: &File, pos: u64, bytes: usize) -> Result<Arc<Answer>> {
    let answer = Answer::new()?;
    let given = answer.clone();
    let request = Request::new(try_init!(AskRead {
        body: bindings::fuse_read_in {
            // SAFETY: The function's contract.
            fh: unsafe { bindings::rdax_fuse_file_handle(file.as_ptr()) },
            offset: pos,
            // CAST: At most `MOST`.
            size: bytes as u32,
            read_flags: 0,
            lock_owner: 0,
            flags: file.flags(),
            padding: 0,
        },
        data: Data::alloc(bytes)?,
        folios: [core::ptr::null_mut(); PAGES],
        parts <- init_zeroed(),
        answer: given,
        file: Some(file.into()),
    }))?;
    // SAFETY: An open file keeps its inode, which is one of FUSE, as the file is FUSE's.
    unsafe {
        let inode = (*file.as_ptr()).f_inode;
        Request::send(request, Via::Inode(inode)).map_err(|(error, _)| error)?;
    }
    Ok(answer)
}

/// A read that may go past the window.
struct Small {
    /// From where on, in bytes.
    pos: u64,
    /// How many bytes, of which the file has all.
    left: u64,
    /// The size of the file in bytes.
    size: u64,
}

impl Small {
    /// What is left of a read, if it is short and waits.
    ///
    /// # Safety
    ///
    /// The VFS gave both arguments to read.
    unsafe fn of(iocb: *mut bindings::kiocb, to: *mut bindings::iov_iter) -> Option<Self> {
        // SAFETY: The function's contract.
        let (pos, count, flags, size) = unsafe {
            (
                u64::try_from((*iocb).ki_pos).ok()?,
                bindings::iov_iter_count(to),
                (*iocb).ki_flags,
                iomap::size((*(*iocb).ki_filp).f_inode),
            )
        };
        let left = size.checked_sub(pos)?.min(count as u64);
        // A server that has opened the file with O_DIRECT, too, refuses a read that is not aligned.
        // CAST: One bit of the flags.
        let unfit = bindings::IOCB_NOWAIT | bindings::IOCB_DIRECT as c_int;
        let may = left > 0 && left <= MOST as u64 && flags & unfit == 0;
        may.then_some(Self { pos, left, size })
    }

    /// How many bytes should be read past the window; [`None`] if the window should be used.
    fn bytes_past(&self, file: &FileRef) -> Option<usize> {
        let page = FilePage::of_byte(self.pos);
        let file_pages = self.size.div_ceil(PAGE_SIZE as u64);
        let end = file
            .conn()
            .update(|window| window.pass(file, page, file_pages))?;
        // CAST: At most `MOST`.
        Some(self.left.min(end.byte().saturating_sub(self.pos)) as usize)
    }
}

/// Reads what should be read past the window; [`None`] if the window should be used, also because
/// the server or this machine's memory does not allow for it.
///
/// Less than was asked for, or nothing, is the end of the file, or that of a range. Sleeps; a fatal
/// signal ends it (`EINTR`).
///
/// # Safety
///
/// FUSE was given `iocb` and `to` to read a file with DAX; the inode's lock is held.
pub(super) unsafe fn past_window(
    iocb: *mut bindings::kiocb,
    to: *mut bindings::iov_iter,
) -> Option<Result<usize>> {
    // SAFETY: The function's contract: the file is open as long as it is read, and nobody else uses
    // `iocb` and `to`.
    unsafe {
        let small = Small::of(iocb, to)?;
        let file = File::from_raw_file((*iocb).ki_filp);
        let inode = (*file.as_ptr()).f_inode;
        let bytes = small.bytes_past(&FileRef::of(inode)?)?;
        let data = match send(file, small.pos, bytes).and_then(|answer| answer.wait()) {
            Ok(data) => data,
            // A mapping needs no memory, and no alignment: the file may have been opened with O_DIRECT
            // although it has the flag no more.
            Err(ENOMEM | EINVAL) => return None,
            Err(error) => return Some(Err(error)),
        };
        bindings::fuse_invalidate_atime(inode);
        // No range is used: the caller's memory may be of the window.
        let copied = data.copy_to(to);
        if copied == 0 && data.len > 0 {
            return Some(Err(EFAULT));
        }
        // CAST: At most `MOST`.
        (*iocb).ki_pos += copied as i64;
        Some(Ok(copied))
    }
}
