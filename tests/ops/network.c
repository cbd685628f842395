/* See network.h. */
#include "ops/network.h"

#include "common/step.h"
#include "common/values.h"
#include "ops/cases.h"
#include "ops/naive.h"
#include "ops/norm.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LAYERS = 32, SEEDS = 200 };
static const double smoothing = 0.1;
static const double margin = 3e-6; /* to every kink, relative to the stage's largest value */
static const double rest = 1e-6;   /* see restlessness() */

/* Few different sizes, since each is a program to compile. */
const char *const cln_networks[CLN_NETWORKS] = {
    "conv 8 k=3\n$norm\nrelu\nmaxpool 2\np: conv 8 k=3\n$norm\nrelu\nadd p\ndwconv\n$norm\n"
    "e: relu\ngap\ndense 4\nrelu\ndense 8\nsigmoid\nscale e\nconv 8 k=1\n$norm\n"
    "relu\ngap\nconv $classes k=1 bias=1\n",
    "conv 8 k=3 bias=1\nrelu\nq: avgpool 2\nconv 8 k=3\n$norm\nadd q\nr: relu\ndropout 0.25\n"
    "conv 8 k=1\nadd r\n$norm\nmaxpool 3 stride=2 pad=1\ndense $classes\n",
    "s: conv 8 k=3\n$norm\nconv 8 k=3\n$norm\nadd s\nt: relu\nconv 16 k=3 stride=2\n$norm\n"
    "relu\nconv 16 k=3\n$norm\nadd stride=2 t\nrelu\nconv 8 k=1\n$norm\nmaxpool 2\nrelu\ngap\n"
    "dense $classes\n"};

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

static float *narrow(const double *values, size_t count)
{
    float *p = cln_test_alloc(count, sizeof *p);
    for (size_t i = 0; i < count; i++)
        p[i] = (float)values[i];
    return p;
}

/* ---- the reference network ----------------------------------------------------------------------- */

