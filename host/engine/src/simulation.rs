// SPDX-License-Identifier: GPL-2.0

//! A thousand hosts behind one switch.
//!
//! Goodput is counted at the receiver: bytes of messages, each counted once, as a share of what the
//! link would carry if it carried nothing else but full packets with their headers ([`share`]).

use crate::{
    engine::time::{
        Instant,
        Nanos,
        MILLISECOND,
        SECOND, //
    },
    net::{
        Flow,
        Net,
        Reader,
        Wiring,
        OVERHEAD, //
    },
    wire::{
        reliable::SEGMENT_LEN,
        ETHERNET_LEN, //
    },
};

const PORT: u16 = 2000;
const START: Instant = Instant(SECOND);
const FAST: Reader = Reader::Rate(10_000_000_000);

/// The default size of socket buffers.
const BUFFER: u64 = 212_992;

/// Senders to each receiver, and how many receivers a thousand hosts have with theirs.
const SENDERS: usize = 64;
const RECEIVERS: usize = 1_000 / (SENDERS + 1);

/// Returns the share of a link's time that `bytes` of messages need.
fn share(wiring: &Wiring, bytes: u64, time: Nanos) -> f64 {
    let payload = wiring.mtu as usize - SEGMENT_LEN;
    // The preamble, the checksum and the gap are 24 bytes.
    let frame = wiring.mtu as usize + ETHERNET_LEN + 24;
    let bits = bytes as f64 * 8.0 * frame as f64 / payload as f64;
    bits * SECOND as f64 / (wiring.rate as f64 * time as f64)
}

/// What the senders to one receiver have got through.
#[derive(Debug)]
struct Figures {
    /// See [`share`].
    goodput: f64,
    /// What the slowest sender has got through, as a part of what it would be if all were equal.
    slowest: f64,
    fastest: f64,
}

/// An incast: all senders send to their receiver one message of `len` bytes after the other, with as
/// many under way as the default send buffer has room for.
#[derive(Clone, Copy)]
struct Incast {
    receivers: usize,
    len: u32,
    rcvbuf: u64,
    /// How long the figures are taken for, after what the beginning takes: at first all send at once
    /// and most of it is lost, as nobody knows of the others.
    time: Nanos,
}

const BEGINNING: Nanos = 100 * MILLISECOND;

impl Incast {
    fn run(self) -> Vec<Figures> {
        let wiring = Wiring::default();
        let mut net = Net::new(1, self.receivers * (SENDERS + 1), wiring);
        let senders = |to: usize| {
            let first = self.receivers + to * SENDERS;
            first..first + SENDERS
        };
        for to in 0..self.receivers {
            net.listen(to, PORT, self.rcvbuf, FAST);
            for from in senders(to) {
                let flow = Flow {
                    from,
                    to,
                    port: PORT,
                    len: self.len,
                    left: u32::MAX,
                };
                let at_once = (BUFFER / (u64::from(self.len) + OVERHEAD)).max(1);
                net.flow(START, flow, at_once as u32);
            }
        }
        let came = |net: &Net| -> Vec<Vec<u64>> {
            let of = |to| senders(to).map(|from| net.useful(to, from)).collect();
            (0..self.receivers).map(of).collect()
        };
        net.run(START.plus(BEGINNING));
        let before = came(&net);
        net.run(START.plus(BEGINNING).plus(self.time));
        let figures = |(after, before): (Vec<u64>, &Vec<u64>)| {
            let each: Vec<u64> = after.iter().zip(before).map(|(a, b)| a - b).collect();
            let sum: u64 = each.iter().sum();
            let part = |bytes: Option<u64>| bytes.unwrap_or(0) as f64 * SENDERS as f64 / sum as f64;
            Figures {
                goodput: share(&wiring, sum, self.time),
                slowest: part(each.iter().copied().min()),
                fastest: part(each.iter().copied().max()),
            }
        };
        came(&net).into_iter().zip(&before).map(figures).collect()
    }

    /// Checks that the links are used, and no sender starves.
    fn check(self, goodput: f64, slowest: f64) {
        for figures in self.run() {
            eprintln!(
                "{} bytes, buffer of {}: {figures:.2?}",
                self.len, self.rcvbuf
            );
            assert!(figures.goodput >= goodput, "{figures:?}");
            assert!(figures.slowest >= slowest, "{figures:?}");
        }
    }
}

#[test]
fn incast_of_short_messages() {
    let incast = Incast {
        receivers: 1,
        len: 1_400,
        rcvbuf: BUFFER,
        time: 200 * MILLISECOND,
    };
    incast.check(0.95, 0.8);
}

#[test]
fn incast_of_messages_of_some_packets() {
    for (len, goodput) in [(4_000, 0.94), (10_000, 0.95), (100 << 10, 0.95)] {
        let incast = Incast {
            receivers: 1,
            len,
            rcvbuf: BUFFER,
            time: 200 * MILLISECOND,
        };
        incast.check(goodput, 0.8);
    }
}

#[test]
fn incast_of_long_messages() {
    // More than one of them has to fit, or the link waits while the program reads.
    for rcvbuf in [4 << 20, 256 << 20] {
        let incast = Incast {
            receivers: 1,
            len: 1 << 20,
            rcvbuf,
            time: 600 * MILLISECOND,
        };
        incast.check(0.95, 0.8);
    }
}

