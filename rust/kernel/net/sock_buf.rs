// SPDX-License-Identifier: GPL-2.0

//! What goes through a socket's buffers: messages of many packets, and errors that name what they
//! are about.
//!
//! C headers: [`include/net/sock.h`](srctree/include/net/sock.h),
//! [`include/linux/errqueue.h`](srctree/include/linux/errqueue.h)

use super::{
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
    mem::MaybeUninit,
    ptr::NonNull, //
};
use zerocopy::Immutable;

/// The origin of an event of this host's own: `SO_EE_ORIGIN_LOCAL`.
pub const ORIGIN_LOCAL: u8 = bindings::SO_EE_ORIGIN_LOCAL as u8;

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

    /// Tells the user on the error queue of `error`, which concerns `address`, and wakes who waits.
    ///
    /// [`recv_errqueue`](Self::recv_errqueue) returns both. Fails with [`ENOMEM`] if memory is
    /// short or the receive buffer, to which it is charged, has no room. Not for hard interrupts.
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

    /// Waits until the send buffer has room for a message, or is at most half full, which is when
    /// `poll()` calls the socket writable.
    ///
    /// So a message that is larger than the buffer can be sent, and the buffer exceeds its size by
    /// no more than one message of each sender that waited.
    ///
    /// Sleeps. Fails with the socket's pending error, with [`EPIPE`] if it is shut down for
    /// writing, with [`EAGAIN`] if the time to wait is over or there is none (`MSG_DONTWAIT`,
    /// `SO_SNDTIMEO`), and as an interrupted system call if a signal arrives.
    #[inline]
    pub fn wait_for_send(&self, msg: &SendMsg<'_>) -> Result {
        // SAFETY: The socket is valid, and this is process context.
        to_result(unsafe {
            bindings::sock_wait_for_send(self.as_raw(), msg.len(), c_int::from(msg.dontwait()))
        })
    }

    /// Makes packets of a message, each of at most `max` bytes and with `HEADROOM` bytes free
    /// before it.
    ///
    /// The packets are charged to the socket's send buffer until they are freed, whether it has
    /// room or not: [`wait_for_send`](Self::wait_for_send) comes first. The message is taken whole,
    /// or not at all. The socket's priority and mark, or those in the message's ancillary data, go
    /// with the packets. An empty message is one empty packet. A packet without fragments comes
    /// with the room for a clone, since packets of this kind are mostly kept for sending them
    /// again, see [`SkBuff::retain`].
    ///
    /// Sleeps for memory only. Fails with [`ENOBUFS`] or [`ENOMEM`] if there is none, with
    /// [`EFAULT`], and with [`EINVAL`] if `max` is 0 or the ancillary data are not understood.
    pub fn send_skbs<const HEADROOM: usize>(
        &self,
        msg: &mut SendMsg<'_>,
        max: usize,
    ) -> Result<SkBuffList> {
        const { assert!(HEADROOM <= 1024) };
        if max == 0 {
            return Err(EINVAL);
        }
        let mut cookie = MaybeUninit::uninit();
        let cookie = self.send_cookie(msg, &mut cookie)?;
        let mut list = SkBuffList::new();
        let mut left = msg.len();
        loop {
            let len = left.min(max);
            list.push_back(self.charged_skb::<HEADROOM>(msg, len, len, cookie)?);
            left -= len;
            if left == 0 {
                return Ok(list);
            }
        }
    }

    /// Makes one packet of a message, as [`send_skbs`](Self::send_skbs) does of one that is no
    /// longer than `max`.
    #[inline]
    pub fn send_whole<const HEADROOM: usize>(&self, msg: &mut SendMsg<'_>) -> Result<SkBuff> {
        const { assert!(HEADROOM <= 1024) };
        let mut cookie = MaybeUninit::uninit();
        let cookie = self.send_cookie(msg, &mut cookie)?;
        let len = msg.len();
        self.charged_skb::<HEADROOM>(msg, len, len, cookie)
    }

    /// Makes a packet of the next `len` bytes of a message; if that is linear, with `room` for it.
    #[inline]
    pub(super) fn charged_skb<const HEADROOM: usize>(
        &self,
        msg: &mut SendMsg<'_>,
        len: usize,
        room: usize,
        cookie: &bindings::sockcm_cookie,
    ) -> Result<SkBuff> {
        let linear = if len <= ONE_PAGE - HEADROOM { len } else { 0 };
        let room = room.clamp(linear, ONE_PAGE - HEADROOM);
        let mut error = ENOBUFS.to_errno();
        // SAFETY: The socket is valid, and this is process context, in which the allocation flags
        // of sockets are good.
        let skb = unsafe {
            let flags = (*self.as_raw()).sk_allocation;
            if linear == len {
                bindings::alloc_skb_fclone((HEADROOM + room) as u32, flags)
            } else {
                bindings::alloc_skb_with_frags(
                    HEADROOM + linear,
                    len - linear,
                    bindings::PAGE_ALLOC_COSTLY_ORDER as c_int,
                    &mut error,
                    flags,
                )
            }
        };
        let skb = NonNull::new(skb).ok_or_else(|| to_result(error).err().unwrap_or(ENOMEM))?;
        // SAFETY: The packet is new and owned by nobody else. The socket is valid.
        let skb = unsafe {
            bindings::skb_set_owner_w(skb.as_ptr(), self.as_raw());
            SkBuff::from_raw(skb)
        };
        // SAFETY: The packet is new, and was allocated with these sizes for this socket.
        unsafe { self.fill::<HEADROOM>(&skb, linear, len - linear, msg, cookie)? };
        Ok(skb)
    }
}

