// SPDX-License-Identifier: GPL-2.0

//! Faults to order: what goes wrong with which request.
//!
//! A fault is written `KIND-OP=WHEN[:ARG]`:
//!
//! - `OP` is the name of a FUSE operation, `any`, or `dax` (INIT, SETUPMAPPING, REMOVEMAPPING, READ);
//! - `WHEN` is `N` (that request of the operation, from 1), `N+` (it and all later ones) or `*`;
//! - `ARG` is the error of `fail` and `deny` (a name such as `EIO`, or the number for the header, such
//!   as -5 or the nonsense 7), the milliseconds of `delay` and `late`, the seed of `fuzz`, and nothing
//!   for the others.
//!
//! Short forms: `enosys`, `garbage`, `short`, `length` (each SETUPMAPPING), `delay=MS` (each
//! request), `die=N` (the Nth request), `drop-mapping=N` (the Nth SETUPMAPPING), `fuzz=SEED` (each
//! of `dax`).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::fuzz::Random;
use crate::ops;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request is not served; the reply has this error, as the header has it (-5 is EIO).
    Fail(i32),
    /// Served, but the reply has this error.
    Deny(i32),
    /// The request is served so much later.
    Delay(Duration),
    /// Served, but the reply comes so much later, and others may overtake it.
    Late(Duration),
    /// Served, but header and body of the reply are noise.
    Garbage,
    /// Served, but the reply ends in the middle of its header.
    Short,
    /// Served, but the reply ends after so many bytes.
    Cut(usize),
    /// Served, but a byte of the reply, counted around and around, has these bits the other way.
    Flip(usize, u8),
    /// INIT: mappings are aligned to such a power of two.
    Alignment(u16),
    /// Served, but the header's length is not that of the reply.
    Length,
    /// Served, but the header names another request.
    Unique,
    /// Served, but the reply has no byte.
    Silent,
    /// Served, but nothing after the header of the reply is written, of which all is said to be.
    Hollow,
    /// Served, and there is no reply, ever.
    Never,
    /// Served, and what is mapped in the window then is unmapped at once.
    Drop,
    /// The daemon ends, the request unserved.
    Die,
}

/// What goes wrong with each request that meets a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// This.
    Is(Kind),
    /// What is drawn for it, which may be nothing.
    Drawn(Random),
}

/// Whose requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Any,
    Dax,
    One(u32),
}

/// Which of an operation's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Nth(u64),
    From(u64),
}

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    what: What,
    of: Of,
    when: When,
    seen: u64,
}

impl Fault {
    /// Counts a request of `op`, and says whether the fault is for it.
    fn meets(&mut self, op: u32) -> bool {
        let own = match self.of {
            Of::Any => true,
            Of::Dax => matches!(
                op,
                ops::INIT | ops::SETUPMAPPING | ops::REMOVEMAPPING | ops::READ
            ),
            Of::One(own) => own == op,
        };
        if !own {
            return false;
        }
        self.seen += 1;
        match self.when {
            When::Nth(n) => self.seen == n,
            When::From(n) => self.seen >= n,
        }
    }

    /// What goes wrong with a request of `op`.
    fn of_request(&mut self, op: u32) -> Option<Kind> {
        if !self.meets(op) {
            return None;
        }
        match &mut self.what {
            What::Is(kind) => Some(*kind),
            What::Drawn(random) => random.fault(op),
        }
    }
}

/// Why a fault could not be read.
#[derive(Debug, PartialEq, Eq)]
pub struct BadFault {
    text: String,
    why: String,
}

impl fmt::Display for BadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the fault \"{}\" is not understood: {}",
            self.text, self.why
        )
    }
}

impl std::error::Error for BadFault {}

const ERRORS: &[(&str, i32)] = &[
    ("EPERM", libc::EPERM),
    ("ENOENT", libc::ENOENT),
    ("EINTR", libc::EINTR),
    ("EIO", libc::EIO),
    ("EAGAIN", libc::EAGAIN),
    ("ENOMEM", libc::ENOMEM),
    ("EACCES", libc::EACCES),
    ("EBUSY", libc::EBUSY),
    ("EINVAL", libc::EINVAL),
    ("ENOSPC", libc::ENOSPC),
    ("ENOSYS", libc::ENOSYS),
    ("EOPNOTSUPP", libc::EOPNOTSUPP),
    ("ENOTCONN", libc::ENOTCONN),
    ("EHWPOISON", libc::EHWPOISON),
];

