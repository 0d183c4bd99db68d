/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Ethernet Message Transport (EMT): messages between machines on one Ethernet
 * segment, addressed by interface, link-layer address and port.
 *
 * Manual: Documentation/networking/emt/sockets.rst
 */
#ifndef _UAPI_LINUX_EMT_H
#define _UAPI_LINUX_EMT_H

#include <linux/types.h>
#include <linux/socket.h>
#include <linux/sockios.h>

#ifndef AF_EMT
#define AF_EMT		46
#endif

#ifndef PF_EMT
#define PF_EMT		AF_EMT
#endif

#ifndef SOL_EMT
#define SOL_EMT		288
#endif

/* Room for a link-layer address; Ethernet uses 6 bytes of it. */
#define EMT_ADDR_MAX	8

/* Ports 1 to EMT_PORT_RESERVED - 1 need CAP_NET_BIND_SERVICE to bind. */
#define EMT_PORT_RESERVED	1024

/*
 * Type, at level SOL_EMT, of the ancillary message (struct sock_extended_err)
 * that comes with what recvmsg() takes from the error queue.
 */
#define EMT_RECVERR	1

/**
 * struct sockaddr_emt - the address of an EMT socket
 * @semt_family: AF_EMT
 * @semt_port: port in network byte order; 0 on bind() picks an unused one, 0 as
 *	a destination is invalid. Each socket type has a port space of its own.
 * @semt_ifindex: interface index in host byte order. 0 on bind() means every
 *	enabled interface. 0 as a destination means the interface the socket is
 *	bound to or else the only enabled one besides the loopback.
 * @semt_halen: length of @semt_addr in bytes: 6 for Ethernet. On bind() it may
 *	be 0, which leaves the address out.
 * @semt_reserved: must be zero
 * @semt_addr: link-layer address in transmission order; on bind() it must be
 *	the interface's own. Bytes past @semt_halen must be zero.
 *
 * The layout, 20 bytes, is the same for 32-bit and 64-bit programs.
 */
struct sockaddr_emt {
	__kernel_sa_family_t	semt_family;
	__be16			semt_port;
	__s32			semt_ifindex;
	__u8			semt_halen;
	__u8			semt_reserved[3];
	__u8			semt_addr[EMT_ADDR_MAX];
};

/*
 * Ioctls, on any EMT socket; each acts on the network namespace of the socket.
 *
 * SIOCEMTENABLE (struct emt_devreq) makes an Ethernet device carry EMT, and
 * SIOCEMTDISABLE (struct emt_devreq) ends that. Both need CAP_NET_ADMIN in the
 * namespace's user namespace. A device that leaves the namespace is disabled;
 * the loopback device is enabled from the start.
 *
 * SIOCEMTGETDEVS (struct emt_devlist) lists the enabled devices.
 *
 * SIOCEMTGETSTATS (struct emt_statsreq) reads the counters of one enabled
 * device, or of the whole namespace.
 */
#define SIOCEMTENABLE	(SIOCPROTOPRIVATE + 0)
#define SIOCEMTDISABLE	(SIOCPROTOPRIVATE + 1)
#define SIOCEMTGETDEVS	(SIOCPROTOPRIVATE + 2)
#define SIOCEMTGETSTATS	(SIOCPROTOPRIVATE + 3)

/**
 * struct emt_devreq - names a device to SIOCEMTENABLE and SIOCEMTDISABLE
 * @ifindex: index of the interface
 * @flags: must be zero
 */
struct emt_devreq {
	__s32	ifindex;
	__u32	flags;
};

/* emt_devinfo flags */
#define EMT_DEV_LOOPBACK	0x1	/* the namespace's loopback device */
#define EMT_DEV_RUNNING		0x2	/* administratively up */

/**
 * struct emt_devinfo - one enabled device, as SIOCEMTGETDEVS returns it
 * @ifindex: index of the interface
 * @flags: EMT_DEV_* bits
 * @max_dgram: bytes of the longest datagram that can be sent through it
 * @halen: length of @addr in bytes
 * @reserved: zero
 * @addr: link-layer address, zero past @halen
 */
struct emt_devinfo {
	__s32	ifindex;
	__u32	flags;
	__u32	max_dgram;
	__u8	halen;
	__u8	reserved[3];
	__u8	addr[EMT_ADDR_MAX];
};

/**
 * struct emt_devlist - argument of SIOCEMTGETDEVS
 * @count: in: how many struct emt_devinfo there is room for at @devices; out:
 *	how many devices are enabled, which may be more than were written
 * @reserved: must be zero
 * @devices: address of an array of struct emt_devinfo; unused if @count is 0
 */
struct emt_devlist {
	__u32		count;
	__u32		reserved;
	__aligned_u64	devices;
};

/**
 * struct emt_stats - counters, each since the device was enabled (or, for a
 *	whole namespace, since the namespace was created)
 * @rx_packets: packets accepted into a socket's receive queue
 * @rx_bytes: their payload bytes
 * @tx_packets: packets handed to the device or delivered locally
 * @tx_bytes: their payload bytes
 * @tx_errors: packets that the device or its queue refused
 * @rx_too_short: frames too short for an EMT header
 * @rx_bad_magic: frames of EMT's EtherType that do not start as EMT packets do
 * @rx_bad_version: packets of another version of the protocol
 * @rx_bad_type: packets of an unknown type
 * @rx_bad_length: packets whose length field exceeds the frame or undercuts
 *	their header
 * @rx_bad_checksum: packets whose checksum does not match
 * @rx_bad_address: packets from a group address, or to a group address other
 *	than broadcast, or from or to port 0
 * @rx_no_socket: packets for a port that no socket is bound to, or whose socket
 *	is connected to another peer, bound to another device (SO_BINDTODEVICE)
 *	or shut down for reading
 * @rx_queue_full: packets dropped because the socket's receive buffer was full
 * @rx_filtered: packets that the socket's filter rejected
 * @rx_no_memory: packets dropped for want of memory
 */
struct emt_stats {
	__aligned_u64	rx_packets;
	__aligned_u64	rx_bytes;
	__aligned_u64	tx_packets;
	__aligned_u64	tx_bytes;
	__aligned_u64	tx_errors;
	__aligned_u64	rx_too_short;
	__aligned_u64	rx_bad_magic;
	__aligned_u64	rx_bad_version;
	__aligned_u64	rx_bad_type;
	__aligned_u64	rx_bad_length;
	__aligned_u64	rx_bad_checksum;
	__aligned_u64	rx_bad_address;
	__aligned_u64	rx_no_socket;
	__aligned_u64	rx_queue_full;
	__aligned_u64	rx_filtered;
	__aligned_u64	rx_no_memory;
};

/**
 * struct emt_statsreq - argument of SIOCEMTGETSTATS
 * @ifindex: index of an enabled device, or 0 for the whole namespace
 * @size: in: bytes of room at @stats, a multiple of 8; out: bytes of struct
 *	emt_stats that this kernel knows. The smaller of the two is written, so
 *	that the structure can grow at its end.
 * @stats: address of a struct emt_stats
 */
struct emt_statsreq {
	__s32		ifindex;
	__u32		size;
	__aligned_u64	stats;
};

#endif /* _UAPI_LINUX_EMT_H */
