// SPDX-License-Identifier: GPL-2.0

//! What reliable.rst and flows.rst say, against what is done: their constants, and the frames of
//! their examples.

use crate::{
    engine::{
        connections::Act,
        host::Bearing,
        limits,
        time::{
            Instant,
            MICROSECOND,
            MILLISECOND,
            SECOND, //
        },
    },
    net::{
        Net,
        Reader,
        Wiring, //
    },
    program::{
        Exchange,
        Script, //
    },
    wire::ETHERTYPE, //
};

const RELIABLE: &str = include_str!("../../../Documentation/networking/emt/reliable.rst");
const FLOWS: &str = include_str!("../../../Documentation/networking/emt/flows.rst");

/// Returns the lines of a section of a page, without its title.
fn section(page: &'static str, title: &str) -> impl Iterator<Item = &'static str> {
    let (mut lines, mut found) = (page.lines().peekable(), false);
    while let Some(line) = lines.next() {
        if line == title && lines.peek().is_some_and(|under| under.starts_with("===")) {
            lines.next();
            found = true;
            break;
        }
    }
    assert!(found, "the page has no section {title}");
    let mut before = "";
    lines.take_while(move |line| {
        let ended = line.starts_with("===") && line.len() == before.len() && !before.contains("==");
        before = line;
        !ended
    })
}

/// Those of limits.rs that reliable.rst has. A new one goes here or below, and into the page.
const OF_MESSAGES: &[(&str, u64)] = &[
    ("WINDOW", limits::WINDOW as u64),
    ("MIN_SEGMENT", limits::MIN_SEGMENT as u64),
    ("MAX_MESSAGE", limits::MAX_MESSAGE as u64),
    ("ACK_DELAY", limits::ACK_DELAY),
    ("ACK_EVERY", limits::ACK_EVERY as u64),
    ("FIRST_RTO", limits::FIRST_RTO),
    ("MIN_RTO", limits::MIN_RTO),
    ("MAX_RTO", limits::MAX_RTO),
    ("MAX_GREETING", limits::MAX_GREETING),
    ("REORDERING", limits::REORDERING),
    ("QUEUEING", limits::QUEUEING),
    ("LEAST_AGE", limits::LEAST_AGE),
    ("USER_TIMEOUT", limits::USER_TIMEOUT),
    ("CONFIRM_AFTER", limits::CONFIRM_AFTER),
    ("PEER_IDLE", limits::PEER_IDLE),
    ("FIRST_WINDOW", limits::FIRST_WINDOW as u64),
    ("MIN_WINDOW", limits::MIN_WINDOW as u64),
    ("MAX_INCOMING", limits::MAX_INCOMING as u64),
    ("GAPS_AT_ONCE", limits::GAPS_AT_ONCE as u64),
    ("MAX_RUNS", limits::MAX_RUNS as u64),
    ("MAX_RESEND", limits::MAX_RESEND as u64),
    ("MAX_BLOCKS_WAITING", limits::MAX_BLOCKS_WAITING as u64),
    ("GRANTED_AT_ONCE", limits::GRANTED_AT_ONCE as u64),
    ("GRANTED_BYTES", limits::GRANTED_BYTES as u64),
    ("GRANTED_ALONE", limits::GRANTED_ALONE as u64),
    ("MAX_GRANTS_WAITING", limits::MAX_GRANTS_WAITING as u64),
    ("GRANT_STEP", limits::GRANT_STEP as u64),
    ("OLDEST_EACH", limits::OLDEST_EACH as u64),
    ("PARK_RETRY", limits::PARK_RETRY),
    ("MAX_WAITERS", limits::MAX_WAITERS as u64),
    ("MIN_SHARE", limits::MIN_SHARE as u64),
    ("PROMISE_TIME", limits::PROMISE_TIME),
    ("HEAD_IDLE", limits::HEAD_IDLE),
    ("INCOMING_IDLE", limits::INCOMING_IDLE),
];

/// Those that flows.rst has.
const OF_CONNECTIONS: &[(&str, u64)] = &[
    ("MAX_CONNECTIONS", limits::MAX_CONNECTIONS as u64),
    ("RECYCLE_AFTER", limits::RECYCLE_AFTER as u64),
    ("MAX_HALF_OPEN", limits::MAX_HALF_OPEN as u64),
    ("ACCEPT_TRIES", limits::ACCEPT_TRIES as u64),
    ("MAX_ASKED", limits::MAX_ASKED as u64),
    ("MIN_ASKED", limits::MIN_ASKED),
    ("ACK_BYTES", limits::ACK_BYTES as u64),
    ("ANSWERS_AT_ONCE", limits::ANSWERS_AT_ONCE as u64),
    ("CLOSED_TIME", limits::CLOSED_TIME),
    ("MORE_TIME", limits::MORE_TIME),
    ("KEEP_IDLE", limits::KEEP_IDLE),
    ("ORPHAN_TIME", limits::ORPHAN_TIME),
];

/// Returns the constants of a page, each with its value.
fn constants(page: &'static str) -> Vec<(&'static str, u64)> {
    let mut documented = Vec::new();
    for line in section(page, "Constants") {
        let mut words = line.split_whitespace();
        let (Some(name), Some(Ok(value))) = (words.next(), words.next().map(str::parse::<u64>))
        else {
            continue;
        };
        let unit = match words.next() {
            Some("us") => MICROSECOND,
            Some("ms") => MILLISECOND,
            _ => 1,
        };
        documented.push((name, value * unit));
    }
    documented
}

#[test]
fn each_constant_is_in_its_page_with_its_value() {
    assert_eq!(constants(RELIABLE), OF_MESSAGES);
    assert_eq!(constants(FLOWS), OF_CONNECTIONS);
    let source = include_str!("../../../net/emt/engine/limits.rs");
    let count = source.matches("pub(crate) const ").count();
    let known = OF_MESSAGES.len() + OF_CONNECTIONS.len();
    assert_eq!(count, known, "limits.rs has others");
}

/// Returns the frame that takes a packet from one host to another, with its checksum and padding.
fn frame(from: usize, to: usize, packet: &[u8]) -> Vec<u8> {
    let address = |host: usize| [2, 0, 0, 0, 0, host as u8 + 1];
    let mut frame = [&address(to), &address(from), &ETHERTYPE.to_be_bytes()[..]].concat();
    let mut summed = [&frame[..12], packet].concat();
    if summed.len() % 2 != 0 {
        summed.push(0);
    }
    let words = summed
        .chunks(2)
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    frame.extend(packet);
    frame[20..22].copy_from_slice(&(!sum as u16).to_be_bytes());
    frame.resize(frame.len().max(60), 0);
    frame
}

/// Returns a frame as the page prints it: the headers, and what follows if it is short.
fn print(frame: &[u8]) -> Vec<String> {
    const SHOWN: usize = 14 + 52;
    let (shown, dots) = match frame.len() {
        0..=112 => (frame, false),
        _ => (&frame[..SHOWN], true),
    };
    let mut lines: Vec<String> = shown
        .chunks(16)
        .enumerate()
        .map(|(at, bytes)| {
            let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("    {:04x}   {}", 16 * at, bytes.join(" "))
        })
        .collect();
    if let (true, Some(last)) = (dots, lines.last_mut()) {
        last.push_str(" ...");
    }
    lines
}

/// Compares what a page prints with the frames that there were, without the first `skip`.
fn compare(page: &'static str, net: &Net, skip: usize) {
    let frames = net
        .recorded()
        .skip(skip)
        .map(|(from, to, packet)| frame(from, to, packet));
    let expected: Vec<String> = frames.flat_map(|frame| print(&frame)).collect();
    let page: Vec<&str> = section(page, "A worked exchange")
        .filter(|line| {
            line.get(4..11)
                .is_some_and(|offset| offset.ends_with("   "))
        })
        .filter(|line| u16::from_str_radix(&line[4..8], 16).is_ok())
        .collect();
    assert!(page == expected, "what happens is\n{}", expected.join("\n"));
}

#[test]
fn the_worked_exchange_is_what_happens() {
    let mut net = Net::new(1, 2, Wiring::default());
    net.listen(1, 2000, 212_992, Reader::Rate(1_000_000_000));
    let start = Instant(SECOND);
    // Not sent any more. The bytes of the first would all be 0.
    net.send(start.plus(SECOND), 0, 1, 2000, 1);
    net.send(start, 0, 1, 2000, 5);
    net.send(start.plus(10 * MILLISECOND), 0, 1, 2000, 3000);
    net.run(start.plus(20 * MILLISECOND));
    compare(RELIABLE, &net, 0);
}

#[test]
fn the_worked_connection_is_what_happens() {
    let mut net = Net::new(1, 2, Wiring::default());
    net.programs.listen(1, 2000, Bearing::Stream, 1, 100_000);
    net.programs.manner.stay_open = true;
    let writes = |writes| Script {
        writes,
        len: 5,
        reads: 1_000_000_000,
        hurries: false,
    };
    let exchange = Exchange {
        client: 0,
        server: 1,
        port: 2000,
        bearing: Bearing::Stream,
        scripts: [writes(1), writes(0)],
    };
    let start = Instant(SECOND);
    net.exchange(start, exchange);
    net.run(start.plus(10 * MILLISECOND));
    net.act_of(0, false, Act::EndSending);
    net.run(start.plus(20 * MILLISECOND));
    net.act_of(0, true, Act::Close);
    net.run(start.plus(30 * MILLISECOND));
    // The two of the greeting are in the other page.
    compare(FLOWS, &net, 2);
}
