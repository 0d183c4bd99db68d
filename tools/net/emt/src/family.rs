// SPDX-License-Identifier: GPL-2.0

//! The numbers of `include/uapi/linux/emt.h` that are needed here, none of which is assigned yet.

use libc::{
    c_int,
    c_long, //
};

pub(crate) const AF_EMT: c_int = 46;
pub(crate) const SOL_EMT: c_int = 288;
pub(crate) const EMT_USER_TIMEOUT: c_int = 3;
/// `SIOCPROTOPRIVATE` + 4
pub(crate) const SIOCEMTGETPEER: c_long = 0x89e4;
