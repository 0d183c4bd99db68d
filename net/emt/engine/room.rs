// SPDX-License-Identifier: GPL-2.0

//! Who waits for room in a socket's receive buffer, and whose turn it is.
//!
//! A peer whose message found no room is remembered, in the order of arrival, and told when there
//! is some, with its share. What it is told is a hint: a peer that is not told, or whose hint is
//! lost, tries again by itself. A message that is larger than the whole buffer is let in when that
//! is empty; until then nobody else is, or it might wait for ever.

use super::{
    fifo::Fifo,
    limits::{
        BARRIER_IDLE,
        BARRIER_TIME,
        MAX_WAITERS,
        MIN_SHARE,
        PARK_RETRY, //
    },
    time::Instant, //
};
use kernel::prelude::*;

/// A peer with a message that is larger than the buffer.
struct Barrier<K> {
    peer: K,
    /// Until when it keeps others out, unless it comes or asks again.
    until: Instant,
    /// Whether it was told that the buffer is empty.
    told: bool,
}

/// The peers that wait for room in a socket's receive buffer. `K` tells which.
pub(crate) struct Waiters<K> {
    queue: Fifo<K>,
    barrier: Option<Barrier<K>>,
    /// How many bytes those were told of who have not come.
    promised: u32,
    /// When somebody was told last.
    told: Instant,
    /// When somebody wanted to come in last.
    asked: Instant,
}

impl<K: PartialEq + Clone> Waiters<K> {
    pub(crate) const fn new() -> Self {
        Self {
            queue: Fifo::new(),
            barrier: None,
            promised: 0,
            told: Instant(0),
            asked: Instant(0),
        }
    }

    /// Returns whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.barrier.is_none()
    }

    /// Returns whether a message may come in from `peer`, if there is room for it.
    ///
    /// If it does not find room, or may not, [`turned_away`](Self::turned_away) is to be told.
    pub(crate) fn may_enter(&mut self, now: Instant, peer: &K) -> bool {
        self.asked = now;
        match &self.barrier {
            Some(barrier) if barrier.until <= now => {
                self.barrier = None;
                true
            }
            Some(barrier) => barrier.peer == *peer,
            None => true,
        }
    }

    /// Takes note that a message of `bytes` has come in from `peer`.
    pub(crate) fn entered(&mut self, peer: &K, bytes: u32) {
        self.promised = self.promised.saturating_sub(bytes);
        if self
            .barrier
            .as_ref()
            .is_some_and(|barrier| barrier.peer == *peer)
        {
            self.barrier = None;
        }
    }

    /// Remembers that a message found no room, or was not let in; `oversize` if it is larger than
    /// the whole buffer.
    pub(crate) fn turned_away(&mut self, peer: K, oversize: bool) {
        let until = self.asked.plus(BARRIER_IDLE);
        match &mut self.barrier {
            None if oversize => {
                let told = false;
                self.barrier = Some(Barrier { peer, until, told });
                return;
            }
            Some(barrier) if barrier.peer == peer => {
                if !barrier.told {
                    barrier.until = until;
                }
                return;
            }
            _ => {}
        }
        let known = self.queue.iter().any(|known| *known == peer);
        if !known && self.queue.len() < MAX_WAITERS {
            // Who is not remembered tries again by itself.
            let _ = self.queue.push_back(peer, GFP_ATOMIC);
        }
    }

    /// Takes note that there is room for `free` of `capacity` bytes. `wake` is told whom to tell of
    /// how many.
    pub(crate) fn freed(
        &mut self,
        now: Instant,
        free: u32,
        capacity: u32,
        wake: &mut impl FnMut(K, u32),
    ) {
        if let Some(barrier) = &mut self.barrier {
            if free >= capacity && !barrier.told {
                barrier.told = true;
                barrier.until = now.plus(BARRIER_TIME);
                wake(barrier.peer.clone(), u32::MAX);
            }
            return;
        }
        if now.since(self.told) >= PARK_RETRY {
            // They have had their time.
            self.promised = 0;
        }
        let free = free.saturating_sub(self.promised);
        // A few large pieces are better than many small ones.
        if self.queue.is_empty() || free < capacity / 4 {
            return;
        }
        let count = (free / MIN_SHARE).clamp(1, self.queue.len() as u32);
        for _ in 0..count {
            if let Some(peer) = self.queue.pop_front() {
                self.promised = self.promised.saturating_add(free / count);
                wake(peer, free / count);
            }
        }
        self.queue.shrink();
        self.told = now;
    }

    /// Forgets a peer.
    pub(crate) fn forget(&mut self, peer: &K) {
        for _ in 0..self.queue.len() {
            if let Some(known) = self.queue.pop_front() {
                if known != *peer {
                    let _ = self.queue.push_back(known, GFP_ATOMIC);
                }
            }
        }
        if self
            .barrier
            .as_ref()
            .is_some_and(|barrier| barrier.peer == *peer)
        {
            self.barrier = None;
        }
    }
}

