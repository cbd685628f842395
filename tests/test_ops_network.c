/* Whole networks on a device, forward, loss and backward, against the naive double-precision references put together
 * layer by layer: what fusion, residual sums and the plan's wiring make of the layers. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/values.h"
#include "lone.h"
#include "common/step.h"
#include "ops/naive.h"
#include "ops/norm.h"

enum { BATCH = 4, CLASSES = 5, MAX_LAYERS = 32, SEEDS = 200 };
static const double smoothing = 0.1;
/* Of the largest value of a tensor; or kappa 2^-22 where that is more, kappa = |mean| / std of a norm's input. */
static const double tolerance = 1e-5;
static const double margin = 3e-6; /* to every kink, relative to the stage's largest value */
static const cln_shape input = {BATCH, 8, 8, 3};
static const char *const norms[] = {"bn", "ln", "gn", "in", "none"};
/* Few different sizes, since each is a program to compile. */
static const char *const nets[] = {
    "conv 8 k=3\n$norm\nrelu\nmaxpool 2\np: conv 8 k=3\n$norm\nrelu\nadd p\nconv 8 k=1\n$norm\n"
    "relu\ngap\nconv $classes k=1 bias=1\n",
    "conv 8 k=3 bias=1\nrelu\nq: avgpool 2\nconv 8 k=3\n$norm\nadd q\nr: relu\ndropout 0.25\n"
    "conv 8 k=1\nadd r\n$norm\nmaxpool 3 stride=2 pad=1\ndense $classes\n",
    "s: conv 8 k=3 stride=2\n$norm\nconv 8 k=3\n$norm\nadd s\nrelu\nconv 8 k=3\n$norm\n"
    "maxpool 2\nrelu\ngap\ndense $classes\n"};
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

static double *doubles(size_t count)
{
    double *p = calloc(count + 1, sizeof *p);
    ck_assert_ptr_nonnull(p);
    return p;
}

static double *widen(const float *values, size_t count)
{
    double *p = doubles(count);
    for (size_t i = 0; i < count; i++)
        p[i] = values[i];
    return p;
}

static float *narrow(const double *values, size_t count)
{
    float *p = calloc(count + 1, sizeof *p);
    ck_assert_ptr_nonnull(p);
    for (size_t i = 0; i < count; i++)
        p[i] = (float)values[i];
    return p;
}

/* ---- the reference network ----------------------------------------------------------------------- */

typedef struct reference {
    const cln_net *net;
    float *param[MAX_LAYERS][CLN_MAX_PARAMS];
    double *grad[MAX_LAYERS][CLN_MAX_PARAMS];
    double *x, *y[MAX_LAYERS], *dy[MAX_LAYERS], *mask[MAX_LAYERS];
    double loss, lead; /* lead: the least margin of all stages and pools */
    double kappa;      /* the largest of all sets */
} reference;

static bool is(const cln_layer *layer, const char *word)
{
    return strcmp(layer->op->word, word) == 0;
}

static cln_conv_shape conv_shape(const cln_layer *l)
{
    if (is(l, "dense"))
        return (cln_conv_shape){.h = 1,
                                .w = 1,
                                .ci = l->in[0].h * l->in[0].w * l->in[0].c,
                                .ho = 1,
                                .wo = 1,
                                .co = l->out.c,
                                .k = 1,
                                .stride = 1,
                                .pad = 0,
                                .bias = cln_layer_int(l, "bias")};
    const int k = cln_layer_int(l, "k"), pad = cln_layer_int(l, "pad");
    return (cln_conv_shape){.h = l->in[0].h,
                            .w = l->in[0].w,
                            .ci = l->in[0].c,
                            .ho = l->out.h,
                            .wo = l->out.w,
                            .co = l->out.c,
                            .k = k,
                            .stride = cln_layer_int(l, "stride"),
                            .pad = pad < 0 ? k / 2 : pad,
                            .bias = cln_layer_int(l, "bias")};
}

static const double *in_of(const reference *r, int layer, int k)
{
    const int from = r->net->layers[layer].input[k];
    return from < 0 ? r->x : r->y[from];
}

