// SPDX-License-Identifier: GPL-2.0

//! Packet handlers: how frames of a protocol's EtherType reach it.
//!
//! C header: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h) (`struct
//! packet_type`)

use super::{
    device::Device,
    Namespace,
    SkBuff, //
};
use crate::{
    bindings,
    prelude::*,
    sync::aref::ARef,
    types::Opaque, //
};
use core::{
    ops::Deref,
    ptr::{
        null_mut,
        NonNull, //
    },
};

/// Receives the frames of one EtherType that arrive at one device, or at all of a namespace.
///
/// A frame arrives at the device that it is meant for: one with a VLAN tag at the VLAN's, if there
/// is one.
pub trait Handler: Send + Sync + 'static {
    /// Receives a frame that has arrived at `dev`.
    ///
    /// Its data starts after the link-layer header. Runs with bottom halves off, mostly in softirq
    /// context, inside an RCU read-side critical section, and on several CPUs at once.
    fn receive(&self, skb: SkBuff, dev: &Device);
}

/// Where frames arrive that a handler is for. Keeps what it names.
enum Scope {
    Device(ARef<Device>),
    Namespace(NamespaceRef),
}

/// A reference that makes its holder a user of a namespace, which does not end before that.
///
/// # Invariants
///
/// `net` points to a namespace on which this owns a reference.
struct NamespaceRef {
    net: NonNull<Namespace>,
}

impl NamespaceRef {
    /// Takes a reference to a namespace; `None` if it has no user any more.
    fn try_hold(net: &Namespace) -> Option<Self> {
        // SAFETY: The namespace is valid by the type invariant.
        let net = unsafe { bindings::maybe_get_net(net.as_raw()) };
        // INVARIANT: The reference was just taken.
        NonNull::new(net).map(|net| Self { net: net.cast() })
    }
}

// SAFETY: A namespace can be used, and its last reference given up, on any thread.
unsafe impl Send for NamespaceRef {}
// SAFETY: `Namespace` is `Sync`.
unsafe impl Sync for NamespaceRef {}

impl Deref for NamespaceRef {
    type Target = Namespace;

    fn deref(&self) -> &Namespace {
        // SAFETY: By the type invariant.
        unsafe { self.net.as_ref() }
    }
}

impl Drop for NamespaceRef {
    fn drop(&mut self) {
        // SAFETY: By the type invariant there is a reference to give up.
        unsafe { bindings::put_net(self.as_raw()) };
    }
}

/// A registered [`Handler`], together with what it works on.
///
/// Dropping it unregisters the handler and waits until it no longer runs; that sleeps, and is
/// allowed with the RTNL held.
///
/// A registration keeps what it is for. One for a device must be dropped when the device is
/// unregistered; one for a namespace belongs to something that has an end of its own, as a socket
/// has, and not to what the namespace keeps.
///
/// # Invariants
///
/// `packet_type` is registered while the value is in place, with the function that calls the
/// handler.
///
/// # Examples
///
/// ```
/// use kernel::net::{
///     device::{Device, RtnlGuard},
///     packet::{Handler, Registration},
///     Namespace,
///     SkBuff, //
/// };
///
/// struct Sink;
///
/// impl Handler for Sink {
///     fn receive(&self, skb: SkBuff, _dev: &Device) {
///         skb.consume();
///     }
/// }
///
/// fn listen(net: &Namespace, ifindex: i32) -> Result<Pin<KBox<Registration<Sink>>>> {
///     let rtnl = RtnlGuard::new();
///     let dev = net.device(ifindex, &rtnl).ok_or(ENODEV)?;
///     KBox::pin_init(Registration::new(0x88b5, dev, Sink), GFP_KERNEL)
/// }
/// ```
#[pin_data(PinnedDrop)]
#[repr(C)]
pub struct Registration<H: Handler> {
    // At the start, so that the address of `packet_type` is that of the registration.
    #[pin]
    packet_type: Opaque<bindings::packet_type>,
    scope: Scope,
    handler: H,
}

// SAFETY: Unregistering may be done by any thread, and the handler is `Send`.
unsafe impl<H: Handler> Send for Registration<H> {}
// SAFETY: Only the handler and what it is for are shared, and both are `Sync`.
unsafe impl<H: Handler> Sync for Registration<H> {}

