/* clnorm eval: how good a trained model is, class by class. */
#include <getopt.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../checkpoint.h"
#include "../file.h"
#include "../npy.h"
#include "../options.h"
#include "../program.h"
#include "../run.h"
#include "../train.h"
#include "cli.h"
#include "dataset.h"

/* The settings of clnorm train that make the network of a file that does not tell it. */
enum { MODEL, NORM, GROUPS, ACT, WS, SETTINGS };
static const char *const settings[SETTINGS] = {"model", "norm", "groups", "act", "ws"};

typedef struct evaluation {
    const char *data_path, *device, *model, *logits_path;
    const char *told[SETTINGS]; /* NULL: not given */
    bool json, flip;
    cln_st_file file;
    cln_model_info info;
    cln_dataset *data;
    cln_device *dev;
    cln_net *net;
    cln_plan *plan;
    cln_feed *feed;
    cln_loss *loss;
} evaluation;

enum { BATCH = 128 };

static void print_help(void)
{
    printf("usage: clnorm eval DIR|FILE [OPTION ...]\n"
           "\n"
           "Evaluates a model on the test images: the run in DIR, or a model.safetensors that clnorm wrote.\n"
           "Prints accuracy, accuracy of each class, and the confusion matrix (rows: true class).\n"
           "\n"
           "options:\n"
           "  --data PATH    as for clnorm train\n"
           "  --device D     as for clnorm train\n"
           "  --logits FILE  write the outputs for the test images, too: a matrix for numpy.load (.npy),\n"
           "                 float32, a row an image in the order of the test set, a column a class\n"
           "  --flip         also the accuracy of the mean over an image and its mirror image\n"
           "  --json         print JSON\n"
           "  --help         print this\n"
           "\n"
           "A state dict that PyTorch saved with safetensors does not tell its network. Its tensors are named\n"
           "after the layer's place in the .net file, from 0, as those of an nn.Sequential of its lines are\n"
           "(\"0.weight\"); images are normalised with mean and deviation of the training set's channels.\n"
           "  --model NAME   the network, as for clnorm train\n"
           "  --norm NORM    what $norm stands for\n"
           "  --groups G     groups of channels of gn (default 4)\n"
           "  --act A        what $act stands for (default silu, as for clnorm train)\n"
           "  --ws 1         weight standardisation, as for clnorm train\n");
}

static int parse(int argc, char **argv, evaluation *e)
{
    static const struct option options[] = {{"data", required_argument, NULL, 'd'},   {"device", required_argument, NULL, 'D'},
                                            {"logits", required_argument, NULL, 'l'}, {"model", required_argument, NULL, 'm'},
                                            {"norm", required_argument, NULL, 'n'},   {"groups", required_argument, NULL, 'g'},
                                            {"act", required_argument, NULL, 'a'},    {"ws", required_argument, NULL, 'w'},
                                            {"json", no_argument, NULL, 'j'},         {"flip", no_argument, NULL, 'f'},
                                            {"help", no_argument, NULL, 'h'}, {0}};
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'd': e->data_path = optarg; break;
        case 'D': e->device = optarg; break;
        case 'l': e->logits_path = optarg; break;
        case 'm': e->told[MODEL] = optarg; break;
        case 'n': e->told[NORM] = optarg; break;
        case 'g': e->told[GROUPS] = optarg; break;
        case 'a': e->told[ACT] = optarg; break;
        case 'w': e->told[WS] = optarg; break;
        case 'j': e->json = true; break;
        case 'f': e->flip = true; break;
        case 'h': print_help(); return CLN_EXIT_OK;
        default: return CLN_EXIT_USAGE;
        }
    }
    if (optind + 1 != argc)
        return cln_cli_usage("eval", optind == argc ? "which run or model?" : "one run or model at a time");
    bool any = false;
    for (int i = 0; i < SETTINGS; i++)
        any = any || e->told[i];
    if (any && !(e->told[MODEL] && e->told[NORM]))
        return cln_cli_usage("eval", "--model and --norm go together: shapes of weights do not tell the norm");
    e->model = argv[optind];
    return -1;
}

