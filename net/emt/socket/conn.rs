// SPDX-License-Identifier: GPL-2.0

//! SOCK_STREAM and SOCK_SEQPACKET: connections.
//!
//! A socket that has a connection knows it by the station and the number; the peer of that station
//! has a reference to the socket until the connection is over. What the engine says comes in
//! [`events`], under the station's lock; what the user wants goes the other way through [`Line`].

pub(crate) mod events;
pub(crate) mod listen;
mod open;
mod recv;
mod send;

use super::{
    bound::{
        self,
        Bound,
        Ported,
        Ports, //
    },
    ioctl,
    option, //
};
use crate::{
    addr::{
        Endpoint,
        LinkAddr,
        Name,
        SockaddrEmt,
        AF_EMT, //
    },
    drive,
    engine::{
        connections::Act,
        host::Bearing,
        limits::USER_TIMEOUT,
        peer::Peer,
        time::{
            Instant,
            Nanos, //
        },
    },
    netns::Netns,
    station::Station,
    transport::{
        Surroundings,
        Transport, //
    },
    wire::flow::Number, //
};
use kernel::{
    net::{
        child::Child,
        events::Events,
        msghdr::{
            RecvMsg,
            SendMsg, //
        },
        option::{
            NewOption,
            OptionBuffer, //
        },
        sock::Shutdown,
        sock_state::SockState,
        socket::{
            Operations,
            Proto, //
        },
        Sock,
        SockAddr, //
    },
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        new_mutex,
        new_spinlock_bh,
        Arc,
        Mutex,
        SpinLockBh, //
    },
    time::hrtimer::Timed, //
};
use listen::Backlog;
use recv::Reading;

/// The registered socket type.
pub(crate) static PROTO: Proto<Conn> = Proto::new();

/// A connection as its socket knows it.
#[derive(Clone)]
struct Line {
    station: Arc<Timed<Station>>,
    number: Number,
}

/// The state of a socket that has a connection, may have one, or takes them.
#[pin_data]
pub(crate) struct Conn {
    bound: Bound,
    bearing: Bearing,
    /// Nanoseconds.
    user_timeout: Atomic<u64>,
    /// Whether small writes go out at once.
    nodelay: Atomic<bool>,
    /// Set and taken away with the connection, under the lock of the station, as it keeps that, and
    /// so the device. A leaf lock.
    #[pin]
    line: SpinLockBh<Option<Line>>,
    /// Whether any of the following has happened, or the user has shut down a direction: mostly
    /// not, which is all that sending and receiving look at then.
    eventful: Atomic<bool>,
    /// Whether a connect() has not said yet that there is a connection.
    connecting: Atomic<bool>,
    /// Whether the peer sends no more, takes no more, and has all.
    ended: Atomic<bool>,
    stopped: Atomic<bool>,
    sent_all: Atomic<bool>,
    /// Whether the connection is over, or has failed.
    gone: Atomic<bool>,
    /// Bytes that were received and not read.
    unread: Atomic<i64>,
    /// Records that were received whole and not read to their end.
    records: Atomic<i64>,
    /// Bytes that were read since the peer was last told of the room that makes.
    untold: Atomic<i64>,
    /// Whether the peer is owed word of room since who reads last told it: bytes had to be turned
    /// away, or there was too little to tell of.
    owed: Atomic<bool>,
    /// Whether the peer has had more to send than there was room for.
    confined: Atomic<bool>,
    /// What was taken from the receive queue, of which some may be read; and who receives.
    #[pin]
    reading: Mutex<Reading>,
    /// Who sends: what two threads send is not mixed.
    #[pin]
    sending: Mutex<()>,
    /// The connections that wait to be accepted. A leaf lock.
    #[pin]
    backlog: SpinLockBh<Backlog>,
    /// How many places are taken by connections that are not established yet.
    embryos: Atomic<i32>,
}

impl Conn {
    pub(super) fn new(netns: Arc<Netns>, bearing: Bearing) -> impl PinInit<Self> {
        Self::with(Bound::new(netns), bearing, USER_TIMEOUT, false, None)
    }

