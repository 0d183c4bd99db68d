// SPDX-License-Identifier: GPL-2.0

//! What is known of a socket beside its buffers: the state of its connection, its errors, and what
//! its user has asked for.
//!
//! C header: [`include/net/sock.h`](srctree/include/net/sock.h)

use super::{
    sock::Sock,
    sock_wait::Patience,
    socket::Operations, //
};
use crate::{
    bindings,
    error::to_result,
    prelude::*, //
};

/// The state of a connection, `sk_state`, as other parts of the kernel and its tools know it.
///
/// The values are those of TCP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SockState {
    /// There is none. A new socket is in this state.
    Close,
    /// The socket takes connections: `SO_ACCEPTCONN`.
    Listen,
    /// The peer was asked and has not answered yet: `TCP_SYN_SENT`.
    Opening,
    /// It carries data.
    Established,
    /// One end or both have ended it, and not all is done.
    Closing,
}

impl SockState {
    fn as_raw(self) -> u8 {
        let state = match self {
            Self::Close => bindings::TCP_CLOSE,
            Self::Listen => bindings::TCP_LISTEN,
            Self::Opening => bindings::TCP_SYN_SENT,
            Self::Established => bindings::TCP_ESTABLISHED,
            Self::Closing => bindings::TCP_CLOSING,
        };
        state as u8
    }
}

/// The state of the connection. All of these may be called in every context.
impl<T: Operations> Sock<T> {
    /// Returns the socket's type: `SOCK_*`.
    #[inline]
    pub fn kind(&self) -> u32 {
        // SAFETY: The socket is valid.
        unsafe { bindings::sk_type(self.as_raw()) }
    }

    /// Returns the state of the connection.
    ///
    /// What was written before [`set_state`](Self::set_state) is visible after this.
    #[inline]
    pub fn state(&self) -> SockState {
        // SAFETY: The socket is valid.
        match u32::from(unsafe { bindings::sk_state_load(self.as_raw()) }) {
            bindings::TCP_LISTEN => SockState::Listen,
            bindings::TCP_SYN_SENT => SockState::Opening,
            bindings::TCP_ESTABLISHED => SockState::Established,
            bindings::TCP_CLOSING => SockState::Closing,
            // No other is ever set.
            _ => SockState::Close,
        }
    }

    /// Sets the state of the connection; whoever waits for that is woken by
    /// [`state_changed`](Self::state_changed).
    #[inline]
    pub fn set_state(&self, state: SockState) {
        // SAFETY: The socket is valid.
        unsafe { bindings::sk_state_store(self.as_raw(), state.as_raw()) };
    }

    /// Returns whether the user has shut the socket down for sending.
    #[inline]
    pub fn is_send_shutdown(&self) -> bool {
        // SAFETY: The socket is valid.
        let how = unsafe { bindings::sk_shutdown(self.as_raw()) };
        how & bindings::SEND_SHUTDOWN as u8 != 0
    }

    /// Sets how many connections may wait to be accepted.
    pub fn set_max_backlog(&self, backlog: u32) {
        // SAFETY: The socket is valid.
        unsafe { bindings::sk_set_max_backlog(self.as_raw(), backlog) };
    }

    /// Returns whether more connections wait to be accepted than the backlog allows.
    ///
    /// With a backlog of `n`, the `n + 1`st is still taken, as with all types of sockets.
    #[inline]
    pub fn acceptq_is_full(&self) -> bool {
        // SAFETY: The socket is valid.
        unsafe { bindings::sk_acceptq_is_full(self.as_raw()) }
    }

    /// Counts one more connection that waits to be accepted.
    ///
    /// This and [`acceptq_removed`](Self::acceptq_removed) are to be called under one lock, that of
    /// the queue; otherwise the count may get wrong.
    #[inline]
    pub fn acceptq_added(&self) {
        // SAFETY: The socket is valid.
        unsafe { bindings::sk_acceptq_added(self.as_raw()) };
    }

    /// Counts one connection less.
    #[inline]
    pub fn acceptq_removed(&self) {
        // SAFETY: The socket is valid.
        unsafe { bindings::sk_acceptq_removed(self.as_raw()) };
    }
}

/// Waking who waits or polls. Not for hard interrupts; there may be no user to wake.
impl<T: Operations> Sock<T> {
    /// Wakes all who wait, for whatever it is: the state of the connection is another.
    #[inline]
    pub fn state_changed(&self) {
        // SAFETY: The socket is valid.
        unsafe { bindings::sk_state_change(self.as_raw()) };
    }

