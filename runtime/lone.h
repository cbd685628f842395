/* One layer on a device without a network or a plan: every tensor alone between guard bands,
 * filled with NaN.
 *
 *     cln_lone t;
 *     rc = cln_lone_new(&t, dev, "conv 16 k=3 bias=1", (cln_shape){2, 8, 8, 3}, NULL, NULL, NULL, &err);
 *     cln_lone_write(&t, t.node.x[0], x, &err); ... cln_lone_forward(&t, &pass, &err); cln_lone_read(...)
 *
 * Functions return 0 or a negative CLN_ERR_* code. */
#ifndef CLN_LONE_H
#define CLN_LONE_H

#include "arena.h"
#include "op.h"

typedef struct cln_lone {
    cln_layer layer;
    cln_params params;
    cln_node node;
    cln_stage stage; /* a host's own: relu and pool may be set through `setup` */
    cln_arena arena;
    cln_tensor zeros;
} cln_lone;

/* What a test may change between shape inference and memory: tune, accumulate, stage. */
typedef void (*cln_lone_setup)(cln_lone *t, void *arg);

/* The layer that `line` describes ("word [first] [name=value ...]") over images of `in`, two of
 * them for a layer with two inputs, unless the line says "HxWxC" of the second. request: NULL leaves the table's choice. `setup` may be NULL.
 * *t is to be released with cln_lone_free, on failure too. dx is wanted for every input. */
int cln_lone_new(cln_lone *t, cln_device *dev, const char *line, cln_shape in,
                      const cln_tune_request *request, cln_lone_setup setup, void *arg,
                      cln_error *err);
void cln_lone_free(cln_lone *t);

/* Parses and infers the shape alone: no device. */
int cln_lone_layer(cln_layer *layer, const char *line, cln_shape in, cln_error *err);

/* Fills every tensor with NaN again. */
int cln_lone_poison(cln_lone *t, cln_error *err);

/* Whole tensors, blocking. */
int cln_lone_write(cln_lone *t, cln_tensor tensor, const float *values, cln_error *err);
int cln_lone_read(cln_lone *t, cln_tensor tensor, float *values, cln_error *err);

/* Runs, waits and checks every guard band: an overrun is CLN_ERR_INTERNAL and names the tensor. */
int cln_lone_forward(cln_lone *t, const cln_pass *pass, cln_error *err);
int cln_lone_backward(cln_lone *t, const cln_pass *pass, cln_error *err);

#endif
