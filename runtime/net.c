/* From the text of a .net file to layers with shapes. Nothing here knows a kind of layer by name:
 * words, attributes, ranges and the norms' names all come out of the table of ops. */
#include "names.h"
#include "net.h"
#include "utf8.h"

#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_LAYERS = 512,
    MAX_LINE = 256,          /* characters, comment included */
    MAX_WORDS = MAX_LINE / 2 /* of a line */
};

typedef struct parser {
    const char *file; /* for messages */
    int line;
    cln_net *net;
    cln_error *err;
} parser;

typedef struct words {
    char text[MAX_LINE + 1];
    char *word[MAX_WORDS + 1];
    int count;
} words;

/* ---- messages --------------------------------------------------------------------------- */

static int fail_at(const parser *p, const char *word, const char *fmt, ...) CLN_PRINTF(3, 4);

/* "s8.net:7: 'cnov': ..."; without a word "s8.net:7: ..." */
static int fail_at(const parser *p, const char *word, const char *fmt, ...)
{
    char text[700];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (word)
        (void)CLN_FAIL(p->err, CLN_ERR_MODEL, "%.200s:%d: '%.48s': %s", p->file, p->line, word,
                       text);
    else
        (void)CLN_FAIL(p->err, CLN_ERR_MODEL, "%.200s:%d: %s", p->file, p->line, text);
    return CLN_ERR_MODEL;
}

static cln_names layer_words(bool norms_only)
{
    cln_names l = {""};
    for (const cln_op *const *op = cln_ops; *op; op++)
        if (!norms_only || (*op)->norm)
            cln_names_add(&l, (*op)->word);
    return l;
}

static cln_names attr_names(const cln_op *op)
{
    cln_names l = {""};
    for (const cln_attr *a = op->attrs; a && a->name; a++)
        cln_names_add(&l, a->name);
    return l;
}

static cln_names label_names(const cln_net *net)
{
    cln_names l = {""};
    for (int i = 0; i < net->n_layers; i++)
        if (net->layers[i].label[0])
            cln_names_add(&l, net->layers[i].label);
    return l;
}

/* ---- characters, words, numbers --------------------------------------------------------- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}
static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* Cuts `line` of `length` bytes (no newline) at '#' and into words at blanks. */
static int split(const parser *p, const char *line, size_t length, words *w)
{
    if (length && line[length - 1] == '\r')
        length--;
    if (length > MAX_LINE)
        return fail_at(p, NULL, "the line has %zu characters, at most %d are allowed", length,
                       MAX_LINE);
    const char *comment = memchr(line, '#', length);
    for (const char *c = comment; c && c < line + length;) { /* what is saved with a run is UTF-8 */
        const int n = cln_utf8_length(c);
        if (!n)
            return fail_at(p, NULL, "byte 0x%02x in column %d, in a comment, is not UTF-8: save the file as UTF-8",
                           (unsigned)(unsigned char)*c, (int)(c - line) + 1);
        c += n;
    }
    if (comment)
        length = (size_t)(comment - line);

    memcpy(w->text, line, length);
    w->text[length] = '\0';
    w->count = 0;
    bool inside = false;
    for (char *c = w->text; *c; c++) {
        bool blank = *c == ' ' || *c == '\t';
        if (!blank && (*c < ' ' || *c > '~'))
            return fail_at(p, NULL, "byte 0x%02x in column %d is not a printable ASCII character",
                           (unsigned)(unsigned char)*c, (int)(c - w->text) + 1);
        if (blank)
            *c = '\0';
        else if (!inside)
            w->word[w->count++] = c;
        inside = !blank;
    }
    return CLN_OK;
}

/* A decimal number ("3", "-0.5", "1e-5") by rules that no locale changes: up to 15 significant
 * digits and a power of ten within 22 make the one division or multiplication exactly rounded. */
static bool read_number(const char *s, double *out)
{
    double mantissa = 0, sign = 1, power = 1;
    int digits = 0, significant = 0, scale = 0;
    if (*s == '-' || *s == '+')
        sign = *s++ == '-' ? -1 : 1;
    for (bool point = false; is_digit(*s) || (*s == '.' && !point); s++) {
        if (*s == '.') {
            point = true;
            continue;
        }
        digits++;
        significant += significant || *s != '0';
        mantissa = mantissa * 10 + (*s - '0');
        scale -= point;
    }
    if (digits && (*s == 'e' || *s == 'E')) {
        int exponent = 0;
        bool negative = *++s == '-';
        s += *s == '-' || *s == '+';
        if (!is_digit(*s))
            return false;
        for (; is_digit(*s) && exponent < 100; s++)
            exponent = exponent * 10 + (*s - '0');
        scale += negative ? -exponent : exponent;
    }
    if (*s || !digits || significant > 15 || scale < -22 || scale > 22)
        return false;
    for (int i = abs(scale); i > 0; i--)
        power *= 10;
    *out = sign * (scale < 0 ? mantissa / power : mantissa * power);
    return true;
}

