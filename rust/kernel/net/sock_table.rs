// SPDX-License-Identifier: GPL-2.0

//! Hash tables of sockets, in which a packet finds its receiver without taking a lock.
//!
//! C headers: [`include/net/sock.h`](srctree/include/net/sock.h),
//! [`include/linux/rculist.h`](srctree/include/linux/rculist.h)

use super::{
    sock::{
        Sock,
        SockGuard, //
    },
    socket::Operations,
};
use crate::{
    bindings,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Release, //
        },
        new_spinlock_bh,
        rcu,
        SpinLockBh,
        SpinLockBhGuard, //
    },
    types::Opaque,
};
use core::marker::{
    PhantomData,
    PhantomPinned, //
};

/// A hash table of sockets with `N` buckets.
///
/// Finding needs an RCU read-side critical section and nothing else; changing takes the table's
/// lock, after the lock of the socket that is concerned. A socket can be in one table at a time,
/// which holds a reference to it until it is taken out, at the latest in
/// [`Operations::release`].
///
/// # Invariants
///
/// `heads` are lists of sockets `Sock<T>` whose `table` is the address of this table; they are
/// changed only while `lock` is held.
///
/// # Examples
///
/// ```
/// use kernel::{
///     net::{
///         sock_table::SockTable,
///         socket::Operations,
///         Sock, //
///     },
///     sync::rcu, //
/// };
///
/// /// Takes `port` for `sock`, unless another socket has it.
/// fn bind<T: Operations>(
///     table: &SockTable<T, 16>,
///     sock: &Sock<T>,
///     port: usize,
///     has_port: impl Fn(&T) -> bool,
/// ) -> Result {
///     let guard = sock.lock();
///     let mut table = table.lock();
///     if table.iter(port).any(|other| has_port(other)) {
///         return Err(EADDRINUSE);
///     }
///     table.insert(port, &guard)
/// }
///
/// fn is_taken<T: Operations>(
///     table: &SockTable<T, 16>,
///     port: usize,
///     has_port: impl Fn(&T) -> bool,
/// ) -> bool {
///     table.lookup(port, &rcu::read_lock()).any(|sock| has_port(sock))
/// }
/// ```
#[pin_data(PinnedDrop)]
pub struct SockTable<T: Operations, const N: usize> {
    #[pin]
    lock: SpinLockBh<()>,
    heads: [Opaque<bindings::hlist_head>; N],
    _sockets: PhantomData<Sock<T>>,
    // The heads' addresses are in the first socket of each list.
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: Sockets can be used on every thread.
unsafe impl<T: Operations, const N: usize> Send for SockTable<T, N> {}
// SAFETY: The lists are changed under the lock, and read as RCU allows.
unsafe impl<T: Operations, const N: usize> Sync for SockTable<T, N> {}

impl<T: Operations, const N: usize> SockTable<T, N> {
    /// Makes an empty table.
    pub fn new() -> impl PinInit<Self> {
        const { assert!(N > 0) };
        pin_init!(Self {
            lock <- new_spinlock_bh!((), "SockTable::lock"),
            heads: [const { Opaque::zeroed() }; N],
            _sockets: PhantomData,
            _pin: PhantomPinned,
        })
    }

    #[inline]
    fn head(&self, hash: usize) -> *mut bindings::hlist_head {
        // BOUNDS: The remainder is less than `N`, which is not 0.
        self.heads[hash % N].get()
    }

    /// Returns the sockets whose hash falls into the bucket of `hash`.
    ///
    /// Sockets that are inserted or removed meanwhile may or may not be among them.
    #[inline]
    pub fn lookup<'a>(&'a self, hash: usize, _guard: &'a rcu::Guard) -> Iter<'a, T> {
        Iter {
            // SAFETY: The list is a list of sockets, and this is an RCU read-side critical section.
            next: unsafe { bindings::sk_first_rcu(self.head(hash)) },
            _sockets: PhantomData,
        }
    }

    /// Returns all sockets, with the same reservation.
    pub fn lookup_all<'a>(
        &'a self,
        guard: &'a rcu::Guard,
    ) -> impl Iterator<Item = &'a Sock<T>> + 'a {
        (0..N).flat_map(move |bucket| self.lookup(bucket, guard))
    }

