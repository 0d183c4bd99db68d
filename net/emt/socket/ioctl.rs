// SPDX-License-Identifier: GPL-2.0

//! Ioctls: the queues' lengths, and the devices, peers and limits of the socket's namespace.

use super::bound::Ported;
use crate::{
    addr::LinkAddr,
    device,
    engine::peer::info::Standing,
    error::COUNTERS,
    netns::Netns,
    station, //
};
use kernel::{
    net::{
        device::{
            Rtnl,
            RtnlGuard, //
        },
        namespace::Capability,
        socket::{
            SIOCINQ,
            SIOCOUTQ, //
        },
        Sock, //
    },
    prelude::*,
    sync::Arc,
    uaccess::UserSlice,
    uapi, //
};
use zerocopy::Immutable;
use zerocopy_derive::Immutable;

/// `struct emt_devreq`.
#[derive(FromBytes, IntoBytes)]
#[repr(C)]
struct DevReq {
    ifindex: i32,
    flags: u32,
}

/// `struct emt_devinfo`.
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct DevInfo {
    ifindex: i32,
    flags: u32,
    max_dgram: u32,
    halen: u8,
    reserved: [u8; 3],
    addr: [u8; uapi::EMT_ADDR_MAX as usize],
}

/// `struct emt_devlist`.
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct DevList {
    count: u32,
    reserved: u32,
    devices: u64,
}

/// `struct emt_statsreq`.
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct StatsReq {
    ifindex: i32,
    size: u32,
    stats: u64,
}

/// `struct emt_peerreq`.
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct PeerReq {
    ifindex: i32,
    halen: u8,
    reserved: [u8; 3],
    addr: [u8; uapi::EMT_ADDR_MAX as usize],
    rtt: u64,
    age: u64,
    silence: u64,
    tx_bytes: u64,
    state: u32,
    tx_messages: u32,
    tx_waiting: u32,
    tx_parked: u32,
    rx_messages: u32,
    pad: u32,
}

/// `struct emt_limits`.
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Limits {
    max_message: u32,
    reserved: u32,
}

/// The longest message that an administrator may allow.
const MOST_MAX_MESSAGE: u32 = 1 << 30;

const _: () = {
    assert!(size_of::<PeerReq>() == size_of::<uapi::emt_peerreq>());
    assert!(core::mem::offset_of!(uapi::emt_peerreq, state) == 48);
    assert!(size_of::<Limits>() == size_of::<uapi::emt_limits>());
    assert!(size_of::<DevReq>() == size_of::<uapi::emt_devreq>());
    assert!(size_of::<DevInfo>() == size_of::<uapi::emt_devinfo>());
    assert!(size_of::<DevList>() == size_of::<uapi::emt_devlist>());
    assert!(size_of::<StatsReq>() == size_of::<uapi::emt_statsreq>());
    assert!(COUNTERS * size_of::<u64>() == size_of::<uapi::emt_stats>());
};

/// Performs one of the ioctls of a socket.
pub(super) fn ioctl<T: Ported>(sock: &Sock<T>, cmd: u32, arg: UserPtr) -> Result<c_int> {
    match cmd {
        SIOCINQ => write_len(arg, T::received(sock)?),
        SIOCOUTQ => write_len(arg, T::unsent(sock)?),
        uapi::SIOCEMTENABLE => configure(sock, arg, |netns, ifindex, rtnl| {
            let dev = sock.net().device(ifindex, rtnl).ok_or(ENODEV)?;
            device::enable(netns.clone(), dev, rtnl)
        }),
        uapi::SIOCEMTDISABLE => configure(sock, arg, |netns, ifindex, rtnl| {
            if netns.link(ifindex).ok_or(ENODEV)?.is_loopback() {
                return Err(EOPNOTSUPP);
            }
            device::disable(netns, ifindex, rtnl)
        }),
        uapi::SIOCEMTGETDEVS => list(sock.bound().netns(), arg),
        uapi::SIOCEMTGETSTATS => stats(sock.bound().netns(), arg),
        uapi::SIOCEMTGETPEER => peer(sock.bound().netns(), arg),
        uapi::SIOCEMTGETLIMITS => limits(sock.bound().netns(), arg),
        uapi::SIOCEMTSETLIMITS => set_limits(sock, arg),
        _ => Err(ENOIOCTLCMD),
    }
}

fn read<T: FromBytes + IntoBytes>(arg: UserPtr) -> Result<T> {
    let mut value = T::new_zeroed();
    UserSlice::new(arg, size_of::<T>())
        .reader()
        .read_slice(value.as_mut_bytes())?;
    Ok(value)
}

fn write<T: IntoBytes + Immutable>(arg: UserPtr, value: &T) -> Result<c_int> {
    UserSlice::new(arg, size_of::<T>())
        .writer()
        .write_slice(value.as_bytes())?;
    Ok(0)
}

/// Writes a length; the largest that there is if it is more.
fn write_len(arg: UserPtr, len: usize) -> Result<c_int> {
    write(arg, &c_int::try_from(len).unwrap_or(c_int::MAX))
}

