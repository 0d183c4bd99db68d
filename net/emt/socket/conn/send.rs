// SPDX-License-Identifier: GPL-2.0

//! Sending: from the user's bytes to the connection's queue.

use super::{
    Conn,
    Line, //
};
use crate::{
    device::Link,
    engine::{
        host::Bearing,
        limits::MIN_SEGMENT, //
    },
    portion::{
        Cut,
        Portion, //
    },
    transport::HEADROOM,
    wire::{
        flow::FLOW_LEN,
        HEADER_LEN, //
    },
};
use core::num::NonZeroU16;
use kernel::{
    net::{
        msghdr::{
            SendMsg,
            MSG_MORE,
            MSG_NOSIGNAL,
            MSG_OOB, //
        },
        sock_state::SockState,
        sock_wait::Patience,
        Sock, //
    },
    prelude::*,
    sync::atomic::Acquire, //
};

/// Returns whether the user may send more; if not, whoever waits for that is woken.
pub(super) fn has_room(sock: &Sock<Conn>) -> bool {
    if sock.is_writeable() {
        return true;
    }
    sock.want_write_space();
    sock.is_writeable()
}

/// sendmsg().
pub(super) fn sendmsg(sock: &Sock<Conn>, msg: &mut SendMsg<'_>) -> Result<usize> {
    let flags = msg.flags();
    if flags & MSG_OOB != 0 {
        return Err(EOPNOTSUPP);
    }
    let mut patience = sock.snd_patience(msg.dontwait());
    let sent = wait_until_open(sock, msg, &mut patience).and_then(|()| match sock.bearing {
        Bearing::Stream => send_bytes(sock, msg, &mut patience),
        Bearing::Records => send_record(sock, msg, &mut patience),
    });
    if sent == Err(EPIPE) && flags & MSG_NOSIGNAL == 0 {
        sock.send_sigpipe();
    }
    sent
}

/// Waits until there is a connection, if it is being opened.
fn wait_until_open(sock: &Sock<Conn>, msg: &SendMsg<'_>, patience: &mut Patience) -> Result {
    if sock.state() == SockState::Opening {
        sock.wait(patience, |sock| {
            (sock.state() != SockState::Opening).then_some(())
        })?;
    }
    match sock.state() {
        SockState::Established | SockState::Closing if msg.name().is_some() => Err(EISCONN),
        SockState::Established | SockState::Closing => Ok(()),
        SockState::Listen | SockState::Opening => Err(ENOTCONN),
        // It has failed, which is told once.
        SockState::Close => {
            sock.take_error()?;
            Err(if sock.is_gone() { EPIPE } else { ENOTCONN })
        }
    }
}

/// Returns whether nothing can be sent any more.
fn is_over(sock: &Sock<Conn>) -> bool {
    sock.eventful.load(Acquire)
        && (sock.is_gone()
            || sock.stopped.load(Acquire)
            || sock.is_send_shutdown()
            || sock.pending_error())
}

/// Returns why nothing can be sent any more.
///
/// An error is taken by that, and told once: only where the call fails with it.
fn why_over(sock: &Sock<Conn>) -> Error {
    sock.take_error().err().unwrap_or(EPIPE)
}

/// Returns whether there is room for more, or none of it will ever be sent.
fn has_space(sock: &Sock<Conn>) -> bool {
    is_over(sock) || sock.wmem_alloc() < sock.sndbuf()
}

/// Makes the send buffer twice as large, if all that is in it is under way and the peer has room
/// for more: then its size alone holds the connection up.
fn make_space(sock: &Sock<Conn>, line: &Line) {
    let wants_more = line.drive(|peer, number, _, _| peer.wants_more(number));
    if wants_more == Some(true) {
        sock.grow_sndbuf(2 * usize::try_from(sock.sndbuf()).unwrap_or(0));
    }
}

/// Waits for room in the send buffer, or until nothing can be sent any more.
fn wait_for_space(sock: &Sock<Conn>, line: &Line, patience: &mut Patience) -> Result {
    if has_space(sock) {
        return Ok(());
    }
    make_space(sock, line);
    sock.wait(patience, |sock| {
        if !has_space(sock) {
            sock.want_write_space();
        }
        has_space(sock).then_some(())
    })
}

/// Returns how `len` bytes that go to the peer are cut.
fn cut(link: &Link, len: usize) -> Result<Cut> {
    let room = (link.max_payload() + HEADER_LEN).saturating_sub(FLOW_LEN);
    let each = u16::try_from(room).unwrap_or(u16::MAX);
    match NonZeroU16::new(each) {
        Some(each) if u32::from(each.get()) >= MIN_SEGMENT => {
            let is_long = len > usize::from(each.get());
            Ok(Cut::new(each, is_long && link.device().has_gso()))
        }
        _ => Err(EMSGSIZE),
    }
}

