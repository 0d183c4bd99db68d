// SPDX-License-Identifier: GPL-2.0

//! The connections with a peer by number: open, half open, or over and still remembered.

use super::connection::{
    Connection,
    LastWords, //
};
use crate::{
    engine::{
        host::{
            Bearing,
            Ports,
            Types, //
        },
        limits::{
            CLOSED_TIME,
            MAX_CONNECTIONS,
            RECYCLE_AFTER, //
        },
        time::Instant, //
    },
    wire::flow::Number, //
};
use kernel::prelude::*;

/// A connection that the peer has asked for, and of which it is not known whether it knows that it
/// was accepted.
pub(super) struct HalfOpen<T: Types> {
    pub(super) embryo: T::Embryo,
    pub(super) number: Number,
    pub(super) remote: Number,
    pub(super) ports: Ports,
    pub(super) bearing: Bearing,
    /// How many bytes the peer may send.
    pub(super) room: u32,
    pub(super) again: Instant,
    pub(super) tries: u8,
    /// When it was first told, until it answers.
    pub(super) told: Option<Instant>,
}

/// What is remembered of a connection that is over.
#[derive(Clone, Copy)]
pub(super) struct Closed {
    pub(super) last: LastWords,
    until: Instant,
    /// The slot that was closed next.
    next: u32,
}

/// What a slot has.
pub(super) enum Slot<T: Types> {
    /// Nothing; and which one to use after it.
    Free(u32),
    Closed(Closed),
    HalfOpen(KBox<HalfOpen<T>>),
    Live(KBox<Connection<T>>),
}

struct Entry<T: Types> {
    /// How often the slot was used, which makes a number another one.
    generation: u32,
    slot: Slot<T>,
}

/// Slots that are allocated together.
const CHUNK: usize = 64;

/// Bits of a number that are the slot; the others are its generation, never 0.
const SLOT_BITS: u32 = 18;
const MAX_SLOTS: u32 = 1 << SLOT_BITS;
const MAX_GENERATION: u32 = (1 << (u32::BITS - SLOT_BITS)) - 1;

/// No slot.
const NONE: u32 = u32::MAX;

/// A queue of slots that are linked by themselves.
#[derive(Clone, Copy)]
struct Queue {
    first: u32,
    last: u32,
    len: u32,
}

impl Queue {
    const fn new() -> Self {
        Self {
            first: NONE,
            last: NONE,
            len: 0,
        }
    }
}

/// All of them.
pub(super) struct Table<T: Types> {
    chunks: KVec<KVec<Entry<T>>>,
    count: u32,
    free: Queue,
    closed: Queue,
    /// How many are live, and how many half open.
    live: u32,
    half_open: u32,
}

impl<T: Types> Table<T> {
    pub(super) const fn new() -> Self {
        Self {
            chunks: KVec::new(),
            count: 0,
            free: Queue::new(),
            closed: Queue::new(),
            live: 0,
            half_open: 0,
        }
    }

    pub(super) fn half_open(&self) -> u32 {
        self.half_open
    }

    /// Returns whether there are none but those that are over.
    pub(super) fn is_empty(&self) -> bool {
        self.live == 0 && self.half_open == 0
    }

    /// Returns how many slots there are.
    pub(super) fn len(&self) -> u32 {
        self.count
    }

    fn entry(&mut self, slot: u32) -> Option<&mut Entry<T>> {
        let slot = slot as usize;
        self.chunks.get_mut(slot / CHUNK)?.get_mut(slot % CHUNK)
    }

    pub(super) fn get(&mut self, slot: u32) -> Option<&mut Slot<T>> {
        self.entry(slot).map(|entry| &mut entry.slot)
    }

    /// Returns the slot of a connection that is live.
    pub(super) fn live_at(&mut self, slot: u32) -> Option<&mut Connection<T>> {
        match self.get(slot)? {
            Slot::Live(connection) => Some(connection),
            _ => None,
        }
    }

    /// Returns the connection that has a number, if it is live, and its slot.
    pub(super) fn live(&mut self, number: Number) -> Option<(u32, &mut Connection<T>)> {
        let slot = self.slot_of(number)?;
        Some((slot, self.live_at(slot)?))
    }

    /// Returns the slot that has a number, whatever is in it, after forgetting what is remembered
    /// no longer.
    pub(super) fn current_slot_of(&mut self, now: Instant, number: Number) -> Option<u32> {
        self.forget_closed(now);
        self.slot_of(number)
    }

    /// Returns the slot that has a number, whatever is in it.
    fn slot_of(&mut self, number: Number) -> Option<u32> {
        let slot = slot(number);
        let generation = number.0 >> SLOT_BITS;
        (self.entry(slot)?.generation == generation).then_some(slot)
    }