/* ---- one line --------------------------------------------------------------------------- */

static int find_attr(const cln_op *op, const char *name, size_t length)
{
    for (int i = 0; op->attrs && op->attrs[i].name; i++)
        if (strlen(op->attrs[i].name) == length && strncmp(op->attrs[i].name, name, length) == 0)
            return i;
    return -1;
}

/* `word` is the whole "name=value" for the message, `value` the part to read. */
static int set_attr(const parser *p, const cln_attr *attr, const char *word, const char *value,
                    double *out)
{
    if (strcmp(value, "$classes") == 0)
        *out = p->net->classes;
    else if (value[0] == '$')
        return fail_at(p, word, "unknown variable, in place of a number only $classes can stand");
    else if (!read_number(value, out))
        return fail_at(p, word, "not a number; %s is %s from %.15g to %.15g", attr->name,
                       attr->integer ? "an integer" : "a number", attr->min, attr->max);
    if (attr->integer && *out != floor(*out))
        return fail_at(p, word, "%s must be an integer", attr->name);
    if (!(*out >= attr->min && *out <= attr->max))
        return fail_at(p, word, "%s must be from %.15g to %.15g", attr->name, attr->min, attr->max);
    return CLN_OK;
}

static int set_attrs(const parser *p, cln_layer *layer, char **word, int count)
{
    const cln_op *op = layer->op;
    const cln_names known = attr_names(op);
    bool given[CLN_MAX_ATTRS] = {false};
    for (int i = 0; op->attrs && op->attrs[i].name; i++)
        layer->attr[i] = op->attrs[i].value;
    for (int i = 0; i < count; i++) {
        const char *equals = strchr(word[i], '=');
        if (!op->attrs || !known.text[0])
            return fail_at(p, word[i], "%s has no attributes", op->word);
        if (!equals && i > 0)
            return fail_at(p, word[i],
                           "only the first attribute may come without its name; write name=value,"
                           " %s has %s",
                           op->word, known.text);
        int a = equals ? find_attr(op, word[i], (size_t)(equals - word[i])) : 0;
        if (a < 0)
            return fail_at(p, word[i], "%s has no such attribute, only %s", op->word, known.text);
        if (given[a])
            return fail_at(p, word[i], "%s is given twice", op->attrs[a].name);
        given[a] = true;
        int rc =
            set_attr(p, &op->attrs[a], word[i], equals ? equals + 1 : word[i], &layer->attr[a]);
        if (rc)
            return rc;
    }
    for (int i = 0; op->attrs && op->attrs[i].name; i++)
        if (isnan(layer->attr[i]))
            return fail_at(p, op->word, "needs %s=..., %s", op->attrs[i].name, op->attrs[i].help);
    return CLN_OK;
}

/* Index of the layer above that is labelled `label`; -1: none. */
static int find_label(const cln_net *net, const char *label)
{
    for (int i = 0; i < net->n_layers; i++)
        if (label[0] && strcmp(net->layers[i].label, label) == 0)
            return i;
    return -1;
}

/* Takes "label:" off the first word ("label:word" is allowed too). */
static int take_label(const parser *p, cln_layer *layer, words *w, int *first)
{
    char *colon = strchr(w->word[0], ':');
    if (!colon)
        return CLN_OK;
    size_t length = (size_t)(colon - w->word[0]);
    bool good = length > 0 && is_alpha(w->word[0][0]);
    for (size_t i = 0; i < length; i++)
        good = good && (is_alpha(w->word[0][i]) || is_digit(w->word[0][i]) || w->word[0][i] == '-');
    if (!good)
        return fail_at(p, w->word[0],
                       "not a label; a label begins with a letter, then letters, digits, _ and -");
    if (length >= sizeof layer->label)
        return fail_at(p, w->word[0], "the label has %zu characters, at most %zu are allowed",
                       length, sizeof layer->label - 1);
    memcpy(layer->label, w->word[0], length);
    int above = find_label(p->net, layer->label);
    if (above >= 0)
        return fail_at(p, w->word[0], "this label is taken by line %d", p->net->layers[above].line);
    if (colon[1])
        w->word[0] = colon + 1;
    else
        *first = 1;
    if (*first == w->count)
        return fail_at(p, w->word[0], "a label needs a layer behind it, on the same line");
    return CLN_OK;
}

