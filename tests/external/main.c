/* Trains the default network for one epoch on 256 images of the bundled sample and evaluates it: all that a program
 * needs of clnorm is clnorm.h. */
#include <clnorm.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

static bool on_progress(void *arg, const cln_progress *p)
{
    int *calls = arg;
    ++*calls;
    return p->step <= p->steps;
}

static int report(const char *what, const cln_error *err)
{
    fprintf(stderr, "%s: %s (%s, %s)\n", what, err->text, cln_error_name(err->code), err->where);
    return 1;
}

/* One epoch gave finite figures, ten classes' worth of predictions, and a model that is what was trained. */
static int check(cln_trainer *trainer, const cln_metrics *m, int calls, const char *path, cln_error *err)
{
    char trained[65], imported[65];
    cln_evaluation e = {0};
    if (cln_trainer_evaluate(trainer, &e, err))
        return report("evaluate", err);
    const bool good = isfinite(m->train_loss) && m->test_loss > 0 && e.n == 500 && e.acc == m->test_acc;
    cln_evaluation_clear(&e);
    if (cln_trainer_weights_sha256(trainer, trained, err) || cln_trainer_export(trainer, path, err) ||
        cln_trainer_import(trainer, path, err) || cln_trainer_weights_sha256(trainer, imported, err))
        return report("export and import", err);
    printf("%zu parameters, %d steps, test accuracy %.2f %%, weights %s\n", cln_trainer_param_count(trainer), calls,
           m->test_acc, trained);
    if (!good || calls != 4 || cln_trainer_epochs_done(trainer) != 1 || strcmp(trained, imported) != 0) {
        fprintf(stderr, "the results are not what one epoch of 256 images gives\n");
        return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    cln_error err = {0};
    cln_device *dev = NULL;
    cln_dataset *data = NULL;
    cln_trainer *trainer = NULL;
    cln_train_options options;
    cln_metrics m;
    int calls = 0, status = 1;

    if (argc != 2) {
        fprintf(stderr, "usage: %s FILE (the model is written there)\n", argv[0]);
        return 2;
    }
    cln_train_defaults("gn", &options);
    options.epochs = 1;
    options.limit = 256;
    options.batch = 64;
    if (cln_device_open(NULL, false, &dev, &err))
        report("device", &err);
    else if (cln_dataset_open("sample", &data, &err))
        report("data", &err);
    else if (cln_trainer_new(dev, data, &options, &trainer, &err))
        report("trainer", &err);
    else if (cln_trainer_epoch(trainer, on_progress, &calls, &m, NULL, &err))
        report("epoch", &err);
    else
        status = check(trainer, &m, calls, argv[1], &err);

    cln_trainer_free(trainer);
    cln_dataset_free(data);
    cln_device_close(dev);
    return status;
}
