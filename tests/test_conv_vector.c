/* The vector class convolutions, direct and Winograd's, against a naive double-precision reference: every direction and epilogue,
 * awkward shapes, NaN-poisoned outputs between guard bands, each run twice and compared bit for bit. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/on_device.h"
#include "ops/conv.h"
#include "ops/naive.h"

enum { GUARD = 4096, POISON = 0x7fc0dead, MAX_TENSORS = 24 };
static const double tolerance = 1e-5; /* of the largest reference value */

/* n: images in the buffers; run: images in the batch. */
typedef struct shape {
    int n, run, h, w, ci, co, k, stride, pad, bias;
} shape;

static const cln_conv_impl *const impls[] = {&cln_conv_vector, &cln_conv_winograd, &cln_conv_pointwise};
static const cln_conv_impl *impl; /* the one under test */

static cln_tensor wholes[MAX_TENSORS], views[MAX_TENSORS];
static int n_tensors;
static uint32_t random_state;

static void setup(void)
{
    n_tensors = 0;
    random_state = 1;
    impl = NULL;
}

/* Every float of it and of the guards round it is poison. */
static cln_tensor tensor(size_t floats)
{
    ck_assert_int_lt(n_tensors, MAX_TENSORS);
    const size_t guard = cln_align_up(GUARD, dev->info.base_align), bytes = floats * sizeof(float);
    cln_tensor *whole = &wholes[n_tensors], *view = &views[n_tensors];
    OK(cln_tensor_new(dev, 2 * guard + cln_align_up(bytes, 4), "test", whole, &err));
    OK(cln_tensor_fill(dev, *whole, POISON, &err));
    OK(cln_tensor_view(dev, *whole, guard, bytes, view, &err));
    n_tensors++;
    return *view;
}

static float *read_back(cln_tensor t)
{
    float *p = malloc(t.bytes);
    ck_assert_ptr_nonnull(p);
    OK(cln_tensor_read(dev, t, 0, p, t.bytes, &err));
    return p;
}

static void check_guards_and_free(void)
{
    const size_t guard = cln_align_up(GUARD, dev->info.base_align);
    for (int i = 0; i < n_tensors; i++) {
        uint32_t *p = (uint32_t *)(void *)read_back(wholes[i]);
        const size_t words = wholes[i].bytes / 4, end = (guard + views[i].bytes) / 4;
        for (size_t j = 0; j < words; j++)
            if (j < guard / 4 || j >= end)
                ck_assert_msg(p[j] == POISON, "tensor %d: guard word %zu of %zu was overwritten", i,
                              j, words);
        free(p);
        cln_tensor_free(&views[i]);
        cln_tensor_free(&wholes[i]);
    }
    n_tensors = 0;
}

static uint32_t random_bits(void)
{
    random_state = random_state * 1664525u + 1013904223u;
    return random_state >> 8;
}

/* Multiples of `step`, symmetric round `middle`; few enough bits that sums with z, mu, a, beta stay exact. */
static float *fill(cln_tensor t, double middle, double step)
{
    const size_t count = t.bytes / sizeof(float);
    float *p = malloc(t.bytes);
    ck_assert_ptr_nonnull(p);
    for (size_t i = 0; i < count; i++)
        p[i] = (float)(middle + step * ((int)(random_bits() % 65) - 32));
    OK(cln_tensor_write(dev, t, 0, p, t.bytes, &err));
    return p;
}

static cln_conv_shape conv_shape(shape s);

/* The next algorithm that covers the shape; ends with false. Begins anew after that. */
static bool next_impl(shape s, int direction)
{
    const cln_conv_shape c = conv_shape(s);
    size_t i = 0;
    while (impl && impls[i++] != impl)
        ;
    for (impl = NULL; !impl && i < sizeof impls / sizeof impls[0]; i++)
        if (impls[i]->supports(&dev->info, &c, direction))
            impl = impls[i];
    return impl != NULL;
}

static cln_conv_shape conv_shape(shape s)
{
    return (cln_conv_shape){.h = s.h,
                            .w = s.w,
                            .ci = s.ci,
                            .co = s.co,
                            .k = s.k,
                            .stride = s.stride,
                            .pad = s.pad,
                            .bias = s.bias,
                            .ho = (s.h + 2 * s.pad - s.k) / s.stride + 1,
                            .wo = (s.w + 2 * s.pad - s.k) / s.stride + 1};
}

