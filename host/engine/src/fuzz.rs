// SPDX-License-Identifier: GPL-2.0

//! What the fuzz targets call, and the tests that run it on what a generator and the kept inputs
//! bring.

use crate::{
    addr::SockaddrEmt,
    engine::host::Ports,
    frame::{
        self,
        Parsed, //
    },
    wire::{
        control::{
            Block,
            Blocks,
            MAX_BLOCKS, //
        },
        cut,
        reliable::{
            Segment,
            SEGMENT_LEN, //
        },
        Addresses, //
    },
};
use zerocopy::FromBytes;

/// What a parsed packet says, to compare.
fn said(parsed: &Parsed<'_>) -> String {
    match parsed {
        Parsed::Control(control, blocks) => {
            format!("{control:?} {:?}", blocks.iter().collect::<Vec<Block>>())
        }
        other => format!("{other:?}"),
    }
}

/// Whatever the bytes are, parsing them does not panic, and what it understands survives being
/// emitted and parsed.
pub fn parse(bytes: &[u8]) {
    if let Some(header) = bytes.first_chunk() {
        let addresses = Addresses::parse(header);
        let _ = (addresses.are_plausible(), addresses.memory_sum());
    }
    if let Ok((address, _)) = SockaddrEmt::read_from_prefix(bytes) {
        if let Ok(name) = address.parse() {
            assert_eq!(SockaddrEmt::from(name).parse(), Ok(name));
            let _ = name.destination();
        }
    }
    let Ok(parsed) = frame::parse(bytes) else {
        return;
    };
    if let Parsed::Control(_, blocks) = &parsed {
        assert!(blocks.iter().count() <= MAX_BLOCKS);
        assert_eq!(
            Blocks::from_bytes(blocks.as_bytes()).as_bytes(),
            blocks.as_bytes()
        );
    }
    if let (Parsed::Segment(segment, ports, payload), Some(headers)) =
        (&parsed, bytes.first_chunk())
    {
        cut_segment(headers, segment, *ports, payload);
    }
    let Some(emitted) = frame::emit_again(&parsed) else {
        panic!("what was parsed fits in a packet: {parsed:?}");
    };
    assert!(emitted.len() <= bytes.len());
    match frame::parse(&emitted) {
        Ok(again) => assert_eq!(said(&again), said(&parsed)),
        Err(refusal) => panic!("{refusal:?}: {parsed:?}"),
    }
}

/// A packet of the second half of a piece says what the piece does, and where it belongs.
fn cut_segment(headers: &[u8; SEGMENT_LEN], segment: &Segment, ports: Ports, payload: &[u8]) {
    let (_, rest) = payload.split_at(payload.len() / 2);
    let into = (payload.len() - rest.len()) as u32;
    match (
        segment.offset.checked_add(into),
        cut::cut(headers, into, rest.len(), true),
    ) {
        (None, cut) => assert_eq!(cut, None),
        (Some(_), None) => panic!("{segment:?} cannot be cut"),
        (Some(offset), Some(headers)) => {
            let expected = Parsed::Segment(Segment { offset, ..*segment }, ports, rest);
            let packet = [&headers, rest].concat();
            let parsed = frame::parse(&packet);
            assert_eq!(parsed.as_ref().map(said), Ok(said(&expected)));
        }
    }
}

/// Whatever a peer does, nothing panics, caps hold, and nothing stays when it is gone.
pub fn hostile(bytes: &[u8]) {
    crate::net::hostile(bytes);
}

/// As [`hostile`], to who has connections.
pub fn flows(bytes: &[u8]) {
    crate::net::hostile_flows(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A packet that gets past the common header.
    fn packet() -> impl Strategy<Value = Vec<u8>> {
        let kind = 0..9u8;
        let body = prop::collection::vec(any::<u8>(), 0..400);
        (kind, any::<[u8; 4]>(), body, 0..40usize, any::<bool>()).prop_map(
            |(kind, ports, mut body, padding, blocks)| {
                // The kinds without ports are refused with them.
                let ports = if matches!(kind, 2 | 3 | 6) {
                    [0; 4]
                } else {
                    ports
                };
                // So are the verbs of connections.
                if let (7, Some(verb)) = (kind, body.get_mut(38)) {
                    *verb %= 8;
                }
                // The kinds of control blocks are few.
                if blocks {
                    for block in body.iter_mut().skip(24).step_by(16) {
                        *block %= 8;
                    }
                    let whole = body.len().saturating_sub(24) / 16 * 16;
                    body.resize(24 + whole.min(256), 0);
                }
                let length = (12 + body.len()) as u16;
                let mut bytes = vec![0x45, 0x4d, 1, kind];
                bytes.extend_from_slice(&length.to_be_bytes());
                bytes.extend_from_slice(&[0, 0]);
                bytes.extend_from_slice(&ports);
                bytes.append(&mut body);
                bytes.resize(bytes.len() + padding, 0);
                bytes
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 20_000,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn any_bytes_can_be_parsed(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            parse(&bytes);
        }

        #[test]
        fn what_is_understood_survives(bytes in packet()) {
            parse(&bytes);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 3_000,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn a_hostile_peer_does_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
            hostile(&bytes);
        }

        #[test]
        fn a_hostile_peer_of_connections_does_no_harm(
            bytes in prop::collection::vec(any::<u8>(), 0..3_000),
        ) {
            flows(&bytes);
        }
    }

    #[test]
    fn the_generator_reaches_every_kind() {
        use proptest::{
            strategy::ValueTree,
            test_runner::TestRunner, //
        };
        let mut runner = TestRunner::deterministic();
        let mut reached = [false; 7];
        for _ in 0..2_000 {
            let bytes = packet().new_tree(&mut runner).unwrap().current();
            match frame::parse(&bytes) {
                Ok(Parsed::Datagram(..)) => reached[0] = true,
                Ok(Parsed::Hello(..)) => reached[1] = true,
                Ok(Parsed::Reset(..)) => reached[2] = true,
                Ok(Parsed::Message(..)) => reached[3] = true,
                Ok(Parsed::Segment(..)) => reached[4] = true,
                Ok(Parsed::Control(_, blocks)) => reached[5] |= !blocks.as_bytes().is_empty(),
                Ok(Parsed::Flow(..)) => reached[6] = true,
                Err(_) => {}
            }
        }
        assert_eq!(reached, [true; 7]);
    }

    /// Runs a target on every input kept of it.
    fn run_kept(target: &str, run: fn(&[u8])) {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../fuzz/kept")
            .join(target);
        let mut count = 0;
        for entry in std::fs::read_dir(&folder).unwrap() {
            run(&std::fs::read(entry.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 0, "{} is empty", folder.display());
    }

    #[test]
    fn the_kept_inputs_of_parse_are_parsed() {
        run_kept("parse", parse);
    }
}
