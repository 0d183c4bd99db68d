// SPDX-License-Identifier: GPL-2.0

//! Messages on their way to a peer.

use super::{
    Peer,
    Verdict, //
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
            MAX_RESEND,
            MAX_RTO,
            MIN_RTO,
            OLDEST_EACH, //
        },
        rtt::Rtt,
        runs::Range,
        time::{
            Instant,
            Nanos,
            MICROSECOND, //
        },
        window::Window, //
    },
    wire::{
        control::Block,
        reliable::{
            Acks,
            Message,
            Segment,
            TransferId, //
        }, //
    },
};
use kernel::prelude::*;

/// A message that has no number yet.
pub(super) struct Waiting<M> {
    pub(super) message: M,
    /// Since when, or when its receiver last turned it away.
    pub(super) since: Instant,
    /// How often its receiver has had no room for it.
    pub(super) parked: u8,
}

impl<M: Outbound> Waiting<M> {
    pub(super) fn timeout(&self) -> Nanos {
        self.message.timeout()
    }
}

/// A message that is under way.
pub(super) struct Outgoing<M> {
    pub(super) message: M,
    pub(super) parked: u8,
    /// All before it has been sent at least once.
    sent: u32,
    /// Up to where may be sent.
    limit: u32,
    /// Up to where it is sent without a grant.
    unasked: u32,
    /// All before it has arrived, and may have been freed.
    pub(super) held: u32,
    /// How much of the budget it takes.
    pub(super) charged: u32,
    /// What the receiver misses.
    resend: KVec<Range>,
    sent_at: Instant,
    /// When the receiver last showed that it knows of it, or when it was first sent.
    heard: Instant,
    /// Whether anything was sent twice.
    repeated: bool,
}

impl<M: Outbound> Outgoing<M> {
    fn is_single(&self) -> bool {
        self.message.len() <= self.message.segment_len()
    }

    fn remaining(&self) -> u32 {
        self.message.len() - self.held
    }

    /// Returns whether there is something that may be sent, and has not been or was lost.
    fn has_more(&self) -> bool {
        !self.resend.is_empty() || self.sent < self.limit
    }

    /// Returns the bytes that go out next.
    fn next_offset(&mut self) -> Option<u32> {
        let step = self.message.segment_len();
        let held = self.held / step * step;
        while let Some(range) = self.resend.first_mut() {
            // What it began with may have arrived meanwhile, and be gone.
            let start = range.start.max(held);
            range.start = start.saturating_add(step);
            let wanted = start < range.end;
            if range.len() == 0 {
                let _ = self.resend.remove(0);
            }
            if wanted {
                self.repeated = true;
                return Some(start);
            }
        }
        if self.sent >= self.limit {
            return None;
        }
        let start = self.sent;
        self.sent = start.saturating_add(step).min(self.message.len());
        Some(start)
    }

    /// Notes what is to be sent again. What does not fit will be asked for once more.
    fn ask_again(&mut self, range: Range) {
        let step = self.message.segment_len();
        // The receiver does not know where the packets begin.
        let start = range.start.max(self.held) / step * step;
        let end = range.end.min(self.sent);
        if start >= end {
            return;
        }
        let known = self
            .resend
            .iter()
            .any(|old| old.start <= start && end <= old.end);
        if !known && self.resend.len() < MAX_RESEND {
            let _ = self.resend.push(Range { start, end }, GFP_ATOMIC);
        }
    }

    /// Returns the offset of the last packet that was sent.
    fn last_offset(&self) -> u32 {
        let step = self.message.segment_len();
        self.sent.saturating_sub(1) / step * step
    }

    fn segment_transfer(&self, id: Id, base: Id) -> TransferId {
        TransferId {
            id,
            // Less than a window.
            behind: id.after(base).unwrap_or(0) as u16,
        }
    }
}

/// What is to be sent to a peer, and what has been sent and not ended.
pub(super) struct Sending<M> {
    /// Messages of one packet that have not begun, the oldest first.
    short: Fifo<Waiting<M>>,
    /// Longer ones, the oldest first.
    long: KVec<Waiting<M>>,
    window: Window<Outgoing<M>>,
    /// Each transfer and when it was last sent, the oldest first; but those in `again`.
    flight: Fifo<(Id, Instant)>,
    /// What seems to be lost.
    again: Fifo<Id>,
    /// Longer ones that have something to send.
    active: KVec<Id>,
    turns: u32,
    /// When to try again what could not begin for want of memory.
    retry: Instant,
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
            retry: Instant::NEVER,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.window.is_empty() && self.short.is_empty() && self.long.is_empty()
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

