/* CIFAR-10's binary version, the bundled sample and the search for data: what is accepted must come
 * out byte for byte, whatever it was packed in; what is damaged, foreign or hostile must be refused
 * with one line that names the file. */
#include <archive.h>
#include <archive_entry.h>
#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/scratch.h"

enum { IMAGE = 3072, RECORD = IMAGE + 1, FILES = 7, TEST = 5, META = 6, TRAIN = 21, TESTS = 6 };

/* Batches of different sizes, so that a wrong order or offset shows. */
static const size_t RECORDS[FILES - 1] = {3, 5, 2, 7, 4, TESTS};
static const char *const NAMES[FILES] = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                         "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin",
                                         "batches.meta.txt"};

static cln_dataset *sample;
static blob files[FILES]; /* a small data set in the official layout, made of the sample's images */

static void setup(void)
{
    cln_error err = {0};
    scratch_new();
    ck_assert_msg(!cln_dataset_open("sample", &sample, &err), "%s", err.text);
    size_t train = 0;
    for (int i = 0; i <= TEST; i++) {
        files[i].size = RECORDS[i] * RECORD;
        files[i].bytes = malloc(files[i].size);
        for (size_t k = 0; k < RECORDS[i]; k++) {
            size_t from = i == TEST ? k : train++;
            char *r = files[i].bytes + k * RECORD;
            r[0] = (char)(i == TEST ? sample->test_y : sample->train_y)[from];
            memcpy(r + 1, (i == TEST ? sample->test_x : sample->train_x) + from * IMAGE, IMAGE);
        }
    }
    static const char names[] = "zero\none\ntwo\r\nthree\nfour\nfive\nsix\nseven\neight\nnine\n\n";
    files[META].size = sizeof names - 1;
    files[META].bytes = strdup(names);
}

static void teardown(void)
{
    scratch_remove();
    for (int i = 0; i < FILES; i++)
        free(files[i].bytes);
    cln_dataset_free(sample);
    sample = NULL;
}

static void put_folder(const char *dir)
{
    char name[128];
    ck_assert_int_eq(mkdir(at(dir), 0777), 0);
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "%s/%s", dir, NAMES[i]);
        put(name, files[i].bytes, files[i].size);
    }
}

/* A tar archive of `n` of the files, in the given order, with a link and a foreign file between. */
static void put_tar(const char *name, int filter, const int *order, int n)
{
    struct archive *a = archive_write_new();
    ck_assert_int_eq(archive_write_set_format_ustar(a), 0);
    ck_assert_int_eq(archive_write_add_filter(a, filter), 0);
    ck_assert_int_eq(archive_write_open_filename(a, at(name)), 0);
    for (int i = -1; i < n; i++) {
        char path[128];
        struct archive_entry *e = archive_entry_new();
        snprintf(path, sizeof path, "cifar-10-batches-bin/%s",
                 i < 0 ? "readme.html" : NAMES[order[i]]);
        archive_entry_set_pathname(e, path);
        archive_entry_set_filetype(e, AE_IFREG);
        archive_entry_set_perm(e, 0644);
        archive_entry_set_size(e, i < 0 ? 5 : (la_int64_t)files[order[i]].size);
        ck_assert_int_eq(archive_write_header(a, e), 0);
        if (i < 0)
            archive_write_data(a, "hello", 5);
        else
            archive_write_data(a, files[order[i]].bytes, files[order[i]].size);
        archive_entry_free(e);
    }
    ck_assert_int_eq(archive_write_close(a), 0);
    archive_write_free(a);
}

static const int OFFICIAL_ORDER[FILES] = {0, META, 2, 3, TEST, 4, 1};

/* ---- what to expect --------------------------------------------------------------------- */

/* Opens and holds against the images that the files were made of. */
static void accept_same(const char *path)
{
    cln_dataset *d = accept_data(path);
    ck_assert_str_eq(d->name, "cifar10");
    ck_assert_int_eq(d->c * 10000 + d->h * 100 + d->w, 33232);
    ck_assert_uint_eq(d->n_train, TRAIN);
    ck_assert_uint_eq(d->n_test, TESTS);
    ck_assert_mem_eq(d->train_x, sample->train_x, TRAIN * IMAGE);
    ck_assert_mem_eq(d->train_y, sample->train_y, TRAIN);
    ck_assert_mem_eq(d->test_x, sample->test_x, TESTS * IMAGE);
    ck_assert_mem_eq(d->test_y, sample->test_y, TESTS);
    ck_assert_int_eq(d->classes, 10);
    ck_assert_str_eq(d->class_names[2], "two");
    ck_assert_str_eq(d->class_names[9], "nine");
    ck_assert_int_eq(d->sample, false);
    ck_assert_int_eq(d->source[0], '/');
    cln_dataset_free(d);
}

