// SPDX-License-Identifier: GPL-2.0

//! Packets of no connection, or of one that is over.

use super::{
    connection::LastWords,
    Way, //
};
use crate::{
    engine::{
        host::{
            Host,
            Packet,
            Ports,
            Types, //
        },
        peer::Verdict, //
    },
    wire::flow::{
        Flags,
        Flow,
        Number,
        Verb, //
    },
};

/// A packet that has neither bytes nor a connection.
pub(super) fn bare(tag: u32, verb: Verb, to: Number, from: Number) -> Flow {
    Flow {
        tag,
        to,
        from,
        offset: 0,
        held: 0,
        limit: 0,
        granted: 0,
        gap: 0,
        queued: 0,
        delay: 0,
        verb,
        flags: Flags::default(),
    }
}

/// Tells the peer once more how a connection has ended, if it may not know.
pub(super) fn say_again<T: Types>(
    way: &mut Way<'_>,
    flow: &Flow,
    said: &LastWords,
    back: Ports,
    has_bytes: bool,
    host: &mut impl Host<T>,
) -> Verdict {
    let asks = has_bytes || flow.flags.has(Flags::END) || flow.flags.has(Flags::ANSWER);
    if let (Verb::Go, true, Some(tag)) = (flow.verb, asks, way.tag) {
        let mut last = bare(tag, Verb::Go, flow.from, flow.to);
        last.offset = said.sent;
        last.queued = said.sent;
        last.held = said.held;
        last.gap = said.held;
        last.limit = said.held;
        last.granted = said.held;
        last.flags.set(Flags::ENDED, !said.stopped);
        last.flags.set(Flags::STOPPED, said.stopped);
        host.transmit(Packet::Flow(last, back, None));
    }
    Verdict::Duplicate
}