static void stage_forward(reference *r, int i)
{
    const cln_layer *l = &r->net->layers[i];
    const naive_stage s = naive_stage_of(l);
    const size_t sets = (size_t)naive_stage_sets(&s), count = cln_shape_count(l->out),
                 c = (size_t)l->out.c;
    double *mean = doubles(sets), *var = doubles(sets), *lead = doubles(count), top = 0;
    double *gamma = sets ? widen(r->param[i][0], c) : NULL,
           *beta = sets ? widen(r->param[i][1], c) : NULL;
    naive_stage_statistics(&s, in_of(r, i, 0), mean, var);
    naive_stage_fwd(&s, in_of(r, i, 0), gamma, beta, mean, var, r->y[i], lead);
    for (size_t k = 0; k < sets; k++)
        r->kappa = fmax(r->kappa, fabs(mean[k]) / sqrt(var[k] + s.eps));
    for (size_t k = 0; k < count; k++)
        top = fmax(top, fabs(r->y[i][k]));
    for (size_t k = 0; k < count && s.relu; k++)
        r->lead = fmin(r->lead, lead[k] / top);
    free(mean);
    free(var);
    free(lead);
    free(gamma);
    free(beta);
}

/* How close the two largest values of any window are. */
static void pool_margin(reference *r, const cln_layer *l, const float *x)
{
    const int k = cln_layer_int(l, "k"),
              stride = cln_layer_int(l, "stride") ? cln_layer_int(l, "stride") : k;
    const int pad = cln_layer_int(l, "pad");
    const cln_shape in = l->in[0], out = l->out;
    double top = 0;
    for (size_t i = 0; i < cln_shape_count(in); i++)
        top = fmax(top, fabs((double)x[i]));
    for (size_t o = 0; o < cln_shape_count(out); o++) {
        const int c = (int)(o % (size_t)out.c), ox = (int)(o / (size_t)out.c) % out.w;
        const int oy = (int)(o / (size_t)out.c) / out.w % out.h,
                  n = (int)(o / (size_t)out.c) / out.w / out.h;
        double first = -INFINITY, second = -INFINITY;
        for (int y = oy * stride - pad; y < oy * stride - pad + k; y++)
            for (int q = ox * stride - pad; q < ox * stride - pad + k; q++) {
                if (y < 0 || y >= in.h || q < 0 || q >= in.w)
                    continue;
                const double v = (double)x[((n * in.h + y) * in.w + q) * in.c + c];
                second = fmax(second, fmin(v, first));
                first = fmax(first, v);
            }
        if (first > second) /* of equals, as behind a ReLU, the first is taken */
            r->lead = fmin(r->lead, (first - second) / top);
    }
}

static void forward_layer(reference *r, int i)
{
    const cln_layer *l = &r->net->layers[i];
    const size_t count = cln_shape_count(l->in[0]);
    float *x = narrow(in_of(r, i, 0), count), *b = NULL;
    const cln_conv_shape s = is(l, "conv") || is(l, "dense") ? conv_shape(l) : (cln_conv_shape){0};
    const bool max = is(l, "maxpool");
    if (s.k) {
        naive_conv_fwd(&s, BATCH, x, r->param[i][0], s.bias ? r->param[i][1] : NULL, r->y[i]);
    } else if (l->op->host) {
        stage_forward(r, i);
    } else if (max || is(l, "avgpool")) {
        const int k = cln_layer_int(l, "k"), stride = cln_layer_int(l, "stride");
        (max ? naive_maxpool_fwd : naive_avgpool_fwd)(l->in[0], l->out, k, stride ? stride : k,
                                                      cln_layer_int(l, "pad"), x, r->y[i]);
        if (max)
            pool_margin(r, l, x);
    } else if (is(l, "gap")) {
        naive_gap_fwd(l->in[0], x, r->y[i]);
    } else if (is(l, "add")) {
        b = narrow(in_of(r, i, 1), count);
        naive_add(count, x, b, r->y[i]);
    } else {
        ck_assert(is(l, "dropout"));
        naive_dropout_mask(count, cln_layer_attr(l, "p"), i, 7, 1,
                           r->mask[i]); /* seed and step of common/step.c */
        for (size_t k = 0; k < count; k++)
            r->y[i][k] = (double)x[k] * r->mask[i][k];
    }
    free(x);
    free(b);
}

/* Adds the gradient of what the layer's input k is. */
static void pass_back(reference *r, int layer, int k, const double *dx)
{
    const cln_layer *l = &r->net->layers[layer];
    for (size_t i = 0; l->input[k] >= 0 && i < cln_shape_count(l->in[k]); i++)
        r->dy[l->input[k]][i] += dx[i];
}

