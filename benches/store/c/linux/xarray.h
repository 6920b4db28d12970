/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Found by the kernel's own file, which includes <linux/xarray.h>. */
#include <include/linux/xarray.h>
