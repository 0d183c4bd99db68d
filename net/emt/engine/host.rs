// SPDX-License-Identifier: GPL-2.0

//! What the engine asks of whoever runs it.

use super::{
    id::Id,
    time::Nanos, //
};
use crate::wire::{
    association::{
        Hello,
        Reset, //
    },
    control::{
        Blocks,
        Why, //
    },
    flow::{
        Flow,
        Number, //
    },
    reliable, //
};
use core::num::NonZeroU32;

/// The ports of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ports {
    pub(crate) source: u16,
    pub(crate) destination: u16,
}

/// A message that is to be sent.
pub(crate) trait Outbound {
    fn ports(&self) -> Ports;

    /// Returns the bytes of the message, not 0.
    fn len(&self) -> u32;

    /// Returns how many bytes go into each packet but the last.
    fn segment_len(&self) -> NonZeroU32;

    /// Returns up to where the bytes from `offset` on, at which a packet begins, can be handed over
    /// in one piece: at the end of that packet or of a later one.
    fn piece_end(&self, offset: u32) -> u32;

    /// Returns how long the peer may be silent before the message has failed.
    fn timeout(&self) -> Nanos;

    /// Returns whether somebody may be waiting for the room that its delivery makes.
    fn is_awaited(&self) -> bool;

    /// Is told that the peer holds all bytes before `held`, which will not be sent again.
    fn held(&mut self, held: u32);
}

/// What a connection carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bearing {
    /// Bytes without boundaries.
    Stream,
    /// Records.
    Records,
}

/// Bytes that a connection is to send, kept until they have arrived.
pub(crate) trait Piece: Sized {
    /// Returns how many, not 0; no more than can be handed over in one piece, if several packets
    /// can be.
    fn len(&self) -> u32;

    /// Returns how many bytes go into each packet but the last.
    fn segment_len(&self) -> NonZeroU32;

    /// Returns whether several packets can be handed over in one piece.
    fn in_one_piece(&self) -> bool;

    /// Returns whether the last byte ends a record.
    fn ends_record(&self) -> bool;

    /// Puts the bytes of `other` at the end, none of which has been sent, if all is still no more
    /// than one packet.
    fn append(&mut self, other: &Self) -> bool;

    /// Frees them: they have arrived, or are elsewhere.
    fn consume(self);
}

/// Bytes that have arrived, in one packet or in several that came in one piece.
pub(crate) trait Chunk: Sized {
    fn len(&self) -> usize;

    /// Returns what they take of memory.
    fn size(&self) -> usize;

    /// Returns how many bytes each of the packets has but the last, as long as nothing was
    /// appended; all of them if there is one packet.
    fn step(&self) -> usize;

    /// Puts the bytes of `after` at the end.
    fn append(&mut self, after: Self);

    /// Takes off the bytes from `at` on; `None` if memory is short.
    fn split_off(&mut self, at: usize) -> Option<Self>;
}

/// What became of a message that was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// The receiving socket has it.
    Delivered,
    /// The receiver has turned it away for good.
    Refused(Why),
    /// The peer has never answered.
    Unreachable,
    /// The peer has not answered for too long; it may have the message or not.
    TimedOut,
    /// The peer has restarted; it had the message or not.
    Reset,
    /// The way to the peer is gone; it may have the message or not.
    Gone,
    /// Memory was short. The peer does not have the message.
    NoMemory,
}

/// Why a socket does not take a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unwilling {
    /// There is no room now. The socket will tell when there is.
    Busy,
    /// There will never be.
    Refused(Why),
    /// Memory is short: as if the packet had been lost.
    Lost,
}

