// SPDX-License-Identifier: GPL-2.0

//! A protocol family to start from: datagrams between the ports of hosts on one Ethernet. A module
//! only, as it borrows AF_ASH. See Documentation/networking/rust-protocol-families.rst.

use kernel::net;
use kernel::prelude::*;
use kernel::uaccess::UserSlice;
use zerocopy::big_endian::U32;

module! {
    type: Sample,
    name: "rust_protocol_family",
    authors: ["Rust for Linux Contributors"],
    description: "Rust protocol family sample",
    license: "GPL",
}

const AF_ASH: u16 = 18;
const ETHERTYPE: u16 = 0x88b6;

/// `struct sockaddr_ash`, as programs have it. It has no padding.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, zerocopy_derive::Immutable)]
#[repr(C)]
struct Address {
    family: u16,
    mac: [u8; 6],
    ifindex: i32,
    port: U32,
}

/// What each socket has. A name that it has not been given is zero.
#[pin_data]
struct Ash {
    #[pin]
    own_and_peer: kernel::sync::SpinLockBh<[Address; 2]>,
    #[pin]
    hook: kernel::sync::Mutex<Option<net::sock_hook::SockHook<Self>>>,
}

#[vtable]
impl net::family::Family for Ash {
    const NUMBER: u16 = AF_ASH;
    fn create(new: net::socket::NewSocket<'_>, protocol: c_int) -> Result<net::socket::Attached> {
        match (new.kind(), protocol) {
            (net::socket::SOCK_DGRAM, 0) => new.attach(pin_init!(Self {
                own_and_peer <- kernel::sync::new_spinlock_bh!([Address::default(); 2]),
                hook <- kernel::sync::new_mutex!(None),
            })),
            (net::socket::SOCK_DGRAM, _) => Err(EPROTONOSUPPORT),
            _ => Err(ESOCKTNOSUPPORT),
        }
    }
}

#[vtable]
impl net::socket::Operations for Ash {
    const NAME: &'static CStr = c"RUST-SAMPLE";
    const FAMILY: u16 = AF_ASH;
    type Address = Address;
    fn proto() -> &'static net::socket::Proto<Self> {
        static PROTO: net::socket::Proto<Ash> = net::socket::Proto::new();
        &PROTO
    }

    fn release(sock: &net::Sock<Self>) {
        *sock.hook.lock() = None;
    }

    fn bind(sock: &net::Sock<Self>, addr: &net::SockAddr<'_>) -> Result {
        let own = addr.of_family(AF_ASH)?;
        *sock.hook.lock() = Some(net::sock_hook::SockHook::new(sock, ETHERTYPE)?);
        sock.own_and_peer.lock()[0] = own;
        Ok(())
    }

    fn connect(sock: &net::Sock<Self>, addr: &net::SockAddr<'_>, _flags: c_int) -> Result {
        sock.own_and_peer.lock()[1] = addr.of_family(AF_ASH)?;
        Ok(())
    }

    fn getname(sock: &net::Sock<Self>, peer: bool) -> Result<Address> {
        let name = sock.own_and_peer.lock()[usize::from(peer)];
        (!peer || name.family != 0).then_some(name).ok_or(ENOTCONN)
    }

    fn ioctl(sock: &net::Sock<Self>, cmd: u32, arg: UserPtr) -> Result<c_int> {
        if cmd != net::socket::SIOCINQ {
            return Err(ENOIOCTLCMD);
        }
        UserSlice::new(arg, 4).writer().write(&sock.first_len())?;
        Ok(0)
    }

    fn sendmsg(sock: &net::Sock<Self>, msg: &mut net::msghdr::SendMsg<'_>) -> Result<usize> {
        let [own, peer] = *sock.own_and_peer.lock();
        let to = msg.name().map_or(Ok(peer), |name| name.of_family(AF_ASH))?;
        let mut skb = sock.send_skb::<64>(msg)?;
        skb.push([to.port, own.port, U32::new(msg.len() as u32)].as_bytes())?;
        let guard = kernel::sync::rcu::read_lock();
        let dev = sock.net().device_rcu(to.ifindex, &guard).ok_or(ENODEV)?;
        if skb.len() > dev.mtu() as usize {
            return Err(EMSGSIZE);
        }
        dev.xmit(skb, &dev.header_to(to.mac, ETHERTYPE)?)?;
        Ok(msg.len())
    }

    fn recvmsg(sock: &net::Sock<Self>, msg: &mut net::msghdr::RecvMsg<'_>) -> Result<usize> {
        sock.recv_datagram::<Address>(msg)
    }
}

impl net::sock_hook::Receive for Ash {
    fn receive(sock: &net::Sock<Self>, mut skb: net::SkBuff, dev: &net::Device) {
        let (Some(ethernet), Some(header)) = (skb.ethernet_header(), skb.pull::<12>()) else {
            return skb.drop_reason(net::DropReason::PKT_TOO_SMALL);
        };
        let [to, port, len]: [U32; 3] = zerocopy::transmute!(header);
        let [own, peer] = *sock.own_and_peer.lock();
        if to != own.port || peer.family != 0 && (peer.port, peer.mac) != (port, ethernet.from) {
            return skb.consume();
        }
        if skb.len() < len.get() as usize || skb.trim(len.get() as usize).is_err() {
            return skb.drop_reason(net::DropReason::PKT_TOO_SMALL);
        }
        skb.set_cb(Address {
            family: AF_ASH,
            mac: ethernet.from,
            ifindex: dev.ifindex(),
            port,
        });
        let queued = sock.queue_rcv(skb);
        queued.unwrap_or_else(|(skb, reason)| skb.drop_reason(reason));
    }
}

struct Sample {
    _family: net::family::Registration<Ash>,
    _proto: net::socket::ProtoRegistration<Ash>,
}

impl kernel::Module for Sample {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(Self {
            _proto: <Ash as net::socket::Operations>::proto().register()?,
            _family: net::family::Registration::new()?,
        })
    }
}
