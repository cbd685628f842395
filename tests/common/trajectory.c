#include "common/trajectory.h"

#include "common/step.h"
#include "optim.h"
#include "program.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const cln_embedded_file cln_fixtures[]; /* tests/fixtures, written by CMake */

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
    const char *at = line ? line + length : "";
    double value = NAN;
    for (int i = 0; i <= index; i++) {
        char *end;
        value = strtod(at, &end);
        if (end == at)
            return NAN;
        at = end;
    }
    return value;
}

/* Whether the formulas give what make_trajectory.py wrote down. */
static bool same(double value, const cln_trajectory *t, const char *key, int index)
{
    return fabs(value - cln_trajectory_value(t, key, index)) <= 1e-8;
}

int cln_trajectory_open(cln_trajectory *t, const char *model, const char *norm, cln_error *err)
{
    char name[64];
    memset(t, 0, sizeof *t);
    snprintf(name, sizeof name, "trajectory-%s-%s.txt", model, norm);
    for (const cln_embedded_file *f = cln_fixtures; f->name; f++)
        if (strcmp(f->name, name) == 0)
            t->text = (const char *)f->bytes;
    if (!t->text)
        return CLN_FAIL(err, CLN_ERR_INTERNAL, "there is no %s", name);
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
    for (int i = 0; i < 4; i++)
        if (!same(t->input[i], t, "input", i) || !same(t->labels[i], t, "label", i))
            return CLN_FAIL(err, CLN_ERR_INTERNAL, "%s has other inputs than the formulas give",
                            name);
    return CLN_OK;
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
        if (!values)
            return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory");
        for (size_t k = 0; k < slot->count; k++)
            values[k] = slot->param.init == CLN_INIT_KAIMING
                            ? weight_of(t->seed, conv, &slot->param, k)
                        : slot->param.init == CLN_INIT_ONE ? 1.0f
                                                           : 0.0f;
        char key[24];
        snprintf(key, sizeof key, "weight %d", conv);
        for (int k = 0; slot->param.init == CLN_INIT_KAIMING && k < 4; k++)
            if (!same(values[k], t, key, k))
                rc = CLN_FAIL(err, CLN_ERR_INTERNAL,
                              "the trajectory has other weights than the formulas give");
        rc = rc ? rc
                : cln_tensor_write(plan->dev, slot->state ? plan->states : plan->weights,
                                   slot->offset * sizeof(float), values,
                                   slot->count * sizeof *values, err);
        free(values);
    }
    return rc;
}

/* ---- following it -------------------------------------------------------------------------------- */

static const double tolerance = 1e-4;

/* One comparison: `got` against what stands in the fixture, of `scale`. */
typedef struct follower {
    const cln_trajectory *t;
    cln_verdict *v;
    const char *where;
} follower;

static void near(const follower *f, const char *key, int index, double got, double scale)
{
    const double want = cln_trajectory_value(f->t, key, index);
    cln_verdict_hold(f->v, fabs(got - want) / fabs(scale > 0 ? scale : want), tolerance, f->where,
                     key);
}

static double length_of(const float *values, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)values[i] * values[i];
    return sqrt(sum);
}

static void check_gradients(const follower *f, const cln_test_step *s, int step)
{
    float *grads = cln_test_floats(s->dev, s->plan->grads, s->plan->n_weights);
    for (int i = 0; i < s->plan->n_slots; i++) {
        const cln_slot *slot = &s->plan->slots[i];
        char name[32], key[64];
        if (slot->state)
            continue;
        cln_trajectory_name(s->plan, slot, name);
        snprintf(key, sizeof key, "grad_norm %d %s", step, name);
        near(f, key, 0, length_of(grads + slot->offset, slot->count), 0);
    }
    free(grads);
}

static void check_running(const follower *f, const cln_test_step *s)
{
    double sum[2] = {0, 0};
    float *states = cln_test_floats(s->dev, s->plan->states, s->plan->n_states);
    for (int i = 0; i < s->plan->n_slots; i++) {
        const cln_slot *slot = &s->plan->slots[i];
        if (slot->state)
            sum[slot->which] += pow(length_of(states + slot->offset, slot->count), 2);
    }
    free(states);
    near(f, "running mean", 0, sqrt(sum[0]), 0);
    near(f, "running variance", 0, sqrt(sum[1]), 0);
}

