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
        Route,
        BUCKETS, //
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
        sock_table::TableGuard,
        socket::{
            Operations,
            Proto, //
        },
        Sock,
        SockAddr, //
    },
    prelude::*,
    random::random_u32,
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
    let port = match port {
        0 => ephemeral_port(&table, ifindex).ok_or(EADDRINUSE)?,
        port => port,
    };
    if table
        .iter(usize::from(port))
        .any(|other| other.overlaps(port, ifindex))
    {
        return Err(EADDRINUSE);
    }
    // Who finds the socket finds it bound.
    sock.local.bind(port, ifindex);
    table.insert(usize::from(port), sock)
}

/// The ports that sockets get that do not ask for one: those that Linux uses so for IP.
const EPHEMERAL: core::ops::RangeInclusive<u16> = 32768..=60999;

/// Finds an unused port for a socket on `ifindex` (0: any), from a random one on.
///
/// Each bucket of the table is walked once, however many ports are taken: it has the ports that
/// leave the same remainder, few enough to mark them in a word.
fn ephemeral_port(table: &TableGuard<'_, Dgram, BUCKETS>, ifindex: i32) -> Option<u16> {
    const STEP: u16 = BUCKETS as u16;
    const { assert!((*EPHEMERAL.end() - *EPHEMERAL.start()) / STEP < u128::BITS as u16) };

    let start = random_u32();
    (0..STEP).find_map(|bucket| {
        let first = EPHEMERAL.start() + (start as u16).wrapping_add(bucket) % STEP;
        let mut taken = 0u128;
        for other in table.iter(usize::from(first)) {
            let (port, other_ifindex) = other.local.get();
            let clash = ifindex == 0 || other_ifindex == 0 || other_ifindex == ifindex;
            if clash && port >= first && EPHEMERAL.contains(&port) {
                taken |= 1 << ((port - first) / STEP);
            }
        }
        let count = (EPHEMERAL.end() - first) / STEP + 1;
        let turn = (start >> 16) as u16;
        (0..count)
            .map(|place| turn.wrapping_add(place) % count)
            .find(|place| taken & 1 << place == 0)
            .map(|place| first + place * STEP)
    })
}

/// Returns the endpoint that the socket is connected to.
fn peer(sock: &Sock<Dgram>) -> Option<Endpoint> {
    match sock.peer.get() {
        Some(peer) if peer.port != 0 => Some(peer),
        // There is none, or it is just being changed.
        _ => sock.lock().peer.get(),
    }
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

/// Returns the interface that is asked for and that the socket is bound to in either way, of
/// which each may leave it open.
fn interface(sock: &Sock<Dgram>, asked: i32) -> Result<i32> {
    let mut chosen = asked;
    for bound in [sock.bound_ifindex(), sock.bound_dev_if()] {
        chosen = match (chosen, bound) {
            (0, ifindex) | (ifindex, 0) => ifindex,
            (one, other) if one == other => one,
            _ => return Err(EINVAL),
        };
    }
    Ok(chosen)
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
            let peer = self::peer(sock).ok_or(ENOTCONN)?;
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
                let mut peer = peer(sock).ok_or(EDESTADDRREQ)?;
                // The options may have been changed since.
                check_broadcast(sock, peer.link)?;
                peer.ifindex = interface(sock, peer.ifindex)?;
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
        let Some(skb) = sock.recv_skb(flags)? else {
            return Ok(0);
        };
        let copied = skb.len().min(msg.len());
        if copied < skb.len() {
            msg.set_truncated();
        }
        skb.copy_to_iter(0, msg.iter(), copied)?;
        msg.set_name(&skb.cb::<SockaddrEmt>());
        sock.recv_cmsgs(msg, &skb);
        let len = skb.len();
        skb.consume();
        Ok(if flags & MSG_TRUNC != 0 { len } else { copied })
    }
}
