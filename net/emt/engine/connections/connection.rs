// SPDX-License-Identifier: GPL-2.0

//! A connection: two directions, each a transfer without a known end, and how they begin and end.
//!
//! ```text
//!   who connects                                         who listens
//!
//!   Opening ---- Open ------------------------------->   (room in the backlog?)
//!      |  <----- Busy ---------------------------------     no: nothing is kept
//!      |  <----- Refuse -------------------------------     nobody listens
//!      |  <----- Accept -------------------------------   HalfOpen
//!      v                                                    |
//!    Open ------ Go ---------------------------------->     v
//!      ^ <------ Go ---------------------------------->   Open
//!
//!   in each direction:   Open -> Ending -> Ended         Open -> Ended
//!                          (END sent)  (ENDED heard)       |  (all before END has come)
//!                                                          +-> Stopped (nobody wants more)
//! ```
//!
//! When both directions have ended, the end that cannot know that the other has heard so remembers
//! the connection for a while, to say it again. An Abort from either end is the end at once.

use super::{
    choice::{
        Choice,
        Span, //
    },
    inflow::{
        Inflow,
        Receiving,
        Taken, //
    },
    outflow::{
        Outflow,
        Sending,
        Wait, //
    },
    patience::Patience,
    place::Place,
    Way, //
};
use crate::{
    engine::{
        host::{
            Bearing,
            Chunk,
            Host,
            Outcome,
            Packet,
            Ports,
            Transfer,
            Types, //
        },
        limits::KEEP_IDLE,
        peer::Verdict,
        rtt::Rtt,
        time::{
            Instant,
            Nanos, //
        },
    },
    wire::{
        control::Block,
        flow::{
            Flags,
            Flow,
            Number,
            Verb, //
        },
    },
};

/// How far a connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// The peer is asked, again then, after so many times.
    Opening(Instant, u8),
    /// Both ends know of each other.
    Open,
}

/// What is to become of a connection after something has happened to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// It goes on.
    Stays,
    /// Both directions have ended. `remembered` if the peer may not know that.
    Over { remembered: bool },
    /// It has failed. The peer is told if it is to be.
    Broken(Outcome, Tell),
}

/// Whether the peer is to be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tell {
    Nothing,
    Abort,
}

/// What is remembered of a connection that is over.
#[derive(Clone, Copy)]
pub(super) struct LastWords {
    pub(super) remote: Number,
    pub(super) sent: u32,
    pub(super) held: u32,
    /// Whether nobody here wanted any more.
    pub(super) stopped: bool,
}

/// A connection that somebody here has.
pub(super) struct Connection<T: Types> {
    pub(super) number: Number,
    pub(super) remote: Number,
    ports: Ports,
    bearing: Bearing,
    pub(super) phase: Phase,
    pub(super) conn: T::Conn,
    pub(super) out: Outflow<T::Piece>,
    pub(super) inc: Inflow<T::Chunk>,
    /// When the peer was first asked for it.
    asked: Instant,
    /// When the peer was last heard of it.
    pub(super) heard: Instant,
    /// How long the peer may be silent.
    pub(super) timeout: Nanos,
    /// Since when nothing has come of it that the user has closed.
    pub(super) orphaned: Option<Instant>,
    /// When to look whether the peer is still there.
    pub(super) check: Instant,
    /// Whether it is in the queue of those that have something to send.
    pub(super) queued: bool,
    /// Whether it is in that of those that wait for their share of the budget.
    pub(super) starved: bool,
}

/// What is known of a connection when it begins.
pub(super) struct Beginning<C> {
    pub(super) number: Number,
    pub(super) ports: Ports,
    pub(super) bearing: Bearing,
    pub(super) conn: C,
    pub(super) timeout: Nanos,
}

impl<T: Types> Connection<T> {
    /// Begins one that the peer is to be asked for.
    pub(super) fn opening(now: Instant, begin: Beginning<T::Conn>) -> Self {
        Self::new(now, begin, Number::NONE, Phase::Opening(now, 0))
    }

