// SPDX-License-Identifier: GPL-2.0

//! The packets by which two peers come together and apart. Pure.

use super::{
    raw_len,
    HEADER_LEN, //
};
use zerocopy::big_endian::{
    U32,
    U64, //
};
use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout,
    Unaligned, //
};

/// The random number that a peer draws anew for each association; never 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Epoch(pub(crate) u64);

impl Epoch {
    /// Stands for no epoch.
    pub(crate) const NONE: Self = Self(0);

    /// Returns what the other end puts into its packets to show that they are for this epoch.
    pub(crate) const fn tag(self) -> u32 {
        self.0 as u32
    }
}

/// Tells the sender's epoch, and the receiver's as far as it is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Hello {
    pub(crate) epoch: Epoch,
    /// The epoch of whom this is for, or [`Epoch::NONE`].
    pub(crate) echo: Epoch,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawHello {
    epoch: U64,
    echo: U64,
}

/// Bytes of a [`Hello`], the common header included.
pub(crate) const HELLO_LEN: usize = raw_len::<RawHello>();

/// Bytes of a [`Hello`] after the common header.
pub(crate) const HELLO_BODY: usize = HELLO_LEN - HEADER_LEN;

impl Hello {
    /// Reads what follows the common header.
    pub(crate) fn parse(bytes: [u8; HELLO_BODY]) -> Self {
        let raw: RawHello = zerocopy::transmute!(bytes);
        Self {
            epoch: Epoch(raw.epoch.get()),
            echo: Epoch(raw.echo.get()),
        }
    }

    /// Returns what follows the common header.
    pub(crate) fn emit(&self) -> [u8; HELLO_BODY] {
        zerocopy::transmute!(RawHello {
            epoch: self.epoch.0.into(),
            echo: self.echo.0.into(),
        })
    }
}

/// Tells the sender of a packet that its tag means nothing here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reset {
    /// The tag of that packet.
    pub(crate) tag: u32,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawReset {
    tag: U32,
}

/// Bytes of a [`Reset`], the common header included.
pub(crate) const RESET_LEN: usize = raw_len::<RawReset>();

/// Bytes of a [`Reset`] after the common header.
pub(crate) const RESET_BODY: usize = RESET_LEN - HEADER_LEN;

impl Reset {
    /// Reads what follows the common header.
    pub(crate) fn parse(bytes: [u8; RESET_BODY]) -> Self {
        let raw: RawReset = zerocopy::transmute!(bytes);
        Self { tag: raw.tag.get() }
    }

    /// Returns what follows the common header.
    pub(crate) fn emit(&self) -> [u8; RESET_BODY] {
        zerocopy::transmute!(RawReset {
            tag: self.tag.into(),
        })
    }
}
