// SPDX-License-Identifier: GPL-2.0

//! Waiting for something to happen to a socket.
//!
//! Who waits is in the socket's wait queue, as who polls is: [`Sock::state_changed`],
//! [`Sock::data_ready`], [`Sock::write_space`] and [`Sock::report_error`] wake it. What it waits
//! for has to be made visible before they are called, by an atomic operation or under a lock that
//! the condition takes, too.
//!
//! C headers: [`include/net/sock.h`](srctree/include/net/sock.h),
//! [`include/linux/wait.h`](srctree/include/linux/wait.h)

use super::{
    sock::{
        Sock,
        SockGuard, //
    },
    socket::Operations,
};
use crate::{
    bindings, current,
    prelude::*,
    sync::atomic::{
        Full,
        Release, //
    },
    task::{
        MAX_SCHEDULE_TIMEOUT,
        TASK_INTERRUPTIBLE,
        TASK_NORMAL, //
    },
    time::Jiffies,
    types::Opaque,
};
use core::marker::PhantomData;

/// For how long someone may still wait.
///
/// # Examples
///
/// ```
/// use kernel::net::sock_wait::Patience;
///
/// assert!(Patience::new(0).is_over());
/// assert!(!Patience::new(1).is_over());
/// assert_eq!(Patience::new(kernel::time::Jiffies::MAX), Patience::FOREVER);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// In jiffies, not negative; `MAX_SCHEDULE_TIMEOUT` has no end.
    left: c_long,
}

impl Patience {
    /// None: there is nothing to wait for.
    pub const NONE: Self = Self { left: 0 };
    /// Without end.
    pub const FOREVER: Self = Self {
        left: MAX_SCHEDULE_TIMEOUT,
    };

    /// As many jiffies; without end if there are more than a timer can count.
    #[inline]
    pub fn new(jiffies: Jiffies) -> Self {
        Self {
            left: jiffies.try_into().unwrap_or(MAX_SCHEDULE_TIMEOUT),
        }
    }

    /// Returns whether nothing is left.
    #[inline]
    pub fn is_over(&self) -> bool {
        self.left <= 0
    }

    /// Fails if there is nothing left, or a signal to look after first.
    fn check(&self) -> Result {
        if self.is_over() {
            return Err(EAGAIN);
        }
        if current!().signal_pending() {
            // As `sock_intr_errno()`: with a timeout, a call cannot be restarted.
            return Err(if self.left == MAX_SCHEDULE_TIMEOUT {
                ERESTARTSYS
            } else {
                EINTR
            });
        }
        Ok(())
    }
}

/// The current thread's place in a socket's wait queue.
///
/// # Invariants
///
/// `entry` is in `queue`, which stays while this exists, as `sock.sleepers` counts it.
struct Sleeper<'a, T: Operations> {
    sock: &'a Sock<T>,
    queue: *mut bindings::wait_queue_head_t,
    entry: &'a Opaque<bindings::wait_queue_entry>,
    // The entry wakes the thread that has made it.
    _not_send: PhantomData<*mut ()>,
}

impl<'a, T: Operations> Sleeper<'a, T> {
    /// Enters the wait queue.
    ///
    /// What the caller looks at after this wakes it when it changes. Fails with [`EBADF`] if the
    /// socket has no user.
    fn new(
        sock: &'a Sock<T>,
        entry: &'a Opaque<bindings::wait_queue_entry>,
        reads: bool,
    ) -> Result<Self> {
        // Before the socket is looked for: who takes that away looks at the count after doing so.
        sock.sleepers.fetch_add(1, Full);
        // SAFETY: The `struct sock` is valid.
        let queue = unsafe { bindings::sk_wait_queue(sock.as_raw()) };
        if queue.is_null() {
            sock.sleepers.fetch_sub(1, Release);
            return Err(EBADF);
        }
        // SAFETY: The queue is that of the socket which the `struct sock` is attached to. It ends
        // in `release`, which detaches first and then waits for the count to be 0. The entry is
        // borrowed, and so stays in place until it is taken out of the queue.
        unsafe { bindings::sk_wait_enter(queue, entry.get(), reads) };
        // INVARIANT: The queue was entered, and this thread counted.
        Ok(Self {
            sock,
            queue,
            entry,
            _not_send: PhantomData,
        })
    }

    /// Sleeps, unless the thread was woken since it last did, or since it has entered the queue.
    fn sleep(&self, patience: &mut Patience) {
        // SAFETY: By the type invariant.
        patience.left = unsafe {
            bindings::wait_woken(
                self.entry.get(),
                TASK_INTERRUPTIBLE as c_uint,
                patience.left,
            )
        };
    }
}

