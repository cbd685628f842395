/* clnorm model: the layers of a network, and what each one costs. */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../options.h"
#include "../train.h"
#include "../tuning.h"
#include "cli.h"

enum { LABEL_WIDTH = 12, LAYER_WIDTH = 26 };

typedef struct model_options {
    const char *norm, *act; /* act: NULL: the default */
    int groups, classes;
    cln_shape input;
    int micro_batch;    /* 0: as the tables say */
    int images;         /* of the data set, training and test */
    const char *device; /* NULL: the default */
    bool json, memory;
} model_options;

static void print_help(void)
{
    printf("usage: clnorm model [NAME|FILE] [OPTION ...]\n"
           "\n"
           "Prints the layers of a network: output shape (height x width x channels), parameters,\n"
           "operations of the forward pass, and the layer outputs that training keeps for the\n"
           "backward pass, with fusion on (0 where a later pass computes the output again).\n"
           "Without a NAME it lists the built-in models. A FILE is a path with a / or ending in "
           ".net.\n"
           "\n"
           "options:\n"
           "  --norm NORM    what $norm stands for (default bn):\n");
    for (const cln_op *const *op = cln_ops; *op; op++)
        if ((*op)->norm)
            printf("                   %-6s %s\n", (*op)->word, (*op)->help);
    printf("  --act A        what $act stands for: auto (silu), relu, silu, celu, gelu\n"
           "  --groups G     groups of channels, for norms that have groups\n"
           "  --classes N    what $classes stands for (default 10)\n"
           "  --input HxWxC  the images (default 32x32x3)\n"
           "  --batch N      images in a batch (default 128); with the memory that training needs\n"
           "  --device D     device to plan that memory for; nothing is allocated ($CLNORM_DEVICE, else 0)\n"
           "  --micro-batch N  images that go through the network at a time (default: as in training)\n"
           "  --images N     training and test images of the data set that lies there (default 60000)\n"
           "  --json         print JSON; sizes in bytes\n"
           "  --help         print this\n"
           "\n"
           "layers (a line of a .net file is [label:] layer [attributes]; see models/*.net):\n");
    for (const cln_op *const *op = cln_ops; *op; op++) {
        printf("  %-10s %s\n", (*op)->word, (*op)->help);
        for (const cln_attr *a = (*op)->attrs; a && a->name; a++) {
            printf("    %-9s %s (%.10g to %.10g", a->name, a->help, a->min, a->max);
            if (!isnan(a->value))
                printf(", default %.10g", a->value);
            printf(")\n");
        }
    }
}

/* ---- one row ---------------------------------------------------------------------------- */

/* Appends; what does not fit is cut. */
static void append(char *text, size_t size, const char *more)
{
    size_t used = strlen(text);
    snprintf(text + used, size - used, "%s", more);
}

/* The layer as a person would write it: the word, what differs from the defaults, the second input.
 * Of layers with one input the first two are shown too where they are integers: channels, window, groups. */
static void layer_text(const cln_net *net, const cln_layer *layer, char *text, size_t size)
{
    snprintf(text, size, "%s", layer->op->word);
    for (int i = 0; layer->op->attrs && layer->op->attrs[i].name; i++) {
        const cln_attr *a = &layer->op->attrs[i];
        char item[64];
        const bool shown = i < 2 && a->integer && a->value != 0 && layer->n_inputs == 1;
        if (layer->attr[i] == a->value && !shown)
            continue;
        if (i == 0 && isnan(a->value))
            snprintf(item, sizeof item, " %.10g", layer->attr[i]);
        else
            snprintf(item, sizeof item, " %s=%.10g", a->name, layer->attr[i]);
        append(text, size, item);
    }
    if (layer->n_inputs == 2) {
        append(text, size, " ");
        append(text, size, net->layers[layer->input[1]].label);
    }
}

/* Cuts a text that is wider than `width` and says so. */
static void fit(char *text, size_t width)
{
    if (strlen(text) > width)
        memcpy(text + width - 3, "...", 4);
}

