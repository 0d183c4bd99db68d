// SPDX-License-Identifier: GPL-2.0

use super::{
    AbsoluteSoftMode, //
    HrTimerMode,
};
use crate::{
    prelude::*,
    sync::{
        new_spinlock_bh,
        Arc,
        SpinLockBh,
        SpinLockBhGuard, //
    },
    time::{
        ClockSource,
        Instant,
        Monotonic, //
    },
    types::Opaque, //
};
use core::{
    mem,
    ops::Deref, //
};

/// What happens to a timer after its callback.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expiry {
    /// It can be armed again; if it was while the callback ran, it is armed now.
    Rearm,
    /// It is shut down.
    Shutdown,
}

/// Implemented by what a [`Timed`] holds.
pub trait Expire: Send + Sync + Sized + 'static {
    /// The time that the timer was armed for has come.
    ///
    /// Runs in a softirq, on one CPU at a time, with no lock of the timer held. The caller's
    /// reference may be the last one.
    fn expire(this: &Arc<Timed<Self>>) -> Expiry;
}

/// A value with a timer that is armed again and again, from everywhere.
///
/// While the timer is armed it holds a reference to its own object, as `sk_reset_timer()` has it
/// for sockets, and gives it up when it has expired. So there is no handle to keep, whose owner
/// must not be the object itself, and which could not be dropped in the timer's own callback: who
/// arms the timer can forget about it, and an object that is finished goes by itself.
///
/// Who wants to be sure that the callback never runs again, say because the module goes, calls
/// [`Timed::shutdown`], or returns [`Expiry::Shutdown`] from the callback.
///
/// The timer's lock is a leaf: it can be armed under other locks, also those that the callback
/// takes.
///
/// # Invariants
///
/// - `hrtimer` was set up for [`Timed::run`]. It is queued only by [`Timed::start`].
/// - While `hrtimer` is queued, and from when it was taken from the queue until `run` has taken the
///   lock of `state`, `state.hold` is this object's own [`Arc`].
/// - Once `state.shut` is set it remains so, and `hrtimer` is not queued any more.
///
/// # Examples
///
/// ```
/// use kernel::{
///     sync::{Arc, Completion},
///     time::{hrtimer::{Expire, Expiry, Timed}, Delta, Instant, Monotonic},
/// };
///
/// #[pin_data]
/// struct Alarm {
///     #[pin]
///     rung: Completion,
/// }
///
/// impl Expire for Alarm {
///     fn expire(this: &Arc<Timed<Self>>) -> Expiry {
///         this.rung.complete_all();
///         Expiry::Rearm
///     }
/// }
///
/// let alarm = pin_init!(Alarm { rung <- Completion::new() });
/// let alarm = Arc::pin_init(Timed::new(alarm), GFP_KERNEL)?;
/// Timed::arm(&alarm, Instant::<Monotonic>::now() + Delta::from_millis(2));
/// alarm.rung.wait_for_completion();
/// alarm.shutdown();
/// # Ok::<(), Error>(())
/// ```
#[pin_data]
pub struct Timed<T: Expire> {
    #[pin]
    hrtimer: Opaque<bindings::hrtimer>,
    #[pin]
    state: SpinLockBh<State<T>>,
    #[pin]
    value: T,
}

struct State<T: Expire> {
    /// The reference of the armed timer.
    hold: Option<Arc<Timed<T>>>,
    /// When the callback, which runs, is to run next; [`NEVER`] if it is not to.
    next: i64,
    running: bool,
    shut: bool,
}

/// KTIME_MAX, at which no timer expires.
const NEVER: i64 = i64::MAX;

// SAFETY: The hrtimer can be used from every thread, and `T` is `Send`.
unsafe impl<T: Expire> Send for Timed<T> {}
// SAFETY: The hrtimer is synchronised by C code, and `T` is `Sync`.
unsafe impl<T: Expire> Sync for Timed<T> {}

impl<T: Expire> Deref for Timed<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

type Mode = AbsoluteSoftMode<Monotonic>;

impl<T: Expire> Timed<T> {
    /// Makes a value with a timer that is not armed.
    pub fn new<E>(value: impl PinInit<T, E>) -> impl PinInit<Self, Error>
    where
        Error: From<E>,
    {
        try_pin_init!(Self {
            // SAFETY: `slot` is valid for writes.
            hrtimer <- Opaque::ffi_init(|slot: *mut bindings::hrtimer| unsafe {
                bindings::hrtimer_setup(slot, Some(Self::run), Monotonic::ID, Mode::C_MODE)
            }),
            state <- new_spinlock_bh!(State {
                hold: None,
                next: NEVER,
                running: false,
                shut: false,
            }, "Timed::state"),
            value <- value,
        })
    }

