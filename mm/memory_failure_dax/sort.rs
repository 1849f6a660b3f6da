// SPDX-License-Identifier: GPL-2.0

//! Sorting.
//!
//! That of `core` ends in a panic when an order contradicts itself, by a function of which objtool does
//! not know that it never returns.

/// Sorts by Shell's method: in place, without recursion, for tens of thousands of elements at most.
pub(crate) fn sort_by_key<T, K: Ord>(list: &mut [T], key: impl Fn(&T) -> K) {
    let mut gap = list.len() / 2;
    while gap > 0 {
        for mut at in gap..list.len() {
            while let Some(before) = at.checked_sub(gap) {
                match (list.get(before), list.get(at)) {
                    (Some(a), Some(b)) if key(a) > key(b) => list.swap(before, at),
                    _ => break,
                }
                at = before;
            }
        }
        gap /= 2;
    }
}
