// SPDX-License-Identifier: GPL-2.0

//! When a connection is to be looked after, and what is done then.

use super::{
    connection::{
        Connection,
        Fate,
        Phase,
        Tell, //
    },
    patience::Patience,
    Way, //
};
use crate::engine::{
    host::{
        Host,
        Outcome,
        Types, //
    },
    limits::{
        KEEP_IDLE,
        ORPHAN_TIME, //
    },
    rtt::Rtt,
    time::{
        Instant,
        Nanos, //
    },
};

impl<T: Types> Connection<T> {
    /// Returns when [`handle_timeout`](Self::handle_timeout) is to be called; `reachable` if there
    /// is an association.
    pub(super) fn deadline(&self, rtt: &Rtt, reachable: bool) -> Instant {
        match self.phase {
            Phase::Opening(again, _) => {
                let last = self.heard.plus(self.timeout);
                if reachable {
                    again.min(last)
                } else {
                    last
                }
            }
            Phase::Open => self
                .out
                .deadline(rtt)
                .min(self.inc.deadline())
                .min(self.patience()),
        }
    }

    /// Returns when it is looked after if nothing happens.
    fn patience(&self) -> Instant {
        match self.orphaned {
            Some(since) => since.plus(ORPHAN_TIME),
            None => self.check,
        }
    }

    /// Changes how long the peer may be silent.
    pub(super) fn set_timeout(&mut self, timeout: Nanos) {
        self.timeout = timeout;
        self.out.set_patience(Patience::within(timeout));
    }

    /// Does what time has come for.
    pub(super) fn handle_timeout(&mut self, way: &mut Way<'_>, host: &mut impl Host<T>) -> Fate {
        let silence = way.now.since(self.heard);
        match self.phase {
            Phase::Opening(..) => {
                if silence >= self.timeout {
                    let outcome = match way.tag {
                        Some(_) => Outcome::TimedOut,
                        None => Outcome::Unreachable,
                    };
                    return Fate::Broken(outcome, Tell::Nothing);
                }
                return Fate::Stays;
            }
            Phase::Open => {}
        }
        self.inc.handle_timeout(way.now, way.rtt);
        self.out.handle_timeout(way.now, way.rtt, way.budget);
        if self.inc.is_stalled(way.now) {
            self.unschedule(host);
        }
        let asked = [self.out.silent_since(), self.inc.silent_since()];
        let since = asked.into_iter().flatten().min();
        let waited = since.map(|since| way.now.since(since));
        if waited.is_some_and(|waited| waited.min(silence) >= self.timeout) {
            return Fate::Broken(Outcome::TimedOut, Tell::Abort);
        }
        if way.now >= self.patience() {
            return self.keep_alive(way.now, silence, host);
        }
        Fate::Stays
    }

    /// Nothing has been heard for long.
    fn keep_alive(&mut self, now: Instant, silence: Nanos, host: &mut impl Host<T>) -> Fate {
        if self.orphaned.is_some() {
            return Fate::Broken(Outcome::TimedOut, Tell::Abort);
        }
        if !host.keeps_alive(&self.conn) {
            self.check = now.plus(KEEP_IDLE);
            return Fate::Stays;
        }
        if silence >= KEEP_IDLE.saturating_add(self.timeout) {
            return Fate::Broken(Outcome::TimedOut, Tell::Abort);
        }
        self.check = now.plus(Patience::within(self.timeout).longest());
        self.out.ask();
        Fate::Stays
    }
}
