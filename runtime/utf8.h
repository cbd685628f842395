/* Which bytes are text: files, names and comments come from anywhere, JSON and pictures take UTF-8 alone. */
#ifndef CLN_UTF8_H
#define CLN_UTF8_H

#include <stdbool.h>

/* Bytes of the character that begins at s, which a NUL ends somewhere; 0: none (overlong forms and surrogates are none
 * either). */
int cln_utf8_length(const char *s);

/* Whether all of `text` is UTF-8. */
bool cln_utf8(const char *text);

/* Whether a control character is in it: what is printed, or stands in a file of ours, has none. */
bool cln_has_control(const char *text);

#endif
