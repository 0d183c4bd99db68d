// SPDX-License-Identifier: GPL-2.0

//! Socket options at level SOL_EMT.

use super::{
    conn::{
        self,
        Conn, //
    },
    rdm::Rdm, //
};
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
    time::Delta,
    uapi, //
};

const SOL_EMT: c_int = uapi::SOL_EMT as c_int;

/// setsockopt().
///
/// [`ENOPROTOOPT`] for an unknown option, [`EINVAL`] for a value that is too short or out of range.
pub(super) fn set(sock: &Sock<Rdm>, level: c_int, name: c_int, value: &NewOption<'_>) -> Result {
    match option(level, name)? {
        uapi::EMT_RECVERR => sock.set_wants_errors(flag(value)?),
        uapi::EMT_NOTIFY => sock.set_wants_notices(flag(value)?),
        uapi::EMT_USER_TIMEOUT => sock.set_user_timeout(timeout(value)?),
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
        uapi::EMT_USER_TIMEOUT => value.write(&millis(sock.user_timeout())),
        _ => Err(ENOPROTOOPT),
    }
}

/// setsockopt() of a connection; the errors are the same.
pub(super) fn set_of_connection(
    sock: &Sock<Conn>,
    level: c_int,
    name: c_int,
    value: &NewOption<'_>,
) -> Result {
    match option(level, name)? {
        uapi::EMT_USER_TIMEOUT => conn::set_user_timeout(sock, timeout(value)?),
        uapi::EMT_NODELAY => conn::set_nodelay(sock, flag(value)?),
        _ => return Err(ENOPROTOOPT),
    }
    Ok(())
}

/// getsockopt() of a connection.
pub(super) fn get_of_connection(
    sock: &Sock<Conn>,
    level: c_int,
    name: c_int,
    value: &mut OptionBuffer<'_>,
) -> Result {
    match option(level, name)? {
        uapi::EMT_USER_TIMEOUT => value.write(&millis(sock.user_timeout())),
        uapi::EMT_NODELAY => value.write(&c_int::from(sock.nodelay())),
        _ => Err(ENOPROTOOPT),
    }
}

fn flag(value: &NewOption<'_>) -> Result<bool> {
    match value.read::<c_int>()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(EINVAL),
    }
}

fn timeout(value: &NewOption<'_>) -> Result<Nanos> {
    match value.read::<u32>()? {
        0 => Err(EINVAL),
        milliseconds => Ok(Nanos::from(milliseconds) * MILLISECOND),
    }
}

/// Returns so many nanoseconds as milliseconds, as which they were set.
fn millis(length: Nanos) -> u32 {
    Delta::from_nanos(length as i64).as_millis() as u32
}

/// Returns the number of an option of this level.
fn option(level: c_int, name: c_int) -> Result<u32> {
    match (level, u32::try_from(name)) {
        (SOL_EMT, Ok(name)) => Ok(name),
        _ => Err(ENOPROTOOPT),
    }
}
