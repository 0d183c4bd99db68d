// SPDX-License-Identifier: GPL-2.0

//! What the engine asks for, as the kernel has it: sockets, packets, randomness.

use crate::{
    addr::{
        Endpoint,
        LinkAddr, //
    },
    engine::{
        host::{
            Bearing,
            Chunk,
            Host,
            Outbound,
            Outcome,
            Packet,
            Ports,
            Progress,
            Transfer,
            Types,
            Unwilling, //
        },
        limits::FIRST_WINDOW,
        time::{
            Instant,
            Nanos, //
        },
    },
    error::Counter,
    message::{
        Bytes,
        Outgoing, //
    },
    output::{
        self,
        Class, //
    },
    portion::Portion,
    socket::{
        bound,
        conn::{
            events,
            listen::{
                self,
                Embryo, //
            },
            Conn, //
        },
        rdm::{
            self,
            Rdm,
            Room, //
        },
    },
    station::Station,
    wire::{
        control::Why,
        flow::Number,
        Addresses,
        Header,
        Kind,
        CHECKSUM_OFFSET, //
    },
};
use kernel::{
    net::{
        device,
        SkBuff,
        SkBuffList,
        Sock,
        SockRef, //
    },
    prelude::*,
    random::random_u32,
    sync::{
        rcu,
        Arc, //
    },
    time::hrtimer::Timed, //
};

/// The kernel's kinds of messages, bytes and room.
pub(crate) struct Transport;

impl Types for Transport {
    type Outbound = Outgoing;
    type Chunk = Bytes;
    type Room = Room;
    type Piece = Portion;
    type Embryo = Embryo;
    type Conn = SockRef<Conn>;
}

/// What surrounds the peer of a station while it is called, and what has come of that.
pub(crate) struct Surroundings<'a> {
    station: &'a Arc<Timed<Station>>,
    now: Instant,
    packets: SkBuffList,
    others: Option<Others>,
    /// The last message that the peer was found to have. It is freed when the lock was given up:
    /// that wakes who waits for room to send, and costs more while a reader sleeps who by then has
    /// got a message.
    delivered: Option<Outgoing>,
}

/// What follows for others; mostly nothing, which costs nothing.
pub(crate) struct Others {
    /// Who was granted what.
    pub(crate) granted: KVec<(LinkAddr, Transfer, u64)>,
    /// A socket with room for which others wait.
    pub(crate) released: Option<SockRef<Rdm>>,
}

impl Others {
    const fn new() -> Self {
        Self {
            granted: KVec::new(),
            released: None,
        }
    }
}

/// Room before a packet's payload for the headers of EMT and of most devices.
pub(crate) const HEADROOM: usize = Kind::Segment.header_len() + 64;

impl<'a> Surroundings<'a> {
    pub(crate) fn new(station: &'a Arc<Timed<Station>>, now: Instant) -> Self {
        Self {
            station,
            now,
            packets: SkBuffList::new(),
            others: None,
            delivered: None,
        }
    }

    /// Returns what follows for others.
    pub(crate) fn take_others(&mut self) -> Option<Others> {
        self.others.take()
    }

    /// Sends the packets, and frees what was delivered.
    #[inline]
    pub(crate) fn flush(&mut self) {
        if let Some(message) = self.delivered.take() {
            message.consume();
        }
        if !self.packets.is_empty() {
            self.emit_packets();
        }
    }

    #[inline(never)]
    fn emit_packets(&mut self) {
        let (station, packets) = (self.station, &mut self.packets);
        station.with_way(|way| {
            let emit = |skb| match output::emit(way, skb, station.addr) {
                Ok(()) => station.link.count(Counter::TxPackets, 1),
                Err(_) => station.link.count(Counter::TxErrors, 1),
            };
            match packets.len() {
                1 => packets.for_each(emit),
                _ => device::together(|| packets.for_each(emit)),
            }
        });
    }

    /// Queues a packet with `own` as its own header, before which the common one comes.
    #[inline]
    fn send<const N: usize>(&mut self, kind: Kind, ports: (u16, u16), own: [u8; N], skb: SkBuff) {
        self.send_as(kind.into(), kind, ports, own, skb);
    }

    /// As [`send`](Self::send), with the class of its flow.
    fn send_as<const N: usize>(
        &mut self,
        class: Class,
        kind: Kind,
        ports: (u16, u16),
        own: [u8; N],
        skb: SkBuff,
    ) {
        if self.try_send(class, kind, ports, own, skb).is_err() {
            self.station.link.count(Counter::TxErrors, 1);
        }
    }

