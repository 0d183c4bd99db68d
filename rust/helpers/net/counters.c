// SPDX-License-Identifier: GPL-2.0

#include <linux/cpumask.h>
#include <linux/percpu.h>

#ifdef CONFIG_NET

__rust_helper unsigned long __percpu *
rust_helper_alloc_percpu_ulongs(size_t count)
{
	return __alloc_percpu(array_size(count, sizeof(unsigned long)),
			      sizeof(unsigned long));
}

__rust_helper void rust_helper_this_cpu_add_ulong(unsigned long __percpu *p,
						  unsigned long value)
{
	this_cpu_add(*p, value);
}

__rust_helper u64 rust_helper_percpu_sum_ulong(unsigned long __percpu *p)
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(*per_cpu_ptr(p, cpu));
	return sum;
}

#endif
