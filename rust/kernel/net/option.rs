// SPDX-License-Identifier: GPL-2.0

//! Values of socket options.
//!
//! C headers: [`include/linux/sockptr.h`](srctree/include/linux/sockptr.h),
//! [`include/linux/net.h`](srctree/include/linux/net.h) (`struct sockopt`)

use crate::{
    bindings,
    error::to_result,
    iov::IovIterDest,
    prelude::*,
    types::Opaque, //
};
use core::{
    marker::PhantomData,
    mem::MaybeUninit, //
};
use zerocopy::Immutable;

/// The value that a socket option is to be set to.
///
/// # Examples
///
/// ```
/// use kernel::net::option::NewOption;
///
/// fn milliseconds(value: &NewOption<'_>) -> Result<u32> {
///     match value.read::<u32>()? {
///         0 => Err(EINVAL),
///         time => Ok(time),
///     }
/// }
/// ```
pub struct NewOption<'a> {
    value: bindings::sockptr_t,
    len: c_uint,
    _call: PhantomData<&'a ()>,
}

impl NewOption<'_> {
    /// Takes the value from C code.
    ///
    /// # Safety
    ///
    /// `value` must be a user's address, or point to `len` bytes of kernel memory that stay valid
    /// during `'a`.
    pub(super) unsafe fn from_raw(value: bindings::sockptr_t, len: c_uint) -> Self {
        Self {
            value,
            len,
            _call: PhantomData,
        }
    }

    /// Returns the value's length in bytes.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Returns whether the value has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Reads the value as a `T`, ignoring what follows.
    ///
    /// Fails with [`EINVAL`] if it is shorter, and with [`EFAULT`] if it cannot be read. Sleeps.
    pub fn read<T: FromBytes>(&self) -> Result<T> {
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: There is room for a `T`, and the place and length are the caller's.
        to_result(unsafe {
            bindings::copy_safe_from_sockptr(
                value.as_mut_ptr().cast(),
                size_of::<T>(),
                self.value,
                self.len,
            )
        })?;
        // SAFETY: All bytes were written, and any bytes are a `T`.
        Ok(unsafe { value.assume_init() })
    }
}

/// Where the value of a socket option goes.
///
/// # Examples
///
/// ```
/// use kernel::net::option::OptionBuffer;
///
/// fn answer(buffer: &mut OptionBuffer<'_>) -> Result {
///     buffer.write(&42u32)
/// }
/// ```
pub struct OptionBuffer<'a> {
    option: &'a Opaque<bindings::sockopt_t>,
    _not_shared: PhantomData<&'a mut ()>,
}

impl OptionBuffer<'_> {
    /// Takes the buffer from C code.
    ///
    /// # Safety
    ///
    /// `option` must point to a valid option that is to be read and that nobody else uses for `'a`.
    pub(super) unsafe fn from_raw(option: *mut bindings::sockopt_t) -> Self {
        Self {
            // SAFETY: By the safety requirements.
            option: unsafe { &*option.cast() },
            _not_shared: PhantomData,
        }
    }

    /// Gives the user `value`, or as much of it as there is room for, and that length.
    ///
    /// To be called once. Fails with [`EINVAL`] if the length that the user gave is negative, and
    /// with [`EFAULT`] if the value cannot be written. Sleeps.
    pub fn write<T: IntoBytes + Immutable>(&mut self, value: &T) -> Result {
        let option = self.option.get();
        let bytes = value.as_bytes();
        // SAFETY: The option is valid.
        let room = usize::try_from(unsafe { (*option).optlen }).map_err(|_| EINVAL)?;
        let bytes = bytes.get(..room).unwrap_or(bytes);
        // SAFETY: The option is valid and used by nobody else, and its iterator is a destination.
        let iter = unsafe { IovIterDest::from_raw(&raw mut (*option).iter_out) };
        if iter.copy_to_iter(bytes) != bytes.len() {
            return Err(EFAULT);
        }
        // SAFETY: The option is valid and used by nobody else.
        unsafe { (*option).optlen = bytes.len() as c_int };
        Ok(())
    }
}
