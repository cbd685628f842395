#include "tuning.h"

#include "file.h"
#include "program.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LINES = 4096, MAX_BYTES = 1 << 20, HEADER = 512 };

static const char magic[] = "# clnorm tune 1 ", ending[] = "# end\n";

/* ---- lists --------------------------------------------------------------------------------------- */

static cln_tuning *new_tuning(cln_error *err)
{
    cln_tuning *t = calloc(1, sizeof *t);
    if (!t)
        CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory for a tuning table");
    return t;
}

void cln_tuning_free(cln_tuning *t)
{
    if (!t)
        return;
    free(t->lines);
    free(t);
}

static int insert(cln_tuning *t, int at, const cln_tune_line *line, cln_error *err)
{
    cln_tune_line *grown =
        t->n < MAX_LINES ? realloc(t->lines, (size_t)(t->n + 1) * sizeof *grown) : NULL;
    if (!grown)
        return CLN_FAIL(err, t->n < MAX_LINES ? CLN_ERR_MEMORY : CLN_ERR_DATA,
                        "no room for more than %d lines in a tuning table", t->n);
    t->lines = grown;
    memmove(grown + at + 1, grown + at, (size_t)(t->n - at) * sizeof *grown);
    grown[at] = *line;
    t->n++;
    return CLN_OK;
}

int cln_tuning_parse(const char *text, size_t n, cln_tuning **out, cln_error *err)
{
    cln_tuning *t = new_tuning(err);
    int rc = t ? CLN_OK : CLN_ERR_MEMORY, number = 1;
    for (size_t at = 0; at < n && !rc; number++) {
        const char *end = memchr(text + at, '\n', n - at);
        const size_t length = end ? (size_t)(end - text) - at : n - at;
        cln_tune_line line;
        const int found = cln_tune_parse(text + at, length, &line);
        if (found < 0)
            rc = CLN_FAIL(err, CLN_ERR_DATA, "line %d is none of a tuning table", number);
        else if (found > 0)
            rc = insert(t, t->n, &line, err);
        at += length + 1;
    }
    if (rc) {
        cln_tuning_free(t);
        return rc;
    }
    *out = t;
    return CLN_OK;
}

static bool same_scope(const cln_tune_line *a, const cln_tune_line *b)
{
    const cln_tune_shape *s = &a->shape, *t = &b->shape;
    return a->cls == b->cls && a->own_local == b->own_local && a->direction == b->direction && a->exact == b->exact && a->macs == b->macs &&
           s->k == t->k && s->stride == t->stride && s->ci == t->ci && s->co == t->co && s->h == t->h && s->w == t->w && s->pad == t->pad;
}

int cln_tuning_put(cln_tuning *t, const cln_tune_line *line, cln_error *err)
{
    for (int i = 0; i < t->n; i++)
        if (same_scope(&t->lines[i], line)) {
            t->lines[i] = *line;
            return CLN_OK;
        }
    return insert(t, 0, line, err);
}

char *cln_tuning_text(const cln_tuning *t)
{
    char *text = malloc((size_t)t->n * (CLN_TUNE_LINE_TEXT + 1) + 1), line[CLN_TUNE_LINE_TEXT];
    size_t at = 0;
    if (!text)
        return NULL;
    text[0] = '\0';
    for (int i = 0; i < t->n; i++) {
        cln_tune_print(&t->lines[i], line);
        at += (size_t)sprintf(text + at, "%s\n", line);
    }
    return text;
}

int cln_tuning_of_plan(const cln_plan *plan, cln_tuning **out, cln_error *err)
{
    const cln_net *net = plan->net;
    cln_tuning *t = new_tuning(err);
    int rc = t ? CLN_OK : CLN_ERR_MEMORY;
    for (int i = net->n_layers - 1; i >= 0 && !rc; i--) { /* each goes before the others */
        const cln_tune *tune = &plan->nodes[i].tune;
        const cln_conv_algo algos[] = {tune->fwd, tune->bwd_data, tune->bwd_params};
        for (int d = CLN_TUNE_MICRO - 1; d >= 0 && net->layers[i].op->resolve && tune->shape.k && !rc; d--)
            rc = cln_tuning_put(t, &(cln_tune_line){.cls = tune->cls, .direction = d, .exact = true, .shape = tune->shape,
                                                    .algo = algos[d]}, err);
    }
    /* A plan that needs the whole batch to train may be evaluated with less of it at a time. */
    const double macs = cln_net_macs(net);
    const int images = cln_tune_micro(plan->dev, &plan->options.tune, macs, net->input.n);
    if (!rc)
        rc = cln_tuning_put(t, &(cln_tune_line){.cls = plan->nodes[0].tune.cls, .direction = CLN_TUNE_MICRO, .exact = true,
                                                .macs = macs, .images = images}, err);
    if (rc) {
        cln_tuning_free(t);
        return rc;
    }
    *out = t;
    return CLN_OK;
}

/* ---- the device's -------------------------------------------------------------------------------- */

