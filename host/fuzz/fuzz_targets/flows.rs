// SPDX-License-Identifier: GPL-2.0

//! A peer that does whatever it likes with connections.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| engine::fuzz::flows(bytes));
