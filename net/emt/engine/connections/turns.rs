// SPDX-License-Identifier: GPL-2.0

//! Whose turn it is to send.

use super::{
    outflow::Wait,
    Connections,
    Way, //
};
use crate::engine::{
    host::{
        Host,
        Types, //
    },
    time::Instant, //
};
use kernel::prelude::*;

impl<T: Types> Connections<T> {
    /// Sees to it that a connection has its turn when it has something to send, and when its time
    /// comes.
    pub(super) fn look_after(&mut self, way: &mut Way<'_>, slot: u32) {
        let Some(connection) = self.table.live_at(slot) else {
            return;
        };
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

    /// Sends what one connection that is ready can send in one piece; returns how many packets.
    pub(in super::super) fn transmit(&mut self, way: &mut Way<'_>, host: &mut impl Host<T>) -> u32 {
        let Some(tag) = way.tag else {
            return 0;
        };
        while let Some(slot) = self.ready.pop_front() {
            let Some(connection) = self.table.live_at(slot).filter(|one| one.queued) else {
                continue;
            };
            connection.queued = false;
            way.unasked &= self.starved.is_empty();
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
            connection.starved = self.starved.push_back(slot, GFP_ATOMIC).is_ok();
        }
        self.look_after_sent(way, slot, sent.is_ok());
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
        way.unasked = true;
        while let Some(&slot) = self.starved.front() {
            let mut sent = Err(Wait::Event);
            if let Some(connection) = self.table.live_at(slot).filter(|one| one.starved) {
                sent = connection.transmit(way, tag, host);
                if sent == Err(Wait::Budget) {
                    // Nobody else gets more of it either.
                    return 0;
                }
                connection.starved = false;
            }
            self.starved.pop_front();
            self.look_after_sent(way, slot, sent.is_ok());
            if let Ok(packets) = sent {
                return packets;
            }
        }
        0
    }

    /// As [`look_after`](Self::look_after), for one that has had its turn, and may want another if
    /// it has used it.
    fn look_after_sent(&mut self, way: &mut Way<'_>, slot: u32, used: bool) {
        if used {
            return self.look_after(way, slot);
        }
        let connection = self.table.live_at(slot);
        let deadline = connection.map_or(Instant::NEVER, |one| one.deadline(way.rtt, true));
        self.schedule.set(slot, deadline);
    }
}
