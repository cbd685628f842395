/* jansson, with an eye on memory. Its values are many times larger than their text, so that their number is limited; and
 * where an allocation fails in the middle of a text it may take good text for malformed, lose characters of a string, end
 * the process or free what it never had (2.14). Here it never learns of one: the parse ends. */
#ifndef CLN_JSON_H
#define CLN_JSON_H

#include <jansson.h>
#include <stdbool.h>

enum { CLN_JSON_MAX_LISTS = 1 << 18, CLN_JSON_MAX_VALUES = 1 << 22 };

/* json_loadb with the limits above; NULL with *no_memory where memory ran out: calling the text damaged would then be wrong. */
json_t *cln_json_load(const void *text, size_t n, size_t flags, json_error_t *fault, bool *no_memory);

/* json_dumps; freed by the caller, NULL where memory ran out. */
char *cln_json_dump(const json_t *value, size_t flags);

/* Puts `value` at the end of the list, and takes both over: NULL where either is NULL or memory ran out, and then
 * nothing is left of them. */
json_t *cln_json_append(json_t *list, json_t *value);

#endif
