// SPDX-License-Identifier: GPL-2.0

//! What a socket is bound and connected to, read by every packet and hardly ever written.

use crate::addr::{
    Endpoint,
    LinkAddr, //
};
use kernel::sync::atomic::{
    Acquire,
    Atomic,
    Release, //
};

/// A socket's own port and interface.
///
/// Written with the socket lock held, once.
pub(super) struct Local(Atomic<u64>);

impl Local {
    /// A socket that is not bound: no port is 0.
    pub(super) const fn unbound() -> Self {
        Self(Atomic::new(0))
    }

    pub(super) fn bind(&self, port: u16, ifindex: i32) {
        // An interface index is never negative.
        self.0
            .store((ifindex as u64) << 16 | u64::from(port), Release);
    }

    /// Returns the port, 0 if there is none, and the interface, 0 for any.
    pub(super) fn get(&self) -> (u16, i32) {
        let bits = self.0.load(Acquire);
        (bits as u16, (bits >> 16) as i32)
    }
}

/// The endpoint that a socket is connected to.
///
/// While it is being changed, it is an endpoint with port 0, from which no packet comes; who wants
/// to send looks again with the socket lock held.
///
/// Written with the socket lock held. A reader sees one endpoint or the other, not half of each: it
/// looks at the port and address again after it has read the interface. To be fooled, it would
/// have to be held up while the socket was connected elsewhere and back to the same address on
/// another interface, and would then find a peer that the socket had at the time.
pub(super) struct Peer {
    /// Port and address, 0 if there is none.
    station: Atomic<u64>,
    ifindex: Atomic<i32>,
}

/// A station that no peer can be, as its port is 0, but that is not none either.
const CHANGING: u64 = 1;

impl Peer {
    pub(super) const fn none() -> Self {
        Self {
            station: Atomic::new(0),
            ifindex: Atomic::new(0),
        }
    }

    pub(super) fn set(&self, peer: Option<&Endpoint>) {
        let Some(peer) = peer else {
            return self.station.store(0, Release);
        };
        self.station.store(CHANGING, Release);
        self.ifindex.store(peer.ifindex, Release);
        self.station
            .store(u64::from(peer.port) << 48 | peer.link.to_bits(), Release);
    }

    pub(super) fn get(&self) -> Option<Endpoint> {
        loop {
            let station = self.station.load(Acquire);
            if station == 0 {
                return None;
            }
            let ifindex = self.ifindex.load(Acquire);
            // While the peer changes it is nobody: one that has port 0.
            if self.station.load(Acquire) == station {
                return Some(Endpoint {
                    ifindex,
                    link: LinkAddr::from_bits(station),
                    port: (station >> 48) as u16,
                });
            }
        }
    }
}

#[kernel::macros::kunit_tests(emt_peer)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_is_kept() {
        let local = Local::unbound();
        assert_eq!(local.get(), (0, 0));
        local.bind(65535, i32::MAX);
        assert_eq!(local.get(), (65535, i32::MAX));
        local.bind(1, 0);
        assert_eq!(local.get(), (1, 0));
    }

    #[test]
    fn a_peer_is_kept_until_it_is_taken_away() {
        let peer = Peer::none();
        assert_eq!(peer.get(), None);
        let endpoint = Endpoint {
            ifindex: 3,
            link: LinkAddr::new([0xfe, 0xff, 0xff, 0xff, 0xff, 0xfe]),
            port: 65535,
        };
        peer.set(Some(&endpoint));
        assert_eq!(peer.get(), Some(endpoint));
        peer.set(None);
        assert_eq!(peer.get(), None);
    }

    #[test]
    fn the_loopback_address_makes_a_peer() {
        let peer = Peer::none();
        let endpoint = Endpoint {
            ifindex: 1,
            link: LinkAddr::new([0; 6]),
            port: 1,
        };
        peer.set(Some(&endpoint));
        assert_eq!(peer.get(), Some(endpoint));
    }
}
