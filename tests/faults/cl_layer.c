/* An OpenCL layer (OPENCL_LAYERS=this library) between the program, or CLBlast on its behalf, and the loader: counts
 * calls by site, fails the one that it is told to (inject.h), and counts the objects that the program itself creates,
 * retains and releases: what is held when the process ends is logged as "held KIND COUNT", and a release of what is
 * not held as "released-too-often KIND".
 *
 * HOW of a fault: a status ("-5"). A clBuildProgram that is failed with CL_BUILD_PROGRAM_FAILURE leaves a log of its own.
 * A release that is failed happens all the same. */
#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl_layer.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inject.h"

enum { MAX_OBJECTS = 65536 };

static const cl_icd_dispatch *next;
static cl_icd_dispatch ours;
static bool build_failed;

/* ---- objects ------------------------------------------------------------------------------------- */

typedef enum { CONTEXT, QUEUE, MEMORY, PROGRAM, KERNEL, EVENT, N_KINDS } object_kind;
static const char *const kind_names[N_KINDS] = {"context", "queue",  "memory",
                                                "program", "kernel", "event"};

static struct {
    const void *object;
    object_kind kind;
    int count;
} objects[MAX_OBJECTS];
static int n_objects;

static int find(const void *object)
{
    for (int i = n_objects - 1; i >= 0; i--)
        if (objects[i].object == object)
            return i;
    return -1;
}

/* One reference more; `site`: who asked for it. */
static void hold(const inject_site *site, const void *object, object_kind kind)
{
    if (!site || !site->direct || !object)
        return;
    int i = find(object);
    if (i < 0) {
        if (n_objects == MAX_OBJECTS)
            abort();
        i = n_objects++;
        objects[i].object = object;
        objects[i].kind = kind;
        objects[i].count = 0;
    }
    objects[i].count++;
}

static void drop(const inject_site *site, const void *object, object_kind kind)
{
    if (!site || !site->direct)
        return;
    const int i = find(object);
    if (i < 0) {
        inject_log("released-too-often %s\n", kind_names[kind]);
        return;
    }
    if (--objects[i].count == 0)
        objects[i] = objects[--n_objects];
}

static void report(void)
{
    int counts[N_KINDS] = {0};
    for (int i = 0; i < n_objects; i++)
        counts[objects[i].kind] += objects[i].count;
    for (int k = 0; k < N_KINDS; k++)
        if (counts[k])
            inject_log("held %s %d\n", kind_names[k], counts[k]);
    inject_end();
}

/* ---- the calls ----------------------------------------------------------------------------------- */

static cl_int status_of(const char *how)
{
    return how ? (cl_int)strtol(how, NULL, 10) : CL_SUCCESS;
}

