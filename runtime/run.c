#include "run.h"

#include "json.h"
#include "options.h"
#include "tuning.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Bytes that are read of a config.json, of a metrics.jsonl, and of one of its lines. */
enum { MAX_CONFIG = 1 << 20, MAX_METRICS = 64 << 20, MAX_METRICS_LINE = 4096 };

/* The summary first: a folder that was half cleared must not pass for a finished run. */
static const char *const run_files[] = {CLN_RUN_SUMMARY,  CLN_RUN_CHECKPOINT, CLN_RUN_OUTCOME,
                                        CLN_RUN_MODEL,    CLN_RUN_CURVES,     CLN_RUN_MISTAKES,
                                        CLN_RUN_METRICS,  CLN_RUN_CONFIG};
enum { N_RUN_FILES = sizeof run_files / sizeof run_files[0] };

int cln_run_path(const cln_run *run, const char *name, char path[CLN_PATH_MAX], cln_error *err)
{
    return cln_path_join(path, CLN_PATH_MAX, run->dir, name, err);
}

static bool has(const cln_run *run, const char *name)
{
    char path[CLN_PATH_MAX];
    return cln_run_path(run, name, path, NULL) == 0 && cln_file_exists(path);
}

bool cln_run_has_checkpoint(const cln_run *run)
{
    return has(run, CLN_RUN_CHECKPOINT);
}

static int remove_file(const cln_run *run, const char *name, cln_error *err)
{
    char path[CLN_PATH_MAX];
    int rc = cln_run_path(run, name, path, err);

    if (rc == 0 && unlink(path) != 0 && errno != ENOENT)
        rc = cln_file_error(err, "cannot remove", path, errno);
    return rc;
}

int cln_run_drop_checkpoint(const cln_run *run, cln_error *err)
{
    return remove_file(run, CLN_RUN_CHECKPOINT, err);
}

static bool is_leftover(const char *name)
{
    for (int i = 0; i < N_RUN_FILES; i++)
        if (cln_file_is_temporary_of(name, run_files[i]))
            return true;
    return false;
}

/* Temporary files of a killed process. We hold the lock, so no living one is writing them. */
static void remove_leftovers(const cln_run *run)
{
    DIR *dir = opendir(run->dir);
    const struct dirent *entry;

    if (dir == NULL)
        return;
    while ((entry = readdir(dir)) != NULL)
        if (is_leftover(entry->d_name))
            (void)remove_file(run, entry->d_name, NULL);
    closedir(dir);
}

/* ---- JSON text ------------------------------------------------------------------------------- */

/* 80.31 as a person wrote it; settings have no more digits (options.c). */
enum { DIGITS = 15 };

/* `value` indented by 2, with a newline at its end; *text is the caller's. */
static int json_text(const json_t *value, const char *path, char **text, cln_error *err)
{
    char *dump = cln_json_dump(value, JSON_INDENT(2) | JSON_REAL_PRECISION(DIGITS));
    size_t n = dump == NULL ? 0 : strlen(dump);
    char *whole = dump == NULL ? NULL : realloc(dump, n + 2);

    if (whole == NULL) {
        free(dump);
        return CLN_FAIL(err, CLN_ERR_MEMORY, "no memory to write %s", path);
    }
    memcpy(whole + n, "\n", 2);
    *text = whole;
    return 0;
}

/* ---- opening --------------------------------------------------------------------------------- */