    /// Has the callback run at `at`, and no longer at a time that was set before.
    ///
    /// Does nothing if the timer is shut down. Any context but hard interrupts.
    #[inline]
    pub fn arm(this: &Arc<Self>, at: Instant<Monotonic>) {
        Self::arm_unless(this, at.as_nanos(), |_| false);
    }

    /// Has the callback run at `at`, unless it does so earlier.
    ///
    /// For who arms a timer often and can bear that it expires too early: nothing is done if it is
    /// armed for an earlier time. Any context but hard interrupts.
    #[inline]
    pub fn arm_before(this: &Arc<Self>, at: Instant<Monotonic>) {
        let at = at.as_nanos();
        Self::arm_unless(this, at, |armed| armed <= at);
    }

    #[inline]
    fn arm_unless(this: &Arc<Self>, at: i64, enough: impl Fn(i64) -> bool) {
        let mut state = this.state.lock();
        if state.shut {
            return;
        }
        if state.running {
            // The callback's end does it: that the timer is not queued meanwhile lets the callback
            // shut it down.
            if !enough(state.next) {
                state.next = at;
            }
            return;
        }
        // SAFETY: The hrtimer is set up. Its time is changed only under the lock that is held.
        let queued = state.hold.is_some() && unsafe { enough((*this.hrtimer.get()).node.expires) };
        if !queued {
            Self::start(this, &mut state, at);
        }
    }

    /// Queues the timer.
    fn start(this: &Arc<Self>, state: &mut SpinLockBhGuard<'_, State<T>>, at: i64) {
        if state.hold.is_none() {
            state.hold = Some(this.clone());
        }
        // INVARIANT: `hold` is set, and nobody has set `shut`, as the callers have looked.
        // SAFETY: The hrtimer is set up, and stays in memory while it is queued, since `hold` does.
        unsafe { bindings::hrtimer_start_range_ns(this.hrtimer.get(), at, 0, Mode::C_MODE) };
    }

    /// Stops the timer for good: when this returns the callback does not run, nor will it.
    ///
    /// Waits for a callback that runs just then, so it must not be called in the callback, nor with
    /// a lock held that the callback takes. Any context but hard interrupts.
    pub fn shutdown(&self) {
        self.state.lock().shut = true;
        // INVARIANT: From here on nobody queues the timer. The call takes it from the queue and
        // waits until `run` has returned.
        // SAFETY: The hrtimer is set up. No lock of ours is held that `run` takes.
        unsafe { bindings::hrtimer_cancel(self.hrtimer.get()) };
        // Neither queued nor on its way to `run`, so the timer needs its reference no longer. Not
        // dropped under the lock, which is part of what it may be the last reference to; here it
        // is not, as the caller has one.
        let hold = self.state.lock().hold.take();
        drop(hold);
    }

    /// # Safety
    ///
    /// Called by the hrtimer core only, for the `hrtimer` of a `Timed<T>`.
    unsafe extern "C" fn run(timer: *mut bindings::hrtimer) -> bindings::hrtimer_restart {
        let timed = Opaque::cast_from(timer);
        // SAFETY: The timer is the `hrtimer` of a `Timed<T>`.
        let timed = unsafe { crate::container_of!(timed, Self, hrtimer) };
        // In a function of its own, so that no borrow outlives the last reference.
        // SAFETY: The timer was queued, so by the type invariants the object is held by `hold` at
        // least until the lock is taken there. If `hold` is left in place, it is for somebody who
        // has queued the timer again, whose expiry comes after this function has returned, or for
        // `shutdown`, which waits for that.
        if let Some(this) = Self::take_over(unsafe { &*timed }) {
            Self::expired(this);
        }
        bindings::hrtimer_restart::HRTIMER_NORESTART
    }

    /// Takes over the reference of a timer that has expired, if it is to run.
    fn take_over(&self) -> Option<Arc<Self>> {
        let mut state = self.state.lock();
        // SAFETY: The hrtimer is set up.
        if state.shut || unsafe { bindings::hrtimer_is_queued(self.hrtimer.get()) } {
            // Shut down, or armed anew, before the lock was taken.
            return None;
        }
        state.running = true;
        state.hold.take()
    }

    /// Runs the callback.
    fn expired(this: Arc<Self>) {
        let expiry = T::expire(&this);

        let mut state = this.state.lock();
        state.running = false;
        let next = mem::replace(&mut state.next, NEVER);
        if expiry == Expiry::Shutdown {
            // INVARIANT: The timer is not queued: while `running` was set, nobody did that.
            state.shut = true;
        }
        if next != NEVER && !state.shut {
            Self::start(&this, &mut state, next);
        }
        drop(state);
        // `this` may be the last reference. The hrtimer core knows the timer by its address only
        // when a callback has returned without restarting it.
    }
}

