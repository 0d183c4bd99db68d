// SPDX-License-Identifier: GPL-2.0

//! Socket types: what a protocol does when the user binds, connects, sends and receives.
//!
//! A protocol implements [`Operations`] for the state that it keeps with each socket, declares a
//! static [`Proto`] for it, and attaches that state to the sockets that its
//! [`Family`](super::family::Family) is asked to create.
//!
//! C headers: [`include/linux/net.h`](srctree/include/linux/net.h) (`struct proto_ops`),
//! [`include/net/sock.h`](srctree/include/net/sock.h) (`struct proto`)

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
    Namespace,
};
use crate::{
    bindings,
    error::{
        from_result,
        to_result,
        VTABLE_DEFAULT_ERROR, //
    },
    module::this_module,
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Full,
        Release, //
    },
    types::Opaque,
};
use core::{
    marker::PhantomData,
    mem::ManuallyDrop, //
};
use zerocopy::Immutable;

/// The socket type of datagrams.
pub const SOCK_DGRAM: u32 = bindings::sock_type_SOCK_DGRAM;
/// A socket for reliable messages without connections.
pub const SOCK_RDM: u32 = bindings::sock_type_SOCK_RDM;

/// The ioctl that asks how many bytes can be received.
pub const SIOCINQ: u32 = bindings::SIOCINQ;
/// The ioctl that asks how many bytes have not been sent yet.
pub const SIOCOUTQ: u32 = bindings::SIOCOUTQ;