static int check_new(const cln_run *run, cln_error *err)
{
    if (has(run, CLN_RUN_SUMMARY))
        return CLN_FAIL(
            err, CLN_ERR_EXISTS,
            "%s holds a finished run: choose another --out, or --overwrite to replace it",
            run->dir);
    if (has(run, CLN_RUN_CHECKPOINT))
        return CLN_FAIL(err, CLN_ERR_EXISTS,
                        "%s holds an unfinished run: `clnorm train --resume %s` goes on, "
                        "--overwrite starts again",
                        run->dir, run->dir);
    /* A config alone is what a run leaves that was stopped before its first checkpoint: no loss. */
    for (int i = 0; i < N_RUN_FILES; i++)
        if (strcmp(run_files[i], CLN_RUN_CONFIG) != 0 && has(run, run_files[i]))
            return CLN_FAIL(
                err, CLN_ERR_EXISTS,
                "%s holds %s of an earlier run but no checkpoint to go on from: choose another "
                "--out, or --overwrite to replace it",
                run->dir, run_files[i]);
    return 0;
}

/* Lines in the metrics file, 0 where there is none. */
static int count_epochs(const cln_run *run, int *epochs, cln_error *err)
{
    char path[CLN_PATH_MAX];
    unsigned char *text = NULL;
    size_t n = 0;
    int rc = cln_run_path(run, CLN_RUN_METRICS, path, err);

    *epochs = 0;
    if (rc != 0 || !cln_file_exists(path))
        return rc;
    rc = cln_file_read_all(path, MAX_METRICS, &text, &n, err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        *epochs += text[i] == '\n';
    free(text);
    return rc;
}

/* A run that was killed before its first checkpoint has at most the metrics of its first epoch: resuming it starts it
 * again, and nothing is lost. */
static int check_resume(const cln_run *run, cln_error *err)
{
    if (has(run, CLN_RUN_SUMMARY))
        return CLN_FAIL(err, CLN_ERR_EXISTS,
                        "the run in %s is finished: there is nothing to resume", run->dir);
    if (!has(run, CLN_RUN_CONFIG))
        return CLN_FAIL(err, CLN_ERR_CHECKPOINT,
                        "%s has no " CLN_RUN_CONFIG
                        " to go on from: start it with `clnorm train --out %s`",
                        run->dir, run->dir);
    if (cln_run_has_checkpoint(run))
        return 0;
    int epochs = 0, rc = count_epochs(run, &epochs, err);
    if (rc == 0 && epochs > 1)
        rc = CLN_FAIL(err, CLN_ERR_CHECKPOINT,
                      "%s has no " CLN_RUN_CHECKPOINT
                      " to go on from, but the metrics of %d epochs: start it again with `clnorm "
                      "train --overwrite --out %s`",
                      run->dir, epochs, run->dir);
    return rc;
}

int cln_run_open(cln_run *run, const char *dir, cln_run_mode mode, cln_error *err)
{
    int rc = cln_path_join(run->dir, sizeof run->dir, "", dir, err);

    if (rc == 0 && mode == CLN_RUN_RESUME)
        rc = check_resume(run, err); /* before a lock file is made in a folder that is no run's */
    if (rc == 0 && mode != CLN_RUN_RESUME)
        rc = cln_dir_make(dir, err);
    if (rc == 0)
        rc = cln_lock_take(&run->lock, run->dir, err);
    if (rc == 0) /* again under the lock: the run may have just ended */
        rc = mode == CLN_RUN_NEW      ? check_new(run, err)
             : mode == CLN_RUN_RESUME ? check_resume(run, err)
                                      : 0;
    if (rc != 0)
        cln_run_close(run);
    else
        remove_leftovers(run);
    return rc;
}

int cln_run_begin(cln_run *run, const json_t *config, cln_error *err)
{
    char path[CLN_PATH_MAX];
    char *text = NULL;
    cln_writer w;
    int rc = cln_run_path(run, CLN_RUN_CONFIG, path, err);

    if (rc == 0)
        rc = json_text(config, path, &text, err);
    if (rc != 0)
        return rc;
    rc = cln_writer_open(&w, path, err);
    if (rc == 0)
        rc = cln_writer_put(&w, text, strlen(text), err);
    free(text);
    if (rc == 0)
        rc = cln_writer_sync(&w, err);
    for (int i = 0; rc == 0 && i < N_RUN_FILES; i++)
        rc = remove_file(run, run_files[i], err);
    return cln_writer_close(&w, rc, err);
}

void cln_run_close(cln_run *run)
{
    if (run != NULL)
        cln_lock_drop(&run->lock);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

json_t *cln_run_number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *rounded(double x, double scale)
{
    return cln_run_number(round(x * scale) / scale);
}

json_t *cln_run_text(const char *s)
{
    json_t *text = json_string(s);
    char *copy = text == NULL ? strdup(s) : NULL;

    if (copy == NULL)
        return text;
    for (char *p = copy; *p != '\0'; p++)
        if ((unsigned char)*p > 127)
            *p = '?';
    text = json_string(copy);
    free(copy);
    return text;
}

int cln_json_write(const char *path, const json_t *value, cln_error *err)
{
    char *text = NULL;
    int rc = json_text(value, path, &text, err);

    if (rc == 0)
        rc = cln_file_write_atomic(path, text, strlen(text), err);
    free(text);
    return rc;
}

int cln_run_write_json(const cln_run *run, const char *name, const json_t *value, cln_error *err)
{
    char path[CLN_PATH_MAX];
    int rc = cln_run_path(run, name, path, err);

    return rc != 0 ? rc : cln_json_write(path, value, err);
}

static int load_config(const char *path, json_t **config, cln_error *err)
{
    unsigned char *bytes = NULL;
    size_t n;
    int rc = cln_file_read_all(path, MAX_CONFIG, &bytes, &n, err);

    if (rc != 0)
        return rc;
    bool no_memory;
    *config = cln_json_load(bytes, n, 0, NULL, &no_memory);
    free(bytes);
    return no_memory ? CLN_FAIL(err, CLN_ERR_MEMORY, "no memory to read %s", path) : 0;
}

static int damaged_config(const char *path, cln_error *err)
{
    return CLN_FAIL(err, CLN_ERR_CHECKPOINT, "%s is damaged: it is not the config.json of a run", path);
}

int cln_config_units(const char *path, int compute_units, cln_error *err)
{
    json_t *config = NULL;
    int rc = load_config(path, &config, err);
    json_t *device = json_object_get(config, "device");
    const json_t *units = json_object_get(device, "compute_units");
    if (rc == 0 && json_is_integer(units) && json_integer_value(units) != compute_units && json_integer_value(units) != 0)
        rc = json_object_set_new(device, "compute_units", json_integer(0)) != 0
                 ? CLN_FAIL(err, CLN_ERR_MEMORY, "no memory to write %s", path)
                 : cln_json_write(path, config, err);
    json_decref(config);
    return rc;
}

int cln_config_tuning(const char *path, cln_tuning **out, cln_error *err)
{
    json_t *config = NULL;
    int rc = load_config(path, &config, err);
    if (rc != 0)
        return rc;
    const json_t *value = json_object_get(config, "tuning");
    const char *lines = value == NULL ? "" : json_string_value(value);
    if (config == NULL || lines == NULL)
        rc = damaged_config(path, err);
    else
        rc = cln_tuning_parse(lines, strlen(lines), out, err);
    if (rc == CLN_ERR_DATA)
        rc = damaged_config(path, err);
    json_decref(config);
    return rc;
}

int cln_config_read(const char *path, cln_train_options *options, char *data, size_t size, cln_error *err)
{
    json_t *config = NULL;
    int rc = load_config(path, &config, err);
    if (rc != 0)
        return rc;
    const char *source = json_string_value(json_object_get(config, "data"));
    if (config == NULL || source == NULL || strlen(source) >= size)
        rc = damaged_config(path, err);
    else
        rc = cln_options_from_json(json_object_get(config, "options"), options, err);
    if (rc == 0)
        strcpy(data, source);
    json_decref(config);
    return rc;
}

/* The key that is there only where the run was asked for it. NULL: no memory. */
static json_t *with_flip(json_t *object, double test_acc_flip)
{
    if (object == NULL || isnan(test_acc_flip) || json_object_set_new(object, "test_acc_flip", cln_run_number(test_acc_flip)) == 0)
        return object;
    json_decref(object);
    return NULL;
}

/* ---- metrics --------------------------------------------------------------------------------- */

int cln_run_add_metrics(const cln_run *run, const cln_metrics *m, cln_error *err)
{
    char path[CLN_PATH_MAX];
    int rc = cln_run_path(run, CLN_RUN_METRICS, path, err);

    if (rc != 0)
        return rc;
    json_t *line = json_pack(
        "{s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "epoch", m->epoch, "lr", cln_run_number(m->lr),
        "train_loss", cln_run_number(m->train_loss), "train_acc", cln_run_number(m->train_acc), "test_loss",
        cln_run_number(m->test_loss), "test_acc", cln_run_number(m->test_acc), "images_per_second",
        rounded(m->images_per_second, 10), "seconds", rounded(m->seconds, 1000));
    line = with_flip(line, m->test_acc_flip);
    char *text = cln_json_dump(line, JSON_REAL_PRECISION(DIGITS));
    json_decref(line);
    if (text == NULL)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "no memory to write %s", path);
    rc = cln_file_append_line(path, text, err);
    free(text);
    return rc;
}

static bool field(const json_t *line, const char *name, double *out)
{
    const json_t *value = json_object_get(line, name);

    *out = json_is_number(value) ? json_number_value(value) : NAN;
    return json_is_number(value) || json_is_null(value);
}

/* Line `number` of the file `path`. */
static int parse_metrics(const char *text, size_t n, cln_metrics *m, const char *path, int number,
                         cln_error *err)
{
    bool no_memory;
    if (n > MAX_METRICS_LINE)
        return CLN_FAIL(err, CLN_ERR_DATA, "%s:%d: a line of %zu bytes, at most %d are expected", path, number, n,
                        MAX_METRICS_LINE);
    json_t *line = cln_json_load(text, n, JSON_REJECT_DUPLICATES, NULL, &no_memory);
    if (no_memory)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "no memory to read %s", path);
    json_int_t epoch = json_integer_value(json_object_get(line, "epoch"));
    bool good = epoch >= 1 && epoch <= INT32_MAX && field(line, "lr", &m->lr) &&
                field(line, "train_loss", &m->train_loss) &&
                field(line, "train_acc", &m->train_acc) &&
                field(line, "test_loss", &m->test_loss) && field(line, "test_acc", &m->test_acc) &&
                field(line, "images_per_second", &m->images_per_second) &&
                field(line, "seconds", &m->seconds) &&
                (field(line, "test_acc_flip", &m->test_acc_flip) || !json_object_get(line, "test_acc_flip"));

    m->epoch = (int)epoch;
    json_decref(line);
    return good ? 0
                : CLN_FAIL(err, CLN_ERR_DATA,
                           "%s:%d: not a line of metrics; mend or delete this line", path, number);
}

