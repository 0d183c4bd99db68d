// SPDX-License-Identifier: GPL-2.0

#include <linux/compat.h>
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

__rust_helper void rust_helper_skb_forget_path(struct sk_buff *skb)
{
	skb_dst_drop(skb);
	nf_reset_ct(skb);
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

#ifdef CONFIG_COMPAT
__rust_helper void __user *rust_helper_compat_ptr(compat_uptr_t uptr)
{
	return compat_ptr(uptr);
}
#endif

#endif
