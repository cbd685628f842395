/* A device that pretends to be smaller than it is, so that what large devices never need is tested on them, too:
 *
 *     CLNORM_SIMULATE="workgroup=16,local=4096,alloc=8M,width=1,align=1024"
 *
 *     workgroup  work-items of a work-group at most       local  bytes of local memory at most
 *     alloc      bytes of a buffer at most                width  native float vectors: 1, 2, 4, 8 or 16
 *     align      bytes that offsets of sub-buffers must be a multiple of, a power of two
 *     cached=1   local memory is ordinary memory in a cache, which the Winograd convolutions ask for
 *
 * Bytes take K, M or G (1024). Only `width` and `cached` can go beyond what the device has. What the device's properties do not
 * bring about by themselves is refused here with the status that a real device would give. CLBlast asks the device
 * itself: its kernels do not see these limits, and cln_conv_gemm keeps away from devices too small for them. */
#ifndef CLN_SIMULATE_H
#define CLN_SIMULATE_H

#include "device.h"

/* Applies $CLNORM_SIMULATE, if that is set and not empty, to a list of devices; each gets the limits into `simulated`
 * and its name. CLN_ERR_ARGUMENT names the part that is wrong. */
int cln_simulate(cln_device_info *list, size_t count, cln_error *err);

/* What clEnqueueNDRangeKernel would say on the simulated device to a kernel with `local_bytes` of local memory;
 * CL_SUCCESS where nothing is simulated. */
cl_int cln_simulate_launch(const cln_device_info *info, const size_t local[3],
                           cl_ulong local_bytes);

/* The same for clCreateSubBuffer. */
cl_int cln_simulate_view(const cln_device_info *info, size_t offset);

#endif
