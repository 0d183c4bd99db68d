// SPDX-License-Identifier: GPL-2.0

//! Streams of bytes in a socket's buffers, which may have marks where records end.
//!
//! C header: [`include/net/sock.h`](srctree/include/net/sock.h)

use super::{
    msghdr::SendMsg,
    skb_list::SkBuffList,
    sock::Sock,
    socket::Operations,
    SkBuff, //
};
use crate::{
    bindings,
    prelude::*, //
};
use core::mem::MaybeUninit;

impl<T: Operations> Sock<T> {
    /// Puts packets into the receive queue whose bytes follow those that are there.
    ///
    /// They are charged to the receive buffer and never refused: who has acknowledged them has
    /// seen to it that there is room. A packet becomes part of the one before it where that costs
    /// no more than a small copy, unless a record ends there, as each packet must say
    /// ([`SkBuff::set_ends_record`]); the notes on it are lost then. The packets may be clones, and
    /// segments in one piece. The socket's filter does not see them: a stream from which parts are
    /// missing would be of no use.
    ///
    /// Wakes nobody; [`data_ready`](Self::data_ready) does. Not for hard interrupts.
    pub fn queue_bytes(&self, list: SkBuffList) {
        // SAFETY: The socket is valid, and the packets of the list have no other user.
        unsafe { bindings::sk_queue_bytes(self.as_raw(), list.into_raw()) };
    }

    /// Takes all packets out of the receive queue.
    ///
    /// They stay charged to the receive buffer until they are freed, and each of them keeps the
    /// socket's memory, as a [`SockRef`](super::SockRef) does: packets that are kept in the
    /// socket's own state are to be freed in [`Operations::release`].
    ///
    /// Part of a packet is read by its offset ([`copy_to_iter`]). It is not to be taken off the
    /// packet, which would have to be copied for it.
    ///
    /// If somebody peeks at a packet ([`recv_skb`](Self::recv_skb)), the list has a clone of it; if
    /// there is no memory for that, it stays in the queue, and so do those behind it. Not for
    /// hard interrupts.
    ///
    /// [`copy_to_iter`]: super::skbuff::SharedSkBuff::copy_to_iter
    #[inline]
    pub fn take_received(&self) -> SkBuffList {
        // SAFETY: The socket is valid.
        unsafe { take_received(self.as_raw()) }
    }

    /// Makes a packet of the next `len` bytes of a message, with `HEADROOM` bytes free before it.
    ///
    /// As [`send_whole`](Self::send_whole) does of all its bytes. If they fit in a page, they are
    /// linear, and the packet has room for `room` bytes in all, or as many as fit in the page, so
    /// that more can be appended
    /// ([`RetainedSkBuff::append_from`](super::RetainedSkBuff::append_from)).
    ///
    /// Fails also with [`EFAULT`] if the message has no more `len` bytes. What was read of the
    /// message is not known then.
    pub fn send_part<const HEADROOM: usize>(
        &self,
        msg: &mut SendMsg<'_>,
        len: usize,
        room: usize,
    ) -> Result<SkBuff> {
        const { assert!(HEADROOM <= 1024) };
        let mut cookie = MaybeUninit::uninit();
        let cookie = self.send_cookie(msg, &mut cookie)?;
        self.charged_skb::<HEADROOM>(msg, len, room, cookie)
    }
}

/// Takes all packets out of the receive queue of `sk`.
///
/// # Safety
///
/// `sk` must be the `struct sock` of a `Sock`.
// Not generic, so that `free_taken` is part of the kernel and not of a module, which its last
// packet might otherwise outlive.
unsafe fn take_received(sk: *mut bindings::sock) -> SkBuffList {
    let mut last = core::ptr::null_mut();
    let mut len = 0;
    // SAFETY: The socket is valid.
    let first = unsafe { bindings::sk_take_received(sk, Some(free_taken), &mut last, &mut len) };
    // SAFETY: The call returned the ends of a chain of `len` packets without another user. Their
    // charges keep the socket, so that the packets may outlive whoever has called this.
    unsafe { SkBuffList::from_raw(first, last, len) }
}

/// Gives up the charge of a packet, and the reference to the socket that it has.
///
/// # Safety
///
/// Called by the core only, as the destructor of a packet that `take_received` has returned.
unsafe extern "C" fn free_taken(skb: *mut bindings::sk_buff) {
    // SAFETY: The packet is charged to its socket, on which it has a reference.
    unsafe { bindings::sock_rfree_put(skb) };
}