    /// Takes the table's lock.
    pub fn lock(&self) -> TableGuard<'_, T, N> {
        TableGuard {
            table: self,
            _guard: self.lock.lock(),
        }
    }
}

#[pinned_drop]
impl<T: Operations, const N: usize> PinnedDrop for SockTable<T, N> {
    fn drop(self: Pin<&mut Self>) {
        // Nobody else can have a reference to the table, so the lock need not be taken.
        for head in &self.heads {
            loop {
                // SAFETY: The list is a list of sockets, and this thread is the only one to use it.
                let sk = unsafe { bindings::sk_first_rcu(head.get()) };
                if sk.is_null() {
                    break;
                }
                // SAFETY: Members of the list are sockets of this type, which the table keeps.
                let sock = unsafe { Sock::<T>::from_raw(sk) };
                // The table's reference is given up by the call, so this comes first. Nobody can
                // insert the socket elsewhere before it is out: `insert` looks at `sk_node`, too.
                sock.table.store(0, Release);
                // SAFETY: The socket is in the list.
                unsafe { bindings::sk_del_node_init_rcu(sk) };
            }
        }
    }
}

/// Iterates over the sockets of a bucket.
///
/// # Invariants
///
/// `next` is null or a socket of type `Sock<T>` that is not freed during `'a`.
pub struct Iter<'a, T: Operations> {
    next: *mut bindings::sock,
    _sockets: PhantomData<&'a Sock<T>>,
}

impl<'a, T: Operations> Iterator for Iter<'a, T> {
    type Item = &'a Sock<T>;

    #[inline]
    fn next(&mut self) -> Option<&'a Sock<T>> {
        if self.next.is_null() {
            return None;
        }
        // SAFETY: By the type invariant.
        let sock = unsafe { Sock::from_raw(self.next) };
        // INVARIANT: A socket leaves the list before the table's reference is given up, and is
        // freed a grace period after the last reference is (`SOCK_RCU_FREE`); or the table is
        // locked.
        // SAFETY: The socket is valid, and what follows it in the list is, too.
        self.next = unsafe { bindings::sk_next_rcu(self.next) };
        Some(sock)
    }
}

/// A [`SockTable`] whose lock is held.
#[must_use = "the lock unlocks immediately when the guard is unused"]
pub struct TableGuard<'a, T: Operations, const N: usize> {
    table: &'a SockTable<T, N>,
    _guard: SpinLockBhGuard<'a, ()>,
}

impl<T: Operations, const N: usize> TableGuard<'_, T, N> {
    /// Returns the sockets whose hash falls into the bucket of `hash`.
    pub fn iter(&self, hash: usize) -> Iter<'_, T> {
        Iter {
            // SAFETY: The list is a list of sockets, and its lock is held.
            next: unsafe { bindings::sk_first_rcu(self.table.head(hash)) },
            _sockets: PhantomData,
        }
    }

    /// Puts a socket into the bucket of `hash`.
    ///
    /// Fails with [`EBUSY`] if it is in a table already.
    pub fn insert(&mut self, hash: usize, sock: &SockGuard<'_, T>) -> Result {
        let sk = sock.as_raw();
        // SAFETY: The socket is valid, and its lock, which whoever inserts it must hold, is held.
        let hashed = unsafe { bindings::sk_hashed(sk) };
        if hashed || sock.table.load(Acquire) != 0 {
            return Err(EBUSY);
        }
        sock.table
            .store(core::ptr::from_ref(self.table) as usize, Release);
        // INVARIANT: The socket's `table` was just set.
        // SAFETY: The socket is valid and in no list, the list's lock is held, and so is the
        // socket's, so that nobody else inserts it.
        unsafe { bindings::sk_add_node_rcu(sk, self.table.head(hash)) };
        Ok(())
    }

    /// Takes a socket out of the table; returns whether it was in it.
    pub fn remove(&mut self, sock: &SockGuard<'_, T>) -> bool {
        if sock.table.load(Acquire) != core::ptr::from_ref(self.table) as usize {
            return false;
        }
        sock.table.store(0, Release);
        // SAFETY: By the type invariant the socket is in one of this table's lists, whose lock is
        // held. The caller has a reference of its own, as a guard proves.
        unsafe { bindings::sk_del_node_init_rcu(sock.as_raw()) }
    }
}
