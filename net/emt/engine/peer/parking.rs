// SPDX-License-Identifier: GPL-2.0

//! Messages whose receiving socket had no room for them.
//!
//! They have no number and take no place in the window, so that they are in nobody's way: other
//! sockets of the same peer are reached as before. When the peer says that there is room some of
//! them begin anew, and each that is delivered is followed by another, until one is turned away.
//! If what the peer says is lost, one of them tries from time to time.

use super::{
    outgoing::Waiting,
    sending::fail_some,
    Peer, //
};
use crate::engine::{
    fifo::Fifo,
    host::{
        Host,
        Outbound,
        Outcome,
        Types, //
    },
    id::Id,
    limits::{
        MAX_RTO,
        PARK_RETRY, //
    },
    time::{
        Instant,
        Nanos, //
    },
};
use kernel::prelude::*;

/// The messages for one port.
struct Place<M> {
    port: u16,
    queue: Fifo<Waiting<M>>,
    /// When one of them tries unasked.
    retry: Instant,
    /// Whether the receiver has had room since it last turned one away.
    open: bool,
    /// Whether one is under way to find out, which is enough.
    asking: bool,
}

/// The messages that wait for room at a peer.
pub(super) struct Parking<M> {
    places: KVec<Place<M>>,
    /// Not after the first retry.
    next: Instant,
}

/// Returns how long to wait before trying again what has been turned away `times` times.
fn retry_after(times: u8) -> Nanos {
    (PARK_RETRY << times.min(7)).min(MAX_RTO)
}

impl<M: Outbound> Parking<M> {
    pub(super) const fn new() -> Self {
        Self {
            places: KVec::new(),
            next: Instant::NEVER,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.iter().all(|place| place.queue.is_empty())
    }

    /// Returns how many messages wait.
    pub(super) fn len(&self) -> u32 {
        let lens = self.places.iter().map(|place| place.queue.len() as u32);
        lens.sum()
    }

    pub(super) fn deadline(&self) -> Instant {
        self.next
    }

    /// Returns whether nothing waits in a place any more.
    fn is_left(&self, at: usize) -> bool {
        let place = self.places.get(at);
        place.is_some_and(|place| place.queue.is_empty())
    }

    fn place(&mut self, port: u16) -> Option<usize> {
        self.places.iter().position(|place| place.port == port)
    }

    /// Queues a message behind those for the same port that wait; hands it back in `Ok` if there
    /// are none, and in `Err` if memory is short.
    pub(super) fn join(&mut self, now: Instant, message: M) -> Result<Option<Waiting<M>>, M> {
        let mut waiting = Waiting::new(now, message);
        if self.places.is_empty() {
            return Ok(Some(waiting));
        }
        let at = self.place(waiting.message.ports().destination);
        let Some(place) = at.and_then(|at| self.places.get_mut(at)) else {
            return Ok(Some(waiting));
        };
        if place.queue.is_empty() {
            // There was no room for others a moment ago.
            waiting.probe = true;
            return Ok(Some(waiting));
        }
        match place.queue.push_back(waiting, GFP_ATOMIC) {
            Ok(()) => Ok(None),
            Err(waiting) => Err(waiting.message),
        }
    }

    /// Keeps a message that was turned away; hands it back if memory is short.
    fn park(&mut self, now: Instant, waiting: Waiting<M>) -> Result<(), Waiting<M>> {
        let port = waiting.message.ports().destination;
        let retry = now.plus(retry_after(waiting.parked.saturating_sub(1)));
        if let Some(place) = self.place(port).and_then(|at| self.places.get_mut(at)) {
            place.open = false;
            place.asking = false;
            return place.queue.push_back(waiting, GFP_ATOMIC);
        }
        if self.places.reserve(1, GFP_ATOMIC).is_err() {
            return Err(waiting);
        }
        let mut queue = Fifo::new();
        queue.push_back(waiting, GFP_ATOMIC)?;
        self.next = self.next.min(retry);
        let place = Place {
            port,
            queue,
            retry,
            open: false,
            asking: false,
        };
        // There is room for it.
        let _ = self.places.push_within_capacity(place);
        Ok(())
    }

    /// Fails those for which `judge` has an outcome.
    pub(super) fn fail<T>(
        &mut self,
        host: &mut impl Host<T>,
        mut judge: impl FnMut(&Waiting<M>) -> Option<Outcome>,
    ) where
        T: Types<Outbound = M>,
    {
        for place in &mut self.places {
            fail_some(&mut place.queue, host, &mut judge);
        }
    }
}

impl<T: Types> Peer<T> {
    /// The receiver had no room for a transfer.
    pub(super) fn on_busy(&mut self, now: Instant, id: Id, host: &mut impl Host<T>) {
        let Some(outgoing) = self.sending.close(id) else {
            return;
        };
        self.budget.release(outgoing.charged);
        self.rtt.answered();
        if !outgoing.probe {
            // What came in vain took a place on the wire, as what is lost does.
            self.budget.lost(now, self.rtt.smoothed());
        }
        // It cannot begin anew when its beginning is gone: the receiver had it, and gave it up.
        if outgoing.held > 0 {
            return host.message_ended(outgoing.message, Outcome::TimedOut);
        }
        let waiting = Waiting {
            message: outgoing.message,
            since: now,
            parked: outgoing.parked.saturating_add(1),
            probe: true,
            last: false,
        };
        if let Err(waiting) = self.parking.park(now, waiting) {
            host.message_ended(waiting.message, Outcome::NoMemory);
        }
    }

