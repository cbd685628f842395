#include "tune.h"

#include "ops/conv.h"
#include "program.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const algo_names[CLN_CONV_ALGOS] = {"vector", "simt", "gemm",
                                                       "winograd", "pointwise", "tile"}; /* by cln_conv_algo */
static const char *const direction_names[] = {"fwd", "bwd_data", "bwd_params", "micro"};
static const char *const class_names[] = {"*", "vector", "simt", "local"}; /* by cln_class, and own_local */
enum { OWN_LOCAL = CLN_CLASS_SIMT + 1 };

const char *cln_conv_algo_name(cln_conv_algo algo)
{
    return algo_names[algo];
}

cln_class cln_tune_class(const cln_device_info *info, const cln_tune_request *request)
{
    if (request->cls != CLN_CLASS_AUTO)
        return request->cls;
    return info->vector_width >= 4 ? CLN_CLASS_VECTOR : CLN_CLASS_SIMT;
}

int cln_tune_width(const cln_device_info *info, cln_class cls, int channels)
{
    int v = 1;
    if (cls != CLN_CLASS_VECTOR)
        return 1;
    /* a device of width 1 that was told to use vectors gets float4 */
    const int widest = info->vector_width > 4 ? (int)info->vector_width : 4;
    while (v < 16 && 2 * v <= widest && channels % (2 * v) == 0)
        v *= 2;
    return v;
}

int cln_tune_wide(const cln_tune *tune, int channels)
{
    return tune->cls == CLN_CLASS_VECTOR ? tune->v : channels % 4 == 0 ? 4 : 1;
}

void cln_tune_wide_options(const cln_tune *tune, int wide, char out[CLN_VECTOR_OPTIONS])
{
    snprintf(out, CLN_VECTOR_OPTIONS, "-D V=%d%s", wide, tune->cls != CLN_CLASS_VECTOR && wide > 1 ? " -D ALIGNED" : "");
}

/* ---- lines --------------------------------------------------------------------------------------- */

/* Index of `word` in names; -1: none such. */
static int index_of(const char *word, const char *const *names, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(word, names[i]) == 0)
            return i;
    return -1;
}

/* A whole number from 1 to `max`, and what follows it up to the next one; NULL: there is none. */
static const char *number(const char *text, int max, const char *after, int *out)
{
    char *end;
    if (*text < '0' || *text > '9')
        return NULL;
    const long value = strtol(text, &end, 10);
    if (value < 1 || value > max || strncmp(end, after, strlen(after)) != 0)
        return NULL;
    *out = (int)value;
    return end + strlen(after);
}

/* "16->32,3x3/1,32x32"; "16->32,3x3/1,32x32,pad=0" where it is not half of the kernel, which keeps the size. */
static bool parse_shape(const char *text, cln_tune_shape *s)
{
    static const char *const after[] = {"->", ",", "x", "/", ",", "x", ""};
    int again = 0;
    int *const to[] = {&s->ci, &s->co, &s->k, &again, &s->stride, &s->h, &s->w};
    for (int i = 0; i < 7 && text; i++)
        text = number(text, INT_MAX, after[i], to[i]);
    if (!text || again != s->k)
        return false;
    s->pad = *text ? 0 : s->k / 2;
    if (!*text || strcmp(text, ",pad=0") == 0)
        return true;
    text = strncmp(text, ",pad=", 5) == 0 ? number(text + 5, INT_MAX, "", &s->pad) : NULL;
    return text && !*text;
}

/* The third word: a shape, or operations, of a network with '=' where it is these alone. */
static bool parse_scope(const char *word, cln_tune_line *t)
{
    char *end = NULL;
    if (t->direction != CLN_TUNE_MICRO && parse_shape(word, &t->shape))
        return t->exact = true;
    t->shape = (cln_tune_shape){0};
    t->exact = t->direction == CLN_TUNE_MICRO && *word == '=';
    t->macs = strtod(word + t->exact, &end);
    return end != word + t->exact && !*end && t->macs >= 0;
}

/* The fourth word: an algorithm, or images. */
static bool parse_choice(const char *word, cln_tune_line *t)
{
    if (t->direction == CLN_TUNE_MICRO) {
        const char *end = strcmp(word, "batch") ? number(word, CLN_MAX_BATCH, "", &t->images) : "";
        return end && !*end;
    }
    const int algo = index_of(word, algo_names, CLN_CONV_ALGOS);
    t->algo = algo < 0 ? CLN_CONV_SIMT : (cln_conv_algo)algo;
    return algo >= 0;
}

