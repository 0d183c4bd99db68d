// SPDX-License-Identifier: GPL-2.0

//! Network devices.
//!
//! A device lives as long as somebody refers to it, but it is part of its namespace only until it
//! is unregistered, and unregistering waits for all references. Whoever keeps an `ARef<Device>`
//! gives it up when the notifier says [`Event::Unregister`].
//!
//! C header: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h)

use super::{
    skbuff::SharedSkBuff,
    Namespace,
    SkBuff, //
};
use crate::{
    bindings,
    error::to_result,
    prelude::*,
    sync::{
        aref::AlwaysRefCounted,
        rcu, //
    },
    types::{
        NotThreadSafe,
        Opaque, //
    },
};
use core::{
    marker::PhantomData,
    ops::Deref,
    ptr::NonNull, //
};

/// Bytes of an Ethernet address.
pub const ETH_ALEN: usize = bindings::ETH_ALEN as usize;

/// Proof that the current thread holds the RTNL, under which devices come, change and go.
///
/// # Invariants
///
/// The RTNL is held by this thread while a reference to this exists.
pub struct Rtnl(NotThreadSafe);

/// Holds the RTNL until it is dropped.
#[must_use = "the RTNL is released immediately when the guard is unused"]
pub struct RtnlGuard(Rtnl);

impl RtnlGuard {
    /// Takes the RTNL. Sleeps.
    pub fn new() -> Self {
        // SAFETY: An FFI call with no requirements.
        unsafe { bindings::rtnl_lock() };
        // INVARIANT: The RTNL was just taken.
        Self(Rtnl(NotThreadSafe))
    }
}

impl Default for RtnlGuard {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for RtnlGuard {
    type Target = Rtnl;

    fn deref(&self) -> &Rtnl {
        &self.0
    }
}

impl Drop for RtnlGuard {
    fn drop(&mut self) {
        // SAFETY: `new` took the RTNL, on this thread since the guard is not `Send`.
        unsafe { bindings::rtnl_unlock() };
    }
}

/// Sends several packets together.
///
/// Bottom halves are off while `send` runs, so that what the packets cause on this CPU, such as
/// receiving them at the other end of a virtual device, is done once for all of them and not after
/// each. `send` does not sleep, and sends a bounded number of packets. Not for hard interrupts, nor
/// with interrupts off.
#[inline]
pub fn together<R>(send: impl FnOnce() -> R) -> R {
    // SAFETY: An FFI call with no requirements, whose counterpart is below.
    unsafe { bindings::local_bh_disable() };
    let result = send();
    // SAFETY: They were turned off above, and interrupts are on, as the caller has promised; where
    // they are not, the call warns.
    unsafe { bindings::local_bh_enable() };
    result
}

/// What goes before a packet on an Ethernet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EthernetHeader {
    /// The destination's address.
    pub to: [u8; ETH_ALEN],
    /// The source's address.
    pub from: [u8; ETH_ALEN],
    /// The protocol, `ETH_P_*`.
    pub ethertype: u16,
}

impl SharedSkBuff {
    /// Returns the Ethernet header that the packet came with, if it has one.
    #[inline]
    pub fn ethernet_header(&self) -> Option<EthernetHeader> {
        let bytes = self.mac_header::<{ bindings::ETH_HLEN as usize }>()?;
        let (to, rest) = bytes.split_first_chunk()?;
        let (from, rest) = rest.split_first_chunk()?;
        let (ethertype, _) = rest.split_first_chunk()?;
        Some(EthernetHeader {
            to: *to,
            from: *from,
            ethertype: u16::from_be_bytes(*ethertype),
        })
    }
}

/// A network device: a `struct net_device`.
#[repr(transparent)]
pub struct Device(Opaque<bindings::net_device>);

// SAFETY: What the methods use is synchronised by the C code.
unsafe impl Send for Device {}
// SAFETY: See above.
unsafe impl Sync for Device {}

// SAFETY: `dev_hold()` keeps a device in memory until the matching `dev_put()`.
unsafe impl AlwaysRefCounted for Device {
    #[inline]
    fn inc_ref(&self) {
        // SAFETY: A reference to a device proves that it is valid.
        unsafe { bindings::dev_hold(self.as_raw()) };
    }

    #[inline]
    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: The caller gives up a reference.
        unsafe { bindings::dev_put(obj.cast().as_ptr()) };
    }
}

