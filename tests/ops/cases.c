/* See cases.h. Fields that a line leaves out are 0. */
#include "ops/cases.h"

#include "common/values.h"
#include "ops/naive.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off: a case a line */
const cln_case cln_cases[] = {
    /* convolution */
    {.line = "conv 16 k=3", .in = {4, 8, 8, 16}, .doctor = true}, /* dw in two strips on a CPU */
    {.line = "conv 32 k=3 bias=1", .in = {3, 5, 9, 16}, .n = 2, .doctor = true},
    {.line = "conv 16 k=3", .in = {6, 4, 9, 3}, .n = 5, .doctor = true}, /* and in two chunks */
    {.line = "conv 16 k=1 bias=1", .in = {3, 5, 8, 32}, .doctor = true},
    {.line = "conv 16 k=3 stride=2", .in = {2, 9, 17, 16}, .doctor = true},
    {.line = "conv 10 k=1 bias=1", .in = {5, 1, 1, 32}, .n = 4, .doctor = true},
    {.line = "conv 7 k=3 bias=1", .in = {3, 9, 7, 5}},
    {.line = "conv 16 k=3 ws=1", .in = {3, 8, 8, 16}},
    {.line = "conv 16 k=1 ws=1", .in = {3, 8, 8, 16}, .doctor = true}, /* on a CPU both gradients come in one pass */
    {.line = "conv 9 k=1 bias=1 ws=1", .in = {2, 5, 3, 7}},
    {.line = "conv 16 k=3 bias=1", .in = {4, 6, 6, 8}, .n = 3},
    {.line = "conv 16 k=1", .in = {2, 6, 5, 32}},
    {.line = "conv 16 k=1 bias=1", .in = {2, 4, 5, 16}}, /* small enough for a simulator */
    {.line = "conv 6 k=5 stride=2", .in = {2, 11, 10, 3}},
    {.line = "conv 8 k=3 stride=2 bias=1", .in = {1, 7, 7, 8}},
    {.line = "conv 4 k=1 stride=2 bias=1", .in = {2, 5, 6, 8}},
    {.line = "conv 3 k=3 pad=0", .in = {2, 5, 3, 1}},
    {.line = "conv 4 k=1 pad=0 stride=3", .in = {2, 7, 8, 2}},
    {.line = "conv 5 k=11 bias=1", .in = {1, 4, 6, 2}},
    {.line = "conv 2 k=3 stride=4 pad=2", .in = {1, 9, 9, 2}},
    {.line = "conv 16 k=3", .in = {1, 1, 1, 16}},
    {.line = "conv 1 k=1", .in = {1, 1, 1, 1}},
    {.line = "conv 4 k=3 bias=1", .in = {17, 32, 32, 32}, .n = 16}, /* several chunks of columns */
    {.line = "conv 16 k=3 bias=1", .in = {1, 2, 3, 16}},
    {.line = "conv 16 k=3", .in = {2, 3, 4, 3}, .n = 1},
    {.line = "conv 8 k=3 bias=1", .in = {2, 5, 5, 4}}, /* small enough for Winograd's transforms in little local memory */
    /* depthwise convolution */
    {.line = "dwconv", .in = {6, 8, 9, 16}, .n = 5, .doctor = true}, /* dw in two chunks */
    {.line = "dwconv bias=1", .in = {3, 33, 33, 32}, .n = 2, .doctor = true}, /* and several strips */
    {.line = "dwconv stride=2 bias=1", .in = {2, 9, 16, 16}, .doctor = true},
    {.line = "dwconv 5", .in = {2, 7, 6, 16}},
    {.line = "dwconv 5 stride=2 bias=1", .in = {2, 11, 10, 5}},
    {.line = "dwconv stride=2", .in = {3, 8, 7, 24}, .n = 1},
    {.line = "dwconv stride=4 pad=2", .in = {1, 9, 10, 8}},
    {.line = "dwconv 3 pad=0", .in = {2, 5, 3, 4}},
    {.line = "dwconv 1 stride=3 bias=1", .in = {2, 7, 8, 16}},
    {.line = "dwconv 11", .in = {1, 4, 6, 4}},
    {.line = "dwconv bias=1", .in = {1, 1, 1, 1}},
    {.line = "dwconv bias=1", .in = {1030, 32, 32, 1}, .n = 1027}, /* more rows than chunks there may be, of the SIMT class */
    /* dense */
    {.line = "dense 10", .in = {6, 1, 1, 32}, .n = 5, .doctor = true},
    {.line = "dense 16 bias=0", .in = {2, 4, 4, 16}, .doctor = true},
    {.line = "dense 7", .in = {3, 2, 3, 5}},
    {.line = "dense 1", .in = {1, 1, 1, 1}},
    {.line = "dense 33", .in = {129, 1, 1, 70}},
    /* pooling; where 1e-12 is allowed there is nothing to round */
    {.line = "maxpool 2", .in = {3, 8, 8, 16}, .n = 2, .tolerance = 1e-12, .doctor = true},
    {.line = "maxpool 2", .in = {2, 7, 5, 3}, .levels = 2, .tolerance = 1e-12},
    {.line = "maxpool 3 stride=2 pad=1",
     .in = {2, 9, 8, 16},
     .levels = 2,
     .tolerance = 1e-6,
     .doctor = true},
    {.line = "maxpool 3 stride=2 pad=1", .in = {2, 9, 8, 8}, .levels = 2, .tolerance = 1e-6},
    {.line = "maxpool 3 stride=1", .in = {1, 5, 6, 4}, .levels = 1, .tolerance = 1e-6},
    {.line = "maxpool 11 stride=3 pad=5", .in = {1, 12, 9, 5}, .levels = 3, .tolerance = 1e-6},
    {.line = "maxpool 2 stride=3", .in = {2, 8, 9, 2}, .tolerance = 1e-12},
    {.line = "maxpool 1", .in = {1, 1, 1, 1}, .tolerance = 1e-12},
    {.line = "avgpool 2", .in = {3, 8, 8, 16}, .n = 2, .tolerance = 1e-6, .doctor = true},
    {.line = "avgpool 3 stride=2 pad=1", .in = {2, 9, 8, 16}, .tolerance = 1e-6, .doctor = true},
    {.line = "avgpool 3 stride=2 pad=1", .in = {2, 9, 8, 8}, .tolerance = 1e-6},
    {.line = "avgpool 3 stride=1", .in = {1, 5, 6, 7}, .tolerance = 1e-6},
    {.line = "avgpool 11 stride=4 pad=5", .in = {1, 12, 9, 4}, .tolerance = 1e-6},
    {.line = "avgpool 2 stride=3", .in = {2, 8, 9, 2}, .tolerance = 1e-6},
    {.line = "avgpool 1", .in = {1, 1, 1, 1}, .tolerance = 1e-6},
    {.line = "gap", .in = {5, 8, 8, 32}, .n = 4, .tolerance = 1e-6, .doctor = true},
    {.line = "gap", .in = {2, 7, 3, 16}, .tolerance = 1e-6, .doctor = true},
    {.line = "gap", .in = {2, 7, 3, 5}, .tolerance = 1e-6},
    {.line = "gap", .in = {1, 1, 1, 1}, .tolerance = 1e-6},
    /* elementwise */
    {.line = "add", .in = {3, 8, 8, 16}, .n = 2, .tolerance = 1e-6, .doctor = true},
    {.line = "add", .in = {4, 7, 8, 32}, .tolerance = 1e-6, .doctor = true},
    {.line = "add", .in = {1, 1, 1, 1}, .tolerance = 1e-6},
    {.line = "add", .in = {5, 33, 9, 7}, .n = 4, .tolerance = 1e-6},
    {.line = "add stride=2 16x16x16",
     .in = {3, 8, 8, 32},
     .n = 2,
     .tolerance = 1e-6,
     .doctor = true},
    {.line = "add stride=2 9x15x16", .in = {2, 5, 8, 32}, .tolerance = 1e-6, .doctor = true},
    {.line = "add stride=2 10x7x6", .in = {3, 5, 4, 6}, .n = 1, .tolerance = 1e-6},
    {.line = "add stride=3 7x9x5", .in = {2, 3, 3, 12}, .tolerance = 1e-6},
    {.line = "add stride=4 1x2x1", .in = {1, 1, 1, 1}, .tolerance = 1e-6},
    {.line = "dropout", .in = {3, 8, 8, 16}, .n = 2, .tolerance = 1e-6, .doctor = true},
    {.line = "dropout 0.25", .in = {2, 7, 8, 16}, .tolerance = 1e-6, .doctor = true},
    {.line = "dropout 0.3", .in = {5, 33, 9, 7}, .n = 4, .tolerance = 1e-6},
    {.line = "dropout 0.9", .in = {1, 1, 3, 1}, .tolerance = 1e-6},
    {.line = "dropout 0", .in = {1, 5, 5, 3}, .tolerance = 1e-12},
    {.line = "dropout 0.5", .in = {2, 5, 5, 3}, .eval = true, .tolerance = 1e-12},
    {.line = "sigmoid", .in = {5, 1, 1, 32}, .n = 4, .tolerance = 1e-6, .doctor = true},
    {.line = "sigmoid", .in = {3, 5, 7, 6}, .tolerance = 1e-6},
    {.line = "sigmoid", .in = {1, 1, 1, 1}, .tolerance = 1e-6},
    {.line = "scale 8x8x32", .in = {5, 1, 1, 32}, .n = 4, .doctor = true},
    {.line = "scale 7x5x16", .in = {3, 1, 1, 16}, .doctor = true},
    {.line = "scale 33x32x20", .in = {2, 1, 1, 20}, .n = 1},
    {.line = "scale 3x4x7", .in = {2, 1, 1, 7}},
    {.line = "scale 1x1x1", .in = {1, 1, 1, 1}},
    {0}};
