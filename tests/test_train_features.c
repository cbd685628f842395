/* The settings of training that go beyond the plain step: each against a reference in double precision, and the same
 * run bit for bit when it is stopped and resumed. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/on_device.h"
#include "common/scratch.h"
#include "common/stripes.h"
#include "checkpoint.h"
#include "common/step.h"
#include "common/values.h"
#include "eigen.h"
#include "ops/training.h"

static cln_dataset data;

static void setup(void)
{
    data = stripes_new();
    scratch_new();
    device_open();
}

static void teardown(void)
{
    device_close();
    scratch_remove();
    stripes_clear(&data);
}

static const cln_slot *slot_of(const cln_trainer *t, const char *name)
{
    for (int i = 0; i < t->plan->n_slots; i++)
        if (strcmp(t->plan->slots[i].name, name) == 0)
            return &t->plan->slots[i];
    ck_abort_msg("no %s", name);
    return NULL;
}

/* ---- resumed is uninterrupted -------------------------------------------------------------------- */

static sha straight(const cln_train_options *o, cln_metrics *last)
{
    cln_trainer *t = stripes_trainer(dev, &data, o);
    for (int epoch = 0; epoch < o->epochs; epoch++)
        OK(cln_trainer_epoch(t, NULL, NULL, last, NULL, &err));
    const sha s = sha_of(t);
    cln_trainer_free(t);
    return s;
}

/* With a stop after each 3 steps: saved, freed, and loaded by a new trainer. */
static sha in_pieces(const cln_train_options *o, cln_metrics *last)
{
    cln_trainer *t = stripes_trainer(dev, &data, o);
    while (cln_trainer_epochs_done(t) < o->epochs) {
        bool stopped;
        int left = 3;
        OK(cln_trainer_epoch(t, stop_after, &left, last, &stopped, &err));
        OK(cln_trainer_save(t, at("piece.safetensors"), &err));
        cln_trainer_free(t);
        t = stripes_trainer(dev, &data, o);
        OK(cln_trainer_load(t, at("piece.safetensors"), &err));
    }
    const sha s = sha_of(t);
    cln_trainer_free(t);
    return s;
}

/* Gives what the run ended with; that the setting did anything: `plain` is the run without it. */
static void resume(const cln_train_options *o, const cln_train_options *plain)
{
    cln_metrics whole, parts, without;
    const sha want = straight(o, &whole), got = in_pieces(o, &parts), other = straight(plain, &without);
    ck_assert_str_eq(want.hex, got.hex);
    ck_assert(whole.test_loss == parts.test_loss && whole.test_acc == parts.test_acc && whole.train_loss == parts.train_loss);
    ck_assert_str_ne(want.hex, other.hex);
}

START_TEST(resumed)
{
    const cln_train_options plain = stripes_options(_i % 3 == 1 ? "gn" : "bn");
    cln_train_options o = plain;
    if (_i < 2)
        o.ema = 0.9;
    else if (_i == 2)
        o.norm_lr = 4;
    else if (_i == 4)
        o.ws = true;
    else {
        o.mixup = 0.5;
        o.cutout = 6;
        o.act = CLN_ACT_CELU;
    }
    o.whiten = _i == 1; /* what a run begins with is not made again when it goes on */
    o.init = _i == 1 ? CLN_INITIAL_DIRAC : CLN_INITIAL_KAIMING;
    resume(&o, &plain);
}
END_TEST

/* ---- the average of weights ---------------------------------------------------------------------- */

enum { STEPS = 4 };

static void follow(double *average, const float *values, size_t n, double decay, int t)
{
    const double d = fmin(decay, (1.0 + t) / (10.0 + t));
    for (size_t i = 0; i < n; i++)
        average[i] = t ? d * average[i] + (1 - d) * values[i] : values[i];
}

static void hold(const float *got, const double *want, size_t n)
{
    const cln_test_difference d = cln_test_compare(got, want, n);
    ck_assert_msg(d.finite && d.max <= 1e-6, "off by %g of the largest", d.max);
}

/* Weights and running statistics of batch norm, step by step, by a decay that the first steps do not reach and by one
 * that they do. */
