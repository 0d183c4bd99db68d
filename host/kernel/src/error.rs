// SPDX-License-Identifier: GPL-2.0

//! Errors as the kernel has them.

use crate::alloc::{
    kvec::{
        InsertError,
        PushError,
        RemoveError, //
    },
    AllocError, //
};
use core::num::TryFromIntError;

/// An errno, negated.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Error(i32);

/// What an operation brings that can fail.
pub type Result<T = (), E = Error> = core::result::Result<T, E>;

impl Error {
    /// Returns the errno, negated.
    pub fn to_errno(self) -> i32 {
        self.0
    }
}

macro_rules! codes {
    ($($name:ident $value:literal)*) => {
        /// The errors by name.
        pub mod code {
            use super::Error;
            $(
                #[doc = stringify!($name)]
                pub const $name: Error = Error(-$value);
            )*
        }

        impl core::fmt::Debug for Error {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match -self.0 {
                    $($value => f.write_str(stringify!($name)),)*
                    other => write!(f, "Error({other})"),
                }
            }
        }
    };
}

// As in include/uapi/asm-generic/errno-base.h and errno.h.
codes! {
    EPERM 1
    ENOENT 2
    EINTR 4
    EIO 5
    ENXIO 6
    EAGAIN 11
    ENOMEM 12
    EACCES 13
    EFAULT 14
    EBUSY 16
    EEXIST 17
    ENODEV 19
    EINVAL 22
    ENOTTY 25
    ENOSPC 28
    EPIPE 32
    ERANGE 34
    EPROTO 71
    EBADMSG 74
    EOVERFLOW 75
    EDESTADDRREQ 89
    EMSGSIZE 90
    ENOPROTOOPT 92
    EPROTONOSUPPORT 93
    ESOCKTNOSUPPORT 94
    EOPNOTSUPP 95
    EAFNOSUPPORT 97
    EADDRINUSE 98
    EADDRNOTAVAIL 99
    ENETDOWN 100
    ENETUNREACH 101
    ECONNABORTED 103
    ECONNRESET 104
    ENOBUFS 105
    EISCONN 106
    ENOTCONN 107
    ESHUTDOWN 108
    ETIMEDOUT 110
    ECONNREFUSED 111
    EHOSTUNREACH 113
    EALREADY 114
    EINPROGRESS 115
}

impl From<AllocError> for Error {
    fn from(_: AllocError) -> Self {
        code::ENOMEM
    }
}

impl From<TryFromIntError> for Error {
    fn from(_: TryFromIntError) -> Self {
        code::EINVAL
    }
}

impl<T> From<PushError<T>> for Error {
    fn from(_: PushError<T>) -> Self {
        code::EINVAL
    }
}

impl From<RemoveError> for Error {
    fn from(_: RemoveError) -> Self {
        code::EINVAL
    }
}

impl<T> From<InsertError<T>> for Error {
    fn from(_: InsertError<T>) -> Self {
        code::EINVAL
    }
}