/* The next whole line from *at: its length without the newline; false at the end or at one cut short. */
static bool next_line(const unsigned char *text, size_t n, size_t at, size_t *length)
{
    const unsigned char *end = at < n ? memchr(text + at, '\n', n - at) : NULL;

    if (end == NULL)
        return false;
    *length = (size_t)(end - text) - at;
    return true;
}

int cln_run_cut_metrics(const cln_run *run, int epoch, cln_error *err)
{
    char path[CLN_PATH_MAX];
    unsigned char *text = NULL;
    size_t n = 0, length = 0, kept = 0;
    cln_metrics m;
    int line = 1;
    int rc = cln_run_path(run, CLN_RUN_METRICS, path, err);

    if (rc != 0 || !cln_file_exists(path))
        return rc;
    rc = cln_file_read_all(path, MAX_METRICS, &text, &n, err);
    for (size_t at = 0; rc == 0 && next_line(text, n, at, &length); at += length + 1, line++) {
        rc = parse_metrics((const char *)text + at, length, &m, path, line, err);
        if (rc == 0 && m.epoch <= epoch) {
            memmove(text + kept, text + at, length + 1);
            kept += length + 1;
        }
    }
    if (rc == 0 && kept != n)
        rc = cln_file_write_atomic(path, text, kept, err);
    free(text);
    return rc;
}

