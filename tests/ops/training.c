/* See training.h. */
#include "ops/training.h"

#include "common/step.h"
#include "common/values.h"
#include "ops/cases.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- references ---------------------------------------------------------------------------------- */

double naive_loss(int n, int classes, const float *x, const int32_t *labels, double s, double *dx,
                  double *confidence)
{
    double sum = 0;
    for (int i = 0; i < n; i++) {
        const float *row = x + (size_t)i * (size_t)classes;
        double top = row[0], z = 0;
        for (int k = 1; k < classes; k++)
            top = fmax(top, (double)row[k]);
        for (int k = 0; k < classes; k++)
            z += exp((double)row[k] - top);
        confidence[i] = 1 / z;
        for (int k = 0; k < classes; k++) {
            const double q = (k == labels[i] ? 1 - s : 0) + s / classes,
                         log_p = (double)row[k] - top - log(z);
            sum -= q * log_p / n;
            dx[i * classes + k] = (exp(log_p) - q) / n;
        }
    }
    return sum;
}

/* w is the old one on the right of every line. */
void naive_optim_step(cln_optimizer kind, const cln_optim_rates *r, size_t count,
                      const char *decays, const double *g, double *w, double *m, double *v)
{
    for (size_t i = 0; i < count; i++) {
        const double decay = decays[i] ? r->lr * r->weight_decay * w[i] : 0;
        const double lr = decays[i] ? r->lr : r->lr * r->rest;
        if (kind == CLN_OPTIMIZER_SGD) {
            m[i] = r->momentum * m[i] + g[i];
            w[i] -= lr * (r->nesterov ? g[i] + r->momentum * m[i] : m[i]) + decay;
            continue;
        }
        m[i] = r->momentum * m[i] + (1 - r->momentum) * g[i];
        v[i] = r->beta2 * v[i] + (1 - r->beta2) * g[i] * g[i];
        const double m_hat = m[i] / (1 - pow(r->momentum, r->t)),
                     v_hat = v[i] / (1 - pow(r->beta2, r->t));
        w[i] -= lr * m_hat / (sqrt(v_hat) + r->eps) + decay;
    }
}

/* x (rows, columns) towards the closest matrix with orthonormal columns (cl/muon.cl has the formulas). */
static void naive_orthogonalise(double *x, int rows, int columns)
{
    const size_t square = (size_t)columns * (size_t)columns;
    double *g = cln_test_alloc(square, sizeof *g), *p = cln_test_alloc(square, sizeof *p);
    double *row = cln_test_alloc((size_t)columns, sizeof *row), norm = 0;
    for (int i = 0; i < rows * columns; i++)
        norm += x[i] * x[i];
    for (int i = 0; i < rows * columns; i++)
        x[i] /= sqrt(norm);
    for (int step = 0; step < 5; step++) {
        for (int i = 0; i < columns; i++)
            for (int j = 0; j < columns; j++) {
                g[i * columns + j] = 0;
                for (int r = 0; r < rows; r++)
                    g[i * columns + j] += x[r * columns + i] * x[r * columns + j];
            }
        for (int i = 0; i < columns; i++)
            for (int j = 0; j < columns; j++) {
                p[i * columns + j] = (i == j ? 3.4445 : 0) - 4.7750 * g[i * columns + j];
                for (int k = 0; k < columns; k++)
                    p[i * columns + j] += 2.0315 * g[i * columns + k] * g[k * columns + j];
            }
        for (int r = 0; r < rows; r++) {
            for (int j = 0; j < columns; j++) {
                row[j] = 0;
                for (int k = 0; k < columns; k++)
                    row[j] += x[r * columns + k] * p[k * columns + j];
            }
            memcpy(x + r * columns, row, (size_t)columns * sizeof *row);
        }
    }
    for (int i = 0; i < rows * columns; i++)
        x[i] *= sqrt(fmax(1, (double)columns / rows));
    free(g);
    free(p);
    free(row);
}

void naive_muon_step(const cln_optim_rates *r, const cln_plan *plan, const char *decays, const double *g, double *w, double *m)
{
    double *s = cln_test_alloc(plan->n_weights, sizeof *s);
    int last = 0; /* layer with weights */
    for (int i = 0; i < plan->n_slots; i++)
        if (plan->slots[i].param.decay && plan->slots[i].layer > last)
            last = plan->slots[i].layer;
    for (size_t i = 0; i < plan->n_weights; i++) {
        m[i] = r->momentum * m[i] + g[i];
        s[i] = r->nesterov ? g[i] + r->momentum * m[i] : m[i];
    }
    for (int i = 0; i < plan->n_slots; i++) {
        const cln_slot *slot = &plan->slots[i];
        const int columns = slot->param.dims[slot->param.rank - 1];
        if (slot->param.decay && slot->layer != last && strcmp(plan->net->layers[slot->layer].op->word, "dwconv"))
            naive_orthogonalise(s + slot->offset, (int)slot->count / columns, columns);
    }
    for (size_t i = 0; i < plan->n_weights; i++)
        w[i] -= decays[i] ? r->lr * (s[i] + r->weight_decay * w[i]) : r->lr * r->rest * s[i];
    free(s);
}

