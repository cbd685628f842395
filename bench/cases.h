/* Where cases come from: a layer alone, or a stage of a network as its plan runs it. */
#ifndef CLN_BENCH_CASES_H
#define CLN_BENCH_CASES_H

#include "bench.h"
#include "lone.h"
#include "plan.h"

/* ---- a layer alone ---------------------------------------------------------------------------------- */

typedef struct cln_bench_lone {
    cln_lone lone;
    cln_bench_case cases[CLN_COST_KINDS]; /* what it has of forward, backward-data (or backward), backward-params */
    struct cln_bench_way {
        struct cln_bench_lone *of;
        int direction;                    /* CLN_COST_* */
        unsigned skip;
    } ways[CLN_COST_KINDS];
    int n_cases;
} cln_bench_lone;

/* Places the layer that `line` describes over images of `in`, filled with random numbers, runs it once, and makes its
 * cases: view, `what` and `norm` go into their names. A layer with weights apart from a norm's has its backward pass
 * in two; all others have one row "backward". `data`: the layer reads the data, nobody wants dx. NULL request: the
 * table's choice. To be cleared with cln_bench_lone_clear, on failure too; it must not move in memory. */
int cln_bench_lone_new(cln_bench_lone *l, cln_device *dev, const char *view, const char *what, const char *norm,
                       const char *line, cln_shape in, const cln_tune_request *request, bool data, cln_error *err);
void cln_bench_lone_clear(cln_bench_lone *l);

/* The layer as a line for cln_lone_new with every attribute named; and its tensors filled with random numbers, the same at
 * every run. */
void cln_bench_layer_line(const cln_layer *layer, char *out, size_t size);
int cln_bench_lone_fill(cln_lone *l, cln_error *err);

/* ---- the stages of a network ------------------------------------------------------------------------ */

enum { CLN_BENCH_UNIT_MAX = 8 };

/* What the plan runs for one norm in its place, so that every kernel of a step belongs to one unit: forward, the
 * convolution and the norm with what it absorbed; backward, the backward-data of the layers behind (where dy is made,
 * and the norm's sums with it), the norm, and the convolution's backward-params. */
typedef struct cln_bench_unit {
    cln_plan *plan;
    char what[64];                  /* "3.conv+norm+relu" */
    int forward[CLN_BENCH_UNIT_MAX], n_forward;
    struct {
        int node;
        unsigned skip;
    } backward[CLN_BENCH_UNIT_MAX];
    int n_backward;
    bool has_norm;                  /* one stands in it (or would) */
    char shape[64];
    cln_cost cost[2];               /* forward, backward */
} cln_bench_unit;

/* The units of a plan in the order of their layers; *out is malloc'ed, free is enough. */
int cln_bench_units(cln_plan *plan, cln_bench_unit **out, int *count, cln_error *err);

/* Enqueues a unit's forward or backward; for cln_bench_case.run, with arg a cln_bench_unit. */
int cln_bench_unit_forward(void *unit, cln_error *err);
int cln_bench_unit_backward(void *unit, cln_error *err);

/* "16->32 3x3 32x32" for layers with weights, "32x32x16" else. */
void cln_bench_shape_text(const cln_layer *layer, char *out, size_t size);

#endif
