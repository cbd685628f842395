/* How long each algorithm takes for a layer. */
#include "tune.h"

#include "cases.h"

#include <math.h>
#include <stdlib.h>

/* A challenger that takes LOST times as long as the best so far is out; one has to be better than what is in use by a
 * twentieth, and in all but two rounds of ROUNDS, since the machine may be busy. A sample lasts SAMPLE seconds at least,
 * the best one counts. */
enum { ROUNDS = 7, WINS = ROUNDS - 2, MAX_REPETITIONS = 100 };
static const double LOST = 2, MARGIN = 0.95, SAMPLE = 4e-3, TOLERANCE = 1e-4;

typedef struct contest {
    cln_device *dev;
    cln_lone lones[CLN_CONV_ALGOS]; /* node.dev is NULL where there is none */
    cln_tune_result *result;
    int images;
    bool (*stop)(void *arg);
    void *arg;
} contest;

static cln_conv_algo algo_of(const cln_node *node, int direction)
{
    const cln_conv_algo algos[] = {node->tune.fwd, node->tune.bwd_data, node->tune.bwd_params};
    return algos[direction];
}

/* Seconds of one run, from `repetitions` and a wait. */
static int take(contest *c, cln_conv_algo algo, int direction, int images, int repetitions, double *seconds, cln_error *err)
{
    cln_lone *l = &c->lones[algo];
    const cln_op *op = l->layer.op;
    const cln_pass pass = {.n = images, .train = true,
                           .skip = direction == CLN_CONV_BWD_DATA ? CLN_SKIP_PARAMS : CLN_SKIP_DATA};
    const double began = cln_now();
    int rc = CLN_OK;
    for (int i = 0; i < repetitions && !rc; i++)
        rc = direction == CLN_CONV_FWD ? op->forward(&l->node, &pass, err) : op->backward(&l->node, &pass, err);
    if (!rc)
        rc = cln_device_finish(c->dev, err);
    *seconds = (cln_now() - began) / repetitions;
    return rc;
}

/* ---- the same results ---------------------------------------------------------------------------- */

static int outputs(cln_node *node, int direction, cln_tensor out[2])
{
    out[0] = direction == CLN_CONV_FWD ? node->y : direction == CLN_CONV_BWD_DATA ? node->dx[0] : node->grad[0];
    out[1] = node->grad[1];
    return direction == CLN_CONV_BWD_PARAMS && node->grad[1].mem ? 2 : 1;
}

static int compare(contest *c, cln_tensor a, cln_tensor b, bool *same, cln_error *err)
{
    const size_t n = a.bytes / sizeof(float);
    float *x = malloc(a.bytes), *y = malloc(a.bytes);
    double largest = 0, apart = 0;
    int rc = x && y ? CLN_OK : CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory while comparing results");
    if (!rc)
        rc = cln_tensor_read(c->dev, a, 0, x, a.bytes, err);
    if (!rc)
        rc = cln_tensor_read(c->dev, b, 0, y, a.bytes, err);
    for (size_t i = 0; i < n && !rc; i++) {
        largest = fmax(largest, fabs((double)x[i]));
        if (!(fabs((double)x[i] - y[i]) <= apart)) /* a NaN, too, and it stays one */
            apart = fabs((double)x[i] - y[i]);
        if (isnan(apart))
            break;
    }
    *same = apart <= TOLERANCE * largest;
    free(x);
    free(y);
    return rc;
}

static int agree(contest *c, cln_conv_algo algo, cln_conv_algo with, int direction, bool *same, cln_error *err)
{
    cln_tensor a[2], b[2];
    const int n = outputs(&c->lones[with].node, direction, a);
    int rc = CLN_OK;
    outputs(&c->lones[algo].node, direction, b);
    *same = true;
    for (int i = 0; i < n && *same && !rc; i++)
        rc = compare(c, a[i], b[i], same, err);
    return rc;
}

/* ---- who takes part ------------------------------------------------------------------------------ */

/* GEMM's tiles go through local memory. Where that is ordinary memory, it has never come near the kernels that do
 * without, and its first call ever compiles for half a minute. */
static bool can_win(const contest *c, cln_conv_algo algo, int direction)
{
    return algo != CLN_CONV_GEMM || !c->dev->info.local_is_global || c->result->before[direction] == CLN_CONV_GEMM;
}

/* One image first, since that tells whether the others are worth waiting for; then all of them. What takes too long gets
 * a few chances, since something else may have held it up; the first run of all may compile. */
static int pilot(contest *c, cln_conv_algo algo, int direction, double best, cln_trial *out, cln_error *err)
{
    enum { RUNS = 2, CHANCES = 4 };
    const cln_conv_algo before = c->result->before[direction];
    bool same = true;
    int rc = CLN_OK;
    for (int step = 0; step < 2 && !rc; step++) {
        out->seconds = INFINITY;
        for (int i = 0; !rc && (i < RUNS || (i < CHANCES && out->seconds > LOST * best)); i++) {
            double seconds = 0;
            rc = take(c, algo, direction, step ? c->images : 1, 1, &seconds, err);
            out->seconds = fmin(out->seconds, seconds);
        }
        if (!rc && out->seconds > LOST * best) {
            out->end = CLN_TRIAL_LOST;
            return CLN_OK;
        }
    }
    if (!rc && algo != before)
        rc = agree(c, algo, before, direction, &same, err);
    out->end = rc || !same ? CLN_TRIAL_WRONG : CLN_TRIAL_TIMED;
    return rc;
}

