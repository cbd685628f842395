/* Put before Oclgrind's library by LD_PRELOAD (tests/matrix/run, the column of uninitialised values): host writes that
 * its plugin sees as such.
 *
 * Oclgrind 21.10 keeps a shadow of memory, and marks what the host writes as initialised, but reads the marks of a write
 * at an offset into a buffer from behind an array of its own (offset.cl is the minimal case), and does not mark what
 * clEnqueueFillBuffer writes. Nearly all of clnorm's tensors are parts of a buffer. So a write goes to the beginning of a
 * buffer of its own, and a kernel copies it from there: marks of kernels' values are right. Likewise a fill, but for that
 * with NaN by which tests poison memory: that is to stay uninitialised. And no buffer is released: the marks of one that
 * takes the place of another are wrong, too. */
#define _GNU_SOURCE
#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An item costs the simulator more than a copied word does: WORDS each. */
#define WORDS 64
#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
static const char source[] =
    "kernel void copy(global const uint *from, global uint *to, ulong first, ulong words, uint repeat)"
    "{ ulong i = get_global_id(0) * WORDS, end = min(i + WORDS, words);"
    "  for (; i < end; i++) to[first + i] = from[repeat ? 0 : i]; }";
static cl_kernel copy;

static void check(cl_int status, const char *what)
{
    if (status == CL_SUCCESS)
        return;
    fprintf(stderr, "uninitialized.c: %s failed with %d\n", what, status);
    abort();
}

static void build(cl_context context, cl_command_queue queue)
{
    static cl_context of;
    cl_int status;
    cl_device_id device;
    const char *text = source;
    if (copy && of == context)
        return;
    check(clGetCommandQueueInfo(queue, CL_QUEUE_DEVICE, sizeof device, &device, NULL),
          "clGetCommandQueueInfo");
    cl_program program = clCreateProgramWithSource(context, 1, &text, NULL, &status);
    check(status, "clCreateProgramWithSource");
    check(clBuildProgram(program, 1, &device, "-DWORDS=" TEXT(WORDS), NULL, NULL), "clBuildProgram");
    copy = clCreateKernel(program, "copy", &status);
    check(status, "clCreateKernel");
    of = context;
}

typedef cl_int write_call(cl_command_queue, cl_mem, cl_bool, size_t, size_t, const void *, cl_uint,
                          const cl_event *, cl_event *);

/* `words` words from `data`, or the one word there again and again. Queues are in order: nothing is waited for. */
static cl_int put(cl_command_queue queue, cl_mem to, size_t offset, size_t words, const void *data,
                  cl_uint repeat)
{
    write_call *next;
    cl_context context;
    cl_int status;
    void *symbol = dlsym(RTLD_NEXT, "clEnqueueWriteBuffer");
    memcpy(&next, &symbol, sizeof next);
    check(clGetCommandQueueInfo(queue, CL_QUEUE_CONTEXT, sizeof context, &context, NULL),
          "clGetCommandQueueInfo");
    build(context, queue);
    const size_t bytes = (repeat ? 1 : words) * sizeof(uint32_t);
    const cl_ulong first = offset / sizeof(uint32_t);
    cl_mem from = clCreateBuffer(context, CL_MEM_READ_ONLY, bytes, NULL, &status);
    check(status, "clCreateBuffer");
    check(next(queue, from, CL_TRUE, 0, bytes, data, 0, NULL, NULL), "clEnqueueWriteBuffer");
    check(clSetKernelArg(copy, 0, sizeof from, &from), "clSetKernelArg");
    check(clSetKernelArg(copy, 1, sizeof to, &to), "clSetKernelArg");
    check(clSetKernelArg(copy, 2, sizeof first, &first), "clSetKernelArg");
    const cl_ulong count = words;
    const size_t items = (words + WORDS - 1) / WORDS;
    check(clSetKernelArg(copy, 3, sizeof count, &count), "clSetKernelArg");
    check(clSetKernelArg(copy, 4, sizeof repeat, &repeat), "clSetKernelArg");
    check(clEnqueueNDRangeKernel(queue, copy, 1, NULL, &items, NULL, 0, NULL, NULL),
          "clEnqueueNDRangeKernel");
    check(clFinish(queue), "clFinish");
    return CL_SUCCESS;
}

cl_int clEnqueueWriteBuffer(cl_command_queue queue, cl_mem buffer, cl_bool blocking, size_t offset,
                            size_t size, const void *data, cl_uint events, const cl_event *wait,
                            cl_event *event)
{
    (void)blocking, (void)events, (void)wait;
    if (offset % 4 || size % 4 || event) {
        write_call *next;
        void *symbol = dlsym(RTLD_NEXT, "clEnqueueWriteBuffer");
        memcpy(&next, &symbol, sizeof next);
        return next(queue, buffer, blocking, offset, size, data, events, wait, event);
    }
    return put(queue, buffer, offset, size / 4, data, 0);
}

cl_int clEnqueueFillBuffer(cl_command_queue queue, cl_mem buffer, const void *pattern,
                           size_t pattern_size, size_t offset, size_t size, cl_uint events,
                           const cl_event *wait, cl_event *event)
{
    typedef cl_int fill_call(cl_command_queue, cl_mem, const void *, size_t, size_t, size_t,
                             cl_uint, const cl_event *, cl_event *);
    uint32_t word = 0;
    if (pattern_size == sizeof word)
        memcpy(&word, pattern, sizeof word);
    if (pattern_size != sizeof word || (word & 0x7fc00000) == 0x7fc00000 || event) {
        fill_call *next;
        void *symbol = dlsym(RTLD_NEXT, "clEnqueueFillBuffer");
        memcpy(&next, &symbol, sizeof next);
        return next(queue, buffer, pattern, pattern_size, offset, size, events, wait, event);
    }
    return put(queue, buffer, offset, size / 4, pattern, 1);
}

cl_int clReleaseMemObject(cl_mem object)
{
    (void)object;
    return CL_SUCCESS;
}
