/* The stages of a network as its plan runs them: which node belongs to which unit. */
#include "cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The node that computes layer i's output: the host for absorbed layers; -1: the data. */
static int owner_of(const cln_plan *plan, int i)
{
    while (i >= 0 && plan->nodes[i].skip)
        i = plan->net->layers[i].input[0];
    return i;
}

static int count_readers(const cln_plan *plan, int layer)
{
    int count = 0;
    for (int j = layer + 1; j < plan->net->n_layers; j++)
        for (int k = 0; k < plan->net->layers[j].n_inputs; k++)
            count += plan->net->layers[j].input[k] == layer;
    return count;
}

/* The layer whose output host `h` reads and that belongs to h's unit; -1: none does. */
static int producer_of(const cln_plan *plan, int h)
{
    const int from = plan->net->layers[h].input[0];
    if (!plan->nodes[h].stage || from < 0 || plan->nodes[from].skip || plan->nodes[from].stage ||
        count_readers(plan, from) != 1)
        return -1;
    return from;
}

/* Whether backward-data and backward-params can be run one without the other. */
static bool in_parts(const cln_layer *layer)
{
    cln_cost cost[CLN_COST_KINDS] = {{0, 0}};
    if (layer->op->cost)
        layer->op->cost(layer, cost);
    return cost[CLN_COST_BACKWARD_PARAMS].flops > 0;
}

/* ---- names and costs ----------------------------------------------------------------------------- */

/* "0.conv+norm+relu": a norm is called norm, so that units have the same name under every norm. */
static void name_unit(cln_bench_unit *u)
{
    const cln_net *net = u->plan->net;
    size_t at = (size_t)snprintf(u->what, sizeof u->what, "%d.", u->forward[0]);
    for (int i = u->forward[0]; i < net->n_layers; i++) {
        bool mine = u->plan->nodes[i].skip && owner_of(u->plan, i) == u->forward[u->n_forward - 1];
        for (int k = 0; k < u->n_forward; k++)
            mine = mine || u->forward[k] == i;
        if (!mine || at >= sizeof u->what - 1)
            continue;
        const cln_op *op = net->layers[i].op;
        u->has_norm = u->has_norm || op->norm;
        at += (size_t)snprintf(u->what + at, sizeof u->what - at, "%s%s", i == u->forward[0] ? "" : "+",
                               op->norm ? "norm" : op->word);
    }
}

static double bytes_of(cln_shape s) { return (double)cln_shape_count(s) * sizeof(float); }

/* A host reads z and writes what is left behind the pool; its backward reads z and dy and writes dz. */
static void node_cost(const cln_plan *plan, int i, cln_cost cost[CLN_COST_KINDS])
{
    const cln_layer *layer = &plan->net->layers[i];
    const cln_stage *stage = plan->nodes[i].stage;
    const double x = bytes_of(layer->in[0]), y = bytes_of(layer->out);
    cost[CLN_COST_FORWARD] = cost[CLN_COST_BACKWARD_DATA] = (cln_cost){0, x + y};
    cost[CLN_COST_BACKWARD_PARAMS] = (cln_cost){0, 0};
    if (layer->op->cost)
        layer->op->cost(layer, cost);
    if (stage) {
        const double out = x / (stage->pool * stage->pool);
        cost[CLN_COST_FORWARD].bytes = x + out;
        cost[CLN_COST_BACKWARD_DATA].bytes = 2 * x + out;
    }
}

static void add_cost(cln_cost *sum, const cln_cost *part)
{
    sum->flops += part->flops;
    sum->bytes += part->bytes;
}

static void cost_unit(cln_bench_unit *u)
{
    cln_cost cost[CLN_COST_KINDS];
    for (int k = 0; k < u->n_forward; k++) {
        node_cost(u->plan, u->forward[k], cost);
        add_cost(&u->cost[0], &cost[CLN_COST_FORWARD]);
    }
    for (int k = 0; k < u->n_backward; k++) {
        node_cost(u->plan, u->backward[k].node, cost);
        if (!(u->backward[k].skip & CLN_SKIP_DATA))
            add_cost(&u->cost[1], &cost[CLN_COST_BACKWARD_DATA]);
        if (!(u->backward[k].skip & CLN_SKIP_PARAMS))
            add_cost(&u->cost[1], &cost[CLN_COST_BACKWARD_PARAMS]);
    }
    cln_bench_shape_text(&u->plan->net->layers[u->forward[0]], u->shape, sizeof u->shape);
}

