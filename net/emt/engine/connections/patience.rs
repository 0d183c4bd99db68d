// SPDX-License-Identifier: GPL-2.0

//! How long to wait before a silent peer is asked once more.

use crate::engine::{
    limits::{
        MAX_RTO,
        MIN_RTO, //
    },
    rtt::Rtt,
    time::Nanos, //
};

/// How long at most to wait before a silent peer is asked once more.
#[derive(Clone, Copy)]
pub(super) struct Patience(Nanos);

impl Patience {
    /// Makes it so short that in `timeout`, after which the peer counts as gone, it is asked often
    /// enough for most of that to be lost.
    pub(super) fn within(timeout: Nanos) -> Self {
        Self((timeout / 16).clamp(MIN_RTO, MAX_RTO))
    }

    /// Returns the longest wait.
    pub(super) fn longest(self) -> Nanos {
        self.0
    }

    /// Returns how long to wait after asking in vain so many times.
    pub(super) fn wait(self, rtt: &Rtt, times: u8) -> Nanos {
        (rtt.timeout() << times.min(10)).min(self.0.max(rtt.timeout()))
    }
}
