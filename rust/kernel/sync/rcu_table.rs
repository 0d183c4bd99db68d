// SPDX-License-Identifier: GPL-2.0

//! Hash tables of reference-counted objects that are found under RCU.
//!
//! C header: [`include/linux/rcupdate.h`](srctree/include/linux/rcupdate.h)

use super::{
    atomic::{
        Acquire,
        Atomic,
        Relaxed,
        Release, //
    },
    new_spinlock_bh,
    rcu,
    Arc,
    SpinLockBh, //
};
use crate::{
    alloc::{
        AllocError,
        Flags, //
    },
    bindings,
    prelude::*,
    random::random_u32,
    types::Opaque, //
};
use core::{
    marker::PhantomData,
    ptr, //
};

/// A hash table with `N` buckets of objects that have a number for a key.
///
/// Finding an object needs an RCU read-side critical section and nothing else. Putting in and
/// taking out takes the table's lock, which turns bottom halves off. The table has a reference to
/// each of its objects and gives it up a grace period after the object was taken out, in a softirq:
/// dropping an object must not sleep. A module that has such a table must not go before the
/// callbacks have run; [`rcu::rcu_barrier`] waits for them.
///
/// `N` is a power of two. Buckets are chosen by multiplying with a random odd number, whose top
/// bits two keys share with a probability of at most 2 / `N`, whichever they are (Dietzfelbinger
/// et al., "A reliable randomized algorithm for the closest-pair problem", 1997): who cannot see
/// the number cannot choose keys that all fall into one bucket. How many objects the table may hold
/// is for its owner to decide, see [`RcuTable::len`].
///
/// # Invariants
///
/// - `heads` are chains of nodes, linked by `next`, each made by [`KBox::into_raw`] and owned by
///   the table. They are changed only while `lock` is held.
/// - A node that was taken out keeps its `next`, and is freed a grace period later.
///
/// # Examples
///
/// ```
/// use kernel::sync::{rcu, Arc, RcuTable};
///
/// let table = KBox::pin_init(RcuTable::<u32, 16>::new(), GFP_KERNEL)?;
/// let ten = Arc::new(10, GFP_KERNEL)?;
/// table.get_or_insert(1, ten.clone(), GFP_KERNEL)?;
///
/// // Whoever was first stays.
/// let twenty = Arc::new(20, GFP_KERNEL)?;
/// assert_eq!(*table.get_or_insert(1, twenty, GFP_KERNEL)?, 10);
/// assert_eq!(table.get(1, &rcu::read_lock()).map(|found| **found), Some(10));
///
/// assert!(table.remove(1, &ten));
/// assert!(table.get(1, &rcu::read_lock()).is_none());
/// # Ok::<(), Error>(())
/// ```
#[pin_data(PinnedDrop)]
pub struct RcuTable<T: Send + Sync + 'static, const N: usize> {
    #[pin]
    lock: SpinLockBh<()>,
    /// Odd.
    seed: u64,
    len: Atomic<usize>,
    heads: [Link<T>; N],
    _objects: PhantomData<Arc<T>>,
}

type Link<T> = Atomic<*mut Node<T>>;

struct Node<T: Send + Sync + 'static> {
    next: Link<T>,
    rcu: Opaque<bindings::callback_head>,
    key: u64,
    object: Arc<T>,
}

// SAFETY: The table owns references to objects that are `Send` and `Sync`.
unsafe impl<T: Send + Sync, const N: usize> Send for RcuTable<T, N> {}
// SAFETY: The chains are changed under the lock, and read as RCU allows.
unsafe impl<T: Send + Sync, const N: usize> Sync for RcuTable<T, N> {}

/// Returns the node that a link leads to.
///
/// # Safety
///
/// `link` must be a head of a table or in a node that was in one of its chains. For `'a` there must
/// be an RCU read-side critical section that the link was found in, or the table's lock is held.
#[inline]
unsafe fn follow<'a, T: Send + Sync>(link: &Link<T>) -> Option<&'a Node<T>> {
    // SAFETY: The node was initialised before it was linked. It is freed a grace period after it
    // was unlinked, which needs the lock.
    unsafe { link.load(Acquire).as_ref() }
}

impl<T: Send + Sync, const N: usize> RcuTable<T, N> {
    const BITS: u32 = N.trailing_zeros();

    /// Makes an empty table.
    pub fn new() -> impl PinInit<Self> {
        const { assert!(N.is_power_of_two() && N > 1) };
        let seed = u64::from(random_u32()) << 32 | u64::from(random_u32()) | 1;
        pin_init!(Self {
            lock <- new_spinlock_bh!((), "RcuTable::lock"),
            seed,
            len: Atomic::new(0),
            heads: [const { Atomic::new(ptr::null_mut()) }; N],
            _objects: PhantomData,
        })
    }

    /// Returns how many objects the table has, which may change at once.
    #[inline]
    pub fn len(&self) -> usize {
        self.len.load(Relaxed)
    }