    fn with(
        bound: Bound,
        bearing: Bearing,
        user_timeout: Nanos,
        nodelay: bool,
        line: Option<Line>,
    ) -> impl PinInit<Self> {
        pin_init!(Self {
            bound,
            bearing,
            user_timeout: Atomic::new(user_timeout),
            nodelay: Atomic::new(nodelay),
            line <- new_spinlock_bh!(line, "emt_line"),
            eventful: Atomic::new(false),
            connecting: Atomic::new(false),
            ended: Atomic::new(false),
            stopped: Atomic::new(false),
            sent_all: Atomic::new(false),
            gone: Atomic::new(false),
            unread: Atomic::new(0),
            records: Atomic::new(0),
            untold: Atomic::new(0),
            owed: Atomic::new(false),
            confined: Atomic::new(false),
            reading <- new_mutex!(Reading::new(), "emt_reading"),
            sending <- new_mutex!((), "emt_sending"),
            backlog <- new_spinlock_bh!(Backlog::new(), "emt_backlog"),
            embryos: Atomic::new(0),
        })
    }

    /// Returns how long a peer may be silent before the connection has failed.
    pub(crate) fn user_timeout(&self) -> Nanos {
        self.user_timeout.load(Relaxed)
    }

    pub(super) fn nodelay(&self) -> bool {
        self.nodelay.load(Relaxed)
    }

    /// Returns whether small writes wait for others.
    pub(crate) fn coalesces(&self) -> bool {
        self.bearing == Bearing::Stream && !self.nodelay()
    }

    /// Takes note of an event.
    fn happens(&self, event: &Atomic<bool>) {
        event.store(true, Release);
        self.eventful.store(true, Release);
    }

    fn is_gone(&self) -> bool {
        self.gone.load(Acquire)
    }

    /// Returns how many bytes were received and not read.
    fn unread(&self) -> usize {
        usize::try_from(self.unread.load(Acquire)).unwrap_or(0)
    }
}

impl Line {
    /// Returns the line of a socket, if it has ever had a connection.
    fn of(sock: &Sock<Conn>) -> Option<Self> {
        sock.line.lock().clone()
    }

