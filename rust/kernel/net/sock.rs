// SPDX-License-Identifier: GPL-2.0

//! Sockets as a protocol sees them: `struct sock`, with the protocol's own state behind it.
//!
//! A [`Sock`] comes to be when [`NewSocket::attach`](super::socket::NewSocket::attach) is called
//! and is freed a grace period after its last user is gone, so that it can be found and used inside
//! an RCU read-side critical section without counting references. The protocol's state is dropped
//! then, which may happen in a softirq: its `drop` must not sleep. What sleeps belongs in
//! [`Operations::release`].
//!
//! C header: [`include/net/sock.h`](srctree/include/net/sock.h)

use super::{
    dropreason::DropReason,
    msghdr::{
        RecvMsg,
        SendMsg,
        MSG_ERRQUEUE,
        MSG_OOB,
        MSG_TRUNC, //
    },
    skbuff::SharedSkBuff,
    socket::Operations,
    Namespace,
    SkBuff, //
};
use crate::{
    bindings,
    error::{
        code::{
            EAGAIN,
            ENOMEM,
            EOPNOTSUPP, //
        },
        to_result,
        Error,
        Result, //
    },
    ffi::c_int,
    prelude::{
        FromBytes,
        IntoBytes, //
    },
    sync::atomic::Atomic,
    types::{
        NotThreadSafe,
        Opaque, //
    },
};
use core::{
    mem::MaybeUninit,
    ops::Deref,
    ptr::NonNull, //
};
use zerocopy::Immutable;

// The state comes right after the `struct sock`, so that has to be as large as C code has it.
const _: () = assert!(size_of::<bindings::sock>() == bindings::SIZEOF_SOCK);

/// Bytes of data that fit in a page together with what a packet keeps there of itself, in whole
/// cache lines.
pub(super) const ONE_PAGE: usize =
    bindings::PAGE_SIZE - size_of::<bindings::skb_shared_info>().next_multiple_of(256);

/// A socket with a protocol's state `T`.
///
/// # Invariants
///
/// `sk` is a socket that was made by `sk_alloc()` and initialised, with `SOCK_RCU_FREE` set;
/// `state` is initialised.
#[repr(C)]
pub struct Sock<T: Operations> {
    // First, since C code knows a `Sock` by the address of its `struct sock`.
    sk: Opaque<bindings::sock>,
    /// The address of the table that the socket is in, or 0.
    pub(super) table: Atomic<usize>,
    /// How many threads are, or are about to be, in the wait queue, see [`sock_wait`].
    ///
    /// [`sock_wait`]: super::sock_wait
    pub(super) sleepers: Atomic<i32>,
    state: T,
}

// SAFETY: `struct sock` is made to be used from everywhere, and `T` is `Send` and `Sync`.
unsafe impl<T: Operations> Sync for Sock<T> {}

impl<T: Operations> Deref for Sock<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.state
    }
}

impl SkBuff {
    /// Takes off the packet what other layers have attached to it, and what would wait in a queue
    /// with it.
    #[inline]
    pub(super) fn forget_path(&mut self) {
        // SAFETY: `skb` is valid and has no other user.
        unsafe { bindings::skb_forget_path(self.as_raw()) };
    }
}

impl<T: Operations> Sock<T> {
    /// Borrows a socket.
    ///
    /// # Safety
    ///
    /// `sk` must be the socket of a `Sock<T>` that is not freed during `'a`.
    #[inline]
    pub(super) unsafe fn from_raw<'a>(sk: *mut bindings::sock) -> &'a Self {
        // SAFETY: By the safety requirements, and `sk` is at the start.
        unsafe { &*sk.cast() }
    }

    /// Returns the raw socket.
    #[inline]
    pub(super) fn as_raw(&self) -> *mut bindings::sock {
        self.sk.get()
    }

    /// Returns where the state of the socket `sk` is.
    ///
    /// # Safety
    ///
    /// `sk` must point to memory for a `Sock<T>`.
    pub(super) unsafe fn raw_state(sk: *mut bindings::sock) -> *mut T {
        // SAFETY: By the safety requirements this stays within the object.
        unsafe { &raw mut (*sk.cast::<Self>()).state }
    }

    /// Returns the network namespace, to which the socket belongs all its life.
    #[inline]
    pub fn net(&self) -> &Namespace {
        // SAFETY: `attach` makes sockets that hold a reference to their namespace, kernel or not.
        unsafe { Namespace::from_raw(bindings::sock_net(self.as_raw())) }
    }

