// SPDX-License-Identifier: GPL-2.0

//! What the connectionless sockets have in common: being bound to a port, and having a peer.

use super::peer::{
    Local,
    Peer, //
};
use crate::{
    addr::{
        Endpoint,
        LinkAddr,
        Name,
        SockaddrEmt, //
    },
    netns::{
        Netns,
        Route,
        BUCKETS, //
    },
};
use kernel::{
    net::{
        msghdr::{
            RecvMsg,
            SendMsg,
            MSG_ERRQUEUE, //
        },
        namespace::Capability,
        sock::{
            Shutdown,
            SockGuard, //
        },
        sock_table::{
            SockTable,
            TableGuard, //
        },
        socket::Operations,
        Sock,
        SockAddr, //
    },
    prelude::*,
    random::random_u32,
    sync::{
        rcu,
        Arc, //
    },
    uapi, //
};

/// A socket's namespace, port and peer.
pub(crate) struct Bound {
    netns: Arc<Netns>,
    local: Local,
    peer: Peer,
}

impl Bound {
    pub(super) const fn new(netns: Arc<Netns>) -> Self {
        Self {
            netns,
            local: Local::unbound(),
            peer: Peer::none(),
        }
    }

    /// That of a socket which has a connection with `peer` that came to `port` of another.
    pub(super) fn of_child(listener: &Self, port: u16, peer: &Endpoint) -> Self {
        let child = Self::new(listener.netns.clone());
        child.local.bind(port, listener.ifindex());
        child.peer.set(Some(peer));
        child
    }

    /// Returns the endpoint that the socket is connected to, if that is not just being changed.
    pub(super) fn peer(&self) -> Option<Endpoint> {
        self.peer.get()
    }

    /// Sets that. The socket lock is held.
    pub(super) fn set_peer(&self, peer: Option<&Endpoint>) {
        self.peer.set(peer);
    }

    pub(crate) fn netns(&self) -> &Arc<Netns> {
        &self.netns
    }

    /// Returns the port that the socket was bound to, or 0.
    pub(crate) fn port(&self) -> u16 {
        self.local.get().0
    }

    /// Returns the interface that the socket was bound to, or 0.
    pub(crate) fn ifindex(&self) -> i32 {
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

/// The sockets of a type that has ports: one table of them in each namespace.
pub(crate) type Ports<T> = SockTable<T, BUCKETS>;

/// A type of socket that has ports.
pub(crate) trait Ported: Operations<Address = SockaddrEmt> {
    fn bound(&self) -> &Bound;

    /// Returns the bound sockets of the type in the socket's namespace.
    fn ports(&self) -> &Ports<Self>;

    /// Checks that the user may send to `link`.
    fn check_destination(sock: &Sock<Self>, link: LinkAddr) -> Result;

    /// Returns how many bytes the next receive has, for `SIOCINQ`.
    fn received(sock: &Sock<Self>) -> Result<usize> {
        Ok(sock.first_len() as usize)
    }

    /// Returns how many bytes were sent and are not known to have left, for `SIOCOUTQ`.
    fn unsent(sock: &Sock<Self>) -> Result<usize> {
        Ok(usize::try_from(sock.wmem_alloc()).unwrap_or(0))
    }
}

/// A type of socket that has ports and no connections.
pub(crate) trait Connectionless: Ported {
    /// Returns the bound sockets of the type.
    fn all(netns: &Netns) -> &Ports<Self>;
}

/// Finds the socket that wants packets from `source` for `port`.
pub(crate) fn find<'a, T: Connectionless>(
    netns: &'a Netns,
    guard: &'a rcu::Guard,
    port: u16,
    source: &Endpoint,
) -> Option<&'a Sock<T>> {
    T::all(netns)
        .lookup(usize::from(port), guard)
        .find(|sock| sock.bound().is_bound_to(port, source.ifindex))
        .filter(|sock| sock.bound().accepts(source) && !sock.is_receive_shutdown())
        .filter(|sock| match sock.bound_dev_if() {
            0 => true,
            ifindex => ifindex == source.ifindex,
        })
}

/// Binds a socket that is not bound to `port` (0: an unused one) on `ifindex` (0: any).
fn claim<T: Ported>(sock: &SockGuard<'_, T>, port: u16, ifindex: i32) -> Result {
    let bound = sock.bound();
    let mut table = sock.ports().lock();
    let port = match port {
        0 => ephemeral_port(&table, ifindex).ok_or(EADDRINUSE)?,
        port => port,
    };
    if table
        .iter(usize::from(port))
        .any(|other| other.bound().overlaps(port, ifindex))
    {
        return Err(EADDRINUSE);
    }
    // Who finds the socket finds it bound.
    bound.local.bind(port, ifindex);
    table.insert(usize::from(port), sock)
}

/// The ports that sockets get that do not ask for one: those that Linux uses so for IP.
const EPHEMERAL: core::ops::RangeInclusive<u16> = 32768..=60999;

