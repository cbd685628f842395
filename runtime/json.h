/* jansson, with an eye on memory. Its values are many times larger than their text, so that their number is limited.
 * Where an allocation fails it may call good text malformed, or read and print another
 * number than is there: errno tells. */
#ifndef CLN_JSON_H
#define CLN_JSON_H

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLN_JSON_MAX_LISTS = 1 << 18, CLN_JSON_MAX_VALUES = 1 << 22 };

/* jansson takes some 300 bytes for "{}," and 40 for "1,": what is larger than that is refused before it is parsed. No
 * file of ours comes near; separators within strings count as well. */
static inline bool cln_json_fits(const char *text, size_t n)
{
    size_t lists = 0, values = 0;
    for (size_t i = 0; i < n; i++) {
        lists += text[i] == '[' || text[i] == '{';
        values += text[i] == ',';
    }
    return lists <= CLN_JSON_MAX_LISTS && values <= CLN_JSON_MAX_VALUES;
}

/* json_loadb with the limits above; NULL with *no_memory where memory ran out: calling the text damaged would then be wrong. */
static inline json_t *cln_json_load(const void *text, size_t n, size_t flags, json_error_t *fault,
                                    bool *no_memory)
{
    *no_memory = false;
    if (!cln_json_fits((const char *)text, n)) {
        if (fault) {
            memset(fault, 0, sizeof *fault);
            snprintf(fault->text, sizeof fault->text, "more than %d lists and objects, or %d values",
                     CLN_JSON_MAX_LISTS, CLN_JSON_MAX_VALUES);
        }
        return NULL;
    }
    errno = 0;
    json_t *value = json_loadb((const char *)text, n, flags, fault);
    *no_memory = errno == ENOMEM;
    if (!*no_memory)
        return value;
    json_decref(value);
    return NULL;
}

/* json_dumps; freed by the caller, NULL where memory ran out. */
static inline char *cln_json_dump(const json_t *value, size_t flags)
{
    errno = 0;
    char *text = json_dumps(value, flags);
    if (errno != ENOMEM)
        return text;
    free(text);
    return NULL;
}

/* Puts `value` at the end of the list, and takes both over: NULL where either is NULL or memory ran out, and then
 * nothing is left of them. */
static inline json_t *cln_json_append(json_t *list, json_t *value)
{
    if (list && !json_array_append_new(list, value))
        return list;
    if (!list)
        json_decref(value);
    json_decref(list);
    return NULL;
}

#endif
