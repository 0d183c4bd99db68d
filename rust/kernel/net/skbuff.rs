// SPDX-License-Identifier: GPL-2.0

//! Socket buffers.
//!
//! A packet belongs to exactly one owner at a time, and the type of the owner's handle says what
//! the owner may do with it:
//!
//! - [`SkBuff`]: the `struct sk_buff` is the owner's alone. Its bytes may still be shared with
//!   clones, so they are read freely but written only through methods that make them private
//!   first.
//! - [`SharedSkBuff`]: others may hold the same `struct sk_buff`, as happens when a receiver peeks.
//!   It can only be read.
//!
//! A function that takes a packet by value has consumed it, also when it fails, unless its error
//! hands the packet back. Who has delivered a packet calls [`SharedSkBuff::consume`], who refuses
//! one [`SkBuff::drop_reason`]; a handle that is just dropped, as happens where an error is
//! returned, frees the packet as one that was not delivered.
//!
//! C header: [`include/linux/skbuff.h`](srctree/include/linux/skbuff.h)

use super::{
    dropreason::DropReason,
    skb_shared::CB_LEN, //
};
use crate::{
    alloc::{
        AllocError,
        Flags, //
    },
    bindings,
    error::to_result,
    prelude::*, //
};
use core::{
    mem::ManuallyDrop,
    ops::Deref,
    ptr::NonNull, //
};
use zerocopy::Immutable;

pub use super::skb_shared::SharedSkBuff;

// The members are used directly, so they must be where C code has them.
const _: () = assert!(size_of::<bindings::sk_buff>() == bindings::SIZEOF_SK_BUFF);

/// More bytes of headers than any packet has; what room is made for has to fit in an `int`.
const MAX_HEADERS: u32 = 4096;

/// How a packet came to this host, as seen by the device: `skb->pkt_type`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PacketType {
    /// Sent to this host.
    Host,
    /// Sent to all.
    Broadcast,
    /// Sent to a group.
    Multicast,
    /// Sent to another host.
    OtherHost,
    /// Everything else, among it copies of what this host sends.
    Other,
}

/// A packet that its holder owns alone.
///
/// # Invariants
///
/// The `struct sk_buff` has no other user.
///
/// # Examples
///
/// ```
/// use kernel::net::SkBuff;
///
/// let mut skb = SkBuff::alloc(16, 100, GFP_KERNEL)?;
/// skb.put(b"payload")?;
/// skb.push(b"head")?;
/// assert_eq!(skb.len(), 11);
///
/// let header = skb.pull::<4>().ok_or(EINVAL)?;
/// assert_eq!(&header, b"head");
/// skb.trim(3)?;
/// let mut rest = [0; 3];
/// skb.copy_bits(0, &mut rest)?;
/// assert_eq!(&rest, b"pay");
/// # Ok::<(), Error>(())
/// ```
#[repr(transparent)]
pub struct SkBuff(SharedSkBuff);

impl Deref for SkBuff {
    type Target = SharedSkBuff;

    #[inline]
    fn deref(&self) -> &SharedSkBuff {
        &self.0
    }
}

impl SkBuff {
    /// Allocates an empty packet with `headroom` bytes free before and `len` bytes after its
    /// start.
    pub fn alloc(headroom: usize, len: usize, flags: Flags) -> Result<Self, AllocError> {
        let size = headroom.checked_add(len).ok_or(AllocError)?;
        let size = c_int::try_from(size).map_err(|_| AllocError)?;
        // SAFETY: `alloc_skb` has no requirements on its arguments.
        let skb = unsafe { bindings::alloc_skb(size as u32, flags.as_raw()) };
        let skb = NonNull::new(skb).ok_or(AllocError)?;
        // SAFETY: The packet is new and empty and has at least `size` bytes of room.
        unsafe { bindings::skb_reserve(skb.as_ptr(), headroom as c_int) };
        // SAFETY: The packet is new and owned by nobody else.
        Ok(unsafe { Self::from_raw(skb) })
    }

    /// Takes over a packet.
    ///
    /// # Safety
    ///
    /// `skb` must point to a valid packet with no other user, and the caller gives it up.
    #[inline]
    pub(super) unsafe fn from_raw(skb: NonNull<bindings::sk_buff>) -> Self {
        // INVARIANT: By the safety requirements.
        // SAFETY: The caller gives up its reference.
        Self(unsafe { SharedSkBuff::from_raw(skb) })
    }