    /// Begins one that both ends know of, where the other was let send `room` bytes.
    pub(super) fn open(now: Instant, begin: Beginning<T::Conn>, remote: Number, room: u32) -> Self {
        let mut this = Self::new(now, begin, remote, Phase::Open);
        this.inc.let_send(room);
        this
    }

    fn new(now: Instant, begin: Beginning<T::Conn>, remote: Number, phase: Phase) -> Self {
        Self {
            number: begin.number,
            remote,
            ports: begin.ports,
            bearing: begin.bearing,
            phase,
            conn: begin.conn,
            out: Outflow::new(Patience::within(begin.timeout)),
            inc: Inflow::new(),
            asked: now,
            heard: now,
            timeout: begin.timeout,
            orphaned: None,
            check: now.plus(KEEP_IDLE),
            queued: false,
            starved: false,
        }
    }

    pub(super) fn out(&mut self) -> &mut Outflow<T::Piece> {
        &mut self.out
    }

    /// Returns whether more can be queued.
    pub(super) fn takes_more(&self) -> bool {
        self.out.state == Sending::Open
    }

    pub(super) fn ports(&self) -> Ports {
        self.ports
    }

    pub(super) fn into_conn(self) -> T::Conn {
        self.conn
    }

    /// Returns what is remembered of it when it is over.
    pub(super) fn last_words(&self) -> LastWords {
        LastWords {
            remote: self.remote,
            sent: self.out.sent_end(),
            held: self.inc.held(),
            stopped: self.inc.state == Receiving::Stopped,
        }
    }

    pub(super) fn is_opening(&self) -> bool {
        matches!(self.phase, Phase::Opening(..))
    }

    /// Takes a packet; `chunk` has its bytes, if there are any, and none any more if they are kept
    /// or delivered.
    pub(super) fn handle(
        &mut self,
        way: &mut Way<'_>,
        flow: &Flow,
        chunk: &mut Option<T::Chunk>,
        host: &mut impl Host<T>,
    ) -> (Verdict, Fate) {
        match (self.phase, flow.verb) {
            (Phase::Opening(..), Verb::Accept) => self.on_accept(way, flow, host),
            (Phase::Opening(..), Verb::Refuse) => (
                Verdict::Good,
                Fate::Broken(
                    Outcome::Refused(crate::wire::control::Why::NoSocket),
                    Tell::Nothing,
                ),
            ),
            (Phase::Opening(_, tries), Verb::Busy) => {
                // It is asked again after a while, and not by all at the same time.
                let wait = super::busy_again(tries);
                // Both factors have less than 32 bits.
                let wait = wait / 2 + ((wait / 2 * (host.random() >> 32)) >> 32);
                self.heard = way.now;
                self.phase = Phase::Opening(way.now.plus(wait), tries);
                (Verdict::Good, Fate::Stays)
            }
            (Phase::Open, _) if flow.from != self.remote => (Verdict::BadTag, Fate::Stays),
            (Phase::Open, Verb::Accept) => {
                self.heard = way.now;
                self.inc.hurry(way.now);
                (Verdict::Duplicate, Fate::Stays)
            }
            (Phase::Open, Verb::Go) => self.on_go(way, flow, chunk, host),
            (Phase::Open, Verb::Abort) => {
                (Verdict::Good, Fate::Broken(Outcome::Reset, Tell::Nothing))
            }
            (Phase::Opening(..), Verb::Abort | Verb::Go) => (Verdict::BadTag, Fate::Stays),
            (Phase::Open, Verb::Refuse | Verb::Busy) => (Verdict::Duplicate, Fate::Stays),
            (_, Verb::OpenStream | Verb::OpenRecords) => (Verdict::Invalid, Fate::Stays),
        }
    }

