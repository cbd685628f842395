/* Device memory as typed views. Layout everywhere: NHWC, float32, no padding. */
#ifndef CLN_TENSOR_H
#define CLN_TENSOR_H

#include "device.h"

typedef struct cln_shape {
    int n, h, w, c;
} cln_shape;

static inline size_t cln_shape_count(cln_shape s)
{
    return (size_t)s.n * (size_t)s.h * (size_t)s.w * (size_t)s.c;
}

/* A buffer or sub-buffer of `bytes` bytes. mem == NULL: absent. A view does not own what it views:
 * whoever made it (the plan, a test) releases it with cln_tensor_free. */
typedef struct cln_tensor {
    cl_mem mem;
    size_t bytes;
} cln_tensor;

/* A buffer of `bytes` (>= 1). Checks the device's maximum allocation first: CLN_ERR_DEVICE_MEMORY with
 * the wanted and the allowed size in MiB. `what` names it in the message ("activations"). */
int cln_tensor_new(cln_device *dev, size_t bytes, const char *what, cln_tensor *out, cln_error *err);

/* A sub-buffer; offset must be a multiple of info.base_align (cln_align_up). */
int cln_tensor_view(const cln_device *dev, cln_tensor base, size_t offset, size_t bytes, cln_tensor *out, cln_error *err);

void cln_tensor_free(cln_tensor *t); /* releases and clears; a cleared one is allowed */

/* Blocking copies between host and device, bounds-checked. Not for use inside a training step. */
int cln_tensor_write(cln_device *dev, cln_tensor t, size_t offset, const void *src, size_t bytes,
                     cln_error *err);
int cln_tensor_read(cln_device *dev, cln_tensor t, size_t offset, void *dst, size_t bytes,
                    cln_error *err);
/* Enqueues (does not wait): fills the whole tensor with the 32-bit pattern, or copies device to device. */
int cln_tensor_fill(cln_device *dev, cln_tensor t, uint32_t pattern, cln_error *err);
int cln_tensor_copy(cln_device *dev, cln_tensor src, cln_tensor dst, size_t bytes, cln_error *err);

static inline size_t cln_align_up(size_t n, size_t align)
{
    return align < 2 ? n : (n + align - 1) / align * align;
}

#endif