static void print_row(const cln_net *net, int i, int label_width, const cln_net_row *row)
{
    const cln_layer *l = &net->layers[i];
    char label[sizeof l->label], text[256], shape[48];
    snprintf(label, sizeof label, "%s", l->label);
    layer_text(net, l, text, sizeof text);
    fit(label, LABEL_WIDTH);
    fit(text, LAYER_WIDTH);
    snprintf(shape, sizeof shape, "%dx%dx%d", l->out.h, l->out.w, l->out.c);
    const int batch = net->input.n;
    printf("%3d  %-*s  %-*s  %-13s %10zu %12.3f %11.2f\n", i, label_width, label, LAYER_WIDTH, text,
           shape, row->params, row->flops / batch / 1e6, (double)row->kept_bytes / batch / 1024.0);
}

/* ---- the table -------------------------------------------------------------------------- */

static void add_row(cln_net_row *total, const cln_net_row *row)
{
    total->params += row->params;
    total->flops += row->flops;
    total->kept_bytes += row->kept_bytes;
}

static void print_table(const cln_net *net)
{
    cln_net_row total = {0};
    const cln_shape in = net->input;
    int width = 5;
    for (int i = 0; i < net->n_layers; i++) {
        const int length = (int)strlen(net->layers[i].label);
        width = length > width ? length : width;
    }
    width = width > LABEL_WIDTH ? LABEL_WIDTH : width;

    printf("%s, norm %s, input %dx%dx%d, %d classes\n\n", net->name, net->norm, in.h, in.w, in.c,
           net->classes);
    printf("%3s  %-*s  %-*s  %-13s %10s %12s %11s\n", "#", width, "label", LAYER_WIDTH, "layer",
           "output", "parameters", "MFLOP/image", "KiB kept");
    for (int i = 0; i < net->n_layers; i++) {
        cln_net_row row;
        cln_net_row_of(net, i, &row);
        add_row(&total, &row);
        print_row(net, i, width, &row);
    }
    const double kept = (double)total.kept_bytes;
    printf("%3s  %-*s  %-*s  %-13s %10zu %12.3f %11.2f\n", "", width, "", LAYER_WIDTH, "total", "",
           total.params, total.flops / in.n / 1e6, kept / in.n / 1024.0);
    printf("\nForward pass of a batch of %d: %.3f GFLOP (multiply and add count 2).\n", in.n,
           total.flops / 1e9);
    printf("Kept for the backward pass: %.2f KiB an image, %.1f MiB a batch.\n",
           kept / in.n / 1024.0, kept / 1024.0 / 1024.0);
}

/* ---- memory ----------------------------------------------------------------------------- */

/* Of training with these settings. A device is asked what it is, but not opened. */
static int measure(const model_options *o, const cln_train_options *t, cln_device *dev, cln_train_memory *out, cln_error *err)
{
    cln_device_info *list = NULL;
    size_t count = 0, index = 0;
    const int test = o->images / 6;
    int rc = cln_device_list(&list, &count, err);
    if (!rc)
        rc = cln_device_find(list, count, o->device, &index, err);
    if (!rc && list) {
        *dev = (cln_device){.info = list[index]};
        rc = cln_train_measure(dev, t, o->input, o->classes, o->images - test, test, out, err);
        cln_tuning_use(dev, NULL);
    }
    free(list);
    return rc;
}

static void print_memory(const model_options *o, const cln_device *dev, const cln_train_memory *m)
{
    const double mib = 1024.0 * 1024.0;
    printf("\nTraining at batch %d on %s, %d images at a time, needs %.1f MiB there:\n", o->input.n, dev->info.name,
           m->images, (double)cln_train_memory_sum(m) / mib);
    printf("weights %.2f, gradients %.2f, optimiser %.2f, activations and their gradients by lifetime %.1f, workspace %.1f, "
           "%d images of the data set %.1f.\n", (double)m->weights / mib, (double)m->gradients / mib,
           (double)m->optimizer / mib, (double)m->activations / mib, (double)m->workspace / mib, o->images,
           (double)m->data / mib);
}

static json_t *memory_json(const cln_train_memory *m)
{
    return json_pack("{s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "images_at_a_time", m->images, "weights",
                     (json_int_t)m->weights, "gradients", (json_int_t)m->gradients, "optimizer", (json_int_t)m->optimizer,
                     "activations", (json_int_t)m->activations, "workspace", (json_int_t)m->workspace, "data",
                     (json_int_t)m->data, "total", (json_int_t)cln_train_memory_sum(m));
}