    fn try_send<const N: usize>(
        &mut self,
        class: Class,
        kind: Kind,
        ports: (u16, u16),
        own: [u8; N],
        mut skb: SkBuff,
    ) -> Result {
        let payload = skb.len();
        let header = Header::new(kind, ports, payload).ok_or(EMSGSIZE)?;
        let addresses = Addresses {
            to: self.station.addr,
            from: self.station.link.address(),
        };
        skb.push_all([&header.emit(addresses.sum()), &own])?;
        skb.set_partial_checksum(CHECKSUM_OFFSET)?;
        skb.set_flow_hash(output::flow_hash(class, ports, self.station.addr));
        self.packets.push_back(skb);
        if ports.0 != 0 && payload > 0 {
            self.station.link.count(Counter::TxBytes, payload);
        }
        Ok(())
    }

    /// Queues a packet that is from no socket, with `rest` after its own header.
    fn send_bare<const N: usize>(&mut self, kind: Kind, own: [u8; N], rest: &[u8]) {
        let skb = SkBuff::alloc(HEADROOM, rest.len(), GFP_ATOMIC);
        match skb.map(|mut skb| skb.put(rest).map(|()| skb)) {
            Ok(Ok(skb)) => self.send(kind, (0, 0), own, skb),
            _ => self.station.link.count(Counter::TxErrors, 1),
        }
    }

    /// Queues a packet with bytes of `message`, which there are if memory was not short.
    fn send_part<const N: usize>(
        &mut self,
        kind: Kind,
        own: [u8; N],
        message: &Outgoing,
        part: Option<SkBuff>,
    ) {
        let Ports {
            source,
            destination,
        } = message.ports();
        let class = match message.len() > FIRST_WINDOW {
            true => Class::LONG,
            false => kind.into(),
        };
        match part {
            Some(skb) => self.send_as(class, kind, (source, destination), own, skb),
            None => self.station.link.count(Counter::TxErrors, 1),
        }
    }

    /// Returns the endpoint that a message comes from.
    fn source(&self, ports: Ports) -> Endpoint {
        Endpoint {
            ifindex: self.station.link.ifindex(),
            link: self.station.addr,
            port: ports.source,
        }
    }

    /// Finds the socket for a message of `len` bytes.
    fn find<'g>(
        &'g self,
        guard: &'g rcu::Guard,
        ports: Ports,
        len: usize,
    ) -> Result<&'g Sock<Rdm>, Unwilling> {
        let netns = self.station.link.netns();
        let source = self.source(ports);
        let sock = bound::find::<Rdm>(netns, guard, ports.destination, &source);
        match sock {
            None => Err(Unwilling::Refused(Why::NoSocket)),
            Some(_) if len > netns.max_message() as usize => Err(Unwilling::Refused(Why::TooLong)),
            Some(sock) => Ok(sock),
        }
    }
}