    /// Wakes who waits for something to receive or to accept.
    #[inline]
    pub fn data_ready(&self) {
        // SAFETY: The socket is valid.
        unsafe { bindings::sk_data_ready(self.as_raw()) };
    }

    /// Wakes who waits for room in the send buffer, if [`is_writeable`](Self::is_writeable).
    ///
    /// A packet that is charged to the send buffer does so by itself when it is freed.
    #[inline]
    pub fn write_space(&self) {
        // SAFETY: The socket is valid.
        unsafe { bindings::sk_write_space(self.as_raw()) };
    }
}

/// Errors.
impl<T: Operations> Sock<T> {
    /// Takes the pending error, which is reported once: `SO_ERROR`. Any context.
    #[inline]
    pub fn take_error(&self) -> Result {
        // SAFETY: The socket is valid.
        to_result(unsafe { bindings::sock_error(self.as_raw()) })
    }

    /// Returns whether an error is pending. Any context.
    #[inline]
    pub fn pending_error(&self) -> bool {
        // SAFETY: The socket is valid.
        unsafe { bindings::sk_err(self.as_raw()) != 0 }
    }

    /// Returns whether there is something in the error queue. Any context.
    #[inline]
    pub fn has_errors_queued(&self) -> bool {
        // SAFETY: The socket is valid.
        unsafe { bindings::sk_has_errors_queued(self.as_raw()) }
    }

    /// Returns whether the user takes what is in the error queue for urgent when polling:
    /// `SO_SELECT_ERR_QUEUE`. Any context.
    #[inline]
    pub fn selects_error_queue(&self) -> bool {
        let flag = bindings::sock_flags_SOCK_SELECT_ERR_QUEUE;
        // SAFETY: The socket is valid.
        unsafe { bindings::sock_flag(self.as_raw(), flag) }
    }

    /// Raises `SIGPIPE` for the current thread, as a call does that fails with [`EPIPE`] and was
    /// not given [`MSG_NOSIGNAL`](super::msghdr::MSG_NOSIGNAL). For process context.
    pub fn send_sigpipe(&self) {
        // SAFETY: An FFI call without requirements.
        unsafe { bindings::send_sigpipe() };
    }
}

/// What the user has asked for. All of these but `linger` may be called in every context.
impl<T: Operations> Sock<T> {
    /// Returns for how long closing waits for what was sent to arrive, if the user has decided
    /// that:
    /// `SO_LINGER`. With no time at all, what has not arrived is given up.
    ///
    /// `None` also if the process exits, which is not to wait. For the process that closes.
    pub fn linger(&self) -> Option<Patience> {
        let mut time = 0;
        // SAFETY: The socket is valid.
        unsafe { bindings::sk_linger(self.as_raw(), &mut time) }.then(|| Patience::new(time))
    }

    /// Returns whether the user wants to know of a peer that is gone: `SO_KEEPALIVE`.
    pub fn keepalive(&self) -> bool {
        // SAFETY: The socket is valid.
        unsafe { bindings::sock_flag(self.as_raw(), bindings::sock_flags_SOCK_KEEPOPEN) }
    }

    /// Returns how many bytes are to be there before who wants `len` of them goes on: at least 1,
    /// and all for who wants all (`waitall`), otherwise as `SO_RCVLOWAT` says.
    #[inline]
    pub fn rcvlowat(&self, waitall: bool, len: usize) -> usize {
        let len = c_int::try_from(len).unwrap_or(c_int::MAX);
        // SAFETY: The socket is valid.
        let bytes = unsafe { bindings::sock_rcvlowat(self.as_raw(), c_int::from(waitall), len) };
        usize::try_from(bytes).unwrap_or(1)
    }

    /// Returns where peeking begins: the bytes from the first one on that were not received, or -1
    /// if the user has not said so, see [`Operations::PEEK_OFF`]. 0 if `flags` have no `MSG_PEEK`.
    #[inline]
    pub fn peek_offset(&self, flags: c_int) -> i32 {
        // SAFETY: The socket is valid.
        unsafe { bindings::sk_peek_offset(self.as_raw(), flags) }
    }

