// SPDX-License-Identifier: GPL-2.0

//! What a socket takes along when another one takes its place: its options, and the state of its file. The
//! kernel is asked for all of it.

use crate::{
    family::{
        EMT_USER_TIMEOUT,
        SOL_EMT, //
    },
    sys, //
};
use libc::{
    c_int,
    SOL_SOCKET, //
};

/// The longest value: an interface's name, or two of the kernel's times.
const MAX_VALUE: usize = 16;

/// An option, and the value that a new socket has anyway.
struct Carried {
    name: c_int,
    unset: c_int,
}

const fn carried(name: c_int, unset: c_int) -> Carried {
    Carried { name, unset }
}

/// The buffers' sizes and SO_REUSEPORT, which only IP has, are not among them.
const OPTIONS: &[Carried] = &[
    carried(libc::SO_REUSEADDR, 0),
    carried(libc::SO_KEEPALIVE, 0),
    carried(libc::SO_OOBINLINE, 0),
    carried(libc::SO_LINGER, 0),
    carried(libc::SO_PRIORITY, 0),
    carried(libc::SO_MARK, 0),
    carried(libc::SO_RCVLOWAT, 1),
    carried(libc::SO_RCVTIMEO, 0),
    carried(libc::SO_SNDTIMEO, 0),
    carried(libc::SO_BINDTODEVICE, 0),
    carried(libc::SO_TIMESTAMP, 0),
    carried(libc::SO_TIMESTAMPNS, 0),
    carried(libc::SO_RXQ_OVFL, 0),
    carried(libc::SO_BUSY_POLL, 0),
    carried(libc::SO_MAX_PACING_RATE, -1),
];

/// Which buffers the program has given a size: `SO_BUF_LOCK`, which the libc crate does not have.
const SO_BUF_LOCK: c_int = 72;

/// The buffers, each with the option that only an administrator may set, and its bit in
/// `SO_BUF_LOCK`.
const BUFFERS: &[(c_int, c_int, c_int)] = &[
    (libc::SO_SNDBUF, libc::SO_SNDBUFFORCE, 1),
    (libc::SO_RCVBUF, libc::SO_RCVBUFFORCE, 2),
];

/// Gives one socket what another has. What the new one does not take, it goes without: the program
/// was told already that it is set.
pub(crate) fn all(from: c_int, to: c_int) {
    for option in OPTIONS {
        let mut room = [0; MAX_VALUE];
        let Ok(len) = sys::getsockopt(from, SOL_SOCKET, option.name, &mut room) else {
            continue;
        };
        let value = room.get(..len).unwrap_or_default();
        if !is_unset(value, option.unset) {
            let _ = sys::setsockopt(to, SOL_SOCKET, option.name, value);
        }
    }
    let sized = sys::get_int(from, SOL_SOCKET, SO_BUF_LOCK).unwrap_or(0);
    for &(name, force, _) in BUFFERS.iter().filter(|(_, _, bit)| sized & bit != 0) {
        // The kernel says twice of what it was told.
        if let Ok(size) = sys::get_int(from, SOL_SOCKET, name) {
            let _ = sys::set_int(to, SOL_SOCKET, force, size / 2)
                .or_else(|_| sys::set_int(to, SOL_SOCKET, name, size / 2));
        }
    }
    user_timeout(from, to);
    file(from, to);
}

fn is_unset(value: &[u8], unset: c_int) -> bool {
    // A fill byte stands for the whole value, however long it is.
    match unset {
        0 | -1 => value.iter().all(|byte| *byte == unset as u8),
        _ => value == unset.to_ne_bytes(),
    }
}

/// TCP's and EMT's are the same thing. Where either socket does not have it, nothing happens.
fn user_timeout(from: c_int, to: c_int) {
    if let Ok(time @ 1..) = sys::get_int(from, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT) {
        let _ = sys::set_int(to, SOL_EMT, EMT_USER_TIMEOUT, time);
    }
}

const F_SETSIG: c_int = 10;
const F_GETSIG: c_int = 11;

/// The state that belongs to the file: non-blocking, and who is signalled.
fn file(from: c_int, to: c_int) {
    if let Ok(owner) = sys::owner(from) {
        if owner.id != 0 {
            let _ = sys::set_owner(to, &owner);
        }
    }
    if let Ok(signal @ 1..) = sys::fcntl(from, F_GETSIG, 0) {
        let _ = sys::fcntl(to, F_SETSIG, signal);
    }
    if let Ok(flags) = sys::fcntl(from, libc::F_GETFL, 0) {
        let flags = flags & (libc::O_NONBLOCK | libc::O_ASYNC);
        if flags != 0 {
            let _ = sys::fcntl(to, libc::F_SETFL, flags);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        net::{
            TcpListener,
            UdpSocket, //
        },
        os::fd::AsRawFd,
        time::Duration, //
    };

    #[test]
    fn what_was_not_set_is_not_carried() {
        assert!(is_unset(&[0; 8], 0));
        assert!(!is_unset(&[0, 0, 0, 0, 1, 0, 0, 0], 0));
        assert!(is_unset(&1_i32.to_ne_bytes(), 1));
        assert!(!is_unset(&[0; 4], 1));
        assert!(is_unset(&[255; 8], -1));
        assert!(is_unset(&[], 0));
    }

    #[test]
    fn options_and_the_state_of_the_file_go_along() {
        let from = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = TcpListener::bind("127.0.0.1:0").unwrap();
        let (a, b) = (from.as_raw_fd(), to.as_raw_fd());
        from.set_nonblocking(true).unwrap();
        sys::set_int(a, SOL_SOCKET, libc::SO_KEEPALIVE, 1).unwrap();
        sys::set_int(a, SOL_SOCKET, libc::SO_RCVLOWAT, 7).unwrap();
        sys::set_int(a, SOL_SOCKET, libc::SO_SNDBUF, 30000).unwrap();
        let linger = [1_i32.to_ne_bytes(), 5_i32.to_ne_bytes()].concat();
        sys::setsockopt(a, SOL_SOCKET, libc::SO_LINGER, &linger).unwrap();
        let own = sys::get_int(b, SOL_SOCKET, libc::SO_RCVBUF).unwrap();
        all(a, b);
        assert_eq!(sys::get_int(b, SOL_SOCKET, libc::SO_KEEPALIVE), Ok(1));
        assert_eq!(sys::get_int(b, SOL_SOCKET, libc::SO_RCVLOWAT), Ok(7));
        assert_eq!(sys::get_int(b, SOL_SOCKET, libc::SO_SNDBUF), Ok(60000));
        assert_eq!(sys::get_int(b, SOL_SOCKET, libc::SO_RCVBUF), Ok(own));
        let mut value = [0; 8];
        sys::getsockopt(b, SOL_SOCKET, libc::SO_LINGER, &mut value).unwrap();
        assert_eq!(value[..], linger[..]);
        let flags = sys::fcntl(b, libc::F_GETFL, 0).unwrap();
        assert_ne!(flags & libc::O_NONBLOCK, 0);
    }

    #[test]
    fn timeouts_go_along() {
        let from = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = UdpSocket::bind("127.0.0.1:0").unwrap();
        from.set_read_timeout(Some(Duration::from_millis(1500)))
            .unwrap();
        all(from.as_raw_fd(), to.as_raw_fd());
        assert_eq!(
            to.read_timeout().unwrap(),
            Some(Duration::from_millis(1500))
        );
        assert_eq!(to.write_timeout().unwrap(), None);
    }
}
