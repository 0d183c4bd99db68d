// SPDX-License-Identifier: GPL-2.0

//! IP socket addresses, from the bytes that a program passes and to those that it gets.

use crate::table::Mac;
use std::net::{
    IpAddr,
    Ipv4Addr,
    Ipv6Addr, //
};

/// The family of a program's socket, which is that of the addresses it expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) fn number(self) -> i32 {
        match self {
            Self::V4 => libc::AF_INET,
            Self::V6 => libc::AF_INET6,
        }
    }

    pub(crate) fn from_number(number: i32) -> Option<Self> {
        match number {
            libc::AF_INET => Some(Self::V4),
            libc::AF_INET6 => Some(Self::V6),
            _ => None,
        }
    }
}

/// An IP address and port. An IPv4 address in IPv6 is kept as the IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) ip: IpAddr,
    pub(crate) port: u16,
    /// The interface of a link-local IPv6 address, or 0.
    pub(crate) scope: u32,
}

/// The longest socket address of IP: `struct sockaddr_in6`.
pub(crate) const MAX_LEN: usize = 28;

impl Endpoint {
    /// Takes what a program passed; `None` if it is not an address of IP, or cut short.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let family = u16::from_ne_bytes(*bytes.first_chunk()?);
        let port = u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?);
        let (ip, scope) = match Family::from_number(family.into())? {
            Family::V4 if bytes.len() >= 16 => {
                let ip: [u8; 4] = *bytes.get(4..)?.first_chunk()?;
                (IpAddr::V4(ip.into()), 0)
            }
            // The scope may be missing, as in RFC 2133.
            Family::V6 if bytes.len() >= 24 => {
                let ip: [u8; 16] = *bytes.get(8..)?.first_chunk()?;
                let scope = bytes.get(24..).and_then(|after| after.first_chunk());
                (
                    IpAddr::V6(ip.into()).to_canonical(),
                    scope.map_or(0, |scope| u32::from_ne_bytes(*scope)),
                )
            }
            _ => return None,
        };
        Some(Self { ip, port, scope })
    }

    /// Makes what a program with a socket of `family` gets, of which the length is to be used.
    pub(crate) fn emit(&self, family: Family) -> ([u8; MAX_LEN], usize) {
        let mut bytes = [0; MAX_LEN];
        bytes[..2].copy_from_slice(&(family.number() as u16).to_ne_bytes());
        bytes[2..4].copy_from_slice(&self.port.to_be_bytes());
        match (family, self.ip) {
            (Family::V4, IpAddr::V4(ip)) => bytes[4..8].copy_from_slice(&ip.octets()),
            // There is no such address in this family.
            (Family::V4, IpAddr::V6(_)) => {}
            (Family::V6, ip) => {
                let (ip, scope) = match ip {
                    // The address of all stays that of the family.
                    IpAddr::V4(Ipv4Addr::UNSPECIFIED) => (Ipv6Addr::UNSPECIFIED, 0),
                    IpAddr::V4(ip) => (ip.to_ipv6_mapped(), 0),
                    IpAddr::V6(ip) => (ip, self.scope),
                };
                bytes[8..24].copy_from_slice(&ip.octets());
                bytes[24..28].copy_from_slice(&scope.to_ne_bytes());
            }
        }
        let len = match family {
            Family::V4 => 16,
            Family::V6 => MAX_LEN,
        };
        (bytes, len)
    }
}

/// Returns whether a socket address is of IPv6, whatever address it holds.
pub(crate) fn is_v6(bytes: &[u8]) -> bool {
    (bytes.first_chunk())
        .is_some_and(|family| i32::from(u16::from_ne_bytes(*family)) == libc::AF_INET6)
}