static const char *text(shape s)
{
    static char t[160];
    snprintf(t, sizeof t, "n=%d/%d h=%d w=%d ci=%d co=%d k=%d stride=%d pad=%d bias=%d", s.run, s.n,
             s.h, s.w, s.ci, s.co, s.k, s.stride, s.pad, s.bias);
    return t;
}

/* Of `row` values the first half, and so on with the next rows. */
static void compare_halves(const char *what, shape s, const float *got, const double *want, size_t count,
                           size_t row)
{
    double worst = 0.0, largest = 0.0;
    for (size_t i = 0; i < count; i++) {
        if (i % row >= row / 2)
            continue;
        const double d = fabs(got[i] - want[i]);
        ck_assert_msg(isfinite(got[i]), "%s (%s): element %zu is not finite", what, text(s), i);
        worst = d > worst ? d : worst;
        largest = fabs(want[i]) > largest ? fabs(want[i]) : largest;
    }
    ck_assert_msg(worst <= tolerance * largest, "%s (%s): error %g, largest value %g", what,
                  text(s), worst, largest);
}

static void compare(const char *what, shape s, const float *got, const double *want, size_t count)
{
    compare_halves(what, s, got, want, count, 2 * count);
}

/* What lies behind the batch's last image keeps its poison. */
static void check_untouched(const char *what, shape s, const float *got, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        uint32_t bits;
        memcpy(&bits, got + i, sizeof bits);
        ck_assert_msg(bits == POISON, "%s (%s): element %zu behind the batch was written", what,
                      text(s), i);
    }
}

static cln_tensor zeros(void)
{
    cln_tensor t = tensor(1024);
    OK(cln_tensor_fill(dev, t, 0, &err));
    return t;
}

/* Runs the direction twice from the same state; output (and second output) must agree bit for bit. */
static void run_twice(cln_node *node, shape s, int direction, cln_tensor saved,
                      const cln_tensor *out, const float *const *initial, int n_out)
{
    const cln_conv_shape c = conv_shape(s);
    void *state = NULL;
    float *first[3] = {NULL, NULL, NULL};
    ck_assert(impl->supports(&dev->info, &c, direction));
    OK(impl->create(node, &c, direction, &state, &err));
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < n_out; i++)
            if (initial[i])
                OK(cln_tensor_write(dev, out[i], 0, initial[i], out[i].bytes, &err));
            else
                OK(cln_tensor_fill(dev, out[i], POISON, &err));
        OK(impl->run(state, node, saved, &(cln_pass){.n = s.run}, &err));
        OK(cln_device_finish(dev, &err));
        for (int i = 0; i < n_out && round == 0; i++)
            first[i] = read_back(out[i]);
    }
    for (int i = 0; i < n_out; i++) {
        float *second = read_back(out[i]);
        ck_assert_msg(memcmp(first[i], second, out[i].bytes) == 0,
                      "direction %d (%s): two runs differ", direction, text(s));
        free(first[i]);
        free(second);
    }
    impl->destroy(state);
}

static double *doubles(size_t count)
{
    double *p = calloc(count, sizeof *p);
    ck_assert_ptr_nonnull(p);
    return p;
}

/* ---- forward ------------------------------------------------------------------------------------ */

/* Mean and M2 of each strip and channel of y (run, h, w, c): (run, strips, 2, c). */
static double *reference_stats(const float *y, int run, int h, int w, int c, int rows)
{
    const int tiles = cln_div_up(h, rows);
    double *out = doubles((size_t)run * tiles * c * 2);
    for (int n = 0; n < run; n++)
        for (int t = 0; t < tiles; t++)
            for (int i = 0; i < c; i++) {
                const int r0 = t * rows, r1 = r0 + rows < h ? r0 + rows : h;
                const float *p = y + ((size_t)n * h + r0) * w * c + i;
                double mean = 0.0, m2 = 0.0;
                for (int j = 0; j < (r1 - r0) * w; j++)
                    mean += p[(size_t)j * c];
                mean /= (double)(r1 - r0) * w;
                for (int j = 0; j < (r1 - r0) * w; j++)
                    m2 += (p[(size_t)j * c] - mean) * (p[(size_t)j * c] - mean);
                out[((size_t)n * tiles + t) * 2 * c + i] = mean;
                out[((size_t)n * tiles + t) * 2 * c + c + i] = m2;
            }
    return out;
}

