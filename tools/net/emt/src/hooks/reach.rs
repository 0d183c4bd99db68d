// SPDX-License-Identifier: GPL-2.0

//! Calls that say whom a socket is to reach or be reached by: here sockets go over to EMT, and
//! back.

use crate::{
    addr::{
        self,
        Endpoint,
        Family, //
    },
    convert::{
        self,
        Successor, //
    },
    emt::{
        self,
        Name, //
    },
    iface,
    map,
    mark,
    names,
    next,
    plan::{
        Bind,
        Destination, //
    },
    sys,
    table::Table, //
};
use libc::{
    c_int,
    sockaddr,
    socklen_t, //
};
use std::{
    net::IpAddr,
    slice, //
};

/// What is to become of a call.
enum Way {
    /// It goes on as it is.
    On,
    /// It goes on with this name.
    With([u8; emt::NAME_LEN]),
    /// It has been done.
    Done,
}

/// Takes the address that a program passed.
///
/// # Safety
///
/// `name` is null or readable for `len` bytes.
unsafe fn endpoint_at(name: *const sockaddr, len: socklen_t) -> Option<(Endpoint, Family)> {
    if name.is_null() || len as usize > emt::STORAGE {
        return None;
    }
    // SAFETY: By the function's requirements.
    let bytes = unsafe { slice::from_raw_parts(name.cast::<u8>(), len as usize) };
    let family = if addr::is_v6(bytes) {
        Family::V6
    } else {
        Family::V4
    };
    Some((Endpoint::parse(bytes)?, family))
}

#[cfg_attr(not(test), no_mangle)]
unsafe extern "C" fn bind(fd: c_int, name: *const sockaddr, len: socklen_t) -> c_int {
    // SAFETY: The name is the program's.
    let way = match unsafe { endpoint_at(name, len) } {
        Some((endpoint, family)) => way_of_bind(fd, &endpoint, family),
        None => Ok(Way::On),
    };
    match way {
        // SAFETY: The arguments are the program's.
        Ok(Way::On) => unsafe { next::bind(fd, name, len) },
        // SAFETY: The name is readable for its length.
        Ok(Way::With(name)) => unsafe {
            next::bind(fd, name.as_ptr().cast(), name.len() as socklen_t)
        },
        Ok(Way::Done) => 0,
        Err(error) => sys::fail(error),
    }
}

fn way_of_bind(fd: c_int, endpoint: &Endpoint, family: Family) -> sys::Result<Way> {
    let table = map::table();
    if table.maps_nothing() {
        return Ok(Way::On);
    }
    // What is no address of the map with IPv4 is none without it.
    let stays = table.bind(endpoint.ip, Some(false)) == Bind::Ip;
    if emt::is_ours(fd) {
        // It is bound already, in which case the kernel says so, or its connecting has failed.
        let index = match stays {
            true => None,
            false => bind_index(fd, table, endpoint, family)?,
        };
        let index = index.ok_or(libc::EINVAL)?;
        let (port, mac) = (endpoint.port, None);
        return Ok(Way::With(Name { port, index, mac }.emit()));
    }
    if stays {
        return Ok(Way::On);
    }
    match become_emt(fd, endpoint, family)? {
        true => Ok(Way::Done),
        false => Ok(Way::On),
    }
}

/// The interface of EMT that an address to bind stands for, 0 for all, and none if it is not EMT's.
fn bind_index(
    fd: c_int,
    table: &Table,
    endpoint: &Endpoint,
    family: Family,
) -> sys::Result<Option<u32>> {
    let v6_only = (family == Family::V6).then(|| {
        let only = sys::get_int(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY);
        only.is_ok_and(|value| value != 0)
    });
    Ok(match table.bind(endpoint.ip, v6_only) {
        Bind::Ip => None,
        Bind::Any => Some(0),
        Bind::On(interface) => {
            let index = iface::index_of(fd, interface).map_err(|_| libc::EADDRNOTAVAIL)?;
            in_scope(endpoint, index).then_some(index)
        }
    })
}

/// A link-local address is meant on the interface that it is given with.
fn in_scope(endpoint: &Endpoint, index: u32) -> bool {
    endpoint.scope == 0 || endpoint.scope == index
}

/// Has a TCP socket, which is not bound, go over to EMT if the address to bind says so.
fn become_emt(fd: c_int, endpoint: &Endpoint, family: Family) -> sys::Result<bool> {
    let Some(own) = convert::untouched_tcp(fd) else {
        return Ok(false);
    };
    if own != family || names::of_ip(fd).is_some_and(|bound| bound.port != 0) {
        return Ok(false);
    }
    let Some(index) = bind_index(fd, map::table(), endpoint, family)? else {
        return Ok(false);
    };
    take_over(fd, own, endpoint.port, index)?;
    Ok(true)
}

/// Puts a socket of EMT that is bound into the place of one of IP.
fn take_over(fd: c_int, family: Family, port: u16, index: u32) -> sys::Result {
    let successor = Successor::emt(family)?.inherit(fd);
    let mac = None;
    successor.bind(&Name { port, index, mac }.emit())?;
    successor.replace(fd)
}