    #[inline(never)]
    fn on_accept(
        &mut self,
        way: &mut Way<'_>,
        flow: &Flow,
        host: &mut impl Host<T>,
    ) -> (Verdict, Fate) {
        if flow.from == Number::NONE {
            return (Verdict::Invalid, Fate::Stays);
        }
        if let Phase::Opening(_, 1) = self.phase {
            way.rtt.sample(way.now, way.now.since(self.asked));
        }
        way.rtt.answered();
        self.remote = flow.from;
        self.phase = Phase::Open;
        self.heard = way.now;
        // Nothing has been sent that it could say more of than how much it has room for.
        let flow = &Flow {
            held: 0,
            granted: 0,
            gap: 0,
            ..*flow
        };
        self.out.on_flow(way.now, flow, way.rtt, way.budget);
        // The other end waits for a packet that shows that we know.
        self.inc.hurry(way.now);
        host.opened(&self.conn);
        (Verdict::Good, Fate::Stays)
    }

    fn on_go(
        &mut self,
        way: &mut Way<'_>,
        flow: &Flow,
        chunk: &mut Option<T::Chunk>,
        host: &mut impl Host<T>,
    ) -> (Verdict, Fate) {
        let (sending, unacknowledged) = (self.out.state, self.out.unacknowledged());
        if !self.out.on_flow(way.now, flow, way.rtt, way.budget) {
            return (Verdict::Invalid, Fate::Stays);
        }
        self.heard = way.now;
        self.check = way.now.plus(KEEP_IDLE);
        if self.orphaned.is_some() && self.out.unacknowledged() < unacknowledged {
            self.orphaned = Some(way.now);
        }
        if flow.flags.has(Flags::STOPPED) && self.out.state != Sending::Ended {
            // Who has closed the connection has not seen what was under way.
            let is_closed = flow.flags.has(Flags::END) || self.inc.state == Receiving::Ended;
            let lost = is_closed && self.out.unacknowledged() > 0;
            self.out.stop(way.budget);
            host.stopped(&self.conn, lost);
        }
        let verdict = match self.inc.state {
            Receiving::Open => match self.on_bytes(way, flow, chunk, host) {
                Ok(verdict) => verdict,
                Err(fate) => return (Verdict::Unwanted, fate),
            },
            Receiving::Ended | Receiving::Stopped => match chunk.is_some() {
                true => {
                    self.inc.hurry(way.now);
                    Verdict::Duplicate
                }
                false => {
                    // It may not have heard that all has come.
                    if flow.flags.has(Flags::END) {
                        self.inc.hurry(way.now);
                    }
                    Verdict::Good
                }
            },
        };
        if flow.flags.has(Flags::ANSWER) {
            if flow.flags.has(Flags::CONFINED) {
                host.confined(&self.conn);
            }
            let room = self.room(host);
            self.inc.answer(way.now, room, way.rtt);
        }
        self.schedule(way, flow, host);
        if sending != self.out.state && self.out.state == Sending::Ended {
            host.sent_all(&self.conn);
        }
        (verdict, self.fate())
    }

    /// Returns for how many bytes more the socket has room.
    fn room(&self, host: &impl Host<T>) -> u32 {
        let room = host.window(&self.conn);
        match self.inc.is_dense() {
            true => self.inc.fitting(host.memory(&self.conn), room),
            false => room,
        }
    }

    /// Takes bytes and the end of them, where they are still wanted.
    fn on_bytes(
        &mut self,
        way: &mut Way<'_>,
        flow: &Flow,
        chunk: &mut Option<T::Chunk>,
        host: &mut impl Host<T>,
    ) -> Result<Verdict, Fate> {
        let len = chunk.as_ref().map_or(0, Chunk::len);
        if !self.inc.note_end(flow, len) {
            // Who contradicts himself is nobody to go on with.
            return Err(Fate::Broken(Outcome::Reset, Tell::Abort));
        }
        let verdict = match len {
            0 => Verdict::Good,
            _ => {
                let room = match self.inc.is_early(flow) {
                    true => host.memory(&self.conn),
                    false => 0,
                };
                match self.inc.take(way.now, flow, chunk, way.rtt, room) {
                    Taken::Next => self.deliver(way, chunk, host),
                    Taken::Early => Verdict::Good,
                    Taken::Old => Verdict::Duplicate,
                    Taken::NoRoom => Verdict::NoMemory,
                    Taken::Invalid => Verdict::Invalid,
                }
            }
        };
        if self.inc.try_end(way.now) {
            host.ended(&self.conn);
        }
        Ok(verdict)
    }

