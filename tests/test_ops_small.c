/* Convolution (the algorithms that any device can run), dense, pooling, add and dropout against
 * naive double references: awkward shapes, partial batches, both device classes, outputs full of
 * NaN between guard bands, = and +=, everything twice and equal bit for bit. */
#include "common/values.h"
#include "lone.h"
#include "ops/naive.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cln_device *dev;

static void open_device(void)
{
    cln_error err = {0};
    ck_assert_msg(cln_device_open(NULL, false, &dev, &err) == 0, "%s", err.text);
}

static void close_device(void)
{
    cln_device_close(dev);
    dev = NULL;
}

/* ---- one case -------------------------------------------------------------------------------- */

enum { SEED = 11, STEP = 5 };

typedef struct op_case {
    const char *line;
    cln_shape in;
    int n;      /* images in the pass; 0: all */
    int levels; /* x takes so many values only, so that maxima tie; 0: any */
    bool eval;
    double tolerance; /* of max |difference| / max |reference|; 0: 1e-5 */
} op_case;

/* Host copies: what went in and what came out. */
typedef struct values {
    float *x[CLN_MAX_INPUTS], *dy, *param[CLN_MAX_PARAMS], *dx0; /* dx0: what += adds to */
    float *y, *dx[CLN_MAX_INPUTS], *grad[CLN_MAX_PARAMS];
} values;

static void values_free(values *v)
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

static int upload(cln_lone *t, const values *v, bool accumulate, cln_error *err)
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

static int download(cln_lone *t, values *v, cln_error *err)
{
    int rc = cln_lone_read(t, t->node.y, v->y, err);
    for (int k = 0; k < t->layer.n_inputs && !rc; k++)
        rc = cln_lone_read(t, t->node.dx[k], v->dx[k], err);
    for (int k = 0; k < t->params.n_params && !rc; k++)
        rc = cln_lone_read(t, t->node.grad[k], v->grad[k], err);
    return rc;
}

