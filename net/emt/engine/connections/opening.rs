// SPDX-License-Identifier: GPL-2.0

//! Connections that a peer asks for, until they are open.

use super::{
    connection::{
        Beginning,
        Connection, //
    },
    table::{
        HalfOpen,
        Slot, //
    },
    words::bare,
    Connections,
    Way, //
};
use crate::{
    engine::{
        host::{
            Bearing,
            Host,
            Packet,
            Ports,
            Types,
            Unwilling, //
        },
        limits::{
            ACCEPT_TRIES,
            MAX_HALF_OPEN,
            MAX_RTO, //
        },
        peer::Verdict,
        time::Instant, //
    },
    wire::flow::{
        Flow,
        Number,
        Verb, //
    },
};
use kernel::prelude::*;

impl<T: Types> Connections<T> {
    /// The peer asks for a connection.
    ///
    /// If it asks twice, it is answered twice, and has one of the two aborted.
    pub(super) fn on_open(
        &mut self,
        way: &mut Way<'_>,
        flow: &Flow,
        back: Ports,
        bearing: Bearing,
        host: &mut impl Host<T>,
    ) -> Verdict {
        let admitted = match self.table.half_open() {
            MAX_HALF_OPEN.. => Err(Unwilling::Busy),
            _ => host.admit(back, bearing),
        };
        let embryo = match admitted {
            Ok(embryo) => embryo,
            Err(unwilling) => {
                let verb = match unwilling {
                    Unwilling::Refused(_) => Verb::Refuse,
                    Unwilling::Busy => Verb::Busy,
                    Unwilling::Lost => return Verdict::NoMemory,
                };
                if let Some(tag) = way.tag {
                    let flow = bare(tag, verb, flow.from, Number::NONE);
                    host.transmit(Packet::Flow(flow, back, None));
                }
                return Verdict::Unwanted;
            }
        };
        let Some((slot, number)) = self.reserve(way.now) else {
            return Verdict::NoMemory;
        };
        let half_open = HalfOpen {
            room: host.first_window(&embryo),
            embryo,
            number,
            remote: flow.from,
            ports: back,
            bearing,
            again: way.now,
            tries: 0,
            told: Some(way.now),
        };
        match KBox::new(half_open, GFP_ATOMIC) {
            Ok(half_open) => {
                self.table.fill_half_open(slot, half_open);
                self.accept(way, slot, host);
                Verdict::Good
            }
            Err(_) => {
                self.table.give_back(slot);
                Verdict::NoMemory
            }
        }
    }

    /// Tells the peer that it has the connection that it has asked for, or gives that up after some
    /// times.
    pub(super) fn accept(&mut self, way: &mut Way<'_>, slot: u32, host: &mut impl Host<T>) {
        let Some(Slot::HalfOpen(half_open)) = self.table.get(slot) else {
            return;
        };
        if half_open.tries >= ACCEPT_TRIES {
            return self.give_up(way, slot, host);
        }
        let wait = way.rtt.timeout() << half_open.tries;
        half_open.again = way.now.plus(wait.min(MAX_RTO / 2));
        half_open.tries += 1;
        self.agenda.schedule.set(slot, half_open.again);
        if let Some(tag) = way.tag {
            let mut flow = bare(tag, Verb::Accept, half_open.remote, half_open.number);
            flow.limit = half_open.room;
            host.transmit(Packet::Flow(flow, half_open.ports, None));
        }
    }

    /// Gives up a connection that is half open, and tells the peer, which may take it for open.
    fn give_up(&mut self, way: &mut Way<'_>, slot: u32, host: &mut impl Host<T>) {
        self.agenda.schedule.set(slot, Instant::NEVER);
        let Slot::HalfOpen(half_open) = self.table.take(way.now, slot, None) else {
            return;
        };
        if let Some(tag) = way.tag {
            let flow = bare(tag, Verb::Abort, half_open.remote, half_open.number);
            host.transmit(Packet::Flow(flow, half_open.ports, None));
        }
    }

    /// The peer knows of a connection that it has asked for.
    pub(super) fn establish(
        &mut self,
        way: &mut Way<'_>,
        slot: u32,
        flow: &Flow,
        chunk: &mut Option<T::Chunk>,
        host: &mut impl Host<T>,
    ) -> Verdict {
        let Ok(place) = KBox::<Connection<T>>::new_uninit(GFP_ATOMIC) else {
            return Verdict::NoMemory;
        };
        let Some(Slot::HalfOpen(half_open)) = self.table.get(slot) else {
            return Verdict::Invalid;
        };
        if let Some(told) = half_open.told.take() {
            way.rtt.guess(way.now.since(told));
        }
        // If there is no room after all, the peer sends this once more.
        let (number, ports) = (half_open.number, half_open.ports);
        let conn = match host.establish(&mut half_open.embryo, number, ports) {
            Ok(conn) => conn,
            Err(Unwilling::Refused(_)) => {
                // Nobody listens any more.
                self.give_up(way, slot, host);
                return Verdict::Unwanted;
            }
            Err(Unwilling::Busy | Unwilling::Lost) => return Verdict::NoMemory,
        };
        let begin = Beginning {
            number: half_open.number,
            ports: half_open.ports,
            bearing: half_open.bearing,
            timeout: host.timeout(&conn),
            conn,
        };
        let connection = Connection::open(way.now, begin, half_open.remote, half_open.room);
        self.table.fill_live(slot, KBox::write(place, connection));
        let Some(connection) = self.table.live_at(slot) else {
            return Verdict::Invalid;
        };
        let coalesces = host.coalesces(&connection.conn);
        connection.out().set_coalesces(coalesces);
        let (verdict, fate) = connection.handle(way, flow, chunk, host);
        self.settle(way, slot, fate, host);
        verdict
    }
}
