#include "device.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A device owns its programs, its tuning table and its profile, so closing it reaches up to them. */
#include "kernel.h"
#include "program.h"
#include "simulate.h"
#include "tuning.h"

enum { MAX_PLATFORMS = 32, MAX_DEVICES = 64, NO_PLATFORM = -1001 };

/* ---- what there is --------------------------------------------------------------------- */

/* Drivers pad and end their strings as they like: trimmed, and printable ASCII alone, so that a
 * name fits a line of text and a JSON string. */
static void tidy(char *s)
{
    size_t start = 0, end = strlen(s);
    while (s[start] && isspace((unsigned char)s[start]))
        start++;
    while (end > start && isspace((unsigned char)s[end - 1]))
        end--;
    memmove(s, s + start, end - start);
    s[end - start] = '\0';
    for (char *p = s; *p; p++)
        if ((unsigned char)*p < ' ' || (unsigned char)*p > '~')
            *p = '?';
}

/* Every query is one that OpenCL 1.2 promises an answer to. A device that does not give it is listed, and refused when
 * it is opened: a guess would choose other kernels, other weights with them, and another key of the kernel cache. */
static void note(cln_device_info *d, cl_int status)
{
    if (d->fault == CL_SUCCESS)
        d->fault = status;
}

static void device_text(cln_device_info *d, cl_device_info what, char *out, size_t size)
{
    char text[1024] = "unknown";
    cl_int status = clGetDeviceInfo(d->device_id, what, sizeof text - 1, text, NULL);
    note(d, status);
    tidy(text);
    snprintf(out, size, "%s", text);
}

static void platform_text(cln_device_info *d, cl_platform_info what, char *out, size_t size)
{
    char text[1024] = "unknown";
    cl_int status = clGetPlatformInfo(d->platform_id, what, sizeof text - 1, text, NULL);
    note(d, status);
    tidy(text);
    snprintf(out, size, "%s", text);
}

/* A property of a fixed size, `fallback` where the driver does not answer. */
#define DEVICE_VALUE(type)                                                                         \
    static type device_##type(cln_device_info *d, cl_device_info what, type fallback)              \
    {                                                                                              \
        type value = fallback;                                                                     \
        cl_int status = clGetDeviceInfo(d->device_id, what, sizeof value, &value, NULL);           \
        note(d, status);                                                                           \
        return status == CL_SUCCESS ? value : fallback;                                            \
    }
DEVICE_VALUE(cl_uint)
DEVICE_VALUE(cl_ulong)
DEVICE_VALUE(cl_bool)
DEVICE_VALUE(size_t)
#undef DEVICE_VALUE

static void fill_info(cl_device_id id, cln_device_info *d)
{
    d->device_id = id;
    device_text(d, CL_DEVICE_NAME, d->model, sizeof d->model);
    snprintf(d->name, sizeof d->name, "%s", d->model);
    device_text(d, CL_DEVICE_VENDOR, d->vendor, sizeof d->vendor);
    device_text(d, CL_DRIVER_VERSION, d->driver, sizeof d->driver);
    device_text(d, CL_DEVICE_VERSION, d->version, sizeof d->version);
    platform_text(d, CL_PLATFORM_NAME, d->platform_name, sizeof d->platform_name);
    platform_text(d, CL_PLATFORM_VERSION, d->platform_version, sizeof d->platform_version);
    d->type = device_cl_ulong(d, CL_DEVICE_TYPE, 0) & ~(cl_device_type)CL_DEVICE_TYPE_DEFAULT;

    d->compute_units = device_cl_uint(d, CL_DEVICE_MAX_COMPUTE_UNITS, 1);
    d->vector_width = device_cl_uint(d, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT, 1);
    if (d->vector_width < 1)
        d->vector_width = 1;
    d->global_mem = device_cl_ulong(d, CL_DEVICE_GLOBAL_MEM_SIZE, 0);
    d->max_alloc = device_cl_ulong(d, CL_DEVICE_MAX_MEM_ALLOC_SIZE, 0);
    d->local_mem = device_cl_ulong(d, CL_DEVICE_LOCAL_MEM_SIZE, 0);
    d->max_local_size = device_size_t(d, CL_DEVICE_MAX_WORK_GROUP_SIZE, 1);
    d->base_align = device_cl_uint(d, CL_DEVICE_MEM_BASE_ADDR_ALIGN, 1024) / 8;
    if (d->base_align < 16) /* kernels read fours of floats as one */
        d->base_align = 16;
    d->local_is_global = device_cl_uint(d, CL_DEVICE_LOCAL_MEM_TYPE, CL_GLOBAL) == CL_GLOBAL;
    d->unified = device_cl_bool(d, CL_DEVICE_HOST_UNIFIED_MEMORY, CL_FALSE) == CL_TRUE;

    size_t items[16] = {0};
    note(d, clGetDeviceInfo(id, CL_DEVICE_MAX_WORK_ITEM_SIZES, sizeof items, items, NULL));
    for (int i = 0; i < 3; i++)
        d->max_items[i] = items[i] > 0 ? items[i] : 1;
}

