// SPDX-License-Identifier: GPL-2.0

//! Reasons for dropping packets.
//!
//! Whoever frees a packet that was not delivered says why, and `drop_monitor` and the `kfree_skb`
//! tracepoint tell the administrator.
//!
//! C headers: [`include/net/dropreason.h`](srctree/include/net/dropreason.h),
//! [`include/net/dropreason-core.h`](srctree/include/net/dropreason-core.h)

use crate::{
    bindings,
    ffi::c_char,
    prelude::*,
    str::as_char_ptr_in_const_context,
    sync::atomic::{
        Atomic,
        Full,
        Relaxed, //
    },
    types::Opaque, //
};

/// Why a packet is dropped: an `enum skb_drop_reason`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DropReason(u32);

impl DropReason {
    /// The packet was meant for another host and seen because the device is promiscuous.
    pub const OTHERHOST: Self = Self(bindings::skb_drop_reason_SKB_DROP_REASON_OTHERHOST);
    /// The packet is shorter than its header.
    pub const PKT_TOO_SMALL: Self = Self(bindings::skb_drop_reason_SKB_DROP_REASON_PKT_TOO_SMALL);
    /// No socket is bound to the packet's destination.
    pub const NO_SOCKET: Self = Self(bindings::skb_drop_reason_SKB_DROP_REASON_NO_SOCKET);
    /// The socket's receive buffer is full.
    pub const SOCKET_RCVBUFF: Self = Self(bindings::skb_drop_reason_SKB_DROP_REASON_SOCKET_RCVBUFF);
    /// The socket's filter rejected the packet.
    pub const SOCKET_FILTER: Self = Self(bindings::skb_drop_reason_SKB_DROP_REASON_SOCKET_FILTER);
    /// The protocol's memory limit is reached.
    pub const PROTO_MEM: Self = Self(bindings::skb_drop_reason_SKB_DROP_REASON_PROTO_MEM);
    /// No memory could be allocated.
    pub const NOMEM: Self = Self(bindings::skb_drop_reason_SKB_DROP_REASON_NOMEM);

    /// The reason with number `index` in the list of `subsystem`.
    ///
    /// # Examples
    ///
    /// ```
    /// use kernel::net::dropreason::{DropReason, Subsystem};
    ///
    /// let reason = DropReason::new(Subsystem::EMT, 2);
    /// assert_eq!(reason.as_raw() & 0xffff, 2);
    /// assert_ne!(reason, DropReason::NO_SOCKET);
    /// ```
    pub const fn new(subsystem: Subsystem, index: u16) -> Self {
        Self::from_raw(subsystem.0 << bindings::SKB_DROP_REASON_SUBSYS_SHIFT | index as u32)
    }

    /// Wraps a reason that C code returned.
    pub(super) const fn from_raw(reason: u32) -> Self {
        Self(reason)
    }

    /// Returns the reason's number.
    pub const fn as_raw(self) -> u32 {
        self.0
    }
}

/// A subsystem with a list of drop reasons of its own: an `enum skb_drop_reason_subsys`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Subsystem(u32);

impl Subsystem {
    /// Ethernet Message Transport.
    pub const EMT: Self = Self(bindings::skb_drop_reason_subsys_SKB_DROP_REASON_SUBSYS_EMT);
}

/// The names of a subsystem's drop reasons, in the order of their numbers.
pub struct ReasonList<const N: usize> {
    subsystem: Subsystem,
    names: [*const c_char; N],
    list: Opaque<bindings::drop_reason_list>,
    registered: Atomic<bool>,
}

// SAFETY: `names` points to static strings and never changes. `list` is written once, by whoever
// won the exchange of `registered`.
unsafe impl<const N: usize> Sync for ReasonList<N> {}

impl<const N: usize> ReasonList<N> {
    /// Makes the list of `subsystem`; the first name is that of reason 0.
    pub const fn new(subsystem: Subsystem, names: [&'static CStr; N]) -> Self {
        let mut raw = [core::ptr::null(); N];
        let mut i = 0;
        while i < N {
            raw[i] = as_char_ptr_in_const_context(names[i]);
            i += 1;
        }
        Self {
            subsystem,
            names: raw,
            list: Opaque::uninit(),
            registered: Atomic::new(false),
        }
    }

    /// Makes the names known to the kernel until the returned value is dropped.
    ///
    /// Fails with [`EBUSY`] if the list is registered already. May sleep.
    pub fn register(&'static self) -> Result<Registration> {
        if self.registered.xchg(true, Full) {
            return Err(EBUSY);
        }
        // SAFETY: The exchange above makes this the only writer, and nobody reads the list before
        // it is registered.
        unsafe {
            self.list.get().write(bindings::drop_reason_list {
                reasons: self.names.as_ptr(),
                n_reasons: N,
            })
        };
        // SAFETY: The list and the names it points to are static.
        unsafe { bindings::drop_reasons_register_subsys(self.subsystem.0, self.list.get()) };
        // INVARIANT: The list of the subsystem was just registered.
        Ok(Registration {
            subsystem: self.subsystem,
            registered: &self.registered,
        })
    }
}

/// Keeps a [`ReasonList`] registered; dropping it (which may sleep) ends that.
///
/// # Invariants
///
/// The list of `subsystem` is registered.
#[must_use = "dropping the registration unregisters the list"]
pub struct Registration {
    subsystem: Subsystem,
    registered: &'static Atomic<bool>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the list is registered. The call waits for its readers.
        unsafe { bindings::drop_reasons_unregister_subsys(self.subsystem.0) };
        self.registered.store(false, Relaxed);
    }
}
