// SPDX-License-Identifier: MIT OR Apache-2.0
/* The fault that the kernel's command line names: mteswap_kunit_tests.fault=. */
#include <linux/moduleparam.h>
#include <linux/string.h>

#include "faults/broken.h"

static char *chosen = "";
module_param_named(fault, chosen, charp, 0444);
MODULE_PARM_DESC(fault, "the fault to put between the suites and the library");

bool broken(const char *fault)
{
	return !strcmp(chosen, fault);
}
