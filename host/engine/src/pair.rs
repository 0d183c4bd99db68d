// SPDX-License-Identifier: GPL-2.0

//! A few hosts and every fault: what [`crate::net`] checks, over many schedules.

use crate::{
    engine::{
        host::Outcome,
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
        Flow,
        Net,
        Reader,
        Wiring,
        TIMEOUT, //
    },
};
use kernel::alloc::inject;
use proptest::prelude::*;

const PORT: u16 = 2000;
const START: Instant = Instant(SECOND);
const FAST: Reader = Reader::Rate(10_000_000_000);

fn hosts(seed: u64, count: usize, wiring: Wiring) -> Net {
    let mut net = Net::new(seed, count, wiring);
    for host in 0..count {
        net.listen(host, PORT, 1 << 20, FAST);
    }
    net
}

fn all_delivered(net: &Net) {
    for entry in &net.ledger.entries {
        assert_eq!(entry.outcome, Some(Outcome::Delivered), "{entry:?}");
    }
}

#[test]
fn a_message_of_each_size_arrives() {
    for len in [
        1,
        2,
        1431,
        1432,
        1433,
        1440,
        3000,
        64 << 10,
        1 << 20,
        16 << 20,
    ] {
        let mut net = hosts(len.into(), 2, Wiring::default());
        net.send(START, 0, 1, PORT, len);
        net.settle();
        all_delivered(&net);
    }
}

#[test]
fn a_ping_pong_costs_two_frames() {
    let mut net = hosts(1, 2, Wiring::default());
    const TIMES: u32 = 1_000;
    for at in 0..TIMES {
        let at = START.plus(Nanos::from(at) * 100 * MICROSECOND);
        net.send(at, 0, 1, PORT, 100);
        net.send(at.plus(50 * MICROSECOND), 1, 0, PORT, 100);
    }
    net.settle();
    all_delivered(&net);
    // The first frames are Hellos, the last are acknowledgements.
    assert!(
        net.counts.frames <= u64::from(2 * TIMES) + 10,
        "{:?}",
        net.counts
    );
}

/// What waits for a grant is not taken for lost, however many others are answered meanwhile.
#[test]
fn where_nothing_is_lost_nothing_is_sent_twice() {
    const LEN: u32 = 4_000;
    const COUNT: u32 = 400;
    let mut net = Net::new(9, 9, Wiring::default());
    net.listen(0, PORT, 64 << 20, FAST);
    for from in 1..9 {
        for _ in 0..COUNT / 8 {
            net.send(START, from, 0, PORT, LEN);
        }
    }
    net.settle();
    all_delivered(&net);
    assert_eq!(net.counts.overflowed, 0);
    // Three packets each, and less than one for grants and acknowledgments.
    assert!(net.counts.frames < u64::from(4 * COUNT), "{:?}", net.counts);
}

/// Who cannot send more before a long message is delivered is told of that at once.
#[test]
fn a_long_message_that_is_waited_for_is_acknowledged_at_once() {
    let mut net = hosts(5, 2, Wiring::default());
    let flow = Flow {
        from: 0,
        to: 1,
        port: PORT,
        len: 100_000,
        left: 2,
    };
    net.flow(START, flow, 1);
    net.settle();
    all_delivered(&net);
    // The first is one that is waited for, see `is_awaited`; 100,000 bytes take 80 us.
    let [first, second] = &net.ledger.entries[..] else {
        panic!("{:?}", net.ledger.entries);
    };
    let delivered = first.delivered.unwrap();
    let idle = second.submitted.since(delivered);
    assert!(idle < 20 * MICROSECOND, "{idle} ns");
}

