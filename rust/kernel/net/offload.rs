// SPDX-License-Identifier: GPL-2.0

//! Several packets in one piece, and how they are cut.
//!
//! A protocol that sends many packets at once hands them down as one [`SkBuff`](super::SkBuff) (see
//! [`retain_segments`](super::SkBuff::retain_segments)), so that what the layers below do for each
//! is done once. Where the piece leaves for a device that cannot take it, the core has the protocol
//! cut it: generic segmentation offload, Documentation/networking/segmentation-offloads.rst. A
//! virtual device may as well pass it on in one piece, in which the receiver then finds it
//! ([`gso_size`](super::skbuff::SharedSkBuff::gso_size)).
//!
//! C header: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h) (`struct
//! packet_offload`), [`include/net/gso.h`](srctree/include/net/gso.h)

use crate::{
    bindings,
    error::{
        from_err_ptr,
        to_result, //
    },
    prelude::*,
    types::Opaque, //
};
use core::marker::PhantomData;
use zerocopy::{
    Immutable,
    Unaligned, //
};

/// Which of the packets of a piece.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    /// How many bytes after that of the first its payload begins.
    pub offset: usize,
    /// The bytes of its payload.
    pub len: usize,
    /// Whether no other comes after it.
    pub last: bool,
}

/// Cuts the pieces of a protocol into packets.
pub trait Segmenter: Send + Sync + 'static {
    /// The protocol.
    const ETHERTYPE: u16;

    /// All headers of one packet after the link-layer header.
    type Headers: FromBytes + IntoBytes + Immutable + Unaligned + Copy;

    /// Makes of the headers of a piece those of one of its packets.
    ///
    /// The checksum's field has what it had in the piece, the folded sum of a pseudo-header, and
    /// the checksum is computed afterwards. `None` if the piece makes no sense, which is dropped
    /// then. Runs with bottom halves off; does not sleep.
    fn cut(headers: &Self::Headers, part: Part) -> Option<Self::Headers>;
}

/// Keeps a [`Segmenter`] registered. Dropping it sleeps.
///
/// # Invariants
///
/// `offload` is registered.
#[pin_data(PinnedDrop)]
pub struct Registration<S: Segmenter> {
    #[pin]
    offload: Opaque<bindings::packet_offload>,
    _segmenter: PhantomData<S>,
}

// SAFETY: Unregistering may be done by any thread.
unsafe impl<S: Segmenter> Send for Registration<S> {}
// SAFETY: There are no methods on a shared reference.
unsafe impl<S: Segmenter> Sync for Registration<S> {}

