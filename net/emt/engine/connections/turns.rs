// SPDX-License-Identifier: GPL-2.0

//! Whose turn it is to send, and whose time comes.

use super::{
    connection::Connection,
    outflow::Wait,
    Connections,
    Way, //
};
use crate::engine::{
    budget::Unasked,
    fifo::Fifo,
    host::{
        Host,
        Types, //
    },
    limits::{
        ACK_DELAY,
        ANSWERS_AT_ONCE, //
    },
    schedule::Schedule,
    time::Instant, //
};
use kernel::{
    alloc::AllocError,
    prelude::*, //
};

/// Whose turn it is, and whose time comes when.
pub(super) struct Agenda {
    /// Those that may have something to send.
    pub(super) ready: Fifo<u32>,
    /// Those that have, and wait for their share of the budget.
    pub(super) starved: Fifo<u32>,
    pub(super) schedule: Schedule,
}

impl Agenda {
    pub(super) const fn new() -> Self {
        Self {
            ready: Fifo::new(),
            starved: Fifo::new(),
            schedule: Schedule::new(),
        }
    }

    /// Makes room for as many connections.
    pub(super) fn reserve(&mut self, count: u32) -> Result<(), AllocError> {
        self.schedule.reserve(count.saturating_sub(1), GFP_ATOMIC)?;
        self.ready.reserve_all(count as usize, GFP_ATOMIC)?;
        self.starved.reserve_all(count as usize, GFP_ATOMIC)
    }

    /// Sees to it that a connection has its turn when it has something to send, and when its time
    /// comes.
    pub(super) fn look_after<T: Types>(
        &mut self,
        way: &Way<'_>,
        slot: u32,
        connection: &mut Connection<T>,
    ) {
        if !connection.queued && way.tag.is_some() && connection.has_more(way.now) {
            // There is room: see `reserve`.
            connection.queued = self.ready.push_back(slot, GFP_ATOMIC).is_ok();
        }
        if connection.queued {
            // Its turn comes before its time, and then that is looked at.
            return;
        }
        let deadline = connection.deadline(way.rtt, way.tag.is_some());
        self.schedule.set(slot, deadline);
    }

    /// As [`look_after`](Self::look_after), for one that has had its turn, and may want another if
    /// it has used it.
    fn look_after_turn<T: Types>(
        &mut self,
        way: &Way<'_>,
        slot: u32,
        connection: &mut Connection<T>,
        used: bool,
    ) {
        match used {
            true => self.look_after(way, slot, connection),
            false => self.schedule.set(slot, connection.deadline(way.rtt, true)),
        }
    }
}

impl<T: Types> Connections<T> {
    /// Looks after a connection, if there is one: see [`Agenda::look_after`].
    pub(super) fn look_after(&mut self, way: &Way<'_>, slot: u32) {
        if let Some(connection) = self.table.live_at(slot) {
            self.agenda.look_after(way, slot, connection);
        }
    }

    /// Has acknowledgments sent that wait, on whatever connections: the peer wants an answer.
    ///
    /// What may go unasked is limited for all of them together. Who waits for it waits for one
    /// answer, but it may be the others that have taken all of it, with little on each.
    #[inline(never)]
    pub(super) fn hurry(&mut self, now: Instant) {
        let (ready, soon) = (&mut self.agenda.ready, now.plus(ACK_DELAY));
        for slot in self.agenda.schedule.soon(soon, ANSWERS_AT_ONCE) {
            let live = self.table.live_at(slot);
            if let Some(connection) = live.filter(|one| !one.queued && one.inc.owes()) {
                connection.inc.hurry(now);
                // There is room: see `reserve`.
                connection.queued = ready.push_back(slot, GFP_ATOMIC).is_ok();
            }
        }
    }

    /// Sends what one connection that is ready can send in one piece; returns how many packets.
    pub(in super::super) fn transmit(&mut self, way: &mut Way<'_>, host: &mut impl Host<T>) -> u32 {
        let Some(tag) = way.tag else {
            return 0;
        };
        while let Some(slot) = self.agenda.ready.pop_front() {
            let Some(connection) = self.table.live_at(slot).filter(|one| one.queued) else {
                continue;
            };
            connection.queued = false;
            if way.unasked == Unasked::All && !self.agenda.starved.is_empty() {
                way.unasked = way.budget.ahead_of_others();
            }
            if let Ok(packets) = self.take_turn(way, tag, slot, host) {
                return packets;
            }
        }
        0
    }

    /// Sends what a connection can send in one piece; returns how many packets, or what they wait
    /// for.
    pub(super) fn take_turn(
        &mut self,
        way: &mut Way<'_>,
        tag: u32,
        slot: u32,
        host: &mut impl Host<T>,
    ) -> Result<u32, Wait> {
        let connection = self.table.live_at(slot).ok_or(Wait::Event)?;
        let sent = connection.transmit(way, tag, host);
        if sent == Err(Wait::Budget) && !connection.starved {
            // There is room: see `reserve`.
            connection.starved = self.agenda.starved.push_back(slot, GFP_ATOMIC).is_ok();
        }
        self.agenda
            .look_after_turn(way, slot, connection, sent.is_ok());
        sent
    }

    /// Sends for the one that has waited longest for its share of the budget, whose turn it is;
    /// returns how many packets.
    pub(in super::super) fn transmit_starved(
        &mut self,
        way: &mut Way<'_>,
        host: &mut impl Host<T>,
    ) -> u32 {
        let Some(tag) = way.tag else {
            return 0;
        };
        way.unasked = Unasked::All;
        while let Some(&slot) = self.agenda.starved.front() {
            let mut sent = Err(Wait::Event);
            if let Some(connection) = self.table.live_at(slot).filter(|one| one.starved) {
                sent = connection.transmit(way, tag, host);
                if sent == Err(Wait::Budget) {
                    // Nobody else gets more of it either.
                    return 0;
                }
                connection.starved = false;
                self.agenda
                    .look_after_turn(way, slot, connection, sent.is_ok());
            }
            self.agenda.starved.pop_front();
            if let Ok(packets) = sent {
                return packets;
            }
        }
        0
    }
}