static int no_device(cln_error *err)
{
    return CLN_FAIL(err, CLN_ERR_DEVICE,
                    "no OpenCL device found; install a driver, on Debian one of: pocl-opencl-icd "
                    "(any CPU), mesa-opencl-icd (AMD and others), intel-opencl-icd, "
                    "nvidia-opencl-icd");
}

int cln_device_list(cln_device_info **list, size_t *count, cln_error *err)
{
    cl_platform_id platforms[MAX_PLATFORMS];
    cl_uint n_platforms = 0;
    *list = NULL;
    *count = 0;

    cl_int status = clGetPlatformIDs(MAX_PLATFORMS, platforms, &n_platforms);
    if (status == NO_PLATFORM || (status == CL_SUCCESS && n_platforms == 0))
        return no_device(err);
    if (status != CL_SUCCESS)
        return CLN_FAIL_CL(err, status, "clGetPlatformIDs");
    if (n_platforms > MAX_PLATFORMS)
        n_platforms = MAX_PLATFORMS;

    cln_device_info *all = NULL;
    size_t total = 0;
    cl_int fault = CL_SUCCESS;
    for (cl_uint p = 0; p < n_platforms; p++) {
        cl_device_id ids[MAX_DEVICES];
        cl_uint n = 0;
        /* A platform without devices, or with a broken driver, must not hide the others. */
        status = clGetDeviceIDs(platforms[p], CL_DEVICE_TYPE_ALL, MAX_DEVICES, ids, &n);
        if (status != CL_SUCCESS && status != CL_DEVICE_NOT_FOUND)
            fault = status;
        if (status != CL_SUCCESS)
            continue;
        if (n > MAX_DEVICES)
            n = MAX_DEVICES;
        if (n == 0)
            continue;
        cln_device_info *grown = realloc(all, (total + n) * sizeof *all);
        if (!grown) {
            free(all);
            return CLN_FAIL(err, CLN_ERR_MEMORY, "no memory for the list of devices");
        }
        all = grown;
        for (cl_uint i = 0; i < n; i++, total++) {
            all[total] = (cln_device_info){.index = (int)total,
                                           .platform = (int)p,
                                           .number = (int)i,
                                           .platform_id = platforms[p]};
            fill_info(ids[i], &all[total]);
        }
    }
    if (total == 0 && fault != CL_SUCCESS)
        return CLN_FAIL(err, CLN_ERR_DEVICE,
                        "no OpenCL device works: clGetDeviceIDs: %s (%d); `clinfo` tells more",
                        cln_cl_status_name(fault), fault);
    if (total == 0)
        return no_device(err);
    int code = cln_simulate(all, total, err);
    if (code) {
        free(all);
        return code;
    }
    *list = all;
    *count = total;
    return CLN_OK;
}

/* ---- context and queue ----------------------------------------------------------------- */

/* Kernels need vector loads and clEnqueueFillBuffer: OpenCL 1.2. */
static int check_version(const cln_device_info *info, cln_error *err)
{
    int major = 0, minor = 0;
    if (sscanf(info->version, "OpenCL %d.%d", &major, &minor) != 2)
        return CLN_FAIL(err, CLN_ERR_DEVICE, "device %d (%s) reports no OpenCL version: \"%s\"",
                        info->index, info->name, info->version);
    if (major < 1 || (major == 1 && minor < 2))
        return CLN_FAIL(err, CLN_ERR_DEVICE,
                        "device %d (%s) has OpenCL %d.%d; clnorm needs 1.2, choose another device",
                        info->index, info->name, major, minor);
    return CLN_OK;
}

