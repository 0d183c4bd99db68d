// SPDX-License-Identifier: GPL-2.0

//! Socket options at level SOL_EMT.

use super::rdm::Rdm;
use crate::engine::time::{
    Nanos,
    MILLISECOND, //
};
use kernel::{
    net::{
        option::{
            NewOption,
            OptionBuffer, //
        },
        Sock, //
    },
    prelude::*,
    uapi, //
};

const SOL_EMT: c_int = uapi::SOL_EMT as c_int;

/// setsockopt().
///
/// [`ENOPROTOOPT`] for an unknown option, [`EINVAL`] for a value that is too short or out of range.
pub(super) fn set(sock: &Sock<Rdm>, level: c_int, name: c_int, value: &NewOption<'_>) -> Result {
    let flag = || match value.read::<c_int>()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(EINVAL),
    };
    match option(level, name)? {
        uapi::EMT_RECVERR => sock.set_wants_errors(flag()?),
        uapi::EMT_NOTIFY => sock.set_wants_notices(flag()?),
        uapi::EMT_USER_TIMEOUT => match value.read::<u32>()? {
            0 => return Err(EINVAL),
            milliseconds => sock.set_user_timeout(Nanos::from(milliseconds) * MILLISECOND),
        },
        _ => return Err(ENOPROTOOPT),
    }
    Ok(())
}

/// getsockopt().
pub(super) fn get(
    sock: &Sock<Rdm>,
    level: c_int,
    name: c_int,
    value: &mut OptionBuffer<'_>,
) -> Result {
    match option(level, name)? {
        uapi::EMT_RECVERR => value.write(&c_int::from(sock.wants_errors())),
        uapi::EMT_NOTIFY => value.write(&c_int::from(sock.wants_notices())),
        uapi::EMT_USER_TIMEOUT => {
            // It was set as so many milliseconds.
            value.write(&((sock.user_timeout() / MILLISECOND) as u32))
        }
        _ => Err(ENOPROTOOPT),
    }
}

/// Returns the number of an option of this level.
fn option(level: c_int, name: c_int) -> Result<u32> {
    match (level, u32::try_from(name)) {
        (SOL_EMT, Ok(name)) => Ok(name),
        _ => Err(ENOPROTOOPT),
    }
}
