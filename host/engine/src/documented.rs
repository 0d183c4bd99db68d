// SPDX-License-Identifier: GPL-2.0

//! What reliable.rst says, against what is done: its constants, and the frames of its example.

use crate::{
    engine::{
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
    wire::ETHERTYPE, //
};

const PAGE: &str = include_str!("../../../Documentation/networking/emt/reliable.rst");

/// Returns the lines of a section of the page, without its title.
fn section(title: &str) -> impl Iterator<Item = &'static str> {
    let (mut lines, mut found) = (PAGE.lines().peekable(), false);
    while let Some(line) = lines.next() {
        if line == title && lines.peek().is_some_and(|under| under.starts_with("===")) {
            lines.next();
            found = true;
            break;
        }
    }
    assert!(found, "reliable.rst has no section {title}");
    let mut before = "";
    lines.take_while(move |line| {
        let ended = line.starts_with("===") && line.len() == before.len() && !before.contains("==");
        before = line;
        !ended
    })
}

/// All of limits.rs; a new one has to be put here and into the page.
const LIMITS: &[(&str, u64)] = &[
    ("WINDOW", limits::WINDOW as u64),
    ("MIN_SEGMENT", limits::MIN_SEGMENT as u64),
    ("MAX_MESSAGE", limits::MAX_MESSAGE as u64),
    ("ACK_DELAY", limits::ACK_DELAY),
    ("ACK_EVERY", limits::ACK_EVERY as u64),
    ("FIRST_RTO", limits::FIRST_RTO),
    ("MIN_RTO", limits::MIN_RTO),
    ("MAX_RTO", limits::MAX_RTO),
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

#[test]
fn each_constant_is_in_the_page_with_its_value() {
    let mut documented = Vec::new();
    for line in section("Constants") {
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
    assert_eq!(documented, LIMITS);
    let source = include_str!("../../../net/emt/engine/limits.rs");
    let count = source.matches("pub(crate) const ").count();
    assert_eq!(count, LIMITS.len(), "limits.rs has others");
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
    let frames = net
        .recorded()
        .map(|(from, to, packet)| frame(from, to, packet));
    let expected: Vec<String> = frames.flat_map(|frame| print(&frame)).collect();
    let page: Vec<&str> = section("A worked exchange")
        .filter(|line| {
            line.get(4..11)
                .is_some_and(|offset| offset.ends_with("   "))
        })
        .filter(|line| u16::from_str_radix(&line[4..8], 16).is_ok())
        .collect();
    assert!(page == expected, "what happens is\n{}", expected.join("\n"));
}
