// SPDX-License-Identifier: GPL-2.0

//! The functions that would be called without this library: the C library's, or those of another
//! library that is preloaded. They are looked up when the library is loaded, since a hook may run
//! in a signal handler.

use libc::{
    c_char,
    c_int,
    c_void,
    msghdr,
    size_t,
    sockaddr,
    socklen_t,
    ssize_t, //
};
use std::{
    ffi::CStr,
    mem::transmute,
    ptr,
    sync::atomic::{
        AtomicPtr,
        Ordering::Relaxed, //
    },
};

/// A function, once it has been looked up.
struct Next {
    name: &'static CStr,
    address: AtomicPtr<c_void>,
}

impl Next {
    const fn new(name: &'static CStr) -> Self {
        let address = AtomicPtr::new(ptr::null_mut());
        Self { name, address }
    }

    fn get(&self) -> *mut c_void {
        let known = self.address.load(Relaxed);
        if !known.is_null() {
            return known;
        }
        let name: *const c_char = self.name.as_ptr();
        // SAFETY: The name is a string that ends.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, name) };
        self.address.store(found, Relaxed);
        found
    }
}

macro_rules! next {
    ($($name:ident => $symbol:literal ($($argument:ident: $type:ty),*) -> $result:ty;)*) => {
        mod of {
            use super::Next;
            $(
                #[allow(non_upper_case_globals)]
                pub(super) static $name: Next = Next::new($symbol);
            )*
        }

        /// Looks all of them up.
        pub(crate) fn look_up() {
            $( of::$name.get(); )*
            variadic::FCNTL.get();
            variadic::FCNTL64.get();
        }

        $(
            /// # Safety
            ///
            /// As the function itself.
            pub(crate) unsafe fn $name($($argument: $type),*) -> $result {
                let address = of::$name.get();
                if address.is_null() {
                    crate::sys::set_errno(libc::ENOSYS);
                    return -1;
                }
                type Function = unsafe extern "C" fn($($type),*) -> $result;
                // SAFETY: The function of this name has this type.
                let next = unsafe { transmute::<*mut c_void, Function>(address) };
                // SAFETY: By the function's requirements.
                unsafe { next($($argument),*) }
            }
        )*
    };
}

next! {
    socket => c"socket" (family: c_int, kind: c_int, protocol: c_int) -> c_int;
    bind => c"bind" (fd: c_int, name: *const sockaddr, len: socklen_t) -> c_int;
    connect => c"connect" (fd: c_int, name: *const sockaddr, len: socklen_t) -> c_int;
    listen => c"listen" (fd: c_int, backlog: c_int) -> c_int;
    accept => c"accept" (fd: c_int, name: *mut sockaddr, len: *mut socklen_t) -> c_int;
    accept4 => c"accept4" (
        fd: c_int, name: *mut sockaddr, len: *mut socklen_t, flags: c_int
    ) -> c_int;
    getsockname => c"getsockname" (fd: c_int, name: *mut sockaddr, len: *mut socklen_t) -> c_int;
    getpeername => c"getpeername" (fd: c_int, name: *mut sockaddr, len: *mut socklen_t) -> c_int;
    getsockopt => c"getsockopt" (
        fd: c_int, level: c_int, name: c_int, value: *mut c_void, len: *mut socklen_t
    ) -> c_int;
    setsockopt => c"setsockopt" (
        fd: c_int, level: c_int, name: c_int, value: *const c_void, len: socklen_t
    ) -> c_int;
    sendto => c"sendto" (
        fd: c_int, data: *const c_void, size: size_t, flags: c_int,
        name: *const sockaddr, len: socklen_t
    ) -> ssize_t;
    recvfrom => c"recvfrom" (
        fd: c_int, room: *mut c_void, size: size_t, flags: c_int,
        name: *mut sockaddr, len: *mut socklen_t
    ) -> ssize_t;
    sendmsg => c"sendmsg" (fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t;
    recvmsg => c"recvmsg" (fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t;
    dup => c"dup" (fd: c_int) -> c_int;
    dup2 => c"dup2" (fd: c_int, to: c_int) -> c_int;
    dup3 => c"dup3" (fd: c_int, to: c_int, flags: c_int) -> c_int;
    epoll_ctl => c"epoll_ctl" (
        epoll: c_int, operation: c_int, fd: c_int, event: *mut libc::epoll_event
    ) -> c_int;
}

mod variadic {
    use super::Next;
    pub(super) static FCNTL: Next = Next::new(c"fcntl");
    pub(super) static FCNTL64: Next = Next::new(c"fcntl64");
}

/// # Safety
///
/// As fcntl(). The argument may be any number if the command has none.
pub(crate) unsafe fn fcntl(fd: c_int, command: c_int, argument: usize) -> c_int {
    // SAFETY: By the function's requirements.
    unsafe { control(&variadic::FCNTL, fd, command, argument) }
}

/// # Safety
///
/// As [`fcntl`].
pub(crate) unsafe fn fcntl64(fd: c_int, command: c_int, argument: usize) -> c_int {
    // SAFETY: By the function's requirements.
    unsafe { control(&variadic::FCNTL64, fd, command, argument) }
}

/// # Safety
///
/// As [`fcntl`], which `next` is a form of.
unsafe fn control(next: &Next, fd: c_int, command: c_int, argument: usize) -> c_int {
    type Function = unsafe extern "C" fn(c_int, c_int, ...) -> c_int;
    let address = next.get();
    if address.is_null() {
        return crate::sys::fail(libc::ENOSYS);
    }
    // SAFETY: The functions of these names have this type.
    let next = unsafe { transmute::<*mut c_void, Function>(address) };
    // SAFETY: By the function's requirements.
    unsafe { next(fd, command, argument) }
}
