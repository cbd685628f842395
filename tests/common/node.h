/* One layer on a device without a network or a plan: every tensor alone between guard bands,
 * filled with NaN.
 *
 *     cln_test_node t;
 *     rc = cln_test_node_new(&t, dev, "conv 16 k=3 bias=1", (cln_shape){2, 8, 8, 3}, NULL, NULL, NULL, &err);
 *     cln_test_write(&t, t.node.x[0], x, &err); ... cln_test_forward(&t, &pass, &err); cln_test_read(...)
 *
 * Functions return 0 or a negative CLN_ERR_* code. */
#ifndef CLN_TEST_NODE_H
#define CLN_TEST_NODE_H

#include "arena.h"
#include "op.h"

typedef struct cln_test_node {
    cln_layer layer;
    cln_params params;
    cln_node node;
    cln_stage stage; /* a host's own: relu and pool may be set through `setup` */
    cln_arena arena;
    cln_tensor zeros;
} cln_test_node;

/* What a test may change between shape inference and memory: tune, accumulate, stage. */
typedef void (*cln_test_setup)(cln_test_node *t, void *arg);

/* The layer that `line` describes ("word [first] [name=value ...]") over images of `in`, two of
 * them for a layer with two inputs. request: NULL leaves the table's choice. `setup` may be NULL.
 * *t is to be released with cln_test_node_free, on failure too. dx is wanted for every input. */
int cln_test_node_new(cln_test_node *t, cln_device *dev, const char *line, cln_shape in,
                      const cln_tune_request *request, cln_test_setup setup, void *arg,
                      cln_error *err);
void cln_test_node_free(cln_test_node *t);

/* Parses and infers the shape alone: no device. */
int cln_test_layer(cln_layer *layer, const char *line, cln_shape in, cln_error *err);

/* Fills every tensor with NaN again. */
int cln_test_poison(cln_test_node *t, cln_error *err);

/* Whole tensors, blocking. */
int cln_test_write(cln_test_node *t, cln_tensor tensor, const float *values, cln_error *err);
int cln_test_read(cln_test_node *t, cln_tensor tensor, float *values, cln_error *err);

/* Runs, waits and checks every guard band: an overrun is CLN_ERR_INTERNAL and names the tensor. */
int cln_test_forward(cln_test_node *t, const cln_pass *pass, cln_error *err);
int cln_test_backward(cln_test_node *t, const cln_pass *pass, cln_error *err);

/* count floats in (-1, 1), the same for the same seed; malloc'ed, or the test process aborts. */
float *cln_test_random(size_t count, uint32_t seed);

typedef struct cln_test_difference {
    double nmse; /* sum (got - want)^2 / sum want^2 */
    double max;  /* max |got - want| / max |want| */
    bool finite; /* no NaN and no infinity in got */
} cln_test_difference;
cln_test_difference cln_test_compare(const float *got, const double *want, size_t count);

#endif
