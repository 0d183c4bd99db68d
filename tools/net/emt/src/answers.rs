// SPDX-License-Identifier: GPL-2.0

//! What a program is told of the options of TCP and IP, which EMT does not have. Those that ask for
//! what EMT does anyway, or that change only how something is done, are taken; those that ask for
//! something that will not happen are refused as the kernel has refused them.

use libc::{
    c_int,
    IPPROTO_IP,
    IPPROTO_IPV6,
    IPPROTO_TCP, //
};

/// Options of linux/tcp.h and linux/in.h that the libc crate does not have for every target.
const TCP_WINDOW_CLAMP: c_int = 10;
const TCP_THIN_LINEAR_TIMEOUTS: c_int = 16;
const TCP_THIN_DUPACK: c_int = 17;
const TCP_FASTOPEN: c_int = 23;
const TCP_NOTSENT_LOWAT: c_int = 25;
const TCP_CC_INFO: c_int = 26;
const TCP_FASTOPEN_CONNECT: c_int = 30;
const TCP_INQ: c_int = 36;
const IP_BIND_ADDRESS_NO_PORT: c_int = 24;
const IP_LOCAL_PORT_RANGE: c_int = 51;

/// The name that EMT has as an algorithm of congestion control.
pub(crate) const CONGESTION: &[u8] = b"emt\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// The value of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Number(c_int),
    Bytes(&'static [u8]),
    /// Of the interface that the peer is reached by.
    SegmentSize,
    Mtu,
    TcpInfo,
}

/// Returns what an option is said to be; `None` if it is refused.
pub(crate) fn get(level: c_int, name: c_int) -> Option<Answer> {
    use Answer::{
        Bytes,
        Number, //
    };
    Some(match (level, name) {
        // Nothing is held back.
        (IPPROTO_TCP, libc::TCP_NODELAY | libc::TCP_QUICKACK) => Number(1),
        (IPPROTO_TCP, libc::TCP_CORK | libc::TCP_DEFER_ACCEPT | libc::TCP_USER_TIMEOUT) => {
            Number(0)
        }
        (IPPROTO_TCP, TCP_WINDOW_CLAMP | TCP_THIN_LINEAR_TIMEOUTS | TCP_THIN_DUPACK) => Number(0),
        (IPPROTO_TCP, TCP_FASTOPEN | TCP_FASTOPEN_CONNECT | TCP_NOTSENT_LOWAT | TCP_INQ) => {
            Number(0)
        }
        (IPPROTO_TCP, libc::TCP_MAXSEG) => Answer::SegmentSize,
        (IPPROTO_TCP, libc::TCP_INFO) => Answer::TcpInfo,
        (IPPROTO_TCP, libc::TCP_CONGESTION) => Bytes(CONGESTION),
        (IPPROTO_TCP, TCP_CC_INFO) => Bytes(&[]),
        // What Linux has when nothing was set.
        (IPPROTO_TCP, libc::TCP_KEEPIDLE) => Number(7200),
        (IPPROTO_TCP, libc::TCP_KEEPINTVL) => Number(75),
        (IPPROTO_TCP, libc::TCP_KEEPCNT) => Number(9),
        (IPPROTO_TCP, libc::TCP_SYNCNT) => Number(6),
        (IPPROTO_TCP, libc::TCP_LINGER2) => Number(60),

        (IPPROTO_IP, libc::IP_TTL | libc::IP_MINTTL) => Number(64),
        (IPPROTO_IP, libc::IP_MTU) | (IPPROTO_IPV6, libc::IPV6_MTU) => Answer::Mtu,
        (IPPROTO_IP, libc::IP_MTU_DISCOVER) => Number(libc::IP_PMTUDISC_WANT),
        (IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS) => Number(64),
        (IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER) => Number(libc::IP_PMTUDISC_WANT),
        // No source route, which is what is looked for.
        (IPPROTO_IP, libc::IP_OPTIONS) => Bytes(&[]),
        (IPPROTO_IP | IPPROTO_IPV6, _) if is_taken(level, name) => Number(0),
        _ => return None,
    })
}

