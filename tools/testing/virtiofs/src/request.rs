// SPDX-License-Identifier: GPL-2.0

//! The bytes of FUSE's requests: what of them is not for the host.

use crate::ops;

/// `struct fuse_in_header`: length, operation, unique, node and more.
pub const HEADER: usize = 40;
const OP: usize = 4;
const UNIQUE: usize = 8;

/// Some bytes of a request, if it is as long.
pub fn get<const N: usize>(request: &[u8], at: usize) -> Option<[u8; N]> {
    request.get(at..at + N)?.try_into().ok()
}

/// The operation and the unique number.
pub fn header(request: &[u8]) -> Option<(u32, u64)> {
    Some((
        u32::from_le_bytes(get(request, OP)?),
        u64::from_le_bytes(get(request, UNIQUE)?),
    ))
}

/// Where a SETUPMAPPING maps, and how much: `struct fuse_setupmapping_in` is fh, foffset, len, flags,
/// moffset.
pub fn mapping(request: &[u8]) -> Option<(u64, u64)> {
    Some((
        u64::from_le_bytes(get(request, HEADER + 32)?),
        u64::from_le_bytes(get(request, HEADER + 16)?),
    ))
}

/// What a request reads or writes, or closes: the handle, from where on and how much.
pub fn access(op: u32, request: &[u8]) -> Option<(u64, u64, u64)> {
    // All of them begin with the handle; then offset and size.
    let handle = u64::from_le_bytes(get(request, HEADER)?);
    match op {
        ops::RELEASE => Some((handle, 0, 0)),
        ops::READ | ops::WRITE => Some((
            handle,
            u64::from_le_bytes(get(request, HEADER + 8)?),
            u32::from_le_bytes(get(request, HEADER + 16)?).into(),
        )),
        _ => None,
    }
}

/// Whether it opens a file with O_DIRECT.
pub fn is_direct_open(op: u32, request: &[u8]) -> bool {
    let flags = get(request, HEADER).map_or(0, u32::from_le_bytes);
    matches!(op, ops::OPEN | ops::CREATE) && flags & libc::O_DIRECT as u32 != 0
}

/// Takes O_DIRECT out of the flags: the guest's buffers are not the daemon's, and what is aligned
/// there is not so here.
pub fn without_direct_io(op: u32, request: &mut [u8]) {
    let at = match op {
        // The first word.
        ops::OPEN | ops::CREATE => HEADER,
        // After fh, offset, size, flags of the operation, lock_owner.
        ops::READ | ops::WRITE => HEADER + 32,
        _ => return,
    };
    if let Some(flags) = get(request, at).map(u32::from_le_bytes) {
        let flags = flags & !(libc::O_DIRECT as u32);
        request[at..at + 4].copy_from_slice(&flags.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o_direct_goes_and_the_rest_stays() {
        let flags = (libc::O_DIRECT | libc::O_RDWR) as u32;
        for (op, at) in [
            (ops::OPEN, 40),
            (ops::CREATE, 40),
            (ops::READ, 72),
            (ops::WRITE, 72),
        ] {
            let mut request = vec![0; 80];
            request[at..at + 4].copy_from_slice(&flags.to_le_bytes());
            without_direct_io(op, &mut request);
            let left = get(&request, at).map(u32::from_le_bytes);
            assert_eq!(left, Some(libc::O_RDWR as u32), "{op}");
            for len in 0..80 {
                without_direct_io(op, &mut vec![0; len]);
            }
        }
    }

    #[test]
    fn an_access_is_read() {
        let mut request = vec![0; 80];
        (request[40], request[48], request[56]) = (1, 2, 3);
        assert_eq!(access(ops::READ, &request), Some((1, 2, 3)));
        assert_eq!(access(ops::RELEASE, &request), Some((1, 0, 0)));
        assert_eq!(access(ops::LOOKUP, &request), None);
        assert_eq!(access(ops::WRITE, &request[..59]), None);
        assert!(!is_direct_open(ops::OPEN, &request));
        request[40..44].copy_from_slice(&(libc::O_DIRECT as u32).to_le_bytes());
        assert!(is_direct_open(ops::OPEN, &request));
        assert!(!is_direct_open(ops::READ, &request));
    }

    #[test]
    fn a_mapping_is_read() {
        let mut request = vec![0; 80];
        request[56] = 1;
        request[72] = 2;
        assert_eq!(mapping(&request), Some((2, 1)));
        assert_eq!(mapping(&request[..79]), None);
        assert_eq!(header(&request[..15]), None);
    }
}