    /// Has the next peek begin `n` bytes later, as it does after a peek.
    #[inline]
    pub fn peek_advance(&self, n: usize) {
        let n = c_int::try_from(n).unwrap_or(c_int::MAX);
        // SAFETY: The socket is valid.
        unsafe { bindings::sk_peek_offset_fwd(self.as_raw(), n) };
    }

    /// Has the next peek begin where it would have begun, after `n` bytes were received.
    #[inline]
    pub fn peek_rewind(&self, n: usize) {
        let n = c_int::try_from(n).unwrap_or(c_int::MAX);
        // SAFETY: The socket is valid.
        unsafe { bindings::sk_peek_offset_bwd(self.as_raw(), n) };
    }
}

/// The sizes of the buffers. All of these may be called in every context.
impl<T: Operations> Sock<T> {
    /// Returns whether the send buffer is at most half full, which is when `poll()` calls the
    /// socket writable.
    #[inline]
    pub fn is_writeable(&self) -> bool {
        // SAFETY: The socket is valid.
        unsafe { bindings::sock_writeable(self.as_raw()) }
    }

    /// Notes that the user wants to know when there is room in the send buffer.
    ///
    /// Who has found none calls this and then looks once more.
    #[inline]
    pub fn want_write_space(&self) {
        // SAFETY: The socket is valid.
        unsafe { bindings::sk_want_write_space(self.as_raw()) };
    }

    /// Returns whether the user has set the size of the receive buffer.
    #[inline]
    pub fn rcvbuf_is_locked(&self) -> bool {
        // SAFETY: The socket is valid.
        unsafe { bindings::sk_rcvbuf_is_locked(self.as_raw()) }
    }

    /// Makes the receive buffer `bytes` of memory large, but no larger than the administrator lets
    /// users ask for (`net.core.rmem_max`); not if it is larger or the user has set its size.
    ///
    /// Takes the socket's lock (`lock_sock()`), and so sleeps.
    pub fn grow_rcvbuf(&self, bytes: usize) {
        let bytes = c_int::try_from(bytes).unwrap_or(c_int::MAX);
        // SAFETY: The socket is valid.
        unsafe { bindings::sk_rcvbuf_grow(self.as_raw(), bytes) };
    }

    /// As [`grow_rcvbuf`](Self::grow_rcvbuf), for the send buffer (`net.core.wmem_max`).
    pub fn grow_sndbuf(&self, bytes: usize) {
        let bytes = c_int::try_from(bytes).unwrap_or(c_int::MAX);
        // SAFETY: The socket is valid.
        unsafe { bindings::sk_sndbuf_grow(self.as_raw(), bytes) };
    }
}

#[macros::kunit_tests(rust_net_sock_state)]
mod tests {
    use super::*;
    use crate::net::{
        msghdr::MSG_PEEK,
        probe::Socket,
        socket::SOCK_SEQPACKET,
        Events, //
    };

    #[test]
    fn polling_says_what_the_protocol_says() -> Result {
        let socket = Socket::new(SOCK_SEQPACKET)?;
        assert_eq!(socket.sock().kind(), SOCK_SEQPACKET);
        let out = Events::OUT.as_raw();
        assert_eq!(socket.poll()?, bindings::POLLHUP | out);
        socket.listen(1)?;
        assert_eq!(socket.poll()?, out);
        socket.connected(1)?;
        assert_eq!(
            socket.poll()?,
            bindings::POLLIN | bindings::POLLRDNORM | out
        );
        socket.sock().report_error(ECONNRESET);
        assert!(Events::IN.as_raw() & socket.poll()? != 0);
        assert!(Events::ERR.as_raw() & socket.poll()? != 0);
        Ok(())
    }

    #[test]
    fn a_state_is_read_as_it_was_set() -> Result {
        let socket = Socket::new(SOCK_SEQPACKET)?;
        let sock = socket.sock();
        assert_eq!(sock.state(), SockState::Close);
        for state in [
            SockState::Opening,
            SockState::Established,
            SockState::Closing,
            SockState::Listen,
            SockState::Close,
        ] {
            sock.set_state(state);
            assert_eq!(sock.state(), state);
        }
        Ok(())
    }

