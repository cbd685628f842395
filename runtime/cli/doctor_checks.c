/* The checks of clnorm doctor: see doctor.h. What a layer should compute, and on which shapes that is looked at, stands in
 * tests/ops. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../kernel.h"
#include "../options.h"
#include "common/trajectory.h"
#include "doctor.h"
#include "ops/cases.h"
#include "ops/network.h"
#include "ops/stages.h"
#include "ops/training.h"

/* MULS: of a small case's forward pass (cln_verdict.most). */
enum { TRAINING_STEPS = 20, SMALL_MULS = 16000 };
static const char *const norms[] = {"bn", "ln", "gn", "in", "none"};
enum { NORMS = sizeof norms / sizeof norms[0] };

/* ---- layers -------------------------------------------------------------------------------------- */

static void choose_cases(const cln_doctor_check *check, cln_verdict *v)
{
    v->once = check->cases == CLN_CASES_SMALL;
    v->most = v->once ? SMALL_MULS : 0;
}

static void check_layer(cln_device *dev, const cln_doctor_check *check, cln_verdict *v)
{
    choose_cases(check, v);
    for (const cln_case *c = cln_cases; c->line; c++)
        if ((c->doctor || check->cases != CLN_CASES_FEW) && cln_case_is(c, check->op)) {
            cln_case_check(dev, c, &check->tune, false, v);
            cln_case_check(dev, c, &check->tune, true, v);
        }
}

static void check_stage(cln_device *dev, const cln_doctor_check *check, cln_verdict *v)
{
    static const cln_stage_set others[] = {CLN_STAGE_SHAPES, CLN_STAGE_GROUPS, CLN_STAGE_VALUES,
                                           CLN_STAGE_EDGES};
    choose_cases(check, v);
    cln_stage_check_set(dev, CLN_STAGE_DOCTOR, check->op, check->tune.cls, v);
    for (size_t i = 0; check->cases != CLN_CASES_FEW && i < sizeof others / sizeof others[0]; i++)
        cln_stage_check_set(dev, others[i], check->op, check->tune.cls, v);
}

/* Every network, and what fusion makes of it. */
static void check_networks(cln_device *dev, const cln_doctor_check *check, cln_verdict *v)
{
    for (int i = 0; i < CLN_NETWORKS * NORMS; i++)
        for (int fuse = 0; fuse < 2; fuse++) {
            const cln_plan_options options = {check->tune, fuse, true, false};
            cln_network_check(dev, cln_networks[i / NORMS], norms[i % NORMS], 5,
                              (cln_shape){4, 8, 8, 3}, &options, v);
        }
}

static void check_network(cln_device *dev, const cln_doctor_check *check, cln_verdict *v)
{
    static const char text[] =
        "conv 16 k=3\n$norm\nrelu\nmaxpool 2\np: conv 16 k=3\n$norm\nrelu\nadd p\n"
        "conv 32 k=1\n$norm\nrelu\ngap\nconv $classes k=1 bias=1\n";
    const cln_plan_options options = {check->tune, true, true, false};
    const cln_shape small = {2, 4, 4, 3}, normal = {4, 8, 8, 3};
    for (size_t i = 0; i < NORMS; i++)
        cln_network_check(dev, text, norms[i], 10, check->cases == CLN_CASES_SMALL ? small : normal,
                          &options, v);
    if (check->cases == CLN_CASES_ALL)
        check_networks(dev, check, v);
}

static void check_loss(cln_device *dev, const cln_doctor_check *check, cln_verdict *v)
{
    static const float scales[] = {1, 30, 1e4f};
    const int local = check->tune.cls == CLN_CLASS_SIMT ? 64 : 1;
    for (size_t i = 0; i < sizeof scales / sizeof scales[0]; i++) {
        cln_loss_check(dev, scales[i], 0, local, v);
        cln_loss_check(dev, scales[i], 0.1, local, v);
    }
}

static void check_optim(cln_device *dev, const cln_doctor_check *check, cln_verdict *v)
{
    static const char text[] = "gap\nbn\ndense 5\nrelu\ndense 7\n";
    for (int i = 0; cln_optimizer_words[i]; i++)
        if (strcmp(check->op, cln_optimizer_words[i]) == 0)
            for (int nesterov = 0; nesterov < (i == CLN_OPTIMIZER_ADAMW ? 1 : 2); nesterov++)
                cln_optim_check(dev, text, (cln_optimizer)i, nesterov == 1, &check->tune, v);
}

/* ---- training ------------------------------------------------------------------------------------ */

/* Batch norm twice: it must end with the same weights. Layer norm as far as its losses are recorded. */
static void check_training(cln_device *dev, const cln_doctor_check *check, cln_verdict *v)
{
    const cln_plan_options options = {check->tune, true, false, false};
    char first[CLN_SHA256_HEX] = "", second[CLN_SHA256_HEX] = "", other[CLN_SHA256_HEX] = "";
    cln_trajectory_follow(dev, "s8", "bn", &options, TRAINING_STEPS, first, v);
    cln_trajectory_follow(dev, "s8", "bn", &options, TRAINING_STEPS, second, v);
    cln_trajectory_follow(dev, "s8", "ln", &options, CLN_TRAJECTORY_STEPS, other, v);
    if (!v->failures && strcmp(first, second) != 0)
        cln_verdict_fail(v,
                         "%d steps of s8 with bn, twice from the same beginning, end with other "
                         "weights",
                         TRAINING_STEPS);
}