    /// Gives the packet to C code.
    #[inline]
    pub(super) fn into_raw(self) -> *mut bindings::sk_buff {
        ManuallyDrop::new(self).as_raw()
    }

    /// Makes another packet with the same bytes, without copying them.
    ///
    /// Takes the packet exclusively, since it is marked as shared.
    pub fn try_clone(&mut self, flags: Flags) -> Result<Self, AllocError> {
        // SAFETY: `skb` is valid and has no other user.
        let skb = unsafe { bindings::skb_clone(self.as_raw(), flags.as_raw()) };
        let skb = NonNull::new(skb).ok_or(AllocError)?;
        // SAFETY: A clone is a `struct sk_buff` of its own.
        Ok(unsafe { Self::from_raw(skb) })
    }

    /// Makes another packet with `len` bytes from `offset` on. What is in fragments is not copied.
    ///
    /// Fails also if there are not as many, or none. What the device said of the checksum is lost,
    /// and the size has to be set.
    pub(super) fn try_extract(
        &mut self,
        offset: usize,
        len: usize,
        flags: Flags,
    ) -> Result<Self, AllocError> {
        let end = offset.checked_add(len).ok_or(AllocError)?;
        if len == 0 || end > self.len() {
            return Err(AllocError);
        }
        // SAFETY: `skb` is valid and has no other user, and the range lies within it, so that both
        // numbers fit in an `int`.
        let skb = unsafe {
            bindings::pskb_extract(self.as_raw(), offset as c_int, len as c_int, flags.as_raw())
        };
        let skb = NonNull::new(skb).ok_or(AllocError)?;
        // SAFETY: The call made a `struct sk_buff` of its own.
        Ok(unsafe { Self::from_raw(skb) })
    }

    /// Makes the size that of the packet's own memory and its share of the fragments, for one that
    /// was extracted and is charged to nobody.
    pub(super) fn set_truesize(&mut self) {
        // SAFETY: `skb` is valid and has no other user.
        unsafe { bindings::skb_set_truesize(self.as_raw()) };
    }

    /// Takes off the bytes from `at` on, and returns them as another packet.
    ///
    /// What is in fragments is not copied. Fails, and leaves the packet as it is, if memory is
    /// short or there are none. What the device said of the checksum is lost. For packets
    /// that are charged to nobody.
    pub fn split_off(&mut self, at: usize, flags: Flags) -> Result<Self, AllocError> {
        let len = self.len().checked_sub(at).ok_or(AllocError)?;
        let mut rest = self.try_extract(at, len, flags)?;
        rest.set_truesize();
        // SAFETY: `skb` is valid and has no other user, and has at least `at` bytes, which so fit.
        match unsafe { bindings::___pskb_trim(self.as_raw(), at as u32) } {
            0 => Ok(rest),
            _ => Err(AllocError),
        }
    }

    /// Ends the charging of the packet to a socket, as one that arrived may still be charged to its
    /// sender if that is on this host.
    #[inline]
    pub fn orphan(&mut self) {
        // SAFETY: `skb` is valid and has no other user.
        unsafe { bindings::skb_orphan(self.as_raw()) };
    }

    /// Returns how the packet came to this host.
    #[inline]
    pub fn packet_type(&self) -> PacketType {
        // SAFETY: `skb` is valid by the type invariant.
        match unsafe { bindings::skb_pkt_type(self.as_raw()) } {
            bindings::PACKET_HOST => PacketType::Host,
            bindings::PACKET_BROADCAST => PacketType::Broadcast,
            bindings::PACKET_MULTICAST => PacketType::Multicast,
            bindings::PACKET_OTHERHOST => PacketType::OtherHost,
            _ => PacketType::Other,
        }
    }

    /// Returns the first `N` bytes and leaves them in place.
    ///
    /// `None` if the packet is shorter or memory is short.
    #[inline]
    pub fn peek<const N: usize>(&mut self) -> Option<[u8; N]> {
        // SAFETY: `skb` is valid and has no other user, so that its head may move.
        if !unsafe { bindings::pskb_may_pull(self.as_raw(), N as u32) } {
            return None;
        }
        // SAFETY: At least `N` bytes are linear now, as the call above made sure.
        Some(unsafe { (*self.as_raw()).data.cast::<[u8; N]>().read() })
    }

    /// Takes off the first `N` bytes and returns them.
    ///
    /// `None` if the packet is shorter or memory is short; the packet is as before then. What the
    /// device said of the packet's checksum is kept right.
    #[inline]
    pub fn pull<const N: usize>(&mut self) -> Option<[u8; N]> {
        let header = self.peek::<N>()?;
        // SAFETY: The packet has no other user, and `N` bytes are linear: they were looked at.
        unsafe { bindings::skb_pull_rcsum(self.as_raw(), N as u32) };
        Some(header)
    }

