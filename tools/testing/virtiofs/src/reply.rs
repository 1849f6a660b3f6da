// SPDX-License-Identifier: GPL-2.0

//! The bytes of FUSE's replies: what fuse-backend-rs does not say in them, and what is damaged in
//! them to order.

use crate::fault::Kind;
use crate::ops;
use crate::request;

/// `struct fuse_out_header`: length, error, unique.
pub const HEADER: usize = 16;
const ERROR: usize = 4;
const UNIQUE: usize = 8;

/// Fields of `struct fuse_init_in`, after the header of 40 bytes.
const IN_FLAGS: usize = 40 + 12;
const IN_FLAGS2: usize = 40 + 16;
/// Fields of `struct fuse_init_out`.
const MAX_WRITE: usize = HEADER + 20;
const FLAGS: usize = HEADER + 12;
const MAX_BACKGROUND: usize = HEADER + 16;
const MAX_PAGES: usize = HEADER + 28;
const MAP_ALIGNMENT: usize = HEADER + 30;
const FLAGS2: usize = HEADER + 32;
const REQUEST_TIMEOUT: usize = HEADER + 40;

const FUSE_ASYNC_READ: u32 = 1 << 0;
const FUSE_BIG_WRITES: u32 = 1 << 5;
const FUSE_DO_READDIRPLUS: u32 = 1 << 13;
const FUSE_READDIRPLUS_AUTO: u32 = 1 << 14;
const FUSE_PARALLEL_DIROPS: u32 = 1 << 18;
const FUSE_MAX_PAGES: u32 = 1 << 22;
const FUSE_MAP_ALIGNMENT: u32 = 1 << 26;
const FUSE_INIT_EXT: u32 = 1 << 30;
/// In the second word.
const FUSE_REQUEST_TIMEOUT: u32 = 1 << 10;

/// `struct fuse_attr_out`: the attributes begin 16 bytes after the header.
const ATTR_SIZE: usize = HEADER + 16 + 8;
const ATTR_MODE: usize = HEADER + 16 + 60;
const ATTR_FLAGS: usize = HEADER + 16 + 84;
const FUSE_ATTR_DAX: u32 = 1 << 1;

/// `struct fuse_entry_out`: the attributes begin 40 bytes after the header.
const ENTRY_MODE: usize = HEADER + 40 + 60;
const ENTRY_FLAGS: usize = HEADER + 40 + 84;
const FUSE_ATTR_SUBMOUNT: u32 = 1 << 0;

/// What the daemon says beside fuse-backend-rs.
#[derive(Clone, Debug, Default)]
pub struct Manners {
    /// log2 of the alignment of mappings, if it is told.
    pub map_alignment: Option<u16>,
    /// Files of at least that many bytes ask for DAX.
    pub dax_min: Option<u64>,
    /// Seconds after which the guest gives up, and the connection with it.
    pub request_timeout: Option<u16>,
    /// The guest may keep its cache of a file at open.
    pub keep_cache: bool,
    /// A directory of that name is a file system of its own to the guest, which mounts it.
    pub submount: Option<String>,
    /// So many background requests at a time, instead of as many as there are.
    pub max_background: Option<u16>,
    /// A file that the guest opened with O_DIRECT is read and written in whole sectors only.
    pub sectors: bool,
}

fn get<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    if let Some(place) = bytes.get_mut(at..at + N) {
        place.copy_from_slice(&value);
    }
}

/// The error in a reply's header, as it is there: -5 is EIO.
pub fn error(reply: &[u8]) -> i32 {
    get(reply, ERROR).map_or(0, i32::from_le_bytes)
}

/// The handle of a file that was opened.
pub fn handle(op: u32, reply: &[u8]) -> Option<u64> {
    let at = match op {
        ops::OPEN => HEADER,
        // After `struct fuse_entry_out`.
        ops::CREATE => HEADER + 128,
        _ => return None,
    };
    get(reply, at).map(u64::from_le_bytes)
}

