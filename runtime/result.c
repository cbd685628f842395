#include "result.h"

#include "json_reader.h"
#include "net.h"
#include "options.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FILE = 4 << 20 };

bool cln_result_there(const char *dir)
{
    char path[CLN_PATH_MAX];
    return cln_path_join(path, sizeof path, dir, CLN_RUN_SUMMARY, NULL) == 0 && cln_file_exists(path);
}

/* Settings that came after the run have the value that changes nothing: results outlive versions. */
static void read_options(cln_reader *r, const json_t *root, cln_train_options *out)
{
    cln_error fault = {0};
    cln_train_options standard;
    char norm[sizeof out->norm] = "";
    json_t *options = json_copy((json_t *)cln_reader_object(r, root, "options"));
    cln_reader_text(r, options, "norm", norm, sizeof norm);
    cln_train_defaults(norm, &standard);
    standard.act = CLN_ACT_RELU;
    standard.norm_lr = 1;
    json_t *defaults = cln_options_to_json(&standard);
    if (!r->rc && (!defaults || json_object_update_missing(options, defaults)))
        r->rc = CLN_FAIL(r->err, CLN_ERR_MEMORY, "no memory to read %s", r->path);
    if (!r->rc && cln_options_from_json(options, out, &fault))
        cln_reader_fail(r, "%s", fault.text);
    const cln_op *op = r->rc ? NULL : cln_op_find(out->norm);
    if (!r->rc && (!op || !op->norm))
        cln_reader_fail(r, "there is no norm '%s'", out->norm);
    json_decref(defaults);
    json_decref(options);
}

static void read_config(const char *path, cln_result *out, int *rc, cln_error *err)
{
    cln_reader r = {.path = path, .place = "file", .err = err};
    json_t *root = cln_reader_open(&r, MAX_FILE);
    const json_t *device = r.rc ? NULL : cln_reader_object(&r, root, "device");
    cln_reader_text(&r, root, "version", out->version, sizeof out->version);
    cln_reader_text(&r, root, "data", out->source, sizeof out->source);
    cln_reader_text(&r, root, "data_name", out->data, sizeof out->data);
    cln_reader_text(&r, root, "data_sha256", out->data_sha256, sizeof out->data_sha256);
    cln_reader_text(&r, device, "name", out->device, sizeof out->device);
    cln_reader_text(&r, device, "driver", out->driver, sizeof out->driver);
    if (json_object_get(device, "compute_units")) { /* older versions did not tell */
        out->compute_units = cln_reader_int(&r, device, "compute_units", 0, 1 << 24);
        out->compute_units = out->compute_units > 0 ? out->compute_units : CLN_UNITS_CHANGED; /* cln_config_units */
    }
    out->sample = strcmp(out->source, "sample") == 0;
    if (!r.rc)
        read_options(&r, root, &out->options);
    json_decref(root);
    *rc = r.rc;
}

static void read_summary(const char *path, cln_result *out, int *rc, cln_error *err)
{
    cln_reader r = {.path = path, .place = "file", .err = err};
    json_t *root = cln_reader_open(&r, MAX_FILE);
    char norm[sizeof out->options.norm] = "";
    cln_reader_text(&r, root, "model", out->model, sizeof out->model);
    cln_reader_text(&r, root, "norm", norm, sizeof norm);
    cln_reader_text(&r, root, "weights_sha256", out->weights_sha256, sizeof out->weights_sha256);
    out->params = cln_reader_int(&r, root, "params", 0, INT32_MAX);
    out->best_epoch = cln_reader_int(&r, root, "best_epoch", 1, INT32_MAX);
    out->train_acc = cln_reader_number(&r, root, "train_acc", 0, 100, NAN);
    out->test_acc = cln_reader_number(&r, root, "test_acc", 0, 100, NAN);
    out->test_acc_flip = json_object_get(root, "test_acc_flip") ? cln_reader_number(&r, root, "test_acc_flip", 0, 100, NAN) : NAN;
    out->best_test_acc = cln_reader_number(&r, root, "best_test_acc", 0, 100, NAN);
    out->images_per_second = cln_reader_number(&r, root, "images_per_second", 0, 1e12, NAN);
    out->seconds = cln_reader_number(&r, root, "seconds", 0, 1e12, NAN);
    if (!r.rc && strcmp(norm, out->options.norm) != 0)
        cln_reader_fail(&r, "norm is %s, but that of " CLN_RUN_CONFIG " is %s", norm, out->options.norm);
    json_decref(root);
    *rc = r.rc;
}

/* Epochs 1, 2, ... as many as were trained. */
static int check_metrics(const cln_result *r, const char *path, cln_error *err)
{
    if (r->n_metrics != r->options.epochs)
        return CLN_FAIL(err, CLN_ERR_DATA, "%s has %d lines, but the run has %d epochs", path, r->n_metrics,
                        r->options.epochs);
    for (int i = 0; i < r->n_metrics; i++)
        if (r->metrics[i].epoch != i + 1)
            return CLN_FAIL(err, CLN_ERR_DATA, "%s:%d: epoch is %d, expected %d", path, i + 1, r->metrics[i].epoch, i + 1);
    return r->n_metrics > 0 ? CLN_OK : CLN_FAIL(err, CLN_ERR_DATA, "%s has no lines", path);
}

int cln_result_read(const char *dir, cln_result *out, cln_error *err)
{
    char path[CLN_PATH_MAX];
    cln_result r = {0};
    int rc = cln_path_join(r.dir, sizeof r.dir, "", dir, err);
    if (!rc)
        rc = cln_path_join(path, sizeof path, dir, CLN_RUN_CONFIG, err);
    if (!rc)
        read_config(path, &r, &rc, err);
    if (!rc)
        rc = cln_path_join(path, sizeof path, dir, CLN_RUN_SUMMARY, err);
    if (!rc)
        read_summary(path, &r, &rc, err);
    if (!rc)
        rc = cln_path_join(path, sizeof path, dir, CLN_RUN_METRICS, err);
    if (!rc)
        rc = cln_metrics_read(path, &r.metrics, &r.n_metrics, err);
    if (!rc)
        rc = check_metrics(&r, path, err);
    if (!rc)
        rc = cln_path_join(path, sizeof path, dir, CLN_RUN_OUTCOME, err);
    r.has_outcome = !rc && cln_file_exists(path); /* runs of older versions have none */
    if (r.has_outcome)
        rc = cln_outcome_read(path, &r.outcome, err);
    if (rc)
        cln_result_clear(&r);
    else
        *out = r;
    return rc;
}

void cln_result_clear(cln_result *r)
{
    free(r->metrics);
    cln_outcome_clear(&r->outcome);
    memset(r, 0, sizeof *r);
}