START_TEST(average_follows)
{
    cln_train_options o = stripes_options("bn");
    o.ema = _i ? 0.3 : 0.99;
    cln_trainer *t = stripes_trainer(dev, &data, &o);
    cln_state s = {0};
    cln_metrics m;
    double *weights = calloc(t->plan->n_weights, sizeof *weights), *states = calloc(t->plan->n_states, sizeof *states);
    for (int step = 0; step <= STEPS; step++) {
        int one = 1;
        if (step)
            OK(cln_trainer_epoch(t, stop_after, &one, &m, NULL, &err));
        OK(cln_state_get(t, &s, &err));
        follow(weights, s.weights, s.n_weights, o.ema, step);
        follow(states, s.states, s.n_states, o.ema, step);
        hold(s.average, weights, s.n_weights);
        hold(s.average_states, states, s.n_states);
    }
    free(weights);
    free(states);
    cln_state_clear(&s);
    cln_trainer_free(t);
}
END_TEST

/* What is evaluated and what is exported is the average, and evaluating leaves the weights as they were. */
START_TEST(average_is_what_counts)
{
    cln_train_options o = stripes_options("bn");
    cln_evaluation e[3];
    cln_metrics m;
    o.ema = 0.95;
    cln_trainer *t = stripes_trainer(dev, &data, &o);
    OK(cln_trainer_epoch(t, NULL, NULL, &m, NULL, &err));
    const sha before = sha_of(t);
    OK(cln_trainer_evaluate(t, &e[0], &err));
    ck_assert_str_eq(before.hex, sha_of(t).hex);
    OK(cln_trainer_export(t, at("model.safetensors"), &err));
    OK(cln_evaluate(t->plan, t->test, t->loss, NULL, &e[1], &err)); /* the weights themselves */
    cln_trainer_free(t);
    o.ema = 0;
    t = stripes_trainer(dev, &data, &o);
    OK(cln_trainer_import(t, at("model.safetensors"), &err));
    OK(cln_trainer_evaluate(t, &e[2], &err));
    cln_trainer_free(t);
    ck_assert(e[0].loss == m.test_loss && e[0].loss == e[2].loss && e[0].loss != e[1].loss);
    ck_assert_int_eq(memcmp(e[0].predicted, e[2].predicted, STRIPES_TEST * sizeof *e[0].predicted), 0);
    for (int i = 0; i < 3; i++)
        cln_evaluation_clear(&e[i]);
}
END_TEST

/* ---- test-time flip ------------------------------------------------------------------------------ */

static void mirror_rows(uint8_t *images, size_t rows, int w)
{
    for (size_t r = 0; r < rows; r++, images += w)
        for (int x = 0; x < w / 2; x++) {
            const uint8_t left = images[x];
            images[x] = images[w - 1 - x];
            images[w - 1 - x] = left;
        }
}

static float *logits_of_test(const cln_trainer *t)
{
    float *logits = calloc((size_t)t->test->n * (size_t)data.classes, sizeof *logits);
    cln_evaluation e;
    OK(cln_evaluate(t->plan, t->test, t->loss, logits, &e, &err));
    cln_evaluation_clear(&e);
    return logits;
}

/* Against logits of images that were mirrored here; and the single view is not touched by it. */
START_TEST(flip_is_the_mean_of_both)
{
    cln_train_options o = stripes_options("ln");
    cln_metrics m[2];
    cln_evaluation e;
    float *plain[2];
    int hits = 0;
    for (int i = 0; i < 2; i++) {
        o.test_flip = i;
        cln_trainer *t = stripes_trainer(dev, &data, &o);
        OK(cln_trainer_epoch(t, NULL, NULL, &m[i], NULL, &err));
        OK(cln_trainer_evaluate(t, &e, &err));
        ck_assert(e.acc == m[i].test_acc && (i ? e.acc_flip == m[i].test_acc_flip : isnan(e.acc_flip)));
        cln_evaluation_clear(&e);
        OK(cln_trainer_export(t, at("model"), &err));
        cln_trainer_free(t);
    }
    ck_assert(m[0].test_acc == m[1].test_acc && m[0].test_loss == m[1].test_loss && isnan(m[0].test_acc_flip));
    for (int i = 0; i < 2; i++) {
        cln_trainer *t = stripes_trainer(dev, &data, &o);
        OK(cln_trainer_import(t, at("model"), &err));
        plain[i] = logits_of_test(t);
        cln_trainer_free(t);
        mirror_rows(data.test_x, (size_t)STRIPES_TEST * 3 * STRIPES_SIDE, STRIPES_SIDE);
    }
    for (int n = 0; n < STRIPES_TEST; n++) {
        const float *a = plain[0] + n * data.classes, *b = plain[1] + n * data.classes;
        int best = 0;
        for (int k = 1; k < data.classes; k++)
            best = (double)a[k] + b[k] > (double)a[best] + b[best] ? k : best;
        hits += best == data.test_y[n];
    }
    ck_assert_double_eq_tol(m[1].test_acc_flip, 100.0 * hits / STRIPES_TEST, 1e-9);
    free(plain[0]);
    free(plain[1]);
}
END_TEST

