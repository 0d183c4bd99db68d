// SPDX-License-Identifier: GPL-2.0

//! A peer: the association with it, and all transfers to it and from it.
//!
//! ```text
//!                 a message is to be sent
//!        +------+ ------------------------> +---------+
//!        | Idle |       Hello goes out      | Opening | --+ no answer: Hello again
//!        +------+ <------------------------ +---------+ <-+
//!         |    ^      nothing to be sent      |
//!         |    |                              | Hello with our epoch,
//!         |    | Reset                        | or a packet with our tag
//!         |    |                              v
//!         |    +------------------------- +------+
//!         +-----------------------------> | Open | --+ the peer has restarted: what was under
//!           a packet with the tag that    +------+ <-+ way has failed, open again
//!           our Hello has offered
//! ```
//!
//! A Hello from a peer whose epoch we do not know changes nothing: we offer it an epoch of our own,
//! and only a packet that shows it proves that the peer is there and that its Hello was no replay.

mod answers;
mod connecting;
mod greeting;
mod incoming;
pub(crate) mod info;
mod outgoing;
mod parking;
mod receiving;
mod sending;
mod turns;

use super::{
    budget::Budget,
    connections::Connections,
    host::{
        Host,
        Outcome,
        Packet,
        Ports,
        Transfer,
        Types, //
    },
    limits::{
        ACK_DELAY,
        CONFIRM_AFTER,
        MAX_GREETING,
        REORDERING,
        WINDOW, //
    },
    rtt::Rtt,
    time::{
        Instant,
        Nanos, //
    },
};
use crate::wire::{
    association::{
        Epoch,
        Reset, //
    },
    control::{
        Block,
        Blocks, //
    },
    reliable::{
        Control,
        Message,
        Reliable,
        Segment, //
    },
};
use greeting::greet;
use kernel::prelude::*;
use parking::Parking;
use receiving::Receiving;
use sending::Sending;

/// Two epochs that belong together.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Association {
    local: Epoch,
    remote: Epoch,
}

/// When to say Hello again.
#[derive(Clone, Copy)]
struct Greeting {
    first: Instant,
    again: Instant,
    /// Whether the answer can only be to the first.
    once: bool,
}

/// Where we stand with the peer.
#[derive(Clone, Copy)]
enum State {
    /// There is no association.
    Idle,
    /// We have offered our epoch.
    Opening(Epoch, Greeting),
    /// There is an association; we may be asking whether the peer still knows it.
    Open(Association, Option<Greeting>),
}

/// What became of a packet, for whoever counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// It was what it should be.
    Good,
    /// It brought nothing that had not been there.
    Duplicate,
    /// It is of no association that exists.
    BadTag,
    /// It contradicts itself or what is known.
    Invalid,
    /// Its socket did not take it.
    Unwanted,
    /// There was no memory for it.
    NoMemory,
}

/// A link-layer address behind one device, and what is under way to it and from it.
pub(crate) struct Peer<T: Types> {
    state: State,
    /// What we have offered to a peer that said Hello.
    offered: Option<Association>,
    /// When the association began.
    begun: Instant,
    /// When it was last heard.
    heard: Instant,
    rtt: Rtt,
    budget: Budget,
    sending: Sending<T::Outbound>,
    parking: Parking<T::Outbound>,
    receiving: Receiving<T>,
    connections: Option<KBox<Connections<T>>>,
}

