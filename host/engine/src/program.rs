// SPDX-License-Identifier: GPL-2.0

//! Programs that have connections, for [`crate::net`]: what they write, and whether the other end
//! reads just that.

use crate::{
    engine::{
        connections::{
            Act,
            Wish, //
        },
        host::{
            self,
            Bearing,
            Outcome,
            Ports,
            Unwilling, //
        },
        time::{
            Instant,
            Nanos, //
        },
    },
    net::{
        self,
        Net,
        TIMEOUT, //
    },
    wire::{
        flow::{
            Flags,
            Flow,
            Number, //
        },
        reliable::SEGMENT_LEN, //
    },
};
use std::{
    cell::{
        Cell,
        RefCell, //
    },
    collections::BTreeMap,
    num::NonZeroU32,
    rc::Rc, //
};

/// Numbers of contents that are of connections.
const FIRST_CONTENT: u32 = 1 << 30;

/// The port of the first exchange's client.
const FIRST_PORT: u16 = 4096;

/// One end of an exchange.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct End {
    pub(crate) exchange: usize,
    pub(crate) is_server: bool,
}

impl End {
    /// Returns the number of what this end writes.
    fn writes(self) -> u32 {
        FIRST_CONTENT + 2 * self.exchange as u32 + u32::from(self.is_server)
    }

    fn other(self) -> Self {
        Self {
            is_server: !self.is_server,
            ..self
        }
    }
}

/// What a program writes: so many times so many bytes, each a record, and then it ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Script {
    pub(crate) writes: u32,
    pub(crate) len: u32,
    /// It reads so many bytes in a second.
    pub(crate) reads: u64,
    /// It closes when it has written, and reads nothing.
    pub(crate) hurries: bool,
}

/// How all programs behave, where a test wants something else than the script says.
#[derive(Clone, Copy, Default)]
pub(crate) struct Manner {
    pub(crate) timeout: Option<Nanos>,
    pub(crate) keeps_alive: bool,
    /// Programs neither end nor close by themselves.
    pub(crate) stay_open: bool,
    /// The kernel's rule for backlogs: only established connections count, and establishing one
    /// fails when there is no room.
    pub(crate) kernels_backlog: bool,
    /// The other end is no host of ours.
    pub(crate) lies: bool,
    /// To how many bytes a receive buffer may grow.
    pub(crate) most_capacity: u64,
    /// What a packet takes of the receive buffer besides its bytes, of which the other end knows
    /// nothing.
    pub(crate) overhead: u64,
    /// How many bytes a program reads at once, if not all that there are.
    pub(crate) sips: Option<u64>,
}

/// A connection's two programs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange {
    pub(crate) client: usize,
    pub(crate) server: usize,
    pub(crate) port: u16,
    pub(crate) bearing: Bearing,
    pub(crate) scripts: [Script; 2],
}

/// Bytes that are written at once.
pub(crate) struct Piece {
    end: End,
    start: u64,
    len: u32,
    segment_len: NonZeroU32,
    together: u32,
    record: bool,
    sent: Cell<bool>,
}

impl Piece {
    pub(crate) fn content(&self, offset: u32, bytes: &mut [u8]) {
        net::content(self.end.writes(), self.start as u32 + offset, bytes);
    }

    /// Checks the header of a packet with these bytes; returns which they are.
    pub(crate) fn check(&self, flow: &Flow, from: u32, to: u32) -> (u32, u32) {
        assert!(from < to && to <= self.len, "bytes that are not there");
        assert_eq!(flow.offset, self.start as u32 + from, "in another place");
        assert_eq!(
            flow.flags.has(Flags::RECORD),
            self.record && to == self.len,
            "the mark of a record"
        );
        assert!(self.together > 1 || to - from <= self.segment_len.get());
        self.sent.set(true);
        (self.end.writes(), flow.offset)
    }
}

impl host::Piece for Piece {
    fn len(&self) -> u32 {
        self.len
    }

    fn segment_len(&self) -> NonZeroU32 {
        self.segment_len
    }

    fn in_one_piece(&self) -> bool {
        self.together > 1
    }

    fn ends_record(&self) -> bool {
        self.record
    }

