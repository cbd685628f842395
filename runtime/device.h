/* One OpenCL device, its context and its single in-order queue. Only program.c and kernel.c build
 * programs or launch kernels; only tensor.c makes buffers. */
#ifndef CLN_DEVICE_H
#define CLN_DEVICE_H

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

#include "error.h"

/* What the device says of itself (sizes in bytes). Filled by cln_device_list and cln_device_open. */
typedef struct cln_device_info {
    int index, platform, number;        /* flat index; platform and index within it */
    char model[128], vendor[128], driver[64], version[64], platform_name[128], platform_version[128];
    char name[288];                     /* the model, and what is simulated, so that no report passes for another's */
    char simulated[128];                /* "": nothing; else the limits of $CLNORM_SIMULATE (see simulate.h) */
    cl_device_type type;
    cl_uint compute_units;
    cl_uint vector_width;               /* native float vector width, at least 1 */
    cl_ulong global_mem, max_alloc, local_mem;
    size_t max_local_size;              /* CL_DEVICE_MAX_WORK_GROUP_SIZE */
    size_t max_items[3];                /* CL_DEVICE_MAX_WORK_ITEM_SIZES: local size for each dimension */
    size_t base_align;                  /* CL_DEVICE_MEM_BASE_ADDR_ALIGN in BYTES, for sub-buffers */
    bool local_is_global;               /* local memory is ordinary memory (PoCL, Mali): do not tile through it */
    bool unified;                       /* CL_DEVICE_HOST_UNIFIED_MEMORY */
    cl_int fault;                       /* status of the first query that failed, else CL_SUCCESS: it cannot be opened */
    cl_platform_id platform_id;
    cl_device_id device_id;
} cln_device_info;

struct cln_program;
struct cln_tuning;

typedef struct cln_device {
    cln_device_info info;
    cl_context context;
    cl_command_queue queue;
    struct cln_program *programs;       /* every program built so far; see program.h */
    void (*notice)(void *arg, const char *text); /* e.g. "compiling kernels ..."; may be NULL */
    void *notice_arg;
    bool cold;                          /* a notice about a cold compile was given already */
    unsigned unflushed;                 /* launches since the last clFlush; see kernel.c */
    size_t made;                        /* bytes of all buffers so far, also of those that are gone; see tensor.c */
    struct cln_tuning *tuning;          /* read at the first need; see tuning.h */
    struct cln_profile *profile;        /* NULL unless kernel times are collected; see kernel.h */
} cln_device;

/* All devices of all platforms in a fixed order (platform order, then device order).
 * *list is malloc'ed, caller frees. No platform at all (-1001 or zero) is CLN_ERR_DEVICE with a text
 * that names the Debian packages to install. */
int cln_device_list(cln_device_info **list, size_t *count, cln_error *err);

/* Index in `list` that `spec` selects: flat index, "platform:device", a type (cpu, gpu, accelerator)
 * or a case-insensitive part of a device name. NULL or "": $CLNORM_DEVICE, else index 0.
 * Unknown or ambiguous: negative code, and a text that lists the choices. */
int cln_device_find(const cln_device_info *list, size_t count, const char *spec, size_t *index,
                    cln_error *err);

/* Context and in-order queue on the device `spec` selects (profiling: queue collects event times).
 * *out is owned by the caller, cln_device_close. */
int cln_device_open(const char *spec, bool profiling, cln_device **out, cln_error *err);

/* The same of a device in a list. */
int cln_device_open_listed(const cln_device_info *info, bool profiling, cln_device **out, cln_error *err);

/* Waits for the queue, releases programs, queue and context. NULL is allowed. */
void cln_device_close(cln_device *dev);

/* Builds and runs a small kernel and checks its result; used by `clnorm devices` and before training
 * (Clover and Rusticl list devices that cannot build). */
int cln_device_probe(cln_device *dev, cln_error *err);

/* Keeps at most two steps in flight: waits for the end of the step before the last, then marks and flushes the
 * end of this one. Begins as {0}; cleared with cln_pace_clear. */
typedef struct cln_pace {
    cl_event end[2];
    unsigned next;
} cln_pace;
int cln_pace_step(cln_device *dev, cln_pace *pace, cln_error *err);
void cln_pace_clear(cln_pace *pace);

/* Blocks until everything enqueued has run. Never called inside a training step. */
int cln_device_finish(cln_device *dev, cln_error *err);

#endif
