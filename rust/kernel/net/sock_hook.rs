// SPDX-License-Identifier: GPL-2.0

//! Sockets that receive frames themselves, each through a packet handler of its own.
//!
//! This is how `AF_PACKET` receives. It suits a family with few sockets, and one whose sockets may
//! all have a copy of a frame: each looks at every frame of the EtherType. A family with many has
//! one handler, which finds the socket in a [`SockTable`](super::sock_table::SockTable).
//!
//! C header: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h) (`struct
//! packet_type`)

use super::{
    packet,
    skbuff::PacketType,
    socket::Operations,
    Device,
    DropReason,
    SkBuff,
    Sock,
    SockRef, //
};
use crate::prelude::*;

/// A socket type that receives frames through a [`SockHook`].
pub trait Receive: Operations {
    /// Receives a frame that has arrived at `dev`, for this host or for all of a group.
    ///
    /// As [`packet::Handler::receive`]: the data starts after the link-layer header, and this runs
    /// in softirq context.
    fn receive(sock: &Sock<Self>, skb: SkBuff, dev: &Device);
}

impl<T: Receive> packet::Handler for SockRef<T> {
    fn receive(&self, skb: SkBuff, dev: &Device) {
        if skb.packet_type() == PacketType::OtherHost {
            return skb.drop_reason(DropReason::OTHERHOST);
        }
        T::receive(self, skb, dev);
    }
}

/// Has a socket receive the frames of one EtherType that arrive in its namespace, on any device.
///
/// It keeps the socket, and so must be dropped in [`Operations::release`] if the socket's own state
/// has it. Dropping it waits until [`Receive::receive`] no longer runs; that sleeps.
///
/// # Examples
///
/// ```
/// use kernel::{
///     net::{
///         sock_hook::{Receive, SockHook},
///         Sock, //
///     },
///     sync::Mutex, //
/// };
///
/// /// Starts to receive, as `bind()` of such a socket does.
/// fn start<T: Receive>(sock: &Sock<T>, hook: &Mutex<Option<SockHook<T>>>) -> Result {
///     *hook.lock() = Some(SockHook::new(sock, 0x88b6)?);
///     Ok(())
/// }
///
/// /// Ends it, as `release()` does.
/// fn stop<T: Receive>(hook: &Mutex<Option<SockHook<T>>>) {
///     *hook.lock() = None;
/// }
/// ```
#[must_use = "the socket receives nothing any more when it is dropped"]
pub struct SockHook<T: Receive> {
    _registration: Pin<KBox<packet::Registration<SockRef<T>>>>,
}

impl<T: Receive> SockHook<T> {
    /// Has `sock` receive frames of `ethertype` from now on.
    ///
    /// Fails with [`EINVAL`] if `ethertype` is less than 0x600, with [`EBADF`] if the socket has no
    /// user any more, and with [`ENOMEM`]. Sleeps.
    pub fn new(sock: &Sock<T>, ethertype: u16) -> Result<Self> {
        let handler = sock.try_hold().ok_or(EBADF)?;
        let registration = packet::Registration::in_namespace(ethertype, sock.net(), handler);
        Ok(Self {
            _registration: KBox::pin_init(registration, GFP_KERNEL)?,
        })
    }
}
