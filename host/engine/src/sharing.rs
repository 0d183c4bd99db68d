// SPDX-License-Identifier: GPL-2.0

//! Who shares the way to a peer, and what repairs cost.

use crate::{
    engine::{
        host::Bearing,
        time::{
            Instant,
            MICROSECOND,
            MILLISECOND,
            SECOND, //
        },
    },
    net::{
        Faults,
        Flow,
        Net,
        Reader,
        Wiring,
        OVERHEAD, //
    },
    program::{
        Exchange,
        Script, //
    },
};

const PORT: u16 = 80;
const START: Instant = Instant(SECOND);
/// What a packet takes of a window besides its bytes, which is half of what it takes of memory.
const TAKEN: u64 = OVERHEAD / 2;
const FAST: u64 = 10_000_000_000;

fn hosts(wiring: Wiring, lost: u32) -> Net {
    let mut net = Net::new(5, 2, wiring);
    net.set_faults(
        Instant(0),
        Faults {
            lost,
            ..Faults::default()
        },
    );
    net
}

fn write(net: &mut Net, bearing: Bearing, writes: u32, len: u32) {
    write_to(net, bearing, (writes, len), FAST);
}

/// Writes to somebody who reads so many bytes in a second.
fn write_to(net: &mut Net, bearing: Bearing, (writes, len): (u32, u32), reads: u64) {
    let script = |writes, len| Script {
        writes,
        len,
        reads,
        hurries: false,
    };
    net.programs.listen(1, PORT, bearing, 128, 100_000);
    net.exchange(
        START,
        Exchange {
            client: 0,
            server: 1,
            port: PORT,
            bearing,
            scripts: [script(writes, len), script(0, 1)],
        },
    );
}

/// Messages that never end: a hundred under way at once, each followed by another.
fn flood(net: &mut Net, port: u16, len: u32) {
    net.listen(1, port, 10_000_000, Reader::Rate(FAST));
    let flow = Flow {
        from: 0,
        to: 1,
        port,
        len,
        left: 1_000_000,
    };
    net.flow(START, flow, 100);
}

/// Runs until so many bytes have come on connections.
fn run_until(net: &mut Net, bytes: u64) {
    let mut at = START;
    while net.programs.compared < bytes {
        at = at.plus(10 * MILLISECOND);
        assert!(at < START.plus(60 * SECOND), "{} bytes", net.programs.compared);
        net.run(at);
    }
}

/// On ways of all kinds, the longest packets so large that one of them takes all that goes unasked.
fn ways() -> impl Iterator<Item = Wiring> {
    [1_500, 9_000, 65_000].into_iter().flat_map(|mtu| {
        [2 * MICROSECOND, MILLISECOND].map(|delay| Wiring {
            mtu,
            delay,
            ..Wiring::default()
        })
    })
}

/// Where short messages take all that goes unasked, a connection to the same host goes on.
#[test]
fn short_messages_starve_no_connection() {
    for way in ways() {
        let mut net = hosts(way, 0);
        flood(&mut net, 7, 1_000);
        write(&mut net, Bearing::Stream, 100, 10_000);
        net.run(START.plus(600 * MILLISECOND));
        assert_eq!(net.programs.compared, 1_000_000, "{way:?}");
    }
}

/// Nor do long ones, nor both.
#[test]
fn messages_of_all_kinds_starve_no_connection() {
    for way in ways() {
        let mut net = hosts(way, 0);
        flood(&mut net, 7, 1_000);
        flood(&mut net, 8, 100_000);
        write(&mut net, Bearing::Stream, 100, 10_000);
        net.run(START.plus(600 * MILLISECOND));
        assert_eq!(net.programs.compared, 1_000_000, "{way:?}");
    }
}

/// Short messages starve no long one, and those that come meanwhile are not held up for it.
#[test]
fn short_and_long_messages_share_the_way() {
    for way in ways() {
        let mut net = hosts(way, 0);
        flood(&mut net, 7, 1_000);
        net.listen(1, 8, 10_000_000, Reader::Rate(FAST));
        for _ in 0..5 {
            net.send(START.plus(MILLISECOND), 0, 1, 8, 1_000_000);
        }
        net.run(START.plus(600 * MILLISECOND));
        let entries = &net.ledger.entries;
        let of = |port| entries.iter().filter(move |one| one.ports.destination == port);
        let came = |port| of(port).filter(|one| one.delivered.is_some()).count();
        assert_eq!(came(8), 5, "{way:?}");
        let short = if way.delay < MILLISECOND { 30_000 } else { 7_000 };
        assert!(came(7) > short, "{way:?}: {} short ones", came(7));
    }
}

