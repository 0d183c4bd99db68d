// SPDX-License-Identifier: GPL-2.0

//! The family: which types of sockets there are.

pub(crate) mod bound;
pub(crate) mod conn;
pub(crate) mod dgram;
mod ioctl;
mod option;
mod peer;
pub(crate) mod rdm;

use crate::{
    addr::AF_EMT,
    engine::host::Bearing,
    netns::NETNS, //
};
use conn::Conn;
use dgram::Dgram;
use kernel::{
    net::{
        family::Family,
        socket::{
            Attached,
            NewSocket, //
        },
    },
    prelude::*, //
};
use rdm::Rdm;

// Some machines number them differently.
const SOCK_DGRAM: u32 = kernel::net::socket::SOCK_DGRAM;
const SOCK_RDM: u32 = kernel::net::socket::SOCK_RDM;
const SOCK_STREAM: u32 = kernel::net::socket::SOCK_STREAM;
const SOCK_SEQPACKET: u32 = kernel::net::socket::SOCK_SEQPACKET;

/// AF_EMT.
pub(crate) struct Emt;

#[vtable]
impl Family for Emt {
    const NUMBER: u16 = AF_EMT;

    fn create(new: NewSocket<'_>, protocol: c_int) -> Result<Attached> {
        let kind = new.kind();
        if !matches!(kind, SOCK_DGRAM | SOCK_RDM | SOCK_STREAM | SOCK_SEQPACKET) {
            return Err(ESOCKTNOSUPPORT);
        }
        if protocol != 0 {
            return Err(EPROTONOSUPPORT);
        }
        let netns = NETNS.get(new.net()).ok_or(EAFNOSUPPORT)?;
        match kind {
            SOCK_DGRAM => new.attach(Dgram::new(netns)),
            SOCK_RDM => new.attach(Rdm::new(netns)),
            SOCK_STREAM => new.attach(Conn::new(netns, Bearing::Stream)),
            _ => new.attach(Conn::new(netns, Bearing::Records)),
        }
    }
}
