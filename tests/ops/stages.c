/* See stages.h. */
#include "ops/stages.h"

#include "common/values.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POISON = 0x7fc0dead, MULS_PER_VALUE = 16 };
static const char *const value_names[] = {
    "normal", "mean 100 std", "mean 10000 std", "constant channels", "1e15", "1e-20", "few levels"};

static void name_case(const cln_stage_case *k, char text[200])
{
    snprintf(text, 200, "'%s' on %dx%dx%dx%d (%d images, act=%d pool=%d, %s, %s%s)", k->line,
             k->in.n, k->in.h, k->in.w, k->in.c, k->run ? k->run : k->in.n, k->act, k->pool,
             k->cls == CLN_CLASS_SIMT ? "simt" : "vector", value_names[k->values],
             k->accumulate ? ", +=" : "");
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
    return cln_test_alloc(count, sizeof(double));
}

static double *widen(const float *values, size_t count)
{
    double *p = doubles(count);
    for (size_t i = 0; i < count; i++)
        p[i] = values[i];
    return p;
}

static void shape_values(float *z, size_t count, int c, cln_stage_values values)
{
    for (size_t i = 0; i < count; i++) {
        const int channel = (int)(i % (size_t)c);
        switch (values) {
        case CLN_VALUES_MEAN_100:
        case CLN_VALUES_MEAN_10000: /* the standard deviation of uniform numbers in (-1, 1) is 1 / sqrt 3 */
            z[i] += (values == CLN_VALUES_MEAN_100 ? 100.0f : 10000.0f) * 0.57735f;
            break;
        case CLN_VALUES_CONSTANT:
            z[i] = channel % 2 ? z[i] : 1.7f + (float)channel;
            break;
        case CLN_VALUES_HUGE:
            z[i] *= 1e15f;
            break;
        case CLN_VALUES_TINY:
            z[i] *= 1e-20f;
            break;
        case CLN_VALUES_TIES:
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

static data make_data(const cln_stage_case *k, const cln_layer *layer)
{
    data d = {.stage = naive_stage_of(layer), .c = k->in.c};
    d.stage.in.n = k->run ? k->run : k->in.n;
    d.stage.act = k->act ? k->act : d.stage.act;
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

static int read_outputs(cln_lone *t, outputs *o, cln_error *err)
{
    const cln_tensor from[] = {t->node.y,       t->node.dx[0],    t->node.grad[0],
                               t->node.grad[1], t->node.state[0], t->node.state[1]};
    int rc = CLN_OK;
    for (int i = 0; i < OUTPUTS; i++) {
        o->count[i] = from[i].bytes / sizeof(float);
        o->values[i] = cln_test_alloc(o->count[i], sizeof(float));
        if (from[i].mem && !rc)
            rc = cln_lone_read(t, from[i], o->values[i], err);
    }
    return rc;
}

static void free_outputs(outputs *o)
{
    for (int i = 0; i < OUTPUTS; i++)
        free(o->values[i]);
}

/* Only the batch is written: what is behind it keeps its NaN, so that a kernel that reads it shows. */
static int put(cln_lone *t, cln_tensor to, const float *values, size_t count, cln_error *err)
{
    return to.mem ? cln_tensor_write(t->node.dev, to, 0, values, count * sizeof *values, err)
                  : CLN_OK;
}

static int poison(cln_lone *t, bool saved, cln_error *err)
{
    const cln_node *node = &t->node;
    const cln_tensor outputs[] = {node->y, node->dx[0], node->grad[0], node->grad[1]};
    int rc = CLN_OK;
    for (size_t i = 0; i < sizeof outputs / sizeof outputs[0] && !rc; i++)
        if (outputs[i].mem)
            rc = cln_tensor_fill(node->dev, outputs[i], POISON, err);
    for (int i = 0; saved && i < CLN_MAX_SAVED && !rc; i++)
        if (node->saved[i].mem)
            rc = cln_tensor_fill(node->dev, node->saved[i], POISON, err);
    return rc;
}

static int run_once(cln_lone *t, const cln_stage_case *k, const data *d, outputs *out,
                    cln_error *err)
{
    cln_node *node = &t->node;
    const cln_pass pass = {.n = d->stage.in.n, .train = true};
    const size_t c = (size_t)d->c;
    int rc = poison(t, d->sets > 0, err); /* the identity's are written once, at build */
    rc = rc ? rc : put(t, node->x[0], d->z, d->count, err);
    rc = rc ? rc : put(t, node->dy, d->dy, d->outputs, err);
    rc = rc ? rc : put(t, node->param[0], d->gamma, c, err);
    rc = rc ? rc : put(t, node->param[1], d->beta, c, err);
    rc = rc ? rc : put(t, node->state[0], d->running[0], c, err);
    rc = rc ? rc : put(t, node->state[1], d->running[1], c, err);
    if (!rc && k->accumulate)
        rc = put(t, node->dx[0], d->old, d->count, err);
    rc = rc ? rc : cln_lone_forward(t, &pass, err);
    rc = rc ? rc : cln_lone_backward(t, &pass, err);
    const int read = read_outputs(t, out, rc ? NULL : err); /* it makes the arrays in any case */
    return rc ? rc : read;
}

/* scale, norm: least largest value and least sum of squares that errors are measured against. */
static void hold(cln_verdict *v, const char *where, const char *what, const float *got,
                 const double *want, size_t count, double kappa, double scale, double norm)
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
    cln_verdict_hold(v, finite ? max : NAN, fmax(1e-5, bound), where, what);
    if (finite && max <= fmax(1e-5, bound) && !(nmse <= fmax(1e-10, bound * bound)))
        cln_verdict_fail(v, "%s: %s: NMSE %.3g (kappa %.3g)", where, what, nmse, kappa);
}

static void hold_gradients(cln_verdict *v, const char *where, const cln_stage_case *k,
                           const data *d, const outputs *o)
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
    hold(v, where, output_names[DX], o->values[DX], dz, d->count, d->kappa, scale, norm);
    if (d->sets) {
        hold(v, where, output_names[DGAMMA], o->values[DGAMMA], d->dgamma, (size_t)d->c, d->kappa,
             gamma_top, gamma_top * gamma_top);
        hold(v, where, output_names[DBETA], o->values[DBETA], d->dbeta, (size_t)d->c, d->kappa,
             beta_top, beta_top * beta_top);
    }
    free(dz);
    free(gamma_sum);
    free(beta_sum);
}

static void hold_running(cln_verdict *v, const char *where, const data *d, const outputs *o)
{
    double *mean = doubles((size_t)d->c), *var = doubles((size_t)d->c);
    const double size = (double)d->count / d->c, momentum = 0.1;
    for (int c = 0; c < d->c; c++) {
        mean[c] = (1 - momentum) * (double)d->running[0][c] + momentum * d->mean[c];
        var[c] =
            (1 - momentum) * (double)d->running[1][c] + momentum * d->var[c] * size / (size - 1);
    }
    hold(v, where, output_names[RUNNING_MEAN], o->values[RUNNING_MEAN], mean, (size_t)d->c, 0, 0,
         0);
    hold(v, where, output_names[RUNNING_VAR], o->values[RUNNING_VAR], var, (size_t)d->c, 0, 0, 0);
    free(mean);
    free(var);
}

static void hold_untouched(cln_verdict *v, const char *where, const outputs *o, int which,
                           size_t from)
{
    for (size_t i = from; i < o->count[which]; i++) {
        uint32_t bits;
        memcpy(&bits, &o->values[which][i], sizeof bits);
        if (bits != POISON) {
            cln_verdict_fail(v, "%s: %s was written behind the batch", where, output_names[which]);
            return;
        }
    }
}

static void set_stage(cln_lone *t, void *arg)
{
    const cln_stage_case *k = arg;
    t->stage.relu |= k->act == NAIVE_RELU;
    t->stage.smooth = k->act > NAIVE_RELU ? k->act - NAIVE_RELU : t->stage.smooth;
    t->stage.pool = k->pool;
    t->node.accumulate[0] = k->accumulate;
}

static int new_lone(cln_lone *t, cln_device *dev, const cln_stage_case *k, cln_error *err)
{
    const cln_tune_request request = {k->cls, -1};
    cln_stage_case copy = *k;
    return cln_lone_new(t, dev, k->line, k->in, &request, set_stage, &copy, err);
}

static void hold_all(cln_verdict *v, const char *where, const cln_stage_case *k, const data *d,
                     const outputs *a, const outputs *b)
{
    for (int i = 0; b && i < OUTPUTS; i++)
        if (memcmp(a->values[i], b->values[i], a->count[i] * sizeof(float)))
            cln_verdict_fail(v, "%s: %s differs between two runs", where, output_names[i]);
    hold(v, where, output_names[Y], a->values[Y], d->y, d->outputs, d->kappa, 0, 0);
    hold_gradients(v, where, k, d, a);
    if (d->stage.groups == NAIVE_BATCH)
        hold_running(v, where, d, a);
    hold_untouched(v, where, a, Y, d->outputs);
    hold_untouched(v, where, a, DX, d->count);
}

void cln_stage_check(cln_device *dev, const cln_stage_case *k, cln_verdict *v)
{
    cln_lone t;
    cln_error err = {0};
    char where[200];
    if (v->most > 0 && MULS_PER_VALUE * (double)cln_shape_count(k->in) > v->most)
        return;
    name_case(k, where);
    v->cases++;
    if (!cln_verdict_call(v, new_lone(&t, dev, k, &err), where, &err)) {
        outputs a = {0}, b = {0};
        data d = make_data(k, &t.layer);
        int rc = run_once(&t, k, &d, &a, &err);
        if (!rc && !v->once)
            rc = run_once(&t, k, &d, &b, &err);
        if (!cln_verdict_call(v, rc, where, &err))
            hold_all(v, where, k, &d, &a, v->once ? NULL : &b);
        free_outputs(&a);
        free_outputs(&b);
        free_data(&d);
    }
    cln_lone_free(&t);
}

/* ---- the cases ----------------------------------------------------------------------------------- */

/* Group norm gets the largest group count <= 4 that divides the channels. */
static void set_line(cln_stage_case *k, const char *word)
{
    int groups = 4;
    while (k->in.c % groups)
        groups--;
    if (strcmp(word, "gn") == 0)
        snprintf(k->line, sizeof k->line, "gn groups=%d", groups);
    else
        snprintf(k->line, sizeof k->line, "%s", word);
}

static bool is_smooth(const char *word)
{
    return !strcmp(word, "silu") || !strcmp(word, "celu") || !strcmp(word, "gelu");
}

/* With and without ReLU and pooling, where the size is even. */
static void check_forms(cln_device *dev, const char *word, cln_shape in, cln_class cls,
                        cln_verdict *v)
{
    const bool even = in.h % 2 == 0 && in.w % 2 == 0;
    const bool single = strcmp(word, "bn") == 0 && in.n * in.h * in.w == 1;
    const bool smooth = is_smooth(word); /* no ReLU behind these */
    for (int form = 0; form < (even ? 4 : 2) && !single; form++) {
        cln_stage_case k = {"", in, 0, smooth ? NAIVE_NONE : form & 1, form & 2 ? 2 : 1, cls, CLN_VALUES_NORMAL, false};
        set_line(&k, word);
        if (!smooth || !(form & 1))
            cln_stage_check(dev, &k, v);
    }
}

static void check_shapes(cln_device *dev, const char *word, cln_class cls, cln_verdict *v)
{
    static const cln_shape list[] = {{1, 1, 1, 1},  {1, 1, 1, 8},  {2, 1, 1, 12},  {1, 7, 5, 1},
                                     {3, 5, 3, 3},  {2, 3, 7, 5},  {1, 6, 4, 8},   {5, 4, 4, 12},
                                     {2, 8, 8, 16}, {2, 9, 6, 24}, {2, 2, 2, 33},  {3, 16, 14, 32},
                                     {2, 1, 2, 16}, {9, 2, 2, 3},  {1, 40, 36, 16},
                                     {5, 40, 36, 3}};
    /* Their kernels differ from those of ReLU by a formula alone: vectors of 1, 16 and 8 will do. */
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
        if (!is_smooth(word) || i == 3 || i == 8 || i == 9)
            check_forms(dev, word, list[i], cls, v);
}

static void check_groups(cln_device *dev, cln_class cls, cln_verdict *v)
{
    static const struct {
        const char *line;
        int c;
    } list[] = {{"gn groups=1", 12},
                {"gn groups=12", 12},
                {"gn groups=3", 24},
                {"gn groups=2", 16},
                {"gn groups=33", 33}};
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
        for (int one = 0; one < 2; one++) {
            cln_stage_case k = {"",  {2, 3, 5, list[i].c}, 0,    true, 1,
                                cls, CLN_VALUES_NORMAL,    false};
            if (one) {
                k.in = (cln_shape){3, 1, 1, list[i].c};
                k.act = NAIVE_NONE;
            }
            snprintf(k.line, sizeof k.line, "%s", list[i].line);
            cln_stage_check(dev, &k, v);
        }
}

static void check_values(cln_device *dev, const char *word, cln_class cls, cln_verdict *v)
{
    const cln_stage_case list[] = {{"", {2, 7, 5, 12}, 0, false, 1, cls, 0, false},
                                   {"", {3, 12, 16, 16}, 0, true, 2, cls, 0, false},
                                   {"", {1, 40, 36, 3}, 0, true, 1, cls, 0, false}};
    for (int values = 0; values < CLN_VALUES_KINDS; values++)
        for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
            cln_stage_case k = list[i];
            k.values = (cln_stage_values)values;
            k.act = is_smooth(word) ? NAIVE_NONE : k.act;
            set_line(&k, word);
            cln_stage_check(dev, &k, v);
        }
}

static void check_edges(cln_device *dev, const char *word, cln_class cls, cln_verdict *v)
{
    for (int pool = 1; pool <= 2; pool++) {
        cln_stage_case sum = {"", {3, 6, 4, 8}, 0, true, pool, cls, CLN_VALUES_NORMAL, true},
                       part = {"", {5, 6, 4, 8}, 2, pool == 1, pool, cls, CLN_VALUES_NORMAL, false};
        set_line(&sum, word);
        set_line(&part, word);
        if (is_smooth(word))
            sum.act = part.act = NAIVE_NONE;
        cln_stage_check(dev, &sum, v);
        cln_stage_check(dev, &part, v);
    }
}

/* Behind a norm, in one pass with it. */
static void check_smooth(cln_device *dev, cln_class cls, cln_verdict *v)
{
    static const char *const words[] = {"bn", "gn"};
    for (int act = NAIVE_SILU; act <= NAIVE_GELU; act++)
        for (int i = 0; i < 4; i++) {
            cln_stage_case k = {"", {3, 12, 16, 16}, 0, act, 1 + i % 2, cls, i == 3 ? CLN_VALUES_HUGE : CLN_VALUES_NORMAL, i == 2};
            set_line(&k, words[i / 2]);
            cln_stage_check(dev, &k, v);
        }
}

static void check_doctor(cln_device *dev, const char *word, cln_class cls, cln_verdict *v)
{
    cln_stage_case list[] = {{"", {3, 12, 16, 16}, 0, true, 2, cls, CLN_VALUES_MEAN_100, false},
                             {"", {2, 7, 5, 16}, 0, false, 1, cls, CLN_VALUES_CONSTANT, false},
                             {"", {2, 7, 5, 32}, 0, true, 1, cls, CLN_VALUES_HUGE, false},
                             {"", {5, 4, 6, 16}, 2, true, 2, cls, CLN_VALUES_TIES, false},
                             {"", {3, 6, 4, 16}, 0, true, 1, cls, CLN_VALUES_NORMAL, true},
                             {"", {1, 40, 36, 16}, 0, true, 1, cls, CLN_VALUES_NORMAL, false}};
    check_forms(dev, word, (cln_shape){2, 8, 8, 16}, cls, v);
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        set_line(&list[i], word);
        list[i].act = is_smooth(word) ? NAIVE_NONE : list[i].act;
        cln_stage_check(dev, &list[i], v);
    }
    if (strcmp(word, "bn") == 0) {
        set_line(&list[0], word);
        list[0].values = CLN_VALUES_NORMAL;
        cln_stage_check_evaluation(dev, &list[0], v);
    }
}

