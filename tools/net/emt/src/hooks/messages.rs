// SPDX-License-Identifier: GPL-2.0

//! Names that go with data. A connection's data has none, but programs may pass one, or room for
//! one.

use super::reach;
use crate::{
    emt,
    names::{
        self,
        Room, //
    },
    next,
    sys, //
};
use libc::{
    c_int,
    c_void,
    msghdr,
    size_t,
    sockaddr,
    socklen_t,
    ssize_t, //
};
use std::ptr;

/// Whether a call failed since EMT does not know the name that was passed, which TCP does not look
/// at.
fn is_name_in_the_way(fd: c_int, result: ssize_t) -> bool {
    let reasons = [
        libc::EAFNOSUPPORT,
        libc::EINVAL,
        libc::EISCONN,
        libc::EOPNOTSUPP,
    ];
    result < 0 && reasons.contains(&sys::errno()) && emt::is_ours(fd)
}

/// Whether the connection is to be made by sending (TCP Fast Open), and goes to EMT.
///
/// # Safety
///
/// `name` is null or readable for `len` bytes.
unsafe fn is_fast_open(flags: c_int, name: *const sockaddr, len: socklen_t) -> bool {
    // SAFETY: By the function's requirements.
    flags & libc::MSG_FASTOPEN != 0 && unsafe { reach::is_mapped(name, len) }
}

#[cfg_attr(not(test), no_mangle)]
unsafe extern "C" fn sendto(
    fd: c_int,
    data: *const c_void,
    size: size_t,
    flags: c_int,
    name: *const sockaddr,
    len: socklen_t,
) -> ssize_t {
    // SAFETY: The arguments are the program's.
    if unsafe { is_fast_open(flags, name, len) } {
        // SAFETY: As above.
        if unsafe { reach::connect_to(fd, name, len) } != 0 {
            return -1;
        }
        // SAFETY: As above; without a name.
        return unsafe {
            next::sendto(fd, data, size, flags & !libc::MSG_FASTOPEN, ptr::null(), 0)
        };
    }
    // SAFETY: The arguments are the program's.
    let result = unsafe { next::sendto(fd, data, size, flags, name, len) };
    if name.is_null() || !is_name_in_the_way(fd, result) {
        return result;
    }
    // SAFETY: As above; without a name.
    unsafe { next::sendto(fd, data, size, flags, ptr::null(), 0) }
}

#[cfg_attr(not(test), no_mangle)]
unsafe extern "C" fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    // SAFETY: The message is the program's, and null is the kernel's to judge.
    let Some(header) = (unsafe { message.as_ref() }).filter(|header| !header.msg_name.is_null())
    else {
        // SAFETY: The arguments are the program's.
        return unsafe { next::sendmsg(fd, message, flags) };
    };
    let nameless = msghdr {
        msg_name: ptr::null_mut(),
        msg_namelen: 0,
        ..*header
    };
    let (name, len) = (header.msg_name.cast::<sockaddr>(), header.msg_namelen);
    // SAFETY: The name is the program's.
    if unsafe { is_fast_open(flags, name, len) } {
        // SAFETY: As above.
        if unsafe { reach::connect_to(fd, name, len) } != 0 {
            return -1;
        }
        // SAFETY: The message is the program's, without a name.
        return unsafe { next::sendmsg(fd, &nameless, flags & !libc::MSG_FASTOPEN) };
    }
    // SAFETY: The arguments are the program's.
    let result = unsafe { next::sendmsg(fd, message, flags) };
    if !is_name_in_the_way(fd, result) {
        return result;
    }
    // SAFETY: The message is the program's, without a name.
    unsafe { next::sendmsg(fd, &nameless, flags) }
}

#[cfg_attr(not(test), no_mangle)]
unsafe extern "C" fn recvfrom(
    fd: c_int,
    data: *mut c_void,
    size: size_t,
    flags: c_int,
    name: *mut sockaddr,
    len: *mut socklen_t,
) -> ssize_t {
    // SAFETY: The arguments are the program's.
    if !unsafe { names::is_wanted(name, len) } {
        // SAFETY: As above.
        return unsafe { next::recvfrom(fd, data, size, flags, name, len) };
    }
    let mut room = Room::new();
    // SAFETY: As above, and the room is writable for the length that it says.
    let result = unsafe { next::recvfrom(fd, data, size, flags, room.as_mut_ptr(), &mut room.len) };
    if result >= 0 {
        names::translate_peer(fd, &mut room);
        // SAFETY: The arguments are the program's.
        unsafe { room.give(name, len) };
    }
    result
}

/// What the C library's headers make of recvfrom() when they know how much room there is.
#[cfg_attr(not(test), no_mangle)]
unsafe extern "C" fn __recvfrom_chk(
    fd: c_int,
    data: *mut c_void,
    size: size_t,
    room: size_t,
    flags: c_int,
    name: *mut sockaddr,
    len: *mut socklen_t,
) -> ssize_t {
    if size > room {
        // As the C library ends a program that would write past its buffer.
        // SAFETY: The call takes nothing.
        unsafe { libc::abort() };
    }
    // SAFETY: The arguments are the program's.
    unsafe { recvfrom(fd, data, size, flags, name, len) }
}

#[cfg_attr(not(test), no_mangle)]
unsafe extern "C" fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    // SAFETY: The message is the program's, and null is the kernel's to judge.
    let header = match unsafe { message.as_mut() } {
        Some(header) if !header.msg_name.is_null() => header,
        // SAFETY: The arguments are the program's.
        _ => return unsafe { next::recvmsg(fd, message, flags) },
    };
    let mut room = Room::new();
    let mut own = msghdr {
        msg_name: room.as_mut_ptr().cast(),
        msg_namelen: room.len,
        ..*header
    };
    // SAFETY: The message is the program's, and the room is writable for the length that it says.
    let result = unsafe { next::recvmsg(fd, &mut own, flags) };
    if result >= 0 {
        room.len = own.msg_namelen;
        names::translate_peer(fd, &mut room);
        // SAFETY: The name is the program's.
        unsafe { room.copy_to(header.msg_name.cast(), header.msg_namelen) };
        header.msg_namelen = room.len;
        header.msg_controllen = own.msg_controllen;
        header.msg_flags = own.msg_flags;
    }
    result
}
