// SPDX-License-Identifier: GPL-2.0

//! A socket type that takes connections, for tests.

use super::{
    child::Child,
    events::Events,
    family,
    msghdr::{
        RecvMsg,
        SendMsg,
        SockAddr, //
    },
    sock::Sock,
    sock_state::SockState,
    socket::{
        Attached,
        NewSocket,
        Operations,
        Proto, //
    },
    SkBuffList,
    SockRef, //
};
use crate::{
    bindings,
    error::to_result,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        new_spinlock_bh,
        rcu,
        SpinLockBh, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
};

static PROTO: Proto<Probe> = Proto::new();

/// How many states of sockets there are.
static STATES: Atomic<i32> = Atomic::new(0);

/// Waits until there are no more than `states`, and returns how many there are.
///
/// The last reference to a socket of an earlier test may be that of a work item which is about to
/// end, and the state goes a grace period after it. Sleeps, for no more than a second.
pub(super) fn states(states: i32) -> i32 {
    for _ in 0..100 {
        rcu::rcu_barrier();
        if STATES.load(Relaxed) <= states {
            break;
        }
        fsleep(Delta::from_millis(10));
    }
    STATES.load(Relaxed)
}

/// The state: what waits to be accepted, what was sent and what was received, and a number.
#[pin_data(PinnedDrop)]
pub(super) struct Probe {
    #[pin]
    pub(super) pending: SpinLockBh<KVec<Child<Probe>>>,
    #[pin]
    pub(super) sent: SpinLockBh<SkBuffList>,
    pub(super) number: Atomic<u32>,
}

impl Probe {
    pub(super) fn new(number: u32) -> impl PinInit<Self> {
        STATES.add(1, Relaxed);
        pin_init!(Self {
            pending <- new_spinlock_bh!(KVec::new(), "Probe::pending"),
            sent <- new_spinlock_bh!(SkBuffList::new(), "Probe::sent"),
            number: Atomic::new(number),
        })
    }
}

#[pinned_drop]
impl PinnedDrop for Probe {
    fn drop(self: Pin<&mut Self>) {
        STATES.add(-1, Relaxed);
    }
}

#[vtable]
impl family::Family for Probe {
    const NUMBER: u16 = 14;

    fn create(new: NewSocket<'_>, _protocol: c_int) -> Result<Attached> {
        new.attach(Probe::new(0))
    }
}

#[vtable]
impl Operations for Probe {
    const NAME: &'static CStr = c"KUNIT-CONNECTED";
    const FAMILY: u16 = 14;
    const PEEK_OFF: bool = true;
    type Address = [u8; 8];

    fn proto() -> &'static Proto<Self> {
        &PROTO
    }

    fn release(sock: &Sock<Self>) {
        let pending = core::mem::take(&mut *sock.pending.lock());
        drop(pending);
    }

    fn bind(_sock: &Sock<Self>, _addr: &SockAddr<'_>) -> Result {
        Err(EOPNOTSUPP)
    }

    fn connect(_sock: &Sock<Self>, _addr: &SockAddr<'_>, _flags: c_int) -> Result {
        Err(EOPNOTSUPP)
    }

    fn getname(_sock: &Sock<Self>, _peer: bool) -> Result<[u8; 8]> {
        Ok([0; 8])
    }

    fn ioctl(_sock: &Sock<Self>, _cmd: u32, _arg: UserPtr) -> Result<c_int> {
        Err(ENOIOCTLCMD)
    }

    fn sendmsg(sock: &Sock<Self>, msg: &mut SendMsg<'_>) -> Result<usize> {
        let (mut left, room) = (msg.len(), sock.number.load(Relaxed) as usize);
        while left > 0 {
            let len = left.min(room);
            let skb = sock.send_part::<32>(msg, len, room)?;
            sock.sent.lock().push_back(skb);
            left -= len;
        }
        Ok(msg.len())
    }

    fn recvmsg(_sock: &Sock<Self>, _msg: &mut RecvMsg<'_>) -> Result<usize> {
        Err(EOPNOTSUPP)
    }

    fn listen(sock: &Sock<Self>, backlog: u32) -> Result {
        sock.set_max_backlog(backlog);
        sock.set_state(SockState::Listen);
        Ok(())
    }

    fn accept(sock: &Sock<Self>, nonblock: bool) -> Result<Child<Self>> {
        let mut guard = sock.lock();
        if guard.state() != SockState::Listen {
            return Err(EINVAL);
        }
        let mut patience = guard.rcv_patience(nonblock);
        let child = guard.wait(&mut patience, |sock| sock.pending.lock().pop())?;
        guard.acceptq_removed();
        Ok(child)
    }

    fn poll(sock: &Sock<Self>) -> Events {
        let mut events = Events::NONE;
        match sock.state() {
            SockState::Listen => {
                if !sock.pending.lock().is_empty() {
                    events |= Events::IN;
                }
            }
            SockState::Close => events |= Events::HUP,
            _ => {}
        }
        if sock.pending_error() || sock.has_errors_queued() {
            events |= Events::ERR;
        }
        if sock.is_writeable() {
            events |= Events::OUT;
        }
        events
    }
}

