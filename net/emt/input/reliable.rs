// SPDX-License-Identifier: GPL-2.0

//! Packets of reliable messages: their own headers off, and on to the station that has sent them.

use super::Refused;
use crate::{
    device::Link,
    drive,
    engine::{
        host::Ports,
        peer::{
            Peer,
            Verdict, //
        },
        time::Instant, //
    },
    error::{
        Counter,
        Refusal, //
    },
    message::Bytes,
    output, station,
    transport::{
        Surroundings,
        Transport, //
    },
    wire::{
        association::{
            Hello,
            Reset,
            HELLO_LEN,
            RESET_LEN, //
        },
        control::{
            Blocks,
            BLOCK_LEN,
            MAX_BLOCKS, //
        },
        flow::{
            Flags,
            Flow,
            FLOW_LEN, //
        },
        reliable::{
            Control,
            Message,
            Segment,
            CONTROL_LEN,
            MESSAGE_LEN,
            SEGMENT_LEN, //
        },
        Addresses,
        Header,
        Kind, //
    },
};
use kernel::{
    net::SkBuff,
    prelude::*,
    sync::{
        rcu,
        Arc, //
    },
};

/// Takes a packet to its station; returns how many new bytes of a message it has brought, if it is
/// that kind of packet.
pub(super) fn receive(
    link: &Arc<Link>,
    skb: SkBuff,
    header: &Header,
    addresses: &Addresses,
) -> Result<Option<usize>, Refused> {
    // What is for all is for nobody who could answer.
    if addresses.to.is_group() {
        return Err((skb, Refusal::BadAddress));
    }
    let ports = Ports {
        source: header.source_port,
        destination: header.destination_port,
    };
    match header.kind {
        Kind::Datagram => Err((skb, Refusal::BadType)),
        Kind::Hello => hello(link, skb, addresses),
        Kind::Reset => reset(link, skb, addresses),
        Kind::Control => control(link, skb, header, addresses),
        Kind::Message => message(link, skb, ports, addresses),
        Kind::Segment => segment(link, skb, ports, addresses),
        Kind::Flow => flow(link, skb, ports, addresses),
    }
}

/// Takes the headers off, which have `LEN` bytes, and returns the packet's own, which has `OWN`.
fn own<const LEN: usize, const OWN: usize>(
    mut skb: SkBuff,
) -> Result<(SkBuff, [u8; OWN]), Refused> {
    let headers = skb.pull::<LEN>();
    match headers.as_ref().and_then(|headers| headers.last_chunk()) {
        Some(own) => Ok((skb, *own)),
        None => Err((skb, Refusal::TooShort)),
    }
}

fn hello(link: &Arc<Link>, skb: SkBuff, addresses: &Addresses) -> Result<Option<usize>, Refused> {
    let (skb, own) = own::<HELLO_LEN, _>(skb)?;
    let Ok(station) = station::get(link, addresses.from, true, GFP_ATOMIC) else {
        return Err((skb, Refusal::NoMemory));
    };
    let hello = Hello::parse(own);
    let verdict = drive::drive(&station, |peer, now, host| {
        peer.handle_hello(now, &hello, host)
    });
    done(link, skb, verdict)
}

fn reset(link: &Arc<Link>, skb: SkBuff, addresses: &Addresses) -> Result<Option<usize>, Refused> {
    let (skb, own) = own::<RESET_LEN, _>(skb)?;
    let reset = Reset::parse(own);
    let guard = rcu::read_lock();
    let verdict = station::find(link, addresses.from, &guard).and_then(|station| {
        drive::drive(station, |peer, now, host| {
            peer.handle_reset(now, &reset, host)
        })
    });
    done(link, skb, verdict)
}

fn control(
    link: &Arc<Link>,
    skb: SkBuff,
    header: &Header,
    addresses: &Addresses,
) -> Result<Option<usize>, Refused> {
    let (skb, own) = own::<CONTROL_LEN, _>(skb)?;
    let mut bytes = [0; MAX_BLOCKS * BLOCK_LEN];
    let blocks = match Blocks::bytes_in(header.length) {
        Err(refusal) => return Err((skb, refusal)),
        Ok(len) => bytes.get_mut(..len).unwrap_or_default(),
    };
    if skb.copy_bits(0, blocks).is_err() {
        return Err((skb, Refusal::BadLength));
    }
    let (control, blocks) = (Control::parse(own), Blocks::from_bytes(blocks));
    let tag = control.reliable.tag;
    let verdict = to_station(link, addresses, tag, |peer, now, host| {
        peer.handle_control(now, &control, &blocks, host)
    });
    done(link, skb, verdict)
}

