// SPDX-License-Identifier: GPL-2.0

//! The round trip, measured, and how long to wait for an answer (RFC 6298).

use super::{
    limits::{
        ACK_DELAY,
        FIRST_RTO,
        LEAST_AGE,
        MAX_RTO,
        MIN_RTO,
        QUEUEING,
        REORDERING, //
    },
    time::{
        Instant,
        Nanos, //
    },
};

/// A smoothed round trip and the timeout that follows from it.
pub(crate) struct Rtt {
    /// 0 until there is a sample.
    srtt: Nanos,
    rttvar: Nanos,
    /// Whether that is a guess, which the first sample replaces.
    guessed: bool,
    /// The shortest of late, which is what it takes without queues; 0 until there is a sample.
    least: Nanos,
    /// Until when that holds, if there is no shorter one: the way may have changed.
    least_until: Instant,
    /// How often the timeout has been doubled.
    backoff: u8,
    /// The timeout that follows from all of these.
    timeout: Nanos,
}

impl Rtt {
    pub(crate) const fn new() -> Self {
        Self {
            srtt: 0,
            rttvar: 0,
            guessed: false,
            least: 0,
            least_until: Instant(0),
            backoff: 0,
            timeout: FIRST_RTO,
        }
    }

    /// Takes a measured round trip.
    ///
    /// Only of packets that were sent once: the answer to another could be to either (Karn's rule).
    pub(crate) fn sample(&mut self, now: Instant, measured: Nanos) {
        let measured = measured.clamp(1, MAX_RTO);
        if self.least == 0 || measured <= self.least || now >= self.least_until {
            self.least = measured;
            self.least_until = now.plus(LEAST_AGE);
        }
        if self.srtt == 0 || self.guessed {
            self.guessed = false;
            self.srtt = measured;
            self.rttvar = measured / 2;
        } else {
            self.rttvar = (3 * self.rttvar + self.srtt.abs_diff(measured)) / 4;
            self.srtt = (7 * self.srtt + measured) / 8;
        }
        self.update();
    }

    /// Takes a time in which a round trip was made, and maybe more. It counts until there is a
    /// sample, or a shorter guess.
    ///
    /// Who only receives has no other.
    pub(crate) fn guess(&mut self, measured: Nanos) {
        let measured = measured.clamp(1, MAX_RTO);
        if self.srtt == 0 || self.guessed && measured < self.srtt {
            self.guessed = true;
            self.srtt = measured;
            self.rttvar = measured / 2;
            self.update();
        }
    }

    /// Returns whether a packet with this round trip has waited in a long queue.
    pub(crate) fn is_queued(&self, measured: Nanos) -> bool {
        measured > self.least.saturating_add(QUEUEING)
    }

    /// Returns the smoothed round trip, or 0 if there is no sample.
    pub(crate) fn smoothed(&self) -> Nanos {
        self.srtt
    }

    /// Returns how long to wait for an answer before asking again.
    ///
    /// The other end may hold an acknowledgment back for [`ACK_DELAY`].
    #[inline]
    pub(crate) fn timeout(&self) -> Nanos {
        self.timeout
    }

    fn update(&mut self) {
        let plain = if self.srtt == 0 {
            FIRST_RTO
        } else {
            (self.srtt + 4 * self.rttvar + ACK_DELAY).max(MIN_RTO)
        };
        self.timeout = plain.saturating_mul(1 << self.backoff).min(MAX_RTO);
    }

    /// Returns how long a packet may be overtaken by others before it counts as lost (RFC 8985).
    pub(crate) fn patience(&self) -> Nanos {
        (self.srtt / 2).max(REORDERING)
    }

    /// Returns for how long nothing may come of what was sent at once before the rest of it counts
    /// as lost, where it matters: a round trip, and what a queue of 500 kB takes at 10 Gbit/s.
    pub(crate) fn silence(&self) -> Nanos {
        match self.srtt {
            0 => self.timeout,
            srtt => self.timeout.min(srtt.saturating_add(2 * QUEUEING)),
        }
    }

    /// Notes that a timeout has passed: the next is twice as long.
    pub(crate) fn back_off(&mut self) {
        if self.timeout() < MAX_RTO {
            self.backoff += 1;
            self.update();
        }
    }

    /// Notes that the other end has answered.
    #[inline]
    pub(crate) fn answered(&mut self) {
        if self.backoff > 0 {
            self.backoff = 0;
            self.update();
        }
    }
}

#[kernel::macros::kunit_tests(emt_rtt)]
mod tests {
    use super::*;
    use crate::engine::time::{
        MICROSECOND,
        MILLISECOND,
        SECOND, //
    };

    #[test]
    fn the_first_sample_is_taken_as_it_is() {
        let mut rtt = Rtt::new();
        assert_eq!(rtt.timeout(), FIRST_RTO);
        rtt.sample(Instant(1), 10 * MILLISECOND);
        assert_eq!(rtt.smoothed(), 10 * MILLISECOND);
        assert_eq!(rtt.timeout(), 30 * MILLISECOND + ACK_DELAY);
    }

    #[test]
    fn a_steady_round_trip_brings_the_timeout_down() {
        let mut rtt = Rtt::new();
        for _ in 0..100 {
            rtt.sample(Instant(1), 50 * MICROSECOND);
        }
        assert_eq!(rtt.smoothed(), 50 * MICROSECOND);
        assert_eq!(rtt.timeout(), MIN_RTO);
    }

    #[test]
    fn silence_is_noticed_before_the_timeout() {
        let mut rtt = Rtt::new();
        assert_eq!(rtt.silence(), FIRST_RTO);
        rtt.sample(Instant(1), 50 * MICROSECOND);
        assert_eq!(rtt.silence(), 50 * MICROSECOND + 2 * QUEUEING);
        for _ in 0..100 {
            rtt.sample(Instant(1), MAX_RTO);
        }
        assert_eq!(rtt.silence(), rtt.timeout());
    }

    #[test]
    fn each_timeout_doubles_the_next_up_to_the_longest() {
        let mut rtt = Rtt::new();
        rtt.sample(Instant(1), 10 * MILLISECOND);
        let first = rtt.timeout();
        rtt.back_off();
        assert_eq!(rtt.timeout(), 2 * first);
        for _ in 0..1000 {
            rtt.back_off();
        }
        assert_eq!(rtt.timeout(), MAX_RTO);
        rtt.answered();
        assert_eq!(rtt.timeout(), first);
    }

    #[test]
    fn a_guess_counts_until_there_is_better() {
        let mut rtt = Rtt::new();
        rtt.guess(20 * MILLISECOND);
        assert_eq!(rtt.smoothed(), 20 * MILLISECOND);
        rtt.guess(30 * MILLISECOND);
        rtt.guess(10 * MILLISECOND);
        assert_eq!(rtt.smoothed(), 10 * MILLISECOND);
        rtt.sample(Instant(1), 50 * MICROSECOND);
        rtt.guess(20 * MICROSECOND);
        assert_eq!(rtt.smoothed(), 50 * MICROSECOND);
    }

    #[test]
    fn absurd_samples_are_cut() {
        let mut rtt = Rtt::new();
        rtt.sample(Instant(1), u64::MAX);
        rtt.sample(Instant(1), 0);
        rtt.sample(Instant(1), u64::MAX);
        assert!(rtt.timeout() <= MAX_RTO);
        assert!(rtt.smoothed() <= SECOND.max(MAX_RTO));
    }
}