/// A reply that is a header alone.
pub fn failure(unique: u64, error: i32) -> Vec<u8> {
    let mut reply = vec![0; HEADER];
    put(&mut reply, 0, (HEADER as u32).to_le_bytes());
    put(&mut reply, ERROR, error.to_le_bytes());
    put(&mut reply, UNIQUE, unique.to_le_bytes());
    reply
}

impl Manners {
    /// Completes the reply to `request`, an `op`.
    pub fn complete(&self, op: u32, request: &[u8], reply: &mut [u8]) {
        if error(reply) != 0 {
            return;
        }
        match op {
            ops::INIT => self.init(request, reply),
            ops::GETATTR | ops::SETATTR => self.attr(reply),
            ops::LOOKUP => self.entry(request, reply),
            _ => {}
        }
    }

    /// Without FUSE_INIT_EXT in the reply the guest does not look at its second word of flags,
    /// where "this server says which file is for DAX" is: fuse-backend-rs never sets it, and so
    /// `dax=inode` read by FUSE READ.
    fn init(&self, request: &[u8], reply: &mut [u8]) {
        let (Some(asked), Some(mut flags)) = (
            get(request, IN_FLAGS).map(u32::from_le_bytes),
            get(reply, FLAGS).map(u32::from_le_bytes),
        ) else {
            return;
        };
        flags |= asked & (FUSE_INIT_EXT | FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_PARALLEL_DIROPS);
        if asked & FUSE_MAX_PAGES != 0 {
            // fuse-backend-rs takes requests of 1 MiB, and says so only if asked for this.
            flags |= FUSE_MAX_PAGES;
            put(reply, MAX_PAGES, 256u16.to_le_bytes());
            put(reply, MAX_WRITE, (1u32 << 20).to_le_bytes());
        }
        if let Some(log2) = self
            .map_alignment
            .filter(|_| asked & FUSE_MAP_ALIGNMENT != 0)
        {
            flags |= FUSE_MAP_ALIGNMENT;
            put(reply, MAP_ALIGNMENT, log2.to_le_bytes());
        }
        if let Some(most) = self.max_background {
            put(reply, MAX_BACKGROUND, most.to_le_bytes());
        }
        if self.submount.is_some() {
            // The entries that come with a directory's names would have to say it too.
            flags &= !(FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO);
        }
        put(reply, FLAGS, flags.to_le_bytes());
        let asked2 = get(request, IN_FLAGS2).map_or(0, u32::from_le_bytes);
        if let Some(seconds) = self
            .request_timeout
            .filter(|_| asked2 & FUSE_REQUEST_TIMEOUT != 0)
        {
            let flags2 = get(reply, FLAGS2).map_or(0, u32::from_le_bytes);
            put(reply, FLAGS2, (flags2 | FUSE_REQUEST_TIMEOUT).to_le_bytes());
            put(reply, REQUEST_TIMEOUT, seconds.to_le_bytes());
        }
    }

    /// A request to look up is its header and a name that a zero ends.
    fn entry(&self, request: &[u8], reply: &mut [u8]) {
        let (Some(submount), Some(name)) = (&self.submount, request.get(request::HEADER..)) else {
            return;
        };
        let (Some(mode), Some(flags)) = (
            get(reply, ENTRY_MODE).map(u32::from_le_bytes),
            get(reply, ENTRY_FLAGS).map(u32::from_le_bytes),
        ) else {
            return;
        };
        let directory = mode & libc::S_IFMT == libc::S_IFDIR;
        if directory && name.strip_suffix(b"\0") == Some(submount.as_bytes()) {
            put(
                reply,
                ENTRY_FLAGS,
                (flags | FUSE_ATTR_SUBMOUNT).to_le_bytes(),
            );
        }
    }

    /// LOOKUP says by itself which files ask for DAX, these do not.
    fn attr(&self, reply: &mut [u8]) {
        let (Some(size), Some(mode), Some(flags)) = (
            get(reply, ATTR_SIZE).map(u64::from_le_bytes),
            get(reply, ATTR_MODE).map(u32::from_le_bytes),
            get(reply, ATTR_FLAGS).map(u32::from_le_bytes),
        ) else {
            return;
        };
        let regular = mode & libc::S_IFMT == libc::S_IFREG;
        if regular && self.dax_min.is_some_and(|min| size >= min) {
            put(reply, ATTR_FLAGS, (flags | FUSE_ATTR_DAX).to_le_bytes());
        }
    }
}

