/* SPDX-License-Identifier: GPL-2.0 */
/* The harness of the C tests, with what every EMT test needs. */
#ifndef EMT_TEST_H
#define EMT_TEST_H

#include "../../kselftest_harness.h"
#include "emt_lib.h"

/* An emulated kernel with KASAN and lockdep is up to fifty times slower. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	180

/* An emulated machine, say: what only has more of the same does with less, as in netdev's CI. */
static inline bool machine_slow(void)
{
	const char *slow = getenv("KSFT_MACHINE_SLOW");

	return slow && !strcmp(slow, "yes");
}

/* @count, or that part of it on a slow machine. */
static inline int as_many(int count, int part)
{
	return machine_slow() ? count / part : count;
}

/* The first line of a fixture's set-up. */
#define REQUIRE_EMT()							\
	do {								\
		if (!emt_supported())					\
			SKIP(return, "no AF_EMT: no CONFIG_EMT, or no module"); \
	} while (0)

/* The call fails with that errno. */
#define EXPECT_ERRNO(err, call)						\
	do {								\
		int want_ = (err);					\
									\
		errno = 0;						\
		EXPECT_EQ(-1, (long)(call));				\
		EXPECT_EQ(want_, errno) {				\
			TH_LOG("%s: got \"%s\", want \"%s\"", #call,	\
			       strerror(errno), strerror(want_));	\
		}							\
	} while (0)

#endif /* EMT_TEST_H */
