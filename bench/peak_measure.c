/* The device's ceilings, by the kernels of cl/peak.cl. Everything is sampled in turn, round by
 * round, and the best sample of each counts: a ceiling is what the device can do, and whatever else the machine does
 * meanwhile only takes away from that. Each sample's result is checked, so that work that was left out is noticed. */
#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FMAS = 2,              /* numbers of accumulators that are tried: the best counts */
    UNROLL = 8,            /* multiply-adds in a round, for each accumulator: as in cl/peak.cl */
    VECTORS_AT_ONCE = 8,   /* peak_copy and peak_read take so many vectors at once */
    FIRST_SET = 256 << 10, /* bytes; doubled from rung to rung */
    LAST_SET_VECTOR =
        256 << 20, /* each page that is touched for the first time costs a CPU microseconds */
    LAST_SET_SIMT = 512 << 20,
    PIECE = 256 << 10, /* bytes that an item copies or reads when there is one pass */
    SPOT = 256,        /* words that are looked at in a place */
    MAX_PROBES = FMAS + 2 + 2 * CLN_BENCH_BANDWIDTHS
};
/* Seconds of the longest samples. Every third is as long, the others a half and a quarter: long ones lose less to the
 * launch, but only short ones fit into the slices of time that a busy machine gives. */
static const double SAMPLE = 4e-3;
static const double SLOWEST = 0.1; /* seconds of a pass: larger working sets are left out */

typedef enum peak_kind { PEAK_FMA, PEAK_LAUNCH, PEAK_ROUND_TRIP, PEAK_COPY, PEAK_READ } peak_kind;

typedef struct peak_probe {
    peak_kind kind;
    size_t bytes;   /* working set of a copy or read */
    int acc, which; /* accumulators of PEAK_FMA, and its kernel */
    int n, max;     /* rounds, launches or passes in a sample */
    double best;    /* seconds for one of them */
} peak_probe;

typedef struct peak_bench {
    cln_device *dev;
    bool simt;
    size_t v, local, items; /* items of fma, and of copy and read where simt */
    cln_kernel fill, fma[FMAS], launch, copy, read;
    cln_tensor x, y, out, counts;
    size_t filled; /* bytes of x */
    void *host;    /* as large as out */
    uint32_t key, touched;
    peak_probe probes[MAX_PROBES];
    int n_probes;
} peak_bench;

/* ---- what the kernels must give: see cl/peak.cl ---------------------------------------------------- */

static uint32_t word(size_t i)
{
    return (uint32_t)(2654435761u * i + 12345u);
}

/* word(0) + ... + word(n - 1) */
static uint32_t sum_of_words(uint64_t n)
{
    return (uint32_t)(2654435761u * (n * (n - 1) / 2) + 12345u * n);
}

static int wrong(const peak_bench *b, const char *kernel, double got, double expected,
                 cln_error *err)
{
    const cln_device_info *d = &b->dev->info;
    return CLN_FAIL(err, CLN_ERR_DEVICE, "device %d (%s) computes wrongly: %s gave %.0f, not %.0f",
                    d->index, d->name, kernel, got, expected);
}

static int check_fma(const peak_bench *b, const peak_probe *p, cln_error *err)
{
    const size_t count = b->items * b->v;
    const float *y = b->host;
    int rc = cln_tensor_read(b->dev, b->out, 0, b->host, count * sizeof *y, err);
    for (size_t i = 0; i < count && !rc; i++) {
        const double steps =
            (double)UNROLL * p->n + (double)(i / b->v % 16 + 1) + (double)(i % b->v);
        const double expected = p->acc * (steps + (double)b->v * (p->acc - 1) / 2);
        if (y[i] != (float)expected)
            rc = wrong(b, b->fma[p->which].name, (double)y[i], expected, err);
    }
    return rc;
}

/* Vectors by which a pass is turned against the one before it. */
static uint32_t turn_of(const peak_bench *b, uint32_t vectors)
{
    return b->simt ? (uint32_t)(0.38 * vectors) / 64 * 64 : 0;
}