impl Device {
    /// Borrows a device.
    ///
    /// # Safety
    ///
    /// `dev` must point to a device that stays valid, and may be referred to, for `'a`.
    #[inline]
    pub(super) unsafe fn from_raw<'a>(dev: *mut bindings::net_device) -> &'a Self {
        // SAFETY: By the safety requirements; the type is transparent.
        unsafe { &*dev.cast() }
    }

    /// Returns the raw device.
    #[inline]
    pub(super) fn as_raw(&self) -> *mut bindings::net_device {
        self.0.get()
    }

    /// Returns the interface index, which is positive and belongs to the device until it leaves its
    /// namespace.
    #[inline]
    pub fn ifindex(&self) -> i32 {
        // SAFETY: The device is valid.
        unsafe { (&raw const (*self.as_raw()).ifindex).read_volatile() }
    }

    /// Returns the most bytes that a frame can carry after its link-layer header.
    #[inline]
    pub fn mtu(&self) -> u32 {
        // SAFETY: The device is valid.
        unsafe { bindings::dev_mtu(self.as_raw()) }
    }

    /// Returns whether several packets should be handed to this device in one piece, as the
    /// administrator has it (`ethtool -K DEVICE gso`); one that cannot take them gets them cut.
    #[inline]
    pub fn has_gso(&self) -> bool {
        // SAFETY: The device is valid.
        unsafe { bindings::dev_has_gso(self.as_raw()) }
    }

    #[inline]
    fn flags(&self) -> u32 {
        // SAFETY: The device is valid.
        unsafe { bindings::dev_flags(self.as_raw()) }
    }

    /// Returns whether the administrator has set the device up.
    #[inline]
    pub fn is_up(&self) -> bool {
        self.flags() & bindings::net_device_flags_IFF_UP != 0
    }

    /// Returns whether this is its namespace's loopback device.
    #[inline]
    pub fn is_loopback(&self) -> bool {
        self.flags() & bindings::net_device_flags_IFF_LOOPBACK != 0
    }

    /// Returns the Ethernet address, or `None` if the device is not an Ethernet.
    ///
    /// The loopback device counts as one: its frames have an Ethernet header.
    #[inline]
    pub fn ethernet_address(&self) -> Option<[u8; ETH_ALEN]> {
        // SAFETY: The device is valid. Its type may change (a bond's does), of which the notifier
        // tells beforehand.
        let (kind, len) = unsafe { ((*self.as_raw()).type_, (*self.as_raw()).addr_len) };
        let ethernet = u32::from(kind) == bindings::ARPHRD_ETHER
            || u32::from(kind) == bindings::ARPHRD_LOOPBACK;
        if !ethernet || usize::from(len) != ETH_ALEN {
            return None;
        }
        let mut address = [0; ETH_ALEN];
        // SAFETY: The device is valid, and its address lies in `MAX_ADDR_LEN` bytes, more than
        // `address` has, whatever its type has become. The C code reads it as all of the kernel
        // does: a change in the same moment may be seen halfway.
        unsafe { bindings::dev_copy_eth_addr(self.as_raw(), address.as_mut_ptr()) };
        Some(address)
    }

    /// Returns the header of a packet that this device sends to `to`, from its own address.
    ///
    /// Fails with [`EOPNOTSUPP`] if it is not an Ethernet.
    #[inline]
    pub fn header_to(&self, to: [u8; ETH_ALEN], ethertype: u16) -> Result<EthernetHeader> {
        Ok(EthernetHeader {
            to,
            from: self.ethernet_address().ok_or(EOPNOTSUPP)?,
            ethertype,
        })
    }

    /// Returns how many bytes to keep free before a packet that is to go out through this device.
    #[inline]
    fn headroom(&self) -> u32 {
        // SAFETY: The device is valid.
        unsafe { bindings::dev_ll_reserved_space(self.as_raw()) }
    }

