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
    struct block_list {
        void **blocks;
        size_t n, room;
    } made, freed; /* freed: of those made, what is given back only when the parse is over */
} parse;

/* jansson's before us: the program that this library is part of may have chosen them. */
static json_malloc_t plain_malloc;
static json_free_t plain_free;

static void make_room(struct block_list *list)
{
    if (list->n < list->room)
        return;
    const size_t room = list->room ? 2 * list->room : 64;
    void **grown = realloc(list->blocks, room * sizeof *grown);
    if (!grown)
        longjmp(parse.out_of_memory, 1);
    list->blocks = grown;
    list->room = room;
}

static void *tracked_malloc(size_t size)
{
    if (!parse.runs)
        return plain_malloc(size);
    make_room(&parse.made);
    void *block = plain_malloc(size);
    if (!block)
        longjmp(parse.out_of_memory, 1);
    parse.made.blocks[parse.made.n++] = block;
    return block;
}

/* What a parser frees is mostly what it allocated last. A text that fails at its end is another matter: its values are
 * freed from the first on, and to look for each among all would take the square of their number. */
static void tracked_free(void *block)
{
    enum { NEAR = 64 };
    if (!parse.runs || !block) {
        plain_free(block);
        return;
    }
    for (size_t i = parse.made.n; i > 0 && parse.made.n - i < NEAR; i--)
        if (parse.made.blocks[i - 1] == block) {
            parse.made.blocks[i - 1] = parse.made.blocks[--parse.made.n];
            plain_free(block);
            return;
        }
    make_room(&parse.freed);
    parse.freed.blocks[parse.freed.n++] = block;
}

static void give_back(struct block_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        plain_free(list->blocks[i]);
}

static void track(void)
{
    json_get_alloc_funcs(&plain_malloc, &plain_free);
    json_set_alloc_funcs(tracked_malloc, tracked_free);
}

static json_t *load(const char *text, size_t n, size_t flags, json_error_t *fault, bool *no_memory)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    json_t *volatile value = NULL; /* setjmp may return twice */
    (void)pthread_once(&once, track);
    parse.made = parse.freed = (struct block_list){0};
    if (setjmp(parse.out_of_memory) == 0) {
        parse.runs = true;
        value = json_loadb(text, n, flags, fault);
    } else {
        *no_memory = true;
    }
    parse.runs = false;
    give_back(value ? &parse.freed : &parse.made); /* without a value all that was made is of no use */
    free(parse.made.blocks);
    free(parse.freed.blocks);
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
