// SPDX-License-Identifier: GPL-2.0

//! Lists of packets, and messages that are made of several.
//!
//! C header: [`include/linux/skbuff.h`](srctree/include/linux/skbuff.h)

use super::SkBuff;
use crate::{
    alloc::Flags,
    bindings,
    prelude::*, //
};
use core::{
    marker::PhantomData,
    mem::{
        take,
        ManuallyDrop, //
    },
    ops::Deref,
    ptr::NonNull, //
};

/// A list of packets in the order in which they were put in.
///
/// It has no lock: who owns the list owns the packets. Links are the packets' own, so that nothing
/// is allocated. Dropping the list frees its packets as ones that were not delivered.
///
/// # Invariants
///
/// `first` and `last` are both `None`, or the ends of a chain of `len` packets that are linked by
/// `next`, the last one's being null. The list owns the packets, which have no other user.
///
/// # Examples
///
/// ```
/// use kernel::net::{SkBuff, SkBuffList};
///
/// let mut list = SkBuffList::new();
/// for part in [b"one ".as_slice(), b"message"] {
///     let mut skb = SkBuff::alloc(0, part.len(), GFP_KERNEL)?;
///     skb.put(part)?;
///     list.push_back(skb);
/// }
/// assert_eq!(list.len(), 2);
///
/// let Ok(message) = list.gather(GFP_KERNEL) else { return Err(ENOMEM); };
/// let mut bytes = [0; 11];
/// message.copy_bits(0, &mut bytes)?;
/// assert_eq!(&bytes, b"one message");
/// # Ok::<(), Error>(())
/// ```
#[derive(Default)]
pub struct SkBuffList {
    first: Option<NonNull<bindings::sk_buff>>,
    last: Option<NonNull<bindings::sk_buff>>,
    len: usize,
}

// SAFETY: Packets can be used and freed on any thread.
unsafe impl Send for SkBuffList {}
// SAFETY: Through `&SkBuffList` packets are only read.
unsafe impl Sync for SkBuffList {}

impl SkBuffList {
    /// Makes an empty list.
    pub const fn new() -> Self {
        // INVARIANT: There are no packets.
        Self {
            first: None,
            last: None,
            len: 0,
        }
    }

    /// Returns the number of packets.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there are no packets.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends a packet.
    #[inline]
    pub fn push_back(&mut self, skb: SkBuff) {
        // SAFETY: A packet's address is not null.
        let skb = unsafe { NonNull::new_unchecked(skb.into_raw()) };
        // SAFETY: The packet has no other user.
        unsafe { bindings::skb_set_next(skb.as_ptr(), core::ptr::null_mut()) };
        match self.last {
            // SAFETY: The last packet of the list is the list's alone.
            Some(last) => unsafe { bindings::skb_set_next(last.as_ptr(), skb.as_ptr()) },
            None => self.first = Some(skb),
        }
        // INVARIANT: The packet was given up by the caller and ends the chain.
        self.last = Some(skb);
        self.len += 1;
    }

    /// Takes over a chain of packets.
    ///
    /// # Safety
    ///
    /// `first` and `last` must both be null or the ends of a chain as the type invariant says,
    /// which the caller gives up.
    pub(super) unsafe fn from_raw(
        first: *mut bindings::sk_buff,
        last: *mut bindings::sk_buff,
        len: usize,
    ) -> Self {
        // INVARIANT: By the safety requirements.
        Self {
            first: NonNull::new(first),
            last: NonNull::new(last),
            len,
        }
    }

    /// Gives the chain of packets to C code; null if there are none.
    pub(super) fn into_raw(self) -> *mut bindings::sk_buff {
        let this = ManuallyDrop::new(self);
        this.first.map_or(core::ptr::null_mut(), NonNull::as_ptr)
    }

    /// Returns the first packet.
    #[inline]
    pub fn front(&self) -> Option<&SkBuff> {
        let first = self.first.as_ref()?;
        // SAFETY: A `SkBuff` is the address of a packet that has no other user, as that of the
        // list is, which keeps it while it is borrowed.
        Some(unsafe { &*core::ptr::from_ref(first).cast::<SkBuff>() })
    }

