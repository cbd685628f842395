#include "plan.h"

#include "fusion.h"
#include "philox.h"
#include "tuning.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ZEROS_BYTES = 4096 };

/* ---- parameters ---------------------------------------------------------------------------------- */

static int add_slot(cln_plan *plan, int layer, const cln_param *param, int which, bool state, size_t *end,
                    cln_error *err)
{
    cln_slot *grown = realloc(plan->slots, (size_t)(plan->n_slots + 1) * sizeof *grown);
    if (!grown)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory while planning parameters");
    plan->slots = grown;
    cln_slot *slot = &plan->slots[plan->n_slots++];
    *slot = (cln_slot){.param = *param, .offset = *end, .count = cln_param_count(param),
                       .layer = layer, .which = which, .state = state};
    snprintf(slot->name, sizeof slot->name, "%d.%s", layer, param->name);
    *end = cln_align_up((*end + slot->count) * sizeof(float), plan->dev->info.base_align) / sizeof(float);
    return CLN_OK;
}

/* Slots in the order: parameters that decay, the other parameters, states. */
static int list_slots(cln_plan *plan, cln_error *err)
{
    const cln_net *net = plan->net;
    int rc = CLN_OK;
    for (int round = 0; round < 3 && !rc; round++) {
        for (int i = 0; i < net->n_layers && !rc; i++) {
            cln_params p = {0};
            if (net->layers[i].op->params)
                net->layers[i].op->params(&net->layers[i], &p);
            for (int k = 0; round < 2 && k < p.n_params && !rc; k++)
                if (p.param[k].decay == (round == 0))
                    rc = add_slot(plan, i, &p.param[k], k, false, &plan->n_weights, err);
            for (int k = 0; round == 2 && k < p.n_states && !rc; k++)
                rc = add_slot(plan, i, &p.state[k], k, true, &plan->n_states, err);
        }
        if (round == 0)
            plan->n_decay = plan->n_weights;
    }
    if (!rc && plan->n_weights > INT_MAX)
        rc = CLN_FAIL(err, CLN_ERR_MODEL, "the network has %zu weights, more than the 2^31 - 1 that it may have", plan->n_weights);
    return rc;
}

static int new_zeroed(cln_plan *plan, size_t bytes, const char *what, cln_tensor *out, size_t *kind, cln_error *err)
{
    int rc = plan->paper ? CLN_OK : cln_tensor_new(plan->dev, bytes, what, out, err);
    plan->bytes += rc ? 0 : bytes;
    *kind += rc ? 0 : bytes;
    if (plan->paper)
        return CLN_OK;
    return rc ? rc : cln_tensor_fill(plan->dev, *out, 0, err);
}

static int place_parameters(cln_plan *plan, cln_error *err)
{
    cln_plan_memory *memory = &plan->memory;
    int rc = list_slots(plan, err);
    const size_t unit = plan->dev->info.base_align; /* at least one, so that an empty buffer needs no case */
    const size_t weights = plan->n_weights * sizeof(float) + unit, states = plan->n_states * sizeof(float) + unit;
    if (!rc)
        rc = new_zeroed(plan, cln_align_up(weights, 4), "weights", &plan->weights, &memory->weights, err);
    if (!rc && !plan->options.inference)
        rc = new_zeroed(plan, cln_align_up(weights, 4), "gradients", &plan->grads, &memory->grads, err);
    if (!rc)
        rc = new_zeroed(plan, cln_align_up(states, 4), "running statistics", &plan->states, &memory->states, err);
    if (!rc)
        rc = new_zeroed(plan, ZEROS_BYTES, "zeros", &plan->zeros, &memory->activations, err);
    for (int i = 0; i < plan->n_slots && !rc && !plan->paper; i++) {
        const cln_slot *slot = &plan->slots[i];
        cln_node *node = &plan->nodes[slot->layer];
        const size_t at = slot->offset * sizeof(float), bytes = slot->count * sizeof(float);
        if (slot->state) {
            rc = cln_tensor_view(plan->dev, plan->states, at, bytes, &node->state[slot->which], err);
            continue;
        }
        rc = cln_tensor_view(plan->dev, plan->weights, at, bytes, &node->param[slot->which], err);
        if (!rc && !plan->options.inference)
            rc = cln_tensor_view(plan->dev, plan->grads, at, bytes, &node->grad[slot->which], err);
    }
    return rc;
}