/// A long message whose beginning is lost is sent again although short ones are answered all the
/// time.
#[test]
fn a_lost_beginning_is_noticed_among_others_that_are_answered() {
    let mut net = hosts(11, 2, Wiring::default());
    let lost = Faults {
        lost: 1_000_000,
        ..Faults::default()
    };
    for at in 0..3_000 {
        net.send(START.plus(at * MILLISECOND), 0, 1, PORT, 100);
    }
    let begin = START.plus(100 * MILLISECOND + 500 * MICROSECOND);
    net.set_faults(begin, lost);
    net.send(begin, 0, 1, PORT, 200_000);
    net.set_faults(begin.plus(200 * MICROSECOND), Faults::default());
    net.settle();
    all_delivered(&net);
    let long = net.ledger.entries.iter().find(|entry| entry.len == 200_000);
    let took = long
        .and_then(|long| long.delivered)
        .map(|at| at.since(begin));
    assert!(
        took.is_some_and(|took| took < 100 * MILLISECOND),
        "{took:?} ns"
    );
}

/// And one that never gets through ends, although none of its turns ever comes by time: all that is
/// sent meanwhile is less than a window, and closer together than a timeout.
#[test]
fn what_never_gets_through_ends_although_others_are_answered() {
    const PATIENCE: Nanos = 500 * MILLISECOND;
    let mut net = hosts(12, 2, Wiring::default());
    net.set_longest_frame(1_000);
    for at in 0..900 {
        net.send(START.plus(at * MILLISECOND), 0, 1, PORT, 100);
    }
    let begin = START.plus(10 * MILLISECOND);
    net.send_within(PATIENCE, begin, 0, 1, PORT, 1_400);
    net.run(begin.plus(PATIENCE).plus(20 * MILLISECOND));
    let mut entries = net.ledger.entries.iter();
    let entry = entries.find(|entry| entry.len == 1_400);
    assert_eq!(
        entry.and_then(|entry| entry.outcome),
        Some(Outcome::TimedOut)
    );
}

#[test]
fn two_that_begin_at_about_the_same_time_come_together() {
    let wiring = Wiring {
        delay: 2 * MILLISECOND,
        ..Wiring::default()
    };
    for after in (0..10 * MILLISECOND).step_by(100_000) {
        let mut net = hosts(after, 2, wiring);
        for at in 0..20 {
            let at = START.plus(at * 500 * MICROSECOND);
            net.send(at, 0, 1, PORT, 100);
            net.send(at.plus(after), 1, 0, PORT, 100);
        }
        net.settle();
        all_delivered(&net);
    }
}

/// A host restarts while its first message is late, and the other opens an association meanwhile:
/// the late message is of none, or it would take the number of another.
#[test]
fn an_epoch_is_of_one_association_only() {
    let mut net = hosts(7, 2, Wiring::default());
    let late = Faults {
        late: 1_000_000,
        late_by: SECOND,
        ..Faults::default()
    };
    net.send(START, 1, 0, PORT, 10);
    net.set_faults(START.plus(9 * MICROSECOND), late);
    net.set_faults(START.plus(20 * MICROSECOND), Faults::default());
    net.restart(START.plus(21 * MICROSECOND), 1);
    net.send(START.plus(40 * MICROSECOND), 0, 1, PORT, 20);
    net.send(START.plus(2 * SECOND), 1, 0, PORT, 30);
    net.settle();
    let delivered = |len| {
        let mut entries = net.ledger.entries.iter();
        entries.any(|entry| entry.len == len && entry.delivered.is_some())
    };
    assert!(delivered(20) && delivered(30));
}

#[test]
fn each_fault_alone_loses_nothing() {
    let late = |late_by| Faults {
        late: 200_000,
        late_by,
        ..Faults::default()
    };
    let lost = |lost| Faults {
        lost,
        ..Faults::default()
    };
    let all = [
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
    ];
    for (seed, faults) in all.into_iter().enumerate() {
        for delay in [0, 50 * MICROSECOND, 5 * MILLISECOND] {
            let wiring = Wiring {
                delay,
                ..Wiring::default()
            };
            let mut net = hosts(seed as u64, 2, wiring);
            net.set_faults(Instant(0), faults);
            for at in 0..200u32 {
                let len = [1, 100, 1400, 5_000, 100_000][at as usize % 5];
                let at = START.plus(Nanos::from(at) * 300 * MICROSECOND);
                net.send(at, 0, 1, PORT, len);
                net.send(at, 1, 0, PORT, 100);
            }
            net.run(Instant(20 * SECOND));
            net.settle();
            all_delivered(&net);
        }
    }
}