/// Damages a reply as `kind` says; the other kinds leave it as it is.
pub fn damage(kind: Kind, reply: &mut Vec<u8>) {
    match kind {
        Kind::Garbage => {
            // The same noise each time.
            let mut state = 0x9e37_79b9_7f4a_7c15_u64;
            for byte in reply.iter_mut() {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                *byte = state.to_le_bytes()[3];
            }
        }
        Kind::Deny(number) => {
            *reply = failure(get(reply, UNIQUE).map_or(0, u64::from_le_bytes), number);
        }
        Kind::Short => reply.truncate(HEADER / 2),
        Kind::Cut(len) => reply.truncate(len),
        Kind::Flip(at, bits) if !reply.is_empty() => {
            let at = at % reply.len();
            reply[at] ^= bits;
        }
        Kind::Alignment(log2) => {
            if let Some(flags) = get(reply, FLAGS).map(u32::from_le_bytes) {
                put(reply, FLAGS, (flags | FUSE_MAP_ALIGNMENT).to_le_bytes());
                put(reply, MAP_ALIGNMENT, log2.to_le_bytes());
            }
        }
        Kind::Length => {
            let wrong = (reply.len() as u32).wrapping_mul(3).wrapping_add(77);
            put(reply, 0, wrong.to_le_bytes());
        }
        Kind::Unique => {
            let unique = get(reply, UNIQUE).map_or(0, u64::from_le_bytes);
            put(reply, UNIQUE, unique.wrapping_add(0x1000).to_le_bytes());
        }
        Kind::Silent => reply.clear(),
        Kind::Flip(..)
        | Kind::Fail(_)
        | Kind::Delay(_)
        | Kind::Late(_)
        | Kind::Hollow
        | Kind::Never
        | Kind::Drop
        | Kind::Die => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(bytes: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(get(bytes, at).unwrap())
    }

    fn init(manners: &Manners, asked: u32) -> Vec<u8> {
        let mut request = vec![0; 40 + 64];
        put(&mut request, IN_FLAGS, asked.to_le_bytes());
        put(&mut request, IN_FLAGS2, FUSE_REQUEST_TIMEOUT.to_le_bytes());
        let mut reply = failure(7, 0);
        reply.resize(HEADER + 64, 0);
        manners.complete(ops::INIT, &request, &mut reply);
        reply
    }

    #[test]
    fn init_says_what_was_asked_for() {
        let manners = Manners {
            map_alignment: Some(12),
            dax_min: None,
            request_timeout: Some(20),
            max_background: Some(12),
            ..Manners::default()
        };
        let reply = init(
            &manners,
            FUSE_INIT_EXT | FUSE_MAP_ALIGNMENT | FUSE_MAX_PAGES,
        );
        assert_eq!(
            word(&reply, FLAGS),
            FUSE_INIT_EXT | FUSE_MAP_ALIGNMENT | FUSE_MAX_PAGES
        );
        assert_eq!(word(&reply, MAX_PAGES), (12 << 16) | 256);
        assert_eq!(word(&reply, MAX_WRITE), 1 << 20);
        assert_eq!(word(&reply, MAX_BACKGROUND), 12);
        assert_eq!(word(&init(&manners, 0), FLAGS), 0);
        assert_eq!(word(&init(&manners, 0), MAX_PAGES), 0);
        assert_eq!(word(&reply, FLAGS2), FUSE_REQUEST_TIMEOUT);
        assert_eq!(word(&reply, REQUEST_TIMEOUT), 20);
        let silent = init(&Manners::default(), FUSE_MAP_ALIGNMENT);
        assert_eq!(word(&silent, FLAGS), 0);
        assert_eq!(word(&silent, FLAGS2), 0);
    }

    #[test]
    fn an_alignment_is_put_in() {
        let mut reply = init(&Manners::default(), 0);
        damage(Kind::Alignment(23), &mut reply);
        assert_eq!(word(&reply, FLAGS), FUSE_MAP_ALIGNMENT);
        assert_eq!(word(&reply, MAX_PAGES), 23 << 16);
    }

    #[test]
    fn files_of_some_size_ask_for_dax() {
        let manners = Manners {
            dax_min: Some(100),
            ..Manners::default()
        };
        for (size, mode, dax) in [
            (100, libc::S_IFREG, true),
            (99, libc::S_IFREG, false),
            (100, libc::S_IFDIR, false),
        ] {
            let mut reply = failure(7, 0);
            reply.resize(HEADER + 16 + 88, 0);
            put(&mut reply, ATTR_SIZE, u64::to_le_bytes(size));
            put(&mut reply, ATTR_MODE, (mode | 0o644).to_le_bytes());
            manners.complete(ops::GETATTR, &[], &mut reply);
            assert_eq!(
                word(&reply, ATTR_FLAGS) & FUSE_ATTR_DAX != 0,
                dax,
                "{size} {mode:o}"
            );
        }
    }

    #[test]
    fn a_directory_of_that_name_is_a_submount() {
        let manners = Manners {
            submount: Some("sub".to_owned()),
            ..Manners::default()
        };
        for (name, mode, submount) in [
            (&b"sub\0"[..], libc::S_IFDIR, true),
            (b"sub\0", libc::S_IFREG, false),
            (b"subs\0", libc::S_IFDIR, false),
            (b"sub", libc::S_IFDIR, false),
            (b"", libc::S_IFDIR, false),
        ] {
            let mut request = vec![0; request::HEADER];
            request.extend(name);
            let mut reply = failure(7, 0);
            reply.resize(HEADER + 40 + 88, 0);
            put(&mut reply, ENTRY_MODE, (mode | 0o755).to_le_bytes());
            manners.complete(ops::LOOKUP, &request, &mut reply);
            assert_eq!(
                word(&reply, ENTRY_FLAGS) & FUSE_ATTR_SUBMOUNT != 0,
                submount,
                "{name:?} {mode:o}"
            );
        }
        let mut request = vec![0; 40 + 64];
        put(&mut request, IN_FLAGS, FUSE_DO_READDIRPLUS.to_le_bytes());
        let mut reply = failure(7, 0);
        reply.resize(HEADER + 64, 0);
        put(
            &mut reply,
            FLAGS,
            (FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO).to_le_bytes(),
        );
        manners.complete(ops::INIT, &request, &mut reply);
        assert_eq!(word(&reply, FLAGS), 0);
    }

    #[test]
    fn damage_is_done() {
        let whole = {
            let mut reply = failure(7, -5);
            reply.extend([1; 8]);
            reply
        };
        for (kind, len) in [
            (Kind::Garbage, 24),
            (Kind::Short, 8),
            (Kind::Length, 24),
            (Kind::Unique, 24),
            (Kind::Silent, 0),
            (Kind::Deny(-2), 16),
            (Kind::Cut(3), 3),
            (Kind::Flip(100, 1), 24),
        ] {
            let mut reply = whole.clone();
            damage(kind, &mut reply);
            assert_eq!(reply.len(), len, "{kind:?}");
            assert_ne!(reply, whole, "{kind:?}");
        }
        let mut reply = whole.clone();
        damage(Kind::Never, &mut reply);
        assert_eq!(reply, whole);
    }

    #[test]
    fn replies_that_are_too_short_are_left_alone() {
        let manners = Manners {
            map_alignment: Some(12),
            dax_min: Some(0),
            ..Manners::default()
        };
        for op in [ops::INIT, ops::GETATTR, ops::LOOKUP] {
            for len in 0..40 {
                let mut reply = vec![0; len];
                manners.complete(op, &[], &mut reply);
                assert_eq!(reply, vec![0; len]);
                damage(Kind::Length, &mut reply);
                damage(Kind::Unique, &mut reply);
                damage(Kind::Alignment(5), &mut reply);
                damage(Kind::Flip(9, 1), &mut reply);
            }
        }
    }
}
