// SPDX-License-Identifier: GPL-2.0

//! The blocks of control packets. Pure.

use super::{
    flow::Number,
    reliable::CONTROL_LEN,
    HEADER_LEN, //
};
use crate::{
    engine::id::Id,
    error::Refusal, //
};
use kernel::prelude::*;

/// Bytes of each block; those that need less end in zeros, so that there is one length to check.
pub(crate) const BLOCK_LEN: usize = 16;

/// The most blocks that one packet has.
pub(crate) const MAX_BLOCKS: usize = 16;

/// What a control packet says besides what it acknowledges.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Block {
    /// The sender of `id` may send up to `limit`, and the receiver has all before `held`.
    Grant { id: Id, limit: u32, held: u32 },
    /// The receiver misses the bytes `start..end` of `id`.
    Resend { id: Id, start: u32, end: u32 },
    /// The receiver's socket has no room for `id`, which was not and will not be delivered.
    Busy { id: Id },
    /// `id` was not and will not be delivered.
    Refused { id: Id, why: Why },
    /// A socket that was [busy](Self::Busy) has room for `bytes`.
    Wake { port: u16, bytes: u32 },
    /// The sender has given up `id`.
    Abandon { id: Id },
    /// The receiver misses the bytes `start..end` of the connection `number`.
    Missing {
        number: Number,
        start: u32,
        end: u32,
    },
}

/// Why a message is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Why {
    /// No socket has the port.
    NoSocket = 1,
    /// It is longer than the receiver takes.
    TooLong = 2,
}

const GRANT: u8 = 1;
const RESEND: u8 = 2;
const BUSY: u8 = 3;
const REFUSED: u8 = 4;
const WAKE: u8 = 5;
const ABANDON: u8 = 6;
const MISSING: u8 = 7;

impl Block {
    /// Reads a block; `None` if it is of a kind that this version does not know and ignores.
    pub(crate) fn parse(bytes: &[u8; BLOCK_LEN]) -> Option<Self> {
        let [kind, detail, p0, p1, a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3] = *bytes;
        let id = Id(u32::from_be_bytes([a0, a1, a2, a3]));
        let first = u32::from_be_bytes([b0, b1, b2, b3]);
        let second = u32::from_be_bytes([c0, c1, c2, c3]);
        Some(match kind {
            GRANT => Self::Grant {
                id,
                limit: first,
                held: second,
            },
            RESEND => Self::Resend {
                id,
                start: first,
                end: second,
            },
            BUSY => Self::Busy { id },
            REFUSED => Self::Refused {
                id,
                why: match detail {
                    1 => Why::NoSocket,
                    2 => Why::TooLong,
                    _ => return None,
                },
            },
            WAKE => Self::Wake {
                port: u16::from_be_bytes([p0, p1]),
                bytes: first,
            },
            ABANDON => Self::Abandon { id },
            MISSING => Self::Missing {
                number: Number(id.0),
                start: first,
                end: second,
            },
            _ => return None,
        })
    }

    /// Returns the block's bytes.
    pub(crate) fn emit(&self) -> [u8; BLOCK_LEN] {
        let (kind, detail, port, id, first, second) = match *self {
            Self::Grant { id, limit, held } => (GRANT, 0, 0, id.0, limit, held),
            Self::Resend { id, start, end } => (RESEND, 0, 0, id.0, start, end),
            Self::Busy { id } => (BUSY, 0, 0, id.0, 0, 0),
            Self::Refused { id, why } => (REFUSED, why as u8, 0, id.0, 0, 0),
            Self::Wake { port, bytes } => (WAKE, 0, port, 0, bytes, 0),
            Self::Abandon { id } => (ABANDON, 0, 0, id.0, 0, 0),
            Self::Missing { number, start, end } => (MISSING, 0, 0, number.0, start, end),
        };
        let [p0, p1] = u16::to_be_bytes(port);
        let [a0, a1, a2, a3] = id.to_be_bytes();
        let [b0, b1, b2, b3] = first.to_be_bytes();
        let [c0, c1, c2, c3] = second.to_be_bytes();
        [
            kind, detail, p0, p1, a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3,
        ]
    }
}

/// The blocks of one packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blocks {
    count: usize,
    bytes: [u8; MAX_BLOCKS * BLOCK_LEN],
}

impl Blocks {
    pub(crate) const fn new() -> Self {
        Self {
            count: 0,
            bytes: [0; MAX_BLOCKS * BLOCK_LEN],
        }
    }

    /// Returns how many bytes of blocks a packet of `length` bytes has.
    pub(crate) fn bytes_in(length: u16) -> Result<usize, Refusal> {
        const { assert!(CONTROL_LEN > HEADER_LEN) };
        match usize::from(length).checked_sub(CONTROL_LEN) {
            Some(bytes) if bytes <= MAX_BLOCKS * BLOCK_LEN && bytes % BLOCK_LEN == 0 => Ok(bytes),
            _ => Err(Refusal::BadLength),
        }
    }

    /// Takes blocks as they have arrived: at most [`MAX_BLOCKS`] whole ones; what is over is
    /// ignored.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let mut blocks = Self::new();
        for (from, to) in bytes
            .chunks_exact(BLOCK_LEN)
            .zip(blocks.bytes.chunks_exact_mut(BLOCK_LEN))
        {
            to.copy_from_slice(from);
            blocks.count += 1;
        }
        blocks
    }

    /// Adds a block, if there is room.
    pub(crate) fn push(&mut self, block: &Block) -> bool {
        let at = self.count * BLOCK_LEN;
        match self.bytes.get_mut(at..at + BLOCK_LEN) {
            Some(room) => {
                room.copy_from_slice(&block.emit());
                self.count += 1;
                true
            }
            None => false,
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.count == MAX_BLOCKS
    }

    /// Returns the blocks as they are sent.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.count * BLOCK_LEN).unwrap_or_default()
    }

    /// Goes through the blocks that this version knows.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Block> + '_ {
        let (blocks, _) = self.as_bytes().as_chunks::<BLOCK_LEN>();
        blocks.iter().filter_map(Block::parse)
    }
}
