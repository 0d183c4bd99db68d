// SPDX-License-Identifier: GPL-2.0

//! Receiving: from the packets in the queue to the user's buffer.

use super::{
    events,
    with_line,
    Conn, //
};
use crate::engine::{
    connections::Act,
    host::Bearing, //
};
use kernel::{
    net::{
        msghdr::{
            RecvMsg,
            MSG_DONTWAIT,
            MSG_ERRQUEUE,
            MSG_OOB,
            MSG_PEEK,
            MSG_TRUNC,
            MSG_WAITALL, //
        },
        sock_state::SockState,
        sock_wait::Patience,
        SkBuff,
        SkBuffList,
        Sock, //
    },
    prelude::*,
    sync::atomic::{
        Acquire,
        Full,
        Relaxed,
        Release, //
    },
    uapi, //
};

/// Packets that were taken from the receive queue, and how much of the first one was read.
#[derive(Default)]
pub(super) struct Reading {
    list: SkBuffList,
    offset: usize,
}

/// What there is of a record.
#[derive(Clone, Copy)]
struct Record {
    len: usize,
    is_whole: bool,
}

impl Reading {
    pub(super) const fn new() -> Self {
        Self {
            list: SkBuffList::new(),
            offset: 0,
        }
    }

    /// Calls `visit` with each packet from `skip` bytes on, where in it to begin, and how many
    /// bytes there are up to `len` in all; returns how many that were.
    fn visit(
        &self,
        skip: usize,
        len: usize,
        mut visit: impl FnMut(&SkBuff, usize, usize) -> Result,
    ) -> (usize, Result) {
        let (mut skip, mut done) = (self.offset + skip, 0);
        for skb in self.list.iter() {
            if done == len {
                break;
            }
            let Some(left) = skb.len().checked_sub(skip).filter(|left| *left > 0) else {
                skip -= skb.len();
                continue;
            };
            let part = left.min(len - done);
            if let Err(error) = visit(&skb, skip, part) {
                return (done, Err(error));
            }
            done += part;
            skip = 0;
        }
        (done, Ok(()))
    }

    /// Copies up to `len` bytes from `skip` on to the user's buffer; returns how many.
    fn copy(&self, msg: &mut RecvMsg<'_>, skip: usize, len: usize) -> (usize, Result) {
        self.visit(skip, len, |skb, at, part| {
            skb.copy_to_iter(at, msg.iter(), part)
        })
    }

    /// Returns how many bytes there are from `skip` on, counted up to `len`.
    fn count(&self, skip: usize, len: usize) -> usize {
        self.visit(skip, len, |_, _, _| Ok(())).0
    }

    /// Frees the first `len` bytes.
    fn consume(&mut self, mut len: usize) {
        while let Some(skb) = self.list.front() {
            let left = skb.len() - self.offset;
            if len < left {
                self.offset += len;
                return;
            }
            len -= left;
            self.offset = 0;
            if let Some(skb) = self.list.pop_front() {
                skb.consume();
            }
            if len == 0 {
                return;
            }
        }
    }

    /// Returns what there is of the record that has the byte after `skip` others.
    fn record(&self, skip: usize) -> Record {
        let skip = self.offset + skip;
        let mut end = 0;
        let mut is_whole = false;
        for skb in self.list.iter() {
            end += skb.len();
            if skb.ends_record() && end > skip {
                is_whole = true;
                break;
            }
        }
        Record {
            len: end.saturating_sub(skip),
            is_whole,
        }
    }
}

/// Returns whether receiving would not wait: what poll() tells.
pub(super) fn is_readable(sock: &Sock<Conn>) -> bool {
    match sock.bearing {
        Bearing::Records => sock.records.load(Acquire) > 0 || is_cramped(sock),
        Bearing::Stream => sock.unread() >= sock.rcvlowat(false, usize::MAX) || is_cramped(sock),
    }
}

/// Returns whether there is something, and so little room for more that it is not to be waited for.
fn is_cramped(sock: &Sock<Conn>) -> bool {
    sock.unread() > 0 && sock.rmem_alloc() >= sock.rcvbuf() / 2
}

/// Moves to `reading` what was received since.
fn refill(sock: &Sock<Conn>, reading: &mut Reading) {
    reading.list.append(&mut sock.take_received());
}

