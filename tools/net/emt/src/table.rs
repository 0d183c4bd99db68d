// SPDX-License-Identifier: GPL-2.0

//! The map: which IP addresses are reached over EMT. README.md describes the text; here it is
//! parsed.

use std::{
    fmt,
    net::{
        IpAddr,
        Ipv4Addr, //
    },
};

/// A link-layer address in transmission order.
pub(crate) type Mac = [u8; 6];

/// An interface as the map names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Interface {
    Index(u32),
    /// Followed by zeros, of which there is one at least.
    Name([u8; 16]),
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => write!(f, "{index}"),
            Self::Name(name) => {
                let text = name.split(|byte| *byte == 0).next().unwrap_or_default();
                f.write_str(&String::from_utf8_lossy(text))
            }
        }
    }
}

/// Another host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) ip: IpAddr,
    pub(crate) interface: Interface,
    pub(crate) mac: Mac,
}

/// An address of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Local {
    pub(crate) ip: IpAddr,
    pub(crate) interface: Interface,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) peers: Vec<Peer>,
    pub(crate) locals: Vec<Local>,
    /// Whoever listens on all addresses listens on EMT.
    pub(crate) listen_all: bool,
}

/// What is wrong, and in which line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    line: usize,
    what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl Table {
    pub(crate) fn parse(text: &str) -> Result<Self, Mistake> {
        let mut table = Self::default();
        for (n, line) in text.lines().enumerate() {
            let words = line.split('#').next().unwrap_or_default();
            table
                .line(&words.split_whitespace().collect::<Vec<_>>())
                .map_err(|what| Mistake { line: n + 1, what })?;
        }
        if table.listen_all && table.locals.is_empty() {
            return Err(Mistake {
                line: text.lines().count(),
                what: "listen-all without a local line has no effect".into(),
            });
        }
        Ok(table)
    }

    fn line(&mut self, words: &[&str]) -> Result<(), String> {
        match words {
            [] => {}
            ["listen-all"] => self.listen_all = true,
            ["local", address, device] => {
                let ip = self.fresh(address)?;
                let interface = interface(device)?;
                self.locals.push(Local { ip, interface });
            }
            ["local", ..] | ["listen-all", ..] => {
                return Err("it is \"local ADDRESS INTERFACE\", or \"listen-all\"".into())
            }
            [address, device, link] => {
                let ip = self.fresh(address)?;
                if ip.is_loopback() {
                    return Err(format!("{ip} is this host itself: local {ip} lo"));
                }
                let interface = interface(device)?;
                let mac = mac(link)?;
                self.peers.push(Peer { ip, interface, mac });
            }
            _ => {
                return Err("it is \"ADDRESS INTERFACE LINK-LAYER-ADDRESS\"".into());
            }
        }
        Ok(())
    }

    /// Returns an address of one host that no line before has.
    fn fresh(&self, word: &str) -> Result<IpAddr, String> {
        let ip = host(word)?;
        let mut known =
            (self.peers.iter().map(|peer| peer.ip)).chain(self.locals.iter().map(|local| local.ip));
        if known.any(|other| other == ip) {
            return Err(format!("{ip} has a line already"));
        }
        Ok(ip)
    }
}

/// The form in which [`Table::parse`] reads it again.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Peer { ip, interface, mac } in &self.peers {
            let [a, b, c, d, e, g] = mac;
            writeln!(
                f,
                "{ip} {interface} {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}"
            )?;
        }
        for Local { ip, interface } in &self.locals {
            writeln!(f, "local {ip} {interface}")?;
        }
        if self.listen_all {
            writeln!(f, "listen-all")?;
        }
        Ok(())
    }
}

/// An address, or a prefix that holds a single one.
fn host(word: &str) -> Result<IpAddr, String> {
    let (address, prefix) = match word.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (word, None),
    };
    let ip: IpAddr = address
        .parse()
        .map_err(|_| format!("{address} is not an IPv4 or IPv6 address"))?;
    let whole = if ip.is_ipv4() { "32" } else { "128" };
    if prefix.is_some_and(|prefix| prefix != whole) {
        return Err(format!(
            "{word} is more than one host; only /{whole} can be given"
        ));
    }
    let ip = ip.to_canonical();
    if ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
        return Err(format!("{ip} is not the address of a host"));
    }
    Ok(ip)
}

fn interface(word: &str) -> Result<Interface, String> {
    if word.bytes().all(|byte| byte.is_ascii_digit()) {
        return match word.parse::<i32>() {
            Ok(index @ 1..) => Ok(Interface::Index(index.unsigned_abs())),
            _ => Err(format!("{word} is not the index of an interface")),
        };
    }
    let mut name = [0; 16];
    match name.get_mut(..word.len()) {
        Some(room) if word.len() < 16 => room.copy_from_slice(word.as_bytes()),
        _ => return Err(format!("{word} is too long for an interface's name")),
    }
    Ok(Interface::Name(name))
}