/* ---- mixup --------------------------------------------------------------------------------------- */

/* Of uniform numbers where alpha is 1: the larger part has mean 3/4 and variance 1/48; smaller alphas mix less. Steps
 * differ, and the same step is the same. */
START_TEST(mix_weights)
{
    enum { DRAWS = 4000 };
    double sum = 0, squares = 0, low = 0;
    for (uint32_t i = 0; i < DRAWS; i++) {
        const double w = cln_train_mix_weight(1, 7, i / 100, i % 100);
        ck_assert(w >= 0.5 && w <= 1 && w == cln_train_mix_weight(1, 7, i / 100, i % 100));
        sum += w;
        squares += w * w;
        low += cln_train_mix_weight(0.1, 7, i / 100, i % 100);
    }
    const double mean = sum / DRAWS;
    ck_assert_double_eq_tol(mean, 0.75, 4 * sqrt(1.0 / 48 / DRAWS));
    ck_assert_double_eq_tol(squares / DRAWS - mean * mean, 1.0 / 48, 2e-3);
    ck_assert(low / DRAWS > 0.9);
}
END_TEST

/* Loss and gradient are linear in the target: those of two labels are the weighted mean of those of each. */
START_TEST(loss_of_two_labels)
{
    enum { IMAGES = 9, KINDS = 7 };
    float *x = cln_test_random(IMAGES * KINDS, 3), *got;
    int32_t labels[IMAGES], others[IMAGES];
    double dx[2][IMAGES * KINDS], confidence[IMAGES];
    cln_tensor logits, dlogits;
    cln_totals totals;
    cln_loss *loss;
    int bad;
    for (int i = 0; i < IMAGES; i++) {
        labels[i] = i % KINDS;
        others[i] = i * i % KINDS;
    }
    const double a = naive_loss(IMAGES, KINDS, x, labels, 0.1, dx[0], confidence);
    const double b = naive_loss(IMAGES, KINDS, x, others, 0.1, dx[1], confidence);
    OK(cln_loss_new(dev, IMAGES, KINDS, IMAGES, 1, &loss, &err));
    OK(cln_tensor_new(dev, sizeof(float) * IMAGES * KINDS, "x", &logits, &err));
    OK(cln_tensor_new(dev, sizeof(float) * IMAGES * KINDS, "dx", &dlogits, &err));
    OK(cln_tensor_write(dev, logits, 0, x, sizeof(float) * IMAGES * KINDS, &err));
    OK(cln_tensor_write(dev, loss->labels, 0, labels, sizeof labels, &err));
    OK(cln_tensor_write(dev, loss->others, 0, others, sizeof others, &err));
    loss->share = 0.7;
    OK(cln_loss_run(loss, logits, dlogits, IMAGES, IMAGES, 0.1, 0, 0, &err));
    OK(cln_loss_read(loss, &totals, &bad, &err));
    ck_assert_double_eq_tol((double)totals.loss / IMAGES, 0.7 * a + 0.3 * b, 1e-6);
    got = cln_test_floats(dev, dlogits, IMAGES * KINDS);
    for (int i = 0; i < IMAGES * KINDS; i++)
        ck_assert_double_eq_tol((double)got[i], 0.7 * dx[0][i] + 0.3 * dx[1][i], 1e-7);
    free(x);
    free(got);
    cln_tensor_free(&logits);
    cln_tensor_free(&dlogits);
    cln_loss_free(loss);
}
END_TEST

/* ---- activations --------------------------------------------------------------------------------- */