    pub(super) fn submit(&mut self, now: Instant, message: M) -> Result<(), M> {
        let waiting = Waiting {
            message,
            since: now,
            parked: 0,
        };
        self.wait(waiting).map_err(|waiting| waiting.message)
    }

    /// Queues a message; hands it back if memory is short.
    pub(super) fn wait(&mut self, waiting: Waiting<M>) -> Result<(), Waiting<M>> {
        if waiting.message.len() <= waiting.message.segment_len() {
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
            host.ended(outgoing.message, outcome);
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
                        host.ended(waiting.message, outcome);
                    }
                }
                None => at += 1,
            }
        }
    }

    /// Makes sure that no transfer, once begun, can be lost for want of memory.
    fn reserve(&mut self) -> Result {
        // What has ended may still be in both, and what is in one may move to the other.
        let count = self.flight.len() + self.again.len() + 1;
        self.flight.reserve_all(count, GFP_ATOMIC)?;
        self.again.reserve_all(count, GFP_ATOMIC)?;
        let more = (self.window.len() + 1).saturating_sub(self.active.len());
        self.active.reserve(more, GFP_ATOMIC)?;
        Ok(())
    }

    /// Gives a message a number and up to `unasked` bytes to send.
    fn begin(&mut self, now: Instant, waiting: Waiting<M>, unasked: u32) -> Result<Id, Waiting<M>> {
        if self.window.is_full() {
            return Err(waiting);
        }
        if self.reserve().is_err() {
            self.retry = now.plus(MIN_RTO);
            return Err(waiting);
        }
        let (since, parked) = (waiting.since, waiting.parked);
        let outgoing = Outgoing {
            message: waiting.message,
            parked,
            sent: 0,
            limit: unasked,
            unasked,
            held: 0,
            charged: unasked,
            resend: KVec::new(),
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
                })
            }
        }
    }

    fn activate(&mut self, id: Id) {
        if !self.active.contains(&id) {
            let _ = self.active.push(id, GFP_ATOMIC);
        }
    }

    /// Returns where in `active` the transfer is that goes on: mostly that with the least to go.
    fn choose(&mut self) -> Option<usize> {
        self.turns = self.turns.wrapping_add(1);
        if self.active.len() < 2 || self.turns % OLDEST_EACH == 0 {
            return (!self.active.is_empty()).then_some(0);
        }
        let remaining = |id: &Id| self.window.get(*id).map_or(0, Outgoing::remaining);
        (0..self.active.len()).min_by_key(|at| self.active.get(*at).map(remaining))
    }

    /// Returns where in `long` the message is that begins next.
    fn choose_long(&mut self) -> Option<usize> {
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
            Some(outcome) => host.ended(waiting.message, outcome),
            // There is room: it has just been taken out.
            None => drop(queue.push_back(waiting, GFP_ATOMIC)),
        }
    }
}

impl<T: Types> Peer<T> {
    /// Sends again what seems to be lost, if the budget allows it.
    pub(super) fn transmit_again(
        &mut self,
        now: Instant,
        tag: u32,
        host: &mut impl Host<T>,
    ) -> bool {
        loop {
            let Some(&id) = self.sending.again.front() else {
                return false;
            };
            let Some(outgoing) = self.sending.window.get_mut(id) else {
                self.sending.again.pop_front();
                continue;
            };
            let single = outgoing.is_single();
            if single {
                let len = outgoing.message.len();
                if !self.budget.allows(len) {
                    return false;
                }
                self.budget.spend(len);
                outgoing.charged = len;
            }
            outgoing.repeated = true;
            self.sending.again.pop_front();
            let _ = self.sending.flight.push_back((id, now), GFP_ATOMIC);
            if single {
                self.send_message(now, tag, id, true, host);
            } else {
                let offset = self.sending.window.get(id).map_or(0, Outgoing::last_offset);
                self.send_segment(now, tag, id, offset, true, host);
            }
            return true;
        }
    }

    /// Begins a transfer, if the budget allows it.
    pub(super) fn transmit_new(&mut self, now: Instant, tag: u32, host: &mut impl Host<T>) -> bool {
        if let Some(first) = self.sending.short.front() {
            let len = first.message.len();
            if self.sending.window.is_full() || !self.budget.allows(len) {
                return false;
            }
            let Some(waiting) = self.sending.short.pop_front() else {
                return false;
            };
            return match self.sending.begin(now, waiting, len) {
                Ok(id) => {
                    self.budget.spend(len);
                    self.send_message(now, tag, id, false, host);
                    true
                }
                Err(waiting) => {
                    // It has lost its place, but not more: a timer tries again.
                    let _ = self.sending.short.push_back(waiting, GFP_ATOMIC);
                    false
                }
            };
        }
        self.begin_long(now)
            .is_some_and(|id| self.continue_with(now, tag, id, host))
    }

