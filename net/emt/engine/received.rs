// SPDX-License-Identifier: GPL-2.0

//! Which transfers have come to an end here: exact, and in little memory.

use super::{
    id::Id,
    limits::WINDOW, //
};

const WORDS: usize = WINDOW as usize / u64::BITS as usize;
const _: () = assert!(WINDOW.is_power_of_two() && WORDS > 0);

/// A set of numbers of which the newest is less than [`WINDOW`] after the oldest.
struct Bits([u64; WORDS]);

impl Bits {
    const fn place(id: Id) -> (usize, u64) {
        let bit = id.0 % WINDOW;
        ((bit / u64::BITS) as usize, 1 << (bit % u64::BITS))
    }

    fn has(&self, id: Id) -> bool {
        let (word, bit) = Self::place(id);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }

    fn set(&mut self, id: Id, value: bool) {
        let (word, bit) = Self::place(id);
        if let Some(word) = self.0.get_mut(word) {
            *word = if value { *word | bit } else { *word & !bit };
        }
    }
}

/// What is known of a transfer that comes to this host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Status {
    /// Nothing, or it is under way.
    Open,
    /// It was delivered, or its sender has given it up.
    Finished,
    /// It was turned away and must not be delivered any more.
    TurnedAway,
}

/// The transfers of one peer, as far as they have ended.
///
/// A transfer that was turned away does not count as finished: `floor` does not pass it, and no
/// acknowledgment includes it, until its sender has noticed.
pub(crate) struct Received {
    /// All before it have ended.
    floor: Id,
    finished: Bits,
    turned_away: Bits,
}

impl Received {
    pub(crate) const fn new() -> Self {
        Self {
            floor: Id(0),
            finished: Bits([0; WORDS]),
            turned_away: Bits([0; WORDS]),
        }
    }

    /// Returns the oldest transfer that has not finished.
    pub(crate) fn floor(&self) -> Id {
        self.floor
    }

    /// Returns what is known of `id`, which is less than [`WINDOW`] after what the sender told
    /// [`advance`](Self::advance).
    pub(crate) fn status(&self, id: Id) -> Status {
        if id.after(self.floor).is_none() || self.finished.has(id) {
            Status::Finished
        } else if self.turned_away.has(id) {
            Status::TurnedAway
        } else {
            Status::Open
        }
    }

    /// Takes note that the sender has ended all before `base`; returns whether that is news.
    ///
    /// What was under way of these will not be completed. Bounded by [`WINDOW`].
    pub(crate) fn advance(&mut self, base: Id) -> bool {
        let distance = match base.after(self.floor) {
            None | Some(0) => return false,
            Some(distance) => distance,
        };
        if distance >= WINDOW {
            *self = Self::new();
            self.floor = base;
            return true;
        }
        for _ in 0..distance {
            self.pass();
        }
        self.settle();
        true
    }

    /// Takes note that `id` was delivered.
    pub(crate) fn finish(&mut self, id: Id) {
        self.finished.set(id, true);
        self.settle();
    }

    /// Takes note that `id` was turned away.
    pub(crate) fn turn_away(&mut self, id: Id) {
        self.turned_away.set(id, true);
    }

    /// Returns which of the 32 before `latest` have finished; bit 0 stands for the one before it.
    pub(crate) fn bits_before(&self, latest: Id) -> u32 {
        // What is before the floor has finished.
        let unknown = latest.after(self.floor).unwrap_or(0).min(u32::BITS);
        (0..unknown).fold(u32::MAX, |bits, at| {
            let finished = self.finished.has(latest.minus(at + 1));
            bits & !(u32::from(!finished) << at)
        })
    }

    /// Moves the floor past what has finished.
    fn settle(&mut self) {
        while self.finished.has(self.floor) {
            self.pass();
        }
    }

    /// Moves the floor by one.
    fn pass(&mut self) {
        self.finished.set(self.floor, false);
        self.turned_away.set(self.floor, false);
        self.floor = self.floor.plus(1);
    }
}

#[kernel::macros::kunit_tests(emt_received)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_waits_for_what_is_missing() {
        let mut received = Received::new();
        received.finish(Id(1));
        received.finish(Id(2));
        assert_eq!(received.floor(), Id(0));
        assert_eq!(received.status(Id(0)), Status::Open);
        assert_eq!(received.status(Id(2)), Status::Finished);
        received.finish(Id(0));
        assert_eq!(received.floor(), Id(3));
        assert_eq!(received.status(Id(0)), Status::Finished);
        assert_eq!(received.status(Id(3)), Status::Open);
    }

    #[test]
    fn what_was_turned_away_is_never_acknowledged() {
        let mut received = Received::new();
        received.turn_away(Id(0));
        received.finish(Id(1));
        assert_eq!(received.floor(), Id(0));
        assert_eq!(received.status(Id(0)), Status::TurnedAway);
        assert_eq!(received.bits_before(Id(1)), !1);
        // The sender has noticed.
        received.advance(Id(1));
        assert_eq!(received.floor(), Id(2));
    }

    #[test]
    fn the_places_of_the_old_are_free_for_the_new() {
        let mut received = Received::new();
        for number in 0..5 * WINDOW {
            assert_eq!(received.status(Id(number)), Status::Open);
            if number % 3 == 0 {
                received.turn_away(Id(number));
                assert_eq!(received.status(Id(number)), Status::TurnedAway);
                received.advance(Id(number + 1));
            } else {
                received.finish(Id(number));
            }
            assert_eq!(received.floor(), Id(number + 1));
        }
    }

    #[test]
    fn a_sender_may_have_given_up_any_number() {
        let mut received = Received::new();
        received.finish(Id(5));
        received.turn_away(Id(6));
        received.advance(Id(10 * WINDOW));
        assert_eq!(received.floor(), Id(10 * WINDOW));
        assert_eq!(received.status(Id(10 * WINDOW + 6)), Status::Open);
        // Neither does what is late take it back.
        received.advance(Id(3));
        assert_eq!(received.floor(), Id(10 * WINDOW));
    }

    #[test]
    fn numbers_go_round() {
        let mut received = Received::new();
        received.advance(Id(1 << 30));
        received.advance(Id(1 << 31));
        received.advance(Id(u32::MAX));
        received.finish(Id(0));
        assert_eq!(received.floor(), Id(u32::MAX));
        received.finish(Id(u32::MAX));
        assert_eq!(received.floor(), Id(1));
        assert_eq!(received.status(Id(u32::MAX)), Status::Finished);
    }
}
