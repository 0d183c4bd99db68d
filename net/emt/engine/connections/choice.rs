// SPDX-License-Identifier: GPL-2.0

//! What goes out next: which bytes of which piece.

use super::place::Place;
use core::num::NonZeroU32;

/// Bytes that one packet has, or several in one piece.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Span {
    pub(super) start: Place,
    pub(super) end: Place,
}

impl Span {
    /// Returns how many they are: no more than a piece has.
    pub(super) fn len(&self) -> u32 {
        (self.end - self.start) as u32
    }
}

/// A piece: its number, where it begins and ends, and how it is cut.
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub(super) at: usize,
    pub(super) begin: Place,
    pub(super) stop: Place,
    pub(super) step: NonZeroU32,
    pub(super) in_one_piece: bool,
    pub(super) ends_record: bool,
}

/// The bytes of a packet in their piece, and how many packets they are.
pub(super) struct Part {
    pub(super) at: usize,
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) count: u32,
}

/// What a packet is to have.
pub(super) struct Choice {
    pub(super) part: Option<Part>,
    pub(super) offset: u32,
    pub(super) record: bool,
    pub(super) ends: bool,
    pub(super) answer: bool,
    pub(super) confined: bool,
}