    /// Begins the transfer of a message that takes several packets.
    fn begin_long(&mut self, now: Instant) -> Option<Id> {
        if self.sending.window.is_full() {
            return None;
        }
        let at = self.sending.choose_long()?;
        let message = &self.sending.long.get(at)?.message;
        let (len, step) = (message.len(), message.segment_len());
        if !self.budget.allows(step) {
            return None;
        }
        let unasked = (self.budget.room_for_long() / step * step)
            .max(step)
            .min(len);
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

    /// Sends a packet of the transfer whose turn it is.
    pub(super) fn transmit_segment(
        &mut self,
        now: Instant,
        tag: u32,
        host: &mut impl Host<T>,
    ) -> bool {
        while let Some(at) = self.sending.choose() {
            let Some(&id) = self.sending.active.get(at) else {
                return false;
            };
            if self.continue_with(now, tag, id, host) {
                return true;
            }
            let _ = self.sending.active.remove(at);
        }
        false
    }

    /// Sends the next packet of a transfer, if there is one.
    fn continue_with(&mut self, now: Instant, tag: u32, id: Id, host: &mut impl Host<T>) -> bool {
        let Some(outgoing) = self.sending.window.get_mut(id) else {
            return false;
        };
        match outgoing.next_offset() {
            Some(offset) => {
                self.send_segment(now, tag, id, offset, false, host);
                true
            }
            None => false,
        }
    }

    fn send_message(
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

    fn send_segment(
        &mut self,
        now: Instant,
        tag: u32,
        id: Id,
        offset: u32,
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
                offset,
                total: outgoing.message.len(),
                unasked: outgoing.unasked,
            };
            host.transmit(Packet::Segment(segment, &mut outgoing.message));
        }
    }

    /// Takes what the peer acknowledges.
    pub(super) fn on_acks(
        &mut self,
        now: Instant,
        acks: &Acks,
        host: &mut impl Host<T>,
    ) -> Result<(), Verdict> {
        if self.sending.window.is_empty() {
            return Ok(());
        }
        let next = self.sending.window.next();
        let base = self.sending.window.base();
        if let Some(ended) = acks.floor.after(base) {
            // It cannot have what was never sent.
            if next.after(acks.floor).is_none() {
                return Err(Verdict::Invalid);
            }
            for at in 0..ended {
                self.on_delivered(now, base.plus(at), acks, host);
            }
        }
        self.on_delivered(now, acks.latest, acks, host);
        let base = self.sending.window.base();
        let open = acks.latest.after(base).unwrap_or(0).min(u32::BITS);
        for at in 0..open {
            if acks.bits & 1 << at != 0 {
                self.on_delivered(now, acks.latest.minus(at + 1), acks, host);
            }
        }
        self.forget_ended();
        Ok(())
    }

    /// Keeps what has ended from being waited for.
    fn forget_ended(&mut self) {
        while let Some((id, _)) = self.sending.flight.front() {
            if self.sending.window.contains(*id) {
                break;
            }
            self.sending.flight.pop_front();
        }
    }

    fn on_delivered(&mut self, now: Instant, id: Id, acks: &Acks, host: &mut impl Host<T>) {
        let Some(outgoing) = self.sending.close(id) else {
            return;
        };
        self.budget.acknowledge(outgoing.charged);
        self.rtt.answered();
        if !outgoing.repeated {
            if id == acks.latest {
                let held_back = Nanos::from(acks.delay) * MICROSECOND;
                self.rtt
                    .sample(now.since(outgoing.sent_at).saturating_sub(held_back));
            }
            self.detect_losses(now, outgoing.sent_at);
        }
        let port = outgoing.message.ports().destination;
        host.ended(outgoing.message, Outcome::Delivered);
        if !self.parking.is_empty() {
            self.follow_up(now, port, outgoing.parked, host);
        }
    }

    /// What was sent clearly before something that has arrived is lost (RFC 8985).
    fn detect_losses(&mut self, now: Instant, arrived: Instant) {
        let patience = self.rtt.patience();
        while let Some(&(id, at)) = self.sending.flight.front() {
            if self.sending.window.contains(id) {
                if at.plus(patience) >= arrived {
                    return;
                }
                self.sending.flight.pop_front();
                self.on_lost(now, id);
            } else {
                self.sending.flight.pop_front();
            }
        }
    }