int cln_tune_parse(const char *line, size_t length, cln_tune_line *out)
{
    char text[CLN_TUNE_LINE_TEXT], *word[5] = {NULL}, *rest = NULL;
    int words = 0;
    if (memchr(line, '\0', length))
        return -1;
    for (; length && (*line == ' ' || *line == '\t'); line++)
        length--;
    if (!length || *line == '#') /* a comment may be longer than text */
        return 0;
    if (length >= sizeof text)
        return -1;
    memcpy(text, line, length);
    text[length] = '\0';
    for (char *w = strtok_r(text, " \t\r", &rest); w && words < 5;
         w = strtok_r(NULL, " \t\r", &rest))
        word[words++] = w;
    if (words == 0)
        return 0;
    if (words != 4)
        return -1;
    const int cls = index_of(word[0], class_names, OWN_LOCAL + 1);
    cln_tune_line t = {.direction = index_of(word[1], direction_names, CLN_TUNE_MICRO + 1)};
    if (cls < 0 || (t.direction < 0 && strcmp(word[1], "*") != 0) || !parse_scope(word[2], &t) || !parse_choice(word[3], &t))
        return -1;
    t.own_local = cls == OWN_LOCAL;
    t.cls = t.own_local ? CLN_CLASS_SIMT : (cln_class)cls;
    *out = t;
    return 1;
}

void cln_tune_print(const cln_tune_line *t, char text[CLN_TUNE_LINE_TEXT])
{
    const cln_tune_shape *s = &t->shape;
    const bool micro = t->direction == CLN_TUNE_MICRO;
    char scope[96], choice[16];
    if (t->exact && !micro && s->pad == s->k / 2)
        snprintf(scope, sizeof scope, "%d->%d,%dx%d/%d,%dx%d", s->ci, s->co, s->k, s->k, s->stride, s->h, s->w);
    else if (t->exact && !micro)
        snprintf(scope, sizeof scope, "%d->%d,%dx%d/%d,%dx%d,pad=%d", s->ci, s->co, s->k, s->k, s->stride, s->h, s->w, s->pad);
    else
        snprintf(scope, sizeof scope, "%s%.17g", t->exact ? "=" : "", t->macs);
    snprintf(choice, sizeof choice, "%d", t->images);
    snprintf(text, CLN_TUNE_LINE_TEXT, "%s %s %s %s", class_names[t->own_local ? OWN_LOCAL : t->cls],
             t->direction < 0 ? "*" : direction_names[t->direction], scope,
             !micro ? algo_names[t->algo] : t->images ? choice : "batch");
}

/* ---- choices ------------------------------------------------------------------------------------- */

/* What a line is asked for: an algorithm that supports a direction of s, or (s NULL) images for a network. */
typedef struct question {
    const cln_device_info *info;
    cln_class cls;
    int direction;
    const cln_conv_shape *s;
    double macs;
} question;

static bool same_shape(const cln_tune_shape *t, const cln_conv_shape *s)
{
    return t->k == s->k && t->stride == s->stride && t->ci == s->ci && t->co == s->co && t->h == s->h && t->w == s->w &&
           t->pad == s->pad;
}

static bool fits(const cln_tune_line *t, const question *q)
{
    if ((t->cls != CLN_CLASS_AUTO && t->cls != q->cls) || (t->own_local && q->info->local_is_global))
        return false;
    if (!q->s)
        return t->direction == CLN_TUNE_MICRO && (t->exact ? q->macs == t->macs : q->macs >= t->macs);
    return (t->direction < 0 || t->direction == q->direction) &&
           (t->exact ? same_shape(&t->shape, q->s) : q->macs >= t->macs) &&
           cln_conv_impl_of(t->algo)->supports(q->info, q->s, q->direction);
}

/* The first line that fits, of `table` (may be NULL) and then of the built-in one. */
static bool look_up(const cln_tuning *table, const question *q, cln_tune_line *out)
{
    const cln_embedded_file *built_in = cln_embedded_find("tune.table");
    for (int i = 0; table && i < table->n; i++)
        if (fits(&table->lines[i], q)) {
            *out = table->lines[i];
            return true;
        }
    for (const char *line = built_in ? (const char *)built_in->bytes : ""; *line;) {
        const size_t length = strcspn(line, "\n");
        if (cln_tune_parse(line, length, out) == 1 && fits(out, q))
            return true;
        line += length + (line[length] == '\n');
    }
    return false;
}

int cln_tune_micro(const cln_device *dev, const cln_tune_request *request, double macs, int batch)
{
    const question q = {&dev->info, cln_tune_class(&dev->info, request), CLN_TUNE_MICRO, NULL, macs};
    cln_tune_line t;
    return look_up(dev->tuning, &q, &t) && t.images && t.images < batch ? t.images : batch;
}

cln_conv_algo cln_conv_choose(const cln_device_info *info, const cln_tune_request *request, const cln_tuning *table,
                              const cln_conv_shape *s, int direction)
{
    const question q = {info, cln_tune_class(info, request), direction, s,
                        (double)s->k * s->k * s->ci * s->co * s->ho * s->wo};
    cln_tune_line t;
    if (request->conv >= 0 &&
        cln_conv_impl_of((cln_conv_algo)request->conv)->supports(info, s, direction))
        return (cln_conv_algo)request->conv;
    return look_up(table, &q, &t) ? t.algo : CLN_CONV_SIMT;
}
