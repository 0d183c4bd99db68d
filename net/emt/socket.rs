// SPDX-License-Identifier: GPL-2.0

//! The family: which types of sockets there are.

pub(crate) mod bound;
pub(crate) mod dgram;
mod ioctl;
mod option;
mod peer;
pub(crate) mod rdm;

use crate::{
    addr::AF_EMT,
    netns::NETNS, //
};
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

/// AF_EMT.
pub(crate) struct Emt;

#[vtable]
impl Family for Emt {
    const NUMBER: u16 = AF_EMT;

    fn create(new: NewSocket<'_>, protocol: c_int) -> Result<Attached> {
        let kind = new.kind();
        if !matches!(kind, SOCK_DGRAM | SOCK_RDM) {
            return Err(ESOCKTNOSUPPORT);
        }
        if protocol != 0 {
            return Err(EPROTONOSUPPORT);
        }
        let netns = NETNS.get(new.net()).ok_or(EAFNOSUPPORT)?;
        match kind {
            SOCK_DGRAM => new.attach(Dgram::new(netns)),
            _ => new.attach(Rdm::new(netns)),
        }
    }
}