/// A socket of the kernel's own, with the family that it belongs to.
pub(super) struct Socket {
    pub(super) raw: *mut bindings::socket,
    _family: Option<family::Registration<Probe>>,
}

impl Socket {
    pub(super) fn new(kind: u32) -> Result<Self> {
        // The first test registers the type for all of them.
        if let Ok(registration) = PROTO.register() {
            core::mem::forget(registration);
        }
        let family = family::Registration::<Probe>::new()?;
        let mut raw = core::ptr::null_mut();
        // SAFETY: The first namespace is always there.
        to_result(unsafe {
            bindings::sock_create_kern(&raw mut bindings::init_net, 14, kind as c_int, 0, &mut raw)
        })?;
        Ok(Self {
            raw,
            _family: Some(family),
        })
    }

    pub(super) fn sock(&self) -> &Sock<Probe> {
        // SAFETY: `create` or `accept` made it such a socket, which lives until this is dropped.
        unsafe { Sock::from_raw((*self.raw).sk) }
    }

    pub(super) fn hold(&self) -> Result<SockRef<Probe>> {
        self.sock().try_hold().ok_or(EINVAL)
    }

    pub(super) fn listen(&self, backlog: c_int) -> Result {
        // SAFETY: The socket is valid.
        to_result(unsafe { bindings::kernel_listen(self.raw, backlog) })
    }

    pub(super) fn accept(&self, flags: u32) -> Result<Self> {
        let mut raw = core::ptr::null_mut();
        // SAFETY: The socket is valid.
        to_result(unsafe { bindings::kernel_accept(self.raw, &mut raw, flags as c_int) })?;
        Ok(Self { raw, _family: None })
    }

    /// Lets a child with `number` wait to be accepted.
    pub(super) fn connected(&self, number: u32) -> Result<SockRef<Probe>> {
        connected(self.sock(), number)
    }

    /// Returns what `poll()` says of the socket.
    pub(super) fn poll(&self) -> Result<u32> {
        // SAFETY: The socket is valid and so are its operations; there is nobody to wake.
        unsafe {
            let poll = (*(*self.raw).ops).poll.ok_or(EINVAL)?;
            Ok(poll(core::ptr::null_mut(), self.raw, core::ptr::null_mut()))
        }
    }

    /// Sets an option of `SOL_SOCKET`.
    pub(super) fn set<T: Copy>(&self, name: u32, mut value: T) -> Result {
        let mut pointer: bindings::sockptr_t = pin_init::zeroed();
        pointer.__bindgen_anon_1.kernel = core::ptr::from_mut(&mut value).cast();
        pointer.set_is_kernel(true);
        let len = size_of::<T>() as c_int;
        // SAFETY: The socket is valid, and the value has as many bytes.
        to_result(unsafe {
            bindings::do_sock_setsockopt(
                self.raw,
                false,
                bindings::SOL_SOCKET as c_int,
                name as c_int,
                pointer,
                len,
            )
        })
    }

    pub(super) fn send(&self, data: &mut [u8]) -> Result<usize> {
        let mut msg: bindings::msghdr = header();
        let mut vec = bindings::kvec {
            iov_base: data.as_mut_ptr().cast(),
            iov_len: data.len(),
        };
        // SAFETY: All are valid for the call.
        let sent = unsafe { bindings::kernel_sendmsg(self.raw, &mut msg, &mut vec, 1, data.len()) };
        to_result(sent)?;
        Ok(sent as usize)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // SAFETY: The socket was made by `new` or `accept` and is released once.
        unsafe { bindings::sock_release(self.raw) };
    }
}

/// Lets a child of `listener` with `number` wait to be accepted, and wakes who waits for it.
pub(super) fn connected(listener: &Sock<Probe>, number: u32) -> Result<SockRef<Probe>> {
    let child = Child::new(listener, Probe::new(number), GFP_ATOMIC)?;
    child.set_state(SockState::Established);
    let sock = child.hold();
    listener
        .pending
        .lock()
        .push(child, GFP_ATOMIC)
        .map_err(|_| ENOMEM)?;
    listener.acceptq_added();
    listener.data_ready();
    Ok(sock)
}

fn header() -> bindings::msghdr {
    // SAFETY: C code, too, starts with zeroes.
    unsafe { core::mem::MaybeUninit::zeroed().assume_init() }
}
