#include "job.h"

#include "figure.h"
#include "options.h"
#include "outcome.h"
#include "tuning.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- from the start, or from a checkpoint -------------------------------------------------------- */

/* Names of files and devices may be any bytes: cln_run_text makes JSON strings of them. */
static json_t *config_json(const cln_job *job)
{
    const cln_device_info *info = &job->dev->info;
    cln_tuning *tuning = NULL;
    char *plan = cln_plan_describe(job->trainer->plan);
    char *lines = cln_tuning_of_plan(job->trainer->plan, &tuning, NULL) ? NULL : cln_tuning_text(tuning);
    json_t *options = cln_options_to_json(&job->options);
    json_t *json = json_pack("{s:s, s:o, s:o, s:o, s:s, s:{s:i, s:o, s:o, s:s*, s:o, s:i}, s:I, s:o, s:s?, s:s?}", "version", CLNORM_VERSION,
                             "options", options, "data", cln_run_text(job->data->sample ? "sample" : job->data->source),
                             "data_name", cln_run_text(job->data->name), "data_sha256", job->data->digest, "device", "index",
                             info->index, "name", cln_run_text(info->name), "driver", cln_run_text(info->driver), "simulated",
                             info->simulated[0] ? info->simulated : NULL, "platform",
                             cln_run_text(info->platform_name), "compute_units", (int)info->compute_units, "params",
                             (json_int_t)cln_trainer_param_count(job->trainer), "net", cln_run_text(job->trainer->net->text),
                             "plan", plan, "tuning", lines);
    if (!plan || !lines) {
        json_decref(json);
        json = NULL;
    }
    free(plan);
    free(lines);
    cln_tuning_free(tuning);
    return json;
}

int cln_job_tune(cln_job *job, bool resume, cln_error *err)
{
    char path[CLN_PATH_MAX];
    cln_tuning *tuning = NULL;
    int rc = cln_run_path(&job->run, CLN_RUN_CONFIG, path, err);
    if (!rc && resume && cln_run_has_checkpoint(&job->run))
        rc = cln_config_tuning(path, &tuning, err);
    if (!rc)
        cln_tuning_use(job->dev, tuning);
    return rc;
}

int cln_job_plan(cln_job *job, cln_error *err)
{
    return cln_trainer_new(job->dev, job->data, &job->options, &job->trainer, err);
}

int cln_job_begin(cln_job *job, bool resume, cln_error *err)
{
    char path[CLN_PATH_MAX];
    int rc;
    if (!resume || !cln_run_has_checkpoint(&job->run)) {
        json_t *config = config_json(job);
        rc = config ? cln_run_begin(&job->run, config, err) : CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory");
        json_decref(config);
        return rc;
    }
    rc = cln_run_path(&job->run, CLN_RUN_CONFIG, path, err);
    if (!rc)
        rc = cln_config_units(path, (int)job->dev->info.compute_units, err);
    if (!rc)
        rc = cln_run_path(&job->run, CLN_RUN_CHECKPOINT, path, err);
    if (!rc)
        rc = cln_trainer_load(job->trainer, path, err);
    if (!rc)
        rc = cln_run_cut_metrics(&job->run, cln_trainer_epochs_done(job->trainer), err);
    if (!rc)
        rc = cln_run_path(&job->run, CLN_RUN_METRICS, path, err);
    if (!rc && cln_file_exists(path))
        rc = cln_metrics_read(path, &job->metrics, &job->n_metrics, err);
    if (!rc && job->n_metrics != cln_trainer_epochs_done(job->trainer))
        rc = CLN_FAIL(err, CLN_ERR_CHECKPOINT, "%s has %d epochs, the checkpoint %d: the run folder is damaged", path,
                      job->n_metrics, cln_trainer_epochs_done(job->trainer));
    return rc;
}

/* ---- training ------------------------------------------------------------------------------------ */

static int keep_metrics(cln_job *job, const cln_metrics *m, cln_error *err)
{
    cln_metrics *grown = realloc(job->metrics, (size_t)(job->n_metrics + 1) * sizeof *grown);
    if (!grown)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory");
    job->metrics = grown;
    job->metrics[job->n_metrics++] = *m;
    return cln_run_add_metrics(&job->run, m, err);
}

static int save_checkpoint(cln_job *job, cln_error *err)
{
    char path[CLN_PATH_MAX];
    int rc = cln_run_path(&job->run, CLN_RUN_CHECKPOINT, path, err);
    return rc ? rc : cln_trainer_save(job->trainer, path, err);
}

