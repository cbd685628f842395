/* clnorm bench step: the whole training step as `clnorm train` runs it (gathering and augmenting the batch, forward,
 * loss, backward, optimiser), and inference (gathering and the forward pass, as `clnorm eval` runs them), by
 * norm and batch size; and where the time of a step goes, kernel by kernel. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "cli/cli.h"
#include "dataset.h"
#include "net.h"
#include "options.h"
#include "train.h"

static const char help[] =
    "usage: clnorm bench step [OPTION ...]\n"
    "\n"
    "Times whole training steps and inference on the bundled sample, the norms in turn, and breaks the\n"
    "step at the first batch size down by kind of kernel.\n"
    "\n"
    "options:\n"
    "  --model M        network (" CLN_NET_DEFAULT ")\n"
    "  --batch A,B,C    batch sizes, the one to break down first (128,1,2,4,8,16,32,64,256,512,1024)\n"
    "  --norm A,B,C     norms (bn,ln,gn,none)\n"
    "  --no-infer       training alone\n"
    "  --no-fuse        run every layer alone\n"
    "  --recipe         with clnorm train's default activation and optimiser (else ReLU and SGD, as the\n"
    "                   comparison with PyTorch)\n"
    "  --plot FILE      .png or .svg: images per second against batch size\n";

typedef struct step_bench {
    cln_bench_options o;
    bool fuse, infer, recipe;
    cln_device *dev;
    cln_dataset *data;
    cln_bench_report report;
} step_bench;

/* ---- one norm at one batch size ------------------------------------------------------------------ */

typedef struct contestant {
    int batch;
    cln_trainer *trainer;
    cln_net *net;
    cln_plan *infer; /* NULL: not wanted */
    bool prepared;   /* what it derives from its weights is there */
} contestant;

static int train_step(void *arg, cln_error *err) { return cln_train_enqueue(((contestant *)arg)->trainer, 0, 0, err); }

static int infer_batch(void *arg, cln_error *err)
{
    contestant *c = arg;
    int rc = CLN_OK;
    for (int base = 0; base < c->batch && !rc; base += c->net->input.n) {
        const int left = c->batch - base;
        const cln_pass pass = {.n = left < c->net->input.n ? left : c->net->input.n, .same_weights = c->prepared};
        rc = cln_feed_batch(c->trainer->train, base, pass.n, NULL, c->infer->input, c->trainer->loss->labels, err);
        if (!rc)
            rc = cln_plan_forward(c->infer, &pass, err);
        c->prepared = !rc;
    }
    return rc ? rc : cln_device_finish(c->trainer->dev, err); /* who asks wants the answer */
}

static void contestant_free(contestant *c)
{
    cln_plan_free(c->infer);
    cln_net_free(c->net);
    cln_trainer_free(c->trainer);
    *c = (contestant){0};
}

static cln_train_options options_of(const step_bench *b, const char *norm, int batch)
{
    cln_train_options o;
    cln_train_defaults(norm, &o);
    if (!b->recipe) { /* the least that goes with a norm, as the peers do */
        cln_train_use(CLN_OPTIMIZER_SGD, &o);
        o.act = CLN_ACT_RELU;
    }
    snprintf(o.model, sizeof o.model, "%s", b->o.model);
    o.batch = batch;
    o.fuse = b->fuse;
    o.lr = 0; /* the weights stay as they are: every step does the same work */
    return o;
}

static int new_trainer(const step_bench *b, const char *norm, int batch, contestant *c, cln_error *err)
{
    const cln_train_options o = options_of(b, norm, batch);
    c->batch = batch;
    return cln_trainer_new(b->dev, b->data, &o, &c->trainer, err);
}

/* Weights as the trainer has them. */
static int new_inference(const step_bench *b, const char *norm, int batch, contestant *c, cln_error *err)
{
    const cln_dataset *d = b->data;
    const cln_plan_options options = {.tune = {CLN_CLASS_AUTO, -1}, .fuse = b->fuse, .inference = true};
    const int images = cln_tune_micro(b->dev, &options.tune, cln_net_macs(c->trainer->net), batch);
    const cln_train_options o = options_of(b, norm, batch);
    int rc = cln_train_net(&o, (cln_shape){images, d->h, d->w, d->c}, d->classes, &c->net, err);
    if (!rc)
        rc = cln_plan_new(b->dev, c->net, &options, &c->infer, err);
    if (!rc)
        rc = cln_plan_init(c->infer, 1, err);
    return rc;
}

