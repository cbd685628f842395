#include "common/trajectory.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STREAM_FINE = 100, STREAM_COARSE = 101, STREAM_LABEL = 102, SIDE = CLN_TRAJECTORY_SIDE };

/* Splitmix64 of state 0 at a position: Steele, Lea & Flood 2014. */
static uint64_t hash(uint64_t seed, uint64_t stream, uint64_t i)
{
    uint64_t z = ((seed << 48) + (stream << 32) + i + 1) * UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static double value_of(uint64_t seed, uint64_t stream, uint64_t i)
{
    return (double)(hash(seed, stream, i) >> 40) / 8388608.0 - 1.0;
}

static float weight_of(uint64_t seed, int conv, const cln_param *p, size_t i)
{
    const float bound = (float)sqrt(6.0 / p->fan_in);
    return (float)value_of(seed, (uint64_t)conv, i) * bound;
}

double cln_trajectory_value(const cln_trajectory *t, const char *key, int index)
{
    const size_t length = strlen(key);
    const char *line = t->text;
    while (line && (strncmp(line, key, length) || line[length] != ' ')) {
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    ck_assert_msg(line, "the fixture has no line '%s'", key);
    char *at = (char *)line + length, *end = at;
    double value = NAN;
    for (int i = 0; i <= index; i++, at = end) {
        value = strtod(at, &end);
        ck_assert_msg(end > at, "the fixture's '%s' has no number %d", key, i);
    }
    return value;
}

static char *read_text(const char *path)
{
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file, "%s is missing", path);
    char *text = calloc(1, 65536);
    ck_assert_ptr_nonnull(text);
    const size_t n = fread(text, 1, 65535, file);
    fclose(file);
    ck_assert_msg(n > 0 && n < 65535, "%s: %zu bytes", path, n);
    return text;
}

void cln_trajectory_open(cln_trajectory *t, const char *model, const char *norm)
{
    char path[4096];
    memset(t, 0, sizeof *t);
    snprintf(path, sizeof path, "%s/tests/fixtures/trajectory-%s-%s.txt", CLNORM_SOURCE_DIR, model,
             norm);
    t->text = read_text(path);
    t->seed = (uint64_t)cln_trajectory_value(t, "seed", 0);
    for (int i = 0; i < CLN_TRAJECTORY_INPUTS; i++) {
        const int c = i % 3, x = i / 3 % SIDE, y = i / 3 / SIDE % SIDE, n = i / 3 / SIDE / SIDE;
        const int j = ((n * 4 + y / 4) * 4 + x / 4) * 3 + c;
        t->input[i] = (float)(value_of(t->seed, STREAM_FINE, (uint64_t)i) / 2 +
                              value_of(t->seed, STREAM_COARSE, (uint64_t)j));
    }
    for (int n = 0; n < CLN_TRAJECTORY_BATCH; n++)
        t->labels[n] =
            (int32_t)((hash(t->seed, STREAM_LABEL, (uint64_t)n) >> 40) % CLN_TRAJECTORY_CLASSES);
    for (int i = 0; i < 4; i++) {
        ck_assert_double_eq_tol(t->input[i], cln_trajectory_value(t, "input", i), 1e-8);
        ck_assert_int_eq(t->labels[i], (int)cln_trajectory_value(t, "label", i));
    }
}

void cln_trajectory_free(cln_trajectory *t)
{
    free(t->text);
    t->text = NULL;
}

/* 1, 2, ...: the convolution that layer `index` is, or that comes before it. */
static int conv_number(const cln_plan *plan, int index)
{
    int number = 0;
    for (int i = 0; i <= index; i++)
        number += strcmp(plan->net->layers[i].op->word, "conv") == 0;
    return number;
}

void cln_trajectory_name(const cln_plan *plan, const cln_slot *slot, char name[32])
{
    const int number = conv_number(plan, slot->layer);
    const bool norm = plan->net->layers[slot->layer].op->norm,
               weight = strcmp(slot->param.name, "weight") == 0;
    snprintf(name, 32, "%s%d.%s", norm ? "norm" : "conv", number,
             norm     ? (weight ? "gamma" : "beta")
             : weight ? "weight"
                      : "bias");
}

int cln_trajectory_weights(const cln_trajectory *t, cln_plan *plan, cln_error *err)
{
    int rc = CLN_OK;
    for (int i = 0; i < plan->n_slots && !rc; i++) {
        const cln_slot *slot = &plan->slots[i];
        const int conv = conv_number(plan, slot->layer);
        float *values = calloc(slot->count, sizeof *values);
        ck_assert_ptr_nonnull(values);
        for (size_t k = 0; k < slot->count; k++)
            values[k] = slot->param.init == CLN_INIT_KAIMING
                            ? weight_of(t->seed, conv, &slot->param, k)
                        : slot->param.init == CLN_INIT_ONE ? 1.0f
                                                           : 0.0f;
        char key[24];
        snprintf(key, sizeof key, "weight %d", conv);
        for (int k = 0; slot->param.init == CLN_INIT_KAIMING && k < 4; k++)
            ck_assert_double_eq_tol(values[k], cln_trajectory_value(t, key, k), 1e-8);
        rc = cln_tensor_write(plan->dev, slot->state ? plan->states : plan->weights,
                              slot->offset * sizeof(float), values, slot->count * sizeof *values,
                              err);
        free(values);
    }
    return rc;
}