#[test]
fn incasts_of_a_thousand_hosts() {
    let incast = Incast {
        receivers: RECEIVERS,
        len: 100 << 10,
        rcvbuf: BUFFER,
        time: 100 * MILLISECOND,
    };
    incast.check(0.95, 0.8);
}

/// Returns when the last message was delivered; each must have been.
fn delivered_by(net: &Net) -> Instant {
    let ends = net.ledger.entries.iter().map(|entry| entry.delivered);
    let ends = ends.map(|end| end.expect("one was not delivered"));
    ends.max().expect("there was none")
}

/// One message of each, all at once.
#[test]
fn all_that_is_sent_at_once_arrives_soon() {
    const LEN: u32 = 1 << 20;
    let wiring = Wiring::default();
    let mut net = Net::new(1, SENDERS + 1, wiring);
    net.listen(0, PORT, 4 << 20, FAST);
    for from in 1..=SENDERS {
        net.send(START, from, 0, PORT, LEN);
    }
    net.run(START.plus(SECOND));
    let end = delivered_by(&net);
    let goodput = share(&wiring, u64::from(LEN) * SENDERS as u64, end.since(START));
    eprintln!("{} ms: {goodput:.2}", end.since(START) / MILLISECOND);
    assert!(goodput >= 0.95, "{goodput}");
}

/// Who waits for its turn while all comes that it sent unasked goes on when it is its turn.
#[test]
fn what_has_come_while_it_waits_counts() {
    const LEN: u32 = 200_000;
    const FEW: usize = 8;
    let wiring = Wiring::default();
    let mut net = Net::new(1, FEW + 1, wiring);
    net.listen(0, PORT, 4 << 20, FAST);
    for from in 1..=FEW {
        net.send(START, from, 0, PORT, LEN);
    }
    net.run(START.plus(SECOND));
    assert_eq!(net.counts.overflowed, 0);
    let end = delivered_by(&net);
    let goodput = share(&wiring, u64::from(LEN) * FEW as u64, end.since(START));
    assert!(goodput >= 0.9, "{goodput}, {end:?}");
}

/// Where all send at once, most of it is lost; but not once more when it is sent again.
#[test]
fn what_many_have_lost_comes_in_turn() {
    const LEN: u32 = 200_000;
    let wiring = Wiring::default();
    let mut net = Net::new(1, SENDERS + 1, wiring);
    net.listen(0, PORT, 256 << 20, FAST);
    // All know how long a round trip is.
    for other in 1..=SENDERS {
        net.listen(other, PORT, BUFFER, FAST);
        net.send(
            START.plus(other as Nanos * MILLISECOND),
            0,
            other,
            PORT,
            1_000,
        );
    }
    let begin = START.plus(100 * MILLISECOND);
    net.run(begin);
    for from in 1..=SENDERS {
        net.send(begin, from, 0, PORT, LEN);
    }
    net.run(begin.plus(SECOND));
    let end = delivered_by(&net);
    let goodput = share(&wiring, u64::from(LEN) * SENDERS as u64, end.since(begin));
    eprintln!("{goodput:.3}, {:?}", net.counts);
    assert!(goodput >= 0.95, "{goodput}");
    // What each sends unasked, but what the switch has room for.
    let unasked = SENDERS as u64 * (48 << 10);
    let lost = (unasked - wiring.buffer) / u64::from(wiring.mtu);
    assert!(net.counts.overflowed < lost + lost / 5, "{:?}", net.counts);
}

/// Short messages from all at once, most of which are lost, are not waited for one by one.
#[test]
fn what_is_lost_together_is_sent_again_together() {
    const EACH: u32 = 200;
    let mut net = Net::new(1, SENDERS + 1, Wiring::default());
    net.listen(0, PORT, BUFFER, FAST);
    for from in 1..=SENDERS {
        let flow = Flow {
            from,
            to: 0,
            port: PORT,
            len: 1_000,
            left: EACH,
        };
        net.flow(START, flow, 50);
    }
    net.run(START.plus(2 * SECOND));
    assert_eq!(net.ledger.entries.len(), EACH as usize * SENDERS);
    let passed = delivered_by(&net).since(START);
    // 11 ms, if nothing were lost.
    assert!(passed < 40 * MILLISECOND, "{} ms", passed / MILLISECOND);
}

/// Sends `count` messages of `len` bytes from each of `senders` at once to a socket with the
/// default buffer; returns how long it takes until all are delivered.
fn all_at_once(senders: usize, count: u32, len: u32, reader: Reader) -> Nanos {
    let mut net = Net::new(1, senders + 1, Wiring::default());
    net.listen(0, PORT, BUFFER, reader);
    for from in 1..=senders {
        for _ in 0..count {
            net.send(START, from, 0, PORT, len);
        }
    }
    net.run(START.plus(10 * SECOND));
    delivered_by(&net).since(START)
}

/// Room that is kept for who was woken goes to others once it has nothing more to send.
#[test]
fn room_is_kept_for_nobody_who_has_nothing_to_send() {
    // 0.5, 2 and 45 ms, if nothing were lost or waited.
    let slow = Reader::Rate(100_000_000);
    for (senders, count, len, reader, most) in [
        (SENDERS, 1, 10_000, FAST, 4),
        (SENDERS, 4, 10_000, FAST, 8),
        (16, 200, 1_400, slow, 60),
    ] {
        let passed = all_at_once(senders, count, len, reader);
        eprintln!("{senders} x {count} x {len}: {passed} ns");
        assert!(passed < most * MILLISECOND, "{passed} ns");
    }
}
