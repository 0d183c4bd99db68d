// SPDX-License-Identifier: GPL-2.0

//! Protocol families: what `socket()` finds by its first argument.
//!
//! C header: [`include/linux/net.h`](srctree/include/linux/net.h) (`struct net_proto_family`)

use super::{
    socket::{
        Attached,
        NewSocket, //
    },
    Namespace,
};
use crate::{
    bindings,
    error::{
        from_result,
        to_result, //
    },
    module::this_module,
    prelude::*, //
};
use core::marker::PhantomData;

/// A protocol family.
///
/// # Examples
///
/// A family that has no socket types yet:
///
/// ```
/// use kernel::net::{
///     family::{Family, Registration},
///     socket::{Attached, NewSocket}, //
/// };
///
/// struct Example;
///
/// #[vtable]
/// impl Family for Example {
///     // Reserved, and not implemented by the kernel.
///     const NUMBER: u16 = 14;
///
///     fn create(new: NewSocket<'_>, protocol: i32) -> Result<Attached> {
///         if protocol != 0 {
///             return Err(EPROTONOSUPPORT);
///         }
///         pr_info!("asked for a socket of type {}\n", new.kind());
///         Err(ESOCKTNOSUPPORT)
///     }
/// }
///
/// let registration = Registration::<Example>::new()?;
/// // The number is taken now.
/// assert!(Registration::<Example>::new().is_err());
/// drop(registration);
/// # Ok::<(), Error>(())
/// ```
#[vtable]
pub trait Family: 'static {
    /// The family's number, `AF_*`.
    const NUMBER: u16;

    /// Makes `new` a socket of the type that it asks for, by attaching the type's state to it.
    ///
    /// Fails with [`EPROTONOSUPPORT`] if `protocol` is not one of the family's, and with
    /// [`ESOCKTNOSUPPORT`] if the socket type is not. May sleep.
    fn create(new: NewSocket<'_>, protocol: c_int) -> Result<Attached>;
}

/// Keeps a [`Family`] registered; dropping it sleeps.
///
/// Sockets of the family that exist then go on to work.
///
/// # Invariants
///
/// The family is registered.
#[must_use = "dropping the registration unregisters the family"]
pub struct Registration<F: Family> {
    _family: PhantomData<fn() -> F>,
}

impl<F: Family> Registration<F> {
    const FAMILY: bindings::net_proto_family = bindings::net_proto_family {
        family: F::NUMBER as c_int,
        create: Some(Self::create),
        owner: this_module::<F::OwnerModule>().as_ptr(),
    };

    /// Registers the family.
    ///
    /// Fails with [`EEXIST`] if its number is taken, and with [`ENOBUFS`] if there is no such
    /// number.
    pub fn new() -> Result<Self> {
        // The table of families is as long as the table of their names is meant to be.
        if u32::from(F::NUMBER) >= bindings::AF_MAX {
            return Err(ENOBUFS);
        }
        let family: &'static bindings::net_proto_family = &Self::FAMILY;
        // SAFETY: The structure is static.
        to_result(unsafe { bindings::sock_register(family) })?;
        // INVARIANT: The family was just registered.
        Ok(Self {
            _family: PhantomData,
        })
    }

    /// # Safety
    ///
    /// Called by the socket layer only, as documented for `struct net_proto_family`.
    unsafe extern "C" fn create(
        net: *mut bindings::net,
        sock: *mut bindings::socket,
        protocol: c_int,
        _kern: c_int,
    ) -> c_int {
        from_result(|| {
            // SAFETY: Whoever creates a socket has a reference to its namespace.
            let net = unsafe { Namespace::from_raw(net) };
            // SAFETY: The socket is new, and known to this function only.
            let new = unsafe { NewSocket::from_raw(sock, net) };
            F::create(new, protocol)?.finish();
            Ok(0)
        })
    }
}

impl<F: Family> Drop for Registration<F> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::sock_unregister(c_int::from(F::NUMBER)) };
    }
}