    fn append(&mut self, other: &Self) -> bool {
        assert!(!self.sent.get() && !self.record, "appended to what is sent");
        assert_eq!(self.start + u64::from(self.len), other.start);
        let fits = self.len + other.len <= self.segment_len.get();
        if fits {
            self.len += other.len;
            self.record = other.record;
        }
        fits
    }

    fn consume(self) {}
}

/// A place in a backlog.
pub(crate) struct Embryo {
    waiting: Rc<Cell<usize>>,
    capacity: u64,
}

impl Embryo {
    pub(crate) fn window(&self) -> u32 {
        self.capacity as u32
    }
}

impl Drop for Embryo {
    fn drop(&mut self) {
        self.waiting.set(self.waiting.get() - 1);
    }
}

/// A socket that has a connection.
pub(crate) type Conn = Rc<RefCell<Socket>>;

pub(crate) struct Socket {
    end: End,
    host: usize,
    other: usize,
    number: Number,
    pub(crate) capacity: u64,
    /// How much is queued at most.
    send_room: u64,
    pub(crate) keeps_alive: bool,
    pub(crate) coalesces: bool,
    opened: bool,
    written: u64,
    arrived: u64,
    read: u64,
    /// What the bytes that have not been read take besides themselves.
    burden: u64,
    records: u64,
    ended: bool,
    stopped: bool,
    sent_all: bool,
    finished: bool,
    closed: bool,
    gone: Option<Option<Outcome>>,
    reading: Option<Instant>,
    writing: bool,
}

impl Socket {
    fn new(end: End, host: usize, other: usize, capacity: u64) -> Self {
        Self {
            end,
            host,
            other,
            number: Number::NONE,
            capacity,
            send_room: SEND_BUFFER,
            keeps_alive: false,
            coalesces: true,
            opened: false,
            written: 0,
            arrived: 0,
            read: 0,
            burden: 0,
            records: 0,
            ended: false,
            stopped: false,
            sent_all: false,
            finished: false,
            closed: false,
            gone: None,
            reading: None,
            writing: false,
        }
    }

    pub(crate) fn window(&self) -> u32 {
        let taken = self.arrived - self.read + self.burden;
        self.capacity.saturating_sub(taken) as u32
    }
}

struct Listener {
    bearing: Bearing,
    backlog: usize,
    waiting: Rc<Cell<usize>>,
    capacity: u64,
}

/// All programs, and their sockets.
#[derive(Default)]
pub(crate) struct Programs {
    pub(crate) exchanges: Vec<Exchange>,
    listeners: BTreeMap<(usize, u16), Listener>,
    /// By exchange: the client's and the server's.
    sockets: BTreeMap<(usize, bool), Conn>,
    /// How each end has ended.
    pub(crate) ends: BTreeMap<(usize, bool), Result<(), Outcome>>,
    due: Vec<(End, Nanos)>,
    /// Whether hosts restart, or the network stops anything: what is broken off is no mistake then.
    pub(crate) may_break: bool,
    /// Sockets of no exchange: somebody else has connected.
    strays: Vec<Conn>,
    /// Whether all connections are given up now.
    pub(crate) abort_all: bool,
    /// How many bytes have been compared.
    pub(crate) compared: u64,
    pub(crate) manner: Manner,
    pub(crate) accept_queue: usize,
}

impl Programs {
    pub(crate) fn listen(
        &mut self,
        host: usize,
        port: u16,
        bearing: Bearing,
        backlog: usize,
        capacity: u64,
    ) {
        let listener = Listener {
            bearing,
            backlog,
            waiting: Rc::default(),
            capacity,
        };
        self.listeners.insert((host, port), listener);
    }

    pub(crate) fn take_due(&mut self) -> Vec<(End, Nanos)> {
        std::mem::take(&mut self.due)
    }

    fn wake(&mut self, end: End) {
        self.due.push((end, 0));
    }