/* The first, the last and, elsewhere for each sample, some words between. */
static int check_copy(const peak_bench *b, const peak_probe *p, cln_error *err)
{
    const size_t words = p->bytes / 8, vectors = words / b->v;
    const uint32_t key = b->key + (uint32_t)p->n - 1;
    const size_t offset = (uint64_t)turn_of(b, (uint32_t)vectors) * (uint64_t)(p->n - 1) % vectors;
    const size_t spots[] = {0, words - SPOT, (size_t)word(b->key) % (words - SPOT)};
    const uint32_t *y = b->host;
    int rc = CLN_OK;
    for (int s = 0; s < 3 && !rc; s++) {
        rc = cln_tensor_read(b->dev, b->y, 4 * spots[s], b->host, 4 * SPOT, err);
        for (size_t i = spots[s]; i < spots[s] + SPOT && !rc; i++) {
            const uint32_t expected = word((i / b->v + offset) % vectors * b->v + i % b->v) + key;
            if (y[i - spots[s]] != expected)
                rc = wrong(b, b->copy.name, y[i - spots[s]], expected, err);
        }
    }
    return rc;
}

static int check_read(const peak_bench *b, const peak_probe *p, size_t items, cln_error *err)
{
    const uint32_t expected = (uint32_t)p->n * sum_of_words(p->bytes / 4);
    const uint32_t *sums = b->host;
    uint32_t sum = 0;
    int rc = cln_tensor_read(b->dev, b->out, 0, b->host, 4 * items, err);
    for (size_t i = 0; i < items && !rc; i++)
        sum += sums[i];
    return rc || sum == expected ? rc : wrong(b, b->read.name, sum, expected, err);
}

static int check_launches(peak_bench *b, cln_error *err)
{
    uint32_t count = 0;
    int rc = cln_tensor_read(b->dev, b->counts, 0, &count, sizeof count, err);
    return rc || count == b->touched ? rc : wrong(b, b->launch.name, count, b->touched, err);
}

/* ---- samples --------------------------------------------------------------------------------------- */

/* Items of a copy or read of so many vectors. Vector class: one for each compute unit where there are several
 * passes, since an item's passes go over its own part alone and the parts of all must be in use at a time. */
static size_t stream_items(const peak_bench *b, const peak_probe *p, uint32_t vectors,
                           uint32_t *chunk)
{
    *chunk = vectors;
    if (b->simt || vectors == 0) /* no memory is what other kinds of probe touch */
        return b->items < vectors ? b->items : vectors;
    const uint32_t units = b->dev->info.compute_units;
    *chunk = p->n > 1 ? (vectors + units - 1) / units : (uint32_t)(PIECE / 4 / b->v);
    *chunk = (uint32_t)cln_align_up(*chunk, VECTORS_AT_ONCE);
    return (vectors + *chunk - 1) / *chunk;
}

static int run_launches(peak_bench *b, const peak_probe *p, cln_error *err)
{
    int rc = CLN_OK;
    for (int i = 0; i < p->n && !rc; i++) {
        rc = cln_run(&b->launch, cln_range1(1, 1), err, CLN_MEM(b->counts));
        b->touched++;
        if (!rc && p->kind == PEAK_ROUND_TRIP)
            rc = cln_device_finish(b->dev, err);
    }
    return rc;
}

/* Runs the probe's rounds, launches or passes, and checks what came of them. */
static int sample(peak_bench *b, const peak_probe *p, double *seconds, cln_error *err)
{
    const uint32_t vectors = (uint32_t)(p->bytes / (p->kind == PEAK_COPY ? 8 : 4) / b->v);
    const uint32_t turn = turn_of(b, vectors);
    uint32_t chunk;
    const size_t items = stream_items(b, p, vectors, &chunk);
    b->key += 0x10001u * (uint32_t)(p->n + 1);
    int rc = cln_device_finish(b->dev, err);
    const double began = cln_now();
    if (rc)
        return rc;
    if (p->kind == PEAK_FMA)
        rc = cln_run(&b->fma[p->which], cln_range1(b->items, b->local), err, CLN_MEM(b->out),
                     CLN_FLOAT(1), CLN_FLOAT(1), CLN_INT(p->n));
    else if (p->kind == PEAK_COPY)
        rc = cln_run(&b->copy, cln_range1(items, b->local), err, CLN_MEM(b->x), CLN_MEM(b->y),
                     CLN_UINT(vectors), CLN_UINT(chunk), CLN_UINT(turn), CLN_INT(p->n),
                     CLN_UINT(b->key));
    else if (p->kind == PEAK_READ)
        rc = cln_run(&b->read, cln_range1(items, b->local), err, CLN_MEM(b->x), CLN_MEM(b->out),
                     CLN_UINT(vectors), CLN_UINT(chunk), CLN_UINT(turn), CLN_INT(p->n));
    else
        rc = run_launches(b, p, err);
    if (!rc)
        rc = cln_device_finish(b->dev, err);
    *seconds = cln_now() - began;
    if (rc)
        return rc;
    return p->kind == PEAK_FMA    ? check_fma(b, p, err)
           : p->kind == PEAK_COPY ? check_copy(b, p, err)
           : p->kind == PEAK_READ ? check_read(b, p, items, err)
                                  : check_launches(b, err);
}

