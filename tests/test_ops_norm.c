/* The norms on a device against the naive double-precision reference. Every tensor stands between guard bands,
 * outputs are poisoned with NaN, and each case runs twice and must give the same bits.
 *
 * Tolerances: NMSE <= max(1e-10, (kappa 2^-22)^2) and largest error <= max(1e-5, kappa 2^-22) of the largest
 * reference value, kappa = |mean| / std of the norm's input (its mean is rounded to a float, so that
 * z - mean is off by up to kappa 2^-24 std). Two figures are the difference of terms that cancel, wholly so
 * where a set has one value and the true gradient is 0: dz, against a tenth of its largest term gamma rstd g, and
 * dgamma and dbeta, against a tenth of their sum of magnitudes, where those exceed the reference.
 * ReLU and pooling are kinks: dy is 0 where rounding may decide which way the gradient goes. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/values.h"
#include "lone.h"
#include "ops/norm.h"

enum { POISON = 0x7fc0dead };
enum values { NORMAL, MEAN_100, MEAN_10000, CONSTANT, HUGE_VALUES, TINY, TIES, N_VALUES };
static const char *const value_names[] = {
    "normal", "mean 100 std", "mean 10000 std", "constant channels", "1e15", "1e-20", "few levels"};

typedef struct kase {
    const char *line;
    cln_shape in;
    int run; /* images of the batch; 0: all */
    bool relu;
    int pool;
    cln_class cls;
    enum values values;
    bool accumulate;
} kase;

static cln_device *dev;
static cln_error err;
static int failures;

#define OK(call) ck_assert_msg((call) == CLN_OK, "%s: %s\n%s", err.where, err.text, err.log)

static void setup(void)
{
    failures = 0;
    OK(cln_device_open(NULL, false, &dev, &err));
}

static void teardown(void)
{
    cln_program_cache_save(dev);
    cln_device_close(dev);
}

static void name_case(const kase *k, char text[200])
{
    snprintf(text, 200, "'%s' on %dx%dx%dx%d, %d images, relu=%d pool=%d %s, %s, accumulate=%d",
             k->line, k->in.n, k->in.h, k->in.w, k->in.c, k->run, k->relu, k->pool,
             k->cls == CLN_CLASS_VECTOR ? "vector" : "simt", value_names[k->values], k->accumulate);
}

/* ---- what goes in -------------------------------------------------------------------------------- */

typedef struct data {
    naive_stage stage;
    size_t count, outputs;
    int sets, c;
    float *z, *dy, *gamma, *beta, *running[2],
        *old;                                 /* as the device gets them; old: what dx holds */
    double *zd, *gammad, *betad, *mean, *var; /* the same, in double */
    double *y, *dyd, *lead, *dz, *dgamma, *dbeta, *g; /* the reference */
    double kappa;
} data;

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

static void shape_values(float *z, size_t count, int c, enum values values)
{
    for (size_t i = 0; i < count; i++) {
        const int channel = (int)(i % (size_t)c);
        switch (values) {
        case MEAN_100:
        case MEAN_10000: /* the standard deviation of uniform numbers in (-1, 1) is 1 / sqrt 3 */
            z[i] += (values == MEAN_100 ? 100.0f : 10000.0f) * 0.57735f;
            break;
        case CONSTANT:
            z[i] = channel % 2 ? z[i] : 1.7f + (float)channel;
            break;
        case HUGE_VALUES:
            z[i] *= 1e15f;
            break;
        case TINY:
            z[i] *= 1e-20f;
            break;
        case TIES:
            z[i] = roundf(2 * z[i]);
            break;
        default:
            z[i] += 0.3f * (float)(channel % 5) - 0.5f;
        }
    }
}

static double worst_kappa(const data *d)
{
    double worst = 0;
    for (int k = 0; k < d->sets; k++) /* equal values have an exact mean */
        if (d->var[k] > 1e-24 * d->mean[k] * d->mean[k])
            worst = fmax(worst, fabs(d->mean[k]) / sqrt(d->var[k] + d->stage.eps));
    return worst;
}

