// SPDX-License-Identifier: GPL-2.0

//! SOCK_RDM: reliable messages without connections.

use super::{
    bound::{
        self,
        Bound,
        Connectionless,
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
    device::Link,
    drive,
    engine::{
        host::{
            Chunk,
            Unwilling, //
        },
        limits::{
            MIN_SEGMENT,
            USER_TIMEOUT, //
        },
        room::{
            Buffer,
            Waiters, //
        },
        time::{
            Instant,
            Nanos, //
        },
    },
    message::{
        Bytes,
        Cut,
        Outgoing, //
    },
    netns::Netns,
    station,
    transport::HEADROOM,
    wire::{
        control::Why,
        Kind,
        HEADER_LEN, //
    },
};
use core::num::NonZeroU32;
use kernel::{
    net::{
        msghdr::{
            RecvMsg,
            SendMsg,
            MSG_OOB,
            MSG_PEEK, //
        },
        option::{
            NewOption,
            OptionBuffer, //
        },
        sock::Shutdown,
        sock_ref::RcvRoom,
        socket::{
            Operations,
            Proto, //
        },
        DropReason,
        SkBuff,
        SkBuffList,
        Sock,
        SockAddr, //
    },
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        barrier,
        new_spinlock_bh,
        Arc,
        SpinLockBh, //
    },
    uapi, //
};

/// The registered socket type.
pub(crate) static PROTO: Proto<Rdm> = Proto::new();

/// A station that waits for room in a socket's receive buffer.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Waiter {
    ifindex: i32,
    addr: LinkAddr,
}

impl From<Endpoint> for Waiter {
    fn from(endpoint: Endpoint) -> Self {
        Self {
            ifindex: endpoint.ifindex,
            addr: endpoint.link,
        }
    }
}

/// The state of a socket for reliable messages.
#[pin_data]
pub(crate) struct Rdm {
    bound: Bound,
    /// Nanoseconds.
    user_timeout: Atomic<u64>,
    /// Whether the user wants errors, and notices of delivery, on the error queue.
    wants_errors: Atomic<bool>,
    wants_notices: Atomic<bool>,
    /// How many messages are under way for which room is kept.
    rooms: Atomic<i32>,
    /// Whether somebody waits for room.
    waiting: Atomic<bool>,
    #[pin]
    waiters: SpinLockBh<Waiters<Waiter>>,
}

impl Rdm {
    pub(super) fn new(netns: Arc<Netns>) -> impl PinInit<Self> {
        pin_init!(Self {
            bound: Bound::new(netns),
            user_timeout: Atomic::new(USER_TIMEOUT),
            wants_errors: Atomic::new(false),
            wants_notices: Atomic::new(false),
            rooms: Atomic::new(0),
            waiting: Atomic::new(false),
            waiters <- new_spinlock_bh!(Waiters::new(), "emt_waiters"),
        })
    }

    /// Returns how long a peer may be silent before a message to it has failed.
    pub(crate) fn user_timeout(&self) -> Nanos {
        self.user_timeout.load(Relaxed)
    }

    pub(super) fn set_user_timeout(&self, timeout: Nanos) {
        self.user_timeout.store(timeout, Relaxed);
    }

    pub(crate) fn wants_errors(&self) -> bool {
        self.wants_errors.load(Relaxed)
    }

    pub(super) fn set_wants_errors(&self, wants: bool) {
        self.wants_errors.store(wants, Relaxed);
    }

    pub(crate) fn wants_notices(&self) -> bool {
        self.wants_notices.load(Relaxed)
    }

    pub(super) fn set_wants_notices(&self, wants: bool) {
        self.wants_notices.store(wants, Relaxed);
    }
}

/// Room in the receive buffer of a socket for a message that is under way.
pub(crate) struct Room {
    /// `None` once it is taken up.
    room: Option<RcvRoom<Rdm>>,
}

impl Room {
    fn new(room: RcvRoom<Rdm>) -> Self {
        room.sock().rooms.add(1, Relaxed);
        Self { room: Some(room) }
    }

    fn take_up(&mut self) -> Option<RcvRoom<Rdm>> {
        let room = self.room.take()?;
        room.sock().rooms.add(-1, Relaxed);
        Some(room)
    }

    /// Returns whether it is in the buffer of `sock`.
    pub(crate) fn is_of(&self, sock: &Sock<Rdm>) -> bool {
        let room = self.room.as_ref();
        room.is_some_and(|room| core::ptr::eq(&**room.sock(), sock))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        drop(self.take_up());
    }
}

/// Returns how much room there is in a socket's receive buffer.
fn buffer(sock: &Sock<Rdm>) -> Buffer {
    let capacity = u32::try_from(sock.rcvbuf()).unwrap_or(0);
    let used = u32::try_from(sock.rmem_alloc()).unwrap_or(0);
    Buffer {
        free: capacity.saturating_sub(used),
        capacity,
    }
}

