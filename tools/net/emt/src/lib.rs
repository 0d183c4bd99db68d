// SPDX-License-Identifier: GPL-2.0

//! Preloaded into a program for TCP, has it use AF_EMT for the addresses of a map. README.md says
//! how to use it.
//!
//! From a call's way in to the bottom:
//!
//! ```text
//! hooks/       the C library's functions: convert pointers, ask, call the next one
//! names        socket names between the program's and the kernel's
//! convert      one socket takes another's place   carry, mark, procfd, hints
//! plan answers what the map says; what is said of TCP's and IP's options   (pure)
//! table addr   the map's text; IP addresses as bytes                       (pure)
//! emt iface    the family; interfaces
//! sys next     the kernel; the functions that are hooked
//! ```

#![deny(unsafe_op_in_unsafe_fn)]
#![warn(clippy::undocumented_unsafe_blocks)]

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("the layouts of the kernel's structures here are those of 64-bit Linux");

mod addr;
mod answers;
mod carry;
mod convert;
#[cfg(not(feature = "stand-in"))]
mod emt;
#[cfg(feature = "stand-in")]
#[path = "stand_in.rs"]
mod emt;
#[allow(dead_code)] // not all of it is used by each
mod family;
mod hints;
#[cfg_attr(test, allow(dead_code))] // tests are not to be hooked themselves
mod hooks;
mod iface;
mod map;
mod mark;
mod names;
mod next;
mod plan;
mod procfd;
mod sys;
mod table;

/// When the library is loaded, before the program's own code runs.
#[cfg_attr(test, allow(dead_code))]
extern "C" fn load() {
    next::look_up();
    map::read();
}

#[cfg(not(test))]
#[used]
#[link_section = ".init_array"]
static LOAD: extern "C" fn() = load;
