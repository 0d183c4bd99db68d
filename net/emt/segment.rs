// SPDX-License-Identifier: GPL-2.0

//! Cuts what was sent in one piece into packets, where a device cannot take it whole.

use crate::wire::{
    reliable::{
        Segment,
        SEGMENT_LEN, //
    },
    ETHERTYPE, //
};
use kernel::net::offload::Segmenter;

/// Pieces of reliable messages; nothing else of EMT goes out so.
pub(crate) struct Segments;

impl Segmenter for Segments {
    const ETHERTYPE: u16 = ETHERTYPE;
    type Headers = [u8; SEGMENT_LEN];

    fn cut(headers: &Self::Headers, offset: usize, len: usize) -> Option<Self::Headers> {
        Segment::cut(headers, u32::try_from(offset).ok()?, len)
    }
}
