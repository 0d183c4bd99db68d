// SPDX-License-Identifier: GPL-2.0

//! A network in virtual time: hosts with sockets, around one switch.
//!
//! Everything follows from the seed. Packets travel as bytes. What must hold is checked as it
//! happens ([`Ledger`]), and what does not hold panics with the virtual time.
//!
//! ```text
//!   Peer::transmit -> card (rate) -> wire -> faults -> port of the switch (rate, buffer) -> wire -> Peer::handle_*
//! ```

use crate::{
    engine::{
        grants::Grants,
        host::{
            self,
            Bearing,
            Outcome,
            Packet,
            Ports,
            Progress,
            Transfer,
            Unwilling, //
        },
        id::Id,
        limits::MAX_MESSAGE,
        peer::{
            Peer,
            Verdict, //
        },
        room::{
            Buffer,
            Waiters, //
        },
        time::{
            Instant,
            Nanos,
            MICROSECOND,
            MILLISECOND,
            SECOND, //
        },
    },
    frame::{
        self,
        Parsed, //
    },
    program::{
        Conn,
        Embryo,
        End,
        Piece,
        Programs, //
    },
    wire::{
        association::{
            Epoch,
            Hello,
            Reset, //
        },
        control::{
            Block,
            Blocks,
            Why, //
        },
        flow::{
            Flags,
            Number, //
        },
        reliable::{
            Acks,
            Control,
            Message,
            Reliable,
            Segment,
            TransferId,
            SEGMENT_LEN, //
        },
        ETHERNET_LEN, //
    },
};
use kernel::prelude::*;
use std::{
    cell::Cell,
    cmp::Reverse,
    collections::{
        BTreeMap,
        BinaryHeap,
        VecDeque, //
    },
    mem,
    num::NonZeroU32,
    rc::Rc,
};

/// Numbers that look random (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        scramble(self.0)
    }

    /// Returns a number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// Returns whether what happens so many times in a million happens now.
    fn happens(&mut self, per_million: u32) -> bool {
        per_million > 0 && self.below(1_000_000) < u64::from(per_million)
    }
}

fn scramble(value: u64) -> u64 {
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

/// Writes the bytes that message `number` has from `offset` on.
pub(crate) fn content(number: u32, offset: u32, bytes: &mut [u8]) {
    let mut at = u64::from(offset);
    let mut rest = bytes;
    while !rest.is_empty() {
        let word = scramble(u64::from(number) << 32 ^ at / 8).to_le_bytes();
        let word = &word[(at % 8) as usize..];
        let len = word.len().min(rest.len());
        let (now, later) = rest.split_at_mut(len);
        now.copy_from_slice(&word[..len]);
        rest = later;
        at += len as u64;
    }
}

/// A message that is sent.
pub(crate) struct Outbound {
    number: u32,
    ports: Ports,
    len: u32,
    segment_len: NonZeroU32,
    /// How many packets go out in one piece at most.
    together: u32,
    timeout: Nanos,
    held: u32,
}

impl host::Outbound for Outbound {
    fn ports(&self) -> Ports {
        self.ports
    }

    fn len(&self) -> u32 {
        self.len
    }

    fn segment_len(&self) -> NonZeroU32 {
        self.segment_len
    }

    fn piece_end(&self, offset: u32) -> u32 {
        let len = self.segment_len.get() * self.together;
        let end = (offset / len + 1).saturating_mul(len);
        end.min(self.len)
    }

    fn timeout(&self) -> Nanos {
        self.timeout
    }

    fn is_awaited(&self) -> bool {
        // Of each second one.
        self.number % 2 == 0
    }

    fn held(&mut self, held: u32) {
        assert!(held <= self.len, "{held} of {} are held", self.len);
        self.held = self.held.max(held);
    }
}

/// Bytes that have arrived: not themselves, but which they are. They were compared on arrival.
pub(crate) struct Chunk {
    /// `None` for bytes of no message: from a hostile peer.
    number: Option<u32>,
    start: u32,
    end: u32,
    step: u32,
    /// Where records end.
    records: Vec<u32>,
}

impl Chunk {
    pub(crate) const fn anonymous(len: u32, step: u32) -> Self {
        Self {
            records: Vec::new(),
            number: None,
            start: 0,
            end: len,
            step,
        }
    }
}

impl host::Chunk for Chunk {
    fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    fn size(&self) -> usize {
        host::Chunk::len(self) + OVERHEAD as usize
    }

    fn append(&mut self, mut after: Self) {
        self.records.append(&mut after.records);
        if self.number.is_none() {
            self.end += after.end - after.start;
            return;
        }
        assert_eq!(self.number, after.number, "two messages are mixed");
        assert_eq!(
            self.end, after.start,
            "bytes are joined that are not neighbours"
        );
        self.end = after.end;
    }

    fn step(&self) -> usize {
        self.step as usize
    }

    fn split_off(&mut self, at: usize) -> Option<Self> {
        assert!(at <= host::Chunk::len(self), "split past the end");
        // In the kernel this takes memory.
        KVec::<u8>::with_capacity(1, GFP_ATOMIC).ok()?;
        let middle = self.start + at as u32;
        let end = std::mem::replace(&mut self.end, middle);
        let first = self.records.partition_point(|record| *record <= middle);
        Some(Self {
            number: self.number,
            start: middle,
            end,
            step: self.step,
            records: self.records.split_off(first),
        })
    }
}

/// Room kept in a receive buffer.
pub(crate) struct Room {
    used: Rc<Cell<u64>>,
    bytes: u64,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.used.set(self.used.get() - self.bytes);
    }
}

/// The types of this network.
pub(crate) struct Types;

impl host::Types for Types {
    type Outbound = Outbound;
    type Chunk = Chunk;
    type Room = Room;
    type Piece = Piece;
    type Embryo = Embryo;
    type Conn = Conn;
}

/// What is known of a message.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) ports: Ports,
    pub(crate) len: u32,
    flow: Option<usize>,
    /// [`Instant::NEVER`] before.
    pub(crate) submitted: Instant,
    pub(crate) delivered: Option<Instant>,
    pub(crate) outcome: Option<Outcome>,
    /// The sender has lost it: it restarted, or memory was short when it was submitted.
    pub(crate) lost: bool,
}

