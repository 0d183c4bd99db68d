// SPDX-License-Identifier: GPL-2.0

//! The stations that a device has to do with: each a [`Peer`] with its lock and its timer.

use crate::{
    addr::LinkAddr,
    device::Link,
    drive,
    engine::{
        limits::PEER_IDLE,
        peer::{
            info::Info,
            Peer, //
        },
        time::{
            Instant,
            Nanos,
            SECOND, //
        },
    },
    netns::{
        Netns,
        Way, //
    },
    socket::rdm::Rdm,
    transport::Transport, //
};
use kernel::{
    alloc::Flags,
    net::Sock,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        new_spinlock_bh,
        rcu,
        Arc,
        RcuTable,
        SpinLockBh, //
    },
    time::hrtimer::{
        Expire,
        Expiry,
        Timed, //
    },
};

/// Buckets of a device's table of stations, 2 KiB.
const BUCKETS: usize = 256;

/// How many stations a device has to do with at most.
const MAX_STATIONS: usize = 16384;

/// How many of these may be there because of packets that have come.
const MAX_UNASKED: usize = MAX_STATIONS / 2;

/// How long a station that has never shown that it is there is remembered.
const UNPROVEN_IDLE: Nanos = 5 * SECOND;

/// The stations of one device, by address.
pub(crate) type Stations = RcuTable<Timed<Station>, BUCKETS>;

/// A link-layer address behind one device.
#[pin_data]
pub(crate) struct Station {
    pub(crate) link: Arc<Link>,
    pub(crate) addr: LinkAddr,
    /// When the timer goes off, or later than ever.
    armed: Atomic<u64>,
    /// The [`Netns::generation`](crate::netns::Netns::generation) as of which it was known to be
    /// reached through its own device, and not to be this host.
    outward: Atomic<u32>,
    #[pin]
    pub(super) state: SpinLockBh<State>,
}

/// What the lock of a station protects.
pub(crate) struct State {
    pub(crate) peer: Peer<Transport>,
    /// Whether it is in no table any more. Who finds it so has to look for another.
    pub(crate) gone: bool,
}

impl Station {
    fn new(link: Arc<Link>, addr: LinkAddr) -> impl PinInit<Self> {
        let now = link.netns().now();
        pin_init!(Self {
            link,
            addr,
            armed: Atomic::new(Instant::NEVER.0),
            outward: Atomic::new(0),
            state <- new_spinlock_bh!(
                State {
                    peer: Peer::new(now),
                    gone: false,
                },
                "emt_station"
            ),
        })
    }

    /// Returns whether the timer goes off at `deadline` or before.
    pub(crate) fn wakes_before(&self, deadline: Instant) -> bool {
        self.armed.load(Relaxed) <= deadline.0
    }

    /// Sees to it that the timer goes off at `deadline` or before.
    #[inline]
    pub(crate) fn wake_by(this: &Arc<Timed<Self>>, deadline: Instant) {
        if deadline != Instant::NEVER && deadline.0 < this.armed.load(Relaxed) {
            Self::wake_earlier(this, deadline);
        }
    }

    #[inline(never)]
    fn wake_earlier(this: &Arc<Timed<Self>>, deadline: Instant) {
        this.armed.store(deadline.0, Relaxed);
        Timed::arm_before(this, this.link.netns().clock(deadline));
    }

    /// Returns whether it is known to be reached through its own device.
    #[inline]
    fn is_outward(&self) -> bool {
        self.outward.load(Relaxed) == self.link.netns().generation()
    }