#[test]
fn many_senders_to_a_slow_reader_lose_nothing() {
    let mut net = Net::new(3, 17, Wiring::default());
    net.listen(0, PORT, 212_992, Reader::Rate(20_000_000));
    for from in 1..17 {
        let flow = Flow {
            from,
            to: 0,
            port: PORT,
            len: 1_000,
            left: 500,
        };
        net.flow(START, flow, 64);
    }
    net.settle();
    all_delivered(&net);
    assert_eq!(net.ledger.entries.len(), 16 * 500);
}

#[test]
fn a_reader_that_stops_is_waited_for() {
    let mut net = Net::new(4, 2, Wiring::default());
    net.listen(1, PORT, 50_000, Reader::Stopped);
    for _ in 0..300 {
        net.send(START, 0, 1, PORT, 1_000);
    }
    net.run(Instant(30 * SECOND));
    let open = |net: &Net| {
        net.ledger
            .entries
            .iter()
            .filter(|entry| entry.outcome.is_none())
            .count()
    };
    assert!(open(&net) > 200, "{} wait", open(&net));
    net.settle();
    all_delivered(&net);
}

#[test]
fn a_closed_port_refuses_and_nobody_at_all_is_unreachable() {
    let mut net = Net::new(5, 3, Wiring::default());
    net.send(START, 0, 1, PORT, 10);
    net.send(START, 0, 1, PORT, 100_000);
    net.settle();
    for entry in &net.ledger.entries {
        assert!(
            matches!(entry.outcome, Some(Outcome::Refused(_))),
            "{entry:?}"
        );
    }
    let mut net = hosts(5, 2, Wiring::default());
    net.set_faults(
        Instant(0),
        Faults {
            lost: 1_000_000,
            ..Faults::default()
        },
    );
    net.send(START, 0, 1, PORT, 10);
    net.run(Instant(10 * SECOND));
    assert_eq!(net.ledger.entries[0].outcome, Some(Outcome::Unreachable));
}

#[test]
fn a_restart_at_any_moment_delivers_nothing_twice() {
    for seed in 0..300 {
        let mut net = hosts(seed, 2, Wiring::default());
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
        for at in 0..100u64 {
            let len = [1, 100, 1_400, 20_000][at as usize % 4];
            net.send(START.plus(at * 100 * MICROSECOND), 0, 1, PORT, len);
            net.send(START.plus(at * 100 * MICROSECOND), 1, 0, PORT, len);
        }
        net.restart(START.plus(seed * 37 * MICROSECOND), 1);
        net.restart(START.plus(seed * 61 * MICROSECOND), 0);
        net.run(Instant(5 * SECOND));
        net.settle();
    }
}

