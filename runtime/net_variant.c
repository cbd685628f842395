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

int cln_net_rewrite(const char *name, const char *text, const cln_net_variant *v, char **out, cln_error *err)
{
    static const char variable[] = "$act";
    size_t lines = 1;
    int acts = 0;
    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    char *to = malloc(strlen(text) + lines * 16 + 1), *at = to;
    if (!to)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "no memory for model %.200s", name);
    for (const char *line = text; *line;) {
        const size_t length = strcspn(line, "\n"), whole = length + (line[length] == '\n');
        const char *word = word_of(line, length), *rest = word;
        memcpy(at, line, (size_t)(word - line));
        at += word - line;
        if (v->act && is_word(word, line + length, variable)) {
            memcpy(at, v->act, strlen(v->act));
            at += strlen(v->act);
            rest += strlen(variable);
            acts++;
        }
        memcpy(at, rest, (size_t)(line + whole - rest));
        at += line + whole - rest;
        line += whole;
    }
    *at = '\0';
    if (v->act && strcmp(v->act, "relu") != 0 && !acts) {
        free(to);
        return CLN_FAIL(err, CLN_ERR_ARGUMENT, "act: %.200s has no line $act that could be %s", name, v->act);
    }
    *out = to;
    return CLN_OK;
}