static data make_data(const kase *k, const cln_layer *layer)
{
    data d = {.stage = naive_stage_of(layer), .c = k->in.c};
    d.stage.in.n = k->run ? k->run : k->in.n;
    d.stage.relu |= k->relu;
    d.stage.pool = k->pool;
    d.count = cln_shape_count(d.stage.in);
    d.outputs = naive_stage_outputs(&d.stage);
    d.sets = naive_stage_sets(&d.stage);
    d.z = cln_test_random(d.count, 1);
    d.dy = cln_test_random(d.outputs, 2);
    d.gamma = cln_test_random((size_t)d.c, 3);
    d.beta = cln_test_random((size_t)d.c, 4);
    d.old = cln_test_random(d.count, 5);
    for (int i = 0; i < 2; i++)
        d.running[i] = cln_test_random((size_t)d.c, 6 + (uint32_t)i);
    for (int i = 0; i < d.c; i++) {
        d.gamma[i] += d.gamma[i] < 0 ? -0.5f : 0.5f;
        d.running[1][i] = 0.1f + fabsf(d.running[1][i]);
    }
    shape_values(d.z, d.count, d.c, k->values);
    d.zd = widen(d.z, d.count);
    d.gammad = widen(d.gamma, (size_t)d.c);
    d.betad = widen(d.beta, (size_t)d.c);
    d.mean = doubles((size_t)d.sets);
    d.var = doubles((size_t)d.sets);
    d.y = doubles(d.outputs);
    d.lead = doubles(d.outputs);
    d.dz = doubles(d.count);
    d.g = doubles(d.count);
    d.dgamma = doubles((size_t)d.c);
    d.dbeta = doubles((size_t)d.c);
    naive_stage_statistics(&d.stage, d.zd, d.mean, d.var);
    naive_stage_fwd(&d.stage, d.zd, d.gammad, d.betad, d.mean, d.var, d.y, d.lead);
    d.kappa = worst_kappa(&d);
    double top = 0;
    for (size_t i = 0; i < d.outputs; i++)
        top = fmax(top, fabs(d.y[i]));
    for (size_t i = 0; i < d.outputs; i++)
        if (d.lead[i] < top * fmax(1e-5, d.kappa * 0x1p-20))
            d.dy[i] = 0;
    d.dyd = widen(d.dy, d.outputs);
    naive_stage_bwd(&d.stage, d.zd, d.gammad, d.betad, d.dyd, d.dz, d.dgamma, d.dbeta, d.g);
    return d;
}

static void free_data(data *d)
{
    void *all[] = {d->z,    d->dy,     d->gamma,  d->beta,  d->running[0], d->running[1], d->old,
                   d->zd,   d->gammad, d->betad,  d->mean,  d->var,        d->y,          d->dyd,
                   d->lead, d->dz,     d->dgamma, d->dbeta, d->g};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
}

/* ---- what comes out ------------------------------------------------------------------------------ */

enum { Y, DX, DGAMMA, DBETA, RUNNING_MEAN, RUNNING_VAR, OUTPUTS };
static const char *const output_names[] = {"y",     "dz",           "dgamma",
                                           "dbeta", "running_mean", "running_var"};

typedef struct outputs {
    float *values[OUTPUTS];
    size_t count[OUTPUTS];
} outputs;

static void read_outputs(cln_lone *t, outputs *o)
{
    const cln_tensor from[] = {t->node.y,       t->node.dx[0],    t->node.grad[0],
                               t->node.grad[1], t->node.state[0], t->node.state[1]};
    for (int i = 0; i < OUTPUTS; i++) {
        o->count[i] = from[i].bytes / sizeof(float);
        o->values[i] = calloc(o->count[i] + 1, sizeof(float));
        if (from[i].mem)
            OK(cln_lone_read(t, from[i], o->values[i], &err));
    }
}

static void free_outputs(outputs *o)
{
    for (int i = 0; i < OUTPUTS; i++)
        free(o->values[i]);
}

/* Only the batch is written: what is behind it keeps its NaN, so that a kernel that reads it shows. */
static void put(cln_tensor to, const float *values, size_t count)
{
    if (to.mem)
        OK(cln_tensor_write(dev, to, 0, values, count * sizeof *values, &err));
}