    /// Takes the socket lock. Sleeps.
    ///
    /// It is the lock of process context. Receiving goes on meanwhile.
    pub fn lock(&self) -> SockGuard<'_, T> {
        // SAFETY: The socket is valid.
        unsafe { bindings::lock_sock_nested(self.as_raw(), 0) };
        SockGuard {
            sock: self,
            _not_send: NotThreadSafe,
        }
    }

    /// Returns the index of the interface that the user has bound the socket to, or 0:
    /// `SO_BINDTODEVICE`.
    #[inline]
    pub fn bound_dev_if(&self) -> i32 {
        // SAFETY: The socket is valid.
        unsafe { bindings::sk_bound_dev_if(self.as_raw()) }
    }

    /// Returns whether the user may send to all: `SO_BROADCAST`.
    #[inline]
    pub fn may_broadcast(&self) -> bool {
        // SAFETY: The socket is valid.
        unsafe { bindings::sock_flag(self.as_raw(), bindings::sock_flags_SOCK_BROADCAST) }
    }

    /// Returns whether the user has shut the socket down for receiving.
    #[inline]
    pub fn is_receive_shutdown(&self) -> bool {
        // SAFETY: The socket is valid.
        let how = unsafe { bindings::sk_shutdown(self.as_raw()) };
        how & bindings::RCV_SHUTDOWN as u8 != 0
    }

    /// Returns the bytes of memory that packets on their way out take up.
    pub fn wmem_alloc(&self) -> i32 {
        // SAFETY: The socket is valid.
        unsafe { bindings::sk_wmem_alloc_get(self.as_raw()) }
    }

    /// Returns the length of the first packet in the receive queue, or 0 if there is none.
    pub fn first_len(&self) -> u32 {
        // SAFETY: The socket is valid.
        unsafe { bindings::sk_first_len(self.as_raw()) }
    }

    /// Gives the user an error, by `SO_ERROR` or the next operation, and wakes who waits.
    pub fn report_error(&self, error: Error) {
        // SAFETY: The socket is valid.
        unsafe { bindings::sk_report_error(self.as_raw(), -error.to_errno()) };
    }

    /// Puts a packet into the receive queue and wakes the reader.
    ///
    /// The packet is seen by the socket's filter from its data on, and is charged to the socket's
    /// receive buffer. If there is no room, or the filter rejects the packet, it comes back with
    /// the reason; the socket has counted it then. Not for hard interrupts.
    #[inline]
    pub fn queue_rcv(&self, mut skb: SkBuff) -> Result<(), (SkBuff, DropReason)> {
        skb.forget_path();
        let raw = skb.into_raw();
        // SAFETY: The socket is valid, and the packet is, with no other user.
        let reason = unsafe { bindings::sock_queue_rcv_skb_reason(self.as_raw(), raw) };
        if reason == bindings::skb_drop_reason_SKB_NOT_DROPPED_YET {
            return Ok(());
        }
        // SAFETY: The packet was not queued, so it is still this function's. `raw` is not null.
        let skb = unsafe { SkBuff::from_raw(NonNull::new_unchecked(raw)) };
        Err((skb, DropReason::from_raw(reason)))
    }

    /// Waits for a packet and takes it from the receive queue; with `MSG_PEEK` it stays there.
    ///
    /// Sleeps, unless `flags` has `MSG_DONTWAIT`. Fails with [`EAGAIN`]
    /// if there is none within the socket's receive timeout, with the socket's error, or because of
    /// a signal. A socket that is shut down gives no packet.
    #[inline]
    pub fn recv_skb(&self, flags: c_int) -> Result<Option<SharedSkBuff>> {
        let mut error = 0;
        // SAFETY: The socket is valid, and this is process context.
        let skb = unsafe { bindings::skb_recv_datagram(self.as_raw(), flags as u32, &mut error) };
        match NonNull::new(skb) {
            // SAFETY: The call returned a reference to the packet.
            Some(skb) => Ok(Some(unsafe { SharedSkBuff::from_raw(skb) })),
            None => match to_result(error) {
                // Nothing comes any more, so there is nothing to try again for.
                Err(EAGAIN) if self.is_receive_shutdown() => Ok(None),
                result => result.map(|()| None),
            },
        }
    }

    /// Receives one packet as a message whose sender is the packet's own note of type `A`, see
    /// [`SkBuff::set_cb`]: what `recvmsg` of datagrams is.
    ///
    /// Returns the bytes copied, or with `MSG_TRUNC` those of the packet; 0 if the socket is shut
    /// down. Sleeps, and fails, as [`recv_skb`](Self::recv_skb) does; with
    /// [`EOPNOTSUPP`] for `MSG_OOB` and `MSG_ERRQUEUE`, and with
    /// [`EFAULT`](crate::error::code::EFAULT) if the message cannot be written.
    pub fn recv_datagram<A>(&self, msg: &mut RecvMsg<'_>) -> Result<usize>
    where
        A: FromBytes + IntoBytes + Immutable + Copy,
    {
        let flags = msg.flags();
        if flags & (MSG_OOB | MSG_ERRQUEUE) != 0 {
            return Err(EOPNOTSUPP);
        }
        let Some(skb) = self.recv_skb(flags)? else {
            return Ok(0);
        };
        let len = skb.len();
        let copied = len.min(msg.len());
        if copied < len {
            msg.set_truncated();
        }
        skb.copy_to_iter(0, msg.iter(), copied)?;
        msg.set_name(&skb.cb::<A>());
        self.recv_cmsgs(msg, &skb);
        skb.consume();
        Ok(if flags & MSG_TRUNC != 0 { len } else { copied })
    }

    /// Receives from the error queue, with an ancillary message of `level` and `kind`.
    ///
    /// The ancillary message is a `struct sock_extended_err`, and after it the address that the
    /// error concerns, if [`queue_error`](Self::queue_error) named one. That is the message's name,
    /// too.
    ///
    /// Returns the bytes copied; [`EAGAIN`](crate::error::code::EAGAIN) if the queue is empty.
    pub fn recv_errqueue(&self, msg: &mut RecvMsg<'_>, level: c_int, kind: c_int) -> Result<usize> {
        let len = c_int::try_from(msg.len()).unwrap_or(c_int::MAX);
        // SAFETY: The socket and the message are valid.
        let copied =
            unsafe { bindings::sock_recv_ee_skb(self.as_raw(), msg.as_raw(), len, level, kind) };
        to_result(copied)?;
        Ok(copied as usize)
    }

    /// Gives the receiver the ancillary data that it has asked for: timestamps, drops, marks.
    #[inline]
    pub fn recv_cmsgs(&self, msg: &mut RecvMsg<'_>, skb: &SharedSkBuff) {
        // SAFETY: The socket, the message and the packet are valid.
        unsafe { bindings::sock_recv_cmsgs(msg.as_raw(), self.as_raw(), skb.as_raw()) };
    }

    /// Makes a packet of a message, with `HEADROOM` bytes free before it.
    ///
    /// The packet is charged to the socket's send buffer until it is freed; if that is full, this
    /// waits for room. The socket's priority and mark, or those in the message's ancillary data, go
    /// with the packet.
    ///
    /// Sleeps. Fails with [`EAGAIN`](crate::error::code::EAGAIN) if it may not wait or has waited
    /// for the socket's send timeout, with [`EPIPE`](crate::error::code::EPIPE) if the socket is
    /// shut down, with [`EFAULT`](crate::error::code::EFAULT) if the data cannot be read, with
    /// [`EINVAL`](crate::error::code::EINVAL) for ancillary data that is malformed, with the
    /// socket's error, or because of a signal.
    #[inline]
    pub fn send_skb<const HEADROOM: usize>(&self, msg: &mut SendMsg<'_>) -> Result<SkBuff> {
        const { assert!(HEADROOM <= 1024) };
        let mut cookie = MaybeUninit::uninit();
        let cookie = self.send_cookie(msg, &mut cookie)?;
        let len = msg.len();
        // What does not fit in a page goes into fragments, as large allocations tend to fail.
        let linear = if len <= ONE_PAGE - HEADROOM { len } else { 0 };
        let mut error = 0;
        // SAFETY: The socket is valid, and this is process context.
        let skb = unsafe {
            bindings::sock_alloc_send_pskb(
                self.as_raw(),
                HEADROOM + linear,
                len - linear,
                c_int::from(msg.dontwait()),
                &mut error,
                bindings::PAGE_ALLOC_COSTLY_ORDER as c_int,
            )
        };
        let skb = NonNull::new(skb).ok_or_else(|| to_result(error).err().unwrap_or(ENOMEM))?;
        // SAFETY: The packet is new and owned by nobody else. If the function returns early, its
        // data, which may not be initialised yet, is freed with it.
        let skb = unsafe { SkBuff::from_raw(skb) };
        // SAFETY: The packet is new, and was allocated with these sizes for this socket.
        unsafe { self.fill::<HEADROOM>(&skb, linear, len - linear, msg, cookie)? };
        Ok(skb)
    }

    /// Fills a new packet with the next `linear + paged` bytes of a message.
    ///
    /// If it fails the packet's data may not be initialised: it is to be freed.
    ///
    /// # Safety
    ///
    /// `skb` must be new, charged to this socket, and have `HEADROOM + linear` bytes of room in its
    /// linear part, which is less than a page, and `paged` bytes in fragments.
    #[inline]
    pub(super) unsafe fn fill<const HEADROOM: usize>(
        &self,
        skb: &SkBuff,
        linear: usize,
        paged: usize,
        msg: &mut SendMsg<'_>,
        cookie: &bindings::sockcm_cookie,
    ) -> Result {
        let skb = skb.as_raw();
        // SAFETY: The packet is valid, empty, has the room, and the fragments, which the allocation
        // has found to be no more than a packet can hold.
        unsafe {
            bindings::skb_reserve(skb, HEADROOM as c_int);
            bindings::skb_put(skb, linear as u32);
            (*skb).data_len = paged as u32;
            (*skb).len += paged as u32;
        }
        // SAFETY: The packet has that many bytes, which nobody else uses, and the iterator is
        // valid.
        to_result(unsafe {
            bindings::skb_copy_datagram_from_iter(
                skb,
                0,
                msg.iter().as_raw(),
                (linear + paged) as c_int,
            )
        })?;
        // SAFETY: The packet belongs to the socket, which is valid.
        unsafe { bindings::skb_set_sockcm(skb, cookie) };
        Ok(())
    }

    /// Collects what the socket and the message's ancillary data say of how to send.
    #[inline]
    pub(super) fn send_cookie<'a>(
        &self,
        msg: &mut SendMsg<'_>,
        cookie: &'a mut MaybeUninit<bindings::sockcm_cookie>,
    ) -> Result<&'a bindings::sockcm_cookie> {
        // SAFETY: The socket is valid; the call initialises the cookie.
        let cookie = unsafe {
            bindings::sockcm_init(cookie.as_mut_ptr(), self.as_raw());
            cookie.assume_init_mut()
        };
        if msg.has_control() {
            // SAFETY: The socket, the message and the cookie are valid.
            to_result(unsafe { bindings::sock_cmsg_send(self.as_raw(), msg.as_raw(), cookie) })?;
        }
        Ok(cookie)
    }
}