#[macros::kunit_tests(rust_net_sock_buf)]
mod tests {
    use super::*;
    use crate::{
        net::{
            family,
            msghdr::{
                RecvMsg,
                SockAddr,
                MSG_DONTWAIT,
                MSG_ERRQUEUE, //
            },
            option::{
                NewOption,
                OptionBuffer, //
            },
            socket::{
                Attached,
                NewSocket,
                Proto, //
            },
        },
        sync::{
            atomic::{
                Atomic,
                Relaxed, //
            },
            new_spinlock_bh,
            rcu,
            SpinLockBh, //
        },
    };

    static PROTO: Proto<Probe> = Proto::new();
    static STATES: Atomic<i32> = Atomic::new(0);

    const LEVEL: c_int = 288;
    const ADDRESS: [u8; 8] = *b"\x0e\0faulty";

    /// A socket that keeps what it is to send, and has one option.
    #[pin_data(PinnedDrop)]
    struct Probe {
        #[pin]
        sent: SpinLockBh<SkBuffList>,
        option: Atomic<u32>,
    }

    #[pinned_drop]
    impl PinnedDrop for Probe {
        fn drop(self: Pin<&mut Self>) {
            STATES.add(-1, Relaxed);
        }
    }

    #[vtable]
    impl family::Family for Probe {
        const NUMBER: u16 = 14;

        fn create(new: NewSocket<'_>, _protocol: c_int) -> Result<Attached> {
            STATES.add(1, Relaxed);
            new.attach(pin_init!(Self {
                sent <- new_spinlock_bh!(SkBuffList::new()),
                option: Atomic::new(0),
            }))
        }
    }

    #[vtable]
    impl Operations for Probe {
        const NAME: &'static CStr = c"KUNIT-SOCK";
        const FAMILY: u16 = 14;
        type Address = [u8; 8];

        fn proto() -> &'static Proto<Self> {
            &PROTO
        }

        fn release(_sock: &Sock<Self>) {}

        fn bind(_sock: &Sock<Self>, _addr: &SockAddr<'_>) -> Result {
            Err(EOPNOTSUPP)
        }

        fn connect(_sock: &Sock<Self>, _addr: &SockAddr<'_>, _flags: c_int) -> Result {
            Err(EOPNOTSUPP)
        }

        fn getname(_sock: &Sock<Self>, _peer: bool) -> Result<[u8; 8]> {
            Ok(ADDRESS)
        }

        fn ioctl(_sock: &Sock<Self>, _cmd: u32, _arg: UserPtr) -> Result<c_int> {
            Err(ENOIOCTLCMD)
        }

        fn sendmsg(sock: &Sock<Self>, msg: &mut SendMsg<'_>) -> Result<usize> {
            sock.wait_for_send(msg)?;
            let mut list = sock.send_skbs::<32>(msg, 1000)?;
            sock.sent.lock().append(&mut list);
            Ok(msg.len())
        }

        fn recvmsg(sock: &Sock<Self>, msg: &mut RecvMsg<'_>) -> Result<usize> {
            if msg.flags() & MSG_ERRQUEUE != 0 {
                return sock.recv_errqueue(msg, LEVEL, 1);
            }
            let skb = sock.recv_skb(msg.flags())?.ok_or(EINVAL)?;
            skb.copy_to_iter(0, msg.iter(), skb.len())?;
            Ok(skb.len())
        }

        fn setsockopt(
            sock: &Sock<Self>,
            _level: c_int,
            _name: c_int,
            value: &NewOption<'_>,
        ) -> Result {
            sock.option.store(value.read()?, Relaxed);
            Ok(())
        }

