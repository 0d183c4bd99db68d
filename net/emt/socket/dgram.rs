// SPDX-License-Identifier: GPL-2.0

//! SOCK_DGRAM: best-effort datagrams.

use super::{
    ioctl,
    peer::{
        Local,
        Peer, //
    },
};
use crate::{
    addr::{
        Endpoint,
        LinkAddr,
        Name,
        SockaddrEmt,
        AF_EMT, //
    },
    netns::{
        Netns,
        Route, //
    },
    output, //
};
use kernel::{
    net::{
        msghdr::{
            RecvMsg,
            SendMsg,
            MSG_ERRQUEUE,
            MSG_OOB,
            MSG_TRUNC, //
        },
        namespace::Capability,
        sock::{
            Shutdown,
            SockGuard, //
        },
        socket::{
            Operations,
            Proto, //
        },
        Sock,
        SockAddr, //
    },
    prelude::*,
    sync::Arc,
    uapi, //
};

/// The registered socket type.
pub(crate) static PROTO: Proto<Dgram> = Proto::new();

/// The state of a datagram socket.
#[pin_data]
pub(crate) struct Dgram {
    netns: Arc<Netns>,
    local: Local,
    peer: Peer,
}

impl Dgram {
    pub(super) fn new(netns: Arc<Netns>) -> impl PinInit<Self> {
        pin_init!(Self {
            netns,
            local: Local::unbound(),
            peer: Peer::none(),
        })
    }

    pub(crate) fn netns(&self) -> &Arc<Netns> {
        &self.netns
    }

    /// Returns the interface that the socket was bound to, or 0.
    pub(crate) fn bound_ifindex(&self) -> i32 {
        self.local.get().1
    }

    /// Returns whether packets for `port` that arrive at `ifindex` are the socket's.
    pub(crate) fn is_bound_to(&self, port: u16, ifindex: i32) -> bool {
        let (own_port, own_ifindex) = self.local.get();
        own_port == port && (own_ifindex == 0 || own_ifindex == ifindex)
    }

    /// Returns whether the socket is connected to `source` or not at all.
    pub(crate) fn accepts(&self, source: &Endpoint) -> bool {
        self.peer.get().is_none_or(|peer| peer == *source)
    }

    fn overlaps(&self, port: u16, ifindex: i32) -> bool {
        ifindex == 0 && self.local.get().0 == port || self.is_bound_to(port, ifindex)
    }
}

/// Binds a socket that is not bound to `port` (0: an unused one) on `ifindex` (0: any).
fn claim(sock: &SockGuard<'_, Dgram>, port: u16, ifindex: i32) -> Result {
    let mut table = sock.netns.dgrams.lock();
    let is_free = |port: u16| {
        !table
            .iter(usize::from(port))
            .any(|other| other.overlaps(port, ifindex))
    };
    let free = match port {
        0 => sock.netns.ephemeral_ports().find(|&port| is_free(port)),
        port => is_free(port).then_some(port),
    };
    let port = free.ok_or(EADDRINUSE)?;
    // Who finds the socket finds it bound.
    sock.local.bind(port, ifindex);
    table.insert(usize::from(port), sock)
}

/// Returns the port to send from, after binding the socket to one if it has none.
fn source_port(sock: &Sock<Dgram>) -> Result<u16> {
    match sock.local.get().0 {
        0 => {
            let guard = sock.lock();
            // Another thread may have bound it in the meantime.
            if guard.local.get().0 == 0 {
                claim(&guard, 0, guard.bound_dev_if())?;
            }
            Ok(guard.local.get().0)
        }
        port => Ok(port),
    }
}

/// Chooses between the interface that is asked for and the one that the socket is bound to.
fn interface(sock: &Sock<Dgram>, asked: i32) -> Result<i32> {
    let bound = match sock.bound_ifindex() {
        0 => sock.bound_dev_if(),
        ifindex => ifindex,
    };
    match (asked, bound) {
        (0, ifindex) | (ifindex, 0) => Ok(ifindex),
        (asked, bound) if asked == bound => Ok(asked),
        _ => Err(EINVAL),
    }
}

/// Checks that the user has allowed the socket to send to all, if that is who `link` is.
fn check_broadcast(sock: &Sock<Dgram>, link: LinkAddr) -> Result {
    if link == LinkAddr::BROADCAST && !sock.may_broadcast() {
        return Err(EACCES);
    }
    Ok(())
}

/// Returns the endpoint that an address from the user means.
///
/// Its interface is 0 if neither the address nor the socket says which.
fn endpoint(sock: &Sock<Dgram>, addr: &SockAddr<'_>) -> Result<Endpoint> {
    let name = addr.read::<SockaddrEmt>()?.parse()?;
    let (port, link) = name.destination()?;
    check_broadcast(sock, link)?;
    Ok(Endpoint {
        ifindex: interface(sock, name.ifindex)?,
        link,
        port,
    })
}

