// SPDX-License-Identifier: GPL-2.0

//! Packets that are only read, since others may read them as well; see [`skbuff`](super::skbuff).
//!
//! C header: [`include/linux/skbuff.h`](srctree/include/linux/skbuff.h)

use crate::{
    bindings,
    error::to_result,
    iov::IovIterDest,
    prelude::*, //
};
use core::{
    mem::ManuallyDrop,
    num::NonZeroU16,
    ptr::NonNull, //
};
use zerocopy::Immutable;

/// Bytes of the control buffer that a protocol may use; the rest holds the note of whether the
/// packet ends a record, and a socket's drop count.
pub(super) const CB_LEN: usize =
    size_of::<[u8; 48]>() - size_of::<bindings::sock_skb_cb>() - size_of::<u32>();

/// A packet that may be read, by whoever owns or shares it.
///
/// # Invariants
///
/// `skb` points to a valid `struct sk_buff` on which this handle owns a reference.
#[repr(transparent)]
pub struct SharedSkBuff {
    skb: NonNull<bindings::sk_buff>,
}

// SAFETY: A packet can be used and freed on any thread.
unsafe impl Send for SharedSkBuff {}
// SAFETY: Through `&SharedSkBuff` a packet is only read.
unsafe impl Sync for SharedSkBuff {}

impl SharedSkBuff {
    /// Takes over a reference to a packet.
    ///
    /// # Safety
    ///
    /// `skb` must point to a valid packet, and the caller gives up one reference to it.
    #[inline]
    pub(super) unsafe fn from_raw(skb: NonNull<bindings::sk_buff>) -> Self {
        // INVARIANT: By the safety requirements.
        Self { skb }
    }

    /// Returns the raw packet.
    #[inline]
    pub(super) fn as_raw(&self) -> *mut bindings::sk_buff {
        self.skb.as_ptr()
    }

    /// Returns the number of bytes from the start of the data on, in all fragments.
    #[inline]
    pub fn len(&self) -> usize {
        // SAFETY: `skb` is valid by the type invariant.
        unsafe { (*self.as_raw()).len as usize }
    }

    /// Returns whether the packet holds no data.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the bytes of memory that the packet takes up, which is what a socket is charged for
    /// it.
    #[inline]
    pub fn truesize(&self) -> u32 {
        // SAFETY: `skb` is valid by the type invariant.
        unsafe { (*self.as_raw()).truesize }
    }

    /// Returns whether the packet shares its bytes with a clone.
    #[inline]
    pub fn is_cloned(&self) -> bool {
        // SAFETY: `skb` is valid by the type invariant.
        unsafe { bindings::skb_cloned(self.as_raw()) != 0 }
    }

    /// Returns how many bytes each segment has but the last, if the packet is several in one piece.
    #[inline]
    pub fn gso_size(&self) -> Option<NonZeroU16> {
        // SAFETY: `skb` is valid by the type invariant.
        NonZeroU16::new(unsafe { bindings::skb_gso_list_size(self.as_raw()) })
    }

    /// Returns how many bytes are free before the data.
    #[inline]
    pub(super) fn headroom(&self) -> u32 {
        // SAFETY: `skb` is valid by the type invariant.
        unsafe { bindings::skb_headroom(self.as_raw()) }
    }

    /// Returns the first `N` bytes of the link-layer header, if the packet has one.
    #[inline]
    pub fn mac_header<const N: usize>(&self) -> Option<[u8; N]> {
        // SAFETY: `skb` is valid by the type invariant.
        let header = unsafe { bindings::skb_mac_header_checked(self.as_raw(), N as u32) };
        // SAFETY: The call returned null or a pointer to `N` bytes of the packet's linear part,
        // which stays in place while `self` is borrowed. An array of bytes has no alignment.
        unsafe { header.cast::<[u8; N]>().as_ref() }.copied()
    }

    /// Returns the protocol's own note on the packet.
    ///
    /// What [`SkBuff::set_cb`] wrote, if it was the last to write and with the same type. Any other
    /// content is a valid value as well, if not a meaningful one.
    #[inline]
    pub fn cb<T: FromBytes + IntoBytes + Immutable + Copy>(&self) -> T {
        const { assert!(size_of::<T>() <= CB_LEN && align_of::<T>() <= 8) };
        // SAFETY: `skb` is valid by the type invariant, its control buffer is initialised, aligned
        // to 8 bytes and large enough, and any bytes are a valid `T`.
        unsafe { (&raw const (*self.as_raw()).cb).cast::<T>().read() }
    }

    /// Returns whether a record ends with the packet, as [`SkBuff::set_ends_record`] has noted.
    ///
    /// [`SkBuff::set_ends_record`]: super::SkBuff::set_ends_record
    #[inline]
    pub fn ends_record(&self) -> bool {
        // SAFETY: `skb` is valid by the type invariant, and its control buffer is initialised and
        // has 4 more bytes, aligned to as many, behind the protocol's part.
        unsafe {
            let cb = (&raw const (*self.as_raw()).cb).cast::<u8>();
            cb.add(CB_LEN).cast::<u32>().read() != 0
        }
    }

    /// Copies `len` bytes from `offset` on to `to`.
    ///
    /// Fails with [`EFAULT`] if less could be copied. May sleep.
    #[inline]
    pub fn copy_to_iter(&self, offset: usize, to: &mut IovIterDest<'_>, len: usize) -> Result {
        if offset.checked_add(len).is_none_or(|end| end > self.len()) {
            return Err(EINVAL);
        }
        // SAFETY: `skb` is valid by the type invariant, the range lies within it, so that both
        // numbers fit in an `int`, and `to` is a valid iterator.
        to_result(unsafe {
            bindings::skb_copy_datagram_iter(
                self.as_raw(),
                offset as c_int,
                to.as_raw(),
                len as c_int,
            )
        })
    }

    /// Copies `out.len()` bytes from `offset` on.
    ///
    /// Fails with [`EFAULT`] if the packet is shorter.
    pub fn copy_bits(&self, offset: usize, out: &mut [u8]) -> Result {
        if offset
            .checked_add(out.len())
            .is_none_or(|end| end > self.len())
        {
            return Err(EFAULT);
        }
        // SAFETY: `skb` is valid by the type invariant, the range lies within it, and `out` has
        // room for it.
        to_result(unsafe {
            bindings::skb_copy_bits(
                self.as_raw(),
                offset as c_int,
                out.as_mut_ptr().cast(),
                out.len() as c_int,
            )
        })
    }

    /// Frees the packet, which was delivered.
    #[inline]
    pub fn consume(self) {
        let skb = ManuallyDrop::new(self).skb;
        // SAFETY: By the type invariant the handle owns a reference, which `ManuallyDrop` leaves to
        // this call. The call frees in every context.
        unsafe {
            bindings::dev_kfree_skb_any_reason(skb.as_ptr(), bindings::skb_drop_reason_SKB_CONSUMED)
        };
    }
}

impl Drop for SharedSkBuff {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant the handle owns a reference. The call frees in every
        // context.
        unsafe {
            bindings::dev_kfree_skb_any_reason(
                self.as_raw(),
                bindings::skb_drop_reason_SKB_DROP_REASON_NOT_SPECIFIED,
            )
        };
    }
}