static void check_stats(shape s, const float *y, cln_tensor stats, int rows)
{
    const cln_conv_shape c = conv_shape(s);
    const size_t each = (size_t)cln_div_up(c.ho, rows) * s.co * 2;
    float *got = read_back(stats);
    double *want = reference_stats(y, s.run, c.ho, c.wo, s.co, rows);
    const size_t c2 = (size_t)s.co * 2;
    compare_halves("mean", s, got, want, each * s.run, c2);
    compare_halves("M2", s, got + s.co, want + s.co, each * s.run - s.co, c2);
    check_untouched("statistics", s, got, each * s.run, each * s.n);
    free(got);
    free(want);
}

static void check_forward(shape s, double bias_middle)
{
    const cln_conv_shape c = conv_shape(s);
    const size_t nx = (size_t)s.n * s.h * s.w * s.ci, image = (size_t)c.ho * c.wo * s.co;
    const size_t nw = (size_t)s.k * s.k * s.ci * s.co;
    const int rows = impl->strip_rows(&dev->info, &c, CLN_CONV_FWD, 1);
    size_t scratch, saved_bytes;
    impl->memory(&dev->info, &c, s.n, CLN_CONV_FWD, &scratch, &saved_bytes);
    const cln_tensor saved = saved_bytes ? tensor(saved_bytes / sizeof(float)) : (cln_tensor){0};
    ck_assert_int_ge(rows, 1);
    cln_stage stage = {.norm = true,
                       .stat_rows = rows,
                       .stats = tensor((size_t)s.n * cln_div_up(c.ho, rows) * s.co * 2)};
    cln_node node = {.dev = dev, .zeros = zeros(), .stats_for = &stage};
    node.x[0] = tensor(nx);
    node.y = tensor(image * s.n);
    node.param[0] = tensor(nw);
    float *x = fill(node.x[0], 0, 1.0 / 37), *w = fill(node.param[0], 0, 1.0 / 53), *b = NULL;
    if (s.bias) {
        node.param[1] = tensor(s.co);
        b = fill(node.param[1], bias_middle, 0.1);
    }
    const cln_tensor out[] = {node.y, stage.stats};
    run_twice(&node, s, CLN_CONV_FWD, saved, out, (const float *[]){NULL, NULL}, 2);

    float *y = read_back(node.y);
    double *want = doubles(image * s.n);
    naive_conv_fwd(&c, s.run, x, w, b, want);
    compare("y", s, y, want, image * s.run);
    check_untouched("y", s, y, image * s.run, image * s.n);
    check_stats(s, y, stage.stats, rows);
    /* Without the epilogue y is the same. */
    node.stats_for = NULL;
    run_twice(&node, s, CLN_CONV_FWD, saved, out, (const float *[]){NULL}, 1);
    float *plain = read_back(node.y);
    ck_assert_int_eq(memcmp(plain, y, node.y.bytes), 0);
    free(plain);
    free(x);
    free(w);
    free(b);
    free(y);
    free(want);
    check_guards_and_free();
}

