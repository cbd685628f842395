/* clnorm lr-find: short runs over a grid of learning rates, the same for every norm, judged on held-out training images. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../net.h"
#include "../search.h"
#include "cli.h"
#include "runs.h"

typedef struct session {
    cln_search_axes axes;
    cln_runs runs;
} session;

/* ---- the command line ---------------------------------------------------------------------------- */

/* Settings of clnorm train that the axes stand for. */
static const char *const fixed[] = {"model", "norm", "optimizer", "lr", "seed", NULL};

static void print_help(void)
{
    printf("usage: clnorm lr-find [OPTION ...]\n"
           "\n"
           "Trains short runs over a grid of optimisers and learning rates, the same grid for every norm, and prints their\n"
           "accuracies on training images that were held out: the test set is never looked at. Finished runs are kept in DIR\n"
           "and not repeated, and an interrupted one goes on by the same command.\n"
           "\n"
           "options (default in parentheses):\n"
           "  --norms A,B,C          norms (bn,ln,gn)\n"
           "  --sgd R,R,...          learning rates to try with sgd, ascending; none: leave it out\n"
           "                         (0.025,0.05,0.1,0.2,0.4,0.8)\n"
           "  --adamw R,R,...        likewise with adamw (0.001,0.002,0.004,0.008,0.016,0.032)\n"
           "  --muon R,R,...         likewise with muon (0.01,0.02,0.04,0.08,0.16,0.32)\n"
           "  --seeds N              seeds 1 to N (1)\n"
           "  --model M              a built-in network or .net file (" CLN_NET_DEFAULT ")\n"
           "  --val N                images held out, the last ones (a tenth of the training set: CIFAR-10's 50,000 become\n"
           "                         45,000 and 5,000)\n"
           "  --epochs N             of each run (5)\n"
           "  --weight-decay X       (that of the optimiser: 0.005 for sgd, 0.05 for adamw, 0.04 for muon)\n"
           "  --out DIR              where the runs go (searches/MODEL)\n"
           "  --data PATH            as for clnorm train\n"
           "  --device D             as for clnorm train\n"
           "  --jobs N               as for clnorm study\n"
           "  --plan                 print how many runs there are and how long they will take, and do nothing\n"
           "  --quiet                print the table alone\n"
           "  --allow-failing-device as for clnorm train\n"
           "  --help                 print this\n"
           "\n"
           "Other settings are those of clnorm train and the same for all runs:\n ");
    cln_runs_print_settings(fixed);
    printf("\n");
}

enum { NORMS, SEEDS, MODEL, SGD, ADAMW, MUON };
static const char *const axis_names[] = {"norms", "seeds", "model", "sgd", "adamw", "muon", NULL};

static int set_axis(void *axes, int axis, const char *text, cln_error *err)
{
    cln_search_axes *a = axes;
    int one;
    switch (axis) {
    case NORMS: return cln_option_norms("norms", text, a->norms, CLN_STUDY_NORMS, &a->n_norms, err);
    case SEEDS: return cln_option_integers("seeds", text, 1, CLN_STUDY_MAX_SEEDS, &a->seeds, 1, &one, err);
    case MODEL:
        if (!*text || strlen(text) >= sizeof a->model)
            return CLN_FAIL(err, CLN_ERR_ARGUMENT, "--model: the text is %s", *text ? "too long" : "empty");
        snprintf(a->model, sizeof a->model, "%s", text);
        return CLN_OK;
    default: {
        const int k = axis - SGD; /* a cln_optimizer */
        a->n_rates[k] = 0;
        return strcmp(text, "none") == 0 ? CLN_OK
                                         : cln_option_reals(cln_optimizer_words[k], text, 0, 1000, a->rates[k],
                                                            CLN_SEARCH_RATES, &a->n_rates[k], err);
    }
    }
}

static const cln_runs_command command = {"lr-find", print_help, axis_names, fixed, set_axis};

/* ---- what is printed ----------------------------------------------------------------------------- */

static void print_plan(const cln_runs *s)
{
    char text[32];
    cln_cli_duration(cln_runs_left(s), text, sizeof text);
    printf("%s: %d runs, %d done, on %s; about %s to go\n", s->study->dir, s->study->n_runs, s->done, s->board->device, text);
    fflush(stdout);
}

static int print_table(const cln_study *study, cln_error *err)
{
    cln_search_row *rows = NULL;
    int n = 0;
    int rc = cln_search_rows(study, &rows, &n, err);
    if (rc)
        return rc;
    const cln_train_options *first = rows[0].options;
    printf("%s, %d epochs, accuracy in percent on the last %d training images, which were held out\n\n"
           "norm  optimizer  lr          accuracy\n", first->model, first->epochs, first->val_split);
    for (int i = 0; i < n; i++) {
        const cln_search_row *r = &rows[i];
        char acc[48] = "diverged", spread[24] = "";
        if (r->done > 1)
            snprintf(spread, sizeof spread, " +- %.2f", r->sd);
        if (r->done > 0)
            snprintf(acc, sizeof acc, "%.2f%s", r->acc, spread);
        printf("%-5s %-10s %-10g  %s%s", r->options->norm, cln_optimizer_words[r->options->optimizer], r->options->lr, acc, r->best ? "  *" : "");
        if (r->done > 0 && r->done < r->runs)
            printf("  (%d of %d runs diverged)", r->runs - r->done, r->runs);
        printf("\n");
    }
    printf("\n");
    for (int i = 0; i < n; i++)
        if (rows[i].best)
            printf("best: --norm %s --optimizer %s --lr %g --weight-decay %g%s\n", rows[i].options->norm, cln_optimizer_words[rows[i].options->optimizer],
                   rows[i].options->lr, rows[i].options->weight_decay,
                   rows[i].edge ? "   (at the edge of the grid: try a wider one in another --out)" : "");
    free(rows);
    return CLN_OK;
}

/* ---- the search ---------------------------------------------------------------------------------- */

static int set_up(session *s, cln_error *err)
{
    char dir[CLN_PATH_MAX];
    cln_runs_folder(&s->runs, "searches", s->axes.model, dir);
    int rc = cln_runs_data(&s->runs, err);
    if (!rc)
        rc = cln_search_new(&s->axes, dir, s->runs.data, &s->runs.study, err);
    return rc ? rc : cln_runs_set_up(&s->runs, err);
}

int cln_cmd_lr_find(int argc, char **argv)
{
    session s = {0};
    cln_error err = {0};
    bool interrupted = false;
    cln_search_defaults(&s.axes);
    int status = cln_runs_parse(argc, argv, &command, &s.axes, &s.runs, &err);
    if (status >= 0)
        return status;
    s.axes.given = s.runs.given;
    s.axes.n_given = s.runs.n_given;
    int rc = set_up(&s, &err);
    if (!rc && !s.runs.quiet)
        print_plan(&s.runs);
    if (!rc && !s.runs.plan_only) {
        cln_cli_catch_signals();
        rc = cln_runs_train(&s.runs, &interrupted, &err);
        if (!rc && !interrupted)
            rc = print_table(s.runs.study, &err);
    }
    status = rc ? cln_cli_fail(&err) : interrupted ? 130 : CLN_EXIT_OK;
    if (!rc && interrupted)
        fprintf(stderr, "clnorm: interrupted; saved. The same command goes on\n");
    cln_runs_close(&s.runs);
    return status;
}
