// SPDX-License-Identifier: GPL-2.0

//! Which transfers go on that arrive at a device and have more than is sent unasked: messages, and
//! what comes on connections.
//!
//! A few are granted at once, mostly those with the least to go, so that the link is never without
//! work and no queue builds up before it. Now and then the oldest is granted instead, so that none
//! starves. A sender that does not use what it was granted loses its place to those who wait.
//!
//! What comes on a connection has no known end. It is taken for as long as what its sender has had
//! to send when it got its place; once that has come, it is the turn of others.

use super::{
    host::{
        Progress,
        Transfer, //
    },
    limits::{
        GRANTED_ALONE,
        GRANTED_AT_ONCE,
        GRANTED_BYTES,
        MAX_GRANTS_WAITING,
        OLDEST_EACH, //
    },
};
use kernel::prelude::*;

/// What needs grants.
struct Candidate<K> {
    peer: K,
    transfer: Transfer,
    progress: Progress,
}

impl<K> Candidate<K> {
    fn remaining(&self) -> u64 {
        self.progress.total.saturating_sub(self.progress.arrived)
    }
}

/// What arrives at a device and needs grants. `K` tells from which peer.
pub(crate) struct Grants<K> {
    /// At most [`GRANTED_AT_ONCE`].
    granted: KVec<Candidate<K>>,
    /// The oldest first.
    waiting: KVec<Candidate<K>>,
    turns: u32,
}

fn position<K: PartialEq>(list: &[Candidate<K>], peer: &K, transfer: Transfer) -> Option<usize> {
    list.iter()
        .position(|candidate| candidate.transfer == transfer && candidate.peer == *peer)
}

impl<K: PartialEq> Grants<K> {
    pub(crate) const fn new() -> Self {
        Self {
            granted: KVec::new(),
            waiting: KVec::new(),
            turns: 0,
        }
    }

    /// Takes note how far a transfer has come. `grant` is told who may send up to where.
    ///
    /// If there are too many, or memory is short, it has to be told again.
    pub(crate) fn progress(
        &mut self,
        peer: K,
        transfer: Transfer,
        progress: Progress,
        grant: &mut impl FnMut(&K, Transfer, u64),
    ) {
        if let Some(at) = position(&self.granted, &peer, transfer) {
            self.advance(at, progress, grant);
        } else {
            self.wait(peer, transfer, progress);
            self.yield_to_shorter(progress);
        }
        self.fill(grant);
    }

    /// As [`progress`](Self::progress), for one that is granted.
    fn advance(
        &mut self,
        at: usize,
        progress: Progress,
        grant: &mut impl FnMut(&K, Transfer, u64),
    ) {
        let Some(known) = self.granted.get_mut(at) else {
            return;
        };
        known.progress.arrived = progress.arrived;
        // What the transfer knows counts: what it was granted may not have reached it.
        known.progress.limit = progress.limit;
        known.progress.step = progress.step;
        if self.waiting.is_empty() {
            known.progress.total = progress.total;
        } else if known.remaining() == 0 {
            // All has come that there was; there is more by now, but others wait.
            if let Ok(mut ended) = self.granted.remove(at) {
                self.fill(grant);
                ended.progress.total = progress.total;
                self.put_back(ended);
            }
        }
    }

    /// Takes note that a transfer does not go on although it was granted.
    pub(crate) fn stalled(
        &mut self,
        peer: &K,
        transfer: Transfer,
        grant: &mut impl FnMut(&K, Transfer, u64),
    ) {
        if self.waiting.is_empty() {
            return;
        }
        if let Some(at) = position(&self.granted, peer, transfer) {
            // The others first; among them there is one at least.
            let stalled = self.granted.remove(at);
            self.fill(grant);
            if let Ok(stalled) = stalled {
                self.put_back(stalled);
            }
        }
    }

    /// Takes a transfer out: it has arrived, or was given up.
    pub(crate) fn settled(
        &mut self,
        peer: &K,
        transfer: Transfer,
        grant: &mut impl FnMut(&K, Transfer, u64),
    ) {
        if let Some(at) = position(&self.granted, peer, transfer) {
            let _ = self.granted.remove(at);
            self.fill(grant);
        } else if let Some(at) = position(&self.waiting, peer, transfer) {
            let _ = self.waiting.remove(at);
        }
    }

