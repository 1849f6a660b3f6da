// SPDX-License-Identifier: GPL-2.0

//! `drivers/nvdimm/pmem_rust/geometry.rs`: the claims of an information block on the medium.

use super::input::Input;
use crate::geometry::Geometry;
use kernel::{
    block::sector::{
        Sector,
        SECTOR_SIZE, //
    },
    page::PAGE_SIZE, //
};

/// A namespace, what an information block says of it, and an offset.
pub fn geometry(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut number = || input.number64();
    // Any numbers, but those that nearly fit more often than others.
    let first = number();
    let mapped_first = first.wrapping_add(number());
    let mapped_last = mapped_first.wrapping_add(number());
    let mapped = (mapped_first, mapped_last);
    let namespace = (first, mapped_last.wrapping_add(number()));
    let (offset, at) = (number(), number());

    let (first, last) = (u128::from(mapped.0), u128::from(mapped.1));
    let inside = mapped.0 >= namespace.0 && mapped.1 <= namespace.1 && first <= last;
    // Address 2^64 cannot be told.
    let fits = last + 1 < 1 << 64;
    let room = first + u128::from(offset) + u128::from(SECTOR_SIZE) <= last + 1;
    let Some(geometry) = Geometry::new(namespace, mapped, offset) else {
        return assert!(!(inside && fits && room));
    };
    assert!(inside && fits && room);

    let size = mapped.1 - mapped.0 + 1;
    let data = geometry.data_phys().unwrap();
    assert_eq!(geometry.mapped_len(), size);
    assert_eq!(data.start(), mapped.0 + offset);
    assert_eq!(data.end(), mapped.1 + 1);
    assert_eq!(geometry.sectors(), data.len() / SECTOR_SIZE);
    assert_eq!(geometry.pages() as u64, data.len() / PAGE_SIZE as u64);
    let sectors = geometry.all_sectors().unwrap();
    assert_eq!(sectors.end(), Sector(geometry.sectors()));

    let at = at % data.len();
    let phys = data.start() + at;
    assert_eq!(geometry.locate(at), (phys - mapped.0, phys));
    assert_eq!(geometry.in_window(at), phys - mapped.0);
    assert_eq!(geometry.phys(at), phys);
}