int cln_plan_init(cln_plan *plan, uint32_t seed, cln_error *err)
{
    int rc = CLN_OK;
    uint32_t ordinal = 0; /* of the parameters that draw random numbers */
    for (int i = 0; i < plan->n_slots && !rc; i++) {
        const cln_slot *slot = &plan->slots[i];
        float *values = malloc(slot->count * sizeof *values);
        if (!values)
            return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory while drawing initial weights");
        const double sd = slot->param.fan_in > 0 ? sqrt(2.0 / slot->param.fan_in) : 0.0;
        for (size_t k = 0; k < slot->count; k++) {
            if (slot->param.init != CLN_INIT_KAIMING) {
                values[k] = slot->param.init == CLN_INIT_ONE ? 1.0f : 0.0f;
                continue;
            }
            const cln_philox r = cln_philox4x32((uint32_t)k, ordinal, 0, CLN_STREAM_INIT, seed, 0);
            const double u = (r.v[0] + 1.0) / 4294967296.0, v = r.v[1] / 4294967296.0;
            values[k] = (float)(sd * sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v)); /* Box & Muller 1958 */
        }
        ordinal += slot->param.init == CLN_INIT_KAIMING;
        rc = cln_tensor_write(plan->dev, slot->state ? plan->states : plan->weights, slot->offset * sizeof(float),
                              values, slot->count * sizeof(float), err);
        free(values);
    }
    return rc;
}

/* ---- activations --------------------------------------------------------------------------------- */

/* The step's schedule: 0 the batch is gathered, i + 1 forward of layer i, L + 1 the loss,
 * 2 L + 2 - i backward of layer i, 2 L + 3 the end. */
typedef struct wish_list {
    cln_arena_item *items;
    int count, room;
} wish_list;

static int back_time(const cln_plan *plan, int layer) { return 2 * plan->net->n_layers + 2 - layer; }

static int wish(wish_list *list, cln_tensor *tensor, size_t bytes, int birth, int death, const cln_plan *plan,
                int layer, const char *what, cln_error *err)
{
    if (!bytes)
        return CLN_OK;
    if (list->count == list->room) {
        list->room = list->room ? 2 * list->room : 64;
        cln_arena_item *grown = realloc(list->items, (size_t)list->room * sizeof *grown);
        if (!grown)
            return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory while planning device memory");
        list->items = grown;
    }
    cln_arena_item *item = &list->items[list->count++];
    *item = (cln_arena_item){.tensor = tensor, .bytes = bytes, .birth = birth, .death = death};
    if (layer < 0)
        snprintf(item->what, sizeof item->what, "%s", what);
    else
        snprintf(item->what, sizeof item->what, "%s of layer %d (%s)", what, layer, plan->net->layers[layer].op->word);
    return CLN_OK;
}

static cln_memory memory_of(const cln_plan *plan, int layer)
{
    cln_memory m = {0};
    if (!plan->nodes[layer].skip && plan->net->layers[layer].op->memory)
        plan->net->layers[layer].op->memory(&plan->nodes[layer], &m);
    return m;
}

/* When the output of node i (its stage's end is `end`) is read for the last time. */
static int value_death(const cln_plan *plan, int i, int end)
{
    const cln_net *net = plan->net;
    int death = end == net->n_layers - 1 ? net->n_layers + 1 : i + 1;
    for (int j = end + 1; j < net->n_layers; j++)
        for (int k = 0; k < net->layers[j].n_inputs; k++)
            if (net->layers[j].input[k] == end) {
                const bool keeps = !plan->options.inference && memory_of(plan, j).keeps_x;
                const cln_stage *stage = plan->nodes[j].stage;
                const int until = keeps ? back_time(plan, j)
                                  : stage && stage->deferred ? value_death(plan, j, cln_fusion_end(plan, j)) /* its reader's */
                                                             : j + 1;
                death = until > death ? until : death;
            }
    const bool again = i >= 0 && !plan->options.inference && (plan->nodes[i].behind || memory_of(plan, i).keeps_y);
    if (again && back_time(plan, i) > death)
        death = back_time(plan, i);
    return death;
}

