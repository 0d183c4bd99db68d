// SPDX-License-Identifier: GPL-2.0

//! A kernel spinlock that keeps bottom halves off while it is held.
//!
//! C header: [`include/linux/spinlock.h`](srctree/include/linux/spinlock.h)

use super::{
    Backend,
    Guard,
    Lock, //
};

/// Creates a [`SpinLockBh`] initialiser with the given name and a newly-created lock class.
///
/// It uses the name if one is given, otherwise it generates one based on the file name and line
/// number.
#[macro_export]
macro_rules! new_spinlock_bh {
    ($inner:expr $(, $name:literal)? $(,)?) => {
        $crate::sync::SpinLockBh::new(
            $inner,
            {
                // Lockdep compares the addresses of names. The class of a lock in a generic
                // function is one for all crates that this is compiled into, and outlives a module
                // that has a literal of its own; a static is one as well.
                static NAME: &::core::ffi::CStr = $crate::optional_name!($($name)?);
                NAME
            },
            $crate::static_lock_class!(),
        )
    };
}
pub use new_spinlock_bh;

/// A spinlock for data that process context and softirqs share.
///
/// Locking disables bottom halves on the local CPU, so that no softirq can interrupt the holder and
/// spin for the lock that it holds. Networking runs in softirqs, which makes this the usual lock
/// of a protocol. It may be taken in process context and in softirqs, with interrupts enabled; it
/// must not be taken in hard interrupts, for which there is
/// [`SpinLockIrq`](super::super::SpinLockIrq).
///
/// Nothing may sleep while the lock is held.
///
/// # Examples
///
/// ```
/// use kernel::sync::{new_spinlock_bh, SpinLockBh};
///
/// #[pin_data]
/// struct Queue {
///     #[pin]
///     lengths: SpinLockBh<(u32, u32)>,
/// }
///
/// let queue = KBox::pin_init(
///     pin_init!(Queue { lengths <- new_spinlock_bh!((0, 0), "Queue::lengths") }),
///     GFP_KERNEL,
/// )?;
///
/// {
///     let mut lengths = queue.lengths.lock();
///     lengths.0 += 1;
///     lengths.1 += 1500;
/// }
/// assert_eq!(*queue.lengths.lock(), (1, 1500));
/// # Ok::<(), Error>(())
/// ```
pub type SpinLockBh<T> = Lock<T, SpinLockBhBackend>;

/// The backend of [`SpinLockBh`]: `spin_lock_bh()` and `spin_unlock_bh()`.
pub struct SpinLockBhBackend;

/// A [`Guard`] of a [`SpinLockBh`]; bottom halves stay off until it is dropped.
pub type SpinLockBhGuard<'a, T> = Guard<'a, T, SpinLockBhBackend>;

// SAFETY: The underlying kernel `spinlock_t` object ensures mutual exclusion. `relock` uses the
// default implementation that always calls the same locking method.
unsafe impl Backend for SpinLockBhBackend {
    type State = bindings::spinlock_t;
    type GuardState = ();

    #[inline]
    unsafe fn init(
        ptr: *mut Self::State,
        name: *const crate::ffi::c_char,
        key: *mut bindings::lock_class_key,
    ) {
        // SAFETY: The caller ensures that `ptr` is valid for writes, and that `name` and `key` stay
        // readable for ever.
        unsafe { bindings::__spin_lock_init(ptr, name, key) }
    }

    #[inline]
    unsafe fn lock(ptr: *mut Self::State) -> Self::GuardState {
        // SAFETY: The caller ensures that `ptr` points to an initialised spinlock.
        unsafe { bindings::spin_lock_bh(ptr) }
    }

    #[inline]
    unsafe fn unlock(ptr: *mut Self::State, _guard_state: &Self::GuardState) {
        // SAFETY: The caller ensures that it owns the lock, which `lock` or `try_lock` above took
        // with bottom halves disabled. Guards are not `Send`, so this is the same CPU's count of
        // disabled bottom halves (or the same task's, with PREEMPT_RT).
        unsafe { bindings::spin_unlock_bh(ptr) }
    }

    #[inline]
    unsafe fn try_lock(ptr: *mut Self::State) -> Option<Self::GuardState> {
        // SAFETY: The caller ensures that `ptr` points to an initialised spinlock.
        let locked = unsafe { bindings::spin_trylock_bh(ptr) };

        (locked != 0).then_some(())
    }

    #[inline]
    unsafe fn assert_is_held(ptr: *mut Self::State) {
        // SAFETY: The caller ensures that `ptr` points to an initialised spinlock.
        unsafe { bindings::spin_assert_is_held(ptr) }
    }
}
