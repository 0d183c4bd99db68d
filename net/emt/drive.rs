// SPDX-License-Identifier: GPL-2.0

//! The one way to do anything with a station: call its peer, send what is to be sent, set the
//! timer.
//!
//! Packets leave, and others learn that they may send, after the lock was given up.

use crate::{
    device::Link,
    engine::{
        peer::Peer,
        time::Instant, //
    },
    socket::rdm,
    station::{
        self,
        Station, //
    },
    transport::{
        Others,
        Surroundings,
        Transport, //
    },
};
use kernel::{
    sync::Arc,
    time::hrtimer::Timed, //
};

/// After how many packets others have their turn.
const BURST: u32 = 64;

/// Calls the peer of a station, and does what follows from it.
///
/// `None` if the station is gone. Any context but hard interrupts, with no station's lock held.
pub(crate) fn drive<R>(
    station: &Arc<Timed<Station>>,
    call: impl FnOnce(&mut Peer<Transport>, Instant, &mut Surroundings<'_>) -> R,
) -> Option<R> {
    let now = station.link.netns().now();
    let mut host = Surroundings::new(station, now);
    let mut state = station.state.lock();
    if state.gone {
        return None;
    }
    let result = call(&mut state.peer, now, &mut host);
    let deadline = if state.peer.transmit(now, BURST, &mut host) {
        now
    } else if station.wakes_before(state.peer.soonest(now)) {
        Instant::NEVER
    } else if state.peer.is_quiet() {
        station::expiry(&state.peer)
    } else {
        state.peer.deadline()
    };
    drop(state);

    host.flush();
    Station::wake_by(station, deadline);
    if let Some(others) = host.take_others() {
        tell(&station.link, others);
    }
    Some(result)
}

/// Tells other stations, or this one, that they may send.
fn tell(link: &Link, others: Others) {
    for (addr, transfer, limit) in others.granted {
        if let Some(station) = station::known(link, addr) {
            drive(&station, |peer, now, _| peer.grant(now, transfer, limit));
        }
    }
    if let Some(sock) = others.released {
        rdm::wake_waiters(&sock);
    }
}

/// Ends all that a station has under way: its device is being disabled.
pub(crate) fn close(station: &Arc<Timed<Station>>) {
    let mut host = Surroundings::new(station, station.link.netns().now());
    let mut state = station.state.lock();
    state.gone = true;
    state.peer.close(&mut host);
}