/* ---- the sample ------------------------------------------------------------------------- */

START_TEST(sample_is_real_and_balanced)
{
    static const double mean[3] = {0.4914, 0.48216, 0.44653}, std[3] = {0.24703, 0.24349, 0.26159};
    size_t train[10] = {0}, test[10] = {0};
    ck_assert_uint_eq(sample->n_train, 2000);
    ck_assert_uint_eq(sample->n_test, 500);
    for (size_t i = 0; i < 2000; i++)
        train[sample->train_y[i]]++;
    for (size_t i = 0; i < 500; i++)
        test[sample->test_y[i]]++;
    for (int k = 0; k < 10; k++) {
        ck_assert_uint_eq(train[k], 200);
        ck_assert_uint_eq(test[k], 50);
    }
    for (int c = 0; c < 3; c++) {
        ck_assert_double_eq_tol((double)sample->mean[c], mean[c], 0.004);
        ck_assert_double_eq_tol((double)sample->std[c], std[c], 0.004);
    }
    ck_assert_int_eq(sample->classes, 10);
    ck_assert_str_eq(sample->class_names[3], "cat");
    ck_assert_str_eq(sample->name, "cifar10-sample");
    ck_assert(sample->sample);
    /* Of the chosen official records, read without any predictor: no image lost a bit. */
    ck_assert_str_eq(sample->digest,
                     "d43f56601b9118436782325e2276e544e9bd059dc514ea70b78a739472b1a771");
}
END_TEST

/* Mean and deviation against a plain double loop; the constant channel must not divide by zero. */
START_TEST(statistics)
{
    memset(files[0].bytes, 0, files[0].size);
    for (int i = 0; i <= 4; i++)
        for (size_t k = 0; k < RECORDS[i]; k++)
            memset(files[i].bytes + k * RECORD + 1 + 2048, 7, 1024);
    put_folder("f");
    cln_dataset *d = accept_data(at("f"));
    for (int c = 0; c < 3; c++) {
        double n = 0, mean = 0, var = 0;
        for (int pass = 0; pass < 2; pass++)
            for (size_t i = 0; i < TRAIN; i++)
                for (int p = 0; p < 1024; p++) {
                    double x = d->train_x[i * IMAGE + (size_t)(c * 1024 + p)] / 255.0;
                    n += !pass;
                    mean += pass ? 0 : x;
                    var += pass ? (x - mean / n) * (x - mean / n) : 0;
                }
        ck_assert_double_eq_tol((double)d->mean[c], mean / n, 1e-6);
        double std = (double)d->std[c];
        ck_assert_double_eq_tol(c == 2 ? 1.0 : std * std, c == 2 ? std : var / n, 1e-6);
    }
    cln_dataset_free(d);
}
END_TEST

/* ---- CIFAR-10: what is read ------------------------------------------------------------- */

START_TEST(cifar_folder_and_archives_agree)
{
    static const int filters[4] = {ARCHIVE_FILTER_NONE, ARCHIVE_FILTER_GZIP, ARCHIVE_FILTER_XZ,
                                   ARCHIVE_FILTER_BZIP2};
    put_folder("cifar-10-batches-bin");
    accept_same(at("cifar-10-batches-bin"));
    accept_same(at("cifar-10-batches-bin/"));
    accept_same(at("")); /* the folder above */
    for (int i = 0; i < 4; i++) {
        put_tar("any.name", filters[i], OFFICIAL_ORDER, FILES);
        accept_same(at("any.name"));
    }
    mkdir(at("holds-archive"), 0777);
    put_tar("holds-archive/cifar-10-binary.tar.gz", ARCHIVE_FILTER_GZIP, OFFICIAL_ORDER, FILES);
    accept_same(at("holds-archive"));

    cln_dataset *a = accept_data(at("cifar-10-batches-bin")), *b = accept_data(at("any.name"));
    ck_assert_str_eq(a->digest, b->digest);
    ck_assert_uint_eq(strlen(a->digest), 64);
    cln_dataset_free(b);
    files[1].bytes[RECORD + 5] ^= 1; /* one bit of one image */
    put("cifar-10-batches-bin/data_batch_2.bin", files[1].bytes, files[1].size);
    b = accept_data(at("cifar-10-batches-bin"));
    ck_assert_str_ne(a->digest, b->digest);
    cln_dataset_free(a);
    cln_dataset_free(b);
}
END_TEST

