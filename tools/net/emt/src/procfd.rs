// SPDX-License-Identifier: GPL-2.0

//! What the process's descriptors refer to, as /proc says: other descriptors of a socket, and the
//! epoll instances that watch it. Without /proc, nothing is found. Allocates nothing.

use crate::sys;
use libc::c_int;
use std::{
    ffi::CStr,
    fmt::Write, //
};

/// A list with a fixed end. What does not fit is left out.
pub(crate) struct List<T: Copy, const N: usize> {
    items: [Option<T>; N],
    len: usize,
}

impl<T: Copy, const N: usize> List<T, N> {
    pub(crate) fn new() -> Self {
        let items = [None; N];
        Self { items, len: 0 }
    }

    pub(crate) fn push(&mut self, item: T) {
        if let Some(room) = self.items.get_mut(self.len) {
            *room = Some(item);
            self.len += 1;
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = T> + '_ {
        self.items.iter().flatten().copied()
    }
}

/// A socket in an epoll instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Watch {
    pub(crate) epoll: c_int,
    pub(crate) fd: c_int,
    pub(crate) events: u32,
    pub(crate) data: u64,
}

/// All there is of one socket in this process.
pub(crate) struct Found {
    pub(crate) fds: List<c_int, 32>,
    pub(crate) watches: List<Watch, 64>,
}

/// Text that is put together on the stack; it always ends with a zero.
struct Text<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Text<N> {
    fn of(arguments: std::fmt::Arguments<'_>) -> Self {
        let bytes = [0; N];
        let mut text = Self { bytes, len: 0 };
        // Numbers in a path fit.
        let _ = text.write_fmt(arguments);
        text
    }

    fn as_path(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or(c"")
    }
}