    /// The receiver has room for `bytes`, and for one message in any case.
    pub(super) fn on_wake(&mut self, now: Instant, port: u16, bytes: u32, host: &mut impl Host<T>) {
        let Some(at) = self.parking.place(port) else {
            return;
        };
        if let Some(place) = self.parking.places.get_mut(at) {
            place.asking = false;
        }
        self.unpark(now, at, bytes, true, host);
    }

    /// The receiver has taken a message. If it was a `probe`, there is room after all.
    pub(super) fn follow_up(
        &mut self,
        now: Instant,
        port: u16,
        probe: bool,
        host: &mut impl Host<T>,
    ) {
        let Some(at) = self.parking.place(port) else {
            return;
        };
        let Some(place) = self.parking.places.get_mut(at) else {
            return;
        };
        if probe {
            place.open = true;
            place.asking = false;
        }
        if place.open && !place.asking {
            place.asking = true;
            self.unpark(now, at, 0, true, host);
        }
    }

    /// Lets messages of a place begin anew: one, and more as far as `bytes` go. `open` if the
    /// receiver is known to have room.
    fn unpark(&mut self, now: Instant, at: usize, bytes: u32, open: bool, host: &mut impl Host<T>) {
        let Some(place) = self.parking.places.get_mut(at) else {
            return;
        };
        place.open |= open;
        let mut used = 0u32;
        let (mut last, mut times) = (false, 0);
        while !last {
            let Some(mut waiting) = place.queue.pop_front() else {
                break;
            };
            used = used.saturating_add(waiting.message.len());
            let next = place.queue.front().map(|next| next.message.len());
            last = next.is_none_or(|len| used.saturating_add(len) > bytes);
            times = waiting.parked;
            waiting.probe = bytes == 0;
            waiting.last = last && bytes > 0;
            if let Err(waiting) = self.sending.wait(waiting) {
                host.message_ended(waiting.message, Outcome::NoMemory);
            }
        }
        place.retry = now.plus(retry_after(times));
        self.parking.next = self.parking.next.min(place.retry);
    }

    /// Lets one message of each place try again whose time has come.
    pub(super) fn handle_parking_timeout(&mut self, now: Instant, host: &mut impl Host<T>) {
        if now < self.parking.next {
            return;
        }
        // From the end, since places may go away.
        for at in (0..self.parking.places.len()).rev() {
            let due = self
                .parking
                .places
                .get(at)
                .is_some_and(|place| place.retry <= now);
            if due && self.parking.is_left(at) {
                let _ = self.parking.places.remove(at);
            } else if due {
                if let Some(place) = self.parking.places.get_mut(at) {
                    place.asking = false;
                }
                self.unpark(now, at, 0, false, host);
            }
        }
        let retries = self.parking.places.iter().map(|place| place.retry);
        self.parking.next = retries.min().unwrap_or(Instant::NEVER);
    }
}
