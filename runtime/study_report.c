#include "study_report.h"

#include "report_figures.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- texts --------------------------------------------------------------------------------------- */

#define DASH  "\xe2\x80\x93"
#define MINUS "\xe2\x88\x92"

static const char *sign(double x) { return x < 0 ? MINUS : ""; }

const char *cln_text_stats(char out[CLN_CELL], cln_stats s, int digits)
{
    if (!isfinite(s.mean))
        snprintf(out, CLN_CELL, DASH);
    else if (isnan(s.sd))
        snprintf(out, CLN_CELL, "%.*f", digits, s.mean);
    else
        snprintf(out, CLN_CELL, "%.*f \xc2\xb1 %.*f", digits, s.mean, digits, s.sd);
    return out;
}

const char *cln_text_interval(char out[CLN_CELL], double low, double high, int digits)
{
    if (isnan(low) || isnan(high))
        snprintf(out, CLN_CELL, DASH);
    else
        snprintf(out, CLN_CELL, "%s%.*f \xe2\x80\xa6 %s%.*f", sign(low), digits, fabs(low), sign(high), digits, fabs(high));
    return out;
}

const char *cln_text_p(char out[CLN_CELL], double p)
{
    if (isnan(p))
        snprintf(out, CLN_CELL, DASH);
    else if (p < 1e-4)
        snprintf(out, CLN_CELL, "< 0.0001");
    else
        snprintf(out, CLN_CELL, "%.*f", p < 0.1 ? 4 : 3, p);
    return out;
}

const char *cln_text_points(char out[CLN_CELL], double points)
{
    snprintf(out, CLN_CELL, "%.2f point%s", fabs(points), fabs(points) >= 0.995 && fabs(points) < 1.005 ? "" : "s");
    return out;
}

static const char *number(char out[CLN_CELL], double x, int digits)
{
    if (!isfinite(x))
        snprintf(out, CLN_CELL, DASH);
    else
        snprintf(out, CLN_CELL, "%s%.*f", sign(x), digits, fabs(x));
    return out;
}

const char *cln_text_count(char out[CLN_CELL], int64_t n)
{
    if (n < 1000)
        snprintf(out, CLN_CELL, "%d", (int)n);
    else if (n < 1000000)
        snprintf(out, CLN_CELL, "%d,%03d", (int)(n / 1000), (int)(n % 1000));
    else
        snprintf(out, CLN_CELL, "%d,%03d,%03d", (int)(n / 1000000), (int)(n / 1000 % 1000), (int)(n % 1000));
    return out;
}

static const char *difference(char out[CLN_CELL], double x)
{
    snprintf(out, CLN_CELL, "%s%.2f", x < 0 ? MINUS : "+", fabs(x));
    return out;
}

const cln_original *cln_report_original(const cln_comparison *c, const char *norm)
{
    static const cln_original figures[] = {{"bn", 70.94, 75.02}, {"ln", 69.84, 73.11}, {"gn", 68.51, 72.02}};
    if (strcmp(c->runs[0].data, "cifar10") != 0 || c->runs[0].options.val_split)
        return NULL;
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++)
        if (strcmp(figures[i].norm, norm) == 0)
            return &figures[i];
    return NULL;
}

/* ---- accuracy ------------------------------------------------------------------------------------ */

/* What the choice of test images alone does: the binomial distribution. */
static void sampling_error(cln_document *d, const cln_comparison *c)
{
    const cln_result *r = c->base[0]->runs[0];
    const double share = r->test_acc / 100;
    if (r->has_outcome && share > 0 && share < 1)
        cln_document_paragraph(d, "Beyond that, %.2f %% of %d images have a standard error of %.2f points as a measure of all images that "
                                  "might be: the same for all runs here, as they are tested on the same ones, but not for comparisons with "
                                  "other test sets.", r->test_acc, r->outcome.n, 100 * sqrt(share * (1 - share) / r->outcome.n));
}