static void make_values(const cln_lone *t, const op_case *c, values *v)
{
    *v = (values){.dy = cln_test_random(floats(t->node.dy), 1),
                  .y = cln_test_random(floats(t->node.y), 2),
                  .dx0 = cln_test_random(floats(t->node.x[0]), 3)};
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

/* Runs the case twice on *t; the second run must repeat the first. */
static int run_case(cln_lone *t, const op_case *c, const cln_tune_request *request,
                    bool accumulate, values *v, cln_error *err)
{
    const cln_pass pass = {c->n ? c->n : c->in.n, !c->eval, SEED, STEP, 0};
    int rc = cln_lone_new(t, dev, c->line, c->in, request, set_accumulate, &accumulate, err);
    if (rc)
        return rc;
    make_values(t, c, v);
    uint64_t sums[2] = {0, 0};
    for (int round = 0; round < 2 && !rc; round++) {
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
    return rc || sums[0] == sums[1]
               ? rc
               : CLN_FAIL(err, CLN_ERR_INTERNAL, "a second run gave other bits");
}

/* ---- references ------------------------------------------------------------------------------ */

typedef struct reference {
    double *y, *dx[CLN_MAX_INPUTS], *grad[CLN_MAX_PARAMS];
} reference;

static double *doubles(size_t count)
{
    double *values = calloc(count ? count : 1, sizeof *values);
    if (!values)
        abort();
    return values;
}

static cln_conv_shape conv_shape(const cln_layer *l)
{
    const bool dense = !strcmp(l->op->word, "dense");
    const cln_shape in = l->in[0], out = l->out;
    if (dense)
        return (cln_conv_shape){1, 1, in.h * in.w * in.c,           1, 1, out.c, 1,
                                1, 0, cln_layer_int(l, "bias") != 0};
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
                            cln_layer_int(l, "bias") != 0};
}

static void refer_pool(const cln_layer *l, cln_shape in, cln_shape out, const values *v,
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

static void refer_dropout(const op_case *c, const cln_layer *l, size_t count, const values *v,
                          reference *r)
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

static void refer(const op_case *c, const cln_layer *l, int n, const values *v, reference *r)
{
    cln_shape in = l->in[0], out = l->out;
    in.n = out.n = n;
    const size_t count = cln_shape_count(in);
    if (!strcmp(l->op->word, "conv") || !strcmp(l->op->word, "dense")) {
        const cln_conv_shape s = conv_shape(l);
        naive_conv_fwd(&s, n, v->x[0], v->param[0], v->param[1], r->y);
        naive_conv_bwd_data(&s, n, v->dy, v->param[0], r->dx[0]);
        naive_conv_bwd_params(&s, n, v->x[0], v->dy, r->grad[0], r->grad[1]);
    } else if (!strcmp(l->op->word, "gap")) {
        naive_gap_fwd(in, v->x[0], r->y);
        naive_gap_bwd(in, v->dy, r->dx[0]);
    } else if (!strcmp(l->op->word, "add")) {
        naive_add(count, v->x[0], v->x[1], r->y);
        for (size_t i = 0; i < count; i++)
            r->dx[0][i] = r->dx[1][i] = v->dy[i];
    } else if (!strcmp(l->op->word, "dropout")) {
        refer_dropout(c, l, count, v, r);
    } else {
        refer_pool(l, in, out, v, r);
    }
}

/* ---- comparison ------------------------------------------------------------------------------ */

typedef struct worst {
    double nmse, max;
} worst;

static void compare(const char *what, const char *name, const op_case *c, const float *got,
                    const double *want, size_t count, worst *w)
{
    const cln_test_difference d = cln_test_compare(got, want, count);
    const double tolerance = c->tolerance ? c->tolerance : 1e-5;
    w->nmse = fmax(w->nmse, d.nmse);
    w->max = fmax(w->max, d.max);
    ck_assert_msg(d.finite && d.max <= tolerance && d.nmse <= 1e-10,
                  "%s, %s of '%s' on %dx%dx%dx%d (pass of %d): finite %d, max %.2e, NMSE %.2e",
                  name, what, c->line, c->in.n, c->in.h, c->in.w, c->in.c, c->n, d.finite, d.max,
                  d.nmse);
}

/* What lies behind the pass's images keeps its poison. */
static void untouched(const char *what, const op_case *c, const float *got, size_t from,
                      size_t count)
{
    for (size_t i = from; i < count; i++)
        ck_assert_msg(isnan(got[i]), "%s of '%s' was written behind the batch", what, c->line);
}

static void check_case(const op_case *c, const cln_tune_request *request, bool accumulate, worst *w)
{
    char name[64];
    cln_error err = {0};
    cln_lone t;
    values v = {0};
    const int n = c->n ? c->n : c->in.n;
    snprintf(name, sizeof name, "class %s, conv %s, %s",
             request->cls == CLN_CLASS_SIMT ? "simt" : "vector",
             request->conv < 0 ? "auto" : cln_conv_algo_name((cln_conv_algo)request->conv),
             accumulate ? "+=" : "=");
    int rc = run_case(&t, c, request, accumulate, &v, &err);
    ck_assert_msg(rc == 0, "%s, '%s': %s", name, c->line, err.text);
    const size_t x = floats(t.node.x[0]), y = floats(t.node.y);
    const size_t nx = x / (size_t)c->in.n * (size_t)n, ny = y / (size_t)c->in.n * (size_t)n;
    reference r = {doubles(y),
                   {doubles(x), doubles(x)},
                   {doubles(floats(t.node.grad[0])), doubles(floats(t.node.grad[1]))}};
    refer(c, &t.layer, n, &v, &r);
    compare("y", name, c, v.y, r.y, ny, w);
    untouched("y", c, v.y, ny, y);
    for (int k = 0; k < t.layer.n_inputs; k++) {
        for (size_t i = 0; accumulate && i < nx; i++)
            r.dx[k][i] += v.dx0[i];
        compare("dx", name, c, v.dx[k], r.dx[k], nx, w);
        if (!accumulate)
            untouched("dx", c, v.dx[k], nx, x);
    }
    for (int k = 0; k < t.params.n_params; k++)
        compare(k ? "db" : "dw", name, c, v.grad[k], r.grad[k], floats(t.node.grad[k]), w);
    double *all[] = {r.y, r.dx[0], r.dx[1], r.grad[0], r.grad[1]};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    values_free(&v);
    cln_lone_free(&t);
}

/* Every case in both classes, = and +=. */
static void check_cases(const char *title, const op_case *cases, size_t count, int conv)
{
    worst w = {0, 0};
    for (size_t i = 0; i < count; i++)
        for (int k = 0; k < 4; k++)
            check_case(&cases[i],
                       &(cln_tune_request){k & 1 ? CLN_CLASS_SIMT : CLN_CLASS_VECTOR, conv}, k >= 2,
                       &w);
    printf("%-12s %2zu cases: NMSE %.1e, max %.1e\n", title, count, w.nmse, w.max);
}

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- convolution and dense ------------------------------------------------------------------- */

static const op_case conv_cases[] = {
    {.line = "conv 16 k=3", .in = {2, 8, 8, 16}},
    {.line = "conv 7 k=3 bias=1", .in = {3, 9, 7, 5}},
    {.line = "conv 16 k=3 bias=1", .in = {4, 6, 6, 8}, .n = 3},
    {.line = "conv 10 k=1 bias=1", .in = {5, 1, 1, 32}, .n = 4},
    {.line = "conv 16 k=1", .in = {2, 6, 5, 32}},
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
};

START_TEST(conv_simt)
{
    check_cases("conv simt", conv_cases, COUNT(conv_cases), CLN_CONV_SIMT);
}
END_TEST

START_TEST(conv_gemm)
{
    check_cases("conv gemm", conv_cases, COUNT(conv_cases), CLN_CONV_GEMM);
}
END_TEST

START_TEST(conv_auto)
{
    check_cases("conv auto", conv_cases, COUNT(conv_cases), -1);
}
END_TEST

static const op_case dense_cases[] = {
    {.line = "dense 10", .in = {6, 1, 1, 32}, .n = 5}, {.line = "dense 7", .in = {3, 2, 3, 5}},
    {.line = "dense 16 bias=0", .in = {2, 4, 4, 16}},  {.line = "dense 1", .in = {1, 1, 1, 1}},
    {.line = "dense 33", .in = {129, 1, 1, 70}},
};

START_TEST(dense)
{
    check_cases("dense simt", dense_cases, COUNT(dense_cases), CLN_CONV_SIMT);
    check_cases("dense gemm", dense_cases, COUNT(dense_cases), CLN_CONV_GEMM);
    check_cases("dense auto", dense_cases, COUNT(dense_cases), -1);
}
END_TEST

/* The two algorithms directly against each other, on a shape of the study's network. */
START_TEST(simt_against_gemm)
{
    const op_case c = {.line = "conv 32 k=3 bias=1", .in = {8, 16, 16, 16}};
    cln_lone t[2];
    values v[2];
    cln_error err = {0};
    for (int i = 0; i < 2; i++) {
        const cln_tune_request request = {CLN_CLASS_AUTO, i ? CLN_CONV_GEMM : CLN_CONV_SIMT};
        ck_assert_msg(run_case(&t[i], &c, &request, false, &v[i], &err) == 0, "%s", err.text);
        ck_assert_int_eq(t[i].node.tune.fwd, request.conv);
        ck_assert_int_eq(t[i].node.tune.bwd_data, request.conv);
        ck_assert_int_eq(t[i].node.tune.bwd_params, request.conv);
    }
    const size_t count[] = {floats(t[0].node.y), floats(t[0].node.dx[0]), floats(t[0].node.grad[0]),
                            floats(t[0].node.grad[1])};
    const float *const a[] = {v[0].y, v[0].dx[0], v[0].grad[0], v[0].grad[1]};
    const float *const b[] = {v[1].y, v[1].dx[0], v[1].grad[0], v[1].grad[1]};
    for (int k = 0; k < 4; k++) {
        double *want = doubles(count[k]);
        for (size_t i = 0; i < count[k]; i++)
            want[i] = b[k][i];
        const cln_test_difference d = cln_test_compare(a[k], want, count[k]);
        ck_assert_msg(d.finite && d.max <= 1e-5 && d.nmse <= 1e-10,
                      "output %d: max %.2e, NMSE %.2e", k, d.max, d.nmse);
        free(want);
    }
    for (int i = 0; i < 2; i++) {
        values_free(&v[i]);
        cln_lone_free(&t[i]);
    }
}
END_TEST

/* CLBlast keeps programs by context: a device that is closed and opened again must get its own. */
START_TEST(gemm_after_reopening)
{
    worst w = {0, 0};
    for (int round = 0; round < 2; round++) {
        check_case(&conv_cases[1], &(cln_tune_request){CLN_CLASS_AUTO, CLN_CONV_GEMM}, false, &w);
        close_device();
        open_device();
    }
}
END_TEST

/* ---- pooling --------------------------------------------------------------------------------- */

static const op_case max_cases[] = {
    {.line = "maxpool 2", .in = {3, 8, 8, 16}, .n = 2, .tolerance = 1e-12},
    {.line = "maxpool 2", .in = {2, 7, 5, 3}, .levels = 2, .tolerance = 1e-12},
    {.line = "maxpool 3 stride=2 pad=1", .in = {2, 9, 8, 8}, .levels = 2, .tolerance = 1e-6},
    {.line = "maxpool 3 stride=1", .in = {1, 5, 6, 4}, .levels = 1, .tolerance = 1e-6},
    {.line = "maxpool 11 stride=3 pad=5", .in = {1, 12, 9, 5}, .levels = 3, .tolerance = 1e-6},
    {.line = "maxpool 2 stride=3", .in = {2, 8, 9, 2}, .tolerance = 1e-12},
    {.line = "maxpool 1", .in = {1, 1, 1, 1}, .tolerance = 1e-12},
};

START_TEST(maxpool)
{
    check_cases("maxpool", max_cases, COUNT(max_cases), -1);
}
END_TEST

static const op_case avg_cases[] = {
    {.line = "avgpool 2", .in = {3, 8, 8, 16}, .n = 2, .tolerance = 1e-6},
    {.line = "avgpool 3 stride=2 pad=1", .in = {2, 9, 8, 8}, .tolerance = 1e-6},
    {.line = "avgpool 3 stride=1", .in = {1, 5, 6, 7}, .tolerance = 1e-6},
    {.line = "avgpool 11 stride=4 pad=5", .in = {1, 12, 9, 4}, .tolerance = 1e-6},
    {.line = "avgpool 2 stride=3", .in = {2, 8, 9, 2}, .tolerance = 1e-6},
    {.line = "avgpool 1", .in = {1, 1, 1, 1}, .tolerance = 1e-6},
    {.line = "gap", .in = {5, 8, 8, 32}, .n = 4, .tolerance = 1e-6},
    {.line = "gap", .in = {2, 7, 3, 5}, .tolerance = 1e-6},
    {.line = "gap", .in = {1, 1, 1, 1}, .tolerance = 1e-6},
};

START_TEST(average)
{
    check_cases("avgpool, gap", avg_cases, COUNT(avg_cases), -1);
}
END_TEST

/* A NaN anywhere in a window reaches the output, and the gradient goes to it. */
START_TEST(maxpool_nan)
{
    for (int where = 0; where < 4; where++) {
        cln_lone t;
        cln_error err = {0};
        float x[4] = {1, 2, 3, 4}, dy = 1, y = 0, dx[4];
        const cln_pass pass = {.n = 1, .train = true};
        x[where] = NAN;
        int rc = cln_lone_new(&t, dev, "maxpool 2", (cln_shape){1, 2, 2, 1}, NULL, NULL, NULL,
                                   &err);
        rc = rc ? rc : cln_lone_write(&t, t.node.x[0], x, &err);
        rc = rc ? rc : cln_lone_write(&t, t.node.dy, &dy, &err);
        rc = rc ? rc : cln_lone_forward(&t, &pass, &err);
        rc = rc ? rc : cln_lone_backward(&t, &pass, &err);
        rc = rc ? rc : cln_lone_read(&t, t.node.y, &y, &err);
        rc = rc ? rc : cln_lone_read(&t, t.node.dx[0], dx, &err);
        ck_assert_msg(rc == 0, "%s", err.text);
        ck_assert(isnan(y));
        for (int i = 0; i < 4; i++)
            ck_assert_msg(dx[i] == (i == where ? 1.0f : 0.0f), "NaN at %d: dx[%d] = %g", where, i,
                          dx[i]);
        cln_lone_free(&t);
    }
}
END_TEST

/* ---- elementwise ----------------------------------------------------------------------------- */

static const op_case point_cases[] = {
    {.line = "add", .in = {3, 8, 8, 16}, .n = 2, .tolerance = 1e-6},
    {.line = "add", .in = {1, 1, 1, 1}, .tolerance = 1e-6},
    {.line = "add", .in = {5, 33, 9, 7}, .n = 4, .tolerance = 1e-6},
    {.line = "dropout", .in = {3, 8, 8, 16}, .n = 2, .tolerance = 1e-6},
    {.line = "dropout 0.3", .in = {5, 33, 9, 7}, .n = 4, .tolerance = 1e-6},
    {.line = "dropout 0.9", .in = {1, 1, 3, 1}, .tolerance = 1e-6},
    {.line = "dropout 0", .in = {1, 5, 5, 3}, .tolerance = 1e-12},
    {.line = "dropout 0.5", .in = {2, 5, 5, 3}, .eval = true, .tolerance = 1e-12},
};

/* += rounds once more, which 1e-12 does not allow: there x alone is compared by `=`. */
START_TEST(point)
{
    worst w = {0, 0};
    for (size_t i = 0; i < COUNT(point_cases); i++)
        for (int k = 0; k < (point_cases[i].tolerance > 1e-7 ? 4 : 2); k++)
            check_case(&point_cases[i],
                       &(cln_tune_request){k & 1 ? CLN_CLASS_SIMT : CLN_CLASS_VECTOR, -1}, k >= 2,
                       &w);
    printf("%-12s %2zu cases: NMSE %.1e, max %.1e\n", "elementwise", COUNT(point_cases), w.nmse,
           w.max);
}
END_TEST

/* The reference's mask: the wanted share of zeros, another one at another step, seed and layer. */
START_TEST(dropout_mask)
{
    enum { N = 100000 };
    double *mask[4], kept = 0;
    for (int k = 0; k < 4; k++) {
        mask[k] = doubles(N);
        naive_dropout_mask(N, 0.3, k == 1 ? 4 : 3, k == 2 ? 12 : 11, k == 3 ? 6 : 5, mask[k]);
    }
    for (int i = 0; i < N; i++)
        kept += mask[0][i] != 0.0;
    ck_assert_double_eq_tol(kept / N, 0.7, 0.006); /* four standard deviations */
    for (int k = 1; k < 4; k++) {
        double same = 0;
        for (int i = 0; i < N; i++)
            same += (mask[0][i] != 0.0) == (mask[k][i] != 0.0);
        ck_assert_double_eq_tol(same / N, 0.58, 0.0065);
    }
    for (int k = 0; k < 4; k++)
        free(mask[k]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ops_small");
    TCase *device = tcase_create("device"), *host = tcase_create("host");
    tcase_set_timeout(device, 300);
    tcase_add_checked_fixture(device, open_device, close_device);
    tcase_add_test(device, conv_simt);
    tcase_add_test(device, conv_gemm);
    tcase_add_test(device, conv_auto);
    tcase_add_test(device, dense);
    tcase_add_test(device, simt_against_gemm);
    tcase_add_test(device, gemm_after_reopening);
    tcase_add_test(device, maxpool);
    tcase_add_test(device, average);
    tcase_add_test(device, maxpool_nan);
    tcase_add_test(device, point);
    tcase_add_test(host, dropout_mask);
    suite_add_tcase(suite, device);
    suite_add_tcase(suite, host);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
