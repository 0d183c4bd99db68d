// SPDX-License-Identifier: GPL-2.0
/*
 * protocol_family_talk answer PORT: gives everybody who sends to PORT back what
 * was sent, in capital letters.
 * protocol_family_talk ask DEV MAC PORT TEXT: sends TEXT and prints the answer.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <err.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "protocol_family.h"

static int new_socket(__u32 port)
{
	struct sockaddr_ash own = {
		.sash_family = AF_ASH,
		.sash_port = htonl(port),
	};
	int fd = socket(AF_ASH, SOCK_DGRAM, 0);

	if (fd < 0)
		err(1, "socket");
	if (bind(fd, (struct sockaddr *)&own, sizeof(own)))
		err(1, "bind");
	return fd;
}

static void answer(__u32 port)
{
	int fd = new_socket(port);
	struct sockaddr_ash from;
	char text[1500];
	socklen_t len;
	ssize_t n, i;

	for (;;) {
		len = sizeof(from);
		n = recvfrom(fd, text, sizeof(text), 0, (struct sockaddr *)&from, &len);
		if (n < 0)
			err(1, "recvfrom");
		for (i = 0; i < n; i++)
			text[i] = toupper(text[i]);
		if (sendto(fd, text, n, 0, (struct sockaddr *)&from, len) != n)
			warn("sendto");
	}
}

static void ask(const char *dev, const char *mac, __u32 port, const char *text)
{
	struct sockaddr_ash to = {
		.sash_family = AF_ASH,
		.sash_ifindex = if_nametoindex(dev),
		.sash_port = htonl(port),
	};
	struct timeval patience = { .tv_sec = 10 };
	__u8 *m = to.sash_mac;
	char reply[1500];
	ssize_t n;
	int fd;

	if (!to.sash_ifindex)
		err(1, "%s", dev);
	if (sscanf(mac, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", m, m + 1, m + 2, m + 3, m + 4, m + 5) != 6)
		errx(1, "%s is not a link-layer address", mac);
	fd = new_socket(1000);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)))
		err(1, "connect");
	if (send(fd, text, strlen(text), 0) < 0)
		err(1, "send");
	n = recv(fd, reply, sizeof(reply), 0);
	if (n < 0)
		err(1, "recv");
	printf("%.*s\n", (int)n, reply);
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "answer"))
		answer(atoi(argv[2]));
	else if (argc == 6 && !strcmp(argv[1], "ask"))
		ask(argv[2], argv[3], atoi(argv[4]), argv[5]);
	else
		errx(2, "usage: %s answer PORT | ask DEV MAC PORT TEXT", argv[0]);
	return 0;
}
