// SPDX-License-Identifier: GPL-2.0

//! Messages on their way from a peer.

use super::{
    incoming::{
        Incoming,
        Shape, //
    },
    Verdict, //
};
use crate::{
    engine::{
        acks::Unacknowledged,
        host::{
            Chunk,
            Host,
            Ports,
            Transfer,
            Types,
            Unwilling, //
        },
        id::Id,
        limits::{
            MAX_INCOMING,
            WINDOW, //
        },
        received::{
            Received,
            Status, //
        },
        rtt::Rtt,
        runs::Inserted,
        telling::Telling,
        time::Instant, //
    },
    wire::{
        control::{
            Block,
            Why, //
        },
        reliable::{
            Acks,
            Segment, //
        }, //
    },
};
use kernel::prelude::*;

/// What arrives from a peer, and what it is to be told.
pub(super) struct Receiving<T: Types> {
    received: Received,
    pub(super) unacknowledged: Unacknowledged,
    /// Messages of several packets, in no order.
    incoming: KVec<Incoming<T>>,
    /// Not after the first deadline of those.
    next: Instant,
    pub(super) blocks: Telling,
}

impl<T: Types> Receiving<T> {
    pub(super) const fn new() -> Self {
        Self {
            received: Received::new(),
            unacknowledged: Unacknowledged::new(),
            incoming: KVec::new(),
            next: Instant::NEVER,
            blocks: Telling::new(),
        }
    }

    /// Returns whether nothing is under way, nor to be told.
    pub(super) fn is_empty(&self) -> bool {
        self.incoming.is_empty()
            && self.blocks.is_empty()
            && self.unacknowledged.due() == Instant::NEVER
    }

    /// Returns how many messages of several packets are under way.
    pub(super) fn len(&self) -> u32 {
        self.incoming.len() as u32
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) is to be called, or an acknowledgment
    /// to be sent.
    pub(super) fn deadline(&self) -> Instant {
        self.next.min(self.unacknowledged.due())
    }

    /// Asks for what should have come, and gives up what has not come for too long.
    pub(super) fn handle_timeout(&mut self, now: Instant, rtt: &Rtt, host: &mut impl Host<T>) {
        if now < self.next {
            return;
        }
        let (received, blocks) = (&mut self.received, &mut self.blocks);
        let mut next = Instant::NEVER;
        self.incoming.retain(|incoming| {
            let stale = incoming.is_stale(now);
            if stale {
                received.turn_away(incoming.id);
                settle(incoming, host);
            } else {
                let tell = &mut |block| blocks.push(block);
                let progress = incoming.handle_timeout(now, rtt, tell);
                let transfer = Transfer::Message(incoming.id);
                let place = progress.and_then(|progress| host.progress(transfer, progress));
                if let Some(limit) = place {
                    incoming.grant(now, limit, rtt, tell);
                }
                next = next.min(incoming.deadline());
                if incoming.is_stalled() {
                    host.stalled(transfer);
                }
            }
            !stale
        });
        self.next = next;
    }

    /// Returns what the packet acknowledges that is about to be sent.
    pub(super) fn acks(&mut self, now: Instant) -> Acks {
        self.unacknowledged.take(&self.received, now)
    }

    /// Takes note that the sender has ended all before `base`.
    pub(super) fn advance(&mut self, base: Id, host: &mut impl Host<T>) {
        if !self.received.advance(base) || self.incoming.is_empty() {
            return;
        }
        let received = &self.received;
        self.incoming.retain(|incoming| {
            let open = received.status(incoming.id) == Status::Open;
            if !open {
                settle(incoming, host);
            }
            open
        });
    }

    /// Takes note that the sender has given up a transfer.
    pub(super) fn on_abandon(&mut self, id: Id, host: &mut impl Host<T>) {
        let in_window = id
            .after(self.received.floor())
            .is_some_and(|distance| distance < WINDOW);
        if !in_window || self.received.status(id) != Status::Open {
            return;
        }
        self.received.turn_away(id);
        if let Some(at) = self.position(id) {
            self.remove(at, host);
        }
    }

