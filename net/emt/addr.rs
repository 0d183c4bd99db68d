// SPDX-License-Identifier: GPL-2.0

//! Addresses: what the user passes, checked once, and what the rest works with. Pure.

use kernel::{
    prelude::*,
    uapi, //
};
use zerocopy::big_endian::U16;
use zerocopy_derive::{
    Immutable,
    KnownLayout, //
};

/// The address family.
pub(crate) const AF_EMT: u16 = uapi::AF_EMT as u16;

/// Bytes of an Ethernet address.
const ETHERNET: usize = 6;

/// A link-layer address, in transmission order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LinkAddr([u8; ETHERNET]);

impl LinkAddr {
    /// The address of all.
    pub(crate) const BROADCAST: Self = Self([0xff; ETHERNET]);

    pub(crate) const fn new(octets: [u8; ETHERNET]) -> Self {
        Self(octets)
    }

    pub(crate) const fn octets(self) -> [u8; ETHERNET] {
        self.0
    }

    /// Returns whether more than one station may have the address. Broadcast counts.
    pub(crate) const fn is_group(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Returns whether this is no address at all; but the loopback device has it.
    pub(crate) fn is_zero(self) -> bool {
        self.0 == [0; ETHERNET]
    }

    /// Returns the address as the low 48 bits of a number.
    pub(crate) const fn to_bits(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        // The order in which most machines have nothing to do.
        u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
    }

    /// The inverse of [`to_bits`](Self::to_bits).
    pub(crate) const fn from_bits(bits: u64) -> Self {
        let [a, b, c, d, e, f, _, _] = bits.to_le_bytes();
        Self([a, b, c, d, e, f])
    }
}

/// `struct sockaddr_emt`, as it is in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct SockaddrEmt {
    family: u16,
    port: U16,
    ifindex: i32,
    halen: u8,
    reserved: [u8; 3],
    addr: [u8; ADDR_MAX],
}

const ADDR_MAX: usize = uapi::EMT_ADDR_MAX as usize;

const _: () = {
    assert!(size_of::<SockaddrEmt>() == size_of::<uapi::sockaddr_emt>());
    assert!(core::mem::offset_of!(uapi::sockaddr_emt, semt_ifindex) == 4);
    assert!(core::mem::offset_of!(uapi::sockaddr_emt, semt_halen) == 8);
    assert!(core::mem::offset_of!(uapi::sockaddr_emt, semt_addr) == 12);
};

/// What a socket address says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Name {
    /// 0 for none.
    pub(crate) port: u16,
    /// 0 for none, otherwise positive.
    pub(crate) ifindex: i32,
    pub(crate) link: Option<LinkAddr>,
}

impl Name {
    /// Returns the name as a destination; [`EINVAL`] if it cannot be one.
    pub(crate) fn destination(&self) -> Result<(u16, LinkAddr)> {
        match self.link {
            Some(link) if self.port != 0 && (!link.is_group() || link == LinkAddr::BROADCAST) => {
                Ok((self.port, link))
            }
            _ => Err(EINVAL),
        }
    }
}

impl SockaddrEmt {
    /// Checks an address that came from the user.
    ///
    /// [`EAFNOSUPPORT`] if it is of another family; [`EINVAL`] if it has an unknown length of
    /// link-layer address, if the interface is negative, or if bytes that must be zero are not.
    pub(crate) fn parse(&self) -> Result<Name> {
        if self.family != AF_EMT {
            return Err(EAFNOSUPPORT);
        }
        let [a, b, c, d, e, f, rest @ ..] = self.addr;
        let octets = [a, b, c, d, e, f];
        let link = match usize::from(self.halen) {
            0 if octets == [0; ETHERNET] => None,
            ETHERNET => Some(LinkAddr::new(octets)),
            _ => return Err(EINVAL),
        };
        if self.ifindex < 0 || self.reserved != [0; 3] || rest != [0; ADDR_MAX - ETHERNET] {
            return Err(EINVAL);
        }
        Ok(Name {
            port: self.port.get(),
            ifindex: self.ifindex,
            link,
        })
    }
}

impl From<Name> for SockaddrEmt {
    fn from(name: Name) -> Self {
        let mut addr = [0; ADDR_MAX];
        if let Some(link) = name.link {
            addr[..ETHERNET].copy_from_slice(&link.octets());
        }
        Self {
            family: AF_EMT,
            port: U16::new(name.port),
            ifindex: name.ifindex,
            halen: name.link.map_or(0, |_| ETHERNET as u8),
            reserved: [0; 3],
            addr,
        }
    }
}

