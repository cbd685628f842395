/* clnorm: train small convolutional networks on any OpenCL device.
 * The one public header. Everything returns 0 or a negative CLN_ERR_* code and then fills *err, which may be NULL. A device,
 * data set, trainer or evaluation that was to be made is NULL (all zeros) where that failed; what frees takes NULL. Nothing prints or exits. One device and
 * what was made on it belong to one thread at a time. */
#ifndef CLNORM_H
#define CLNORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CLNORM_VERSION "0.1.0"

/* ---- errors ---------------------------------------------------------------------------- */

/* name, code, what it means; the program's exit status is derived from the code (see --help). */
#define CLN_ERROR_TABLE(X)                                                                     \
    X(MEMORY, -1, "out of host memory")                                                        \
    X(ARGUMENT, -2, "an option or argument is wrong")                                          \
    X(DEVICE, -3, "no such OpenCL device, or it does not work")                                \
    X(CL, -4, "an OpenCL call failed")                                                         \
    X(BUILD, -5, "a kernel did not compile")                                                   \
    X(DEVICE_MEMORY, -6, "the device has not enough memory")                                   \
    X(IO, -7, "a file could not be read or written")                                           \
    X(DATA, -8, "a data file is damaged or of another format")                                 \
    X(MODEL, -9, "a .net file is malformed or does not fit the data")                          \
    X(CHECKPOINT, -10, "a checkpoint is damaged or belongs to another model")                  \
    X(BUSY, -11, "another process holds the run folder")                                       \
    X(EXISTS, -12, "a finished run is there already")                                          \
    X(DIVERGED, -13, "the loss is not finite")                                                 \
    X(NETWORK, -14, "a download failed")                                                       \
    X(INTERNAL, -15, "a fault in clnorm itself")

#define CLN_ERROR_ENUM(name, code, text) CLN_ERR_##name = (code),
enum { CLN_OK = 0, CLN_ERROR_TABLE(CLN_ERROR_ENUM) };

typedef struct cln_error {
    int code;        /* 0 or CLN_ERR_* */
    char text[1024]; /* one line for a person: what, where, what to do */
    char where[128]; /* source file:line that noticed */
    char log[4096];  /* the compiler's log where a kernel did not build, else "" */
} cln_error;

/* The table's text for a code; "ok" for 0. Never NULL. */
const char *cln_error_name(int code);

/* ---- devices ---------------------------------------------------------------------------- */

typedef struct cln_device cln_device;

/* Opens the device that `spec` selects: its index in `clnorm devices`, "platform:device", a type (cpu, gpu)
 * or part of its name; NULL or "": $CLNORM_DEVICE, else the first. *out is the caller's: cln_device_close,
 * after everything that was made on it is freed. Errors: CLN_ERR_DEVICE with a text that lists the choices. */
int cln_device_open(const char *spec, bool profiling, cln_device **out, cln_error *err);
void cln_device_close(cln_device *dev);

/* "PoCL on ..."-like name for people; lives as long as the device. */
const char *cln_device_name(const cln_device *dev);

/* Called with one line of text when something slow begins (a cold compile), and where something is wrong that stops nothing (a
 * damaged table of `clnorm tune`). NULL: silence. */
void cln_device_set_notice(cln_device *dev, void (*notice)(void *arg, const char *text), void *arg);

/* ---- data ------------------------------------------------------------------------------- */

typedef struct cln_dataset cln_dataset;

/* Reads a data set into memory. `path`: a folder of CIFAR-10's binary version, or the one above it, or a tar archive of it
 * (plain, gzip, bzip2, xz, zstd); a folder of the four files of MNIST's format, plain or .gz; "sample": the bundled sample.
 * NULL: $CLNORM_DATA, else what `clnorm fetch` downloaded, else the sample. *out is the caller's: cln_dataset_free, after the
 * trainers that use it. Errors: CLN_ERR_IO (missing, unreadable), _DATA (damaged, foreign, too large), _MEMORY. */
int cln_dataset_open(const char *path, cln_dataset **out, cln_error *err);
void cln_dataset_free(cln_dataset *data);

/* ---- training --------------------------------------------------------------------------- */

typedef enum { CLN_OPTIMIZER_SGD, CLN_OPTIMIZER_ADAMW, CLN_OPTIMIZER_MUON } cln_optimizer;
typedef enum { CLN_SCHEDULE_ONECYCLE, CLN_SCHEDULE_COSINE, CLN_SCHEDULE_STEP, CLN_SCHEDULE_CONSTANT } cln_schedule;
typedef enum { CLN_ACT_AUTO, CLN_ACT_RELU, CLN_ACT_SILU, CLN_ACT_CELU, CLN_ACT_GELU } cln_act;
typedef enum { CLN_INITIAL_KAIMING, CLN_INITIAL_DIRAC } cln_initial;
typedef enum { CLN_FLIP_NONE, CLN_FLIP_RANDOM, CLN_FLIP_ALTERNATING } cln_flip;