/* Forward 1, backward 2 (nothing behind the data), as the layers' costs say. */
static double net_flops(const cln_net *net, bool train)
{
    double sum = 0;
    for (int i = 0; i < net->n_layers; i++) {
        cln_cost cost[CLN_COST_KINDS] = {{0, 0}};
        if (net->layers[i].op->cost)
            net->layers[i].op->cost(&net->layers[i], cost);
        sum += cost[CLN_COST_FORWARD].flops;
        sum += train && net->layers[i].input[0] >= 0 ? cost[CLN_COST_BACKWARD_DATA].flops : 0;
        sum += train ? cost[CLN_COST_BACKWARD_PARAMS].flops : 0;
    }
    return sum;
}

static void set_row(cln_bench_row *row, const step_bench *b, const char *view, const char *norm, int batch,
                    const cln_net *net)
{
    char text[16];
    const char *slash = strrchr(b->o.model, '/');
    snprintf(text, sizeof text, "%d", batch);
    cln_bench_row_name(row, view, slash ? slash + 1 : b->o.model, norm, text);
    snprintf(row->shape, sizeof row->shape, "%dx%dx%d", net->input.h, net->input.w, net->input.c);
    row->batch = batch;
    row->flops = net_flops(net, !strcmp(view, "step")) * batch / net->input.n;
}

/* All norms at one batch size, in turn. */
static int bench_batch(step_bench *b, int batch, cln_error *err)
{
    contestant list[CLN_BENCH_MAX_NORMS] = {{0}};
    cln_bench_case cases[2 * CLN_BENCH_MAX_NORMS] = {{.foreign = false}};
    int n = 0, rc = CLN_OK;
    for (int k = 0; k < b->o.n_norms && !rc; k++) {
        cln_bench_row row = {.name = ""};
        const double began = cln_now();
        rc = new_trainer(b, b->o.norms[k], batch, &list[k], err);
        if (!rc)
            set_row(&row, b, "step", b->o.norms[k], batch, list[k].trainer->net);
        row.first = cln_now() - began;
        if (!rc && cln_bench_wanted(&b->o, row.name))
            cases[n++] = (cln_bench_case){.row = row, .run = train_step, .arg = &list[k]};
        if (!rc && b->infer)
            rc = new_inference(b, b->o.norms[k], batch, &list[k], err);
        row = (cln_bench_row){.name = ""};
        if (!rc && b->infer)
            set_row(&row, b, "infer", b->o.norms[k], batch, list[k].net);
        if (!rc && b->infer && cln_bench_wanted(&b->o, row.name))
            cases[n++] = (cln_bench_case){.row = row, .run = infer_batch, .arg = &list[k]};
    }
    const cln_bench_measurement m = {.min_time = b->o.min_time};
    if (!rc)
        rc = cln_bench_measure(b->dev, &m, cases, n, err);
    for (int i = 0; i < n; i++) {
        cln_bench_row_judge(&cases[i].row, &b->report.context.peaks);
        if (!rc)
            rc = cln_bench_report_add(&b->report, &cases[i].row, err);
        cln_bench_row_clear(&cases[i].row);
    }
    for (int k = 0; k < b->o.n_norms; k++)
        contestant_free(&list[k]);
    return rc;
}

/* ---- tables -------------------------------------------------------------------------------------- */

static const cln_bench_row *find(const step_bench *b, const char *view, const char *norm, int batch)
{
    for (int i = 0; i < b->report.n_rows; i++) {
        const cln_bench_row *r = &b->report.rows[i];
        if (!strcmp(r->view, view) && !strcmp(r->norm, norm) && r->batch == batch)
            return r;
    }
    return NULL;
}

