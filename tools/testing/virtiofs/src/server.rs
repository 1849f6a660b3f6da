// SPDX-License-Identifier: GPL-2.0

//! One request in, one reply out: fuse-backend-rs serves the files, and what was ordered goes wrong.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::io::Seek;
use std::io::SeekFrom;
use std::os::fd::AsRawFd;
use std::os::fd::FromRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use fuse_backend_rs::api::server::Server;
use fuse_backend_rs::passthrough::CachePolicy;
use fuse_backend_rs::passthrough::Config;
use fuse_backend_rs::passthrough::PassthroughFs;
use fuse_backend_rs::transport::FuseBuf;
use fuse_backend_rs::transport::FuseDevWriter;
use fuse_backend_rs::transport::Reader;
use fuse_backend_rs::transport::Writer;

use crate::fault::Faults;
use crate::fault::Kind;
use crate::held::Held;
use crate::held::Hold;
use crate::ops;
use crate::reply;
use crate::reply::Manners;
use crate::request;
use crate::stats::add;
use crate::stats::Stats;
use crate::window::Cache;
use crate::window::Window;

/// The largest reply: 1 MiB of data, and what goes with it.
const REPLY: usize = (1 << 20) + 0x2000;

/// What the VMM's queue gets for a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// These bytes.
    Reply(Vec<u8>),
    /// These bytes, of which only the header is written.
    Hollow(Vec<u8>),
    /// These bytes, after that.
    Late(Vec<u8>, Hold),
    /// Nothing, not even that it is done.
    None,
    /// The daemon has to end.
    End,
}

/// fuse-backend-rs writes its reply to a file, and through a buffer.
struct Scratch {
    reply: File,
    buffer: Vec<u8>,
}

/// The FUSE server of a directory.
pub struct FileServer {
    server: Server<Arc<PassthroughFs>>,
    scratch: Mutex<Scratch>,
    window: Arc<Mutex<Window>>,
    manners: Manners,
    pub faults: Mutex<Faults>,
    /// What the faults hold up.
    pub held: Held,
    stats: Arc<Stats>,
    /// Handles of files that the guest opened with O_DIRECT.
    direct: Mutex<HashSet<u64>>,
}

