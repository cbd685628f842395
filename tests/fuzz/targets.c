/* One target for each kind of file or text that may come from elsewhere. The first byte of most inputs is a set of
 * flags, so that a mutation can turn from one form of a file to another. */
#include "fuzz.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

#include "bench.h"
#include "checkpoint.h"
#include "dataset.h"
#include "net.h"
#include "ops/conv.h"
#include "options.h"
#include "result.h"
#include "run.h"
#include "tuning.h"

/* A refusal says why, in one line that is fit for a terminal. */
static int refused(int rc, const cln_error *err)
{
    FUZZ_MUST(rc < 0 && err->code == rc && err->text[0]);
    FUZZ_MUST(rc != CLN_ERR_INTERNAL);
    FUZZ_MUST(memchr(err->text, '\0', sizeof err->text) != NULL);
    for (const char *p = err->text; *p; p++)
        FUZZ_MUST((unsigned char)*p >= ' ' && *p != 0x7f);
    return rc;
}

/* ---- data sets ------------------------------------------------------------------------------ */

static size_t touch(const uint8_t *bytes, size_t n)
{
    size_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += bytes[i];
    return sum;
}

static int open_data(const char *path)
{
    cln_error err = {0};
    cln_dataset *d = NULL;
    const int rc = cln_dataset_open(path, &d, &err);
    if (rc) {
        FUZZ_MUST(!d);
        return refused(rc, &err);
    }
    const size_t image = (size_t)d->c * (size_t)d->h * (size_t)d->w;
    FUZZ_MUST(d->n_train > 0 && d->n_test > 0 && image > 0 && d->classes > 0);
    FUZZ_MUST(d->n_train + d->n_test <= CLN_DATA_MAX_RECORDS && d->classes <= CLN_DATA_MAX_CLASSES);
    for (size_t i = 0; i < d->n_train; i++)
        FUZZ_MUST(d->train_y[i] < d->classes);
    for (size_t i = 0; i < d->n_test; i++)
        FUZZ_MUST(d->test_y[i] < d->classes);
    for (int i = 0; i < d->classes; i++)
        FUZZ_MUST(strlen(d->class_names[i]) < 64);
    for (int i = 0; i < d->c; i++)
        FUZZ_MUST(isfinite(d->mean[i]) && d->std[i] > 0);
    FUZZ_MUST(touch(d->train_x, d->n_train * image) + touch(d->test_x, d->n_test * image) <
              SIZE_MAX);
    cln_dataset_free(d);
    return 0;
}

/* The seven files of a folder of CIFAR-10. */
static int run_cifar(const uint8_t *bytes, size_t n)
{
    static const char *const names[] = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                        "data_batch_4.bin", "data_batch_5.bin", "batches.meta.txt",
                                        "test_batch.bin"};
    fuzz_piece files[7];
    if (!fuzz_split(bytes, n, files, 7))
        return -1;
    for (int i = 0; i < 7; i++)
        if (files[i].there)
            fuzz_put(names[i], files[i].bytes, files[i].n);
    const int rc = open_data(fuzz_path("."));
    for (int i = 0; i < 7; i++)
        fuzz_drop(names[i]);
    return rc;
}

/* A tar archive behind a byte of flags: as it is, or with its checksums mended, or that and packed with gzip. */
static int run_tar(const uint8_t *bytes, size_t n)
{
    enum { MEND = 1, PACK = 2 };
    if (n < 1)
        return -1;
    uint8_t *copy = malloc(n);
    FUZZ_MUST(copy != NULL);
    memcpy(copy, bytes + 1, n - 1);
    if (bytes[0] & MEND)
        fuzz_mend_tar(copy, n - 1);
    const char *path = (bytes[0] & PACK ? fuzz_put_gzip : fuzz_put)("a.tar", copy, n - 1);
    const int rc = open_data(path);
    fuzz_drop("a.tar");
    free(copy);
    return rc;
}

/* The four files of MNIST's format behind a byte of flags: bit i says that file i is called .gz, bit 4 + i that
 * it is packed here, so that it is good gzip. */
static int run_idx(const uint8_t *bytes, size_t n)
{
    static const char *const names[] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                        "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};
    char used[4][40];
    fuzz_piece files[4];
    if (n < 1 || !fuzz_split(bytes + 1, n - 1, files, 4))
        return -1;
    for (int i = 0; i < 4; i++) {
        const bool gz = bytes[0] >> i & 1, pack = bytes[0] >> (4 + i) & 1;
        snprintf(used[i], sizeof used[i], "%s%s", names[i], gz ? ".gz" : "");
        if (files[i].there)
            (pack ? fuzz_put_gzip : fuzz_put)(used[i], files[i].bytes, files[i].n);
    }
    const int rc = open_data(fuzz_path("."));
    for (int i = 0; i < 4; i++)
        fuzz_drop(used[i]);
    return rc;
}

