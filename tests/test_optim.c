/* What a step does behind the network: the loss, the optimisers and the learning rate, against double precision. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/values.h"
#include "lone.h"
#include "common/step.h"
#include "optim.h"
#include "train.h"

static cln_device *dev;
static cln_error err;

#define OK(call) ck_assert_msg((call) == CLN_OK, "%s: %s\n%s", err.where, err.text, err.log)

static void setup(void)
{
    OK(cln_device_open(NULL, false, &dev, &err));
}

static void teardown(void)
{
    cln_program_cache_save(dev);
    cln_device_close(dev);
}

/* ---- the optimisers ------------------------------------------------------------------------------ */

static const char net_text[] = "conv 12 k=3\nbn\nrelu\nconv 40 k=3 bias=1\nln\ngap\ndense 7\n";

typedef struct model {
    double *w, *g, *m, *v;
    size_t count;
} model;

static double *widened(const float *values, size_t count)
{
    double *out = calloc(count + 1, sizeof *out);
    ck_assert_ptr_nonnull(out);
    for (size_t i = 0; i < count; i++)
        out[i] = values[i];
    return out;
}

/* w is the old one on the right of every line; decays: whether parameter i is a weight that decays. */
static void reference_step(model *a, const char *decays, cln_optimizer kind,
                           const cln_optim_rates *r)
{
    for (size_t i = 0; i < a->count; i++) {
        const double decay = decays[i] ? r->lr * r->weight_decay * a->w[i] : 0;
        if (kind == CLN_OPTIMIZER_SGD) {
            a->m[i] = r->momentum * a->m[i] + a->g[i];
            a->w[i] -= r->lr * (r->nesterov ? a->g[i] + r->momentum * a->m[i] : a->m[i]) + decay;
            continue;
        }
        a->m[i] = r->momentum * a->m[i] + (1 - r->momentum) * a->g[i];
        a->v[i] = r->beta2 * a->v[i] + (1 - r->beta2) * a->g[i] * a->g[i];
        const double m = a->m[i] / (1 - pow(r->momentum, r->t)),
                     v = a->v[i] / (1 - pow(r->beta2, r->t));
        a->w[i] -= r->lr * m / (sqrt(v) + r->eps) + decay;
    }
}

/* Which floats are parameters, and which of them decay: weights of convolutions and dense layers. */
static void map_slots(const cln_plan *plan, char *used, char *decays)
{
    for (int i = 0; i < plan->n_slots; i++) {
        const cln_slot *slot = &plan->slots[i];
        const char *word = plan->net->layers[slot->layer].op->word;
        const bool weight = !strcmp(slot->param.name, "weight") &&
                            (!strcmp(word, "conv") || !strcmp(word, "dense"));
        if (slot->state)
            continue;
        memset(used + slot->offset, 1, slot->count);
        memset(decays + slot->offset, weight, slot->count);
    }
}

static void hold_close(const char *what, cln_tensor from, const double *want, size_t count)
{
    float *got = cln_test_floats(dev, from, count);
    const cln_test_difference d = cln_test_compare(got, want, count);
    ck_assert_msg(d.finite && d.max < 1e-6 && d.nmse < 1e-12, "%s: NMSE %.3g, max %.3g", what,
                  d.nmse, d.max);
    free(got);
}

