// SPDX-License-Identifier: GPL-2.0

//! Whole requests, as a guest sends them, against a directory.

use super::*;
use crate::window::Rules;
use std::sync::atomic::Ordering::Relaxed;

struct Bed {
    dir: tempfile::TempDir,
    server: Arc<FileServer>,
    stats: Arc<Stats>,
    unique: u64,
}

impl Bed {
    fn new(faults: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), b"hello").unwrap();
        let stats = Arc::new(Stats::default());
        let rules = Rules {
            size: 1 << 21,
            grow: true,
            max_maps: 8,
        };
        let window = Arc::new(Mutex::new(Window::new(rules, stats.clone())));
        let faults = Faults::new(faults.iter().map(|text| text.parse().unwrap()).collect());
        let manners = Manners {
            map_alignment: Some(12),
            dax_min: Some(0),
            ..Manners::default()
        };
        let server = FileServer::new(
            dir.path(),
            Duration::ZERO,
            manners,
            faults,
            window,
            stats.clone(),
        )
        .unwrap();
        Bed {
            dir,
            server: Arc::new(server),
            stats,
            unique: 0,
        }
    }

    /// Sends a request; the reply's error and body.
    fn ask(&mut self, op: u32, node: u64, body: &[u8]) -> Answer {
        self.unique += 1;
        let mut request = Vec::new();
        request.extend(((crate::request::HEADER + body.len()) as u32).to_le_bytes());
        request.extend(op.to_le_bytes());
        request.extend(self.unique.to_le_bytes());
        request.extend(node.to_le_bytes());
        request.extend([0; 16]);
        request.extend(body);
        self.server.answer(&mut request)
    }

    fn get(&mut self, op: u32, node: u64, body: &[u8]) -> (i32, Vec<u8>) {
        match self.ask(op, node, body) {
            Answer::Reply(bytes) => {
                assert_eq!(bytes[..4], (bytes.len() as u32).to_le_bytes());
                assert_eq!(bytes[8..16], self.unique.to_le_bytes());
                (reply::error(&bytes), bytes[reply::HEADER..].to_vec())
            }
            other => panic!("{other:?}"),
        }
    }

    fn init(&mut self) -> u32 {
        let mut body = vec![0; 64];
        body[..4].copy_from_slice(&7u32.to_le_bytes());
        body[4..8].copy_from_slice(&39u32.to_le_bytes());
        // FUSE_MAP_ALIGNMENT, FUSE_INIT_EXT; and in the second word FUSE_HAS_INODE_DAX.
        body[12..16].copy_from_slice(&((1u32 << 26) | (1 << 30)).to_le_bytes());
        body[16..20].copy_from_slice(&2u32.to_le_bytes());
        let (error, out) = self.get(ops::INIT, 0, &body);
        assert_eq!(error, 0);
        assert_eq!(out[32..36], 2u32.to_le_bytes(), "flags2");
        u32::from_le_bytes(out[12..16].try_into().unwrap())
    }
}

const LOOKUP: u32 = 1;

#[test]
fn init_tells_of_inode_dax_and_alignment() {
    let flags = Bed::new(&[]).init();
    let both = (1 << 26) | (1 << 30);
    assert_eq!(flags & both, both);
}

#[test]
fn a_file_is_found_and_asks_for_dax() {
    let mut bed = Bed::new(&[]);
    bed.init();
    let (error, entry) = bed.get(LOOKUP, 1, b"file\0");
    assert_eq!(error, 0);
    // struct fuse_entry_out: 40 bytes, then the attributes.
    assert_eq!(entry[40 + 84..40 + 88], 2u32.to_le_bytes());
    let node = u64::from_le_bytes(entry[..8].try_into().unwrap());
    let (error, attr) = bed.get(ops::GETATTR, node, &[0; 16]);
    assert_eq!(error, 0);
    assert_eq!(attr[16 + 8..16 + 16], 5u64.to_le_bytes());
    assert_eq!(attr[16 + 84..16 + 88], 2u32.to_le_bytes());
    assert_eq!(bed.get(LOOKUP, 1, b"nothing\0").0, -libc::ENOENT);
    assert!(bed.stats.json().contains("\"errors\":{\"LOOKUP\":1}"));
    assert!(bed.dir.path().exists());
}