static int read_model(evaluation *e, cln_error *err)
{
    char path[CLN_PATH_MAX];
    struct stat st;
    const bool folder = stat(e->model, &st) == 0 && S_ISDIR(st.st_mode); /* NOLINT(*NonNull*): parse gave a model */
    int rc = folder ? cln_path_join(path, sizeof path, e->model, CLN_RUN_MODEL, err)
                    : cln_path_join(path, sizeof path, "", e->model, err);
    if (!rc && folder && !cln_file_exists(path))
        return CLN_FAIL(err, CLN_ERR_IO, "%s has no %s: no finished run of clnorm train is there", e->model, CLN_RUN_MODEL);
    if (!rc)
        rc = cln_st_read(&e->file, path, err);
    if (rc)
        return rc;
    const bool told = cln_model_info_in(&e->file);
    if (told && e->told[MODEL])
        return CLN_FAIL(err, CLN_ERR_ARGUMENT, "%s tells its network itself: leave out --model, --norm and what goes with them",
                        e->model);
    if (!e->told[MODEL])
        rc = cln_model_info_read(&e->file, &e->info, err);
    if (rc && !told && err->code == CLN_ERR_CHECKPOINT) {
        const size_t used = strlen(err->text);
        snprintf(err->text + used, sizeof err->text - used, "; for weights from PyTorch give --model and --norm");
    }
    return rc;
}

/* The network that the file tells, and how it wants its images; else that of the command line, and as clnorm train does. */
static int make_net(evaluation *e, cln_error *err)
{
    const cln_dataset *d = e->data;
    cln_shape input = {BATCH, d->h, d->w, d->c};
    if (e->told[MODEL]) {
        cln_given given[SETTINGS];
        cln_train_options o;
        int n = 0;
        for (int i = 0; i < SETTINGS; i++)
            if (e->told[i])
                given[n++] = (cln_given){cln_field_find(settings[i]), e->told[i]};
        memcpy(e->info.mean, d->mean, sizeof e->info.mean);
        memcpy(e->info.std, d->std, sizeof e->info.std);
        const int rc = cln_options_resolve(given, n, &o, err);
        return rc ? rc : cln_train_net(&o, input, d->classes, &e->net, err);
    }
    const cln_shape in = e->info.input;
    if (d->h != in.h || d->w != in.w || d->c != in.c || d->classes != e->info.classes)
        return CLN_FAIL(err, CLN_ERR_DATA, "%s has images of %dx%dx%d and %d classes, but the model is for %dx%dx%d and %d",
                        d->source, d->h, d->w, d->c, d->classes, in.h, in.w, in.c, e->info.classes);
    return cln_net_parse(e->info.name, e->info.text, e->info.norm, e->info.groups, d->classes, input, &e->net, err);
}

static int set_up(evaluation *e, cln_error *err)
{
    const cln_plan_options options = {.tune = {CLN_CLASS_AUTO, -1}, .fuse = true, .inference = true};
    int rc = e->logits_path ? cln_file_try(e->logits_path, err) : CLN_OK; /* not only when all is done */
    if (!rc)
        rc = read_model(e, err);
    if (!rc)
        rc = cln_dataset_open(e->data_path, &e->data, err);
    if (!rc)
        rc = make_net(e, err);
    if (!rc)
        rc = cln_device_open(e->device, false, &e->dev, err);
    if (rc)
        return rc;
    const cln_dataset *d = e->data;
    cln_device_set_notice(e->dev, cln_cli_notice, NULL);
    rc = cln_plan_new(e->dev, e->net, &options, &e->plan, err);
    if (!rc)
        rc = cln_weights_import(e->plan, &e->file, err);
    if (!rc)
        rc = cln_feed_new(e->dev, d->test_x, d->test_y, (int)d->n_test, d->c, d->h, d->w, e->info.mean, e->info.std,
                          &e->feed, err);
    if (!rc)
        rc = cln_loss_new(e->dev, BATCH, d->classes, (int)d->n_test, e->plan->nodes[0].tune.local, &e->loss, err);
    return rc;
}

/* matrix[true * classes + predicted] */
static int *confusion(const evaluation *e, const cln_evaluation *r)
{
    const int k = e->data->classes;
    int *matrix = calloc((size_t)k * (size_t)k, sizeof *matrix);
    for (int i = 0; matrix && i < r->n; i++)
        matrix[e->data->test_y[i] * k + r->predicted[i]]++;
    return matrix;
}

