// SPDX-License-Identifier: GPL-2.0

//! daxfsd: a vhost-user virtio-fs daemon with a DAX window, for tests.
//!
//! fuse-backend-rs serves the files of a directory; rust-vmm's `vhost` asks QEMU to map file ranges
//! into the guest's window (vhost-user SHMEM_MAP).  It counts what it is asked, and misbehaves to
//! order.  README.md says how it is used.

// The seeds of all tests that run on the host.
#[cfg(test)]
#[path = "../../host/src/config.rs"]
mod config;
mod control;
mod device;
mod fault;
mod fuzz;
mod grow;
mod held;
mod ops;
mod reply;
mod request;
mod server;
mod settled;
mod stats;
mod window;

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::Once;
use std::time::Duration;

use clap::Parser;
use signal_hook::consts::SIGINT;
use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;
use vhost_user_backend::VhostUserDaemon;
use vm_memory::GuestMemoryMmap;

use control::Control;
use device::Device;
use device::Memory;
use fault::Fault;
use fault::Faults;
use reply::Manners;
use server::FileServer;
use stats::Stats;
use window::Rules;
use window::Window;

/// Serve a directory to a guest over virtio-fs, with a DAX window.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// Where the VMM connects (a Unix socket, made anew)
    #[arg(long)]
    socket: PathBuf,
    /// The directory to serve
    #[arg(long)]
    dir: PathBuf,
    /// The file system's tag in the guest
    #[arg(long, default_value = "dax", value_parser = tag)]
    tag: String,
    /// MiB of window: a power of two from 2, or 0 for none
    #[arg(long, default_value = "256", value_parser = window_size)]
    window: u64,
    /// Queues for requests, of which the guest uses one for each of its processors; one thread serves
    /// them all
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u32).range(1..stats::QUEUES as i64))]
    queues: u32,
    /// Bytes that mappings are aligned to, which the guest is told: a power of two from 4096 to 2 MiB;
    /// or none: the guest is told nothing
    #[arg(long, default_value = "4096", value_parser = alignment)]
    map_alignment: u16,
    /// Files of at least so many bytes ask for DAX (for dax=inode)
    #[arg(long, default_value = "0")]
    dax_min: u64,
    /// auto: the guest drops its cache of a file at open; always: it may keep the cache
    #[arg(long, default_value = "auto", value_parser = ["auto", "always"])]
    cache: String,
    /// Milliseconds that the guest may take names and attributes for true
    #[arg(long, default_value = "1000")]
    timeout: u64,
    /// Seconds after which the guest gives up a request, and the connection (without it: never)
    #[arg(long)]
    request_timeout: Option<u16>,
    /// Directories of that name are file systems of their own to the guest, which mounts them
    #[arg(long)]
    submount: Option<String>,
    /// No more background requests at once (without it: as many as the guest sends)
    #[arg(long)]
    max_background: Option<u16>,
    /// Files that the guest opens with O_DIRECT are read and written in whole sectors of 512 bytes only
    #[arg(long)]
    sectors: bool,
    /// No more mappings at once: QEMU aborts at about 510
    #[arg(long, default_value = "480")]
    max_maps: usize,
    /// Do not map beyond the end of a file: the guest may only map what fits the files
    #[arg(long)]
    strict: bool,
    /// What has to go wrong: KIND-OP=WHEN[:ARG], for instance fail-setupmapping=3:ENOMEM (may be repeated)
    #[arg(long)]
    fault: Vec<Fault>,
    /// A socket that takes the lines stats, zero, fault FAULT, reset, unmap, end
    #[arg(long)]
    control: Option<PathBuf>,
    /// Where the last line of counts goes, too
    #[arg(long)]
    stats: Option<PathBuf>,
}

fn tag(text: &str) -> Result<String, String> {
    match text.len() {
        1..=device::TAG => Ok(text.to_owned()),
        len => Err(format!(
            "a tag has 1 to {} bytes, this has {len}",
            device::TAG
        )),
    }
}

fn window_size(text: &str) -> Result<u64, String> {
    let mib: u64 = text
        .parse()
        .map_err(|_| "it is no number of MiB".to_owned())?;
    match mib {
        0 => Ok(0),
        // QEMU's BAR.
        2..=0x10_0000 if mib.is_power_of_two() => Ok(mib << 20),
        _ => Err("a window is a power of two of MiB, from 2".to_owned()),
    }
}

/// The logarithm of the bytes, or 0 for none.
fn alignment(text: &str) -> Result<u16, String> {
    if text == "none" {
        return Ok(0);
    }
    match text.parse::<u64>() {
        Ok(bytes @ 4096..=0x20_0000) if bytes.is_power_of_two() => {
            Ok(bytes.trailing_zeros() as u16)
        }
        _ => Err("an alignment is a power of two from 4096 to 2097152".to_owned()),
    }
}

/// What ended the daemon before its time: what it did, and why that failed.
struct Failure(String, String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0, self.1)
    }
}

