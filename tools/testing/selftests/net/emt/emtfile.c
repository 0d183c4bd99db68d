// SPDX-License-Identifier: GPL-2.0
/*
 * Moves a file as reliable messages, which may arrive in any order: each says
 * where in the file it belongs.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "emt_lib.h"

#define PART	(64 << 10)

static const char usage[] =
	"usage: emtfile recv PORT FILE		write what comes to FILE until it is whole\n"
	"       emtfile send DEV ADDRESS PORT FILE\n";

struct head {
	uint64_t offset, total;	/* big endian */
};

static void receive(int port, const char *name)
{
	static char buf[sizeof(struct head) + PART];
	struct host here = { .netns = -1 };
	int fd = emt_bound_of(&here, SOCK_RDM, 0, port);
	int file = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600), got;
	unsigned long long arrived = 0, total = ~0ull;
	unsigned int messages = 0;
	double start = 0;
	struct head head;

	if (file < 0)
		die("%s", name);
	for (; arrived < total; messages++) {
		got = emt_recv(fd, buf, sizeof(buf), 0);
		if (got < (int)sizeof(head))
			die("receive: %s", strerror(-got));
		if (!messages)
			start = seconds();
		memcpy(&head, buf, sizeof(head));
		total = be64toh(head.total);
		got -= sizeof(head);
		if (pwrite(file, buf + sizeof(head), got, be64toh(head.offset)) != got)
			die("write to %s", name);
		arrived += got;
	}
	printf("%llu bytes in %u messages, %.1f Mbit/s\n", arrived, messages,
	       arrived * 8 / (seconds() - start) / 1e6);
}

static void send_file(const char *dev, const char *mac_text, int port, const char *name)
{
	static char buf[sizeof(struct head) + PART];
	struct host here = { .netns = -1 };
	int fd = emt_socket_of(&here, SOCK_RDM), file = open(name, O_RDONLY), left, error;
	unsigned char mac[ETH_ALEN];
	struct sockaddr_emt to;
	uint64_t offset = 0;
	struct head head;
	struct stat st;
	ssize_t len;

	if (file < 0 || fstat(file, &st))
		die("%s", name);
	if (sscanf(mac_text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2], &mac[3],
		   &mac[4], &mac[5]) != ETH_ALEN)
		die("%s is no Ethernet address", mac_text);
	to = emt_addr(link_index(dev), mac, port);
	while ((len = read(file, buf + sizeof(head), PART)) > 0) {
		head.offset = htobe64(offset);
		head.total = htobe64(st.st_size);
		memcpy(buf, &head, sizeof(head));
		left = emt_sendto(fd, buf, sizeof(head) + len, 0, &to);
		if (left < 0)
			die("send: %s", strerror(-left));
		offset += len;
	}
	/* All of it has arrived when nothing is left in the send buffer. */
	do {
		usleep(1000);
		error = sock_get(fd, SO_ERROR);
		if (error)
			die("send: %s", strerror(error));
		if (ioctl(fd, SIOCOUTQ, &left))
			die("SIOCOUTQ");
	} while (left);
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "recv")) {
		receive(atoi(argv[2]), argv[3]);
		return 0;
	}
	if (argc == 6 && !strcmp(argv[1], "send")) {
		send_file(argv[2], argv[3], atoi(argv[4]), argv[5]);
		return 0;
	}
	fputs(usage, stderr);
	return 2;
}
