// SPDX-License-Identifier: GPL-2.0

//! One direction of a connection, seen from who sends: what is queued, under way and asked for
//! again.

use super::{
    choice::{
        Choice,
        Found,
        Part,
        Span, //
    },
    patience::Patience,
    pieces::Pieces,
    place::{
        expand,
        Place, //
    },
};
use crate::{
    engine::{
        budget::{
            Budget,
            Unasked, //
        },
        host::Piece,
        limits::{
            FIRST_RTO,
            MAX_RTO,
            MORE_TIME, //
        },
        resend::Resend,
        rtt::Rtt,
        time::{
            Instant,
            Nanos,
            MICROSECOND, //
        },
    },
    wire::flow::{
        Flags,
        Flow, //
    },
};
use kernel::{
    alloc::AllocError,
    prelude::*, //
};

/// How far a direction has come to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sending {
    /// More may be queued.
    Open,
    /// No more comes after what is queued.
    Ending,
    /// The peer has it all, and knows that it is all; or it does not want any more.
    Ended,
}

/// What has to happen before more can go out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wait {
    /// Something that this direction is told of.
    Event,
    /// That others need less of the budget.
    Budget,
}

/// Who sends.
pub(super) struct Outflow<P> {
    /// What is before `held` is gone.
    pieces: Pieces<P>,
    /// Where what is queued ends.
    end: Place,
    /// All before it has been sent at least once.
    sent: Place,
    /// All before it has arrived.
    held: Place,
    /// Up to where the peer has room.
    limit: Place,
    /// Up to where the peer's device has asked for it.
    granted: Place,
    /// What the peer misses.
    again: Resend<Span>,
    /// How much of the budget it takes.
    charged: u32,
    /// All before it goes out even if it is less than a packet.
    pushed: Place,
    /// Where the last packet ended that was not full.
    small: Place,
    /// Bytes before this were sent then, once, and their arrival is not known yet.
    timed: Option<(Place, Instant)>,
    /// Where what was sent ended when something was last sent again: of what is before that it is
    /// not known which packet is answered (Karn's rule).
    repaired: Place,
    /// Since when nothing has been heard of what is under way, or the peer has had no room.
    since: Instant,
    /// Since when there is something to be heard of.
    waits: Instant,
    /// How often in a row the peer has been asked in vain.
    silent: u8,
    /// Whether it is to be asked.
    probe: bool,
    pub(super) state: Sending,
    end_sent: bool,
    /// Whether each packet that said that it is the end has also said that the other direction has
    /// ended: then who acknowledges it knows that, too.
    end_tells_all: bool,
    /// Whether what is less than a packet waits while such a one is under way (RFC 896, RFC 1122).
    coalesces: bool,
    patience: Patience,
}

impl<P: Piece> Outflow<P> {
    pub(super) fn new(patience: Patience) -> Self {
        Self {
            pieces: Pieces::new(),
            end: 0,
            sent: 0,
            held: 0,
            limit: 0,
            granted: 0,
            again: Resend::new(),
            charged: 0,
            pushed: 0,
            small: 0,
            timed: None,
            repaired: 0,
            since: Instant(0),
            waits: Instant(0),
            silent: 0,
            probe: false,
            state: Sending::Open,
            end_sent: false,
            end_tells_all: true,
            coalesces: false,
            patience,
        }
    }

    /// Returns the bytes that are queued or under way.
    pub(super) fn unacknowledged(&self) -> u64 {
        self.end - self.held
    }

    /// Returns whether no packet is left that is full and not under way, and the peer has room for
    /// more.
    pub(super) fn wants_more(&self) -> bool {
        self.end - self.sent < self.step() && self.limit > self.end
    }

    /// Returns whether there is more than the peer has room for, and no packet of it may go.
    fn is_confined(&self) -> bool {
        self.end > self.limit && self.limit.saturating_sub(self.sent) < self.step()
    }

    /// Returns how many bytes the next packet has if it is full.
    fn step(&self) -> Place {
        let next = self.pieces.find(self.sent);
        next.map_or(1, |found| found.step.get().into())
    }

    pub(super) fn queued_end(&self) -> u32 {
        self.end as u32
    }

    pub(super) fn sent_end(&self) -> u32 {
        self.sent as u32
    }

    /// Returns whether who has acknowledged the end of this direction knows of that of the other.
    pub(super) fn end_told_all(&self) -> bool {
        self.end_sent && self.end_tells_all
    }

    /// Lets all go that was held back for more.
    pub(super) fn push(&mut self) {
        self.pushed = self.end;
    }