/* Before batch norm there is none; before the others the network's text says so, and its filters do not see a constant
 * that is added to an output channel's weights. */
START_TEST(standardised_before_norms_within_the_image)
{
    cln_evaluation e[2];
    cln_state s = {0};
    for (int i = 0; i < 2; i++) {
        cln_train_options o = stripes_options(i ? "ln" : "bn");
        o.ws = true;
        cln_trainer *t = stripes_trainer(dev, &data, &o);
        ck_assert((strstr(t->net->text, "conv 16 k=3 ws=1") != NULL) == i);
        ck_assert(!strstr(t->net->text, "bias=1 ws=1"));
        cln_trainer_free(t);
    }
    cln_train_options o = stripes_options("ln");
    strcpy(o.model, "s8"); /* 32 channels in its second convolution */
    o.ws = true;
    cln_trainer *t = stripes_trainer(dev, &data, &o);
    OK(cln_state_get(t, &s, &err));
    for (int i = 0; i < 2; i++) {
        const cln_slot *slot = slot_of(t, "3.weight");
        for (size_t k = 0; i && k < slot->count; k++)
            s.weights[slot->offset + k] += 0.25f * (float)(k % 32);
        OK(cln_state_set(t, &s, &err));
        OK(cln_trainer_evaluate(t, &e[i], &err));
    }
    ck_assert_double_eq_tol(e[0].loss, e[1].loss, 1e-4);
    cln_evaluation_clear(&e[0]);
    cln_evaluation_clear(&e[1]);
    cln_state_clear(&s);
    cln_trainer_free(t);
}
END_TEST

/* --act is written into the network: the exported file tells it, and evaluates the same. A network without $act has no
 * place for it. */
START_TEST(act_is_part_of_the_network)
{
    const char *net = "conv 8 k=3\n$norm\nrelu\ngap\nconv $classes k=1 bias=1\n";
    cln_train_options o = stripes_options("gn");
    cln_st_file st = {0};
    cln_model_info info;
    cln_trainer *t = NULL;
    cln_metrics m;
    o.act = CLN_ACT_SILU;
    t = stripes_trainer(dev, &data, &o);
    ck_assert(strstr(t->net->text, "\nsilu") && !strstr(t->net->text, "$act"));
    OK(cln_trainer_epoch(t, NULL, NULL, &m, NULL, &err));
    OK(cln_trainer_export(t, at("silu.safetensors"), &err));
    OK(cln_st_read(&st, at("silu.safetensors"), &err));
    OK(cln_model_info_read(&st, &info, &err));
    ck_assert_str_eq(info.text, t->net->text);
    cln_st_clear(&st);
    cln_trainer_free(t);
    o.act = CLN_ACT_RELU;
    t = stripes_trainer(dev, &data, &o);
    ck_assert_int_eq(cln_trainer_import(t, at("silu.safetensors"), &err), CLN_ERR_CHECKPOINT);
    cln_trainer_free(t);
    t = NULL;
    put("fixed.net", net, strlen(net));
    snprintf(o.model, sizeof o.model, "%s", at("fixed.net"));
    o.act = CLN_ACT_GELU;
    ck_assert_int_eq(cln_trainer_new(dev, &data, &o, &t, &err), CLN_ERR_ARGUMENT);
    ck_assert_msg(strstr(err.text, "act: ") == err.text && strstr(err.text, "no line $act"), "%s", err.text);
}
END_TEST

/* Labels, blanks, comments and carriage returns around it stay; words that only begin so are none. */
START_TEST(rewritten_text)
{
    const cln_net_variant silu = {.act = "silu", .act_needed = true};
    char *out = NULL;
    OK(cln_net_rewrite("t", "# $act\n a: $act # $act\r\n$acts\nb:$act\r\n\t$act", &silu, &out, &err));
    ck_assert_str_eq(out, "# $act\n a: silu # $act\r\n$acts\nb:silu\r\n\tsilu");
    free(out);
    ck_assert_int_eq(cln_net_rewrite("t", "relu $act\n", &silu, &out, &err), CLN_ERR_ARGUMENT);
    const cln_net_variant ws = {.ws = true};
    OK(cln_net_rewrite("t", "a: conv 8 k=3 # c\n# x\n\n$norm\nconv 8 k=3\t\r\n$norm\nconv 4\nrelu\n$norm\nconv 1", &ws, &out, &err));
    ck_assert_str_eq(out, "a: conv 8 k=3 ws=1 # c\n# x\n\n$norm\nconv 8 k=3 ws=1\t\r\n$norm\nconv 4\nrelu\n$norm\nconv 1");
    free(out);
    OK(cln_net_rewrite("t", "conv 8 ws=1 k=3\n$norm\n", &ws, &out, &err));
    ck_assert_str_eq(out, "conv 8 ws=1 k=3\n$norm\n");
    free(out);
    ck_assert_int_eq(cln_net_rewrite("t", "conv 8\nrelu\n", &ws, &out, &err), CLN_ERR_ARGUMENT);
}
END_TEST