static void run_optimiser(cln_optimizer kind, bool nesterov, cln_class cls)
{
    const cln_plan_options options = {{cls, -1}, true, false, false};
    const cln_shape input = {2, 8, 8, 3};
    cln_test_step s;
    cln_optim *optim;
    OK(cln_test_step_new(&s, dev, net_text, "bn", 7, input, &options, &err));
    OK(cln_optim_new(s.plan, kind, &optim, &err));
    const size_t n = s.plan->n_weights;
    char *used = calloc(n + 1, 1), *decays = calloc(n + 1, 1);
    ck_assert(used && decays);
    map_slots(s.plan, used, decays);
    float *w = cln_test_random(n, 1);
    for (size_t i = 0; i < n; i++)
        w[i] = used[i] ? w[i] : 0;
    OK(cln_tensor_write(dev, s.plan->weights, 0, w, n * sizeof *w, &err));
    model a = {widened(w, n), NULL, calloc(n, sizeof(double)), calloc(n, sizeof(double)), n};
    for (uint32_t t = 1; t <= 4; t++) {
        const cln_optim_rates r = {0.03 * t, 0.9, 0.2, 0.99, 1e-8, nesterov, t};
        float *g = cln_test_random(n, 10 + t);
        for (size_t i = 0; i < n; i++)
            g[i] = used[i] ? g[i] : 0;
        a.g = widened(g, n);
        OK(cln_tensor_write(dev, s.plan->grads, 0, g, n * sizeof *g, &err));
        OK(cln_optim_step(optim, s.plan, &r, &err));
        reference_step(&a, decays, kind, &r);
        free(g);
        free(a.g);
    }
    hold_close("weights", s.plan->weights, a.w, n);
    hold_close("m", optim->m, a.m, n);
    if (kind == CLN_OPTIMIZER_ADAMW)
        hold_close("v", optim->v, a.v, n);
    free(used);
    free(decays);
    free(w);
    free(a.w);
    free(a.m);
    free(a.v);
    cln_optim_free(optim);
    cln_test_step_free(&s);
}

START_TEST(optimisers)
{
    const cln_class cls = _i ? CLN_CLASS_SIMT : CLN_CLASS_VECTOR;
    run_optimiser(CLN_OPTIMIZER_SGD, true, cls);
    run_optimiser(CLN_OPTIMIZER_SGD, false, cls);
    run_optimiser(CLN_OPTIMIZER_ADAMW, false, cls);
}
END_TEST

/* The decayed weights come first, so that one number tells them apart. */
START_TEST(decayed_first)
{
    const cln_plan_options options = {{CLN_CLASS_AUTO, -1}, true, false, false};
    cln_test_step s;
    int decayed = 0;
    OK(cln_test_step_new(&s, dev, net_text, "bn", 7, (cln_shape){2, 8, 8, 3}, &options, &err));
    for (int i = 0; i < s.plan->n_slots; i++) {
        const cln_slot *slot = &s.plan->slots[i];
        if (slot->state)
            continue;
        decayed += slot->offset < s.plan->n_decay;
        ck_assert_msg((slot->offset < s.plan->n_decay) == (slot->param.rank > 1), "%s", slot->name);
        ck_assert_uint_le(slot->offset + slot->count,
                          slot->offset < s.plan->n_decay ? s.plan->n_decay : s.plan->n_weights);
    }
    ck_assert_int_eq(decayed, 3);
    cln_test_step_free(&s);
}
END_TEST

/* ---- the learning rate --------------------------------------------------------------------------- */

START_TEST(schedules)
{
    cln_train_options o = {.lr = 0.4, .warmup = 0.25};
    const struct {
        cln_schedule schedule;
        int step;
        double want;
    } list[] = {{CLN_SCHEDULE_ONECYCLE, 0, 0.04},
                {CLN_SCHEDULE_ONECYCLE, 125, 0.22},
                {CLN_SCHEDULE_ONECYCLE, 250, 0.4},
                {CLN_SCHEDULE_ONECYCLE, 625, 0.4 * (1 - 0.999 / 2)},
                {CLN_SCHEDULE_ONECYCLE, 999, 0.4 * (1 - 0.999 * 749 / 750)},
                {CLN_SCHEDULE_COSINE, 0, 0.4},
                {CLN_SCHEDULE_COSINE, 500, 0.2},
                {CLN_SCHEDULE_COSINE, 250, 0.2 * (1 + sqrt(0.5))},
                {CLN_SCHEDULE_STEP, 0, 0.4},
                {CLN_SCHEDULE_STEP, 499, 0.4},
                {CLN_SCHEDULE_STEP, 500, 0.04},
                {CLN_SCHEDULE_STEP, 749, 0.04},
                {CLN_SCHEDULE_STEP, 750, 0.004},
                {CLN_SCHEDULE_STEP, 999, 0.004},
                {CLN_SCHEDULE_CONSTANT, 0, 0.4},
                {CLN_SCHEDULE_CONSTANT, 999, 0.4}};
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        o.schedule = list[i].schedule;
        const double got = cln_train_lr(&o, list[i].step, 1000);
        ck_assert_msg(fabs(got - list[i].want) < 1e-12, "schedule %d, step %d: %.15g, not %.15g",
                      (int)list[i].schedule, list[i].step, got, list[i].want);
    }
    for (int warmup = 0; warmup <= 4; warmup++) /* never negative, never above the peak */
        for (int step = 0; step < 7; step++) {
            o.schedule = CLN_SCHEDULE_ONECYCLE;
            o.warmup = warmup / 4.0;
            const double lr = cln_train_lr(&o, step, 7);
            ck_assert_msg(lr > 0 && lr <= 0.4 * (1 + 1e-12), "warmup %g, step %d of 7: %g",
                          o.warmup, step, lr);
        }
    ck_assert(cln_train_lr(&o, 0, 1) > 0);
}
END_TEST

