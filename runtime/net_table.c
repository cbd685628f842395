/* The figures of `clnorm model`: parameters, operations, and what the backward pass keeps. */
#include "net.h"

#include <limits.h>
#include <math.h>

static size_t layer_params(const cln_layer *layer)
{
    cln_params params = {0};
    size_t count = 0;
    if (layer->op->params)
        layer->op->params(layer, &params);
    for (int i = 0; i < params.n_params; i++)
        count += cln_param_count(&params.param[i]);
    return count;
}

size_t cln_net_param_count(const cln_net *net)
{
    size_t count = 0;
    for (int i = 0; i < net->n_layers; i++)
        count += layer_params(&net->layers[i]);
    return count;
}

double cln_net_macs(const cln_net *net)
{
    double sum = 0;
    for (int i = 0; i < net->n_layers; i++) {
        cln_cost cost[CLN_COST_KINDS] = {{0, 0}};
        if (net->layers[i].op->resolve && net->layers[i].op->cost)
            net->layers[i].op->cost(&net->layers[i], cost);
        sum += cost[CLN_COST_FORWARD].flops;
    }
    return round(sum / 2 / net->input.n);
}

/* Which tensors an op keeps does not depend on the device, so a made-up one will do to ask. */
static cln_memory layer_memory(const cln_layer *layer)
{
    cln_device dev = {.info = {.vector_width = 1,
                               .compute_units = 1,
                               .global_mem = INT_MAX,
                               .max_alloc = INT_MAX,
                               .max_local_size = 1,
                               .base_align = 128}};
    cln_node node = {.layer = layer,
                     .dev = &dev,
                     .tune = {.cls = CLN_CLASS_SIMT,
                              .v = 1,
                              .local = 1,
                              .fwd = CLN_CONV_SIMT,
                              .bwd_data = CLN_CONV_SIMT,
                              .bwd_params = CLN_CONV_SIMT}};
    cln_memory memory = {0};
    if (layer->op->memory)
        layer->op->memory(&node, &memory);
    return memory;
}

static bool reads(const cln_layer *layer, int from)
{
    for (int k = 0; k < layer->n_inputs; k++)
        if (layer->input[k] == from)
            return true;
    return false;
}

static int count_readers(const cln_net *net, int layer)
{
    int count = 0;
    for (int i = layer + 1; i < net->n_layers; i++)
        count += reads(&net->layers[i], layer);
    return count;
}

static cln_absorb absorb_kind(const cln_layer *layer)
{
    return layer->n_inputs == 1 && layer->op->absorb ? layer->op->absorb(layer) : CLN_ABSORB_NO;
}

/* Whether the stage before it swallows the layer, as the plan does unless told not to fuse: a host,
 * then perhaps an activation, then perhaps a pool, each the only reader of the one before. */
static bool is_absorbed(const cln_net *net, int layer)
{
    const cln_layer *l = &net->layers[layer];
    const cln_absorb kind = absorb_kind(l);
    const int above = l->input[0];
    if (kind == CLN_ABSORB_NO || above < 0 || count_readers(net, above) != 1)
        return false;
    const bool behind_relu = cln_absorb_is_activation(absorb_kind(&net->layers[above]));
    if (behind_relu && kind != CLN_ABSORB_POOL2)
        return false; /* before the next line: a long chain of them would be walked again for each */
    const bool inside = is_absorbed(net, above);
    if (!inside && !net->layers[above].op->host)
        return false;
    if (behind_relu)
        return true;
    return !inside; /* behind a norm; behind a pool the stage is at its end */
}

static bool is_kept(const cln_net *net, int layer)
{
    bool kept = !is_absorbed(net, layer) && layer_memory(&net->layers[layer]).keeps_y;
    for (int i = layer + 1; i < net->n_layers; i++) {
        if (!reads(&net->layers[i], layer))
            continue;
        if (is_absorbed(net, i))
            return false; /* the output never leaves the stage */
        kept = kept || layer_memory(&net->layers[i]).keeps_x;
    }
    return kept;
}

void cln_net_row_of(const cln_net *net, int layer, cln_net_row *out)
{
    const cln_layer *l = &net->layers[layer];
    cln_cost cost[CLN_COST_KINDS] = {{0, 0}};
    if (l->op->cost)
        l->op->cost(l, cost);
    *out = (cln_net_row){.params = layer_params(l),
                         .flops = cost[CLN_COST_FORWARD].flops,
                         .kept_bytes =
                             is_kept(net, layer) ? cln_shape_count(l->out) * sizeof(float) : 0};
}
