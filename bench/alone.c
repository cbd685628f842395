/* Layers one by one, each with tensors of its own. */
#include "cases.h"

#include "philox.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cln_bench_shape_text(const cln_layer *layer, char *out, size_t size)
{
    const cln_shape in = layer->in[0], o = layer->out;
    const cln_attr *attrs = layer->op->attrs;
    int k = 0, stride = 1;
    for (int i = 0; attrs && attrs[i].name; i++) {
        k = !strcmp(attrs[i].name, "k") ? (int)layer->attr[i] : k;
        stride = !strcmp(attrs[i].name, "stride") ? (int)layer->attr[i] : stride;
    }
    if (in.c == o.c && !k)
        snprintf(out, size, "%dx%dx%d", in.h, in.w, in.c);
    else if (!k)
        snprintf(out, size, "%d->%d %dx%d", in.c, o.c, in.h, in.w);
    else if (stride > 1 && in.c != o.c)
        snprintf(out, size, "%d->%d %dx%d/%d %dx%d", in.c, o.c, k, k, stride, in.h, in.w);
    else
        snprintf(out, size, "%d->%d %dx%d %dx%d", in.c, o.c, k, k, in.h, in.w);
}

void cln_bench_layer_line(const cln_layer *layer, char *out, size_t size)
{
    size_t at = (size_t)snprintf(out, size, "%s", layer->op->word);
    for (int i = 0; layer->op->attrs && layer->op->attrs[i].name && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, " %s=%.9g", layer->op->attrs[i].name, layer->attr[i]);
    const cln_shape second = layer->in[layer->n_inputs - 1];
    if (layer->n_inputs > 1 && at < size)
        snprintf(out + at, size - at, " %dx%dx%d", second.h, second.w, second.c);
}

/* Standard normal numbers, the same at every run. */
static int fill(cln_lone *l, cln_tensor t, double scale, double offset, uint32_t stream, cln_error *err)
{
    const size_t count = t.bytes / sizeof(float);
    float *values = malloc(count * sizeof *values + 1);
    if (!values)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory for test values");
    for (size_t i = 0; i < count; i += 2) {
        const cln_philox r = cln_philox4x32((uint32_t)(i / 2), stream, 0, 0, 1, 0);
        const double u = (r.v[0] + 1.0) / 4294967296.0, v = r.v[1] / 4294967296.0;
        const double radius = scale * sqrt(-2.0 * log(u)), angle = 6.283185307179586 * v; /* Box & Muller 1958 */
        values[i] = (float)(offset + radius * cos(angle));
        if (i + 1 < count)
            values[i + 1] = (float)(offset + radius * sin(angle));
    }
    int rc = cln_lone_write(l, t, values, err);
    free(values);
    return rc;
}

int cln_bench_lone_fill(cln_lone *l, cln_error *err)
{
    cln_node *node = &l->node;
    int rc = CLN_OK;
    for (int k = 0; k < l->layer.n_inputs && !rc; k++)
        rc = fill(l, node->x[k], 1, 0, 1 + (uint32_t)k, err);
    if (!rc)
        rc = fill(l, node->dy, 1e-2, 0, 8, err);
    for (int k = 0; k < l->params.n_params && !rc; k++) {
        const cln_param *p = &l->params.param[k];
        const double scale = p->fan_in ? sqrt(2.0 / p->fan_in) : 0.1;
        rc = fill(l, node->param[k], scale, p->init == CLN_INIT_ONE, 16 + (uint32_t)k, err);
    }
    for (int k = 0; k < l->params.n_states && !rc; k++)
        rc = fill(l, node->state[k], 0, l->params.state[k].init == CLN_INIT_ONE, 32, err);
    return rc;
}

static int run_way(void *arg, cln_error *err)
{
    const struct cln_bench_way *way = arg;
    cln_lone *l = &way->of->lone;
    const cln_pass pass = {.n = l->layer.in[0].n, .train = true, .step = 1, .skip = way->skip};
    return way->direction == CLN_COST_FORWARD ? l->layer.op->forward(&l->node, &pass, err)
                                              : l->layer.op->backward(&l->node, &pass, err);
}

/* Without a cost function: each input read once, each output written once. */
static void cost_of(const cln_layer *layer, cln_cost cost[CLN_COST_KINDS])
{
    const double x = (double)cln_shape_count(layer->in[0]) * layer->n_inputs * sizeof(float);
    const double y = (double)cln_shape_count(layer->out) * sizeof(float);
    cost[CLN_COST_FORWARD] = cost[CLN_COST_BACKWARD_DATA] = (cln_cost){0, x + y};
    cost[CLN_COST_BACKWARD_PARAMS] = (cln_cost){0, 0};
    if (layer->op->cost)
        layer->op->cost(layer, cost);
}

static void add_case(cln_bench_lone *l, const char *view, const char *what, const char *norm, int direction,
                     const char *name, unsigned skip, const cln_cost *cost)
{
    cln_bench_case *c = &l->cases[l->n_cases];
    struct cln_bench_way *way = &l->ways[l->n_cases++];
    *way = (struct cln_bench_way){l, direction, skip};
    *c = (cln_bench_case){.run = run_way, .arg = way};
    cln_bench_row_name(&c->row, view, what, norm, name);
    cln_bench_shape_text(&l->lone.layer, c->row.shape, sizeof c->row.shape);
    c->row.batch = l->lone.layer.in[0].n;
    c->row.flops = cost->flops;
    c->row.bytes = cost->bytes;
}

static void drop_dx(cln_lone *l, void *data)
{
    if (*(bool *)data)
        l->layer.input[0] = -1;
}

int cln_bench_lone_new(cln_bench_lone *l, cln_device *dev, const char *view, const char *what, const char *norm,
                       const char *line, cln_shape in, const cln_tune_request *request, bool data, cln_error *err)
{
    const double began = cln_now();
    memset(l, 0, sizeof *l);
    int rc = cln_lone_new(&l->lone, dev, line, in, request, drop_dx, &data, err);
    if (!rc)
        rc = cln_bench_lone_fill(&l->lone, err);
    if (rc)
        return rc;
    cln_cost cost[CLN_COST_KINDS] = {{0, 0}};
    cost_of(&l->lone.layer, cost);
    const bool parts = cost[CLN_COST_BACKWARD_PARAMS].flops > 0;
    add_case(l, view, what, norm, CLN_COST_FORWARD, "forward", 0, &cost[CLN_COST_FORWARD]);
    if (!parts)
        add_case(l, view, what, norm, CLN_COST_BACKWARD_DATA, "backward", 0, &cost[CLN_COST_BACKWARD_DATA]);
    if (parts && !data)
        add_case(l, view, what, norm, CLN_COST_BACKWARD_DATA, "backward-data", CLN_SKIP_PARAMS,
                 &cost[CLN_COST_BACKWARD_DATA]);
    if (parts)
        add_case(l, view, what, norm, CLN_COST_BACKWARD_PARAMS, "backward-params", CLN_SKIP_DATA,
                 &cost[CLN_COST_BACKWARD_PARAMS]);
    for (int i = 0; i < l->n_cases && !rc; i++) /* in order: backward finds what forward left */
        rc = run_way(&l->ways[i], err);
    if (!rc)
        rc = cln_device_finish(dev, err);
    l->cases[0].row.first = cln_now() - began;
    return rc;
}

void cln_bench_lone_clear(cln_bench_lone *l)
{
    for (int i = 0; i < l->n_cases; i++)
        cln_bench_row_clear(&l->cases[i].row);
    cln_lone_free(&l->lone);
    memset(l, 0, sizeof *l);
}
