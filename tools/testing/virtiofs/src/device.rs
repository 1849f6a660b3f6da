// SPDX-License-Identifier: GPL-2.0

//! The virtio side: queues, configuration space and the window's size, for rust-vmm's daemon.
//!
//! fuse-backend-rs and rust-vmm have different versions of vm-memory, so requests and replies go
//! from one to the other as plain bytes.

use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use vhost::vhost_user::message::VhostUserMMap;
use vhost::vhost_user::message::VhostUserMMapFlags;
use vhost::vhost_user::message::VhostUserProtocolFeatures;
use vhost::vhost_user::message::VhostUserShMemConfig;
use vhost::vhost_user::Backend;
use vhost::vhost_user::VhostUserFrontendReqHandler;
use vhost_user_backend::VhostUserBackend;
use vhost_user_backend::VringRwLock;
use vhost_user_backend::VringT;
use virtio_queue::DescriptorChain;
use virtio_queue::QueueOwnedT;
use vm_memory::Bytes;
use vm_memory::GuestAddress;
use vm_memory::GuestAddressSpace;
use vm_memory::GuestMemoryAtomic;
use vm_memory::GuestMemoryMmap;
use vmm_sys_util::epoll::EventSet;

use crate::held::Hold;
use crate::reply;
use crate::server::Answer;
use crate::server::FileServer;
use crate::settled::Settled;
use crate::stats::add;
use crate::stats::Stats;
use crate::window::Backing;
use crate::window::Vmm;
use crate::window::Window;

pub type Memory = GuestMemoryAtomic<GuestMemoryMmap>;

const QUEUE_SIZE: usize = 1024;
/// `struct virtio_fs_config`: a tag of 36 bytes, and the number of request queues.
pub const TAG: usize = 36;
const CONFIG: usize = TAG + 4;
/// VIRTIO_FS_SHMCAP_ID_CACHE.
const SHMID_CACHE: u8 = 0;

/// QEMU, at the other end of the channel for the daemon's own requests.
struct Channel {
    backend: Backend,
    settled: Arc<Settled>,
}

impl Vmm for Channel {
    fn map(&mut self, moffset: u64, len: u64, foffset: u64, backing: &Backing) -> io::Result<()> {
        let flags = if backing.writable {
            VhostUserMMapFlags::WRITABLE.bits()
        } else {
            0
        };
        let request = VhostUserMMap {
            shmid: SHMID_CACHE,
            padding: [0; 7],
            fd_offset: foffset,
            shm_offset: moffset,
            len,
            flags,
        };
        self.settled
            .after(|| self.backend.shmem_map(&request, &backing.file).map(drop))
    }

    fn unmap(&mut self, moffset: u64, len: u64) -> io::Result<()> {
        let request = VhostUserMMap {
            shmid: SHMID_CACHE,
            shm_offset: moffset,
            len,
            ..Default::default()
        };
        self.settled
            .after(|| self.backend.shmem_unmap(&request).map(drop))
    }
}

/// The virtio-fs device.
pub struct Device {
    server: Arc<FileServer>,
    stats: Arc<Stats>,
    window: Arc<Mutex<Window>>,
    window_size: u64,
    /// One for what must not wait, and those for all else.
    queues: usize,
    memory: Mutex<Option<Memory>>,
    settled: Arc<Settled>,
    event_idx: AtomicBool,
    config: Vec<u8>,
    /// Ends the daemon, as a fault wants it.
    end: Box<dyn Fn() + Send + Sync>,
}