    /// Returns whether the table has no objects.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    fn head(&self, key: u64) -> &Link<T> {
        let hash = key.wrapping_mul(self.seed) >> (u64::BITS - Self::BITS);
        // BOUNDS: The hash has as many bits as `N`, a power of two, has zeroes.
        &self.heads[hash as usize % N]
    }

    /// Finds the object with `key`.
    ///
    /// The reference is the table's own, which it does not give up during `'a`.
    #[inline]
    pub fn get<'a>(&'a self, key: u64, _guard: &'a rcu::Guard) -> Option<&'a Arc<T>> {
        // SAFETY: There is an RCU read-side critical section for `'a`.
        let mut next = unsafe { follow(self.head(key)) };
        while let Some(node) = next {
            if node.key == key {
                return Some(&node.object);
            }
            // SAFETY: As above, and the node was in a chain.
            next = unsafe { follow(&node.next) };
        }
        None
    }

    /// Returns the objects, in no order.
    ///
    /// Those that are put in or taken out meanwhile may or may not be among them.
    pub fn iter<'a>(&'a self, _guard: &'a rcu::Guard) -> Iter<'a, T> {
        Iter {
            heads: self.heads.iter(),
            next: None,
        }
    }

    /// Puts `object` into the table unless there is one with `key`; returns the one that is there.
    ///
    /// Any context but hard interrupts that `flags` allow.
    pub fn get_or_insert(
        &self,
        key: u64,
        object: Arc<T>,
        flags: Flags,
    ) -> Result<Arc<T>, AllocError> {
        let result = object.clone();
        let node = KBox::new(
            Node {
                next: Atomic::new(ptr::null_mut()),
                rcu: Opaque::zeroed(),
                key,
                object,
            },
            flags,
        )?;
        let head = self.head(key);
        // What comes to nothing is dropped after the lock was given up.
        let guard = self.lock.lock();
        // SAFETY: The lock is held.
        let mut next = unsafe { follow(head) };
        while let Some(other) = next {
            if other.key == key {
                let found = other.object.clone();
                drop(guard);
                drop((node, result));
                return Ok(found);
            }
            // SAFETY: The lock is held.
            next = unsafe { follow(&other.next) };
        }
        node.next.store(head.load(Relaxed), Relaxed);
        // INVARIANT: The chain starts with the new node, which the table owns from here on.
        head.store(KBox::into_raw(node), Release);
        self.len.store(self.len.load(Relaxed) + 1, Relaxed);
        Ok(result)
    }

    /// Takes `object` out if it is the one with `key`; returns whether it was.
    ///
    /// Any context but hard interrupts.
    pub fn remove(&self, key: u64, object: &T) -> bool {
        let removed = self.unlink(self.head(key), |node| {
            node.key == key && ptr::eq(&*node.object, object)
        });
        removed.is_some()
    }

    /// Takes all objects out, one by one, which are dropped a grace period later at the earliest.
    ///
    /// The lock is not held in between; what is put in meanwhile may stay.
    pub fn drain(&self) -> Drain<'_, T, N> {
        Drain {
            table: self,
            heads: self.heads.iter(),
            head: None,
        }
    }

    /// Takes the first object out of a chain that `wanted` accepts.
    fn unlink(&self, head: &Link<T>, wanted: impl Fn(&Node<T>) -> bool) -> Option<Arc<T>> {
        let guard = self.lock.lock();
        let mut link = head;
        // SAFETY: The lock is held.
        while let Some(node) = unsafe { follow(link) } {
            if !wanted(node) {
                link = &node.next;
                continue;
            }
            let object = node.object.clone();
            let raw = link.load(Relaxed);
            // INVARIANT: The node keeps its `next`, for those that are just reading it.
            link.store(node.next.load(Relaxed), Release);
            self.len.store(self.len.load(Relaxed) - 1, Relaxed);
            drop(guard);
            // SAFETY: The node is in no chain any more, and this is the only thread that knows that
            // it is to be freed. The function frees it by its `rcu`.
            unsafe { bindings::call_rcu((*raw).rcu.get(), Some(Self::free)) };
            return Some(object);
        }
        None
    }

    /// # Safety
    ///
    /// Called by RCU only, for the `rcu` of a node that was taken out of a table.
    unsafe extern "C" fn free(rcu: *mut bindings::callback_head) {
        let rcu = Opaque::cast_from(rcu);
        // SAFETY: `rcu` is in a node.
        let node = unsafe { crate::container_of!(rcu, Node<T>, rcu) };
        // SAFETY: The node was made by `KBox::into_raw`; a grace period has passed since it was
        // unlinked, so that nobody uses it.
        drop(unsafe { KBox::from_raw(node.cast_mut()) });
    }
}

/// Iterates over the objects of a table.
///
/// # Invariants
///
/// For `'a` there is an RCU read-side critical section, and `next` was found in it.
pub struct Iter<'a, T: Send + Sync + 'static> {
    heads: core::slice::Iter<'a, Link<T>>,
    next: Option<&'a Node<T>>,
}

impl<'a, T: Send + Sync> Iterator for Iter<'a, T> {
    type Item = &'a Arc<T>;

