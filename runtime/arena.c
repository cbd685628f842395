#include "arena.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD_BYTES = 4096 };
static const uint32_t POISON = 0x7fc0dead; /* a NaN that arithmetic does not make */

static bool overlap(const cln_arena_item *a, const cln_arena_item *b)
{
    return a->birth <= b->death && b->birth <= a->death;
}

static int by_size(const void *a, const void *b)
{
    const cln_arena_item *x = *(cln_arena_item *const *)a, *y = *(cln_arena_item *const *)b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return x < y ? -1 : 1; /* a fixed order, so that a plan is the same every time */
}

/* Lowest offset in buffer b at which `item` meets no placed item that is alive with it. */
static size_t lowest_offset(cln_arena_item *const *placed, int n, const cln_arena_item *item, int b, size_t align)
{
    size_t offset = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (int i = 0; i < n; i++) {
            const cln_arena_item *p = placed[i];
            if (p->buffer == b && overlap(p, item) && offset < p->offset + p->bytes &&
                p->offset < offset + item->bytes) {
                offset = cln_align_up(p->offset + p->bytes, align);
                moved = true;
            }
        }
    }
    return offset;
}

/* Both limits at once: the largest item against the largest allocation, all buffers against the memory. */
static int check_fit(const cln_arena *arena, const cln_arena_item *largest, int batch, cln_error *err)
{
    const double mib = 1048576.0, single = (double)largest->bytes, all = (double)arena->bytes;
    const double max_single = (double)arena->dev->info.max_alloc, max_all = (double)arena->dev->info.global_mem;
    if (single <= max_single && all <= max_all)
        return CLN_OK;
    const double share = fmin(max_single / single, max_all / all);
    const int fits = (int)(batch * share * 0.95);
    if (single > max_single)
        return CLN_FAIL(err, CLN_ERR_DEVICE_MEMORY,
                        "batch %d does not fit the device: %s needs %.1f MiB, the largest buffer may have %.1f MiB; "
                        "try --batch %d", batch, largest->what, single / mib, max_single / mib, fits < 1 ? 1 : fits);
    return CLN_FAIL(err, CLN_ERR_DEVICE_MEMORY,
                    "batch %d does not fit the device: it needs %.1f MiB, the most for %s, %.1f MiB; the device has %.1f "
                    "MiB; try --batch %d", batch, all / mib, largest->what, single / mib, max_all / mib,
                    fits < 1 ? 1 : fits);
}

/* Decides buffer and offset of every item; sizes the buffers. An item above the limit gets a buffer of its own. */
static int lay_out(cln_arena *arena, int batch, cln_error *err)
{
    const size_t align = arena->dev->info.base_align, limit = (size_t)arena->dev->info.max_alloc;
    cln_arena_item **order = malloc(((size_t)arena->n_items + 1) * sizeof *order);
    if (!order)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory while planning device memory");
    for (int i = 0; i < arena->n_items; i++)
        order[i] = &arena->items[i];
    qsort(order, (size_t)arena->n_items, sizeof *order, by_size);
    for (int i = 0; i < arena->n_items; i++) {
        cln_arena_item *item = order[i];
        int b = arena->guarded ? arena->n_buffers : 0;
        for (; b < arena->n_buffers; b++) {
            item->offset = lowest_offset(order, i, item, b, align);
            if (item->offset + item->bytes <= limit)
                break;
        }
        if (b == arena->n_buffers) {
            item->offset = 0;
            arena->sizes[arena->n_buffers++] = 0;
        }
        item->buffer = b;
        if (item->offset + item->bytes > arena->sizes[b])
            arena->sizes[b] = item->offset + item->bytes;
    }
    for (int b = 0; b < arena->n_buffers; b++)
        arena->bytes += arena->sizes[b];
    const int rc = arena->n_items ? check_fit(arena, order[0], batch, err) : CLN_OK;
    free(order);
    return rc;
}