fn memory_file() -> io::Result<File> {
    // SAFETY: The name is a C string, and the descriptor is checked before anything owns it.
    let fd = unsafe { libc::memfd_create(c"reply".as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `fd` was made above, and nobody else has it.
    Ok(unsafe { File::from_raw_fd(fd) })
}

impl FileServer {
    pub fn new(
        dir: &Path,
        timeout: Duration,
        manners: Manners,
        faults: Faults,
        window: Arc<Mutex<Window>>,
        stats: Arc<Stats>,
    ) -> io::Result<Self> {
        let root_dir = dir
            .to_str()
            .ok_or_else(|| io::Error::other("its name is not UTF-8"))?
            .to_owned();
        let fs = PassthroughFs::<()>::new(Config {
            root_dir,
            cache_policy: match manners.keep_cache {
                true => CachePolicy::Always,
                false => CachePolicy::Auto,
            },
            attr_timeout: timeout,
            entry_timeout: timeout,
            dax_file_size: manners.dax_min,
            ..Default::default()
        })?;
        fs.import()?;
        Ok(FileServer {
            server: Server::new(Arc::new(fs)),
            scratch: Mutex::new(Scratch {
                reply: memory_file()?,
                buffer: vec![0; REPLY],
            }),
            window,
            manners,
            faults: Mutex::new(faults),
            held: Held::default(),
            stats,
            direct: Mutex::default(),
        })
    }

    /// Serves one request as it should be.
    fn serve(&self, op: u32, unique: u64, request: &mut [u8]) -> io::Result<Vec<u8>> {
        let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        let Scratch { reply, buffer } = &mut *scratch;
        reply.seek(SeekFrom::Start(0))?;
        if self.refuses(op, request) {
            return Ok(reply::failure(unique, -libc::EINVAL));
        }
        let direct = request::is_direct_open(op, request);
        request::without_direct_io(op, request);
        let original = request.to_vec();
        let reader =
            Reader::<()>::from_fuse_buffer(FuseBuf::new(request)).map_err(io::Error::other)?;
        let writer = FuseDevWriter::new(reply.as_raw_fd(), buffer).map_err(io::Error::other)?;
        let mut cache = Cache(self.window.clone());
        let result =
            self.server
                .handle_message(reader, Writer::FuseDev(writer), Some(&mut cache), None);
        if let Err(why) = result {
            log::warn!("{}: {why:?}", ops::name(op));
        }
        let mut bytes = vec![0; reply.stream_position()? as usize];
        reply.read_exact_at(&mut bytes, 0)?;
        if bytes.is_empty()
            && !matches!(
                ops::name(op).as_str(),
                "FORGET" | "BATCH_FORGET" | "DESTROY"
            )
        {
            // Not understood at all: the guest must not wait for ever.
            bytes = reply::failure(unique, -libc::EIO);
        }
        if op == ops::DESTROY {
            // A guest that unmounts leaves the mappings to the server.
            let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(why) = window.remove_all() {
                log::debug!("the window could not be cleared: {why}");
            }
        }
        self.manners.complete(op, &original, &mut bytes);
        if let Some(handle) = reply::handle(op, &bytes).filter(|_| direct) {
            let mut all = self.direct.lock().unwrap_or_else(PoisonError::into_inner);
            all.insert(handle);
        }
        Ok(bytes)
    }

    /// Whether a request is for a part of a sector, of a file that was opened with O_DIRECT; not told
    /// of what the flags of the request are, as servers are that open and read.
    fn refuses(&self, op: u32, request: &[u8]) -> bool {
        let Some((handle, offset, size)) = request::access(op, request) else {
            return false;
        };
        let mut direct = self.direct.lock().unwrap_or_else(PoisonError::into_inner);
        if op == ops::RELEASE {
            direct.remove(&handle);
            return false;
        }
        self.manners.sectors && direct.contains(&handle) && (offset | size) % 512 != 0
    }

    /// No fault any more; what one holds up goes on at once.
    pub fn reset(&self) {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.clear();
        // Each request that has met a fault has its hold, too: both are taken under the lock.
        self.held.let_go();
    }

    /// Answers one request, faults included.
    pub fn answer(&self, request: &mut [u8]) -> Answer {
        let Some((op, unique)) = request::header(request) else {
            log::warn!("a request of {} bytes: it has no header", request.len());
            return Answer::Reply(Vec::new());
        };
        self.stats.request(op, request.len());
        let (faults, hold) = {
            let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
            (faults.of_request(op), self.held.hold(Duration::ZERO))
        };
        add(&self.stats.n.faults, faults.len() as u64);
        let mut failed = None;
        for kind in &faults {
            log::info!("{}: fault {kind:?}", ops::name(op));
            match kind {
                Kind::Delay(time) => self.held.wait(hold.lasting(*time)),
                Kind::Die => return Answer::End,
                Kind::Fail(error) => failed = Some(*error),
                _ => {}
            }
        }
        let mut bytes = match failed {
            Some(error) => reply::failure(unique, error),
            None => self.serve(op, unique, request).unwrap_or_else(|why| {
                log::error!("{}: {why}", ops::name(op));
                reply::failure(unique, -libc::EIO)
            }),
        };
        self.stats.reply(op, bytes.len(), reply::error(&bytes));
        let (mut late, mut hollow) = (None, false);
        for kind in faults {
            match kind {
                Kind::Hollow => hollow = true,
                Kind::Late(time) => late = Some(hold.lasting(time)),
                Kind::Drop => self.drop_mapping(request),
                Kind::Never => return Answer::None,
                kind => reply::damage(kind, &mut bytes),
            }
        }
        match late {
            Some(hold) => Answer::Late(bytes, hold),
            None if hollow => Answer::Hollow(bytes),
            None => Answer::Reply(bytes),
        }
    }

    /// Takes back what a SETUPMAPPING mapped.
    fn drop_mapping(&self, request: &[u8]) {
        let Some((moffset, len)) = request::mapping(request) else {
            return;
        };
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(why) = window.remove(moffset, len) {
            log::warn!("the mapping at {moffset:#x} could not be dropped: {why}");
        }
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
