// SPDX-License-Identifier: GPL-2.0

//! The connections with a peer, as those who use them and the packets of them reach them.

use super::{
    Peer,
    State,
    Verdict, //
};
use crate::{
    engine::{
        budget::Unasked,
        connections::{
            Act,
            Connections,
            Way,
            Wish, //
        },
        host::{
            Host,
            Ports,
            Types, //
        },
        time::Instant, //
    },
    wire::flow::{
        Flow,
        Number, //
    },
};
use kernel::prelude::*;

impl<T: Types> Peer<T> {
    /// Returns the connections, if there have been any, with what they share with all else.
    #[inline]
    pub(super) fn connected(&mut self, now: Instant) -> Option<(&mut Connections<T>, Way<'_>)> {
        let connections = self.connections.as_mut()?;
        let tag = match self.state {
            State::Open(association, _) => Some(association.remote.tag()),
            State::Idle | State::Opening(..) => None,
        };
        let way = Way {
            now,
            tag,
            rtt: &mut self.rtt,
            budget: &mut self.budget,
            unasked: Unasked::All,
            blocks: &mut self.receiving.blocks,
        };
        Some((connections, way))
    }

    /// Sees to it that there can be connections, unless memory is short.
    fn allow_connections(&mut self) {
        if self.connections.is_none() {
            self.connections = KBox::new(Connections::new(), GFP_ATOMIC).ok();
        }
    }

    pub(super) fn has_connections(&self) -> bool {
        self.connections
            .as_ref()
            .is_some_and(|connections| !connections.is_empty())
    }

    pub(super) fn connections_have_more(&self) -> bool {
        self.connections
            .as_ref()
            .is_some_and(|connections| connections.has_more())
    }

    pub(super) fn connections_deadline(&self) -> Instant {
        self.connections
            .as_ref()
            .map_or(Instant::NEVER, |connections| connections.deadline())
    }

    /// Asks the peer for a connection; returns its number. Hands the socket back if memory is short
    /// or there are too many.
    pub(crate) fn connect(
        &mut self,
        now: Instant,
        wish: Wish<T::Conn>,
        host: &mut impl Host<T>,
    ) -> Result<Number, T::Conn> {
        self.allow_connections();
        let Some((connections, mut way)) = self.connected(now) else {
            return Err(wish.conn);
        };
        let number = connections.connect(&mut way, wish, host)?;
        if let State::Idle = self.state {
            self.open(now, host);
        }
        Ok(number)
    }

    /// Queues bytes to be sent, or sends them at once; hands them back if memory is short, and in
    /// `Ok` if there is no such connection or it takes no more.
    pub(crate) fn send(
        &mut self,
        now: Instant,
        number: Number,
        piece: T::Piece,
        more: bool,
        host: &mut impl Host<T>,
    ) -> Result<Option<T::Piece>, T::Piece> {
        let unasked = self.unasked();
        match self.connected(now) {
            Some((connections, mut way)) => {
                way.unasked = unasked;
                connections.send(&mut way, number, piece, more, host)
            }
            None => Ok(Some(piece)),
        }
    }

    /// Makes room for `count` pieces of a connection; returns whether there is.
    pub(crate) fn reserve(&mut self, number: Number, count: usize) -> bool {
        let connections = self.connections.as_mut();
        connections.is_none_or(|connections| connections.reserve_pieces(number, count))
    }

    /// Does what a user wants with a connection; returns whether there is one.
    pub(crate) fn act(
        &mut self,
        now: Instant,
        number: Number,
        act: Act,
        host: &mut impl Host<T>,
    ) -> bool {
        match self.connected(now) {
            Some((connections, mut way)) => connections.act(&mut way, number, act, host),
            None => false,
        }
    }

    /// Returns how many bytes of a connection the peer does not have yet.
    pub(crate) fn unacknowledged(&mut self, number: Number) -> u64 {
        let connections = self.connections.as_mut();
        connections.map_or(0, |connections| connections.unacknowledged(number))
    }

    /// Returns whether all that a connection was to send is under way and the peer has room for
    /// more.
    pub(crate) fn wants_more(&mut self, number: Number) -> bool {
        let connections = self.connections.as_mut();
        connections.is_some_and(|connections| connections.wants_more(number))
    }

    /// Sends what one connection that is ready can send in one piece; returns how many packets.
    pub(super) fn transmit_ready(&mut self, now: Instant, host: &mut impl Host<T>) -> u32 {
        let unasked = self.unasked();
        match self.connected(now) {
            Some((connections, mut way)) => {
                way.unasked = unasked;
                connections.transmit(&mut way, host)
            }
            None => 0,
        }
    }

    /// Handles a packet of a connection; `chunk` has its bytes, if there are any.
    pub(crate) fn handle_flow(
        &mut self,
        now: Instant,
        flow: &Flow,
        ports: Ports,
        mut chunk: Option<T::Chunk>,
        host: &mut impl Host<T>,
    ) -> Verdict {
        if let Err(verdict) = self.check_tag(now, flow.tag, host) {
            return verdict;
        }
        self.allow_connections();
        match self.connected(now) {
            // Lent all the way down, since moving it costs more than looking at it.
            Some((connections, mut way)) => {
                connections.handle(&mut way, flow, ports, &mut chunk, host)
            }
            None => Verdict::NoMemory,
        }
    }
}
