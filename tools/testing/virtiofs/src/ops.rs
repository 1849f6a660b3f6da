// SPDX-License-Identifier: GPL-2.0

//! The names of FUSE's operations.

/// Every operation of a file system that this daemon may hear of: number and name.
const OPS: &[(u32, &str)] = &[
    (1, "LOOKUP"),
    (2, "FORGET"),
    (3, "GETATTR"),
    (4, "SETATTR"),
    (5, "READLINK"),
    (6, "SYMLINK"),
    (8, "MKNOD"),
    (9, "MKDIR"),
    (10, "UNLINK"),
    (11, "RMDIR"),
    (12, "RENAME"),
    (13, "LINK"),
    (14, "OPEN"),
    (15, "READ"),
    (16, "WRITE"),
    (17, "STATFS"),
    (18, "RELEASE"),
    (20, "FSYNC"),
    (21, "SETXATTR"),
    (22, "GETXATTR"),
    (23, "LISTXATTR"),
    (24, "REMOVEXATTR"),
    (25, "FLUSH"),
    (26, "INIT"),
    (27, "OPENDIR"),
    (28, "READDIR"),
    (29, "RELEASEDIR"),
    (30, "FSYNCDIR"),
    (31, "GETLK"),
    (32, "SETLK"),
    (33, "SETLKW"),
    (34, "ACCESS"),
    (35, "CREATE"),
    (36, "INTERRUPT"),
    (37, "BMAP"),
    (38, "DESTROY"),
    (39, "IOCTL"),
    (40, "POLL"),
    (41, "NOTIFY_REPLY"),
    (42, "BATCH_FORGET"),
    (43, "FALLOCATE"),
    (44, "READDIRPLUS"),
    (45, "RENAME2"),
    (46, "LSEEK"),
    (47, "COPY_FILE_RANGE"),
    (48, "SETUPMAPPING"),
    (49, "REMOVEMAPPING"),
    (50, "SYNCFS"),
    (51, "TMPFILE"),
    (52, "STATX"),
];

/// One more than the largest known number.
pub const COUNT: usize = 64;

pub const LOOKUP: u32 = 1;
pub const GETATTR: u32 = 3;
pub const SETATTR: u32 = 4;
pub const OPEN: u32 = 14;
pub const READ: u32 = 15;
pub const WRITE: u32 = 16;
pub const RELEASE: u32 = 18;
pub const INIT: u32 = 26;
pub const CREATE: u32 = 35;
pub const DESTROY: u32 = 38;
pub const SETUPMAPPING: u32 = 48;
pub const REMOVEMAPPING: u32 = 49;

/// The name of an operation; `OP` and its number if it has none here.
pub fn name(op: u32) -> String {
    OPS.iter()
        .find(|(number, _)| *number == op)
        .map_or_else(|| format!("OP{op}"), |(_, name)| (*name).to_owned())
}

/// The number of an operation, in upper or lower case.
pub fn number(name: &str) -> Option<u32> {
    OPS.iter()
        .find(|(_, known)| known.eq_ignore_ascii_case(name))
        .map(|(number, _)| *number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_agree() {
        for (op, op_name) in OPS {
            assert_eq!(name(*op), *op_name);
            assert_eq!(number(&op_name.to_lowercase()), Some(*op));
            assert!((*op as usize) < COUNT);
        }
        assert_eq!(name(7), "OP7");
        assert_eq!(number("nothing"), None);
    }
}