/* The fault of a challenger is its own. */
static int add_challenger(contest *c, const char *line, cln_shape in, cln_conv_algo algo, cln_error *err)
{
    const cln_tune_request request = {c->result->cls, (int)algo};
    cln_error ignored = {0};
    bool any = false;
    int rc = cln_lone_new(&c->lones[algo], c->dev, line, in, &request, NULL, NULL, &ignored);
    for (int d = 0; d < CLN_TUNE_DIRECTIONS && !rc; d++)
        any = any || algo_of(&c->lones[algo].node, d) == algo;
    if (!rc && any)
        rc = cln_bench_lone_fill(&c->lones[algo], &ignored);
    if (!rc && any)
        return CLN_OK;
    cln_lone_free(&c->lones[algo]);
    return rc == CLN_ERR_MEMORY ? CLN_FAIL(err, rc, "%s", ignored.text) : CLN_OK;
}

/* ---- a direction --------------------------------------------------------------------------------- */

static int sample(contest *c, cln_conv_algo algo, int direction, double *seconds, cln_error *err)
{
    cln_trial *t = &c->result->trials[direction][algo];
    const int repetitions = (int)fmax(1, fmin(MAX_REPETITIONS, ceil(SAMPLE / t->seconds)));
    int rc = take(c, algo, direction, c->images, repetitions, seconds, err);
    t->seconds = rc ? 0 : fmin(t->seconds, *seconds);
    return rc;
}

static int sample_all(contest *c, int direction, cln_error *err)
{
    cln_trial *trials = c->result->trials[direction];
    const cln_conv_algo before = c->result->before[direction];
    int rc = CLN_OK;
    for (int round = 0; round < ROUNDS && !rc; round++) {
        double own = 0, seconds = 0;
        rc = sample(c, before, direction, &own, err);
        for (int a = 0; a < CLN_CONV_ALGOS && !rc; a++) {
            if (a == (int)before || trials[a].end != CLN_TRIAL_TIMED)
                continue;
            rc = sample(c, (cln_conv_algo)a, direction, &seconds, err);
            trials[a].wins += seconds < MARGIN * own;
        }
    }
    return rc;
}

static int decide(contest *c, int direction, bool all, bool *whole, cln_error *err)
{
    cln_tune_result *r = c->result;
    cln_trial *trials = r->trials[direction];
    const cln_conv_algo before = r->before[direction];
    int rc = pilot(c, before, direction, INFINITY, &trials[before], err);
    double best = trials[before].seconds;
    for (int a = 0; a < CLN_CONV_ALGOS && !rc && *whole; a++) {
        cln_error why = {0};
        if (a == (int)before || !c->lones[a].node.dev || algo_of(&c->lones[a].node, direction) != (cln_conv_algo)a)
            continue;
        if (!all && !can_win(c, (cln_conv_algo)a, direction)) {
            trials[a].end = CLN_TRIAL_LEFT;
            continue;
        }
        if (c->stop(c->arg)) {
            *whole = false;
            return CLN_OK;
        }
        pilot(c, (cln_conv_algo)a, direction, best, &trials[a], &why);
        rc = why.code == CLN_ERR_MEMORY ? CLN_FAIL(err, why.code, "%s", why.text) : CLN_OK;
        if (trials[a].end == CLN_TRIAL_TIMED)
            best = fmin(best, trials[a].seconds);
    }
    if (!rc)
        rc = sample_all(c, direction, err);
    r->best[direction] = before;
    best = MARGIN * trials[before].seconds;
    for (int a = 0; a < CLN_CONV_ALGOS && !rc; a++)
        if (trials[a].end == CLN_TRIAL_TIMED && trials[a].wins >= WINS && trials[a].seconds < best) {
            best = trials[a].seconds;
            r->best[direction] = (cln_conv_algo)a;
        }
    return rc;
}

int cln_tune_layer(cln_device *dev, const char *line, cln_shape in, bool data, bool all, bool (*stop)(void *arg), void *arg,
                   cln_tune_result *out, bool *whole, cln_error *err)
{
    contest c = {.dev = dev, .result = out, .images = in.n, .stop = stop, .arg = arg};
    cln_lone present; /* as the tables say: for its choices */
    int rc = cln_lone_new(&present, dev, line, in, NULL, NULL, NULL, err);
    *out = (cln_tune_result){.shape = present.node.tune.shape, .cls = present.node.tune.cls};
    for (int d = 0; d < CLN_TUNE_DIRECTIONS; d++) {
        out->wanted[d] = !(data && d == CLN_CONV_BWD_DATA);
        out->before[d] = out->best[d] = algo_of(&present.node, d);
    }
    cln_lone_free(&present);
    for (int a = 0; a < CLN_CONV_ALGOS && !rc; a++)
        rc = add_challenger(&c, line, in, (cln_conv_algo)a, err);
    *whole = true;
    for (int d = 0; d < CLN_TUNE_DIRECTIONS && !rc && *whole; d++) {
        *whole = !stop(arg);
        if (out->wanted[d] && *whole && !c.lones[out->before[d]].node.dev)
            rc = CLN_FAIL(err, CLN_ERR_CL, "%s: %s does not run on this device; see clnorm doctor", line,
                          cln_conv_algo_name(out->before[d]));
        if (out->wanted[d] && *whole && !rc)
            rc = decide(&c, d, all, whole, err);
    }
    for (int a = 0; a < CLN_CONV_ALGOS; a++)
        if (c.lones[a].node.dev)
            cln_lone_free(&c.lones[a]);
    return rc;
}
