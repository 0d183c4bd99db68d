// SPDX-License-Identifier: GPL-2.0

//! What packets between peers have in common, and the two that carry messages. Pure.

use super::{
    raw_len,
    HEADER_LEN, //
};
use crate::engine::id::Id;
use zerocopy::big_endian::{
    U16,
    U32, //
};
use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout,
    Unaligned, //
};

/// What a receiver has of the transfers that come to it.
///
/// The transfer `latest` has finished. So have those whose bit is set in `bits`, where bit 0 stands
/// for the one before `latest`, and all from before `floor` on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Acks {
    pub(crate) floor: Id,
    pub(crate) latest: Id,
    pub(crate) bits: u32,
    /// Microseconds since `latest` finished, at most 65535.
    pub(crate) delay: u16,
}

/// The receiver is asked to answer without waiting for something to send.
pub(crate) const FLAG_ANSWER: u16 = 1;

/// In the flags of a transfer: it is the last for now of those that had waited for room.
pub(crate) const FLAG_LAST: u16 = 1;

/// What all packets have that belong to an association of two peers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reliable {
    /// The low half of the receiver's epoch.
    pub(crate) tag: u32,
    pub(crate) acks: Acks,
    /// Whether the sender wants an answer at once.
    pub(crate) answer: bool,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawReliable {
    tag: U32,
    floor: U32,
    latest: U32,
    bits: U32,
    delay: U16,
    flags: U16,
}

impl From<RawReliable> for Reliable {
    fn from(raw: RawReliable) -> Self {
        Self {
            tag: raw.tag.get(),
            acks: Acks {
                floor: Id(raw.floor.get()),
                latest: Id(raw.latest.get()),
                bits: raw.bits.get(),
                delay: raw.delay.get(),
            },
            answer: raw.flags.get() & FLAG_ANSWER != 0,
        }
    }
}

impl From<&Reliable> for RawReliable {
    fn from(repr: &Reliable) -> Self {
        Self {
            tag: repr.tag.into(),
            floor: repr.acks.floor.0.into(),
            latest: repr.acks.latest.0.into(),
            bits: repr.acks.bits.into(),
            delay: repr.acks.delay.into(),
            flags: if repr.answer { FLAG_ANSWER } else { 0 }.into(),
        }
    }
}

/// Which transfer a packet belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TransferId {
    pub(crate) id: Id,
    /// How far before `id` the oldest transfer is that the sender has not ended.
    pub(crate) behind: u16,
    /// Whether the sender needs no more of the room that a [`Wake`](super::control::Block::Wake)
    /// told it of.
    pub(crate) last: bool,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawTransferId {
    id: U32,
    behind: U16,
    flags: U16,
}

impl From<RawTransferId> for TransferId {
    fn from(raw: RawTransferId) -> Self {
        Self {
            id: Id(raw.id.get()),
            behind: raw.behind.get(),
            last: raw.flags.get() & FLAG_LAST != 0,
        }
    }
}

impl From<TransferId> for RawTransferId {
    fn from(repr: TransferId) -> Self {
        Self {
            id: repr.id.0.into(),
            behind: repr.behind.into(),
            flags: if repr.last { FLAG_LAST } else { 0 }.into(),
        }
    }
}

/// A message that one packet holds; its payload follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Message {
    pub(crate) reliable: Reliable,
    pub(crate) transfer: TransferId,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawMessage {
    reliable: RawReliable,
    transfer: RawTransferId,
}

/// Bytes of the headers of a [`Message`], the common one included.
pub(crate) const MESSAGE_LEN: usize = raw_len::<RawMessage>();

/// Bytes of a [`Message`]'s own header.
pub(crate) const MESSAGE_BODY: usize = MESSAGE_LEN - HEADER_LEN;

impl Message {
    /// Reads what follows the common header.
    pub(crate) fn parse(bytes: [u8; MESSAGE_BODY]) -> Self {
        let raw: RawMessage = zerocopy::transmute!(bytes);
        Self {
            reliable: raw.reliable.into(),
            transfer: raw.transfer.into(),
        }
    }

    /// Returns what follows the common header.
    pub(crate) fn emit(&self) -> [u8; MESSAGE_BODY] {
        zerocopy::transmute!(RawMessage {
            reliable: (&self.reliable).into(),
            transfer: self.transfer.into(),
        })
    }
}

/// A part of a message that takes several packets; the bytes follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Segment {
    pub(crate) reliable: Reliable,
    pub(crate) transfer: TransferId,
    /// Where in the message the bytes belong.
    pub(crate) offset: u32,
    /// Bytes of the whole message.
    pub(crate) total: u32,
    /// Up to where the sender sends without a grant.
    pub(crate) unasked: u32,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawSegment {
    reliable: RawReliable,
    transfer: RawTransferId,
    offset: U32,
    total: U32,
    unasked: U32,
}

/// Bytes of the headers of a [`Segment`], the common one included.
pub(crate) const SEGMENT_LEN: usize = raw_len::<RawSegment>();

/// Bytes of a [`Segment`]'s own header.
pub(crate) const SEGMENT_BODY: usize = SEGMENT_LEN - HEADER_LEN;

impl Segment {
    /// Reads what follows the common header.
    pub(crate) fn parse(bytes: [u8; SEGMENT_BODY]) -> Self {
        let raw: RawSegment = zerocopy::transmute!(bytes);
        Self {
            reliable: raw.reliable.into(),
            transfer: raw.transfer.into(),
            offset: raw.offset.get(),
            total: raw.total.get(),
            unasked: raw.unasked.get(),
        }
    }

    /// Returns what follows the common header.
    pub(crate) fn emit(&self) -> [u8; SEGMENT_BODY] {
        zerocopy::transmute!(RawSegment {
            reliable: (&self.reliable).into(),
            transfer: self.transfer.into(),
            offset: self.offset.into(),
            total: self.total.into(),
            unasked: self.unasked.into(),
        })
    }
}

impl Segment {
    /// Makes of the own header of several segments in one piece that of one of them, whose payload
    /// begins `into` bytes after that of the first, and which is or is not the `last`.
    pub(super) fn cut(
        own: [u8; SEGMENT_BODY],
        into: u32,
        last: bool,
    ) -> Option<[u8; SEGMENT_BODY]> {
        let mut segment = Self::parse(own);
        segment.reliable.answer &= last;
        segment.offset = segment.offset.checked_add(into)?;
        Some(segment.emit())
    }
}

/// The fixed part of a control packet; its blocks follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Control {
    pub(crate) reliable: Reliable,
    /// The oldest transfer that the sender has not ended.
    pub(crate) base: Id,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawControl {
    reliable: RawReliable,
    base: U32,
}

/// Bytes of the headers of a control packet, the common one included.
pub(crate) const CONTROL_LEN: usize = raw_len::<RawControl>();

/// Bytes of a control packet's own header.
pub(crate) const CONTROL_BODY: usize = CONTROL_LEN - HEADER_LEN;

impl Control {
    /// Reads what follows the common header.
    pub(crate) fn parse(bytes: [u8; CONTROL_BODY]) -> Self {
        let raw: RawControl = zerocopy::transmute!(bytes);
        Self {
            reliable: raw.reliable.into(),
            base: Id(raw.base.get()),
        }
    }

    /// Returns what follows the common header.
    pub(crate) fn emit(&self) -> [u8; CONTROL_BODY] {
        zerocopy::transmute!(RawControl {
            reliable: (&self.reliable).into(),
            base: self.base.0.into(),
        })
    }
}