static void hold(cln_verdict *v, const char *where, const char *what, cln_device *dev,
                 cln_tensor from, const double *want, size_t count, double tolerance)
{
    float *got = cln_verdict_floats(v, dev, from, count, where);
    if (!got)
        return;
    const cln_test_difference d = cln_test_compare(got, want, count);
    cln_verdict_hold(v, d.finite ? d.max : NAN, tolerance, where, what);
    if (d.finite && d.max <= tolerance && !(d.nmse < tolerance * tolerance))
        cln_verdict_fail(v, "%s: %s: NMSE %.3g", where, what, d.nmse);
    free(got);
}

/* ---- the loss ------------------------------------------------------------------------------------ */

enum { IMAGES = 9, KINDS = 7, BASE = 4 };

typedef struct loss_data {
    float *x;
    int32_t labels[IMAGES];
    int hits;
    double smoothing, loss, dx[IMAGES * KINDS], confidence[IMAGES];
} loss_data;

static loss_data make_loss(float scale, double smoothing)
{
    loss_data d = {.x = cln_test_random(IMAGES * KINDS, 3), .smoothing = smoothing};
    for (int i = 0; i < IMAGES * KINDS; i++)
        d.x[i] = d.x[i] * scale + scale;
    for (int n = 0; n < IMAGES; n++) {
        int best = 0;
        d.labels[n] = n % KINDS;
        for (int k = 1; k < KINDS; k++)
            best = d.x[n * KINDS + k] > d.x[n * KINDS + best] ? k : best;
        d.hits += best == d.labels[n];
    }
    d.loss = naive_loss(IMAGES, KINDS, d.x, d.labels, smoothing, d.dx, d.confidence);
    return d;
}

static int run_loss(cln_device *dev, cln_loss *loss, const loss_data *d, cln_tensor logits,
                    cln_tensor dlogits, cln_totals *totals, int *bad, cln_error *err)
{
    int rc = cln_tensor_write(dev, logits, 0, d->x, sizeof(float) * IMAGES * KINDS, err);
    if (!rc)
        rc = cln_tensor_write(dev, loss->labels, 0, d->labels, sizeof d->labels, err);
    if (!rc)
        rc = cln_tensor_fill(dev, dlogits, 0x7fc0dead, err);
    if (!rc)
        rc = cln_loss_run(loss, logits, dlogits, IMAGES, IMAGES, d->smoothing, BASE, 0, err);
    return rc ? rc : cln_loss_read(loss, totals, bad, err);
}

static void hold_loss(cln_verdict *v, const char *where, cln_device *dev, const cln_loss *loss,
                      const loss_data *d, cln_tensor dlogits)
{
    int32_t predicted[IMAGES + BASE] = {0};
    cln_error err = {0};
    hold(v, where, "dlogits", dev, dlogits, d->dx, IMAGES * KINDS, 1e-6);
    float *sure = cln_verdict_floats(v, dev, loss->confidence, IMAGES + BASE, where);
    int rc = cln_tensor_read(dev, loss->predicted, 0, predicted, sizeof predicted, &err);
    rc = cln_verdict_call(v, rc, where, &err);
    for (int n = 0; sure && !rc && n < IMAGES; n++) {
        const int class = predicted[BASE + n];
        bool largest = class >= 0 && class < KINDS;
        for (int k = 0; k < KINDS && largest; k++)
            largest = d->x[n * KINDS + class] >= d->x[n * KINDS + k];
        if (!largest)
            cln_verdict_fail(v, "%s: image %d was given class %d", where, n, class);
        cln_verdict_hold(v, fabs((double)sure[BASE + n] - d->confidence[n]), 1e-6, where,
                         "confidence");
    }
    free(sure);
}

void cln_loss_check(cln_device *dev, float scale, double smoothing, int local, cln_verdict *v)
{
    loss_data d = make_loss(scale, smoothing);
    cln_tensor logits = {0}, dlogits = {0};
    cln_totals totals = {0};
    cln_loss *loss = NULL;
    cln_error err = {0};
    char where[96];
    int bad = -1;
    snprintf(where, sizeof where, "loss of logits up to %g, smoothing %g, local size %d",
             (double)scale, smoothing, local);
    v->cases++;
    int rc = cln_loss_new(dev, IMAGES, KINDS, IMAGES + BASE, local, &loss, &err);
    if (!rc)
        rc = cln_tensor_new(dev, sizeof(float) * IMAGES * KINDS, "x", &logits, &err);
    if (!rc)
        rc = cln_tensor_new(dev, sizeof(float) * IMAGES * KINDS, "dx", &dlogits, &err);
    if (!rc)
        rc = run_loss(dev, loss, &d, logits, dlogits, &totals, &bad, &err);
    if (!cln_verdict_call(v, rc, where, &err)) {
        cln_verdict_hold(v, fabs((double)totals.loss / IMAGES - d.loss) / fmax(1, d.loss), 1e-6,
                         where, "the loss");
        if ((int)totals.hits != d.hits || (int)totals.images != IMAGES || bad != -1)
            cln_verdict_fail(v, "%s: %g hits of %g images, bad step %d; should be %d of %d, none",
                             where, (double)totals.hits, (double)totals.images, bad, d.hits,
                             IMAGES);
        hold_loss(v, where, dev, loss, &d, dlogits);
    }
    free(d.x);
    cln_tensor_free(&logits);
    cln_tensor_free(&dlogits);
    cln_loss_free(loss);
}