/// All messages there ever were: nothing is acknowledged that was not delivered, nothing is delivered
/// twice, and what was refused is never delivered.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) entries: Vec<Entry>,
    /// Messages whose end the flows have not seen.
    finished: Vec<u32>,
    /// Whether a receiver may say what is not so.
    lies: bool,
}

impl Ledger {
    fn deliver(&mut self, now: Instant, host: usize, ports: Ports, chunk: &Chunk) {
        let Some(number) = chunk.number else {
            return;
        };
        let entry = &mut self.entries[number as usize];
        assert_eq!(
            (chunk.start, chunk.end),
            (0, entry.len),
            "{now:?}: not whole: {entry:?}"
        );
        assert_eq!(
            (host, ports),
            (entry.to, entry.ports),
            "{now:?}: to another: {entry:?}"
        );
        assert_eq!(entry.delivered, None, "{now:?}: delivered again: {entry:?}");
        if let Some(outcome) = entry.outcome {
            assert!(
                matches!(outcome, Outcome::TimedOut | Outcome::Reset | Outcome::Gone),
                "{now:?}: delivered after its end: {entry:?}"
            );
        }
        entry.delivered = Some(now);
    }

    fn end(&mut self, now: Instant, number: u32, outcome: Outcome) {
        let entry = &mut self.entries[number as usize];
        assert!(
            !entry.lost && entry.outcome.is_none(),
            "{now:?}: ended again: {entry:?}"
        );
        entry.outcome = Some(outcome);
        match outcome {
            _ if self.lies => {}
            Outcome::Delivered => assert!(
                entry.delivered.is_some(),
                "{now:?}: acknowledged and not delivered: {entry:?}"
            ),
            Outcome::Refused(_) | Outcome::Unreachable | Outcome::NoMemory => assert!(
                entry.delivered.is_none(),
                "{now:?}: delivered, and then {outcome:?}: {entry:?}"
            ),
            Outcome::TimedOut | Outcome::Reset | Outcome::Gone => {}
        }
        self.finished.push(number);
    }
}

/// How a program reads from its socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reader {
    /// So many bytes in a second.
    Rate(u64),
    Stopped,
}

/// What a message costs of a receive buffer besides its bytes.
pub(crate) const OVERHEAD: u64 = 256;

struct Socket {
    waiters: Waiters<usize>,
    capacity: u64,
    used: Rc<Cell<u64>>,
    queue: VecDeque<u64>,
    reader: Reader,
    reading: bool,
}

impl Socket {
    /// Takes room for a message; an empty buffer takes any.
    fn take(&mut self, now: Instant, peer: usize, len: u32) -> Result<u64, Unwilling> {
        let (used, bytes) = (self.used.get(), u64::from(len) + OVERHEAD);
        let fits = used == 0 || used + bytes <= self.capacity;
        let buffer = self.buffer();
        if !self.waiters.may_enter(now, &peer, bytes as u32, buffer) || !fits {
            self.waiters.turned_away(now, peer, bytes as u32);
            return Err(Unwilling::Busy);
        }
        self.waiters.entered(&peer, bytes as u32);
        self.used.set(used + bytes);
        Ok(bytes)
    }

    /// Returns who is to be told that there is room, and how much.
    fn to_wake(&mut self, now: Instant) -> Vec<(usize, u32)> {
        let mut woken = Vec::new();
        let buffer = self.buffer();
        self.waiters
            .freed(now, buffer, &mut |peer, bytes| woken.push((peer, bytes)));
        woken
    }

    fn buffer(&self) -> Buffer {
        Buffer {
            free: self.capacity.saturating_sub(self.used.get()) as u32,
            capacity: self.capacity as u32,
        }
    }
}

/// Bytes on their way.
#[derive(Clone)]
pub(crate) struct Frame {
    from: usize,
    to: usize,
    pub(crate) bytes: Vec<u8>,
    /// What the payload is: a message's number, and from where on.
    payload: Option<(u32, u32)>,
    /// How many bytes of the payload each packet has, if these are several in one piece.
    each: Option<u32>,
}

impl Frame {
    /// What the wire carries besides: the header, padding, checksum, preamble and gap.
    fn time(&self, rate: u64) -> Nanos {
        let bytes = (self.bytes.len() + ETHERNET_LEN).max(60) as u64 + 24;
        bytes * 8 * SECOND / rate
    }
}

/// What a peer is handed: everything of its host but the peers.
pub(crate) struct Surroundings<'a> {
    now: Instant,
    here: usize,
    there: usize,
    random: &'a mut Random,
    ledger: &'a mut Ledger,
    sockets: &'a mut BTreeMap<u16, Socket>,
    out: &'a mut Vec<Frame>,
    /// Whether pieces stay whole.
    whole: bool,
    grants: &'a mut Grants<usize>,
    granted: &'a mut Vec<(usize, Transfer, u64)>,
    /// The ports of the sockets with room for which others wait.
    released: &'a mut Vec<u16>,
    programs: &'a mut Programs,
}

impl Surroundings<'_> {
    fn socket(&mut self, ports: Ports, len: u32) -> Result<&mut Socket, Unwilling> {
        match self.sockets.get_mut(&ports.destination) {
            None => Err(Unwilling::Refused(Why::NoSocket)),
            Some(_) if len > MAX_MESSAGE => Err(Unwilling::Refused(Why::TooLong)),
            Some(socket) => Ok(socket),
        }
    }
}

