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
        bound::Ported,
        rdm::Rdm, //
    },
    wire::control::Why, //
};
use core::num::{
    NonZeroU16,
    NonZeroU32, //
};
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
    /// How many packets are kept as one; not 0.
    together: u16,
    /// Whether they can go out so.
    in_one_piece: u16,
    reserved: u16,
}

/// The most bytes of a message that are kept, and go out, in one piece: with its headers it has to
/// be shorter than the 64 KiB that devices take.
pub(crate) const MAX_PIECE: u32 = 60 << 10;

/// How a message is cut.
#[derive(Clone, Copy)]
pub(crate) struct Cut {
    len: u32,
    segment_len: NonZeroU32,
    together: u16,
    in_one_piece: bool,
}

impl Cut {
    /// Leaves a message of `len` bytes, which are one packet, whole.
    pub(crate) fn none(len: u32) -> Self {
        Self {
            len,
            segment_len: NonZeroU32::new(len).unwrap_or(NonZeroU32::MIN),
            together: 1,
            in_one_piece: false,
        }
    }

    /// Cuts a message of `len` bytes into packets of `segment_len` bytes each, but for the last,
    /// which can go out `in_one_piece`.
    pub(crate) fn new(len: u32, segment_len: NonZeroU32, in_one_piece: bool) -> Self {
        Self {
            len,
            segment_len,
            together: ((MAX_PIECE / segment_len) as u16).max(1),
            in_one_piece,
        }
    }

    /// Returns how many bytes are kept in one piece, all but the last.
    pub(crate) fn piece_len(&self) -> usize {
        usize::from(self.together) * self.segment_len.get() as usize
    }
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

/// The pieces of a message after the first, in their order; those that the peer has are gone.
struct Rest {
    pieces: KVVec<Option<RetainedSkBuff>>,
    gone: usize,
}

impl Outgoing {
    /// Makes a message from its pieces, the first and the `rest`, which are charged to `sock`.
    ///
    /// Fails with [`ENOMEM`]. May sleep.
    #[inline]
    pub(crate) fn new(
        sock: &Sock<Rdm>,
        to: &Endpoint,
        mut first: SkBuff,
        rest: SkBuffList,
        cut: &Cut,
        cookie: u32,
    ) -> Result<Self> {
        first.set_cb(Note {
            timeout: sock.user_timeout(),
            len: cut.len,
            segment_len: cut.segment_len.get(),
            cookie,
            ifindex: to.ifindex,
            to: to.link.octets(),
            destination_port: to.port,
            source_port: sock.bound().port(),
            together: cut.together,
            in_one_piece: cut.in_one_piece.into(),
            reserved: 0,
        });
        let rest = match rest.len() {
            0 => None,
            _ => Some(KBox::new(Rest::new(rest, cut)?, GFP_KERNEL)?),
        };
        Ok(Self {
            first: retain(first, cut)?,
            rest,
        })
    }

    #[inline]
    fn note(&self) -> Note {
        self.first.cb()
    }

    /// Returns the only packet of a message, with room before it.
    pub(crate) fn whole(&mut self) -> Option<SkBuff> {
        self.first.copy(GFP_ATOMIC).ok()
    }

    /// Returns the bytes from `start` to `end`, which lie in one piece, with room before them.
    pub(crate) fn part(&mut self, start: u32, end: u32) -> Option<SkBuff> {
        let piece_len = self.note().piece_len();
        let (before, from) = (start / piece_len, start % piece_len);
        let piece = match before {
            0 => &mut self.first,
            _ => {
                let rest = self.rest.as_mut()?;
                rest.pieces.get_mut(before as usize - 1)?.as_mut()?
            }
        };
        let len = end.checked_sub(start)?;
        piece
            .copy_range(from as usize, len as usize, GFP_ATOMIC)
            .ok()
    }

    /// Tells the user what has become of the message.
    pub(crate) fn report(&self, outcome: Outcome) {
        if let Some(sock) = self.first.sender::<Rdm>().filter(|sock| !sock.is_dead()) {
            self.tell(sock, outcome);
        }
    }

