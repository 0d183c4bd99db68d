// SPDX-License-Identifier: GPL-2.0

//! One socket takes another's place under its descriptors.
//!
//! A socket starts as what the program asked for, and becomes EMT's when bind(), listen() or
//! connect() says that it is to: for all that stays IP nothing changes, whatever the program does
//! to it. The other way round, every option of IP that was set before would have to be remembered
//! and set again.

use crate::{
    addr::Family,
    carry,
    emt,
    hints,
    mark,
    procfd,
    sys, //
};
use libc::{
    c_int,
    IPPROTO_TCP,
    SOL_SOCKET, //
};

/// `TCP_CLOSE` of the kernel: neither connected, nor connecting, nor listening.
const TCP_CLOSE: u8 = 7;

/// Returns the family of a TCP socket that nothing has happened to but bind().
pub(crate) fn untouched_tcp(fd: c_int) -> Option<Family> {
    let option = |name| sys::get_int(fd, SOL_SOCKET, name).ok();
    let family = Family::from_number(option(libc::SO_DOMAIN)?)?;
    if option(libc::SO_TYPE)? != libc::SOCK_STREAM {
        return None;
    }
    match option(libc::SO_PROTOCOL)? {
        IPPROTO_TCP => {
            let mut state = [0];
            sys::getsockopt(fd, IPPROTO_TCP, libc::TCP_INFO, &mut state).ok()?;
            (state == [TCP_CLOSE]).then_some(family)
        }
        // Without a peer; that it listens has an option of its own.
        libc::IPPROTO_MPTCP => {
            let connected = sys::getpeername(fd, &mut [0; emt::STORAGE]).is_ok();
            (!connected && option(libc::SO_ACCEPTCONN)? == 0).then_some(family)
        }
        _ => None,
    }
}

/// A socket that is to take another's place, and is closed unless it does.
pub(crate) struct Successor {
    fd: c_int,
}

impl Successor {
    pub(crate) fn emt(family: Family) -> sys::Result<Self> {
        let successor = Self { fd: emt::socket()? };
        mark::set(successor.fd, family)?;
        Ok(successor)
    }

    pub(crate) fn ip(family: Family) -> sys::Result<Self> {
        let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
        let fd = sys::socket(family.number(), kind, IPPROTO_TCP)?;
        Ok(Self { fd })
    }

    pub(crate) fn bind(&self, name: &[u8]) -> sys::Result {
        sys::bind(self.fd, name)
    }

    /// Gives the socket what the other has, before anything is done that depends on it.
    pub(crate) fn inherit(self, from: c_int) -> Self {
        carry::all(from, self.fd);
        self
    }

    /// Takes the place of the socket of `fd`, under all descriptors of this process and in the
    /// epoll instances that it has. Those of another process keep what they have.
    pub(crate) fn replace(self, fd: c_int) -> sys::Result {
        if hints::is_sole(fd) {
            put(self.fd, fd)?;
            hints::made(fd);
            return Ok(());
        }
        let found = procfd::look(fd);
        for watch in found.watches.iter() {
            // One that goes with the old file, which is named by the descriptor while that is the
            // old one.
            let _ = sys::epoll_ctl(watch.epoll, libc::EPOLL_CTL_DEL, watch.fd, 0, 0);
        }
        let mut result = Ok(());
        for other in found.fds.iter() {
            let put = put(self.fd, other);
            if other == fd {
                result = put;
            }
        }
        for watch in found.watches.iter() {
            let add = libc::EPOLL_CTL_ADD;
            let _ = sys::epoll_ctl(watch.epoll, add, watch.fd, watch.events, watch.data);
        }
        result
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        sys::close(self.fd);
    }
}

/// Puts the file of one descriptor under another, which stays or does not stay open on exec as
/// before.
fn put(from: c_int, to: c_int) -> sys::Result {
    let flags = sys::fcntl(to, libc::F_GETFD, 0)?;
    let cloexec = if flags & libc::FD_CLOEXEC != 0 {
        libc::O_CLOEXEC
    } else {
        0
    };
    sys::dup3(from, to, cloexec)
}
