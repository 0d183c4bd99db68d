// SPDX-License-Identifier: GPL-2.0

//! The only thing that is remembered, and it only saves time: which sockets exist in a single
//! descriptor and no epoll instance has. For the others convert.rs looks through the process's
//! descriptors.
//!
//! A hint names its socket by the kernel's cookie, so that one that is out of date, because the
//! descriptor was closed by whatever means, or is in another program after exec, is a hint about
//! nothing. A forked process has its parent's hints, which hold for its own descriptors.

use crate::sys;
use libc::c_int;
use std::sync::atomic::{
    AtomicU64,
    Ordering::Relaxed, //
};

/// Descriptors past it have no hints.
const COUNT: usize = 1 << 16;

static SOLE: [AtomicU64; COUNT] = [const { AtomicU64::new(0) }; COUNT];

fn slot(fd: c_int) -> Option<&'static AtomicU64> {
    SOLE.get(usize::try_from(fd).ok()?)
}

/// A socket was made.
pub(crate) fn made(fd: c_int) {
    if let (Some(slot), Ok(cookie)) = (slot(fd), sys::cookie(fd)) {
        slot.store(cookie, Relaxed);
    }
}

/// Something else refers to the descriptor's file from now on.
pub(crate) fn shared(fd: c_int) {
    if let Some(slot) = slot(fd) {
        // Most descriptors have no hint, and their page of the table is not there.
        if slot.load(Relaxed) != 0 {
            slot.store(0, Relaxed);
        }
    }
}

/// Whether this descriptor is known to be all there is of the socket.
pub(crate) fn is_sole(fd: c_int) -> bool {
    slot(fd).is_some_and(|slot| {
        let known = slot.load(Relaxed);
        known != 0 && sys::cookie(fd) == Ok(known)
    })
}