    /// Calls `emit` with the way to the station, if there is one.
    pub(crate) fn with_way(&self, emit: impl FnOnce(Way<'_>)) {
        if self.is_outward() {
            return emit(Way {
                link: &self.link,
                from: self.link.address(),
                local: false,
            });
        }
        let netns = self.link.netns();
        // Read first: if anything changes meanwhile, the way is looked for again.
        let generation = netns.generation();
        // If there is none, the device is being disabled.
        if let Ok(route) = netns.route(self.link.ifindex(), self.addr) {
            if !route.local {
                self.outward.store(generation, Relaxed);
            }
            emit(route.way());
        }
    }

    /// Returns what is known of it.
    pub(crate) fn info(&self) -> Info {
        self.state.lock().peer.info(self.link.netns().now())
    }

    /// Forgets a station that nobody has had to do with for long; returns whether it is gone.
    fn forget(this: &Arc<Timed<Self>>, now: Instant) -> bool {
        let mut state = this.state.lock();
        if !state.gone && state.peer.is_quiet() && now >= expiry(&state.peer) {
            state.gone = true;
        }
        let gone = state.gone;
        drop(state);
        if gone {
            this.link.stations.remove(this.addr.to_bits(), this);
        }
        gone
    }
}

/// Returns when a peer that has nothing to do can be forgotten.
pub(crate) fn expiry(peer: &Peer<Transport>) -> Instant {
    if peer.is_proven() {
        peer.heard().plus(PEER_IDLE)
    } else {
        peer.heard().plus(UNPROVEN_IDLE)
    }
}

impl Expire for Station {
    fn expire(this: &Arc<Timed<Self>>) -> Expiry {
        this.armed.store(Instant::NEVER.0, Relaxed);
        let now = this.link.netns().now();
        if Self::forget(this, now) {
            return Expiry::Shutdown;
        }
        drive::drive(this, |peer, now, host| peer.handle_timeout(now, host));
        Expiry::Rearm
    }
}

/// Finds the station with an address that has sent a packet.
pub(crate) fn find<'a>(
    link: &'a Link,
    addr: LinkAddr,
    guard: &'a rcu::Guard,
) -> Option<&'a Arc<Timed<Station>>> {
    link.stations.get(addr.to_bits(), guard)
}

/// Finds the station that a message goes to, or begins to have to do with it.
///
/// As [`Netns::route`] finds the way; [`ENOBUFS`] and [`ENETDOWN`] as [`get`] has them. May sleep.
pub(crate) fn resolve(netns: &Netns, ifindex: i32, addr: LinkAddr) -> Result<Arc<Timed<Station>>> {
    {
        let guard = rcu::read_lock();
        let known = netns
            .link_at(ifindex, &guard)
            .and_then(|link| find(link, addr, &guard));
        if let Some(station) = known.filter(|station| station.is_outward()) {
            return Ok(station.clone());
        }
    }
    let route = netns.route(ifindex, addr)?;
    // It may be this host, by another device than the one that leads to it.
    let link = if route.link.ifindex() == route.ifindex {
        route.link
    } else {
        netns.link(route.ifindex).ok_or(ENODEV)?
    };
    get(&link, addr, false, GFP_KERNEL)
}

/// Finds a station, to keep it.
pub(crate) fn known(link: &Link, addr: LinkAddr) -> Option<Arc<Timed<Station>>> {
    find(link, addr, &rcu::read_lock()).cloned()
}

/// Finds a station, or begins to have to do with it.
///
/// [`ENOBUFS`] if there are too many, or memory is short; [`ENETDOWN`] if the device is just being
/// disabled. `unasked` if the reason is a packet that has come.
pub(crate) fn get(
    link: &Arc<Link>,
    addr: LinkAddr,
    unasked: bool,
    flags: Flags,
) -> Result<Arc<Timed<Station>>> {
    if let Some(known) = known(link, addr) {
        return Ok(known);
    }
    let most = if unasked { MAX_UNASKED } else { MAX_STATIONS };
    if link.stations.len() >= most {
        return Err(ENOBUFS);
    }
    let station = Arc::pin_init(Timed::new(Station::new(link.clone(), addr)), flags)?;
    let station = link
        .stations
        .get_or_insert(addr.to_bits(), station, flags)?;
    // Either this sees that the device is closed, or who closes it sees the station.
    if link.is_closed() {
        close_all(link);
        return Err(ENETDOWN);
    }
    Station::wake_by(&station, expiry(&station.state.lock().peer));
    Ok(station)
}

/// Ends all that is under way to and from a device that is being disabled.
pub(crate) fn close_all(link: &Link) {
    for station in link.stations.drain() {
        drive::close(&station);
        station.shutdown();
    }
}

/// Turns away what is on its way to a socket that is being closed.
pub(crate) fn refuse(link: &Link, sock: &Sock<Rdm>) {
    let guard = rcu::read_lock();
    for station in link.stations.iter(&guard) {
        drive::drive(station, |peer, _, host| {
            peer.refuse(host, |room| room.is_of(sock))
        });
    }
}

// Locks are as large as they are without checkers.
#[cfg(not(any(CONFIG_DEBUG_SPINLOCK, CONFIG_DEBUG_LOCK_ALLOC, CONFIG_PREEMPT_RT)))]
#[kernel::macros::kunit_tests(emt_station)]
mod tests {
    use super::*;

    /// With the count of its references. What is larger, the allocator makes twice as large.
    #[test]
    fn a_station_takes_a_kibibyte() {
        // Where there is one CPU, its two locks have no size.
        let locks = if cfg!(CONFIG_SMP) { 0 } else { 16 };
        assert!(size_of::<Timed<Station>>() + size_of::<usize>() + locks <= 1024);
    }
}