START_TEST(cifar_without_class_names)
{
    put_folder("f");
    unlink(at("f/batches.meta.txt"));
    cln_dataset *d = accept_data(at("f"));
    ck_assert_int_eq(d->classes, 10);
    ck_assert_str_eq(d->class_names[7], "7");
    cln_dataset_free(d);
}
END_TEST

static void set_or_unset(const char *name, const char *value)
{
    if (value)
        setenv(name, value, 1);
    else
        unsetenv(name);
}

START_TEST(search_order)
{
    char *old[3];
    static const char *const vars[3] = {"CLNORM_DATA", "XDG_CACHE_HOME", "HOME"};
    for (int i = 0; i < 3; i++) {
        const char *v = getenv(vars[i]);
        old[i] = v ? strdup(v) : NULL;
        unsetenv(vars[i]);
    }
    cln_dataset *d = accept_data(NULL); /* no cache folder at all */
    ck_assert(d->sample);
    cln_dataset_free(d);

    setenv("XDG_CACHE_HOME", at(""), 1);
    setenv("CLNORM_DATA", "", 1);
    d = accept_data(NULL); /* an empty cache folder, an empty variable */
    ck_assert(d->sample);
    cln_dataset_free(d);

    mkdir(at("clnorm"), 0777);
    put_folder("clnorm/data");
    accept_same(NULL);
    d = accept_data("sample");
    ck_assert(d->sample);
    cln_dataset_free(d);

    setenv("CLNORM_DATA", "sample", 1);
    d = accept_data(NULL);
    ck_assert(d->sample);
    cln_dataset_free(d);
    setenv("CLNORM_DATA", at("nowhere"), 1);
    refuse(NULL, CLN_ERR_IO, "$CLNORM_DATA");
    unsetenv("CLNORM_DATA");
    unlink(at("clnorm/data/data_batch_4.bin"));
    refuse(NULL, CLN_ERR_IO,
           "data_batch_4.bin"); /* a damaged cache is no reason to take the sample */

    char dir[CLN_DATA_MAX_PATH];
    unsetenv("XDG_CACHE_HOME");
    setenv("HOME", "/home/x", 1);
    ck_assert_int_eq(cln_data_cache_dir(dir, NULL), 0);
    ck_assert_str_eq(dir, "/home/x/.cache/clnorm/data");
    for (int i = 0; i < 3; i++) {
        set_or_unset(vars[i], old[i]);
        free(old[i]);
    }
}
END_TEST

/* ---- CIFAR-10: what is refused ---------------------------------------------------------- */

START_TEST(cifar_bad_folders)
{
    refuse(at("nowhere"), CLN_ERR_IO, "clnorm fetch");
    mkdir(at("empty"), 0777);
    refuse(at("empty"), CLN_ERR_IO, "no data set in this folder");
    refuse("/dev/null", CLN_ERR_IO, "neither");

    put_folder("f");
    put("f/data_batch_3.bin", files[2].bytes, files[2].size - 1);
    refuse(at("f"), CLN_ERR_DATA,
           "data_batch_3.bin has 6145 bytes, expected whole records of 3073");
    put("f/data_batch_3.bin", "", 0);
    refuse(at("f"), CLN_ERR_DATA, "data_batch_3.bin has 0 bytes");
    unlink(at("f/data_batch_3.bin"));
    refuse(at("f"), CLN_ERR_IO, "data_batch_3.bin is missing");
    mkdir(at("f/data_batch_3.bin"), 0777);
    refuse(at("f"), CLN_ERR_IO, "data_batch_3.bin");
    rmdir(at("f/data_batch_3.bin"));

    files[2].bytes[RECORD] = 10;
    put("f/data_batch_3.bin", files[2].bytes, files[2].size);
    refuse(at("f"), CLN_ERR_DATA, "data_batch_3.bin: record 1 has label 10, expected 0 to 9");
    files[2].bytes[RECORD] = 9;
    put("f/data_batch_3.bin", files[2].bytes, files[2].size);
    files[TEST].bytes[0] = (char)255;
    put("f/test_batch.bin", files[TEST].bytes, files[TEST].size);
    refuse(at("f"), CLN_ERR_DATA, "test_batch.bin: record 0 has label 255");
    unlink(at("f/test_batch.bin"));
    refuse(at("f"), CLN_ERR_IO, "test_batch.bin is missing");

    /* 4 GiB that take no room on the disk. */
    put("f/test_batch.bin", "", 0);
    ck_assert_int_eq(truncate(at("f/test_batch.bin"), (off_t)RECORD * 1400000), 0);
    refuse(at("f"), CLN_ERR_DATA, "larger than");
}
END_TEST

