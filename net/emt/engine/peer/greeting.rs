// SPDX-License-Identifier: GPL-2.0

//! How two peers come together: what Hello and Reset packets do.

use super::{
    Association,
    Greeting,
    Peer,
    State,
    Verdict, //
};
use crate::{
    engine::{
        host::{
            Host,
            Outcome,
            Packet,
            Types, //
        },
        time::Instant, //
    },
    wire::association::{
        Epoch,
        Hello,
        Reset, //
    },
};

impl<T: Types> Peer<T> {
    /// Handles a Hello.
    pub(crate) fn handle_hello(
        &mut self,
        now: Instant,
        hello: &Hello,
        host: &mut impl Host<T>,
    ) -> Verdict {
        let Hello { epoch, echo } = *hello;
        if epoch == Epoch::NONE {
            return Verdict::Invalid;
        }
        if self.offered
            == Some(Association {
                local: echo,
                remote: epoch,
            })
        {
            self.take_offer(now, host);
            return Verdict::Good;
        }
        if echo == Epoch::NONE {
            self.on_greeting(epoch, host);
            return Verdict::Good;
        }
        match self.state {
            State::Opening(local, greeting) if echo == local => {
                if self.has_offered(local) {
                    // To another, whose packets may come yet. It was that of `epoch` before.
                    self.offered = None;
                    self.open(now, host);
                    return Verdict::Good;
                }
                if greeting.once {
                    self.rtt.sample(now, now.since(greeting.first));
                }
                self.begin(
                    now,
                    Association {
                        local,
                        remote: epoch,
                    },
                );
            }
            State::Open(association, _) if echo == association.local => {
                if epoch == association.remote {
                    self.begin(now, association);
                } else {
                    // It is not who it was.
                    self.forget(Outcome::Reset, host);
                    self.open(now, host);
                }
            }
            // An answer to what we have not asked is never answered: two that know different things
            // of each other would go on for ever.
            _ => return Verdict::BadTag,
        }
        Verdict::Good
    }

    /// Answers a peer that wants to open an association, or to know whether it still exists.
    fn on_greeting(&mut self, epoch: Epoch, host: &mut impl Host<T>) {
        let local = match (self.state, self.offered) {
            (State::Open(association, _), _) if association.remote == epoch => {
                return answer(association.local, epoch, host);
            }
            (_, Some(offered)) if offered.remote == epoch => offered.local,
            // It crossed ours.
            (State::Opening(local, _), _) if !self.has_offered(local) => local,
            // Ours was offered to another, so it is for neither.
            (State::Opening(_, greeting), _) => {
                let local = self.new_epoch(host);
                self.state = State::Opening(
                    local,
                    Greeting {
                        once: false,
                        ..greeting
                    },
                );
                local
            }
            _ => self.new_epoch(host),
        };
        self.offered = Some(Association {
            local,
            remote: epoch,
        });
        answer(local, epoch, host);
    }

    /// Handles a Reset.
    pub(crate) fn handle_reset(
        &mut self,
        now: Instant,
        reset: &Reset,
        host: &mut impl Host<T>,
    ) -> Verdict {
        match self.state {
            State::Open(association, _) if association.remote.tag() == reset.tag => {
                self.forget(Outcome::Reset, host);
                self.state = State::Idle;
                if !self.sending.is_empty() || !self.parking.is_empty() || self.has_connections() {
                    self.open(now, host);
                }
                Verdict::Good
            }
            _ => Verdict::BadTag,
        }
    }
}

/// Asks a peer for its epoch, or whether it is still the one that we know.
pub(super) fn greet<T: Types>(local: Epoch, host: &mut impl Host<T>) {
    answer(local, Epoch::NONE, host);
}

fn answer<T: Types>(local: Epoch, remote: Epoch, host: &mut impl Host<T>) {
    host.transmit(Packet::Hello(Hello {
        epoch: local,
        echo: remote,
    }));
}
