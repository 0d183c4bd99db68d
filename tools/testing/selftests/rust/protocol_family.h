/* SPDX-License-Identifier: GPL-2.0 */
/* What programs need to know of samples/rust/rust_protocol_family.rs. */
#ifndef PROTOCOL_FAMILY_H
#define PROTOCOL_FAMILY_H

#include <linux/types.h>
#include <sys/socket.h>

#ifndef AF_ASH
#define AF_ASH 18
#endif

struct sockaddr_ash {
	sa_family_t sash_family;
	__u8 sash_mac[6];
	__s32 sash_ifindex;
	__be32 sash_port;
};

#define ETH_P_ASH 0x88b6

/* What follows the Ethernet header, in network byte order. */
struct ash_header {
	__be32 to;
	__be32 from;
	__be32 len;
};

#endif
