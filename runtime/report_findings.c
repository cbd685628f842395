/* Sentences about the numbers. Each says what it can, and no more: without two seeds nothing is significant. */
#include "study_report.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const double LEVEL = 0.05;

static const cln_group *best_group(const cln_comparison *c, const char *model)
{
    const cln_group *best = NULL;
    for (int i = 0; i < c->n_base; i++)
        if (strcmp(c->base[i]->model, model) == 0 && (!best || c->base[i]->test.mean > best->test.mean))
            best = c->base[i];
    return best;
}

static void winner(cln_document *d, const cln_comparison *c, const char *model)
{
    const cln_group *best = best_group(c, model);
    char test[CLN_CELL], interval[CLN_CELL];
    int rivals = -1, equals = -1;
    for (int i = 0; i < c->n_base; i++)
        if (strcmp(c->base[i]->model, model) == 0) {
            rivals++;
            equals += c->base[i]->test.mean == best->test.mean;
        }
    const char *is = rivals && !equals ? "is the most accurate:" : "reaches";
    if (best->n > 1)
        cln_document_item(d, CLN_STRONG "%s %s %s %%" CLN_WEAK
                             " of the test images after the last epoch (mean \xc2\xb1 standard deviation of %d seeds; 95 %% interval "
                             "of the mean %s).", best->label, is, cln_text_stats(test, best->test, 2), best->n,
                          cln_text_interval(interval, best->test.low, best->test.high, 2));
    else
        cln_document_item(d, CLN_STRONG "%s %s %s %%" CLN_WEAK " of the test images after the last epoch, of one run.",
                          best->label, is, cln_text_stats(test, best->test, 2));
}

static void pair(cln_document *d, const cln_pair *p, const char *corrected)
{
    const cln_stats *s = &p->stats.difference;
    char points[CLN_CELL], interval[CLN_CELL], chance[CLN_CELL], equal[8];
    if (s->n == 0) {
        cln_document_item(d, "%s and %s have no seed in common: their difference of %s is not tested.", p->a->label, p->b->label,
                          cln_text_points(points, p->a->test.mean - p->b->test.mean));
        return;
    }
    cln_text_points(points, s->mean);
    if (isnan(p->p) && s->mean == 0) {
        cln_document_item(d, "%s and %s are equally accurate with %s%d seed%s.", p->a->label, p->b->label, s->n > 1 ? "each of " : "",
                          s->n, s->n == 1 ? "" : "s");
        return;
    }
    if (s->n == 1) {
        cln_document_item(d, "%s is %s %s %s with one seed, which cannot tell the norm's part from chance.", p->a->label, points,
                          s->mean < 0 ? "below" : "above", p->b->label);
        return;
    }
    if (isnan(p->p)) {
        cln_document_item(d, "%s is %s %s %s with each of %d seeds: differences that are all the same leave nothing to test by.",
                          p->a->label, points, s->mean < 0 ? "below" : "above", p->b->label, s->n);
        return;
    }
    cln_text_interval(interval, s->low, s->high, 2);
    cln_text_p(chance, p->p);
    snprintf(equal, sizeof equal, "%s", chance[0] == '<' ? "" : "= ");
    if (p->p < LEVEL)
        cln_document_item(d, "%s is " CLN_STRONG "%s" CLN_WEAK " %s %s, and the difference is significant (95 %% interval %s, p %s%s%s).",
                          p->a->label, points, s->mean < 0 ? "below" : "above", p->b->label, interval, equal, chance, corrected);
    else
        cln_document_item(d, "Between %s and %s lie %s, which %d seeds do not tell from chance (95 %% interval %s, p %s%s%s).",
                          p->a->label, p->b->label, points, s->n, interval, equal, chance, corrected);
}

static void against_original(cln_document *d, const cln_comparison *c)
{
    char list[512] = "";
    size_t n = 0;
    int count = 0, total = 0;
    for (int i = 0; i < c->n_base; i++)
        total += cln_report_original(c, c->base[i]->norm) != NULL;
    for (int i = 0; i < c->n_base; i++) {
        const cln_original *o = cln_report_original(c, c->base[i]->norm);
        if (!o || n >= sizeof list)
            continue;
        const double more = c->base[i]->test.mean - o->test;
        n += (size_t)snprintf(list + n, sizeof list - n, "%s%s by %s%.1f", count == 0 ? "" : count + 1 == total ? " and " : ", ",
                              c->base[i]->label, more < 0 ? "\xe2\x88\x92" : "+", fabs(more));
        count++;
    }
    if (count)
        cln_document_item(d, "From the study's best epochs (75.02, 73.11 and 72.02 %% for BN, LN and GN) the last epochs here differ, in "
                             "points: %s.", list);
}

/* How far each norm is after a quarter of the run. */
static void early(cln_document *d, const cln_comparison *c)
{
    const int epochs = cln_group_epochs(c->base[0]), at = (epochs + 3) / 4;
    char list[512] = "";
    size_t n = 0;
    if (epochs < 8 || c->n_base < 2)
        return;
    for (int i = 0; i < c->n_base && n < sizeof list; i++)
        if (cln_group_epochs(c->base[i]) == epochs)
            n += (size_t)snprintf(list + n, sizeof list - n, "%s%s %.1f %%", n ? ", " : "", c->base[i]->label,
                                  cln_group_epoch(c->base[i], at, offsetof(cln_metrics, train_acc)).mean);
    cln_document_item(d, "After a quarter of the run, epoch %d of %d, the running train accuracies are: %s.", at, epochs, list);
}

