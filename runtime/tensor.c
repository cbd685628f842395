#include "tensor.h"

#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>

#include "simulate.h"

static double mib(double bytes)
{
    return bytes / (1024.0 * 1024.0);
}

/* Large pages for a large buffer of a CPU, where they go to those who ask (transparent_hugepage/enabled: madvise): at 4 KiB a
 * page, buffers of a hundred MiB take the processor's time to find their pages. Without them it works as well. */
static void ask_for_large_pages(const cln_device *dev, cl_mem mem, size_t bytes)
{
#ifdef MADV_HUGEPAGE
    enum { LARGE = 2 << 20 };
    if (dev->info.type != CL_DEVICE_TYPE_CPU || !dev->info.unified || bytes < 2 * LARGE)
        return;
    char *p = clEnqueueMapBuffer(dev->queue, mem, CL_TRUE, CL_MAP_WRITE_INVALIDATE_REGION, 0, bytes, 0, NULL, NULL, NULL);
    if (!p)
        return;
    const size_t before = (LARGE - (uintptr_t)p % LARGE) % LARGE;
    madvise(p + before, (bytes - before) / LARGE * LARGE, MADV_HUGEPAGE);
    clEnqueueUnmapMemObject(dev->queue, mem, p, 0, NULL, NULL);
#else
    (void)dev, (void)mem, (void)bytes;
#endif
}

int cln_tensor_new(cln_device *dev, size_t bytes, const char *what, cln_tensor *out, cln_error *err)
{
    *out = (cln_tensor){0};
    if (bytes == 0)
        return CLN_FAIL(err, CLN_ERR_INTERNAL, "a buffer of 0 bytes was asked for (%s)", what);
    if (bytes > dev->info.max_alloc)
        return CLN_FAIL(err, CLN_ERR_DEVICE_MEMORY,
                        "%s need a buffer of %.1f MiB, and device %d (%s) allows %.1f MiB; "
                        "a smaller batch needs less",
                        what, mib((double)bytes), dev->info.index, dev->info.name,
                        mib((double)dev->info.max_alloc));

    /* On a device that shares the host's memory this avoids a second copy of every buffer. */
    const cl_mem_flags flags = CL_MEM_READ_WRITE | (dev->info.unified ? CL_MEM_ALLOC_HOST_PTR : 0);
    cl_int status = CL_SUCCESS;
    cl_mem mem = clCreateBuffer(dev->context, flags, bytes, NULL, &status);
    if (status != CL_SUCCESS)
        return CLN_FAIL(err, CLN_ERR_DEVICE_MEMORY,
                        "%s need a buffer of %.1f MiB, which device %d (%s, %.0f MiB in all) "
                        "refuses: clCreateBuffer: %s (%d); a smaller batch needs less",
                        what, mib((double)bytes), dev->info.index, dev->info.name,
                        mib((double)dev->info.global_mem), cln_cl_status_name(status), status);
    ask_for_large_pages(dev, mem, bytes);
    dev->made += bytes;
    *out = (cln_tensor){mem, bytes};
    return CLN_OK;
}

int cln_tensor_view(const cln_device *dev, cln_tensor base, size_t offset, size_t bytes,
                    cln_tensor *out, cln_error *err)
{
    *out = (cln_tensor){0};
    if (!base.mem || bytes == 0 || offset > base.bytes || bytes > base.bytes - offset)
        return CLN_FAIL(err, CLN_ERR_INTERNAL,
                        "a view of %zu bytes at %zu does not fit into %zu bytes", bytes, offset,
                        base.bytes);
    const cl_buffer_region region = {offset, bytes};
    cl_int status = cln_simulate_view(&dev->info, offset);
    cl_mem mem = status == CL_SUCCESS
                     ? clCreateSubBuffer(base.mem, 0, CL_BUFFER_CREATE_TYPE_REGION, &region, &status)
                     : NULL;
    if (status != CL_SUCCESS) {
        char call[96];
        snprintf(call, sizeof call, "a view of %zu bytes at %zu: clCreateSubBuffer", bytes, offset);
        return CLN_FAIL_CL(err, status, call);
    }
    *out = (cln_tensor){mem, bytes};
    return CLN_OK;
}

void cln_tensor_free(cln_tensor *t)
{
    if (!t)
        return;
    if (t->mem)
        clReleaseMemObject(t->mem);
    *t = (cln_tensor){0};
}

static int check_bounds(cln_tensor t, size_t offset, size_t bytes, const char *verb, cln_error *err)
{
    if (!t.mem || offset > t.bytes || bytes > t.bytes - offset)
        return CLN_FAIL(err, CLN_ERR_INTERNAL, "%s of %zu bytes at %zu, in a tensor of %zu bytes",
                        verb, bytes, offset, t.bytes);
    return CLN_OK;
}

int cln_tensor_write(cln_device *dev, cln_tensor t, size_t offset, const void *src, size_t bytes,
                     cln_error *err)
{
    int code = check_bounds(t, offset, bytes, "a write", err);
    if (code || bytes == 0)
        return code;
    cl_int status =
        clEnqueueWriteBuffer(dev->queue, t.mem, CL_TRUE, offset, bytes, src, 0, NULL, NULL);
    return status == CL_SUCCESS ? CLN_OK : CLN_FAIL_CL(err, status, "clEnqueueWriteBuffer");
}

int cln_tensor_read(cln_device *dev, cln_tensor t, size_t offset, void *dst, size_t bytes,
                    cln_error *err)
{
    int code = check_bounds(t, offset, bytes, "a read", err);
    if (code || bytes == 0)
        return code;
    cl_int status =
        clEnqueueReadBuffer(dev->queue, t.mem, CL_TRUE, offset, bytes, dst, 0, NULL, NULL);
    return status == CL_SUCCESS ? CLN_OK : CLN_FAIL_CL(err, status, "clEnqueueReadBuffer");
}

int cln_tensor_fill(cln_device *dev, cln_tensor t, uint32_t pattern, cln_error *err)
{
    if (!t.mem || t.bytes % sizeof pattern != 0)
        return CLN_FAIL(err, CLN_ERR_INTERNAL, "a fill of %zu bytes, not a multiple of %zu",
                        t.bytes, sizeof pattern);
    cl_int status =
        clEnqueueFillBuffer(dev->queue, t.mem, &pattern, sizeof pattern, 0, t.bytes, 0, NULL, NULL);
    return status == CL_SUCCESS ? CLN_OK : CLN_FAIL_CL(err, status, "clEnqueueFillBuffer");
}

int cln_tensor_copy(cln_device *dev, cln_tensor src, cln_tensor dst, size_t bytes, cln_error *err)
{
    int code = check_bounds(src, 0, bytes, "a copy", err);
    if (!code)
        code = check_bounds(dst, 0, bytes, "a copy", err);
    if (code || bytes == 0)
        return code;
    cl_int status = clEnqueueCopyBuffer(dev->queue, src.mem, dst.mem, 0, 0, bytes, 0, NULL, NULL);
    return status == CL_SUCCESS ? CLN_OK : CLN_FAIL_CL(err, status, "clEnqueueCopyBuffer");
}