/* Every setting of a run; cln_train_defaults fills in a good recipe, the same for every norm. */
typedef struct cln_train_options {
    char model[1024];       /* a built-in name ("s8") or a .net file */
    char norm[16];          /* bn, ln, gn, in, none */
    int groups;             /* of gn; 0: its default, 4 */
    cln_act act;            /* what $act stands for; auto: SiLU, and a network need not have any */
    bool ws;                /* weight standardisation of the convolutions before norms within the image (not bn, none) */
    int epochs, batch;
    int micro_batch;        /* images that go through the network at a time, the gradients being summed; 0: what the
                             * tuning table says. The batch where batch norm takes its statistics over it */
    cln_optimizer optimizer;
    cln_schedule schedule;
    double lr;              /* peak */
    double norm_lr;         /* factor of lr for gamma, beta and biases */
    double warmup;          /* one-cycle: share of the run in which lr rises from lr / 10 */
    double momentum, beta2; /* beta2: AdamW */
    bool nesterov;
    double weight_decay;    /* decoupled: w -= lr wd w; on convolution and dense weights only */
    double label_smoothing;
    double ema;             /* decay of the average of weights that evaluation and export use; 0: the weights themselves */
    cln_flip flip;
    int shift;              /* pixels of reflect-padded translation */
    int cutout;             /* side of a random square that is blanked; 0: none */
    double mixup;           /* images are mixed in pairs by a weight of Beta(mixup, mixup); 0: none; at most 1 */
    cln_initial init;       /* of convolutions: random, or passing on what they read as far as channels go */
    bool whiten;            /* the first convolution begins as a whitening of patches of the training images */
    uint32_t seed;
    int val_split;          /* hold out the last K training images in place of the test set; 0: none */
    bool test_flip;         /* evaluate on mirrored images, too */
    int limit;              /* train on the first K images only; 0: all */
    int kernel_class;       /* 0 by the device, 1 vector, 2 simt */
    int conv;               /* -1 by the table, 0 vector, 1 simt, 2 gemm, 3 winograd, 4 pointwise, 5 tile */
    bool fuse;
} cln_train_options;

void cln_train_defaults(const char *norm, cln_train_options *out);

/* Another optimiser, with the rates and the weight decay that go with it; the other options stay. */
void cln_train_use(cln_optimizer optimizer, cln_train_options *o);

/* What an epoch gave. Accuracies in percent; train figures are running and augmented, with the smoothed
 * loss; the test loss is unsmoothed. The rate counts images from the epoch's first enqueue to its last
 * finished step; seconds are the whole epoch's, evaluation included. */
typedef struct cln_metrics {
    int epoch; /* 1, 2, ... */
    double lr; /* of its first step */
    double train_loss, train_acc, test_loss, test_acc, images_per_second, seconds;
    double test_acc_flip; /* see cln_evaluation */
} cln_metrics;

typedef struct cln_progress {
    int epoch, epochs, step, steps; /* steps done of this epoch's */
    double loss, acc; /* of the epoch so far, percent; read back about twice a second, 0 before the first time */
    double images_per_second, seconds_left;
} cln_progress;

/* Called after each step was enqueued; false stops training after that step. NULL in its place: nobody is told. */
typedef bool (*cln_progress_fn)(void *arg, const cln_progress *progress);

typedef struct cln_trainer cln_trainer;

/* Data on the device, kernels compiled, weights initialised from the seed. dev and data must outlive it.
 * Errors: CLN_ERR_ARGUMENT, _MODEL, _DEVICE_MEMORY, _BUILD, ... *out is the caller's: cln_trainer_free. */
int cln_trainer_new(cln_device *dev, const cln_dataset *data, const cln_train_options *options, cln_trainer **out,
                    cln_error *err);
void cln_trainer_free(cln_trainer *trainer);

/* Trains one epoch (or the rest of one that was stopped) and evaluates. *stopped (may be NULL) tells that
 * `progress` asked to stop before the end: *out is not filled then. CLN_ERR_DIVERGED names step and layer; the trainer is
 * back where this call began. */
int cln_trainer_epoch(cln_trainer *trainer, cln_progress_fn progress, void *arg, cln_metrics *out, bool *stopped,
                      cln_error *err);

int cln_trainer_epochs_done(const cln_trainer *trainer);
size_t cln_trainer_param_count(const cln_trainer *trainer);

/* Test images (or the validation split): loss unsmoothed, accuracy in percent; predicted (class) and confidence
 * (its probability) have n entries in the set's order, are malloc'ed, and go with cln_evaluation_clear. All of that is of
 * the image as it is; acc_flip is what the mean of the logits of the image and of its mirror image gives, NAN where
 * options.test_flip did not ask for it. */
typedef struct cln_evaluation {
    double loss, acc;
    int n;
    int32_t *predicted;
    float *confidence;
    double acc_flip;
} cln_evaluation;
int cln_trainer_evaluate(cln_trainer *trainer, cln_evaluation *out, cln_error *err);
void cln_evaluation_clear(cln_evaluation *e);

/* Everything a bit-exact resume needs / the weights alone (with ema their averages), with PyTorch's names and layouts. Written to a
 * temporary name, synced, renamed. Loading validates the whole file before anything changes; a file of
 * another model or of other settings is CLN_ERR_CHECKPOINT. */
int cln_trainer_save(cln_trainer *trainer, const char *path, cln_error *err);
int cln_trainer_load(cln_trainer *trainer, const char *path, cln_error *err);
int cln_trainer_export(cln_trainer *trainer, const char *path, cln_error *err);
/* The optimiser's moments and the epoch stay as they are. */
int cln_trainer_import(cln_trainer *trainer, const char *path, cln_error *err);

/* SHA-256 of all weights and running statistics, and of their averages where there are any; 64 hex digits and a NUL. */
int cln_trainer_weights_sha256(cln_trainer *trainer, char hex[65], cln_error *err);

#ifdef __cplusplus
}
#endif
#endif