    /// Puts an Ethernet header before a packet, and room for what the device may add.
    ///
    /// Not the device's own function for that: a device that has changed its type since it was
    /// looked at would take other addresses. VLANs and the like are content with the plain header.
    fn prepare(&self, skb: &mut SkBuff, header: &EthernetHeader) -> Result {
        skb.reset_network_header();
        skb.cow_head(self.headroom().max(bindings::ETH_HLEN))?;
        // SAFETY: The packet has no other user, and the device is valid; where the packet goes from
        // here holds a reference of its own to the device if it keeps the packet.
        unsafe {
            bindings::skb_set_dev_protocol(skb.as_raw(), self.as_raw(), header.ethertype.to_be())
        };
        // SAFETY: The packet and the device are valid, there is headroom for the header, and the
        // addresses are as long as an Ethernet's.
        let len = unsafe {
            bindings::eth_header(
                skb.as_raw(),
                self.as_raw(),
                header.ethertype,
                header.to.as_ptr().cast(),
                header.from.as_ptr().cast(),
                skb.len() as c_uint,
            )
        };
        if len < 0 {
            Err(EINVAL)
        } else {
            Ok(())
        }
    }

    /// Sends a packet out through this Ethernet device.
    ///
    /// Fails with [`ENETDOWN`] if the device is down, with [`ENOBUFS`] if its queue drops the
    /// packet and with [`ENOMEM`] if memory is short. The packet is gone then. Not for hard
    /// interrupts.
    #[inline]
    pub fn xmit(&self, mut skb: SkBuff, header: &EthernetHeader) -> Result {
        self.check_up()?;
        self.prepare(&mut skb, header)?;
        // SAFETY: The packet is complete, and the call consumes it.
        match unsafe { bindings::dev_queue_xmit(skb.into_raw()) } {
            0 => Ok(()),
            code if code < 0 => to_result(code),
            // SAFETY: An FFI call with no requirements.
            code => to_result(unsafe { bindings::net_xmit_errno(code) }),
        }
    }

    /// Receives a packet as if it had arrived at this device.
    ///
    /// For what a host sends to itself: nothing goes on the wire. Fails as [`xmit`](Self::xmit)
    /// does. The packet is no longer charged to the socket that sent it, and is received without
    /// what the sender said of its time.
    pub fn receive(&self, mut skb: SkBuff, header: &EthernetHeader) -> Result {
        self.check_up()?;
        self.prepare(&mut skb, header)?;
        let skb = skb.into_raw();
        // SAFETY: The packet is valid, has no other user, and its data starts with the Ethernet
        // header that `prepare` made. `netif_rx` consumes it.
        let result = unsafe {
            bindings::skb_turn_around(skb, self.as_raw());
            bindings::netif_rx(skb)
        };
        if result == bindings::NET_RX_SUCCESS as c_int {
            Ok(())
        } else {
            Err(ENOBUFS)
        }
    }

    #[inline]
    fn check_up(&self) -> Result {
        self.is_up().then_some(()).ok_or(ENETDOWN)
    }
}

impl Namespace {
    /// Finds a device by its interface index.
    ///
    /// The device is registered, and stays so while the RTNL is held.
    pub fn device<'a>(&self, ifindex: i32, _rtnl: &'a Rtnl) -> Option<&'a Device> {
        // SAFETY: The namespace is valid, and the RTNL is held.
        let dev = unsafe { bindings::__dev_get_by_index(self.as_raw(), ifindex) };
        // SAFETY: A listed device cannot be unregistered while the RTNL is held.
        (!dev.is_null()).then(|| unsafe { Device::from_raw(dev) })
    }

    /// Finds a device by its interface index, without the RTNL.
    ///
    /// The device stays what it is inside the RCU read-side critical section, and may be sent to
    /// there, but it can be unregistered meanwhile.
    #[inline]
    pub fn device_rcu<'a>(&self, ifindex: i32, _guard: &'a rcu::Guard) -> Option<&'a Device> {
        // SAFETY: The namespace is valid, and this is an RCU read-side critical section.
        let dev = unsafe { bindings::dev_get_by_index_rcu(self.as_raw(), ifindex) };
        // SAFETY: Who unregisters a listed device waits for a grace period, and then for all
        // references.
        (!dev.is_null()).then(|| unsafe { Device::from_raw(dev) })
    }
}

/// What happens to a device: an `enum netdev_cmd`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// It becomes part of the namespace.
    Register,
    /// It leaves the namespace: it goes away or moves to another.
    Unregister,
    /// Its link-layer address has changed.
    ChangeAddress,
    /// It is about to become a device of another type.
    ChangeType,
    /// Something else, which may be ignored.
    Other,
}

