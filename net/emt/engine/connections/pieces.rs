// SPDX-License-Identifier: GPL-2.0

//! What a direction has queued and under way, in the order of its bytes.

use super::{
    choice::{
        Found,
        Part,
        Span, //
    },
    place::Place,
};
use crate::engine::{
    fifo::Fifo,
    host::Piece, //
};
use kernel::{
    alloc::AllocError,
    prelude::*, //
};

/// Pieces without gaps between them, each with where it begins.
pub(super) struct Pieces<P>(Fifo<(Place, P)>);

impl<P: Piece> Pieces<P> {
    pub(super) const fn new() -> Self {
        Self(Fifo::new())
    }

    /// Makes room for `count` more.
    pub(super) fn reserve(&mut self, count: usize) -> Result<(), AllocError> {
        self.0.reserve_all(self.0.len() + count, GFP_ATOMIC)
    }

    /// Adds a piece that begins at `start`, where the last one ends; hands it back if memory is
    /// short. It becomes a part of the last one if that may be, which is not sent before `sent`.
    pub(super) fn push(&mut self, start: Place, piece: P, sent: Place) -> Result<(), P> {
        let last = self.0.len().checked_sub(1);
        let unsent = last
            .and_then(|last| self.0.get_mut(last))
            .filter(|(start, last)| *start >= sent && !last.ends_record());
        if unsent.is_some_and(|(_, last)| last.append(&piece)) {
            piece.consume();
            return Ok(());
        }
        self.0
            .push_back((start, piece), GFP_ATOMIC)
            .map_err(|(_, piece)| piece)
    }

    /// Frees those that end before `held`: they have arrived.
    pub(super) fn drop_before(&mut self, held: Place) {
        while let Some((start, first)) = self.0.front() {
            if *start + Place::from(first.len()) > held {
                break;
            }
            if let Some((_, piece)) = self.0.pop_front() {
                piece.consume();
            }
        }
        self.0.shrink_to_few();
    }

    /// Returns which has the byte at `place`.
    fn position(&self, place: Place) -> Option<usize> {
        let (mut low, mut high) = (0, self.0.len());
        while low < high {
            let middle = (low + high) / 2;
            let (start, piece) = self.0.get(middle)?;
            if place < *start {
                high = middle;
            } else if place >= *start + Place::from(piece.len()) {
                low = middle + 1;
            } else {
                return Some(middle);
            }
        }
        None
    }

    /// Finds the piece that has the byte at `place`.
    pub(super) fn find(&self, place: Place) -> Option<Found> {
        let at = self.position(place)?;
        let (begin, piece) = self.0.get(at)?;
        Some(Found {
            at,
            begin: *begin,
            stop: begin + Place::from(piece.len()),
            step: piece.segment_len(),
            in_one_piece: piece.in_one_piece(),
            ends_record: piece.ends_record(),
        })
    }

    /// Returns the piece that has the byte at `start`, and what of it goes out as packets from
    /// there on: as far as they may go before `end` and can go out in one piece.
    pub(super) fn packets(&self, start: Place, end: Place) -> Option<(Found, Span)> {
        let found = self.find(start)?;
        let Found {
            begin, stop, step, ..
        } = found;
        let end = end.min(stop);
        let mut span = Span { start, end };
        if !found.in_one_piece {
            // The packets of a piece have their places in it.
            let into = (start - begin) as u32 / step * step.get();
            span.end = end.min(begin + Place::from(into + step.get()));
        }
        // What is less than a packet goes out alone only at the end of a piece.
        if span.end < stop && span.len() > step.get() {
            span.end -= Place::from(span.len() % step);
        }
        Some((found, span))
    }

    /// Returns the last packet that was sent, which ended at `sent`.
    pub(super) fn last_packet(&self, held: Place, sent: Place) -> Option<(Found, Span)> {
        let last = sent.checked_sub(1)?;
        let found = self.find(last)?;
        let into = (last - found.begin) as u32 / found.step * found.step.get();
        let span = Span {
            start: held.max(found.begin + Place::from(into)),
            end: sent,
        };
        Some((found, span))
    }

    /// Returns the piece that has the bytes of a packet, and where in it they are.
    pub(super) fn part(&mut self, part: &Part) -> Option<(&mut P, u32, u32)> {
        let (_, piece) = self.0.get_mut(part.at)?;
        Some((piece, part.start, part.end))
    }
}
