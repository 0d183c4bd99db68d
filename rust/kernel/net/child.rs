// SPDX-License-Identifier: GPL-2.0

//! Sockets that come to be when a peer connects, and that no user has accepted yet.
//!
//! C header: [`include/net/sock.h`](srctree/include/net/sock.h)

use super::{
    sock::Sock,
    sock_ref::SockRef,
    socket::{
        retire,
        Operations, //
    },
};
use crate::{
    alloc::Flags,
    bindings,
    prelude::*, //
};
use core::{
    mem::ManuallyDrop,
    ops::Deref, //
};

/// A socket that waits to be accepted, and belongs to whoever holds this.
///
/// [`Operations::accept`] returns it, which makes it the user's. Dropping it instead ends it as
/// closing does: it is dead ([`Sock::is_dead`]), what was received is gone, and it is freed when
/// the last [`SockRef`] is. [`Operations::release`] is not called, as there was no user: what finds
/// the socket, or holds a reference to it, is to be told first.
///
/// It may be made and dropped in every context but a hard interrupt, also under spinlocks.
///
/// # Invariants
///
/// The socket was made for this, is counted as in use, is attached to no `struct socket`, and the
/// reference is the one that a `struct socket` is to have.
#[must_use = "dropping it ends the connection"]
pub struct Child<T: Operations> {
    sock: SockRef<T>,
}

impl<T: Operations> Child<T> {
    /// Makes a socket for a connection that `parent` takes, with the state that `init` makes.
    ///
    /// It is of the parent's type, in its namespace, and closed ([`SockState::Close`]). It has what
    /// the user has set for the parent: the sizes of the buffers and whether they were set, what
    /// `SO_RCVLOWAT`, `SO_RCVTIMEO`, `SO_SNDTIMEO`, `SO_LINGER`, `SO_KEEPALIVE`, `SO_BROADCAST`,
    /// `SO_PRIORITY`, `SO_MARK`, `SO_BINDTODEVICE`, `SO_PEEK_OFF`, `SO_TXTIME`,
    /// `SO_MAX_PACING_RATE`, `SO_SELECT_ERR_QUEUE` and the options for ancillary data
    /// (`SO_TIMESTAMP*`, `SO_RXQ_OVFL`, `SO_RCVMARK`, `SO_RCVPRIORITY`) say, and the filter with
    /// its lock. It belongs to the parent's user and control group, and has the security modules'
    /// label of the parent.
    ///
    /// That is what TCP gives an accepted socket, but for the priority, which TCP resets. Storage
    /// of BPF programs is not copied.
    ///
    /// Fails with [`ENOBUFS`] if memory is short, with [`EAFNOSUPPORT`] if the type is no longer
    /// registered, and as `init` does. Not for hard interrupts; sleeps as `flags` allow.
    ///
    /// [`SockState::Close`]: super::sock_state::SockState::Close
    pub fn new<E>(parent: &Sock<T>, init: impl PinInit<T, E>, flags: Flags) -> Result<Self>
    where
        Error: From<E>,
    {
        let proto = T::proto();
        // SAFETY: There is no socket to attach to.
        let sock = unsafe { proto.make(parent.net(), core::ptr::null_mut(), init, flags)? };
        // SAFETY: The call returned the one reference to the new socket.
        let sock = unsafe { SockRef::from_raw(sock) };
        // SAFETY: Both sockets are valid, and nobody else knows the new one.
        if !unsafe { inherit(parent.as_raw(), sock.as_raw()) } {
            return Err(ENOBUFS);
        }
        // SAFETY: The namespace and the `struct proto` are valid.
        unsafe { bindings::sock_prot_inuse_add(sock.net().as_raw(), proto.as_raw(), 1) };
        // INVARIANT: The socket was just made, and counted.
        Ok(Self { sock })
    }

    /// Takes a reference to the socket, for what works for it.
    #[inline]
    pub fn hold(&self) -> SockRef<T> {
        self.sock.clone()
    }

    /// Makes it the user's, by attaching it to `sock`. Sleeps.
    ///
    /// # Safety
    ///
    /// `sock` must be a new socket without a `struct sock` that nobody else uses, and must have, or
    /// get, the operations of type `T`.
    pub(super) unsafe fn graft(self, sock: *mut bindings::socket) {
        // The reference goes to the new socket.
        let sk = ManuallyDrop::new(self).as_raw();
        // SAFETY: Both are valid. The caller may hold the lock of the listener, but no other.
        unsafe {
            bindings::lock_sock_nested(sk, bindings::SINGLE_DEPTH_NESTING as c_int);
            bindings::sock_graft(sk, sock);
            (*sock).state = bindings::socket_state_SS_CONNECTED;
            bindings::release_sock(sk);
        }
    }
}

impl<T: Operations> Deref for Child<T> {
    type Target = Sock<T>;

    #[inline]
    fn deref(&self) -> &Sock<T> {
        &self.sock
    }
}

