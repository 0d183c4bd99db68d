// SPDX-License-Identifier: GPL-2.0

//! Packets that are kept for sending them again.
//!
//! C header: [`include/linux/skbuff.h`](srctree/include/linux/skbuff.h)

use super::{
    skbuff::SharedSkBuff,
    SkBuff, //
};
use crate::{
    alloc::{
        AllocError,
        Flags, //
    },
    bindings,
    ffi::c_int, //
};
use core::{
    num::NonZeroU16,
    ops::Deref,
    ptr::NonNull, //
};

/// A packet of which copies are sent, each with a header of its own.
///
/// Who retains a packet uses its data only and leaves the room before it to one copy at a time, so
/// that a header is put there without copying the data. The packet stays charged to the socket it
/// was made for; the copies are charged to nobody.
///
/// # Invariants
///
/// The packet has no other user. Nothing is put before its data, and after it only while there is
/// no copy.
///
/// # Examples
///
/// ```
/// use kernel::net::SkBuff;
///
/// let mut skb = SkBuff::alloc(16, 4, GFP_KERNEL)?;
/// skb.put(b"data")?;
/// let Ok(mut kept) = skb.retain() else { return Err(EINVAL); };
///
/// let mut first = kept.copy(GFP_KERNEL)?;
/// first.push(b"1st:")?;
/// // The first copy may still be in a queue when it has to be sent again.
/// assert!(kept.is_cloned());
/// let mut second = kept.copy(GFP_KERNEL)?;
/// second.push(b"2nd:")?;
///
/// assert_eq!(first.pull::<8>(), Some(*b"1st:data"));
/// assert_eq!(second.pull::<8>(), Some(*b"2nd:data"));
/// # Ok::<(), Error>(())
/// ```
pub struct RetainedSkBuff(SkBuff);

impl Deref for RetainedSkBuff {
    type Target = SharedSkBuff;

    #[inline]
    fn deref(&self) -> &SharedSkBuff {
        &self.0
    }
}

impl SkBuff {
    /// Keeps the packet for sending it again, after which only copies of it are sent.
    ///
    /// Hands the packet back if it shares its bytes with a clone.
    pub fn retain(self) -> Result<RetainedSkBuff, SkBuff> {
        if self.is_cloned() {
            return Err(self);
        }
        // INVARIANT: There is no copy yet.
        // SAFETY: The packet has no other user, nor has its head, as it is no clone and has none.
        unsafe { bindings::__skb_header_release(self.as_raw()) };
        Ok(RetainedSkBuff(self))
    }
}

impl SkBuff {
    /// Keeps the packet, whose data is that of several segments, of `segment_len` bytes each but
    /// for the last.
    ///
    /// As [`retain`](Self::retain). Of what is copied, all that is more than one segment goes out
    /// in one piece as far as devices can take it, and is then cut by the
    /// [`Segmenter`](super::offload::Segmenter) of the protocol.
    pub fn retain_segments(self, segment_len: NonZeroU16) -> Result<RetainedSkBuff, SkBuff> {
        let retained = self.retain()?;
        retained.0.set_segments(segment_len);
        Ok(retained)
    }

    /// Says that the data is that of segments with `segment_len` bytes each but for the last.
    ///
    /// For a packet that shares its bytes with no clone.
    fn set_segments(&self, segment_len: NonZeroU16) {
        let count = self.len().div_ceil(usize::from(segment_len.get()));
        let (size, count) = match u16::try_from(count) {
            Ok(2..) if u32::from(segment_len.get()) != bindings::GSO_BY_FRAGS => {
                (segment_len.get(), count as u16)
            }
            // One needs no cutting. More than are counted, or of the length that stands for
            // something else, do not go out.
            _ => (0, 0),
        };
        // SAFETY: The packet is valid and has no other user, nor have its bytes.
        unsafe { bindings::skb_set_gso_list(self.as_raw(), size, count) };
    }
}

impl RetainedSkBuff {
    /// Makes a packet with `len` bytes from `offset` on, as [`copy`](Self::copy) does with all.
    ///
    /// Fails also if there are not as many.
    pub fn copy_range(
        &mut self,
        offset: usize,
        len: usize,
        flags: Flags,
    ) -> Result<SkBuff, AllocError> {
        if offset == 0 && len == self.len() {
            return self.copy(flags);
        }
        let (segment_len, headroom) = (self.gso_size(), self.headroom());
        let mut part = self.0.try_extract(offset, len, flags)?;
        part.cow_head(headroom).map_err(|_| AllocError)?;
        if let Some(segment_len) = segment_len {
            part.set_segments(segment_len);
        }
        part.set_truesize();
        Ok(part)
    }

    /// Makes a packet with the same data, to which a header can be put.
    ///
    /// The data is not copied, unless an earlier copy is still in use: then what is in the linear
    /// part is. The note on the packet goes with it, and so do priority and mark. Not for hard
    /// interrupts.
    #[inline]
    pub fn copy(&mut self, flags: Flags) -> Result<SkBuff, AllocError> {
        if !self.is_cloned() {
            return self.0.try_clone(flags);
        }
        let skb = self.0.as_raw();
        // SAFETY: The packet is valid and has no other user. What it shares with clones is read,
        // or referred to, only.
        let copy = unsafe {
            let headroom = self.headroom() as c_int;
            bindings::__pskb_copy_fclone(skb, headroom, flags.as_raw(), false)
        };
        let copy = NonNull::new(copy).ok_or(AllocError)?;
        // SAFETY: The copy is new and owned by nobody else.
        Ok(unsafe { SkBuff::from_raw(copy) })
    }

