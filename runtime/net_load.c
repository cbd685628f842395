/* Networks by name: those that are built in, and files. */
#include "names.h"
#include "net.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t cln_net_stem(const char *name)
{
    const size_t length = strlen(name);
    return length > 4 && strcmp(name + length - 4, ".net") == 0 ? length - 4 : 0;
}

bool cln_net_is_path(const char *name)
{
    return strchr(name, '/') || cln_net_stem(name);
}

const char **cln_net_builtin(void)
{
    size_t count = 0, chars = 0;
    for (const cln_embedded_file *f = cln_embedded; f->name; f++) {
        size_t length = cln_net_stem(f->name);
        count += length > 0;
        chars += length ? length + 1 : 0;
    }
    /* one block, the names behind the pointers, so that the caller has one thing to free */
    const char **names = calloc(1, (count + 1) * sizeof *names + chars);
    if (!names)
        return NULL;
    char *to = (char *)(names + count + 1);
    size_t i = 0;
    for (const cln_embedded_file *f = cln_embedded; f->name; f++) {
        size_t length = cln_net_stem(f->name);
        if (!length)
            continue;
        memcpy(to, f->name, length);
        names[i++] = to;
        to += length + 1;
    }
    return names;
}

static int unknown_model(const char *model, cln_error *err)
{
    cln_names known = {""};
    const char **names = cln_net_builtin();
    for (size_t i = 0; names && names[i]; i++)
        cln_names_add(&known, names[i]);
    free(names);
    return CLN_FAIL(err, CLN_ERR_ARGUMENT,
                    "unknown model '%.100s': built in are %s; the path of a file contains '/' or"
                    " ends in .net",
                    model, known.text);
}

/* The text of a file of at most CLN_NET_BYTES, into `text` of CLN_NET_BYTES + 2. */
static int read_text(const char *path, char *text, cln_error *err)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return CLN_FAIL(err, CLN_ERR_IO, "cannot open model %.200s: %s", path, strerror(errno));
    size_t length = fread(text, 1, CLN_NET_BYTES + 1, file);
    bool failed = ferror(file) != 0;
    int reason = errno;
    (void)fclose(file);
    if (failed)
        return CLN_FAIL(err, CLN_ERR_IO, "cannot read model %.200s: %s", path, strerror(reason));
    if (length > CLN_NET_BYTES)
        return CLN_FAIL(err, CLN_ERR_MODEL,
                        "%.200s: the file has more than the %d bytes that a model may have", path,
                        CLN_NET_BYTES);
    text[length] = '\0';
    size_t shown = strlen(text);
    if (shown == length)
        return CLN_OK;
    int line = 1;
    for (size_t i = 0; i < shown; i++)
        line += text[i] == '\n';
    return CLN_FAIL(err, CLN_ERR_MODEL, "%.200s:%d: a zero byte; this is not a text file", path,
                    line);
}

static int parse_variant(const char *name, const char *text, const cln_net_variant *variant, const char *norm, int groups,
                         int classes, cln_shape input, cln_net **out, cln_error *err)
{
    char *other = NULL;
    int rc = variant ? cln_net_rewrite(name, text, variant, &other, err) : CLN_OK;
    if (!rc)
        rc = cln_net_parse(name, other ? other : text, norm, groups, classes, input, out, err);
    free(other);
    return rc;
}

int cln_net_load(const char *model, const char *norm, int groups, int classes, cln_shape input,
                 cln_net **out, cln_error *err)
{
    return cln_net_load_as(model, NULL, norm, groups, classes, input, out, err);
}

int cln_net_load_as(const char *model, const cln_net_variant *variant, const char *norm, int groups, int classes, cln_shape input,
                    cln_net **out, cln_error *err)
{
    *out = NULL;
    if (!cln_net_is_path(model)) {
        char file[80];
        (void)snprintf(file, sizeof file, "%.70s.net", model);
        const cln_embedded_file *found = cln_embedded_find(file);
        if (!model[0] || strlen(model) > 70 || !found)
            return unknown_model(model, err);
        return parse_variant(model, (const char *)found->bytes, variant, norm, groups, classes, input, out, err);
    }
    char *text = malloc(CLN_NET_BYTES + 2);
    if (!text)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "no memory for model %.200s", model);
    int rc = read_text(model, text, err);
    if (!rc)
        rc = parse_variant(model, text, variant, norm, groups, classes, input, out, err);
    free(text);
    return rc;
}
