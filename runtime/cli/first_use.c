/* The check at the first use of a device: see doctor.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../cache.h"
#include "../net_variant.h"
#include "../program.h"
#include "doctor.h"
#include "ops/cases.h"
#include "ops/network.h"
#include "ops/stages.h"
#include "ops/training.h"

/* What the small network has of layers; its programs are those that a network of 16n channels is made of. */
static const char small_net[] =
    "conv 16 k=3\n$norm\n$act\nmaxpool 2\nconv 32 k=3\n$norm\n$act\ngap\n"
    "conv $classes k=1 bias=1\n";
/* Whose weights are stepped: matrices no larger than need be, for Muon multiplies them a lot on slow devices. */
static const char optim_net[] =
    "conv 16 k=3\n$norm\n$act\nconv 16 k=1\n$norm\n$act\ngap\nconv $classes k=1 bias=1\n";

/* The run's own activation, the first if there are several, so that no kernels are compiled for the check alone. */
static const char *activation_of(const cln_net *net)
{
    for (int i = 0; i < net->n_layers; i++) {
        const cln_op *op = net->layers[i].op;
        const cln_absorb is = op->absorb ? op->absorb(&net->layers[i]) : CLN_ABSORB_NO;
        if (is == CLN_ABSORB_RELU || cln_absorb_smooth(is))
            return op->word;
    }
    return "relu";
}

static bool in_small_net(const cln_op *op, const char *act)
{
    const char *const words[] = {"conv", act, "maxpool", "gap"};
    bool found = op->norm;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        found = found || strcmp(op->word, words[i]) == 0;
    return found;
}

/* Layers of the run's network that the small one lacks, alone. */
static void check_other_layers(cln_device *dev, const cln_net *net, const char *act, const cln_tune_request *tune,
                               cln_verdict *v)
{
    for (int i = 0; cln_ops[i]; i++) {
        bool used = false;
        for (int k = 0; k < net->n_layers && !used; k++)
            used = net->layers[k].op == cln_ops[i];
        if (used && cln_ops[i]->host && !in_small_net(cln_ops[i], act))
            cln_stage_check_set(dev, CLN_STAGE_DOCTOR, cln_ops[i]->word, tune->cls, v);
        for (const cln_case *c = cln_cases; used && !in_small_net(cln_ops[i], act) && c->line; c++)
            if (c->doctor && cln_case_is(c, cln_ops[i]->word)) {
                cln_case_check(dev, c, tune, false, v);
                break;
            }
    }
}

static int check(cln_device *dev, const cln_train_options *o, const cln_net *net, cln_verdict *v, cln_error *err)
{
    const cln_plan_options options = {
        .tune = {(cln_class)o->kernel_class, o->conv}, .fuse = o->fuse, .guard = true};
    const int local = cln_tune_class(&dev->info, &options.tune) == CLN_CLASS_VECTOR ? 1 : 64;
    const char *act = activation_of(net);
    const cln_net_variant variant = {.act = act};
    char *text = NULL, *stepped = NULL;
    int rc = cln_net_rewrite("of the check", small_net, &variant, &text, err);
    if (!rc)
        rc = cln_net_rewrite("of the check", optim_net, &variant, &stepped, err);
    if (!rc) {
        cln_loss_check(dev, 30, 0.1, local, v);
        cln_optim_check(dev, stepped, o->optimizer, o->nesterov, &options.tune, v);
        cln_network_check(dev, text, o->norm, 10, (cln_shape){4, 8, 8, 3}, &options, v);
        check_other_layers(dev, net, act, &options.tune, v);
    }
    free(text);
    free(stepped);
    return rc;
}

/* False: there is no key, and nothing is remembered. */
static bool make_key(const cln_device *dev, const cln_train_options *o, const cln_net *net,
                     char key[CLN_CACHE_KEY])
{
    char device[CLN_CACHE_KEY], settings[128], layers[512] = "";
    if (!cln_program_fingerprint(dev, device))
        return false;
    snprintf(settings, sizeof settings, "%s class=%d conv=%d fuse=%d optimizer=%d nesterov=%d",
             o->norm, o->kernel_class, o->conv, o->fuse, (int)o->optimizer, o->nesterov);
    for (int i = 0; cln_ops[i]; i++)
        for (int k = 0; k < net->n_layers; k++)
            if (net->layers[k].op == cln_ops[i]) {
                strncat(layers, cln_ops[i]->word, sizeof layers - strlen(layers) - 2);
                strcat(layers, " ");
                break;
            }
    const char *parts[] = {"first use 1", CLNORM_VERSION, device, dev->info.simulated, settings, layers};
    return cln_cache_key(parts, sizeof parts / sizeof parts[0], key);
}

bool cln_first_use_passed(const cln_device *dev, const cln_train_options *o, const cln_net *net)
{
    char key[CLN_CACHE_KEY];
    unsigned char *bytes = NULL;
    size_t size;
    const bool passed = make_key(dev, o, net, key) && cln_cache_load(key, &bytes, &size);
    free(bytes);
    return passed;
}

static int check_and_remember(cln_device *dev, const cln_train_options *o, const cln_net *net, cln_error *err)
{
    static const unsigned char passed[] = "this device passed the check at its first use\n";
    char key[CLN_CACHE_KEY];
    cln_verdict v = {0};
    int rc = check(dev, o, net, &v, err);
    if (rc)
        return rc;
    if (v.code == CLN_ERR_MEMORY || v.code == CLN_ERR_DEVICE_MEMORY)
        return CLN_FAIL(err, v.code, "device %d (%s) could not be checked: %s", dev->info.index,
                        dev->info.name, v.first);
    if (v.code == CLN_ERR_BUILD) {
        rc = CLN_FAIL(err, v.code, "%s", v.first);
        if (err)
            snprintf(err->log, sizeof err->log, "%s", v.log);
        return rc;
    }
    if (v.failures)
        return CLN_FAIL(err, CLN_ERR_DEVICE,
                        "device %d (%s) computes wrongly: %s; see clnorm doctor --device %d "
                        "(--allow-failing-device trains on it all the same)",
                        dev->info.index, dev->info.name, v.first, dev->info.index);
    if (make_key(dev, o, net, key))
        cln_cache_store(key, passed, sizeof passed - 1);
    return CLN_OK;
}

int cln_first_use_check(cln_device *dev, const cln_train_options *o, const cln_net *net, bool allow_failing, cln_error *err)
{
    int rc = cln_first_use_passed(dev, o, net) ? CLN_OK : check_and_remember(dev, o, net, err);
    if (rc != CLN_ERR_DEVICE || !allow_failing)
        return rc;
    fprintf(stderr, "clnorm: warning: %s\n", err->text);
    *err = (cln_error){0};
    return CLN_OK;
}