/* ---- the loss ------------------------------------------------------------------------------------ */

enum { IMAGES = 9, KINDS = 7 };

/* -sum_k q_k log softmax(x)_k with q = (1 - s) onehot + s / K, mean over images; dx its derivative. */
static double reference_loss(const float *x, const int32_t *labels, double s, double *dx,
                             double *confidence)
{
    double sum = 0;
    for (int n = 0; n < IMAGES; n++) {
        const float *row = x + n * KINDS;
        double top = row[0], z = 0;
        for (int k = 1; k < KINDS; k++)
            top = fmax(top, (double)row[k]);
        for (int k = 0; k < KINDS; k++)
            z += exp((double)row[k] - top);
        confidence[n] = 1 / z;
        for (int k = 0; k < KINDS; k++) {
            const double q = (k == labels[n] ? 1 - s : 0) + s / KINDS,
                         log_p = (double)row[k] - top - log(z);
            sum -= q * log_p / IMAGES;
            dx[n * KINDS + k] = (exp(log_p) - q) / IMAGES;
        }
    }
    return sum;
}

static void hold_loss(float scale, double smoothing, int local)
{
    int32_t labels[IMAGES], hits = 0, predicted[IMAGES + 4], bad;
    double dx[IMAGES * KINDS], confidence[IMAGES];
    float *x = cln_test_random(IMAGES * KINDS, 3);
    cln_tensor logits, dlogits;
    cln_totals totals;
    cln_loss *loss;
    for (int i = 0; i < IMAGES * KINDS; i++)
        x[i] = x[i] * scale + scale;
    for (int n = 0; n < IMAGES; n++) {
        int best = 0;
        labels[n] = n % KINDS;
        for (int k = 1; k < KINDS; k++)
            best = x[n * KINDS + k] > x[n * KINDS + best] ? k : best;
        hits += best == labels[n];
    }
    const double want = reference_loss(x, labels, smoothing, dx, confidence);
    OK(cln_loss_new(dev, IMAGES, KINDS, IMAGES + 4, local, &loss, &err));
    OK(cln_tensor_new(dev, sizeof dx / 2, "x", &logits, &err));
    OK(cln_tensor_new(dev, sizeof dx / 2, "dx", &dlogits, &err));
    OK(cln_tensor_write(dev, logits, 0, x, sizeof dx / 2, &err));
    OK(cln_tensor_write(dev, loss->labels, 0, labels, sizeof labels, &err));
    OK(cln_tensor_fill(dev, dlogits, 0x7fc0dead, &err));
    OK(cln_loss_run(loss, logits, dlogits, IMAGES, smoothing, 4, 0, &err));
    OK(cln_loss_read(loss, &totals, &bad, &err));
    ck_assert_msg(fabs((double)totals.loss / IMAGES - want) < 1e-6 * fmax(1, want),
                  "loss %g, not %g", (double)totals.loss / IMAGES, want);
    ck_assert_int_eq((int)totals.hits, hits);
    ck_assert_int_eq((int)totals.images, IMAGES);
    ck_assert_int_eq(bad, -1);
    hold_close("dlogits", dlogits, dx, IMAGES * KINDS);
    float *sure = cln_test_floats(dev, loss->confidence, IMAGES + 4);
    OK(cln_tensor_read(dev, loss->predicted, 0, predicted, sizeof predicted, &err));
    for (int n = 0; n < IMAGES; n++) {
        ck_assert_double_eq_tol(sure[4 + n], confidence[n], 1e-6);
        for (int k = 0; k < KINDS; k++)
            ck_assert(x[n * KINDS + predicted[4 + n]] >= x[n * KINDS + k]);
    }
    free(sure);
    free(x);
    cln_tensor_free(&logits);
    cln_tensor_free(&dlogits);
    cln_loss_free(loss);
}

