// SPDX-License-Identifier: GPL-2.0

//! A file that is longer for a moment: QEMU maps nothing beyond the end of a file, and a DAX range
//! is longer than most files.

use std::fs::File;
use std::fs::FileTimes;
use std::io;

/// Calls `map` while `file` has at least `len` bytes, if `grow` allows that it has not.
///
/// The file's size and times are put back.  Another process that appends to the file just then
/// may lose what it appended, so this is for a test bed.  The bytes between the end of the file
/// and `len` are in the mapping then, and become part of the file when it grows.
pub fn covering<T>(
    file: &File,
    len: u64,
    grow: bool,
    map: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    let meta = file.metadata()?;
    if !grow || meta.len() >= len {
        return map();
    }
    file.set_len(len)?;
    let result = map();
    file.set_len(meta.len())?;
    let times = FileTimes::new()
        .set_accessed(meta.accessed()?)
        .set_modified(meta.modified()?);
    file.set_times(times)?;
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_and_times_come_back() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(10).unwrap();
        let before = file.metadata().unwrap();
        let seen = covering(&file, 4096, true, || Ok(file.metadata()?.len())).unwrap();
        assert_eq!(seen, 4096);
        let after = file.metadata().unwrap();
        assert_eq!(after.len(), 10);
        assert_eq!(after.modified().unwrap(), before.modified().unwrap());
    }

    #[test]
    fn a_long_file_and_a_strict_bed_are_left_alone() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(8192).unwrap();
        for (len, grow) in [(4096, true), (16384, false)] {
            let seen = covering(&file, len, grow, || Ok(file.metadata()?.len())).unwrap();
            assert_eq!(seen, 8192);
        }
    }

    #[test]
    fn a_failed_map_leaves_the_file_as_it_was() {
        let file = tempfile::tempfile().unwrap();
        let result: io::Result<()> =
            covering(&file, 4096, true, || Err(io::ErrorKind::Other.into()));
        assert!(result.is_err());
        assert_eq!(file.metadata().unwrap().len(), 0);
    }
}