    pub(crate) fn admit(
        &mut self,
        here: usize,
        ports: Ports,
        bearing: Bearing,
    ) -> Result<Embryo, Unwilling> {
        use crate::wire::control::Why;
        let listener = self.listeners.get(&(here, ports.source));
        let Some(listener) = listener.filter(|listener| listener.bearing == bearing) else {
            return Err(Unwilling::Refused(Why::NoSocket));
        };
        let full = match self.manner.kernels_backlog {
            true => self.accept_queue > listener.backlog,
            false => listener.waiting.get() >= listener.backlog,
        };
        if full {
            return Err(Unwilling::Busy);
        }
        listener.waiting.set(listener.waiting.get() + 1);
        Ok(Embryo {
            waiting: listener.waiting.clone(),
            capacity: listener.capacity,
        })
    }

    pub(crate) fn establish(
        &mut self,
        here: usize,
        there: usize,
        embryo: &mut Embryo,
        number: Number,
        ports: Ports,
    ) -> Result<Conn, Unwilling> {
        let end = End {
            exchange: usize::from(ports.destination.wrapping_sub(FIRST_PORT)),
            is_server: true,
        };
        if self.manner.kernels_backlog {
            let listener = &self.listeners[&(here, ports.source)];
            if self.accept_queue > listener.backlog {
                return Err(Unwilling::Busy);
            }
            self.accept_queue += 1;
        }
        let mut socket = Socket::new(end, here, there, embryo.capacity);
        socket.number = number;
        socket.opened = true;
        let conn = Rc::new(RefCell::new(socket));
        // A hostile peer may come from anywhere.
        if end.exchange < self.exchanges.len() {
            let before = self.sockets.insert((end.exchange, true), conn.clone());
            let before = before.filter(|before| before.borrow().gone.is_none());
            assert!(
                self.manner.lies || before.is_none(),
                "{end:?} is there twice"
            );
            self.strays.extend(before);
        } else {
            self.strays.push(conn.clone());
        }
        self.wake(end);
        Ok(conn)
    }

    /// A buffer grows, if it may, where its program keeps up.
    pub(crate) fn confined(&mut self, conn: &Conn) {
        let mut socket = conn.borrow_mut();
        if socket.arrived - socket.read <= socket.capacity / 4 {
            let larger = (2 * socket.capacity).min(self.manner.most_capacity);
            socket.capacity = socket.capacity.max(larger);
        }
    }

    pub(crate) fn opened(&mut self, conn: &Conn) {
        let mut socket = conn.borrow_mut();
        assert!(!socket.opened, "opened twice");
        socket.opened = true;
        self.wake(socket.end);
    }

    pub(crate) fn arrived(
        &mut self,
        conn: &Conn,
        number: Option<u32>,
        start: u32,
        len: u32,
        records: &[u32],
    ) -> bool {
        let mut socket = conn.borrow_mut();
        if socket.burden > 0 && socket.window() == 0 {
            return false;
        }
        if socket.arrived - socket.read + u64::from(len) > socket.capacity {
            assert!(number.is_none(), "more comes than was let come");
            return false;
        }
        if let Some(number) = number {
            assert_eq!(number, socket.end.other().writes(), "of another connection");
            assert_eq!(start, socket.arrived as u32, "not the next bytes");
            assert!(!socket.ended, "bytes after the end");
            self.compared += u64::from(len);
        }
        socket.arrived += u64::from(len);
        socket.burden += self.manner.overhead;
        if let Some(exchange) = self.exchanges.get(socket.end.exchange) {
            let script = exchange.scripts[usize::from(!socket.end.is_server)];
            for end in records {
                socket.records += 1;
                if self.manner.lies {
                    continue;
                }
                assert_eq!(*end, (socket.records * u64::from(script.len)) as u32);
            }
        }
        self.wake(socket.end);
        true
    }

    pub(crate) fn ended(&mut self, conn: &Conn) {
        let mut socket = conn.borrow_mut();
        assert!(!socket.ended, "ended twice");
        socket.ended = true;
        let other = socket.end.other();
        if let (false, Some(writer)) = (
            self.manner.lies,
            self.sockets.get(&(other.exchange, other.is_server)),
        ) {
            let writer = writer.borrow();
            assert_eq!(
                socket.arrived, writer.written,
                "{other:?}: not all has come"
            );
        }
        self.wake(socket.end);
    }