#[macros::kunit_tests(rust_hrtimer_timed)]
mod tests {
    use super::*;
    use crate::{
        sync::{
            atomic::{
                Atomic,
                Relaxed, //
            },
            Completion, //
        },
        time::{
            delay::fsleep,
            Delta, //
        },
    };

    #[pin_data(PinnedDrop)]
    struct Probe {
        /// How many times to arm the timer again in the callback.
        again: Atomic<i32>,
        runs: Atomic<i32>,
        last: Expiry,
        #[pin]
        ran: Completion,
        gone: Option<Arc<Gone>>,
    }

    #[pin_data]
    struct Gone {
        #[pin]
        done: Completion,
    }

    #[pinned_drop]
    impl PinnedDrop for Probe {
        fn drop(self: Pin<&mut Self>) {
            if let Some(gone) = &self.gone {
                gone.done.complete_all();
            }
        }
    }

    impl Expire for Probe {
        fn expire(this: &Arc<Timed<Self>>) -> Expiry {
            this.runs.add(1, Relaxed);
            if this.again.fetch_add(-1, Relaxed) > 0 {
                Timed::arm(this, soon());
                return Expiry::Rearm;
            }
            this.ran.complete_all();
            this.last
        }
    }

    fn soon() -> Instant<Monotonic> {
        Instant::now() + Delta::from_micros(500)
    }

    fn late() -> Instant<Monotonic> {
        Instant::now() + Delta::from_secs(3600)
    }

    fn probe(again: i32, last: Expiry, gone: Option<Arc<Gone>>) -> Result<Arc<Timed<Probe>>> {
        let probe = pin_init!(Probe {
            again: Atomic::new(again),
            runs: Atomic::new(0),
            last,
            ran <- Completion::new(),
            gone,
        });
        Arc::pin_init(Timed::new(probe), GFP_KERNEL)
    }

    fn gone() -> Result<Arc<Gone>> {
        Arc::pin_init(pin_init!(Gone { done <- Completion::new() }), GFP_KERNEL)
    }

    #[test]
    fn a_timer_can_be_armed_in_its_callback() -> Result {
        let timed = probe(3, Expiry::Rearm, None)?;
        Timed::arm(&timed, soon());
        timed.ran.wait_for_completion();
        assert_eq!(timed.runs.load(Relaxed), 4);
        timed.shutdown();
        Ok(())
    }

    #[test]
    fn arming_again_moves_the_time_and_takes_no_second_reference() -> Result {
        let gone = gone()?;
        let timed = probe(0, Expiry::Rearm, Some(gone.clone()))?;
        for _ in 0..100 {
            Timed::arm(&timed, late());
        }
        Timed::arm_before(&timed, soon());
        // Later than what it is armed for: nothing to do.
        Timed::arm_before(&timed, late());
        timed.ran.wait_for_completion();
        // On a slow machine it may have run before it was armed for the last time.
        timed.shutdown();
        drop(timed);
        // All references are gone, or this waits for ever.
        gone.done.wait_for_completion();
        Ok(())
    }

    #[test]
    fn an_armed_timer_keeps_its_object_until_it_has_expired() -> Result {
        let gone = gone()?;
        let timed = probe(2, Expiry::Rearm, Some(gone.clone()))?;
        Timed::arm(&timed, soon());
        drop(timed);
        // The last reference is given up in the callback.
        gone.done.wait_for_completion();
        Ok(())
    }

    #[test]
    fn shutdown_ends_an_armed_timer_and_its_reference() -> Result {
        let gone = gone()?;
        let timed = probe(0, Expiry::Rearm, Some(gone.clone()))?;
        Timed::arm(&timed, late());
        timed.shutdown();
        Timed::arm(&timed, soon());
        fsleep(Delta::from_millis(5));
        assert_eq!(timed.runs.load(Relaxed), 0);
        drop(timed);
        gone.done.wait_for_completion();
        Ok(())
    }

    #[test]
    fn shutdown_wins_over_a_callback_that_arms_again() -> Result {
        let timed = probe(i32::MAX, Expiry::Rearm, None)?;
        Timed::arm(&timed, soon());
        while timed.runs.load(Relaxed) < 3 {
            fsleep(Delta::from_micros(200));
        }
        timed.shutdown();
        let runs = timed.runs.load(Relaxed);
        fsleep(Delta::from_millis(5));
        assert_eq!(timed.runs.load(Relaxed), runs);
        Ok(())
    }

    #[test]
    fn a_callback_can_shut_its_timer_down() -> Result {
        let timed = probe(0, Expiry::Shutdown, None)?;
        Timed::arm(&timed, soon());
        timed.ran.wait_for_completion();
        fsleep(Delta::from_millis(1));
        Timed::arm(&timed, soon());
        fsleep(Delta::from_millis(5));
        assert_eq!(timed.runs.load(Relaxed), 1);
        Ok(())
    }
}
