#include "lone.h"

#include "tuning.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ZEROS_BYTES = 4096, MAX_ITEMS = 24 };

/* ---- the layer ------------------------------------------------------------------------------- */

static int set_attr(cln_layer *layer, const char *word, int position, cln_error *err)
{
    const cln_attr *attrs = layer->op->attrs;
    const char *equals = strchr(word, '=');
    const size_t length = equals ? (size_t)(equals - word) : 0;
    for (int i = 0; attrs && attrs[i].name; i++) {
        const bool named =
            equals && strlen(attrs[i].name) == length && !strncmp(attrs[i].name, word, length);
        if (named || (!equals && i == 0 && position == 0)) {
            layer->attr[i] = strtod(equals ? equals + 1 : word, NULL);
            return CLN_OK;
        }
    }
    return CLN_FAIL(err, CLN_ERR_MODEL, "%s has no attribute for '%s'", layer->op->word, word);
}

int cln_lone_layer(cln_layer *layer, const char *line, cln_shape in, cln_error *err)
{
    char text[160], *next = NULL;
    memset(layer, 0, sizeof *layer);
    snprintf(text, sizeof text, "%s", line);
    char *word = strtok_r(text, " ", &next);
    layer->op = cln_op_find(word ? word : "");
    if (!layer->op)
        return CLN_FAIL(err, CLN_ERR_MODEL, "no layer '%s'", line);
    layer->n_inputs = layer->op->inputs;
    layer->index = 3; /* not 0, so that what depends on it shows */
    for (int k = 0; k < layer->n_inputs; k++) {
        layer->input[k] = k;
        layer->in[k] = in;
    }
    for (int i = 0; layer->op->attrs && layer->op->attrs[i].name; i++)
        layer->attr[i] = layer->op->attrs[i].value;
    for (int position = 0; (word = strtok_r(NULL, " ", &next)); position++) {
        cln_shape *last = &layer->in[layer->n_inputs - 1];
        if (layer->n_inputs > 1 && sscanf(word, "%dx%dx%d", &last->h, &last->w, &last->c) == 3)
            continue;
        int rc = set_attr(layer, word, position, err);
        if (rc)
            return rc;
    }
    layer->out = in;
    return layer->op->shape ? layer->op->shape(layer, err) : CLN_OK;
}

/* ---- the node -------------------------------------------------------------------------------- */

typedef struct item_list {
    cln_arena_item items[MAX_ITEMS];
    int count;
} item_list;

static void wish(item_list *list, cln_tensor *tensor, size_t count, const char *what, int index)
{
    cln_arena_item *item = &list->items[list->count];
    if (!count)
        return;
    list->count++;
    *item = (cln_arena_item){.tensor = tensor, .bytes = count * sizeof(float)};
    snprintf(item->what, sizeof item->what, "%s %d", what, index);
}

static int place(cln_lone *t, cln_error *err)
{
    cln_node *node = &t->node;
    const cln_layer *layer = &t->layer;
    item_list list = {.count = 0};
    cln_memory memory = {0};
    if (layer->op->params)
        layer->op->params(layer, &t->params);
    if (layer->op->memory)
        layer->op->memory(node, &memory);
    for (int k = 0; k < layer->n_inputs; k++) {
        wish(&list, &node->x[k], cln_shape_count(layer->in[k]), "x", k);
        wish(&list, &node->dx[k], cln_shape_count(layer->in[k]), "dx", k);
    }
    cln_shape out = layer->out;
    if (node->stage) {
        out.h /= node->stage->pool;
        out.w /= node->stage->pool;
    }
    wish(&list, &node->y, cln_shape_count(out), "y", 0);
    wish(&list, &node->dy, cln_shape_count(out), "dy", 0);
    for (int k = 0; k < t->params.n_params; k++) {
        wish(&list, &node->param[k], cln_param_count(&t->params.param[k]), "param", k);
        wish(&list, &node->grad[k], cln_param_count(&t->params.param[k]), "grad", k);
    }
    for (int k = 0; k < t->params.n_states; k++)
        wish(&list, &node->state[k], cln_param_count(&t->params.state[k]), "state", k);
    for (int k = 0; k < CLN_MAX_SAVED; k++)
        wish(&list, &node->saved[k], (memory.saved[k] + 3) / 4, "saved", k);
    wish(&list, &node->scratch, (memory.scratch + 3) / 4, "scratch", 0);
    return cln_arena_place(&t->arena, node->dev, list.items, list.count, layer->in[0].n, true, err);
}