    /// Turns away the messages for whose room `is_closed`.
    pub(super) fn refuse(
        &mut self,
        host: &mut impl Host<T>,
        mut is_closed: impl FnMut(&T::Room) -> bool,
    ) {
        let mut at = 0;
        while let Some(incoming) = self.incoming.get(at) {
            if !is_closed(&incoming.room) {
                at += 1;
            } else if let Some(closed) = self.remove(at, host) {
                self.turn_away(closed.id, Unwilling::Refused(Why::NoSocket));
            }
        }
    }

    /// Forgets all that belongs to the association.
    pub(super) fn clear(&mut self, host: &mut impl Host<T>) {
        for incoming in &self.incoming {
            settle(incoming, host);
        }
        *self = Self::new();
    }

    /// Handles a message that one packet holds.
    pub(super) fn take_message(
        &mut self,
        now: Instant,
        id: Id,
        ports: Ports,
        chunk: T::Chunk,
        host: &mut impl Host<T>,
    ) -> Verdict {
        if let Some(verdict) = self.ended(now, id, true) {
            return verdict;
        }
        if self.position(id).is_some() {
            return Verdict::Invalid;
        }
        match host.deliver(ports, chunk) {
            Ok(()) => self.finish(now, id),
            Err(unwilling) => self.turn_away(id, unwilling),
        }
    }

    /// Handles a part of a message.
    ///
    /// All of it, if it came in one piece, is as good as a message of one packet.
    pub(super) fn take_segment(
        &mut self,
        now: Instant,
        segment: &Segment,
        ports: Ports,
        chunk: T::Chunk,
        rtt: &Rtt,
        host: &mut impl Host<T>,
    ) -> Verdict {
        let id = segment.transfer.id;
        if let Some(verdict) = self.ended(now, id, segment.reliable.answer) {
            return verdict;
        }
        let known = self.position(id);
        if segment.reliable.answer {
            self.unacknowledged.hurry(now);
        }
        if known.is_none() && chunk.len() == segment.total as usize {
            return self.take_piece(now, id, ports, chunk, host);
        }
        let at = match self.find_or_begin(now, known, segment, ports, &chunk, host) {
            Ok(at) => at,
            Err(verdict) => return verdict,
        };
        let Some(incoming) = self.incoming.get_mut(at) else {
            return Verdict::Invalid;
        };
        let begins = incoming.is_new();
        // It was checked that it fits.
        let end = segment.offset.saturating_add(chunk.len() as u32);
        let inserted = incoming.insert(now, segment.offset, chunk, rtt);
        if let Some(message) = incoming.whole() {
            return self.complete(now, at, message, host);
        }
        if segment.reliable.answer {
            let is_new = matches!(inserted, Inserted::New(_));
            incoming.answer(end, is_new, &mut |block| self.blocks.push(block));
        }
        let progress = if begins || segment.reliable.answer {
            incoming.ungranted()
        } else {
            incoming.advanced()
        };
        let more = progress.and_then(|progress| host.progress(Transfer::Message(id), progress));
        if let Some(limit) = more {
            incoming.grant(now, limit, rtt, &mut |block| self.blocks.push(block));
        }
        self.next = self.next.min(incoming.deadline());
        match inserted {
            Inserted::New(_) => Verdict::Good,
            Inserted::Nothing => Verdict::Duplicate,
            Inserted::NoRoom => Verdict::NoMemory,
        }
    }

    /// Handles a message of several packets that came in one piece.
    fn take_piece(
        &mut self,
        now: Instant,
        id: Id,
        ports: Ports,
        chunk: T::Chunk,
        host: &mut impl Host<T>,
    ) -> Verdict {
        let (len, each) = (chunk.len() as u32, chunk.step() as u32);
        if !Shape::new(len).admit(0, len, each) {
            return Verdict::Invalid;
        }
        match host.deliver(ports, chunk) {
            Ok(()) => self.finish(now, id),
            Err(unwilling) => self.turn_away(id, unwilling),
        }
    }