int cln_metrics_read(const char *path, cln_metrics **out, int *count, cln_error *err)
{
    unsigned char *text = NULL;
    size_t n = 0, length = 0, lines = 0;
    int rc = cln_file_read_all(path, MAX_METRICS, &text, &n, err);

    if (rc != 0)
        return rc;
    for (size_t i = 0; i < n; i++)
        lines += text[i] == '\n';
    cln_metrics *list = malloc((lines + 1) * sizeof *list);
    if (list == NULL) {
        free(text);
        return CLN_FAIL(err, CLN_ERR_MEMORY, "no memory to read %s", path);
    }
    int read = 0;
    for (size_t at = 0; rc == 0 && next_line(text, n, at, &length); at += length + 1, read++)
        rc = parse_metrics((const char *)text + at, length, &list[read], path, read + 1, err);
    free(text);
    if (rc != 0) {
        free(list);
        return rc;
    }
    *out = list;
    *count = read;
    return 0;
}

/* ---- the summary ----------------------------------------------------------------------------- */

/* The k-th smallest rate, counted from 0; epochs are few, so no sorted copy. */
static double rate_of_rank(const cln_metrics *m, int count, int k)
{
    for (int i = 0; i < count; i++) {
        int below = 0, same = 0;
        for (int j = 0; j < count; j++) {
            below += m[j].images_per_second < m[i].images_per_second;
            same += m[j].images_per_second == m[i].images_per_second;
        }
        if (below <= k && k < below + same)
            return m[i].images_per_second;
    }
    return NAN; /* rates that are no numbers have no rank */
}