impl host::Host<Types> for Surroundings<'_> {
    fn random(&mut self) -> u64 {
        self.random.next()
    }

    fn transmit(&mut self, packet: Packet<'_, Types>) {
        let mut each = None;
        let payload = match &packet {
            Packet::Message(_, message) => Some((message.number, 0)),
            Packet::Segment(Segment { offset, .. }, end, message) => {
                let step = message.segment_len.get();
                assert!(offset < end, "a segment without bytes");
                assert!(*offset >= message.held, "bytes go out that may be gone");
                assert!(*end <= host::Outbound::piece_end(&**message, *offset));
                assert!(offset % step == 0 && (end % step == 0 || *end == message.len));
                each = (end - offset > step).then_some(step);
                Some((message.number, *offset))
            }
            Packet::Flow(flow, _, Some((piece, from, to))) => {
                let (number, start) = piece.check(flow, *from, *to);
                let step = host::Piece::segment_len(&**piece).get();
                each = (to - from > step).then_some(step);
                Some((number, start))
            }
            _ => None,
        };
        let bytes = frame::emit::<Types>(
            packet,
            |message, offset, bytes| content(message.number, offset, bytes),
            |piece, offset, bytes| piece.content(offset, bytes),
        );
        let Some(bytes) = bytes else {
            panic!("{:?}: a packet that cannot be sent", self.now);
        };
        let frame = |payload, bytes, each| Frame {
            from: self.here,
            to: self.there,
            bytes,
            payload,
            each,
        };
        match (payload, each) {
            (Some((number, start)), Some(each)) if !self.whole => self.out.extend(
                frame::cut(&bytes, each)
                    .map(|(into, bytes)| frame(Some((number, start + into)), bytes, None)),
            ),
            _ => self.out.push(frame(payload, bytes, each)),
        }
    }

    fn deliver(&mut self, ports: Ports, chunk: Chunk) -> Result<(), Unwilling> {
        let len = host::Chunk::len(&chunk) as u32;
        let (now, there) = (self.now, self.there);
        let socket = self.socket(ports, len)?;
        let bytes = socket.take(now, there, len)?;
        socket.queue.push_back(bytes);
        self.ledger.deliver(self.now, self.here, ports, &chunk);
        Ok(())
    }

    fn reserve(&mut self, ports: Ports, total: u32, _first: &Chunk) -> Result<Room, Unwilling> {
        let (now, there) = (self.now, self.there);
        let socket = self.socket(ports, total)?;
        Ok(Room {
            bytes: socket.take(now, there, total)?,
            used: socket.used.clone(),
        })
    }

    fn release(&mut self, ports: Ports) {
        let there = self.there;
        if let Ok(socket) = self.socket(ports, 0) {
            if socket.waiters.released(&there) {
                self.released.push(ports.destination);
            }
        }
    }

    fn complete(&mut self, ports: Ports, room: Room, message: Chunk) -> Result<(), Unwilling> {
        let len = host::Chunk::len(&message) as u32;
        let socket = self.socket(ports, len)?;
        if !Rc::ptr_eq(&socket.used, &room.used) {
            // Another socket has the port by now.
            return Err(Unwilling::Refused(Why::NoSocket));
        }
        assert!(
            u64::from(len) + OVERHEAD <= room.bytes,
            "more than was kept room for"
        );
        socket.queue.push_back(room.bytes);
        // The room stays taken until the message is read.
        mem::forget(room);
        self.ledger.deliver(self.now, self.here, ports, &message);
        Ok(())
    }

    fn message_ended(&mut self, message: Outbound, outcome: Outcome) {
        self.ledger.end(self.now, message.number, outcome);
    }

    fn progress(&mut self, transfer: Transfer, progress: Progress) -> Option<u64> {
        let (there, mut own) = (self.there, None);
        let granted = &mut *self.granted;
        self.grants
            .progress(there, transfer, progress, &mut |who, what, limit| {
                if *who == there && what == transfer {
                    own = Some(limit);
                } else {
                    granted.push((*who, what, limit));
                }
            });
        own
    }

    fn stalled(&mut self, transfer: Transfer) {
        let granted = &mut *self.granted;
        self.grants
            .stalled(&self.there, transfer, &mut |who, what, limit| {
                granted.push((*who, what, limit))
            });
    }

    fn settled(&mut self, transfer: Transfer) {
        let granted = &mut *self.granted;
        self.grants
            .settled(&self.there, transfer, &mut |who, what, limit| {
                granted.push((*who, what, limit))
            });
    }

    fn admit(&mut self, ports: Ports, bearing: Bearing) -> Result<Embryo, Unwilling> {
        self.programs.admit(self.here, ports, bearing)
    }

    fn first_window(&self, embryo: &Embryo) -> u32 {
        embryo.window()
    }

    fn establish(
        &mut self,
        embryo: &mut Embryo,
        number: Number,
        ports: Ports,
    ) -> Result<Conn, Unwilling> {
        self.programs
            .establish(self.here, self.there, embryo, number, ports)
    }

    fn timeout(&self, _conn: &Conn) -> Nanos {
        self.programs.manner.timeout.unwrap_or(TIMEOUT)
    }

    fn coalesces(&self, conn: &Conn) -> bool {
        conn.borrow().coalesces
    }

    fn keeps_alive(&self, conn: &Conn) -> bool {
        conn.borrow().keeps_alive
    }

    fn window(&self, conn: &Conn) -> u32 {
        conn.borrow().window()
    }

    fn memory(&self, conn: &Conn) -> usize {
        // As a socket's, whose window is half of what memory is left.
        2 * conn.borrow().window() as usize
    }

    fn confined(&mut self, conn: &Conn) {
        self.programs.confined(conn);
    }

    fn opened(&mut self, conn: &Conn) {
        self.programs.opened(conn);
    }

    fn arrived(&mut self, conn: &Conn, chunk: Chunk) -> bool {
        self.programs.arrived(
            conn,
            chunk.number,
            chunk.start,
            chunk.end - chunk.start,
            &chunk.records,
        )
    }

    fn ended(&mut self, conn: &Conn) {
        self.programs.ended(conn);
    }

    fn stopped(&mut self, conn: &Conn, _lost: bool) {
        self.programs.stopped(conn);
    }

    fn sent_all(&mut self, conn: &Conn) {
        self.programs.sent_all(conn);
    }

    fn closed(&mut self, conn: Conn) {
        self.programs.gone(&conn, None);
    }

    fn broken(&mut self, conn: Conn, outcome: Outcome) {
        self.programs.gone(&conn, Some(outcome));
    }
}

/// What may happen to a frame, each so many times in a million.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Faults {
    pub(crate) lost: u32,
    pub(crate) duplicated: u32,
    /// Arrives late, by up to `late_by`.
    pub(crate) late: u32,
    pub(crate) late_by: Nanos,
    /// A frame from long ago comes once more.
    pub(crate) replayed: u32,
}

/// How the network is built.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wiring {
    /// Bits in a second, of every link.
    pub(crate) rate: u64,
    /// From a host to the switch.
    pub(crate) delay: Nanos,
    /// Bytes of each port's buffer.
    pub(crate) buffer: u64,
    pub(crate) mtu: u32,
    /// How many packets a host sends in one piece at most.
    pub(crate) together: u32,
    /// Whether they arrive so, as through a virtual device.
    pub(crate) whole: bool,
}

