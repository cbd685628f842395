/* The gradients of the layers' naive references against central differences of their own forward passes, in double; the
 * norms' are in test_ops_norm_reference.c. Inputs are multiples of 1/64, so that a step of 1/1024 is exact in a float. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/values.h"
#include "ops/cases.h"
#include "ops/naive.h"
#include "ops/training.h"

enum { LIMIT = 600 }; /* values of an array, at most */
static const float h = 1.0f / 1024;

/* y and the gradients of sum dy y by x and w, for a layer with the arrays of `p`. */
typedef struct problem {
    cln_layer layer;
    float x[LIMIT], w[LIMIT], b[LIMIT], dy[LIMIT];
    double y[LIMIT], dx[LIMIT], dw[LIMIT], db[LIMIT];
} problem;

static void draw(float *to, size_t count, uint32_t seed)
{
    float *random = cln_test_random(count, seed);
    ck_assert_uint_le(count, LIMIT);
    for (size_t i = 0; i < count; i++)
        to[i] = roundf(random[i] * 64) / 64;
    free(random);
}

static bool is_conv(const cln_layer *l)
{
    return strcmp(l->op->word, "conv") == 0 || strcmp(l->op->word, "dense") == 0;
}

/* k, stride, pad as cases.c takes them */
static void forward(problem *p)
{
    const cln_layer *l = &p->layer;
    if (is_conv(l)) {
        const cln_conv_shape s = cln_case_conv_shape(l);
        naive_conv_fwd(&s, l->in[0].n, p->x, p->w, p->b, p->y);
    } else if (strcmp(l->op->word, "gap") == 0) {
        naive_gap_fwd(l->in[0], p->x, p->y);
    } else {
        const int k = cln_layer_int(l, "k"), stride = cln_layer_int(l, "stride");
        (strcmp(l->op->word, "maxpool") ? naive_avgpool_fwd : naive_maxpool_fwd)(
            l->in[0], l->out, k, stride ? stride : k, cln_layer_int(l, "pad"), p->x, p->y);
    }
}

static void backward(problem *p)
{
    const cln_layer *l = &p->layer;
    if (is_conv(l)) {
        const cln_conv_shape s = cln_case_conv_shape(l);
        naive_conv_bwd_data(&s, l->in[0].n, p->dy, p->w, p->dx);
        naive_conv_bwd_params(&s, l->in[0].n, p->x, p->dy, p->dw, p->db);
    } else if (strcmp(l->op->word, "gap") == 0) {
        naive_gap_bwd(l->in[0], p->dy, p->dx);
    } else {
        const int k = cln_layer_int(l, "k"), stride = cln_layer_int(l, "stride") ? cln_layer_int(l, "stride") : k;
        if (strcmp(l->op->word, "maxpool") == 0)
            naive_maxpool_bwd(l->in[0], l->out, k, stride, cln_layer_int(l, "pad"), p->x, p->dy, p->dx);
        else
            naive_avgpool_bwd(l->in[0], l->out, k, stride, cln_layer_int(l, "pad"), p->dy, p->dx);
    }
}

static double loss_of(problem *p)
{
    double sum = 0;
    forward(p);
    for (size_t i = 0; i < cln_shape_count(p->layer.out); i++)
        sum += p->y[i] * (double)p->dy[i];
    return sum;
}

/* These layers are linear in each argument (a maximum between its kinks): nothing but the rounding of sums is allowed. */
static void hold(problem *p, const char *line, const char *what, float *values, const double *gradient, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const float keep = values[i];
        values[i] = keep + h;
        const double up = loss_of(p);
        values[i] = keep - h;
        const double down = loss_of(p), got = (up - down) / (2 * (double)h);
        values[i] = keep;
        ck_assert_msg(fabs(got - gradient[i]) < 1e-9, "%s: %s[%zu] is %.12g, by differences %.12g", line, what, i,
                      gradient[i], got);
    }
}

/* No two values of a maximum's window are close. */
static void spread(float *x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        x[i] = (float)(i * 37 % count) / 64;
}

static const struct {
    const char *line;
    cln_shape in;
} layers[] = {{"conv 3 k=3 bias=1", {2, 4, 5, 2}},        {"conv 2 k=5 stride=2 pad=1", {1, 7, 6, 3}},
              {"conv 4 k=1 stride=3 bias=1", {2, 4, 7, 3}}, {"conv 2 k=3 pad=0", {2, 3, 5, 2}},
              {"dense 5", {3, 2, 3, 4}},                  {"dense 4 bias=0", {2, 1, 1, 7}},
              {"maxpool 2", {2, 5, 4, 3}},                {"maxpool 3 stride=2 pad=1", {2, 6, 5, 2}},
              {"avgpool 2", {2, 4, 5, 3}},                {"avgpool 3 stride=2 pad=1", {2, 6, 5, 2}},
              {"gap", {3, 3, 5, 4}}};

START_TEST(gradients)
{
    const char *line = layers[_i].line;
    static problem p;
    cln_error err = {0};
    ck_assert_msg(cln_lone_layer(&p.layer, line, layers[_i].in, &err) == CLN_OK, "%s", err.text);
    const size_t x = cln_shape_count(p.layer.in[0]), y = cln_shape_count(p.layer.out);
    draw(p.x, x, 1);
    draw(p.w, LIMIT, 2);
    draw(p.b, LIMIT, 3);
    draw(p.dy, y, 4);
    if (strcmp(p.layer.op->word, "maxpool") == 0)
        spread(p.x, x);
    backward(&p);
    hold(&p, line, "dx", p.x, p.dx, x);
    if (!is_conv(&p.layer))
        return;
    const cln_conv_shape s = cln_case_conv_shape(&p.layer);
    hold(&p, line, "dw", p.w, p.dw, (size_t)s.k * (size_t)s.k * (size_t)s.ci * (size_t)s.co);
    if (s.bias)
        hold(&p, line, "db", p.b, p.db, (size_t)s.co);
}
END_TEST

START_TEST(loss_gradient)
{
    enum { N = 3, K = 5 };
    const int32_t labels[N] = {4, 0, 2};
    const double smoothing = _i ? 0.1 : 0;
    float x[N * K];
    double dx[N * K], unused[N * K], confidence[N];
    draw(x, N * K, 5);
    naive_loss(N, K, x, labels, smoothing, dx, confidence);
    for (int i = 0; i < N * K; i++) {
        const float keep = x[i];
        x[i] = keep + h;
        const double up = naive_loss(N, K, x, labels, smoothing, unused, confidence);
        x[i] = keep - h;
        const double down = naive_loss(N, K, x, labels, smoothing, unused, confidence), got = (up - down) / (2 * (double)h);
        x[i] = keep;
        ck_assert_msg(fabs(got - dx[i]) < 1e-6, "dx[%d] is %g, by differences %g", i, dx[i], got); /* h^2 / 6 */
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reference");
    TCase *tcase = tcase_create("host");
    tcase_add_loop_test(tcase, gradients, 0, sizeof layers / sizeof layers[0]);
    tcase_add_loop_test(tcase, loss_gradient, 0, 2);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
