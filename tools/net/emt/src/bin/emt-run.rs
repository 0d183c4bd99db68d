// SPDX-License-Identifier: GPL-2.0

//! emt-run: starts a program with the library preloaded and a map.

use std::{
    env,
    ffi::OsString,
    fs, io,
    os::unix::process::CommandExt,
    path::{
        Path,
        PathBuf, //
    },
    process::{
        Command,
        ExitCode, //
    },
};

#[allow(dead_code)] // of these, little is needed here
#[path = "../family.rs"]
mod family;
#[allow(dead_code)]
#[path = "../table.rs"]
mod table;

const USAGE: &str = "\
usage: emt-run [--map FILE] [--library FILE] PROGRAM [ARGUMENT...]
       emt-run --check [--map FILE]

Runs PROGRAM with its TCP sockets as sockets of AF_EMT, for the addresses in FILE
(default: $EMT_MAP, or else /etc/emt.map). --check prints the map as it is understood.
";
const DEFAULT_MAP: &str = "/etc/emt.map";
const LIBRARY: &str = "libemt_preload.so";

/// The exit status of emt-run's own failures, and of a program that cannot be run or found, as
/// env(1) has them.
const FAILED: u8 = 125;
const CANNOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;

struct Request {
    map: PathBuf,
    library: Option<PathBuf>,
    check: bool,
    program: Vec<OsString>,
}

fn main() -> ExitCode {
    let request = match read_arguments(env::args_os().skip(1)) {
        Ok(Some(request)) => request,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(what) => {
            eprint!("emt-run: {what}\n{USAGE}");
            return ExitCode::from(FAILED);
        }
    };
    match run(&request) {
        Ok(()) => ExitCode::SUCCESS,
        Err((status, what)) => {
            eprintln!("emt-run: {what}");
            ExitCode::from(status)
        }
    }
}

/// `None`: only the usage is asked for.
fn read_arguments(mut words: impl Iterator<Item = OsString>) -> Result<Option<Request>, String> {
    let mut request = Request {
        map: env::var_os("EMT_MAP")
            .unwrap_or_else(|| DEFAULT_MAP.into())
            .into(),
        library: None,
        check: false,
        program: Vec::new(),
    };
    while let Some(word) = words.next() {
        let mut value = || {
            words
                .next()
                .ok_or(format!("{} needs a file", word.to_string_lossy()))
        };
        match word.to_str() {
            Some("--map") => request.map = value()?.into(),
            Some("--library") => request.library = Some(value()?.into()),
            Some("--check") => request.check = true,
            Some("--help" | "-h") => return Ok(None),
            Some("--") => {
                request.program.extend(words);
                break;
            }
            Some(option) if option.starts_with('-') => {
                return Err(format!("there is no option {option}"))
            }
            _ => {
                request.program.push(word);
                request.program.extend(words);
                break;
            }
        }
    }
    match (request.check, request.program.is_empty()) {
        (true, false) => Err("--check runs no program".into()),
        (false, true) => Err("name a program".into()),
        _ => Ok(Some(request)),
    }
}

fn run(request: &Request) -> Result<(), (u8, String)> {
    let failed = |what: String| (FAILED, what);
    let map = &request.map;
    let text =
        fs::read_to_string(map).map_err(|error| failed(format!("{}: {error}", map.display())))?;
    let table = table::Table::parse(&text)
        .map_err(|mistake| failed(format!("{}: {mistake}", map.display())))?;
    if request.check {
        print!("{table}");
        return Ok(());
    }
    family_is_there().map_err(failed)?;
    let library = library(request.library.as_deref()).map_err(failed)?;
    let map =
        fs::canonicalize(map).map_err(|error| failed(format!("{}: {error}", map.display())))?;
    let [program, arguments @ ..] = request.program.as_slice() else {
        return Err(failed("name a program".into()));
    };
    let mut preload = library.into_os_string();
    if let Some(others) = env::var_os("LD_PRELOAD").filter(|others| !others.is_empty()) {
        preload.push(":");
        preload.push(others);
    }
    let error = Command::new(program)
        .args(arguments)
        .env("LD_PRELOAD", preload)
        .env("EMT_MAP", map)
        .exec();
    let status = if error.kind() == io::ErrorKind::NotFound {
        NOT_FOUND
    } else {
        CANNOT_RUN
    };
    Err((status, format!("{}: {error}", program.to_string_lossy())))
}

/// Without it every connection would fail one by one.
fn family_is_there() -> Result<(), String> {
    if cfg!(feature = "stand-in") {
        return Ok(());
    }
    // SAFETY: The call takes no pointers.
    let fd = unsafe { libc::socket(family::AF_EMT, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    if fd >= 0 {
        // SAFETY: The descriptor is our own.
        unsafe { libc::close(fd) };
        return Ok(());
    }
    let error = io::Error::last_os_error();
    Err(match error.raw_os_error() {
        Some(libc::EAFNOSUPPORT) => {
            "this kernel has no AF_EMT: CONFIG_EMT is off, or try modprobe emt".into()
        }
        Some(libc::ESOCKTNOSUPPORT) => "this kernel's AF_EMT has no SOCK_STREAM".into(),
        _ => format!("socket(AF_EMT, SOCK_STREAM): {error}"),
    })
}

/// Finds the library beside this program, or where a prefix has it.
fn library(given: Option<&Path>) -> Result<PathBuf, String> {
    let here = env::current_exe().map_err(|error| format!("/proc/self/exe: {error}"))?;
    let folder = here.parent().unwrap_or(Path::new("/"));
    let candidates = match given {
        Some(file) => vec![file.to_path_buf()],
        None => vec![folder.join(LIBRARY), folder.join("../lib").join(LIBRARY)],
    };
    let found = candidates
        .iter()
        .find_map(|file| fs::canonicalize(file).ok());
    let Some(found) = found else {
        let places: Vec<_> = candidates
            .iter()
            .map(|file| file.display().to_string())
            .collect();
        return Err(format!(
            "the library is not at {}; name it with --library",
            places.join(" or ")
        ));
    };
    // The dynamic linker takes these as the ends of a name.
    match found.to_str() {
        Some(text) if text.contains([' ', ':']) => {
            Err(format!("{text}: LD_PRELOAD cannot name this path"))
        }
        _ => Ok(found),
    }
}