static void run_once(cln_lone *t, const kase *k, const data *d, outputs *out)
{
    cln_node *node = &t->node;
    const cln_pass pass = {d->stage.in.n, true, 0, 0, 0};
    const cln_tensor poisoned[] = {node->y, node->dx[0], node->grad[0], node->grad[1]};
    for (size_t i = 0; i < sizeof poisoned / sizeof poisoned[0]; i++)
        if (poisoned[i].mem)
            OK(cln_tensor_fill(dev, poisoned[i], POISON, &err));
    for (int i = 0; d->sets && i < CLN_MAX_SAVED;
         i++) /* the identity's are written once, at build */
        if (node->saved[i].mem)
            OK(cln_tensor_fill(dev, node->saved[i], POISON, &err));
    put(node->x[0], d->z, d->count);
    put(node->dy, d->dy, d->outputs);
    put(node->param[0], d->gamma, (size_t)d->c);
    put(node->param[1], d->beta, (size_t)d->c);
    put(node->state[0], d->running[0], (size_t)d->c);
    put(node->state[1], d->running[1], (size_t)d->c);
    if (k->accumulate)
        put(node->dx[0], d->old, d->count);
    OK(cln_lone_forward(t, &pass, &err));
    OK(cln_lone_backward(t, &pass, &err));
    read_outputs(t, out);
}

/* scale, norm: least largest value and least sum of squares that errors are measured against. */
static void hold(const kase *k, const char *what, const float *got, const double *want,
                 size_t count, double kappa, double scale, double norm)
{
    double error = 0, sum = 0, worst = 0, top = 0;
    bool finite = true;
    for (size_t i = 0; i < count; i++) {
        const double e = fabs((double)got[i] - want[i]);
        finite = finite && isfinite(got[i]);
        error += e * e;
        sum += want[i] * want[i];
        worst = fmax(worst, e);
        top = fmax(top, fabs(want[i]));
    }
    sum = fmax(sum, norm);
    top = fmax(top, scale);
    const double nmse = sum > 0 ? error / sum : error, max = top > 0 ? worst / top : worst,
                 bound = kappa * 0x1p-22;
    if (finite && nmse <= fmax(1e-10, bound * bound) && max <= fmax(1e-5, bound))
        return;
    char text[200];
    name_case(k, text);
    fprintf(stderr, "%s: %s: NMSE %.3g, max %.3g%s (kappa %.3g)\n", text, what, nmse, max,
            finite ? "" : ", NOT FINITE", kappa);
    failures++;
}

static void hold_gradients(const kase *k, const data *d, const outputs *o)
{
    double *dz = doubles(d->count), *gamma_sum = doubles((size_t)d->c), scale = 0, norm = 0,
           gamma_top = 0, beta_top = 0;
    double *beta_sum = doubles((size_t)d->c);
    const size_t image = d->count / (size_t)d->stage.in.n;
    for (size_t i = 0; i < d->count; i++) {
        const int c = (int)(i % (size_t)d->c),
                  set = d->sets ? naive_stage_set(&d->stage, (int)(i / image), c) : 0;
        const double rstd = d->sets ? 1 / sqrt(d->var[set] + d->stage.eps) : 1;
        const double term = 0.1 * fabs(d->g[i] * rstd * (d->sets ? d->gammad[c] : 1));
        dz[i] = d->dz[i] + (k->accumulate ? (double)d->old[i] : 0);
        scale = fmax(scale, term);
        norm += term * term;
        gamma_sum[c] += 0.1 * fabs(d->g[i] * rstd * (d->zd[i] - (d->sets ? d->mean[set] : 0)));
        beta_sum[c] += 0.1 * fabs(d->g[i]);
        gamma_top = fmax(gamma_top, gamma_sum[c]);
        beta_top = fmax(beta_top, beta_sum[c]);
    }
    hold(k, output_names[DX], o->values[DX], dz, d->count, d->kappa, scale, norm);
    if (d->sets) {
        hold(k, output_names[DGAMMA], o->values[DGAMMA], d->dgamma, (size_t)d->c, d->kappa,
             gamma_top, gamma_top * gamma_top);
        hold(k, output_names[DBETA], o->values[DBETA], d->dbeta, (size_t)d->c, d->kappa, beta_top,
             beta_top * beta_top);
    }
    free(dz);
    free(gamma_sum);
    free(beta_sum);
}

