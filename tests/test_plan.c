/* Plans: fused against unfused and class against class, guarded memory, gradients against finite differences through
 * the device, partial batches, sizes that do not fit, and memory by lifetime. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/on_device.h"
#include "common/step.h"
#include "common/trajectory.h"
#include "common/values.h"
#include "lone.h"

enum { POISON = 0x7fc0dead, BATCH = CLN_TRAJECTORY_BATCH, CLASSES = CLN_TRAJECTORY_CLASSES };
static const cln_shape input16 = {BATCH, CLN_TRAJECTORY_SIDE, CLN_TRAJECTORY_SIDE, 3};
static const char *const models[] = {"s8", "s8r"};
static const char *const norms[] = {"bn", "ln", "gn", "in", "none"};
static const cln_plan_options fused = {{CLN_CLASS_AUTO, -1}, true, false, false};

/* ---- one step and what it leaves ----------------------------------------------------------------- */

typedef struct outcome {
    double loss;
    float *logits, *grads, *states;
    size_t n_grads, n_states;
} outcome;

static void read_outcome(cln_test_step *s, int n, outcome *o)
{
    o->n_grads = s->plan->n_weights;
    o->n_states = s->plan->n_states;
    const size_t logits = (size_t)n * (size_t)s->net->classes * sizeof(float);
    o->logits = malloc(logits);
    ck_assert_ptr_nonnull(o->logits);
    memcpy(o->logits, s->logits, logits);
    o->grads = cln_test_floats(dev, s->plan->grads, o->n_grads);
    o->states = cln_test_floats(dev, s->plan->states, o->n_states);
}

static void free_outcome(outcome *o)
{
    free(o->logits);
    free(o->grads);
    free(o->states);
}

/* A step on a trajectory fixture's first batch: inputs and weights that keep clear of all kinks, so that rounding
 * decides nothing. */
static outcome fixture_step(const char *model, const char *norm, const cln_plan_options *options)
{
    cln_trajectory t;
    cln_test_step s;
    outcome o;
    OK(cln_trajectory_open(&t, model, norm, &err));
    OK(cln_test_step_new(&s, dev, model, norm, CLASSES, input16, options, &err));
    OK(cln_trajectory_weights(&t, s.plan, &err));
    OK(cln_test_step_run(&s, BATCH, true, 0.1, t.input, t.labels, &o.loss, &err));
    read_outcome(&s, BATCH, &o);
    cln_test_step_free(&s);
    return o;
}

static void hold_bits(const char *what, const outcome *a, const outcome *b, int logits)
{
    ck_assert_msg(a->n_grads == b->n_grads && a->n_states == b->n_states, "%s: other sizes", what);
    ck_assert_msg(!memcmp(a->logits, b->logits, (size_t)logits * sizeof(float)), "%s: other logits",
                  what);
    ck_assert_msg(!memcmp(a->grads, b->grads, a->n_grads * sizeof(float)), "%s: other gradients",
                  what);
    ck_assert_msg(!memcmp(a->states, b->states, a->n_states * sizeof(float)),
                  "%s: other running statistics", what);
}

/* ---- (a) ways to compute the same ---------------------------------------------------------------- */

/* The slots of two plans of one network are the same; gradients are compared slot by slot. */
static void hold_close(const char *model, const char *norm, const char *way, const outcome *a,
                       const outcome *b)
{
    const double tolerance = 2e-5;
    cln_test_step s;
    OK(cln_test_step_new(&s, dev, model, norm, CLASSES, input16, &fused, &err));
    double apart = cln_test_apart(a->logits, b->logits, BATCH * CLASSES);
    ck_assert_msg(apart <= tolerance, "%s %s, %s: logits are %.3g apart", model, norm, way, apart);
    ck_assert_uint_eq(a->n_grads, b->n_grads);
    for (int i = 0; i < s.plan->n_slots; i++) {
        const cln_slot *slot = &s.plan->slots[i];
        const float *one = slot->state ? a->states : a->grads,
                    *two = slot->state ? b->states : b->grads;
        apart = cln_test_apart(one + slot->offset, two + slot->offset, slot->count);
        ck_assert_msg(apart <= tolerance, "%s %s, %s: %s is %.3g apart", model, norm, way,
                      slot->name, apart);
    }
    cln_test_step_free(&s);
}