    pub(crate) fn stopped(&mut self, conn: &Conn) {
        let mut socket = conn.borrow_mut();
        socket.stopped = true;
        self.wake(socket.end);
    }

    pub(crate) fn sent_all(&mut self, conn: &Conn) {
        let mut socket = conn.borrow_mut();
        assert!(!socket.sent_all, "all is sent twice");
        socket.sent_all = true;
        let other = socket.end.other();
        if let (false, Some(reader)) = (
            socket.stopped || self.manner.lies,
            self.sockets.get(&(other.exchange, other.is_server)),
        ) {
            assert_eq!(
                reader.borrow().arrived,
                socket.written,
                "acknowledged too early"
            );
        }
        self.wake(socket.end);
    }

    pub(crate) fn gone(&mut self, conn: &Conn, outcome: Option<Outcome>) {
        let mut socket = conn.borrow_mut();
        assert!(socket.gone.is_none(), "gone twice");
        socket.gone = Some(outcome);
        let end = socket.end;
        self.wake(end);
        if end.exchange >= self.exchanges.len() {
            return;
        }
        let result = match outcome {
            None => Ok(()),
            Some(outcome) => Err(outcome),
        };
        if let Err(outcome) = result {
            assert!(
                self.may_break,
                "{end:?} is broken off: {outcome:?}, {} of it written, {} come, ended {}, all sent {}",
                socket.written, socket.arrived, socket.ended, socket.sent_all
            );
        }
        self.ends.insert((end.exchange, end.is_server), result);
    }

    pub(crate) fn restart(&mut self, host: usize) {
        self.sockets.retain(|(exchange, is_server), socket| {
            let stays = socket.borrow().host != host;
            if !stays {
                self.ends
                    .entry((*exchange, *is_server))
                    .or_insert(Err(Outcome::Gone));
            }
            stays
        });
        for ((of, _), listener) in &mut self.listeners {
            if *of == host {
                listener.waiting = Rc::default();
            }
        }
    }

    /// Everything has come to an end.
    pub(crate) fn check_settled(&self) {
        for (end, socket) in &self.sockets {
            let socket = socket.borrow();
            assert!(
                socket.gone.is_some(),
                "{end:?} is held for ever: {} written, {} come, {} read, opened {}, ended {}, all sent {}, closed {}",
                socket.written,
                socket.arrived,
                socket.read,
                socket.opened,
                socket.ended,
                socket.sent_all,
                socket.closed
            );
        }
        for (exchange, scripts) in self.exchanges.iter().map(|one| one.scripts).enumerate() {
            for is_server in [false, true] {
                let Some(Ok(())) = self.ends.get(&(exchange, is_server)) else {
                    assert!(self.may_break, "{exchange} {is_server} has no end");
                    continue;
                };
                let Some(socket) = self.sockets.get(&(exchange, is_server)) else {
                    continue;
                };
                let expected = scripts[usize::from(!is_server)];
                let socket = socket.borrow();
                if !socket.closed || !scripts[usize::from(is_server)].hurries {
                    let all = u64::from(expected.writes) * u64::from(expected.len);
                    assert_eq!(socket.arrived, all, "{exchange} {is_server}");
                }
            }
        }
        for listener in self.listeners.values() {
            assert_eq!(
                listener.waiting.get(),
                0,
                "a place in a backlog stays taken"
            );
        }
    }
}

/// How many bytes a program has queued at most, at first.
const SEND_BUFFER: u64 = 200_000;

impl Net {
    /// Begins an exchange.
    pub(crate) fn exchange(&mut self, at: Instant, exchange: Exchange) {
        self.programs.exchanges.push(exchange);
        let exchange = self.programs.exchanges.len() - 1;
        self.begin(
            at,
            End {
                exchange,
                is_server: false,
            },
        );
    }

    /// A program has its turn.
    pub(crate) fn program(&mut self, end: End) {
        let Some(exchange) = self.programs.exchanges.get(end.exchange).copied() else {
            return;
        };
        let key = (end.exchange, end.is_server);
        if self.programs.ends.contains_key(&key) {
            return;
        }
        let Some(conn) = self.programs.sockets.get(&key).cloned() else {
            if !end.is_server {
                self.connect(end, &exchange);
            }
            return;
        };
        self.read_some(&conn, &exchange);
        self.write_some(&conn, &exchange);
        self.close_when_done(&conn, &exchange);
        let (host, other) = (conn.borrow().host, conn.borrow().other);
        self.drive(host, other);
    }

