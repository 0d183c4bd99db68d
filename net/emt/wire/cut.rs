// SPDX-License-Identifier: GPL-2.0

//! How several packets that go out in one piece become packets. Pure.

use super::{
    flow::Flow,
    reliable::{
        Segment,
        SEGMENT_BODY,
        SEGMENT_LEN, //
    },
    set_length, Kind, HEADER_LEN,
};

/// All headers of a packet that may go out in one piece with others.
pub(crate) type Headers = [u8; SEGMENT_LEN];

/// Makes of the headers of a piece those of one of its packets, whose payload begins `into` bytes
/// after that of the first and has `payload` bytes, and which is or is not the `last`.
///
/// `None` if it is longer than a packet can be, or if such packets do not go out in one piece.
pub(crate) fn cut(headers: &Headers, into: u32, payload: usize, last: bool) -> Option<Headers> {
    let length = u16::try_from(payload.checked_add(SEGMENT_LEN)?).ok()?;
    let mut cut = *headers;
    let (common, own) = cut.split_first_chunk_mut::<HEADER_LEN>()?;
    set_length(common, length);
    let [_, _, _, kind, ..] = *common;
    let own: &mut [u8; SEGMENT_BODY] = own.first_chunk_mut()?;
    *own = match Kind::parse(kind)? {
        Kind::Segment => Segment::cut(*own, into, last)?,
        Kind::Flow => Flow::cut(*own, into, last),
        _ => return None,
    };
    Some(cut)
}