fn error_number(text: &str) -> Result<i32, String> {
    if let Some((_, number)) = ERRORS.iter().find(|(name, _)| *name == text) {
        return Ok(-number);
    }
    text.parse()
        .map_err(|_| format!("{text} is neither a known error nor a number"))
}

fn when(text: &str) -> Result<When, String> {
    let (number, from) = match text.strip_suffix('+') {
        Some(number) => (number, true),
        None if text == "*" => return Ok(When::From(1)),
        None => (text, false),
    };
    match number.parse() {
        Ok(n) if n > 0 && from => Ok(When::From(n)),
        Ok(n) if n > 0 => Ok(When::Nth(n)),
        _ => Err(format!("{text} is not N, N+ or *, N from 1")),
    }
}

fn parse(text: &str) -> Result<Fault, String> {
    let (what, value) = text.split_once('=').unwrap_or((text, ""));
    // The short forms, written out.
    let long;
    let (what, value) = match (what, value) {
        ("enosys", "") => ("fail-setupmapping", "*:ENOSYS"),
        ("garbage" | "short" | "length", "") => {
            long = format!("{what}-setupmapping");
            (long.as_str(), "*")
        }
        ("delay", ms) => {
            long = format!("*:{ms}");
            ("delay-any", long.as_str())
        }
        ("fuzz", seed) => {
            long = format!("*:{seed}");
            ("fuzz-dax", long.as_str())
        }
        ("die", n) => ("die-any", n),
        ("drop-mapping", n) => ("drop-setupmapping", n),
        other => other,
    };
    let (kind, op) = what.split_once('-').ok_or("it is not KIND-OP=WHEN[:ARG]")?;
    let (first, arg) = match value.split_once(':') {
        Some((first, arg)) => (first, Some(arg)),
        None => (value, None),
    };
    let millis = |ms: &str| match ms.parse() {
        Ok(ms) => Ok(Duration::from_millis(ms)),
        Err(_) => Err(format!("{ms} is no number of milliseconds")),
    };
    let what = match (kind, arg) {
        ("fail", arg) => What::Is(Kind::Fail(error_number(arg.unwrap_or("EIO"))?)),
        ("deny", arg) => What::Is(Kind::Deny(error_number(arg.unwrap_or("EIO"))?)),
        ("delay", Some(ms)) => What::Is(Kind::Delay(millis(ms)?)),
        ("late", Some(ms)) => What::Is(Kind::Late(millis(ms)?)),
        ("fuzz", Some(seed)) => match seed.parse() {
            Ok(seed) => What::Drawn(Random::new(seed)),
            Err(_) => return Err(format!("{seed} is no number to begin with")),
        },
        ("delay" | "late", None) => return Err(format!("{kind} needs :MILLISECONDS")),
        ("fuzz", None) => return Err("fuzz needs :SEED".into()),
        (kind, Some(_)) => return Err(format!("{kind} takes no argument after WHEN")),
        ("garbage", None) => What::Is(Kind::Garbage),
        ("short", None) => What::Is(Kind::Short),
        ("length", None) => What::Is(Kind::Length),
        ("unique", None) => What::Is(Kind::Unique),
        ("silent", None) => What::Is(Kind::Silent),
        ("hollow", None) => What::Is(Kind::Hollow),
        ("never", None) => What::Is(Kind::Never),
        ("drop", None) => What::Is(Kind::Drop),
        ("die", None) => What::Is(Kind::Die),
        (kind, None) => return Err(format!("there is no kind {kind}")),
    };
    let of = match op {
        "any" => Of::Any,
        "dax" => Of::Dax,
        name => Of::One(ops::number(name).ok_or_else(|| format!("there is no operation {name}"))?),
    };
    if what == What::Is(Kind::Drop) && of != Of::One(ops::SETUPMAPPING) {
        return Err("drop is for setupmapping".into());
    }
    Ok(Fault {
        what,
        of,
        when: when(first)?,
        seen: 0,
    })
}

impl FromStr for Fault {
    type Err = BadFault;

    fn from_str(text: &str) -> Result<Self, BadFault> {
        parse(text).map_err(|why| BadFault {
            text: text.to_owned(),
            why,
        })
    }
}

/// All faults in force.
#[derive(Default)]
pub struct Faults {
    list: Vec<Fault>,
}

impl Faults {
    pub fn new(list: Vec<Fault>) -> Self {
        Faults { list }
    }