START_TEST(cifar_bad_class_names)
{
    static const char *const bad[4] = {"one\n", "a\nb\x1b[2J\n", "", "a\nb\n"};
    static const char *const say[4] = {"two class names",
                                       "batches.meta.txt:2: expected a class name",
                                       "two class names", "expected 0 to 1"};
    put_folder("f");
    for (int i = 0; i < 4; i++) {
        put("f/batches.meta.txt", bad[i], strlen(bad[i]));
        refuse(at("f"), CLN_ERR_DATA, say[i]);
    }
    ck_assert_int_eq(truncate(at("f/batches.meta.txt"), 70000), 0);
    refuse(at("f"), CLN_ERR_DATA, "short list of class names");
}
END_TEST

START_TEST(cifar_bad_archives)
{
    static const int twice[2] = {0, 0}, some[3] = {0, 1, TEST};
    put("text", "This is no archive.\n", 20);
    refuse(at("text"), CLN_ERR_DATA, "text: not a");
    put("nothing", "", 0);
    refuse(at("nothing"), CLN_ERR_DATA, "nothing: ");
    put_gzip("nothing.gz", "", 0);
    refuse(at("nothing.gz"), CLN_ERR_DATA, "nothing.gz: ");
    put("stub.gz", "\x1f\x8b", 2);
    refuse(at("stub.gz"), CLN_ERR_DATA, "truncated");
    put("batch.bin", files[0].bytes, files[0].size); /* one batch in place of its folder */
    refuse(at("batch.bin"), CLN_ERR_DATA, "batch.bin: not a");
    put_tar("foreign.tar.gz", ARCHIVE_FILTER_GZIP, NULL, 0);
    refuse(at("foreign.tar.gz"), CLN_ERR_DATA, "not CIFAR-10's binary version");
    put_tar("some.tar.gz", ARCHIVE_FILTER_GZIP, some, 3);
    refuse(at("some.tar.gz"), CLN_ERR_IO, "data_batch_3.bin is missing");
    put_tar("twice.tar", ARCHIVE_FILTER_NONE, twice, 2);
    refuse(at("twice.tar"), CLN_ERR_DATA, "holds data_batch_1.bin twice");

    /* A header that promises 2^33 bytes, with a checksum that fits: refused before memory is asked
     * for. */
    put_tar("large.tar", ARCHIVE_FILTER_NONE, OFFICIAL_ORDER, FILES);
    blob b = get("large.tar");
    char *head = b.bytes + 1024; /* after readme.html */
    unsigned sum = 0;
    memcpy(head + 124, "77777777777", 12);
    memset(head + 148, ' ', 8);
    for (int i = 0; i < 512; i++)
        sum += (unsigned char)head[i];
    snprintf(head + 148, 8, "%06o", sum);
    put("large.tar", b.bytes, b.size);
    refuse(at("large.tar"), CLN_ERR_DATA, "more than 4 GiB");
    free(b.bytes);
}
END_TEST

static void add_entry(struct archive *a, const char *path, const char *target, const char *bytes,
                      size_t n)
{
    struct archive_entry *e = archive_entry_new();
    archive_entry_set_pathname(e, path);
    archive_entry_set_filetype(e, target ? AE_IFLNK : AE_IFREG);
    archive_entry_set_symlink(e, target);
    archive_entry_set_perm(e, 0777);
    archive_entry_set_size(e, target ? 0 : (la_int64_t)n);
    ck_assert_int_eq(archive_write_header(a, e), 0);
    if (!target)
        ck_assert_int_eq(archive_write_data(a, bytes, n), (la_ssize_t)n);
    archive_entry_free(e);
}