/// For `map_err`.
fn while_doing<E: fmt::Display>(what: impl fmt::Display) -> impl FnOnce(E) -> Failure {
    move |why| Failure(what.to_string(), why.to_string())
}

/// The last words: the reason and the counts.
#[derive(Clone)]
struct LastWords {
    said: Arc<Once>,
    stats: Arc<Stats>,
    file: Option<PathBuf>,
    socket: PathBuf,
}

impl LastWords {
    /// The first reason is the reason.
    fn say(&self, reason: &str) {
        self.said.call_once(|| self.write(reason));
    }

    fn write(&self, reason: &str) {
        let counts = self.stats.json();
        let line = format!("{{\"reason\":\"{reason}\",{}", &counts[1..]);
        eprintln!("daxfsd: {line}");
        if let Some(file) = &self.file {
            if let Err(why) = std::fs::write(file, line + "\n") {
                log::error!("writing {}: {why}", file.display());
            }
        }
        let _ = std::fs::remove_file(&self.socket);
    }

    /// Ends the process from any thread.
    fn end(&self, reason: &str, status: i32) -> ! {
        self.say(reason);
        std::process::exit(status)
    }
}

/// A file of each mapping is open, and one of each file that the guest knows.
fn allow_many_files() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a live `rlimit` that both calls may use.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}

fn run(options: Options) -> Result<(), Failure> {
    allow_many_files();
    let stats = Arc::new(Stats::default());
    let words = LastWords {
        said: Arc::new(Once::new()),
        stats: stats.clone(),
        file: options.stats,
        socket: options.socket.clone(),
    };
    let rules = Rules {
        size: options.window,
        grow: !options.strict,
        max_maps: options.max_maps,
    };
    let window = Arc::new(Mutex::new(Window::new(rules, stats.clone())));
    let manners = Manners {
        map_alignment: (options.map_alignment != 0).then_some(options.map_alignment),
        dax_min: Some(options.dax_min),
        request_timeout: options.request_timeout,
        keep_cache: options.cache == "always",
        submount: options.submount,
        max_background: options.max_background,
        sectors: options.sectors,
    };
    let server = FileServer::new(
        &options.dir,
        Duration::from_millis(options.timeout),
        manners,
        Faults::new(options.fault),
        window.clone(),
        stats.clone(),
    )
    .map_err(while_doing(format!("serving {}", options.dir.display())))?;
    let server = Arc::new(server);

    let ender = |reason: &'static str, status| {
        let words = words.clone();
        Box::new(move || words.end(reason, status))
    };
    let mut signals =
        Signals::new([SIGTERM, SIGINT]).map_err(while_doing("waiting for signals"))?;
    let on_signal = ender("told to end", 0);
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            on_signal()
        }
    });
    if let Some(path) = &options.control {
        let control = Control {
            server: server.clone(),
            window: window.clone(),
            stats: stats.clone(),
            end: ender("told to end", 0),
        };
        control
            .listen(path)
            .map_err(while_doing(format!("listening at {}", path.display())))?;
    }

    let device = Device::new(
        server,
        stats,
        window,
        options.window,
        options.queues,
        &options.tag,
        ender("a fault", 3),
    );
    let memory = Memory::new(GuestMemoryMmap::new());
    let mut daemon = VhostUserDaemon::new("daxfsd".to_owned(), Arc::new(device), memory)
        .map_err(|why| Failure("starting the daemon".to_owned(), format!("{why:?}")))?;
    match daemon.serve(&options.socket) {
        // Ends here and now: the threads of the queues wait for nobody any more.
        Ok(()) => words.end("the VMM is gone", 0),
        Err(why) => {
            words.say("an error");
            Err(Failure(
                format!("serving {}", options.socket.display()),
                why.to_string(),
            ))
        }
    }
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match run(Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("daxfsd: {failure}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_options_are_sound() {
        Options::command().debug_assert();
    }

    #[test]
    fn what_is_wrong_with_an_option_is_said() {
        let parse = |args: &[&str]| {
            let all = ["daxfsd", "--socket", "s", "--dir", "d"].iter().chain(args);
            Options::try_parse_from(all)
        };
        let good = parse(&[
            "--window",
            "4",
            "--map-alignment",
            "4096",
            "--fault",
            "enosys",
        ])
        .unwrap();
        assert_eq!(
            parse(&["--map-alignment", "none"]).unwrap().map_alignment,
            0
        );
        assert_eq!((good.window, good.map_alignment), (4 << 20, 12));
        for (args, why) in [
            (["--window", "3"], "power of two of MiB"),
            (["--window", "x"], "no number of MiB"),
            (["--queues", "0"], "not in 1..9"),
            (["--queues", "9"], "not in 1..9"),
            (["--map-alignment", "4095"], "power of two from 4096"),
            (["--map-alignment", "4194304"], "power of two from 4096"),
            (["--fault", "enosy"], "not KIND-OP"),
            (["--tag", ""], "1 to 36 bytes"),
        ] {
            let error = parse(&args).unwrap_err().to_string();
            assert!(error.contains(why), "{args:?}: {error}");
        }
    }
}
