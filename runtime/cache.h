/* The kernel cache on disk: byte strings under a SHA-256 key. Knows nothing of OpenCL. Every
 * failure is a miss: a cache is only a cache. Safe between processes: files appear whole. */
#ifndef CLN_CACHE_H
#define CLN_CACHE_H

#include <stdbool.h>
#include <stddef.h>

enum { CLN_CACHE_KEY = 65 }; /* 64 hexadecimal digits and a NUL */

/* The key of `n` texts in this order; each is hashed with its length, so that texts cannot run into
 * one another, and with the file format's version. False: no digest could be computed. */
bool cln_cache_key(const char *const *parts, size_t n, char key[CLN_CACHE_KEY]);

/* The folder, without making it; false where the environment names none or its name is too long. */
bool cln_cache_dir(char *out, size_t size);

/* The bytes stored under `key`; *bytes is malloc'ed, the caller frees. False where the file is
 * absent, of another format, truncated or altered (its digest is checked). */
bool cln_cache_load(const char *key, unsigned char **bytes, size_t *size);

/* Stores the bytes, making the folder where necessary ($CLNORM_CACHE_DIR, else
 * $XDG_CACHE_HOME/clnorm, else ~/.cache/clnorm). False where that failed. */
bool cln_cache_store(const char *key, const unsigned char *bytes, size_t size);

#endif
