// SPDX-License-Identifier: GPL-2.0

//! A socket to look at the daemon and to order faults while it serves: a line in, a line out.
//!
//! - `stats`: the counts, as JSON; `zero`: they begin again.
//! - `fault FAULT`: one more; `reset`: none any more, and what one holds up goes on at once.
//! - `unmap`: takes every mapping back behind the guest's back.
//! - `end`: the daemon ends.

use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use crate::fault::Fault;
use crate::server::FileServer;
use crate::stats::Stats;
use crate::window::Window;

/// What the socket's lines act on.
pub struct Control {
    pub server: Arc<FileServer>,
    pub window: Arc<Mutex<Window>>,
    pub stats: Arc<Stats>,
    pub end: Box<dyn Fn() + Send + Sync>,
}

impl Control {
    /// The answer to a line.
    fn answer(&self, line: &str) -> String {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("stats", "") => return self.stats.json(),
            ("zero", "") => self.stats.zero(),
            ("reset", "") => self.server.reset(),
            ("fault", text) => match text.parse::<Fault>() {
                Ok(fault) => self
                    .server
                    .faults
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .add(fault),
                Err(why) => return format!("error: {why}"),
            },
            ("unmap", "") => {
                let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
                match window.remove_all() {
                    Ok(count) => return format!("ok {count}"),
                    Err(why) => return format!("error: {why}"),
                }
            }
            ("end", "") => (self.end)(),
            _ => {
                return format!(
                    "error: \"{line}\" is none of stats, zero, fault FAULT, reset, unmap, end"
                )
            }
        }
        "ok".to_owned()
    }

    fn talk(&self, stream: &UnixStream) -> io::Result<()> {
        let mut out = stream;
        for line in BufReader::new(stream).lines() {
            let line = line?;
            // What a terminal in between makes of an empty line is no question.
            let line = line.trim();
            if !line.is_empty() {
                writeln!(out, "{}", self.answer(line))?;
            }
        }
        Ok(())
    }

    /// Listens at `path` from now on, in a thread of its own.
    pub fn listen(self, path: &Path) -> io::Result<()> {
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(path)?;
        let control = Arc::new(self);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let control = control.clone();
                match stream {
                    // QEMU keeps its end for the guest all the time: others come beside it.
                    Ok(stream) => drop(std::thread::spawn(move || {
                        if let Err(why) = control.talk(&stream) {
                            log::debug!("the control socket: {why}");
                        }
                    })),
                    Err(why) => log::warn!("the control socket: {why}"),
                }
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Faults;
    use crate::reply::Manners;
    use crate::window::Rules;
    use std::sync::atomic::AtomicBool;
    use std::sync::atomic::Ordering::Relaxed;
    use std::time::Duration;

    #[test]
    fn lines_are_answered() {
        let dir = tempfile::tempdir().unwrap();
        let stats = Arc::new(Stats::default());
        let rules = Rules {
            size: 1 << 21,
            grow: false,
            max_maps: 1,
        };
        let window = Arc::new(Mutex::new(Window::new(rules, stats.clone())));
        let manners = Manners::default();
        let server = FileServer::new(
            dir.path(),
            Duration::ZERO,
            manners,
            Faults::default(),
            window.clone(),
            stats.clone(),
        );
        let server = Arc::new(server.unwrap());
        let ended = Arc::new(AtomicBool::new(false));
        let set = ended.clone();
        let end = Box::new(move || set.store(true, Relaxed));
        let socket = dir.path().join("control");
        let control = Control {
            server: server.clone(),
            window,
            stats: stats.clone(),
            end,
        };
        control.listen(&socket).unwrap();

        let stream = UnixStream::connect(&socket).unwrap();
        let mut answers = BufReader::new(&stream).lines();
        let mut ask = |line: &str| {
            writeln!(&stream, "{line}").unwrap();
            answers.next().unwrap().unwrap()
        };
        stats.request(1, 50);
        assert!(ask("stats").contains("\"LOOKUP\":1"));
        assert_eq!(ask("zero"), "ok");
        assert!(ask("stats").contains("\"ops\":{}"));
        assert_eq!(ask("fault die=1"), "ok");
        assert_eq!(ask("reset"), "ok");
        assert!(server.faults.lock().unwrap().of_request(1).is_empty());
        assert!(ask("fault nonsense").starts_with("error: the fault \"nonsense\""));
        assert!(ask("hello").starts_with("error: \"hello\""));
        assert_eq!(ask("unmap"), "ok 0");
        assert!(!ended.load(Relaxed));
        assert_eq!(ask("end"), "ok");
        assert!(ended.load(Relaxed));
    }
}