void cln_summary_of_metrics(cln_summary *s, const cln_metrics *m, int count)
{
    const cln_metrics *last = &m[count - 1], *best = &m[0];

    s->seconds = 0;
    for (int i = 0; i < count; i++) {
        if (m[i].test_acc > best->test_acc || isnan(best->test_acc))
            best = &m[i];
        s->seconds += m[i].seconds;
    }
    s->epochs = last->epoch;
    s->train_acc = last->train_acc;
    s->test_acc = last->test_acc;
    s->test_acc_flip = last->test_acc_flip;
    s->best_test_acc = best->test_acc;
    s->best_epoch = best->epoch;
    s->images_per_second =
        (rate_of_rank(m, count, (count - 1) / 2) + rate_of_rank(m, count, count / 2)) / 2;
}

int cln_run_write_summary(const cln_run *run, const cln_summary *s, cln_error *err)
{
    json_t *value = json_pack(
        "{s:o, s:o, s:I, s:i, s:o, s:o, s:o, s:i, s:o, s:o, s:o, s:I, s:s}", "model",
        cln_run_text(s->model), "norm", cln_run_text(s->norm), "params", (json_int_t)s->params,
        "epochs", s->epochs, "train_acc", cln_run_number(s->train_acc), "test_acc", cln_run_number(s->test_acc),
        "best_test_acc", cln_run_number(s->best_test_acc), "best_epoch", s->best_epoch, "images_per_second",
        rounded(s->images_per_second, 10), "seconds", rounded(s->seconds, 1000), "device",
        cln_run_text(s->device), "seed", (json_int_t)s->seed, "weights_sha256", s->weights_sha256);
    value = with_flip(value, s->test_acc_flip);
    int rc = value == NULL
                 ? CLN_FAIL(err, CLN_ERR_MEMORY, "cannot make %s/" CLN_RUN_SUMMARY, run->dir)
                 : cln_run_write_json(run, CLN_RUN_SUMMARY, value, err);
    json_decref(value);
    return rc;
}
