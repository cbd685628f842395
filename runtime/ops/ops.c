/* The table of all layers. A new kind of layer is a line here and a file beside this one. */
#include "op.h"

#include <math.h>
#include <string.h>

extern const cln_op cln_op_conv, cln_op_dwconv, cln_op_dense, cln_op_maxpool, cln_op_avgpool,
    cln_op_gap, cln_op_bn, cln_op_ln, cln_op_gn, cln_op_in, cln_op_none, cln_op_relu, cln_op_add,
    cln_op_dropout, cln_op_sigmoid, cln_op_scale,
    cln_op_silu, cln_op_celu, cln_op_gelu;

const cln_op *const cln_ops[] = {
    &cln_op_conv,  &cln_op_dwconv, &cln_op_dense, &cln_op_maxpool, &cln_op_avgpool,
    &cln_op_gap,   &cln_op_bn,     &cln_op_ln,    &cln_op_gn,      &cln_op_in,
    &cln_op_none,  &cln_op_relu,   &cln_op_add,   &cln_op_dropout, &cln_op_sigmoid,
    &cln_op_scale, &cln_op_silu, &cln_op_celu, &cln_op_gelu, NULL,
};

const cln_op *cln_op_find(const char *word)
{
    for (int i = 0; cln_ops[i]; i++)
        if (strcmp(cln_ops[i]->word, word) == 0)
            return cln_ops[i];
    return NULL;
}

double cln_layer_attr(const cln_layer *layer, const char *name)
{
    for (int i = 0; layer->op->attrs && layer->op->attrs[i].name; i++)
        if (strcmp(layer->op->attrs[i].name, name) == 0)
            return layer->attr[i];
    return NAN; /* not reached: the name exists by contract */
}
