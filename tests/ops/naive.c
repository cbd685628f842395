#include "ops/naive.h"

#include "common/values.h"
#include "philox.h"

#include <math.h>
#include <string.h>

/* Element (n, y, x, c) of an image of h rows, w columns and nc channels. */
static size_t at(int h, int w, int nc, int n, int y, int x, int c)
{
    return (((size_t)n * (size_t)h + (size_t)y) * (size_t)w + (size_t)x) * (size_t)nc + (size_t)c;
}

static bool inside(int y, int x, int h, int w)
{
    return y >= 0 && y < h && x >= 0 && x < w;
}

static void clear(double *values, size_t count)
{
    memset(values, 0, count * sizeof *values);
}

/* ---- convolution ----------------------------------------------------------------------------- */

/* Calls visit for every product x * w that goes into a y: the one loop that all three directions
 * share. */
typedef void (*tap_visit)(void *arg, size_t xi, size_t wi, size_t yi);

/* Channels of the input that one of the output reads. */
static int inputs_of(const cln_conv_shape *s)
{
    return s->depthwise ? 1 : s->ci;
}

static void each_tap(const cln_conv_shape *s, int n, tap_visit visit, void *arg)
{
    for (int i = 0; i < n; i++)
        for (int oy = 0; oy < s->ho; oy++)
            for (int ox = 0; ox < s->wo; ox++)
                for (int ky = 0; ky < s->k; ky++)
                    for (int kx = 0; kx < s->k; kx++) {
                        const int iy = oy * s->stride + ky - s->pad,
                                  ix = ox * s->stride + kx - s->pad;
                        for (int ci = 0; inside(iy, ix, s->h, s->w) && ci < s->ci; ci++)
                            for (int co = s->depthwise ? ci : 0;
                                 co < (s->depthwise ? ci + 1 : s->co); co++)
                                visit(arg, at(s->h, s->w, s->ci, i, iy, ix, ci),
                                      at(s->k, inputs_of(s), s->co, ky, kx, s->depthwise ? 0 : ci,
                                         co),
                                      at(s->ho, s->wo, s->co, i, oy, ox, co));
                    }
}

typedef struct products {
    const float *a, *b;
    double *sum;
} products;

static void visit_fwd(void *arg, size_t xi, size_t wi, size_t yi)
{
    products *p = arg;
    p->sum[yi] += (double)p->a[xi] * p->b[wi];
}

static void visit_data(void *arg, size_t xi, size_t wi, size_t yi)
{
    products *p = arg;
    p->sum[xi] += (double)p->a[yi] * p->b[wi];
}

static void visit_params(void *arg, size_t xi, size_t wi, size_t yi)
{
    products *p = arg;
    p->sum[wi] += (double)p->a[xi] * p->b[yi];
}

void naive_conv_fwd(const cln_conv_shape *s, int n, const float *x, const float *w, const float *b,
                    double *y)
{
    const size_t count = (size_t)n * (size_t)s->ho * (size_t)s->wo * (size_t)s->co;
    for (size_t i = 0; i < count; i++)
        y[i] = s->bias ? b[i % (size_t)s->co] : 0.0;
    each_tap(s, n, visit_fwd, &(products){x, w, y});
}

/* Mean and 1 / deviation of the weights that lead to channel c. */
static void weight_moments(const cln_conv_shape *s, const float *w, int c, double *mean, double *rstd)
{
    const int m = s->k * s->k * s->ci;
    double sum = 0, squares = 0;
    for (int i = 0; i < m; i++)
        sum += w[i * s->co + c];
    for (int i = 0; i < m; i++)
        squares += pow(w[i * s->co + c] - sum / m, 2);
    *mean = sum / m;
    *rstd = 1 / sqrt(squares / m + 1e-5);
}

float *naive_standardised(const cln_conv_shape *s, const float *w)
{
    const int m = s->k * s->k * s->ci;
    float *out = cln_test_alloc((size_t)m * (size_t)s->co, sizeof *out);
    for (int c = 0; c < s->co; c++) {
        double mean, rstd;
        weight_moments(s, w, c, &mean, &rstd);
        for (int i = 0; i < m; i++)
            out[i * s->co + c] = (float)((w[i * s->co + c] - mean) * rstd);
    }
    return out;
}