impl Device {
    /// `tag` has at most `TAG` bytes; `request_queues` is at least 1.
    pub fn new(
        server: Arc<FileServer>,
        stats: Arc<Stats>,
        window: Arc<Mutex<Window>>,
        window_size: u64,
        request_queues: u32,
        tag: &str,
        end: Box<dyn Fn() + Send + Sync>,
    ) -> Self {
        let mut config = vec![0; CONFIG];
        config[..tag.len()].copy_from_slice(tag.as_bytes());
        config[TAG..].copy_from_slice(&request_queues.to_le_bytes());
        Device {
            server,
            stats,
            window,
            window_size,
            queues: 1 + request_queues as usize,
            memory: Mutex::new(None),
            settled: Arc::default(),
            event_idx: AtomicBool::new(false),
            config,
            end,
        }
    }

    /// Serves one chain of descriptors; what to give back, if ever, and what it waits for before.
    fn one(
        &self,
        memory: &GuestMemoryMmap,
        chain: DescriptorChain<&GuestMemoryMmap>,
    ) -> io::Result<Option<(Written, Option<Hold>)>> {
        let mut request = Vec::new();
        let mut room = Vec::new();
        let head = chain.head_index();
        for part in chain {
            let len = part.len() as usize;
            if part.is_write_only() {
                room.push((part.addr(), len));
            } else {
                let at = request.len();
                request.resize(at + len, 0);
                memory
                    .read_slice(&mut request[at..], part.addr())
                    .map_err(io::Error::other)?;
            }
        }
        let (reply, written, hold) = match self.server.answer(&mut request) {
            Answer::Reply(reply) => (reply, usize::MAX, None),
            Answer::Hollow(reply) => (reply, reply::HEADER, None),
            Answer::Late(reply, hold) => (reply, usize::MAX, Some(hold)),
            Answer::None => return Ok(None),
            Answer::End => {
                (self.end)();
                return Ok(None);
            }
        };
        let written = Written {
            head,
            room,
            reply,
            written,
        };
        Ok(Some((written, hold)))
    }

    /// Gives back a reply when its hold is over, beside the queue's own thread.
    fn later(&self, vring: VringRwLock, written: Written, hold: Hold) {
        let memory = self
            .memory
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let (server, stats) = (self.server.clone(), self.stats.clone());
        std::thread::spawn(move || {
            server.held.wait(hold);
            let done = memory.map_or(Ok(false), |memory| {
                let whole = written.give_back(&memory.memory(), &vring)?;
                vring.signal_used_queue().map(|()| whole)
            });
            match done {
                Ok(whole) => add(&stats.n.late, whole.into()),
                Err(why) => log::warn!("a late reply is lost: {why}"),
            }
        });
    }

    fn queue(&self, index: u16, vring: &VringRwLock) -> io::Result<()> {
        let memory = self
            .memory
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let Some(memory) = memory else {
            return Ok(());
        };
        loop {
            let memory = memory.memory();
            // The vring's lock must not be held over a request: a SHMEM_MAP waits for the VMM.
            let chain = vring
                .get_mut()
                .get_queue_mut()
                .iter(&*memory)
                .map_err(io::Error::other)?
                .next();
            let Some(chain) = chain else {
                return Ok(());
            };
            let head = chain.head_index();
            self.stats.came_by(index);
            let done = self.one(&memory, chain).unwrap_or_else(|why| {
                log::warn!("a request cannot be served: {why}");
                Some((Written::nothing(head), None))
            });
            let Some((written, hold)) = done else {
                continue;
            };
            if let Some(hold) = hold {
                self.later(vring.clone(), written, hold);
                continue;
            }
            written.give_back(&memory, vring)?;
            if !self.event_idx.load(Relaxed)
                || vring.needs_notification().map_err(io::Error::other)?
            {
                vring.signal_used_queue()?;
            }
        }
    }
}

/// A reply, and where in the guest's memory there is room for it.
struct Written {
    head: u16,
    room: Vec<(GuestAddress, usize)>,
    reply: Vec<u8>,
    /// How much of the reply is written at most; all of it is said to be.
    written: usize,
}

impl Written {
    fn nothing(head: u16) -> Self {
        Written {
            head,
            room: Vec::new(),
            reply: Vec::new(),
            written: usize::MAX,
        }
    }

