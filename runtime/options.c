#include "options.h"

#include "names.h"
#include "net.h"
#include "op.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const cln_optimizer_words[] = {"sgd", "adamw", "muon", NULL};
static const char *const schedules[] = {"onecycle", "cosine", "step", "constant", NULL};
const char *const cln_act_words[] = {"auto", "relu", "silu", "celu", "gelu", NULL};
static const char *const inits[] = {"kaiming", "dirac", NULL};
static const char *const flips[] = {"none", "random", "alternating", NULL};
static const char *const classes[] = {"auto", "vector", "simt", NULL};
static const char *const convs[] = {"auto", "vector", "simt", "gemm", "winograd", "pointwise", "tile", NULL};

#define FIELD(name, kind, member, choices, first, help)                                        \
    {name, kind, offsetof(cln_train_options, member), sizeof(((cln_train_options *)0)->member), choices, first, help}

const cln_field cln_fields[] = {
    FIELD("model", CLN_FIELD_TEXT, model, NULL, 0, "a built-in network (see clnorm model) or a .net file"),
    FIELD("norm", CLN_FIELD_TEXT, norm, NULL, 0, "what $norm stands for: bn, ln, gn, in, none"),
    FIELD("groups", CLN_FIELD_INT, groups, NULL, 0, "groups of gn (0: its default, 4)"),
    FIELD("act", CLN_FIELD_CHOICE, act, cln_act_words, 0, "what $act stands for: auto (silu), relu, silu, celu, gelu"),
    FIELD("ws", CLN_FIELD_FLAG, ws, NULL, 0, "0 or 1: weight standardisation of the convolutions before ln, gn, in"),
    FIELD("epochs", CLN_FIELD_INT, epochs, NULL, 0, "times through the training set"),
    FIELD("batch", CLN_FIELD_INT, batch, NULL, 0, "images in a step"),
    FIELD("micro-batch", CLN_FIELD_INT, micro_batch, NULL, 0, "images that go through the network at a time (0: as the "
          "device's tuning table says, the whole batch with batch norm)"),
    FIELD("optimizer", CLN_FIELD_CHOICE, optimizer, cln_optimizer_words, 0, "sgd, adamw, or muon: sgd whose steps of weights are made orthogonal"),
    FIELD("schedule", CLN_FIELD_CHOICE, schedule, schedules, 0, "of the learning rate: onecycle, cosine, step, constant"),
    FIELD("lr", CLN_FIELD_REAL, lr, NULL, 0, "peak learning rate"),
    FIELD("norm-lr", CLN_FIELD_REAL, norm_lr, NULL, 0, "factor of the learning rate for norms' parameters and biases"),
    FIELD("warmup", CLN_FIELD_REAL, warmup, NULL, 0, "onecycle: share of the run in which it rises"),
    FIELD("momentum", CLN_FIELD_REAL, momentum, NULL, 0, "momentum of sgd and muon, beta1 of adamw"),
    FIELD("beta2", CLN_FIELD_REAL, beta2, NULL, 0, "beta2 of adamw"),
    FIELD("nesterov", CLN_FIELD_FLAG, nesterov, NULL, 0, "0 or 1: Nesterov's momentum (sgd, muon)"),
    FIELD("weight-decay", CLN_FIELD_REAL, weight_decay, NULL, 0, "decoupled, times lr; on weights alone"),
    FIELD("label-smoothing", CLN_FIELD_REAL, label_smoothing, NULL, 0, "0 to 0.9"),
    FIELD("ema", CLN_FIELD_REAL, ema, NULL, 0, "decay of the running average of weights and statistics, which is then what is "
          "evaluated and exported (0: none; 0.99 for a start)"),
    FIELD("flip", CLN_FIELD_CHOICE, flip, flips, 0, "mirroring: none, random, alternating (by epoch)"),
    FIELD("shift", CLN_FIELD_INT, shift, NULL, 0, "translation by up to so many pixels, reflected"),
    FIELD("cutout", CLN_FIELD_INT, cutout, NULL, 0, "side of a random square that is blanked (0: none); for long runs"),
    FIELD("mixup", CLN_FIELD_REAL, mixup, NULL, 0, "mixes images in pairs, and their labels, by weights of Beta(X, X) (0: not; at most 1); for long runs"),
    FIELD("init", CLN_FIELD_CHOICE, init, inits, 0, "weights of convolutions: kaiming (random), dirac (pass on their input, the "
          "further channels random)"),
    FIELD("whiten", CLN_FIELD_FLAG, whiten, NULL, 0, "0 or 1: the first convolution begins with eigenvectors of patches"),
    FIELD("seed", CLN_FIELD_UINT, seed, NULL, 0, "of weights, order and augmentation"),
    FIELD("val", CLN_FIELD_INT, val_split, NULL, 0, "hold the last K training images out and test on them; the test set is not touched"),
    FIELD("test-flip", CLN_FIELD_FLAG, test_flip, NULL, 0, "0 or 1: also the accuracy of the mean over an image and its mirror "
          "image, in a column of its own; evaluation takes twice as long"),
    FIELD("limit", CLN_FIELD_INT, limit, NULL, 0, "train on the first K images only (0: all)"),
    FIELD("class", CLN_FIELD_CHOICE, kernel_class, classes, 0, "kernels: auto (by the device), vector, simt"),
    FIELD("conv", CLN_FIELD_CHOICE, conv, convs, -1, "convolution: auto (by the table), vector, simt, gemm, winograd, pointwise, tile"),
    FIELD("fuse", CLN_FIELD_FLAG, fuse, NULL, 0, "0 or 1: run norm, activation and pool as one pass"),
    {NULL, CLN_FIELD_INT, 0, 0, NULL, 0, NULL}};