/* ---- the optimisers ------------------------------------------------------------------------------ */

typedef struct model {
    double *w, *g, *m, *v;
    char *used, *decays;
    size_t count;
} model;

/* Which floats are parameters, and which of them decay: weights of convolutions and dense layers. */
static void map_slots(const cln_plan *plan, model *a)
{
    for (int i = 0; i < plan->n_slots; i++) {
        const cln_slot *slot = &plan->slots[i];
        const bool weight =
            !strcmp(slot->param.name, "weight") && cln_is_conv(plan->net->layers[slot->layer].op);
        if (slot->state)
            continue;
        memset(a->used + slot->offset, 1, slot->count);
        memset(a->decays + slot->offset, weight, slot->count);
    }
}

static model make_model(const cln_plan *plan)
{
    const size_t n = plan->n_weights;
    model a = {.w = cln_test_alloc(n, sizeof(double)),
               .g = cln_test_alloc(n, sizeof(double)),
               .m = cln_test_alloc(n, sizeof(double)),
               .v = cln_test_alloc(n, sizeof(double)),
               .used = cln_test_alloc(n, 1),
               .decays = cln_test_alloc(n, 1),
               .count = n};
    map_slots(plan, &a);
    return a;
}

static void free_model(model *a)
{
    void *all[] = {a->w, a->g, a->m, a->v, a->used, a->decays};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
}

/* Random numbers where there are parameters, to the device and into `to`. */
static int draw(cln_device *dev, const model *a, uint32_t seed, cln_tensor tensor, double *to,
                cln_error *err)
{
    float *values = cln_test_random(a->count, seed);
    for (size_t i = 0; i < a->count; i++)
        to[i] = values[i] = a->used[i] ? values[i] : 0;
    int rc = cln_tensor_write(dev, tensor, 0, values, a->count * sizeof *values, err);
    free(values);
    return rc;
}

/* Momenta that floats hold exactly: 1 - 0.99 as a float is off by a millionth. */
static int run_optim(cln_device *dev, cln_plan *plan, cln_optim *optim, bool nesterov, model *a,
                     cln_error *err)
{
    int rc = draw(dev, a, 1, plan->weights, a->w, err);
    for (uint32_t t = 1; t <= 4 && !rc; t++) {
        const cln_optim_rates r = {0.03 * t, 1.5, 0.875, 0.2, 0.984375, 1e-8, nesterov, t};
        rc = draw(dev, a, 10 + t, plan->grads, a->g, err);
        if (!rc)
            rc = cln_optim_step(optim, plan, &r, err);
        if (optim->kind == CLN_OPTIMIZER_MUON)
            naive_muon_step(&r, plan, a->decays, a->g, a->w, a->m);
        else
            naive_optim_step(optim->kind, &r, a->count, a->decays, a->g, a->w, a->m, a->v);
    }
    return rc;
}

void cln_optim_check(cln_device *dev, const char *text, cln_optimizer kind, bool nesterov,
                     const cln_tune_request *tune, cln_verdict *v)
{
    const cln_plan_options options = {*tune, true, false, false};
    const bool adam = kind == CLN_OPTIMIZER_ADAMW, muon = kind == CLN_OPTIMIZER_MUON;
    const char *where = muon ? "muon" : adam ? "adamw" : nesterov ? "sgd with Nesterov's momentum" : "sgd";
    cln_test_step s;
    cln_optim *optim = NULL;
    cln_error err = {0};
    v->cases++;
    int rc = cln_test_step_new(&s, dev, text, "bn", 7, (cln_shape){2, 8, 8, 3}, &options, &err);
    if (!rc)
        rc = cln_optim_new(s.plan, kind, false, &optim, &err);
    if (!rc) {
        model a = make_model(s.plan);
        rc = run_optim(dev, s.plan, optim, nesterov, &a, &err);
        if (!rc) {
            hold(v, where, "weights", dev, s.plan->weights, a.w, a.count, muon ? 1e-5 : 1e-6);
            hold(v, where, "m", dev, optim->m, a.m, a.count, 1e-6);
            if (adam)
                hold(v, where, "v", dev, optim->v, a.v, a.count, 1e-6);
        }
        free_model(&a);
    }
    cln_verdict_call(v, rc, where, &err);
    cln_optim_free(optim);
    cln_test_step_free(&s);
}
