#include "simulate.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORKGROUP, LOCAL, ALLOC, WIDTH, ALIGN, CACHED, LIMITS, MAX_TEXT = 200 };

static const struct {
    const char *name, *expected;
    unsigned long long max; /* power of two only, where it is one for WIDTH and ALIGN */
} limits[LIMITS] = {[WORKGROUP] = {"workgroup", "a number of work-items, 1 or more", 1ull << 30},
                    [LOCAL] = {"local", "bytes of local memory, 1 or more", 1ull << 40},
                    [ALLOC] = {"alloc", "bytes of a buffer, 1 or more", 1ull << 60},
                    [WIDTH] = {"width", "1, 2, 4, 8 or 16", 16},
                    [ALIGN] = {"align", "bytes, a power of two up to 1M", 1ull << 20},
                    [CACHED] = {"cached", "1, or not given", 1}};

/* "8M"; 0: not a number of 1 or more. */
static unsigned long long read_bytes(const char *text)
{
    static const char units[] = "KMG";
    char *end;
    if (!isdigit((unsigned char)*text))
        return 0;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    const char *unit = *end ? strchr(units, *end) : NULL;
    if (errno || (*end && (!unit || end[1])))
        return 0;
    for (const char *u = units; unit && u <= unit; u++)
        n = n <= 1ull << 50 ? n * 1024 : 0;
    return n;
}

/* One "name=value" into value[]. */
static int read_limit(char *item, unsigned long long value[LIMITS], cln_error *err)
{
    char *equals = strchr(item, '=');
    const size_t length = equals ? (size_t)(equals - item) : strlen(item);
    int i = 0;
    while (i < LIMITS &&
           (strlen(limits[i].name) != length || strncmp(limits[i].name, item, length) != 0))
        i++;
    if (i == LIMITS)
        return CLN_FAIL(
            err, CLN_ERR_ARGUMENT,
            "CLNORM_SIMULATE: '%s' is not one of workgroup=, local=, alloc=, width=, align= and cached=",
            item);
    if (value[i])
        return CLN_FAIL(err, CLN_ERR_ARGUMENT, "CLNORM_SIMULATE: %s is given twice",
                        limits[i].name);
    value[i] = equals ? read_bytes(equals + 1) : 0;
    const bool power = (value[i] & (value[i] - 1)) == 0;
    if (value[i] < 1 || value[i] > limits[i].max || ((i == WIDTH || i == ALIGN) && !power))
        return CLN_FAIL(err, CLN_ERR_ARGUMENT, "CLNORM_SIMULATE: '%s': %s is %s", item,
                        limits[i].name, limits[i].expected);
    return CLN_OK;
}

static size_t smaller(size_t a, unsigned long long b)
{
    return a < b ? a : (size_t)b;
}

static void apply(cln_device_info *d, const unsigned long long value[LIMITS])
{
    size_t at = 0;
    for (int i = 0; i < LIMITS; i++)
        if (value[i])
            at += (size_t)snprintf(d->simulated + at, sizeof d->simulated - at, "%s%s=%llu",
                                   at ? "," : "", limits[i].name, value[i]);
    snprintf(d->name, sizeof d->name, "%s (simulated: %s)", d->model, d->simulated);
    if (value[WORKGROUP]) {
        d->max_local_size = smaller(d->max_local_size, value[WORKGROUP]);
        for (int i = 0; i < 3; i++)
            d->max_items[i] = smaller(d->max_items[i], value[WORKGROUP]);
    }
    if (value[LOCAL] && value[LOCAL] < d->local_mem)
        d->local_mem = value[LOCAL];
    if (value[ALLOC] && value[ALLOC] < d->max_alloc)
        d->max_alloc = value[ALLOC];
    if (value[WIDTH])
        d->vector_width = (cl_uint)value[WIDTH];
    if (value[ALIGN] > d->base_align)
        d->base_align = (size_t)value[ALIGN];
    if (value[CACHED])
        d->local_is_global = true;
}

int cln_simulate(cln_device_info *list, size_t count, cln_error *err)
{
    const char *text = getenv("CLNORM_SIMULATE");
    unsigned long long value[LIMITS] = {0};
    char copy[MAX_TEXT], *rest = NULL;
    int rc = CLN_OK;
    if (!text || !*text)
        return CLN_OK;
    if (strlen(text) >= sizeof copy)
        return CLN_FAIL(err, CLN_ERR_ARGUMENT, "CLNORM_SIMULATE has more than %d characters",
                        MAX_TEXT - 1);
    strcpy(copy, text);
    for (char *item = copy; item && !rc; item = rest) { /* strtok_r would pass over empty items */
        rest = strchr(item, ',');
        if (rest)
            *rest++ = '\0';
        rc = read_limit(item, value, err);
    }
    for (size_t i = 0; i < count && !rc; i++)
        apply(&list[i], value);
    return rc;
}

cl_int cln_simulate_launch(const cln_device_info *info, const size_t local[3], cl_ulong local_bytes)
{
    if (!info->simulated[0])
        return CL_SUCCESS;
    for (int i = 0; i < 3; i++)
        if (local[i] > info->max_items[i])
            return CL_INVALID_WORK_ITEM_SIZE;
    if (local[0] * local[1] * local[2] > info->max_local_size)
        return CL_INVALID_WORK_GROUP_SIZE;
    return local_bytes > info->local_mem ? CL_OUT_OF_RESOURCES : CL_SUCCESS;
}

cl_int cln_simulate_view(const cln_device_info *info, size_t offset)
{
    return info->simulated[0] && offset % info->base_align ? CL_MISALIGNED_SUB_BUFFER_OFFSET
                                                           : CL_SUCCESS;
}
