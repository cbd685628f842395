/* Plans for inference: batch norm folded into the weights, ReLU and pooling on the way out of a convolution, against the
 * same layers one by one; once for each set of weights; bit for bit the same again. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/on_device.h"
#include "common/step.h"
#include "common/values.h"

enum { BATCH = 5, CLASSES = 10, LOGITS = BATCH * CLASSES };
static const cln_shape input = {BATCH, 16, 16, 3};
static const char *const norms[] = {"bn", "gn", "none"}; /* one of each kind */
/* The last one: a stride, a bias and standardised weights under the norm, outputs that two layers read, a ReLU before the norm,
 * a pooling behind what reads a norm's input, dense layers. */
static const char *const models[] = {"s8n", "s8r",
                                     "conv 16 k=5 stride=2 bias=1\n$norm\nrelu\nconv 16 k=3 ws=1\n$norm\nmaxpool 2\n"
                                     "a: conv 16 k=1\n$norm\nadd a\nconv 16 k=3\nrelu\n$norm\nmaxpool 2\n"
                                     "conv 16 k=3\n$norm\nconv 16 k=3\nrelu\nmaxpool 2\ndense 16\n$norm\nrelu\ndense $classes\n"};
enum { MODELS = 3, NORMS = 3 };
/* How many convolutions and dense layers finish a stage. */
static const int finished[MODELS][NORMS] = {{10, 0, 10}, {10, 0, 10}, {6, 2, 6}};

/* Weights as training might leave them, the norms' parameters and running statistics included. */
static void set_weights(cln_plan *plan, uint32_t seed)
{
    OK(cln_plan_init(plan, seed, &err));
    for (int i = 0; i < plan->n_slots; i++) {
        const cln_slot *slot = &plan->slots[i];
        const float base = slot->param.init == CLN_INIT_ONE ? 1.0f : 0.0f;
        if (slot->param.init == CLN_INIT_KAIMING)
            continue;
        float *values = cln_test_random(slot->count, seed + (uint32_t)i);
        for (size_t k = 0; k < slot->count; k++)
            values[k] = base + 0.4f * values[k];
        OK(cln_tensor_write(dev, slot->state ? plan->states : plan->weights, slot->offset * sizeof(float), values,
                            slot->count * sizeof(float), &err));
        free(values);
    }
}

static void forward(cln_test_step *s, const float *x, bool same_weights, float logits[LOGITS])
{
    const cln_pass pass = {.n = BATCH, .same_weights = same_weights};
    OK(cln_tensor_write(dev, s->plan->input, 0, x, cln_shape_count(input) * sizeof *x, &err));
    OK(cln_plan_forward(s->plan, &pass, &err));
    OK(cln_tensor_read(dev, s->plan->logits, 0, logits, LOGITS * sizeof *logits, &err));
}

static void open_plan(cln_test_step *s, const char *model, const char *norm, const cln_plan_options *options,
                      uint32_t seed)
{
    OK(cln_test_step_new(s, dev, model, norm, CLASSES, input, options, &err));
    set_weights(s->plan, seed);
}

static int times(const cln_plan *plan, const char *word)
{
    char *text = cln_plan_describe(plan);
    int count = 0;
    ck_assert_ptr_nonnull(text);
    for (const char *at = text; (at = strstr(at, word)); at++)
        count++;
    free(text);
    return count;
}

/* Logits of a plan of its own; returns how many of its layers finish a stage. */
static int evaluate(const char *model, const char *norm, const cln_plan_options *options, const float *x,
                    float logits[LOGITS])
{
    cln_test_step s;
    open_plan(&s, model, norm, options, 5);
    forward(&s, x, false, logits);
    if (options->guard)
        OK(cln_arena_check(&s.plan->arena, &err));
    const int count = times(s.plan, "+finish");
    cln_test_step_free(&s);
    return count;
}

/* Every algorithm that can finish stages, among guard bands and NaN, against layers one by one and against a plan for
 * training, which evaluates without. */
START_TEST(all_ways_agree)
{
    static const cln_conv_algo algos[] = {CLN_CONV_VECTOR, CLN_CONV_WINOGRAD, CLN_CONV_SIMT};
    const char *model = models[_i / NORMS], *norm = norms[_i % NORMS];
    const cln_plan_options alone = {.tune = {CLN_CLASS_VECTOR, CLN_CONV_VECTOR}};
    const cln_plan_options training = {.tune = {CLN_CLASS_VECTOR, -1}, .fuse = true};
    float *x = cln_test_random(cln_shape_count(input), 3), want[LOGITS], got[LOGITS];
    ck_assert_int_eq(evaluate(model, norm, &alone, x, want), 0);
    ck_assert_int_eq(evaluate(model, norm, &training, x, got), 0);
    ck_assert_double_le(cln_test_apart(want, got, LOGITS), 2e-5);
    for (size_t i = 0; i < sizeof algos / sizeof algos[0]; i++) {
        const cln_class cls = algos[i] == CLN_CONV_SIMT ? CLN_CLASS_SIMT : CLN_CLASS_VECTOR;
        const cln_plan_options options = {{cls, algos[i]}, true, true, true};
        ck_assert_int_eq(evaluate(model, norm, &options, x, got), finished[_i / NORMS][_i % NORMS]);
        const double apart = cln_test_apart(want, got, LOGITS);
        ck_assert_msg(apart <= 2e-5, "%s %s with %s: logits are %.3g apart", model, norm,
                      cln_conv_algo_name(algos[i]), apart);
    }
    free(x);
}
END_TEST

/* What is derived from the weights is kept until the pass that says that they are others. */
START_TEST(folded_once)
{
    const cln_plan_options options = {{CLN_CLASS_AUTO, -1}, true, false, true};
    float *x = cln_test_random(cln_shape_count(input), 3), first[LOGITS], again[LOGITS], fresh[LOGITS];
    cln_test_step s, other;
    open_plan(&s, "s8", "bn", &options, 5);
    open_plan(&other, "s8", "bn", &options, 6);
    forward(&s, x, false, first);
    forward(&s, x, true, again);
    ck_assert_mem_eq(first, again, sizeof first);
    OK(cln_tensor_fill(dev, s.plan->nodes[1].param[0], 0x40000000, &err)); /* gamma of the first norm: 2 */
    forward(&s, x, true, again);
    ck_assert_mem_eq(first, again, sizeof first);
    forward(&s, x, false, again);
    ck_assert_mem_ne(first, again, sizeof first);
    set_weights(s.plan, 6);
    forward(&s, x, false, again);
    forward(&other, x, false, fresh);
    ck_assert_mem_eq(fresh, again, sizeof fresh);
    cln_test_step_free(&s);
    cln_test_step_free(&other);
    free(x);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("inference");
    TCase *tcase = tcase_create("device");
    tcase_add_checked_fixture(tcase, device_open, device_close);
    tcase_set_timeout(tcase, 300); /* a cold cache means compiling */
    tcase_add_loop_test(tcase, all_ways_agree, 0, MODELS * NORMS);
    tcase_add_test(tcase, folded_once);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
