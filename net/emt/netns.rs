// SPDX-License-Identifier: GPL-2.0

//! What EMT keeps for each network namespace: the devices that carry it and the bound sockets.
//!
//! Lock order, outer to inner:
//!
//! 1. the RTNL, under which devices are enabled and disabled;
//! 2. a socket's lock;
//! 3. the locks of the tables of sockets: `Netns::dgrams`, `rdms`, `streams`, `seqpackets` (BH);
//! 4. `Netns::links`, the lock of the table of devices (BH).
//!
//! Receiving datagrams takes none of them: it comes with its device and finds the socket under RCU.
//!
//! Reliable messages take the lock of a station (BH), never two of them, and inside it those of
//! `Link::grants`, of `Rdm::waiters`, of `Conn::backlog`, of `Conn::line` or of a receive queue,
//! which are leaves, as are those of `Netns::by_index`, of the tables of stations and of timers.
//! A socket's lock is held when a station's is taken, never the other way round. A packet is handed
//! to a device with none of them held.
//!
//! Two mutexes keep the threads of a connection apart: `Conn::sending`, outside of a station's
//! lock, and `Conn::reading`, inside a socket's lock and outside of that of the receive queue.

use crate::{
    addr::LinkAddr,
    device::{
        Enabled,
        Link, //
    },
    engine::{
        host::Bearing,
        limits::MAX_MESSAGE,
        time::Instant, //
    },
    error::COUNTERS,
    socket::{
        conn::Conn,
        dgram::Dgram,
        rdm::Rdm, //
    },
};
use kernel::{
    alloc::kvec::InsertError,
    net::{
        device::Rtnl,
        namespace::{
            PerNamespace,
            State, //
        },
        sock_table::SockTable, //
    },
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        new_spinlock_bh,
        rcu,
        Arc,
        ArcBorrow,
        RcuTable,
        SpinLockBh, //
    },
    time::{
        self,
        Delta,
        Monotonic, //
    },
};

/// Finds a namespace's [`Netns`].
pub(crate) static NETNS: PerNamespace<Netns> = PerNamespace::new();

/// Buckets of the table of sockets, 2 KiB for each namespace. A bucket has at most 256 ports.
pub(crate) const BUCKETS: usize = 256;

/// Buckets of the table of devices.
const LINK_BUCKETS: usize = 16;

/// EMT in one network namespace.
#[pin_data]
pub(crate) struct Netns {
    /// The devices that carry EMT, in the order of their interface indices.
    #[pin]
    links: SpinLockBh<KVec<Enabled>>,
    /// The same devices, to be found without a lock.
    #[pin]
    by_index: RcuTable<Link, LINK_BUCKETS>,
    /// The bound datagram sockets, by port.
    #[pin]
    pub(crate) dgrams: SockTable<Dgram, BUCKETS>,
    /// The bound sockets for reliable messages, by port.
    #[pin]
    pub(crate) rdms: SockTable<Rdm, BUCKETS>,
    /// The bound sockets for connections of bytes and of records, by port.
    #[pin]
    streams: SockTable<Conn, BUCKETS>,
    #[pin]
    seqpackets: SockTable<Conn, BUCKETS>,
    /// Changes whenever one of the devices, or the address of one, does.
    generation: Atomic<u32>,
    /// The longest reliable message in bytes.
    max_message: Atomic<u32>,
    /// What the devices have counted that no longer carry EMT.
    retired: [Atomic<u64>; COUNTERS],
    /// When it began: the engine's time counts from there.
    start: time::Instant<Monotonic>,
}

impl State for Netns {
    fn registry() -> &'static PerNamespace<Self> {
        &NETNS
    }

    fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            links <- new_spinlock_bh!(KVec::new(), "emt_links"),
            by_index <- RcuTable::new(),
            dgrams <- SockTable::new(),
            rdms <- SockTable::new(),
            streams <- SockTable::new(),
            seqpackets <- SockTable::new(),
            generation: Atomic::new(1),
            max_message: Atomic::new(MAX_MESSAGE),
            retired: [const { Atomic::new(0) }; COUNTERS],
            start: time::Instant::now(),
        })
    }

    fn pre_exit(this: ArcBorrow<'_, Self>) {
        // The devices are still there. What is taken out must not be dropped under the lock.
        let enabled = {
            let mut links = this.links.lock();
            this.changed();
            core::mem::take(&mut *links)
        };
        this.by_index.drain().for_each(drop);
        drop(enabled);
    }
}