    /// Ends the connections that nothing is sent on and whose other end has lost all that it knew,
    /// or was never known here: nobody would notice without being asked to keep them alive.
    pub(crate) fn abort_forsaken(&mut self) {
        let all = self.programs.abort_all;
        let strays = self.programs.strays.iter().filter(|_| all);
        let sockets = self.programs.sockets.values().chain(strays);
        let forsaken: Vec<Conn> = sockets
            .filter(|socket| {
                let socket = socket.borrow();
                let other = socket.end.other();
                let ends = &self.programs.ends;
                socket.gone.is_none()
                    && (all || matches!(ends.get(&(other.exchange, other.is_server)), Some(Err(_))))
            })
            .cloned()
            .collect();
        for conn in forsaken {
            self.act(&conn, Act::Abort);
            let (host, other) = (conn.borrow().host, conn.borrow().other);
            self.drive(host, other);
        }
    }

    fn connect(&mut self, end: End, exchange: &Exchange) {
        let (host, other) = (exchange.client, exchange.server);
        let conn = Rc::new(RefCell::new(Socket::new(end, host, other, 100_000)));
        let wish = Wish {
            ports: Ports {
                source: FIRST_PORT + end.exchange as u16,
                destination: exchange.port,
            },
            bearing: exchange.bearing,
            conn: conn.clone(),
            timeout: self.programs.manner.timeout.unwrap_or(TIMEOUT),
        };
        conn.borrow_mut().keeps_alive = self.programs.manner.keeps_alive;
        let key = (end.exchange, end.is_server);
        match self.with(host, other, |peer, now, host| peer.connect(now, wish, host)) {
            Ok(number) => {
                conn.borrow_mut().number = number;
                self.programs.sockets.insert(key, conn);
            }
            Err(_) => {
                self.programs.ends.insert(key, Err(Outcome::NoMemory));
            }
        }
        self.drive(host, other);
    }

    pub(crate) fn act_of(&mut self, exchange: usize, is_server: bool, act: Act) {
        let conn = self.programs.sockets[&(exchange, is_server)].clone();
        self.act(&conn, act);
        let (host, other) = (conn.borrow().host, conn.borrow().other);
        self.drive(host, other);
    }

    /// Queues one more piece, whatever the script says; returns whether it was taken.
    pub(crate) fn write_one(&mut self, exchange: usize, is_server: bool, len: u32) -> bool {
        let conn = self.programs.sockets[&(exchange, is_server)].clone();
        let (end, host, other, number, start) = {
            let socket = conn.borrow();
            (
                socket.end,
                socket.host,
                socket.other,
                socket.number,
                socket.written,
            )
        };
        let piece = Piece {
            end,
            start,
            len,
            segment_len: NonZeroU32::new(self.wiring.mtu - SEGMENT_LEN as u32).unwrap(),
            together: self.wiring.together,
            record: false,
            sent: Cell::new(false),
        };
        let taken = self.with(host, other, |peer, now, host| {
            matches!(peer.send(now, number, piece, false, host), Ok(None))
        });
        if taken {
            conn.borrow_mut().written += u64::from(len);
        }
        self.drive(host, other);
        taken
    }

    pub(crate) fn state_of(&self, exchange: usize, is_server: bool) -> String {
        match self.programs.sockets.get(&(exchange, is_server)) {
            None => "none".into(),
            Some(socket) => {
                let s = socket.borrow();
                format!(
                    "written {} arrived {} opened {} ended {} stopped {} sent_all {} gone {:?}",
                    s.written, s.arrived, s.opened, s.ended, s.stopped, s.sent_all, s.gone
                )
            }
        }
    }

    pub(crate) fn is_gone(&self, exchange: usize, is_server: bool) -> bool {
        self.programs
            .sockets
            .get(&(exchange, is_server))
            .is_some_and(|socket| socket.borrow().gone.is_some())
    }