/* Adds a probe of kind, bytes, acc and max, with n such that a sample takes about SAMPLE. */
static int add_probe(peak_bench *b, peak_probe probe, cln_error *err)
{
    peak_probe *p = &b->probes[b->n_probes];
    double seconds = 0;
    *p = probe;
    p->n = 1;
    p->best = INFINITY;
    int rc = sample(b, p, &seconds, err); /* the driver compiles, pages are touched */
    for (int i = 0; i < 12 && !rc; i++) {
        rc = sample(b, p, &seconds, err);
        p->best = fmin(p->best, seconds / p->n);
        const double fitting = p->n * fmin(SAMPLE / seconds, 8);
        const int n = (int)fmax(1, fmin(p->max, fitting));
        if (n <= p->n + p->n / 8)
            break;
        p->n = n;
    }
    b->n_probes += !rc;
    return rc;
}

/* ---- the device's buffers and kernels -------------------------------------------------------------- */

static void bench_clear(peak_bench *b)
{
    cln_kernel *kernels[] = {&b->fill, &b->launch, &b->copy, &b->read};
    cln_tensor *tensors[] = {&b->x, &b->y, &b->out, &b->counts};
    for (int i = 0; i < FMAS; i++)
        cln_kernel_free(&b->fma[i]);
    for (int i = 0; i < 4; i++)
        cln_kernel_free(kernels[i]);
    for (int i = 0; i < 4; i++)
        cln_tensor_free(tensors[i]);
    free(b->host);
}

/* The largest working set that is measured: x has so many bytes, y half as many. */
static size_t last_set(const peak_bench *b)
{
    const cln_device_info *d = &b->dev->info;
    size_t bytes = b->simt ? LAST_SET_SIMT : LAST_SET_VECTOR;
    while (bytes > FIRST_SET && (bytes > d->max_alloc || bytes > d->global_mem / 8))
        bytes /= 2;
    return bytes;
}

/* Accumulators of an item. A core of two units with a latency of 4 needs 8, one of four units 16, which do not fit
 * everywhere: 14 fit 16 registers. Many work-items hide the latency themselves. */
static int accumulators(const peak_bench *b, int which)
{
    return b->simt ? (which ? 4 : 2) : (which ? 16 : 12);
}

static int make_kernels(peak_bench *b, cln_error *err)
{
    struct {
        cln_kernel *kernel;
        const char *name;
        int acc;
    } list[] = {{&b->fma[0], "peak_fma", accumulators(b, 0)},
                {&b->fma[1], "peak_fma", accumulators(b, 1)},
                {&b->fill, "peak_fill", accumulators(b, 0)},
                {&b->launch, "peak_touch", accumulators(b, 0)},
                {&b->copy, "peak_copy", accumulators(b, 0)},
                {&b->read, "peak_read", accumulators(b, 0)}};
    int rc = CLN_OK;
    for (size_t i = 0; i < sizeof list / sizeof list[0] && !rc; i++) {
        char options[64];
        snprintf(options, sizeof options, "-D V=%zu -D SIMT=%d -D ACC=%d", b->v, b->simt,
                 list[i].acc);
        rc = cln_kernel_new(b->dev, "peak.cl", list[i].name, options, list[i].kernel, err);
    }
    return rc;
}