/* ---- who belongs where --------------------------------------------------------------------------- */

static int add_backward(cln_bench_unit *u, int node, unsigned skip, cln_error *err)
{
    if (u->n_backward == CLN_BENCH_UNIT_MAX)
        return CLN_FAIL(err, CLN_ERR_MODEL, "the output of layer %d is read by too many layers for the bench",
                        u->forward[0]);
    u->backward[u->n_backward].node = node;
    u->backward[u->n_backward++].skip = skip;
    return CLN_OK;
}

/* In the order in which a step runs backward: from the last node down. */
static int assign_backward(cln_plan *plan, cln_bench_unit *units, const int *unit_of, cln_error *err)
{
    int rc = CLN_OK;
    for (int i = plan->net->n_layers - 1; i >= 0 && !rc; i--) {
        const cln_layer *layer = &plan->net->layers[i];
        if (plan->nodes[i].skip)
            continue;
        if (!in_parts(layer)) {
            rc = add_backward(&units[unit_of[i]], i, 0, err);
            continue;
        }
        const int from = owner_of(plan, layer->input[0]);
        if (from >= 0)
            rc = add_backward(&units[unit_of[from]], i, CLN_SKIP_PARAMS, err);
        if (!rc)
            rc = add_backward(&units[unit_of[i]], i, CLN_SKIP_DATA, err);
    }
    return rc;
}

int cln_bench_units(cln_plan *plan, cln_bench_unit **out, int *count, cln_error *err)
{
    const int layers = plan->net->n_layers;
    cln_bench_unit *units = calloc((size_t)layers, sizeof *units);
    int *unit_of = calloc((size_t)layers, sizeof *unit_of), n = 0;
    int rc = units && unit_of ? CLN_OK : CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory for the stages");
    for (int i = 0; i < layers && !rc; i++) {
        const int producer = plan->nodes[i].skip ? -1 : producer_of(plan, i);
        if (plan->nodes[i].skip)
            continue;
        /* A producer stands right before its host or further up: it opened a unit of its own by then. */
        cln_bench_unit *u = producer >= 0 ? &units[unit_of[producer]] : &units[n++];
        u->plan = plan;
        u->forward[u->n_forward++] = i;
        unit_of[i] = (int)(u - units);
    }
    if (!rc)
        rc = assign_backward(plan, units, unit_of, err);
    for (int k = 0; k < n && !rc; k++) {
        name_unit(&units[k]);
        cost_unit(&units[k]);
    }
    free(unit_of);
    if (rc) {
        free(units);
        return rc;
    }
    *out = units;
    *count = n;
    return CLN_OK;
}

/* ---- running ------------------------------------------------------------------------------------- */

static cln_pass pass_of(const cln_bench_unit *u, unsigned skip)
{
    return (cln_pass){.n = u->plan->net->input.n, .train = true, .step = 1, .skip = skip};
}

int cln_bench_unit_forward(void *arg, cln_error *err)
{
    const cln_bench_unit *u = arg;
    const cln_pass pass = pass_of(u, 0);
    int rc = CLN_OK;
    for (int k = 0; k < u->n_forward && !rc; k++)
        rc = u->plan->net->layers[u->forward[k]].op->forward(&u->plan->nodes[u->forward[k]], &pass, err);
    return rc;
}

int cln_bench_unit_backward(void *arg, cln_error *err)
{
    const cln_bench_unit *u = arg;
    int rc = CLN_OK;
    for (int k = 0; k < u->n_backward && !rc; k++) {
        const cln_pass pass = pass_of(u, u->backward[k].skip);
        const int i = u->backward[k].node;
        rc = u->plan->net->layers[i].op->backward(&u->plan->nodes[i], &pass, err);
    }
    return rc;
}
