// SPDX-License-Identifier: GPL-2.0
/*
 * Devices for the EMT selftests, made and changed by rtnetlink and ioctls: a
 * program per step would take most of the time on an emulated kernel.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/ethtool.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <linux/veth.h>

#include "emt_lib.h"

struct request {
	struct nlmsghdr		nlh;
	struct ifinfomsg	ifi;
	char			room[512];
};

static struct rtattr *attr(struct request *req, int type, const void *data,
			   size_t len)
{
	struct rtattr *a;

	if (NLMSG_ALIGN(req->nlh.nlmsg_len) + RTA_SPACE(len) > sizeof(*req))
		die("netlink request too long");
	a = (void *)((char *)req + NLMSG_ALIGN(req->nlh.nlmsg_len));
	a->rta_type = type;
	a->rta_len = RTA_LENGTH(len);
	if (len)
		memcpy(RTA_DATA(a), data, len);
	req->nlh.nlmsg_len = NLMSG_ALIGN(req->nlh.nlmsg_len) + RTA_ALIGN(a->rta_len);
	return a;
}

static void attr_end(struct request *req, struct rtattr *nest)
{
	nest->rta_len = (char *)req + req->nlh.nlmsg_len - (char *)nest;
}

static struct request request(int type, int flags)
{
	struct request req;

	memset(&req, 0, sizeof(req));
	req.nlh.nlmsg_len = NLMSG_LENGTH(sizeof(req.ifi));
	req.nlh.nlmsg_type = type;
	req.nlh.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	req.ifi.ifi_family = AF_UNSPEC;
	return req;
}

static void ask(struct request *req, const char *what, const char *name)
{
	struct {
		struct nlmsghdr nlh;
		struct nlmsgerr err;
		char rest[512];
	} ack;
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);

	if (fd < 0)
		die("netlink socket");
	if (send(fd, req, req->nlh.nlmsg_len, 0) < 0)
		die("netlink: %s %s", what, name);
	if (recv(fd, &ack, sizeof(ack), 0) < (ssize_t)sizeof(ack.nlh) + 4 ||
	    ack.nlh.nlmsg_type != NLMSG_ERROR)
		die("netlink: no answer to %s %s", what, name);
	errno = -ack.err.error;
	if (errno)
		die("%s %s", what, name);
	close(fd);
}

static void attr_name(struct request *req, const char *name)
{
	attr(req, IFLA_IFNAME, name, strlen(name) + 1);
}

void link_add_veth(const char *name, const unsigned char *mac,
		   const char *peer, const unsigned char *peer_mac,
		   int peer_netns, unsigned int mtu)
{
	struct request req = request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
	struct rtattr *info, *data, *other;
	struct ifinfomsg ifi = { 0 };

	attr_name(&req, name);
	attr(&req, IFLA_ADDRESS, mac, ETH_ALEN);
	attr(&req, IFLA_MTU, &mtu, sizeof(mtu));
	info = attr(&req, IFLA_LINKINFO, NULL, 0);
	attr(&req, IFLA_INFO_KIND, "veth", 5);
	data = attr(&req, IFLA_INFO_DATA, NULL, 0);
	other = attr(&req, VETH_INFO_PEER, &ifi, sizeof(ifi));
	attr_name(&req, peer);
	attr(&req, IFLA_ADDRESS, peer_mac, ETH_ALEN);
	attr(&req, IFLA_MTU, &mtu, sizeof(mtu));
	attr(&req, IFLA_NET_NS_FD, &peer_netns, sizeof(peer_netns));
	attr_end(&req, other);
	attr_end(&req, data);
	attr_end(&req, info);
	ask(&req, "add a veth (CONFIG_VETH):", name);
}

void link_add(const char *name, const char *kind)
{
	struct request req = request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
	struct rtattr *info;

	attr_name(&req, name);
	info = attr(&req, IFLA_LINKINFO, NULL, 0);
	attr(&req, IFLA_INFO_KIND, kind, strlen(kind) + 1);
	attr_end(&req, info);
	ask(&req, kind, name);
}

void link_del(const char *name)
{
	struct request req = request(RTM_DELLINK, 0);

	attr_name(&req, name);
	ask(&req, "delete", name);
}

void link_move(const char *name, int netns)
{
	struct request req = request(RTM_NEWLINK, 0);

	attr_name(&req, name);
	attr(&req, IFLA_NET_NS_FD, &netns, sizeof(netns));
	ask(&req, "move to another namespace:", name);
}

/* One of the device ioctls, with @ifr named @name. */
static void link_ioctl(unsigned long cmd, const char *name, struct ifreq *ifr)
{
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("packet socket (CONFIG_PACKET)");
	snprintf(ifr->ifr_name, sizeof(ifr->ifr_name), "%s", name);
	if (ioctl(fd, cmd, ifr))
		die("ioctl %#lx on %s", cmd, name);
	close(fd);
}

void link_up(const char *name, bool up)
{
	struct ifreq ifr = { 0 };

	link_ioctl(SIOCGIFFLAGS, name, &ifr);
	if (up)
		ifr.ifr_flags |= IFF_UP;
	else
		ifr.ifr_flags &= ~IFF_UP;
	link_ioctl(SIOCSIFFLAGS, name, &ifr);
}

void link_wait(const char *name)
{
	struct ethtool_value link = { .cmd = ETHTOOL_GLINK };
	time_t end = time(NULL) + EMT_WAIT_S;
	struct ifreq ifr = { 0 };

	/* Asking makes the kernel do at once what it has put off for the link. */
	ifr.ifr_data = (void *)&link;
	do {
		link_ioctl(SIOCETHTOOL, name, &ifr);
		if (link.data)
			return;
		usleep(1000);
	} while (time(NULL) < end);
	die("%s has no link", name);
}

void link_set_mtu(const char *name, unsigned int mtu)
{
	struct ifreq ifr = { .ifr_mtu = mtu };

	link_ioctl(SIOCSIFMTU, name, &ifr);
}

void link_set_mac(const char *name, const unsigned char *mac)
{
	struct ifreq ifr = { 0 };

	ifr.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	memcpy(ifr.ifr_hwaddr.sa_data, mac, ETH_ALEN);
	link_ioctl(SIOCSIFHWADDR, name, &ifr);
}

void link_get_mac(const char *name, unsigned char *mac)
{
	struct ifreq ifr = { 0 };

	link_ioctl(SIOCGIFHWADDR, name, &ifr);
	memcpy(mac, ifr.ifr_hwaddr.sa_data, ETH_ALEN);
}

void link_rename(const char *name, const char *to)
{
	struct ifreq ifr = { 0 };

	snprintf(ifr.ifr_newname, sizeof(ifr.ifr_newname), "%s", to);
	link_ioctl(SIOCSIFNAME, name, &ifr);
}

int link_index(const char *name)
{
	struct ifreq ifr = { 0 };

	link_ioctl(SIOCGIFINDEX, name, &ifr);
	return ifr.ifr_ifindex;
}

void link_no_tx_csum(const char *name)
{
	struct ethtool_value off = { .cmd = ETHTOOL_STXCSUM };
	struct ifreq ifr = { 0 };

	ifr.ifr_data = (void *)&off;
	link_ioctl(SIOCETHTOOL, name, &ifr);
}