impl Host<Transport> for Surroundings<'_> {
    fn random(&mut self) -> u64 {
        u64::from(random_u32()) << 32 | u64::from(random_u32())
    }

    fn transmit(&mut self, packet: Packet<'_, Transport>) {
        match packet {
            Packet::Hello(hello) => self.send_bare(Kind::Hello, hello.emit(), &[]),
            Packet::Reset(reset) => self.send_bare(Kind::Reset, reset.emit(), &[]),
            Packet::Control(control, blocks) => {
                self.send_bare(Kind::Control, control.emit(), blocks.as_bytes());
            }
            Packet::Message(header, message) => {
                let part = message.whole();
                self.send_part(Kind::Message, header.emit(), message, part);
            }
            Packet::Segment(header, end, message) => {
                let part = message.part(header.offset, end);
                self.send_part(Kind::Segment, header.emit(), message, part);
            }
            Packet::Flow(header, ports, None) => {
                let ports = (ports.source, ports.destination);
                match SkBuff::alloc(HEADROOM, 0, GFP_ATOMIC) {
                    Ok(skb) => self.send(Kind::Flow, ports, header.emit(), skb),
                    Err(_) => self.station.link.count(Counter::TxErrors, 1),
                }
            }
            Packet::Flow(header, ports, Some((portion, start, end))) => {
                let ports = (ports.source, ports.destination);
                match portion.part(start, end) {
                    Some(skb) => self.send(Kind::Flow, ports, header.emit(), skb),
                    None => self.station.link.count(Counter::TxErrors, 1),
                }
            }
        }
    }

    fn deliver(&mut self, ports: Ports, chunk: Bytes) -> Result<(), Unwilling> {
        let guard = rcu::read_lock();
        let sock = self.find(&guard, ports, chunk.len())?;
        rdm::deliver(sock, self.now, self.source(ports), chunk)
    }

    fn reserve(&mut self, ports: Ports, total: u32, first: &Bytes) -> Result<Room, Unwilling> {
        let guard = rcu::read_lock();
        let sock = self.find(&guard, ports, total as usize)?;
        rdm::reserve(sock, self.now, self.source(ports), total, first)
    }

    fn release(&mut self, ports: Ports) {
        let guard = rcu::read_lock();
        let Ok(sock) = self.find(&guard, ports, 0) else {
            return;
        };
        let others_wait = rdm::release_room(sock, self.source(ports));
        if let Some(sock) = others_wait.then(|| sock.try_hold()).flatten() {
            let others = self.others.get_or_insert_with(Others::new);
            others.released = Some(sock);
        }
    }

    fn complete(&mut self, ports: Ports, room: Room, message: Bytes) -> Result<(), Unwilling> {
        rdm::complete(room, self.source(ports), message)
    }

    fn message_ended(&mut self, message: Outgoing, outcome: Outcome) {
        message.report(outcome);
        if outcome == Outcome::Delivered {
            if let Some(before) = self.delivered.replace(message) {
                before.consume();
            }
        }
    }

    fn progress(&mut self, transfer: Transfer, progress: Progress) -> Option<u64> {
        let (addr, mut own) = (self.station.addr, None);
        let mut note = note(&mut self.others);
        let mut grants = self.station.link.grants.lock();
        grants.progress(addr, transfer, progress, &mut |who, what, limit| {
            if *who == addr && what == transfer {
                own = Some(limit);
            } else {
                note(who, what, limit);
            }
        });
        own
    }

    fn stalled(&mut self, transfer: Transfer) {
        let others = &mut self.others;
        let mut grants = self.station.link.grants.lock();
        grants.stalled(&self.station.addr, transfer, &mut note(others));
    }

    fn settled(&mut self, transfer: Transfer) {
        let others = &mut self.others;
        let mut grants = self.station.link.grants.lock();
        grants.settled(&self.station.addr, transfer, &mut note(others));
    }

    fn admit(&mut self, ports: Ports, bearing: Bearing) -> Result<Embryo, Unwilling> {
        let source = Endpoint {
            ifindex: self.station.link.ifindex(),
            link: self.station.addr,
            port: ports.destination,
        };
        listen::admit(self.station.link.netns(), bearing, ports.source, &source)
    }

    fn first_window(&self, embryo: &Embryo) -> u32 {
        embryo.window()
    }

    fn establish(
        &mut self,
        embryo: &mut Embryo,
        number: Number,
        ports: Ports,
    ) -> Result<SockRef<Conn>, Unwilling> {
        listen::establish(embryo, self.station, number, ports)
    }

    fn timeout(&self, conn: &SockRef<Conn>) -> Nanos {
        conn.user_timeout()
    }

    fn coalesces(&self, conn: &SockRef<Conn>) -> bool {
        conn.coalesces()
    }

    fn keeps_alive(&self, conn: &SockRef<Conn>) -> bool {
        conn.keepalive()
    }

    fn window(&self, conn: &SockRef<Conn>) -> u32 {
        events::window(conn)
    }

    fn memory(&self, conn: &SockRef<Conn>) -> usize {
        events::room(conn) as usize
    }

    fn confined(&mut self, conn: &SockRef<Conn>) {
        events::confined(conn);
    }

    fn opened(&mut self, conn: &SockRef<Conn>) {
        events::opened(conn);
    }

    fn arrived(&mut self, conn: &SockRef<Conn>, chunk: Bytes) -> bool {
        events::arrived(conn, chunk)
    }

    fn ended(&mut self, conn: &SockRef<Conn>) {
        events::ended(conn);
    }

    fn stopped(&mut self, conn: &SockRef<Conn>, lost: bool) {
        events::stopped(conn, lost);
    }

    fn sent_all(&mut self, conn: &SockRef<Conn>) {
        events::sent_all(conn);
    }

    fn closed(&mut self, conn: SockRef<Conn>) {
        events::closed(conn);
    }

    fn broken(&mut self, conn: SockRef<Conn>, outcome: Outcome) {
        events::broken(conn, outcome);
    }
}

/// Notes who is granted what. If memory is short it is lost, and will be asked for.
fn note(others: &mut Option<Others>) -> impl FnMut(&LinkAddr, Transfer, u64) + use<'_> {
    |addr, transfer, limit| {
        let others = others.get_or_insert_with(Others::new);
        let granted = (*addr, transfer, limit);
        let _ = others.granted.push(granted, GFP_ATOMIC);
    }
}
