// SPDX-License-Identifier: GPL-2.0

//! Names of sockets on their way to the program, which expects those of IP.

use crate::{
    addr::{
        Endpoint,
        Family, //
    },
    emt::{
        self,
        Name, //
    },
    iface,
    map,
    mark,
    plan,
    sys, //
};
use libc::{
    c_int,
    sockaddr,
    socklen_t, //
};
use std::{
    net::{
        IpAddr,
        Ipv4Addr,
        Ipv6Addr, //
    },
    ptr,
};

/// Room for a name that the kernel writes, in place of the program's, which may be too short for
/// EMT's.
#[repr(C, align(8))]
pub(crate) struct Room {
    bytes: [u8; emt::STORAGE],
    pub(crate) len: socklen_t,
}

impl Room {
    pub(crate) fn new() -> Self {
        Self {
            bytes: [0; emt::STORAGE],
            len: emt::STORAGE as socklen_t,
        }
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut sockaddr {
        self.bytes.as_mut_ptr().cast()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len as usize).unwrap_or(&self.bytes)
    }

    /// What is in it, if it is a name of EMT, and `fd` is not of a program that knows EMT.
    pub(crate) fn emt(&self, fd: c_int) -> Option<Name> {
        Name::parse(self.bytes()).filter(|_| emt::is_ours(fd))
    }

    /// Puts another name in.
    pub(crate) fn set(&mut self, endpoint: &Endpoint, family: Family) {
        let (bytes, len) = endpoint.emit(family);
        self.bytes[..bytes.len()].copy_from_slice(&bytes);
        self.len = len as socklen_t;
    }

    /// Writes as much as there is room for, as the kernel does.
    ///
    /// # Safety
    ///
    /// `name` is writable for `len` bytes.
    pub(crate) unsafe fn copy_to(&self, name: *mut sockaddr, len: socklen_t) {
        let bytes = self.bytes();
        let count = bytes.len().min(len as usize);
        // SAFETY: By the function's requirements; the room is our own.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), name.cast::<u8>(), count) };
    }

    /// As [`Room::copy_to`], and says how long the name is.
    ///
    /// # Safety
    ///
    /// `len` is readable and writable, and `name` writable for as many bytes as it says.
    pub(crate) unsafe fn give(&self, name: *mut sockaddr, len: *mut socklen_t) {
        // SAFETY: By the function's requirements.
        unsafe {
            self.copy_to(name, *len);
            *len = self.len;
        }
    }
}

/// Whether a name can be taken by way of a [`Room`]; the kernel has an error for what cannot.
///
/// # Safety
///
/// `len` is null or readable.
pub(crate) unsafe fn is_wanted(name: *const sockaddr, len: *const socklen_t) -> bool {
    // SAFETY: By the function's requirement.
    !name.is_null() && !len.is_null() && c_int::try_from(unsafe { *len }).is_ok()
}

/// The address of a peer that a socket of EMT has named.
pub(crate) fn peer(fd: c_int, name: &Name, family: Family) -> Endpoint {
    let mac = name.mac.unwrap_or_default();
    let ip = map::table().peer_ip(name.index, mac, family, &iface::Of(fd));
    plan::endpoint(ip, name.port, name.index)
}

/// The address of a socket of EMT itself. One that is bound to all interfaces has an address once
/// it is connected.
pub(crate) fn own(fd: c_int, name: &Name, family: Family) -> Endpoint {
    let index = match name.index {
        0 => remote(fd).map_or(0, |peer| peer.index),
        index => index,
    };
    let ip = match (index, family) {
        (0, Family::V4) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        (0, Family::V6) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        (index, family) => {
            let mac = iface::mac_of(fd, index).unwrap_or_default();
            map::table().own_ip(index, mac, family, &iface::Of(fd))
        }
    };
    plan::endpoint(ip, name.port, index)
}

/// The name of a socket of EMT, as the kernel has it.
pub(crate) fn local(fd: c_int) -> Option<Name> {
    let mut bytes = [0; emt::STORAGE];
    sys::getsockname(fd, &mut bytes).ok()?;
    Name::parse(&bytes)
}

/// That of its peer, if it is connected.
pub(crate) fn remote(fd: c_int) -> Option<Name> {
    let mut bytes = [0; emt::STORAGE];
    sys::getpeername(fd, &mut bytes).ok()?;
    Name::parse(&bytes)
}

/// The address that a socket of IP is bound to.
pub(crate) fn of_ip(fd: c_int) -> Option<Endpoint> {
    let mut bytes = [0; emt::STORAGE];
    let len = sys::getsockname(fd, &mut bytes).ok()?;
    Endpoint::parse(bytes.get(..len)?)
}

/// Puts the address of IP into the place of a peer's name, if that is one of EMT.
pub(crate) fn translate_peer(fd: c_int, room: &mut Room) {
    if let Some(name) = room.emt(fd) {
        let family = mark::family_of(fd);
        room.set(&peer(fd, &name, family), family);
    }
}
