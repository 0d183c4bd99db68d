// SPDX-License-Identifier: GPL-2.0

//! From a device to a socket or a station: frame in, checked, header off, and on to whom it is for.
//!
//! All in softirq context. Datagrams take no lock but that of the receive queue.

mod reliable;

use crate::{
    addr::{
        Endpoint,
        Name,
        SockaddrEmt, //
    },
    device::Link,
    error::{
        Counter,
        Refusal, //
    },
    socket::{
        bound,
        dgram::Dgram, //
    },
    wire::{
        Addresses,
        Header,
        Kind,
        ETHERNET_LEN,
        HEADER_LEN, //
    },
};
use kernel::{
    net::{
        packet::Handler,
        skbuff::PacketType,
        Device,
        DropReason,
        SkBuff,
        Sock, //
    },
    prelude::*,
    sync::{
        rcu,
        Arc, //
    },
};

/// Receives from one device.
pub(crate) struct Input(Arc<Link>);

impl Input {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        Self(link)
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.0
    }
}

impl Handler for Input {
    fn receive(&self, mut skb: SkBuff, _dev: &Device) {
        if skb.packet_type() == PacketType::OtherHost {
            return skb.drop_reason(DropReason::OTHERHOST);
        }
        let link = &self.0;
        let result = match check(&mut skb) {
            Err(refusal) => Err((skb, refusal)),
            Ok((header, addresses)) if header.kind == Kind::Datagram => {
                receive(link, skb, &header, &addresses).map(Some)
            }
            Ok((header, addresses)) => reliable::receive(link, skb, &header, &addresses),
        };
        match result {
            Ok(Some(payload)) => {
                link.count(Counter::RxPackets, 1);
                link.count(Counter::RxBytes, payload);
            }
            Ok(None) => (),
            Err((skb, refusal)) => {
                link.count(refusal.counter(), 1);
                skb.drop_reason(refusal.into());
            }
        }
    }
}

/// A refused packet goes back to be counted and freed in one place.
type Refused = (SkBuff, Refusal);

/// Takes a datagram to its socket; returns the length of its payload.
fn receive(
    link: &Link,
    mut skb: SkBuff,
    header: &Header,
    addresses: &Addresses,
) -> Result<usize, Refused> {
    if skb.advance(HEADER_LEN).is_err() {
        return Err((skb, Refusal::TooShort));
    }
    let source = Endpoint {
        ifindex: link.ifindex(),
        link: addresses.from,
        port: header.source_port,
    };
    let guard = rcu::read_lock();
    match bound::find::<Dgram>(link.netns(), &guard, header.destination_port, &source) {
        Some(sock) => deliver(sock, skb, source),
        None => Err((skb, Refusal::NoSocket)),
    }
}

/// Checks all of a packet and cuts it to its length.
fn check(skb: &mut SkBuff) -> Result<(Header, Addresses), Refusal> {
    let ethernet = skb.mac_header::<ETHERNET_LEN>().ok_or(Refusal::TooShort)?;
    let addresses = Addresses::parse(&ethernet);
    let header = skb.peek::<HEADER_LEN>().ok_or(Refusal::TooShort)?;
    let header = Header::parse(&header, skb.len())?;
    if !addresses.are_plausible() {
        return Err(Refusal::BadAddress);
    }
    if skb.len() > usize::from(header.length) {
        skb.trim(usize::from(header.length)).map_err(|error| {
            // The other error is a checksum to be filled in where the packet is cut off.
            if error == ENOMEM {
                Refusal::NoMemory
            } else {
                Refusal::BadChecksum
            }
        })?;
    }
    if !skb.checksum_is_valid(|| addresses.memory_sum()) {
        return Err(Refusal::BadChecksum);
    }
    Ok((header, addresses))
}

/// Puts a datagram into a socket's receive queue, with its source noted on it.
fn deliver(sock: &Sock<Dgram>, mut skb: SkBuff, source: Endpoint) -> Result<usize, Refused> {
    let payload = skb.len();
    skb.set_cb(SockaddrEmt::from(Name::from(source)));
    match sock.queue_rcv(skb) {
        Ok(()) => Ok(payload),
        Err((skb, reason)) => Err((skb, Refusal::by_socket(reason))),
    }
}
