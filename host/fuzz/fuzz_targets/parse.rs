// SPDX-License-Identifier: GPL-2.0

//! Bytes from the wire.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| engine::fuzz::parse(bytes));
