// SPDX-License-Identifier: GPL-2.0

//! One direction of a connection, seen from who receives: what has come, and when to tell.

mod gaps;

use super::{
    asked::Asked,
    choice::Span,
    density::Density,
    place::{
        expand,
        Place, //
    },
};
use crate::{
    engine::{
        host::{
            Chunk,
            Progress, //
        },
        limits::{
            ACK_BYTES,
            ACK_DELAY,
            MAX_RTO, //
        },
        rtt::Rtt,
        runs::{
            Inserted,
            Runs, //
        },
        time::{
            micros,
            Instant, //
        },
    },
    wire::flow::{
        Flags,
        Flow, //
    },
};

/// How far a direction has come to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Receiving {
    /// More may come.
    Open,
    /// All has come.
    Ended,
    /// Nobody here wants any more.
    Stopped,
}

/// What became of bytes that have come.
pub(super) enum Taken {
    /// They are the next, and with them come those after a gap that they fill: what is there now is
    /// to be delivered, and then [`advance`](Inflow::advance) is to be called.
    Next,
    /// They wait for those before them.
    Early,
    /// They had been there.
    Old,
    /// There is no room for them; as if they had been lost.
    NoRoom,
    /// They contradict what is known.
    Invalid,
}

/// Who receives.
pub(super) struct Inflow<C> {
    /// All before it has been delivered.
    held: Place,
    /// When that moved last.
    moved: Instant,
    /// What has come early, counted from `held`.
    early: Runs<C>,
    /// What that takes of memory.
    kept: usize,
    /// Up to where the peer was let send.
    limit: Place,
    /// Up to where the device has asked for it.
    granted: Place,
    /// Since when the device schedules it, or bytes came last while it does.
    scheduled: Option<Instant>,
    /// What had come when the device was told last.
    reported: Place,
    /// Where it ends.
    end: Option<Place>,
    pub(super) state: Receiving,
    /// When to acknowledge.
    due: Instant,
    /// Bytes that have come since the last packet went out.
    unacknowledged: u32,
    /// Bytes of the last packet that has come, or of each of those that came in one piece.
    step: u32,
    /// When to ask for the gaps between what has been `asked` for and `overtaken`, which until then
    /// others may only have overtaken.
    gap: Instant,
    overtaken: Place,
    asked: Asked,
    /// When to ask once more although nothing has come, and how often that was in vain.
    again: Instant,
    asked_in_vain: u8,
    /// Between which places the next packet asks for gaps.
    asks: Option<Span>,
    /// Before where bytes are missing that have come, or may have, and found no memory although
    /// they were let come.
    refused: Place,
    density: Density,
    /// Whether nothing is to be asked for before something was read.
    blocked: bool,
}

impl<C: Chunk> Inflow<C> {
    pub(super) const fn new() -> Self {
        Self {
            held: 0,
            moved: Instant(0),
            early: Runs::new(),
            kept: 0,
            limit: 0,
            granted: 0,
            scheduled: None,
            reported: 0,
            end: None,
            state: Receiving::Open,
            due: Instant::NEVER,
            unacknowledged: 0,
            step: 0,
            gap: Instant::NEVER,
            overtaken: 0,
            asked: Asked::new(),
            again: Instant::NEVER,
            asked_in_vain: 0,
            asks: None,
            refused: 0,
            density: Density::new(),
            blocked: false,
        }
    }

    /// Returns the place up to which something has come.
    fn highest(&self) -> Place {
        self.held + Place::from(self.early.highest())
    }

    pub(super) fn held(&self) -> u32 {
        self.held as u32
    }

    /// Takes note that the peer was let send `room` bytes.
    pub(super) fn let_send(&mut self, room: u32) {
        self.limit = self.held + Place::from(room);
    }

    /// Returns whether there is a gap before the bytes of a packet.
    pub(super) fn is_early(&self, flow: &Flow) -> bool {
        flow.offset != self.held as u32
    }