/// Lets a message in, if `enter` finds room for it; remembers who has sent it if not.
fn admit<R>(
    sock: &Sock<Rdm>,
    now: Instant,
    source: Endpoint,
    bytes: usize,
    mut enter: impl FnMut() -> Option<R>,
) -> Result<R, Unwilling> {
    if !sock.waiting.load(Relaxed) {
        if let Some(entered) = enter() {
            return Ok(entered);
        }
    }
    let waiter = Waiter::from(source);
    let mut waiters = sock.waiters.lock();
    sock.waiting.store(true, Relaxed);
    // Either the reader sees that somebody waits, or this sees the room that it has made.
    barrier::smp_mb(barrier::Full);
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    let entered = match waiters.may_enter(now, &waiter, bytes, buffer(sock)) {
        true => enter(),
        false => None,
    };
    match entered {
        Some(entered) => {
            waiters.entered(&waiter, bytes);
            sock.waiting.store(!waiters.is_empty(), Relaxed);
            Ok(entered)
        }
        None => {
            waiters.turned_away(now, waiter, bytes);
            Err(Unwilling::Busy)
        }
    }
}

/// Keeps no more room for a station; returns whether others wait for it.
pub(crate) fn release_room(sock: &Sock<Rdm>, source: Endpoint) -> bool {
    if !sock.waiting.load(Relaxed) {
        return false;
    }
    let mut waiters = sock.waiters.lock();
    let others_wait = waiters.released(&Waiter::from(source));
    sock.waiting.store(!waiters.is_empty(), Relaxed);
    others_wait
}

/// Tells those who wait that there is room, if there is. With no station's lock held.
pub(crate) fn wake_waiters(sock: &Sock<Rdm>) {
    barrier::smp_mb(barrier::Full);
    if !sock.waiting.load(Relaxed) {
        return;
    }
    let netns = sock.bound.netns();
    let mut woken = KVec::new();
    {
        let mut waiters = sock.waiters.lock();
        waiters.freed(netns.now(), buffer(sock), &mut |waiter, bytes| {
            // If memory is short it tries again by itself. As for the bytes: memory is counted
            // here, of which a message takes more than it has bytes.
            let _ = woken.push((waiter, bytes / 2), GFP_ATOMIC);
        });
        sock.waiting.store(!waiters.is_empty(), Relaxed);
    }
    let port = sock.bound.port();
    for (Waiter { ifindex, addr }, bytes) in woken {
        let Some(link) = netns.link(ifindex) else {
            continue;
        };
        if let Some(station) = station::known(&link, addr) {
            drive::drive(&station, |peer, _, _| peer.wake(port, bytes));
        }
    }
}

/// Puts a message that came in one piece into a socket's receive queue.
pub(crate) fn deliver(
    sock: &Sock<Rdm>,
    now: Instant,
    source: Endpoint,
    chunk: Bytes,
) -> Result<(), Unwilling> {
    let (size, is_packet) = (chunk.size(), chunk.step() == chunk.len());
    let mut skb = chunk.into_packet().ok_or(Unwilling::Lost)?;
    skb.set_cb(SockaddrEmt::from(Name::from(source)));
    let mut skb = Some(skb);
    // Asked first, since the socket counts what it drops, and this is not dropped. A packet may
    // exceed the buffer, as with all sockets; several only if it is empty, or none ever could come.
    let has_room = || {
        let Buffer { free, capacity } = buffer(sock);
        free > 0 && (is_packet || size <= free as usize || free == capacity)
    };
    admit(sock, now, source, size, || {
        // Kept where there is none yet: it may be asked twice.
        if !has_room() {
            return None;
        }
        let queued = sock.queue_rcv(skb.take()?);
        Some(queued.map_err(|(_, reason)| unwilling(reason)))
    })?
}

/// Returns what it means that a socket has not taken a packet.
fn unwilling(reason: DropReason) -> Unwilling {
    match reason {
        DropReason::SOCKET_RCVBUFF | DropReason::PROTO_MEM | DropReason::NOMEM => Unwilling::Lost,
        // The user's own filter has turned it away.
        _ => Unwilling::Refused(Why::NoSocket),
    }
}

/// What a packet takes of memory, more than its bytes, where that cannot be seen yet.
const OVERHEAD: usize = 1024;

/// Keeps room for a message that takes several packets.
pub(crate) fn reserve(
    sock: &Sock<Rdm>,
    now: Instant,
    source: Endpoint,
    total: u32,
    first: &Bytes,
) -> Result<Room, Unwilling> {
    // What the packets will take of memory if each comes alone and is like the first. The last may
    // be short.
    let step = first.step().max(MIN_SEGMENT as usize);
    let each = match first.step() == first.len() {
        true => first.size(),
        false => step + OVERHEAD,
    };
    let packets = (total as usize).div_ceil(step) + 1;
    let bytes = packets.saturating_mul(each);
    admit(sock, now, source, bytes, || sock.reserve_rcv(bytes)).map(Room::new)
}

