// SPDX-License-Identifier: GPL-2.0

#include <linux/skbuff.h>
#include <net/dst.h>

#ifdef CONFIG_NET

__rust_helper struct sk_buff *rust_helper_alloc_skb(unsigned int size,
						    gfp_t flags)
{
	return alloc_skb(size, flags);
}

__rust_helper struct sk_buff *rust_helper_alloc_skb_fclone(unsigned int size,
							   gfp_t flags)
{
	return alloc_skb_fclone(size, flags);
}

__rust_helper struct sk_buff *rust_helper_skb_share_check(struct sk_buff *skb,
							  gfp_t flags)
{
	return skb_share_check(skb, flags);
}

__rust_helper void rust_helper_skb_reserve(struct sk_buff *skb, int len)
{
	skb_reserve(skb, len);
}

__rust_helper unsigned int rust_helper_skb_headlen(const struct sk_buff *skb)
{
	return skb_headlen(skb);
}

__rust_helper int rust_helper_skb_tailroom(const struct sk_buff *skb)
{
	return skb_tailroom(skb);
}

__rust_helper int rust_helper_skb_cloned(const struct sk_buff *skb)
{
	return skb_cloned(skb);
}

__rust_helper int rust_helper_skb_cow_head(struct sk_buff *skb,
					   unsigned int headroom)
{
	return skb_cow_head(skb, headroom);
}

__rust_helper bool rust_helper_pskb_may_pull(struct sk_buff *skb,
					     unsigned int len)
{
	return pskb_may_pull(skb, len);
}

__rust_helper int rust_helper_pskb_trim_rcsum(struct sk_buff *skb,
					      unsigned int len)
{
	return pskb_trim_rcsum(skb, len);
}

__rust_helper void rust_helper_skb_reset_network_header(struct sk_buff *skb)
{
	skb_reset_network_header(skb);
}

__rust_helper void rust_helper_skb_set_flow_hash(struct sk_buff *skb, u32 hash)
{
	__skb_set_sw_hash(skb, hash, true);
}

__rust_helper const void *
rust_helper_skb_mac_header_checked(const struct sk_buff *skb, unsigned int len)
{
	if (!skb_mac_header_was_set(skb))
		return NULL;
	if (skb_mac_header(skb) + len > skb_tail_pointer(skb))
		return NULL;
	return skb_mac_header(skb);
}

__rust_helper bool rust_helper_skb_checksum_is_needed(struct sk_buff *skb)
{
	return __skb_checksum_validate_needed(skb, false, 0);
}

__rust_helper bool
rust_helper_skb_checksum_is_valid(struct sk_buff *skb, __wsum pseudo)
{
	return !__skb_checksum_validate_complete(skb, true, pseudo);
}

__rust_helper u32 rust_helper_skb_pkt_type(const struct sk_buff *skb)
{
	return skb->pkt_type;
}

__rust_helper void rust_helper___skb_header_release(struct sk_buff *skb)
{
	__skb_header_release(skb);
}

__rust_helper unsigned int rust_helper_skb_headroom(const struct sk_buff *skb)
{
	return skb_headroom(skb);
}

/* A packet that is several in one piece, which nothing but software cuts. */
__rust_helper void rust_helper_skb_set_gso_list(struct sk_buff *skb, u16 size,
						u16 segs)
{
	skb_shinfo(skb)->gso_size = size;
	skb_shinfo(skb)->gso_segs = segs;
	skb_shinfo(skb)->gso_type = size ? SKB_GSO_FRAGLIST : 0;
}

__rust_helper u16 rust_helper_skb_gso_list_size(const struct sk_buff *skb)
{
	if (!(skb_shinfo(skb)->gso_type & SKB_GSO_FRAGLIST))
		return 0;
	return skb_shinfo(skb)->gso_size;
}

__rust_helper void rust_helper_skb_set_truesize(struct sk_buff *skb)
{
	skb->truesize = SKB_TRUESIZE(skb_end_offset(skb)) + skb->data_len;
}

__rust_helper void rust_helper_skb_orphan(struct sk_buff *skb)
{
	skb_orphan(skb);
}

__rust_helper void rust_helper_skb_forget_path(struct sk_buff *skb)
{
	skb_dst_drop(skb);
	nf_reset_ct(skb);
}

__rust_helper void rust_helper_skb_leave_path(struct sk_buff *skb)
{
	skb_orphan(skb);
	skb_dst_drop(skb);
	nf_reset_ct(skb);
	skb->dev = NULL;
}

__rust_helper struct sk_buff *rust_helper_skb_next(const struct sk_buff *skb)
{
	return skb->next;
}

__rust_helper void rust_helper_skb_set_next(struct sk_buff *skb,
					    struct sk_buff *next)
{
	skb->next = next;
}

__rust_helper bool rust_helper_skb_has_frag_list(const struct sk_buff *skb)
{
	return skb_has_frag_list(skb);
}

__rust_helper void rust_helper_skb_set_frag_list(struct sk_buff *skb,
						 struct sk_buff *list,
						 unsigned int len,
						 unsigned int truesize)
{
	skb_shinfo(skb)->frag_list = list;
	skb->len += len;
	skb->data_len += len;
	skb->truesize += truesize;
	skb->tstamp = list->tstamp;
}

#endif