/* The stage that may write the gradient of node i's output over that of its own, which nobody reads after it and which
 * is as large: half the memory, and lines that are in the cache already. -1: none. */
static int overwriter_of(const cln_plan *plan, int i)
{
    int first, last;
    if (plan->options.inference || plan->options.guard)
        return -1;
    if (cln_fusion_readers(plan->net, cln_fusion_end(plan, i), &first, &last) != 1)
        return -1;
    const cln_stage *stage = plan->nodes[first].stage;
    return stage && stage->pool == 1 ? first : -1;
}

/* When the gradient of node i's output, or what is written over it, is read for the last time. */
static int gradient_death(const cln_plan *plan, int i)
{
    const int from = plan->nodes[i].stage ? cln_fusion_owner(plan, plan->net->layers[i].input[0]) : -1;
    if (from >= 0 && overwriter_of(plan, from) == i)
        return gradient_death(plan, from);
    return back_time(plan, from >= 0 && plan->nodes[from].behind ? from : i);
}

static int wish_node(cln_plan *plan, wish_list *list, int i, cln_error *err)
{
    const cln_net *net = plan->net;
    cln_node *node = &plan->nodes[i];
    const int end = cln_fusion_end(plan, i), last_time = 2 * net->n_layers + 3;
    const size_t bytes = cln_shape_count(net->layers[end].out) * sizeof(float);
    const cln_memory m = memory_of(plan, i);
    const bool deferred = node->stage && node->stage->deferred;
    int first, last;
    int rc = wish(list, &node->y, deferred ? 0 : bytes, i + 1, value_death(plan, i, end), plan, i, "the output", err);
    cln_fusion_readers(net, end, &first, &last);
    if (!rc && !plan->options.inference && overwriter_of(plan, i) < 0)
        rc = wish(list, &node->dy, bytes, last < 0 ? net->n_layers + 1 : back_time(plan, last), gradient_death(plan, i),
                  plan, i, "the gradient of the output", err);
    for (int k = 0; k < CLN_MAX_SAVED && !rc; k++) /* whole life: some are filled once, at build */
        rc = wish(list, &node->saved[k], m.saved[k], -1, last_time, plan, i, "the workspace", err);
    return rc;
}

static int place_activations(cln_plan *plan, cln_error *err)
{
    const cln_net *net = plan->net;
    wish_list list = {0};
    size_t scratch = 0;
    const size_t input = cln_shape_count(net->input) * sizeof(float);
    int rc = wish(&list, &plan->input, input, 0, value_death(plan, -1, -1), plan, -1, "the input batch", err);
    for (int i = 0; i < net->n_layers && !rc; i++) {
        if (plan->nodes[i].skip)
            continue;
        const cln_memory m = memory_of(plan, i);
        scratch = m.scratch > scratch ? m.scratch : scratch;
        for (int k = 0; k < CLN_MAX_SAVED; k++)
            plan->memory.workspace += m.saved[k];
        rc = wish_node(plan, &list, i, err);
    }
    if (!rc)
        rc = wish(&list, &plan->scratch, scratch, 0, 2 * net->n_layers + 3, plan, -1, "the shared workspace", err);
    if (!rc)
        rc = plan->paper ? cln_arena_measure(&plan->arena, plan->dev, list.items, list.count, net->input.n, err)
                         : cln_arena_place(&plan->arena, plan->dev, list.items, list.count, net->input.n,
                                           plan->options.guard, err);
    plan->bytes += plan->arena.bytes;
    plan->memory.workspace += scratch;
    plan->memory.activations += rc ? 0 : plan->arena.bytes - plan->memory.workspace; /* which lives all the time */
    free(list.items);
    return rc;
}

