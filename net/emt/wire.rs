// SPDX-License-Identifier: GPL-2.0

//! The wire format: what an EMT packet looks like inside an Ethernet frame.
//!
//! All numbers are big endian. A packet starts right after the Ethernet header:
//!
//! ```text
//!      0                   1                   2                   3
//!      0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//!     +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//!     |        magic, 0x454d          |    version    |     type      |
//!     +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//!     |            length             |           checksum            |
//!     +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//!     |         source port           |       destination port        |
//!     +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! Normative: Documentation/networking/emt/protocol.rst. This file is pure: it knows no sockets and
//! no devices.

pub(crate) mod association;
pub(crate) mod control;
pub(crate) mod cut;
pub(crate) mod flow;
pub(crate) mod reliable;

use crate::{
    addr::LinkAddr,
    error::Refusal, //
};
use zerocopy_derive::{
    FromBytes,
    Immutable,
    KnownLayout,
    Unaligned, //
};

/// The EtherType: the first local experimental one, until one is assigned (`ETH_P_EMT`).
pub(crate) const ETHERTYPE: u16 = 0x88b5;

/// The first two bytes, "EM". Others use the experimental EtherType, too.
const MAGIC: u16 = 0x454d;

/// The version of the protocol.
const VERSION: u8 = 1;

/// Bytes of an EMT header.
pub(crate) const HEADER_LEN: usize = 12;

/// Bytes of an Ethernet header.
pub(crate) const ETHERNET_LEN: usize = 14;

/// Returns the length of a packet whose own header is a `T`.
const fn raw_len<T>() -> usize {
    HEADER_LEN + size_of::<T>()
}

/// Where in the header the checksum is.
pub(crate) const CHECKSUM_OFFSET: u16 = 6;

/// The longest packet that the length field can describe, header included.
const MAX_PACKET: usize = 0xffff;

/// The longest payload of any packet; a device's MTU mostly allows less.
pub(crate) const MAX_PAYLOAD: usize = MAX_PACKET - HEADER_LEN;

/// Returns the longest payload that fits in a frame on a device with `mtu`.
pub(crate) fn max_payload(mtu: u32) -> usize {
    usize::try_from(mtu)
        .unwrap_or(MAX_PACKET)
        .min(MAX_PACKET)
        .saturating_sub(HEADER_LEN)
}

/// What a packet carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Kind {
    /// One best-effort datagram.
    Datagram = 1,
    /// [`association::Hello`].
    Hello = 2,
    /// [`association::Reset`].
    Reset = 3,
    /// [`reliable::Message`].
    Message = 4,
    /// [`reliable::Segment`].
    Segment = 5,
    /// [`reliable::Control`] and its [`control::Blocks`].
    Control = 6,
    /// [`flow::Flow`].
    Flow = 7,
}

impl Kind {
    fn parse(value: u8) -> Option<Self> {
        Some(match value {
            1 => Self::Datagram,
            2 => Self::Hello,
            3 => Self::Reset,
            4 => Self::Message,
            5 => Self::Segment,
            6 => Self::Control,
            7 => Self::Flow,
            _ => return None,
        })
    }

    /// Returns the bytes of all the headers of such a packet.
    pub(crate) const fn header_len(self) -> usize {
        match self {
            Self::Datagram => HEADER_LEN,
            Self::Hello => association::HELLO_LEN,
            Self::Reset => association::RESET_LEN,
            Self::Message => reliable::MESSAGE_LEN,
            Self::Segment => reliable::SEGMENT_LEN,
            Self::Control => reliable::CONTROL_LEN,
            Self::Flow => flow::FLOW_LEN,
        }
    }

    /// Returns whether such packets are from a socket to a socket; the others have no ports.
    const fn has_ports(self) -> bool {
        matches!(
            self,
            Self::Datagram | Self::Message | Self::Segment | Self::Flow
        )
    }
}

/// A packet's header, but for its checksum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    /// What the packet carries.
    pub(crate) kind: Kind,
    /// Bytes of the packet, header included.
    pub(crate) length: u16,
    /// The sender's port; 0 if and only if the packet is from no socket.
    pub(crate) source_port: u16,
    /// The receiver's port; 0 if and only if the packet is for no socket.
    pub(crate) destination_port: u16,
}

impl Header {
    /// The header of a datagram, or `None` if the payload is longer than [`MAX_PAYLOAD`].
    pub(crate) fn datagram(
        source_port: u16,
        destination_port: u16,
        payload: usize,
    ) -> Option<Self> {
        Self::new(Kind::Datagram, (source_port, destination_port), payload)
    }

