// SPDX-License-Identifier: GPL-2.0

//! Every limit and every time of the protocol, in one place.
//!
//! Normative: reliable.rst and flows.rst in Documentation/networking/emt/.

use super::time::{
    Nanos,
    MICROSECOND,
    MILLISECOND,
    SECOND, //
};

/// How far the newest transfer of an association may be from its oldest that has not ended.
pub(crate) const WINDOW: u32 = 1024;

/// The longest message, unless the administrator says otherwise.
pub(crate) const MAX_MESSAGE: u32 = 16 << 20;

/// How long an acknowledgment waits for a packet that goes the other way.
pub(crate) const ACK_DELAY: Nanos = 500 * MICROSECOND;

/// After so many finished transfers an acknowledgment does not wait.
pub(crate) const ACK_EVERY: u32 = 32;

/// How long to wait for an answer where no round trip has been measured.
pub(crate) const FIRST_RTO: Nanos = 20 * MILLISECOND;

/// The shortest wait for an answer: what a busy host may need to run its timers and softirqs.
pub(crate) const MIN_RTO: Nanos = 2 * MILLISECOND;

/// The longest.
pub(crate) const MAX_RTO: Nanos = SECOND;

/// How long to wait at most before a peer that does not answer is greeted again.
pub(crate) const MAX_GREETING: Nanos = 250 * MILLISECOND;

/// How long packets may overtake each other before a gap counts as a loss, where the round trip
/// is shorter than twice that.
pub(crate) const REORDERING: Nanos = 100 * MICROSECOND;

/// How much longer than the shortest a round trip may be before the packets that are sent unasked
/// become fewer: a queue of 250 kB at 10 Gbit/s.
pub(crate) const QUEUEING: Nanos = 200 * MICROSECOND;

/// How long the shortest round trip is taken for that of an empty network.
pub(crate) const LEAST_AGE: Nanos = 10 * SECOND;

/// How long a peer may be silent, unless the socket says otherwise.
pub(crate) const USER_TIMEOUT: Nanos = 10 * SECOND;

/// After so long without a packet from the other end, it is asked whether it still knows the
/// association before a new transfer begins. Less than half of [`PEER_IDLE`].
pub(crate) const CONFIRM_AFTER: Nanos = 60 * SECOND;

/// A peer that has been idle for so long is forgotten.
pub(crate) const PEER_IDLE: Nanos = 180 * SECOND;

/// How many bytes may be under way to a peer that it has not asked for, at first and at most: the
/// product of 10 Gbit/s and 50 microseconds.
pub(crate) const FIRST_WINDOW: u32 = 64 << 10;

/// How many such bytes may be under way at least, so that one packet always goes.
pub(crate) const MIN_WINDOW: u32 = 3_000;

/// How many messages of several packets a peer may have under way to this host at once.
pub(crate) const MAX_INCOMING: usize = 128;

/// How many bytes each packet of a message brings at least, but for the last. This bounds what the
/// memory of a message is more than its bytes.
pub(crate) const MIN_SEGMENT: u32 = 512;

/// For how many gaps of a message is asked at once.
pub(crate) const GAPS_AT_ONCE: usize = 16;

/// How many stretches of a connection in which gaps were asked for have times of their own.
pub(crate) const MAX_ASKED: usize = 16;

/// How many bytes are asked for at least of what comes next, where memory is short and packets are
/// tiny.
pub(crate) const MIN_ASKED: u64 = 64;

/// How many runs of bytes with gaps between them are kept of a message.
pub(crate) const MAX_RUNS: usize = 64;

/// How many ranges to be sent again are kept for a message.
pub(crate) const MAX_RESEND: usize = 16;

/// How many blocks wait to be sent to a peer.
pub(crate) const MAX_BLOCKS_WAITING: usize = 256;

/// To how many messages a device grants at once.
pub(crate) const GRANTED_AT_ONCE: usize = 4;

/// How many bytes may be granted at once to all of them, and not have arrived.
pub(crate) const GRANTED_BYTES: u32 = 128 << 10;

/// How many to a connection while nothing else is granted: it can make use of a longer way, and
/// nobody waits behind what it has under way.
pub(crate) const GRANTED_ALONE: u32 = 192 << 10;

/// How many messages wait at a device to be granted.
pub(crate) const MAX_GRANTS_WAITING: usize = 1024;

/// After so many more bytes of a granted message its sender may be granted more.
pub(crate) const GRANT_STEP: u32 = 8 << 10;

/// Each so many grants, the oldest message is served instead of the shortest.
pub(crate) const OLDEST_EACH: u32 = 16;

/// How soon a sender tries again to send to a socket that had no room, in case it was not told
/// that there is some.
pub(crate) const PARK_RETRY: Nanos = 10 * MILLISECOND;

/// How many peers are remembered that wait for room in a socket's receive buffer.
pub(crate) const MAX_WAITERS: usize = 1024;

/// How many bytes such a peer is told of at least, if there are others.
pub(crate) const MIN_SHARE: u32 = 32 << 10;

/// How long room is kept for a peer that was told of it.
pub(crate) const PROMISE_TIME: Nanos = 50 * MILLISECOND;

/// For how long a message that needs most of a receive buffer keeps others out while its sender
/// does not ask again. More than [`MAX_RTO`], after which it does.
pub(crate) const HEAD_IDLE: Nanos = 3 * SECOND;

/// A message of which nothing has come for so long is given up by its receiver.
pub(crate) const INCOMING_IDLE: Nanos = 30 * SECOND;

/// How many connections there may be with a peer.
pub(crate) const MAX_CONNECTIONS: u32 = 1 << 16;

/// How many numbers of connections are free at least before one is used again, so that it takes a
/// million connections until the same number comes back.
pub(crate) const RECYCLE_AFTER: u32 = 64;

/// How many connections of a peer may be half open.
pub(crate) const MAX_HALF_OPEN: u32 = 32;

/// How often the answer to who asks for a connection is given: over some seconds, since who has
/// heard it takes the connection for open.
pub(crate) const ACCEPT_TRIES: u8 = 14;

/// After so many bytes of a connection an acknowledgment does not wait.
pub(crate) const ACK_BYTES: u32 = 16 << 10;

/// How many other connections acknowledge what has come on them when one is asked for an answer.
pub(crate) const ANSWERS_AT_ONCE: usize = 32;

/// How long a connection that is over is remembered. More than a few of [`MAX_RTO`], after which
/// the other end asks.
pub(crate) const CLOSED_TIME: Nanos = 4 * SECOND;

/// How long what is less than a packet is held back because the user has said that more comes.
pub(crate) const MORE_TIME: Nanos = 200 * MILLISECOND;

/// After so long without a packet of a connection the peer is asked whether it is still there, if
/// the user wants that.
pub(crate) const KEEP_IDLE: Nanos = 60 * SECOND;

/// How long a connection that the user has closed waits for the other end to close it, too.
pub(crate) const ORPHAN_TIME: Nanos = 60 * SECOND;