static int check_evaluation(const follower *f, cln_test_step *s, cln_error *err)
{
    enum { COUNT = CLN_TRAJECTORY_BATCH * CLN_TRAJECTORY_CLASSES };
    double loss, top = 0;
    int rc = cln_test_step_run(s, CLN_TRAJECTORY_BATCH, false, 0.1, f->t->input, f->t->labels,
                               &loss, err);
    if (rc)
        return rc;
    near(f, "eval_loss", 0, loss, 0);
    for (int i = 0; i < COUNT; i++)
        top = fmax(top, fabs((double)s->logits[i]));
    for (int i = 0; i < COUNT; i++) {
        char key[24];
        snprintf(key, sizeof key, "eval_logits %d", i / CLN_TRAJECTORY_CLASSES);
        near(f, key, i % CLN_TRAJECTORY_CLASSES, s->logits[i], top);
    }
    return CLN_OK;
}

/* What the fixture has to say of the step that just ran. */
static void check_step(const follower *f, const cln_test_step *s, int step, double loss)
{
    char key[24];
    snprintf(key, sizeof key, "loss %d", step);
    near(f, key, 0, loss, 0);
    if (step == 1 || step == CLN_TRAJECTORY_STEPS)
        check_gradients(f, s, step);
}

static int run_steps(const follower *f, cln_test_step *s, cln_optim *optim, int steps,
                     cln_error *err)
{
    double loss = NAN, first = NAN;
    int rc = CLN_OK;
    for (int step = 1; step <= steps && !rc; step++) {
        const cln_optim_rates rates = {
            cln_trajectory_value(f->t, "lr", 0), 1, 0.9, 0.1, 0, 0, true, (uint32_t)step};
        rc = cln_test_step_run(s, CLN_TRAJECTORY_BATCH, true, 0.1, f->t->input, f->t->labels, &loss,
                               err);
        if (!rc && step <= CLN_TRAJECTORY_STEPS)
            check_step(f, s, step, loss);
        if (!rc)
            rc = cln_optim_step(optim, s->plan, &rates, err);
        if (!rc && step == CLN_TRAJECTORY_STEPS) {
            if (strcmp(s->net->norm, "bn") == 0)
                check_running(f, s);
            rc = check_evaluation(f, s, err);
        }
        first = step == 1 ? loss : first;
    }
    if (!rc && !(loss < first))
        cln_verdict_fail(
            f->v, "%s: the loss of step %d is %.4g, and that of step 1 was %.4g: it does not fall",
            f->where, steps, loss, first);
    return rc;
}

static int weights_sha256(const cln_test_step *s, char sha[CLN_SHA256_HEX], cln_error *err)
{
    const size_t bytes = s->plan->n_weights * sizeof(float);
    float *weights = malloc(bytes);
    int rc = weights ? cln_tensor_read(s->dev, s->plan->weights, 0, weights, bytes, err)
                     : CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory");
    if (!rc)
        rc = cln_sha256_hex(weights, bytes, sha, err);
    free(weights);
    return rc;
}

void cln_trajectory_follow(cln_device *dev, const char *model, const char *norm,
                           const cln_plan_options *options, int steps, char sha[CLN_SHA256_HEX],
                           cln_verdict *v)
{
    const cln_shape input = {CLN_TRAJECTORY_BATCH, CLN_TRAJECTORY_SIDE, CLN_TRAJECTORY_SIDE, 3};
    cln_trajectory t;
    cln_test_step s = {0};
    cln_optim *optim = NULL;
    cln_error err = {0};
    char where[64];
    snprintf(where, sizeof where, "training %s with %s", model, norm);
    v->cases++;
    int rc = cln_trajectory_open(&t, model, norm, &err);
    if (!rc)
        rc = cln_test_step_new(&s, dev, model, norm, CLN_TRAJECTORY_CLASSES, input, options, &err);
    if (!rc)
        rc = cln_optim_new(s.plan, CLN_OPTIMIZER_SGD, false, &optim, &err);
    if (!rc)
        rc = cln_trajectory_weights(&t, s.plan, &err);
    if (!rc && (double)cln_net_param_count(s.net) != cln_trajectory_value(&t, "parameters", 0))
        rc = CLN_FAIL(&err, CLN_ERR_INTERNAL, "the network has another number of parameters");
    if (!rc)
        rc = run_steps(&(follower){&t, v, where}, &s, optim, steps, &err);
    if (!rc)
        rc = weights_sha256(&s, sha, &err);
    cln_verdict_call(v, rc, where, &err);
    cln_optim_free(optim);
    cln_test_step_free(&s);
}
