/* The memory that training is said to need, against the buffers that are made and the process's growth. */
#include <check.h>
#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/on_device.h"
#include "dataset.h"
#include "options.h"
#include "train.h"

static cln_dataset *sample;

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* AddressSanitizer has memory of its own for each byte of ours. */
#if defined(__SANITIZE_ADDRESS__)
enum { RESIDENT = 0 };
#else
enum { RESIDENT = 1 };
#endif

/* Bytes of the process in memory; 0: not known. */
static double resident(void)
{
    long pages = 0, all;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%ld %ld", &all, &pages) != 2)
        pages = 0;
    if (f)
        fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

/* The same when nothing is left that was freed: the compiler's memory, and buffers that a driver's thread lets go of a
 * moment after the last command that used them. */
static double resident_at_rest(void)
{
    double least = INFINITY;
    for (int i = 0; i < 30; i++) {
        malloc_trim(0);
        least = fmin(least, resident());
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    }
    return least;
}

typedef struct memory_case {
    const char *norm;
    int batch, micro;
    double ema, mixup;
    bool muon;
} memory_case;

static cln_train_options options_of(const memory_case *c)
{
    cln_train_options o;
    cln_train_defaults(c->norm, &o);
    if (c->muon)
        cln_train_use(CLN_OPTIMIZER_MUON, &o);
    o.batch = c->batch;
    o.micro_batch = c->micro;
    o.ema = c->ema;
    o.mixup = c->mixup;
    return o;
}

static cln_train_memory measure(const cln_train_options *o)
{
    const cln_shape image = {1, sample->h, sample->w, sample->c};
    cln_train_memory m;
    OK(cln_train_measure(dev, o, image, sample->classes, (int)sample->n_train, (int)sample->n_test,
                         &m, &err));
    return m;
}

/* One step and the evaluation behind it, which touch all that there is. */
static void run(const cln_train_options *o, cln_trainer **out)
{
    cln_evaluation e;
    OK(cln_trainer_new(dev, sample, o, out, &err));
    OK(cln_train_enqueue(*out, 0, 0, &err));
    OK(cln_trainer_evaluate(*out, &e, &err));
    cln_evaluation_clear(&e);
}

static const memory_case cases[] = {{"bn", 8, 0, 0, 0, false},    {"bn", 128, 0, 0.9, 0.2, false},
                                    {"bn", 256, 0, 0, 0, false},  {"ln", 256, 0, 0, 0, false},
                                    {"ln", 192, 96, 0, 0, false}, {"gn", 96, 96, 0, 0, false},
                                    {"gn", 16, 0, 0, 0, true}};

/* A case a process: what another one freed would be there to be used again. */
START_TEST(estimates_are_true)
{
    const memory_case *c = &cases[_i], little = {c->norm, 8, 0, c->ema, c->mixup, c->muon};
    const cln_train_options o = options_of(c), before_it = options_of(&little);
    cln_trainer *t = NULL;
    mallopt(M_MMAP_THRESHOLD, 1 << 17); /* what is freed goes back at once */
    OK(cln_device_open(NULL, false, &dev, &err));
    OK(cln_dataset_open("sample", &sample, &err));
    run(&before_it, &t); /* the kernels are compiled */
    cln_trainer_free(t);
    const cln_train_memory m = measure(&o);
    const double before = resident_at_rest(), said = (double)cln_train_memory_sum(&m);
    const size_t made = dev->made;
    run(&o, &t);
    const double grown = resident() - before;
    printf("%s, batch %d, %d at a time: said %.1f MB, made %.1f, grown by %.1f\n", c->norm,
           c->batch, m.images, said / 1e6, (double)(dev->made - made) / 1e6, grown / 1e6);
    fflush(stdout);
    ck_assert_int_eq(m.images, t->micro);
    ck_assert_uint_eq(cln_train_memory_sum(&m), dev->made - made);
    if (RESIDENT && before > 0 && dev->info.unified &&
        said > 50e6) { /* below that, the driver's own counts */
        ck_assert_double_gt(grown, 0.9 * said);
        ck_assert_double_lt(grown, 1.1 * said);
    }
    cln_trainer_free(t);
    cln_dataset_free(sample);
    cln_device_close(dev);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("memory");
    TCase *tc = tcase_create("training");
    tcase_add_loop_test(tc, estimates_are_true, 0, COUNT(cases));
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