static void accuracy_table(cln_document *d, const cln_comparison *c)
{
    static const char *const columns[] = {"norm",      "seeds",      "test %, last epoch", "95 % interval", "test %, best epoch",
                                          "train %",   "parameters", "s per epoch",        "images/s", "test %, with flip"};
    bool flip = false;
    for (int i = 0; i < c->n_base; i++)
        flip = flip || isfinite(c->base[i]->flip.mean);
    cln_document_table(d, columns, "lrrrrrrrrr", flip ? 10 : 9);
    for (int i = 0; i < c->n_base; i++) {
        const cln_group *g = c->base[i];
        char seeds[16], test[CLN_CELL], strong[CLN_CELL + 4], interval[CLN_CELL], best[CLN_CELL], train[CLN_CELL], params[CLN_CELL],
            seconds[CLN_CELL], rate[CLN_CELL], flipped[CLN_CELL];
        snprintf(seeds, sizeof seeds, "%d", g->n);
        snprintf(strong, sizeof strong, CLN_STRONG "%s" CLN_WEAK, cln_text_stats(test, g->test, 2));
        const char *const cells[] = {g->label,
                                     seeds,
                                     strong,
                                     cln_text_interval(interval, g->test.low, g->test.high, 2),
                                     cln_text_stats(best, g->best, 2),
                                     cln_text_stats(train, g->train, 2),
                                     cln_text_count(params, g->runs[0]->params),
                                     cln_text_stats(seconds, g->seconds, 2),
                                     cln_text_stats(rate, g->rate, 0),
                                     cln_text_stats(flipped, g->flip, 2)};
        cln_document_row(d, cells);
    }
    if (flip)
        cln_document_paragraph(d, "With flip: the last epoch by the mean of the logits of an image and of its mirror image. All else is "
                                  "of the single view.");
    cln_document_paragraph(d, "Mean \xc2\xb1 standard deviation over seeds; 95 %% intervals of the mean by Student's t. The last epoch "
                              "counts: the best one is chosen on the test set and flatters. Test images are seen once, as they "
                              "are; train accuracy is the running one on augmented images.");
    sampling_error(d, c);
}

static void pairs_table(cln_document *d, const cln_comparison *c)
{
    static const char *const columns[] = {"pair",   "seeds", "difference of test %", "95 % interval", "t", "p",
                                          "p, Holm", "significant"};
    if (c->n_pairs == 0)
        return;
    cln_document_table(d, columns, "lrrrrrrl", 8);
    for (int i = 0; i < c->n_pairs; i++) {
        const cln_pair *p = &c->pairs[i];
        char pair[192], seeds[16], mean[CLN_CELL], interval[CLN_CELL], t[CLN_CELL], raw[CLN_CELL], holm[CLN_CELL];
        snprintf(pair, sizeof pair, "%s " MINUS " %s", p->a->label, p->b->label);
        snprintf(seeds, sizeof seeds, "%d", p->stats.difference.n);
        const char *const cells[] = {pair,
                                     seeds,
                                     p->stats.difference.n ? difference(mean, p->stats.difference.mean) : DASH,
                                     cln_text_interval(interval, p->stats.difference.low, p->stats.difference.high, 2),
                                     number(t, p->stats.t, 2),
                                     cln_text_p(raw, p->stats.p),
                                     cln_text_p(holm, p->p),
                                     !isnan(p->p)                    ? p->p < 0.05 ? "yes" : "no"
                                     : p->stats.difference.n == 0 ? "no seed in common"
                                     : p->stats.difference.n == 1 ? "one seed tells nothing"
                                                                  : "the same with each seed"};
        cln_document_row(d, cells);
    }
    cln_document_paragraph(d, "Paired by seed: runs of one seed begin with the same convolution weights and see the same images, "
                              "in the same order and augmented alike. Two-sided paired t-test; Holm's correction over all pairs; "
                              "significant at 5 %%.");
}

static void original_table(cln_document *d, const cln_comparison *c)
{
    static const char *const columns[] = {"norm", "study: train %", "study: test %, best epoch", "here: train %",
                                          "here: test %, last epoch", "difference of test"};
    bool any = false;
    for (int i = 0; i < c->n_base; i++)
        any = any || cln_report_original(c, c->base[i]->norm);
    if (!any)
        return;
    cln_document_heading(d, "Beside the study");
    cln_document_table(d, columns, "lrrrrr", 6);
    for (int i = 0; i < c->n_base; i++) {
        const cln_group *g = c->base[i];
        const cln_original *o = cln_report_original(c, g->norm);
        char train[CLN_CELL], test[CLN_CELL], our_train[CLN_CELL], our_test[CLN_CELL], more[CLN_CELL];
        if (!o)
            continue;
        const char *const cells[] = {g->label, number(train, o->train, 2), number(test, o->test, 2),
                                     cln_text_stats(our_train, g->train, 2), cln_text_stats(our_test, g->test, 2),
                                     difference(more, g->test.mean - o->test)};
        cln_document_row(d, cells);
    }
    cln_document_paragraph(d, "The study is one run for each norm of one skeleton of layers, that of the models s8 and s8n, under 50,000 parameters and at "
                              "most 20 epochs, and reports its best epoch on the test set. Another network, more epochs and the recipe are part "
                              "of the difference.");
}

