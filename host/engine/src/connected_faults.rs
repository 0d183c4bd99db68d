// SPDX-License-Identifier: GPL-2.0

//! Connections and what goes wrong with them: ends that do not come, windows that stay closed,
//! hostile peers.

use crate::{
    engine::{
        connections::Act,
        host::{
            Bearing,
            Outcome, //
        },
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
        Manner,
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

fn one(scripts: [Script; 2], manner: Manner) -> Net {
    let mut net = Net::new(1, 2, Wiring::default());
    net.programs.listen(1, PORT, Bearing::Stream, 128, 100_000);
    net.programs.may_break = true;
    net.programs.manner = manner;
    net.exchange(START, exchange(scripts));
    net
}

/// Of a program that never reads.
fn reads_nothing() -> Script {
    Script {
        reads: 0,
        ..writes(0, 1)
    }
}

/// A receive buffer in which packets take much more than their bytes, on a wire where so many in a
/// million are late, and some lost.
fn cramped(down: Script, late: u32) -> Net {
    let manner = Manner {
        overhead: 3_000,
        ..Manner::default()
    };
    let mut net = one([writes(400, 1_000), down], manner);
    let faults = Faults {
        late,
        late_by: MILLISECOND,
        lost: late / 4,
        ..Faults::default()
    };
    net.set_faults(Instant(0), faults);
    net
}

/// Returns how many frames go in the second ten seconds.
fn frames_at_last(net: &mut Net) -> u64 {
    net.run(START.plus(10 * SECOND));
    let before = net.counts.frames;
    net.run(START.plus(20 * SECOND));
    net.counts.frames - before
}

fn exchange(scripts: [Script; 2]) -> Exchange {
    Exchange {
        client: 0,
        server: 1,
        port: PORT,
        bearing: Bearing::Stream,
        scripts,
    }
}

fn lose_all(net: &mut Net, at: Instant, lost: bool) {
    let faults = Faults {
        lost: if lost { 1_000_000 } else { 0 },
        ..Faults::default()
    };
    net.set_faults(at, faults);
}

/// Who reads, and misses something, does not ask a peer for ever that has gone.
#[test]
fn who_asks_in_vain_for_what_is_missing_gives_up() {
    let manner = Manner {
        timeout: Some(2 * SECOND),
        stay_open: true,
        ..Manner::default()
    };
    let mut gave_up = 0;
    for cut in 20..40 {
        let mut net = one([writes(1_000, 10_000), writes(0, 1)], manner);
        let faults = Faults {
            lost: 300_000,
            ..Faults::default()
        };
        net.set_faults(START.plus(MILLISECOND), faults);
        lose_all(&mut net, START.plus(cut * MILLISECOND), true);
        net.run(START.plus(20 * SECOND));
        let timed_out = Some(&Err(Outcome::TimedOut));
        assert_eq!(net.programs.ends.get(&(0, false)), timed_out, "{cut}");
        // Unless nothing had come after what was lost.
        gave_up += u32::from(net.programs.ends.get(&(0, true)) == timed_out);
    }
    assert!(gave_up >= 10, "{gave_up} of 20 gave up");
}

/// `keep_alive()` moves `heard` each KEEP_IDLE, so that `silence` never gets longer than that.
#[test]
fn a_user_timeout_longer_than_a_minute_ends() {
    let manner = Manner {
        timeout: Some(90 * SECOND),
        stay_open: true,
        ..Manner::default()
    };
    let mut net = one([writes(0, 1); 2], manner);
    let at = START.plus(SECOND);
    net.run(at);
    lose_all(&mut net, at, true);
    net.run(at.plus(1));
    assert!(net.write_one(0, false, 1_000));
    net.run(at.plus(2_000 * SECOND));
    assert!(net.is_gone(0, false), "{}", net.state_of(0, false));
}

/// `kept_alive` stops at 255, and the deadline with it.
#[test]
fn keeping_alive_for_long_does_not_spin() {
    let manner = Manner {
        timeout: Some(600 * SECOND),
        keeps_alive: true,
        stay_open: true,
        ..Manner::default()
    };
    let mut net = one([writes(0, 1); 2], manner);
    let at = START.plus(SECOND);
    net.run(at);
    lose_all(&mut net, at, true);
    net.run(at.plus(310 * SECOND));
    let before = net.counts.frames;
    net.run(at.plus(320 * SECOND));
    let frames = net.counts.frames - before;
    assert!(frames < 100, "{frames} probes in ten seconds");
}

/// Somebody who reads nothing and answers probes keeps what a process has left behind.
#[test]
fn what_was_closed_does_not_wait_for_ever_for_a_reader() {
    let up = Script {
        hurries: true,
        ..writes(4, 50_000)
    };
    let mut net = one([up, reads_nothing()], Manner::default());
    net.run(START.plus(1_000 * SECOND));
    println!("{} frames", net.counts.frames);
    assert!(net.is_gone(0, false), "{}", net.state_of(0, false));
}

#[test]
fn a_window_that_stays_closed_is_asked_for_less_and_less_often() {
    let mut net = one([writes(4, 50_000), reads_nothing()], Manner::default());
    let frames = frames_at_last(&mut net);
    assert!(frames < 100, "{frames} frames in ten seconds for nothing");
}

/// The receive buffer has no memory for what it has let come, and nobody reads.
#[test]
fn what_finds_no_memory_is_not_sent_again_and_again() {
    for late in [0, 200_000] {
        let mut net = cramped(reads_nothing(), late);
        let frames = frames_at_last(&mut net);
        // What is under way is asked about after each sixteenth of the user's timeout.
        assert!(frames < 200, "{frames} frames in ten seconds for nothing");
    }
}

/// The same with somebody who reads, now and then.
#[test]
fn what_found_no_memory_comes_once_there_is_some() {
    for (late, reads) in [(0, 500_000), (0, FAST), (200_000, 500_000), (200_000, FAST)] {
        let down = Script {
            reads,
            ..writes(0, 1)
        };
        let mut net = cramped(down, late);
        net.run(START.plus(20 * SECOND));
        net.settle();
        assert_eq!(net.programs.compared, 400_000, "late {late}, {reads} B/s");
        assert_eq!(net.programs.ends.get(&(0, false)), Some(&Ok(())));
    }
}

/// The network is gone for 1.5 s, less than the timeout of the user, at any moment of the beginning.
#[test]
fn a_short_outage_breaks_no_connection() {
    let mut broken = Vec::new();
    let mut forsaken = Vec::new();
    for begin in 0..400u64 {
        let begin = START.plus(begin * MICROSECOND / 10);
        // The client waits to be spoken to.
        let mut net = one([writes(0, 1), writes(1, 100)], Manner::default());
        lose_all(&mut net, begin, true);
        lose_all(&mut net, begin.plus(1_500 * MILLISECOND), false);
        net.run(START.plus(60 * SECOND));
        if net.programs.ends.get(&(0, false)) != Some(&Ok(())) {
            broken.push(begin.0 - START.0);
        }
        // And if it does not even end what it sends.
        let manner = Manner {
            stay_open: true,
            ..Manner::default()
        };
        let mut net = one([writes(0, 1), writes(1, 100)], manner);
        lose_all(&mut net, begin, true);
        lose_all(&mut net, begin.plus(1_500 * MILLISECOND), false);
        net.run(START.plus(60 * SECOND));
        let state = net.state_of(0, false);
        if !state.contains("arrived 100") && !net.is_gone(0, false) {
            forsaken.push((begin.0 - START.0, state));
        }
    }
    assert!(
        broken.is_empty() && forsaken.is_empty(),
        "broken: {broken:?}, forsaken: {forsaken:?}"
    );
}

/// The only packet that says STOPPED is lost, and what is remembered does not say it again.
#[test]
fn who_writes_to_a_connection_that_is_over_learns_that() {
    let manner = Manner {
        stay_open: true,
        ..Manner::default()
    };
    let mut net = one([writes(0, 1); 2], manner);
    let at = START.plus(SECOND);
    net.run(at);
    net.act_of(0, false, Act::EndSending);
    net.run(at.plus(SECOND));
    let now = net.now;
    lose_all(&mut net, now, true);
    net.run(at.plus(SECOND + 1));
    net.act_of(0, false, Act::StopReceiving);
    net.run(at.plus(SECOND + 2 * MILLISECOND));
    assert!(net.is_gone(0, false));
    let now = net.now;
    lose_all(&mut net, now, false);
    net.run(at.plus(SECOND + 3 * MILLISECOND));
    assert!(net.write_one(0, true, 1_000));
    net.run(at.plus(1_000 * SECOND));
    println!("{} frames", net.counts.frames);
    let state = net.state_of(0, true);
    assert!(
        net.is_gone(0, true) || state.contains("stopped true"),
        "{state}"
    );
}

/// As the kernel has it: half open connections take no place of the backlog, and establishing one
/// fails where there is none. The program accepts one in ten milliseconds.
#[test]
fn a_backlog_that_is_full_for_a_while_breaks_no_connection() {
    let manner = Manner {
        kernels_backlog: true,
        ..Manner::default()
    };
    let mut net = Net::new(7, 2, Wiring::default());
    net.programs.listen(1, PORT, Bearing::Stream, 4, 100_000);
    net.programs.may_break = true;
    net.programs.manner = manner;
    for _ in 0..50 {
        net.exchange(START, exchange([writes(0, 1), writes(1, 100)]));
    }
    for turn in 0..1_000 {
        net.run(START.plus(turn * 10 * MILLISECOND));
        net.programs.accept_queue = net.programs.accept_queue.saturating_sub(1);
    }
    net.run(START.plus(100 * SECOND));
    let good = (0..50)
        .filter(|exchange| net.programs.ends.get(&(*exchange, false)) == Some(&Ok(())))
        .count();
    assert_eq!(good, 50);
}
