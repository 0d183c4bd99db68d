// SPDX-License-Identifier: GPL-2.0

//! Connections that come, and the names of both ends.

use crate::{
    mark,
    names::{
        self,
        Room, //
    },
    next, //
};
use libc::{
    c_int,
    sockaddr,
    socklen_t, //
};

/// Does for a connection of EMT what is to be done, and gives the peer's name to whoever wants it.
///
/// # Safety
///
/// `name` and `len` are those of accept().
unsafe fn accepted(
    listener: c_int,
    fd: c_int,
    room: &mut Room,
    name: *mut sockaddr,
    len: *mut socklen_t,
) {
    // The connection is not marked yet.
    if let Some(peer) = room.emt(listener) {
        let family = mark::family_of(listener);
        let _ = mark::set(fd, family);
        // Finding out an address may cost calls.
        if !name.is_null() {
            room.set(&names::peer(fd, &peer, family), family);
        }
    }
    if !name.is_null() {
        // SAFETY: By the function's requirements.
        unsafe { room.give(name, len) };
    }
}

/// Whether what is passed to accept() is left to the kernel to judge.
///
/// # Safety
///
/// As accept().
unsafe fn is_odd(name: *const sockaddr, len: *const socklen_t) -> bool {
    // SAFETY: By the function's requirements.
    !name.is_null() && !unsafe { names::is_wanted(name, len) }
}

#[cfg_attr(not(test), no_mangle)]
unsafe extern "C" fn accept(listener: c_int, name: *mut sockaddr, len: *mut socklen_t) -> c_int {
    // SAFETY: The arguments are the program's.
    if unsafe { is_odd(name, len) } {
        // SAFETY: As above.
        return unsafe { next::accept(listener, name, len) };
    }
    let mut room = Room::new();
    // SAFETY: The room is writable for the length that it says.
    let fd = unsafe { next::accept(listener, room.as_mut_ptr(), &mut room.len) };
    if fd >= 0 {
        // SAFETY: The arguments are the program's.
        unsafe { accepted(listener, fd, &mut room, name, len) };
    }
    fd
}

#[cfg_attr(not(test), no_mangle)]
unsafe extern "C" fn accept4(
    listener: c_int,
    name: *mut sockaddr,
    len: *mut socklen_t,
    flags: c_int,
) -> c_int {
    // SAFETY: The arguments are the program's.
    if unsafe { is_odd(name, len) } {
        // SAFETY: As above.
        return unsafe { next::accept4(listener, name, len, flags) };
    }
    let mut room = Room::new();
    // SAFETY: The room is writable for the length that it says.
    let fd = unsafe { next::accept4(listener, room.as_mut_ptr(), &mut room.len, flags) };
    if fd >= 0 {
        // SAFETY: The arguments are the program's.
        unsafe { accepted(listener, fd, &mut room, name, len) };
    }
    fd
}

#[cfg_attr(not(test), no_mangle)]
unsafe extern "C" fn getsockname(fd: c_int, name: *mut sockaddr, len: *mut socklen_t) -> c_int {
    // SAFETY: The arguments are the program's.
    if !unsafe { names::is_wanted(name, len) } {
        // SAFETY: As above.
        return unsafe { next::getsockname(fd, name, len) };
    }
    let mut room = Room::new();
    // SAFETY: The room is writable for the length that it says.
    let result = unsafe { next::getsockname(fd, room.as_mut_ptr(), &mut room.len) };
    if result == 0 {
        if let Some(own) = room.emt(fd) {
            let family = mark::family_of(fd);
            room.set(&names::own(fd, &own, family), family);
        }
        // SAFETY: The arguments are the program's.
        unsafe { room.give(name, len) };
    }
    result
}

#[cfg_attr(not(test), no_mangle)]
unsafe extern "C" fn getpeername(fd: c_int, name: *mut sockaddr, len: *mut socklen_t) -> c_int {
    // SAFETY: The arguments are the program's.
    if !unsafe { names::is_wanted(name, len) } {
        // SAFETY: As above.
        return unsafe { next::getpeername(fd, name, len) };
    }
    let mut room = Room::new();
    // SAFETY: The room is writable for the length that it says.
    let result = unsafe { next::getpeername(fd, room.as_mut_ptr(), &mut room.len) };
    if result == 0 {
        names::translate_peer(fd, &mut room);
        // SAFETY: The arguments are the program's.
        unsafe { room.give(name, len) };
    }
    result
}
