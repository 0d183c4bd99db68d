// SPDX-License-Identifier: GPL-2.0

//! What the map says to a call: whether a socket goes to EMT, and which IP address an EMT name is.

use crate::{
    addr::{
        self,
        Endpoint,
        Family, //
    },
    table::{
        Interface,
        Mac,
        Table, //
    },
};
use std::net::{
    IpAddr,
    Ipv4Addr,
    Ipv6Addr, //
};

/// Where an address to bind leads.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Bind<'a> {
    Ip,
    /// EMT on every interface.
    Any,
    /// EMT on one.
    On(&'a Interface),
}

/// Where a destination leads.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Destination<'a> {
    Ip,
    Peer(&'a Interface, Mac),
    /// This host, by the address of its own interface.
    Own(&'a Interface),
}

/// Which address of this host a name's interface has.
pub(crate) trait Interfaces {
    fn has_index(&self, interface: &Interface, index: u32) -> bool;
    fn mac_of(&self, index: u32) -> Option<Mac>;
}

impl Table {
    pub(crate) fn maps_nothing(&self) -> bool {
        self.peers.is_empty() && self.locals.is_empty()
    }

    /// `v6_only` is `Some` for IPv6's address of all, and says whether it excludes IPv4.
    pub(crate) fn bind(&self, ip: IpAddr, v6_only: Option<bool>) -> Bind<'_> {
        if ip.is_unspecified() {
            let (v4, v6) = (self.has_local(Family::V4), self.has_local(Family::V6));
            let emt = match (ip, v6_only) {
                (IpAddr::V4(_), _) => v4,
                (IpAddr::V6(_), Some(true)) => v6 && !v4,
                (IpAddr::V6(_), _) => v4 || v6,
            };
            return match self.listen_all && emt {
                true => Bind::Any,
                false => Bind::Ip,
            };
        }
        match self.locals.iter().find(|local| local.ip == ip) {
            Some(local) => Bind::On(&local.interface),
            None => Bind::Ip,
        }
    }

    pub(crate) fn destination(&self, ip: IpAddr) -> Destination<'_> {
        // Linux connects to the loopback address then.
        let ip = match ip {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        if let Some(peer) = self.peers.iter().find(|peer| peer.ip == ip) {
            return Destination::Peer(&peer.interface, peer.mac);
        }
        match self.locals.iter().find(|local| local.ip == ip) {
            Some(local) => Destination::Own(&local.interface),
            None => Destination::Ip,
        }
    }

    /// Whether a socket that is bound to this address may go to EMT: an address that is not the
    /// map's was chosen for a reason.
    pub(crate) fn allows_source(&self, ip: IpAddr) -> bool {
        ip.is_unspecified() || self.locals.iter().any(|local| local.ip == ip)
    }

    fn has_local(&self, family: Family) -> bool {
        (self.locals.iter()).any(|local| local.ip.is_ipv4() == (family == Family::V4))
    }

    /// The address of this host by an interface, the first of the map.
    fn local_ip(&self, index: u32, family: Family, at: &impl Interfaces) -> Option<IpAddr> {
        let here = |local: &&crate::table::Local| at.has_index(&local.interface, index);
        first_of(
            family,
            self.locals.iter().filter(here).map(|local| local.ip),
        )
    }

    /// The address of whoever is at a link-layer address.
    pub(crate) fn peer_ip(
        &self,
        index: u32,
        mac: Mac,
        family: Family,
        at: &impl Interfaces,
    ) -> IpAddr {
        if mac == [0; 6] {
            return self.own_ip(index, mac, family, at);
        }
        let known = || self.peers.iter().filter(move |peer| peer.mac == mac);
        // The interface tells those apart that have the same address on two wires; asking for it
        // costs a call.
        let elsewhere =
            known().any(|peer| Some(&peer.interface) != known().next().map(|p| &p.interface));
        let there = known().filter(|peer| !elsewhere || at.has_index(&peer.interface, index));
        if let Some(ip) = first_of(family, there.map(|peer| peer.ip)) {
            return ip;
        }
        if at.mac_of(index) == Some(mac) {
            return self.own_ip(index, mac, family, at);
        }
        addr::synthetic(mac, family)
    }

    /// The address of this host that an interface with this link-layer address stands for.
    pub(crate) fn own_ip(
        &self,
        index: u32,
        mac: Mac,
        family: Family,
        at: &impl Interfaces,
    ) -> IpAddr {
        if let Some(ip) = self.local_ip(index, family, at) {
            return ip;
        }
        match (mac, family) {
            ([0, 0, 0, 0, 0, 0], Family::V4) => Ipv4Addr::LOCALHOST.into(),
            ([0, 0, 0, 0, 0, 0], Family::V6) => Ipv6Addr::LOCALHOST.into(),
            (mac, family) => addr::synthetic(mac, family),
        }
    }
}