        fn getsockopt(
            sock: &Sock<Self>,
            _level: c_int,
            _name: c_int,
            value: &mut OptionBuffer<'_>,
        ) -> Result {
            value.write(&sock.option.load(Relaxed))
        }
    }

    /// A socket of the kernel's own, with the family that it belongs to.
    struct Socket {
        raw: *mut bindings::socket,
        _family: family::Registration<Probe>,
    }

    fn header() -> bindings::msghdr {
        // SAFETY: C code, too, starts with zeroes.
        unsafe { MaybeUninit::zeroed().assume_init() }
    }

    impl Socket {
        fn new() -> Result<Self> {
            // The first test registers the type for all of them.
            if let Ok(registration) = PROTO.register() {
                core::mem::forget(registration);
            }
            let family = family::Registration::<Probe>::new()?;
            let mut raw = core::ptr::null_mut();
            // SAFETY: The first namespace is always there.
            to_result(unsafe {
                bindings::sock_create_kern(&raw mut bindings::init_net, 14, 5, 0, &mut raw)
            })?;
            Ok(Self {
                raw,
                _family: family,
            })
        }

        fn sock(&self) -> &Sock<Probe> {
            // SAFETY: `create` made it such a socket, which lives until this is dropped.
            unsafe { Sock::from_raw((*self.raw).sk) }
        }

        fn set_buffers(&self, size: c_int) {
            let sk = self.sock().as_raw();
            // SAFETY: The socket is valid and used by this test alone.
            unsafe {
                (*sk).sk_sndbuf = size;
                (*sk).sk_rcvbuf = size;
            }
        }

        fn send(&self, data: &mut [u8], flags: c_int) -> Result<usize> {
            let mut msg = header();
            msg.msg_flags = flags as c_uint;
            let mut vec = bindings::kvec {
                iov_base: data.as_mut_ptr().cast(),
                iov_len: data.len(),
            };
            // SAFETY: All are valid for the call.
            let sent =
                unsafe { bindings::kernel_sendmsg(self.raw, &mut msg, &mut vec, 1, data.len()) };
            to_result(sent)?;
            Ok(sent as usize)
        }

        /// Returns the length of what is received, and of its name.
        fn recv(
            &self,
            data: &mut [u8],
            name: &mut [u8; 128],
            flags: c_int,
        ) -> Result<(usize, c_int)> {
            let mut msg = header();
            msg.msg_name = name.as_mut_ptr().cast();
            let mut vec = bindings::kvec {
                iov_base: data.as_mut_ptr().cast(),
                iov_len: data.len(),
            };
            // SAFETY: All are valid for the call, and the name has room for any address.
            let received = unsafe {
                bindings::kernel_recvmsg(self.raw, &mut msg, &mut vec, 1, data.len(), flags)
            };
            to_result(received)?;
            Ok((received as usize, msg.msg_namelen))
        }
    }

    impl Drop for Socket {
        fn drop(&mut self) {
            // SAFETY: The socket was made by `new` and is released once.
            unsafe { bindings::sock_release(self.raw) };
        }
    }

    fn pattern(len: usize) -> Result<KVec<u8>> {
        let mut data = KVec::with_capacity(len, GFP_KERNEL)?;
        for i in 0..len {
            data.push((i * 7 % 251) as u8, GFP_KERNEL)?;
        }
        Ok(data)
    }

    #[test]
    fn a_message_is_cut_into_packets_and_charged() -> Result {
        let socket = Socket::new()?;
        let mut data = pattern(2500)?;
        assert_eq!(socket.send(&mut data, 0), Ok(2500));
        assert!(socket.sock().wmem_alloc() > 2500);
        let list = core::mem::take(&mut *socket.sock().sent.lock());
        let mut at = 0;
        for mut skb in list {
            let mut bytes = [0; 1000];
            let len = skb.len();
            assert_eq!(len, (2500 - at).min(1000));
            skb.copy_bits(0, &mut bytes[..len])?;
            assert_eq!(bytes[..len], data[at..at + len]);
            skb.push(&[0; 32])?;
            at += len;
        }
        assert_eq!(at, 2500);
        assert_eq!(socket.sock().wmem_alloc(), 0);
        Ok(())
    }

    #[test]
    fn a_message_larger_than_the_send_buffer_goes_when_that_is_empty() -> Result {
        let socket = Socket::new()?;
        socket.set_buffers(10_000);
        let mut data = pattern(100_000)?;
        assert_eq!(socket.send(&mut data, MSG_DONTWAIT), Ok(100_000));
        assert_eq!(socket.sock().sent.lock().len(), 100);
        assert_eq!(socket.send(&mut data[..1], MSG_DONTWAIT), Err(EAGAIN));
        drop(core::mem::take(&mut *socket.sock().sent.lock()));
        assert_eq!(socket.send(&mut data[..1], MSG_DONTWAIT), Ok(1));
        Ok(())
    }

    #[test]
    fn room_in_the_receive_buffer_is_kept_and_given_back() -> Result {
        let socket = Socket::new()?;
        socket.set_buffers(10_000);
        let sock = socket.sock();
        let room = sock.reserve_rcv(6_000).ok_or(ENOBUFS)?;
        assert!(sock.reserve_rcv(4_001).is_none());
        let rest = sock.reserve_rcv(4_000).ok_or(ENOBUFS)?;
        assert_eq!(sock.rmem_alloc(), 10_000);
        drop((room, rest));
        assert_eq!(sock.rmem_alloc(), 0);
        // One message may always come.
        let large = sock.reserve_rcv(50_000).ok_or(ENOBUFS)?;
        assert!(sock.reserve_rcv(1).is_none());
        assert_eq!(large.bytes(), 50_000);
        Ok(())
    }

    #[test]
    fn a_gathered_message_is_received_whole_in_its_room() -> Result {
        let socket = Socket::new()?;
        let mut data = pattern(5_000)?;
        socket.send(&mut data, 0)?;
        let room = socket.sock().reserve_rcv(20_000).ok_or(ENOBUFS)?;
        let list = core::mem::take(&mut *socket.sock().sent.lock());
        let message = list.gather(GFP_KERNEL).map_err(|_| ENOMEM)?;
        // The sender is charged no longer.
        assert_eq!(socket.sock().wmem_alloc(), 0);
        let size = message.truesize();
        room.queue_rcv(message).map_err(|_| ENOBUFS)?;
        assert_eq!(socket.sock().rmem_alloc(), size as i32);
        let mut back = pattern(5_000)?;
        back.fill(0);
        assert_eq!(socket.recv(&mut back, &mut [0; 128], 0), Ok((5_000, 0)));
        assert_eq!(back[..], data[..]);
        assert_eq!(socket.sock().rmem_alloc(), 0);
        Ok(())
    }

    #[test]
    fn an_error_comes_with_the_address_that_it_concerns() -> Result {
        let socket = Socket::new()?;
        let error = ExtendedError {
            errno: 111,
            data: 42,
            ..Default::default()
        };
        socket.sock().queue_error(&error, &ADDRESS, GFP_KERNEL)?;
        let mut name = [0; 128];
        assert_eq!(
            socket.recv(&mut [0; 4], &mut name, MSG_ERRQUEUE),
            Ok((0, 8))
        );
        assert_eq!(name[..8], ADDRESS);
        assert_eq!(
            socket.recv(&mut [0; 4], &mut name, MSG_ERRQUEUE),
            Err(EAGAIN)
        );
        socket.set_buffers(1);
        assert_eq!(
            socket.sock().queue_error(&error, &ADDRESS, GFP_KERNEL),
            Err(ENOMEM)
        );
        Ok(())
    }

    #[test]
    fn a_reference_keeps_the_state_after_the_release() -> Result {
        let socket = Socket::new()?;
        let kept = socket.sock().try_hold().ok_or(EINVAL)?;
        assert!(!kept.is_dead());
        drop(socket);
        rcu::rcu_barrier();
        assert!(kept.is_dead());
        let before = STATES.load(Relaxed);
        assert_eq!(kept.clone().option.load(Relaxed), 0);
        drop(kept);
        rcu::rcu_barrier();
        assert_eq!(STATES.load(Relaxed), before - 1);
        Ok(())
    }

    #[test]
    fn options_are_read_and_written_within_their_length() -> Result {
        fn pointer<T>(value: &mut T) -> bindings::sockptr_t {
            let mut pointer: bindings::sockptr_t = pin_init::zeroed();
            pointer.__bindgen_anon_1.kernel = core::ptr::from_mut(value).cast();
            pointer.set_is_kernel(true);
            pointer
        }

        let socket = Socket::new()?;
        let mut value = 0x12345678u32;
        let mut set = |len| {
            // SAFETY: The socket is valid, and `value` has as many bytes.
            to_result(unsafe {
                bindings::do_sock_setsockopt(socket.raw, false, LEVEL, 1, pointer(&mut value), len)
            })
        };
        assert_eq!(set(3), Err(EINVAL));
        assert_eq!(set(4), Ok(()));

        for (room, expected) in [(2, 2), (4, 4), (8, 4)] {
            let mut buffer = [0u8; 8];
            let mut len: c_int = room;
            // SAFETY: The socket is valid, and the buffer has as many bytes.
            to_result(unsafe {
                bindings::do_sock_getsockopt(
                    socket.raw,
                    false,
                    LEVEL,
                    1,
                    pointer(&mut buffer),
                    pointer(&mut len),
                )
            })?;
            assert_eq!(len, expected);
            let end = expected as usize;
            assert_eq!(buffer[..end], 0x12345678u32.to_ne_bytes()[..end]);
            assert!(buffer[end..].iter().all(|byte| *byte == 0));
        }
        Ok(())
    }
}
