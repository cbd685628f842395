#include "kernel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "simulate.h"

/* Drivers may keep launches to themselves until they are flushed; one call for each costs more than
 * it gains. */
enum { FLUSH_EVERY = 16 };

/* ---- kernels --------------------------------------------------------------------------- */

int cln_kernel_new(cln_device *dev, const char *file, const char *name, const char *options,
                   cln_kernel *out, cln_error *err)
{
    cln_program *program = NULL;
    cl_int status = CL_SUCCESS;
    const char *call = "clCreateKernel";
    char text[160];

    *out = (cln_kernel){.dev = dev};
    if (strlen(name) >= sizeof out->name)
        return CLN_FAIL(err, CLN_ERR_INTERNAL, "the kernel name %s is too long", name);
    int code = cln_program_get(dev, file, options, &program, err);
    if (code)
        return code;
    memcpy(out->name, name, strlen(name) + 1);

    out->id = clCreateKernel(cln_program_id(program), name, &status);
    if (status != CL_SUCCESS) {
        out->id = NULL;
        goto error;
    }
    call = "clGetKernelInfo";
    status = clGetKernelInfo(out->id, CL_KERNEL_NUM_ARGS, sizeof out->n_args, &out->n_args, NULL);
    if (status != CL_SUCCESS)
        goto error;
    call = "clGetKernelWorkGroupInfo";
    status = clGetKernelWorkGroupInfo(out->id, dev->info.device_id, CL_KERNEL_WORK_GROUP_SIZE,
                                      sizeof out->max_local, &out->max_local, NULL);
    if (status != CL_SUCCESS)
        goto error;
    size_t fixed[3] = {0, 0, 0};
    status = clGetKernelWorkGroupInfo(out->id, dev->info.device_id, CL_KERNEL_COMPILE_WORK_GROUP_SIZE, sizeof fixed, fixed,
                                      NULL);
    if (status != CL_SUCCESS)
        goto error;
    if (fixed[0]) /* it was built for this size; Rusticl names a smaller one above all the same */
        out->max_local = fixed[0] * fixed[1] * fixed[2];
    else if (out->max_local > dev->info.max_local_size)
        out->max_local = dev->info.max_local_size;
    if (out->max_local < 1)
        out->max_local = 1;
    if (dev->info.simulated[0])
        status = clGetKernelWorkGroupInfo(out->id, dev->info.device_id, CL_KERNEL_LOCAL_MEM_SIZE,
                                          sizeof out->local_bytes, &out->local_bytes, NULL);
    if (status != CL_SUCCESS)
        goto error;
    return CLN_OK;
error:
    snprintf(text, sizeof text, "kernel %s of %s: %s", name, file, call);
    code = status == CL_INVALID_KERNEL_NAME ? CLN_FAIL(err, CLN_ERR_INTERNAL, "%s: %s (%d)", text,
                                                       cln_cl_status_name(status), status)
                                            : CLN_FAIL_CL(err, status, text);
    cln_kernel_free(out);
    return code;
}

void cln_kernel_free(cln_kernel *k)
{
    if (!k)
        return;
    if (k->id)
        clReleaseKernel(k->id);
    *k = (cln_kernel){0};
}

/* ---- profile --------------------------------------------------------------------------- */

struct cln_profile {
    cln_profile_row *rows; /* one for each kernel name */
    size_t n_rows;
    struct {
        cl_event event;
        size_t row;
    } * pending;
    size_t n_pending, max_pending;
    double between; /* seconds from a kernel's end to the next one's start */
};

int cln_profile_start(cln_device *dev, cln_error *err)
{
    cl_command_queue_properties properties = 0;
    clGetCommandQueueInfo(dev->queue, CL_QUEUE_PROPERTIES, sizeof properties, &properties, NULL);
    if (!(properties & CL_QUEUE_PROFILING_ENABLE))
        return CLN_FAIL(err, CLN_ERR_INTERNAL, "the device was opened without profiling");
    cln_profile_stop(dev);
    dev->profile = calloc(1, sizeof *dev->profile);
    if (!dev->profile)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "no memory for kernel times");
    return CLN_OK;
}

