/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the EMT selftests share: hosts (network namespaces), links between
 * them, EMT sockets and addresses, and frames written and read with AF_PACKET.
 *
 * A helper whose failure means that the test cannot go on says what failed and
 * ends the test as failed; it needs no check by its caller.
 */
#ifndef EMT_LIB_H
#define EMT_LIB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include <linux/emt.h>
#include <linux/if_ether.h>

#include "../../kselftest.h"

/* Newer than the libc headers that the tests may be built with. */
#ifndef SO_RCVMARK
#define SO_RCVMARK	75
#endif
#ifndef SO_RCVPRIORITY
#define SO_RCVPRIORITY	82
#endif
#ifndef ETH_P_EMT
#define ETH_P_EMT	0x88B5
#endif

/* What the tests of connections run on, see emt_conn.h. */
#ifndef CONN_FAMILY
#define CONN_FAMILY	AF_EMT
#endif
enum { conn_family = CONN_FAMILY };

/* How long anything that must happen may take, on an emulated debug kernel. */
#define EMT_WAIT_S	30

/* The device that joins the two hosts has the same name on both. */
#define EMT_DEV		"emt0"

/* Bytes of an EMT header, and where its fields are. */
#define EMT_HLEN	12
#define EMT_OFF_MAGIC	0
#define EMT_OFF_VERSION	2
#define EMT_OFF_TYPE	3
#define EMT_OFF_LENGTH	4
#define EMT_OFF_CSUM	6
#define EMT_OFF_SPORT	8
#define EMT_OFF_DPORT	10

/* Longest datagram through a device whose MTU is @mtu. */
#define EMT_MAX_DGRAM(mtu)	((mtu) - EMT_HLEN)

/* The loopback's MTU of 65536 exceeds what the length field can say. */
#define EMT_MAX_DGRAM_LO	(65535 - EMT_HLEN)

extern const unsigned char emt_bcast[ETH_ALEN];
extern const unsigned char emt_zero[ETH_ALEN];

/**
 * struct host - a network namespace that plays a machine on the wire
 * @netns: the namespace; negative: that of the caller, which is not left
 * @ctl: an EMT socket in it, for the ioctls; never bound
 * @ifindex: its EMT_DEV
 * @mac: the address of that
 */
struct host {
	int		netns;
	int		ctl;
	int		ifindex;
	unsigned char	mac[ETH_ALEN];
};

/* emt_lib.c: failing, privileges */

__noreturn __printf(1, 2) void die(const char *fmt, ...);

/* False if the kernel has no AF_EMT; any other failure to make a socket dies. */
bool emt_supported(void);

/* Takes one capability (CAP_*) from the effective and permitted sets. */
void cap_drop(int cap);

/* emt_lib.c: namespaces and hosts */

int netns_self(void);
int netns_new(void);
void netns_enter(int netns);

/* The time since some moment in the past. */
double seconds(void);

/* A namespace with its loopback up and nothing else. */
void host_new(struct host *h);

/* Hosts keep to one CPU, for the sake of order; this is for who wants races. */
void use_all_cpus(void);

/* Two of them, joined by EMT_DEV, which is up and not enabled. */
void hosts_new(struct host h[2], unsigned int mtu);

/* The same with EMT enabled on both ends. */
void hosts_enabled(struct host h[2], unsigned int mtu);

/*
 * A host whose EMT_DEV is a bridge, and others that join it, numbered from 0 to
 * 255; a number may be used again when its host is gone. Needs ip (iproute2).
 */
void hub_new(struct host *hub);
void hub_join(const struct host *hub, struct host *h, int number);

void host_free(struct host *h);

/* emt_lib.c: addresses and sockets. @mac may be NULL: no address, halen 0. */

struct sockaddr_emt emt_addr(int ifindex, const unsigned char *mac, int port);

/* A socket of a type, SOCK_*, in host @h; its receives give up as below. */
int emt_socket_of(const struct host *h, int type);
int emt_bound_of(const struct host *h, int type, int ifindex, int port);

/* A datagram socket in host @h; its receives give up after EMT_WAIT_S seconds. */
int emt_socket(const struct host *h);

/* The same, bound to @ifindex and @port. */
int emt_bound(const struct host *h, int ifindex, int port);

/* The port that @fd is bound to. */
int emt_port(int fd);

/* 0, or the errno of the call. */
int emt_bind(int fd, const struct sockaddr_emt *addr);
int emt_connect(int fd, const struct sockaddr_emt *addr);