impl<S: Segmenter> Registration<S> {
    /// Registers `S`.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            offload <- Opaque::ffi_init(|slot: *mut bindings::packet_offload| {
                let offload = bindings::packet_offload {
                    type_: S::ETHERTYPE.to_be(),
                    callbacks: bindings::offload_callbacks {
                        gso_segment: Some(Self::gso_segment),
                        ..pin_init::zeroed()
                    },
                    ..pin_init::zeroed()
                };
                // SAFETY: `slot` is valid for writes. The registration is pinned, and unregistered
                // before it is freed.
                unsafe {
                    slot.write(offload);
                    bindings::dev_add_offload(slot);
                }
            }),
            _segmenter: PhantomData,
        })
    }

    /// # Safety
    ///
    /// Called by the core only, with a packet of the protocol whose link-layer header is set and
    /// whose data begins after that.
    unsafe extern "C" fn gso_segment(
        skb: *mut bindings::sk_buff,
        features: bindings::netdev_features_t,
    ) -> *mut bindings::sk_buff {
        // SAFETY: The packet is valid and, while it is being cut, used by nobody else.
        match unsafe { Self::segment(skb, features) } {
            Ok(segments) => segments,
            Err(error) => error.to_ptr(),
        }
    }

    /// # Safety
    ///
    /// As for [`gso_segment`](Self::gso_segment).
    unsafe fn segment(
        skb: *mut bindings::sk_buff,
        features: bindings::netdev_features_t,
    ) -> Result<*mut bindings::sk_buff> {
        // The checksum of what follows is added to that of the headers.
        const { assert!(size_of::<S::Headers>() % 2 == 0) };
        let headers_len = size_of::<S::Headers>();
        // A packet of this type that somebody else has put together, or cut off, may be anything.
        // SAFETY: The packet is valid, for all of them.
        let is_ours = unsafe {
            let size = bindings::skb_gso_list_size(skb);
            u32::from(size) != bindings::GSO_BY_FRAGS
                && size != 0
                && !bindings::skb_has_frag_list(skb)
                && (*skb).len as usize > headers_len + usize::from(size)
                && bindings::pskb_may_pull(skb, headers_len as u32)
        };
        if !is_ours {
            return Err(EINVAL);
        }
        // The core does not keep it where a layer before has something of its own there.
        // SAFETY: The packet is valid, and its data begins with the headers.
        unsafe { bindings::skb_reset_network_header(skb) };
        // SAFETY: The headers are linear, and the data begins with them.
        let headers = unsafe { (*skb).data.cast::<S::Headers>().read_unaligned() };
        // What `skb_segment()` cuts is what comes after `data`; it copies what is before to each.
        // SAFETY: As many bytes are linear.
        let segments = from_err_ptr(unsafe {
            bindings::__skb_pull(skb, headers_len as u32);
            bindings::skb_segment(skb, features)
        })?;
        // SAFETY: The call returned a list of packets that belong to this function.
        let finished = unsafe { Self::finish(segments, &headers) };
        if let Err(error) = finished {
            // SAFETY: See above; nobody else has seen them.
            unsafe {
                bindings::kfree_skb_list_reason(
                    segments,
                    bindings::skb_drop_reason_SKB_DROP_REASON_NOT_SPECIFIED,
                )
            };
            return Err(error);
        }
        Ok(segments)
    }

    /// Gives each packet of a list its headers and its checksum.
    ///
    /// # Safety
    ///
    /// `next` must be a list of packets that `skb_segment()` has made and nobody else uses, which
    /// begin with a link-layer header and headers of which `headers` is a copy.
    unsafe fn finish(mut next: *mut bindings::sk_buff, headers: &S::Headers) -> Result {
        let headers_len = size_of::<S::Headers>();
        let mut offset = 0;
        while !next.is_null() {
            let skb = next;
            // SAFETY: The packet is valid; `skb_segment()` has copied where the network header is,
            // and it and all after it up to the payload, which is linear.
            let (to, before) = unsafe {
                (
                    bindings::skb_network_header(skb),
                    bindings::skb_network_offset(skb) as usize + headers_len,
                )
            };
            // SAFETY: The packet is valid.
            let len = unsafe { (*skb).len as usize }
                .checked_sub(before)
                .ok_or(EINVAL)?;
            // SAFETY: The packet is valid.
            next = unsafe { bindings::skb_next(skb) };
            let part = Part {
                offset,
                len,
                last: next.is_null(),
            };
            let cut = S::cut(headers, part).ok_or(EINVAL)?;
            // SAFETY: There is room for headers at `to`, in a head that `skb_segment()` has made
            // for this packet.
            unsafe { to.cast::<S::Headers>().write_unaligned(cut) };
            // SAFETY: The packet is valid and has its headers.
            to_result(unsafe { bindings::skb_gso_finish_csum(skb) })?;
            offset += len;
        }
        Ok(())
    }
}

#[pinned_drop]
impl<S: Segmenter> PinnedDrop for Registration<S> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant. The call waits until nothing is being cut any more.
        unsafe { bindings::dev_remove_offload(self.offload.get()) };
    }
}

#[macros::kunit_tests(rust_net_offload)]
mod tests {
    use super::*;
    use crate::net::SkBuff;
    use core::{
        num::NonZeroU16,
        ptr::NonNull, //
    };

