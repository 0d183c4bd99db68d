// SPDX-License-Identifier: GPL-2.0
/*
 * EMT packets as the protocol's documentation gives them, written and read
 * with AF_PACKET. Shares no code with the kernel, so that a mistake there is
 * not repeated here.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/if_packet.h>
#include <linux/virtio_net.h>

#include "emt_lib.h"

void put16(unsigned char *p, unsigned int v)
{
	p[0] = v >> 8;
	p[1] = v;
}

unsigned int get16(const unsigned char *p)
{
	return p[0] << 8 | p[1];
}

/* RFC 1071: the ones' complement sum of big-endian words, an odd byte padded. */
static unsigned int sum16(unsigned int sum, const unsigned char *p, size_t len)
{
	size_t i;

	for (i = 0; i + 1 < len; i += 2)
		sum += get16(p + i);
	if (len & 1)
		sum += p[len - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* Over the pseudo-header (both addresses, as the frame begins) and the packet. */
static unsigned int frame_sum16(const struct frame *f)
{
	size_t room = f->len - ETH_HLEN, len = get16(&EMT_BYTE(f, EMT_OFF_LENGTH));

	if (len > room)
		len = room;
	return sum16(sum16(0, f->data, 2 * ETH_ALEN), f->data + ETH_HLEN, len);
}

void frame_sum(struct frame *f)
{
	put16(&EMT_BYTE(f, EMT_OFF_CSUM), 0);
	put16(&EMT_BYTE(f, EMT_OFF_CSUM), ~frame_sum16(f));
}

bool frame_sum_ok(const struct frame *f)
{
	return frame_sum16(f) == 0xffff;
}

void frame_build(struct frame *f, const unsigned char *dst,
		 const unsigned char *src, int sport, int dport,
		 const void *payload, size_t len)
{
	unsigned char *p = f->data + ETH_HLEN;

	f->len = ETH_HLEN + EMT_HLEN + len;
	if (f->len > sizeof(f->data))
		die("frame of %zu bytes", f->len);
	memcpy(f->data, dst, ETH_ALEN);
	memcpy(f->data + ETH_ALEN, src, ETH_ALEN);
	put16(f->data + 2 * ETH_ALEN, ETH_P_EMT);

	p[EMT_OFF_MAGIC] = 'E';
	p[EMT_OFF_MAGIC + 1] = 'M';
	p[EMT_OFF_VERSION] = 1;
	p[EMT_OFF_TYPE] = 1;
	put16(p + EMT_OFF_LENGTH, EMT_HLEN + len);
	put16(p + EMT_OFF_SPORT, sport);
	put16(p + EMT_OFF_DPORT, dport);
	if (len)
		memcpy(p + EMT_HLEN, payload, len);
	frame_sum(f);
}

void frame_pad(struct frame *f, int byte)
{
	if (f->len >= ETH_ZLEN)
		return;
	memset(f->data + f->len, byte, ETH_ZLEN - f->len);
	f->len = ETH_ZLEN;
}

/* ETH_P_ALL, since a socket of one protocol is not shown what is sent. */
int frame_socket(const struct host *h, const char *name)
{
	struct sockaddr_ll ll = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
	};
	int fd;

	netns_enter(h->netns);
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (fd < 0)
		die("packet socket (CONFIG_PACKET)");
	if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &(int){ 1 }, sizeof(int)))
		die("PACKET_VNET_HDR");
	ll.sll_ifindex = link_index(name);
	if (bind(fd, (struct sockaddr *)&ll, sizeof(ll)))
		die("bind of a packet socket to %s", name);
	return fd;
}

void frame_send(int fd, const struct frame *f)
{
	frame_send_split(fd, f, 0);
}

void frame_send_split(int fd, const struct frame *f, unsigned int linear)
{
	struct virtio_net_hdr vnet = {
		.gso_type = VIRTIO_NET_HDR_GSO_NONE,
		.hdr_len = linear,
	};
	struct iovec iov[2] = {
		{ .iov_base = &vnet, .iov_len = sizeof(vnet) },
		{ .iov_base = (void *)f->data, .iov_len = f->len },
	};

	if (writev(fd, iov, 2) != (ssize_t)(sizeof(vnet) + f->len))
		die("sending a frame of %zu bytes", f->len);
}

/* Does what the device was asked to do; false if that makes no sense. */
static bool finish_csum(struct frame *f, const struct virtio_net_hdr *vnet)
{
	size_t start = vnet->csum_start, at = start + vnet->csum_offset;

	if (!(vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return true;
	if (start > f->len || at + 2 > f->len)
		return false;
	put16(f->data + at, ~sum16(0, f->data + start, f->len - start));
	return true;
}

bool frame_recv(int fd, struct frame *f, bool *outgoing, int wait_ms)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	struct virtio_net_hdr vnet;
	struct sockaddr_ll from;
	struct iovec iov[2] = {
		{ .iov_base = &vnet, .iov_len = sizeof(vnet) },
		{ .iov_base = f->data, .iov_len = sizeof(f->data) },
	};
	struct msghdr msg = {
		.msg_name = &from, .msg_namelen = sizeof(from),
		.msg_iov = iov, .msg_iovlen = 2,
	};
	ssize_t n;

	while (poll(&pfd, 1, wait_ms) == 1) {
		msg.msg_namelen = sizeof(from);
		n = recvmsg(fd, &msg, MSG_DONTWAIT);
		if (n < (ssize_t)sizeof(vnet))
			die("reading a packet socket");
		f->len = n - sizeof(vnet);
		/* Other traffic of the device, such as IPv6's, is not ours. */
		if (f->len < ETH_HLEN || get16(f->data + 2 * ETH_ALEN) != ETH_P_EMT)
			continue;
		if (!finish_csum(f, &vnet))
			die("a frame of %zu bytes wants its checksum at %u + %u", f->len,
			    vnet.csum_start, vnet.csum_offset);
		if (outgoing)
			*outgoing = from.sll_pkttype == PACKET_OUTGOING;
		return true;
	}
	return false;
}
