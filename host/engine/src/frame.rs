// SPDX-License-Identifier: GPL-2.0

//! Whole packets, from bytes and to bytes: what input.rs and output.rs do in the kernel.

use crate::{
    engine::host::{
        Outbound,
        Packet,
        Ports,
        Types, //
    },
    error::Refusal,
    wire::{
        association::{
            Hello,
            Reset, //
        },
        control::Blocks,
        cut,
        flow::Flow,
        reliable::{
            Control,
            Message,
            Segment, //
        },
        Header,
        Kind,
        HEADER_LEN, //
    },
};
use core::fmt;

/// A packet that has arrived.
#[derive(Clone, Debug)]
pub(crate) enum Parsed<'a> {
    Datagram(Ports, &'a [u8]),
    Hello(Hello),
    Reset(Reset),
    Message(Message, Ports, &'a [u8]),
    Segment(Segment, Ports, &'a [u8]),
    Control(Control, Blocks),
    Flow(Flow, Ports, &'a [u8]),
}

/// Without payloads, for traces.
impl fmt::Display for Parsed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Datagram(ports, payload) => write!(f, "{ports:?} {} bytes", payload.len()),
            Self::Hello(hello) => write!(f, "{hello:?}"),
            Self::Reset(reset) => write!(f, "{reset:?}"),
            Self::Message(message, _, payload) => write!(f, "{message:?} {} bytes", payload.len()),
            Self::Segment(segment, _, payload) => write!(f, "{segment:?} {} bytes", payload.len()),
            Self::Control(control, blocks) => {
                write!(f, "{control:?} ")?;
                f.debug_list().entries(blocks.iter()).finish()
            }
            Self::Flow(flow, ports, payload) => {
                write!(f, "{flow:?} {ports:?} {} bytes", payload.len())
            }
        }
    }
}

/// Takes the body of a packet whose length was checked against its kind.
fn body<const LEN: usize>(packet: &[u8]) -> Result<([u8; LEN], &[u8]), Refusal> {
    packet
        .get(HEADER_LEN..)
        .and_then(|after| after.split_first_chunk::<LEN>())
        .map(|(body, rest)| (*body, rest))
        .ok_or(Refusal::BadLength)
}

/// Parses a packet; there may be padding after it.
pub(crate) fn parse(bytes: &[u8]) -> Result<Parsed<'_>, Refusal> {
    let head = bytes.first_chunk().ok_or(Refusal::TooShort)?;
    let header = Header::parse(head, bytes.len())?;
    let packet = bytes
        .get(..usize::from(header.length))
        .ok_or(Refusal::BadLength)?;
    let ports = Ports {
        source: header.source_port,
        destination: header.destination_port,
    };
    Ok(match header.kind {
        Kind::Datagram => {
            let ([], payload) = body(packet)?;
            Parsed::Datagram(ports, payload)
        }
        Kind::Hello => Parsed::Hello(Hello::parse(body(packet)?.0)),
        Kind::Reset => Parsed::Reset(Reset::parse(body(packet)?.0)),
        Kind::Message => {
            let (own, payload) = body(packet)?;
            Parsed::Message(Message::parse(own), ports, payload)
        }
        Kind::Segment => {
            let (own, payload) = body(packet)?;
            Parsed::Segment(Segment::parse(own), ports, payload)
        }
        Kind::Control => {
            let (own, blocks) = body(packet)?;
            let len = Blocks::bytes_in(header.length)?;
            let blocks = blocks.get(..len).ok_or(Refusal::BadLength)?;
            Parsed::Control(Control::parse(own), Blocks::from_bytes(blocks))
        }
        Kind::Flow => {
            let (own, payload) = body(packet)?;
            let flow = Flow::parse(own).ok_or(Refusal::BadType)?;
            Parsed::Flow(flow, ports, payload)
        }
    })
}

/// Returns the bytes of a packet; `None` if it is longer than packets can be.
fn assemble(kind: Kind, ports: (u16, u16), own: &[u8], rest: &[u8]) -> Option<Vec<u8>> {
    let header = Header::new(kind, ports, rest.len())?;
    let mut bytes = Vec::with_capacity(usize::from(header.length));
    bytes.extend_from_slice(&header.emit(0));
    bytes.extend_from_slice(own);
    bytes.extend_from_slice(rest);
    assert_eq!(bytes.len(), usize::from(header.length));
    Some(bytes)
}