    /// Hands over the next bytes.
    #[inline]
    fn deliver(
        &mut self,
        way: &Way<'_>,
        chunk: &mut Option<T::Chunk>,
        host: &mut impl Host<T>,
    ) -> Verdict {
        let Some(chunk) = chunk.take() else {
            return Verdict::Good;
        };
        let len = chunk.len();
        match host.arrived(&self.conn, chunk) {
            true => {
                self.inc.advance(way.now, len, way.rtt);
                Verdict::Good
            }
            false => {
                self.inc.refuse(len);
                Verdict::NoMemory
            }
        }
    }

    /// Has the device grant what is to come, or no more.
    #[inline]
    fn schedule(&mut self, way: &mut Way<'_>, flow: &Flow, host: &mut impl Host<T>) {
        if self.inc.is_scheduled() || flow.queued != self.inc.held() {
            self.schedule_more(way, flow, host);
        }
    }

    #[inline(never)]
    fn schedule_more(&mut self, way: &mut Way<'_>, flow: &Flow, host: &mut impl Host<T>) {
        if let Some(progress) = self.inc.progress(way.now, flow) {
            if let Some(limit) = host.progress(self.transfer(), progress) {
                self.inc.grant(way.now, limit);
            }
        } else if self.inc.is_through(flow) {
            self.unschedule(host);
        }
    }

    /// Has the device grant no more of it.
    pub(super) fn unschedule(&mut self, host: &mut impl Host<T>) {
        if self.inc.unschedule() {
            host.settled(self.transfer());
        }
    }

    fn transfer(&self) -> Transfer {
        Transfer::Connection(self.number)
    }

    /// The device lets the peer send what it has up to `limit`.
    pub(super) fn grant(&mut self, now: Instant, limit: Place) {
        self.inc.grant(now, limit);
    }

    /// The peer misses the bytes between two places.
    pub(super) fn on_missing(&mut self, way: &mut Way<'_>, missing: (u32, u32)) {
        self.out.on_missing(way.now, missing, way.rtt, way.budget);
    }

    /// Returns what is to become of it.
    pub(super) fn fate(&self) -> Fate {
        match (self.out.state, self.inc.state) {
            (Sending::Ended, Receiving::Ended | Receiving::Stopped) => Fate::Over {
                remembered: !self.out.end_told_all(),
            },
            (Sending::Open | Sending::Ending, _) | (_, Receiving::Open) => Fate::Stays,
        }
    }

    /// The user closes it: what is queued is still sent.
    pub(super) fn close(&mut self, now: Instant, host: &mut impl Host<T>) -> Fate {
        self.unschedule(host);
        self.orphaned = Some(now);
        self.out.finish(now);
        // Nobody will read what comes from now on, which who sends has to know.
        self.inc.stop(now);
        match self.phase {
            Phase::Opening(..) => Fate::Broken(Outcome::Gone, Tell::Nothing),
            Phase::Open => self.fate(),
        }
    }

    /// The user wants no more bytes.
    pub(super) fn stop(&mut self, now: Instant, host: &mut impl Host<T>) -> Fate {
        self.unschedule(host);
        self.inc.stop(now);
        self.fate()
    }

    /// The user has read; tells the peer of the room that there is now, if that is worth it.
    pub(super) fn on_read(&mut self, now: Instant, rtt: &Rtt, host: &mut impl Host<T>) {
        let room = self.room(host);
        if self.inc.is_worth_telling(now, room, rtt) {
            self.inc.hurry(now);
        }
    }