/// Another host's socket, as this host can reach it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Endpoint {
    /// The interface that leads there.
    pub(crate) ifindex: i32,
    pub(crate) link: LinkAddr,
    /// Not 0.
    pub(crate) port: u16,
}

impl From<Endpoint> for Name {
    fn from(endpoint: Endpoint) -> Self {
        Self {
            port: endpoint.port,
            ifindex: endpoint.ifindex,
            link: Some(endpoint.link),
        }
    }
}

#[kernel::macros::kunit_tests(emt_addr)]
mod tests {
    use super::*;

    /// Of a socket that has none.
    const NONE: Name = Name {
        port: 0,
        ifindex: 0,
        link: None,
    };

    const NAME: Name = Name {
        port: 0x1234,
        ifindex: 7,
        link: Some(LinkAddr([2, 0x11, 0x22, 0x33, 0x44, 0x55])),
    };

    fn bytes(name: Name) -> [u8; 20] {
        let mut bytes = [0xaa; 20];
        bytes.copy_from_slice(SockaddrEmt::from(name).as_bytes());
        bytes
    }

    fn parse(bytes: &[u8; 20]) -> Result<Name> {
        SockaddrEmt::read_from_bytes(bytes)
            .map_err(|_| EMSGSIZE)?
            .parse()
    }

    #[test]
    fn an_address_has_its_layout() {
        let [f0, f1] = AF_EMT.to_ne_bytes();
        let [i0, i1, i2, i3] = 7i32.to_ne_bytes();
        let expected = [
            f0, f1, 0x12, 0x34, i0, i1, i2, i3, 6, 0, 0, 0, 2, 0x11, 0x22, 0x33, 0x44, 0x55, 0, 0,
        ];
        assert_eq!(bytes(NAME), expected);
        assert_eq!(AF_EMT, 46);
    }

    #[test]
    fn what_is_written_reads_the_same() {
        assert_eq!(parse(&bytes(NAME)), Ok(NAME));
        assert_eq!(parse(&bytes(NONE)), Ok(NONE));
    }

    #[test]
    fn bytes_that_must_be_zero_are_checked_one_by_one() {
        for index in [9, 10, 11, 18, 19] {
            let mut bytes = bytes(NAME);
            bytes[index] = 1;
            assert_eq!(parse(&bytes), Err(EINVAL));
        }
        // Without a link-layer address, none of its bytes may be set.
        for index in 12..20 {
            let mut bytes = bytes(NONE);
            bytes[index] = 1;
            assert_eq!(parse(&bytes), Err(EINVAL));
        }
    }

    #[test]
    fn only_ethernet_addresses_are_known() {
        for halen in [1, 5, 7, 8, 9, 255] {
            let mut bytes = bytes(NAME);
            bytes[8] = halen;
            assert_eq!(parse(&bytes), Err(EINVAL));
        }
    }

    #[test]
    fn another_family_and_a_negative_interface_are_refused() {
        let mut other = bytes(NAME);
        other[0] ^= 1;
        assert_eq!(parse(&other), Err(EAFNOSUPPORT));
        let mut negative = bytes(NAME);
        negative[4..8].copy_from_slice(&(-1i32).to_ne_bytes());
        assert_eq!(parse(&negative), Err(EINVAL));
    }

    #[test]
    fn a_destination_needs_a_port_and_a_station() {
        let to = |port, octets: Option<[u8; 6]>| {
            Name {
                port,
                ifindex: 1,
                link: octets.map(LinkAddr::new),
            }
            .destination()
        };
        assert!(to(1, Some([2, 0, 0, 0, 0, 1])).is_ok());
        assert!(to(1, Some([0xff; 6])).is_ok());
        assert_eq!(to(0, Some([2, 0, 0, 0, 0, 1])), Err(EINVAL));
        assert_eq!(to(1, None), Err(EINVAL));
        assert_eq!(to(1, Some([1, 0, 0x5e, 0, 0, 1])), Err(EINVAL));
        assert_eq!(to(1, Some([3, 0, 0, 0, 0, 1])), Err(EINVAL));
    }

    #[test]
    fn an_address_survives_being_a_number() {
        let link = LinkAddr::new([0x02, 0x11, 0x22, 0x33, 0x44, 0x55]);
        assert_eq!(link.to_bits(), 0x5544_3322_1102);
        assert_eq!(LinkAddr::from_bits(link.to_bits()), link);
        assert_eq!(LinkAddr::from_bits(0), LinkAddr::new([0; 6]));
    }
}
