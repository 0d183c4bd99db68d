// SPDX-License-Identifier: GPL-2.0

//! What a peer says of the messages that were sent to it, and what its silence says.

use super::{
    outgoing::Outgoing,
    Peer,
    Verdict, //
};
use crate::{
    engine::{
        host::{
            Host,
            Outbound,
            Outcome,
            Types, //
        },
        id::Id,
        limits::MAX_RTO,
        runs::Range,
        time::{
            Instant,
            Nanos,
            MICROSECOND, //
        },
    },
    wire::{
        control::Block,
        reliable::Acks, //
    },
};
use kernel::prelude::*;

impl<T: Types> Peer<T> {
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
        // What is before the base has ended, and so has all before that.
        if acks.latest.after(self.sending.window.base()).is_some() {
            self.on_delivered(now, acks.latest, acks, host);
        }
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
        self.sending.window.shrink();
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
                let measured = now.since(outgoing.sent_at).saturating_sub(held_back);
                self.rtt.sample(now, measured);
                if self.rtt.is_queued(measured) {
                    self.budget.delayed(now, self.rtt.smoothed());
                }
            }
            self.detect_losses(now, outgoing.sent_at, host);
        }
        let port = outgoing.message.ports().destination;
        host.message_ended(outgoing.message, Outcome::Delivered);
        if !self.parking.is_empty() {
            self.follow_up(now, port, outgoing.probe, host);
        }
    }

    /// What was sent clearly before something that has arrived is lost (RFC 8985).
    fn detect_losses(&mut self, now: Instant, arrived: Instant, host: &mut impl Host<T>) {
        let patience = self.rtt.patience();
        let timeout = self.rtt.timeout();
        while let Some(&(id, at)) = self.sending.flight.front() {
            let Some(outgoing) = self.sending.window.get(id) else {
                self.sending.flight.pop_front();
                continue;
            };
            if at.plus(patience) >= arrived {
                return;
            }
            let last = outgoing.sent_at;
            // What waits for a grant need not have been answered yet.
            let waits = outgoing.sent < outgoing.message.len()
                && now.since(last.max(outgoing.heard)) < silence_allowed(outgoing, timeout);
            self.sending.flight.pop_front();
            // Here, too: while others are answered, no turn of it may ever come by time.
            if self.end_if_silent(now, id, host) {
                continue;
            }
            if waits || last.plus(patience) >= arrived {
                // Or other packets of it are younger.
                let _ = self.sending.flight.push_back((id, now), GFP_ATOMIC);
            } else {
                self.on_lost(now, id);
            }
        }
    }

    /// Ends a transfer of which nothing was heard for as long as its socket allows.
    fn end_if_silent(&mut self, now: Instant, id: Id, host: &mut impl Host<T>) -> bool {
        let Some(outgoing) = self.sending.window.get(id) else {
            return false;
        };
        if now.since(outgoing.heard) < outgoing.message.timeout() {
            return false;
        }
        if let Some(outgoing) = self.sending.close(id) {
            self.budget.release(outgoing.charged);
            host.message_ended(outgoing.message, Outcome::TimedOut);
        }
        self.receiving.blocks.push(Block::Abandon { id });
        true
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
            host.message_ended(outgoing.message, outcome);
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
                .held((held / step * step.get()).min(outgoing.last_offset()));
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
        let (mut silent, mut patience) = (false, timeout);
        for _ in 0..self.sending.flight.len() {
            let Some(&(id, at)) = self.sending.flight.front() else {
                break;
            };
            if at.plus(patience) > now {
                break;
            }
            self.sending.flight.pop_front();
            if self.on_timeout(now, id, timeout, host) {
                silent = true;
                // What was sent soon after it is lost, too. One by one, each would double the
                // timeout, and those left would take all of what may be under way.
                patience = timeout / 2;
            }
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
        if self.end_if_silent(now, id, host) {
            return true;
        }
        let Some(outgoing) = self.sending.window.get(id) else {
            return false;
        };
        let patience = silence_allowed(outgoing, timeout);
        if !outgoing.is_single() && now.since(outgoing.sent_at.max(outgoing.heard)) < patience {
            let _ = self.sending.flight.push_back((id, now), GFP_ATOMIC);
            return false;
        }
        self.on_lost(now, id);
        true
    }
}

/// Returns how long nothing may be heard of a transfer before its receiver is asked.
fn silence_allowed<M: Outbound>(outgoing: &Outgoing<M>, timeout: Nanos) -> Nanos {
    // While the receiver has not granted all, it is its turn to ask; it is only looked after.
    let known = outgoing.heard > outgoing.sent_at || outgoing.held > 0;
    if known && outgoing.sent < outgoing.message.len() {
        // Often enough for a few of these to be lost.
        MAX_RTO.min(outgoing.message.timeout() / 8)
    } else {
        timeout
    }
}