/// The way to a destination.
pub(crate) struct Route {
    /// The device that the packet goes to: out through, or into if it is `local`.
    pub(crate) link: Arc<Link>,
    /// The interface that the destination is reached by, which is the one asked for.
    pub(crate) ifindex: i32,
    /// The address that the packet comes from.
    pub(crate) from: LinkAddr,
    /// The longest payload of one packet.
    pub(crate) max_payload: usize,
    /// Whether the destination is this host.
    pub(crate) local: bool,
}

/// Where a packet goes, and what it comes from.
#[derive(Clone, Copy)]
pub(crate) struct Way<'a> {
    /// See [`Route`].
    pub(crate) link: &'a Link,
    pub(crate) from: LinkAddr,
    pub(crate) local: bool,
}

impl Route {
    pub(crate) fn way(&self) -> Way<'_> {
        Way {
            link: &self.link,
            from: self.from,
            local: self.local,
        }
    }
}

impl Netns {
    /// Adds a device; hands it back, since dropping it sleeps, with [`EEXIST`] if it is there or
    /// with [`ENOMEM`].
    pub(crate) fn insert(&self, enabled: Enabled, _rtnl: &Rtnl) -> Result<(), (Enabled, Error)> {
        let (key, link) = (index_key(enabled.ifindex()), enabled.link().clone());
        match self.by_index.get_or_insert(key, link.clone(), GFP_KERNEL) {
            Err(error) => return Err((enabled, error.into())),
            Ok(known) if !core::ptr::eq(&*known, &*link) => return Err((enabled, EEXIST)),
            Ok(_) => {}
        }
        self.insert_link(enabled).inspect_err(|_| {
            self.by_index.remove(key, &link);
        })
    }

    fn insert_link(&self, enabled: Enabled) -> Result<(), (Enabled, Error)> {
        let mut links = self.links.lock();
        let Err(at) = position(&links, enabled.ifindex()) else {
            return Err((enabled, EEXIST));
        };
        // There is no sleeping under the table's lock.
        if links.reserve(1, GFP_ATOMIC).is_err() {
            return Err((enabled, ENOMEM));
        }
        self.changed();
        links
            .insert_within_capacity(at, enabled)
            .map_err(|error| match error {
                InsertError::IndexOutOfBounds(enabled) | InsertError::OutOfCapacity(enabled) => {
                    (enabled, ENOMEM)
                }
            })
    }

    /// Takes a device out. What is returned sleeps when it is dropped.
    pub(crate) fn remove(&self, ifindex: i32) -> Option<Enabled> {
        let enabled = {
            let mut links = self.links.lock();
            let at = position(&links, ifindex).ok()?;
            self.changed();
            links.remove(at).ok()?
        };
        self.by_index.remove(index_key(ifindex), enabled.link());
        Some(enabled)
    }