static void hold_way(const char *model, const char *norm, cln_tune_request tune, bool fuse,
                     const outcome *first)
{
    char way[64];
    const cln_plan_options options = {tune, fuse, false, false};
    snprintf(way, sizeof way, "%s with %s%s", tune.cls == CLN_CLASS_SIMT ? "simt" : "vector",
             cln_conv_algo_name((cln_conv_algo)tune.conv), fuse ? ", fused" : "");
    outcome o = fixture_step(model, norm, &options);
    hold_close(model, norm, way, first, &o);
    free_outcome(&o);
}

/* Every algorithm among the vector kernels, fused and unfused; those of any device among the SIMT kernels, too. */
START_TEST(all_ways_agree)
{
    static const cln_plan_options way = {{CLN_CLASS_VECTOR, CLN_CONV_VECTOR}, true, false, false};
    const char *model = models[_i / 5], *norm = norms[_i % 5];
    outcome first = fixture_step(model, norm, &way);
    for (int algo = 0; algo < CLN_CONV_ALGOS; algo++)
        for (int fuse = algo == CLN_CONV_VECTOR ? 0 : 1; fuse >= 0; fuse--)
            hold_way(model, norm, (cln_tune_request){CLN_CLASS_VECTOR, algo}, fuse, &first);
    hold_way(model, norm, (cln_tune_request){CLN_CLASS_SIMT, CLN_CONV_SIMT}, true, &first);
    hold_way(model, norm, (cln_tune_request){CLN_CLASS_SIMT, CLN_CONV_SIMT}, false, &first);
    hold_way(model, norm, (cln_tune_request){CLN_CLASS_SIMT, CLN_CONV_GEMM}, false, &first);
    free_outcome(&first);
}
END_TEST

static int times(const char *text, const char *word)
{
    int count = 0;
    for (const char *at = text; (at = strstr(at, word)); at++)
        count++;
    return count;
}

/* That the comparison above compares two things. */
START_TEST(fusion_happens)
{
    cln_test_step s;
    for (int fuse = 0; fuse < 2; fuse++) {
        const cln_plan_options options = {{CLN_CLASS_VECTOR, CLN_CONV_VECTOR}, fuse, false, false};
        OK(cln_test_step_new(&s, dev, "s8", "bn", CLASSES, input16, &options, &err));
        char *text = cln_plan_describe(s.plan);
        ck_assert_ptr_nonnull(text);
        ck_assert_int_eq(times(text, " fused\n"), fuse ? 12 : 0); /* ten ReLUs, two pools */
        ck_assert_int_eq(times(text, "+stats"), fuse ? 10 : 0);
        ck_assert_int_eq(times(text, "+sums"), fuse ? 9 : 0); /* the last stage feeds gap */
        ck_assert_int_eq(times(text, "+dz"), fuse ? 8 : 0);   /* the two that are pooled make it themselves */
        free(text);
        cln_test_step_free(&s);
    }
}
END_TEST

/* ---- (b) guarded memory -------------------------------------------------------------------------- */

/* NaN in all that does not live from step to step, and in every gradient. */
static void poison(cln_test_step *s)
{
    for (int i = 0; i < s->plan->arena.n_items; i++)
        if (s->plan->arena.items[i].birth >= 0)
            OK(cln_tensor_fill(dev, *s->plan->arena.items[i].tensor, POISON, &err));
    OK(cln_tensor_fill(dev, s->plan->grads, POISON, &err));
}

/* Every parameter has a gradient and nothing between the parameters was touched; clears the gaps. */
static void check_gaps(const cln_plan *plan, float *grads)
{
    char *inside = calloc(plan->n_weights + 1, 1);
    ck_assert_ptr_nonnull(inside);
    for (int i = 0; i < plan->n_slots; i++)
        if (!plan->slots[i].state)
            memset(inside + plan->slots[i].offset, 1, plan->slots[i].count);
    for (size_t k = 0; k < plan->n_weights; k++) {
        uint32_t bits;
        memcpy(&bits, &grads[k], sizeof bits);
        ck_assert_msg(inside[k] ? isfinite(grads[k]) : bits == POISON, "gradient %zu (%s) is %g", k,
                      inside[k] ? "of a parameter" : "between parameters", (double)grads[k]);
        grads[k] = inside[k] ? grads[k] : 0;
    }
    free(inside);
}

