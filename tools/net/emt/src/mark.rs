// SPDX-License-Identifier: GPL-2.0

//! What is remembered of a socket that has taken the place of one of IP, in the socket itself: wherever
//! it goes, by dup, fork, exec or SCM_RIGHTS, it is there. Two options hold it that a connection of EMT has
//! no use for, since it is neither routed nor broadcast; the hooks of options hide them from the program.

use crate::{
    addr::Family,
    sys, //
};
use libc::{
    c_int,
    SOL_SOCKET, //
};

/// It is one of ours, not one of AF_EMT that the program has made itself.
const OURS: c_int = libc::SO_DONTROUTE;

/// The program expects IPv6.
const V6: c_int = libc::SO_BROADCAST;

pub(crate) fn set(fd: c_int, family: Family) -> sys::Result {
    sys::set_int(fd, SOL_SOCKET, OURS, 1)?;
    match family {
        Family::V4 => Ok(()),
        Family::V6 => sys::set_int(fd, SOL_SOCKET, V6, 1),
    }
}

pub(crate) fn is_set(fd: c_int) -> bool {
    sys::get_int(fd, SOL_SOCKET, OURS) == Ok(1)
}

pub(crate) fn family_of(fd: c_int) -> Family {
    match sys::get_int(fd, SOL_SOCKET, V6) {
        Ok(1) => Family::V6,
        _ => Family::V4,
    }
}

/// Returns whether an option is one of those.
pub(crate) fn is_option(name: c_int) -> bool {
    matches!(name, OURS | V6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        net::UdpSocket,
        os::fd::AsRawFd, //
    };

    #[test]
    fn a_mark_is_with_the_socket() {
        for family in [Family::V4, Family::V6] {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            assert!(!is_set(socket.as_raw_fd()));
            set(socket.as_raw_fd(), family).unwrap();
            let second = socket.try_clone().unwrap();
            assert!(is_set(second.as_raw_fd()));
            assert_eq!(family_of(second.as_raw_fd()), family);
        }
    }
}