/* Length sent or received, or -errno. */
int emt_sendto(int fd, const void *buf, size_t len, int flags,
	       const struct sockaddr_emt *to);
int emt_recv(int fd, void *buf, size_t len, int flags);

/* Sets an integer option of SOL_SOCKET, or dies. */
void sock_set(int fd, int option, int value);
int sock_get(int fd, int option);

/* Fills @buf with bytes that differ at neighbouring places and for each @seed. */
void pattern(void *buf, size_t len, unsigned int seed);

/* emt_lib.c: ioctls. 0, or the errno of the call. */

int emt_enable(int fd, int ifindex);
int emt_disable(int fd, int ifindex);
int emt_get_stats(int fd, int ifindex, struct emt_stats *st);

/* Dies if the counters cannot be read. */
struct emt_stats emt_stats(const struct host *h, int ifindex);

/*
 * Waits until the counter at @offset of struct emt_stats has grown by @by since
 * @before. True if it did, and no other counter that starts with "rx_" changed;
 * what differs is printed.
 */
bool stats_grew_only(const struct host *h, int ifindex,
		     const struct emt_stats *before, size_t offset,
		     unsigned long long by);

#define STAT(name)	offsetof(struct emt_stats, name)

/* emt_link.c: devices of the namespace that the caller is in */

void link_add_veth(const char *name, const unsigned char *mac,
		   const char *peer, const unsigned char *peer_mac,
		   int peer_netns, unsigned int mtu);
void link_add(const char *name, const char *kind);
void link_del(const char *name);
void link_move(const char *name, int netns);
void link_up(const char *name, bool up);

/*
 * Waits until a device that is up can send. A veth can only when its other end
 * is up as well, and then a moment later: until then it drops in silence.
 */
void link_wait(const char *name);
void link_set_mtu(const char *name, unsigned int mtu);
void link_set_mac(const char *name, const unsigned char *mac);
void link_rename(const char *name, const char *to);
void link_get_mac(const char *name, unsigned char *mac);
int link_index(const char *name);

/* Makes the sender finish checksums itself, as if the device could not. */
void link_no_tx_csum(const char *name);

/* emt_frame.c: frames as they are on the wire */

/**
 * struct frame - an Ethernet frame with an EMT packet in it
 * @len: bytes used of @data
 * @data: destination, source, EtherType, then the packet
 */
struct frame {
	size_t		len;
	unsigned char	data[ETH_HLEN + 65536];
};

/* The EMT header's byte at offset @off of the packet in frame @f. */
#define EMT_BYTE(f, off)	((f)->data[ETH_HLEN + (off)])

void put16(unsigned char *p, unsigned int v);
unsigned int get16(const unsigned char *p);

/* A correct datagram packet, checksum included; no padding. */
void frame_build(struct frame *f, const unsigned char *dst,
		 const unsigned char *src, int sport, int dport,
		 const void *payload, size_t len);

/* Puts the right checksum on a packet whose other fields were changed. */
void frame_sum(struct frame *f);

/* True if the packet's checksum is right. */
bool frame_sum_ok(const struct frame *f);

/* Pads with @byte to the smallest frame that Ethernet carries. */
void frame_pad(struct frame *f, int byte);

/* A packet socket on device @name of host @h. */
int frame_socket(const struct host *h, const char *name);

void frame_send(int fd, const struct frame *f);

/*
 * The same with only the first @linear bytes in the linear part of the skb, if
 * the frame is longer than a page; shorter ones are linear.
 */
void frame_send_split(int fd, const struct frame *f, unsigned int linear);

/*
 * The next frame of EMT's EtherType seen, in either direction, with its checksum finished if the
 * device was to do that. @outgoing says which way it went. False: none came in
 * @wait_ms.
 */
bool frame_recv(int fd, struct frame *f, bool *outgoing, int wait_ms);

/* emt_flood.c: load */

/*
 * Writes good and broken packets in turn to @fd, a packet socket, until its
 * device is gone. They go to four ports from @port on, some to broadcast.
 */
void flood(int fd, const unsigned char *dst, const unsigned char *src, int port);

/* The same in a process of its own, on device @name of host @h. */
pid_t flood_start(const struct host *h, const char *name, const unsigned char *dst,
		  const unsigned char *src, int port);
void flood_stop(pid_t pid);

#endif /* EMT_LIB_H */
