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
    child::Child,
    events::Events,
    msghdr::{
        RecvMsg,
        SendMsg,
        SockAddr, //
    },
    option::{
        NewOption,
        OptionBuffer, //
    },
    proto_ops::ProtoOps,
    sock::{
        Shutdown,
        Sock, //
    },
    Namespace,
};
use crate::{
    alloc::Flags,
    bindings,
    error::{
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
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use zerocopy::Immutable;

/// The socket type of connections that carry bytes.
pub const SOCK_STREAM: u32 = bindings::sock_type_SOCK_STREAM;
/// The socket type of datagrams.
pub const SOCK_DGRAM: u32 = bindings::sock_type_SOCK_DGRAM;
/// A socket for reliable messages without connections.
pub const SOCK_RDM: u32 = bindings::sock_type_SOCK_RDM;
/// The socket type of connections that carry records.
pub const SOCK_SEQPACKET: u32 = bindings::sock_type_SOCK_SEQPACKET;

/// The ioctl that asks how many bytes can be received.
pub const SIOCINQ: u32 = bindings::SIOCINQ;
/// The ioctl that asks how many bytes have not been sent yet.
pub const SIOCOUTQ: u32 = bindings::SIOCOUTQ;

/// What a socket type does, and the state that it keeps with each socket.
///
/// All functions run in process context and may sleep. None holds the socket lock when it is
/// called: take it with [`Sock::lock`] where it is needed.
///
/// What a type does not implement fails as the socket layer wants it: `shutdown`, `listen`,
/// `accept` and `socketpair` with `EOPNOTSUPP`, options with `ENOPROTOOPT`. `poll` looks at the
/// receive queue, the error queue, the send buffer and the shutdown state (`datagram_poll()`).
#[vtable]
pub trait Operations: Send + Sync + Sized + 'static {
    /// The protocol's name in `/proc/net/protocols`, at most 31 bytes.
    const NAME: &'static CStr;
    /// The address family, `AF_*`.
    const FAMILY: u16;
    /// Whether the user may say where peeking begins: `SO_PEEK_OFF`.
    ///
    /// [`Sock::peek_offset`] then is where [`recvmsg`](Self::recvmsg) peeks.
    const PEEK_OFF: bool = false;
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
    fn shutdown(_sock: &Sock<Self>, _how: Shutdown) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Performs an ioctl; [`ENOIOCTLCMD`] if it is not one of the protocol's.
    ///
    /// Programs of another word size get here, too, so that structures have to look the same for
    /// all of them.
    fn ioctl(sock: &Sock<Self>, cmd: u32, arg: UserPtr) -> Result<c_int>;

    /// Sends a message and returns how many of its bytes were sent.
    fn sendmsg(sock: &Sock<Self>, msg: &mut SendMsg<'_>) -> Result<usize>;

    /// Receives a message and returns its length.
    fn recvmsg(sock: &Sock<Self>, msg: &mut RecvMsg<'_>) -> Result<usize>;

    /// Makes the socket one that takes connections, of which `backlog` may wait to be accepted.
    ///
    /// The socket layer has applied the limit of the namespace (`net.core.somaxconn`). Of a socket
    /// that listens already, this changes the backlog.
    fn listen(_sock: &Sock<Self>, _backlog: u32) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Waits for a connection and takes it; [`EAGAIN`] if there is none within the socket's receive
    /// timeout, or at once if `nonblock`.
    ///
    /// The child becomes the user's when this returns.
    fn accept(_sock: &Sock<Self>, _nonblock: bool) -> Result<Child<Self>> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Returns what the socket is ready for.
    ///
    /// The caller is in the socket's wait queue by now, so that a change after what this looks at
    /// wakes it. May not take long, nor sleep for more than a lock.
    fn poll(_sock: &Sock<Self>) -> Events {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Nothing follows what was sent with [`MSG_MORE`](super::msghdr::MSG_MORE) after all: what
    /// `sendfile()` and `splice()` send has come to its end.
    fn splice_eof(_sock: &Sock<Self>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

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

    /// Makes a `Sock` in `net` with the state that `init` makes, and attaches it to `sock` unless
    /// that is null.
    ///
    /// Whoever calls this has the one reference to it. It is in no table and is not yet counted as
    /// in use.
    ///
    /// # Safety
    ///
    /// `sock` must be null or a socket without a `struct sock` that nobody else uses.
    pub(super) unsafe fn make<E>(
        &self,
        net: &Namespace,
        sock: *mut bindings::socket,
        init: impl PinInit<T, E>,
        flags: Flags,
    ) -> Result<NonNull<Sock<T>>>
    where
        Error: From<E>,
    {
        if !self.live.load(Acquire) {
            return Err(EAFNOSUPPORT);
        }
        // SAFETY: The namespace and the `struct proto` are valid.
        let sk = unsafe {
            bindings::sk_alloc(
                net.as_raw(),
                c_int::from(T::FAMILY),
                flags.as_raw(),
                self.raw.get(),
                0,
            )
        };
        let this = NonNull::new(sk.cast()).ok_or(ENOBUFS)?;
        // SAFETY: `sk_alloc` allocated `obj_size` bytes, which is a `Sock<T>`, and zeroed them,
        // which is a valid `table` and `sleepers`. The state is pinned: it is never moved.
        if let Err(error) = unsafe { pin_init::raw_try_init(Sock::<T>::raw_state(sk), init) } {
            // SAFETY: Nobody else knows the socket, and it has no destructor yet.
            unsafe { bindings::sk_free(sk) };
            return Err(error.into());
        }
        // INVARIANT: All parts of the `Sock<T>` are initialised, and it is freed by RCU.
        // SAFETY: Both are valid, or `sock` is null, and nobody else uses them.
        unsafe {
            bindings::sock_init_data(sock, sk);
            (*sk).sk_destruct = Some(destruct::<T>);
            bindings::sock_set_flag(sk, bindings::sock_flags_SOCK_RCU_FREE);
        }
        Ok(this)
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
        // SAFETY: The socket is new and has no `struct sock`.
        unsafe { proto.make(self.net, self.sock, init, GFP_KERNEL)? };
        // SAFETY: Both are valid, and nobody else uses them.
        unsafe {
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
        // SAFETY: By the type invariant, and nobody has slept on a socket that is not the user's.
        unsafe {
            let sk = (*self.sock).sk;
            retire(sk);
            (*self.sock).sk = core::ptr::null_mut();
            bindings::sock_put(sk);
        }
    }
}

/// Marks a `struct sock` as one that no user has any more, and empties its receive queue.
///
/// # Safety
///
/// `sk` must be that of a `Sock`, must have been counted as in use and be retired once only. The
/// socket that it is attached to, if any, must be valid.
pub(super) unsafe fn retire(sk: *mut bindings::sock) {
    // SAFETY: The `struct sock` is valid.
    unsafe {
        bindings::sock_prot_inuse_add(bindings::sock_net(sk), (*sk).__sk_common.skc_prot, -1);
        bindings::sock_orphan(sk);
        // Here, not only in a softirq later: there may be much. `destruct` frees what still comes.
        bindings::skb_queue_purge_reason(
            &raw mut (*sk).sk_receive_queue,
            bindings::skb_drop_reason_SKB_DROP_REASON_SOCKET_CLOSE,
        );
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
