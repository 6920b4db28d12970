/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#define might_alloc(flags) ((void)(flags))