    fn wait(&mut self, peer: K, transfer: Transfer, progress: Progress) {
        if let Some(at) = position(&self.waiting, &peer, transfer) {
            if let Some(known) = self.waiting.get_mut(at) {
                known.progress = progress;
            }
            return;
        }
        self.put_back(Candidate {
            peer,
            transfer,
            progress,
        });
    }

    fn put_back(&mut self, candidate: Candidate<K>) {
        if self.waiting.len() < MAX_GRANTS_WAITING && self.waiting.reserve(1, GFP_ATOMIC).is_ok() {
            let _ = self.waiting.push_within_capacity(candidate);
        }
    }

    /// Takes the place of the longest that is granted, if it is longer than `progress`.
    fn yield_to_shorter(&mut self, progress: Progress) {
        if self.granted.len() < GRANTED_AT_ONCE {
            return;
        }
        let longest = (0..self.granted.len())
            .max_by_key(|at| self.granted.get(*at).map(Candidate::remaining));
        let Some(at) = longest else {
            return;
        };
        let remaining = progress.total.saturating_sub(progress.arrived);
        if self
            .granted
            .get(at)
            .is_some_and(|longest| longest.remaining() > remaining)
        {
            if let Ok(longest) = self.granted.remove(at) {
                self.put_back(longest);
            }
        }
    }

    /// Gives the free places to who waits, and each who has one its share.
    fn fill(&mut self, grant: &mut impl FnMut(&K, Transfer, u64)) {
        let known = self.granted.len();
        while self.granted.len() < GRANTED_AT_ONCE && self.granted.reserve(1, GFP_ATOMIC).is_ok() {
            let next = self.choose().and_then(|at| self.waiting.remove(at).ok());
            let Some(next) = next else {
                break;
            };
            let _ = self.granted.push_within_capacity(next);
        }
        let places = self.granted.len() as u32;
        let alone = self.waiting.is_empty();
        for (at, candidate) in self.granted.iter_mut().enumerate() {
            let Candidate {
                peer,
                transfer,
                progress,
            } = candidate;
            let each = match alone && places == 1 && progress.endless {
                true => GRANTED_ALONE,
                false => GRANTED_BYTES.checked_div(places).unwrap_or(0),
            };
            // A packet at least, of which its sender cannot use a part.
            let share = u64::from(each.max(progress.step));
            // Who is not waited for need not say first that there is more.
            let end = match alone && progress.endless {
                true => u64::MAX,
                false => progress.total,
            };
            let limit = progress.arrived.saturating_add(share).min(end);
            let more = limit.saturating_sub(progress.limit);
            // As much as is worth a packet. Who has just got its place learns that even if what it
            // sends unasked is more than its share: else it would not report how far it has come.
            if more >= share / 8 || more > 0 && limit == end || at >= known {
                progress.limit = progress.limit.max(limit);
                grant(peer, *transfer, progress.limit);
            }
        }
    }

    /// Returns where in `waiting` is whose turn it is.
    fn choose(&mut self) -> Option<usize> {
        if self.waiting.is_empty() {
            return None;
        }
        self.turns = self.turns.wrapping_add(1);
        if self.turns % OLDEST_EACH == 0 {
            return Some(0);
        }
        (0..self.waiting.len()).min_by_key(|at| self.waiting.get(*at).map(Candidate::remaining))
    }
}

#[kernel::macros::kunit_tests(emt_grants)]
mod tests {
    use super::*;
    use crate::{
        engine::id::Id,
        wire::flow::Number, //
    };

    const LONG: u64 = 1 << 20;
    const MESSAGE: Transfer = Transfer::Message(Id(0));

    fn came(arrived: u64, total: u64) -> Progress {
        Progress {
            total,
            endless: false,
            arrived,
            limit: 0,
            step: 0,
        }
    }

