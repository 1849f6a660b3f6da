// SPDX-License-Identifier: GPL-2.0

//! Sorting.
//!
//! `sort_unstable()` of `core` panics if an order contradicts itself, through
//! `panic_on_ord_violation()`. objtool does not know that this function never returns, and warns
//! that the caller "falls through to next function".

/// Sorts by Shell's method with Knuth's gaps: in place, without recursion, and in some n^1.5 steps
/// at most, whatever the initial order, which users can choose. For tens of thousands of elements
/// at most.
pub(crate) fn sort_by_key<T, K: Ord>(list: &mut [T], key: impl Fn(&T) -> K) {
    // 1, 4, 13, 40 and so on, up to a third of the length.
    let mut gap = 1;
    while gap < list.len() / 3 {
        gap = gap * 3 + 1;
    }
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
        gap /= 3;
    }
}