/* By the chain rule: through the value, the mean and the variance. */
void naive_standardised_bwd(const cln_conv_shape *s, const float *w, double *d)
{
    const int m = s->k * s->k * s->ci;
    for (int c = 0; c < s->co; c++) {
        double mean, rstd, dmean = 0, dvar = 0;
        weight_moments(s, w, c, &mean, &rstd);
        for (int i = 0; i < m; i++) {
            dmean -= d[i * s->co + c] * rstd;
            dvar -= d[i * s->co + c] * (w[i * s->co + c] - mean) * pow(rstd, 3) / 2;
        }
        for (int i = 0; i < m; i++)
            d[i * s->co + c] = d[i * s->co + c] * rstd + dmean / m + dvar * 2 * (w[i * s->co + c] - mean) / m;
    }
}

void naive_conv_bwd_data(const cln_conv_shape *s, int n, const float *dy, const float *w,
                         double *dx)
{
    clear(dx, (size_t)n * (size_t)s->h * (size_t)s->w * (size_t)s->ci);
    each_tap(s, n, visit_data, &(products){dy, w, dx});
}

void naive_conv_bwd_params(const cln_conv_shape *s, int n, const float *x, const float *dy,
                           double *dw, double *db)
{
    const size_t count = (size_t)n * (size_t)s->ho * (size_t)s->wo * (size_t)s->co;
    clear(dw, (size_t)s->k * (size_t)s->k * (size_t)inputs_of(s) * (size_t)s->co);
    each_tap(s, n, visit_params, &(products){x, dy, dw});
    if (!s->bias)
        return;
    clear(db, (size_t)s->co);
    for (size_t i = 0; i < count; i++)
        db[i % (size_t)s->co] += dy[i];
}

/* ---- pooling --------------------------------------------------------------------------------- */

/* Where the maximum of output (n, oy, ox, c)'s window stands in x. */
static size_t argmax(cln_shape in, int k, int stride, int pad, const float *x, int n, int oy,
                     int ox, int c)
{
    size_t best = SIZE_MAX;
    for (int y = oy * stride - pad; y < oy * stride - pad + k; y++)
        for (int q = ox * stride - pad; q < ox * stride - pad + k; q++) {
            if (!inside(y, q, in.h, in.w))
                continue;
            const size_t here = at(in.h, in.w, in.c, n, y, q, c);
            if (best == SIZE_MAX || x[here] > x[best])
                best = here;
        }
    return best;
}

void naive_maxpool_fwd(cln_shape in, cln_shape out, int k, int stride, int pad, const float *x,
                       double *y)
{
    for (int n = 0; n < in.n; n++)
        for (int oy = 0; oy < out.h; oy++)
            for (int ox = 0; ox < out.w; ox++)
                for (int c = 0; c < in.c; c++)
                    y[at(out.h, out.w, out.c, n, oy, ox, c)] =
                        x[argmax(in, k, stride, pad, x, n, oy, ox, c)];
}

void naive_maxpool_bwd(cln_shape in, cln_shape out, int k, int stride, int pad, const float *x,
                       const float *dy, double *dx)
{
    clear(dx, cln_shape_count(in));
    for (int n = 0; n < in.n; n++)
        for (int oy = 0; oy < out.h; oy++)
            for (int ox = 0; ox < out.w; ox++)
                for (int c = 0; c < in.c; c++)
                    dx[argmax(in, k, stride, pad, x, n, oy, ox, c)] +=
                        dy[at(out.h, out.w, out.c, n, oy, ox, c)];
}

/* Calls visit(arg, x's element, y's element) for every pixel of every window that lies in the
 * image. */
typedef void (*pair_visit)(void *arg, size_t xi, size_t yi);

static void each_pair(cln_shape in, cln_shape out, int k, int stride, int pad, pair_visit visit,
                      void *arg)
{
    for (int n = 0; n < in.n; n++)
        for (int oy = 0; oy < out.h; oy++)
            for (int ox = 0; ox < out.w; ox++)
                for (int i = 0; i < k * k; i++) {
                    const int y = oy * stride - pad + i / k, x = ox * stride - pad + i % k;
                    for (int c = 0; inside(y, x, in.h, in.w) && c < in.c; c++)
                        visit(arg, at(in.h, in.w, in.c, n, y, x, c),
                              at(out.h, out.w, out.c, n, oy, ox, c));
                }
}

typedef struct average {
    const float *from;
    double *to, weight;
} average;

static void visit_average(void *arg, size_t xi, size_t yi)
{
    average *a = arg;
    a->to[yi] += a->from[xi] * a->weight;
}

static void visit_spread(void *arg, size_t xi, size_t yi)
{
    average *a = arg;
    a->to[xi] += a->from[yi] * a->weight;
}

void naive_avgpool_fwd(cln_shape in, cln_shape out, int k, int stride, int pad, const float *x,
                       double *y)
{
    clear(y, cln_shape_count(out));
    each_pair(in, out, k, stride, pad, visit_average, &(average){x, y, 1.0 / (k * k)});
}

