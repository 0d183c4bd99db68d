// SPDX-License-Identifier: GPL-2.0

#include <linux/cgroup.h>
#include <linux/filter.h>
#include <linux/security.h>
#include <net/sock.h>

#ifdef CONFIG_NET

/* The user's settings, without those that count or own something. */
#define SK_FLAGS_INHERITED					\
	(BIT(SOCK_URGINLINE) | BIT(SOCK_KEEPOPEN) |		\
	 BIT(SOCK_LINGER) | BIT(SOCK_BROADCAST) |		\
	 BIT(SOCK_DBG) | BIT(SOCK_LOCALROUTE) |			\
	 BIT(SOCK_RCVTSTAMP) | BIT(SOCK_RCVTSTAMPNS) |		\
	 BIT(SOCK_TSTAMP_NEW) | BIT(SOCK_TIMESTAMPING_ANY) |	\
	 BIT(SOCK_RXQ_OVFL) | BIT(SOCK_WIFI_STATUS) |		\
	 BIT(SOCK_NOFCS) | BIT(SOCK_FILTER_LOCKED) |		\
	 BIT(SOCK_SELECT_ERR_QUEUE) | BIT(SOCK_TXTIME) |	\
	 BIT(SOCK_RCVMARK) | BIT(SOCK_RCVPRIORITY))

/*
 * Gives a new child what sk_clone() would copy of its listener: the user's
 * settings, whose the socket is, and the filter. False if there is no memory
 * for the latter.
 */
__rust_helper bool rust_helper_sk_inherit(struct sock *parent,
					  struct sock *child)
{
	unsigned long flags = READ_ONCE(parent->sk_flags);
	struct sk_filter *filter;
	bool charged = true;

	child->sk_type = parent->sk_type;
	child->sk_protocol = parent->sk_protocol;
	child->sk_uid = sk_uid(parent);
	child->sk_allocation = parent->sk_allocation;
	child->sk_use_task_frag = parent->sk_use_task_frag;

	child->sk_flags |= flags & SK_FLAGS_INHERITED;
	if (flags & BIT(SOCK_TIMESTAMP))
		sock_enable_timestamp(child, SOCK_TIMESTAMP);
	if (flags & BIT(SOCK_TIMESTAMPING_RX_SOFTWARE))
		sock_enable_timestamp(child, SOCK_TIMESTAMPING_RX_SOFTWARE);
	child->sk_tsflags = READ_ONCE(parent->sk_tsflags);
	child->sk_bind_phc = READ_ONCE(parent->sk_bind_phc);

	child->sk_userlocks = READ_ONCE(parent->sk_userlocks) &
			      SOCK_BUF_LOCK_MASK;
	child->sk_rcvbuf = READ_ONCE(parent->sk_rcvbuf);
	child->sk_sndbuf = READ_ONCE(parent->sk_sndbuf);
	child->sk_rcvlowat = READ_ONCE(parent->sk_rcvlowat);
	child->sk_rcvtimeo = READ_ONCE(parent->sk_rcvtimeo);
	child->sk_sndtimeo = READ_ONCE(parent->sk_sndtimeo);
	child->sk_lingertime = READ_ONCE(parent->sk_lingertime);
	child->sk_peek_off = READ_ONCE(parent->sk_peek_off);
	child->sk_priority = READ_ONCE(parent->sk_priority);
	child->sk_mark = READ_ONCE(parent->sk_mark);
	child->sk_bound_dev_if = READ_ONCE(parent->sk_bound_dev_if);
	child->sk_max_pacing_rate = READ_ONCE(parent->sk_max_pacing_rate);
	child->sk_pacing_rate = child->sk_max_pacing_rate;
	child->sk_clockid = parent->sk_clockid;
	child->sk_txtime_deadline_mode = parent->sk_txtime_deadline_mode;
	child->sk_txtime_report_errors = parent->sk_txtime_report_errors;

	/* Not that of the task that a softirq has interrupted. */
	cgroup_sk_free(&child->sk_cgrp_data);
	child->sk_cgrp_data = parent->sk_cgrp_data;
	cgroup_sk_clone(&child->sk_cgrp_data);
	security_sk_clone(parent, child);

	rcu_read_lock();
	filter = rcu_dereference(parent->sk_filter);
	if (filter) {
		charged = sk_filter_charge(child, filter);
		if (charged)
			RCU_INIT_POINTER(child->sk_filter, filter);
	}
	rcu_read_unlock();
	return charged;
}

#endif