    fn write(&self, memory: &GuestMemoryMmap) -> io::Result<usize> {
        let mut rest = self.reply.as_slice();
        for (addr, len) in &self.room {
            let (now, later) = rest.split_at(rest.len().min(*len));
            let done = self.reply.len() - rest.len();
            let kept = now.len().min(self.written.saturating_sub(done));
            memory
                .write_slice(&now[..kept], *addr)
                .map_err(io::Error::other)?;
            rest = later;
        }
        if !rest.is_empty() {
            log::warn!(
                "{} bytes of a reply do not fit the guest's buffers",
                rest.len()
            );
        }
        Ok(self.reply.len() - rest.len())
    }

    /// Whether the reply could be written.
    fn give_back(&self, memory: &GuestMemoryMmap, vring: &VringRwLock) -> io::Result<bool> {
        let len = self
            .write(memory)
            .inspect_err(|why| log::warn!("a reply cannot be written: {why}"));
        vring
            .add_used(self.head, *len.as_ref().unwrap_or(&0) as u32)
            .map_err(io::Error::other)?;
        Ok(len.is_ok())
    }
}

impl VhostUserBackend for Device {
    type Bitmap = ();
    type Vring = VringRwLock;

    fn num_queues(&self) -> usize {
        self.queues
    }

    fn max_queue_size(&self) -> usize {
        QUEUE_SIZE
    }

    fn features(&self) -> u64 {
        // RING_INDIRECT_DESC, RING_EVENT_IDX, VHOST_USER_F_PROTOCOL_FEATURES, VERSION_1.
        (1 << 28) | (1 << 29) | (1 << 30) | (1 << 32)
    }

    fn protocol_features(&self) -> VhostUserProtocolFeatures {
        let mut features = VhostUserProtocolFeatures::MQ
            | VhostUserProtocolFeatures::REPLY_ACK
            | VhostUserProtocolFeatures::CONFIG
            | VhostUserProtocolFeatures::BACKEND_REQ
            | VhostUserProtocolFeatures::BACKEND_SEND_FD
            // More than eight regions of memory, which a window with mappings is.
            | VhostUserProtocolFeatures::CONFIGURE_MEM_SLOTS;
        if self.window_size > 0 {
            features |= VhostUserProtocolFeatures::SHMEM;
        }
        features
    }

    fn set_event_idx(&self, on: bool) {
        self.event_idx.store(on, Relaxed);
    }

    fn get_config(&self, offset: u32, size: u32) -> Vec<u8> {
        let mut config = self.config.clone();
        config.resize(offset as usize + size as usize, 0);
        config.split_off(offset as usize)
    }

    fn get_shmem_config(&self) -> io::Result<VhostUserShMemConfig> {
        Ok(VhostUserShMemConfig::new(1, &[self.window_size]))
    }

    fn update_memory(&self, memory: Memory) -> io::Result<()> {
        *self.memory.lock().unwrap_or_else(PoisonError::into_inner) = Some(memory);
        self.settled.told();
        Ok(())
    }

    fn set_backend_req_fd(&self, backend: Backend) {
        log::info!("the VMM takes mappings");
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        window.connect(Box::new(Channel {
            backend,
            settled: self.settled.clone(),
        }));
    }

    fn handle_event(
        &self,
        index: u16,
        events: EventSet,
        vrings: &[VringRwLock],
        _thread: usize,
    ) -> io::Result<()> {
        let vring = match vrings.get(usize::from(index)) {
            Some(vring) if events == EventSet::IN => vring,
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        };
        loop {
            let event_idx = self.event_idx.load(Relaxed);
            if event_idx {
                vring.disable_notification().map_err(io::Error::other)?;
            }
            self.queue(index, vring)?;
            if !event_idx || !vring.enable_notification().map_err(io::Error::other)? {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
#[path = "device_tests.rs"]
mod tests;
