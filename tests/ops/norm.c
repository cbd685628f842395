#include "ops/norm.h"

#include "common/values.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

naive_stage naive_stage_of(const cln_layer *layer)
{
    const char *word = layer->op->word;
    static const char *const acts[] = {"", "relu", "silu", "celu", "gelu"};
    naive_stage s = {layer->in[0], NAIVE_IDENTITY, NAIVE_NONE, 1, 0};
    for (int i = NAIVE_RELU; i <= NAIVE_GELU; i++)
        s.act = strcmp(word, acts[i]) == 0 ? i : s.act;
    if (!strcmp(word, "bn"))
        s.groups = NAIVE_BATCH;
    else if (!strcmp(word, "ln"))
        s.groups = 1;
    else if (!strcmp(word, "gn"))
        s.groups = cln_layer_int(layer, "groups");
    else if (!strcmp(word, "in"))
        s.groups = s.in.c;
    if (s.groups != NAIVE_IDENTITY)
        s.eps = cln_layer_attr(layer, "eps");
    return s;
}

int naive_stage_sets(const naive_stage *s)
{
    return s->groups == NAIVE_IDENTITY ? 0
           : s->groups == NAIVE_BATCH  ? s->in.c
                                       : s->in.n * s->groups;
}

int naive_stage_set(const naive_stage *s, int n, int c)
{
    return s->groups == NAIVE_BATCH ? c : n * s->groups + c / (s->in.c / s->groups);
}

size_t naive_stage_outputs(const naive_stage *s)
{
    return (size_t)s->in.n * (size_t)(s->in.h / s->pool) * (size_t)(s->in.w / s->pool) *
           (size_t)s->in.c;
}

static size_t at(const naive_stage *s, int n, int y, int x, int c)
{
    return (((size_t)n * (size_t)s->in.h + (size_t)y) * (size_t)s->in.w + (size_t)x) *
               (size_t)s->in.c +
           (size_t)c;
}

/* Image and channel of element i. */
static int image_of(const naive_stage *s, size_t i)
{
    return (int)(i / ((size_t)s->in.h * (size_t)s->in.w * (size_t)s->in.c));
}

static int channel_of(const naive_stage *s, size_t i)
{
    return (int)(i % (size_t)s->in.c);
}

static int set_of(const naive_stage *s, size_t i)
{
    return naive_stage_set(s, image_of(s, i), channel_of(s, i));
}

static double set_size(const naive_stage *s)
{
    return (double)cln_shape_count(s->in) / naive_stage_sets(s);
}

void naive_stage_statistics(const naive_stage *s, const double *z, double *mean, double *var)
{
    const int sets = naive_stage_sets(s);
    const size_t count = cln_shape_count(s->in);
    memset(mean, 0, (size_t)sets * sizeof *mean);
    memset(var, 0, (size_t)sets * sizeof *var);
    for (size_t i = 0; sets && i < count; i++)
        mean[set_of(s, i)] += z[i] / set_size(s);
    for (size_t i = 0; sets && i < count; i++)
        var[set_of(s, i)] += pow(z[i] - mean[set_of(s, i)], 2) / set_size(s);
}

static double before_relu(const naive_stage *s, size_t i, const double *z, const double *gamma,
                          const double *beta, const double *mean, const double *var)
{
    if (s->groups == NAIVE_IDENTITY)
        return z[i];
    const int k = set_of(s, i), c = channel_of(s, i);
    return (z[i] - mean[k]) / sqrt(var[k] + s->eps) * gamma[c] + beta[c];
}

static double act_of(int act, double u)
{
    switch (act) {
    case NAIVE_RELU: return fmax(u, 0);
    case NAIVE_SILU: return u / (1 + exp(-u));
    case NAIVE_CELU: return u > 0 ? u : expm1(u);
    case NAIVE_GELU: return u * 0.5 * erfc(-u / sqrt(2));
    default: return u;
    }
}

static double slope_of(int act, double u)
{
    const double s = 1 / (1 + exp(-u));
    switch (act) {
    case NAIVE_RELU: return u > 0;
    case NAIVE_SILU: return s + u * s * (1 - s);
    case NAIVE_CELU: return u > 0 ? 1 : exp(u);
    case NAIVE_GELU: return 0.5 * erfc(-u / sqrt(2)) + u * exp(-u * u / 2) / sqrt(2 * 3.14159265358979323846);
    default: return 1;
    }
}

/* What the pool compares: for ReLU, which leaves the order alone, u, so that the winner is known behind 0, too. */
static double pooled_by(int act, double u) { return act <= NAIVE_RELU ? u : act_of(act, u); }

