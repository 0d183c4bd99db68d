// SPDX-License-Identifier: GPL-2.0

//! Ethernet Message Transport: start and stop.
//!
//! A packet's way out: `socket/dgram.rs`, `output.rs`, the device. Its way in: the device,
//! `input.rs`, the receive queue, `socket/dgram.rs`. What both work with: `netns.rs` and
//! `device.rs`; `wire.rs`, `addr.rs` and `error.rs` are pure. See
//! Documentation/networking/emt/.

mod addr;
mod device;
mod drive;
mod engine;
mod error;
mod input;
mod message;
mod netns;
mod output;
mod portion;
mod reason;
mod segment;
mod socket;
mod station;
mod transport;
mod wire;

use kernel::{
    net::{
        device::NotifierRegistration,
        dropreason,
        family,
        namespace,
        offload,
        socket::ProtoRegistration, //
    },
    prelude::*, //
};

module! {
    type: Module,
    name: "emt",
    authors: ["EMT developers"],
    description: "Ethernet Message Transport",
    license: "GPL",
    alias: ["net-pf-46"],
}

/// What is registered, in the order in which it is taken back.
#[pin_data]
struct Module {
    // First the ways in: no new sockets, then no more packets.
    family: family::Registration<socket::Emt>,
    #[pin]
    devices: NotifierRegistration<device::Follow>,
    namespaces: namespace::Registration<netns::Netns>,
    // What is still in a queue somewhere is dropped where it would have to be cut from here on.
    #[pin]
    segments: offload::Registration<segment::Segments>,
    dgrams: ProtoRegistration<socket::dgram::Dgram>,
    rdms: ProtoRegistration<socket::rdm::Rdm>,
    conns: ProtoRegistration<socket::conn::Conn>,
    reasons: dropreason::Registration,
}

impl kernel::InPlaceModule for Module {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        // The other way round: each can rely on what comes before it.
        try_pin_init!(Self {
            reasons: reason::REASONS.register()?,
            dgrams: socket::dgram::PROTO.register()?,
            rdms: socket::rdm::PROTO.register()?,
            conns: socket::conn::PROTO.register()?,
            segments <- offload::Registration::new(),
            namespaces: netns::NETNS.register()?,
            devices <- NotifierRegistration::new(),
            family: family::Registration::new()?,
        })
    }
}
