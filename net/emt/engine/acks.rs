// SPDX-License-Identifier: GPL-2.0

//! What is still to be acknowledged.

use super::{
    id::Id,
    limits::{
        ACK_DELAY,
        ACK_EVERY, //
    },
    received::Received,
    time::{
        micros,
        Instant, //
    },
};
use crate::wire::reliable::Acks;
use core::num::NonZeroU64;

/// Numbers so close to each other that one packet acknowledges them all.
#[derive(Clone, Copy)]
struct Group {
    lowest: Id,
    highest: Id,
    /// When `highest` finished. Never 0, so that no group takes no more memory than one.
    at: NonZeroU64,
}

/// Returns a time as it is kept in a group.
fn kept(now: Instant) -> NonZeroU64 {
    NonZeroU64::new(now.0).unwrap_or(NonZeroU64::MIN)
}

impl Group {
    /// How far `lowest` may be before `highest`.
    const SPAN: u32 = u32::BITS;

    /// Takes in `id`, if all still fit together.
    fn include(&mut self, id: Id, now: Instant) -> bool {
        if id.after(self.highest).is_some() {
            let fits = id.after(self.lowest).is_some_and(|span| span <= Self::SPAN);
            if fits {
                self.highest = id;
                self.at = kept(now);
            }
            return fits;
        }
        if id.after(self.lowest).is_some() {
            return true;
        }
        let fits = self
            .highest
            .after(id)
            .is_some_and(|span| span <= Self::SPAN);
        if fits {
            self.lowest = id;
        }
        fits
    }
}

/// The groups that are kept. When there are more, the first is sent.
const GROUPS: usize = 4;

/// The transfers that have finished without their sender having been told.
pub(crate) struct Unacknowledged {
    groups: [Option<Group>; GROUPS],
    /// How many.
    count: u32,
    /// When they must be acknowledged.
    due: Instant,
    /// What was reported last: what is told when there is nothing new.
    last: (Id, Instant),
}

impl Unacknowledged {
    pub(crate) const fn new() -> Self {
        Self {
            groups: [None; GROUPS],
            count: 0,
            due: Instant::NEVER,
            last: (Id(u32::MAX), Instant(0)),
        }
    }

    /// Takes note that `id` has finished.
    pub(crate) fn add(&mut self, id: Id, now: Instant) {
        self.count += 1;
        if self.count >= ACK_EVERY {
            self.due = now;
        } else if self.due == Instant::NEVER {
            self.due = now.plus(ACK_DELAY);
        }
        for slot in &mut self.groups {
            match slot {
                Some(group) => {
                    if group.include(id, now) {
                        return;
                    }
                }
                None => {
                    *slot = Some(Group {
                        lowest: id,
                        highest: id,
                        at: kept(now),
                    });
                    return;
                }
            }
        }
        // There is no room: the sender will ask, by sending it again.
        self.due = now;
    }

    /// Takes note that the sender asks for an answer now.
    pub(crate) fn hurry(&mut self, now: Instant) {
        self.due = now;
    }

    /// Returns when an acknowledgment has to be sent.
    pub(crate) fn due(&self) -> Instant {
        self.due
    }

    /// Returns what the packet acknowledges that is about to be sent.
    pub(crate) fn take(&mut self, received: &Received, now: Instant) -> Acks {
        if let Some(group) = self.groups[0].take() {
            if self.groups[1].is_some() {
                self.groups.rotate_left(1);
            }
            self.last = (group.highest, Instant(group.at.get()));
        }
        if self.groups[0].is_none() {
            self.count = 0;
            self.due = Instant::NEVER;
        }
        let (latest, at) = self.last;
        let delay = now.since(at);
        Acks {
            floor: received.floor(),
            latest,
            bits: received.bits_before(latest),
            delay: micros(delay),
        }
    }
}

#[kernel::macros::kunit_tests(emt_acks)]
mod tests {
    use super::*;

    fn finish(received: &mut Received, unacknowledged: &mut Unacknowledged, id: u32, at: u64) {
        received.finish(Id(id));
        unacknowledged.add(Id(id), Instant(at));
    }

    #[test]
    fn one_packet_tells_of_all_that_are_close() {
        let (mut received, mut unacknowledged) = (Received::new(), Unacknowledged::new());
        for id in [0, 2, 1, 5] {
            finish(&mut received, &mut unacknowledged, id, 1_000);
        }
        assert_eq!(unacknowledged.due(), Instant(1_000 + ACK_DELAY));
        let acks = unacknowledged.take(&received, Instant(3_500));
        assert_eq!(acks.floor, Id(3));
        assert_eq!(acks.latest, Id(5));
        // 4 and 3 are missing; what is from before the first counts as finished.
        assert_eq!(acks.bits & 0b11111, 0b11100);
        assert_eq!(acks.delay, 2);
        assert_eq!(unacknowledged.due(), Instant::NEVER);
    }

    #[test]
    fn what_is_far_apart_takes_several_packets() {
        let (mut received, mut unacknowledged) = (Received::new(), Unacknowledged::new());
        for id in [100, 200, 132, 99, 201] {
            finish(&mut received, &mut unacknowledged, id, 0);
        }
        let told: [u32; 3] = core::array::from_fn(|_| {
            assert!(unacknowledged.due() != Instant::NEVER);
            unacknowledged.take(&received, Instant(0)).latest.0
        });
        assert_eq!(told, [132, 201, 99]);
        assert_eq!(unacknowledged.due(), Instant::NEVER);
    }

    #[test]
    fn many_are_acknowledged_at_once() {
        let (mut received, mut unacknowledged) = (Received::new(), Unacknowledged::new());
        for id in 0..ACK_EVERY {
            assert!(unacknowledged.due() > Instant(7));
            finish(&mut received, &mut unacknowledged, id, 7);
        }
        assert_eq!(unacknowledged.due(), Instant(7));
    }

    #[test]
    fn before_anything_has_finished_nothing_is_acknowledged() {
        let mut unacknowledged = Unacknowledged::new();
        let acks = unacknowledged.take(&Received::new(), Instant(0));
        assert_eq!(acks.floor, Id(0));
        assert_eq!(acks.latest, Id(u32::MAX));
    }
}