/* ---- networks ------------------------------------------------------------------------------- */

/* What settings make of the text has the same layers, unless a line became too long. */
static void rewrite_net(const char *text, const char *norm, int groups, const cln_net *before)
{
    const cln_net_variant variant = {.act = "silu", .act_needed = true, .ws = true};
    cln_error err = {0};
    cln_net *net = NULL;
    char *other = NULL;
    const int rc = cln_net_rewrite("fuzz.net", text, &variant, &other, &err);
    FUZZ_MUST(rc == CLN_OK || (rc == CLN_ERR_ARGUMENT && !other));
    if (rc)
        return;
    const int parsed = cln_net_parse("fuzz.net", other, norm, groups, before->classes, before->input, &net, &err);
    FUZZ_MUST(parsed || net->n_layers == before->n_layers);
    cln_net_free(net);
    free(other);
}

static int parse_net(const char *text, const char *norm, int groups, int classes, cln_shape input)
{
    cln_error err = {0};
    cln_net *net = NULL;
    const int rc = cln_net_parse("fuzz.net", text, norm, groups, classes, input, &net, &err);
    if (rc) {
        FUZZ_MUST(!net);
        return refused(rc, &err);
    }
    const cln_shape last = net->layers[net->n_layers - 1].out;
    FUZZ_MUST(last.h == 1 && last.w == 1 && last.c == classes && last.n == input.n);
    size_t params = 0;
    for (int i = 0; i < net->n_layers; i++) {
        const cln_layer *l = &net->layers[i];
        cln_net_row row;
        for (int k = 0; k < l->n_inputs; k++)
            FUZZ_MUST(l->input[k] >= -1 && l->input[k] < i);
        cln_net_row_of(net, i, &row);
        FUZZ_MUST(row.flops >= 0 && isfinite(row.flops));
        params += row.params;
    }
    FUZZ_MUST(params == cln_net_param_count(net));
    rewrite_net(text, norm, groups, net);
    cln_net_free(net);
    return 0;
}

/* A .net file behind a byte that chooses the norm. */
static int run_net(const uint8_t *bytes, size_t n)
{
    static const char *const norms[] = {"bn", "ln", "gn", "in", "none"};
    if (n < 1)
        return -1;
    char *text = malloc(n);
    FUZZ_MUST(text != NULL);
    memcpy(text, bytes + 1, n - 1);
    text[n - 1] = '\0';
    const int rc =
        parse_net(text, norms[bytes[0] % 5], bytes[0] / 5, 10, (cln_shape){128, 32, 32, 3});
    free(text);
    return rc;
}

/* ---- weights -------------------------------------------------------------------------------- */

/* What `clnorm eval` does with a file that clnorm exported. */
static void use_model(const cln_st_file *st)
{
    cln_error err = {0};
    cln_model_info info;
    const int rc = cln_model_info_read(st, &info, &err);
    if (rc) {
        (void)refused(rc, &err);
        return;
    }
    for (int i = 0; i < info.input.c; i++)
        FUZZ_MUST(isfinite(info.mean[i]) && isfinite(info.std[i]) && info.std[i] > 0);
    (void)parse_net(info.text, info.norm, info.groups, info.classes, info.input);
}

static int run_safetensors(const uint8_t *bytes, size_t n)
{
    cln_error err = {0};
    cln_st_file st = {0}, again = {0};
    const int rc = cln_st_read(&st, fuzz_put("a.safetensors", bytes, n), &err);
    fuzz_drop("a.safetensors");
    if (rc) {
        FUZZ_MUST(!st.path && !st.tensors && !st.meta);
        return refused(rc, &err);
    }
    use_model(&st);
    const char *path =
        fuzz_path("b.safetensors"); /* what was read can be written, and is the same then */
    FUZZ_MUST(!cln_st_write(&st, path, &err) && !cln_st_read(&again, path, &err));
    FUZZ_MUST(again.n_tensors == st.n_tensors && again.n_meta == st.n_meta);
    for (int i = 0; i < st.n_tensors; i++) {
        const cln_st_tensor *t = &st.tensors[i], *same = NULL;
        FUZZ_MUST(!cln_st_expect(&again, t->name, t->dtype, t->dims, t->rank, &same, &err));
        FUZZ_MUST(same->bytes == t->bytes && memcmp(same->data, t->data, t->bytes) == 0);
    }
    fuzz_drop("b.safetensors");
    cln_st_clear(&again);
    cln_st_clear(&st);
    return 0;
}

