// SPDX-License-Identifier: GPL-2.0

#include <linux/compat.h>
#include <linux/errqueue.h>
#include <linux/filter.h>
#include <linux/sched/signal.h>
#include <linux/sockptr.h>
#include <net/sock.h>

#ifdef CONFIG_NET

__rust_helper struct net *rust_helper_sock_net(const struct sock *sk)
{
	return sock_net(sk);
}

__rust_helper void rust_helper_sock_put(struct sock *sk)
{
	sock_put(sk);
}

__rust_helper void rust_helper_sock_orphan(struct sock *sk)
{
	sock_orphan(sk);
}

__rust_helper void rust_helper_sock_set_flag(struct sock *sk,
					     enum sock_flags flag)
{
	sock_set_flag(sk, flag);
}

__rust_helper bool rust_helper_sock_flag(const struct sock *sk,
					 enum sock_flags flag)
{
	return sock_flag(sk, flag);
}

__rust_helper void rust_helper_sock_prot_inuse_add(const struct net *net,
						   const struct proto *prot,
						   int val)
{
	sock_prot_inuse_add(net, prot, val);
}

__rust_helper int rust_helper_sk_wmem_alloc_get(const struct sock *sk)
{
	return sk_wmem_alloc_get(sk);
}

__rust_helper int rust_helper_sk_bound_dev_if(const struct sock *sk)
{
	return READ_ONCE(sk->sk_bound_dev_if);
}

__rust_helper u8 rust_helper_sk_shutdown(const struct sock *sk)
{
	return READ_ONCE(sk->sk_shutdown);
}

__rust_helper void rust_helper_sk_shutdown_or(struct sock *sk, u8 how)
{
	WRITE_ONCE(sk->sk_shutdown, sk->sk_shutdown | how);
	sk->sk_state_change(sk);
}

__rust_helper void rust_helper_sk_shutdown_clear(struct sock *sk)
{
	WRITE_ONCE(sk->sk_shutdown, 0);
}

__rust_helper void rust_helper_sk_report_error(struct sock *sk, int err)
{
	WRITE_ONCE(sk->sk_err, err);
	sk_error_report(sk);
}

__rust_helper unsigned int rust_helper_sk_first_len(struct sock *sk)
{
	struct sk_buff *skb;
	unsigned int len = 0;

	spin_lock_bh(&sk->sk_receive_queue.lock);
	skb = skb_peek(&sk->sk_receive_queue);
	if (skb)
		len = skb->len;
	spin_unlock_bh(&sk->sk_receive_queue.lock);
	return len;
}

__rust_helper void rust_helper_sockcm_init(struct sockcm_cookie *sockc,
					   const struct sock *sk)
{
	sockcm_init(sockc, sk);
}

__rust_helper void rust_helper_skb_set_sockcm(struct sk_buff *skb,
					      const struct sockcm_cookie *sockc)
{
	skb->priority = sockc->priority;
	skb->mark = sockc->mark;
	skb_set_delivery_type_by_clockid(skb, sockc->transmit_time,
					 skb->sk->sk_clockid);
	skb_setup_tx_timestamp(skb, sockc);
}

__rust_helper void rust_helper_sock_recv_cmsgs(struct msghdr *msg,
					       struct sock *sk,
					       struct sk_buff *skb)
{
	sock_recv_cmsgs(msg, sk, skb);
}

__rust_helper bool rust_helper_sk_hashed(const struct sock *sk)
{
	return sk_hashed(sk);
}

__rust_helper void rust_helper_sk_add_node_rcu(struct sock *sk,
					       struct hlist_head *list)
{
	sk_add_node_rcu(sk, list);
}

__rust_helper bool rust_helper_sk_del_node_init_rcu(struct sock *sk)
{
	return sk_del_node_init_rcu(sk);
}

__rust_helper struct sock *
rust_helper_sk_first_rcu(const struct hlist_head *list)
{
	return hlist_entry_safe(rcu_dereference_raw(hlist_first_rcu(list)),
				struct sock, sk_node);
}

__rust_helper struct sock *rust_helper_sk_next_rcu(const struct sock *sk)
{
	return hlist_entry_safe(rcu_dereference_raw(hlist_next_rcu(&sk->sk_node)),
				struct sock, sk_node);
}

__rust_helper void rust_helper_sock_hold(struct sock *sk)
{
	sock_hold(sk);
}

__rust_helper bool rust_helper_sk_refcnt_inc_not_zero(struct sock *sk)
{
	return refcount_inc_not_zero(&sk->sk_refcnt);
}

__rust_helper int rust_helper_sk_rcvbuf(const struct sock *sk)
{
	return READ_ONCE(sk->sk_rcvbuf);
}

__rust_helper int rust_helper_sk_sndbuf(const struct sock *sk)
{
	return READ_ONCE(sk->sk_sndbuf);
}

__rust_helper int rust_helper_sk_rmem_alloc(const struct sock *sk)
{
	return sk_rmem_alloc_get(sk);
}

__rust_helper bool rust_helper_sk_rmem_reserve(struct sock *sk, int bytes)
{
	int old = atomic_read(&sk->sk_rmem_alloc);

	do {
		if (old && (s64)old + bytes > READ_ONCE(sk->sk_rcvbuf))
			return false;
	} while (!atomic_try_cmpxchg(&sk->sk_rmem_alloc, &old, old + bytes));
	return true;
}

__rust_helper void rust_helper_sk_rmem_unreserve(struct sock *sk, int bytes)
{
	atomic_sub(bytes, &sk->sk_rmem_alloc);
}

