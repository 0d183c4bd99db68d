// SPDX-License-Identifier: GPL-2.0

//! Devices that carry EMT: enabling and disabling them, and what becomes of them.

use crate::{
    addr::LinkAddr,
    engine::{
        grants::Grants,
        host::Bearing, //
    },
    error::{
        Counter,
        COUNTERS, //
    },
    input::Input,
    netns::{
        Netns,
        NETNS, //
    },
    socket::bound::{
        Ported,
        Ports, //
    },
    station::{
        self,
        Stations, //
    },
    wire, //
};
use kernel::{
    net::{
        device::{
            Device,
            Event,
            Notifier,
            Rtnl, //
        },
        packet,
        Counters,
        Namespace, //
    },
    pr_warn_once,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        },
        new_spinlock_bh,
        rcu,
        Arc,
        SpinLockBh, //
    },
};

/// A device that carries EMT, for whoever sends through it or receives from it.
///
/// It may outlive its being enabled by the time that a packet is under way.
#[pin_data(PinnedDrop)]
pub(crate) struct Link {
    netns: Arc<Netns>,
    dev: ARef<Device>,
    ifindex: i32,
    loopback: bool,
    /// The device's address as a number. Asking the device is no cheaper than a call.
    address: Atomic<u64>,
    counters: Counters<COUNTERS>,
    /// What the namespace has of these, once the device is disabled.
    retired: [Atomic<u64>; COUNTERS],
    /// Set when the device is being disabled: no more stations.
    closed: Atomic<bool>,
    /// Whom reliable messages go to and come from.
    #[pin]
    pub(crate) stations: Stations,
    /// Who of them may send on.
    #[pin]
    pub(crate) grants: SpinLockBh<Grants<LinkAddr>>,
}

impl Link {
    fn new(
        netns: Arc<Netns>,
        dev: &Device,
        address: LinkAddr,
    ) -> impl PinInit<Self, Error> + use<'_> {
        try_pin_init!(Self {
            dev: dev.into(),
            ifindex: dev.ifindex(),
            loopback: dev.is_loopback(),
            address: Atomic::new(address.to_bits()),
            counters: Counters::new()?,
            retired: [const { Atomic::new(0) }; COUNTERS],
            closed: Atomic::new(false),
            stations <- Stations::new(),
            grants <- new_spinlock_bh!(Grants::new(), "emt_grants"),
            netns,
        })
    }

    pub(crate) fn netns(&self) -> &Netns {
        &self.netns
    }

    pub(crate) fn device(&self) -> &Device {
        &self.dev
    }

    pub(crate) fn ifindex(&self) -> i32 {
        self.ifindex
    }

    pub(crate) fn is_loopback(&self) -> bool {
        self.loopback
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    pub(crate) fn address(&self) -> LinkAddr {
        LinkAddr::from_bits(self.address.load(Relaxed))
    }

    /// Returns the longest payload of one packet.
    pub(crate) fn max_payload(&self) -> usize {
        wire::max_payload(self.dev.mtu())
    }

    pub(crate) fn count(&self, counter: Counter, value: usize) {
        self.counters.add(counter as usize, value);
    }

    pub(crate) fn counters(&self) -> [u64; COUNTERS] {
        self.counters.sums()
    }

    /// Gives the namespace what was counted and it does not have yet. One thread at a time.
    fn retire(&self) {
        let mut sums = self.counters();
        for (sum, retired) in sums.iter_mut().zip(&self.retired) {
            let before = retired.load(Relaxed);
            retired.store(*sum, Relaxed);
            *sum = sum.wrapping_sub(before);
        }
        self.netns.retire(sums);
    }
}

#[pinned_drop]
impl PinnedDrop for Link {
    fn drop(self: Pin<&mut Self>) {
        // What was still under way when it was disabled.
        self.retire();
    }
}

/// A device in its namespace's table: as long as this lives, it receives. Dropping it sleeps.
pub(crate) struct Enabled {
    // Copies of the link's, so that searching the table looks at nothing else.
    ifindex: i32,
    address: u64,
    handler: Pin<KBox<packet::Registration<Input>>>,
}

