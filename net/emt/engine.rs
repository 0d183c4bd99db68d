// SPDX-License-Identifier: GPL-2.0

//! The transport: what makes messages reliable.
//!
//! Pure: no sockets, no devices, no clock and no randomness of its own. Whoever runs it hands it
//! the time, packets that have been parsed ([`crate::wire`]) and an implementation of
//! [`host::Host`], and asks [`peer::Peer::deadline`] when to call again. It runs in the kernel
//! under the lock of a peer, and in tests and simulations without a kernel.
//!
//! Vocabulary: a **peer** is a link-layer address behind one device. Two peers that know each
//! other's epochs have an **association**. A **transfer** is a message under way, with a number
//! that is unique in its association and direction.
//!
//! Sending: [`peer::sending`] numbers transfers ([`window`]), sends their beginning unasked as far
//! as the [`budget`] goes, and the rest as it is granted. Receiving: [`peer::receiving`] keeps what
//! arrives ([`runs`]), asks for what is missing, and knows what has ended ([`received`], [`acks`]).
//! What spans peers: [`grants`] decides for a device which transfers go on, [`room`] for a socket
//! whose turn it is when its buffer was full.

pub(crate) mod acks;
pub(crate) mod budget;
pub(crate) mod connections;
pub(crate) mod fifo;
pub(crate) mod grants;
pub(crate) mod host;
pub(crate) mod id;
pub(crate) mod limits;
pub(crate) mod peer;
pub(crate) mod received;
mod resend;
pub(crate) mod room;
pub(crate) mod rtt;
pub(crate) mod runs;
pub(crate) mod schedule;
mod telling;
pub(crate) mod time;
pub(crate) mod window;
