// SPDX-License-Identifier: GPL-2.0

#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/wait.h>
#include <net/sock.h>

#ifdef CONFIG_NET

__rust_helper void rust_helper_sock_graft(struct sock *sk,
					  struct socket *parent)
{
	sock_graft(sk, parent);
}

__rust_helper void rust_helper_sock_poll_wait(struct file *file,
					      struct socket *sock,
					      poll_table *p)
{
	sock_poll_wait(file, sock, p);
}

__rust_helper u8 rust_helper_sk_state_load(const struct sock *sk)
{
	/* Pairs with the release below. */
	return smp_load_acquire(&sk->sk_state);
}

__rust_helper void rust_helper_sk_state_store(struct sock *sk, u8 state)
{
	/* Whoever sees the state sees what was written before. */
	smp_store_release(&sk->sk_state, state);
}

__rust_helper u32 rust_helper_sk_type(const struct sock *sk)
{
	return sk->sk_type;
}

__rust_helper void rust_helper_sk_state_change(struct sock *sk)
{
	void (*wake)(struct sock *sk) = READ_ONCE(sk->sk_state_change);

	wake(sk);
}

__rust_helper void rust_helper_sk_data_ready(struct sock *sk)
{
	void (*wake)(struct sock *sk) = READ_ONCE(sk->sk_data_ready);

	wake(sk);
}

__rust_helper void rust_helper_sk_write_space(struct sock *sk)
{
	void (*wake)(struct sock *sk) = READ_ONCE(sk->sk_write_space);

	wake(sk);
}

__rust_helper int rust_helper_sock_error(struct sock *sk)
{
	return sock_error(sk);
}

__rust_helper int rust_helper_sk_err(const struct sock *sk)
{
	return READ_ONCE(sk->sk_err);
}

__rust_helper bool rust_helper_sk_has_errors_queued(const struct sock *sk)
{
	return !skb_queue_empty_lockless(&sk->sk_error_queue);
}

/* As inet_release(): a process that exits does not wait. */
__rust_helper bool rust_helper_sk_linger(const struct sock *sk,
					 unsigned long *time)
{
	*time = READ_ONCE(sk->sk_lingertime);
	return sock_flag(sk, SOCK_LINGER) &&
	       !(*time && (current->flags & PF_EXITING));
}

__rust_helper int rust_helper_sock_rcvlowat(const struct sock *sk, int waitall,
					    int len)
{
	return sock_rcvlowat(sk, waitall, len);
}

__rust_helper long rust_helper_sock_rcvtimeo(const struct sock *sk,
					     bool noblock)
{
	return sock_rcvtimeo(sk, noblock);
}

__rust_helper long rust_helper_sock_sndtimeo(const struct sock *sk,
					     bool noblock)
{
	return sock_sndtimeo(sk, noblock);
}

__rust_helper bool rust_helper_sock_writeable(const struct sock *sk)
{
	return sock_writeable(sk);
}

/* What sock_alloc_send_pskb() does before it waits; there may be no user. */
__rust_helper void rust_helper_sk_want_write_space(struct sock *sk)
{
	struct socket_wq *wq;

	rcu_read_lock();
	wq = rcu_dereference(sk->sk_wq);
	if (wq) {
		if (sock_flag(sk, SOCK_FASYNC))
			set_bit(SOCKWQ_ASYNC_NOSPACE, &wq->flags);
		set_bit(SOCK_NOSPACE,
			&container_of(wq, struct socket, wq)->flags);
		/* Who calls this then looks at the buffer again. */
		smp_mb__after_atomic();
	}
	rcu_read_unlock();
}

__rust_helper void rust_helper_send_sigpipe(void)
{
	send_sig(SIGPIPE, current, 0);
}

__rust_helper bool rust_helper_sk_acceptq_is_full(const struct sock *sk)
{
	return sk_acceptq_is_full(sk);
}

__rust_helper void rust_helper_sk_acceptq_added(struct sock *sk)
{
	sk_acceptq_added(sk);
}

__rust_helper void rust_helper_sk_acceptq_removed(struct sock *sk)
{
	sk_acceptq_removed(sk);
}

__rust_helper void rust_helper_sk_set_max_backlog(struct sock *sk, u32 backlog)
{
	WRITE_ONCE(sk->sk_max_ack_backlog, backlog);
}

__rust_helper bool rust_helper_sk_rcvbuf_is_locked(const struct sock *sk)
{
	return READ_ONCE(sk->sk_userlocks) & SOCK_RCVBUF_LOCK;
}

/* Under the lock under which setsockopt() sets a size: that stays. */
static inline void sock_buf_grow(struct sock *sk, int *buf, u8 lock, int size)
{
	lock_sock(sk);
	if (*buf < size && !(sk->sk_userlocks & lock))
		WRITE_ONCE(*buf, size);
	release_sock(sk);
}

__rust_helper void rust_helper_sk_rcvbuf_grow(struct sock *sk, int size)
{
	size = min_t(u32, size, READ_ONCE(sysctl_rmem_max));
	sock_buf_grow(sk, &sk->sk_rcvbuf, SOCK_RCVBUF_LOCK, size);
}

__rust_helper void rust_helper_sk_sndbuf_grow(struct sock *sk, int size)
{
	size = min_t(u32, size, READ_ONCE(sysctl_wmem_max));
	sock_buf_grow(sk, &sk->sk_sndbuf, SOCK_SNDBUF_LOCK, size);
}

__rust_helper int rust_helper_sk_peek_offset(const struct sock *sk, int flags)
{
	return sk_peek_offset(sk, flags);
}

__rust_helper void rust_helper_sk_peek_offset_fwd(struct sock *sk, int val)
{
	sk_peek_offset_fwd(sk, val);
}

__rust_helper void rust_helper_sk_peek_offset_bwd(struct sock *sk, int val)
{
	sk_peek_offset_bwd(sk, val);
}

/* Null for a socket that no user has, or has any more. */
__rust_helper wait_queue_head_t *rust_helper_sk_wait_queue(const struct sock *sk)
{
	struct socket_wq *wq = rcu_dereference_raw(sk->sk_wq);

	return wq ? &wq->wait : NULL;
}

/* As receiver_wake_function(): room in the send buffer wakes no reader. */
__rust_helper int rust_helper_sk_wake_reader(struct wait_queue_entry *entry,
					     unsigned int mode, int sync,
					     void *key)
{
	if (key && !(key_to_poll(key) & (EPOLLIN | EPOLLERR | EPOLLHUP)))
		return 0;
	return woken_wake_function(entry, mode, sync, key);
}

__rust_helper void rust_helper_sk_wait_enter(wait_queue_head_t *queue,
					     struct wait_queue_entry *entry,
					     bool reader)
{
	init_wait_func(entry, reader ? rust_helper_sk_wake_reader :
				       woken_wake_function);
	add_wait_queue(queue, entry);
	/* Pairs with wq_has_sleeper(): what is not seen after this wakes us. */
	smp_mb();
}

#endif
