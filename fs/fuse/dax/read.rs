// SPDX-License-Identifier: GPL-2.0

//! Reads past the window: the server is asked for data and not for a mapping.
//!
//! When that is, `window/pass.rs` says.

use super::{
    file::FileRef,
    iomap,
    window::{
        answer::result_of,
        units::FilePage, //
    },
};
use kernel::{
    bindings,
    container_of,
    error::to_result,
    fs::File,
    new_spinlock,
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        aref::ARef,
        Arc,
        Completion,
        SpinLock, //
    }, //
};

/// The most bytes that may be left of a read, or of the file, for some to go past the window.
///
/// The transport wants as much memory in one piece, without sleeping for it.
const MOST: usize = 16 << 10;

/// What a task waits for that has asked for data.
#[pin_data]
struct Answer {
    #[pin]
    data: SpinLock<Option<Result<KVec<u8>>>>,
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

    fn give(&self, data: Result<KVec<u8>>) {
        let old = self.data.lock().replace(data);
        drop(old);
        self.done.complete_all();
    }

    /// Waits, for the server or a fatal signal.
    fn wait(&self) -> Result<KVec<u8>> {
        self.done
            .wait_for_completion_killable()
            .map_err(|_| EINTR)?;
        self.data.lock().take().unwrap_or(Err(EIO))
    }
}

struct ReadRequest {
    args: bindings::fuse_args,
    body: bindings::fuse_read_in,
    data: KVec<u8>,
    answer: Arc<Answer>,
    /// The server's handle is good as long as the file is open, which a task that was killed does
    /// not keep it.
    file: ARef<File>,
}

/// Asks for `bytes`, at most [`MOST`], from `pos` on; [`Answer::give`] follows unless this fails.
///
/// # Safety
///
/// `file` must be an open file of FUSE.
unsafe fn send(file: &File, pos: u64, bytes: usize) -> Result<Arc<Answer>> {
    // SAFETY: An open file keeps its inode.
    let inode = unsafe { (*file.as_ptr()).f_inode };
    let answer = Answer::new()?;
    // CAST: At most `MOST`.
    let size = bytes as u32;
    let mut request = KBox::new(
        ReadRequest {
            args: pin_init::zeroed(),
            body: bindings::fuse_read_in {
                // SAFETY: The function's contract.
                fh: unsafe { bindings::rdax_fuse_file_handle(file.as_ptr()) },
                offset: pos,
                size,
                read_flags: 0,
                lock_owner: 0,
                // What the window has is in the server's page cache.
                flags: file.flags() & !bindings::O_DIRECT,
                padding: 0,
            },
            data: KVec::zeroed(bytes, GFP_KERNEL)?,
            answer: answer.clone(),
            file: file.into(),
        },
        GFP_KERNEL,
    )?;
    // SAFETY: As above; it is an inode of FUSE, as the file is FUSE's.
    request.args.nodeid = unsafe { bindings::rdax_fuse_node_id(inode) };
    request.args.opcode = bindings::fuse_opcode_FUSE_READ;
    request.args.in_numargs = 1;
    request.args.in_args[0] = bindings::fuse_in_arg {
        // CAST: Some bytes.
        size: size_of::<bindings::fuse_read_in>() as c_uint,
        value: (&raw const request.body).cast(),
    };
    request.args.out_numargs = 1;
    request.args.out_args[0] = bindings::fuse_arg {
        size,
        value: request.data.as_mut_ptr().cast(),
    };
    // The end of the file may be nearer than it was.
    request.args.set_out_argvar(true);
    request.args.end = Some(read_end);

    let request = KBox::into_raw(request);
    // SAFETY: The request stays until `read_end()`, or here if that will not be called.
    unsafe {
        to_result(bindings::rdax_fuse_send(inode, &raw mut (*request).args))
            .inspect_err(|_| drop(KBox::from_raw(request)))?;
    }
    Ok(answer)
}

/// # Safety
///
/// For FUSE, which calls this once for a request of [`send`].
unsafe extern "C" fn read_end(args: *mut bindings::fuse_args, error: c_int) {
    // SAFETY: The request was leaked by `send()`, and is not used by anybody any more.
    let request = unsafe { KBox::from_raw(container_of!(args, ReadRequest, args)) };
    let ReadRequest {
        args,
        mut data,
        answer,
        file,
        ..
    } = KBox::into_inner(request);
    let result = result_of(error).map_err(Error::from_errno).map(|()| {
        // No more than was asked for, whatever it says.
        data.truncate(args.out_args[0].size as usize);
        data
    });
    // Before the reader gets on: it may close the file and unmount at once, and the last reference
    // must not be this one, which would go some time later.
    drop(file);
    answer.give(result);
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
        let may = left > 0 && left <= MOST as u64 && flags & bindings::IOCB_NOWAIT == 0;
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

/// Reads what should be read past the window; [`None`] if the window should be used.
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
            Err(error) => return Some(Err(error)),
        };
        bindings::fuse_invalidate_atime(inode);
        // No range is used: the caller's memory may be of the window.
        let copied = bindings::_copy_to_iter(data.as_ptr().cast(), data.len(), to);
        if copied == 0 && !data.is_empty() {
            return Some(Err(EFAULT));
        }
        // CAST: At most `MOST`.
        (*iocb).ki_pos += copied as i64;
        Some(Ok(copied))
    }
}