    /// Takes off the first `len` bytes, which must have been looked at by [`peek`](Self::peek).
    ///
    /// Fails with [`EINVAL`] if they are not in the linear part. What the device said of the
    /// packet's checksum is kept right.
    #[inline]
    pub fn advance(&mut self, len: usize) -> Result {
        // SAFETY: `skb` is valid by the type invariant.
        if len > unsafe { bindings::skb_headlen(self.as_raw()) } as usize {
            return Err(EINVAL);
        }
        // SAFETY: The packet has no other user, and `len` bytes are linear.
        unsafe { bindings::skb_pull_rcsum(self.as_raw(), len as u32) };
        Ok(())
    }

    /// Cuts the packet off after `len` bytes, if it is longer.
    ///
    /// What the device said of the packet's checksum is kept right.
    #[inline]
    pub fn trim(&mut self, len: usize) -> Result {
        let Ok(len) = u32::try_from(len) else {
            return Ok(());
        };
        // SAFETY: `skb` is valid and has no other user.
        to_result(unsafe { bindings::pskb_trim_rcsum(self.as_raw(), len) })
    }

    /// Puts `header` before the packet's first byte.
    ///
    /// Makes room, and the head private, when that is necessary; fails with [`ENOMEM`] if it
    /// cannot, or with more than 4096 bytes. For packets on their way out: what a device said of
    /// the checksum of one that came in no longer holds.
    #[inline]
    pub fn push(&mut self, header: &[u8]) -> Result {
        self.push_all([header])
    }

    /// Puts several `headers` before the packet's first byte, the first of them outermost.
    ///
    /// As [`push`](Self::push), in one step.
    #[inline]
    pub fn push_all<const N: usize>(&mut self, headers: [&[u8]; N]) -> Result {
        let len = headers.iter().try_fold(0u32, |len, header| {
            len.checked_add(u32::try_from(header.len()).ok()?)
        });
        let len = len.filter(|len| *len <= MAX_HEADERS).ok_or(ENOMEM)?;
        self.cow_head(len)?;
        // SAFETY: There are at least `len` bytes of headroom, and nobody else uses the head.
        let mut to = unsafe { bindings::skb_push(self.as_raw(), len) }.cast::<u8>();
        for header in headers {
            // SAFETY: `skb_push` returned the start of `len` more bytes of the private head, which
            // is as many as all headers have, and `to` is past the ones before this.
            unsafe {
                core::ptr::copy_nonoverlapping(header.as_ptr(), to, header.len());
                to = to.add(header.len());
            }
        }
        Ok(())
    }

    /// Appends `data` to a packet that has no fragments.
    ///
    /// Fails with [`EINVAL`] if the packet has fragments or shares its bytes with a clone, and with
    /// [`ENOBUFS`] if it has no room.
    pub fn put(&mut self, data: &[u8]) -> Result {
        let skb = self.as_raw();
        // SAFETY: `skb` is valid by the type invariant, for all three.
        let (fragments, cloned, room) = unsafe {
            (
                (*skb).data_len,
                bindings::skb_cloned(skb),
                bindings::skb_tailroom(skb),
            )
        };
        if fragments != 0 || cloned != 0 {
            return Err(EINVAL);
        }
        if data.len() > usize::try_from(room).unwrap_or(0) {
            return Err(ENOBUFS);
        }
        // SAFETY: The packet is linear and has room for `data.len()` bytes, as was just checked.
        let end = unsafe { bindings::skb_put(skb, data.len() as u32) };
        // SAFETY: `skb_put` returned the start of `data.len()` more bytes, which nobody else uses
        // since the packet has no clone.
        unsafe { core::ptr::copy_nonoverlapping(data.as_ptr(), end.cast::<u8>(), data.len()) };
        Ok(())
    }

    /// Makes sure that there is `headroom` before the data and that it may be written to.
    #[inline]
    pub(super) fn cow_head(&mut self, headroom: u32) -> Result {
        // SAFETY: `skb` is valid and has no other user.
        to_result(unsafe { bindings::skb_cow_head(self.as_raw(), headroom) })
    }

    /// Says that the network header, which is the protocol's own, starts with the data.
    #[inline]
    pub fn reset_network_header(&mut self) {
        // SAFETY: `skb` is valid and has no other user.
        unsafe { bindings::skb_reset_network_header(self.as_raw()) };
    }