void cln_stage_check_set(cln_device *dev, cln_stage_set set, const char *word, cln_class cls,
                         cln_verdict *v)
{
    if (set == CLN_STAGE_GROUPS && (!word || strcmp(word, "gn") == 0))
        check_groups(dev, cls, v);
    if (set == CLN_STAGE_SMOOTH)
        check_smooth(dev, cls, v);
    for (int i = 0; cln_ops[i]; i++) {
        const char *each = cln_ops[i]->word;
        if (!cln_ops[i]->host || (word && strcmp(word, each) != 0))
            continue;
        if (set == CLN_STAGE_SHAPES)
            check_shapes(dev, each, cls, v);
        else if (set == CLN_STAGE_VALUES)
            check_values(dev, each, cls, v);
        else if (set == CLN_STAGE_EDGES)
            check_edges(dev, each, cls, v);
        else if (set == CLN_STAGE_DOCTOR)
            check_doctor(dev, each, cls, v);
    }
}

/* ---- forward alone ------------------------------------------------------------------------------- */

static int set_params(cln_lone *t, const float *const from[4], cln_error *err)
{
    const cln_tensor to[] = {t->node.param[0], t->node.param[1], t->node.state[0],
                             t->node.state[1]};
    int rc = CLN_OK;
    for (int i = 0; i < 4; i++)
        for (int c = 0; to[i].mem && c < t->layer.in[0].c && !rc; c++) {
            const float value = from[i] ? from[i][c] : i == 0 || i == 3 ? 1.0f : 0.0f;
            rc = cln_tensor_write(t->node.dev, to[i], (size_t)c * sizeof value, &value,
                                  sizeof value, err);
        }
    return rc;
}