#[cfg_attr(not(test), no_mangle)]
unsafe extern "C" fn listen(fd: c_int, backlog: c_int) -> c_int {
    match before_listen(fd) {
        // SAFETY: The arguments are the program's.
        Ok(()) => unsafe { next::listen(fd, backlog) },
        Err(error) => sys::fail(error),
    }
}

/// A socket that was not bound by bind(), or not by ours, goes over now.
fn before_listen(fd: c_int) -> sys::Result {
    let table = map::table();
    if table.locals.is_empty() || emt::is_ours(fd) {
        return Ok(());
    }
    let (Some(family), Some(bound)) = (convert::untouched_tcp(fd), names::of_ip(fd)) else {
        return Ok(());
    };
    match bind_index(fd, table, &bound, family)? {
        Some(index) => take_over(fd, family, bound.port, index),
        None => Ok(()),
    }
}

#[cfg_attr(not(test), no_mangle)]
unsafe extern "C" fn connect(fd: c_int, name: *const sockaddr, len: socklen_t) -> c_int {
    // SAFETY: The arguments are the program's.
    unsafe { connect_to(fd, name, len) }
}

/// # Safety
///
/// As connect().
pub(super) unsafe fn connect_to(fd: c_int, name: *const sockaddr, len: socklen_t) -> c_int {
    // SAFETY: The name is the program's.
    let way = match unsafe { endpoint_at(name, len) } {
        Some((endpoint, family)) => way_of_connect(fd, &endpoint, family),
        None => Ok(Way::On),
    };
    match way {
        // SAFETY: The arguments are the program's.
        Ok(Way::On) => unsafe { next::connect(fd, name, len) },
        // SAFETY: The name is readable for its length.
        Ok(Way::With(name)) => unsafe {
            next::connect(fd, name.as_ptr().cast(), name.len() as socklen_t)
        },
        Ok(Way::Done) => 0,
        Err(error) => sys::fail(error),
    }
}

/// Whether sending to an address would first connect to it by EMT.
///
/// # Safety
///
/// `name` is null or readable for `len` bytes.
pub(super) unsafe fn is_mapped(name: *const sockaddr, len: socklen_t) -> bool {
    // SAFETY: By the function's requirements.
    unsafe { endpoint_at(name, len) }
        .is_some_and(|(endpoint, _)| map::table().destination(endpoint.ip) != Destination::Ip)
}

fn way_of_connect(fd: c_int, endpoint: &Endpoint, family: Family) -> sys::Result<Way> {
    let table = map::table();
    if table.maps_nothing() {
        return Ok(Way::On);
    }
    let is_ours = emt::is_ours(fd);
    if table.destination(endpoint.ip) == Destination::Ip {
        if is_ours {
            become_ip(fd)?;
        }
        return Ok(Way::On);
    }
    if is_ours {
        if mark::family_of(fd) != family {
            return Err(libc::EAFNOSUPPORT);
        }
        return match destination(fd, table, endpoint)? {
            Some(name) => Ok(Way::With(name.emit())),
            None => Err(libc::ENETUNREACH),
        };
    }
    if convert::untouched_tcp(fd) != Some(family) {
        return Ok(Way::On);
    }
    let source = names::of_ip(fd).filter(|source| table.allows_source(source.ip));
    let (Some(source), Some(name)) = (source, destination(fd, table, endpoint)?) else {
        return Ok(Way::On);
    };
    if source.port == 0 {
        Successor::emt(family)?.inherit(fd).replace(fd)?;
    } else {
        take_over(fd, family, source.port, source_index(fd, table, source.ip)?)?;
    }
    Ok(Way::With(name.emit()))
}

/// The name of EMT that a destination stands for.
fn destination(fd: c_int, table: &Table, endpoint: &Endpoint) -> sys::Result<Option<Name>> {
    let (interface, mac) = match table.destination(endpoint.ip) {
        Destination::Ip => return Ok(None),
        Destination::Peer(interface, mac) => (interface, Some(mac)),
        Destination::Own(interface) => (interface, None),
    };
    let index = iface::index_of(fd, interface)?;
    let mac = match mac {
        Some(mac) => mac,
        None => iface::mac_of(fd, index)?,
    };
    Ok(in_scope(endpoint, index).then_some(Name {
        port: endpoint.port,
        index,
        mac: Some(mac),
    }))
}

/// The interface of a socket that was bound as one of IP.
fn source_index(fd: c_int, table: &Table, ip: IpAddr) -> sys::Result<u32> {
    match table.destination(ip) {
        Destination::Own(interface) if !ip.is_unspecified() => iface::index_of(fd, interface),
        _ => Ok(0),
    }
}

/// A socket that went over to EMT when it was bound turns out to be for a connection by IP.
fn become_ip(fd: c_int) -> sys::Result {
    if names::remote(fd).is_some() {
        return Err(libc::EISCONN);
    }
    let family = mark::family_of(fd);
    let successor = Successor::ip(family)?.inherit(fd);
    if let Some(name) = names::local(fd).filter(|name| name.port != 0) {
        let (bytes, len) = names::own(fd, &name, family).emit(family);
        successor.bind(bytes.get(..len).unwrap_or(&bytes))?;
    }
    successor.replace(fd)
}