static void guarded_step(const char *model, const char *norm, cln_plan_options options)
{
    outcome plain = fixture_step(model, norm, &options), o;
    cln_trajectory t;
    cln_test_step s;
    options.guard = true;
    OK(cln_trajectory_open(&t, model, norm, &err));
    OK(cln_test_step_new(&s, dev, model, norm, CLASSES, input16, &options, &err));
    for (int step = 0; step < 2; step++) {
        OK(cln_trajectory_weights(&t, s.plan, &err));
        poison(&s);
        OK(cln_test_step_run(&s, BATCH, true, 0.1, t.input, t.labels, &o.loss, &err));
        OK(cln_arena_check(&s.plan->arena, &err));
        read_outcome(&s, BATCH, &o);
        check_gaps(s.plan, o.grads);
        hold_bits("guarded and plain", &plain, &o, BATCH * CLASSES);
        ck_assert(o.loss == plain.loss);
        free_outcome(&o);
    }
    free_outcome(&plain);
    cln_test_step_free(&s);
}

START_TEST(guarded_memory)
{
    const cln_plan_options vector = {{CLN_CLASS_VECTOR, -1}, true, false, false};
    const cln_plan_options unfused = {{CLN_CLASS_VECTOR, CLN_CONV_GEMM}, false, false, false};
    const cln_plan_options simt = {{CLN_CLASS_SIMT, CLN_CONV_SIMT}, true, false, false};
    guarded_step(models[_i / 5], norms[_i % 5], vector);
    guarded_step(models[_i / 5], norms[_i % 5], unfused);
    guarded_step(models[_i / 5], norms[_i % 5], simt);
}
END_TEST

/* A guard that is written over must be noticed, or the test above says nothing. */
START_TEST(guards_notice)
{
    const float bad = 1;
    const cln_plan_options guarded = {{CLN_CLASS_AUTO, -1}, true, true, false};
    cln_test_step s;
    OK(cln_test_step_new(&s, dev, "s8", "bn", CLASSES, input16, &guarded, &err));
    OK(cln_arena_check(&s.plan->arena, &err));
    const cln_tensor whole = s.plan->arena.buffers[s.plan->arena.items[3].buffer];
    OK(cln_tensor_write(dev, whole, whole.bytes - sizeof bad, &bad, sizeof bad, &err));
    ck_assert_int_eq(cln_arena_check(&s.plan->arena, &err), CLN_ERR_INTERNAL);
    ck_assert_msg(strstr(err.text, s.plan->arena.items[3].what), "%s", err.text);
    cln_test_step_free(&s);
}
END_TEST

/* ---- (c) gradients by differences ---------------------------------------------------------------- */

static const char small_net[] =
    "conv 8 k=3\n$norm\nrelu\nmaxpool 2\np: conv 8 k=3\n$norm\nrelu\nadd p\ngap\n"
    "conv $classes k=1 bias=1\n";

static double loss_along(cln_test_step *s, const float *weights, const float *direction, double h,
                         const float *x, const int32_t *labels)
{
    const size_t n = s->plan->n_weights;
    double loss;
    float *moved = malloc(n * sizeof *moved);
    ck_assert_ptr_nonnull(moved);
    for (size_t i = 0; i < n; i++)
        moved[i] = (float)(weights[i] + h * direction[i]);
    OK(cln_tensor_write(dev, s->plan->weights, 0, moved, n * sizeof *moved, &err));
    OK(cln_test_step_run(s, s->net->input.n, true, 0.1, x, labels, &loss, &err));
    free(moved);
    return loss;
}

/* direction: a unit vector within one parameter, half of it random, half along the gradient itself, so that the
 * derivative is large against the rounding of the loss and an error in any entry shows. */
