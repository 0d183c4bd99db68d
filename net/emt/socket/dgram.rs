// SPDX-License-Identifier: GPL-2.0

//! SOCK_DGRAM: best-effort datagrams.

use super::{
    bound::{
        self,
        Bound,
        Connectionless,
        Ported,
        Ports, //
    },
    ioctl, //
};
use crate::{
    addr::{
        LinkAddr,
        SockaddrEmt,
        AF_EMT, //
    },
    netns::Netns,
    output, //
};
use kernel::{
    net::{
        msghdr::{
            RecvMsg,
            SendMsg,
            MSG_OOB, //
        },
        sock::Shutdown,
        socket::{
            Operations,
            Proto, //
        },
        Sock,
        SockAddr, //
    },
    prelude::*,
    sync::Arc, //
};

/// The registered socket type.
pub(crate) static PROTO: Proto<Dgram> = Proto::new();

/// The state of a datagram socket.
pub(crate) struct Dgram {
    bound: Bound,
}

impl Dgram {
    pub(super) const fn new(netns: Arc<Netns>) -> Self {
        Self {
            bound: Bound::new(netns),
        }
    }
}

impl Connectionless for Dgram {
    fn all(netns: &Netns) -> &Ports<Self> {
        &netns.dgrams
    }
}

impl Ported for Dgram {
    fn bound(&self) -> &Bound {
        &self.bound
    }

    fn ports(&self) -> &Ports<Self> {
        &self.bound.netns().dgrams
    }

    fn check_destination(sock: &Sock<Self>, link: LinkAddr) -> Result {
        if link == LinkAddr::BROADCAST && !sock.may_broadcast() {
            return Err(EACCES);
        }
        Ok(())
    }
}

#[vtable]
impl Operations for Dgram {
    const NAME: &'static CStr = c"EMT-DGRAM";
    const FAMILY: u16 = AF_EMT;
    type Address = SockaddrEmt;

    fn proto() -> &'static Proto<Self> {
        &PROTO
    }

    fn release(sock: &Sock<Self>) {
        bound::release(sock);
    }

    fn bind(sock: &Sock<Self>, addr: &SockAddr<'_>) -> Result {
        bound::bind(sock, addr)
    }

    fn connect(sock: &Sock<Self>, addr: &SockAddr<'_>, _flags: c_int) -> Result {
        bound::connect(sock, addr)
    }

    fn getname(sock: &Sock<Self>, peer: bool) -> Result<SockaddrEmt> {
        bound::getname(sock, peer)
    }

    fn shutdown(sock: &Sock<Self>, how: Shutdown) -> Result {
        bound::shutdown(sock, how)
    }

    fn ioctl(sock: &Sock<Self>, cmd: u32, arg: UserPtr) -> Result<c_int> {
        ioctl::ioctl(sock, cmd, arg)
    }

    fn sendmsg(sock: &Sock<Self>, msg: &mut SendMsg<'_>) -> Result<usize> {
        if msg.flags() & MSG_OOB != 0 {
            return Err(EOPNOTSUPP);
        }
        let to = bound::destination(sock, msg)?;
        let port = bound::source_port(sock)?;
        output::send(sock, port, &to, msg)
    }

    fn recvmsg(sock: &Sock<Self>, msg: &mut RecvMsg<'_>) -> Result<usize> {
        bound::recvmsg(sock, msg)
    }
}
