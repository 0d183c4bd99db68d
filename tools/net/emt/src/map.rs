// SPDX-License-Identifier: GPL-2.0

//! The map of this process, which the environment names: children have the same.

use crate::table::Table;
use std::{
    env, fs, ptr,
    sync::atomic::{
        AtomicPtr,
        Ordering::{
            Acquire,
            Release, //
        },
    },
};

/// The environment variable with the file's name; emt-run sets it.
const VARIABLE: &str = "EMT_MAP";

static NOTHING: Table = Table {
    peers: Vec::new(),
    locals: Vec::new(),
    listen_all: false,
};

static TABLE: AtomicPtr<Table> = AtomicPtr::new(ptr::null_mut());

/// The map; before it has been read, nothing is mapped.
pub(crate) fn table() -> &'static Table {
    // SAFETY: A pointer that is not null is that of a table that is never freed, from `read`.
    unsafe { TABLE.load(Acquire).as_ref() }.unwrap_or(&NOTHING)
}

/// Reads it. With a map that cannot be used, everything stays IP, and that is said: the program may
/// be the child of one that has given up the right to read the file.
pub(crate) fn read() {
    let Some(file) = env::var_os(VARIABLE) else {
        return;
    };
    let table = fs::read_to_string(&file)
        .map_err(|error| error.to_string())
        .and_then(|text| Table::parse(&text).map_err(|mistake| mistake.to_string()));
    match table {
        Ok(table) => TABLE.store(Box::leak(Box::new(table)), Release),
        Err(what) => eprintln!(
            "emt-preload: {}: {what}; all stays IP",
            file.to_string_lossy()
        ),
    }
}