/* A call that gives a status and makes nothing. */
#define PLAIN(name, parameters, arguments)                                                         \
    static cl_int CL_API_CALL layer_##name parameters                                              \
    {                                                                                              \
        const char *how = inject_call(#name, NULL, NULL);                                          \
        return how ? status_of(how) : next->name arguments;                                        \
    }

/* One that gives an object, and a status through errcode_ret. */
#define CREATE(type, kind, name, parameters, arguments)                                            \
    static type CL_API_CALL layer_##name parameters                                                \
    {                                                                                              \
        const inject_site *site;                                                                   \
        const char *how = inject_call(#name, NULL, &site);                                         \
        if (how) {                                                                                 \
            if (errcode_ret)                                                                       \
                *errcode_ret = status_of(how);                                                     \
            return NULL;                                                                           \
        }                                                                                          \
        type object = next->name arguments;                                                        \
        hold(site, object, kind);                                                                  \
        return object;                                                                             \
    }

/* One that enqueues and may give an event. */
#define ENQUEUE(name, parameters, arguments)                                                       \
    static cl_int CL_API_CALL layer_##name parameters                                              \
    {                                                                                              \
        const inject_site *site;                                                                   \
        const char *how = inject_call(#name, NULL, &site);                                         \
        const cl_int status = how ? status_of(how) : next->name arguments;                         \
        if (status == CL_SUCCESS && event)                                                         \
            hold(site, *event, EVENT);                                                             \
        return status;                                                                             \
    }

#define RETAIN(type, kind, name)                                                                   \
    static cl_int CL_API_CALL layer_##name(type object)                                            \
    {                                                                                              \
        const inject_site *site;                                                                   \
        const char *how = inject_call(#name, NULL, &site);                                         \
        const cl_int status = how ? status_of(how) : next->name(object);                           \
        if (status == CL_SUCCESS)                                                                  \
            hold(site, object, kind);                                                              \
        return status;                                                                             \
    }

#define RELEASE(type, kind, name)                                                                  \
    static cl_int CL_API_CALL layer_##name(type object)                                            \
    {                                                                                              \
        const inject_site *site;                                                                   \
        const char *how = inject_call(#name, NULL, &site);                                         \
        drop(site, object, kind);                                                                  \
        const cl_int status = next->name(object);                                                  \
        return how ? status_of(how) : status;                                                      \
    }

PLAIN(clGetPlatformIDs, (cl_uint n, cl_platform_id *ids, cl_uint *count), (n, ids, count))
PLAIN(clGetPlatformInfo,
      (cl_platform_id p, cl_platform_info what, size_t size, void *value, size_t *size_ret),
      (p, what, size, value, size_ret))
PLAIN(clGetDeviceIDs,
      (cl_platform_id p, cl_device_type type, cl_uint n, cl_device_id *ids, cl_uint *count),
      (p, type, n, ids, count))
PLAIN(clGetDeviceInfo,
      (cl_device_id d, cl_device_info what, size_t size, void *value, size_t *size_ret),
      (d, what, size, value, size_ret))
PLAIN(clGetCommandQueueInfo,
      (cl_command_queue q, cl_command_queue_info what, size_t size, void *value, size_t *size_ret),
      (q, what, size, value, size_ret))
PLAIN(clGetMemObjectInfo, (cl_mem m, cl_mem_info what, size_t size, void *value, size_t *size_ret),
      (m, what, size, value, size_ret))
PLAIN(clGetProgramInfo,
      (cl_program p, cl_program_info what, size_t size, void *value, size_t *size_ret),
      (p, what, size, value, size_ret))
PLAIN(clGetKernelInfo,
      (cl_kernel k, cl_kernel_info what, size_t size, void *value, size_t *size_ret),
      (k, what, size, value, size_ret))
PLAIN(clGetKernelWorkGroupInfo,
      (cl_kernel k, cl_device_id d, cl_kernel_work_group_info what, size_t size, void *value,
       size_t *size_ret),
      (k, d, what, size, value, size_ret))
PLAIN(clGetEventProfilingInfo,
      (cl_event e, cl_profiling_info what, size_t size, void *value, size_t *size_ret),
      (e, what, size, value, size_ret))
PLAIN(clSetKernelArg, (cl_kernel k, cl_uint i, size_t size, const void *value), (k, i, size, value))
PLAIN(clWaitForEvents, (cl_uint n, const cl_event *events), (n, events))
PLAIN(clFlush, (cl_command_queue q), (q))
PLAIN(clFinish, (cl_command_queue q), (q))

CREATE(cl_context, CONTEXT, clCreateContext,
       (const cl_context_properties *properties, cl_uint n, const cl_device_id *devices,
        void(CL_CALLBACK *notify)(const char *, const void *, size_t, void *), void *arg,
        cl_int *errcode_ret),
       (properties, n, devices, notify, arg, errcode_ret))
CREATE(cl_command_queue, QUEUE, clCreateCommandQueue,
       (cl_context c, cl_device_id d, cl_command_queue_properties properties, cl_int *errcode_ret),
       (c, d, properties, errcode_ret))
CREATE(cl_mem, MEMORY, clCreateBuffer,
       (cl_context c, cl_mem_flags flags, size_t size, void *host, cl_int *errcode_ret),
       (c, flags, size, host, errcode_ret))
CREATE(cl_mem, MEMORY, clCreateSubBuffer,
       (cl_mem m, cl_mem_flags flags, cl_buffer_create_type type, const void *region,
        cl_int *errcode_ret),
       (m, flags, type, region, errcode_ret))
CREATE(cl_program, PROGRAM, clCreateProgramWithSource,
       (cl_context c, cl_uint n, const char **text, const size_t *lengths, cl_int *errcode_ret),
       (c, n, text, lengths, errcode_ret))
CREATE(cl_program, PROGRAM, clCreateProgramWithBinary,
       (cl_context c, cl_uint n, const cl_device_id *devices, const size_t *lengths,
        const unsigned char **binaries, cl_int *statuses, cl_int *errcode_ret),
       (c, n, devices, lengths, binaries, statuses, errcode_ret))
CREATE(cl_kernel, KERNEL, clCreateKernel, (cl_program p, const char *name, cl_int *errcode_ret),
       (p, name, errcode_ret))

ENQUEUE(clEnqueueReadBuffer,
        (cl_command_queue q, cl_mem m, cl_bool blocking, size_t offset, size_t size, void *to,
         cl_uint n, const cl_event *waits, cl_event *event),
        (q, m, blocking, offset, size, to, n, waits, event))
ENQUEUE(clEnqueueWriteBuffer,
        (cl_command_queue q, cl_mem m, cl_bool blocking, size_t offset, size_t size,
         const void *from, cl_uint n, const cl_event *waits, cl_event *event),
        (q, m, blocking, offset, size, from, n, waits, event))
ENQUEUE(clEnqueueCopyBuffer,
        (cl_command_queue q, cl_mem a, cl_mem b, size_t from, size_t to, size_t size, cl_uint n,
         const cl_event *waits, cl_event *event),
        (q, a, b, from, to, size, n, waits, event))
ENQUEUE(clEnqueueFillBuffer,
        (cl_command_queue q, cl_mem m, const void *pattern, size_t pattern_size, size_t offset,
         size_t size, cl_uint n, const cl_event *waits, cl_event *event),
        (q, m, pattern, pattern_size, offset, size, n, waits, event))
ENQUEUE(clEnqueueNDRangeKernel,
        (cl_command_queue q, cl_kernel k, cl_uint dimensions, const size_t *offset,
         const size_t *global, const size_t *local, cl_uint n, const cl_event *waits,
         cl_event *event),
        (q, k, dimensions, offset, global, local, n, waits, event))
ENQUEUE(clEnqueueMarkerWithWaitList,
        (cl_command_queue q, cl_uint n, const cl_event *waits, cl_event *event),
        (q, n, waits, event))

RETAIN(cl_context, CONTEXT, clRetainContext)
RETAIN(cl_command_queue, QUEUE, clRetainCommandQueue)
RETAIN(cl_mem, MEMORY, clRetainMemObject)
RETAIN(cl_program, PROGRAM, clRetainProgram)
RETAIN(cl_kernel, KERNEL, clRetainKernel)
RETAIN(cl_event, EVENT, clRetainEvent)
RELEASE(cl_context, CONTEXT, clReleaseContext)
RELEASE(cl_command_queue, QUEUE, clReleaseCommandQueue)
RELEASE(cl_mem, MEMORY, clReleaseMemObject)
RELEASE(cl_program, PROGRAM, clReleaseProgram)
RELEASE(cl_kernel, KERNEL, clReleaseKernel)
RELEASE(cl_event, EVENT, clReleaseEvent)

static cl_int CL_API_CALL layer_clBuildProgram(cl_program p, cl_uint n, const cl_device_id *devices,
                                               const char *options,
                                               void(CL_CALLBACK *notify)(cl_program, void *),
                                               void *arg)
{
    const cl_int status = status_of(inject_call("clBuildProgram", NULL, NULL));
    build_failed = status == CL_BUILD_PROGRAM_FAILURE;
    return status ? status : next->clBuildProgram(p, n, devices, options, notify, arg);
}

static cl_int CL_API_CALL layer_clGetProgramBuildInfo(cl_program p, cl_device_id d,
                                                      cl_program_build_info what, size_t size,
                                                      void *value, size_t *size_ret)
{
    static const char text[] =
        "injected.cl:7:20: error: a fault that was injected\n1 error generated.\n";
    const char *how = inject_call("clGetProgramBuildInfo", NULL, NULL);
    if (how)
        return status_of(how);
    if (!build_failed || what != CL_PROGRAM_BUILD_LOG)
        return next->clGetProgramBuildInfo(p, d, what, size, value, size_ret);
    if (size_ret)
        *size_ret = sizeof text;
    if (value && size < sizeof text)
        return CL_INVALID_VALUE;
    if (value)
        memcpy(value, text, sizeof text);
    return CL_SUCCESS;
}

/* ---- the layer ----------------------------------------------------------------------------------- */

static void take_over(void)
{
#define TAKE(name) ours.name = layer_##name
    TAKE(clGetPlatformIDs), TAKE(clGetPlatformInfo), TAKE(clGetDeviceIDs), TAKE(clGetDeviceInfo);
    TAKE(clGetCommandQueueInfo), TAKE(clGetMemObjectInfo), TAKE(clGetProgramInfo),
        TAKE(clGetKernelInfo);
    TAKE(clGetKernelWorkGroupInfo), TAKE(clGetEventProfilingInfo), TAKE(clGetProgramBuildInfo),
        TAKE(clSetKernelArg);
    TAKE(clWaitForEvents), TAKE(clFlush), TAKE(clFinish), TAKE(clBuildProgram);
    TAKE(clCreateContext), TAKE(clCreateCommandQueue), TAKE(clCreateBuffer),
        TAKE(clCreateSubBuffer);
    TAKE(clCreateProgramWithSource), TAKE(clCreateProgramWithBinary), TAKE(clCreateKernel);
    TAKE(clEnqueueReadBuffer), TAKE(clEnqueueWriteBuffer), TAKE(clEnqueueCopyBuffer),
        TAKE(clEnqueueFillBuffer);
    TAKE(clEnqueueNDRangeKernel), TAKE(clEnqueueMarkerWithWaitList);
    TAKE(clRetainContext), TAKE(clRetainCommandQueue), TAKE(clRetainMemObject),
        TAKE(clRetainProgram);
    TAKE(clRetainKernel), TAKE(clRetainEvent), TAKE(clReleaseContext), TAKE(clReleaseCommandQueue);
    TAKE(clReleaseMemObject), TAKE(clReleaseProgram), TAKE(clReleaseKernel), TAKE(clReleaseEvent);
#undef TAKE
}

cl_int CL_API_CALL clGetLayerInfo(cl_layer_info what, size_t size, void *value, size_t *size_ret)
{
    const cl_layer_api_version version = CL_LAYER_API_VERSION_100;
    static const char name[] = "clnorm faults";
    const size_t needed = what == CL_LAYER_API_VERSION ? sizeof version : sizeof name;
    if (what != CL_LAYER_API_VERSION && what != CL_LAYER_NAME)
        return CL_INVALID_VALUE;
    if (value && size < needed)
        return CL_INVALID_VALUE;
    if (value)
        memcpy(value, what == CL_LAYER_API_VERSION ? (const void *)&version : name, needed);
    if (size_ret)
        *size_ret = needed;
    return CL_SUCCESS;
}

cl_int CL_API_CALL clInitLayer(cl_uint n, const cl_icd_dispatch *target, cl_uint *n_ret,
                               const cl_icd_dispatch **ret)
{
    if (n < sizeof ours / sizeof(void *) || !target || !n_ret || !ret)
        return CL_INVALID_VALUE;
    next = target;
    ours = *target;
    take_over();
    inject_begin("cl");
    atexit(report);
    *n_ret = sizeof ours / sizeof(void *);
    *ret = &ours;
    return CL_SUCCESS;
}