    /// Appends the bytes of another packet, if there is room for them in the linear part.
    ///
    /// Returns whether they were appended. They are not if a copy of this packet is in use, if it
    /// has fragments, or if it is several segments in one piece; the room is what it was made
    /// with, or a bit more. `other` stays as it is. Any context.
    pub fn append_from(&mut self, other: &SharedSkBuff) -> bool {
        let skb = self.0.as_raw();
        let len = other.len();
        // SAFETY: The packet is valid, for all three.
        let (linear, headlen, room) = unsafe {
            (
                (*skb).data_len == 0,
                bindings::skb_headlen(skb) as usize,
                bindings::skb_tailroom(skb),
            )
        };
        if self.is_cloned()
            || !linear
            || self.gso_size().is_some()
            || len > usize::try_from(room).unwrap_or(0)
        {
            return false;
        }
        // SAFETY: Behind the linear part there is room for `len` bytes, which fit in an `int`. No
        // other packet has the head, nor has `other`, whose bytes are copied from all its parts.
        unsafe {
            let end = (*skb).data.add(headlen);
            if bindings::skb_copy_bits(other.as_raw(), 0, end.cast(), len as c_int) != 0 {
                return false;
            }
            bindings::skb_put(skb, len as u32);
        }
        true
    }

    /// Frees the packet, which was delivered.
    #[inline]
    pub fn consume(self) {
        self.0.consume();
    }
}

#[macros::kunit_tests(rust_net_skb_retained)]
mod tests {
    use super::*;
    use crate::prelude::*;

    fn retained() -> Result<RetainedSkBuff> {
        let mut skb = SkBuff::alloc(16, 8, GFP_KERNEL)?;
        skb.put(b"data")?;
        skb.set_cb(7u32);
        skb.retain().map_err(|_| EINVAL)
    }

    #[test]
    fn a_header_goes_before_the_first_copy_in_place() -> Result {
        let mut kept = retained()?;
        let mut copy = kept.copy(GFP_KERNEL)?;
        // SAFETY: Both packets are valid.
        let data = |skb: &SharedSkBuff| unsafe { (*skb.as_raw()).data as usize };
        copy.push(b"head")?;
        assert_eq!(data(&copy) + 4, data(&kept));
        assert_eq!(copy.pull::<8>(), Some(*b"headdata"));
        Ok(())
    }

    #[test]
    fn a_second_copy_does_not_touch_the_first_ones_header() -> Result {
        let mut kept = retained()?;
        let mut one = kept.copy(GFP_KERNEL)?;
        one.push(b"one:")?;
        let mut two = kept.copy(GFP_KERNEL)?;
        two.push(b"two:")?;
        one.push(b"more")?;
        assert_eq!(one.pull::<12>(), Some(*b"moreone:data"));
        assert_eq!(two.pull::<8>(), Some(*b"two:data"));
        assert_eq!(two.cb::<u32>(), 7);
        drop((one, two));
        // Nobody uses the room any more, so the next one gets it.
        assert!(!kept.is_cloned());
        let mut three = kept.copy(GFP_KERNEL)?;
        three.push(b"3")?;
        assert_eq!(three.pull::<5>(), Some(*b"3data"));
        assert_eq!(kept.len(), 4);
        Ok(())
    }

    #[test]
    fn the_copies_outlive_the_packet() -> Result {
        let mut kept = retained()?;
        let mut copy = kept.copy(GFP_KERNEL)?;
        kept.consume();
        copy.push(b"head")?;
        assert_eq!(copy.pull::<8>(), Some(*b"headdata"));
        Ok(())
    }

    #[test]
    fn bytes_are_appended_while_there_is_room_and_no_copy() -> Result {
        let mut skb = SkBuff::alloc(16, 100, GFP_KERNEL)?;
        skb.put(b"data")?;
        let mut kept = skb.retain().map_err(|_| EINVAL)?;
        let more = retained()?;
        assert!(kept.append_from(&more));
        assert_eq!((kept.len(), more.len()), (8, 4));

        let mut copy = kept.copy(GFP_KERNEL)?;
        assert!(!kept.append_from(&more));
        copy.push(b"head")?;
        drop(copy);
        assert!(kept.append_from(&more));
        let mut copy = kept.copy(GFP_KERNEL)?;
        assert_eq!(copy.pull::<12>(), Some(*b"datadatadata"));
        assert!(copy.is_empty());
        drop(copy);

        while kept.append_from(&more) {}
        assert!(kept.len() >= 100);
        // Not if several segments are cut from it.
        let mut skb = SkBuff::alloc(16, 100, GFP_KERNEL)?;
        skb.put(b"segments")?;
        let segment = NonZeroU16::new(4).ok_or(EINVAL)?;
        let mut kept = skb.retain_segments(segment).map_err(|_| EINVAL)?;
        assert!(!kept.append_from(&more));
        Ok(())
    }

    #[test]
    fn a_packet_with_a_clone_is_not_retained() -> Result {
        let mut skb = SkBuff::alloc(16, 8, GFP_KERNEL)?;
        let clone = skb.try_clone(GFP_KERNEL)?;
        let skb = skb.retain().err().ok_or(EINVAL)?;
        drop(clone);
        assert!(skb.retain().is_ok());
        Ok(())
    }
}