    /// Says by a hash which packets the kernel is to keep in order.
    ///
    /// Queueing disciplines that are fair to flows, devices with several queues, and who spreads
    /// packets over CPUs go by it. Without one they use what they find in the packet: where that is
    /// no protocol that they know, all packets between two hosts are one flow.
    #[inline]
    pub fn set_flow_hash(&mut self, hash: u32) {
        // SAFETY: `skb` is valid and has no other user.
        unsafe { bindings::skb_set_flow_hash(self.as_raw(), hash) };
    }

    /// Leaves the Internet checksum (RFC 1071) of all data to the device, or to whoever sends
    /// next.
    ///
    /// The checksum goes to `offset`, where the folded sum of a pseudo-header stands already.
    /// Fails with [`EINVAL`] if that is not in the linear part.
    #[inline]
    pub fn set_partial_checksum(&mut self, offset: u16) -> Result {
        // SAFETY: `skb` is valid and has no other user; the function checks the range.
        if unsafe { bindings::skb_partial_csum_set(self.as_raw(), 0, offset) } {
            Ok(())
        } else {
            Err(EINVAL)
        }
    }

    /// Checks the Internet checksum (RFC 1071) over all data and a pseudo-header.
    ///
    /// `pseudo` returns the sum of the pseudo-header, not folded to 16 bits. Nothing is computed if
    /// the device has found the sum right, or if the packet never left this host.
    #[inline]
    pub fn checksum_is_valid(&mut self, pseudo: impl FnOnce() -> u32) -> bool {
        // SAFETY: `skb` is valid and has no other user, for both.
        unsafe {
            !bindings::skb_checksum_is_needed(self.as_raw())
                || bindings::skb_checksum_is_valid(self.as_raw(), pseudo())
        }
    }

    /// Notes something on the packet, for the protocol that holds it now.
    ///
    /// Every layer may overwrite it, so it lasts until the packet is passed on, other than to a
    /// socket's queue.
    #[inline]
    pub fn set_cb<T: FromBytes + IntoBytes + Immutable + Copy>(&mut self, value: T) {
        const { assert!(size_of::<T>() <= CB_LEN && align_of::<T>() <= 8) };
        // SAFETY: `skb` is valid and has no other user; its control buffer is aligned to 8 bytes
        // and large enough. `T` has no padding, so that the buffer stays initialised.
        unsafe { (&raw mut (*self.as_raw()).cb).cast::<T>().write(value) };
    }

    /// Notes whether a record ends with the packet, for [`Sock::queue_bytes`].
    ///
    /// The note lasts as long as the protocol's own, see [`set_cb`](Self::set_cb), and is kept
    /// apart from that.
    ///
    /// [`Sock::queue_bytes`]: super::Sock::queue_bytes
    #[inline]
    pub fn set_ends_record(&mut self, ends: bool) {
        // SAFETY: `skb` is valid and has no other user; its control buffer has 4 more bytes,
        // aligned to as many, behind the protocol's part.
        unsafe {
            let cb = (&raw mut (*self.as_raw()).cb).cast::<u8>();
            cb.add(CB_LEN).cast::<u32>().write(u32::from(ends));
        }
    }

    /// Frees the packet, which could not be delivered because of `reason`.
    #[inline]
    pub fn drop_reason(self, reason: DropReason) {
        // SAFETY: The handle owned the packet and gives it up. The call frees in every context.
        unsafe { bindings::dev_kfree_skb_any_reason(self.into_raw(), reason.as_raw()) };
    }

    /// Frees the packet, which was delivered.
    #[inline]
    pub fn consume(self) {
        let SkBuff(shared) = self;
        shared.consume();
    }
}

#[macros::kunit_tests(rust_net_skbuff)]
mod tests {
    use super::*;