static void hold_running(const kase *k, const data *d, const outputs *o)
{
    double *mean = doubles((size_t)d->c), *var = doubles((size_t)d->c);
    const double size = (double)d->count / d->c, momentum = 0.1;
    for (int c = 0; c < d->c; c++) {
        mean[c] = (1 - momentum) * (double)d->running[0][c] + momentum * d->mean[c];
        var[c] =
            (1 - momentum) * (double)d->running[1][c] + momentum * d->var[c] * size / (size - 1);
    }
    hold(k, output_names[RUNNING_MEAN], o->values[RUNNING_MEAN], mean, (size_t)d->c, 0, 0, 0);
    hold(k, output_names[RUNNING_VAR], o->values[RUNNING_VAR], var, (size_t)d->c, 0, 0, 0);
    free(mean);
    free(var);
}

static void hold_untouched(const kase *k, const outputs *o, int which, size_t from)
{
    for (size_t i = from; i < o->count[which]; i++) {
        uint32_t bits;
        memcpy(&bits, &o->values[which][i], sizeof bits);
        if (bits != POISON) {
            char text[200];
            name_case(k, text);
            fprintf(stderr, "%s: %s was written behind the batch, at %zu\n", text,
                    output_names[which], i);
            failures++;
            return;
        }
    }
}

static void set_stage(cln_lone *t, void *arg)
{
    const kase *k = arg;
    t->stage.relu |= k->relu;
    t->stage.pool = k->pool;
    t->node.accumulate[0] = k->accumulate;
}

static void run_case(kase k)
{
    const cln_tune_request request = {k.cls, -1};
    cln_lone t;
    outputs a, b;
    char text[200];
    name_case(&k, text);
    ck_assert_msg(cln_lone_new(&t, dev, k.line, k.in, &request, set_stage, &k, &err) == CLN_OK,
                  "%s: %s\n%s", text, err.text, err.log);
    data d = make_data(&k, &t.layer);
    run_once(&t, &k, &d, &a);
    run_once(&t, &k, &d, &b);
    for (int i = 0; i < OUTPUTS; i++)
        if (memcmp(a.values[i], b.values[i], a.count[i] * sizeof(float))) {
            fprintf(stderr, "%s: %s differs between two runs\n", text, output_names[i]);
            failures++;
        }
    hold(&k, output_names[Y], a.values[Y], d.y, d.outputs, d.kappa, 0, 0);
    hold_gradients(&k, &d, &a);
    if (d.stage.groups == NAIVE_BATCH)
        hold_running(&k, &d, &a);
    hold_untouched(&k, &a, Y, d.outputs);
    hold_untouched(&k, &a, DX, d.count);
    free_outputs(&a);
    free_outputs(&b);
    free_data(&d);
    cln_lone_free(&t);
}

/* ---- the cases ----------------------------------------------------------------------------------- */

static const cln_class both[] = {CLN_CLASS_VECTOR, CLN_CLASS_SIMT};
static const char *const norms[] = {"bn", "ln", "gn", "in", "none", "relu"};
enum { N_NORMS = 6 };

/* Largest group count <= 4 that divides the channels and is neither 1 nor C where that is possible. */
static const char *line_of(int norm, int c, char text[32])
{
    int groups = 4;
    while (c % groups)
        groups--;
    if (norm == 2)
        snprintf(text, 32, "gn groups=%d", groups);
    else
        snprintf(text, 32, "%s", norms[norm]);
    return text;
}

START_TEST(shapes)
{
    static const cln_shape list[] = {{1, 1, 1, 1},  {1, 1, 1, 8},  {2, 1, 1, 12},  {1, 7, 5, 1},
                                     {3, 5, 3, 3},  {2, 3, 7, 5},  {1, 6, 4, 8},   {5, 4, 4, 12},
                                     {2, 8, 8, 16}, {2, 9, 6, 24}, {2, 2, 2, 33},  {3, 16, 14, 32},
                                     {2, 1, 2, 16}, {9, 2, 2, 3},  {1, 40, 36, 16}};
    char line[32];
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
        for (int norm = 0; norm < N_NORMS; norm++)
            for (int form = 0; form < 4; form++) {
                const bool even = list[i].h % 2 == 0 && list[i].w % 2 == 0;
                const bool single = norm == 0 && list[i].n * list[i].h * list[i].w == 1;
                if ((form & 2 && !even) || single)
                    continue;
                run_case((kase){line_of(norm, list[i].c, line), list[i], 0, form & 1,
                                form & 2 ? 2 : 1, both[_i], NORMAL, false});
            }
    ck_assert_int_eq(failures, 0);
}
END_TEST