/// Connections that always have more starve no message.
#[test]
fn connections_starve_no_message() {
    for way in ways() {
        let mut net = hosts(way, 0);
        for _ in 0..20 {
            write(&mut net, Bearing::Stream, 4_000, 10_000);
        }
        flood(&mut net, 7, 1_000);
        net.run(START.plus(100 * MILLISECOND));
        let delivered = net.ledger.entries.iter().filter(|one| one.delivered.is_some());
        let count = delivered.count();
        // A quarter of what they would get alone.
        let fair = if way.delay < MILLISECOND { 10_000 } else { 400 };
        assert!(count > fair, "{way:?}: {count}");
    }
}

/// Who only receives knows how long a round trip is, too, and asks for a lost packet once in one.
#[test]
fn a_lost_packet_is_sent_little_more_than_once_more() {
    for (rate, delay) in [(100_000_000, 5 * MILLISECOND), (10_000_000_000, 5 * MILLISECOND)] {
        for bearing in [Bearing::Stream, Bearing::Records] {
            let mut net = hosts(Wiring { rate, delay, ..Wiring::default() }, 10_000);
            net.programs.manner.most_capacity = 1_000_000;
            write(&mut net, bearing, 1_000, 10_000);
            run_until(&mut net, 10_000_000);
            // 6,900 packets, 70 of them twice, and an answer to each sixteen kilobytes.
            assert!(net.counts.frames < 8_000, "{bearing:?}, {rate}: {:?}", net.counts);
        }
    }
}

/// Who reads them slowly, one by one, has little sent twice.
#[test]
fn what_finds_no_memory_waits_for_a_slow_reader() {
    for (bearing, lost) in [(Bearing::Records, 0), (Bearing::Stream, 0), (Bearing::Records, 10_000)] {
        let mut net = hosts(Wiring::default(), lost);
        net.programs.manner.overhead = TAKEN;
        net.programs.manner.sips = Some(4);
        net.programs.manner.most_capacity = 100_000;
        write_to(&mut net, bearing, (20_000, 4), 40_000);
        run_until(&mut net, 20_000 * 4);
        // Once when nobody knows yet how much they take, and once when there is room.
        assert!(net.counts.frames < 60_000, "{bearing:?}, {lost}: {:?}", net.counts);
    }
}

/// Small records take much more of memory than their bytes: what finds none is not sent again and
/// again.
#[test]
fn what_finds_no_memory_is_asked_for_as_there_is_some() {
    for (lost, frames) in [(10_000, 27_000), (50_000, 33_000)] {
        let mut net = hosts(Wiring::default(), lost);
        net.programs.manner.overhead = TAKEN;
        write(&mut net, Bearing::Records, 20_000, 64);
        run_until(&mut net, 20_000 * 64);
        assert!(net.counts.frames < frames, "{lost}: {:?}", net.counts);
    }
}

/// Begins connections that stay open, each of which has been sent something; returns the time.
fn idle_connections(net: &mut Net, count: usize) -> Instant {
    net.programs.manner.stay_open = true;
    for _ in 0..count {
        write(net, Bearing::Stream, 1, 100);
    }
    net.run(START.plus(100 * MILLISECOND));
    assert_eq!(net.programs.compared, 100 * count as u64);
    // When the last of it has happened.
    net.now
}

/// A little on each of many connections is soon as much as goes unasked. Then it is not waited for
/// acknowledgments that are held back.
#[test]
fn who_sends_little_on_each_of_many_connections_need_not_wait() {
    let way = Wiring { delay: 20 * MICROSECOND, ..Wiring::default() };
    let mut net = hosts(way, 0);
    let now = idle_connections(&mut net, 100);
    for exchange in 0..100 {
        assert!(net.write_one(exchange, false, 1_000));
    }
    net.run(now.plus(450 * MICROSECOND));
    assert_eq!(net.programs.compared, 110_000);
}

/// What is no more than a packet does not wait until many that have more have had their turns.
#[test]
fn a_little_on_one_connection_goes_before_much_on_others() {
    let way = Wiring { delay: 20 * MICROSECOND, ..Wiring::default() };
    let mut net = hosts(way, 0);
    let now = idle_connections(&mut net, 41);
    for exchange in 0..40 {
        assert!(net.write_one(exchange, false, 40_000));
    }
    assert!(net.write_one(40, false, 1_000));
    let mut passed = 0;
    while !net.state_of(40, true).contains("arrived 1100") {
        passed += 10;
        net.run(now.plus(passed * MICROSECOND));
    }
    assert!(passed < 150, "{passed} us");
    // And these have theirs.
    net.run(now.plus(20 * MILLISECOND));
    assert_eq!(net.programs.compared, 41 * 100 + 40 * 40_000 + 1_000);
}