/* sock_queue_rcv_skb_reason() for a packet that there is room for. */
__rust_helper enum skb_drop_reason
rust_helper_sock_queue_rcv_skb_unchecked(struct sock *sk, struct sk_buff *skb)
{
	struct sk_buff_head *list = &sk->sk_receive_queue;
	enum skb_drop_reason reason;
	unsigned long flags;

	reason = sk_filter_reason(sk, skb);
	if (reason)
		return reason;

	skb->dev = NULL;
	skb_set_owner_r(skb, sk);

	spin_lock_irqsave(&list->lock, flags);
	sock_skb_set_dropcount(sk, skb);
	__skb_queue_tail(list, skb);
	spin_unlock_irqrestore(&list->lock, flags);

	if (!sock_flag(sk, SOCK_DEAD))
		sk->sk_data_ready(sk);
	return SKB_NOT_DROPPED_YET;
}

/* Waits as sock_alloc_send_pskb() does, for room for len bytes. */
__rust_helper int rust_helper_sock_wait_for_send(struct sock *sk, size_t len,
						 int noblock)
{
	long timeo = sock_sndtimeo(sk, noblock);
	DEFINE_WAIT_FUNC(wait, woken_wake_function);
	bool waiting = false;
	int err;

	for (;;) {
		err = sock_error(sk);
		if (err)
			break;
		err = -EPIPE;
		if (READ_ONCE(sk->sk_shutdown) & SEND_SHUTDOWN)
			break;
		err = 0;
		if (sock_writeable(sk) ||
		    (s64)sk_wmem_alloc_get(sk) + (s64)len <=
			    READ_ONCE(sk->sk_sndbuf))
			break;
		/* Mostly there is room. If not, look again with the wait queue entered. */
		if (!waiting) {
			add_wait_queue(sk_sleep(sk), &wait);
			/* Pairs with the barrier of sock_wfree(). */
			smp_mb();
			waiting = true;
			continue;
		}
		sk_set_bit(SOCKWQ_ASYNC_NOSPACE, sk);
		set_bit(SOCK_NOSPACE, &sk->sk_socket->flags);
		err = -EAGAIN;
		if (!timeo)
			break;
		err = sock_intr_errno(timeo);
		if (signal_pending(current))
			break;
		timeo = wait_woken(&wait, TASK_INTERRUPTIBLE, timeo);
	}
	if (waiting)
		remove_wait_queue(sk_sleep(sk), &wait);
	return err;
}

/*
 * Returns the socket to whose send buffer a packet is charged, if it is of the
 * type that prot stands for.
 */
__rust_helper struct sock *
rust_helper_skb_charged_to(const struct sk_buff *skb, const struct proto *prot)
{
	if (skb->destructor != sock_wfree || skb->sk->sk_prot != prot)
		return NULL;
	return skb->sk;
}

/* The address is the name_len bytes before the packet's data. */
__rust_helper int
rust_helper_sock_queue_ee_skb(struct sock *sk, struct sk_buff *skb,
			      const struct sock_extended_err *ee, u16 name_len)
{
	struct sock_exterr_skb *serr = SKB_EXT_ERR(skb);

	memset(serr, 0, sizeof(*serr));
	serr->ee = *ee;
	serr->addr_offset = name_len;
	return sock_queue_err_skb(sk, skb);
}

/* sock_recv_errqueue() with the address that an error concerns. */
__rust_helper int rust_helper_sock_recv_ee_skb(struct sock *sk,
					       struct msghdr *msg, int len,
					       int level, int type)
{
	struct {
		struct sock_extended_err ee;
		u8 name[sizeof(struct __kernel_sockaddr_storage)];
	} cmsg;
	unsigned int name_len;
	struct sk_buff *skb;
	int copied, err;

	skb = sock_dequeue_err_skb(sk);
	if (!skb)
		return -EAGAIN;

	copied = skb->len;
	if (copied > len) {
		msg->msg_flags |= MSG_TRUNC;
		copied = len;
	}
	err = skb_copy_datagram_msg(skb, 0, msg, copied);
	if (err)
		goto out;

	sock_recv_timestamp(msg, sk, skb);
	cmsg.ee = SKB_EXT_ERR(skb)->ee;
	name_len = min_t(unsigned int, SKB_EXT_ERR(skb)->addr_offset,
			 min_t(unsigned int, sizeof(cmsg.name),
			       skb_headroom(skb)));
	memcpy(cmsg.name, skb->data - name_len, name_len);
	put_cmsg(msg, level, type, sizeof(cmsg.ee) + name_len, &cmsg);
	if (msg->msg_name && name_len) {
		memcpy(msg->msg_name, cmsg.name, name_len);
		msg->msg_namelen = name_len;
	}
	msg->msg_flags |= MSG_ERRQUEUE;
	err = copied;
out:
	kfree_skb(skb);
	return err;
}

__rust_helper int rust_helper_copy_safe_from_sockptr(void *dst, size_t size,
						     sockptr_t value,
						     unsigned int len)
{
	return copy_safe_from_sockptr(dst, size, value, len);
}

#ifdef CONFIG_COMPAT
__rust_helper void __user *rust_helper_compat_ptr(compat_uptr_t uptr)
{
	return compat_ptr(uptr);
}
#endif

__rust_helper void *rust_helper_cmsg_find(struct msghdr *msg, int level,
					  int type, size_t len)
{
	struct cmsghdr *cmsg;

	for_each_cmsghdr(cmsg, msg) {
		if (!CMSG_OK(msg, cmsg))
			return ERR_PTR(-EINVAL);
		if (cmsg->cmsg_level != level || cmsg->cmsg_type != type)
			continue;
		if (cmsg->cmsg_len != CMSG_LEN(len))
			return ERR_PTR(-EINVAL);
		return CMSG_DATA(cmsg);
	}
	return NULL;
}

#endif
