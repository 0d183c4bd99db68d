// SPDX-License-Identifier: GPL-2.0

//! From a socket to a device: message in, frame out.

use crate::{
    addr::{
        Endpoint,
        LinkAddr, //
    },
    device::Link,
    error::Counter,
    netns::{
        Route,
        Way, //
    },
    socket::{
        bound::Ported,
        dgram::Dgram, //
    },
    wire::{
        association::{
            Reset,
            RESET_BODY, //
        },
        Addresses,
        Header,
        Kind,
        CHECKSUM_OFFSET,
        ETHERTYPE,
        HEADER_LEN,
        MAX_PAYLOAD, //
    },
};
use kernel::{
    net::{
        device::EthernetHeader,
        msghdr::SendMsg,
        SkBuff,
        Sock, //
    },
    prelude::*, //
};

/// Room before the payload for the headers of EMT and of most devices; where a device wants more,
/// it is made later.
const HEADROOM: usize = HEADER_LEN + 64;

/// Sends a message as one datagram to `to`, whose interface may be 0; returns its length.
///
/// Sleeps while the socket's send buffer is full. The way is looked for afterwards, so that a
/// sender that waits keeps no device from going away.
pub(crate) fn send(
    sock: &Sock<Dgram>,
    source_port: u16,
    to: &Endpoint,
    msg: &mut SendMsg<'_>,
) -> Result<usize> {
    let payload = msg.len();
    if payload > MAX_PAYLOAD {
        return Err(EMSGSIZE);
    }
    let mut skb = sock.send_skb::<HEADROOM>(msg)?;
    let route = sock.bound().netns().route(to.ifindex, to.link)?;
    if payload > route.max_payload {
        return Err(EMSGSIZE);
    }
    let header = Header::datagram(source_port, to.port, payload).ok_or(EMSGSIZE)?;
    skb.set_flow_hash(flow_hash(
        Kind::Datagram.into(),
        (source_port, to.port),
        to.link,
    ));

    let result = transmit(&route, skb, &header, to.link);
    match result {
        Ok(()) => {
            route.link.count(Counter::TxPackets, 1);
            route.link.count(Counter::TxBytes, payload);
        }
        Err(_) => route.link.count(Counter::TxErrors, 1),
    }
    result.map(|()| payload)
}

/// What is one flow between the same two ports: mostly packets of one kind.
#[derive(Clone, Copy)]
pub(crate) struct Class(u32);

impl Class {
    /// Messages that wait for grants. As much of them is queued as was granted, behind which others
    /// would wait.
    pub(crate) const LONG: Self = Self(8);
}

impl From<Kind> for Class {
    #[inline]
    fn from(kind: Kind) -> Self {
        Self(kind as u32)
    }
}

/// Returns the hash of the packets of one flow.
///
/// Where a queue is fair to flows, a connection does not wait behind others, a message of one
/// packet not behind longer ones of its socket, and these not behind long ones. Messages are not
/// flows of their own: who sends many would have more of the device than others. Nothing in EMT
/// depends on the order of packets.
#[inline]
pub(crate) fn flow_hash(
    Class(class): Class,
    (source, destination): (u16, u16),
    to: LinkAddr,
) -> u32 {
    let ports = u32::from(source) << 16 | u32::from(destination);
    // Queues are chosen by the high bits (Knuth, The Art of Computer Programming, 6.4).
    (to.to_bits() as u32 ^ ports ^ class << 28).wrapping_mul(0x9e37_79b1)
}

/// Puts the header before the payload and sends the packet.
fn transmit(route: &Route, mut skb: SkBuff, header: &Header, to: LinkAddr) -> Result {
    let addresses = Addresses {
        to,
        from: route.from,
    };
    skb.push(&header.emit(addresses.sum()))?;
    skb.set_partial_checksum(CHECKSUM_OFFSET)?;
    emit(route.way(), skb, to)
}

/// Hands a packet to the device, or to that of this host which has the address.
pub(crate) fn emit(way: Way<'_>, mut skb: SkBuff, to: LinkAddr) -> Result {
    let ethernet = EthernetHeader {
        to: to.octets(),
        from: way.from.octets(),
        ethertype: ETHERTYPE,
    };
    let dev = way.link.device();
    // The loopback device itself brings back whatever it is given.
    if way.link.is_loopback() {
        return dev.xmit(skb, &ethernet);
    }
    if way.local {
        return dev.receive(skb, &ethernet);
    }
    if to == LinkAddr::BROADCAST {
        // This host is one of all. If memory is short it goes without, as others may.
        if let Ok(copy) = skb.try_clone(GFP_ATOMIC) {
            let _ = dev.receive(copy, &ethernet);
        }
    }
    dev.xmit(skb, &ethernet)
}

/// Tells the sender of a packet, of whom nothing is known here, that its tag means nothing.
pub(crate) fn send_reset(link: &Link, to: LinkAddr, reset: &Reset) {
    let send = || {
        let route = link.netns().route(link.ifindex(), to)?;
        let header = Header::new(Kind::Reset, (0, 0), 0).ok_or(EINVAL)?;
        let mut skb = SkBuff::alloc(HEADROOM, RESET_BODY, GFP_ATOMIC)?;
        skb.put(&reset.emit())?;
        transmit(&route, skb, &header, to)
    };
    match send() {
        Ok(()) => link.count(Counter::TxPackets, 1),
        Err(_) => link.count(Counter::TxErrors, 1),
    }
}
