// SPDX-License-Identifier: GPL-2.0

//! Messages on their way to a peer: which goes on next, and by what packet.

use super::{
    outgoing::{
        Outgoing,
        Waiting, //
    },
    Peer, //
};
use crate::{
    engine::{
        fifo::Fifo,
        host::{
            Host,
            Outbound,
            Outcome,
            Packet,
            Types, //
        },
        id::Id,
        limits::{
            ACK_BYTES,
            MIN_RTO,
            OLDEST_EACH, //
        },
        resend::Resend,
        rtt::Rtt,
        runs::Range,
        time::Instant,
        window::Window, //
    },
    wire::reliable::{
        Message,
        Segment, //
    },
};
use kernel::prelude::*;

/// What is to be sent to a peer, and what has been sent and not ended.
pub(super) struct Sending<M> {
    /// Messages of one packet that have not begun, the oldest first.
    pub(super) short: Fifo<Waiting<M>>,
    /// Longer ones, the oldest first.
    pub(super) long: KVec<Waiting<M>>,
    pub(super) window: Window<Outgoing<M>>,
    /// Each transfer and when it was last sent, the oldest first; but those in `again`.
    pub(super) flight: Fifo<(Id, Instant)>,
    /// What seems to be lost.
    pub(super) again: Fifo<Id>,
    /// Longer ones that have something to send.
    pub(super) active: KVec<Id>,
    pub(super) turns: u32,
    /// Whether a connection goes before a long message, where both wait.
    pub(super) stream_next: bool,
    /// When to try again what could not begin for want of memory.
    pub(super) retry: Instant,
}

impl<M: Outbound> Sending<M> {
    pub(super) const fn new() -> Self {
        Self {
            short: Fifo::new(),
            long: KVec::new(),
            window: Window::new(),
            flight: Fifo::new(),
            again: Fifo::new(),
            active: KVec::new(),
            turns: 0,
            stream_next: false,
            retry: Instant::NEVER,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.window.is_empty() && self.short.is_empty() && self.long.is_empty()
    }

    /// Returns whether there may be something to send.
    pub(super) fn has_more(&self) -> bool {
        !self.again.is_empty()
            || !self.short.is_empty()
            || !self.long.is_empty()
            || !self.active.is_empty()
    }

    /// Returns how many messages are under way, and how many of their bytes.
    pub(super) fn under_way(&self) -> (u32, u64) {
        let bytes = self
            .window
            .iter()
            .map(|(_, outgoing)| u64::from(outgoing.remaining()));
        (self.window.len() as u32, bytes.sum())
    }

    /// Returns how many messages have not begun.
    pub(super) fn waiting(&self) -> u32 {
        (self.short.len() + self.long.len()) as u32
    }

    /// Returns the number of the oldest transfer that has not ended.
    pub(super) fn base(&self) -> Id {
        self.window.base()
    }

    /// Queues a message; hands it back if memory is short.
    pub(super) fn wait(&mut self, waiting: Waiting<M>) -> Result<(), Waiting<M>> {
        if waiting.message.len() <= waiting.message.segment_len().get() {
            return self.short.push_back(waiting, GFP_ATOMIC);
        }
        if self.long.reserve(1, GFP_ATOMIC).is_err() {
            return Err(waiting);
        }
        self.long
            .push_within_capacity(waiting)
            .map_err(|error| error.0)
    }

    /// Returns when the oldest packet under way should have been answered.
    pub(super) fn deadline(&self, rtt: &Rtt) -> Instant {
        let answer = match self.flight.front() {
            Some((_, at)) => at.plus(rtt.timeout()),
            None => Instant::NEVER,
        };
        answer.min(self.retry)
    }

    /// Ends a transfer.
    pub(super) fn close(&mut self, id: Id) -> Option<Outgoing<M>> {
        self.window.close(id)
    }

    /// Fails what is under way; the numbers begin anew.
    pub(super) fn fail_sent<T>(&mut self, outcome: Outcome, host: &mut impl Host<T>)
    where
        T: Types<Outbound = M>,
    {
        while let Some(outgoing) = self.window.pop() {
            host.message_ended(outgoing.message, outcome);
        }
        self.window = Window::new();
        self.flight = Fifo::new();
        self.again = Fifo::new();
        self.active = KVec::new();
    }

    /// Fails those that wait and for which `judge` has an outcome.
    pub(super) fn fail_waiting<T>(
        &mut self,
        host: &mut impl Host<T>,
        mut judge: impl FnMut(&Waiting<M>) -> Option<Outcome>,
    ) where
        T: Types<Outbound = M>,
    {
        fail_some(&mut self.short, host, &mut judge);
        let mut at = 0;
        while let Some(waiting) = self.long.get(at) {
            match judge(waiting) {
                Some(outcome) => {
                    if let Ok(waiting) = self.long.remove(at) {
                        host.message_ended(waiting.message, outcome);
                    }
                }
                None => at += 1,
            }
        }
    }

    /// Makes sure that no transfer, once begun, can be lost for want of memory.
    pub(super) fn reserve(&mut self) -> Result {
        // What has ended may still be in both, and what is in one may move to the other.
        let count = self.flight.len() + self.again.len() + 1;
        self.flight.reserve_all(count, GFP_ATOMIC)?;
        self.again.reserve_all(count, GFP_ATOMIC)?;
        let more = (self.window.len() + 1).saturating_sub(self.active.len());
        self.active.reserve(more, GFP_ATOMIC)?;
        Ok(())
    }

    /// Gives a message a number and up to `unasked` bytes to send.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        waiting: Waiting<M>,
        unasked: u32,
    ) -> Result<Id, Waiting<M>> {
        if self.window.is_full() {
            return Err(waiting);
        }
        if self.reserve().is_err() {
            self.retry = now.plus(MIN_RTO);
            return Err(waiting);
        }
        let (since, parked) = (waiting.since, waiting.parked);
        let (probe, last) = (waiting.probe, waiting.last);
        let outgoing = Outgoing {
            message: waiting.message,
            parked,
            probe,
            last,
            sent: 0,
            limit: unasked,
            unasked,
            held: 0,
            charged: unasked,
            resend: Resend::new(),
            sent_at: now,
            heard: now,
            repeated: false,
        };
        match self.window.open(outgoing, GFP_ATOMIC) {
            Ok(id) => {
                // There is room: see `reserve`.
                let _ = self.flight.push_back((id, now), GFP_ATOMIC);
                Ok(id)
            }
            Err(outgoing) => {
                self.retry = now.plus(MIN_RTO);
                Err(Waiting {
                    message: outgoing.message,
                    since,
                    parked,
                    probe,
                    last,
                })
            }
        }
    }