int cln_lone_new(cln_lone *t, cln_device *dev, const char *line, cln_shape in,
                      const cln_tune_request *request, cln_lone_setup setup, void *arg,
                      cln_error *err)
{
    const cln_tune_request automatic = {CLN_CLASS_AUTO, -1};
    memset(t, 0, sizeof *t);
    int rc = cln_tuning_load(dev, err);
    if (!rc)
        rc = cln_lone_layer(&t->layer, line, in, err);
    if (rc)
        return rc;
    cln_node *node = &t->node;
    request = request ? request : &automatic;
    node->layer = &t->layer;
    node->dev = dev;
    node->tune.cls = cln_tune_class(&dev->info, request);
    node->tune.v = cln_tune_width(&dev->info, node->tune.cls, in.c);
    node->tune.local = node->tune.cls == CLN_CLASS_VECTOR ? 1 : 64;
    if (t->layer.op->resolve)
        t->layer.op->resolve(node, request);
    if (t->layer.op->host) {
        node->stage = &t->stage;
        t->stage = (cln_stage){.norm = t->layer.op->params != NULL, .pool = 1};
        const cln_absorb own = t->layer.op->absorb ? t->layer.op->absorb(&t->layer) : CLN_ABSORB_NO;
        t->stage.relu = own == CLN_ABSORB_RELU;
        t->stage.smooth = cln_absorb_smooth(own);
    }
    if (setup)
        setup(t, arg);
    rc = place(t, err);
    if (!rc)
        rc = cln_tensor_new(dev, ZEROS_BYTES, "zeros", &t->zeros, err);
    if (!rc)
        rc = cln_tensor_fill(dev, t->zeros, 0, err);
    if (!rc)
        rc = cln_arena_poison(&t->arena, err);
    node->zeros = t->zeros;
    return !rc && t->layer.op->build ? t->layer.op->build(node, err) : rc;
}

void cln_lone_free(cln_lone *t)
{
    if (t->node.dev)
        cln_device_finish(t->node.dev, NULL);
    if (t->layer.op && t->layer.op->destroy)
        t->layer.op->destroy(&t->node);
    cln_arena_free(&t->arena);
    cln_tensor_free(&t->zeros);
    memset(t, 0, sizeof *t);
}

int cln_lone_poison(cln_lone *t, cln_error *err)
{
    return cln_arena_poison(&t->arena, err);
}

int cln_lone_write(cln_lone *t, cln_tensor tensor, const float *values, cln_error *err)
{
    return cln_tensor_write(t->node.dev, tensor, 0, values, tensor.bytes, err);
}

int cln_lone_read(cln_lone *t, cln_tensor tensor, float *values, cln_error *err)
{
    return cln_tensor_read(t->node.dev, tensor, 0, values, tensor.bytes, err);
}

static int check(cln_lone *t, int rc, cln_error *err)
{
    if (!rc)
        rc = cln_device_finish(t->node.dev, err);
    return rc ? rc : cln_arena_check(&t->arena, err);
}

int cln_lone_forward(cln_lone *t, const cln_pass *pass, cln_error *err)
{
    return check(t, t->layer.op->forward(&t->node, pass, err), err);
}

int cln_lone_backward(cln_lone *t, const cln_pass *pass, cln_error *err)
{
    return check(t, t->layer.op->backward(&t->node, pass, err), err);
}
