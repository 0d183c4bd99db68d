// SPDX-License-Identifier: GPL-2.0

//! What a peer is to be told with control packets.

use super::{
    fifo::Fifo,
    limits::MAX_BLOCKS_WAITING, //
};
use crate::wire::control::{
    Block,
    Blocks, //
};
use kernel::prelude::*;

/// Blocks that wait for a packet, at most [`MAX_BLOCKS_WAITING`].
pub(super) struct Telling(Fifo<Block>);

impl Telling {
    pub(super) const fn new() -> Self {
        Self(Fifo::new())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a block; if there are too many it is lost, as it could be on the wire.
    pub(super) fn push(&mut self, block: Block) {
        if self.0.len() < MAX_BLOCKS_WAITING {
            let _ = self.0.push_back(block, GFP_ATOMIC);
        }
    }

    /// Takes as many as one packet has.
    pub(super) fn take(&mut self) -> Blocks {
        let mut packet = Blocks::new();
        while !packet.is_full() {
            match self.0.pop_front() {
                Some(block) => packet.push(&block),
                None => break,
            };
        }
        packet
    }
}
