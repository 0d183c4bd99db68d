// SPDX-License-Identifier: GPL-2.0

//! The functions that the program calls instead of the C library's. Each does for a descriptor of
//! IP, and for all that is no socket, exactly what the next function of its name does.
//!
//! Nothing that has a destructor is alive while one waits in the kernel: the thread may be
//! cancelled there, which unwinds it. The program's pointers are taken as valid: where the kernel
//! would say EFAULT, a hook may take a fault.

mod descriptors;
mod incoming;
mod messages;
mod options;
mod reach;
