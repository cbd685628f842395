/* The gradients of the norms' naive references against central finite differences of their own forward pass. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/values.h"
#include "lone.h"
#include "ops/norm.h"

enum { C = 6 };
static const cln_shape shape = {2, 4, 2, C};
static const char *const lines[] = {"bn", "ln", "gn groups=3", "gn groups=2", "in", "none", "relu"};

static double *random_doubles(size_t count, uint32_t seed)
{
    float *values = cln_test_random(count, seed);
    double *p = calloc(count, sizeof *p);
    ck_assert_ptr_nonnull(p);
    for (size_t i = 0; i < count; i++)
        p[i] = values[i];
    free(values);
    return p;
}

typedef struct problem {
    naive_stage s;
    double *z, *gamma, *beta, *dy;
} problem;

/* sum dy y, whose gradients backward gives. lead: the least distance to a kink. */
static double loss_of(const problem *p, double *lead)
{
    const size_t sets = (size_t)naive_stage_sets(&p->s), outputs = naive_stage_outputs(&p->s);
    double *mean = calloc(sets + 1, sizeof *mean), *var = calloc(sets + 1, sizeof *var), sum = 0;
    double *y = calloc(outputs, sizeof *y), *leads = calloc(outputs, sizeof *leads);
    ck_assert(mean && var && y && leads);
    naive_stage_statistics(&p->s, p->z, mean, var);
    naive_stage_fwd(&p->s, p->z, p->gamma, p->beta, mean, var, y, leads);
    *lead = INFINITY;
    for (size_t i = 0; i < outputs; i++) {
        sum += p->dy[i] * y[i];
        *lead = fmin(*lead, leads[i]);
    }
    free(mean);
    free(var);
    free(y);
    free(leads);
    return sum;
}

/* values: what of the problem is moved. */
static void hold(const problem *p, const char *line, const char *what, double *values,
                 const double *gradient, size_t count)
{
    const double h = 1e-5;
    double top = 1, lead;
    for (size_t i = 0; i < count; i++)
        top = fmax(top, fabs(gradient[i]));
    for (size_t i = 0; i < count; i++) {
        const double keep = values[i];
        values[i] = keep + h;
        const double up = loss_of(p, &lead);
        values[i] = keep - h;
        const double down = loss_of(p, &lead), got = (up - down) / (2 * h);
        values[i] = keep;
        ck_assert_msg(fabs(got - gradient[i]) < 1e-6 * top,
                      "%s act=%d pool=%d: %s[%zu] is %g, by differences %g", line, p->s.act,
                      p->s.pool, what, i, gradient[i], got);
    }
}

/* The first values for which no step of h crosses a kink. */
static problem problem_for(const char *line, int act, int pool)
{
    cln_layer layer;
    cln_error err = {0};
    ck_assert_msg(cln_lone_layer(&layer, line, shape, &err) == CLN_OK, "%s", err.text);
    for (uint32_t seed = 1; seed < 400; seed += 4) {
        problem p = {.s = naive_stage_of(&layer)};
        double lead;
        p.s.act = act ? act : p.s.act;
        p.s.pool = pool;
        p.z = random_doubles(cln_shape_count(shape), seed);
        p.gamma = random_doubles(C, seed + 1);
        p.beta = random_doubles(C, seed + 2);
        p.dy = random_doubles(naive_stage_outputs(&p.s), seed + 3);
        loss_of(&p, &lead);
        if (lead > 1e-3)
            return p;
        free(p.z);
        free(p.gamma);
        free(p.beta);
        free(p.dy);
    }
    ck_abort_msg("%s: all values are close to a kink", line);
}

START_TEST(gradients)
{
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        const problem p = problem_for(lines[i], _i / 2, 1 + _i % 2);
        double dz[2 * 4 * 2 * C], dgamma[C], dbeta[C];
        naive_stage_bwd(&p.s, p.z, p.gamma, p.beta, p.dy, dz, dgamma, dbeta, NULL);
        hold(&p, lines[i], "dz", p.z, dz, cln_shape_count(shape));
        if (naive_stage_sets(&p.s)) {
            hold(&p, lines[i], "dgamma", p.gamma, dgamma, C);
            hold(&p, lines[i], "dbeta", p.beta, dbeta, C);
        }
        free(p.z);
        free(p.gamma);
        free(p.beta);
        free(p.dy);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("norm_reference");
    TCase *tcase = tcase_create("host");
    tcase_add_loop_test(tcase, gradients, 0, 2 * (NAIVE_GELU + 1)); /* every activation, with and without pool */
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
