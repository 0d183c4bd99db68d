// SPDX-License-Identifier: GPL-2.0

//! Interfaces, asked for when they are needed and by the socket that needs them: it knows its
//! namespace.

use crate::{
    plan::Interfaces,
    sys,
    table::{
        Interface,
        Mac, //
    },
};
use libc::{
    c_int,
    c_long, //
};

const SIOCGIFNAME: c_long = 0x8910;
const SIOCGIFMTU: c_long = 0x8921;
const SIOCGIFHWADDR: c_long = 0x8927;
const SIOCGIFINDEX: c_long = 0x8933;

/// `struct ifreq`, of which the union's first bytes are used.
#[repr(C)]
struct Request {
    name: [u8; 16],
    value: [u8; 24],
}

impl Request {
    fn named(name: [u8; 16]) -> Self {
        let value = [0; 24];
        Self { name, value }
    }

    fn of_index(fd: c_int, index: u32) -> sys::Result<Self> {
        let mut request = Self::named([0; 16]);
        request.value[..4].copy_from_slice(&index.to_ne_bytes());
        request.ask(fd, SIOCGIFNAME)?;
        Ok(request)
    }

    fn ask(&mut self, fd: c_int, what: c_long) -> sys::Result {
        // SAFETY: These requests take a `struct ifreq`.
        unsafe { sys::ioctl(fd, what, self) }
    }

    fn number(&self) -> u32 {
        let [a, b, c, d, ..] = self.value;
        u32::from_ne_bytes([a, b, c, d])
    }
}

pub(crate) fn index_of(fd: c_int, interface: &Interface) -> sys::Result<u32> {
    match interface {
        Interface::Index(index) => Ok(*index),
        Interface::Name(name) => {
            let mut request = Request::named(*name);
            request.ask(fd, SIOCGIFINDEX)?;
            Ok(request.number())
        }
    }
}

pub(crate) fn mtu(fd: c_int, index: u32) -> sys::Result<u32> {
    let mut request = Request::of_index(fd, index)?;
    request.ask(fd, SIOCGIFMTU)?;
    Ok(request.number())
}

pub(crate) fn mac_of(fd: c_int, index: u32) -> sys::Result<Mac> {
    let mut request = Request::of_index(fd, index)?;
    request.ask(fd, SIOCGIFHWADDR)?;
    let [_, _, mac @ ..] = request.value;
    Ok(*mac.first_chunk().unwrap_or(&[0; 6]))
}

/// The interfaces of a socket's namespace.
pub(crate) struct Of(pub(crate) c_int);

impl Interfaces for Of {
    fn has_index(&self, interface: &Interface, index: u32) -> bool {
        index_of(self.0, interface) == Ok(index)
    }

    fn mac_of(&self, index: u32) -> Option<Mac> {
        mac_of(self.0, index).ok()
    }
}
