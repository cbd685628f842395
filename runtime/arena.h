/* Memory by lifetime: tensors that are never alive at the same time share bytes. */
#ifndef CLN_ARENA_H
#define CLN_ARENA_H

#include "tensor.h"

/* One tensor wanted: alive in the closed interval [birth, death] of the step's schedule. */
typedef struct cln_arena_item {
    cln_tensor *tensor;   /* filled in: a view, owned by the arena */
    size_t bytes;
    int birth, death;
    char what[64];        /* for messages: "layer 3 (conv) output" */
    int buffer;           /* filled in: which buffer, and where in it */
    size_t offset;
} cln_arena_item;

typedef struct cln_arena {
    cln_device *dev;
    cln_tensor *buffers;
    size_t *sizes;
    int n_buffers;
    cln_arena_item *items;
    int n_items;
    bool guarded;         /* each item alone in its buffer, between two guard bands, all filled with NaN */
    size_t bytes;         /* all buffers together */
} cln_arena;

/* Places `items` (copied) into as few buffers as the device's maximum allocation permits, greedily by size
 * (Pisarchyk & Lee 2020, "greedy by size"), and sets their tensors. `batch` is the batch size the items are
 * for: when they do not fit, the CLN_ERR_DEVICE_MEMORY text names the largest item, its bytes, the limit and
 * a batch size that fits. The arena must be zeroed before. */
int cln_arena_place(cln_arena *arena, cln_device *dev, const cln_arena_item *items, int n_items, int batch,
                    bool guarded, cln_error *err);
/* The same without a buffer: arena->bytes alone. */
int cln_arena_measure(cln_arena *arena, cln_device *dev, const cln_arena_item *items, int n_items, int batch,
                      cln_error *err);
void cln_arena_free(cln_arena *arena);

/* Guarded arenas: fills every item with NaN again / checks that every guard band is whole (CLN_ERR_INTERNAL
 * names the item that was overrun). */
int cln_arena_poison(cln_arena *arena, cln_error *err);
int cln_arena_check(cln_arena *arena, cln_error *err);

#endif
