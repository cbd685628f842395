/* From the layers that a person wrote to what the device runs: a plan places every layer on a device,
 * chooses its kernels (tune.h), fuses what may be fused (fusion.h), and owns all memory. */
#ifndef CLN_PLAN_H
#define CLN_PLAN_H

#include "arena.h"
#include "net.h"

typedef struct cln_plan_options {
    cln_tune_request tune;
    bool fuse;
    bool guard;     /* test mode: every tensor in a guarded, NaN-filled buffer of its own */
    bool inference; /* forward only, with running statistics: nothing is kept for a backward pass */
} cln_plan_options;

/* A parameter or state in the plan's buffers; name as in PyTorch: "3.weight". */
typedef struct cln_slot {
    char name[48];
    cln_param param;
    size_t offset, count; /* in floats, in its buffer */
    int layer, which;     /* the layer, and which of its parameters or states */
    bool state;           /* in plan->states; else in plan->weights (and ->grads at the same offset) */
} cln_slot;

/* Bytes on the device, by what they are for. */
typedef struct cln_plan_memory {
    size_t weights, grads, states; /* states: running statistics */
    size_t activations;            /* outputs of layers and their gradients, those that never meet in the same place */
    size_t workspace;              /* of single layers, and the one that they share */
} cln_plan_memory;

typedef struct cln_plan {
    cln_device *dev;
    const cln_net *net;
    cln_plan_options options;
    cln_node *nodes;          /* one a layer */
    cln_stage *stages;        /* one a layer; used by hosts alone */
    cln_tensor input, logits; /* (batch, h, w, c) and (batch, classes) */
    cln_tensor dlogits;       /* absent in an inference plan */
    /* Parameters: those that decay first, then the rest; gaps between them are zero and stay so. */
    cln_tensor weights, grads, states;
    size_t n_weights, n_decay, n_states; /* floats, gaps included */
    cln_slot *slots;
    int n_slots;
    cln_tensor zeros, scratch;
    cln_arena arena;
    size_t bytes;             /* all device memory of the plan */
    cln_plan_memory memory;   /* of which kinds */
    bool paper;               /* sizes alone: nothing was made on the device */
} cln_plan;

/* Places `net` (which must outlive the plan) on `dev`. Parameters are uninitialised: see cln_plan_init.
 * Errors: CLN_ERR_DEVICE_MEMORY names layer, bytes, limit and a batch that fits; CLN_ERR_BUILD. */
int cln_plan_new(cln_device *dev, const cln_net *net, const cln_plan_options *options, cln_plan **out,
                 cln_error *err);
void cln_plan_free(cln_plan *plan);

/* What cln_plan_new would allocate; nothing is, and of `dev` only its description and its tuning table are read. Errors as
 * above. */
int cln_plan_measure(cln_device *dev, const cln_net *net, const cln_plan_options *options, cln_plan_memory *out,
                     cln_error *err);

/* Initial weights by seed: normal(0, sqrt(2 / fan_in)) (He et al. 2015), ones, zeros. Each parameter's
 * numbers depend on the seed and its place among parameters of its kind alone, so that networks that
 * differ in the norm begin from the same convolution weights. */
int cln_plan_init(cln_plan *plan, uint32_t seed, cln_error *err);

/* Enqueue only. forward: input -> logits. backward: dlogits -> grads. */
int cln_plan_forward(cln_plan *plan, const cln_pass *pass, cln_error *err);
int cln_plan_backward(cln_plan *plan, const cln_pass *pass, cln_error *err);

/* Launches the kernels of both, on whatever lies in the buffers, about in the opposite order. For a driver that compiles a
 * kernel at its first launch: see cln_trainer_touch. */
int cln_plan_touch(cln_plan *plan, const cln_pass *pass, cln_error *err);

/* "images=32 class=vector width=16 local=1", then one line per layer, "0 conv fwd=vector bwd_data=- bwd_params=vector
 * +stats": what was resolved. The text is malloc'ed; NULL when out of memory. Part of a run's config: a resumed run must get the same. */
char *cln_plan_describe(const cln_plan *plan);

#endif