impl<T: Operations> Drop for Child<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the socket is counted, and nobody has retired it.
        unsafe { retire(self.as_raw()) };
    }
}

/// Gives a new socket what it has of its listener; returns whether there was memory for that.
///
/// # Safety
///
/// Both must be valid and of the same type, and nobody else may know `child`.
// Not generic, so that it is compiled here: not all that it calls is exported to modules.
unsafe fn inherit(parent: *mut bindings::sock, child: *mut bindings::sock) -> bool {
    // SAFETY: By the safety requirements.
    unsafe { bindings::sk_inherit(parent, child) }
}

#[macros::kunit_tests(rust_net_child)]
mod tests {
    use super::*;
    use crate::{
        net::{
            probe::{
                connected,
                states,
                Probe,
                Socket, //
            },
            sock_state::SockState,
            sock_wait::Patience,
            socket::SOCK_STREAM,
            DropReason,
            SkBuff,
            SkBuffList, //
        },
        sync::{
            atomic::Relaxed,
            rcu, //
        },
        time::{
            delay::fsleep,
            Delta, //
        },
        uaccess::UserSlice,
        workqueue, //
    };

    const NONBLOCK: u32 = bindings::O_NONBLOCK;

    fn in_use(socket: &Socket) -> c_int {
        let proto = Probe::proto().as_raw();
        // SAFETY: Both are valid.
        unsafe { bindings::sock_prot_inuse_get(socket.sock().net().as_raw(), proto) }
    }

    #[test]
    fn a_child_is_accepted_and_is_the_users_then() -> Result {
        assert_eq!(states(0), 0);
        let listener = Socket::new(SOCK_STREAM)?;
        listener.listen(5)?;
        let child = listener.connected(7)?;
        assert!(!child.is_dead());
        let accepted = listener.accept(NONBLOCK)?;
        assert!(core::ptr::eq(accepted.sock(), &*child));
        assert_eq!(accepted.sock().number.load(Relaxed), 7);
        assert_eq!(accepted.sock().kind(), SOCK_STREAM);
        assert_eq!(accepted.sock().state(), SockState::Established);
        // SAFETY: The socket is valid.
        let state = unsafe { (*accepted.raw).state };
        assert_eq!(state, bindings::socket_state_SS_CONNECTED);
        assert_eq!(in_use(&listener), 2);
        drop(listener);
        assert!(!child.is_dead());
        assert_eq!(in_use(&accepted), 1);
        drop(accepted);
        assert!(child.is_dead());
        drop(child);
        assert_eq!(states(0), 0);
        Ok(())
    }

    #[test]
    fn accepting_fails_when_nobody_is_there_or_may_be() -> Result {
        let listener = Socket::new(SOCK_STREAM)?;
        assert_eq!(listener.accept(NONBLOCK).err(), Some(EINVAL));
        listener.listen(5)?;
        assert_eq!(listener.accept(NONBLOCK).err(), Some(EAGAIN));
        listener.connected(1)?;
        assert!(listener.accept(0).is_ok());
        Ok(())
    }

    #[test]
    fn accepting_waits_for_a_child() -> Result {
        let listener = Socket::new(SOCK_STREAM)?;
        listener.listen(5)?;
        let sock = listener.hold()?;
        workqueue::system_long().try_spawn(GFP_KERNEL, move || {
            fsleep(Delta::from_millis(20));
            drop(connected(&sock, 3));
        })?;
        let accepted = listener.accept(0)?;
        assert_eq!(accepted.sock().number.load(Relaxed), 3);
        Ok(())
    }

    #[test]
    fn a_child_that_nobody_accepts_leaves_nothing() -> Result {
        assert_eq!(states(0), 0);
        let listener = Socket::new(SOCK_STREAM)?;
        let child = Child::new(listener.sock(), Probe::new(1), GFP_ATOMIC)?;
        assert_eq!(in_use(&listener), 2);
        let sock = child.hold();
        let mut list = SkBuffList::new();
        list.push_back(SkBuff::alloc(0, 8, GFP_KERNEL)?);
        child.queue_bytes(list);
        assert!(sock.rmem_alloc() > 0);
        // Nobody has it, so nobody can be woken.
        let mut patience = Patience::FOREVER;
        assert_eq!(sock.wait::<()>(&mut patience, |_| None), Err(EBADF));
        drop(child);
        assert_eq!((in_use(&listener), sock.rmem_alloc()), (1, 0));
        assert!(sock.is_dead());
        drop(sock);

        // Children that wait go with their listener.
        listener.listen(5)?;
        let sock = listener.connected(2)?;
        drop(listener);
        assert!(sock.is_dead());
        drop(sock);
        assert_eq!(states(0), 0);
        Ok(())
    }

    #[test]
    fn a_state_that_cannot_be_made_leaves_nothing() -> Result {
        assert_eq!(states(0), 0);
        let listener = Socket::new(SOCK_STREAM)?;
        // SAFETY: The closure initialises nothing, and says so.
        let init = unsafe { pin_init::pin_init_from_closure(|_| Err::<(), _>(ENOSPC)) };
        let child = Child::<Probe>::new::<Error>(listener.sock(), init, GFP_ATOMIC);
        assert_eq!(child.err(), Some(ENOSPC));
        assert_eq!(in_use(&listener), 1);
        drop(listener);
        assert_eq!(states(0), 0);
        Ok(())
    }

