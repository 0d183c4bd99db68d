// SPDX-License-Identifier: GPL-2.0

//! The connections with a peer: which packet is for which, whose turn it is to send, and whose time
//! has come.

mod asked;
mod choice;
mod connection;
mod density;
mod inflow;
mod opening;
mod outflow;
mod patience;
mod pieces;
mod place;
mod table;
mod timing;
mod turns;
mod words;

use super::{
    budget::{
        Budget,
        Unasked, //
    },
    host::{
        Bearing,
        Host,
        Outcome,
        Packet,
        Ports,
        Types, //
    },
    limits::PARK_RETRY,
    peer::Verdict,
    rtt::Rtt,
    telling::Telling,
    time::{
        Instant,
        Nanos, //
    },
};
use crate::wire::flow::{
    Flags,
    Flow,
    Number,
    Verb, //
};
use connection::{
    Beginning,
    Connection,
    Fate,
    LastWords,
    Tell, //
};
use kernel::prelude::*;
use place::Place;
use table::{
    Slot,
    Table, //
};
use turns::Agenda;
use words::{
    bare,
    say_again, //
};

/// What a connection shares with all else that goes to the peer.
pub(super) struct Way<'a> {
    pub(super) now: Instant,
    /// What the peer's packets are to have, if there is an association.
    pub(super) tag: Option<u32>,
    pub(super) rtt: &'a mut Rtt,
    pub(super) budget: &'a mut Budget,
    /// Who may send what the peer has not asked for.
    pub(super) unasked: Unasked,
    /// What goes with control packets.
    pub(super) blocks: &'a mut Telling,
}

/// How a connection is asked for.
pub(crate) struct Wish<C> {
    pub(crate) ports: Ports,
    pub(crate) bearing: Bearing,
    pub(crate) conn: C,
    /// How long the peer may be silent.
    pub(crate) timeout: Nanos,
}

/// What a user can do to a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Act {
    /// No more is sent after what is queued.
    EndSending,
    /// No more is taken.
    StopReceiving,
    /// It is closed; what is queued is still sent.
    Close,
    /// It is over, and what is queued is lost.
    Abort,
    /// Something was read.
    Read,
    /// Small writes wait for others, or do not.
    Coalesce(bool),
    /// Nothing waits for more to come.
    Push,
    /// So long may the peer be silent.
    Timeout(Nanos),
}

/// All connections with a peer.
pub(crate) struct Connections<T: Types> {
    table: Table<T>,
    agenda: Agenda,
}

/// Returns when to ask again a peer that had no room, after so many times.
fn busy_again(tries: u8) -> Nanos {
    PARK_RETRY << tries.min(4)
}