    /// Lets the peer send a message up to `limit`.
    pub(super) fn grant(&mut self, now: Instant, id: Id, limit: u64, rtt: &Rtt) {
        let at = self.position(id);
        if let Some(incoming) = at.and_then(|at| self.incoming.get_mut(at)) {
            incoming.grant(now, limit, rtt, &mut |block| self.blocks.push(block));
            self.next = self.next.min(incoming.deadline());
        }
    }

    /// Finds the message that packets belong to, which may be `known`, or begins it.
    fn find_or_begin(
        &mut self,
        now: Instant,
        known: Option<usize>,
        segment: &Segment,
        ports: Ports,
        chunk: &T::Chunk,
        host: &mut impl Host<T>,
    ) -> Result<usize, Verdict> {
        let id = segment.transfer.id;
        if let Some(at) = known {
            let known = self.incoming.get_mut(at);
            return match known.is_some_and(|known| known.admit(segment, ports, chunk)) {
                true => Ok(at),
                false => Err(Verdict::Invalid),
            };
        }
        let full = self.incoming.len() >= MAX_INCOMING;
        if full || self.incoming.reserve(1, GFP_ATOMIC).is_err() {
            return Err(Verdict::NoMemory);
        }
        let room = match host.reserve(ports, segment.total, chunk) {
            Ok(room) => room,
            Err(unwilling) => return Err(self.turn_away(id, unwilling)),
        };
        let mut incoming = Incoming::new(now, segment, ports, room);
        if !incoming.admit(segment, ports, chunk) {
            return Err(Verdict::Invalid);
        }
        let at = self.incoming.len();
        match self.incoming.push_within_capacity(incoming) {
            Ok(()) => Ok(at),
            Err(_) => Err(Verdict::NoMemory),
        }
    }

    /// Hands a message over that is whole.
    fn complete(
        &mut self,
        now: Instant,
        at: usize,
        message: T::Chunk,
        host: &mut impl Host<T>,
    ) -> Verdict {
        let Some(incoming) = self.remove(at, host) else {
            return Verdict::Invalid;
        };
        match host.complete(incoming.ports, incoming.room, message) {
            Ok(()) => self.finish(now, incoming.id),
            // Its bytes are gone, so that it cannot be as if the last packet had been lost.
            Err(Unwilling::Lost) => self.turn_away(incoming.id, Unwilling::Busy),
            Err(unwilling) => self.turn_away(incoming.id, unwilling),
        }
    }

    fn finish(&mut self, now: Instant, id: Id) -> Verdict {
        self.received.finish(id);
        self.unacknowledged.add(id, now);
        Verdict::Good
    }

    /// Takes note that a socket does not take a message.
    fn turn_away(&mut self, id: Id, unwilling: Unwilling) -> Verdict {
        let block = match unwilling {
            Unwilling::Busy => Block::Busy { id },
            Unwilling::Refused(why) => Block::Refused { id, why },
            Unwilling::Lost => return Verdict::NoMemory,
        };
        self.received.turn_away(id);
        self.blocks.push(block);
        Verdict::Unwanted
    }

    /// Answers a packet of a transfer that has ended here, which the sender may not know; where it
    /// has others under way that tell it, only if it is to `tell`.
    fn ended(&mut self, now: Instant, id: Id, tell: bool) -> Option<Verdict> {
        match self.received.status(id) {
            Status::Open => None,
            Status::Finished => {
                self.unacknowledged.add(id, now);
                self.unacknowledged.hurry(now);
                Some(Verdict::Duplicate)
            }
            Status::TurnedAway => {
                if tell {
                    self.blocks.push(Block::Busy { id });
                }
                Some(Verdict::Duplicate)
            }
        }
    }

    fn position(&self, id: Id) -> Option<usize> {
        self.incoming.iter().position(|incoming| incoming.id == id)
    }

    fn remove(&mut self, at: usize, host: &mut impl Host<T>) -> Option<Incoming<T>> {
        let incoming = self.incoming.remove(at).ok()?;
        settle(&incoming, host);
        Some(incoming)
    }
}

/// Takes a message from the scheduler of grants.
fn settle<T: Types>(incoming: &Incoming<T>, host: &mut impl Host<T>) {
    if incoming.needs_grants {
        host.settled(Transfer::Message(incoming.id));
    }
}