static const shape forward_shapes[] = {
    /* n run  h   w  ci  co  k  s  p  bias */
    {1, 1, 1, 1, 3, 8, 3, 1, 1, 1},     {3, 3, 5, 7, 5, 16, 3, 1, 1, 0},
    {3, 2, 33, 33, 3, 16, 3, 1, 1, 0},  {2, 2, 33, 33, 8, 32, 3, 2, 1, 1},
    {1, 1, 8, 8, 16, 32, 3, 1, 1, 0},   {2, 2, 6, 5, 1, 24, 5, 1, 2, 1},
    {3, 1, 16, 16, 12, 48, 1, 1, 0, 0}, {1, 1, 9, 11, 16, 12, 3, 2, 1, 0},
    {2, 2, 7, 7, 32, 4, 5, 2, 2, 1},    {2, 2, 4, 3, 5, 40, 3, 1, 0, 0},
    {2, 2, 7, 9, 4, 16, 1, 2, 0, 0},    {1, 1, 4, 4, 8, 8, 3, 1, 2, 1},
    {2, 2, 3, 4, 16, 16, 5, 1, 2, 0},   {2, 1, 1, 33, 1, 16, 3, 2, 1, 0},
    {1, 1, 2, 5, 300, 16, 5, 1, 4, 0},  {3, 2, 16, 16, 16, 32, 3, 1, 1, 0},
    {7, 6, 8, 8, 32, 16, 3, 1, 1, 1},   {2, 2, 7, 5, 16, 48, 3, 1, 0, 1},
    {1, 1, 13, 34, 32, 32, 3, 1, 2, 0}, {3, 3, 2, 2, 16, 16, 3, 1, 1, 0},
    {2, 1, 3, 1, 4, 12, 3, 1, 2, 0},    {3, 2, 8, 8, 64, 64, 3, 1, 1, 0},
    {2, 2, 16, 15, 32, 64, 3, 2, 1, 0},
};

START_TEST(forward_matches_the_reference)
{
    while (next_impl(forward_shapes[_i], CLN_CONV_FWD))
        check_forward(forward_shapes[_i], 0.0);
}
END_TEST

/* The mean is a thousand times the deviation: E[x^2] - E[x]^2 would have no digit left. */
START_TEST(statistics_survive_a_large_mean)
{
    const shape s = {2, 2, 16, 16, 16, 16, 3, 1, 1, 1};
    while (next_impl(s, CLN_CONV_FWD))
        check_forward(s, 1000.0);
}
END_TEST

/* ---- backward-data ------------------------------------------------------------------------------ */

typedef struct stage_data {
    float *z, *mu, *a, *beta;
} stage_data;

/* sum g and sum g (z - mu) per strip of `rows` rows of dx and channel. */
static double *reference_sums(shape s, const cln_stage *st, stage_data d, const float *dx, int rows)
{
    const int tiles = cln_div_up(s.h, rows), pool = st->pool, zw = s.w * pool;
    double *out = doubles((size_t)s.run * tiles * s.ci * 2);
    for (int n = 0; n < s.run; n++)
        for (int y = 0; y < s.h; y++)
            for (int x = 0; x < s.w; x++)
                for (int c = 0; c < s.ci; c++) {
                    const size_t coef = (size_t)n * st->coef_stride + c;
                    double best = -INFINITY, at = 0.0;
                    for (int i = 0; i < pool * pool; i++) {
                        const int zy = y * pool + i / pool, zx = x * pool + i % pool;
                        const double v =
                            d.z[(((size_t)n * s.h * pool + zy) * zw + zx) * s.ci + c] - d.mu[coef];
                        const double u = v * d.a[coef] + d.beta[c];
                        if (u > best) {
                            best = u;
                            at = v;
                        }
                    }
                    const double g = st->relu && best <= 0.0
                                         ? 0.0
                                         : dx[(((size_t)n * s.h + y) * s.w + x) * s.ci + c];
                    double *o = out + ((size_t)n * tiles + y / rows) * 2 * s.ci + c;
                    o[0] += g;
                    o[s.ci] += g * at;
                }
    return out;
}

static void check_sums(shape s, const cln_stage *st, stage_data d, const float *dx, int rows)
{
    const size_t each = (size_t)cln_div_up(s.h, rows) * s.ci * 2;
    float *got = read_back(st->sums);
    double *want = reference_sums(s, st, d, dx, rows);
    const size_t c2 = (size_t)s.ci * 2;
    compare_halves("sum g", s, got, want, each * s.run, c2);
    compare_halves("sum g (z - mu)", s, got + s.ci, want + s.ci, each * s.run - s.ci, c2);
    check_untouched("sums", s, got, each * s.run, each * s.n);
    free(got);
    free(want);
}