static bool make_key(const cln_device *dev, char key[CLN_CACHE_KEY])
{
    char device[CLN_CACHE_KEY];
    const char *parts[] = {"tuning table", device, dev->info.simulated};
    return cln_program_fingerprint(dev, device) && cln_cache_key(parts, sizeof parts / sizeof parts[0], key);
}

int cln_tuning_path(const cln_device *dev, char path[], size_t size, cln_error *err)
{
    char dir[CLN_PATH_MAX], name[64], key[CLN_CACHE_KEY];
    if (!make_key(dev, key))
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory while looking for a tuning table");
    if (!cln_cache_dir(dir, sizeof dir))
        return CLN_FAIL(err, CLN_ERR_IO, "there is no cache folder for a tuning table: set CLNORM_CACHE_DIR or HOME");
    snprintf(name, sizeof name, "tune-%.16s.table", key);
    return cln_path_join(path, size, dir, name, err);
}

/* The file behind its first line, and whole. */
static int check_frame(const cln_device *dev, const char *text, size_t n, cln_error *err)
{
    char key[CLN_CACHE_KEY];
    const size_t start = sizeof magic - 1, end = sizeof ending - 1;
    if (!make_key(dev, key))
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory");
    if (n < start + CLN_CACHE_KEY + end || memcmp(text, magic, start) != 0 || memcmp(text + n - end, ending, end) != 0)
        return CLN_FAIL(err, CLN_ERR_DATA, "it is damaged");
    if (memcmp(text + start, key, CLN_CACHE_KEY - 1) != 0)
        return CLN_FAIL(err, CLN_ERR_DATA, "it is of another device, driver or version");
    return CLN_OK;
}

static int read_table(cln_device *dev, cln_tuning **out, cln_error *err)
{
    char path[CLN_PATH_MAX], text[1024];
    unsigned char *bytes = NULL;
    size_t n = 0;
    cln_error why = {0};
    int rc = cln_tuning_path(dev, path, sizeof path, &why);
    if (rc == CLN_ERR_MEMORY)
        return CLN_FAIL(err, rc, "%s", why.text);
    if (rc)
        return CLN_OK;
    rc = cln_file_read_all(path, MAX_BYTES, &bytes, &n, &why);
    if (rc == CLN_ERR_IO && (errno == ENOENT || !cln_file_exists(path)))
        return CLN_OK; /* whatever kept it from being opened */
    if (!rc)
        rc = check_frame(dev, (const char *)bytes, n, &why);
    if (!rc)
        rc = cln_tuning_parse((const char *)bytes, n, out, &why);
    free(bytes);
    if (rc == CLN_ERR_MEMORY)
        return CLN_FAIL(err, rc, "%s", why.text);
    if (!rc)
        (*out)->measured = true;
    snprintf(text, sizeof text, "warning: the tuning table %.400s is left alone: %.400s; `clnorm tune` makes a new one", path,
             why.text);
    if (rc && dev->notice)
        dev->notice(dev->notice_arg, text);
    return CLN_OK;
}

int cln_tuning_load(cln_device *dev, cln_error *err)
{
    if (dev->tuning)
        return CLN_OK;
    int rc = read_table(dev, &dev->tuning, err);
    if (!rc && !dev->tuning)
        dev->tuning = new_tuning(err);
    return rc || dev->tuning ? rc : CLN_ERR_MEMORY;
}

void cln_tuning_use(cln_device *dev, cln_tuning *t)
{
    cln_tuning_free(dev->tuning);
    dev->tuning = t;
}

bool cln_tuning_unknown(cln_device *dev)
{
    const cln_tune_request automatic = {CLN_CLASS_AUTO, -1};
    return cln_tune_class(&dev->info, &automatic) == CLN_CLASS_SIMT && !cln_tuning_load(dev, NULL) && !dev->tuning->measured;
}

int cln_tuning_store(const cln_device *dev, const cln_tuning *t, cln_error *err)
{
    char path[CLN_PATH_MAX], dir[CLN_PATH_MAX], header[HEADER], key[CLN_CACHE_KEY];
    cln_writer w = {0};
    char *lines = cln_tuning_text(t);
    int rc = lines && make_key(dev, key) ? CLN_OK : CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory for a tuning table");
    if (!rc)
        rc = cln_tuning_path(dev, path, sizeof path, err);
    if (!rc && cln_cache_dir(dir, sizeof dir))
        rc = cln_dir_make(dir, err);
    if (!rc)
        rc = cln_writer_open(&w, path, err);
    if (rc) {
        free(lines);
        return rc;
    }
    snprintf(header, sizeof header, "%s%s\n# %s; lines as in clnorm's cl/tune.table\n", magic, key, dev->info.name);
    rc = cln_writer_put(&w, header, strlen(header), err);
    if (!rc)
        rc = cln_writer_put(&w, lines, strlen(lines), err);
    if (!rc)
        rc = cln_writer_put(&w, ending, sizeof ending - 1, err);
    free(lines);
    return cln_writer_close(&w, rc, err);
}
