// SPDX-License-Identifier: GPL-2.0

//! Who waits for room in a socket's receive buffer, and whose turn it is.
//!
//! A peer whose message found no room is remembered, in the order of arrival, with how much it
//! wants, and who comes later waits behind it. When there is room for the first, it is told, and
//! its room is kept for a while, or until it says that it needs no more. What it is told is a hint:
//! a peer that is not told, or whose hint is lost, tries again by itself, and then takes what is
//! free. A message that is larger than the
//! whole buffer wants all of it: its turn comes when the buffer is empty.

use super::{
    fifo::Fifo,
    limits::{
        HEAD_IDLE,
        MAX_WAITERS,
        MIN_SHARE,
        PARK_RETRY,
        PROMISE_TIME, //
    },
    time::Instant, //
};
use kernel::prelude::*;

/// A peer that waits.
struct Waiter<K> {
    peer: K,
    /// What its message takes of the buffer.
    bytes: u32,
    /// When it asked last.
    asked: Instant,
}

/// Room that is kept for a peer, which was told of it.
struct Promise<K> {
    peer: K,
    bytes: u32,
    until: Instant,
}

/// How much room there is in a buffer.
#[derive(Clone, Copy)]
pub(crate) struct Buffer {
    pub(crate) free: u32,
    pub(crate) capacity: u32,
}

/// The peers that wait for room in a socket's receive buffer. `K` tells which.
pub(crate) struct Waiters<K> {
    queue: Fifo<Waiter<K>>,
    /// The oldest first.
    promises: Fifo<Promise<K>>,
}

impl<K: PartialEq + Clone> Waiters<K> {
    pub(crate) const fn new() -> Self {
        Self {
            queue: Fifo::new(),
            promises: Fifo::new(),
        }
    }

    /// Returns whether nobody waits, and nothing is promised.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.promises.is_empty()
    }

    /// Returns how much is promised to others than `peer`.
    fn promised(&self, peer: Option<&K>) -> u32 {
        let others = self.promises.iter();
        others
            .filter(|promise| Some(&promise.peer) != peer)
            .fold(0, |sum, promise| sum.saturating_add(promise.bytes))
    }

    fn expire(&mut self, now: Instant) {
        while let Some(promise) = self.promises.front() {
            if now < promise.until {
                break;
            }
            self.promises.pop_front();
        }
    }

    /// Returns whether a message of `bytes` may come in from `peer`. Then
    /// [`entered`](Self::entered) is to be told, and [`turned_away`](Self::turned_away) if not.
    pub(crate) fn may_enter(&mut self, now: Instant, peer: &K, bytes: u32, buffer: Buffer) -> bool {
        self.expire(now);
        let free = buffer.free.saturating_sub(self.promised(Some(peer)));
        if bytes.min(buffer.capacity) > free {
            return false;
        }
        let Some(head) = self.queue.front() else {
            return true;
        };
        if head.peer == *peer || self.promises.iter().any(|promise| promise.peer == *peer) {
            return true;
        }
        // Who tries again, or cannot be remembered, takes what is free, as those before it may
        // never come. But what needs most of the buffer would never find it so empty.
        let patient = head.bytes > buffer.capacity / 2 && now < head.asked.plus(HEAD_IDLE);
        !patient && (self.queue.len() >= MAX_WAITERS || self.tries_again(now, peer))
    }

    /// Returns whether a peer has waited for as long as it does before it tries again unasked.
    fn tries_again(&self, now: Instant, peer: &K) -> bool {
        let mut waiters = self.queue.iter();
        waiters.any(|waiter| waiter.peer == *peer && now >= waiter.asked.plus(PARK_RETRY / 2))
    }

    /// Takes note that a message of `bytes` has come in from `peer`.
    pub(crate) fn entered(&mut self, peer: &K, bytes: u32) {
        if self.queue.front().is_some_and(|head| head.peer == *peer) {
            self.queue.pop_front();
        }
        self.use_up(peer, bytes);
        self.shrink();
    }

    /// Promises `peer` less, by so many bytes.
    fn use_up(&mut self, peer: &K, bytes: u32) {
        for _ in 0..self.promises.len() {
            let Some(mut promise) = self.promises.pop_front() else {
                break;
            };
            if promise.peer == *peer {
                promise.bytes = promise.bytes.saturating_sub(bytes);
            }
            if promise.bytes > 0 {
                // There is room: it has just been taken out.
                let _ = self.promises.push_back(promise, GFP_ATOMIC);
            }
        }
    }

    /// Takes note that `peer` needs no more room, for now; returns whether there may be more for
    /// others.
    pub(crate) fn released(&mut self, peer: &K) -> bool {
        let before = self.promises.len();
        self.use_up(peer, u32::MAX);
        self.promises.len() < before && !self.queue.is_empty()
    }

    /// Remembers that a message of `bytes` found no room, or was not let in.
    pub(crate) fn turned_away(&mut self, now: Instant, peer: K, bytes: u32) {
        let mut known = false;
        for at in 0..self.queue.len() {
            if let Some(waiter) = self.queue.get_mut(at).filter(|waiter| waiter.peer == peer) {
                waiter.bytes = bytes;
                waiter.asked = now;
                known = true;
            }
        }
        if !known && self.queue.len() < MAX_WAITERS {
            let waiter = Waiter {
                peer,
                bytes,
                asked: now,
            };
            // Who is not remembered tries again by itself.
            let _ = self.queue.push_back(waiter, GFP_ATOMIC);
        }
    }

    /// Takes note that there is room. `wake` is told whom to tell of how many bytes.
    pub(crate) fn freed(&mut self, now: Instant, buffer: Buffer, wake: &mut impl FnMut(K, u32)) {
        self.expire(now);
        let mut free = buffer.free.saturating_sub(self.promised(None));
        // A few large pieces are better than many small ones.
        while free >= buffer.capacity / 4 {
            let others = self.queue.len() as u32;
            let Some(head) = self.queue.front() else {
                break;
            };
            let wanted = head.bytes.min(buffer.capacity);
            if wanted > free {
                break;
            }
            let even = free.checked_div(others).unwrap_or(free);
            let bytes = wanted.max(even).max(MIN_SHARE).min(free);
            let Some(Waiter { peer, .. }) = self.queue.pop_front() else {
                break;
            };
            let promise = Promise {
                peer: peer.clone(),
                bytes,
                until: now.plus(PROMISE_TIME),
            };
            // If memory is short, others may come before it.
            let _ = self.promises.push_back(promise, GFP_ATOMIC);
            free -= bytes;
            wake(peer, bytes);
        }
        self.shrink();
    }

    fn shrink(&mut self) {
        self.queue.shrink();
        self.promises.shrink();
    }
}

