// SPDX-License-Identifier: GPL-2.0

//! Which messages go on that arrive at a device and are too long to be sent unasked.
//!
//! A few are granted at once, mostly those with the least to go, so that the link is never without
//! work and no queue builds up before it. Now and then the oldest is granted instead, so that none
//! starves. A sender that does not use what it was granted loses its place to those who wait.

use super::{
    host::Progress,
    id::Id,
    limits::{
        GRANTED_AT_ONCE,
        GRANTED_BYTES,
        MAX_GRANTS_WAITING,
        OLDEST_EACH, //
    },
};
use kernel::prelude::*;

/// A message that needs grants.
struct Candidate<K> {
    peer: K,
    id: Id,
    progress: Progress,
}

impl<K> Candidate<K> {
    fn remaining(&self) -> u32 {
        self.progress.total.saturating_sub(self.progress.arrived)
    }
}

/// The messages that arrive at a device and need grants. `K` tells from which peer.
pub(crate) struct Grants<K> {
    /// At most [`GRANTED_AT_ONCE`].
    granted: KVec<Candidate<K>>,
    /// The oldest first.
    waiting: KVec<Candidate<K>>,
    turns: u32,
}

fn position<K: PartialEq>(list: &[Candidate<K>], peer: &K, id: Id) -> Option<usize> {
    list.iter()
        .position(|candidate| candidate.id == id && candidate.peer == *peer)
}

impl<K: PartialEq> Grants<K> {
    pub(crate) const fn new() -> Self {
        Self {
            granted: KVec::new(),
            waiting: KVec::new(),
            turns: 0,
        }
    }

    /// Takes note how far a message has come. `grant` is told who may send up to where.
    ///
    /// If there are too many, or memory is short, it has to be told again.
    pub(crate) fn progress(
        &mut self,
        peer: K,
        id: Id,
        progress: Progress,
        grant: &mut impl FnMut(&K, Id, u32),
    ) {
        let granted = position(&self.granted, &peer, id);
        if let Some(known) = granted.and_then(|at| self.granted.get_mut(at)) {
            known.progress.arrived = progress.arrived;
        } else {
            self.wait(peer, id, progress);
            self.yield_to_shorter(progress);
        }
        self.fill(grant);
    }

    /// Takes note that a message does not go on although it was granted.
    pub(crate) fn stalled(&mut self, peer: &K, id: Id, grant: &mut impl FnMut(&K, Id, u32)) {
        if self.waiting.is_empty() {
            return;
        }
        if let Some(at) = position(&self.granted, peer, id) {
            // The others first; among them there is one at least.
            let stalled = self.granted.remove(at);
            self.fill(grant);
            if let Ok(stalled) = stalled {
                self.put_back(stalled);
            }
        }
    }

    /// Takes a message out, which has arrived or was given up.
    pub(crate) fn settled(&mut self, peer: &K, id: Id, grant: &mut impl FnMut(&K, Id, u32)) {
        if let Some(at) = position(&self.granted, peer, id) {
            let _ = self.granted.remove(at);
            self.fill(grant);
        } else if let Some(at) = position(&self.waiting, peer, id) {
            let _ = self.waiting.remove(at);
        }
    }

    /// Takes all messages of a peer out.
    pub(crate) fn forget(&mut self, peer: &K) {
        self.granted.retain(|candidate| candidate.peer != *peer);
        self.waiting.retain(|candidate| candidate.peer != *peer);
    }

    fn wait(&mut self, peer: K, id: Id, progress: Progress) {
        if let Some(at) = position(&self.waiting, &peer, id) {
            if let Some(known) = self.waiting.get_mut(at) {
                known.progress = progress;
            }
            return;
        }
        self.put_back(Candidate { peer, id, progress });
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
    fn fill(&mut self, grant: &mut impl FnMut(&K, Id, u32)) {
        while self.granted.len() < GRANTED_AT_ONCE && self.granted.reserve(1, GFP_ATOMIC).is_ok() {
            let next = self.choose().and_then(|at| self.waiting.remove(at).ok());
            let Some(next) = next else {
                break;
            };
            let _ = self.granted.push_within_capacity(next);
        }
        let share = GRANTED_BYTES
            .checked_div(self.granted.len() as u32)
            .unwrap_or(0);
        for Candidate { peer, id, progress } in &mut self.granted {
            let limit = progress.arrived.saturating_add(share).min(progress.total);
            let more = limit.saturating_sub(progress.limit);
            // As much as is worth a packet.
            if more >= share / 8 || more > 0 && limit == progress.total {
                progress.limit = limit;
                grant(peer, *id, limit);
            }
        }
    }

    /// Returns where in `waiting` the message is whose turn it is.
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

    const LONG: u32 = 1 << 20;

    fn came(arrived: u32, total: u32) -> Progress {
        Progress {
            total,
            arrived,
            limit: 0,
        }
    }

    /// Tells of a message from `peer`, and returns who is granted, as bits.
    fn tell(grants: &mut Grants<u32>, peer: u32, progress: Progress) -> u32 {
        let mut who = 0;
        grants.progress(peer, Id(0), progress, &mut |peer, _, _| who |= 1 << peer);
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
        grants.settled(&11, Id(0), &mut |peer, _, _| who = *peer);
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
        for round in 100..100 + OLDEST_EACH {
            tell(&mut grants, 31, came(0, LONG));
            grants.settled(&31, Id(0), &mut |peer, _, _| {
                oldest += u32::from(*peer == 20)
            });
            tell(&mut grants, 30, came(0, LONG + round));
            grants.settled(&30, Id(0), &mut |peer, _, _| {
                oldest += u32::from(*peer == 20)
            });
        }
        assert!(oldest > 0);
    }

    #[test]
    fn who_does_not_use_a_grant_loses_it() {
        let mut grants = Grants::new();
        for peer in 0..=GRANTED_AT_ONCE as u32 {
            tell(&mut grants, peer, came(0, LONG + peer));
        }
        let mut who = None;
        grants.stalled(&0, Id(0), &mut |peer, _, _| who = Some(*peer));
        assert_eq!(who, Some(GRANTED_AT_ONCE as u32));
        // It waits, and is no worse off than others.
        grants.settled(&1, Id(0), &mut |peer, _, _| who = Some(*peer));
        assert_eq!(who, Some(GRANTED_AT_ONCE as u32));
        assert!(position(&grants.granted, &0, Id(0)).is_some());
    }

    #[test]
    fn limits_grow_with_what_arrives_to_the_end() {
        let mut grants = Grants::new();
        let (mut limit, mut arrived) = (64 << 10, 0);
        while arrived < LONG {
            arrived = limit;
            let mut progress = came(arrived, LONG);
            progress.limit = limit;
            grants.progress(0, Id(0), progress, &mut |_, _, to| {
                assert!(to > limit && to <= LONG);
                limit = to;
            });
        }
        assert_eq!(limit, LONG);
        grants.forget(&0);
        assert!(grants.granted.is_empty());
    }

    #[test]
    fn no_more_wait_than_there_is_room_for() {
        let mut grants = Grants::new();
        for peer in 0..2 * MAX_GRANTS_WAITING as u32 {
            grants.progress(peer, Id(0), came(0, LONG), &mut |_, _, _| {});
        }
        assert_eq!(grants.waiting.len(), MAX_GRANTS_WAITING);
    }
}
