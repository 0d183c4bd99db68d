// SPDX-License-Identifier: GPL-2.0

//! What reliable messages are made of: the packets of one that is sent, and the bytes of one that
//! arrives.

use crate::{
    addr::{
        Endpoint,
        Name,
        SockaddrEmt, //
    },
    engine::{
        host::{
            Chunk,
            Outbound,
            Outcome,
            Ports, //
        },
        time::Nanos, //
    },
    socket::{
        bound::Connectionless,
        rdm::Rdm, //
    },
    wire::control::Why, //
};
use kernel::{
    net::{
        skb_retained::RetainedSkBuff,
        sock_buf::{
            self,
            ExtendedError, //
        },
        sock_ref::SockRef,
        SkBuff,
        SkBuffList, //
    },
    prelude::*,
    uapi, //
};

/// The packets of a message, in their order; those that the peer has are gone.
enum Packets {
    One(Option<RetainedSkBuff>),
    Many(KVVec<Option<RetainedSkBuff>>),
}

impl Packets {
    /// Frees the packets from `start` on and before `end`, which were delivered.
    fn consume(&mut self, start: usize, end: usize) {
        let packets = match self {
            Packets::One(packet) => core::slice::from_mut(packet),
            Packets::Many(packets) => packets,
        };
        for packet in packets.iter_mut().take(end).skip(start) {
            if let Some(packet) = packet.take() {
                packet.consume();
            }
        }
    }
}

/// A message on its way to a peer, in memory of its own: it moves from queue to queue.
pub(crate) struct Outgoing(KBox<Message>);

struct Message {
    sock: SockRef<Rdm>,
    to: Endpoint,
    source_port: u16,
    packets: Packets,
    len: u32,
    segment_len: u32,
    timeout: Nanos,
    cookie: u32,
    /// How many packets are gone.
    gone: usize,
}

impl Outgoing {
    /// Makes a message of `len` bytes from packets of `segment_len` each, but for the last.
    ///
    /// Fails with [`ENOMEM`]. May sleep.
    pub(crate) fn new(
        sock: SockRef<Rdm>,
        to: Endpoint,
        mut list: SkBuffList,
        len: u32,
        segment_len: u32,
        cookie: u32,
    ) -> Result<Self> {
        let packets = if list.len() == 1 {
            Packets::One(Some(retain(list.pop_front().ok_or(EINVAL)?)?))
        } else {
            let mut packets = KVVec::with_capacity(list.len(), GFP_KERNEL)?;
            for skb in list {
                packets.push(Some(retain(skb)?), GFP_KERNEL)?;
            }
            Packets::Many(packets)
        };
        let message = Message {
            source_port: sock.bound().port(),
            timeout: sock.user_timeout(),
            sock,
            to,
            packets,
            len,
            segment_len,
            cookie,
            gone: 0,
        };
        Ok(Self(KBox::new(message, GFP_KERNEL)?))
    }

    /// Returns a packet with the bytes from `offset` on, and room before them.
    pub(crate) fn packet(&mut self, offset: u32) -> Option<SkBuff> {
        let message = &mut *self.0;
        let retained = match &mut message.packets {
            Packets::One(packet) => packet,
            Packets::Many(packets) => {
                packets.get_mut((offset / message.segment_len.max(1)) as usize)?
            }
        };
        retained.as_mut()?.copy(GFP_ATOMIC).ok()
    }

    /// Tells the user what has become of the message.
    pub(crate) fn end(mut self, outcome: Outcome) {
        if outcome == Outcome::Delivered {
            self.0.packets.consume(0, usize::MAX);
        }
        if self.0.sock.is_dead() {
            return;
        }
        let error = match outcome {
            Outcome::Delivered if !self.0.sock.wants_notices() => return,
            Outcome::Delivered => None,
            Outcome::Refused(Why::NoSocket) => Some(ECONNREFUSED),
            Outcome::Refused(Why::TooLong) => Some(EMSGSIZE),
            Outcome::Unreachable => Some(EHOSTUNREACH),
            Outcome::TimedOut => Some(ETIMEDOUT),
            Outcome::Reset => Some(ECONNRESET),
            Outcome::Gone => Some(ENETDOWN),
            Outcome::NoMemory => Some(ENOBUFS),
        };
        if error.is_none() || self.0.sock.wants_errors() {
            let event = ExtendedError {
                errno: error.map_or(0, |error| error.to_errno().unsigned_abs()),
                origin: sock_buf::ORIGIN_LOCAL,
                kind: match error {
                    None => uapi::EMT_EE_DELIVERED as u8,
                    Some(_) => uapi::EMT_EE_FAILED as u8,
                },
                code: 0,
                info: self.0.len,
                data: self.0.cookie,
            };
            let to = SockaddrEmt::from(Name::from(self.0.to));
            // If there is no room for it, the error is reported all the same.
            let _ = self.0.sock.queue_error(&event, &to, GFP_ATOMIC);
        }
        if let Some(error) = error {
            self.0.sock.report_error(error);
        }
    }
}

fn retain(skb: SkBuff) -> Result<RetainedSkBuff> {
    // It is new: nobody shares it.
    skb.retain().map_err(|_| EINVAL)
}

impl Outbound for Outgoing {
    fn ports(&self) -> Ports {
        Ports {
            source: self.0.source_port,
            destination: self.0.to.port,
        }
    }

    fn len(&self) -> u32 {
        self.0.len
    }

    fn segment_len(&self) -> u32 {
        self.0.segment_len
    }

    fn timeout(&self) -> Nanos {
        self.0.timeout
    }

    fn held(&mut self, held: u32) {
        let message = &mut *self.0;
        let end = (held / message.segment_len.max(1)) as usize;
        message.packets.consume(message.gone, end);
        message.gone = message.gone.max(end);
    }
}

/// Bytes that have arrived, in the packets that have brought them.
pub(crate) struct Bytes {
    packets: SkBuffList,
    len: usize,
    /// What they take of memory.
    size: usize,
}

impl Bytes {
    /// Takes a packet that has nothing but its bytes left.
    pub(crate) fn new(skb: SkBuff) -> Self {
        let (len, size) = (skb.len(), skb.truesize() as usize);
        let mut packets = SkBuffList::new();
        packets.push_back(skb);
        Self { packets, len, size }
    }

    /// Returns what they take of memory.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Returns the only packet.
    pub(crate) fn into_packet(mut self) -> Option<SkBuff> {
        self.packets.pop_front()
    }

    /// Makes all packets one. `None` if memory is short.
    pub(crate) fn gather(self) -> Option<SkBuff> {
        self.packets.gather(GFP_ATOMIC).ok()
    }
}

impl Chunk for Bytes {
    fn len(&self) -> usize {
        self.len
    }

    fn append(&mut self, mut after: Self) {
        self.packets.append(&mut after.packets);
        self.len += after.len;
        self.size += after.size;
    }
}
