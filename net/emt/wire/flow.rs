// SPDX-License-Identifier: GPL-2.0

//! The packets of connections. Pure.

use super::{
    raw_len,
    HEADER_LEN, //
};
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

/// The number that one end of a connection has given it; unique among those that it has with the
/// other end, and never 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Number(pub(crate) u32);

impl Number {
    /// Stands for no number.
    pub(crate) const NONE: Self = Self(0);
}

/// What a packet of a connection is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Verb {
    /// Carries bytes, or says how far those have come that go the other way.
    Go = 0,
    /// Asks for a connection of bytes without boundaries.
    OpenStream = 1,
    /// Asks for a connection of records.
    OpenRecords = 2,
    /// Answers either.
    Accept = 3,
    /// No socket listens, or not to this kind of connection.
    Refuse = 4,
    /// The socket that listens has no room now.
    Busy = 5,
    /// There is no such connection, or not any more.
    Abort = 6,
}

impl Verb {
    fn parse(value: u8) -> Option<Self> {
        Some(match value {
            0 => Self::Go,
            1 => Self::OpenStream,
            2 => Self::OpenRecords,
            3 => Self::Accept,
            4 => Self::Refuse,
            5 => Self::Busy,
            6 => Self::Abort,
            _ => return None,
        })
    }
}

/// What else a packet of a connection says, as bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Flags(pub(crate) u8);

impl Flags {
    /// The receiver is to answer at once.
    pub(crate) const ANSWER: Self = Self(1);
    /// The payload's last byte ends a record.
    pub(crate) const RECORD: Self = Self(2);
    /// After the payload no bytes come any more.
    pub(crate) const END: Self = Self(4);
    /// The sender of this packet has all bytes, and knows that they are all.
    pub(crate) const ENDED: Self = Self(8);
    /// The sender of this packet takes no more bytes.
    pub(crate) const STOPPED: Self = Self(16);
    /// The sender of this packet has more than it was let send.
    pub(crate) const CONFINED: Self = Self(32);
    /// Those of a piece that belong to its last packet only.
    const AT_END: u8 = Self::ANSWER.0 | Self::RECORD.0 | Self::END.0 | Self::CONFINED.0;

    pub(crate) const fn has(self, flag: Self) -> bool {
        self.0 & flag.0 != 0
    }

    pub(crate) fn set(&mut self, flag: Self, value: bool) {
        if value {
            self.0 |= flag.0;
        }
    }
}

/// A packet of a connection; the bytes follow. All places are counted in bytes since the connection
/// began, modulo 2^32.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Flow {
    /// The low half of the receiver's epoch.
    pub(crate) tag: u32,
    /// The receiver's number of the connection, or none as long as it is not known.
    pub(crate) to: Number,
    /// The sender's.
    pub(crate) from: Number,
    /// Where the bytes belong.
    pub(crate) offset: u32,
    /// The sender of this packet has all bytes of the other direction before this.
    pub(crate) held: u32,
    /// Up to where the other end may send.
    pub(crate) limit: u32,
    /// Up to where it need not hold back for others that send, too.
    pub(crate) granted: u32,
    /// Where the gap ends that begins at `held` and is asked for; `held` if none is.
    pub(crate) gap: u32,
    /// Up to where the sender of this packet has bytes to send.
    pub(crate) queued: u32,
    /// Microseconds since `held` moved last, at most 65535.
    pub(crate) delay: u16,
    pub(crate) verb: Verb,
    pub(crate) flags: Flags,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawFlow {
    tag: U32,
    to: U32,
    from: U32,
    offset: U32,
    held: U32,
    limit: U32,
    granted: U32,
    gap: U32,
    queued: U32,
    delay: U16,
    verb: u8,
    flags: u8,
}

/// Bytes of the headers of a [`Flow`], the common one included.
pub(crate) const FLOW_LEN: usize = raw_len::<RawFlow>();

/// Bytes of a [`Flow`]'s own header.
pub(crate) const FLOW_BODY: usize = FLOW_LEN - HEADER_LEN;