impl<T: Operations> Drop for Sleeper<'_, T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::remove_wait_queue(self.queue, self.entry.get()) };
        self.sock.sleepers.fetch_sub(1, Release);
    }
}

impl<T: Operations> Sock<T> {
    /// Returns for how long who receives may wait: `SO_RCVTIMEO`, or not at all if `nonblock`.
    #[inline]
    pub fn rcv_patience(&self, nonblock: bool) -> Patience {
        // SAFETY: The socket is valid.
        let left = unsafe { bindings::sock_rcvtimeo(self.as_raw(), nonblock) };
        Patience { left }
    }

    /// Returns for how long who sends may wait: `SO_SNDTIMEO`, or not at all if `nonblock`.
    #[inline]
    pub fn snd_patience(&self, nonblock: bool) -> Patience {
        // SAFETY: The socket is valid.
        let left = unsafe { bindings::sock_sndtimeo(self.as_raw(), nonblock) };
        Patience { left }
    }

    /// Waits until `cond` returns something, and returns that.
    ///
    /// `cond` is called without the socket lock, once more whenever the socket's wait queue is
    /// woken. It may sleep, though not for long.
    ///
    /// Sleeps. Fails with [`EAGAIN`] if `patience` is over, which is reduced by the time that has
    /// passed, with [`EINTR`] or [`ERESTARTSYS`] because of a signal, and with [`EBADF`] if no user
    /// has the socket (any more), which nothing wakes. `cond` is asked before all of them, but it
    /// is for `cond` to look at errors of the socket.
    pub fn wait<R>(
        &self,
        patience: &mut Patience,
        cond: impl FnMut(&Self) -> Option<R>,
    ) -> Result<R> {
        self.wait_for::<R, false, false>(patience, cond)
    }

    /// Waits as [`wait`](Self::wait) does, for something to read: room in the send buffer, which
    /// packets make while they are freed, does not wake the caller.
    pub fn wait_to_read<R>(
        &self,
        patience: &mut Patience,
        cond: impl FnMut(&Self) -> Option<R>,
    ) -> Result<R> {
        self.wait_for::<R, false, true>(patience, cond)
    }

    /// Waits as [`wait`](Self::wait) does; if `LOCKED`, the caller has the socket lock, which is
    /// released while it sleeps; if it `READS`, it is not woken by
    /// [`write_space`](Self::write_space).
    #[inline]
    fn wait_for<R, const LOCKED: bool, const READS: bool>(
        &self,
        patience: &mut Patience,
        mut cond: impl FnMut(&Self) -> Option<R>,
    ) -> Result<R> {
        // Mostly there is nothing to wait for.
        if let Some(found) = cond(self) {
            return Ok(found);
        }
        patience.check()?;
        let entry = Opaque::uninit();
        let sleeper = Sleeper::new(self, &entry, READS)?;
        loop {
            if let Some(found) = cond(self) {
                return Ok(found);
            }
            patience.check()?;
            if self.is_dead() {
                return Err(EBADF);
            }
            if LOCKED {
                // SAFETY: The lock is held. Receiving may have left work for who releases it.
                unsafe { bindings::release_sock(self.as_raw()) };
            }
            sleeper.sleep(patience);
            if LOCKED {
                // SAFETY: The socket is valid.
                unsafe { bindings::lock_sock_nested(self.as_raw(), 0) };
            }
        }
    }

    /// Has everybody leave the wait queue, and waits for it.
    ///
    /// Calls of the user have all returned when a socket is released, so that this only finds who
    /// waits on behalf of nobody. Sleeps.
    ///
    /// # Safety
    ///
    /// `queue` must be that of the socket which the `struct sock` was attached to until just now.
    pub(super) unsafe fn wait_for_sleepers(&self, queue: *mut bindings::wait_queue_head_t) {
        // Fully ordered: who is not counted yet finds no queue.
        while self.sleepers.fetch_add(0, Full) != 0 {
            // SAFETY: The queue is valid by the safety requirements.
            unsafe {
                bindings::__wake_up(queue, TASK_NORMAL as c_uint, 0, core::ptr::null_mut());
                bindings::msleep(1);
            }
        }
    }
}