/* clang-format on */

bool cln_is_conv(const cln_op *op)
{
    return !strcmp(op->word, "conv") || !strcmp(op->word, "dwconv") || !strcmp(op->word, "dense");
}

bool cln_case_is(const cln_case *c, const char *word)
{
    const size_t length = strlen(word);
    return !strncmp(c->line, word, length) && (!c->line[length] || c->line[length] == ' ');
}

/* ---- one case -------------------------------------------------------------------------------- */

enum { SEED = 11, STEP = 5 };

void cln_case_values_free(cln_case_values *v)
{
    float *all[] = {v->x[0], v->x[1],  v->dy,    v->param[0], v->param[1], v->dx0,
                    v->y,    v->dx[0], v->dx[1], v->grad[0],  v->grad[1]};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

static size_t floats(cln_tensor t)
{
    return t.bytes / sizeof(float);
}

static void set_accumulate(cln_lone *t, void *arg)
{
    for (int k = 0; k < CLN_MAX_INPUTS; k++)
        t->node.accumulate[k] = *(const bool *)arg;
}

static int upload(cln_lone *t, const cln_case_values *v, bool accumulate, cln_error *err)
{
    int rc = cln_lone_poison(t, err);
    for (int k = 0; k < t->layer.n_inputs && !rc; k++) {
        rc = cln_lone_write(t, t->node.x[k], v->x[k], err);
        if (!rc && accumulate)
            rc = cln_lone_write(t, t->node.dx[k], v->dx0, err);
    }
    for (int k = 0; k < t->params.n_params && !rc; k++)
        rc = cln_lone_write(t, t->node.param[k], v->param[k], err);
    return rc ? rc : cln_lone_write(t, t->node.dy, v->dy, err);
}

static int download(cln_lone *t, cln_case_values *v, cln_error *err)
{
    int rc = cln_lone_read(t, t->node.y, v->y, err);
    for (int k = 0; k < t->layer.n_inputs && !rc; k++)
        rc = cln_lone_read(t, t->node.dx[k], v->dx[k], err);
    for (int k = 0; k < t->params.n_params && !rc; k++)
        rc = cln_lone_read(t, t->node.grad[k], v->grad[k], err);
    return rc;
}

static void make_values(const cln_lone *t, const cln_case *c, cln_case_values *v)
{
    *v = (cln_case_values){.dy = cln_test_random(floats(t->node.dy), 1),
                           .y = cln_test_random(floats(t->node.y), 2),
                           .dx0 = cln_test_random(floats(t->node.x[0]) + floats(t->node.x[1]), 3)};
    for (int k = 0; k < t->layer.n_inputs; k++) {
        v->x[k] = cln_test_random(floats(t->node.x[k]), 4 + (uint32_t)k);
        v->dx[k] = cln_test_random(floats(t->node.x[k]), 6);
        for (size_t i = 0; c->levels && i < floats(t->node.x[k]); i++)
            v->x[k][i] = floorf(v->x[k][i] * (float)c->levels);
    }
    for (int k = 0; k < t->params.n_params; k++) {
        v->param[k] = cln_test_random(floats(t->node.param[k]), 7 + (uint32_t)k);
        v->grad[k] = cln_test_random(floats(t->node.param[k]), 9);
    }
}

int cln_case_run(cln_lone *t, cln_device *dev, const cln_case *c, const cln_tune_request *request,
                 bool accumulate, int rounds, cln_case_values *v, cln_error *err)
{
    const cln_pass pass = {
        .n = c->n ? c->n : c->in.n, .train = !c->eval, .seed = SEED, .step = STEP};
    int rc = cln_lone_new(t, dev, c->line, c->in, request, set_accumulate, &accumulate, err);
    if (rc)
        return rc;
    make_values(t, c, v);
    uint64_t sums[2] = {0, 0};
    for (int round = 0; round < rounds && !rc; round++) {
        rc = upload(t, v, accumulate, err);
        rc = rc ? rc : cln_lone_forward(t, &pass, err);
        rc = rc ? rc : cln_lone_backward(t, &pass, err);
        rc = rc ? rc : download(t, v, err);
        const float *out[] = {v->y, v->dx[0], v->dx[1], v->grad[0], v->grad[1]};
        const size_t count[] = {floats(t->node.y), floats(t->node.dx[0]), floats(t->node.dx[1]),
                                floats(t->node.grad[0]), floats(t->node.grad[1])};
        for (int k = 0; k < 5 && !rc; k++)
            for (size_t i = 0; i < count[k]; i++) {
                uint32_t bits;
                memcpy(&bits, &out[k][i], sizeof bits);
                sums[round] = (sums[round] ^ bits) * 0x100000001b3u + (uint64_t)k;
            }
    }
    return rc || sums[0] == sums[rounds - 1]
               ? rc
               : CLN_FAIL(err, CLN_ERR_INTERNAL, "a second run gave other bits");
}

/* ---- references ------------------------------------------------------------------------------ */

typedef struct reference {
    double *y, *dx[CLN_MAX_INPUTS], *grad[CLN_MAX_PARAMS];
} reference;

static double *doubles(size_t count)
{
    return cln_test_alloc(count, sizeof(double));
}

cln_conv_shape cln_case_conv_shape(const cln_layer *l)
{
    const bool dense = !strcmp(l->op->word, "dense"), depthwise = !strcmp(l->op->word, "dwconv");
    const cln_shape in = l->in[0], out = l->out;
    if (dense)
        return (cln_conv_shape){.h = 1,
                                .w = 1,
                                .ci = in.h * in.w * in.c,
                                .ho = 1,
                                .wo = 1,
                                .co = out.c,
                                .k = 1,
                                .stride = 1,
                                .bias = cln_layer_int(l, "bias") != 0};
    const int k = cln_layer_int(l, "k"), pad = cln_layer_int(l, "pad");
    return (cln_conv_shape){in.h,
                            in.w,
                            in.c,
                            out.h,
                            out.w,
                            out.c,
                            k,
                            cln_layer_int(l, "stride"),
                            pad < 0 ? k / 2 : pad,
                            cln_layer_int(l, "bias") != 0,
                            depthwise};
}

static void refer_pool(const cln_layer *l, cln_shape in, cln_shape out, const cln_case_values *v,
                       reference *r)
{
    const int k = cln_layer_int(l, "k"), pad = cln_layer_int(l, "pad");
    const int stride = cln_layer_int(l, "stride") ? cln_layer_int(l, "stride") : k;
    if (!strcmp(l->op->word, "maxpool")) {
        naive_maxpool_fwd(in, out, k, stride, pad, v->x[0], r->y);
        naive_maxpool_bwd(in, out, k, stride, pad, v->x[0], v->dy, r->dx[0]);
    } else {
        naive_avgpool_fwd(in, out, k, stride, pad, v->x[0], r->y);
        naive_avgpool_bwd(in, out, k, stride, pad, v->dy, r->dx[0]);
    }
}

static void refer_dropout(const cln_case *c, const cln_layer *l, size_t count,
                          const cln_case_values *v, reference *r)
{
    double *mask = doubles(count);
    naive_dropout_mask(count, cln_layer_attr(l, "p"), l->index, SEED, STEP, mask);
    for (size_t i = 0; i < count; i++) {
        const double m = c->eval ? 1.0 : mask[i];
        r->y[i] = v->x[0][i] * m;
        r->dx[0][i] = v->dy[i] * m;
    }
    free(mask);
}

static void refer(const cln_case *c, const cln_layer *l, int n, const cln_case_values *v,
                  reference *r)
{
    cln_shape in = l->in[0], out = l->out;
    in.n = out.n = n;
    const size_t count = cln_shape_count(in);
    if (cln_is_conv(l->op)) {
        const cln_conv_shape s = cln_case_conv_shape(l);
        const bool standard = !strcmp(l->op->word, "conv") && cln_layer_int(l, "ws");
        float *w = standard ? naive_standardised(&s, v->param[0]) : v->param[0];
        naive_conv_fwd(&s, n, v->x[0], w, v->param[1], r->y);
        naive_conv_bwd_data(&s, n, v->dy, w, r->dx[0]);
        naive_conv_bwd_params(&s, n, v->x[0], v->dy, r->grad[0], r->grad[1]);
        if (standard) {
            naive_standardised_bwd(&s, v->param[0], r->grad[0]);
            free(w);
        }
    } else if (!strcmp(l->op->word, "gap")) {
        naive_gap_fwd(in, v->x[0], r->y);
        naive_gap_bwd(in, v->dy, r->dx[0]);
    } else if (!strcmp(l->op->word, "add")) {
        cln_shape labelled = l->in[1];
        labelled.n = n;
        naive_add(out, labelled, cln_layer_int(l, "stride"), v->x[0], v->x[1], r->y);
        naive_add_bwd(out, labelled, cln_layer_int(l, "stride"), v->dy, r->dx[0], r->dx[1]);
    } else if (!strcmp(l->op->word, "sigmoid")) {
        naive_sigmoid(count, v->x[0], r->y);
        naive_sigmoid_bwd(count, v->x[0], v->dy, r->dx[0]);
    } else if (!strcmp(l->op->word, "scale")) {
        naive_scale(out, v->x[0], v->x[1], r->y);
        naive_scale_bwd(out, v->x[0], v->x[1], v->dy, r->dx[0], r->dx[1]);
    } else if (!strcmp(l->op->word, "dropout")) {
        refer_dropout(c, l, count, v, r);
    } else {
        refer_pool(l, in, out, v, r);
    }
}

/* ---- comparison ------------------------------------------------------------------------------ */

static void compare(cln_verdict *v, const char *where, const char *what, const cln_case *c,
                    const float *got, const double *want, size_t count)
{
    const cln_test_difference d = cln_test_compare(got, want, count);
    const double allowed = c->tolerance ? c->tolerance : CLN_CASE_TOLERANCE;
    cln_verdict_hold(v, d.finite ? d.max : NAN, allowed, where, what);
    if (d.finite && d.max <= allowed && !(d.nmse <= 1e-10))
        cln_verdict_fail(v, "%s: %s: NMSE %.2g, 1e-10 is allowed", where, what, d.nmse);
}

/* What lies behind the pass's images keeps its poison. */
static void untouched(cln_verdict *v, const char *where, const char *what, const float *got,
                      size_t from, size_t count)
{
    for (size_t i = from; i < count; i++)
        if (!isnan(got[i])) {
            cln_verdict_fail(v, "%s: %s was written behind the batch", where, what);
            return;
        }
}

static void check_values(cln_verdict *out, const char *where, const cln_case *c, const cln_lone *t,
                         bool accumulate, const cln_case_values *v)
{
    const int n = c->n ? c->n : c->in.n;
    const size_t y = floats(t->node.y), ny = y / (size_t)c->in.n * (size_t)n;
    reference r = {doubles(y),
                   {doubles(floats(t->node.x[0])), doubles(floats(t->node.x[1]))},
                   {doubles(floats(t->node.grad[0])), doubles(floats(t->node.grad[1]))}};
    refer(c, &t->layer, n, v, &r);
    compare(out, where, "y", c, v->y, r.y, ny);
    untouched(out, where, "y", v->y, ny, y);
    for (int k = 0; k < t->layer.n_inputs; k++) {
        const size_t x = floats(t->node.x[k]), nx = x / (size_t)c->in.n * (size_t)n;
        for (size_t i = 0; accumulate && i < nx; i++)
            r.dx[k][i] += v->dx0[i];
        compare(out, where, "dx", c, v->dx[k], r.dx[k], nx);
        if (!accumulate)
            untouched(out, where, "dx", v->dx[k], nx, x);
    }
    for (int k = 0; k < t->params.n_params; k++)
        compare(out, where, k ? "db" : "dw", c, v->grad[k], r.grad[k],
                floats(t->node.grad[k]));
    double *all[] = {r.y, r.dx[0], r.dx[1], r.grad[0], r.grad[1]};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

/* Multiplications of the forward pass; of layers that have none, values that are looked at. */
static double case_muls(const cln_case *c)
{
    cln_layer layer;
    if (cln_lone_layer(&layer, c->line, c->in, NULL))
        return 0; /* running it will tell why */
    if (!cln_is_conv(layer.op)) {
        const int k =
            cln_case_is(c, "maxpool") || cln_case_is(c, "avgpool") ? cln_layer_int(&layer, "k") : 1;
        return (double)cln_shape_count(c->in) * k * k;
    }
    const cln_conv_shape s = cln_case_conv_shape(&layer);
    return (double)c->in.n * s.ho * s.wo * s.co * s.k * s.k * (s.depthwise ? 1 : s.ci);
}

/* Whether the algorithm that is asked for runs in some direction; elsewhere the device's choice would be checked again. */
static bool covered(const cln_device *dev, const cln_case *c, const cln_tune_request *request)
{
    cln_layer layer;
    if (request->conv < 0 || !(cln_case_is(c, "conv") || cln_case_is(c, "dense")) ||
        cln_lone_layer(&layer, c->line, c->in, NULL))
        return true;
    const cln_conv_shape s = cln_case_conv_shape(&layer);
    for (int direction = 0; direction < 3; direction++)
        if (cln_conv_impl_of((cln_conv_algo)request->conv)->supports(&dev->info, &s, direction))
            return true;
    return false;
}

void cln_case_check(cln_device *dev, const cln_case *c, const cln_tune_request *request,
                    bool accumulate, cln_verdict *v)
{
    char where[200];
    cln_error err = {0};
    cln_lone t;
    cln_case_values values = {0};
    snprintf(where, sizeof where, "'%s' on %dx%dx%dx%d (%d images, %s, %s%s)", c->line, c->in.n,
             c->in.h, c->in.w, c->in.c, c->n ? c->n : c->in.n,
             cln_tune_class(&dev->info, request) == CLN_CLASS_SIMT ? "simt" : "vector",
             request->conv < 0 ? "" : cln_conv_algo_name((cln_conv_algo)request->conv),
             accumulate ? ", +=" : "");
    if ((v->most > 0 && case_muls(c) > v->most) || !covered(dev, c, request))
        return;
    v->cases++;
    int rc = cln_case_run(&t, dev, c, request, accumulate, v->once ? 1 : 2, &values, &err);
    if (!cln_verdict_call(v, rc, where, &err))
        check_values(v, where, c, &t, accumulate, &values);
    cln_case_values_free(&values);
    cln_lone_free(&t);
}
