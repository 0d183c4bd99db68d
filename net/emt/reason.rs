// SPDX-License-Identifier: GPL-2.0

//! Drop reasons: what the kernel's tracing says of refused packets.

use crate::error::Refusal;
use kernel::net::dropreason::{
    DropReason,
    ReasonList,
    Subsystem, //
};

/// The names of EMT's own reasons; the others have one in the core.
pub(crate) static REASONS: ReasonList<9> = ReasonList::new(
    Subsystem::EMT,
    [
        c"EMT_UNSPEC",
        c"EMT_BAD_MAGIC",
        c"EMT_BAD_VERSION",
        c"EMT_BAD_TYPE",
        c"EMT_BAD_LENGTH",
        c"EMT_BAD_CHECKSUM",
        c"EMT_BAD_ADDRESS",
        c"EMT_BAD_TAG",
        c"EMT_INVALID",
    ],
);

impl From<Refusal> for DropReason {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::TooShort => Self::PKT_TOO_SMALL,
            Refusal::BadMagic => Self::new(Subsystem::EMT, 1),
            Refusal::BadVersion => Self::new(Subsystem::EMT, 2),
            Refusal::BadType => Self::new(Subsystem::EMT, 3),
            Refusal::BadLength => Self::new(Subsystem::EMT, 4),
            Refusal::BadChecksum => Self::new(Subsystem::EMT, 5),
            Refusal::BadAddress => Self::new(Subsystem::EMT, 6),
            Refusal::NoSocket => Self::NO_SOCKET,
            Refusal::QueueFull => Self::SOCKET_RCVBUFF,
            Refusal::Filtered => Self::SOCKET_FILTER,
            Refusal::NoMemory => Self::NOMEM,
            Refusal::BadTag => Self::new(Subsystem::EMT, 7),
            Refusal::Invalid => Self::new(Subsystem::EMT, 8),
        }
    }
}

impl Refusal {
    /// What it means that a socket did not take a packet for `reason`.
    pub(crate) fn by_socket(reason: DropReason) -> Self {
        match reason {
            DropReason::SOCKET_RCVBUFF => Self::QueueFull,
            DropReason::PROTO_MEM | DropReason::NOMEM => Self::NoMemory,
            // The filter is a program and may give any other.
            _ => Self::Filtered,
        }
    }
}