impl Default for Wiring {
    fn default() -> Self {
        Self {
            rate: 10_000_000_000,
            delay: 2 * MICROSECOND,
            buffer: 512 << 10,
            mtu: 1500,
            together: 40,
            whole: false,
        }
    }
}

struct Known {
    peer: Peer<Types>,
    /// When its timer goes off.
    timer: Instant,
    /// Whether the card has kept it from sending.
    blocked: bool,
    /// How often the timer has gone off at this time.
    again: (Instant, u32),
    /// Bytes of messages that have come from it for the first time.
    useful: u64,
}

struct Station {
    peers: BTreeMap<usize, Known>,
    grants: Grants<usize>,
    sockets: BTreeMap<u16, Socket>,
    /// Until when the card has something to send.
    card: Instant,
    waiting: bool,
    /// Until when the switch has something to send to it.
    port: Instant,
}

enum Event {
    Submit {
        number: u32,
        timeout: Nanos,
    },
    Next {
        flow: usize,
    },
    AtSwitch(Frame),
    Arrived(Frame),
    Timer {
        host: usize,
        peer: usize,
    },
    CardReady {
        host: usize,
    },
    Read {
        host: usize,
        port: u16,
    },
    Restart {
        host: usize,
    },
    SetReader {
        host: usize,
        port: u16,
        reader: Reader,
    },
    Close {
        host: usize,
        port: u16,
    },
    /// A program has its turn.
    Program(End),
    SetFaults(Faults),
}

struct Scheduled {
    at: Instant,
    order: u64,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// One message after the other, from one host to another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) port: u16,
    pub(crate) len: u32,
    pub(crate) left: u32,
}

/// What was counted.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Counts {
    pub(crate) frames: u64,
    pub(crate) lost: u64,
    pub(crate) overflowed: u64,
    pub(crate) replayed: u64,
    pub(crate) events: u64,
}

/// How long a queue a host lets build up in its card.
const CARD_QUEUE: Nanos = 50 * MICROSECOND;

/// How many old frames are kept to be replayed.
const RECORDED: usize = 256;

/// The port that messages are sent from.
const SOURCE: u16 = 1024;

/// How long a peer may be silent.
pub(crate) const TIMEOUT: Nanos = 2 * SECOND;

pub(crate) struct Net {
    pub(crate) now: Instant,
    pub(crate) ledger: Ledger,
    pub(crate) counts: Counts,
    pub(crate) wiring: Wiring,
    faults: Faults,
    random: Random,
    stations: Vec<Station>,
    flows: Vec<Flow>,
    queue: BinaryHeap<Reverse<Scheduled>>,
    order: u64,
    out: Vec<Frame>,
    /// Who may send on, at the host that something happens at.
    granted: Vec<(usize, Transfer, u64)>,
    released: Vec<u16>,
    /// Those that have connections.
    pub(crate) programs: Programs,
    recorded: Vec<Frame>,
    /// The longest packet that gets through the switch.
    longest: usize,
    /// The host that is no host of ours: what comes to it is only looked at.
    hostile: Option<usize>,
    /// The epoch that it saw last.
    seen: Epoch,
    /// Whether to print what arrives: `EMT_TRACE` is set.
    trace: bool,
}

impl Net {
    pub(crate) fn new(seed: u64, hosts: usize, wiring: Wiring) -> Self {
        let station = || Station {
            peers: BTreeMap::new(),
            grants: Grants::new(),
            sockets: BTreeMap::new(),
            card: Instant(0),
            waiting: false,
            port: Instant(0),
        };
        Self {
            now: Instant(SECOND),
            ledger: Ledger::default(),
            counts: Counts::default(),
            wiring,
            faults: Faults::default(),
            random: Random(seed),
            stations: (0..hosts).map(|_| station()).collect(),
            flows: Vec::new(),
            queue: BinaryHeap::new(),
            order: 0,
            out: Vec::new(),
            granted: Vec::new(),
            released: Vec::new(),
            programs: Programs::default(),
            recorded: Vec::new(),
            longest: usize::MAX,
            hostile: None,
            seen: Epoch::NONE,
            trace: std::env::var_os("EMT_TRACE").is_some(),
        }
    }

    pub(crate) fn begin(&mut self, at: Instant, end: End) {
        self.schedule(at, Event::Program(end));
    }

    fn schedule(&mut self, at: Instant, event: Event) {
        self.order += 1;
        let order = self.order;
        self.queue.push(Reverse(Scheduled {
            at: at.max(self.now),
            order,
            event,
        }));
    }

    /// Opens a socket.
    pub(crate) fn listen(&mut self, host: usize, port: u16, capacity: u64, reader: Reader) {
        let socket = Socket {
            waiters: Waiters::new(),
            capacity,
            used: Rc::new(Cell::new(0)),
            queue: VecDeque::new(),
            reader,
            reading: false,
        };
        self.stations[host].sockets.insert(port, socket);
    }

    /// Sends a message.
    pub(crate) fn send(&mut self, at: Instant, from: usize, to: usize, port: u16, len: u32) {
        self.send_within(TIMEOUT, at, from, to, port, len);
    }

    /// Sends a message for which the peer may be silent for `timeout`.
    pub(crate) fn send_within(
        &mut self,
        timeout: Nanos,
        at: Instant,
        from: usize,
        to: usize,
        port: u16,
        len: u32,
    ) {
        let number = self.enter(from, to, port, len, None);
        self.schedule(at, Event::Submit { number, timeout });
    }

    fn enter(&mut self, from: usize, to: usize, port: u16, len: u32, flow: Option<usize>) -> u32 {
        self.ledger.entries.push(Entry {
            from,
            to,
            ports: Ports {
                source: SOURCE,
                destination: port,
            },
            len,
            flow,
            submitted: Instant::NEVER,
            delivered: None,
            outcome: None,
            lost: false,
        });
        self.ledger.entries.len() as u32 - 1
    }