/* Connects every node to the tensors of its neighbours. */
static void connect(cln_plan *plan)
{
    const cln_tensor none = {0};
    const cln_net *net = plan->net;
    for (int i = net->n_layers - 1; i >= 0; i--) { /* whoever overwrites comes later */
        const int over = plan->nodes[i].skip ? -1 : overwriter_of(plan, i);
        if (over >= 0)
            plan->nodes[i].dy = plan->nodes[over].dy;
    }
    for (int i = 0; i < net->n_layers; i++) {
        cln_node *node = &plan->nodes[i];
        node->zeros = plan->zeros;
        node->scratch = plan->scratch;
        for (int k = 0; k < net->layers[i].n_inputs; k++) {
            const int from = net->layers[i].input[k], owner = cln_fusion_owner(plan, from);
            int first, last;
            node->x[k] = owner < 0 ? plan->input : node->applies ? plan->nodes[owner].x[0] : plan->nodes[owner].y;
            node->dx[k] = owner < 0 ? none : plan->nodes[owner].dy;
            cln_fusion_readers(net, from, &first, &last);
            /* backward runs from the last layer down: the last consumer writes, the others add */
            node->accumulate[k] = i != last || (k == 1 && net->layers[i].input[0] == from);
        }
    }
    const cln_node *end = &plan->nodes[cln_fusion_owner(plan, net->n_layers - 1)];
    plan->logits = end->y;
    plan->dlogits = end->dy;
}

/* ---- the plan ------------------------------------------------------------------------------------ */

static int resolve(cln_plan *plan, cln_error *err)
{
    const cln_device_info *info = &plan->dev->info;
    int rc = cln_tuning_load(plan->dev, err);
    if (rc)
        return rc;
    for (int i = 0; i < plan->net->n_layers; i++) {
        const cln_layer *layer = &plan->net->layers[i];
        cln_node *node = &plan->nodes[i];
        node->layer = layer;
        node->dev = plan->dev;
        node->inference = plan->options.inference;
        node->tune.cls = cln_tune_class(info, &plan->options.tune);
        node->tune.v = cln_tune_width(info, node->tune.cls, layer->in[0].c);
        node->tune.local = node->tune.cls == CLN_CLASS_VECTOR ? 1 : 64;
        if (layer->op->resolve)
            layer->op->resolve(node, &plan->options.tune);
    }
    return CLN_OK;
}

static int build(cln_plan *plan, cln_error *err)
{
    int rc = CLN_OK;
    for (int i = 0; i < plan->net->n_layers && !rc; i++) {
        cln_node *node = &plan->nodes[i];
        if (!node->skip && node->layer->op->build)
            rc = node->layer->op->build(node, err);
    }
    return rc;
}

/* Everything up to memory. */
static int begin(cln_device *dev, const cln_net *net, const cln_plan_options *options, bool paper, cln_plan **out,
                 cln_error *err)
{
    cln_plan *plan = calloc(1, sizeof *plan);
    int rc = CLN_OK;
    if (!plan)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory");
    plan->dev = dev;
    plan->net = net;
    plan->options = *options;
    plan->paper = paper;
    plan->nodes = calloc((size_t)net->n_layers, sizeof *plan->nodes);
    plan->stages = calloc((size_t)net->n_layers, sizeof *plan->stages);
    if (!plan->nodes || !plan->stages)
        rc = CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory");
    if (!rc)
        rc = resolve(plan, err);
    if (!rc) {
        cln_fuse(plan);
        rc = place_parameters(plan, err);
    }
    if (!rc)
        rc = place_activations(plan, err);
    if (rc) {
        cln_plan_free(plan);
        return rc;
    }
    *out = plan;
    return CLN_OK;
}

int cln_plan_new(cln_device *dev, const cln_net *net, const cln_plan_options *options, cln_plan **out,
                 cln_error *err)
{
    cln_plan *plan = NULL;
    int rc = begin(dev, net, options, false, &plan, err);
    if (!plan)
        return rc;
    connect(plan);
    rc = build(plan, err);
    if (rc) {
        cln_plan_free(plan);
        return rc;
    }
    *out = plan;
    return CLN_OK;
}

int cln_plan_measure(cln_device *dev, const cln_net *net, const cln_plan_options *options, cln_plan_memory *out,
                     cln_error *err)
{
    cln_plan *plan = NULL;
    int rc = begin(dev, net, options, true, &plan, err);
    if (!rc)
        *out = plan->memory;
    cln_plan_free(plan);
    return rc;
}