    fn contents<const N: usize>(skb: &SharedSkBuff) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        assert_eq!(skb.len(), N);
        skb.copy_bits(0, &mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn put_stops_at_the_end_of_the_room() -> Result {
        let mut skb = SkBuff::alloc(0, 1, GFP_KERNEL)?;
        // The allocator rounds up, so fill until it refuses.
        let mut put = 0;
        while skb.put(&[0x55; 64]).is_ok() {
            put += 64;
        }
        assert_eq!(skb.put(&[0; 64]), Err(ENOBUFS));
        assert_eq!(skb.len(), put);
        Ok(())
    }

    #[test]
    fn push_makes_headroom_when_there_is_none() -> Result {
        let mut skb = SkBuff::alloc(0, 8, GFP_KERNEL)?;
        skb.put(b"end")?;
        skb.push(&[7; 200])?;
        assert_eq!(skb.len(), 203);
        assert_eq!(skb.pull::<200>(), Some([7; 200]));
        assert_eq!(contents::<3>(&skb)?, *b"end");
        Ok(())
    }

    #[test]
    fn pull_of_more_than_there_is_changes_nothing() -> Result {
        let mut skb = SkBuff::alloc(0, 8, GFP_KERNEL)?;
        skb.put(b"abc")?;
        assert_eq!(skb.pull::<4>(), None);
        assert_eq!(skb.peek::<4>(), None);
        assert_eq!(contents::<3>(&skb)?, *b"abc");
        assert_eq!(skb.copy_bits(1, &mut [0; 3]), Err(EFAULT));
        assert_eq!(skb.copy_bits(usize::MAX, &mut [0; 3]), Err(EFAULT));
        Ok(())
    }

    #[test]
    fn writing_to_a_clone_leaves_the_original_alone() -> Result {
        let mut skb = SkBuff::alloc(4, 8, GFP_KERNEL)?;
        skb.put(b"data")?;
        let mut clone = skb.try_clone(GFP_KERNEL)?;
        assert_eq!(clone.put(b"x"), Err(EINVAL));
        assert_eq!(skb.put(b"x"), Err(EINVAL));
        clone.push(b"one:")?;
        skb.push(b"two:")?;
        assert_eq!(contents::<8>(&clone)?, *b"one:data");
        assert_eq!(contents::<8>(&skb)?, *b"two:data");
        clone.trim(5)?;
        assert_eq!(contents::<5>(&clone)?, *b"one:d");
        assert_eq!(contents::<8>(&skb)?, *b"two:data");
        Ok(())
    }

    #[test]
    fn a_clone_carries_the_note_and_keeps_its_own() -> Result {
        let mut skb = SkBuff::alloc(0, 8, GFP_KERNEL)?;
        skb.set_cb([1u32, 2, 3]);
        let mut clone = skb.try_clone(GFP_KERNEL)?;
        assert_eq!(clone.cb::<[u32; 3]>(), [1, 2, 3]);
        clone.set_cb([4u32, 5, 6]);
        assert_eq!(skb.cb::<[u32; 3]>(), [1, 2, 3]);
        assert_eq!(clone.cb::<[u32; 3]>(), [4, 5, 6]);
        Ok(())
    }

    #[test]
    fn a_wrong_checksum_is_found() -> Result {
        // The one's complement sum of these four words is 0xffff: 0x1234 + 0xedcb.
        let good = [0x12, 0x34, 0, 0, 0xed, 0xcb, 0, 0];
        let mut skb = SkBuff::alloc(0, 8, GFP_KERNEL)?;
        skb.put(&good)?;
        assert!(skb.checksum_is_valid(|| 0));

        for byte in 0..good.len() {
            let mut bad = good;
            bad[byte] ^= 0x10;
            let mut skb = SkBuff::alloc(0, 8, GFP_KERNEL)?;
            skb.put(&bad)?;
            assert!(!skb.checksum_is_valid(|| 0));
        }
        Ok(())
    }

    #[test]
    fn a_packet_is_split_where_it_is_asked() -> Result {
        for at in 0..6 {
            let mut skb = SkBuff::alloc(4, 8, GFP_KERNEL)?;
            skb.put(b"abcdef")?;
            let clone = skb.try_clone(GFP_KERNEL)?;
            let rest = skb.split_off(at, GFP_KERNEL)?;
            let mut bytes = [0; 6];
            skb.copy_bits(0, &mut bytes[..at])?;
            rest.copy_bits(0, &mut bytes[at..])?;
            assert_eq!((skb.len(), rest.len(), &bytes), (at, 6 - at, b"abcdef"));
            assert_eq!(contents::<6>(&clone)?, *b"abcdef");
        }
        let mut skb = SkBuff::alloc(0, 8, GFP_KERNEL)?;
        assert!(skb.split_off(1, GFP_KERNEL).is_err());
        Ok(())
    }

    #[test]
    fn a_packet_that_did_not_arrive_has_no_link_layer_header() -> Result {
        let skb = SkBuff::alloc(32, 8, GFP_KERNEL)?;
        assert_eq!(skb.mac_header::<14>(), None);
        Ok(())
    }
}