/* ---- initial weights ----------------------------------------------------------------------------- */

/* Values and vectors of a random symmetric matrix, and of a diagonal one. */
START_TEST(eigenvectors)
{
    enum { N = 27 };
    double a[N * N], before[N * N], v[N * N];
    float *values = cln_test_random(N * N, 5);
    for (int i = 0; i < N; i++)
        for (int j = 0; j <= i; j++)
            a[i * N + j] = a[j * N + i] = _i ? (i == j ? i : 0) : (double)values[i * N + j];
    memcpy(before, a, sizeof a);
    cln_eigen_symmetric(a, v, N);
    for (int k = 0; k < N; k++) {
        ck_assert(k == 0 || a[k * N + k] <= a[(k - 1) * N + k - 1]);
        for (int i = 0; i < N; i++) {
            double product = 0, dot = 0;
            for (int j = 0; j < N; j++) {
                product += before[i * N + j] * v[j * N + k];
                dot += v[j * N + k] * v[j * N + i];
            }
            ck_assert_double_eq_tol(product, a[k * N + k] * v[i * N + k], 1e-13 * N);
            ck_assert_double_eq_tol(dot, i == k, 1e-13);
        }
    }
    free(values);
}
END_TEST

/* The filters' outputs at all places inside the training images have the unit matrix for their covariance. */
START_TEST(whitened)
{
    enum { OUT = 16, PAIRS = OUT / 2, K = 3, N = STRIPES_SIDE - K + 1 };
    cln_train_options o = stripes_options("gn");
    double sum[PAIRS] = {0}, cov[PAIRS][PAIRS] = {{0}};
    cln_state s = {0};
    o.whiten = true;
    cln_trainer *t = stripes_trainer(dev, &data, &o);
    OK(cln_state_get(t, &s, &err));
    const float *w = s.weights + slot_of(t, "0.weight")->offset;
    ck_assert_int_eq((int)slot_of(t, "0.weight")->count, K * K * 3 * OUT);
    for (int i = 0; i < K * K * 3; i++)
        for (int f = 0; f < PAIRS; f++)
            ck_assert(w[i * OUT + f] == -w[i * OUT + PAIRS + f]);
    for (int p = 0; p < STRIPES_TRAIN * N * N; p++) {
        const int x0 = p % N, y0 = p / N % N, n = p / N / N;
        double y[PAIRS] = {0};
        for (int i = 0; i < K * K * 3; i++) {
            const int c = i % 3, x = x0 + i / 3 % K, row = y0 + i / 3 / K;
            const double v = data.train_x[((n * 3 + c) * STRIPES_SIDE + row) * STRIPES_SIDE + x] / 255.0;
            for (int f = 0; f < PAIRS; f++)
                y[f] += (double)w[i * OUT + f] * (v - (double)data.mean[c]) / (double)data.std[c];
        }
        for (int f = 0; f < PAIRS; f++) {
            sum[f] += y[f];
            for (int g = 0; g < PAIRS; g++)
                cov[f][g] += y[f] * y[g];
        }
    }
    const double count = STRIPES_TRAIN * N * N;
    for (int f = 0; f < PAIRS; f++)
        for (int g = 0; g < PAIRS; g++)
            ck_assert_double_eq_tol(cov[f][g] / count - sum[f] / count * sum[g] / count, f == g, f == g ? 0.02 : 1e-4);
    cln_state_clear(&s);
    cln_trainer_free(t);
}
END_TEST