/* ---- pictures ------------------------------------------------------------------------------------ */

/* Base groups of the first model. */
static int first_model(const cln_comparison *c, const cln_group **out)
{
    int n = 0;
    for (int i = 0; i < c->n_base && n < CLN_REPORT_MAX_CURVES; i++)
        if (strcmp(c->base[i]->model, c->base[0]->model) == 0)
            out[n++] = c->base[i];
    return n;
}

static int curves(cln_document *d, const cln_comparison *c, cln_error *err)
{
    const cln_group *groups[CLN_REPORT_MAX_CURVES];
    char path[CLN_PATH_MAX];
    const int n = first_model(c, groups);
    int rc = cln_document_path(d, "accuracy.png", path, sizeof path, err);
    if (!rc)
        rc = cln_report_curves(path, groups, n, false, err);
    if (!rc)
        rc = cln_document_path(d, "loss.png", path, sizeof path, err);
    if (!rc)
        rc = cln_report_curves(path, groups, n, true, err);
    if (rc)
        return rc;
    cln_document_heading(d, "Curves");
    cln_document_picture(d, "accuracy.png", CLN_REPORT_WIDTH,
                         "Accuracy over the epochs: mean over seeds, and a band of one standard deviation.");
    cln_document_picture(d, "loss.png", CLN_REPORT_WIDTH,
                         "Loss over the epochs, likewise. The training loss is that of smoothed labels, the test loss is not.");
    return CLN_OK;
}

static int confusion(cln_document *d, const cln_comparison *c, cln_error *err)
{
    const cln_group *groups[CLN_REPORT_MAX_CURVES];
    char path[CLN_PATH_MAX];
    int drawn = 0;
    const int n = first_model(c, groups);
    int rc = cln_document_path(d, "confusion.png", path, sizeof path, err);
    if (!rc)
        rc = cln_report_confusion(path, groups, n, &drawn, err);
    if (rc || drawn == 0)
        return rc;
    cln_document_heading(d, "Confusion");
    cln_document_picture(d, "confusion.png", (drawn < 3 ? drawn : 3) * 320 + 8,
                         "Rows: the true class. Columns: the predicted one. Percent of the true class over all seeds; "
                         "the colour goes with the root, so that a few percent show.");
    return CLN_OK;
}

static int mistakes_of(cln_document *d, const cln_group *g, cln_error *err)
{
    const cln_result *r = g->runs[0];
    char path[CLN_PATH_MAX], file[64], title[192], caption[256];
    snprintf(file, sizeof file, "misclassified-%s.png", g->norm);
    snprintf(title, sizeof title, "%s, seed %u: %d of %d test images misclassified; the first %d", g->label,
             (unsigned)r->options.seed, cln_outcome_wrong(&r->outcome), r->outcome.n, r->outcome.n_mistakes);
    snprintf(caption, sizeof caption, "%s: the first test images that the run with seed %u gets wrong, with true and predicted class "
             "and the prediction's probability.", g->label, (unsigned)r->options.seed);
    int rc = cln_document_path(d, file, path, sizeof path, err);
    if (!rc)
        rc = cln_outcome_draw(&r->outcome, path, title, err);
    if (!rc)
        cln_document_picture(d, file, CLN_REPORT_WIDTH, caption);
    return rc;
}

static int mistakes(cln_document *d, const cln_comparison *c, cln_error *err)
{
    const cln_group *groups[CLN_REPORT_MAX_CURVES];
    const int n = first_model(c, groups);
    bool begun = false;
    int rc = CLN_OK;
    for (int i = 0; i < n && !rc; i++) {
        bool drawn = false; /* a file's name holds the norm alone */
        for (int k = 0; k < i; k++)
            drawn = drawn || strcmp(groups[k]->norm, groups[i]->norm) == 0;
        if (drawn || !groups[i]->runs[0]->has_outcome)
            continue;
        if (!begun)
            cln_document_heading(d, "Misclassified images");
        begun = true;
        rc = mistakes_of(d, groups[i], err);
    }
    return rc;
}

/* ---- sweeps -------------------------------------------------------------------------------------- */

enum { MAX_VALUES = 32, MAX_LINES = 8 };