// One function cuts both.
const _: () = assert!(FLOW_LEN == super::reliable::SEGMENT_LEN);

impl Flow {
    /// Reads what follows the common header; `None` if it is for something that this version does
    /// not know.
    pub(crate) fn parse(bytes: [u8; FLOW_BODY]) -> Option<Self> {
        let raw: RawFlow = zerocopy::transmute!(bytes);
        Some(Self {
            tag: raw.tag.get(),
            to: Number(raw.to.get()),
            from: Number(raw.from.get()),
            offset: raw.offset.get(),
            held: raw.held.get(),
            limit: raw.limit.get(),
            granted: raw.granted.get(),
            gap: raw.gap.get(),
            queued: raw.queued.get(),
            delay: raw.delay.get(),
            verb: Verb::parse(raw.verb)?,
            flags: Flags(raw.flags),
        })
    }

    /// Returns what follows the common header.
    pub(crate) fn emit(&self) -> [u8; FLOW_BODY] {
        zerocopy::transmute!(RawFlow {
            tag: self.tag.into(),
            to: self.to.0.into(),
            from: self.from.0.into(),
            offset: self.offset.into(),
            held: self.held.into(),
            limit: self.limit.into(),
            granted: self.granted.into(),
            gap: self.gap.into(),
            queued: self.queued.into(),
            delay: self.delay.into(),
            verb: self.verb as u8,
            flags: self.flags.0,
        })
    }

    /// Makes of the own header of several packets in one piece that of one of them, whose payload
    /// begins `into` bytes after that of the first, and which is or is not the `last`.
    pub(super) fn cut(own: [u8; FLOW_BODY], into: u32, last: bool) -> [u8; FLOW_BODY] {
        let mut raw: RawFlow = zerocopy::transmute!(own);
        raw.offset = raw.offset.get().wrapping_add(into).into();
        if !last {
            raw.flags &= !Flags::AT_END;
        }
        zerocopy::transmute!(raw)
    }
}

#[kernel::macros::kunit_tests(emt_flow)]
mod tests {
    use super::*;

    const FLOW: Flow = Flow {
        tag: 0x0102_0304,
        to: Number(0x1112_1314),
        from: Number(0x2122_2324),
        offset: 0x3132_3334,
        held: 0x4142_4344,
        limit: 0x5152_5354,
        granted: 0x6162_6364,
        gap: 0x7172_7374,
        queued: 0x8182_8384,
        delay: 0x9192,
        verb: Verb::Abort,
        flags: Flags(Flags::END.0 | Flags::RECORD.0 | Flags::ENDED.0),
    };

    #[test]
    fn fields_are_in_their_places() {
        let mut bytes = [0; FLOW_BODY];
        for (at, byte) in bytes.iter_mut().take(38).enumerate() {
            let at = at as u8;
            *byte = (at / 4) << 4 | (at % 4 + 1);
        }
        bytes[38] = 6;
        bytes[39] = 0x0e;
        assert_eq!(FLOW.emit(), bytes);
        assert_eq!(Flow::parse(bytes), Some(FLOW));
    }

    #[test]
    fn unknown_verbs_are_not_understood() {
        let mut bytes = FLOW.emit();
        bytes[38] = 7;
        assert_eq!(Flow::parse(bytes), None);
    }

    #[test]
    fn what_ends_a_piece_is_said_by_its_last_packet() {
        let first = Flow::parse(Flow::cut(FLOW.emit(), 0, false));
        let last = Flow::parse(Flow::cut(FLOW.emit(), 1000, true));
        assert_eq!(first.map(|flow| flow.flags), Some(Flags::ENDED));
        assert_eq!(first.map(|flow| flow.offset), Some(FLOW.offset));
        assert_eq!(last.map(|flow| flow.flags), Some(FLOW.flags));
        assert_eq!(last.map(|flow| flow.offset), Some(FLOW.offset + 1000));
    }
}