#[test]
fn faults_meet_their_request() {
    let mut bed = Bed::new(&[
        "fail-lookup=2:ENOMEM",
        "never-lookup=3",
        "silent-lookup=4",
        "late-lookup=5:30",
        "deny-lookup=6:EBUSY",
        "die-lookup=7",
    ]);
    bed.init();
    assert_eq!(bed.get(LOOKUP, 1, b"file\0").0, 0);
    assert_eq!(bed.get(LOOKUP, 1, b"file\0").0, -libc::ENOMEM);
    assert_eq!(bed.ask(LOOKUP, 1, b"file\0"), Answer::None);
    assert_eq!(bed.ask(LOOKUP, 1, b"file\0"), Answer::Reply(Vec::new()));
    let late = bed.ask(LOOKUP, 1, b"file\0");
    assert!(
        matches!(late, Answer::Late(bytes, hold) if bytes.len() > 16 && hold.time.as_millis() == 30)
    );
    assert_eq!(bed.get(LOOKUP, 1, b"file\0"), (-libc::EBUSY, Vec::new()));
    assert_eq!(bed.ask(LOOKUP, 1, b"file\0"), Answer::End);
    assert!(bed.stats.json().contains("\"faults\":6,"));
}

#[test]
fn reset_lets_go_what_a_fault_holds_up() {
    let mut bed = Bed::new(&["late-lookup=1:100000000", "delay-lookup=2:100000000"]);
    bed.init();
    let Answer::Late(_, late) = bed.ask(LOOKUP, 1, b"file\0") else {
        panic!("it is not late");
    };
    let stats = bed.stats.clone();
    let mut bed = std::thread::scope(|scope| {
        let server = bed.server.clone();
        let delayed = scope.spawn(move || {
            let reply = bed.get(LOOKUP, 1, b"file\0");
            (bed, reply)
        });
        // Both have met their faults.
        while stats.n.faults.load(Relaxed) < 2 {
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_millis(20));
        assert!(!delayed.is_finished());
        server.reset();
        server.held.wait(late);
        let (bed, reply) = delayed.join().unwrap();
        assert_eq!(reply.0, 0);
        bed
    });
    // What is ordered from now on is held up as before.
    bed.server
        .faults
        .lock()
        .unwrap()
        .add("late-lookup=1:30".parse().unwrap());
    assert!(matches!(
        bed.ask(LOOKUP, 1, b"file\0"),
        Answer::Late(_, hold) if hold != late && hold == bed.server.held.hold(hold.time)
    ));
}

#[test]
fn what_is_opened_with_o_direct_takes_whole_sectors() {
    let mut bed = Bed::new(&[]);
    bed.init();
    let (_, entry) = bed.get(LOOKUP, 1, b"file\0");
    let node = u64::from_le_bytes(entry[..8].try_into().unwrap());
    for (flags, sectors, error) in [
        (libc::O_DIRECT, true, -libc::EINVAL),
        (libc::O_DIRECT, false, 0),
        (0, true, 0),
    ] {
        Arc::get_mut(&mut bed.server).unwrap().manners.sectors = sectors;
        let mut open = [0; 8];
        open[..4].copy_from_slice(&(flags as u32).to_le_bytes());
        let (_, opened) = bed.get(ops::OPEN, node, &open);
        let mut read = [0; 40];
        read[..8].copy_from_slice(&opened[..8]);
        read[16..20].copy_from_slice(&5u32.to_le_bytes());
        assert_eq!(
            bed.get(ops::READ, node, &read).0,
            error,
            "{flags} {sectors}"
        );
        read[16..20].copy_from_slice(&512u32.to_le_bytes());
        assert_eq!(bed.get(ops::READ, node, &read), (0, b"hello".to_vec()));
    }
}

#[test]
fn setupmapping_without_a_vmm_is_an_error() {
    let mut bed = Bed::new(&[]);
    bed.init();
    let (_, entry) = bed.get(LOOKUP, 1, b"file\0");
    let node = u64::from_le_bytes(entry[..8].try_into().unwrap());
    let mut body = vec![0; 40];
    body[16..24].copy_from_slice(&(1u64 << 21).to_le_bytes());
    assert_eq!(bed.get(ops::SETUPMAPPING, node, &body).0, -libc::ENOTCONN);
}

#[test]
fn what_is_no_request_does_no_harm() {
    let mut bed = Bed::new(&[]);
    assert_eq!(bed.server.answer(&mut []), Answer::Reply(Vec::new()));
    assert_eq!(bed.server.answer(&mut [0; 9]), Answer::Reply(Vec::new()));
    bed.init();
    for len in 16..48 {
        let mut request = vec![0; len];
        request[4] = ops::SETUPMAPPING as u8;
        let Answer::Reply(bytes) = bed.server.answer(&mut request) else {
            panic!("no reply");
        };
        assert!(reply::error(&bytes) < 0, "{len}: {bytes:?}");
    }
}