/// An address for a host that the map does not have: for IPv6 the link-local one that the host
/// gives itself by its link-layer address (RFC 4291, appendix A), for IPv4 one of the reserved
/// block 240.0.0.0/8 with the last three bytes, which may be those of several hosts.
pub(crate) fn synthetic(mac: Mac, family: Family) -> IpAddr {
    let [a, b, c, d, e, f] = mac;
    match family {
        Family::V4 => Ipv4Addr::new(240, d, e, f).into(),
        Family::V6 => {
            let octets = [
                0xfe,
                0x80,
                0,
                0,
                0,
                0,
                0,
                0, //
                a ^ 2,
                b,
                c,
                0xff,
                0xfe,
                d,
                e,
                f,
            ];
            Ipv6Addr::from(octets).into()
        }
    }
}

/// Returns whether an address means something only together with an interface.
pub(crate) fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.segments()[0] & 0xffc0 == 0xfe80)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(ip: &str, port: u16, scope: u32) -> Endpoint {
        let ip = ip.parse().unwrap();
        Endpoint { ip, port, scope }
    }

    #[test]
    fn an_ipv4_address_is_taken_and_given_back() {
        let (bytes, len) = endpoint("10.0.0.2", 6379, 0).emit(Family::V4);
        assert_eq!(len, 16);
        assert_eq!(&bytes[2..8], [0x18, 0xeb, 10, 0, 0, 2]);
        assert_eq!(bytes[8..16], [0; 8]);
        assert_eq!(
            Endpoint::parse(&bytes[..len]),
            Some(endpoint("10.0.0.2", 6379, 0))
        );
        assert!(!is_v6(&bytes));
    }

    #[test]
    fn an_ipv6_address_keeps_its_scope() {
        let (bytes, len) = endpoint("fe80::2", 80, 3).emit(Family::V6);
        assert_eq!(len, 28);
        assert_eq!(
            Endpoint::parse(&bytes[..len]),
            Some(endpoint("fe80::2", 80, 3))
        );
        assert_eq!(
            Endpoint::parse(&bytes[..24]),
            Some(endpoint("fe80::2", 80, 0))
        );
        assert!(is_v6(&bytes));
    }

    #[test]
    fn an_ipv6_socket_sees_ipv4_addresses_in_ipv6() {
        let (bytes, len) = endpoint("10.0.0.2", 1, 0).emit(Family::V6);
        let ip: [u8; 16] = bytes[8..24].try_into().unwrap();
        assert_eq!(Ipv6Addr::from(ip).to_string(), "::ffff:10.0.0.2");
        assert_eq!(
            Endpoint::parse(&bytes[..len]),
            Some(endpoint("10.0.0.2", 1, 0))
        );
    }

    #[test]
    fn all_addresses_are_all_addresses_of_the_family() {
        let (bytes, _) = endpoint("0.0.0.0", 1, 0).emit(Family::V6);
        assert_eq!(bytes[8..24], [0; 16]);
    }

    #[test]
    fn what_is_no_ip_address_is_left_alone() {
        assert_eq!(Endpoint::parse(&[]), None);
        assert_eq!(Endpoint::parse(&[2]), None);
        assert_eq!(Endpoint::parse(&(libc::AF_INET as u16).to_ne_bytes()), None);
        assert_eq!(Endpoint::parse(&[0; 28]), None);
        let (bytes, _) = endpoint("10.0.0.2", 1, 0).emit(Family::V4);
        assert_eq!(Endpoint::parse(&bytes[..15]), None);
        let (bytes, _) = endpoint("fd00::2", 1, 0).emit(Family::V6);
        assert_eq!(Endpoint::parse(&bytes[..23]), None);
        let mut local = [0; 110];
        local[..2].copy_from_slice(&(libc::AF_UNIX as u16).to_ne_bytes());
        assert_eq!(Endpoint::parse(&local), None);
    }

    #[test]
    fn an_unknown_host_has_an_address_made_of_its_own() {
        let mac = [0x02, 0x11, 0x22, 0x33, 0x44, 0x55];
        assert_eq!(synthetic(mac, Family::V4).to_string(), "240.51.68.85");
        let v6 = synthetic(mac, Family::V6);
        assert_eq!(v6.to_string(), "fe80::11:22ff:fe33:4455");
        assert!(is_link_local(v6));
        assert!(!is_link_local(synthetic(mac, Family::V4)));
    }
}