/// recvmsg().
pub(super) fn recvmsg(sock: &Sock<Conn>, msg: &mut RecvMsg<'_>) -> Result<usize> {
    let flags = msg.flags();
    if flags & MSG_OOB != 0 {
        return Err(EOPNOTSUPP);
    }
    if flags & MSG_ERRQUEUE != 0 {
        return sock.recv_errqueue(msg, uapi::SOL_EMT as c_int, uapi::EMT_RECVERR as c_int);
    }
    match sock.state() {
        SockState::Listen | SockState::Opening => return Err(ENOTCONN),
        SockState::Close if !sock.is_gone() => {
            sock.take_error()?;
            return Err(ENOTCONN);
        }
        SockState::Close | SockState::Established | SockState::Closing => {}
    }
    match sock.bearing {
        Bearing::Stream => receive_bytes(sock, msg),
        Bearing::Records => receive_record(sock, msg),
    }
}

/// Takes note that the first `len` bytes were read, and tells the peer of the room that this makes,
/// if it has become much.
fn consume(sock: &Sock<Conn>, reading: &mut Reading, len: usize) {
    reading.consume(len);
    // What was turned away because of these bytes is looked at after that: see `arrived`.
    sock.unread.fetch_sub(len as i64, Full);
    if len > 0 {
        sock.peek_rewind(len);
        sock.untold.fetch_add(len as i64, Relaxed);
    }
}

/// Tells the peer of the room that reading has made, if it has become much.
///
/// A reader who finds no more although the peer has more to send is held up by the size of the
/// buffer alone, which becomes twice as large.
fn tell_of_room(sock: &Sock<Conn>) {
    if sock.confined.load(Relaxed) && sock.unread() == 0 {
        sock.confined.store(false, Relaxed);
        sock.grow_rcvbuf(2 * usize::try_from(sock.rcvbuf()).unwrap_or(0));
        sock.untold.store(i64::MAX / 2, Relaxed);
    }
    let much = events::much(sock);
    // What was turned away is sent again, which should be for more than a packet or two.
    let owed = sock.owed.load(Relaxed) && (sock.unread() == 0 || events::room(sock) >= much);
    if owed || sock.untold.load(Relaxed) >= i64::from(much) {
        sock.owed.store(false, Relaxed);
        with_line(sock, |peer, number, now, host| {
            peer.act(now, number, Act::Read, host)
        });
    }
}

/// What has been waited for.
#[derive(PartialEq, Eq)]
enum More {
    /// There is more.
    Came,
    /// No more will come.
    Never,
}

/// Waits until more than `seen` bytes are there, or no more will come.
fn wait_for_more(sock: &Sock<Conn>, patience: &mut Patience, seen: usize) -> Result<More> {
    sock.wait_to_read(patience, |sock| {
        // Looked at first: what has come before the end is counted then.
        let over = is_over(sock);
        if sock.unread() > seen {
            Some(More::Came)
        } else {
            over.then_some(More::Never)
        }
    })
}

/// Returns whether nothing comes any more after what is there.
fn is_over(sock: &Sock<Conn>) -> bool {
    sock.eventful.load(Acquire)
        && (sock.ended.load(Acquire)
            || sock.is_gone()
            || sock.is_receive_shutdown()
            || sock.pending_error())
}

/// Returns what a receiver gets that finds nothing where nothing comes any more: 0 at the end, or
/// the error, which is taken by that and told once.
fn end(sock: &Sock<Conn>) -> Result<usize> {
    if !sock.ended.load(Acquire) && !sock.is_receive_shutdown() {
        sock.take_error()?;
    }
    Ok(0)
}

/// Receives bytes; returns how many.
fn receive_bytes(sock: &Sock<Conn>, msg: &mut RecvMsg<'_>) -> Result<usize> {
    let (flags, len) = (msg.flags(), msg.len());
    if flags & MSG_PEEK != 0 {
        return peek_bytes(sock, msg);
    }
    let mut patience = sock.rcv_patience(flags & MSG_DONTWAIT != 0);
    let target = sock.rcvlowat(flags & MSG_WAITALL != 0, len).min(len);
    let mut copied = 0;
    while copied < len {
        if sock.unread() > 0 {
            let (part, result) = take_bytes(sock, msg, len - copied);
            copied += part;
            tell_of_room(sock);
            match result {
                Err(error) if copied == 0 => return Err(error),
                Err(_) => break,
                Ok(()) if copied >= target => break,
                Ok(()) => {}
            }
        }
        match wait_for_more(sock, &mut patience, 0) {
            Ok(More::Came) => {}
            Ok(More::Never) if copied == 0 => return end(sock),
            Err(error) if copied == 0 => return Err(error),
            Ok(More::Never) | Err(_) => break,
        }
    }
    Ok(copied)
}