/// Returns the bytes of a packet that the engine sends. `content` writes those of a message from an
/// offset on, and `piece` those of a connection's piece.
pub(crate) fn emit<T: Types>(
    packet: Packet<'_, T>,
    content: impl Fn(&T::Outbound, u32, &mut [u8]),
    piece: impl Fn(&T::Piece, u32, &mut [u8]),
) -> Option<Vec<u8>> {
    let ports = |message: &T::Outbound| {
        let Ports {
            source,
            destination,
        } = message.ports();
        (source, destination)
    };
    match packet {
        Packet::Hello(hello) => assemble(Kind::Hello, (0, 0), &hello.emit(), &[]),
        Packet::Reset(reset) => assemble(Kind::Reset, (0, 0), &reset.emit(), &[]),
        Packet::Control(control, blocks) => {
            assemble(Kind::Control, (0, 0), &control.emit(), blocks.as_bytes())
        }
        Packet::Message(header, message) => {
            let mut payload = vec![0; message.len() as usize];
            content(message, 0, &mut payload);
            assemble(Kind::Message, ports(message), &header.emit(), &payload)
        }
        Packet::Segment(header, end, message) => {
            let mut payload = vec![0; end.checked_sub(header.offset)? as usize];
            content(message, header.offset, &mut payload);
            assemble(Kind::Segment, ports(message), &header.emit(), &payload)
        }
        Packet::Flow(header, ports, part) => {
            let payload = match part {
                None => Vec::new(),
                Some((bytes, from, to)) => {
                    let mut payload = vec![0; to.checked_sub(from)? as usize];
                    piece(bytes, from, &mut payload);
                    payload
                }
            };
            let ports = (ports.source, ports.destination);
            assemble(Kind::Flow, ports, &header.emit(), &payload)
        }
    }
}

/// Cuts a packet that is several in one piece, of `each` bytes of payload but for the last; returns
/// each with how far into the first's payload its own begins.
pub(crate) fn cut(piece: &[u8], each: u32) -> impl Iterator<Item = (u32, Vec<u8>)> + '_ {
    let (headers, payload) = piece.split_first_chunk().expect("the headers of a segment");
    let last = payload.len().saturating_sub(1) as u32 / each;
    payload.chunks(each as usize).scan(0, move |into, payload| {
        let is_last = *into / each == last;
        let headers = cut::cut(headers, *into, payload.len(), is_last).expect("a packet's length");
        let packet = (*into, [&headers, payload].concat());
        *into += payload.len() as u32;
        Some(packet)
    })
}

/// Returns the bytes of a packet that was parsed, but for what is ignored in it.
pub(crate) fn emit_again(parsed: &Parsed<'_>) -> Option<Vec<u8>> {
    let pair = |ports: &Ports| (ports.source, ports.destination);
    match parsed {
        Parsed::Datagram(ports, payload) => assemble(Kind::Datagram, pair(ports), &[], payload),
        Parsed::Hello(hello) => assemble(Kind::Hello, (0, 0), &hello.emit(), &[]),
        Parsed::Reset(reset) => assemble(Kind::Reset, (0, 0), &reset.emit(), &[]),
        Parsed::Message(message, ports, payload) => {
            assemble(Kind::Message, pair(ports), &message.emit(), payload)
        }
        Parsed::Segment(segment, ports, payload) => {
            assemble(Kind::Segment, pair(ports), &segment.emit(), payload)
        }
        Parsed::Control(control, blocks) => {
            let mut known = Blocks::new();
            for block in blocks.iter() {
                assert!(known.push(&block), "as many fit as have come");
            }
            assemble(Kind::Control, (0, 0), &control.emit(), known.as_bytes())
        }
        Parsed::Flow(flow, ports, payload) => {
            assemble(Kind::Flow, pair(ports), &flow.emit(), payload)
        }
    }
}