/// What happens, and when.
#[derive(Clone, Debug)]
enum Step {
    Send(usize, usize, u32),
    Restart(usize),
    Faults(Faults),
    Reader(usize, Reader),
    Close(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let host = 0..3usize;
    let len = prop_oneof![
        80 => 1..3_000u32,
        40 => 1..200_000u32,
        20 => (64u32 << 10)..(2u32 << 20),
        1 => (2u32 << 20)..=(16u32 << 20),
    ];
    let faults = (
        0..400_000u32,
        0..400_000u32,
        0..400_000u32,
        0..8_000_000u64,
        0..100_000u32,
    )
        .prop_map(|(lost, duplicated, late, late_by, replayed)| Faults {
            lost,
            duplicated,
            late,
            late_by,
            replayed,
        });
    let reader = prop_oneof![
        Just(Reader::Stopped),
        (1_000_000..10_000_000_000u64).prop_map(Reader::Rate)
    ];
    prop_oneof![
        40 => (host.clone(), 1..3usize, len)
            .prop_map(|(from, by, len)| Step::Send(from, (from + by) % 3, len)),
        1 => host.clone().prop_map(Step::Restart),
        2 => faults.prop_map(Step::Faults),
        2 => (host.clone(), reader).prop_map(|(host, reader)| Step::Reader(host, reader)),
        1 => host.prop_map(Step::Close),
    ]
}

fn wiring() -> impl Strategy<Value = Wiring> {
    (
        prop_oneof![
            Just(100_000_000u64),
            Just(1_000_000_000),
            Just(10_000_000_000)
        ],
        0..2_000_000u64,
        80_000..1_000_000u64,
        prop_oneof![Just(1500u32), Just(9000), Just(576)],
        1..50u32,
        any::<bool>(),
    )
        .prop_map(|(rate, delay, buffer, mtu, together, whole)| Wiring {
            rate,
            delay,
            buffer,
            mtu,
            together,
            whole,
        })
}

fn cases(default: u32) -> ProptestConfig {
    let cases = std::env::var("EMT_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok());
    ProptestConfig {
        cases: cases.unwrap_or(default),
        failure_persistence: None,
        max_shrink_time: 60_000,
        ..ProptestConfig::default()
    }
}

/// All that is decided before the first packet goes out.
#[derive(Clone, Debug)]
struct Schedule {
    seed: u64,
    wiring: Wiring,
    capacity: u64,
    steps: Vec<(Nanos, Step)>,
    shortage: u16,
}

fn schedule() -> impl Strategy<Value = Schedule> {
    (
        any::<u64>(),
        wiring(),
        5_000..2_000_000u64,
        prop::collection::vec((0..3_000_000u64, step()), 1..120),
        prop_oneof![3 => Just(0u16), 1 => 0..20_000u16],
    )
        .prop_map(|(seed, wiring, capacity, steps, shortage)| Schedule {
            seed,
            wiring,
            capacity,
            steps,
            shortage,
        })
}

fn follow(schedule: &Schedule) {
    let shortage = schedule.shortage;
    let _shortage = (shortage > 0).then(|| inject::chance(shortage, schedule.seed));
    let mut net = Net::new(schedule.seed, 3, schedule.wiring);
    for host in 0..3 {
        net.listen(host, PORT, schedule.capacity, FAST);
    }
    let mut at = START;
    for (after, step) in &schedule.steps {
        at = at.plus(*after);
        match *step {
            Step::Send(from, to, len) => net.send(at, from, to, PORT, len),
            Step::Restart(host) => net.restart(at, host),
            Step::Faults(faults) => net.set_faults(at, faults),
            Step::Reader(host, reader) => net.set_reader(at, host, PORT, reader),
            Step::Close(host) => net.close(at, host, PORT),
        }
    }
    net.run(at.plus(SECOND));
    drop(_shortage);
    net.settle();
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn whatever_happens_nothing_is_lost_and_nothing_is_held(schedule in schedule()) {
        follow(&schedule);
    }
}

/// Returns the schedule that has a number.
fn numbered(number: u64) -> Schedule {
    use proptest::{
        strategy::ValueTree,
        test_runner::{
            RngAlgorithm,
            TestRng,
            TestRunner, //
        },
    };
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), rng);
    schedule().new_tree(&mut runner).unwrap().current()
}

/// Goes through the schedules `EMT_SCHEDULES=from..to` and tells which fail: what the property above
/// does, where one that fails can be run again alone.
#[test]
fn numbered_schedules_hold_too() {
    let range = std::env::var("EMT_SCHEDULES").unwrap_or_else(|_| "0..100".into());
    let range = range
        .split_once("..")
        .and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    let range: std::ops::Range<u64> = range.expect("EMT_SCHEDULES=from..to");
    let mut failed = Vec::new();
    for number in range {
        let schedule = numbered(number);
        if std::panic::catch_unwind(|| follow(&schedule)).is_err() {
            failed.push(number);
        }
    }
    assert!(failed.is_empty(), "these schedules fail: {failed:?}");
}