static int bench_open(peak_bench *b, cln_device *dev, cln_error *err)
{
    const cln_device_info *d = &dev->info;
    *b = (peak_bench){.dev = dev, .simt = d->vector_width < 4, .v = 4, .local = 1};
    while (!b->simt && b->v < 16 && 2 * b->v <= d->vector_width)
        b->v *= 2;
    while (b->simt && b->local < 256 && 2 * b->local <= d->max_local_size)
        b->local *= 2;
    b->items = 8 * b->local * d->compute_units;

    const size_t bytes = last_set(b), pieces = bytes / PIECE;
    const size_t out = (b->items * b->v > pieces ? b->items * b->v : pieces) * sizeof(uint32_t);
    b->host = malloc(out > 4 * SPOT ? out : 4 * SPOT);
    int rc = b->host ? CLN_OK
                     : CLN_FAIL(err, CLN_ERR_MEMORY, "no memory for %zu results",
                                out / sizeof(uint32_t));
    if (!rc)
        rc = make_kernels(b, err);
    if (!rc)
        rc = cln_tensor_new(dev, bytes, "the working set", &b->x, err);
    if (!rc)
        rc = cln_tensor_new(dev, bytes / 2, "the working set", &b->y, err);
    if (!rc)
        rc = cln_tensor_new(dev, out, "results", &b->out, err);
    if (!rc)
        rc = cln_tensor_new(dev, sizeof(uint32_t), "a count", &b->counts, err);
    return rc ? rc : cln_tensor_fill(dev, b->counts, 0, err);
}

/* The ladder of working sets: it ends early where a pass takes long. */
static int add_ladder(peak_bench *b, cln_error *err)
{
    double seconds = 0;
    int rc = CLN_OK;
    for (size_t bytes = FIRST_SET; bytes <= b->x.bytes && seconds < SLOWEST && !rc; bytes *= 2) {
        rc = cln_run(&b->fill, cln_range1(b->items, b->local), err, CLN_MEM(b->x),
                     CLN_UINT((uint32_t)(b->filled / 4)), CLN_UINT((uint32_t)(bytes / 4)));
        b->filled = bytes;
        if (!rc)
            rc = add_probe(b, (peak_probe){PEAK_COPY, .bytes = bytes, .max = 1 << 20}, err);
        if (!rc)
            rc = add_probe(b, (peak_probe){PEAK_READ, .bytes = bytes, .max = 1 << 20}, err);
        peak_probe one = b->probes[b->n_probes - 1];
        one.n = 1;
        if (!rc)
            rc = sample(b, &one, &seconds, err);
    }
    return rc;
}

/* ---- results --------------------------------------------------------------------------------------- */

static void results(const peak_bench *b, cln_bench_peaks *out)
{
    *out = (cln_bench_peaks){0};
    for (int i = 0; i < b->n_probes; i++) {
        const peak_probe *p = &b->probes[i];
        switch (p->kind) {
        case PEAK_FMA:
            out->flops =
                fmax(out->flops, 2.0 * UNROLL * p->acc * (double)(b->items * b->v) / p->best);
            break;
        case PEAK_LAUNCH:
            out->launch = p->best;
            break;
        case PEAK_ROUND_TRIP:
            out->round_trip = p->best;
            break;
        case PEAK_COPY: /* the read of the same working set follows */
            out->bandwidth[out->n_bandwidth].bytes = (double)p->bytes;
            out->bandwidth[out->n_bandwidth].copy = (double)p->bytes / p->best;
            break;
        case PEAK_READ:
            out->bandwidth[out->n_bandwidth++].read = (double)p->bytes / p->best;
            break;
        }
    }
}

int cln_bench_peaks_measure(cln_device *dev, double seconds, cln_bench_peaks *out, cln_error *err)
{
    peak_bench b;
    const double began = cln_now();
    int rc = bench_open(&b, dev, err);
    for (int i = 0; i < FMAS && !rc; i++) {
        const int acc = accumulators(&b, i); /* sums of floats stay exact below 2^24 */
        const int max = (1 << 24) / (UNROLL * acc) - 64;
        rc = add_probe(&b, (peak_probe){PEAK_FMA, .acc = acc, .which = i, .max = max}, err);
    }
    if (!rc)
        rc = add_probe(&b, (peak_probe){PEAK_LAUNCH, .max = 10000}, err);
    if (!rc)
        rc = add_probe(&b, (peak_probe){PEAK_ROUND_TRIP, .max = 10000}, err);
    if (!rc)
        rc = add_ladder(&b, err);
    for (int round = 0; !rc; round++) {
        const double passed = cln_now() - began;
        if (round > 0 && passed >= (round < 3 ? 3 * seconds : seconds))
            break;
        for (int i = 0; i < b.n_probes && !rc; i++) {
            peak_probe p = b.probes[i];
            double s = 0;
            p.n = p.n >> round % 3 ? p.n >> round % 3 : 1;
            rc = sample(&b, &p, &s, err);
            b.probes[i].best = fmin(p.best, s / p.n);
        }
    }
    if (!rc)
        results(&b, out);
    bench_clear(&b);
    return rc;
}