void cln_plan_free(cln_plan *plan)
{
    if (!plan)
        return;
    for (int i = 0; plan->nodes && i < plan->net->n_layers; i++) {
        cln_node *node = &plan->nodes[i];
        if (node->layer && node->layer->op->destroy)
            node->layer->op->destroy(node);
        for (int k = 0; k < CLN_MAX_PARAMS; k++) {
            cln_tensor_free(&node->param[k]);
            cln_tensor_free(&node->grad[k]);
        }
        for (int k = 0; k < CLN_MAX_STATES; k++)
            cln_tensor_free(&node->state[k]);
    }
    cln_arena_free(&plan->arena);
    cln_tensor *whole[] = {&plan->weights, &plan->grads, &plan->states, &plan->zeros};
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++)
        cln_tensor_free(whole[i]);
    free(plan->nodes);
    free(plan->stages);
    free(plan->slots);
    free(plan);
}

int cln_plan_forward(cln_plan *plan, const cln_pass *pass, cln_error *err)
{
    int rc = CLN_OK;
    for (int i = 0; i < plan->net->n_layers && !rc; i++)
        if (!plan->nodes[i].skip)
            rc = plan->net->layers[i].op->forward(&plan->nodes[i], pass, err);
    return rc;
}

int cln_plan_backward(cln_plan *plan, const cln_pass *pass, cln_error *err)
{
    int rc = CLN_OK;
    for (int i = plan->net->n_layers - 1; i >= 0 && !rc; i--)
        if (!plan->nodes[i].skip)
            rc = plan->net->layers[i].op->backward(&plan->nodes[i], pass, err);
    return rc;
}

int cln_plan_touch(cln_plan *plan, const cln_pass *pass, cln_error *err)
{
    int rc = CLN_OK;
    for (int i = 0; i < plan->net->n_layers && !rc; i++)
        if (!plan->nodes[i].skip)
            rc = plan->net->layers[i].op->backward(&plan->nodes[i], pass, err);
    for (int i = plan->net->n_layers - 1; i >= 0 && !rc; i--)
        if (!plan->nodes[i].skip)
            rc = plan->net->layers[i].op->forward(&plan->nodes[i], pass, err);
    return rc;
}

/* What all share, then one line a layer; conv-like layers name their algorithms, others their vector width (in the SIMT
 * class that of the sums: see cln_tune_wide). */
char *cln_plan_describe(const cln_plan *plan)
{
    const size_t room = (size_t)plan->net->n_layers * 128 + 128;
    const cln_tune *first = &plan->nodes[0].tune;
    char *text = malloc(room);
    if (!text)
        return NULL;
    size_t at = (size_t)snprintf(text, room, "images=%d class=%s width=%u local=%d\n", plan->net->input.n,
                                 first->cls == CLN_CLASS_VECTOR ? "vector" : "simt",
                                 (unsigned)plan->dev->info.vector_width, first->local);
    for (int i = 0; i < plan->net->n_layers; i++) {
        const cln_node *node = &plan->nodes[i];
        const cln_layer *layer = node->layer;
        at += (size_t)snprintf(text + at, room - at, "%d %s", i, layer->op->word);
        if (node->skip)
            at += (size_t)snprintf(text + at, room - at, " fused\n");
        else if (layer->op->resolve)
            at += (size_t)snprintf(text + at, room - at, " fwd=%s bwd_data=%s bwd_params=%s%s%s%s%s%s\n",
                                   cln_conv_algo_name(node->tune.fwd),
                                   node->dx[0].mem ? cln_conv_algo_name(node->tune.bwd_data) : "-",
                                   cln_conv_algo_name(node->tune.bwd_params), node->stats_for ? " +stats" : "",
                                   node->sums_for ? " +sums" : "", node->applies ? node->applies->merged ? " +merge" : " +apply" : "",
                                   node->finishes ? " +finish" : "", node->behind ? " +dz" : "");
        else
            at += (size_t)snprintf(text + at, room - at, " class=%s v=%d\n",
                                   node->tune.cls == CLN_CLASS_VECTOR ? "vector" : "simt", node->tune.v);
    }
    return text;
}