/// Returns the pointer that a structure carries as a number; [`EFAULT`] if it cannot be one.
fn pointer(address: u64) -> Result<UserPtr> {
    usize::try_from(address)
        .map(UserPtr::from_addr)
        .map_err(|_| EFAULT)
}

/// Changes what the device that `arg` names does, with the RTNL held.
fn configure<T: Ported>(
    sock: &Sock<T>,
    arg: UserPtr,
    change: impl FnOnce(&Arc<Netns>, i32, &Rtnl) -> Result,
) -> Result<c_int> {
    if !sock.net().capable(Capability::NetAdmin) {
        return Err(EPERM);
    }
    let request: DevReq = read(arg)?;
    if request.flags != 0 {
        return Err(EINVAL);
    }
    change(sock.bound().netns(), request.ifindex, &RtnlGuard::new())?;
    Ok(0)
}

/// Lists the enabled devices.
fn list(netns: &Netns, arg: UserPtr) -> Result<c_int> {
    let mut request: DevList = read(arg)?;
    if request.reserved != 0 {
        return Err(EINVAL);
    }
    let len = (request.count as usize).saturating_mul(size_of::<DevInfo>());
    // Not looked at if there is no room anyway.
    let devices = match request.count {
        0 => UserPtr::from_addr(0),
        _ => pointer(request.devices)?,
    };
    let mut out = UserSlice::new(devices, len).writer();
    let mut count = 0u32;
    netns.for_each_link(|link| {
        if count < request.count {
            out.write_slice(describe(link).as_bytes())?;
        }
        count = count.saturating_add(1);
        Ok(())
    })?;
    request.count = count;
    write(arg, &request)
}

fn describe(link: &device::Link) -> DevInfo {
    let octets = link.address().octets();
    let mut addr = [0; uapi::EMT_ADDR_MAX as usize];
    addr[..octets.len()].copy_from_slice(&octets);
    let flag = |condition: bool, flag: u32| if condition { flag } else { 0 };
    DevInfo {
        ifindex: link.ifindex(),
        flags: flag(link.is_loopback(), uapi::EMT_DEV_LOOPBACK)
            | flag(link.device().is_up(), uapi::EMT_DEV_RUNNING),
        max_dgram: link.max_payload() as u32,
        halen: octets.len() as u8,
        reserved: [0; 3],
        addr,
    }
}

/// Reads counters, of one device or of all that there are and were.
fn stats(netns: &Netns, arg: UserPtr) -> Result<c_int> {
    let mut request: StatsReq = read(arg)?;
    if request.size == 0 || request.size % size_of::<u64>() as u32 != 0 {
        return Err(EINVAL);
    }
    let sums = match request.ifindex {
        0 => total(netns)?,
        ifindex => netns.link(ifindex).ok_or(ENODEV)?.counters(),
    };
    let bytes = sums.as_bytes();
    let len = bytes.len().min(request.size as usize);
    let known = bytes.get(..len).ok_or(EINVAL)?;
    UserSlice::new(pointer(request.stats)?, len)
        .writer()
        .write_slice(known)?;
    request.size = bytes.len() as u32;
    write(arg, &request)
}

fn total(netns: &Netns) -> Result<[u64; COUNTERS]> {
    let mut total = netns.retired();
    netns.for_each_link(|link| {
        for (sum, counter) in total.iter_mut().zip(link.counters()) {
            *sum = sum.wrapping_add(counter);
        }
        Ok(())
    })?;
    Ok(total)
}

/// Tells what is known of another host.
fn peer(netns: &Netns, arg: UserPtr) -> Result<c_int> {
    let request: PeerReq = read(arg)?;
    let [a, b, c, d, e, f, rest @ ..] = request.addr;
    if request.halen != 6 || request.reserved != [0; 3] || rest != [0; 2] {
        return Err(EINVAL);
    }
    let link = netns.link(request.ifindex).ok_or(ENODEV)?;
    let station = station::known(&link, LinkAddr::new([a, b, c, d, e, f])).ok_or(ENOENT)?;
    let info = station.info();
    let answer = PeerReq {
        rtt: info.round_trip,
        age: info.age,
        silence: info.silence,
        tx_bytes: info.sending.1,
        state: match info.standing {
            Standing::Idle => uapi::EMT_PEER_IDLE,
            Standing::Opening => uapi::EMT_PEER_OPENING,
            Standing::Open => uapi::EMT_PEER_OPEN,
        },
        tx_messages: info.sending.0,
        tx_waiting: info.waiting,
        tx_parked: info.parked,
        rx_messages: info.receiving,
        pad: 0,
        ..request
    };
    write(arg, &answer)
}

fn limits(netns: &Netns, arg: UserPtr) -> Result<c_int> {
    let limits = Limits {
        max_message: netns.max_message(),
        reserved: 0,
    };
    write(arg, &limits)
}

fn set_limits<T: Ported>(sock: &Sock<T>, arg: UserPtr) -> Result<c_int> {
    if !sock.net().capable(Capability::NetAdmin) {
        return Err(EPERM);
    }
    let limits: Limits = read(arg)?;
    if limits.reserved != 0 || !(1..=MOST_MAX_MESSAGE).contains(&limits.max_message) {
        return Err(EINVAL);
    }
    sock.bound().netns().set_max_message(limits.max_message);
    Ok(0)
}