/* With 16 channels from 3, and with 16 from 32; the classifier's weights are what they would be. */
START_TEST(dirac)
{
    static const struct {
        const char *name;
        int k, in, out, passed;
    } list[] = {{"0.weight", 3, 3, 16, 3}, {"3.weight", 3, 16, 32, 16}, {"6.weight", 1, 32, 16, 16}, {"33.weight", 1, 32, STRIPES_CLASSES, 0}};
    cln_train_options o = stripes_options("bn");
    cln_state s[2] = {{0}};
    cln_trainer *t = NULL;
    strcpy(o.model, "s8");
    for (int i = 0; i < 2; i++) {
        cln_trainer_free(t);
        o.init = i ? CLN_INITIAL_DIRAC : CLN_INITIAL_KAIMING;
        t = stripes_trainer(dev, &data, &o);
        OK(cln_state_get(t, &s[i], &err));
    }
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        const cln_slot *slot = slot_of(t, list[i].name);
        const int in = list[i].in, out = list[i].out, centre = list[i].k / 2 * (list[i].k + 1);
        ck_assert_int_eq((int)slot->count, list[i].k * list[i].k * in * out);
        for (int j = 0; j < (int)slot->count; j++) {
            const int place = j / out / in, c = j / out % in, f = j % out;
            const float drawn = s[0].weights[slot->offset + (size_t)j], got = s[1].weights[slot->offset + (size_t)j];
            ck_assert(f < list[i].passed ? got == (place == centre && c == f) : got == drawn);
        }
    }
    cln_state_clear(&s[0]);
    cln_state_clear(&s[1]);
    cln_trainer_free(t);
}
END_TEST

/* Without a convolution that reads the images there is nothing to whiten. */
START_TEST(nothing_to_whiten)
{
    const char *net = "gap\nconv 8 k=1\n$norm\nrelu\nconv $classes k=1 bias=1\n";
    cln_train_options o = stripes_options("ln");
    cln_trainer *t = NULL;
    put("flat.net", net, strlen(net));
    snprintf(o.model, sizeof o.model, "%s", at("flat.net"));
    o.whiten = true;
    ck_assert_int_eq(cln_trainer_new(dev, &data, &o, &t, &err), CLN_ERR_ARGUMENT);
    ck_assert_msg(strstr(err.text, "whiten: no convolution of flat"), "%s", err.text);
}
END_TEST

/* ---- wrong values -------------------------------------------------------------------------------- */

START_TEST(wrong_options)
{
    const struct {
        const char *name;
        double ema, norm_lr, mixup;
        int cutout;
    } list[] = {{"ema", 1, 1, 0, 0},     {"ema", -0.1, 1, 0, 0},    {"ema", NAN, 1, 0, 0},
                {"norm-lr", 0, -1, 0, 0}, {"norm-lr", 0, NAN, 0, 0}, {"mixup", 0, 1, 1.5, 0},
                {"mixup", 0, 1, NAN, 0},  {"cutout", 0, 1, 0, -1}};
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        cln_train_options o = stripes_options("bn");
        cln_trainer *t = NULL;
        o.ema = list[i].ema;
        o.norm_lr = list[i].norm_lr;
        o.mixup = list[i].mixup;
        o.cutout = list[i].cutout;
        ck_assert_int_eq(cln_trainer_new(dev, &data, &o, &t, &err), CLN_ERR_ARGUMENT);
        ck_assert_msg(strstr(err.text, list[i].name) == err.text, "%s: %s", list[i].name, err.text);
        ck_assert_ptr_null(t);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("train_features");
    TCase *c = tcase_create("device");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 300); /* a cold cache means compiling */
    tcase_add_loop_test(c, resumed, 0, 5);
    tcase_add_loop_test(c, average_follows, 0, 2);
    tcase_add_test(c, average_is_what_counts);
    tcase_add_test(c, flip_is_the_mean_of_both);
    tcase_add_loop_test(c, eigenvectors, 0, 2);
    tcase_add_test(c, whitened);
    tcase_add_test(c, dirac);
    tcase_add_test(c, nothing_to_whiten);
    tcase_add_test(c, mix_weights);
    tcase_add_test(c, loss_of_two_labels);
    tcase_add_test(c, act_is_part_of_the_network);
    tcase_add_test(c, rewritten_text);
    tcase_add_test(c, standardised_before_norms_within_the_image);
    tcase_add_test(c, wrong_options);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