impl<const N: usize> Write for Text<N> {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        let end = self.len + s.len();
        let room = self.bytes.get_mut(self.len..end).filter(|_| end < N);
        room.ok_or(std::fmt::Error)?.copy_from_slice(s.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// Looks for everything in this process that refers to the socket of `fd`.
pub(crate) fn look(fd: c_int) -> Found {
    let mut found = Found {
        fds: List::new(),
        watches: List::new(),
    };
    found.fds.push(fd);
    // Descriptors are those of the thread, which may have its own.
    let Ok(folder) = sys::open(c"/proc/thread-self/fd") else {
        return found;
    };
    let mut room = [0; 64];
    let own = Text::<16>::of(format_args!("{fd}"));
    if let Ok(len) = sys::readlink(folder, own.as_path(), &mut room) {
        let socket = room.get(..len).unwrap_or_default();
        if let Some(inode) = inode_of(socket) {
            each_entry(folder, |name, other| {
                let mut link = [0; 64];
                let Ok(len) = sys::readlink(folder, name, &mut link) else {
                    return;
                };
                let link = link.get(..len).unwrap_or_default();
                if link == socket && other != fd {
                    found.fds.push(other);
                } else if link == b"anon_inode:[eventpoll]" {
                    watches(other, inode, &mut found.watches);
                }
            });
        }
    }
    sys::close(folder);
    found
}

/// Takes the number out of `socket:[NUMBER]`.
fn inode_of(link: &[u8]) -> Option<u64> {
    let number = link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

/// Calls `f` with each name in a folder that is a number.
fn each_entry(folder: c_int, mut f: impl FnMut(&CStr, c_int)) {
    let mut room = [0; 2048];
    while let Ok(len @ 1..) = sys::getdents(folder, &mut room) {
        let mut entries = room.get(..len).unwrap_or_default();
        // struct linux_dirent64: inode, offset, length of the entry at 16, type at 18, name at 19.
        while let Some(length) = entries.get(16..).and_then(|rest| rest.first_chunk()) {
            let length = usize::from(u16::from_ne_bytes(*length));
            let Some((entry, rest)) = entries.split_at_checked(length.max(19)) else {
                return;
            };
            entries = rest;
            let name = CStr::from_bytes_until_nul(entry.get(19..).unwrap_or_default());
            if let Ok(name) = name {
                if let Some(fd) = name.to_str().ok().and_then(|digits| digits.parse().ok()) {
                    f(name, fd);
                }
            }
        }
    }
}

/// Adds what an epoll instance has of a socket.
fn watches<const N: usize>(epoll: c_int, inode: u64, list: &mut List<Watch, N>) {
    let path = Text::<48>::of(format_args!("/proc/thread-self/fdinfo/{epoll}"));
    let Ok(info) = sys::open(path.as_path()) else {
        return;
    };
    let mut room = [0; 2048];
    let mut held = 0;
    while let Ok(len @ 1..) = sys::read(info, room.get_mut(held..).unwrap_or_default()) {
        let filled = held + len;
        let mut start = 0;
        let bytes = room.get(..filled).unwrap_or_default();
        while let Some(line) = (bytes
            .get(start..)
            .unwrap_or_default()
            .split_inclusive(|byte| *byte == b'\n')
            .next())
        .filter(|line| line.ends_with(b"\n"))
        {
            start += line.len();
            list_watch(epoll, inode, line, list);
        }
        held = filled - start;
        room.copy_within(start..filled, 0);
    }
    sys::close(info);
}

fn list_watch<const N: usize>(epoll: c_int, inode: u64, line: &[u8], list: &mut List<Watch, N>) {
    if let Some((watch, of)) = std::str::from_utf8(line).ok().and_then(parse_watch) {
        if of == inode {
            list.push(Watch { epoll, ..watch });
        }
    }
}

/// Takes a line such as `tfd: 5 events: 1d data: 5 pos:0 ino:1f8 sdev:8`, and returns the inode,
/// too.
fn parse_watch(line: &str) -> Option<(Watch, u64)> {
    fn number<'a>(line: &'a str, name: &str) -> Option<&'a str> {
        let (_, after) = line.split_once(name)?;
        after.split_whitespace().next()
    }
    let fd = number(line, "tfd:")?.parse().ok()?;
    let events = u32::from_str_radix(number(line, "events:")?, 16).ok()?;
    let data = u64::from_str_radix(number(line, "data:")?, 16).ok()?;
    let inode = u64::from_str_radix(number(line, "ino:")?, 16).ok()?;
    let watch = Watch {
        epoll: -1,
        fd,
        events,
        data,
    };
    Some((watch, inode))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_line_of_an_epoll_instance_is_understood() {
        let line = "tfd:        5 events: 8000001d data: ffffffff00000005  pos:0 ino:1f8 sdev:8\n";
        let watch = Watch {
            epoll: -1,
            fd: 5,
            events: 0x8000_001d,
            data: 0xffff_ffff_0000_0005,
        };
        assert_eq!(parse_watch(line), Some((watch, 0x1f8)));
        assert_eq!(parse_watch("pos:\t0\n"), None);
    }

    #[test]
    fn a_link_names_its_socket() {
        assert_eq!(inode_of(b"socket:[1234]"), Some(1234));
        assert_eq!(inode_of(b"anon_inode:[eventpoll]"), None);
        assert_eq!(inode_of(b"socket:[]"), None);
    }

    #[test]
    fn all_descriptors_and_watches_of_a_socket_are_found() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let second = socket.try_clone().unwrap();
        // SAFETY: The call takes no pointers.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        let other = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let events = libc::EPOLLIN as u32;
        // More than fits into one read.
        let mut more = Vec::new();
        for n in 0..60 {
            let one = other.try_clone().unwrap();
            sys::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, one.as_raw_fd(), events, n).unwrap();
            more.push(one);
        }
        let fd = socket.as_raw_fd();
        sys::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, events, 77).unwrap();
        let found = look(fd);
        let mut fds: Vec<_> = found.fds.iter().collect();
        fds.sort_unstable();
        let mut expected = [fd, second.as_raw_fd()];
        expected.sort_unstable();
        assert_eq!(fds, expected);
        let watches: Vec<_> = found.watches.iter().collect();
        assert_eq!(watches.len(), 1);
        assert_eq!(
            (watches[0].epoll, watches[0].fd, watches[0].data),
            (epoll, fd, 77)
        );
        assert_ne!(watches[0].events & events, 0);
        assert_eq!(look(more[0].as_raw_fd()).watches.iter().count(), 60);
        sys::close(epoll);
    }

    #[test]
    fn text_that_does_not_fit_is_cut_and_still_ends() {
        let text = Text::<8>::of(format_args!("{}", "123456789"));
        assert_eq!(text.as_path(), c"");
        let text = Text::<8>::of(format_args!("{}", 1234567));
        assert_eq!(text.as_path(), c"1234567");
    }
}
