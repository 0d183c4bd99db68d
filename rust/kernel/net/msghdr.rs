// SPDX-License-Identifier: GPL-2.0

//! What `sendmsg()` and `recvmsg()` pass: addresses, flags and data.
//!
//! C header: [`include/linux/socket.h`](srctree/include/linux/socket.h)

use crate::{
    bindings,
    error::from_err_ptr,
    iov::{
        IovIterDest,
        IovIterSource, //
    },
    prelude::*,
    types::Opaque, //
};
use core::{
    marker::PhantomData,
    slice, //
};
use zerocopy::Immutable;

/// Out-of-band data.
pub const MSG_OOB: c_int = bindings::MSG_OOB as c_int;
/// Leave the data where it is.
pub const MSG_PEEK: c_int = bindings::MSG_PEEK as c_int;
/// Given: return the real length of a message. Returned: the message was longer than the buffer.
pub const MSG_TRUNC: c_int = bindings::MSG_TRUNC as c_int;
/// Do not block.
pub const MSG_DONTWAIT: c_int = bindings::MSG_DONTWAIT as c_int;
/// Receive as much as there is room for.
pub const MSG_WAITALL: c_int = bindings::MSG_WAITALL as c_int;
/// The end of a record.
pub const MSG_EOR: c_int = bindings::MSG_EOR as c_int;
/// Do not raise `SIGPIPE`.
pub const MSG_NOSIGNAL: c_int = bindings::MSG_NOSIGNAL as c_int;
/// More is about to be sent.
pub const MSG_MORE: c_int = bindings::MSG_MORE as c_int;
/// Receive from the error queue.
pub const MSG_ERRQUEUE: c_int = bindings::MSG_ERRQUEUE as c_int;

/// The bytes of a socket address that came from user space, and nothing is known of but their
/// number.
///
/// # Examples
///
/// ```
/// use kernel::net::SockAddr;
///
/// let addr = SockAddr::new(&[1, 0, 0x12, 0x34]);
/// assert_eq!(addr.family(), Some(u16::from_ne_bytes([1, 0])));
/// assert_eq!(addr.read::<[u8; 3]>(), Ok([1, 0, 0x12]));
/// assert_eq!(addr.read::<[u8; 5]>(), Err(EINVAL));
/// assert_eq!(addr.of_family::<[u8; 3]>(0), Err(EAFNOSUPPORT));
/// ```
#[derive(Clone, Copy)]
pub struct SockAddr<'a>(&'a [u8]);

impl<'a> SockAddr<'a> {
    /// Takes the bytes of an address.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Takes an address from C code.
    ///
    /// # Safety
    ///
    /// `len` must not be negative unless it is to count as 0, and `addr` must point to as many
    /// initialised bytes, which stay valid and unchanged for `'a`.
    pub(super) unsafe fn from_raw(addr: *const c_void, len: c_int) -> Self {
        match usize::try_from(len) {
            // SAFETY: By the safety requirements.
            Ok(len) if len > 0 => Self(unsafe { slice::from_raw_parts(addr.cast(), len) }),
            _ => Self(&[]),
        }
    }

    /// Returns the address family, with which every address starts.
    pub fn family(&self) -> Option<u16> {
        u16::read_from_prefix(self.0).ok().map(|(family, _)| family)
    }

    /// Reads the address as a `T`, ignoring what follows; [`EINVAL`] if it is shorter.
    pub fn read<T: FromBytes>(&self) -> Result<T> {
        T::read_from_prefix(self.0)
            .map(|(addr, _)| addr)
            .map_err(|_| EINVAL)
    }

    /// Reads the address as [`read`](Self::read) does; [`EAFNOSUPPORT`] if it is not of `family`.
    pub fn of_family<T: FromBytes>(&self, family: u16) -> Result<T> {
        let addr = self.read()?;
        if self.family() == Some(family) {
            Ok(addr)
        } else {
            Err(EAFNOSUPPORT)
        }
    }
}

/// A message that is to be sent.
pub struct SendMsg<'a> {
    msg: &'a Opaque<bindings::msghdr>,
    len: usize,
    _not_shared: PhantomData<&'a mut ()>,
}

impl<'a> SendMsg<'a> {
    /// Takes the message from C code.
    ///
    /// # Safety
    ///
    /// `msg` must point to a valid message of `len` bytes that is to be sent, with its name copied
    /// from user space, and that nobody else uses for `'a`.
    pub(super) unsafe fn from_raw(msg: *mut bindings::msghdr, len: usize) -> Self {
        Self {
            // SAFETY: By the safety requirements.
            msg: unsafe { &*msg.cast() },
            len,
            _not_shared: PhantomData,
        }
    }

    /// Returns the raw message.
    pub(super) fn as_raw(&mut self) -> *mut bindings::msghdr {
        self.msg.get()
    }

    /// Returns the message's length in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether the message has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the `MSG_*` flags.
    #[inline]
    pub fn flags(&self) -> c_int {
        // SAFETY: The message is valid.
        unsafe { (*self.msg.get()).msg_flags as c_int }
    }

