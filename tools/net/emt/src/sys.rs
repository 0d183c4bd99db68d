// SPDX-License-Identifier: GPL-2.0

//! System calls of the library's own. They go to the kernel directly, since the C library's names
//! are those of the hooks, they allocate nothing, and leave errno as it was: an error is a value
//! here.

use std::{
    ffi::CStr,
    mem::size_of, //
};

use libc::{
    c_int,
    c_long, //
};

/// An error number, or what a call gave.
pub(crate) type Result<T = ()> = std::result::Result<T, c_int>;

pub(crate) fn errno() -> c_int {
    // SAFETY: The address of the thread's errno is always valid.
    unsafe { *libc::__errno_location() }
}

pub(crate) fn set_errno(value: c_int) {
    // SAFETY: As above.
    unsafe { *libc::__errno_location() = value }
}

/// What a hook returns for an error.
pub(crate) fn fail(error: c_int) -> c_int {
    set_errno(error);
    -1
}

macro_rules! call {
    ($number:ident $(, $argument:expr)*) => {{
        let before = errno();
        let result = libc::syscall(libc::$number $(, $argument)*);
        done(result, before)
    }};
}

fn done(result: c_long, before: c_int) -> Result<usize> {
    match usize::try_from(result) {
        Ok(result) => Ok(result),
        Err(_) => {
            let error = errno();
            set_errno(before);
            Err(error)
        }
    }
}

pub(crate) fn socket(family: c_int, kind: c_int, protocol: c_int) -> Result<c_int> {
    // SAFETY: The call takes no pointers.
    unsafe { call!(SYS_socket, family, kind, protocol) }.map(|fd| fd as c_int)
}

pub(crate) fn bind(fd: c_int, name: &[u8]) -> Result {
    // SAFETY: `name` is readable for its length.
    unsafe { call!(SYS_bind, fd, name.as_ptr(), name.len()) }.map(|_| ())
}

/// Returns the length, which may be more than there was room for.
pub(crate) fn getsockname(fd: c_int, name: &mut [u8]) -> Result<usize> {
    let mut len = name.len() as libc::socklen_t;
    // SAFETY: `name` is writable for the length in `len`, which is writable, too.
    unsafe { call!(SYS_getsockname, fd, name.as_mut_ptr(), &mut len) }.map(|_| len as usize)
}

/// As [`getsockname`].
pub(crate) fn getpeername(fd: c_int, name: &mut [u8]) -> Result<usize> {
    let mut len = name.len() as libc::socklen_t;
    // SAFETY: As in `getsockname`.
    unsafe { call!(SYS_getpeername, fd, name.as_mut_ptr(), &mut len) }.map(|_| len as usize)
}

/// Returns how many bytes were written.
pub(crate) fn getsockopt(fd: c_int, level: c_int, name: c_int, value: &mut [u8]) -> Result<usize> {
    let mut len = value.len() as libc::socklen_t;
    // SAFETY: `value` is writable for the length in `len`, which is writable, too.
    unsafe {
        call!(
            SYS_getsockopt,
            fd,
            level,
            name,
            value.as_mut_ptr(),
            &mut len
        )
    }
    .map(|_| (len as usize).min(value.len()))
}

pub(crate) fn setsockopt(fd: c_int, level: c_int, name: c_int, value: &[u8]) -> Result {
    // SAFETY: `value` is readable for its length.
    unsafe { call!(SYS_setsockopt, fd, level, name, value.as_ptr(), value.len()) }.map(|_| ())
}

pub(crate) fn get_int(fd: c_int, level: c_int, name: c_int) -> Result<c_int> {
    let mut value = [0; size_of::<c_int>()];
    getsockopt(fd, level, name, &mut value)?;
    Ok(c_int::from_ne_bytes(value))
}

pub(crate) fn set_int(fd: c_int, level: c_int, name: c_int, value: c_int) -> Result {
    setsockopt(fd, level, name, &value.to_ne_bytes())
}