    /// Returns the packets, in their order, and leaves them in the list.
    #[inline]
    pub fn iter(&self) -> Iter<'_> {
        // INVARIANT: The first packet is in the list.
        Iter {
            next: self.first,
            _list: PhantomData,
        }
    }

    /// Puts a packet before all others.
    #[inline]
    pub fn push_front(&mut self, skb: SkBuff) {
        // SAFETY: A packet's address is not null.
        let skb = unsafe { NonNull::new_unchecked(skb.into_raw()) };
        let next = self.first.map_or(core::ptr::null_mut(), NonNull::as_ptr);
        // SAFETY: The packet has no other user.
        unsafe { bindings::skb_set_next(skb.as_ptr(), next) };
        // INVARIANT: The packet was given up by the caller and begins the chain.
        self.first = Some(skb);
        self.last.get_or_insert(skb);
        self.len += 1;
    }

    /// Takes the first packet out.
    #[inline]
    pub fn pop_front(&mut self) -> Option<SkBuff> {
        let first = self.first?;
        // INVARIANT: The chain goes on with the next packet, or the list is empty.
        // SAFETY: The packet is the list's alone. In other lists of the kernel, too, a packet that
        // is in none has no `next`.
        self.first = unsafe {
            let next = bindings::skb_next(first.as_ptr());
            bindings::skb_set_next(first.as_ptr(), core::ptr::null_mut());
            NonNull::new(next)
        };
        if self.first.is_none() {
            self.last = None;
        }
        self.len -= 1;
        // SAFETY: The packet has no other user, and the list has given it up.
        Some(unsafe { SkBuff::from_raw(first) })
    }

    /// Moves all packets of `other` to the end of this list, in constant time.
    #[inline]
    pub fn append(&mut self, other: &mut Self) {
        let Some(first) = other.first.take() else {
            return;
        };
        match self.last {
            // SAFETY: The last packet of the list is the list's alone.
            Some(last) => unsafe { bindings::skb_set_next(last.as_ptr(), first.as_ptr()) },
            None => self.first = Some(first),
        }
        // INVARIANT: The chains are one now, and `other` is empty.
        self.last = other.last.take();
        self.len += take(&mut other.len);
    }

    /// Makes one packet whose data is that of all packets of the list, without copying it.
    ///
    /// The new packet has an empty head and the others as its fragments, and can be charged to a
    /// socket, by its `truesize`, for all of them. They are no longer charged to who sent them, and
    /// no longer refer to the device that they came from. They may be clones, since only what is
    /// theirs alone is written to. The time at which the first one arrived is kept.
    ///
    /// Fails, and hands the list back, if it is empty, if memory is short, if there is more data
    /// than an `int` counts, or if a packet has been gathered itself: reading a packet goes into
    /// such fragments by recursion. Not for hard interrupts.
    pub fn gather(mut self, flags: Flags) -> Result<SkBuff, Self> {
        let Some(first) = self.first else {
            return Err(self);
        };
        let Some((len, truesize)) = self.sums() else {
            return Err(self);
        };
        let Ok(head) = SkBuff::alloc(0, 0, flags) else {
            return Err(self);
        };
        let mut next = Some(first);
        while let Some(skb) = next {
            // SAFETY: The packet is in the list, which owns it alone.
            next = unsafe {
                bindings::skb_leave_path(skb.as_ptr());
                NonNull::new(bindings::skb_next(skb.as_ptr()))
            };
        }
        // INVARIANT: The list is empty.
        self.first = None;
        self.last = None;
        self.len = 0;
        // SAFETY: The head is new, has no clone, and so shares its fragments with nobody. It takes
        // over the chain, whose packets have no other user, and with it the sums of their lengths
        // and sizes, which fit in an `int`, let alone in what they are added to.
        unsafe { bindings::skb_set_frag_list(head.as_raw(), first.as_ptr(), len, truesize) };
        Ok(head)
    }

    /// Returns the length and the size of all packets together, if they can be gathered.
    fn sums(&self) -> Option<(u32, u32)> {
        let mut sums = (0u32, 0u32);
        let mut next = self.first;
        while let Some(skb) = next {
            let skb = skb.as_ptr();
            // SAFETY: The packet is in the list, and stays there.
            let (nested, len, truesize) = unsafe {
                next = NonNull::new(bindings::skb_next(skb));
                (
                    bindings::skb_has_frag_list(skb),
                    (*skb).len,
                    (*skb).truesize,
                )
            };
            if nested {
                return None;
            }
            sums = (sums.0.checked_add(len)?, sums.1.checked_add(truesize)?);
        }
        // Leaves room for the head's own size.
        let most = i32::MAX as u32 / 2;
        (sums.0 <= most && sums.1 <= most).then_some(sums)
    }
}