/// Finds an unused port for a socket on `ifindex` (0: any), from a random one on.
///
/// Each bucket of the table is walked once, however many ports are taken: it has the ports that
/// leave the same remainder, few enough to mark them in a word.
fn ephemeral_port<T: Ported>(table: &TableGuard<'_, T, BUCKETS>, ifindex: i32) -> Option<u16> {
    const STEP: u16 = BUCKETS as u16;
    const { assert!((*EPHEMERAL.end() - *EPHEMERAL.start()) / STEP < u128::BITS as u16) };

    let start = random_u32();
    (0..STEP).find_map(|bucket| {
        let first = EPHEMERAL.start() + (start as u16).wrapping_add(bucket) % STEP;
        let mut taken = 0u128;
        for other in table.iter(usize::from(first)) {
            let (port, other_ifindex) = other.bound().local.get();
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
fn peer<T: Connectionless>(sock: &Sock<T>) -> Option<Endpoint> {
    match sock.bound().peer.get() {
        Some(peer) if peer.port != 0 => Some(peer),
        // There is none, or it is just being changed.
        _ => sock.lock().bound().peer.get(),
    }
}

/// Returns the port to send from, after binding the socket to one if it has none.
pub(super) fn source_port<T: Ported>(sock: &Sock<T>) -> Result<u16> {
    match sock.bound().port() {
        0 => {
            let guard = sock.lock();
            // Another thread may have bound it in the meantime.
            if guard.bound().port() == 0 {
                claim(&guard, 0, guard.bound_dev_if())?;
            }
            Ok(guard.bound().port())
        }
        port => Ok(port),
    }
}

/// Returns the interface that is asked for and that the socket is bound to in either way, of
/// which each may leave it open.
fn interface<T: Ported>(sock: &Sock<T>, asked: i32) -> Result<i32> {
    let mut chosen = asked;
    for bound in [sock.bound().ifindex(), sock.bound_dev_if()] {
        chosen = match (chosen, bound) {
            (0, ifindex) | (ifindex, 0) => ifindex,
            (one, other) if one == other => one,
            _ => return Err(EINVAL),
        };
    }
    Ok(chosen)
}

/// Returns the endpoint that an address from the user means.
///
/// Its interface is 0 if neither the address nor the socket says which.
pub(super) fn endpoint<T: Ported>(sock: &Sock<T>, addr: &SockAddr<'_>) -> Result<Endpoint> {
    let name = addr.read::<SockaddrEmt>()?.parse()?;
    let (port, link) = name.destination()?;
    T::check_destination(sock, link)?;
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

/// The operations of these sockets that are the same for all of them.
pub(super) fn release<T: Ported>(sock: &Sock<T>) {
    let guard = sock.lock();
    guard.ports().lock().remove(&guard);
}

/// bind(): once, to a port that nobody has.
pub(super) fn bind<T: Ported>(sock: &Sock<T>, addr: &SockAddr<'_>) -> Result {
    let name = addr.read::<SockaddrEmt>()?.parse()?;
    let guard = sock.lock();
    if guard.bound().port() != 0 {
        return Err(EINVAL);
    }
    let privileged = (1..uapi::EMT_PORT_RESERVED).contains(&u32::from(name.port));
    if privileged && !sock.net().capable(Capability::NetBindService) {
        return Err(EACCES);
    }
    let ifindex = interface(sock, name.ifindex)?;
    check_own(&sock.bound().netns, &name, ifindex)?;
    claim(&guard, name.port, ifindex)
}

/// connect(): sets the default destination, or none, and from whom alone packets come.
pub(super) fn connect<T: Connectionless>(sock: &Sock<T>, addr: &SockAddr<'_>) -> Result {
    if u32::from(addr.family().ok_or(EINVAL)?) == uapi::AF_UNSPEC {
        let guard = sock.lock();
        guard.bound().peer.set(None);
        return Ok(());
    }
    let mut peer = endpoint(sock, addr)?;
    source_port(sock)?;
    let Route { ifindex, .. } = sock.bound().netns.route(peer.ifindex, peer.link)?;
    peer.ifindex = ifindex;
    let guard = sock.lock();
    guard.bound().peer.set(Some(&peer));
    Ok(())
}

/// getsockname() and getpeername().
pub(super) fn getname<T: Connectionless>(sock: &Sock<T>, peer: bool) -> Result<SockaddrEmt> {
    if peer {
        let peer = self::peer(sock).ok_or(ENOTCONN)?;
        return Ok(Name::from(peer).into());
    }
    let (port, ifindex) = sock.bound().local.get();
    let link = sock.bound().netns.link(ifindex).map(|link| link.address());
    let name = Name {
        port,
        ifindex,
        link,
    };
    Ok(name.into())
}

/// shutdown(): of a socket that has a peer.
pub(super) fn shutdown<T: Connectionless>(sock: &Sock<T>, how: Shutdown) -> Result {
    let mut guard = sock.lock();
    if guard.bound().peer.get().is_none() {
        return Err(ENOTCONN);
    }
    guard.shutdown(how);
    Ok(())
}

/// Returns where a message goes: to the address that it names, or to the socket's peer.
pub(super) fn destination<T: Connectionless>(
    sock: &Sock<T>,
    msg: &SendMsg<'_>,
) -> Result<Endpoint> {
    if let Some(addr) = msg.name() {
        return endpoint(sock, &addr);
    }
    let mut peer = peer(sock).ok_or(EDESTADDRREQ)?;
    // The options may have been changed since.
    T::check_destination(sock, peer.link)?;
    peer.ifindex = interface(sock, peer.ifindex)?;
    Ok(peer)
}

/// recvmsg(): one message from the receive queue, or an error from its own.
pub(super) fn recvmsg<T: Connectionless>(sock: &Sock<T>, msg: &mut RecvMsg<'_>) -> Result<usize> {
    if msg.flags() & MSG_ERRQUEUE != 0 {
        return sock.recv_errqueue(msg, uapi::SOL_EMT as c_int, uapi::EMT_RECVERR as c_int);
    }
    sock.recv_datagram::<SockaddrEmt>(msg)
}
