#include "json.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- allocations of a parse ---------------------------------------------------------------------- */

/* What jansson has allocated while it parses in this thread, so that a failure can give all of it back. */
static _Thread_local struct {
    bool runs;
    jmp_buf out_of_memory;
    void **blocks;
    size_t n, room;
} parse;

/* jansson's before us: the program that this library is part of may have chosen them. */
static json_malloc_t plain_malloc;
static json_free_t plain_free;

static void *tracked_malloc(size_t size)
{
    if (!parse.runs)
        return plain_malloc(size);
    if (parse.n == parse.room) {
        const size_t room = parse.room ? 2 * parse.room : 64;
        void **grown = realloc(parse.blocks, room * sizeof *grown);
        if (!grown)
            longjmp(parse.out_of_memory, 1);
        parse.blocks = grown;
        parse.room = room;
    }
    void *block = plain_malloc(size);
    if (!block)
        longjmp(parse.out_of_memory, 1);
    parse.blocks[parse.n++] = block;
    return block;
}

/* What a parser frees is mostly what it allocated last. */
static void tracked_free(void *block)
{
    for (size_t i = parse.runs && block ? parse.n : 0; i > 0; i--)
        if (parse.blocks[i - 1] == block) {
            parse.blocks[i - 1] = parse.blocks[--parse.n];
            break;
        }
    plain_free(block);
}

static void track(void)
{
    json_get_alloc_funcs(&plain_malloc, &plain_free);
    json_set_alloc_funcs(tracked_malloc, tracked_free);
}

static json_t *load(const char *text, size_t n, size_t flags, json_error_t *fault, bool *no_memory)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    json_t *value = NULL;
    (void)pthread_once(&once, track);
    parse.blocks = NULL;
    parse.n = parse.room = 0;
    if (setjmp(parse.out_of_memory) == 0) {
        parse.runs = true;
        value = json_loadb(text, n, flags, fault);
        parse.runs = false;
    } else {
        parse.runs = false;
        *no_memory = true;
        while (parse.n > 0)
            plain_free(parse.blocks[--parse.n]);
    }
    free(parse.blocks);
    return value;
}

/* ---- what the others call ------------------------------------------------------------------------ */

/* jansson takes some 300 bytes for "{}," and 40 for "1,": what is larger than that is refused before it is parsed. No
 * file of ours comes near; separators within strings count as well. */
static bool fits(const char *text, size_t n)
{
    size_t lists = 0, values = 0;
    for (size_t i = 0; i < n; i++) {
        lists += text[i] == '[' || text[i] == '{';
        values += text[i] == ',';
    }
    return lists <= CLN_JSON_MAX_LISTS && values <= CLN_JSON_MAX_VALUES;
}

json_t *cln_json_load(const void *text, size_t n, size_t flags, json_error_t *fault, bool *no_memory)
{
    *no_memory = false;
    if (fits(text, n))
        return load(text, n, flags, fault, no_memory);
    if (fault) {
        memset(fault, 0, sizeof *fault);
        snprintf(fault->text, sizeof fault->text, "more than %d lists and objects, or %d values", CLN_JSON_MAX_LISTS,
                 CLN_JSON_MAX_VALUES);
    }
    return NULL;
}

char *cln_json_dump(const json_t *value, size_t flags)
{
    errno = 0; /* it may print another number than is there */
    char *text = json_dumps(value, flags);
    if (errno != ENOMEM)
        return text;
    free(text);
    return NULL;
}

json_t *cln_json_append(json_t *list, json_t *value)
{
    if (list && !json_array_append_new(list, value))
        return list;
    if (!list)
        json_decref(value);
    json_decref(list);
    return NULL;
}