void naive_avgpool_bwd(cln_shape in, cln_shape out, int k, int stride, int pad, const float *dy,
                       double *dx)
{
    clear(dx, cln_shape_count(in));
    each_pair(in, out, k, stride, pad, visit_spread, &(average){dy, dx, 1.0 / (k * k)});
}

void naive_gap_fwd(cln_shape in, const float *x, double *y)
{
    clear(y, (size_t)in.n * (size_t)in.c);
    for (int n = 0; n < in.n; n++)
        for (int p = 0; p < in.h * in.w; p++)
            for (int c = 0; c < in.c; c++)
                y[at(1, 1, in.c, n, 0, 0, c)] +=
                    (double)x[at(1, in.h * in.w, in.c, n, 0, p, c)] / (in.h * in.w);
}

void naive_gap_bwd(cln_shape in, const float *dy, double *dx)
{
    for (int n = 0; n < in.n; n++)
        for (int p = 0; p < in.h * in.w; p++)
            for (int c = 0; c < in.c; c++)
                dx[at(1, in.h * in.w, in.c, n, 0, p, c)] =
                    (double)dy[at(1, 1, in.c, n, 0, 0, c)] / (in.h * in.w);
}

/* ---- elementwise ----------------------------------------------------------------------------- */

void naive_add(cln_shape out, cln_shape labelled, int stride, const float *a, const float *b,
               double *y)
{
    for (int n = 0; n < out.n; n++)
        for (int i = 0; i < out.h; i++)
            for (int j = 0; j < out.w; j++)
                for (int c = 0; c < out.c; c++) {
                    const size_t to = at(out.h, out.w, out.c, n, i, j, c);
                    y[to] = a[to];
                    if (c < labelled.c)
                        y[to] +=
                            b[at(labelled.h, labelled.w, labelled.c, n, i * stride, j * stride, c)];
                }
}

void naive_add_bwd(cln_shape out, cln_shape labelled, int stride, const float *dy, double *dx0,
                   double *dx1)
{
    for (size_t i = 0; i < cln_shape_count(labelled); i++)
        dx1[i] = 0;
    for (int n = 0; n < out.n; n++)
        for (int i = 0; i < out.h; i++)
            for (int j = 0; j < out.w; j++)
                for (int c = 0; c < out.c; c++) {
                    const size_t from = at(out.h, out.w, out.c, n, i, j, c);
                    dx0[from] = dy[from];
                    if (c < labelled.c)
                        dx1[at(labelled.h, labelled.w, labelled.c, n, i * stride, j * stride, c)] =
                            dy[from];
                }
}

void naive_sigmoid(size_t count, const float *x, double *y)
{
    for (size_t i = 0; i < count; i++)
        y[i] = 1.0 / (1.0 + exp(-(double)x[i]));
}

void naive_sigmoid_bwd(size_t count, const float *x, const float *dy, double *dx)
{
    for (size_t i = 0; i < count; i++) {
        const double y = 1.0 / (1.0 + exp(-(double)x[i]));
        dx[i] = dy[i] * y * (1.0 - y);
    }
}

/* The factor of element i of an image. */
static size_t factor_of(cln_shape out, size_t i)
{
    const size_t c = (size_t)out.c, image = (size_t)out.h * (size_t)out.w * c;
    return i / image * c + i % c;
}

void naive_scale(cln_shape out, const float *s, const float *x, double *y)
{
    for (size_t i = 0; i < cln_shape_count(out); i++)
        y[i] = (double)x[i] * s[factor_of(out, i)];
}

void naive_scale_bwd(cln_shape out, const float *s, const float *x, const float *dy, double *ds,
                     double *dx)
{
    clear(ds, (size_t)out.n * (size_t)out.c);
    for (size_t i = 0; i < cln_shape_count(out); i++) {
        dx[i] = (double)dy[i] * s[factor_of(out, i)];
        ds[factor_of(out, i)] += (double)dy[i] * x[i];
    }
}

void naive_dropout_mask(size_t count, double p, int layer, uint32_t seed, uint32_t step,
                        double *mask)
{
    for (size_t i = 0; i < count; i++) {
        const cln_philox r =
            cln_philox4x32((uint32_t)(i / 4), (uint32_t)layer, 0, CLN_STREAM_DROPOUT, seed, step);
        mask[i] = cln_random_unit(r.v[i % 4]) >= (float)p ? 1.0 / (1.0 - p) : 0.0;
    }
}