/* ---- tables and JSON ------------------------------------------------------------------------ */

/* What was read can be written, and is the same then. */
static void check_tuning(const cln_tuning *t)
{
    cln_tuning *again = NULL;
    char *text = cln_tuning_text(t);
    FUZZ_MUST(text && !cln_tuning_parse(text, strlen(text), &again, NULL) && again->n == t->n);
    char *same = cln_tuning_text(again);
    FUZZ_MUST(same && strcmp(text, same) == 0);
    cln_tuning_free(again);
    free(text);
    free(same);
}

/* Lines of a tuning table: accepted where every one is. */
static int run_tune(const uint8_t *bytes, size_t n)
{
    cln_error err = {0};
    cln_tuning *table = NULL;
    int rc = 0;
    for (size_t at = 0; at < n;) {
        const uint8_t *end = memchr(bytes + at, '\n', n - at);
        const size_t length = end ? (size_t)(end - bytes) - at : n - at;
        cln_tune_line line;
        const int found = cln_tune_parse((const char *)bytes + at, length, &line);
        FUZZ_MUST(found >= -1 && found <= 1);
        if (found == 1) {
            FUZZ_MUST(line.cls >= CLN_CLASS_AUTO && line.cls <= CLN_CLASS_SIMT && line.macs >= 0);
            FUZZ_MUST(line.direction >= -1 && line.direction <= CLN_TUNE_MICRO);
            FUZZ_MUST(line.images >= 0 && line.images <= CLN_MAX_BATCH);
            FUZZ_MUST(strlen(cln_conv_algo_name(line.algo)) > 0);
        }
        rc = found < 0 ? CLN_ERR_DATA : rc;
        at += length + 1;
    }
    const int whole = cln_tuning_parse((const char *)bytes, n, &table, &err);
    FUZZ_MUST(whole ? !table && (rc || err.code == CLN_ERR_DATA) : !rc);
    if (whole)
        return refused(whole, &err);
    check_tuning(table);
    cln_tuning_free(table);
    return 0;
}

/* config.json: what was read can be written, and is the same then. */
static int run_config(const uint8_t *bytes, size_t n)
{
    cln_error err = {0};
    cln_train_options options, again;
    char data[CLN_DATA_MAX_PATH];
    const int rc =
        cln_config_read(fuzz_put("config.json", bytes, n), &options, data, sizeof data, &err);
    fuzz_drop("config.json");
    if (rc)
        return refused(rc, &err);
    cln_tuning *tuning = NULL;
    const int tuned = cln_config_tuning(fuzz_put("config.json", bytes, n), &tuning, &err);
    fuzz_drop("config.json");
    if (tuned)
        return refused(tuned, &err);
    check_tuning(tuning);
    cln_tuning_free(tuning);
    json_t *first = cln_options_to_json(&options), *second = NULL;
    FUZZ_MUST(first && !cln_options_from_json(first, &again, &err));
    second = cln_options_to_json(&again);
    FUZZ_MUST(second && json_equal(first, second));
    json_decref(first);
    json_decref(second);
    return 0;
}

/* metrics.jsonl, and what summary.json is made of. */
static int run_metrics(const uint8_t *bytes, size_t n)
{
    cln_error err = {0};
    cln_metrics *metrics = NULL;
    int count = -1;
    const int rc = cln_metrics_read(fuzz_put("metrics.jsonl", bytes, n), &metrics, &count, &err);
    fuzz_drop("metrics.jsonl");
    if (rc) {
        FUZZ_MUST(!metrics && count == -1);
        return refused(rc, &err);
    }
    for (int i = 0; i < count; i++)
        FUZZ_MUST(metrics[i].epoch >= 1);
    if (count > 0) {
        cln_summary s = {0};
        cln_summary_of_metrics(&s, metrics, count);
        FUZZ_MUST(s.epochs == metrics[count - 1].epoch && s.best_epoch >= 1);
    }
    free(metrics);
    return 0;
}

/* The same where the settings that the input lacks have their defaults: seeds stay good when there are new ones. */
static int run_completed(const uint8_t *bytes, size_t n)
{
    cln_train_options defaults;
    json_t *root = json_loadb((const char *)bytes, n, 0, NULL);
    cln_train_defaults("bn", &defaults);
    json_t *missing = cln_options_to_json(&defaults);
    (void)json_object_update_missing(json_object_get(root, "options"), missing);
    char *text = json_dumps(root, 0);
    const int rc = text ? run_config((const uint8_t *)text, strlen(text)) : CLN_ERR_DATA;
    free(text);
    json_decref(missing);
    json_decref(root);
    return rc;
}