void cln_train_defaults(const char *norm, cln_train_options *o)
{
    memset(o, 0, sizeof *o);
    strcpy(o->model, CLN_NET_DEFAULT);
    strncpy(o->norm, norm ? norm : "bn", sizeof o->norm - 1);
    o->epochs = 20;
    o->batch = 128;
    o->schedule = CLN_SCHEDULE_ONECYCLE;
    o->warmup = 0.25;
    o->momentum = 0.9;
    o->beta2 = 0.99;
    o->nesterov = true;
    o->label_smoothing = 0.1;
    o->flip = CLN_FLIP_ALTERNATING;
    o->shift = 2;
    o->seed = 1;
    o->conv = -1;
    o->fuse = true;
    cln_train_use(CLN_OPTIMIZER_MUON, o); /* the best of the three on held-out images, with every norm */
}

void cln_train_use(cln_optimizer optimizer, cln_train_options *o)
{
    static const double lr[] = {0.2, 0.008, 0.04}, norm_lr[] = {1, 1, 5}, weight_decay[] = {0.005, 0.05, 0.04};
    o->optimizer = optimizer;
    if ((unsigned)optimizer >= sizeof lr / sizeof lr[0])
        return; /* cln_train_check says so */
    o->lr = lr[optimizer];
    o->norm_lr = norm_lr[optimizer];
    o->weight_decay = weight_decay[optimizer];
}

const cln_field *cln_field_find(const char *name)
{
    for (const cln_field *f = cln_fields; f->name; f++)
        if (strcmp(f->name, name) == 0)
            return f;
    return NULL;
}

static int set_choice(const cln_field *f, int *value, const char *text, cln_error *err)
{
    cln_names names = {""};
    for (int i = 0; f->choices[i]; i++) {
        if (strcmp(f->choices[i], text) == 0) {
            *value = f->first + i;
            return CLN_OK;
        }
        cln_names_add(&names, f->choices[i]);
    }
    return CLN_FAIL(err, CLN_ERR_ARGUMENT, "--%s: '%s' is none of %s", f->name, text, names.text);
}

