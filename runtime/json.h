/* jansson, with an eye on memory. Where an allocation fails it may call good text malformed, or read and print another
 * number than is there: errno tells. */
#ifndef CLN_JSON_H
#define CLN_JSON_H

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>

/* json_loadb; NULL with *no_memory where memory ran out: calling the text damaged would then be wrong. */
static inline json_t *cln_json_load(const void *text, size_t n, size_t flags, json_error_t *fault,
                                    bool *no_memory)
{
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

#endif