/// Checks that `name` is one of this host's addresses, if it has one.
fn check_own(netns: &Netns, name: &Name, ifindex: i32) -> Result {
    let own = match (ifindex, name.link) {
        (0, None) => true,
        (0, Some(link)) => netns.has_address(link),
        (ifindex, link) => {
            let device = netns.link(ifindex).ok_or(ENODEV)?;
            link.is_none_or(|link| link == device.address())
        }
    };
    own.then_some(()).ok_or(EADDRNOTAVAIL)
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
        let guard = sock.lock();
        sock.netns.dgrams.lock().remove(&guard);
    }

    fn bind(sock: &Sock<Self>, addr: &SockAddr<'_>) -> Result {
        let name = addr.read::<SockaddrEmt>()?.parse()?;
        let guard = sock.lock();
        if guard.local.get().0 != 0 {
            return Err(EINVAL);
        }
        let privileged = (1..uapi::EMT_PORT_RESERVED).contains(&u32::from(name.port));
        if privileged && !sock.net().capable(Capability::NetBindService) {
            return Err(EACCES);
        }
        let ifindex = interface(sock, name.ifindex)?;
        check_own(&sock.netns, &name, ifindex)?;
        claim(&guard, name.port, ifindex)
    }

    fn connect(sock: &Sock<Self>, addr: &SockAddr<'_>, _flags: c_int) -> Result {
        if u32::from(addr.family().ok_or(EINVAL)?) == uapi::AF_UNSPEC {
            let guard = sock.lock();
            guard.peer.set(None);
            return Ok(());
        }
        let mut peer = endpoint(sock, addr)?;
        source_port(sock)?;
        let Route { ifindex, .. } = sock.netns.route(peer.ifindex, peer.link)?;
        peer.ifindex = ifindex;
        let guard = sock.lock();
        guard.peer.set(Some(&peer));
        Ok(())
    }

    fn getname(sock: &Sock<Self>, peer: bool) -> Result<SockaddrEmt> {
        if peer {
            let peer = sock.peer.get().ok_or(ENOTCONN)?;
            return Ok(Name::from(peer).into());
        }
        let (port, ifindex) = sock.local.get();
        let link = sock.netns.link(ifindex).map(|link| link.address());
        let name = Name {
            port,
            ifindex,
            link,
        };
        Ok(name.into())
    }

    fn shutdown(sock: &Sock<Self>, how: Shutdown) -> Result {
        let mut guard = sock.lock();
        if guard.peer.get().is_none() {
            return Err(ENOTCONN);
        }
        guard.shutdown(how);
        Ok(())
    }

    fn ioctl(sock: &Sock<Self>, cmd: u32, arg: UserPtr) -> Result<c_int> {
        ioctl::ioctl(sock, cmd, arg)
    }

    fn sendmsg(sock: &Sock<Self>, msg: &mut SendMsg<'_>) -> Result<usize> {
        if msg.flags() & MSG_OOB != 0 {
            return Err(EOPNOTSUPP);
        }
        let to = match msg.name() {
            Some(addr) => endpoint(sock, &addr)?,
            None => {
                let peer = sock.peer.get().ok_or(EDESTADDRREQ)?;
                // The option may have been taken back since.
                check_broadcast(sock, peer.link)?;
                peer
            }
        };
        let port = source_port(sock)?;
        output::send(sock, port, &to, msg)
    }

    fn recvmsg(sock: &Sock<Self>, msg: &mut RecvMsg<'_>) -> Result<usize> {
        let flags = msg.flags();
        if flags & MSG_OOB != 0 {
            return Err(EOPNOTSUPP);
        }
        if flags & MSG_ERRQUEUE != 0 {
            return sock.recv_errqueue(msg, uapi::SOL_EMT as c_int, uapi::EMT_RECVERR as c_int);
        }
        let skb = match sock.recv_skb(flags) {
            Ok(Some(skb)) => skb,
            Ok(None) => return Ok(0),
            // Nothing comes any more, so there is nothing to try again for.
            Err(EAGAIN) if sock.is_receive_shutdown() => return Ok(0),
            Err(error) => return Err(error),
        };
        let copied = skb.len().min(msg.len());
        if copied < skb.len() {
            msg.set_truncated();
        }
        skb.copy_to_iter(0, msg.iter(), copied)?;
        msg.set_name(&skb.cb::<SockaddrEmt>());
        sock.recv_cmsgs(msg, &skb);
        Ok(if flags & MSG_TRUNC != 0 {
            skb.len()
        } else {
            copied
        })
    }
}
