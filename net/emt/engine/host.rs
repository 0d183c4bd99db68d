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

    /// Is told that the peer holds all bytes before `held`, which will not be sent again.
    fn held(&mut self, held: u32);
}

/// Bytes that have arrived, in one packet or in several that came in one piece.
pub(crate) trait Chunk: Sized {
    fn len(&self) -> usize;

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

/// A packet that is to be sent; ports are those of the message or 0.
pub(crate) enum Packet<'a, M> {
    Hello(Hello),
    Reset(Reset),
    Message(reliable::Message, &'a mut M),
    /// As many packets of [`segment_len`](Outbound::segment_len) bytes each, but for the last of
    /// the message, as the bytes from `offset` up to the given end are; the header is that of the
    /// first.
    Segment(reliable::Segment, u32, &'a mut M),
    Control(reliable::Control, &'a Blocks),
}

/// What messages are made of.
pub(crate) trait Types {
    type Outbound: Outbound;
    type Chunk: Chunk;
    /// The room in a socket's receive buffer that is kept for a message under way. Dropping it
    /// gives the room back.
    type Room;
}

/// The surroundings of a peer: the sockets, and the way out.
///
/// All of it is called with the peer's state borrowed (in the kernel: its lock held), so none of it
/// sleeps or calls back.
pub(crate) trait Host<T: Types> {
    /// Returns a random number.
    fn random(&mut self) -> u64;

    /// Sends a packet. What cannot be sent is lost.
    fn transmit(&mut self, packet: Packet<'_, T::Outbound>);

    /// Puts a whole message into the receive queue of its socket.
    fn deliver(&mut self, ports: Ports, chunk: T::Chunk) -> Result<(), Unwilling>;

    /// Keeps room for a message of `total` bytes, of which `first` has arrived.
    fn reserve(&mut self, ports: Ports, total: u32, first: &T::Chunk)
        -> Result<T::Room, Unwilling>;

    /// Puts a message that took several packets into the receive queue of its socket.
    fn complete(&mut self, ports: Ports, room: T::Room, message: T::Chunk)
        -> Result<(), Unwilling>;

    /// Is told the end of a message that was to be sent.
    fn ended(&mut self, message: T::Outbound, outcome: Outcome);

    /// Is told how far the message `id` has come, which goes on only by grants
    /// ([`Peer::grant`](super::peer::Peer::grant)): when it begins, when its sender asks, and
    /// while it is granted each time that it may get more.
    fn progress(&mut self, id: Id, progress: Progress);

    /// Is told that the message `id` does not go on although it was granted.
    fn stalled(&mut self, id: Id);

    /// Is told that the message `id` needs no more grants.
    fn settled(&mut self, id: Id);
}

/// How far a message has come that needs grants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Progress {
    /// Bytes of the message.
    pub(crate) total: u32,
    /// Bytes that have arrived.
    pub(crate) arrived: u32,
    /// Up to where its sender may send.
    pub(crate) limit: u32,
}