static double slope(const cln_slot *slot, const float *grads, size_t n, uint32_t seed,
                    float *direction)
{
    float *random = cln_test_random(slot->count, seed);
    double g2 = 0, r2 = 0, d2 = 0, along = 0;
    memset(direction, 0, n * sizeof *direction);
    for (size_t k = 0; k < slot->count; k++) {
        g2 += pow(grads[slot->offset + k], 2);
        r2 += pow(random[k], 2);
    }
    for (size_t k = 0; k < slot->count; k++) {
        direction[slot->offset + k] =
            (float)(grads[slot->offset + k] / sqrt(g2) + random[k] / sqrt(r2));
        d2 += pow(direction[slot->offset + k], 2);
    }
    for (size_t k = 0; k < slot->count; k++) {
        direction[slot->offset + k] /= (float)sqrt(d2);
        along += (double)direction[slot->offset + k] * grads[slot->offset + k];
    }
    free(random);
    return along;
}

START_TEST(differences_agree)
{
    const cln_shape input = {6, 6, 6, 3};
    const char *norm = norms[_i];
    cln_test_step s;
    double loss;
    int32_t labels[6] = {0, 1, 2, 3, 4, 1};
    float *x = cln_test_random(cln_shape_count(input), 31);
    OK(cln_test_step_new(&s, dev, small_net, norm, 5, input, &fused, &err));
    OK(cln_plan_init(s.plan, 5, &err));
    OK(cln_test_step_run(&s, 6, true, 0.1, x, labels, &loss, &err));
    const size_t n = s.plan->n_weights;
    float *grads = cln_test_floats(dev, s.plan->grads, n),
          *weights = cln_test_floats(dev, s.plan->weights, n);
    float *direction = calloc(n, sizeof *direction);
    ck_assert_ptr_nonnull(direction);
    for (int i = 0; i < s.plan->n_slots; i++)
        for (uint32_t round = 0; round < 2 && !s.plan->slots[i].state; round++) {
            const double h = 2e-3, want = slope(&s.plan->slots[i], grads, n, 40 + round, direction);
            const double up = loss_along(&s, weights, direction, h, x, labels);
            const double down = loss_along(&s, weights, direction, -h, x, labels),
                         got = (up - down) / (2 * h);
            ck_assert_msg(fabs(got - want) <= 1e-2 * fabs(want) + 2e-4,
                          "%s: %s: slope %g, by differences %g", norm, s.plan->slots[i].name, want,
                          got);
        }
    free(x);
    free(grads);
    free(weights);
    free(direction);
    cln_test_step_free(&s);
}
END_TEST

/* ---- (d) partial batches, inference -------------------------------------------------------------- */

START_TEST(partial_batch)
{
    const cln_class classes[] = {CLN_CLASS_VECTOR, CLN_CLASS_SIMT};
    const char *model = models[_i % 2], *norm = norms[_i / 2];
    float *x = cln_test_random(CLN_TRAJECTORY_INPUTS, 51);
    const int32_t labels[BATCH] = {1, 2, 3, 4};
    for (int c = 0; c < 2; c++) {
        const cln_plan_options options = {{classes[c], -1}, true, false, false};
        outcome o[2];
        for (int small = 0; small < 2; small++) {
            cln_test_step s;
            const cln_shape input = {small ? 3 : BATCH, 16, 16, 3};
            OK(cln_test_step_new(&s, dev, model, norm, CLASSES, input, &options, &err));
            OK(cln_plan_init(s.plan, 9, &err));
            OK(cln_test_step_run(&s, 3, true, 0.1, x, labels, &o[small].loss, &err));
            read_outcome(&s, 3, &o[small]);
            cln_test_step_free(&s);
        }
        hold_bits("three of four, three of three", &o[0], &o[1], 3 * CLASSES);
        free_outcome(&o[0]);
        free_outcome(&o[1]);
    }
    free(x);
}
END_TEST