impl Event {
    fn from_raw(event: usize) -> Self {
        match u32::try_from(event) {
            Ok(bindings::netdev_cmd_NETDEV_REGISTER) => Self::Register,
            Ok(bindings::netdev_cmd_NETDEV_UNREGISTER) => Self::Unregister,
            Ok(bindings::netdev_cmd_NETDEV_CHANGEADDR) => Self::ChangeAddress,
            Ok(bindings::netdev_cmd_NETDEV_PRE_TYPE_CHANGE) => Self::ChangeType,
            _ => Self::Other,
        }
    }
}

/// Told of what happens to devices, in all namespaces.
pub trait Notifier: 'static {
    /// Takes note of `event`, which has happened to `dev` in `net`.
    ///
    /// May sleep.
    fn notify(event: Event, dev: &Device, net: &Namespace, rtnl: &Rtnl);
}

/// Keeps a [`Notifier`] registered.
///
/// When it is registered, it is told [`Event::Register`] of each device that there is, and when it
/// is unregistered [`Event::Unregister`]. Both sleep.
///
/// # Invariants
///
/// `block` is registered.
///
/// # Examples
///
/// ```
/// use kernel::net::{
///     device::{Device, Event, Notifier, NotifierRegistration, Rtnl},
///     Namespace, //
/// };
/// use kernel::sync::atomic::{Atomic, Relaxed};
///
/// static LOOPBACKS: Atomic<i32> = Atomic::new(0);
///
/// struct Count;
///
/// impl Notifier for Count {
///     fn notify(event: Event, dev: &Device, _net: &Namespace, _rtnl: &Rtnl) {
///         match event {
///             Event::Register if dev.is_loopback() => LOOPBACKS.add(1, Relaxed),
///             Event::Unregister if dev.is_loopback() => LOOPBACKS.add(-1, Relaxed),
///             _ => (),
///         }
///     }
/// }
///
/// let registration = KBox::pin_init(NotifierRegistration::<Count>::new(), GFP_KERNEL)?;
/// assert!(LOOPBACKS.load(Relaxed) >= 1);
/// drop(registration);
/// assert_eq!(LOOPBACKS.load(Relaxed), 0);
/// # Ok::<(), Error>(())
/// ```
#[pin_data(PinnedDrop)]
pub struct NotifierRegistration<T: Notifier> {
    #[pin]
    block: Opaque<bindings::notifier_block>,
    _notifier: PhantomData<T>,
}

// SAFETY: Unregistering may be done by any thread.
unsafe impl<T: Notifier> Send for NotifierRegistration<T> {}
// SAFETY: There are no methods on a shared reference.
unsafe impl<T: Notifier> Sync for NotifierRegistration<T> {}

impl<T: Notifier> NotifierRegistration<T> {
    /// Registers `T`.
    pub fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            block <- Opaque::try_ffi_init(|slot: *mut bindings::notifier_block| {
                let block = bindings::notifier_block {
                    notifier_call: Some(Self::notify),
                    ..pin_init::zeroed()
                };
                // SAFETY: `slot` is valid for writes.
                unsafe { slot.write(block) };
                // SAFETY: The block is initialised; it is pinned and unregistered before it is
                // freed.
                to_result(unsafe { bindings::register_netdevice_notifier(slot) })
            }),
            _notifier: PhantomData,
        })
    }

    /// # Safety
    ///
    /// Called by the notifier chain of the network devices only.
    unsafe extern "C" fn notify(
        _block: *mut bindings::notifier_block,
        event: usize,
        info: *mut c_void,
    ) -> c_int {
        // SAFETY: The chain passes a `struct netdev_notifier_info`.
        let dev = unsafe { bindings::netdev_notifier_info_to_dev(info.cast()) };
        // SAFETY: The chain is called with a device that is valid throughout.
        let dev = unsafe { Device::from_raw(dev) };
        // SAFETY: The device's namespace cannot end before the device has left it, and it does not
        // change while the RTNL is held.
        let net = unsafe { Namespace::from_raw(bindings::dev_net(dev.as_raw())) };
        // INVARIANT: The chain is called with the RTNL held.
        let rtnl = Rtnl(NotThreadSafe);
        T::notify(Event::from_raw(event), dev, net, &rtnl);
        bindings::NOTIFY_DONE as c_int
    }
}

#[pinned_drop]
impl<T: Notifier> PinnedDrop for NotifierRegistration<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant. The only error is that it is not registered.
        unsafe { bindings::unregister_netdevice_notifier(self.block.get()) };
    }
}