START_TEST(loss_and_gradient)
{
    const float scales[] = {1, 1e-3f, 30, 1e4f};
    for (int i = 0; i < 4; i++)
        for (int local = 1; local <= 64; local += 63) {
            hold_loss(scales[i], 0, local);
            hold_loss(scales[i], 0.1, local);
        }
}
END_TEST

/* Totals over many batches are as good as one sum; NaN and infinity are noticed, and the first step is kept. */
START_TEST(running_totals)
{
    enum { STEPS = 3000 };
    const int32_t label = 1;
    const float x[KINDS] = {0.1f, 0.2f, 0.3f, 0.4f, 0.5f, 0.6f, 0.7f};
    float wrong[KINDS] = {0};
    double z = 0;
    cln_tensor logits;
    cln_totals totals;
    cln_loss *loss;
    int bad;
    for (int k = 0; k < KINDS; k++)
        z += exp((double)x[k] - (double)x[1]);
    OK(cln_loss_new(dev, 1, KINDS, 1, 1, &loss, &err));
    OK(cln_tensor_new(dev, sizeof x, "x", &logits, &err));
    OK(cln_tensor_write(dev, logits, 0, x, sizeof x, &err));
    OK(cln_tensor_write(dev, loss->labels, 0, &label, sizeof label, &err));
    for (int step = 0; step < STEPS; step++)
        OK(cln_loss_run(loss, logits, (cln_tensor){0}, 1, 0, 0, step, &err));
    OK(cln_loss_read(loss, &totals, &bad, &err));
    ck_assert_msg(fabs((double)totals.loss / STEPS / log(z) - 1) < 3e-7, "%.9g, not %.9g",
                  (double)totals.loss / STEPS, log(z));
    ck_assert_int_eq((int)totals.images, STEPS);
    ck_assert_int_eq(bad, -1);
    for (int step = 5; step < 8; step++) {
        wrong[step % KINDS] = step == 5 ? NAN : step == 6 ? INFINITY : 0;
        OK(cln_tensor_write(dev, logits, 0, step < 7 ? wrong : x, sizeof x, &err));
        OK(cln_loss_run(loss, logits, (cln_tensor){0}, 1, 0, 0, step, &err));
    }
    OK(cln_loss_read(loss, &totals, &bad, &err));
    ck_assert_int_eq(bad, 5);
    OK(cln_loss_reset(loss, NULL, &err));
    OK(cln_loss_read(loss, &totals, &bad, &err));
    ck_assert_int_eq(bad, -1);
    ck_assert(totals.loss == 0 && totals.images == 0);
    cln_tensor_free(&logits);
    cln_loss_free(loss);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("optim");
    TCase *tcase = tcase_create("device");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 300); /* a cold cache means compiling */
    tcase_add_loop_test(tcase, optimisers, 0, 2);
    tcase_add_test(tcase, decayed_first);
    tcase_add_test(tcase, schedules);
    tcase_add_test(tcase, loss_and_gradient);
    tcase_add_test(tcase, running_totals);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
