// SPDX-License-Identifier: GPL-2.0

//! What `poll()` says of a socket.
//!
//! C header: [`include/uapi/linux/eventpoll.h`](srctree/include/uapi/linux/eventpoll.h)

use crate::bindings;
use core::ops::{
    BitOr,
    BitOrAssign, //
};

/// A set of events that a socket is ready for: `EPOLL*`.
///
/// # Examples
///
/// ```
/// use kernel::net::events::Events;
///
/// let mut events = Events::NONE;
/// events |= Events::IN | Events::RDHUP;
/// assert!(events.contains(Events::IN));
/// assert!(!events.contains(Events::IN | Events::OUT));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Events(u32);

// `POLL*` are the same as `EPOLL*` on all architectures that have Rust.
impl Events {
    /// No event.
    pub const NONE: Self = Self(0);
    /// Reading would not wait: `EPOLLIN` and `EPOLLRDNORM`.
    pub const IN: Self = Self(bindings::POLLIN | bindings::POLLRDNORM);
    /// Writing would not wait: `EPOLLOUT`, `EPOLLWRNORM` and `EPOLLWRBAND`.
    pub const OUT: Self = Self(bindings::POLLOUT | bindings::POLLWRNORM | bindings::POLLWRBAND);
    /// Something urgent, as an error in the queue for a user of `SO_SELECT_ERR_QUEUE`.
    pub const PRI: Self = Self(bindings::POLLPRI);
    /// An error is pending.
    pub const ERR: Self = Self(bindings::POLLERR);
    /// Neither direction is open.
    pub const HUP: Self = Self(bindings::POLLHUP);
    /// The peer sends no more.
    pub const RDHUP: Self = Self(bindings::POLLRDHUP);

    /// Returns whether all events of `other` are in the set.
    #[inline]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    #[inline]
    pub(super) fn as_raw(self) -> bindings::__poll_t {
        self.0
    }
}

impl BitOr for Events {
    type Output = Self;

    #[inline]
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Events {
    #[inline]
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}