/// A number that no other socket has had since the machine booted.
pub(crate) fn cookie(fd: c_int) -> Result<u64> {
    let mut value = [0; 8];
    getsockopt(fd, libc::SOL_SOCKET, libc::SO_COOKIE, &mut value)?;
    Ok(u64::from_ne_bytes(value))
}

pub(crate) fn fcntl(fd: c_int, command: c_int, argument: c_int) -> Result<c_int> {
    // SAFETY: The commands that are used take a number.
    unsafe { call!(SYS_fcntl, fd, command, c_long::from(argument)) }.map(|value| value as c_int)
}

/// `struct f_owner_ex`, whose commands the libc crate does not have.
#[repr(C)]
#[derive(Default)]
pub(crate) struct Owner {
    kind: c_int,
    pub(crate) id: libc::pid_t,
}

const F_SETOWN_EX: c_int = 15;
const F_GETOWN_EX: c_int = 16;

pub(crate) fn owner(fd: c_int) -> Result<Owner> {
    let mut owner = Owner::default();
    // SAFETY: `owner` is writable and has the layout of `struct f_owner_ex`.
    unsafe { call!(SYS_fcntl, fd, F_GETOWN_EX, &mut owner) }.map(|_| owner)
}

pub(crate) fn set_owner(fd: c_int, owner: &Owner) -> Result {
    // SAFETY: `owner` is readable and has the layout of `struct f_owner_ex`.
    unsafe { call!(SYS_fcntl, fd, F_SETOWN_EX, owner) }.map(|_| ())
}

pub(crate) fn dup3(from: c_int, to: c_int, flags: c_int) -> Result {
    // SAFETY: The call takes no pointers. Who uses `to` has asked for another file there.
    unsafe { call!(SYS_dup3, from, to, flags) }.map(|_| ())
}

pub(crate) fn close(fd: c_int) {
    // SAFETY: The callers own the descriptor. There is nothing to be done about an error.
    let _ = unsafe { call!(SYS_close, fd) };
}

pub(crate) fn epoll_ctl(
    epoll: c_int,
    operation: c_int,
    fd: c_int,
    events: u32,
    data: u64,
) -> Result {
    let mut event = libc::epoll_event { events, u64: data };
    // SAFETY: `event` is readable.
    unsafe { call!(SYS_epoll_ctl, epoll, operation, fd, &mut event) }.map(|_| ())
}

pub(crate) fn open(path: &CStr) -> Result<c_int> {
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    // SAFETY: `path` is a string that ends.
    unsafe { call!(SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags) }.map(|fd| fd as c_int)
}

pub(crate) fn read(fd: c_int, room: &mut [u8]) -> Result<usize> {
    // SAFETY: `room` is writable for its length.
    unsafe { call!(SYS_read, fd, room.as_mut_ptr(), room.len()) }
}

/// Reads entries of a folder, each a `struct linux_dirent64`.
pub(crate) fn getdents(fd: c_int, room: &mut [u8]) -> Result<usize> {
    // SAFETY: `room` is writable for its length.
    unsafe { call!(SYS_getdents64, fd, room.as_mut_ptr(), room.len()) }
}

pub(crate) fn readlink(folder: c_int, name: &CStr, room: &mut [u8]) -> Result<usize> {
    // SAFETY: `name` is a string that ends, and `room` is writable for its length.
    unsafe {
        call!(
            SYS_readlinkat,
            folder,
            name.as_ptr(),
            room.as_mut_ptr(),
            room.len()
        )
    }
}

/// # Safety
///
/// `T` is what the kernel reads and writes for this request.
pub(crate) unsafe fn ioctl<T>(fd: c_int, request: c_long, argument: &mut T) -> Result {
    // SAFETY: By the function's requirements.
    unsafe { call!(SYS_ioctl, fd, request, argument as *mut T) }.map(|_| ())
}