/// The packets of a [`SkBuffList`], one after the other.
///
/// # Invariants
///
/// `next` is `None` or in the list, which is borrowed.
pub struct Iter<'a> {
    next: Option<NonNull<bindings::sk_buff>>,
    _list: PhantomData<&'a SkBuffList>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = ListedSkBuff<'a>;

    #[inline]
    fn next(&mut self) -> Option<ListedSkBuff<'a>> {
        let skb = self.next?;
        // INVARIANT: What follows a packet of the list is in the list.
        // SAFETY: The packet is in the list, and so valid.
        self.next = NonNull::new(unsafe { bindings::skb_next(skb.as_ptr()) });
        Some(ListedSkBuff {
            // SAFETY: The packet has no other user but the list. That is borrowed, so that nobody
            // changes the packet, and this handle gives nothing up.
            skb: ManuallyDrop::new(unsafe { SkBuff::from_raw(skb) }),
            _list: PhantomData,
        })
    }
}

/// A packet in a [`SkBuffList`], which is borrowed.
pub struct ListedSkBuff<'a> {
    skb: ManuallyDrop<SkBuff>,
    _list: PhantomData<&'a SkBuffList>,
}

impl Deref for ListedSkBuff<'_> {
    type Target = SkBuff;

    #[inline]
    fn deref(&self) -> &SkBuff {
        &self.skb
    }
}

impl Iterator for SkBuffList {
    type Item = SkBuff;

    #[inline]
    fn next(&mut self) -> Option<SkBuff> {
        self.pop_front()
    }
}

impl SkBuffList {
    // Lists mostly end empty: it should cost no call to see that.
    #[cold]
    #[inline(never)]
    fn free_all(&mut self) {
        while let Some(skb) = self.pop_front() {
            drop(skb);
        }
    }
}

impl Drop for SkBuffList {
    #[inline]
    fn drop(&mut self) {
        if !self.is_empty() {
            self.free_all();
        }
    }
}

#[macros::kunit_tests(rust_net_skb_list)]
mod tests {
    use super::*;

    fn packet(data: &[u8]) -> Result<SkBuff> {
        let mut skb = SkBuff::alloc(16, data.len(), GFP_KERNEL)?;
        skb.put(data)?;
        Ok(skb)
    }

    fn list(parts: &[&[u8]]) -> Result<SkBuffList> {
        let mut list = SkBuffList::new();
        for part in parts {
            list.push_back(packet(part)?);
        }
        Ok(list)
    }

    fn first_byte(skb: &SkBuff) -> Result<u8> {
        let mut byte = [0];
        skb.copy_bits(0, &mut byte)?;
        Ok(byte[0])
    }

    #[test]
    fn packets_come_out_in_the_order_they_went_in() -> Result {
        let mut list = list(&[b"a", b"b", b"c"])?;
        assert_eq!(list.len(), 3);
        for expected in b"abc" {
            let skb = list.pop_front().ok_or(EINVAL)?;
            assert_eq!(first_byte(&skb)?, *expected);
        }
        assert!(list.is_empty());
        assert!(list.pop_front().is_none());
        list.push_back(packet(b"d")?);
        assert_eq!(list.len(), 1);
        Ok(())
    }