static void stage_backward(reference *r, int i, double *dx)
{
    const cln_layer *l = &r->net->layers[i];
    const naive_stage s = naive_stage_of(l);
    const bool norm = naive_stage_sets(&s) > 0;
    const size_t c = (size_t)l->out.c;
    double *gamma = norm ? widen(r->param[i][0], c) : NULL,
           *beta = norm ? widen(r->param[i][1], c) : NULL;
    naive_stage_bwd(&s, in_of(r, i, 0), gamma, beta, r->dy[i], dx, r->grad[i][0], r->grad[i][1],
                    NULL);
    free(gamma);
    free(beta);
}

static void backward_layer(reference *r, int i)
{
    const cln_layer *l = &r->net->layers[i];
    const size_t count = cln_shape_count(l->in[0]);
    float *x = narrow(in_of(r, i, 0), count), *dy = narrow(r->dy[i], cln_shape_count(l->out));
    double *dx = doubles(count);
    const cln_conv_shape s = is(l, "conv") || is(l, "dense") ? conv_shape(l) : (cln_conv_shape){0};
    if (s.k) {
        naive_conv_bwd_params(&s, BATCH, x, dy, r->grad[i][0], s.bias ? r->grad[i][1] : NULL);
        naive_conv_bwd_data(&s, BATCH, dy, r->param[i][0], dx);
    } else if (l->op->host) {
        stage_backward(r, i, dx);
    } else if (is(l, "maxpool") || is(l, "avgpool")) {
        const int k = cln_layer_int(l, "k"),
                  stride = cln_layer_int(l, "stride") ? cln_layer_int(l, "stride") : k;
        const int pad = cln_layer_int(l, "pad");
        if (is(l, "maxpool"))
            naive_maxpool_bwd(l->in[0], l->out, k, stride, pad, x, dy, dx);
        else
            naive_avgpool_bwd(l->in[0], l->out, k, stride, pad, dy, dx);
    } else if (is(l, "gap")) {
        naive_gap_bwd(l->in[0], dy, dx);
    } else {
        for (size_t k = 0; k < count; k++)
            dx[k] = r->dy[i][k] * (is(l, "dropout") ? r->mask[i][k] : 1);
        if (is(l, "add"))
            pass_back(r, i, 1, dx);
    }
    pass_back(r, i, 0, dx);
    free(x);
    free(dy);
    free(dx);
}

static void loss_and_gradient(reference *r, const int32_t *labels)
{
    const double *logits = r->y[r->net->n_layers - 1];
    r->loss = 0;
    for (int n = 0; n < BATCH; n++) {
        double z = 0;
        for (int k = 0; k < CLASSES; k++)
            z += exp(logits[n * CLASSES + k]);
        for (int k = 0; k < CLASSES; k++) {
            const double q = (k == labels[n] ? 1 - smoothing : 0) + smoothing / CLASSES;
            const double log_p = logits[n * CLASSES + k] - log(z);
            r->loss -= q * log_p / BATCH;
            r->dy[r->net->n_layers - 1][n * CLASSES + k] = (exp(log_p) - q) / BATCH;
        }
    }
}

static void run_reference(reference *r, const cln_plan *plan, const float *weights, const float *x,
                          const int32_t *labels)
{
    *r = (reference){.net = plan->net, .x = widen(x, cln_shape_count(input)), .lead = INFINITY};
    ck_assert_int_le(r->net->n_layers, MAX_LAYERS);
    for (int i = 0; i < plan->n_slots; i++) {
        const cln_slot *slot = &plan->slots[i];
        if (slot->state)
            continue;
        r->param[slot->layer][slot->which] = malloc(slot->count * sizeof *weights);
        ck_assert_ptr_nonnull(r->param[slot->layer][slot->which]);
        memcpy(r->param[slot->layer][slot->which], weights + slot->offset,
               slot->count * sizeof *weights);
        r->grad[slot->layer][slot->which] = doubles(slot->count);
    }
    for (int i = 0; i < r->net->n_layers; i++) {
        r->y[i] = doubles(cln_shape_count(r->net->layers[i].out));
        r->dy[i] = doubles(cln_shape_count(r->net->layers[i].out));
        r->mask[i] = doubles(cln_shape_count(r->net->layers[i].out));
        forward_layer(r, i);
    }
    loss_and_gradient(r, labels);
    for (int i = r->net->n_layers - 1; i >= 0; i--)
        backward_layer(r, i);
}

static void free_reference(reference *r)
{
    free(r->x);
    for (int i = 0; i < MAX_LAYERS; i++) {
        free(r->y[i]);
        free(r->dy[i]);
        free(r->mask[i]);
        for (int k = 0; k < CLN_MAX_PARAMS; k++) {
            free(r->param[i][k]);
            free(r->grad[i][k]);
        }
    }
}