    #[test]
    fn a_child_has_what_the_user_has_set_for_the_listener() -> Result {
        let listener = Socket::new(SOCK_STREAM)?;
        listener.set(bindings::SO_RCVBUF, 30_000u32)?;
        listener.set(bindings::SO_SNDBUF, 20_000u32)?;
        listener.set(bindings::SO_RCVLOWAT, 17u32)?;
        listener.set(bindings::SO_KEEPALIVE, 1u32)?;
        listener.set(bindings::SO_BROADCAST, 1u32)?;
        listener.set(bindings::SO_LINGER, [1u32, 3])?;
        listener.set(bindings::SO_PRIORITY, 5u32)?;
        listener.set(bindings::SO_MARK, 9u32)?;
        listener.set(bindings::SO_PEEK_OFF, 4u32)?;
        listener.set(bindings::SO_SELECT_ERR_QUEUE, 1u32)?;
        listener.set(bindings::SO_TIMESTAMP_OLD, 1u32)?;
        listener.set(bindings::SO_RCVTIMEO_NEW, [2u64, 0])?;
        let parent = listener.sock();
        let child = Child::new(parent, Probe::new(0), GFP_ATOMIC)?;
        assert_eq!(child.rcvbuf(), parent.rcvbuf());
        assert_eq!(child.sndbuf(), parent.sndbuf());
        assert!(child.rcvbuf_is_locked());
        assert_eq!(child.rcvlowat(false, 100), 17);
        assert!(child.keepalive() && child.may_broadcast() && child.selects_error_queue());
        assert_eq!(child.linger(), parent.linger());
        assert!(child.linger().is_some_and(|patience| !patience.is_over()));
        assert_eq!(child.rcv_patience(false), parent.rcv_patience(false));
        assert_ne!(child.rcv_patience(false), Patience::FOREVER);
        assert_eq!(child.peek_offset(bindings::MSG_PEEK as c_int), 4);
        let read = |sock: &Sock<Probe>| {
            let sk = sock.as_raw();
            // SAFETY: The socket is valid, and nobody changes it.
            unsafe {
                (
                    ((*sk).sk_priority, (*sk).sk_mark),
                    ((*sk).sk_uid.val, (*sk).sk_allocation),
                    [
                        bindings::sock_flags_SOCK_TIMESTAMP,
                        bindings::sock_flags_SOCK_RCVTSTAMP,
                        bindings::sock_flags_SOCK_RCU_FREE,
                    ]
                    .map(|flag| bindings::sock_flag(sk, flag)),
                )
            }
        };
        assert!(read(&child) == read(parent));
        let ((priority, mark), _, flags) = read(&child);
        assert_eq!((priority, mark, flags), (5, 9, [true; 3]));
        Ok(())
    }

    #[test]
    fn a_child_has_the_filter_of_the_listener() -> Result {
        // BPF_RET with 0 bytes: nothing is wanted.
        let code = bindings::sock_filter {
            code: 6,
            ..Default::default()
        };
        // A filter comes from the memory of a process.
        // SAFETY: This is a test, which ends its mapping; readable, writable, private, of no file.
        let address = unsafe {
            let test = bindings::kunit_get_current_test();
            let file = core::ptr::null_mut();
            bindings::kunit_vm_mmap(test, file, 0, bindings::PAGE_SIZE, 3, 0x22, 0)
        };
        assert!(address != 0);
        let mut bytes = [0; size_of::<bindings::sock_filter>()];
        bytes[..2].copy_from_slice(&code.code.to_ne_bytes());
        UserSlice::new(UserPtr::from_addr(address), bytes.len())
            .writer()
            .write_slice(&bytes)?;

        let listener = Socket::new(SOCK_STREAM)?;
        let program = bindings::sock_fprog {
            len: 1,
            filter: address as *mut bindings::sock_filter,
        };
        listener.set(bindings::SO_ATTACH_FILTER, program)?;
        listener.set(bindings::SO_LOCK_FILTER, 1u32)?;
        let child = Child::new(listener.sock(), Probe::new(0), GFP_ATOMIC)?;
        // The listener's own is charged to that, and goes with it.
        drop(listener);
        rcu::rcu_barrier();
        let (_, reason) = child
            .queue_rcv(SkBuff::alloc(0, 8, GFP_KERNEL)?)
            .err()
            .ok_or(EINVAL)?;
        assert_eq!(reason, DropReason::SOCKET_FILTER);
        let mut list = SkBuffList::new();
        list.push_back(SkBuff::alloc(0, 8, GFP_KERNEL)?);
        child.queue_bytes(list);
        assert_eq!(child.take_received().len(), 1);
        Ok(())
    }
}