/// A packet that is to be sent; ports are those of the message, those given, or 0.
pub(crate) enum Packet<'a, T: Types> {
    Hello(Hello),
    Reset(Reset),
    Message(reliable::Message, &'a mut T::Outbound),
    /// As many packets of [`segment_len`](Outbound::segment_len) bytes each, but for the last of
    /// the message, as the bytes from `offset` up to the given end are; the header is that of the
    /// first.
    Segment(reliable::Segment, u32, &'a mut T::Outbound),
    Control(reliable::Control, &'a Blocks),
    /// With the bytes of a piece from the first place to the second, if any: one packet, or as many
    /// of [`segment_len`](Piece::segment_len) bytes each, but for the last.
    Flow(Flow, Ports, Option<(&'a mut T::Piece, u32, u32)>),
}

/// What messages are made of.
pub(crate) trait Types {
    type Outbound: Outbound;
    type Chunk: Chunk;
    /// The room in a socket's receive buffer that is kept for a message under way. Dropping it
    /// gives the room back.
    type Room;
    type Piece: Piece;
    /// A place in the backlog of a socket that listens. Dropping it gives the place back.
    type Embryo;
    /// A socket that has a connection, or is to have one.
    type Conn;
}

/// The surroundings of a peer: the sockets, and the way out.
///
/// All of it is called with the peer's state borrowed (in the kernel: its lock held), so none of it
/// sleeps or calls back.
pub(crate) trait Host<T: Types> {
    /// Returns a random number.
    fn random(&mut self) -> u64;

    /// Sends a packet. What cannot be sent is lost.
    fn transmit(&mut self, packet: Packet<'_, T>);

    /// Puts a whole message into the receive queue of its socket.
    fn deliver(&mut self, ports: Ports, chunk: T::Chunk) -> Result<(), Unwilling>;

    /// Keeps room for a message of `total` bytes, of which `first` has arrived.
    fn reserve(&mut self, ports: Ports, total: u32, first: &T::Chunk)
        -> Result<T::Room, Unwilling>;

    /// Puts a message that took several packets into the receive queue of its socket.
    fn complete(&mut self, ports: Ports, room: T::Room, message: T::Chunk)
        -> Result<(), Unwilling>;

    /// Is told that the peer needs no more of the room in the receive buffer of a socket that is
    /// kept for it. Those that wait are to be told of it.
    fn release(&mut self, ports: Ports);

    /// Is told the end of a message that was to be sent.
    fn message_ended(&mut self, message: T::Outbound, outcome: Outcome);

    /// Is told how far what goes on by grants has come: when it begins, when its sender asks, when
    /// it needs a place to ask for what is missing, and each time that it may get more, whether it
    /// is granted or waits for that. Returns up to where it is granted if it has got a place, or
    /// that is more than before; others get theirs by [`Peer::grant`](super::peer::Peer::grant).
    fn progress(&mut self, transfer: Transfer, progress: Progress) -> Option<u64>;

    /// Is told that something does not go on although it was granted.
    fn stalled(&mut self, transfer: Transfer);

    /// Is told that something needs no more grants.
    fn settled(&mut self, transfer: Transfer);

    /// Takes a place in the backlog of the socket that listens to `ports`' source for connections
    /// of this kind.
    fn admit(&mut self, ports: Ports, bearing: Bearing) -> Result<T::Embryo, Unwilling>;

    /// Returns how many bytes may come before the connection is established.
    fn first_window(&self, embryo: &T::Embryo) -> u32;

    /// Makes the socket of a connection that is established, and puts it into the backlog.
    fn establish(
        &mut self,
        embryo: &mut T::Embryo,
        number: Number,
        ports: Ports,
    ) -> Result<T::Conn, Unwilling>;

    /// Returns how long the peer of a connection may be silent.
    fn timeout(&self, conn: &T::Conn) -> Nanos;

    /// Returns whether small writes wait for others while such are under way.
    fn coalesces(&self, conn: &T::Conn) -> bool;

    /// Returns whether the peer is to be asked from time to time whether it is still there.
    fn keeps_alive(&self, conn: &T::Conn) -> bool;

    /// Returns for how many bytes more a connection's socket has room.
    fn window(&self, conn: &T::Conn) -> u32;

    /// Returns how much memory it has for what comes early.
    fn memory(&self, conn: &T::Conn) -> usize;

    /// Is told that the peer has more to send than it was let send.
    fn confined(&mut self, conn: &T::Conn);

    /// Is told that the peer has accepted a connection.
    fn opened(&mut self, conn: &T::Conn);

    /// Puts the next bytes into the receive queue of a connection's socket; `false` if there is no
    /// room, as if they had been lost.
    fn arrived(&mut self, conn: &T::Conn, chunk: T::Chunk) -> bool;

    /// Is told that all has come.
    fn ended(&mut self, conn: &T::Conn);

    /// Is told that the peer takes no more, and whether there was something that it did not take.
    fn stopped(&mut self, conn: &T::Conn, lost: bool);

    /// Is told that the peer has all, and knows that it is all.
    fn sent_all(&mut self, conn: &T::Conn);

    /// Is told that a connection is over, in both directions.
    fn closed(&mut self, conn: T::Conn);

    /// Is told that a connection has failed.
    fn broken(&mut self, conn: T::Conn, outcome: Outcome);
}

/// What a peer sends only as far as it is granted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Transfer {
    Message(Id),
    /// What comes on a connection.
    Connection(Number),
}

/// How far something has come that needs grants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Progress {
    /// Bytes of the message, or up to where there are bytes of a connection that may come.
    pub(crate) total: u64,
    /// Whether there may be more by the time that it is granted.
    pub(crate) endless: bool,
    /// Bytes that have arrived.
    pub(crate) arrived: u64,
    /// Up to where its sender may send.
    pub(crate) limit: u64,
    /// Bytes of a packet of it.
    pub(crate) step: u32,
}