int cln_device_open_listed(const cln_device_info *info, bool profiling, cln_device **out, cln_error *err)
{
    cl_int status = CL_SUCCESS;
    if (info->fault != CL_SUCCESS)
        return CLN_FAIL(err, CLN_ERR_DEVICE,
                        "device %d (%s) does not tell its properties: clGetDeviceInfo: %s (%d); try again, or "
                        "choose another device (clnorm devices)",
                        info->index, info->name, cln_cl_status_name(info->fault), info->fault);
    int code = check_version(info, err);
    if (code)
        return code;

    cln_device *dev = calloc(1, sizeof *dev);
    if (!dev)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "no memory for a device");
    dev->info = *info;

    const cl_context_properties properties[] = {CL_CONTEXT_PLATFORM,
                                                (cl_context_properties)info->platform_id, 0};
    dev->context = clCreateContext(properties, 1, &info->device_id, NULL, NULL, &status);
    if (status != CL_SUCCESS) {
        code = CLN_FAIL(err, CLN_ERR_DEVICE, "device %d (%s) cannot be opened: clCreateContext: %s (%d); choose another device (clnorm devices)",
                        info->index, info->name, cln_cl_status_name(status), status);
        goto error;
    }
    dev->queue = clCreateCommandQueue(dev->context, info->device_id,
                                      profiling ? CL_QUEUE_PROFILING_ENABLE : 0, &status);
    if (status != CL_SUCCESS) {
        code = CLN_FAIL(err, CLN_ERR_DEVICE,
                        "device %d (%s) cannot be opened: clCreateCommandQueue: %s (%d); choose another device "
                        "(clnorm devices)",
                        info->index, info->name, cln_cl_status_name(status), status);
        goto error;
    }
    *out = dev;
    return CLN_OK;
error:
    cln_device_close(dev);
    return code;
}

int cln_device_open(const char *spec, bool profiling, cln_device **out, cln_error *err)
{
    cln_device_info *list = NULL;
    size_t count = 0, index = 0;
    *out = NULL;
    int code = cln_device_list(&list, &count, err);
    if (!code && list)
        code = cln_device_find(list, count, spec, &index, err);
    if (!code && list)
        code = cln_device_open_listed(&list[index], profiling, out, err);
    free(list);
    return code;
}

void cln_device_close(cln_device *dev)
{
    if (!dev)
        return;
    if (dev->queue)
        clFinish(dev->queue);
    cln_profile_stop(dev);
    cln_program_free_all(dev);
    cln_tuning_free(dev->tuning);
    if (dev->queue)
        clReleaseCommandQueue(dev->queue);
    if (dev->context)
        clReleaseContext(dev->context);
    free(dev);
}

int cln_device_finish(cln_device *dev, cln_error *err)
{
    dev->unflushed = 0;
    cl_int status = clFinish(dev->queue);
    return status == CL_SUCCESS ? CLN_OK : CLN_FAIL_CL(err, status, "clFinish");
}

const char *cln_device_name(const cln_device *dev) { return dev->info.name; }

void cln_device_set_notice(cln_device *dev, void (*notice)(void *arg, const char *text), void *arg)
{
    dev->notice = notice;
    dev->notice_arg = arg;
}

int cln_pace_step(cln_device *dev, cln_pace *pace, cln_error *err)
{
    cl_event *event = &pace->end[pace->next++ & 1];
    cl_int status = CL_SUCCESS;
    if (*event) {
        status = clWaitForEvents(1, event);
        clReleaseEvent(*event);
        *event = NULL;
    }
    if (status != CL_SUCCESS)
        return CLN_FAIL_CL(err, status, "clWaitForEvents");
    status = clEnqueueMarkerWithWaitList(dev->queue, 0, NULL, event);
    if (status != CL_SUCCESS)
        return CLN_FAIL_CL(err, status, "clEnqueueMarkerWithWaitList");
    status = clFlush(dev->queue);
    return status == CL_SUCCESS ? CLN_OK : CLN_FAIL_CL(err, status, "clFlush");
}

void cln_pace_clear(cln_pace *pace)
{
    for (int i = 0; i < 2; i++) {
        if (pace->end[i])
            clReleaseEvent(pace->end[i]);
        pace->end[i] = NULL;
    }
}