typedef struct sweep {
    const cln_group *from[MAX_LINES]; /* the base group that a line goes out from */
    const char *norms[MAX_LINES], *labels[MAX_LINES];
    double x[MAX_VALUES];
    cln_stats y[MAX_LINES * MAX_VALUES];
    int n_x, n_lines;
} sweep;

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int place_of(const cln_group *g, bool over_groups) { return over_groups ? g->groups : g->batch; }

/* Groups elsewhere on the axis that differ from a base group in nothing else. */
static int others(const cln_comparison *c, const cln_group *from, bool over_groups)
{
    int n = 0;
    for (int i = 0; i < c->n_groups; i++)
        n += place_of(&c->groups[i], over_groups) != place_of(from, over_groups) && cln_group_varies(from, &c->groups[i], over_groups);
    return n;
}

/* Of each norm the base group with the most others; all as long and on as many images as that with the most of all. */
static void find_lines(const cln_comparison *c, const char *model, bool over_groups, sweep *s)
{
    int counts[MAX_LINES] = {0}, most = 0, kept = 0;
    for (int i = 0; i < c->n_base; i++) {
        const cln_group *g = c->base[i];
        int line = 0;
        if (strcmp(g->model, model) != 0 || (over_groups && g->groups == 0))
            continue;
        while (line < s->n_lines && strcmp(s->from[line]->norm, g->norm) != 0)
            line++;
        const int n = others(c, g, over_groups);
        if (line == MAX_LINES || (line < s->n_lines && n <= counts[line]))
            continue;
        s->from[line] = g;
        counts[line] = n;
        s->n_lines = line == s->n_lines ? line + 1 : s->n_lines;
    }
    for (int line = 1; line < s->n_lines; line++)
        most = counts[line] > counts[most] ? line : most;
    for (int line = 0; line < s->n_lines; line++) {
        const cln_train_options *o = &s->from[line]->runs[0]->options, *first = &s->from[most]->runs[0]->options;
        if (o->epochs == first->epochs && o->limit == first->limit && o->val_split == first->val_split)
            s->from[kept++] = s->from[line];
    }
    s->n_lines = s->n_lines && counts[most] > 0 ? kept : 0;
}

static void find_values(const cln_comparison *c, bool over_groups, sweep *s)
{
    for (int line = 0; line < s->n_lines; line++)
        for (int i = 0; i < c->n_groups; i++) {
            const double x = place_of(&c->groups[i], over_groups);
            int at = 0;
            if (!cln_group_varies(s->from[line], &c->groups[i], over_groups))
                continue;
            while (at < s->n_x && s->x[at] != x)
                at++;
            if (at == s->n_x && s->n_x < MAX_VALUES)
                s->x[s->n_x++] = x;
        }
    qsort(s->x, (size_t)s->n_x, sizeof s->x[0], by_value);
}

/* Batches, or numbers of groups, of a model's runs that differ in nothing else; lines are norms. No values: there are none. */
static void find_sweep(const cln_comparison *c, const char *model, bool over_groups, sweep *s)
{
    *s = (sweep){.n_x = 0};
    find_lines(c, model, over_groups, s);
    find_values(c, over_groups, s);
    for (int line = 0; line < s->n_lines; line++) {
        s->norms[line] = s->from[line]->norm;
        s->labels[line] = cln_norm_short(s->norms[line]);
        for (int at = 0; at < s->n_x; at++) {
            cln_stats *y = &s->y[line * s->n_x + at];
            *y = (cln_stats){0, NAN, NAN, NAN, NAN};
            for (int i = c->n_groups - 1; i >= 0; i--)
                if (place_of(&c->groups[i], over_groups) == s->x[at] && cln_group_varies(s->from[line], &c->groups[i], over_groups))
                    *y = c->groups[i].test;
            if (place_of(s->from[line], over_groups) == s->x[at])
                *y = s->from[line]->test;
        }
    }
}

/* Whether the learning rate is another one where the batch is. */
static bool rates_vary(const cln_comparison *c, const sweep *s)
{
    for (int line = 0; line < s->n_lines; line++)
        for (int i = 0; i < c->n_groups; i++) {
            const cln_train_options *o = &c->groups[i].runs[0]->options, *from = &s->from[line]->runs[0]->options;
            if (o->batch != from->batch && o->lr != from->lr && cln_group_varies(s->from[line], &c->groups[i], false))
                return true;
        }
    return false;
}