    /// Tells of a message from `peer`, and returns who is granted, as bits.
    fn tell(grants: &mut Grants<u32>, peer: u32, progress: Progress) -> u32 {
        let mut who = 0;
        grants.progress(peer, MESSAGE, progress, &mut |peer, _, _| who |= 1 << peer);
        who
    }

    #[test]
    fn a_few_are_granted_at_once_the_shortest() {
        let mut grants = Grants::new();
        for peer in 0..GRANTED_AT_ONCE as u32 {
            assert!(tell(&mut grants, peer, came(0, 4 * LONG)) & 1 << peer != 0);
        }
        assert_eq!(tell(&mut grants, 10, came(0, 5 * LONG)), 0);
        // It is shorter and takes somebody's place.
        assert_eq!(tell(&mut grants, 11, came(0, LONG)), 1 << 11);
        assert_eq!(tell(&mut grants, 12, came(0, 2 * LONG)), 1 << 12);
        // The next is the shortest of those that wait.
        let mut who = 0;
        grants.settled(&11, MESSAGE, &mut |peer, _, _| who = *peer);
        assert!(who < GRANTED_AT_ONCE as u32);
    }

    #[test]
    fn the_oldest_has_a_share() {
        let mut grants = Grants::new();
        for peer in 0..GRANTED_AT_ONCE as u32 {
            tell(&mut grants, peer, came(0, 2 * LONG));
        }
        tell(&mut grants, 20, came(0, 100 * LONG));
        for peer in 21..30 {
            tell(&mut grants, peer, came(0, 3 * LONG));
        }
        let mut oldest = 0;
        for round in 100..100 + u64::from(OLDEST_EACH) {
            tell(&mut grants, 31, came(0, LONG));
            grants.settled(&31, MESSAGE, &mut |peer, _, _| {
                oldest += u32::from(*peer == 20)
            });
            tell(&mut grants, 30, came(0, LONG + round));
            grants.settled(&30, MESSAGE, &mut |peer, _, _| {
                oldest += u32::from(*peer == 20)
            });
        }
        assert!(oldest > 0);
    }

    #[test]
    fn who_does_not_use_a_grant_loses_it() {
        let mut grants = Grants::new();
        for peer in 0..=GRANTED_AT_ONCE as u32 {
            tell(&mut grants, peer, came(0, LONG + u64::from(peer)));
        }
        let mut who = None;
        grants.stalled(&0, MESSAGE, &mut |peer, _, _| who = Some(*peer));
        assert_eq!(who, Some(GRANTED_AT_ONCE as u32));
        // It waits, and is no worse off than others.
        grants.settled(&1, MESSAGE, &mut |peer, _, _| who = Some(*peer));
        assert_eq!(who, Some(0));
        assert!(position(&grants.granted, &0, MESSAGE).is_some());
    }

    #[test]
    fn who_gets_a_place_learns_that_though_it_may_send_more_than_its_share() {
        let mut grants = Grants::new();
        let mut progress = came(1_000, LONG);
        progress.limit = 2 * u64::from(GRANTED_BYTES);
        assert_eq!(tell(&mut grants, 7, progress), 1 << 7);
        // Once.
        assert_eq!(tell(&mut grants, 7, progress), 0);
    }

    #[test]
    fn a_share_is_a_packet_at_least() {
        let mut grants = Grants::new();
        let mut limits = [0; GRANTED_AT_ONCE];
        for peer in 0..GRANTED_AT_ONCE as u32 {
            let mut progress = came(0, LONG);
            progress.step = GRANTED_BYTES;
            grants.progress(peer, MESSAGE, progress, &mut |peer, _, to| {
                limits[*peer as usize] = to;
            });
        }
        assert!(limits.iter().all(|to| *to == u64::from(GRANTED_BYTES)));
    }

