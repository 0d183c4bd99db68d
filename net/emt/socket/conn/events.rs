// SPDX-License-Identifier: GPL-2.0

//! What becomes of a connection, told to its socket. All of it is called under the lock of the
//! station.

use super::{
    recv,
    Conn, //
};
use crate::{
    engine::host::{
        Bearing,
        Outcome, //
    },
    message::Bytes, //
};
use core::num::NonZero;
use kernel::{
    math64::div64_u64,
    net::{
        sock_state::SockState,
        Sock,
        SockRef, //
    },
    prelude::*,
    sync::atomic::{
        Full,
        Relaxed, //
        Release,
    },
};

/// Returns for how many bytes more there is room: packets mostly take up to twice as much of memory
/// as they bring.
///
/// None if there is little and something to be read. Else a peer that always has more to send would
/// be let send half of what is left, and half of that again, down to single bytes (RFC 1122,
/// 4.2.3.3). Who reads tells of more.
pub(crate) fn window(sock: &Sock<Conn>) -> u32 {
    // Whoever asks tells the peer.
    sock.untold.store(0, Relaxed);
    let mut free = room(sock);
    if free < much(sock) && sock.unread() > 0 {
        // As for what does not fit: see `arrived`.
        sock.owed.xchg(true, Full);
        free = room(sock);
        if free < much(sock) && sock.unread() > 0 {
            return 0;
        }
    }
    let (bytes, memory) = (sock.unread() as u64, sock.rmem_alloc().unsigned_abs());
    match NonZero::new(u64::from(memory)) {
        // Tiny packets take more. What comes next is taken for the like of what is there.
        Some(memory) if bytes > 0 && memory.get() > 2 * bytes => {
            div64_u64(u64::from(free) * bytes, memory) as u32
        }
        _ => free / 2,
    }
}

/// Returns how much room is worth telling the peer of while there is something to be read.
pub(super) fn much(sock: &Sock<Conn>) -> u32 {
    sock.rcvbuf().unsigned_abs() / 8
}

/// Returns how much memory the receive buffer has left.
pub(crate) fn room(sock: &Sock<Conn>) -> u32 {
    let free = i64::from(sock.rcvbuf()) - i64::from(sock.rmem_alloc());
    u32::try_from(free).unwrap_or(0)
}

/// Returns whether nothing more is taken before something was read.
fn is_full(sock: &Sock<Conn>) -> bool {
    sock.unread() > 0 && room(sock) == 0
}

/// The peer has accepted.
pub(crate) fn opened(sock: &Sock<Conn>) {
    sock.set_state(SockState::Established);
    sock.state_changed();
}

/// Queues bytes that have come; returns whether there was room.
pub(crate) fn arrived(sock: &Sock<Conn>, bytes: Bytes) -> bool {
    // What was let come fits. Tiny packets take more of memory than that.
    if is_full(sock) {
        // Whoever reads tells the peer. Who has read all before this could be seen tells nobody,
        // which shows then.
        sock.owed.xchg(true, Full);
        if is_full(sock) {
            return false;
        }
    }
    let len = bytes.count();
    let packets = bytes.into_packets();
    if sock.bearing == Bearing::Records {
        let records = packets.iter().filter(|skb| skb.ends_record()).count();
        sock.records.fetch_add(records as i64, Release);
    }
    sock.queue_bytes(packets);
    sock.unread.fetch_add(len as i64, Release);
    if recv::is_readable(sock) {
        sock.data_ready();
    }
    true
}

/// The peer has more to send than there is room for.
pub(crate) fn confined(sock: &Sock<Conn>) {
    sock.confined.store(true, Relaxed);
}

/// The peer sends no more.
pub(crate) fn ended(sock: &Sock<Conn>) {
    sock.happens(&sock.ended);
    sock.state_changed();
}

/// The peer takes no more. If it has not taken all, that is an error as of a reset.
pub(crate) fn stopped(sock: &Sock<Conn>, lost: bool) {
    if lost && !sock.is_dead() {
        sock.report_error(ECONNRESET);
    }
    sock.happens(&sock.stopped);
    sock.state_changed();
}

/// The peer has all.
pub(crate) fn sent_all(sock: &Sock<Conn>) {
    sock.happens(&sock.sent_all);
    sock.state_changed();
}

/// The connection is over.
pub(crate) fn closed(sock: SockRef<Conn>) {
    hang_up(&sock);
    sock.happens(&sock.gone);
    sock.state_changed();
}

/// Gives up the station, which others keep meanwhile.
fn hang_up(sock: &Sock<Conn>) {
    let line = sock.line.lock().take();
    drop(line);
}

/// The connection has failed.
pub(crate) fn broken(sock: SockRef<Conn>, outcome: Outcome) {
    let was_opening = sock.state() == SockState::Opening;
    hang_up(&sock);
    if !sock.is_dead() {
        sock.report_error(match outcome {
            Outcome::Refused(_) => ECONNREFUSED,
            Outcome::Unreachable => EHOSTUNREACH,
            Outcome::TimedOut => ETIMEDOUT,
            Outcome::Delivered | Outcome::Reset => ECONNRESET,
            Outcome::Gone => ENETDOWN,
            Outcome::NoMemory => ENOBUFS,
        });
    }
    // After the error, so that who sees that it is gone finds why; and at last what lets the socket
    // connect again.
    if !was_opening {
        sock.happens(&sock.gone);
    }
    sock.set_state(SockState::Close);
    sock.state_changed();
}
