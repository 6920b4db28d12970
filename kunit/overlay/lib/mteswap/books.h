/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the host hooks tell the tests' books, where there are any. */
#ifndef MTESWAP_BOOKS_H
#define MTESWAP_BOOKS_H

#include <linux/types.h>

#ifdef MTESWAP_BOOKS
/* False where the request is to fail. */
bool books_may_alloc(bool may_sleep);
/* False where there is no memory to note it. */
bool books_alloc(void *ptr, size_t size, size_t align);
void books_free(void *ptr, size_t size, size_t align);
void books_wait(void);
/* True: it is counted, and the kernel need not hear of it. */
bool books_warn(unsigned int warning);
/* Nobody calls the library any more: nothing may be out. */
void books_close(void);
#else
static inline bool books_may_alloc(bool may_sleep) { return true; }
static inline bool books_alloc(void *ptr, size_t size, size_t align) { return true; }
static inline void books_free(void *ptr, size_t size, size_t align) { }
static inline void books_wait(void) { }
static inline bool books_warn(unsigned int warning) { return false; }
static inline void books_close(void) { }
#endif

#endif