static int smaller_first(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

static void print_rates(const step_bench *b, const char *view, const char *title)
{
    int batches[CLN_BENCH_MAX_BATCHES];
    memcpy(batches, b->o.batches, sizeof batches);
    qsort(batches, (size_t)b->o.n_batches, sizeof *batches, smaller_first);
    printf("%s, images per second\n%8s", title, "batch");
    for (int k = 0; k < b->o.n_norms; k++)
        printf(" %9s ", b->o.norms[k]);
    printf("\n");
    for (int i = 0; i < b->o.n_batches; i++) {
        printf("%8d", batches[i]);
        for (int k = 0; k < b->o.n_norms; k++) {
            const cln_bench_row *r = find(b, view, b->o.norms[k], batches[i]);
            if (r)
                printf(" %9.1f%s", r->batch / r->median, cln_bench_noisy(r) ? "~" : " ");
            else
                printf(" %9s ", "-");
        }
        printf("\n");
    }
    printf("\n");
}

static const struct {
    const char *kind;
    const char *prefixes[4]; /* of kernels' names */
} kinds[] = {
    {"convolution forward", {"conv_fwd", "conv_fold"}},
    {"convolution backward-data", {"conv_bwd_data", "conv_flip", "conv_bwd_col2im", "conv_transpose"}},
    {"1x1 convolution backward", {"conv_bwd_pointwise"}},
    {"3x3 convolution backward", {"conv_bwd_winograd"}},
    {"weight standardisation", {"conv_standard"}},
    {"convolution backward-params", {"conv_bwd_"}},
    {"depthwise convolution", {"depthwise_"}},
    {"norm, ReLU, pool forward", {"norm_fwd"}},
    {"norm, ReLU, pool backward", {"norm_bwd"}},
    {"pooling", {"pool_"}},
    {"other layers", {"point_", "gate_"}},
    {"loss", {"loss_"}},
    {"optimiser", {"optim_", "muon_"}},
    {"gathering the batch", {"feed_"}},
    {CLN_BENCH_BETWEEN, {CLN_BENCH_BETWEEN}}, /* one has ended, the next has not begun */
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static int kind_of(const char *kernel)
{
    for (int k = 0; k < KINDS; k++)
        for (int p = 0; p < 4 && kinds[k].prefixes[p]; p++)
            if (!strncmp(kernel, kinds[k].prefixes[p], strlen(kinds[k].prefixes[p])))
                return k;
    return KINDS;
}

static double between(const cln_bench_row *r)
{
    double sum = 0;
    for (int i = 0; i < r->n_kernels; i++)
        sum += strcmp(r->kernels[i].name, CLN_BENCH_BETWEEN) ? 0 : r->kernels[i].seconds;
    return sum;
}

/* Milliseconds and share of each kind; what is left is before the first kernel and behind the last one. */
static void print_breakdown(const step_bench *b)
{
    double sums[CLN_BENCH_MAX_NORMS][KINDS + 1] = {{0}};
    const cln_bench_row *rows[CLN_BENCH_MAX_NORMS] = {NULL};
    const int batch = b->o.batches[0];
    printf("Where a training step at batch %d goes, ms and share\n%-28s", batch, "");
    for (int k = 0; k < b->o.n_norms; k++) {
        rows[k] = find(b, "step", b->o.norms[k], batch);
        for (int i = 0; rows[k] && i < rows[k]->n_kernels; i++)
            sums[k][kind_of(rows[k]->kernels[i].name)] += rows[k]->kernels[i].seconds;
        printf(" %8s        ", b->o.norms[k]);
    }
    printf("\n");
    for (int kind = 0; kind <= KINDS; kind++) {
        double any = 0;
        for (int k = 0; k < b->o.n_norms; k++)
            any += sums[k][kind];
        if (any <= 0)
            continue;
        printf("%-28s", kind < KINDS ? kinds[kind].kind : "other kernels");
        for (int k = 0; k < b->o.n_norms; k++)
            if (rows[k])
                printf(" %8.3f %5.1f %%", 1e3 * sums[k][kind], 100 * sums[k][kind] / rows[k]->profiled);
            else
                printf(" %16s", "-");
        printf("\n");
    }
    printf("%-28s", "not accounted for");
    for (int k = 0; k < b->o.n_norms; k++)
        if (rows[k])
            printf(" %8.3f %5.1f %%", 1e3 * (rows[k]->profiled - rows[k]->event - between(rows[k])),
                   100 * (1 - (rows[k]->event + between(rows[k])) / rows[k]->profiled));
        else
            printf(" %16s", "-");
    printf("\n%-28s", "step (as profiled)");
    for (int k = 0; k < b->o.n_norms; k++)
        printf(" %8.3f        ", rows[k] ? 1e3 * rows[k]->profiled : 0.0);
    printf("\n\n");
}

static void print_tables(const step_bench *b, double seconds)
{
    cln_bench_print_context(&b->report);
    print_rates(b, "step", "Training");
    if (b->infer)
        print_rates(b, "infer", "Inference");
    print_breakdown(b);
    printf("model %s: %d rows in %.0f s; ~: noisy, coefficient of variation above %d %%,\n"
           "or medians of the halves of the samples more than %d %% apart\n", b->o.model, b->report.n_rows, seconds,
           CLN_BENCH_NOISY_PERCENT, CLN_BENCH_DRIFT_PERCENT);
}

/* ---- the command --------------------------------------------------------------------------------- */

static int set_option(void *arg, const char *name, const char *value, cln_error *err)
{
    step_bench *b = arg;
    (void)value;
    (void)err;
    if (!strcmp(name, "no-infer"))
        b->infer = false;
    else if (!strcmp(name, "no-fuse"))
        b->fuse = false;
    else
        b->recipe = true;
    snprintf(b->o.flags, sizeof b->o.flags, "%s%s", b->fuse ? "" : " --no-fuse", b->recipe ? " --recipe" : "");
    return CLN_OK;
}

static int run(step_bench *b, cln_error *err)
{
    int rc = cln_dataset_open("sample", &b->data, err);
    for (int i = 0; i < b->o.n_batches && !rc; i++)
        if (b->o.batches[i] > (int)b->data->n_train)
            rc = CLN_FAIL(err, CLN_ERR_ARGUMENT, "--batch: %d: the sample has only %zu images", b->o.batches[i],
                          (size_t)b->data->n_train);
    if (!rc)
        rc = cln_bench_peaks_measure(b->dev, 1.0, &b->report.context.peaks, err);
    for (int i = 0; i < b->o.n_batches && !rc; i++) {
        rc = bench_batch(b, b->o.batches[i], err);
        if (rc == CLN_ERR_DEVICE_MEMORY && i > 0) { /* the smaller ones are worth having */
            fprintf(stderr, "clnorm: batch %d is left out: %s\n", b->o.batches[i], err->text);
            rc = CLN_OK;
        }
    }
    return rc;
}

int cln_bench_step(int argc, char **argv)
{
    static const char *const flags[] = {"no-infer", "no-fuse", "recipe", NULL};
    step_bench b = {.o = {.model = CLN_NET_DEFAULT, .norms = {"bn", "ln", "gn", "none"}, .n_norms = 4, .min_time = 0.1,
                          .batches = {128, 1, 2, 4, 8, 16, 32, 64, 256, 512, 1024}, .n_batches = 11},
                    .fuse = true, .infer = true};
    cln_error err = {0};
    const double began = cln_now();
    const int status = cln_bench_parse(argc, argv, &b.o, help, flags, set_option, &b);
    if (status >= 0)
        return status;
    int rc = cln_bench_open(&b.o, &b.dev, &err);
    if (!rc) {
        cln_bench_context_fill(&b.report.context, b.dev, argc, argv);
        rc = run(&b, &err);
    }
    if (!rc && !b.report.n_rows)
        rc = CLN_FAIL(&err, CLN_ERR_ARGUMENT, "no row fits --filter '%s'", b.o.filter ? b.o.filter : "");
    if (!rc && !cln_bench_quiet(&b.o))
        print_tables(&b, cln_now() - began);
    if (!rc)
        rc = cln_bench_write(&b.report, &b.o, &err);
    if (!rc && b.o.plot)
        rc = cln_bench_plot_batches(&b.report, b.o.plot, &err);
    cln_bench_report_clear(&b.report);
    cln_dataset_free(b.data);
    cln_bench_close(b.dev);
    return rc ? cln_cli_fail(&err) : CLN_EXIT_OK;
}
