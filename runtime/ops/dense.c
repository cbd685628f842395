/* The dense (fully connected) layer: y[n,o] = b[o] + sum over i of x[n,i] * w[i,o], a 1x1
 * convolution over an image of one pixel with h*w*c channels. The inputs are numbered as they lie:
 * height, width, channels. For h = w = 1 (behind gap) that is PyTorch's Linear; otherwise Linear's
 * weight, which counts channels, height, width, has its inputs in another order. */
#include "conv.h"

#include <limits.h>
#include <math.h>

extern const cln_op cln_op_dense;

static cln_conv_shape shape_of(const cln_layer *layer)
{
    const cln_shape in = layer->in[0];
    return (cln_conv_shape){.h = 1,
                            .w = 1,
                            .ci = in.h * in.w * in.c,
                            .ho = 1,
                            .wo = 1,
                            .co = cln_layer_int(layer, "c"),
                            .k = 1,
                            .stride = 1,
                            .pad = 0,
                            .bias = cln_layer_int(layer, "bias") != 0};
}

static int shape_dense(cln_layer *layer, cln_error *err)
{
    const cln_shape in = layer->in[0];
    const int c = cln_layer_int(layer, "c");
    if ((double)in.h * in.w * in.c * c > INT_MAX)
        return CLN_FAIL(err, CLN_ERR_MODEL, "%dx%dx%d inputs and %d outputs are too many weights",
                        in.h, in.w, in.c, c);
    layer->out = (cln_shape){in.n, 1, 1, c};
    return CLN_OK;
}

static void params_dense(const cln_layer *layer, cln_params *out)
{
    const cln_conv_shape s = shape_of(layer);
    out->param[0] = (cln_param){"weight", {s.ci, s.co}, 2, CLN_INIT_KAIMING, s.ci, true};
    out->param[1] = (cln_param){"bias", {s.co}, 1, CLN_INIT_ZERO, 0, false};
    out->n_params = s.bias ? 2 : 1;
}

static void cost_dense(const cln_layer *layer, cln_cost cost[CLN_COST_KINDS])
{
    const cln_conv_shape s = shape_of(layer);
    cln_conv_cost(&s, layer->in[0].n, cost);
}

static void resolve_dense(cln_node *node, const cln_tune_request *request)
{
    const cln_conv_shape s = shape_of(node->layer);
    cln_conv_resolve(node, &s, request);
}

static void memory_dense(const cln_node *node, cln_memory *out)
{
    const cln_conv_shape s = shape_of(node->layer);
    cln_conv_memory(node, &s, out);
}

static int build_dense(cln_node *node, cln_error *err)
{
    const cln_conv_shape s = shape_of(node->layer);
    return cln_conv_build(node, &s, err);
}

static const cln_attr attrs_dense[] = {
    {"c", NAN, 1, 65536, true, "outputs; $classes in the last layer"},
    {"bias", 1, 0, 1, true, "1: adds a trained constant to each output"},
    {0}};

const cln_op cln_op_dense = {
    .word = "dense",
    .help = "fully connected layer over all of height, width and channels",
    .attrs = attrs_dense,
    .inputs = 1,
    .shape = shape_dense,
    .params = params_dense,
    .cost = cost_dense,
    .resolve = resolve_dense,
    .memory = memory_dense,
    .build = build_dense,
    .destroy = cln_conv_destroy,
    .forward = cln_conv_forward,
    .backward = cln_conv_backward,
    .finishes = cln_conv_finishes,
};