static int entries(const char *name)
{
    int n = 0;
    DIR *dir = opendir(at(name));
    ck_assert_ptr_nonnull(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

/* Names in an archive that climb, are absolute, or go through a link: batches are known by the last part of their
 * names, and nothing is ever written. */
START_TEST(cifar_hostile_names)
{
    char here[4096];
    struct archive *a = archive_write_new();
    ck_assert_ptr_nonnull(getcwd(here, sizeof here));
    ck_assert_int_eq(mkdir(at("in"), 0777) | mkdir(at("in/side"), 0777), 0);
    put("secret", "secret", 6);
    ck_assert_int_eq(archive_write_set_format_pax_restricted(a), 0);
    ck_assert_int_eq(archive_write_open_filename(a, at("in/hostile.tar")), 0);
    add_entry(a, "../climbed", NULL, "x", 1);
    add_entry(a, "side/../../climbed", NULL, "x", 1);
    add_entry(a, at("absolute"), NULL, "x", 1);
    add_entry(a, "link", "..", NULL, 0);
    add_entry(a, "link/through", NULL, "x", 1);
    add_entry(a, "data_batch_1.bin", at("secret"), NULL, 0); /* neither read nor replaced */
    add_entry(a, "secret", at("secret"), NULL, 0);
    for (int i = 0; i < FILES; i++) {
        char path[600];
        snprintf(path, sizeof path, "%s/%s", i % 2 ? "../../../.." : at("elsewhere"), NAMES[i]);
        add_entry(a, path, NULL, files[i].bytes, files[i].size);
    }
    ck_assert_int_eq(archive_write_close(a), 0);
    archive_write_free(a);
    const int outside = entries(""), inside = entries("in");
    ck_assert_int_eq(chdir(at("in")), 0);
    accept_same("hostile.tar");
    ck_assert_int_eq(chdir(here), 0);
    ck_assert_int_eq(entries(""), outside);
    ck_assert_int_eq(entries("in"), inside);
    ck_assert_int_eq(entries("in/side"), 2);
    blob secret = get("secret");
    ck_assert_uint_eq(secret.size, 6);
    ck_assert_mem_eq(secret.bytes, "secret", 6);
    free(secret.bytes);
}
END_TEST

/* Cut anywhere, a packed archive is refused; with any one bit flipped too (but for gzip's header,
 * whose time stamp and the like mean nothing). */
START_TEST(cifar_damaged_archives)
{
    static const int filters[2] = {ARCHIVE_FILTER_GZIP, ARCHIVE_FILTER_XZ};
    put_tar("a", filters[_i], OFFICIAL_ORDER, FILES);
    blob b = get("a");
    ck_assert_uint_gt(b.size, 10000);
    for (size_t k = 0; k < 60; k++) {
        cln_dataset *d = NULL;
        cln_error err = {0};
        size_t n = k < 30 ? b.size * k / 30 : b.size - (k - 29);
        /* xz: without its index and footer every block is there and checked. */
        if (filters[_i] == ARCHIVE_FILTER_XZ && n + 64 > b.size)
            continue;
        put("cut", b.bytes, n);
        int rc = cln_dataset_open(at("cut"), &d, &err);
        ck_assert_msg(rc == CLN_ERR_DATA, "cut to %zu of %zu: %d %s", n, b.size, rc, err.text);
        ck_assert_ptr_null(d);
    }
    for (size_t k = 0; k < 100; k++) {
        cln_dataset *d = NULL;
        size_t byte = 16 + (b.size - 80) * k / 100;
        b.bytes[byte] ^= (char)(1 << (k % 8));
        put("flip", b.bytes, b.size);
        int rc = cln_dataset_open(at("flip"), &d, NULL);
        ck_assert_msg(rc != 0, "bit %zu of byte %zu of %zu flipped: accepted", k % 8, byte, b.size);
        ck_assert_ptr_null(d);
        b.bytes[byte] ^= (char)(1 << (k % 8));
    }
    if (filters[_i] == ARCHIVE_FILTER_GZIP) {
        b.bytes[b.size - 7] ^= 1;
        put("sum", b.bytes, b.size);
        refuse(at("sum"), CLN_ERR_DATA, "checksum");
    }
    free(b.bytes);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("data");
    TCase *good = tcase_create("read"), *bad = tcase_create("refused");
    tcase_add_checked_fixture(good, setup, teardown);
    tcase_add_checked_fixture(bad, setup, teardown);
    tcase_add_test(good, sample_is_real_and_balanced);
    tcase_add_test(good, statistics);
    tcase_add_test(good, cifar_folder_and_archives_agree);
    tcase_add_test(good, cifar_without_class_names);
    tcase_add_test(good, cifar_hostile_names);
    tcase_add_test(good, search_order);
    tcase_add_test(bad, cifar_bad_folders);
    tcase_add_test(bad, cifar_bad_class_names);
    tcase_add_test(bad, cifar_bad_archives);
    tcase_add_loop_test(bad, cifar_damaged_archives, 0, 2);
    suite_add_tcase(s, good);
    suite_add_tcase(s, bad);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
