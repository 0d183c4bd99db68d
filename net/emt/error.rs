// SPDX-License-Identifier: GPL-2.0

//! Why a packet is refused, and what is counted. Pure.

/// What a device counts, in the order of `struct emt_stats`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub(crate) enum Counter {
    RxPackets,
    RxBytes,
    TxPackets,
    TxBytes,
    TxErrors,
    RxTooShort,
    RxBadMagic,
    RxBadVersion,
    RxBadType,
    RxBadLength,
    RxBadChecksum,
    RxBadAddress,
    RxNoSocket,
    RxQueueFull,
    RxFiltered,
    RxNoMemory,
    RxControl,
    RxDuplicate,
    RxBadTag,
    RxInvalid,
    RxTurnedAway,
}

/// How many counters there are.
pub(crate) const COUNTERS: usize = Counter::RxTurnedAway as usize + 1;

/// Why a packet that arrived was not delivered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// Shorter than an EMT header.
    TooShort,
    /// Not EMT.
    BadMagic,
    /// Another version of EMT.
    BadVersion,
    /// Carries nothing that this version knows.
    BadType,
    /// Longer than what arrived, or shorter than its header.
    BadLength,
    /// Changed on its way.
    BadChecksum,
    /// From or to an address that cannot be.
    BadAddress,
    /// Nobody listens, at least not to this sender.
    NoSocket,
    /// The receiver has no room.
    QueueFull,
    /// The receiver's filter does not want it.
    Filtered,
    /// Memory is short.
    NoMemory,
    /// Of no association that exists.
    BadTag,
    /// Contradicts itself, or what is known.
    Invalid,
}

impl Refusal {
    /// Returns what counts such refusals.
    pub(crate) fn counter(self) -> Counter {
        match self {
            Self::TooShort => Counter::RxTooShort,
            Self::BadMagic => Counter::RxBadMagic,
            Self::BadVersion => Counter::RxBadVersion,
            Self::BadType => Counter::RxBadType,
            Self::BadLength => Counter::RxBadLength,
            Self::BadChecksum => Counter::RxBadChecksum,
            Self::BadAddress => Counter::RxBadAddress,
            Self::NoSocket => Counter::RxNoSocket,
            Self::QueueFull => Counter::RxQueueFull,
            Self::Filtered => Counter::RxFiltered,
            Self::NoMemory => Counter::RxNoMemory,
            Self::BadTag => Counter::RxBadTag,
            Self::Invalid => Counter::RxInvalid,
        }
    }
}