impl<T: Types> Peer<T> {
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            state: State::Idle,
            offered: None,
            begun: now,
            heard: now,
            rtt: Rtt::new(),
            budget: Budget::new(),
            sending: Sending::new(),
            parking: Parking::new(),
            receiving: Receiving::new(),
            connections: None,
        }
    }

    /// Returns whether the peer has ever shown that it is there.
    pub(crate) fn is_proven(&self) -> bool {
        matches!(self.state, State::Open(..))
    }

    /// Returns whether nothing is under way.
    pub(crate) fn is_quiet(&self) -> bool {
        self.sending.is_empty()
            && self.parking.is_empty()
            && self.receiving.is_empty()
            && !self.has_connections()
    }

    /// Returns when the peer was last heard, or first known.
    pub(crate) fn heard(&self) -> Instant {
        self.heard
    }

    /// Takes a message to be sent; hands it back if memory is short.
    pub(crate) fn submit(
        &mut self,
        now: Instant,
        message: T::Outbound,
        host: &mut impl Host<T>,
    ) -> Result<(), T::Outbound> {
        let confirm = self.is_quiet() && now.since(self.heard) >= CONFIRM_AFTER;
        let waiting = match self.parking.join(now, message)? {
            Some(waiting) => waiting,
            None => return Ok(()),
        };
        let state = self.state;
        let taken = match state {
            State::Open(association, None) if !confirm && self.goes_at_once(&waiting.message) => {
                self.send_at_once(now, association.remote.tag(), waiting, host)
            }
            _ => self.sending.wait(waiting),
        };
        taken.map_err(|waiting| waiting.message)?;
        match state {
            State::Idle => self.open(now, host),
            State::Open(association, None) if confirm => {
                greet(association.local, host);
                self.state = State::Open(association, Some(self.greeting(now)));
            }
            _ => {}
        }
        Ok(())
    }

    /// Ends everything: the device goes, or the namespace.
    pub(crate) fn close(&mut self, host: &mut impl Host<T>) {
        self.forget(Outcome::Gone, host);
        self.sending.fail_waiting(host, |_| Some(Outcome::Gone));
        self.parking.fail(host, |_| Some(Outcome::Gone));
        if let Some((connections, mut way)) = self.connected(self.heard) {
            connections.forget(&mut way, Outcome::Gone, true, host);
        }
        self.state = State::Idle;
        self.offered = None;
    }

    /// Returns the time before which no [`deadline`](Self::deadline) is set at `now`, unless there
    /// are packets left to be sent.
    ///
    /// Who is woken before that anyway need not ask for the deadline. An old one that moves closer,
    /// as does that of a retransmission when the peer answers after all, is late by no more.
    #[inline]
    pub(crate) fn soonest(&self, now: Instant) -> Instant {
        let after = match self.receiving.len() {
            0 => ACK_DELAY,
            _ => REORDERING,
        };
        // Connections have theirs at hand.
        now.plus(after).min(self.connections_deadline())
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) is to be called.
    pub(crate) fn deadline(&self) -> Instant {
        let greeting = match self.state {
            State::Idle => Instant::NEVER,
            State::Opening(_, greeting) => greeting.again,
            State::Open(_, greeting) => greeting.map_or(Instant::NEVER, |greeting| greeting.again),
        };
        greeting
            .min(self.sending.deadline(&self.rtt))
            .min(self.parking.deadline())
            .min(self.receiving.deadline())
            .min(self.connections_deadline())
    }

    /// Does what time has come for. What is to be sent then is left to
    /// [`transmit`](Self::transmit).
    pub(crate) fn handle_timeout(&mut self, now: Instant, host: &mut impl Host<T>) {
        self.handle_greeting_timeout(now, host);
        self.handle_sending_timeout(now, host);
        self.handle_parking_timeout(now, host);
        self.receiving.handle_timeout(now, &self.rtt, host);
        if let Some((connections, mut way)) = self.connected(now) {
            connections.handle_timeout(&mut way, host);
        }
    }

    /// Sends pieces until they are `count` packets; returns whether there may be more to send.
    ///
    /// What the peer waits for goes first, then what is short.
    #[inline]
    pub(crate) fn transmit(&mut self, now: Instant, count: u32, host: &mut impl Host<T>) -> bool {
        self.has_more(now) && self.transmit_pieces(now, count, host)
    }

    /// Returns whether something may have to go out.
    #[inline]
    fn has_more(&self, now: Instant) -> bool {
        self.sending.has_more()
            || !self.receiving.blocks.is_empty()
            || self.receiving.unacknowledged.due() <= now
            || self.connections_have_more()
    }

    #[inline(never)]
    fn transmit_pieces(&mut self, now: Instant, count: u32, host: &mut impl Host<T>) -> bool {
        let mut left = count;
        while left > 0 {
            match self.transmit_piece(now, host) {
                0 => return false,
                packets => left = left.saturating_sub(packets),
            }
            if !self.has_more(now) {
                return false;
            }
        }
        true
    }

    /// Sends what can be sent in one piece; returns how many packets.
    fn transmit_piece(&mut self, now: Instant, host: &mut impl Host<T>) -> u32 {
        let State::Open(association, _) = self.state else {
            return 0;
        };
        let tag = association.remote.tag();
        if !self.receiving.blocks.is_empty() {
            self.transmit_control(now, tag, host);
            return 1;
        }
        let mut sent = self.transmit_again(now, tag, host);
        // What seems to be lost goes before what is new.
        if sent == 0 && self.sending.again.is_empty() {
            sent = self.transmit_unasked(now, tag, host);
        }
        if sent == 0 && self.connections_have_more() {
            sent = self.transmit_ready(now, host);
        }
        if sent == 0 {
            sent = self.transmit_segments(now, tag, host);
        }
        if sent == 0 && self.receiving.unacknowledged.due() <= now {
            self.transmit_control(now, tag, host);
            sent = 1;
        }
        sent
    }

    /// Returns what all packets of an association begin with.
    fn reliable(&mut self, now: Instant, tag: u32, answer: bool) -> Reliable {
        Reliable {
            tag,
            acks: self.receiving.acks(now),
            answer,
        }
    }

    fn transmit_control(&mut self, now: Instant, tag: u32, host: &mut impl Host<T>) {
        let blocks = self.receiving.blocks.take();
        let control = Control {
            reliable: self.reliable(now, tag, false),
            base: self.sending.base(),
        };
        host.transmit(Packet::Control(control, &blocks));
    }

    /// Handles a packet with a message.
    pub(crate) fn handle_message(
        &mut self,
        now: Instant,
        message: &Message,
        ports: Ports,
        chunk: T::Chunk,
        host: &mut impl Host<T>,
    ) -> Verdict {
        let behind = u32::from(message.transfer.behind);
        if behind >= WINDOW {
            return Verdict::Invalid;
        }
        if let Err(verdict) = self.accept(now, &message.reliable, host) {
            return verdict;
        }
        let id = message.transfer.id;
        self.receiving.advance(id.minus(behind), host);
        let verdict = self.receiving.take_message(now, id, ports, chunk, host);
        if message.transfer.last {
            host.release(ports);
        }
        if message.reliable.answer {
            self.receiving.unacknowledged.hurry(now);
        }
        verdict
    }

    /// Handles a packet with a part of a message, or several with neighbouring parts that came in
    /// one piece, with the header of the first.
    pub(crate) fn handle_segment(
        &mut self,
        now: Instant,
        segment: &Segment,
        ports: Ports,
        chunk: T::Chunk,
        host: &mut impl Host<T>,
    ) -> Verdict {
        let behind = u32::from(segment.transfer.behind);
        if behind >= WINDOW || !incoming::is_consistent(segment, &chunk) {
            return Verdict::Invalid;
        }
        if let Err(verdict) = self.accept(now, &segment.reliable, host) {
            return verdict;
        }
        self.receiving
            .advance(segment.transfer.id.minus(behind), host);
        let verdict = self
            .receiving
            .take_segment(now, segment, ports, chunk, &self.rtt, host);
        if segment.transfer.last {
            host.release(ports);
        }
        verdict
    }

    /// Handles a packet without a message.
    pub(crate) fn handle_control(
        &mut self,
        now: Instant,
        control: &Control,
        blocks: &Blocks,
        host: &mut impl Host<T>,
    ) -> Verdict {
        if let Err(verdict) = self.accept(now, &control.reliable, host) {
            return verdict;
        }
        self.receiving.advance(control.base, host);
        for block in blocks.iter() {
            match block {
                Block::Grant { id, limit, held } => self.on_grant(now, id, limit, held),
                Block::Resend { id, start, end } => self.on_resend(now, id, start, end),
                Block::Busy { id } => self.on_busy(now, id, host),
                Block::Refused { id, why } => {
                    self.on_end(now, id, Outcome::Refused(why), host);
                }
                Block::Wake { port, bytes } => self.on_wake(now, port, bytes, host),
                Block::Abandon { id } => self.receiving.on_abandon(id, host),
                Block::Missing { number, start, end } => {
                    if let Some((connections, mut way)) = self.connected(now) {
                        connections.on_missing(&mut way, number, (start, end));
                    }
                }
            }
        }
        Verdict::Good
    }

    /// Lets the peer send what it has up to `limit`.
    pub(crate) fn grant(&mut self, now: Instant, transfer: Transfer, limit: u64) {
        match transfer {
            Transfer::Message(id) => self.receiving.grant(now, id, limit, &self.rtt),
            Transfer::Connection(number) => {
                if let Some((connections, mut way)) = self.connected(now) {
                    connections.grant(&mut way, number, limit);
                }
            }
        }
    }

    /// Turns away the messages under way for whose room `is_closed`: their socket takes no more.
    pub(crate) fn refuse(
        &mut self,
        host: &mut impl Host<T>,
        is_closed: impl FnMut(&T::Room) -> bool,
    ) {
        self.receiving.refuse(host, is_closed);
    }

    /// Tells the peer that a socket whose buffer was full has room for `bytes`.
    pub(crate) fn wake(&mut self, port: u16, bytes: u32) {
        // Who waited in an association that is gone knows nothing of it.
        if self.is_proven() {
            self.receiving.blocks.push(Block::Wake { port, bytes });
        }
    }

    /// Checks that a packet belongs to the association, and takes what it acknowledges.
    fn accept(
        &mut self,
        now: Instant,
        reliable: &Reliable,
        host: &mut impl Host<T>,
    ) -> Result<(), Verdict> {
        self.check_tag(now, reliable.tag, host)?;
        self.on_acks(now, &reliable.acks, host)
    }

    /// Checks that a packet belongs to the association.
    #[inline]
    fn check_tag(
        &mut self,
        now: Instant,
        tag: u32,
        host: &mut impl Host<T>,
    ) -> Result<(), Verdict> {
        let known = match self.state {
            State::Open(association, _) => association.local.tag() == tag,
            _ => false,
        };
        if !known {
            let offered = self.offered.map(|offered| offered.local.tag());
            if offered != Some(tag) {
                host.transmit(Packet::Reset(Reset { tag }));
                return Err(Verdict::BadTag);
            }
            self.take_offer(now, host);
        }
        self.heard = now;
        Ok(())
    }

    /// Begins an association: nothing has been sent in it.
    fn begin(&mut self, now: Instant, association: Association) {
        let is_new = !matches!(self.state, State::Open(known, _) if known == association);
        self.heard = now;
        self.rtt.answered();
        self.offered = None;
        self.state = State::Open(association, None);
        if is_new {
            self.begun = now;
            if let Some((connections, mut way)) = self.connected(now) {
                connections.on_association(&mut way);
            }
        }
    }

    /// The peer has shown the epoch that we offered.
    fn take_offer(&mut self, now: Instant, host: &mut impl Host<T>) {
        if let Some(offered) = self.offered {
            if let State::Open(..) = self.state {
                self.forget(Outcome::Reset, host);
            }
            self.begin(now, offered);
        }
    }

    /// Begins to open an association.
    fn open(&mut self, now: Instant, host: &mut impl Host<T>) {
        // The peer may be about to show the one that it was offered.
        let local = match self.offered {
            Some(offered) => offered.local,
            None => self.new_epoch(host),
        };
        greet(local, host);
        self.state = State::Opening(local, self.greeting(now));
    }

    /// Returns whether an epoch was offered to somebody.
    fn has_offered(&self, local: Epoch) -> bool {
        self.offered.is_some_and(|offered| offered.local == local)
    }

    fn greeting(&self, now: Instant) -> Greeting {
        Greeting {
            first: now,
            again: now.plus(self.rtt.timeout().min(MAX_GREETING)),
            once: true,
        }
    }

    fn new_epoch(&self, host: &mut impl Host<T>) -> Epoch {
        // A tag of 0 would be no less random, but an epoch of 0 means that there is none.
        Epoch(host.random().max(1))
    }

    fn handle_greeting_timeout(&mut self, now: Instant, host: &mut impl Host<T>) {
        let (State::Opening(_, greeting) | State::Open(_, Some(greeting))) = &mut self.state else {
            return;
        };
        if now < greeting.again {
            return;
        }
        self.rtt.back_off();
        greeting.again = now.plus(self.rtt.timeout().min(MAX_GREETING));
        greeting.once = false;
        self.fail_silent(now, Outcome::Unreachable, host);
        let (local, without) = match self.state {
            State::Opening(local, _) => (local, State::Idle),
            State::Open(association, _) => (association.local, State::Open(association, None)),
            State::Idle => return,
        };
        if self.sending.is_empty() && self.parking.is_empty() && !self.has_connections() {
            self.state = without;
            self.rtt.answered();
        } else {
            greet(local, host);
        }
    }

    /// Fails what waits to be sent and has waited, with the peer silent, for longer than it may.
    fn fail_silent(&mut self, now: Instant, outcome: Outcome, host: &mut impl Host<T>) {
        let heard = self.heard;
        let judge = |since: Instant, timeout: Nanos| {
            (now.since(since.max(heard)) >= timeout).then_some(outcome)
        };
        self.sending
            .fail_waiting(host, |waiting| judge(waiting.since, waiting.timeout()));
        self.parking
            .fail(host, |waiting| judge(waiting.since, waiting.timeout()));
    }

    /// Ends what was under way in the association.
    fn forget(&mut self, outcome: Outcome, host: &mut impl Host<T>) {
        self.sending.fail_sent(outcome, host);
        if let Some((connections, mut way)) = self.connected(self.heard) {
            connections.forget(&mut way, outcome, false, host);
        }
        self.budget = Budget::new();
        self.receiving.clear(host);
        self.rtt.answered();
    }
}