#[kernel::macros::kunit_tests(emt_room)]
mod tests {
    use super::*;

    const CAPACITY: u32 = 100_000;

    fn room(free: u32) -> Buffer {
        let capacity = CAPACITY;
        Buffer { free, capacity }
    }

    /// Frees room, and returns who is woken, as bits, and how many bytes all of them are told of.
    fn freed(waiters: &mut Waiters<u32>, now: Instant, free: u32) -> (u32, u32) {
        let (mut who, mut bytes) = (0, 0);
        waiters.freed(now, room(free), &mut |peer, share| {
            who |= 1 << peer;
            bytes += share;
        });
        (who, bytes)
    }

    /// Lets a message in, or remembers that there was no room for it.
    fn try_enter(
        waiters: &mut Waiters<u32>,
        now: Instant,
        peer: u32,
        bytes: u32,
        free: u32,
    ) -> bool {
        let may = waiters.may_enter(now, &peer, bytes, room(free));
        if may {
            waiters.entered(&peer, bytes);
        } else {
            waiters.turned_away(now, peer, bytes);
        }
        may
    }

    #[test]
    fn who_waits_longest_is_told_first_and_of_what_it_wants() {
        let (mut waiters, now) = (Waiters::new(), Instant(1));
        for peer in [3, 1, 2, 1] {
            assert!(!try_enter(&mut waiters, now, peer, 40_000, 0));
        }
        assert_eq!(freed(&mut waiters, now, 39_999), (0, 0));
        assert_eq!(freed(&mut waiters, now, 40_000), (1 << 3, 40_000));
        // What is promised is not free.
        assert_eq!(freed(&mut waiters, now, 79_999), (0, 0));
        assert_eq!(freed(&mut waiters, now, 80_000), (1 << 1, 40_000));
    }

    #[test]
    fn room_is_kept_for_those_who_were_told() {
        let (mut waiters, now) = (Waiters::new(), Instant(1));
        assert!(!try_enter(&mut waiters, now, 1, 40_000, 0));
        assert_eq!(freed(&mut waiters, now, 60_000), (1 << 1, 60_000));
        assert!(!try_enter(&mut waiters, now, 2, 10_000, 60_000));
        assert!(try_enter(&mut waiters, now, 1, 40_000, 60_000));
        // It may send more, until it has had its share.
        assert!(try_enter(&mut waiters, now, 1, 20_000, 20_000));
        assert!(try_enter(&mut waiters, now, 2, 10_000, 10_000));
        assert!(waiters.is_empty());
    }