    /// Returns whether a packet has to go out.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due <= now
    }

    /// Returns whether bytes have come since a packet last went out.
    pub(super) fn owes(&self) -> bool {
        self.unacknowledged > 0
    }

    /// Sees to it that the peer is told at once.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.due = now;
    }

    /// Takes bytes that have come, for which `room` bytes of memory are left if they come early.
    /// `chunk` has those that are to be delivered afterwards, if there are any.
    pub(super) fn take(
        &mut self,
        now: Instant,
        flow: &Flow,
        chunk: &mut Option<C>,
        rtt: &Rtt,
        room: usize,
    ) -> Taken {
        let Some(bytes) = chunk else {
            return Taken::Invalid;
        };
        let start = expand(self.held, flow.offset);
        let end = start + bytes.len() as Place;
        if self.density.is_known() {
            self.density.note(bytes.len(), bytes.size());
        }
        let past_end = self.end.is_some_and(|last| end > last);
        if past_end || end > self.limit || end < start {
            return Taken::Invalid;
        }
        self.step = bytes.step() as u32;
        if end <= self.held {
            // What it was told is lost, or was too late.
            self.due = now;
            return Taken::Old;
        }
        if start > self.held {
            return match chunk.take() {
                Some(bytes) => self.keep(now, (start - self.held) as u32, bytes, rtt, room),
                None => Taken::Invalid,
            };
        }
        if start < self.held {
            match bytes.split_off((self.held - start) as usize) {
                Some(rest) => *bytes = rest,
                None => return Taken::NoRoom,
            }
        }
        let gap = self.early.lowest();
        match gap.is_none_or(|gap| bytes.len() < gap as usize) {
            true => Taken::Next,
            false => self.join_early(chunk),
        }
    }

    /// Joins the next bytes with those after them, to which there is no gap any more.
    #[inline(never)]
    fn join_early(&mut self, chunk: &mut Option<C>) -> Taken {
        let Some(bytes) = chunk.take() else {
            return Taken::Invalid;
        };
        let size = bytes.size();
        if let Inserted::NoRoom = self.early.insert(0, bytes) {
            return Taken::NoRoom;
        }
        *chunk = self.early.take();
        match chunk {
            Some(bytes) => {
                self.kept = (self.kept + size).saturating_sub(bytes.size());
                Taken::Next
            }
            None => Taken::NoRoom,
        }
    }

    /// Keeps what has come early.
    #[inline(never)]
    fn keep(&mut self, now: Instant, start: u32, chunk: C, rtt: &Rtt, room: usize) -> Taken {
        let size = chunk.size();
        if self.kept.saturating_add(size) > room {
            let end = self.held + Place::from(start) + chunk.len() as Place;
            self.refused = self.refused.max(end);
            let bytes = self.early.bytes() as usize + chunk.len();
            self.density.learn(bytes, self.kept + size);
            self.wait_for_refused(now, rtt);
            return Taken::NoRoom;
        }
        let taken = match self.early.insert(start, chunk) {
            Inserted::New(bytes) => {
                self.kept += size;
                self.unacknowledged = self.unacknowledged.saturating_add(bytes);
                Taken::Early
            }
            Inserted::Nothing => Taken::Old,
            Inserted::NoRoom => Taken::NoRoom,
        };
        // What comes in vain is no reason: else who asks would keep himself asking.
        if let Taken::Early = taken {
            self.ask_if_late(now, rtt);
        }
        self.wait_for_gaps(now, rtt);
        taken
    }

    /// Takes note that the next `len` bytes were delivered.
    pub(super) fn advance(&mut self, now: Instant, len: usize, rtt: &Rtt) {
        self.held += len as Place;
        self.moved = now;
        self.blocked = false;
        self.unacknowledged = self.unacknowledged.saturating_add(len as u32);
        let wait = match self.unacknowledged {
            ACK_BYTES.. => now,
            _ => now.plus(ACK_DELAY),
        };
        self.due = self.due.min(wait);
        // Mostly nothing is missing, or was until now.
        if !self.early.is_empty() || self.asked.end() > 0 || self.refused > self.held {
            self.advance_early(now, len, rtt);
        } else {
            self.kept = 0;
            self.gap = Instant::NEVER;
            self.again = Instant::NEVER;
        }
    }

    /// Returns how far the direction has come, if the device is to grant more of it: when its
    /// sender, who has bytes up to `queued`, has to wait for an answer, and then after each
    /// [`ACK_BYTES`].
    pub(super) fn progress(&mut self, now: Instant, flow: &Flow) -> Option<Progress> {
        let queued = expand(self.held, flow.queued);
        if queued.min(self.limit) <= self.held || self.state != Receiving::Open {
            return None;
        }
        let (arrived, is_scheduled) = (self.arrived(), self.scheduled.is_some());
        let come = arrived.saturating_sub(self.reported);
        let is_due =
            flow.flags.has(Flags::ANSWER) || is_scheduled && come >= Place::from(ACK_BYTES);
        // Who only asks does not keep a place that he makes no use of.
        if is_scheduled && come > 0 || !is_scheduled && is_due {
            self.scheduled = Some(now);
        }
        if !is_due {
            return None;
        }
        self.reported = arrived;
        Some(Progress {
            total: queued,
            endless: true,
            arrived: self.reported,
            limit: self.granted.max(self.held),
            step: self.step,
        })
    }

    /// Returns how many bytes have come, early ones included.
    fn arrived(&self) -> Place {
        self.held + Place::from(self.early.bytes())
    }

    /// Returns whether the device is to schedule it no more, which is then as if it had never done
    /// so: the peer is not told again what it has been granted.
    pub(super) fn unschedule(&mut self) -> bool {
        self.granted = self.held;
        self.scheduled.take().is_some()
    }

    pub(super) fn is_scheduled(&self) -> bool {
        self.scheduled.is_some()
    }

    /// Returns whether the device schedules it although nothing that it could grant is missing.
    pub(super) fn is_through(&self, flow: &Flow) -> bool {
        self.scheduled.is_some() && expand(self.held, flow.queued).min(self.limit) <= self.held
    }

    /// Lets the peer send what it has up to `limit`, as far as the socket has room.
    pub(super) fn grant(&mut self, now: Instant, limit: Place) {
        if limit > self.granted && self.scheduled.is_some() {
            self.granted = limit;
            self.due = now;
        }
    }

    /// Takes note of the end, if a packet says where it is; returns whether that can be.
    pub(super) fn note_end(&mut self, flow: &Flow, len: usize) -> bool {
        if !flow.flags.has(Flags::END) {
            return true;
        }
        let end = expand(self.held, flow.offset) + len as Place;
        let highest = self.held + Place::from(self.early.highest());
        match self.end {
            Some(known) => known == end,
            None if end < highest => false,
            None => {
                self.end = Some(end);
                true
            }
        }
    }

    /// Ends the direction if all has come; returns whether it has just ended.
    pub(super) fn try_end(&mut self, now: Instant) -> bool {
        let ends = self.state == Receiving::Open && self.end == Some(self.held);
        if ends {
            self.state = Receiving::Ended;
            self.due = self.due.min(now.plus(ACK_DELAY));
        }
        ends
    }

    /// Takes note that nobody wants any more.
    pub(super) fn stop(&mut self, now: Instant) {
        if self.state == Receiving::Open {
            self.state = Receiving::Stopped;
            self.early = Runs::new();
            self.kept = 0;
            self.gap = Instant::NEVER;
            self.again = Instant::NEVER;
            self.asks = None;
            self.due = now;
        }
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) is to be called, or a packet to be
    /// sent.
    pub(super) fn deadline(&self) -> Instant {
        self.due.min(self.gap).min(self.again).min(self.stalls())
    }

    /// Returns when it counts as stalled if the device schedules it.
    fn stalls(&self) -> Instant {
        self.scheduled
            .map_or(Instant::NEVER, |since| since.plus(MAX_RTO))
    }

    /// Returns whether it does not go on although the device schedules it: its sender may be gone.
    pub(super) fn is_stalled(&self, now: Instant) -> bool {
        now >= self.stalls()
    }

    /// Writes what the peer is to know into a packet that goes out now, where the socket has
    /// `room` and the next bytes up to `gap` are asked for.
    pub(super) fn tell(&mut self, now: Instant, room: u32, gap: Option<Place>, flow: &mut Flow) {
        self.limit = self.limit.max(self.held + Place::from(room));
        self.due = Instant::NEVER;
        self.unacknowledged = 0;
        let delay = now.since(self.moved);
        flow.held = self.held as u32;
        flow.limit = self.limit as u32;
        flow.granted = self.granted.max(self.held).min(self.limit) as u32;
        flow.gap = gap.unwrap_or(self.held) as u32;
        flow.delay = micros(delay);
        flow.flags.set(Flags::ENDED, self.state == Receiving::Ended);
        flow.flags
            .set(Flags::STOPPED, self.state == Receiving::Stopped);
    }
}