static void sweep_table(cln_document *d, const sweep *s, const char *what)
{
    const char *columns[MAX_VALUES + 1] = {"norm"};
    char heads[MAX_VALUES][CLN_CELL], cells[MAX_VALUES][CLN_CELL], align[MAX_VALUES + 2] = "l";
    const int n = s->n_x < MAX_VALUES ? s->n_x : MAX_VALUES;
    for (int k = 0; k < n; k++) {
        snprintf(heads[k], sizeof heads[k], "%s %.0f", what, s->x[k]);
        columns[k + 1] = heads[k];
        align[k + 1] = 'r';
    }
    cln_document_table(d, columns, align, n + 1);
    for (int i = 0; i < s->n_lines; i++) {
        const char *row[MAX_VALUES + 1] = {s->labels[i]};
        for (int k = 0; k < n; k++)
            row[k + 1] = cln_text_stats(cells[k], s->y[i * s->n_x + k], 2);
        cln_document_row(d, row);
    }
}

static int sweeps(cln_document *d, const cln_comparison *c, cln_error *err)
{
    for (int i = 0; i < 2; i++) {
        const char *file = i ? "groups.png" : "batches.png";
        char path[CLN_PATH_MAX], caption[512];
        sweep s = {.n_x = 0};
        for (int k = 0; k < c->n_base && s.n_x < 2; k++)
            if (cln_comparison_begins(c, k))
                find_sweep(c, c->base[k]->model, i == 1, &s);
        if (s.n_x < 2)
            continue;
        int rc = cln_document_path(d, file, path, sizeof path, err);
        if (!rc)
            rc = cln_report_sweep(path, i ? "groups" : "images in a batch", s.x, s.n_x, s.labels, s.norms, s.y, s.n_lines, err);
        if (rc)
            return rc;
        cln_document_heading(d, i ? "Accuracy against the number of groups" : "Accuracy against the batch size");
        snprintf(caption, sizeof caption, "%s%s%s%s%s Bands: 95 %% interval of the mean.", c->several_models ? "Network " : "",
                 c->several_models ? s.from[0]->model : "", c->several_models ? ". " : "",
                 i ? "Group norm with more and fewer groups; with one it is layer norm, with one a channel instance norm."
                   : "Batch norm's statistics are those of the batch, the other norms' do not hang on it.",
                 i                   ? ""
                 : rates_vary(c, &s) ? " The learning rate goes with the batch."
                                     : " The learning rate is the same for all batches.");
        cln_document_picture(d, file, CLN_REPORT_WIDTH * 7 / 10, caption);
        sweep_table(d, &s, i ? "groups" : "batch");
    }
    return CLN_OK;
}

/* ---- cost ---------------------------------------------------------------------------------------- */

bool cln_report_one_system(const cln_result *a, const cln_result *b)
{
    return strcmp(a->device, b->device) == 0 && strcmp(a->driver, b->driver) == 0 && strcmp(a->version, b->version) == 0;
}

bool cln_report_one_device(const cln_comparison *c)
{
    for (int i = 1; i < c->n_runs; i++)
        if (!cln_report_one_system(&c->runs[i], &c->runs[0]))
            return false;
    for (int i = 0; i < c->n_base; i++)
        if (c->base[i]->n_timed == 0)
            return false;
    return true;
}

static void bench_table(cln_document *d, const cln_report_options *o)
{
    static const char *const columns[] = {"norm", "training step, ms", "to no norm", "95 % interval", "inference, ms"};
    if (o->n_costs == 0)
        return;
    cln_document_table(d, columns, "lrrrr", 5);
    for (int i = 0; i < o->n_costs; i++) {
        const cln_report_cost *k = &o->costs[i];
        char step[CLN_CELL], ratio[CLN_CELL], interval[CLN_CELL], infer[CLN_CELL];
        const char *const cells[] = {cln_norm_short(k->norm), number(step, 1e3 * k->step, 2), number(ratio, k->ratio, 3),
                                     cln_text_interval(interval, k->low, k->high, 3), number(infer, 1e3 * k->infer, 2)};
        cln_document_row(d, cells);
    }
    cln_document_paragraph(d, "Medians from %s.", o->cost_source);
}

