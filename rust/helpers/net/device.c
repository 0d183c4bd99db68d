// SPDX-License-Identifier: GPL-2.0

#include <linux/etherdevice.h>
#include <linux/netdevice.h>

#ifdef CONFIG_NET

__rust_helper void rust_helper_local_bh_disable(void)
{
	local_bh_disable();
}

__rust_helper void rust_helper_local_bh_enable(void)
{
	local_bh_enable();
}

__rust_helper void rust_helper_dev_hold(struct net_device *dev)
{
	dev_hold(dev);
}

__rust_helper void rust_helper_dev_put(struct net_device *dev)
{
	dev_put(dev);
}

__rust_helper struct net *rust_helper_dev_net(const struct net_device *dev)
{
	return dev_net(dev);
}

__rust_helper unsigned int rust_helper_dev_mtu(const struct net_device *dev)
{
	return READ_ONCE(dev->mtu);
}

__rust_helper bool rust_helper_dev_has_gso(const struct net_device *dev)
{
	return READ_ONCE(dev->features) & NETIF_F_GSO;
}

__rust_helper unsigned int rust_helper_dev_flags(const struct net_device *dev)
{
	return READ_ONCE(dev->flags);
}

__rust_helper void rust_helper_dev_copy_eth_addr(const struct net_device *dev,
						 u8 *addr)
{
	memcpy(addr, READ_ONCE(dev->dev_addr), ETH_ALEN);
}

__rust_helper unsigned int
rust_helper_dev_ll_reserved_space(const struct net_device *dev)
{
	return LL_RESERVED_SPACE(dev);
}

__rust_helper void rust_helper_skb_set_dev_protocol(struct sk_buff *skb,
						    struct net_device *dev,
						    __be16 protocol)
{
	skb->dev = dev;
	skb->protocol = protocol;
}

__rust_helper void rust_helper_skb_turn_around(struct sk_buff *skb,
					       struct net_device *dev)
{
	skb_tx_timestamp(skb);
	skb_clear_tstamp(skb);
	skb_orphan(skb);
	skb->protocol = eth_type_trans(skb, dev);
}

__rust_helper int rust_helper_dev_queue_xmit(struct sk_buff *skb)
{
	return dev_queue_xmit(skb);
}

__rust_helper int rust_helper_net_xmit_errno(int code)
{
	return net_xmit_errno(code);
}

__rust_helper struct net_device *
rust_helper_netdev_notifier_info_to_dev(const struct netdev_notifier_info *info)
{
	return netdev_notifier_info_to_dev(info);
}

#endif