static int take_second_input(const parser *p, cln_layer *layer, const words *w, int first, int *end)
{
    const cln_names known = label_names(p->net);
    const char *labels = known.text[0] ? known.text : "none";
    if (*end - first < 2)
        return fail_at(p, w->word[first],
                       "needs the label of a layer above as its last word; labels above: %s",
                       labels);
    const char *label = w->word[--*end];
    layer->input[1] = find_label(p->net, label);
    if (layer->input[1] < 0)
        return fail_at(p, label, "no layer above has this label; labels above: %s", labels);
    return CLN_OK;
}

static int check_size(const parser *p, const cln_layer *layer)
{
    cln_shape s = layer->out;
    if (s.n != layer->in[0].n || s.h < 1 || s.w < 1 || s.c < 1)
        return fail_at(p, layer->op->word, "the output would be %dx%dx%d", s.h, s.w, s.c);
    double count = (double)s.n * s.h * s.w * s.c;
    if (count > INT_MAX)
        return fail_at(p, layer->op->word,
                       "the output would be %d x %dx%dx%d, more than the 2^31 - 1 values that"
                       " a layer may have",
                       s.n, s.h, s.w, s.c);
    return CLN_OK;
}

static int infer_shape(const parser *p, cln_layer *layer)
{
    const cln_net *net = p->net;
    for (int i = 0; i < layer->n_inputs; i++)
        layer->in[i] = layer->input[i] < 0 ? net->input : net->layers[layer->input[i]].out;
    layer->out = layer->in[0];
    cln_error own = {0};
    int rc = layer->op->shape ? layer->op->shape(layer, &own) : CLN_OK;
    if (rc == CLN_ERR_MODEL)
        return fail_at(p, layer->op->word, "%.600s", own.text);
    if (rc) {
        if (p->err)
            *p->err = own;
        return rc;
    }
    return check_size(p, layer);
}

/* Replaces the line's words from `first` on by those of the norm, if they are "$norm". */
static int expand_norm(const parser *p, words *w, int first, words *norm)
{
    if (strcmp(w->word[first], "$norm") != 0)
        return CLN_OK;
    if (first + 1 < w->count)
        return fail_at(p, w->word[first + 1],
                       "nothing may follow $norm, which stands for the norm and its"
                       " attributes ('%s')",
                       p->net->norm);
    int rc = split(p, p->net->norm, strlen(p->net->norm), norm);
    if (rc)
        return rc;
    w->count = first;
    for (int i = 0; i < norm->count; i++)
        w->word[w->count++] = norm->word[i];
    return CLN_OK;
}

static int unknown_layer(const parser *p, const char *word)
{
    if (word[0] == '$')
        (void)fail_at(p, word, "unknown variable, in place of a layer only $norm and $act can stand");
    else
        (void)fail_at(p, word, "no such layer; known are %s", layer_words(false).text);
    return CLN_ERR_MODEL;
}

static int parse_line(const parser *p, const char *line, size_t length)
{
    cln_net *net = p->net;
    words w = {.count = 0}, norm;
    int rc = split(p, line, length, &w);
    if (rc || w.count == 0)
        return rc;
    if (net->n_layers == MAX_LAYERS)
        return fail_at(p, w.word[0], "too many layers, at most %d are allowed", MAX_LAYERS);

    cln_layer *layer = &net->layers[net->n_layers];
    int first = 0;
    *layer = (cln_layer){.index = net->n_layers, .line = p->line, .input = {net->n_layers - 1, -1}};
    rc = take_label(p, layer, &w, &first);
    if (!rc)
        rc = expand_norm(p, &w, first, &norm);
    if (rc)
        return rc;
    layer->op = cln_op_find(strcmp(w.word[first], "$act") == 0 ? "relu" : w.word[first]);
    if (!layer->op)
        return unknown_layer(p, w.word[first]);

    int end = w.count;
    layer->n_inputs = layer->op->inputs;
    if (layer->n_inputs == 2)
        rc = take_second_input(p, layer, &w, first, &end);
    if (!rc)
        rc = set_attrs(p, layer, w.word + first + 1, end - first - 1);
    if (!rc)
        rc = infer_shape(p, layer);
    if (!rc)
        net->n_layers++;
    return rc;
}

/* ---- the whole text --------------------------------------------------------------------- */

/* Fills net->norm with "gn groups=4": the number of groups is written out where the norm has
 * groups, so that what is stored with a run does not depend on the default. */
static int set_norm(cln_net *net, const char *norm, int groups, cln_error *err)
{
    const cln_op *op = norm ? cln_op_find(norm) : NULL;
    if (!op || !op->norm)
        return CLN_FAIL(err, CLN_ERR_ARGUMENT, "unknown norm '%.32s', it is one of %s",
                        norm ? norm : "", layer_words(true).text);
    int a = find_attr(op, "groups", strlen("groups"));
    if (a < 0) {
        (void)snprintf(net->norm, sizeof net->norm, "%s", op->word);
        return CLN_OK;
    }
    double value = groups ? groups : op->attrs[a].value;
    if (!(value >= op->attrs[a].min && value <= op->attrs[a].max))
        return CLN_FAIL(err, CLN_ERR_ARGUMENT,
                        "%.15g groups: the groups of norm '%s' are from %.15g to %.15g", value,
                        op->word, op->attrs[a].min, op->attrs[a].max);
    (void)snprintf(net->norm, sizeof net->norm, "%s groups=%d", op->word, (int)value);
    return CLN_OK;
}