static void print_text(const evaluation *e, const cln_evaluation *r, const int *matrix)
{
    const int k = e->data->classes;
    printf("%s, %s: test accuracy %.2f %%, loss %.4f, %d images\n\n%-12s %7s  ", e->net->name, e->net->norm, r->acc, r->loss,
           r->n, "true class", "%");
    for (int j = 0; j < k; j++)
        printf(" %5.5s", e->data->class_names[j]);
    printf("   (predicted)\n");
    for (int i = 0; i < k; i++) {
        int total = 0;
        for (int j = 0; j < k; j++)
            total += matrix[i * k + j];
        printf("%-12.12s %7.2f  ", e->data->class_names[i], total ? 100.0 * matrix[i * k + i] / total : 0.0);
        for (int j = 0; j < k; j++)
            printf(" %5d", matrix[i * k + j]);
        printf("\n");
    }
    if (e->flip)
        printf("\ntest accuracy with flip (mean over an image and its mirror image) %.2f %%\n", r->acc_flip);
}

static int print_json(const evaluation *e, const cln_evaluation *r, const int *matrix)
{
    const int k = e->data->classes;
    bool whole = true;
    json_t *classes = json_array(), *rows = json_array();
    for (int i = 0; i < k; i++) {
        json_t *row = json_array();
        int total = 0;
        for (int j = 0; j < k; j++) {
            total += matrix[i * k + j];
            whole = !json_array_append_new(row, json_integer(matrix[i * k + j])) && whole;
        }
        whole = !json_array_append_new(rows, row) && whole;
        whole = !json_array_append_new(classes, json_pack("{s:o, s:f}", "name", cln_run_text(e->data->class_names[i]), "accuracy",
                                                          total ? 100.0 * matrix[i * k + i] / total : 0.0)) && whole;
    }
    json_t *all = json_pack("{s:s, s:s, s:i, s:f, s:o, s:o, s:o}", "model", e->net->name, "norm", e->net->norm, "images", r->n,
                            "accuracy", r->acc, "loss", isfinite(r->loss) ? json_real(r->loss) : json_null(), "classes", classes, "confusion", rows);
    whole = (!e->flip || !json_object_set_new(all, "accuracy_flip", json_real(r->acc_flip))) && whole;
    if (!whole) {
        json_decref(all);
        all = NULL;
    }
    return cln_cli_print_json(all);
}

int cln_cmd_eval(int argc, char **argv)
{
    evaluation e = {0};
    cln_evaluation r = {0};
    cln_error err = {0};
    float *logits = NULL;
    int *matrix = NULL, status = parse(argc, argv, &e);
    if (status >= 0)
        return status;
    int rc = set_up(&e, &err);
    if (!rc && (e.logits_path || e.flip) && !(logits = calloc(e.data->n_test, (size_t)e.data->classes * sizeof *logits)))
        rc = CLN_FAIL(&err, CLN_ERR_MEMORY, "out of host memory");
    if (!rc)
        rc = cln_evaluate(e.plan, e.feed, e.loss, logits, &r, &err);
    if (!rc && e.flip)
        rc = cln_evaluate_flip(e.plan, e.feed, e.loss, logits, &r.acc_flip, &err);
    if (!rc)
        cln_program_cache_save(e.dev);
    if (!rc && !(matrix = confusion(&e, &r)))
        rc = CLN_FAIL(&err, CLN_ERR_MEMORY, "out of host memory");
    if (!rc && !e.json)
        print_text(&e, &r, matrix);
    status = !rc && e.json ? print_json(&e, &r, matrix) : CLN_EXIT_OK;
    if (!rc && e.logits_path) /* the last: what was found is not lost over it */
        rc = cln_npy_write(e.logits_path, logits, e.data->n_test, (size_t)e.data->classes, &err);
    status = rc ? cln_cli_fail(&err) : status;
    free(matrix);
    free(logits);
    cln_evaluation_clear(&r);
    cln_loss_free(e.loss);
    cln_feed_free(e.feed);
    cln_plan_free(e.plan);
    cln_net_free(e.net);
    cln_device_close(e.dev);
    cln_dataset_free(e.data);
    cln_st_clear(&e.file);
    return status;
}