impl<T: Operations> SockGuard<'_, T> {
    /// Waits until `cond` returns something, and returns that, as [`Sock::wait`] does.
    ///
    /// `cond` is called with the socket lock held, which is released while the caller sleeps: what
    /// the lock protects may be different when this returns, also if it fails.
    pub fn wait<R>(
        &mut self,
        patience: &mut Patience,
        cond: impl FnMut(&Sock<T>) -> Option<R>,
    ) -> Result<R> {
        // Nobody relies on the lock meanwhile, since the guard is borrowed exclusively.
        self.wait_for::<R, true, false>(patience, cond)
    }
}

#[macros::kunit_tests(rust_net_sock_wait)]
mod tests {
    use super::*;
    use crate::{
        net::{
            probe::{
                Probe,
                Socket, //
            },
            socket::SOCK_STREAM, //
        },
        sync::atomic::Relaxed,
        time::{
            delay::fsleep,
            Delta, //
        },
        workqueue,
    };

    fn number(sock: &Sock<Probe>) -> Option<u32> {
        match sock.number.load(Relaxed) {
            0 => None,
            number => Some(number),
        }
    }

    #[test]
    fn what_is_there_is_returned_without_patience() -> Result {
        let socket = Socket::new(SOCK_STREAM)?;
        let sock = socket.sock();
        assert_eq!(sock.wait(&mut { Patience::NONE }, number), Err(EAGAIN));
        sock.number.store(3, Relaxed);
        assert_eq!(sock.wait(&mut { Patience::NONE }, number), Ok(3));
        assert_eq!(sock.lock().wait(&mut { Patience::NONE }, number), Ok(3));
        assert_eq!(sock.rcv_patience(true), Patience::NONE);
        assert_eq!(sock.snd_patience(false), Patience::FOREVER);
        Ok(())
    }

    #[test]
    fn patience_ends() -> Result {
        let socket = Socket::new(SOCK_STREAM)?;
        let mut patience = Patience::new(3);
        let mut guard = socket.sock().lock();
        assert_eq!(guard.wait(&mut patience, number), Err(EAGAIN));
        assert!(patience.is_over());
        drop(guard);
        let mut patience = Patience::new(3);
        assert_eq!(socket.sock().wait(&mut patience, number), Err(EAGAIN));
        assert!(patience.is_over());
        Ok(())
    }

    #[test]
    fn who_waits_is_woken_and_lets_others_have_the_lock() -> Result {
        let socket = Socket::new(SOCK_STREAM)?;
        let mut patience = Patience::new(crate::time::msecs_to_jiffies(10_000));
        for expected in 1..20 {
            let sock = socket.hold()?;
            let mut guard = socket.sock().lock();
            workqueue::system_long().try_spawn(GFP_KERNEL, move || {
                if expected % 4 == 0 {
                    fsleep(Delta::from_millis(5));
                }
                let guard = sock.lock();
                guard.number.store(expected, Relaxed);
                drop(guard);
                sock.state_changed();
            })?;
            assert_eq!(guard.wait(&mut patience, number), Ok(expected));
            guard.number.store(0, Relaxed);
            drop(guard);
        }
        Ok(())
    }

    #[test]
    fn who_waits_without_the_lock_is_woken_too() -> Result {
        let socket = Socket::new(SOCK_STREAM)?;
        let sock = socket.hold()?;
        workqueue::system_long().try_spawn(GFP_KERNEL, move || {
            fsleep(Delta::from_millis(5));
            sock.number.store(6, Relaxed);
            sock.data_ready();
        })?;
        let mut patience = Patience::FOREVER;
        assert_eq!(socket.sock().wait(&mut patience, number), Ok(6));
        assert_eq!(patience, Patience::FOREVER);
        Ok(())
    }

    #[test]
    fn who_waits_leaves_before_the_socket_goes() -> Result {
        let socket = Socket::new(SOCK_STREAM)?;
        let sock = socket.hold()?;
        let waiter = sock.clone();
        workqueue::system_long().try_spawn(GFP_KERNEL, move || {
            let mut patience = Patience::FOREVER;
            let result = waiter.wait::<()>(&mut patience, |sock| {
                sock.number.store(1, Relaxed);
                None
            });
            waiter
                .number
                .store(if result == Err(EBADF) { 2 } else { 3 }, Relaxed);
        })?;
        while sock.number.load(Relaxed) == 0 {
            fsleep(Delta::from_millis(1));
        }
        drop(socket);
        while sock.number.load(Relaxed) == 1 {
            fsleep(Delta::from_millis(1));
        }
        assert_eq!(sock.number.load(Relaxed), 2);
        Ok(())
    }
}
