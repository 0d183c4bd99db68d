// SPDX-License-Identifier: GPL-2.0

//! Network namespaces and what a protocol keeps in each.
//!
//! Each namespace is a network of its own: own devices, own ports, own sockets. A protocol declares
//! a static [`PerNamespace`] and registers it once; from then on each namespace has a `T`, made
//! when the namespace is, and [`PerNamespace::get`] finds it.
//!
//! The `T` is reference counted. A socket keeps its namespace's `T` from the moment it is
//! created and never has to look it up again, and no order of teardown can leave it with a
//! dangling one. What must not outlive the namespace is torn down in [`State::pre_exit`].
//!
//! C headers: [`include/net/net_namespace.h`](srctree/include/net/net_namespace.h),
//! [`include/net/netns/generic.h`](srctree/include/net/netns/generic.h)

use crate::{
    bindings,
    error::{
        from_result,
        to_result, //
    },
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Release, //
        },
        rcu,
        Arc,
        ArcBorrow, //
    },
    types::{
        ForeignOwnable,
        Opaque, //
    },
};
use core::marker::PhantomData;

/// A network namespace: a `struct net`.
///
/// # Invariants
///
/// The namespace, its user namespace and what protocols keep in it are there while the reference
/// is: it has users, or devices, or the core is just setting it up or tearing it down.
#[repr(transparent)]
pub struct Namespace(Opaque<bindings::net>);

// SAFETY: What the methods read is constant or synchronised by the C code.
unsafe impl Send for Namespace {}
// SAFETY: See above.
unsafe impl Sync for Namespace {}

/// A capability that an operation asks for, as listed in `include/uapi/linux/capability.h`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Capability {
    /// May bind to privileged ports.
    NetBindService = bindings::CAP_NET_BIND_SERVICE,
    /// May configure the network.
    NetAdmin = bindings::CAP_NET_ADMIN,
}

impl Namespace {
    /// Borrows a namespace.
    ///
    /// # Safety
    ///
    /// `net` must point to a namespace that for `'a` has users, or devices, or is in the hands of
    /// a caller in the core.
    #[inline]
    pub(super) unsafe fn from_raw<'a>(net: *mut bindings::net) -> &'a Self {
        // SAFETY: By the safety requirements; the type is transparent.
        unsafe { &*net.cast() }
    }

    /// Returns the raw namespace.
    #[inline]
    pub(super) fn as_raw(&self) -> *mut bindings::net {
        self.0.get()
    }

    /// Returns whether the current task has `capability` in the user namespace that owns this
    /// network namespace.
    ///
    /// Process context only.
    pub fn capable(&self, capability: Capability) -> bool {
        // SAFETY: The namespace and its user namespace are valid by the type invariant.
        unsafe { bindings::ns_capable((*self.as_raw()).user_ns, capability as c_int) }
    }
}

/// What a protocol keeps for each network namespace.
pub trait State: Send + Sync + Sized + 'static {
    /// Returns the static that the state is registered with; always the same.
    fn registry() -> &'static PerNamespace<Self>;

    /// Makes the state of a new namespace.
    ///
    /// May sleep. If it fails, so does the creation of the namespace.
    fn new() -> impl PinInit<Self, Error>;

    /// Tears down what must not outlive the namespace.
    ///
    /// Called once, when the namespace has no user left or the protocol is unregistered. From then
    /// on [`PerNamespace::get`] does not find the state, and it is dropped when the last reference
    /// is. May sleep, whereas that last reference may be given up in a softirq: what sleeps belongs
    /// here and not in `drop`.
    fn pre_exit(this: ArcBorrow<'_, Self>);
}

/// A protocol's state in all namespaces; to be declared as a `static`.
///
/// # Examples
///
/// ```
/// use kernel::{
///     net::namespace::{PerNamespace, State},
///     sync::ArcBorrow, //
/// };
///
/// #[pin_data]
/// struct Limits {
///     sockets: u32,
/// }
///
/// impl State for Limits {
///     fn registry() -> &'static PerNamespace<Self> {
///         &LIMITS
///     }
///
///     fn new() -> impl PinInit<Self, Error> {
///         pin_init!(Self { sockets: 100 }? Error)
///     }
///
///     fn pre_exit(_this: ArcBorrow<'_, Self>) {}
/// }
///
/// static LIMITS: PerNamespace<Limits> = PerNamespace::new();
///
/// let registration = LIMITS.register()?;
/// assert_eq!(LIMITS.register().err(), Some(EBUSY));
/// drop(registration);
/// assert!(LIMITS.register().is_ok());
/// # Ok::<(), Error>(())
/// ```
pub struct PerNamespace<T: State> {
    ops: Opaque<bindings::pernet_operations>,
    id: Opaque<c_uint>,
    registered: Atomic<bool>,
    /// Whether `id` may be used. Cleared before the slots go away.
    live: Atomic<bool>,
    _state: PhantomData<Arc<T>>,
}

// SAFETY: `ops` and `id` are written by whoever won the exchange of `registered`, and by the C code
// under its own lock; the rest is atomic. The `T`s are `Send` and `Sync`.
unsafe impl<T: State> Sync for PerNamespace<T> {}