impl<H: Handler> Registration<H> {
    /// Registers `handler` for frames of `ethertype` that arrive at `dev`.
    ///
    /// Fails with [`EINVAL`] if `ethertype` is less than 0x600: such numbers are lengths, or the
    /// kernel's own for handlers of another kind.
    pub fn new(ethertype: u16, dev: &Device, handler: H) -> impl PinInit<Self, Error> {
        Self::within(ethertype, Ok(Scope::Device(dev.into())), handler)
    }

    /// Registers `handler` for frames of `ethertype` that arrive at any device of `net`.
    ///
    /// Fails as [`new`](Self::new) does, and with [`ENETDOWN`] if the namespace is on its way out.
    pub fn in_namespace(ethertype: u16, net: &Namespace, handler: H) -> impl PinInit<Self, Error> {
        let scope = NamespaceRef::try_hold(net)
            .map(Scope::Namespace)
            .ok_or(ENETDOWN);
        Self::within(ethertype, scope, handler)
    }

    fn within(ethertype: u16, scope: Result<Scope>, handler: H) -> impl PinInit<Self, Error> {
        let (dev, net) = match &scope {
            Ok(Scope::Device(dev)) => (dev.as_raw(), null_mut()),
            Ok(Scope::Namespace(net)) => (null_mut(), net.as_raw()),
            Err(_) => (null_mut(), null_mut()),
        };
        // `packet_type` comes last: once it is registered, the handler runs.
        try_pin_init!(Self {
            scope: scope?,
            handler,
            packet_type <- Opaque::try_ffi_init(move |slot: *mut bindings::packet_type| {
                if u32::from(ethertype) < bindings::ETH_P_802_3_MIN {
                    return Err(EINVAL);
                }
                let packet_type = bindings::packet_type {
                    type_: ethertype.to_be(),
                    dev,
                    af_packet_net: net,
                    func: Some(Self::receive),
                    ..pin_init::zeroed()
                };
                // SAFETY: `slot` is valid for writes. The registration holds a reference to the
                // device or the namespace, is pinned, and is unregistered before it is freed. Since
                // `slot` is at its start and all other fields are initialised, `receive` finds it
                // whole.
                unsafe {
                    slot.write(packet_type);
                    bindings::dev_add_pack(slot);
                }
                Ok(())
            }),
        })
    }

    /// Returns the handler.
    pub fn handler(&self) -> &H {
        &self.handler
    }

    /// # Safety
    ///
    /// Called by the core only, for the `packet_type` of a registration, with a packet that is
    /// given up.
    unsafe extern "C" fn receive(
        skb: *mut bindings::sk_buff,
        dev: *mut bindings::net_device,
        packet_type: *mut bindings::packet_type,
        _orig_dev: *mut bindings::net_device,
    ) -> c_int {
        // SAFETY: `packet_type` is at the start of a registration, which is not freed before the
        // handler has been unregistered and a grace period has passed; this runs inside RCU.
        let registration = unsafe { &*packet_type.cast::<Self>() };
        // The device that a frame came through is shown it even if the frame belongs to another one
        // on top of it, say a VLAN, which has handlers of its own.
        if matches!(&registration.scope, Scope::Device(own) if own.as_raw() != dev) {
            // SAFETY: The packet is valid and given to this function.
            unsafe {
                bindings::dev_kfree_skb_any_reason(skb, bindings::skb_drop_reason_SKB_CONSUMED)
            };
            return bindings::NET_RX_SUCCESS as c_int;
        }
        // SAFETY: The packet is valid and given to this function. If it is shared, the call
        // replaces it by a clone, and if that fails it frees it.
        let skb = unsafe { bindings::skb_share_check(skb, bindings::GFP_ATOMIC) };
        let Some(skb) = NonNull::new(skb) else {
            return bindings::NET_RX_DROP as c_int;
        };
        // SAFETY: The packet has no other user after `skb_share_check`.
        let skb = unsafe { SkBuff::from_raw(skb) };
        // SAFETY: The device is there, and may be referred to, while this runs inside RCU.
        registration
            .handler
            .receive(skb, unsafe { Device::from_raw(dev) });
        bindings::NET_RX_SUCCESS as c_int
    }
}

#[pinned_drop]
impl<H: Handler> PinnedDrop for Registration<H> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant. The call waits until `receive` no longer runs.
        unsafe { bindings::dev_remove_pack(self.packet_type.get()) };
    }
}