int cln_stage_forward(cln_device *dev, const cln_stage_case *k, bool train, const float *z,
                      const float *gamma, const float *beta, const float *mean, const float *var,
                      float **y, cln_error *err)
{
    const cln_pass pass = {.n = k->in.n, .train = train};
    const float *const params[] = {gamma, beta, mean, var};
    cln_lone t;
    *y = NULL;
    int rc = new_lone(&t, dev, k, err);
    if (!rc)
        rc = set_params(&t, params, err);
    if (!rc)
        rc = put(&t, t.node.x[0], z, cln_shape_count(k->in), err);
    if (!rc)
        rc = cln_lone_forward(&t, &pass, err);
    if (!rc && !(*y = malloc(t.node.y.bytes)))
        rc = CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory");
    if (!rc)
        rc = cln_lone_read(&t, t.node.y, *y, err);
    cln_lone_free(&t);
    return rc;
}

void cln_stage_check_evaluation(cln_device *dev, const cln_stage_case *k, cln_verdict *v)
{
    cln_layer layer;
    cln_error err = {0};
    char where[200], what[] = "y in evaluation";
    float *y = NULL;
    name_case(k, where);
    v->cases++;
    if (cln_verdict_call(v, cln_lone_layer(&layer, k->line, k->in, &err), where, &err))
        return;
    data d = make_data(k, &layer);
    double *mean = widen(d.running[0], (size_t)d.c), *var = widen(d.running[1], (size_t)d.c);
    naive_stage_fwd(&d.stage, d.zd, d.gammad, d.betad, mean, var, d.y, NULL);
    const int rc = cln_stage_forward(dev, k, false, d.z, d.gamma, d.beta, d.running[0],
                                     d.running[1], &y, &err);
    if (!cln_verdict_call(v, rc, where, &err))
        hold(v, where, what, y, d.y, d.outputs, 0, 0, 0);
    free(y);
    free(mean);
    free(var);
    free_data(&d);
}