static json_t *layer_json(const cln_net *net, const cln_layer *l, const cln_net_row *row)
{
    json_t *attrs = json_object(), *inputs = json_array();
    for (int i = 0; l->op->attrs && l->op->attrs[i].name; i++) {
        const cln_attr *a = &l->op->attrs[i];
        json_object_set_new(attrs, a->name,
                            a->integer ? json_integer((json_int_t)l->attr[i])
                                       : json_real(l->attr[i]));
    }
    for (int i = 0; i < l->n_inputs; i++)
        json_array_append_new(inputs, json_integer(l->input[i]));
    return json_pack("{s:i, s:i, s:s, s:s, s:o, s:o, s:[i,i,i], s:I, s:f, s:I}", "index", l->index,
                     "line", l->line, "label", l->label, "layer", l->op->word, "attributes", attrs,
                     "inputs", inputs, "output", l->out.h, l->out.w, l->out.c, "params",
                     (json_int_t)row->params, "flops_per_image", row->flops / net->input.n,
                     "kept_bytes_per_image", (json_int_t)(row->kept_bytes / (size_t)net->input.n));
}

/* errno was 0 before `root` was made: it tells whether a part of it found no memory and is missing. */
static int print_json(json_t *root)
{
    if (errno != ENOMEM)
        return cln_cli_print_json(root);
    json_decref(root);
    return cln_cli_print_json(NULL);
}

/* m: NULL where it was not asked for. */
static int print_net_json(const cln_net *net, const cln_train_memory *m)
{
    cln_net_row total = {0};
    const cln_shape in = net->input;
    errno = 0;
    json_t *layers = json_array();
    for (int i = 0; i < net->n_layers; i++) {
        cln_net_row row;
        cln_net_row_of(net, i, &row);
        add_row(&total, &row);
        json_array_append_new(layers, layer_json(net, &net->layers[i], &row));
    }
    return print_json(json_pack("{s:s, s:s, s:i, s:[i,i,i], s:i, s:I, s:f, s:I, s:o, s:o*}", "model",
                                net->name, "norm", net->norm, "classes", net->classes, "input",
                                in.h, in.w, in.c, "batch", in.n, "params", (json_int_t)total.params,
                                "flops_per_image", total.flops / in.n, "kept_bytes_per_image",
                                (json_int_t)(total.kept_bytes / (size_t)in.n), "layers", layers,
                                "training_memory", m ? memory_json(m) : NULL));
}

/* How clnorm train would train a model with what was asked for. */
static int training(const char *model, const model_options *o, cln_train_options *t, cln_error *err)
{
    cln_train_defaults(o->norm, t);
    if (strlen(model) >= sizeof t->model || strlen(o->norm) >= sizeof t->norm)
        return CLN_FAIL(err, CLN_ERR_ARGUMENT, "the name of the model or the norm is too long");
    strcpy(t->model, model);
    t->batch = o->input.n;
    t->groups = o->groups;
    t->micro_batch = o->micro_batch;
    return o->act ? cln_field_set(cln_field_find("act"), t, o->act, err) : CLN_OK;
}

static int show_model(const char *model, const model_options *o)
{
    cln_error err = {0};
    cln_net *net = NULL;
    cln_train_options t;
    if (training(model, o, &t, &err) || cln_train_net(&t, o->input, o->classes, &net, &err))
        return cln_cli_fail(&err);
    int status = CLN_EXIT_OK, rc = CLN_OK;
    cln_device dev;
    cln_train_memory memory = {0};
    if (!o->json)
        print_table(net); /* which needs no device */
    fflush(stdout);
    if (o->memory)
        rc = measure(o, &t, &dev, &memory, &err);
    if (rc)
        status = cln_cli_fail(&err);
    else if (o->json)
        status = print_net_json(net, o->memory ? &memory : NULL);
    else if (o->memory)
        print_memory(o, &dev, &memory);
    cln_net_free(net);
    return status;
}

/* ---- the list --------------------------------------------------------------------------- */