    pub fn add(&mut self, fault: Fault) {
        self.list.push(fault);
    }

    pub fn clear(&mut self) {
        self.list.clear();
    }

    /// What goes wrong with this request of `op`, in the order of the faults.
    pub fn of_request(&mut self, op: u32) -> Vec<Kind> {
        self.list
            .iter_mut()
            .filter_map(|fault| fault.of_request(op))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::properties;

    fn faults(text: &str) -> Faults {
        Faults::new(vec![text.parse().unwrap()])
    }

    #[test]
    fn the_nth_of_its_operation() {
        let mut f = faults("fail-setupmapping=2:ENOMEM");
        assert!(f.of_request(ops::SETUPMAPPING).is_empty());
        assert!(f.of_request(ops::READ).is_empty());
        assert_eq!(f.of_request(ops::SETUPMAPPING), [Kind::Fail(-libc::ENOMEM)]);
        assert!(f.of_request(ops::SETUPMAPPING).is_empty());
    }

    #[test]
    fn from_the_nth_on_and_any() {
        let mut f = faults("delay-any=2+:30");
        assert!(f.of_request(1).is_empty());
        for op in 1..60 {
            assert_eq!(f.of_request(op), [Kind::Delay(Duration::from_millis(30))]);
        }
        f.clear();
        assert!(f.of_request(1).is_empty());
    }

    #[test]
    fn short_forms_are_the_long_ones() {
        for (short, long) in [
            ("enosys", "fail-setupmapping=*:ENOSYS"),
            ("garbage", "garbage-setupmapping=1+"),
            ("delay=20", "delay-any=*:20"),
            ("die=7", "die-any=7"),
            ("drop-mapping=3", "drop-setupmapping=3"),
            ("fuzz=9", "fuzz-dax=1+:9"),
            ("fail-read=1", "fail-read=1:EIO"),
            ("fail-read=1:-5", "fail-READ=1:EIO"),
        ] {
            assert_eq!(short.parse::<Fault>(), long.parse::<Fault>(), "{short}");
        }
        assert_eq!(
            faults("fail-read=*:7").of_request(ops::READ),
            [Kind::Fail(7)]
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, why) in [
            ("fail-setupmapping=0", "not N, N+ or *"),
            ("fail-setupmapping=", "not N, N+ or *"),
            ("fail-nothing=1", "no operation nothing"),
            ("explode-read=1", "no kind explode"),
            ("fail-read=1:EWHAT", "EWHAT is neither"),
            ("delay-read=1", "delay needs"),
            ("delay=soon", "soon is no number"),
            ("late-read=1", "late needs"),
            ("fuzz=x", "x is no number"),
            ("fuzz-read=1", "fuzz needs"),
            ("die=1:2", "takes no argument"),
            ("drop-read=1", "drop is for setupmapping"),
            ("nonsense", "not KIND-OP"),
        ] {
            let error = text.parse::<Fault>().unwrap_err().to_string();
            assert!(
                error.contains(why) && error.contains(text),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn fuzz_is_for_dax_and_the_same_each_time() {
        let all = [
            ops::INIT,
            ops::SETUPMAPPING,
            ops::REMOVEMAPPING,
            ops::READ,
            ops::OPEN,
        ];
        let of_seed = |seed: u64| {
            let mut f = faults(&format!("fuzz={seed}"));
            (0..400)
                .map(|i| f.of_request(all[i % all.len()]))
                .collect::<Vec<_>>()
        };
        let one = of_seed(1);
        assert_eq!(one, of_seed(1));
        assert_ne!(one, of_seed(2));
        for (i, kinds) in one.iter().enumerate() {
            let alignment = matches!(kinds[..], [Kind::Alignment(_)]);
            match all[i % all.len()] {
                ops::OPEN => assert!(kinds.is_empty()),
                ops::READ => assert!(!matches!(kinds[..], [Kind::Flip(..) | Kind::Garbage])),
                ops::INIT => assert!(kinds.is_empty() || alignment),
                _ => assert!(kinds.len() <= 1 && !alignment),
            }
        }
        // Often something goes wrong, and often nothing.
        let wrong = one.iter().filter(|kinds| !kinds.is_empty()).count();
        assert!((60..240).contains(&wrong), "{wrong}");
    }

    properties! {
        #[test]
        fn no_text_panics(text in "[a-z=:+*0-9-]{0,40}") {
            let _ = text.parse::<Fault>();
        }
    }
}