fn mac(word: &str) -> Result<Mac, String> {
    let wrong = || format!("{word} is not six bytes as in 02:00:00:00:00:01");
    let mut mac = [0; 6];
    let mut bytes = word.split(':');
    for byte in &mut mac {
        let digits = bytes.next().ok_or_else(wrong)?;
        if !matches!(digits.len(), 1 | 2) || !digits.bytes().all(|c| c.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
    }
    if bytes.next().is_some() {
        return Err(wrong());
    }
    if mac[0] & 1 != 0 {
        return Err(format!("{word} is a group's address, not a host's"));
    }
    if mac == [0; 6] {
        return Err(format!("{word} is the loopback device's own address"));
    }
    Ok(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        match Table::parse(text) {
            Ok(table) => panic!("{text:?} gives {table:?}"),
            Err(mistake) => mistake.to_string(),
        }
    }

    #[test]
    fn every_kind_of_line_is_understood() {
        let text = "# two hosts\n\n10.0.0.2 eth0 02:00:00:00:0:2 # the other\n\
                    fd00::2/128\t7  02:00:00:00:00:02\n  local 10.0.0.1/32 eth0\n\
                    local ::1 lo\nlisten-all\n";
        let table = Table::parse(text).unwrap();
        assert_eq!(table.peers.len(), 2);
        assert_eq!(table.peers[0].ip, "10.0.0.2".parse::<IpAddr>().unwrap());
        assert_eq!(table.peers[0].mac, [2, 0, 0, 0, 0, 2]);
        assert_eq!(table.peers[0].interface.to_string(), "eth0");
        assert_eq!(table.peers[1].interface, Interface::Index(7));
        assert_eq!(table.locals.len(), 2);
        assert!(table.listen_all);
    }

    #[test]
    fn an_empty_map_maps_nothing() {
        assert_eq!(Table::parse(""), Ok(Table::default()));
        assert_eq!(Table::parse("# nothing\n \n"), Ok(Table::default()));
    }

    #[test]
    fn what_is_printed_reads_as_the_same_map() {
        let text = "10.0.0.2 eth0 02:00:00:00:00:02\nlocal 10.0.0.1 eth0\nlisten-all\n";
        let table = Table::parse(text).unwrap();
        assert_eq!(table.to_string(), text);
        assert_eq!(Table::parse(&table.to_string()), Ok(table));
    }

    #[test]
    fn an_ipv4_address_in_ipv6_is_the_ipv4_address() {
        let table = Table::parse("::ffff:10.0.0.2 eth0 02:00:00:00:00:02").unwrap();
        assert_eq!(table.peers[0].ip, "10.0.0.2".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn a_mistake_is_named_with_its_line() {
        for (text, says) in [
            ("\n10.0.0 eth0 02:00:00:00:00:02", "line 2: 10.0.0 is not"),
            ("10.0.0.0/24 eth0 02:00:00:00:00:02", "more than one host"),
            ("fd00::/32 eth0 02:00:00:00:00:02", "only /128"),
            ("10.0.0.2 eth0", "it is \"ADDRESS"),
            ("10.0.0.2 eth0 02:00:00:00:00:02 x", "it is \"ADDRESS"),
            ("10.0.0.2 eth0 02:00:00:00:00", "not six bytes"),
            ("10.0.0.2 eth0 02:00:00:00:00:02:03", "not six bytes"),
            ("10.0.0.2 eth0 02:00:00:00:00:+2", "not six bytes"),
            ("10.0.0.2 eth0 01:00:5e:00:00:02", "a group's"),
            ("10.0.0.2 eth0 ff:ff:ff:ff:ff:ff", "a group's"),
            ("10.0.0.2 eth0 00:00:00:00:00:00", "the loopback"),
            ("10.0.0.2 0 02:00:00:00:00:02", "not the index"),
            ("10.0.0.2 99999999999 02:00:00:00:00:02", "not the index"),
            ("10.0.0.2 a-very-long-name 02:00:00:00:00:02", "too long"),
            ("127.0.0.1 lo 02:00:00:00:00:02", "local 127.0.0.1 lo"),
            (
                "224.0.0.1 eth0 02:00:00:00:00:02",
                "not the address of a host",
            ),
            (
                "0.0.0.0 eth0 02:00:00:00:00:02",
                "not the address of a host",
            ),
            ("local 10.0.0.1", "it is \"local"),
            (
                "local 10.0.0.1 eth0\n10.0.0.1 eth0 02:00:00:00:00:02",
                "line 2: 10.0.0.1 has",
            ),
            ("listen-all", "without a local line"),
            ("listen-all yes", "it is \"local"),
        ] {
            assert!(wrong(text).contains(says), "{text:?}: {}", wrong(text));
        }
    }
}