/// What a socket type does, and the state that it keeps with each socket.
///
/// All functions run in process context and may sleep. None holds the socket lock when it is
/// called: take it with [`Sock::lock`] where it is needed.
///
/// What a type does not implement fails as the socket layer wants it: `listen`, `accept` and
/// `socketpair` with `EOPNOTSUPP`, options with `ENOPROTOOPT`. `poll` looks at the receive queue,
/// the error queue, the send buffer and the shutdown state (`datagram_poll()`).
#[vtable]
pub trait Operations: Send + Sync + Sized + 'static {
    /// The protocol's name in `/proc/net/protocols`, at most 31 bytes.
    const NAME: &'static CStr;
    /// The address family, `AF_*`.
    const FAMILY: u16;
    /// The socket address, beginning with the family.
    type Address: IntoBytes + Immutable;

    /// Returns the static that the type is registered with; always the same.
    fn proto() -> &'static Proto<Self>;

    /// The last descriptor of the socket was closed: nothing may find it from now on.
    fn release(sock: &Sock<Self>);

    /// Gives the socket an address of its own.
    fn bind(sock: &Sock<Self>, addr: &SockAddr<'_>) -> Result;

    /// Connects the socket, or sets its default destination.
    fn connect(sock: &Sock<Self>, addr: &SockAddr<'_>, flags: c_int) -> Result;

    /// Returns the socket's own address, or that of its `peer`.
    fn getname(sock: &Sock<Self>, peer: bool) -> Result<Self::Address>;

    /// Shuts down one or both directions.
    fn shutdown(sock: &Sock<Self>, how: Shutdown) -> Result;

    /// Performs an ioctl; [`ENOIOCTLCMD`] if it is not one of the protocol's.
    ///
    /// Programs of another word size get here, too, so that structures have to look the same for
    /// all of them.
    fn ioctl(sock: &Sock<Self>, cmd: u32, arg: UserPtr) -> Result<c_int>;

    /// Sends a message and returns how many of its bytes were sent.
    fn sendmsg(sock: &Sock<Self>, msg: &mut SendMsg<'_>) -> Result<usize>;

    /// Receives a message and returns its length.
    fn recvmsg(sock: &Sock<Self>, msg: &mut RecvMsg<'_>) -> Result<usize>;

    /// Sets option `name` of `level`; [`ENOPROTOOPT`] if there is none.
    ///
    /// Not called for `SOL_SOCKET`.
    fn setsockopt(
        _sock: &Sock<Self>,
        _level: c_int,
        _name: c_int,
        _value: &NewOption<'_>,
    ) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Reads option `name` of `level`; [`ENOPROTOOPT`] if there is none.
    ///
    /// Not called for `SOL_SOCKET`.
    fn getsockopt(
        _sock: &Sock<Self>,
        _level: c_int,
        _name: c_int,
        _value: &mut OptionBuffer<'_>,
    ) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

/// A registered socket type: its `struct proto`, which counts its sockets and allocates them. To be
/// declared as a `static`.
pub struct Proto<T: Operations> {
    raw: Opaque<bindings::proto>,
    registered: Atomic<bool>,
    /// Set once the core has taken the type into its list.
    live: Atomic<bool>,
    _type: PhantomData<T>,
}

// SAFETY: `raw` is changed by the core only, under locks of its own.
unsafe impl<T: Operations> Sync for Proto<T> {}

impl<T: Operations> Proto<T> {
    /// Makes an unregistered one.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        let mut raw: bindings::proto = pin_init::zeroed();
        let name = T::NAME.to_bytes_with_nul();
        assert!(name.len() <= raw.name.len());
        // The core has tables of families that it does not check.
        assert!((T::FAMILY as u32) < bindings::AF_MAX);
        let mut i = 0;
        while i < name.len() {
            raw.name[i] = name[i];
            i += 1;
        }
        raw.owner = this_module::<T::OwnerModule>().as_ptr();
        raw.obj_size = size_of::<Sock<T>>() as c_uint;
        // The allocator of sockets knows nothing of what the state wants.
        assert!(align_of::<T>() <= align_of::<u64>());
        Self {
            raw: Opaque::new(raw),
            registered: Atomic::new(false),
            live: Atomic::new(false),
            _type: PhantomData,
        }
    }

    #[inline]
    pub(super) fn as_raw(&self) -> *mut bindings::proto {
        self.raw.get()
    }

    /// Makes sockets of the type possible, until the returned value is dropped.
    ///
    /// Fails with [`EBUSY`] if that was ever done: a module registers its types once. May sleep.
    pub fn register(&'static self) -> Result<ProtoRegistration<T>> {
        if self.registered.xchg(true, Full) {
            return Err(EBUSY);
        }
        // SAFETY: The `struct proto` is static and not registered.
        if let Err(error) = to_result(unsafe { bindings::proto_register(self.raw.get(), 1) }) {
            self.registered.store(false, Release);
            return Err(error);
        }
        self.live.store(true, Release);
        // INVARIANT: It was just registered.
        Ok(ProtoRegistration { proto: self })
    }
}

/// Keeps a [`Proto`] registered.
///
/// To be dropped when the module goes. Every socket keeps the module, so that none is left then. If
/// it is dropped while there are sockets, the kernel warns of their memory, and new ones fail.
///
/// # Invariants
///
/// `proto.raw` is registered.
#[must_use = "dropping the registration unregisters the socket type"]
pub struct ProtoRegistration<T: Operations> {
    proto: &'static Proto<T>,
}

impl<T: Operations> Drop for ProtoRegistration<T> {
    fn drop(&mut self) {
        // New sockets fail from here on.
        self.proto.live.store(false, Release);
        // SAFETY: By the type invariant. If sockets are left, their cache cannot be destroyed: it
        // stays, with a warning, and `kfree()` returns them to it later.
        //
        // `registered` stays: with a new cache, sockets of the old one would go to the wrong place.
        unsafe { bindings::proto_unregister(self.proto.raw.get()) };
    }
}

/// A socket that was just made, and to which nothing is attached yet.
pub struct NewSocket<'a> {
    sock: *mut bindings::socket,
    net: &'a Namespace,
}

impl<'a> NewSocket<'a> {
    /// Takes a new socket from C code.
    ///
    /// # Safety
    ///
    /// `sock` must point to a socket without a `struct sock` that is being created in `net` and
    /// that for `'a` nobody else uses.
    pub(super) unsafe fn from_raw(sock: *mut bindings::socket, net: &'a Namespace) -> Self {
        Self { sock, net }
    }

    /// Returns the type that the user asked for: `SOCK_*`.
    pub fn kind(&self) -> u32 {
        // SAFETY: The socket is valid.
        unsafe { (*self.sock).type_ as u32 }
    }

    /// Returns the namespace that the socket will belong to.
    pub fn net(&self) -> &'a Namespace {
        self.net
    }

    /// Makes it a socket of type `T`, with the state that `init` makes.
    ///
    /// The socket keeps a reference to its namespace, also if the kernel itself has asked for it.
    /// Fails with [`ENOBUFS`] if memory is short, with [`EAFNOSUPPORT`] if the type is not
    /// registered, and as `init` does. Sleeps.
    pub fn attach<T: Operations, E>(self, init: impl PinInit<T, E>) -> Result<Attached>
    where
        Error: From<E>,
    {
        let proto = T::proto();
        if !proto.live.load(Acquire) {
            return Err(EAFNOSUPPORT);
        }
        // SAFETY: The namespace and the `struct proto` are valid.
        let sk = unsafe {
            bindings::sk_alloc(
                self.net.as_raw(),
                c_int::from(T::FAMILY),
                bindings::GFP_KERNEL,
                proto.raw.get(),
                0,
            )
        };
        if sk.is_null() {
            return Err(ENOBUFS);
        }
        // SAFETY: `sk_alloc` allocated `obj_size` bytes, which is a `Sock<T>`, and zeroed them,
        // which is a valid `table`. The state is pinned: it is never moved from there.
        if let Err(error) = unsafe { pin_init::raw_try_init(Sock::<T>::raw_state(sk), init) } {
            // SAFETY: Nobody else knows the socket, and it has no destructor yet.
            unsafe { bindings::sk_free(sk) };
            return Err(error.into());
        }
        // INVARIANT: All parts of the `Sock<T>` are initialised, and it is freed by RCU.
        // SAFETY: Both are valid, and nobody else uses them.
        unsafe {
            bindings::sock_init_data(self.sock, sk);
            (*sk).sk_destruct = Some(destruct::<T>);
            bindings::sock_set_flag(sk, bindings::sock_flags_SOCK_RCU_FREE);
            (*self.sock).ops = &ProtoOps::<T>::TABLE;
            (*self.sock).state = bindings::socket_state_SS_UNCONNECTED;
            bindings::sock_prot_inuse_add(self.net.as_raw(), proto.raw.get(), 1);
        }
        Ok(Attached { sock: self.sock })
    }
}

/// Proof that a socket was attached to.
///
/// If creating the socket fails after all, dropping this undoes it.
///
/// # Invariants
///
/// `sock` has a `struct sock` that [`NewSocket::attach`] gave it, and is not yet the user's.
#[must_use = "dropping it detaches the socket"]
pub struct Attached {
    sock: *mut bindings::socket,
}

impl Attached {
    /// Hands the socket to the user.
    pub(super) fn finish(self) {
        let _ = ManuallyDrop::new(self);
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { detach(self.sock) };
    }
}

/// Takes the `struct sock` off its socket and gives it up.
///
/// # Safety
///
/// `sock` must be attached, and nobody else may use it.
unsafe fn detach(sock: *mut bindings::socket) {
    // SAFETY: The socket is valid and so is what is attached to it, on which it has a reference.
    unsafe {
        let sk = (*sock).sk;
        bindings::sock_prot_inuse_add(bindings::sock_net(sk), (*sk).__sk_common.skc_prot, -1);
        bindings::sock_orphan(sk);
        // Here, not only in a softirq later: there may be much. `destruct` frees what still comes.
        bindings::skb_queue_purge_reason(
            &raw mut (*sk).sk_receive_queue,
            bindings::skb_drop_reason_SKB_DROP_REASON_SOCKET_CLOSE,
        );
        (*sock).sk = core::ptr::null_mut();
        bindings::sock_put(sk);
    }
}

/// Frees what a `Sock<T>` holds, before the core frees the `struct sock`.
///
/// # Safety
///
/// Called by the core only, once, for a `Sock<T>` that nobody uses any more.
unsafe extern "C" fn destruct<T: Operations>(sk: *mut bindings::sock) {
    // SAFETY: Nobody else uses the queues; the state was initialised and is dropped once.
    unsafe {
        bindings::skb_queue_purge_reason(
            &raw mut (*sk).sk_receive_queue,
            bindings::skb_drop_reason_SKB_DROP_REASON_SOCKET_CLOSE,
        );
        bindings::skb_queue_purge_reason(
            &raw mut (*sk).sk_error_queue,
            bindings::skb_drop_reason_SKB_CONSUMED,
        );
        core::ptr::drop_in_place(Sock::<T>::raw_state(sk));
    }
}

/// The functions of a `struct proto_ops`.
///
/// All of them are called by the socket layer only, with a socket that `NewSocket::attach` made a
/// socket of type `T` and with arguments as documented in `include/linux/net.h`. That is their
/// safety requirement.
struct ProtoOps<T: Operations>(PhantomData<T>);

impl<T: Operations> ProtoOps<T> {
    /// The one table of the type.
    const TABLE: bindings::proto_ops = bindings::proto_ops {
        family: T::FAMILY as c_int,
        owner: this_module::<T::OwnerModule>().as_ptr(),
        release: Some(Self::release),
        bind: Some(Self::bind),
        connect: Some(Self::connect),
        socketpair: Some(bindings::sock_no_socketpair),
        accept: Some(bindings::sock_no_accept),
        getname: Some(Self::getname),
        poll: Some(bindings::datagram_poll),
        ioctl: Some(Self::ioctl),
        #[cfg(CONFIG_COMPAT)]
        compat_ioctl: Some(Self::compat_ioctl),
        gettstamp: Some(bindings::sock_gettstamp),
        listen: Some(bindings::sock_no_listen),
        shutdown: Some(Self::shutdown),
        setsockopt: Some(Self::setsockopt),
        getsockopt_iter: Some(Self::getsockopt),
        sendmsg: Some(Self::sendmsg),
        recvmsg: Some(Self::recvmsg),
        mmap: Some(bindings::sock_no_mmap),
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
        // SAFETY: See the type.
        T::release(unsafe { Self::sock(sock) });
        // SAFETY: This is the last operation of the socket.
        unsafe { detach(sock) };
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