    #[test]
    fn what_is_promised_and_not_used_is_free_again() {
        let (mut waiters, now) = (Waiters::new(), Instant(1));
        assert!(!try_enter(&mut waiters, now, 1, 40_000, 0));
        freed(&mut waiters, now, CAPACITY);
        assert!(!waiters.may_enter(now, &2, 1_000, room(CAPACITY)));
        assert!(waiters.may_enter(now.plus(PROMISE_TIME), &2, 1_000, room(CAPACITY)));
        assert!(waiters.is_empty());
    }

    #[test]
    fn what_is_promised_and_not_needed_is_for_others() {
        let (mut waiters, now) = (Waiters::new(), Instant(1));
        for peer in [1, 2] {
            assert!(!try_enter(&mut waiters, now, peer, 1_000, 0));
        }
        assert_eq!(freed(&mut waiters, now, MIN_SHARE), (1 << 1, MIN_SHARE));
        assert!(try_enter(&mut waiters, now, 1, 1_000, MIN_SHARE));
        let left = MIN_SHARE - 1_000;
        assert_eq!(freed(&mut waiters, now, left), (0, 0));
        // Nothing was promised to it.
        assert!(!waiters.released(&2));
        assert!(waiters.released(&1));
        assert_eq!(freed(&mut waiters, now, left), (1 << 2, left));
        // Nobody is left who waits.
        assert!(!waiters.released(&2));
        assert!(waiters.is_empty());
    }

    #[test]
    fn who_comes_later_waits_behind_the_others() {
        let (mut waiters, now) = (Waiters::new(), Instant(1));
        assert!(!try_enter(&mut waiters, now, 1, 40_000, 30_000));
        assert!(!try_enter(&mut waiters, now, 2, 1_000, 30_000));
        assert!(!try_enter(&mut waiters, now, 2, 1_000, 30_000));
        // But if it tries again after a while, the first may be gone.
        assert!(try_enter(
            &mut waiters,
            now.plus(PARK_RETRY),
            2,
            1_000,
            30_000
        ));
    }

    #[test]
    fn a_message_larger_than_the_buffer_has_it_for_itself() {
        let (mut waiters, now) = (Waiters::new(), Instant(1));
        let large = 10 * CAPACITY;
        assert!(!try_enter(&mut waiters, now, 1, large, 99_000));
        for at in [now, now.plus(PARK_RETRY)] {
            assert!(!try_enter(&mut waiters, at, 2, 1_000, 99_000));
        }
        assert_eq!(freed(&mut waiters, now, CAPACITY - 1), (0, 0));
        assert_eq!(freed(&mut waiters, now, CAPACITY), (1 << 1, CAPACITY));
        assert!(try_enter(&mut waiters, now, 1, large, CAPACITY));
        assert!(!try_enter(&mut waiters, now, 2, 1_000, 0));
        assert_eq!(freed(&mut waiters, now, CAPACITY).0, 1 << 2);
    }

    #[test]
    fn who_never_asks_again_keeps_nobody_out_for_long() {
        let (mut waiters, now) = (Waiters::new(), Instant(1));
        assert!(!try_enter(&mut waiters, now, 1, 10 * CAPACITY, 99_000));
        assert!(!try_enter(&mut waiters, now, 2, 1_000, 99_000));
        let later = now.plus(HEAD_IDLE);
        assert!(!waiters.may_enter(Instant(later.0 - 1), &2, 1_000, room(99_000)));
        assert!(waiters.may_enter(later, &2, 1_000, room(99_000)));
    }

    #[test]
    fn no_more_are_remembered_than_there_are_places_and_none_is_kept_out() {
        let (mut waiters, now) = (Waiters::new(), Instant(1));
        for peer in 0..MAX_WAITERS as u32 {
            assert!(!try_enter(&mut waiters, now, peer, 40_000, 30_000));
        }
        assert!(!try_enter(&mut waiters, now, 5_000, 40_000, 30_000));
        assert_eq!(waiters.queue.len(), MAX_WAITERS);
        assert!(try_enter(&mut waiters, now, 5_000, 30_000, 30_000));
    }
}
