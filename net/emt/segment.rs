// SPDX-License-Identifier: GPL-2.0

//! Cuts what was sent in one piece into packets, where a device cannot take it whole.

use crate::wire::{
    cut::{
        self,
        Headers, //
    },
    ETHERTYPE, //
};
use kernel::net::offload::{
    Part,
    Segmenter, //
};

/// Pieces of reliable messages and of connections; nothing else of EMT goes out so.
pub(crate) struct Segments;

impl Segmenter for Segments {
    const ETHERTYPE: u16 = ETHERTYPE;
    type Headers = Headers;

    fn cut(headers: &Headers, part: Part) -> Option<Headers> {
        cut::cut(
            headers,
            u32::try_from(part.offset).ok()?,
            part.len,
            part.last,
        )
    }
}