    pub(super) fn set_patience(&mut self, patience: Patience) {
        self.patience = patience;
    }

    pub(super) fn set_coalesces(&mut self, coalesces: bool) {
        self.coalesces = coalesces;
    }

    /// Makes room for `count` pieces more.
    pub(super) fn reserve(&mut self, count: usize) -> Result<(), AllocError> {
        self.pieces.reserve(count)
    }

    /// Queues bytes, and lets them go unless there is `more` to come; hands them back if memory is
    /// short.
    pub(super) fn queue(&mut self, now: Instant, piece: P, more: bool) -> Result<(), P> {
        let len = Place::from(piece.len());
        if self.is_idle() {
            if now.since(self.since) >= FIRST_RTO {
                // What it was granted long ago is for others by now (as RFC 2861 has it).
                self.granted = self.granted.min(self.sent);
            }
            self.wait(now);
        }
        self.pieces.push(self.end, piece, self.sent)?;
        self.end += len;
        if !more {
            self.pushed = self.end;
        }
        Ok(())
    }

    /// Takes note that no more will be queued.
    pub(super) fn finish(&mut self, now: Instant) {
        if self.state == Sending::Open {
            if self.is_idle() {
                self.wait(now);
            }
            self.state = Sending::Ending;
            self.pushed = self.end;
        }
    }

    /// Drops all that is queued: nobody wants it.
    pub(super) fn stop(&mut self, budget: &mut Budget) {
        self.pieces = Pieces::new();
        self.end = self.sent;
        self.held = self.sent;
        self.again = Resend::new();
        self.probe = false;
        budget.release(core::mem::take(&mut self.charged));
        self.state = Sending::Ended;
    }

    /// Takes note that something is sent again.
    fn repair(&mut self) {
        self.timed = None;
        self.repaired = self.sent;
    }

    /// Takes note that from now on there is something to be heard.
    fn wait(&mut self, now: Instant) {
        self.since = now;
        self.waits = now;
    }

    /// Returns whether nothing is under way and nothing waits.
    pub(super) fn is_idle(&self) -> bool {
        self.held == self.end && !self.end_sent
    }

    /// Returns whether the peer has something that it has not acknowledged.
    fn is_under_way(&self) -> bool {
        self.sent > self.held || self.end_sent && self.state == Sending::Ending
    }

    /// Takes what the peer says of this direction; returns whether that makes sense.
    pub(super) fn on_flow(
        &mut self,
        now: Instant,
        flow: &Flow,
        rtt: &mut Rtt,
        budget: &mut Budget,
    ) -> bool {
        let held = expand(self.held, flow.held);
        if held > self.sent {
            return false;
        }
        // What is older than what is known says nothing new.
        if held < self.held {
            return true;
        }
        let limit = expand(held, flow.limit).min(held + MAX_AHEAD);
        let gap = expand(held, flow.gap);
        let asks = gap > held && gap <= self.sent;
        let goes_on = held > self.held || limit > self.limit || asks;
        self.limit = self.limit.max(limit);
        self.granted = self.granted.max(expand(held, flow.granted).min(self.limit));
        if held > self.held {
            self.on_held(now, held, flow.delay, rtt, budget);
        }
        if self.granted > held {
            self.settle(budget);
        }
        if flow.flags.has(Flags::ENDED) && self.end_sent && held == self.end {
            self.state = Sending::Ended;
        }
        if self.silent > 0 && goes_on {
            // It is there, and what is under way is asked for, or comes. A peer that has no room is
            // asked less and less often, however often it answers.
            self.silent = 0;
            self.since = now;
            rtt.answered();
        }
        if asks {
            self.ask_again(now, held, gap, rtt, budget);
        }
        true
    }

    /// Takes note that the peer misses what is between two places.
    pub(super) fn on_missing(
        &mut self,
        now: Instant,
        (start, end): (u32, u32),
        rtt: &Rtt,
        budget: &mut Budget,
    ) {
        let start = expand(self.held, start).max(self.held);
        let end = expand(self.held, end).min(self.sent);
        if start < end {
            self.ask_again(now, start, end, rtt, budget);
        }
    }

    fn ask_again(
        &mut self,
        now: Instant,
        start: Place,
        end: Place,
        rtt: &Rtt,
        budget: &mut Budget,
    ) {
        let mut known = self.again.ranges().iter();
        if !known.any(|known| known.start <= start && end <= known.end) {
            self.again.push(Span { start, end });
        }
        self.repair();
        budget.lost(now, rtt.smoothed());
    }

