// SPDX-License-Identifier: GPL-2.0
/*
 * Load for the lifecycle tests: EMT frames, good ones and broken ones in turn,
 * written to a device as fast as it takes them, until its death or ours.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/virtio_net.h>

#include "emt_lib.h"

/* Packet sockets of this file carry a virtio header, see frame_socket(). */
static bool put(int fd, const struct frame *f)
{
	static unsigned char buf[sizeof(struct virtio_net_hdr) + ETH_FRAME_LEN];

	memcpy(buf + sizeof(struct virtio_net_hdr), f->data, f->len);
	if (write(fd, buf, sizeof(struct virtio_net_hdr) + f->len) >= 0)
		return true;
	/* A queue that is full for the moment is no reason to stop. */
	return errno == ENOBUFS || errno == EAGAIN || errno == EINTR;
}

void flood(int fd, const unsigned char *dst, const unsigned char *src, int port)
{
	struct frame *good = malloc(sizeof(*good)), *bad = malloc(sizeof(*bad));
	unsigned long n = 0;

	if (!good || !bad)
		die("no memory");
	for (;;) {
		/* Many sources and ports, so that tables fill that hold them. */
		frame_build(good, n % 7 ? dst : emt_bcast, src, 1 + n % 65535, port + n % 4,
			    "flooding", n % 9);
		if (!put(fd, good))
			break;
		*bad = *good;
		EMT_BYTE(bad, n % EMT_HLEN) ^= 1 << n % 8;
		if (!put(fd, bad))
			break;
		n++;
	}
	free(good);
	free(bad);
}

pid_t flood_start(const struct host *h, const char *name, const unsigned char *dst,
		  const unsigned char *src, int port)
{
	pid_t parent = getpid(), pid;
	int fd = frame_socket(h, name);

	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid) {
		close(fd);
		return pid;
	}
	/* What the test closes must be closed: sockets keep namespaces alive. */
	if (dup2(fd, 3) != 3 || syscall(SYS_close_range, 4, ~0U, 0))
		_exit(1);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	flood(3, dst, src, port);
	_exit(0);
}

void flood_stop(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}