    /// The header of a packet with `payload` bytes after all its headers; `None` if that is longer
    /// than a packet can be.
    pub(crate) fn new(kind: Kind, ports: (u16, u16), payload: usize) -> Option<Self> {
        let (source_port, destination_port) = ports;
        Some(Self {
            kind,
            length: u16::try_from(payload.checked_add(kind.header_len())?).ok()?,
            source_port,
            destination_port,
        })
    }

    /// Parses the header of a packet from which `available` bytes have arrived.
    ///
    /// The checks come in this order, and the first that fails is what is counted.
    pub(crate) fn parse(bytes: &[u8; HEADER_LEN], available: usize) -> Result<Self, Refusal> {
        let [m0, m1, version, kind, l0, l1, _, _, s0, s1, d0, d1] = *bytes;

        if u16::from_be_bytes([m0, m1]) != MAGIC {
            return Err(Refusal::BadMagic);
        }
        if version != VERSION {
            return Err(Refusal::BadVersion);
        }
        let kind = Kind::parse(kind).ok_or(Refusal::BadType)?;
        let length = u16::from_be_bytes([l0, l1]);
        if usize::from(length) < kind.header_len() || usize::from(length) > available {
            return Err(Refusal::BadLength);
        }
        let source_port = u16::from_be_bytes([s0, s1]);
        let destination_port = u16::from_be_bytes([d0, d1]);
        if (source_port != 0, destination_port != 0) != (kind.has_ports(), kind.has_ports()) {
            return Err(Refusal::BadAddress);
        }
        Ok(Self {
            kind,
            length,
            source_port,
            destination_port,
        })
    }

    /// Returns the header's bytes, with `checksum` in its field.
    pub(crate) fn emit(&self, checksum: u16) -> [u8; HEADER_LEN] {
        let [m0, m1] = MAGIC.to_be_bytes();
        let [l0, l1] = self.length.to_be_bytes();
        let [c0, c1] = checksum.to_be_bytes();
        let [s0, s1] = self.source_port.to_be_bytes();
        let [d0, d1] = self.destination_port.to_be_bytes();
        [
            m0,
            m1,
            VERSION,
            self.kind as u8,
            l0,
            l1,
            c0,
            c1,
            s0,
            s1,
            d0,
            d1,
        ]
    }
}

/// Changes the length in a header that was emitted.
fn set_length(header: &mut [u8; HEADER_LEN], length: u16) {
    let [_, _, _, _, high, low, ..] = header;
    [*high, *low] = length.to_be_bytes();
}

#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawAddresses {
    to: [u8; 6],
    from: [u8; 6],
    _ethertype: [u8; 2],
}

/// The addresses of a frame, which the checksum covers as well.
///
/// They are not part of the packet, but a datagram that came from somewhere else than it says is
/// as wrong as one whose bytes have changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Addresses {
    /// The frame's destination.
    pub(crate) to: LinkAddr,
    /// The frame's source.
    pub(crate) from: LinkAddr,
}

impl Addresses {
    /// Reads the addresses of an Ethernet header.
    pub(crate) fn parse(header: &[u8; ETHERNET_LEN]) -> Self {
        // Not byte by byte, which is how it would be compiled.
        let raw: RawAddresses = zerocopy::transmute!(*header);
        Self {
            to: LinkAddr::new(raw.to),
            from: LinkAddr::new(raw.from),
        }
    }

    /// Returns whether a packet can have come from and be meant for them: from one station, to one
    /// or to all.
    pub(crate) fn are_plausible(&self) -> bool {
        !self.from.is_group() && (!self.to.is_group() || self.to == LinkAddr::BROADCAST)
    }

    /// Returns the one's complement sum of the addresses (RFC 1071): the checksum's pseudo-header.
    pub(crate) fn sum(&self) -> u16 {
        // In the other byte order, and two words at a time, which is all the same but for the bytes
        // of the sum, which are swapped (RFC 1071, 2).
        let words = |address: LinkAddr| {
            let bits = address.to_bits();
            (bits & 0xffff_ffff) + (bits >> 32)
        };
        fold(words(self.to) + words(self.from)).swap_bytes()
    }

    /// Returns [`sum`](Self::sum) as the kernel's checksum functions take it: of words in memory
    /// order.
    pub(crate) fn memory_sum(&self) -> u32 {
        u32::from(self.sum().to_be())
    }
}

/// Folds a sum of few words of 32 bits to 16 bits, adding what carries over (RFC 1071).
fn fold(sum: u64) -> u16 {
    let long = (sum & 0xffff_ffff) + (sum >> 32);
    let once = (long & 0xffff) + (long >> 16);
    let twice = (once & 0xffff) + (once >> 16);
    let thrice = (twice & 0xffff) + (twice >> 16);
    thrice as u16
}

#[kernel::macros::kunit_tests(emt_wire)]
mod tests {
    use super::*;
    use kernel::prelude::*;