/// Returns whether setting an option succeeds, and does nothing.
pub(crate) fn is_taken(level: c_int, name: c_int) -> bool {
    match level {
        IPPROTO_TCP => matches!(
            name,
            libc::TCP_NODELAY
                | libc::TCP_MAXSEG
                | libc::TCP_CORK
                | libc::TCP_KEEPIDLE
                | libc::TCP_KEEPINTVL
                | libc::TCP_KEEPCNT
                | libc::TCP_SYNCNT
                | libc::TCP_LINGER2
                | libc::TCP_DEFER_ACCEPT
                | libc::TCP_QUICKACK
                | libc::TCP_USER_TIMEOUT
                | TCP_WINDOW_CLAMP
                | TCP_THIN_LINEAR_TIMEOUTS
                | TCP_THIN_DUPACK
                | TCP_FASTOPEN
                | TCP_FASTOPEN_CONNECT
                | TCP_NOTSENT_LOWAT
        ),
        IPPROTO_IP => matches!(
            name,
            libc::IP_TOS
                | libc::IP_TTL
                | libc::IP_RECVTOS
                | libc::IP_RECVTTL
                | libc::IP_RECVERR
                | libc::IP_PKTINFO
                | libc::IP_FREEBIND
                | libc::IP_MTU_DISCOVER
                | IP_BIND_ADDRESS_NO_PORT
                | IP_LOCAL_PORT_RANGE
        ),
        IPPROTO_IPV6 => matches!(
            name,
            libc::IPV6_V6ONLY
                | libc::IPV6_TCLASS
                | libc::IPV6_UNICAST_HOPS
                | libc::IPV6_RECVTCLASS
                | libc::IPV6_RECVERR
                | libc::IPV6_RECVPKTINFO
                | libc::IPV6_MTU_DISCOVER
                | libc::IPV6_AUTOFLOWLABEL
        ),
        _ => false,
    }
}

/// The algorithm of congestion control may be "chosen" if it is the one that there is.
pub(crate) fn is_congestion(value: &[u8]) -> bool {
    value.split(|byte| *byte == 0).next() == Some(b"emt")
}

/// What is known for `struct tcp_info`.
pub(crate) struct Info {
    /// `TCP_ESTABLISHED` and so on, as the kernel numbers them.
    pub(crate) state: u8,
    pub(crate) segment: u32,
    pub(crate) mtu: u32,
    /// In microseconds.
    pub(crate) round_trip: u32,
}

/// As long as any kernel has it; what is not known is 0.
pub(crate) const INFO_LEN: usize = 256;

impl Info {
    pub(crate) fn emit(&self) -> [u8; INFO_LEN] {
        let mut bytes = [0; INFO_LEN];
        bytes[0] = self.state;
        for (at, value) in [
            (16, self.segment),    // tcpi_snd_mss
            (20, self.segment),    // tcpi_rcv_mss
            (60, self.mtu),        // tcpi_pmtu
            (68, self.round_trip), // tcpi_rtt
            (84, self.segment),    // tcpi_advmss
        ] {
            bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    #[test]
    fn what_is_taken_can_be_read() {
        for level in [IPPROTO_TCP, IPPROTO_IP, IPPROTO_IPV6] {
            for name in 0..256 {
                if is_taken(level, name) {
                    assert!(get(level, name).is_some(), "{level} {name}");
                }
            }
        }
    }

    #[test]
    fn what_would_not_happen_is_refused() {
        const TCP_ULP: c_int = 31;
        const TCP_MD5SIG: c_int = 14;
        for (level, name) in [
            (IPPROTO_TCP, TCP_ULP),
            (IPPROTO_TCP, TCP_MD5SIG),
            (IPPROTO_TCP, libc::TCP_REPAIR),
            (IPPROTO_IP, libc::IP_TRANSPARENT),
            (IPPROTO_IP, libc::IP_ADD_MEMBERSHIP),
            (libc::SOL_SOCKET, libc::SO_ZEROCOPY),
        ] {
            assert!(!is_taken(level, name), "{level} {name}");
            assert_eq!(get(level, name), None, "{level} {name}");
        }
    }

    #[test]
    fn nothing_is_held_back() {
        assert_eq!(get(IPPROTO_TCP, libc::TCP_NODELAY), Some(Answer::Number(1)));
    }

    #[test]
    fn the_only_algorithm_can_be_chosen() {
        assert!(is_congestion(b"emt"));
        assert!(is_congestion(CONGESTION));
        assert!(!is_congestion(b"cubic"));
        assert!(!is_congestion(b""));
    }

    #[test]
    fn what_is_said_of_a_connection_is_where_programs_look() {
        let info = Info {
            state: 1,
            segment: 1460,
            mtu: 1500,
            round_trip: 25,
        };
        let bytes = info.emit();
        let at = |at: usize| u32::from_ne_bytes(*bytes[at..].first_chunk().unwrap());
        assert_eq!(bytes[offset_of!(libc::tcp_info, tcpi_state)], 1);
        for (place, value) in [
            (offset_of!(libc::tcp_info, tcpi_snd_mss), 1460),
            (offset_of!(libc::tcp_info, tcpi_rcv_mss), 1460),
            (offset_of!(libc::tcp_info, tcpi_advmss), 1460),
            (offset_of!(libc::tcp_info, tcpi_pmtu), 1500),
            (offset_of!(libc::tcp_info, tcpi_rtt), 25),
            (offset_of!(libc::tcp_info, tcpi_total_retrans), 0),
        ] {
            assert_eq!(at(place), value, "at {place}");
        }
    }
}
