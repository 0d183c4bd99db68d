// SPDX-License-Identifier: GPL-2.0

#include <linux/netdevice.h>
#include <linux/skbuff.h>
#include <net/gso.h>

#ifdef CONFIG_NET

__rust_helper void *rust_helper___skb_pull(struct sk_buff *skb,
					   unsigned int len)
{
	return __skb_pull(skb, len);
}

__rust_helper unsigned char *
rust_helper_skb_network_header(const struct sk_buff *skb)
{
	return skb_network_header(skb);
}

__rust_helper int rust_helper_skb_network_offset(const struct sk_buff *skb)
{
	return skb_network_offset(skb);
}

/*
 * skb_segment() has summed up the payload where the device does not. In the
 * place of the checksum, which starts with the transport header, is the sum of
 * the pseudo-header; what all is summed up to then is its complement, which a
 * tunnel wants to know that has a checksum of its own.
 */
__rust_helper int rust_helper_skb_gso_finish_csum(struct sk_buff *skb)
{
	unsigned char *sum = skb_transport_header(skb) + skb->csum_offset;
	__wsum res;

	if (sum + sizeof(__sum16) > skb_tail_pointer(skb))
		return -EINVAL;
	res = ~csum_unfold((__force __sum16)get_unaligned((u16 *)sum));
	if (skb->ip_summed == CHECKSUM_PARTIAL)
		gso_reset_checksum(skb, res);
	else
		put_unaligned((__force u16)(gso_make_checksum(skb, res) ?: CSUM_MANGLED_0),
			      (u16 *)sum);
	return 0;
}

#endif