    fn act(&mut self, conn: &Conn, act: Act) {
        let (host, other, number) = {
            let socket = conn.borrow();
            (socket.host, socket.other, socket.number)
        };
        self.with(host, other, |peer, now, host| {
            peer.act(now, number, act, host)
        });
    }

    fn read_some(&mut self, conn: &Conn, exchange: &Exchange) {
        let mut socket = conn.borrow_mut();
        let script = exchange.scripts[usize::from(socket.end.is_server)];
        let unread = socket.arrived - socket.read;
        let waiting = unread.min(self.programs.manner.sips.unwrap_or(u64::MAX));
        if waiting == 0 || script.reads == 0 {
            return;
        }
        match socket.reading {
            Some(until) if self.now < until => return,
            Some(_) => socket.reading = None,
            None => {
                // It takes its time for what there is, and then reads that.
                let after = (waiting * crate::engine::time::SECOND / script.reads).max(1);
                socket.reading = Some(self.now.plus(after));
                self.programs.due.push((socket.end, after));
                return;
            }
        }
        socket.read += waiting;
        socket.burden -= socket.burden * waiting / unread;
        // As a socket does: what it has refused is worth telling of when there is some room.
        let is_worth_it = u64::from(socket.window()) >= socket.capacity / 8;
        let (is_empty, is_over) = (waiting == unread, socket.gone.is_some());
        drop(socket);
        if is_worth_it || is_empty {
            self.act(conn, Act::Read);
        }
        if !is_empty && !is_over {
            self.read_some(conn, exchange);
        }
    }

    fn write_some(&mut self, conn: &Conn, exchange: &Exchange) {
        let mtu = self.wiring.mtu;
        let together = self.wiring.together;
        loop {
            let (piece, number, host, other) = {
                let socket = conn.borrow();
                let script = exchange.scripts[usize::from(socket.end.is_server)];
                let all = u64::from(script.writes) * u64::from(script.len);
                if !socket.opened || socket.gone.is_some() || socket.stopped {
                    return;
                }
                if socket.written >= all {
                    break;
                }
                let segment_len = NonZeroU32::new(mtu - SEGMENT_LEN as u32).unwrap();
                let rest = script.len - (socket.written % u64::from(script.len)) as u32;
                let len = match together {
                    1 => rest,
                    _ => rest.min(together * segment_len.get()),
                };
                let piece = Piece {
                    end: socket.end,
                    start: socket.written,
                    len,
                    segment_len,
                    together,
                    record: exchange.bearing == Bearing::Records && len == rest,
                    sent: Cell::new(false),
                };
                (piece, socket.number, socket.host, socket.other)
            };
            let len = u64::from(piece.len);
            let (end, room) = (conn.borrow().end, conn.borrow().send_room);
            let may_grow = room < self.programs.manner.most_capacity;
            let (sent, grows) = self.with(host, other, |peer, now, host| {
                let full = peer.unacknowledged(number) > room;
                let grows = full && may_grow && peer.wants_more(number);
                if full && !grows {
                    return (false, false);
                }
                (matches!(peer.send(now, number, piece, false, host), Ok(None)), grows)
            });
            if grows {
                conn.borrow_mut().send_room *= 2;
            }
            if !sent {
                let mut socket = conn.borrow_mut();
                if socket.gone.is_none() && !socket.stopped {
                    socket.writing = true;
                    self.programs.due.push((end, 100_000));
                }
                return;
            }
            conn.borrow_mut().written += len;
            self.drive(host, other);
        }
        if self.programs.manner.stay_open {
            return;
        }
        let mut socket = conn.borrow_mut();
        if !std::mem::replace(&mut socket.finished, true) {
            drop(socket);
            self.act(conn, Act::EndSending);
        }
    }

    fn close_when_done(&mut self, conn: &Conn, exchange: &Exchange) {
        let mut socket = conn.borrow_mut();
        let script = exchange.scripts[usize::from(socket.end.is_server)];
        let has_all = socket.ended && socket.read == socket.arrived;
        let done = has_all || script.hurries;
        if socket.finished && done && !socket.closed && socket.gone.is_none() {
            socket.closed = true;
            drop(socket);
            self.act(conn, Act::Close);
        }
    }
}