    /// Returns whether something may have to go out.
    pub(super) fn has_more(&self, now: Instant) -> bool {
        match self.phase {
            Phase::Opening(again, _) => again <= now,
            Phase::Open => {
                self.inc.is_due(now) || self.out.is_urgent() || self.out.has_new(!self.starved)
            }
        }
    }

    /// Sends what can go out in one piece; returns how many packets, or what more waits for.
    pub(super) fn transmit(
        &mut self,
        way: &mut Way<'_>,
        tag: u32,
        host: &mut impl Host<T>,
    ) -> Result<u32, Wait> {
        if let Phase::Opening(again, tries) = self.phase {
            if again > way.now {
                return Err(Wait::Event);
            }
            if tries == 0 {
                self.asked = way.now;
            }
            let next = way
                .now
                .plus(Patience::within(self.timeout).wait(way.rtt, tries));
            self.phase = Phase::Opening(next, tries.saturating_add(1));
            let verb = match self.bearing {
                Bearing::Stream => Verb::OpenStream,
                Bearing::Records => Verb::OpenRecords,
            };
            self.send(way, tag, verb, None, host);
            return Ok(1);
        }
        match self.out.choose(way.now, way.budget, way.unasked) {
            Ok(choice) => Ok(self.send(way, tag, Verb::Go, Some(choice), host)),
            Err(_) if self.inc.is_due(way.now) => Ok(self.send(way, tag, Verb::Go, None, host)),
            Err(wait) => Err(wait),
        }
    }

    /// Says once more how far both directions have come.
    pub(super) fn say_last(&mut self, way: &mut Way<'_>, tag: u32, host: &mut impl Host<T>) {
        self.send(way, tag, Verb::Go, None, host);
    }

    /// Sends a packet; returns how many it is cut into.
    fn send(
        &mut self,
        way: &mut Way<'_>,
        tag: u32,
        verb: Verb,
        choice: Option<Choice>,
        host: &mut impl Host<T>,
    ) -> u32 {
        let mut flow = Flow {
            tag,
            to: self.remote,
            from: self.number,
            offset: self.out.sent_end(),
            held: 0,
            limit: 0,
            granted: 0,
            gap: 0,
            queued: self.out.queued_end(),
            delay: 0,
            verb,
            flags: Flags::default(),
        };
        let gap = match self.inc.asks() {
            true => Some(self.ask(way, host)),
            false => None,
        };
        self.inc.tell(way.now, self.room(host), gap, &mut flow);
        let Some(choice) = choice else {
            host.transmit(Packet::Flow(flow, self.ports, None));
            return 1;
        };
        flow.offset = choice.offset;
        flow.flags.set(Flags::RECORD, choice.record);
        flow.flags.set(Flags::END, choice.ends);
        flow.flags.set(Flags::ANSWER, choice.answer);
        flow.flags.set(Flags::CONFINED, choice.confined);
        if choice.ends {
            let other_too = flow.flags.has(Flags::ENDED) || flow.flags.has(Flags::STOPPED);
            self.out.told_end(other_too);
        }
        let part = choice.part.as_ref().and_then(|part| self.out.part(part));
        host.transmit(Packet::Flow(flow, self.ports, part));
        choice.part.map_or(1, |part| part.count)
    }

    /// Asks for gaps with the next packets; returns up to where it does with the first.
    #[inline(never)]
    fn ask(&mut self, way: &mut Way<'_>, host: &impl Host<T>) -> Place {
        let (number, memory) = (self.remote, host.memory(&self.conn));
        self.inc.tell_gaps(way.now, memory, |Span { start, end }| {
            way.blocks.push(Block::Missing {
                number,
                start: start as u32,
                end: end as u32,
            });
        })
    }

    /// Gives up what it takes of what is shared.
    pub(super) fn release(&mut self, way: &mut Way<'_>, host: &mut impl Host<T>) {
        self.unschedule(host);
        self.out.stop(way.budget);
    }
}