/* A guarded buffer holds guard, item, guard. */
static int make_buffers(cln_arena *arena, cln_error *err)
{
    const size_t guard = arena->guarded ? cln_align_up(GUARD_BYTES, arena->dev->info.base_align) : 0;
    int rc = CLN_OK;
    for (int b = 0; b < arena->n_buffers && !rc; b++) {
        rc = cln_tensor_new(arena->dev, cln_align_up(arena->sizes[b], 4) + 2 * guard, "activations", &arena->buffers[b], err);
        if (!rc && arena->guarded)
            rc = cln_tensor_fill(arena->dev, arena->buffers[b], POISON, err);
    }
    for (int i = 0; i < arena->n_items && !rc; i++) {
        cln_arena_item *item = &arena->items[i];
        rc = cln_tensor_view(arena->dev, arena->buffers[item->buffer], item->offset + guard, item->bytes, item->tensor, err);
    }
    return rc;
}

int cln_arena_measure(cln_arena *arena, cln_device *dev, const cln_arena_item *items, int n_items, int batch,
                      cln_error *err)
{
    const size_t room = (size_t)n_items + 1;
    arena->dev = dev;
    arena->items = calloc(room, sizeof *arena->items);
    arena->buffers = calloc(room, sizeof *arena->buffers);
    arena->sizes = calloc(room, sizeof *arena->sizes);
    if (!arena->items || !arena->buffers || !arena->sizes)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory while planning device memory");
    memcpy(arena->items, items, (size_t)n_items * sizeof *items);
    arena->n_items = n_items;
    return lay_out(arena, batch, err);
}

int cln_arena_place(cln_arena *arena, cln_device *dev, const cln_arena_item *items, int n_items, int batch,
                    bool guarded, cln_error *err)
{
    arena->guarded = guarded;
    int rc = cln_arena_measure(arena, dev, items, n_items, batch, err);
    return rc ? rc : make_buffers(arena, err);
}

/* The last view goes first: NVIDIA's driver (580.159) crashed in clReleaseMemObject where views that overlap went in the
 * order in which they were made, or their buffer before them. */
void cln_arena_free(cln_arena *arena)
{
    for (int i = arena->n_items - 1; i >= 0; i--)
        cln_tensor_free(arena->items[i].tensor);
    for (int b = 0; b < arena->n_buffers; b++)
        cln_tensor_free(&arena->buffers[b]);
    free(arena->items);
    free(arena->buffers);
    free(arena->sizes);
    memset(arena, 0, sizeof *arena);
}

int cln_arena_poison(cln_arena *arena, cln_error *err)
{
    int rc = CLN_OK;
    for (int i = 0; i < arena->n_items && !rc; i++)
        rc = cln_tensor_fill(arena->dev, *arena->items[i].tensor, POISON, err);
    return rc;
}

int cln_arena_check(cln_arena *arena, cln_error *err)
{
    const size_t guard = cln_align_up(GUARD_BYTES, arena->dev->info.base_align);
    uint32_t band[GUARD_BYTES / sizeof(uint32_t)];
    for (int i = 0; arena->guarded && i < arena->n_items; i++) {
        const cln_arena_item *item = &arena->items[i];
        const cln_tensor base = arena->buffers[item->buffer];
        const size_t after = guard + cln_align_up(item->bytes, 4);
        const size_t at[2] = {guard - GUARD_BYTES, after};
        for (int side = 0; side < 2; side++) {
            int rc = cln_tensor_read(arena->dev, base, at[side], band, sizeof band, err);
            if (rc)
                return rc;
            for (size_t k = 0; k < sizeof band / sizeof *band; k++)
                if (band[k] != POISON)
                    return CLN_FAIL(err, CLN_ERR_INTERNAL, "%s was overrun (%s it)", item->what,
                                    side ? "behind" : "before");
        }
    }
    return CLN_OK;
}