    /// Begins a flow with so many messages under way at once.
    pub(crate) fn flow(&mut self, at: Instant, flow: Flow, at_once: u32) {
        self.flows.push(flow);
        let flow = self.flows.len() - 1;
        for _ in 0..at_once {
            self.schedule(at, Event::Next { flow });
        }
    }

    pub(crate) fn restart(&mut self, at: Instant, host: usize) {
        self.schedule(at, Event::Restart { host });
    }

    /// Has longer packets than `bytes` vanish, as where somebody has set an MTU wrong.
    pub(crate) fn set_longest_frame(&mut self, bytes: usize) {
        self.longest = bytes;
    }

    pub(crate) fn set_faults(&mut self, at: Instant, faults: Faults) {
        self.schedule(at, Event::SetFaults(faults));
    }

    pub(crate) fn set_reader(&mut self, at: Instant, host: usize, port: u16, reader: Reader) {
        self.schedule(at, Event::SetReader { host, port, reader });
    }

    pub(crate) fn close(&mut self, at: Instant, host: usize, port: u16) {
        self.schedule(at, Event::Close { host, port });
    }

    /// Lets time pass until nothing happens any more, or until `end`.
    pub(crate) fn run(&mut self, end: Instant) {
        while let Some(Reverse(next)) = self.queue.peek() {
            if next.at > end {
                break;
            }
            if let Some(Reverse(Scheduled { at, event, .. })) = self.queue.pop() {
                assert!(at >= self.now, "time goes back");
                self.now = at;
                self.counts.events += 1;
                self.handle(event);
            }
        }
    }

