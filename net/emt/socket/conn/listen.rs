// SPDX-License-Identifier: GPL-2.0

//! Taking connections: listen(), accept(), and what waits in between.

use super::{
    with_line,
    Conn,
    Line, //
};
use crate::{
    addr::Endpoint,
    engine::{
        connections::Act,
        fifo::Fifo,
        host::{
            Bearing,
            Ports,
            Unwilling, //
        },
    },
    netns::Netns,
    socket::bound::{
        self,
        Bound, //
    },
    station::Station,
    wire::{
        control::Why,
        flow::Number, //
    },
};
use kernel::{
    net::{
        child::Child,
        sock_state::SockState,
        Sock,
        SockRef, //
    },
    prelude::*,
    sync::{
        atomic::Relaxed,
        rcu,
        Arc, //
    },
    time::hrtimer::Timed, //
};

/// Connections that wait to be accepted, the oldest first.
pub(super) struct Backlog(Fifo<Child<Conn>>);

impl Backlog {
    pub(super) const fn new() -> Self {
        Self(Fifo::new())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// How many connections may be half open for each socket that listens. A peer may have fewer
/// ([`MAX_HALF_OPEN`](crate::engine::limits::MAX_HALF_OPEN)), so that none keeps out all others.
/// They take no place in the backlog: who is accepted when that is full waits at the door.
const MAX_EMBRYOS: i32 = 256;

/// A place for a connection that is not established yet, at the socket that listens.
pub(crate) struct Embryo(SockRef<Conn>);

impl Drop for Embryo {
    fn drop(&mut self) {
        self.0.embryos.add(-1, Relaxed);
    }
}

impl Embryo {
    /// Returns how many bytes may come at first.
    pub(crate) fn window(&self) -> u32 {
        super::events::room(&self.0) / 2
    }
}

/// Finds the socket that takes connections from `source` to `port`.
fn find<'a>(
    netns: &'a Netns,
    guard: &'a rcu::Guard,
    bearing: Bearing,
    port: u16,
    source: &Endpoint,
) -> Option<&'a Sock<Conn>> {
    netns
        .conns(bearing)
        .lookup(usize::from(port), guard)
        .find(|sock| sock.bound.is_bound_to(port, source.ifindex))
        .filter(|sock| sock.state() == SockState::Listen)
        .filter(|sock| match sock.bound_dev_if() {
            0 => true,
            ifindex => ifindex == source.ifindex,
        })
}

/// Takes a place in the backlog of the socket that listens on `port`.
pub(crate) fn admit(
    netns: &Netns,
    bearing: Bearing,
    port: u16,
    source: &Endpoint,
) -> Result<Embryo, Unwilling> {
    let guard = rcu::read_lock();
    let Some(sock) = find(netns, &guard, bearing, port, source) else {
        return Err(Unwilling::Refused(Why::NoSocket));
    };
    if sock.acceptq_is_full() || sock.embryos.load(Relaxed) >= MAX_EMBRYOS {
        return Err(Unwilling::Busy);
    }
    let listener = sock.try_hold().ok_or(Unwilling::Refused(Why::NoSocket))?;
    listener.embryos.add(1, Relaxed);
    Ok(Embryo(listener))
}

/// Makes the socket of a connection that is established, and puts it into the backlog.
pub(crate) fn establish(
    embryo: &Embryo,
    station: &Arc<Timed<Station>>,
    number: Number,
    ports: Ports,
) -> Result<SockRef<Conn>, Unwilling> {
    let listener = &embryo.0;
    if listener.state() != SockState::Listen {
        return Err(Unwilling::Refused(Why::NoSocket));
    }
    if listener.acceptq_is_full() {
        return Err(Unwilling::Busy);
    }
    let peer = Endpoint {
        ifindex: station.link.ifindex(),
        link: station.addr,
        port: ports.destination,
    };
    let bound = Bound::of_child(&listener.bound, ports.source, &peer);
    let line = Line {
        station: station.clone(),
        number,
    };
    let init = Conn::with(
        bound,
        listener.bearing,
        listener.user_timeout(),
        listener.nodelay(),
        Some(line),
    );
    let child = Child::new(listener, init, GFP_ATOMIC).map_err(|_| Unwilling::Lost)?;
    child.set_state(SockState::Established);
    let conn = child.hold();
    let mut backlog = listener.backlog.lock();
    // Under the lock, so that who closes the listener finds it or it finds that.
    if listener.state() != SockState::Listen {
        return Err(Unwilling::Refused(Why::NoSocket));
    }
    if backlog.0.push_back(child, GFP_ATOMIC).is_err() {
        return Err(Unwilling::Lost);
    }
    listener.acceptq_added();
    drop(backlog);
    listener.data_ready();
    Ok(conn)
}

/// listen(): from an unused port on, if the socket is not bound.
pub(super) fn listen(sock: &Sock<Conn>, backlog: u32) -> Result {
    bound::source_port(sock)?;
    let guard = sock.lock();
    match guard.state() {
        SockState::Close if !guard.is_gone() || guard.bound.peer().is_none() => {}
        SockState::Listen => {}
        _ => return Err(EINVAL),
    }
    guard.set_max_backlog(backlog);
    guard.set_state(SockState::Listen);
    Ok(())
}

/// accept(): the connection that has waited longest.
pub(super) fn accept(sock: &Sock<Conn>, nonblock: bool) -> Result<Child<Conn>> {
    let mut patience = sock.rcv_patience(nonblock);
    sock.wait(&mut patience, |sock| {
        if sock.state() != SockState::Listen {
            return Some(Err(EINVAL));
        }
        let mut backlog = sock.backlog.lock();
        let child = backlog.0.pop_front()?;
        sock.acceptq_removed();
        Some(Ok(child))
    })?
}

/// Ends what waits to be accepted, and takes no more. The socket lock is held.
pub(super) fn close(sock: &Sock<Conn>) {
    sock.set_state(SockState::Close);
    loop {
        let child = {
            let mut backlog = sock.backlog.lock();
            let child = backlog.0.pop_front();
            if child.is_some() {
                sock.acceptq_removed();
            }
            child
        };
        let Some(child) = child else {
            break;
        };
        with_line(&child, |peer, number, now, host| {
            peer.act(now, number, Act::Abort, host)
        });
    }
    sock.state_changed();
}