    fn on_held(
        &mut self,
        now: Instant,
        held: Place,
        delay: u16,
        rtt: &mut Rtt,
        budget: &mut Budget,
    ) {
        self.held = held;
        self.since = now;
        self.silent = 0;
        self.probe = false;
        self.pieces.drop_before(held);
        let under_way = (self.sent - held).min(u64::from(self.charged)) as u32;
        budget.acknowledge(self.charged - under_way);
        self.charged = under_way;
        rtt.answered();
        let timed = self.timed.take_if(|(end, _)| *end <= held);
        // The longest delay stands for any that is longer.
        if let Some((_, at)) = timed.filter(|_| delay < u16::MAX) {
            let held_back = Nanos::from(delay) * MICROSECOND;
            let measured = now.since(at).saturating_sub(held_back);
            rtt.sample(now, measured);
            if rtt.is_queued(measured) {
                budget.delayed(now, rtt.smoothed());
            }
        }
    }

    /// Gives back the budget of what was asked for after it had been sent.
    fn settle(&mut self, budget: &mut Budget) {
        let unasked = self.sent.saturating_sub(self.granted);
        let excess = u64::from(self.charged).saturating_sub(unasked) as u32;
        self.charged -= excess;
        budget.release(excess);
    }

    /// Returns what goes out next of what the peer misses.
    #[inline(never)]
    fn next_again(&mut self) -> Option<(Found, Span)> {
        while let Some(&Span { start, end }) = self.again.ranges().first() {
            // Some of it may have arrived after all.
            let start = start.max(self.held);
            let packets = (start < end)
                .then(|| self.pieces.packets(start, end))
                .flatten();
            let rest = packets.map_or(end, |(_, span)| span.end);
            match self.again.first_mut() {
                Some(first) if rest < end => first.start = rest,
                _ => self.again.remove_first(),
            }
            if packets.is_some() {
                return packets;
            }
        }
        None
    }

    /// Returns what goes out next for the first time, if it may. `unasked` is who may take of the
    /// budget.
    fn next_new(&mut self, budget: &mut Budget, unasked: Unasked) -> Result<(Found, Span), Wait> {
        let end = self.end.min(self.limit);
        if self.sent >= end {
            return Err(Wait::Event);
        }
        let (found, mut span) = self.pieces.packets(self.sent, end).ok_or(Wait::Event)?;
        let (stop, step) = (found.stop, found.step);
        // Less than a packet because the peer has no more room: only if nothing is under way.
        if span.end < stop && span.len() < step.get() && self.sent > self.held {
            return Err(Wait::Event);
        }
        let rest = span.len() % step;
        if rest > 0 && span.end == self.end && self.is_held_back() {
            span.end -= Place::from(rest);
            if span.end == span.start {
                return Err(Wait::Event);
            }
        }
        let free = self.granted.saturating_sub(self.sent);
        let free = free.min(Place::from(span.len())) as u32;
        let is_short = self.end - self.held <= Place::from(step.get());
        let (share, at_least_one) = budget.share(unasked, is_short, span.len() - free);
        let room = free.saturating_add(share);
        if span.len() > room {
            let whole = room / step * step.get();
            if whole == 0 && !at_least_one {
                return Err(Wait::Budget);
            }
            let some = Place::from(whole.max(step.get()));
            span.end = span.end.min(span.start + some);
        }
        Ok((found, span))
    }

    /// Returns whether what is less than a packet and the last that is queued waits for more.
    fn is_held_back(&self) -> bool {
        self.state == Sending::Open
            && (self.pushed < self.end || self.coalesces && self.small > self.held)
    }

    /// Returns whether something is to go out that takes nothing of the budget.
    pub(super) fn is_urgent(&self) -> bool {
        !self.again.is_empty() || self.probe || self.wants_to_end()
    }

    /// Returns whether there are bytes that the peer has room for, and without `unasked` ones that
    /// it has asked for, too.
    pub(super) fn has_new(&self, unasked: bool) -> bool {
        self.sent < self.end.min(self.limit) && (unasked || self.sent < self.granted)
    }

    /// Returns whether all has been sent but that it is all.
    fn wants_to_end(&self) -> bool {
        self.state == Sending::Ending && self.sent == self.end && !self.end_sent
    }

