#include "net_variant.h"

#include <stdlib.h>
#include <string.h>

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

/* Where the line's layer has its word: behind blanks and a label. */
static const char *word_of(const char *line, size_t length)
{
    const char *at = line, *end = line + length;
    for (;;) {
        while (at < end && is_blank(*at))
            at++;
        const char *from = at;
        while (at < end && !is_blank(*at) && *at != ':' && *at != '#' && *at != '\r')
            at++;
        if (at == end || *at != ':')
            return from;
        at++;
    }
}

static bool is_word(const char *at, const char *end, const char *word)
{
    const size_t n = strlen(word);
    return (size_t)(end - at) >= n && memcmp(at, word, n) == 0 &&
           (at + n == end || is_blank(at[n]) || at[n] == '#' || at[n] == '\r');
}

/* Whether the next layer below `text` is $norm. */
static bool norm_follows(const char *text)
{
    for (const char *line = text; *line;) {
        const size_t length = strcspn(line, "\n");
        const char *word = word_of(line, length), *end = line + length;
        if (word < end && *word != '#' && *word != '\r')
            return is_word(word, end, "$norm");
        line = end + (*end == '\n');
    }
    return false;
}

/* The end of the line's last word: before blanks and a comment. */
static const char *end_of_words(const char *line, size_t length)
{
    const char *comment = memchr(line, '#', length), *end = comment ? comment : line + length;
    while (end > line && (is_blank(end[-1]) || end[-1] == '\r'))
        end--;
    return end;
}

static bool says(const char *from, const char *end, const char *what)
{
    const size_t n = strlen(what);
    for (; from + n <= end; from++)
        if (memcmp(from, what, n) == 0)
            return true;
    return false;
}

typedef struct text_writer {
    char *at;
    int acts, standards;
} text_writer;

static void put(text_writer *to, const char *from, size_t n)
{
    memcpy(to->at, from, n);
    to->at += n;
}

/* One line of `whole` bytes, newline included. */
static void rewrite_line(text_writer *to, const char *line, size_t length, size_t whole, const cln_net_variant *v)
{
    static const char variable[] = "$act", standard[] = " ws=1";
    const char *word = word_of(line, length), *rest = line;
    if (v->act && is_word(word, line + length, variable)) {
        put(to, line, (size_t)(word - line));
        put(to, v->act, strlen(v->act));
        rest = word + strlen(variable);
        to->acts++;
    } else if (v->ws && is_word(word, line + length, "conv") && norm_follows(line + whole)) {
        rest = end_of_words(line, length);
        put(to, line, (size_t)(rest - line));
        if (!says(line, rest, standard))
            put(to, standard, strlen(standard));
        to->standards++;
    }
    put(to, rest, (size_t)(line + whole - rest));
}

int cln_net_rewrite(const char *name, const char *text, const cln_net_variant *v, char **out, cln_error *err)
{
    enum { LONGEST = 16 }; /* that a line may grow by */
    size_t lines = 1;
    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    char *whole = malloc(strlen(text) + lines * LONGEST + 1);
    text_writer to = {.at = whole};
    if (!whole)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "no memory for model %.200s", name);
    for (const char *line = text; *line;) {
        const size_t length = strcspn(line, "\n"), all = length + (line[length] == '\n');
        rewrite_line(&to, line, length, all, v);
        line += all;
    }
    *to.at = '\0';
    *out = whole;
    if ((!v->act || !v->act_needed || strcmp(v->act, "relu") == 0 || to.acts) && (!v->ws || to.standards))
        return CLN_OK;
    free(whole);
    *out = NULL;
    return v->ws && !to.standards
               ? CLN_FAIL(err, CLN_ERR_ARGUMENT, "ws: %.200s has no convolution before a $norm", name)
               : CLN_FAIL(err, CLN_ERR_ARGUMENT, "act: %.200s has no line $act that could be %s", name, v->act);
}