START_TEST(groups)
{
    static const struct {
        const char *line;
        int c;
    } list[] = {{"gn groups=1", 12},
                {"gn groups=12", 12},
                {"gn groups=3", 24},
                {"gn groups=2", 16},
                {"gn groups=33", 33}};
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        run_case((kase){list[i].line, {2, 3, 5, list[i].c}, 0, true, 1, both[_i], NORMAL, false});
        run_case((kase){list[i].line, {3, 1, 1, list[i].c}, 0, false, 1, both[_i], NORMAL, false});
    }
    ck_assert_int_eq(failures, 0);
}
END_TEST

START_TEST(all_values)
{
    char line[32];
    for (int v = 0; v < N_VALUES; v++)
        for (int norm = 0; norm < N_NORMS; norm++) {
            run_case((kase){line_of(norm, 12, line),
                            {2, 7, 5, 12},
                            0,
                            false,
                            1,
                            both[_i],
                            (enum values)v,
                            false});
            run_case((kase){line_of(norm, 16, line),
                            {3, 12, 16, 16},
                            0,
                            true,
                            2,
                            both[_i],
                            (enum values)v,
                            false});
            run_case((kase){line_of(norm, 3, line),
                            {1, 40, 36, 3},
                            0,
                            true,
                            1,
                            both[_i],
                            (enum values)v,
                            false});
        }
    ck_assert_int_eq(failures, 0);
}
END_TEST

START_TEST(accumulate_and_partial_batch)
{
    char line[32];
    for (int norm = 0; norm < N_NORMS; norm++)
        for (int pool = 1; pool <= 2; pool++) {
            run_case((kase){
                line_of(norm, 8, line), {3, 6, 4, 8}, 0, true, pool, both[_i], NORMAL, true});
            run_case((kase){
                line_of(norm, 8, line), {5, 6, 4, 8}, 2, pool == 1, pool, both[_i], NORMAL, false});
        }
    ck_assert_int_eq(failures, 0);
}
END_TEST

/* ---- properties ---------------------------------------------------------------------------------- */

/* Forward alone; y malloc'ed. gamma NULL: 1, 0 and running statistics 0, 1. */
static float *forward(const kase *k, bool train, const float *z, const float *gamma,
                      const float *beta, const float *mean, const float *var, int *rc)
{
    const cln_tune_request request = {k->cls, -1};
    const cln_pass pass = {k->in.n, train, 0, 0, 0};
    cln_lone t;
    OK(cln_lone_new(&t, dev, k->line, k->in, &request, set_stage, (void *)k, &err));
    const cln_tensor to[] = {t.node.param[0], t.node.param[1], t.node.state[0], t.node.state[1]};
    const float *from[] = {gamma, beta, mean, var};
    for (int i = 0; i < 4; i++)
        for (int c = 0; to[i].mem && c < k->in.c; c++) {
            const float value = from[i] ? from[i][c] : i == 0 || i == 3 ? 1.0f : 0.0f;
            OK(cln_tensor_write(dev, to[i], (size_t)c * sizeof value, &value, sizeof value, &err));
        }
    put(t.node.x[0], z, cln_shape_count(k->in));
    *rc = cln_lone_forward(&t, &pass, &err);
    float *y = malloc(t.node.y.bytes);
    ck_assert_ptr_nonnull(y);
    cln_error ignored;
    cln_lone_read(&t, t.node.y, y, &ignored);
    cln_lone_free(&t);
    return y;
}

/* Before the affine, each set has mean 0 and variance var / (var + eps); and scale and shift of the input leave
 * the output alone. */
