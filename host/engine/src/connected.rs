// SPDX-License-Identifier: GPL-2.0

//! Connections, and every fault.

use crate::{
    engine::{
        host::{
            Bearing,
            Outcome, //
        },
        limits::GRANTED_BYTES,
        time::{
            Instant,
            Nanos,
            MICROSECOND,
            MILLISECOND,
            SECOND, //
        },
    },
    net::{
        Faults,
        Net,
        Wiring, //
    },
    program::{
        Exchange,
        Script, //
    },
};

const PORT: u16 = 80;
const START: Instant = Instant(SECOND);

const FAST: u64 = 10_000_000_000;

fn writes(writes: u32, len: u32) -> Script {
    Script {
        writes,
        len,
        reads: FAST,
        hurries: false,
    }
}

fn exchange(bearing: Bearing, scripts: [Script; 2]) -> Exchange {
    Exchange {
        client: 0,
        server: 1,
        port: PORT,
        bearing,
        scripts,
    }
}

fn hosts(seed: u64, wiring: Wiring, bearing: Bearing) -> Net {
    let mut net = Net::new(seed, 2, wiring);
    net.programs.listen(1, PORT, bearing, 128, 100_000);
    net
}

const BEARINGS: [Bearing; 2] = [Bearing::Stream, Bearing::Records];

#[test]
fn what_is_written_is_read_in_both_directions() {
    for bearing in BEARINGS {
        for (up, down) in [
            (writes(0, 1), writes(0, 1)),
            (writes(1, 1), writes(0, 1)),
            (writes(0, 1), writes(1, 1)),
            (writes(100, 10), writes(30, 1_000)),
            (writes(10, 100_000), writes(3_000, 7)),
            (writes(1, 3_000_000), writes(1, 1_448)),
        ] {
            let mut net = hosts(1, Wiring::default(), bearing);
            net.exchange(START, exchange(bearing, [up, down]));
            net.settle();
        }
    }
}

fn all_faults() -> Vec<Faults> {
    let late = |late_by| Faults {
        late: 200_000,
        late_by,
        ..Faults::default()
    };
    let lost = |lost| Faults {
        lost,
        ..Faults::default()
    };
    vec![
        lost(1_000),
        lost(10_000),
        lost(100_000),
        lost(300_000),
        late(20 * MICROSECOND),
        late(5 * MILLISECOND),
        Faults {
            duplicated: 300_000,
            late_by: MILLISECOND,
            ..Faults::default()
        },
        Faults {
            replayed: 300_000,
            ..Faults::default()
        },
        Faults {
            lost: 100_000,
            duplicated: 100_000,
            late: 100_000,
            late_by: MILLISECOND,
            replayed: 50_000,
        },
    ]
}

#[test]
fn each_fault_alone_loses_no_byte() {
    for (seed, faults) in all_faults().into_iter().enumerate() {
        for delay in [0, 50 * MICROSECOND, 5 * MILLISECOND] {
            for bearing in BEARINGS {
                let wiring = Wiring {
                    delay,
                    together: 1 + seed as u32 % 2 * 39,
                    ..Wiring::default()
                };
                println!("{seed} {delay} {bearing:?}");
                let mut net = hosts(seed as u64, wiring, bearing);
                net.set_faults(Instant(0), faults);
                for at in 0..20u32 {
                    let len = [1, 100, 1_400, 5_000, 100_000][at as usize % 5];
                    let scripts = [writes(10, len), writes(5, 1_000)];
                    let at = START.plus(Nanos::from(at) * 300 * MICROSECOND);
                    net.exchange(at, exchange(bearing, scripts));
                }
                net.run(Instant(30 * SECOND));
                net.settle();
            }
        }
    }
}

