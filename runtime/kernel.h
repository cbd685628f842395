/* Kernels and launches. A launch is one line with typed arguments:
 *     cln_run(k, cln_range1(count, 64), err, CLN_MEM(x), CLN_MEM(y), CLN_INT(count), CLN_FLOAT(eps)) */
#ifndef CLN_KERNEL_H
#define CLN_KERNEL_H

#include "program.h"
#include "tensor.h"

typedef struct cln_kernel {
    cln_device *dev;
    cl_kernel id;
    char name[48];
    cl_uint n_args;      /* CL_KERNEL_NUM_ARGS */
    size_t max_local;    /* of a work-group: what the kernel asks for (reqd_work_group_size), else
                            CL_KERNEL_WORK_GROUP_SIZE of the built kernel, no more than the device has */
    cl_ulong local_bytes; /* CL_KERNEL_LOCAL_MEM_SIZE; asked for only where limits are simulated */
} cln_kernel;

/* Kernel `name` of `file` built with `options` (see cln_program_get). */
int cln_kernel_new(cln_device *dev, const char *file, const char *name, const char *options,
                   cln_kernel *out, cln_error *err);
void cln_kernel_free(cln_kernel *k); /* clears; a cleared one is allowed */

/* Work-items wanted and the local size. The launch rounds `global` up to a multiple of the local size
 * (kernels guard their bounds) and halves the local size while it exceeds what the built kernel allows. */
typedef struct cln_range {
    size_t global[3], local[3];
} cln_range;

static inline cln_range cln_range1(size_t x, size_t local)
{
    return (cln_range){{x, 1, 1}, {local, 1, 1}};
}
static inline cln_range cln_range3(size_t x, size_t y, size_t z, size_t local_x)
{
    return (cln_range){{x, y, z}, {local_x, 1, 1}};
}

typedef struct cln_arg {
    enum { CLN_ARG_MEM, CLN_ARG_INT, CLN_ARG_UINT, CLN_ARG_FLOAT, CLN_ARG_LOCAL } kind;
    union {
        cl_mem mem;
        cl_int i;
        cl_uint u;
        cl_float f;
        size_t bytes;
    } v;
} cln_arg;

/* An absent tensor passes a NULL buffer argument, which OpenCL allows for global pointers. */
static inline cln_arg CLN_MEM(cln_tensor t) { return (cln_arg){CLN_ARG_MEM, {.mem = t.mem}}; }
static inline cln_arg CLN_INT(int i) { return (cln_arg){CLN_ARG_INT, {.i = i}}; }
static inline cln_arg CLN_UINT(uint32_t u) { return (cln_arg){CLN_ARG_UINT, {.u = u}}; }
static inline cln_arg CLN_FLOAT(double f) { return (cln_arg){CLN_ARG_FLOAT, {.f = (cl_float)f}}; }
static inline cln_arg CLN_LOCAL(size_t bytes) { return (cln_arg){CLN_ARG_LOCAL, {.bytes = bytes}}; } /* local memory */

/* Sets the arguments (their number is checked against the kernel's) and enqueues; does not wait.
 * A global size of 0 in any dimension is a no-op. Errors name the kernel. */
int cln_kernel_launch(const cln_kernel *k, cln_range range, const cln_arg *args, size_t n_args,
                      cln_error *err);

#define cln_run(k, range, err, ...)                                                            \
    cln_kernel_launch((k), (range), (const cln_arg[]){__VA_ARGS__},                            \
                      sizeof((const cln_arg[]){__VA_ARGS__}) / sizeof(cln_arg), (err))

/* Kernel times: when dev->profile is set, each launch keeps its event; cln_profile_collect waits, adds
 * the times per kernel name, and releases the events. (Needs cln_device_open(..., profiling=true).) */
typedef struct cln_profile_row {
    char name[48];
    size_t launches;
    double seconds;
} cln_profile_row;
int cln_profile_start(cln_device *dev, cln_error *err);
int cln_profile_collect(cln_device *dev, cln_profile_row **rows, size_t *count, cln_error *err);
/* Seconds in which the device ran none of the kernels collected so far, from the first one's start to the last one's
 * end: what it takes to begin a kernel behind another one. */
double cln_profile_between(const cln_device *dev);
void cln_profile_stop(cln_device *dev);

#endif
