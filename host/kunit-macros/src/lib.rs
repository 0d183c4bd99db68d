// SPDX-License-Identifier: GPL-2.0

//! The attribute of KUnit suites, where `cargo test` runs them.

use proc_macro::TokenStream;

/// Makes a KUnit suite a module of ordinary tests; the suite's name goes unused.
#[proc_macro_attribute]
pub fn kunit_tests(_suite: TokenStream, module: TokenStream) -> TokenStream {
    let gate: TokenStream = match "#[cfg(test)]".parse() {
        Ok(gate) => gate,
        Err(error) => panic!("{error}"),
    };
    gate.into_iter().chain(module).collect()
}
