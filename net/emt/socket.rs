// SPDX-License-Identifier: GPL-2.0

//! The family: which types of sockets there are.

pub(crate) mod dgram;
mod ioctl;
mod peer;

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

/// `SOCK_DGRAM`, which some machines number differently.
const SOCK_DGRAM: u32 = kernel::net::socket::SOCK_DGRAM;

/// AF_EMT.
pub(crate) struct Emt;

#[vtable]
impl Family for Emt {
    const NUMBER: u16 = AF_EMT;

    fn create(new: NewSocket<'_>, protocol: c_int) -> Result<Attached> {
        match new.kind() {
            SOCK_DGRAM if protocol == 0 => {
                let netns = NETNS.get(new.net()).ok_or(EAFNOSUPPORT)?;
                new.attach(Dgram::new(netns))
            }
            SOCK_DGRAM => Err(EPROTONOSUPPORT),
            _ => Err(ESOCKTNOSUPPORT),
        }
    }
}
