// SPDX-License-Identifier: GPL-2.0

//! The pure files of net/emt as they are, and what drives them without a kernel.

#![forbid(unsafe_code)]
// Much of the pure files is used only by those of the kernel, and its prelude has more in it.
#![allow(dead_code, unused_imports)]

/// Where they are; in the kernel they are at the crate's root.
#[path = "../../../net/emt"]
mod emt {
    pub(crate) mod addr;
    pub(crate) mod engine;
    pub(crate) mod error;
    pub(crate) mod wire;
}

use emt::{
    addr,
    engine,
    error,
    wire, //
};

#[cfg(test)]
mod documented;
mod frame;
pub mod fuzz;

#[cfg(test)]
mod connected;
#[cfg(test)]
mod connected_faults;
mod net;
#[cfg(test)]
mod pair;
mod program;
#[cfg(test)]
mod sharing;
#[cfg(test)]
mod simulation;