/* ---- against the device -------------------------------------------------------------------------- */

/* Weights of the initial spread; gamma near 1, beta and biases near 0, none of them exactly. */
static float *draw_weights(const cln_plan *plan, uint32_t seed)
{
    float *w = calloc(plan->n_weights + 1, sizeof *w);
    ck_assert_ptr_nonnull(w);
    for (int i = 0; i < plan->n_slots; i++) {
        const cln_slot *slot = &plan->slots[i];
        if (slot->state)
            continue;
        float *random = cln_test_random(slot->count, seed * 64 + (uint32_t)i);
        const float scale = slot->param.fan_in ? (float)sqrt(6.0 / slot->param.fan_in) : 0.3f;
        for (size_t k = 0; k < slot->count; k++)
            w[slot->offset + k] =
                scale * random[k] + (slot->param.init == CLN_INIT_ONE ? 1.0f : 0.0f);
        free(random);
    }
    return w;
}

static void hold(const char *where, const char *what, const float *got, const double *want,
                 size_t count, double kappa)
{
    const cln_test_difference d = cln_test_compare(got, want, count);
    ck_assert_msg(d.finite && d.max <= fmax(tolerance, kappa * 0x1p-22),
                  "%s: %s: NMSE %.3g, max %.3g (kappa %.3g)", where, what, d.nmse, d.max, kappa);
}

static void hold_step(cln_test_step *s, const reference *r, const float *weights, const float *x,
                      const int32_t *labels, const char *where)
{
    double loss;
    OK(cln_tensor_write(dev, s->plan->weights, 0, weights, s->plan->n_weights * sizeof *weights,
                        &err));
    OK(cln_test_step_run(s, BATCH, true, smoothing, x, labels, &loss, &err));
    ck_assert_msg(fabs(loss / r->loss - 1) < 1e-6, "%s: loss %.9g, not %.9g", where, loss, r->loss);
    hold(where, "logits", s->logits, r->y[s->net->n_layers - 1], BATCH * CLASSES, r->kappa);
    float *grads = cln_test_floats(dev, s->plan->grads, s->plan->n_weights);
    for (int i = 0; i < s->plan->n_slots; i++) {
        const cln_slot *slot = &s->plan->slots[i];
        if (!slot->state)
            hold(where, slot->name, grads + slot->offset, r->grad[slot->layer][slot->which],
                 slot->count, r->kappa);
    }
    free(grads);
}

static const struct {
    const char *name;
    cln_plan_options options;
} ways[] = {{"vector, fused", {{CLN_CLASS_VECTOR, CLN_CONV_VECTOR}, true, false, false}},
            {"vector, unfused", {{CLN_CLASS_VECTOR, CLN_CONV_VECTOR}, false, false, false}},
            {"simt, fused", {{CLN_CLASS_SIMT, CLN_CONV_SIMT}, true, false, false}},
            {"gemm, fused", {{CLN_CLASS_VECTOR, CLN_CONV_GEMM}, true, false, false}}};

/* Weights and data of the first seed that keeps clear of all kinks, where rounding would decide, and whose norms
 * (instance norm over few values above all) do not magnify it. */
START_TEST(networks)
{
    const char *net = nets[_i / 5], *norm = norms[_i % 5];
    const int32_t labels[BATCH] = {0, 3, 4, 1};
    float *x = NULL, *weights = NULL;
    reference r = {0};
    uint32_t seed = 0;
    for (size_t w = 0; w < sizeof ways / sizeof ways[0]; w++) {
        cln_test_step s;
        char where[128];
        OK(cln_test_step_new(&s, dev, net, norm, CLASSES, input, &ways[w].options, &err));
        while (!(r.lead > margin && r.kappa < 20)) {
            free_reference(&r);
            free(x);
            free(weights);
            ck_assert_uint_lt(++seed, SEEDS);
            x = cln_test_random(cln_shape_count(input), seed);
            weights = draw_weights(s.plan, seed);
            run_reference(&r, s.plan, weights, x, labels);
        }
        snprintf(where, sizeof where, "net %d, %s, %s, seed %u", _i / 5, norm, ways[w].name,
                 (unsigned)seed);
        r.net = s.net;
        hold_step(&s, &r, weights, x, labels, where);
        cln_test_step_free(&s);
    }
    free_reference(&r);
    free(x);
    free(weights);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("network");
    TCase *tcase = tcase_create("device");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 300); /* a cold cache means compiling */
    tcase_add_loop_test(tcase, networks, 0, 15);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