    /// A checksum, the bytes of the payload, and where they belong.
    type Headers = [u8; 8];

    const ETHERNET_LEN: usize = 14;
    const PSEUDO: u16 = 0x1234;

    struct Probe;

    impl Segmenter for Probe {
        const ETHERTYPE: u16 = 0x88b6;
        type Headers = Headers;

        fn cut(headers: &Headers, part: Part) -> Option<Headers> {
            let [high, low, ..] = *headers;
            let len = u16::try_from(part.len).ok()?;
            let [len_high, len_low] = len.to_be_bytes();
            let [a, b, c, d] = u32::try_from(part.offset).ok()?.to_be_bytes();
            // Which is the last shows in its place.
            let a = a | u8::from(part.last) << 7;
            (part.len != 13).then_some([high, low, len_high, len_low, a, b, c, d])
        }
    }

    fn byte(at: usize) -> u8 {
        (at * 7 % 251) as u8
    }

    /// Makes a packet with `len` bytes in its linear part or in fragments.
    fn payload(len: usize, paged: bool) -> Result<SkBuff> {
        let mut payload = KVec::with_capacity(len, GFP_KERNEL)?;
        for at in 0..len {
            payload.push(byte(at), GFP_KERNEL)?;
        }
        if paged {
            let mut error = 0;
            // SAFETY: The call makes a packet of its own, whose room is used here only.
            unsafe {
                let raw =
                    bindings::alloc_skb_with_frags(64, len, 0, &mut error, bindings::GFP_KERNEL);
                let skb = SkBuff::from_raw(NonNull::new(raw).ok_or(ENOMEM)?);
                bindings::skb_reserve(raw, 64);
                (*raw).data_len = len as u32;
                (*raw).len = len as u32;
                to_result(bindings::skb_store_bits(
                    raw,
                    0,
                    payload.as_ptr().cast(),
                    len as c_int,
                ))?;
                Ok(skb)
            }
        } else {
            let mut skb = SkBuff::alloc(64, len, GFP_KERNEL)?;
            skb.put(&payload)?;
            Ok(skb)
        }
    }

    /// Makes a piece of `len` bytes that is ready to be sent.
    fn piece(len: usize, each: u16, paged: bool) -> Result<SkBuff> {
        let each = NonZeroU16::new(each).ok_or(EINVAL)?;
        let mut retained = payload(len, paged)?
            .retain_segments(each)
            .map_err(|_| EINVAL)?;
        let mut skb = retained.copy(GFP_KERNEL)?;
        let [high, low] = PSEUDO.to_be_bytes();
        skb.push(&[high, low, 0, 0, 0, 0, 0, 0])?;
        skb.set_partial_checksum(0)?;
        skb.reset_network_header();
        skb.push(&[0; ETHERNET_LEN])?;
        // SAFETY: The packet is valid, and nothing here looks at its device.
        unsafe {
            bindings::skb_set_dev_protocol(
                skb.as_raw(),
                core::ptr::null_mut(),
                Probe::ETHERTYPE.to_be(),
            )
        };
        Ok(skb)
    }

    fn registered() -> Result<Pin<KBox<Registration<Probe>>>> {
        KBox::pin_init(Registration::new(), GFP_KERNEL)
    }

    /// Cuts a piece for a device with `features`; returns the list.
    fn segment(skb: &SkBuff, features: u64) -> Result<*mut bindings::sk_buff> {
        // SAFETY: The packet is valid and has no other user.
        from_err_ptr(unsafe { bindings::__skb_gso_segment(skb.as_raw(), features, true) })
    }

    fn sum(bytes: &[u8]) -> u16 {
        let words = bytes.chunks(2).map(|word| {
            u32::from(u16::from_be_bytes([
                word[0],
                word.get(1).copied().unwrap_or(0),
            ]))
        });
        let mut sum = words.sum::<u32>() + u32::from(PSEUDO);
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }

