#include "study_report.h"

#include "json.h"
#include "options.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE = 5 * CLN_PATH_MAX }; /* of a shell: settings, with the paths of a model and of the data */

void cln_report_norms(cln_document *d)
{
    static const char *const columns[] = {"norm", "statistics over", "how many", "at test time"};
    static const char *const rows[][4] = {
        {"batch norm", "N, H, W for each channel", "C", "running averages"},
        {"layer norm", "C, H, W for each sample", "N", "the same as in training"},
        {"group norm", "C/G channels, H, W for each sample", "N\xc2\xb7G", "the same as in training"},
        {"instance norm", "H, W for each sample and channel", "N\xc2\xb7""C", "the same as in training"}};
    cln_document_heading(d, "What each norm normalises over");
    cln_document_paragraph(d, "A norm takes a mean off a tensor of N samples, C channels and H \xc3\x97 W pixels and divides by a standard "
                              "deviation; then every channel is scaled and shifted by two numbers that are learnt. The norms differ "
                              "in what the mean and the deviation are taken over:");
    cln_document_table(d, columns, "llll", 4);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cln_document_row(d, rows[i]);
    cln_document_paragraph(d, "Batch norm alone mixes samples: its statistics get noisy as the batch gets small, and at test time running "
                              "averages stand in for them. Layer norm and group norm look at one sample at a time, so that neither "
                              "the batch size nor the other samples matter. Group norm splits the " CLN_STRONG "channels of a sample" CLN_WEAK
                              " into G groups; the text of the study says that it splits the mini-batch, which would be ghost batch "
                              "norm, another method. Layer norm is group norm with one group, instance norm that with a group for "
                              "each channel. Layer norm here learns one scale and one shift a channel, as the others do.");
}

/* ---- how it was done ----------------------------------------------------------------------------- */

static void append(char line[LINE], const char *text)
{
    const size_t n = strlen(line);
    snprintf(line + n, LINE - n, "%s", text);
}

/* " --name value", where a shell is to read one word for the value. */
static void add_option(char line[LINE], const char *name, const char *value)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./,:+-@%=";
    append(line, " --");
    append(line, name);
    append(line, " ");
    if (*value && strspn(value, plain) == strlen(value)) {
        append(line, value);
        return;
    }
    append(line, "'");
    for (; *value; value++)
        append(line, *value == '\'' ? "'\\''" : (char[2]){*value});
    append(line, "'");
}

/* The command line of a run: the network, what else is not as the norm has it by default, and the data. The network always,
 * since which one is the default may change. */
static void command_of(const cln_result *r, char line[LINE])
{
    const cln_train_options *o = &r->options;
    cln_train_options standard;
    cln_train_defaults(o->norm, &standard);
    const cln_optimizer usual = standard.optimizer;
    cln_train_use(o->optimizer, &standard); /* rates and weight decay go with it, on the command line too */
    standard.optimizer = usual;
    json_t *mine = cln_options_to_json(o), *others = cln_options_to_json(&standard);
    snprintf(line, LINE, "clnorm train --norm %s", o->norm);
    for (const cln_field *f = cln_fields; f->name; f++) {
        const json_t *value = json_object_get(mine, f->name);
        if (strcmp(f->name, "norm") == 0 || !value ||
            (strcmp(f->name, "model") != 0 && json_equal(value, json_object_get(others, f->name))))
            continue;
        char *text = json_is_string(value) ? strdup(json_string_value(value))
                     : json_is_boolean(value) ? strdup(json_is_true(value) ? "1" : "0")
                                              : cln_json_dump(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
        add_option(line, f->name, text ? text : "?");
        free(text);
    }
    add_option(line, "data", r->source);
    json_decref(mine);
    json_decref(others);
}

static void recipes(cln_document *d, const cln_comparison *c)
{
    static const char *const columns[] = {"norm",         "optimizer", "peak lr",         "weight decay",
                                          "momentum",     "beta2",     "label smoothing", "batch", "epochs"};
    cln_document_table(d, columns, "llrrrrrrr", 9);
    for (int i = 0; i < c->n_base; i++) {
        const cln_train_options *o = &c->base[i]->runs[0]->options;
        const bool adam = o->optimizer == CLN_OPTIMIZER_ADAMW;
        char lr[32], decay[32], momentum[32], beta2[32], smoothing[32], batch[32], epochs[32];
        snprintf(lr, sizeof lr, "%g", o->lr);
        snprintf(decay, sizeof decay, "%g", o->weight_decay);
        snprintf(momentum, sizeof momentum, "%g", o->momentum);
        snprintf(beta2, sizeof beta2, "%g", o->beta2);
        snprintf(smoothing, sizeof smoothing, "%g", o->label_smoothing);
        snprintf(batch, sizeof batch, "%d", o->batch);
        snprintf(epochs, sizeof epochs, "%d", o->epochs);
        const char *const cells[] = {c->base[i]->label,
                                     adam ? "AdamW"
                                     : o->optimizer == CLN_OPTIMIZER_MUON ? "Muon"
                                     : o->nesterov ? "SGD, Nesterov"
                                                   : "SGD",
                                     lr,
                                     decay,
                                     momentum,
                                     adam ? beta2 : "\xe2\x80\x93",
                                     smoothing,
                                     batch,
                                     epochs};
        cln_document_row(d, cells);
    }
}

static void runs_table(cln_document *d, const cln_comparison *c)
{
    static const char *const columns[] = {"run", "seed", "test %", "train %", "best epoch", "seconds", "weights, SHA-256"};
    cln_document_table(d, columns, "lrrrrrl", 7);
    for (int i = 0; i < c->n_groups; i++)
        for (int k = 0; k < c->groups[i].n; k++) {
            const cln_result *r = c->groups[i].runs[k];
            char seed[16], test[32], train[32], best[32], seconds[32], sha[16];
            snprintf(seed, sizeof seed, "%u", (unsigned)r->options.seed);
            snprintf(test, sizeof test, "%.2f", r->test_acc);
            snprintf(train, sizeof train, "%.2f", r->train_acc);
            snprintf(best, sizeof best, "%d", r->best_epoch);
            snprintf(seconds, sizeof seconds, "%.1f", r->seconds);
            snprintf(sha, sizeof sha, "%.12s", r->weights_sha256);
            const char *const cells[] = {c->groups[i].label, seed, test, train, best, seconds, sha};
            cln_document_row(d, cells);
        }
}

void cln_report_method(cln_document *d, const cln_comparison *c, const cln_report_options *o)
{
    char line[LINE];
    const cln_result *r = c->base[0]->runs[0];
    cln_document_heading(d, "How it was done");
    recipes(d, c);
    cln_document_paragraph(d, "Device: %s, driver %s. Data: %s, SHA-256 %s. clnorm %s. Report of %s.", r->device, r->driver, r->data,
                           r->data_sha256, r->version, o->date);
    for (int i = 0; i < c->n_runs; i++)
        if (!cln_report_one_system(&c->runs[i], r)) {
            cln_document_notice(d, "Not all runs had this device, driver and version of clnorm: these are those of the first.");
            break;
        }
    cln_document_paragraph(d, "The same run alone, for instance (it gives the weights below, bit for bit, on the same device and driver):");
    command_of(r, line);
    cln_document_code(d, line);
    cln_document_heading(d, "Runs");
    runs_table(d, c);
}