/// The first address that a socket of the family can name, for IPv6 rather one of its own.
fn first_of(family: Family, ips: impl Iterator<Item = IpAddr> + Clone) -> Option<IpAddr> {
    match family {
        Family::V4 => ips.clone().find(IpAddr::is_ipv4),
        Family::V6 => (ips.clone().find(IpAddr::is_ipv6)).or_else(|| ips.clone().next()),
    }
}

/// Returns an endpoint with the scope that its address needs.
pub(crate) fn endpoint(ip: IpAddr, port: u16, index: u32) -> Endpoint {
    let scope = if addr::is_link_local(ip) { index } else { 0 };
    Endpoint { ip, port, scope }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// eth0 is 2 and has address ...:01, eth1 is 3; lo is 1.
    struct Two;

    impl Interfaces for Two {
        fn has_index(&self, interface: &Interface, index: u32) -> bool {
            let known = [("lo", 1), ("eth0", 2), ("eth1", 3)];
            known.contains(&(interface.to_string().as_str(), index))
                || *interface == Interface::Index(index)
        }

        fn mac_of(&self, index: u32) -> Option<Mac> {
            (index == 2).then_some([2, 0, 0, 0, 0, 1])
        }
    }

    fn table(text: &str) -> Table {
        Table::parse(text).unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    const V4: &str = "10.0.0.2 eth0 2:0:0:0:0:2\nlocal 10.0.0.1 eth0\n";
    const BOTH: &str = "10.0.0.2 eth0 2:0:0:0:0:2\nfd00::2 eth0 2:0:0:0:0:2\n\
         local 10.0.0.1 eth0\nlocal fd00::1 eth0\n";

    #[test]
    fn only_what_is_in_the_map_leads_to_emt() {
        let table = table(V4);
        assert!(matches!(
            table.destination(ip("10.0.0.2")),
            Destination::Peer(_, [2, 0, 0, 0, 0, 2])
        ));
        assert!(matches!(
            table.destination(ip("10.0.0.1")),
            Destination::Own(_)
        ));
        assert_eq!(table.destination(ip("10.0.0.3")), Destination::Ip);
        assert_eq!(table.destination(ip("127.0.0.1")), Destination::Ip);
        assert_eq!(table.destination(ip("0.0.0.0")), Destination::Ip);
        assert!(matches!(table.bind(ip("10.0.0.1"), None), Bind::On(_)));
        assert_eq!(table.bind(ip("10.0.0.2"), None), Bind::Ip);
        assert_eq!(table.bind(ip("127.0.0.1"), None), Bind::Ip);
    }

    #[test]
    fn the_loopback_address_leads_to_emt_if_the_map_says_so() {
        let table = table("local 127.0.0.1 lo\n");
        assert!(matches!(
            table.destination(ip("127.0.0.1")),
            Destination::Own(_)
        ));
        assert!(matches!(
            table.destination(ip("0.0.0.0")),
            Destination::Own(_)
        ));
        assert_eq!(table.destination(ip("::")), Destination::Ip);
        assert!(matches!(table.bind(ip("127.0.0.1"), None), Bind::On(_)));
    }

    #[test]
    fn all_addresses_stay_ip_unless_the_map_says_otherwise() {
        assert_eq!(table(V4).bind(ip("0.0.0.0"), None), Bind::Ip);
        let all = table(&format!("{V4}listen-all"));
        assert_eq!(all.bind(ip("0.0.0.0"), None), Bind::Any);
        assert_eq!(all.bind(ip("::"), Some(false)), Bind::Any);
    }

    #[test]
    fn a_second_listener_for_ipv6_alone_stays_ip() {
        for text in [V4, BOTH] {
            let all = table(&format!("{text}listen-all"));
            assert_eq!(all.bind(ip("::"), Some(true)), Bind::Ip);
        }
        let v6 = table("local fd00::1 eth0\nlisten-all");
        assert_eq!(v6.bind(ip("::"), Some(true)), Bind::Any);
        assert_eq!(v6.bind(ip("0.0.0.0"), None), Bind::Ip);
    }

    #[test]
    fn a_source_that_the_map_does_not_have_keeps_a_socket_in_ip() {
        let table = table(V4);
        assert!(table.allows_source(ip("0.0.0.0")));
        assert!(table.allows_source(ip("10.0.0.1")));
        assert!(!table.allows_source(ip("192.0.2.1")));
    }

    #[test]
    fn a_peer_is_named_in_the_family_of_the_socket() {
        let mac = [2, 0, 0, 0, 0, 2];
        assert_eq!(
            table(BOTH).peer_ip(2, mac, Family::V4, &Two),
            ip("10.0.0.2")
        );
        assert_eq!(table(BOTH).peer_ip(2, mac, Family::V6, &Two), ip("fd00::2"));
        assert_eq!(table(V4).peer_ip(2, mac, Family::V6, &Two), ip("10.0.0.2"));
        assert_eq!(
            table(BOTH).local_ip(2, Family::V6, &Two),
            Some(ip("fd00::1"))
        );
        assert_eq!(table(BOTH).local_ip(3, Family::V6, &Two), None);
    }

    #[test]
    fn a_peer_that_the_map_does_not_have_is_named_after_its_address() {
        let mac = [2, 0, 0, 1, 2, 3];
        assert_eq!(table(V4).peer_ip(2, mac, Family::V4, &Two), ip("240.1.2.3"));
        let v6 = table(V4).peer_ip(2, mac, Family::V6, &Two);
        assert_eq!(endpoint(v6, 1, 2).scope, 2);
        let only_v6 = table("fd00::2 eth0 2:0:0:1:2:3\n");
        assert_eq!(only_v6.peer_ip(2, mac, Family::V4, &Two), ip("240.1.2.3"));
    }

    #[test]
    fn the_same_address_on_two_wires_is_two_hosts() {
        let table = table("10.0.0.2 eth0 2:0:0:0:0:2\n10.0.1.2 eth1 2:0:0:0:0:2\n");
        let mac = [2, 0, 0, 0, 0, 2];
        assert_eq!(table.peer_ip(2, mac, Family::V4, &Two), ip("10.0.0.2"));
        assert_eq!(table.peer_ip(3, mac, Family::V4, &Two), ip("10.0.1.2"));
    }

    #[test]
    fn a_peer_on_this_host_has_an_address_of_this_host() {
        let own = [2, 0, 0, 0, 0, 1];
        assert_eq!(table(V4).peer_ip(2, own, Family::V4, &Two), ip("10.0.0.1"));
        assert_eq!(
            table(V4).peer_ip(1, [0; 6], Family::V4, &Two),
            ip("127.0.0.1")
        );
        assert_eq!(table(V4).peer_ip(1, [0; 6], Family::V6, &Two), ip("::1"));
        let v4 = table("local 127.0.0.1 lo\n");
        assert_eq!(v4.peer_ip(1, [0; 6], Family::V6, &Two), ip("127.0.0.1"));
        assert_eq!(table("").peer_ip(2, own, Family::V4, &Two), ip("240.0.0.1"));
    }
}
