/* clnorm study: trains with each norm from several seeds, and goes on where it was stopped. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../net.h"
#include "../tune.h"
#include "cli.h"
#include "runs.h"

typedef struct session {
    cln_study_axes axes;
    cln_runs runs;
} session;

/* ---- the command line ---------------------------------------------------------------------------- */

/* Settings of clnorm train that the axes stand for. */
static const char *const fixed[] = {"model", "norm", "batch", "groups", "seed", NULL};

static void print_help(void)
{
    printf("usage: clnorm study [OPTION ...]\n"
           "\n"
           "Trains a network with each norm from several seeds, and keeps of every run small JSON files in DIR. Runs of one\n"
           "seed share initial weights, order of images and augmentation. Runs that are finished are not repeated, and one\n"
           "that was interrupted goes on: the same command after Ctrl-C or a crash ends with the same figures. Then\n"
           "clnorm report DIR writes tables, curves and findings.\n"
           "\n"
           "options (default in parentheses):\n"
           "  --norms A,B,C          norms to compare (bn,ln,gn)\n"
           "  --seeds N              seeds 1 to N (5)\n"
           "  --models A,B           built-in networks or .net files (" CLN_NET_DEFAULT ")\n"
           "  --batches A,B,C        batch sizes (128); the learning rate goes with them: in proportion for SGD, to their\n"
           "                         root for AdamW and Muon\n"
           "  --groups A,B,C         groups of gn (4)\n"
           "  --out DIR              where the study goes (studies/MODEL)\n"
           "  --data PATH            as for clnorm train\n"
           "  --device D             as for clnorm train\n"
           "  --jobs N               runs at a time (one a core of a CPU with PoCL, up to 8; one on other devices)\n"
           "  --plan                 print the plan and how long it will take, and do nothing\n"
           "  --quiet                print errors only\n"
           "  --allow-failing-device as for clnorm train\n"
           "  --help                 print this\n"
           "\n"
           "Sweeps go out from one base, batch 128 and 4 groups where the lists have them, else the first of each list; the\n"
           "further models run at the base alone. Other settings are those of clnorm train and the same for all runs:\n ");
    cln_runs_print_settings(fixed);
    printf("\n");
}

static int set_models(cln_study_axes *a, const char *list, cln_error *err)
{
    a->n_models = 0;
    for (const char *at = list;; at++) {
        const size_t n = strcspn(at, ",");
        if (n < 1 || n >= sizeof a->models[0] || a->n_models == CLN_STUDY_MODELS)
            return CLN_FAIL(err, CLN_ERR_ARGUMENT, "--models: '%s' is not a list of at most %d networks", list,
                            CLN_STUDY_MODELS);
        memcpy(a->models[a->n_models], at, n);
        a->models[a->n_models++][n] = '\0';
        at += n;
        if (!*at)
            return CLN_OK;
    }
}

enum { NORMS, SEEDS, MODELS, BATCHES, GROUPS };
static const char *const axis_names[] = {"norms", "seeds", "models", "batches", "groups", NULL};

static int set_axis(void *axes, int axis, const char *text, cln_error *err)
{
    cln_study_axes *a = axes;
    int one;
    switch (axis) {
    case NORMS: return cln_option_norms("norms", text, a->norms, CLN_STUDY_NORMS, &a->n_norms, err);
    case SEEDS: return cln_option_integers("seeds", text, 1, CLN_STUDY_MAX_SEEDS, &a->seeds, 1, &one, err);
    case MODELS: return set_models(a, text, err);
    case BATCHES: return cln_option_integers("batches", text, 1, CLN_MAX_BATCH, a->batches, CLN_STUDY_VALUES, &a->n_batches, err);
    default: return cln_option_integers("groups", text, 1, 65536, a->groups, CLN_STUDY_VALUES, &a->n_groups, err);
    }
}

static const cln_runs_command command = {"study", print_help, axis_names, fixed, set_axis};

/* ---- the plan ------------------------------------------------------------------------------------ */

static void print_plan(const cln_runs *s)
{
    const cln_study *study = s->study;
    char text[32];
    printf("%s: %d runs, %d done, on %s\n", study->dir, study->n_runs, s->done, s->board->device);
    for (int i = 0; i < study->n_runs; i++) {
        const cln_study_run *run = &study->runs[i];
        bool first = true; /* of its kind */
        int same = 0;
        for (int k = 0; k < study->n_runs; k++) {
            const cln_study_run *other = &study->runs[k];
            const bool alike = other->point == run->point && strcmp(other->options.norm, run->options.norm) == 0;
            first = first && !(alike && k < i);
            same += alike;
        }
        if (!first)
            continue;
        const cln_train_options *o = &run->options;
        cln_cli_duration(run->seconds, text, sizeof text);
        printf("  %-20.*s %d seed%s, %d epochs, %s, lr %g, about %s each\n",
               (int)(strrchr(run->name, '-') - run->name), run->name, same, same == 1 ? "" : "s", o->epochs,
               cln_optimizer_words[o->optimizer], o->lr, text);
    }
    cln_cli_duration(cln_runs_left(s), text, sizeof text);
    printf("about %s to go, %d run%s at a time\n", text, s->jobs, s->jobs == 1 ? "" : "s");
    fflush(stdout);
}

/* ---- the study ----------------------------------------------------------------------------------- */

static int set_up(session *s, cln_error *err)
{
    char dir[CLN_PATH_MAX];
    cln_runs_folder(&s->runs, "studies", s->axes.models[0], dir);
    int rc = cln_runs_data(&s->runs, err);
    if (!rc)
        rc = cln_study_new(&s->axes, dir, s->runs.data, &s->runs.study, err);
    return rc ? rc : cln_runs_set_up(&s->runs, err);
}

static int train(session *s, bool *interrupted, cln_error *err)
{
    const cln_runs *r = &s->runs;
    int rc = cln_runs_train(&s->runs, interrupted, err);
    if (!rc && !*interrupted && r->diverged)
        rc = CLN_FAIL(err, CLN_ERR_DIVERGED, "%d of the %d runs in %s diverged: a lower --lr in another --out may help",
                      r->diverged, r->study->n_runs, r->study->dir);
    return rc;
}

int cln_cmd_study(int argc, char **argv)
{
    session s = {0};
    cln_error err = {0};
    bool interrupted = false;
    cln_study_defaults(&s.axes);
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
        rc = train(&s, &interrupted, &err);
    }
    status = rc ? cln_cli_fail(&err) : interrupted ? 130 : CLN_EXIT_OK;
    if (!rc && interrupted)
        fprintf(stderr, "clnorm: interrupted; saved. The same command goes on\n");
    else if (!rc && !s.runs.plan_only && !s.runs.quiet)
        printf("%d of %d runs are done; now: clnorm report %s\n", s.runs.done, s.runs.study->n_runs, s.runs.study->dir);
    cln_runs_close(&s.runs);
    return status;
}