/* The row of this kernel name; n_rows where memory ran out. */
static size_t profile_row(struct cln_profile *p, const char *name)
{
    for (size_t i = 0; i < p->n_rows; i++)
        if (strcmp(p->rows[i].name, name) == 0)
            return i;
    cln_profile_row *grown = realloc(p->rows, (p->n_rows + 1) * sizeof *grown);
    if (!grown)
        return p->n_rows;
    p->rows = grown;
    p->rows[p->n_rows] = (cln_profile_row){0};
    snprintf(p->rows[p->n_rows].name, sizeof p->rows[0].name, "%s", name);
    return p->n_rows++;
}

/* Takes the event over. A launch whose event finds no room is only missing from the times. */
static void profile_add(struct cln_profile *p, const char *name, cl_event event)
{
    const size_t row = profile_row(p, name);
    if (p->n_pending == p->max_pending) {
        const size_t max = p->max_pending ? 2 * p->max_pending : 256;
        void *grown = realloc(p->pending, max * sizeof *p->pending);
        if (grown) {
            p->pending = grown;
            p->max_pending = max;
        }
    }
    if (row == p->n_rows || p->n_pending == p->max_pending) {
        clReleaseEvent(event);
        return;
    }
    p->pending[p->n_pending].event = event;
    p->pending[p->n_pending++].row = row;
}

static int longest_first(const void *a, const void *b)
{
    const double x = ((const cln_profile_row *)a)->seconds;
    const double y = ((const cln_profile_row *)b)->seconds;
    return (x < y) - (x > y);
}

int cln_profile_collect(cln_device *dev, cln_profile_row **rows, size_t *count, cln_error *err)
{
    struct cln_profile *p = dev->profile;
    cl_int status = CL_SUCCESS;
    *rows = NULL;
    *count = 0;
    if (!p)
        return CLN_FAIL(err, CLN_ERR_INTERNAL, "kernel times are not being collected");
    int code = cln_device_finish(dev, err);
    if (code)
        return code;

    cl_ulong last_end = 0;
    for (size_t i = 0; i < p->n_pending; i++) {
        cl_event event = p->pending[i].event;
        cl_ulong start = 0, end = 0;
        cl_int s =
            clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_START, sizeof start, &start, NULL);
        if (s == CL_SUCCESS)
            s = clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_END, sizeof end, &end, NULL);
        if (s == CL_SUCCESS) {
            p->rows[p->pending[i].row].launches++;
            p->rows[p->pending[i].row].seconds += end > start ? 1e-9 * (double)(end - start) : 0.0;
            p->between += last_end && start > last_end ? 1e-9 * (double)(start - last_end) : 0.0;
            last_end = end;
        } else {
            status = s;
        }
        clReleaseEvent(event);
    }
    p->n_pending = 0;
    if (status != CL_SUCCESS)
        return CLN_FAIL_CL(err, status, "clGetEventProfilingInfo");

    if (p->n_rows == 0)
        return CLN_OK;
    *rows = malloc(p->n_rows * sizeof **rows);
    if (!*rows)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "no memory for kernel times");
    memcpy(*rows, p->rows, p->n_rows * sizeof **rows);
    qsort(*rows, p->n_rows, sizeof **rows, longest_first);
    *count = p->n_rows;
    return CLN_OK;
}

double cln_profile_between(const cln_device *dev)
{
    return dev->profile ? dev->profile->between : 0.0;
}

void cln_profile_stop(cln_device *dev)
{
    struct cln_profile *p = dev->profile;
    if (!p)
        return;
    for (size_t i = 0; i < p->n_pending; i++)
        clReleaseEvent(p->pending[i].event);
    free(p->pending);
    free(p->rows);
    free(p);
    dev->profile = NULL;
}

