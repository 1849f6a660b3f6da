// SPDX-License-Identifier: GPL-2.0

//! What mapped devices are told of a device below them.

use super::{
    hub::Hub,
    mapped::Mapped,
    ranges::{
        Covered,
        Found,
        Next,
        Search, //
    }, //
};
use kernel::{
    dax::units::ByteRange,
    prelude::*,
    task::cond_resched, //
};

/// What was answered so far; [`None`] when there was nothing to tell.
#[derive(Clone, Copy)]
struct Answer(Option<Result>);

impl Answer {
    /// `EOPNOTSUPP` counts before all others: some bytes may have users that were not notified, and the
    /// driver then looks for these by their pages. Of other errors the first one counts.
    fn and(self, other: Result) -> Self {
        Self(Some(match (self.0, other) {
            (Some(Err(e)), _) if e == EOPNOTSUPP => Err(e),
            (_, Err(e)) if e == EOPNOTSUPP => Err(e),
            (Some(Err(e)), _) => Err(e),
            (_, other) => other,
        }))
    }
}

/// Deals with the bytes `failed` of the block device of `hub`.
///
/// `EOPNOTSUPP` when there may be users of them that were not told.
pub(crate) fn notify(hub: &Hub, failed: ByteRange, mf_flags: c_int) -> Result {
    let mut answer = Answer(None);
    let mut covered = Covered::new();
    let mut members = hub.members();
    while let Some(md) = members.next() {
        if let Some(told) = tell(&md, hub, failed, mf_flags, &mut covered).0 {
            answer = answer.and(told);
        }
        cond_resched();
    }
    if !covered.has(&failed) {
        // A volume that has moved away may have users of the rest.
        answer = answer.and(Err(EOPNOTSUPP));
    }
    answer.0.unwrap_or(Err(EOPNOTSUPP))
}

/// Deals with the removal of the device of `hub`. Each mapped device that has the device open is told once,
/// whatever its tables have of it: another table may be live before the device has gone.
///
/// `EOPNOTSUPP`: file systems that are no holders, and volumes that have moved away from the device, may
/// have pages of it mapped.
pub(crate) fn remove(hub: &Hub) -> Result {
    hub.refuse_members();
    let mut members = hub.members();
    while let Some(md) = members.next() {
        md.retire();
        cond_resched();
    }
    Err(EOPNOTSUPP)
}

/// Notifies the holder of `md` of the bytes `failed` of the hub's block device that its table has, and
/// adds these to `covered`.
///
/// The table is not kept while the holder is notified: that may take long, and a new table waits for
/// all users of the old one. So a part is looked up, its holder notified, and the next part looked up in
/// the table of that time.
///
/// A range may have millions of chunks of stripes. So a fatal signal ends it between two of them, as it
/// ends the driver's search for users.
fn tell(
    md: &Mapped,
    hub: &Hub,
    failed: ByteRange,
    mf_flags: c_int,
    covered: &mut Covered,
) -> Answer {
    let mut answer = Answer(None);
    let mut search = Search::new(failed);
    while let Some(part) = search.part() {
        let mut found = Found::new(part);
        let size = md.find(hub.block_device(), &mut found);
        if !found.is_complete() {
            answer = answer.and(Err(EOPNOTSUPP));
        }
        if found.is_all_of(size) {
            answer = answer.and(md.notify(None, mf_flags));
            covered.add_all(found.covered());
            break;
        }
        match search.take(&found) {
            Next::Notify => {
                covered.add_all(found.covered());
                for range in found.ranges() {
                    if answer.0.is_some() && kernel::current!().fatal_signal_pending() {
                        answer = answer.and(Err(EOPNOTSUPP));
                        return answer;
                    }
                    answer = answer.and(md.notify(Some(range), mf_flags));
                    cond_resched();
                }
            }
            Next::Again => {}
            Next::Never => {
                answer = answer.and(Err(EOPNOTSUPP));
                break;
            }
        }
    }
    answer
}