/// Losses make what goes unasked little; what is asked for goes on, the more the larger the buffers
/// grow. Without grants this takes nine times as long, and without larger buffers then four times.
#[test]
fn a_lossy_way_is_still_a_fast_one() {
    let rooms = [(100_000, 1_500), (4_000_000, 500)];
    for (bearing, (most_capacity, longest)) in BEARINGS.map(|one| rooms.map(|room| (one, room))).concat() {
        let wiring = Wiring {
            delay: MILLISECOND,
            ..Wiring::default()
        };
        let mut net = hosts(8, wiring, bearing);
        net.programs.manner.most_capacity = most_capacity;
        let faults = Faults {
            lost: 50_000,
            ..Faults::default()
        };
        net.set_faults(Instant(0), faults);
        let scripts = [writes(200, 50_000), writes(0, 1)];
        net.exchange(START, exchange(bearing, scripts));
        let (all, mut took) = (10_000_000, 0);
        while net.programs.compared < all {
            took += 10;
            assert!(took < 20_000, "{bearing:?}: {} bytes", net.programs.compared);
            net.run(START.plus(took * MILLISECOND));
        }
        println!("{bearing:?}, {most_capacity}: {} Mbit/s", all * 8 / took / 1_000);
        assert!(took < longest, "{bearing:?}, {most_capacity}: {took} ms");
        net.settle();
    }
}

/// The same for several connections: each has its grants, and none waits for another's share of
/// what goes unasked.
#[test]
fn a_lossy_way_is_shared() {
    let wiring = Wiring {
        delay: MILLISECOND,
        ..Wiring::default()
    };
    let mut net = hosts(9, wiring, Bearing::Stream);
    let faults = Faults {
        lost: 50_000,
        ..Faults::default()
    };
    net.set_faults(Instant(0), faults);
    for _ in 0..8 {
        net.exchange(START, exchange(Bearing::Stream, [writes(40, 50_000), writes(0, 1)]));
    }
    let (all, mut took) = (8 * 2_000_000, 0);
    while net.programs.compared < all {
        took += 10;
        assert!(took < 20_000, "{} bytes", net.programs.compared);
        net.run(START.plus(took * MILLISECOND));
    }
    println!("{} Mbit/s", all * 8 / took / 1_000);
    assert!(took < 1_000, "{took} ms");
    net.settle();
}

/// A way so long that it takes larger buffers to make use of it, up to what a device grants at once.
#[test]
fn buffers_grow_to_what_is_under_way() {
    let wiring = Wiring {
        delay: 100 * MILLISECOND,
        ..Wiring::default()
    };
    let mut net = hosts(8, wiring, Bearing::Stream);
    net.programs.manner.most_capacity = 4_000_000;
    net.exchange(START, exchange(Bearing::Stream, [writes(80, 50_000), writes(0, 1)]));
    let mut trips = 0;
    while net.programs.compared < 4_000_000 {
        trips += 1;
        assert!(trips < 100, "{} bytes", net.programs.compared);
        net.run(START.plus(trips * 400 * MILLISECOND));
    }
    println!("{trips} round trips");
    // Two to open, one with what goes unasked, one with the first buffer.
    let granted = 4_000_000_u64.div_ceil(GRANTED_BYTES.into());
    assert!(trips <= 4 + granted, "{trips} round trips");
    net.settle();
}

/// A thousand connections that write, end and close at once: every byte arrives.
#[test]
fn nothing_is_lost_at_the_end() {
    for bearing in BEARINGS {
        let mut net = hosts(5, Wiring::default(), bearing);
        let faults = Faults {
            lost: 50_000,
            ..Faults::default()
        };
        net.set_faults(Instant(0), faults);
        let hurried = Script {
            hurries: true,
            ..writes(1, 700)
        };
        for at in 0..1_000u64 {
            let scripts = [hurried, writes(0, 1)];
            net.exchange(
                START.plus(at * 200 * MICROSECOND),
                exchange(bearing, scripts),
            );
        }
        net.run(Instant(30 * SECOND));
        net.settle();
        assert_eq!(net.programs.compared, 700_000);
    }
}

#[test]
fn nobody_listens_or_not_to_that() {
    let mut net = hosts(6, Wiring::default(), Bearing::Stream);
    net.programs.may_break = true;
    net.exchange(START, exchange(Bearing::Records, [writes(1, 1); 2]));
    let other = Exchange {
        port: 81,
        ..exchange(Bearing::Stream, [writes(1, 1); 2])
    };
    net.exchange(START, other);
    net.settle();
    for exchange in 0..2 {
        let end = net.programs.ends[&(exchange, false)];
        assert!(matches!(end, Err(Outcome::Refused(_))), "{end:?}");
    }
}