#[kernel::macros::kunit_tests(emt_room)]
mod tests {
    use super::*;

    const CAPACITY: u32 = 100_000;

    /// Frees room, and returns who is woken, as bits, and how many bytes all of them are told of.
    fn freed(waiters: &mut Waiters<u32>, now: Instant, free: u32) -> (u32, u64) {
        let (mut who, mut bytes) = (0, 0);
        waiters.freed(now, free, CAPACITY, &mut |peer, share| {
            who |= 1 << peer;
            bytes += u64::from(share);
        });
        (who, bytes)
    }

    #[test]
    fn who_waits_longest_is_woken_first() {
        let mut waiters = Waiters::new();
        for peer in [3, 1, 2, 1] {
            waiters.turned_away(peer, false);
        }
        assert_eq!(freed(&mut waiters, Instant(1), CAPACITY / 4 - 1), (0, 0));
        let mut first = None;
        waiters.freed(Instant(1), CAPACITY / 4, CAPACITY, &mut |peer, _| {
            first.get_or_insert(peer);
        });
        assert_eq!(first, Some(3));
    }

    #[test]
    fn room_is_promised_once() {
        let mut waiters = Waiters::new();
        for peer in 0..20 {
            waiters.turned_away(peer, false);
        }
        let (who, bytes) = freed(&mut waiters, Instant(1), CAPACITY / 2);
        assert!(who != 0 && bytes <= u64::from(CAPACITY / 2));
        assert_eq!(freed(&mut waiters, Instant(2), CAPACITY / 2), (0, 0));
        // They come, or they do not.
        waiters.entered(&0, CAPACITY / 2);
        assert!(freed(&mut waiters, Instant(3), CAPACITY / 2).0 != 0);
        let (who, _) = freed(&mut waiters, Instant(3).plus(PARK_RETRY), CAPACITY / 2);
        assert!(who != 0 || waiters.is_empty());
    }

    #[test]
    fn a_message_larger_than_the_buffer_has_it_for_itself() {
        let mut waiters = Waiters::new();
        waiters.turned_away(1, false);
        waiters.turned_away(2, true);
        assert!(!waiters.may_enter(Instant(1), &1));
        assert!(waiters.may_enter(Instant(1), &2));
        assert_eq!(freed(&mut waiters, Instant(1), CAPACITY / 2), (0, 0));
        let woken = freed(&mut waiters, Instant(2), CAPACITY);
        assert_eq!(woken, (1 << 2, u64::from(u32::MAX)));
        waiters.entered(&2, 2 * CAPACITY);
        assert!(waiters.may_enter(Instant(3), &1));
        assert_eq!(freed(&mut waiters, Instant(3), CAPACITY).0, 1 << 1);
        assert!(waiters.is_empty());
    }

    #[test]
    fn who_does_not_come_keeps_nobody_out() {
        let mut waiters = Waiters::new();
        waiters.turned_away(2, true);
        freed(&mut waiters, Instant(1), CAPACITY);
        assert!(!waiters.may_enter(Instant(BARRIER_TIME), &1));
        assert!(waiters.may_enter(Instant(1).plus(BARRIER_TIME), &1));
        // Nor who is never told, if it does not ask again.
        waiters.turned_away(2, true);
        let asked = Instant(2).plus(BARRIER_TIME);
        assert!(waiters.may_enter(asked, &2));
        waiters.turned_away(2, true);
        assert!(!waiters.may_enter(Instant(BARRIER_IDLE).plus(BARRIER_TIME), &1));
        assert!(waiters.may_enter(asked.plus(BARRIER_IDLE), &1));
        waiters.turned_away(3, true);
        waiters.forget(&3);
        assert!(waiters.is_empty());
    }
}
