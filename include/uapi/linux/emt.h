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
 * Options at level SOL_EMT. EMT_RECVERR and EMT_NOTIFY are of SOCK_RDM,
 * EMT_NODELAY is of SOCK_STREAM and SOCK_SEQPACKET, EMT_USER_TIMEOUT is of all
 * three.
 *
 * EMT_RECVERR (int, 0 or 1, default 0): errors of single messages are put on
 * the error queue. Whether or not they are, they are reported once by SO_ERROR
 * or by the next operation.
 *
 * EMT_NOTIFY (int, 0 or 1, default 0): a notice is put on the error queue for
 * each message that the receiving socket has.
 *
 * EMT_USER_TIMEOUT (unsigned int, milliseconds, not 0, default 10000): how long
 * a peer may be silent before a message to it has failed, for messages that are
 * sent afterwards; or before a connection has, from now on.
 *
 * EMT_NODELAY (int, 0 or 1, default 0): less than a full packet goes out at
 * once, although such a one is under way. It does on SOCK_SEQPACKET anyway.
 */
#define EMT_RECVERR		1
#define EMT_NOTIFY		2
#define EMT_USER_TIMEOUT	3
#define EMT_NODELAY		5

/*
 * Ancillary messages, at level SOL_EMT.
 *
 * EMT_RECVERR (struct sock_extended_err) comes with what recvmsg() with
 * MSG_ERRQUEUE takes from the error queue. ee_errno is the error, or 0 for a
 * notice of delivery; ee_origin is SO_EE_ORIGIN_LOCAL, ee_type one of EMT_EE_*,
 * ee_info the length of the message and ee_data its cookie. The address that
 * the message was sent to follows it (SO_EE_OFFENDER) and is msg_name.
 *
 * EMT_COOKIE (__u32) goes with a message that is sent; 0 if there is none.
 */
#define EMT_COOKIE	4

/* ee_type */
#define EMT_EE_FAILED		1	/* the message has failed */
#define EMT_EE_DELIVERED	2	/* the receiving socket has the message */

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
 *
 * SIOCEMTGETPEER (struct emt_peerreq) tells what is known of another host.
 *
 * SIOCEMTGETLIMITS (struct emt_limits) reads the namespace's limits, and
 * SIOCEMTSETLIMITS (struct emt_limits) sets them, which needs CAP_NET_ADMIN in
 * the namespace's user namespace.
 */
#define SIOCEMTENABLE	(SIOCPROTOPRIVATE + 0)
#define SIOCEMTDISABLE	(SIOCPROTOPRIVATE + 1)
#define SIOCEMTGETDEVS	(SIOCPROTOPRIVATE + 2)
#define SIOCEMTGETSTATS	(SIOCPROTOPRIVATE + 3)
#define SIOCEMTGETPEER	(SIOCPROTOPRIVATE + 4)
#define SIOCEMTGETLIMITS	(SIOCPROTOPRIVATE + 5)
#define SIOCEMTSETLIMITS	(SIOCPROTOPRIVATE + 6)

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
 * @rx_control: packets of reliable messages' own business: acknowledgments,
 *	grants and the like
 * @rx_duplicate: packets of reliable messages that brought nothing new
 * @rx_bad_tag: packets of an association that does not exist
 * @rx_invalid: packets that contradict themselves or what is known
 * @rx_turned_away: packets of reliable messages that their socket had no room
 *	for or did not take; their senders know
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
	__aligned_u64	rx_control;
	__aligned_u64	rx_duplicate;
	__aligned_u64	rx_bad_tag;
	__aligned_u64	rx_invalid;
	__aligned_u64	rx_turned_away;
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

/* emt_peerreq state */
#define EMT_PEER_IDLE		0	/* nothing has been exchanged of late */
#define EMT_PEER_OPENING	1	/* the peer has been asked and not answered */
#define EMT_PEER_OPEN		2	/* the peer has shown that it is there */

/**
 * struct emt_peerreq - argument of SIOCEMTGETPEER, which fails with ENODEV if
 *	the interface is not enabled, and with ENOENT if nothing is known of the
 *	address behind it
 * @ifindex: in: index of an enabled interface
 * @halen: in: 6
 * @reserved: must be zero
 * @addr: in: the peer's link-layer address, zero past @halen
 * @state: out: one of EMT_PEER_*
 * @rtt: out: smoothed round trip in nanoseconds, 0 if not measured
 * @age: out: nanoseconds since the association began, 0 if there is none; a
 *	peer that restarts begins another
 * @silence: out: nanoseconds since the peer was last heard
 * @tx_bytes: out: bytes of messages under way that the peer does not have
 * @tx_messages: out: messages to the peer that are under way
 * @tx_waiting: out: messages to the peer that have not begun
 * @tx_parked: out: messages to the peer that its sockets had no room for
 * @rx_messages: out: messages of several packets that are arriving from it
 * @pad: zero
 */
struct emt_peerreq {
	__s32		ifindex;
	__u8		halen;
	__u8		reserved[3];
	__u8		addr[EMT_ADDR_MAX];
	__aligned_u64	rtt;
	__aligned_u64	age;
	__aligned_u64	silence;
	__aligned_u64	tx_bytes;
	__u32		state;
	__u32		tx_messages;
	__u32		tx_waiting;
	__u32		tx_parked;
	__u32		rx_messages;
	__u32		pad;
};

/**
 * struct emt_limits - argument of SIOCEMTGETLIMITS and SIOCEMTSETLIMITS
 * @max_message: bytes of the longest reliable message that may be sent or is
 *	taken, 1 to 1 GiB; 16 MiB at first
 * @reserved: must be zero
 */
struct emt_limits {
	__u32	max_message;
	__u32	reserved;
};

#endif /* _UAPI_LINUX_EMT_H */
