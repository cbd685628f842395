/* Base64 (RFC 4648): pixels in JSON, pictures in HTML. */
#ifndef CLN_BASE64_H
#define CLN_BASE64_H

#include <stdbool.h>
#include <stddef.h>

/* The text of n bytes with its NUL, malloc'ed; NULL: no memory. */
char *cln_base64_encode(const void *bytes, size_t n);

/* Exactly n bytes out of a NUL-terminated text with padding and nothing else; false: it is not that. */
bool cln_base64_decode(const char *text, unsigned char *bytes, size_t n);

#endif