typedef struct reference {
    const cln_net *net;
    int batch;
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
    for (size_t k = 0; k < count && s.act == NAIVE_RELU; k++)
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
    const cln_conv_shape s = cln_is_conv(l->op) ? cln_case_conv_shape(l) : (cln_conv_shape){0};
    const bool max = is(l, "maxpool");
    if (s.k) {
        naive_conv_fwd(&s, r->batch, x, r->param[i][0], s.bias ? r->param[i][1] : NULL, r->y[i]);
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
    } else if (is(l, "sigmoid")) {
        naive_sigmoid(count, x, r->y[i]);
    } else if (is(l, "scale")) {
        b = narrow(in_of(r, i, 1), cln_shape_count(l->in[1]));
        naive_scale(l->out, x, b, r->y[i]);
    } else if (is(l, "add")) {
        b = narrow(in_of(r, i, 1), cln_shape_count(l->in[1]));
        naive_add(l->out, l->in[1], cln_layer_int(l, "stride"), x, b, r->y[i]);
    } else {
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
    const cln_conv_shape s = cln_is_conv(l->op) ? cln_case_conv_shape(l) : (cln_conv_shape){0};
    if (s.k) {
        naive_conv_bwd_params(&s, r->batch, x, dy, r->grad[i][0], s.bias ? r->grad[i][1] : NULL);
        naive_conv_bwd_data(&s, r->batch, dy, r->param[i][0], dx);
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
    } else if (is(l, "sigmoid")) {
        naive_sigmoid_bwd(count, x, dy, dx);
    } else if (is(l, "scale")) {
        double *other = doubles(cln_shape_count(l->in[1]));
        float *b = narrow(in_of(r, i, 1), cln_shape_count(l->in[1]));
        naive_scale_bwd(l->out, x, b, dy, dx, other);
        pass_back(r, i, 1, other);
        free(other);
        free(b);
    } else if (is(l, "add")) {
        double *other = doubles(cln_shape_count(l->in[1]));
        naive_add_bwd(l->out, l->in[1], cln_layer_int(l, "stride"), dy, dx, other);
        pass_back(r, i, 1, other);
        free(other);
    } else {
        for (size_t k = 0; k < count; k++)
            dx[k] = r->dy[i][k] * r->mask[i][k];
    }
    pass_back(r, i, 0, dx);
    free(x);
    free(dy);
    free(dx);
}

static void loss_and_gradient(reference *r, const int32_t *labels)
{
    const int classes = r->net->classes;
    const double *logits = r->y[r->net->n_layers - 1];
    r->loss = 0;
    for (int n = 0; n < r->batch; n++) {
        double z = 0;
        for (int k = 0; k < classes; k++)
            z += exp(logits[n * classes + k]);
        for (int k = 0; k < classes; k++) {
            const double q = (k == labels[n] ? 1 - smoothing : 0) + smoothing / classes;
            const double log_p = logits[n * classes + k] - log(z);
            r->loss -= q * log_p / r->batch;
            r->dy[r->net->n_layers - 1][n * classes + k] = (exp(log_p) - q) / r->batch;
        }
    }
}

static void reference_new(reference *r, const cln_plan *plan, const float *weights, const float *x)
{
    const cln_net *net = plan->net;
    *r = (reference){.net = net,
                     .batch = net->input.n,
                     .x = widen(x, cln_shape_count(net->input)),
                     .lead = INFINITY};
    for (int i = 0; i < plan->n_slots; i++) {
        const cln_slot *slot = &plan->slots[i];
        if (slot->state)
            continue;
        float *copy = cln_test_alloc(slot->count, sizeof *copy);
        memcpy(copy, weights + slot->offset, slot->count * sizeof *copy);
        r->param[slot->layer][slot->which] = copy;
        r->grad[slot->layer][slot->which] = doubles(slot->count);
    }
    for (int i = 0; i < net->n_layers; i++) {
        const size_t count = cln_shape_count(net->layers[i].out);
        r->y[i] = doubles(count);
        r->dy[i] = doubles(count);
        r->mask[i] = doubles(count);
        forward_layer(r, i);
    }
}

static void reference_backward(reference *r, const int32_t *labels)
{
    loss_and_gradient(r, labels);
    for (int i = r->net->n_layers - 1; i >= 0; i--)
        backward_layer(r, i);
}

static void reference_free(reference *r)
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

typedef struct comparison {
    cln_test_step *s;
    const reference *r;
    const char *where;
    cln_verdict *v;
    double tolerance;
} comparison;

/* Weights of the initial spread; gamma near 1, beta and biases near 0, none of them exactly. */
static float *draw_weights(const cln_plan *plan, uint32_t seed)
{
    float *w = cln_test_alloc(plan->n_weights, sizeof *w);
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

/* A comparison; `layer` < 0: of the whole network. */
static void hold(const comparison *c, int layer, const char *what, const float *got,
                 const double *want, size_t count)
{
    const cln_test_difference d = cln_test_compare(got, want, count);
    char where[256] = "";
    int n = snprintf(where, sizeof where, "%s", c->where);
    if (layer >= 0)
        n += snprintf(where + n, sizeof where - (size_t)n, ", layer %d (%s", layer,
                      c->s->net->layers[layer].op->word);
    for (int i = layer + 1; layer >= 0 && i < c->s->net->n_layers && c->s->plan->nodes[i].skip &&
                            n < (int)sizeof where - 20;
         i++)
        n += snprintf(where + n, sizeof where - (size_t)n, "+%s", c->s->net->layers[i].op->word);
    if (layer >= 0)
        snprintf(where + n, sizeof where - (size_t)n, ")");
    cln_verdict_hold(c->v, d.finite ? d.max : NAN, fmax(c->tolerance, c->r->kappa * 0x1p-22), where,
                     what);
}

static void hold_tensor(const comparison *c, int layer, const char *what, cln_tensor from,
                        const double *want, size_t count)
{
    float *got = cln_verdict_floats(c->v, c->s->dev, from, count, c->where);
    if (got)
        hold(c, layer, what, got, want, count);
    free(got);
}

/* The last layer that the stage of layer i absorbed; i where it absorbed none. */
static int last_of(const cln_plan *plan, int i)
{
    while (i + 1 < plan->net->n_layers && plan->nodes[i + 1].skip)
        i++;
    return i;
}

/* The layer whose gradient stands in the place of that of layer i: what a masked stage keeps is that of its norm. */
static int kept_of(const cln_plan *plan, int i)
{
    int host = i;
    while (plan->nodes[host].skip)
        host = plan->net->layers[host].input[0];
    return plan->nodes[host].stage && cln_stage_masked(plan->nodes[host].stage) ? host : i;
}

static void hold_outputs(const comparison *c)
{
    const cln_plan *plan = c->s->plan;
    for (int i = 0; i < c->s->net->n_layers; i++) {
        const int last = last_of(plan, i);
        if (!plan->nodes[i].skip && !(plan->nodes[i].stage && plan->nodes[i].stage->deferred))
            hold_tensor(c, i, "y", plan->nodes[i].y, c->r->y[last],
                        cln_shape_count(c->s->net->layers[last].out));
    }
}

/* From the loss down: a layer's parameters, then what it hands on. */
static void hold_gradients(const comparison *c, bool inner)
{
    const cln_plan *plan = c->s->plan;
    float *grads = cln_verdict_floats(c->v, c->s->dev, plan->grads, plan->n_weights, c->where);
    for (int i = c->s->net->n_layers - 1; grads && i >= 0; i--) {
        const cln_layer *l = &c->s->net->layers[i];
        for (int k = 0; k < plan->n_slots; k++) {
            const cln_slot *slot = &plan->slots[k];
            char what[64];
            snprintf(what, sizeof what, "gradient of %s", slot->param.name);
            if (slot->layer == i && !slot->state)
                hold(c, i, what, grads + slot->offset, c->r->grad[i][slot->which], slot->count);
        }
        const int from = l->input[0];
        const bool made = !(plan->nodes[i].stage && plan->nodes[i].stage->derived);
        if (inner && !plan->nodes[i].skip && from >= 0 && made)
            hold_tensor(c, i, "dx", plan->nodes[i].dx[0], c->r->dy[kept_of(plan, from)],
                        cln_shape_count(l->in[0]));
    }
    free(grads);
}

static int hold_step(const comparison *c, const float *weights, const float *x,
                     const int32_t *labels, cln_error *err)
{
    cln_test_step *s = c->s;
    const size_t bytes = s->plan->n_weights * sizeof *weights;
    const int n = s->net->input.n;
    double loss;
    int rc = cln_tensor_write(s->dev, s->plan->weights, 0, weights, bytes, err);
    if (!rc && s->plan->states.mem)
        rc = cln_tensor_fill(s->dev, s->plan->states, 0, err);
    if (!rc)
        rc = cln_test_step_run(s, n, true, smoothing, x, labels, &loss, err);
    if (rc)
        return rc;
    if (s->plan->options.guard)
        hold_outputs(c);
    hold(c, -1, "logits", s->logits, c->r->y[s->net->n_layers - 1],
         (size_t)n * (size_t)s->net->classes);
    cln_verdict_hold(c->v, fabs(loss / c->r->loss - 1), 1e-6, c->where, "the loss");
    hold_gradients(c, s->plan->options.guard);
    return CLN_OK;
}

static int32_t *draw_labels(int n, int classes)
{
    int32_t *labels = cln_test_alloc((size_t)n, sizeof *labels);
    for (int i = 0; i < n; i++)
        labels[i] = 3 * i % classes;
    return labels;
}

/* How far the gradients move, relative to the largest of their tensor, when each weight moves to one of its neighbours: what
 * rounding alone may do, whatever the order of sums. */
static double restlessness(const reference *r, const cln_plan *plan, const float *weights, const float *x, const int32_t *labels)
{
    reference moved;
    float *w = cln_test_alloc(plan->n_weights, sizeof *w), *side = cln_test_random(plan->n_weights, 77);
    double worst = 0;
    for (size_t i = 0; i < plan->n_weights; i++)
        w[i] = nextafterf(weights[i], side[i] < 0 ? -INFINITY : INFINITY);
    reference_new(&moved, plan, w, x);
    reference_backward(&moved, labels);
    for (int i = 0; i < plan->n_slots; i++) {
        const cln_slot *slot = &plan->slots[i];
        const double *a = r->grad[slot->layer][slot->which], *b = moved.grad[slot->layer][slot->which];
        double top = 0, apart = 0;
        for (size_t k = 0; !slot->state && k < slot->count; k++) {
            top = fmax(top, fabs(a[k]));
            apart = fmax(apart, fabs(a[k] - b[k]));
        }
        worst = top > 0 ? fmax(worst, apart / top) : worst;
    }
    reference_free(&moved);
    free(w);
    free(side);
    return worst;
}

static int check_seeds(cln_test_step *s, const char *where, cln_verdict *v, cln_error *err)
{
    const size_t count = cln_shape_count(s->net->input);
    int32_t *labels = draw_labels(s->net->input.n, s->net->classes);
    int rc = CLN_FAIL(err, CLN_ERR_INTERNAL, "no seed keeps clear of the kinks");
    bool found = false;
    for (uint32_t seed = 1; seed < SEEDS && !found; seed++) {
        float *x = cln_test_random(count, seed), *weights = draw_weights(s->plan, seed);
        reference r;
        reference_new(&r, s->plan, weights, x);
        found = r.lead > margin && r.kappa < 20;
        if (found) {
            reference_backward(&r, labels);
            found = restlessness(&r, s->plan, weights, x, labels) < rest;
        }
        if (found) {
            rc = hold_step(&(comparison){s, &r, where, v, CLN_CASE_TOLERANCE}, weights, x, labels, err);
        }
        reference_free(&r);
        free(x);
        free(weights);
    }
    free(labels);
    return rc;
}

void cln_network_check(cln_device *dev, const char *text, const char *norm, int classes,
                       cln_shape input, const cln_plan_options *options, cln_verdict *v)
{
    cln_test_step s;
    cln_error err = {0};
    char where[128];
    const cln_class cls = cln_tune_class(&dev->info, &options->tune);
    snprintf(where, sizeof where, "a network with %s (%s, %s)", norm,
             cls == CLN_CLASS_SIMT ? "simt" : "vector", options->fuse ? "fused" : "unfused");
    v->cases++;
    int rc = cln_test_step_new(&s, dev, text, norm, classes, input, options, &err);
    if (!rc && s.net->n_layers > MAX_LAYERS)
        rc = CLN_FAIL(&err, CLN_ERR_INTERNAL, "more than %d layers", MAX_LAYERS);
    if (!rc)
        rc = check_seeds(&s, where, v, &err);
    cln_verdict_call(v, rc, where, &err);
    cln_test_step_free(&s);
}