/* The elements of output o's window: 1 or 4. */
static int window_of(const naive_stage *s, size_t o, size_t elements[4])
{
    const size_t c = o % (size_t)s->in.c, w = (size_t)(s->in.w / s->pool),
                 h = (size_t)(s->in.h / s->pool);
    const size_t x = o / (size_t)s->in.c % w, y = o / (size_t)s->in.c / w % h,
                 n = o / (size_t)s->in.c / w / h;
    for (int k = 0; k < s->pool * s->pool; k++)
        elements[k] = at(s, (int)n, (int)y * s->pool + k / 2, (int)x * s->pool + k % 2, (int)c);
    return s->pool * s->pool;
}

void naive_stage_fwd(const naive_stage *s, const double *z, const double *gamma, const double *beta,
                     const double *mean, const double *var, double *y, double *lead)
{
    for (size_t o = 0; o < naive_stage_outputs(s); o++) {
        size_t e[4];
        const int size = window_of(s, o, e);
        double u[4], best = -INFINITY, second = -INFINITY, winner = NAN;
        for (int k = 0; k < size; k++) {
            u[k] = pooled_by(s->act, before_relu(s, e[k], z, gamma, beta, mean, var));
            if (u[k] > best) {
                best = u[k];
                winner = z[e[k]];
            }
        }
        for (int k = 0; k < size; k++)
            if (z[e[k]] != winner)
                second = fmax(second, u[k]);
        y[o] = s->act == NAIVE_RELU ? fmax(best, 0) : best;
        if (!lead)
            continue;
        lead[o] = s->act == NAIVE_RELU && best <= 0 ? -best : best - second;
        if (s->act == NAIVE_RELU)
            lead[o] = fmin(lead[o], fabs(best));
    }
}

/* dy at the element that gave the output; nothing where the ReLU gave it. */
static void through_pool(const naive_stage *s, const double *z, const double *gamma,
                         const double *beta, const double *mean, const double *var,
                         const double *dy, double *g)
{
    memset(g, 0, cln_shape_count(s->in) * sizeof *g);
    for (size_t o = 0; o < naive_stage_outputs(s); o++) {
        size_t e[4], winner = 0;
        const int size = window_of(s, o, e);
        double best = -INFINITY, before = NAN;
        for (int k = 0; k < size; k++) {
            const double u = before_relu(s, e[k], z, gamma, beta, mean, var);
            if (pooled_by(s->act, u) > best) {
                best = pooled_by(s->act, u);
                before = u;
                winner = e[k];
            }
        }
        g[winner] = dy[o] * slope_of(s->act, before);
    }
}

static double *zeros(size_t count)
{
    return cln_test_alloc(count, sizeof(double));
}

void naive_stage_bwd(const naive_stage *s, const double *z, const double *gamma, const double *beta,
                     const double *dy, double *dz, double *dgamma, double *dbeta, double *g)
{
    const size_t count = cln_shape_count(s->in), sets = (size_t)naive_stage_sets(s);
    double *own = g ? NULL : zeros(count), *mean = zeros(sets), *var = zeros(sets);
    double *dmean = zeros(sets), *dvar = zeros(sets), *offset = zeros(sets);
    g = g ? g : own;
    naive_stage_statistics(s, z, mean, var);
    through_pool(s, z, gamma, beta, mean, var, dy, g);
    for (int c = 0; sets && c < s->in.c; c++)
        dgamma[c] = dbeta[c] = 0;
    for (size_t i = 0; sets && i < count; i++) {
        const int k = set_of(s, i), c = channel_of(s, i);
        const double rstd = 1 / sqrt(var[k] + s->eps), d = z[i] - mean[k];
        dgamma[c] += g[i] * d * rstd;
        dbeta[c] += g[i];
        dvar[k] += g[i] * gamma[c] * d * -0.5 * rstd * rstd * rstd;
        dmean[k] += g[i] * gamma[c] * -rstd;
        offset[k] += -2 * d / set_size(s);
    }
    for (size_t k = 0; k < sets; k++)
        dmean[k] += dvar[k] * offset[k];
    for (size_t i = 0; i < count; i++) {
        dz[i] = g[i];
        if (!sets)
            continue;
        const int k = set_of(s, i);
        dz[i] = g[i] * gamma[channel_of(s, i)] / sqrt(var[k] + s->eps) +
                dvar[k] * 2 * (z[i] - mean[k]) / set_size(s) + dmean[k] / set_size(s);
    }
    double *all[] = {own, mean, var, dmean, dvar, offset};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
}