/* z, mu, a and beta are such that (z - mu) * a + beta is exact in float: ties in a window are ties. */
static stage_data make_stage(shape s, cln_stage *st, int pool, bool relu, bool shared, int rows)
{
    *st = (cln_stage){.norm = true,
                      .relu = relu,
                      .pool = pool,
                      .coef_stride = shared ? 0 : s.ci,
                      .sum_rows = rows * pool};
    st->z = tensor((size_t)s.n * s.h * pool * s.w * pool * s.ci);
    st->mu = tensor((size_t)(shared ? 1 : s.n) * s.ci);
    st->a = tensor((size_t)(shared ? 1 : s.n) * s.ci);
    st->beta = tensor(s.ci);
    st->sums = tensor((size_t)s.n * cln_div_up(s.h, rows) * s.ci * 2);
    return (stage_data){fill(st->z, 0, 0.25), fill(st->mu, 0, 0.125), fill(st->a, 0, 0.5),
                        fill(st->beta, 0, 0.0625)};
}

/* Where no pool is between, dx has what the ReLU of the stage let through. */
static void mask_by_stage(shape s, const cln_stage *st, stage_data d, double *dx)
{
    const size_t image = (size_t)s.h * s.w * s.ci;
    for (size_t i = 0; st->relu && st->pool == 1 && i < image * s.run; i++) {
        const size_t c = i % s.ci, coef = i / image * st->coef_stride + c;
        if (!((d.z[i] - d.mu[coef]) * d.a[coef] + d.beta[c] > 0.0f))
            dx[i] = 0.0;
    }
}

static void check_backward_data(shape s, bool accumulate, int pool, bool relu, bool shared)
{
    const cln_conv_shape c = conv_shape(s);
    const size_t image = (size_t)s.h * s.w * s.ci;
    const int rows = impl->strip_rows(&dev->info, &c, CLN_CONV_BWD_DATA, pool) / pool;
    size_t scratch, saved;
    cln_stage stage;
    ck_assert_int_ge(rows, 1);
    impl->memory(&dev->info, &c, s.n, CLN_CONV_BWD_DATA, &scratch, &saved);
    stage_data d = make_stage(s, &stage, pool, relu, shared, rows);
    cln_node node = {.dev = dev, .zeros = zeros(), .sums_for = &stage, .accumulate = {accumulate}};
    node.dy = tensor((size_t)s.n * c.ho * c.wo * s.co);
    node.dx[0] = tensor(image * s.n);
    node.param[0] = tensor((size_t)s.k * s.k * s.ci * s.co);
    float *dy = fill(node.dy, 0, 1.0 / 37), *w = fill(node.param[0], 0, 1.0 / 53), *before = NULL;
    if (accumulate)
        before = fill(node.dx[0], 0, 0.125);
    run_twice(&node, s, CLN_CONV_BWD_DATA, tensor(saved / sizeof(float)),
              (cln_tensor[]){node.dx[0], stage.sums}, (const float *[]){before, NULL}, 2);

    float *dx = read_back(node.dx[0]);
    double *want = doubles(image * s.n);
    naive_conv_bwd_data(&c, s.run, dy, w, want);
    for (size_t i = 0; before && i < image * s.run; i++)
        want[i] += before[i];
    mask_by_stage(s, &stage, d, want);
    compare("dx", s, dx, want, image * s.run);
    if (accumulate)
        ck_assert_int_eq(memcmp(dx + image * s.run, before + image * s.run,
                                image * (s.n - s.run) * sizeof(float)),
                         0);
    else
        check_untouched("dx", s, dx, image * s.run, image * s.n);
    check_sums(s, &stage, d, dx, rows);
    free(d.z);
    free(d.mu);
    free(d.a);
    free(d.beta);
    free(dy);
    free(w);
    free(before);
    free(dx);
    free(want);
    check_guards_and_free();
}

