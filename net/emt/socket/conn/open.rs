// SPDX-License-Identifier: GPL-2.0

//! The beginning and the end of a connection, as the user wants them: connect(), shutdown(),
//! close().

use super::{
    listen,
    with_line,
    Conn,
    Line,
    Reading, //
};
use crate::{
    addr::Endpoint,
    drive,
    engine::{
        connections::{
            Act,
            Wish, //
        },
        host::Ports, //
    },
    socket::bound,
    station, //
};
use kernel::{
    fs::file::flags::O_NONBLOCK,
    net::{
        sock::{
            Shutdown,
            SockGuard, //
        },
        sock_state::SockState,
        Sock,
        SockAddr, //
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

/// connect(): asks the peer, and waits for its answer unless the user does not want to.
pub(super) fn connect(sock: &Sock<Conn>, addr: &SockAddr<'_>, flags: c_int) -> Result {
    if u32::from(addr.family().ok_or(EINVAL)?) == uapi::AF_UNSPEC {
        return Err(EOPNOTSUPP);
    }
    let nonblock = flags as u32 & O_NONBLOCK != 0;
    let mut unfinished = EINPROGRESS;
    let mut guard = sock.lock();
    match guard.state() {
        SockState::Listen => return Err(EOPNOTSUPP),
        // One connect() says that there is a connection: that which has waited for it, which may
        // have been interrupted and be called again, or the next.
        SockState::Established | SockState::Closing => {
            return match guard.connecting.xchg(false, Full) {
                true => Ok(()),
                false => Err(EISCONN),
            };
        }
        SockState::Opening if nonblock => return Err(EALREADY),
        SockState::Opening => unfinished = EALREADY,
        SockState::Close => {
            // That an earlier attempt has failed is told first.
            guard.take_error()?;
            drop(guard);
            let to = bound::endpoint(sock, addr)?;
            bound::source_port(sock)?;
            guard = sock.lock();
            match guard.state() {
                SockState::Close => begin(&mut guard, &to)?,
                // Another thread was faster.
                SockState::Listen => return Err(EOPNOTSUPP),
                SockState::Opening => return Err(EALREADY),
                SockState::Established | SockState::Closing => return Err(EISCONN),
            }
        }
    }
    if nonblock {
        // Also where the answer has come by now, as on a virtual device.
        return Err(EINPROGRESS);
    }
    let mut patience = sock.snd_patience(false);
    let waited = guard.wait(&mut patience, |sock| {
        (sock.state() != SockState::Opening).then_some(())
    });
    match waited {
        Ok(()) if guard.state() == SockState::Close => {
            guard.take_error()?;
            Err(ECONNABORTED)
        }
        Ok(()) => {
            guard.connecting.store(false, Relaxed);
            Ok(())
        }
        Err(EAGAIN) => Err(unfinished),
        Err(error) => Err(error),
    }
}

/// Has the peer asked for a connection.
fn begin(sock: &mut SockGuard<'_, Conn>, to: &Endpoint) -> Result {
    let netns = sock.bound.netns().clone();
    let mut station = station::resolve(&netns, to.ifindex, to.link)?;
    // The last reference is the caller's.
    let mut conn = sock.try_hold().ok_or(EBADF)?;
    forget(sock);
    sock.bound.set_peer(Some(&Endpoint {
        ifindex: station.link.ifindex(),
        ..*to
    }));
    let ports = Ports {
        source: sock.bound.port(),
        destination: to.port,
    };
    sock.set_state(SockState::Opening);
    sock.connecting.store(true, Relaxed);
    // Of an earlier connection; not to be dropped under a lock.
    let mut before = None;
    loop {
        drop(before.take());
        let mut kept = Some(conn);
        let asked = drive::drive(&station, |peer, now, host| {
            let wish = Wish {
                ports,
                bearing: sock.bearing,
                conn: kept.take()?,
                timeout: sock.user_timeout(),
            };
            let asked = peer.connect(now, wish, host);
            if let Ok(number) = asked {
                // Before anything can happen to the connection, which takes the station's lock.
                let line = Line {
                    station: station.clone(),
                    number,
                };
                before = sock.line.lock().replace(line);
            }
            Some(asked.map(drop))
        });
        match (asked, kept) {
            (Some(Some(Ok(()))), _) => return Ok(()),
            // It was just being forgotten.
            (None, Some(back)) => match station::resolve(&netns, to.ifindex, to.link) {
                Ok(another) => (conn, station) = (back, another),
                Err(error) => return give_up(sock, error),
            },
            _ => return give_up(sock, ENOBUFS),
        }
    }
}

/// Takes back what was begun.
fn give_up(sock: &SockGuard<'_, Conn>, error: Error) -> Result {
    sock.set_state(SockState::Close);
    sock.bound.set_peer(None);
    Err(error)
}

/// Forgets the connection that there was.
fn forget(sock: &mut SockGuard<'_, Conn>) {
    sock.reopen();
    for flag in [
        &sock.ended,
        &sock.stopped,
        &sock.sent_all,
        &sock.gone,
        &sock.eventful,
    ] {
        flag.store(false, Release);
    }
    let before = core::mem::replace(&mut *sock.reading.lock(), Reading::new());
    drop((before, sock.take_received()));
    sock.unread.store(0, Release);
    sock.records.store(0, Release);
    sock.untold.store(0, Relaxed);
    sock.owed.store(false, Relaxed);
    sock.confined.store(false, Relaxed);
}

/// shutdown(): of a connection, or of a socket that takes them.
pub(super) fn shutdown(sock: &Sock<Conn>, how: Shutdown) -> Result {
    let mut guard = sock.lock();
    match guard.state() {
        SockState::Close => return Err(ENOTCONN),
        SockState::Listen => {
            if how != Shutdown::Send {
                listen::close(&guard);
            }
            return Ok(());
        }
        SockState::Opening | SockState::Established | SockState::Closing => {}
    }
    // First: who is woken looks at it.
    guard.eventful.store(true, Release);
    guard.shutdown(how);
    with_line(&guard, |peer, number, now, host| {
        if how != Shutdown::Receive {
            peer.act(now, number, Act::EndSending, host);
        }
        if how != Shutdown::Send {
            peer.act(now, number, Act::StopReceiving, host);
        }
    });
    Ok(())
}

/// close(): what was sent still arrives, unless something that was received was not read, or the
/// user does not want that.
pub(super) fn release(sock: &Sock<Conn>) {
    bound::release(sock);
    let guard = sock.lock();
    if guard.state() == SockState::Listen {
        listen::close(&guard);
    }
    let linger = guard.linger();
    let resets = linger.is_some_and(|patience| patience.is_over());
    let closing = with_line(&guard, |peer, number, now, host| {
        // Here, where nothing more can come meanwhile: what is acknowledged is read, or the peer
        // learns that it was not.
        let act = match resets || guard.unread() > 0 {
            true => Act::Abort,
            false => Act::Close,
        };
        peer.act(now, number, act, host) && act == Act::Close
    });
    drop(guard);
    if let (Some(mut patience), Some(true)) = (linger, closing) {
        // If it takes too long, or a signal comes, it goes on alone.
        let _ = sock.wait(&mut patience, |sock| {
            (sock.sent_all.load(Acquire) || sock.is_gone()).then_some(())
        });
    }
    let line = sock.line.lock().take();
    drop(line);
    let before = core::mem::replace(&mut *sock.reading.lock(), Reading::new());
    drop(before);
}
