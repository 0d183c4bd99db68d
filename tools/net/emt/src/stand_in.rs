// SPDX-License-Identifier: GPL-2.0

//! In place of emt.rs in a build for tests (feature `stand-in`): TCP sockets over IPv6 that carry a
//! mark, in a network namespace whose loopback device takes fd46::/16. It proves that a descriptor
//! goes from one family to another and back with all that hangs on it; nothing of it proves
//! anything about EMT.

use crate::{
    mark,
    sys,
    table::Mac, //
};
use libc::c_int;

pub(crate) const STORAGE: usize = 128;
pub(crate) const NAME_LEN: usize = 28;

/// That of the tests' only interface, which a name may leave out.
const OWN_MAC: Mac = [2, 0, 0, 0, 0, 1];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) port: u16,
    pub(crate) index: u32,
    pub(crate) mac: Option<Mac>,
}

impl Name {
    /// fd46:0:INDEX:INDEX:0:MAC:MAC:MAC, or all addresses.
    pub(crate) fn emit(&self) -> [u8; NAME_LEN] {
        let mut bytes = [0; NAME_LEN];
        bytes[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
        bytes[2..4].copy_from_slice(&self.port.to_be_bytes());
        let own = (self.index != 0).then_some(OWN_MAC);
        if let Some(mac) = self.mac.or(own) {
            bytes[8..10].copy_from_slice(&[0xfd, 0x46]);
            bytes[12..16].copy_from_slice(&self.index.to_be_bytes());
            bytes[18..24].copy_from_slice(&mac);
        }
        bytes
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; NAME_LEN] = bytes.first_chunk()?;
        let known = bytes[8..10] == [0xfd, 0x46];
        Some(Self {
            port: u16::from_be_bytes([bytes[2], bytes[3]]),
            index: bytes[12..16]
                .first_chunk()
                .filter(|_| known)
                .map_or(0, |index| u32::from_be_bytes(*index)),
            mac: bytes[18..].first_chunk().filter(|_| known).copied(),
        })
    }
}

pub(crate) fn socket() -> sys::Result<c_int> {
    let fd = sys::socket(libc::AF_INET6, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0)?;
    // A port of its own, which IPv4 does not take.
    let alone = (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1);
    // As EMT does, nothing is held back.
    let prompt = (libc::IPPROTO_TCP, libc::TCP_NODELAY, 1);
    let set = |(level, name, value)| sys::set_int(fd, level, name, value);
    match [alone, prompt].into_iter().try_for_each(set) {
        Ok(()) => Ok(fd),
        Err(error) => {
            sys::close(fd);
            Err(error)
        }
    }
}

pub(crate) fn is_ours(fd: c_int) -> bool {
    sys::get_int(fd, libc::SOL_SOCKET, libc::SO_DOMAIN) == Ok(libc::AF_INET6) && mark::is_set(fd)
}

pub(crate) fn round_trip(_fd: c_int, _peer: &Name) -> u32 {
    0
}