/// Returns the line of a socket that has a connection, or why there is none any more.
fn line_of(sock: &Sock<Conn>) -> Result<Line> {
    Line::of(sock).ok_or_else(|| why_over(sock))
}

/// Sends bytes; returns how many. Fails only if none was sent.
fn send_bytes(sock: &Sock<Conn>, msg: &mut SendMsg<'_>, patience: &mut Patience) -> Result<usize> {
    let (all, more) = (msg.len(), msg.flags() & MSG_MORE != 0);
    let line = line_of(sock)?;
    let mut turn = None;
    let mut sent = 0;
    while sent < all {
        let mut result = Ok(());
        if !has_space(sock) {
            // Others have their turn meanwhile.
            turn = None;
            result = wait_for_space(sock, &line, patience);
        }
        if is_over(sock) {
            break;
        }
        let result = result.and_then(|()| {
            turn.get_or_insert_with(|| sock.sending.lock());
            send_next(sock, &line, msg, all - sent, more)
        });
        match result {
            Ok(Some(len)) => sent += len,
            Ok(None) => break,
            Err(_) if sent > 0 => break,
            Err(error) => return Err(error),
        }
    }
    // Why it is over is told by a call that sends nothing.
    if sent == 0 && is_over(sock) {
        return Err(why_over(sock));
    }
    if sent < all && sent == 0 {
        return Err(EPIPE);
    }
    Ok(sent)
}

/// Sends the next bytes of a message, of which `left` are left; returns how many, or `None` if the
/// connection takes no more.
fn send_next(
    sock: &Sock<Conn>,
    line: &Line,
    msg: &mut SendMsg<'_>,
    left: usize,
    more: bool,
) -> Result<Option<usize>> {
    let cut = cut(&line.station.link, left)?;
    let len = left.min(cut.piece_len());
    // What will not go out at once leaves room for what comes next.
    let waits = more || sock.wmem_alloc() > 0;
    let room = match len < cut.segment_len() && waits {
        true => cut.segment_len(),
        false => len,
    };
    let skb = sock.send_part::<HEADROOM>(msg, len, room)?;
    let portion = Portion::new(skb, cut, false)?;
    let taken = queue(line, portion, more || len < left)?;
    Ok(taken.then_some(len))
}

/// Hands bytes to the connection; returns whether it takes them.
fn queue(line: &Line, portion: Portion, more: bool) -> Result<bool> {
    let queued = line.drive(|peer, number, now, host| peer.send(now, number, portion, more, host));
    match queued {
        Some(Ok(None)) => Ok(true),
        Some(Err(_)) => Err(ENOBUFS),
        Some(Ok(Some(_))) | None => Ok(false),
    }
}

/// Sends a record, all of it or nothing.
fn send_record(sock: &Sock<Conn>, msg: &mut SendMsg<'_>, patience: &mut Patience) -> Result<usize> {
    let len = msg.len();
    if len == 0 || len > sock.bound.netns().max_message() as usize {
        return Err(EMSGSIZE);
    }
    let line = line_of(sock)?;
    wait_for_space(sock, &line, patience)?;
    if is_over(sock) {
        return Err(why_over(sock));
    }
    let _turn = sock.sending.lock();
    let cut = cut(&line.station.link, len)?;
    if len <= cut.piece_len() {
        let portion = Portion::new(sock.send_whole::<HEADROOM>(msg)?, cut, true)?;
        return match queue(&line, portion, false)? {
            true => Ok(len),
            false => Err(why_over(sock)),
        };
    }
    let list = sock.send_skbs::<HEADROOM>(msg, cut.piece_len())?;
    let count = list.len();
    let mut portions = KVVec::with_capacity(count, GFP_KERNEL)?;
    for (at, skb) in list.enumerate() {
        portions.push(Portion::new(skb, cut, at + 1 == count)?, GFP_KERNEL)?;
    }
    let queued = line.drive(|peer, number, now, host| {
        if !peer.reserve(number, count) {
            return Err(ENOBUFS);
        }
        for portion in portions {
            // There is room: see above.
            if !matches!(peer.send(now, number, portion, false, host), Ok(None)) {
                return Err(EPIPE);
            }
        }
        Ok(())
    });
    match queued {
        Some(Ok(())) => Ok(len),
        Some(Err(ENOBUFS)) => Err(ENOBUFS),
        Some(Err(_)) | None => Err(why_over(sock)),
    }
}