    fn next(&mut self) -> Option<&'a Arc<T>> {
        let node = loop {
            match self.next {
                Some(node) => break node,
                // SAFETY: By the type invariants there is an RCU read-side critical section for
                // `'a`; the link is a head.
                None => self.next = unsafe { follow(self.heads.next()?) },
            }
        };
        // SAFETY: As above, and the node was in a chain.
        self.next = unsafe { follow(&node.next) };
        Some(&node.object)
    }
}

/// Takes the objects out of a table.
pub struct Drain<'a, T: Send + Sync + 'static, const N: usize> {
    table: &'a RcuTable<T, N>,
    heads: core::slice::Iter<'a, Link<T>>,
    head: Option<&'a Link<T>>,
}

impl<T: Send + Sync, const N: usize> Iterator for Drain<'_, T, N> {
    type Item = Arc<T>;

    fn next(&mut self) -> Option<Arc<T>> {
        loop {
            if let Some(head) = self.head {
                if let Some(object) = self.table.unlink(head, |_| true) {
                    return Some(object);
                }
            }
            self.head = Some(self.heads.next()?);
        }
    }
}

#[pinned_drop]
impl<T: Send + Sync, const N: usize> PinnedDrop for RcuTable<T, N> {
    fn drop(self: Pin<&mut Self>) {
        for head in &self.heads {
            let mut next = head.load(Relaxed);
            while !next.is_null() {
                // SAFETY: By the type invariants the table owns the node. Nobody can be reading it:
                // readers borrow the table.
                let node = unsafe { KBox::from_raw(next) };
                next = node.next.load(Relaxed);
            }
        }
    }
}

#[macros::kunit_tests(rust_rcu_table)]
mod tests {
    use super::*;

    struct Counted(u64, Arc<Atomic<i32>>);

    impl Drop for Counted {
        fn drop(&mut self) {
            self.1.add(-1, Relaxed);
        }
    }

    type Table = RcuTable<Counted, 4>;

    fn table() -> Result<Pin<KBox<Table>>> {
        KBox::pin_init(Table::new(), GFP_KERNEL)
    }

    fn insert(table: &Table, alive: &Arc<Atomic<i32>>, key: u64) -> Result<Arc<Counted>> {
        alive.add(1, Relaxed);
        let object = Arc::new(Counted(key, alive.clone()), GFP_KERNEL)?;
        Ok(table.get_or_insert(key, object, GFP_KERNEL)?)
    }

    #[test]
    fn objects_are_found_by_all_of_their_key() -> Result {
        let alive = Arc::new(Atomic::new(0), GFP_KERNEL)?;
        let table = table()?;
        let keys = || (0..64).map(|bit| 1u64 << bit);
        for key in keys() {
            insert(&table, &alive, key)?;
        }
        assert_eq!(table.len(), 64);
        let guard = rcu::read_lock();
        for key in keys() {
            assert_eq!(table.get(key, &guard).map(|found| found.0), Some(key));
        }
        assert!(table.get(3, &guard).is_none());
        assert_eq!(table.iter(&guard).count(), 64);
        drop(guard);
        drop(table);
        assert_eq!(alive.load(Relaxed), 0);
        Ok(())
    }

    #[test]
    fn the_first_of_a_key_stays_and_only_it_can_be_removed() -> Result {
        let alive = Arc::new(Atomic::new(0), GFP_KERNEL)?;
        let table = table()?;
        let first = insert(&table, &alive, 7)?;
        let second = insert(&table, &alive, 7)?;
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!((table.len(), alive.load(Relaxed)), (1, 1));
        let stranger = Counted(7, alive.clone());
        alive.add(1, Relaxed);
        assert!(!table.remove(7, &stranger));
        assert!(!table.remove(8, &first));
        assert!(table.remove(7, &first));
        assert!(!table.remove(7, &first));
        assert!(table.is_empty());
        Ok(())
    }

    #[test]
    fn a_removed_object_is_there_for_who_has_found_it_and_goes_after_them() -> Result {
        let alive = Arc::new(Atomic::new(0), GFP_KERNEL)?;
        let table = table()?;
        drop(insert(&table, &alive, 1)?);
        let guard = rcu::read_lock();
        let found = table.get(1, &guard).ok_or(EINVAL)?;
        assert!(table.remove(1, found));
        assert!(table.get(1, &guard).is_none());
        assert_eq!((found.0, alive.load(Relaxed)), (1, 1));
        drop(guard);
        rcu::rcu_barrier();
        assert_eq!(alive.load(Relaxed), 0);
        Ok(())
    }

    #[test]
    fn drain_takes_out_all() -> Result {
        let alive = Arc::new(Atomic::new(0), GFP_KERNEL)?;
        let table = table()?;
        for key in 0..20 {
            insert(&table, &alive, key)?;
        }
        let mut sum = 0;
        for object in table.drain() {
            sum += object.0;
        }
        assert_eq!((sum, table.len()), (190, 0));
        rcu::rcu_barrier();
        assert_eq!(alive.load(Relaxed), 0);
        Ok(())
    }
}