START_TEST(mean_variance_and_invariance)
{
    char line[32];
    for (int norm = 0; norm < 4; norm++) {
        const kase k = {
            line_of(norm, 12, line), {3, 9, 8, 12}, 0, false, 1, both[_i], NORMAL, false};
        cln_layer layer;
        OK(cln_lone_layer(&layer, k.line, k.in, &err));
        const naive_stage s = naive_stage_of(&layer);
        const size_t count = cln_shape_count(k.in);
        float *z = cln_test_random(count, 21), *moved = malloc(count * sizeof *moved);
        int rc;
        for (size_t i = 0; i < count; i++) {
            z[i] *= 64.0f; /* so that eps does not matter */
            moved[i] = 5.0f * z[i] + 37.0f;
        }
        float *y = forward(&k, true, z, NULL, NULL, NULL, NULL, &rc), *again;
        OK(rc);
        again = forward(&k, true, moved, NULL, NULL, NULL, NULL, &rc);
        OK(rc);
        double *yd = widen(y, count), mean[64], var[64], worst = 0;
        naive_stage_statistics(&s, yd, mean, var);
        for (int i = 0; i < naive_stage_sets(&s); i++)
            ck_assert_msg(fabs(mean[i]) < 1e-6 && fabs(var[i] - 1) < 2e-6,
                          "%s: set %d: mean %g, variance %g", k.line, i, mean[i], var[i]);
        for (size_t i = 0; i < count; i++)
            worst = fmax(worst, fabs((double)y[i] - (double)again[i]));
        ck_assert_msg(worst < 5e-6, "%s: scale and shift move the output by %g", k.line, worst);
        free(z);
        free(moved);
        free(y);
        free(again);
        free(yd);
    }
}
END_TEST

/* Running statistics in evaluation, for one image of one pixel too. */
START_TEST(batch_norm_evaluates)
{
    static const cln_shape list[] = {{1, 1, 1, 5}, {3, 6, 4, 16}, {2, 5, 5, 12}};
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
        for (int form = 0; form < 4; form++) {
            if (form & 2 && (list[i].h % 2 || list[i].w % 2))
                continue;
            const kase k = {"bn", list[i], 0, form & 1, form & 2 ? 2 : 1, both[_i], NORMAL, false};
            cln_layer layer;
            int rc;
            OK(cln_lone_layer(&layer, k.line, k.in, &err));
            data d = make_data(&k, &layer);
            double *mean = widen(d.running[0], (size_t)d.c),
                   *var = widen(d.running[1], (size_t)d.c);
            naive_stage_fwd(&d.stage, d.zd, d.gammad, d.betad, mean, var, d.y, NULL);
            float *y = forward(&k, false, d.z, d.gamma, d.beta, d.running[0], d.running[1], &rc);
            OK(rc);
            hold(&k, "y in evaluation", y, d.y, d.outputs, 0, 0, 0);
            free(y);
            free(mean);
            free(var);
            free_data(&d);
        }
    ck_assert_int_eq(failures, 0);
}
END_TEST

START_TEST(batch_norm_refuses_one_value)
{
    const kase k = {"bn", {1, 1, 1, 8}, 0, true, 1, both[_i], NORMAL, false};
    float *z = cln_test_random(8, 1);
    int rc;
    float *y = forward(&k, true, z, NULL, NULL, NULL, NULL, &rc);
    ck_assert_int_eq(rc, CLN_ERR_MODEL);
    ck_assert_ptr_nonnull(strstr(err.text, "more than one value per channel"));
    free(z);
    free(y);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("norm");
    TCase *device = tcase_create("device");
    tcase_add_checked_fixture(device, setup, teardown);
    tcase_set_timeout(device, 300); /* a cold cache means compiling */
    tcase_add_loop_test(device, shapes, 0, 2);
    tcase_add_loop_test(device, groups, 0, 2);
    tcase_add_loop_test(device, all_values, 0, 2);
    tcase_add_loop_test(device, accumulate_and_partial_batch, 0, 2);
    tcase_add_loop_test(device, mean_variance_and_invariance, 0, 2);
    tcase_add_loop_test(device, batch_norm_evaluates, 0, 2);
    tcase_add_loop_test(device, batch_norm_refuses_one_value, 0, 2);
    suite_add_tcase(suite, device);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
