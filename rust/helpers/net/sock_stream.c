// SPDX-License-Identifier: GPL-2.0

#include <linux/skbuff.h>
#include <net/dst.h>
#include <net/sock.h>

#ifdef CONFIG_NET

/* The note SkBuff::set_ends_record(), behind what the protocol has of skb->cb. */
#define SKB_ENDS_RECORD(skb) \
	(*(u32 *)((skb)->cb + SOCK_SKB_CB_OFFSET - sizeof(u32)))

/* Moves the bytes of one packet to the end of another, if that is cheap. */
__rust_helper bool rust_helper_sk_try_merge(struct sock *sk, struct sk_buff *to,
					    struct sk_buff *from, bool *stolen)
{
	int delta;

	if (SKB_ENDS_RECORD(to) || skb_shared(to) ||
	    !skb_try_coalesce(to, from, stolen, &delta))
		return false;
	atomic_add(delta, &sk->sk_rmem_alloc);
	sk_mem_charge(sk, delta);
	SKB_ENDS_RECORD(to) = SKB_ENDS_RECORD(from);
	if (from->tstamp) {
		to->tstamp = from->tstamp;
		to->tstamp_type = from->tstamp_type;
		*skb_hwtstamps(to) = *skb_hwtstamps(from);
	}
	return true;
}

/* Takes a chain of packets, which have no other user, into the receive queue. */
__rust_helper void rust_helper_sk_queue_bytes(struct sock *sk,
					      struct sk_buff *skb)
{
	struct sk_buff_head *queue = &sk->sk_receive_queue;
	struct sk_buff *next, *tail, *merged = NULL;
	struct sk_buff_head batch;
	bool stolen;

	__skb_queue_head_init(&batch);
	for (; skb; skb = next) {
		next = skb->next;
		skb_mark_not_on_list(skb);
		skb_dst_drop(skb);
		nf_reset_ct(skb);
		skb->dev = NULL;
		skb_orphan(skb);
		tail = skb_peek_tail(&batch);
		if (tail && rust_helper_sk_try_merge(sk, tail, skb, &stolen)) {
			kfree_skb_partial(skb, stolen);
			continue;
		}
		sock_skb_set_dropcount(sk, skb);
		skb_set_owner_r(skb, sk);
		__skb_queue_tail(&batch, skb);
	}

	skb = skb_peek(&batch);
	if (!skb)
		return;
	spin_lock_bh(&queue->lock);
	/* With the lock held, nobody begins to peek at the tail. */
	tail = skb_peek_tail(queue);
	if (tail && rust_helper_sk_try_merge(sk, tail, skb, &stolen)) {
		__skb_unlink(skb, &batch);
		merged = skb;
	}
	skb_queue_splice_tail(&batch, queue);
	spin_unlock_bh(&queue->lock);
	if (merged)
		kfree_skb_partial(merged, stolen);
}

/*
 * Takes all packets out of the receive queue, as a chain that ends with *last,
 * and makes the charge of each one keep the socket until destructor gives that
 * up. A packet that somebody peeks at comes as a clone; without memory for it,
 * that one and those behind it stay.
 */
__rust_helper struct sk_buff *
rust_helper_sk_take_received(struct sock *sk,
			     void (*destructor)(struct sk_buff *skb),
			     struct sk_buff **last, size_t *count)
{
	struct sk_buff_head *queue = &sk->sk_receive_queue;
	struct sk_buff *skb, *clone, *first = NULL;
	struct sk_buff_head list;
	size_t n = 0;

	*last = NULL;
	*count = 0;
	if (skb_queue_empty_lockless(queue) ||
	    !refcount_inc_not_zero(&sk->sk_refcnt))
		return NULL;

	__skb_queue_head_init(&list);
	spin_lock_bh(&queue->lock);
	skb_queue_splice_tail_init(queue, &list);
	spin_unlock_bh(&queue->lock);

	while ((skb = __skb_dequeue(&list))) {
		if (unlikely(skb_shared(skb))) {
			clone = skb_clone(skb, GFP_ATOMIC | __GFP_NOWARN);
			if (!clone) {
				__skb_queue_head(&list, skb);
				spin_lock_bh(&queue->lock);
				skb_queue_splice(&list, queue);
				spin_unlock_bh(&queue->lock);
				break;
			}
			skb_set_owner_r(clone, sk);
			consume_skb(skb);
			skb = clone;
		}
		skb->destructor = destructor;
		if (first)
			(*last)->next = skb;
		else
			first = skb;
		*last = skb;
		n++;
	}

	/* One reference for each packet, of which there is one by now. */
	if (n > 1)
		refcount_add(n - 1, &sk->sk_refcnt);
	else if (!n)
		sock_put(sk);
	*count = n;
	return first;
}

__rust_helper void rust_helper_sock_rfree_put(struct sk_buff *skb)
{
	struct sock *sk = skb->sk;

	sock_rfree(skb);
	sock_put(sk);
}

#endif