static void costs(cln_document *d, const cln_comparison *c, const cln_report_options *o)
{
    static const char *const columns[] = {"norm", "s per epoch", "images/s", "time to that of the first"};
    const int units = c->compute_units;
    const bool same = cln_report_one_device(c);
    int others = 0;
    char each[80] = "", rest[160] = "";
    cln_document_heading(d, "What each norm costs");
    cln_document_table(d, columns, "lrrr", 4);
    for (int i = 0; i < c->n_base; i++) {
        const cln_group *g = c->base[i];
        char seconds[CLN_CELL], rate[CLN_CELL], ratio[CLN_CELL];
        const char *const cells[] = {g->label, cln_text_stats(seconds, g->seconds, 2), cln_text_stats(rate, g->rate, 0),
                                     number(ratio, g->seconds.mean / c->base[0]->seconds.mean, 3)};
        cln_document_row(d, cells);
    }
    for (int i = 0; i < c->n_base; i++)
        others += c->base[i]->n - c->base[i]->n_timed;
    if (same && units)
        snprintf(each, sizeof each, " Each run had %d compute unit%s of the device.", units, units == 1 ? "" : "s");
    if (same && others)
        snprintf(rest, sizeof rest, " %d run%s that had another part of it, or not the same all the time, %s left out of all times here.", others,
                 others == 1 ? "" : "s", others == 1 ? "is" : "are");
    cln_document_paragraph(d, "An epoch includes its evaluation on the test set; the rate is that of training alone. %s%s%s",
                           same ? "In a study the norms take turns, so that a drift of the machine meets all of them alike."
                                : "The runs did not all have one device, driver and version of clnorm, or not as much of it: their times do not compare.", each, rest);
    bench_table(d, o);
}

/* ---- all of it ----------------------------------------------------------------------------------- */

static void head(cln_document *d, const cln_comparison *c, const cln_report_options *o)
{
    const cln_result *r = c->base[0]->runs[0];
    char params[CLN_CELL], groups[80] = "";
    int count = 0;
    for (int i = 0; i < c->n_base && !count; i++)
        count = c->base[i]->groups;
    if (count)
        snprintf(groups, sizeof groups, " GN-%d is group norm with %d group%s.", count, count, count == 1 ? "" : "s");
    cln_document_paragraph(d, "%d run%s; %snetwork %s with %s parameters, %d epochs, batch %d, data %s; clnorm %s on %s.%s", c->n_runs,
                           c->n_runs == 1 ? "" : "s", c->several_models ? "the first " : "", r->model, cln_text_count(params, r->params), r->options.epochs,
                           r->options.batch, r->data, r->version, r->device,
                           groups);
    if (r->sample)
        cln_document_notice(d, "Trained on the bundled sample of CIFAR-10, %d test images: figures for trying the program out.",
                            r->has_outcome ? r->outcome.n : 500);
    else if (r->options.limit)
        cln_document_notice(d, "Trained on the first %d images alone.", r->options.limit);
    if (o->unfinished)
        cln_document_notice(d, "%d run%s left out, which had not ended or whose loss was not finite: means are of the others alone.",
                            o->unfinished, o->unfinished == 1 ? " is" : "s are");
    if (r->options.val_split)
        cln_document_notice(d, "\xe2\x80\x9cTest\xe2\x80\x9d is a validation set here: the last %d training images, held out.", r->options.val_split);
}

/* "Batch norm, layer norm and group norm side by side" */
static void make_title(const cln_comparison *c, char *out, size_t size)
{
    const cln_group *groups[CLN_REPORT_MAX_CURVES];
    const int count = first_model(c, groups);
    size_t n = 0;
    for (int i = 0; i < count && n < size; i++)
        n += (size_t)snprintf(out + n, size - n, "%s%s", i == 0 ? "" : i + 1 < count ? ", " : " and ", cln_norm_long(groups[i]->norm));
    if (n < size)
        snprintf(out + n, size - n, "%s", count > 1 ? " side by side" : ": a report");
    if (out[0] >= 'a' && out[0] <= 'z')
        out[0] = (char)(out[0] - 'a' + 'A');
}

int cln_report_write(const cln_comparison *c, const cln_report_options *o, cln_error *err)
{
    cln_document *d;
    char title[192];
    make_title(c, title, sizeof title);
    int rc = cln_document_new(o->dir, o->name, title, &d, err);
    if (rc)
        return rc;
    head(d, c, o);
    cln_document_heading(d, "Findings");
    cln_report_findings(d, c);
    cln_document_heading(d, "Accuracy");
    accuracy_table(d, c);
    pairs_table(d, c);
    original_table(d, c);
    rc = curves(d, c, err);
    if (!rc)
        rc = sweeps(d, c, err);
    if (!rc)
        rc = confusion(d, c, err);
    if (!rc)
        rc = mistakes(d, c, err);
    if (!rc) {
        costs(d, c, o);
        cln_report_norms(d);
        cln_report_method(d, c, o);
    }
    return cln_document_close(d, rc, err);
}
