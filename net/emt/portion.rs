// SPDX-License-Identifier: GPL-2.0

//! Bytes that a connection sends, kept until they have arrived.

use crate::{
    engine::host::Piece,
    message::MAX_PIECE, //
};
use core::num::{
    NonZeroU16,
    NonZeroU32, //
};
use kernel::{
    net::{
        skb_retained::RetainedSkBuff,
        SkBuff, //
    },
    prelude::*, //
};

/// How the bytes of a connection are cut.
#[derive(Clone, Copy)]
pub(crate) struct Cut {
    /// Bytes of each packet but the last.
    segment_len: NonZeroU16,
    /// Whether several packets can go out in one piece.
    in_one_piece: bool,
}

impl Cut {
    pub(crate) fn new(segment_len: NonZeroU16, in_one_piece: bool) -> Self {
        Self {
            segment_len,
            in_one_piece,
        }
    }

    pub(crate) fn segment_len(&self) -> usize {
        self.segment_len.get().into()
    }

    /// Returns how many bytes are kept together at most: whole packets.
    pub(crate) fn piece_len(&self) -> usize {
        let each = u32::from(self.segment_len.get());
        ((MAX_PIECE / each).max(1) * each) as usize
    }
}

/// Bytes in one packet, or in several that are kept together.
pub(crate) struct Portion {
    skb: RetainedSkBuff,
    cut: Cut,
    ends_record: bool,
}

impl Portion {
    /// Takes a packet that is charged to its socket and has nothing but bytes, at least one.
    pub(crate) fn new(skb: SkBuff, cut: Cut, ends_record: bool) -> Result<Self> {
        let retained = match skb.len() > cut.segment_len() {
            true => skb.retain_segments(cut.segment_len),
            false => skb.retain(),
        };
        Ok(Self {
            // It is new: nobody shares it.
            skb: retained.map_err(|_| EINVAL)?,
            cut,
            ends_record,
        })
    }

    /// Returns the bytes from `start` to `end`, with room before them.
    pub(crate) fn part(&mut self, start: u32, end: u32) -> Option<SkBuff> {
        let len = end.checked_sub(start)?;
        self.skb
            .copy_range(start as usize, len as usize, GFP_ATOMIC)
            .ok()
    }
}

impl Piece for Portion {
    fn len(&self) -> u32 {
        // No packet has more than an `int` counts.
        self.skb.len() as u32
    }

    fn segment_len(&self) -> NonZeroU32 {
        self.cut.segment_len.into()
    }

    fn in_one_piece(&self) -> bool {
        self.cut.in_one_piece
    }

    fn ends_record(&self) -> bool {
        self.ends_record
    }

    fn append(&mut self, other: &Self) -> bool {
        let fits = self.skb.len() + other.skb.len() <= self.cut.segment_len();
        let appended = fits && self.skb.append_from(&other.skb);
        self.ends_record |= appended && other.ends_record;
        appended
    }

    fn consume(self) {
        self.skb.consume();
    }
}