    /// Returns whether the sender does not want to wait.
    #[inline]
    pub fn dontwait(&self) -> bool {
        self.flags() & MSG_DONTWAIT != 0
    }

    /// Returns whether there is ancillary data.
    #[inline]
    pub(super) fn has_control(&self) -> bool {
        // SAFETY: The message is valid.
        unsafe { (*self.msg.get()).msg_controllen != 0 }
    }

    /// Returns the ancillary data of a level and type, if there is any.
    ///
    /// Fails with [`EINVAL`] if it has another length than a `T`, or if the ancillary data is
    /// malformed.
    pub fn control<T: FromBytes>(&mut self, level: c_int, kind: c_int) -> Result<Option<T>> {
        if !self.has_control() {
            return Ok(None);
        }
        // SAFETY: The message is valid; the socket layer has copied its ancillary data.
        let data = unsafe { bindings::cmsg_find(self.as_raw(), level, kind, size_of::<T>()) };
        let data = from_err_ptr(data)?.cast::<u8>();
        if data.is_null() {
            return Ok(None);
        }
        // SAFETY: It has that many bytes, which nobody changes meanwhile.
        let bytes = unsafe { slice::from_raw_parts(data, size_of::<T>()) };
        T::read_from_bytes(bytes).map(Some).map_err(|_| EINVAL)
    }

    /// Returns the destination, if one is given.
    #[inline]
    pub fn name(&self) -> Option<SockAddr<'_>> {
        // SAFETY: The message is valid.
        let (name, len) = unsafe {
            let msg = self.msg.get();
            ((*msg).msg_name, (*msg).msg_namelen)
        };
        // SAFETY: The socket layer copied `len` bytes to `name`, and leaves them alone.
        (!name.is_null()).then(|| unsafe { SockAddr::from_raw(name, len) })
    }

    /// Returns the data.
    #[inline]
    pub fn iter(&mut self) -> &mut IovIterSource<'_> {
        // SAFETY: The message is to be sent, so that its iterator is a source, valid as long as the
        // message and used by nobody else.
        unsafe { IovIterSource::from_raw(&raw mut (*self.msg.get()).msg_iter) }
    }
}

/// Where a received message goes.
pub struct RecvMsg<'a> {
    msg: &'a Opaque<bindings::msghdr>,
    len: usize,
    flags: c_int,
    _not_shared: PhantomData<&'a mut ()>,
}

impl<'a> RecvMsg<'a> {
    /// Takes the message from C code.
    ///
    /// # Safety
    ///
    /// `msg` must point to a valid message with room for `len` bytes that is to be received, and
    /// that nobody else uses for `'a`.
    pub(super) unsafe fn from_raw(msg: *mut bindings::msghdr, len: usize, flags: c_int) -> Self {
        Self {
            // SAFETY: By the safety requirements.
            msg: unsafe { &*msg.cast() },
            len,
            flags,
            _not_shared: PhantomData,
        }
    }

    /// Returns the raw message.
    pub(super) fn as_raw(&mut self) -> *mut bindings::msghdr {
        self.msg.get()
    }

    /// Returns how many bytes there is room for.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there is no room.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the `MSG_*` flags that the receiver gave.
    #[inline]
    pub fn flags(&self) -> c_int {
        self.flags
    }

    /// Tells the receiver that the message was longer than the room for it.
    #[inline]
    pub fn set_truncated(&mut self) {
        // SAFETY: The message is valid, and used by nobody else.
        unsafe { (*self.msg.get()).msg_flags |= bindings::MSG_TRUNC };
    }

    /// Tells the receiver that a record ends with what it receives.
    #[inline]
    pub fn set_end_of_record(&mut self) {
        // SAFETY: The message is valid, and used by nobody else.
        unsafe { (*self.msg.get()).msg_flags |= bindings::MSG_EOR };
    }

    /// Tells the receiver, if it wants to know, who sent the message.
    #[inline]
    pub fn set_name<T: IntoBytes + Immutable>(&mut self, name: &T) {
        const { assert!(size_of::<T>() <= size_of::<bindings::__kernel_sockaddr_storage>()) };
        let msg = self.msg.get();
        // SAFETY: The message is valid. A name that is not null has room for a `sockaddr_storage`,
        // and so for a `T`, whose bytes are all initialised.
        unsafe {
            if !(*msg).msg_name.is_null() {
                let bytes = name.as_bytes();
                core::ptr::copy_nonoverlapping(
                    bytes.as_ptr(),
                    (*msg).msg_name.cast::<u8>(),
                    bytes.len(),
                );
                (*msg).msg_namelen = bytes.len() as c_int;
            }
        }
    }

    /// Returns where the data goes.
    #[inline]
    pub fn iter(&mut self) -> &mut IovIterDest<'_> {
        // SAFETY: The message is to be received, so that its iterator is a destination, valid as
        // long as the message and used by nobody else.
        unsafe { IovIterDest::from_raw(&raw mut (*self.msg.get()).msg_iter) }
    }
}