static const shape backward_shapes[] = {
    {1, 1, 1, 1, 8, 3, 3, 1, 1, 0},    {3, 3, 5, 7, 16, 5, 3, 1, 1, 0},
    {3, 2, 33, 33, 16, 8, 3, 1, 1, 0}, {1, 1, 8, 8, 32, 16, 3, 1, 1, 0},
    {2, 2, 6, 5, 24, 1, 5, 1, 2, 0},   {3, 1, 16, 16, 48, 12, 1, 1, 0, 0},
    {2, 2, 4, 4, 40, 5, 3, 1, 0, 0},   {1, 1, 4, 4, 8, 8, 3, 1, 2, 0},
    {2, 2, 3, 4, 16, 16, 5, 1, 2, 0},  {2, 2, 1, 33, 12, 10, 3, 1, 1, 0},
    {1, 1, 7, 7, 4, 24, 5, 1, 1, 0},   {3, 2, 16, 14, 32, 16, 3, 1, 1, 0},
    {7, 6, 8, 8, 16, 32, 3, 1, 1, 0},  {2, 2, 7, 5, 48, 16, 3, 1, 0, 0},
    {1, 1, 13, 34, 32, 32, 3, 1, 2, 0}, {3, 3, 2, 2, 16, 16, 3, 1, 1, 0},
    /* with a stride: both parities, phases without a tap, rows that no output reads */
    {3, 2, 16, 16, 32, 64, 3, 2, 1, 0}, {2, 2, 9, 7, 16, 32, 3, 2, 1, 0},
    {1, 1, 33, 17, 16, 8, 3, 2, 1, 0}, {2, 2, 7, 9, 8, 4, 1, 2, 0, 0},
    {2, 2, 11, 10, 4, 24, 5, 2, 2, 0}, {1, 1, 1, 1, 8, 3, 3, 2, 1, 0},
    {2, 1, 1, 33, 16, 1, 3, 2, 1, 0},  {1, 1, 9, 10, 16, 5, 3, 4, 2, 0},
    {2, 2, 6, 7, 24, 8, 3, 3, 0, 0},   {1, 1, 10, 13, 48, 8, 1, 4, 0, 0},
    {2, 2, 8, 8, 64, 64, 3, 1, 1, 0},
};

START_TEST(backward_data_matches_the_reference)
{
    while (next_impl(backward_shapes[_i], CLN_CONV_BWD_DATA)) {
        check_backward_data(backward_shapes[_i], false, 1, true, false);
        check_backward_data(backward_shapes[_i], true, 2, true, true);
    }
}
END_TEST

START_TEST(backward_sums_of_all_kinds)
{
    static const int shapes[] = {2, 5, 11, 17};
    for (int k = 0; k < 4; k++)
        while (next_impl(backward_shapes[shapes[k]], CLN_CONV_BWD_DATA))
            check_backward_data(backward_shapes[shapes[k]], _i & 1, _i & 2 ? 2 : 1, _i & 4, _i & 8);
}
END_TEST

/* ---- backward-params ---------------------------------------------------------------------------- */

static void check_backward_params(shape s)
{
    const cln_conv_shape c = conv_shape(s);
    const size_t nw = (size_t)s.k * s.k * s.ci * s.co, ny = (size_t)s.n * c.ho * c.wo * s.co;
    size_t scratch, saved;
    impl->memory(&dev->info, &c, s.n, CLN_CONV_BWD_PARAMS, &scratch, &saved);
    cln_node node = {.dev = dev, .zeros = zeros(), .scratch = tensor(scratch / sizeof(float))};
    node.x[0] = tensor((size_t)s.n * s.h * s.w * s.ci);
    node.dy = tensor(ny);
    node.grad[0] = tensor(nw);
    float *x = fill(node.x[0], 0, 1.0 / 37), *dy = fill(node.dy, 0.1, 1.0 / 53);
    if (s.bias)
        node.grad[1] = tensor(s.co);
    run_twice(&node, s, CLN_CONV_BWD_PARAMS, (cln_tensor){0}, node.grad,
              (const float *[]){NULL, NULL}, 1 + s.bias);

    float *dw = read_back(node.grad[0]);
    double *want = doubles(nw), *want_bias = doubles(s.co);
    naive_conv_bwd_params(&c, s.run, x, dy, want, s.bias ? want_bias : NULL);
    compare("dw", s, dw, want, nw);
    if (s.bias) {
        float *db = read_back(node.grad[1]);
        compare("db", s, db, want_bias, s.co);
        free(db);
    }
    free(want_bias);
    free(x);
    free(dy);
    free(dw);
    free(want);
    check_guards_and_free();
}

