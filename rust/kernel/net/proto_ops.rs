// SPDX-License-Identifier: GPL-2.0

//! The `struct proto_ops` of a socket type, whose functions call those of [`Operations`].
//!
//! C header: [`include/linux/net.h`](srctree/include/linux/net.h)

use super::{
    msghdr::{
        RecvMsg,
        SendMsg,
        SockAddr, //
    },
    option::{
        NewOption,
        OptionBuffer, //
    },
    sock::{
        Shutdown,
        Sock, //
    },
    socket::{
        retire,
        Operations, //
    },
};
use crate::{
    bindings,
    error::from_result,
    module::this_module,
    prelude::*, //
};
use core::marker::PhantomData;

/// The functions of a `struct proto_ops`.
///
/// All of them are called by the socket layer only, with a socket that `NewSocket::attach` made a
/// socket of type `T` and with arguments as documented in `include/linux/net.h`. That is their
/// safety requirement.
pub(super) struct ProtoOps<T: Operations>(PhantomData<T>);

impl<T: Operations> ProtoOps<T> {
    /// The one table of the type.
    pub(super) const TABLE: bindings::proto_ops = bindings::proto_ops {
        family: T::FAMILY as c_int,
        owner: this_module::<T::OwnerModule>().as_ptr(),
        release: Some(Self::release),
        bind: Some(Self::bind),
        connect: Some(Self::connect),
        socketpair: Some(bindings::sock_no_socketpair),
        accept: if T::HAS_ACCEPT {
            Some(Self::accept)
        } else {
            Some(bindings::sock_no_accept)
        },
        getname: Some(Self::getname),
        poll: if T::HAS_POLL {
            Some(Self::poll)
        } else {
            Some(bindings::datagram_poll)
        },
        ioctl: Some(Self::ioctl),
        #[cfg(CONFIG_COMPAT)]
        compat_ioctl: Some(Self::compat_ioctl),
        gettstamp: Some(bindings::sock_gettstamp),
        listen: if T::HAS_LISTEN {
            Some(Self::listen)
        } else {
            Some(bindings::sock_no_listen)
        },
        shutdown: if T::HAS_SHUTDOWN {
            Some(Self::shutdown)
        } else {
            Some(bindings::sock_no_shutdown)
        },
        setsockopt: Some(Self::setsockopt),
        getsockopt_iter: Some(Self::getsockopt),
        sendmsg: Some(Self::sendmsg),
        recvmsg: Some(Self::recvmsg),
        mmap: Some(bindings::sock_no_mmap),
        splice_eof: if T::HAS_SPLICE_EOF {
            Some(Self::splice_eof)
        } else {
            None
        },
        set_peek_off: if T::PEEK_OFF {
            Some(bindings::sk_set_peek_off)
        } else {
            None
        },
        ..pin_init::zeroed()
    };

    /// Returns the `Sock` of a socket.
    ///
    /// # Safety
    ///
    /// See [`ProtoOps`].
    #[inline]
    unsafe fn sock<'a>(sock: *mut bindings::socket) -> &'a Sock<T> {
        // SAFETY: The socket is of this type, and has its `Sock` while operations run.
        unsafe { Sock::from_raw((*sock).sk) }
    }

    /// # Safety
    ///
    /// See [`ProtoOps`].
    unsafe extern "C" fn release(sock: *mut bindings::socket) -> c_int {
        // SAFETY: The socket is valid.
        if unsafe { (*sock).sk }.is_null() {
            return 0;
        }
        // SAFETY: See the type. The `Sock` stays until its reference is given up below.
        let this = unsafe { Self::sock(sock) };
        T::release(this);
        // SAFETY: This is the last operation of the socket, which has a reference to its `Sock`.
        // Nothing enters the wait queue any more, and it ends with the socket, after this.
        unsafe {
            retire(this.as_raw());
            this.wait_for_sleepers(&raw mut (*sock).wq.wait);
            (*sock).sk = core::ptr::null_mut();
            bindings::sock_put(this.as_raw());
        }
        0
    }

