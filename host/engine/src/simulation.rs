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
        Wiring, //
    },
    wire::{
        reliable::SEGMENT_LEN,
        ETHERNET_LEN, //
    },
};

const PORT: u16 = 2000;
const START: Instant = Instant(SECOND);
const FAST: Reader = Reader::Rate(10_000_000_000);

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
    goodput: f64,
    slowest: u64,
    fastest: u64,
}

/// Lets all receivers be sent to by all their senders, one message of `len(sender)` after the other,
/// and returns what has come in `time` after a tenth of it.
fn incast(buffer: u64, rcvbuf: u64, time: Nanos, len: impl Fn(usize) -> u32) -> Vec<Figures> {
    let wiring = Wiring {
        buffer,
        ..Wiring::default()
    };
    let mut net = Net::new(1, 1_000, wiring);
    for to in 0..RECEIVERS {
        net.listen(to, PORT, rcvbuf, FAST);
    }
    let senders = |to: usize| (0..SENDERS).map(move |sender| RECEIVERS + to * SENDERS + sender);
    for to in 0..RECEIVERS {
        for (sender, from) in senders(to).enumerate() {
            let flow = Flow {
                from,
                to,
                port: PORT,
                len: len(sender),
                left: u32::MAX,
            };
            net.flow(START, flow, 2);
        }
    }
    let begin = START.plus(time / 10);
    net.run(begin);
    let before: Vec<Vec<u64>> = (0..RECEIVERS)
        .map(|to| senders(to).map(|from| net.useful(to, from)).collect())
        .collect();
    net.run(begin.plus(time));
    eprintln!("{:?}", net.counts);
    (0..RECEIVERS)
        .map(|to| {
            let came = senders(to).zip(&before[to]).map(|(from, before)| net.useful(to, from) - before);
            let came: Vec<u64> = came.collect();
            Figures {
                goodput: share(&wiring, came.iter().sum(), time),
                slowest: came.iter().copied().min().unwrap_or(0),
                fastest: came.iter().copied().max().unwrap_or(0),
            }
        })
        .collect()
}

#[test]
fn explore() {
    for (len, rcvbuf) in [(100u32 << 10, 212_992u64), (100 << 10, 4 << 20), (100 << 10, 256 << 20), (1 << 20, 212_992), (1 << 20, 4 << 20), (1 << 20, 256 << 20), (1400, 212_992), (10_000, 212_992)] {
        let wiring = Wiring::default();
        let mut net = Net::new(1, 65, wiring);
        net.listen(0, PORT, rcvbuf, FAST);
        for from in 1..65 {
            let flow = Flow { from, to: 0, port: PORT, len, left: u32::MAX };
            net.flow(START, flow, 2);
        }
        eprintln!("len {len} rcvbuf {rcvbuf}");
        let mut line = String::new();
        let mut before = vec![0u64; 65];
        let mut over = 0;
        let mut first = vec![0u64; 65];
        for step in 1..=30u64 {
            net.run(START.plus(step * 10 * MILLISECOND));
            let now: Vec<u64> = (0..65).map(|f| net.useful(0, f)).collect();
            let sum: u64 = now.iter().zip(&before).map(|(a, b)| a - b).sum();
            line += &format!(" {:.2}/{}", share(&wiring, sum, 10 * MILLISECOND), net.counts.overflowed - over);
            over = net.counts.overflowed;
            if step == 5 { first = now.clone(); }
            before = now;
        }
        let mut each: Vec<u64> = before.iter().zip(&first).skip(1).map(|(a, b)| a - b).collect();
        each.sort();
        eprintln!("{line}\n   total {:.3} min {} median {} max {}", share(&wiring, each.iter().sum(), 250 * MILLISECOND), each[0], each[32], each[63]);
    }
}