    #[test]
    fn limits_grow_with_what_arrives_to_the_end() {
        let mut grants = Grants::new();
        let (mut limit, mut arrived) = (64 << 10, 0);
        while arrived < LONG {
            arrived = limit;
            let mut progress = came(arrived, LONG);
            progress.limit = limit;
            grants.progress(0, MESSAGE, progress, &mut |_, _, to| {
                assert!(to > limit && to <= LONG);
                limit = to;
            });
        }
        assert_eq!(limit, LONG);
        grants.settled(&0, MESSAGE, &mut |_, _, _| {});
        assert!(grants.granted.is_empty());
    }

    #[test]
    fn connections_have_turns() {
        let connection = |peer: u32| Transfer::Connection(Number(peer));
        let mut grants = Grants::new();
        let count = 2 * GRANTED_AT_ONCE;
        let mut limits = KVec::new();
        for peer in 0..count as u32 {
            limits.push(0, GFP_KERNEL).unwrap();
            let tell = &mut |peer: &u32, _, limit| limits[*peer as usize] = limit;
            grants.progress(peer, connection(peer), came(0, LONG), tell);
        }
        // All use what they are granted, and always have more.
        for _ in 0..1_000 {
            for peer in 0..count as u32 {
                let arrived = limits[peer as usize];
                let mut progress = came(arrived, arrived + LONG);
                progress.endless = true;
                let tell = &mut |peer: &u32, _, limit| limits[*peer as usize] = limit;
                grants.progress(peer, connection(peer), progress, tell);
            }
        }
        let least = limits.iter().min().copied().unwrap_or(0);
        let most = limits.iter().max().copied().unwrap_or(0);
        assert!(least > 10 * LONG);
        assert!(most - least <= 4 * LONG);
    }

    #[test]
    fn who_is_alone_goes_on() {
        let mut grants = Grants::new();
        let (mut limit, mut arrived) = (0, 0);
        for _ in 0..100 {
            // It has never more than a packet to send.
            let mut progress = came(arrived, arrived + 1_000);
            progress.endless = true;
            let mut now = limit;
            grants.progress(
                0,
                Transfer::Connection(Number(1)),
                progress,
                &mut |_, _, to| now = to,
            );
            assert!(now >= arrived + u64::from(GRANTED_BYTES));
            (limit, arrived) = (now, now);
        }
    }

    #[test]
    fn who_is_alone_has_more_until_others_come() {
        let mut grants = Grants::new();
        let mut progress = came(0, LONG);
        progress.endless = true;
        let mut granted = |peer: u32, progress| {
            let mut own = 0;
            let transfer = Transfer::Connection(Number(peer));
            grants.progress(peer, transfer, progress, &mut |who, _, to| {
                if *who == peer {
                    own = to;
                }
            });
            own
        };
        assert_eq!(granted(1, progress), u64::from(GRANTED_ALONE));
        assert_eq!(granted(2, progress), u64::from(GRANTED_BYTES / 2));
    }

    #[test]
    fn a_grant_that_is_lost_is_given_again() {
        let mut grants = Grants::new();
        let places = GRANTED_AT_ONCE as u32;
        for peer in 0..places {
            grants.progress(peer, MESSAGE, came(0, LONG), &mut |_, _, _| {});
        }
        // Another waits for a place, and is granted one when that is free; but is not told.
        let (own, total) = (LONG, 3 * LONG);
        let mut progress = came(own, total);
        progress.limit = own;
        grants.progress(places, MESSAGE, progress, &mut |_, _, _| {});
        let mut lost = None;
        grants.settled(&0, MESSAGE, &mut |peer, _, to| lost = Some((*peer, to)));
        assert!(lost.is_some_and(|(peer, to)| peer == places && to > own));
        let mut limit = own;
        let tell = &mut |peer: &u32, _, to| {
            if *peer == places {
                limit = to;
            }
        };
        grants.progress(places, MESSAGE, progress, tell);
        assert!(limit > own);
    }

    #[test]
    fn no_more_wait_than_there_is_room_for() {
        let mut grants = Grants::new();
        for peer in 0..2 * MAX_GRANTS_WAITING as u32 {
            grants.progress(peer, MESSAGE, came(0, LONG), &mut |_, _, _| {});
        }
        assert_eq!(grants.waiting.len(), MAX_GRANTS_WAITING);
    }
}
