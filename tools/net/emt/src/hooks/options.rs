// SPDX-License-Identifier: GPL-2.0

//! Options. Those of TCP and IP are put to the kernel first, which refuses them for EMT: for a
//! socket of IP nothing changes, and nothing is asked.

use crate::{
    addr::Family,
    answers::{
        self,
        Answer,
        Info, //
    },
    emt::{
        self,
        Name, //
    },
    family::{
        EMT_USER_TIMEOUT,
        SOL_EMT, //
    },
    iface,
    mark,
    names,
    next,
    sys, //
};
use libc::{
    c_int,
    c_void,
    socklen_t,
    IPPROTO_TCP,
    SOL_SOCKET, //
};
use std::{
    ptr,
    slice, //
};

/// What TCP uses without a peer, and what it needs of a packet.
const DEFAULT_SEGMENT: u32 = 536;
const HEADERS: u32 = 40;
const DEFAULT_MTU: u32 = 1500;

/// Whether the kernel does not have an option that was asked for.
fn is_unknown(level: c_int) -> bool {
    matches!(
        level,
        libc::IPPROTO_TCP | libc::IPPROTO_IP | libc::IPPROTO_IPV6
    ) && matches!(
        sys::errno(),
        libc::ENOPROTOOPT | libc::EOPNOTSUPP | libc::EINVAL
    )
}

#[cfg_attr(not(test), no_mangle)]
unsafe extern "C" fn getsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    let usable = !value.is_null() && !len.is_null();
    if usable && level == SOL_SOCKET {
        if let Some(number) = of_socket(fd, name) {
            // SAFETY: The arguments are the program's.
            return unsafe { give(&number.to_ne_bytes(), value, len) };
        }
    }
    let before = sys::errno();
    // SAFETY: The arguments are the program's.
    let result = unsafe { next::getsockopt(fd, level, name, value, len) };
    if result == 0 || !usable || !is_unknown(level) {
        return result;
    }
    let refusal = sys::errno();
    match answers::get(level, name).filter(|_| emt::is_ours(fd)) {
        Some(answer) => {
            sys::set_errno(before);
            // SAFETY: The arguments are the program's.
            unsafe { tell(fd, answer, value, len) }
        }
        None => sys::fail(refusal),
    }
}

/// The options by which a program would see that its socket is not one of IP, and those that we use.
fn of_socket(fd: c_int, name: c_int) -> Option<c_int> {
    let own = [libc::SO_DOMAIN, libc::SO_PROTOCOL, libc::SO_REUSEPORT];
    if !(own.contains(&name) || mark::is_option(name)) || !emt::is_ours(fd) {
        return None;
    }
    Some(match name {
        libc::SO_DOMAIN => mark::family_of(fd).number(),
        libc::SO_PROTOCOL => IPPROTO_TCP,
        _ => 0,
    })
}

/// # Safety
///
/// `value` and `len` are those of getsockopt().
unsafe fn tell(fd: c_int, answer: Answer, value: *mut c_void, len: *mut socklen_t) -> c_int {
    let number = |number: u32| (number as c_int).to_ne_bytes();
    // SAFETY: By the function's requirements.
    unsafe {
        match answer {
            Answer::Number(value_of) => give(&value_of.to_ne_bytes(), value, len),
            Answer::Bytes(bytes) => give(bytes, value, len),
            Answer::SegmentSize => give(&number(segment(mtu(fd))), value, len),
            Answer::Mtu => match mtu(fd) {
                Some(mtu) => give(&number(mtu), value, len),
                None => sys::fail(libc::ENOTCONN),
            },
            Answer::TcpInfo => give(&info(fd).emit(), value, len),
        }
    }
}

fn mtu(fd: c_int) -> Option<u32> {
    iface::mtu(fd, names::remote(fd)?.index).ok()
}

fn segment(mtu: Option<u32>) -> u32 {
    mtu.map_or(DEFAULT_SEGMENT, |mtu| mtu.saturating_sub(HEADERS))
}

fn info(fd: c_int) -> Info {
    const ESTABLISHED: u8 = 1;
    const CLOSE: u8 = 7;
    const LISTEN: u8 = 10;
    let peer: Option<Name> = names::remote(fd);
    let mtu = mtu(fd);
    let listens = || sys::get_int(fd, SOL_SOCKET, libc::SO_ACCEPTCONN) == Ok(1);
    Info {
        state: match peer {
            Some(_) => ESTABLISHED,
            None if listens() => LISTEN,
            None => CLOSE,
        },
        segment: segment(mtu),
        mtu: mtu.unwrap_or(DEFAULT_MTU),
        round_trip: peer.map_or(0, |peer| emt::round_trip(fd, &peer)),
    }
}

/// Writes a value as far as there is room, as the kernel does.
///
/// # Safety
///
/// `value` and `len` are those of getsockopt().
unsafe fn give(bytes: &[u8], value: *mut c_void, len: *mut socklen_t) -> c_int {
    // SAFETY: By the function's requirements.
    let Ok(room) = usize::try_from(unsafe { *len } as c_int) else {
        return sys::fail(libc::EINVAL);
    };
    let count = bytes.len().min(room);
    // SAFETY: By the function's requirements; no more is written than there is room for.
    unsafe {
        ptr::copy_nonoverlapping(bytes.as_ptr(), value.cast::<u8>(), count);
        *len = count as socklen_t;
    }
    0
}

#[cfg_attr(not(test), no_mangle)]
unsafe extern "C" fn setsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    len: socklen_t,
) -> c_int {
    // Those that we use: they would have no effect anyway.
    if level == SOL_SOCKET && mark::is_option(name) && emt::is_ours(fd) {
        return 0;
    }
    let before = sys::errno();
    // SAFETY: The arguments are the program's.
    let result = unsafe { next::setsockopt(fd, level, name, value, len) };
    if result == 0 || value.is_null() {
        return result;
    }
    let refusal = sys::errno();
    let reuse_port = level == SOL_SOCKET && name == libc::SO_REUSEPORT;
    let is_ours = (reuse_port || is_unknown(level)) && emt::is_ours(fd);
    let Some(len) = usize::try_from(len as c_int).ok().filter(|_| is_ours) else {
        return sys::fail(refusal);
    };
    let len = len.min(answers::CONGESTION.len());
    // SAFETY: The value is the program's; of long ones, no more than the longest that is looked at.
    let bytes = unsafe { slice::from_raw_parts(value.cast::<u8>(), len) };
    if reuse_port || is_accepted(fd, level, name, bytes) {
        sys::set_errno(before);
        return 0;
    }
    if (level, name) == (IPPROTO_TCP, libc::TCP_CONGESTION) {
        return sys::fail(libc::ENOENT);
    }
    sys::fail(refusal)
}

fn is_accepted(fd: c_int, level: c_int, name: c_int, value: &[u8]) -> bool {
    match (level, name) {
        (IPPROTO_TCP, libc::TCP_CONGESTION) => answers::is_congestion(value),
        (IPPROTO_TCP, libc::TCP_USER_TIMEOUT) => {
            // 0 is the system's own time for TCP, and not valid for EMT.
            if value.iter().any(|byte| *byte != 0) {
                let _ = sys::setsockopt(fd, SOL_EMT, EMT_USER_TIMEOUT, value);
            }
            true
        }
        (libc::IPPROTO_IPV6, _) => {
            mark::family_of(fd) == Family::V6 && answers::is_taken(level, name)
        }
        _ => answers::is_taken(level, name),
    }
}