#[macros::kunit_tests(rust_net_sock_stream)]
mod tests {
    use super::*;
    use crate::{
        net::{
            msghdr::{
                MSG_DONTWAIT,
                MSG_PEEK, //
            },
            probe::{
                states,
                Socket, //
            },
            skbuff::SharedSkBuff,
            socket::SOCK_STREAM, //
        },
        sync::atomic::Relaxed,
    };

    fn packet(data: &[u8], ends: bool) -> Result<SkBuff> {
        let mut skb = SkBuff::alloc(16, 200, GFP_KERNEL)?;
        skb.put(data)?;
        skb.set_cb([0xffu8; 40]);
        skb.set_ends_record(ends);
        Ok(skb)
    }

    fn list(parts: &[(&[u8], bool)]) -> Result<SkBuffList> {
        let mut list = SkBuffList::new();
        for (part, ends) in parts {
            list.push_back(packet(part, *ends)?);
        }
        Ok(list)
    }

    fn bytes<const N: usize>(skb: &SharedSkBuff) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        assert_eq!(skb.len(), N);
        skb.copy_bits(0, &mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn what_follows_becomes_one_packet() -> Result {
        let socket = Socket::new(SOCK_STREAM)?;
        let sock = socket.sock();
        assert!(sock.take_received().is_empty());
        sock.queue_bytes(SkBuffList::new());
        sock.queue_bytes(list(&[(b"in ", false), (b"one ", false)])?);
        sock.queue_bytes(list(&[(b"pack", false), (b"", false), (b"et", false)])?);
        let list = sock.take_received();
        assert_eq!((list.len(), sock.first_len()), (1, 0));
        let skb = list.front().ok_or(EINVAL)?;
        assert_eq!(bytes::<13>(skb)?, *b"in one packet");
        assert_eq!(sock.rmem_alloc(), skb.truesize() as i32);
        drop(list);
        assert_eq!(sock.rmem_alloc(), 0);
        Ok(())
    }

    #[test]
    fn a_packet_that_is_full_is_followed_by_another() -> Result {
        let socket = Socket::new(SOCK_STREAM)?;
        let sock = socket.sock();
        for i in 0..100 {
            sock.queue_bytes(list(&[(&[i; 25], false), (&[i; 25], false)])?);
        }
        let (mut at, mut size) = (0, 0);
        let list = sock.take_received();
        assert!(list.len() < 60);
        for skb in list.iter() {
            size += skb.truesize();
            for offset in 0..skb.len() {
                let mut byte = [0];
                skb.copy_bits(offset, &mut byte)?;
                assert_eq!(byte[0], (at / 50) as u8);
                at += 1;
            }
        }
        assert_eq!(at, 5_000);
        assert_eq!(sock.rmem_alloc(), size as i32);
        Ok(())
    }

    #[test]
    fn records_keep_their_ends() -> Result {
        let socket = Socket::new(SOCK_STREAM)?;
        let sock = socket.sock();
        sock.queue_bytes(list(&[(b"o", false), (b"ne", true), (b"tw", false)])?);
        sock.queue_bytes(list(&[(b"o", true), (b"", true), (b"three", false)])?);
        let mut list = sock.take_received();
        for (expected, ends) in [("one", true), ("two", true), ("", true), ("three", false)] {
            let skb = list.pop_front().ok_or(EINVAL)?;
            let mut data = [0; 8];
            skb.copy_bits(0, &mut data[..expected.len()])?;
            assert_eq!((skb.len(), skb.ends_record()), (expected.len(), ends));
            assert_eq!(&data[..expected.len()], expected.as_bytes());
        }
        assert!(list.is_empty());
        Ok(())
    }

    #[test]
    fn what_a_clone_has_is_not_written_to() -> Result {
        let socket = Socket::new(SOCK_STREAM)?;
        let sock = socket.sock();
        let mut original = packet(b"original", false)?;
        let mut clones = SkBuffList::new();
        clones.push_back(original.try_clone(GFP_KERNEL)?);
        sock.queue_bytes(clones);
        sock.queue_bytes(list(&[(b"more", false)])?);
        let list = sock.take_received();
        assert_eq!(list.len(), 2);
        assert_eq!(bytes::<8>(list.front().ok_or(EINVAL)?)?, *b"original");
        assert_eq!(bytes::<8>(&original)?, *b"original");
        Ok(())
    }

    #[test]
    fn parts_of_a_message_are_put_together_again() -> Result {
        let socket = Socket::new(SOCK_STREAM)?;
        let sock = socket.sock();
        let mut data = KVec::with_capacity(60_000, GFP_KERNEL)?;
        for i in 0..60_000 {
            data.push((i % 251) as u8, GFP_KERNEL)?;
        }
        // As fragments, and as the clones of them that are sent.
        for clone in [false, true] {
            sock.number.store(20_000, Relaxed);
            socket.send(&mut data)?;
            let mut sent = core::mem::take(&mut *sock.sent.lock());
            assert_eq!(sent.len(), 3);
            let mut arrived = SkBuffList::new();
            let mut kept = SkBuffList::new();
            while let Some(mut skb) = sent.pop_front() {
                skb.set_ends_record(false);
                if clone {
                    arrived.push_back(skb.try_clone(GFP_KERNEL)?);
                    kept.push_back(skb);
                } else {
                    arrived.push_back(skb);
                }
            }
            sock.queue_bytes(arrived);
            let charged = sock.wmem_alloc() > 0;
            assert_eq!(charged, clone);
            let list = sock.take_received();
            assert!(clone || list.len() == 1);
            let mut at = 0;
            for skb in list.iter() {
                let mut part = KVec::from_elem(0, skb.len(), GFP_KERNEL)?;
                skb.copy_bits(0, &mut part)?;
                assert!(part[..] == data[at..at + part.len()]);
                at += part.len();
            }
            assert_eq!(at, data.len());
            drop(list);
            assert_eq!(sock.rmem_alloc(), 0);
        }
        Ok(())
    }

    #[test]
    fn a_part_that_fits_in_a_page_has_room_for_more() -> Result {
        let socket = Socket::new(SOCK_STREAM)?;
        let sock = socket.sock();
        sock.number.store(1_000, Relaxed);
        socket.send(&mut [1; 300])?;
        socket.send(&mut [2; 600])?;
        socket.send(&mut [3; 600])?;
        let mut sent = core::mem::take(&mut *sock.sent.lock());
        assert_eq!(sent.len(), 3);
        let first = sent.pop_front().ok_or(EINVAL)?;
        let mut first = first.retain().map_err(|_| EINVAL)?;
        let size = first.truesize();
        let second = sent.pop_front().ok_or(EINVAL)?;
        assert!(first.append_from(&second));
        drop(second);
        assert_eq!((first.len(), first.truesize()), (900, size));
        assert_eq!(
            sock.wmem_alloc(),
            (size + sent.front().ok_or(EINVAL)?.truesize()) as i32
        );
        let mut copy = first.copy(GFP_KERNEL)?;
        copy.push(&[0; 32])?;
        let mut byte = [0];
        copy.copy_bits(32 + 300, &mut byte)?;
        assert_eq!(byte, [2]);
        Ok(())
    }

    #[test]
    fn what_somebody_peeks_at_stays_as_it_is() -> Result {
        let socket = Socket::new(SOCK_STREAM)?;
        let sock = socket.sock();
        sock.queue_bytes(list(&[(b"seen", false)])?);
        let peeked = sock.recv_skb(MSG_PEEK | MSG_DONTWAIT)?.ok_or(EINVAL)?;
        sock.queue_bytes(list(&[(b"more", false)])?);
        assert_eq!(bytes::<4>(&peeked)?, *b"seen");
        let list = sock.take_received();
        assert_eq!(list.len(), 2);
        assert_eq!(bytes::<4>(list.front().ok_or(EINVAL)?)?, *b"seen");
        assert_eq!(bytes::<4>(&peeked)?, *b"seen");
        drop(list);
        assert_eq!(sock.rmem_alloc(), peeked.truesize() as i32);
        drop(peeked);
        assert_eq!(sock.rmem_alloc(), 0);
        Ok(())
    }

    #[test]
    fn packets_that_were_taken_may_outlive_the_socket() -> Result {
        assert_eq!(states(0), 0);
        let socket = Socket::new(SOCK_STREAM)?;
        socket
            .sock()
            .queue_bytes(list(&[(b"a", true), (b"b", true), (b"c", true)])?);
        let mut list = socket.sock().take_received();
        assert_eq!(list.len(), 3);
        drop(socket);
        assert_eq!(states(1), 1);
        drop(list.pop_front());
        drop(list.pop_front());
        assert_eq!(states(1), 1);
        drop(list);
        assert_eq!(states(0), 0);
        Ok(())
    }
}