    pub(super) fn activate(&mut self, id: Id) {
        if !self.active.contains(&id) {
            let _ = self.active.push(id, GFP_ATOMIC);
        }
    }

    /// Returns where in `active` the transfer is that goes on: mostly that with the least to go.
    pub(super) fn choose(&mut self) -> Option<usize> {
        self.turns = self.turns.wrapping_add(1);
        if self.active.len() < 2 || self.turns % OLDEST_EACH == 0 {
            return (!self.active.is_empty()).then_some(0);
        }
        let remaining = |id: &Id| self.window.get(*id).map_or(0, Outgoing::remaining);
        (0..self.active.len()).min_by_key(|at| self.active.get(*at).map(remaining))
    }

    /// Returns where in `long` the message is that begins next.
    pub(super) fn choose_long(&mut self) -> Option<usize> {
        self.turns = self.turns.wrapping_add(1);
        if self.turns % OLDEST_EACH == 0 {
            return (!self.long.is_empty()).then_some(0);
        }
        let len = |waiting: &Waiting<M>| waiting.message.len();
        (0..self.long.len()).min_by_key(|at| self.long.get(*at).map(len))
    }
}

/// Fails those in a queue for which `judge` has an outcome.
pub(super) fn fail_some<T: Types>(
    queue: &mut Fifo<Waiting<T::Outbound>>,
    host: &mut impl Host<T>,
    judge: &mut impl FnMut(&Waiting<T::Outbound>) -> Option<Outcome>,
) {
    for _ in 0..queue.len() {
        let Some(waiting) = queue.pop_front() else {
            return;
        };
        match judge(&waiting) {
            Some(outcome) => host.message_ended(waiting.message, outcome),
            // There is room: it has just been taken out.
            None => drop(queue.push_back(waiting, GFP_ATOMIC)),
        }
    }
}

impl<T: Types> Peer<T> {
    /// Sends again what seems to be lost, if the budget allows it; returns how many packets.
    pub(super) fn transmit_again(
        &mut self,
        now: Instant,
        tag: u32,
        host: &mut impl Host<T>,
    ) -> u32 {
        loop {
            let Some(&id) = self.sending.again.front() else {
                return 0;
            };
            let Some(outgoing) = self.sending.window.get_mut(id) else {
                self.sending.again.pop_front();
                continue;
            };
            let single = outgoing.is_single();
            if single {
                let len = outgoing.message.len();
                if !self.budget.allows(len) {
                    return 0;
                }
                self.budget.spend(len);
                outgoing.charged = len;
            }
            outgoing.repeated = true;
            let last = outgoing.last_packet();
            self.sending.again.pop_front();
            let _ = self.sending.flight.push_back((id, now), GFP_ATOMIC);
            if single {
                self.send_message(now, tag, id, true, host);
            } else {
                self.send_segments(now, tag, id, last, true, host);
            }
            return 1;
        }
    }

    /// Returns whether a message can be sent that has just come, since none is before it.
    pub(super) fn goes_at_once(&mut self, message: &T::Outbound) -> bool {
        let len = message.len();
        len <= message.segment_len().get()
            && !self.others_wait()
            && self.sending.short.is_empty()
            && self.sending.again.is_empty()
            && self.receiving.blocks.is_empty()
            && !self.sending.window.is_full()
            && self.budget.allows(len)
    }