static void selection(cln_document *d, const cln_comparison *c)
{
    char list[512] = "";
    size_t n = 0;
    for (int i = 0; i < c->n_base && n < sizeof list; i++)
        n += (size_t)snprintf(list + n, sizeof list - n, "%s%s %.2f", n ? ", " : "", c->base[i]->label,
                              c->base[i]->best.mean - c->base[i]->test.mean);
    cln_document_item(d, "Choosing the best epoch on the test set would add, in points: %s. The last epoch is what counts here.", list);
}

static void speed(cln_document *d, const cln_comparison *c)
{
    const cln_group *fast = c->base[0], *slow = c->base[0];
    if (c->n_base < 2 || !cln_report_one_device(c))
        return;
    for (int i = 1; i < c->n_base; i++) {
        if (c->base[i]->seconds.mean < fast->seconds.mean)
            fast = c->base[i];
        if (c->base[i]->seconds.mean > slow->seconds.mean)
            slow = c->base[i];
    }
    if (slow->seconds.mean > fast->seconds.mean)
        cln_document_item(d, "An epoch takes %.2f s with %s, the fastest, and %.2f s with %s, the slowest: %.1f %% more%s.",
                          fast->seconds.mean, fast->label, slow->seconds.mean, slow->label,
                          100 * (slow->seconds.mean / fast->seconds.mean - 1),
                          slow->seconds.low > fast->seconds.high ? ""
                          : fast->seconds.n < 2 || slow->seconds.n < 2
                              ? ", but from a single run the machine's part in the difference cannot be told"
                              : ", but the 95 % intervals of the two overlap, so that the machine may have made the difference");
}

/* The pair of classes that the best group confuses most. */
static void confused(cln_document *d, const cln_group *g)
{
    const cln_outcome *first = NULL;
    int64_t worst = 0, all = 0; /* of thousands of runs */
    int row = 0, column = 0;
    for (int i = 0; i < g->n && !first; i++)
        first = g->runs[i]->has_outcome ? &g->runs[i]->outcome : NULL;
    const int k = first ? first->classes : 0;
    for (int i = 0; i < k * k; i++) {
        int64_t sum = 0, total = 0;
        for (int j = 0; j < g->n; j++) {
            const cln_outcome *o = &g->runs[j]->outcome;
            if (!g->runs[j]->has_outcome || o->classes != k)
                continue;
            sum += o->confusion[i];
            for (int m = 0; m < k; m++)
                total += o->confusion[i / k * k + m];
        }
        if (i / k != i % k && sum > worst) {
            worst = sum;
            row = i / k;
            column = i % k;
            all = total;
        }
    }
    if (worst > 0)
        cln_document_item(d, "%s takes %s for %s more often than any other class for another: %.1f %% of that class.", g->label,
                          first->class_names[row], first->class_names[column], 100.0 * (double)worst / (double)all);
}

/* From the largest batch to the smallest. */
static void batches(cln_document *d, const cln_comparison *c)
{
    for (int i = 0; i < c->n_base; i++) {
        const cln_group *g = c->base[i], *small = g, *large = g;
        for (int k = 0; k < c->n_groups; k++) {
            const cln_group *o = &c->groups[k];
            if (!cln_group_varies(g, o, false))
                continue;
            small = o->batch < small->batch ? o : small;
            large = o->batch > large->batch ? o : large;
        }
        if (small->batch == large->batch)
            continue;
        const double change = small->test.mean - large->test.mean;
        cln_document_item(d, "From batch %d to batch %d %s goes from %.2f %% to %.2f %%: %s %s.", large->batch, small->batch,
                          g->label, large->test.mean, small->test.mean,
                          cln_text_points((char[CLN_CELL]){0}, change), change < 0 ? "lost" : "gained");
    }
}

static void group_counts(cln_document *d, const cln_comparison *c)
{
    for (int i = 0; i < c->n_base; i++) {
        const cln_group *best = c->base[i], *worst = c->base[i];
        for (int k = 0; k < c->n_groups; k++) {
            const cln_group *g = &c->groups[k];
            if (!cln_group_varies(c->base[i], g, true))
                continue;
            best = g->test.mean > best->test.mean ? g : best;
            worst = g->test.mean < worst->test.mean ? g : worst;
        }
        if (best->groups != worst->groups)
            cln_document_item(d, "Of the numbers of groups tried%s%s, %d is best with %.2f %% and %d worst with %.2f %%.",
                              c->several_models ? " on " : "", c->several_models ? best->model : "", best->groups,
                              best->test.mean, worst->groups, worst->test.mean);
    }
}

void cln_report_findings(cln_document *d, const cln_comparison *c)
{
    for (int i = 0; i < c->n_base; i++)
        if (cln_comparison_begins(c, i))
            winner(d, c, c->base[i]->model);
    for (int i = 0; i < c->n_pairs; i++)
        pair(d, &c->pairs[i], c->n_pairs > 1 ? " after Holm's correction" : "");
    against_original(d, c);
    early(d, c);
    batches(d, c);
    group_counts(d, c);
    selection(d, c);
    speed(d, c);
    confused(d, best_group(c, c->base[0]->model));
}