impl<T: State> PerNamespace<T> {
    /// Makes an unregistered one.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self {
            ops: Opaque::zeroed(),
            id: Opaque::zeroed(),
            registered: Atomic::new(false),
            live: Atomic::new(false),
            _state: PhantomData,
        }
    }

    /// Makes the state in all namespaces that there are, and in each new one from now on.
    ///
    /// Fails with [`EBUSY`] if that was done already, and as [`State::new`] does. May sleep.
    pub fn register(&'static self) -> Result<Registration<T>> {
        // The callbacks know the type and nothing else.
        if !core::ptr::eq(self, T::registry()) {
            return Err(EINVAL);
        }
        if self.registered.xchg(true, Full) {
            return Err(EBUSY);
        }
        let ops = bindings::pernet_operations {
            init: Some(Callbacks::<T>::init),
            pre_exit: Some(Callbacks::<T>::pre_exit),
            exit: Some(Callbacks::<T>::exit),
            id: self.id.get(),
            // The namespace holds one word, the state's address.
            size: size_of::<*const c_void>(),
            ..pin_init::zeroed()
        };
        // SAFETY: The exchange above makes this the only user of `ops`.
        unsafe { self.ops.get().write(ops) };
        // SAFETY: `ops` is static and unregistered.
        let result = to_result(unsafe { bindings::register_pernet_subsys(self.ops.get()) });
        if let Err(error) = result {
            self.registered.store(false, Release);
            return Err(error);
        }
        self.live.store(true, Release);
        // INVARIANT: `ops` was just registered.
        Ok(Registration { state: self })
    }

    /// Returns the state of `net`.
    ///
    /// `None` before the registration, and once the namespace or the registration is on its way
    /// out.
    pub fn get(&self, net: &Namespace) -> Option<Arc<T>> {
        let _guard = rcu::read_lock();
        if !self.live.load(Acquire) {
            return None;
        }
        // SAFETY: The slot was there when `live` was set, and is not freed before a grace period
        // has passed since it was cleared, or since the last user of the namespace was gone.
        let state = unsafe { self.slot(net) }?.load(Acquire);
        if state == 0 || state & EXITING != 0 {
            return None;
        }
        // SAFETY: A state that is found in its slot is owned by the slot. `pre_exit` marks the slot
        // and `exit` gives the state up a grace period later, after the guard above has ended.
        let state = unsafe { Arc::<T>::borrow(state as *mut c_void) };
        Some(state.into())
    }

    /// Returns the word that namespace `net` keeps for this protocol.
    ///
    /// # Safety
    ///
    /// If this is registered, `net` must have its slot and must keep it for `'a`.
    unsafe fn slot<'a>(&self, net: &'a Namespace) -> Option<&'a Atomic<usize>> {
        if !self.registered.load(Acquire) {
            return None;
        }
        // SAFETY: The core sets `id` before it calls back, and leaves it alone while registered.
        let id = unsafe { *self.id.get() };
        // SAFETY: `net` is valid, and `id` was assigned by the core.
        let word = unsafe { bindings::net_generic(net.as_raw(), id) }.cast::<usize>();
        if word.is_null() {
            return None;
        }
        // SAFETY: The core allocated the word and zeroed it, it is used only through this function,
        // and it is valid for `'a` by the safety requirements.
        Some(unsafe { Atomic::from_ptr(word) })
    }
}

/// Set in a slot's word when its state is on the way out.
const EXITING: usize = 1;

/// The functions of a `struct pernet_operations`.
struct Callbacks<T: State>(PhantomData<T>);

impl<T: State> Callbacks<T> {
    /// # Safety
    ///
    /// Called by the core only, with a namespace that is being set up.
    unsafe extern "C" fn init(net: *mut bindings::net) -> c_int {
        from_result(|| {
            // SAFETY: The namespace is in the hands of the core, which calls this.
            let net = unsafe { Namespace::from_raw(net) };
            // SAFETY: The core calls this while the namespace has its slot.
            let slot = unsafe { T::registry().slot(net) }.ok_or(EINVAL)?;
            let state = Arc::pin_init(T::new(), GFP_KERNEL)?;
            slot.store(state.into_foreign() as usize, Release);
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the core only, with a namespace for which `init` succeeded.
    unsafe extern "C" fn pre_exit(net: *mut bindings::net) {
        // SAFETY: The namespace is in the hands of the core, which calls this.
        let net = unsafe { Namespace::from_raw(net) };
        // SAFETY: The core calls this while the namespace has its slot.
        let Some(slot) = (unsafe { T::registry().slot(net) }) else {
            return;
        };
        let state = slot.load(Acquire);
        if state == 0 || state & EXITING != 0 {
            return;
        }
        slot.store(state | EXITING, Release);
        // SAFETY: `init` put the state there, and `exit`, which takes it, comes later.
        T::pre_exit(unsafe { Arc::<T>::borrow(state as *mut c_void) });
    }

    /// # Safety
    ///
    /// Called by the core only, a grace period after `pre_exit`.
    unsafe extern "C" fn exit(net: *mut bindings::net) {
        // SAFETY: The namespace is in the hands of the core, which calls this.
        let net = unsafe { Namespace::from_raw(net) };
        // SAFETY: The core calls this while the namespace has its slot.
        let Some(slot) = (unsafe { T::registry().slot(net) }) else {
            return;
        };
        let state = slot.xchg(0, Full) & !EXITING;
        if state != 0 {
            // SAFETY: `init` put the state there, and the exchange took it out. Nobody can be
            // about to clone it: `pre_exit` marked it, and a grace period has passed.
            drop(unsafe { Arc::<T>::from_foreign(state as *mut c_void) });
        }
    }
}

/// Keeps a [`PerNamespace`] registered. Dropping it ends all its states; that may sleep.
///
/// # Invariants
///
/// `state.ops` is registered.
#[must_use = "dropping the registration unregisters the state"]
pub struct Registration<T: State> {
    state: &'static PerNamespace<T>,
}

impl<T: State> Drop for Registration<T> {
    fn drop(&mut self) {
        self.state.live.store(false, Release);
        // SAFETY: By the type invariant. The call waits for a grace period, and thus for all
        // `get`s that saw `live` set, before it frees the slots.
        unsafe { bindings::unregister_pernet_subsys(self.state.ops.get()) };
        self.state.registered.store(false, Release);
    }
}