/* summary.json beside the two files that go with it. */
static int run_summary(const uint8_t *bytes, size_t n)
{
    static const char metrics[] =
        "{\"epoch\": 1, \"lr\": 1, \"train_loss\": 1, \"train_acc\": 1, \"test_loss\": 1, "
        "\"test_acc\": 1, \"images_per_second\": 1, \"seconds\": 1}\n";
    cln_error err = {0};
    cln_result result = {0};
    cln_train_options options;
    cln_train_defaults("bn", &options);
    options.epochs = 1;
    json_t *config = json_pack("{s:s, s:s, s:s, s:s, s:{s:s, s:s}, s:o}", "version", "1", "data",
                               "sample", "data_name", "x", "data_sha256", "x", "device", "name",
                               "x", "driver", "x", "options", cln_options_to_json(&options));
    char *text = json_dumps(config, 0);
    FUZZ_MUST(text != NULL);
    fuzz_put(CLN_RUN_CONFIG, (const uint8_t *)text, strlen(text));
    fuzz_put(CLN_RUN_METRICS, (const uint8_t *)metrics, sizeof metrics - 1);
    fuzz_put(CLN_RUN_SUMMARY, bytes, n);
    const int rc = cln_result_read(fuzz_path("."), &result, &err);
    FUZZ_MUST(rc || (result.n_metrics == 1 && result.best_epoch >= 1 && !result.has_outcome));
    cln_result_clear(&result);
    free(text);
    json_decref(config);
    fuzz_drop(CLN_RUN_CONFIG);
    fuzz_drop(CLN_RUN_METRICS);
    fuzz_drop(CLN_RUN_SUMMARY);
    return rc ? refused(rc, &err) : 0;
}

/* outcome.json: what was read can be written, and read again. */
static int run_outcome(const uint8_t *bytes, size_t n)
{
    cln_error err = {0};
    cln_outcome outcome = {0}, again = {0};
    const int rc = cln_outcome_read(fuzz_put("a.json", bytes, n), &outcome, &err);
    fuzz_drop("a.json");
    if (rc)
        return refused(rc, &err);
    FUZZ_MUST(cln_outcome_wrong(&outcome) >= 0 && cln_outcome_wrong(&outcome) <= outcome.n);
    const char *path = fuzz_path("b.json");
    FUZZ_MUST(!cln_outcome_write(&outcome, path, &err) && !cln_outcome_read(path, &again, &err));
    FUZZ_MUST(again.n == outcome.n && again.n_mistakes == outcome.n_mistakes);
    fuzz_drop("b.json");
    cln_outcome_clear(&outcome);
    cln_outcome_clear(&again);
    return 0;
}

/* A file of a run folder behind a letter that says which. */
static int run_json(const uint8_t *bytes, size_t n)
{
    switch (n ? bytes[0] : 0) {
    case 'c':
        return run_config(bytes + 1, n - 1);
    case 'C':
        return run_completed(bytes + 1, n - 1);
    case 'm':
        return run_metrics(bytes + 1, n - 1);
    case 's':
        return run_summary(bytes + 1, n - 1);
    case 'o':
        return run_outcome(bytes + 1, n - 1);
    default:
        return CLN_ERR_ARGUMENT;
    }
}

/* A report of clnorm bench: what was read can be written, and read again. */
static int run_report(const uint8_t *bytes, size_t n)
{
    cln_error err = {0};
    cln_bench_report report, again;
    cln_bench_options options = {0};
    const int rc = cln_bench_read_json(fuzz_put("a.json", bytes, n), &report, &err);
    fuzz_drop("a.json");
    if (rc) {
        FUZZ_MUST(!report.rows && !report.n_rows);
        return refused(rc, &err);
    }
    const char *path = fuzz_path("b.json");
    FUZZ_MUST(!cln_bench_write_json(&report, &options, path, &err));
    FUZZ_MUST(!cln_bench_read_json(path, &again, &err) && again.n_rows == report.n_rows);
    fuzz_drop("b.json");
    cln_bench_report_clear(&again);
    cln_bench_report_clear(&report);
    return 0;
}

const fuzz_target fuzz_targets[] = {{"cifar", run_cifar},
                                    {"tar", run_tar},
                                    {"idx", run_idx},
                                    {"net", run_net},
                                    {"safetensors", run_safetensors},
                                    {"tune", run_tune},
                                    {"json", run_json},
                                    {"report", run_report},
                                    {NULL, NULL}};
