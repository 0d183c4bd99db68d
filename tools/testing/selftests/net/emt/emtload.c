// SPDX-License-Identifier: GPL-2.0
/* Load and sockets for the shell tests. */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "emt_lib.h"

static const char usage[] =
	"usage: emtload flood DEV MAC PORT	write frames until the device is gone\n"
	"       emtload hold [PORT]		hold a socket until stdin ends\n";

static void parse_mac(const char *text, unsigned char *mac)
{
	if (sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2],
		   &mac[3], &mac[4], &mac[5]) != ETH_ALEN) {
		fprintf(stderr, "emtload: %s is no Ethernet address\n", text);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	unsigned char src[ETH_ALEN], dst[ETH_ALEN];
	struct host here = { .netns = -1 };

	if (argc == 5 && !strcmp(argv[1], "flood")) {
		parse_mac(argv[3], dst);
		link_get_mac(argv[2], src);
		flood(frame_socket(&here, argv[2]), dst, src, atoi(argv[4]));
		return 0;
	}
	if ((argc == 2 || argc == 3) && !strcmp(argv[1], "hold")) {
		emt_bound(&here, 0, argc == 3 ? atoi(argv[2]) : 0);
		puts("ready");
		fflush(stdout);
		while (read(0, src, sizeof(src)) > 0)
			;
		return 0;
	}
	fputs(usage, stderr);
	return 2;
}