    /// # Safety
    ///
    /// See [`ProtoOps`].
    unsafe extern "C" fn bind(
        sock: *mut bindings::socket,
        addr: *mut bindings::sockaddr_unsized,
        len: c_int,
    ) -> c_int {
        from_result(|| {
            // SAFETY: `addr` has `len` bytes that were copied from user space.
            let addr = unsafe { SockAddr::from_raw(addr.cast(), len) };
            // SAFETY: See the type.
            T::bind(unsafe { Self::sock(sock) }, &addr)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// See [`ProtoOps`].
    unsafe extern "C" fn connect(
        sock: *mut bindings::socket,
        addr: *mut bindings::sockaddr_unsized,
        len: c_int,
        flags: c_int,
    ) -> c_int {
        from_result(|| {
            // SAFETY: `addr` has `len` bytes that were copied from user space.
            let addr = unsafe { SockAddr::from_raw(addr.cast(), len) };
            // SAFETY: See the type.
            T::connect(unsafe { Self::sock(sock) }, &addr, flags)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// See [`ProtoOps`].
    unsafe extern "C" fn listen(sock: *mut bindings::socket, backlog: c_int) -> c_int {
        from_result(|| {
            // As a negative number has always been one without limit.
            let backlog = backlog as u32;
            // SAFETY: See the type.
            T::listen(unsafe { Self::sock(sock) }, backlog)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// See [`ProtoOps`].
    unsafe extern "C" fn accept(
        sock: *mut bindings::socket,
        new: *mut bindings::socket,
        arg: *mut bindings::proto_accept_arg,
    ) -> c_int {
        from_result(|| {
            // SAFETY: The socket layer passes valid arguments.
            let nonblock = unsafe { (*arg).flags } & bindings::O_NONBLOCK as c_int != 0;
            // SAFETY: See the type.
            let child = T::accept(unsafe { Self::sock(sock) }, nonblock)?;
            // SAFETY: The new socket has no `struct sock` yet, and gets the operations of `sock`,
            // which are those of the child.
            unsafe { child.graft(new) };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// See [`ProtoOps`].
    unsafe extern "C" fn splice_eof(sock: *mut bindings::socket) {
        // SAFETY: See the type.
        T::splice_eof(unsafe { Self::sock(sock) });
    }

    /// # Safety
    ///
    /// See [`ProtoOps`].
    unsafe extern "C" fn poll(
        file: *mut bindings::file,
        sock: *mut bindings::socket,
        wait: *mut bindings::poll_table_struct,
    ) -> bindings::__poll_t {
        // SAFETY: The socket layer passes valid arguments. What is looked at after this wakes the
        // caller when it changes.
        unsafe { bindings::sock_poll_wait(file, sock, wait) };
        // SAFETY: See the type.
        T::poll(unsafe { Self::sock(sock) }).as_raw()
    }

    /// # Safety
    ///
    /// See [`ProtoOps`].
    unsafe extern "C" fn getname(
        sock: *mut bindings::socket,
        addr: *mut bindings::sockaddr,
        peer: c_int,
    ) -> c_int {
        const ROOM: usize = size_of::<bindings::__kernel_sockaddr_storage>();
        const { assert!(size_of::<T::Address>() <= ROOM) };
        from_result(|| {
            // SAFETY: See the type.
            let name = T::getname(unsafe { Self::sock(sock) }, peer != 0)?;
            let bytes = name.as_bytes();
            // SAFETY: `addr` has room for a `sockaddr_storage`, which is no less than the address.
            unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), addr.cast(), bytes.len()) };
            Ok(bytes.len() as c_int)
        })
    }

    /// # Safety
    ///
    /// See [`ProtoOps`].
    unsafe extern "C" fn ioctl(sock: *mut bindings::socket, cmd: c_uint, arg: usize) -> c_int {
        // SAFETY: See the type.
        let sock = unsafe { Self::sock(sock) };
        from_result(|| T::ioctl(sock, cmd, UserPtr::from_addr(arg)))
    }

    /// # Safety
    ///
    /// See [`ProtoOps`].
    #[cfg(CONFIG_COMPAT)]
    unsafe extern "C" fn compat_ioctl(
        sock: *mut bindings::socket,
        cmd: c_uint,
        arg: usize,
    ) -> c_int {
        // SAFETY: See the type.
        let sock = unsafe { Self::sock(sock) };
        // SAFETY: An FFI call with no requirements. A 32-bit program passes 32 bits.
        let arg = UserPtr::from_ptr(unsafe { bindings::compat_ptr(arg as u32) });
        from_result(|| T::ioctl(sock, cmd, arg))
    }

    /// # Safety
    ///
    /// See [`ProtoOps`].
    unsafe extern "C" fn shutdown(sock: *mut bindings::socket, how: c_int) -> c_int {
        from_result(|| {
            let how = match u32::try_from(how) {
                Ok(bindings::sock_shutdown_cmd_SHUT_RD) => Shutdown::Receive,
                Ok(bindings::sock_shutdown_cmd_SHUT_WR) => Shutdown::Send,
                Ok(bindings::sock_shutdown_cmd_SHUT_RDWR) => Shutdown::Both,
                _ => return Err(EINVAL),
            };
            // SAFETY: See the type.
            T::shutdown(unsafe { Self::sock(sock) }, how)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// See [`ProtoOps`].
    unsafe extern "C" fn setsockopt(
        sock: *mut bindings::socket,
        level: c_int,
        name: c_int,
        value: bindings::sockptr_t,
        len: c_uint,
    ) -> c_int {
        if !T::HAS_SETSOCKOPT {
            return ENOPROTOOPT.to_errno();
        }
        from_result(|| {
            // SAFETY: The socket layer passes the value's place and length.
            let value = unsafe { NewOption::from_raw(value, len) };
            // SAFETY: See the type.
            T::setsockopt(unsafe { Self::sock(sock) }, level, name, &value)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// See [`ProtoOps`].
    unsafe extern "C" fn getsockopt(
        sock: *mut bindings::socket,
        level: c_int,
        name: c_int,
        option: *mut bindings::sockopt_t,
    ) -> c_int {
        if !T::HAS_GETSOCKOPT {
            return ENOPROTOOPT.to_errno();
        }
        from_result(|| {
            // SAFETY: The socket layer passes a valid option that nobody else uses.
            let mut value = unsafe { OptionBuffer::from_raw(option) };
            // SAFETY: See the type.
            T::getsockopt(unsafe { Self::sock(sock) }, level, name, &mut value)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// See [`ProtoOps`].
    unsafe extern "C" fn sendmsg(
        sock: *mut bindings::socket,
        msg: *mut bindings::msghdr,
        len: usize,
    ) -> c_int {
        from_result(|| {
            // SAFETY: The message is to be sent and nobody else uses it during the call.
            let mut msg = unsafe { SendMsg::from_raw(msg, len) };
            // SAFETY: See the type.
            let sent = T::sendmsg(unsafe { Self::sock(sock) }, &mut msg)?;
            c_int::try_from(sent).map_err(|_| EMSGSIZE)
        })
    }

    /// # Safety
    ///
    /// See [`ProtoOps`].
    unsafe extern "C" fn recvmsg(
        sock: *mut bindings::socket,
        msg: *mut bindings::msghdr,
        len: usize,
        flags: c_int,
    ) -> c_int {
        from_result(|| {
            // SAFETY: The message is to be received and nobody else uses it during the call.
            let mut msg = unsafe { RecvMsg::from_raw(msg, len, flags) };
            // SAFETY: See the type.
            let received = T::recvmsg(unsafe { Self::sock(sock) }, &mut msg)?;
            c_int::try_from(received).map_err(|_| EMSGSIZE)
        })
    }
}