    #[test]
    fn append_moves_all_and_leaves_the_other_usable() -> Result {
        let mut one = list(&[b"a"])?;
        let mut two = list(&[b"b", b"c"])?;
        one.append(&mut two);
        one.append(&mut two);
        assert_eq!((one.len(), two.len()), (3, 0));
        two.push_back(packet(b"d")?);
        let mut empty = SkBuffList::new();
        empty.append(&mut one);
        empty.append(&mut two);
        let mut expected = b"abcd".iter();
        while let Some(skb) = empty.pop_front() {
            assert_eq!(Some(&first_byte(&skb)?), expected.next());
        }
        assert_eq!(expected.next(), None);
        Ok(())
    }

    #[test]
    fn packets_are_seen_in_place_and_put_back_in_front() -> Result {
        let mut list = list(&[b"b", b"c"])?;
        list.push_front(packet(b"a")?);
        let mut seen = 0;
        for (skb, expected) in list.iter().zip(b"abc") {
            assert_eq!(first_byte(&skb)?, *expected);
            seen += 1;
        }
        assert_eq!((seen, list.len()), (3, 3));
        assert_eq!(first_byte(list.front().ok_or(EINVAL)?)?, b'a');

        let mut empty = SkBuffList::new();
        assert!(empty.front().is_none() && empty.iter().next().is_none());
        empty.push_front(packet(b"d")?);
        empty.push_back(packet(b"e")?);
        list.append(&mut empty);
        let mut expected = b"abcde".iter();
        while let Some(skb) = list.pop_front() {
            assert_eq!(Some(&first_byte(&skb)?), expected.next());
        }
        assert_eq!(expected.next(), None);
        Ok(())
    }

    #[test]
    fn a_gathered_message_has_the_bytes_and_the_size_of_its_packets() -> Result {
        let parts: [&[u8]; 3] = [b"gathered ", b"", b"message"];
        let mut size = 0;
        let mut list = SkBuffList::new();
        for part in parts {
            let skb = packet(part)?;
            size += skb.truesize();
            list.push_back(skb);
        }
        let mut message = list.gather(GFP_KERNEL).map_err(|_| ENOMEM)?;
        assert_eq!(message.len(), 16);
        assert!(message.truesize() > size);
        let mut bytes = [0; 7];
        message.copy_bits(7, &mut bytes)?;
        assert_eq!(&bytes, b"d messa");
        // Taking off and cutting off work across the seams.
        assert_eq!(message.pull::<11>(), Some(*b"gathered me"));
        message.trim(3)?;
        assert_eq!(message.pull::<3>(), Some(*b"ssa"));
        assert!(message.is_empty());
        Ok(())
    }

    #[test]
    fn gathering_clones_leaves_the_originals_alone() -> Result {
        let mut one = packet(b"first")?;
        let mut two = packet(b"second")?;
        let mut list = SkBuffList::new();
        list.push_back(one.try_clone(GFP_KERNEL)?);
        list.push_back(two.try_clone(GFP_KERNEL)?);
        let mut message = list.gather(GFP_KERNEL).map_err(|_| ENOMEM)?;
        assert_eq!(message.pull::<7>(), Some(*b"firstse"));
        message.trim(2)?;
        drop(message);
        assert!(!one.is_cloned() && !two.is_cloned());
        assert_eq!(one.pull::<5>(), Some(*b"first"));
        assert_eq!(two.pull::<6>(), Some(*b"second"));
        Ok(())
    }

    #[test]
    fn what_is_gathered_already_or_nothing_is_handed_back() -> Result {
        let message = list(&[b"a", b"b"])?
            .gather(GFP_KERNEL)
            .map_err(|_| ENOMEM)?;
        let mut nested = SkBuffList::new();
        nested.push_back(packet(b"c")?);
        nested.push_back(message);
        let back = nested.gather(GFP_KERNEL).err().ok_or(EINVAL)?;
        assert_eq!(back.len(), 2);
        assert!(SkBuffList::new().gather(GFP_KERNEL).is_err());
        Ok(())
    }
}