    /// Finds a slot that is not used, and returns it with its new number. It has to be filled.
    pub(super) fn allocate(&mut self, now: Instant) -> Option<(u32, Number)> {
        if self.live + self.half_open >= MAX_CONNECTIONS {
            return None;
        }
        self.forget_closed(now);
        // A number should not come back before what was sent with it is gone.
        if self.free.len < RECYCLE_AFTER {
            self.grow();
        }
        if self.free.len == 0 {
            self.forget_oldest();
        }
        let slot = self.free.first;
        let entry = self.entry(slot)?;
        let Slot::Free(next) = entry.slot else {
            return None;
        };
        entry.generation = entry.generation % MAX_GENERATION + 1;
        let number = Number(entry.generation << SLOT_BITS | slot);
        self.free.first = next;
        self.free.len -= 1;
        if next == NONE {
            self.free.last = NONE;
        }
        Some((slot, number))
    }

    /// Makes some more slots, if memory is not short.
    fn grow(&mut self) {
        if self.count >= MAX_SLOTS || self.chunks.reserve(1, GFP_ATOMIC).is_err() {
            return;
        }
        let Ok(mut chunk) = KVec::with_capacity(CHUNK, GFP_ATOMIC) else {
            return;
        };
        for _ in 0..CHUNK {
            let _ = chunk.push_within_capacity(Entry {
                generation: 0,
                slot: Slot::Free(NONE),
            });
        }
        if self.chunks.push_within_capacity(chunk).is_ok() {
            let first = self.count;
            self.count += CHUNK as u32;
            for slot in first..self.count {
                self.release(slot);
            }
        }
    }

    /// Puts a slot at the end of those that are free.
    fn release(&mut self, slot: u32) {
        let last = self.free.last;
        match self.entry(last) {
            Some(entry) => entry.slot = Slot::Free(slot),
            None => self.free.first = slot,
        }
        if let Some(entry) = self.entry(slot) {
            entry.slot = Slot::Free(NONE);
        }
        self.free.last = slot;
        self.free.len += 1;
    }

    /// Gives back a slot that was allocated and not filled.
    pub(super) fn give_back(&mut self, slot: u32) {
        self.release(slot);
    }

    pub(super) fn fill_live(&mut self, slot: u32, connection: KBox<Connection<T>>) {
        if let Some(entry) = self.entry(slot) {
            if let Slot::HalfOpen(_) = entry.slot {
                self.half_open -= 1;
            }
            self.live += 1;
        }
        if let Some(entry) = self.entry(slot) {
            entry.slot = Slot::Live(connection);
        }
    }

    pub(super) fn fill_half_open(&mut self, slot: u32, half_open: KBox<HalfOpen<T>>) {
        if let Some(entry) = self.entry(slot) {
            entry.slot = Slot::HalfOpen(half_open);
            self.half_open += 1;
        }
    }

    /// Takes out what a slot has, and what is remembered of it, if anything is, instead.
    pub(super) fn take(&mut self, now: Instant, slot: u32, last: Option<LastWords>) -> Slot<T> {
        let Some(entry) = self.entry(slot) else {
            return Slot::Free(NONE);
        };
        let taken = core::mem::replace(&mut entry.slot, Slot::Free(NONE));
        match &taken {
            Slot::Live(_) => self.live -= 1,
            Slot::HalfOpen(_) => self.half_open -= 1,
            Slot::Free(_) | Slot::Closed(_) => return taken,
        }
        match last {
            None => self.release(slot),
            Some(last) => self.remember(
                slot,
                Closed {
                    last,
                    until: now.plus(CLOSED_TIME),
                    next: NONE,
                },
            ),
        }
        taken
    }

    /// Puts a slot at the end of those that are remembered.
    fn remember(&mut self, slot: u32, closed: Closed) {
        let last = self.closed.last;
        match self.entry(last).map(|entry| &mut entry.slot) {
            Some(Slot::Closed(before)) => before.next = slot,
            _ => self.closed.first = slot,
        }
        if let Some(entry) = self.entry(slot) {
            entry.slot = Slot::Closed(closed);
        }
        self.closed.last = slot;
        self.closed.len += 1;
    }

    /// Forgets those that are over whose time has come.
    fn forget_closed(&mut self, now: Instant) {
        while let Some(Slot::Closed(closed)) = self.get(self.closed.first) {
            if closed.until > now {
                return;
            }
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let slot = self.closed.first;
        let Some(Slot::Closed(closed)) = self.get(slot) else {
            return;
        };
        let next = closed.next;
        self.closed.first = next;
        self.closed.len -= 1;
        if next == NONE {
            self.closed.last = NONE;
        }
        self.release(slot);
    }

    /// Forgets all that are over.
    pub(super) fn forget_all_closed(&mut self) {
        while self.closed.len > 0 {
            self.forget_oldest();
        }
    }
}

/// Returns the slot that a number is of.
pub(super) fn slot(number: Number) -> u32 {
    number.0 % MAX_SLOTS
}