/* ---- launches -------------------------------------------------------------------------- */

/* Halves the local size until device and built kernel allow it, and rounds global up to it. */
static void fit_range(const cln_kernel *k, const cln_range *r, size_t global[3], size_t local[3])
{
    for (int d = 0; d < 3; d++) {
        local[d] = r->local[d] ? r->local[d] : 1;
        while (local[d] > k->dev->info.max_items[d])
            local[d] = (local[d] + 1) / 2;
    }
    while (local[0] * local[1] * local[2] > k->max_local) {
        int widest = local[1] > local[0] ? 1 : 0;
        widest = local[2] > local[widest] ? 2 : widest;
        local[widest] = (local[widest] + 1) / 2;
    }
    for (int d = 0; d < 3; d++)
        global[d] = (r->global[d] + local[d] - 1) / local[d] * local[d];
}

static int set_args(const cln_kernel *k, const cln_arg *args, size_t n_args, cln_error *err)
{
    if (n_args != k->n_args)
        return CLN_FAIL(err, CLN_ERR_INTERNAL, "kernel %s takes %u arguments, %zu were given",
                        k->name, k->n_args, n_args);
    for (size_t i = 0; i < n_args; i++) {
        const cln_arg *a = &args[i];
        const bool local = a->kind == CLN_ARG_LOCAL;
        const size_t size = local ? a->v.bytes : a->kind == CLN_ARG_MEM ? sizeof(cl_mem) : sizeof(cl_int);
        cl_int status = clSetKernelArg(k->id, (cl_uint)i, size, local ? NULL : &a->v);
        if (status == CL_SUCCESS)
            continue;
        char call[128];
        snprintf(call, sizeof call, "kernel %s, argument %zu: clSetKernelArg", k->name, i);
        return status == CL_OUT_OF_RESOURCES || status == CL_OUT_OF_HOST_MEMORY
                   ? CLN_FAIL_CL(err, status, call)
                   : CLN_FAIL(err, CLN_ERR_INTERNAL, "%s: %s (%d)", call,
                              cln_cl_status_name(status), status);
    }
    return CLN_OK;
}

static int launch_error(const cln_kernel *k, cl_int status, cln_error *err)
{
    char call[128];
    snprintf(call, sizeof call, "kernel %s: clEnqueueNDRangeKernel", k->name);
    return CLN_FAIL_CL(err, status, call);
}

int cln_kernel_launch(const cln_kernel *k, cln_range range, const cln_arg *args, size_t n_args,
                      cln_error *err)
{
    cln_device *dev = k->dev;
    size_t global[3], local[3];
    cl_event event = NULL;

    if (!k->id)
        return CLN_FAIL(err, CLN_ERR_INTERNAL, "a kernel that was never made is launched");
    int code = set_args(k, args, n_args, err);
    if (code)
        return code;
    if (range.global[0] == 0 || range.global[1] == 0 || range.global[2] == 0)
        return CLN_OK;

    fit_range(k, &range, global, local);
    const cl_uint dimensions = global[2] > 1 ? 3 : global[1] > 1 ? 2 : 1;
    cl_int status = cln_simulate_launch(&dev->info, local, k->local_bytes);
    if (status == CL_SUCCESS)
        status = clEnqueueNDRangeKernel(dev->queue, k->id, dimensions, NULL, global, local, 0, NULL,
                                        dev->profile ? &event : NULL);
    if (status != CL_SUCCESS)
        return launch_error(k, status, err);
    if (event)
        profile_add(dev->profile, k->name, event);
    if (++dev->unflushed < FLUSH_EVERY)
        return CLN_OK;
    dev->unflushed = 0;
    status = clFlush(dev->queue);
    return status == CL_SUCCESS ? CLN_OK : CLN_FAIL_CL(err, status, "clFlush");
}