START_TEST(inference_plan)
{
    const char *model = models[_i % 2], *norm = norms[_i / 2];
    float *x = cln_test_random(CLN_TRAJECTORY_INPUTS, 61), *logits[2];
    const int32_t labels[BATCH] = {1, 2, 3, 4};
    size_t bytes[2];
    for (int inference = 0; inference < 2; inference++) {
        const cln_plan_options options = {{CLN_CLASS_AUTO, -1}, true, false, inference};
        cln_test_step s;
        double loss;
        OK(cln_test_step_new(&s, dev, model, norm, CLASSES, input16, &options, &err));
        OK(cln_plan_init(s.plan, 9, &err));
        OK(cln_test_step_run(&s, BATCH, false, 0, x, labels, &loss, &err));
        logits[inference] = cln_test_floats(dev, s.plan->logits, BATCH * CLASSES);
        bytes[inference] = s.plan->bytes;
        cln_test_step_free(&s);
    }
    ck_assert_double_le(cln_test_apart(logits[0], logits[1], BATCH * CLASSES), 1e-5);
    ck_assert_uint_lt(bytes[1], bytes[0] * 2 / 3);
    free(x);
    free(logits[0]);
    free(logits[1]);
}
END_TEST

/* ---- (e) what does not fit ----------------------------------------------------------------------- */

/* The plan for batch 128 must be refused with a text that says all; the batch that it names must fit. */
static void refused_with_advice(const char *contains, const char *limit)
{
    cln_test_step s;
    int advice = 0;
    const cln_shape big = {128, 32, 32, 3};
    ck_assert_int_eq(cln_test_step_new(&s, dev, "s8", "bn", CLASSES, big, &fused, &err),
                     CLN_ERR_DEVICE_MEMORY);
    cln_test_step_free(&s);
    ck_assert_msg(strstr(err.text, "batch 128") && strstr(err.text, contains) &&
                      strstr(err.text, limit) && strstr(err.text, "(conv)"),
                  "%s", err.text);
    const char *batch = strstr(err.text, "--batch ");
    ck_assert_msg(batch && sscanf(batch, "--batch %d", &advice) == 1 && advice > 0 && advice < 128,
                  "%s", err.text);
    const cln_shape less = {advice, 32, 32, 3};
    OK(cln_test_step_new(&s, dev, "s8", "bn", CLASSES, less, &fused, &err));
    cln_test_step_free(&s);
}

START_TEST(too_large)
{
    const cl_ulong max_alloc = dev->info.max_alloc, global_mem = dev->info.global_mem;
    dev->info.max_alloc = 3 * 1048576;
    refused_with_advice("needs 16.0 MiB", "may have 3.0 MiB");
    dev->info.global_mem = 9 * 1048576; /* the smaller share of the two */
    refused_with_advice("needs 16.0 MiB", "may have 3.0 MiB");
    dev->info.max_alloc = max_alloc;
    dev->info.global_mem = 24 * 1048576;
    refused_with_advice("16.0 MiB", "the device has 24.0 MiB");
    dev->info.global_mem = global_mem;
}
END_TEST

/* A small maximum allocation spreads the activations over several buffers, and changes nothing else. */
START_TEST(many_buffers)
{
    const cl_ulong max_alloc = dev->info.max_alloc;
    outcome whole = fixture_step("s8r", "gn", &fused);
    dev->info.max_alloc = 200 * 1024; /* the largest tensor has 128 KiB */
    cln_test_step s;
    OK(cln_test_step_new(&s, dev, "s8r", "gn", CLASSES, input16, &fused, &err));
    ck_assert_int_gt(s.plan->arena.n_buffers, 2);
    for (int b = 0; b < s.plan->arena.n_buffers; b++)
        ck_assert_uint_le(s.plan->arena.sizes[b], dev->info.max_alloc);
    cln_test_step_free(&s);
    outcome parts = fixture_step("s8r", "gn", &fused);
    hold_bits("one buffer and many", &whole, &parts, BATCH * CLASSES);
    free_outcome(&whole);
    free_outcome(&parts);
    dev->info.max_alloc = max_alloc;
}
END_TEST

/* ---- (f) memory by lifetime ---------------------------------------------------------------------- */

