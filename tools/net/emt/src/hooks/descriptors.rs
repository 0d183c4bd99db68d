// SPDX-License-Identifier: GPL-2.0

//! Where sockets come from, and what makes a second reference to one: for hints.rs alone.

use crate::{
    addr::Family,
    hints,
    map,
    next, //
};
use libc::{
    c_int,
    epoll_event, //
};

#[cfg_attr(not(test), no_mangle)]
unsafe extern "C" fn socket(family: c_int, kind: c_int, protocol: c_int) -> c_int {
    // SAFETY: The arguments are the program's.
    let fd = unsafe { next::socket(family, kind, protocol) };
    let stream = kind & !(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) == libc::SOCK_STREAM;
    if fd >= 0 && stream && Family::from_number(family).is_some() && !map::table().maps_nothing() {
        hints::made(fd);
    }
    fd
}

#[cfg_attr(not(test), no_mangle)]
unsafe extern "C" fn dup(fd: c_int) -> c_int {
    hints::shared(fd);
    // SAFETY: The arguments are the program's.
    unsafe { next::dup(fd) }
}

#[cfg_attr(not(test), no_mangle)]
unsafe extern "C" fn dup2(fd: c_int, to: c_int) -> c_int {
    hints::shared(fd);
    // SAFETY: The arguments are the program's.
    unsafe { next::dup2(fd, to) }
}

#[cfg_attr(not(test), no_mangle)]
unsafe extern "C" fn dup3(fd: c_int, to: c_int, flags: c_int) -> c_int {
    hints::shared(fd);
    // SAFETY: The arguments are the program's.
    unsafe { next::dup3(fd, to, flags) }
}

fn before_fcntl(fd: c_int, command: c_int) {
    if matches!(command, libc::F_DUPFD | libc::F_DUPFD_CLOEXEC) {
        hints::shared(fd);
    }
}

/// Its third argument is optional: if the program has not passed it, it is some number that the command
/// does not look at. On the ABIs for which this is built it comes as it would if it were not.
#[cfg_attr(not(test), no_mangle)]
unsafe extern "C" fn fcntl(fd: c_int, command: c_int, argument: usize) -> c_int {
    before_fcntl(fd, command);
    // SAFETY: The arguments are the program's.
    unsafe { next::fcntl(fd, command, argument) }
}

/// What programs with large files call.
#[cfg_attr(not(test), no_mangle)]
unsafe extern "C" fn fcntl64(fd: c_int, command: c_int, argument: usize) -> c_int {
    before_fcntl(fd, command);
    // SAFETY: The arguments are the program's.
    unsafe { next::fcntl64(fd, command, argument) }
}

#[cfg_attr(not(test), no_mangle)]
unsafe extern "C" fn epoll_ctl(
    epoll: c_int,
    operation: c_int,
    fd: c_int,
    event: *mut epoll_event,
) -> c_int {
    if operation == libc::EPOLL_CTL_ADD {
        hints::shared(fd);
    }
    // SAFETY: The arguments are the program's.
    unsafe { next::epoll_ctl(epoll, operation, fd, event) }
}