    /// Takes note that nothing was heard of a transfer, which is not in `flight` now.
    fn on_lost(&mut self, now: Instant, id: Id) {
        let Some(outgoing) = self.sending.window.get_mut(id) else {
            return;
        };
        let single = outgoing.is_single();
        let goes_on = outgoing.sent < outgoing.limit || outgoing.sent_at.max(outgoing.heard) == now;
        if !single && goes_on {
            let _ = self.sending.flight.push_back((id, now), GFP_ATOMIC);
            return;
        }
        // What waits in `again` takes nothing of the budget: all that does is in `flight`, and so
        // has a timer.
        self.budget.release(outgoing.charged);
        outgoing.charged = 0;
        if single {
            self.budget.lost(now, self.rtt.smoothed());
        }
        let _ = self.sending.again.push_back(id, GFP_ATOMIC);
    }

    /// Ends a transfer with what the peer says of it.
    pub(super) fn on_end(
        &mut self,
        _now: Instant,
        id: Id,
        outcome: Outcome,
        host: &mut impl Host<T>,
    ) {
        if let Some(outgoing) = self.sending.close(id) {
            self.budget.release(outgoing.charged);
            self.rtt.answered();
            host.ended(outgoing.message, outcome);
        }
    }

    /// The receiver lets a transfer go on.
    pub(super) fn on_grant(&mut self, now: Instant, id: Id, limit: u32, held: u32) {
        let Some(outgoing) = self.sending.window.get_mut(id) else {
            return;
        };
        self.rtt.answered();
        outgoing.heard = now;
        outgoing.limit = outgoing.limit.max(limit.min(outgoing.message.len()));
        let held = held.min(outgoing.sent);
        if held > outgoing.held {
            outgoing.held = held;
            // Packets that can still go out, asked for or as a probe, stay whole.
            let step = outgoing.message.segment_len();
            outgoing
                .message
                .held((held / step * step).min(outgoing.last_offset()));
            // What was sent unasked and has arrived is no longer under way.
            let charged = outgoing.unasked.saturating_sub(held).min(outgoing.charged);
            self.budget.acknowledge(outgoing.charged - charged);
            outgoing.charged = charged;
        }
        if outgoing.has_more() {
            self.sending.activate(id);
        }
    }

    /// The receiver misses something of a transfer, and so lets it send up to there.
    pub(super) fn on_resend(&mut self, now: Instant, id: Id, start: u32, end: u32) {
        let Some(outgoing) = self.sending.window.get_mut(id) else {
            return;
        };
        self.rtt.answered();
        outgoing.heard = now;
        outgoing.limit = outgoing.limit.max(end.min(outgoing.message.len()));
        outgoing.ask_again(Range { start, end });
        if start < outgoing.unasked {
            self.budget.lost(now, self.rtt.smoothed());
        }
        if outgoing.has_more() {
            self.sending.activate(id);
        }
    }

    /// Looks for what should have been answered.
    pub(super) fn handle_sending_timeout(&mut self, now: Instant, host: &mut impl Host<T>) {
        if now >= self.sending.retry {
            self.sending.retry = Instant::NEVER;
        }
        let timeout = self.rtt.timeout();
        let mut silent = false;
        for _ in 0..self.sending.flight.len() {
            let Some(&(id, at)) = self.sending.flight.front() else {
                break;
            };
            if at.plus(timeout) > now {
                break;
            }
            self.sending.flight.pop_front();
            silent |= self.on_timeout(now, id, timeout, host);
        }
        if silent {
            self.rtt.back_off();
            self.budget.collapse(now, self.rtt.smoothed());
            self.fail_silent(now, Outcome::TimedOut, host);
        }
    }

    /// A transfer's turn to be looked at; returns whether it was not answered.
    fn on_timeout(
        &mut self,
        now: Instant,
        id: Id,
        timeout: Nanos,
        host: &mut impl Host<T>,
    ) -> bool {
        let Some(outgoing) = self.sending.window.get(id) else {
            return false;
        };
        if now.since(outgoing.heard) >= outgoing.message.timeout() {
            if let Some(outgoing) = self.sending.close(id) {
                self.budget.release(outgoing.charged);
                host.ended(outgoing.message, Outcome::TimedOut);
            }
            self.receiving.tell(Block::Abandon { id });
            return true;
        }
        // While the receiver has not granted all, it is its turn to ask; it is only looked after.
        let known = outgoing.heard > outgoing.sent_at || outgoing.held > 0;
        let patience = if known && outgoing.sent < outgoing.message.len() {
            // Often enough for a few of these to be lost.
            MAX_RTO.min(outgoing.message.timeout() / 8)
        } else {
            timeout
        };
        if !outgoing.is_single() && now.since(outgoing.sent_at.max(outgoing.heard)) < patience {
            let _ = self.sending.flight.push_back((id, now), GFP_ATOMIC);
            return false;
        }
        self.on_lost(now, id);
        true
    }
}