    /// Ends all faults, lets the readers read, and checks that everything comes to an end.
    pub(crate) fn settle(&mut self) {
        self.faults = Faults::default();
        for host in 0..self.stations.len() {
            let ports: Vec<u16> = self.stations[host].sockets.keys().copied().collect();
            for port in ports {
                self.set_reader(self.now, host, port, Reader::Rate(10_000_000_000));
            }
        }
        let end = self.now.plus(100 * SECOND);
        self.run(end);
        self.abort_forsaken();
        self.run(end.plus(100 * SECOND));
        for entry in &self.ledger.entries {
            assert!(
                entry.lost || entry.outcome.is_some(),
                "held for ever: {entry:?}"
            );
        }
        self.programs.check_settled();
        for (host, station) in self.stations.iter().enumerate() {
            for (port, socket) in &station.sockets {
                assert_eq!(socket.used.get(), 0, "host {host}, port {port} keeps room");
            }
            for (other, known) in &station.peers {
                assert!(
                    known.peer.is_quiet(),
                    "host {host} still has to do with {other}"
                );
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Submit { number, timeout } => self.submit(number, timeout),
            Event::Next { flow } => self.next_of(flow),
            Event::AtSwitch(frame) => self.switch(frame),
            Event::Arrived(frame) => self.receive(frame),
            Event::Timer { host, peer } => self.timer(host, peer),
            Event::CardReady { host } => self.card_ready(host),
            Event::Read { host, port } => self.read(host, port),
            Event::Restart { host } => self.on_restart(host),
            Event::SetReader { host, port, reader } => {
                if let Some(socket) = self.stations[host].sockets.get_mut(&port) {
                    socket.reader = reader;
                }
                self.start_reading(host);
            }
            Event::Close { host, port } => {
                self.stations[host].sockets.remove(&port);
            }
            Event::Program(end) => self.program(end),
            Event::SetFaults(faults) => self.faults = faults,
        }
    }

    /// Calls a peer, and then does what follows.
    pub(crate) fn with<R>(
        &mut self,
        host: usize,
        other: usize,
        call: impl FnOnce(&mut Peer<Types>, Instant, &mut Surroundings<'_>) -> R,
    ) -> R {
        let now = self.now;
        let station = &mut self.stations[host];
        let known = station.peers.entry(other).or_insert_with(|| Known {
            peer: Peer::new(now),
            timer: Instant::NEVER,
            blocked: false,
            again: (now, 0),
            useful: 0,
        });
        let mut surroundings = Surroundings {
            now,
            here: host,
            there: other,
            random: &mut self.random,
            ledger: &mut self.ledger,
            sockets: &mut station.sockets,
            out: &mut self.out,
            whole: self.wiring.whole,
            grants: &mut station.grants,
            granted: &mut self.granted,
            released: &mut self.released,
            programs: &mut self.programs,
        };
        let result = call(&mut known.peer, now, &mut surroundings);
        self.flush(host);
        result
    }

    /// Sends what may be sent, sets the timer, and tells whoever waits.
    pub(crate) fn drive(&mut self, host: usize, other: usize) {
        loop {
            if self.stations[host].card > self.now.plus(CARD_QUEUE) {
                if let Some(known) = self.stations[host].peers.get_mut(&other) {
                    known.blocked = true;
                }
                self.wait_for_card(host);
                break;
            }
            if !self.with(host, other, |peer, now, host| peer.transmit(now, 1, host)) {
                break;
            }
        }
        let mut timer = None;
        if let Some(known) = self.stations[host].peers.get_mut(&other) {
            let deadline = known.peer.deadline();
            // What is overdue and the card keeps back is sent when the card is ready.
            let kept_back = known.blocked && deadline <= self.now;
            if deadline < known.timer && !kept_back {
                known.timer = deadline;
                timer = Some(deadline);
            }
        }
        if let Some(at) = timer {
            self.schedule(at, Event::Timer { host, peer: other });
        }
        for number in mem::take(&mut self.ledger.finished) {
            if let Some(flow) = self.ledger.entries[number as usize].flow {
                self.schedule(self.now, Event::Next { flow });
            }
        }
        self.start_reading(host);
        for (end, after) in self.programs.take_due() {
            self.schedule(self.now.plus(after), Event::Program(end));
        }
        for (other, transfer, limit) in mem::take(&mut self.granted) {
            self.with(host, other, |peer, now, _| peer.grant(now, transfer, limit));
            self.drive(host, other);
        }
        for port in mem::take(&mut self.released) {
            self.wake(host, port);
        }
    }

    fn wait_for_card(&mut self, host: usize) {
        let station = &mut self.stations[host];
        if !mem::replace(&mut station.waiting, true) {
            let at = Instant(station.card.0 - CARD_QUEUE / 2);
            self.schedule(at, Event::CardReady { host });
        }
    }

    fn card_ready(&mut self, host: usize) {
        let station = &mut self.stations[host];
        station.waiting = false;
        let blocked: Vec<usize> = station
            .peers
            .iter_mut()
            .filter_map(|(other, known)| mem::take(&mut known.blocked).then_some(*other))
            .collect();
        for other in blocked {
            self.drive(host, other);
        }
    }

    /// Hands what was sent to the card.
    fn flush(&mut self, host: usize) {
        for frame in mem::take(&mut self.out) {
            self.counts.frames += 1;
            let station = &mut self.stations[host];
            let sent = station
                .card
                .max(self.now)
                .plus(frame.time(self.wiring.rate));
            station.card = sent;
            self.schedule(sent.plus(self.wiring.delay), Event::AtSwitch(frame));
        }
    }

    fn switch(&mut self, frame: Frame) {
        let faults = self.faults;
        if frame.bytes.len() > self.longest || self.random.happens(faults.lost) {
            self.counts.lost += 1;
            return;
        }
        if self.recorded.len() < RECORDED {
            self.recorded.push(frame.clone());
        } else if self.random.happens(10_000) {
            let at = self.random.below(RECORDED as u64) as usize;
            self.recorded[at] = frame.clone();
        }
        if self.random.happens(faults.replayed) {
            let at = self.random.below(self.recorded.len() as u64) as usize;
            self.counts.replayed += 1;
            self.out_of_port(self.recorded[at].clone(), 0);
        }
        if self.random.happens(faults.duplicated) {
            let late = self.random.below(faults.late_by);
            self.out_of_port(frame.clone(), late);
        }
        let late = if self.random.happens(faults.late) {
            self.random.below(faults.late_by)
        } else {
            0
        };
        self.out_of_port(frame, late);
    }

    fn out_of_port(&mut self, frame: Frame, late: Nanos) {
        let station = &mut self.stations[frame.to];
        let rate = self.wiring.rate;
        let queued = station.port.since(self.now) * rate / (8 * SECOND);
        if queued + frame.bytes.len() as u64 > self.wiring.buffer {
            self.counts.overflowed += 1;
            return;
        }
        station.port = station.port.max(self.now).plus(frame.time(rate));
        let at = station.port.plus(self.wiring.delay).plus(late);
        self.schedule(at, Event::Arrived(frame));
    }

    fn receive(&mut self, frame: Frame) {
        let Frame {
            from,
            to,
            bytes,
            payload,
            each,
        } = frame;
        let parsed = match frame::parse(&bytes) {
            Ok(parsed) => parsed,
            Err(refusal) => panic!("{:?}: {refusal:?}", self.now),
        };
        if self.trace {
            eprintln!("{} {from} -> {to}: {parsed}", self.now.0);
        }
        if self.hostile == Some(to) {
            if let Parsed::Hello(hello) = parsed {
                self.seen = hello.epoch;
            }
            return;
        }
        let chunk = |bytes: &[u8]| {
            let step = each.unwrap_or(bytes.len() as u32);
            let Some((number, start)) = payload else {
                return Chunk::anonymous(bytes.len() as u32, step);
            };
            let mut expected = vec![0; bytes.len()];
            content(number, start, &mut expected);
            assert!(bytes == expected, "other bytes than were sent");
            Chunk {
                number: Some(number),
                start,
                end: start + bytes.len() as u32,
                step,
                records: Vec::new(),
            }
        };
        let verdict = self.with(to, from, |peer, now, host| match &parsed {
            Parsed::Datagram(..) => Verdict::Good,
            Parsed::Hello(hello) => peer.handle_hello(now, hello, host),
            Parsed::Reset(reset) => peer.handle_reset(now, reset, host),
            Parsed::Message(message, ports, bytes) => {
                peer.handle_message(now, message, *ports, chunk(bytes), host)
            }
            Parsed::Segment(segment, ports, bytes) => {
                peer.handle_segment(now, segment, *ports, chunk(bytes), host)
            }
            Parsed::Control(control, blocks) => peer.handle_control(now, control, blocks, host),
            Parsed::Flow(flow, ports, bytes) => {
                let chunk = (!bytes.is_empty()).then(|| {
                    let mut chunk = chunk(bytes);
                    if flow.flags.has(Flags::RECORD) {
                        chunk.records.push(chunk.end);
                    }
                    chunk
                });
                peer.handle_flow(now, flow, *ports, chunk, host)
            }
        });
        if let (
            Parsed::Message(_, _, bytes) | Parsed::Segment(_, _, bytes) | Parsed::Flow(_, _, bytes),
            Verdict::Good,
        ) = (&parsed, verdict)
        {
            if let Some(known) = self.stations[to].peers.get_mut(&from) {
                known.useful += bytes.len() as u64;
            }
        }
        self.drive(to, from);
    }

    fn timer(&mut self, host: usize, other: usize) {
        let now = self.now;
        let Some(known) = self.stations[host].peers.get_mut(&other) else {
            return;
        };
        if known.timer > now {
            return;
        }
        known.timer = Instant::NEVER;
        if known.peer.deadline() <= now {
            if known.again.0 == now {
                known.again.1 += 1;
                assert!(
                    known.again.1 < 100,
                    "{now:?}: the timer of {other} at {host} spins"
                );
            } else {
                known.again = (now, 0);
            }
            self.with(host, other, |peer, now, host| {
                peer.handle_timeout(now, host)
            });
        }
        self.drive(host, other);
    }

    fn submit(&mut self, number: u32, timeout: Nanos) {
        let entry = &mut self.ledger.entries[number as usize];
        entry.submitted = self.now;
        let (from, to) = (entry.from, entry.to);
        let segment_len = NonZeroU32::new(self.wiring.mtu - SEGMENT_LEN as u32).unwrap();
        let message = Outbound {
            number,
            ports: entry.ports,
            len: entry.len,
            segment_len,
            together: self.wiring.together.min((60 << 10) / segment_len).max(1),
            timeout,
            held: 0,
        };
        let taken = self.with(from, to, |peer, now, host| {
            peer.submit(now, message, host).is_ok()
        });
        if !taken {
            self.ledger.entries[number as usize].lost = true;
        }
        self.drive(from, to);
    }

    fn next_of(&mut self, flow: usize) {
        let Flow {
            from,
            to,
            port,
            len,
            left,
        } = self.flows[flow];
        if left > 0 {
            self.flows[flow].left -= 1;
            let number = self.enter(from, to, port, len, Some(flow));
            self.submit(number, TIMEOUT);
        }
    }

    fn start_reading(&mut self, host: usize) {
        let mut due = Vec::new();
        for (port, socket) in &mut self.stations[host].sockets {
            if let (Reader::Rate(rate), Some(bytes), false) =
                (socket.reader, socket.queue.front(), socket.reading)
            {
                socket.reading = true;
                due.push((*port, (bytes * SECOND / rate.max(1)).max(1)));
            }
        }
        for (port, after) in due {
            self.schedule(self.now.plus(after), Event::Read { host, port });
        }
    }

    fn read(&mut self, host: usize, port: u16) {
        if let Some(socket) = self.stations[host].sockets.get_mut(&port) {
            socket.reading = false;
            if socket.reader != Reader::Stopped {
                if let Some(bytes) = socket.queue.pop_front() {
                    socket.used.set(socket.used.get() - bytes);
                }
            }
        }
        self.wake(host, port);
        self.start_reading(host);
    }

    /// Tells those that wait that a socket has room, if it has.
    fn wake(&mut self, host: usize, port: u16) {
        let Some(socket) = self.stations[host].sockets.get_mut(&port) else {
            return;
        };
        for (other, bytes) in socket.to_wake(self.now) {
            self.with(host, other, |peer, _, _| peer.wake(port, bytes));
            self.drive(host, other);
        }
    }

    /// A host loses all that it knew, and its programs start anew.
    fn on_restart(&mut self, host: usize) {
        self.programs.restart(host);
        let station = &mut self.stations[host];
        station.peers.clear();
        station.grants = Grants::new();
        station.card = self.now;
        let sockets: Vec<_> = station
            .sockets
            .iter()
            .map(|(port, socket)| (*port, socket.capacity, socket.reader))
            .collect();
        station.sockets.clear();
        for (port, capacity, reader) in sockets {
            self.listen(host, port, capacity, reader);
        }
        let now = self.now;
        for entry in &mut self.ledger.entries {
            if entry.from == host && entry.outcome.is_none() && entry.submitted <= now {
                entry.lost = true;
            }
        }
    }

    /// Returns the first packets that there were: from, to, bytes.
    pub(crate) fn recorded(&self) -> impl Iterator<Item = (usize, usize, &[u8])> {
        let frames = self.recorded.iter();
        frames.map(|frame| (frame.from, frame.to, &frame.bytes[..]))
    }

    /// Returns how many bytes of messages, each counted once, have come to a host from another.
    pub(crate) fn useful(&self, host: usize, from: usize) -> u64 {
        let known = self.stations[host].peers.get(&from);
        known.map_or(0, |known| known.useful)
    }
}

/// A peer that may do anything, and a host that must stand it.
///
/// Each byte string is a sequence of things that happen: a packet whose fields are picked mostly from
/// what makes sense, time that passes, a message that is sent.
pub(crate) fn hostile(bytes: &[u8]) {
    let mut bytes = bytes.iter().copied();
    let mut take = || bytes.next().unwrap_or(0);
    let mut net = Net::new(u64::from(take()), 2, Wiring::default());
    const PORT: u16 = 7;
    net.listen(0, PORT, 200_000, Reader::Rate(1_000_000_000));
    net.hostile = Some(1);
    net.ledger.lies = true;
    for _ in 0..4_000 {
        let what = take();
        let mut small = || u32::from(take());
        match what {
            // The end of the input, mostly.
            0 => break,
            1..=15 => {
                let after =
                    Nanos::from(small()) * [MICROSECOND, MILLISECOND][usize::from(what & 1)];
                net.run(net.now.plus(after));
            }
            16..=31 => {
                let len = (small() << (what & 15)).max(1);
                net.send(net.now, 0, 1, PORT, len);
                net.run(net.now);
            }
            _ => {
                let frame = net.forge(what, &mut small);
                net.receive(frame);
                net.run(net.now);
            }
        }
        net.check_caps();
    }
    // Nothing stays when the peer is gone.
    net.run(net.now.plus(200 * SECOND));
    for entry in &net.ledger.entries {
        assert!(
            entry.outcome.is_some() || entry.lost,
            "held for ever: {entry:?}"
        );
    }
    for known in net.stations[0].peers.values() {
        assert!(known.peer.is_quiet(), "something stays");
    }
    assert_eq!(net.stations[0].sockets[&PORT].used.get(), 0, "room stays");
}

impl Net {
    /// Checks what may never be exceeded, however hostile others are.
    fn check_caps(&self) {
        for socket in self.stations[0].sockets.values() {
            let used = socket.used.get();
            let alone = u64::from(MAX_MESSAGE) + OVERHEAD;
            assert!(
                used <= socket.capacity.max(alone),
                "{used} bytes are charged"
            );
        }
    }

    /// Makes a packet from what the input says.
    fn forge(&mut self, what: u8, small: &mut impl FnMut() -> u32) -> Frame {
        // What was seen of the other's epoch lets a packet pass; a number far off does not.
        let seen = self.seen;
        let mut number = |around: u32| match small() {
            value @ 0..=199 => around.wrapping_add(value),
            value @ 200..=239 => around.wrapping_sub(value - 199),
            value => value << 24,
        };
        let reliable = Reliable {
            tag: if what & 7 == 7 { number(0) } else { seen.tag() },
            acks: Acks {
                floor: Id(number(0)),
                latest: Id(number(0)),
                bits: number(0),
                delay: number(0) as u16,
            },
            answer: what & 8 != 0,
        };
        let transfer = TransferId {
            id: Id(number(0)),
            behind: number(0) as u16,
            last: what & 0x18 == 0x18,
        };
        let ports = Ports {
            source: 9,
            destination: if what & 16 == 0 { 7 } else { 8 },
        };
        let payload = vec![0; number(0) as usize % 1400];
        // What came in one piece was put together on this host, but of packets from anywhere.
        let each = (what & 0x81 == 0x81).then(|| number(0).clamp(1, payload.len().max(1) as u32));
        let mut blocks = Blocks::new();
        let parsed = match what >> 5 {
            1 => Parsed::Hello(Hello {
                epoch: Epoch(u64::from(number(1))),
                echo: if what & 1 == 0 { Epoch::NONE } else { seen },
            }),
            2 if what & 3 == 3 => Parsed::Reset(Reset { tag: number(0) }),
            2 | 3 => Parsed::Message(Message { reliable, transfer }, ports, &payload),
            4 | 5 => {
                let offset = number(0).wrapping_mul(100);
                let unasked = number(0).wrapping_mul(1000);
                let segment = Segment {
                    reliable,
                    transfer,
                    offset,
                    total: number(offset),
                    unasked,
                };
                Parsed::Segment(segment, ports, &payload)
            }
            _ => {
                for _ in 0..number(0) % 17 {
                    let id = Id(number(0));
                    let (first, second) =
                        (number(0).wrapping_mul(500), number(0).wrapping_mul(500));
                    let block = match number(0) % 7 {
                        0 => Block::Grant {
                            id,
                            limit: first,
                            held: second,
                        },
                        1 => Block::Resend {
                            id,
                            start: first,
                            end: second,
                        },
                        2 => Block::Busy { id },
                        3 => Block::Refused {
                            id,
                            why: Why::NoSocket,
                        },
                        4 => Block::Wake {
                            port: 7,
                            bytes: first,
                        },
                        5 => Block::Missing {
                            number: Number(id.0),
                            start: first,
                            end: second,
                        },
                        _ => Block::Abandon { id },
                    };
                    let _ = blocks.push(&block);
                }
                let base = Id(number(0));
                Parsed::Control(Control { reliable, base }, blocks)
            }
        };
        Frame {
            from: 1,
            to: 0,
            bytes: frame::emit_again(&parsed).unwrap_or_default(),
            payload: None,
            each,
        }
    }
}

/// As [`hostile`], with packets of connections.
pub(crate) fn hostile_flows(bytes: &[u8]) {
    use crate::{
        engine::{
            connections::Act,
            host::Bearing, //
        },
        wire::flow::{
            self,
            Number,
            Verb, //
        },
    };
    let mut random = Choices(bytes);
    let seed = random.below(256);
    let mut net = Net::new(seed, 2, Wiring::default());
    net.programs.listen(0, 7, Bearing::Stream, 128, 20_000);
    net.programs.may_break = true;
    net.programs.manner.stay_open = true;
    net.programs.manner.lies = true;
    net.hostile = Some(1);
    net.ledger.lies = true;
    let script = crate::program::Script {
        writes: 3,
        len: 30_000,
        reads: [0, 1_000_000][random.below(2) as usize],
        hurries: false,
    };
    for _ in 0..3 {
        net.exchange(
            Instant(SECOND),
            crate::program::Exchange {
                client: 0,
                server: 1,
                port: 7,
                bearing: Bearing::Stream,
                scripts: [script; 2],
            },
        );
    }
    // An association.
    net.run(Instant(SECOND + MILLISECOND));
    let echo = net.seen;
    let hello = Parsed::Hello(Hello {
        epoch: Epoch(99),
        echo,
    });
    let frame = |parsed: &Parsed<'_>, each| Frame {
        from: 1,
        to: 0,
        bytes: frame::emit_again(parsed).unwrap_or_default(),
        payload: None,
        each,
    };
    net.receive(frame(&hello, None));
    let tag = echo.tag();
    while !random.0.is_empty() {
        let mut number = |around: u32| match random.below(10) {
            0..6 => around.wrapping_add(random.below(4) as u32 * 700),
            6 => around.wrapping_sub(random.below(3_000) as u32),
            7 => around.wrapping_add(random.below(100_000) as u32),
            _ => random.next() as u32,
        };
        let (offset, held, limit) = (number(0), number(0), number(50_000));
        let (granted, gap, queued) = (number(0), number(0), number(0));
        let verb = match random.below(12) {
            0 => Verb::OpenStream,
            1 => Verb::OpenRecords,
            2 | 3 => Verb::Accept,
            4 if random.below(8) == 0 => Verb::Refuse,
            5 if random.below(4) == 0 => Verb::Busy,
            6 if random.below(8) == 0 => Verb::Abort,
            _ => Verb::Go,
        };
        let slot = random.below(8) as u32;
        let flow = flow::Flow {
            tag,
            to: Number(1 << 18 | slot),
            from: Number(1 + random.below(2) as u32),
            offset,
            held,
            limit,
            granted,
            gap,
            queued,
            delay: random.below(3) as u16,
            verb,
            flags: flow::Flags(match random.below(3) {
                0 => random.next() as u8,
                1 => 1,
                _ => 0,
            }),
        };
        let payload = vec![0; [0, 0, 1, 700, 1_400][random.below(5) as usize]];
        let each = (random.below(4) == 0 && payload.len() > 1)
            .then(|| 1 + random.below(payload.len() as u64) as u32);
        let ports = Ports {
            source: 9,
            destination: 7,
        };
        net.receive(frame(&Parsed::Flow(flow, ports, &payload), each));
        let after = random.below(4) * random.below(4) * MILLISECOND / 2;
        let now = net.now;
        net.run(now.plus(after));
        if random.below(30) == 0 {
            let exchange = random.below(3) as usize;
            if net.state_of(exchange, false) != "none" {
                let act = match random.below(5) {
                    0 => Act::EndSending,
                    1 => Act::StopReceiving,
                    2 => Act::Close,
                    3 => Act::Read,
                    _ => Act::Coalesce(false),
                };
                net.act_of(exchange, false, act);
            }
        }
    }
    let now = net.now;
    net.run(now.plus(200 * SECOND));
    // Nothing stays of it when the users have gone, and the minute is over for which it is waited.
    net.programs.abort_all = true;
    net.abort_forsaken();
    let now = net.now;
    net.run(now.plus(200 * SECOND));
    for known in net.stations[0].peers.values() {
        assert!(known.peer.is_quiet(), "something stays");
    }
}

/// What an input decides; 0 where it has ended.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    /// Returns a number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        let mut value = u64::from(self.byte());
        if end > 256 {
            value = value << 16 | u64::from(self.byte()) << 8 | u64::from(self.byte());
        }
        value % end.max(1)
    }

    fn next(&mut self) -> u64 {
        (0..8).fold(0, |value, _| value << 8 | u64::from(self.byte()))
    }
}