impl Enabled {
    fn new(link: Arc<Link>) -> Result<Self> {
        let (ifindex, address) = (link.ifindex, link.address.load(Relaxed));
        let dev = link.dev.clone();
        let handler = packet::Registration::new(wire::ETHERTYPE, &dev, Input::new(link));
        Ok(Self {
            ifindex,
            address,
            handler: KBox::pin_init(handler, GFP_KERNEL)?,
        })
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        self.handler.handler().link()
    }

    pub(crate) fn ifindex(&self) -> i32 {
        self.ifindex
    }

    pub(crate) fn has_address(&self, address: LinkAddr) -> bool {
        self.address == address.to_bits()
    }

    pub(crate) fn set_address(&mut self, address: LinkAddr) {
        self.address = address.to_bits();
        self.link().address.store(self.address, Relaxed);
    }
}

impl Drop for Enabled {
    fn drop(&mut self) {
        let link = self.link();
        // Seen by who adds a station, as both take the lock of the table.
        link.closed.store(true, Relaxed);
        station::close_all(link);
    }
}

/// Makes `dev` carry EMT.
///
/// Fails with [`EOPNOTSUPP`] if it is not an Ethernet, with [`EEXIST`] if it is enabled, and with
/// [`ENOMEM`]. May sleep.
pub(crate) fn enable(netns: Arc<Netns>, dev: &Device, rtnl: &Rtnl) -> Result {
    let address = dev.ethernet_address().ok_or(EOPNOTSUPP)?;
    // Looked up first so that a device never has two handlers, not even for a moment.
    if netns.link(dev.ifindex()).is_some() {
        return Err(EEXIST);
    }
    let link = Arc::pin_init(
        Link::new(netns.clone(), dev, LinkAddr::new(address)),
        GFP_KERNEL,
    )?;
    netns
        .insert(Enabled::new(link)?, rtnl)
        .map_err(|(_enabled, error)| error)
}

/// Makes the device with `ifindex` no longer carry EMT, and tells the sockets that are bound to it.
///
/// Fails with [`ENODEV`] if it does not. May sleep.
pub(crate) fn disable(netns: &Netns, ifindex: i32, _rtnl: &Rtnl) -> Result {
    let enabled = netns.remove(ifindex).ok_or(ENODEV)?;
    let link = enabled.link().clone();
    // Waits until no packet is being received from it.
    drop(enabled);
    // Who finds it under RCU keeps it for a while.
    link.retire();
    report_down(&netns.dgrams, ifindex);
    report_down(&netns.rdms, ifindex);
    for bearing in [Bearing::Stream, Bearing::Records] {
        report_down(netns.conns(bearing), ifindex);
    }
    Ok(())
}

/// Tells the sockets that are bound to a device that it does not carry EMT any more.
fn report_down<T: Ported>(ports: &Ports<T>, ifindex: i32) {
    for sock in ports.lookup_all(&rcu::read_lock()) {
        if sock.bound().ifindex() == ifindex {
            sock.report_error(ENETDOWN);
        }
    }
}

/// Follows the devices.
pub(crate) struct Follow;

impl Notifier for Follow {
    fn notify(event: Event, dev: &Device, net: &Namespace, rtnl: &Rtnl) {
        let Some(netns) = NETNS.get(net) else {
            return;
        };
        match event {
            Event::Register if dev.is_loopback() => {
                if let Err(error) = enable(netns, dev, rtnl) {
                    pr_warn_once!("cannot enable the loopback device: {error:?}\n");
                }
            }
            Event::Unregister | Event::ChangeType => {
                // Most devices do not carry EMT.
                let _ = disable(&netns, dev.ifindex(), rtnl);
            }
            Event::ChangeAddress => {
                if let Some(address) = dev.ethernet_address() {
                    netns.set_address(dev.ifindex(), LinkAddr::new(address));
                }
            }
            _ => (),
        }
    }
}