    /// Chooses what goes out next, or what it waits for. `unasked` is who may take of the budget.
    pub(super) fn choose(
        &mut self,
        now: Instant,
        budget: &mut Budget,
        unasked: Unasked,
    ) -> Result<Choice, Wait> {
        if !self.again.is_empty() {
            if let Some((found, span)) = self.next_again() {
                return Ok(self.chosen(found, span, false));
            }
        }
        let new = self.next_new(budget, unasked);
        if let Ok((found, span)) = new {
            let charged = span.end.saturating_sub(self.granted.max(span.start)) as u32;
            self.charged = self.charged.saturating_add(charged);
            budget.spend(charged);
            if unasked == Unasked::Short {
                budget.go_ahead(charged);
            }
            if !self.is_under_way() {
                self.wait(now);
            }
            self.sent = span.end;
            if self.timed.is_none() && self.held >= self.repaired {
                self.timed = Some((span.end, now));
            }
            self.probe = false;
            // If nothing may follow although there is more, here or on another connection, the
            // answer should not be held back.
            let answer = budget.ends_with(charged, found.step)
                || self.sent < self.end && self.next_new(budget, unasked).is_err();
            return Ok(self.chosen(found, span, answer));
        }
        if self.wants_to_end() {
            self.wait(now);
            return Ok(self.bare(false));
        }
        if core::mem::take(&mut self.probe) {
            self.repair();
            let last = (self.sent > self.held)
                .then(|| self.pieces.last_packet(self.held, self.sent))
                .flatten();
            return Ok(match last {
                Some((found, span)) => self.chosen(found, span, true),
                None => self.bare(true),
            });
        }
        Err(new.err().unwrap_or(Wait::Event))
    }

    /// Makes a packet of bytes, or several in one piece.
    fn chosen(&mut self, found: Found, span: Span, answer: bool) -> Choice {
        let ends = self.state == Sending::Ending && span.end == self.end;
        self.end_sent |= ends;
        let len = span.len();
        if len % found.step > 0 {
            self.small = self.small.max(span.end);
        }
        Choice {
            part: Some(Part {
                at: found.at,
                start: (span.start - found.begin) as u32,
                end: (span.end - found.begin) as u32,
                count: len.saturating_sub(1) / found.step + 1,
            }),
            offset: span.start as u32,
            record: found.ends_record && span.end == found.stop,
            ends,
            answer,
            confined: answer && self.is_confined(),
        }
    }

    /// Makes a packet without bytes.
    fn bare(&mut self, answer: bool) -> Choice {
        let ends = self.state == Sending::Ending && self.sent == self.end;
        self.end_sent |= ends;
        Choice {
            part: None,
            offset: self.sent as u32,
            record: false,
            ends,
            answer,
            confined: answer && self.is_confined(),
        }
    }

    /// Takes note of a packet that said that it is the end, and whether it has also said that the
    /// other direction has ended.
    pub(super) fn told_end(&mut self, other_too: bool) {
        self.end_tells_all &= other_too;
    }

    /// Returns the piece that has the bytes of a packet, and where in it they are.
    pub(super) fn part(&mut self, part: &Part) -> Option<(&mut P, u32, u32)> {
        self.pieces.part(part)
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) is to be called.
    pub(super) fn deadline(&self, rtt: &Rtt) -> Instant {
        if self.is_under_way() {
            return self.since.plus(self.patience.wait(rtt, self.silent));
        }
        if self.is_blocked() {
            // The peer tells when it has room. This is in case that is lost.
            let wait = rtt.timeout() << self.silent.min(10);
            return self.since.plus(wait.min(MAX_RTO));
        }
        match self.pushed < self.end {
            true => self.since.plus(MORE_TIME),
            false => Instant::NEVER,
        }
    }

    /// Returns whether it only goes on once the peer has room.
    fn is_blocked(&self) -> bool {
        self.sent == self.held && self.sent < self.end && self.limit <= self.sent
    }

    /// Asks the peer, if it should have answered.
    pub(super) fn handle_timeout(&mut self, now: Instant, rtt: &Rtt, budget: &mut Budget) {
        if now < self.deadline(rtt) {
            return;
        }
        if self.is_under_way() {
            // What was under way is lost, or will be answered: it keeps nobody else from sending.
            budget.release(core::mem::take(&mut self.charged));
            budget.collapse(now, rtt.smoothed());
        } else if !self.is_blocked() {
            self.pushed = self.end;
            return;
        }
        self.repair();
        self.silent = self.silent.saturating_add(1);
        self.since = now;
        self.probe = true;
    }

    /// Has the peer asked whether it is still there.
    pub(super) fn ask(&mut self) {
        self.probe = true;
    }

    /// Returns since when an answer is missing for which the peer was asked, if it is.
    pub(super) fn silent_since(&self) -> Option<Instant> {
        (self.silent > 0).then_some(self.waits)
    }
}

/// How far ahead a peer may let us send at most; what it says beyond that is its mistake.
const MAX_AHEAD: Place = 1 << 30;