/// Counts a packet that brought no bytes.
fn done(link: &Link, skb: SkBuff, verdict: Option<Verdict>) -> Result<Option<usize>, Refused> {
    match refusal(verdict) {
        Some(refusal) => Err((skb, refusal)),
        None => {
            link.count(Counter::RxControl, 1);
            skb.consume();
            Ok(None)
        }
    }
}

fn message(
    link: &Arc<Link>,
    skb: SkBuff,
    ports: Ports,
    addresses: &Addresses,
) -> Result<Option<usize>, Refused> {
    let (skb, own) = own::<MESSAGE_LEN, _>(skb)?;
    if skb.is_empty() {
        return Err((skb, Refusal::BadLength));
    }
    let message = Message::parse(own);
    let tag = message.reliable.tag;
    let len = skb.len();
    let verdict = to_station(link, addresses, tag, |peer, now, host| {
        peer.handle_message(now, &message, ports, Bytes::new(skb), host)
    });
    Ok(brought(link, verdict, len))
}

fn segment(
    link: &Arc<Link>,
    skb: SkBuff,
    ports: Ports,
    addresses: &Addresses,
) -> Result<Option<usize>, Refused> {
    let (mut skb, own) = own::<SEGMENT_LEN, _>(skb)?;
    // It may be kept for a while, which its sender must not have to wait for.
    skb.orphan();
    let segment = Segment::parse(own);
    let tag = segment.reliable.tag;
    let len = skb.len();
    let verdict = to_station(link, addresses, tag, |peer, now, host| {
        peer.handle_segment(now, &segment, ports, Bytes::segments(skb), host)
    });
    Ok(brought(link, verdict, len))
}

fn flow(
    link: &Arc<Link>,
    skb: SkBuff,
    ports: Ports,
    addresses: &Addresses,
) -> Result<Option<usize>, Refused> {
    let (mut skb, own) = own::<FLOW_LEN, _>(skb)?;
    let Some(flow) = Flow::parse(own) else {
        return Err((skb, Refusal::BadType));
    };
    let len = skb.len();
    if len == 0 {
        let verdict = to_station(link, addresses, flow.tag, |peer, now, host| {
            peer.handle_flow(now, &flow, ports, None, host)
        });
        return done(link, skb, verdict);
    }
    // It may be kept for a while, which its sender must not have to wait for.
    skb.orphan();
    skb.set_ends_record(flow.flags.has(Flags::RECORD));
    let verdict = to_station(link, addresses, flow.tag, |peer, now, host| {
        peer.handle_flow(now, &flow, ports, Some(Bytes::segments(skb)), host)
    });
    Ok(brought(link, verdict, len))
}

/// Counts a packet whose bytes the engine has taken or freed; returns how many are new.
fn brought(link: &Link, verdict: Option<Verdict>, len: usize) -> Option<usize> {
    let counter = match verdict {
        Some(Verdict::Good) => return Some(len),
        Some(Verdict::Duplicate) => Counter::RxDuplicate,
        Some(Verdict::Invalid) => Counter::RxInvalid,
        Some(Verdict::Unwanted) => Counter::RxTurnedAway,
        Some(Verdict::NoMemory) => Counter::RxNoMemory,
        Some(Verdict::BadTag) | None => Counter::RxBadTag,
    };
    link.count(counter, 1);
    None
}

/// Returns why a packet without bytes of a message is refused, if it is.
fn refusal(verdict: Option<Verdict>) -> Option<Refusal> {
    match verdict {
        Some(Verdict::Good | Verdict::Duplicate | Verdict::Unwanted) => None,
        Some(Verdict::Invalid) => Some(Refusal::Invalid),
        Some(Verdict::NoMemory) => Some(Refusal::NoMemory),
        Some(Verdict::BadTag) | None => Some(Refusal::BadTag),
    }
}

/// Calls the peer that has sent a packet. If there is none, its sender is told that `tag` means
/// nothing here.
fn to_station(
    link: &Arc<Link>,
    addresses: &Addresses,
    tag: u32,
    call: impl FnOnce(&mut Peer<Transport>, Instant, &mut Surroundings<'_>) -> Verdict,
) -> Option<Verdict> {
    match station::find(link, addresses.from, &rcu::read_lock()) {
        Some(station) => drive::drive(station, call),
        None => {
            output::send_reset(link, addresses.from, &Reset { tag });
            None
        }
    }
}