/// Puts a message into the receive queue for which room was kept.
pub(crate) fn complete(mut room: Room, source: Endpoint, message: Bytes) -> Result<(), Unwilling> {
    let room = room.take_up().ok_or(Unwilling::Lost)?;
    if room.sock().is_dead() {
        return Err(Unwilling::Refused(Why::NoSocket));
    }
    let mut skb: SkBuff = message.gather().ok_or(Unwilling::Lost)?;
    skb.set_cb(SockaddrEmt::from(Name::from(source)));
    room.queue_rcv(skb).map_err(|(_, reason)| unwilling(reason))
}

/// Returns how many bytes go into each packet of a message of `len`.
///
/// [`EMSGSIZE`] if it is longer than the administrator allows, or than one packet where the device
/// takes only very short ones.
fn segment_len(link: &Link, len: usize) -> Result<NonZeroU32> {
    let packet = link.max_payload() + HEADER_LEN;
    let room = |kind: Kind| packet.saturating_sub(kind.header_len());
    if len == 0 || len > link.netns().max_message() as usize {
        return Err(EMSGSIZE);
    }
    let step = match room(Kind::Segment) {
        _ if len <= room(Kind::Message) => len,
        room if room >= MIN_SEGMENT as usize => room,
        _ => return Err(EMSGSIZE),
    };
    NonZeroU32::new(step as u32).ok_or(EMSGSIZE)
}

/// Sends a message; returns its length.
///
/// Sleeps while the socket's send buffer is full. The way is looked for afterwards, so that a
/// sender that waits keeps no device from going away.
fn send(sock: &Sock<Rdm>, to: &Endpoint, msg: &mut SendMsg<'_>) -> Result<usize> {
    let netns = sock.bound.netns();
    let len = msg.len();
    sock.wait_for_send(msg)?;
    let mut station = station::resolve(netns, to.ifindex, to.link)?;
    let step = segment_len(&station.link, len)?;
    let cookie = msg
        .control::<u32>(uapi::SOL_EMT as c_int, uapi::EMT_COOKIE as c_int)?
        .unwrap_or(0);
    // Less than the longest message.
    let (first, rest, cut) = if len <= step.get() as usize {
        let packet = sock.send_whole::<HEADROOM>(msg)?;
        (packet, SkBuffList::new(), Cut::none(len as u32))
    } else {
        let cut = Cut::new(len as u32, step, station.link.device().has_gso());
        let mut pieces = sock.send_skbs::<HEADROOM>(msg, cut.piece_len())?;
        (pieces.pop_front().ok_or(EINVAL)?, pieces, cut)
    };
    let to = Endpoint {
        ifindex: station.link.ifindex(),
        ..*to
    };
    let mut message = Outgoing::new(sock, &to, first, rest, &cut, cookie)?;
    loop {
        let mut kept = Some(message);
        let taken = drive::drive(&station, |peer, now, host| {
            kept.take().map(|message| peer.submit(now, message, host))
        });
        match (taken, kept) {
            (Some(Some(Ok(()))), _) => return Ok(len),
            // It was just being forgotten.
            (None, Some(back)) => {
                message = back;
                station = station::resolve(netns, to.ifindex, to.link)?;
            }
            _ => return Err(ENOBUFS),
        }
    }
}

impl Connectionless for Rdm {
    fn all(netns: &Netns) -> &Ports<Self> {
        &netns.rdms
    }
}

impl Ported for Rdm {
    fn bound(&self) -> &Bound {
        &self.bound
    }

    fn ports(&self) -> &Ports<Self> {
        &self.bound.netns().rdms
    }

    fn check_destination(_sock: &Sock<Self>, link: LinkAddr) -> Result {
        // Nobody could tell who of all has it.
        if link == LinkAddr::BROADCAST {
            return Err(EOPNOTSUPP);
        }
        Ok(())
    }
}

#[vtable]
impl Operations for Rdm {
    const NAME: &'static CStr = c"EMT-RDM";
    const FAMILY: u16 = AF_EMT;
    type Address = SockaddrEmt;

    fn proto() -> &'static Proto<Self> {
        &PROTO
    }

    fn release(sock: &Sock<Self>) {
        bound::release(sock);
        // What is on its way to the socket keeps it alive, and its namespace. What it has sent is
        // delivered yet.
        if sock.rooms.load(Relaxed) == 0 {
            return;
        }
        let netns = sock.bound.netns();
        let _ = netns.for_each_link(|link| {
            station::refuse(link, sock);
            Ok(())
        });
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
        bound::source_port(sock)?;
        send(sock, &to, msg)
    }

    fn recvmsg(sock: &Sock<Self>, msg: &mut RecvMsg<'_>) -> Result<usize> {
        let result = bound::recvmsg(sock, msg);
        if msg.flags() & MSG_PEEK == 0 {
            wake_waiters(sock);
        }
        result
    }

    fn setsockopt(sock: &Sock<Self>, level: c_int, name: c_int, value: &NewOption<'_>) -> Result {
        option::set(sock, level, name, value)
    }

    fn getsockopt(
        sock: &Sock<Self>,
        level: c_int,
        name: c_int,
        value: &mut OptionBuffer<'_>,
    ) -> Result {
        option::get(sock, level, name, value)
    }
}
