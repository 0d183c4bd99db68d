// SPDX-License-Identifier: GPL-2.0

//! What is held of a socket by who works for it: references to it, and room in its receive buffer.
//!
//! C header: [`include/net/sock.h`](srctree/include/net/sock.h)

use super::{
    dropreason::DropReason,
    sock::Sock,
    socket::Operations,
    RetainedSkBuff,
    SkBuff, //
};
use crate::{
    bindings,
    prelude::*, //
};
use core::{
    ops::Deref,
    ptr::NonNull, //
};

/// A reference to a socket.
///
/// Keeps the socket's memory and its state `T`, and with it its namespace and module, but not the
/// user's descriptor: ask [`Sock::is_dead`]. It may be given up in every context but a hard
/// interrupt, also under spinlocks: the state is dropped a grace period later.
///
/// State of a socket that is reached from something that has such references is a cycle; break it
/// in [`Operations::release`].
///
/// # Invariants
///
/// `sock` points to a socket on which this owns a reference.
pub struct SockRef<T: Operations> {
    sock: NonNull<Sock<T>>,
}

// SAFETY: A socket can be used, and its last reference given up, on any thread.
unsafe impl<T: Operations> Send for SockRef<T> {}
// SAFETY: `Sock<T>` is `Sync`.
unsafe impl<T: Operations> Sync for SockRef<T> {}

impl<T: Operations> Deref for SockRef<T> {
    type Target = Sock<T>;

    #[inline]
    fn deref(&self) -> &Sock<T> {
        // SAFETY: By the type invariant.
        unsafe { self.sock.as_ref() }
    }
}

impl<T: Operations> Clone for SockRef<T> {
    #[inline]
    fn clone(&self) -> Self {
        // SAFETY: The socket is valid and has a reference, so the count is not 0.
        unsafe { bindings::sock_hold(self.as_raw()) };
        // INVARIANT: The reference was just taken.
        Self { sock: self.sock }
    }
}

impl<T: Operations> Drop for SockRef<T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant there is a reference to give up.
        unsafe { bindings::sock_put(self.as_raw()) };
    }
}

impl<T: Operations> SockRef<T> {
    /// Takes over a reference to a socket.
    ///
    /// # Safety
    ///
    /// `sock` must point to a socket, and the caller gives up one reference to it.
    #[inline]
    pub(super) unsafe fn from_raw(sock: NonNull<Sock<T>>) -> Self {
        // INVARIANT: By the safety requirements.
        Self { sock }
    }
}

/// Room in a socket's receive buffer for a message that is on its way.
///
/// Dropping it gives the room back. Not for hard interrupts.
///
/// # Invariants
///
/// `bytes`, which is not negative, are charged to the receive buffer of `sock` for this.
#[must_use = "dropping it gives the room back"]
pub struct RcvRoom<T: Operations> {
    sock: SockRef<T>,
    bytes: c_int,
}

impl<T: Operations> RcvRoom<T> {
    /// Returns the socket.
    #[inline]
    pub fn sock(&self) -> &SockRef<T> {
        &self.sock
    }

    /// Returns the size of the room in bytes.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.bytes as usize
    }

    /// Puts a message into the receive queue for which the room was kept, and wakes the reader.
    ///
    /// The socket is charged for the message's real size in place of the room, whether that is
    /// more or less. It is never refused for want of room; if the socket's filter rejects it, it
    /// comes back with the reason, and the room is given back. Not for hard interrupts.
    pub fn queue_rcv(self, mut skb: SkBuff) -> Result<(), (SkBuff, DropReason)> {
        skb.forget_path();
        let raw = skb.into_raw();
        // SAFETY: The socket is valid, and the packet is, with no other user. The room stays
        // charged until the packet is, and is given back when `self` is dropped.
        let reason = unsafe { bindings::sock_queue_rcv_skb_unchecked(self.sock.as_raw(), raw) };
        if reason == bindings::skb_drop_reason_SKB_NOT_DROPPED_YET {
            return Ok(());
        }
        // SAFETY: The packet was not queued, so it is still this function's. `raw` is not null.
        let skb = unsafe { SkBuff::from_raw(NonNull::new_unchecked(raw)) };
        Err((skb, DropReason::from_raw(reason)))
    }
}

impl<T: Operations> Drop for RcvRoom<T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: The socket is valid; by the type invariant the bytes are charged to it.
        unsafe { bindings::sk_rmem_unreserve(self.sock.as_raw(), self.bytes) };
    }
}

impl RetainedSkBuff {
    /// Returns the socket to whose send buffer the packet is charged, if it is one of `T`'s.
    ///
    /// The charge keeps the socket's memory and its state, but not the user's descriptor: ask
    /// [`Sock::is_dead`].
    #[inline]
    pub fn sender<T: Operations>(&self) -> Option<&Sock<T>> {
        // SAFETY: The packet is valid. A socket that it is charged to is, too: `sock_wfree()`, when
        // the packet is freed, may be what destroys it.
        let sk = unsafe { bindings::skb_charged_to(self.as_raw(), T::proto().as_raw()) };
        if sk.is_null() {
            return None;
        }
        // SAFETY: The socket is of `T`'s type, as `sk_prot` says, which sockets have that
        // `NewSocket::attach` made `Sock<T>`. Its state is dropped by `sk_destruct`, for which the
        // charge has to be given up first, and that cannot happen while `self` is borrowed.
        Some(unsafe { Sock::from_raw(sk) })
    }
}

impl<T: Operations> Sock<T> {
    /// Takes a reference to the socket.
    ///
    /// `None` if the last one is gone, as may be for a socket that was found in an RCU read-side
    /// critical section.
    #[inline]
    pub fn try_hold(&self) -> Option<SockRef<T>> {
        // SAFETY: The socket is valid.
        // INVARIANT: The reference was just taken.
        unsafe { bindings::sk_refcnt_inc_not_zero(self.as_raw()) }.then(|| SockRef {
            sock: NonNull::from(self),
        })
    }

    /// Returns whether the socket was released: no descriptor refers to it any more.
    #[inline]
    pub fn is_dead(&self) -> bool {
        // SAFETY: The socket is valid.
        unsafe { bindings::sock_flag(self.as_raw(), bindings::sock_flags_SOCK_DEAD) }
    }

    /// Keeps `bytes` of room in the receive buffer for a message that is on its way.
    ///
    /// `None` if the buffer has less, unless it is empty: one message may always come, as one
    /// packet may. Also if the socket's last reference is gone. Any context.
    #[inline]
    pub fn reserve_rcv(&self, bytes: usize) -> Option<RcvRoom<T>> {
        let bytes = c_int::try_from(bytes).ok()?;
        let sock = self.try_hold()?;
        // SAFETY: The socket is valid.
        if !unsafe { bindings::sk_rmem_reserve(self.as_raw(), bytes) } {
            return None;
        }
        // INVARIANT: The bytes were just charged.
        Some(RcvRoom { sock, bytes })
    }
}