    #[test]
    fn a_backlog_takes_one_more() -> Result {
        let socket = Socket::new(SOCK_SEQPACKET)?;
        let sock = socket.sock();
        socket.listen(1)?;
        for _ in 0..2 {
            assert!(!sock.acceptq_is_full());
            socket.connected(0)?;
        }
        assert!(sock.acceptq_is_full());
        drop(socket.accept(0)?);
        assert!(!sock.acceptq_is_full());
        // A negative number has no end.
        socket.listen(-1)?;
        socket.connected(0)?;
        socket.connected(0)?;
        assert!(!sock.acceptq_is_full());
        Ok(())
    }

    #[test]
    fn an_error_is_taken_once() -> Result {
        let socket = Socket::new(SOCK_SEQPACKET)?;
        let sock = socket.sock();
        assert!(!sock.pending_error() && !sock.has_errors_queued());
        sock.report_error(ECONNRESET);
        assert!(sock.pending_error());
        assert_eq!(sock.take_error(), Err(ECONNRESET));
        assert_eq!(sock.take_error(), Ok(()));
        sock.queue_error(&Default::default(), &[0u8; 8], GFP_KERNEL)?;
        assert!(sock.has_errors_queued());
        Ok(())
    }

    #[test]
    fn peeking_begins_where_the_user_says() -> Result {
        let socket = Socket::new(SOCK_SEQPACKET)?;
        let sock = socket.sock();
        assert_eq!(sock.peek_offset(MSG_PEEK), -1);
        sock.peek_advance(5);
        assert_eq!(sock.peek_offset(MSG_PEEK), -1);
        socket.set(bindings::SO_PEEK_OFF, 0u32)?;
        sock.peek_advance(5);
        assert_eq!((sock.peek_offset(MSG_PEEK), sock.peek_offset(0)), (5, 0));
        sock.peek_rewind(3);
        assert_eq!(sock.peek_offset(MSG_PEEK), 2);
        sock.peek_rewind(usize::MAX);
        assert_eq!(sock.peek_offset(MSG_PEEK), 0);
        Ok(())
    }

    #[test]
    fn options_are_as_the_user_has_set_them() -> Result {
        let socket = Socket::new(SOCK_SEQPACKET)?;
        let sock = socket.sock();
        assert!(sock.linger().is_none() && !sock.keepalive());
        socket.set(bindings::SO_LINGER, [1u32, 0])?;
        socket.set(bindings::SO_KEEPALIVE, 1u32)?;
        assert_eq!(sock.linger(), Some(Patience::NONE));
        assert!(sock.keepalive());

        assert_eq!((sock.rcvlowat(false, 9), sock.rcvlowat(true, 9)), (1, 9));
        assert_eq!(sock.rcvlowat(true, 0), 1);
        socket.set(bindings::SO_RCVLOWAT, 5u32)?;
        assert_eq!((sock.rcvlowat(false, 9), sock.rcvlowat(false, 3)), (5, 3));
        assert_eq!(sock.rcvlowat(true, usize::MAX), i32::MAX as usize);
        Ok(())
    }

    #[test]
    fn buffers_grow_until_the_user_sets_their_size() -> Result {
        let socket = Socket::new(SOCK_SEQPACKET)?;
        let sock = socket.sock();
        let size = sock.rcvbuf() + 10_000;
        sock.grow_rcvbuf(size as usize);
        assert_eq!(sock.rcvbuf(), size);
        sock.grow_rcvbuf(1);
        assert_eq!(sock.rcvbuf(), size);
        sock.grow_rcvbuf(usize::MAX);
        let most = sock.rcvbuf();
        assert!(most > size && most < c_int::MAX);
        sock.grow_rcvbuf(most as usize + 1);
        assert_eq!(sock.rcvbuf(), most);
        let size = sock.sndbuf() + 10_000;
        sock.grow_sndbuf(size as usize);
        assert_eq!(sock.sndbuf(), size);
        socket.set(bindings::SO_SNDBUF, 8_000u32)?;
        sock.grow_sndbuf(size as usize);
        assert_eq!(sock.sndbuf(), 16_000);
        socket.set(bindings::SO_RCVBUF, 8_000u32)?;
        assert!(sock.rcvbuf_is_locked());
        sock.grow_rcvbuf(size as usize);
        assert_eq!(sock.rcvbuf(), 16_000);
        // Without a user there is nothing to note, and nobody to wake.
        let kept = socket.hold()?;
        kept.want_write_space();
        drop(socket);
        kept.want_write_space();
        kept.write_space();
        kept.state_changed();
        Ok(())
    }
}