    #[test]
    fn a_piece_is_cut_into_whole_packets_for_any_device() -> Result {
        let _registration = registered()?;
        let sg = 1 << bindings::NETIF_F_SG_BIT;
        let csum = 1 << bindings::NETIF_F_HW_CSUM_BIT;
        for (len, paged) in [(2001, false), (2001, true), (9000, true), (1001, true)] {
            for features in [0, sg, sg | csum, csum] {
                let skb = piece(len, 1000, paged)?;
                let mut next = segment(&skb, features)?;
                let (mut at, mut count) = (0, 0);
                while let Some(raw) = NonNull::new(next) {
                    // SAFETY: The list is this function's; each packet is taken out of it.
                    let mut packet = unsafe {
                        next = bindings::skb_next(raw.as_ptr());
                        bindings::skb_set_next(raw.as_ptr(), core::ptr::null_mut());
                        if features & csum != 0 {
                            // What the device would do.
                            to_result(bindings::skb_checksum_help(raw.as_ptr()))?;
                        }
                        SkBuff::from_raw(raw)
                    };
                    assert!(packet.gso_size().is_none());
                    packet.pull::<ETHERNET_LEN>().ok_or(EINVAL)?;
                    let mut bytes = KVec::from_elem(0, packet.len(), GFP_KERNEL)?;
                    packet.copy_bits(0, &mut bytes)?;
                    let payload = &bytes[size_of::<Headers>()..];
                    assert_eq!(payload.len(), (len - at).min(1000));
                    let part = Part {
                        offset: at,
                        len: payload.len(),
                        last: at + payload.len() == len,
                    };
                    let headers = Probe::cut(&[bytes[0], bytes[1], 0, 0, 0, 0, 0, 0], part);
                    assert_eq!(bytes.first_chunk::<8>(), headers.as_ref());
                    assert!(payload
                        .iter()
                        .copied()
                        .eq((at..).map(byte).take(payload.len())));
                    // RFC 1071: with the checksum in its place, the sum of all is all ones.
                    assert_eq!(sum(&bytes), 0xffff);
                    at += payload.len();
                    count += 1;
                }
                assert_eq!((at, count), (len, len.div_ceil(1000)));
            }
        }
        Ok(())
    }

    #[test]
    fn what_makes_no_sense_is_not_cut() -> Result {
        let registration = registered()?;
        // The last would have 13 bytes, which `cut` does not like.
        assert_eq!(segment(&piece(2013, 1000, true)?, 0).err(), Some(EINVAL));
        drop(registration);
        assert_eq!(
            segment(&piece(2000, 1000, true)?, 0).err(),
            Some(EPROTONOSUPPORT)
        );
        Ok(())
    }

    #[test]
    fn a_range_of_a_piece_is_a_piece_or_a_packet() -> Result {
        for paged in [false, true] {
            let each = NonZeroU16::new(1000).ok_or(EINVAL)?;
            let mut retained = payload(3000, paged)?
                .retain_segments(each)
                .map_err(|_| EINVAL)?;
            let all = retained.copy_range(0, 3000, GFP_KERNEL)?;
            assert_eq!((all.len(), all.gso_size()), (3000, Some(each)));
            for (offset, len, size) in [(1000, 2000, Some(each)), (2000, 1000, None), (0, 1, None)]
            {
                let mut part = retained.copy_range(offset, len, GFP_KERNEL)?;
                assert_eq!((part.len(), part.gso_size()), (len, size));
                assert!(part.headroom() >= 64 && part.truesize() as usize > len);
                assert_eq!(part.pull::<1>(), Some([byte(offset)]));
            }
            assert!(retained.copy_range(2000, 1001, GFP_KERNEL).is_err());
            assert!(retained.copy_range(2000, 0, GFP_KERNEL).is_err());
        }
        Ok(())
    }
}
