// SPDX-License-Identifier: GPL-2.0

//! What reliable messages are made of: the packets of one that is sent, and the bytes of one that
//! arrives.

use crate::{
    addr::{
        Endpoint,
        LinkAddr,
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
use core::num::NonZeroU32;
use kernel::{
    net::{
        skb_retained::RetainedSkBuff,
        sock_buf::{
            self,
            ExtendedError, //
        },
        SkBuff,
        SkBuffList,
        Sock, //
    },
    prelude::*,
    uapi, //
};
use zerocopy_derive::Immutable;

/// What is noted on the first packet of a message that is sent.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Note {
    timeout: Nanos,
    len: u32,
    /// Not 0.
    segment_len: u32,
    cookie: u32,
    ifindex: i32,
    to: [u8; 6],
    destination_port: u16,
    source_port: u16,
    reserved: [u8; 6],
}

/// A message on its way to a peer.
///
/// Most messages are one packet. So all there is to know of one is noted on its first packet, which
/// is charged to its socket and so knows it: moving a message from queue to queue, of which it sees
/// several, moves no more than its address.
pub(crate) struct Outgoing {
    first: RetainedSkBuff,
    rest: Option<KBox<Rest>>,
}

/// The packets of a message after the first, in their order; those that the peer has are gone.
struct Rest {
    packets: KVVec<Option<RetainedSkBuff>>,
    gone: usize,
}

impl Outgoing {
    /// Makes a message of `len` bytes from packets of `segment_len` each, but for the last, which
    /// are charged to `sock`.
    ///
    /// Fails with [`ENOMEM`]. May sleep.
    pub(crate) fn new(
        sock: &Sock<Rdm>,
        to: &Endpoint,
        mut list: SkBuffList,
        len: u32,
        segment_len: NonZeroU32,
        cookie: u32,
    ) -> Result<Self> {
        let mut first = list.pop_front().ok_or(EINVAL)?;
        first.set_cb(Note {
            timeout: sock.user_timeout(),
            len,
            segment_len: segment_len.get(),
            cookie,
            ifindex: to.ifindex,
            to: to.link.octets(),
            destination_port: to.port,
            source_port: sock.bound().port(),
            reserved: [0; 6],
        });
        let rest = match list.len() {
            0 => None,
            _ => Some(KBox::new(Rest::new(list)?, GFP_KERNEL)?),
        };
        Ok(Self {
            first: retain(first)?,
            rest,
        })
    }

    #[inline]
    fn note(&self) -> Note {
        self.first.cb()
    }

    /// Returns a packet with the bytes from `offset` on, and room before them.
    pub(crate) fn packet(&mut self, offset: u32) -> Option<SkBuff> {
        let retained = match offset {
            0 => &mut self.first,
            _ => {
                let before = (offset / self.segment_len()) as usize;
                let rest = self.rest.as_mut()?;
                rest.packets.get_mut(before.checked_sub(1)?)?.as_mut()?
            }
        };
        retained.copy(GFP_ATOMIC).ok()
    }

    /// Frees the message, and tells the user what has become of it.
    pub(crate) fn end(self, outcome: Outcome) {
        if let Some(sock) = self.first.sender::<Rdm>().filter(|sock| !sock.is_dead()) {
            self.tell(sock, outcome);
        }
        if outcome == Outcome::Delivered {
            self.first.consume();
            if let Some(mut rest) = self.rest {
                rest.consume(usize::MAX);
            }
        }
    }

    fn tell(&self, sock: &Sock<Rdm>, outcome: Outcome) {
        let error = match outcome {
            Outcome::Delivered if !sock.wants_notices() => return,
            Outcome::Delivered => None,
            Outcome::Refused(Why::NoSocket) => Some(ECONNREFUSED),
            Outcome::Refused(Why::TooLong) => Some(EMSGSIZE),
            Outcome::Unreachable => Some(EHOSTUNREACH),
            Outcome::TimedOut => Some(ETIMEDOUT),
            Outcome::Reset => Some(ECONNRESET),
            Outcome::Gone => Some(ENETDOWN),
            Outcome::NoMemory => Some(ENOBUFS),
        };
        if error.is_none() || sock.wants_errors() {
            let note = self.note();
            let event = ExtendedError {
                errno: error.map_or(0, |error| error.to_errno().unsigned_abs()),
                origin: sock_buf::ORIGIN_LOCAL,
                kind: match error {
                    None => uapi::EMT_EE_DELIVERED as u8,
                    Some(_) => uapi::EMT_EE_FAILED as u8,
                },
                code: 0,
                info: note.len,
                data: note.cookie,
            };
            let to = Endpoint {
                ifindex: note.ifindex,
                link: LinkAddr::new(note.to),
                port: note.destination_port,
            };
            // If there is no room for it, the error is reported all the same.
            let _ = sock.queue_error(&event, &SockaddrEmt::from(Name::from(to)), GFP_ATOMIC);
        }
        if let Some(error) = error {
            sock.report_error(error);
        }
    }
}

impl Rest {
    fn new(list: SkBuffList) -> Result<Self> {
        let mut packets = KVVec::with_capacity(list.len(), GFP_KERNEL)?;
        for skb in list {
            packets.push(Some(retain(skb)?), GFP_KERNEL)?;
        }
        Ok(Self { packets, gone: 0 })
    }

    /// Frees the packets before `end`, which were delivered.
    fn consume(&mut self, end: usize) {
        for packet in self.packets.iter_mut().take(end).skip(self.gone) {
            if let Some(packet) = packet.take() {
                packet.consume();
            }
        }
        self.gone = self.gone.max(end);
    }
}

fn retain(skb: SkBuff) -> Result<RetainedSkBuff> {
    // It is new: nobody shares it.
    skb.retain().map_err(|_| EINVAL)
}

impl Outbound for Outgoing {
    fn ports(&self) -> Ports {
        let note = self.note();
        Ports {
            source: note.source_port,
            destination: note.destination_port,
        }
    }

    fn len(&self) -> u32 {
        self.note().len
    }

    fn segment_len(&self) -> NonZeroU32 {
        NonZeroU32::new(self.note().segment_len).unwrap_or(NonZeroU32::MIN)
    }

    fn timeout(&self) -> Nanos {
        self.note().timeout
    }

    fn held(&mut self, held: u32) {
        // The first packet stays: the note is on it.
        let end = (held / self.segment_len()) as usize;
        if let Some(rest) = &mut self.rest {
            rest.consume(end.saturating_sub(1));
        }
    }
}

/// Bytes that have arrived, in the packets that have brought them.
pub(crate) struct Bytes {
    packets: SkBuffList,
    len: u32,
    /// What they take of memory.
    size: u32,
}

impl Bytes {
    /// Takes a packet that has nothing but its bytes left.
    pub(crate) fn new(skb: SkBuff) -> Self {
        // No packet has more than an `int` counts.
        let (len, size) = (skb.len() as u32, skb.truesize());
        let mut packets = SkBuffList::new();
        packets.push_back(skb);
        Self { packets, len, size }
    }

    /// Returns what they take of memory.
    pub(crate) fn size(&self) -> usize {
        self.size as usize
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
        self.len as usize
    }

    fn append(&mut self, mut after: Self) {
        self.packets.append(&mut after.packets);
        // A message is not longer than an `int` counts; its size is looked at before that.
        self.len = self.len.saturating_add(after.len);
        self.size = self.size.saturating_add(after.size);
    }
}