    /// Sends a message of one packet; hands it back if memory is short.
    pub(super) fn send_at_once(
        &mut self,
        now: Instant,
        tag: u32,
        waiting: Waiting<T::Outbound>,
        host: &mut impl Host<T>,
    ) -> Result<(), Waiting<T::Outbound>> {
        let len = waiting.message.len();
        match self.sending.begin(now, waiting, len) {
            Ok(id) => {
                let answer = self.budget.spend_last(len);
                self.send_message(now, tag, id, answer, host);
                Ok(())
            }
            Err(waiting) => self.sending.wait(waiting),
        }
    }

    /// Begins the oldest transfer of one packet, if the budget allows it; returns how many packets
    /// were sent.
    pub(super) fn begin_short(&mut self, now: Instant, tag: u32, host: &mut impl Host<T>) -> u32 {
        let first = self.sending.short.front();
        let len = first.map_or(0, |waiting| waiting.message.len());
        if !self.budget.allows(len) {
            return 0;
        }
        let Some(waiting) = self.sending.short.pop_front() else {
            return 0;
        };
        match self.sending.begin(now, waiting, len) {
            Ok(id) => {
                let answer = self.budget.spend_last(len);
                if self.others_wait() {
                    self.budget.go_ahead(len);
                }
                self.send_message(now, tag, id, answer, host);
                1
            }
            Err(waiting) => {
                // It has lost its place, but not more: a timer tries again.
                let _ = self.sending.short.push_back(waiting, GFP_ATOMIC);
                0
            }
        }
    }

    /// Begins the transfer of a message that takes several packets.
    pub(super) fn begin_long(&mut self, now: Instant) -> Option<Id> {
        let at = self.sending.choose_long()?;
        let waiting = self.sending.long.get(at)?;
        let (len, step) = (waiting.message.len(), waiting.message.segment_len());
        if !self.budget.allows(step.get()) {
            return None;
        }
        let unasked = match waiting.probe {
            true => 0,
            false => self.budget.room_for_long(len) / step * step.get(),
        };
        let unasked = unasked.max(step.get()).min(len);
        let waiting = self.sending.long.remove(at).ok()?;
        match self.sending.begin(now, waiting, unasked) {
            Ok(id) => {
                self.budget.spend(unasked);
                self.sending.activate(id);
                Some(id)
            }
            Err(waiting) => {
                let _ = self.sending.long.push_within_capacity(waiting);
                None
            }
        }
    }

    /// Sends a piece of the transfer whose turn it is; returns how many packets.
    pub(super) fn transmit_segments(
        &mut self,
        now: Instant,
        tag: u32,
        host: &mut impl Host<T>,
    ) -> u32 {
        while let Some(at) = self.sending.choose() {
            let Some(&id) = self.sending.active.get(at) else {
                return 0;
            };
            match self.continue_with(now, tag, id, host) {
                0 => drop(self.sending.active.remove(at)),
                packets => return packets,
            }
        }
        0
    }

    /// Sends the next piece of a transfer, if there is one; returns how many packets.
    pub(super) fn continue_with(
        &mut self,
        now: Instant,
        tag: u32,
        id: Id,
        host: &mut impl Host<T>,
    ) -> u32 {
        let Some(outgoing) = self.sending.window.get_mut(id) else {
            return 0;
        };
        let Some(piece) = outgoing.next_piece() else {
            return 0;
        };
        let packets = outgoing.packets(piece);
        // Who waits until a long one is delivered should not wait for a packet that tells so.
        let ends_much = piece.end == outgoing.message.len() && piece.end >= ACK_BYTES;
        let awaited = ends_much && outgoing.message.is_awaited();
        let answer = awaited || ends_much && self.messages_follow();
        self.send_segments(now, tag, id, piece, answer, host);
        packets
    }

    /// Returns whether messages wait to begin.
    fn messages_follow(&self) -> bool {
        !self.sending.long.is_empty() || !self.sending.short.is_empty() || !self.parking.is_empty()
    }

    pub(super) fn send_message(
        &mut self,
        now: Instant,
        tag: u32,
        id: Id,
        answer: bool,
        host: &mut impl Host<T>,
    ) {
        let reliable = self.reliable(now, tag, answer);
        let base = self.sending.window.base();
        if let Some(outgoing) = self.sending.window.get_mut(id) {
            outgoing.sent = outgoing.message.len();
            outgoing.sent_at = now;
            let transfer = outgoing.segment_transfer(id, base);
            let message = Message { reliable, transfer };
            host.transmit(Packet::Message(message, &mut outgoing.message));
        }
    }

    pub(super) fn send_segments(
        &mut self,
        now: Instant,
        tag: u32,
        id: Id,
        piece: Range,
        answer: bool,
        host: &mut impl Host<T>,
    ) {
        let reliable = self.reliable(now, tag, answer);
        let base = self.sending.window.base();
        if let Some(outgoing) = self.sending.window.get_mut(id) {
            outgoing.sent_at = now;
            let segment = Segment {
                reliable,
                transfer: outgoing.segment_transfer(id, base),
                offset: piece.start,
                total: outgoing.message.len(),
                unasked: outgoing.unasked,
            };
            host.transmit(Packet::Segment(segment, piece.end, &mut outgoing.message));
        }
    }
}