#[test]
fn nobody_at_all_is_unreachable() {
    let mut net = hosts(6, Wiring::default(), Bearing::Stream);
    net.programs.may_break = true;
    let faults = Faults {
        lost: 1_000_000,
        ..Faults::default()
    };
    net.set_faults(Instant(0), faults);
    net.exchange(START, exchange(Bearing::Stream, [writes(1, 1); 2]));
    net.run(Instant(10 * SECOND));
    net.settle();
    assert_eq!(net.programs.ends[&(0, false)], Err(Outcome::Unreachable));
}

#[test]
fn a_full_backlog_is_waited_for() {
    let mut net = Net::new(7, 2, Wiring::default());
    net.programs.listen(1, PORT, Bearing::Stream, 2, 100_000);
    for _ in 0..100 {
        net.exchange(START, exchange(Bearing::Stream, [writes(1, 100); 2]));
    }
    net.settle();
}

/// A reader that is slower than the network holds the writer back.
#[test]
fn a_slow_reader_is_waited_for() {
    for bearing in BEARINGS {
        let mut net = hosts(8, Wiring::default(), bearing);
        let slow = Script {
            reads: 5_000_000,
            ..writes(0, 1)
        };
        net.exchange(START, exchange(bearing, [writes(100, 50_000), slow]));
        net.settle();
    }
}

#[test]
fn a_bulk_transfer_fills_the_link() {
    for (rate, delay, together) in [
        (1_000_000_000, 10 * MICROSECOND, 40),
        (10_000_000_000, 2 * MICROSECOND, 40),
        (10_000_000_000, 2 * MICROSECOND, 1),
    ] {
        let wiring = Wiring {
            rate,
            delay,
            together,
            ..Wiring::default()
        };
        let mut net = hosts(9, wiring, Bearing::Stream);
        const LEN: u32 = 50_000_000;
        net.exchange(
            START,
            exchange(
                Bearing::Stream,
                [writes(LEN / 50_000, 50_000), writes(0, 1)],
            ),
        );
        let least = u64::from(LEN) * 8 * SECOND / rate;
        net.run(START.plus(least * 12 / 10));
        let share = net.useful(1, 0) as f64 / f64::from(LEN);
        println!("{rate} {together}: {share}");
        assert!(share > 0.99, "{rate}: {share} in 1.2 of the least time");
        net.settle();
    }
}

#[test]
fn a_restart_at_any_moment_breaks_off_and_mixes_nothing() {
    for seed in 0..200 {
        let mut net = hosts(seed, Wiring::default(), Bearing::Stream);
        net.programs.may_break = true;
        net.set_faults(
            Instant(0),
            Faults {
                replayed: 50_000,
                duplicated: 50_000,
                late: 50_000,
                late_by: MILLISECOND,
                lost: 10_000,
            },
        );
        for at in 0..40u64 {
            let len = [1, 100, 1_400, 20_000][at as usize % 4];
            net.exchange(
                START.plus(at * 200 * MICROSECOND),
                exchange(Bearing::Stream, [writes(10, len), writes(3, 3_000)]),
            );
        }
        net.restart(START.plus(seed * 37 * MICROSECOND), 1);
        net.restart(START.plus(seed * 61 * MICROSECOND), 0);
        net.run(Instant(5 * SECOND));
        net.settle();
    }
}

/// A buffer that is smaller than a packet is no reason to stand still.
#[test]
fn the_smallest_buffer_does() {
    for bearing in BEARINGS {
        for capacity in [1, 100, 1_000, 1_448, 2_000] {
            let mut net = Net::new(7, 2, Wiring::default());
            net.programs.listen(1, PORT, bearing, 2, capacity);
            net.exchange(
                START,
                exchange(bearing, [writes(3, 10_000), writes(1, 100)]),
            );
            net.settle();
        }
    }
}