/* ---- limits and memory --------------------------------------------------------------------------- */

static uint32_t local_word(uint32_t seed, int local, int words, uint32_t id)
{
    const uint32_t g = id / (uint32_t)local, i = id % (uint32_t)local;
    uint32_t all = 0;
    for (uint32_t j = (uint32_t)local - 1 - i; j < (uint32_t)words; j += (uint32_t)local)
        all ^= seed * (j + 1) + g;
    return all;
}

/* Groups of `local` items over `words` words of local memory. */
static void check_groups(cln_device *dev, const cln_kernel *k, int local, int words, cln_verdict *v)
{
    enum { GROUPS = 3 };
    const uint32_t seed = 2654435761u;
    const size_t count = (size_t)local * GROUPS, bytes = count * sizeof(uint32_t);
    char where[96];
    cln_error err = {0};
    cln_tensor y = {0};
    uint32_t *got = calloc(count + 1, sizeof *got);
    snprintf(where, sizeof where, "work-groups of %d items, %zu bytes of local memory", local,
             words * sizeof(uint32_t));
    v->cases++;
    int rc = got ? cln_tensor_new(dev, bytes, "the check", &y, &err)
                 : CLN_FAIL(&err, CLN_ERR_MEMORY, "out of host memory");
    if (!rc)
        rc = cln_run(k, cln_range1(count, (size_t)local), &err, CLN_MEM(y), CLN_UINT(seed));
    if (!rc)
        rc = cln_tensor_read(dev, y, 0, got, bytes, &err);
    for (uint32_t i = 0; !rc && i < count; i++)
        if (got[i] != local_word(seed, local, words, i))
            rc = CLN_FAIL(&err, CLN_ERR_DEVICE, "item %u gave %u, not %u", i, got[i],
                          local_word(seed, local, words, i));
    cln_verdict_call(v, rc, where, &err);
    cln_tensor_free(&y);
    free(got);
}

/* A sub-buffer at the smallest offset that the device announces to be allowed. */
static void check_alignment(cln_device *dev, cln_verdict *v)
{
    const size_t align = cln_align_up(dev->info.base_align, 4), words = 3 * align / 4;
    cln_error err = {0};
    cln_tensor whole = {0}, view = {0};
    uint32_t *got = calloc(words, sizeof *got);
    v->cases++;
    int rc = got ? cln_tensor_new(dev, 3 * align, "the check", &whole, &err)
                 : CLN_FAIL(&err, CLN_ERR_MEMORY, "out of host memory");
    if (!rc)
        rc = cln_tensor_view(dev, whole, align, align, &view, &err);
    if (!rc)
        rc = cln_tensor_fill(dev, whole, 1, &err);
    if (!rc)
        rc = cln_tensor_fill(dev, view, 2, &err);
    if (!rc)
        rc = cln_tensor_read(dev, whole, 0, got, 3 * align, &err);
    for (size_t i = 0; !rc && i < words; i++)
        if (got[i] != (i * 4 / align == 1 ? 2 : 1))
            rc = CLN_FAIL(&err, CLN_ERR_DEVICE,
                          "a write through it shows at byte %zu of the buffer", 4 * i);
    cln_verdict_call(v, rc, "a sub-buffer at the announced alignment", &err);
    cln_tensor_free(&view);
    cln_tensor_free(&whole);
    free(got);
}

static void check_limits(cln_device *dev, const cln_doctor_check *check, cln_verdict *v)
{
    enum { MAX_WORDS = 8192, MOST = 1024 }; /* 32 KiB: what OpenCL 1.2 asks of every full device */
    const int words =
        dev->info.local_mem / 4 < MAX_WORDS ? (int)(dev->info.local_mem / 4) : MAX_WORDS;
    cln_error err = {0};
    cln_kernel k = {0};
    char options[32];
    (void)check;
    if (dev->info.max_alloc < 1 << 20 || dev->info.max_alloc > dev->info.global_mem || words < 256)
        cln_verdict_fail(
            v,
            "the device announces %llu bytes of memory, %llu in one buffer, %llu of local memory",
            (unsigned long long)dev->info.global_mem, (unsigned long long)dev->info.max_alloc,
            (unsigned long long)dev->info.local_mem);
    snprintf(options, sizeof options, "-D WORDS=%d", words > 0 ? words : 1);
    if (cln_verdict_call(v, cln_kernel_new(dev, "doctor.cl", "doctor_local", options, &k, &err),
                         "work-groups", &err))
        return;
    size_t most = k.max_local < MOST ? k.max_local : MOST;
    most = most < dev->info.max_items[0] ? most : dev->info.max_items[0];
    const size_t locals[] = {1, 64, most};
    for (int i = 0; i < 3; i++)
        if (locals[i] <= most && (i == 0 || locals[i] != locals[i - 1]))
            check_groups(dev, &k, (int)locals[i], words, v);
    cln_kernel_free(&k);
    check_alignment(dev, v);
}