/// Ways to shut a socket down: a set of `RCV_SHUTDOWN` and `SEND_SHUTDOWN`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shutdown {
    /// No more receiving.
    Receive,
    /// No more sending.
    Send,
    /// Neither.
    Both,
}

impl Shutdown {
    fn as_raw(self) -> u8 {
        let mask = match self {
            Self::Receive => bindings::RCV_SHUTDOWN,
            Self::Send => bindings::SEND_SHUTDOWN,
            Self::Both => bindings::SHUTDOWN_MASK,
        };
        mask as u8
    }
}

/// Proof that the current thread holds the lock of a socket, which it releases when dropped.
#[must_use = "the lock unlocks immediately when the guard is unused"]
pub struct SockGuard<'a, T: Operations> {
    sock: &'a Sock<T>,
    _not_send: NotThreadSafe,
}

impl<T: Operations> SockGuard<'_, T> {
    /// Shuts the socket down and wakes who waits for it.
    pub fn shutdown(&mut self, how: Shutdown) {
        // SAFETY: The socket is valid, and its lock is held.
        unsafe { bindings::sk_shutdown_or(self.sock.as_raw(), how.as_raw()) };
    }

    /// Takes back all that [`shutdown`](Self::shutdown) has done: another connection begins.
    pub fn reopen(&mut self) {
        // SAFETY: The socket is valid, and its lock is held.
        unsafe { bindings::sk_shutdown_clear(self.sock.as_raw()) };
    }
}

impl<T: Operations> Deref for SockGuard<'_, T> {
    type Target = Sock<T>;

    fn deref(&self) -> &Sock<T> {
        self.sock
    }
}

impl<T: Operations> Drop for SockGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: The guard's existence means that the lock is held by this thread.
        unsafe { bindings::release_sock(self.sock.as_raw()) };
    }
}