static const shape params_shapes[] = {
    {1, 1, 1, 1, 3, 8, 3, 1, 1, 1},     {3, 3, 5, 7, 5, 16, 3, 1, 1, 1},
    {5, 5, 33, 33, 3, 16, 3, 1, 1, 0},  {9, 7, 9, 9, 8, 32, 3, 2, 1, 1},
    {19, 18, 8, 8, 16, 32, 3, 1, 1, 0}, {2, 2, 6, 5, 1, 24, 5, 1, 2, 1},
    {3, 3, 16, 16, 12, 48, 1, 1, 0, 1}, {1, 1, 9, 11, 16, 12, 3, 2, 1, 0},
    {2, 2, 7, 7, 32, 4, 5, 2, 2, 1},    {2, 2, 4, 3, 5, 40, 3, 1, 0, 0},
    {2, 2, 7, 9, 4, 16, 1, 2, 0, 0},    {3, 2, 1, 1, 3, 16, 5, 2, 2, 1},
    {2, 2, 3, 4, 16, 16, 5, 1, 2, 0},   {2, 1, 1, 33, 1, 16, 3, 2, 1, 0},
    {1, 1, 2, 5, 300, 16, 5, 1, 4, 0},  {2, 2, 3, 500, 3, 8, 3, 1, 1, 0},
    {6, 5, 16, 16, 16, 32, 3, 1, 1, 1}, {19, 17, 8, 8, 32, 16, 3, 1, 1, 0},
    {2, 2, 7, 5, 16, 48, 3, 1, 0, 1},   {5, 5, 13, 34, 32, 32, 3, 1, 2, 0},
    {3, 3, 2, 2, 16, 16, 3, 1, 1, 0},   {9, 7, 8, 8, 64, 64, 3, 1, 1, 0},
    {5, 5, 16, 15, 32, 64, 3, 2, 1, 0},
};

START_TEST(backward_params_matches_the_reference)
{
    while (next_impl(params_shapes[_i], CLN_CONV_BWD_PARAMS))
        check_backward_params(params_shapes[_i]);
}
END_TEST

/* ---- what it declines --------------------------------------------------------------------------- */

START_TEST(declines_what_it_cannot_do)
{
    const cln_device_info wide = {.vector_width = 8}, narrow = {.vector_width = 1};
    const cln_conv_shape ok = {8, 8, 16, 8, 8, 12, 3, 1, 1, false, false};
    cln_conv_shape s = ok;
    for (int d = CLN_CONV_FWD; d <= CLN_CONV_BWD_PARAMS; d++) {
        ck_assert(cln_conv_vector.supports(&wide, &ok, d));
        ck_assert(cln_conv_vector.supports(&narrow, &ok, d));
    }
    s.co = 10;
    ck_assert(!cln_conv_vector.supports(&wide, &s, CLN_CONV_FWD));
    ck_assert(cln_conv_vector.supports(&wide, &s, CLN_CONV_BWD_DATA));
    ck_assert(!cln_conv_vector.supports(&wide, &s, CLN_CONV_BWD_PARAMS));
    ck_assert_int_eq(cln_conv_vector.strip_rows(&wide, &s, CLN_CONV_FWD, 1), 0);
    s = ok;
    s.ci = 1028; /* more than a row of zeros holds */
    ck_assert(!cln_conv_vector.supports(&wide, &s, CLN_CONV_FWD));
    ck_assert_int_eq(cln_conv_vector.strip_rows(&wide, &ok, CLN_CONV_BWD_DATA, 2),
                     2 * cln_conv_vector.strip_rows(&wide, &ok, CLN_CONV_BWD_DATA, 1));
}
END_TEST

#define COUNT(a) ((int)(sizeof(a) / sizeof(a)[0]))

int main(void)
{
    Suite *suite = suite_create("conv_vector");
    TCase *c = tcase_create("conv_vector");
    tcase_set_timeout(c, 300); /* a cold compile on a busy machine */
    tcase_add_unchecked_fixture(c, device_open, device_close); /* one process: starting takes longer than most tests */
    tcase_add_checked_fixture(c, setup, NULL);
    tcase_add_loop_test(c, forward_matches_the_reference, 0, COUNT(forward_shapes));
    tcase_add_test(c, statistics_survive_a_large_mean);
    tcase_add_loop_test(c, backward_data_matches_the_reference, 0, COUNT(backward_shapes));
    tcase_add_loop_test(c, backward_sums_of_all_kinds, 0, 16);
    tcase_add_loop_test(c, backward_params_matches_the_reference, 0, COUNT(params_shapes));
    tcase_add_test(c, declines_what_it_cannot_do);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