    /// Calls the peer at the other end, if it is still known.
    fn drive<R>(
        &self,
        call: impl FnOnce(&mut Peer<Transport>, Number, Instant, &mut Surroundings<'_>) -> R,
    ) -> Option<R> {
        drive::drive(&self.station, |peer, now, host| {
            call(peer, self.number, now, host)
        })
    }
}

/// Calls the peer that a socket has a connection with, if there is one.
fn with_line<R>(
    sock: &Sock<Conn>,
    call: impl FnOnce(&mut Peer<Transport>, Number, Instant, &mut Surroundings<'_>) -> R,
) -> Option<R> {
    Line::of(sock)?.drive(call)
}

/// Has small writes go out at once, or not.
pub(super) fn set_nodelay(sock: &Sock<Conn>, nodelay: bool) {
    sock.nodelay.store(nodelay, Relaxed);
    with_line(sock, |peer, number, now, host| {
        let act = Act::Coalesce(sock.bearing == Bearing::Stream && !nodelay);
        peer.act(now, number, act, host)
    });
}

/// Changes how long the peer may be silent.
pub(super) fn set_user_timeout(sock: &Sock<Conn>, timeout: Nanos) {
    sock.user_timeout.store(timeout, Relaxed);
    with_line(sock, |peer, number, now, host| {
        peer.act(now, number, Act::Timeout(timeout), host)
    });
}

/// Returns how many bytes the peer does not have yet.
fn unacknowledged(sock: &Sock<Conn>) -> u64 {
    with_line(sock, |peer, number, _, _| peer.unacknowledged(number)).unwrap_or(0)
}

impl Ported for Conn {
    fn bound(&self) -> &Bound {
        &self.bound
    }

    fn ports(&self) -> &Ports<Self> {
        self.bound.netns().conns(self.bearing)
    }

    fn check_destination(_sock: &Sock<Self>, link: LinkAddr) -> Result {
        if link == LinkAddr::BROADCAST {
            return Err(EOPNOTSUPP);
        }
        Ok(())
    }

    fn received(sock: &Sock<Self>) -> Result<usize> {
        match sock.state() {
            SockState::Listen => Err(EINVAL),
            _ => Ok(sock.unread()),
        }
    }

    fn unsent(sock: &Sock<Self>) -> Result<usize> {
        match sock.state() {
            SockState::Listen => Err(EINVAL),
            _ => Ok(usize::try_from(unacknowledged(sock)).unwrap_or(usize::MAX)),
        }
    }
}

/// Returns the socket's own name: of a connection, with the address that it has at the interface.
fn own_name(sock: &Sock<Conn>) -> Name {
    let peer = sock.bound.peer().map_or(0, |peer| peer.ifindex);
    let ifindex = match sock.bound.ifindex() {
        0 => peer,
        ifindex => ifindex,
    };
    let link = sock.bound.netns().link(ifindex).map(|link| link.address());
    Name {
        port: sock.bound.port(),
        ifindex,
        link,
    }
}

/// Returns the peer's name.
fn peer_name(sock: &Sock<Conn>) -> Result<Endpoint> {
    match sock.state() {
        SockState::Established | SockState::Closing => sock.bound.peer().ok_or(ENOTCONN),
        SockState::Close | SockState::Listen | SockState::Opening => Err(ENOTCONN),
    }
}

#[vtable]
impl Operations for Conn {
    const NAME: &'static CStr = c"EMT-CONN";
    const FAMILY: u16 = AF_EMT;
    const PEEK_OFF: bool = true;
    type Address = SockaddrEmt;

    fn proto() -> &'static Proto<Self> {
        &PROTO
    }

    fn release(sock: &Sock<Self>) {
        open::release(sock);
    }

    fn bind(sock: &Sock<Self>, addr: &SockAddr<'_>) -> Result {
        bound::bind(sock, addr)
    }

    fn connect(sock: &Sock<Self>, addr: &SockAddr<'_>, flags: c_int) -> Result {
        open::connect(sock, addr, flags)
    }

    fn getname(sock: &Sock<Self>, peer: bool) -> Result<SockaddrEmt> {
        let name = match peer {
            true => Name::from(peer_name(sock)?),
            false => own_name(sock),
        };
        Ok(name.into())
    }

    fn shutdown(sock: &Sock<Self>, how: Shutdown) -> Result {
        open::shutdown(sock, how)
    }

    fn ioctl(sock: &Sock<Self>, cmd: u32, arg: UserPtr) -> Result<c_int> {
        ioctl::ioctl(sock, cmd, arg)
    }

    fn sendmsg(sock: &Sock<Self>, msg: &mut SendMsg<'_>) -> Result<usize> {
        send::sendmsg(sock, msg)
    }

    fn recvmsg(sock: &Sock<Self>, msg: &mut RecvMsg<'_>) -> Result<usize> {
        recv::recvmsg(sock, msg)
    }

    fn listen(sock: &Sock<Self>, backlog: u32) -> Result {
        listen::listen(sock, backlog)
    }

    fn accept(sock: &Sock<Self>, nonblock: bool) -> Result<Child<Self>> {
        listen::accept(sock, nonblock)
    }

    fn splice_eof(sock: &Sock<Self>) {
        with_line(sock, |peer, number, now, host| {
            peer.act(now, number, Act::Push, host)
        });
    }

    fn poll(sock: &Sock<Self>) -> Events {
        let mut events = Events::NONE;
        let has_errors = sock.has_errors_queued();
        if has_errors || sock.pending_error() {
            events |= Events::ERR;
        }
        if has_errors && sock.selects_error_queue() {
            events |= Events::PRI;
        }
        match sock.state() {
            SockState::Listen => {
                if !sock.backlog.lock().is_empty() {
                    events |= Events::IN;
                }
                return events;
            }
            SockState::Opening => return events,
            SockState::Close | SockState::Established | SockState::Closing => {}
        }
        let receives_no_more =
            sock.is_receive_shutdown() || sock.ended.load(Acquire) || sock.is_gone();
        let sends_no_more = sock.is_send_shutdown() || sock.stopped.load(Acquire) || sock.is_gone();
        if receives_no_more {
            events |= Events::IN | Events::RDHUP;
        }
        if receives_no_more && sends_no_more || sock.state() == SockState::Close {
            events |= Events::HUP;
        }
        if recv::is_readable(sock) {
            events |= Events::IN;
        }
        if sends_no_more || send::has_room(sock) {
            events |= Events::OUT;
        }
        events
    }

    fn setsockopt(sock: &Sock<Self>, level: c_int, name: c_int, value: &NewOption<'_>) -> Result {
        option::set_of_connection(sock, level, name, value)
    }

    fn getsockopt(
        sock: &Sock<Self>,
        level: c_int,
        name: c_int,
        value: &mut OptionBuffer<'_>,
    ) -> Result {
        option::get_of_connection(sock, level, name, value)
    }
}