/* Fills a large buffer, marks every MiB with its number, and reads all of it. */
static int touch(cln_device *dev, size_t bytes, cln_error *err)
{
    enum { PIECE = 1 << 20, WORDS = PIECE / 4, FILL = 0x5aa55aa5 };
    cln_tensor t = {0};
    uint32_t *got = malloc(PIECE);
    int rc = got ? cln_tensor_new(dev, bytes, "the check", &t, err)
                 : CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory");
    if (!rc)
        rc = cln_tensor_fill(dev, t, FILL, err);
    for (uint32_t i = 0; i < bytes / PIECE && !rc; i++)
        rc = cln_tensor_write(dev, t, (size_t)i * PIECE, &i, sizeof i, err);
    for (uint32_t i = 0; i < bytes / PIECE && !rc; i++) {
        rc = cln_tensor_read(dev, t, (size_t)i * PIECE, got, PIECE, err);
        for (size_t k = 0; k < WORDS && !rc; k++)
            if (got[k] != (k ? (uint32_t)FILL : i))
                rc = CLN_FAIL(err, CLN_ERR_DEVICE, "byte %zu of %zu does not keep what was written",
                              (size_t)i * PIECE + 4 * k, bytes);
    }
    cln_tensor_free(&t);
    free(got);
    return rc;
}

static void check_memory(cln_device *dev, const cln_doctor_check *check, cln_verdict *v)
{
    const cl_ulong mib = 1 << 20, most = 256 * mib;
    cl_ulong bytes = dev->info.max_alloc < most ? dev->info.max_alloc : most;
    cln_error err = {0};
    char where[64];
    (void)check;
    if (bytes > dev->info.global_mem / 4) /* other processes use it, too */
        bytes = dev->info.global_mem / 4;
    bytes = bytes / mib * mib;
    snprintf(where, sizeof where, "a buffer of %llu MiB", (unsigned long long)(bytes / mib));
    v->cases++;
    cln_verdict_call(v, bytes ? touch(dev, (size_t)bytes, &err) : CLN_OK, where, &err);
}

/* ---- the list ------------------------------------------------------------------------------------ */

typedef struct list {
    cln_doctor_check *checks;
    int n, max;
} list;

static void add(list *l, const char *op, const char *kernels, const char *what,
                cln_tune_request tune,
                void (*run)(cln_device *dev, const cln_doctor_check *check, cln_verdict *v))
{
    if (l->n < l->max)
        l->checks[l->n++] = (cln_doctor_check){op, kernels, what, tune, CLN_CASES_FEW, run};
}

static void add_class(list *l, const char *kernels, cln_tune_request tune)
{
    for (int i = 0; cln_ops[i]; i++)
        add(l, cln_ops[i]->word, kernels, "forward, backward", tune,
            cln_ops[i]->host ? check_stage : check_layer);
    add(l, "loss", kernels, "value, gradient", tune, check_loss);
    add(l, "sgd", kernels, "four steps", tune, check_optim);
    add(l, "adamw", kernels, "four steps", tune, check_optim);
    add(l, "muon", kernels, "four steps", tune, check_optim);
    add(l, "network", kernels, "fused layers", tune, check_network);
}

int cln_doctor_list(cln_doctor_check *checks, int max)
{
    const cln_tune_request automatic = {CLN_CLASS_AUTO, -1}, gemm = {CLN_CLASS_AUTO, CLN_CONV_GEMM};
    const cln_tune_request winograd = {CLN_CLASS_VECTOR, CLN_CONV_WINOGRAD};
    const cln_tune_request pointwise = {CLN_CLASS_VECTOR, CLN_CONV_POINTWISE}, tile = {CLN_CLASS_SIMT, CLN_CONV_TILE};
    list l = {checks, 0, max};
    add(&l, "limits", "", "work-groups, alignment", automatic, check_limits);
    add(&l, "memory", "", "a large buffer", automatic, check_memory);
    add_class(&l, "vector", (cln_tune_request){CLN_CLASS_VECTOR, CLN_CONV_VECTOR});
    add_class(&l, "simt", (cln_tune_request){CLN_CLASS_SIMT, CLN_CONV_SIMT});
    add(&l, "conv", "winograd", "forward, backward", winograd, check_layer);
    add(&l, "network", "winograd", "fused layers", winograd, check_network);
    add(&l, "conv", "pointwise", "forward, backward", pointwise, check_layer);
    add(&l, "network", "pointwise", "fused layers", pointwise, check_network);
    add(&l, "conv", "tile", "forward, backward", tile, check_layer);
    add(&l, "dense", "tile", "forward, backward", tile, check_layer);
    add(&l, "network", "tile", "fused layers", tile, check_network);
    add(&l, "conv", "gemm", "forward, backward", gemm, check_layer);
    add(&l, "dense", "gemm", "forward, backward", gemm, check_layer);
    add(&l, "training", "auto", "20 steps, twice", automatic, check_training);
    return l.n;
}
