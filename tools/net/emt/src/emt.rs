// SPDX-License-Identifier: GPL-2.0

//! Sockets of AF_EMT: how one is made and known, and their names.

use crate::{
    family::{
        AF_EMT,
        SIOCEMTGETPEER, //
    },
    mark,
    sys,
    table::Mac, //
};
use libc::c_int;

/// Room for any socket's name: `struct sockaddr_storage`.
pub(crate) const STORAGE: usize = 128;

/// The length of `struct sockaddr_emt`.
pub(crate) const NAME_LEN: usize = 20;

/// The name of an EMT socket: `struct sockaddr_emt`. Index 0 is any interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) port: u16,
    pub(crate) index: u32,
    pub(crate) mac: Option<Mac>,
}

impl Name {
    pub(crate) fn emit(&self) -> [u8; NAME_LEN] {
        let mut bytes = [0; NAME_LEN];
        bytes[..2].copy_from_slice(&(AF_EMT as u16).to_ne_bytes());
        bytes[2..4].copy_from_slice(&self.port.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.index.to_ne_bytes());
        if let Some(mac) = self.mac {
            bytes[8] = mac.len() as u8;
            bytes[12..18].copy_from_slice(&mac);
        }
        bytes
    }

    /// Takes a name that the kernel gave; `None` if it is not one of EMT.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; NAME_LEN] = bytes.first_chunk()?;
        if bytes[..2] != (AF_EMT as u16).to_ne_bytes() {
            return None;
        }
        let [_, _, p, q, a, b, c, d, halen, _, _, _, mac @ .., _, _] = *bytes;
        Some(Self {
            port: u16::from_be_bytes([p, q]),
            index: u32::from_ne_bytes([a, b, c, d]),
            mac: (halen == 6).then_some(mac),
        })
    }
}

/// Makes a socket that is closed on exec.
pub(crate) fn socket() -> sys::Result<c_int> {
    sys::socket(AF_EMT, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0)
}

/// Whether a socket of EMT has taken the place of one of IP. The kernel is asked, which knows it of every
/// descriptor, wherever that came from.
pub(crate) fn is_ours(fd: c_int) -> bool {
    sys::get_int(fd, libc::SOL_SOCKET, libc::SO_DOMAIN) == Ok(AF_EMT) && mark::is_set(fd)
}

/// `struct emt_peerreq`
#[repr(C)]
struct PeerRequest {
    index: i32,
    halen: u8,
    reserved: [u8; 3],
    addr: [u8; 8],
    rtt: u64,
    age: u64,
    silence: u64,
    tx_bytes: u64,
    counts: [u32; 6],
}

/// Returns the round trip to a peer in microseconds, 0 if it is not known.
pub(crate) fn round_trip(fd: c_int, peer: &Name) -> u32 {
    let mut addr = [0; 8];
    addr[..6].copy_from_slice(&peer.mac.unwrap_or_default());
    let mut request = PeerRequest {
        index: peer.index as i32,
        halen: 6,
        reserved: [0; 3],
        addr,
        rtt: 0,
        age: 0,
        silence: 0,
        tx_bytes: 0,
        counts: [0; 6],
    };
    // SAFETY: The request takes a `struct emt_peerreq`.
    match unsafe { sys::ioctl(fd, SIOCEMTGETPEER, &mut request) } {
        Ok(()) => u32::try_from(request.rtt / 1000).unwrap_or(u32::MAX),
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_laid_out_as_the_header_says() {
        let name = Name {
            port: 6379,
            index: 0x0102,
            mac: Some([2, 0, 0, 0, 0, 9]),
        };
        let bytes = name.emit();
        assert_eq!(bytes[..4], [46, 0, 0x18, 0xeb]);
        assert_eq!(bytes[4..8], 0x0102_u32.to_ne_bytes());
        assert_eq!(bytes[8..], [6, 0, 0, 0, 2, 0, 0, 0, 0, 9, 0, 0]);
        assert_eq!(Name::parse(&bytes), Some(name));
        assert_eq!(std::mem::size_of::<PeerRequest>(), 72);
    }

    #[test]
    fn a_name_may_lack_an_address() {
        let name = Name {
            port: 1,
            index: 0,
            mac: None,
        };
        assert_eq!(name.emit()[8..], [0; 12]);
        assert_eq!(Name::parse(&name.emit()), Some(name));
    }

    #[test]
    fn names_of_other_families_are_none() {
        assert_eq!(Name::parse(&[0; 128]), None);
        assert_eq!(Name::parse(&[46, 0]), None);
    }
}