void cln_net_name(const char *model, char *out, size_t size)
{
    const char *slash = strrchr(model, '/'), *name = slash ? slash + 1 : model;
    const size_t stem = cln_net_stem(name) ? cln_net_stem(name) : strlen(name);
    size_t length = 0; /* that fits, in whole characters */
    while (length < stem) {
        const int n = cln_utf8_length(name + length);
        const size_t next = length + (n ? (size_t)n : 1);
        if (next >= size)
            break;
        length = next;
    }
    (void)snprintf(out, size, "%.*s", (int)length, name);
}

static int check_arguments(int classes, cln_shape in, cln_error *err)
{
    if (classes < 1)
        return CLN_FAIL(err, CLN_ERR_ARGUMENT, "%d classes: there must be at least one", classes);
    if (in.n < 1 || in.h < 1 || in.w < 1 || in.c < 1)
        return CLN_FAIL(err, CLN_ERR_ARGUMENT, "an input of %d images of %dx%dx%d is empty", in.n,
                        in.h, in.w, in.c);
    if ((double)in.n * in.h * in.w * in.c > INT_MAX)
        return CLN_FAIL(err, CLN_ERR_ARGUMENT,
                        "an input of %d images of %dx%dx%d has more than 2^31 - 1 values; use a"
                        " smaller batch",
                        in.n, in.h, in.w, in.c);
    return CLN_OK;
}

/* At least as many as there will be layers, and at least one. */
static size_t count_lines(const char *text)
{
    size_t count = 1;
    for (; *text; text++)
        count += *text == '\n';
    return count < MAX_LAYERS ? count : MAX_LAYERS;
}

static int check_logits(parser *p, const cln_layer *last)
{
    const cln_shape s = last->out;
    const int classes = p->net->classes;
    p->line = last->line;
    if (s.h == 1 && s.w == 1 && s.c == classes)
        return CLN_OK;
    /* the analyzer thinks that op->shape might have cleared op: NOLINTNEXTLINE(clang-analyzer-*) */
    return fail_at(p, last->op->word,
                   "the last layer yields %dx%dx%d, not the logits of the %d classes, 1x1x%d", s.h,
                   s.w, s.c, classes, classes);
}

static int parse_lines(parser *p, const char *text)
{
    for (const char *line = text; *line;) {
        size_t length = strcspn(line, "\n");
        p->line++;
        int rc = parse_line(p, line, length);
        if (rc)
            return rc;
        line += length;
        line += *line == '\n';
    }
    cln_net *net = p->net;
    if (net->n_layers == 0)
        return fail_at(p, NULL, "the file ends without a layer");
    return check_logits(p, &net->layers[net->n_layers - 1]);
}

int cln_net_parse(const char *name, const char *text, const char *norm, int groups, int classes,
                  cln_shape input, cln_net **out, cln_error *err)
{
    *out = NULL;
    int rc = check_arguments(classes, input, err);
    if (rc)
        return rc;
    if (strlen(text) > CLN_NET_BYTES)
        return CLN_FAIL(err, CLN_ERR_MODEL,
                        "%.200s%s: the file has more than the %d bytes that a model may have", name,
                        cln_net_is_path(name) ? "" : ".net", CLN_NET_BYTES);
    cln_net *net = calloc(1, sizeof *net);
    if (!net)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "no memory for model %.200s", name);
    net->classes = classes;
    net->input = input;
    cln_net_name(name, net->name, sizeof net->name);

    char file[256];
    (void)snprintf(file, sizeof file, "%.200s%s", name, cln_net_is_path(name) ? "" : ".net");
    parser p = {.file = file, .net = net, .err = err};
    rc = set_norm(net, norm, groups, err);
    if (rc)
        goto done;
    net->layers = calloc(count_lines(text), sizeof *net->layers);
    net->text = strdup(text);
    if (!net->layers || !net->text) {
        rc = CLN_FAIL(err, CLN_ERR_MEMORY, "no memory for the layers of model %.200s", name);
        goto done;
    }
    rc = parse_lines(&p, text);
done:
    if (rc)
        cln_net_free(net);
    else
        *out = net;
    return rc;
}

void cln_net_free(cln_net *net)
{
    if (!net)
        return;
    free(net->layers);
    free(net->text);
    free(net);
}