static int list_models(const model_options *o)
{
    cln_error err = {0};
    int status = CLN_EXIT_OK;
    const char **names = cln_net_builtin();
    errno = 0;
    json_t *models = json_array();
    if (!names) {
        (void)CLN_FAIL(&err, CLN_ERR_MEMORY, "out of host memory while listing the models");
        status = cln_cli_fail(&err);
    }
    for (size_t i = 0; names && names[i] && !status; i++) {
        cln_net *net = NULL;
        if (cln_net_load(names[i], o->norm, o->groups, o->classes, o->input, &net, &err)) {
            status = cln_cli_fail(&err);
            break;
        }
        const size_t params = cln_net_param_count(net);
        if (o->json)
            json_array_append_new(models, json_pack("{s:s, s:i, s:I}", "model", names[i], "layers",
                                                    net->n_layers, "params", (json_int_t)params));
        else
            printf("%-16s %3d layers, %zu parameters with norm %s and %d classes\n", names[i],
                   net->n_layers, params, net->norm, net->classes);
        cln_net_free(net);
    }
    if (o->json && !status)
        status = print_json(json_pack("{s:O}", "models", models));
    json_decref(models);
    free(names);
    return status;
}

/* ---- the command line ------------------------------------------------------------------- */

/* Reads a positive int and stops at `end`; NULL where there is none. */
static const char *read_int(const char *s, char end, int *out)
{
    char *rest;
    if (*s < '0' || *s > '9')
        return NULL;
    const long value = strtol(s, &rest, 10);
    if (value < 1 || value > INT_MAX || *rest != end)
        return NULL;
    *out = (int)value;
    return rest + (end != '\0');
}

static bool read_shape(const char *s, cln_shape *out)
{
    s = read_int(s, 'x', &out->h);
    s = s ? read_int(s, 'x', &out->w) : NULL;
    return s && read_int(s, '\0', &out->c);
}

int cln_cmd_model(int argc, char **argv)
{
    static const struct option options[] = {
        {"norm", required_argument, NULL, 'n'},    {"groups", required_argument, NULL, 'g'},
        {"classes", required_argument, NULL, 'c'}, {"input", required_argument, NULL, 'i'},
        {"batch", required_argument, NULL, 'b'},   {"json", no_argument, NULL, 'j'},
        {"device", required_argument, NULL, 'd'},  {"images", required_argument, NULL, 'k'},
        {"micro-batch", required_argument, NULL, 'm'},
        {"act", required_argument, NULL, 'a'},     {"help", no_argument, NULL, 'h'},
        {0}};
    model_options o = {.norm = "bn", .classes = 10, .input = {128, 32, 32, 3}, .images = 60000};
    int option, which = 0;
    while ((option = getopt_long(argc, argv, "h", options, &which)) != -1) {
        bool good = true;
        if (option == 'h') {
            print_help();
            return CLN_EXIT_OK;
        }
        if (option == 'n')
            o.norm = optarg;
        else if (option == 'a')
            o.act = optarg;
        else if (option == 'g')
            good = read_int(optarg, '\0', &o.groups);
        else if (option == 'c')
            good = read_int(optarg, '\0', &o.classes);
        else if (option == 'k')
            good = read_int(optarg, '\0', &o.images);
        else if (option == 'm')
            good = read_int(optarg, '\0', &o.micro_batch);
        else if (option == 'd')
            o.device = optarg;
        else if (option == 'b')
            good = read_int(optarg, '\0', &o.input.n);
        else if (option == 'i' && !read_shape(optarg, &o.input))
            return cln_cli_usage("model", "--input \"%s\" is not like 32x32x3", optarg);
        else if (option == 'j')
            o.json = true;
        else if (option == '?')
            return CLN_EXIT_USAGE;
        o.memory = o.memory || option == 'b' || option == 'd' || option == 'k' || option == 'm';
        if (!good)
            return cln_cli_usage("model", "--%s \"%s\" is not an integer from 1 to %d",
                                 options[which].name, optarg, INT_MAX);
    }
    if (optind + 1 < argc)
        return cln_cli_usage("model", "unexpected argument \"%s\"", argv[optind + 1]);
    if (optind == argc && (o.memory || o.act))
        return cln_cli_usage("model", "--act, --batch, --device, --images and --micro-batch need a network");
    return optind < argc ? show_model(argv[optind], &o) : list_models(&o);
}