/// Takes up to `len` bytes of what is there; returns how many.
fn take_bytes(sock: &Sock<Conn>, msg: &mut RecvMsg<'_>, len: usize) -> (usize, Result) {
    let mut reading = sock.reading.lock();
    refill(sock, &mut reading);
    let (part, result) = match msg.flags() & MSG_TRUNC {
        0 => reading.copy(msg, 0, len),
        _ => (reading.count(0, len), Ok(())),
    };
    consume(sock, &mut reading, part);
    (part, result)
}

/// Copies bytes that stay; returns how many.
fn peek_bytes(sock: &Sock<Conn>, msg: &mut RecvMsg<'_>) -> Result<usize> {
    let (flags, len) = (msg.flags(), msg.len());
    let mut patience = sock.rcv_patience(flags & MSG_DONTWAIT != 0);
    let target = sock.rcvlowat(flags & MSG_WAITALL != 0, len).min(len);
    // If that is not set, with the first.
    let skip = usize::try_from(sock.peek_offset(flags)).unwrap_or(0);
    let mut waits = len > 0;
    loop {
        let over = is_over(sock);
        let seen = sock.unread();
        {
            let mut reading = sock.reading.lock();
            refill(sock, &mut reading);
            let there = reading.count(skip, len);
            if there >= target || there > 0 && (over || !waits || is_cramped(sock)) {
                let (copied, result) = reading.copy(msg, skip, there);
                sock.peek_advance(copied);
                return result.map(|()| copied);
            }
        }
        if over || !waits {
            return end(sock);
        }
        match wait_for_more(sock, &mut patience, seen.max(skip)) {
            Ok(More::Came) => {}
            Ok(More::Never) => waits = false,
            Err(_) if seen > skip => waits = false,
            Err(error) => return Err(error),
        }
    }
}

/// Receives a record, or a part of it; returns how many bytes.
///
/// A part is what the user's buffer has room for; or what there is, if the receive buffer cannot
/// take much more of it and the user does not want to wait for all (MSG_WAITALL).
fn receive_record(sock: &Sock<Conn>, msg: &mut RecvMsg<'_>) -> Result<usize> {
    let flags = msg.flags();
    let peeks = flags & MSG_PEEK != 0;
    let all = flags & (MSG_WAITALL | MSG_PEEK) == MSG_WAITALL;
    let mut patience = sock.rcv_patience(flags & MSG_DONTWAIT != 0);
    let skip = match peeks {
        true => usize::try_from(sock.peek_offset(flags)).unwrap_or(0),
        false => 0,
    };
    let mut copied = 0;
    loop {
        // Looked at first: what has come before the end is there then.
        let over = is_over(sock);
        let seen = sock.unread();
        let left = msg.len() - copied;
        if seen > skip {
            let mut reading = sock.reading.lock();
            refill(sock, &mut reading);
            let record = reading.record(skip);
            let fills = left > 0 && record.len >= left;
            let ready = record.is_whole || fills || over || is_cramped(sock);
            if ready && record.len > 0 {
                let (part, result) = take_record(sock, &mut reading, msg, skip, left, record);
                drop(reading);
                tell_of_room(sock);
                result?;
                copied += part;
                if !all || record.is_whole && part == record.len || copied == msg.len() {
                    let rest = record.len - part;
                    return Ok(if flags & MSG_TRUNC != 0 {
                        copied + rest
                    } else {
                        copied
                    });
                }
                continue;
            }
        }
        match wait_for_more(sock, &mut patience, seen) {
            Ok(More::Came) => {}
            Ok(More::Never) if sock.unread() > skip => {}
            Ok(More::Never) if copied == 0 => return end(sock),
            Err(error) if copied == 0 => return Err(error),
            Ok(More::Never) | Err(_) => return Ok(copied),
        }
    }
}

/// Takes what there is of a record, as far as there is room for `room` bytes; returns how many.
fn take_record(
    sock: &Sock<Conn>,
    reading: &mut Reading,
    msg: &mut RecvMsg<'_>,
    skip: usize,
    room: usize,
    record: Record,
) -> (usize, Result) {
    let (copied, result) = reading.copy(msg, skip, record.len.min(room));
    let ends = record.is_whole && copied == record.len;
    if msg.flags() & MSG_PEEK != 0 {
        sock.peek_advance(copied);
    } else {
        if ends {
            sock.records.fetch_sub(1, Release);
        }
        consume(sock, reading, copied);
    }
    if ends {
        msg.set_end_of_record();
    }
    (copied, result)
}