static int draw_curves(const cln_job *job, cln_error *err)
{
    char path[CLN_PATH_MAX], title[256];
    const cln_metrics *last = &job->metrics[job->n_metrics - 1];
    int rc = cln_run_path(&job->run, CLN_RUN_CURVES, path, err);
    snprintf(title, sizeof title, "%s, %s: test %.2f %% after %d epoch%s", job->trainer->net->name, job->trainer->net->norm,
             last->test_acc, last->epoch, last->epoch == 1 ? "" : "s");
    return rc ? rc : cln_figure_curves(path, title, job->metrics, job->n_metrics, err);
}

static bool never_stop(void *arg, const cln_progress *p)
{
    (void)arg;
    (void)p;
    return true;
}

int cln_job_train(cln_job *job, const cln_job_watch *watch, bool *stopped, cln_error *err)
{
    const cln_progress_fn progress = watch->progress ? watch->progress : never_stop;
    int rc = CLN_OK;
    bool early = false, go_on = true;
    while (!rc && !early && go_on && cln_trainer_epochs_done(job->trainer) < job->options.epochs) {
        cln_metrics m;
        rc = cln_trainer_epoch(job->trainer, progress, watch->arg, &m, &early, err);
        if (!rc && !early)
            rc = keep_metrics(job, &m, err);
        if (!rc)
            rc = save_checkpoint(job, err);
        if (!rc && !early && !job->small)
            rc = draw_curves(job, err);
        if (!rc && !early && watch->epoch)
            go_on = watch->epoch(watch->arg, &m);
    }
    *stopped = cln_trainer_epochs_done(job->trainer) < job->options.epochs; /* what came after the last step is no stop */
    return rc;
}

/* ---- the end ------------------------------------------------------------------------------------- */

static int draw_mistakes(const cln_job *job, const cln_outcome *o, cln_error *err)
{
    char path[CLN_PATH_MAX], title[256];
    snprintf(title, sizeof title, "%s, %s: %d of %d test images misclassified; the first %d", job->trainer->net->name,
             job->trainer->net->norm, cln_outcome_wrong(o), o->n, o->n_mistakes);
    int rc = cln_run_path(&job->run, CLN_RUN_MISTAKES, path, err);
    return rc ? rc : cln_outcome_draw(o, path, title, err);
}

static int leave_outcome(cln_job *job, cln_error *err)
{
    const cln_dataset *d = job->data;
    const int held = job->options.val_split;
    const size_t first = held ? d->n_train - (size_t)held : 0;
    const uint8_t *x = held ? d->train_x : d->test_x, *y = held ? d->train_y : d->test_y;
    char path[CLN_PATH_MAX];
    cln_evaluation e = {0};
    cln_outcome o = {0};
    int rc = cln_trainer_evaluate(job->trainer, &e, err);
    if (!rc)
        rc = cln_outcome_of(d, x + first * (size_t)d->c * (size_t)d->h * (size_t)d->w, y + first, &e, &o, err);
    if (!rc)
        rc = cln_run_path(&job->run, CLN_RUN_OUTCOME, path, err);
    if (!rc)
        rc = cln_outcome_write(&o, path, err);
    if (!rc && !job->small)
        rc = draw_mistakes(job, &o, err);
    cln_outcome_clear(&o);
    cln_evaluation_clear(&e);
    return rc;
}

int cln_job_finish(cln_job *job, cln_summary *out, cln_error *err)
{
    char path[CLN_PATH_MAX];
    int rc = leave_outcome(job, err);
    if (!rc && !job->small)
        rc = draw_curves(job, err);
    if (!rc)
        rc = cln_run_path(&job->run, CLN_RUN_MODEL, path, err);
    if (!rc && !job->small)
        rc = cln_trainer_export(job->trainer, path, err);
    if (!rc)
        rc = cln_trainer_weights_sha256(job->trainer, job->weights_sha256, err);
    if (rc)
        return rc;
    *out = (cln_summary){.model = job->trainer->net->name,
                         .norm = job->options.norm,
                         .device = job->dev->info.name,
                         .weights_sha256 = job->weights_sha256,
                         .params = (int64_t)cln_trainer_param_count(job->trainer),
                         .seed = job->options.seed};
    cln_summary_of_metrics(out, job->metrics, job->n_metrics);
    rc = cln_run_write_summary(&job->run, out, err);
    return !rc && job->small ? cln_run_drop_checkpoint(&job->run, err) : rc;
}

void cln_job_clear(cln_job *job)
{
    cln_trainer_free(job->trainer);
    cln_run_close(&job->run);
    free(job->metrics);
    job->trainer = NULL;
    job->metrics = NULL;
    job->n_metrics = 0;
}