static int set_integer(const cln_field *f, void *at, const char *text, cln_error *err)
{
    char *end;
    errno = 0;
    const long long n = strtoll(text, &end, 10);
    const long long max = f->kind == CLN_FIELD_UINT ? UINT32_MAX : f->kind == CLN_FIELD_FLAG ? 1 : INT_MAX;
    if (end == text || *end || errno || n < 0 || n > max)
        return CLN_FAIL(err, CLN_ERR_ARGUMENT, "--%s: '%s' is not a whole number from 0 to %lld", f->name, text, max);
    if (f->kind == CLN_FIELD_UINT)
        *(uint32_t *)at = (uint32_t)n;
    else if (f->kind == CLN_FIELD_FLAG)
        *(bool *)at = n == 1;
    else
        *(int *)at = (int)n;
    return CLN_OK;
}

/* The number with 15 digits that is nearest: what files hold, so that a run that goes on has the same settings. */
static double kept_digits(double x)
{
    char text[40];
    snprintf(text, sizeof text, "%.15g", x);
    return strtod(text, NULL);
}

int cln_field_set(const cln_field *f, cln_train_options *o, const char *text, cln_error *err)
{
    void *at = (char *)o + f->offset;
    char *end;
    switch (f->kind) {
    case CLN_FIELD_TEXT:
        if (!*text || strlen(text) >= f->size)
            return CLN_FAIL(err, CLN_ERR_ARGUMENT, "--%s: the text is %s", f->name, *text ? "too long" : "empty");
        strcpy(at, text);
        return CLN_OK;
    case CLN_FIELD_CHOICE:
        return set_choice(f, at, text, err);
    case CLN_FIELD_REAL:
        errno = 0;
        *(double *)at = kept_digits(strtod(text, &end));
        if (end == text || *end || errno)
            return CLN_FAIL(err, CLN_ERR_ARGUMENT, "--%s: '%s' is not a number", f->name, text);
        return CLN_OK;
    default:
        return set_integer(f, at, text, err);
    }
}

int cln_options_resolve(const cln_given *list, int n, cln_train_options *out, cln_error *err)
{
    const char *norm = "bn";
    int rc = CLN_OK;
    for (int i = 0; i < n; i++)
        if (strcmp(list[i].field->name, "norm") == 0)
            norm = list[i].text;
    cln_train_defaults(norm, out);
    for (int i = 0; i < n && !rc; i++)
        if (strcmp(list[i].field->name, "optimizer") == 0)
            rc = cln_field_set(list[i].field, out, list[i].text, err);
    cln_train_use(out->optimizer, out);
    for (int i = 0; i < n && !rc; i++)
        rc = cln_field_set(list[i].field, out, list[i].text, err);
    return rc;
}

/* ---- lists --------------------------------------------------------------------------------------- */

int cln_option_integers(const char *option, const char *list, int low, int high, int *out, int max, int *count,
                        cln_error *err)
{
    const char *at = list;
    *count = 0;
    do {
        char *end;
        const long value = strtol(at, &end, 10);
        if (end == at || (*end && *end != ',') || value < low || value > high)
            return CLN_FAIL(err, CLN_ERR_ARGUMENT, "--%s: '%s' is not a list of numbers from %d to %d", option, list,
                            low, high);
        if (*count == max)
            return CLN_FAIL(err, CLN_ERR_ARGUMENT, "--%s: more than %d numbers", option, max);
        out[(*count)++] = (int)value;
        at = *end ? end + 1 : end;
    } while (*at);
    return CLN_OK;
}

int cln_option_distinct(const char *option, const int *list, int n, cln_error *err)
{
    for (int i = 0; i < n; i++)
        for (int k = 0; k < i; k++)
            if (list[i] == list[k])
                return CLN_FAIL(err, CLN_ERR_ARGUMENT, "--%s: %d is there twice", option, list[i]);
    return CLN_OK;
}

int cln_option_reals(const char *option, const char *list, double low, double high, double *out, int max, int *count,
                     cln_error *err)
{
    const char *at = list;
    *count = 0;
    do {
        char *end;
        const double value = strtod(at, &end);
        if (end == at || (*end && *end != ',') || !(value >= low && value <= high)) /* a NaN fails, too */
            return CLN_FAIL(err, CLN_ERR_ARGUMENT, "--%s: '%s' is not a list of numbers from %g to %g", option, list, low,
                            high);
        if (*count == max)
            return CLN_FAIL(err, CLN_ERR_ARGUMENT, "--%s: more than %d numbers", option, max);
        out[(*count)++] = kept_digits(value);
        at = *end ? end + 1 : end;
    } while (*at);
    return CLN_OK;
}