    /// Finds a device by its interface index, without a lock.
    #[inline]
    pub(crate) fn link_at<'a>(
        &'a self,
        ifindex: i32,
        guard: &'a rcu::Guard,
    ) -> Option<&'a Arc<Link>> {
        self.by_index.get(index_key(ifindex), guard)
    }

    /// Takes note that the table of devices changes. Its lock is held.
    fn changed(&self) {
        self.generation.add(1, Relaxed);
    }

    /// Returns a number that is another one when devices or their addresses have changed.
    ///
    /// What is found in the table afterwards holds as long as the number does.
    pub(crate) fn generation(&self) -> u32 {
        self.generation.load(Relaxed)
    }

    /// Returns the time for the engine.
    pub(crate) fn now(&self) -> Instant {
        // Never negative: the clock does not go back. From 1 on, so that it is later than 0.
        Instant(self.start.elapsed().as_nanos() as u64 + 1)
    }

    /// Returns the time of the clock for that of the engine.
    pub(crate) fn clock(&self, at: Instant) -> time::Instant<Monotonic> {
        self.start + Delta::from_nanos(i64::try_from(at.0).unwrap_or(i64::MAX))
    }

    /// Returns the bytes of the longest reliable message.
    pub(crate) fn max_message(&self) -> u32 {
        self.max_message.load(Relaxed)
    }

    pub(crate) fn set_max_message(&self, bytes: u32) {
        self.max_message.store(bytes, Relaxed);
    }

    /// Finds a device by its interface index.
    pub(crate) fn link(&self, ifindex: i32) -> Option<Arc<Link>> {
        find(&self.links.lock(), ifindex).cloned()
    }

    /// Returns whether a device has `address`.
    pub(crate) fn has_address(&self, address: LinkAddr) -> bool {
        owner(&self.links.lock(), address).is_some()
    }

    /// Calls `visit` for each device, in the order of their indices, without the lock held.
    pub(crate) fn for_each_link(&self, mut visit: impl FnMut(&Link) -> Result) -> Result {
        let mut next = 0;
        loop {
            let link = {
                let links = self.links.lock();
                let (Ok(at) | Err(at)) = position(&links, next);
                links.get(at).map(|enabled| enabled.link().clone())
            };
            let Some(link) = link else {
                return Ok(());
            };
            visit(&link)?;
            // An index may be the largest number there is.
            let Some(after) = link.ifindex().checked_add(1) else {
                return Ok(());
            };
            next = after;
        }
    }

    /// Keeps what a device has counted that goes.
    pub(crate) fn retire(&self, counters: [u64; COUNTERS]) {
        for (retired, sum) in self.retired.iter().zip(counters) {
            retired.fetch_add(sum, Relaxed);
        }
    }

    /// Returns what the devices have counted that are gone.
    pub(crate) fn retired(&self) -> [u64; COUNTERS] {
        core::array::from_fn(|index| self.retired.get(index).map_or(0, |sum| sum.load(Relaxed)))
    }

    /// Returns the bound sockets for connections.
    pub(crate) fn conns(&self, bearing: Bearing) -> &SockTable<Conn, BUCKETS> {
        match bearing {
            Bearing::Stream => &self.streams,
            Bearing::Records => &self.seqpackets,
        }
    }

    /// Notes the new address of a device.
    pub(crate) fn set_address(&self, ifindex: i32, address: LinkAddr) {
        let mut links = self.links.lock();
        if let Ok(at) = position(&links, ifindex) {
            if let Some(enabled) = links.get_mut(at) {
                self.changed();
                enabled.set_address(address);
            }
        }
    }

    /// Finds the way to `to` through interface `ifindex`.
    ///
    /// If that is 0, through the only device besides the loopback. [`ENODEV`] if there is no such
    /// device, [`EHOSTUNREACH`] if there is more than one. [`EINVAL`] if the address is all zero
    /// and the device is not the loopback.
    pub(crate) fn route(&self, ifindex: i32, to: LinkAddr) -> Result<Route> {
        let links = self.links.lock();
        let egress = match ifindex {
            0 => only(&links)?,
            ifindex => find(&links, ifindex).ok_or(ENODEV)?,
        };
        if to.is_zero() && !egress.is_loopback() {
            return Err(EINVAL);
        }
        // Several devices may have one address, as VLANs do; what is asked for comes first.
        let owner = if egress.address() == to {
            Some(egress)
        } else {
            owner(&links, to)
        };
        Ok(Route {
            link: owner.unwrap_or(egress).clone(),
            ifindex: egress.ifindex(),
            from: egress.address(),
            max_payload: egress.max_payload(),
            local: owner.is_some(),
        })
    }
}

/// Returns the key of a device in the table that is read without a lock.
fn index_key(ifindex: i32) -> u64 {
    // Never negative.
    ifindex as u64
}

/// Returns where in the table the device with `ifindex` is, or where it would be.
fn position(links: &[Enabled], ifindex: i32) -> Result<usize, usize> {
    links.binary_search_by_key(&ifindex, Enabled::ifindex)
}

fn find(links: &[Enabled], ifindex: i32) -> Option<&Arc<Link>> {
    let at = position(links, ifindex).ok()?;
    links.get(at).map(Enabled::link)
}

fn owner(links: &[Enabled], address: LinkAddr) -> Option<&Arc<Link>> {
    links
        .iter()
        .find(|enabled| enabled.has_address(address))
        .map(Enabled::link)
}

/// Returns the only device that is not the loopback.
fn only(links: &[Enabled]) -> Result<&Arc<Link>> {
    let mut outward = links
        .iter()
        .map(Enabled::link)
        .filter(|link| !link.is_loopback());
    let link = outward.next().ok_or(ENODEV)?;
    match outward.next() {
        None => Ok(link),
        Some(_) => Err(EHOSTUNREACH),
    }
}