    /// A datagram of 5 bytes from port 1000 to port 2000.
    const GOLDEN: [u8; HEADER_LEN] = [
        0x45, 0x4d, 0x01, 0x01, 0x00, 0x11, 0xab, 0xcd, 0x03, 0xe8, 0x07, 0xd0,
    ];

    fn golden() -> Option<Header> {
        Header::datagram(1000, 2000, 5)
    }

    fn parse_with(index: usize, value: u8) -> Result<Header, Refusal> {
        let mut bytes = GOLDEN;
        bytes[index] = value;
        Header::parse(&bytes, 17)
    }

    #[test]
    fn a_header_is_emitted_byte_for_byte() {
        assert_eq!(golden().map(|header| header.emit(0xabcd)), Some(GOLDEN));
    }

    #[test]
    fn a_golden_header_is_parsed() {
        assert_eq!(Header::parse(&GOLDEN, 17).ok(), golden());
        // Ethernet pads short frames: more may have arrived than belongs to the packet.
        assert_eq!(Header::parse(&GOLDEN, 46).ok(), golden());
    }

    #[test]
    fn what_is_emitted_parses_to_the_same() {
        for payload in [0, 1, 5, 1488, MAX_PAYLOAD] {
            let header = Header::datagram(65535, 1, payload);
            let parsed = header.map(|header| Header::parse(&header.emit(0), MAX_PACKET));
            assert_eq!(parsed.and_then(|parsed| parsed.ok()), header);
        }
        assert_eq!(Header::datagram(1, 1, MAX_PAYLOAD + 1), None);
        assert_eq!(Header::datagram(1, 1, usize::MAX), None);
    }

    #[test]
    fn each_wrong_field_is_refused_as_such() {
        assert_eq!(parse_with(0, 0x44), Err(Refusal::BadMagic));
        assert_eq!(parse_with(1, 0x4c), Err(Refusal::BadMagic));
        assert_eq!(parse_with(2, 0), Err(Refusal::BadVersion));
        assert_eq!(parse_with(2, 2), Err(Refusal::BadVersion));
        assert_eq!(parse_with(3, 0), Err(Refusal::BadType));
        assert_eq!(parse_with(3, 8), Err(Refusal::BadType));
        // Too short for a Hello.
        assert_eq!(parse_with(3, 2), Err(Refusal::BadLength));
        assert_eq!(parse_with(5, 11), Err(Refusal::BadLength));
        assert_eq!(parse_with(5, 18), Err(Refusal::BadLength));
        assert_eq!(parse_with(4, 0xff), Err(Refusal::BadLength));
        assert!(parse_with(5, 12).is_ok());
    }

    #[test]
    fn port_zero_is_refused() {
        for bytes in [
            Header::datagram(0, 2000, 0).map(|header| header.emit(0)),
            Header::datagram(1000, 0, 0).map(|header| header.emit(0)),
        ] {
            let parsed = bytes.map(|bytes| Header::parse(&bytes, HEADER_LEN));
            assert_eq!(parsed, Some(Err(Refusal::BadAddress)));
        }
    }

    #[test]
    fn a_payload_ends_with_the_frame_or_the_length_field() {
        assert_eq!(max_payload(1500), 1488);
        assert_eq!(max_payload(65536), 65523);
        assert_eq!(max_payload(u32::MAX), 65523);
        assert_eq!(max_payload(68), 56);
        assert_eq!(max_payload(11), 0);
    }

    #[test]
    fn groups_neither_send_nor_receive_but_all_do() {
        let station = LinkAddr::new([2, 0, 0, 0, 0, 1]);
        let group = LinkAddr::new([1, 0, 0x5e, 0, 0, 1]);
        let plausible = |from, to| Addresses { from, to }.are_plausible();
        assert!(plausible(station, station));
        assert!(plausible(station, LinkAddr::BROADCAST));
        assert!(!plausible(station, group));
        assert!(!plausible(group, station));
        assert!(!plausible(LinkAddr::BROADCAST, station));
    }

    #[test]
    fn the_pseudo_header_sums_both_addresses() {
        let header = [0x02, 0, 0, 0, 0, 0x01, 0x02, 0, 0, 0, 0, 0x02, 0x88, 0xb5];
        let addresses = Addresses::parse(&header);
        assert_eq!(addresses.to, LinkAddr::new([2, 0, 0, 0, 0, 1]));
        assert_eq!(addresses.from, LinkAddr::new([2, 0, 0, 0, 0, 2]));
        assert_eq!(addresses.sum(), 0x0403);
        let all_ones = Addresses::parse(&[0xff; ETHERNET_LEN]);
        assert_eq!(all_ones.sum(), 0xffff);
    }
}