START_TEST(lifetimes)
{
    for (int fuse = 0; fuse < 2; fuse++)
        for (int inference = 0; inference < 2; inference++) {
            const cln_plan_options options = {{CLN_CLASS_AUTO, -1}, fuse, false, inference};
            cln_test_step s;
            size_t sum = 0;
            OK(cln_test_step_new(&s, dev, models[_i / 5], norms[_i % 5], CLASSES, input16, &options,
                                 &err));
            const cln_arena *arena = &s.plan->arena;
            for (int i = 0; i < arena->n_items; i++) {
                const cln_arena_item *a = &arena->items[i];
                sum += a->bytes;
                ck_assert_uint_eq(a->tensor->bytes, a->bytes);
                ck_assert_uint_le(a->offset + a->bytes, arena->sizes[a->buffer]);
                for (int j = 0; j < i; j++) {
                    const cln_arena_item *b = &arena->items[j];
                    const bool together =
                        a->birth <= b->death && b->birth <= a->death && a->buffer == b->buffer;
                    ck_assert_msg(!together || a->offset + a->bytes <= b->offset ||
                                      b->offset + b->bytes <= a->offset,
                                  "%s and %s share bytes while both live", a->what, b->what);
                }
            }
            ck_assert_uint_lt(arena->bytes, sum); /* and some do share */
            cln_test_step_free(&s);
        }
}
END_TEST

/* ---- initial weights ----------------------------------------------------------------------------- */

static float *initial(const char *norm, uint32_t seed, const char *slot_name, size_t *count)
{
    cln_test_step s;
    float *values = NULL;
    OK(cln_test_step_new(&s, dev, "s8", norm, CLASSES, input16, &fused, &err));
    OK(cln_plan_init(s.plan, seed, &err));
    for (int i = 0; i < s.plan->n_slots; i++)
        if (strcmp(s.plan->slots[i].name, slot_name) == 0) {
            float *all = cln_test_floats(dev, s.plan->weights, s.plan->n_weights);
            *count = s.plan->slots[i].count;
            values = malloc(*count * sizeof *values);
            ck_assert_ptr_nonnull(values);
            memcpy(values, all + s.plan->slots[i].offset, *count * sizeof *values);
            free(all);
        }
    ck_assert_msg(values, "no %s", slot_name);
    cln_test_step_free(&s);
    return values;
}

/* Layer 13 is the convolution C5, 16 -> 32: the same for every norm, of the right spread, other for another seed. */
START_TEST(initial_weights)
{
    size_t n = 0;
    double sum = 0, squares = 0;
    float *bn = initial("bn", 1, "13.weight", &n), *none = initial("none", 1, "13.weight", &n);
    float *other = initial("bn", 2, "13.weight", &n);
    ck_assert_uint_eq(n, 3 * 3 * 16 * 32);
    ck_assert(!memcmp(bn, none, n * sizeof *bn));
    ck_assert(memcmp(bn, other, n * sizeof *bn));
    for (size_t i = 0; i < n; i++) {
        sum += bn[i];
        squares += (double)bn[i] * bn[i];
    }
    const double sd = sqrt(2.0 / (3 * 3 * 16));
    ck_assert_double_eq_tol(sum / (double)n, 0, 4 * sd / sqrt((double)n));
    ck_assert_double_eq_tol(sqrt(squares / (double)n) / sd, 1, 4 / sqrt(2.0 * (double)n));
    free(bn);
    free(none);
    free(other);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plan");
    TCase *tcase = tcase_create("device");
    tcase_add_unchecked_fixture(tcase, device_open, device_close); /* one process: starting takes longer than most tests */
    tcase_set_timeout(tcase, 300); /* a cold cache means compiling */
    tcase_add_loop_test(tcase, all_ways_agree, 0, 10);
    tcase_add_test(tcase, fusion_happens);
    tcase_add_loop_test(tcase, guarded_memory, 0, 10);
    tcase_add_test(tcase, guards_notice);
    tcase_add_loop_test(tcase, differences_agree, 0, 5);
    tcase_add_loop_test(tcase, partial_batch, 0, 10);
    tcase_add_loop_test(tcase, inference_plan, 0, 10);
    tcase_add_test(tcase, too_large);
    tcase_add_test(tcase, many_buffers);
    tcase_add_loop_test(tcase, lifetimes, 0, 10);
    tcase_add_test(tcase, initial_weights);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