int cln_option_norms(const char *option, const char *list, cln_norm_name *out, int max, int *count, cln_error *err)
{
    char text[256], *rest = NULL;
    *count = 0;
    if (strlen(list) >= sizeof text)
        return CLN_FAIL(err, CLN_ERR_ARGUMENT, "--%s: the list is too long", option);
    strcpy(text, list);
    for (char *word = strtok_r(text, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
        const cln_op *op = cln_op_find(word);
        if (!op || !op->norm)
            return CLN_FAIL(err, CLN_ERR_ARGUMENT, "--%s: '%s' is not a norm: choose from bn, ln, gn, in, none", option,
                            word);
        for (int i = 0; i < *count; i++)
            if (!strcmp(out[i], word))
                return CLN_FAIL(err, CLN_ERR_ARGUMENT, "--%s: '%s' is there twice", option, word);
        if (*count == max)
            return CLN_FAIL(err, CLN_ERR_ARGUMENT, "--%s: more than %d norms", option, max);
        snprintf(out[(*count)++], sizeof *out, "%s", word);
    }
    return *count ? CLN_OK : CLN_FAIL(err, CLN_ERR_ARGUMENT, "--%s: no norm is named", option);
}

/* ---- JSON ---------------------------------------------------------------------------------------- */

json_t *cln_options_to_json(const cln_train_options *o)
{
    json_t *json = json_object();
    for (const cln_field *f = cln_fields; json && f->name; f++) {
        const char *at = (const char *)o + f->offset;
        json_t *value = NULL;
        switch (f->kind) {
        case CLN_FIELD_TEXT:
            value = json_string(at);
            break;
        case CLN_FIELD_CHOICE:
            value = json_string(f->choices[*(const int *)at - f->first]);
            break;
        case CLN_FIELD_REAL:
            value = json_real(*(const double *)at);
            break;
        case CLN_FIELD_FLAG:
            value = json_boolean(*(const bool *)at);
            break;
        case CLN_FIELD_UINT:
            value = json_integer(*(const uint32_t *)at);
            break;
        default:
            value = json_integer(*(const int *)at);
        }
        if (json_object_set_new(json, f->name, value)) {
            json_decref(json);
            return NULL;
        }
    }
    return json;
}

static int from_value(const cln_field *f, const json_t *value, cln_train_options *o, cln_error *err)
{
    char number[40];
    void *at = (char *)o + f->offset;
    if (json_is_string(value) && (f->kind == CLN_FIELD_TEXT || f->kind == CLN_FIELD_CHOICE))
        return cln_field_set(f, o, json_string_value(value), err);
    if (json_is_number(value) && f->kind == CLN_FIELD_REAL) {
        *(double *)at = json_number_value(value);
        return CLN_OK;
    }
    if (json_is_boolean(value) && f->kind == CLN_FIELD_FLAG) {
        *(bool *)at = json_is_true(value);
        return CLN_OK;
    }
    if (json_is_integer(value) && (f->kind == CLN_FIELD_INT || f->kind == CLN_FIELD_UINT)) {
        snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return cln_field_set(f, o, number, err);
    }
    return CLN_ERR_CHECKPOINT;
}

int cln_options_from_json(const json_t *json, cln_train_options *o, cln_error *err)
{
    cln_train_options read;
    cln_train_defaults("bn", &read);
    for (const cln_field *f = cln_fields; f->name; f++)
        if (from_value(f, json_object_get(json, f->name), &read, NULL))
            return CLN_FAIL(err, CLN_ERR_CHECKPOINT, "the setting \"%s\" is malformed, or missing: another version of clnorm may have begun this run", f->name);
    *o = read;
    return CLN_OK;
}
