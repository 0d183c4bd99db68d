// SPDX-License-Identifier: GPL-2.0

//! From a device to a socket: frame in, datagram in a receive queue.
//!
//! All in softirq context, without taking a lock but that of the receive queue.

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
    socket::dgram::Dgram,
    wire::{
        Addresses,
        Header,
        ETHERNET_LEN,
        HEADER_LEN, //
    },
};
use kernel::{
    net::{
        packet::Handler,
        skbuff::PacketType,
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
    fn receive(&self, skb: SkBuff) {
        if skb.packet_type() == PacketType::OtherHost {
            return skb.drop_reason(DropReason::OTHERHOST);
        }
        match receive(&self.0, skb) {
            Ok(payload) => {
                self.0.count(Counter::RxPackets, 1);
                self.0.count(Counter::RxBytes, payload);
            }
            Err((skb, refusal)) => {
                self.0.count(refusal.counter(), 1);
                skb.drop_reason(refusal.into());
            }
        }
    }
}

/// A refused packet goes back to be counted and freed in one place.
type Refused = (SkBuff, Refusal);

/// Takes a packet to its socket; returns the length of its payload.
fn receive(link: &Link, mut skb: SkBuff) -> Result<usize, Refused> {
    let (header, source) = match check(link, &mut skb) {
        Ok(checked) => checked,
        Err(refusal) => return Err((skb, refusal)),
    };
    let guard = rcu::read_lock();
    match find(link, &guard, header.destination_port, &source) {
        Some(sock) => deliver(sock, skb, source),
        None => Err((skb, Refusal::NoSocket)),
    }
}

/// Checks all of a packet, takes its header off and cuts it to its length.
fn check(link: &Link, skb: &mut SkBuff) -> Result<(Header, Endpoint), Refusal> {
    let ethernet = skb.mac_header::<ETHERNET_LEN>().ok_or(Refusal::TooShort)?;
    let addresses = Addresses::parse(&ethernet);
    let header = skb.peek::<HEADER_LEN>().ok_or(Refusal::TooShort)?;
    let header = Header::parse(&header, skb.len())?;
    if !addresses.are_plausible() {
        return Err(Refusal::BadAddress);
    }
    skb.trim(usize::from(header.length)).map_err(|error| {
        // The other error is a checksum to be filled in where the packet is cut off.
        if error == ENOMEM {
            Refusal::NoMemory
        } else {
            Refusal::BadChecksum
        }
    })?;
    if !skb.checksum_is_valid(addresses.memory_sum()) {
        return Err(Refusal::BadChecksum);
    }
    skb.advance(HEADER_LEN).map_err(|_| Refusal::TooShort)?;
    let source = Endpoint {
        ifindex: link.ifindex(),
        link: addresses.from,
        port: header.source_port,
    };
    Ok((header, source))
}

/// Finds the socket that wants packets from `source` for `port`.
fn find<'a>(
    link: &'a Link,
    guard: &'a rcu::Guard,
    port: u16,
    source: &Endpoint,
) -> Option<&'a Sock<Dgram>> {
    link.netns()
        .dgrams
        .lookup(usize::from(port), guard)
        .find(|sock| sock.is_bound_to(port, source.ifindex))
        .filter(|sock| sock.accepts(source) && !sock.is_receive_shutdown())
        .filter(|sock| match sock.bound_dev_if() {
            0 => true,
            ifindex => ifindex == source.ifindex,
        })
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
