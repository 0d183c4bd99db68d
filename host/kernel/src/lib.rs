// SPDX-License-Identifier: GPL-2.0

//! A stand-in for the kernel crate: what the pure files of net/emt use of it, and no more.
//!
//! Signatures are the kernel's, so that what compiles here compiles there; what is behind them is
//! std. Allocations can be made to fail, see [`alloc::inject`].

#![forbid(unsafe_code)]

pub mod alloc;
pub mod error;
pub mod math64;
pub mod uapi;

/// Attributes.
pub mod macros {
    pub use kunit_macros::kunit_tests;
}

/// What the kernel's prelude has of this.
pub mod prelude {
    pub use crate::{
        alloc::{
            flags::*,
            KBox,
            KVec, //
        },
        error::{
            code::*,
            Error,
            Result, //
        },
        macros::kunit_tests,
        pr_debug,
        pr_err,
        pr_info,
        pr_warn, //
    };
    pub use core::{
        mem::{
            align_of,
            align_of_val,
            size_of,
            size_of_val, //
        },
        pin::Pin,
    };
    pub use zerocopy::{
        FromBytes,
        IntoBytes, //
    };
    pub use zerocopy_derive::{
        FromBytes,
        IntoBytes, //
    };
}

/// Prints an error.
#[macro_export]
macro_rules! pr_err {
    ($($arg:tt)*) => { eprint!($($arg)*) };
}

/// Prints a warning.
#[macro_export]
macro_rules! pr_warn {
    ($($arg:tt)*) => { eprint!($($arg)*) };
}

/// Prints what may be of interest.
#[macro_export]
macro_rules! pr_info {
    ($($arg:tt)*) => { eprint!($($arg)*) };
}

/// Checks what is to be printed, and prints it not.
#[macro_export]
macro_rules! pr_debug {
    ($($arg:tt)*) => { if false { eprint!($($arg)*) } };
}