    /// Frees the message, which was delivered.
    pub(crate) fn consume(self) {
        self.first.consume();
        if let Some(mut rest) = self.rest {
            rest.consume(usize::MAX);
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

impl Note {
    fn segment_len(&self) -> NonZeroU32 {
        NonZeroU32::new(self.segment_len).unwrap_or(NonZeroU32::MIN)
    }

    /// Returns how many bytes are kept in one piece, all but the last.
    fn piece_len(&self) -> NonZeroU32 {
        let len = self.segment_len.saturating_mul(self.together.into());
        NonZeroU32::new(len).unwrap_or(NonZeroU32::MIN)
    }
}

impl Rest {
    fn new(list: SkBuffList, cut: &Cut) -> Result<Self> {
        let mut pieces = KVVec::with_capacity(list.len(), GFP_KERNEL)?;
        for skb in list {
            pieces.push(Some(retain(skb, cut)?), GFP_KERNEL)?;
        }
        Ok(Self { pieces, gone: 0 })
    }

    /// Frees the pieces before `end`, which were delivered.
    fn consume(&mut self, end: usize) {
        for piece in self.pieces.iter_mut().take(end).skip(self.gone) {
            if let Some(piece) = piece.take() {
                piece.consume();
            }
        }
        self.gone = self.gone.max(end);
    }
}

#[inline]
fn retain(skb: SkBuff, cut: &Cut) -> Result<RetainedSkBuff> {
    let retained = match u16::try_from(cut.segment_len.get())
        .ok()
        .and_then(NonZeroU16::new)
    {
        Some(segment_len) if skb.len() > segment_len.get().into() => {
            skb.retain_segments(segment_len)
        }
        _ => skb.retain(),
    };
    // It is new: nobody shares it.
    retained.map_err(|_| EINVAL)
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
        self.note().segment_len()
    }

    fn piece_end(&self, offset: u32) -> u32 {
        let note = self.note();
        let len = match note.in_one_piece {
            0 => note.segment_len(),
            _ => note.piece_len(),
        };
        let end = (offset / len).saturating_add(1).saturating_mul(len.get());
        end.min(note.len)
    }

    fn timeout(&self) -> Nanos {
        self.note().timeout
    }

    fn is_awaited(&self) -> bool {
        let sock = self.first.sender::<Rdm>();
        sock.is_some_and(|sock| !sock.is_writeable())
    }

    fn held(&mut self, held: u32) {
        // The first piece stays: the note is on it.
        let end = (held / self.note().piece_len()) as usize;
        if let Some(rest) = &mut self.rest {
            rest.consume(end.saturating_sub(1));
        }
    }
}

/// Bytes that have arrived, in the packets that have brought them.
pub(crate) struct Bytes {
    packets: SkBuffList,
    len: u32,
    step: u32,
    /// What they take of memory.
    size: u32,
}

impl Bytes {
    /// Takes a packet that has nothing but its bytes left.
    pub(crate) fn new(skb: SkBuff) -> Self {
        // No packet has more than an `int` counts.
        let len = skb.len() as u32;
        Self::with_step(skb, len)
    }

    /// Takes one that may be several in one piece.
    pub(crate) fn segments(skb: SkBuff) -> Self {
        let len = skb.len() as u32;
        let step = skb
            .gso_size()
            .map_or(len, |size| len.min(size.get().into()));
        Self::with_step(skb, step)
    }

    fn with_step(skb: SkBuff, step: u32) -> Self {
        let (len, size) = (skb.len() as u32, skb.truesize());
        let mut packets = SkBuffList::new();
        packets.push_back(skb);
        Self {
            packets,
            len,
            step,
            size,
        }
    }

    /// Returns how many bytes there are.
    pub(crate) fn count(&self) -> usize {
        self.len as usize
    }

    /// Returns the packets.
    pub(crate) fn into_packets(self) -> SkBuffList {
        self.packets
    }

    /// Returns the only packet.
    pub(crate) fn into_packet(mut self) -> Option<SkBuff> {
        self.packets.pop_front()
    }

    /// Makes all packets one. `None` if memory is short.
    pub(crate) fn gather(self) -> Option<SkBuff> {
        match self.packets.len() {
            1 => self.into_packet(),
            _ => self.packets.gather(GFP_ATOMIC).ok(),
        }
    }
}

impl Chunk for Bytes {
    fn len(&self) -> usize {
        self.len as usize
    }

    fn size(&self) -> usize {
        self.size as usize
    }

    fn step(&self) -> usize {
        self.step as usize
    }

    fn append(&mut self, mut after: Self) {
        self.packets.append(&mut after.packets);
        // A message is not longer than an `int` counts; its size is looked at before that.
        self.len = self.len.saturating_add(after.len);
        self.size = self.size.saturating_add(after.size);
    }

    fn split_off(&mut self, at: usize) -> Option<Self> {
        // Only what has just come is split, which is one packet.
        let mut skb = self.packets.pop_front()?;
        let ends_record = skb.ends_record();
        let rest = skb.split_off(at, GFP_ATOMIC).ok();
        skb.set_ends_record(ends_record && rest.is_none());
        *self = Self::new(skb);
        let mut rest = rest?;
        rest.set_ends_record(ends_record);
        Some(Self::new(rest))
    }
}
