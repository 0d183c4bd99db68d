// SPDX-License-Identifier: GPL-2.0

//! What a socket holds: references to it, messages of many packets, room in its receive buffer, and
//! errors that name what they are about.
//!
//! C headers: [`include/net/sock.h`](srctree/include/net/sock.h),
//! [`include/linux/errqueue.h`](srctree/include/linux/errqueue.h)

use super::{
    dropreason::DropReason,
    msghdr::SendMsg,
    skb_list::SkBuffList,
    sock::{
        Sock,
        ONE_PAGE, //
    },
    socket::Operations,
    SkBuff, //
};
use crate::{
    alloc::Flags,
    bindings,
    error::to_result,
    prelude::*, //
};
use core::{
    ops::Deref,
    ptr::NonNull, //
};
use zerocopy::Immutable;

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

/// What the error queue says of one event: a `struct sock_extended_err`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ExtendedError {
    /// The error, positive as the user sees it; 0 for a notice that is none.
    pub errno: u32,
    /// Where it comes from, `SO_EE_ORIGIN_*`.
    pub origin: u8,
    /// The kind of event.
    pub kind: u8,
    /// More on the event.
    pub code: u8,
    /// More on the event.
    pub info: u32,
    /// More on the event, often the cookie of what it is about.
    pub data: u32,
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

    /// Returns the size of the receive buffer in bytes of memory: `SO_RCVBUF`.
    #[inline]
    pub fn rcvbuf(&self) -> i32 {
        // SAFETY: The socket is valid.
        unsafe { bindings::sk_rcvbuf(self.as_raw()) }
    }

    /// Returns the size of the send buffer in bytes of memory: `SO_SNDBUF`.
    #[inline]
    pub fn sndbuf(&self) -> i32 {
        // SAFETY: The socket is valid.
        unsafe { bindings::sk_sndbuf(self.as_raw()) }
    }

    /// Returns the bytes of memory that are charged to the receive buffer.
    #[inline]
    pub fn rmem_alloc(&self) -> i32 {
        // SAFETY: The socket is valid.
        unsafe { bindings::sk_rmem_alloc(self.as_raw()) }
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

    /// Tells the user on the error queue of `error`, which concerns `address`, and wakes who waits.
    ///
    /// [`recv_errqueue`](Self::recv_errqueue) returns both. Fails with [`ENOMEM`] if memory is short
    /// or the receive buffer, to which it is charged, has no room. Not for hard interrupts.
    pub fn queue_error<A: IntoBytes + Immutable>(
        &self,
        error: &ExtendedError,
        address: &A,
        flags: Flags,
    ) -> Result {
        const { assert!(size_of::<A>() <= size_of::<bindings::__kernel_sockaddr_storage>()) };
        let mut skb = SkBuff::alloc(0, size_of::<A>(), flags)?;
        skb.put(address.as_bytes())?;
        // The address is not part of what the user reads as data.
        skb.advance(size_of::<A>())?;
        let mut raw = bindings::sock_extended_err {
            ee_errno: error.errno,
            ee_origin: error.origin,
            ee_type: error.kind,
            ee_code: error.code,
            ee_info: error.info,
            ..pin_init::zeroed()
        };
        raw.__bindgen_anon_1.ee_data = error.data;
        let skb = skb.into_raw();
        // SAFETY: The socket and the packet are valid, the latter without another user, and the
        // bytes of the address are right before its data.
        let queued = to_result(unsafe {
            bindings::sock_queue_ee_skb(self.as_raw(), skb, &raw, size_of::<A>() as u16)
        });
        if queued.is_err() {
            // SAFETY: The packet was not queued, so it is still this function's, and not null.
            drop(unsafe { SkBuff::from_raw(NonNull::new_unchecked(skb)) });
        }
        queued
    }

    /// Makes packets of a message, each of at most `max` bytes and with `HEADROOM` bytes free
    /// before it.
    ///
    /// The packets are charged to the socket's send buffer until they are freed. If the buffer has
    /// not enough room this waits until it has, or until it is at most half full, which is when
    /// `poll()` calls the socket writable. So a message that is larger than the buffer can be sent,
    /// and the buffer exceeds its size by no more than one message of each sender that waited.
    /// The message is then taken whole, or not at all. The socket's priority and mark, or those in
    /// the message's ancillary data, go with the packets. An empty message is one empty packet.
    ///
    /// Sleeps. Fails as [`send_skb`](Self::send_skb) does, and with [`EINVAL`] if `max` is 0.
    pub fn send_skbs<const HEADROOM: usize>(
        &self,
        msg: &mut SendMsg<'_>,
        max: usize,
    ) -> Result<SkBuffList> {
        const { assert!(HEADROOM <= 1024) };
        if max == 0 {
            return Err(EINVAL);
        }
        let cookie = self.send_cookie(msg)?;
        // SAFETY: The socket is valid, and this is process context.
        to_result(unsafe {
            bindings::sock_wait_for_send(self.as_raw(), msg.len(), c_int::from(msg.dontwait()))
        })?;
        let mut list = SkBuffList::new();
        let mut left = msg.len();
        loop {
            let len = left.min(max);
            let linear = if len <= ONE_PAGE - HEADROOM { len } else { 0 };
            let mut error = 0;
            // SAFETY: The socket is valid, and this is process context, in which the allocation
            // flags of sockets are good.
            let skb = unsafe {
                bindings::alloc_skb_with_frags(
                    HEADROOM + linear,
                    len - linear,
                    bindings::PAGE_ALLOC_COSTLY_ORDER as c_int,
                    &mut error,
                    (*self.as_raw()).sk_allocation,
                )
            };
            let skb = NonNull::new(skb).ok_or_else(|| to_result(error).err().unwrap_or(ENOMEM))?;
            // SAFETY: The packet is new and owned by nobody else. The socket is valid.
            let skb = unsafe {
                bindings::skb_set_owner_w(skb.as_ptr(), self.as_raw());
                SkBuff::from_raw(skb)
            };
            // SAFETY: The packet is new, and was allocated with these sizes for this socket.
            unsafe { self.fill::<HEADROOM>(&skb, linear, len - linear, msg, &cookie)? };
            list.push_back(skb);
            left -= len;
            if left == 0 {
                return Ok(list);
            }
        }
    }
}