impl<T: Types> Connections<T> {
    pub(super) const fn new() -> Self {
        Self {
            table: Table::new(),
            agenda: Agenda::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Returns whether something may have to go out.
    pub(super) fn has_more(&self) -> bool {
        !self.agenda.ready.is_empty() || !self.agenda.starved.is_empty()
    }

    /// Returns whether there may be some that wait for their share of the budget.
    pub(super) fn has_starved(&self) -> bool {
        !self.agenda.starved.is_empty()
    }

    pub(super) fn deadline(&self) -> Instant {
        self.agenda.schedule.next()
    }

    /// Makes room for one more.
    fn reserve(&mut self, now: Instant) -> Option<(u32, Number)> {
        let (slot, number) = self.table.allocate(now)?;
        let enough = self.agenda.reserve(self.table.len());
        if enough.is_err() {
            self.table.give_back(slot);
            return None;
        }
        Some((slot, number))
    }

    /// Asks the peer for a connection; returns its number. Hands the socket back if memory is short
    /// or there are too many.
    pub(super) fn connect(
        &mut self,
        way: &mut Way<'_>,
        wish: Wish<T::Conn>,
        host: &impl Host<T>,
    ) -> Result<Number, T::Conn> {
        let Some((slot, number)) = self.reserve(way.now) else {
            return Err(wish.conn);
        };
        let begin = Beginning {
            number,
            ports: wish.ports,
            bearing: wish.bearing,
            conn: wish.conn,
            timeout: wish.timeout,
        };
        let Ok(place) = KBox::<Connection<T>>::new_uninit(GFP_ATOMIC) else {
            self.table.give_back(slot);
            return Err(begin.conn);
        };
        let mut connection = Connection::opening(way.now, begin);
        let coalesces = host.coalesces(&connection.conn);
        connection.out().set_coalesces(coalesces);
        self.table.fill_live(slot, KBox::write(place, connection));
        self.look_after(way, slot);
        Ok(number)
    }

    /// Queues bytes to be sent; hands them back if memory is short, and in `Ok` if there is no such
    /// connection or it takes no more. If nothing else of connections waits and nothing of this
    /// one is under way, they go out at once, if they may.
    pub(super) fn send(
        &mut self,
        way: &mut Way<'_>,
        number: Number,
        piece: T::Piece,
        more: bool,
        host: &mut impl Host<T>,
    ) -> Result<Option<T::Piece>, T::Piece> {
        let nobody_waits = !self.has_more();
        let Some((slot, connection)) = self.table.live(number) else {
            return Ok(Some(piece));
        };
        if !connection.takes_more() {
            return Ok(Some(piece));
        }
        let at_once = nobody_waits && connection.out().is_idle();
        connection.out().queue(way.now, piece, more)?;
        match way.tag {
            Some(tag) if at_once => {
                let _ = self.take_turn(way, tag, slot, host);
            }
            _ => self.look_after(way, slot),
        }
        Ok(None)
    }

    /// Makes room for `count` pieces more of a connection; returns whether there is, or there is no
    /// such connection.
    pub(super) fn reserve_pieces(&mut self, number: Number, count: usize) -> bool {
        let live = self.table.live(number);
        live.is_none_or(|(_, connection)| connection.out().reserve(count).is_ok())
    }

    /// Does what the user wants; returns whether there is such a connection.
    pub(super) fn act(
        &mut self,
        way: &mut Way<'_>,
        number: Number,
        act: Act,
        host: &mut impl Host<T>,
    ) -> bool {
        let Some((slot, connection)) = self.table.live(number) else {
            return false;
        };
        let fate = match act {
            Act::EndSending => {
                connection.out().finish(way.now);
                Fate::Stays
            }
            Act::StopReceiving => connection.stop(way.now, host),
            Act::Close => connection.close(way.now, host),
            Act::Abort => Fate::Broken(Outcome::Gone, Tell::Abort),
            Act::Read => {
                connection.on_read(way.now, way.rtt, host);
                Fate::Stays
            }
            Act::Coalesce(coalesces) => {
                connection.out().set_coalesces(coalesces);
                Fate::Stays
            }
            Act::Push => {
                connection.out().push();
                Fate::Stays
            }
            Act::Timeout(timeout) => {
                connection.set_timeout(timeout);
                Fate::Stays
            }
        };
        self.settle(way, slot, fate, host);
        true
    }

    /// Lets the peer send up to `limit` what it has for a connection.
    pub(super) fn grant(&mut self, way: &mut Way<'_>, number: Number, limit: Place) {
        if let Some((slot, connection)) = self.table.live(number) {
            connection.grant(way.now, limit);
            self.look_after(way, slot);
        }
    }

    /// The peer misses bytes of a connection, from one place to another.
    pub(super) fn on_missing(&mut self, way: &mut Way<'_>, number: Number, missing: (u32, u32)) {
        if let Some((slot, connection)) = self.table.live(number) {
            connection.on_missing(way, missing);
            self.look_after(way, slot);
        }
    }

    /// Returns how many bytes are queued or under way.
    pub(super) fn unacknowledged(&mut self, number: Number) -> u64 {
        let live = self.table.live(number);
        live.map_or(0, |(_, connection)| connection.out().unacknowledged())
    }

    /// Returns whether all that was to be sent is under way and the peer has room for more.
    pub(super) fn wants_more(&mut self, number: Number) -> bool {
        let live = self.table.live(number);
        live.is_some_and(|(_, connection)| connection.out().wants_more())
    }

    /// Handles a packet, which belongs to the association; `chunk` has its bytes, if any, and none
    /// any more if they are kept or delivered.
    pub(super) fn handle(
        &mut self,
        way: &mut Way<'_>,
        flow: &Flow,
        ports: Ports,
        chunk: &mut Option<T::Chunk>,
        host: &mut impl Host<T>,
    ) -> Verdict {
        let back = Ports {
            source: ports.destination,
            destination: ports.source,
        };
        let bearing = match flow.verb {
            Verb::OpenStream => Bearing::Stream,
            Verb::OpenRecords => Bearing::Records,
            _ => {
                let verdict = self.handle_known(way, flow, back, chunk, host);
                if flow.flags.has(Flags::ANSWER) && verdict != Verdict::BadTag {
                    self.hurry(way.now);
                }
                return verdict;
            }
        };
        if flow.from == Number::NONE || chunk.is_some() {
            return Verdict::Invalid;
        }
        self.on_open(way, flow, back, bearing, host)
    }

    /// Handles a packet of a connection that there should be.
    fn handle_known(
        &mut self,
        way: &mut Way<'_>,
        flow: &Flow,
        back: Ports,
        chunk: &mut Option<T::Chunk>,
        host: &mut impl Host<T>,
    ) -> Verdict {
        let found = self.table.current_slot_of(way.now, flow.to);
        let verdict = match found.and_then(|slot| Some((slot, self.table.get(slot)?))) {
            Some((slot, Slot::Live(connection))) => {
                let (verdict, fate) = connection.handle(way, flow, chunk, host);
                match fate {
                    Fate::Stays => self.agenda.look_after(way, slot, connection),
                    fate => self.settle(way, slot, fate, host),
                }
                verdict
            }
            Some((slot, Slot::HalfOpen(half_open))) if half_open.remote == flow.from => {
                return match flow.verb {
                    Verb::Go => self.establish(way, slot, flow, chunk, host),
                    Verb::Abort => {
                        drop(self.table.take(way.now, slot, None));
                        self.agenda.schedule.set(slot, Instant::NEVER);
                        Verdict::Good
                    }
                    _ => Verdict::Invalid,
                };
            }
            Some((_, Slot::Closed(closed))) if closed.last.remote == flow.from => {
                let last = closed.last;
                return say_again(way, flow, &last, back, chunk.is_some(), host);
            }
            _ => Verdict::BadTag,
        };
        // It has something that nobody here knows.
        if verdict == Verdict::BadTag && matches!(flow.verb, Verb::Go | Verb::Accept) {
            if let Some(tag) = way.tag {
                let flow = bare(tag, Verb::Abort, flow.from, flow.to);
                host.transmit(Packet::Flow(flow, back, None));
            }
        }
        verdict
    }

    /// Does what follows from what has happened to a connection.
    fn settle(&mut self, way: &mut Way<'_>, slot: u32, fate: Fate, host: &mut impl Host<T>) {
        match fate {
            Fate::Stays => self.look_after(way, slot),
            Fate::Over { remembered } => self.end(way, slot, remembered, host),
            Fate::Broken(outcome, tell) => self.break_off(way, slot, outcome, tell, host),
        }
    }

    fn end(&mut self, way: &mut Way<'_>, slot: u32, remembered: bool, host: &mut impl Host<T>) {
        let Some(connection) = self.table.live_at(slot) else {
            return;
        };
        let last = remembered.then(|| connection.last_words());
        if let (true, Some(tag)) = (remembered, way.tag) {
            connection.say_last(way, tag, host);
        }
        if let Some(connection) = self.take(way, slot, last, host) {
            host.closed(connection.into_conn());
        }
    }

    fn break_off(
        &mut self,
        way: &mut Way<'_>,
        slot: u32,
        outcome: Outcome,
        tell: Tell,
        host: &mut impl Host<T>,
    ) {
        if let Some(connection) = self.take(way, slot, None, host) {
            if let (Tell::Abort, Some(tag), false) =
                (tell, way.tag, connection.remote == Number::NONE)
            {
                let flow = bare(tag, Verb::Abort, connection.remote, connection.number);
                host.transmit(Packet::Flow(flow, connection.ports(), None));
            }
            host.broken(connection.into_conn(), outcome);
        }
    }

    /// Takes a connection out.
    fn take(
        &mut self,
        way: &mut Way<'_>,
        slot: u32,
        last: Option<LastWords>,
        host: &mut impl Host<T>,
    ) -> Option<Connection<T>> {
        self.agenda.schedule.set(slot, Instant::NEVER);
        match self.table.take(way.now, slot, last) {
            Slot::Live(connection) => {
                let mut connection = KBox::into_inner(connection);
                connection.release(way, host);
                Some(connection)
            }
            _ => None,
        }
    }

    /// Does what time has come for.
    pub(super) fn handle_timeout(&mut self, way: &mut Way<'_>, host: &mut impl Host<T>) {
        while let Some(slot) = self.agenda.schedule.pop(way.now) {
            match self.table.get(slot) {
                Some(Slot::Live(connection)) => {
                    let fate = connection.handle_timeout(way, host);
                    self.settle(way, slot, fate, host);
                }
                Some(Slot::HalfOpen(_)) => self.accept(way, slot, host),
                _ => {}
            }
        }
    }

    /// An association has begun: who waits for it can go on.
    pub(super) fn on_association(&mut self, way: &mut Way<'_>) {
        for slot in 0..self.table.len() {
            let opening = self.table.live_at(slot).is_some_and(|one| one.is_opening());
            if opening {
                self.look_after(way, slot);
            }
        }
    }

    /// Breaks off what was open in an association that is gone, and with `all` what is to be
    /// opened, too.
    pub(super) fn forget(
        &mut self,
        way: &mut Way<'_>,
        outcome: Outcome,
        all: bool,
        host: &mut impl Host<T>,
    ) {
        self.table.forget_all_closed();
        for slot in 0..self.table.len() {
            match self.table.get(slot) {
                Some(Slot::Live(connection)) if all || !connection.is_opening() => {
                    self.break_off(way, slot, outcome, Tell::Nothing, host);
                }
                Some(Slot::HalfOpen(_)) => {
                    drop(self.table.take(way.now, slot, None));
                    self.agenda.schedule.set(slot, Instant::NEVER);
                }
                _ => {}
            }
        }
    }
}
